#!/usr/bin/env python3
"""Exports functions of JAX to programs that jaxpp runs, differentiates and batches without Python.

    python tools/export_jax.py model.py:predict --args 'f32[8,64]' -o predict.json
    python tools/export_jax.py package.module:loss --args 'f64[3]' 'i32[]' --weights loss.safetensors -o loss.json

    from export_jax import export, save_tree, load_tree
    export(loss, params, x, y, path="loss.json")               # arguments: pytrees of arrays or jax.ShapeDtypeStruct
    export(predict, x, path="predict.json", weights="predict.safetensors")      # what predict closes over, in a file
    save_tree("params.safetensors", params)                    # what load_tree reads in C++, and the other way round

In C++ (jaxpp/exported.h):

    auto loss = load_jaxpr<Array(Params, Array, Array)>("loss.json");
    auto [value, gradient] = value_and_grad(loss)(params, x, y);

The format is that of docs/jaxpr-json.md.  Typed PRNG keys become uint32 arrays, random bits threefry2x32 by equations;
custom_jvp and custom_vjp functions bring their rules along.  What jaxpp does not have is an ExportError that names the
primitive and the line of the Python program.  Written for JAX 0.10; it looks into jax._src for the lowering of keys.
"""
import argparse
import base64
import enum
import importlib
import importlib.util
import inspect
import json
import math
import os
import re
import struct
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jax._src import core, source_info_util
from jax._src.random import core as random_core
from jax._src.random import prng
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

# Primitives that jaxpp reads (a test compares with its registry).
PRIMITIVES = set("""
abs acos acosh add add_any and approx_top_k argmax argmin asin asinh atan atan2 atanh bessel_i0e bessel_i1e
bitcast_convert_type broadcast_in_dim cbrt ceil cholesky clamp clz complex concatenate cond conj conv_general_dilated
convert_element_type copy cos cosh cumlogsumexp cummax cummin cumprod cumsum custom_jvp_call custom_linear_solve
custom_vjp_call device_put digamma div dot_general dynamic_slice dynamic_update_slice eig eigh eq eq_to erf erf_inv erfc exp
exp2 expand_dims expm1 fft floor gather ge gt householder_product igamma igamma_grad_a igammac imag integer_pow iota
iota_2x32_shape is_finite jit le le_to lgamma log log1p logistic lt lt_to lu lu_pivots_to_permutation max min mul mulhi name
ne neg nextafter not optimization_barrier or pad polygamma population_count pow qr random_gamma_grad real reduce reduce_and
reduce_max reduce_min reduce_or reduce_precision reduce_prod reduce_sum reduce_window reduce_window_max reduce_window_min
reduce_window_sum reduce_xor regularized_incomplete_beta rem remat2 reshape rev rng_bit_generator round rsqrt scan scatter
scatter-add scatter-max scatter-min scatter-mul scatter-sub select_and_gather_add select_and_scatter_add select_n shift_left
shift_right_arithmetic shift_right_logical sign sin sinh slice sort split sqrt square squeeze stack stop_gradient sub svd tan
tanh threefry2x32 tile top_k transpose triangular_solve tridiagonal_solve unstack while xor zeta
""".split())
READER_ONLY = {"platform_index"}  # known to the reader, which decides it at once
IDENTITIES = {"sharding_constraint", "reshard", "pvary", "mesh_cast", "layout_constraint"}  # on one device
INLINED = {"closed_call", "core_call", "core_closed_call", "custom_lin"}

# Parameters with no meaning on one device, or only for debugging and compilation.
DROPPED = {
    "*": ["sharding", "out_sharding", "accuracy"],
    "jit": ["in_shardings", "out_shardings", "in_layouts", "out_layouts", "donated_invars", "ctx_mesh", "keep_unused", "inline",
            "compiler_options_kvs"],
    "scan": ["unroll", "linear", "_split_transpose"],
    "remat2": ["prevent_cse", "policy", "differentiated"],
    "reduce": ["computation"],
    "device_put": ["devices", "srcs", "copy_semantics"],
    "custom_jvp_call": ["jvp_jaxpr_fun"],
    "custom_vjp_call": ["fwd_jaxpr_thunk", "bwd", "out_trees"],
    "qr": ["use_magma"],
    "eigh": ["algorithm"],
    "eig": ["implementation"],
    "svd": ["algorithm"],
}
RULE_DEPTH = 2  # a rule may call the function it belongs to; below this nesting rules are left out
INLINE_BYTES = 64  # smaller constants stay in the JSON, also where there is a file for weights


