#include "swing_engine.hpp"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cmath>
#include <memory>
#include <span>
#include <thread>
#include <vector>

#include "../float_environment.hpp"
#include "swing_memory.hpp"
#include "swing_random.hpp"

namespace walstreet {

namespace {

constexpr double days_per_year = 252.0;

// Runs body(0) .. body(count - 1) at the same time. Bodies wait for each other, so they begin only when all threads
// exist; they must not throw, and therefore must not allocate.
template <typename Body>
void run_threads(std::size_t count, const Body& body) {
  enum Gate : int { closed, open, abandoned };
  std::atomic<int> gate{closed};
  const auto work = [&](std::size_t index) {
    const DefaultFloatEnvironment environment;
    body(index);
  };
  const auto set_gate = [&](Gate state) {
    gate.store(state);
    gate.notify_all();
  };
  std::vector<std::thread> threads;
  threads.reserve(count);
  try {
    for (std::size_t index = 1; index < count; ++index) {
      threads.emplace_back([&, index] {
        gate.wait(closed);
        if (gate.load() == open) {
          work(index);
        }
      });
    }
  } catch (...) {
    set_gate(abandoned);
    for (std::thread& thread : threads) {
      thread.join();
    }
    throw;
  }
  set_gate(open);
  work(0);
  for (std::thread& thread : threads) {
    thread.join();
  }
}

struct Slice {
  std::size_t first;
  std::size_t end;
};

Slice slice_of(std::size_t count, std::size_t part, std::size_t part_count) {
  return {count * part / part_count, count * (part + 1) / part_count};
}

Slice quads_of(const SwingPlan& plan, std::size_t part, std::size_t part_count) {
  const Slice quads = slice_of(plan.stride / swing_quad, part, part_count);
  return {quads.first * swing_quad, quads.end * swing_quad};
}

void copy_rows(const SwingPlan& plan, const double* source, std::size_t count,
               const Slice& symbols, double* target) {
  const double missing = std::numeric_limits<double>::quiet_NaN();
  const std::size_t end = std::min(symbols.end, plan.symbol_count);
  for (std::size_t row = 0; row < count; ++row) {
    for (std::size_t symbol = symbols.first; symbol < end; ++symbol) {
      target[row * plan.stride + symbol] = source[row * plan.symbol_count + symbol];
    }
    for (std::size_t symbol = end; symbol < symbols.end; ++symbol) {
      target[row * plan.stride + symbol] = missing;
    }
  }
}

// Keeps the last returns of a chunk for the windows that reach into the next one.
void keep_history(const SwingPlan& plan, const SwingChunk& chunk, std::size_t count,
                  const Slice& symbols) {
  for (std::size_t row = 0; row < plan.history; ++row) {
    std::copy(chunk.returns + (row + count) * plan.stride + symbols.first,
              chunk.returns + (row + count) * plan.stride + symbols.end,
              chunk.returns + row * plan.stride + symbols.first);
  }
}

// The overlay of every regime, day after day: the close against the mean of its last closes, oldest first.
class Regimes {
 public:
  explicit Regimes(const SwingGrid& grid, std::size_t day_count) : grid_(grid) {
    for (std::size_t index = 0; index < grid.regimes().size(); ++index) {
      tracks_.emplace_back();
      tracks_.back().closes.reserve(day_count);
    }
  }

  // Forgets what followed the first bar_counts bars of each regime, to go on from there.
  struct Mark {
    std::vector<std::size_t> bar_counts;
    std::vector<bool> below;
  };

  Mark mark() const {
    Mark mark;
    for (const Track& track : tracks_) {
      mark.bar_counts.push_back(track.closes.size());
      mark.below.push_back(track.below);
    }
    return mark;
  }

  void restore(const Regimes& source, const Mark& mark) noexcept {
    for (std::size_t index = 0; index < tracks_.size(); ++index) {
      const auto end = static_cast<std::ptrdiff_t>(mark.bar_counts[index]);
      tracks_[index].closes.assign(source.tracks_[index].closes.begin(),
                                   source.tracks_[index].closes.begin() + end);
      tracks_[index].below = mark.below[index];
    }
  }

