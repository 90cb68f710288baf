# test_windbg_vmbus.py - WinDbg's engine debugs kdagent.efi over VMBus, through kdlens tap.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The cases of test_windbg_agent.py that say most of a line, in a machine that Hyper-V seems to run
(tests/hvhost, which is strict: a violation fails the test). Frames are taken out and put in between
the pipe and the tap. Skips, saying why, where the engine or the machine cannot be had.
"""

import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "boot")]
import test_windbg_agent
import vmbussession
from test_windbg_agent import KDLENS, PATIENCE, WithEngine


def is_taken(port: int) -> bool:
    """Whether somebody listens there; a connection would be a debugger for the tap."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


class VmbusBench(test_windbg_agent.Bench):
    def __init__(self, words: str, settings: str = "modules=kd*,DxeCore"):
        self.folder = Path(tempfile.mkdtemp(prefix="kdpeer"))
        self.recording = self.folder / "session.pcapng"
        self.port = test_windbg_agent.free_port()
        self.config = f"{vmbussession.EXAMPLE}arguments={words}\n{settings}\n"
        self.engines = []
        self.machine = self.host = self.line = None
        self.log = (self.folder / "tap.log").open("w")

    def power_on(self):
        self.host = vmbussession.boot(self.config)
        self.machine = self.host.machine
        self.line = vmbussession.FrameLine(self.host, self.folder / "line")
        self.host.wait(vmbussession.OPENED)
        self.tap = subprocess.Popen(
            [KDLENS, "tap", f"tcp-listen:{self.port}", f"unix:{self.line.path}", "-w",
             self.recording], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self.log)
        end = time.monotonic() + PATIENCE
        while not is_taken(self.port):
            assert self.tap.poll() is None and time.monotonic() < end, "the tap does not listen"
            time.sleep(0.05)

    def close(self):
        self.kill_engines()
        if self.host:
            self.line.close()
            self.host.close()
            self.stop_tap()
        self.log.close()
        test_windbg_agent.shutil.rmtree(self.folder, ignore_errors=True)


class OverVmbus(WithEngine):
    @classmethod
    def setUpClass(cls):
        reason = vmbussession.missing()
        if reason:
            raise unittest.SkipTest(reason)
        super().setUpClass()

    def bench(self, words: str, *settings: str) -> VmbusBench:
        bench = VmbusBench(words, *settings)
        self.addCleanup(bench.close)
        self.addCleanup(self.check, bench)
        return bench

    def check(self, bench: VmbusBench):
        self.assertEqual(bench.line.wrong, [])
        self.assertEqual(bench.host.violations(), [])


class Session(OverVmbus, test_windbg_agent.Session):
    test_memory_ports_and_msrs = test_break_in_and_registers = test_prompt = None


if __name__ == "__main__":
    program = unittest.main(verbosity=2, exit=False)
    done = program.result
    if done.wasSuccessful() and done.skipped and len(done.skipped) >= done.testsRun:
        sys.exit(77)
    sys.exit(not done.wasSuccessful())
