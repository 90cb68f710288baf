# test_tap_fault.py - kdlens tap --fault: a bad line on purpose, and a recording that says so.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the two ends get, what the recording says they got, and that each fault is marked."""

import contextlib
import subprocess
import unittest

import kdtap
from kdtap import DEBUGGER, UNIX, UNIX_LISTEN, start
import kdwire

COUNT = 200
PACKETS = [kdwire.packet(2, 0x80800000 | (number & 1), bytes([number & 0x7F]) * 40)
           for number in range(COUNT)]
DROPPED = "not delivered: dropped on purpose by --fault"
DAMAGED = "damaged on purpose by --fault: bit "
REPEATED = "repeated on purpose by --fault"
LATE = "delayed on purpose by --fault"


class Faults(unittest.TestCase):
    def record(self, faults: str) -> tuple[bytes, kdtap.Recording, dict]:
        """What the target got of PACKETS, the recording, the event of the end."""
        file = kdtap.new_path(".pcapng")
        tap, debugger, target = start(UNIX_LISTEN, UNIX, "-w", file, "--fault", faults)
        got = bytearray()
        with tap, contextlib.closing(debugger), contextlib.closing(target):
            for number in range(0, COUNT, 10):
                debugger.send(b"".join(PACKETS[number:number + 10]))
                got += target.silent(0.1)
            # Something that no fault touches shows that all before it has come.
            debugger.send(b"end of the line")
            while not got.endswith(b"end of the line"):
                more = target.receive_some()
                self.assertIsNotNone(more)
                got += more
            self.assertEqual(tap.stop(), 0)
            event = tap.wait("faults")
        return bytes(got), kdtap.read_recording(file), event

    def assert_marked(self, recording: kdtap.Recording, comment: str, count: int):
        self.assertEqual(recording.comments().count(comment), count, comment)

    def test_recording_has_what_was_delivered(self):
        faults = "drop=5%,corrupt=5%,dup=5%,delay=2%:40ms,seed=11"
        got, recording, event = self.record(faults)
        self.assertEqual(recording.sent(DEBUGGER, delivered=True), got)
        self.assertNotEqual(got, b"".join(PACKETS) + b"end of the line")
        self.assertEqual(event["frames"], COUNT)
        for member in ("dropped", "damaged", "repeated", "late"):
            self.assertGreater(event[member], 0, member)
        self.assert_marked(recording, DROPPED, event["dropped"])
        self.assert_marked(recording, REPEATED, event["repeated"])
        self.assert_marked(recording, LATE, event["late"])
        damaged = [text for text in recording.comments() if text.startswith(DAMAGED)]
        self.assertEqual(len(damaged), event["damaged"])
        self.assertIn(f"faults are put into this line on purpose: --fault {faults}",
                      recording.comments())

    def test_each_packet_is_whole_twice_or_missing(self):
        got, _, event = self.record("drop=10%,dup=10%,seed=2")
        rest, lost, twice = got, 0, 0
        for packet in PACKETS:
            if not rest.startswith(packet):
                lost += 1
                continue
            rest = rest[len(packet):]
            if rest.startswith(packet):
                twice += 1
                rest = rest[len(packet):]
        self.assertEqual(rest, b"end of the line")
        self.assertEqual((lost, twice), (event["dropped"], event["repeated"]))

    def test_a_wait_keeps_the_order(self):
        got, recording, event = self.record("delay=20%:30ms")
        self.assertEqual(got, b"".join(PACKETS) + b"end of the line")
        self.assertEqual(recording.sent(DEBUGGER), got)
        self.assertGreater(event["late"], 10)

    def test_other_direction_is_spared(self):
        tap, debugger, target = start(UNIX_LISTEN, UNIX, "--fault", "drop=1,from=target")
        with tap, contextlib.closing(debugger), contextlib.closing(target):
            debugger.send(PACKETS[0])
            self.assertEqual(target.receive(len(PACKETS[0])), PACKETS[0])
            target.send(PACKETS[0])
            self.assertEqual(debugger.silent(0.5), b"")
            self.assertEqual(tap.stop(), 0)

    def test_usage(self):
        done = subprocess.run([kdtap.PROGRAM,
                               "tap", "unix:a", "unix:b", "--fault", "lose=1"],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn('"lose=1" is not understood', done.stderr)


if __name__ == "__main__":
    unittest.main()
