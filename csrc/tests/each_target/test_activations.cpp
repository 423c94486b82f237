// The logistic function and the hyperbolic tangent against double, within the bounds of
// activations.h.
//
// Goes through all floats in steps of a prime number of them. An argument is another step: 1 takes
// minutes and finds the true maxima.
#include "activations.h"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

#include "../rounding.h"
#include "instruction_set.h"

namespace {

using test::bits_of;
using test::check;
using test::float_of;
using test::S;
using test::V;

constexpr int kLanes = S::kLanes;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

float sigmoid(float x) {
  float y[kLanes];
  S::store(y, carousel::Activations<S>::sigmoid(S::set(x)));
  return y[0];
}

float tanh(float x) {
  float y[kLanes];
  S::store(y, carousel::Activations<S>::tanh(S::set(x)));
  return y[0];
}

double true_sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

// Calls visit(x, sigmoid(x), tanh(x)) for every step-th of the floats whose bits are from `first`
// to `last`, a vector at a time, and for the last one.
template <class F>
void for_floats(uint32_t first, uint32_t last, uint32_t step, F visit) {
  for (uint64_t start = first; start <= last; start += uint64_t{step} * kLanes) {
    float x[kLanes], s[kLanes], t[kLanes];
    for (int k = 0; k < kLanes; ++k) {
      const uint64_t bits = start + uint64_t{step} * static_cast<uint64_t>(k);
      x[k] = float_of(bits < last ? static_cast<uint32_t>(bits) : last);
    }
    S::store(s, carousel::Activations<S>::sigmoid(S::load(x)));
    S::store(t, carousel::Activations<S>::tanh(S::load(x)));
    for (int k = 0; k < kLanes; ++k) visit(x[k], s[k], t[k]);
  }
}

struct Worst {
  double error = 0.0;
  float at = 0.0f;

  void see(double value, double truth, float x) {
    const double relative =
        truth == 0.0 ? std::fabs(value) : std::fabs(value - truth) / std::fabs(truth);
    if (relative <= error) return;
    error = relative;
    at = x;
  }
  void within(double bound, const char* what) const {
    std::printf("%s: greatest relative error %.4g at %.9g, bound %.4g\n", what, error,
                static_cast<double>(at), bound);
    check(error <= bound, "%s is outside its bound", what);
  }
};

void test_errors(uint32_t step) {
  Worst of_sigmoid, of_tanh;
  for (const uint32_t sign : {0u, 0x80000000u})
    for_floats(sign, sign | bits_of(kInfinity), step, [&](float x, float s, float t) {
      const double exact = static_cast<double>(x);
      if (x >= -87.0f) of_sigmoid.see(static_cast<double>(s), true_sigmoid(exact), x);
      of_tanh.see(static_cast<double>(t), std::tanh(exact), x);
    });
  of_sigmoid.within(static_cast<double>(carousel::kSigmoidBound), "sigmoid");
  of_tanh.within(static_cast<double>(carousel::kTanhBound), "tanh");
}

// No result leaves the range of its function, and where that is flat in float32 so are the results.
void test_saturation(uint32_t step) {
  const float low = sigmoid(-87.0f);
  check(low > 1.6e-38f && low < 1.7e-38f, "sigmoid(-87) is %g", static_cast<double>(low));
  for (const uint32_t sign : {0u, 0x80000000u})
    for_floats(sign, sign | bits_of(kInfinity), step, [&](float x, float s, float t) {
      const double at = static_cast<double>(x);
      check(s >= low && s <= 1.0f, "sigmoid(%.9g) = %.9g", at, static_cast<double>(s));
      check(t >= -1.0f && t <= 1.0f, "tanh(%.9g) = %.9g", at, static_cast<double>(t));
      check(std::signbit(t) == std::signbit(x) || t == 0.0f, "tanh(%.9g) = %.9g", at,
            static_cast<double>(t));
      // Beyond 25 ln 2 and 13 ln 2 what is missing from 1 is below half of the last place.
      if (x >= 17.4f) check(s == 1.0f, "sigmoid(%.9g) = %.9g", at, static_cast<double>(s));
      if (x <= -87.0f) check(s == low, "sigmoid(%.9g) = %.9g", at, static_cast<double>(s));
      if (std::fabs(x) >= 9.1f)
        check(std::fabs(t) == 1.0f, "tanh(%.9g) = %.9g", at, static_cast<double>(t));
    });
}

// Neither falls by more than rounding where its argument grows.
void test_order(uint32_t step) {
  float last_sigmoid = 0.0f, last_tanh = 0.0f;
  for_floats(0, bits_of(kInfinity), step, [&](float x, float s, float t) {
    const double slack_s = 2.0 * static_cast<double>(carousel::kSigmoidBound);
    const double slack_t = 2.0 * static_cast<double>(carousel::kTanhBound);
    check(static_cast<double>(s) >= static_cast<double>(last_sigmoid) * (1.0 - slack_s),
          "sigmoid falls before %.9g", static_cast<double>(x));
    check(static_cast<double>(t) >= static_cast<double>(last_tanh) * (1.0 - slack_t),
          "tanh falls before %.9g", static_cast<double>(x));
    last_sigmoid = s;
    last_tanh = t;
  });
}

void test_special_values() {
  check(sigmoid(0.0f) == 0.5f && sigmoid(-0.0f) == 0.5f, "sigmoid(0) is not a half");
  check(tanh(0.0f) == 0.0f && tanh(-0.0f) == 0.0f, "tanh(0) is not 0");
  check(sigmoid(kInfinity) == 1.0f, "sigmoid(infinity) is not 1");
  check(tanh(kInfinity) == 1.0f && tanh(-kInfinity) == -1.0f, "tanh(infinity) is not 1");
  for (const uint32_t bits : {0x7fc00000u, 0xffc00000u, 0x7fffffffu, 0x7f800001u, 0xff800001u}) {
    check(std::isnan(sigmoid(float_of(bits))), "sigmoid loses the NaN %08x", bits);
    check(std::isnan(tanh(float_of(bits))), "tanh loses the NaN %08x", bits);
  }
}

int tests(int count, char** arguments) {
  const auto step = static_cast<uint32_t>(count > 1 ? std::atoi(arguments[1]) : 1999);
  test_errors(step);
  test_saturation(step);
  test_order(step);
  test_special_values();
  return test::result();
}

}  // namespace

int main(int count, char** arguments) { return test::run_where_possible(&tests, count, arguments); }
