# test_stops.py - stops that nobody at the debugger asked for: a key, an NMI; and faults in the
# agent's own time.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The machine has a PS/2 keyboard and kdexample, which asks in the debugger for words.
"""
import re
import struct
import sys
import time
import unittest

import agentsession
from agentsession import IMAGES, PATIENCE, Image, Session

ABSENT = 0xFFFFFFFF80000000  # where kdexample's command "wild" writes
FAULTS_MAX = 8  # docs/agent.md
FAULT = "kdagent: fault in the engine, vector ([0-9a-f]+) at ([0-9a-f]+), address ([0-9a-f]+)"


def setUpModule():
    scratch = agentsession.scratch_folder("kdstops")
    globals()["AGENT"] = Image(IMAGES / "kdagent.efi")
    globals()["EXAMPLE"] = Image(IMAGES / "kdexample.efi")
    globals()["SAVED"] = agentsession.boot_example(scratch, "message = 60000\n",
                                                   until=agentsession.first_event)


class Case(unittest.TestCase):
    def setUp(self):
        self.session = Session(SAVED)
        self.addCleanup(self.session.close)
        self.machine = self.session.machine
        self.debugger = self.session.debugger()
        self.debugger.command("echo connected")
        self.debugger.stop("g")  # from the agent's load event to the first break
        self.debugger.command("g")
        self.debugger.wait("prompt", "kdexample>")

    def base(self, module: str) -> int:
        return int(next(event["text"].split()[1] for event in self.debugger.events
                        if event["event"] == "load" and event["module"] == module), 16)

    def spin(self):
        """kdexample runs round in KdExampleSpin, by the emulator's account."""
        self.debugger.command("reply spin")
        self.debugger.wait("print", "spins until")
        self.until(self.spins)

    def spins(self) -> bool:
        start = self.base("kdexample") + EXAMPLE.names["KdExampleSpin"]
        return self.machine.registers()["RIP"] - start in range(64)

    def until(self, holds):
        end = time.monotonic() + PATIENCE
        while not holds():
            self.assertLess(time.monotonic(), end, "it does not come about")
            time.sleep(0.05)


class Asked(Case):
    """kdexample spins; what stops it is not on the line."""

    def stops(self, act, why: str):
        debugger = self.debugger
        self.spin()
        act()
        debugger.wait("print", why)
        debugger.wait("stop")
        spin = EXAMPLE.names["KdExampleSpin"]
        self.assertIn(debugger.register("rip") - self.base("kdexample"), range(spin, spin + 64))
        debugger.command(f"ed kdexample+{EXAMPLE.names['KdExampleStop']:x} 1")
        debugger.command("g")
        debugger.wait("print", "spin: done")
        debugger.wait("prompt", "kdexample>")

    def test_hot_key(self):
        self.stops(lambda: self.machine.monitor("sendkey pause"),
                   "^kdagent: stopped by the hot key\n")

    def test_nmi(self):
        self.stops(self.machine.nmi, "^kdagent: stopped by an NMI\n")

    def test_both_again(self):
        for _ in range(3):
            self.test_nmi()
            self.test_hot_key()


class Faults(Case):
    """A program's handler that faults while the agent calls it for the debugger."""

    @staticmethod
    def wild() -> str:
        """What makes the agent run its command "wild"."""
        line = b"wild\0".hex(" ")
        return f"try eb kdagent+{AGENT.names['KdAgentCommand']:x} {line}"

    def count(self, kind: str, text: str = "") -> int:
        return sum(event["event"] == kind and bool(re.search(text, event["text"]))
                   for event in self.debugger.events)

    def test_reported(self):
        """Each time once; then the debugger sees the program where it was, without breakpoints."""
        debugger, tick = self.debugger, EXAMPLE.names["KdExampleTick"]
        self.spin()
        debugger.stop("break")
        rip, example = debugger.register("rip"), self.base("kdexample")
        debugger.command(f"bp kdexample+{tick:x}")
        debugger.send(self.wild())
        said = re.search(FAULT, debugger.wait("print", FAULT)["text"])
        self.assertEqual([int(field, 16) for field in said.groups()],
                         [14, example + EXAMPLE.names["KdExampleWriteFault"], ABSENT])
        debugger.wait("answer", "error: eb")
        debugger.wait("stop")
        self.assertLess(self.count("print", FAULT), FAULTS_MAX)
        self.assertEqual(self.count("print", FAULT), self.count("restart"))
        self.assertEqual(debugger.register("rip"), rip)
        self.assertEqual(debugger.bytes(f"kdexample+{tick:x}", 16), EXAMPLE.bytes_at(tick, 16))
        self.assertIn("kdexample", debugger.command("lm"))
        debugger.command(f"ed kdexample+{EXAMPLE.names['KdExampleStop']:x} 1")
        debugger.command("g")
        debugger.wait("print", "spin: done")

    def test_too_many(self):
        """The agent takes its hooks out; the machine goes on without it."""
        self.spin()
        self.debugger.stop("break")
        agent = self.base("kdagent")
        self.assertNotEqual(gates_in(self.machine, agent, AGENT.size), [])
        for _ in range(FAULTS_MAX):
            self.debugger.send(self.wild())
            self.debugger.send("try wait stop")
        for _ in range(FAULTS_MAX):
            self.debugger.wait("print", FAULT)
        self.until(lambda: not gates_in(self.machine, agent, AGENT.size))
        self.until(self.spins)


def gates_in(guest, base: int, size: int) -> list:
    """The vectors whose gates lead into these addresses, by the emulator's account."""
    found = re.search(r"IDT= *([0-9a-f]+) ([0-9a-f]+)", guest.monitor("info registers"))
    table, limit = (int(text, 16) for text in found.groups())
    memory = guest.memory(table, limit + 1)
    vectors = []
    for vector in range(len(memory) // 16):
        low, middle, high = struct.unpack_from("<H4xHI", memory, 16 * vector)
        if base <= low | middle << 16 | high << 32 < base + size:
            vectors.append(vector)
    return vectors


if __name__ == "__main__":
    program = unittest.main(exit=False)
    if program.result.skipped and not program.result.testsRun:
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())
