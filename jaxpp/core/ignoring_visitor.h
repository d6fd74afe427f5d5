// ignoring_visitor.h -- a visitor of parameters that does nothing: a base for those that look at a few kinds of fields.
// A derived class overrides these, and says  using IgnoringVisitor::field  for the rest.
#pragma once
#include "jaxpp/core/params.h"

namespace jaxpp::internal {

struct IgnoringVisitor : FieldVisitor {
  void field(const char*, bool&) override {}
  void field(const char*, std::int64_t&) override {}
  void field(const char*, double&) override {}
  void field(const char*, std::string&) override {}
  void field(const char*, DType&) override {}
  void field(const char*, std::optional<DType>&) override {}
  void field(const char*, std::optional<Number>&) override {}
  void field(const char*, Dims&) override {}
  void field(const char*, std::optional<Dims>&) override {}
  void field(const char*, std::vector<Dims>&) override {}
  void field(const char*, std::vector<std::string>&) override {}
  void field(const char*, std::vector<Type>&) override {}
  void field(const char*, JaxprPtr&) override {}
  void field(const char*, std::vector<JaxprPtr>&) override {}
  void field(const char*, CustomPtr&) override {}
  void field(const char*, Opaque&) override {}
  void enumeration(const char*, int&, std::span<const char* const>) override {}
  void begin(const char*, const char*) override {}
  void end() override {}
};

}  // namespace jaxpp::internal
