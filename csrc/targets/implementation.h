// The templates with one instruction set filled in. Included once by each file that targets one.
#pragma once

#include <cstring>

#include "../backward.h"
#include "../forward.h"
#include "../packing.h"
#include "../single_step.h"
#include "target.h"

namespace carousel {

template <class S>
struct Implementation {
  static int64_t packed_forward_floats(const Shape& shape) {
    return Layout<S>(shape).forward_floats();
  }
  static int64_t packed_backward_floats(const Shape& shape) {
    return Layout<S>(shape).backward_floats();
  }

  static void pack_forward(const Shape& shape, const Weights& weights, float* packed, int threads) {
    pack(&Packing<S>::forward, shape, weights, packed, threads);
  }
  static void pack_backward(const Shape& shape, const Weights& weights, float* packed,
                            int threads) {
    pack(&Packing<S>::backward, shape, weights, packed, threads);
  }

  // Each of 64 columns of words is mixed into a number of its own, word after word, by steps that
  // can be undone: one other word gives another number. Their shifts carry the upper bits down, so
  // that signs and exponents which all change alike do not cancel each other. The columns' numbers
  // are hashed in the same way.
  static uint64_t fingerprint(const float* values, int64_t count) {
    constexpr int64_t kColumns = 64;
    uint32_t column[kColumns] = {};
    int64_t k = 0;
    for (; k + kColumns <= count; k += kColumns) {
      uint32_t words[kColumns];
      std::memcpy(words, values + k, sizeof words);
      for (int64_t j = 0; j < kColumns; ++j) {
        column[j] = (column[j] ^ words[j]) * 0x9e3779b1u;
        column[j] ^= column[j] >> 15;
      }
    }
    uint64_t hash = static_cast<uint64_t>(count);
    for (; k < count; ++k) {
      uint32_t word;
      std::memcpy(&word, values + k, sizeof word);
      hash = mixed(hash, word);
    }
    for (const uint32_t word : column) hash = mixed(hash, word);
    return hash;
  }

  static void forward(const Forward& call, int threads) { run<ForwardPass<S>>(call, threads); }
  static void backward(const Backward& call, int threads) { run<BackwardPass<S>>(call, threads); }

  static void single_step(const Single& call, int threads) {
    const SingleStep<S> step(call);
    run_team(
        threads, [](void* p, Member member) { static_cast<const SingleStep<S>*>(p)->run(member); },
        const_cast<SingleStep<S>*>(&step));
  }

  static const Target* target() {
    static const Target table = {S::kName,
                                 S::kLanes,
                                 &packed_forward_floats,
                                 &packed_backward_floats,
                                 &pack_forward,
                                 &pack_backward,
                                 &fingerprint,
                                 &forward,
                                 &single_step,
                                 &backward,
                                 S::kPairs};
    return &table;
  }

 private:
  static uint64_t mixed(uint64_t hash, uint32_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
  }

  using Pack = void (*)(const Shape&, const Weights&, float*, int64_t, int64_t);

  static void pack(Pack work, const Shape& shape, const Weights& weights, float* packed,
                   int threads) {
    struct Context {
      Pack work;
      const Shape& shape;
      const Weights& weights;
      float* packed;
    } context{work, shape, weights, packed};
    run_team(
        threads,
        [](void* p, Member member) {
          const Context& c = *static_cast<Context*>(p);
          c.work(c.shape, c.weights, c.packed, member.index, member.count);
        },
        &context);
  }

  template <class Pass, class Call>
  static void run(const Call& call, int threads) {
    Workspace count(nullptr);
    Pass sized(call, threads, count);
    Workspace memory(scratch(count.used()));
    Pass pass(call, threads, memory);
    pass.prepare(threads);
    run_team(threads, [](void* p, Member member) { static_cast<Pass*>(p)->run(member); }, &pass);
  }
};

}  // namespace carousel
