// Which instruction set runs, and the public functions on top of it; see lstm.h.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "lstm.h"
#include "targets/target.h"

#if defined(CAROUSEL_HAS_AVX2) || defined(CAROUSEL_HAS_AVX512)
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace carousel {
namespace {

#if defined(CAROUSEL_HAS_AVX2) || defined(CAROUSEL_HAS_AVX512)
#if defined(_MSC_VER)
// Bits of leaf 7 that must be set, together with the operating system's saving of the registers.
bool has(unsigned leaf7_ebx, unsigned long long saved) {
  int r[4];
  __cpuidex(r, 1, 0);
  const bool fma = (r[2] >> 12) & 1, os = (r[2] >> 27) & 1;
  if (!fma || !os || (_xgetbv(0) & saved) != saved) return false;
  __cpuidex(r, 7, 0);
  return (static_cast<unsigned>(r[1]) & leaf7_ebx) == leaf7_ebx;
}
bool has_avx2() { return has(1u << 5, 0x6); }
[[maybe_unused]] bool has_avx512() {
  return has((1u << 16) | (1u << 17) | (1u << 30) | (1u << 31), 0xe6);
}
[[maybe_unused]] bool has_avx512bf16() {
  int r[4];
  __cpuidex(r, 7, 1);
  return has_avx512() && ((r[0] >> 5) & 1);
}
#else
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
[[maybe_unused]] bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
[[maybe_unused]] bool has_avx512bf16() {
  unsigned a = 0, b = 0, c = 0, d = 0;  // older compilers do not know it by name
  return has_avx512() && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && ((a >> 5) & 1) != 0;
}
#endif
#endif

struct Known {
  static constexpr int kMost = 4;
  const Target* targets[kMost + 1] = {};
  const char* names[kMost + 1] = {};
  int count = 0;

  Known() {
#if defined(CAROUSEL_HAS_AVX512)
    if (has_avx512()) add(avx512_target());
#endif
#if defined(CAROUSEL_HAS_AVX2)
    if (has_avx2()) add(avx2_target());
#endif
#if defined(CAROUSEL_HAS_NEON)
    add(neon_target());
#endif
    add(portable_target());
  }

 private:
  void add(const Target* target) {
    targets[count] = target;
    names[count++] = target->name;
  }
};

const Known& known() {
  static const Known found;
  return found;
}

std::atomic<const Target*> chosen{nullptr};

const Target& target() {
  const Target* now = chosen.load(std::memory_order_acquire);
  return now != nullptr ? *now : *known().targets[0];
}

// The instruction set for products of bf16 that goes with the one in use, or null.
const Target* bf16_target(const Shape& shape) {
#if defined(CAROUSEL_HAS_AVX512BF16)
  static const bool has = has_avx512bf16();
  if (has && !shape.projects() && &target() == avx512_target()) return avx512bf16_target();
#else
  static_cast<void>(shape);
#endif
  return nullptr;
}

const Target& target(const Shape& shape, Precision precision) {
  const Target* bf16 = precision == Precision::kBfloat16 ? bf16_target(shape) : nullptr;
  return bf16 != nullptr ? *bf16 : target();
}

// Memory that stays with its thread. A block much larger than what is asked for is given back.
struct Block {
  void* memory = nullptr;
  size_t size = 0;

  ~Block() { release(); }
  void* at_least(size_t bytes) {
    if (bytes > size || size > (size_t{64} << 20)) {
      release();
      memory = ::operator new(bytes, std::align_val_t{64});
      size = bytes;
    }
    return memory;
  }

 private:
  void release() {
    if (memory != nullptr) ::operator delete(memory, std::align_val_t{64});
    memory = nullptr;
    size = 0;
  }
};

}  // namespace

void* scratch(size_t bytes) {
  thread_local Block block;
  return block.at_least(bytes);
}

int64_t packed_forward_floats(const Shape& shape, Precision precision) {
  return target(shape, precision).packed_forward_floats(shape);
}
int64_t packed_backward_floats(const Shape& shape, Precision precision) {
  return target(shape, precision).packed_backward_floats(shape);
}

void pack_forward(const Shape& shape, const Weights& weights, float* packed, int threads,
                  Precision precision) {
  target(shape, precision).pack_forward(shape, weights, packed, threads);
}
void pack_backward(const Shape& shape, const Weights& weights, float* packed, int threads,
                   Precision precision) {
  target(shape, precision).pack_backward(shape, weights, packed, threads);
}
uint64_t fingerprint(const float* values, int64_t count) {
  return target().fingerprint(values, count);
}
void forward(const Forward& call, int threads) {
  target(call.sequence.shape, call.sequence.precision).forward(call, threads);
}
void single_step(const Single& call, int threads) { target().single_step(call, threads); }
void backward(const Backward& call, int threads) {
  target(call.sequence.shape, call.sequence.precision).backward(call, threads);
}

int lanes() { return target().lanes; }
bool supports_bfloat16(const Shape& shape) { return bf16_target(shape) != nullptr; }
const char* instruction_set() { return target().name; }
const char* const* instruction_sets() { return known().names; }

bool use_instruction_set(const char* name) {
  for (int i = 0; i < known().count; ++i)
    if (std::strcmp(known().names[i], name) == 0) {
      chosen.store(known().targets[i], std::memory_order_release);
      return true;
    }
  return false;
}

}  // namespace carousel
