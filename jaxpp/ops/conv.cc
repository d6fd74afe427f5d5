// conv.cc -- conv_general_dilated: cross-correlation over any number of spatial dimensions.
//
//   result[n, o, p] = sum over i, k of lhs[n, i, p stride + k rhs_dilation - low] rhs[o, i, k]
//
// where lhs is first dilated (zeros between its elements) and padded (or cropped, where padding is negative).  Feature
// groups: input features are cut into groups, of which each meets its own output features.  Batch groups: the same with
// the batch of lhs.  Bilinear; each transpose is a convolution again, in which strides and dilations change places, and
// feature groups and batch groups do.  A batch axis joins the batch, the output features or the groups.
#include <algorithm>
#include "jaxpp/ops/rules.h"

namespace jaxpp {
namespace {
using namespace internal;
using std::to_string;

constexpr char kName[] = "conv_general_dilated";

std::int64_t size_of(Type t, const Dims& spec, std::size_t i) {
  return t->shape[std::size_t(spec[i])];
}
std::int64_t dilated(std::int64_t size, std::int64_t dilation) {
  return size == 0 ? 0 : (size - 1) * dilation + 1;
}

// ---- Shape
void check_spec(const Dims& spec, std::size_t rank, const char* what, Type t) {
  check(spec.size() == rank, kName, [&] {
    return std::string(what) + " " + to_string(spec) + " does not name " + to_string(rank) +
           " dimensions, operand " + t->str() + ".";
  });
  check_dims(spec, rank, kName, what, t);
}
void check_positive(const Dims& d, std::size_t n, const char* what) {
  check(d.size() == n && std::all_of(d.begin(), d.end(), [](auto v) { return v >= 1; }), kName,
        [&] {
          return std::string(what) + " must be " + to_string(n) + " positive numbers, got " +
                 to_string(d) + ".";
        });
}
void conv_shape(Types x, Params params, Type* y) {
  const auto& p = params.as<ConvParams>();
  const ConvDims& d = p.dimension_numbers;
  const std::size_t rank = x[0]->shape.size(), spatial = rank - 2;
  check(rank >= 2 && x[1]->shape.size() == rank, kName, [&] {
    return "lhs and rhs need the same rank, of at least 2: " + x[0]->str() + " and " + x[1]->str() +
           ".";
  });
  check(x[0]->dtype == x[1]->dtype && !is_bool(x[0]->dtype), kName, [&] {
    return "needs numbers of one type, got " + x[0]->str() + " and " + x[1]->str() + ".";
  });
  check_spec(d.lhs_spec, rank, "lhs_spec", x[0]);
  check_spec(d.rhs_spec, rank, "rhs_spec", x[1]);
  check_spec(d.out_spec, rank, "out_spec", x[0]);
  check_positive(p.window_strides, spatial, "window_strides");
  check_positive(p.lhs_dilation, spatial, "lhs_dilation");
  check_positive(p.rhs_dilation, spatial, "rhs_dilation");
  check(p.padding.size() == spatial &&
            std::all_of(p.padding.begin(), p.padding.end(),
                        [](const Dims& low_high) { return low_high.size() == 2; }),
        kName, [&] { return "padding must be " + to_string(spatial) + " pairs (low, high)."; });
  const std::int64_t fg = p.feature_group_count, bg = p.batch_group_count,
                     batch = size_of(x[0], d.lhs_spec, 0), in = size_of(x[0], d.lhs_spec, 1),
                     out = size_of(x[1], d.rhs_spec, 0), rhs_in = size_of(x[1], d.rhs_spec, 1);
  check(fg >= 1 && bg >= 1 && (fg == 1 || bg == 1), kName, [&] {
    return "group counts are positive, and one of them is 1; got feature_group_count=" +
           to_string(fg) + " and batch_group_count=" + to_string(bg) + ".";
  });
  check(in % fg == 0 && in / fg == rhs_in, kName, [&] {
    return x[0]->str() + " has " + to_string(in) + " input features, " + x[1]->str() + " expects " +
           to_string(rhs_in) + (fg > 1 ? " in each of " + to_string(fg) + " groups." : ".");
  });
  check(out % fg == 0 && out % bg == 0 && batch % bg == 0, kName, [&] {
    return to_string(std::max(fg, bg)) + " groups do not divide " + to_string(out) +
           " output features" + (bg > 1 ? " and a batch of " + to_string(batch) + "." : ".");
  });
  Shape s(rank, 0);
  s[std::size_t(d.out_spec[0])] = batch / bg;
  s[std::size_t(d.out_spec[1])] = out;
  for (std::size_t i = 0; i < spatial; ++i) {
    const std::int64_t n = dilated(size_of(x[0], d.lhs_spec, i + 2), p.lhs_dilation[i]) +
                           p.padding[i][0] + p.padding[i][1],
                       window = dilated(size_of(x[1], d.rhs_spec, i + 2), p.rhs_dilation[i]);
    check(n >= 0, kName, [&] {
      return "padding " + to_string(p.padding[i]) + " takes more than spatial dimension " +
             to_string(i) + " of " + x[0]->str() + " has.";
    });
    s[std::size_t(d.out_spec[i + 2])] = n < window ? 0 : (n - window) / p.window_strides[i] + 1;
  }
  *y = make_type(p.preferred_element_type.value_or(x[0]->dtype), s);
}

// ---- Dimensions that join and part
// Dimension `from` becomes the outer part of dimension `to` (counted without `from`).
Array join(const Array& x, std::int64_t from, std::int64_t to) {
  const Array moved = lax::move_axis(x, from, to);
  Shape s = moved.shape();
  s[std::size_t(to + 1)] *= s[std::size_t(to)];
  s.erase(std::size_t(to));
  return lax::reshape(moved, s);
}
// Dimension `axis` becomes two, the outer one of size n.
Array part(const Array& x, std::int64_t axis, std::int64_t n) {
  Shape s = x.shape();
  s[std::size_t(axis)] = n ? s[std::size_t(axis)] / n : 0;
  s.insert(std::size_t(axis), n);
  return lax::reshape(x, s);
}
Dims swapped(Dims spec) {  // batch and feature change places
  std::swap(spec[0], spec[1]);
  return spec;
}
Array bind(const Array& lhs, const Array& rhs, const ConvParams& p) {
  return conv_general_dilated_p.apply(p, Loc::current(), lhs, rhs);
}

// ---- Derivatives
void conv_jvp(JvpRule& r) {
  r.prim.bind(r.x, r.params, r.y, Loc::current());
  if (!has_tangent(r.y->type())) return;
  for (std::size_t i : {0, 1})
    if (r.dx[i].defined())
      *r.dy = add_tangents(*r.dy, r.prim.apply(r.params, Loc::current(), i ? r.x[0] : r.dx[0],
                                               i ? r.dx[1] : r.x[1]));
}
Array cotangent_of_lhs(const Array& ct, Array rhs, Type lhs, const ConvParams& p) {
  const ConvDims& d = p.dimension_numbers;
  ConvParams q = p;
  if (const std::int64_t groups = std::max(p.feature_group_count, p.batch_group_count);
      groups > 1) {
    rhs = join(part(rhs, d.rhs_spec[0], groups), d.rhs_spec[0], d.rhs_spec[1]);
    q.feature_group_count = groups;
  }
  q.batch_group_count = 1;
  q.dimension_numbers = {d.out_spec, swapped(d.rhs_spec), d.lhs_spec};
  q.window_strides = p.lhs_dilation;
  q.lhs_dilation = p.window_strides;
  Dims flipped;
  for (std::size_t i = 0; i < q.padding.size(); ++i) {
    flipped.push_back(d.rhs_spec[i + 2]);
    const std::int64_t window =
                           dilated(rhs.shape()[std::size_t(d.rhs_spec[i + 2])], p.rhs_dilation[i]),
                       in = dilated(size_of(lhs, d.lhs_spec, i + 2), p.lhs_dilation[i]),
                       out =
                           dilated(ct.shape()[std::size_t(d.out_spec[i + 2])], p.window_strides[i]),
                       low = window - p.padding[i][0] - 1;
    q.padding[i] = {low, in + window - 1 - out - low};
  }
  Array y = bind(ct, lax::rev(rhs, flipped), q);
  if (p.batch_group_count > 1)
    y = join(part(y, d.lhs_spec[1], p.batch_group_count), d.lhs_spec[1], d.lhs_spec[0]);
  return y;
}
Array cotangent_of_rhs(const Array& ct, const Array& lhs, Type rhs, const ConvParams& p) {
  const ConvDims& d = p.dimension_numbers;
  ConvParams q = p;
  q.feature_group_count = p.batch_group_count;
  q.batch_group_count = p.feature_group_count;
  q.dimension_numbers = {swapped(d.lhs_spec), swapped(d.out_spec), swapped(d.rhs_spec)};
  q.window_strides = p.rhs_dilation;
  q.rhs_dilation = p.window_strides;
  for (std::size_t i = 0; i < q.padding.size(); ++i) {
    const std::int64_t window = dilated(size_of(rhs, d.rhs_spec, i + 2), p.rhs_dilation[i]),
                       in = dilated(lhs.shape()[std::size_t(d.lhs_spec[i + 2])], p.lhs_dilation[i]),
                       out =
                           dilated(ct.shape()[std::size_t(d.out_spec[i + 2])], p.window_strides[i]);
    q.padding[i][1] = out + window - in - 1 - p.padding[i][0];
  }
  return bind(lhs, ct, q);
}
void conv_transpose(TransposeRule& r) {
  ConvParams p = r.params.as<ConvParams>();
  check(!(r.linear(0) && r.linear(1)), kName,
        [] { return "is linear in one operand only while the other is known."; });
  p.preferred_element_type.reset();
  const std::size_t i = r.linear(0) ? 0 : 1;
  if (!r.wanted(i)) return;
  const DType wide = r.ct[0].dtype();
  const Array other = lax::convert_element_type(r.x[1 - i], wide);
  const Type t = r.x_types[i];
  if (r.ct[0].size() == 0) return;  // no cotangent: a convolution with it may have no shape
  const Array ct =
      i == 0 ? cotangent_of_lhs(r.ct[0], other, t, p) : cotangent_of_rhs(r.ct[0], other, t, p);
  r.add(i, lax::convert_element_type(ct, t->dtype));
}

// ---- Batching
void conv_batch(BatchRule& r) {
  ConvParams p = r.params.as<ConvParams>();
  const ConvDims& d = p.dimension_numbers;
  const std::int64_t a = r.axis[0], b = r.axis[1], n = r.size,
                     groups = std::max(p.feature_group_count, p.batch_group_count),
                     batch = d.lhs_spec[0], out = d.rhs_spec[0];
  // A batch axis goes between the groups and the rest of dimension `dim` (counted without the axis).
  auto join_inside_groups = [&](const Array& x, std::int64_t axis, std::int64_t dim) {
    const Array front = lax::move_axis(x, axis, 0);
    return join(join(part(front, dim + 1, groups), 0, dim + 1), dim, dim);
  };
  if (n == 0) {  // no groups are no convolution; no lanes need none
    Type of_lane[2], y;
    for (std::size_t i : {0, 1}) {
      Shape s = r.x[i].shape();
      if (r.axis[i] >= 0) s.erase(std::size_t(r.axis[i]));
      of_lane[i] = make_type(r.x[i].dtype(), s);
    }
    conv_shape(of_lane, r.params, &y);
    Shape s = y->shape;
    s.insert(0, 0);
    *r.y = lax::full(make_type(y->dtype, s), 0);
    *r.y_axis = 0;
  } else if (a >= 0 && b >= 0) {
    const bool of_batch = p.batch_group_count > 1;
    (of_batch ? p.batch_group_count : p.feature_group_count) *= n;
    *r.y = part(bind(join(r.x[0], a, of_batch ? batch : d.lhs_spec[1]), join(r.x[1], b, out), p),
                d.out_spec[1], n);
    *r.y_axis = int(d.out_spec[1]);
  } else if (a >= 0) {
    const Array lhs =
        p.batch_group_count > 1 ? join_inside_groups(r.x[0], a, batch) : join(r.x[0], a, batch);
    *r.y = part(bind(lhs, r.x[1], p), d.out_spec[0], n);
    *r.y_axis = int(d.out_spec[0]);
  } else {
    const std::int64_t feature = d.out_spec[1];
    if (groups == 1) {
      *r.y = part(bind(r.x[0], join(r.x[1], b, out), p), feature, n);
    } else {
      const Array y = part(bind(r.x[0], join_inside_groups(r.x[1], b, out), p), feature, groups);
      *r.y = join(part(y, feature + 1, n), feature, feature + 1);
    }
    *r.y_axis = int(feature);
  }
}

// ---- Usual values
Dims ones_unless(const Dims& given, std::size_t n) { return given.empty() ? Dims(n, 1) : given; }
ConvParams completed(ConvParams p, std::size_t rank) {
  const std::size_t spatial = rank < 2 ? 0 : rank - 2;
  for (Dims* spec : {&p.dimension_numbers.lhs_spec, &p.dimension_numbers.rhs_spec,
                     &p.dimension_numbers.out_spec})
    if (spec->empty()) *spec = iota_dims(rank);
  for (Dims* d : {&p.window_strides, &p.lhs_dilation, &p.rhs_dilation})
    *d = ones_unless(*d, spatial);
  if (p.padding.empty()) p.padding.assign(spatial, Dims{0, 0});
  return p;
}
[[noreturn]] void conv_error(const std::string& what, Loc loc, const char* remedy = "") {
  internal::fail<TypeError>("conv: " + what, loc, "E110", remedy);
}
Dims spec_of(std::string_view letters, std::string_view spatial, const char* first_two, Loc loc) {
  const std::string order = first_two + std::string(spatial);
  Dims spec;
  for (char c : order) {
    const auto at = letters.find(c);
    if (at == letters.npos || letters.size() != order.size())
      conv_error("the dimensions \"" + std::string(letters) + "\" must be the letters \"" + order +
                     "\" in some order.",
                 loc);
    spec.push_back(std::int64_t(at));
  }
  return spec;
}
}  // namespace

const Primitive conv_general_dilated_p = {.name = kName,
                                          .operands = {2, 2},
                                          .shape = conv_shape,
                                          .jvp = conv_jvp,
                                          .transpose = conv_transpose,
                                          .batch = conv_batch,
                                          .params = &params_ops<ConvParams>};

ConvDims lax::conv_dimension_numbers(std::string_view lhs, std::string_view rhs,
                                     std::string_view out, Loc loc) {
  std::string spatial;
  for (char c : rhs)
    if (c != 'O' && c != 'I') spatial += c;
  return {spec_of(lhs, spatial, "NC", loc), spec_of(rhs, spatial, "OI", loc),
          spec_of(out, spatial, "NC", loc)};
}
Array lax::conv_general_dilated(const Array& lhs, const Array& rhs, const ConvParams& p, Loc loc) {
  return conv_general_dilated_p.apply(completed(p, rank_of(lhs)), loc, lhs, rhs);
}
std::vector<Dims> lax::conv_padding(std::string_view mode, const Dims& lhs_sizes,
                                    const Dims& window_sizes, const Dims& window_strides, Loc loc) {
  const Dims strides = ones_unless(window_strides, lhs_sizes.size());
  if (mode != "SAME" && mode != "VALID")
    conv_error("no padding \"" + std::string(mode) + "\".", loc, "It is \"SAME\" or \"VALID\".");
  if (window_sizes.size() != lhs_sizes.size() || strides.size() != lhs_sizes.size())
    conv_error("sizes " + to_string(lhs_sizes) + ", windows " + to_string(window_sizes) +
                   " and strides " + to_string(strides) + " differ in number.",
               loc);
  std::vector<Dims> padding(lhs_sizes.size(), Dims{0, 0});
  if (mode == "SAME")
    for (std::size_t i = 0; i < padding.size(); ++i) {
      const std::int64_t results = (lhs_sizes[i] + strides[i] - 1) / strides[i],
                         total = std::max<std::int64_t>(
                             (results - 1) * strides[i] + window_sizes[i] - lhs_sizes[i], 0);
      padding[i] = {total / 2, total - total / 2};
    }
  return padding;
}
Array lax::conv(const Array& lhs, const Array& rhs, const Dims& window_strides,
                std::string_view padding, std::optional<DType> preferred_element_type, Loc loc) {
  ConvParams p;
  if (rank_of(lhs) >= 2 && rank_of(rhs) == rank_of(lhs))
    p.padding = conv_padding(padding, Dims(lhs.shape().begin() + 2, lhs.shape().end()),
                             Dims(rhs.shape().begin() + 2, rhs.shape().end()), window_strides, loc);
  p.window_strides = window_strides;
  p.preferred_element_type = preferred_element_type;
  return conv_general_dilated(lhs, rhs, p, loc);
}
Array lax::conv_with_general_padding(const Array& lhs, const Array& rhs, const Dims& window_strides,
                                     const std::vector<Dims>& padding, const Dims& lhs_dilation,
                                     const Dims& rhs_dilation, Loc loc) {
  ConvParams p;
  p.padding = padding;
  p.window_strides = window_strides;
  p.lhs_dilation = lhs_dilation;
  p.rhs_dilation = rhs_dilation;
  return conv_general_dilated(lhs, rhs, p, loc);
}
Array lax::conv_transpose(const Array& lhs, const Array& rhs, const Dims& strides,
                          std::string_view padding, const Dims& rhs_dilation,
                          const ConvDims& dimension_numbers, bool transpose_kernel, Loc loc) {
  const std::size_t rank = rank_of(lhs), spatial = rank < 2 ? 0 : rank - 2;
  if (rank < 2 || rank_of(rhs) != rank || strides.size() != spatial)
    conv_error(
        "conv_transpose needs operands of one rank, of at least 2, and a stride for each "
        "spatial dimension.",
        loc);
  if (padding != "SAME" && padding != "VALID")
    conv_error("no padding \"" + std::string(padding) + "\".", loc, "It is \"SAME\" or \"VALID\".");
  ConvParams p;
  p.dimension_numbers = dimension_numbers;
  if (dimension_numbers.lhs_spec.empty()) {
    Dims& l = p.dimension_numbers.lhs_spec;
    Dims& k = p.dimension_numbers.rhs_spec;
    l = {0, std::int64_t(rank) - 1};
    k = {std::int64_t(rank) - 1, std::int64_t(rank) - 2};
    for (std::size_t i = 0; i < spatial; ++i) {
      l.push_back(std::int64_t(i + 1));
      k.push_back(std::int64_t(i));
    }
    p.dimension_numbers.out_spec = l;
  }
  p = completed(p, rank);
  p.lhs_dilation = strides;
  p.rhs_dilation = ones_unless(rhs_dilation, spatial);
  Dims flipped;
  for (std::size_t i = 0; i < spatial; ++i) {
    const std::int64_t axis = p.dimension_numbers.rhs_spec[i + 2], stride = strides[i],
                       k = dilated(rhs.shape()[std::size_t(axis)], p.rhs_dilation[i]);
    flipped.push_back(axis);
    std::int64_t total, low;
    if (padding == "SAME") {
      total = k + stride - 2;
      low = stride > k - 1 ? k - 1 : (total + 1) / 2;
    } else {
      total = k + stride - 2 + std::max<std::int64_t>(k - stride, 0);
      low = k - 1;
    }
    p.padding[i] = {low, total - low};
  }
  Array kernel = rhs;
  if (transpose_kernel) {
    kernel = rev(kernel, flipped, loc);
    p.dimension_numbers.rhs_spec = swapped(p.dimension_numbers.rhs_spec);
  }
  return conv_general_dilated(lhs, kernel, p, loc);
}

}  // namespace jaxpp
