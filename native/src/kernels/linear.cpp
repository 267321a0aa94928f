// Owns the kept Cholesky factor and the solutions by it, exact and by low rank (Woodbury 1950).
//
// Every element gets its subtractions one by one in the order of the pivots, whatever the blocking, so the
// textbook loops of the reference have the same bits.
#include "kernels_level.hpp"

namespace walstreet::WALSTREET_LEVEL {

namespace {

constexpr std::size_t block_rows = 4;

WALSTREET_INLINE std::size_t least(std::size_t left, std::size_t right) {
  return left < right ? left : right;
}

void copy_upper(const double* matrix, double ridge, const Factor& factor) {
  for (std::size_t row = 0; row < factor.count; ++row) {
    double* target = factor.upper + row * factor.stride;
    for (std::size_t column = 0; column < factor.stride; ++column) {
      const bool inside = row <= column && column < factor.count;
      target[column] = inside ? matrix[row * factor.count + column] : 0.0;
    }
    target[row] = target[row] + ridge;
  }
}

// Subtracts from rows [first, first + rows) what all rows above them contribute.
template <std::size_t rows>
WALSTREET_INLINE void subtract_above(const Factor& factor, std::size_t first) {
  const std::size_t stride = factor.stride;
  double* block = factor.upper + first * stride;
  for (std::size_t column = first - first % logical_lane_count; column < factor.count;
       column += logical_lane_count) {
    Lanes sums[rows];
    for (std::size_t row = 0; row < rows; ++row) {
      sums[row] = load(block + row * stride + column);
    }
    for (std::size_t pivot = 0; pivot < first; ++pivot) {
      const double* above = factor.upper + pivot * stride;
      const Lanes values = load(above + column);
      for (std::size_t row = 0; row < rows; ++row) {
        sums[row] = sums[row] - broadcast(above[first + row]) * values;
      }
    }
    for (std::size_t row = 0; row < rows; ++row) {
      store(block + row * stride + column, sums[row]);
    }
  }
}

// Finishes one row: left of the diagonal it is zero, the pivot is a root, the rest is divided by it.
WALSTREET_INLINE bool finish_row(const Factor& factor, std::size_t row, std::size_t block_end) {
  double* target = factor.upper + row * factor.stride;
  for (std::size_t column = row - row % logical_lane_count; column < row; ++column) {
    target[column] = 0.0;
  }
  const double pivot = target[row];
  if (!(pivot > 0.0 && pivot <= DBL_MAX)) {
    return false;
  }
  const double root = __builtin_sqrt(pivot);
  target[row] = root;
  for (std::size_t column = row + 1; column < factor.count; ++column) {
    target[column] = target[column] / root;
  }
  for (std::size_t below = row + 1; below < block_end; ++below) {
    double* other = factor.upper + below * factor.stride;
    const double scale = target[below];
    for (std::size_t column = below; column < factor.count; ++column) {
      other[column] = other[column] - scale * target[column];
    }
  }
  return true;
}

void transpose(const Factor& factor) {
  for (std::size_t row = 0; row < factor.count; ++row) {
    double* target = factor.lower + row * factor.stride;
    for (std::size_t column = 0; column < factor.stride; ++column) {
      target[column] = column <= row ? factor.upper[column * factor.stride + row] : 0.0;
    }
  }
}

// Eight solved unknowns act on all columns of [begin, end) at once.
WALSTREET_INLINE void eliminate_block(const double* rows, std::size_t stride, const double* solved,
                                      std::size_t begin, std::size_t end, bool descending,
                                      double* values) {
  Lanes factors[logical_lane_count];
  for (std::size_t row = 0; row < logical_lane_count; ++row) {
    factors[row] = broadcast(solved[row]);
  }
  for (std::size_t column = begin; column < end; column += logical_lane_count) {
    Lanes rest = load(values + column);
    for (std::size_t step = 0; step < logical_lane_count; ++step) {
      const std::size_t row = descending ? logical_lane_count - 1 - step : step;
      rest = rest - factors[row] * load(rows + row * stride + column);
    }
    store(values + column, rest);
  }
}

void solve_forward(const Factor& factor, double* values) {
  for (std::size_t first = 0; first < factor.count; first += logical_lane_count) {
    const std::size_t end = least(first + logical_lane_count, factor.count);
    for (std::size_t row = first; row < end; ++row) {
      const double* pivots = factor.upper + row * factor.stride;
      const double solved = values[row] / pivots[row];
      values[row] = solved;
      for (std::size_t column = row + 1; column < end; ++column) {
        values[column] = values[column] - solved * pivots[column];
      }
    }
    if (end < factor.count) {
      eliminate_block(factor.upper + first * factor.stride, factor.stride, values + first, end,
                      factor.count, false, values);
    }
  }
}

// The last block may be short: its rows act one by one, the rows of full blocks eight at a time.
void solve_backward(const Factor& factor, double* values) {
  std::size_t end = factor.count;
  while (end > 0) {
    const std::size_t first = (end - 1) - (end - 1) % logical_lane_count;
    for (std::size_t row = end; row-- > first;) {
      const double* pivots = factor.lower + row * factor.stride;
      const double solved = values[row] / pivots[row];
      values[row] = solved;
      for (std::size_t column = first; column < row; ++column) {
        values[column] = values[column] - solved * pivots[column];
      }
    }
    if (end - first == logical_lane_count) {
      eliminate_block(factor.lower + first * factor.stride, factor.stride, values + first, 0, first,
                      true, values);
    } else {
      for (std::size_t row = end; row-- > first;) {
        const double* pivots = factor.lower + row * factor.stride;
        const double solved = values[row];
        for (std::size_t column = 0; column < first; ++column) {
          values[column] = values[column] - solved * pivots[column];
        }
      }
    }
    end = first;
  }
}

WALSTREET_INLINE double loading_dot(const double* left, const double* right,
                                    const double* diagonal, std::size_t count) {
  Lanes total = broadcast(0.0);
  each_chunk(count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    const Lanes first = load_some(left + chunk.start, chunk.count, 0.0);
    const Lanes second = load_some(right + chunk.start, chunk.count, 0.0);
    total = total + first * (second / load_some(diagonal + chunk.start, chunk.count, 1.0));
  });
  return tree_sum(total);
}

// Dots of four factors with the same values at once; each keeps its own accumulator and order.
template <std::size_t rows>
WALSTREET_INLINE void project(const LowRank& low_rank, std::size_t first, const double* values) {
  Lanes totals[rows];
  for (std::size_t row = 0; row < rows; ++row) {
    totals[row] = broadcast(0.0);
  }
  const double* loadings = low_rank.loadings + first * low_rank.symbol_count;
  each_chunk(low_rank.symbol_count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    const Lanes value = load_some(values + chunk.start, chunk.count, 0.0) /
                        load_some(low_rank.diagonal + chunk.start, chunk.count, 1.0);
    for (std::size_t row = 0; row < rows; ++row) {
      const double* source = loadings + row * low_rank.symbol_count + chunk.start;
      totals[row] = totals[row] + load_some(source, chunk.count, 0.0) * value;
    }
  });
  for (std::size_t row = 0; row < rows; ++row) {
    low_rank.projection[first + row] = tree_sum(totals[row]);
  }
}

}  // namespace

