// Owns the exponentially weighted covariance of many symbols and its correlation shrunk to the identity.
#include "decision_steps.hpp"

namespace walstreet::WALSTREET_LEVEL {

// Means are taken as zero, as is usual for returns of minutes. A pair moves only when both values are
// usable; its first product seeds it. Products commute, so the matrix stays symmetric to the bit.
void covariance_update(const double* values, double alpha, std::size_t count, double* covariance,
                       std::uint8_t* status) {
  store_status(status, values, count);
  const Lanes newest = broadcast(alpha);
  const Lanes keep = broadcast(1.0 - alpha);
  for (std::size_t row = 0; row < count; ++row) {
    if (status[row] != status_updated) {
      continue;
    }
    const Lanes own = broadcast(values[row]);
    double* target = covariance + row * count;
    each_chunk(count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
      const Lanes value = load_some(values + chunk.start, chunk.count, 0.0);
      const Lanes old = load_some(target + chunk.start, chunk.count, 0.0);
      const Lanes product = own * value;
      const Lanes moved = select(is_number(old), keep * old + newest * product, product);
      store_some(target + chunk.start, select(is_usable(value), moved, old), chunk.count);
    });
  }
}

// deviations is scratch. A pair that is not known yet, or a name without variance, has correlation 0.
void shrunk_correlation(const double* covariance, double shrinkage, std::size_t count,
                        double* deviations, double* correlation) {
  for (std::size_t row = 0; row < count; ++row) {
    deviations[row] = __builtin_sqrt(covariance[row * count + row]);
  }
  const Lanes keep = broadcast(1.0 - shrinkage);
  for (std::size_t row = 0; row < count; ++row) {
    const Lanes own = broadcast(deviations[row]);
    const double* source = covariance + row * count;
    double* target = correlation + row * count;
    each_chunk(count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
      const Lanes scale = own * load_some(deviations + chunk.start, chunk.count, 1.0);
      const Lanes ratio = load_some(source + chunk.start, chunk.count, 0.0) / scale;
      const Lanes bounded = clip(keep_where(is_finite(ratio), ratio), 1.0);
      store_some(target + chunk.start, keep * bounded, chunk.count);
    });
    target[row] = 1.0;
  }
}

}  // namespace walstreet::WALSTREET_LEVEL
