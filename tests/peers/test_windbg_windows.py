# test_windbg_windows.py - WinDbg's engine on a named pipe of kdlens.exe, and the agent.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A Windows user's session: engine and kdlens.exe in one Wine prefix, the agent in QEMU, recorded
and shown live at the same time. The debugger is killed and comes again. Skips, saying why, where
the engine, Wine's compiler or QEMU cannot be had.
"""

import subprocess
import unittest

import agentlink
import kdtest
import winetest
from agentlink import DEBUGGER, TARGET, PATIENCE, kdtap, windbg
from test_windbg_tap import LiveReader

BREAKS = 3  # of kdexample's loop


@unittest.skipIf(agentlink.missing(windows=True), agentlink.missing(windows=True))
class NamedPipe(unittest.TestCase):
    def setUp(self):
        self.link = agentlink.Link("break loop=1000000000", windows=True)
        self.addCleanup(self.link.close)

    def live_reader(self, name: str) -> LiveReader:
        """tshark on the tap's live pipe, which only a program of Wine's can open."""
        bridge = winetest.compile_helper("bridge.c", into=self.link.folder)
        pump = subprocess.Popen([windbg.wine(), bridge, "read", name], env=windbg.environment(),
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL)
        self.addCleanup(pump.wait)
        self.addCleanup(pump.kill)
        reader = LiveReader(pump.stdout)
        self.addCleanup(reader.close)
        self.link.tap.wait("live-attached", patience=PATIENCE)
        return reader

    def work(self):
        """A breakpoint that is met, a step, memory that is written."""
        engine = self.link.engine
        while "kdexample " not in engine.command(".reload; lm m kdexample", PATIENCE):
            engine.step("g", PATIENCE)
        engine.command("bp kdexample!KdExampleTick", PATIENCE)
        for _ in range(BREAKS):
            self.assertIn("Breakpoint 0 hit", engine.step("g", PATIENCE))
        engine.step("t", PATIENCE)
        engine.command("eb kdexample!KdExampleWindow 11 22 33 44", PATIENCE)
        self.assertIn("11 22 33 44", engine.command("db kdexample!KdExampleWindow l4", PATIENCE))
        engine.command("bc *", PATIENCE)

    def test_a_session_that_is_recorded_and_read_live(self):
        link = self.link
        live = f"{link.folder.name}-live"
        link.start_tap("--hold", "--live", f"pipe:{live}")
        reader = self.live_reader(live)
        link.start_engine()
        link.start_machine()
        link.answers()
        self.work()
        link.kill_engine()
        link.start_engine()
        link.tap.wait("connected", 2, end=DEBUGGER, patience=PATIENCE)
        link.answers()
        link.kill_engine()
        link.kill_machine()
        link.tap.wait("disconnected", end=TARGET, patience=PATIENCE)
        link.stop_tap()
        self.check_recording(reader)

    def check_recording(self, reader: LiveReader):
        [file] = self.link.recordings
        reader.compare(file)
        recorded = kdtap.read_recording(file).sent(TARGET)
        self.assertEqual(agentlink.sent_between(self.link.logs[0].read_bytes(), recorded), 0)
        self.assertEqual(kdtest.problems(file), [])
        found = agentlink.packets_in(file)
        rows = kdtest.fields(file, ["kd.direction", "kd.type"], filter="kd.type", multiple=True)
        for sender, direction in (DEBUGGER, "1"), (TARGET, "2"):
            shown = [int(kind, 0) for ways, kinds in rows if set(ways) == {direction}
                     for kind in kinds]
            self.assertEqual(shown, found[sender], sender)
        self.assertIn("debugger-restarted", agentlink.doctor(file))
        print(f"{len(found[DEBUGGER])} packets of the debugger, {len(found[TARGET])} of the target")


if __name__ == "__main__":
    kdtest.main()
