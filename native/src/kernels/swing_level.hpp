// Owns the declarations of one level's rotation kernels, and Quad: four doubles, the same at every level.
//
// Universes of a dozen funds fill whole quads better than eight lanes; a quad is one 256-bit register, or two of 128.
#pragma once

#include "lanes.hpp"
#include "swing.hpp"

namespace walstreet::WALSTREET_LEVEL {

typedef double Quad __attribute__((vector_size(32)));
typedef long long QuadMask __attribute__((vector_size(32)));
typedef double UnalignedQuad __attribute__((vector_size(32), aligned(sizeof(double)), may_alias));

WALSTREET_INLINE void load_quad(const double* source, Quad& quad) {
  quad = *reinterpret_cast<const UnalignedQuad*>(source);
}

WALSTREET_INLINE void store_quad(double* target, const Quad& quad) {
  *reinterpret_cast<UnalignedQuad*>(target) = quad;
}

WALSTREET_INLINE void fill_quad(double value, Quad& quad) { quad = value - Quad{}; }

// Bit i is lane i's truth.
WALSTREET_INLINE std::uint32_t quad_bits(const QuadMask& mask) {
#if defined(__AVX__)
  return static_cast<std::uint32_t>(_mm256_movemask_pd((__m256d)mask));
#elif defined(__SSE2__)
  const auto* half = reinterpret_cast<const __m128d*>(&mask);
  return static_cast<std::uint32_t>(_mm_movemask_pd(half[0]) | (_mm_movemask_pd(half[1]) << 2));
#else
  std::uint32_t bits = 0;
  for (int lane = 0; lane < 4; ++lane) {
    bits |= static_cast<std::uint32_t>(mask[lane] & 1) << lane;
  }
  return bits;
#endif
}

void swing_advance(const SwingAdvance& arguments);
void swing_prepare(const SwingPrepare& arguments);
void swing_run(const SwingRun& arguments);
void swing_record(const SwingRecord& arguments);
void swing_rebuild(const SwingRebuild& arguments);
void swing_prepare_masks(const SwingPrepare& arguments);
void swing_prepare_lists(const SwingPrepare& arguments);
// The correlation of two columns over the rows that end with this one, in the two passes of the conventions.
double swing_correlation(const double* newest_row, std::size_t stride, std::size_t window,
                         std::size_t left, std::size_t right);
extern const SwingKernels swing_kernels;

}  // namespace walstreet::WALSTREET_LEVEL
