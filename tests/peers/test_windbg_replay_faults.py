# test_windbg_replay_faults.py - WinDbg's engine and kdlens replay on a line that loses packets.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""However bad the line, what WinDbg shows of a recorded session is what it showed at the real
target, text against text: registers, control space, stacks, modules, memory, ports, MSRs. kdlens
tap --fault between WinDbg and kdlens replay makes the line bad. Two sessions take turns:

  the boot manager's of windows-bootmgr-serial, with what WinDbg printed beside it
  one of the agent's, recorded at the start, on a good line

Each turn is a replay, a tap with a seed of its own and an engine that attaches anew; the same is
asked several times at one stop, then on from stop to stop to the end of the session.

  test_windbg_replay_faults.py [--minutes N] [--fault TEXT] [--keep FOLDER]

A minute by default. At the end as test_windbg_faults.py. A session skips, saying why, without the
engine, without the captures, without QEMU.
"""

import shutil
import sys
import unittest
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tool")]
import badline
import kdreplay
import kdtap
import windbg
from badline import LATE
from test_windbg_agent import AGENT, PATIENCE, Bench, Cable, machine
from test_windbg_replay import COMMANDS, plain

ROUNDS = 5  # at the first stop
TURN = 3600  # seconds after which an engine that a test left behind ends
LOOKS = tuple(command for command in COMMANDS if not command.startswith("r rax"))
AGENT_LOOKS = ("r", "r cr0,cr2,cr3,cr4,gdtr,idtr,tr", "lm", "k", "u @rip L3", "db @rsp L80",
               "dq @rsp L10", "db kdexample!KdExampleWindow L40", "ib 3fd", "rdmsr c0000080",
               "dd fffff00000000000 L4", "ln @rip")

settings, unittest_arguments = badline.arguments(__doc__)


@dataclass
class Stop:
    way: str    # the command that leads there, given once, or until this was said:
    until: str
    first: str  # given before the others; "" is none
    answers: list[tuple[str, list[str]]]  # commands, and what WinDbg printed at the real target


# --- what was recorded


class BootManager:
    SYMBOLS = None
    INITIAL_BREAK = True

    def __init__(self):
        self.arguments = kdreplay.bootmgr(net=False)
        printed = kdreplay.Printed("windows-bootmgr-serial.txt")

        def stop(*commands):
            return Stop("g", "Fatal Error 0x00000001", "",
                        [(command, plain(printed.answer(command))) for command in commands])

        self.stops = [stop(*LOOKS), stop("r rip", "k 4")]
        self.prints = "Fatal Error 0x00000001"


class AgentSession:
    """Recorded when it is first asked for."""

    SYMBOLS = windbg.windows_path(AGENT)
    INITIAL_BREAK = False
    WAYS = (("g", ".reload; bp kdexample!KdExampleTick"), ("g", ""), ("t", ""), ("g", ""),
            ("t", ""))

    def __init__(self):
        if machine.missing():
            raise unittest.SkipTest(machine.missing())
        self.prints = "kdexample: stops"
        bench = Bench("break loop=1000000000", "modules=kd*,DxeCore\nwait=forever")
        try:
            bench.power_on()
            engine = bench.engine()
            engine.wait_stopped(PATIENCE)
            self.stops = [self.stop(engine, *way) for way in self.WAYS]
            assert self.prints in engine.text and engine.text.count("Breakpoint 0 hit") == 2, \
                engine.report()
            bench.kill_engines()
            bench.stop_tap()
            self.arguments = [shutil.copy(bench.recording, kdtap.new_path("-recorded.pcapng"))]
        finally:
            badline.keep(bench.recording, settings.keep)
            bench.close()

    @staticmethod
    def stop(engine: windbg.Engine, way: str, first: str) -> Stop:
        engine.step(way, PATIENCE)
        if first:
            engine.command(first, PATIENCE)
        return Stop(way, "", first, [(command, plain(engine.command(command, PATIENCE)))
                                     for command in AGENT_LOOKS])


# --- at the replay


class Replayed:
    """A session, again and again."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.session = cls.SESSION()

    def attach(self, turn: int):
        self.replay = kdreplay.Replay(*self.session.arguments)
        self.addCleanup(self.replay.__exit__)
        self.recording = kdtap.new_path(f"-{self.SESSION.__name__}.pcapng")
        self.addCleanup(badline.keep, self.recording, settings.keep)
        self.tap = kdtap.Tap("tcp-listen:127.0.0.1:0", self.replay.end, "-w", self.recording,
                             "--fault", f"{settings.fault},seed={turn}")
        self.addCleanup(self.tap.__exit__)
        self.addCleanup(self.tap.stop)
        address = self.tap.wait("listening", end=kdtap.DEBUGGER)["address"]
        cable = Cable(int(address.rsplit(":", 1)[1]))
        self.addCleanup(cable.cut)
        self.engine = windbg.Engine(windbg.tcp(cable.port), symbols=self.session.SYMBOLS,
                                    initial_break=self.session.INITIAL_BREAK, total=TURN)
        self.addCleanup(self.engine.kill)
        self.heard = 0
        self.engine.wait_stopped(LATE)

    def go(self, stop: Stop):
        """The way to a stop; where it is repeated, load events lie on it."""
        for _ in range(12 if stop.until else 1):
            if stop.until and stop.until in self.engine.text[self.heard:]:
                break
            self.engine.step(stop.way, LATE)
        self.heard = len(self.engine.text)
        if stop.first:
            self.ask(stop.first)

    def same(self, command: str, printed: list[str]):
        self.right(lambda: plain(self.ask(command)) == printed, f"{command}: expected {printed}")

    def turn(self, number: int):
        self.attach(number)
        for place, stop in enumerate(self.session.stops):
            self.go(stop)
            for _ in range(ROUNDS if place == 0 else 1):
                self.ask(".cache flushall")
                for command, printed in stop.answers:
                    self.same(command, printed)
        self.assertIn(self.session.prints, self.engine.text)
        self.doCleanups()  # the tap stops, the recording is whole
        self.count(self.recording)
        self.recording.unlink()

    def test_windbg_stays_right(self):
        for turn in badline.until(settings.minutes / 2):
            self.turn(turn)
        self.report(f"{turn + 1} sessions of {self.SESSION.__name__}")


class AtBootManager(Replayed, badline.BadLine):
    SESSION = BootManager


class AtAgent(Replayed, badline.BadLine):
    SESSION = AgentSession


if __name__ == "__main__":
    badline.main(unittest_arguments)