class ExportError(Exception):
    """A function that jaxpp cannot take over; the message says what of it, and where it stands."""


# ---- Arrays

DTYPES = {"bool": "BOOL", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64", "uint8": "U8", "uint16": "U16",
          "uint32": "U32", "uint64": "U64", "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64",
          "complex64": "C64", "complex128": None}


def dtype_name(dtype, where=""):
    name = np.dtype(dtype).name
    if name not in DTYPES:
        raise ExportError(f"jaxpp has no dtype {name}{where}.")
    return name


def little_endian(x):
    a = np.asarray(x)
    return np.ascontiguousarray(a.astype(a.dtype.newbyteorder("<"))) if a.dtype.byteorder == ">" else np.ascontiguousarray(a)


def array_json(x):
    a = np.asarray(x)
    return {"dtype": dtype_name(a.dtype), "shape": list(a.shape),
            "data": base64.b64encode(little_endian(a).tobytes()).decode("ascii")}


# ---- Trees as safetensors, under the names that jaxpp's tree_paths gives

def key_text(key):
    for attribute in ("key", "idx", "name"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def tree_paths(tree):
    """[(path, leaf)]: keys, fields and positions joined by dots."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(".".join(key_text(k) for k in path), leaf) for path, leaf in leaves]


def save_safetensors(path, arrays):
    arrays = {name: np.asarray(a) for name, a in arrays.items()}
    order = sorted(arrays, key=lambda n: (-arrays[n].dtype.itemsize, n))  # so that all are aligned
    header, at = {}, 0
    for name in order:
        a = arrays[name]
        kind = DTYPES[dtype_name(a.dtype)]
        if kind is None:
            raise ExportError(f"{name}: safetensors has no {a.dtype.name}.")
        header[name] = {"dtype": kind, "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            f.write(little_endian(arrays[name]).tobytes())


def save_tree(path, tree):
    """Writes a pytree so that jaxpp's load_tree(path, like) reads it."""
    named = tree_paths(tree)
    if len({n for n, _ in named}) != len(named):
        raise ExportError("two leaves of the tree have the same path.")
    save_safetensors(path, {n or "value": x for n, x in named})


def load_tree(path, like):
    """Reads what jaxpp's save_tree wrote, into the structure of `like`."""
    import ml_dtypes
    kinds = {kind: name for name, kind in DTYPES.items()}
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()

    def tensor(name):
        t = header[name]
        dtype = np.dtype(ml_dtypes.bfloat16 if t["dtype"] == "BF16" else kinds[t["dtype"]])
        begin, end = t["data_offsets"]
        return jnp.asarray(np.frombuffer(data[begin:end], dtype).reshape(t["shape"]))

    return jax.tree_util.tree_unflatten(jax.tree_util.tree_structure(like), [tensor(n or "value") for n, _ in tree_paths(like)])


# ---- Keys: random_seed, random_bits, random_split, ... become arithmetic of uint32 around threefry2x32

KEY_PRIMITIVES = {"random_seed", "random_bits", "random_split", "random_fold_in", "random_wrap", "random_unwrap", "random_clone",
                  "random_gamma"}


def is_key(aval):
    return hasattr(aval, "dtype") and jax.dtypes.issubdtype(aval.dtype, jax.dtypes.prng_key)


def inner_jaxprs(v):
    if isinstance(v, (ClosedJaxpr, Jaxpr)):
        yield v
    elif isinstance(v, (tuple, list)):
        for u in v:
            yield from inner_jaxprs(u)
    elif hasattr(v, "_fields"):
        for u in v:
            yield from inner_jaxprs(u)


def opened(j):
    return j.jaxpr if isinstance(j, ClosedJaxpr) else j


def needs_lowering(jaxpr):
    """Does a program use keys, or equations that are replaced?"""
    jaxpr = opened(jaxpr)
    if any(is_key(v.aval) for v in (*jaxpr.invars, *jaxpr.constvars)):
        return True
    for e in jaxpr.eqns:
        if e.primitive.name in KEY_PRIMITIVES | IDENTITIES | INLINED or any(is_key(v.aval) for v in e.outvars):
            return True
        if any(needs_lowering(s) for p in e.params.values() for s in inner_jaxprs(p)):
            return True
    return False


def physical_aval(aval):
    if is_key(aval):
        return jax.ShapeDtypeStruct(tuple(aval.shape) + tuple(aval.dtype._impl.key_shape), np.uint32)
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=getattr(aval, "weak_type", False))


