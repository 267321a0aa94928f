// Owns the declaration through which the module adds the kernels of matured outcomes.
#pragma once

#include <nanobind/nanobind.h>

namespace walstreet {

void bind_matured(nanobind::module_& module);

}  // namespace walstreet
