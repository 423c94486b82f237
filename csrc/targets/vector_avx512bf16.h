// AVX-512 with BF16: vectors of float32, and products of pairs of bf16 that are summed in float32.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "vector_avx512.h"

namespace carousel {

struct Avx512Bf16 : Avx512 {
  static constexpr const char* kName = "avx512bf16";
  static constexpr bool kPairs = true;

  // sum + the products of both bf16 of each word
  static V add_products(V a, V b, V sum) { return _mm512_dpbf16_ps(sum, as_pairs(a), as_pairs(b)); }
  // Words of two bf16: of `even` in the lower half, of `odd` in the upper one.
  static V pair(V even, V odd) {
    const __m512i low = _mm512_cvtepu16_epi32(halves(even));
    const __m512i high = _mm512_cvtepu16_epi32(halves(odd));
    return _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
  }
  // Half as many words as lanes, each of two neighbours.
  static void store_neighbours(float* p, V v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), halves(v));
  }

 private:
  // The same bits as another type: compilers differ in which casts they know.
  static __m512bh as_pairs(V v) {
    __m512bh pairs;
    std::memcpy(&pairs, &v, sizeof pairs);
    return pairs;
  }
  static __m256i halves(V v) {
    const __m256bh rounded = _mm512_cvtneps_pbh(v);
    __m256i bits;
    std::memcpy(&bits, &rounded, sizeof bits);
    return bits;
  }
};

}  // namespace carousel