def physical(v):
    if isinstance(v, jax.Array) and jax.dtypes.issubdtype(v.dtype, jax.dtypes.prng_key):
        return jax.random.key_data(v)
    return v


def lowered(closed):
    """The same program over uint32 arrays in the place of keys."""
    if not needs_lowering(closed):
        return closed
    avals = [physical_aval(v.aval) for v in closed.jaxpr.invars]
    consts = [physical(c) for c in closed.consts]
    return jax.make_jaxpr(lambda *a: evaluate(closed.jaxpr, consts, a))(*avals)


def lowered_params(params):
    def lower(v):
        if isinstance(v, ClosedJaxpr):
            return lowered(v)
        return tuple(map(lower, v)) if isinstance(v, tuple) and v and isinstance(v[0], ClosedJaxpr) else v
    return {k: lower(v) for k, v in params.items()}


def move_keys(e, ins):
    """Primitives that only move elements, on arrays of keys: with the axis of the key's words behind."""
    n, p = e.primitive.name, e.params
    x = ins[0]
    axes = e.invars[0].aval.ndim
    if n == "slice":
        strides = p["strides"] or (1,) * len(p["start_indices"])
        return x[tuple(slice(a, b, c) for a, b, c in zip(p["start_indices"], p["limit_indices"], strides))]
    if n == "squeeze":
        return jax.lax.squeeze(x, [d % axes for d in p["dimensions"]])
    if n == "expand_dims":
        return jax.lax.expand_dims(x, [d % (axes + len(p["dimensions"])) for d in p["dimensions"]])
    if n == "reshape":
        return jnp.reshape(x, tuple(p["new_sizes"]) + x.shape[-1:])
    if n == "transpose":
        return jnp.transpose(x, tuple(p["permutation"]) + (axes,))
    if n == "broadcast_in_dim":
        last = len(p["shape"])
        return jax.lax.broadcast_in_dim(x, tuple(p["shape"]) + x.shape[-1:], tuple(p["broadcast_dimensions"]) + (last,))
    if n == "concatenate":
        return jnp.concatenate(ins, axis=p["dimension"])
    if n == "dynamic_slice":
        return jax.lax.dynamic_slice(x, (*ins[1:], 0), tuple(p["slice_sizes"]) + x.shape[-1:])
    if n == "select_n":
        return jax.lax.select_n(jnp.broadcast_to(x[..., None], ins[1].shape) if x.ndim else x, *ins[1:])
    if n in ("copy", "copy_p", "device_put", "stop_gradient", "optimization_barrier"):
        return x
    raise ExportError(f"`{n}` of arrays of random keys is not exported{line_of(e)}.")


def evaluate(jaxpr, consts, args):
    """Runs a program equation by equation, under make_jaxpr, with keys as their words."""
    env = {}

    def read(v):
        return physical(v.val) if isinstance(v, Literal) else env[v]

    env.update(zip(jaxpr.constvars, consts))
    env.update(zip(jaxpr.invars, args))
    for e in jaxpr.eqns:
        ins = [read(v) for v in e.invars]
        with source_info_util.user_context(e.source_info.traceback):
            out = evaluate_equation(e, ins)
        env.update(zip(e.outvars, out))
    return [read(v) for v in jaxpr.outvars]


