# test_hvhost.py - hvhost with two clients of its own: one behaves, one does nothing right.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""KDLENS_HVHOST names hvhost.efi; hvecho.efi and hvbad.efi lie beside it."""
import random
import re
import struct
import sys
import tempfile
import time
import unittest
from pathlib import Path

import hvhost
import hvtrace

ECHO, BAD = (hvhost.IMAGE.with_name(name) for name in ("hvecho.efi", "hvbad.efi"))

# What the log must say about each of hvbad's cases, and nothing else.
VIOLATIONS = {
    "fast_post": "as a fast call|not aligned",
    "unaligned_post": "input at .*4 is not aligned",
    "post_from_nowhere": "fee00000 is not in RAM",
    "reserved_control": "bits that must be zero",
    "vmcall": "vmcall at|not through the hypercall page",
    "own_vmmcall": "not through the hypercall page",
    "unknown_connection": "connection id 777, which does not exist",
    "firmware_page": "SIEFP: .* written over the firmware's",
    "firmware_sint": "SINT of the firmware: .* written over",
    "firmware_contact": "sint 2: .*the SINT is the firmware's",
    "masked_contact": "sint 7: .*no answer can arrive",
    "short_message": "message of type 7 and 8 bytes",
    "unknown_message": "message of type 99",
    "host_message": "message of type 2 ",
    "second_request": "REQUESTOFFERS a second time",
    "close_unopened": "which is not open",
    "release_offered": "which was not rescinded",
    "gpadl_zero": "the handle is 0",
    "gpadl_no_ram": "page fee00 is not the guest's RAM",
    "gpadl_bytes": "does not go with the number of pages",
    "gpadl_twice": "the handle is in use",
    "body_alone": "body for bae, which wants none",
    "teardown_unknown": "GPADL bb4, which does not exist",
    "teardown_open": "while its channel .* is open",
    "open_again": "the channel is open",
    "signal_unknown": "5fff, which does not exist",
    "signal_flag": "signal with flag 3",
    "signal_unopened": "signal, but it is not open",
    "ring_offset": "payload offset of 8",
    "ring_length": "longer than what was published",
    "ring_type": "packet of type 2",
    "ring_flags": "packet with flags 4",
    "ring_footer": "trailer says that it began at 8",
    "ring_unaligned": "write index 2c",
    "ring_outside": "write index 10000",
    "ring_piece": "less than a packet",
    "ring_read_index": "read index was changed",
    "ring_silent": "written without a signal",
    "room_silent": "room in the host's ring, and no signal",
    "pipe_size": "says more than the packet has",
    "pipe_type": "not a data packet",
}


def setUpModule():
    reason = hvhost.missing()
    if reason:
        raise unittest.SkipTest(reason)


def packets(count, seed):
    source = random.Random(seed)
    return [source.randbytes(source.choice((1, 7, 8, 9, 100, 1000, 4000))) for _ in range(count)]


