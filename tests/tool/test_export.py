# test_export.py - kdlens export: UDP, raw bytes, JSON lines; out of recordings and of KDNET.
# SPDX-License-Identifier: BSD-2-Clause-Patent
import gzip
import json
import os
import struct
import sys
import unittest
from collections import Counter
from decimal import Decimal

import kdfiles
from kdfiles import FROM_DEBUGGER, FROM_TARGET, Capture, kdlens, scratch
import kdtest
sys.path.insert(0, str(kdfiles.REPOSITORY / "tests/dissector/generate"))
import capturefile
import kdwire

PCAPS = kdfiles.REPOSITORY / "pcaps"
KEY = "wwa9qyd3yzr0.2wjshpipwi9el.316j4ftj9xwg9.96ggdc1icgbe"  # of pcaps/, see its README.md
OTHER_KEY = "3cfrbosrwcxuw.34z6qdr5lrgqy.6xlyjahdtsjq.1mxt900op5wop"

# Real captures with their keys, and the KD packets in them; numbers of an independent program.
STATE_MANIPULATE, DEBUG_IO, ACKNOWLEDGE, RESEND, RESET, STATE_CHANGE64, FILE_IO = (
    2, 3, 4, 5, 6, 7, 11)
REAL = {
    "windbg-uncut.pcapng.gz": ("8.8.8.8", None, None),
    "windows-bootmgr-kdnet.pcap.gz": (
        "1a2b3c4d5e6f7.8g9h0i1j2k3l.2m6n7o8p9q0r1.2s3t4u5v6w7x",
        {ACKNOWLEDGE: 390, STATE_MANIPULATE: 380, RESET: 3, FILE_IO: 2, RESEND: 1, "break-in": 3},
        {ACKNOWLEDGE: 382, STATE_MANIPULATE: 371, STATE_CHANGE64: 11, DEBUG_IO: 9, RESET: 2,
         FILE_IO: 2}),
    "windbg-kdnet-plain.pcapng.gz": (
        None,
        {ACKNOWLEDGE: 84, RESEND: 1, STATE_MANIPULATE: 84, "break-in": 2},
        {ACKNOWLEDGE: 84, DEBUG_IO: 3, STATE_CHANGE64: 3, STATE_MANIPULATE: 80}),
    "windbg-kdnet-v1.pcapng.gz": (
        "2o.l.d.1",
        {ACKNOWLEDGE: 84, RESEND: 1, STATE_MANIPULATE: 84, "break-in": 2},
        {ACKNOWLEDGE: 84, DEBUG_IO: 2, STATE_CHANGE64: 3, STATE_MANIPULATE: 80}),
    "windbg-kdnet-v3.pcapng.gz": (
        "k.d.n.et3",
        {ACKNOWLEDGE: 85, RESEND: 1, RESET: 1, STATE_MANIPULATE: 84, "break-in": 2},
        {ACKNOWLEDGE: 84, DEBUG_IO: 2, RESET: 1, STATE_CHANGE64: 4, STATE_MANIPULATE: 80}),
    "windbg-kdnet-v4.pcapng.gz": (
        "4.4.4.4",
        {ACKNOWLEDGE: 128, RESEND: 1, RESET: 1, STATE_MANIPULATE: 123, "break-in": 3},
        {ACKNOWLEDGE: 123, DEBUG_IO: 7, RESET: 1, STATE_CHANGE64: 5, STATE_MANIPULATE: 117}),
    "windbg-kdnet-v5-ipv6.pcapng.gz": (
        "ip.v.6.key",
        {ACKNOWLEDGE: 92, RESEND: 1, RESET: 1, STATE_MANIPULATE: 91, "break-in": 2},
        {ACKNOWLEDGE: 91, DEBUG_IO: 2, RESET: 1, STATE_CHANGE64: 4, STATE_MANIPULATE: 87}),
    "windbg-kdnet-v5-faults.pcapng.gz": (
        "2steg4fzbj2sz.23418vzkd4ko3.1g34ou07z4pev.1sp3yo9yz874p",
        {ACKNOWLEDGE: 306, RESEND: 4, RESET: 3, STATE_MANIPULATE: 454, "break-in": 5},
        {ACKNOWLEDGE: 395, DEBUG_IO: 8, RESET: 3, STATE_CHANGE64: 22, STATE_MANIPULATE: 294}),
    "windbg-kdnet-refused.pcapng.gz": (
        "r3.fus.ed.0",
        {ACKNOWLEDGE: 57, RESEND: 1, RESET: 1, STATE_MANIPULATE: 56, "break-in": 2},
        {ACKNOWLEDGE: 56, DEBUG_IO: 2, RESET: 1, STATE_CHANGE64: 2, STATE_MANIPULATE: 54}),
}


