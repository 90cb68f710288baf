# test_windbg_dump.py - WinDbg's engine opens what kdlens dump made of a recorded stop.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Registers, modules, stack, code and memory must be what WinDbg printed while it debugged: for the
recordings of the Windows boot manager the text beside them, for a session with the agent in QEMU
what the engine says in the test, with symbols. Both as a minidump and as a kernel dump, of which
the page tables are made up. Skips, saying why, where the engine or QEMU cannot be had."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import test_windbg_agent as peer
from test_windbg_agent import AGENT, KDLENS, PATIENCE, machine, windbg

REPOSITORY = Path(__file__).resolve().parent.parent.parent
sys.path[1:1] = [str(REPOSITORY / "tests/tool"), str(REPOSITORY / "tests/dissector/generate")]
import kddump

KEY = "1a2b3c4d5e6f7.8g9h0i1j2k3l.2m6n7o8p9q0r1.2s3t4u5v6w7x"
# Commands that only look: what they print depends on nothing but the stop.
LOOKS = ("r", "k", "u @rip L3", "db @rsp L80", "dq @rsp L10", "s -d 10000000 L100 00004550")
# The same of what a minidump has no place for.
KERNEL_LOOKS = ("r cr0,cr2,cr3,cr4,gdtr,idtr,tr", "db /p 1000 L40")


def setUpModule():
    reason = windbg.missing()
    if reason:
        raise unittest.SkipTest(f"WinDbg's engine: {reason}")
    folder = tempfile.TemporaryDirectory(prefix="kddump")
    unittest.addModuleCleanup(folder.cleanup)
    globals()["SCRATCH"] = Path(folder.name)


def kdlens(*arguments) -> str:
    done = subprocess.run([KDLENS, *map(str, arguments)], capture_output=True, text=True,
                          timeout=PATIENCE)
    assert done.returncode == 0, f"{arguments}: {done.stderr}"
    return done.stdout


def stops(*capture) -> list[dict]:
    return [json.loads(line) for line in kdlens("stops", *capture, "--json").splitlines()]


def lines(text: str) -> list[str]:
    """Without what the engine says of the TEB, which such a target does not have, and without the
    selector that it shows of an operand of a kernel target only (ds:0030:)."""
    return [re.sub(r"\b([c-gs]s):[0-9a-f]{4}:", r"\1:", line.rstrip())
            for line in text.splitlines() if line.strip() and not line.startswith("WARNING: ")]


def modules(text: str) -> list[str]:
    """Of lm: addresses and names; whether symbols are loaded yet is another matter."""
    return sorted(re.findall(r"^([0-9a-f]{8}`[0-9a-f]{8} [0-9a-f]{8}`[0-9a-f]{8}   \w+)", text,
                             re.MULTILINE))


class Dumped(unittest.TestCase):
    FORMAT = "minidump"

    def open(self, capture: list, stop: int, **options) -> windbg.Engine:
        path = SCRATCH / "stop.dmp"
        kdlens("dump", *capture, "--stop", stop, "-w", path, "--format", self.FORMAT)
        engine = windbg.Engine(dump=path, **options)
        self.addCleanup(engine.kill)
        engine.wait_stopped(PATIENCE)
        return engine


class Recorded:
    NAME = ""

    @staticmethod
    def folder() -> Path:
        folder = os.environ.get("KDLENS_CAPTURES")
        if not folder:
            raise unittest.SkipTest("KDLENS_CAPTURES does not name the folder of real captures")
        return Path(folder)

    def capture(self) -> list:
        path = SCRATCH / f"{self.NAME}.pcapng"
        if not path.exists():
            kdlens("import", self.folder() / f"{self.NAME}.jsonl", "-w", path)
        return [path]

    def printed(self) -> list[tuple[str, str]]:
        """(command, what WinDbg printed)"""
        text = (self.folder() / f"{self.NAME}.txt").read_text()
        return [tuple(part.split("\n", 1)) for part in re.split(r"^kd> ", text, flags=re.M)[1:]
                if "\n" in part]


