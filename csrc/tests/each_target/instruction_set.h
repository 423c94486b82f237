// The instruction set that a program of this folder is compiled for, as S.
//
// csrc/CMakeLists.txt compiles every program here once for each instruction set, with its flags and
// CAROUSEL_TESTED_<NAME> defined.
#pragma once

#include <cstdio>
#include <cstring>

#include "../check.h"
#include "lstm.h"

#if defined(CAROUSEL_TESTED_AVX512)
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

#if defined(CAROUSEL_TESTED_AVX512)
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

// Runs the tests where the processor has the instruction set; for main to return.
inline int run_where_possible(int (*volatile tests)(int, char**), int count, char** arguments) {
  for (const char* const* name = carousel::instruction_sets(); *name != nullptr; ++name)
    if (std::strcmp(*name, kNeeds) == 0) return tests(count, arguments);
  std::printf("skipped: this processor lacks %s\n", kNeeds);
  return kSkipped;
}

}  // namespace test
