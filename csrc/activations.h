// The logistic function and the hyperbolic tangent, in vectors.
//
// Both stand on one exponential: x = n ln 2 + r with a whole n and |r| <= ln(2) / 2, and
//
//     e^x - 1 = 2^n p + (2^n - 1),   p = e^r - 1 = r + r^2 q(r),
//
// where q has degree 4. Its coefficients were fitted here, by Lawson's iteration, for the smallest
// greatest relative error of p, which is 1.4e-8; that is a quarter of a unit in the last place, so
// the bounds below are those of the rounding. tests/test_activations.cpp reads them.
#pragma once

namespace carousel {

constexpr float kSigmoidBound = 1.5e-7f;  // greatest relative error for x in [-87, infinity)
constexpr float kTanhBound = 1.95e-7f;    // greatest relative error for every x

template <class S>
struct Activations {
  using V = typename S::V;

  // Below -87 the result stays at that of -87, which is 1.6e-38.
  static V sigmoid(V x) {
    const Parts e = exponential(S::at_most(S::at_least(S::sub(S::zero(), x), -87.0f), 87.0f));
    const V power = S::fma(e.scale, e.p, e.scale);
    return S::div(S::set(1.0f), S::add(S::set(1.0f), power));
  }

  static V tanh(V x) {
    const V one = S::set(1.0f);
    const Parts e = exponential(S::at_most(S::at_least(S::add(x, x), -40.0f), 40.0f));
    const V power_less_one = S::fma(e.scale, e.p, S::sub(e.scale, one));
    return S::div(power_less_one, S::add(power_less_one, S::set(2.0f)));
  }

 private:
  struct Parts {
    V p, scale;  // e^r - 1 and 2^n
  };

  static Parts exponential(V x) {
    // Adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits.
    const V magic = S::set(12582912.0f);
    const V shifted = S::fma(x, S::set(1.44269504f), magic);
    const V n = S::sub(shifted, magic);
    // ln 2 in two parts, the first so short that n times it is exact.
    V r = S::fnma(n, S::set(0.693359375f), x);
    r = S::fnma(n, S::set(-2.12194442e-4f), r);
    V q = S::fma(S::set(1.3882520e-3f), r, S::set(8.3665140e-3f));
    q = S::fma(q, r, S::set(4.1667201e-2f));
    q = S::fma(q, r, S::set(1.6666543e-1f));
    q = S::fma(q, r, S::set(4.9999997e-1f));
    return {S::fma(S::mul(r, r), q, r), S::power_of_two(shifted)};
  }
};

}  // namespace carousel
