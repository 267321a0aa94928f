// Owns Lanes: eight doubles that behave the same on every instruction set.
//
// The logical lane count is always eight; only the number of machine vectors that carry the eight
// lanes changes with the level. A reduction over lanes therefore adds the same numbers in the same
// order everywhere. Kernel sources include no standard header with inline code (intrinsics are
// always inlined): a copy compiled with AVX could otherwise be the one the linker keeps for the
// baseline.
#pragma once

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "kernels.hpp"

#if !defined(WALSTREET_LEVEL) || !defined(WALSTREET_VECTOR_BYTES)
#error "define WALSTREET_LEVEL (a namespace) and WALSTREET_VECTOR_BYTES (16, 32 or 64)"
#endif
#ifdef __FAST_MATH__
#error "fast-math would let results depend on the instruction set"
#endif

namespace walstreet::WALSTREET_LEVEL {

#define WALSTREET_INLINE [[gnu::always_inline]] static inline

typedef double VectorDouble __attribute__((vector_size(WALSTREET_VECTOR_BYTES)));
typedef long long VectorMask __attribute__((vector_size(WALSTREET_VECTOR_BYTES)));
// Arrays are aligned to a double only. Parts move one by one through this type: copying the whole
// struct instead makes GCC 12 go through the stack in narrower pieces.
typedef double UnalignedVector
    __attribute__((vector_size(WALSTREET_VECTOR_BYTES), aligned(sizeof(double)), may_alias));

inline constexpr std::size_t part_lane_count = WALSTREET_VECTOR_BYTES / sizeof(double);

inline constexpr std::size_t part_count =
    logical_lane_count * sizeof(double) / WALSTREET_VECTOR_BYTES;

struct Lanes {
  VectorDouble part[part_count];
};

// Each lane is all ones (true) or all zeros (false).
struct Mask {
  VectorMask part[part_count];
};

#ifdef __clang__
#define WALSTREET_UNROLL _Pragma("unroll")
#else
#define WALSTREET_UNROLL _Pragma("GCC unroll 4")
#endif
#define WALSTREET_EACH_PART \
  WALSTREET_UNROLL for (std::size_t index = 0; index < part_count; ++index)

WALSTREET_INLINE Lanes broadcast(double value) {
  Lanes result;
  WALSTREET_EACH_PART result.part[index] = value - VectorDouble{};
  return result;
}

WALSTREET_INLINE Lanes load(const double* source) {
  Lanes result;
  WALSTREET_EACH_PART result.part[index] =
      *reinterpret_cast<const UnalignedVector*>(source + index * part_lane_count);
  return result;
}

WALSTREET_INLINE void store(double* target, const Lanes& lanes) {
  WALSTREET_EACH_PART
  *reinterpret_cast<UnalignedVector*>(target + index * part_lane_count) = lanes.part[index];
}

// Reads count < 8 lanes and fills the rest, so that a tail runs through the same arithmetic.
WALSTREET_INLINE Lanes load_partial(const double* source, std::size_t count, double fill) {
  double padded[logical_lane_count];
  for (std::size_t lane = 0; lane < logical_lane_count; ++lane) {
    padded[lane] = lane < count ? source[lane] : fill;
  }
  return load(padded);
}

WALSTREET_INLINE void store_partial(double* target, const Lanes& lanes, std::size_t count) {
  double padded[logical_lane_count];
  store(padded, lanes);
  for (std::size_t lane = 0; lane < count; ++lane) {
    target[lane] = padded[lane];
  }
}

WALSTREET_INLINE Lanes load_some(const double* source, std::size_t count, double fill) {
  return count == logical_lane_count ? load(source) : load_partial(source, count, fill);
}

WALSTREET_INLINE void store_some(double* target, const Lanes& lanes, std::size_t count) {
  if (count == logical_lane_count) {
    store(target, lanes);
  } else {
    store_partial(target, lanes, count);
  }
}

// Symbols [start, start + count) of a row, count at most eight.
struct Chunk {
  std::size_t start;
  std::size_t count;
};

// Calls body once per eight symbols. Full chunks pass a constant count, so that the branches on a
// tail vanish from the inlined body.
template <typename Body>
WALSTREET_INLINE void each_chunk(std::size_t symbol_count, const Body& body) {
  const std::size_t full_end = symbol_count - symbol_count % logical_lane_count;
  for (std::size_t start = 0; start < full_end; start += logical_lane_count) {
    body(Chunk{start, logical_lane_count});
  }
  if (full_end < symbol_count) {
    body(Chunk{full_end, symbol_count - full_end});
  }
}

#define WALSTREET_BINARY(symbol)                                              \
  WALSTREET_INLINE Lanes operator symbol(const Lanes& left, const Lanes& right) { \
    Lanes result;                                                             \
    WALSTREET_EACH_PART result.part[index] = left.part[index] symbol right.part[index]; \
    return result;                                                            \
  }
WALSTREET_BINARY(+)
WALSTREET_BINARY(-)
WALSTREET_BINARY(*)
WALSTREET_BINARY(/)
#undef WALSTREET_BINARY

#define WALSTREET_COMPARE(symbol)                                             \
  WALSTREET_INLINE Mask operator symbol(const Lanes& left, const Lanes& right) { \
    Mask result;                                                              \
    WALSTREET_EACH_PART result.part[index] = left.part[index] symbol right.part[index]; \
    return result;                                                            \
  }
WALSTREET_COMPARE(<)
WALSTREET_COMPARE(<=)
WALSTREET_COMPARE(==)
#undef WALSTREET_COMPARE

WALSTREET_INLINE Mask operator&(const Mask& left, const Mask& right) {
  Mask result;
  WALSTREET_EACH_PART result.part[index] = left.part[index] & right.part[index];
  return result;
}

WALSTREET_INLINE Lanes select(const Mask& mask, const Lanes& if_true, const Lanes& if_false) {
  Lanes result;
  WALSTREET_EACH_PART result.part[index] =
      mask.part[index] ? if_true.part[index] : if_false.part[index];
  return result;
}

// The machine's minimum is "candidate < best ? candidate : best", so a tie and a NaN candidate both
// keep the best. GCC does not form it from a vector comparison, hence the one use of intrinsics
// (not at 64 bytes, where a comparison and a masked blend cost little and GCC 12 warns falsely).
WALSTREET_INLINE VectorDouble machine_minimum(VectorDouble candidate, VectorDouble best) {
#if defined(__x86_64__) && WALSTREET_VECTOR_BYTES == 32
  return (VectorDouble)_mm256_min_pd((__m256d)candidate, (__m256d)best);
#elif defined(__x86_64__) && WALSTREET_VECTOR_BYTES == 16
  return (VectorDouble)_mm_min_pd((__m128d)candidate, (__m128d)best);
#else
  return candidate < best ? candidate : best;
#endif
}

WALSTREET_INLINE VectorDouble machine_maximum(VectorDouble candidate, VectorDouble best) {
#if defined(__x86_64__) && WALSTREET_VECTOR_BYTES == 32
  return (VectorDouble)_mm256_max_pd((__m256d)candidate, (__m256d)best);
#elif defined(__x86_64__) && WALSTREET_VECTOR_BYTES == 16
  return (VectorDouble)_mm_max_pd((__m128d)candidate, (__m128d)best);
#else
  return best < candidate ? candidate : best;
#endif
}

WALSTREET_INLINE Lanes minimum(const Lanes& candidate, const Lanes& best) {
  Lanes result;
  WALSTREET_EACH_PART result.part[index] =
      machine_minimum(candidate.part[index], best.part[index]);
  return result;
}

WALSTREET_INLINE Lanes maximum(const Lanes& candidate, const Lanes& best) {
  Lanes result;
  WALSTREET_EACH_PART result.part[index] =
      machine_maximum(candidate.part[index], best.part[index]);
  return result;
}

WALSTREET_INLINE Lanes absolute(const Lanes& lanes) {
  Lanes result;
  WALSTREET_EACH_PART result.part[index] =
      (VectorDouble)((VectorMask)lanes.part[index] & 0x7fff'ffff'ffff'ffffLL);
  return result;
}

// IEEE 754 square roots are correctly rounded, hence the same on every level.
WALSTREET_INLINE Lanes square_root(const Lanes& lanes) {
  Lanes result;
  WALSTREET_EACH_PART {
    for (std::size_t lane = 0; lane < part_lane_count; ++lane) {
      result.part[index][lane] = __builtin_sqrt(lanes.part[index][lane]);
    }
  }
  return result;
}

WALSTREET_INLINE Mask is_number(const Lanes& lanes) { return lanes == lanes; }

// False for NaN, infinities and values whose square could overflow a sum.
WALSTREET_INLINE Mask is_usable(const Lanes& lanes) {
  return absolute(lanes) <= broadcast(value_abs_max);
}

WALSTREET_INLINE bool all(const Mask& mask) {
  VectorMask joined = mask.part[0];
  for (std::size_t index = 1; index < part_count; ++index) {
    joined &= mask.part[index];
  }
  long long every = -1;
  for (std::size_t lane = 0; lane < part_lane_count; ++lane) {
    every &= joined[lane];
  }
  return every == -1;
}

// Adds eight lanes in one fixed tree: halves, quarters, then the last pair.
WALSTREET_INLINE double tree_sum(const Lanes& lanes) {
  double lane[logical_lane_count];
  store(lane, lanes);
  const double even = (lane[0] + lane[4]) + (lane[2] + lane[6]);
  const double odd = (lane[1] + lane[5]) + (lane[3] + lane[7]);
  return even + odd;
}

WALSTREET_INLINE Lanes missing_lanes() { return broadcast(__builtin_nan("")); }

}  // namespace walstreet::WALSTREET_LEVEL
