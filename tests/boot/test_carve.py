# test_carve.py - the agent's own image and a stop, out of a recorded session with it.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The debugger reads most of the agent's image, leaves holes, and changes kdexample. What is carved
is held against the image files, relocated by a reader of its own, and against guest memory as the
emulator has it."""

import json
import re
import shutil
import struct
import subprocess
import sys
import unittest

import agentsession
import kdtap
from agentsession import IMAGES, Image, Session

WRITABLE = 0x80000000
HOLES = ((0x2000, 0x340), (0x3001, 1))  # of the agent's image: never read
STEP = 0x1000


def setUpModule():
    scratch = agentsession.scratch_folder("kdcarve")
    globals()["SCRATCH"] = scratch
    globals()["EXAMPLE"] = Image(IMAGES / "kdexample.efi")
    globals()["AGENT"] = Image(IMAGES / "kdagent.efi")
    saved = agentsession.boot_example(scratch)
    globals()["SESSION"] = session = Session(saved)
    unittest.addModuleCleanup(session.close)
    record(session)


def rows_of(*arguments) -> list[dict]:
    done = subprocess.run([kdtap.PROGRAM, *map(str, arguments)], capture_output=True, text=True,
                          timeout=agentsession.PATIENCE)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def read(debugger, base: int, size: int, without=()):
    """All of it, but the holes."""
    at = 0
    for hole, length in (*without, (size, 0)):
        while at < hole:
            count = min(STEP, hole - at)
            debugger.command(f"db {base + at:x} L{count:x}")
            at += count
        at = hole + length


def record(session: Session):
    """The session; FACTS are what the emulator says of it."""
    debugger = session.debugger()
    debugger.command("g")
    while debugger.wait("stop|prompt")["event"] == "stop":
        if debugger.seen == len(debugger.events):
            debugger.command("g")
    debugger.stop("reply break")
    debugger.command("lm")
    debugger.command("r")
    agent, example = debugger.number("kdagent"), debugger.number("kdexample")
    read(debugger, agent, AGENT.size, HOLES)
    read(debugger, example, EXAMPLE.size)
    before = session.machine.memory(example, EXAMPLE.size)
    text = EXAMPLE.names["KdExampleText"]
    debugger.command(f"ea {example + text:x} \"WRITTEN\"")
    code = EXAMPLE.names["KdExampleTick"]
    debugger.command(f"eb {example + code:x} 90 90")
    stack = debugger.register("rsp")
    debugger.command(f"db {stack:x} L100")
    machine = session.machine
    globals()["FACTS"] = {
        "agent": agent, "example": example, "before": before, "text": text, "code": code,
        "agent_memory": machine.memory(agent, AGENT.size),
        "after": machine.memory(example, EXAMPLE.size),
        "stack": (stack, machine.memory(stack, 0x100)),
        "registers": dict(re.findall(r"\b(r\w+)=([0-9a-f]{16})", debugger.command("r"))),
    }
    session.recorded()


def relocated(image: Image, base: int) -> dict[str, bytes]:
    """Each section of the file as a loader makes it: addresses moved to base, by .reloc."""
    data = bytearray(image.data)
    header, = struct.unpack_from("<I", data, 0x3C)
    preferred, = struct.unpack_from("<Q", data, header + 24 + 24)
    at, size = struct.unpack_from("<II", data, header + 24 + 112 + 8 * 5)

    def place(rva):
        for _, room, address, raw, offset in image.sections:
            if address <= rva < address + max(room, raw):
                return offset + rva - address
        raise AssertionError(f"{rva:x} is in no section")

    end = place(at) + size
    at = place(at)
    count = 0
    while at < end:
        page, length = struct.unpack_from("<II", image.data, at)
        for entry, in struct.iter_unpack("<H", image.data[at + 8:at + length]):
            if entry >> 12 == 10:
                where = place(page + (entry & 0xFFF))
                value, = struct.unpack_from("<Q", data, where)
                struct.pack_into("<Q", data, where, (value + base - preferred) % 2**64)
                count += 1
        at += length
    assert count > 10, "hardly any relocations"
    return {name.rstrip(b"\0").decode(): bytes(data[offset:offset + min(room, raw)])
            for name, room, _, raw, offset in image.sections}


class Agent(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.file = SCRATCH / "carved.efi"
        cls.rows = rows_of("carve", SESSION.recording, f"{FACTS['agent']:x}", "-w",
                           cls.file, "--json")
        cls.data = cls.file.read_bytes()

    def flags(self, name: str) -> int:
        header, = struct.unpack_from("<I", AGENT.data, 0x3C)
        count, optional = struct.unpack_from("<H12xH", AGENT.data, header + 6)
        for i in range(count):
            at = header + 24 + optional + 40 * i
            if AGENT.data[at:at + 8].rstrip(b"\0").decode() == name:
                return struct.unpack_from("<I", AGENT.data, at + 36)[0]
        raise AssertionError(name)

    def sections(self):
        for row in self.rows:
            if row["kind"] == "section":
                yield row, int(row["rva"], 16), int(row["file_offset"], 16)

    def without_holes(self, data: bytes, rva: int) -> bytes:
        data = bytearray(data)
        for hole, length in HOLES:
            for at in range(hole, hole + length):
                if 0 <= at - rva < len(data):
                    data[at - rva] = 0
        return bytes(data)

    def test_sections_that_are_not_written_equal_the_file(self):
        expected = relocated(AGENT, FACTS["agent"])
        compared = 0
        for row, rva, at in self.sections():
            if self.flags(row["name"]) & WRITABLE:
                continue
            data = self.data[at:at + row["mapped"]]
            self.assertEqual(data, self.without_holes(expected[row["name"]], rva), row["name"])
            compared += len(data)
        self.assertGreater(compared, 50000)

    def test_every_section_equals_memory(self):
        for row, rva, at in self.sections():
            if row["name"] == ".data":
                continue  # the agent goes on writing in it while it is read
            self.assertEqual(self.data[at:at + row["mapped"]], self.without_holes(
                FACTS["agent_memory"][rva:rva + row["mapped"]], rva), row["name"])

    def test_holes(self):
        holes = [(int(row["rva"], 16), row["size"]) for row in self.rows if row["kind"] == "hole"]
        self.assertEqual(holes, list(HOLES))
        self.assertEqual(self.rows[0]["mapped"] - self.rows[0]["captured"],
                         sum(size for _, size in HOLES))

    def test_headers(self):
        header, = struct.unpack_from("<I", AGENT.data, 0x3C)
        expected = bytearray(AGENT.data[:0x1000])
        size, = struct.unpack_from("<I", AGENT.data, header + 24 + 60)
        struct.pack_into("<Q", expected, header + 24 + 24, FACTS["agent"])  # the firmware's loader
        self.assertEqual(self.data[:size], bytes(expected[:size]))
        self.assertEqual(len(self.data), max(offset + raw for *_, raw, offset in AGENT.sections))

    def test_other_readers_take_it(self):
        reader = shutil.which("llvm-readobj") or shutil.which("llvm-readobj-14")
        if not reader or not shutil.which("objdump"):
            self.skipTest("no llvm-readobj or objdump (Debian packages llvm, binutils)")

        def listing(path, *options):
            done = subprocess.run([reader, *options, path], capture_output=True, text=True)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            return re.sub(r"(File|ImageBase): .*", "", done.stdout)

        options = ("-h", "--sections", "--coff-debug-directory")
        self.assertEqual(listing(self.file, *options), listing(IMAGES / "kdagent.efi", *options))
        self.assertIn("PDBGUID", listing(self.file, *options))
        done = subprocess.run(["objdump", "-h", self.file], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("pei-x86-64", done.stdout)


class Writes(unittest.TestCase):
    def carve(self, *options):
        path = SCRATCH / "example.efi"
        rows = rows_of("carve", SESSION.recording, "kdexample", "-w", path, "--json", *options)
        data, image = path.read_bytes(), bytearray(EXAMPLE.size)
        for row in rows:
            if row["kind"] in ("section", "headers"):
                at, rva = int(row["file_offset"], 16), int(row["rva"], 16)
                image[rva:rva + row["mapped"]] = data[at:at + row["mapped"]]
        return rows, bytes(image)

    def places(self):
        return (FACTS["text"], 7), (FACTS["code"], 2)

    def test_applied(self):
        rows, image = self.carve()
        self.assertNotEqual(FACTS["before"], FACTS["after"])
        for rva, size in self.places():
            self.assertEqual(image[rva:rva + size], FACTS["after"][rva:rva + size])

    def test_left_out(self):
        for option in ("--without-writes", "--as-loaded"):
            rows, image = self.carve(option)
            for rva, size in self.places():
                self.assertEqual(image[rva:rva + size], FACTS["before"][rva:rva + size], option)
            self.assertEqual({row["applied"] for row in rows if row["kind"] == "write"}, {False})

    def test_shown(self):
        rows, _ = self.carve()
        shown = {int(row["rva"], 16): (bytes.fromhex(row["bytes"]), row["applied"])
                 for row in rows if row["kind"] == "write"}
        self.assertEqual(shown, {FACTS["text"]: (b"WRITTEN", True),
                                 FACTS["code"]: (b"\x90\x90", True)})

    def test_differ_where_it_wrote_only(self):
        _, with_writes = self.carve()
        _, without = self.carve("--without-writes")
        differing = {i for i in range(EXAMPLE.size) if with_writes[i] != without[i]}
        written = {rva + i for rva, size in self.places() for i in range(size)}
        self.assertLessEqual(differing, written)
        self.assertGreater(len(differing), 5)


class Core(unittest.TestCase):
    """gdb opens the stop: registers as the agent gave them, memory as the emulator has it."""

    def test_registers_and_stack(self):
        if not shutil.which("gdb"):
            self.skipTest("no gdb")
        path = SCRATCH / "core"
        row, = rows_of("dump", SESSION.recording, "-w", path, "--format", "elf", "--json")
        self.assertGreater(row["modules"], 0)
        self.assertEqual(row["modules"], row["modules_with_pdb"])
        text = subprocess.run(["gdb", "-nx", "-batch", "-c", path, "-ex", "info registers", "-ex",
                               "x/256xb $rsp"], capture_output=True, text=True).stdout
        got = {name: int(value, 16)
               for name, value in re.findall(r"^(r\w+) +0x([0-9a-f]+)", text, re.MULTILINE)}
        self.assertEqual(got, {name: int(value, 16)
                               for name, value in FACTS["registers"].items()})
        lines = re.findall(r"^0x[0-9a-f]+:((?:\t0x[0-9a-f]{2}){8})$", text, re.MULTILINE)
        self.assertEqual(bytes(int(value, 16) for line in lines for value in line.split()),
                         FACTS["stack"][1])


if __name__ == "__main__":
    program = unittest.main(verbosity=2, exit=False)
    if program.result.skipped and not program.result.testsRun:
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())
