// One instruction set: the functions that the same templates make for it.
#pragma once

#include "../lstm.h"
#include "../schedule.h"

namespace carousel {

struct Target {
  const char* name;
  int lanes;
  int64_t (*packed_forward_floats)(const Shape&);
  int64_t (*packed_backward_floats)(const Shape&);
  void (*pack_forward)(const Shape&, const Weights&, float*, int);
  void (*pack_backward)(const Shape&, const Weights&, float*, int);
  uint64_t (*fingerprint)(const float*, int64_t);
  void (*forward)(const Forward&, int);
  void (*single_step)(const Single&, int);
  void (*backward)(const Backward&, int);
  bool bf16;  // whether products are of bf16; such a target runs no layer that projects
};

// Null where this build or this processor lacks it.
const Target* portable_target();
const Target* avx2_target();
const Target* avx512_target();
const Target* avx512bf16_target();  // products of bf16; for layers that do not project
const Target* neon_target();

// Scratch memory of the calling thread, aligned to 64 bytes, until its next call.
void* scratch(size_t bytes);

}  // namespace carousel
