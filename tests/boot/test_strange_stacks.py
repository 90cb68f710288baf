# test_strange_stacks.py - call stacks with frames of all kinds, and stacks that are none.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The program's own sources (stacks/) say which function called which. That its frames are the ones
that are meant, llvm-readobj says of the image; the emulator's memory, that a return address is one.
"""
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import agentsession
import guardedprogram
from agentsession import IMAGES, Image, Session

AGENT_FRAMES = 32  # the agent's bound
FRAMES = 64  # that of bt
PREFERRED = 0x140000000  # the linker's base of an image
ABSENT = 0xFFFFFFFF80000000
ROW = r"^  ([0-9a-f]{2}) ([0-9a-f]{16}) (\S+)( \(guess\))?\r?\n$"


def missing() -> str:
    for tool in ("llvm-readobj", "llvm-symbolizer"):
        if not shutil.which(tool):
            return f"no {tool} (Debian package llvm)"
    return guardedprogram.missing()


def setUpModule():
    reason = missing()
    if reason:
        raise unittest.SkipTest(reason)
    scratch = Path(tempfile.mkdtemp(prefix="kdstrange"))
    unittest.addModuleCleanup(shutil.rmtree, scratch, True)
    image = guardedprogram.build(scratch)
    globals()["SCRATCH"] = scratch
    globals()["PROGRAM"] = Image(image)
    globals()["SAVED"] = agentsession.boot(scratch, {
        "EFI/BOOT/BOOTX64.EFI": IMAGES / "kdboot.efi", "kdagent.efi": IMAGES / "kdagent.efi",
        "guarded.efi": image, "kdagent.cfg": b"chain = \\guarded.efi\nwait = forever\n"})


class Tables(unittest.TestCase):
    """The frames are what the test is about."""

    def test_frames(self):
        said = subprocess.run(["llvm-readobj", "--unwind", SCRATCH / "guarded.efi"], check=True,
                              capture_output=True, text=True).stdout
        rows = {}
        for row in said.split("RuntimeFunction {")[1:]:
            start = re.search(r"StartAddress: \(0x([0-9A-F]+)\)", row)
            rows[int(start[1], 16) - PREFERRED] = row

        def codes(function: str) -> str:
            return rows[PROGRAM.names[function]]

        self.assertNotIn(PROGRAM.names["DeepLeaf"], rows)
        self.assertRegex(codes("DeepXmm"), r"SAVE_XMM128 reg=XMM6[\s\S]*XMM7|XMM7[\s\S]*XMM6")
        self.assertRegex(codes("DeepAlloca"), r"SET_FPREG reg=RBP")
        self.assertGreater(int(re.search(r"ALLOC_LARGE size=(\d+)", codes("DeepPage"))[1]), 4096)
        self.assertGreater(int(re.search(r"ALLOC_LARGE size=(\d+)", codes("DeepHuge"))[1]),
                           512 << 10)
        self.assertRegex(codes("DeepSaved"), r"SAVE_XMM128[\s\S]*SAVE_NONVOL[\s\S]*SAVE_NONVOL")
        self.assertGreaterEqual(codes("DeepPushes").count("PUSH_NONVOL"), 7)
        self.assertRegex(codes("DeepSwitch"), r"SET_FPREG reg=RBP")
        chained = [row for row in rows.values() if re.search(r"Flags \[ \(0x4\)", row)]
        self.assertEqual(len(chained), 1)
        self.assertIn(f"StartAddress: (0x{PREFERRED + PROGRAM.names['DeepChained']:X})",
                      chained[0].split("Chained {")[1])


class Walk(unittest.TestCase):
    def at_menu(self, *options):
        self.session = Session(SAVED)
        self.addCleanup(self.session.close)
        debugger = self.session.debugger(*options)
        while debugger.wait("stop|prompt")["event"] == "stop":
            if debugger.seen == len(debugger.events):
                debugger.command("g")
        return debugger

    def walk(self, debugger, words: str) -> tuple:
        """The fault's stack: frames of bt, what bt says of its end, lines of the agent."""
        start = len(debugger.events)
        debugger.stop(f"reply {words}")
        debugger.command("bt")
        return self.told(debugger.events[start:])

    def told(self, events: list) -> tuple:
        ends = [event for event in events if event["event"] == "stack"]
        return ([event for event in events if event["event"] == "frame" and not event["inline"]],
                ends[-1]["end"] if ends else "",
                [event["text"] for event in events if event["event"] == "print"])

    def rows(self, said: list) -> list:
        """(address, place, guessed) of the agent's lines."""
        found = [re.search(ROW, line) for line in said]
        rows = [row for row in found if row]
        self.assertEqual([int(row[1], 16) for row in rows], list(range(len(rows))))
        return [(int(row[2], 16), row[3], bool(row[4])) for row in rows]

    def goes_on(self, debugger, said: str):
        """Over the faulting instruction, as without a debugger's look at the stack."""
        debugger.command("r rip=rip+2")
        debugger.command("gh")
        debugger.wait("print|prompt", said)

    def names(self, frames: list) -> list:
        return [re.split(r"\+0x| ", frame["site"])[0] for frame in frames]

    def check_deep(self, frames: list):
        """On the stack, each above the one that it called, unless the stack changes."""
        for frame in frames[1:len(guardedprogram.DEEP) + 2]:
            place = int(frame["sp"], 16) - 8
            returns = int.from_bytes(self.session.machine.memory(place, 8), "little")
            self.assertEqual(returns, int(frame["address"], 16))
        self.assertFalse([frame for frame in frames[:len(guardedprogram.DEEP) + 2]
                          if frame["guessed"]])
        self.assertEqual([frame["caller"] for frame in frames[:2]], ["leaf", "table"])

    def test_deep(self):
        debugger = self.at_menu("-y", str(SCRATCH))
        frames, _, _ = self.walk(debugger, "debugger deep")
        wanted = [f"guarded!{name}" for name in (*guardedprogram.DEEP, "EfiMain")]
        self.assertEqual(self.names(frames)[:len(wanted) + 1], [*wanted, "DxeCore"])
        self.check_deep(frames)
        self.goes_on(debugger, "guarded>")

    def test_deep_without_the_pdb(self):
        """Exported functions have their names, in the agent's lines, too; of the others each is at
        home in its own function."""
        debugger = self.at_menu()
        frames, _, said = self.walk(debugger, "debugger deep")
        base = int(next(event["text"].split()[1] for event in debugger.events
                        if event["event"] == "load" and event["module"] == "guarded"), 16)
        wanted = []
        for name, frame in zip(guardedprogram.DEEP, frames, strict=False):
            rva = int(frame["address"], 16) - base
            offset = rva - PROGRAM.names[name]
            self.assertTrue(0 <= offset < 0x100, f"{name}: {offset:x}")
            place = f"guarded!{name}+0x{offset:x}" if name in guardedprogram.EXPORTS \
                else f"guarded+0x{rva:x}"
            wanted.append(place.removesuffix("!DeepLeaf+0x0") or place)
        self.assertEqual(wanted[0], "guarded")
        wanted[0] = "guarded!DeepLeaf"
        self.assertEqual([frame["site"] for frame in frames[:len(wanted)]], wanted)
        rows = self.rows(said)
        self.assertEqual([address for address, _, _ in rows],
                         [int(frame["address"], 16) for frame in frames][:len(rows)])
        self.assertEqual([place.removesuffix("+0x0") for _, place, _ in rows[:len(wanted)]],
                         wanted)
        self.assertEqual(len(rows), AGENT_FRAMES)
        self.assertIn("no further: more frames than asked for", said[-1])
        self.check_deep(frames)

    def test_throw(self):
        """Nobody takes it: the program's end is a fault of its own, above what it threw."""
        debugger = self.at_menu("-y", str(SCRATCH))
        frames, _, _ = self.walk(debugger, "debugger throw")
        wanted = [f"guarded!{name}" for name in (*guardedprogram.THROW, "EfiMain")]
        self.assertEqual(self.names(frames)[:len(wanted)], wanted)
        debugger.command("gn")
        debugger.wait("print", "guarded: recovered")

    def test_noise(self):
        """The first word of noise is not an address of anything: the end."""
        debugger = self.at_menu("-y", str(SCRATCH))
        frames, end, said = self.walk(debugger, "debugger noise")
        self.assertEqual(self.names(frames[:1]), ["guarded!StrayFault"])
        self.assertEqual((len(frames), end), (2, "this address is in no module"))
        self.assertEqual([place == "?" for _, place, _ in self.rows(said)], [False, True])
        self.goes_on(debugger, "guarded: stray went on")

    def test_endless(self):
        debugger = self.at_menu("-y", str(SCRATCH))
        frames, end, said = self.walk(debugger, "debugger endless")
        self.assertEqual(self.names(frames), ["guarded!StrayFault"] +
                         ["guarded!DeepSaved"] * (FRAMES - 1))
        self.assertIn("there are more frames", end)
        self.assertEqual(len(self.rows(said)), AGENT_FRAMES)
        self.assertIn("no further: more frames than asked for", said[-1])
        debugger.command("bt 400")  # as many as are asked for, while there is stack
        events = [event for event in debugger.events if event["event"] == "stack"]
        self.assertGreater(events[-1]["frames"], 4 * FRAMES)
        self.goes_on(debugger, "guarded: stray went on")

    def test_circle(self):
        debugger = self.at_menu("-y", str(SCRATCH))
        frames, end, said = self.walk(debugger, "debugger circle")
        self.assertEqual(self.names(frames), ["guarded!StrayFault"] + ["guarded!DeepCircle"] * 2)
        self.assertEqual(end, "the next frame is not on the stack")
        self.assertEqual(len(self.rows(said)), len(frames))
        self.assertIn("no further: the next frame is not on the stack", said[-1])
        self.goes_on(debugger, "guarded: stray went on")

    def test_unmapped(self):
        """Not even the processor can push: a double fault, and no stack to look at."""
        debugger = self.at_menu()
        frames, end, said = self.walk(debugger, "debugger unmapped")
        self.assertEqual(debugger.register("rsp"), ABSENT)
        self.assertEqual((len(frames), end), (1, "the stack cannot be read"))
        self.assertRegex(said[0], "^kdagent: fault, vector 08")
        self.assertEqual(len(self.rows(said)), 1)
        self.assertIn("no further: the stack cannot be read", said[-1])
        for address in ("0", "8000000000000", "fffffffffffffff8"):  # and others as bad
            debugger.command(f"r rsp={address}")
            start = len(debugger.events)
            debugger.command("bt")
            frames, end, _ = self.told(debugger.events[start:])
            self.assertLessEqual(len(frames), 2)
            self.assertTrue(end)

    def test_no_address(self):
        """rip 0: no function, so the stack is searched, and what comes of that is marked."""
        debugger = self.at_menu()
        debugger.stop("reply debugger guarded")
        rip = debugger.register("rip")
        debugger.command("r rip=0")
        start = len(debugger.events)
        debugger.command("bt")
        frames, _, _ = self.told(debugger.events[start:])
        self.assertEqual(int(frames[0]["address"], 16), 0)
        self.assertTrue(all(frame["guessed"] for frame in frames[1:]))
        self.assertRegex(frames[1]["site"], "^guarded!GuardedCall")
        debugger.command(f"r rip={rip:x}")
        self.goes_on(debugger, "guarded: went on")
        debugger.wait("prompt", "guarded>")
        start = len(debugger.events)
        debugger.command("reply zero")
        debugger.wait("prompt", "guarded>")
        rows = self.rows(self.told(debugger.events[start:])[2])
        self.assertEqual(rows[0], (0, "?", False))
        self.assertTrue(rows[1:] and all(guessed for _, _, guessed in rows[1:]))


if __name__ == "__main__":
    program = unittest.main(exit=False)
    if program.result.skipped and not program.result.testsRun:
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())
