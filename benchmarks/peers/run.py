"""Runs jaxpp and its peers interleaved and prints the table of ratios, by the groups of goals.json.

usage: run.py --jaxpp PROGRAM --out FOLDER [--peers jax,torch,...] [--filter REGEX] [--rounds N] [--default-malloc-only]

Every round goes through the groups of workloads, and in each group through the programs, every other round backwards.
A peer runs twice, with glibc's default malloc and with one that keeps what it has had ("tuned", in brackets): fresh
pages cost some programs more than their arithmetic.  Without --filter only the groups with large arrays do.  FOLDER receives the JSON lines, one file a program.
"""

import argparse
import datetime
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import results

LARGE_ARRAYS = ["E", "R", "S"]
GROUPS = ["D", "E", "R", "M", "N", "L", "J", "S", "C", "P"]
TUNED = {
    "MALLOC_TOP_PAD_": str(256 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
}


class Program:
    def __init__(self, name, command, malloc="default"):
        self.name, self.command, self.malloc = name, command, malloc

    def run(self, pattern, skip, out):
        # A measurement may wait some seconds for a quiet machine.
        environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
        environment.setdefault("BENCH_QUIET", "3")
        if self.malloc == "tuned":
            environment.update(TUNED)
        command = self.command + ["--filter", pattern] + (["--skip", skip] if skip else [])
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        records = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        with open(out / f"{self.name}.jsonl", "a") as file:
            for record in records:
                record["malloc"] = self.malloc
                file.write(json.dumps(record) + "\n")
        failed = f"  failed ({done.returncode}): {done.stderr[-200:]}" if done.returncode else ""
        return f"{self.name}{'' if self.malloc == 'default' else ', tuned malloc'}: {len(records)} rows{failed}"


def peer_program(name, malloc):
    library, _, mode = name.partition("_")
    return Program(name, [sys.executable, str(HERE / f"peer_{library}.py")] + ([mode] if mode else []), malloc)


def describe_machine(out):
    """machine.json: where and with what the figures were taken."""
    model = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    names = ["jax", "torch", "mlx", "drjit", "numpy"]
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    machine = {
        "cpu": model.group(1) if model else platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "date": datetime.date.today().isoformat(),
        "versions": found,
    }
    (out / "machine.json").write_text(json.dumps(machine, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--jaxpp", required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--peers", default="jax,torch,torch_compile,mlx,drjit,drjit_freeze,numpy")
    parser.add_argument("--filter", default="")
    parser.add_argument("--skip", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--default-malloc-only", action="store_true")
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    describe_machine(a.out)

    programs = [Program("jaxpp", [a.jaxpp, "--json", "-"])]
    for name in filter(None, a.peers.split(",")):
        for malloc in ["default"] if a.default_malloc_only else ["default", "tuned"]:
            programs.append(peer_program(name, malloc))
    patterns = [a.filter] if a.filter else ["^" + g for g in GROUPS]
    for number in range(a.rounds):
        for pattern in patterns:
            for program in programs if number % 2 == 0 else reversed(programs):
                if program.malloc == "tuned" and not a.filter and pattern[1:] not in LARGE_ARRAYS:
                    continue
                print(
                    f"round {number + 1}, {pattern}: {program.run(pattern, a.skip, a.out)}", file=sys.stderr, flush=True
                )

    goals = json.loads((HERE.parent / "goals.json").read_text())
    measured = results.Results(sorted(a.out.glob("*.jsonl")))
    for judged in results.judge(measured, goals):
        print(f"\n{judged[0]['title']}\n")
        print("\n".join(results.table(measured, judged)))
    print(
        "\n! checksum outside the tolerance   ~ the machine was not quiet   w from a kernel cache on disk   (...) tuned malloc"
    )


if __name__ == "__main__":
    main()
