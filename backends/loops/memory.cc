// memory.cc -- where temporaries live: one arena, planned when the program is built.
//
// Temps that live at the same time have places of their own, any others may overlap.  One exception, reuse in place: a
// value may take the very place of one of equal type and size that dies in the node where it is born, if no element is
// written before the old one has been read for the last time.  The same test allows an output to take over the memory of
// a donated input.
//
// Births are sorted once and ends wait in a heap; gaps are kept by size and by offset: n log n for n buffers.
#include <algorithm>
#include <map>
#include <queue>
#include <set>
#include <unordered_map>
#include "backends/loops/lifetimes.h"

namespace jaxpp::loops {
namespace {
constexpr std::int64_t kAlignment = 64;
// A local of which there is one at a time (no parallel loop around it) is planned as a temp if it has more bytes.
constexpr std::int64_t kLocalBytes = 4096;
constexpr int kTries = 16;  // values whose place a new one may ask for

std::int64_t bytes(const Buffer& b) { return b.size * std::int64_t(width(b.dtype)); }
std::int64_t reserved(const Buffer& b) {
  return (bytes(b) + kAlignment - 1) / kAlignment * kAlignment;
}

class Gaps {
 public:
  std::int64_t arena = 0;

  // The smallest gap that is large enough, the first of equal ones; else the end.
  std::int64_t take(std::int64_t bytes) {
    if (auto it = by_size_.lower_bound({bytes, 0}); it != by_size_.end()) {
      const auto [size, at] = *it;
      erase(at, size);
      if (size > bytes) insert(at + bytes, size - bytes);
      return at;
    }
    std::int64_t at = arena;
    if (!by_offset_.empty()) {
      const auto [last, size] = *by_offset_.rbegin();
      if (last + size == arena) {
        at = last;
        erase(last, size);
      }
    }
    arena = at + bytes;
    return at;
  }
  void give(std::int64_t at, std::int64_t bytes) {
    auto next = by_offset_.lower_bound(at);
    if (next != by_offset_.end() && next->first == at + bytes) {
      bytes += next->second;
      const auto [offset, size] = *next++;
      erase(offset, size);
    }
    if (next != by_offset_.begin()) {
      const auto [offset, size] = *std::prev(next);
      if (offset + size == at) {
        erase(offset, size);
        at = offset;
        bytes += size;
      }
    }
    insert(at, bytes);
  }

