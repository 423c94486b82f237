// The kernel's forward and backward pass on one case, in memory that shows what is not written or
// read as lstm.h promises.
//
// All that is written starts as NaN, as does all that must not be read: what stands past a
// sequence's end, and between rows that do not lie end to end. Each buffer is a block of its own,
// so that a sanitizer sees a step beside it.
#pragma once

#include <cstring>
#include <limits>
#include <new>
#include <vector>

#include "check.h"
#include "naive_layer.h"
#include "rounding.h"
#include "targets/target.h"

namespace test {

constexpr float kUnwritten = std::numeric_limits<float>::quiet_NaN();

// How a case is run. The results must not depend on it.
struct Manner {
  int threads = 1;
  int layout = 0;               // of x, out and grad_out: time first, batch first, or with gaps
  bool state_in_place = false;  // h_n is h0 and c_n is c0
};

// Floats aligned to 64 bytes, as packed weights must be.
class Packed {
 public:
  explicit Packed(int64_t count)
      : floats_(static_cast<float*>(
            ::operator new(static_cast<size_t>(count) * sizeof(float), std::align_val_t{64}))) {
    for (int64_t k = 0; k < count; ++k) floats_[k] = kUnwritten;
  }
  ~Packed() { ::operator delete(floats_, std::align_val_t{64}); }
  Packed(const Packed&) = delete;
  Packed& operator=(const Packed&) = delete;
  float* data() const { return floats_; }

 private:
  float* floats_;
};

// A (T, B, width) sequence in one of three layouts.
struct Laid {
  std::vector<float> floats;
  int64_t step, row;

  Laid(int64_t T, int64_t B, int64_t width, int layout) {
    const int64_t gap = layout == 2 ? 3 : 0;
    row = layout == 1 ? T * width : width + gap;
    step = layout == 1 ? width : B * row + gap;
    const int64_t last = T * B == 0 ? 0 : (T - 1) * step + (B - 1) * row + width;
    floats.assign(static_cast<size_t>(last), kUnwritten);
  }
  float* at(int64_t t, int64_t b) { return floats.data() + t * step + b * row; }
};

class KernelLayer {
 public:
  KernelLayer(const LayerCase& layer, const carousel::Target& target)
      : case_(layer), target_(target), shape_(layer.shape) {}

  // Forward and backward. With `constant` neither grad_x nor gradients of weights are asked for.
  LayerValues<float> train(const Manner& manner, bool constant = false) const {
    LayerValues<float> values = unwritten();
    std::vector<float> gates(static_cast<size_t>(rows() * 4 * width()), kUnwritten);
    std::vector<float> cells(static_cast<size_t>(rows() * width()), kUnwritten);
    Laid out(shape_.steps, shape_.batch, shape_.output, manner.layout);
    forward(manner, {gates.data(), cells.data()}, out, values);
    unpack(gates, cells, values);
    backward(manner, {gates.data(), cells.data()}, out, constant, values);
    return values;
  }

  // The forward pass that keeps nothing for a backward pass.
  LayerValues<float> infer(const Manner& manner) const {
    LayerValues<float> values = unwritten();
    Laid out(shape_.steps, shape_.batch, shape_.output, manner.layout);
    forward(manner, {nullptr, nullptr}, out, values);
    return values;
  }

 private:
  int64_t rows() const { return shape_.steps * shape_.batch; }
  int64_t width() const { return carousel::padded(shape_.hidden); }

  LayerValues<float> unwritten() const {
    LayerValues<float> values(case_);
    values.each([](const char*, const std::vector<float>& v) {
      for (float& value : const_cast<std::vector<float>&>(v)) value = kUnwritten;
    });
    return values;
  }

  template <class T>
  static const T* or_null(const std::vector<T>& values) {
    return values.empty() ? nullptr : values.data();
  }

  carousel::Weights weights() const {
    return {case_.weight_ih.data(), case_.weight_hh.data(),   or_null(case_.bias_ih),
            or_null(case_.bias_hh), or_null(case_.weight_hr), or_null(case_.peephole)};
  }

  // A sequence in the manner's layout, with nothing to read past an end.
  Laid laid(const std::vector<float>& values, int64_t columns, const Manner& manner) const {
    Laid to(shape_.steps, shape_.batch, columns, manner.layout);
    for (int64_t b = 0; b < shape_.batch; ++b)
      for (int64_t t = 0; t < case_.length(b); ++t)
        std::copy_n(values.data() + (t * shape_.batch + b) * columns, columns, to.at(t, b));
    return to;
  }

  carousel::Sequence sequence(Laid& x, const float* h0, const float* c0) const {
    carousel::Variant variant;
    variant.peepholes = !case_.peephole.empty();
    variant.cell_clip = case_.cell_clip;
    variant.zoneout_h = case_.zoneout_h;
    variant.zoneout_c = case_.zoneout_c;
    variant.zoneout_h_mask = or_null(case_.zoneout_h_mask);
    variant.zoneout_c_mask = or_null(case_.zoneout_c_mask);
    variant.recurrent_mask = or_null(case_.recurrent_mask);
    return {shape_, case_.reverse,          x.floats.data(),      x.step, x.row, h0,
            c0,     or_null(case_.lengths), or_null(case_.reset), variant};
  }

