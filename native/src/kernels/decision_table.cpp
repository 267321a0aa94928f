// Owns the table through which dispatch.cpp reaches this level's decision kernels.
#include "kernels_level.hpp"

namespace walstreet::WALSTREET_LEVEL {

const DecisionKernels decision_kernels = {
    .exp_array = exp_array,
    .log_array = log_array,
    .power_array = power_array,
    .calibrate_blend = calibrate_blend,
    .cost_arbitrate = cost_arbitrate,
    .decision_cycle = decision_cycle,
    .factorise = factorise,
    .solve = solve,
    .prepare_low_rank = prepare_low_rank,
    .solve_low_rank = solve_low_rank,
    .ridge_right_side = ridge_right_side,
    .ridge_weights = ridge_weights,
    .risk_parity = risk_parity,
    .covariance_update = covariance_update,
    .shrunk_correlation = shrunk_correlation,
    .average_ranks = average_ranks,
    .order_flow_update = order_flow_update,
};

}  // namespace walstreet::WALSTREET_LEVEL
