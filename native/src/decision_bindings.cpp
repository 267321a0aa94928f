// Owns the Python face of the decision kernels: functions over arrays, and workspaces that keep theirs.
#include "decision_bindings.hpp"

#include <cfloat>
#include <cstdint>
#include <string>
#include <vector>

namespace nb = nanobind;
using namespace nb::literals;

namespace walstreet {

namespace {

constexpr int decision_interface_version = 1;
constexpr double multiplier_max = 1e6;

constexpr const char* weight_rule = "must be from 0 to 1e+150; repair the weights before the call";
constexpr const char* scale_rule = "must be positive and finite; it is sigma_h over sigma_5m";
constexpr const char* horizon_rule = "it is a row of the horizons";

// The models of each horizon, in the order of their rows.
struct ModelOrder {
  ModelOrder(const Array& horizon_of_model, std::size_t horizon_count)
      : rows(horizon_of_model.extent(0)),
        starts(horizon_count + 1, 0),
        active(rows.size()),
        active_starts(horizon_count + 1, 0) {
    horizon_of_model.require_integer_range(0, static_cast<std::int64_t>(horizon_count) - 1,
                                           horizon_rule);
    std::size_t place = 0;
    for (std::size_t horizon = 0; horizon < horizon_count; ++horizon) {
      for (std::size_t model = 0; model < rows.size(); ++model) {
        if (static_cast<std::size_t>(horizon_of_model.integers()[model]) == horizon) {
          rows[place++] = model;
        }
      }
      starts[horizon + 1] = place;
    }
  }

  ModelPlan plan(const Array& slopes, const Array& weights) {
    return {rows.data(),       starts.data(), slopes.doubles(),
            weights.doubles(), active.data(), active_starts.data()};
  }

