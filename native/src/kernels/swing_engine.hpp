// Owns the orchestration of the rotation's kernels: memory, chunks of days, threads with a fixed partition.
//
// No result depends on the number of threads: a symbol, a day, a grid point and a permuted run are each computed from
// the bars alone, whoever computes them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../dispatch.hpp"
#include "swing_plan.hpp"

namespace walstreet {

// Bars (day_count, symbol_count), NaN where a symbol has none; the opens are read by permutations only.
struct SwingBars {
  const double* open;
  const double* high;
  const double* low;
  const double* close;
  std::size_t day_count;
  std::size_t symbol_count;
};

struct SwingSegment {
  std::size_t first;
  std::size_t last;
};

// Rows from the first day of the first segment to the last of the last.
struct SwingOutputs {
  double* gross;
  double* turnover;
  double* cost;
  double* net;
  double* equity;
  std::uint8_t* traded;
  double* target;
  double* held;
};

struct SwingTraining {
  std::size_t first;
  std::size_t last;
};

// Point i of the grid drives segment i.
void swing_simulate(const KernelTable& table, const SwingBars& bars, const SwingGrid& grid,
                    const SwingSegment* segments, const SwingOutputs& outputs);

// values is (training_count, point_count); covered, if not null, (training_count, symbol_count).
void swing_objectives(const KernelTable& table, const SwingBars& bars, const SwingGrid& grid,
                      const SwingTraining* trainings, std::size_t training_count,
                      const std::uint8_t* covered, SwingObjective objective,
                      std::size_t thread_count, double* values);

// digests is (run_count, training_count, 4); best is (run_count, training_count).
void swing_permuted_best(const KernelTable& table, const SwingBars& bars, const SwingGrid& grid,
                         const SwingTraining* trainings, std::size_t training_count,
                         const std::uint32_t* digests, std::size_t run_count,
                         SwingObjective objective, std::size_t thread_count, double* best);

}  // namespace walstreet
