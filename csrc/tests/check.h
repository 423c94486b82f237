// Checks for the test programs: a failure is a line, and main returns whether there were any.
#pragma once

#include <atomic>
#include <cstdarg>
#include <cstdio>

namespace test {

constexpr int kSkipped = 77;  // what main returns where this processor lacks what is tested

inline std::atomic<int> failures{0};

#if defined(__GNUC__) || defined(__clang__)
__attribute__((format(printf, 2, 3)))
#endif
inline void check(bool holds, const char* what, ...) {
  if (holds || ++failures > 20) return;  // the first ones say enough
  std::va_list values;
  va_start(values, what);
  std::vprintf(what, values);
  va_end(values);
  std::printf("\n");
}

inline int result() {
  if (failures > 0) std::printf("%d checks failed\n", failures.load());
  return failures > 0 ? 1 : 0;
}

}  // namespace test
