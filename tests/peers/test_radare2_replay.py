# test_radare2_replay.py - radare2's winkd client at kdlens replay.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""KDLENS_RADARE2 names a radare2; else the one in PATH. Without one the test is skipped.

radare2 sees the memory of the recording, by a decoder of its own (kdoracle.py), and goes through
its stops; and at the replay of a session with the agent in QEMU, what it saw there. It takes no
reply above 2048 bytes, hence --read-limit. radare2 6.2.1 shows all registers as 0 (see
test_radare2.py); one that shows them must show the right ones. At the recorded boot managers it
cannot attach, as it cannot at the real ones: it wants a data block, and they have none.
"""

import re
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tool"), str(HERE.parent / "boot")]
import agentsession
import kdfiles
import kdoracle
import kdreplay
import kdtest
import test_radare2
from test_radare2 import Radare2

LIMIT = ("--read-limit", 1992)


def attach(case: unittest.TestCase, line: str) -> Radare2:
    folder = tempfile.TemporaryDirectory(prefix="kdradare2")
    case.addCleanup(folder.cleanup)
    r2 = Radare2(line, Path(folder.name))
    case.addCleanup(r2.close)
    r2("e cfg.debug=true; e dbg.backend=winkd; e dbg.swstep=false; e dbg.bpinmaps=false")
    r2("dpa 0")
    return r2


@unittest.skipIf(not test_radare2.RADARE2, "no radare2 in PATH, and KDLENS_RADARE2 names none")
class Recorded(unittest.TestCase):
    def test_session(self):
        """radare2's own, with a simulator."""
        path = kdfiles.recording("radare2-session")
        oracle = kdoracle.Session(kdtest.read_recording(path))
        first = [(address, data) for address, data, physical in oracle.reads if not physical]
        with kdreplay.Replay(kdreplay.imported(path), *LIMIT) as replay:
            r2 = attach(self, str(replay.path))
            replay.wait("the debugger answers")
            for address, data in first[:8]:
                self.assertEqual(r2.bytes(address, len(data)), data)
            for number, stop in enumerate(oracle.stops[1:3], 2):
                r2("dc")
                replay.wait(f"stop {number}, frame")
                rip = int(re.search(r"0x[0-9a-f]+", r2("dr rip"))[0], 16)
                self.assertIn(rip, (0, stop.pc))
            r2.quit()
            replay.wait("the debugger has gone")

    def test_agent(self):
        if reason := test_radare2.missing():
            self.skipTest(reason)
        folder = tempfile.TemporaryDirectory(prefix="kdreplay")
        self.addCleanup(folder.cleanup)
        images = agentsession.IMAGES
        saved = agentsession.boot(Path(folder.name), {
            "EFI/BOOT/BOOTX64.EFI": images / "kdboot.efi", "kdagent.efi": images / "kdagent.efi",
            "kdexample.efi": images / "kdexample.efi",
            "kdagent.cfg": test_radare2.SETTINGS.encode()}, test_radare2.settled)
        session = agentsession.Session(saved)
        self.addCleanup(session.close)
        places = [(base, 128) for base, _ in sorted(agentsession.loaded_images(session.machine))]
        places = places[:3] + [(0x1000, 300)]
        r2 = attach(self, session.end.removeprefix("unix:"))
        seen = [r2.bytes(*place) for place in places]
        self.assertEqual(seen, [session.machine.memory(*place) for place in places])
        r2.quit()
        with kdreplay.Replay(session.recorded(), *LIMIT) as replay:
            r2 = attach(self, str(replay.path))
            self.assertEqual([r2.bytes(*place) for place in places], seen)
            r2.quit()


if __name__ == "__main__":
    kdfiles.main()
