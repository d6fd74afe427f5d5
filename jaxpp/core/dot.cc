// dot.cc -- a jaxpr as a Graphviz drawing: a box for an equation, an edge for a value, a frame for a nested jaxpr.
//   dot -Tsvg program.dot > program.svg
#include "jaxpp/core/jaxpr.h"

namespace jaxpp {
namespace internal {
namespace {
std::string escaped(const std::string& s) {
  std::string out;
  for (char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

class Drawing {
 public:
  std::string text =
      "digraph jaxpr {\n  node [shape=box, fontname=monospace];\n  edge [fontname=monospace, "
      "fontsize=10];\n";

  void body(const JaxprBody& j, std::size_t constants, const std::string& pad) {
    std::vector<std::string> from(j.types.size());
    for (std::size_t i = 0; i < j.invars.size(); ++i) {
      const Var v = j.invars[i];
      from[v] = node(pad, j.types[v]->str(),
                     i < constants ? "shape=ellipse, style=dashed" : "shape=ellipse");
    }
    auto edge = [&](const Atom& a, const std::string& to) {
      if (a.is_zero()) return;
      if (a.is_var()) {
        text +=
            pad + from[a.var()] + " -> " + to + " [label=\"" + j.types[a.var()]->str() + "\"];\n";
      } else {
        const Array v = a.value();
        const std::string label = v.concrete() && v.ndim() == 0 ? to_string(v) : v.type()->str();
        text += pad + node(pad, label, "shape=plaintext") + " -> " + to + ";\n";
      }
    };
    for (const Equation& e : j.eqns) {
      const std::string n = node(pad, e.prim->name, has_effects(e) ? "style=bold" : "");
      for (Var v = e.out; v < e.out + e.n_out; ++v) from[v] = n;
      for (auto& a : e.in) edge(a, n);
      for (auto& s : sub_jaxprs(e)) {
        const std::string id = std::to_string(++count_);
        text += pad + "subgraph cluster_" + id + " {\n" + pad + "  label=\"" +
                escaped(e.prim->name) + "\";\n";
        const std::string inside = "n" + std::to_string(count_ + 1);
        body(*s, 0, pad + "  ");
        text += pad + "}\n";
        if (count_ > std::size_t(std::stoul(id)))
          text += pad + n + " -> " + inside + " [style=dotted, arrowhead=none];\n";
      }
    }
    for (std::size_t i = 0; i < j.outs.size(); ++i)
      edge(j.outs[i], node(pad, "out " + std::to_string(i), "shape=ellipse"));
  }

 private:
  // Declares a node and gives its name.
  std::string node(const std::string& pad, const std::string& label, const std::string& style) {
    const std::string name = "n" + std::to_string(++count_);
    text += pad + name + " [label=\"" + escaped(label) + "\"" +
            (style.empty() ? "" : ", " + style) + "];\n";
    return name;
  }
  std::size_t count_ = 0;
};
}  // namespace
}  // namespace internal

std::string Jaxpr::dot() const {
  internal::Drawing d;
  d.body(*body_, consts_.size(), "  ");
  return d.text + "}\n";
}

}  // namespace jaxpp
