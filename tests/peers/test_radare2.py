# test_radare2.py - radare2's winkd client debugs kdagent.efi in QEMU, through kdlens tap.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""KDLENS_RADARE2 names a radare2; else the one in PATH. Without one the test is skipped.

Where things are comes from the image's PDB and the firmware's list of images, what is in memory
from the emulator, where the program stopped from the recording: none of it from radare2 or the
agent. radare2 6.2.1 shows all registers as 0, since it asks its client for more bytes than a
CONTEXT has; so it cannot go on from a software breakpoint by itself, and the test removes one
before. A radare2 that shows registers must show the right ones.

--transcript FILE writes what was typed and answered.
"""

import os
import re
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "boot"))
import agentsession

RADARE2 = os.environ.get("KDLENS_RADARE2") or shutil.which("radare2") or shutil.which("r2")
PATIENCE = agentsession.PATIENCE
TICKS = 20  # of kdexample's loop
BREAKPOINT, SINGLE_STEP = 0x80000003, 0x80000004
# A build that radare2 has a profile for, and replies that fit its buffer.
SETTINGS = (f"chain = \\kdexample.efi\narguments = loop={TICKS} break\n"
            "build = 18362\nread = 1992\nwait = forever\n")

transcript = []


def missing() -> str:
    if not RADARE2 or not shutil.which(RADARE2):
        return "no radare2 in PATH, and KDLENS_RADARE2 names none"
    return agentsession.missing()


def settled(guest):
    """Until the agent stops, a second after its RESET. For 0.25 s after that it would take
    radare2's, which comes once, for the answer."""
    agentsession.first_stop(guest)


