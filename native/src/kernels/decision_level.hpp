// Owns the declarations of one level's decision kernels; included by kernels_level.hpp only.
#pragma once

namespace walstreet::WALSTREET_LEVEL {

void exp_array(const double* values, std::size_t count, double* results);
void log_array(const double* values, std::size_t count, double* results);
void power_array(const double* values, double exponent, std::size_t count, double* results);
void calibrate_blend(const BlendArguments& arguments);
void cost_arbitrate(const CostArbitrateArguments& arguments);
bool decision_cycle(const CycleArguments& arguments);
std::size_t factorise(const double* matrix, double ridge, const Factor& factor);
void solve(const Factor& factor, double* values);
std::size_t prepare_low_rank(const LowRank& low_rank);
void solve_low_rank(const LowRank& low_rank, double* values);
void ridge_right_side(const double* z, std::size_t count, double* values);
void ridge_weights(const double* z, const double* sigma, double gross_budget,
                   const double* values, std::size_t count, double* weights);
std::size_t risk_parity(const ParityArguments& arguments);
void covariance_update(const double* values, double alpha, std::size_t count, double* covariance,
                       std::uint8_t* status);
void shrunk_correlation(const double* covariance, double shrinkage, std::size_t count,
                        double* deviations, double* correlation);
std::size_t average_ranks(const double* values, std::size_t count, std::uint64_t* keys,
                          std::int64_t* order, double* ranks);
void order_flow_update(const FlowArguments& arguments);
extern const DecisionKernels decision_kernels;

}  // namespace walstreet::WALSTREET_LEVEL