  void advance(const SwingChunk& chunk, std::size_t count) noexcept {
    for (std::size_t index = 0; index < tracks_.size(); ++index) {
      const SwingRegime& regime = grid_.regimes()[index];
      for (std::size_t day = 0; day < count; ++day) {
        const double close = chunk.close[day * grid_.plan().stride + regime.column];
        turn(tracks_[index], regime, close);
        chunk.factor[index * chunk.capacity + day] = tracks_[index].below ? regime.factor : 1.0;
      }
    }
  }

 private:
  struct Track {
    std::vector<double> closes;
    bool below = false;
  };

  static void turn(Track& track, const SwingRegime& regime, double close) noexcept {
    if (close != close) {
      return;
    }
    track.closes.push_back(close);
    track.below = false;
    if (track.closes.size() >= regime.window) {
      double total = 0.0;
      for (std::size_t bar = track.closes.size() - regime.window; bar < track.closes.size(); ++bar) {
        total = total + track.closes[bar];
      }
      track.below = close < total / static_cast<double>(regime.window);
    }
  }

  const SwingGrid& grid_;
  std::vector<Track> tracks_;
};

// Windows by first row, each with a slot that is free from the row after its last one.
struct Schedule {
  Schedule(const SwingTraining* trainings, std::span<const std::size_t> members) {
    order.assign(members.begin(), members.end());
    std::stable_sort(order.begin(), order.end(), [&](std::size_t left, std::size_t right) {
      return trainings[left].first < trainings[right].first;
    });
    std::vector<std::size_t> busy_until;
    for (const std::size_t member : order) {
      const SwingTraining& training = trainings[member];
      std::size_t slot = 0;
      while (slot < busy_until.size() && busy_until[slot] >= training.first) {
        ++slot;
      }
      if (slot == busy_until.size()) {
        busy_until.push_back(0);
      }
      busy_until[slot] = training.last;
      windows.push_back({training.first, training.last, slot});
      last = std::max(last, training.last);
      longest = std::max(longest, training.last - training.first + 1);
    }
    slot_count = busy_until.size();
  }

  std::vector<std::size_t> order;
  std::vector<SwingWindow> windows;
  std::size_t slot_count = 0;
  std::size_t last = 0;
  std::size_t longest = 0;
};

// Turns end equities and falls, or Sharpe ratios, into the objective.
void finish_objective(const KernelTable& table, SwingObjective objective, std::size_t day_count,
                      std::size_t count, const double* ends, const double* falls, double* powers,
                      double* values) {
  if (objective == SwingObjective::sharpe) {
    std::copy_n(ends, count, values);
    return;
  }
  table.decision->power_array(ends, days_per_year / static_cast<double>(day_count), count, powers);
  for (std::size_t index = 0; index < count; ++index) {
    const double growth = ends[index] <= 0.0 ? -1.0 : powers[index] - 1.0;
    const bool divides = objective == SwingObjective::calmar;
    values[index] = !divides ? growth : falls[index] > 0.0 ? growth / falls[index] : 0.0;
  }
}

// What one thread needs to turn the days of a grid's part over some windows.
struct Worker {
  Worker(const SwingPlan& plan, std::vector<std::size_t> points, const Schedule& schedule,
         SwingObjective objective)
      : moments(plan),
        tracks(plan, std::move(points), schedule.slot_count,
               objective == SwingObjective::sharpe ? schedule.longest : 0),
        active(schedule.slot_count, swing_none) {}

  void begin(const Existence& existence) {
    tracks.begin(existence);
    moments.forget();
    std::fill(active.begin(), active.end(), swing_none);
    window_next = 0;
  }

