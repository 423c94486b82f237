// Sums of outer products against sums in double: packing, whole tiles, and tiles that are cut off.
#include "outer.h"

#include <cmath>
#include <limits>
#include <vector>

#include "../random.h"
#include "../rounding.h"
#include "instruction_set.h"

namespace {

using carousel::kDepth;
using test::check;
using test::Random;
using test::S;
using O = carousel::Outer<S>;

constexpr float kUnwritten = std::numeric_limits<float>::quiet_NaN();

struct Rows {
  std::vector<std::vector<float>> row;
  std::vector<const float*> rows;

  Rows(Random& random, int64_t count, int64_t columns) {
    for (int64_t r = 0; r < count; ++r) row.push_back(random.numbers(columns, 1.0));
    for (const std::vector<float>& values : row) rows.push_back(values.data());
  }
  float at(int64_t r, int64_t j) const { return rows[static_cast<size_t>(r)][j]; }
};

struct Packed {
  std::vector<float> left, right;
};

// Panels and lines in two halves, as two workers would.
Packed packed(const Rows& left, int64_t lefts, const Rows& right, int64_t rights, const Rows* scale,
              int64_t count) {
  Packed p{std::vector<float>(static_cast<size_t>(lefts * count), kUnwritten),
           std::vector<float>(static_cast<size_t>(O::right_floats(rights, count)), kUnwritten)};
  const int64_t half = lefts / 32 * 16, panels = O::panels(rights);
  O::pack_left(left.rows.data(), count, half, lefts, p.left.data());
  O::pack_left(left.rows.data(), count, 0, half, p.left.data());
  const float* const* factors = scale == nullptr ? nullptr : scale->rows.data();
  O::pack_right(right.rows.data(), factors, count, rights, panels / 2, panels, p.right.data());
  O::pack_right(right.rows.data(), factors, count, rights, 0, panels / 2, p.right.data());
  return p;
}

// left^T right, `height` rows of every tile, onto a matrix or instead of it.
void test_product(Random& random, int64_t count, int64_t lefts, int64_t rights, bool scaled,
                  bool add, int height) {
  const Rows left(random, count, lefts), right(random, count, rights);
  const Rows scale(random, count, rights);
  const Packed p = packed(left, lefts, right, rights, scaled ? &scale : nullptr, count);

  const int64_t stride = rights + 1;  // one float between rows must stay
  const float before = add ? 0.5f : kUnwritten;
  std::vector<float> matrix(static_cast<size_t>(lefts * stride), before);
  for (int64_t tile = 0; tile < lefts / O::kRows; ++tile)
    for (int64_t panel = 0; panel < O::panels(rights); ++panel) {
      const int64_t start = panel * O::kColumns;
      const int width = static_cast<int>(std::min<int64_t>(rights - start, O::kColumns));
      O::tile(p.left.data() + tile * O::kRows * count, p.right.data() + start * count, count, add,
              matrix.data() + tile * O::kRows * stride + start, stride, height, width);
    }

  // A term is scaled, multiplied and added within a chain, and chains are added.
  const int64_t roundings = 2 + std::min(count, kDepth) + (count + kDepth - 1) / kDepth;
  for (int64_t i = 0; i < lefts; ++i)
    for (int64_t j = 0; j < stride; ++j) {
      const float got = matrix[static_cast<size_t>(i * stride + j)];
      if (j == rights || i % O::kRows >= height) {
        check(test::bits_of(got) == test::bits_of(before), "wrote outside of its tile");
        continue;
      }
      double sum = add ? 0.5 : 0.0, size = sum;
      for (int64_t r = 0; r < count; ++r) {
        double term = static_cast<double>(left.at(r, i)) * static_cast<double>(right.at(r, j));
        if (scaled) term *= static_cast<double>(scale.at(r, j));
        sum += term;
        size += std::fabs(term);
      }
      check(std::fabs(static_cast<double>(got) - sum) <= test::gamma(roundings) * size,
            "%g, not %g: (%d, %d) of %d rows", static_cast<double>(got), sum, static_cast<int>(i),
            static_cast<int>(j), static_cast<int>(count));
    }
}

int tests(int, char**) {
  Random random(13);
  constexpr int64_t kColumns = O::kColumns;
  for (const int64_t count : {int64_t{1}, int64_t{7}, kDepth, kDepth + 1, 2 * kDepth + 5})
    for (const bool add : {false, true})
      test_product(random, count, 32, kColumns + 5, false, add, O::kRows);
  for (int64_t rights = 1; rights <= 2 * kColumns + 1; ++rights)
    test_product(random, 5, 16, rights, rights % 2 == 0, rights % 3 == 0, O::kRows);
  for (int height = 1; height <= O::kRows; ++height)
    test_product(random, 9, 48, kColumns - 1, true, height % 2 == 0, height);
  return test::result();
}

}  // namespace

int main(int count, char** arguments) { return test::run_where_possible(&tests, count, arguments); }
