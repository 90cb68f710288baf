# agentsession.py - fixture: the agent in a machine saved at its first stop, a tap, kdlens debug.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Sessions with the agent in QEMU, each recorded by kdlens tap.

  boot(folder, files, ...)    boots once and saves; what Session starts from
  boot_example(folder, ...)   the same with the agent and kdexample
  Session(saved)              the machine goes on, with a tap on its line
  Debugger(session)           kdlens debug at that tap, driven line by line through its JSON
  Image(path)                 an image on disk: sections, and the names of its PDB
  loaded_images(machine)      what the firmware has loaded, from guest memory
  account(recording)          what tshark makes of a recording, against a reader of its own

KDLENS, KDLENS_AGENT_IMAGES and KDLENS_PLUGIN_SO name the tool, the folder of the images and the
plugin; by default those of build/.
"""

import json
import os
import queue
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import uuid
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path[:0] = [str(REPOSITORY / "tests/tool"), str(REPOSITORY / "tests/dissector")]
import kdtap
import kdtest
import machine

IMAGES = Path(os.environ.get("KDLENS_AGENT_IMAGES") or REPOSITORY / "build/uefi-agent").resolve()
PATIENCE = 120
MEMORY = 64 << 20  # of a Machine
DATA_LEADER, CONTROL_LEADER = b"0000", b"iiii"
IMAGE_INFO_GUID = uuid.UUID("49152e77-1ada-4764-b7a2-7afefed95e8b").bytes_le


def missing() -> str:
    """What there is no session without; "" when all is there."""
    for path in (IMAGES / "kdagent.efi", IMAGES / "kdboot.efi", IMAGES / "kdexample.efi",
                 kdtap.PROGRAM):
        if not path.exists():
            return f"no {path} (build it first)"
    if not shutil.which("llvm-pdbutil"):
        return "no llvm-pdbutil (Debian package llvm)"
    return machine.missing()


# --- images and the firmware's own list of them


class Image:
    """An image file with its PDB beside it, read with struct and llvm-pdbutil."""

    def __init__(self, path: Path):
        self.data = path.read_bytes()
        header = struct.unpack_from("<I", self.data, 0x3C)[0]
        count, optional = struct.unpack_from("<H12xH", self.data, header + 6)
        self.size = struct.unpack_from("<I", self.data, header + 24 + 56)[0]
        self.sections = [struct.unpack_from("<8s4I", self.data, header + 24 + optional + 40 * i)
                         for i in range(count)]
        listing = subprocess.run(["llvm-pdbutil", "dump", "--publics", path.with_suffix(".pdb")],
                                 check=True, capture_output=True, text=True).stdout
        self.names = {}
        for name, section, offset in re.findall(r"`([^`]+)`\n.*addr = (\d+):(\d+)", listing):
            self.names[name] = self.sections[int(section) - 1][2] + int(offset)

    def bytes_at(self, rva: int, size: int) -> bytes:
        """What the file has for this place of the image."""
        for _, _, address, room, at in self.sections:
            if address <= rva and rva + size <= address + room:
                return self.data[at + rva - address:at + rva - address + size]
        raise AssertionError(f"{rva:x} is in no section")


def loaded_images(guest: machine.Machine) -> set:
    """(base, SizeOfImage) of every image of the firmware's debug image info table.

    Found without the agent: the system table by signature and checksum, its configuration tables.
    """
    def quad(address, count=1):
        return struct.unpack(f"<{count}Q", guest.memory(address, 8 * count))

    def is_table(at):
        table = bytearray(memory[at:at + 0x78])
        checksum, = struct.unpack_from("<I", table, 16)
        table[16:20] = bytes(4)
        return zlib.crc32(table) == checksum

    memory = guest.memory(0, MEMORY)
    at = next((match.start() for match in re.finditer(b"IBI SYST", memory)
               if is_table(match.start())), None)
    assert at, "no system table in memory"
    count, tables = quad(at + 0x68, 2)
    for i in range(count):
        if guest.memory(tables + 24 * i, 16) == IMAGE_INFO_GUID:
            break
    else:
        raise AssertionError("no debug image info table")
    header = quad(tables + 24 * i + 16)[0]
    size, = struct.unpack("<I", guest.memory(header + 4, 4))
    images = set()
    for entry in quad(quad(header + 8)[0], size):
        if entry:
            kind, loaded = struct.unpack("<IxxxxQ", guest.memory(entry, 16))
            assert kind == 1, f"an image info of kind {kind}"
            base, = quad(loaded + 0x40)
            header = base + struct.unpack_from("<I", memory, base + 0x3C)[0]
            images.add((base, *struct.unpack_from("<I", memory, header + 24 + 56)))
    return images


# --- machines


def _until(guest: machine.Machine, packet: bytes):
    """Until the agent has sent what this pattern matches."""
    line = socket.socket(socket.AF_UNIX)
    line.connect(str(guest.uart))
    line.settimeout(PATIENCE)
    seen = b""
    while not re.search(packet, seen, re.DOTALL):
        got = line.recv(4096)
        assert got, f"the line ended after {seen[-300:]!r}"
        seen += got
    line.close()


def first_event(guest: machine.Machine):
    """Until the agent tells of its own image, for as long as its "message" says."""
    _until(guest, DATA_LEADER + b"\7\0.{10}\x31\x30\0\0")


def first_stop(guest: machine.Machine):
    """Until nobody wanted to know that, and the agent stops."""
    _until(guest, DATA_LEADER + b"\7\0.{10}\x30\x30\0\0")


def boot(folder: Path, files: dict, until=first_stop, **options) -> dict:
    """Boots from a disk with these files and saves the machine; Session's arguments."""
    esp = machine.make_esp(folder / "esp.img", files)
    saved = folder / "saved"
    with machine.Machine(esp=esp, **options) as guest:
        until(guest)
        guest.save(saved)
    return {"esp": esp, "saved": saved, **options}


