# test_guarded.py - a program's own fault handler beside the debugger, as the policy says.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""See guardedprogram.py for the program."""
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import agentsession
import guardedprogram
from agentsession import IMAGES, Session

ACCESS = 0xC0000005


def setUpModule():
    reason = guardedprogram.missing()
    if reason:
        raise unittest.SkipTest(reason)
    scratch = Path(tempfile.mkdtemp(prefix="kdguarded"))
    unittest.addModuleCleanup(shutil.rmtree, scratch, True)
    image = guardedprogram.build(scratch)
    globals()["GUARDED"] = agentsession.Image(image)
    globals()["SAVED"] = agentsession.boot(scratch, {
        "EFI/BOOT/BOOTX64.EFI": IMAGES / "kdboot.efi", "kdagent.efi": IMAGES / "kdagent.efi",
        "guarded.efi": image, "kdagent.cfg": b"chain = \\guarded.efi\nwait = forever\n"})


class Policy(unittest.TestCase):
    def setUp(self):
        self.session = Session(SAVED)
        self.addCleanup(self.session.close)
        self.debugger = debugger = self.session.debugger()
        debugger.command("g")
        while debugger.wait("stop|prompt")["event"] == "stop":
            if debugger.seen == len(debugger.events):
                debugger.command("g")

    def stops(self) -> int:
        return sum(event["event"] == "stop" for event in self.debugger.events)

    def say(self, word: str):
        """A word that stops nothing; until it has been done."""
        self.debugger.command(f"reply {word}")
        self.debugger.wait("prompt", "guarded>")

    def stop(self, run: str, chance: str):
        event = self.debugger.stop(run)
        self.assertEqual(int(event["code"], 16), ACCESS)
        self.assertIn(chance, event["text"])

    def counted(self) -> int:
        return sum(event["event"] == "print" and event["text"] == "guarded: caught\n"
                   for event in self.debugger.events)

    def test_handler_first(self):
        before = self.stops()
        for count in range(1, 4):
            self.say("guarded")
            self.assertEqual((self.counted(), self.stops()), (count, before))

    def test_handler_first_takes_nothing(self):
        """Nobody guards it: both chances are the debugger's."""
        self.stop("reply bare", "first chance")
        self.stop("gn", "second chance")
        self.debugger.command("r rip=rip+2")
        self.debugger.command("gh")
        self.debugger.wait("print", "guarded: bare went on")

    def test_debugger_first(self):
        self.say("debugger")
        for count in range(1, 4):  # each fault at the same place with the same stack
            self.stop("reply guarded", "first chance")
            self.assertEqual(self.counted(), count - 1)
            self.debugger.command("gn")
            self.debugger.wait("prompt", "guarded>")
            self.assertEqual(self.counted(), count)

    def test_debugger_first_handles(self):
        self.say("debugger")
        self.stop("reply guarded", "first chance")
        self.debugger.command("r rip=rip+2")
        self.debugger.command("gh")
        self.debugger.wait("print", "guarded: went on")
        self.assertEqual(self.counted(), 0)

    def test_declined(self):
        """Searched for and not taken: each chance of the debugger's comes once all the same."""
        for policy in ("handler", "debugger"):
            self.say(policy)
            for _ in range(2):
                self.stop("reply declined", "first chance")
                self.stop("gn", "second chance")
                self.debugger.command("r rip=rip+2")
                self.debugger.command("gh")
                self.debugger.wait("print", "guarded: declined went on")
                self.debugger.wait("prompt", "guarded>")

    def test_debugger_first_takes_nothing(self):
        self.say("debugger")
        self.stop("reply bare", "first chance")
        self.stop("gn", "second chance")
        self.debugger.command("r rip=rip+2")
        self.debugger.command("gh")
        self.debugger.wait("print", "guarded: bare went on")

    def test_never(self):
        self.say("never")
        self.stop("reply guarded", "first chance")
        self.stop("gn", "second chance")
        self.debugger.command("r rip=rip+2")
        self.debugger.command("gh")
        self.debugger.wait("print", "guarded: went on")
        self.assertEqual(self.counted(), 0)

    def test_export_in_stack(self):
        """Only the exported function's frame has a name; the PDB says where that is."""
        self.say("never")
        self.stop("reply guarded", "first chance")
        frames = [event["text"].split()[1:3] for event in self.debugger.events
                  if event["event"] == "print" and event["text"].startswith("  ")]
        base = int(next(event["text"].split()[1] for event in self.debugger.events
                        if event["event"] == "load" and event["module"] == "guarded"), 16)
        offsets = [int(rip, 16) - base for rip, _ in frames]
        call = offsets[1] - GUARDED.names["GuardedCall"]
        self.assertEqual([place for _, place in frames[:3]],
                         [f"guarded+0x{GUARDED.names['GuardedWrite']:x}",
                          f"guarded!GuardedCall+0x{call:x}", f"guarded+0x{offsets[2]:x}"])
        self.assertEqual(offsets[0], GUARDED.names["GuardedWrite"])

    def test_backtrace(self):
        self.say("where")
        lines = [event["text"] for event in self.debugger.events if event["event"] == "print"]
        self.assertEqual(lines[0], "kdagent: call stack:\n")
        modules = [line.split()[2].split("+")[0] for line in lines[1:]]
        self.assertEqual(modules[0], "kdagent")
        self.assertIn("guarded", modules)
        self.assertIn("DxeCore", modules)


if __name__ == "__main__":
    program = unittest.main(exit=False)
    if program.result.skipped and not program.result.testsRun:
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())
