// pack.cc -- elements that lie apart in memory, together: inside lanes a strided load is a gather, and one that inner loops
// repeat is worth a copy.
//
//   parallel i < n lanes 16            parallel i < n lanes 16
//     parallel k < 25                    local x_pack: f32[10]
//       parallel j < 10         ->       parallel j < 10
//         ... x[10*i+j] ...                x_pack[j] = x[10*i+j]
//                                        parallel k < 25
//                                          parallel j < 10
//                                            ... x_pack[j] ...
//
// Where a lane has a short record of its own, x[9*i] to x[9*i+8], all of it is copied if loads touch it often enough, at
// whatever places: loads of one element in different loops then meet.  The lanes' records together are contiguous memory,
// and a generator may copy them by loads of whole vectors and shuffles.
#include <map>
#include <set>
#include "backends/loops/schedule.h"

namespace jaxpp::loops {
namespace {
constexpr std::int64_t kPackBytes = 1 << 14;  // of a packed array, all lanes
constexpr std::int64_t kRecord = 64;          // elements of a record
constexpr double kRecordReuse = 1.5;          // loads of each

class Pack {
 public:
  Pack(Program& p, Loop& lanes) : p_(p), lanes_(lanes) {
    each_node(lanes.body, [&](const Node& n) {
      if (auto* s = n.as<Store>()) stored_.insert(s->buffer);
      if (auto* c = n.as<Clip>()) clips_.insert(c->sym);
    });
  }

  void run() {
    walk(lanes_.body, 1);
    Block copies;
    for (auto& [where, r] : records_)
      if (r.reuse >= kRecordReuse * double(r.hi - r.lo + 1) && r.hi - r.lo < kRecord)
        copy_record(where, r, copies);
    for (auto& [what, use] : found_)
      if (use.reuse >= kPackReuse) copy(what, use, copies);
    lanes_.body.insert(lanes_.body.begin(), std::make_move_iterator(copies.begin()),
                       std::make_move_iterator(copies.end()));
  }

 private:
  struct Dim {
    Sym var;
    std::int64_t extent;
  };
  struct What {  // x[rest + sum k * (a loop of that extent)]
    int buffer;
    Affine rest;
    std::vector<std::pair<std::int64_t, std::int64_t>> dims;  // k, extent
    auto key() const { return std::tie(buffer, rest, dims); }
    bool operator<(const What& o) const { return key() < o.key(); }
  };
  struct Use {
    double reuse = 0;
    std::vector<std::pair<Load*, std::vector<Dim>>> loads;
  };
  struct Record {  // x[base + what inner loops add, from lo to hi]
    double reuse = 0;
    std::int64_t lo = 0, hi = 0;
    std::vector<Load*> loads;
  };

  void walk(Block& b, double times) {  // times: by while loops
    for (Node& n : b) {
      if (auto* l = n.as<Loop>()) {
        around_.push_back({l->var, l->extent});
        walk(l->body, times);
        around_.pop_back();
      } else if (auto* w = n.as<While>()) {
        walk(w->cond, times * kWhileTrips);
        walk(w->body, times * kWhileTrips);
      } else if (auto* i = n.as<If>()) {
        walk(i->body, times);
        walk(i->otherwise, times);
      } else if (auto* load = n.as<Load>()) {
        see(*load, times);
      }
    }
  }

  void see(Load& l, double reuse) {
    const Buffer& b = p_.buffers[std::size_t(l.buffer)];
    const std::int64_t k = l.at.coef(lanes_.var);
    if (k == 0 || k == 1 || b.role == Buffer::Role::local || stored_.count(l.buffer)) return;
    for (auto& t : l.at.terms)
      if (clips_.count(t.sym)) return;
    see_record(l, reuse);
    What what{l.buffer, l.at, {}};
    std::vector<Dim> dims;
    std::int64_t size = 1;
    for (const Dim& d : around_) {
      if (const std::int64_t step = l.at.coef(d.var)) {
        what.dims.push_back({step, d.extent});
        what.rest = what.rest.subst(d.var, 0);
        dims.push_back(d);
        size *= d.extent;
      } else {
        reuse *= double(d.extent);
      }
    }
    if (size * lanes_.marks.lanes * std::int64_t(width(b.dtype)) > kPackBytes) return;
    Use& use = found_[what];
    use.reuse += reuse;
    use.loads.push_back({&l, std::move(dims)});
  }

