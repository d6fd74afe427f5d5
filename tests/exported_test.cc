// exported_test.cc -- programs that tools/export_jax.py wrote, loaded as functions: values, derivatives and batches against
// JAX's, leaves by name, and what is refused.  The corpus has more of them (tests/conformance/cases/exported.jsonl).
#include "jaxpp/exported.h"
#include <unistd.h>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>
#include "jaxpp/core/json.h"
#include "jaxpp/jaxpp.h"
#include "message.h"

using namespace jaxpp;

namespace {
const std::string kData = JAXPP_SOURCE_DIR "/tests/data/exported/";

struct Layer {  // not in the order of JAX's keys
  Array w, b;
};
using Mlp = std::array<Layer, 2>;
struct Arguments {
  Mlp params;
  Array x, y;
};
struct Results {
  Array loss;
  Mlp gradient;
  Array logits;
};
Layer layer(std::int64_t in, std::int64_t out) {
  return {zeros({in, out}, f64), zeros({out}, f64)};
}
Arguments arguments() {
  return load_tree(kData + "mlp_loss_arguments.safetensors",
                   Arguments{{layer(4, 8), layer(8, 3)}, zeros({5, 4}, f64), zeros({5}, i32)});
}
Results results() {
  return load_tree(kData + "mlp_loss_results.safetensors",
                   Results{0.0, {layer(4, 8), layer(8, 3)}, zeros({5, 3}, f64)});
}
double distance(const Array& x, const Array& y) { return double(max(abs(x - y))); }
template <class T>
double distance_of(const T& x, const T& y) {
  const auto a = tree_leaves(x), b = tree_leaves(y);
  double d = 0;
  for (std::size_t i = 0; i < a.size(); ++i) d = std::max(d, distance(a[i], b[i]));
  return d;
}
}  // namespace

