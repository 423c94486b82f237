// The kernel for any processor.
#include "implementation.h"
#include "vector_portable.h"

namespace carousel {

const Target* portable_target() { return Implementation<Portable>::target(); }

}  // namespace carousel