  std::vector<std::size_t> rows;
  std::vector<std::size_t> starts;
  std::vector<ActiveModel> active;
  std::vector<std::size_t> active_starts;
};

void map_array(nb::handle values_object, nb::handle results_object,
               void (*DecisionKernels::*kernel)(const double*, std::size_t, double*)) {
  const Array values = read_row(values_object, "values");
  const Array results = write_row(results_object, "results");
  results.require_shape({values.extent(0)}, "values");
  require_separate(results, {&values});
  compute_decision([&](const DecisionKernels& table) {
    (table.*kernel)(values.doubles(), values.extent(0), results.doubles());
  });
}

void portable_exp(nb::handle values, nb::handle results) {
  map_array(values, results, &DecisionKernels::exp_array);
}

void portable_log(nb::handle values, nb::handle results) {
  map_array(values, results, &DecisionKernels::log_array);
}

void portable_power(nb::handle values_object, double exponent, nb::handle results_object) {
  const Array values = read_row(values_object, "values");
  const Array results = write_row(results_object, "results");
  results.require_shape({values.extent(0)}, "values");
  require_separate(results, {&values});
  require_between("exponent", exponent, DBL_MIN, DBL_MAX);
  compute_decision([&](const DecisionKernels& table) {
    table.power_array(values.doubles(), exponent, values.extent(0), results.doubles());
  });
}

void calibrate_blend(nb::handle scores_object, nb::handle horizon_of_model_object,
                     nb::handle slopes_object, nb::handle weights_object, nb::handle sigma_object,
                     nb::handle raw_object, nb::handle blended_object, nb::handle present_object) {
  const Array scores = read_plane(scores_object, "scores");
  const Array horizon_of_model(horizon_of_model_object, "horizon_of_model", Element::int64,
                               Access::read, 1);
  const Array slopes = read_row(slopes_object, "slopes");
  const Array weights = read_row(weights_object, "weights");
  const Array sigma = read_plane(sigma_object, "sigma_horizon");
  const Array raw = write_plane(raw_object, "raw");
  const Array blended = write_plane(blended_object, "blended");
  const Array present = write_plane(present_object, "weight_present");
  scores.require_extent(0, 0, model_count_max, "models");
  sigma.require_extent(0, 1, horizon_count_max, "horizons");
  horizon_of_model.require_shape({scores.extent(0)}, "scores");
  slopes.require_shape({scores.extent(0)}, "scores");
  weights.require_shape({scores.extent(0)}, "scores");
  sigma.require_shape({sigma.extent(0), scores.extent(1)}, "scores");
  for (const Array* output : {&raw, &blended, &present}) {
    output->require_shape({sigma.extent(0), sigma.extent(1)}, "sigma_horizon");
    require_separate(*output, {&scores, &horizon_of_model, &slopes, &weights, &sigma});
  }
  require_separate(raw, {&blended, &present});
  require_separate(blended, {&present});
  weights.require_range(0.0, value_abs_max, weight_rule);
  ModelOrder order(horizon_of_model, sigma.extent(0));
  const BlendArguments arguments = {
      .plan = order.plan(slopes, weights),
      .scores = scores.doubles(),
      .sigma = sigma.doubles(),
      .raw = raw.doubles(),
      .blended = blended.doubles(),
      .present = present.doubles(),
      .horizon_count = sigma.extent(0),
      .symbol_count = sigma.extent(1),
  };
  compute_decision([&](const DecisionKernels& table) { table.calibrate_blend(arguments); });
}

nb::object named(const nb::dict& arrays, const char* name) {
  if (!arrays.contains(name)) {
    refuse(std::string(name) + ": is missing; pass it in the dictionary of arrays");
  }
  return arrays[name];
}

double setting(const nb::dict& settings, const char* name, double lowest, double highest) {
  const double value = nb::cast<double>(named(settings, name));
  require_between(name, value, lowest, highest);
  return value;
}

CostSettings cost_settings(const nb::dict& settings) {
  return {setting(settings, "impact_coefficient", 0.0, 1e6),
          setting(settings, "fee_usd_per_share", 0.0, 1e6), setting(settings, "fee_bps", 0.0, 1e6)};
}

ArbitrationSettings arbitration_settings(const nb::dict& settings) {
  return {setting(settings, "best_share", 0.5, 1.0),
          setting(settings, "reserve_spread_share", 0.0, 1e6),
          setting(settings, "reserve_bps", 0.0, 1e6)};
}

SizeSettings size_settings(const nb::dict& settings) {
  return {static_cast<SizeMethod>(static_cast<int>(setting(settings, "size_method", 0.0, 2.0))),
          setting(settings, "z_max", 0.1, 1e3),
          setting(settings, "names_min_proportional", 1.0, 1e6),
          setting(settings, "volatility_day_bps_target", 1.0, 1e6),
          setting(settings, "weight_abs_max", 0.0, 1e6)};
}

// The six rows of market facts, (symbols,) each.
struct MarketArrays {
  explicit MarketArrays(const nb::dict& arrays)
      : spread(read_row(named(arrays, "spread_bps"), "spread_bps")),
        sigma_5m(read_row(named(arrays, "sigma_5m_bps"), "sigma_5m_bps")),
        sigma_day(read_row(named(arrays, "sigma_day_bps"), "sigma_day_bps")),
        price(read_row(named(arrays, "price_usd"), "price_usd")),
        volume(read_row(named(arrays, "daily_volume_shares"), "daily_volume_shares")),
        order(read_row(named(arrays, "order_usd"), "order_usd")) {
    for (const Array* row : {&sigma_5m, &sigma_day, &price, &volume, &order}) {
      row->require_shape({spread.extent(0)}, "spread_bps");
    }
  }

  MarketFacts facts() const {
    return {spread.doubles(), sigma_5m.doubles(), sigma_day.doubles(),
            price.doubles(),  volume.doubles(),   order.doubles()};
  }

  void require_apart(const Array& output) const {
    require_separate(output, {&spread, &sigma_5m, &sigma_day, &price, &volume, &order});
  }

  Array spread, sigma_5m, sigma_day, price, volume, order;
};

struct ChoiceOutputs {
  ChoiceOutputs(const nb::dict& arrays, std::size_t symbol_count)
      : reserve(write_row(named(arrays, "reserve_bps"), "reserve_bps")),
        best(named(arrays, "best"), "best", Element::int64, Access::write, 1),
        alpha_final(write_row(named(arrays, "alpha_final_bps"), "alpha_final_bps")),
        z(write_row(named(arrays, "z"), "z")),
        clears(write_flags(named(arrays, "clears_reserve"), "clears_reserve")) {
    for (const Array* row : all()) {
      row->require_shape({symbol_count}, "spread_bps");
    }
  }

  std::vector<const Array*> all() const { return {&reserve, &best, &alpha_final, &z, &clears}; }

