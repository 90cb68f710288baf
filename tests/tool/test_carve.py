# test_carve.py - carve and dump on real captures: image files, transferred files, dumps.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Bytes are held against the captures' own, as kdoracle.py reads them; a PE file against
llvm-readobj and objdump, a minidump against its documented layout and WinDbg's text, a core file
against readelf and gdb."""

import json
import random
import re
import shutil
import struct
import subprocess
import sys
import unittest
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import kdfiles
import kdoracle
import kdtest
from kdfiles import kdlens, scratch

BOOTMGR_KEY = "1a2b3c4d5e6f7.8g9h0i1j2k3l.2m6n7o8p9q0r1.2s3t4u5v6w7x"
TRANSFERRED = "0b17d09e527b1a1b57afc1e24c58b33770c00426a86f342ded59a88779ccb3fa"


def imported(name: str) -> Path:
    path = scratch(f"{name}.pcapng")
    if not path.exists():
        kdlens("import", kdfiles.recording(name), "-w", path)
    return path


def bootmgr(net: bool) -> list:
    """Arguments that name the capture of the boot manager."""
    if not net:
        return [imported("windows-bootmgr-serial")]
    keys = scratch("bootmgr.key")
    keys.write_text(BOOTMGR_KEY + "\n")
    return [kdtest.captures("windows-bootmgr-kdnet.pcap.gz"), "--key-file", keys]


def oracle(arguments: list) -> kdoracle.Session:
    out = scratch("carve-oracle.jsonl")
    kdlens("export", *arguments, "--jsonl", out)
    return kdoracle.Session(kdtest.read_recording(out))


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def tool(name: str, *arguments) -> str:
    if not shutil.which(name):
        raise unittest.SkipTest(f"no {name}")
    done = subprocess.run([name, *map(str, arguments)], capture_output=True, text=True,
                          timeout=kdfiles.PATIENCE)
    # gdb looks for the files of the modules.
    if done.returncode or re.search(r"error:|warning:(?! Can't open file )", done.stderr):
        raise AssertionError(f"{name} {arguments}: {done.returncode}\n{done.stderr}")
    return done.stdout


# --- images


class Carved:
    """An image of which WinDbg read parts."""

    MODULE = ""
    OPTIONS = ()
    LEAST = 0  # bytes that were captured, at least

    @classmethod
    def setUpClass(cls):
        cls.arguments = cls.capture()
        cls.file = scratch(f"{cls.MODULE}.efi")
        cls.rows = rows(kdlens("carve", *cls.arguments, cls.MODULE, "-w", cls.file, "--json",
                               *cls.OPTIONS).stdout)
        cls.data = cls.file.read_bytes()
        cls.memory = oracle(cls.arguments).memory
        cls.base = int(cls.rows[0]["base"], 16)

    def of(self, kind: str) -> list[dict]:
        return [row for row in self.rows if row["kind"] == kind]

    def parts(self):
        for row in self.of("headers") + self.of("section"):
            yield row, int(row["rva"], 16), int(row["file_offset"], 16)

    def test_every_byte(self):
        captured = 0
        for row, rva, at in self.parts():
            for i in range(row["mapped"]):
                value = self.memory.get(self.base + rva + i)
                captured += value is not None
                self.assertEqual(self.data[at + i], value or 0, f"{row} + {i}")
        self.assertEqual(captured, self.rows[0]["captured"])
        self.assertGreater(captured, self.LEAST)
        self.assertEqual(len(self.data), self.rows[0]["file_size"])

    def test_holes_are_what_was_not_captured(self):
        missing = {rva + i for row, rva, _ in self.parts() for i in range(row["mapped"])
                   if self.base + rva + i not in self.memory}
        listed = [(int(row["rva"], 16), row["size"]) for row in self.of("hole")]
        self.assertEqual({rva + i for rva, size in listed for i in range(size)}, missing)
        self.assertEqual(sum(size for _, size in listed), len(missing))

    def test_sections_as_others_read_them(self):
        text = tool("llvm-readobj", "--file-headers", "--sections", self.file)
        self.assertIn("Format: COFF-x86-64", text)
        for row, rva, _ in self.parts():
            if row["kind"] == "section":
                self.assertRegex(text, rf"Name: {re.escape(row['name'])} [^}}]*?"
                                       rf"VirtualAddress: 0x{rva:X}\b")

    def test_text_lists_the_holes(self):
        text = kdlens("carve", *self.arguments, self.MODULE, "-w", scratch("text.efi"),
                      *self.OPTIONS).stdout
        self.assertEqual(len(re.findall(r"^  rva [0-9a-f]{8} file [0-9a-f]{8} +\d+ bytes$", text,
                                        re.MULTILINE)), len(self.of("hole")))


class Image(Carved):
    """BOOTX64, the boot manager."""

    NET = False
    MODULE = "BOOTX64"
    LEAST = 4000

    @classmethod
    def capture(cls) -> list:
        return bootmgr(cls.NET)

    def test_as_others_read_it(self):
        text = tool("llvm-readobj", "--file-headers", self.file)
        listed = kdtest.captures("windows-bootmgr-serial.txt").read_text()
        stamp = re.search(r"^([0-9A-F]{8}) time date stamp", listed, re.MULTILINE)[1]
        self.assertIn(f"(0x{stamp})", text)
        code = tool("objdump", "-d", "--start-address=0x100935c1", "--stop-address=0x100935cc",
                    self.file)
        self.assertRegex(code, r"100935c1:\tcc +\tint3")
        self.assertRegex(code, r"100935c2:\t48 8b 5c 24 40 +\tmov +0x40\(%rsp\),%rbx")

    def test_by_address_and_at_a_frame(self):
        other = scratch("other.efi")
        kdlens("carve", *self.arguments, f"{self.base:x}", "-w", other)
        self.assertEqual(other.read_bytes(), self.data)
        kdlens("carve", *self.arguments, f"{self.base + 0x935c1:x}", "-w", other)
        self.assertEqual(other.read_bytes(), self.data)
        half = (self.of("headers")[0]["last_frame"] + max(
            row.get("last_frame", 0) for row in self.of("section"))) // 2
        early = rows(kdlens("carve", *self.arguments, "BOOTX64", "-w", other, "--at", half,
                            "--json").stdout)
        self.assertLess(early[0]["captured"], self.rows[0]["captured"])
        self.assertLessEqual(max(row.get("last_frame", 0) for row in early), half)


class ImageSerial(Image, unittest.TestCase):
    pass


class ImageKdnet(Image, unittest.TestCase):
    NET = True

    def test_before_headers_were_read(self):
        row = json.loads(kdlens("modules", *self.arguments, "--json").stdout.splitlines()[0])
        done = kdlens("carve", *self.arguments, row["base"], "--at", row["loaded_frame"], "-w",
                      scratch("none.efi"), status=1)
        self.assertIn("its headers were not captured", done.stderr)
        self.assertFalse(scratch("none.efi").exists())


class Winload(Carved, unittest.TestCase):
    """The loader in the KDNET capture of somebody else: relocated, and unloaded at the end."""

    MODULE = "winload"
    LEAST = 3000
    BASE, SIZE = 0x96F000, 0x17D000
    UNLOADED = 952  # frame of the event that ends all modules

    @classmethod
    def capture(cls) -> list:
        cls.OPTIONS = ("--at", cls.UNLOADED - 1)
        scratch("uncut.key").write_text("8.8.8.8\n")
        return [kdtest.captures("windbg-uncut.pcapng.gz"), "--key-file", scratch("uncut.key")]

    def test_it_is_gone_at_the_end(self):
        module, = rows(kdlens("modules", *self.arguments, "--json").stdout)
        self.assertEqual((int(module["base"], 16), module["unloaded_frame"]),
                         (self.BASE, self.UNLOADED))
        said = kdlens("carve", *self.arguments, self.MODULE, "-w", scratch("gone.efi"),
                      status=1).stderr
        self.assertIn(f"from frame {module['loaded_frame']} to frame {self.UNLOADED} only", said)
        # Its address is as good then: nothing was read of it afterwards.
        other = scratch("address.efi")
        kdlens("carve", *self.arguments, f"{self.BASE:x}", "-w", other)
        self.assertEqual(other.read_bytes(), self.data)

    def test_headers_and_code(self):
        text = tool("llvm-readobj", "--file-headers", self.file)
        for said in (f"SizeOfImage: {self.SIZE}", "AddressSize: 64bit", "ImageBase: 0x140000000"):
            self.assertIn(said, text)
        self.assertRegex(text, r"Subsystem: .*0x10\b")  # a boot application
        # The break that the debugger stopped at, where its headers say that the code is.
        code = tool("objdump", "-d", "--start-address=0x14006007e", "--stop-address=0x140060084",
                    self.file)
        self.assertRegex(code, r"14006007e:\tcc +\tint3")
        self.assertRegex(code, r"14006007f:\t48 8b 5c 24 40 +\tmov +0x40\(%rsp\),%rbx")


class Files(unittest.TestCase):
    def test_the_transferred_file(self):
        folder = scratch("transferred")
        capture = imported("windbg-file-transfer")
        file, = rows(kdlens("carve", capture, "--files", "-w", folder, "--json").stdout)
        self.assertEqual((file["kind"], file["size"], file["captured"]), ("file", 5000, 5000))
        written, = folder.iterdir()
        self.assertEqual(written.name, file["written_as"])
        self.assertEqual(sha256(written.read_bytes()).hexdigest(), TRANSFERRED)

    def test_a_session_without_files(self):
        done = kdlens("carve", imported("windows-bootmgr-serial"), "--files", "-w",
                      scratch("nothing"), status=1)
        self.assertIn("no file was transferred", done.stderr)
        self.assertFalse(scratch("nothing").exists())


class Usage(unittest.TestCase):
    def test_wrong_arguments(self):
        capture = imported("windows-bootmgr-serial")
        for arguments, word in (
                (["carve", capture, "BOOTX64"], "-w FILE"),
                (["carve", capture, "-w", scratch("x")], "what to carve"),
                (["carve", capture, "BOOTX64", "--files", "-w", scratch("x")], "either"),
                (["carve", capture, "BOOTX64", "-w", capture], "overwrite"),
                (["carve", capture, "BOOTX64", "-w", scratch("x"), "--as-loaded",
                  "--without-writes"], "either"),
                (["dump", capture], "-w FILE"),
                (["dump", capture, "-w", capture], "overwrite"),
                (["dump", capture, "-w", scratch("x"), "--stop", 1, "--at", 9], "either")):
            self.assertIn(word, kdlens(*arguments, status=2).stderr)

    def test_what_is_not_there(self):
        capture = imported("windows-bootmgr-serial")
        for arguments, word in (
                (["carve", capture, "nt", "-w", scratch("x")], "not an address"),
                (["carve", capture, "3fea0230", "-w", scratch("x")], "not a PE image"),
                (["dump", capture, "-w", scratch("x"), "--stop", 99], "no stop 99"),
                (["dump", capture, "-w", scratch("x"), "--at", 1], "no stop before"),
                (["dump", capture, "-w", scratch("no/folder/x")], "no/folder")):
            self.assertIn(word, kdlens(*arguments, status=1).stderr)
        self.assertFalse(scratch("x").exists())


# --- dumps


@dataclass
class Minidump:
    """Read by the layouts of minidumpapiset.h."""

    data: bytes

    def __post_init__(self):
        magic, version, count, directory = struct.unpack_from("<4sIII", self.data)
        assert (magic, version & 0xFFFF) == (b"MDMP", 0xA793)
        self.streams = {}
        for i in range(count):
            kind, size, at = struct.unpack_from("<III", self.data, directory + 12 * i)
            assert kind not in self.streams and at + size <= len(self.data)
            self.streams[kind] = (at, size)

    def text(self, at: int) -> str:
        size, = struct.unpack_from("<I", self.data, at)
        assert self.data[at + 4 + size:at + 6 + size] == bytes(2)
        return self.data[at + 4:at + 4 + size].decode("utf-16-le")

    def modules(self) -> list[dict]:
        at, size = self.streams[4]
        count, = struct.unpack_from("<I", self.data, at)
        assert size == 4 + 108 * count
        found = []
        for i in range(count):
            row = at + 4 + 108 * i
            base, length, checksum, stamp, name = struct.unpack_from("<QIIII", self.data, row)
            size, record = struct.unpack_from("<II", self.data, row + 76)
            found.append({"base": base, "size": length, "checksum": checksum, "timestamp": stamp,
                          "name": self.text(name), "codeview": self.data[record:record + size]})
        return found

    def threads(self) -> dict[int, bytes]:
        at, size = self.streams[3]
        count, = struct.unpack_from("<I", self.data, at)
        assert size == 4 + 48 * count
        contexts = {}
        for i in range(count):
            number, = struct.unpack_from("<I", self.data, at + 4 + 48 * i)
            size, record = struct.unpack_from("<II", self.data, at + 4 + 48 * i + 40)
            contexts[number] = self.data[record:record + size]
        return contexts

    def memory(self) -> dict[int, bytes]:
        at, size = self.streams[9]
        count, base = struct.unpack_from("<QQ", self.data, at)
        assert size == 16 + 16 * count
        found = {}
        for i in range(count):
            address, length = struct.unpack_from("<QQ", self.data, at + 16 + 16 * i)
            found[address] = self.data[base:base + length]
            base += length
        assert base == len(self.data)
        return found


REGISTERS = {"rax": 0x78, "rbx": 0x90, "rcx": 0x80, "rdx": 0x88, "rsi": 0xA8, "rdi": 0xB0,
             "rip": 0xF8, "rsp": 0x98, "rbp": 0xA0, "r8": 0xB8, "r9": 0xC0, "r10": 0xC8,
             "r11": 0xD0, "r12": 0xD8, "r13": 0xE0, "r14": 0xE8, "r15": 0xF0}


class Dump:
    NET = False

    @classmethod
    def setUpClass(cls):
        cls.arguments = bootmgr(cls.NET)
        cls.printed = kdtest.captures(
            f"windows-bootmgr-{'kdnet' if cls.NET else 'serial'}.txt").read_text()
        cls.stops = rows(kdlens("stops", *cls.arguments, "--json").stdout)
        cls.first = next(row["stop"] for row in cls.stops if row["reason"] == "exception")

    def printed_registers(self) -> dict[str, int]:
        text = self.printed.split("kd> r\n")[1].split("iopl")[0]
        return {name: int(value, 16)
                for name, value in re.findall(r"\b(r\w+)=([0-9a-f]{16})", text)}

    def dump(self, *arguments) -> Minidump:
        path = scratch("stop.dmp")
        kdlens("dump", *self.arguments, "-w", path, *arguments)
        return Minidump(path.read_bytes())

    def test_registers_are_those_of_the_text(self):
        (number, context), = self.dump("--stop", self.first).threads().items()
        self.assertEqual((number, len(context)), (1, 0x4D0))
        self.assertEqual({name: struct.unpack_from("<Q", context, at)[0]
                          for name, at in REGISTERS.items()}, self.printed_registers())
        # What the debugger set (r rax=...) is in a dump of a later frame of the same stop.
        later = self.dump("--at", self.stops[self.first - 1]["left_frame"]).threads()[1]
        self.assertEqual(struct.unpack_from("<Q", later, REGISTERS["rax"])[0], 0x1234567812345678)

    def test_exception(self):
        dump = self.dump("--stop", self.first)
        at, size = dump.streams[6]
        thread, code, _, _, address, count = struct.unpack_from("<I4xIIQQI", dump.data, at)
        stop = self.stops[self.first - 1]
        self.assertEqual((size, thread, code, address),
                         (168, 1, int(stop["code"], 16), int(stop["exception_address"], 16)))
        context = struct.unpack_from("<II", dump.data, at + 160)
        self.assertEqual(dump.data[context[1]:sum(context)], dump.threads()[1])
        self.assertEqual(count, 1)

    def test_modules_are_those_of_the_text(self):
        listed = re.findall(r"^([0-9a-f]{8}`[0-9a-f]{8}) ([0-9a-f]{8}`[0-9a-f]{8})   (\w+)",
                            self.printed, re.MULTILINE)
        modules = self.dump("--stop", self.first).modules()
        self.assertEqual({(module["base"], module["base"] + module["size"],
                           module["name"].split("\\")[-1].split(".")[0]) for module in modules},
                         {(int(start.replace("`", ""), 16), int(end.replace("`", ""), 16), name)
                          for start, end, name in listed})
        module = next(module for module in modules if module["base"] == 0x10000000)
        stamp = re.search(r"^([0-9A-F]{8}) time date stamp", self.printed, re.MULTILINE)[1]
        self.assertEqual(module["timestamp"], int(stamp, 16))
        self.assertEqual(module["codeview"][:4], b"RSDS")
        self.assertRegex(module["codeview"][24:], rb"^bootmgfw\.pdb\0$")

    def test_memory(self):
        memory = oracle(self.arguments).memory
        runs = self.dump().memory()
        found = {address + i: value for address, data in runs.items()
                 for i, value in enumerate(data)}
        self.assertEqual(found, memory)
        self.assertEqual(list(runs), sorted(runs))
        self.assertFalse([address for address, data in runs.items()
                          if address + len(data) in runs], "runs that touch")

    def test_memory_ends_with_the_stop(self):
        early = self.dump("--stop", self.first).memory()
        self.assertLess(sum(map(len, early.values())),
                        sum(map(len, self.dump().memory().values())))

    def test_what_is_said(self):
        row, = rows(kdlens("dump", *self.arguments, "-w", scratch("said.dmp"), "--stop",
                           self.first, "--json").stdout)
        dump = Minidump(scratch("said.dmp").read_bytes())
        self.assertEqual((row["stop"], row["processors"], row["registers"], row["memory_runs"],
                          row["memory_bytes"], row["modules"]),
                         (self.first, 1, True, len(dump.memory()),
                          sum(map(len, dump.memory().values())), len(dump.modules())))

    def core(self) -> Path:
        path = scratch("stop.core")
        kdlens("dump", *self.arguments, "-w", path, "--format", "elf", "--stop", self.first)
        return path

    def test_core_segments(self):
        text = tool("readelf", "-lW", self.core())
        data = scratch("stop.core").read_bytes()
        loads = re.findall(r"^  LOAD +0x(\w+) 0x(\w+) 0x\w+ 0x(\w+) 0x(\w+)", text, re.MULTILINE)
        found = {}
        for offset, address, size, full in (map(lambda x: int(x, 16), row) for row in loads):
            self.assertEqual(size, full)
            found[address] = data[offset:offset + size]
        self.assertEqual(found, self.dump("--stop", self.first).memory())

    def test_core_registers(self):
        text = tool("gdb", "-nx", "-batch", "-c", self.core(), "-ex", "info registers", "-ex",
                    "x/2xg $rsp")
        got = {name: int(value, 16)
               for name, value in re.findall(r"^(r\w+) +0x([0-9a-f]+)", text, re.MULTILINE)}
        self.assertEqual(got, self.printed_registers())
        stack = re.search(r"^0x([0-9a-f]+):\t0x([0-9a-f]{16})\t0x([0-9a-f]{16})", text,
                          re.MULTILINE)
        line = self.printed.split("kd> dq @rsp L10\n")[1].splitlines()[0].replace("`", "")
        self.assertEqual([int(value, 16) for value in stack.groups()],
                         [int(value, 16) for value in line.split()])


class DumpSerial(Dump, unittest.TestCase):
    pass


class DumpKdnet(Dump, unittest.TestCase):
    NET = True


class OtherProcessors(unittest.TestCase):
    """WinDbg's text beside the recordings says the registers of the first stop."""

    def registers(self, name: str) -> dict[str, int]:
        text = kdtest.captures(f"{name}.txt").read_text()
        line = text[text.index("kd> r\n"):]
        return {name: int(value, 16) for name, value in
                re.findall(r"\b(e[a-ds][xpi]|eip|x\d+|sp|pc|fp|lr)=([0-9a-f]+)", line[:1500])}

    def check(self, name: str, readelf: str, places: dict[str, tuple[str, int]]):
        printed = self.registers(name)
        capture = imported(name)
        pc = printed.get("eip") or printed["pc"]
        stop = next(row["stop"] for row in rows(kdlens("stops", capture, "--json").stdout)
                    if int(row["pc"], 16) & 2 ** 64 - 1 in (pc, pc | 0xFFFFFFFF << 32))
        kdlens("dump", capture, "--stop", stop, "-w", scratch("other.dmp"))
        context = Minidump(scratch("other.dmp").read_bytes()).threads()[1]
        for register, (form, at) in places.items():
            self.assertEqual(struct.unpack_from(form, context, at)[0], printed[register], register)
        kdlens("dump", capture, "--stop", stop, "--format", "elf", "-w", scratch("other.core"))
        self.assertIn(readelf, tool("readelf", "-hW", scratch("other.core")))
        self.assertIn("NT_PRSTATUS", tool("readelf", "-nW", scratch("other.core")))

    def test_arm64(self):
        places = {f"x{i}": ("<Q", 8 + 8 * i) for i in range(29)}
        places |= {"fp": ("<Q", 0xF0), "lr": ("<Q", 0xF8), "sp": ("<Q", 0x100),
                   "pc": ("<Q", 0x108)}
        self.check("windbg-arm64", "AArch64", places)

    def test_x86(self):
        self.check("windbg-x86", "Intel 80386", {
            "eax": ("<I", 0xB0), "ebx": ("<I", 0xA4), "ecx": ("<I", 0xAC), "edx": ("<I", 0xA8),
            "esi": ("<I", 0xA0), "edi": ("<I", 0x9C), "eip": ("<I", 0xB8), "esp": ("<I", 0xC4),
            "ebp": ("<I", 0xB4)})


