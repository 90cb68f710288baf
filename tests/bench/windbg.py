#!/usr/bin/env python3
# windbg.py - what WinDbg's engine takes through kdlens tap, socat, and straight, and kdlens debug.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""One machine with the agent in QEMU; contenders take turns within each round:

  straight   WinDbg's engine, connected to QEMU's own TCP port
  socat      the same through socat
  tap        the same through kdlens tap, which records
  debug      kdlens debug, connected to QEMU's port

Each does three things: 1 MiB of memory into a file (.writemem), 1,000 single steps (t), and the
list of modules anew (.reload; lm). The machine is the same for all, and what the emulator takes is
in every time: ratios are taken within a round, and their median is shown. Passes (exit status 0)
when tap's time is at most 1.02 of straight's and no longer than socat's, and debug's no longer than
straight's, for each of the three. Where the standard error beside a ratio says too little, many
short rounds say more than few long ones: --rounds 28 --steps 250 --kib 256 takes 25 minutes.
"""

import argparse
import json
import math
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests/boot"), str(REPOSITORY / "tests/peers/windbg")]
import machine
import windbg

IMAGES = Path(os.environ.get("KDLENS_AGENT_IMAGES") or REPOSITORY / "build/uefi-agent")
KDLENS = Path(os.environ.get("KDLENS") or REPOSITORY / "build/capture-tool/kdlens").resolve()
TAP_LIMIT = 1.02
PATIENCE = 600
START = 0x100000
WORKS = ("memory", "steps", "modules")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_listening(port: int, process: subprocess.Popen):
    """Until somebody listens there, told without connecting."""
    end = time.monotonic() + PATIENCE
    mark = f":{port:04X} 00000000:0000 0A"
    while mark not in Path("/proc/net/tcp").read_text():
        assert process.poll() is None and time.monotonic() < end, f"{process.args}: does not listen"
        time.sleep(0.02)


class Between:
    """What stands between the debugger and the machine; port is where the debugger connects."""

    def __init__(self, name: str, machine_port: int, folder: Path):
        self.process = None
        self.port = machine_port
        if name in ("straight", "debug"):
            return
        self.port = free_port()
        ends = {
            "socat": ["socat", f"TCP-LISTEN:{self.port},bind=127.0.0.1,nodelay",
                      f"TCP:127.0.0.1:{machine_port},nodelay"],
            "tap": [KDLENS, "tap", f"tcp-listen:127.0.0.1:{self.port}",
                    f"tcp:127.0.0.1:{machine_port}", "-w", folder / "session.pcapng", "--quiet"],
        }
        self.process = subprocess.Popen(ends[name], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_listening(self.port, self.process)

    def close(self):
        if self.process:
            self.process.terminate()
            self.process.wait(PATIENCE)


def timed(work) -> float:
    start = time.monotonic()
    work()
    return time.monotonic() - start


def by_engine(port: int, folder: Path, size: int, steps: int) -> dict:
    """Seconds of each work, by WinDbg's engine."""
    file = folder / "memory.bin"
    with windbg.Engine(windbg.tcp(port), initial_break=True, total=PATIENCE) as engine:
        engine.wait_stopped(PATIENCE)
        engine.command(".cache flushall", PATIENCE)
        result = {
            "memory": timed(lambda: engine.command(
                f".writemem {windbg.windows_path(file)} {START:x} L?{size:x}", PATIENCE)),
            "steps": timed(lambda: (engine.command(f"t {steps:x}", PATIENCE),
                                    engine.wait_stopped(PATIENCE))),
            "modules": timed(lambda: engine.command(".reload; lm", PATIENCE)),
        }
        listed = engine.command("lm", PATIENCE)
        assert "kdexample" in listed, f"the program that was stepped ended: {listed}"
        assert file.stat().st_size == size, f"{file.stat().st_size} bytes of memory"
        engine.stop()
    return result


