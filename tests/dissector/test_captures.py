# test_captures.py - every file in the folder of the real captures: nothing in it is passed over.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Walks the folder (KDLENS_CAPTURES). Its README says which files there are, with which keys, and
what independent decoders found in them; it is read as it stands, so that a new file or a number
that changes fails here. EXAMINED says where the rest of what is stated of a file is tested; all of
it together is `ctest -L captures`.
"""

import hashlib
import re
import unittest
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import bytecover
import kdcapture as kd
import kdtest
import test_capture_probes

SERIAL, KDNET, UNCUT, PROBES = "capture_serial", "capture_kdnet", "capture_uncut", "capture_probes"
WALKERS = 2  # tshark at a time

# The test of each file; those that WinDbg's text belongs to are also in windbg_values.
EXAMINED = {
    "radare2-bad-checksum.jsonl": SERIAL,
    "radare2-session.jsonl": SERIAL,
    "radare2-xen-kdd.jsonl": SERIAL,
    "windbg-amd64.jsonl": SERIAL,
    "windbg-arm64.jsonl": SERIAL,
    "windbg-file-transfer.jsonl": SERIAL,
    "windbg-kdnet-plain.pcapng.gz": KDNET,
    "windbg-kdnet-refused.pcapng.gz": KDNET,
    "windbg-kdnet-v1.pcapng.gz": KDNET,
    "windbg-kdnet-v2.pcapng.gz": KDNET,
    "windbg-kdnet-v3.pcapng.gz": KDNET,
    "windbg-kdnet-v4.pcapng.gz": KDNET,
    "windbg-kdnet-v5-faults.pcapng.gz": KDNET,
    "windbg-kdnet-v5-ipv6.pcapng.gz": KDNET,
    "windbg-kdnet-v5.pcapng.gz": KDNET,
    "windbg-uncut.pcapng.gz": UNCUT,
    "windbg-x86.jsonl": SERIAL,
    "windows-boot-debugger-answers.jsonl": PROBES,
    "windows-bootmgr-kdnet.pcap.gz": KDNET,
    "windows-bootmgr-serial.jsonl": SERIAL,
    "windows-reset-storm.jsonl": SERIAL,
}
TEXTS = {"windbg-amd64.txt", "windbg-arm64.txt", "windbg-x86.txt", "windows-bootmgr-kdnet.txt",
         "windows-bootmgr-serial.txt"}
ABOUT = {"README.md", "SHA256SUMS", "windbg-kdnet-facts.md"}

# Frames that are no KD: what they are, and how many.
FOREIGN = {"windows-bootmgr-kdnet.pcap.gz": {"arp", "dhcp"},
           "windbg-kdnet-v5-faults.pcapng.gz": {"empty"}}

SHORT = {"ACK": "ACKNOWLEDGE", "MANIP": "STATE_MANIPULATE", "DBGIO": "DEBUG_IO"}


# --- what the README says


@lru_cache(maxsize=None)
def readme() -> str:
    return kdtest.captures("README.md").read_text(encoding="utf-8")


@lru_cache(maxsize=None)
def keys() -> dict[str, str]:
    """Each capture of the README's table of files, with its key or ""."""
    found = {}
    for line in readme().splitlines():
        cells = line.split("|")
        for name in re.findall(r"[\w-]+\.(?:jsonl|pcapng\.gz|pcap\.gz)", cells[1]) \
                if len(cells) == 5 else []:
            key = re.fullmatch(r" `([0-9a-z.]+)` ", cells[3])
            found[name] = key[1] if key else ""
    return found


def numbers(text: str) -> dict[str, int]:
    """Of "ACK 367, MANIP 365, break-in 10"."""
    return {SHORT.get(name, name): int(number)
            for name, number in re.findall(r"([A-Z_0-9a-z-]+) (\d+)(?=[,;. (]|$)", text)
            if name.isupper() or name in ("break-in", "STATE_CHANGE64", "announce")}


def apis(text: str) -> dict[int, int]:
    """Of "3130x138 3131x24"."""
    return {int(api, 16): int(count) for api, count in re.findall(r"\b(3[14]\w\w)x(\d+)", text)}


class Stated(NamedTuple):
    host: dict[str, int]
    target: dict[str, int]
    apis: dict[int, int]  # requests of the debugger, none where they are not stated


@lru_cache(maxsize=None)
def stated() -> dict[str, Stated]:
    """Packets of each side by type, of the captures of which the README has them."""
    found = {}
    rows = re.findall(r"(?m)^\| (amd64|arm64|x86|file-transfer) \| (.*?) \| (.*?) \| (.*?) \|",
                      readme())
    for name, host, target, requests in rows:
        found[f"windbg-{name}.jsonl"] = Stated(numbers(host), numbers(target), {
            api: count for api, count in apis(requests).items() if api < 0x3400})
    for name, file in (("serial", "windows-bootmgr-serial.jsonl"),
                       ("kdnet", "windows-bootmgr-kdnet.pcap.gz")):
        [line] = re.findall(rf"(?m)^- {name}: (.*)$", readme())
        host, target = re.search(r"host (A.*?); target (.*?);", line).groups()
        found[file] = Stated(numbers(host), numbers(target), apis(line))
    return found


# --- what the plugin shows