# --- hostile captures


class Damaged(unittest.TestCase):
    """Cut short and with bytes changed: an exit status, a message, and never a crash."""

    def run_all(self, path: Path):
        out = scratch("damaged.out")
        for arguments in (["carve", path, "10000000", "-w", out],
                          ["carve", path, "10000000", "-w", out, "--as-loaded"],
                          ["carve", path, "--files", "-w", scratch("damaged.files")],
                          ["dump", path, "-w", out],
                          ["dump", path, "-w", out, "--format", "elf"],
                          ["dump", path, "-w", out, "--format", "kernel"]):
            done = subprocess.run([kdfiles.PROGRAM, *map(str, arguments)], capture_output=True,
                                  timeout=kdfiles.PATIENCE)
            self.assertIn(done.returncode, (0, 1), f"{arguments}: {done.stderr.decode()}")
            self.assertTrue(done.returncode == 0 or done.stderr)

    def test_cut_short(self):
        for name in ("windows-bootmgr-serial", "windbg-file-transfer"):
            data = imported(name).read_bytes()
            path = scratch("cut.pcapng")
            for size in range(97, len(data), max(97, len(data) // 8 // 97 * 97)):
                path.write_bytes(data[:size])
                self.run_all(path)

    def test_changed_bytes(self):
        chance = random.Random(14)
        path = scratch("changed.jsonl")
        capture = scratch("changed.pcapng")
        lines = [json.loads(line) for line in
                 kdfiles.recording("windows-bootmgr-serial").read_text().splitlines()]
        for _ in range(8):
            out = []
            for line in lines:
                data = bytearray.fromhex(line["hex"])
                # Past the packet's header, with its checksum made right again: believed.
                if data[:4] == b"0000" and len(data) > 80 and chance.random() < 0.3:
                    size = struct.unpack_from("<H", data, 6)[0]
                    if len(data) == 17 + size:
                        for _ in range(4):
                            data[chance.randrange(28, 16 + size)] = chance.randrange(256)
                        struct.pack_into("<I", data, 12, sum(data[16:16 + size]))
                out.append(json.dumps(line | {"hex": data.hex()}))
            path.write_text("\n".join(out) + "\n")
            kdlens("import", path, "-w", capture)
            self.run_all(capture)


if __name__ == "__main__":
    kdfiles.main()
