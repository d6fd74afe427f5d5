// special.h -- special functions that the C library lacks, in double precision.
#pragma once

namespace jaxpp::internal::special {

double erf_inv(double x);
double digamma(double x);
double polygamma(double n, double x);
double zeta(double s, double q);

}  // namespace jaxpp::internal::special