def evaluate_equation(e, ins):
    n, p = e.primitive.name, e.params
    x = e.invars[0].aval if e.invars else None
    if n == "random_seed":
        return [prng.iterated_vmap_unary(np.ndim(ins[0]), p["impl"].seed)(ins[0])]
    if n in ("random_wrap", "random_unwrap", "random_clone") or n in IDENTITIES:
        return list(ins)
    if n == "random_split":
        return [prng.random_split_impl_base(x.dtype._impl, ins[0], x.ndim, shape=p["shape"])]
    if n == "random_bits":
        return [prng.random_bits_impl_base(x.dtype._impl, ins[0], x.ndim, bit_width=p["bit_width"], shape=p["shape"])]
    if n == "random_fold_in":
        return [prng.random_fold_in_impl_base(x.dtype._impl, ins[0], ins[1], x.shape)]
    if n == "random_gamma":
        sampler = jax.make_jaxpr(lambda k, a: random_core._gamma_impl(
            prng.random_wrap(k, impl=x.dtype._impl), a, log_space=p["log_space"], use_vmap=False))(*ins)
        return evaluate(sampler.jaxpr, sampler.consts, ins)
    if n in INLINED:
        inner = p["call_jaxpr"] if "call_jaxpr" in p else p["jaxpr"]
        return evaluate(opened(inner), [physical(c) for c in getattr(inner, "consts", ())], ins)
    if any(needs_lowering(s) for q in p.values() for s in inner_jaxprs(q)):
        if n == "jit":
            f = core.jaxpr_as_fun(lowered(p["jaxpr"]))
            g = lambda *a: f(*a)  # noqa: E731
            g.__name__ = p["name"]
            return jax.jit(g)(*ins)
        if n in ("scan", "while", "cond"):
            return e.primitive.bind(*ins, **lowered_params(p))
        if n == "remat2":
            return jax.checkpoint(lambda *a: evaluate(p["jaxpr"], (), a))(*ins)
        if n in ("custom_jvp_call", "custom_vjp_call"):  # rules over keys: the function's own derivative takes their place
            inner = p["call_jaxpr"]
            return evaluate(inner.jaxpr, [physical(c) for c in inner.consts], ins)
        raise ExportError(f"random keys inside of `{n}` are not exported{line_of(e)}.")
    if any(is_key(v.aval) for v in (*e.invars, *e.outvars)):
        return [move_keys(e, ins)]
    out = e.primitive.bind(*ins, **e.primitive.get_bind_params(p))
    return out if e.primitive.multiple_results else [out]


# ---- Programs

def line_of(e):
    """" at file:line" of the user's program, if JAX knows it."""
    frame = source_info_util.user_frame(e.source_info.traceback)
    return f", at {frame.file_name}:{frame.start_line}" if frame else ""


def float_json(f):
    f = float(f)
    if math.isfinite(f):
        return f
    return {"float": "nan" if math.isnan(f) else "inf" if f > 0 else "-inf"}


def contraction_json(v):
    (lhs, rhs), (lhs_batch, rhs_batch) = v
    names = {"lhs_contracting": lhs, "rhs_contracting": rhs, "lhs_batch": lhs_batch, "rhs_batch": rhs_batch}
    return {k: [int(d) for d in t] for k, t in names.items()}


