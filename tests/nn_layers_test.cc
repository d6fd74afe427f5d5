// nn_layers_test.cc -- layers, attention, cells and losses against JAX 0.10.2 and PyTorch 2.15, on arrays
// wave(shape, a, b)[i] = sin(a i + b); numbers are the sum, the sum weighted by cos(i), and the first elements.
#include <catch2/catch.hpp>
#include <cmath>
#include "jaxpp/jaxpp.h"
#include "message.h"

using namespace jaxpp;
using Catch::Matchers::Contains;

namespace {

Array wave(const Shape& shape, double a, double b, DType d = f64) {
  std::int64_t n = 1;
  for (auto k : shape) n *= k;
  return reshape(sin(a * arange(Array(n), f64) + b), shape).astype(d);
}
void matches(const Array& x0, double total, double weighted, std::vector<double> first,
             double tolerance = 1e-11) {
  const Array x = ravel(x0.astype(f64));
  INFO(x0.type()->str() << " " << x);
  CHECK(double(sum(x)) == Approx(total).margin(tolerance * 100));
  CHECK(double(sum(x * cos(arange(x.size(), f64)))) == Approx(weighted).margin(tolerance * 100));
  for (std::size_t i = 0; i < first.size(); ++i)
    CHECK(double(x(std::int64_t(i))) == Approx(first[i]).margin(tolerance).epsilon(tolerance));
}
constexpr double kSingle = 2e-6;

struct Qkv {
  Array q, k, v;
};
Qkv qkv(DType d) {
  return {wave({2, 5, 4, 3}, .7, .1, d), wave({2, 6, 2, 3}, .3, .2, d),
          wave({2, 6, 2, 3}, .9, .4, d)};
}
Array some_mask() {
  return (wave({2, 1, 5, 6}, 1.3, .2) > -.3).at(0, 0, 2).set(false);  // one query sees nothing
}

}  // namespace

