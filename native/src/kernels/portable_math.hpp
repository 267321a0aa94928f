// Owns exp, log and power with the bits of walstreet.domain.portable_math, on every instruction set.
//
// Only operations that IEEE 754 rounds exactly are used, in the order of the Python version; a contract
// test compares the two. The forms for one double and for eight lanes run the same operations.
#pragma once

#include "lanes.hpp"

#ifdef __clang__
#define WALSTREET_UNROLL_TERMS _Pragma("unroll")
#else
#define WALSTREET_UNROLL_TERMS _Pragma("GCC unroll 16")
#endif

namespace walstreet::WALSTREET_LEVEL {

// Larger arguments are clipped: the results would leave float64.
inline constexpr double exponent_abs_max = 700.0;

// Two-part ln 2 after Cody and Waite, so that the reduction is exact to the last bit needed.
inline constexpr double ln2_high = 6.93147180369123816490e-01;
inline constexpr double ln2_low = 1.90821492927058770002e-10;

// 1 / order!, each rounded once, like Python's 1.0 / math.factorial(order).
inline constexpr double exp_coefficients[] = {
    1.0 / 1.0,     1.0 / 1.0,      1.0 / 2.0,       1.0 / 6.0,        1.0 / 24.0,
    1.0 / 120.0,   1.0 / 720.0,    1.0 / 5040.0,    1.0 / 40320.0,    1.0 / 362880.0,
    1.0 / 3628800.0, 1.0 / 39916800.0, 1.0 / 479001600.0, 1.0 / 6227020800.0,
};
inline constexpr std::size_t exp_term_count = sizeof(exp_coefficients) / sizeof(double);

// Adding and taking away 1.5 * 2^52 rounds to the nearest integer, ties to even, like numpy.rint.
WALSTREET_INLINE double round_to_even(double value) {
  constexpr double shift = 6755399441055744.0;
  return (value + shift) - shift;
}

// 2 to the power of an integer from -1022 to 1023; multiplying a normal result by it is exact.
WALSTREET_INLINE double power_of_two(double exponent) {
  return __builtin_bit_cast(double, (static_cast<std::int64_t>(exponent) + 1023) << 52);
}

WALSTREET_INLINE double portable_exp(double value) {
  if (value != value) {
    return value;
  }
  const double above = value < -exponent_abs_max ? -exponent_abs_max : value;
  const double clipped = above > exponent_abs_max ? exponent_abs_max : above;
  const double exponent = round_to_even(clipped / (ln2_high + ln2_low));
  const double rest = (clipped - exponent * ln2_high) - exponent * ln2_low;
  double total = exp_coefficients[exp_term_count - 1];
  for (std::size_t order = exp_term_count - 1; order-- > 0;) {
    total = total * rest + exp_coefficients[order];
  }
  return total * power_of_two(exponent);
}

// 1 / (2 * order + 1) of the series of the inverse hyperbolic tangent.
inline constexpr double log_coefficients[] = {
    1.0 / 1.0,  1.0 / 3.0,  1.0 / 5.0,  1.0 / 7.0,  1.0 / 9.0,  1.0 / 11.0, 1.0 / 13.0,
    1.0 / 15.0, 1.0 / 17.0, 1.0 / 19.0, 1.0 / 21.0, 1.0 / 23.0, 1.0 / 25.0,
};
inline constexpr std::size_t log_term_count = sizeof(log_coefficients) / sizeof(double);
inline constexpr double square_root_of_half = 0.7071067811865476;
inline constexpr double smallest_normal = 2.2250738585072014e-308;
// Lifts every subnormal into the normal range without rounding.
inline constexpr double subnormal_scale = 18014398509481984.0;
inline constexpr double subnormal_scale_exponent = 54.0;

WALSTREET_INLINE Lanes portable_exp(const Lanes& values) {
  // 1.5 * 2^52: the sum's low bits are the rounded integer, which the shift below moves into the exponent.
  const Lanes shift = broadcast(6755399441055744.0);
  const Lanes clipped =
      minimum(broadcast(exponent_abs_max), maximum(broadcast(-exponent_abs_max), values));
  const Lanes shifted = clipped / broadcast(ln2_high + ln2_low) + shift;
  const Lanes exponent = shifted - shift;
  const Lanes rest =
      (clipped - exponent * broadcast(ln2_high)) - exponent * broadcast(ln2_low);
  Lanes total = broadcast(exp_coefficients[exp_term_count - 1]);
  WALSTREET_UNROLL_TERMS for (std::size_t order = exp_term_count - 1; order-- > 0;) {
    total = total * rest + broadcast(exp_coefficients[order]);
  }
  Lanes scale;
  WALSTREET_EACH_PART scale.part[index] =
      (VectorDouble)(((VectorMask)shifted.part[index] + 1023) << 52);
  return select(is_number(values), total * scale, values + values);
}

WALSTREET_INLINE Lanes portable_log(const Lanes& values) {
  const Lanes one = broadcast(1.0);
  const Mask valid = (broadcast(0.0) < values) & (values <= broadcast(DBL_MAX));
  const Lanes known = select(valid, values, one);
  const Mask subnormal = known < broadcast(smallest_normal);
  const Lanes normal = select(subnormal, known * broadcast(subnormal_scale), known);
  Lanes mantissa;
  Lanes exponent;
  WALSTREET_EACH_PART {
    const VectorMask bits = (VectorMask)normal.part[index];
    mantissa.part[index] =
        (VectorDouble)((bits & 0x000f'ffff'ffff'ffffLL) | 0x3fe0'0000'0000'0000LL);
    // 2^52 plus the biased exponent, as a double; the sign bit is 0 here.
    exponent.part[index] = (VectorDouble)((bits >> 52) | 0x4330'0000'0000'0000LL);
  }
  exponent = (exponent - broadcast(4503599627370496.0)) - broadcast(1022.0);
  exponent = exponent - select(subnormal, broadcast(subnormal_scale_exponent), broadcast(0.0));
  const Mask small = mantissa < broadcast(square_root_of_half);
  mantissa = select(small, mantissa * broadcast(2.0), mantissa);
  const Lanes power = exponent - select(small, one, broadcast(0.0));
  const Lanes ratio = (mantissa - one) / (mantissa + one);
  const Lanes square = ratio * ratio;
  Lanes total = broadcast(log_coefficients[log_term_count - 1]);
  WALSTREET_UNROLL_TERMS for (std::size_t order = log_term_count - 1; order-- > 0;) {
    total = total * square + broadcast(log_coefficients[order]);
  }
  const Lanes result = power * broadcast(ln2_high) +
                       (broadcast(2.0) * ratio * total + power * broadcast(ln2_low));
  return select(valid, result, missing_lanes());
}

WALSTREET_INLINE Lanes portable_power(const Lanes& values, double exponent) {
  const Lanes zero = broadcast(0.0);
  const Lanes raised = portable_exp(broadcast(exponent) * portable_log(values));
  return select(values == zero, zero, raised);
}

}  // namespace walstreet::WALSTREET_LEVEL
