// Where one row stands at one step: its time, the step before, and whether its state was zeroed.
#pragma once

#include "lstm.h"

namespace carousel {

// Step s of row b, in the order in which the row is read.
struct Step {
  int64_t b;
  int64_t t;       // the place in time, for either direction
  int64_t before;  // the place whose state this step starts from; not a place where s is 0
  bool reset;      // whether that state was zeroed

  Step(const Sequence& sequence, int64_t row, int64_t s) : b(row) {
    const int64_t length = sequence.lengths == nullptr ? sequence.shape.steps : sequence.lengths[b];
    t = sequence.reverse ? length - 1 - s : s;
    before = sequence.reverse ? t + 1 : t - 1;
    // A reset zeroes the state on the boundary before its step, which a reversed row crosses from
    // after to before: its boundary is that of the later step, and at its first step it crosses
    // none.
    const int64_t crossed = sequence.reverse ? before : t;
    const bool crosses = sequence.reset != nullptr && !(sequence.reverse && s == 0);
    reset = crosses && sequence.reset[crossed * sequence.shape.batch + b] != 0;
  }
};

}  // namespace carousel
