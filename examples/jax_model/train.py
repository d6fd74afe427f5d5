#!/usr/bin/env python3
"""A small vision transformer learns to read digits in JAX, and is exported for examples/jax_model.cc.

    python examples/jax_model/train.py      # writes logits.json, params.safetensors and check.safetensors beside it

An image of 8 x 8 pixels is 16 patches of 2 x 2: 16 tokens.  What is exported is the function of one image; batching is left
to vmap in C++.
"""
import os
import sys

os.environ.setdefault("JAX_PLATFORMS", "cpu")
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../../tools"))
from export_jax import export, save_tree  # noqa: E402

TOKENS, WIDTH, HEADS, TRAIN = 16, 24, 3, 1438


def read_digits():
    rows = np.loadtxt(os.path.join(HERE, "../digits/digits.csv"), delimiter=",", dtype=np.float32)
    return rows[:, :64] / 16, rows[:, 64].astype(np.int32)


def init(key):
    k = iter(jax.random.split(key, 8))
    normal = lambda *shape: jax.random.normal(next(k), shape) / np.sqrt(shape[0])  # noqa: E731
    norm = lambda: {"scale": jnp.ones(WIDTH), "shift": jnp.zeros(WIDTH)}  # noqa: E731
    return {
        "embed": normal(4, WIDTH),
        "position": 0.1 * normal(TOKENS, WIDTH),
        "attention": {"norm": norm(), "qkv": normal(WIDTH, 3 * WIDTH), "out": normal(WIDTH, WIDTH)},
        "mlp": {"norm": norm(), "up": normal(WIDTH, 2 * WIDTH), "down": normal(2 * WIDTH, WIDTH)},
        "head": {"w": normal(WIDTH, 10), "b": jnp.zeros(10)},
    }


def normalized(p, x):
    x = x - jnp.mean(x, -1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * p["scale"] + p["shift"]


def attention(p, x):
    q, k, v = jnp.split(normalized(p["norm"], x) @ p["qkv"], 3, axis=-1)
    q, k, v = (a.reshape(TOKENS, HEADS, -1) for a in (q, k, v))
    weights = jax.nn.softmax(jnp.einsum("nhd,mhd->hnm", q, k) / np.sqrt(WIDTH / HEADS))
    return jnp.einsum("hnm,mhd->nhd", weights, v).reshape(TOKENS, WIDTH) @ p["out"]


@jax.jit
def logits(params, image):
    patches = image.reshape(4, 2, 4, 2).transpose(0, 2, 1, 3).reshape(TOKENS, 4)
    x = patches @ params["embed"] + params["position"]
    x = x + attention(params["attention"], x)
    m = params["mlp"]
    x = x + jax.nn.gelu(normalized(m["norm"], x) @ m["up"]) @ m["down"]
    return jnp.mean(x, 0) @ params["head"]["w"] + params["head"]["b"]


def loss(params, images, labels):
    y = jax.vmap(logits, (None, 0))(params, images)
    return -jnp.mean(jax.nn.log_softmax(y)[jnp.arange(len(labels)), labels])


@jax.jit
def step(params, m, v, t, images, labels):
    tree = jax.tree_util.tree_map
    g = jax.grad(loss)(params, images, labels)
    m, v = tree(lambda a, b: 0.9 * a + 0.1 * b, m, g), tree(lambda a, b: 0.99 * a + 0.01 * b * b, v, g)
    rate = 4e-3 * jnp.minimum(1.0, 3 * (1 - t / (80 * 44))) * jnp.sqrt(1 - 0.99 ** t) / (1 - 0.9 ** t)
    return tree(lambda p, a, b: p - rate * a / (jnp.sqrt(b) + 1e-8), params, m, v), m, v


def main():
    images, labels = read_digits()
    params = init(jax.random.key(0))
    m = v = jax.tree_util.tree_map(jnp.zeros_like, params)
    rng, t = np.random.default_rng(0), 0
    for _ in range(80):
        for batch in rng.permutation(TRAIN)[:44 * 32].reshape(44, 32):
            t += 1
            params, m, v = step(params, m, v, jnp.float32(t), images[batch], labels[batch])
    test = jax.vmap(logits, (None, 0))(params, images[TRAIN:])
    print(f"test accuracy {100 * np.mean(np.argmax(test, 1) == labels[TRAIN:]):.2f} %, {t} steps")

    export(logits, params, jax.ShapeDtypeStruct((64,), jnp.float32), path=os.path.join(HERE, "logits.json"))
    save_tree(os.path.join(HERE, "params.safetensors"), params)
    # For comparison: the logits of ten images, and the derivative of the loss with respect to their pixels.
    x, y = images[TRAIN:TRAIN + 10], labels[TRAIN:TRAIN + 10]
    save_tree(os.path.join(HERE, "check.safetensors"), {"logits": test[:10], "saliency": jax.grad(loss, 1)(params, x, y)})


if __name__ == "__main__":
    main()
