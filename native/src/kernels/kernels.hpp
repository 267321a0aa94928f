// Owns the table of kernels that every instruction-set level fills, with their limits.
// Pointers here are already checked (arguments.cpp); kernels neither allocate nor fail.
#pragma once

#include <cfloat>
#include <cstddef>
#include <cstdint>

#include "decision_kernels.hpp"
#include "matured.hpp"
#include "swing.hpp"

namespace walstreet {

inline constexpr std::size_t logical_lane_count = 8;

// A value beyond this is treated like a missing one, so that no square, sum of squares or smoothed
// variance can overflow and poison a symbol's state for good.
inline constexpr double value_abs_max = 1e150;
inline constexpr std::int64_t ring_capacity_max = 65'536;
inline constexpr std::int64_t window_count_max = 64;
inline constexpr std::int64_t model_count_max = 4'096;
inline constexpr std::int64_t bars_seen_max = std::int64_t{1} << 62;
static_assert(4.0 * value_abs_max * value_abs_max <
              DBL_MAX / static_cast<double>(ring_capacity_max));
static_assert(value_abs_max * value_abs_max < DBL_MAX / static_cast<double>(model_count_max));

// What became of a symbol's value in an update; the numbers are part of the Python interface.
enum Status : std::uint8_t { status_missing = 0, status_updated = 1, status_out_of_range = 2 };

// Planes of the rolling statistics, in the order of the Python interface.
enum Statistic : std::size_t {
  statistic_count,
  statistic_sum,
  statistic_sum_of_squares,
  statistic_centred_squares,
  statistic_minimum,
  statistic_maximum,
  statistic_mean,
  statistic_deviation,
  statistic_score,
  statistic_position,
  statistic_plane_count,
};

struct RollingArguments {
  const double* values;         // (symbol_count,)
  double* ring;                 // (blocks of eight symbols, capacity, 8)
  std::int64_t bars_seen;       // before this bar
  const std::int64_t* windows;  // (window_count,), strictly ascending, at most capacity
  std::uint8_t* status;         // (symbol_count,)
  // Per statistic its plane (window_count, symbol_count), or null if nobody asked for it.
  double* planes[statistic_plane_count];
  std::size_t capacity;
  std::size_t symbol_count;
  std::size_t window_count;
};

struct ForestArguments;  // kernels/forest.hpp

struct KernelTable {
  double (*ordered_sum)(const double* values, std::size_t count);
  double (*ordered_dot)(const double* left, const double* right, std::size_t count);
  // candidates is scratch of value_count doubles.
  void (*simplex_projection)(const double* values, std::size_t value_count, double* projection,
                             double* candidates);
  void (*blend)(const double* predictions, const double* weights, std::size_t model_count,
                std::size_t symbol_count, double* blended, double* weight_present);
  void (*ewma_update)(const double* values, const double* alphas, std::size_t alpha_count,
                      std::size_t symbol_count, double* mean, double* variance,
                      std::uint8_t* status);
  void (*rolling_update)(const RollingArguments& arguments);
  void (*ring_returns)(const double* ring, std::size_t capacity, std::size_t symbol_count,
                       std::int64_t bars_seen, const std::int64_t* lags, std::size_t lag_count,
                       double* returns);
  void (*forest_predict)(const ForestArguments& arguments);
  const DecisionKernels* decision;
  const MaturedKernels* matured;
  const SwingKernels* swing;
};

namespace baseline {
extern const KernelTable kernel_table;
}
namespace avx2 {
extern const KernelTable kernel_table;
}
namespace avx512 {
extern const KernelTable kernel_table;
}

}  // namespace walstreet
