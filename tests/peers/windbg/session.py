#!/usr/bin/env python3
# session.py - a short session of WinDbg's engine with the agent and kdexample, printed as it goes.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""session.py PORT SYMBOLS [NAME]: connects to a tap's TCP port; SYMBOLS is the folder of the PDBs.

demo.sh --windbg runs it. Without arguments it says whether there is an engine: status 0, or 77 with
the reason on stderr.
"""

import sys

import windbg

PATIENCE = 180.0


def show(engine: windbg.Engine, command: str, steps: bool = False):
    print(f"kd> {command}", flush=True)
    text = (engine.step if steps else engine.command)(command, PATIENCE)
    print(text.strip("\n"), flush=True)


def session(engine: windbg.Engine, name: str):
    engine.wait_stopped(PATIENCE)
    show(engine, "vertarget")
    # The first stop is the agent's or, when WinDbg came late, the one that kdexample makes.
    while "kdexample " not in engine.command(".reload; lm m kdexample", PATIENCE):
        show(engine, "g", steps=True)
    show(engine, "lm m kd*")
    show(engine, "x kdexample!KdExample*")
    show(engine, "bp kdexample!KdExampleTick")
    show(engine, "g", steps=True)
    for command in ("k", "r", "db @rip L20"):
        show(engine, command)
    show(engine, "t", steps=True)
    engine.command("bc *", PATIENCE)
    show(engine, "g", steps=True)
    show(engine, ".exr -1")
    show(engine, "r rip=@rip+2")
    engine.answer(name)
    start = len(engine.text)
    show(engine, "gh")
    print(engine.wait_text(rf".*{name}.*", after=start, patience=PATIENCE)[0], flush=True)


def main() -> int:
    reason = windbg.missing()
    if reason:
        print(reason, file=sys.stderr)
        return 77
    if len(sys.argv) > 2:
        with windbg.Engine(windbg.tcp(int(sys.argv[1])),
                           symbols=windbg.windows_path(sys.argv[2]), total=600) as engine:
            session(engine, sys.argv[3] if len(sys.argv) > 3 else "kdlens")
    return 0


if __name__ == "__main__":
    sys.exit(main())
