#!/usr/bin/env python3
"""Programs as people write them in JAX, exported by tools/export_jax.py, with JAX's values and derivatives.

    python tests/data/exported/programs.py     # writes tests/conformance/cases/exported.jsonl, and beside this file what
                                               # tests/exported_test.cc loads
"""
import functools
import json
import os
import sys

os.environ["JAX_PLATFORMS"] = "cpu"
import jax  # noqa: E402

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp  # noqa: E402
import jax.scipy as jsp  # noqa: E402
import numpy as np  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../../tools"))
from export_jax import array_json, export, is_key, physical, program, save_tree  # noqa: E402

rng = np.random.default_rng(7)


def normal(*shape, dtype=np.float64, scale=1.0):
    return jnp.asarray((scale * rng.standard_normal(shape)).astype(dtype))


def dense(i, o, dtype=np.float64):
    return {"w": normal(i, o, dtype=dtype, scale=1 / np.sqrt(i)), "b": normal(o, dtype=dtype, scale=0.1)}


# ---- The programs: name -> (function, arguments)

def mlp(params, x):
    for layer in params[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ params[-1]["w"] + params[-1]["b"]


def mlp_loss(params, x, y):
    return -jnp.mean(jnp.sum(jax.nn.one_hot(y, 3) * jax.nn.log_softmax(mlp(params, x)), -1))


def batch_norm(x, scale, shift):
    mean, var = jnp.mean(x, (0, 1, 2)), jnp.var(x, (0, 1, 2))
    return (x - mean) * jax.lax.rsqrt(var + 1e-5) * scale + shift


def cnn(params, x):
    dims = ("NHWC", "HWIO", "NHWC")
    x = jax.lax.conv_general_dilated(x, params["k1"], (1, 1), "SAME", dimension_numbers=dims)
    x = jax.nn.relu(batch_norm(x, params["scale"], params["shift"]))
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = jax.lax.conv_general_dilated(x, params["k2"], (2, 2), "SAME", dimension_numbers=dims, feature_group_count=2)
    return jnp.mean(jax.nn.silu(x), (1, 2)) @ params["out"]


def layer_norm(x):
    return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)


def transformer(p, x):
    n, heads = x.shape[0], 2
    h = layer_norm(x)
    q, k, v = (jnp.einsum("nd,dhe->hne", h, p[name]) for name in ("q", "k", "v"))
    scores = jnp.einsum("hne,hme->hnm", q, k) / np.sqrt(q.shape[-1])
    scores = jnp.where(jnp.tril(jnp.ones((n, n), bool)), scores, -jnp.inf)
    x = x + jnp.einsum("hnm,hme,hed->nd", jax.nn.softmax(scores), v, p["o"])
    assert q.shape[0] == heads
    return x + jax.nn.gelu(layer_norm(x) @ p["up"]) @ p["down"]


def lstm(p, xs):
    def cell(carry, x):
        h, c = carry
        i, f, g, o = jnp.split(x @ p["x"] + h @ p["h"] + p["b"], 4)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h
    zero = jnp.zeros(p["h"].shape[0], xs.dtype)
    (h, c), hs = jax.lax.scan(cell, (zero, zero), xs)
    return {"last": h, "cell": c, "all": hs}


def gaussian_process(log_scale, log_noise, x, y):
    d2 = jnp.sum((x[:, None] - x[None]) ** 2, -1)
    k = jnp.exp(-0.5 * d2 * jnp.exp(-2 * log_scale)) + jnp.exp(log_noise) * jnp.eye(len(x))
    chol = jsp.linalg.cholesky(k, lower=True)
    alpha = jsp.linalg.cho_solve((chol, True), y)
    return -0.5 * y @ alpha - jnp.sum(jnp.log(jnp.diag(chol))) - 0.5 * len(x) * jnp.log(2 * jnp.pi)


def kalman(a, q, r, ys):
    h = jnp.array([[1.0, 0.0]])

    def step(carry, y):
        m, p, ll = carry
        m, p = a @ m, a @ p @ a.T + q
        s = h @ p @ h.T + r
        gain = jnp.linalg.solve(s, h @ p).T
        e = y - h @ m
        ll = ll - 0.5 * (e @ jnp.linalg.solve(s, e) + jnp.linalg.slogdet(2 * jnp.pi * s)[1])
        m = m + gain @ e
        p = p - gain @ s @ gain.T
        return (m, p, ll), m
    (m, p, ll), ms = jax.lax.scan(step, (jnp.zeros(2), jnp.eye(2), 0.0), ys)
    return ll, ms


