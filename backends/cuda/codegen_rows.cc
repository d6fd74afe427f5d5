// codegen_rows.cc -- kernels whose threads share the work of a row: what is in no shared loop, all
// of them do alike.
#include <algorithm>
#include "backends/cuda/codegen_printer.h"

namespace jaxpp::cuda {

void Printer::rows() {
  facts_ = row_facts(f_.program, loop_, u_);
  storage_ = facts_.storage;
  count_arrays();
  barriers_ = barriers(f_, loop_, u_, facts_);
  const auto loops = chain(loop_, Marks::Bind::block);
  const auto levels = levels_of(loops);
  const std::int64_t count = product(levels), each = u_.threads / u_.group;
  comment_ = "// " + extents(levels) + (count == 1 ? " row, " : " rows, ") +
             (u_.group == 1    ? std::string("a thread")
              : u_.group == 32 ? std::string("a warp")
                               : num(u_.group) + " threads") +
             " each; what is in no loop over them, all do alike.\n";
  grid(ceil_div(count, each));
  in_row_ = true;
  std::string front;
  if (u_.group > 1)
    line(each == 1 ? "const int lane = threadIdx.x;"
                   : "const int lane = threadIdx.x % " + num(u_.group) + ";");
  if (each == 1 || u_.group == 1) {
    if (count > 1 || u_.group == 1) {
      const std::string t = u_.group == 1 ? global_number(u_.threads, "threadIdx.x") : "blockIdx.x";
      if (u_.group == 1 && count % u_.threads) line("if (" + t + " >= " + num(count) + ") return;");
      decode(levels, t, 1);
    } else {
      for (const Level& l : levels) names_[l.var] = "0";
    }
  } else {
    const std::string t = global_number(each, "threadIdx.x / " + num(u_.group));
    if (count % each) line("if (" + t + " >= " + num(count) + ") return;");
    decode(levels, t, 1);
  }
  for (auto [b, s] : storage_) {
    const Buffer& q = f_.buffer(b);
    const std::string type = type_name(q.dtype), n = f_.names[std::size_t(b)];
    if (s == Storage::shared) {
      const std::int64_t w = std::int64_t(width(q.dtype)), padded = (q.size * w + 15) / 16 * 16 / w;
      if (each == 1) {
        front += "  __shared__ __align__(16) " + type + " " + n + "[" + num(padded) + "];\n";
      } else {
        front += "  __shared__ __align__(16) " + type + " " + n + "_all[" + num(each) + "][" +
                 num(padded) + "];\n";
        line(type + "* const " + n + " = " + n + "_all[threadIdx.x / " + num(u_.group) + "];");
      }
    }
  }
  for (const ThreadNest& t : thread_nests(loop_.body)) register_arrays(t);
  for (const Loop* l : loops) locals(l->var);
  row_block(loops.back()->body);
  print_scratch(front);
  out_ = front + out_;
}

void Printer::register_arrays(const ThreadNest& t) {
  each_access(*t.leaf, [&](const Access& a) {
    auto it = storage_.find(a.buffer);
    if (it == storage_.end() || it->second != Storage::registers ||
        !declared_.insert(a.buffer).second)
      return;
    line(std::string(type_name(f_.buffer(a.buffer).dtype)) + " " + f_.names[std::size_t(a.buffer)] +
         "[" + num(rounds(t) * vector_of(t)) + "];");
  });
}

void Printer::row_block(const Block& b) {
  for (const Node& n : b) {
    if (done_.count(&n)) continue;
    if (barriers_.before.count(&n)) wait();
    if (auto* s = n.as<Store>()) {
      row_store(n, *s);
    } else if (auto* l = n.as<Loop>()) {
      start_sums(*l);
      if (l->marks.bind == Marks::Bind::thread)
        shared_loop(*l);
      else
        serial(*l);
      end_sums(*l);
    } else {
      node(n);
    }
  }
}

void Printer::row_store(const Node& n, const Store& s) {
  if (u_.skips.count(s.buffer)) return;
  if (u_.group > 1 && !everybodys(s.buffer)) {
    const std::string to = place(s.buffer, s.at), v = value(s.value);
    line("if (lane == 0) " + to + " = " +
         (s.combine == Combine::set ? v : combined(s.combine, to, v)) + ";");
  } else {
    store(n, s);
  }
}

void Printer::start_sums(const Loop& l) {
  for (auto& [store, after] : facts_.reduced_after) {
    if (after != &l) continue;
    const Store& s = *store->as<Store>();
    bool walks = false;
    for (auto& t : s.at.terms) walks |= !names_.count(t.sym) || names_.at(t.sym).empty();
    start_sum(*store, walks ? f_.buffer(s.buffer).size : 1, s.at, 1).walked = walks;
  }
}

void Printer::end_sums(const Loop& l) {
  bool waited = false;
  for (auto& [store, after] : facts_.reduced_after) {
    if (after != &l) continue;
    const Sum a = sums_.at(store);
    const Store& s = *a.store;
    for (std::int64_t e = 0; e < a.size; ++e) {
      const std::string r = fresh('r');
      line("const " + std::string(type_name(f_.buffer(s.buffer).dtype)) + " " + r + " = " +
           reduced(s, a.element(e)) + ";");
      if (barriers_.behind.count(&l) && !waited) wait();
      waited = true;
      const std::string to = place(s.buffer, a.walked ? Affine(e) : s.at);
      const std::string v = u_.assigns.count(s.buffer) ? r : combined(s.combine, to, r);
      line((u_.group > 1 && !everybodys(s.buffer) ? "if (lane == 0) " : "") + to + " = " + v + ";");
    }
    sums_.erase(store);
  }
}

void Printer::shared_loop(const Loop& outer) {
  ThreadNest t{&outer, levels_of(chain(outer, Marks::Bind::thread)), nullptr};
  t.leaf = &chain(outer, Marks::Bind::thread).back()->body;
  const int vector = vector_of(t);
  const std::int64_t points = t.points(), turn = std::int64_t(u_.group) * vector;
  bool registers = false;
  each_access(*t.leaf, [&](const Access& a) {
    auto it = storage_.find(a.buffer);
    registers |= it != storage_.end() && it->second == Storage::registers;
  });
  const bool single = t.levels.size() == 1;
  const std::string f = single ? define(t.levels[0].var, 'i') : fresh('g');
  const std::string type = single ? index_type() : "unsigned",
                    times = vector > 1 ? " * " + num(vector) : "";
  // Numbers count neighbours one by one where there is one level, else by the vector.
  const std::int64_t unit = single ? 1 : vector;
  // Few rounds are unrolled: arrays become registers, and loads of all rounds can be under way at
  // once.
  const std::int64_t turns = rounds(t);
  if (registers || points <= turn ||
      (turns <= 8 && work(*t.leaf) * double(turns * vector) <= 320)) {
    const bool several = points > turn, masked = points % turn != 0;
    if (several) {
      line("#pragma unroll");
      open("for (int k = 0; k < " + num(turns) + "; ++k)");
    }
    slot_ = registers ? (several ? "k" : "0") : "";
    const std::string number = several
                                   ? "(k * " + num(u_.group) + " + lane)" + (single ? times : "")
                                   : "lane" + (single ? times : "");
    if (masked)
      open("if (const " + type + " " + f + " = " + number + "; " + f + " < " + num(points / unit) +
           ")");
    else {
      if (!several) open("");
      line("const " + type + " " + f + " = " + number + ";");
    }
    leaf(t, f, vector, single);
    if (masked || !several) close();
    if (several) close();
    slot_.clear();
  } else {
    open("for (" + type + " " + f + " = lane" + (single ? times : "") + "; " + f + " < " +
         num(points / unit) + "; " + f + " += " + num(turn / unit) + ")");
    leaf(t, f, vector, single);
    close();
  }
}

void Printer::leaf(const ThreadNest& t, const std::string& number, int vector, bool single) {
  if (!single) decode(t.levels, number, vector);
  in_row_ = false;
  for (std::size_t i = 0; i + 1 < t.levels.size(); ++i) locals(t.levels[i].var);
  neighbours(*t.leaf, t.levels.back(), vector);
  in_row_ = true;
}

}  // namespace jaxpp::cuda
