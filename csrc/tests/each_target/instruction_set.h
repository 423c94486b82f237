// The instruction set that a program of this folder is compiled for, as S.
//
// csrc/CMakeLists.txt compiles every program here once for each instruction set, with its flags and
// CAROUSEL_TESTED_<NAME> defined.
#pragma once

#include <cstdio>
#include <cstring>

#include "../check.h"
#include "../rounding.h"
#include "lstm.h"

#if defined(CAROUSEL_TESTED_AVX512BF16)
#include "targets/vector_avx512bf16.h"
#define CAROUSEL_TESTED Avx512Bf16
#define CAROUSEL_NEEDS "avx512"
#elif defined(CAROUSEL_TESTED_PORTABLE_PAIRS)
#include "../vector_portable_pairs.h"
#define CAROUSEL_TESTED PortablePairs
#define CAROUSEL_NEEDS "portable"
#elif defined(CAROUSEL_TESTED_AVX512)
#include "targets/vector_avx512.h"
#define CAROUSEL_TESTED Avx512
#define CAROUSEL_NEEDS "avx512"
#elif defined(CAROUSEL_TESTED_AVX2)
#include "targets/vector_avx2.h"
#define CAROUSEL_TESTED Avx2
#define CAROUSEL_NEEDS "avx2"
#elif defined(CAROUSEL_TESTED_TWO_HALVES)
#include "../vector_two_halves.h"
#define CAROUSEL_TESTED TwoHalves
#define CAROUSEL_NEEDS "avx2"
#elif defined(CAROUSEL_TESTED_NEON)
#include "targets/vector_neon.h"
#define CAROUSEL_TESTED Neon
#define CAROUSEL_NEEDS "neon"
#elif defined(CAROUSEL_TESTED_PORTABLE)
#include "targets/vector_portable.h"
#define CAROUSEL_TESTED Portable
#define CAROUSEL_NEEDS "portable"
#else
#error "this program is compiled for an instruction set that instruction_set.h does not know"
#endif

namespace test {

using S = carousel::CAROUSEL_TESTED;
constexpr const char* kNeeds = CAROUSEL_NEEDS;
using V = S::V;

// The number as a factor of products, so that what is expected of them can be computed exactly.
inline float factor(float number) { return S::kPairs ? nearest_bf16(number) : number; }

// Runs the tests where the processor has the instruction set; for main to return.
inline int run_where_possible(int (*volatile tests)(int, char**), int count, char** arguments) {
#if defined(CAROUSEL_TESTED_AVX512BF16)
  // Constant, for this function's own instructions are not to be AVX-512's before it has asked.
  static constexpr carousel::Shape kSmall{1, 1, 1, 1, 1};
  if (!carousel::supports_bfloat16(kSmall)) {
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
