// values.h -- results beside the values they should have.
#pragma once
#include <catch2/catch.hpp>
#include "jaxpp/math.h"

/// The same type, and elements within 1e-12; NaN equals NaN.
inline void check(const jaxpp::Array& got, const jaxpp::Array& want) {
  INFO("got  " << got.type()->str() << "\n"
               << got << "\nwant " << want.type()->str() << "\n"
               << want);
  CHECK(got.type() == want.type());
  if (got.shape() == want.shape()) CHECK(allclose(got, want, 1e-12, 1e-12, true));
}
