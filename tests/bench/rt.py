# rt.py - what an interface call through our runtime costs, against a plain virtual call.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""rt.py [--rounds N]: builds tests/rt/aot/own.c for measuring, runs it on this machine (the same
image as in firmware, started by run_pe), and prints the best of N runs: what else the machine does
only adds.

A tick is one of the processor's time-stamp counter. Nothing is asserted but the order of things: a
call that is looked up costs more than a cached one. KDLENS_RUN_PE names run_pe.
"""

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "rt"))
import aotbuild

VERSIONS = (("r10", 9, 1), ("r11", 16, 0))


def measure(builder, major: int, minor: int, rounds: int) -> dict:
    flags = (f"-DMAJOR={major}", f"-DMINOR={minor}")
    image = builder.link(f"bench{major}", [
        *builder.base(), builder.object("tests/rt/aot/tables.S", *flags),
        builder.object("tests/rt/aot/own.c", aotbuild.GENERAL, "-DBENCH=1", *flags)])
    found = {}
    for _ in range(rounds):
        for line in image.on_host():
            words = line.split()
            if words[0] == "bench":
                found.setdefault(words[1], []).append(int(words[2]) / 100)
    return {name: min(times) for name, times in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    if aotbuild.missing():
        print(f"rt.py: {aotbuild.missing()}", file=sys.stderr)
        return 2
    builder = aotbuild.Builder()
    try:
        tables = {name: measure(builder, major, minor, rounds)
                  for name, major, minor in VERSIONS}
    finally:
        builder.close()
    print(f"{'ticks for a call, best of ' + str(rounds):32}"
          + "".join(f"{'cell in ' + name:>16}" for name in tables) + f"{'to virtual':>14}")
    for row in next(iter(tables.values())):
        values = [table[row] for table in tables.values()]
        ratio = values[-1] / tables[VERSIONS[-1][0]]["virtual"]
        print(f"{row:32}" + "".join(f"{value:16.2f}" for value in values) + f"{ratio:14.2f}")
    return 0 if all(table["uncached"] > table["cached-1-type"]
                    for table in tables.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