TEST_CASE("dot_product_attention against JAX", "[nn]") {
  const auto [q, k, v] = qkv(f32);
  const Array bias = wave({1, 4, 5, 6}, .5, .3, f32), mask = some_mask();
  const Array ql = {3, 5}, kl = {6, 2};
  const auto attend = [&, q = q, k = k, v = v](const nn::AttentionOptions& o) {
    return nn::dot_product_attention(q, k, v, o);
  };
  matches(attend({}), 1.6563487993062154, 0.31314364664758587,
          {-0.06855490803718567, -0.06993869692087173}, kSingle);
  matches(attend({.bias = bias}), 3.5201588403433561, -0.47266439817399286,
          {-0.16288398206233978, -0.191201314330101}, kSingle);
  matches(attend({.mask = mask}), 0.020385203417390585, -2.414210553284728,
          {0.009919610805809498, 0.4769725501537323}, kSingle);
  matches(attend({.mask = mask})(0, 2), 0.15487308008596301, -0.004708935485845697,
          {-0.17907476425170898, -0.14522115886211395}, kSingle);
  matches(attend({.scale = .25}), 2.3514352547354065, 0.17667927891031182, {-0.11760549992322922},
          kSingle);
  matches(attend({.is_causal = true}), 8.2598390216007829, -0.5173675343069275,
          {0.3894183337688446, 0.9635581970214844}, kSingle);
  matches(attend({.query_seq_lengths = ql, .key_value_seq_lengths = kl}), -0.66675489209592342,
          -0.85815701717849691, {-0.06855490803718567}, kSingle);
  matches(attend({.local_window_size = {{1, 2}}}), 3.0454042936034966, -1.2576266960363069,
          {-0.13363662362098694, 0.5722668170928955}, kSingle);
  matches(nn::dot_product_attention(q(0), k(0), v(0)), -0.57610388635657728, 0.03702046814606854,
          {-0.06855490803718567}, kSingle);
  const nn::AttentionOptions everything{.bias = bias,
                                        .mask = mask,
                                        .scale = .5,
                                        .is_causal = true,
                                        .query_seq_lengths = ql,
                                        .key_value_seq_lengths = kl,
                                        .local_window_size = {{2, 2}}};
  matches(attend(everything), 1.5517021245323122, -0.40721111004997734, {0.3894183337688446},
          kSingle);
  const auto compiled = jit(
      [&](Array a, Array b, Array c) { return nn::dot_product_attention(a, b, c, everything); });
  matches(compiled(q, k, v), 1.5517021245323122, -0.40721111004997734, {0.3894183337688446},
          kSingle);
  SECTION("gradients") {
    auto f = [&](Array a, Array b, Array c) {
      return sum(sin(nn::dot_product_attention(a, b, c, {.mask = mask, .is_causal = true})));
    };
    const auto [dq, dk, dv] = grad<0, 1, 2>(f)(q, k, v);
    matches(dq, 2.230346318334341, -0.44004799642577253, {0, 0, 0}, 1e-5);
    matches(dk, 0, 0.5600348827309154, {-0.025373846292495728, -0.25720417499542236}, 1e-5);
    matches(dv, 99.947908520698547, 1.109450254244674, {3.5647151470184326, 2.664005756378174},
            1e-5);
  }
  SECTION("halves") {
    const auto h = qkv(bf16);
    const Array y = nn::dot_product_attention(h.q, h.k, h.v, {.is_causal = true});
    CHECK(y.dtype() == bf16);
    matches(y, 8.27117919921875, -0.52024900165419774, {0.388671875, 0.96484375, 0.80859375}, 1e-2);
  }
  SECTION("in f64: finite differences, lanes, compiled") {
    const auto d = qkv(f64);
    auto f = [&](Array a, Array b, Array c) {
      return nn::dot_product_attention(a, b, c, {.mask = mask, .is_causal = true});
    };
    check_grads(f, std::tuple(d.q, d.k, d.v));
    CHECK(allclose(jit(f)(d.q, d.k, d.v), f(d.q, d.k, d.v), 1e-13, 1e-13));
    auto one = [](Array a, Array b, Array c) {
      return nn::dot_product_attention(a, b, c, {.is_causal = true});
    };
    CHECK(allclose(vmap(one)(d.q, d.k, d.v), one(d.q, d.k, d.v), 1e-13, 1e-13));
  }
  SECTION("a mask that hides all, and nothing to attend to") {
    const auto f = [&](Array a) {
      return sum(nn::dot_product_attention(a, k, v, {.mask = zeros({1, 1, 1, 6}, b1)}));
    };
    CHECK(!bool(any(isnan(grad(f)(q)))));
    CHECK(nn::dot_product_attention(q(Slice(0, 0)), k(Slice(0, 0)), v(Slice(0, 0))).shape() ==
          Shape{0, 5, 4, 3});
  }
  SECTION("errors") {
    CHECK_THAT(message([&] { nn::dot_product_attention(q, k, v.astype(f64)); }),
               Contains("floats of one type") && Contains("[E123]"));
    CHECK_THAT(message([&] { nn::dot_product_attention(q, k, q); }), Contains("do not fit"));
    CHECK_THAT(message([&] { attend({.mask = bias}); }), Contains("not bool"));
    CHECK_THAT(message([&] {
                 attend({.query_seq_lengths = Array{1, 2, 3}});
               }),
               Contains("query_seq_lengths"));
  }
}

TEST_CASE("multi_head_attention", "[nn]") {
  auto layer = nn::multi_head_attention(random::key(0), 8, 4,
                                        {.num_kv_heads = 2, .memory_features = 6, .dtype = f64});
  const Array x = wave({2, 5, 8}, .7, .1), memory = wave({2, 3, 6}, .3, .1);
  const Array y = layer(x, memory);
  CHECK(y.shape() == Shape{2, 5, 8});
  auto heads = [](const Array& a, std::int64_t n) {
    return a.reshape({a.shape()[0], a.shape()[1], n, 2});
  };
  const Array q = heads(matmul(x, layer.query.kernel), 4),
              k = heads(matmul(memory, layer.key.kernel), 2),
              v = heads(matmul(memory, layer.value.kernel), 2);
  const Array logits = einsum("btnh,bsnh->bnts", q, repeat(k, 2, 2)) / std::sqrt(2.);
  const Array mixed = einsum("bnts,bsnh->btnh", nn::softmax(logits), repeat(v, 2, 2));
  CHECK(allclose(y, matmul(mixed.reshape({2, 5, 8}), layer.out.kernel), 1e-12, 1e-12));
  auto loss = [&](nn::MultiHeadAttention m) {
    return sum(square(m(x, memory, {.is_causal = true})));
  };
  CHECK(grad(loss)(layer).key.kernel.shape() == Shape{6, 4});
  CHECK(nn::multi_head_attention(random::key(0), 8, 2)(x.astype(f32)).shape() == Shape{2, 5, 8});
  CHECK_THAT(message([] { nn::multi_head_attention(random::key(0), 8, 3); }), Contains("[E123]"));
}

