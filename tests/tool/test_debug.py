# test_debug.py - kdlens debug against a target of its own, over the ends, with faults on the line.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The target (kdtarget.py) is written from the protocol reference and runs a small program."""

import json
import os
import pty
import random
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import tty
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.path.append(str(HERE.parent / "rt"))
import aotbuild
import kdstack
import kdtap
from kdterminal import (DOWN, END, ENTER, HOME, INTERRUPT, LEFT, SUSPEND, TAB, UP, Terminal)
from kdtarget import (BASE, DATA, FAULT, IDLE, LEAF, SIZE, STACK, START, SUB, Target)

PATIENCE = str(kdtap.PATIENCE)


class Debug:
    """A finished `kdlens debug` with a target at its end."""

    def __init__(self, script: str, *options, target: Target | None = None, line=kdtap.UNIX,
                 stopped: bool = True):
        self.target = target or Target()
        if stopped and not self.target.todo:
            self.target.stopped = True
        name, made = line.prepare()
        path = kdtap.new_path(".kd")
        path.write_text(script)
        command = [kdtap.PROGRAM, "debug", name, str(path), "-t", PATIENCE, *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                        text=True)
        peer = line.connect(None, None, made)
        if isinstance(made, socket.socket):
            made.close()
        if stopped and self.target.stopped:
            self.target.line.peer = peer
            self.target.report()
        self.target.serve(peer)
        try:
            self.out, self.err = self.process.communicate(timeout=4 * kdtap.PATIENCE)
        finally:
            self.process.kill()
            self.target.close()
        self.status = self.process.returncode

    def apis(self) -> list[int]:
        return [api for api, _ in self.target.requests]


class Case(unittest.TestCase):
    def run_script(self, script: str, *options, status: int = 0, **keywords) -> Debug:
        debug = Debug(script, *options, **keywords)
        self.assertEqual(debug.status, status, f"{debug.out}\n{debug.err}")
        return debug


class Commands(Case):
    def test_version_and_registers(self):
        debug = self.run_script("version\nr\nr rsp\nr rbx=0x1234\nr rbx\nrm\n? rbx+2*(r15-1)\n")
        self.assertIn("boot debugger 4711, AMD64 (8664), protocol 6", debug.out)
        self.assertIn(f"rip={START:016x} rsp={STACK - 0x100:016x}", debug.out)
        self.assertIn("rbx=0000000000001234", debug.out)
        self.assertIn("cr3=00000000001ab000", debug.out)
        self.assertIn("0000000000001232 = 4658", debug.out)
        self.assertEqual(debug.target.get("rbx"), 0x1234)

    def test_memory(self):
        target = Target()
        for size in (1, 2, 4, 8):
            struct.pack_into("<Q", target.memory[BASE], 0x3100 + 8 * size, 0)
        debug = self.run_script(f"""
            eb {DATA:x} 11 22 33
            ew {DATA + 0x10:x} 1122 3344
            ed {DATA + 0x20:x} 11223344
            eq {DATA + 0x30:x} 1122334455667788
            ea {DATA + 0x40:x} "Hello; world"
            db {DATA:x} L3
            expect 11 22 33
            dw {DATA + 0x10:x} L2
            expect 1122 3344
            dd {DATA + 0x20:x} L1
            expect 11223344$
            dq {DATA + 0x30:x} L1
            expect 1122334455667788$
            da {DATA + 0x40:x}
            expect "Hello; world"
            db /p 10 L4
            expect 0000000000000010  10 11 12 13
            du {BASE + 0x2200:x}
            expect "\\\\EFI\\\\demo.efi"
            try db 5000 L4
            expect error: db: virtual memory at 0000000000005000 cannot be read: c0000001
            try db {BASE + SIZE - 4:x} L8
            expect {BASE + SIZE - 4:016x}  00 00 00 00
            expect {BASE + SIZE:016x} cannot be read
            """, target=target)
        self.assertEqual(debug.target.read(DATA, 3), b"\x11\x22\x33")
        self.assertEqual(debug.target.read(DATA + 0x40, 13), b"Hello; world\0")

    def test_large_reads_come_in_pieces(self):
        target = Target()
        target.memory[0x50000000] = bytearray(range(256)) * 64
        debug = self.run_script("db 50000000 L4000\ndb 50003ff0 L10\n", target=target)
        self.assertEqual(len([line for line in debug.out.splitlines()
                              if line.startswith("00000000500")]), 0x400 + 1)
        self.assertIn("f0 f1 f2 f3 f4 f5 f6 f7-f8 f9 fa fb fc fd fe ff", debug.out)

    def test_memory_into_a_file(self):
        target = Target()
        target.memory[0x50000000] = bytearray(random.Random(4).randbytes(200_000))
        file, cut = kdtap.new_path(".bin"), kdtap.new_path(".bin")
        debug = self.run_script(f"""
            .writemem {file} 50000001 L20000
            expect 20000 of 20000 bytes written
            try .writemem {cut} 50030000 L10000
            expect d40 of 10000 bytes written
            expect error: .writemem: virtual memory at 0000000050030d40 cannot be read
            try .writemem {cut}/no 50000000 L1
            expect error: .writemem: .*Not a directory
            try .writemem {cut} 50000000
            expect error: .writemem: L COUNT is missing
            """, target=target)
        memory = debug.target.memory[0x50000000]
        self.assertEqual(Path(file).read_bytes(), memory[1:0x20001])
        self.assertEqual(Path(cut).read_bytes(), memory[0x30000:])

    def test_search_and_fill_by_target_or_by_hand(self):
        for able in (True, False):
            with self.subTest(able=able):
                target = Target()
                target.searches = target.fills = able
                target.write(DATA + 0x123, b"needle")
                target.write(BASE + SIZE - 6, b"needle")
                debug = self.run_script(f"""
                    s -a {BASE:x} L{SIZE:x} "needle"
                    expect {DATA + 0x123:016x}  6e 65
                    expect {BASE + SIZE - 6:016x}  6e 65 65 64 6c 65
                    s -b {BASE:x} L{SIZE:x} de ad be ef 77
                    expect-not error
                    f {DATA + 0x200:x} L11 a b
                    """, target=target)
                self.assertEqual(debug.target.read(DATA + 0x200, 0x12), b"\x0a\x0b" * 8 + b"\x0a\0")

    def test_ports_msr_bus(self):
        debug = self.run_script("""
            ib 3f8
            expect 03f8: 41
            ow 3f8 1234
            iw 3f8
            expect 03f8: 1234
            rdmsr 10
            expect 1122334455667788
            wrmsr 10 8877665544332211
            rdmsr 10
            expect 8877665544332211
            try rdmsr 11
            expect no such MSR: the target refuses, c0000001
            busdata 0 1 2
            expect ^86 80 12 34$
            query rip
            expect r-x, address space 2
            """)
        self.assertEqual(debug.target.ports[0x3F8], 0x1234)

    def test_modules(self):
        self.run_script(f"""
            lm
            expect {BASE:016x} {BASE + SIZE:016x} +demo +demo.pdb
            lmv demo
            expect pdb +030201000504070608090A0B0C0D0E0F7$
            """)
        debug = self.run_script("? $base(demo)+1\n? demo+$size(demo)\nln demo+5\nln 5\n")
        self.assertIn(f"{BASE + 1:016x} =", debug.out)
        self.assertIn(f"{BASE + SIZE:016x} =", debug.out)
        self.assertIn("demo+0x5 (no image of demo on the symbol path", debug.out)
        self.assertIn("(in no module)", debug.out)


