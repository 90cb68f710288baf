# dissect.py - what decoding costs: CPU time and memory of tshark with the plugin.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Measures what decoding costs, against tshark showing the same packets as plain data.

Run it with tests/bench/run.sh, which builds what it needs, or

    python3 dissect.py --helper build/tests/bench/kdnet_repeat [options]

(KDLENS_PLUGIN_SO names the plugin, as for the dissector tests.) It needs two to three minutes,
500 MB in TMPDIR and a core to spare: time is CPU time and both sides take turns, so other work
disturbs little.

What is asserted (exit status 1 otherwise):
  - every datagram of the workload is authentic, none is a replay or malformed
  - time with the plugin / time as data, in the mode "filter": at most --limit (1.5)
  - twice the packets take 1.7 to 2.4 times the time, and memory per packet stays the same
  - a serial stream cut into single bytes: twice the bytes take 1.7 to 2.4 times the time
Everything else is for information.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import workload
from workload import kdtest

NOTHING = "frame.number==0"  # a filter that nothing passes: all is dissected, nothing is printed
MODES = {
    "filter": ["-Y", NOTHING],
    "phs": ["-q", "-z", "io,phs"],
    "two-pass": ["-2", "-Y", NOTHING],
}
TREES = {
    "summary": [],
    "-T fields": ["-T", "fields", "-e", "frame.number", "-e", "kd.api", "-e", "kd.address"],
    "-V": ["-V"],
    "-T json": ["-T", "json"],
}
TREE_PACKETS = 20000
TWICE = (1.7, 2.4)
FLAT = 1.3  # memory per packet: the second half against the first

failures = []


class Cost(NamedTuple):
    """Of one run of tshark."""

    seconds: float  # of CPU, user and system
    memory: int     # bytes, the most it had


def measure(args: list) -> Cost:
    """One run of tshark on a staged capture."""
    command = [str(word) for word in (kdtest.RUNNER, "run", kdtest.stage(), "tshark", "-n", *args)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE)
    message = process.stderr.read().decode(errors="backslashreplace")
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit status {process.returncode}\n{message}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def interleaved(rounds: int, runs: dict) -> dict:
    """Median cost of each run; they take turns, so that a busy moment hits all alike."""
    costs = {name: [] for name in runs}
    for _ in range(rounds):
        for name, args in runs.items():
            costs[name].append(measure(args))
    return {name: Cost(statistics.median(cost.seconds for cost in taken),
                       int(statistics.median(cost.memory for cost in taken)))
            for name, taken in costs.items()}


def expect(condition: bool, what: str) -> str:
    """A remark for the end of a line."""
    if condition:
        return "ok"
    failures.append(what)
    return "FAILED"


