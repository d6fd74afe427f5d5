#!/usr/bin/env python3
"""Turns JSON lines of benchmarks into the tables and pictures of docs/performance.md.

usage: report.py FILE_OR_FOLDER...      (./dev bench --report)

Takes what `./dev bench --peers` and `./dev bench --cpp --json FILE` wrote.  In docs/performance.md the text between the
lines "<!-- begin peers -->" and "<!-- end peers -->" (and the same for cpp) is replaced, or added at the end; the
pictures are docs/images/peers.svg (a bar for each row: how much longer the best peer takes) and docs/images/cpp.svg.
"""

import json
import math
import pathlib
import sys

import results

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/performance.md"
COLORS = {
    "jaxpp": "#1f5fa8",
    "jax": "#b9cfe6",
    "torch": "#c9c9c9",
    "mlx": "#e3d3b0",
    "drjit": "#c3dcc0",
    "numpy": "#ddc6d8",
}
NAMES = {"jax": "JAX", "torch": "PyTorch", "mlx": "MLX", "drjit": "Dr.Jit", "numpy": "NumPy"}


# ---- Pictures
class Picture:
    """Horizontal bars on a logarithmic axis of ratios, in headed groups of rows."""

    LEFT, WIDTH, BAR, TOP = 150, 760, 15, 56

    def __init__(self, low, high, legend):
        self.low, self.high = math.log10(low), math.log10(high)
        self.shapes, self.y = [], self.TOP
        for i, (name, color) in enumerate(legend):
            self.rect(self.LEFT + 110 * i, 18, 12, 12, color)
            self.text(self.LEFT + 110 * i + 18, 28, name)

    def x(self, ratio):
        part = (math.log10(ratio) - self.low) / (self.high - self.low)
        return self.LEFT + (self.WIDTH - self.LEFT - 90) * min(max(part, 0), 1)

    def rect(self, x, y, width, height, color):
        self.shapes.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height}" fill="{color}"/>')

    def text(self, x, y, text, size=12, anchor="start", extra=""):
        self.shapes.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"{extra}>{text}</text>'
        )

    def line(self, x, y1, y2, color, width=1):
        self.shapes.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y1:.1f}" y2="{y2:.1f}" stroke="{color}" stroke-width="{width}"/>'
        )

    def heading(self, title):
        self.y += 8
        self.text(self.LEFT - 10, self.y + 10, title, anchor="end", extra=' font-weight="bold"')
        self.y += 16

    def bar(self, label, ratio, color, note, goal=None):
        """From 1 to the ratio, to either side; the goal is a tick."""
        if label:
            self.text(self.LEFT - 10, self.y + self.BAR - 4, label, size=11, anchor="end")
        one, end = self.x(1), self.x(ratio)
        self.rect(min(one, end), self.y, max(abs(end - one), 1), self.BAR - 3, color)
        if goal:
            self.line(self.x(goal), self.y - 1, self.y + self.BAR - 2, "#b03030", 2)
        self.text(max(one, end, self.x(goal) if goal else 0) + 5, self.y + self.BAR - 4, note, size=11)
        self.y += self.BAR

    def svg(self):
        grid = []
        shapes, self.shapes = self.shapes, grid
        for decade in range(math.ceil(self.low), math.floor(self.high) + 1):
            x = self.x(10.0**decade)
            self.line(x, self.TOP - 8, self.y + 2, "#888" if decade == 0 else "#e4e4e4")
            self.text(x, self.y + 16, f"{10.0 ** decade:g}x", size=11, anchor="middle", extra=' fill="#666"')
        body = "\n".join(grid + shapes)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.WIDTH}" height="{self.y + 28:.0f}" '
            f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
        )


def family(peer):
    return results.FAMILY.get(peer, peer)


def draw_peers(groups):
    picture = Picture(0.05, 2000, [(NAMES[p], COLORS[p]) for p in NAMES] + [("goal", "#b03030")])
    for group, _, verdicts in groups:
        drawn = [v for v in verdicts if v.ratio]
        if drawn:
            picture.heading(group["title"])
        for v in drawn:
            goals = [value for against, value in v.must.items() if against not in ("seconds", "limit")]
            note = results.ratio_text(v.ratio) + ("" if v.must_met is not False else "  missed")
            picture.bar(v.row, v.ratio, COLORS[family(v.best)], note, max(goals, default=None))
    (ROOT / "docs/images/peers.svg").write_text(picture.svg())


