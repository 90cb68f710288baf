# test_power_on.py - a debugger has been calling since power-on: the agent comes up all the same.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The agent is \\EFI\\BOOT\\BOOTX64.EFI's, as on its media. The debugger sends a break-in and RESET
every 350 ms, as WinDbg does that waits, through a relay that changes nothing: while the firmware
has its console on the line, while the agent tests the UART, until its first packet is acknowledged.

KDLENS_POWER_ON_RUNS is the number of boots, 2 without it. KDLENS_AGENT_IMAGES names the folder with
kdagent.efi and kdboot.efi.
"""
import os
import select
import shutil
import socket
import struct
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

import machine

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES = Path(os.environ.get("KDLENS_AGENT_IMAGES") or REPOSITORY / "build/uefi-agent")
RUNS = int(os.environ.get("KDLENS_POWER_ON_RUNS") or 2)
CALL_EVERY = 0.35  # seconds
QUIET = 3  # seconds without a RESET are no endless exchange: one round takes less than a tenth
ROUNDS = 20  # of requests that a late RESET may cost; WinDbg's storms had hundreds

DATA, CONTROL = b"0000", b"iiii"
MANIPULATE, ACKNOWLEDGE, RESEND, RESET, STATE_CHANGE = 2, 4, 5, 6, 7
GET_VERSION, CONTINUE = 0x3146, 0x3136
FIRST, SYNC = 0x80800000, 0x800
DBG_CONTINUE = 0x00010002


def missing() -> str:
    for name in ("kdagent.efi", "kdboot.efi"):
        if not (IMAGES / name).exists():
            return f"no {IMAGES / name} (build it first)"
    return machine.missing()


class Relay:
    """Bytes from one socket to the other and back, as they come."""

    def __init__(self, one, other):
        self.ends = [one, other]
        self.threads = [threading.Thread(target=self._copy, args=pair, daemon=True)
                        for pair in ((one, other), (other, one))]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def _copy(source, sink):
        try:
            while data := source.recv(4096):
                sink.sendall(data)
        except OSError:
            pass

    def close(self):
        for end in self.ends:
            end.close()


class Debugger:
    """Packets by hand: shares nothing with the project's link."""

    def __init__(self, line):
        self.line, self.buffer, self.everything = line, b"", b""
        self.next_id, self.got_id = FIRST, None
        self.calls = self.resets = self.resends = 0
        self.reset_at = None
        self.end = time.monotonic() + machine.PATIENCE

    def control(self, kind, number=0):
        self.line.sendall(CONTROL + struct.pack("<HHII", kind, 0, number, 0))

    def call(self):
        self.line.sendall(b"b")
        self.control(RESET)
        self.calls += 1

    def receive(self, patience):
        assert time.monotonic() < self.end, f"nothing more; at the end came {self.tail()}"
        if select.select([self.line], [], [], patience)[0]:
            data = self.line.recv(65536)
            assert data, f"the line ended after {self.tail()}"
            self.buffer += data
            self.everything += data

    def tail(self):
        return f"{self.everything[-300:]!r}"

    def packet(self):
        """(leader, type, id, payload), or None when no whole one is there."""
        while len(self.buffer) >= 16:
            leader = self.buffer[:4]
            kind, size, number, checksum = struct.unpack_from("<HHII", self.buffer, 4)
            if leader == CONTROL and size == 0 and checksum == 0:
                self.buffer = self.buffer[16:]
                return leader, kind, number, b""
            if leader == DATA and kind <= 12 and size <= 4000:
                if len(self.buffer) < 17 + size:
                    return None
                payload = self.buffer[16:16 + size]
                if sum(payload) == checksum and self.buffer[16 + size] == 0xAA:
                    self.buffer = self.buffer[17 + size:]
                    return leader, kind, number, payload
            self.buffer = self.buffer[1:]
        return None

    def message(self, patience):
        """The next new data packet, acknowledged; or None after so many seconds without one."""
        until = time.monotonic() + patience
        while True:
            while packet := self.packet():
                leader, kind, number, payload = packet
                if leader == DATA:
                    self.control(ACKNOWLEDGE, number & ~SYNC)
                    if number & SYNC:
                        self.next_id = FIRST
                    elif number == self.got_id:
                        continue
                    self.got_id = number & ~SYNC
                    return kind, payload
                if kind == RESET:
                    self.resets += 1
                    self.reset_at = time.monotonic()
                    self.next_id, self.got_id = FIRST, None
                elif kind == RESEND:
                    self.resends += 1
            if time.monotonic() >= until:
                return None
            self.receive(max(0, until - time.monotonic()))

    def connect(self):
        """Calls until the first packet has come; that packet."""
        while not (message := self.message(CALL_EVERY)):
            assert b"not started" not in self.everything, self.tail()
            self.call()
        return message

    def request(self, api, body=b""):
        payload = struct.pack("<IHHI4x", api, 0, 0, 0x103) + body.ljust(40, b"\0")
        self.line.sendall(DATA + struct.pack("<HHII", MANIPULATE, len(payload), self.next_id,
                                             sum(payload)) + payload + b"\xaa")
        self.next_id ^= 1

    def ask(self, api):
        """The reply; asked again where a RESET that was on its way began the session anew."""
        for _ in range(ROUNDS):
            self.request(api)
            resets = self.resets
            while message := self.message(5):
                kind, payload = message
                if kind == MANIPULATE and struct.unpack_from("<I", payload)[0] == api:
                    return payload
                if kind == STATE_CHANGE and self.resets > resets:
                    break
        raise AssertionError(f"no reply after {ROUNDS} rounds and {self.resets} RESETs")

    def go(self):
        self.request(CONTINUE, struct.pack("<I", DBG_CONTINUE))


