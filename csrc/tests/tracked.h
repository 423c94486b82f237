// Numbers that know how far a float32 computation of them may be off: a running error analysis.
//
// docs/numerics.md derives the rules; here each operation applies its own. A bound holds for sums
// in any order, fused or not, so it covers every instruction set and every number of threads. The
// model of rounding leaves underflow out, so every product adds the least positive float.
#pragma once

#include <algorithm>
#include <cmath>

#include "activations.h"
#include "rounding.h"

namespace test {

struct Tracked {
  double value = 0.0;
  double error = 0.0;  // the most that |computed - value| can be

  Tracked() = default;
  Tracked(double exact, double bound = 0.0) : value(exact), error(bound) {}
  double largest() const { return std::fabs(value) + error; }
};

constexpr double kUnderflow = 0x1p-149;
constexpr double kLeastNormal = 0x1p-126;

inline Tracked operator+(const Tracked& a, const Tracked& b) {
  if (a.largest() == 0.0) return b;  // exact
  if (b.largest() == 0.0) return a;
  const double error = a.error + b.error;
  return {a.value + b.value, error + kRoundoff * (std::fabs(a.value + b.value) + error)};
}
inline Tracked operator-(const Tracked& a, const Tracked& b) {
  return a + Tracked(-b.value, b.error);
}
inline Tracked operator*(const Tracked& a, const Tracked& b) {
  if (a.largest() == 0.0 || b.largest() == 0.0) return {};  // exact, as is the next
  if (a.value == 1.0 && a.error == 0.0) return b;
  const double value = a.value * b.value;
  return {value, (1.0 + kRoundoff) * a.largest() * b.largest() - std::fabs(value) + kUnderflow};
}

// The share of a factor by which it may have been rounded before it was multiplied in a sum: 2^-8
// where factors are bf16.
inline double factor_rounding = 0.0;
constexpr double kBf16Roundoff = 0x1p-8;

// A sum of n terms takes each through at most n - 1 additions, and products through one rounding
// more. Terms that are exactly 0 change no sum.
template <class N>
class Sum;

template <>
class Sum<double> {
 public:
  void add(double term) { value_ += term; }
  void add(double a, double b) { value_ += a * b; }
  double result() const { return value_; }

 private:
  double value_ = 0.0;
};

template <>
class Sum<Tracked> {
 public:
  void add(const Tracked& term) {
    if (term.largest() == 0.0) return;
    ++terms_;
    value_ += term.value;
    error_ += term.error;
    largest_ += term.largest();
  }
  void add(const Tracked& a, const Tracked& b) {
    double most = a.largest() * b.largest();
    if (most == 0.0) return;
    most *= (1.0 + factor_rounding) * (1.0 + factor_rounding);
    // Numbers below the least normal one count as 0 where factors are bf16.
    if (factor_rounding > 0.0) most += kLeastNormal * (a.largest() + b.largest() + 1.0);
    ++terms_;
    value_ += a.value * b.value;
    error_ += most - std::fabs(a.value * b.value) + kUnderflow;
    largest_ += most;
  }
  Tracked result() const { return {value_, error_ + gamma(terms_) * largest_}; }

 private:
  int64_t terms_ = 0;
  double value_ = 0.0, error_ = 0.0, largest_ = 0.0;
};

// The slope of either function is at most `slope` here and changes by `bend` a unit.
inline Tracked activated(double value, double error, double slope, double bend, double steepest,
                         double relative) {
  const double before = error * std::min(steepest, slope + error * bend);
  return {value, before + relative * (std::fabs(value) + before)};
}

constexpr double kLeastSigmoid = 1.7e-38;  // that of -87, where it stays for all below

inline double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
inline Tracked sigmoid(const Tracked& x) {
  const double y = sigmoid(x.value);
  Tracked bounded = activated(y, x.error, y * (1.0 - y), 1.0 / (6.0 * std::sqrt(3.0)), 0.25,
                              static_cast<double>(carousel::kSigmoidBound));
  bounded.error += kLeastSigmoid;
  return bounded;
}
inline double hyperbolic(double x) { return std::tanh(x); }
inline Tracked hyperbolic(const Tracked& x) {
  const double y = std::tanh(x.value);
  return activated(y, x.error, 1.0 - y * y, 4.0 / (3.0 * std::sqrt(3.0)), 1.0,
                   static_cast<double>(carousel::kTanhBound));
}

inline double clipped(double x, double bound) { return std::clamp(x, -bound, bound); }
inline Tracked clipped(const Tracked& x, double bound) {
  return {clipped(x.value, bound), x.error};
}

// The gradient through a clip. Where x may lie on either side so may the result.
inline double through_clip(double x, double bound, double gradient) {
  return std::fabs(x) <= bound ? gradient : 0.0;
}
inline Tracked through_clip(const Tracked& x, double bound, const Tracked& gradient) {
  const bool uncertain = std::fabs(std::fabs(x.value) - bound) <= x.error;
  if (std::fabs(x.value) <= bound)
    return {gradient.value, uncertain ? gradient.largest() : gradient.error};
  return {0.0, uncertain ? gradient.largest() : 0.0};
}

}  // namespace test
