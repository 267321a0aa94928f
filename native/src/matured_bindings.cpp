// Owns the Python face of the kernels that learn from matured outcomes.
#include "matured_bindings.hpp"

#include <cfloat>
#include <cstdint>
#include <vector>

#include "decision_bindings.hpp"
#include "kernels/matured.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace walstreet {

namespace {

constexpr int matured_interface_version = 1;
constexpr std::size_t model_bound = 4'096;
constexpr std::size_t symbol_bound = std::size_t{1} << 20;
constexpr std::size_t column_bound = std::size_t{1} << 20;

template <typename Work>
void compute_matured(const Work& work) {
  const nb::gil_scoped_release unlocked;
  const DefaultFloatEnvironment environment;
  work(*kernels().matured);
}

void matured_rows(nb::handle scores_object, nb::handle slopes_object, nb::handle returns_object,
                  nb::handle sigma_object, nb::handle cost_object, double score_abs_max,
                  double sigma_bps_max, double slope_abs_max, double outcome_abs_max, bool excess,
                  nb::handle rows_object) {
  const Array scores = read_plane(scores_object, "scores");
  const Array slopes = read_row(slopes_object, "slopes");
  const Array returns = read_row(returns_object, "return_bps");
  const Array sigma = read_row(sigma_object, "sigma_bps");
  const Array cost = read_row(cost_object, "cost_bps");
  const Array rows = write_plane(rows_object, "rows");
  scores.require_extent(0, 0, model_bound, "models");
  scores.require_extent(1, 0, symbol_bound, "symbols");
  slopes.require_shape({scores.extent(0)}, "scores");
  for (const Array* row : {&returns, &sigma, &cost}) {
    row->require_shape({scores.extent(1)}, "scores");
  }
  rows.require_shape({scores.extent(0), matured_column_count}, "scores");
  require_separate(rows, {&scores, &slopes, &returns, &sigma, &cost});
  const std::size_t symbols = scores.extent(1);
  std::vector<double> scratch(matured_scratch_rows * symbols);
  std::vector<std::uint64_t> keys(2 * symbols);
  std::vector<std::int64_t> order(2 * symbols);
  const MaturedArguments arguments = {
      .scores = scores.doubles(),
      .slopes = slopes.doubles(),
      .return_bps = returns.doubles(),
      .sigma_bps = sigma.doubles(),
      .cost_bps = cost.doubles(),
      .rows = rows.doubles(),
      .scratch = scratch.data(),
      .keys = keys.data(),
      .order = order.data(),
      .score_abs_max = score_abs_max,
      .sigma_bps_max = sigma_bps_max,
      .slope_abs_max = slope_abs_max,
      .outcome_abs_max = outcome_abs_max,
      .excess = excess,
      .model_count = scores.extent(0),
      .symbol_count = symbols,
  };
  compute_matured([&](const MaturedKernels& table) { table.matured_rows(arguments); });
  for (std::size_t model = 0; model < scores.extent(0); ++model) {
    const double edge = arguments.rows[model * matured_column_count + matured_edge];
    if (!(-DBL_MAX <= edge && edge <= DBL_MAX)) {
      refuse("cost_bps: the edge of the trades is " + number_text(edge) +
             ", must be finite; repair the costs");
    }
  }
}

void contribution(nb::handle scores_object, nb::handle alphas_object, nb::handle outcomes_object,
                  nb::handle cost_object, double score_abs_max, double outcome_abs_max,
                  nb::handle products_object, nb::handle sums_object) {
  const Array scores = read_plane(scores_object, "scores");
  const Array alphas = read_plane(alphas_object, "alphas_bps");
  const Array outcomes = read_row(outcomes_object, "outcomes");
  const Array cost = read_row(cost_object, "cost_bps");
  const Array products = write_plane(products_object, "products");
  const Array sums = write_plane(sums_object, "sums");
  scores.require_extent(0, 1, model_bound, "models");
  scores.require_extent(1, 1, symbol_bound, "symbols");
  alphas.require_shape({scores.extent(0), scores.extent(1)}, "scores");
  outcomes.require_shape({scores.extent(1)}, "scores");
  cost.require_shape({scores.extent(1)}, "scores");
  products.require_shape({scores.extent(0), scores.extent(0)}, "scores");
  sums.require_shape({contribution_row_count, scores.extent(0)}, "scores");
  require_all_separate({&products, &sums}, {&scores, &alphas, &outcomes, &cost});
  std::vector<double> scratch(scores.extent(0));
  const ContributionArguments arguments = {
      .scores = scores.doubles(),
      .alphas_bps = alphas.doubles(),
      .outcomes = outcomes.doubles(),
      .cost_bps = cost.doubles(),
      .products = products.doubles(),
      .sums = sums.doubles(),
      .scratch = scratch.data(),
      .score_abs_max = score_abs_max,
      .outcome_abs_max = outcome_abs_max,
      .model_count = scores.extent(0),
      .symbol_count = scores.extent(1),
  };
  compute_matured([&](const MaturedKernels& table) { table.contribution(arguments); });
}

void row_medians(nb::handle history_object, std::size_t used, std::size_t first_row,
                 std::size_t row_step, nb::handle medians_object, nb::handle spreads_object,
                 nb::handle counts_object) {
  const Array history = read_plane(history_object, "history");
  const Array medians = write_row(medians_object, "medians");
  const Array spreads = write_row(spreads_object, "spreads");
  const Array counts(counts_object, "counts", Element::int64, Access::write, 1);
  history.require_extent(1, 0, column_bound, "columns");
  if (used > history.extent(1)) {
    refuse("used: value is " + std::to_string(used) + ", must be at most the " +
           std::to_string(history.extent(1)) + " columns of history");
  }
  if (row_step < 1) {
    refuse("row_step: value is 0, must be at least 1; pass 1 for every row");
  }
  const std::size_t rows = history.extent(0);
  const std::size_t wanted = first_row < rows ? (rows - first_row + row_step - 1) / row_step : 0;
  for (const Array* row : {&medians, &spreads, &counts}) {
    row->require_shape({wanted}, "history, first_row and row_step");
  }
  require_all_separate({&medians, &spreads, &counts}, {&history});
  std::vector<double> values(used);
  std::vector<std::uint64_t> keys(2 * used);
  const MedianArguments arguments = {
      .history = history.doubles(),
      .medians = medians.doubles(),
      .spreads = spreads.doubles(),
      .counts = counts.integers(),
      .values = values.data(),
      .keys = keys.data(),
      .candidates = keys.data() + used,
      .width = history.extent(1),
      .used = used,
      .first_row = first_row,
      .row_step = row_step,
      .row_count = wanted,
  };
  compute_matured([&](const MaturedKernels& table) { table.row_medians(arguments); });
}

}  // namespace

// None is let through to the checks, whose message names the argument.
void bind_matured(nb::module_& module) {
  module.attr("MATURED_INTERFACE_VERSION") = matured_interface_version;
  module.def("matured_rows", &matured_rows, "scores"_a.none(), "slopes"_a.none(),
             "return_bps"_a.none(), "sigma_bps"_a.none(), "cost_bps"_a.none(), "score_abs_max"_a,
             "sigma_bps_max"_a, "slope_abs_max"_a, "outcome_abs_max"_a, "excess"_a,
             "rows"_a.none());
  module.def("contribution", &contribution, "scores"_a.none(), "alphas_bps"_a.none(),
             "outcomes"_a.none(), "cost_bps"_a.none(), "score_abs_max"_a, "outcome_abs_max"_a,
             "products"_a.none(), "sums"_a.none());
  module.def("row_medians", &row_medians, "history"_a.none(), "used"_a, "first_row"_a,
             "row_step"_a, "medians"_a.none(), "spreads"_a.none(), "counts"_a.none());
}

}  // namespace walstreet