class Running(Case):
    def test_step_over_into_up(self):
        self.run_script(f"""
            t
            r rip
            expect rip={START + 1:016x}
            t
            r rip
            expect rip={SUB:016x}
            t
            p
            r rip
            expect rip={SUB + 6:016x}
            r rip={SUB:x}
            gu
            r rip
            expect rip={START + 6:016x}
            r rip={START + 1:x}
            p
            r rip
            expect rip={START + 6:016x}
            """)

    def test_breakpoints(self):
        debug = self.run_script(f"""
            bp {LEAF:x}
            bp {START + 6:x}
            g
            wait stop
            expect Breakpoint 0 hit
            db {LEAF:x} L1
            expect {LEAF:016x}  c3
            g
            wait
            expect Breakpoint 1 hit
            bl
            expect 0 bp {LEAF:016x} .*hit 1 times
            bc 0
            g {IDLE:x}
            wait
            r rip
            expect rip={IDLE:016x}
            bc *
            bp {SUB:x}
            """)
        self.assertEqual(debug.target.breakpoints, {}, "breakpoints left behind")
        self.assertFalse(debug.target.stopped, "left standing")

    def test_breakpoint_that_cannot_be(self):
        self.run_script("bp 5\ntry g\nexpect breakpoint at 0+5: the target refuses, c0000001\n")

    def test_hardware_breakpoints(self):
        debug = self.run_script(f"""
            ba e1 {SUB:x}
            ba w1 {DATA:x}
            g
            wait stop
            expect Breakpoint 0 hit
            r rip
            expect rip={SUB:016x}
            g
            wait stop
            expect Breakpoint 1 hit
            r rip
            expect rip={START + 10:016x}
            """)
        self.assertEqual(struct.unpack_from("<Q", debug.target.special, 0x48)[0] & 0xFF, 0)

    def test_exception(self):
        debug = self.run_script(f"""
            r rip={FAULT:x}
            g
            wait stop
            expect Access violation - code c0000005 \\(first chance\\)
            expect read address 0000000000001234
            gn
            qq
            """)
        last = [payload for api, payload in debug.target.requests if api == 0x313C][-1]
        self.assertEqual(last[16:20], bytes.fromhex("01000180"))

    def test_break_in(self):
        target = Target()
        target.set("rip", IDLE)
        debug = self.run_script("""
            g
            try r
            expect error: the target runs
            break
            expect code 80000003
            g
            """, target=target, stopped=False)
        self.assertFalse(debug.target.stopped)

    def test_load_events(self):
        target = Target()
        target.load(b"\\x\\first.efi", 0x30000000, 0x1000)
        target.load(b"second.sys", 0x40000000, 0x2000)
        target.load(b"", 0x30000000, 0, unload=True)
        target.load(b"third.efi", 0x50000000, 0x1000)
        debug = self.run_script("""
            expect ModLoad: 0000000030000000 0000000030001000 .x.first.efi
            expect load event
            ? $base(first)
            expect 0000000030000000
            sxe ld:third
            g
            wait load second
            expect ModLoad: 0000000040000000
            wait stop
            expect ModUnload: 0000000030000000 first
            expect ModLoad: 0000000050000000
            try ? first
            expect first is no number, register or module
            """, target=target)
        self.assertFalse(debug.target.stopped)

    def test_prints_prompt_and_files(self):
        target = Target()
        target.stopped = True
        target.say(b"half a line, ")
        target.say(b"the rest \x1b[2J\r\n")
        target.ask_file("\\dir\\file.txt")
        target.ask(b"What? ", room=4)
        target.say(b"thanks")
        debug = self.run_script("""
            g
            expect ^half a line, the rest \\^\\[\\[2J$
            expect file \\\\dir\\\\file.txt; there is none
            expect What\\? $
            reply yes, surely
            wait print thanks
            """, target=target)
        kinds = dict(debug.target.answers)
        self.assertEqual(kinds[11][:8], struct.pack("<II", 0x3430, 0xC000000F))
        self.assertEqual(kinds[3], struct.pack("<IHHII", 0x3231, 6, 0, 6, 4) + b"yes\0")

    def test_reboot(self):
        debug = self.run_script(f"""
            r rip={IDLE:x}
            bp {SUB:x}
            .reboot
            wait stop
            expect began anew
            g
            wait stop
            expect Breakpoint 0 hit
            """)
        self.assertIn(0x313B, debug.apis())


def sections(data: bytes) -> list[tuple[int, int, int]]:
    """(RVA, size in the file, place in the file) of an image's."""
    header = struct.unpack_from("<I", data, 0x3C)[0]
    count, optional = struct.unpack_from("<H12xH", data, header + 6)
    return [struct.unpack_from("<12xIII", data, header + 24 + optional + 40 * i)
            for i in range(count)]


def loaded(path: Path) -> bytearray:
    """As it is in memory."""
    data = path.read_bytes()
    header = struct.unpack_from("<I", data, 0x3C)[0]
    memory = bytearray(struct.unpack_from("<I", data, header + 24 + 56)[0])
    memory[:0x400] = data[:0x400]
    for rva, size, at in sections(data):
        memory[rva:rva + size] = data[at:at + size]
    return memory