  ChoiceArrays arrays() const {
    return {reserve.doubles(), best.integers(), alpha_final.doubles(), z.doubles(), clears.bytes()};
  }

  Array reserve, best, alpha_final, z, clears;
};

// NaN is allowed: then every cost is unknown.
void require_multiplier(const char* name, double value) {
  if (!(value != value || (0.0 <= value && value <= multiplier_max))) {
    require_between(name, value, 0.0, multiplier_max);
  }
}

void cost_arbitrate(const nb::dict& arrays, const nb::dict& settings, double session_multiplier) {
  require_multiplier("session_multiplier", session_multiplier);
  const MarketArrays market(arrays);
  const std::size_t symbols = market.spread.extent(0);
  const ChoiceOutputs choice(arrays, symbols);
  const Array alpha = read_plane(named(arrays, "alpha_bps"), "alpha_bps");
  const Array sigma = read_plane(named(arrays, "sigma_horizon_bps"), "sigma_horizon_bps");
  const Array cost = write_plane(named(arrays, "cost_bps"), "cost_bps");
  const Array net = write_plane(named(arrays, "net_bps"), "net_bps");
  sigma.require_extent(0, 1, horizon_count_max, "horizons");
  sigma.require_shape({sigma.extent(0), symbols}, "spread_bps");
  for (const Array* plane : {&alpha, &cost, &net}) {
    plane->require_shape({sigma.extent(0), symbols}, "sigma_horizon_bps");
  }
  std::vector<const Array*> outputs = choice.all();
  outputs.insert(outputs.end(), {&cost, &net});
  require_all_separate(outputs, {&alpha, &sigma, &market.spread, &market.sigma_5m,
                                 &market.sigma_day, &market.price, &market.volume, &market.order});
  const CostArbitrateArguments arguments = {
      .market = market.facts(),
      .cost_settings = cost_settings(settings),
      .arbitration = arbitration_settings(settings),
      .session_multiplier = session_multiplier,
      .alpha = alpha.doubles(),
      .sigma = sigma.doubles(),
      .cost = cost.doubles(),
      .net = net.doubles(),
      .choice = choice.arrays(),
      .horizon_count = sigma.extent(0),
      .symbol_count = symbols,
  };
  compute_decision([&](const DecisionKernels& table) { table.cost_arbitrate(arguments); });
}

// Keeps the checked arrays of a decision, so that a cycle is one call without arguments.
class DecisionWorkspace {
 public:
  DecisionWorkspace(const nb::dict& arrays, const nb::dict& settings)
      : scores_(read_plane(named(arrays, "scores"), "scores")),
        slopes_(read_row(named(arrays, "slopes"), "slopes")),
        weights_(read_row(named(arrays, "weights"), "weights")),
        scales_(read_row(named(arrays, "horizon_scales"), "horizon_scales")),
        fresh_(named(arrays, "fresh"), "fresh", Element::uint8, Access::read, 1),
        tradable_(named(arrays, "tradable"), "tradable", Element::uint8, Access::read, 1),
        controls_(read_row(named(arrays, "controls"), "controls")),
        market_(arrays),
        blended_(write_plane(named(arrays, "blended_bps"), "blended_bps")),
        present_(write_plane(named(arrays, "weight_present"), "weight_present")),
        cost_(write_row(named(arrays, "cost_bps"), "cost_bps")),
        net_(write_plane(named(arrays, "net_bps"), "net_bps")),
        weight_(write_row(named(arrays, "weight"), "weight")),
        choice_(arrays, market_.spread.extent(0)),
        order_(ordered(arrays)) {
    require_shapes();
    std::vector<const Array*> outputs = choice_.all();
    outputs.insert(outputs.end(), {&blended_, &present_, &cost_, &net_, &weight_});
    require_all_separate(
        outputs, {&scores_, &slopes_, &weights_, &scales_, &fresh_, &tradable_, &controls_,
                  &market_.spread, &market_.sigma_5m, &market_.sigma_day, &market_.price,
                  &market_.volume, &market_.order});
    fill_arguments(settings);
  }

