"""JSON lines of benchmark runs, and what goals.json wants of them: what peers/run.py prints and report.py draws."""

import dataclasses
import json
import pathlib
import statistics

HERE = pathlib.Path(__file__).resolve().parent
PEERS = ["jax", "torch", "torch_compile", "mlx", "drjit", "drjit_freeze", "numpy"]
# The modes of a library count as the library.
FAMILY = {"torch_compile": "torch", "drjit_freeze": "drjit"}
# Rows whose checksum says nothing about a peer: another order of results, another generator, another count.
UNCHECKED = {"S5", "C1", "C3", "C4", "P1_cold", "P1_disk", "P2_plain", "P2_ckpt"}
# Served from a kernel cache on disk, not cold: shown with a "w", never the best peer.
WARM = {("mlx", w) for w in ("C1", "C2", "C4", "P1_cold")} | {("drjit", "P1_cold"), ("drjit_freeze", "P1_cold")}


def seconds_text(s):
    for unit, scale in (("s", 1), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)):
        if s >= 0.9995 * scale:
            return f"{s / scale:.3g} {unit}"
    return f"{s * 1e9:.2g} ns"


def ratio_text(ratio):
    return f"{ratio:.0f}x" if ratio >= 100 else f"{ratio:.2g}x" if ratio < 10 else f"{ratio:.3g}x"


def label(record):
    return f"{record['workload']}@{record['n']}" if record["n"] else record["workload"]


def noisy(record):
    """Its threads stood in the queue for a core for more than a tenth of the time."""
    return record.get("wait", 0) > 0.1


@dataclasses.dataclass
class Cell:
    """One program on one row: the median over the rounds of a run, quiet rounds if there are any."""

    value: float
    rounds: int
    quiet: bool
    agrees: bool
    warm: bool

    def text(self, metric="median_s"):
        value = seconds_text(self.value) if metric == "median_s" else f"{self.value:.3g} MB"
        return value + ("" if self.agrees else "!") + ("" if self.quiet else "~") + ("w" if self.warm else "")


class Results:
    """The records of a run.  Peers appear twice, with the default malloc and with a tuned one."""

    def __init__(self, files):
        self.records = {}  # (peer, malloc, label): records
        self.notes = {}
        self.expected = json.loads((HERE / "expected.json").read_text())
        for file in files:
            for line in pathlib.Path(file).read_text().splitlines():
                record = json.loads(line) if line.startswith("{") else None
                if record and record.get("set") != "cpp":  # those are on another scale: see report.py
                    self.add(record)

    def add(self, record):
        key = (record["peer"], record.get("malloc", "default"), label(record))
        self.records.setdefault(key, []).append(record)

    def labels(self):
        return list(dict.fromkeys(key[2] for key in self.records))

    def peers(self):
        found = {key[0] for key in self.records}
        return [p for p in PEERS if p in found]

    def agrees(self, record):
        expected = self.expected.get(f"{record['workload']}@{record['n']}")
        if not expected or record.get("checksum") is None:
            return True
        if record["peer"] != "jaxpp":
            if record["workload"] in UNCHECKED:
                return True
            if record["peer"].startswith("torch") and record["workload"] in ("D2", "D3"):
                return True  # value and gradient
        scale = max(expected["scale"], record["scale"])
        return abs(record["checksum"] - expected["checksum"]) <= expected["tolerance"] * scale

    def cell(self, peer, row, metric="median_s", malloc="default"):
        """None where it was not measured."""
        records = [r for r in self.records.get((peer, malloc, row), []) if r.get(metric) is not None]
        if not records:
            return None
        quiet = [r for r in records if not noisy(r)]
        return Cell(
            value=statistics.median(r[metric] for r in quiet or records),
            rounds=len(records),
            quiet=bool(quiet),
            agrees=all(self.agrees(r) for r in records),
            warm=(peer, row.split("@")[0]) in WARM,
        )

    def fastest(self, family, row, metric="median_s"):
        """The best figure of a peer (or of all: "best"), whatever its mode and malloc: (value, name), or None."""
        cells = []
        for peer in self.peers():
            if family in ("best", peer, FAMILY.get(peer)):
                for malloc in ("default", "tuned"):
                    cell = self.cell(peer, row, metric, malloc)
                    if cell and cell.agrees and not cell.warm:
                        cells.append((cell.value, peer))
        return min(cells, default=None)