TEST_CASE("normalization against PyTorch", "[nn]") {
  const Array x = wave({2, 3, 4, 6}, .7, .1), s = wave({6}, .5, 1), b = wave({6}, .2, .3);
  matches(nn::layer_norm(x, s, b), 105.78238487892244, -1.66794046982886,
          {-0.22389414669638608, 1.1165589502912046});
  matches(nn::rms_norm(x, s), 4.1915801697210817, -0.55621111083649244,
          {0.1321047639081247, 1.1252497137412882});
  matches(nn::group_norm(x, 3, s, b), 97.341134158705245, -2.3955493873457385,
          {0.422202413225098, 1.5050443735068133});
  matches(nn::instance_norm(x, s, b), 97.374141302624281, -2.3914995976637252,
          {0.422157972673873, 1.5051846011551187});
  matches(nn::LayerNorm{s, b}(x), 105.78238487892244, -1.66794046982886, {-0.22389414669638608});
  matches(nn::GroupNorm{s, b, 3}(x), 97.341134158705245, -2.3955493873457385, {0.422202413225098});
  check_grads([&](Array v) { return nn::group_norm(v, 2, s, b); }, x);
  check_grads([&](Array v) { return nn::rms_norm(v, s); }, x);
  CHECK(nn::layer_norm(x.astype(bf16)).dtype() == bf16);
  CHECK(allclose(nn::layer_norm(4).scale, ones({4})));
  CHECK(allclose(nn::layer_norm(x.astype(f32), {}, {}, {1, 3}),
                 nn::standardize(x.astype(f32), {1, 3}), 1e-5, 1e-5));
  CHECK_THAT(message([&] { nn::group_norm(x, 4); }), Contains("[E122]"));

  SECTION("batch_norm") {
    const nn::BatchNorm layer{s, b};
    auto [y, next] = layer(x, layer.init_state(), true);
    matches(y, 97.374141302624281, -2.4027251515313801, {0.4223708523098441, 1.504293743775406});
    CHECK(double(next.mean(0)) == Approx(0.1 * -0.006194475315111307));
    CHECK(double(next.var(0)) == Approx(0.9 + 0.1 * 0.494680056066054));
    const nn::BatchNormState seen{wave({6}, .4, .2), square(wave({6}, .1, 1.2))};
    auto [z, same] = layer(x, seen, false);
    matches(z, 49.418531818835639, -1.4419239154131098, {0.20628888945851542, 0.6375169230192609});
    CHECK(bool(all(same.mean == seen.mean)));
    check_grads([&](Array v) { return layer(v, seen, true).first; }, x);
    auto step =
        jit([](nn::BatchNorm l, nn::BatchNormState state, Array v) { return l(v, state, true); });
    CHECK(allclose(step(layer, layer.init_state(), x).first, y, 1e-13, 1e-13));
    // the same batch, in two lanes that share their statistics
    auto lanes =
        vmap([&](Array v) { return layer(v, seen, true, "batch"); }, {.axis_name = "batch"});
    CHECK(allclose(lanes(x.reshape({2, 1, 3, 4, 6})).first.reshape(x.shape()), y, 1e-12, 1e-12));
  }
}

