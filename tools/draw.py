#!/usr/bin/env python3
"""Draws docs/images/speed.svg from the JSON lines of `./dev bench --json FILE`, beside benchmarks/peers.json.

usage: draw.py [FILE]        (default: docs/images/speed.jsonl, the measurement behind the picture in the README)
"""
import json
import math
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROWS = [
    ("D1", "compiled sin(x) * x, one call"),
    ("D2", "its compiled gradient, one call"),
    ("D3", "its gradient, not compiled"),
    ("D4", "compiled map over 100 arrays"),
    ("D5", "x + y, 8 elements, eager"),
]
COLORS = {"jaxpp": "#1f5fa8", "jax": "#b9cfe6", "torch": "#c9c9c9"}


def text(seconds):
    for unit, scale in (("s", 1), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)):
        if seconds >= 0.9995 * scale:
            return f"{seconds / scale:.3g} {unit}"
    return "0"


def main():
    source = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs/images/speed.jsonl"
    measured = {}
    for line in source.read_text().splitlines():
        record = json.loads(line)
        measured[record["workload"]] = record["median_s"]
    peers = json.loads((ROOT / "benchmarks/peers.json").read_text())
    names = {"jaxpp": "jaxpp", "jax": peers["versions"]["jax"], "torch": peers["versions"]["torch"]}

    left, width, bar, gap, top = 230, 700, 15, 16, 56
    low, high = -9, -3  # decades of the time axis

    def x(seconds):
        return left + (width - left - 70) * (math.log10(seconds) - low) / (high - low)

    out, y = [], top
    for key, label in ROWS:
        values = {"jaxpp": measured.get(key), **{p: peers["median_s"][key].get(p) for p in ("jax", "torch")}}
        out.append(f'<text x="{left - 10}" y="{y + 2 * bar - 3}" text-anchor="end">{label}</text>')
        for peer, seconds in values.items():
            if seconds:
                out.append(f'<rect x="{left}" y="{y}" width="{x(seconds) - left:.1f}" height="{bar - 2}" fill="{COLORS[peer]}"/>')
                out.append(f'<text x="{x(seconds) + 5:.1f}" y="{y + bar - 4}" font-size="11">{text(seconds)}</text>')
            y += bar
        y += gap
    grid = [
        f'<line x1="{x(10.0 ** d):.1f}" x2="{x(10.0 ** d):.1f}" y1="{top - 6}" y2="{y - gap + 4}" stroke="#e4e4e4"/>'
        f'<text x="{x(10.0 ** d):.1f}" y="{y + 4}" text-anchor="middle" font-size="11" fill="#666">{text(10.0 ** d)}</text>'
        for d in range(low, high + 1)
    ]
    legend = "".join(
        f'<rect x="{left + 130 * i}" y="18" width="12" height="12" fill="{COLORS[p]}"/>'
        f'<text x="{left + 130 * i + 18}" y="28">{names[p]}</text>' for i, p in enumerate(names)
    )
    height = y + 16
    (ROOT / "docs/images/speed.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{legend}\n' + "\n".join(grid + out) + "\n</svg>\n")
    print("docs/images/speed.svg")


if __name__ == "__main__":
    main()