@dataclasses.dataclass
class Verdict:
    row: str
    jaxpp: Cell
    ratio: float  # of the best peer to jaxpp; None without a peer
    best: str
    must: dict
    aim: dict
    must_met: bool  # None: nothing to compare with
    aim_met: bool

    def text(self):
        if not self.jaxpp:
            return "not measured"
        if not self.jaxpp.agrees:
            return "WRONG CHECKSUM"
        if self.must_met is None:
            return "no peer"
        return "MISSED" if not self.must_met else "aim" if self.aim_met else "ok"


def condition_text(condition):
    words = []
    for against, value in condition.items():
        if against == "seconds":
            words.append(f"{value * 1e3:.0f} ms")
        elif against == "limit":
            words.append(f"{value}x limit")
        else:
            size = "level" if value == 0.9 else f"{value:g}x"
            words.append(size if against == "best" else f"{size} {against}")
    return ", ".join(words) or "-"


def judge(results, goals):
    """[(group of goals.json, metric, [Verdict])] in its order, with the rows that were measured."""
    out = []
    for group in goals["groups"]:
        metric = group.get("metric", "median_s")
        verdicts = []
        for goal in group["goals"]:
            for name in goal["rows"]:
                rows = [row for row in results.labels() if row == name or row.split("@")[0] == name]
                for row in rows:
                    verdicts.append(judge_row(results, goals, goal, row, metric))
        if verdicts:
            out.append((group, metric, verdicts))
    return out


def judge_row(results, goals, goal, row, metric):
    mine = results.cell("jaxpp", row, metric)
    best = results.fastest("best", row, metric)

    def met(condition):
        if not mine or not condition:
            return None
        answers = []
        for against, value in condition.items():
            if against == "seconds":
                answers.append(mine.value <= value)
            elif against == "limit":
                limit = goals["limit_s"].get(row)
                if limit:
                    answers.append(mine.value <= value * limit)
            else:
                peer = results.fastest(against, row, metric)
                if peer:
                    answers.append(peer[0] >= value * mine.value)
        return all(answers) if answers else None

    ratio = best[0] / mine.value if best and mine and mine.value > 0 else None
    return Verdict(
        row, mine, ratio, best[1] if best else "-", goal["must"], goal["aim"], met(goal["must"]), met(goal["aim"])
    )


def table(results, judged):
    """Markdown lines of one group."""
    group, metric, verdicts = judged
    peers = [p for p in results.peers() if any(results.cell(p, v.row, metric) for v in verdicts)]
    lines = [
        "| row | jaxpp | " + "".join(f"{p} | " for p in peers) + "best / jaxpp | must | aim | |",
        "|---" * (6 + len(peers)) + "|",
    ]
    for v in verdicts:
        cells = []
        for peer in peers:
            default, tuned = (results.cell(peer, v.row, metric, m) for m in ("default", "tuned"))
            text = default.text(metric) if default else "-"
            if tuned:
                text += f" ({tuned.text(metric)})"
            cells.append(text)
        ratio = f"{ratio_text(v.ratio)} {v.best}" if v.ratio else "-"
        mine = v.jaxpp.text(metric) if v.jaxpp else "-"
        cells = [v.row, mine, *cells, ratio, condition_text(v.must), condition_text(v.aim), v.text()]
        lines.append("| " + " | ".join(cells) + " |")
    if "ahead_in" in group:
        ahead = sum(v.ratio is not None and v.ratio > 1 for v in verdicts)
        lines += ["", f"Ahead in {ahead} of {len(verdicts)} rows; at least {group['ahead_in']} are wanted."]
    return lines