class Bootmgr(Recorded):
    LOOKS = LOOKS

    def test_first_break(self):
        printed = self.printed()
        rip = int(re.search(r"rip=([0-9a-f]+)", dict(reversed(printed))["r"])[1], 16)
        capture = self.capture()
        stop = next(row for row in stops(*capture)
                    if row["reason"] == "exception" and int(row["pc"], 16) == rip)
        engine = self.open(capture, stop["stop"])
        looked = 0
        for command, text in printed:
            if command.startswith("eq"):
                break  # from here on the debugger changes things
            if command in self.LOOKS:
                self.assertEqual(lines(engine.command(command, PATIENCE)), lines(text), command)
                looked += 1
            elif command == "lm":
                self.assertEqual(modules(engine.command(command, PATIENCE)), modules(text))
            elif command.startswith("!dh"):
                self.assertEqual(lines(engine.command(command, PATIENCE)), lines(text))
        self.assertEqual(looked, len(self.LOOKS))
        record = engine.command(".exr -1", PATIENCE)
        self.assertIn("80000003 (Break instruction exception)", record)
        self.assertIn(f"ExceptionAddress: {int(stop['exception_address'], 16):016x}", record)

    def test_second_break(self):
        printed = self.printed()
        at = [command for command, _ in printed].index("r rip")
        capture = self.capture()
        rip = int(re.search(r"rip=([0-9a-f]+)", printed[at][1])[1], 16)
        stop = [row for row in stops(*capture) if int(row["pc"], 16) == rip][1]
        engine = self.open(capture, stop["stop"])
        for command, text in printed[at:at + 2]:
            self.assertEqual(lines(engine.command(command, PATIENCE)), lines(text), command)

    def test_what_was_not_captured_stays_unknown(self):
        engine = self.open(self.capture(), 1)
        self.assertRegex(engine.command("dd fffff80000000000 L1", PATIENCE), r"`00000000  \?{8}")


class BootmgrSerial(Bootmgr, Dumped):
    NAME = "windows-bootmgr-serial"


class BootmgrKdnet(Bootmgr, Dumped):
    NAME = "windows-bootmgr-kdnet"

    def capture(self):
        keys = SCRATCH / "key"
        keys.write_text(KEY + "\n")
        return [self.folder() / f"{self.NAME}.pcap.gz", "--key-file", keys]


class KernelBootmgr:
    FORMAT = "kernel"
    LOOKS = LOOKS + KERNEL_LOOKS

    def test_what_the_debugger_says_of_it(self):
        engine = self.open(self.capture(), 1)
        self.assertIn("Kernel Complete Dump File", engine.text)
        self.assertIn("Comment: 'kdlens ", engine.text)
        told = next(text for text in (self.folder() / f"{self.NAME}.txt").read_text().splitlines()
                    if text.startswith("Windows Boot Debugger"))
        self.assertIn(told, engine.text)
        self.assertIn("64 bit Kernel Full Dump", engine.command(".dumpdebug", PATIENCE))


class KernelBootmgrSerial(KernelBootmgr, BootmgrSerial):
    pass


class KernelBootmgrKdnet(KernelBootmgr, BootmgrKdnet):
    pass


class KernelSimulated(Recorded, Dumped):
    """A target with two modules in the upper half, and a descriptor table that is none."""

    NAME = "windbg-amd64"
    FORMAT = "kernel"
    LOOKS = ("r", "u @rip L4", "db fffff80000402ff0 L40", "dd fffff80012340000 L4",
             "dq fffff80000404100 L8", "db /p 1000 L20")

    def test_first_break(self):
        capture = self.capture()
        stop = next(row for row in stops(*capture) if row["reason"] == "exception")
        engine = self.open(capture, stop["stop"])
        looked = 0
        for command, text in self.printed():
            if command in self.LOOKS[looked:]:
                self.assertEqual(lines(engine.command(command, PATIENCE)), lines(text), command)
                looked += 1
            elif command == "lm" and looked < len(self.LOOKS):
                self.assertEqual(modules(engine.command(command, PATIENCE)), modules(text))
        self.assertEqual(looked, len(self.LOOKS))


