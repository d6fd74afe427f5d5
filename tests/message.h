// message.h -- what a call that must fail says.
#pragma once
#include <string>
#include "jaxpp/core/error.h"

/// The text of the Error that f throws.
template <class F>
std::string message(F f) {
  try {
    f();
  } catch (const jaxpp::Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}
