// One step straight from the weights: the same bits as the packed pass, on every instruction set.
#include <vector>

#include "check.h"
#include "kernel_layer.h"
#include "tested_targets.h"

namespace {

using carousel::Shape;
using carousel::Target;
using test::check;
using test::LayerCase;
using test::Random;

void test_case(const LayerCase& layer) {
  const Shape& s = layer.shape;
  const int64_t gap = 3;  // between rows of x
  std::vector<float> x(static_cast<size_t>(s.batch * (s.input + gap) - gap), test::kUnwritten);
  for (int64_t b = 0; b < s.batch; ++b)
    std::copy_n(layer.x.begin() + b * s.input, s.input, x.begin() + b * (s.input + gap));
  for (const Target* target : test::tested_targets()) {
    const test::LayerValues<float> wanted = test::KernelLayer(layer, *target).infer({});
    for (int threads = 1; threads <= 3; ++threads) {
      std::vector<float> h(layer.h0.size(), test::kUnwritten), c(layer.c0.size(), test::kUnwritten);
      const auto bias = [](const std::vector<float>& b) { return b.empty() ? nullptr : b.data(); };
      const carousel::Weights weights{layer.weight_ih.data(),
                                      layer.weight_hh.data(),
                                      bias(layer.bias_ih),
                                      bias(layer.bias_hh),
                                      nullptr,
                                      nullptr};
      target->single_step({s, weights, x.data(), s.input + gap, layer.h0.data(), layer.c0.data(),
                           h.data(), c.data()},
                          threads);
      check(test::same_bits(h.data(), wanted.h_n.data(), static_cast<int64_t>(h.size())),
            "%s: h is not that of the packed pass; %d threads, %s", target->name, threads,
            layer.name().c_str());
      check(test::same_bits(c.data(), wanted.c_n.data(), static_cast<int64_t>(c.size())),
            "%s: c is not that of the packed pass; %d threads, %s", target->name, threads,
            layer.name().c_str());
    }
  }
}

}  // namespace

int main() {
  Random random(23);
  for (const int64_t hidden : {1, 3, 4, 7, 8, 16, 17, 31, 40, 64, 256, 257, 300})
    for (const int64_t input : {1, 8, 32, 33, 270}) {
      test::Features features;
      features.biases = random.chance(0.8);
      features.one_bias = random.chance(0.3);
      const int64_t batch = random.between(1, 3);
      test_case(test::make_case({1, batch, input, hidden, hidden}, features, random));
    }
  return test::result();
}
