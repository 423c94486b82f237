// Plain C++: 4 lanes that any compiler can turn into its processor's vectors.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace carousel {

struct Portable {
  static constexpr const char* kName = "portable";
  static constexpr int kLanes = 4;
  static constexpr int kPanelVectors = 2;
  static constexpr int kTileRows = 4;
  static constexpr int kOuterRows = 4;
  static constexpr int kOuterVectors = 2;
  static constexpr bool kPairs = false;  // factors are float32, see words.h

  struct V {
    float lane[kLanes];
  };

  static V zero() { return set(0.0f); }
  static V set(float value) {
    return each([=](int) { return value; });
  }
  static V broadcast(const float* p) { return set(*p); }
  static V load(const float* p) {
    return each([=](int k) { return p[k]; });
  }
  static void store(float* p, V v) { store_first(p, v, kLanes); }
  static V load_first(const float* p, int n) {
    return each([=](int k) { return k < n ? p[k] : 0.0f; });
  }
  static void store_first(float* p, V v, int n) {
    for (int k = 0; k < n; ++k) p[k] = v.lane[k];
  }

  static V add(V a, V b) {
    return each([=](int k) { return a.lane[k] + b.lane[k]; });
  }
  static V sub(V a, V b) {
    return each([=](int k) { return a.lane[k] - b.lane[k]; });
  }
  static V mul(V a, V b) {
    return each([=](int k) { return a.lane[k] * b.lane[k]; });
  }
  static V div(V a, V b) {
    return each([=](int k) { return a.lane[k] / b.lane[k]; });
  }
  static V fma(V a, V b, V c) {  // a b + c, rounded twice: std::fma is a slow call here
    return each([=](int k) { return a.lane[k] * b.lane[k] + c.lane[k]; });
  }
  static V fnma(V a, V b, V c) {  // c - a b
    return each([=](int k) { return c.lane[k] - a.lane[k] * b.lane[k]; });
  }
  // A NaN in v stays: every comparison with it is false.
  static V at_least(V v, float bound) {
    return each([=](int k) { return v.lane[k] < bound ? bound : v.lane[k]; });
  }
  static V at_most(V v, float bound) {
    return each([=](int k) { return v.lane[k] > bound ? bound : v.lane[k]; });
  }
  // a where |v| <= bound, else 0
  static V where_within(V v, float bound, V a) {
    return each([=](int k) { return std::fabs(v.lane[k]) <= bound ? a.lane[k] : 0.0f; });
  }
  // 2^n for n = the integer in the low bits of v, from -126 to 127
  static V power_of_two(V v) {
    return each([=](int k) {
      uint32_t bits;
      std::memcpy(&bits, &v.lane[k], sizeof bits);
      bits = (bits + 127u) << 23;
      float power;
      std::memcpy(&power, &bits, sizeof power);
      return power;
    });
  }
  // 1 in each of the first n lanes whose byte is not 0, 0 elsewhere
  static V ones_where(const uint8_t* bytes, int n) {
    return each([=](int k) { return k < n && bytes[k] != 0 ? 1.0f : 0.0f; });
  }
  static V ones_where(const uint8_t* bytes) { return ones_where(bytes, kLanes); }

  // column[k] = lane j holds row[j][k], for 4 rows of 4 floats that lie `stride` apart.
  static void transpose(const float* row, int64_t stride, V (&column)[kLanes]) {
    for (int k = 0; k < kLanes; ++k) column[k] = each([=](int j) { return row[j * stride + k]; });
  }

 private:
  template <class F>
  static V each(F value) {
    V v;
    for (int k = 0; k < kLanes; ++k) v.lane[k] = value(k);
    return v;
  }
};

}  // namespace carousel