def key_file(*lines: str):
    path = scratch("keys.txt")
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def exported(capture, *args, status: int = 0) -> list[kdtest.Chunk]:
    """The chunks of an export to JSON lines."""
    path = scratch("out.jsonl")
    path.unlink(missing_ok=True)
    kdlens("export", capture, "--jsonl", path, *args, status=status)
    return kdtest.read_recording(path)


def bytes_by_direction(chunks) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for chunk in chunks:
        found[chunk.direction] = found.get(chunk.direction, b"") + chunk.data
    return found


class Serial(unittest.TestCase):
    CAPTURE = PCAPS / "serial-session.pcapng"

    def records(self):
        return kdfiles.records(Capture(self.CAPTURE))

    def test_json_lines_are_the_records(self):
        names = {FROM_DEBUGGER: "h2t", FROM_TARGET: "t2h"}
        kdlens("export", self.CAPTURE, "--jsonl", scratch("exact.jsonl"))
        rows = [json.loads(line, parse_float=Decimal)
                for line in scratch("exact.jsonl").read_text().splitlines()]
        self.assertEqual([(row["t"], row["dir"], row["hex"]) for row in rows],
                         [(Decimal(record.nanoseconds) / 10**9, names[record.direction],
                           record.data.hex()) for record in self.records()])

    def test_relative_times(self):
        start = self.records()[0].nanoseconds
        self.assertEqual([chunk.nanoseconds for chunk in exported(self.CAPTURE, "--relative")],
                         [record.nanoseconds - start for record in self.records()])

    def test_to_standard_output(self):
        done = kdlens("export", self.CAPTURE, "--jsonl", "-")
        self.assertEqual(len(done.stdout.splitlines()), len(self.records()))
        self.assertEqual({json.loads(line)["dir"] for line in done.stdout.splitlines()},
                         {"h2t", "t2h"})

    def test_raw(self):
        kdlens("export", self.CAPTURE, "--raw", scratch("bytes"))
        for direction in (FROM_DEBUGGER, FROM_TARGET):
            self.assertEqual(scratch(f"bytes.from-{direction}").read_bytes(),
                             kdfiles.one_way(self.records(), direction))
        self.assertFalse(scratch("bytes.unknown").exists())

    def test_unknown_direction(self):
        scratch("dump").write_bytes(kdwire.packet(4, 0x80800000))
        kdlens("import", scratch("dump"), "--format", "raw", "-w", scratch("dump.pcapng"))
        kdlens("export", scratch("dump.pcapng"), "--raw", scratch("one"), "--jsonl",
               scratch("one.jsonl"))
        self.assertEqual(scratch("one.unknown").read_bytes(), scratch("dump").read_bytes())
        self.assertEqual(scratch("one.from-target").read_bytes(), b"")
        kdlens("import", scratch("one.jsonl"), "-w", scratch("again.pcapng"))
        self.assertEqual(kdfiles.records(Capture(scratch("again.pcapng")))[0].direction, None)

    def test_several_at_once(self):
        kdlens("export", self.CAPTURE, "--raw", scratch("all"), "--jsonl", scratch("all.jsonl"),
               "--as-udp", scratch("all.pcap"))
        size = sum(len(record.data) for record in self.records())
        self.assertEqual(sum(len(chunk.data)
                             for chunk in kdtest.read_recording(scratch("all.jsonl"))), size)
        self.assertEqual(sum(len(frame) - 42
                             for _, frame in kdfiles.read_pcap(scratch("all.pcap"))), size)

    def test_streams_are_asked_for(self):
        path = PCAPS / "two-interfaces.pcapng"
        by_interface = {number: [record.data for record in kdfiles.records(Capture(path))
                                 if record.interface == number] for number in (0, 1)}
        done = kdlens("export", path, "--jsonl", scratch("first.jsonl"), status=1)
        self.assertIn("--stream", done.stderr)
        for number in (0, 1):
            self.assertEqual([chunk.data for chunk in exported(path, "--stream", number + 1)],
                             by_interface[number])
        done = kdlens("export", path, "--jsonl", scratch("third.jsonl"), "--stream", 3, status=1)
        self.assertIn("no stream 3", done.stderr)