  void run() {
    weights_.require_range(0.0, value_abs_max, weight_rule);
    arguments_.session_multiplier = controls_.doubles()[0];
    require_multiplier("controls[0]", arguments_.session_multiplier);
    arguments_.gross_budget = controls_.doubles()[1];
    if (!(0.0 <= arguments_.gross_budget && arguments_.gross_budget <= gross_budget_max)) {
      require_between("controls[1]", arguments_.gross_budget, 0.0, gross_budget_max);
    }
    const bool sound = compute_decision(
        [&](const DecisionKernels& table) { return table.decision_cycle(arguments_); });
    if (!sound) {
      refuse("sigma_day_bps: a weight overflows float64; mask daily volatilities near zero");
    }
  }

 private:
  static constexpr double gross_budget_max = 1e6;

  ModelOrder ordered(const nb::dict& arrays) const {
    const Array horizon_of_model(named(arrays, "horizon_of_model"), "horizon_of_model",
                                 Element::int64, Access::read, 1);
    horizon_of_model.require_shape({scores_.extent(0)}, "scores");
    scales_.require_extent(0, 1, horizon_count_max, "horizons");
    return ModelOrder(horizon_of_model, scales_.extent(0));
  }

  void require_shapes() const {
    const std::size_t symbols = market_.spread.extent(0);
    scores_.require_extent(0, 0, model_count_max, "models");
    scores_.require_shape({scores_.extent(0), symbols}, "spread_bps");
    slopes_.require_shape({scores_.extent(0)}, "scores");
    weights_.require_shape({scores_.extent(0)}, "scores");
    fresh_.require_shape({scales_.extent(0)}, "horizon_scales");
    tradable_.require_shape({symbols}, "spread_bps");
    controls_.require_shape({2}, "session_multiplier and gross_budget");
    for (const Array* plane : {&blended_, &present_, &net_}) {
      plane->require_shape({scales_.extent(0), symbols}, "horizon_scales and spread_bps");
    }
    cost_.require_shape({symbols}, "spread_bps");
    weight_.require_shape({symbols}, "spread_bps");
    scales_.require_range(DBL_MIN, DBL_MAX, scale_rule);
  }

  void fill_arguments(const nb::dict& settings) {
    arguments_ = {
        .plan = order_.plan(slopes_, weights_),
        .market = market_.facts(),
        .cost_settings = cost_settings(settings),
        .arbitration = arbitration_settings(settings),
        .size = size_settings(settings),
        .session_multiplier = 0.0,
        .gross_budget = 0.0,
        .scores = scores_.doubles(),
        .horizon_scales = scales_.doubles(),
        .fresh = fresh_.bytes(),
        .tradable = tradable_.bytes(),
        .blended = blended_.doubles(),
        .present = present_.doubles(),
        .cost = cost_.doubles(),
        .net = net_.doubles(),
        .choice = choice_.arrays(),
        .weight = weight_.doubles(),
        .horizon_count = scales_.extent(0),
        .symbol_count = market_.spread.extent(0),
    };
  }

  Array scores_, slopes_, weights_, scales_, fresh_, tradable_, controls_;
  MarketArrays market_;
  Array blended_, present_, cost_, net_, weight_;
  ChoiceOutputs choice_;
  ModelOrder order_;
  CycleArguments arguments_{};
};

}  // namespace

// None is let through to the checks, whose message names the argument.
void bind_decision(nb::module_& module) {
  module.attr("DECISION_INTERFACE_VERSION") = decision_interface_version;
  module.def("portable_exp", &portable_exp, "values"_a.none(), "results"_a.none());
  module.def("portable_log", &portable_log, "values"_a.none(), "results"_a.none());
  module.def("portable_power", &portable_power, "values"_a.none(), "exponent"_a,
             "results"_a.none());
  module.def("calibrate_blend", &calibrate_blend, "scores"_a.none(), "horizon_of_model"_a.none(),
             "slopes"_a.none(), "weights"_a.none(), "sigma_horizon"_a.none(), "raw"_a.none(),
             "blended"_a.none(), "weight_present"_a.none());
  module.def("cost_arbitrate", &cost_arbitrate, "arrays"_a, "settings"_a,
             "session_multiplier"_a);
  nb::class_<DecisionWorkspace>(module, "DecisionWorkspace")
      .def(nb::init<const nb::dict&, const nb::dict&>(), "arrays"_a, "settings"_a)
      .def("run", &DecisionWorkspace::run);
  bind_linear(module);
  bind_market(module);
}

}  // namespace walstreet
