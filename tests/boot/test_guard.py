# test_guard.py - guarded calls: a fault in a plugin's function comes back to it as a record.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The cases are stacks/guards.c's. What a record must hold follows from the processor's manual
(vectors, error codes of page faults) and from where the program's functions are.
"""
import re
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import agentsession
import guardedprogram
from agentsession import IMAGES, Session

SUCCESS, INVALID, ABORTED = 0, 1 << 63 | 2, 1 << 63 | 21  # EFI_STATUS
ABSENT = 0xFFFFFFFF80000000
DIVIDE, ILLEGAL, PAGE = 0, 6, 14
WRITE, FETCH = 2, 16  # error codes of page faults where no page is
UNTOUCHED = (0xFF, 0, 0)  # a record that nobody wrote to


def setUpModule():
    reason = guardedprogram.missing()
    if reason:
        raise unittest.SkipTest(reason)
    scratch = Path(tempfile.mkdtemp(prefix="kdguard"))
    unittest.addModuleCleanup(shutil.rmtree, scratch, True)
    image = guardedprogram.build(scratch)
    globals()["PROGRAM"] = agentsession.Image(image)
    globals()["SCRATCH"] = scratch
    globals()["SAVED"] = agentsession.boot(scratch, {
        "EFI/BOOT/BOOTX64.EFI": IMAGES / "kdboot.efi", "kdagent.efi": IMAGES / "kdagent.efi",
        "guarded.efi": image, "kdagent.cfg": b"chain = \\guarded.efi\nwait = forever\n"})


class Guard(unittest.TestCase):
    def setUp(self):
        session = Session(SAVED)
        self.addCleanup(session.close)
        self.debugger = debugger = session.debugger("-y", str(SCRATCH))
        debugger.command("g")
        while debugger.wait("stop|prompt")["event"] == "stop":
            if debugger.seen == len(debugger.events):
                debugger.command("g")
        self.base = int(next(event["text"].split()[1] for event in debugger.events
                             if event["event"] == "load" and event["module"] == "guarded"), 16)

    def numbers(self) -> list:
        """Of the next line of results."""
        line = self.debugger.wait("print", "^guard:")["text"]
        return [int(word, 16) for word in line.split()[1:]]

    def run_case(self, case: str) -> list:
        stops = self.stops()
        self.debugger.command(f"reply {case}")
        numbers = self.numbers()
        self.debugger.wait("prompt", "guarded>")
        self.assertEqual(self.stops(), stops, "the debugger saw it")
        return numbers

    def stops(self) -> int:
        return sum(event["event"] == "stop" for event in self.debugger.events)

    def place(self, name: str) -> int:
        return self.base + PROGRAM.names[name]

    def check(self, case: str, status: int, *record):
        self.assertEqual(self.run_case(case)[:1 + len(record)], [status, *record])

    def test_returns(self):
        self.assertEqual(self.run_case("g-return"), [SUCCESS, *UNTOUCHED, 0x77])
        self.check("g-none", INVALID)

    def test_records(self):
        leaf = self.place("DeepLeaf")
        self.check("g-write", ABORTED, PAGE, WRITE, ABSENT, leaf, ABSENT)  # then rip, rcx
        self.check("g-jump", ABORTED, PAGE, FETCH, ABSENT, ABSENT, ABSENT)
        self.check("g-divide", ABORTED, DIVIDE, 0)
        self.check("g-illegal", ABORTED, ILLEGAL, 0)

    def test_nested(self):
        """The inner call's fault ends the inner call, the next one the outer."""
        numbers = self.run_case("g-nested")
        self.assertEqual(numbers[:2] + numbers[4:], [ABORTED, DIVIDE, ABORTED])

    def test_what_is_as_before(self):
        *_, tpl = self.run_case("g-tpl")
        self.assertEqual(tpl, 4)  # TPL_APPLICATION
        *_, changed, flags = self.run_case("g-registers")
        self.assertEqual((changed, flags), (0, 0x200))  # interrupts on, no direction

    def test_in_the_firmware(self):
        status, vector, error, address, rip, _ = self.run_case("g-firmware")
        self.assertEqual((status, vector, error, address), (ABORTED, PAGE, WRITE, ABSENT))
        self.assertFalse(self.base <= rip < self.base + PROGRAM.size)

    def test_many(self):
        *_, count = self.run_case("g-many")
        self.assertEqual(count, 10000)

    def test_beside_a_handler(self):
        """__try within the call comes first; around it, it is not asked."""
        self.check("g-caught", SUCCESS, *UNTOUCHED)
        self.check("g-declined", ABORTED, PAGE, WRITE, ABSENT, self.place("GuardedWrite"))
        self.check("g-outside", ABORTED, PAGE, WRITE, ABSENT)
        self.assertFalse([event for event in self.debugger.events
                          if event.get("text") == "guard: taken outside\n"])
        self.debugger.command("reply guarded inside")  # from the handler there is no guard
        self.debugger.wait("print", "guarded: not ready inside")

    def stop_in(self, run: str, chance: str, *functions: str):
        event = self.debugger.stop(run)
        self.assertIn(chance, event["text"])
        start = len(self.debugger.events)
        self.debugger.command("bt")
        names = [re.split(r"\+0x| ", frame["site"])[0] for frame in self.debugger.events[start:]
                 if frame["event"] == "frame"]
        self.assertEqual(names[:len(functions)], [f"guarded!{name}" for name in functions])
        self.assertIn("kdagent", " ".join(names))  # Guard is below it
        self.assertIn("guarded!EfiMain", names)

    def test_debugger_first(self):
        self.debugger.command("reply debugger")
        self.debugger.wait("prompt", "guarded>")
        for _ in range(2):  # the same fault at the same place is a new one
            self.stop_in("reply g-write", "first chance", "DeepLeaf", "write")
            self.debugger.command("gn")
            self.assertEqual(self.numbers()[:3], [ABORTED, PAGE, WRITE])
            self.debugger.wait("prompt", "guarded>")
        self.stop_in("reply g-write", "first chance", "DeepLeaf", "write")
        self.debugger.command("r rip=rip+2")
        self.debugger.command("gh")
        self.assertEqual(self.numbers()[:4], [SUCCESS, *UNTOUCHED])

    def test_debugger_first_declined(self):
        """The debugger, the handler, which does not take it, the guard: no second chance."""
        self.debugger.command("reply debugger")
        self.debugger.wait("prompt", "guarded>")
        for _ in range(2):
            self.stop_in("reply g-declined", "first chance", "GuardedWrite", "GuardedDeclined")
            stops = self.stops()
            self.debugger.command("gn")
            self.assertEqual(self.numbers()[:3], [ABORTED, PAGE, WRITE])
            self.debugger.wait("prompt", "guarded>")
            self.assertEqual(self.stops(), stops)

    def test_never(self):
        self.debugger.command("reply never")
        self.debugger.wait("prompt", "guarded>")
        self.stop_in("reply g-write", "first chance", "DeepLeaf", "write")
        self.stop_in("gn", "second chance", "DeepLeaf", "write")
        self.debugger.command("r rip=rip+2")
        self.debugger.command("gh")
        self.assertEqual(self.numbers()[:2], [SUCCESS, UNTOUCHED[0]])


if __name__ == "__main__":
    program = unittest.main(exit=False)
    if program.result.skipped and not program.result.testsRun:
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())
