#!/usr/bin/env python3
"""Checks that includes point only to the same layer or to an earlier one, and that public headers stay light.

Layers, first to last:
  jaxpp/core -> jaxpp/ops -> jaxpp/*.h -> transforms -> backends/passes -> backends/host -> backends/eager ->
  backends/loops -> backends/cache -> backends/cpu -> backends/cuda
A public header (jaxpp/*.h, jaxpp/core/*.h) includes the standard library only, and of it nothing that is dear to
compile; jaxpp/eigen.h and jaxpp/sparse_eigen.h are the exceptions that users ask for.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LAYERS = ["jaxpp/core", "jaxpp/ops", "jaxpp", "transforms", "backends/passes", "backends/host", "backends/eager",
          "backends/loops", "backends/cache", "backends/cpu", "backends/cuda"]
# A source of an early layer may use what a later one declares, where the declaration is the seam between them.
ALLOWED = [
    (r"jaxpp/ops/.*\.(cc|h)", r"jaxpp/(lax|jaxpr|operators)\.h"),   # rules are written with ordinary operations
    (r"jaxpp/core/.*\.cc", r"jaxpp/(ops/)?[a-z_]+\.(h|def)"),       # the printer knows every parameter's type
    (r"jaxpp/core/index\.h", r"jaxpp/ops/params\.h"),               # an index becomes the parameters of a gather
    (r"jaxpp/core/jaxpr\.h", r"jaxpp/jaxpr\.h"),                    # the public handle of what it defines
    (r"jaxpp/[a-z_]+\.cc", r"transforms/transforms\.h"),
    (r"backends/backend\.cc", r"backends/.*"),                      # puts the backend together
]
EIGEN = {"jaxpp/eigen.h", "jaxpp/sparse_eigen.h"}
DEAR = {"iostream", "ranges", "format", "regex", "filesystem", "algorithm_pstl", "future"}
FOREIGN = re.compile(r"(absl|Eigen|unsupported|nlohmann|benchmark|catch2|rapidcheck)[/.]?")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def layer(path):
    for name in sorted(LAYERS, key=len, reverse=True):
        if path.startswith(name + "/"):
            return LAYERS.index(name)
    return len(LAYERS) if path.startswith("backends/") else None


def public(path):
    return re.fullmatch(r"jaxpp/(core/|ops/)?[a-z_]+\.h", path) is not None


def main():
    wrong = []
    files = [f for d in ("jaxpp", "transforms", "backends") for f in sorted((ROOT / d).rglob("*")) if f.suffix in (".h", ".cc")]
    for file in files:
        path = file.relative_to(ROOT).as_posix()
        for number, line in enumerate(file.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            quoted, target = match[1] == '"', match[2]
            if not quoted:
                if FOREIGN.match(target) and path.endswith(".h") and public(path) and path not in EIGEN:
                    wrong.append(f"{path}:{number}: a public header includes <{target}>")
                if public(path) and target in DEAR:
                    wrong.append(f"{path}:{number}: <{target}> is dear to compile; keep it out of public headers")
                continue
            here, there = layer(path), layer(target)
            if there is None:
                wrong.append(f'{path}:{number}: "{target}" is not a path from the root of the project')
            elif there > here and not any(re.fullmatch(a, path) and re.fullmatch(b, target) for a, b in ALLOWED):
                wrong.append(f"{path}:{number}: {LAYERS[here]} includes {target}, which is of a later layer")
    for file in sorted((ROOT / "examples").rglob("*.cc")):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            if match and re.match(r"jaxpp/(core|ops)/|transforms/|backends/", match[2]):
                wrong.append(f"{file.relative_to(ROOT)}:{number}: an example uses {match[2]}, which is not public")
    print("\n".join(wrong) if wrong else f"{len(files)} files")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
