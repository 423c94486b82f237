// The kernel for plain C++ with products of bf16 pairs, which stand in for AVX-512's.
#include "../vector_portable_pairs.h"

#include "targets/implementation.h"

namespace carousel {

const Target* portable_pairs_target() { return Implementation<PortablePairs>::target(); }

}  // namespace carousel
