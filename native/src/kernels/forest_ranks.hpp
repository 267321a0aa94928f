// Owns the bytes of a forest's kernels: vectors of bytes, and the ranks that values take.
#pragma once

#include "forest.hpp"
#include "lanes.hpp"

namespace walstreet::WALSTREET_LEVEL {

#ifdef __clang__
#define WALSTREET_UNROLL_EIGHT _Pragma("unroll")
#else
#define WALSTREET_UNROLL_EIGHT _Pragma("GCC unroll 8")
#endif

// Bytes need AVX-512BW at 64 bytes, which the level does not ask for; 32 bytes serve it well.
#define WALSTREET_BYTE_LANES (WALSTREET_VECTOR_BYTES < 32 ? WALSTREET_VECTOR_BYTES : 32)
typedef signed char ByteLanes __attribute__((vector_size(WALSTREET_BYTE_LANES)));
typedef short PairLanes __attribute__((vector_size(WALSTREET_BYTE_LANES)));
typedef std::uint32_t WordLanes __attribute__((vector_size(WALSTREET_BYTE_LANES)));
typedef signed char UnalignedBytes
    __attribute__((vector_size(WALSTREET_BYTE_LANES), aligned(1), may_alias));
inline constexpr std::size_t word_lane_count = WALSTREET_BYTE_LANES / sizeof(std::uint32_t);

WALSTREET_INLINE ByteLanes repeat_word(std::uint32_t word) {
  return (ByteLanes)(word - WordLanes{});
}

WALSTREET_INLINE ByteLanes load_bytes(const std::uint8_t* source) {
  return *reinterpret_cast<const UnalignedBytes*>(source);
}

WALSTREET_INLINE void store_bytes(std::uint32_t* target, const ByteLanes& lanes) {
  *reinterpret_cast<UnalignedBytes*>(target) = lanes;
}

// Interleaves within every 16 bytes, which is what the machine does in one instruction.
#if WALSTREET_BYTE_LANES == 32
WALSTREET_INLINE ByteLanes interleave_low(const ByteLanes& left, const ByteLanes& right) {
  return __builtin_shufflevector(left, right, 0, 32, 1, 33, 2, 34, 3, 35, 4, 36, 5, 37, 6, 38, 7,
                                 39, 16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55);
}
WALSTREET_INLINE ByteLanes interleave_high(const ByteLanes& left, const ByteLanes& right) {
  return __builtin_shufflevector(left, right, 8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46,
                                 15, 47, 24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31,
                                 63);
}
WALSTREET_INLINE PairLanes interleave_low(const PairLanes& left, const PairLanes& right) {
  return __builtin_shufflevector(left, right, 0, 16, 1, 17, 2, 18, 3, 19, 8, 24, 9, 25, 10, 26, 11,
                                 27);
}
WALSTREET_INLINE PairLanes interleave_high(const PairLanes& left, const PairLanes& right) {
  return __builtin_shufflevector(left, right, 4, 20, 5, 21, 6, 22, 7, 23, 12, 28, 13, 29, 14, 30,
                                 15, 31);
}
#else
WALSTREET_INLINE ByteLanes interleave_low(const ByteLanes& left, const ByteLanes& right) {
  return __builtin_shufflevector(left, right, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7,
                                 23);
}
WALSTREET_INLINE ByteLanes interleave_high(const ByteLanes& left, const ByteLanes& right) {
  return __builtin_shufflevector(left, right, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30,
                                 15, 31);
}
WALSTREET_INLINE PairLanes interleave_low(const PairLanes& left, const PairLanes& right) {
  return __builtin_shufflevector(left, right, 0, 8, 1, 9, 2, 10, 3, 11);
}
WALSTREET_INLINE PairLanes interleave_high(const PairLanes& left, const PairLanes& right) {
  return __builtin_shufflevector(left, right, 4, 12, 5, 13, 6, 14, 7, 15);
}
#endif

// Returns how many of a slice's thresholds are below the value, given the first group of four in which
// they may end; NaN is above none. Further groups follow only where float32 could not tell them apart.
WALSTREET_INLINE std::uint32_t finish_search(const double* thresholds, std::uint32_t group,
                                             double value) {
  const double* four = thresholds + std::size_t{group} * 4;
  std::uint32_t rank = group * 4;
#if WALSTREET_BYTE_LANES == 32
  const int below = _mm256_movemask_pd(
      _mm256_cmp_pd(_mm256_loadu_pd(four), _mm256_set1_pd(value), _CMP_LT_OQ));
  rank += static_cast<std::uint32_t>(__builtin_popcount(static_cast<unsigned>(below)));
#else
  rank += static_cast<std::uint32_t>(four[0] < value) + static_cast<std::uint32_t>(four[1] < value) +
          static_cast<std::uint32_t>(four[2] < value) + static_cast<std::uint32_t>(four[3] < value);
#endif
  if (four[3] < value) [[unlikely]] {
    // Ends at the latest at the infinities behind the thresholds.
    while (thresholds[rank] < value) {
      ++rank;
    }
  }
  return rank;
}

// Finds the groups of eight values. Pivots and values are rounded to float32 alike, which keeps their
// order: a rounded pivot below the rounded value stands for a threshold below the value.
WALSTREET_INLINE void search_groups(const float* pivots, std::uint32_t levels, const double* values,
                                    std::uint32_t* group) {
#if WALSTREET_BYTE_LANES == 32
  const __m256 value = _mm256_set_m128(_mm256_cvtpd_ps(_mm256_loadu_pd(values + 4)),
                                       _mm256_cvtpd_ps(_mm256_loadu_pd(values)));
  __m256i place = _mm256_set1_epi32(1);
  const auto look_up = [&] [[gnu::always_inline]] (int number) {
    return _mm256_permutevar8x32_ps(_mm256_load_ps(pivots + 8 * number), place);
  };
  // The sign of a float chooses, so the bit of the place that tells two registers apart goes there.
  const auto choose = [&] [[gnu::always_inline]] (__m256 if_clear, __m256 if_set, int bit) {
    return _mm256_blendv_ps(if_clear, if_set,
                            _mm256_castsi256_ps(_mm256_slli_epi32(place, 31 - bit)));
  };
  const auto descend = [&] [[gnu::always_inline]] (__m256 pivot) {
    const __m256i below = _mm256_castps_si256(_mm256_cmp_ps(pivot, value, _CMP_LT_OQ));
    place = _mm256_sub_epi32(_mm256_add_epi32(place, place), below);
  };
  for (std::uint32_t level = 0; level < levels && level < 3; ++level) {
    descend(look_up(0));
  }
  if (levels > 3) {
    descend(look_up(1));
  }
  if (levels > 4) {
    descend(choose(look_up(2), look_up(3), 3));
  }
  if (levels > 5) {
    descend(choose(choose(look_up(4), look_up(5), 3), choose(look_up(6), look_up(7), 3), 4));
  }
  const __m256i first = _mm256_set1_epi32(static_cast<int>(1U << levels));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(group), _mm256_sub_epi32(place, first));
#else
  float rounded[8];
  for (std::size_t lane = 0; lane < 8; ++lane) {
    rounded[lane] = static_cast<float>(values[lane]);
    group[lane] = 1;
  }
  for (std::uint32_t level = 0; level < levels; ++level) {
    for (std::size_t lane = 0; lane < 8; ++lane) {
      group[lane] = 2 * group[lane] + static_cast<std::uint32_t>(pivots[group[lane]] < rounded[lane]);
    }
  }
  for (std::size_t lane = 0; lane < 8; ++lane) {
    group[lane] -= 1U << levels;
  }
#endif
}

