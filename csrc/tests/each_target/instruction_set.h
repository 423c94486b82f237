// The instruction set that a program of this folder is compiled for, as S.
//
// csrc/CMakeLists.txt compiles every program here once for each instruction set, with its flags and
// CAROUSEL_TESTED_<NAME> defined.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>

#include "../check.h"
#include "lstm.h"

#if defined(CAROUSEL_TESTED_AVX512BF16)
#include "targets/vector_avx512bf16.h"
#elif defined(CAROUSEL_TESTED_PORTABLE_PAIRS)
#include "../vector_portable_pairs.h"
#elif defined(CAROUSEL_TESTED_AVX512)
#include "targets/vector_avx512.h"
#elif defined(CAROUSEL_TESTED_AVX2)
#include "targets/vector_avx2.h"
#elif defined(CAROUSEL_TESTED_TWO_HALVES)
#include "../vector_two_halves.h"
#elif defined(CAROUSEL_TESTED_NEON)
#include "targets/vector_neon.h"
#elif defined(CAROUSEL_TESTED_PORTABLE)
#include "targets/vector_portable.h"
#endif

namespace test {

#if defined(CAROUSEL_TESTED_AVX512BF16)
using S = carousel::Avx512Bf16;
constexpr const char* kNeeds = "avx512";
#elif defined(CAROUSEL_TESTED_PORTABLE_PAIRS)
using S = carousel::PortablePairs;
constexpr const char* kNeeds = "portable";
#elif defined(CAROUSEL_TESTED_AVX512)
using S = carousel::Avx512;
constexpr const char* kNeeds = "avx512";
#elif defined(CAROUSEL_TESTED_AVX2)
using S = carousel::Avx2;
constexpr const char* kNeeds = "avx2";
#elif defined(CAROUSEL_TESTED_TWO_HALVES)
using S = carousel::TwoHalves;
constexpr const char* kNeeds = "avx2";
#elif defined(CAROUSEL_TESTED_NEON)
using S = carousel::Neon;
constexpr const char* kNeeds = "neon";
#elif defined(CAROUSEL_TESTED_PORTABLE)
using S = carousel::Portable;
constexpr const char* kNeeds = "portable";
#else
#error "this program is compiled for an instruction set that instruction_set.h does not know"
#endif

using V = S::V;

// The number as a factor of products, so that what is expected of them can be computed exactly.
inline float factor(float number) {
  if (!S::kPairs) return number;
  uint32_t bits;
  std::memcpy(&bits, &number, sizeof bits);
  bits = (bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u;  // the nearest bf16
  std::memcpy(&number, &bits, sizeof number);
  return number;
}

// Runs the tests where the processor has the instruction set; for main to return.
inline int run_where_possible(int (*volatile tests)(int, char**), int count, char** arguments) {
#if defined(CAROUSEL_TESTED_AVX512BF16)
  if (!carousel::supports_bfloat16({1, 1, 1, 1, 1})) {
    std::printf("skipped: this processor lacks products of bf16\n");
    return kSkipped;
  }
#endif
  for (const char* const* name = carousel::instruction_sets(); *name != nullptr; ++name)
    if (std::strcmp(*name, kNeeds) == 0) return tests(count, arguments);
  std::printf("skipped: this processor lacks %s\n", kNeeds);
  return kSkipped;
}

}  // namespace test
