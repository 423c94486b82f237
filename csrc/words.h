// What the factors of products are made of: words of 32 bits.
//
// In float32 a word is one number. Where S::kPairs is set a word is two bf16 numbers that are
// neighbours along the sum: one instruction multiplies both by those of another word and adds the
// two products to a float32 sum. Words lie in arrays of float either way; only what is here looks
// inside them.
#pragma once

#include <algorithm>
#include <cstdint>

namespace carousel {

// Columns in whole vectors.
template <class S>
constexpr int64_t whole_vectors(int64_t columns) {
  return (columns + S::kLanes - 1) / S::kLanes * S::kLanes;
}

template <class S>
struct Words {
  using V = typename S::V;
  static constexpr int kTerms = S::kPairs ? 2 : 1;  // of a sum, in one word
  // Words that are summed before they are added to the rest: errors of float32 grow with
  // K / kChain + kChain instead of K. Those of bf16 are the factors'.
  static constexpr int64_t kChain = S::kPairs ? 128 : 64;

  static constexpr int64_t count(int64_t terms) { return (terms + kTerms - 1) / kTerms; }

  // sum + value * column, for all terms of the words.
  static V multiply_add(V value, V column, V sum) {
    if constexpr (S::kPairs) {
      return S::add_products(value, column, sum);
    } else {
      return S::fma(value, column, sum);
    }
  }

  // Words whose terms are lane by lane those of kTerms vectors.
  static V join(const V* terms) {
    if constexpr (S::kPairs) {
      return S::pair(terms[0], terms[1]);
    } else {
      return terms[0];
    }
  }

  // Numbers j to j + kLanes of a row of words; j is a multiple of kLanes.
  static void store(float* row, int64_t j, V numbers) {
    if constexpr (S::kPairs) {
      S::store_neighbours(row + j / 2, numbers);
    } else {
      S::store(row + j, numbers);
    }
  }

  // A row of n numbers, and zeros up to a whole vector.
  static void store_row(float* row, const float* numbers, int64_t n) {
    for (int64_t j = 0; j < n; j += S::kLanes) {
      const int left = static_cast<int>(std::min<int64_t>(n - j, S::kLanes));
      store(row, j, left == S::kLanes ? S::load(numbers + j) : S::load_first(numbers + j, left));
    }
  }
};

}  // namespace carousel
