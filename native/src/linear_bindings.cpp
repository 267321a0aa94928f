// Owns the Python face of kept factors, their solutions and the sizes that follow from them.
#include <cfloat>
#include <cstdint>
#include <vector>

#include "decision_bindings.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace walstreet {

namespace {

constexpr const char* diagonal_rule = "must be from 1e-150 to 1e+150; repair the specific variances";
constexpr const char* sign_rule = "must be -1, 0 or 1; 0 leaves a name out";
constexpr double diagonal_min = 1e-150;
constexpr double gross_budget_max = 1e6;

// Raises ValueError naming the first element that is too large or unlike its mirror image.
void require_symmetric(const Array& matrix) {
  const double* values = matrix.doubles();
  const std::size_t count = matrix.extent(0);
  for (std::size_t row = 0; row < count; ++row) {
    for (std::size_t column = 0; column <= row; ++column) {
      const double value = values[row * count + column];
      const std::string place = std::string(matrix.name()) + "[" + std::to_string(row) + ", " +
                                std::to_string(column) + "]: value is ";
      if (!(-value_abs_max <= value && value <= value_abs_max)) {
        refuse(place + number_text(value) +
               ", must be finite and at most 1e+150; mask or repair it before the call");
      }
      if (value != values[column * count + row]) {
        refuse(place + number_text(value) + ", but its mirror image is " +
               number_text(values[column * count + row]) + "; pass a symmetric matrix");
      }
    }
  }
}

std::size_t padded(std::size_t count) {
  const std::size_t chunks = (count + logical_lane_count - 1) / logical_lane_count;
  return chunks * logical_lane_count + factor_stride_extra;
}

// Memory of a factor, allocated once.
class FactorStore {
 public:
  explicit FactorStore(std::size_t count)
      : count_(count), upper_(count * padded(count)), lower_(count * padded(count)) {}

  Factor factor() { return {upper_.data(), lower_.data(), count_, padded(count_)}; }
  std::size_t count() const { return count_; }

 private:
  std::size_t count_;
  std::vector<double> upper_;
  std::vector<double> lower_;
};

[[noreturn]] void refuse_pivot(const char* name, std::size_t row) {
  refuse(std::string(name) + ": is not positive definite at row " + std::to_string(row) +
         "; raise the ridge or shrink the matrix");
}

// What both kinds of solver offer: solutions and ridge weights, once a matrix has been taken in.
class Solver {
 public:
  virtual ~Solver() = default;

  void solve(nb::handle values_object, nb::handle solution_object) {
    const Array values = read_row(values_object, "values");
    const Array solution = write_row(solution_object, "solution");
    values.require_shape({symbol_count_}, "the solver");
    solution.require_shape({symbol_count_}, "the solver");
    require_separate(solution, {&values});
    require_ready();
    values.require_range(-value_abs_max, value_abs_max,
                         "must be finite and at most 1e+150; mask or repair it before the call");
    compute_decision([&](const DecisionKernels& table) {
      copy(values.doubles(), work_.data());
      solve_in_place(table);
      copy(work_.data(), solution.doubles());
    });
  }

  void ridge_weights(nb::handle z_object, nb::handle sigma_object, double gross_budget,
                     nb::handle weights_object) {
    const Array z = read_row(z_object, "z");
    const Array sigma = read_row(sigma_object, "sigma_day_bps");
    const Array weights = write_row(weights_object, "weights");
    z.require_shape({symbol_count_}, "the solver");
    sigma.require_shape({symbol_count_}, "the solver");
    weights.require_shape({symbol_count_}, "the solver");
    require_separate(weights, {&z, &sigma});
    require_between("gross_budget", gross_budget, 0.0, gross_budget_max);
    require_ready();
    compute_decision([&](const DecisionKernels& table) {
      table.ridge_right_side(z.doubles(), symbol_count_, work_.data());
      solve_in_place(table);
      table.ridge_weights(z.doubles(), sigma.doubles(), gross_budget, work_.data(), symbol_count_,
                          weights.doubles());
    });
  }

