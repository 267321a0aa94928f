// Owns the table of the kernels that learn from matured outcomes, which every instruction-set level fills.
// Pointers here are already checked (matured_bindings.cpp); kernels neither allocate nor fail.
#pragma once

#include <cstddef>
#include <cstdint>

namespace walstreet {

// Columns of what one model's matured cross-section comes to.
enum MaturedColumn : std::size_t {
  matured_rank_ic,
  matured_cross,
  matured_square,
  matured_edge,
  matured_trades,
  matured_error,
  matured_column_count,
};

// Rows of what one decision time adds to the sums of every model.
enum ContributionRow : std::size_t {
  contribution_score_outcome,
  contribution_outcome_square,
  contribution_surviving,
  contribution_priced,
  contribution_answered,
  contribution_row_count,
};

inline constexpr std::size_t matured_scratch_rows = 6;

struct MaturedArguments {
  const double* scores;      // (model_count, symbol_count)
  const double* slopes;      // (model_count,)
  const double* return_bps;  // (symbol_count,), like the next two
  const double* sigma_bps;
  const double* cost_bps;
  double* rows;         // (model_count, matured_column_count)
  double* scratch;      // (matured_scratch_rows, symbol_count)
  std::uint64_t* keys;  // (2, symbol_count), scratch of the ranks, like order
  std::int64_t* order;
  double score_abs_max;
  double sigma_bps_max;
  double slope_abs_max;
  double outcome_abs_max;
  bool excess;
  std::size_t model_count;
  std::size_t symbol_count;
};

struct ContributionArguments {
  const double* scores;      // (model_count, symbol_count), like the next
  const double* alphas_bps;
  const double* outcomes;  // (symbol_count,), like the next
  const double* cost_bps;
  double* products;  // (model_count, model_count)
  double* sums;      // (contribution_row_count, model_count)
  double* scratch;   // (model_count,)
  double score_abs_max;
  double outcome_abs_max;
  std::size_t model_count;
  std::size_t symbol_count;
};

struct MedianArguments {
  const double* history;  // (any, width), of which the first used columns count
  double* medians;        // (row_count,), like the next two
  double* spreads;
  std::int64_t* counts;
  double* values;       // (used,), scratch, like the next two
  std::uint64_t* keys;
  std::uint64_t* candidates;
  std::size_t width;
  std::size_t used;
  std::size_t first_row;
  std::size_t row_step;
  std::size_t row_count;
};

struct MaturedKernels {
  void (*matured_rows)(const MaturedArguments& arguments);
  void (*contribution)(const ContributionArguments& arguments);
  void (*row_medians)(const MedianArguments& arguments);
};

namespace baseline {
extern const MaturedKernels matured_kernels;
}
namespace avx2 {
extern const MaturedKernels matured_kernels;
}
namespace avx512 {
extern const MaturedKernels matured_kernels;
}

}  // namespace walstreet
