// Owns the weighted blend of models over the symbols they answered for.
#include "kernels_level.hpp"

namespace walstreet::WALSTREET_LEVEL {

// Symbols are lanes; each adds its models in row order, so no sum crosses lanes.
void blend(const double* predictions, const double* weights, std::size_t model_count,
           std::size_t symbol_count, double* blended, double* weight_present) {
  const Lanes zero = broadcast(0.0);
  each_chunk(symbol_count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    Lanes weighted = zero;
    Lanes present = zero;
    for (std::size_t model = 0; model < model_count; ++model) {
      const double* row = predictions + model * symbol_count;
      const Lanes prediction = load_some(row + chunk.start, chunk.count, 0.0);
      const Lanes weight = broadcast(weights[model]);
      const Mask answered = is_usable(prediction);
      weighted = weighted + select(answered, weight * prediction, zero);
      present = present + select(answered, weight, zero);
    }
    const Lanes mean = select(zero < present, weighted / present, missing_lanes());
    store_some(blended + chunk.start, mean, chunk.count);
    store_some(weight_present + chunk.start, present, chunk.count);
  });
}

}  // namespace walstreet::WALSTREET_LEVEL
