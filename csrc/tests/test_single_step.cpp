// One step straight from the weights against the naive layer, on every instruction set.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "check.h"
#include "naive_layer.h"
#include "rounding.h"
#include "tested_targets.h"

namespace {

using carousel::Shape;
using carousel::Target;
using test::check;
using test::LayerCase;
using test::Random;
using test::Tracked;

constexpr float kUnwritten = std::numeric_limits<float>::quiet_NaN();

struct Step {
  std::vector<float> h, c, out;
};

// Row `from` and those after it, on x with a gap between the rows. Without a state there are nulls.
Step run(const Target& target, const LayerCase& layer, int64_t from, int64_t batch, bool state,
         int threads) {
  const Shape& s = layer.shape;
  const int64_t gap = 3;
  std::vector<float> x(static_cast<size_t>(batch * (s.input + gap) - gap), kUnwritten);
  for (int64_t b = 0; b < batch; ++b)
    std::copy_n(layer.x.begin() + (from + b) * s.input, s.input, x.begin() + b * (s.input + gap));
  const auto floats = static_cast<size_t>(batch * s.hidden);
  Step step{std::vector<float>(floats, kUnwritten), std::vector<float>(floats, kUnwritten),
            std::vector<float>(floats, kUnwritten)};
  const auto given = [](const std::vector<float>& b) { return b.empty() ? nullptr : b.data(); };
  const carousel::Weights weights{layer.weight_ih.data(),
                                  layer.weight_hh.data(),
                                  given(layer.bias_ih),
                                  given(layer.bias_hh),
                                  nullptr,
                                  nullptr};
  target.single_step({{1, batch, s.input, s.hidden, s.hidden},
                      weights,
                      x.data(),
                      s.input + gap,
                      state ? layer.h0.data() + from * s.hidden : nullptr,
                      state ? layer.c0.data() + from * s.hidden : nullptr,
                      step.h.data(),
                      step.c.data(),
                      threads == 1 ? nullptr : step.out.data()},
                     threads);
  return step;
}

void within(const std::vector<float>& got, const std::vector<Tracked>& wanted, const char* what,
            const Target& target, const LayerCase& layer) {
  for (size_t k = 0; k < got.size(); ++k) {
    const double error = std::fabs(static_cast<double>(got[k]) - wanted[k].value);
    check(error <= wanted[k].error * (1.0 + 1e-9), "%s: %s[%zu] is %.9g, not %.9g within %.3g; %s",
          target.name, what, k, static_cast<double>(got[k]), wanted[k].value, wanted[k].error,
          layer.name().c_str());
  }
}

void test_case(LayerCase layer, bool state) {
  const int64_t B = layer.shape.batch, H = layer.shape.hidden;
  if (!state)
    for (std::vector<float>* part : {&layer.h0, &layer.c0})
      std::fill(part->begin(), part->end(), 0.0f);
  const test::LayerInputs<Tracked> inputs(layer);
  const test::LayerValues<Tracked> wanted = test::NaiveLayer<Tracked>(layer, inputs).run(false);
  for (const Target* target : test::tested_targets()) {
    const Step first = run(*target, layer, 0, B, state, 1);
    within(first.h, wanted.h_n, "h", *target, layer);
    within(first.c, wanted.c_n, "c", *target, layer);
    for (int threads = 2; threads <= 3; ++threads) {
      const Step step = run(*target, layer, 0, B, state, threads);
      for (const std::vector<float>* h : {&step.h, &step.out})
        check(test::same_bits(h->data(), first.h.data(), B * H), "%s: h depends on the team; %s",
              target->name, layer.name().c_str());
      check(test::same_bits(step.c.data(), first.c.data(), B * H), "%s: c depends on the team; %s",
            target->name, layer.name().c_str());
    }
    const Step alone = run(*target, layer, B - 1, 1, state, 1);
    check(test::same_bits(alone.h.data(), first.h.data() + (B - 1) * H, H),
          "%s: a row depends on the others; %s", target->name, layer.name().c_str());
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
      test_case(test::make_case({1, batch, input, hidden, hidden}, features, random),
                random.chance(0.7));
    }
  return test::result();
}
