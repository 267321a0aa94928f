// Owns the Python face of the rotation's engine: every array and number is checked here, then threads see pointers.
#include "swing_bindings.hpp"

#include <nanobind/stl/vector.h>

#include <cfloat>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "decision_bindings.hpp"
#include "kernels/swing_engine.hpp"
#include "kernels/swing_random.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace walstreet {

namespace {

constexpr int swing_interface_version = 1;
constexpr std::size_t run_count_max = 1'000'000;
constexpr std::size_t order_count_max = swing_day_count_max;

std::string at(const Array& array, std::size_t row, std::size_t column) {
  return std::string(array.name()) + "[" + std::to_string(row) + ", " + std::to_string(column) + "]";
}

// Three or four arrays of one shape, positive where a bar exists and NaN in all of them where none does.
struct BarArrays {
  BarArrays(nb::handle high_object, nb::handle low_object, nb::handle close_object)
      : high(read_plane(high_object, "high")),
        low(read_plane(low_object, "low")),
        close(read_plane(close_object, "close")) {
    close.require_extent(0, 1, swing_day_count_max, "days");
    close.require_extent(1, 1, swing_symbol_count_max, "symbols");
    for (const Array* side : {&high, &low}) {
      side->require_shape({close.extent(0), close.extent(1)}, "close");
      require_prices(*side);
    }
    require_prices(close);
  }

  void require_prices(const Array& side) const {
    const std::size_t count = close.extent(0) * close.extent(1);
    const double* values = side.doubles();
    const double* closes = close.doubles();
    std::size_t wrong = 0;
    for (std::size_t index = 0; index < count; ++index) {
      const bool is_price = values[index] > 0.0 && values[index] <= DBL_MAX;
      const bool is_missing = values[index] != values[index];
      const bool has_close = closes[index] == closes[index];
      wrong += (has_close ? is_price : is_missing) ? 0 : 1;
    }
    if (wrong == 0) {
      return;
    }
    for (std::size_t index = 0; index < count; ++index) {
      const bool is_price = values[index] > 0.0 && values[index] <= DBL_MAX;
      const bool is_missing = values[index] != values[index];
      const bool has_close = closes[index] == closes[index];
      if (!(has_close ? is_price : is_missing)) {
        refuse(at(side, index / close.extent(1), index % close.extent(1)) + ": value is " +
               number_text(values[index]) +
               ", must be positive and finite where a bar exists and NaN in every price where none "
               "does; repair the bars");
      }
    }
  }

  SwingBars view(const double* open) const {
    return {open, high.doubles(), low.doubles(), close.doubles(), close.extent(0), close.extent(1)};
  }