class Radare2:
    """A radare2 at a KD line. Its answers end with a NUL (-0)."""

    def __init__(self, line: str, folder: Path):
        self.errors = (folder / "radare2.log").open("w+")
        self.process = subprocess.Popen(
            [RADARE2, "-q0", "-N", "-w", "-a", "x86", "-b", "64", f"winkd://{line}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            env={**os.environ, "HOME": str(folder)})
        self._answer("start")

    def _answer(self, what: str) -> str:
        out, end = b"", time.monotonic() + PATIENCE
        while not out.endswith(b"\0"):
            ready = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]
            got = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not got:
                self.errors.seek(0)
                raise AssertionError(f"radare2: no answer to {what}; it said {out!r}; stderr: "
                                     f"{self.errors.read()[-2000:]}")
            out += got
        return out[:-1].decode(errors="replace")

    def __call__(self, command: str) -> str:
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        answer = self._answer(command)
        transcript.append(f"[r2]> {command}\n{answer.strip()}".rstrip())
        return answer

    def bytes(self, address: int, count: int) -> bytes:
        return bytes.fromhex(self(f"p8 {count} @ {address:#x}").strip())

    def quit(self):
        """Ends it between two requests: after each command it asks for registers once more."""
        self.process.stdin.write(b"q!!\n")
        self.process.stdin.flush()
        self.process.wait(PATIENCE)

    def close(self):
        self.process.kill()
        self.process.wait()
        for file in (self.process.stdin, self.process.stdout, self.errors):
            file.close()


class Debugs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="kdradare2")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        images = agentsession.IMAGES
        cls.saved = agentsession.boot(cls.folder, {
            "EFI/BOOT/BOOTX64.EFI": images / "kdboot.efi", "kdagent.efi": images / "kdagent.efi",
            "kdexample.efi": images / "kdexample.efi", "kdagent.cfg": SETTINGS.encode()}, settled)
        cls.example = agentsession.Image(images / "kdexample.efi")

    def setUp(self):
        self.session = agentsession.Session(self.saved)
        self.addCleanup(self.session.close)
        self.r2 = Radare2(self.session.end.removeprefix("unix:"), self.folder)
        self.addCleanup(self.r2.close)
        # Steps by the trap flag; without dpa radare2 takes its target for dead.
        self.r2("e cfg.debug=true; e dbg.backend=winkd; e dbg.swstep=false; e dbg.bpinmaps=false")
        self.r2("dpa 0")

    def stops(self) -> list:
        """(code, address) of each exception so far."""
        recording = agentsession.kdtap.read_recording(self.session.recording)
        return [stop[:2] for stop in agentsession.stops_of(recording)]

    def run_to(self, code: int, address: int, command: str):
        """Runs; the last stop on the line since is this one."""
        before = len(self.stops())
        self.r2(command)
        end = time.monotonic() + PATIENCE
        while not (new := self.stops()[before:]):
            self.assertLess(time.monotonic(), end, f"no stop after {command}")
            time.sleep(0.05)
        self.assertEqual([f"{code:x} {at:x}" for code, at in new[-1:]], [f"{code:x} {address:x}"])
        shown = int(re.search(r"0x[0-9a-f]+", self.r2("dr rip"))[0], 16)
        if shown:
            self.assertEqual(shown, address)
        transcript[-1] += f"\n  # on the line: {code:08x} at {address:#x}"

    def load_example(self) -> int:
        """Goes on until kdexample is loaded; its base by the firmware."""
        for _ in range(8):
            self.r2("dc")
            for base, size in agentsession.loaded_images(self.session.machine):
                if size != self.example.size:
                    continue
                at = self.example.names["KdExampleTick"]
                if self.session.machine.memory(base + at, 16) == self.example.bytes_at(at, 16):
                    transcript[-1] += f"\n  # kdexample is loaded at {base:#x}"
                    return base
        self.fail("kdexample was not loaded")

    def counter(self, base: int) -> int:
        at = base + self.example.names["KdExampleCounter"]
        return struct.unpack("<I", self.session.machine.memory(at, 4))[0]

    def check_memory(self, base: int, start: int):
        header = self.session.machine.memory(base, 256)
        self.assertEqual(header[:2], b"MZ")
        self.assertEqual(self.r2.bytes(base, 256), header)
        self.assertEqual(self.r2.bytes(0x1000, 5000), self.session.machine.memory(0x1000, 5000))
        at = base + self.example.names["KdExampleCounter"]
        self.r2(f"wx {struct.pack('<I', start).hex()} @ {at:#x}")
        self.assertEqual(self.counter(base), start)

    def check_breakpoints(self, base: int, start: int):
        tick = base + self.example.names["KdExampleTick"]
        second = tick + 7  # after add dword [rip+X], 1
        self.assertEqual(self.example.bytes_at(tick - base, 2), b"\x83\x05")
        self.r2(f"db {tick:#x}")
        self.run_to(BREAKPOINT, tick, "dc")
        self.assertEqual(self.counter(base), start)
        self.r2(f"db- {tick:#x}")
        self.run_to(SINGLE_STEP, second, "ds")
        self.assertEqual(self.counter(base), start + 1)
        self.r2(f"dbH {tick:#x}")
        self.run_to(SINGLE_STEP, tick, "dc")
        self.assertEqual(self.counter(base), start + 1)
        self.r2(f"db- {tick:#x}")

    def test_session(self):
        start = 0x12345000
        base = self.load_example()
        self.check_memory(base, start)
        self.check_breakpoints(base, start)
        before = len(self.stops())
        self.r2("dc")  # to the end of the loop and the program's own stop
        # A radare2 that shows registers steps first, in case it stands at a breakpoint.
        codes = [code for code, _ in self.stops()[before:]]
        self.assertIn(codes, ([BREAKPOINT], [SINGLE_STEP, BREAKPOINT]))
        self.assertEqual(self.counter(base), start + TICKS)
        code = self.example.names["KdExampleTick"]
        self.assertEqual(self.session.machine.memory(base + code, 16),
                         self.example.bytes_at(code, 16))
        self.r2.quit()
        agentsession.account(self.session.recorded())


if __name__ == "__main__":
    if reason := missing():
        print(f"skipped: {reason}")
        sys.exit(77)
    output = None
    if "--transcript" in sys.argv:
        at = sys.argv.index("--transcript")
        output = sys.argv[at + 1]
        del sys.argv[at:at + 2]
    result = unittest.main(verbosity=2, exit=False).result
    if output:
        Path(output).write_text("\n".join(transcript) + "\n")
    sys.exit(not result.wasSuccessful())
