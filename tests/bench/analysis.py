# analysis.py - what the verbs that analyse a capture cost, against tshark on the same file.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Measures `kdlens stats`, `mem map` and `doctor` on a long serial capture: CPU time, peak memory.

    python3 analysis.py --kdlens build/capture-tool/kdlens [--mib 1024] [--rounds 1]

(KDLENS_PLUGIN_SO names the plugin, as for the dissector tests.) Run it with tests/bench/run.sh
analysis. It needs TMPDIR with room for one and a half captures, memory for tshark (about that of
the capture) and a core to spare. The capture is a debugger that reads memory, a stop in between, in
records of one packet; `fresh` reads each address once, `again` reads 8 MiB over and over.

What is asserted (exit status 1 otherwise):
  - each verb takes at most the time of `tshark -q -z io,phs` with the plugin, in one run
  - half the capture takes 0.35 to 0.65 of the time
  - `again` needs no more memory for the whole capture than 1.3 times what half of it needs
"""

import argparse
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import workload
from workload import kdtest

import capturefile  # noqa: E402 (workload.py says where it is)

READS = (16, 128, 512, 3900, 3900, 3900)
BASE = 0xFFFFF80000000000
WINDOW = 8 << 20  # `again`: bytes that are read over and over
STOP_EVERY = 500  # reads
HALF = (0.35, 0.65)
FLAT = 1.3

failures = []


class Cost(NamedTuple):
    """Of one run."""

    seconds: float  # of CPU, user and system
    memory: int     # bytes, the most it had


def expect(condition: bool, what: str) -> str:
    """A remark for the end of a line."""
    if condition:
        return "ok"
    failures.append(what)
    return "FAILED"


def measure(command: list) -> Cost:
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    message = process.stderr.read().decode(errors="backslashreplace")
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 1):
        sys.exit(f"{command}: exit status {process.returncode}\n{message}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


# --- the capture


class Writer:
    """A pcap file of UPPER_PDU records; ids alternate as on a serial line."""

    def __init__(self, path: Path):
        self.file = open(path, "wb", buffering=1 << 20)
        self.file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535,
                                    capturefile.LINKTYPE_UPPER_PDU))
        self.tags = {target: capturefile.upper_pdu(b"", target) for target in (False, True)}
        self.ids = {False: 0x80800000, True: 0x80800000}
        self.size = self.records = 0

    def _record(self, from_target: bool, data: bytes) -> None:
        data = self.tags[from_target] + data
        self.file.write(struct.pack("<IIII", *divmod(100 * self.records, 1000000), len(data),
                                    len(data)))
        self.file.write(data)
        self.size += 16 + len(data)
        self.records += 1

    def packet(self, from_target: bool, kind: int, payload: bytes, total: int) -> None:
        """With its acknowledgement. total: the sum of the payload's bytes."""
        number = self.ids[from_target]
        self.ids[from_target] ^= 1
        self._record(from_target, struct.pack("<4sHHII", b"0000", kind, len(payload), number, total)
                     + payload + b"\xaa")
        self._record(not from_target, struct.pack("<4sHHII", b"iiii", 4, 0, number, 0))


CONTENT = [bytes((i * 7 + j * j) & 0xFF for j in range(max(READS))) for i in range(64)]
SUMS = {(i, size): sum(CONTENT[i][:size - 8]) for i in range(64) for size in set(READS)}


def read(writer: Writer, number: int, address: int, mark: int) -> None:
    """ReadVirtualMemory and its reply, whose content begins with the mark."""
    size = READS[number % len(READS)]
    request = struct.pack("<IHHI4xQII24x", 0x3130, 0, 0, 0x103, address, size, 0)
    reply = struct.pack("<IHHI4xQII24xQ", 0x3130, 0, 0, 0, address, size, size, mark)
    writer.packet(False, 2, request, sum(request))
    writer.packet(True, 2, reply + CONTENT[mark % 64][:size - 8],
                  sum(reply) + SUMS[mark % 64, size])