class Session(unittest.TestCase):
    """One boot, with options; the client echoes."""

    def run_echo(self, options, *, count=20, version="", after=None, trace=None):
        with hvhost.Host(ECHO, options=["framed", *options], command=version,
                         trace=trace) as host:
            host.wait("CLIENT open")
            with hvhost.Bridge(host) as bridge:
                for data in packets(count, str(options)):
                    bridge.send_packet(data)
                    self.assertEqual(data, bridge.receive_packet())
                if after:
                    after(host, bridge)
                rounds = host.firmware_rounds()
                bridge.send_packet(b"quit")
                self.assertEqual(b"quit", bridge.receive_packet())
            host.wait("CLIENT done")
            host.wait_end()
            if "no-firmware" not in options:
                self.assertGreater(host.firmware_rounds(), rounds)
            self.assertEqual([], host.violations(), host.lines())
            self.assertEqual(0, host.tally()["bad"])
            return host.lines()

    def test_echo(self):
        """Packets go in and out; the firmware's connection lives beside, and afterwards; what was
        recorded has the packets."""
        with tempfile.TemporaryDirectory() as folder:
            trace = Path(folder) / "trace"
            self.run_echo([], trace=trace)
            found = list(hvtrace.records(trace.read_bytes()))
        numbers = [struct.unpack_from("<I", record, 24)[0] for _, record in found]
        self.assertEqual(list(range(1, len(found) + 1)), numbers)
        own = [record for _, record in found if record[1] == 2 and record[6] == 5]
        sent = [record for record in own if record[2] == hvtrace.TO_GUEST]
        self.assertEqual(len(packets(20, "[]")) + 1, len(sent))
        for data, record in zip(packets(20, "[]"), sent):
            self.assertEqual(data, record[48 + 24:48 + 24 + len(data)])

    def test_rescind(self):
        """The pipe goes away while it is open, and comes back as another channel."""
        def rescind(host, bridge):
            host.command("rescind")
            host.wait("CLIENT rescinded")
            host.command("offer")
            self.wait_opens(host, 2)
            bridge.send_packet(b"again")
            self.assertEqual(b"again", bridge.receive_packet())

        lines = self.run_echo([], after=rescind)
        opened = [line for line in lines if "(pipe) opened" in line]
        self.assertEqual(2, len(opened))
        self.assertNotEqual(*opened)

    def test_slow_host(self):
        """Everything late; the ring not read for a while; a signal with nothing behind it."""
        lines = self.run_echo(["delay-message=50", "delay-gpadl=200", "delay-open=200", "stall=800",
                               "late-interrupt=20", "delay-signal=20", "double-signal",
                               "spurious=50", "no-interrupt"])
        times = {name: next(line.time for line in lines if name in line)
                 for name in ("starting", "(pipe) opened")}
        # Version, offers, GPADL and open: five messages one behind the other, and two waits, 0.65 s
        # by a clock that a loaded machine may set up a third too slow.
        self.assertGreater(times["(pipe) opened"] - times["starting"], 0.25)

    def test_trickle(self):
        """Each packet cut: what comes back is the same bytes in more packets."""
        with hvhost.Host(ECHO, options=["trickle=10"]) as host:
            host.wait("CLIENT open")
            with hvhost.Bridge(host) as bridge:
                data = random.Random(1).randbytes(2000)
                bridge.socket.sendall(data)
                self.assertEqual(data, bridge.receive(len(data)))
            host.command("tally")
            out = re.search(r"out (\d+) packets", host.wait(r"INFO channel \d+ \(pipe\): in"))
            self.assertGreaterEqual(int(out[1]), 200)
            self.assertEqual([], host.violations())

    def clients(self, host):
        return [str(line) for line in host.lines() if line.kind == "CLIENT"]

    def test_refusals(self):
        """One after the other, each used up by a connection that fails; the last works."""
        lines = self.run_echo(["drop-message=1", "drop-type=15", "refuse=2", "fail-state=1",
                               "nack-gpadl=1", "nack-open=1", "busy=1"])
        self.assertEqual(
            ["no answer to INITIATE_CONTACT", "no answer to INITIATE_CONTACT",
             "the version is refused", "the version is refused", "no GPADL", "no open channel",
             "open", "closing", "done"], [line for line in lines if line.kind == "CLIENT"])
        self.assertEqual(7, len([line for line in lines if line.kind == "FAULT"]))

    def test_refused_for_good(self):
        for option, what in (("no-multiclient", "no answer to INITIATE_CONTACT"),
                             ("no-offer", "the device is not offered"),
                             ("max-version=4.1", "the version is refused")):
            with self.subTest(option), hvhost.Host(ECHO, options=[option]) as host:
                host.wait("CLIENT gave up")
                self.assertEqual({what, "gave up"}, set(self.clients(host)))
                self.assertEqual([], host.violations())

    def test_corruption(self):
        """What is wrong is in the ring: the client's own checks see it, and it starts anew."""
        kinds = {"length": "the ring is broken", "offset": "the ring is broken",
                 "index": "the ring is broken",
                 "pipe-length": "a pipe packet of an impossible size"}
        with hvhost.Host(ECHO, options=["framed"]) as host, hvhost.Bridge(host) as bridge:
            for count, (kind, what) in enumerate(kinds.items(), 1):
                self.wait_opens(host, count)
                host.command(f"corrupt={kind}:corrupt-at=2")
                bridge.send_packet(b"one")
                self.assertEqual(b"one", bridge.receive_packet())
                bridge.send_packet(b"two")
            self.wait_opens(host, len(kinds) + 1)
            told = [line for line in self.clients(host) if line not in ("open", "closing")]
            self.assertEqual(list(kinds.values()), told)
            self.assertEqual([], host.violations())

    def wait_opens(self, host, count):
        end = time.monotonic() + hvhost.PATIENCE
        while self.clients(host).count("open") < count:
            self.assertLess(time.monotonic(), end, host.lines())
            time.sleep(0.05)

    def test_versions(self):
        """The oldest and the newest that a connection of its own can have."""
        lines = self.run_echo([], version="50003", count=3)
        self.assertTrue(any("sint 5: connected with version 50003" in line for line in lines))


class Strict(unittest.TestCase):
    def test_every_violation(self):
        """Each case gets its line, and cases that are no violation get none."""
        with hvhost.Host(BAD) as host:
            host.wait("CLIENT case room_silent")
            with hvhost.Bridge(host) as bridge:
                bridge.socket.sendall(bytes(20000))
                host.wait("CLIENT done")
            host.wait_end()
            lines = host.lines()
        found, case = {}, None
        for line in lines:
            if line.kind == "CLIENT":
                case = line.split()[1] if line.startswith("case ") else None
                if case:
                    found[case] = []
            elif line.kind == "BAD":
                found.setdefault(case, []).append(line)
        self.assertEqual([], found.pop("nothing_wrong"))
        self.assertEqual(set(VIOLATIONS), set(found), lines)
        for case, pattern in VIOLATIONS.items():
            with self.subTest(case):
                self.assertTrue(found[case])
                for line in found[case]:
                    self.assertRegex(line, pattern)


class Options(unittest.TestCase):
    def test_unknown_option_is_an_error(self):
        with hvhost.Host(ECHO, options=["framed", "no-such-thing=1"]) as host:
            host.wait("FAIL option no-such-thing")
            host.wait_end()
            self.assertIsNone(host.find("starting"))


if __name__ == "__main__":
    result = unittest.main(exit=False).result
    skipped = [reason for _, reason in result.skipped]
    if skipped:
        print(f"skipped: {skipped[0]}")
    sys.exit(1 if not result.wasSuccessful() else 77 if skipped else 0)
