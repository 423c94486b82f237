// The product of rows and packed matrices against sums in double, and its independence of tiles.
#include "product.h"

#include <cmath>
#include <limits>
#include <vector>

#include "../random.h"
#include "../rounding.h"
#include "instruction_set.h"

namespace {

using carousel::Factor;
using carousel::Words;
using test::check;
using test::Random;
using test::S;
using P = carousel::Product<S>;

constexpr int64_t kPanel = P::kPanel;
constexpr int64_t kDepth = P::kDepth * Words<S>::kTerms;  // in terms, as is the next
constexpr int64_t kChain = Words<S>::kChain * Words<S>::kTerms;
constexpr float kUnwritten = std::numeric_limits<float>::quiet_NaN();

// Rows of a left factor, each a block of memory of its own, and a matrix (K, N) with its panels.
struct Operands {
  int64_t depth, columns;
  std::vector<std::vector<float>> numbers, row;  // as they are, and in words
  std::vector<const float*> rows;
  std::vector<float> matrix, panels;

  Operands(Random& random, int64_t count, int64_t K, int64_t N) : depth(K), columns(N) {
    for (int64_t r = 0; r < count; ++r) {
      numbers.push_back(random.numbers(K, 1.0));
      for (float& number : numbers.back()) number = test::factor(number);
      row.emplace_back(static_cast<size_t>(whole_vectors(K)));
      Words<S>::store_row(row.back().data(), numbers.back().data(), K);
    }
    for (const std::vector<float>& values : row) rows.push_back(values.data());
    matrix = random.numbers(K * N, 1.0);
    for (float& number : matrix) number = test::factor(number);
    const int64_t depth_in_words = Words<S>::count(K);
    panels.assign(static_cast<size_t>(whole_vectors(N) * depth_in_words), 0.0f);
    for (int64_t k = 0; k < depth_in_words; ++k)
      for (int64_t j = 0; j < N; j += S::kLanes) {
        const int64_t p = j / kPanel, width = std::min(kPanel, whole_vectors(N) - p * kPanel);
        test::V terms[Words<S>::kTerms];
        for (int64_t t = 0; t < Words<S>::kTerms; ++t)
          terms[t] = vector(k * Words<S>::kTerms + t, j);
        S::store(panels.data() + p * kPanel * depth_in_words + k * width + j % kPanel,
                 Words<S>::join(terms));
      }
  }
  // Columns j to j + kLanes of a row of the matrix.
  test::V vector(int64_t k, int64_t j) const {
    float lane[S::kLanes] = {};
    for (int64_t i = 0; i < S::kLanes && k < depth && j + i < columns; ++i) lane[i] = at(k, j + i);
    return S::load(lane);
  }
  static int64_t whole_vectors(int64_t count) {
    return (count + S::kLanes - 1) / S::kLanes * S::kLanes;
  }
  float at(int64_t k, int64_t j) const { return matrix[static_cast<size_t>(k * columns + j)]; }
  float left(int64_t r, int64_t k) const {
    return numbers[static_cast<size_t>(r)][static_cast<size_t>(k)];
  }
  Factor factor() const { return {rows.data(), panels.data(), Words<S>::count(depth), columns}; }
  Factor factor_of(int64_t r) const {
    return {rows.data() + r, panels.data(), Words<S>::count(depth), columns};
  }
};

// Rows of the result, with one float more on either side that must stay as it was.
struct Result {
  int64_t width;
  std::vector<std::vector<float>> row;
  std::vector<float*> rows;

