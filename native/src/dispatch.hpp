// Owns the choice of the instruction-set level whose kernels run.
#pragma once

#include <string>
#include <vector>

#include "kernels/kernels.hpp"

namespace walstreet {

// Levels this processor and operating system offer, in ascending order; baseline is always first.
std::vector<std::string> available_levels();

// Levels compiled into this build, in ascending order.
std::vector<std::string> compiled_levels();

std::string active_level();

// Returns false, changing nothing, when the level is unknown or not available here.
bool set_level(const std::string& name);

const KernelTable& kernels();

}  // namespace walstreet
