#include "executor/error.h"

#include <cstdarg>
#include <cstdio>

namespace claw {

Error makeError(const char* code, const char* format, ...) {
  char text[512];
  va_list values;
  va_start(values, format);
  std::vsnprintf(text, sizeof text, format, values);
  va_end(values);
  return Error{code, text};
}

}  // namespace claw
