// Owns exp, log and power of whole arrays.
#include "kernels_level.hpp"
#include "portable_math.hpp"

namespace walstreet::WALSTREET_LEVEL {

void exp_array(const double* values, std::size_t count, double* results) {
  each_chunk(count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    const Lanes value = load_some(values + chunk.start, chunk.count, 0.0);
    store_some(results + chunk.start, portable_exp(value), chunk.count);
  });
}

void log_array(const double* values, std::size_t count, double* results) {
  each_chunk(count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    const Lanes value = load_some(values + chunk.start, chunk.count, 1.0);
    store_some(results + chunk.start, portable_log(value), chunk.count);
  });
}

void power_array(const double* values, double exponent, std::size_t count, double* results) {
  each_chunk(count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    const Lanes value = load_some(values + chunk.start, chunk.count, 1.0);
    store_some(results + chunk.start, portable_power(value, exponent), chunk.count);
  });
}

}  // namespace walstreet::WALSTREET_LEVEL