def n_body(x, v, mass):
    def acceleration(x):
        d = x[None] - x[:, None]
        r2 = jnp.sum(d ** 2, -1) + 1e-2
        return jnp.sum(mass[None, :, None] * d * r2[..., None] ** -1.5, 1)

    def leapfrog(_, state):
        x, v = state
        v = v + 0.005 * acceleration(x)
        x = x + 0.01 * v
        return x, v + 0.005 * acceleration(x)
    x, v = jax.lax.fori_loop(0, 10, leapfrog, (x, v))
    return x, v


def hmc(key, start, precision):
    def energy(x):
        return 0.5 * x @ precision @ x + 0.1 * jnp.sum(x ** 4)

    def step(x, key):
        k1, k2 = jax.random.split(key)
        p = jax.random.normal(k1, x.shape, x.dtype)
        y, r = x, p - 0.05 * jax.grad(energy)(x)
        for _ in range(3):
            y = y + 0.1 * r
            r = r - 0.1 * jax.grad(energy)(y)
        y = y + 0.1 * r
        r = r - 0.05 * jax.grad(energy)(y)
        delta = energy(x) + 0.5 * p @ p - energy(y) - 0.5 * r @ r
        accept = jnp.log(jax.random.uniform(k2, dtype=x.dtype)) < delta
        return jnp.where(accept, y, x), accept
    x, accepted = jax.lax.scan(step, start, jax.random.split(key, 5))
    return x, jnp.mean(accepted.astype(x.dtype))


def black_scholes(spot, strike, rate, sigma, time):
    d1 = (jnp.log(spot / strike) + (rate + 0.5 * sigma ** 2) * time) / (sigma * jnp.sqrt(time))
    d2 = d1 - sigma * jnp.sqrt(time)
    cdf = jsp.stats.norm.cdf
    call = spot * cdf(d1) - strike * jnp.exp(-rate * time) * cdf(d2)
    return call, call - spot + strike * jnp.exp(-rate * time)


def adam_step(params, m, v, step, x, y):
    loss, g = jax.value_and_grad(mlp_loss)(params, x, y)
    tree = jax.tree_util.tree_map
    m = tree(lambda a, b: 0.9 * a + 0.1 * b, m, g)
    v = tree(lambda a, b: 0.999 * a + 0.001 * b ** 2, v, g)
    scale = jnp.sqrt(1 - 0.999 ** step) / (1 - 0.9 ** step)
    return tree(lambda p, a, b: p - 1e-2 * scale * a / (jnp.sqrt(b) + 1e-8), params, m, v), loss


def vae(p, key, x):
    h = jnp.tanh(x @ p["enc"]["w"] + p["enc"]["b"])
    mean, log_var = jnp.split(h @ p["latent"]["w"] + p["latent"]["b"], 2, -1)
    z = mean + jnp.exp(0.5 * log_var) * jax.random.normal(key, mean.shape, mean.dtype)
    logits = z @ p["dec"]["w"] + p["dec"]["b"]
    reconstruction = jnp.sum(jax.nn.softplus(logits) - x * logits, -1)
    kl = 0.5 * jnp.sum(jnp.exp(log_var) + mean ** 2 - 1 - log_var, -1)
    return jnp.mean(reconstruction + kl)


def pendulum(state, length):
    def f(s):
        return jnp.stack([s[1], -9.81 / length * jnp.sin(s[0])])

    def body(c):
        t, h, s = c
        k1 = f(s)
        k2 = f(s + h / 2 * k1)
        k3 = f(s + 3 * h / 4 * k2)
        new = s + h * (2 * k1 + 3 * k2 + 4 * k3) / 9
        k4 = f(new)
        error = jnp.max(jnp.abs(h * (-5 * k1 / 72 + k2 / 12 + k3 / 9 - k4 / 8)))
        ok = error < 1e-4
        grown = h * jnp.clip(0.9 * (1e-4 / (error + 1e-12)) ** (1 / 3), 0.3, 3.0)
        return jnp.where(ok, t + h, t), jnp.minimum(grown, jnp.where(ok, 1.0 - t - h, 1.0 - t) + 1e-12), jnp.where(ok, new, s)
    t, _, s = jax.lax.while_loop(lambda c: c[0] < 1.0 - 1e-9, body, (0.0, 0.05, state))
    return s


@jax.custom_vjp
def clipped(x, bound):
    return x


clipped.defvjp(lambda x, bound: (x, bound), lambda bound, ct: (jnp.clip(ct, -bound, bound), None))


@jax.custom_jvp
def log1pexp(x):
    return jnp.log1p(jnp.exp(x))


@log1pexp.defjvp
def log1pexp_jvp(primals, tangents):
    return log1pexp(*primals), tangents[0] * jax.nn.sigmoid(primals[0])


def custom_rules(x, bound):
    return jnp.sum(clipped(jnp.sin(x) * 3, jax.lax.stop_gradient(bound)) ** 2) + jnp.sum(jax.nn.relu6(x) + log1pexp(x))