TEST_CASE("exported: a loss of JAX, under every transform", "[exported]") {
  const auto [params, x, y] = arguments();
  const Results want = results();
  const auto loss = load_jaxpr<Array(Mlp, Array, Array)>(kData + "mlp_loss.json");
  CHECK(distance(loss(params, x, y), want.loss) < 1e-14);
  CHECK(distance_of(grad(loss)(params, x, y), want.gradient) < 1e-14);
  auto [value, gradient] = jit(value_and_grad(loss))(params, x, y);
  CHECK(distance(value, want.loss) < 1e-14);
  CHECK(distance_of(gradient, want.gradient) < 1e-14);

  // One more axis, of other inputs.
  const Array xs = stack({x, x * 2.0, x - 1.0});
  const Array losses = jit(vmap(loss, {.in_axes = {None, 0, None}}))(params, xs, y);
  for (int i = 0; i < 3; ++i) CHECK(distance(losses(i), loss(params, xs(i), y)) < 1e-14);
  const Array saliency = vmap(grad<1>(loss), {.in_axes = {None, 0, None}})(params, xs, y);
  CHECK(distance(saliency(1), grad<1>(loss)(params, xs(1), y)) < 1e-14);
  check_grads([&](Array v) { return loss(params, v, y); }, x);

  // It learns.
  auto step = jit([&](Mlp p) {
    return tree_map([](Array a, Array d) { return a - 0.5 * d; }, p, grad(loss)(p, x, y));
  });
  Mlp trained = params;
  for (int i = 0; i < 50; ++i) trained = step(trained);
  CHECK(double(loss(trained, x, y)) < 0.1 * double(want.loss));
}
TEST_CASE("exported: weights in a file of their own, results by name", "[exported]") {
  struct Prediction {
    Array loss, logits;  // JAX: logits, loss
  };
  const auto predict = load_jaxpr<Prediction(Array)>(kData + "predict.json");
  const Array x = arguments().x;
  CHECK(distance(predict(x).logits, results().logits) < 1e-14);
  CHECK(predict(x).loss.shape().empty());
  const ExportedProgram program = load_jaxpr(kData + "predict.json");
  CHECK(program.inputs() == std::vector<std::vector<std::string>>{{""}});
  CHECK(program.outputs() == std::vector<std::string>{"logits", "loss"});
  CHECK(distance(program(x)[0], results().logits) < 1e-14);
  CHECK(distance(jit(program)(x)[0], results().logits) < 1e-14);
  CHECK(program.as<std::vector<Array>(Array)>()(x).size() == 2);
  CHECK(distance(program.as<std::pair<Array, Array>(Array)>()(x).first, results().logits) <
        1e-14);  // without names: in order
}
TEST_CASE("exported: arguments that do not fit", "[exported]") {
  const auto [params, x, y] = arguments();
  const ExportedProgram loss = load_jaxpr(kData + "mlp_loss.json");
  struct Other {
    Array weight, b;
  };
  const std::array<Other, 2> renamed{Other{params[0].w, params[0].b},
                                     Other{params[1].w, params[1].b}};
  CHECK(message([&] { loss(renamed, x, y); }) ==
        "argument 0 of an exported program has the leaves `0.b`, `0.w`, `1.b`, `1.w`; it was given "
        "`0.weight`, `0.b`, "
        "`1.weight`, `1.b`.  [E174]");
  CHECK(message([&] { loss(params, x); }) ==
        "an exported program takes 3 arguments, got 2.  [E174]");
  CHECK(message([&] {
          loss(params, x.astype(f32), y);
        }).find("argument 1 of an exported program is f64[5,4]; it was given f32[5,4].  [E174]") ==
        0);
  Mlp wide = params;
  wide[1].w = zeros({8, 4}, f64);
  CHECK(message([&] { loss(wide, x, y); })
            .find("argument 0 of an exported program, leaf `1.w`, is f64[8,3]; it was given "
                  "f64[8,4].") == 0);
  const auto pair = loss.as<std::pair<Array, Array>(Mlp, Array, Array)>();
  CHECK_THROWS_WITH(pair(params, x, y), Catch::Contains("[E174]"));
  // In JAX's order, without names.
  const auto nameless =
      std::tuple(std::tuple(params[0].b, params[0].w), std::tuple(params[1].b, params[1].w));
  CHECK(distance(loss(nameless, x, y)[0], results().loss) < 1e-14);
}
TEST_CASE("exported: files that are damaged or missing", "[exported]") {
  const auto folder =
      std::filesystem::temp_directory_path() / ("jaxpp_exported_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const std::string path = (folder / "predict.json").string();
  std::stringstream s;
  s << std::ifstream(kData + "predict.json").rdbuf();
  const std::string text = s.str();
  auto loaded = [&](const std::string& changed) {
    std::ofstream(path) << changed;
    return message([&] { load_jaxpr(path); });
  };
  auto with = [&](const char* what, const std::string& by) {
    return std::regex_replace(text, std::regex(what), by);
  };
  CHECK_THROWS_WITH(load_jaxpr((folder / "no.json").string()), Catch::Contains("[E170]"));
  CHECK_THAT(loaded(text),
             Catch::Contains("predict.safetensors cannot be opened") && Catch::Contains("[E170]"));
  std::filesystem::copy_file(kData + "predict.safetensors", folder / "predict.safetensors");
  CHECK(loaded(text) == "nothing was thrown");
  CHECK_THAT(loaded(with("predict.safetensors", "../predict.safetensors")),
             Catch::Contains("same folder"));
  CHECK_THAT(loaded(with("const\\.0", "const.9")),
             Catch::Contains("no array `const.9` among the weights") && Catch::Contains("[E171]"));
  CHECK_THAT(loaded(with("\"dot_general\"", "\"quantum_dot\"")),
             Catch::Contains("no primitive `quantum_dot`"));
  CHECK_THAT(loaded(with("\"outputs\":\\[\"logits\",", "\"outputs\":[")),
             Catch::Contains("does not name every output"));
  CHECK_THAT(loaded(with("\"inputs\":\\[\\[\"\"\\]\\]", "\"inputs\":[]")),
             Catch::Contains("does not name every input"));
  CHECK_THAT(loaded(text.substr(0, text.size() / 2)), Catch::Contains("[E171]"));
  CHECK_THROWS_WITH(Jaxpr::from_json(text), Catch::Contains("use load_jaxpr"));
  std::filesystem::remove_all(folder);
}
TEST_CASE("exported: the primitives that the script lets through are those of the registry",
          "[exported]") {
  std::stringstream s;
  s << std::ifstream(JAXPP_SOURCE_DIR "/tools/export_jax.py").rdbuf();
  const std::string text = s.str();
  const std::size_t begin = text.find("PRIMITIVES = set(\"\"\"") + 20,
                    end = text.find("\"\"\"", begin);
  std::istringstream names(text.substr(begin, end - begin));
  int count = 0;
  for (std::string name; names >> name; ++count) {
    INFO(name);
    CHECK(find_primitive(name));
  }
  CHECK(count > 150);
}