def by_debug(port: int, folder: Path, size: int, steps: int) -> dict:
    """The same by kdlens debug."""
    file = folder / "memory.bin"
    process = subprocess.Popen([KDLENS, "debug", f"tcp:127.0.0.1:{port}", "-", "--json",
                                "--timeout", "60"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               text=True, bufsize=1)

    def command(text: str):
        process.stdin.write(text + "\n")
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "answer" and event["command"] == text:
                assert event["ok"], event
                return
        raise AssertionError(f"kdlens debug ended at {text}")

    for text in ("break", "wait stop 60"):
        command(text)
    result = {"memory": timed(lambda: command(f".writemem {file} {START:x} L{size:x}")),
              "steps": timed(lambda: command(f"t {steps:x}")),
              "modules": timed(lambda: command("lm"))}
    assert file.stat().st_size == size
    process.stdin.write("q\n")
    process.stdin.close()
    process.stdout.read()
    assert process.wait(PATIENCE) == 0
    return result


CONTENDERS = {"straight": by_engine, "socat": by_engine, "tap": by_engine, "debug": by_debug}


def measure(folder: Path, rounds: int, size: int, steps: int) -> list[dict]:
    esp = machine.make_esp(folder / "esp.img", {
        "EFI/BOOT/BOOTX64.EFI": IMAGES / "kdboot.efi",
        "kdagent.efi": IMAGES / "kdagent.efi",
        "kdexample.efi": IMAGES / "kdexample.efi",
        "kdagent.cfg": b"chain=\\kdexample.efi\narguments=spin\nbreak=no\nwait=0\nmodules=*\n",
    })
    port = free_port()
    found = []
    names = list(CONTENDERS)
    with machine.Machine(esp=esp, uart=f"socket,host=127.0.0.1,port={port},server=on,wait=off,"
                                       "nodelay=on"):
        time.sleep(15)  # until kdexample spins
        for number in range(rounds):
            row = {}
            for name in names[number % len(names):] + names[:number % len(names)]:
                between = Between(name, port, folder)
                try:
                    row[name] = CONTENDERS[name](between.port, folder, size, steps)
                finally:
                    between.close()
                print(f"round {number + 1}, {name}:", ", ".join(
                    f"{work} {seconds:.3f} s" for work, seconds in row[name].items()), flush=True)
            found.append(row)
    return found


class Ratio:
    """The median of the ratios within a round, and its standard error: what one run takes scatters
    by some 10 % on a machine of two cores."""

    def __init__(self, rounds: list[dict], work: str, of: str, to: str):
        each = [row[of][work] / row[to][work] for row in rounds]
        self.median = statistics.median(each)
        # of the mean of a normal distribution; the median's is larger by the root of pi / 2
        mean_error = statistics.stdev(each) / math.sqrt(len(each)) if len(each) > 1 else math.inf
        self.error = math.sqrt(math.pi / 2) * mean_error

    def __str__(self) -> str:
        return f"{self.median:.3f} +- {self.error:.3f}"


def report(rounds: list[dict]) -> bool:
    good = True
    print(f"medians of {len(rounds)} rounds; ratios within a round, +- standard error")
    for work in WORKS:
        tap, socat = Ratio(rounds, work, "tap", "straight"), Ratio(rounds, work, "tap", "socat")
        debug = Ratio(rounds, work, "debug", "straight")
        seconds = statistics.median(row["straight"][work] for row in rounds)
        print(f"  {work:8} straight {seconds:7.3f} s   tap/straight {tap} (at most {TAP_LIMIT})"
              f"   tap/socat {socat} (1)   debug/straight {debug} (1)")
        good = good and tap.median <= TAP_LIMIT and socat.median <= 1 and debug.median <= 1
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="measurements of each (7)")
    parser.add_argument("--kib", type=int, default=1024, help="of memory (1024)")
    parser.add_argument("--steps", type=int, default=1000, help="single steps (1000)")
    options = parser.parse_args()
    reason = machine.missing() or windbg.missing() or \
        (None if shutil.which("socat") else "needs socat (package socat)")
    if reason:
        print(f"windbg.py: {reason}", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="kdbench"))
    try:
        return 0 if report(measure(folder, options.rounds, options.kib << 10, options.steps)) else 1
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
