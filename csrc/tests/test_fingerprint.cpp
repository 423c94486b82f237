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

// Changes of many floats at once that have a pattern, as those of all weights of a layer do.
void test_patterns(Random& random, int64_t count) {
  const std::vector<float> values = random.numbers(count, 1.0);
  const auto changed = [&](auto change) {
    std::vector<float> others = values;
    for (size_t k = 0; k < others.size(); ++k) others[k] = change(k, others[k]);
    return others;
  };
  const std::vector<float> patterns[] = {
      changed([](size_t, float v) { return -v; }),
      changed([](size_t, float v) { return 0.5f * v; }),
      changed([](size_t, float v) { return 4.0f * v; }),
      changed([](size_t k, float v) { return k % 2 == 0 ? -v : v; }),
      changed([](size_t k, float v) { return k == 3 || k == 3 + 64 ? -v : v; }),
      changed([](size_t k, float v) { return k / 64 < 2 ? -v : v; }),
      changed([](size_t k, float v) { return k % 64 == 5 ? 2.0f * v : v; }),
      changed([](size_t k, float v) { return test::float_of(test::bits_of(v) ^ (k % 3 != 0)); }),
  };
  for (const carousel::Target* target : test::tested_targets()) {
    const uint64_t before = target->fingerprint(values.data(), count);
    for (size_t p = 0; p < std::size(patterns); ++p)
      check(target->fingerprint(patterns[p].data(), count) != before,
            "%s: pattern %zu of %d floats unseen", target->name, p, static_cast<int>(count));
  }
}

}  // namespace

int main() {
  Random random(31);
  for (int64_t count = 1; count <= 200; ++count) test_count(random, count);
  for (const int64_t rows : {2, 4, 64, 100, 256, 512, 1024, 2048}) test_patterns(random, 64 * rows);
  for (const carousel::Target* target : test::tested_targets()) {
    const float zeros[130] = {};
    check(target->fingerprint(zeros, 129) != target->fingerprint(zeros, 130),
          "%s: zeros are no floats", target->name);
    target->fingerprint(nullptr, 0);
  }
  return test::result();
}
