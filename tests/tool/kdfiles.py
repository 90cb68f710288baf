# kdfiles.py - fixture of the tests of kdlens import, export and keys: running it, reading captures.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Fixture of the tests of the verbs that read and write files.

  kdlens(*args, status=0)          one run; fails the test on another exit status
  scratch(name)                    path for a file the test makes
  Capture(path)                    a pcapng file, read by a reader of its own
  read_pcap(path)                  (nanoseconds, frame) of a pcap file
  records(capture)                 the KD stream records in a Capture
  one_way(records, direction)      their bytes
  RECORDINGS, recording(name)      the real recordings, with the packets that are in them
  complaints(program, *args)       what a program of Wireshark says on stderr
  with_plugin()                    kdtest, or a skip where there is no tshark or plugin
KDLENS names the program under test; default build/capture-tool/kdlens.
"""

import atexit
import gzip
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.insert(0, str(REPOSITORY / "tests/dissector"))
import kdtest

PROGRAM = Path(os.environ.get("KDLENS") or REPOSITORY / "build/capture-tool/kdlens").resolve()
PATIENCE = 60.0  # seconds that a run may take

SECTION, INTERFACE, OLD_PACKET, SIMPLE, STATISTICS, PACKET, SECRETS = (
    0x0A0D0D0A, 1, 2, 3, 5, 6, 10)
KDNK = 0x4B444E4B
UPPER_PDU = 252
FROM_DEBUGGER, FROM_TARGET = "debugger", "target"

_folder = None


def scratch(name: str) -> Path:
    """Path for a file the test makes; gone when the test ends."""
    global _folder
    if not _folder:
        _folder = Path(tempfile.mkdtemp(prefix="kdfiles."))
        atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    return _folder / name


def kdlens(*args, status: int = 0, **options) -> subprocess.CompletedProcess:
    """One run; stdout and stderr are text, or bytes with text=False."""
    options.setdefault("text", True)
    options.setdefault("stdin", None if "input" in options else subprocess.DEVNULL)
    if "input" in options:
        options.pop("stdin")
    command = [PROGRAM, *map(str, args)]
    options.setdefault("stdout", subprocess.PIPE)
    done = subprocess.run(command, stderr=subprocess.PIPE, timeout=PATIENCE, **options)
    if done.returncode != status:
        raise AssertionError(f"{' '.join(map(str, command))}: exit {done.returncode}, not {status}"
                             f"\n{done.stdout}\n{done.stderr}")
    return done


# --- captures


@dataclass
class Block:
    kind: int
    body: bytes  # without type and the two lengths
    options: list[tuple[int, bytes]] = field(default_factory=list)

    def option(self, code: int) -> bytes | None:
        return next((value for number, value in self.options if number == code), None)

    def comments(self) -> list[str]:
        return [value.decode() for number, value in self.options if number == 1]


@dataclass
class Packet:
    nanoseconds: int
    data: bytes
    original: int
    interface: int
    flags: int
    comments: list[str]


def content(path) -> bytes:
    data = Path(path).read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def _options(order: str, data: bytes) -> list[tuple[int, bytes]]:
    found = []
    at = 0
    while at < len(data):
        code, length = struct.unpack_from(order + "HH", data, at)
        if code == 0:
            break
        found.append((code, data[at + 4:at + 4 + length]))
        at += 4 + (length + 3) // 4 * 4
    return found


# Where the options of a block begin.
_FIXED = {SECTION: 16, INTERFACE: 8, STATISTICS: 12}


class Capture:
    """All blocks of a pcapng file, in order; strict: any deviation fails the test."""

    def __init__(self, path):
        self.blocks: list[Block] = []
        data = content(path)
        at, self.order = 0, "<"
        while at < len(data):
            kind = struct.unpack_from("<I", data, at)[0]
            if kind == SECTION:
                self.order = "<" if data[at + 8:at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            kind, length = struct.unpack_from(self.order + "II", data, at)
            assert length % 4 == 0 and at + length <= len(data), f"block at {at} of {length} bytes"
            assert struct.unpack_from(self.order + "I", data, at + length - 4)[0] == length
            self.blocks.append(self._block(kind, data[at + 8:at + length - 4]))
            at += length

    def _block(self, kind: int, body: bytes) -> Block:
        fixed = _FIXED.get(kind)
        if kind == PACKET:
            fixed = 20 + (struct.unpack_from(self.order + "I", body, 12)[0] + 3) // 4 * 4
        return Block(kind, body, _options(self.order, body[fixed:]) if fixed else [])

    def of(self, kind: int) -> list[Block]:
        return [block for block in self.blocks if block.kind == kind]

    @property
    def secrets(self) -> list[tuple[int, bytes]]:
        found = []
        for block in self.of(SECRETS):
            kind, length = struct.unpack_from(self.order + "II", block.body)
            found.append((kind, block.body[8:8 + length]))
        return found

    @property
    def packets(self) -> list[Packet]:
        found = []
        for block in self.of(PACKET):
            number, high, low, captured, original = struct.unpack_from(self.order + "5I",
                                                                       block.body)
            flags = struct.unpack(self.order + "I", block.option(2) or bytes(4))[0]
            found.append(Packet(high << 32 | low, block.body[20:20 + captured], original, number,
                                flags, block.comments()))
        return found


def read_pcap(path) -> list[tuple[int, bytes]]:
    data = content(path)
    magic, major, minor, _, _, _, link = struct.unpack_from("<IHHiIII", data)
    assert (magic, major, minor, link) == (0xA1B2C3D4, 2, 4, 1)
    found = []
    at = 24
    while at < len(data):
        seconds, micros, captured, original = struct.unpack_from("<4I", data, at)
        assert captured == original and at + 16 + captured <= len(data)
        found.append((seconds * 10**9 + micros * 1000, data[at + 16:at + 16 + captured]))
        at += 16 + captured
    return found


# --- KD stream records


@dataclass
class Record:
    nanoseconds: int
    direction: str | None  # FROM_DEBUGGER, FROM_TARGET, None: not known
    data: bytes
    interface: int = 0

    @property
    def kind(self):
        """The type of a KD packet; "break-in"; "noise"."""
        if self.data[:4] in (b"0000", b"iiii") and len(self.data) >= 16:
            count = struct.unpack_from("<H", self.data, 6)[0]
            if len(self.data) == 16 + count + (self.data[0] == 0x30):
                return struct.unpack_from("<H", self.data, 4)[0]
        if self.data == b"b" and self.direction == FROM_DEBUGGER:
            return "break-in"
        return "noise"


def records(capture: Capture) -> list[Record]:
    """Checks that each is of the form that the tap writes."""
    found = []
    for packet in capture.packets:
        tags, at = {}, 0
        while True:
            number, length = struct.unpack_from(">HH", packet.data, at)
            tags[number] = packet.data[at + 4:at + 4 + length]
            at += 4 + length
            if number == 0:
                break
        assert tags[12].rstrip(b"\0") == b"kd_stream" and len(tags[12]) % 4 == 0, tags
        assert packet.original == len(packet.data)
        sides = {b"\0\0\0\0": (FROM_DEBUGGER, 2), b"\0\0\0\1": (FROM_TARGET, 1), None: (None, 0)}
        direction, flags = sides[tags.get(35)]
        assert packet.flags == flags, f"direction {direction}, flags {packet.flags}"
        found.append(Record(packet.nanoseconds, direction, packet.data[at:], packet.interface))
    return found


def one_way(record_list: list[Record], direction) -> bytes:
    return b"".join(record.data for record in record_list if record.direction == direction)


def kinds(record_list: list[Record], direction) -> Counter:
    return Counter(record.kind for record in record_list if record.direction == direction)


# --- real recordings

STATE_MANIPULATE, DEBUG_IO, ACKNOWLEDGE, RESEND, RESET, STATE_CHANGE64, FILE_IO = (
    2, 3, 4, 5, 6, 7, 11)

# What the recordings' own description says is in them; None: it gives no numbers.
RECORDINGS: dict[str, tuple[dict, dict] | None] = {
    "windbg-amd64": (
        {ACKNOWLEDGE: 367, STATE_MANIPULATE: 365, DEBUG_IO: 1, RESET: 1, "break-in": 10},
        {ACKNOWLEDGE: 366, STATE_MANIPULATE: 331, DEBUG_IO: 3, STATE_CHANGE64: 33, RESET: 1}),
    "windbg-arm64": (
        {ACKNOWLEDGE: 125, STATE_MANIPULATE: 125, RESET: 1, "break-in": 4},
        {ACKNOWLEDGE: 125, STATE_MANIPULATE: 118, DEBUG_IO: 1, STATE_CHANGE64: 6, RESET: 1}),
    "windbg-x86": (
        {ACKNOWLEDGE: 387, STATE_MANIPULATE: 387, RESET: 1, "break-in": 4},
        {ACKNOWLEDGE: 387, STATE_MANIPULATE: 380, DEBUG_IO: 1, STATE_CHANGE64: 6, RESET: 1}),
    "windbg-file-transfer": (
        {ACKNOWLEDGE: 77, STATE_MANIPULATE: 69, FILE_IO: 8, RESET: 1, "break-in": 3},
        {ACKNOWLEDGE: 77, STATE_MANIPULATE: 66, FILE_IO: 8, DEBUG_IO: 1, STATE_CHANGE64: 2,
         RESET: 1}),
    "windows-bootmgr-serial": (
        {ACKNOWLEDGE: 324, STATE_MANIPULATE: 316, FILE_IO: 4, RESET: 1, "break-in": 2},
        {ACKNOWLEDGE: 318, STATE_MANIPULATE: 308, DEBUG_IO: 7, FILE_IO: 2, STATE_CHANGE64: 8,
         RESET: 1, RESEND: 1}),
    "radare2-session": None,
    "radare2-xen-kdd": None,
    "radare2-bad-checksum": None,
    "windows-reset-storm": None,
}


def recording(name: str) -> Path:
    return kdtest.captures(f"{name}.jsonl")


def chunks_one_way(path, direction: str) -> bytes:
    names = {FROM_DEBUGGER: kdtest.HOST_TO_TARGET, FROM_TARGET: kdtest.TARGET_TO_HOST}
    return b"".join(chunk.data for chunk in kdtest.read_recording(path)
                    if chunk.direction == names[direction])


# --- Wireshark


def with_plugin():
    """kdtest with its tshark and the plugin; skips where they are not."""
    if not shutil.which("tshark"):
        raise unittest.SkipTest("no tshark")
    if not kdtest.plugin().exists():
        raise unittest.SkipTest(f"no plugin at {kdtest.plugin()}")
    return kdtest


def complaints(program: str, *args) -> list[str]:
    """Its lines on stderr, without those about root; skips when there is no such program."""
    if not shutil.which(program):
        raise unittest.SkipTest(f"no {program}")
    done = subprocess.run([program, *map(str, args)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    if done.returncode:
        raise AssertionError(f"{program} {args}: exit {done.returncode}\n{done.stderr}")
    return [line for line in done.stderr.splitlines()
            if line and not line.startswith("Running as user")]


class _Result(unittest.TextTestResult):
    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def main() -> None:
    """Run the test file. Exit status: 0 passed, 1 failed or no test, 77 everything skipped."""
    if not PROGRAM.exists():
        sys.exit(f"no program at {PROGRAM} (build it first, or set KDLENS)")
    runner = unittest.TextTestRunner(verbosity=2, resultclass=_Result)
    result = unittest.main(module="__main__", testRunner=runner, exit=False).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(0 if result.passed else kdtest.ALL_SKIPPED if result.skipped else 1)
