# test_windbg_faults.py - WinDbg's engine and the agent on a line that loses and damages packets.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""However bad the line, the session lives and what WinDbg shows is right: registers, memory written
and read back, breakpoints, steps, the module list. kdlens tap --fault makes the line bad.

A reply names its request only by its API, and WinDbg, which asks anew when a reply is late, may
then have two on the way: seen now and then on such a line, it takes the answer to the one for the
answer to the other, and a damaged write behind them is never sent again. So a command whose effect
is not there is given again, as a user would, at most twice; how often is printed.

  test_windbg_faults.py [--minutes N] [--fault TEXT] [--keep FOLDER]

A minute by default. At the end: rounds, the faults that were put in, the repairs that the recording
shows, counted by a reader of its own. Skips, saying why, where the engine or QEMU cannot be had.
"""

import argparse
import collections
import re
import shutil
import sys
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tool"), str(HERE.parent / "dissector")]
import kdtap
from test_windbg_agent import PATIENCE, Bench, machine, number, windbg

FAULTS = "drop=1%,corrupt=1%,dup=1%,delay=1%:100ms,seed=7"
LATE = 3 * PATIENCE  # a command may meet several faults, each of which costs a time-out
CONTROL = {4: "ACKNOWLEDGE", 5: "RESEND", 6: "RESET"}

arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
arguments.add_argument("--minutes", type=float, default=1.0)
arguments.add_argument("--fault", default=FAULTS)
arguments.add_argument("--keep", type=Path)
settings, unittest_arguments = arguments.parse_known_args()


def repairs(recording: kdtap.Recording) -> collections.Counter:
    """What both ends did against the faults: RESEND and RESET packets, and data packets that were
    sent once more, told by the same id and bytes as the end's last one."""
    counts = collections.Counter()
    last = {}
    for record in recording.records:
        data = record.data
        if "repeated on purpose by --fault" in record.comments:
            continue  # the tap's doing, not the end's
        if data[:4] == b"iiii" and len(data) >= 16:
            kind = CONTROL.get(int.from_bytes(data[4:6], "little"))
            if kind in ("RESEND", "RESET"):
                counts[f"{kind} of the {record.sender}"] += 1
        elif data[:4] == b"0000":
            if last.get(record.sender) == data:
                counts[f"repetition of the {record.sender}"] += 1
            last[record.sender] = data
    return counts


@unittest.skipIf(machine.missing(), machine.missing())
class BadLine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        reason = windbg.missing()
        if reason:
            raise unittest.SkipTest(f"WinDbg's engine: {reason}")

    def setUp(self):
        self.again = 0
        self.bench = Bench("break loop=1000000000", tap=("--json", "--fault", settings.fault))
        self.addCleanup(self.finish)
        self.bench.power_on()
        self.engine = self.bench.engine(total=settings.minutes * 60 + 1200)
        self.engine.wait_stopped(LATE)
        self.right(lambda: "kdexample: stops" in self.engine.step("g", LATE))
        self.ask(".reload")

    def finish(self):
        self.bench.kill_engines()
        self.bench.stop_tap()
        if settings.keep:
            settings.keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.bench.recording, settings.keep / "windbg-faults.pcapng")
        self.bench.close()

    def ask(self, command: str) -> str:
        return self.engine.command(command, LATE)

    def right(self, attempt):
        """attempt() is true now or when it is tried again."""
        for _ in range(3):
            if attempt():
                return
            self.again += 1
            self.engine.command(".cache flushall", LATE)
        self.fail(f"wrong three times:\n{self.engine.report()}")

    def write_and_read(self, pattern: bytes) -> bool:
        text = " ".join(f"{byte:02x}" for byte in pattern)
        self.ask(f"eb kdexample!KdExampleWindow {text}")
        shown = self.ask("db kdexample!KdExampleWindow l10").replace("-", " ")
        return text in shown and self.bench.machine.memory(self.window, 16) == pattern

    def steps(self, place: int) -> bool:
        self.engine.step("t", LATE)
        return number(self.ask("r rip"), "rip") > place

    def count(self) -> int:
        """Which tick of KdExampleLoop the target is stopped at."""
        return number(self.ask("r rcx"), "rcx")

    def round(self, turn: int):
        """Steps from one breakpoint to the next, writes, reads."""
        before, tried = self.count(), self.again
        self.right(lambda: "Breakpoint 0 hit" in self.engine.step("g", LATE))
        self.assertIn(self.count() - before, range(1, 2 + self.again - tried))
        pattern = bytes((turn * 7 + at) & 0xFF for at in range(16))
        self.right(lambda: self.write_and_read(pattern))
        place = number(self.ask("r rip"), "rip")
        self.right(lambda: self.steps(place))
        if turn % 5 == 0:
            self.right(lambda: re.search(r"KdExampleTick.*\n.*KdExampleLoop", self.ask("k")))
            self.right(lambda: "kdexample" in self.ask("lm"))

    def test_windbg_stays_right(self):
        shown = self.ask("db kdexample!KdExampleWindow l1")
        self.window = int(re.search(r"^([0-9a-f`]+)  ", shown, re.M)[1].replace("`", ""), 16)
        self.ask("bp kdexample!KdExampleTick")
        self.right(lambda: "Breakpoint 0 hit" in self.engine.step("g", LATE))
        end = time.monotonic() + settings.minutes * 60
        turn = 0
        while time.monotonic() < end or turn < 3:
            self.round(turn)
            turn += 1
        self.bench.kill_engines()
        self.report(turn)

    def report(self, turns: int):
        self.bench.stop_tap()
        recording = kdtap.read_recording(self.bench.recording)
        counted = next(text for text in recording.comments() if text.startswith("--fault: of "))
        found = repairs(recording)
        print(f"\n{turns} rounds right, {self.again} commands given again; {counted}")
        for name, count in sorted(found.items()):
            print(f"  {count:6} {name}")
        self.assertTrue(found, "the line was not bad: nothing was repaired")


if __name__ == "__main__":
    program = unittest.main(argv=[sys.argv[0], *unittest_arguments], verbosity=2, exit=False)
    done = program.result
    if done.wasSuccessful() and done.testsRun and len(done.skipped) >= done.testsRun:
        sys.exit(77)
    sys.exit(not done.wasSuccessful())
