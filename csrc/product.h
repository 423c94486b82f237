// The product that everything runs on: rows given by pointers times a packed matrix, in register
// tiles.
//
// A packed matrix (K, N) is cut into panels of kPanel columns. A panel holds its K rows one after
// the other, so that a tile reads it from end to end. Rows of the left factor are given by
// pointers: that is how ragged sequences, reversed sequences and resets cost nothing.
//
// Every element of a product is one chain of fused multiply-adds over blocks of kDepth terms, in
// the order of k, whatever the tile, the number of rows beside it and the number of threads:
// results do not depend on any of them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace carousel {

#if defined(_MSC_VER)
#define CAROUSEL_INLINE __forceinline
#else
#define CAROUSEL_INLINE inline __attribute__((always_inline))
#endif

// Terms that are summed before they are added to the rest: a panel's block then lies in the
// first-level cache while all rows pass, and errors grow with K / kDepth + kDepth instead of K.
constexpr int64_t kDepth = 256;

// Inputs of up to this width are summed in one chain with the hidden state, wherever that is short
// too: within the step, where they cost least. Wider ones are summed before the steps.
constexpr int64_t kNarrow = 32;

// Rows of the left factor, each of at least the terms that the product takes.
struct Factor {
  const float* const* rows;
  const float* panels;  // the packed matrix, at the first panel
  int64_t depth;        // K, terms; 0 for no such factor
};

template <class S>
struct Product {
  using V = typename S::V;
  static constexpr int kPanel = S::kPanelVectors * S::kLanes;

  static constexpr int64_t panels(int64_t columns) { return (columns + kPanel - 1) / kPanel; }

  // The product of both factors, for the panels first_panel <= p < last_panel, which start at
  // column p * kPanel: c[r][column - offset] = base[column] + sum for every row r < rows. Where
  // base is null the sum goes onto what c holds.
  static void run(int64_t rows, const Factor& first, const Factor& second, const float* base,
                  float* const* c, int64_t offset, int64_t first_panel, int64_t last_panel) {
    // One row fills a quarter of the registers: several panels at once hide the latency.
    constexpr int kWide = 8 / S::kPanelVectors;
    int64_t p = first_panel;
    if (rows == 1)
      for (; p + kWide <= last_panel; p += kWide)
        block<kWide>(rows, first, second, base, c, offset, p);
    for (; p < last_panel; ++p) block<1>(rows, first, second, base, c, offset, p);
  }

 private:
  // kWide panels from p on, all rows.
  template <int kWide>
  static void block(int64_t rows, const Factor& first, const Factor& second, const float* base,
                    float* const* c, int64_t offset, int64_t p) {
    const int64_t column = p * kPanel - offset;
    const float* start = base == nullptr ? nullptr : base + p * kPanel;
    if (first.depth > 0 && first.depth <= kDepth && second.depth <= kDepth) {
      // Short sums: both factors in one chain, and c is written once.
      tiles<kWide>(rows, first, 0, first.depth, second, 0, second.depth, start, c, column, p);
      return;
    }
    for (const Factor* factor : {&first, &second}) {
      for (int64_t k = 0; k < factor->depth; k += kDepth) {
        const int64_t end = k + kDepth < factor->depth ? k + kDepth : factor->depth;
        tiles<kWide>(rows, *factor, k, end, *factor, 0, 0, start, c, column, p);
        start = nullptr;
      }
    }
  }

  template <int kWide>
  static void tiles(int64_t rows, const Factor& first, int64_t k1, int64_t end1,
                    const Factor& second, int64_t k2, int64_t end2, const float* start,
                    float* const* c, int64_t column, int64_t p) {
    // Tiles of nearly equal height: 7 rows are 4 + 3, not 6 + 1.
    const int64_t count = (rows + S::kTileRows - 1) / S::kTileRows;
    int64_t r = 0;
    for (int64_t i = 0; i < count; ++i) {
      const int64_t height = (rows - r + count - i - 1) / (count - i);
      const Span a{first.rows + r, first.panels + p * first.depth * kPanel, k1, end1, first.depth};
      const Span b{second.rows + r, second.panels + p * second.depth * kPanel, k2, end2,
                   second.depth};
      pick<kWide, S::kTileRows>(height, a, b, start, c + r, column);
      r += height;
    }
  }

  struct Span {
    const float* const* rows;
    const float* panel;
    int64_t begin, end, depth;
  };

  template <int kWide, int kRows>
  static void pick(int64_t height, const Span& a, const Span& b, const float* start,
                   float* const* c, int64_t column) {
    if constexpr (kWide > 1) {
      tile<1, kWide>(a, b, start, c, column);
    } else if constexpr (kRows > 1) {
      if (height == kRows) {
        tile<kRows, 1>(a, b, start, c, column);
      } else {
        pick<kWide, kRows - 1>(height, a, b, start, c, column);
      }
    } else {
      tile<1, 1>(a, b, start, c, column);
    }
  }

  template <int kRows, int kWide>
  static void tile(const Span& a, const Span& b, const float* start, float* const* c,
                   int64_t column) {
    constexpr int kVectors = kWide * S::kPanelVectors;
    V sum[kRows][kVectors];
    for (int r = 0; r < kRows; ++r)
      for (int v = 0; v < kVectors; ++v) sum[r][v] = S::zero();
    accumulate<kRows, kWide>(a, sum);
    accumulate<kRows, kWide>(b, sum);
    for (int r = 0; r < kRows; ++r) {
      float* out = c[r] + column;
      const float* from = start == nullptr ? out : start;
      for (int v = 0; v < kVectors; ++v)
        S::store(out + v * S::kLanes, S::add(S::load(from + v * S::kLanes), sum[r][v]));
    }
  }

  template <int kRows, int kWide>
  static CAROUSEL_INLINE void accumulate(const Span& span,
                                         V (&sum)[kRows][kWide * S::kPanelVectors]) {
    if (span.begin >= span.end) return;  // and there may be no rows
    const float* row[kRows];
    for (int r = 0; r < kRows; ++r) row[r] = span.rows[r];
    const float* panel = span.panel + span.begin * kPanel;
    const int64_t stride = span.depth * kPanel;
    for (int64_t k = span.begin; k < span.end; ++k, panel += kPanel) {
      V column[kWide * S::kPanelVectors];
      for (int w = 0; w < kWide; ++w)
        for (int v = 0; v < S::kPanelVectors; ++v)
          column[w * S::kPanelVectors + v] = S::load(panel + w * stride + v * S::kLanes);
      for (int r = 0; r < kRows; ++r) {
        const V value = S::broadcast(row[r] + k);
        for (int v = 0; v < kWide * S::kPanelVectors; ++v)
          sum[r][v] = S::fma(value, column[v], sum[r][v]);
      }
    }
  }
};

}  // namespace carousel
