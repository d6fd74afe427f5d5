// environment.h -- variables of the environment, in tests.
#pragma once
#include <cstdlib>
#include <string>

namespace jaxpp::testing {

/// Sets a variable of the environment, or takes it away (nullptr), for the length of a scope.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* v = std::getenv(name)) was_ = true, old_ = v;
    value ? ::setenv(name, value, 1) : ::unsetenv(name);
  }
  Variable(const Variable&) = delete;
  ~Variable() { was_ ? ::setenv(name_.c_str(), old_.c_str(), 1) : ::unsetenv(name_.c_str()); }

 private:
  std::string name_, old_;
  bool was_ = false;
};

}  // namespace jaxpp::testing
