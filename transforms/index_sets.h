// index_sets.h -- sets of indices, each stored once and known by a number, so that arrays of sets are arrays of numbers.
#pragma once
#include <absl/container/flat_hash_map.h>
#include <cstdint>
#include <span>
#include <vector>

namespace jaxpp::internal {

/// Set 0 is empty, set i + 1 is {i} for i below the number of indices, unions get the numbers that follow.
class IndexSets {
 public:
  static constexpr std::size_t kMost = 500'000'000;  // elements of all sets: 2 GB
  struct Full {};                                    // thrown by unite beyond that
  using Id = std::int32_t;
  explicit IndexSets(std::int64_t indices);
  std::span<const std::int32_t> elements(Id) const;  // ascending
  std::size_t size(Id s) const { return start_[std::size_t(s) + 1] - start_[std::size_t(s)]; }
  Id unite(Id a, Id b);
  Id unite(std::span<const Id>);
  std::size_t count() const { return start_.size() - 1; }

 private:
  Id intern(const std::vector<std::int32_t>& elements);
  Id unite_many(std::vector<Id>& distinct);
  std::vector<std::int32_t> elements_;
  std::vector<std::size_t> start_;
  absl::flat_hash_map<std::uint64_t, Id>
      by_content_;  // of unions; by hash, the next free one where hashes meet
  absl::flat_hash_map<std::uint64_t, Id> by_pair_;  // (smaller << 32 | larger) -> union
  absl::flat_hash_map<std::uint64_t, std::size_t>
      by_list_;  // hash of a list -> its place in lists_
  struct List {
    std::vector<Id> members;
    Id united;
  };
  std::vector<List> lists_;
  std::vector<std::int32_t> buffer_;
  std::vector<Id> ids_;
};

}  // namespace jaxpp::internal
