// The fingerprint of weights: another for any other float, the same for the same.
#include <vector>

#include "check.h"
#include "random.h"
#include "rounding.h"
#include "tested_targets.h"

namespace {

using test::check;
using test::Random;

void test_count(Random& random, int64_t count) {
  std::vector<float> values = random.numbers(count, 1.0);
  for (const carousel::Target* target : test::tested_targets()) {
    const uint64_t before = target->fingerprint(values.data(), count);
    const std::vector<float> copy = values;
    check(target->fingerprint(copy.data(), count) == before, "%s: depends on the address",
          target->name);
    for (size_t k = 0; k < values.size(); ++k) {
      const float kept = values[k];
      // The last bit, the sign, and bits that only a NaN has.
      for (const uint32_t change : {1u, 0x80000000u, 0x7fc00000u, 0xffffffffu}) {
        values[k] = test::float_of(test::bits_of(kept) ^ change);
        check(target->fingerprint(values.data(), count) != before,
              "%s: float %zu of %d changed unseen", target->name, k, static_cast<int>(count));
      }
      values[k] = kept;
    }
    if (count > 1 && test::bits_of(values[0]) != test::bits_of(values[1])) {
      std::swap(values[0], values[1]);
      check(target->fingerprint(values.data(), count) != before, "%s: exchanged unseen",
            target->name);
      std::swap(values[0], values[1]);
    }
    check(target->fingerprint(values.data(), count) == before, "%s: a memory of its own",
          target->name);
  }
}

}  // namespace

int main() {
  Random random(31);
  for (int64_t count = 1; count <= 200; ++count) test_count(random, count);
  for (const carousel::Target* target : test::tested_targets()) {
    const float zeros[130] = {};
    check(target->fingerprint(zeros, 129) != target->fingerprint(zeros, 130),
          "%s: zeros are no floats", target->name);
    target->fingerprint(nullptr, 0);
  }
  return test::result();
}
