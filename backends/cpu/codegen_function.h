// codegen_function.h -- what generated functions are made of: places in memory, masks, accumulators.
//
//   codegen.cc          the walk: blocks, loops, lanes, while, if, calls
//   codegen_memory.cc   addresses; loads and stores of elements, in lanes and apart
//   codegen_records.cc  elements side by side, a few for each lane, in whole vectors
//   codegen_reduce.cc   sums and other combinations in registers
//
// Inside a loop in lanes a value is a scalar, the same for all lanes, or a vector.  The loop's variable is bound to the
// index of lane 0.  Locals that belong to the loop or to what is inside hold a vector for each element.
#pragma once
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include "backends/cpu/codegen.h"
#include "backends/cpu/elementwise.h"
#include "backends/cpu/ir.h"
#include "backends/cpu/runtime.h"
#include "backends/loops/schedule.h"

namespace jaxpp::native {

using namespace internal;
using loops::Affine;
using loops::Combine;
using loops::Sym;

class Generator {
 public:
  Generator(const loops::Program&, const Machine&, bool contract);
  Generated run(std::size_t most_modules);

 private:
  using V = ir::Value;

  // ---- codegen.cc
  void program();
  struct Part;
  void part(const Part&);
  void begin(std::string_view name, int parameters);
  void end();
  void block(const loops::Block&);
  void node(const loops::Loop&);
  void node(const loops::Let&);
  void node(const loops::Const&);
  void node(const loops::Index&);
  void node(const loops::Clip&);
  void node(const loops::Load&);
  void node(const loops::Store&);
  void node(const loops::While&);
  void node(const loops::If&);
  void node(const loops::Call&);
  bool can_be_part(const loops::Loop&) const;
  void work_items(const loops::Loop&);
  void work_item(const loops::Loop&, V chunk);
  void loop(const loops::Loop&, V from, V to);
  void scalar_loop(const loops::Loop&, V from, V to);
  void lane_loop(const loops::Loop&, V from, V to);
  /// body(i) for i = from, from + step, ... < to.
  template <class F>
  void repeat(V from, V to, std::int64_t step, bool more_than_once, F body) {
    if (!more_than_once) return body(from);
    const ir::Label before = w_.current(), head = w_.label(), latch = w_.label(), done = w_.label();
    w_.place(head);
    const V next = w_.promise(from.type);
    const V i = w_.phi(from.type, {{from, before}, {next, latch}});
    body(i);
    w_.place(latch);
    w_.define_sum(next, i, ir::integer(from.kind(), std::uint64_t(step)));
    w_.branch(w_.compare("slt", next, to), head, done);
    w_.place(done);
  }
  /// Whether any lane of a mask is on.
  V any(V mask);
  V both(V mask, V other) { return mask ? w_.binary("and", mask, other) : other; }

  // ---- codegen_memory.cc
  /// Element c + lane * stride + lanes[lane] of a buffer, c a scalar.
  struct Place {
    V scalar;
    std::int64_t stride = 0;   // of a loop in lanes: elements from one lane to the next
    V lanes;                   // none, or what differs otherwise
    bool past_caches = false;  // stores need not go through the caches, if the buffer is aligned
    bool uniform() const { return !stride && !lanes; }
    bool contiguous() const { return stride == 1 && !lanes; }
  };
  Place place(int buffer, const Affine&);
  /// The affine function without its lanes, as an i64.
  V scalar_part(const Affine&);
  V base(int buffer);
  V slot(Slot);
  V allocate(const loops::Buffer&, int lanes);
  /// Lanes that a buffer holds for each element: more than 1 only for locals of a loop in lanes.
  int held(int buffer) const;
  /// One element (or vector of them) whose components lie one after the other, re before im.
  Element read(DType, V address, int lanes, int align);
  void write(const Element&, V address, int lanes, int align);
  V component(V address, DType, int lanes, int c);
  Element load(int buffer, const Place&);
  void store(int buffer, const Place&, Element, V mask);
  /// Results that are too large to be in a cache when they are complete, and that nothing here reads.
  void find_past_caches();
  /// Whether lane 0 of such a result stands where a register may, if the result does.
  bool past_caches(int buffer, const Affine&) const;
  /// Whether this run's memory of a result may be written without going through the caches.
  V may_pass_caches(int buffer);
  void store_vector(V v, V at, V mask, int align);
  /// One address a lane.
  V addresses(int buffer, const Place&, int component);
  void combine_lane_after_lane(int buffer, const Place&, Combine, const Element&, V mask);
  Element widened(const Element&, int lanes);
  Element selected(V condition, const Element& a, const Element& b);
  V interleaved_mask(V mask);

