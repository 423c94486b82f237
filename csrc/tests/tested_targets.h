// Every instruction set that this build and this processor have, as the table of its functions.
#pragma once

#include <cstring>
#include <vector>

#include "lstm.h"
#include "targets/target.h"

namespace carousel {
const Target* two_halves_target();
const Target* portable_pairs_target();
}  // namespace carousel

namespace test {

inline bool can_run(const char* instruction_set) {
  for (const char* const* name = carousel::instruction_sets(); *name != nullptr; ++name)
    if (std::strcmp(*name, instruction_set) == 0) return true;
  return false;
}

inline std::vector<const carousel::Target*> tested_targets() {
  std::vector<const carousel::Target*> targets{carousel::portable_target()};
#if defined(CAROUSEL_HAS_NEON)
  targets.push_back(carousel::neon_target());
#endif
#if defined(CAROUSEL_HAS_AVX2)
  if (can_run("avx2")) targets.push_back(carousel::avx2_target());
#endif
#if defined(CAROUSEL_HAS_TWO_HALVES)
  if (can_run("avx2")) targets.push_back(carousel::two_halves_target());
#endif
#if defined(CAROUSEL_HAS_AVX512)
  if (can_run("avx512")) targets.push_back(carousel::avx512_target());
#endif
  return targets;
}

// Those with products of bf16.
inline std::vector<const carousel::Target*> tested_bf16_targets() {
  std::vector<const carousel::Target*> targets;
#if defined(CAROUSEL_HAS_PORTABLE_PAIRS)
  targets.push_back(carousel::portable_pairs_target());
#endif
#if defined(CAROUSEL_HAS_AVX512BF16)
  if (carousel::supports_bfloat16({1, 1, 1, 1, 1}))
    targets.push_back(carousel::avx512bf16_target());
#endif
  return targets;
}

}  // namespace test