  MomentsMemory moments;
  TracksMemory tracks;
  std::vector<std::size_t> active;
  std::size_t window_next = 0;
};

}  // namespace

void swing_simulate(const KernelTable& table, const SwingBars& bars, const SwingGrid& grid,
                    const SwingSegment* segments, const SwingOutputs& outputs) {
  const SwingPlan& plan = grid.plan();
  const std::size_t segment_count = plan.point_count;
  const std::size_t first = segments[0].first;
  const std::size_t last = segments[segment_count - 1].last;
  StateMemory state(plan);
  ChunkMemory memory(plan);
  MomentsMemory moments(plan);
  TracksMemory tracks(plan, {0}, 1, 0);
  const Existence existence(grid, nullptr);
  Regimes regimes(grid, last + 1);
  tracks.begin(existence);
  const SwingChunk& chunk = memory.view();
  const Slice symbols{0, plan.stride};
  double equity = 1.0;
  std::size_t segment = 0;
  const DefaultFloatEnvironment environment;
  for (std::size_t start = 0; start <= last; start += memory.rows()) {
    const std::size_t count = std::min(memory.rows(), last + 1 - start);
    copy_rows(plan, bars.high + start * plan.symbol_count, count, symbols, chunk.high);
    copy_rows(plan, bars.low + start * plan.symbol_count, count, symbols, chunk.low);
    copy_rows(plan, bars.close + start * plan.symbol_count, count, symbols, chunk.close);
    table.swing->advance({&plan, &state.view(), &chunk, count, symbols.first, symbols.end});
    regimes.advance(chunk, count);
    if (start + count > first) {
      const std::size_t day_first = first > start ? first - start : 0;
      table.swing->prepare({&plan, &chunk, &moments.view(), start, day_first, count});
      for (std::size_t day = day_first; day < count;) {
        while (segments[segment].last < start + day) {
          ++segment;
        }
        const std::size_t end = std::min(count, segments[segment].last + 1 - start);
        table.swing->record({&plan, &chunk, &tracks.view(), segment, start, day, end,
                             start + day - first, &equity, outputs.gross, outputs.turnover,
                             outputs.cost, outputs.net, outputs.equity, outputs.traded,
                             outputs.target, outputs.held});
        day = end;
      }
    }
    keep_history(plan, chunk, count, symbols);
  }
}

namespace {

// One pass over the bars for windows in which the same symbols exist.
void run_group(const KernelTable& table, const SwingBars& bars, const SwingGrid& grid,
               const SwingTraining* trainings, std::span<const std::size_t> members,
               const std::uint8_t* exists, SwingObjective objective, std::size_t thread_count,
               double* values) {
  const SwingPlan& plan = grid.plan();
  const Schedule schedule(trainings, members);
  const std::size_t window_count = schedule.windows.size();
  StateMemory state(plan);
  ChunkMemory memory(plan);
  Regimes regimes(grid, schedule.last + 1);
  const Existence existence(grid, exists);
  std::vector<double> ends(window_count * plan.point_count);
  std::vector<double> falls(ends.size());
  std::vector<std::unique_ptr<Worker>> workers;
  for (std::size_t thread = 0; thread < thread_count; ++thread) {
    std::vector<std::size_t> points;
    for (std::size_t point = thread; point < plan.point_count; point += thread_count) {
      points.push_back(point);
    }
    workers.push_back(std::make_unique<Worker>(plan, std::move(points), schedule, objective));
    workers.back()->begin(existence);
  }
  const std::size_t first = schedule.windows.front().first;
  const SwingChunk& chunk = memory.view();
  std::barrier<> all(static_cast<std::ptrdiff_t>(thread_count));
  run_threads(thread_count, [&](std::size_t thread) {
    Worker& worker = *workers[thread];
    const Slice symbols = quads_of(plan, thread, thread_count);
    for (std::size_t start = 0; start <= schedule.last; start += memory.rows()) {
      const std::size_t count = std::min(memory.rows(), schedule.last + 1 - start);
      copy_rows(plan, bars.high + start * plan.symbol_count, count, symbols, chunk.high);
      copy_rows(plan, bars.low + start * plan.symbol_count, count, symbols, chunk.low);
      copy_rows(plan, bars.close + start * plan.symbol_count, count, symbols, chunk.close);
      table.swing->advance({&plan, &state.view(), &chunk, count, symbols.first, symbols.end});
      all.arrive_and_wait();
      if (thread == 0) {
        regimes.advance(chunk, count);
      }
      if (start + count > first) {
        const std::size_t skipped = first > start ? first - start : 0;
        const Slice days = slice_of(count - skipped, thread, thread_count);
        table.swing->prepare({&plan, &chunk, &worker.moments.view(), start, skipped + days.first,
                              skipped + days.end});
        all.arrive_and_wait();
        table.swing->run({&plan, &chunk, &worker.tracks.view(), start, count, objective,
                          schedule.windows.data(), window_count, &worker.window_next,
                          worker.active.data(), ends.data(), falls.data()});
      }
      all.arrive_and_wait();
      keep_history(plan, chunk, count, symbols);
    }
  });
  std::vector<double> powers(plan.point_count);
  const DefaultFloatEnvironment environment;
  for (std::size_t window = 0; window < window_count; ++window) {
    const SwingTraining& training = trainings[schedule.order[window]];
    finish_objective(table, objective, training.last - training.first + 1, plan.point_count,
                     ends.data() + window * plan.point_count,
                     falls.data() + window * plan.point_count, powers.data(),
                     values + schedule.order[window] * plan.point_count);
  }
}

}  // namespace

void swing_objectives(const KernelTable& table, const SwingBars& bars, const SwingGrid& grid,
                      const SwingTraining* trainings, std::size_t training_count,
                      const std::uint8_t* covered, SwingObjective objective,
                      std::size_t thread_count, double* values) {
  const std::size_t symbols = bars.symbol_count;
  std::vector<std::size_t> members;
  std::vector<bool> is_done(training_count, false);
  for (std::size_t window = 0; window < training_count; ++window) {
    if (is_done[window]) {
      continue;
    }
    members.clear();
    const std::uint8_t* exists = covered == nullptr ? nullptr : covered + window * symbols;
    for (std::size_t other = window; other < training_count; ++other) {
      if (covered == nullptr || std::equal(exists, exists + symbols, covered + other * symbols)) {
        members.push_back(other);
        is_done[other] = true;
      }
    }
    run_group(table, bars, grid, trainings, members, exists, objective,
              std::min(thread_count, grid.plan().point_count), values);
  }
}

namespace {

// The rows of a window that move: the first row of all has no close before it.
std::size_t first_moved(const SwingTraining& training) { return std::max<std::size_t>(training.first, 1); }

// What every run of one window starts from.
struct WindowStart {
  std::vector<double> state;    // before the window's first row
  std::vector<double> history;  // returns before it
  Regimes::Mark regimes;
  std::vector<std::uint8_t> covered;
};

std::vector<WindowStart> window_starts(const KernelTable& table, const SwingBars& bars,
                                       const SwingGrid& grid, const SwingTraining* trainings,
                                       std::size_t training_count, Regimes& regimes) {
  const SwingPlan& plan = grid.plan();
  StateMemory state(plan);
  ChunkMemory memory(plan);
  const SwingChunk& chunk = memory.view();
  const Slice symbols{0, plan.stride};
  std::vector<std::size_t> order(training_count);
  for (std::size_t index = 0; index < training_count; ++index) {
    order[index] = index;
  }
  std::stable_sort(order.begin(), order.end(), [&](std::size_t left, std::size_t right) {
    return trainings[left].first < trainings[right].first;
  });
  std::vector<WindowStart> starts(training_count);
  std::size_t row = 0;
  for (const std::size_t index : order) {
    const SwingTraining& training = trainings[index];
    while (row < training.first) {
      const std::size_t count = std::min(memory.rows(), training.first - row);
      copy_rows(plan, bars.high + row * plan.symbol_count, count, symbols, chunk.high);
      copy_rows(plan, bars.low + row * plan.symbol_count, count, symbols, chunk.low);
      copy_rows(plan, bars.close + row * plan.symbol_count, count, symbols, chunk.close);
      table.swing->advance({&plan, &state.view(), &chunk, count, symbols.first, symbols.end});
      regimes.advance(chunk, count);
      keep_history(plan, chunk, count, symbols);
      row += count;
    }
    WindowStart& start = starts[index];
    start.state = state.values();
    start.history.assign(chunk.returns, chunk.returns + plan.history * plan.stride);
    start.regimes = regimes.mark();
    start.covered.assign(plan.symbol_count, 1);
    for (std::size_t day = first_moved(training) - 1; day <= training.last; ++day) {
      for (std::size_t symbol = 0; symbol < plan.symbol_count; ++symbol) {
        const double close = bars.close[day * plan.symbol_count + symbol];
        start.covered[symbol] = close == close ? start.covered[symbol] : 0;
      }
    }
  }
  return starts;
}

// One thread's runs over permuted windows.
class Permuter {
 public:
  Permuter(const KernelTable& table, const SwingBars& bars, const SwingGrid& grid,
           std::size_t longest, SwingObjective objective, std::size_t day_count)
      : table_(table),
        bars_(bars),
        grid_(grid),
        objective_(objective),
        training_{0, longest - 1},
        schedule_(&training_, std::span<const std::size_t>(&only_, 1)),
        state_(grid.plan()),
        memory_(grid.plan()),
        worker_(grid.plan(), all_points(grid.plan()), schedule_, objective),
        regimes_(grid, day_count),
        order_(longest),
        ratios_(4 * longest * grid.plan().stride),
        last_(grid.plan().stride),
        first_close_(grid.plan().stride),
        moved_(longest),
        values_(4 * grid.plan().point_count) {}

