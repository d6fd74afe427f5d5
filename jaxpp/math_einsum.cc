// math_einsum.cc -- einsum: parse the labels, reduce each operand alone, then contract pairs until
// one is left.
//
// The order of contraction is greedy: next, the pair whose result grows the least over its
// operands.  One contraction is one dot_general: labels of both operands that nobody needs later
// are contracted, those needed later are batch labels.
#include <algorithm>
#include <map>
#include "jaxpp/math_internal.h"

namespace jaxpp {

using namespace internal;

namespace {

// A label is a letter; the axes behind an ellipsis are 0, 1, ... counted from the right.
struct Term {
  Array value;
  std::vector<int> labels;
};
bool has(const std::vector<int>& v, int label) {
  return std::find(v.begin(), v.end(), label) != v.end();
}
std::int64_t axis_with(const Term& t, int label) {
  return std::find(t.labels.begin(), t.labels.end(), label) - t.labels.begin();
}

class Einsum {
 public:
  Einsum(EinsumSpec spec, const std::vector<Array>& operands) : spec_(spec) {
    std::vector<Array> x = operands;
    promote_types_of("einsum", x, spec.loc);
    if (x.empty()) wrong("there are no operands");
    boolean_ = is_bool(x[0].dtype());
    if (boolean_)
      for (auto& a : x) a = lax::convert_element_type(a, DType::i32, spec.loc);
    parse(x);
  }

  Array run() {
    for (auto& t : terms_) {
      drop_broadcast_axes(t);
      take_diagonals(t);
    }
    for (std::size_t i = 0; i < terms_.size(); ++i) sum_private_labels(i);
    while (terms_.size() > 1) contract_cheapest_pair();
    Dims order;
    for (int label : output_) order.push_back(axis_with(terms_[0], label));
    Array y = lax::transpose(terms_[0].value, order, loc());
    return boolean_ ? truth(y, "einsum", loc()) : y;
  }

 private:
  Loc loc() const { return spec_.loc; }
  [[noreturn]] void wrong(const std::string& what) const {
    fail("einsum: \"" + std::string(spec_.text) + "\": " + what + ".", user_loc(loc()), "E95");
  }