  // ---- codegen_records.cc
  using Where = std::pair<int, Affine>;  // a buffer, and an index in it
  struct Record {                        // elements that every lane has, from `first` on
    std::int64_t first = 0, stride = 0;
    bool in_rows = false;
    std::vector<bool> wanted{};   // by component
    std::vector<V> components{};  // empty: not read yet
  };
  struct Waiting {  // stores, by constant of the index
    Where where;
    std::int64_t stride = 0;
    std::map<std::int64_t, std::pair<Place, Element>> stores;
  };
  /// The records that a loop in lanes loads from, where whole vectors are cheaper than gathers.
  void find_records(const loops::Loop&);
  void add_records(const Where&, std::int64_t stride, const std::vector<std::int64_t>& loaded);
  void read_record(int buffer, const Affine& base, Record&);
  std::optional<Element> element_of_record(int buffer, const Affine& base, std::int64_t c);
  /// Without a gather, if that is cheaper.
  std::optional<Element> load_cheaply(const loops::Load&);
  /// Whether the store waits for others of its record.
  bool postpone(const loops::Store&, const Element&);
  /// Writes what waits: of one buffer, or of all.
  void settle(int buffer = -1);
  void write_records(const Waiting&);
  void write_together(const Waiting&);
  void write_rows(const Waiting&, std::int64_t first, std::int64_t run);
  std::vector<V> stored_components(const Waiting&, std::int64_t first, std::int64_t elements);
  void forget_records(std::size_t known);
  /// Code that may not run, or runs again: what it reads is not known behind it, and no store waits across its ends.
  template <class F>
  void aside(F code) {
    settle();
    const std::size_t known = read_.size();
    code();
    settle();
    forget_records(known);
  }
  /// An index, with the numbers that some of its symbols are here.
  Affine without_numbers(const Affine&);
  V record_address(int buffer, const Affine&);
  V record_mask(std::int64_t stride, int components, int lanes, int k);
  int record_lanes(DType) const;
  V merged(V a, V b, std::vector<int> lanes);
  /// Every p-th element of p vectors, from the r-th on; and back.
  V every(std::span<const V> x, int r);
  std::vector<V> in_turn(std::vector<V> x);
  /// n vectors of records of n components, as the components that are wanted; and back.
  std::vector<V> deinterleaved(const std::vector<V>& x, const std::vector<bool>& wanted);
  std::vector<V> interleaved(const std::vector<V>& components);
  std::vector<V> transposed(std::vector<V>);
  V joined(std::vector<V> parts);
  V part_of(V, int from, int lanes);
  V reversed(V);

  // ---- codegen_reduce.cc
  struct Accumulator {
    V slot;  // address of one element of `lanes`, or of an array of them
    Combine combine = Combine::set;
    DType dtype = DType::f32;
    int lanes = 1;
    Place place;  // in memory, behind the loop
    // Of an array: where it begins in the buffer, and its elements.
    Affine first{};
    std::int64_t size = 1;
    std::int64_t run =
        0;  // not one element but so many side by side: of a loop in lanes inside, of one step
  };
  struct Opened {
    struct Held {
      Where where;
      std::optional<Accumulator> outer;  // what the same place had in the loops around
    };
    std::vector<Held> places;
    std::vector<int> arrays;
  };
  /// Combining stores of the loop that can go to registers, or to an array of vectors, until it ends.
  Opened open_accumulators(const loops::Loop&);
  /// The elements of a buffer that the combining stores of a loop may mean: first and size.  None: their distance is not
  /// known.
  std::optional<std::pair<Affine, std::int64_t>> span(const std::vector<Affine>& moving,
                                                      const std::unordered_set<Sym>& inside) const;
  /// Whether so many elements from `first` are this work item's alone, if the places in them that it means are.
  bool apart(const Affine& first, std::int64_t size) const;
  void close_accumulators(const Opened&);
  void store_run(int buffer, const Accumulator&);
  Element combined(Combine, const Element& a, const Element& b);
  Element horizontal(Combine, Element);
  Element identity(Combine, DType) const;
  bool accumulate(const loops::Store&, const Element&);

