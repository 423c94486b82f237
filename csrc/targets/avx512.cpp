// The kernel for AVX-512.
#include "implementation.h"
#include "vector_avx512.h"

namespace carousel {

const Target* avx512_target() { return Implementation<Avx512>::target(); }

}  // namespace carousel
