// jaxpp-opt -- reads a program, runs passes and transforms on it in the order given, prints it: LLVM's opt for jaxprs.
//
//   jaxpp-opt --simplify --cse program.jaxpr          jaxpp-opt --grad --optimize < program.json
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include "backends/passes/passes.h"
#include "jaxpp/core/rewrite.h"
#include "transforms/transforms.h"

using namespace jaxpp;
using namespace jaxpp::internal;

namespace {
constexpr const char* kHelp = R"(usage: jaxpp-opt [options] [file]

Reads a program (text or JSON, told apart by its first characters) from a file or from standard input, applies the
passes and transforms in the order in which they are given, and prints the result as text.

Transforms
  --jvp          (x..., dx...) -> (y..., dy...)
  --grad         gradients of the first output with respect to every inexact input
  --linearize    two programs: x -> (y..., residuals...), and the linear (residuals..., dx...) -> dy
  --vmap=N       a leading batch axis of size N on every input and output
)";

using Programs = std::vector<Jaxpr>;
Mask inexact(const Jaxpr& p, std::size_t first) {
  Mask m;
  const auto types = p.body()->in_types();
  for (std::size_t i = 0; i < types.size(); ++i)
    m.push_back(i >= first && is_inexact(types[i]->dtype));
  return m;
}
Jaxpr jvp(const Jaxpr& p) {
  Mask all;
  for (Type t : p.out_types()) all.push_back(is_inexact(t->dtype));
  return {jvp_jaxpr(*p.body(), inexact(p, p.consts().size()), all)->jaxpr, p.consts()};
}
Jaxpr vmap(const Jaxpr& p, std::int64_t n) {
  Mask in, out(p.out_types().size(), true);
  for (std::size_t i = 0; i < p.body()->invars.size(); ++i) in.push_back(i >= p.consts().size());
  return {batch_jaxpr(*p.body(), n, "", in, out)->jaxpr, p.consts()};
}
Programs linearize(const Jaxpr& p) {
  Mask all;
  for (Type t : p.out_types()) all.push_back(is_inexact(t->dtype));
  auto l = linearize_jaxpr(*p.body(), inexact(p, p.consts().size()), all);
  return {Jaxpr(l->primal, p.consts()), Jaxpr(l->tangent, {})};
}
Jaxpr grad(const Jaxpr& p) {
  const auto types = p.body()->in_types();
  const Mask active = inexact(p, p.consts().size());
  auto gradient = [&](Args x, Results& out) {
    Results at;
    for (std::size_t i = 0; i < x.size(); ++i)
      if (active[i]) at.push_back(x[i]);
    auto f = [&](Args z, Results& y) {
      Results in(x.begin(), x.end());
      for (std::size_t i = 0, k = 0; i < in.size(); ++i)
        if (active[i]) in[i] = z[k++];
      eval_jaxpr(*p.body(), args(in), y);
    };
    Array value;
    Results aux;
    out.resize(at.size());
    grad_flat(flat(f), args(at), value, aux, out.data(), "jaxpp-opt --grad", Loc::current());
  };
  return {trace_to_jaxpr(types, flat(gradient), Consts::embed).jaxpr, p.consts()};
}

Programs run_step(const std::string& option, const Programs& programs) {
  Programs out;
  for (const Jaxpr& p : programs) {
    if (option == "jvp")
      out.push_back(jvp(p));
    else if (option == "grad")
      out.push_back(grad(p));
    else if (option == "linearize")
      for (Jaxpr& part : linearize(p)) out.push_back(std::move(part));
    else if (option.starts_with("vmap="))
      out.push_back(vmap(p, std::stoll(option.substr(5))));
    else {
      const passes::Pass* found = nullptr;
      for (auto& pass : passes::all())
        if (pass.name == option) found = &pass;
      if (!found) throw Error("there is no option --" + option + " (see --help)");
      out.emplace_back(found->run(*p.body()), p.consts());
    }
    out.back().check();
  }
  return out;
}

std::string read(const std::string& path) {
  std::stringstream s;
  if (path.empty() || path == "-") {
    s << std::cin.rdbuf();
  } else {
    std::ifstream in(path);
    if (!in) throw Error("cannot read " + path);
    s << in.rdbuf();
  }
  return s.str();
}
bool looks_like_json(const std::string& s) {
  const auto at = s.find_first_not_of(" \t\r\n");
  if (at == s.npos || s[at] != '{') return false;
  const auto next = s.find_first_not_of(" \t\r\n", at + 1);
  return next != s.npos && s[next] == '"';
}
void help() {
  std::fputs(kHelp, stdout);
  std::puts("\nPasses");
  for (auto& p : passes::all())
    std::printf("  --%-12.*s %s\n", int(p.name.size()), p.name.data(), p.what.data());
  std::puts(
      "\nOutput\n"
      "  --json         the JSON of docs/jaxpr-json.md instead of text\n"
      "  --dot          a Graphviz drawing\n"
      "  --jax          JAX's own text\n"
      "  --canonical    equations in a canonical order\n"
      "  --count        the number of equations, nested ones included");
}
}  // namespace

int main(int argc, char** argv) try {
  std::string file, output;
  std::vector<std::string> steps;
  PrintOptions print;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--help" || a == "-h") return help(), 0;
    if (a == "--json" || a == "--dot" || a == "--count")
      output = a;
    else if (a == "--jax")
      print.jax = true;
    else if (a == "--canonical")
      print.canonical = true;
    else if (a.starts_with("--"))
      steps.push_back(a.substr(2));
    else if (file.empty())
      file = a;
    else
      throw Error("more than one file");
  }
  const std::string text = read(file);
  Programs programs{looks_like_json(text) ? Jaxpr::from_json(text) : Jaxpr::parse(text)};
  for (auto& s : steps) programs = run_step(s, programs);
  for (auto& p : programs) {
    if (output == "--json")
      std::cout << p.json() << '\n';
    else if (output == "--dot")
      std::cout << p.dot();
    else if (output == "--count")
      std::cout << p.size() << '\n';
    else
      std::cout << p.to_string(print) << '\n';
  }
} catch (const std::exception& e) {
  std::fprintf(stderr, "jaxpp-opt: %s\n", e.what());
  return 1;
}
