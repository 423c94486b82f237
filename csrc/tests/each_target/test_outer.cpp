// Sums of outer products against sums in double: packing, whole tiles, and tiles that are cut off.
#include "outer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "../random.h"
#include "../rounding.h"
#include "instruction_set.h"

namespace {

using test::check;
using test::Random;
using test::S;
using O = carousel::Outer<S>;

constexpr float kUnwritten = std::numeric_limits<float>::quiet_NaN();

struct Rows {
  std::vector<std::vector<float>> row;
  std::vector<const float*> rows;

  Rows(Random& random, int64_t count, int64_t columns) {
    for (int64_t r = 0; r < count; ++r) {
      row.push_back(random.numbers(columns, 1.0));
      for (float& number : row.back()) number = test::factor(number);
    }
    for (const std::vector<float>& values : row) rows.push_back(values.data());
  }
  float at(int64_t r, int64_t j) const { return rows[static_cast<size_t>(r)][j]; }
};

// The right factor: two matrices side by side, the first of them scaled or not.
struct Right {
  Rows one, other, scale;
  int64_t columns, others;
  bool scaled;

  Right(Random& random, int64_t count, int64_t first, int64_t second, bool with_scale)
      : one(random, count, first),
        other(random, count, second),
        scale(random, count, first),
        columns(first),
        others(second),
        scaled(with_scale) {}
  double at(int64_t r, int64_t j) const {
    if (j >= columns) return static_cast<double>(other.at(r, j - columns));
    // Scaled numbers are rounded to factors after that.
    return static_cast<double>(scaled ? test::factor(one.at(r, j) * scale.at(r, j)) : one.at(r, j));
  }
  carousel::RightRows first() const {
    return {one.rows.data(), scaled ? scale.rows.data() : nullptr, columns};
  }
  carousel::RightRows second() const { return {other.rows.data(), nullptr, others}; }
};

struct Packed {
  std::vector<float> left, right;
};

// Panels and lines in two halves, as two workers would.
Packed packed(const Rows& left, int64_t lefts, const Right& right, int64_t count) {
  const int64_t rights = right.columns + right.others;
  Packed p{std::vector<float>(static_cast<size_t>(lefts * count), kUnwritten),
           std::vector<float>(static_cast<size_t>(O::right_floats(rights, count)), kUnwritten)};
  const int64_t half = lefts / 32 * 16, panels = O::panels(rights);
  O::pack_left(left.rows.data(), count, half, lefts, p.left.data());
  O::pack_left(left.rows.data(), count, 0, half, p.left.data());
  O::pack_right(right.first(), right.second(), count, panels / 2, panels, p.right.data());
  O::pack_right(right.first(), right.second(), count, 0, panels / 2, p.right.data());
  return p;
}

// left^T right, `height` rows of every tile, onto two matrices or instead of them.
void test_product(Random& random, int64_t count, int64_t lefts, int64_t first, int64_t second,
                  bool scaled, bool add, int height) {
  const Rows left(random, count, lefts);
  const Right right(random, count, first, second, scaled);
  const Packed p = packed(left, lefts, right, count);

  // A float behind each matrix must stay.
  const float before = add ? 0.5f : kUnwritten;
  std::vector<float> matrix[2] = {
      std::vector<float>(static_cast<size_t>(lefts * first + 1), before),
      std::vector<float>(static_cast<size_t>(lefts * second + 1), before)};
  for (int64_t tile = 0; tile < lefts / O::kRows; ++tile)
    for (int64_t panel = 0; panel < O::panels(first + second); ++panel)
      O::tile(p.left.data() + tile * O::kRows * O::W::count(count), p.right.data(), count, add,
              panel, {matrix[0].data() + tile * O::kRows * first, first},
              {matrix[1].data() + tile * O::kRows * second, second}, height);
  for (const std::vector<float>& m : matrix)
    check(test::bits_of(m.back()) == test::bits_of(before), "wrote behind a matrix");

  // A term is scaled, multiplied and added within a chain, and chains are added.
  const int64_t chain = O::kChainRows;
  const int64_t roundings = 2 + std::min(count, chain) + (count + chain - 1) / chain;
  for (int64_t i = 0; i < lefts; ++i)
    for (int64_t j = 0; j < first + second; ++j) {
      const float got = j < first ? matrix[0][static_cast<size_t>(i * first + j)]
                                  : matrix[1][static_cast<size_t>(i * second + j - first)];
      if (i % O::kRows >= height) {
        check(test::bits_of(got) == test::bits_of(before), "wrote outside of its tile");
        continue;
      }
      double sum = add ? 0.5 : 0.0, size = sum;
      for (int64_t r = 0; r < count; ++r) {
        const double term = static_cast<double>(left.at(r, i)) * right.at(r, j);
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
  constexpr int64_t kColumns = O::kColumns, kChain = O::kChainRows;
  for (const int64_t count : {int64_t{1}, int64_t{7}, kChain, kChain + 1, 2 * kChain + 5})
    for (const bool add : {false, true})
      test_product(random, count, 32, kColumns + 5, count % 3, false, add, O::kRows);
  for (int64_t first = 1; first <= 2 * kColumns + 1; ++first)
    for (const int64_t second : {int64_t{0}, int64_t{1}, kColumns - 2})
      test_product(random, 5, 16, first, second, first % 2 == 0, first % 3 == 0, O::kRows);
  for (int height = 1; height <= O::kRows; ++height)
    test_product(random, 9, 48, kColumns - 1, 3, true, height % 2 == 0, height);
  return test::result();
}

}  // namespace

int main(int count, char** arguments) { return test::run_where_possible(&tests, count, arguments); }
