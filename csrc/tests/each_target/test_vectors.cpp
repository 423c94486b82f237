// Every operation of an instruction set's vectors, lane by lane against plain C++.
#include <cmath>
#include <limits>
#include <vector>

#include "../random.h"
#include "../rounding.h"
#include "instruction_set.h"

namespace {

using test::bits_of;
using test::check;
using test::S;
using test::V;

constexpr int kLanes = S::kLanes;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Lanes {
  float lane[kLanes];

  Lanes() = default;
  explicit Lanes(V v) { S::store(lane, v); }
  V vector() const { return S::load(lane); }
};

Lanes numbers(test::Random& random) {
  Lanes values;
  for (float& value : values.lane) value = random.number(4.0);
  return values;
}

void equal(float got, float wanted, const char* what, int k) {
  const bool both_nan = std::isnan(got) && std::isnan(wanted);
  check(both_nan || bits_of(got) == bits_of(wanted), "%s: lane %d is %.9g, not %.9g", what, k,
        static_cast<double>(got), static_cast<double>(wanted));
}

template <class F>
void each(V got, const char* what, F wanted) {
  const Lanes values(got);
  for (int k = 0; k < kLanes; ++k) equal(values.lane[k], wanted(k), what, k);
}

void test_constants() {
  const float value = 1.25f;
  each(S::zero(), "zero", [](int) { return 0.0f; });
  each(S::set(value), "set", [](int) { return 1.25f; });
  each(S::broadcast(&value), "broadcast", [](int) { return 1.25f; });
}

void test_arithmetic(test::Random& random) {
  // Where AVX2, AVX-512 and NEON round once, portable C++ rounds twice.
  const bool fused = std::strcmp(test::kNeeds, "portable") != 0;
  for (int repetition = 0; repetition < 100; ++repetition) {
    const Lanes a = numbers(random), b = numbers(random), c = numbers(random);
    const auto x = [&](int k) { return a.lane[k]; };
    const auto y = [&](int k) { return b.lane[k]; };
    const auto z = [&](int k) { return c.lane[k]; };
    const V u = a.vector(), v = b.vector(), w = c.vector();
    each(S::add(u, v), "add", [&](int k) { return x(k) + y(k); });
    each(S::sub(u, v), "sub", [&](int k) { return x(k) - y(k); });
    each(S::mul(u, v), "mul", [&](int k) { return x(k) * y(k); });
    each(S::div(u, v), "div", [&](int k) { return x(k) / y(k); });
    each(S::fma(u, v, w), "fma",
         [&](int k) { return fused ? std::fma(x(k), y(k), z(k)) : x(k) * y(k) + z(k); });
    each(S::fnma(u, v, w), "fnma",
         [&](int k) { return fused ? std::fma(-x(k), y(k), z(k)) : z(k) - x(k) * y(k); });
    each(S::at_least(u, -1.0f), "at_least", [&](int k) { return x(k) < -1.0f ? -1.0f : x(k); });
    each(S::at_most(u, 1.0f), "at_most", [&](int k) { return x(k) > 1.0f ? 1.0f : x(k); });
    each(S::where_within(u, 2.0f, v), "where_within",
         [&](int k) { return std::fabs(x(k)) <= 2.0f ? y(k) : 0.0f; });
  }
}

void test_special_values() {
  const float values[] = {kNaN, kInfinity, -kInfinity, 2.0f, -2.0f, std::nextafter(2.0f, 3.0f)};
  for (const float value : values) {
    const V v = S::set(value);
    each(S::at_least(v, -2.0f), "at_least", [=](int) { return value < -2.0f ? -2.0f : value; });
    each(S::at_most(v, 2.0f), "at_most", [=](int) { return value > 2.0f ? 2.0f : value; });
    each(S::where_within(v, 2.0f, S::set(3.0f)), "where_within",
         [=](int) { return std::fabs(value) <= 2.0f ? 3.0f : 0.0f; });
  }
  // What is left out is 0, whatever it was.
  each(S::where_within(S::set(3.0f), 2.0f, S::set(kNaN)), "where_within", [](int) { return 0.0f; });
}

void test_power_of_two() {
  for (int n = -126; n <= 127; ++n) {
    // As the exponential forms it: 1.5 * 2^23 has zeros in its low bits.
    const V v = S::set(12582912.0f + static_cast<float>(n));
    each(S::power_of_two(v), "power_of_two", [=](int) { return std::ldexp(1.0f, n); });
  }
}

// The first n lanes: the memory holds just so many, and the sanitizer sees a step beside it.
void test_first_lanes(test::Random& random) {
  for (int n = 1; n <= kLanes; ++n) {
    const std::vector<float> from = random.numbers(n, 1.0);
    each(S::load_first(from.data(), n), "load_first",
         [&](int k) { return k < n ? from[static_cast<size_t>(k)] : 0.0f; });

    const Lanes values = numbers(random);
    std::vector<float> to(static_cast<size_t>(kLanes), 7.0f);
    S::store_first(to.data(), values.vector(), n);
    for (int k = 0; k < kLanes; ++k)
      equal(to[static_cast<size_t>(k)], k < n ? values.lane[k] : 7.0f, "store_first", k);
    std::vector<float> whole(static_cast<size_t>(n));
    S::store_first(whole.data(), values.vector(), n);

    std::vector<uint8_t> bytes(static_cast<size_t>(n));
    const uint8_t choices[] = {0, 1, 2, 127, 128, 255};
    for (uint8_t& byte : bytes) byte = choices[random.below(6)];
    const auto one = [&](int k) {
      return k < n && bytes[static_cast<size_t>(k)] != 0 ? 1.0f : 0.0f;
    };
    each(S::ones_where(bytes.data(), n), "ones_where of some", one);
    if (n == kLanes) each(S::ones_where(bytes.data()), "ones_where", one);
  }
}

void test_transpose(test::Random& random) {
  for (const int64_t stride : {kLanes, kLanes + 1, 1000}) {
    const std::vector<float> matrix = random.numbers((kLanes - 1) * stride + kLanes, 1.0);
    V column[kLanes];
    S::transpose(matrix.data(), stride, column);
    for (int k = 0; k < kLanes; ++k)
      each(column[k], "transpose",
           [&](int j) { return matrix[static_cast<size_t>(j * stride + k)]; });
  }
}

int tests(int, char**) {
  test::Random random(1);
  test_constants();
  test_arithmetic(random);
  test_special_values();
  test_power_of_two();
  test_first_lanes(random);
  test_transpose(random);
  return test::result();
}

}  // namespace

int main(int count, char** arguments) { return test::run_where_possible(&tests, count, arguments); }