class Example:
    """kdexample as it is loaded, and what LLVM's tools say of its functions."""

    CHAIN = ("KdExampleLoop", "do_loop", "run_words", "EfiMain")

    def __init__(self, path: Path):
        self.path, self.memory = path, loaded(path)
        starts = [rva for rva, _, _ in sections(path.read_bytes())]
        listing = self.tool("llvm-pdbutil", "dump", "--symbols", path.with_suffix(".pdb"))
        self.names = {name: starts[int(section) - 1] + int(offset) for name, section, offset in
                      re.findall(r"PROC32 .*`(\w+)`\n.*addr = (\d+):(\d+)", listing)}
        self.unwind = self.tool("llvm-readobj", "--unwind", path)

    def tool(self, *arguments) -> str:
        return subprocess.run([*map(str, arguments)], check=True, capture_output=True,
                              text=True).stdout

    def frame(self, name: str) -> int:
        """Bytes below the return address."""
        start = f"0x{kdstack.BASE + self.names[name]:X}"
        text = self.unwind[self.unwind.index(f"StartAddress: ({start})"):]
        text = text[:text.index("RuntimeFunction", 1) if "RuntimeFunction" in text[1:] else None]
        return (sum(map(int, re.findall(r"ALLOC_\w+ size=(\d+)", text))) +
                8 * text.count("PUSH_NONVOL"))

    def return_address(self, name: str) -> int:
        """Behind the function's first call."""
        start = kdstack.BASE + self.names[name]
        text = self.tool("llvm-objdump", "-d", "--no-show-raw-insn", f"--start-address={start:#x}",
                         f"--stop-address={start + 0x600:#x}", self.path)
        rows = re.findall(r"(?m)^\s*([0-9a-f]+):\s+(\w+)", text)
        call = next(i for i, (_, word) in enumerate(rows) if word.startswith("call"))
        return int(rows[call + 1][0], 16)