 protected:
  explicit Solver(std::size_t symbol_count)
      : symbol_count_(symbol_count), work_(padded(symbol_count)) {}

  virtual void solve_in_place(const DecisionKernels& table) = 0;

  void require_ready() const {
    if (!ready_) {
      refuse("solver: holds no factor; call factor first, and look at why the last one was refused");
    }
  }

  std::size_t symbol_count_;
  std::vector<double> work_;
  bool ready_ = false;

 private:
  void copy(const double* source, double* target) const {
    for (std::size_t index = 0; index < symbol_count_; ++index) {
      target[index] = source[index];
    }
  }
};

std::size_t checked_count(const char* name, std::int64_t count, std::size_t highest) {
  if (count < 1 || static_cast<std::size_t>(count) > highest) {
    refuse(std::string(name) + ": value is " + std::to_string(count) + ", must be from 1 to " +
           std::to_string(highest) + "; pass another number");
  }
  return static_cast<std::size_t>(count);
}

class CholeskySolver : public Solver {
 public:
  explicit CholeskySolver(std::int64_t symbol_count)
      : Solver(checked_count("symbol_count", symbol_count, factor_count_max)),
        store_(symbol_count_) {}

  void factor(nb::handle matrix_object, double ridge) {
    const Array matrix = read_plane(matrix_object, "matrix");
    matrix.require_shape({symbol_count_, symbol_count_}, "the solver");
    require_between("ridge", ridge, 0.0, value_abs_max);
    require_symmetric(matrix);
    ready_ = false;
    const std::size_t row = compute_decision([&](const DecisionKernels& table) {
      return table.factorise(matrix.doubles(), ridge, store_.factor());
    });
    if (row < symbol_count_) {
      refuse_pivot("matrix", row);
    }
    ready_ = true;
  }

 protected:
  void solve_in_place(const DecisionKernels& table) override {
    table.solve(store_.factor(), work_.data());
  }

 private:
  FactorStore store_;
};

// Keeps copies of diagonal and loadings, so that the factor always belongs to them.
class LowRankSolver : public Solver {
 public:
  LowRankSolver(std::int64_t symbol_count, std::int64_t factor_count)
      : Solver(checked_count("symbol_count", symbol_count, symbol_count_max)),
        store_(checked_count("factor_count", factor_count, low_rank_count_max)),
        diagonal_(symbol_count_),
        loadings_(store_.count() * symbol_count_),
        projection_(padded(store_.count())) {}

  void factor(nb::handle diagonal_object, nb::handle loadings_object) {
    const Array diagonal = read_row(diagonal_object, "diagonal");
    const Array loadings = read_plane(loadings_object, "loadings");
    diagonal.require_shape({symbol_count_}, "the solver");
    loadings.require_shape({store_.count(), symbol_count_}, "the solver");
    diagonal.require_range(diagonal_min, value_abs_max, diagonal_rule);
    const std::size_t count = store_.count() * symbol_count_;
    for (std::size_t index = 0; index < count; ++index) {
      const double value = loadings.doubles()[index];
      if (!(-value_abs_max <= value && value <= value_abs_max)) {
        refuse("loadings[" + std::to_string(index / symbol_count_) + ", " +
               std::to_string(index % symbol_count_) + "]: value is " + number_text(value) +
               ", must be finite and at most 1e+150; mask or repair it before the call");
      }
    }
    diagonal_.assign(diagonal.doubles(), diagonal.doubles() + symbol_count_);
    loadings_.assign(loadings.doubles(), loadings.doubles() + count);
    ready_ = false;
    const std::size_t row = compute_decision(
        [&](const DecisionKernels& table) { return table.prepare_low_rank(low_rank()); });
    if (row < store_.count()) {
      refuse_pivot("loadings", row);
    }
    ready_ = true;
  }