class Writer:
    def __init__(self, weights=None):
        self.next_id = 0
        self.rule_depth = 0
        self.weights = weights  # name -> array, filled, or None: all is inline
        self.names = {}         # id of an array -> its name in weights

    def constant(self, x):
        x = physical(x)
        if self.weights is None or np.asarray(x).nbytes <= INLINE_BYTES or DTYPES.get(np.asarray(x).dtype.name) is None:
            return array_json(x)
        if id(x) not in self.names:
            self.names[id(x)] = f"const.{len(self.weights)}"
            self.weights[self.names[id(x)]] = x
        a = np.asarray(x)
        return {"dtype": dtype_name(a.dtype), "shape": list(a.shape), "tensor": self.names[id(x)]}

    def closed(self, c):
        if isinstance(c, Jaxpr):
            if c.constvars:
                raise ExportError("a program inside of an equation refers to values outside of it.")
            c = ClosedJaxpr(c, [])
        return {"consts": [self.constant(x) for x in c.consts], "jaxpr": self.jaxpr(c.jaxpr)}

    def jaxpr(self, j):
        env = {}

        def var(v, weak=True):
            env[v] = self.next_id
            self.next_id += 1
            d = {"id": env[v], "dtype": dtype_name(v.aval.dtype), "shape": [int(s) for s in v.aval.shape]}
            if weak:
                d["weak_type"] = bool(getattr(v.aval, "weak_type", False))
            return d

        def atom(v):
            if isinstance(v, Literal):
                return {"literal": array_json(np.asarray(v.val, dtype=v.aval.dtype))}
            return {"var": env[v]}

        def out(v):
            return None if isinstance(v, core.DropVar) else var(v, weak=False)

        constvars = [var(v) for v in j.constvars]
        invars = [var(v) for v in j.invars]
        eqns = []
        for e in j.eqns:
            n = e.primitive.name
            if n not in PRIMITIVES and n not in READER_ONLY:
                raise ExportError(f"jaxpp has no primitive `{n}`{line_of(e)}.")
            if e.effects:
                raise ExportError(f"`{n}` has the effects {set(e.effects)}, which are not exported{line_of(e)}.")
            ins = [atom(v) for v in e.invars]
            try:
                params = self.params(e)
            except ExportError as error:
                raise ExportError(str(error) if " at " in str(error) else f"{str(error)[:-1]}{line_of(e)}.") from None
            eqns.append({"primitive": n, "inputs": ins, "outputs": [out(v) for v in e.outvars], "params": params})
        return {"constvars": constvars, "invars": invars, "eqns": eqns, "outvars": [atom(v) for v in j.outvars]}

    def params(self, e):
        name, p = e.primitive.name, dict(e.params)
        for k in DROPPED["*"] + DROPPED.get(name, []):
            p.pop(k, None)
        out = {}
        if name == "dot_general":
            out["dimension_numbers"] = contraction_json(p.pop("dimension_numbers"))
        if name == "round":
            out["rounding_method"] = jax.lax.RoundingMethod(p.pop("rounding_method")).name
        if name == "custom_jvp_call":
            out.update(self.custom_jvp(e))
        if name == "custom_vjp_call":
            out.update(self.custom_vjp(e))
        out.update((k, self.value(name, k, v)) for k, v in p.items())
        return out

    def value(self, primitive, key, v):
        again = lambda u: self.value(primitive, key, u)  # noqa: E731
        if v is None or isinstance(v, (bool, str)):
            return v
        if isinstance(v, np.bool_):
            return bool(v)
        if isinstance(v, enum.Enum):
            return v.name
        if isinstance(v, (int, np.integer)):
            return int(v)
        if isinstance(v, (float, np.floating)):
            return float_json(v)
        if isinstance(v, (complex, np.complexfloating)):
            return {"complex": [float_json(v.real), float_json(v.imag)]}
        if isinstance(v, (Jaxpr, ClosedJaxpr)):
            return self.closed(v)
        if isinstance(v, core.Primitive):
            return v.name
        if isinstance(v, np.dtype) or (isinstance(v, type) and issubclass(v, np.generic)):
            return {"dtype": dtype_name(v)}
        if hasattr(v, "_fields"):
            return {k: again(getattr(v, k)) for k in v._fields}
        if isinstance(v, (tuple, list)):
            return [again(u) for u in v]
        if isinstance(v, dict):
            return {str(k): again(u) for k, u in v.items()}
        if isinstance(v, (np.ndarray, jax.Array)):
            return array_json(v)
        if hasattr(v, "name") and type(v).__module__.startswith(("jax", "nanobind")):
            return v.name
        raise ExportError(f"the parameter {key} of `{primitive}` is a {type(v).__name__}, which is not exported.")

    # ---- Rules of custom derivatives, by differentiating the equation itself, so that the user's rule is what is traced

    def rule(self, closed):
        self.rule_depth += 1
        try:
            return self.closed(lowered(closed))
        finally:
            self.rule_depth -= 1

    @staticmethod
    def differentiable(e):
        """The operands' types, the operands and the results that have tangents, and f(differentiable operands; operands)."""
        avals = [physical_aval(v.aval) for v in e.invars]
        inputs = [i for i, a in enumerate(avals) if i >= e.params["num_consts"] and jnp.issubdtype(a.dtype, jnp.inexact)]
        outputs = [i for i, v in enumerate(e.outvars) if jnp.issubdtype(v.aval.dtype, jnp.inexact)]

        def f(operands, *some):
            full = list(operands)
            for i, x in zip(inputs, some):
                full[i] = x
            return list(e.primitive.bind(*full, **e.primitive.get_bind_params(e.params)))
        return avals, inputs, outputs, f

    def custom_jvp(self, e):
        if self.rule_depth >= RULE_DEPTH:
            return {"jvp_jaxpr": None, "rule_dropped": "depth"}
        avals, inputs, outputs, f = self.differentiable(e)

        def jvp(*xs):
            x, dx = xs[:len(avals)], xs[len(avals):]
            y, dy = jax.jvp(lambda *some: f(x, *some), tuple(x[i] for i in inputs), tuple(dx))
            return [*y, *(dy[i] for i in outputs)]
        rule = jax.make_jaxpr(jvp)(*avals, *(avals[i] for i in inputs))
        return {"diff_inputs": inputs, "diff_outputs": outputs, "jvp_jaxpr": self.rule(rule)}

    def custom_vjp(self, e):
        if self.rule_depth >= RULE_DEPTH:
            return {"fwd_jaxpr": None, "bwd_jaxpr": None, "rule_dropped": "depth"}
        avals, inputs, outputs, f = self.differentiable(e)
        pullback_tree = None

        def fwd(*x):
            nonlocal pullback_tree
            y, pullback = jax.vjp(lambda *some: f(x, *some), *(x[i] for i in inputs))
            residuals, pullback_tree = jax.tree_util.tree_flatten(pullback)
            return [*y, *residuals]

        forward = jax.make_jaxpr(fwd)(*avals)
        residuals = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in forward.out_avals[len(e.outvars):]]
        cotangents = [jax.ShapeDtypeStruct(e.outvars[i].aval.shape, e.outvars[i].aval.dtype) for i in outputs]

        def bwd(*xs):
            ct = iter(xs[len(residuals):])
            full = [next(ct) if i in outputs else np.zeros(v.aval.shape, jax.dtypes.float0) for i, v in enumerate(e.outvars)]
            return list(jax.tree_util.tree_unflatten(pullback_tree, xs[:len(residuals)])(full))
        backward = jax.make_jaxpr(bwd)(*residuals, *cotangents)
        return {"diff_inputs": inputs, "diff_outputs": outputs, "num_residuals": len(residuals),
                "fwd_jaxpr": self.rule(forward), "bwd_jaxpr": self.rule(backward)}


