// The product that everything runs on: rows given by pointers times a packed matrix, in register
// tiles.
//
// A packed matrix (K, N) is cut into panels of kPanel columns, the last of as many whole vectors as
// it needs. A panel holds its K rows one after the other, so that a tile reads it from end to end.
// Rows of the left factor are given by pointers: that is how ragged sequences, reversed sequences
// and resets cost nothing.
//
// Every element of a product is a sum of chains: multiply-adds over some words (words.h), in the
// order of k, whatever the tile, the number of rows beside it and the number of threads: results do
// not depend on any of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "words.h"

namespace carousel {

#if defined(_MSC_VER)
#define CAROUSEL_INLINE __forceinline
#else
#define CAROUSEL_INLINE inline __attribute__((always_inline))
#endif

// Inputs of up to this width are summed within the step, where they cost least. Wider ones are
// summed before the steps.
constexpr int64_t kNarrow = 32;

// Rows of the left factor, each of at least the words that the product takes.
struct Factor {
  const float* const* rows;
  const float* panels;  // the packed matrix, at the first panel
  int64_t depth;        // K, words; 0 for no such factor
  int64_t columns;      // N
};

template <class S>
struct Product {
  using V = typename S::V;
  static constexpr int kPanel = S::kPanelVectors * S::kLanes;
  // Words after which a panel is left for the next: its part then lies in the first-level cache
  // while all rows pass.
  static constexpr int64_t kDepth = std::min<int64_t>(256, (32 << 10) / (kPanel * sizeof(float)));

  static constexpr int64_t panels(int64_t columns) { return (columns + kPanel - 1) / kPanel; }
  // Columns that panel p of a matrix with `columns` holds: whole vectors.
  static constexpr int64_t width(int64_t columns, int64_t p) {
    return std::min<int64_t>(kPanel, whole_vectors<S>(columns) - p * kPanel);
  }

  // The product of both factors, for the columns begin <= j < end, of which begin is the first of a
  // vector and end the first of another, or the matrix's end: c[r][j - offset] = base[j] + sum for
  // every row r < rows, in whole vectors. Where base is null the sum goes onto what c holds.
  static void run(int64_t rows, const Factor& first, const Factor& second, const float* base,
                  float* const* c, int64_t offset, int64_t begin, int64_t end) {
    // One row fills a quarter of the registers: several panels at once hide the latency.
    constexpr int kWide = 8 / S::kPanelVectors;
    const int64_t columns = first.depth > 0 ? first.columns : second.columns;
    const Call call{rows, &first, &second, base, c, offset, columns};
    for (int64_t j = begin; j < end;) {
      const int64_t wide = kWide * kPanel;
      if (rows == 1 && j % kPanel == 0 && j + wide <= end &&
          width(columns, (j + wide - 1) / kPanel) == kPanel) {
        block<kWide, S::kPanelVectors>(call, j);
        j += wide;
      } else {
        const int64_t next = std::min((j / kPanel + 1) * kPanel, end);
        one<S::kPanelVectors>(call, j, next - j);
        j = next;
      }
    }
  }

 private:
  struct Call {
    int64_t rows;
    const Factor* first;
    const Factor* second;
    const float* base;
    float* const* c;
    int64_t offset, columns;
  };

  // `count` columns of one panel from column j on, at most kVectors vectors.
  template <int kVectors>
  static void one(const Call& call, int64_t j, int64_t count) {
    if constexpr (kVectors > 1)
      if (count <= (kVectors - 1) * S::kLanes) return one<kVectors - 1>(call, j, count);
    block<1, kVectors>(call, j);
  }

  // kVectors vectors from column j on of kWide panels, all rows.
  template <int kWide, int kVectors>
  static CAROUSEL_INLINE void block(const Call& call, int64_t j) {
    const int64_t rows = call.rows, column = j - call.offset;
    const Factor &first = *call.first, &second = *call.second;
    float* const* c = call.c;
    const float* start = call.base == nullptr ? nullptr : call.base + j;
    const Span spans[2] = {Span::of(first, j, call.columns), Span::of(second, j, call.columns)};
    if (first.depth + second.depth <= kDepth) {
      tiles<kWide, kVectors>(rows, spans[0], spans[1], start, c, column);  // c is written once
      return;
    }
    for (const Span& span : spans) {
      for (int64_t k = 0; k < span.depth; k += kDepth) {
        Span part = span;
        part.begin = k;
        part.end = std::min(k + kDepth, span.depth);
        tiles<kWide, kVectors>(rows, part, {}, start, c, column);
        start = nullptr;
      }
    }
  }