def draw_cpp(rows):
    picture = Picture(0.05, 20, [("jaxpp", COLORS["jaxpp"]), ("hand-written, AVX-512", COLORS["jax"])])
    for workload, by_peer in rows.items():
        label = workload
        for peer, color in (("jaxpp", COLORS["jaxpp"]), ("simd", COLORS["jax"])):
            if peer in by_peer:
                ratio = by_peer[peer]["ratio_to_scalar"]
                picture.bar(label, ratio, color, results.ratio_text(ratio))
                label = ""
        picture.y += 6
    (ROOT / "docs/images/cpp.svg").write_text(picture.svg())


# ---- Tables
def peers_section(measured, groups, machines):
    lines = ["![the best peer's time over jaxpp's, by row](images/peers.svg)", ""]
    lines += [machine_text(m) for m in machines]
    lines += [
        "Medians of interleaved rounds. In brackets: the peer with a malloc that keeps what it has had (`benchmarks/peers/run.py`).",
        "`!` checksum outside the tolerance, `~` the machine was not quiet, `w` from a kernel cache on disk. *level* is 0.9.",
    ]
    for judged in groups:
        lines += ["", f"### {judged[0]['title']}", "", *results.table(measured, judged)]
    missed = [
        v for _, _, verdicts in groups for v in verdicts if v.must_met is False or (v.jaxpp and not v.jaxpp.agrees)
    ]
    lines += ["", f"Rows below their goal: {', '.join(v.row for v in missed) or 'none'}."]
    return lines


def cpp_section(rows, goals):
    lines = [
        "![time over the scalar hand-written derivative](images/cpp.svg)",
        "",
        "Least time of a call on one core; in brackets over that of the scalar hand-written derivative.",
        "",
        "| row | scalar | AVX-512 lanes | jaxpp | must | aim | |",
        "|---|---|---|---|---|---|---|",
    ]
    for label, by_peer in rows.items():

        def cell(peer):
            r = by_peer.get(peer)
            return f"{results.seconds_text(r['min_s'])} ({r['ratio_to_scalar']:.2g})" if r else "-"

        bars, met = [], None
        for kind in ("must", "aim"):
            words = "-"
            for name, bar in goals["cpp"][kind].items():
                mine = by_peer.get("jaxpp")
                if name.endswith("_ns") and label.startswith(name.removesuffix("_ns")):
                    words, ok = f"{bar} ns", mine and mine["min_s"] <= bar * 1e-9
                elif label.startswith(name):
                    words, ok = f"{bar}x", mine and mine["ratio_to_scalar"] <= bar
                else:
                    continue
                met = ("ok" if ok else "MISSED") if kind == "must" else ("aim" if ok else met)
            bars.append(words)
        lines.append(
            f"| {label} | {cell('scalar')} | {cell('simd')} | {cell('jaxpp')} | {bars[0]} | {bars[1]} | {met or ''} |"
        )
    return lines


def machine_text(machine):
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"Machine: {machine['cpu']}, {machine['cores']} cores, {machine['system']}. {machine['date']}. {versions}.\n"


def replace(name, lines):
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    text = PAGE.read_text()
    if begin not in text:
        titles = {"peers": "Beside other libraries", "cpp": "Beside hand-written derivatives"}
        text = text.rstrip("\n") + f"\n\n## {titles[name]}\n\n{begin}\n{end}\n"
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    PAGE.write_text(before + begin + "\n" + "\n".join(lines) + "\n" + end + after)


def main():
    files, machines = [], []
    for argument in map(pathlib.Path, sys.argv[1:]):
        files += sorted(argument.glob("*.jsonl")) if argument.is_dir() else [argument]
        for machine in argument.glob("machine.json") if argument.is_dir() else []:
            text = json.loads(machine.read_text())
            machines += [text] if text not in machines else []
    if not files:
        sys.exit(__doc__)
    goals = json.loads((ROOT / "benchmarks/goals.json").read_text())

    cpp = {}
    for file in files:
        for line in file.read_text().splitlines():
            record = json.loads(line) if line.startswith("{") else {}
            if record.get("set") == "cpp":
                by_peer = cpp.setdefault(results.label(record), {})
                known = by_peer.get(record["peer"])
                if not known or record["min_s"] < known["min_s"]:
                    by_peer[record["peer"]] = record
    for by_peer in cpp.values():  # the least times of several runs
        for record in by_peer.values():
            record["ratio_to_scalar"] = record["min_s"] / by_peer["scalar"]["min_s"]
    measured = results.Results(files)
    groups = results.judge(measured, goals)
    if groups:
        draw_peers(groups)
        replace("peers", peers_section(measured, groups, machines))
    if cpp:
        draw_cpp(cpp)
        replace("cpp", cpp_section(cpp, goals))

    print("docs/performance.md")


if __name__ == "__main__":
    main()
