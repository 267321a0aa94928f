// Owns the Python face of the kernels: names, checks, and the release of the interpreter lock.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cfloat>
#include <cstdint>
#include <memory>
#include <string>

#include "arguments.hpp"
#include "decision_bindings.hpp"
#include "dispatch.hpp"
#include "float_environment.hpp"
#include "forest_bindings.hpp"
#include "matured_bindings.hpp"
#include "swing_bindings.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace walstreet {

namespace {

constexpr int interface_version = 1;

constexpr const char* finite_rule = "must be finite; mask or repair it before the call";
constexpr const char* weight_rule = "must be from 0 to 1e+150; repair the weights before the call";
constexpr const char* alpha_rule =
    "must be from 2.2250738585072014e-308 to 1.0; derive it with alpha_from_half_life_bars";
constexpr const char* window_rule = "a window cannot be longer than the ring";
constexpr const char* plane_rule = "a plane is one of Statistic";
constexpr const char* lag_rule = "a lag must leave both bars in the ring";
constexpr const char* bars_rule = "it counts the bars pushed into the ring";

constexpr std::size_t any_extent = static_cast<std::size_t>(PTRDIFF_MAX);

std::size_t block_count(std::size_t symbol_count) {
  return (symbol_count + logical_lane_count - 1) / logical_lane_count;
}

// Runs a kernel without the interpreter lock, in the default floating-point mode.
template <typename Work>
auto compute(const Work& work) {
  const nb::gil_scoped_release unlocked;
  const DefaultFloatEnvironment environment;
  return work(kernels());
}

double require_finite_sum(double total, const Array& values) {
  if (!(-DBL_MAX <= total && total <= DBL_MAX)) {
    values.require_range(-DBL_MAX, DBL_MAX, finite_rule);
    throw nb::value_error(
        (std::string(values.name()) + ": the sum overflows float64; scale the values down").c_str());
  }
  return total;
}

double ordered_sum(nb::handle values_object) {
  const Array values(values_object, "values", Element::float64, Access::read, 1);
  const double total = compute([&](const KernelTable& table) {
    return table.ordered_sum(values.doubles(), values.extent(0));
  });
  return require_finite_sum(total, values);
}

double ordered_dot(nb::handle left_object, nb::handle right_object) {
  const Array left(left_object, "left", Element::float64, Access::read, 1);
  const Array right(right_object, "right", Element::float64, Access::read, 1);
  right.require_shape({left.extent(0)}, "left");
  const double total = compute([&](const KernelTable& table) {
    return table.ordered_dot(left.doubles(), right.doubles(), left.extent(0));
  });
  if (!(-DBL_MAX <= total && total <= DBL_MAX)) {
    right.require_range(-DBL_MAX, DBL_MAX, finite_rule);
  }
  return require_finite_sum(total, left);
}

void simplex_projection(nb::handle values_object, nb::handle projection_object) {
  const Array values(values_object, "values", Element::float64, Access::read, 1);
  const Array projection(projection_object, "projection", Element::float64, Access::write, 1);
  values.require_extent(0, 1, any_extent, "values");
  projection.require_shape({values.extent(0)}, "values");
  require_separate(projection, {&values});
  values.require_range(-DBL_MAX, DBL_MAX, finite_rule);
  const std::unique_ptr<double[]> candidates(new double[values.extent(0)]);
  compute([&](const KernelTable& table) {
    table.simplex_projection(values.doubles(), values.extent(0), projection.doubles(),
                             candidates.get());
  });
}

void blend(nb::handle predictions_object, nb::handle weights_object, nb::handle blended_object,
           nb::handle weight_present_object) {
  const Array predictions(predictions_object, "predictions", Element::float64, Access::read, 2);
  const Array weights(weights_object, "weights", Element::float64, Access::read, 1);
  const Array blended(blended_object, "blended", Element::float64, Access::write, 1);
  const Array present(weight_present_object, "weight_present", Element::float64, Access::write, 1);
  predictions.require_extent(0, 1, model_count_max, "models");
  weights.require_shape({predictions.extent(0)}, "predictions");
  blended.require_shape({predictions.extent(1)}, "predictions");
  present.require_shape({predictions.extent(1)}, "predictions");
  require_separate(blended, {&predictions, &weights, &present});
  require_separate(present, {&predictions, &weights});
  weights.require_range(0.0, value_abs_max, weight_rule);
  compute([&](const KernelTable& table) {
    table.blend(predictions.doubles(), weights.doubles(), predictions.extent(0),
                predictions.extent(1), blended.doubles(), present.doubles());
  });
}

void ewma_update(nb::handle values_object, nb::handle alphas_object, nb::handle mean_object,
                 nb::handle variance_object, nb::handle status_object) {
  const Array values(values_object, "values", Element::float64, Access::read, 1);
  const Array alphas(alphas_object, "alphas", Element::float64, Access::read, 1);
  const Array mean(mean_object, "mean", Element::float64, Access::write, 2);
  const Array variance(variance_object, "variance", Element::float64, Access::write, 2);
  const Array status(status_object, "status", Element::uint8, Access::write, 1);
  alphas.require_extent(0, 1, window_count_max, "decays");
  mean.require_shape({alphas.extent(0), values.extent(0)}, "alphas and values");
  variance.require_shape({alphas.extent(0), values.extent(0)}, "alphas and values");
  status.require_shape({values.extent(0)}, "values");
  require_separate(mean, {&values, &alphas, &variance, &status});
  require_separate(variance, {&values, &alphas, &status});
  require_separate(status, {&values, &alphas});
  alphas.require_range(DBL_MIN, 1.0, alpha_rule);
  compute([&](const KernelTable& table) {
    table.ewma_update(values.doubles(), alphas.doubles(), alphas.extent(0), values.extent(0),
                      mean.doubles(), variance.doubles(), status.bytes());
  });
}

void rolling_update(nb::handle values_object, nb::handle ring_object, nb::handle bars_seen_object,
                    nb::handle windows_object, nb::handle planes_object,
                    nb::handle status_object, nb::handle statistics_object) {
  const Array values(values_object, "values", Element::float64, Access::read, 1);
  const Array ring(ring_object, "ring", Element::float64, Access::write, 3);
  const Array bars_seen(bars_seen_object, "bars_seen", Element::int64, Access::write, 1);
  const Array windows(windows_object, "windows", Element::int64, Access::read, 1);
  const Array planes(planes_object, "planes", Element::int64, Access::read, 1);
  const Array status(status_object, "status", Element::uint8, Access::write, 1);
  const Array statistics(statistics_object, "statistics", Element::float64, Access::write, 3);
  ring.require_extent(1, 1, ring_capacity_max, "bars");
  windows.require_extent(0, 1, window_count_max, "windows");
  planes.require_extent(0, 1, statistic_plane_count, "planes");
  ring.require_shape({block_count(values.extent(0)), ring.extent(1), logical_lane_count},
                     "values in blocks of eight");
  bars_seen.require_shape({1}, "one ring");
  status.require_shape({values.extent(0)}, "values");
  statistics.require_shape({planes.extent(0), windows.extent(0), values.extent(0)},
                           "planes, windows and values");
  require_separate(ring, {&values, &bars_seen, &windows, &planes, &status, &statistics});
  require_separate(bars_seen, {&values, &windows, &planes, &status, &statistics});
  require_separate(status, {&values, &windows, &planes, &statistics});
  require_separate(statistics, {&values, &windows, &planes});
  windows.require_integer_range(1, static_cast<std::int64_t>(ring.extent(1)), window_rule);
  windows.require_strictly_ascending();
  planes.require_integer_range(0, statistic_plane_count - 1, plane_rule);
  planes.require_strictly_ascending();
  bars_seen.require_integer_range(0, bars_seen_max, bars_rule);
  RollingArguments arguments = {
      .values = values.doubles(),
      .ring = ring.doubles(),
      .bars_seen = bars_seen.integers()[0],
      .windows = windows.integers(),
      .status = status.bytes(),
      .planes = {},
      .capacity = ring.extent(1),
      .symbol_count = values.extent(0),
      .window_count = windows.extent(0),
  };
  for (std::size_t index = 0; index < planes.extent(0); ++index) {
    arguments.planes[planes.integers()[index]] =
        statistics.doubles() + index * windows.extent(0) * values.extent(0);
  }
  compute([&](const KernelTable& table) { table.rolling_update(arguments); });
  bars_seen.integers()[0] = arguments.bars_seen + 1;
}

void ring_returns(nb::handle ring_object, nb::handle bars_seen_object, nb::handle lags_object,
                  nb::handle returns_object) {
  const Array ring(ring_object, "ring", Element::float64, Access::read, 3);
  const Array bars_seen(bars_seen_object, "bars_seen", Element::int64, Access::read, 1);
  const Array lags(lags_object, "lags", Element::int64, Access::read, 1);
  const Array returns(returns_object, "returns", Element::float64, Access::write, 2);
  ring.require_extent(1, 2, ring_capacity_max, "bars");
  lags.require_extent(0, 1, window_count_max, "lags");
  bars_seen.require_shape({1}, "one ring");
  returns.require_shape({lags.extent(0), returns.extent(1)}, "lags");
  ring.require_shape({block_count(returns.extent(1)), ring.extent(1), logical_lane_count},
                     "returns in blocks of eight");
  require_separate(returns, {&ring, &bars_seen, &lags});
  lags.require_integer_range(1, static_cast<std::int64_t>(ring.extent(1)) - 1, lag_rule);
  bars_seen.require_integer_range(0, bars_seen_max, bars_rule);
  compute([&](const KernelTable& table) {
    table.ring_returns(ring.doubles(), ring.extent(1), returns.extent(1), bars_seen.integers()[0],
                       lags.integers(), lags.extent(0), returns.doubles());
  });
}

void choose_level(const std::string& name) {
  if (set_level(name)) {
    return;
  }
  std::string offered;
  for (const std::string& level : available_levels()) {
    offered += (offered.empty() ? "" : ", ") + level;
  }
  throw nb::value_error(("level: value is '" + name + "', must be one this processor offers (" +
                         offered + "); choose one of them or leave the choice to the module")
                            .c_str());
}

}  // namespace

