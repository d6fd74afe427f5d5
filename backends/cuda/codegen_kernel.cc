// codegen_kernel.cc -- one kernel as text: what a single thread runs.
#include <algorithm>
#include "backends/cuda/codegen_printer.h"
#include "jaxpp/ops/primitives.h"

namespace jaxpp::cuda {

Facts::Facts(const Program& p)
    : program(p), types(std::size_t(p.next_sym), DType::i64), symbols(intervals(p)) {
  each_node(p.body, [&](const Node& n) {
    if (auto* l = n.as<Let>())
      for (int i = 0; i < l->results; ++i) types[std::size_t(l->sym + i)] = l->dtype;
    if (auto* c = n.as<Const>()) {
      types[std::size_t(c->sym)] = c->value.dtype;
      constants[c->sym] = &c->value;
    }
    if (auto* i = n.as<Index>()) types[std::size_t(i->sym)] = i->dtype;
    if (auto* l = n.as<Load>()) types[std::size_t(l->sym)] = buffer(l->buffer).dtype;
  });
  for (std::size_t i = 0; i < p.buffers.size(); ++i) {
    // Names like x0 and y0_parts1 are no words of C++ and none of ours; any other name gets a tail.
    const std::string& n = p.buffers[i].name;
    const bool plain = n.size() > 1 &&
                       std::string_view("xyct").find(n[0]) != std::string_view::npos &&
                       n[1] >= '0' && n[1] <= '9';
    names.push_back(plain ? n : n + "_" + std::to_string(i));
  }
}

bool Facts::may_alias(int a, int b) const {
  if (a == b) return true;
  const Buffer &x = buffer(a), &y = buffer(b);
  using Role = Buffer::Role;
  if (x.role == Role::temp && y.role == Role::temp) {
    if (x.offset < 0 || y.offset < 0) return false;
    const auto bytes = [](const Buffer& q) { return q.size * std::int64_t(width(q.dtype)); };
    return x.offset < y.offset + bytes(y) && y.offset < x.offset + bytes(x);
  }
  auto donated = [](const Buffer& out, const Buffer& in) {
    return out.role == Role::output && in.role == Role::input && out.donor == in.index;
  };
  return donated(x, y) || donated(y, x);
}

Kernel Printer::print(int number) {
  static constexpr const char* form[] = {"loop", "transpose", "sum", "columns", "rows"};
  k_.name = "k" + num(number) + "_" + form[int(u_.form)];
  k_.block = {unsigned(u_.threads), 1, 1};
  each_access(loop_.body, [&](const Access& a) {
    if (f_.buffer(a.buffer).role != Buffer::Role::local && !u_.skips.count(a.buffer) &&
        std::find(k_.buffers.begin(), k_.buffers.end(), a.buffer) == k_.buffers.end())
      k_.buffers.push_back(a.buffer);
  });
  std::sort(k_.buffers.begin(), k_.buffers.end());
  indent_ = "  ";
  switch (u_.form) {
    case Form::loop: loop(); break;
    case Form::transpose: transpose(); break;
    case Form::sum: sum(); break;
    case Form::columns: columns(); break;
    default: rows(); break;
  }
  std::string body = std::move(out_);
  out_.clear();
  head();
  k_.text = comment_ + out_ + body + "}\n";
  return std::move(k_);
}

void Printer::head() {
  auto type = [&](int b) {
    const bool read_only = !stored_.count(b);
    return std::string(read_only ? "const " : "") + type_name(f_.buffer(b).dtype) + "*";
  };
  std::string types, parameters;
  for (int b : k_.buffers) {
    bool alone = true;
    for (int o : k_.buffers)
      alone &= o == b || !f_.may_alias(o, b) || (!stored_.count(o) && !stored_.count(b));
    types += (types.empty() ? "" : ", ") + type(b);
    parameters += (parameters.empty() ? "" : ", ") + type(b) + (alone ? " __restrict__ " : " ") +
                  f_.names[std::size_t(b)];
  }
  // Rows keep arrays in registers: as many as one block may have, rather than spills for the sake
  // of more blocks.
  const std::string bounds = num(u_.threads) + (u_.form == Form::rows ? ", 1" : "");
  out_ = "// kernel " + k_.name + "(" + types + ")\n" +
         "extern \"C\" __global__ void __launch_bounds__(" + bounds + ") " + k_.name + "(" +
         parameters + ") {\n";
}

std::string Printer::affine(const Affine& at, bool wide) const {
  std::string s;
  const std::string suffix = wide ? "ll" : "";
  for (auto& [sym, k] : at.terms) {
    const std::string v = wide ? "(long long)(" + name(sym) + ")" : name(sym);
    const std::int64_t m = k < 0 ? -k : k;
    s += s.empty() ? (k < 0 ? "-" : "") : (k < 0 ? " - " : " + ");
    s += m == 1 ? v : num(m) + suffix + " * " + v;
  }
  if (at.c || s.empty())
    s += s.empty() ? num(at.c) + suffix
                   : (at.c < 0 ? " - " : " + ") + num(at.c < 0 ? -at.c : at.c) + suffix;
  return s;
}

std::string Printer::place(int buffer, const Affine& at) const {
  const auto it = storage_.find(buffer);
  if (it != storage_.end() && it->second == Storage::registers)
    return f_.names[std::size_t(buffer)] + "[" + slot_ + "]";
  return f_.names[std::size_t(buffer)] + "[" + affine(at) + "]";
}

void Printer::decode(const std::vector<Level>& levels, const std::string& number, int vector) {
  std::int64_t below = product(levels) / vector;
  const std::string u = wide_ ? "ull" : "u";
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const bool innermost = i + 1 == levels.size();
    const std::int64_t extent = innermost ? levels[i].extent / vector : levels[i].extent;
    below /= extent;
    std::string s = number;
    if (below > 1) s += " / " + num(below) + u;
    if (i > 0) s += " % " + num(extent) + u;
    s = std::string(wide_ ? "(long long)(" : "int(") + s + ")";
    if (innermost && vector > 1) s += " * " + num(vector);
    std::string& n = define(levels[i].var, 'i');
    line("const " + std::string(index_type()) + " " + n + " = " + s + ";");
  }
}

