// Owns the Python class Forest: arrays are checked here, then the kernels see only pointers.
#include "forest_bindings.hpp"

#include <nanobind/nanobind.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>

#include "arguments.hpp"
#include "dispatch.hpp"
#include "float_environment.hpp"
#include "kernels/forest_build.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace walstreet {

namespace {

constexpr std::size_t scratch_alignment = 64;

struct Release {
  void operator()(std::uint8_t* bytes) const {
    ::operator delete[](bytes, std::align_val_t{scratch_alignment});
  }
};
using Scratch = std::unique_ptr<std::uint8_t[], Release>;

// Zeroed, because a forest of single leaves compares a byte that nothing has written.
Scratch make_scratch(std::size_t byte_count) {
  auto* bytes = static_cast<std::uint8_t*>(
      ::operator new[](byte_count, std::align_val_t{scratch_alignment}));
  std::fill_n(bytes, byte_count, std::uint8_t{0});
  return Scratch(bytes);
}

class Forest {
 public:
  explicit Forest(const ForestSource& source)
      : compiled_(source), scratch_(make_scratch(compiled_.scratch_bytes())) {}

  void predict(nb::handle rows, nb::handle outputs) { run(rows, outputs, false); }
  void predict_raw(nb::handle rows, nb::handle outputs) { run(rows, outputs, true); }

  std::size_t tree_count() const { return compiled_.tree_count(); }
  std::size_t feature_count() const { return compiled_.view().feature_count; }
  std::size_t class_count() const { return compiled_.view().class_count; }
  std::size_t leaf_count_max() const { return compiled_.leaf_count_max(); }
  const char* path() const { return compiled_.view().has_masks ? "masks" : "walk"; }

 private:
  void run(nb::handle rows_object, nb::handle outputs_object, bool raw) {
    const std::size_t classes = class_count();
    const Array rows(rows_object, "rows", Element::float64, Access::read, 2);
    const Array outputs(outputs_object, "outputs", Element::float64, Access::write,
                        classes == 1 ? 1 : 2);
    rows.require_shape({rows.extent(0), feature_count()}, "the forest's features");
    if (classes == 1) {
      outputs.require_shape({rows.extent(0)}, "rows");
    } else {
      outputs.require_shape({rows.extent(0), classes}, "rows and the forest's classes");
    }
    require_separate(outputs, {&rows});
    ForestArguments arguments{
        .forest = &compiled_.view(),
        .rows = rows.doubles(),
        .row_count = rows.extent(0),
        .outputs = outputs.doubles(),
        .scratch = scratch_.get(),
        .raw = raw,
    };
    const nb::gil_scoped_release unlocked;
    const DefaultFloatEnvironment environment;
    // The scratch belongs to one call at a time; a second thread brings its own.
    if (scratch_is_taken_.test_and_set(std::memory_order_acquire)) {
      const Scratch own = make_scratch(compiled_.scratch_bytes());
      arguments.scratch = own.get();
      kernels().forest_predict(arguments);
    } else {
      kernels().forest_predict(arguments);
      scratch_is_taken_.clear(std::memory_order_release);
    }
  }

  CompiledForest compiled_;
  Scratch scratch_;
  std::atomic_flag scratch_is_taken_ = ATOMIC_FLAG_INIT;
};

std::span<const std::int64_t> integers(const Array& array) {
  return {array.integers(), array.extent(0)};
}

std::span<const double> doubles(const Array& array) { return {array.doubles(), array.extent(0)}; }

void construct(Forest* place, std::int64_t feature_count, std::int64_t class_count,
               std::int64_t transform, double sigmoid, bool averages, nb::handle leaf_counts_object,
               nb::handle features_object, nb::handle thresholds_object,
               nb::handle decisions_object, nb::handle left_object, nb::handle right_object,
               nb::handle sets_object, nb::handle set_bounds_object, nb::handle set_words_object,
               nb::handle leaf_values_object, bool may_mask) {
  constexpr Element whole = Element::int64;
  constexpr Element real = Element::float64;
  const Array leaf_counts(leaf_counts_object, "leaf_counts", whole, Access::read, 1);
  const Array features(features_object, "features", whole, Access::read, 1);
  const Array thresholds(thresholds_object, "thresholds", real, Access::read, 1);
  const Array decisions(decisions_object, "decisions", whole, Access::read, 1);
  const Array left(left_object, "left", whole, Access::read, 1);
  const Array right(right_object, "right", whole, Access::read, 1);
  const Array sets(sets_object, "sets", whole, Access::read, 1);
  const Array set_bounds(set_bounds_object, "set_bounds", whole, Access::read, 1);
  const Array set_words(set_words_object, "set_words", whole, Access::read, 1);
  const Array leaf_values(leaf_values_object, "leaf_values", real, Access::read, 1);
  try {
    new (place) Forest(ForestSource{
        .feature_count = feature_count,
        .class_count = class_count,
        .transform = transform,
        .averages = averages,
        .may_mask = may_mask,
        .sigmoid = sigmoid,
        .leaf_counts = integers(leaf_counts),
        .features = integers(features),
        .thresholds = doubles(thresholds),
        .decisions = integers(decisions),
        .left = integers(left),
        .right = integers(right),
        .sets = integers(sets),
        .set_bounds = integers(set_bounds),
        .set_words = integers(set_words),
        .leaf_values = doubles(leaf_values),
    });
  } catch (const std::invalid_argument& error) {
    throw nb::value_error(error.what());
  }
}

}  // namespace

void bind_forest(nb::module_& module) {
  nb::class_<Forest>(module, "Forest")
      .def("__init__", &construct, nb::kw_only(), "feature_count"_a, "class_count"_a, "transform"_a, "sigmoid"_a, "averages"_a, "leaf_counts"_a.none(), "features"_a.none(), "thresholds"_a.none(), "decisions"_a.none(), "left"_a.none(), "right"_a.none(), "sets"_a.none(), "set_bounds"_a.none(), "set_words"_a.none(), "leaf_values"_a.none(), "may_mask"_a = true)
      .def("predict", &Forest::predict, "rows"_a.none(), "outputs"_a.none())
      .def("predict_raw", &Forest::predict_raw, "rows"_a.none(), "outputs"_a.none())
      .def_prop_ro("tree_count", &Forest::tree_count)
      .def_prop_ro("feature_count", &Forest::feature_count)
      .def_prop_ro("class_count", &Forest::class_count)
      .def_prop_ro("leaf_count_max", &Forest::leaf_count_max)
      .def_prop_ro("path", &Forest::path);
}

}  // namespace walstreet