  // ---- Labels
  /// The labels of one operand, or of the result (rank -1): "...ij" -> ..., i, j.
  std::vector<int> labels_of(std::string_view text, int rank, int ellipsis_rank) const {
    std::vector<int> labels;
    bool ellipsis = false;
    const int letters =
        int(std::count_if(text.begin(), text.end(), [](char c) { return c != '.' && c != ' '; }));
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == ' ') continue;
      if (text.substr(i, 3) == "..." && !ellipsis) {
        ellipsis = true;
        i += 2;
        const int n = rank < 0 ? ellipsis_rank : rank - letters;
        for (int k = n; k-- > 0;) labels.push_back(k);
      } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
        labels.push_back(c);
      } else {
        wrong(std::string("`") + c + "` is not a label");
      }
    }
    return labels;
  }
  void parse(const std::vector<Array>& x) {
    std::string_view text = spec_.text, in = text;
    const auto arrow = text.find("->");
    if (arrow != text.npos) in = text.substr(0, arrow);
    for (std::size_t i = 0;; ++i) {
      const auto comma = in.find(',');
      if (i >= x.size())
        wrong("names more operands than the " + std::to_string(x.size()) + " given");
      Term t{x[i], labels_of(in.substr(0, comma), x[i].ndim(), 0)};
      if (t.labels.size() != x[i].shape().size())
        wrong("operand " + std::to_string(i) + ", " + x[i].type()->str() + ", has " +
              std::to_string(x[i].ndim()) + " axes");
      for (std::size_t k = 0; k < t.labels.size(); ++k) {
        auto& size = size_.try_emplace(t.labels[k], 1).first->second;
        const auto n = x[i].shape()[k];
        if (n != 1 && size != 1 && n != size) {
          const std::string name = t.labels[k] < 'A' ? "..." : std::string(1, char(t.labels[k]));
          wrong("label " + name + " has sizes " + std::to_string(size) + " and " +
                std::to_string(n));
        }
        if (n != 1) size = n;
      }
      terms_.push_back(std::move(t));
      if (comma == in.npos) {
        if (i + 1 != x.size())
          wrong("names fewer operands than the " + std::to_string(x.size()) + " given");
        break;
      }
      in = in.substr(comma + 1);
    }
    int ellipsis_rank = 0;
    for (auto& [label, size] : size_)
      if (label < 'A') ellipsis_rank = std::max(ellipsis_rank, label + 1);
    if (arrow != text.npos) {
      output_ = labels_of(text.substr(arrow + 2), -1, ellipsis_rank);
    } else {  // the ellipsis, then the labels that occur once, in alphabetical order
      for (int k = ellipsis_rank; k-- > 0;) output_.push_back(k);
      for (auto& [label, size] : size_) {
        std::ptrdiff_t n = 0;
        for (auto& t : terms_) n += std::count(t.labels.begin(), t.labels.end(), label);
        if (label >= 'A' && n == 1) output_.push_back(label);
      }
    }
    for (int label : output_) {
      if (!size_.count(label))
        wrong(std::string("label ") + char(label) + " of the result is not in an operand");
      if (std::count(output_.begin(), output_.end(), label) > 1)
        wrong(std::string("label ") + char(label) + " occurs twice in the result");
    }
  }

  // ---- One operand
  /// An axis of size 1 whose label is longer elsewhere broadcasts: without it the operand is the
  /// same factor.
  void drop_broadcast_axes(Term& t) {
    Dims ones;
    std::vector<int> kept;
    for (std::size_t k = 0; k < t.labels.size(); ++k) {
      if (t.value.shape()[k] == 1 && size_[t.labels[k]] != 1)
        ones.push_back(std::int64_t(k));
      else
        kept.push_back(t.labels[k]);
    }
    if (ones.empty()) return;
    t.value = lax::squeeze(t.value, ones, loc());
    t.labels = kept;
  }
  void take_diagonals(Term& t) {
    for (std::size_t i = 0; i < t.labels.size();) {
      const int label = t.labels[i];
      auto second = std::find(t.labels.begin() + std::ptrdiff_t(i) + 1, t.labels.end(), label);
      if (second == t.labels.end()) {
        ++i;
        continue;
      }
      t.value = diagonal(t.value, 0, int(i), int(second - t.labels.begin()),
                         loc());  // the new axis is the last
      t.labels.erase(second);
      t.labels.erase(t.labels.begin() + std::ptrdiff_t(i));
      t.labels.push_back(label);
    }
  }
  bool needed_beyond(int label, std::size_t a, std::size_t b) const {
    if (has(output_, label)) return true;
    for (std::size_t i = 0; i < terms_.size(); ++i)
      if (i != a && i != b && has(terms_[i].labels, label)) return true;
    return false;
  }
  void sum_private_labels(std::size_t i) {
    Term& t = terms_[i];
    Dims axes;
    std::vector<int> kept;
    for (std::size_t k = 0; k < t.labels.size(); ++k) {
      if (needed_beyond(t.labels[k], i, i))
        kept.push_back(t.labels[k]);
      else
        axes.push_back(std::int64_t(k));
    }
    if (axes.empty()) return;
    t.value = lax::reduce_sum(t.value, axes, loc());
    t.labels = kept;
  }

  // ---- Two operands
  double size_of(const std::vector<int>& labels) {
    double n = 1;
    for (int label : labels) n *= double(size_[label]);
    return n;
  }
  std::vector<int> result_labels(std::size_t a, std::size_t b) const {
    std::vector<int> batch, rest;
    for (int label : terms_[a].labels)
      if (has(terms_[b].labels, label)) {
        if (needed_beyond(label, a, b)) batch.push_back(label);
      } else {
        rest.push_back(label);
      }
    for (int label : terms_[b].labels)
      if (!has(terms_[a].labels, label)) rest.push_back(label);
    batch.insert(batch.end(), rest.begin(), rest.end());
    return batch;
  }
  void contract_cheapest_pair() {
    std::size_t a = 0, b = 1;
    double best = 0;
    for (std::size_t i = 0; i < terms_.size(); ++i)
      for (std::size_t j = i + 1; j < terms_.size(); ++j) {
        const double growth =
            size_of(result_labels(i, j)) - size_of(terms_[i].labels) - size_of(terms_[j].labels);
        if ((i == 0 && j == 1) || growth < best) {
          best = growth;
          a = i, b = j;
        }
      }
    // the result comes out as batch, rest of the first, rest of the second: the last one in the
    // order of the result, if the operands are taken the right way round
    if (terms_.size() == 2 && result_labels(b, a) == output_) std::swap(a, b);
    DotDims d;
    for (int label : terms_[a].labels) {
      if (!has(terms_[b].labels, label)) continue;
      const bool kept = needed_beyond(label, a, b);
      (kept ? d.lhs_batch : d.lhs_contracting).push_back(axis_with(terms_[a], label));
      (kept ? d.rhs_batch : d.rhs_contracting).push_back(axis_with(terms_[b], label));
    }
    Term r{lax::dot_general(terms_[a].value, terms_[b].value, d, {}, loc()), result_labels(a, b)};
    terms_.erase(terms_.begin() + std::ptrdiff_t(std::max(a, b)));
    terms_[std::min(a, b)] = std::move(r);
  }

  EinsumSpec spec_;
  std::vector<Term> terms_;
  std::vector<int> output_;
  std::map<int, std::int64_t> size_;
  bool boolean_;
};

}  // namespace

Array einsum(EinsumSpec spec, const std::vector<Array>& operands) {
  return Einsum(spec, operands).run();
}

}  // namespace jaxpp
