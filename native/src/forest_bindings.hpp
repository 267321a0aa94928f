// Owns the declaration through which the module adds its class Forest.
#pragma once

#include <nanobind/nanobind.h>

namespace walstreet {

void bind_forest(nanobind::module_& module);

}  // namespace walstreet
