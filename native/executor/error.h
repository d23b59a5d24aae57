// What went wrong, for the TypeScript side: a code of src/base/errors.ts and a sentence. No exceptions.
#pragma once

#include <cstdint>
#include <string>

namespace claw {

struct Error {
  const char* code = nullptr;  // null: nothing went wrong
  std::string message;
  int64_t row = -1;  // E_WEIGHTS: the row of the slice at fault

  explicit operator bool() const { return code != nullptr; }
};

// printf into an Error.
[[gnu::format(printf, 2, 3)]] Error makeError(const char* code, const char* format, ...);

}  // namespace claw
