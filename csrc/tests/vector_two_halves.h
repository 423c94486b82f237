// Two vectors of AVX2 as one of 16 lanes, with AVX-512's constants: the templates' other geometry,
// on a processor that lacks AVX-512.
//
// For tests only: half of what a tile holds lies in memory here.
#pragma once

#include <cstdint>

#include "targets/vector_avx2.h"

namespace carousel {

struct TwoHalves {
  static constexpr const char* kName = "two_halves";
  static constexpr int kLanes = 16;  // this and the four below are as in vector_avx512.h
  static constexpr int kPanelVectors = 4;
  static constexpr int kTileRows = 6;
  static constexpr int kOuterRows = 8;
  static constexpr int kOuterVectors = 3;
  static constexpr bool kPairs = false;  // factors are float32, see words.h

  using Half = Avx2;
  struct V {
    Half::V low, high;
  };

  static V zero() { return {Half::zero(), Half::zero()}; }
  static V set(float value) { return {Half::set(value), Half::set(value)}; }
  static V broadcast(const float* p) { return {Half::broadcast(p), Half::broadcast(p)}; }
  static V load(const float* p) { return {Half::load(p), Half::load(p + 8)}; }
  static void store(float* p, V v) {
    Half::store(p, v.low);
    Half::store(p + 8, v.high);
  }
  static V load_first(const float* p, int n) {
    if (n <= 8) return {Half::load_first(p, n), Half::zero()};
    return {Half::load(p), Half::load_first(p + 8, n - 8)};
  }
  static void store_first(float* p, V v, int n) {
    Half::store_first(p, v.low, n < 8 ? n : 8);
    if (n > 8) Half::store_first(p + 8, v.high, n - 8);
  }

  static V add(V a, V b) { return {Half::add(a.low, b.low), Half::add(a.high, b.high)}; }
  static V sub(V a, V b) { return {Half::sub(a.low, b.low), Half::sub(a.high, b.high)}; }
  static V mul(V a, V b) { return {Half::mul(a.low, b.low), Half::mul(a.high, b.high)}; }
  static V div(V a, V b) { return {Half::div(a.low, b.low), Half::div(a.high, b.high)}; }
  static V fma(V a, V b, V c) {
    return {Half::fma(a.low, b.low, c.low), Half::fma(a.high, b.high, c.high)};
  }
  static V fnma(V a, V b, V c) {
    return {Half::fnma(a.low, b.low, c.low), Half::fnma(a.high, b.high, c.high)};
  }
  static V at_least(V v, float bound) {
    return {Half::at_least(v.low, bound), Half::at_least(v.high, bound)};
  }
  static V at_most(V v, float bound) {
    return {Half::at_most(v.low, bound), Half::at_most(v.high, bound)};
  }
  static V where_within(V v, float bound, V a) {
    return {Half::where_within(v.low, bound, a.low), Half::where_within(v.high, bound, a.high)};
  }
  static V power_of_two(V v) { return {Half::power_of_two(v.low), Half::power_of_two(v.high)}; }
  static V ones_where(const uint8_t* bytes, int n) {
    if (n <= 8) return {Half::ones_where(bytes, n), Half::zero()};
    return {Half::ones_where(bytes), Half::ones_where(bytes + 8, n - 8)};
  }
  static V ones_where(const uint8_t* bytes) {
    return {Half::ones_where(bytes), Half::ones_where(bytes + 8)};
  }

  static void transpose(const float* row, int64_t stride, V (&column)[kLanes]) {
    for (int start = 0; start < kLanes; start += 8) {
      Half::V low[8], high[8];
      Half::transpose(row + start, stride, low);
      Half::transpose(row + 8 * stride + start, stride, high);
      for (int k = 0; k < 8; ++k) column[start + k] = {low[k], high[k]};
    }
  }
};

}  // namespace carousel
