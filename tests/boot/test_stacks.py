# test_stacks.py - the call stack that the agent shows with a fault, against the PDB.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""kdexample faults on demand. The agent knows no PDB; llvm-symbolizer says which functions the
places it prints are in.
"""
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import agentsession
import machine
from agentsession import IMAGES, PATIENCE, Session

FAULT = r"^kdagent: fault, vector ([0-9a-f]{2}) at ([0-9a-f]{16}), address ([0-9a-f]{16}); " \
        r"call stack:\r?\n$"
FRAME = r"^  ([0-9a-f]{2}) ([0-9a-f]{16}) (\S+?)\+0x([0-9a-f]+)( \(guess\))?\r?\n$"
ABSENT = 0xFFFFFFFF80000000  # where kdexample's word "write" writes
PREFERRED = 0x140000000  # the linker's base of an image
WORDS = ["KdExampleWriteFault", "do_write", "run_word", "run_words"]


def missing() -> str:
    if not shutil.which("llvm-symbolizer"):
        return "no llvm-symbolizer (Debian package llvm)"
    return agentsession.missing()


def setUpModule():
    reason = missing()
    if reason:
        raise unittest.SkipTest(reason)
    scratch = Path(tempfile.mkdtemp(prefix="kdstacks"))
    unittest.addModuleCleanup(shutil.rmtree, scratch, True)
    globals()["SCRATCH"] = scratch
    globals()["SAVED"] = agentsession.boot(scratch, files("wait = forever\n"))


def files(settings: str) -> dict:
    return {"EFI/BOOT/BOOTX64.EFI": IMAGES / "kdboot.efi",
            "kdagent.efi": IMAGES / "kdagent.efi",
            "kdexample.efi": IMAGES / "kdexample.efi",
            "kdagent.cfg": f"chain = \\kdexample.efi\n{settings}".encode()}


def functions(rva: int) -> list:
    """The function of kdexample that this place is in, behind those inlined into it."""
    said = subprocess.run(["llvm-symbolizer", "-f", f"--obj={IMAGES / 'kdexample.efi'}",
                           hex(PREFERRED + rva)], check=True, capture_output=True, text=True)
    return said.stdout.split("\n")[0::2][:-1]


def frames_of(lines: list) -> list:
    """(rip, module, offset, guessed) of each line that is a frame, in their order."""
    found = [re.search(FRAME, line) for line in lines]
    frames = [frame.groups() for frame in found if frame]
    assert [int(frame[0], 16) for frame in frames] == list(range(len(frames))), lines
    return [(int(frame[1], 16), frame[2], int(frame[3], 16), bool(frame[4])) for frame in frames]


def names_in_example(frames: list) -> list:
    """Functions of kdexample on the stack, innermost first; they follow each other."""
    names = []
    for number, (_, module, offset, _) in enumerate(frames):
        if module != "kdexample":
            break
        names += functions(offset - (number > 0))
    return [name.split("(")[0] for name in names if name]


class Shown(unittest.TestCase):
    def at_menu(self, saved=None):
        session = Session(saved or SAVED)
        self.addCleanup(session.close)
        debugger = session.debugger()
        debugger.command("g")
        while debugger.wait("stop|prompt")["event"] == "stop":
            if debugger.seen == len(debugger.events):
                debugger.command("g")
        return debugger

    def printed(self, debugger) -> list:
        return [event["text"] for event in debugger.events if event["event"] == "print"]

    def test_before_the_stop(self):
        debugger = self.at_menu()
        debugger.stop("reply write")
        lines = self.printed(debugger)
        vector, rip, address = re.search(FAULT, lines[0]).groups()
        self.assertEqual([int(vector, 16), int(rip, 16), int(address, 16)],
                         [14, debugger.register("rip"), ABSENT])
        frames = frames_of(lines[1:])
        self.assertLessEqual(len(frames), 32)
        names = names_in_example(frames)
        self.assertEqual(names[:4], WORDS)
        self.assertEqual(names[-1], "EfiMain")
        base = int(next(event["text"].split()[1] for event in debugger.events
                        if event["event"] == "load" and event["module"] == "kdexample"), 16)
        for rip, module, offset, guessed in frames[:len(WORDS)]:
            if module == "kdexample":
                self.assertEqual((rip - offset, guessed), (base, False))
        self.assertIn("DxeCore", [frame[1] for frame in frames])

        for repair in ("r rip=rip+2", "gh"):  # and the program goes on as without
            debugger.command(repair)
        debugger.wait("print", "write fault survived: done")

    def test_not_for_breakpoints(self):
        debugger = self.at_menu()
        debugger.stop("reply int3")
        debugger.command("r rip=rip+1")
        debugger.command("gh")
        debugger.wait("print", "int3 survived")
        self.assertFalse([line for line in self.printed(debugger) if "kdagent" in line])

    def test_switched_off(self):
        folder = Path(tempfile.mkdtemp(dir=SCRATCH))
        debugger = self.at_menu(agentsession.boot(folder, files("wait = forever\nstack = off\n")))
        debugger.stop("reply write")
        self.assertEqual(self.printed(debugger), [])

    def test_wild_stack(self):
        """There is nothing to walk; the fault is a stop as ever."""
        debugger = self.at_menu()
        debugger.stop("reply stack")
        lines = self.printed(debugger)
        self.assertEqual(int(re.search(FAULT, lines[0])[1], 16), 8)
        self.assertEqual(len(frames_of(lines[1:])), 1)
        self.assertIn("no further: the stack cannot be read", lines[-1])


class Without(unittest.TestCase):
    def test_debugger(self):
        """On the firmware's console, when nobody answered within "wait"."""
        path = SCRATCH / "console"
        esp = machine.make_esp(SCRATCH / "console.img", files(
            "arguments = write\nbreak = no\nwait = 1\n"))
        guest = machine.Machine(esp=esp, extra=(
            "-chardev", f"socket,id=console,path={path},server=on,wait=off",
            "-serial", "chardev:console"))
        self.addCleanup(guest.close)
        line = socket.socket(socket.AF_UNIX)
        self.addCleanup(line.close)
        line.connect(str(path))
        line.settimeout(PATIENCE)
        seen, end = "", time.monotonic() + PATIENCE
        while not re.search(r"kdagent: fault.*DxeCore\+0x[0-9a-f]+\r?\n", seen, re.S):
            self.assertLess(time.monotonic(), end, seen[-2000:])
            seen += line.recv(4096).decode("latin-1")
        seen = re.sub(r"\x1b\[[0-9;=]*[a-zA-Z]", "", seen)
        lines = seen[seen.index("kdagent: fault"):].splitlines()
        frames = frames_of([line + "\n" for line in lines])
        self.assertEqual(names_in_example(frames)[:len(WORDS)], WORDS)


if __name__ == "__main__":
    program = unittest.main(exit=False)
    if program.result.skipped and not program.result.testsRun:
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())
