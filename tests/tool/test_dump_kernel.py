# test_dump_kernel.py - kernel dumps, read by a reader of their own.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The page tables are walked from the header's directory table base by code of the test; what they
lead to is held against kdlens mem read, against the captures' own bytes (kdoracle.py) and WinDbg's
text. WinDbg's engine opens such dumps in tests/peers."""

import json
import random
import struct
import subprocess
import sys
import unittest

import kdfiles
import kdoracle
import kdtest
from kdfiles import kdlens, scratch

sys.path.insert(0, str(kdfiles.REPOSITORY / "tests/dissector/generate"))
import kddump
from kddump import FILL, PAGE, KernelDump, NtSession, Session

KEY = "1a2b3c4d5e6f7.8g9h0i1j2k3l.2m6n7o8p9q0r1.2s3t4u5v6w7x"
TABLES = 4  # of a page that is far from all others, the top one counted


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def imported(text: str, name: str):
    scratch(f"{name}.jsonl").write_text(text)
    kdlens("import", scratch(f"{name}.jsonl"), "-w", scratch(f"{name}.pcapng"))
    return scratch(f"{name}.pcapng")


def known(*arguments) -> list[dict]:
    """Of kdlens mem read; its exit status says whether all of it is known."""
    done = subprocess.run([kdfiles.PROGRAM, "mem", "read", *map(str, arguments), "--json"],
                          capture_output=True, text=True, timeout=kdfiles.PATIENCE)
    assert done.returncode in (0, 1), done.stderr
    return rows(done.stdout)


class Made:
    """A dump with what was said of it."""

    def __init__(self, *arguments):
        path = scratch("kernel.dmp")
        self.row, *self.holes = rows(kdlens("dump", *arguments, "--format", "kernel", "-w", path,
                                            "--json").stdout)
        self.dump = KernelDump(path.read_bytes())
        self.pages, self.tables = self.dump.walk()

    def hole_bytes(self, physical: bool) -> set[int]:
        return {int(row["hole"], 16) + i for row in self.holes if row["physical"] == physical
                for i in range(row["size"])}


