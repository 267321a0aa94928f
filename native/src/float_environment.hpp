// Owns the processor's floating-point mode during a kernel.
//
// A library built with fast-math may have switched a thread to flush subnormals to zero, and any
// code may change the rounding mode. Kernels run in the default mode and restore what they found.
#pragma once

#include <cfenv>

#ifdef WALSTREET_X86
#include <immintrin.h>
#endif

namespace walstreet {

class DefaultFloatEnvironment {
 public:
  DefaultFloatEnvironment(const DefaultFloatEnvironment&) = delete;
  DefaultFloatEnvironment& operator=(const DefaultFloatEnvironment&) = delete;
#ifdef WALSTREET_X86
  DefaultFloatEnvironment() : saved_(_mm_getcsr()) { _mm_setcsr(default_control); }
  ~DefaultFloatEnvironment() { _mm_setcsr(saved_); }

 private:
  // All exceptions masked, round to nearest, no flush to zero, subnormal operands kept.
  static constexpr unsigned default_control = 0x1f80;
  unsigned saved_;
#else
  DefaultFloatEnvironment() {
    std::fegetenv(&saved_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~DefaultFloatEnvironment() { std::fesetenv(&saved_); }

 private:
  std::fenv_t saved_;
#endif
};

}  // namespace walstreet
