// Plain C++ with products of bf16 pairs, bit by bit: the templates' other kind of words, on any
// processor. For tests only.
#pragma once

#include <cstdint>

#include "rounding.h"
#include "targets/vector_portable.h"

namespace carousel {

struct PortablePairs : Portable {
  static constexpr const char* kName = "portable_pairs";
  static constexpr bool kPairs = true;

  static V add_products(V a, V b, V sum) {
    for (int k = 0; k < kLanes; ++k) {
      const uint32_t left = test::bits_of(a.lane[k]), right = test::bits_of(b.lane[k]);
      sum.lane[k] += test::float_of(left & 0xffff0000u) * test::float_of(right & 0xffff0000u);
      sum.lane[k] += test::float_of(left << 16) * test::float_of(right << 16);
    }
    return sum;
  }
  static V pair(V even, V odd) {
    V words;
    for (int k = 0; k < kLanes; ++k) words.lane[k] = word(even.lane[k], odd.lane[k]);
    return words;
  }
  static void store_neighbours(float* p, V v) {
    for (int k = 0; k < kLanes; k += 2) p[k / 2] = word(v.lane[k], v.lane[k + 1]);
  }

 private:
  // Two bf16 of one word.
  static float word(float even, float odd) {
    return test::float_of(test::bits_of(test::nearest_bf16(odd)) |
                          test::bits_of(test::nearest_bf16(even)) >> 16);
  }
};

}  // namespace carousel
