// The kernel for 64-bit ARM.
#include "implementation.h"
#include "vector_neon.h"

namespace carousel {

const Target* neon_target() { return Implementation<Neon>::target(); }

}  // namespace carousel