  // Prepares the ratios of a window's rows; NaN for symbols that do not cover it.
  void enter(const SwingTraining& training, const WindowStart& start, const Existence& existence) {
    training_ = training;
    start_ = &start;
    existence_ = &existence;
    const SwingPlan& plan = grid_.plan();
    const std::size_t first = first_moved(training);
    row_count_ = training.last + 1 - first;
    const std::size_t plane = row_count_ * plan.stride;
    const double missing = std::numeric_limits<double>::quiet_NaN();
    std::fill_n(ratios_.data(), 4 * plane, missing);
    std::fill(first_close_.begin(), first_close_.end(), missing);
    for (std::size_t symbol = 0; symbol < plan.symbol_count; ++symbol) {
      if (start.covered[symbol] == 0) {
        continue;
      }
      first_close_[symbol] = bars_.close[(first - 1) * plan.symbol_count + symbol];
      for (std::size_t row = 0; row < row_count_; ++row) {
        const std::size_t source = (first + row) * plan.symbol_count + symbol;
        double* target = ratios_.data() + row * plan.stride + symbol;
        const double open = bars_.open[source];
        target[0] = open / bars_.close[source - plan.symbol_count];
        target[plane] = bars_.high[source] / open;
        target[2 * plane] = bars_.low[source] / open;
        target[3 * plane] = bars_.close[source] / open;
      }
    }
  }

