// Forward and backward pass of every instruction set against the naive layer, with all variants.
//
// Every number must lie within the bound that the naive layer computes beside it, and be the same
// bits for any number of threads, any layout, and whether gates are kept or not. An argument is the
// number of random cases.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "kernel_layer.h"
#include "naive_layer.h"
#include "schedule.h"
#include "tested_targets.h"

namespace {

using carousel::Shape;
using carousel::Target;
using test::check;
using test::Features;
using test::KernelLayer;
using test::LayerCase;
using test::LayerValues;
using test::Manner;
using test::Random;
using test::Tracked;

std::map<std::string, double>
    closest;  // the greatest error of each result, as a share of its bound

void within_bounds(const LayerValues<float>& got, const LayerValues<Tracked>& wanted,
                   const LayerCase& layer, const char* target) {
  std::vector<const std::vector<float>*> all;
  got.each([&](const char*, const std::vector<float>& values) { all.push_back(&values); });
  size_t number = 0;
  wanted.each([&](const char* name, const std::vector<Tracked>& values) {
    const std::vector<float>& floats = *all[number++];
    double worst = 0.0;
    for (size_t k = 0; k < values.size(); ++k) {
      const double error = std::fabs(static_cast<double>(floats[k]) - values[k].value);
      // The bound itself is computed in double, with errors of 1e-13 at most.
      const double bound = values[k].error * (1.0 + 1e-9) + 1e-13 * std::fabs(values[k].value);
      if (error == 0.0) continue;
      worst = std::max(worst, error <= bound ? error / bound : HUGE_VAL);  // NaN is outside too
      if (!(error <= bound) || !std::isfinite(bound)) {
        check(false, "%s: %s[%zu] is %.9g, not %.9g within %.3g; %s", target, name, k,
              static_cast<double>(floats[k]), values[k].value, bound, layer.name().c_str());
        return;
      }
    }
    closest[name] = std::max(closest[name], worst);
  });
}

void same(const LayerValues<float>& a, const LayerValues<float>& b, bool only_forward,
          const char* target, const char* what, const LayerCase& layer) {
  std::vector<const std::vector<float>*> all;
  b.each([&](const char*, const std::vector<float>& values) { all.push_back(&values); });
  size_t number = 0;
  a.each([&](const char* name, const std::vector<float>& values) {
    const std::vector<float>& other = *all[number++];
    if (only_forward && number > 3) return;  // out, h_n, c_n
    check(test::same_bits(values.data(), other.data(), static_cast<int64_t>(values.size())),
          "%s: %s changes with %s; %s", target, name, what, layer.name().c_str());
  });
}

// Which ways of dividing the work among threads the cases have used.
struct Coverage {
  bool rows_only = false, units_only = false, both = false;

