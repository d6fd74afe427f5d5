#!/usr/bin/env python3
"""Checks that every error id used in the sources has its section in docs/errors.md, and the other way round."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def main():
    used = {}
    for folder in ("jaxpp", "transforms", "backends"):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in (".h", ".cc", ".inc", ".def"):
                for number, line in enumerate(file.read_text().splitlines(), 1):
                    if line.lstrip().startswith("//"):
                        continue
                    for name in re.findall(r'(?:"|\[)(E\d{2,3})(?:"|\])', line):
                        used.setdefault(name, f"{file.relative_to(ROOT)}:{number}")
    documented = re.findall(r"^## (E\d{2,3})\b", (ROOT / "docs/errors.md").read_text(), re.M)
    wrong = [f"{where}: {name} is not in docs/errors.md" for name, where in sorted(used.items()) if name not in documented]
    wrong += [f"docs/errors.md: {name} is used nowhere" for name in documented if name not in used]
    wrong += [f"docs/errors.md: {name} twice" for name in sorted(set(documented)) if documented.count(name) > 1]
    print("\n".join(wrong) if wrong else f"{len(used)} ids")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
