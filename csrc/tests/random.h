// Random numbers that are the same with every compiler and library.
#pragma once

#include <cstdint>
#include <vector>

namespace test {

// SplitMix64 (Steele, Lea and Flood, 2014, doi:10.1145/2660193.2660195, figure 16).
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t bits() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // From 0 to count - 1; the bias of the remainder does not matter here.
  int64_t below(int64_t count) {
    return static_cast<int64_t>(bits() % static_cast<uint64_t>(count));
  }
  int64_t between(int64_t first, int64_t last) { return first + below(last - first + 1); }
  bool chance(double probability) {
    return static_cast<double>(bits() >> 11) < probability * 0x1p53;
  }
  // From -size to size.
  float number(double size) {
    return static_cast<float>(size * (static_cast<double>(bits() >> 11) * 0x1p-52 - 1.0));
  }
  std::vector<float> numbers(int64_t count, double size) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = number(size);
    return values;
  }

 private:
  uint64_t state_;
};

}  // namespace test
