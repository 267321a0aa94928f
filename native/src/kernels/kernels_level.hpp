// Owns the declarations of one level's kernels; included by the kernel sources only.
#pragma once

#include "lanes.hpp"

#include "decision_level.hpp"

namespace walstreet::WALSTREET_LEVEL {

double ordered_sum(const double* values, std::size_t count);
double ordered_dot(const double* left, const double* right, std::size_t count);
void simplex_projection(const double* values, std::size_t value_count, double* projection,
                        double* candidates);
void blend(const double* predictions, const double* weights, std::size_t model_count,
           std::size_t symbol_count, double* blended, double* weight_present);
void ewma_update(const double* values, const double* alphas, std::size_t alpha_count,
                 std::size_t symbol_count, double* mean, double* variance, std::uint8_t* status);
void rolling_update(const RollingArguments& arguments);
void ring_returns(const double* ring, std::size_t capacity, std::size_t symbol_count,
                  std::int64_t bars_seen, const std::int64_t* lags, std::size_t lag_count,
                  double* returns);
void forest_predict(const ForestArguments& arguments);

// Writes what became of each value; shared by every kernel that takes one value per symbol.
WALSTREET_INLINE void store_status(std::uint8_t* status, const double* values, std::size_t count) {
  for (std::size_t lane = 0; lane < count; ++lane) {
    const double magnitude = __builtin_fabs(values[lane]);
    const std::uint8_t unusable =
        values[lane] != values[lane] ? status_missing : status_out_of_range;
    status[lane] = magnitude <= value_abs_max ? std::uint8_t{status_updated} : unusable;
  }
}

}  // namespace walstreet::WALSTREET_LEVEL