  double best_of(const std::uint32_t* digest, const Regimes& real) {
    const SwingPlan& plan = grid_.plan();
    order_.write(digest, moved_.data(), row_count_);
    state_.restore(start_->state);
    std::copy(start_->history.begin(), start_->history.end(), memory_.view().returns);
    regimes_.restore(real, start_->regimes);
    std::copy(first_close_.begin(), first_close_.end(), last_.begin());
    worker_.begin(*existence_);
    window_ = {training_.first, training_.last, 0};
    std::size_t row = training_.first;
    if (row < first_moved(training_)) {
      load_first_row();
      turn(row, 1);
      ++row;
    }
    while (row <= training_.last) {
      const std::size_t count = std::min(memory_.rows(), training_.last + 1 - row);
      const SwingChunk& chunk = memory_.view();
      table_.swing->rebuild({ratios_.data(), moved_.data(), row_count_, plan.stride, last_.data(),
                             chunk.high, chunk.low, chunk.close, row - first_moved(training_),
                             count});
      turn(row, count);
      row += count;
    }
    const std::size_t points = plan.point_count;
    double* values = values_.data();
    finish_objective(table_, objective_, training_.last + 1 - training_.first, points, values,
                     values + points, values + 2 * points, values + 3 * points);
    return *std::max_element(values + 3 * points, values + 4 * points);
  }

