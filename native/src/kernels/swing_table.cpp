// Owns the table through which dispatch.cpp reaches this level's rotation kernels.
#include "swing_level.hpp"

namespace walstreet::WALSTREET_LEVEL {

const SwingKernels swing_kernels = {
    .advance = swing_advance,
    .prepare = swing_prepare,
    .run = swing_run,
    .record = swing_record,
    .rebuild = swing_rebuild,
};

}  // namespace walstreet::WALSTREET_LEVEL
