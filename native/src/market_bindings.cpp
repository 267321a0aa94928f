// Owns the Python face of covariance, correlation, cross-sectional ranks and order flow.
#include <cfloat>
#include <cstdint>

#include "decision_bindings.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace walstreet {

namespace {

constexpr std::size_t rank_count_max = std::size_t{1} << 24;

void covariance_update(nb::handle values_object, double alpha, nb::handle covariance_object,
                       nb::handle status_object) {
  const Array values = read_row(values_object, "values");
  const Array covariance = write_plane(covariance_object, "covariance");
  const Array status = write_flags(status_object, "status");
  covariance.require_shape({values.extent(0), values.extent(0)}, "values");
  status.require_shape({values.extent(0)}, "values");
  require_separate(covariance, {&values, &status});
  require_separate(status, {&values});
  require_between("alpha", alpha, DBL_MIN, 1.0);
  compute_decision([&](const DecisionKernels& table) {
    table.covariance_update(values.doubles(), alpha, values.extent(0), covariance.doubles(),
                            status.bytes());
  });
}

void shrunk_correlation(nb::handle covariance_object, double shrinkage,
                        nb::handle deviations_object, nb::handle correlation_object) {
  const Array covariance = read_plane(covariance_object, "covariance");
  const Array deviations = write_row(deviations_object, "deviations");
  const Array correlation = write_plane(correlation_object, "correlation");
  const std::size_t count = deviations.extent(0);
  covariance.require_shape({count, count}, "deviations");
  correlation.require_shape({count, count}, "deviations");
  require_separate(correlation, {&covariance, &deviations});
  require_separate(deviations, {&covariance});
  require_between("shrinkage", shrinkage, 0.0, 1.0);
  compute_decision([&](const DecisionKernels& table) {
    table.shrunk_correlation(covariance.doubles(), shrinkage, count, deviations.doubles(),
                             correlation.doubles());
  });
}

std::size_t average_ranks(nb::handle values_object, nb::handle keys_object,
                          nb::handle order_object, nb::handle ranks_object) {
  const Array values = read_row(values_object, "values");
  const Array keys(keys_object, "keys", Element::int64, Access::write, 2);
  const Array order(order_object, "order", Element::int64, Access::write, 2);
  const Array ranks = write_row(ranks_object, "ranks");
  values.require_extent(0, 0, rank_count_max, "values");
  keys.require_shape({2, values.extent(0)}, "values");
  order.require_shape({2, values.extent(0)}, "values");
  ranks.require_shape({values.extent(0)}, "values");
  require_separate(ranks, {&values, &keys, &order});
  require_separate(keys, {&values, &order});
  require_separate(order, {&values});
  return compute_decision([&](const DecisionKernels& table) {
    return table.average_ranks(values.doubles(), values.extent(0),
                               reinterpret_cast<std::uint64_t*>(keys.integers()), order.integers(),
                               ranks.doubles());
  });
}

void order_flow_update(nb::handle bid_object, nb::handle ask_object, nb::handle bid_size_object,
                       nb::handle ask_size_object, nb::handle previous_object,
                       nb::handle imbalance_object, nb::handle status_object) {
  const Array bid = read_row(bid_object, "bid");
  const Array ask = read_row(ask_object, "ask");
  const Array bid_size = read_row(bid_size_object, "bid_size");
  const Array ask_size = read_row(ask_size_object, "ask_size");
  const Array previous = write_plane(previous_object, "previous");
  const Array imbalance = write_row(imbalance_object, "imbalance");
  const Array status = write_flags(status_object, "status");
  for (const Array* row : {&ask, &bid_size, &ask_size, &imbalance, &status}) {
    row->require_shape({bid.extent(0)}, "bid");
  }
  previous.require_shape({4, bid.extent(0)}, "bid");
  require_separate(previous, {&imbalance, &status, &bid, &ask, &bid_size, &ask_size});
  require_separate(imbalance, {&status, &bid, &ask, &bid_size, &ask_size});
  require_separate(status, {&bid, &ask, &bid_size, &ask_size});
  const FlowArguments arguments = {
      .bid = bid.doubles(),
      .ask = ask.doubles(),
      .bid_size = bid_size.doubles(),
      .ask_size = ask_size.doubles(),
      .previous = previous.doubles(),
      .imbalance = imbalance.doubles(),
      .status = status.bytes(),
      .symbol_count = bid.extent(0),
  };
  compute_decision([&](const DecisionKernels& table) { table.order_flow_update(arguments); });
}

}  // namespace

void bind_market(nb::module_& module) {
  module.def("covariance_update", &covariance_update, "values"_a.none(), "alpha"_a,
             "covariance"_a.none(), "status"_a.none());
  module.def("shrunk_correlation", &shrunk_correlation, "covariance"_a.none(), "shrinkage"_a,
             "deviations"_a.none(), "correlation"_a.none());
  module.def("average_ranks", &average_ranks, "values"_a.none(), "keys"_a.none(),
             "order"_a.none(), "ranks"_a.none());
  module.def("order_flow_update", &order_flow_update, "bid"_a.none(), "ask"_a.none(),
             "bid_size"_a.none(), "ask_size"_a.none(), "previous"_a.none(),
             "imbalance"_a.none(), "status"_a.none());
}

}  // namespace walstreet