class PowerOn(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        reason = missing()
        if reason:
            raise unittest.SkipTest(reason)
        folder = Path(tempfile.mkdtemp(prefix="kdpower"))
        cls.addClassCleanup(shutil.rmtree, folder, True)
        cls.esp = machine.make_esp(folder / "esp.img", {
            "EFI/BOOT/BOOTX64.EFI": IMAGES / "kdboot.efi",
            "kdagent.efi": IMAGES / "kdagent.efi",
            "kdagent.cfg": b"wait = forever\nchain = none\n",
        })

    def run_once(self):
        # The processor waits until the line is complete.
        with machine.Machine(esp=self.esp, extra=("-S",)) as guest:
            far = socket.socket(socket.AF_UNIX)
            far.connect(str(guest.uart))
            line, near = socket.socketpair()
            relay = Relay(near, far)
            try:
                debugger = Debugger(line)
                debugger.call()
                guest.resume()
                kind, payload = debugger.connect()
                self.assertEqual(kind, STATE_CHANGE)
                self.check(debugger)
            finally:
                line.close()
                relay.close()
        return debugger

    def check(self, debugger):
        """A session that works, in which nothing is repeated without end."""
        version = debugger.ask(GET_VERSION)
        self.assertEqual(struct.unpack_from("<I", version, 8)[0], 0)
        self.assertEqual(struct.unpack_from("<H", version, 16 + 8)[0], 0x8664)
        self.assertLessEqual(debugger.resets, debugger.calls + 1)
        debugger.go()
        while message := debugger.message(QUIET):
            if message[0] == STATE_CHANGE:
                debugger.go()
        settled = time.monotonic() - QUIET
        self.assertLess(debugger.reset_at or 0, settled, "RESET after RESET")

    def test_comes_up(self):
        for run in range(RUNS):
            with self.subTest(run=run + 1):
                start = time.monotonic()
                debugger = self.run_once()
                print(f"boot {run + 1}: {debugger.calls} calls, answered by {debugger.resets} "
                      f"RESET and {debugger.resends} RESEND, {time.monotonic() - start:.1f} s",
                      flush=True)


if __name__ == "__main__":
    program = unittest.main(exit=False)
    if program.result.skipped and not program.result.testsRun:
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())