class Udp(unittest.TestCase):
    def frames(self, capture):
        kdlens("export", capture, "--as-udp", scratch("udp.pcap"))
        return kdfiles.read_pcap(scratch("udp.pcap"))

    def test_a_datagram_for_each_record(self):
        record_list = kdfiles.records(Capture(Serial.CAPTURE))
        frames = self.frames(Serial.CAPTURE)
        self.assertEqual([frame[42:] for _, frame in frames],
                         [record.data for record in record_list])
        self.assertEqual([time for time, _ in frames],
                         [record.nanoseconds // 1000 * 1000 for record in record_list])
        for (_, frame), record in zip(frames, record_list):
            ports = struct.unpack_from(">HH", frame, 34)
            self.assertEqual(ports, (51111, 51112) if record.direction == FROM_DEBUGGER
                             else (51112, 51111))

    def test_frames_are_what_another_writer_makes(self):
        debugger = capturefile.End("192.168.0.2", 51111, "02:00:00:00:00:02")
        target = capturefile.End("192.168.0.1", 51112, "02:00:00:00:00:01")
        for number, (_, frame) in enumerate(self.frames(Serial.CAPTURE)):
            ends = (debugger, target)
            if struct.unpack_from(">H", frame, 34)[0] == 51112:
                ends = (target, debugger)
            self.assertEqual(frame, capturefile.udp(*ends, frame[42:], number))

    def test_what_no_frame_can_hold_is_cut(self):
        data = bytes(200_000)
        scratch("long.jsonl").write_text(json.dumps({"t": 1, "dir": "t2h", "hex": data.hex()}))
        kdlens("import", scratch("long.jsonl"), "--raw", "-w", scratch("long.pcapng"))
        frames = self.frames(scratch("long.pcapng"))
        self.assertEqual(b"".join(frame[42:] for _, frame in frames), data)
        self.assertLessEqual(max(len(frame) for _, frame in frames), 65535)
        self.assertEqual(kdfiles.complaints("tshark", "-r", scratch("udp.pcap")), [])

    def test_dissector_sees_the_same_session(self):
        shark = kdfiles.with_plugin()
        names = ["kd.type", "kd.id", "kd.api", "kd.status"]
        self.frames(Serial.CAPTURE)
        self.assertEqual(shark.problems(scratch("udp.pcap")), [])
        self.assertEqual(shark.fields(scratch("udp.pcap"), names, filter="kd.type"),
                         shark.fields(Serial.CAPTURE, names, filter="kd.type"))

    def test_it_can_be_imported_again(self):
        self.frames(Serial.CAPTURE)
        kdlens("import", scratch("udp.pcap"), "-w", scratch("again.pcapng"))
        before, after = (kdfiles.records(Capture(path))
                         for path in (Serial.CAPTURE, scratch("again.pcapng")))
        for direction in (FROM_DEBUGGER, FROM_TARGET):
            self.assertEqual(kdfiles.one_way(after, direction), kdfiles.one_way(before, direction))
            # Text that came in pieces is one run of noise.
            self.assertEqual(*([record.data for record in found if record.kind != "noise"]
                               for found in (before, after)))


class Kdnet(unittest.TestCase):
    def serial_records(self, capture, *args, status: int = 0):
        """What is exported, as a serial recording cut into packets."""
        exported(capture, *args, status=status)
        kdlens("import", scratch("out.jsonl"), "-w", scratch("serial.pcapng"))
        return kdfiles.records(Capture(scratch("serial.pcapng")))

    def test_packets_of_real_captures(self):
        for name, (key, *expected) in REAL.items():
            with self.subTest(name):
                path = kdtest.captures(name)
                keys = ["--key-file", key_file(key)] if key else []
                found = self.serial_records(path, *keys)
                self.assertNotIn("noise", [record.kind for record in found])
                for direction, numbers in zip((FROM_DEBUGGER, FROM_TARGET), expected):
                    if numbers:
                        self.assertEqual(dict(kdfiles.kinds(found, direction)), numbers)

    def test_uncut(self):
        found = self.serial_records(kdtest.captures("windbg-uncut.pcapng.gz"), "--key-file",
                                    key_file("8.8.8.8"))
        self.assertEqual(Counter(record.kind for record in found),
                         {ACKNOWLEDGE: 259, STATE_MANIPULATE: 187, FILE_IO: 66, DEBUG_IO: 7,
                          STATE_CHANGE64: 3, RESEND: 2, RESET: 2})
        self.assertEqual(sum(record.direction == FROM_DEBUGGER for record in found), 262)

    def test_dissector_sees_the_same_session(self):
        shark = kdfiles.with_plugin()
        capture = PCAPS / "kdnet-session.pcapng"
        names = ["kd.type", "kd.id", "kd.api", "kd.status"]
        self.serial_records(capture, "--key-file", key_file(KEY))
        self.assertEqual(shark.fields(scratch("serial.pcapng"), names, filter="kd.type"),
                         shark.fields(capture, names, f"kdnet.key:{KEY}", filter="kd.type"))

    def test_several_sessions_in_one_conversation(self):
        shark = kdfiles.with_plugin()
        capture = PCAPS / "kdnet-rekey.pcapng"
        found = self.serial_records(capture, "--key-file", key_file(KEY))
        # What the receiver drops (copies, forged or reflected datagrams) is not in the stream.
        wanted = [kind or "break-in"
                  for kind, *dropped in shark.fields(
                      capture, ["kd.type", "kdnet.replay", "kdnet.expert.direction"],
                      f"kdnet.key:{KEY}", filter="kd")
                  if not any(dropped)]
        self.assertEqual([str(record.kind) for record in found], wanted)

    def test_keys_by_address(self):
        capture = PCAPS / "kdnet-two-targets.pcapng"
        keys = key_file("# two machines", "", f"192.0.2.72 {KEY}", f"192.0.2.73:50001 {OTHER_KEY}")
        done = kdlens("export", capture, "--key-file", keys, "--jsonl", scratch("out.jsonl"),
                      status=1)
        self.assertIn("several streams", done.stderr)
        streams = [self.serial_records(capture, "--key-file", keys, "--stream", number)
                   for number in (1, 2)]
        for stream in streams:
            self.assertIn(STATE_CHANGE64, [record.kind for record in stream])
        keys = key_file(f"192.0.2.72 {OTHER_KEY}", f"192.0.2.73 {KEY}")
        kdlens("export", capture, "--key-file", keys, "--jsonl", scratch("out.jsonl"), status=1)

    def test_keys_of_the_capture_itself(self):
        capture = PCAPS / "kdnet-session.pcapng"
        kdlens("keys", "add", capture, "--key-file", key_file(KEY), "-w", scratch("own.pcapng"))
        self.assertEqual(exported(scratch("own.pcapng")),
                         exported(capture, "--key-file", key_file(KEY)))

    def test_ipv6(self):
        chunks = exported(PCAPS / "kdnet-ipv6.pcapng", "--key-file", key_file(KEY))
        self.assertEqual(set(bytes_by_direction(chunks)), {"h2t", "t2h"})

    def test_without_key(self):
        done = kdlens("export", PCAPS / "kdnet-session.pcapng", "--jsonl", scratch("out.jsonl"),
                      status=1)
        self.assertIn("--key-file", done.stderr)

    def test_wrong_key(self):
        done = kdlens("export", PCAPS / "kdnet-session.pcapng", "--key-file", key_file("1.2.3.4"),
                      "--jsonl", scratch("out.jsonl"), status=1)
        self.assertIn("wrong key?", done.stderr)
        self.assertNotIn("1.2.3.4", done.stderr)

    def test_key_that_is_none(self):
        for lines in (["1.2.3"], ["1.2.3.4.5"], ["x y z"], [], ["# nothing"], ["1.2.3.!"],
                      ["300.0.0.1 1.2.3.4"]):
            done = kdlens("export", PCAPS / "kdnet-session.pcapng", "--key-file", key_file(*lines),
                          "--jsonl", scratch("out.jsonl"), status=1)
            self.assertIn("keys.txt", done.stderr)

    def test_key_on_the_command_line_is_warned_of(self):
        done = kdlens("export", PCAPS / "kdnet-session.pcapng", "-k", KEY, "--jsonl",
                      scratch("out.jsonl"))
        self.assertIn("--key-file", done.stderr)
        self.assertNotIn(KEY, done.stderr)

    def test_key_from_standard_input(self):
        done = kdlens("export", PCAPS / "kdnet-session.pcapng", "--key-file", "-", "--jsonl",
                      scratch("out.jsonl"), input=f"{KEY}\n")
        self.assertEqual(done.stderr, "")


class Wrong(unittest.TestCase):
    def test_arguments(self):
        capture = Serial.CAPTURE
        for arguments in (["export"], ["export", capture], ["export", capture, "--as-udp"],
                          ["export", capture, "--jsonl", capture],
                          ["export", capture, "--jsonl", "-", "--stream", "0"],
                          ["export", capture, "--jsonl", "-", "--stream", "x"]):
            kdlens(*arguments, status=2)

    def test_no_capture(self):
        scratch("text").write_text("not a capture")
        for path in (scratch("nowhere"), scratch("text")):
            done = kdlens("export", path, "--jsonl", scratch("out.jsonl"), status=1)
            self.assertIn(str(path), done.stderr)

    def test_capture_without_kd(self):
        scratch("none.pcapng").write_bytes(capturefile.pcapng(
            [capturefile.Interface("eth0", "", linktype=1)],
            [capturefile.Record(0, bytes(64))], "test"))
        done = kdlens("export", scratch("none.pcapng"), "--jsonl", scratch("out.jsonl"), status=1)
        self.assertIn("none of its 1 packets", done.stderr)

    def test_truncated_capture_keeps_what_is_before(self):
        whole = exported(Serial.CAPTURE)
        data = Serial.CAPTURE.read_bytes()
        for size in list(range(300, len(data), 997)):
            scratch("cut.pcapng").write_bytes(data[:size])
            path = scratch("cut.jsonl")
            path.unlink(missing_ok=True)
            done = kdlens("export", scratch("cut.pcapng"), "--jsonl", path, status=1)
            self.assertIn("cut.pcapng: offset ", done.stderr)
            found = kdtest.read_recording(path)
            self.assertEqual(found, whole[:len(found)])
        self.assertGreater(len(found), len(whole) * 3 // 4)

    def test_truncated_gzip(self):
        data = gzip.compress(Serial.CAPTURE.read_bytes())
        scratch("cut.pcapng.gz").write_bytes(data[:len(data) // 2])
        done = kdlens("export", scratch("cut.pcapng.gz"), "--jsonl", scratch("cut.jsonl"), status=1)
        self.assertIn("what is before is exported", done.stderr)
        self.assertGreater(len(kdtest.read_recording(scratch("cut.jsonl"))), 10)

    def test_corrupt_block(self):
        data = bytearray(Serial.CAPTURE.read_bytes())
        at = data.index(struct.pack("<I", kdfiles.PACKET), len(data) // 2 // 4 * 4)
        data[at + 4:at + 8] = struct.pack("<I", 0xFFFFFFF0)
        scratch("bad.pcapng").write_bytes(data)
        done = kdlens("export", scratch("bad.pcapng"), "--jsonl", scratch("bad.jsonl"), status=1)
        self.assertIn("bad.pcapng: offset ", done.stderr)

    def test_full_disk(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        for option in ("--jsonl", "--as-udp"):
            done = kdlens("export", Serial.CAPTURE, option, "/dev/full", status=1)
            self.assertIn("/dev/full: not all could be written", done.stderr)

    def test_unwritable(self):
        for option in ("--jsonl", "--as-udp", "--raw"):
            done = kdlens("export", Serial.CAPTURE, option, scratch("no/folder"), status=1)
            self.assertIn("no/folder", done.stderr)


if __name__ == "__main__":
    kdfiles.main()
