// Numbers too small for a float32's full precision (below 1.2e-38, "denormal" or "subnormal") count
// as 0 while the kernel works. Gates that are all but shut make them; a processor takes some
// hundred cycles for a multiply-add that meets one, and a training whose gates shut became four
// times as slow as it had begun.
#pragma once

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

namespace carousel {

#if defined(__x86_64__) || defined(_M_X64)

// In this thread, as long as the object lives; then the thread has its old mode again, which is
// PyTorch's or the user's.
class FlushedDenormals {
 public:
  static constexpr bool kWorks = true;
  FlushedDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | kZeroResults | kZeroOperands); }
  ~FlushedDenormals() { _mm_setcsr(before_); }
  FlushedDenormals(const FlushedDenormals&) = delete;
  FlushedDenormals& operator=(const FlushedDenormals&) = delete;

 private:
  static constexpr unsigned kZeroResults = 0x8000, kZeroOperands = 0x0040;  // FTZ and DAZ
  const unsigned before_;
};

#else

// Other processors keep denormal numbers, and their speed.
struct FlushedDenormals {
  static constexpr bool kWorks = false;
  FlushedDenormals() {}
};

#endif

}  // namespace carousel