TEST_CASE("convolutions and pools", "[nn]") {
  const Array x = wave({2, 3, 4, 6}, .7, .1), k = wave({3, 3, 6, 4}, .3, .2);
  const nn::Conv strided{.kernel = k, .bias = {}, .strides = {2, 2}};
  matches(strided(x), -51.996767873557197, -0.37082490646052874,
          {-2.037130630956455, -2.097720751359868});
  const nn::Conv dilated{.kernel = wave({2, 2, 6, 4}, .3, .2), .bias = {}, .dilation = {1, 2}};
  matches(dilated(x), -0.032182867322337216, -3.9243308326983879, {-2.003152528578395});
  const nn::Conv by_feature{.kernel = wave({3, 3, 1, 12}, .3, .2), .bias = {}, .groups = 6};
  matches(by_feature(x), -10.854476504248815, 1.855254178978595, {-0.11808425820317431});
  const nn::ConvTranspose up{.kernel = k, .bias = {}, .strides = {2, 2}};
  matches(up(x), -12.271541754717774, -0.61992458065477862, {-1.1554220125785757});
  const nn::Conv causal{
      .kernel = wave({3, 3, 2}, .3, .2), .bias = {}, .dilation = {2}, .padding = "CAUSAL"};
  matches(causal(wave({2, 7, 3}, .7, .1)), -2.4031923660329046, -21.960000631097017,
          {-1.7002435640818059});
  matches(nn::max_pool(x, {2, 2}, {1, 1}), 60.70036470266615, 0.88191236226414693,
          {0.7777941618010928});
  matches(nn::avg_pool(x, {2, 2}, {1, 1}), 0.0030697828444495867, 0.63856306674355823,
          {-0.2419155927589755});
  matches(nn::avg_pool(x, {2, 2}, {2, 2}, "SAME", false), -1.0414520462161162, 0.1504411598327684,
          {-0.2419155927589755});
  CHECK(allclose(nn::min_pool(x, {2, 2}), -nn::max_pool(-x, {2, 2})));

  SECTION("any leading axes") {
    CHECK(allclose(strided(x(0)), strided(x)(0), 1e-12, 1e-12));
    CHECK(allclose(strided(x.reshape({1, 2, 3, 4, 6}))(0), strided(x), 1e-12, 1e-12));
    CHECK(nn::max_pool(x(0), {3, 4}).shape() == Shape{1, 1, 6});
    CHECK(strided(zeros({0, 3, 4, 6}, f64)).shape() == Shape{0, 2, 2, 4});
  }
  SECTION("factories") {
    const auto layer =
        nn::conv(random::key(1), 6, 8, {3, 3}, {.strides = {2, 2}, .groups = 2, .dtype = f64});
    CHECK(layer.kernel.shape() == Shape{3, 3, 3, 8});
    CHECK(layer(x).shape() == Shape{2, 2, 2, 8});
    CHECK(nn::depthwise_conv(random::key(1), 6, {3, 3}, 2, {.dtype = f64})(x).shape() ==
          Shape{2, 3, 4, 12});
    CHECK(nn::conv_transpose(random::key(1), 6, 5, {2, 2}, {.strides = {2, 2}, .dtype = f64})(x)
              .shape() == Shape{2, 6, 8, 5});
    auto loss = [&](nn::Conv c) { return sum(square(c(x))); };
    const auto g = jit(grad(loss))(layer);
    CHECK(allclose(g.kernel, grad(loss)(layer).kernel, 1e-11, 1e-11));
    CHECK(g.bias.shape() == Shape{8});
    CHECK_THAT(message([] { nn::conv(random::key(1), 6, 8, {3}, {.groups = 4}); }),
               Contains("[E122]"));
    CHECK_THAT(message([&] {
                 layer(zeros({2, 3, 4, 5}, f64));
               }),
               Contains("should have 6 features"));
  }
}

TEST_CASE("dense, embedding, dropout", "[nn]") {
  const auto layer = nn::dense(random::key(0), 3, 2, {.dtype = f64});
  const Array x = wave({4, 3}, .3, .1);
  CHECK(allclose(layer(x), matmul(x, layer.kernel)));
  CHECK(layer(x(0)).shape() == Shape{2});
  CHECK(!nn::dense(random::key(0), 3, 2, {.bias = false}).bias.defined());
  CHECK_THAT(message([&] { layer(zeros({2, 4}, f64)); }), Contains("dense: x is f64[2,4]"));
  auto loss = [&](nn::Dense d) { return sum(square(d(x))); };
  CHECK(grad(loss)(nn::dense(random::key(0), 3, 2, {false, f64})).kernel.shape() == Shape{3, 2});

  const auto words = nn::embedding(random::key(0), 10, 4);
  const Array ids = {{1, 2, 3}, {9, 0, 1}};
  CHECK(words(ids).shape() == Shape{2, 3, 4});
  CHECK(bool(all(words(ids)(1, 0) == words.table(9))));
  CHECK(words.attend(words(ids)).shape() == Shape{2, 3, 10});
  auto seen = [&](nn::Embedding e) { return sum(e(ids)); };
  CHECK(allclose(sum(grad(seen)(words).table, 1),
                 4 * Array{1.f, 2.f, 1.f, 1.f, 0.f, 0.f, 0.f, 0.f, 0.f, 1.f}));

  const Array big = ones({100, 100}, f64), y = nn::dropout(random::key(1), big, 0.25);
  CHECK(double(mean(y)) == Approx(1).epsilon(0.05));
  CHECK(bool(all(logical_or(y == 0, isclose(y, Array(1 / 0.75))))));
  CHECK(allclose(nn::dropout(random::key(1), big, 0.25, false), big));
  CHECK(allclose(nn::dropout(random::key(1), big, 1), zeros_like(big)));
  const Array rows = nn::dropout(random::key(1), big, 0.5, true, {100, 1});
  CHECK(bool(all(rows == rows(All, Slice(0, 1)))));
  CHECK(allclose(grad([&](Array v) { return sum(nn::dropout(random::key(1), v, 0.25)); })(big), y));
  CHECK_THAT(message([&] { nn::dropout(random::key(1), big, 1.5); }), Contains("no probability"));
}