 private:
  void insert(std::int64_t at, std::int64_t bytes) {
    by_offset_[at] = bytes;
    by_size_.insert({bytes, at});
  }
  void erase(std::int64_t at, std::int64_t bytes) {
    by_offset_.erase(at);
    by_size_.erase({bytes, at});
  }
  std::map<std::int64_t, std::int64_t> by_offset_;
  std::set<std::pair<std::int64_t, std::int64_t>> by_size_;
};

void place_temps(Program& p, const Lifetimes& lives) {
  auto buffer = [&](int b) -> Buffer& { return p.buffers[std::size_t(b)]; };
  std::vector<int> births;
  for (std::size_t b = 0; b < p.buffers.size(); ++b) {
    Buffer& q = p.buffers[b];
    q.offset = -1;
    const Lifetimes::Life& l = lives[int(b)];
    if (l.touches.empty()) continue;
    if (q.role == Buffer::Role::local && lives.sole(l) && bytes(q) > kLocalBytes) {
      q.role = Buffer::Role::temp;
      q.scope = kNone;
    }
    if (q.role == Buffer::Role::temp) births.push_back(int(b));
  }
  std::stable_sort(births.begin(), births.end(), [&](int a, int b) {
    const Lifetimes::Life &x = lives[a], &y = lives[b];
    return x.first != y.first ? x.first < y.first : x.touches.front().node < y.touches.front().node;
  });

  Gaps gaps;
  using End = std::pair<int, int>;  // node, buffer
  std::priority_queue<End, std::vector<End>, std::greater<>> ends;
  std::unordered_map<int, std::vector<int>> dying;     // by node
  std::vector<int> predecessor(p.buffers.size(), -1);  // whose place it took
  std::vector<bool> taken(p.buffers.size());
  for (int b : births) {
    const int now = lives[b].first;
    while (!ends.empty() && ends.top().first < now) {
      const int o = ends.top().second;
      ends.pop();
      if (!taken[std::size_t(o)] && reserved(buffer(o)))
        gaps.give(buffer(o).offset, reserved(buffer(o)));
    }
    // All that were in that place in this very node must have finished.
    auto may_follow = [&](int o) {
      for (; o >= 0 && lives[o].last == now; o = predecessor[std::size_t(o)])
        if (!lives.hands_over(lives[o], lives[b])) return false;
      return true;
    };
    std::int64_t& offset = buffer(b).offset;
    auto& old = dying[now];
    for (std::size_t i = old.size(), tries = 0; i-- > 0 && offset < 0 && tries < kTries;) {
      const int o = old[i];
      if (buffer(o).size != buffer(b).size || buffer(o).dtype != buffer(b).dtype) continue;
      ++tries;
      if (!may_follow(o)) continue;
      taken[std::size_t(o)] = true;
      predecessor[std::size_t(b)] = o;
      offset = buffer(o).offset;
      old.erase(old.begin() + std::ptrdiff_t(i));
    }
    if (offset < 0) offset = reserved(buffer(b)) ? gaps.take(reserved(buffer(b))) : 0;
    dying[lives[b].last].push_back(b);
    ends.push({lives[b].end, b});
  }
  p.arena = gaps.arena;
}

// ---- Donation
//
// Inputs and outputs of one type and size: first outputs that start as a copy of an input and are then updated, then
// outputs computed from an input element by element, then outputs written after an input's last use.
void choose_donors(Program& p, const Lifetimes& lives) {
  auto buffer = [&](int b) -> Buffer& { return p.buffers[std::size_t(b)]; };
  struct Group {
    std::vector<int> in, out;
  };
  std::map<std::pair<DType, std::int64_t>, Group> groups;
  for (std::size_t b = 0; b < p.buffers.size(); ++b) {
    Buffer& q = p.buffers[b];
    q.donor = -1;
    if (q.size == 0) continue;
    if (q.role == Buffer::Role::input) groups[{q.dtype, q.size}].in.push_back(int(b));
    if (q.role == Buffer::Role::output && !lives[int(b)].touches.empty())
      groups[{q.dtype, q.size}].out.push_back(int(b));
  }
  for (auto& [type, group] : groups) {
    auto& [in, out] = group;
    std::stable_sort(in.begin(), in.end(),
                     [&](int a, int b) { return lives[a].last < lives[b].last; });
    std::stable_sort(out.begin(), out.end(),
                     [&](int a, int b) { return lives[a].first < lives[b].first; });
    std::unordered_map<int, std::vector<int>> dying;  // by top-level node
    for (int i : in) dying[lives[i].last].push_back(i);
    std::vector<bool> given(p.buffers.size());
    auto give = [&](int o, int i) {
      buffer(o).donor = buffer(i).index;
      given[std::size_t(i)] = true;
    };
    for (const bool copy : {true, false})
      for (int o : out) {
        if (buffer(o).donor >= 0) continue;
        for (int i : dying[lives[o].first])
          if (!given[std::size_t(i)] && (!copy || lives.copies(o, i)) &&
              lives.hands_over(lives[i], lives[o])) {
            give(o, i);
            break;
          }
      }
    auto next = in.begin();  // all before it are given
    for (int o : out) {
      if (buffer(o).donor >= 0) continue;
      while (next != in.end() && given[std::size_t(*next)]) ++next;
      if (next == in.end() || lives[*next].last >= lives[o].first) continue;
      give(o, *next);
    }
  }
}
}  // namespace

void plan_memory(Program& p) {
  const Lifetimes lives(p);
  place_temps(p, lives);
  choose_donors(p, lives);
}

Memory memory(const Program& p) {
  Memory m;
  m.arena = p.arena;
  for (const Buffer& b : p.buffers) {
    if (b.role == Buffer::Role::input) m.arguments += bytes(b);
    if (b.role == Buffer::Role::output) m.outputs += bytes(b);
    if (b.role == Buffer::Role::constant) m.constants += bytes(b);
  }
  return m;
}

}  // namespace jaxpp::loops
