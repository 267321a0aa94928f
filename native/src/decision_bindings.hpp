// Owns what the bindings of the decision kernels share: readers of arrays, refusals, the call itself.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <cstddef>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "dispatch.hpp"
#include "float_environment.hpp"

namespace walstreet {

[[noreturn]] inline void refuse(const std::string& message) {
  throw nanobind::value_error(message.c_str());
}

inline std::string number_text(double value) {
  return nanobind::cast<std::string>(nanobind::str(nanobind::repr(nanobind::float_(value))));
}

// Runs a kernel without the interpreter lock, in the default floating-point mode.
template <typename Work>
auto compute_decision(const Work& work) {
  const nanobind::gil_scoped_release unlocked;
  const DefaultFloatEnvironment environment;
  return work(*kernels().decision);
}

inline void require_between(const char* name, double value, double lowest, double highest) {
  if (!(lowest <= value && value <= highest)) {
    refuse(std::string(name) + ": value is " + number_text(value) + ", must be from " +
           number_text(lowest) + " to " + number_text(highest) + "; pass another number");
  }
}

inline Array read_row(nanobind::handle object, const char* name) {
  return Array(object, name, Element::float64, Access::read, 1);
}

inline Array write_row(nanobind::handle object, const char* name) {
  return Array(object, name, Element::float64, Access::write, 1);
}

inline Array read_plane(nanobind::handle object, const char* name) {
  return Array(object, name, Element::float64, Access::read, 2);
}

inline Array write_plane(nanobind::handle object, const char* name) {
  return Array(object, name, Element::float64, Access::write, 2);
}

inline Array write_flags(nanobind::handle object, const char* name) {
  return Array(object, name, Element::uint8, Access::write, 1);
}

inline void require_all_separate(const std::vector<const Array*>& outputs,
                                 const std::vector<const Array*>& inputs) {
  for (std::size_t index = 0; index < outputs.size(); ++index) {
    for (std::size_t other = index + 1; other < outputs.size(); ++other) {
      require_separate(*outputs[index], {outputs[other]});
    }
    for (const Array* input : inputs) {
      require_separate(*outputs[index], {input});
    }
  }
}

void bind_decision(nanobind::module_& module);
void bind_linear(nanobind::module_& module);
void bind_market(nanobind::module_& module);

}  // namespace walstreet
