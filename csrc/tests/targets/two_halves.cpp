// The kernel for vectors of two halves, which stand in for AVX-512's.
#include "../vector_two_halves.h"
#include "targets/implementation.h"

namespace carousel {

const Target* two_halves_target() { return Implementation<TwoHalves>::target(); }

}  // namespace carousel
