// Plain C++ with products of bf16 pairs, bit by bit: the templates' other kind of words, on any
// processor. For tests only.
#pragma once

#include <cstdint>
#include <cstring>

#include "targets/vector_portable.h"

namespace carousel {

struct PortablePairs : Portable {
  static constexpr const char* kName = "portable_pairs";
  static constexpr bool kPairs = true;

  static V add_products(V a, V b, V sum) {
    for (int k = 0; k < kLanes; ++k) {
      const uint32_t left = bits_of(a.lane[k]), right = bits_of(b.lane[k]);
      sum.lane[k] += float_of(left & 0xffff0000u) * float_of(right & 0xffff0000u);
      sum.lane[k] += float_of(left << 16) * float_of(right << 16);
    }
    return sum;
  }
  static V pair(V even, V odd) {
    V words;
    for (int k = 0; k < kLanes; ++k)
      words.lane[k] = float_of(rounded(odd.lane[k]) | rounded(even.lane[k]) >> 16);
    return words;
  }
  static void store_neighbours(float* p, V v) {
    for (int k = 0; k < kLanes; k += 2)
      p[k / 2] = float_of(rounded(v.lane[k + 1]) | rounded(v.lane[k]) >> 16);
  }

 private:
  static uint32_t bits_of(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
  }
  static float float_of(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  // The nearest bf16, of two the even one, in the upper half. A NaN stays one.
  static uint32_t rounded(float value) {
    const uint32_t bits = bits_of(value);
    if (value != value) return (bits | 0x00400000u) & 0xffff0000u;
    return (bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u;
  }
};

}  // namespace carousel