std::string Printer::global_number(std::int64_t per, const std::string& within) {
  const std::string t = fresh('g');
  line("const unsigned " + std::string(wide_ ? "long long " : "") + t + " = blockIdx.x * " +
       num(per) + (wide_ ? "ull" : "u") + " + " + within + ";");
  return t;
}

void Printer::locals(Sym scope) {
  for (std::size_t i = 0; i < f_.program.buffers.size(); ++i) {
    const Buffer& b = f_.program.buffers[i];
    if (b.role != Buffer::Role::local || b.scope != scope || b.size == 0) continue;
    const auto it = storage_.find(int(i));
    if (it != storage_.end() && it->second != Storage::thread && it->second != Storage::copies)
      continue;
    line(std::string(type_name(b.dtype)) + " " + f_.names[i] + "[" + num(b.size) + "];");
  }
}

void Printer::node(const Node& n) {
  if (auto* l = n.as<Let>()) {
    let(*l);
  } else if (auto* i = n.as<Index>()) {
    index(*i);
  } else if (auto* c = n.as<Clip>()) {
    const std::string s = "clip(" + value(c->arg) + ", " + num(c->lo) + "ll, " + num(c->hi) + "ll)";
    const std::string& v = define(c->sym, 'j');
    line("const " + std::string(index_type()) + " " + v + " = " + (wide_ ? s : "int(" + s + ")") +
         ";");
  } else if (auto* load = n.as<Load>()) {
    const std::string at = place(load->buffer, load->at);
    const std::string& v = define(load->sym, 'v');
    line("const " + std::string(type_name(f_.buffer(load->buffer).dtype)) + " " + v + " = " + at +
         ";");
  } else if (auto* s = n.as<Store>()) {
    store(n, *s);
  } else if (auto* inner = n.as<Loop>()) {
    serial(*inner);
  } else if (auto* w = n.as<While>()) {
    open("for (;;)");
    inside(w->cond);
    line("if (!" + value(w->pred) + ") break;");
    inside(w->body);
    close();
  } else if (auto* f = n.as<If>()) {
    open("if (" + value(f->pred) + ")");
    inside(f->body);
    close();
    if (!f->otherwise.empty()) {
      out_.pop_back();
      out_ += " else {\n";
      indent_ += "  ";
      inside(f->otherwise);
      close();
    }
  }
}

