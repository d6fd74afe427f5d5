// io.h -- arrays in files: numpy's .npy and .npz, and safetensors.
//
//   save("x.npy", x);                        Array x = load("x.npy");
//   savez("xy.npz", {{"x", x}, {"y", y}});   NamedArrays a = load_npz("xy.npz");   a.at("x")
//   save_tree("model.safetensors", model);   model = load_tree("model.safetensors", model);
//
// Elements are written row-major and little-endian; every order that the formats know is read.  A file is written under
// another name first and takes its own when it is complete, so that a full disk leaves what was there before.
// What is read is not trusted: names, shapes and positions are checked against the size of the file before memory is
// taken for them, and whatever is wrong is a ParseError [E171]; a file that cannot be opened is an Error [E170].
//
// bfloat16 in .npy is '<V2', as ml_dtypes writes it; '<V2' is read as bfloat16.
#pragma once
#include <map>
#include "jaxpp/tree_paths.h"

namespace jaxpp {

/// Arrays by name.  A tree, so that transforms go through it.
using NamedArrays = std::map<std::string, Array>;

/// Writes one array in numpy's .npy format.  The path is taken as it is: numpy's habit of adding ".npy" is not followed.
void save(const std::string& path, const Array& x, Loc loc = Loc::current());
/// Reads a .npy file of version 1, 2 or 3.  Structured, object, string and long double elements are refused [E171].
Array load(const std::string& path, Loc loc = Loc::current());

/// Writes arrays as a .npz archive, uncompressed.
void savez(const std::string& path, const NamedArrays& arrays, Loc loc = Loc::current());
/// The same, deflated; an Error [E172] where jaxpp was built without zlib.
void savez_compressed(const std::string& path, const NamedArrays& arrays, Loc loc = Loc::current());
/// Reads a .npz archive, stored or deflated, with zip64 where it is large.
NamedArrays load_npz(const std::string& path, Loc loc = Loc::current());

/// Writes arrays as safetensors, with `metadata` (strings by name).  The format has no complex128 [E172].
void save_safetensors(const std::string& path, const NamedArrays& arrays,
                      const std::map<std::string, std::string>& metadata = {},
                      Loc loc = Loc::current());
/// Reads a safetensors file; its metadata into *metadata if that is given.
NamedArrays load_safetensors(const std::string& path,
                             std::map<std::string, std::string>* metadata = nullptr,
                             Loc loc = Loc::current());

namespace internal {
void save_leaves(const std::string& path, const std::vector<std::string>& names, Args leaves,
                 Loc loc);
void load_leaves(const std::string& path, const std::vector<std::string>& names, Args like,
                 Results& out, Loc loc);
}  // namespace internal

/// Writes the leaves of a tree under their tree_paths, as .safetensors or as .npz: the ending says which.
///   struct Layer { Array w, b; };  struct Mlp { Layer hidden, out; };   hidden.w, hidden.b, out.w, out.b
template <class T>
void save_tree(const std::string& path, const T& tree, Loc loc = Loc::current()) {
  internal::save_leaves(path, tree_paths(tree), args(internal::leaves(tree)), loc);
}
/// A tree of the structure of `like`, with the leaves that the file has under its tree_paths.  Names, shapes and dtypes
/// must be those of `like`, or a TypeError [E173] says which differ; the values of `like` are not looked at.
template <class T>
T load_tree(const std::string& path, T like, Loc loc = Loc::current()) {
  internal::Results found;
  internal::load_leaves(path, tree_paths(like), args(internal::leaves(like)), found, loc);
  return internal::unflatten(std::move(like), args(found));
}

}  // namespace jaxpp