# ---- The door

def program(f, *args, weights=None):
    """The program of f for arguments of these types, as a dictionary.  weights: a dictionary for its large constants."""
    closed, results = jax.make_jaxpr(f, return_shape=True)(*args)
    p = Writer(weights).closed(lowered(closed))
    p["inputs"] = [[path for path, _ in tree_paths(a)] for a in args]
    p["outputs"] = [path for path, _ in tree_paths(results)]
    return p


def export(f, *args, path=None, weights=None):
    """Exports f for arguments of these types: pytrees of arrays, of jax.ShapeDtypeStruct, of numbers.

    path: the JSON file; returned as a dictionary in any case.
    weights: a .safetensors file in the same folder for what f closes over; None: it is written into the JSON.
    """
    tensors = None if weights is None else {}
    p = program(f, *args, weights=tensors)
    if tensors:
        p["weights"] = os.path.basename(weights)
        save_safetensors(weights, tensors)
    if path is not None:
        with open(path, "w") as file:
            json.dump(p, file, separators=(",", ":"))
            file.write("\n")
    return p


SHORT = {"b1": "bool", "bool": "bool", "bf16": "bfloat16", "i": "int", "u": "uint", "f": "float", "c": "complex"}


def struct_of(text):
    """A type from its text: f32[8,3], i64[], key."""
    if text == "key":
        return jax.eval_shape(lambda: jax.random.key(0))
    match = re.fullmatch(r"([a-z]+)(\d*)\s*\[([\d,\s]*)\]", text)
    if not match:
        raise ExportError(f"`{text}` is no type: f32[8,3], i32[], bool[4], key.")
    kind, bits, sizes = match.groups()
    name = SHORT.get(kind + bits) or SHORT.get(kind, kind) + bits
    if name not in DTYPES:
        raise ExportError(f"`{text}`: there is no dtype {kind}{bits}.")
    if bits == "64" and kind != "c" or bits == "128":
        jax.config.update("jax_enable_x64", True)
    return jax.ShapeDtypeStruct(tuple(int(s) for s in sizes.split(",") if s.strip()), jnp.dtype(name))


