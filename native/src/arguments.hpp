// Owns the checks of every array and number that crosses from Python into a kernel.
//
// The NumPy reference refuses the same inputs with the same words
// (walstreet/kernels/_checks.py); a contract test compares them.
#pragma once

#include <nanobind/nanobind.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace walstreet {

enum class Element { float64, int64, uint8 };
enum class Access { read, write };

// A checked view of a NumPy array; the array cannot be resized while the view lives.
class Array {
 public:
  Array(nanobind::handle object, const char* name, Element element, Access access,
        int dimension_count);
  ~Array() { PyBuffer_Release(&buffer_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  std::size_t extent(int axis) const { return static_cast<std::size_t>(buffer_.shape[axis]); }
  double* doubles() const { return static_cast<double*>(buffer_.buf); }
  std::int64_t* integers() const { return static_cast<std::int64_t*>(buffer_.buf); }
  std::uint8_t* bytes() const { return static_cast<std::uint8_t*>(buffer_.buf); }
  const char* name() const { return name_; }

  // Raises ValueError unless the shape is the expected one; because names the array it follows from.
  void require_shape(std::initializer_list<std::size_t> expected, const char* because) const;
  // Raises ValueError naming the first element outside [lowest, highest] (NaN is outside).
  void require_range(double lowest, double highest, const char* rule) const;
  void require_integer_range(std::int64_t lowest, std::int64_t highest, const char* rule) const;
  void require_strictly_ascending() const;
  // Raises ValueError unless lowest <= extent(axis) <= highest.
  void require_extent(int axis, std::size_t lowest, std::size_t highest, const char* what) const;

  bool shares_memory_with(const Array& other) const;

 private:
  std::string shape_text() const;

  Py_buffer buffer_{};
  const char* name_;
};

// Raises ValueError when a written array shares memory with any other of the call.
void require_separate(const Array& written, std::initializer_list<const Array*> others);

// Loads the NumPy objects that the checks compare with; called once when the module is imported.
void prepare_argument_checks();

}  // namespace walstreet