// None is let through to the checks, whose message names the argument.
NB_MODULE(_native, module) {
  prepare_argument_checks();
  module.attr("__version__") = WALSTREET_VERSION;
  module.attr("INTERFACE_VERSION") = interface_version;
  module.def("available_levels", &available_levels);
  module.def("compiled_levels", &compiled_levels);
  module.def("level", &active_level);
  module.def("set_level", &choose_level, "name"_a);
  module.def("ordered_sum", &ordered_sum, "values"_a.none());
  module.def("ordered_dot", &ordered_dot, "left"_a.none(), "right"_a.none());
  module.def("simplex_projection", &simplex_projection, "values"_a.none(), "projection"_a.none());
  module.def("blend", &blend, "predictions"_a.none(), "weights"_a.none(), "blended"_a.none(), "weight_present"_a.none());
  module.def("ewma_update", &ewma_update, "values"_a.none(), "alphas"_a.none(), "mean"_a.none(), "variance"_a.none(),
             "status"_a.none());
  module.def("rolling_update", &rolling_update, "values"_a.none(), "ring"_a.none(), "bars_seen"_a.none(), "windows"_a.none(),
             "planes"_a.none(), "status"_a.none(), "statistics"_a.none());
  bind_forest(module);
  module.def("ring_returns", &ring_returns, "ring"_a.none(), "bars_seen"_a.none(), "lags"_a.none(), "returns"_a.none());
  bind_decision(module);
  bind_matured(module);
  bind_swing(module);
}

}  // namespace walstreet
