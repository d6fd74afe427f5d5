// coloring.cc -- greedy colourings of sparsity patterns: of the columns (distance 2 in the bipartite graph of rows and
// columns), and star colourings of symmetric patterns.
//
// A greedy colouring takes the vertices in some order and gives each the least colour that is allowed.  Which order is good
// depends on the graph, so several are tried, until one needs no more colours than a row has entries, which is least possible:
// as they come, by falling degree, smallest degree last (Matula), and most coloured neighbours first.
// Star colouring: Gebremedhin, Tarafdar, Manne, Pothen, "New acyclic and star coloring algorithms" (2007).  A vertex knows the
// colours of its neighbours, not the neighbours, so vertices of high degree (an arrow) cost no more than others.
#include <algorithm>
#include <numeric>
#include "jaxpp/sparse.h"

namespace jaxpp {
namespace {

using Order = std::vector<std::int32_t>;
// Orders that look at pairs of columns are tried as long as there are not more of them.
constexpr double kPairs = 4e7;

struct Graph {
  std::vector<std::int64_t> start = {0};
  std::vector<std::int32_t> to;
  std::size_t size() const { return start.size() - 1; }
  std::span<const std::int32_t> operator[](std::size_t v) const {
    return {to.data() + start[v], std::size_t(start[v + 1] - start[v])};
  }
};

Order as_they_come(std::size_t n) {
  Order order(n);
  std::iota(order.begin(), order.end(), 0);
  return order;
}
Order largest_first(const Graph& g) {
  Order order = as_they_come(g.size());
  std::ranges::stable_sort(order, std::greater(), [&](auto v) { return g[std::size_t(v)].size(); });
  return order;
}
/// Takes vertices one after the other, of least or of greatest degree; a vertex that is taken changes the degrees of its
/// neighbours.  Vertices lie in a bucket for each degree.
Order by_changing_degree(const Graph& g, bool smallest_last) {
  const std::size_t n = g.size();
  std::vector<std::size_t> degree(n);
  std::vector<std::vector<std::int32_t>> bucket;
  auto put = [&](std::size_t v) {
    if (degree[v] >= bucket.size()) bucket.resize(degree[v] + 1);
    bucket[degree[v]].push_back(std::int32_t(v));
  };
  for (std::size_t v = n; v-- > 0;) {
    degree[v] = smallest_last ? g[v].size() : 0;
    put(v);
  }
  std::vector<char> taken(n, 0);
  Order order;
  std::size_t at = smallest_last || bucket.empty() ? 0 : bucket.size() - 1;
  while (order.size() < n) {
    while (bucket[at].empty()) at += smallest_last ? 1 : std::size_t(-1);
    const auto v = std::size_t(bucket[at].back());
    bucket[at].pop_back();
    if (taken[v] || degree[v] != at) continue;  // an entry from before its degree changed
    taken[v] = 1;
    order.push_back(std::int32_t(v));
    for (auto w : g[v]) {
      const auto u = std::size_t(w);
      if (taken[u]) continue;
      degree[u] += smallest_last ? std::size_t(-1) : 1;
      put(u);
      at = smallest_last ? std::min(at, degree[u]) : std::max(at, degree[u]);
    }
  }
  if (smallest_last) std::ranges::reverse(order);
  return order;
}

/// The best of several orders; `enough` colours cannot be beaten.
template <class Greedy>
Coloring best(const Graph* g, std::size_t n, std::int32_t enough, Greedy greedy) {
  Coloring c = greedy(as_they_come(n));
  auto attempt = [&](auto order) {
    if (c.count <= enough) return;
    Coloring other = greedy(order());
    if (other.count < c.count) c = std::move(other);
  };
  if (g) {
    attempt([&] { return largest_first(*g); });
    attempt([&] { return by_changing_degree(*g, true); });
    attempt([&] { return by_changing_degree(*g, false); });
  }
  return c;
}

std::int64_t longest_column(const SparsityPattern& p) {
  std::int64_t longest = 0;
  for (std::size_t j = 0; j + 1 < p.start.size(); ++j)
    longest = std::max(longest, p.start[j + 1] - p.start[j]);
  return longest;
}
/// Columns are neighbours if they share a row.
Graph intersections(const SparsityPattern& p, const SparsityPattern& rows) {
  Graph g;
  std::vector<std::int64_t> seen(std::size_t(p.cols), -1);
  for (std::int64_t j = 0; j < p.cols; ++j) {
    seen[std::size_t(j)] = j;
    for (auto r : p.column(j))
      for (auto k : rows.column(r))
        if (std::exchange(seen[std::size_t(k)], j) != j) g.to.push_back(k);
    g.start.push_back(std::int64_t(g.to.size()));
  }
  return g;
}
/// Each row remembers which colours it has: a column costs the colours of its rows.
Coloring greedy_columns(const SparsityPattern& p, const Order& order) {
  Coloring c;
  c.color.assign(std::size_t(p.cols), 0);
  std::vector<std::vector<std::int32_t>> used(std::size_t(p.rows));
  std::vector<std::int64_t> forbidden;
  for (auto j : order) {
    for (auto r : p.column(j))
      for (auto k : used[std::size_t(r)]) forbidden[std::size_t(k)] = j;
    std::int32_t color = 0;
    while (color < c.count && forbidden[std::size_t(color)] == j) ++color;
    if (color == c.count) {
      ++c.count;
      forbidden.push_back(-1);
    }
    c.color[std::size_t(j)] = color;
    for (auto r : p.column(j)) used[std::size_t(r)].push_back(color);
  }
  return c;
}

/// A star: the edges between a vertex, its hub, and neighbours of one colour.  A star of one edge has no hub yet.
class Stars {
 public:
  explicit Stars(const Graph& g) : g_(g), near_(g.size()), around_(g.size()) {}