void Printer::let(const Let& l) {
  std::vector<DType> types;
  for (Sym s : l.args) types.push_back(f_.types[std::size_t(s)]);
  if (l.op == &threefry2x32_p) {
    std::string k0 = value(l.args[0]), k1 = value(l.args[1]), c0 = value(l.args[2]),
                c1 = value(l.args[3]);
    const std::string a = define(l.sym, 'v'), b = define(l.sym + 1, 'v');
    line("unsigned int " + a + " = " + c0 + ", " + b + " = " + c1 + ";");
    line("threefry2x32(" + k0 + ", " + k1 + ", " + a + ", " + b + ");");
    return;
  }
  k_.elementary += is_elementary(*l.op) * lanes_;
  const std::string e = expression(
      l, types, [&](std::size_t i, bool computed) { return value(l.args[i], computed); });
  const std::string& v = define(l.sym, 'v');
  line("const " + std::string(type_name(l.dtype)) + " " + v + " = " + e + ";");
}

void Printer::index(const Index& i) {
  const Interval r = interval(i.at, f_.symbols);
  const std::int64_t most = (std::int64_t(1) << 31) - 1;
  const bool wide = r.hi > most || r.lo < -most;
  const std::string at = affine(i.at, wide), type = type_name(i.dtype);
  std::string s;
  switch (i.dtype) {
    case DType::f16:
    case DType::bf16: s = "convert<" + type + ">((long long)(" + at + "))"; break;
    case DType::c64:
    case DType::c128: s = "convert<" + type + ">((long long)(" + at + "))"; break;
    default: s = "(" + type + ")(" + at + ")"; break;
  }
  const std::string& v = define(i.sym, 'v');
  line("const " + type + " " + v + " = " + s + ";");
}

void Printer::store(const Node& n, const Store& s) {
  if (u_.skips.count(s.buffer)) return;
  if (auto it = sums_.find(&n); it != sums_.end()) {
    const std::string a = it->second.place(*this, s);
    line(a + " = " + combined(s.combine, a, value(s.value)) + ";");
    return;
  }
  if (auto it = packs_.find(&n); it != packs_.end()) {
    line(it->second + ".v[" + lane_ + "] = " + value(s.value) + ";");
    return;
  }
  write(place(s.buffer, s.at), s.combine, value(s.value));
}

void Printer::serial(const Loop& l) {
  const double cost = work(l.body) * double(l.extent);
  bool walks_local = false;
  each_access(l.body, [&](const Access& a) {
    walks_local |= f_.buffer(a.buffer).role == Buffer::Role::local && a.at->coef(l.var);
  });
  for (auto& [node, sum] : sums_) walks_local |= sum.at.coef(l.var) != 0;
  bool loops = false;
  each_node(l.body, [&](const Node& n) { loops |= n.as<While>() != nullptr; });
  if (walks_local && words_ > kMostWords)
    line(
        "#pragma unroll 1");  // unrolled, the arrays would be registers, of which there are too few
  else if (walks_local && !loops && l.extent <= 32 && cost <= 1024)
    line("#pragma unroll");
  const std::string i = define(l.var, 'i');
  open("for (" + std::string(index_type()) + " " + i + " = 0; " + i + " < " + num(l.extent) +
       "; ++" + i + ")");
  locals(l.var);
  inside(l.body);
  close();
}

void Printer::neighbours(const Block& leaf, Level v, int vector) {
  if (vector == 1) {
    locals(v.var);
    block(leaf);
    return;
  }
  const Depends depends(leaf, {v});
  const std::set<int> stored = written(leaf);
  std::vector<std::pair<std::string, std::string>> puts;  // where, which
  const std::string first = name(v.var), width_text = num(vector);
  auto in_memory = [&](int b) {
    const auto it = storage_.find(b);
    return f_.buffer(b).role != Buffer::Role::local ||
           (it != storage_.end() && it->second == Storage::shared);
  };
  auto address = [&](int b, const Affine& at) { return "&" + place(b, at); };
  std::set<const Node*> mine;
  auto skip = [&](const Node& n) {
    if (done_.insert(&n).second) mine.insert(&n);
  };
  for (const Node& n : leaf) {
    auto* load = n.as<Load>();
    if (load && load->at.coef(v.var) == 1 && in_memory(load->buffer)) {
      const std::string p = fresh('p'), type = type_name(f_.buffer(load->buffer).dtype);
      line("const Pack<" + type + ", " + width_text + "> " + p + " = take<" + width_text + ">(" +
           address(load->buffer, load->at) + ");");
      packed_[load->sym] = p;
      skip(n);
    } else if (is_pure(n, stored) && !depends.on(defined(n), v.var)) {
      node(n);
      skip(n);
    } else if (auto* s = n.as<Store>(); s && s->combine == Combine::set && !sums_.count(&n) &&
                                        !u_.skips.count(s->buffer) && s->at.coef(v.var) == 1 &&
                                        in_memory(s->buffer)) {
      const std::string q = fresh('q'), type = type_name(f_.buffer(s->buffer).dtype);
      line("Pack<" + type + ", " + width_text + "> " + q + ";");
      puts.push_back({address(s->buffer, s->at), q});
      packs_[&n] = q;
    }
  }
  line("#pragma unroll");
  lane_ = "l";
  open("for (int l = 0; l < " + width_text + "; ++l)");
  lanes_ = vector;
  names_[v.var] = "(" + first + " + l)";
  const std::string slot = slot_;
  if (!slot_.empty()) slot_ = slot == "0" ? "l" : slot + " * " + width_text + " + l";
  for (auto& [sym, p] : packed_) names_[sym] = p + ".v[l]";
  locals(v.var);
  block(leaf);
  close();
  slot_ = slot;
  lanes_ = 1;
  names_[v.var] = first;
  packed_.clear();
  for (auto& [to, q] : puts) line("put(" + to + ", " + q + ");");
  for (const Node* n : mine) done_.erase(n);
}