def stop(writer: Writer, number: int) -> None:
    """Continue, and the next breakpoint."""
    go_on = struct.pack("<IHHI4xII4x28x", 0x313C, 0, 0, 0x103, 0x10001, 0)
    change = bytearray(240)
    struct.pack_into("<IHHI4xQQ", change, 0, 0x3030, 0, 0, 1, 0, BASE + number)
    struct.pack_into("<I", change, 32, 0x80000003)
    struct.pack_into("<HH", change, 192 + 20, 0, 1)
    struct.pack_into("<H", change, 192 + 40, 0x10)
    if number:
        writer.packet(False, 2, go_on, sum(go_on))
    writer.packet(True, 7, bytes(change), sum(change))


def capture(size: int, again: bool) -> tuple[Path, int]:
    path = kdtest.scratch(f"reads-{size}-{again}.pcap")
    writer, number = Writer(path), 0
    while writer.size < size:
        place = number * 4096 % WINDOW if again else number * 4096
        if number % STOP_EVERY == 0:
            stop(writer, number)
        read(writer, number, BASE + place, place >> 12 if again else number)
        number += 1
    writer.file.close()
    return path, writer.records


# --- the measurement


class Bench:
    def __init__(self, options):
        self.options = options
        self.verbs = {"stats": ["stats"], "mem map": ["mem", "map"]}
        listed = subprocess.run([options.kdlens, "--help"], stdout=subprocess.PIPE, text=True)
        if "\n  doctor" in listed.stdout:
            self.verbs["doctor"] = ["doctor"]

    def of_verb(self, verb: str, path: Path) -> Cost:
        runs = [measure([self.options.kdlens, *self.verbs[verb], path])
                for _ in range(self.options.rounds)]
        return min(runs)

    def of_tshark(self, path: Path) -> Cost:
        return measure([kdtest.RUNNER, "run", kdtest.stage(), "tshark", "-n", "-r", path, "-q",
                        "-z", "io,phs"])

    def run(self, again: bool) -> None:
        size = self.options.mib << 20
        whole, records = capture(size, again)
        half, _ = capture(size // 2, again)
        tshark = self.of_tshark(whole)
        print(f"\n{'again' if again else 'fresh'}: {os.stat(whole).st_size >> 20} MiB, {records} "
              f"records; tshark -q -z io,phs {tshark.seconds:.1f} s, {tshark.memory >> 20} MB")
        print(f"{'verb':10} {'s':>7} {'MB/s':>6} {'of tshark':>10} {'half':>6} {'peak MB':>8} "
              f"{'half MB':>8}")
        for verb in self.verbs:
            self.row(verb, self.of_verb(verb, whole), self.of_verb(verb, half), tshark, again)
        whole.unlink()
        half.unlink()

    def row(self, verb: str, cost: Cost, half: Cost, tshark: Cost, again: bool) -> None:
        name = f"{verb}, {'again' if again else 'fresh'}"
        ratio, part = cost.seconds / tshark.seconds, half.seconds / cost.seconds
        remarks = [expect(ratio <= 1, f"{name}: slower than tshark"),
                   expect(HALF[0] <= part <= HALF[1], f"{name}: time is not linear")]
        if again:
            remarks.append(expect(cost.memory <= FLAT * half.memory, f"{name}: memory grows"))
        print(f"{verb:10} {cost.seconds:7.2f} {self.options.mib / cost.seconds:6.0f} {ratio:10.2f} "
              f"{part:6.2f} {cost.memory >> 20:8} {half.memory >> 20:8}  [{', '.join(remarks)}]")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kdlens", type=Path, required=True)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    options.kdlens = options.kdlens.resolve()
    bench = Bench(options)
    for again in (False, True):
        bench.run(again)
    for failure in failures:
        print(f"failed: {failure}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
