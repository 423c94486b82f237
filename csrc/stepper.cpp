// One step through a stack of layers; see stepper.h.
#include "stepper.h"

namespace carousel {
namespace {

// Weights of fewer floats are read sooner than another thread wakes up.
constexpr int64_t kFloatsForATeam = 1 << 16;

}  // namespace

void Stepper::add(int64_t input, int64_t hidden, int64_t output, const Variant& variant,
                  const float* packed, float* h, float* c) {
  const Shape shape{1, batch_, input, hidden, output};
  layers_.push_back(
      {shape, variant, packed, h, c, std::vector<float>(static_cast<size_t>(batch_ * output))});
}

void Stepper::step(const float* x, int64_t x_row, float* out, int threads) {
  for (Layer& layer : layers_) {
    const bool last = &layer == &layers_.back();
    const Shape& s = layer.shape;
    float* to = last ? out : layer.out.data();
    const Sequence sequence{s,
                            false,
                            x,
                            0,
                            x_row,
                            layer.h,
                            layer.c,
                            nullptr,
                            nullptr,
                            layer.variant,
                            Precision::kFloat32};
    const Forward call{sequence, layer.packed,       to,   0, s.output, layer.h,
                       layer.c,  {nullptr, nullptr}, turn_};
    const int64_t work = s.batch * 4 * s.hidden * (s.input + s.output);
    forward(call, work >= kFloatsForATeam ? threads : 1);
    x = to;
    x_row = s.output;
  }
  turn_ = 1 - turn_;
}

}  // namespace carousel