  void forward(const Manner& manner, const carousel::Kept& kept, Laid& out,
               LayerValues<float>& values) const {
    const Packed packed(target_.packed_forward_floats(shape_));
    target_.pack_forward(shape_, weights(), packed.data(), manner.threads);
    Laid x = laid(case_.x, shape_.input, manner);
    const float *h0 = case_.h0.data(), *c0 = case_.c0.data();
    if (manner.state_in_place) {
      values.h_n = case_.h0, values.c_n = case_.c0;
      h0 = values.h_n.data(), c0 = values.c_n.data();
    }
    soil_scratch();
    target_.forward({sequence(x, h0, c0), packed.data(), out.floats.data(), out.step, out.row,
                     values.h_n.data(), values.c_n.data(), kept, manner.threads % 2},
                    manner.threads);
    for (int64_t t = 0; t < shape_.steps; ++t)
      for (int64_t b = 0; b < shape_.batch; ++b)
        std::copy_n(out.at(t, b), shape_.output,
                    values.out.begin() + (t * shape_.batch + b) * shape_.output);
    check_gaps(out);
  }

  // The memory that this thread keeps from call to call holds NaN, so that nothing can be read from
  // the last call.
  static void soil_scratch() {
    constexpr size_t kBytes = 1 << 20;  // more than a call of most cases takes
    std::memset(carousel::scratch(kBytes), 0xff, kBytes);
  }

  // Between the rows of out nothing is written.
  void check_gaps(Laid out) const {
    for (int64_t t = 0; t < shape_.steps; ++t)
      for (int64_t b = 0; b < shape_.batch; ++b)
        std::fill_n(out.at(t, b), shape_.output, kUnwritten);
    for (const float value : out.floats)
      check(bits_of(value) == bits_of(kUnwritten), "%s: written between rows of out", target_.name);
  }

  // From the kernel's order of gates to (T, B, H), zeros past an end, where nothing was written.
  void unpack(const std::vector<float>& gates, const std::vector<float>& cells,
              LayerValues<float>& values) const {
    const int64_t lanes = target_.lanes, H = shape_.hidden;
    std::vector<float>* const kinds[] = {&values.i, &values.f, &values.g, &values.o};
    for (int64_t b = 0; b < shape_.batch; ++b)
      for (int64_t t = 0; t < shape_.steps; ++t) {
        const int64_t row = t * shape_.batch + b;
        const float* from = gates.data() + row * 4 * width();
        const float* cell = cells.data() + row * width();
        if (t >= case_.length(b)) {
          bool written = false;
          for (int64_t k = 0; k < 4 * width(); ++k)
            written |= bits_of(from[k]) != bits_of(kUnwritten);
          for (int64_t k = 0; k < width(); ++k) written |= bits_of(cell[k]) != bits_of(kUnwritten);
          check(!written, "%s: kept a step past the end", target_.name);
        }
        for (int64_t j = 0; j < H; ++j) {
          const auto to = static_cast<size_t>(row * H + j);
          const bool real = t < case_.length(b);
          for (int64_t gate = 0; gate < 4; ++gate)
            (*kinds[gate])[to] =
                real ? from[j / lanes * 4 * lanes + gate * lanes + j % lanes] : 0.0f;
          values.c[to] = real ? cell[j] : 0.0f;
        }
      }
  }

  void backward(const Manner& manner, const carousel::Kept& kept, Laid& out, bool constant,
                LayerValues<float>& values) const {
    const Packed packed(target_.packed_backward_floats(shape_));
    carousel::Weights given = weights();
    given.bias_ih = given.bias_hh =
        nullptr;  // they are not read, nor is this where dx is not wanted
    if (constant) given.weight_ih = nullptr;
    target_.pack_backward(shape_, given, packed.data(), manner.threads);
    Laid x = laid(case_.x, shape_.input, manner);
    const bool from_out = !case_.grad_out.empty();
    Laid grad_out = from_out ? laid(case_.grad_out, shape_.output, manner) : Laid(0, 0, 0, 0);
    carousel::Backward call{};
    call.sequence = sequence(x, case_.h0.data(), case_.c0.data());
    call.packed = packed.data();
    call.out = out.floats.data();
    call.out_step = out.step;
    call.out_row = out.row;
    call.kept = kept;
    call.grad_out = from_out ? grad_out.floats.data() : nullptr;
    call.grad_out_step = grad_out.step;
    call.grad_out_row = grad_out.row;
    call.grad_h_n = or_null(case_.grad_h_n);
    call.grad_c_n = or_null(case_.grad_c_n);
    call.grad_h0 = values.grad_h0.data();
    call.grad_c0 = values.grad_c0.data();
    if (!constant) {
      call.grad_x = values.grad_x.data();
      call.grad_weight_ih = values.grad_weight_ih.data();
      call.grad_weight_hh = values.grad_weight_hh.data();
      call.grad_bias = values.grad_bias.data();
      call.grad_weight_hr = shape_.projects() ? values.grad_weight_hr.data() : nullptr;
      call.grad_peephole = case_.peephole.empty() ? nullptr : values.grad_peephole.data();
    }
    soil_scratch();
    target_.backward(call, manner.threads);
  }

  const LayerCase& case_;
  const carousel::Target& target_;
  const carousel::Shape& shape_;
};

}  // namespace test
