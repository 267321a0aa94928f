// Owns the table of the kernels of a decision: its arguments, limits and signatures.
// Pointers here are already checked (decision_bindings.cpp); kernels neither allocate nor fail.
#pragma once

#include <cstddef>
#include <cstdint>

namespace walstreet {

inline constexpr std::size_t horizon_count_max = 16;
// Bounds the memory of a kept factor (two triangles of 2,048 squared doubles are 64 MiB).
inline constexpr std::size_t factor_count_max = 2'048;
inline constexpr std::size_t low_rank_count_max = 64;
inline constexpr std::size_t parity_sweep_count_max = 1'000;
// Rows of a kept factor are padded to whole chunks of eight, and away from powers of two.
inline constexpr std::size_t factor_stride_extra = 8;

// The numbers are part of the Python interface.
enum class SizeMethod : int { automatic = 0, proportional = 1, volatility_target = 2 };

struct CostSettings {
  double impact_coefficient;
  double fee_usd_per_share;
  double fee_bps;
};

struct ArbitrationSettings {
  double best_share;
  double reserve_spread_share;
  double reserve_bps;
};

struct SizeSettings {
  SizeMethod method;
  double z_max;
  double names_min_proportional;
  double volatility_day_bps_target;
  double weight_abs_max;
};

// A model that may predict this cycle.
struct ActiveModel {
  const double* scores;  // its row, (symbol_count,)
  double slope;
  double weight;
};

// Models by horizon: rows [starts[h], starts[h + 1]) of model_rows name the scores' rows, ascending.
struct ModelPlan {
  const std::size_t* model_rows;
  const std::size_t* starts;
  const double* slopes;         // (model_count,)
  const double* weights;        // (model_count,)
  ActiveModel* active;          // scratch (model_count,)
  std::size_t* active_starts;   // scratch (horizon_count + 1,)
};

struct BlendArguments {
  ModelPlan plan;
  const double* scores;   // (model_count, symbol_count)
  const double* sigma;    // (horizon_count, symbol_count)
  double* raw;            // (horizon_count, symbol_count), as the two below
  double* blended;
  double* present;
  std::size_t horizon_count;
  std::size_t symbol_count;
};

// Market facts, (symbol_count,) each; NaN is unknown.
struct MarketFacts {
  const double* spread;
  const double* sigma_5m;
  const double* sigma_day;
  const double* price;
  const double* daily_volume;
  const double* order_usd;
};

// What arbitration says about each symbol, (symbol_count,) each.
struct ChoiceArrays {
  double* reserve;
  std::int64_t* best;
  double* alpha_final;
  double* z;
  std::uint8_t* clears;
};

struct CostArbitrateArguments {
  MarketFacts market;
  CostSettings cost_settings;
  ArbitrationSettings arbitration;
  double session_multiplier;
  const double* alpha;  // (horizon_count, symbol_count)
  const double* sigma;  // (horizon_count, symbol_count)
  double* cost;         // (horizon_count, symbol_count)
  double* net;          // (horizon_count, symbol_count)
  ChoiceArrays choice;
  std::size_t horizon_count;
  std::size_t symbol_count;
};

struct CycleArguments {
  ModelPlan plan;
  MarketFacts market;
  CostSettings cost_settings;
  ArbitrationSettings arbitration;
  SizeSettings size;
  double session_multiplier;
  double gross_budget;
  const double* scores;          // (model_count, symbol_count)
  const double* horizon_scales;  // (horizon_count,), sigma_h over sigma_5m
  const std::uint8_t* fresh;     // (horizon_count,), predictions young enough to act on
  const std::uint8_t* tradable;  // (symbol_count,)
  double* blended;               // (horizon_count, symbol_count)
  double* present;               // (horizon_count, symbol_count)
  double* cost;                  // (symbol_count,), the same for every horizon
  double* net;                   // (horizon_count, symbol_count)
  ChoiceArrays choice;
  double* weight;                // (symbol_count,)
  std::size_t horizon_count;
  std::size_t symbol_count;
};

// A kept Cholesky factor: upper is U with U'U = matrix + ridge * I, lower its transpose, both row by row.
struct Factor {
  double* upper;
  double* lower;
  std::size_t count;
  std::size_t stride;
};

// diagonal + loadings' loadings, with the factor of I + loadings diagonal^-1 loadings'.
struct LowRank {
  const double* diagonal;  // (symbol_count,)
  const double* loadings;  // (factor_count, symbol_count)
  Factor core;
  double* projection;      // scratch of one padded row of the core
  std::size_t factor_count;
  std::size_t symbol_count;
};

struct ParityArguments {
  const double* covariance;  // (symbol_count, symbol_count)
  const double* signs;       // (symbol_count,) each -1, 0 or 1; 0 is left out
  double gross;
  double tolerance;
  double* weights;           // (symbol_count,)
  double* marginal;          // scratch (symbol_count,)
  std::size_t symbol_count;
};

struct FlowArguments {
  const double* bid;
  const double* ask;
  const double* bid_size;
  const double* ask_size;
  double* previous;   // (4, symbol_count): bid, ask, bid size, ask size
  double* imbalance;  // (symbol_count,)
  std::uint8_t* status;
  std::size_t symbol_count;
};

struct DecisionKernels {
  void (*exp_array)(const double* values, std::size_t count, double* results);
  void (*log_array)(const double* values, std::size_t count, double* results);
  void (*power_array)(const double* values, double exponent, std::size_t count, double* results);
  void (*calibrate_blend)(const BlendArguments& arguments);
  void (*cost_arbitrate)(const CostArbitrateArguments& arguments);
  // Returns false when weights overflowed, because a daily volatility is too close to zero.
  bool (*decision_cycle)(const CycleArguments& arguments);
  // Returns the first row whose pivot is not above zero, or the count if there is none.
  std::size_t (*factorise)(const double* matrix, double ridge, const Factor& factor);
  // Solves in place; values holds one padded row of the factor, zero beyond its count.
  void (*solve)(const Factor& factor, double* values);
  std::size_t (*prepare_low_rank)(const LowRank& low_rank);
  void (*solve_low_rank)(const LowRank& low_rank, double* values);
  // From the clipped z of wanted names (NaN elsewhere) to the right-hand side, and back to weights.
  void (*ridge_right_side)(const double* z, std::size_t count, double* values);
  void (*ridge_weights)(const double* z, const double* sigma, double gross_budget,
                        const double* values, std::size_t count, double* weights);
  // Returns the sweeps done; above parity_sweep_count_max means that it did not converge.
  std::size_t (*risk_parity)(const ParityArguments& arguments);
  void (*covariance_update)(const double* values, double alpha, std::size_t count,
                            double* covariance, std::uint8_t* status);
  void (*shrunk_correlation)(const double* covariance, double shrinkage, std::size_t count,
                             double* deviations, double* correlation);
  // keys and order are scratch, (2, count) each; returns the number of values ranked.
  std::size_t (*average_ranks)(const double* values, std::size_t count, std::uint64_t* keys,
                               std::int64_t* order, double* ranks);
  void (*order_flow_update)(const FlowArguments& arguments);
};

}  // namespace walstreet