  void see(const Shape& shape, int threads) {
    const int groups = carousel::unit_groups(shape, threads);
    if (threads == 1) return;
    (groups == 1 ? rows_only : groups == threads ? units_only : both) = true;
  }
} coverage;

// With factors of bf16 the bounds have grown past all numbers after more steps than this.
constexpr int64_t kMostStepsWithBounds = 20;

void test_on(const std::vector<const Target*>& targets, const LayerCase& layer, Random& random) {
  if (targets.empty()) return;
  test::factor_rounding = targets[0]->bf16 ? test::kBf16Roundoff : 0.0;
  const test::LayerInputs<Tracked> inputs(layer);
  const LayerValues<Tracked> wanted = test::NaiveLayer<Tracked>(layer, inputs).run();
  for (const Target* target : targets) {
    const KernelLayer kernel(layer, *target);
    const LayerValues<float> one = kernel.train({});
    if (layer.shape.steps <= kMostStepsWithBounds || !target->bf16)
      within_bounds(one, wanted, layer, target->name);
    for (int threads = 1; threads <= 4; ++threads) {
      coverage.see(layer.shape, threads);
      Manner manner;
      manner.threads = threads;
      manner.layout = static_cast<int>(random.below(3));
      manner.state_in_place = random.chance(0.5);
      if (threads > 1)
        same(one, kernel.train(manner), false, target->name, "threads or layout", layer);
      same(one, kernel.infer(manner), true, target->name, "what is kept", layer);
    }
    const LayerValues<float> constant = kernel.train({}, true);
    check(constant.grad_h0.empty() || test::same_bits(one.grad_h0.data(), constant.grad_h0.data(),
                                                      static_cast<int64_t>(one.grad_h0.size())),
          "%s: grad_h0 changes with what is wanted; %s", target->name, layer.name().c_str());
  }
}

void test_case(const LayerCase& layer, Random& random) {
  test_on(test::tested_targets(), layer, random);
  if (!layer.shape.projects()) test_on(test::tested_bf16_targets(), layer, random);
}

Shape random_shape(Random& random) {
  const int64_t hidden = random.between(1, 40);
  const int64_t output = hidden > 1 && random.chance(0.3) ? random.between(1, hidden - 1) : hidden;
  const int64_t input = random.chance(0.5) ? random.between(1, 8) : random.between(30, 50);
  return {random.between(1, 9), random.between(1, 14), input, hidden, output};
}

// Where a block, a chunk or a panel is just full, or one more than that.
const Shape kEdges[] = {
    // steps, batch, input, hidden, output
    {0, 3, 5, 6, 6},        // no steps
    {4, 2, 1, 1, 1},        // least sizes
    {3, 2, 32, 64, 64},     // the widest narrow input; whole panels
    {3, 2, 33, 65, 65},     // one more
    {2, 3, 7, 264, 264},    // more hidden units than terms in a block
    {2, 2, 300, 9, 9},      // more inputs
    {2, 2, 40, 280, 260},   // more outputs
    {2, 2, 5, 70, 33},      // outputs just past a panel
    {90, 6, 40, 5, 5},      // several chunks of either pass
    {9, 60, 40, 5, 5},      // the same in few steps
    {2, 530, 3, 4, 4},      // more rows than a chunk has
    {1, 1, 520, 130, 130},  // a single step, units shared
    {3, 24, 40, 48, 48},    // rows shared
    {3, 14, 40, 96, 96},    // rows and units shared
};

void test_edges(Random& random) {
  for (const Shape& shape : kEdges) {
    Features plain;
    test_case(test::make_case(shape, plain, random), random);
    Features all;
    all.peepholes = all.clip = all.zoneout_masks = all.recurrent_mask = all.reset = true;
    all.lengths = shape.steps > 0;
    all.reverse = true;
    test_case(test::make_case(shape, all, random), random);
  }
}

void test_no_length_at_all(Random& random) {
  Features ragged;
  ragged.lengths = ragged.peepholes = true;
  LayerCase layer = test::make_case({3, 4, 2, 6, 3}, ragged, random);
  std::fill(layer.lengths.begin(), layer.lengths.end(), 0);
  test_case(layer, random);
}

// Large weights: gates saturate, and nothing overflows. The bounds grow with every step, so that
// there are few.
void test_saturated(Random& random) {
  for (const double gain : {10.0, 1e4})
    for (int k = 0; k < 3; ++k) {
      const Shape shape{2, 3, 9, 21, 21};
      test_case(test::make_case(shape, Features::drawn(random), random, gain), random);
    }
}

// A NaN among the inputs shows in its own row only, from its step on.
void test_nan(Random& random) {
  LayerCase layer = test::make_case({5, 7, 40, 18, 18}, Features(), random);
  std::vector<const Target*> targets = test::tested_targets();
  for (const Target* target : test::tested_bf16_targets()) targets.push_back(target);
  for (const Target* target : targets) {
    const LayerValues<float> clean = KernelLayer(layer, *target).train({});
    LayerCase dirty = layer;
    dirty.x[(2 * 7 + 3) * 40 + 39] = test::kUnwritten;
    const LayerValues<float> got = KernelLayer(dirty, *target).train({});
    for (size_t k = 0; k < clean.out.size(); ++k) {
      const size_t t = k / (7 * 18), b = k / 18 % 7;
      check(b == 3 && t >= 2 ? std::isnan(got.out[k]) : got.out[k] == clean.out[k],
            "%s: NaN in step 2 of row 3, and step %zu of row %zu is %g", target->name, t, b,
            static_cast<double>(got.out[k]));
    }
  }
}

// Threads of a program that each call the kernel, with teams of their own.
void test_concurrent_callers(Random& random) {
  std::vector<LayerCase> cases;
  for (int k = 0; k < 3; ++k)
    cases.push_back(test::make_case(random_shape(random), Features::drawn(random), random));
  for (const Target* target : test::tested_targets()) {
    std::vector<std::thread> callers;
    for (const LayerCase& layer : cases)
      callers.emplace_back([&layer, target] {
        const KernelLayer kernel(layer, *target);
        const LayerValues<float> alone = kernel.train({});
        Manner team;
        team.threads = 2;
        for (int repetition = 0; repetition < 5; ++repetition)
          same(alone, kernel.train(team), false, target->name, "other callers", layer);
      });
    for (std::thread& caller : callers) caller.join();
  }
}

}  // namespace

int main(int count, char** arguments) {
  Random random(3);
  const int cases = count > 1 ? std::atoi(arguments[1]) : 60;
  test_edges(random);
  for (int k = 0; k < cases; ++k)
    test_case(test::make_case(random_shape(random), Features::drawn(random), random), random);
  test_no_length_at_all(random);
  test_saturated(random);
  test_nan(random);
  test_concurrent_callers(random);
  check(coverage.rows_only, "no case shared rows alone: unit_groups has changed, add one");
  check(coverage.units_only, "no case shared units alone: unit_groups has changed, add one");
  check(coverage.both, "no case shared both: unit_groups has changed, add one");
  std::printf("greatest errors, as shares of their bounds:");
  for (const auto& [name, share] : closest) std::printf(" %s %.2g", name.c_str(), share);
  std::printf("\n");
  return test::result();
}