class Stacks(Case):
    """bt; what is expected comes from how kdstack lays the frames out, or from LLVM's tools."""

    READ, SEARCH = 0x3130, 0x3156

    def target(self, stack: kdstack.Stack, image=None, name: str = "stk") -> Target:
        target = Target()
        target.add_module(f"\\EFI\\{name}.efi", kdstack.BASE,
                          kdstack.image() if image is None else image)
        target.memory[kdstack.STACK] = stack.memory
        target.set("rip", stack.expected[0][0])
        target.set("rsp", stack.start)
        return target

    def walk(self, stack: kdstack.Stack, *options, command: str = "bt", **keywords):
        """The frames, with inline ones; the last line's object."""
        debug = self.run_script(f"{command}\nqq\n", "--json", *options,
                                target=self.target(stack, **keywords))
        objects = [json.loads(line) for line in debug.out.splitlines()]
        end, = [row for row in objects if row["event"] == "stack"]
        # Reads in demo are those of the list of modules.
        self.reads = sum(api in (self.READ, self.SEARCH) for api in debug.apis())
        listed = sum(api == self.READ and
                     BASE <= struct.unpack_from("<Q", payload, 16)[0] < BASE + SIZE
                     for api, payload in debug.target.requests)
        if not options:  # else the PDB's record is read, too
            self.assertGreaterEqual(end["requests"], (self.reads - listed) // 2)
        self.assertLessEqual(end["requests"], self.reads - listed)
        return [row for row in objects if row["event"] == "frame"], end

    def places(self, frames: list) -> list:
        return [(int(row["address"], 16), int(row["sp"], 16)) for row in frames
                if not row["inline"]]

    def test_every_kind_of_frame(self):
        stack = kdstack.every_kind()
        frames, end = self.walk(stack)
        self.assertEqual(self.places(frames), stack.expected)
        self.assertEqual([row["site"] for row in frames],
                         ["stk+0x1100", "stk!push+0x10", "stk+0x1310", "stk+0x1410", "stk+0x1610",
                          "stk+0x1710", "stk!push+0x1", "stk!root+0x10"])
        self.assertEqual([row["interrupted"] for row in frames],
                         [True] + [False] * 5 + [True, False])
        self.assertEqual([row["caller"] for row in frames],
                         ["leaf"] + ["table"] * 4 + ["interrupt"] + ["table"] * 2)
        self.assertFalse(any(row["guessed"] for row in frames))
        self.assertEqual((end["frames"], end["end"]), (8, "the return address is 0"))

    def test_as_text(self):
        stack = kdstack.every_kind()
        debug = self.run_script("k\nqq\n", target=self.target(stack))
        lines = debug.out[debug.out.index(" # Child-SP"):].splitlines()
        self.assertEqual(lines[2], f"01 {stack.expected[1][1]:016x} {stack.expected[1][0]:016x} "
                                   "stk!push+0x10")
        self.assertTrue(lines[7].endswith("stk!push+0x1 (interrupted)"), lines[7])
        self.assertEqual(lines[9], "(the return address is 0)")

    def deep(self, frames: int) -> kdstack.Stack:
        stack = kdstack.Stack(kdstack.BASE + kdstack.LEAF)
        for _ in range(frames - 2):
            stack.returns(kdstack.BASE + kdstack.PUSH + 0x10).skip(0x28)
        return stack.returns(kdstack.BASE + kdstack.ROOT + 0x10).skip(0x28).returns(0)

    def test_count_and_cost(self):
        stack = self.deep(20)
        frames, end = self.walk(stack)
        self.assertEqual(self.places(frames), stack.expected)
        self.assertLessEqual(self.reads, 20 * 10)
        frames, end = self.walk(stack, command="bt 5")
        self.assertEqual(self.places(frames), stack.expected[:5])
        self.assertIn("there are more frames", end["end"])
        frames, _ = self.walk(self.deep(100))
        self.assertEqual(len(frames), 64)
        frames, _ = self.walk(self.deep(100), command="bt 0n99")
        self.assertEqual(len(frames), 99)
        self.run_script("try bt 0\nexpect error: bt: COUNT is 1 to 400\nqq\n")

    def test_guesses_are_marked(self):
        """Without a table: words of the stack that are behind a call."""
        stack = kdstack.Stack(kdstack.BASE + kdstack.LEAF)
        stack.words(0x1234, kdstack.BASE + kdstack.PUSH + 0x18)  # no call before it
        stack.returns(kdstack.BASE + kdstack.PUSH + 0x10).skip(0x40)
        stack.returns(kdstack.BASE + kdstack.ROOT + 0x10)
        image = kdstack.image()
        struct.pack_into("<II", image, 0x98 + 112 + 8 * 3, 0, 0)
        frames, end = self.walk(stack, image=image)
        self.assertEqual(self.places(frames), stack.expected)
        self.assertEqual([row["guessed"] for row in frames], [False, True, True])
        self.assertEqual([row["caller"] for row in frames], ["scan"] * 3)
        self.assertEqual(end["end"], "no return address in the next 128 words of the stack")
        debug = self.run_script("bt\nqq\n", target=self.target(stack, image))
        self.assertRegex(debug.out, r"(?m)^01 [0-9a-f]{16} [0-9a-f]{16} \? stk!push\+0x10$")

    def test_what_rests_on_a_guess_is_marked(self):
        """A call of nothing: its caller is looked for, and all further ones follow from that."""
        stack = kdstack.Stack(0)
        stack.returns(kdstack.BASE + kdstack.PUSH + 0x10).skip(0x20).words(0x1111)
        stack.returns(kdstack.BASE + kdstack.ROOT + 0x10).skip(0x28).returns(0)
        frames, end = self.walk(stack)
        self.assertEqual(self.places(frames), stack.expected)
        self.assertEqual([row["caller"] for row in frames], ["scan", "table", "table"])
        self.assertEqual([row["guessed"] for row in frames], [False, True, True])
        self.assertEqual(end["end"], "the return address is 0")
        debug = self.run_script("bt\nqq\n", target=self.target(stack))
        self.assertRegex(debug.out, r"(?m)^00 [0-9a-f]{16} 0{16} [^?]*$")
        self.assertRegex(debug.out, r"(?m)^01 [0-9a-f]{16} [0-9a-f]{16} \? stk!push\+0x10$")
        self.assertRegex(debug.out, r"(?m)^02 [0-9a-f]{16} [0-9a-f]{16} \? stk!root\+0x10$")

    def test_stacks_that_make_no_sense(self):
        """Each ends, with the reason."""
        wild = 0x7FFF12345000
        cases = {
            "the stack cannot be read": kdstack.Stack(kdstack.BASE + kdstack.LEAF, wild),
            "this address is in no module":
                kdstack.Stack(kdstack.BASE + kdstack.LEAF).returns(wild),
            "no return address in the next 128 words": kdstack.Stack(wild),
            "the next frame is not on the stack":
                kdstack.Stack(kdstack.BASE + kdstack.POINTER + 0x10).skip(0x100),
        }
        for reason, stack in cases.items():
            with self.subTest(reason):
                target = self.target(stack)
                if "not on" in reason:  # the frame's pointer leads down
                    struct.pack_into("<Q", target.context, 0xA0, stack.start - 0x80)
                debug = self.run_script("bt\nqq\n", target=target)
                rows = re.findall(r"(?m)^\d\d ([0-9a-f]{16}) ([0-9a-f]{16}) ", debug.out)
                self.assertEqual([(int(address, 16), int(sp, 16)) for sp, address in rows],
                                 stack.expected)
                self.assertIn(f"({reason}", debug.out)

    def test_random_stacks(self):
        """Words of code addresses in every order; and every word the same."""
        source = random.Random(4711)
        places = [kdstack.BASE + begin + 0x10 for begin in kdstack.FUNCTIONS]
        for count in range(4):
            stack = kdstack.Stack(kdstack.BASE + kdstack.LEAF)
            words = [source.choice(places) if count else places[0]
                     for _ in range((kdstack.STACK_SIZE - 0x1000) // 8)]
            struct.pack_into(f"<{len(words)}Q", stack.memory, 0x1000, *words)
            frames, end = self.walk(stack, command="bt 400")
            self.assertLessEqual(end["requests"], 512 + 10 * 0x400)
            pointers = [row["sp"] for row in frames]
            self.assertEqual(len(set(pointers)), len(pointers), "a frame twice")

    def test_hostile_headers(self):
        """Any of them damaged: an answer, and a bound."""
        stack = self.deep(6)
        damaged = [(0x3C, 0xFFFFFFF0), (0x3C, kdstack.SIZE - 2), (0x84, 0x14C), (0x84, 0xFFFF8664),
                   (0x94, 0), (0x98 + 56, 0), (0x98 + 56, 0xFFFFFFFF), (0x98 + 112, 0xFFFFFFFF),
                   (0x98 + 136, kdstack.SIZE - 4), (0x98 + 140, 0xFFFFFFFF),
                   (kdstack.NAMES + 20, 0xFFFFFFFF), (kdstack.NAMES + 24, 0xFFFFFFFF),
                   (kdstack.NAMES + 28, 0xFFFFFFFF), (kdstack.UNWIND, 0xFFFFFFFF),
                   (kdstack.DIRECTORY, 0), (kdstack.DIRECTORY + 4, 0xFFFFFFFF),
                   (kdstack.DIRECTORY + 8, 0xFFFFFFFF), (kdstack.DIRECTORY + 8, 0x2001)]
        for at, value in damaged:
            with self.subTest(at=hex(at), value=hex(value)):
                image = kdstack.image()
                struct.pack_into("<I", image, at, value)
                frames, end = self.walk(stack, image=image)
                self.assertEqual(self.places(frames)[0], stack.expected[0])
                self.assertTrue(end["end"])
                self.assertLessEqual(end["requests"], 512 + 10 * 64)
        image = kdstack.image()
        image[0] = 0
        _, end = self.walk(stack, image=image)
        self.assertEqual(end["end"], "the headers of stk: not a PE image")

    def test_a_huge_image_has_a_bound(self):
        """Headers that promise more names than anybody wants to read, all of them there."""
        image = kdstack.image() + bytearray(0x400000)
        struct.pack_into("<I", image, 0x98 + 56, len(image))
        struct.pack_into("<4xII8xI", image, kdstack.NAMES + 16, 0xFFFF, 0xFFFF, 0x100000)
        struct.pack_into("<II", image, kdstack.NAMES + 28, 0x10000, 0x200000)
        frames, end = self.walk(self.deep(30), image=image)
        self.assertEqual(len(frames), 30)
        self.assertEqual(end["requests"], 512 + 10 * 64)

    def test_no_answer_ends_the_command(self):
        target = self.target(kdstack.every_kind())
        target.silent_apis = {self.READ, 0x313C}
        debug = Debug("bt\n", "-t", "1", target=target)
        self.assertEqual(debug.status, 1)
        self.assertIn(":1: bt: no answer to ReadVirtualMemory within 1 s", debug.err)

    def test_a_real_program_with_its_pdb(self):
        """kdexample, stopped where KdExampleTick begins, on a stack laid out by hand."""
        folder = Path(os.environ.get("KDLENS_AGENT_IMAGES") or
                      HERE.parents[1] / "build/uefi-agent")
        path = folder / "kdexample.efi"
        tools = [name for name in ("llvm-readobj", "llvm-pdbutil", "llvm-symbolizer",
                                   "llvm-objdump") if not shutil.which(name)]
        if not path.with_suffix(".pdb").exists() or tools:
            self.skipTest(f"no {', '.join(tools)} (Debian package llvm)" if tools else
                          f"no {path} with its PDB (build it first)")
        example = Example(path)
        stack = kdstack.Stack(kdstack.BASE + example.names["KdExampleTick"])
        sites = []
        for name in example.CHAIN:
            at = example.return_address(name)
            sites.append(f"kdexample!{name}+0x{at - kdstack.BASE - example.names[name]:x}")
            stack.returns(at).skip(example.frame(name))
        stack.returns(0)
        frames, _ = self.walk(stack, "-y", str(folder), image=example.memory, name="kdexample")
        self.assertEqual(self.places(frames), stack.expected)
        self.assertIn("kdexample!KdExampleTick", frames[0]["site"])
        self.assertRegex(frames[0]["source"], r"kdexample\.c:\d+$")
        self.assertEqual([row["site"] for row in frames if not row["inline"]][1:], sites)
        # No names for another program, nor from another build of this one.
        places = [at - kdstack.BASE for at, _ in stack.expected]
        frames, _ = self.walk(stack, "-y", str(folder), image=example.memory, name="other")
        self.assertEqual([row["site"] for row in frames], [f"other+0x{at:x}" for at in places])
        at = example.memory.index(b"RSDS") + 4
        example.memory[at] ^= 1
        frames, _ = self.walk(stack, "-y", str(folder), image=example.memory, name="kdexample")
        self.assertEqual([row["site"] for row in frames], [f"kdexample+0x{at:x}" for at in places])
        debug = self.run_script("ln rip\nqq\n", "-y", str(folder),
                                target=self.target(stack, example.memory, "kdexample"))
        self.assertIn("is another build of kdexample than the one that runs", debug.out)

    def test_names_of_nativeaot(self):
        """The metadata is found by the target's own search; places by the linker's map."""
        if aotbuild.missing():
            self.skipTest(aotbuild.missing())
        builder = aotbuild.Builder()
        self.addCleanup(builder.close)
        source = builder.folder / "source.c"
        source.write_text("int EfiMain(void) { return 0; }\n"
                          "void RhpInitialDynamicInterfaceDispatch(void) {}\n")
        image = builder.link("managed", [builder.object(source, "-Wno-missing-prototypes"),
                                         builder.object("tests/rt/aot/tables.S", "-DMAJOR=16",
                                                        "-DMINOR=0")], "/base:0x140000000")
        rva = image.symbols()["Shape_Scale"]
        stack = kdstack.Stack(kdstack.BASE + rva)
        for searches, site in ((True, "managed!Own.Shape.Scale"), (False, f"managed+0x{rva:x}")):
            target = self.target(stack, loaded(image.path), "managed")
            target.searches = searches
            debug = self.run_script("bt 1\nqq\n", target=target)
            self.assertIn(f"{kdstack.BASE + rva:016x} {site}\n", debug.out)


class Lines(Case):
    SCRIPT = "version\nexpect 4711\ndb rip L10\nexpect 90 e8\nt\nexpect 80000004\n"

    def test_every_end(self):
        lines = [line for line in kdtap.KINDS if line.name in ("unix", "tcp", "serial", "exec")]
        for line in lines:
            with self.subTest(line.name):
                self.run_script(self.SCRIPT, line=line)

    def test_ends_that_wait(self):
        def come(_tap, _side, path):
            def try_it():
                sock = socket.socket(socket.AF_UNIX)
                try:
                    sock.connect(str(path))
                except OSError:
                    sock.close()
                    return None
                return kdtap.Peer(sock.fileno(), sock=sock)
            return kdtap.wait_for(try_it, "the socket")

        def open_link(_tap, _side, path):
            kdtap.wait_for(path.exists, "the terminal")
            return kdtap.open_terminal(path)

        for name, connect in (("unix-listen", come), ("pty", open_link)):
            path = kdtap.new_path(".end")
            line = kdtap.Line(name, lambda: (f"{name}:{path}", path), connect)
            with self.subTest(name):
                self.run_script(self.SCRIPT, line=line)

    def test_faults(self):
        def lost(data):
            return b"" if data[:4] == b"0000" else None

        def corrupt(data):
            return data[:30] + bytes([data[30] ^ 1]) + data[31:] if len(data) > 40 else None

        def cut(data):
            return data[:40] if len(data) > 60 else None

        def doubled(data):
            return data * 2 if data[:4] == b"0000" else None

        def noise(data):
            return b"\x00\xffnoise 00ii" + data if data[:4] == b"0000" else None

        def no_ack(data):
            return b"" if data[:6] == b"iiii\x04\0" else None

        for fault in (lost, corrupt, cut, doubled, noise, no_ack):
            for when in range(4):
                with self.subTest(fault=fault.__name__, when=when):
                    target = Target()
                    target.faults = [lambda data: data if data[:4] == b"0000" else None] * when
                    target.faults.append(fault)
                    self.run_script(self.SCRIPT, target=target)

    def test_requests_lost_until_reset(self):
        target = Target()
        target.deaf = 7  # one request, and its repetitions; then RESET, and the rest
        debug = self.run_script("version\nexpect 4711\n", target=target)
        self.assertNotIn("error", debug.out)

    def test_no_answer(self):
        target = Target()
        target.silent_apis = {0x3146}
        debug = Debug("version\n", "-t", "1", target=target)
        self.assertEqual(debug.status, 1)
        self.assertRegex(debug.err, r":1: version: no answer to GetVersion within 1 s: it was "
                                    r"acknowledged, but not answered")

    def test_late_reply(self):
        """The reply to a read that was given up is no answer to the next read."""
        target = Target()
        target.silent_apis = {0x3130}

        def pump():
            target.line.feed(target.line.peer.receive_some() or b"")
            return not target.line.waiting

        original = target.request

        def request(kind, payload):
            reads = sum(api == 0x3130 for api, _ in target.requests)
            if reads == 1:
                target.silent_apis = set()
                first = next(old for api, old in target.requests if api == 0x3130)
                target.reply(first, 0, struct.pack("<QII", DATA, 1, 1), b"\x77")
                kdtap.wait_for(pump, "the acknowledgement")
            original(kind, payload)

        target.request = request
        debug = self.run_script(f"try db {DATA:x} L1\ndb {START:x} L1\nexpect {START:016x}  90\n",
                                "-t", "2", target=target)
        self.assertNotIn("77", debug.out)

    def test_nobody(self):
        listener = kdtap.UNIX.prepare()
        done = subprocess.run([kdtap.PROGRAM, "debug", listener[0], "-c", "r", "-t", "1"],
                              capture_output=True, text=True, timeout=kdtap.PATIENCE)
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"no answer from the target within 1 s to RESET \(sent \d+ "
                                      r"times\) and break-in \(sent \d times\)")
        done = subprocess.run([kdtap.PROGRAM, "debug", f"unix:{kdtap.new_path()}", "-c", "r", "-t",
                               "1"], capture_output=True, text=True, timeout=kdtap.PATIENCE)
        self.assertEqual(done.returncode, 1)
        self.assertIn("not connected within 1 s", done.stderr)

    def test_hold(self):
        """Nothing is sent before the target's first packet."""
        target = Target()
        target.raw(b"BdsDxe: 0000 booting\r\n")
        name, listener = kdtap.UNIX.prepare()
        process = subprocess.Popen([kdtap.PROGRAM, "debug", name, "-c", "version; r rip", "--hold",
                                    "-t", PATIENCE], stdout=subprocess.PIPE, text=True)
        peer = kdtap.UNIX.connect(None, None, listener)
        peer.send(b"BdsDxe: 0000 booting\r\n")
        self.assertEqual(peer.silent(1.2), b"")
        target = Target()
        target.line.peer = peer
        target.say(b"started\n")
        target.restart()
        target.todo.reverse()
        target.serve(peer)
        out, _ = process.communicate(timeout=kdtap.PATIENCE)
        target.close()
        self.assertEqual(process.returncode, 0, out)
        self.assertIn("BdsDxe: 0000 booting\n", out)
        self.assertIn("4711", out)


class Hostile(Case):
    def test_replies_that_lie(self):
        target = Target()

        def lie(union, _data):
            address, count = struct.unpack_from("<QI", union)
            return 0, struct.pack("<QII", address, count, 0xFFFFFFFF), b"\x55" * 3000

        original = target.request

        def request(kind, payload):
            if payload[:4] == struct.pack("<I", 0x3130):
                target.reply(payload, *lie(payload[16:56], b""))
            else:
                original(kind, payload)

        target.request = request
        debug = self.run_script("db 1000 L4\nlm\n", target=target)
        self.assertIn("0000000000001000  55 55 55 55 ", debug.out)

    def test_junk(self):
        target = Target()
        target.stopped = True
        target.todo = [
            lambda: target.line.send(7, b"short"),
            lambda: target.line.send(2, b"short"),
            lambda: target.line.send(3, struct.pack("<IHHII", 0x3230, 0, 0, 0xFFFFFFFF, 0)
                                     + b"ok\n"),
            lambda: target.line.send(3, struct.pack("<IHHII", 0x9999, 0, 0, 4, 0) + b"junk"),
            lambda: target.line.send(11, b"x" * 20),
            lambda: target.line.send(9, b"y" * 20),
            lambda: target.line.send(1, b"z" * 300),
            lambda: target.line.send(10, b"w" * 12),
            lambda: target.stop(0x80000003, START),
        ]
        debug = self.run_script("g\nwait stop\nr rip\n", target=target)
        self.assertIn("ok\n", debug.out)
        self.assertIn("a state change that is too short; it was dropped", debug.out)

    def test_endless_prints(self):
        target = Target()
        target.stopped = True

        def chatter():
            target.say(b"again and again\n")
            target.todo.append(chatter)

        target.todo.append(chatter)
        debug = self.run_script('g\nexpect "never said" 1\n', target=target, status=1)
        self.assertIn("not seen within 1.0 s: never said", debug.err)


class Scripts(Case):
    def test_expectation_fails(self):
        debug = self.run_script('version\n# a comment\nexpect "no such (text|thing)" 0.2\n',
                                status=1)
        self.assertRegex(debug.err, r"\.kd:3: expect: not seen within 0.2 s: no such "
                                    r"\(text\|thing\); what was said ends with: .*DebuggerData")

    def test_expect_consumes(self):
        self.run_script('echo one two one\nexpect one\nexpect two\nexpect one\n'
                        'expect-not one\nexpect-not "three" 0.1\n')
        self.run_script('echo three\nexpect-not three\n', status=1)

    def test_wrong_commands_are_found_first(self):
        for script, message in (("r\nexpet x\n", r":2: there is no command expet; did you mean "
                                                 r"expect\?"), ("try blah\n", ":1: there is no")):
            path = kdtap.new_path(".kd")
            path.write_text(script)
            done = subprocess.run([kdtap.PROGRAM, "debug", "unix:/nowhere", str(path)],
                                  capture_output=True, text=True, timeout=kdtap.PATIENCE)
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, message)

    def test_failing_command(self):
        debug = self.run_script("db 0\n", status=1)
        self.assertIn(":1: db: virtual memory at 0000000000000000 cannot be read", debug.err)

    def test_variables_and_expressions(self):
        debug = self.run_script(f"""
            set here rip+1
            set timeout 30
            ? $here
            expect {START + 1:016x}
            ? poi({BASE + 0x2000:x})-by({START:x})
            expect {BASE + 0x2100 - 0x90:016x}
            ? 0n100+0x10*(2+-1)&ff
            expect = 116$
            try ? (1
            expect a \\) is missing
            try ? 1+
            expect a value is missing
            try ? $nosuch
            expect no register nosuch
            """)
        self.assertEqual(debug.err, "")

    def test_json(self):
        debug = self.run_script("version\ntry db 0\nqq\n", "--json")
        events = [json.loads(line) for line in debug.out.splitlines()]
        self.assertEqual(events[0]["event"], "stop")
        self.assertEqual(events[0]["code"], "0x80000003")
        self.assertEqual(events[0]["address"], f"{START:#x}")
        answers = {event["command"]: event for event in events if event["event"] == "answer"}
        self.assertIn("4711", answers["version"]["text"])
        self.assertFalse(answers["try db 0"]["ok"])

    def test_standard_input(self):
        name, listener = kdtap.UNIX.prepare()
        process = subprocess.Popen([kdtap.PROGRAM, "debug", name, "-", "-t", PATIENCE], text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        target = Target()
        target.stopped = True
        target.serve(kdtap.UNIX.connect(None, None, listener))
        process.stdin.write("version\n")
        process.stdin.flush()
        while "4711" not in process.stdout.readline():
            pass
        out, _ = process.communicate("echo done\nq\n", timeout=kdtap.PATIENCE)
        target.close()
        self.assertIn("done", out)
        self.assertEqual(process.returncode, 0)


class Person(Case):
    def test_terminal_and_interrupt(self):
        master, slave = pty.openpty()
        tty.setraw(master)
        name, listener = kdtap.UNIX.prepare()
        process = subprocess.Popen([kdtap.PROGRAM, "debug", name, "-t", PATIENCE], stdin=slave,
                                   stdout=slave, stderr=slave, start_new_session=True,
                                   env={**os.environ, "TERM": "dumb"})
        os.close(slave)
        target = Target()
        target.set("rip", IDLE)
        target.stopped = True
        target.serve(kdtap.UNIX.connect(None, None, listener))
        seen = b""

        def wait_text(text):
            nonlocal seen
            limit = time.monotonic() + kdtap.PATIENCE
            while text not in seen:
                self.assertLess(time.monotonic(), limit, seen)
                if select.select([master], [], [], 0.1)[0]:
                    seen += os.read(master, 4096)
            seen = seen[seen.index(text) + len(text):]

        wait_text(b"kd> ")
        os.write(master, b"g\n")
        wait_text(b"(running) ")
        process.send_signal(signal.SIGINT)
        wait_text(b"80000003")
        wait_text(b"kd> ")
        os.write(master, b"nonsense\n")
        wait_text(b"there is no command nonsense")
        wait_text(b"kd> ")
        os.write(master, b"q\n")
        self.assertEqual(process.wait(timeout=kdtap.PATIENCE), 0)
        target.close()
        os.close(master)


class Typing(Case):
    """Lines edited at a terminal; the screen is what a person would see."""

    def setUp(self):
        if os.environ.get("KDLENS_LIBEDIT", "1") != "1":
            self.skipTest("built without libedit (KDLENS_LIBEDIT=OFF)")
        self.home = kdtap.new_path()
        self.home.mkdir()
        self.history = self.home / "state" / "kdlens" / "debug_history"

    def start(self, **keywords) -> Terminal:
        name, listener = kdtap.UNIX.prepare()
        terminal = Terminal([kdtap.PROGRAM, "debug", name, "-t", PATIENCE],
                            {"HOME": str(self.home), "XDG_STATE_HOME": str(self.home / "state")},
                            **keywords)
        self.target = Target()
        self.target.set("rip", IDLE)
        self.target.stopped = True
        self.target.serve(kdtap.UNIX.connect(None, None, listener))
        listener.close()
        self.addCleanup(self.target.close)
        return terminal

    def at_prompt(self) -> Terminal:
        terminal = self.start()
        self.enterContext(terminal)
        terminal.wait(lambda screen: screen.last == "kd> ", "the prompt")
        return terminal

    def run_line(self, terminal: Terminal, *keys: str, prompt: str = "kd> "):
        """Types a line; waits for its answer and the next prompt."""
        rows = len(terminal.screen.rows)
        terminal.type(*keys, ENTER)
        terminal.wait(lambda screen: len(screen.rows) > rows and screen.last == prompt,
                      f"{prompt!r} after {keys}")

    def running(self) -> Terminal:
        terminal = self.at_prompt()
        self.run_line(terminal, "g", prompt="(running) ")
        return terminal

    def say(self, terminal: Terminal, text: str, condition, what: str):
        self.target.say(text.encode())
        terminal.wait(condition, what)

    def test_cursor_and_insert(self):
        terminal = self.at_prompt()
        terminal.type(" rp", LEFT, "i", HOME, "r")
        terminal.wait(lambda screen: screen.last == "kd> r rip" and screen.before_cursor == "kd> r",
                      "what was put in")
        self.run_line(terminal)
        self.assertEqual(terminal.screen.lines[-3:], ["kd> r rip", f"rip={IDLE:016x}", "kd>"])

    def test_history(self):
        terminal = self.at_prompt()
        self.run_line(terminal, "? 1+1")
        self.run_line(terminal, "echo two")
        terminal.type(UP, UP)
        terminal.wait(lambda screen: screen.last == "kd> ? 1+1", "the first line")
        terminal.type(DOWN)
        terminal.wait(lambda screen: screen.last == "kd> echo two", "the second line")
        self.run_line(terminal)
        self.run_line(terminal, "  ")
        terminal.type("q", ENTER)
        self.assertEqual(terminal.end(), 0)
        self.assertEqual(self.history.read_text(), "? 1+1\necho two\nq\n")
        self.assertEqual(self.history.stat().st_mode & 0o777, 0o600)
        terminal = self.at_prompt()
        terminal.type(UP, UP, UP)
        terminal.wait(lambda screen: screen.last == "kd> ? 1+1", "a line of the session before")

    def test_history_is_bounded_and_not_obeyed(self):
        self.history.parent.mkdir(parents=True)
        lines = [f"echo {number:>90}" for number in range(4000)] + ["echo \033[2Jcleared"]
        self.history.write_text("\n".join(lines) + "\n")
        terminal = self.at_prompt()
        terminal.type(UP)
        terminal.wait(lambda screen: screen.last.endswith(" 3999"), "the last good line")
        kept = self.history.read_text().splitlines()
        self.assertLess(self.history.stat().st_size, 200 << 10)
        self.assertGreater(len(kept), 1000)
        self.assertEqual(kept, lines[-len(kept):])
        self.assertEqual(self.history.stat().st_mode & 0o777, 0o600)

    def test_history_that_is_a_pipe(self):
        self.history.parent.mkdir(parents=True)
        os.mkfifo(self.history)
        terminal = self.at_prompt()
        self.run_line(terminal, "echo one")
        terminal.type(UP)
        terminal.wait(lambda screen: screen.last == "kd> echo one", "a line from memory")

    def test_prints_appear_above_the_line(self):
        terminal = self.running()
        terminal.type("bp rip", LEFT, LEFT)
        terminal.wait(lambda screen: screen.last == "(running) bp rip", "the line")
        self.say(terminal, "one\ntwo\n", lambda screen: screen.last == "(running) bp rip" and
                 screen.lines[-3:-1] == ["one", "two"], "two lines above")
        self.assertEqual(terminal.screen.before_cursor, "(running) bp r")
        self.assertEqual(terminal.screen.lines[-4], "kd> g")
        terminal.type("X")
        terminal.wait(lambda screen: screen.last == "(running) bp rXip", "a key after that")

    def test_prints_amid_a_line_go_on(self):
        terminal = self.running()
        terminal.type("abc")
        self.say(terminal, "Loading", lambda screen: screen.lines[-2:] ==
                 ["Loading", "(running) abc"], "the beginning")
        self.say(terminal, " a driver", lambda screen: screen.lines[-2:] ==
                 ["Loading a driver", "(running) abc"], "its end")
        text = "." * 70
        self.say(terminal, text + "\n", lambda screen: screen.lines[-3:] ==
                 [("Loading a driver" + text)[:80], ("Loading a driver" + text)[80:],
                  "(running) abc"], "a row more")
        self.say(terminal, "=" * 80, lambda screen: screen.lines[-2:] ==
                 ["=" * 80, "(running) abc"], "a full row")
        self.say(terminal, "end\n", lambda screen: screen.lines[-3:] ==
                 ["=" * 80, "end", "(running) abc"], "what follows a full row")

    def test_long_line_is_put_back(self):
        terminal = self.running()
        line = "echo " + "0123456789" * 16
        drawn = "(running) " + line
        rows = [drawn[at:at + 80] for at in range(0, len(drawn), 80)]
        terminal.type(line)
        terminal.wait(lambda screen: screen.lines[-3:] == rows, "three rows")
        self.say(terminal, "said\n", lambda screen: screen.lines[-5:] == ["kd> g", "said", *rows],
                 "the text above three rows")
        terminal.type(HOME)
        terminal.wait(lambda screen: screen.before_cursor == "(running) ", "the line's beginning")
        self.say(terminal, "more\n", lambda screen: screen.lines[-5:] == ["said", "more", *rows],
                 "the text above them, from their first row")

    def test_interrupt_drops_the_line_and_then_breaks_in(self):
        terminal = self.running()
        terminal.type("some text")
        terminal.wait(lambda screen: screen.last == "(running) some text", "the line")
        terminal.type(INTERRUPT)
        terminal.wait(lambda screen: screen.last == "(running) ", "an empty line")
        terminal.type("echo here", ENTER)
        terminal.wait(lambda screen: screen.lines[-2] == "here", "the answer")
        self.assertFalse(self.target.stopped or self.target.break_pending)
        terminal.wait(lambda screen: screen.last == "(running) ", "the prompt")
        terminal.type(INTERRUPT)
        terminal.wait(lambda screen: screen.last == "kd> ", "the stop")
        self.assertTrue(self.target.stopped)
        self.assertIn("80000003", terminal.screen.lines[-4] + terminal.screen.lines[-3])

    def test_prompt_changes_below_a_line_being_typed(self):
        terminal = self.running()
        terminal.type("db r")
        terminal.wait(lambda screen: screen.last == "(running) db r", "the line")
        self.target.break_pending = True
        terminal.wait(lambda screen: screen.last == "kd> db r", "the other prompt")
        self.assertNotIn("(running) db r", terminal.screen.lines)

    def test_interrupt_of_a_command(self):
        terminal = self.at_prompt()
        terminal.type("wait load nothing 1000", ENTER)
        kdtap.wait_for(lambda: self.cooked(terminal), "the terminal as it was")
        message = "error: wait: interrupted"
        limit = time.monotonic() + kdtap.PATIENCE
        # One that comes before the command has begun finds nothing to interrupt; one that comes
        # too soon after another takes the answer away, as terminals do with what nobody has read.
        while message not in terminal.screen.lines and time.monotonic() < limit:
            terminal.type(INTERRUPT)
            patience = time.monotonic() + 2
            while message not in terminal.screen.lines and time.monotonic() < patience:
                terminal.read(0.1)
        terminal.wait(lambda screen: message in screen.lines and screen.last == "kd> ",
                      "the prompt after it")

    def cooked(self, terminal: Terminal) -> bool:
        return bool(termios.tcgetattr(terminal.slave)[3] & termios.ICANON)

    def test_end_leaves_the_target_running_and_the_terminal_as_it_was(self):
        terminal = self.at_prompt()
        terminal.type("text", END)
        terminal.wait(lambda screen: screen.last == "kd> text", "the line")
        terminal.type(INTERRUPT, END)
        self.assertEqual(terminal.end(), 0)
        self.assertFalse(self.target.stopped)
        self.assertEqual(termios.tcgetattr(terminal.slave), terminal.settings)
        self.assertEqual(terminal.screen.column, 0)

    def test_signal_leaves_the_terminal_as_it_was(self):
        terminal = self.at_prompt()
        terminal.type("text")
        terminal.wait(lambda screen: screen.last == "kd> text", "the line")
        terminal.process.send_signal(signal.SIGTERM)
        self.assertEqual(terminal.end(), 1)
        self.assertEqual(termios.tcgetattr(terminal.slave), terminal.settings)
        self.assertEqual(terminal.screen.lines[-2:], ["kdlens debug: ended from outside", ""])
        self.assertFalse(self.target.stopped)

    def test_half_a_key_does_not_hold_up_prints(self):
        terminal = self.running()
        terminal.type("ab", "\033")
        terminal.wait(lambda screen: screen.last == "(running) ab", "the line")
        self.say(terminal, "said\n", lambda screen: screen.lines[-2:] ==
                 ["said", "(running) ab"], "the text")
        terminal.type("[D", "X")
        terminal.wait(lambda screen: screen.last == "(running) aXb", "the rest of the key")

    def test_completion(self):
        terminal = self.at_prompt()
        terminal.type("vers", TAB)
        terminal.wait(lambda screen: screen.last == "kd> version ", "a command")
        terminal.type(INTERRUPT, "expect", TAB)
        terminal.wait(lambda screen: screen.lines[-2:] == ["expect      expect-not", "kd> expect"],
                      "two commands")
        terminal.type("-", TAB)
        terminal.wait(lambda screen: screen.last == "kd> expect-not ", "the longer one")
        terminal.type(INTERRUPT, "r r", TAB)
        terminal.wait(lambda screen: screen.lines[-3].startswith("rax  rbx  rcx  rdx") or
                      screen.lines[-2].startswith("rax  rbx  rcx  rdx"), "registers")
        terminal.type("i", TAB)
        terminal.wait(lambda screen: screen.last == "kd> r rip", "a register")
        self.run_line(terminal)
        self.assertEqual(terminal.screen.lines[-2], f"rip={IDLE:016x}")
        terminal.type("try d", "w ", "a", TAB, "1")
        terminal.wait(lambda screen: screen.last == "kd> try dw a1", "nothing for a number")

    def test_suspend_without_job_control_goes_on(self):
        terminal = self.at_prompt()
        terminal.type("ech", SUSPEND, "o x")
        terminal.wait(lambda screen: screen.last == "kd> echo x", "the line")

    def test_output_that_is_no_terminal_is_plain(self):
        path = kdtap.new_path()
        with path.open("wb") as out, self.start(stdout=out) as terminal:
            kdtap.wait_for(lambda: b"kd> " in path.read_bytes(), "the prompt")
            terminal.type("? 2+3\nq\n")
            self.assertEqual(terminal.end(), 0)
        self.assertIn(b"= 5\n", path.read_bytes())
        self.assertNotIn(b"\033", path.read_bytes())
        self.assertFalse(self.history.exists())


if __name__ == "__main__":
    unittest.main()
