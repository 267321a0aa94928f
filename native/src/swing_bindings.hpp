// Owns the declaration through which the module adds the rotation's engine.
#pragma once

#include <nanobind/nanobind.h>

namespace walstreet {

void bind_swing(nanobind::module_& module);

}  // namespace walstreet
