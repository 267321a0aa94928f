// Owns the exponentially weighted mean and variance of many symbols under many decays.
#include "kernels_level.hpp"

namespace walstreet::WALSTREET_LEVEL {

// Finch 2009, "Incremental calculation of weighted mean and variance", eq. 124 and 143. An unusable
// value leaves mean and variance as they are; a NaN mean marks a state that no value has seeded yet.
void ewma_update(const double* values, const double* alphas, std::size_t alpha_count,
                 std::size_t symbol_count, double* mean, double* variance, std::uint8_t* status) {
  const Lanes zero = broadcast(0.0);
  store_status(status, values, symbol_count);
  for (std::size_t row = 0; row < alpha_count; ++row) {
    const Lanes alpha = broadcast(alphas[row]);
    const Lanes keep = broadcast(1.0 - alphas[row]);
    double* mean_row = mean + row * symbol_count;
    double* variance_row = variance + row * symbol_count;
    each_chunk(symbol_count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
      const std::size_t start = chunk.start;
      const std::size_t count = chunk.count;
      const Lanes value = load_some(values + start, count, 0.0);
      const Lanes old_mean = load_some(mean_row + start, count, 0.0);
      const Lanes old_variance = load_some(variance_row + start, count, 0.0);
      const Lanes difference = value - old_mean;
      const Lanes step = alpha * difference;
      const Mask seeded = is_number(old_mean);
      const Mask usable = is_usable(value);
      const Lanes moved_mean = select(seeded, old_mean + step, value);
      const Lanes moved_variance =
          select(seeded, keep * (old_variance + difference * step), zero);
      store_some(mean_row + start, select(usable, moved_mean, old_mean), count);
      store_some(variance_row + start, select(usable, moved_variance, old_variance), count);
    });
  }
}

}  // namespace walstreet::WALSTREET_LEVEL
