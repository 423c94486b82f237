// Where a row stands at a step: a forward and a reversed sequence, with lengths and resets, by
// hand.
#include "rows.h"

#include "check.h"

namespace {

using carousel::Sequence;
using carousel::Step;
using test::check;

struct Expected {
  int64_t s, t, before;  // before: -1 where it is not a place
  bool reset;
};

template <size_t N>
void compare(const Sequence& sequence, int64_t row, const Expected (&steps)[N], const char* what) {
  for (const Expected& e : steps) {
    const Step step(sequence, row, e.s);
    check(step.b == row && step.t == e.t, "%s: step %d is at %d", what, static_cast<int>(e.s),
          static_cast<int>(step.t));
    check(e.s == 0 || step.before == e.before, "%s: before step %d is %d", what,
          static_cast<int>(e.s), static_cast<int>(step.before));
    check(step.reset == e.reset, "%s: step %d %s", what, static_cast<int>(e.s),
          e.reset ? "lacks its reset" : "is reset");
  }
}

}  // namespace

int main() {
  const int64_t lengths[] = {4, 3};
  // (T, B): row 0 has a boundary before its steps 0 and 2, row 1 before 1 and, past its end, 3.
  const uint8_t reset[] = {1, 0, 0, 1, 255, 0, 0, 1};
  Sequence sequence{};
  sequence.shape = {4, 2, 1, 1, 1};

  const Expected plain[] = {
      {0, 0, -1, false}, {1, 1, 0, false}, {2, 2, 1, false}, {3, 3, 2, false}};
  compare(sequence, 1, plain, "forward");
  sequence.reset = reset;
  const Expected forward_0[] = {
      {0, 0, -1, true}, {1, 1, 0, false}, {2, 2, 1, true}, {3, 3, 2, false}};
  compare(sequence, 0, forward_0, "forward with resets");
  sequence.lengths = lengths;
  const Expected forward_1[] = {{0, 0, -1, false}, {1, 1, 0, true}, {2, 2, 1, false}};
  compare(sequence, 1, forward_1, "forward with lengths");

  // The boundary before step 2 is crossed on the way from 2 to 1, the one before step 0 never.
  sequence.reverse = true;
  const Expected reverse_0[] = {
      {0, 3, -1, false}, {1, 2, 3, false}, {2, 1, 2, true}, {3, 0, 1, false}};
  compare(sequence, 0, reverse_0, "reverse with resets");
  const Expected reverse_1[] = {{0, 2, -1, false}, {1, 1, 2, false}, {2, 0, 1, true}};
  compare(sequence, 1, reverse_1, "reverse with lengths");
  sequence.reset = nullptr;
  const Expected reversed[] = {{0, 2, -1, false}, {1, 1, 2, false}, {2, 0, 1, false}};
  compare(sequence, 1, reversed, "reverse");
  return test::result();
}
