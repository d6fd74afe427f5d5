// small_vec.h -- a vector whose first N elements live inside it.  Operand lists and shapes are short: they must not
// allocate.  (Public headers include the standard library only, so this is not absl::InlinedVector.)
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace jaxpp {

template <class T, std::uint32_t N>
class SmallVec {
 public:
  using value_type = T;
  using iterator = T*;
  using const_iterator = const T*;
  SmallVec() = default;
  template <class I>
  requires(std::is_integral_v<I> && !std::is_same_v<I, bool>) explicit SmallVec(I n,
                                                                                const T& v = T()) {
    resize(std::size_t(n), v);
  }
  SmallVec(std::initializer_list<T> v) : SmallVec(v.begin(), v.end()) {}
  template <class It>
  requires(!std::is_integral_v<It>) SmallVec(It b, It e) {
    reserve(std::size_t(e - b));
    for (; b != e; ++b) push_back(*b);
  }
  SmallVec(const SmallVec& o) : SmallVec(o.begin(), o.end()) {}
  SmallVec(SmallVec&& o) noexcept { take(o); }
  SmallVec& operator=(const SmallVec& o) {
    if (this != &o) {
      SmallVec copy(o);
      reset();
      take(copy);
    }
    return *this;
  }
  SmallVec& operator=(SmallVec&& o) noexcept {
    if (this != &o) {
      reset();
      take(o);
    }
    return *this;
  }
  ~SmallVec() { reset(); }

  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  T& front() { return data_[0]; }
  const T& front() const { return data_[0]; }
  T& back() { return data_[size_ - 1]; }
  const T& back() const { return data_[size_ - 1]; }
  template <class U>
  void push_back(U&& v) {
    if (size_ == cap_) {
      T keep(std::forward<U>(v));
      grow(2 * std::size_t(cap_));
      new (data_ + size_) T(std::move(keep));
    } else {
      new (data_ + size_) T(std::forward<U>(v));
    }
    ++size_;
  }
  template <class It>
  void append(It b, It e) {
    for (; b != e; ++b) push_back(*b);
  }
  void insert(std::size_t i, T v) {
    push_back(std::move(v));
    for (std::size_t k = size_ - 1; k > i; --k) std::swap(data_[k], data_[k - 1]);
  }
  void erase(std::size_t i) {
    for (; i + 1 < size_; ++i) data_[i] = std::move(data_[i + 1]);
    pop_back();
  }
  void pop_back() { data_[--size_].~T(); }
  void resize(std::size_t n, const T& v = T()) {
    while (size_ > n) pop_back();
    reserve(n);
    while (size_ < n) push_back(v);
  }
  void reserve(std::size_t n) {
    if (n > cap_) grow(n);
  }
  void clear() {
    while (size_) pop_back();
  }
  bool operator==(const SmallVec& o) const {
    return std::equal(begin(), end(), o.begin(), o.end());
  }

 private:
  T* inside() { return std::launder(reinterpret_cast<T*>(buffer_)); }
  [[gnu::noinline]] void grow(std::size_t n) {  // out of line: rare
    T* p = std::allocator<T>().allocate(n);
    for (std::uint32_t i = 0; i < size_; ++i) {
      new (p + i) T(std::move(data_[i]));
      data_[i].~T();
    }
    if (data_ != inside()) std::allocator<T>().deallocate(data_, cap_);
    data_ = p;
    cap_ = std::uint32_t(n);
  }
  void take(SmallVec& o) {  // *this is empty and inline
    if (o.data_ != o.inside()) {
      data_ = std::exchange(o.data_, o.inside());
      cap_ = std::exchange(o.cap_, N);
      size_ = std::exchange(o.size_, 0);
      return;
    }
    for (T& v : o) new (data_ + size_++) T(std::move(v));
    o.clear();
  }
  void reset() {
    clear();
    if (data_ != inside()) {
      std::allocator<T>().deallocate(data_, cap_);
      data_ = inside();
      cap_ = N;
    }
  }
  T* data_ = inside();
  std::uint32_t size_ = 0, cap_ = N;
  alignas(T) std::byte buffer_[N * sizeof(T)];
};

}  // namespace jaxpp