  Coloring color(const Order& order) {
    Coloring c;
    c.color.assign(g_.size(), -1);
    std::vector<std::int32_t> forbidden,
        first_of;  // by colour: the last vertex that may not have it
    std::vector<std::int32_t> first_seen, treated(g_.size(), -1);
    for (auto v : order) {
      auto forbid = [&](std::int32_t k) { forbidden[std::size_t(k)] = v; };
      auto treat =
          [&](std::int32_t w) {  // no path a - v - b - w' through two neighbours of one colour
            if (std::exchange(treated[std::size_t(w)], v) == v) return;
            for (auto& e : near_[std::size_t(w)]) forbid(e.color);
          };
      for (auto w : g_[std::size_t(v)]) {
        const auto k = std::size_t(c.color[std::size_t(w)]);
        if (c.color[std::size_t(w)] < 0) continue;
        forbid(std::int32_t(k));
        if (first_seen[k] == v) {
          treat(first_of[k]);
          treat(w);
        } else {
          first_seen[k] = v;
          first_of[k] = w;
          for (auto hub : around_[std::size_t(w)]) forbid(hub);
        }
      }
      std::int32_t color = 0;
      while (color < c.count && forbidden[std::size_t(color)] == v) ++color;
      if (color == c.count) {
        ++c.count;
        forbidden.push_back(-1);
        first_seen.push_back(-1);
        first_of.push_back(-1);
      }
      c.color[std::size_t(v)] = color;
      for (auto w : g_[std::size_t(v)])
        if (c.color[std::size_t(w)] >= 0) connect(v, w, color, c.color[std::size_t(w)]);
    }
    return c;
  }

 private:
  struct Near {
    std::int32_t color, count, any;  // how many neighbours have it, and one of them
  };
  /// v, of that colour, is one more neighbour of w: does w become the hub of a star, or belong to one?
  void see(std::int32_t w, std::int32_t v, std::int32_t color_w, std::int32_t color) {
    auto& near = near_[std::size_t(w)];
    auto e = std::ranges::find(near, color, &Near::color);
    if (e == near.end()) {
      near.push_back({color, 1, v});
      return;
    }
    if (++e->count == 2) lies_around(e->any, color_w);
    lies_around(v, color_w);
  }
  void lies_around(std::int32_t v, std::int32_t hub_color) {
    auto& around = around_[std::size_t(v)];
    if (std::ranges::find(around, hub_color) == around.end()) around.push_back(hub_color);
  }
  void connect(std::int32_t v, std::int32_t w, std::int32_t color_v, std::int32_t color_w) {
    see(w, v, color_w, color_v);
    see(v, w, color_v, color_w);
  }
  const Graph& g_;
  std::vector<std::vector<Near>> near_;
  std::vector<std::vector<std::int32_t>>
      around_;  // colours of the hubs of the stars a vertex is a ray of
};

}  // namespace

Coloring color_columns(const SparsityPattern& p) {
  const SparsityPattern rows = p.transpose();
  const auto least = std::int32_t(longest_column(rows));
  double pairs = 0;
  for (std::int64_t r = 0; r < p.rows; ++r)
    pairs += double(rows.column(r).size()) * double(rows.column(r).size());
  auto greedy = [&](const Order& order) { return greedy_columns(p, order); };
  Coloring c = best(nullptr, std::size_t(p.cols), least, greedy);
  if (c.count <= least || pairs > kPairs) return c;
  const Graph g = intersections(p, rows);
  return best(&g, std::size_t(p.cols), least, greedy);
}
Coloring color_rows(const SparsityPattern& p) { return color_columns(p.transpose()); }

Coloring color_star(const SparsityPattern& p, Loc loc) {
  if (p.rows != p.cols || p != p.transpose())
    internal::fail("color_star: the pattern is not symmetric.", loc, "E181",
                   "Unite it with its transpose: p | p.transpose().");
  Graph g;
  for (std::int64_t j = 0; j < p.cols; ++j) {
    for (auto i : p.column(j))
      if (i != j) g.to.push_back(i);
    g.start.push_back(std::int64_t(g.to.size()));
  }
  const std::int32_t least = g.to.empty() ? (p.cols > 0) : 2;
  return best(&g, g.size(), least, [&](const Order& order) { return Stars(g).color(order); });
}

}  // namespace jaxpp
