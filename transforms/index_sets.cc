// index_sets.cc -- see index_sets.h.  Unions are remembered by their operands and by their elements: a stencil makes each set
// once however often its program mentions it, and a dense result is one set for all of its elements.
#include "transforms/index_sets.h"
#include <algorithm>

namespace jaxpp::internal {
namespace {
std::uint64_t mixed(std::uint64_t h, std::uint64_t v) {
  h = (h ^ v) * 0x9E3779B97F4A7C15ull;
  return h ^ (h >> 29);
}
std::uint64_t hash_of(std::span<const std::int32_t> v) {
  std::uint64_t h = v.size();
  for (auto e : v) h = mixed(h, std::uint64_t(std::uint32_t(e)));
  return h;
}
}  // namespace

IndexSets::IndexSets(std::int64_t indices) {
  elements_.resize(std::size_t(indices));
  start_.reserve(std::size_t(indices) + 2);
  start_ = {0, 0};
  for (std::int64_t i = 0; i < indices; ++i) {
    elements_[std::size_t(i)] = std::int32_t(i);
    start_.push_back(std::size_t(i) + 1);
  }
}
std::span<const std::int32_t> IndexSets::elements(Id s) const {
  return {elements_.data() + start_[std::size_t(s)], size(s)};
}
IndexSets::Id IndexSets::intern(const std::vector<std::int32_t>& v) {
  if (v.empty()) return 0;
  if (v.size() == 1) return v[0] + 1;
  for (std::uint64_t h = hash_of(v);; ++h) {
    auto [place, is_new] = by_content_.try_emplace(h, Id(count()));
    if (is_new) {
      if (elements_.size() + v.size() > kMost) throw Full();
      elements_.insert(elements_.end(), v.begin(), v.end());
      start_.push_back(elements_.size());
      return place->second;
    }
    if (std::ranges::equal(elements(place->second), v)) return place->second;
  }
}
IndexSets::Id IndexSets::unite(Id a, Id b) {
  if (a == b || b == 0) return a;
  if (a == 0) return b;
  if (a > b) std::swap(a, b);
  const std::uint64_t pair = std::uint64_t(a) << 32 | std::uint64_t(b);
  if (auto known = by_pair_.find(pair); known != by_pair_.end()) return known->second;
  const auto x = elements(a), y = elements(b);
  buffer_.clear();
  std::set_union(x.begin(), x.end(), y.begin(), y.end(), std::back_inserter(buffer_));
  const Id united = buffer_.size() == x.size()   ? a
                    : buffer_.size() == y.size() ? b
                                                 : intern(buffer_);
  by_pair_.emplace(pair, united);
  return united;
}
IndexSets::Id IndexSets::unite(std::span<const Id> sets) {
  ids_.assign(sets.begin(), sets.end());
  std::ranges::sort(ids_);
  ids_.erase(std::unique(ids_.begin(), ids_.end()), ids_.end());
  if (!ids_.empty() && ids_.front() == 0) ids_.erase(ids_.begin());
  if (ids_.empty()) return 0;
  if (ids_.size() == 1) return ids_[0];
  if (ids_.size() == 2) return unite(ids_[0], ids_[1]);
  return unite_many(ids_);
}
IndexSets::Id IndexSets::unite_many(std::vector<Id>& distinct) {
  std::uint64_t h = hash_of(distinct);
  for (;; ++h) {
    auto [place, is_new] = by_list_.try_emplace(h, lists_.size());
    if (is_new) break;
    if (lists_[place->second].members == distinct) return lists_[place->second].united;
  }
  buffer_.clear();
  for (Id s : distinct) {
    const auto e = elements(s);
    buffer_.insert(buffer_.end(), e.begin(), e.end());
  }
  std::ranges::sort(buffer_);
  buffer_.erase(std::unique(buffer_.begin(), buffer_.end()), buffer_.end());
  const Id united = intern(buffer_);
  lists_.push_back({distinct, united});
  return united;
}

}  // namespace jaxpp::internal
