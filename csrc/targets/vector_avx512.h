// AVX-512 (F, BW, DQ, VL): 16 lanes, 32 registers.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace carousel {

struct Avx512 {
  static constexpr const char* kName = "avx512";
  static constexpr int kLanes = 16;
  static constexpr int kPanelVectors = 4;  // a tile of 6 rows x 4 vectors fills 24 of 32 registers
  static constexpr int kTileRows = 6;
  static constexpr int kOuterRows = 8;  // the tile of the weight gradient: 8 rows x 3 vectors
  static constexpr int kOuterVectors = 3;
  static constexpr bool kPairs = false;  // factors are float32, see words.h

  using V = __m512;

  static V zero() { return _mm512_setzero_ps(); }
  static V set(float value) { return _mm512_set1_ps(value); }
  static V broadcast(const float* p) { return _mm512_set1_ps(*p); }
  static V load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, V v) { _mm512_storeu_ps(p, v); }
  static V load_first(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static void store_first(float* p, V v, int n) { _mm512_mask_storeu_ps(p, first(n), v); }

  static V add(V a, V b) { return _mm512_add_ps(a, b); }
  static V sub(V a, V b) { return _mm512_sub_ps(a, b); }
  static V mul(V a, V b) { return _mm512_mul_ps(a, b); }
  static V div(V a, V b) { return _mm512_div_ps(a, b); }
  static V fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }    // a b + c
  static V fnma(V a, V b, V c) { return _mm512_fnmadd_ps(a, b, c); }  // c - a b
  // A NaN in v stays: these instructions return their second operand where one is NaN.
  static V at_least(V v, float bound) { return _mm512_max_ps(set(bound), v); }
  static V at_most(V v, float bound) { return _mm512_min_ps(set(bound), v); }
  // a where |v| <= bound, else 0
  static V where_within(V v, float bound, V a) {
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(_mm512_abs_ps(v), set(bound), _CMP_LE_OQ), a);
  }
  // 2^n for n = the integer in the low bits of v, from -126 to 127
  static V power_of_two(V v) {
    const __m512i n = _mm512_castps_si512(v);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(127)), 23));
  }
  // 1 in each of the first n lanes whose byte is not 0, 0 elsewhere; n is from 1 to 16
  static V ones_where(const uint8_t* bytes, int n) {
    return ones(_mm_maskz_loadu_epi8(first(n), bytes));
  }
  static V ones_where(const uint8_t* bytes) {
    return ones(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes)));
  }

  // column[k] = lane j holds row[j][k], for 16 rows of 16 floats that lie `stride` apart.
  static void transpose(const float* row, int64_t stride, V (&column)[kLanes]) {
    for (int k = 0; k < kLanes; k += 4) {
      // Quarter q of part[r] holds four floats of row 4 q + r, so that what is left is to transpose
      // four by four within the quarters.
      __m512 part[4];
      for (int r = 0; r < 4; ++r) part[r] = quarters(row + r * stride + k, 4 * stride);
      const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(part[0], part[1]));
      const __m512d b = _mm512_castps_pd(_mm512_unpackhi_ps(part[0], part[1]));
      const __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(part[2], part[3]));
      const __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(part[2], part[3]));
      column[k] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
      column[k + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
      column[k + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
      column[k + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
  }

 private:
  // Four times four floats that lie `stride` apart.
  static __m512 quarters(const float* p, int64_t stride) {
    const __m256 low =
        _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + stride), 1);
    const __m256 high = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p + 2 * stride)),
                                             _mm_loadu_ps(p + 3 * stride), 1);
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
  }
  static __mmask16 first(int n) { return static_cast<__mmask16>((1u << n) - 1u); }
  static V ones(__m128i bytes) {
    return _mm512_maskz_mov_ps(_mm_test_epi8_mask(bytes, bytes), set(1.0f));
  }
};

}  // namespace carousel