 protected:
  void solve_in_place(const DecisionKernels& table) override {
    table.solve_low_rank(low_rank(), work_.data());
  }

 private:
  static constexpr std::size_t symbol_count_max = std::size_t{1} << 20;

  LowRank low_rank() {
    return {diagonal_.data(),   loadings_.data(), store_.factor(),
            projection_.data(), store_.count(),   symbol_count_};
  }

  FactorStore store_;
  std::vector<double> diagonal_;
  std::vector<double> loadings_;
  std::vector<double> projection_;
};

std::size_t risk_parity(nb::handle covariance_object, nb::handle signs_object, double gross,
                        double tolerance, nb::handle marginal_object, nb::handle weights_object) {
  const Array covariance = read_plane(covariance_object, "covariance");
  const Array signs = read_row(signs_object, "signs");
  const Array marginal = write_row(marginal_object, "marginal");
  const Array weights = write_row(weights_object, "weights");
  const std::size_t count = signs.extent(0);
  signs.require_extent(0, 0, factor_count_max, "names");
  covariance.require_shape({count, count}, "signs");
  marginal.require_shape({count}, "signs");
  weights.require_shape({count}, "signs");
  require_separate(weights, {&covariance, &signs, &marginal});
  require_separate(marginal, {&covariance, &signs});
  require_between("gross", gross, 0.0, gross_budget_max);
  require_between("tolerance", tolerance, 1e-14, 1.0);
  require_symmetric(covariance);
  for (std::size_t row = 0; row < count; ++row) {
    const double sign = signs.doubles()[row];
    if (sign != 0.0 && sign != 1.0 && sign != -1.0) {
      refuse("signs[" + std::to_string(row) + "]: value is " + number_text(sign) + ", " + sign_rule);
    }
    const double variance = covariance.doubles()[row * count + row];
    if (sign != 0.0 && !(variance > 0.0)) {
      refuse("covariance[" + std::to_string(row) + ", " + std::to_string(row) + "]: value is " +
             number_text(variance) + ", must be above 0 for a name with a sign; leave the name out");
    }
  }
  const ParityArguments arguments = {
      .covariance = covariance.doubles(),
      .signs = signs.doubles(),
      .gross = gross,
      .tolerance = tolerance,
      .weights = weights.doubles(),
      .marginal = marginal.doubles(),
      .symbol_count = count,
  };
  return compute_decision(
      [&](const DecisionKernels& table) { return table.risk_parity(arguments); });
}

}  // namespace

void bind_linear(nb::module_& module) {
  nb::class_<CholeskySolver>(module, "CholeskySolver")
      .def(nb::init<std::int64_t>(), "symbol_count"_a)
      .def("factor", &CholeskySolver::factor, "matrix"_a.none(), "ridge"_a)
      .def("solve", &CholeskySolver::solve, "values"_a.none(), "solution"_a.none())
      .def("ridge_weights", &CholeskySolver::ridge_weights, "z"_a.none(),
           "sigma_day_bps"_a.none(), "gross_budget"_a, "weights"_a.none());
  nb::class_<LowRankSolver>(module, "LowRankSolver")
      .def(nb::init<std::int64_t, std::int64_t>(), "symbol_count"_a, "factor_count"_a)
      .def("factor", &LowRankSolver::factor, "diagonal"_a.none(), "loadings"_a.none())
      .def("solve", &LowRankSolver::solve, "values"_a.none(), "solution"_a.none())
      .def("ridge_weights", &LowRankSolver::ridge_weights, "z"_a.none(), "sigma_day_bps"_a.none(),
           "gross_budget"_a, "weights"_a.none());
  module.def("risk_parity", &risk_parity, "covariance"_a.none(), "signs"_a.none(), "gross"_a,
             "tolerance"_a, "marginal"_a.none(), "weights"_a.none());
}

}  // namespace walstreet