std::size_t factorise(const double* matrix, double ridge, const Factor& factor) {
  copy_upper(matrix, ridge, factor);
  for (std::size_t first = 0; first < factor.count; first += block_rows) {
    const std::size_t end = least(first + block_rows, factor.count);
    switch (end - first) {
      case 1:
        subtract_above<1>(factor, first);
        break;
      case 2:
        subtract_above<2>(factor, first);
        break;
      case 3:
        subtract_above<3>(factor, first);
        break;
      default:
        subtract_above<block_rows>(factor, first);
    }
    for (std::size_t row = first; row < end; ++row) {
      if (!finish_row(factor, row, end)) {
        return row;
      }
    }
  }
  transpose(factor);
  return factor.count;
}

void solve(const Factor& factor, double* values) {
  solve_forward(factor, values);
  solve_backward(factor, values);
}

std::size_t prepare_low_rank(const LowRank& low_rank) {
  const Factor& core = low_rank.core;
  const std::size_t symbols = low_rank.symbol_count;
  // The lower triangle of the core holds the matrix until the factor is transposed into it.
  for (std::size_t row = 0; row < low_rank.factor_count; ++row) {
    for (std::size_t column = row; column < low_rank.factor_count; ++column) {
      core.lower[row * low_rank.factor_count + column] =
          loading_dot(low_rank.loadings + row * symbols, low_rank.loadings + column * symbols,
                      low_rank.diagonal, symbols);
    }
  }
  return factorise(core.lower, 1.0, core);
}

void solve_low_rank(const LowRank& low_rank, double* values) {
  std::size_t first = 0;
  for (; first + block_rows <= low_rank.factor_count; first += block_rows) {
    project<block_rows>(low_rank, first, values);
  }
  for (; first < low_rank.factor_count; ++first) {
    project<1>(low_rank, first, values);
  }
  solve(low_rank.core, low_rank.projection);
  each_chunk(low_rank.symbol_count, [&] [[gnu::always_inline]] (const Chunk& chunk) {
    Lanes rest = load_some(values + chunk.start, chunk.count, 0.0);
    for (std::size_t row = 0; row < low_rank.factor_count; ++row) {
      const double* source = low_rank.loadings + row * low_rank.symbol_count + chunk.start;
      rest = rest - load_some(source, chunk.count, 0.0) * broadcast(low_rank.projection[row]);
    }
    rest = rest / load_some(low_rank.diagonal + chunk.start, chunk.count, 1.0);
    store_some(values + chunk.start, rest, chunk.count);
  });
}

}  // namespace walstreet::WALSTREET_LEVEL
