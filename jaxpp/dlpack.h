// dlpack.h -- arrays to and from other libraries without a copy, by DLPack 1.x.
//
//   DLManagedTensorVersioned* t = to_dlpack(x);     // whoever takes t calls t->deleter(t) when it is done
//   Array y = from_dlpack(t);                       // takes t: the array calls the deleter when it goes
//
// The structures are those of <dlpack/dlpack.h>; a program without that header includes jaxpp/dlpack_abi.h, which
// declares the same.  Elements are row-major: what has other strides, or is not aligned for its elements, is copied.
#pragma once
#include "jaxpp/core/array.h"

struct DLManagedTensor;           // DLPack 0.x
struct DLManagedTensorVersioned;  // DLPack 1.x

namespace jaxpp {

/// The elements of x as a tensor on the CPU, shared and marked as read-only: an array is immutable.  An array of a GPU is
/// copied to the host.  Throws ConcretizationError [E07] on a traced array.
DLManagedTensorVersioned* to_dlpack(const Array& x, Loc loc = Loc::current());
/// The same for libraries that know DLPack 0.x only, which has no mark: the elements must not be written.
DLManagedTensor* to_dlpack_legacy(const Array& x, Loc loc = Loc::current());

/// An Array of somebody else's tensor in memory of the CPU (pinned and managed memory of CUDA included).  The elements are
/// shared where they are contiguous, and must not be written any more; `copy` takes a copy in any case, and calls the deleter
/// at once.  Throws TypeError [E175] on tensors of devices, on dtypes that jaxpp has not, and on lanes; the deleter is called
/// then too.
Array from_dlpack(DLManagedTensorVersioned* tensor, bool copy = false, Loc loc = Loc::current());
Array from_dlpack(DLManagedTensor* tensor, bool copy = false, Loc loc = Loc::current());

}  // namespace jaxpp