TEST_CASE("recurrent cells against PyTorch", "[nn]") {
  const Array xs = wave({5, 2, 3}, .7, .1), h = wave({2, 4}, .4, .3), c = wave({2, 4}, .5, .6);
  const auto kernel = [](std::int64_t n) { return wave({3, n}, .3, .1); };
  const auto recurrent = [](std::int64_t n) { return wave({4, n}, .2, .5); };
  const auto bias = [](std::int64_t n) { return wave({n}, .6, .2); };
  const auto bias2 = [](std::int64_t n) { return wave({n}, .8, .3); };
  const nn::RnnCell rnn{kernel(4), recurrent(4), bias(4) + bias2(4)};
  matches(nn::unroll(rnn, h, xs).second, 39.530577967731418, 1.6003636172865245,
          {0.9983925133243294});
  const nn::GruCell gru{kernel(12), recurrent(12), bias(12), bias2(12)};
  matches(nn::unroll(gru, h, xs).second, 11.784759272344878, -0.39061481886212246,
          {0.031899803931336845});
  const nn::LstmCell lstm{kernel(16), recurrent(16), bias(16) + bias2(16)};
  auto [end, ys] = nn::unroll(lstm, nn::LstmState{h, c}, xs);
  matches(ys, 2.9674757855820926, 1.9984198591665774, {-0.052847155893246865, 0.2816922641639313});
  CHECK(bool(all(end.h == ys(-1))));
  auto loss = [&](nn::LstmCell l, Array v) {
    return sum(nn::unroll(l, l.init_state({2}), v).second);
  };
  CHECK(
      allclose(jit(grad(loss))(lstm, xs).recurrent, grad(loss)(lstm, xs).recurrent, 1e-12, 1e-12));
  check_grads([&](Array v) { return nn::unroll(gru, h, v).second; }, xs);
  const auto made = nn::lstm_cell(random::key(0), 3, 4, f64);
  const Array block = made.recurrent(All, Slice(4, 8));
  CHECK(allclose(matmul(transpose(block), block), eye(4, f64), 1e-12, 1e-12));
  CHECK(made(made.init_state(), xs(0, 0)).second.shape() == Shape{4});
  CHECK(nn::gru_cell(random::key(0), 3, 4)(zeros({4}), zeros({3})).second.shape() == Shape{4});
  CHECK(nn::rnn_cell(random::key(0), 3, 4)(zeros({4}), zeros({3})).second.shape() == Shape{4});
}