class Checks:
    """Of every dump, given what was captured: {address: value}."""

    def check(self, made: Made, memory: dict, physical: dict):
        first = int(made.row.get("made_at", "0x0"), 16)
        invented = range(first, first + made.row.get("made_bytes", 0))
        captured = {address & ~(PAGE - 1) for address in memory}
        self.assertFalse(captured & set(made.pages) & set(invented))
        self.assertEqual(set(made.pages) - captured, set(invented[::PAGE]))
        self.assertEqual(captured - set(made.pages), set())
        holes = made.hole_bytes(False)
        for page in captured:
            data = made.dump.physical(made.pages[page])
            for i, value in enumerate(data):
                known = memory.get(page + i)
                self.assertEqual(value, FILL if known is None else known, hex(page + i))
                self.assertEqual(page + i in holes, known is None, hex(page + i))
        self.check_physical(made, physical)
        self.assertEqual((len(made.tables), made.row["directory_table_base"]),
                         (made.row["made_page_tables"], hex(made.dump.directory)))
        self.assertLessEqual(len(made.tables), 1 + (TABLES - 1) * len(made.pages))

    def check_physical(self, made: Made, physical: dict):
        numbers = {address // PAGE for address in physical}
        own = made.tables | set(made.pages.values())
        self.assertEqual(len(own), len(made.tables) + len(made.pages))
        self.assertFalse(own & numbers)
        self.assertEqual(own | numbers, set(made.dump.places))
        for number in numbers:
            self.assertEqual(made.dump.physical(number),
                             bytes(physical.get(number * PAGE + i, FILL) for i in range(PAGE)))
        self.assertEqual(made.hole_bytes(True), {number * PAGE + i for number in numbers
                                                 for i in range(PAGE)
                                                 if number * PAGE + i not in physical})


class Bootmgr(Checks):
    NET = False

    @classmethod
    def setUpClass(cls):
        if cls.NET:
            scratch("key").write_text(KEY + "\n")
            cls.capture = [kdtest.captures("windows-bootmgr-kdnet.pcap.gz"), "--key-file",
                           scratch("key")]
        else:
            text = kdfiles.recording("windows-bootmgr-serial").read_text()
            cls.capture = [imported(text, "boot")]
        out = scratch("oracle.jsonl")
        kdlens("export", *cls.capture, "--jsonl", out)
        cls.oracle = kdoracle.Session(kdtest.read_recording(out))
        stops = rows(kdlens("stops", *cls.capture, "--json").stdout)
        cls.stop = next(row for row in stops if row["reason"] == "exception")

    def test_every_byte(self):
        made = Made(*self.capture)
        self.check(made, self.oracle.memory, self.oracle.physical)
        self.assertGreater(len(self.oracle.memory), 8000)
        self.assertGreater(len(self.oracle.physical), 60)

    def test_as_mem_read(self):
        """As of the end of a stop, which the oracle does not know."""
        made = Made(*self.capture, "--stop", self.stop["stop"])
        holes, checked = made.hole_bytes(False), 0
        invented = int(made.row["made_at"], 16)
        for page in made.pages:
            if invented <= page < invented + made.row["made_bytes"]:
                continue
            for row in known(*self.capture, f"{page:x}", f"{PAGE:x}", "--at", made.row["at"]):
                at, data = int(row["address"], 16), bytes.fromhex(row["bytes"])
                self.assertEqual(made.dump.read(at, len(data)), data, hex(at))
                self.assertFalse(holes & set(range(at, at + len(data))))
                checked += len(data)
        self.assertEqual(checked, made.row["memory_bytes"])

    def test_header(self):
        made = Made(*self.capture, "--stop", self.stop["stop"])
        dump = made.dump
        self.assertEqual((dump.machine, dump.processors, dump.type, dump.bug_check),
                         (0x8664, 1, 1, 0))
        # The text beside the recording: Windows Boot Debugger Kernel Version 17763.
        self.assertEqual((dump.major, dump.minor), (0x040F, 17763))
        self.assertEqual((dump.exception[0], dump.exception[3]),
                         (0x80000003, int(self.stop["exception_address"], 16)))
        self.assertEqual(struct.unpack_from("<Q", dump.context, 0xF8)[0],
                         int(self.stop["pc"], 16))
        self.assertIn("made up", dump.comment)
        self.assertFalse(made.row["made_gdt"] or made.row["made_special_registers"])
        self.assertEqual(dump.read(dump.data_block + 16, 4), b"KDBG")

    def test_what_is_made_up_is_said(self):
        text = kdlens("dump", *self.capture, "--format", "kernel", "-w", scratch("said.dmp")).stdout
        made = Made(*self.capture)
        self.assertIn(f"made up: {len(made.tables)} page tables", text)
        self.assertIn("debugger data block", text)
        holes = [line.split() for line in text.splitlines() if line.startswith("  ")]
        self.assertEqual([(int(line[0].replace("`", ""), 16), int(line[1]), len(line) == 3)
                          for line in holes],
                         [(int(row["hole"], 16), row["size"], row["physical"])
                          for row in made.holes])

    def test_the_other_formats_make_nothing_up(self):
        row, = rows(kdlens("dump", *self.capture, "-w", scratch("mini.dmp"), "--json").stdout)
        self.assertNotIn("made_page_tables", row)


class BootmgrSerial(Bootmgr, unittest.TestCase):
    pass


class BootmgrKdnet(Bootmgr, unittest.TestCase):
    NET = True


class Nt(Checks, unittest.TestCase):
    def oracle(self, capture) -> kdoracle.Session:
        out = scratch("nt-oracle.jsonl")
        kdlens("export", capture, "--jsonl", out)
        return kdoracle.Session(kdtest.read_recording(out))

    def test_captured_structures_are_used(self):
        session = NtSession()
        capture = imported(session.text(), "nt")
        made = Made(capture)
        self.assertEqual([made.row[f"made_{what}"]
                          for what in ("data_block", "registers", "modules", "gdt")],
                         [False, True, False, False])
        self.assertNotIn("made_at", made.row)
        dump = made.dump
        self.assertEqual((dump.data_block, dump.module_list, dump.processors),
                         (session.BLOCK, session.LIST, 2))
        self.assertEqual((dump.bug_check, dump.parameters), (0xE2, (1, 2, 3, 4)))
        memory = dict(self.oracle(capture).memory)
        for block, data in zip(session.PROCESSORS, session.contexts):
            self.assertEqual(dump.read(block + session.CONTEXT, len(data)), data)
            special = dump.read(block + session.SPECIAL, 0xF0)
            self.assertEqual(struct.unpack_from("<Q", special, 0x10)[0], session.CR3)
            # Without symbols, WinDbg's engine looks at 0x40: there, too, unless that was captured.
            memory = {block + 0x40 + i: value for i, value in enumerate(special)} | memory
            memory |= {block + session.SPECIAL + i: value for i, value in enumerate(special)}
            memory |= {block + session.CONTEXT + i: value for i, value in enumerate(data)}
        self.check(made, memory, self.oracle(capture).physical)
        # Physical 0x100000 was captured: no other page took its place.
        self.assertEqual(dump.physical(0x100)[:9], b"own page!")

    def test_time_stamps_of_a_kernels_modules(self):
        """They lie elsewhere than in the list of a boot debugger."""
        listed = rows(kdlens("modules", imported(NtSession().text(), "nt-stamps"),
                             "--json").stdout)
        self.assertEqual([row["timestamp"] for row in listed], ["0x5f000000", "0x5f000001"])

    def test_processor_blocks_that_were_not_read_are_made(self):
        session = NtSession(whole=False)
        made = Made(imported(session.text(), "nt-part"))
        self.assertEqual([made.row[f"made_{what}"] for what in ("data_block", "modules", "gdt")],
                         [True, False, False])
        dump = made.dump
        block = dump.read(dump.data_block, 0x3A8)
        array, bug_check = (struct.unpack_from("<Q", block, at)[0] for at in (0x218, 0x88))
        self.assertEqual(bug_check, session.BUG_CHECK)
        context, = struct.unpack_from("<H", block, 0x2BC)
        for number, data in enumerate(session.contexts):
            processor, = struct.unpack("<Q", dump.read(array + 8 * number, 8))
            self.assertEqual(dump.read(processor + context, len(data)), data)


    def test_list_of_which_entries_were_not_read_whole_is_made(self):
        made = Made(imported(NtSession(entry=0x88).text(), "nt-short"))
        self.assertEqual([made.row[f"made_{what}"] for what in ("data_block", "modules")],
                         [False, True])
        dump, (first, second) = made.dump, NtSession.BASES
        at, = struct.unpack("<Q", dump.read(dump.module_list, 8))
        entry = dump.read(at, 0xA0)
        self.assertEqual(struct.unpack_from("<Q8xI", entry, 0x30), (first, NtSession.SIZES[0]))
        # Its time stamp lies behind what was read.
        self.assertEqual(struct.unpack_from("<II", entry, 0x98), (NtSession.SIZES[0], 0))
        at, = struct.unpack("<Q", dump.read(at, 8))
        self.assertEqual(struct.unpack("<Q", dump.read(at + 0x30, 8)), (second,))
        # WinDbg's engine finds the list by the data block, not by the header.
        self.assertEqual(struct.unpack("<Q", dump.read(dump.data_block + 0x48, 8)),
                         (dump.module_list,))


class Strange(Checks, unittest.TestCase):
    def session(self) -> Session:
        session = Session()
        session.stop(0, 1, 0x10001000)
        session.version(0x040F, 17763, 0x10000000, 0, 0)
        session.registers(0, kddump.context(rip=0x10001000, rsp=0x20000000))
        return session

    def test_ends_of_the_halves(self):
        session = self.session()
        memory = {}
        for address in (0, 0x7FFFFFFFFFF0, 0xFFFF800000000000, 0xFFFFFFFFFFFFFFF0):
            session.read(address, bytes(range(16)))
            memory |= {address + i: i for i in range(16)}
        for address in (0x800000000000, 0xFFFF7FFFFFFFFFF0, 0x123456789ABCDEF0):
            session.read(address, bytes(16))
        made = Made(imported(session.text(), "halves"))
        self.assertEqual(made.row["left_out_bytes"], 48)
        # The instructions in the stop were captured, too.
        memory |= {0x10001000 + i: 0x90 if i else 0xCC for i in range(16)}
        self.check(made, memory, {})

    def test_reads_across_the_ends(self):
        session = self.session()
        session.read(0x7FFFFFFFFFF8, bytes(16))
        session.read(0xFFFF7FFFFFFFFFF8, bytes(16))
        made = Made(imported(session.text(), "across"))
        self.assertEqual(made.row["left_out_bytes"], 16)
        self.assertIn(0x7FFFFFFFF000, made.pages)
        self.assertIn(0xFFFF800000000000, made.pages)

    def test_made_structures_avoid_what_was_captured(self):
        session = self.session()
        session.read(0xFFFFFA8000000000 + 0x12345, b"here")
        made = Made(imported(session.text(), "window"))
        self.assertEqual(made.dump.read(0xFFFFFA8000012345, 4), b"here")
        self.assertNotEqual(int(made.row["made_at"], 16), 0xFFFFFA8000000000)

    def test_more_physical_runs_than_a_header_takes(self):
        session = self.session()
        for i in range(60):
            session.read_physical(0xFF000 + i * 2 * PAGE, bytes([i]) * 8)
        session.read_physical(1 << 52, bytes(8))
        made = Made(imported(session.text(), "runs"))
        self.assertEqual((len(made.dump.runs), made.row["physical_pages"]), (42, 41))
        self.assertEqual(made.row["left_out_physical_bytes"], 8 * (60 - 41) + 8)
        for i in range(41):
            self.assertEqual(made.dump.physical(0xFF + 2 * i)[:8], bytes([i]) * 8)

    def test_far_pages_cost_their_tables(self):
        session = self.session()
        for i in range(1, 20):
            session.read(i << 39, b"x")
        made = Made(imported(session.text(), "far"))
        self.assertTrue(made.row["made_gdt"] and made.row["made_special_registers"])
        # 19 pages, the code and what is made up are each alone in 512 GiB, the code in the first.
        self.assertEqual(len(made.tables), 1 + 3 * 21)

    def test_many_modules(self):
        session = self.session()
        for i in range(300):
            path = f"\\folder\\mödule{i}.sys".encode() + b"\0"
            payload = bytearray(240)
            struct.pack_into("<IHHI4xQQ", payload, 0, 0x3031, 6, 0, 1, 0, 0x10001000)
            struct.pack_into("<I4xQQII", payload, 32, len(path), 0x40000000 + i * 0x10000,
                             2 ** 64 - 1, 7, 0x8000)
            session.add("t2h", 7, bytes(payload) + path)
        made = Made(imported(session.text(), "modules"))
        self.assertTrue(made.row["made_modules"])
        at, names = made.dump.module_list, []
        memory = made.dump.memory()

        def read(address: int, size: int) -> bytes:
            return bytes(memory[a & ~(PAGE - 1)][a % PAGE] for a in range(address, address + size))

        while (at := struct.unpack("<Q", read(at, 8))[0]) != made.dump.module_list:
            base, size = struct.unpack_from("<Q8xI", read(at, 0x88), 0x30)
            length, text = struct.unpack_from("<H6xQ", read(at, 0x88), 0x48)
            names.append((base, size, read(text, length).decode("utf-16-le")))
            length, text = struct.unpack_from("<H6xQ", read(at, 0x88), 0x58)
            self.assertEqual(read(text, length).decode("utf-16-le"),
                             names[-1][2].rsplit("\\", 1)[1])
        self.assertEqual(names, [(0x40000000 + i * 0x10000, 0x8000, f"\\folder\\mödule{i}.sys")
                                 for i in range(300)])


class Hostile(unittest.TestCase):
    """Answers with bytes changed at random: a dump that holds together, or a reason."""

    def test_changed_answers(self):
        chance = random.Random(14)
        made = 0
        for number in range(40):
            session = NtSession(bool(number % 2))
            for i, line in enumerate(session.lines):
                row = json.loads(line)
                data = bytearray.fromhex(row["hex"])
                payload = data[16:-1]
                if row["dir"] == "t2h" and chance.random() < 0.2:
                    for _ in range(3):
                        payload[chance.randrange(16, len(payload))] = chance.randrange(256)
                data[12:] = struct.pack("<I", sum(payload)) + payload + b"\xaa"
                session.lines[i] = json.dumps(row | {"hex": data.hex()})
            capture = imported(session.text(), "changed")
            path = scratch("changed.dmp")
            path.unlink(missing_ok=True)
            done = subprocess.run([kdfiles.PROGRAM, "dump", capture, "--format", "kernel", "-w",
                                   path], capture_output=True, text=True,
                                  timeout=kdfiles.PATIENCE)
            self.assertIn(done.returncode, (0, 1), done.stderr)
            if path.exists():
                KernelDump(path.read_bytes()).walk()
                made += 1
            else:
                self.assertTrue(done.stderr)
        self.assertGreater(made, 20)


class Refused(unittest.TestCase):
    def refuse(self, capture, words: str):
        done = kdlens("dump", capture, "--format", "kernel", "-w", scratch("no.dmp"), status=1)
        self.assertIn(words, done.stderr)
        self.assertIn("--format minidump", done.stderr)
        self.assertFalse(scratch("no.dmp").exists())

    def test_other_processors(self):
        for name in ("windbg-arm64", "windbg-x86"):
            self.refuse(imported(kdfiles.recording(name).read_text(), name), "AMD64")

    def test_without_the_version(self):
        session = Session()
        session.stop(0, 1, 0x10001000)
        session.registers(0, kddump.context(rip=0x10001000))
        self.refuse(imported(session.text(), "unversioned"), "GetVersion")


if __name__ == "__main__":
    kdfiles.main()
