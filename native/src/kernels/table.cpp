// Owns the table through which dispatch.cpp reaches this level's kernels.
#include "kernels_level.hpp"

namespace walstreet::WALSTREET_LEVEL {

const KernelTable kernel_table = {
    .ordered_sum = ordered_sum,
    .ordered_dot = ordered_dot,
    .simplex_projection = simplex_projection,
    .blend = blend,
    .ewma_update = ewma_update,
    .rolling_update = rolling_update,
    .ring_returns = ring_returns,
    .forest_predict = forest_predict,
    .decision = &decision_kernels,
    .matured = &matured_kernels,
    .swing = &swing_kernels,
};

}  // namespace walstreet::WALSTREET_LEVEL
