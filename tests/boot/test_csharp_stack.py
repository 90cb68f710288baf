# test_csharp_stack.py - bt in a C# program that faults under the agent: its frames have names.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The C# example is built as tests/rt/test_aot_csharp.py builds it: with NativeAOT's metadata,
without a PDB. Which names must come, and in which order, is the call chain in Hello.cs; where a
function begins is in the linker's map. Skipped when the program cannot be built here.
"""
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import agentsession
import kdtap
from agentsession import IMAGES, PATIENCE, REPOSITORY, Session

sys.path.insert(0, str(REPOSITORY / "tests/rt"))
import aotbuild
import test_aot_csharp as example

# Innermost first, with the linker's symbols: Main measures a Culprit, whose Area() reads what is
# not there through a Reader<Culprit>. Reference types share that code, so its name has T. By
# ManagedMain the entry in start.c calls Main.
CALLS = [("Hello.Reader`1<T>.Fetch", "Hello_Hello_Reader_1<System___Canon>__Fetch"),
         ("Hello.Reader`1<T>.Read", "Hello_Hello_Reader_1<System___Canon>__Read"),
         ("Hello.Culprit.Area", "Hello_Hello_Culprit__Area"),
         ("Hello.Program.Measure", "Hello_Hello_Program__Measure"),
         ("Hello.Program.Main", "ManagedMain")]
FAULT = "Access violation - code c0000005"
LOADED = r"ModLoad: ([0-9a-f]{16}) [0-9a-f]{16} \\hello\.efi"
PRINTED = r"^  ([0-9a-f]{2}) ([0-9a-f]{16}) (\S+)( \(guess\))?\r?\n$"  # by the agent
FRAME = r"^([0-9a-f]{2}) ([0-9a-f]{16}) ([0-9a-f]{16}) (\? )?(\S+)( \(interrupted\))?$"


def setUpModule():
    reason = agentsession.missing()
    if reason:
        raise unittest.SkipTest(reason)
    example.setUpModule()  # what it builds goes with this module
    scratch = Path(tempfile.mkdtemp(prefix="kdcsharp"))
    unittest.addModuleCleanup(shutil.rmtree, scratch, True)
    globals()["SAVED"] = agentsession.boot(scratch, {
        "EFI/BOOT/BOOTX64.EFI": IMAGES / "kdboot.efi",
        "kdagent.efi": IMAGES / "kdagent.efi",
        "hello.efi": example.image.path,
        "kdagent.cfg": b"chain = \\hello.efi\narguments = fault\nwait = forever\n",
    })


class Stack(unittest.TestCase):
    def setUp(self):
        self.session = Session(SAVED)
        self.addCleanup(self.session.close)

    def check(self, base: int, frames: list):
        """frames: (stack pointer, address, call site) of each."""
        symbols = example.image.symbols()
        self.assertGreater(len(frames), len(CALLS) + 1, frames)
        self.assertEqual(
            [site for _, _, site in frames[:len(CALLS)]],
            [f"hello!{name}+0x{address - base - symbols[symbol]:x}"
             for (name, symbol), (_, address, _) in zip(CALLS, frames, strict=False)])
        self.check_entry(base, frames[len(CALLS):], symbols)
        for sp, address, _ in frames[1:len(CALLS) + 1]:
            # As the emulator has it: the firmware maps memory one to one.
            returns = int.from_bytes(self.session.machine.memory(sp - 8, 8), "little")
            self.assertEqual(returns, address)

    def check_entry(self, base: int, frames: list, symbols: dict):
        """Main's caller is C, which nothing names without a PDB; its caller is the firmware."""
        _, address, site = frames[0]
        self.assertEqual(site, f"hello+0x{address - base:x}")
        below = [(rva, name) for name, rva in symbols.items() if rva < address - base]
        self.assertEqual(max(below)[1], "EfiMain")
        self.assertRegex(frames[1][2], r"^DxeCore\+0x")

    def check_printed(self, base: int, lines: list):
        """What the agent printed before the stop has the same names."""
        self.assertRegex(lines[0], "^kdagent: fault, vector 0d")  # not canonical
        rows = [row.groups() for row in (re.search(PRINTED, line) for line in lines) if row]
        self.assertEqual([int(row[0], 16) for row in rows], list(range(len(rows))))
        self.assertFalse([row for row in rows[:len(CALLS) + 2] if row[3]], "guessed")
        symbols = example.image.symbols()
        self.assertEqual(
            [place for _, _, place, _ in rows[:len(CALLS)]],
            [f"hello!{name}+0x{int(address, 16) - base - symbols[symbol]:x}"
             for (name, symbol), (_, address, _, _) in zip(CALLS, rows, strict=False)])
        self.check_entry(base, [(0, int(address, 16), place)
                                for _, address, place, _ in rows[len(CALLS):]], symbols)

    def test_text(self):
        done = subprocess.run(
            [kdtap.PROGRAM, "debug", self.session.end, "-", "-t", str(PATIENCE)],
            input="g\nwait stop\nbt\nqq\n", capture_output=True, text=True, timeout=2 * PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr)
        said = done.stdout
        self.assertIn(FAULT, said)
        base = int(re.search(LOADED, said)[1], 16)
        rows = re.findall(FRAME, said, re.M)
        self.assertEqual([int(row[0], 16) for row in rows], list(range(len(rows))))
        self.assertFalse([row for row in rows[:len(CALLS) + 2] if row[3]], "guessed")
        self.check(base, [(int(row[1], 16), int(row[2], 16), row[4]) for row in rows])

    def test_json(self):
        debugger = self.session.debugger()
        debugger.command("g")
        base = int(debugger.wait("load", LOADED)["address"], 16)
        fault = debugger.wait("stop", FAULT)
        self.check_printed(base, [event["text"] for event in debugger.events
                                  if event["event"] == "print"])
        answer = debugger.command("bt")
        frames = [event for event in debugger.events if event["event"] == "frame"]
        end, = [event for event in debugger.events if event["event"] == "stack"]
        self.assertEqual([frame["number"] for frame in frames], list(range(end["frames"])))
        self.assertEqual(frames[0]["address"], fault["address"])
        for frame in frames[:len(CALLS) + 1]:
            self.assertEqual((frame["caller"], frame["guessed"], frame["inline"]),
                             ("table", False, False))
            self.assertEqual(frame["interrupted"], frame is frames[0])
            self.assertIn(frame["site"], answer)
        self.check(base, [(int(frame["sp"], 16), int(frame["address"], 16), frame["site"])
                          for frame in frames])


if __name__ == "__main__":
    aotbuild.main()