  Array high, low, close;
};

void require_points(const Array& points, std::size_t symbol_count) {
  points.require_extent(0, 1, swing_point_count_max, "points");
  points.require_shape({points.extent(0), swing_column_count}, "the columns of a point");
  for (std::size_t row = 0; row < points.extent(0); ++row) {
    for (std::size_t column = 0; column < swing_column_count; ++column) {
      const SwingColumnBounds& bounds = swing_columns[column];
      const double value = points.doubles()[row * swing_column_count + column];
      const double highest = column == column_regime_column
                                 ? static_cast<double>(symbol_count) - 1.0
                                 : bounds.highest;
      if (!(bounds.lowest <= value && value <= highest) ||
          (bounds.is_whole && value != std::trunc(value))) {
        refuse(at(points, row, column) + ": " + bounds.name + " is " + number_text(value) +
               ", must be " + (bounds.is_whole ? "a whole number " : "") + "from " +
               number_text(bounds.lowest) + " to " + number_text(highest) +
               "; pass another number");
      }
    }
  }
}

// Rows of first and last day, each within the bars.
std::vector<SwingTraining> read_spans(const Array& spans, std::size_t day_count) {
  spans.require_extent(0, 1, swing_window_count_max, "windows");
  spans.require_shape({spans.extent(0), 2}, "first and last rows");
  std::vector<SwingTraining> result;
  for (std::size_t row = 0; row < spans.extent(0); ++row) {
    const std::int64_t first = spans.integers()[2 * row];
    const std::int64_t last = spans.integers()[2 * row + 1];
    if (first < 0 || last < first || static_cast<std::int64_t>(day_count) <= last) {
      refuse(std::string(spans.name()) + "[" + std::to_string(row) + "]: rows are " +
             std::to_string(first) + " to " + std::to_string(last) + ", must be from 0 to " +
             std::to_string(day_count - 1) + ", the first before the last; pass rows of the bars");
    }
    result.push_back({static_cast<std::size_t>(first), static_cast<std::size_t>(last)});
  }
  return result;
}

SwingObjective read_objective(int objective) {
  if (objective < 0 || 2 < objective) {
    refuse("objective: value is " + std::to_string(objective) +
           ", must be 0 (Calmar), 1 (CAGR) or 2 (Sharpe); pass one of them");
  }
  return static_cast<SwingObjective>(objective);
}

std::size_t read_threads(int threads) {
  if (threads < 1 || static_cast<int>(swing_thread_count_max) < threads) {
    refuse("threads: value is " + std::to_string(threads) + ", must be from 1 to " +
           std::to_string(swing_thread_count_max) + "; pass another number");
  }
  return static_cast<std::size_t>(threads);
}

void simulate(nb::handle high, nb::handle low, nb::handle close, nb::handle points_object,
              nb::handle segments_object, nb::handle series_object, nb::handle traded_object,
              nb::handle target_object, nb::handle held_object) {
  const BarArrays bars(high, low, close);
  const Array points = read_plane(points_object, "points");
  const Array segments_array(segments_object, "segments", Element::int64, Access::read, 2);
  const Array series = write_plane(series_object, "series");
  const Array traded = write_flags(traded_object, "traded");
  const Array target = write_plane(target_object, "target");
  const Array held = write_plane(held_object, "held");
  const std::size_t symbols = bars.close.extent(1);
  require_points(points, symbols);
  const std::vector<SwingTraining> spans = read_spans(segments_array, bars.close.extent(0));
  segments_array.require_shape({points.extent(0), 2}, "points");
  std::vector<SwingSegment> segments;
  for (std::size_t index = 0; index < spans.size(); ++index) {
    if (index > 0 && spans[index].first != spans[index - 1].last + 1) {
      refuse("segments[" + std::to_string(index) + "]: begins on row " +
             std::to_string(spans[index].first) + ", must follow row " +
             std::to_string(spans[index - 1].last) + "; pass segments without gap or overlap");
    }
    segments.push_back({spans[index].first, spans[index].last});
  }
  const std::size_t days = spans.back().last + 1 - spans.front().first;
  series.require_shape({5, days}, "the segments' days");
  traded.require_shape({days}, "the segments' days");
  target.require_shape({days, symbols}, "the segments' days and close");
  held.require_shape({days, symbols}, "the segments' days and close");
  require_all_separate({&series, &traded, &target, &held},
                       {&bars.high, &bars.low, &bars.close, &points, &segments_array});
  const SwingOutputs outputs = {
      .gross = series.doubles(),
      .turnover = series.doubles() + days,
      .cost = series.doubles() + 2 * days,
      .net = series.doubles() + 3 * days,
      .equity = series.doubles() + 4 * days,
      .traded = traded.bytes(),
      .target = target.doubles(),
      .held = held.doubles(),
  };
  const nb::gil_scoped_release unlocked;
  const SwingGrid grid(points.doubles(), points.extent(0), symbols);
  swing_simulate(kernels(), bars.view(nullptr), grid, segments.data(), outputs);
}

void objectives(nb::handle high, nb::handle low, nb::handle close, nb::handle points_object,
                nb::handle windows_object, nb::handle covered_object, int objective, int threads,
                nb::handle values_object) {
  const BarArrays bars(high, low, close);
  const Array points = read_plane(points_object, "points");
  const Array windows(windows_object, "windows", Element::int64, Access::read, 2);
  const Array covered(covered_object, "covered", Element::uint8, Access::read, 2);
  const Array values = write_plane(values_object, "values");
  require_points(points, bars.close.extent(1));
  const std::vector<SwingTraining> trainings = read_spans(windows, bars.close.extent(0));
  covered.require_shape({trainings.size(), bars.close.extent(1)}, "windows and close");
  values.require_shape({trainings.size(), points.extent(0)}, "windows and points");
  require_all_separate({&values},
                       {&bars.high, &bars.low, &bars.close, &points, &windows, &covered});
  const SwingObjective wanted = read_objective(objective);
  const std::size_t thread_count = read_threads(threads);
  std::vector<std::uint8_t> exists(covered.bytes(),
                                   covered.bytes() + trainings.size() * bars.close.extent(1));
  for (std::uint8_t& flag : exists) {
    flag = flag != 0 ? 1 : 0;
  }
  const nb::gil_scoped_release unlocked;
  const SwingGrid grid(points.doubles(), points.extent(0), bars.close.extent(1));
  swing_objectives(kernels(), bars.view(nullptr), grid, trainings.data(), trainings.size(),
                   exists.data(), wanted, thread_count, values.doubles());
}

std::vector<std::uint32_t> read_digests(const Array& digests) {
  const std::size_t count = digests.extent(0) * swing_digest_parts;
  std::vector<std::uint32_t> words;
  words.reserve(count);
  for (std::size_t index = 0; index < count; ++index) {
    const std::int64_t part = digests.integers()[index];
    if (part < 0 || std::int64_t{UINT32_MAX} < part) {
      refuse(at(digests, index / swing_digest_parts, index % swing_digest_parts) + ": value is " +
             std::to_string(part) + ", must be a 32-bit word; pass the parts of a key's hash");
    }
    words.push_back(static_cast<std::uint32_t>(part));
  }
  return words;
}

void permuted_best(nb::handle open_object, nb::handle high, nb::handle low, nb::handle close,
                   nb::handle points_object, nb::handle windows_object, nb::handle digests_object,
                   int objective, int threads, nb::handle best_object) {
  const BarArrays bars(high, low, close);
  const Array open = read_plane(open_object, "open");
  const Array points = read_plane(points_object, "points");
  const Array windows(windows_object, "windows", Element::int64, Access::read, 2);
  const Array digests(digests_object, "digests", Element::int64, Access::read, 2);
  const Array best = write_plane(best_object, "best");
  open.require_shape({bars.close.extent(0), bars.close.extent(1)}, "close");
  bars.require_prices(open);
  require_points(points, bars.close.extent(1));
  const std::vector<SwingTraining> trainings = read_spans(windows, bars.close.extent(0));
  best.require_extent(0, 1, run_count_max, "runs");
  best.require_shape({best.extent(0), trainings.size()}, "windows");
  digests.require_shape({best.extent(0) * trainings.size(), swing_digest_parts},
                        "best: a row for every run and window");
  require_all_separate({&best}, {&open, &bars.high, &bars.low, &bars.close, &points, &windows,
                                 &digests});
  const SwingObjective wanted = read_objective(objective);
  const std::size_t thread_count = read_threads(threads);
  const std::vector<std::uint32_t> words = read_digests(digests);
  const nb::gil_scoped_release unlocked;
  const SwingGrid grid(points.doubles(), points.extent(0), bars.close.extent(1));
  swing_permuted_best(kernels(), bars.view(open.doubles()), grid, trainings.data(),
                      trainings.size(), words.data(), best.extent(0), wanted, thread_count,
                      best.doubles());
}

void word_order(nb::handle digests_object, nb::handle order_object) {
  const Array digests(digests_object, "digests", Element::int64, Access::read, 2);
  const Array order(order_object, "order", Element::int64, Access::write, 1);
  digests.require_shape({1, swing_digest_parts}, "one key's hash");
  order.require_extent(0, 0, order_count_max, "rows");
  require_separate(order, {&digests});
  const std::vector<std::uint32_t> words = read_digests(digests);
  WordOrder(order.extent(0)).write(words.data(), order.integers(), order.extent(0));
}

std::vector<std::string> column_names() {
  std::vector<std::string> names;
  for (const SwingColumnBounds& column : swing_columns) {
    names.emplace_back(column.name);
  }
  return names;
}

}  // namespace

// None is let through to the checks, whose message names the argument.
void bind_swing(nb::module_& module) {
  module.attr("SWING_INTERFACE_VERSION") = swing_interface_version;
  module.def("swing_columns", &column_names);
  module.def("swing_simulate", &simulate, "high"_a.none(), "low"_a.none(), "close"_a.none(),
             "points"_a.none(), "segments"_a.none(), "series"_a.none(), "traded"_a.none(),
             "target"_a.none(), "held"_a.none());
  module.def("swing_objectives", &objectives, "high"_a.none(), "low"_a.none(), "close"_a.none(),
             "points"_a.none(), "windows"_a.none(), "covered"_a.none(), "objective"_a, "threads"_a,
             "values"_a.none());
  module.def("swing_permuted_best", &permuted_best, "open"_a.none(), "high"_a.none(),
             "low"_a.none(), "close"_a.none(), "points"_a.none(), "windows"_a.none(),
             "digests"_a.none(), "objective"_a, "threads"_a, "best"_a.none());
  module.def("swing_word_order", &word_order, "digests"_a.none(), "order"_a.none());
}

}  // namespace walstreet