  void see_record(Load& l, double reuse) {
    Affine base = l.at;
    std::int64_t lo = base.c, hi = base.c;
    base.c = 0;
    for (const Dim& d : around_) {
      reuse *= double(d.extent);
      const std::int64_t span = base.coef(d.var) * (d.extent - 1);
      (span < 0 ? lo : hi) += span;
      base = base.subst(d.var, 0);
    }
    auto [it, added] = records_.try_emplace({l.buffer, base});
    Record& r = it->second;
    r.lo = added ? lo : std::min(r.lo, lo);
    r.hi = added ? hi : std::max(r.hi, hi);
    r.reuse += reuse;
    r.loads.push_back(&l);
  }
  void copy_record(const std::pair<int, Affine>& where, Record& r, Block& copies) {
    const Dim d{p_.next_sym++, r.hi - r.lo + 1};
    const int packed = new_pack(where.first, d.extent);
    for (Load* l : r.loads) {
      l->at += where.second * -1;
      l->at += -r.lo;
      l->buffer = packed;
    }
    Affine at = where.second;
    at += Affine::of(d.var);
    at += r.lo;
    const Sym element = p_.next_sym++;
    Loop l;
    l.var = d.var;
    l.extent = d.extent;
    l.body.push_back(Load{element, where.first, std::move(at)});
    l.body.push_back(Store{packed, Affine::of(d.var), Combine::set, element});
    if (d.extent > 1) {
      copies.push_back(std::move(l));
      return;
    }
    for (Node& n : l.body) {
      if (auto* load = n.as<Load>()) load->at = load->at.subst(d.var, 0);
      if (auto* s = n.as<Store>()) s->at = 0;
      copies.push_back(std::move(n));
    }
  }
  int new_pack(int buffer, std::int64_t size) {
    Buffer to;
    const Buffer& from = p_.buffers[std::size_t(buffer)];
    to.role = Buffer::Role::local;
    to.name = from.name + "_pack" + std::to_string(p_.buffers.size());
    to.dtype = from.dtype;
    to.scope = lanes_.var;
    to.size = size;
    p_.buffers.push_back(std::move(to));
    return int(p_.buffers.size()) - 1;
  }
  // Redirects the loads, and adds the loops that copy.
  void copy(const What& what, Use& use, Block& copies) {
    if (use.loads[0].first->buffer != what.buffer) return;  // part of a record: then all are
    std::int64_t size = 1;
    for (auto& [k, extent] : what.dims) size *= extent;
    const int packed = new_pack(what.buffer, size);
    for (auto& [load, dims] : use.loads) {
      load->at = row_major(dims);
      load->buffer = packed;
    }
    std::vector<Dim> dims;
    Affine at = what.rest;
    for (auto& [k, extent] : what.dims) {
      dims.push_back({p_.next_sym++, extent});
      at += Affine::of(dims.back().var, k);
    }
    const Sym element = p_.next_sym++;
    Block* body = &copies;
    for (const Dim& d : dims) {
      Loop l;
      l.var = d.var;
      l.extent = d.extent;
      body->push_back(std::move(l));
      body = &body->back().as<Loop>()->body;
    }
    body->push_back(Load{element, what.buffer, std::move(at)});
    body->push_back(Store{packed, row_major(dims), Combine::set, element});
  }
  static Affine row_major(const std::vector<Dim>& dims) {
    Affine at;
    for (const Dim& d : dims) at = at * d.extent + Affine::of(d.var);
    return at;
  }

  Program& p_;
  Loop& lanes_;
  std::set<int> stored_;
  std::set<Sym> clips_;
  std::vector<Dim> around_;
  std::map<What, Use> found_;
  std::map<std::pair<int, Affine>, Record> records_;  // by buffer, base
};
}  // namespace

void pack(Program& p, Loop& lanes) { Pack(p, lanes).run(); }

}  // namespace jaxpp::loops
