# test_windbg_orders.py - WinDbg's engine, kdlens tap and the agent in every order, killed and back.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Whoever comes first, whoever dies and comes again: the session is back by itself, what the tap
has recorded is whole, and kdlens doctor says what happened.

On TCP a debugger needs something that listens, and WinDbg never opens a lost connection again: the
tap is there before it, and with a new tap it is started again. On a named pipe, with reconnect, any
order will do. The tap holds what WinDbg sends while firmware prints (--hold), as on any machine
whose console is on the line. Skips, saying why, where the engine, Wine's compiler or QEMU is not.
"""

import time
import unittest

import agentlink
import kdtest
from agentlink import DEBUGGER, TARGET, PATIENCE

TAP, ENGINE, MACHINE = "tap", "debugger", "machine"
BETWEEN = 3  # seconds from one to the next: the agent has spoken by then, or has not


class Case(unittest.TestCase):
    windows = False

    def begin(self, *order: str):
        """All three, started in this order; the debugger then debugs."""
        self.link = agentlink.Link(windows=self.windows)
        self.addCleanup(self.link.close)
        starts = {TAP: lambda: self.link.start_tap("--hold"), ENGINE: self.link.start_engine,
                  MACHINE: self.link.start_machine}
        for who in order:
            starts[who]()
            time.sleep(BETWEEN)
        self.link.answers()

    def run_target(self):
        self.link.engine.command("g", PATIENCE)
        self.link.engine.wait_state("running", PATIENCE)

    def another_debugger(self):
        self.link.kill_engine()
        self.link.start_engine()
        self.link.answers()

    def another_machine(self):
        """While the target runs: WinDbg waits for it, and stops at the agent's start."""
        self.run_target()
        stops = self.link.engine.stops
        self.link.kill_machine()
        self.link.start_machine()
        self.link.engine.wait_stops(stops + 1, PATIENCE)
        self.link.answers()

    def check_whole(self, number: int, *said: str):
        """This recording holds what passed, bytes as sent, and doctor finds these."""
        file = self.link.recordings[number]
        found = agentlink.packets_in(file)
        self.assertGreater(len(found[DEBUGGER]), 50)
        self.assertGreater(len(found[TARGET]), 50)
        self.assertEqual(kdtest.problems(file), [])
        verdicts = agentlink.doctor(file)
        for name in said:
            self.assertIn(name, verdicts)
        self.assertEqual([name for name, gravity in verdicts.items() if gravity == "fault"], [])
        return file


class Orders(Case):
    """TCP, and each end killed once."""

    def story(self, *order: str):
        self.begin(*order)
        self.another_debugger()
        self.another_machine()
        self.link.kill_engine()
        self.link.kill_machine()
        self.link.tap.wait("disconnected", 2, end=TARGET, patience=PATIENCE)
        self.link.stop_tap()
        file = self.check_whole(0, "debugger-restarted", "target-restarted")
        recorded = agentlink.kdtap.read_recording(file).sent(TARGET)
        second = self.link.logs[1].read_bytes()
        border = recorded.rfind(second[:64])
        self.assertGreater(border, 0)
        agentlink.sent_between(self.link.logs[0].read_bytes(), recorded[:border])
        self.assertEqual(agentlink.sent_between(second, recorded[border:]), 0)

    def test_tap_debugger_machine(self):
        self.story(TAP, ENGINE, MACHINE)

    def test_tap_machine_debugger(self):
        self.story(TAP, MACHINE, ENGINE)

    def test_machine_tap_debugger(self):
        self.story(MACHINE, TAP, ENGINE)

    def test_the_tap_is_killed(self):
        """As by kill -9: its recording opens, and a new tap finds the machine by itself."""
        self.begin(TAP, MACHINE, ENGINE)
        time.sleep(1)  # the file is written ten times a second
        self.link.kill_tap()
        self.check_whole(0)
        self.link.start_tap()
        self.another_debugger()
        self.link.stop_tap()
        self.check_whole(1)


@unittest.skipIf(agentlink.missing(windows=True), agentlink.missing(windows=True))
class Pipe(Case):
    """A named pipe with reconnect."""

    windows = True

    def test_the_debugger_first_and_the_tap_restarted(self):
        self.begin(ENGINE, MACHINE, TAP)
        self.run_target()
        self.link.stop_tap()
        self.check_whole(0)
        self.link.start_tap()
        self.link.tap.wait("connected", end=DEBUGGER, patience=PATIENCE)
        self.link.engine.break_in(PATIENCE)
        self.link.answers()
        self.link.stop_tap()
        self.check_whole(1)


def setUpModule():
    if agentlink.missing():
        raise unittest.SkipTest(agentlink.missing())


if __name__ == "__main__":
    kdtest.main()
