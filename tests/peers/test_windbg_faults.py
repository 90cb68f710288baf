# test_windbg_faults.py - WinDbg's engine and the agent on a line that loses and damages packets.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""However bad the line, the session lives and what WinDbg shows is right: registers, memory written
and read back, breakpoints, steps, the module list. kdlens tap --fault makes the line bad.

  test_windbg_faults.py [--minutes N] [--fault TEXT] [--keep FOLDER]

A minute by default. At the end: rounds, commands given again (badline.py says why), the faults
that were put in, the repairs that the recording shows, counted by a reader of its own. Skips,
saying why, where the engine or QEMU cannot be had.
"""

import re
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import badline
from badline import LATE
from test_windbg_agent import Bench, machine, number

settings, unittest_arguments = badline.arguments(__doc__)


@unittest.skipIf(machine.missing(), machine.missing())
class Agent(badline.BadLine):
    def setUp(self):
        super().setUp()
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
        badline.keep(self.bench.recording, settings.keep)
        self.bench.close()

    def write_and_read(self, pattern: bytes) -> bool:
        text = " ".join(f"{byte:02x}" for byte in pattern)
        self.ask(f"eb kdexample!KdExampleWindow {text}")
        shown = self.ask("db kdexample!KdExampleWindow l10").replace("-", " ")
        return text in shown and self.bench.machine.memory(self.window, 16) == pattern

    def steps(self, place: int) -> bool:
        self.engine.step("t", LATE)
        return number(self.ask("r rip"), "rip") > place

    def tick(self) -> int:
        """Which tick of KdExampleLoop the target is stopped at."""
        return number(self.ask("r rcx"), "rcx")

    def round(self, turn: int):
        """Steps from one breakpoint to the next, writes, reads."""
        before, tried = self.tick(), self.again
        self.right(lambda: "Breakpoint 0 hit" in self.engine.step("g", LATE))
        self.assertIn(self.tick() - before, range(1, 2 + self.again - tried))
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
        for turn in badline.until(settings.minutes):
            self.round(turn)
        self.bench.kill_engines()
        self.bench.stop_tap()
        self.count(self.bench.recording)
        self.report(f"{turn + 1} rounds")


if __name__ == "__main__":
    badline.main(unittest_arguments)
