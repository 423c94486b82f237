// One LSTM layer in one direction, forward and backward: the contract of every pointer.
//
// Shape letters: T steps, B batch, I input size, H hidden size, P output size (H where there is no
// projection). Knows neither Python nor PyTorch. All numbers are float32; all matrices are
// row-major and their last dimension is contiguous. Nothing here throws or keeps a pointer after it
// returned, and what is written may overlap neither anything else that is written nor anything that
// is read. Each calling thread keeps one block of scratch memory from call to call; nothing is
// allocated while steps run.
#pragma once

#include <cstddef>
#include <cstdint>

namespace carousel {

// Hidden units are padded to a multiple of this in every buffer of ours, whatever the instruction
// set.
constexpr int64_t kUnitPadding = 16;

constexpr int64_t padded(int64_t units) {
  return (units + kUnitPadding - 1) / kUnitPadding * kUnitPadding;
}

struct Shape {
  int64_t steps;   // T
  int64_t batch;   // B
  int64_t input;   // I
  int64_t hidden;  // H
  int64_t output;  // P: below H where the layer projects, H where it does not

  bool projects() const { return output != hidden; }
};

// PyTorch's weights of one layer and direction, gates in the order i, f, g, o. Only read.
struct Weights {
  const float* weight_ih;  // (4H, I)
  const float* weight_hh;  // (4H, P)
  const float* bias_ih;    // (4H) or null
  const float* bias_hh;    // (4H) or null
  const float* weight_hr;  // (P, H); null where there is no projection
  const float* peephole;   // (3H), of the gates i, f, o, or null
};

// What products are computed from; they are summed in float32 either way.
enum class Precision {
  kFloat32,
  kBfloat16,  // both factors are rounded to 8 bits, where supports_bfloat16(); else float32 runs
};

// What makes the cell differ from the textbook's. The defaults are the textbook's.
struct Variant {
  bool peepholes = false;  // whether the packed weights have any
  float cell_clip = 0.0f;  // bound of |c|, 0 for none
  float zoneout_h = 0.0f;  // share of the old value that is kept, where there is no mask
  float zoneout_c = 0.0f;
  const uint8_t* zoneout_h_mask = nullptr;  // (T, B, P), not 0 where the old value is kept; or null
  const uint8_t* zoneout_c_mask = nullptr;  // (T, B, H)
  const float* recurrent_mask = nullptr;    // (B, P), multiplies h before weight_hh; or null
};

// What a forward and a backward call share. Only read.
struct Sequence {
  Shape shape;
  bool reverse;    // every row is read from its own last real step to its first
  const float* x;  // (T, B, I); element (t, b) starts at x + t * x_step + b * x_row
  int64_t x_step, x_row;
  const float* h0;         // (B, P)
  const float* c0;         // (B, H)
  const int64_t* lengths;  // (B), from 0 to T; null where every row has T steps
  const uint8_t* reset;    // (T, B), not 0 where the state is zeroed before step t; or null
  Variant variant;
  Precision precision = Precision::kFloat32;  // the one that the weights were packed for
};

// Buffers for the backward pass: every gate and memory cell, in the kernel's own order. Row (t, b)
// of gates holds, for each block of lanes() units, the activated i, f, g, o of the block one after
// the other; cells holds the memory cell. Rows past a sequence's end are not touched.
struct Kept {
  float* gates;  // (T, B, 4 * padded(H))
  float* cells;  // (T, B, padded(H))
};

struct Forward {
  Sequence sequence;
  const float* packed;  // from pack_forward, of packed_floats(shape) floats
  float* out;           // (T, B, P), written at every real step and zeroed past a sequence's end
  int64_t out_step, out_row;
  float* h_n;  // (B, P); may be h0
  float* c_n;  // (B, H); may be c0
  Kept kept;   // both null where no backward pass will follow
  int turn;    // 0 or 1, by turns where one step follows another: which end of the weights is first
};

struct Backward {
  Sequence sequence;
  const float* packed;  // from pack_backward
  const float* out;     // as the forward pass wrote it
  int64_t out_step, out_row;
  Kept kept;              // as the forward pass wrote them; only read
  const float* grad_out;  // (T, B, P), or null for zeros; never read past a sequence's end
  int64_t grad_out_step, grad_out_row;
  const float* grad_h_n;  // (B, P), or null for zeros
  const float* grad_c_n;  // (B, H), or null for zeros
  float* grad_x;          // (T, B, I), contiguous, zeroed past a sequence's end; null: not wanted
  float* grad_h0;         // (B, P)
  float* grad_c0;         // (B, H)
  float* grad_weight_ih;  // (4H, I)  these are written, not added to; null where all weights
  float* grad_weight_hh;  // (4H, P)  are constant, and then all of them are
  float* grad_bias;       // (4H), the gradient of either bias
  float* grad_weight_hr;  // (P, H), or null where there is no projection
  float* grad_peephole;   // (3H), or null where there are none
};

// One step of the textbook's cell without projection, straight from the weights. For few rows.
struct Single {
  Shape shape;  // steps is not read
  Weights weights;
  const float* x;  // (B, I); row b starts at x + b * x_row
  int64_t x_row;
  const float* h0;  // (B, H), or null for zeros
  const float* c0;  // (B, H), or null for zeros
  float* h_n;       // (B, H)
  float* c_n;       // (B, H)
  float* out;       // (B, H), h_n once more; or null
};

// Weights in the order in which the passes read them. For the backward pass weight_ih may be null
// where grad_x will not be wanted, and biases are not read. The caller keeps the packed weights,
// aligned to 64 bytes, for as long as the weights do not change. They are of one process: their
// order depends on the instruction set. `threads` is the most that may work on the call, here and
// below.
int64_t packed_forward_floats(const Shape& shape, Precision precision = Precision::kFloat32);
int64_t packed_backward_floats(const Shape& shape, Precision precision = Precision::kFloat32);
void pack_forward(const Shape& shape, const Weights& weights, float* packed, int threads,
                  Precision precision = Precision::kFloat32);
void pack_backward(const Shape& shape, const Weights& weights, float* packed, int threads,
                   Precision precision = Precision::kFloat32);

void forward(const Forward& call, int threads);
void single_step(const Single& call, int threads);
void backward(const Backward& call, int threads);

// A number that changes when a float does: always for one float, and but for a chance of 2^-32 for
// more.
uint64_t fingerprint(const float* values, int64_t count);

// Units in one block of the kept gates.
int lanes();

// Whether there are bf16 products for a layer of this shape, with the instruction set in use: not
// where it projects.
bool supports_bfloat16(const Shape& shape);

// The instruction set in use: the best that the processor has, or the one chosen since.
const char* instruction_set();
// The names that this processor can run, best first, with a null after the last.
const char* const* instruction_sets();
// For tests, while nothing runs and before anything is packed. False where the processor lacks it.
bool use_instruction_set(const char* name);

}  // namespace carousel