def custom_forward(x):
    return log1pexp(x) * jax.nn.relu(x) + jax.nn.silu(x)


def remat_and_cond(w, x, switch):
    @jax.checkpoint
    def block(w, h):
        return jnp.tanh(h @ w)
    for i in range(3):
        x = block(w[i], x)
    return jax.lax.switch(switch, [lambda h: h ** 2, jnp.exp, lambda h: h * jnp.cos(h)], x)


def embedding(table, ids, weights, segments):
    rows = table[ids] * weights[:, None]
    pooled = jax.ops.segment_sum(rows, segments, 3)
    largest = jax.lax.top_k(pooled, 2)[0]
    return pooled.at[jnp.array([0, 2])].mul(2.0), largest, table.at[ids].max(0.1)[1:3]


def samplers(key, alpha, logits):
    ks = jax.random.split(key, 6)
    return {"beta": jax.random.beta(ks[0], 2.0, 3.0, (4,)), "gamma": jax.random.gamma(ks[1], alpha),
            "categorical": jax.random.categorical(ks[2], logits), "permutation": jax.random.permutation(ks[3], 10),
            "randint": jax.random.randint(jax.random.fold_in(ks[4], 7), (5,), -3, 9),
            "bernoulli": jax.random.bernoulli(ks[5], 0.3, (8,)), "truncated": jax.random.truncated_normal(ks[0], -1., 2., (3,))}


def spectral(x, filter):
    y = jnp.fft.irfft(jnp.fft.rfft(x) * filter, x.shape[-1])
    return jnp.abs(jnp.fft.fft2(y.reshape(2, -1))), jnp.sort(y)


def whitening(x):
    c = jnp.cov(x, rowvar=False)
    w, v = jnp.linalg.eigh(c)
    q, r = jnp.linalg.qr(x)
    return v @ jnp.diag(w ** -0.5) @ v.T, jnp.linalg.svd(x, compute_uv=False), jnp.abs(jnp.diag(r))


def cases():
    params = [dense(4, 8), dense(8, 3)]
    x, y = normal(5, 4), jnp.array([0, 2, 1, 1, 0], jnp.int32)
    yield "mlp_loss", mlp_loss, (params, x, y)
    f32 = np.float32
    yield "cnn", cnn, ({"k1": normal(3, 3, 2, 4, scale=0.3), "k2": normal(3, 3, 2, 6, scale=0.3), "scale": 1 + normal(4, scale=0.1),
                        "shift": normal(4, scale=0.1), "out": normal(6, 3)}, normal(2, 6, 6, 2))
    yield "transformer", transformer, ({"q": normal(6, 2, 3), "k": normal(6, 2, 3), "v": normal(6, 2, 3), "o": normal(2, 3, 6),
                                        "up": normal(6, 12, scale=0.4), "down": normal(12, 6, scale=0.3)}, normal(5, 6))
    yield "lstm", lstm, ({"x": normal(3, 16, scale=0.5), "h": normal(4, 16, scale=0.5), "b": normal(16, scale=0.1)}, normal(6, 3))
    yield "gaussian_process", gaussian_process, (jnp.asarray(0.2), jnp.asarray(-1.0), normal(6, 2), normal(6))
    yield "kalman", kalman, (jnp.array([[1, 0.1], [-0.1, 0.9]]), 0.1 * jnp.eye(2), jnp.array([[0.5]]), normal(5, 1))
    yield "n_body", n_body, (normal(4, 3), normal(4, 3, scale=0.1), jnp.abs(normal(4)) + 0.5)
    a = normal(3, 3)
    yield "hmc", hmc, (jax.random.key(3), normal(3), a @ a.T + jnp.eye(3))
    yield "black_scholes", black_scholes, (100 + normal(4), 100 + 5 * normal(4), jnp.asarray(0.03), 0.2 + 0.05 * jnp.abs(normal(4)),
                                           jnp.array([0.25, 0.5, 1.0, 2.0]))
    zeros = jax.tree_util.tree_map(lambda p: 0.1 * jnp.ones_like(p), params)
    yield "adam_step", adam_step, (params, zeros, zeros, jnp.asarray(3.0), x, y)
    yield "vae", vae, ({"enc": dense(6, 5), "latent": dense(5, 4), "dec": dense(2, 6)}, jax.random.key(1), jax.nn.sigmoid(normal(4, 6)))
    yield "pendulum", pendulum, (jnp.array([0.7, 0.1]), jnp.asarray(1.3))
    yield "custom_rules", custom_rules, (normal(5), jnp.asarray(0.5))
    yield "custom_forward", custom_forward, (normal(5),)
    yield "remat_and_cond", remat_and_cond, (normal(3, 4, 4, scale=0.5), normal(2, 4), jnp.asarray(2, jnp.int32))
    yield "embedding", embedding, (normal(6, 4), jnp.array([0, 3, 3, 5, 1]), normal(5), jnp.array([0, 0, 1, 2, 2]))
    yield "samplers", samplers, (jax.random.key(11), jnp.array([0.5, 2.0, 7.5]), normal(3, 4))
    yield "spectral", spectral, (normal(8), normal(5))
    yield "whitening", whitening, (normal(7, 3),)
    yield "mlp_f32", functools.partial(mlp, [dense(4, 8, f32), dense(8, 3, f32)]), (normal(5, 4, dtype=f32),)
    yield "mlp_bf16", functools.partial(mlp, [dense(4, 8, jnp.bfloat16), dense(8, 3, jnp.bfloat16)]), (normal(5, 4, dtype=jnp.bfloat16),)