class KernelNt(Dumped):
    """A session with a Windows kernel of two processors, which the test makes."""

    FORMAT = "kernel"

    def check(self, whole: bool, entry: int = 0xA0, stamp: str = "(5F000001)"):
        session = kddump.NtSession(whole, entry)
        (SCRATCH / "nt.jsonl").write_text(session.text())
        kdlens("import", SCRATCH / "nt.jsonl", "-w", SCRATCH / "nt.pcapng")
        engine = self.open([SCRATCH / "nt.pcapng"], 1)
        self.assertIn("Windows 10 Kernel Version 19041 MP (2 procs) Free x64", engine.text)
        for number in (1, 0):  # it opens with the processor that stopped
            if number == 0:
                engine.command("~0", PATIENCE)
            text = engine.command("r", PATIENCE)
            for name, at in (("rax", 0x78), ("rcx", 0x80), ("rip", 0xF8), ("rsp", 0x98)):
                value = int.from_bytes(session.contexts[number][at:at + 8], "little")
                self.assertIn(f"{name}={value:016x}", text)
            self.assertIn(f"cr3={session.CR3:016x}", engine.command("r cr3", PATIENCE))
        engine.command("~1", PATIENCE)
        self.assertIn("nt+0x3fd2e0:\nfffff803`123fd2e0 cc              int     3",
                      engine.command("u @rip L1", PATIENCE))
        self.assertIn("nt+0x3fd2e0\nffffa900`33330f08 00000000`00000005     nt+0x1234",
                      engine.command("k L2", PATIENCE))
        self.assertEqual(modules(engine.command("lm", PATIENCE)),
                         ["fffff803`12000000 fffff803`13046000   nt",
                          "fffff803`13370000 fffff803`13378000   demo"])
        listed = engine.command("lmvm demo", PATIENCE)
        self.assertIn("\\SystemRoot\\System32\\drivers\\demo.sys", listed)
        self.assertIn(stamp, listed)
        self.assertIn("Bugcheck code 000000E2\nArguments 00000000`00000001 00000000`00000002",
                      engine.command(".bugcheck", PATIENCE))
        self.assertIn("own page!", engine.command("db /p 100000 L9", PATIENCE))

    def test_processor_blocks_were_read(self):
        self.check(True)

    def test_processor_blocks_were_not_read(self):
        self.check(False)

    def test_entries_of_modules_were_not_read_whole(self):
        self.check(True, 0x88, "unavailable (00000000)")


class Registers(Recorded):
    """Of the first stop; a line for the place, which needs modules, ends them."""

    def test_registers(self):
        def registers(text: str) -> list[str]:
            return lines(re.split(r"^\S+:$|^[0-9a-f`]+ [0-9a-f]{2,8} ", text, flags=re.M)[0])

        text = next(text for command, text in self.printed() if command == "r")
        engine = self.open(self.capture(), 1)
        self.assertEqual(registers(engine.command("r", PATIENCE)), registers(text))
        self.assertGreater(len(registers(text)), 2)


class RegistersX86(Registers, Dumped):
    NAME = "windbg-x86"


class RegistersArm64(Registers, Dumped):
    NAME = "windbg-arm64"


@unittest.skipIf(machine.missing(), machine.missing())
class Agent(Dumped):
    """What the engine says live, it says of the dump; symbols come by the modules' CodeView
    records."""

    def test_stop_in_the_example(self):
        bench = peer.Bench("break loop=3", "modules=kd*,DxeCore")
        self.addCleanup(bench.close)
        bench.power_on()
        engine = bench.engine()
        engine.wait_stopped(PATIENCE)
        self.assertIn("kdexample: stops", engine.step("g", PATIENCE))
        engine.command(".reload", PATIENCE)
        engine.command("bp kdexample!KdExampleTick", PATIENCE)
        self.assertIn("Breakpoint 0 hit", engine.step("g", PATIENCE))
        looks = ("r", "k", "u @rip L3", "db @rsp L80", "dd kdexample!KdExampleCounter L1",
                 "da kdexample!KdExampleText")
        live = {command: lines(engine.command(command, PATIENCE)) for command in looks}
        listed = modules(engine.command("lm", PATIENCE))
        rip = int(re.search(r"rip=([0-9a-f]+)", "\n".join(live["r"]))[1], 16)
        bench.kill_engines()
        bench.stop_tap()
        stop = [row for row in stops(bench.recording) if int(row["pc"], 16) == rip][-1]
        self.assertTrue(any("KdExampleTick" in line for line in live["k"]))
        for self.FORMAT in ("minidump", "kernel"):
            engine = self.open([bench.recording], stop["stop"],
                               symbols=windbg.windows_path(AGENT))
            for command in looks:
                self.assertEqual(lines(engine.command(command, PATIENCE)), live[command], command)
            self.assertEqual(modules(engine.command("lm", PATIENCE)), listed)
            self.assertIn("private pdb symbols", engine.command("lm m kdexample", PATIENCE))
            engine.kill()


if __name__ == "__main__":
    program = unittest.main(verbosity=2, exit=False)
    if program.result.skipped and not program.result.testsRun:
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())
