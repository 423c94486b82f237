// The choice of the instruction set: what was compiled and what the processor has, best first.
#include <cstdio>
#include <cstring>

#include "lstm.h"

namespace {

int failures = 0;

void check(bool holds, const char* what, const char* name = "") {
  if (holds) return;
  std::printf("%s %s\n", what, name);
  ++failures;
}

bool lists(const char* wanted) {
  for (const char* const* name = carousel::instruction_sets(); *name != nullptr; ++name) {
    if (std::strcmp(*name, wanted) == 0) return true;
  }
  return false;
}

bool in_use(const char* name) { return std::strcmp(carousel::instruction_set(), name) == 0; }

}  // namespace

int main() {
  const char* const* names = carousel::instruction_sets();
  check(names[0] != nullptr, "no instruction set at all");
  if (failures > 0) return 1;
  check(in_use(names[0]), "the best is not in use:", names[0]);
  const char* last = nullptr;
  for (const char* const* name = names; *name != nullptr; ++name) last = *name;
  check(std::strcmp(last, "portable") == 0, "the last runs on some processors only:", last);

#if defined(CAROUSEL_HAS_AVX2) && (defined(__GNUC__) || defined(__clang__))
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  check(lists("avx2") == avx2, "listed is not what the processor has:", "avx2");
#endif
#if defined(CAROUSEL_HAS_NEON)
  check(lists("neon"), "missing:", "neon");
#endif

  for (const char* const* name = names; *name != nullptr; ++name) {
    check(carousel::use_instruction_set(*name), "refused:", *name);
    check(in_use(*name), "chosen, but not in use:", *name);
    check(!carousel::use_instruction_set("mmx"), "accepted, though there is none:", "mmx");
    check(in_use(*name), "a refused choice replaced", *name);
  }
  return failures == 0 ? 0 : 1;
}