 private:
  static std::vector<std::size_t> all_points(const SwingPlan& plan) {
    std::vector<std::size_t> points(plan.point_count);
    for (std::size_t index = 0; index < points.size(); ++index) {
      points[index] = index;
    }
    return points;
  }

  // The first row of all stays where it is.
  void load_first_row() {
    const SwingPlan& plan = grid_.plan();
    const SwingChunk& chunk = memory_.view();
    const Slice symbols{0, plan.stride};
    copy_rows(plan, bars_.high, 1, symbols, chunk.high);
    copy_rows(plan, bars_.low, 1, symbols, chunk.low);
    copy_rows(plan, bars_.close, 1, symbols, chunk.close);
  }

  void turn(std::size_t row, std::size_t count) {
    const SwingPlan& plan = grid_.plan();
    const SwingChunk& chunk = memory_.view();
    const Slice symbols{0, plan.stride};
    table_.swing->advance({&plan, &state_.view(), &chunk, count, symbols.first, symbols.end});
    regimes_.advance(chunk, count);
    table_.swing->prepare({&plan, &chunk, &worker_.moments.view(), row, 0, count});
    table_.swing->run({&plan, &chunk, &worker_.tracks.view(), row, count, objective_, &window_, 1,
                       &worker_.window_next, worker_.active.data(), values_.data(),
                       values_.data() + plan.point_count});
    keep_history(plan, chunk, count, symbols);
  }

  static constexpr std::size_t only_ = 0;
  const KernelTable& table_;
  const SwingBars& bars_;
  const SwingGrid& grid_;
  SwingObjective objective_;
  SwingTraining training_;
  Schedule schedule_;
  StateMemory state_;
  ChunkMemory memory_;
  Worker worker_;
  Regimes regimes_;
  WordOrder order_;
  Plane<double> ratios_;
  std::vector<double> last_, first_close_;
  std::vector<std::int64_t> moved_;
  std::vector<double> values_;  // ends, falls, powers and objectives of every point
  const WindowStart* start_ = nullptr;
  const Existence* existence_ = nullptr;
  SwingWindow window_{};
  std::size_t row_count_ = 0;
};

}  // namespace

void swing_permuted_best(const KernelTable& table, const SwingBars& bars, const SwingGrid& grid,
                         const SwingTraining* trainings, std::size_t training_count,
                         const std::uint32_t* digests, std::size_t run_count,
                         SwingObjective objective, std::size_t thread_count, double* best) {
  std::size_t longest = 1, day_count = 1;
  for (std::size_t window = 0; window < training_count; ++window) {
    longest = std::max(longest, trainings[window].last - trainings[window].first + 1);
    day_count = std::max(day_count, trainings[window].last + 1);
  }
  Regimes real(grid, day_count);
  std::vector<WindowStart> starts;
  {
    const DefaultFloatEnvironment environment;
    starts = window_starts(table, bars, grid, trainings, training_count, real);
  }
  std::vector<std::unique_ptr<Existence>> existences;
  for (const WindowStart& start : starts) {
    existences.push_back(std::make_unique<Existence>(grid, start.covered.data()));
  }
  const std::size_t threads = std::min(thread_count, run_count);
  std::vector<std::unique_ptr<Permuter>> permuters;
  for (std::size_t thread = 0; thread < threads; ++thread) {
    permuters.push_back(
        std::make_unique<Permuter>(table, bars, grid, longest, objective, day_count));
  }
  run_threads(threads, [&](std::size_t thread) {
    for (std::size_t window = 0; window < training_count; ++window) {
      permuters[thread]->enter(trainings[window], starts[window], *existences[window]);
      for (std::size_t run = thread; run < run_count; run += threads) {
        const std::size_t place = run * training_count + window;
        best[place] = permuters[thread]->best_of(digests + place * swing_digest_parts, real);
      }
    }
  });
}

}  // namespace walstreet