// Zero and NaN are the values whose rank may differ from column to column.
WALSTREET_INLINE bool is_plain(double value) { return __builtin_fabs(value) > forest_zero_abs_max; }

WALSTREET_INLINE bool eight_are_plain(const double* values) {
#if WALSTREET_BYTE_LANES == 32
  const __m256d sign = _mm256_set1_pd(-0.0);
  const __m256d zero = _mm256_set1_pd(forest_zero_abs_max);
  const auto plain = [&] [[gnu::always_inline]] (const double* four) {
    return _mm256_cmp_pd(_mm256_andnot_pd(sign, _mm256_loadu_pd(four)), zero, _CMP_GT_OQ);
  };
  return _mm256_movemask_pd(_mm256_and_pd(plain(values), plain(values + 4))) == 0xf;
#else
  bool result = true;
  for (std::size_t lane = 0; lane < 8; ++lane) {
    result &= is_plain(values[lane]);
  }
  return result;
#endif
}

WALSTREET_INLINE std::uint8_t rank_in_column(const ForestColumn& column, double value,
                                             std::uint8_t found) {
  const std::uint8_t present = is_plain(value) ? found : column.zero_rank;
  return value != value ? column.missing_rank : present;
}

// True where a category is in a set of 32-bit words. A category is cut to its integer part.
WALSTREET_INLINE bool in_set(const std::uint32_t* words, std::uint32_t word_count, double value) {
  // False for NaN too; the whole part of what is above -1 and below 0 is category 0.
  if (!(value > -1.0 && value < 2147483648.0)) {
    return false;
  }
  const auto category = static_cast<std::uint32_t>(static_cast<std::int32_t>(value));
  const std::uint32_t word = category / 32;
  return word < word_count && (words[word] >> category % 32 & 1U) != 0;
}

