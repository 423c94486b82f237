// The kernel for AVX-512 with products in bf16.
#include "implementation.h"
#include "vector_avx512bf16.h"

namespace carousel {

const Target* avx512bf16_target() { return Implementation<Avx512Bf16>::target(); }

}  // namespace carousel
