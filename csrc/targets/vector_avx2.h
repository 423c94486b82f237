// AVX2 with FMA: 8 lanes, 16 registers.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace carousel {

struct Avx2 {
  static constexpr const char* kName = "avx2";
  static constexpr int kLanes = 8;         // hidden units in one vector
  static constexpr int kPanelVectors = 2;  // a tile of 6 rows x 2 vectors fills 12 of 16 registers
  static constexpr int kTileRows = 6;
  static constexpr int kOuterRows = 4;  // the tile of the weight gradient: 4 rows x 3 vectors
  static constexpr int kOuterVectors = 3;
  static constexpr bool kPairs = false;  // factors are float32, see words.h

  using V = __m256;

  static V zero() { return _mm256_setzero_ps(); }
  static V set(float value) { return _mm256_set1_ps(value); }
  static V broadcast(const float* p) { return _mm256_broadcast_ss(p); }
  static V load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, V v) { _mm256_storeu_ps(p, v); }
  static V load_first(const float* p, int n) { return _mm256_maskload_ps(p, first(n)); }
  static void store_first(float* p, V v, int n) { _mm256_maskstore_ps(p, first(n), v); }

  static V add(V a, V b) { return _mm256_add_ps(a, b); }
  static V sub(V a, V b) { return _mm256_sub_ps(a, b); }
  static V mul(V a, V b) { return _mm256_mul_ps(a, b); }
  static V div(V a, V b) { return _mm256_div_ps(a, b); }
  static V fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }    // a b + c
  static V fnma(V a, V b, V c) { return _mm256_fnmadd_ps(a, b, c); }  // c - a b
  // A NaN in v stays: these instructions return their second operand where one is NaN.
  static V at_least(V v, float bound) { return _mm256_max_ps(set(bound), v); }
  static V at_most(V v, float bound) { return _mm256_min_ps(set(bound), v); }
  // a where |v| <= bound, else 0
  static V where_within(V v, float bound, V a) {
    const V size = _mm256_andnot_ps(set(-0.0f), v);
    return _mm256_and_ps(_mm256_cmp_ps(size, set(bound), _CMP_LE_OQ), a);
  }
  // 2^n for n = the integer in the low bits of v, from -126 to 127
  static V power_of_two(V v) {
    const __m256i n = _mm256_castps_si256(v);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
  // 1 in each of the first n lanes whose byte is not 0, 0 elsewhere; n is from 1 to 8
  static V ones_where(const uint8_t* bytes, int n) {
    uint64_t word = 0;
    for (int k = 0; k < n; ++k) word |= static_cast<uint64_t>(bytes[k] != 0) << (8 * k);
    const __m128i narrow = _mm_cvtsi64_si128(static_cast<int64_t>(word));
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(narrow));
  }
  static V ones_where(const uint8_t* bytes) {
    const __m128i b = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
    const __m128i ones = _mm_min_epu8(b, _mm_set1_epi8(1));
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(ones));
  }

  // column[k] = lane j holds row[j][k], for 8 rows of 8 floats that lie `stride` apart.
  static void transpose(const float* row, int64_t stride, V (&column)[kLanes]) {
    V a[8], b[8];
    for (int j = 0; j < 8; ++j) a[j] = load(row + j * stride);
    for (int j = 0; j < 8; j += 2) {
      b[j] = _mm256_unpacklo_ps(a[j], a[j + 1]);
      b[j + 1] = _mm256_unpackhi_ps(a[j], a[j + 1]);
    }
    for (int j = 0; j < 8; j += 4) {
      a[j] = _mm256_shuffle_ps(b[j], b[j + 2], 0x44);
      a[j + 1] = _mm256_shuffle_ps(b[j], b[j + 2], 0xee);
      a[j + 2] = _mm256_shuffle_ps(b[j + 1], b[j + 3], 0x44);
      a[j + 3] = _mm256_shuffle_ps(b[j + 1], b[j + 3], 0xee);
    }
    for (int j = 0; j < 4; ++j) {
      column[j] = _mm256_permute2f128_ps(a[j], a[j + 4], 0x20);
      column[j + 4] = _mm256_permute2f128_ps(a[j], a[j + 4], 0x31);
    }
  }

 private:
  static __m256i first(int n) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), lane);
  }
};

}  // namespace carousel