class Walked(NamedTuple):
    """A capture after two runs of tshark."""

    frames: list[tuple]  # number, protocols, length of UDP, whether malformed, Info
    layers: list[bytecover.Layer]

    def packets(self) -> list[bytecover.Layer]:
        return [layer for layer in self.layers if layer.values("kd.type")]

    def of(self, flow: int) -> dict[str, int]:
        """How many packets and break-ins of each type one side sent."""
        mine = [layer for layer in self.layers if layer.number("kd.direction") == flow]
        counts = Counter(kd.TYPE_NAMES[layer.number("kd.type")] for layer in mine
                         if layer.values("kd.type"))
        breakins = sum(bool(layer.values("kd.breakin")) for layer in mine)
        return counts | ({"break-in": breakins} if breakins else {})

    def requests(self) -> dict[int, int]:
        return Counter(layer.number("kd.api") for layer in self.packets()
                       if layer.number("kd.direction") == kd.TO_TARGET and layer.values("kd.api"))


def capture_of(name: str):
    path = kdtest.captures(name)
    if EXAMINED[name] == PROBES:
        test_capture_probes.decoded()
        return kdtest.scratch("probes.pcapng")
    return kdtest.recording(path) if path.suffix == ".jsonl" else path


def walk(name: str) -> Walked:
    capture, key = capture_of(name), keys()[name]
    preferences = [f"kdnet.key:{key}"] if key else []
    frames = kdtest.fields(capture, ["frame.number", "frame.protocols", "udp.length",
                                     "_ws.malformed", kdtest.INFO], *preferences, two_pass=True)
    return Walked(frames, bytecover.layers(capture, *preferences))


@lru_cache(maxsize=None)
def walked() -> dict[str, Walked]:
    names = [name for name in EXAMINED if kdtest.captures(name)]
    for name in names:
        kdtest.staged(capture_of(name))  # one after the other
    with ThreadPoolExecutor(WALKERS) as pool:
        return dict(zip(names, pool.map(walk, names)))


# --- tests


class Folder(unittest.TestCase):
    def test_every_file_is_examined(self):
        """A file that no test knows is said."""
        there = {path.name for path in kdtest.captures().iterdir()}
        self.assertEqual(there, EXAMINED.keys() | TEXTS | ABOUT)

    def test_the_readme_lists_every_capture(self):
        self.assertEqual(keys().keys(), EXAMINED.keys())

    def test_the_facts_are_about_these_bytes(self):
        """SHA256SUMS holds."""
        lines = kdtest.captures("SHA256SUMS").read_text(encoding="ascii").splitlines()
        sums = dict(reversed(line.split()) for line in lines)
        for name in EXAMINED.keys() | TEXTS:
            with self.subTest(file=name):
                data = kdtest.captures(name).read_bytes()
                self.assertEqual(hashlib.sha256(data).hexdigest(), sums[name])


class Walk(unittest.TestCase):
    maxDiff = None

    def each(self, check, names=EXAMINED):
        for name in names:
            with self.subTest(capture=name):
                check(name, walked()[name])

    def test_nothing_is_malformed(self):
        """No frame is malformed, or met a dissector bug."""
        self.each(lambda name, found: self.assertEqual(
            [(frame[0], frame[4]) for frame in found.frames if frame[3]], []))

    def check_frames(self, name: str, found: Walked):
        ours = {layer.frame for layer in found.layers}
        others = {"empty" if length == "8" else protocols.split(":")[-1]
                  for number, protocols, length, *_ in found.frames if int(number) not in ours}
        self.assertEqual(others, FOREIGN.get(name, set()))

    def test_every_frame_is_ours(self):
        """Every frame has a layer of the plugin, but DHCP, ARP and UDP without a byte."""
        self.each(self.check_frames)

    def test_every_byte_is_in_a_field(self):
        """Each byte of each layer lies in a field, or has no meaning (bytecover.FREE)."""
        # Of the probes the parts were recorded; the packets are put together by their test.
        self.each(lambda name, found: self.assertEqual(bytecover.uncovered(found.layers)[:20], []),
                  [name for name, test in EXAMINED.items() if test != PROBES])

    def check_line(self, name: str, found: Walked):
        chunks = kdtest.read_recording(kdtest.captures(name))
        whole = [layer for layer in found.layers if not layer.values("kd.fragment")]
        self.assertEqual(sum(layer.size for layer in whole),
                         sum(len(chunk.data) for chunk in chunks))

    def test_every_byte_of_a_line_is_in_a_layer(self):
        """Packets, break-ins and noise are as many bytes as were recorded."""
        self.each(self.check_line, [name for name, test in EXAMINED.items() if test == SERIAL])

    def check_counts(self, name: str, found: Walked):
        facts = stated()[name]
        self.assertEqual(found.of(kd.TO_TARGET), facts.host)
        self.assertEqual(found.of(kd.TO_DEBUGGER), facts.target)
        if facts.apis:
            self.assertEqual(found.requests(), facts.apis)

    def test_packets_are_as_many_as_the_readme_says(self):
        """By side, type and ApiNumber; the numbers are taken from the text."""
        self.assertEqual(len(stated()), 6)
        self.each(self.check_counts, stated())

    def test_uncut_is_as_the_readme_says(self):
        [line] = re.findall(r"(?m)^by type: (.*)\.$", readme())
        found = walked()["windbg-uncut.pcapng.gz"]
        counts = Counter(kd.TYPE_NAMES[layer.number("kd.type")] for layer in found.packets())
        counts["announce"] = sum(bool(layer.values("kdnet.announce")) for layer in found.layers)
        self.assertEqual(counts, numbers(line))

    def test_zz_say_how_much_was_seen(self):
        for name, found in walked().items():
            packets, size = len(found.packets()), sum(layer.size for layer in found.packets())
            print(f"{name}: {len(found.frames)} frames, {packets} packets, {size} bytes of KD")
            self.assertTrue(packets)


def setUpModule():
    kdtest.captures()  # skips all tests at once


if __name__ == "__main__":
    kdtest.main()
