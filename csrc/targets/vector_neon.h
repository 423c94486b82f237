// NEON of 64-bit ARM: 4 lanes, 32 registers.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace carousel {

struct Neon {
  static constexpr const char* kName = "neon";
  static constexpr int kLanes = 4;
  static constexpr int kPanelVectors = 4;  // a tile of 6 rows x 4 vectors fills 24 of 32 registers
  static constexpr int kTileRows = 6;
  static constexpr int kOuterRows = 4;  // the tile of the weight gradient: 4 rows x 4 vectors
  static constexpr int kOuterVectors = 4;
  static constexpr bool kPairs = false;  // factors are float32, see words.h

  using V = float32x4_t;

  static V zero() { return vdupq_n_f32(0.0f); }
  static V set(float value) { return vdupq_n_f32(value); }
  static V broadcast(const float* p) { return vld1q_dup_f32(p); }
  static V load(const float* p) { return vld1q_f32(p); }
  static void store(float* p, V v) { vst1q_f32(p, v); }
  static V load_first(const float* p, int n) {
    float lanes[kLanes];
    for (int k = 0; k < kLanes; ++k) lanes[k] = k < n ? p[k] : 0.0f;
    return load(lanes);
  }
  static void store_first(float* p, V v, int n) {
    float lanes[kLanes];
    store(lanes, v);
    for (int k = 0; k < kLanes; ++k)
      if (k < n) p[k] = lanes[k];
  }

  static V add(V a, V b) { return vaddq_f32(a, b); }
  static V sub(V a, V b) { return vsubq_f32(a, b); }
  static V mul(V a, V b) { return vmulq_f32(a, b); }
  static V div(V a, V b) { return vdivq_f32(a, b); }
  static V fma(V a, V b, V c) { return vfmaq_f32(c, a, b); }   // a b + c
  static V fnma(V a, V b, V c) { return vfmsq_f32(c, a, b); }  // c - a b
  // A NaN in v stays: these instructions return NaN where one operand is.
  static V at_least(V v, float bound) { return vmaxq_f32(v, set(bound)); }
  static V at_most(V v, float bound) { return vminq_f32(v, set(bound)); }
  // a where |v| <= bound, else 0
  static V where_within(V v, float bound, V a) {
    const uint32x4_t inside = vcleq_f32(vabsq_f32(v), set(bound));
    return vreinterpretq_f32_u32(vandq_u32(inside, vreinterpretq_u32_f32(a)));
  }
  // 2^n for n = the integer in the low bits of v, from -126 to 127
  static V power_of_two(V v) {
    const int32x4_t n = vreinterpretq_s32_f32(v);
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(n, vdupq_n_s32(127)), 23));
  }
  // 1 in each of the first n lanes whose byte is not 0, 0 elsewhere
  static V ones_where(const uint8_t* bytes, int n) {
    float lanes[kLanes];
    for (int k = 0; k < kLanes; ++k) lanes[k] = k < n && bytes[k] != 0 ? 1.0f : 0.0f;
    return load(lanes);
  }
  static V ones_where(const uint8_t* bytes) { return ones_where(bytes, kLanes); }

  // column[k] = lane j holds row[j][k], for 4 rows of 4 floats that lie `stride` apart.
  static void transpose(const float* row, int64_t stride, V (&column)[kLanes]) {
    const float32x4x2_t low = vtrnq_f32(load(row), load(row + stride));
    const float32x4x2_t high = vtrnq_f32(load(row + 2 * stride), load(row + 3 * stride));
    column[0] = vcombine_f32(vget_low_f32(low.val[0]), vget_low_f32(high.val[0]));
    column[1] = vcombine_f32(vget_low_f32(low.val[1]), vget_low_f32(high.val[1]));
    column[2] = vcombine_f32(vget_high_f32(low.val[0]), vget_high_f32(high.val[0]));
    column[3] = vcombine_f32(vget_high_f32(low.val[1]), vget_high_f32(high.val[1]));
  }
};

}  // namespace carousel
