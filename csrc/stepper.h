// A stack of layers that is fed one step at a time: packed weights and buffers stay from step to
// step.
#pragma once

#include <cstdint>
#include <vector>

#include "lstm.h"

namespace carousel {

class Stepper {
 public:
  // A stack for `batch` rows, with no layers yet.
  explicit Stepper(int64_t batch) : batch_(batch) {}

  // Puts a layer on top. packed is from pack_forward; it, h (B, P) and c (B, H) must live as long
  // as this object. h and c hold the state: they are read and written by every step.
  void add(int64_t input, int64_t hidden, int64_t output, const Variant& variant,
           const float* packed, float* h, float* c);

  int64_t batch() const { return batch_; }
  int64_t inputs() const { return layers_.front().shape.input; }
  int64_t outputs() const { return layers_.back().shape.output; }

  // x (B, I), row b at x + b * x_row, goes in; the last layer's h goes to out (B, P).
  void step(const float* x, int64_t x_row, float* out, int threads);

 private:
  struct Layer {
    Shape shape;
    Variant variant;
    const float* packed;
    float* h;
    float* c;
    std::vector<float> out;  // (B, P), where it is not the last
  };

  int64_t batch_;
  int turn_ = 0;
  std::vector<Layer> layers_;
};

}  // namespace carousel