Sym Printer::defined(const Node& n) {
  if (auto* l = n.as<Let>()) return l->sym;
  if (auto* c = n.as<Const>()) return c->sym;
  if (auto* i = n.as<Index>()) return i->sym;
  if (auto* c = n.as<Clip>()) return c->sym;
  if (auto* l = n.as<Load>()) return l->sym;
  return kNone;
}

Printer::Sum& Printer::start_sum(const Node& n, std::int64_t size, Affine at, int lanes) {
  Sum& s = sums_[&n];
  s.store = n.as<Store>();
  s.name = fresh('a');
  s.size = size;
  s.at = std::move(at);
  s.lanes = lanes > 1;
  const std::int64_t all = size * lanes;
  const std::string type = type_name(f_.buffer(s.store->buffer).dtype);
  if (all == 1) {
    line(type + " " + s.name + " = " + none(*s.store) + ";");
  } else {
    line(type + " " + s.name + "[" + num(all) + "];");
    words_ += all * words(s.store->buffer);
    line(words_ > kMostWords ? "#pragma unroll 1" : "#pragma unroll");
    line("for (int l = 0; l < " + num(all) + "; ++l) " + s.name + "[l] = " + none(*s.store) + ";");
  }
  return s;
}

void Printer::count_arrays() {
  std::set<Sym> scopes{loop_.var};
  each_node(loop_.body, [&](const Node& n) {
    if (auto* l = n.as<Loop>()) scopes.insert(l->var);
  });
  for (std::size_t i = 0; i < f_.program.buffers.size(); ++i) {
    const Buffer& b = f_.program.buffers[i];
    if (b.role != Buffer::Role::local || b.size < 2 || !scopes.count(b.scope)) continue;
    const auto it = storage_.find(int(i));
    if (it == storage_.end() || it->second == Storage::thread || it->second == Storage::copies)
      words_ += b.size * words(int(i));
  }
}

std::string Printer::reduced(const Store& s, const std::string& a) {
  const std::string op = combiner_name(s.combine);
  const int group = u_.form == Form::rows ? u_.group : u_.threads;
  if (group == 1) return a;
  if (group == 32) return "warp_reduce<" + op + ">(" + a + ")";
  return "block_reduce<" + op + ", " + num(group / 32) + ">(" + a + ", " +
         scratch(f_.buffer(s.buffer).dtype) + ")";
}

std::vector<const Node*> Printer::combining(const Block& b) const {
  std::vector<const Node*> all;
  each_access(b, [&](const Access& a) {
    if (a.combines() && f_.buffer(a.buffer).role != Buffer::Role::local) all.push_back(a.node);
  });
  return all;
}

std::vector<const Loop*> Printer::chain(const Loop& l, Marks::Bind b) {
  std::vector<const Loop*> all{&l};
  for (;;) {
    const Loop* next = all.back()->body.size() == 1 ? all.back()->body[0].as<Loop>() : nullptr;
    if (!next || next->marks.bind != b) return all;
    all.push_back(next);
  }
}

Kernel print_kernel(const Facts& f, const Loop& loop, const Unit& u, int number) {
  return Printer(f, loop, u).print(number);
}

}  // namespace jaxpp::cuda