  // Words begin to end of a factor's product with some columns of a panel.
  struct Span {
    const float* const* rows;
    const float* panel;  // at the first of the columns
    int64_t stride;      // from one word of the panel to the next
    int64_t begin, end, depth;

    static Span of(const Factor& factor, int64_t j, int64_t columns) {
      const int64_t p = j / kPanel;
      const float* panel = factor.panels + p * factor.depth * kPanel + j % kPanel;
      return {factor.rows, panel, width(columns, p), 0, factor.depth, factor.depth};
    }
  };

  template <int kWide, int kVectors>
  static CAROUSEL_INLINE void tiles(int64_t rows, Span first, Span second, const float* start,
                                    float* const* c, int64_t column) {
    // Tiles of nearly equal height: 7 rows are 4 + 3, not 6 + 1.
    const int64_t count = (rows + S::kTileRows - 1) / S::kTileRows;
    for (int64_t i = 0, r = 0; i < count; ++i) {
      const int64_t height = (rows - r + count - i - 1) / (count - i);
      pick<kWide, kVectors, S::kTileRows>(height, first, second, start, c + r, column);
      r += height;
      first.rows += height;
      second.rows += height;
    }
  }

  template <int kWide, int kVectors, int kRows>
  static void pick(int64_t height, const Span& first, const Span& second, const float* start,
                   float* const* c, int64_t column) {
    if constexpr (kWide > 1) {
      Tile<1, kWide, kVectors>(start, c, column).run(first, second);
    } else if constexpr (kRows > 1) {
      if (height == kRows) {
        Tile<kRows, 1, kVectors>(start, c, column).run(first, second);
      } else {
        pick<kWide, kVectors, kRows - 1>(height, first, second, start, c, column);
      }
    } else {
      Tile<1, 1, kVectors>(start, c, column).run(first, second);
    }
  }

  // kRows rows times kWide panels of kWidth vectors, with all sums of a chain in registers.
  template <int kRows, int kWide, int kWidth>
  class Tile {
   public:
    Tile(const float* start, float* const* c, int64_t column) : start_(start) {
      for (int r = 0; r < kRows; ++r) out_[r] = c[r] + column;
    }

    void run(const Span& first, const Span& second) {
      chains(first, second.begin == second.end);
      chains(second, true);
    }

   private:
    static constexpr int kVectors = kWide * kWidth;

    // The total so far is kept on the stack, and goes out after the last chain.
    CAROUSEL_INLINE void chains(const Span& span, bool is_last) {
      if (span.begin == span.end) return;  // and there may be no rows
      const float* row[kRows];
      for (int r = 0; r < kRows; ++r) row[r] = span.rows[r];
      // A whole panel's stride is known.
      const int64_t stride = kWidth == S::kPanelVectors ? kPanel : span.stride;
      const float* panel = span.panel + span.begin * stride;
      const int64_t next_panel = span.depth * kPanel;
      for (int64_t k = span.begin; k < span.end;) {
        V sum[kRows][kVectors];
        for (int r = 0; r < kRows; ++r)
          for (int v = 0; v < kVectors; ++v) sum[r][v] = S::zero();
        for (const int64_t end = std::min(k + Words<S>::kChain, span.end); k < end;
             ++k, panel += stride) {
          V column[kVectors];
          for (int w = 0; w < kWide; ++w)
            for (int v = 0; v < kWidth; ++v)
              column[w * kWidth + v] = S::load(panel + w * next_panel + v * S::kLanes);
          for (int r = 0; r < kRows; ++r) {
            const V value = S::broadcast(row[r] + k);
            for (int v = 0; v < kVectors; ++v)
              sum[r][v] = Words<S>::multiply_add(value, column[v], sum[r][v]);
          }
        }
        const bool last = is_last && k == span.end;
        for (int r = 0; r < kRows; ++r) {
          const float* from = started_ ? total_[r] : start_ == nullptr ? out_[r] : start_;
          for (int v = 0; v < kVectors; ++v)
            sum[r][v] = S::add(S::load(from + v * S::kLanes), sum[r][v]);
        }
        // After all loads: a store may seem to overlap one that lies a multiple of 4 KB away.
        for (int r = 0; r < kRows; ++r) {
          float* to = last ? out_[r] : total_[r];
          for (int v = 0; v < kVectors; ++v) S::store(to + v * S::kLanes, sum[r][v]);
        }
        started_ = true;
      }
    }

    const float* const start_;
    float* out_[kRows];
    bool started_ = false;
    alignas(64) float total_[kRows][kVectors * S::kLanes];
  };
};

}  // namespace carousel
