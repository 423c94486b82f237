// One call of the layer as plain numbers: a shape, a variant of the cell, weights and sequences.
//
// Shape letters as in lstm.h. All arrays are contiguous; one that is empty is absent.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "lstm.h"
#include "random.h"

namespace test {

struct LayerCase {
  carousel::Shape shape{};
  bool reverse = false;
  float cell_clip = 0.0f;
  float zoneout_h = 0.0f, zoneout_c = 0.0f;
  std::vector<uint8_t> zoneout_h_mask, zoneout_c_mask, reset;
  std::vector<int64_t> lengths;
  std::vector<float> x, h0, c0;
  std::vector<float> weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, peephole, recurrent_mask;
  std::vector<float> grad_out, grad_h_n, grad_c_n;

  int64_t length(int64_t b) const {
    return lengths.empty() ? shape.steps : lengths[static_cast<size_t>(b)];
  }
  std::string name() const;
};

// What a case has beside the textbook's cell.
struct Features {
  bool reverse = false, biases = true, one_bias = false, peepholes = false, clip = false;
  bool zoneout_rates = false, zoneout_masks = false, recurrent_mask = false;
  bool lengths = false, reset = false;
  bool grad_out = true, grad_states = true;

  static Features drawn(Random& random) {
    Features f;
    for (bool* flag :
         {&f.reverse, &f.biases, &f.peepholes, &f.clip, &f.recurrent_mask, &f.lengths, &f.reset})
      *flag = random.chance(0.5);
    f.one_bias = random.chance(0.2);
    f.zoneout_rates = random.chance(0.25);
    f.zoneout_masks = random.chance(0.25);
    f.grad_out = random.chance(0.9);
    f.grad_states = random.chance(0.8) || !f.grad_out;
    return f;
  }
};

inline std::vector<uint8_t> bytes(Random& random, int64_t count, double share) {
  std::vector<uint8_t> values(static_cast<size_t>(count));
  for (uint8_t& value : values) value = static_cast<uint8_t>(random.chance(share));
  return values;
}

// Weights are as large as PyTorch's initial ones, or `gain` times that.
inline LayerCase make_case(const carousel::Shape& shape, const Features& f, Random& random,
                           double gain = 1.0) {
  const int64_t T = shape.steps, B = shape.batch, I = shape.input, H = shape.hidden,
                P = shape.output;
  const double size = gain / std::sqrt(static_cast<double>(H));
  LayerCase c;
  c.shape = shape;
  c.reverse = f.reverse;
  c.x = random.numbers(T * B * I, 1.0);
  c.h0 = random.numbers(B * P, 1.0);
  c.c0 = random.numbers(B * H, 1.0);
  c.weight_ih = random.numbers(4 * H * I, size);
  c.weight_hh = random.numbers(4 * H * P, size);
  if (f.biases) c.bias_ih = random.numbers(4 * H, size);
  if (f.biases && !f.one_bias) c.bias_hh = random.numbers(4 * H, size);
  if (shape.projects()) c.weight_hr = random.numbers(P * H, size);
  if (f.peepholes) c.peephole = random.numbers(3 * H, 0.5);
  if (f.clip) c.cell_clip = 0.4f;  // which is exceeded often
  if (f.zoneout_rates) {
    c.zoneout_h = 0.1f;
    c.zoneout_c = 0.3f;
  }
  if (f.zoneout_masks) {
    c.zoneout_h_mask = bytes(random, T * B * P, 0.3);
    c.zoneout_c_mask = bytes(random, T * B * H, 0.3);
  }
  if (f.recurrent_mask) {
    c.recurrent_mask = random.numbers(B * P, 1.0);
    for (float& m : c.recurrent_mask) m = m < -0.4f ? 0.0f : 1.0f / 0.7f;
  }
  if (f.lengths) {
    c.lengths.resize(static_cast<size_t>(B));
    for (int64_t& length : c.lengths) length = random.between(0, T);
  }
  if (f.reset) c.reset = bytes(random, T * B, 0.2);
  if (f.grad_out) c.grad_out = random.numbers(T * B * P, 1.0);
  if (f.grad_states) {
    c.grad_h_n = random.numbers(B * P, 1.0);
    c.grad_c_n = random.numbers(B * H, 1.0);
  }
  return c;
}

inline std::string LayerCase::name() const {
  std::string text = "T=" + std::to_string(shape.steps) + " B=" + std::to_string(shape.batch) +
                     " I=" + std::to_string(shape.input) + " H=" + std::to_string(shape.hidden) +
                     " P=" + std::to_string(shape.output);
  const auto say = [&](bool has, const char* what) {
    if (has) text += std::string(" ") + what;
  };
  say(reverse, "reverse");
  say(bias_ih.empty(), "no-bias");
  say(!bias_ih.empty() && bias_hh.empty(), "one-bias");
  say(!peephole.empty(), "peepholes");
  say(cell_clip > 0.0f, "clip");
  say(zoneout_h > 0.0f, "zoneout-rates");
  say(!zoneout_h_mask.empty(), "zoneout-masks");
  say(!recurrent_mask.empty(), "recurrent-mask");
  say(!lengths.empty(), "lengths");
  say(!reset.empty(), "reset");
  say(grad_out.empty(), "no-grad-out");
  say(grad_h_n.empty(), "no-grad-states");
  return text;
}

}  // namespace test