  Result(int64_t count, int64_t columns, float value) : width(columns) {
    for (int64_t r = 0; r < count; ++r) {
      row.emplace_back(static_cast<size_t>(columns + 2), value);
      row.back().front() = row.back().back() = kUnwritten;
    }
    for (std::vector<float>& values : row) rows.push_back(values.data() + 1);
  }
  void check_edges() const {
    for (const std::vector<float>& values : row)
      check(std::isnan(values.front()) && std::isnan(values.back()), "wrote beside its columns");
  }
};

struct Dimensions {
  int64_t rows, first_depth, second_depth, columns;
};

// Each factor's terms go through a chain of at most kChain, in which they are rounded twice where
// the vectors have no fused multiply-add, and then the chains are added to the start.
int64_t roundings(const Dimensions& d) {
  const auto chains = [](int64_t depth) { return (depth + kChain - 1) / kChain; };
  const int64_t longest = std::min(kChain, std::max(d.first_depth, d.second_depth));
  return longest + 1 + chains(d.first_depth) + chains(d.second_depth);
}

void compare(const Operands& first, const Operands& second, const std::vector<float>& start,
             const Result& result, const Dimensions& d) {
  for (int64_t r = 0; r < d.rows; ++r)
    for (int64_t j = 0; j < d.columns; ++j) {
      const auto begin = static_cast<double>(start[static_cast<size_t>(j)]);
      double sum = begin, size = std::fabs(begin);
      for (const Operands* factor : {&first, &second})
        for (int64_t k = 0; k < factor->depth; ++k) {
          const double term =
              static_cast<double>(factor->left(r, k)) * static_cast<double>(factor->at(k, j));
          sum += term;
          size += std::fabs(term);
        }
      const auto got = static_cast<double>(result.rows[static_cast<size_t>(r)][j]);
      const double bound = test::gamma(roundings(d)) * size;
      check(std::fabs(got - sum) <= bound, "%g, not %g within %g: row %d column %d, depth %d + %d",
            got, sum, bound, static_cast<int>(r), static_cast<int>(j),
            static_cast<int>(d.first_depth), static_cast<int>(d.second_depth));
    }
}

void same(const Result& a, const float* b, int64_t r, int64_t column, int64_t count,
          const char* what) {
  check(test::same_bits(a.rows[static_cast<size_t>(r)] + column, b, count), "row %d depends on %s",
        static_cast<int>(r), what);
}

void test_dimensions(Random& random, const Dimensions& d) {
  const int64_t whole = Operands::whole_vectors(d.columns);
  const Operands first(random, d.rows, d.first_depth, d.columns);
  const Operands second(random, d.rows, d.second_depth, d.columns);
  std::vector<float> base = random.numbers(whole, 1.0);

  Result from_base(d.rows, whole, kUnwritten);
  P::run(d.rows, first.factor(), second.factor(), base.data(), from_base.rows.data(), 0, 0,
         d.columns);
  from_base.check_edges();
  compare(first, second, base, from_base, d);

  // Onto what is there.
  Result onto(d.rows, whole, 0.5f);
  P::run(d.rows, first.factor(), second.factor(), nullptr, onto.rows.data(), 0, 0, d.columns);
  onto.check_edges();
  compare(first, second, std::vector<float>(static_cast<size_t>(whole), 0.5f), onto, d);

  // Every row alone, where panels are computed several at once, and every panel alone.
  for (int64_t r = 0; r < d.rows; ++r) {
    Result alone(1, whole, kUnwritten);
    P::run(1, first.factor_of(r), second.factor_of(r), base.data(), alone.rows.data(), 0, 0,
           d.columns);
    same(from_base, alone.rows[0], r, 0, whole, "the rows beside it");
  }
  // From every vector on, to the end of its panel and past it.
  for (int64_t j = 0; j < d.columns; j += S::kLanes)
    for (const int64_t end : {(j / kPanel + 1) * kPanel, j + kPanel}) {
      const int64_t last = std::min(end, d.columns);
      const int64_t width = Operands::whole_vectors(last) - j;
      Result part(d.rows, width, kUnwritten);
      P::run(d.rows, first.factor(), second.factor(), base.data(), part.rows.data(), j, j, last);
      part.check_edges();
      for (int64_t r = 0; r < d.rows; ++r)
        same(from_base, part.rows[static_cast<size_t>(r)], r, j, width, "its columns");
    }
}

void test_no_second_factor(Random& random) {
  for (const int64_t depth : {int64_t{3}, kDepth + 3}) {
    const Dimensions d{5, depth, 0, kPanel + 1};
    const Operands only(random, d.rows, depth, d.columns);
    const Operands none(random, d.rows, 0, d.columns);
    const std::vector<float> base = random.numbers(2 * kPanel, 1.0);
    const int64_t whole = Operands::whole_vectors(d.columns);
    Result as_first(d.rows, whole, kUnwritten), as_second(d.rows, whole, kUnwritten);
    P::run(d.rows, only.factor(), {}, base.data(), as_first.rows.data(), 0, 0, d.columns);
    compare(only, none, base, as_first, d);
    P::run(d.rows, {}, only.factor(), base.data(), as_second.rows.data(), 0, 0, d.columns);
    for (int64_t r = 0; r < d.rows; ++r)
      same(as_first, as_second.rows[static_cast<size_t>(r)], r, 0, whole, "which factor it has");
  }
}

// A row that is zero, as a reset state is, adds nothing; and one row may stand in several places.
void test_shared_rows(Random& random) {
  Operands first(random, 6, 5, kPanel), second(random, 6, 9, kPanel);
  const std::vector<float> zeros(9, 0.0f);
  second.rows[1] = second.rows[4] = zeros.data();
  second.numbers[1] = second.numbers[4] = zeros;
  first.rows[4] = first.rows[1];
  first.numbers[4] = first.numbers[1];
  const std::vector<float> base = random.numbers(kPanel, 1.0);
  Result result(6, kPanel, kUnwritten);
  P::run(6, first.factor(), second.factor(), base.data(), result.rows.data(), 0, 0, kPanel);
  compare(first, second, base, result, {6, 5, 9, kPanel});
  same(result, result.rows[4], 1, 0, kPanel, "its place");
}

int tests(int, char**) {
  Random random(11);
  for (int64_t rows = 0; rows <= 14; ++rows) test_dimensions(random, {rows, 7, 12, 3 * kPanel + 1});
  // Enough panels for several at once where there is one row, and one panel left.
  test_dimensions(random, {1, 4, 6, 9 * kPanel});
  test_dimensions(random, {25, 1, 1, 1});
  // A last panel of each width.
  for (int64_t columns = 1; columns <= 2 * kPanel; columns += S::kLanes / 2)
    for (const int64_t rows : {1, 5}) test_dimensions(random, {rows, kChain + 1, 9, columns});
  for (const int64_t depth : {kChain - 1, kChain, kChain + 1, kDepth - 5, kDepth - 4, kDepth,
                              kDepth + 1, 2 * kDepth + 77}) {
    test_dimensions(random, {8, 5, depth, kPanel + 3});
    test_dimensions(random, {8, depth, 5, kPanel + 3});
    test_dimensions(random, {1, depth, depth, 4 * kPanel + 3});
  }
  test_no_second_factor(random);
  test_shared_rows(random);
  return test::result();
}

}  // namespace

int main(int count, char** arguments) { return test::run_where_possible(&tests, count, arguments); }
