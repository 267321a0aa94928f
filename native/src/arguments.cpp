#include "arguments.hpp"

#include <nanobind/stl/string.h>

#include <string>
#include <type_traits>

#include "kernels/kernels.hpp"

namespace nb = nanobind;

namespace walstreet {

namespace {

// Borrowed for the life of the process: NumPy is never unloaded.
struct NumpyObjects {
  PyObject* array_type = nullptr;
  PyObject* dtypes[3] = {nullptr, nullptr, nullptr};
};
NumpyObjects numpy;

constexpr const char* element_names[3] = {"float64", "int64", "uint8"};

[[noreturn]] void refuse_value(const std::string& message) { throw nb::value_error(message.c_str()); }
[[noreturn]] void refuse_type(const std::string& message) { throw nb::type_error(message.c_str()); }

template <typename Part>
std::string part_text(const Part& part) {
  if constexpr (std::is_integral_v<Part>) {
    return std::to_string(part);
  } else {
    return part;
  }
}

// std::format needs GCC 13; this is all of it that the messages need.
template <typename... Parts>
std::string concatenate(const Parts&... parts) {
  return (part_text(parts) + ...);
}

std::string text(nb::handle object) { return nb::cast<std::string>(nb::str(object)); }

// Python's own shortest representation, so that the reference prints the same value.
std::string number_text(double value) { return text(nb::repr(nb::float_(value))); }

std::string tuple_text(const Py_ssize_t* values, int count) {
  std::string result = "(";
  for (int index = 0; index < count; ++index) {
    result += std::to_string(values[index]);
    result += index + 1 < count ? ", " : "";
  }
  return result + (count == 1 ? ",)" : ")");
}

void require_array_type(nb::handle object, const char* name, Element element) {
  const int index = static_cast<int>(element);
  if (!PyObject_TypeCheck(object.ptr(), reinterpret_cast<PyTypeObject*>(numpy.array_type))) {
    refuse_type(concatenate(name, ": is a ", Py_TYPE(object.ptr())->tp_name, ", must be a numpy.ndarray of ", element_names[index], "; pass numpy.ascontiguousarray(...)"));
  }
  const nb::object dtype = nb::steal(PyObject_GetAttrString(object.ptr(), "dtype"));
  if (dtype.ptr() == numpy.dtypes[index]) {
    return;
  }
  const int same = PyObject_RichCompareBool(dtype.ptr(), numpy.dtypes[index], Py_EQ);
  if (same < 0) {
    throw nb::python_error();
  }
  if (same == 0) {
    refuse_type(concatenate(name, ": dtype is ", text(dtype), ", must be ", element_names[index], "; convert it with numpy.ascontiguousarray(", name, ", dtype=numpy.", element_names[index], ")"));
  }
}

}  // namespace

void prepare_argument_checks() {
  const nb::module_ module = nb::module_::import_("numpy");
  numpy.array_type = module.attr("ndarray").inc_ref().ptr();
  for (int index = 0; index < 3; ++index) {
    numpy.dtypes[index] = module.attr("dtype")(element_names[index]).release().ptr();
  }
}

Array::Array(nb::handle object, const char* name, Element element, Access access,
             int dimension_count)
    : name_(name) {
  require_array_type(object, name, element);
  if (PyObject_GetBuffer(object.ptr(), &buffer_, PyBUF_STRIDES) != 0) {
    throw nb::python_error();
  }
  std::string problem;
  if (buffer_.ndim != dimension_count) {
    problem = concatenate(name, ": shape is ", shape_text(), ", must have ", dimension_count, " dimension(s); reshape it");
  } else if (PyBuffer_IsContiguous(&buffer_, 'C') == 0) {
    problem = concatenate(name, ": is not C-contiguous (strides ", tuple_text(buffer_.strides, buffer_.ndim), "); pass numpy.ascontiguousarray(", name, ")");
  } else if (reinterpret_cast<std::uintptr_t>(buffer_.buf) %
                 static_cast<std::uintptr_t>(buffer_.itemsize) !=
             0) {
    problem = concatenate(name, ": is not aligned to ", buffer_.itemsize, " bytes; pass a copy of it");
  } else if (access == Access::write && buffer_.readonly != 0) {
    problem = concatenate(name, ": is read-only and is written in place; pass a writable array");
  }
  if (!problem.empty()) {
    PyBuffer_Release(&buffer_);
    refuse_value(problem);
  }
}

std::string Array::shape_text() const { return tuple_text(buffer_.shape, buffer_.ndim); }

void Array::require_shape(std::initializer_list<std::size_t> expected, const char* because) const {
  Py_ssize_t wanted[3] = {};
  int axis = 0;
  bool same = true;
  for (const std::size_t value : expected) {
    same = same && extent(axis) == value;
    wanted[axis++] = static_cast<Py_ssize_t>(value);
  }
  if (!same) {
    refuse_value(concatenate(name_, ": shape is ", shape_text(), ", must be ", tuple_text(wanted, axis), " to agree with ", because, "; allocate it with that shape"));
  }
}

void Array::require_range(double lowest, double highest, const char* rule) const {
  const double* values = doubles();
  const std::size_t count = extent(0);
  for (std::size_t index = 0; index < count; ++index) {
    if (!(lowest <= values[index] && values[index] <= highest)) {
      refuse_value(concatenate(name_, "[", index, "]: value is ", number_text(values[index]), ", ", rule));
    }
  }
}

void Array::require_integer_range(std::int64_t lowest, std::int64_t highest,
                                  const char* rule) const {
  const std::int64_t* values = integers();
  const std::size_t count = extent(0);
  for (std::size_t index = 0; index < count; ++index) {
    if (values[index] < lowest || highest < values[index]) {
      refuse_value(concatenate(name_, "[", index, "]: value is ", values[index], ", must be from ", lowest, " to ", highest, "; ", rule));
    }
  }
}

void Array::require_strictly_ascending() const {
  const std::int64_t* values = integers();
  for (std::size_t index = 1; index < extent(0); ++index) {
    if (values[index] <= values[index - 1]) {
      refuse_value(concatenate(name_, "[", index, "]: value is ", values[index], " after ", values[index - 1], ", must ascend strictly; sort it and remove duplicates"));
    }
  }
}

void Array::require_extent(int axis, std::size_t lowest, std::size_t highest,
                           const char* what) const {
  if (extent(axis) < lowest || highest < extent(axis)) {
    refuse_value(concatenate(name_, ": has ", extent(axis), " ", what, ", must have from ", lowest, " to ", highest, "; pass another array"));
  }
}

bool Array::shares_memory_with(const Array& other) const {
  const auto begin = reinterpret_cast<std::uintptr_t>(buffer_.buf);
  const auto other_begin = reinterpret_cast<std::uintptr_t>(other.buffer_.buf);
  const auto end = begin + static_cast<std::uintptr_t>(buffer_.len);
  const auto other_end = other_begin + static_cast<std::uintptr_t>(other.buffer_.len);
  return begin < other_end && other_begin < end && buffer_.len > 0 && other.buffer_.len > 0;
}

void require_separate(const Array& written, std::initializer_list<const Array*> others) {
  for (const Array* other : others) {
    if (written.shares_memory_with(*other)) {
      refuse_value(concatenate(written.name(), ": shares memory with ", other->name(), "; pass separate arrays"));
    }
  }
}

}  // namespace walstreet