def find_function(text):
    """module:function, or file.py:function; the function may be an attribute of an attribute."""
    where, _, name = text.rpartition(":")
    if not where:
        raise ExportError(f"`{text}` is not of the form module:function.")
    if where.endswith(".py"):
        spec = importlib.util.spec_from_file_location(os.path.basename(where)[:-3], where)
        if spec is None or not os.path.exists(where):
            raise ExportError(f"there is no file {where}.")
        module = importlib.util.module_from_spec(spec)
        sys.path.insert(0, os.path.dirname(os.path.abspath(where)))
        spec.loader.exec_module(module)
    else:
        sys.path.insert(0, os.getcwd())
        module = importlib.import_module(where)
    f = module
    for part in name.split("."):
        if not hasattr(f, part):
            raise ExportError(f"{where} has no {name}.")
        f = getattr(f, part)
    return f


def main():
    parser = argparse.ArgumentParser(description="Exports a function of JAX to a program that jaxpp runs.")
    parser.add_argument("function", help="module:function or file.py:function")
    parser.add_argument("--args", nargs="*", default=[], metavar="TYPE", help="types of its arguments: 'f32[8,3]' 'i32[]' key")
    parser.add_argument("-o", "--output", required=True, metavar="FILE.json")
    parser.add_argument("--weights", metavar="FILE.safetensors", help="a file for the arrays that the function closes over")
    parser.add_argument("--x64", action="store_true", help="64-bit types (on by itself if a type of --args has 64 bits)")
    o = parser.parse_args()
    try:
        if o.x64:
            jax.config.update("jax_enable_x64", True)
        args = [struct_of(a) for a in o.args]
        f = find_function(o.function)
        if not callable(f):
            raise ExportError(f"{o.function} is no function.")
        if o.weights and os.path.dirname(os.path.abspath(o.weights)) != os.path.dirname(os.path.abspath(o.output)):
            raise ExportError("the file of weights must be in the folder of the program.")
        takes = inspect.signature(f)
        try:
            takes.bind(*args)
        except TypeError as error:
            raise ExportError(f"{o.function}{takes}: {error}.") from None
        p = export(f, *args, path=o.output, weights=o.weights)
    except ExportError as error:
        sys.exit(f"export_jax: {error}")
    print(f"{o.output}: {len(p['jaxpr']['eqns'])} equations, {os.path.getsize(o.output):,} bytes"
          + (f"; {o.weights}: {os.path.getsize(o.weights):,} bytes" if "weights" in p else ""))


if __name__ == "__main__":
    main()
