# test_windbg_replay.py - WinDbg's engine at kdlens replay: what it printed at the real target.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The recordings windows-bootmgr-serial and -kdnet have what WinDbg printed beside them. The same
commands at the replay print the same: text against text. Skips, saying why, without the captures
or the engine.
"""

import re
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "windbg"), str(HERE.parent / "tool")]
import kdfiles
import kdreplay
import windbg
from kdfiles import kdlens

PATIENCE = 120.0
# Those that only look; one that sets a register, too.
COMMANDS = ("r", "r cr0,cr2,cr3,cr4,gdtr,idtr,tr", "lm", "k", "u @rip L3", "db @rsp L80",
            "dq @rsp L10", "dd fffff80000000000 L4", "!dh -f BOOTX64", "db /p 1000 L40",
            "ed /p 2000 11223344", "dd /p 2000 L4", "s -d 10000000 L100 00004550",
            "eq @rsp-100 1122334455667788", "dq @rsp-100 L2", "f @rsp-80 L20 aa 55", "ib 3fd",
            "id cf8", "ob 80 41", "rdmsr c0000080", "rdmsr 12345678", "wrmsr 174 0",
            "r rax=1234567812345678", "r rax")


def plain(text: str) -> list[str]:
    """Without what is not the target's: when symbols were looked for."""
    rows = [re.sub(r"\((no symbols|deferred)\)", "", line).rstrip()
            for line in text.splitlines()]
    return [row for row in rows if row]


class Replayed:
    NET = False

    @classmethod
    def setUpClass(cls):
        reason = windbg.missing()
        if reason:
            raise unittest.SkipTest(f"WinDbg's engine: {reason}")
        cls.arguments = kdreplay.bootmgr(cls.NET)
        cls.printed = kdreplay.Printed(
            f"windows-bootmgr-{'kdnet' if cls.NET else 'serial'}.txt")

    def test_prints_the_same(self):
        replay = kdreplay.Replay(*self.arguments, tcp=True)
        self.addCleanup(replay.__exit__)
        engine = windbg.Engine(windbg.tcp(int(replay.address.rsplit(":", 1)[1])),
                               initial_break=True)
        self.addCleanup(engine.kill)
        engine.wait_stopped(PATIENCE)
        for _ in range(4):  # over the load events
            if "80000003" in engine.text:
                break
            engine.step("g", PATIENCE)
        self.assertIn("Fatal Error 0x00000001", engine.text)
        shown = [(command, plain(engine.command(command, PATIENCE))) for command in COMMANDS]
        self.assertEqual(shown, [(command, plain(self.printed.answer(command)))
                                 for command in COMMANDS])
        # On through the recorded stops to the second fatal error.
        for _ in range(12):
            if "Fatal Error 0x00000001" in engine.step("g", PATIENCE):
                break
        for command in ("r rip", "k 4"):
            self.assertEqual(plain(engine.command(command, PATIENCE)),
                             plain(self.printed.answer(command)))
        engine.stop(PATIENCE)


class Serial(Replayed, unittest.TestCase):
    NET = False


class Kdnet(Replayed, unittest.TestCase):
    NET = True

    @classmethod
    def setUpClass(cls):
        if "keys" not in kdlens("--help").stdout:
            raise unittest.SkipTest("kdlens without KDNET keys")
        super().setUpClass()


if __name__ == "__main__":
    kdfiles.main()