def scratch_folder(prefix: str) -> Path:
    """For setUpModule: where a module's tests keep their files; SkipTest when there can be none."""
    reason = missing()
    if reason:
        raise unittest.SkipTest(reason)
    scratch = Path(tempfile.mkdtemp(prefix=prefix))
    unittest.addModuleCleanup(shutil.rmtree, scratch, True)
    return scratch


def boot_example(folder: Path, settings: str = "", **options) -> dict:
    """The agent, which starts kdexample; settings: further lines of kdagent.cfg."""
    return boot(folder, {
        "EFI/BOOT/BOOTX64.EFI": IMAGES / "kdboot.efi",
        "kdagent.efi": IMAGES / "kdagent.efi",
        "kdexample.efi": IMAGES / "kdexample.efi",
        "kdagent.cfg": f"chain = \\kdexample.efi\nwait = forever\n{settings}".encode(),
    }, **options)


class Session:
    """The saved machine goes on, a tap at its line; close() at the end of the test."""

    def __init__(self, arguments: dict, line=None):
        """line: makes, of the machine's socket, the end that the tap is to connect to."""
        self.folder = Path(tempfile.mkdtemp(prefix="kdsession"))
        self.recording = self.folder / "session.pcapng"
        self.end = f"unix:{self.folder}/kd"
        self.machine = machine.Machine(**arguments)
        self.debuggers = []
        target = line(self.machine.uart) if line else f"unix:{self.machine.uart}"
        self.tap = kdtap.Tap(f"unix-listen:{self.folder}/kd", target, "-w", self.recording,
                             stdin=subprocess.DEVNULL)
        self.tap.wait("listening", end=kdtap.DEBUGGER)

    def debugger(self, *options) -> "Debugger":
        self.debuggers.append(Debugger(self.end, *options))
        return self.debuggers[-1]

    def recorded(self) -> Path:
        """Ends the session; its recording."""
        for debugger in self.debuggers:
            debugger.close()
        assert self.tap.stop() == 0, self.tap.said()
        return self.recording

    def close(self):
        for debugger in self.debuggers:
            debugger.kill()
        self.tap.__exit__()
        self.tap.process.stdout.close()
        self.machine.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Debugger:
    """A running `kdlens debug END - --json`."""

    def __init__(self, end: str, *options):
        self.events, self.seen = [], 0
        self.incoming = queue.Queue()
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [kdtap.PROGRAM, "debug", end, "-", "--json", "-t", str(PATIENCE), *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.incoming.put(json.loads(line))
        self.incoming.put(None)

    def _next(self, what: str) -> dict:
        try:
            event = self.incoming.get(timeout=PATIENCE)
        except queue.Empty:
            event = None
        if event is None:
            self.errors.seek(0)
            raise AssertionError(f"no {what}; stderr: {self.errors.read()}; the last events: "
                                 f"{self.events[-8:]}")
        self.events.append(event)
        return event

    def send(self, line: str):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def answer(self, command: str) -> dict:
        self.send(command)
        while True:
            event = self._next(f"answer to {command}")
            if event["event"] == "answer":
                return event

    def command(self, command: str) -> str:
        """What it answers; it must do it."""
        answer = self.answer(command)
        assert answer["ok"], f"{command}: {answer['text']}"
        return answer["text"]

    def refused(self, command: str) -> str:
        answer = self.answer(f"try {command}")
        assert not answer["ok"], f"{command}: {answer['text']}"
        return answer["text"]

    def wait(self, kind: str, text: str = "") -> dict:
        """The next event of this kind (or these, with |) whose text matches, of those not yet
        waited for."""
        while True:
            while self.seen < len(self.events):
                event = self.events[self.seen]
                self.seen += 1
                if event["event"] in kind.split("|") and re.search(text, event.get("text") or ""):
                    return event
            self._next(f"{kind} {text}")

    def stop(self, run: str = "g") -> dict:
        """Runs, until the target stands again; the event."""
        self.seen = len(self.events)
        self.command(run)
        return self.wait("stop")

    def number(self, expression: str) -> int:
        return int(self.command(f"? {expression}").split()[0], 16)

    def register(self, name: str) -> int:
        return int(re.search(r"=([0-9a-f]+)", self.command(f"r {name}"))[1], 16)

    def bytes(self, address: str, count: int) -> bytes:
        lines = self.command(f"db {address} L{count:x}").splitlines()
        return bytes.fromhex("".join(line[17:65].replace("-", " ") for line in lines))

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(PATIENCE)
        for file in (self.process.stdin, self.process.stdout, self.errors):
            try:
                file.close()
            except BrokenPipeError:
                pass

    def close(self):
        """Ends it; the target stays as it is."""
        if self.process.poll() is None and not self.process.stdin.closed:
            self.send("qq")
            self.process.stdin.close()
            assert self.process.wait(PATIENCE) == 0, self.events[-3:]


# --- what a recording holds


def stops_of(recording: kdtap.Recording) -> list:
    """Each exception that the target reported: code, address, parameters, first chance."""
    stops = []
    for record in recording.records:
        data = record.data
        if record.sender != kdtap.TARGET or data[:6] != DATA_LEADER + b"\7\0":
            continue
        change = data[16:]
        if struct.unpack_from("<I", change)[0] & 0xFFFF != 0x3030:
            continue
        code, _, _, address, count = struct.unpack_from("<IIQQI", change, 32)
        parameters = struct.unpack_from(f"<{min(count, 15)}Q", change, 64)
        stops.append((code, address, parameters, struct.unpack_from("<I", change, 32 + 152)[0]))
    return stops


def packets_of(recording: kdtap.Recording) -> tuple:
    """(sender, type, id, payload size) of each packet, and what is none: {sender: bytes}."""
    packets, rest = [], {kdtap.DEBUGGER: b"", kdtap.TARGET: b""}
    for sender in rest:
        data, at = recording.sent(sender), 0
        while at < len(data):
            leader = data[at:at + 4]
            if leader not in (DATA_LEADER, CONTROL_LEADER) or at + 16 > len(data):
                rest[sender] += data[at:at + 1]
                at += 1
                continue
            kind, size, number, checksum = struct.unpack_from("<HHII", data, at + 4)
            payload = data[at + 16:at + 16 + size]
            is_data = leader == DATA_LEADER
            trailer = data[at + 16 + size:at + 17 + size]
            # A control packet that lost a byte ends in the next packet's first one.
            whole = (sum(payload) == checksum and trailer == b"\xaa" if is_data else
                     size == checksum == 0 and number & ~0x801 in (0, 0x80800000))
            if len(payload) < size or not whole:
                rest[sender] += data[at:at + 1]
                at += 1
                continue
            packets.append((sender, kind, number, size))
            at += 16 + size + is_data
    return packets, rest


def account(path: Path, ended: bool = False, bad: bool = False) -> tuple:
    """Fails unless the dissector shows every packet that is in the recording, and no error, and
    every request its reply, every packet its acknowledgement but the last of each end.

    ended: debuggers were killed, so replies may miss. bad: the line was, so there are damaged
    packets, too. Returns what packets_of returns.
    """
    packets, rest = packets_of(kdtap.read_recording(path))
    severe = "_ws.malformed" if bad else "_ws.expert.severity == error || _ws.malformed"
    errors = kdtest.fields(path, ["frame.number", kdtest.INFO, "_ws.expert.message"],
                           filter=severe, two_pass=True)
    assert not errors, f"expert errors: {errors[:5]}"
    rows = kdtest.fields(path, ["frame.p2p_dir", "kd.type", "kd.id", "kd.length"],
                         filter="kd.type", multiple=True)
    shown = [(direction[0], int(kind, 0), int(number, 0), int(size, 0))
             for direction, kinds, numbers, sizes in rows
             for kind, number, size in zip(kinds, numbers, sizes, strict=True)]
    for sender, code in ((kdtap.DEBUGGER, "0"), (kdtap.TARGET, "1")):
        wanted = [packet[1:] for packet in packets if packet[0] == sender]
        got = [packet[1:] for packet in shown if packet[0] == code]
        if bad:
            rest_of_got = iter(got)
            assert all(packet in rest_of_got for packet in wanted), f"a packet of the {sender}'s"
        else:
            assert got == wanted, f"{sender}: {len(got)} packets shown, {len(wanted)} are there"
    if not ended and not bad:
        _check_answered(path)
    return packets, rest


def _check_answered(path: Path):
    alone = kdtest.fields(path, ["frame.number", "frame.p2p_dir", kdtest.INFO], two_pass=True,
                          filter="kd.type in {2, 3, 7, 11} && !kd.ack_in")
    for direction in "01":
        late = [row for row in alone if row[1] == direction]
        assert len(late) <= 1, f"not acknowledged: {late}"
    alone = kdtest.fields(path, ["frame.number", kdtest.INFO], two_pass=True,
                          filter="kd.type == 2 && frame.p2p_dir == 0 && !kd.response_in && "
                                 "!(kd.api in {0x3136, 0x313c})")  # Continue has no reply
    assert not alone, f"not answered: {alone}"
