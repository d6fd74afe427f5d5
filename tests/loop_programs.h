// loop_programs.h -- what tests of loop programs share: a machine that runs them, and random programs.
#pragma once
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>
#include "backends/loops/loops.h"

namespace jaxpp::testing {

/// The program of a text, verified.
loops::Program loop_program(const std::string& text);
const loops::Buffer& buffer(const loops::Program&, const std::string& name);

/// Runs a program of i64 buffers, element by element.  It knows just what the tests use, looks at no type, honours the
/// memory plan, and may run the iterations of parallel loops in any order: forwards, backwards, or several at a time, one
/// node after the other, as vectors and threads do.  What a program has not written is garbage.
class Machine {
 public:
  enum class Run { forwards, backwards, together };
  /// together: so many iterations at a time, 0: all.  donate: outputs take over the memory of their donors.
  Machine(const loops::Program& p, Run how, std::int64_t lanes = 0, bool donate = true)
      : p_(p), how_(how), lanes_(lanes), donate_(donate) {}

  using Arrays = std::vector<std::vector<std::int64_t>>;
  Arrays run(const Arrays& in);
  std::int64_t touched() const { return touched_; }  ///< bytes of the arena, so far

 private:
  struct Lane {
    std::vector<std::int64_t> values;  // by symbol
    std::map<int, std::shared_ptr<std::vector<std::int64_t>>> locals;
  };
  using Active = std::vector<Lane*>;

  std::int64_t garbage() { return std::int64_t(rng_() % 1000) - 777777; }
  void give_locals(Lane&, loops::Sym scope);
  std::int64_t& element(int buffer, std::int64_t at, Lane&);
  void block(const loops::Block&, const Active&);
  void node(const loops::Loop&, const Active&);
  void node(const loops::Let&, const Active&);
  void node(const loops::Const&, const Active&);
  void node(const loops::Index&, const Active&);
  void node(const loops::Clip&, const Active&);
  void node(const loops::Load&, const Active&);
  void node(const loops::Store&, const Active&);
  void node(const loops::While&, const Active&);
  void node(const loops::If&, const Active&);
  void node(const loops::Call&, const Active&);

  const loops::Program& p_;
  const Run how_;
  const std::int64_t lanes_;
  const bool donate_;
  std::int64_t touched_ = 0;
  std::vector<std::int64_t> arena_;
  std::vector<std::int64_t*> memory_;  // by buffer
  std::mt19937 rng_{7};
};

/// Small numbers for the inputs of a program of i64 buffers.
Machine::Arrays inputs(const loops::Program&, unsigned seed);
/// The same by the interpreter.
Machine::Arrays interpreted(const loops::Program&, Machine::Arrays in, bool donate);
/// CHECKs that both programs give the same, by the machine in every order and by the interpreter, donated or not.
void check_equal(const loops::Program& plain, const loops::Program& changed, unsigned seed);

/// A random program of i64 arrays with 3 x 4 elements and of scalars: all kinds of nodes, loops over time, row kernels,
/// updates, indices from data.
std::string random_loop_program(unsigned seed);

}  // namespace jaxpp::testing
