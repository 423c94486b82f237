// How far float32 sums may be from the true ones, and whether floats are the same bits.
//
// With u = 2^-24 for each rounding, n roundings in a row change a number by a factor within
// 1 +- gamma(n) (Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, Lemma 3.1).
#pragma once

#include <cstdint>
#include <cstring>

namespace test {

constexpr double kRoundoff = 0x1p-24;

inline double gamma(int64_t roundings) {
  const double n = static_cast<double>(roundings) * kRoundoff;
  return n / (1.0 - n);
}

inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// The nearest bf16, of two the even one. A NaN stays one.
inline float nearest_bf16(float value) {
  const uint32_t bits = bits_of(value);
  if (value != value) return float_of((bits | 0x00400000u) & 0xffff0000u);
  return float_of((bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u);
}

inline bool same_bits(const float* a, const float* b, int64_t count) {
  return count == 0 || std::memcmp(a, b, static_cast<size_t>(count) * sizeof(float)) == 0;
}

}  // namespace test