TEST_CASE("losses against PyTorch", "[nn]") {
  const Array logits = wave({4, 5}, .9, .2) * 3, labels = {0, 3, 2, 4};
  const Array raw = abs(wave({4, 5}, .3, .1)), p = raw / sum(raw, -1, true);
  matches(nn::softmax_cross_entropy_with_integer_labels(logits, labels), 14.613909858891375,
          -4.9133605495898065, {2.9249604783118404, 0.7666742286320346});
  matches(nn::softmax_cross_entropy(logits, p), 12.148420658892478, 1.3412920316055916,
          {2.944722660074412});
  matches(nn::sigmoid_binary_cross_entropy(logits, p), 24.146568482855614, -3.8187856055582547,
          {1.014663358359207});
  matches(nn::huber_loss(logits, p, .7), 21.930663619465502, 2.4652985415785826,
          {0.15794093891986702});
  matches(nn::kl_divergence(nn::log_softmax(logits), p), 6.2247948331895566, 1.1916739920958583,
          {1.5055552527812655});
  matches(nn::cosine_similarity(logits, p), -0.1225721409751816, 0.054549834194906444,
          {0.2623071884321252});
  CHECK(allclose(nn::softmax_cross_entropy_with_integer_labels(transpose(logits), labels, 0),
                 nn::softmax_cross_entropy(logits, nn::one_hot(labels, 5, f64)), 1e-13, 1e-13));
  CHECK(allclose(nn::l2_loss(Array{3.}, Array{1.}), Array{2.}));
  CHECK(allclose(nn::squared_error(Array{3.}, Array{1.}), Array{4.}));
  CHECK(allclose(nn::hinge_loss(Array{3., 0.5}, Array{1., -1.}), Array{0., 1.5}));
  CHECK(allclose(nn::log_cosh(Array{0., 1., 1000.}),
                 Array{0., std::log(std::cosh(1.)), 1000 - std::log(2.)}));
  CHECK(allclose(nn::smooth_labels(Array{0., 1.}, 0.2), Array{0.1, 0.9}));
  CHECK(!bool(any(
      isnan(grad([&](Array v) { return sum(nn::cosine_similarity(v, p)); })(zeros({4, 5}, f64))))));
  CHECK(std::isnan(double(nn::softmax_cross_entropy_with_integer_labels(logits(0), Array(7)))));
  CHECK_THAT(message([&] { nn::softmax_cross_entropy_with_integer_labels(logits, p); }),
             Contains("[E93]"));
  check_grads([&](Array v) { return nn::softmax_cross_entropy_with_integer_labels(v, labels); },
              logits);
  check_grads([&](Array v) { return nn::huber_loss(v, p, .7); }, logits);
}

TEST_CASE("ctc_loss against PyTorch", "[nn]") {
  const Array logits = wave({2, 8, 5}, .9, .2) * 2, labels = {{1, 2, 2}, {3, 1, 4}};
  const Array times = zeros({2, 8}, f64).at(1, Slice(6, 8)).set(1.),
              ends = Array{{0., 0., 0.}, {0., 0., 1.}};
  matches(nn::ctc_loss(logits, times, labels, ends), 16.842381191155187, 13.584437667920433,
          {9.75523769484641, 7.0871434963087765}, 1e-9);
  const auto loss = [&](Array v) { return sum(nn::ctc_loss(v, times, labels, ends)); };
  matches(grad(loss)(logits), 0, -0.94338147471170319, {-0.016674605822297288, -0.5039318476457759},
          1e-9);
  CHECK(allclose(jit(grad(loss))(logits), grad(loss)(logits), 1e-12, 1e-12));
}