# ---- With JAX's values

NO_REVERSE = {"pendulum"}                # a while loop
NO_FORWARD = {"custom_rules"}            # a custom_vjp
VALUES_ONLY = {"samplers"}               # the derivative of a sampler is not part of its program


def case(name, f, args):
    leaves, tree = jax.tree_util.tree_flatten(args)
    flat = jax.jit(lambda *xs: jax.tree_util.tree_leaves(f(*jax.tree_util.tree_unflatten(tree, xs))))
    out = flat(*leaves)
    inexact = lambda v: not is_key(v) and jnp.issubdtype(v.dtype, jnp.inexact)  # noqa: E731
    wrt = [i for i, v in enumerate(leaves) if inexact(v)]
    outs = [i for i, v in enumerate(out) if inexact(v)]
    listed = lambda n, at, values: [array_json(dict(zip(at, values))[i]) if i in at else None for i in range(n)]  # noqa: E731

    def g(*xs):
        full = list(leaves)
        for i, v in zip(wrt, xs):
            full[i] = v
        return tuple(flat(*full)[i] for i in outs)

    x = tuple(leaves[i] for i in wrt)
    dtype = np.dtype(out[0].dtype if name != "samplers" else np.float64)
    half = dtype.itemsize == 2
    expect = {"eval": {"outputs": [array_json(v) for v in out]}}
    if name not in VALUES_ONLY | NO_FORWARD:
        dx = tuple(normal(*v.shape, dtype=v.dtype) for v in x)
        expect["jvp"] = {"tangents": listed(len(leaves), wrt, dx), "outputs": listed(len(out), outs, jax.jvp(g, x, dx)[1])}
    if name not in VALUES_ONLY | NO_REVERSE:
        y, pullback = jax.vjp(g, *x)
        ct = tuple(normal(*v.shape, dtype=v.dtype) for v in y)
        expect["vjp"] = {"cotangents": listed(len(out), outs, ct), "outputs": listed(len(leaves), wrt, pullback(ct))}
    axes = [0 if i in wrt else None for i in range(len(leaves))]
    batch = [jnp.stack([v, v * 1.01]) if i in wrt else v for i, v in enumerate(leaves)]
    expect["vmap"] = [{"in_axes": axes, "inputs": [array_json(v) if a == 0 else None for v, a in zip(batch, axes)],
                       "outputs": [array_json(v) for v in jax.jit(jax.vmap(flat, axes))(*batch)]}]
    return {"name": name, "group": "exported", "source": "program", "dtype": dtype.name, "program": program(f, *args),
            "inputs": [array_json(physical(v)) for v in leaves], "expect": expect,
            "rtol": 3e-2 if half else 1e-4 if dtype == np.float32 else 1e-9,
            "atol": 3e-2 if half else 1e-5 if dtype == np.float32 else 1e-10}


def main():
    with open(os.path.join(HERE, "../../conformance/cases/exported.jsonl"), "w") as file:
        for name, f, args in cases():
            line = case(name, f, args)
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
            print(f"{name}: {len(line['program']['jaxpr']['eqns'])} equations")
    # What tests/exported_test.cc loads: arguments by name, weights in a file of their own.
    params, x, y = next(args for name, _, args in cases() if name == "mlp_loss")
    export(mlp_loss, params, x, y, path=os.path.join(HERE, "mlp_loss.json"))
    save_tree(os.path.join(HERE, "mlp_loss_arguments.safetensors"), {"params": params, "x": x, "y": y})
    export(lambda x: {"logits": mlp(params, x), "loss": jnp.mean(mlp(params, x) ** 2)}, x,
           path=os.path.join(HERE, "predict.json"), weights=os.path.join(HERE, "predict.safetensors"))
    loss, gradient = jax.value_and_grad(mlp_loss)(params, x, y)
    save_tree(os.path.join(HERE, "mlp_loss_results.safetensors"), {"loss": loss, "gradient": gradient, "logits": mlp(params, x)})


if __name__ == "__main__":
    main()
