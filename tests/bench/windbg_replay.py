#!/usr/bin/env python3
# windbg_replay.py - the same recorded session served to WinDbg's engine and to kdlens debug.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Where neither a machine nor a serial line is the limit: kdlens replay is the target. First the
session is recorded: WinDbg's engine, kdlens tap, the agent in QEMU. Then two contenders take turns
within each round, each with a replay of its own that it connects to:

  engine  WinDbg's engine; under Wine it knows TCP and pipes, so the replay listens on TCP
  debug   kdlens debug; the replay listens on a unix socket

What is done is what was recorded, so that every request has its answer:

  memory    1 MiB into a file (.writemem)
  requests  1,000 reads of an MSR (rdmsr), each a request and its answer, as a thousand reads of
            registers would be if WinDbg did not keep these; the engine does them in one .for, debug
            gets as many commands
  steps     1,000 single steps (t)
  modules   the list of modules anew (.reload; lm)

Passes (exit status 0) when the median of engine's time to debug's is at least 5 for each.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests" / name) for name in ("boot", "peers/windbg", "tool")]
import kdreplay
import kdtap
import machine
import windbg

IMAGES = Path(os.environ.get("KDLENS_AGENT_IMAGES") or REPOSITORY / "build/uefi-agent")
KDLENS = kdtap.PROGRAM
LIMIT = 5
PATIENCE = 600
START = 0x100000
WORKS = ("memory", "requests", "steps", "modules")
MSR = "rdmsr c0000080"


def timed(work) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def engine_works(engine: windbg.Engine, file: Path, options) -> dict:
    """Seconds of each, in the order in which the session has them."""
    result = {
        "memory": timed(lambda: engine.command(
            f".writemem {windbg.windows_path(file)} {START:x} L?{options.kib << 10:x}", PATIENCE)),
        "requests": timed(lambda: engine.command(
            f".for (r $t0=0; @$t0 < {options.steps:x}; r $t0=@$t0+1) {{ {MSR} }}", PATIENCE)),
        "steps": timed(lambda: (engine.command(f"t {options.steps:x}", PATIENCE),
                                engine.wait_stopped(PATIENCE))),
        "modules": timed(lambda: engine.command(".reload; lm", PATIENCE)),
    }
    assert engine.text.count("msr[c0000080]") >= options.steps, engine.report()
    return result


def place(registers: str, modules: str) -> tuple:
    """Where the steps have led, and the modules with their addresses: both see the same."""
    rows = re.findall(r"^([0-9a-f]{16}) +([0-9a-f]{16}) +(\w+)", modules.replace("`", ""), re.M)
    return re.search(r"rip=([0-9a-f]+)", registers.replace("`", ""))[1], sorted(rows)


def by_engine(address: str, file: Path, options) -> tuple[dict, tuple]:
    """Times, place."""
    port = int(address.rsplit(":", 1)[1])
    with windbg.Engine(windbg.tcp(port), initial_break=True, total=4 * PATIENCE) as engine:
        engine.wait_stopped(PATIENCE)
        return engine_works(engine, file, options), place(engine.command("r rip", PATIENCE),
                                                          engine.command("lm", PATIENCE))


class Debug:
    """kdlens debug at a target; run(texts) until all are answered, and the last answer."""

    def __init__(self, end: str):
        self.process = subprocess.Popen([KDLENS, "debug", end, "-", "--json", "--timeout", "60"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        bufsize=1)

    def run(self, *texts: str) -> str:
        self.process.stdin.write("\n".join(texts) + "\n")
        self.process.stdin.flush()
        left = list(reversed(texts))
        for line in self.process.stdout:
            event = json.loads(line)
            if event["event"] == "answer":
                assert event["ok"] and event["command"] == left.pop(), event
                if not left:
                    return event["text"]
        raise AssertionError(f"kdlens debug ended with {left[-1]} to do")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def by_debug(address: str, file: Path, options) -> tuple[dict, tuple]:
    debug = Debug(f"unix:{address}")
    try:
        debug.run("break", "wait stop 60")
        result = {
            "memory": timed(lambda: debug.run(
                f".writemem {file} {START:x} L{options.kib << 10:x}")),
            "requests": timed(lambda: debug.run(*[MSR] * options.steps)),
            "steps": timed(lambda: debug.run(f"t {options.steps:x}")),
            "modules": timed(lambda: debug.run("lm")),
        }
        return result, place(debug.run("r rip"), debug.run("lm"))
    finally:
        debug.close()


CONTENDERS = {"engine": (by_engine, True), "debug": (by_debug, False)}  # TCP?


def record(folder: Path, options) -> tuple[Path, bytes, tuple]:
    """The session, the memory and the place in it."""
    recording, uart = folder / "session.pcapng", folder / "uart"
    esp = machine.make_esp(folder / "esp.img", {
        "EFI/BOOT/BOOTX64.EFI": IMAGES / "kdboot.efi",
        "kdagent.efi": IMAGES / "kdagent.efi",
        "kdexample.efi": IMAGES / "kdexample.efi",
        "kdagent.cfg": b"chain=\\kdexample.efi\narguments=spin\nbreak=no\nwait=0\nmodules=*\n",
    })
    with kdtap.Tap("tcp-listen:127.0.0.1:0", f"unix-listen:{uart}", "-w", recording) as tap:
        address = tap.wait("listening", end=kdtap.DEBUGGER)["address"]
        tap.wait("listening", end=kdtap.TARGET)
        with machine.Machine(esp=esp, uart=f"socket,path={uart},server=off,reconnect=1"):
            time.sleep(15)  # until kdexample spins
            _, seen = by_engine(address, folder / "recorded.bin", options)
            tap.stop()
    return recording, (folder / "recorded.bin").read_bytes(), seen


def measure(folder: Path, options) -> list[dict]:
    recording, memory, seen = record(folder, options)
    assert len(memory) == options.kib << 10, f"{len(memory)} bytes of memory"
    print(f"recorded: {recording.stat().st_size >> 10} KiB", flush=True)
    rounds, names = [], list(CONTENDERS)
    for number in range(options.rounds):
        row = {}
        for name in names[number % 2:] + names[:number % 2]:
            contender, tcp = CONTENDERS[name]
            file = folder / f"{name}.bin"
            with kdreplay.Replay(recording, tcp=tcp) as replay:
                row[name], shown = contender(replay.address, file, options)
            assert file.read_bytes() == memory, f"{name}: another memory"
            assert shown == seen, f"{name}: {shown}, recorded {seen}"
            print(f"round {number + 1}, {name}:", ", ".join(
                f"{work} {seconds:.3f} s" for work, seconds in row[name].items()), flush=True)
        rounds.append(row)
    return rounds


def report(rounds: list[dict]) -> bool:
    good = True
    print(f"medians of {len(rounds)} rounds; ratios within a round")
    for work in WORKS:
        engine, debug = ([row[name][work] for row in rounds] for name in CONTENDERS)
        ratio = statistics.median(of / to for of, to in zip(engine, debug))
        print(f"  {work:8} engine {statistics.median(engine):8.3f} s   debug "
              f"{statistics.median(debug):8.3f} s   engine/debug {ratio:6.1f} (at least {LIMIT})")
        good = good and ratio >= LIMIT
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each (7)")
    parser.add_argument("--kib", type=int, default=1024, help="of memory (1024)")
    parser.add_argument("--steps", type=int, default=1000, help="requests, single steps (1000)")
    options = parser.parse_args()
    reason = machine.missing() or windbg.missing()
    if reason:
        print(f"windbg_replay.py: {reason}", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="kdbench"))
    try:
        return 0 if report(measure(folder, options)) else 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