TEST_CASE("activations and initializers of JAX", "[nn]") {
  const Array x = {-3., -1., -.5, 0., .5, 1., 3.};
  const Array m = {true, false, true, true, false, false, true};
  const double inf = std::numeric_limits<double>::infinity();
  CHECK(allclose(nn::sparse_plus(x), Array{0., 0., .0625, .25, .5625, 1., 3.}));
  CHECK(allclose(nn::sparse_sigmoid(x), Array{0., 0., .25, .5, .75, 1., 1.}));
  CHECK(allclose(grad([](Array v) { return sum(nn::sparse_plus(v)); })(x), nn::sparse_sigmoid(x)));
  CHECK(allclose(nn::log1mexp(Array{1e-3, .5, .7, 3., 40.}),
                 Array{-6.908255237315471, -0.9327521295671887, -0.6863410028083852,
                       -0.05106918094270159, -4.248354255291589e-18},
                 1e-13, 0));
  CHECK(double(nn::logmeanexp(x)) == Approx(1.3303563565816272));
  CHECK(double(nn::logsumexp(x, Axes::every(), false, m)) == Approx(3.0792391886002397));
  CHECK(allclose(nn::softmax(x, -1, m), Array{0.0022899181862095627, 0., 0.02789691447400305,
                                              0.04599423628019111, 0., 0., 0.9238189310595962}));
  CHECK(allclose(nn::log_softmax(x, -1, m),
                 Array{-6.07923918860024, -inf, -3.5792391886002397, -3.0792391886002397, -inf,
                       -inf, -0.07923918860023958}));
  CHECK(allclose(
      nn::standardize(x, -1, 1e-5, m),
      Array{-1.3482823954027707, -0.4103468159921476, -0.17586292113949184, 0.058620973713163944,
            0.29310486856581974, 0.5275887634184755, 1.4655243428290987}));
  const Array none = zeros({7}, b1);  // a row that is hidden as a whole
  CHECK(allclose(nn::softmax(x, -1, none), zeros({7}, f64)));
  CHECK(bool(all(nn::log_softmax(x, -1, none) == -inf)));
  for (const Array& mask : {m, none}) {
    CHECK(
        !bool(any(isnan(grad([&](Array v) { return sum(square(nn::softmax(v, -1, mask))); })(x)))));
    CHECK(!bool(any(isnan(
        grad([&](Array v) { return sum(where(mask, nn::log_softmax(v, -1, mask), 0)); })(x)))));
  }

  namespace init = nn::initializers;
  CHECK(allclose(init::orthogonal(random::key(0), {3, 2}, 1, f64),
                 Array{{-0.1125125971706582, -0.8888259268561864},
                       {0.9926666558433308, -0.08065642806203743},
                       {0.04420210237908645, -0.45109091363107107}},
                 1e-11, 1e-11));
  CHECK(allclose(init::orthogonal(random::key(0), {2, 3}, 1, f64),
                 transpose(init::orthogonal(random::key(0), {3, 2}, 1, f64)), 1e-12, 1e-12));
  matches(init::orthogonal(random::key(3), {2, 3, 4}, 2, f64, 1), 0.098441895517965783,
          -3.7587249705805093, {0.800159963169075}, 1e-10);
  matches(init::delta_orthogonal(random::key(3), {3, 3, 2, 4}, 1, f64), -0.26909235510976415,
          -0.015199828162406226, {0}, 1e-10);
  CHECK(allclose(
      init::delta_orthogonal(random::key(3), {2, 2, 2}, 1, f64)(0),
      Array{{0.8409228151034727, -0.5411550785481465}, {-0.5411550785481465, -0.8409228151034728}},
      1e-10, 1e-10));
  CHECK(init::orthogonal(random::key(0), {3, 0}).shape() == Shape{3, 0});
  CHECK(allclose(init::constant(random::key(0), {2}, 3.), Array{3.f, 3.f}));
}

TEST_CASE("more optimizers against PyTorch", "[optim]") {
  const auto run = [](auto opt) {
    Array p = wave({4}, .7, .3);
    auto state = opt.init(p);
    for (int i = 0; i < 4; ++i)
      std::tie(p, state) = opt.update(p, cos(p) * Array{1., 2., 3., 4.}, state);
    return p;
  };
  CHECK(allclose(
      run(optim::rmsprop(.01, .9, 1e-24)),
      Array{0.20433887783880564, 0.7492590205697065, 0.8989544701585426, 0.583646664559035}, 1e-9,
      0));
  CHECK(allclose(
      run(optim::rmsprop(.01, .9, 1e-24, .5)),
      Array{0.14958279773732486, 0.6936510441969221, 0.8429463093218653, 0.528361669424976}, 1e-9,
      0));
  CHECK(allclose(
      run(optim::adagrad(.1, .1, 1e-24)),
      Array{0.023048593254334927, 0.5554026515290775, 0.6997645972680803, 0.38923681746639466},
      1e-9, 0));
  SECTION("lion and lamb, by hand") {
    const Array p = {3., 4.}, g = {1., -2.};
    auto lion = optim::lion(.1, .9, .99, .01);
    auto [q, m] = lion.update(p, g, lion.init(p));
    CHECK(allclose(q, p - .1 * (Array{1., -1.} + .01 * p)));
    CHECK(allclose(m.velocity, .01 * g));
    auto lamb = optim::lamb(.1);
    auto [r, s] = lamb.update(p, g, lamb.init(p));  // the first direction of adam is the sign
    CHECK(allclose(r, p - .1 * (5 / std::sqrt(2.)) * Array{1., -1.}, 1e-5, 1e-5));
    CHECK(allclose(lamb.update(zeros({2}, f64), g, lamb.init(p)).first, -.1 * Array{1., -1.}, 1e-5,
                   1e-5));
  }
}
