// The kernel for AVX2 with FMA.
#include "implementation.h"
#include "vector_avx2.h"

namespace carousel {

const Target* avx2_target() { return Implementation<Avx2>::target(); }

}  // namespace carousel
