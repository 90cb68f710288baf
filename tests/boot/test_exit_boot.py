# test_exit_boot.py - the end of the boot services, as an operating system's loader brings it about.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""kdexample's word "exitboot" calls GetMemoryMap and ExitBootServices, runs on, writes to the UART
by itself and resets the machine, which then stands still to be looked at. Nothing of the agent may
be left: what it left would have faulted, or be in the machine's memory.
"""
import sys
import unittest

import agentsession
from agentsession import IMAGES, Image, Session
from test_stops import gates_in

RESULT = 5 * 3 + 1  # KdExampleTick(5), in kdexample.c
STANDS = ("-action", "reboot=shutdown,shutdown=pause")


def setUpModule():
    scratch = agentsession.scratch_folder("kdexit")
    globals()["AGENT"] = Image(IMAGES / "kdagent.efi")
    globals()["EXAMPLE"] = Image(IMAGES / "kdexample.efi")
    globals()["SAVED"] = agentsession.boot_example(
        scratch, "message = 60000\n", until=agentsession.first_event, extra=STANDS)


class ExitBootServices(unittest.TestCase):
    def setUp(self):
        self.session = Session(SAVED)
        self.addCleanup(self.session.close)
        self.machine = self.session.machine
        self.debugger = self.session.debugger()
        self.debugger.command("echo connected")
        self.debugger.stop("g")  # from the agent's load event to the first break
        self.debugger.command("g")
        self.debugger.wait("prompt", "kdexample>")

    def events(self, kind: str) -> list:
        return [event for event in self.debugger.events if event["event"] == kind]

    def test_leaves(self):
        debugger, tick = self.debugger, EXAMPLE.names["KdExampleTick"]
        debugger.command("reply int3")
        debugger.wait("stop")
        agent, example = (debugger.number(f"$base({name})") for name in ("kdagent", "kdexample"))
        # One of each kind where kdexample passes after the end of the boot services.
        debugger.command(f"bp kdexample+{tick:x}")
        debugger.command(f"ba e1 kdexample+{tick:x}")
        debugger.command(f"ba w4 kdexample+{EXAMPLE.names['KdExampleCounter']:x}")
        debugger.command("g")
        debugger.wait("prompt", "kdexample>")
        self.assertNotEqual(gates_in(self.machine, agent, AGENT.size), [])
        debugger.command("reply exitboot")
        debugger.wait("exit")
        self.assertEqual(self.events("load")[-1]["module"], "kdexample")
        self.assertEqual(len(self.events("exit")), 1)
        text = ""
        while "result" not in text or not text.endswith("\n"):
            text += debugger.wait("console")["text"]  # in pieces, as it comes
        self.assertIn(f"result {RESULT:08x}", text)
        self.machine.wait_status("shutdown")

        self.assertEqual(gates_in(self.machine, agent, AGENT.size), [])
        self.assertEqual(self.machine.memory(example + tick, 16), EXAMPLE.bytes_at(tick, 16))
        self.assertEqual(self.machine.registers()["DR7"], 0x400)
        self.assertEqual(self.events("restart"), [])
        self.assertNotIn(b"Exception Type", self.session.recorded().read_bytes())


if __name__ == "__main__":
    program = unittest.main(exit=False)
    if program.result.skipped and not program.result.testsRun:
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())
