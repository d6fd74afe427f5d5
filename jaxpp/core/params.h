// params.h -- parameters of primitives: plain aggregates that list their fields once.
//
//   struct SliceParams {
//     Dims start_indices, limit_indices, strides;
//     JAXPP_PARAMS(SliceParams, start_indices, limit_indices, strides)
//   };
// The list yields printing, parsing, hashing and JSON (all through FieldVisitor) and equality.
// A call passes a view of an aggregate on the stack (no allocation); recording an equation copies it.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>
#include "jaxpp/core/array.h"

namespace jaxpp {

namespace internal {
struct JaxprBody;
struct CustomRule;
}  // namespace internal
using JaxprPtr = std::shared_ptr<const internal::JaxprBody>;
using CustomPtr = std::shared_ptr<const internal::CustomRule>;

/// A static number of any kind, as parameters hold it (gather's fill_value).
namespace internal {
using Number = std::variant<bool, std::int64_t, std::uint64_t, double, std::complex<double>>;
}  // namespace internal

/// Opaque state of a primitive (a host callback): compared by identity, printed by name.
namespace internal {
struct Opaque {
  std::string name;
  std::shared_ptr<const void> value;
  bool operator==(const Opaque&) const = default;
};
}  // namespace internal

/// Sees the fields of a parameter struct, one by one.  One class per use: printer, parser, hash, JSON writer and reader.
class FieldVisitor {
 public:
  virtual ~FieldVisitor() = default;
  virtual void field(const char* name, bool&) = 0;
  virtual void field(const char* name, std::int64_t&) = 0;
  virtual void field(const char* name, double&) = 0;
  virtual void field(const char* name, std::string&) = 0;
  virtual void field(const char* name, DType&) = 0;
  virtual void field(const char* name, std::optional<DType>&) = 0;
  virtual void field(const char* name, std::optional<internal::Number>&) = 0;
  virtual void field(const char* name, Dims&) = 0;
  virtual void field(const char* name, std::optional<Dims>&) = 0;
  virtual void field(const char* name, std::vector<Dims>&) = 0;  // padding_config, perm
  virtual void field(const char* name, std::vector<std::string>&) = 0;
  virtual void field(const char* name, std::vector<internal::Type>&) = 0;
  virtual void field(const char* name, JaxprPtr&) = 0;
  virtual void field(const char* name, std::vector<JaxprPtr>&) = 0;
  virtual void field(const char* name, CustomPtr&) = 0;
  virtual void field(const char* name, internal::Opaque&) = 0;
  /// An enumeration, by the names of its members.
  virtual void enumeration(const char* name, int& value, std::span<const char* const> names) = 0;
  /// A nested struct: its fields come between these two.
  virtual void begin(const char* name, const char* type) = 0;
  virtual void end() = 0;

  template <class E>
  requires std::is_enum_v<E>
  void field(const char* name, E& e) {
    int v = int(e);
    enumeration(name, v, enum_names(E()));
    e = E(v);
  }
  template <class S>
  requires requires(S& s, FieldVisitor& v) { s.visit_fields(v); }
  void field(const char* name, S& s) {
    begin(name, S::type_name());
    s.visit_fields(*this);
    end();
  }
};

#define JAXPP_FIELD_1(f) jaxpp_v.field(#f, f);
#define JAXPP_FIELD_2(f, ...) \
  jaxpp_v.field(#f, f);       \
  JAXPP_FIELD_1(__VA_ARGS__)
#define JAXPP_FIELD_3(f, ...) \
  jaxpp_v.field(#f, f);       \
  JAXPP_FIELD_2(__VA_ARGS__)
#define JAXPP_FIELD_4(f, ...) \
  jaxpp_v.field(#f, f);       \
  JAXPP_FIELD_3(__VA_ARGS__)
#define JAXPP_FIELD_5(f, ...) \
  jaxpp_v.field(#f, f);       \
  JAXPP_FIELD_4(__VA_ARGS__)
#define JAXPP_FIELD_6(f, ...) \
  jaxpp_v.field(#f, f);       \
  JAXPP_FIELD_5(__VA_ARGS__)
#define JAXPP_FIELD_7(f, ...) \
  jaxpp_v.field(#f, f);       \
  JAXPP_FIELD_6(__VA_ARGS__)
#define JAXPP_FIELD_8(f, ...) \
  jaxpp_v.field(#f, f);       \
  JAXPP_FIELD_7(__VA_ARGS__)
#define JAXPP_FIELD_PICK(a1, a2, a3, a4, a5, a6, a7, a8, pick, ...) pick
#define JAXPP_PARAMS(T, ...)                                                                  \
  bool operator==(const T&) const = default;                                                  \
  static const char* type_name() { return #T; }                                               \
  void visit_fields(::jaxpp::FieldVisitor& jaxpp_v) {                                         \
    JAXPP_FIELD_PICK(__VA_ARGS__, JAXPP_FIELD_8, JAXPP_FIELD_7, JAXPP_FIELD_6, JAXPP_FIELD_5, \
                     JAXPP_FIELD_4, JAXPP_FIELD_3, JAXPP_FIELD_2, JAXPP_FIELD_1)              \
    (__VA_ARGS__)                                                                             \
  }

struct ParamsOps {
  std::shared_ptr<void> (*make)();  // default values: what a reader fills in
  std::shared_ptr<const void> (*clone)(const void*);
  bool (*equal)(const void*, const void*);
  void (*visit)(const void*,
                FieldVisitor&);  // a visitor that only reads may be given const parameters
};
template <class P>
inline constexpr ParamsOps params_ops = {
    .make = []() -> std::shared_ptr<void> { return std::make_shared<P>(); },
    .clone = [](const void* p) -> std::shared_ptr<const void> {
      return std::make_shared<P>(*static_cast<const P*>(p));
    },
    .equal = [](const void* a,
                const void* b) { return *static_cast<const P*>(a) == *static_cast<const P*>(b); },
    .visit = [](const void* p,
                FieldVisitor& v) { const_cast<P*>(static_cast<const P*>(p))->visit_fields(v); }};

/// A view of parameters; the callee does not keep it.
namespace internal {
struct Params {
  const void* data = nullptr;
  const ParamsOps* ops = nullptr;
  Params() = default;
  Params(const void* d, const ParamsOps* o) : data(d), ops(o) {}
  template <class P>
  requires requires(P& p, FieldVisitor& v) { p.visit_fields(v); }
  Params(const P& p) : data(&p), ops(&params_ops<P>) {}
  template <class P>
  const P& as() const {
    return *static_cast<const P*>(data);
  }
  bool operator==(const Params& o) const {
    return ops == o.ops && (!ops || data == o.data || ops->equal(data, o.data));
  }
};
}  // namespace internal

}  // namespace jaxpp