  Element constant(const loops::Element&) const;
  void define(Sym s, const Element& e) {
    values_[std::size_t(s)] = e;
    defined_.push_back(s);
  }
  void define_index(Sym s, V v) {
    indices_[std::size_t(s)] = v;
    defined_.push_back(s);
  }
  const Element& value(Sym s) {
    if (!values_[std::size_t(s)].v[0]) bring(s);
    return values_[std::size_t(s)];
  }
  V index(Sym s) {
    if (!indices_[std::size_t(s)]) bring(s);
    return indices_[std::size_t(s)];
  }

  // ---- codegen_segments.cc: programs that are cut into functions, and the parts of loops
  /// The positions in the program's body where functions begin, and its end.
  std::vector<std::size_t> segments() const;
  /// Symbols that are used in a later function than the one that defines them get places in scratch memory.
  void find_crossings(const std::vector<std::size_t>& cuts);
  void leave_crossing(const loops::Node&);
  void bring(Sym);
  struct Crossing;
  V crossing_place(const Crossing&);
  void leave(Sym, const Crossing&);
  void take(Sym, const Crossing&);
  /// Writes what a loop uses of the values and indices around it to the arena, where its part finds it.
  std::vector<std::pair<Sym, Crossing>> leave_captured(const loops::Loop&);
  void place_in_scratch(int buffer);
  std::int64_t take_scratch(std::int64_t bytes);

  const loops::Program& p_;
  const Machine& machine_;
  const bool contract_;
  ir::Writer w_;
  Generated out_;
  Target target_{.writer = w_, .runtime = {}, .blocks = out_.blocks};
  std::vector<loops::Interval> intervals_;
  std::int64_t program_scratch_ = 0, part_scratch_ = 0;
  // By buffer: lanes that it holds; offset of a temp; number of a constant.
  std::vector<int> held_;
  std::vector<std::int64_t> temps_;
  std::vector<int> constants_;
  std::vector<bool> past_caches_;
  struct Crossing {
    std::int64_t at = 0;  // in scratch memory, or in the arena
    bool in_arena = false;
    DType dtype = DType::i64;
    bool is_index = false;
    const loops::Const* number = nullptr;  // written again instead
  };
  template <class F>
  void each_definition(const loops::Node&, F define) const;
  std::unordered_map<Sym, Crossing> crossings_;
  std::unordered_map<Sym, const loops::Const*> numbers_;
  struct Part {
    std::string name;
    const loops::Loop* loop;
    std::vector<std::pair<Sym, Crossing>> captured;
    double times;
  };
  std::vector<Part> parts_;
  const loops::Loop* part_ = nullptr;  // the loop whose chunks the function being written runs
  bool apart_ = false;                 // top-level loops are functions of their own
  std::unordered_map<Sym, std::vector<int>> locals_;  // buffers, by the loop that owns them

  // ---- Of the function that is being written
  std::vector<Element> values_;  // by symbol
  std::vector<V> indices_;       // by symbol: loop variables, chunks, clips
  std::vector<Sym> defined_;     // of both
  std::vector<V> bases_;         // by buffer
  V slots_[kBlockSlot + 1];      // of the runtime's table
  std::vector<V> may_pass_;      // by buffer: may_pass_caches
  std::map<std::pair<int, std::vector<int>>, V> orders_;  // of merged(), by bits of an element
  int lanes_ = 1;
  Sym lane_ = loops::kNone;   // the variable of the loop in lanes
  bool lanes_apart_ = false;  // lane 0 is a multiple of the lanes
  V tail_;                    // lanes that exist; none: all
  V left_;                    // with a tail: how many lanes exist
  V whole_;                   // with a tail: whether all lanes exist
  V mask_;                    // lanes that exist and run; none: all
  bool blend_ = false;        // some lanes may be at rest: held locals keep their elements
  std::map<Where, std::vector<Record>> records_;  // of the loop in lanes
  std::vector<Record*> read_;                     // of those
  std::map<int, Waiting> waiting_;                // by buffer
  std::map<Where, Accumulator> accumulators_;
  std::unordered_map<int, Accumulator> arrays_;
  std::int64_t scratch_ = 0, most_scratch_ = 0;  // bytes in use
  int depth_ = 0;                                // of loops and branches
  double times_ = 1;                             // about how often what is written runs
  bool forks_ = true;                            // what is written runs once at a time
};

}  // namespace jaxpp::native