class Bench:
    def __init__(self, options):
        self.options = options
        self.session = workload.Session(options.helper.resolve())
        self.key = ["-o", f"kdnet.key:{self.session.key}"]
        self.data = ["-d", f"udp.port=={self.session.port},data"]
        short = self.session.capture(1000)
        self.startup = interleaved(options.rounds, {"": ["-r", short, *self.key, "-c", "1"]})[""]

    def net(self, cost: Cost) -> float:
        """CPU seconds without starting tshark."""
        return max(cost.seconds - self.startup.seconds, 1e-9)

    def check_workload(self, capture: Path, count: int):
        flawed = ("!kdnet || kdnet.authentic == 0 || kdnet.replay || kdnet.missing"
                  " || kd.expert.desync || _ws.malformed")
        rows = kdtest.fields(capture, ["frame.number"], f"kdnet.key:{self.session.key}",
                             filter=flawed)
        authentic = kdtest.fields(capture, ["frame.number"], f"kdnet.key:{self.session.key}",
                                  filter="kdnet.authentic == 1")
        remark = expect(len(authentic) == count and not rows, "the workload is not ordinary")
        print(f"{self.session.source.name} repeated: {count} datagrams, "
              f"{len(authentic)} authentic, {len(rows)} flawed [{remark}]")

    def compare_modes(self, capture: Path, count: int):
        runs = {}
        for mode, args in MODES.items():
            runs[mode, "plugin"] = ["-r", capture, *self.key, *args]
            runs[mode, "data"] = ["-r", capture, *self.data, *args]
        costs = interleaved(self.options.rounds, runs)
        print(f"\n{count} packets, median of {self.options.rounds} rounds; starting tshark "
              f"({self.startup.seconds:.2f} s, {self.startup.memory >> 20} MB) is included")
        print(f"{'mode':10} {'plugin us/pkt':>14} {'data us/pkt':>12} {'ratio':>6} {'net':>5} "
              f"{'plugin MB':>10} {'data MB':>8}   (net: without starting)")
        for mode in MODES:
            ours, data = costs[mode, "plugin"], costs[mode, "data"]
            ratio = ours.seconds / data.seconds
            remark = ""
            if mode == "filter":
                remark = f" [at most {self.options.limit}: " + expect(
                    ratio <= self.options.limit, f"{ratio:.2f} times the time of plain data") + "]"
            print(f"{mode:10} {ours.seconds / count * 1e6:14.2f}"
                  f" {data.seconds / count * 1e6:12.2f} {ratio:6.2f}"
                  f" {self.net(ours) / self.net(data):5.2f}"
                  f" {ours.memory >> 20:10} {data.memory >> 20:8}{remark}")

    def compare_sizes(self, count: int):
        sizes = [count // 4, count // 2, count]
        captures = {size: self.session.capture(size) for size in sizes}
        costs = interleaved(self.options.rounds,
                            {size: ["-r", captures[size], *self.key, *MODES["filter"]]
                             for size in sizes})
        print("\nGrowth, without starting tshark")
        for size in sizes:
            cost = costs[size]
            print(f"{size:10} packets {self.net(cost):7.2f} s {cost.memory >> 20:6} MB")
        self._twice("packets", self.net(costs[sizes[1]]), self.net(costs[sizes[2]]))
        first, second = ((costs[b].memory - costs[a].memory) / (b - a)
                         for a, b in zip(sizes, sizes[1:]))
        memory = f"memory per packet: {first:.0f} bytes, then {second:.0f} bytes"
        print(f"{memory} [{expect(second <= FLAT * first, memory)}]")

    def _twice(self, what: str, half: float, whole: float):
        ratio = whole / half
        growth = f"twice the {what}: {ratio:.2f} times the time"
        print(f"{growth} [{expect(TWICE[0] <= ratio <= TWICE[1], growth)}]")

    def compare_serial(self, size: int, cut: int, judge: bool):
        runs, records = {}, {}
        for dissector in ("kd_stream", "data"):
            for part in (size // 2, size):
                capture, records[part] = workload.serial(part, cut, dissector)
                runs[dissector, part] = ["-r", capture, *MODES["filter"]]
        costs = interleaved(min(self.options.rounds, 3), runs)
        print(f"\nA COM port's stream in records of at most {cut} bytes, without starting tshark")
        for (dissector, part), cost in costs.items():
            spent = self.net(cost)
            print(f"{dissector:10} {part / 1e6:6.1f} MB {records[part]:9} records {spent:7.2f} s "
                  f"{spent / records[part] * 1e6:6.2f} us/record {cost.memory >> 20:6} MB")
        if judge:
            self._twice("bytes", self.net(costs["kd_stream", size // 2]),
                        self.net(costs["kd_stream", size]))
        for name in ("kd_stream", "data"):
            seconds = self.net(costs[name, size]) * 1e9 / size
            memory = max(costs[name, size].memory - costs[name, size // 2].memory, 0) * 2e9 / size
            print(f"  1 GB of it as {name}: {seconds:.0f} s, {memory / 1e9:.1f} GB of memory")

    def compare_trees(self):
        capture = self.session.capture(TREE_PACKETS)
        runs = {}
        for name, args in TREES.items():
            runs[name, "plugin"] = ["-r", capture, *self.key, *args]
            runs[name, "data"] = ["-r", capture, *self.data, *args]
        costs = interleaved(max(self.options.rounds // 2, 1), runs)
        print(f"\nFull output, {TREE_PACKETS} packets, without starting tshark (for information)")
        for name in TREES:
            ours, data = (self.net(costs[name, side]) / TREE_PACKETS * 1e6
                          for side in ("plugin", "data"))
            print(f"{name:10} plugin {ours:7.1f} us/pkt   data {data:7.1f} us/pkt")


def main():
    parser = argparse.ArgumentParser(description="What decoding costs.")
    parser.add_argument("--helper", type=Path, required=True, help="the program kdnet_repeat")
    parser.add_argument("--packets", type=int, default=200000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=1.5)
    parser.add_argument("--serial", type=int, default=1000000, help="bytes of the serial stream")
    options = parser.parse_args()

    sys.stdout.reconfigure(line_buffering=True)
    began = time.monotonic()
    bench = Bench(options)
    capture = bench.session.capture(options.packets)
    bench.check_workload(capture, options.packets)
    bench.compare_modes(capture, options.packets)
    bench.compare_sizes(options.packets)
    bench.compare_serial(options.serial, 1, judge=True)
    bench.compare_serial(32 * options.serial, 4096, judge=False)
    bench.compare_trees()
    print(f"\n{time.monotonic() - began:.0f} s")
    for failure in failures:
        print(f"FAILED: {failure}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
