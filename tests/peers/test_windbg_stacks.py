# test_windbg_stacks.py - call stacks as WinDbg's engine, kdlens debug and the agent show them.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""guarded.efi (see ../boot/guardedprogram.py) faults and throws under the agent, several times in
one session: for kdlens debug without its PDB, then with it, then for WinDbg. The program lies at
one place and its stack is the same each time, so all stacks of one fault must be equal: stack
pointer and return address of each frame, and each name that two of them have.

What WinDbg says is what must be. It has no tables of the firmware's images, and nobody else has
either: a comparison ends with the first frame there. Skips, saying why, where WinDbg's engine, QEMU
or the compiler cannot be had.
"""

import re
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import test_windbg_agent as peer
from test_windbg_agent import AGENT, PATIENCE, Bench, Cable, machine, windbg

import guardedprogram
from agentsession import Debugger

ACCESS = "Access violation - code c0000005"
ILLEGAL = "Illegal instruction - code c000001d"
SKIP = ("r rip={}rip+2", "gh")  # over the instruction
PASS = ("gn",)  # to the program's handler, which goes on behind it

# Words for the program: the stop, the innermost functions, how to go on. An exception that nobody
# handles ends in rt_stop, below what threw it. Each policy under which the debugger sees a fault in
# guarded code is there: before the handler, after a handler that declined, without one.
FAULTS = {
    "debugger throw": (ILLEGAL, guardedprogram.THROW, PASS),
    "debugger guarded": (ACCESS, ["GuardedWrite", "GuardedCall"], SKIP),
    "handler declined": (ACCESS, ["GuardedWrite", "GuardedDeclined"], SKIP),
    "never guarded": (ACCESS, ["GuardedWrite", "GuardedCall"], SKIP),
    "debugger deep": (ACCESS, guardedprogram.DEEP, SKIP),
    "debugger g-write": (ACCESS, ["DeepLeaf", "write", "kdagent!x64_guard", "kdagent!agent_guard"],
                         PASS),  # through the agent's frames
    "debugger noise": (ACCESS, ["StrayFault"], SKIP),
    "debugger endless": (ACCESS, ["StrayFault", *["DeepSaved"] * 62], SKIP),
    "debugger circle": (ACCESS, ["StrayFault", "DeepCircle"], SKIP),
}
NOBODY = ("debugger noise", "debugger endless", "debugger circle")  # called what is on the stack
WINDBG_ROW = re.compile(r"^[0-9a-f]{2,} (?:\(Inline Function\)|([0-9a-f]{8}`[0-9a-f]{8})) "
                        r"(?:--------`--------|([0-9a-f]{8}`[0-9a-f]{8})) +(\S+)", re.M)
AGENT_ROW = r"^  [0-9a-f]{2} ([0-9a-f]{16}) (\S+)( \(guess\))?\r?\n$"


def missing() -> str:
    return guardedprogram.missing() or machine.missing()


class Program:
    """The program at its prompt, kdlens debug at the line."""

    def __init__(self, bench: Bench, *options):
        self.cable = Cable(bench.port)
        self.debugger = Debugger(f"tcp:127.0.0.1:{self.cable.port}", *options)
        while self.debugger.wait("stop|prompt")["event"] == "stop":
            if self.debugger.seen == len(self.debugger.events):
                self.debugger.command("g")

    def fault(self, words: str) -> dict:
        """{"said": what the agent printed, "frames": events of bt}"""
        debugger, start = self.debugger, len(self.debugger.events)
        debugger.stop(f"reply {words}")
        debugger.command("bt")
        events = debugger.events[start:]
        for command in FAULTS[words][2]:
            debugger.command(command.format(""))
        debugger.wait("prompt", "guarded>")
        return {"said": [event["text"] for event in events if event["event"] == "print"],
                "frames": [event for event in events if event["event"] == "frame"]}

    def leave(self):
        """At a stop, for the next debugger."""
        self.debugger.stop("reply break")
        self.debugger.close()
        self.debugger.kill()
        self.cable.cut()


def windbg_rows(text: str) -> list:
    """(stack pointer, return address, call site) of each row; no numbers for what is inlined."""
    def value(digits):
        return int(digits.replace("`", ""), 16) if digits else None
    return [(value(sp), value(returns), site) for sp, returns, site in WINDBG_ROW.findall(text)]


def name(site: str) -> str:
    """Without the offset, or what stands instead of it."""
    return re.split(r"\+0x|\(| ", site)[0]


@unittest.skipIf(missing(), missing())
class Stacks(peer.WithEngine):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp(prefix="kdwindbgstacks"))
        cls.addClassCleanup(shutil.rmtree, cls.folder, True)
        for file in ("kdagent.efi", "kdagent.pdb"):
            shutil.copy(AGENT / file, cls.folder)
        cls.bench_ = Bench("", "modules=kd*,guarded*,DxeCore*\nwait=forever",
                           guardedprogram.build(cls.folder))
        cls.addClassCleanup(cls.bench_.close)
        cls.bench_.power_on()
        cls.bare = cls.ask_kdlens()
        cls.named = cls.ask_kdlens("-y", cls.folder)
        cls.windbg = cls.ask_windbg()

    @classmethod
    def ask_kdlens(cls, *options) -> dict:
        program = Program(cls.bench_, *options)
        stacks = {words: program.fault(words) for words in FAULTS}
        program.leave()
        return stacks

    @classmethod
    def ask_windbg(cls) -> dict:
        engine = cls.bench_.engine(symbols=(cls.folder,), initial_break=True)
        engine.wait_stopped(PATIENCE)
        engine.command(".reload", PATIENCE)
        for event in ("av", "ii"):  # first chances, too
            engine.command(f"sxe {event}")
        stacks, go = {}, ["g"]
        for words, (_, _, repair) in FAULTS.items():
            engine.answer(words)
            for command in go[:-1]:
                engine.command(command.format("@"))
            stop = engine.step(go[-1], PATIENCE)
            stacks[words] = {"stop": stop, "rows": windbg_rows(engine.command("kn 100", PATIENCE))}
            go = repair
        stacks["symbols"] = engine.command("lm m guarded")
        return stacks

    def of_tables(self, words: str) -> int:
        """How many frames were unwound by tables, or as a leaf; the next is still found so."""
        frames = self.frames(self.bare, words)
        return next((at for at, frame in enumerate(frames) if frame["caller"] == "scan"),
                    len(frames))

    def frames(self, stacks: dict, words: str) -> list:
        return [frame for frame in stacks[words]["frames"] if not frame["inline"]]

    def test_stops(self):
        self.assertIn("private pdb symbols", self.windbg["symbols"])
        for words in FAULTS:
            with self.subTest(words):
                self.assertIn(FAULTS[words][0], self.windbg[words]["stop"])

    def test_return_addresses(self):
        for words in FAULTS:
            with self.subTest(words):
                rows = [row for row in self.windbg[words]["rows"] if row[0] is not None]
                count = min(self.of_tables(words), len(rows))
                self.assertGreaterEqual(count, len(FAULTS[words][1]))
                for stacks in (self.bare, self.named):
                    frames = self.frames(stacks, words)
                    self.assertEqual([int(frame["sp"], 16) for frame in frames[:count]],
                                     [sp for sp, _, _ in rows[:count]])
                    returns = [int(frame["address"], 16) for frame in frames[1:count + 1]]
                    self.assertEqual(returns, [back for _, back, _ in rows[:len(returns)]])

    def test_functions(self):
        """WinDbg sees what the sources say."""
        for words in FAULTS:
            with self.subTest(words):
                wanted = [function if "!" in function else f"guarded!{function}"
                          for function in FAULTS[words][1]]
                sites = [name(site) for _, _, site in self.windbg[words]["rows"]]
                self.assertEqual(sites[:len(wanted)], wanted)
                self.assertIn("guarded!EfiMain" if words not in NOBODY else wanted[-1], sites)

    def test_names_with_the_pdb(self):
        for words in FAULTS:
            with self.subTest(words):
                inner = self.of_tables(words)
                ours = [row for row in self.named[words]["frames"] if row["number"] < inner]
                for row, (sp, _, site) in zip(ours, self.windbg[words]["rows"], strict=False):
                    self.assertEqual(row["inline"], sp is None)
                    if "!" in site:
                        self.assertEqual(name(row["site"]), name(site))
                    if "!" in site and "(" not in row["site"] and not row["inline"]:
                        self.assertEqual(row["site"], site)

    def test_names_without(self):
        """Of exports; other frames have the place in the image."""
        for words in FAULTS:
            with self.subTest(words):
                rows = [row for row in self.windbg[words]["rows"] if row[0] is not None]
                frames = self.frames(self.bare, words)[:self.of_tables(words)]
                for frame, (_, _, site) in zip(frames, rows, strict=False):
                    exported = name(site).removeprefix("guarded!") in guardedprogram.EXPORTS
                    # Of a leaf function's exports nobody can say how far they go.
                    if exported and (frame["caller"] == "table" or "+" not in site):
                        self.assertEqual(frame["site"], site)
                    elif site.startswith("guarded!"):
                        self.assertRegex(frame["site"], r"^guarded\+0x")

    def test_agent(self):
        """What the agent printed before the stop is what bt says without a PDB."""
        for words in FAULTS:
            with self.subTest(words):
                said = self.bare[words]["said"]
                self.assertRegex(said[0], "^kdagent: fault, vector")
                lines = [re.search(AGENT_ROW, line) for line in said]
                printed = [(int(line[1], 16), line[2].removesuffix("+0x0"))
                           for line in lines if line]
                count = min(self.of_tables(words) + 1, len(printed))
                frames = [(int(frame["address"], 16), frame["site"])
                          for frame in self.frames(self.bare, words)[:count]]
                self.assertEqual([address for address, _ in printed[:count]],
                                 [address for address, _ in frames])
                for (_, place), (_, site) in zip(printed, frames, strict=False):
                    self.assertIn(place, (site, "?"))
                for line in said[1:]:  # the first has CR2, which changes
                    self.assertIn(line.strip(), self.windbg[words]["stop"])


if __name__ == "__main__":
    program = unittest.main(verbosity=2, exit=False)
    done = program.result
    if done.wasSuccessful() and done.skipped and len(done.skipped) >= done.testsRun:
        sys.exit(77)
    sys.exit(not done.wasSuccessful())