// Writes the ranks (columns, lane_count) of count <= lane_count rows, biased as comparisons of signed
// bytes need them. Lanes beyond count take any rank: every rank leads to some leaf, which nobody reads.
template <std::size_t lane_count>
WALSTREET_INLINE void rank_tile(const ForestView& forest, const double* rows, std::size_t count,
                                std::uint8_t* ranks) {
  constexpr std::uint8_t bias = 0x80;
  alignas(64) double values[lane_count] = {};
  alignas(64) std::uint8_t found[lane_count] = {};
  for (std::size_t number = 0; number < forest.slice_count; ++number) {
    const ForestSlice& slice = forest.slices[number];
    const double* thresholds = forest.thresholds + slice.threshold_begin;
    for (std::size_t row = 0; row < count; ++row) {
      values[row] = rows[row * forest.feature_count + slice.feature];
    }
    bool all_plain = true;
    for (std::size_t begin = 0; begin < count; begin += 8) {
      all_plain &= eight_are_plain(values + begin);
      alignas(32) std::uint32_t group[8];
      search_groups(forest.pivots[number].value, slice.step_count - forest_group_steps,
                    values + begin, group);
      for (std::size_t lane = 0; lane < 8; ++lane) {
        found[begin + lane] = static_cast<std::uint8_t>(
            finish_search(thresholds, group[lane], values[begin + lane]) ^ bias);
      }
    }
    for (std::size_t index = 0; index < slice.column_count; ++index) {
      std::uint8_t* target = ranks + (slice.column_begin + index) * lane_count;
      ForestColumn column = forest.columns[slice.column_begin + index];
      column.missing_rank ^= bias;
      column.zero_rank ^= bias;
      for (std::size_t lane = 0; lane < lane_count; ++lane) {
        target[lane] = found[lane];
      }
      for (std::size_t lane = 0; !all_plain && lane < lane_count; ++lane) {
        target[lane] = rank_in_column(column, values[lane], found[lane]);
      }
    }
  }
  for (std::size_t number = 0; number < forest.set_count; ++number) {
    const ForestSet& set = forest.sets[number];
    std::uint8_t* target = ranks + std::size_t{set.column} * lane_count;
    for (std::size_t row = 0; row < lane_count; ++row) {
      const double value = row < count ? rows[row * forest.feature_count + set.feature] : 0.0;
      const bool is_in = in_set(forest.words + set.word_begin, set.word_count, value);
      target[row] = static_cast<std::uint8_t>((is_in ? 0U : 1U) ^ bias);
    }
  }
}

// Writes the ranks (columns,) of one row, not biased. Eight slices are searched at a time, so that
// their loads overlap; slices of equal length are neighbours.
WALSTREET_INLINE void rank_row(const ForestView& forest, const double* row, std::uint8_t* ranks) {
  constexpr std::size_t lane_count = 8;
  for (std::size_t begin = 0; begin < forest.slice_count;) {
    const std::uint32_t steps = forest.slices[begin].step_count;
    std::size_t end = begin + 1;
    while (end < forest.slice_count && end < begin + lane_count &&
           forest.slices[end].step_count == steps) {
      ++end;
    }
    const double* thresholds[lane_count];
    double values[lane_count];
    std::uint32_t rank[lane_count];
    for (std::size_t lane = 0; lane < lane_count; ++lane) {
      // Lanes beyond the last slice repeat it; nobody reads what they find.
      const ForestSlice& slice = forest.slices[begin + lane < end ? begin + lane : end - 1];
      thresholds[lane] = forest.thresholds + slice.threshold_begin;
      values[lane] = row[slice.feature];
      rank[lane] = 0;
    }
    for (std::uint32_t half = (1U << steps) >> 1; half > 0; half >>= 1) {
      WALSTREET_UNROLL_EIGHT for (std::size_t lane = 0; lane < lane_count; ++lane) {
        const double threshold = thresholds[lane][rank[lane] + half - 1];
        rank[lane] += half & (0U - static_cast<std::uint32_t>(threshold < values[lane]));
      }
    }
    for (std::size_t lane = 0; lane < end - begin; ++lane) {
      const ForestSlice& slice = forest.slices[begin + lane];
      for (std::size_t index = 0; index < slice.column_count; ++index) {
        ranks[slice.column_begin + index] =
            rank_in_column(forest.columns[slice.column_begin + index], values[lane],
                           static_cast<std::uint8_t>(rank[lane]));
      }
    }
    begin = end;
  }
  for (std::size_t number = 0; number < forest.set_count; ++number) {
    const ForestSet& set = forest.sets[number];
    ranks[set.column] =
        in_set(forest.words + set.word_begin, set.word_count, row[set.feature]) ? 0 : 1;
  }
}

}  // namespace walstreet::WALSTREET_LEVEL
