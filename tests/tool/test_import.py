# test_import.py - kdlens import: every format, whole and damaged, against readers of our own.
# SPDX-License-Identifier: BSD-2-Clause-Patent
import calendar
import gzip
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest

import kdfiles
from kdfiles import FROM_DEBUGGER, FROM_TARGET, Capture, kdlens, scratch
import kdtest
sys.path.insert(0, str(kdfiles.REPOSITORY / "tests/dissector/generate"))
import capturefile
import kdwire

DIRECTIONS = {kdtest.HOST_TO_TARGET: FROM_DEBUGGER, kdtest.TARGET_TO_HOST: FROM_TARGET}
SECOND = 10**9


def packet(kind: int, identity: int, payload: bytes = b"") -> bytes:
    return kdwire.packet(kind, identity, payload)


REQUEST = packet(2, 0x80800000, kdwire.get_version().payload)
ACK = packet(4, 0x80800000)
REPLY = packet(2, 0x80800000, bytes(range(256)) + b"0000\x02\x00iiii\x04\x00b")
TEXT = b"\x1b[2JBdsDxe: loading Boot0000 \"x\"\r\n"
TALK = [(FROM_DEBUGGER, REQUEST), (FROM_TARGET, ACK), (FROM_TARGET, REPLY), (FROM_DEBUGGER, ACK),
        (FROM_DEBUGGER, b"b")]


def write_jsonl(path, chunks) -> None:
    """chunks: (seconds, direction, bytes)"""
    names = {FROM_DEBUGGER: "h2t", FROM_TARGET: "t2h"}
    with open(path, "w", encoding="ascii") as out:
        for seconds, direction, data in chunks:
            out.write(json.dumps({"t": seconds, "dir": names[direction], "hex": data.hex()}) + "\n")


def imported(*args, status: int = 0, name: str = "out.pcapng"):
    """The run, and the capture it wrote."""
    path = scratch(name)
    path.unlink(missing_ok=True)
    done = kdlens("import", *args, "-w", path, status=status)
    return done, Capture(path)


def bytes_of(capture) -> list[tuple]:
    return [(record.direction, record.data) for record in kdfiles.records(capture)]


class Recordings(unittest.TestCase):
    def test_packets_of_each_are_those_that_are_in_it(self):
        for name, expected in kdfiles.RECORDINGS.items():
            with self.subTest(name):
                _, capture = imported(kdfiles.recording(name))
                found = kdfiles.records(capture)
                for direction in (FROM_DEBUGGER, FROM_TARGET):
                    self.assertEqual(kdfiles.one_way(found, direction),
                                     kdfiles.chunks_one_way(kdfiles.recording(name), direction))
                if not expected:
                    continue
                for direction, numbers in zip((FROM_DEBUGGER, FROM_TARGET), expected):
                    kinds = kdfiles.kinds(found, direction)
                    kinds.pop("noise", None)
                    self.assertEqual(dict(kinds), numbers)

    def test_console_text_is_noise(self):
        _, capture = imported(kdfiles.recording("windows-bootmgr-serial"))
        noise = [record for record in kdfiles.records(capture) if record.kind == "noise"]
        self.assertEqual(sum(len(record.data) for record in noise), 280)
        self.assertEqual({record.direction for record in noise}, {FROM_TARGET})
        self.assertIn(b"0000", b"".join(record.data for record in noise))

    def test_bad_checksum_is_counted(self):
        done, _ = imported(kdfiles.recording("radare2-bad-checksum"))
        self.assertIn("1 of them damaged", done.stdout)

    def test_times_are_those_of_the_first_bytes(self):
        for name in ("windbg-amd64", "windows-bootmgr-serial"):
            path = kdfiles.recording(name)
            _, capture = imported(path)
            for direction in (FROM_DEBUGGER, FROM_TARGET):
                times = [chunk.nanoseconds for chunk in kdtest.read_recording(path)
                         if DIRECTIONS[chunk.direction] == direction for _ in chunk.data]
                at = 0
                for record in kdfiles.records(capture):
                    if record.direction == direction:
                        self.assertEqual(record.nanoseconds, times[at])
                        at += len(record.data)

    def test_cuts_do_not_change_records(self):
        path = kdfiles.recording("windbg-file-transfer")
        _, whole = imported(path)
        chunks = kdtest.read_recording(path)
        for cut in (1, 7, 100):
            write_jsonl(scratch("cut.jsonl"),
                        [(chunk.nanoseconds / SECOND, DIRECTIONS[chunk.direction], chunk.data)
                         for chunk in kdtest.rechunk(chunks, cut)])
            _, capture = imported(scratch("cut.jsonl"))
            self.assertEqual(bytes_of(capture), bytes_of(whole))

    def test_raw_keeps_the_chunks(self):
        path = kdfiles.recording("windows-bootmgr-serial")
        _, capture = imported(path, "--raw")
        self.assertEqual([(record.nanoseconds, record.direction, record.data)
                          for record in kdfiles.records(capture)],
                         [(chunk.nanoseconds, DIRECTIONS[chunk.direction], chunk.data)
                          for chunk in kdtest.read_recording(path)])

    def test_round_trip_keeps_every_byte(self):
        for name in kdfiles.RECORDINGS:
            with self.subTest(name):
                path = kdfiles.recording(name)
                imported(path, name="there.pcapng")
                kdlens("export", scratch("there.pcapng"), "--jsonl", scratch("back.jsonl"))
                for direction in (FROM_DEBUGGER, FROM_TARGET):
                    self.assertEqual(kdfiles.chunks_one_way(scratch("back.jsonl"), direction),
                                     kdfiles.chunks_one_way(path, direction))

    def test_dissector_accounts_for_every_packet(self):
        shark = kdfiles.with_plugin()
        for name in ("windbg-amd64", "windows-bootmgr-serial"):
            numbers = kdfiles.RECORDINGS[name]
            imported(kdfiles.recording(name), name=f"{name}.pcapng")
            capture = scratch(f"{name}.pcapng")
            self.assertEqual(shark.problems(capture), [])
            seen = shark.fields(capture, ["kd.type"], filter="kd.type")
            packets = sum(count for one in numbers for kind, count in one.items()
                          if kind != "break-in")
            self.assertEqual(len(seen), packets)

    def test_a_log_of_probes_is_no_recording(self):
        path = kdtest.captures("windows-boot-debugger-answers.jsonl")
        out = scratch("none.pcapng")
        done = kdlens("import", path, "-w", out, status=1)
        self.assertIn("line 1, offset 0", done.stderr)
        self.assertFalse(out.exists())


class Form(unittest.TestCase):
    """What the file is like."""

    def setUp(self):
        write_jsonl(scratch("talk.jsonl"), [(index / 1000, direction, data)
                                            for index, (direction, data) in enumerate(TALK)])

    def test_blocks_are_those_of_a_tap(self):
        _, capture = imported(scratch("talk.jsonl"))
        self.assertEqual([block.kind for block in capture.blocks],
                         [kdfiles.SECTION, kdfiles.INTERFACE] + [kdfiles.PACKET] * 5
                         + [kdfiles.STATISTICS])
        self.assertTrue(capture.blocks[0].option(4).startswith(b"kdlens "))
        interface = capture.blocks[1]
        self.assertEqual(struct.unpack_from("<HHI", interface.body), (kdfiles.UPPER_PDU, 0, 0))
        self.assertEqual(interface.option(2), b"kdlens")
        self.assertEqual(interface.option(3), b"imported from talk.jsonl")
        self.assertEqual(interface.option(9), b"\x09")
        self.assertEqual(bytes_of(capture), TALK)

    def test_statistics_count_records(self):
        _, capture = imported(scratch("talk.jsonl"))
        statistics = capture.of(kdfiles.STATISTICS)[0]
        self.assertEqual(statistics.option(4), struct.pack("<Q", 5))
        start, end = (struct.unpack("<II", statistics.option(code)) for code in (2, 3))
        self.assertEqual((start, end), ((0, 0), (0, 4 * 10**6)))

    def test_gzip_by_name(self):
        imported(scratch("talk.jsonl"), name="out.pcapng.gz")
        self.assertEqual(scratch("out.pcapng.gz").read_bytes()[:2], b"\x1f\x8b")

    def test_standard_input_and_output(self):
        done = kdlens("import", "-", "-w", "-", input=scratch("talk.jsonl").read_bytes(),
                      text=False)
        scratch("piped.pcapng").write_bytes(done.stdout)
        capture = Capture(scratch("piped.pcapng"))
        self.assertEqual(bytes_of(capture), TALK)
        self.assertEqual(capture.blocks[1].option(3), b"imported from standard input")

    def test_start(self):
        _, capture = imported(scratch("talk.jsonl"), "--start", "1763726400.5")
        self.assertEqual(kdfiles.records(capture)[0].nanoseconds, 1763726400 * SECOND + SECOND // 2)

    def test_swap(self):
        done, capture = imported(scratch("talk.jsonl"), "--swap")
        self.assertEqual(kdfiles.one_way(kdfiles.records(capture), FROM_DEBUGGER), ACK + REPLY)
        self.assertIn("the other way round", done.stderr)

    def test_inputs_become_interfaces(self):
        write_jsonl(scratch("more.jsonl"), [(0, FROM_TARGET, TEXT)])
        _, capture = imported(scratch("talk.jsonl"), scratch("more.jsonl"))
        self.assertEqual([block.option(3) for block in capture.of(kdfiles.INTERFACE)],
                         [b"imported from talk.jsonl", b"imported from more.jsonl"])
        self.assertEqual([record.interface for record in kdfiles.records(capture)], [0] * 5 + [1])
        self.assertEqual(len(capture.of(kdfiles.STATISTICS)), 2)

    def test_wireshark_reads_it_without_a_word(self):
        write_jsonl(scratch("more.jsonl"), [(0, FROM_TARGET, TEXT)])
        imported(scratch("talk.jsonl"), scratch("more.jsonl"), name="a.pcapng")
        imported(scratch("talk.jsonl"), name="b.pcapng.gz")
        a, b, out = scratch("a.pcapng"), scratch("b.pcapng.gz"), scratch("c.pcapng")
        self.assertEqual(kdfiles.complaints("tshark", "-r", a), [])
        self.assertEqual(kdfiles.complaints("capinfos", a, b), [])
        self.assertEqual(kdfiles.complaints("editcap", a, out), [])
        self.assertEqual(bytes_of(Capture(out)), bytes_of(Capture(a)))
        self.assertEqual(kdfiles.complaints("mergecap", "-w", out, a, b), [])
        self.assertEqual(len(Capture(out).packets), 11)

    def test_json(self):
        done, _ = imported(scratch("talk.jsonl"), "--json")
        found = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([(row["from"], row["packets"], row["breakins"], row["noise"],
                           row["damaged"], row["interface"], row["format"]) for row in found],
                         [("debugger", 2, 1, 0, 0, 0, "jsonl"), ("target", 2, 0, 0, 0, 0, "jsonl")])
        self.assertEqual(found[0]["bytes"], len(REQUEST + ACK) + 1)


class Wrong(unittest.TestCase):
    """What cannot be imported, and what of it is kept."""

    def setUp(self):
        write_jsonl(scratch("talk.jsonl"), [(index / 1000, direction, data)
                                            for index, (direction, data) in enumerate(TALK)])

    def test_arguments(self):
        talk, out = scratch("talk.jsonl"), scratch("arguments.pcapng")
        for arguments in (["import"], ["import", talk], ["import", "-w", out],
                          ["import", talk, "-w", talk],
                          ["import", talk, "-w", out, "--format", "x"],
                          ["import", talk, "--from-target", talk, "-w", out],
                          ["import", talk, "-w", out, "--start", "noon"]):
            kdlens(*arguments, status=2)
        self.assertFalse(out.exists())
        self.assertTrue(talk.stat().st_size)

    def test_no_input(self):
        done = kdlens("import", scratch("nowhere"), "-w", scratch("no.pcapng"), status=1)
        self.assertIn("nowhere", done.stderr)
        self.assertFalse(scratch("no.pcapng").exists())

    def test_unknown_content_leaves_the_output_alone(self):
        scratch("what").write_bytes(b"MZ\x90\0" + bytes(1000))
        scratch("kept.pcapng").write_bytes(b"dear")
        done = kdlens("import", scratch("what"), "-w", scratch("kept.pcapng"), status=1)
        self.assertIn("--format raw", done.stderr)
        self.assertEqual(scratch("kept.pcapng").read_bytes(), b"dear")

    def test_text_in_gzip(self):
        scratch("talk.jsonl.gz").write_bytes(gzip.compress(scratch("talk.jsonl").read_bytes()))
        done = kdlens("import", scratch("talk.jsonl.gz"), "-w", scratch("no.pcapng"), status=1)
        self.assertIn("unpack it first", done.stderr)

    def test_empty_input(self):
        scratch("empty").write_bytes(b"")
        kdlens("import", scratch("empty"), "-w", scratch("no.pcapng"), status=1)

    def test_one_bad_line_costs_one_line(self):
        lines = scratch("talk.jsonl").read_text().splitlines()
        good = bytes_of(imported(scratch("talk.jsonl"))[1])
        bad_lines = ["{", "nonsense", '{"t": 1, "dir": "h2t"}',
                     '{"t": "x", "dir": "h2t", "hex": ""}',
                     '{"t": 1, "dir": "up", "hex": "00"}', '{"t": 1, "dir": "h2t", "hex": "0"}',
                     '{"t": 1, "dir": "h2t", "hex": "0g"}', '{"t": -1, "dir": "h2t", "hex": "00"}',
                     '{"t": 1, "dir": "h2t", "hex": "00"} {}', "\xff\xfe", "[" * 1000,
                     '{"t": 1e999, "dir": "h2t", "hex": "00"}', '{"a": {"b": [1, "}"}']
        for bad in bad_lines:
            scratch("bad.jsonl").write_text("\n".join(lines[:2] + [bad] + lines[2:]),
                                            encoding="latin-1")
            done, capture = imported(scratch("bad.jsonl"), status=1)
            offset = sum(len(line) + 1 for line in lines[:2])
            self.assertIn(f"line 3, offset {offset}: ", done.stderr)
            self.assertEqual(bytes_of(capture), good)

    def test_other_members_and_orders(self):
        scratch("odd.jsonl").write_text(
            '\n{"note": "a \\" }", "x": [1, {"y": null}], "hex":"62" , "dir":"h2t","t":2.1e-05}\r\n'
            '  {"dir": "t2h", "hex": "6B6b", "t": 1E1, "t2": -1.5e3}')
        _, capture = imported(scratch("odd.jsonl"))
        self.assertEqual([(record.nanoseconds, record.direction, record.data)
                          for record in kdfiles.records(capture)],
                         [(21000, FROM_DEBUGGER, b"b"), (10 * SECOND, FROM_TARGET, b"kk")])

    def test_full_disk(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        done = kdlens("import", scratch("talk.jsonl"), "-w", "/dev/full", status=1)
        self.assertIn("/dev/full", done.stderr)

    def test_interrupt_leaves_a_whole_file(self):
        """What comes through a pipe ends with its sender, or by a second Ctrl-C."""
        for times in (1, 2):
            out = scratch(f"interrupted-{times}.pcapng")
            process = subprocess.Popen([kdfiles.PROGRAM, "import", "-", "-w", out],
                                       stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.PIPE)
            process.stdin.write(scratch("talk.jsonl").read_bytes() * 10)
            process.stdin.flush()
            limit = time.monotonic() + 20
            while not out.exists() and time.monotonic() < limit:
                time.sleep(0.01)
            for _ in range(times):
                process.send_signal(signal.SIGINT)
                time.sleep(0.2)
            self.assertEqual(process.poll() is None, times == 1)
            _, errors = process.communicate(timeout=20)
            self.assertEqual(process.returncode, times - 1)
            self.assertEqual(b"interrupted" in errors, times == 2)
            self.assertEqual(len(Capture(out).packets), 10 * len(TALK))

    def test_unwritable_output(self):
        done = kdlens("import", scratch("talk.jsonl"), "-w", scratch("no/such/folder"), status=1)
        self.assertIn("no/such/folder", done.stderr)


# --- captures


DEBUGGER_END = capturefile.End("192.168.0.2", 51111, "00:11:22:33:44:55")
TARGET_END = capturefile.End("192.168.0.1", 51112, "ff:ff:ff:ff:ff:ff")


def udp(direction: str, data: bytes) -> bytes:
    ends = (DEBUGGER_END, TARGET_END) if direction == FROM_DEBUGGER else (TARGET_END, DEBUGGER_END)
    return capturefile.udp(*ends, data, 0)


def pcap(frames: list[tuple[int, bytes]], order: str = "<", nano: bool = False) -> bytes:
    magic = 0xA1B23C4D if nano else 0xA1B2C3D4
    out = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, 1)
    for nanoseconds, frame in frames:
        fraction = nanoseconds % SECOND // (1 if nano else 1000)
        out += struct.pack(order + "4I", nanoseconds // SECOND, fraction, len(frame), len(frame))
        out += frame
    return out


class Captures(unittest.TestCase):
    def frames(self) -> list[tuple[int, bytes]]:
        """As the older tool cuts them: at every leader, also within payloads."""
        frames = []
        for index, (direction, data) in enumerate(TALK):
            parts = [data]
            for leader in (b"0000", b"iiii"):
                parts = [piece for part in parts for piece in split_before(part, leader)]
            frames += [(5 * SECOND + index * 10**6, udp(direction, part)) for part in parts]
        return frames

    def test_udp_of_the_older_tool(self):
        self.assertGreater(len(self.frames()), len(TALK))
        for order, nano in (("<", False), (">", True)):
            scratch("peer.pcap").write_bytes(pcap(self.frames(), order, nano))
            _, capture = imported(scratch("peer.pcap"))
            self.assertEqual(bytes_of(capture), TALK)
            self.assertEqual([record.nanoseconds for record in kdfiles.records(capture)],
                             [5 * SECOND + index * 10**6 for index in range(len(TALK))])

    def test_stored_capture_of_it(self):
        _, capture = imported(kdfiles.REPOSITORY / "pcaps/kd-udp-peer.pcapng")
        self.assertNotIn("noise", kdfiles.kinds(kdfiles.records(capture), FROM_TARGET))
        self.assertGreater(len(capture.packets), 10)

    def test_compressed(self):
        scratch("peer.pcap.gz").write_bytes(gzip.compress(pcap(self.frames())))
        self.assertEqual(bytes_of(imported(scratch("peer.pcap.gz"))[1]), TALK)

    def test_recordings_are_cut_anew(self):
        _, whole = imported(kdfiles.REPOSITORY / "pcaps/serial-session.pcapng")
        _, cuts = imported(kdfiles.REPOSITORY / "pcaps/serial-cuts.pcapng")
        self.assertEqual(bytes_of(cuts), bytes_of(whole))

    def test_lines_stay_apart(self):
        path = kdfiles.REPOSITORY / "pcaps/two-interfaces.pcapng"
        _, capture = imported(path)
        before = [block.option(2) for block in Capture(path).of(kdfiles.INTERFACE)]
        self.assertEqual([block.option(2) for block in capture.of(kdfiles.INTERFACE)], before)
        self.assertEqual({record.interface for record in kdfiles.records(capture)}, {0, 1})

    def test_truncated_file_keeps_what_is_before(self):
        data = pcap(self.frames())
        whole = bytes_of(imported_bytes(self, data, 0))
        for size in range(25, len(data), 37):
            capture = imported_bytes(self, data[:size], None)
            if capture:
                found = bytes_of(capture)
                self.assertEqual(b"".join(part for _, part in found),
                                 b"".join(part for _, part in whole)[:sum(
                                     len(part) for _, part in found)])

    def test_offset_and_reason_are_named(self):
        data = pcap(self.frames())
        second = 24 + 16 + len(self.frames()[0][1])
        scratch("cut.pcap").write_bytes(data[:second + 20])
        done, capture = imported(scratch("cut.pcap"), status=1)
        self.assertIn(f"cut.pcap: offset {second}: ", done.stderr)
        self.assertIn("what is before is kept", done.stderr)
        self.assertEqual(len(capture.packets), 1)

    def test_gzip_that_breaks_off(self):
        data = gzip.compress(pcap(self.frames() * 50))
        scratch("cut.pcap.gz").write_bytes(data[:len(data) // 2])
        done, _ = imported(scratch("cut.pcap.gz"), status=1)
        self.assertIn("offset ", done.stderr)

    def test_snap_length_is_told(self):
        frame = self.frames()[0][1]
        record = struct.pack("<4I", 0, 0, 60, len(frame)) + frame[:60]
        scratch("snap.pcap").write_bytes(pcap([]) + record)
        done, _ = imported(scratch("snap.pcap"), status=1)
        self.assertIn("not whole", done.stderr)

    def test_kdnet_is_sent_elsewhere(self):
        path = kdfiles.REPOSITORY / "pcaps/kdnet-session.pcapng"
        done = kdlens("import", path, "-w", scratch("no.pcapng"), status=1)
        self.assertIn("open it in Wireshark", done.stderr)
        self.assertFalse(scratch("no.pcapng").exists())

    def test_a_capture_without_kd(self):
        scratch("other.pcap").write_bytes(pcap([(0, bytes(60))]))
        done = kdlens("import", scratch("other.pcap"), "-w", scratch("no.pcapng"), status=1)
        self.assertIn("none of its 1 packets carries KD", done.stderr)


def split_before(data: bytes, mark: bytes) -> list[bytes]:
    parts, start = [], 0
    while (found := data.find(mark, start + 1)) >= 0:
        parts.append(data[start:found])
        start = found
    return parts + [data[start:]]


def imported_bytes(test, data: bytes, status):
    """The capture of an import that may fail, but not break."""
    scratch("input").write_bytes(data)
    out = scratch("damaged.pcapng")
    out.unlink(missing_ok=True)
    done = subprocess.run([kdfiles.PROGRAM, "import", scratch("input"), "-w", out],
                          capture_output=True, text=True, timeout=kdfiles.PATIENCE)
    test.assertIn(done.returncode, (0, 1) if status is None else (status,), done.stderr)
    test.assertEqual(bool(done.stderr), done.returncode == 1, done.stderr)
    return Capture(out) if out.exists() else None


# --- socat


SOCAT_LOG = """\
2025/11/21 13:10:40 socat[77] N listening on AF=1 "wd"
> 2025/11/21 13:10:43.000180417  length=20 from=0 to=19
2025/11/21 13:10:43 socat[77] N forked off child process 28995
 30 30 30 30 02 00 03 00 0a                       0000.....
 00 80 80 30 00 00 00 0d 0a                       ...0.....
 0a                                               .
 aa                                               .
--
< 2025/11/21 13:10:43.000380709  length=16 from=0 to=15
 69 69 69 69 04 00 00 00 0a 00 80 80 00 00 00 00  iiii............
--
> 2025/11/21 13:10:44.5  length=1 from=20 to=20
 62                                               b
--
"""


class Socat(unittest.TestCase):
    def imported_log(self, text, *args, status: int = 0):
        scratch("socat.log").write_bytes(text if isinstance(text, bytes) else text.encode())
        return imported(scratch("socat.log"), *args, status=status)

    def test_bytes_and_local_times(self):
        done = kdlens("import", "-", "-w", scratch("log.pcapng"), input=SOCAT_LOG,
                      env=os.environ | {"TZ": "UTC-2"})
        found = kdfiles.records(Capture(scratch("log.pcapng")))
        self.assertEqual([(record.direction, record.data) for record in found],
                         [(FROM_DEBUGGER, b"0000" + bytes.fromhex(
                             "020003000a008080300000000d0a0aaa")),
                          (FROM_TARGET, packet(4, 0x8080000A)), (FROM_DEBUGGER, b"b")])
        start = calendar.timegm((2025, 11, 21, 11, 10, 43)) * SECOND  # TZ is two hours ahead
        self.assertEqual([record.nanoseconds - start for record in found],
                         [180417000, 380709000, SECOND + SECOND // 2])
        self.assertEqual(done.stderr, "")

    def test_fractions_of_other_versions(self):
        for fraction, nanoseconds in ((".123456", 123456000), (".000123456", 123456000),
                                      (".123456789", 123456789), ("", 0)):
            _, capture = self.imported_log(
                f"> 2025/11/21 13:10:43{fraction}  length=1 from=0 to=0\n 62   b\n--\n")
            self.assertEqual(kdfiles.records(capture)[0].nanoseconds % SECOND, nanoseconds)

    def test_text_beside_the_bytes_is_not_read(self):
        data = b" 62 62 62 62 62 "
        row = "".join(f" {byte:02x}" for byte in data)
        _, capture = self.imported_log(
            f"< 2025/11/21 13:10:43.1  length=16 from=0 to=15\n{row}  {data.decode()}\n--\n")
        self.assertEqual(bytes_of(capture), [(FROM_TARGET, data)])

    def test_hex_without_text(self):
        row = "".join(f" {byte:02x}" for byte in REQUEST)
        _, capture = self.imported_log(
            f"> 2025/11/21 13:10:43.1  length={len(REQUEST)} from=0 to=9\n{row}\n")
        self.assertEqual(bytes_of(capture), [(FROM_DEBUGGER, REQUEST)])

    def test_text_without_hex_cannot_be_read(self):
        scratch("socat.log").write_text("> 2025/11/21 13:10:43.1  length=2 from=0 to=1\nhi\n")
        done = kdlens("import", scratch("socat.log"), "-w", scratch("no.pcapng"), status=1)
        self.assertIn("line 1, offset 0: no bytes behind the head: was it recorded without -x?",
                      done.stderr)

    def test_chunk_that_breaks_off(self):
        cut = SOCAT_LOG.encode()
        cut = cut[:cut.index(b" 69 69") + 20]
        done, capture = self.imported_log(cut, status=1)
        self.assertIn("not as many bytes as the head says", done.stderr)
        self.assertEqual(len(capture.packets), 2)

    def test_live(self):
        """What the socat of this machine writes."""
        socat = shutil.which("socat")
        if not socat:
            self.skipTest("no socat")
        for option in (["-x", "-v"], ["-x"]):
            with self.subTest(option):
                log, wanted = self.relay(socat, option)
                scratch("socat.log").write_bytes(log)
                before = time.time()
                _, capture = imported(scratch("socat.log"))
                found = kdfiles.records(capture)
                for direction in (FROM_DEBUGGER, FROM_TARGET):
                    self.assertEqual(kdfiles.one_way(found, direction), wanted[direction])
                for record in found:
                    self.assertLess(abs(record.nanoseconds / SECOND - before), 60)

    def relay(self, socat, option) -> tuple[bytes, dict]:
        source = random.Random(1)
        sent = {FROM_DEBUGGER: REQUEST + ACK + bytes(range(256)) + b"b",
                FROM_TARGET: TEXT + REPLY + source.randbytes(20000)}
        ends = [scratch(f"{name}.sock") for name in ("left", "right")]
        for end in ends:
            end.unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(ends[1]))
        server.listen(1)
        process = subprocess.Popen([socat, *option, f"UNIX-LISTEN:{ends[0]}",
                                    f"UNIX-CONNECT:{ends[1]}"], stderr=subprocess.PIPE)
        logs = []
        reader = threading.Thread(target=lambda: logs.append(process.stderr.read()))
        reader.start()
        self.addCleanup(process.kill)  # or a failure would leave it with its reader
        left = connected(ends[0])
        right, _ = server.accept()
        for side in (left, right, server):
            side.settimeout(20)
        left.sendall(sent[FROM_DEBUGGER])
        take(right, len(sent[FROM_DEBUGGER]))
        right.sendall(sent[FROM_TARGET])
        take(left, len(sent[FROM_TARGET]))
        left.close()
        right.close()
        server.close()
        process.wait(20)
        reader.join(20)
        process.stderr.close()
        return logs[0], sent


def connected(path) -> socket.socket:
    """To who makes the socket's file first, and listens then."""
    limit = time.monotonic() + 20
    while True:
        end = socket.socket(socket.AF_UNIX)
        try:
            end.connect(str(path))
            return end
        except (FileNotFoundError, ConnectionRefusedError):
            end.close()
            if time.monotonic() >= limit:
                raise
            time.sleep(0.01)


def take(connection, size: int) -> None:
    while size:
        size -= len(connection.recv(size))


# --- dumps


class Dumps(unittest.TestCase):
    def test_one_of_both_directions(self):
        data = b"".join(part for _, part in TALK[:4])
        scratch("dump").write_bytes(data)
        _, capture = imported(scratch("dump"), "--format", "raw")
        self.assertEqual(bytes_of(capture), [(None, part) for _, part in TALK[:4]])
        self.assertEqual([record.nanoseconds for record in kdfiles.records(capture)],
                         [0, 1000, 2000, 3000])
        self.assertIn("made up", capture.of(kdfiles.INTERFACE)[0].comments()[0])

    def test_order_of_two_is_that_of_the_talk(self):
        """Recordings taken apart: what KD itself puts in order comes back in its order."""
        for name, moved in (("windbg-amd64", 8), ("windbg-x86", 8), ("windbg-file-transfer", 8),
                            ("windows-bootmgr-serial", 16), ("radare2-session", 8)):
            with self.subTest(name):
                _, before = imported(kdfiles.recording(name), name="before.pcapng")
                kdlens("export", scratch("before.pcapng"), "--raw", scratch("dump"))
                _, after = imported("--from-debugger", scratch("dump.from-debugger"),
                                    "--from-target", scratch("dump.from-target"))
                pairs = list(zip(bytes_of(before), bytes_of(after), strict=True))
                for direction in (FROM_DEBUGGER, FROM_TARGET):
                    self.assertEqual(kdfiles.one_way(kdfiles.records(after), direction),
                                     kdfiles.one_way(kdfiles.records(before), direction))
                self.assertLessEqual(sum(a != b for a, b in pairs), moved)

    def test_dissector_finds_replies_in_two_dumps(self):
        shark = kdfiles.with_plugin()
        imported(kdfiles.recording("windbg-amd64"), name="before.pcapng")
        kdlens("export", scratch("before.pcapng"), "--raw", scratch("dump"))
        imported("--from-debugger", scratch("dump.from-debugger"),
                 "--from-target", scratch("dump.from-target"), name="after.pcapng")
        linked = [len(shark.fields(scratch(name), ["kd.request_in"], filter="kd.request_in"))
                  for name in ("before.pcapng", "after.pcapng")]
        self.assertGreater(linked[0], 300)
        self.assertEqual(linked[1], linked[0])

    def test_one_direction_alone(self):
        scratch("dump").write_bytes(REPLY + ACK + TEXT)
        _, capture = imported("--from-target", scratch("dump"))
        self.assertEqual(bytes_of(capture), [(FROM_TARGET, REPLY), (FROM_TARGET, ACK),
                                             (FROM_TARGET, TEXT)])

    def test_nothing_is_lost_of_what_is_no_talk(self):
        source = random.Random(7)
        for _ in range(20):
            dumps = {way: b"".join(source.choice([REQUEST, ACK, REPLY, TEXT, b"b", b"0000",
                                                  source.randbytes(source.randrange(50))])
                                   for _ in range(source.randrange(40)))
                     for way in (FROM_DEBUGGER, FROM_TARGET)}
            if not any(dumps.values()):
                continue
            for way, data in dumps.items():
                scratch(way).write_bytes(data)
            _, capture = imported("--from-debugger", scratch(FROM_DEBUGGER),
                                  "--from-target", scratch(FROM_TARGET))
            for way, data in dumps.items():
                self.assertEqual(kdfiles.one_way(kdfiles.records(capture), way), data)


# --- VirtualKD


def html_rows(data: bytes) -> str:
    rows = []
    for at in range(0, len(data), 16):
        row = data[at:at + 16]
        cells = "".join(f"{byte:02X}&nbsp;" for byte in row) + "&nbsp;" * 3 * (16 - len(row))
        text = "".join(chr(byte) if 0x20 <= byte <= 0x7F else "." for byte in row)
        rows.append(cells + "&nbsp;" * 4 + text)
    return "<br/>\r\n".join(rows)


def html_packet(way: str, number: int, when: str, kind: str, first: bytes, second: bytes) -> str:
    out = (f'<tr class="{way}"><td>{number}</td><td>{when}</td><td>{kind}</td><td>\r\n')
    if first:
        out += (f"Buf1: Size = {len(first)} (0x{len(first):X}); Api# = DbgKdGetVersionApi<br/>\r\n"
                + html_rows(first))
    if second:
        out += (f"<br/><br/>Buf2: Size = {len(second)} (0x{len(second):X})<br/>"
                + html_rows(second))
    return out + "</td></tr>\r\n"


HTML_HEAD = ("<html><head><title>KDVMWare Packet Log - vm</title>\r\n<style>tr.recv {color: red; }"
             "</style>\r\n</head>\r\n<body><center><h1>KDVMWare Packet Log - vm</h1></center>\r\n"
             "Legend: <b>...</b><br/>\r\n")
HTML_TABLE = "<table border><tr><td>#</td><td>Time</td><td>Type</td><td>Data</td></tr>"
TRICKY = b'</td></tr><br/>&nbsp;<tr class="send"><td>' + bytes(range(256))


class VirtualKd(unittest.TestCase):
    """The log's format is that of the public source of VirtualKD-Redux."""

    LOG = (HTML_HEAD + HTML_TABLE
           + html_packet("send", 1, "+0:00:01.0123", "7 KD_STATE_CHANGE64", bytes(240), b"name\0")
           + html_packet("recv", 1, "+0:01:00.0000", "2 KD_STATE_MANIPULATE", bytes(56), b"")
           + "</table><br/><center>----- Session termination simulated: timeout -----</center><br/>"
           + HTML_TABLE
           + html_packet("send", 2, "+1:00:00.0999", "2 KD_STATE_MANIPULATE", b"F1\0\0", TRICKY)
           + html_packet("recv", 2, "+1:00:01.0000", "3 KD_DEBUG_IO", b"", b"")
           + "\r\n</table></body></html>")

    def imported_log(self, text: str, status: int = 0):
        scratch("kd_vm.html").write_text(text, encoding="latin-1", newline="")
        return imported(scratch("kd_vm.html"), status=status)

    def test_packets_get_headers(self):
        _, capture = self.imported_log(self.LOG)
        self.assertEqual(bytes_of(capture), [
            (FROM_TARGET, packet(7, 0x80800000, bytes(240) + b"name\0")),
            (FROM_DEBUGGER, packet(2, 0x80800000, bytes(56))),
            (FROM_TARGET, packet(2, 0x80800001, b"F1\0\0" + TRICKY)),
            (FROM_DEBUGGER, packet(3, 0x80800001))])
        self.assertEqual([record.nanoseconds for record in kdfiles.records(capture)],
                         [1123 * 10**6, 60 * SECOND, 3600999 * 10**6, 3601 * SECOND])
        self.assertIn("made up", capture.of(kdfiles.INTERFACE)[0].comments()[0])

    def test_log_that_breaks_off(self):
        for size in range(len(HTML_HEAD), len(self.LOG), 41):
            scratch("kd_vm.html").write_text(self.LOG[:size], encoding="latin-1", newline="")
            capture = imported_bytes(self, scratch("kd_vm.html").read_bytes(), None)
            found = bytes_of(capture) if capture else []
            self.assertEqual(found, bytes_of(self.imported_log(self.LOG)[1])[:len(found)])

    def test_damaged_packet_costs_one_packet(self):
        done, capture = self.imported_log(self.LOG.replace("6E&nbsp;61", "6E&nbsp;6x"), status=1)
        self.assertEqual(len(capture.packets), 3)
        self.assertIn("the packet breaks off", done.stderr)


# --- anything


class Hostile(unittest.TestCase):
    """Damage of any kind: a message and exit status 1, or nothing; never a crash or a loop."""

    def test_bytes_changed_anywhere(self):
        source = random.Random(42)
        write_jsonl(scratch("seed.jsonl"), [(index, direction, data)
                                            for index, (direction, data) in enumerate(TALK)])
        imported(scratch("seed.jsonl"), name="seed.pcapng")
        frames = [(index, udp(direction, data)) for index, (direction, data) in enumerate(TALK)]
        seeds = [scratch("seed.jsonl").read_bytes(), scratch("seed.pcapng").read_bytes(),
                 pcap(frames), gzip.compress(pcap(frames)), SOCAT_LOG.encode(),
                 VirtualKd.LOG.encode("latin-1")]
        for seed in seeds:
            for _ in range(40):
                data = bytearray(seed)
                for _ in range(source.choice([1, 1, 3, 20])):
                    data[source.randrange(len(data))] = source.choice(
                        [0, 0xFF, source.randrange(256)])
                if source.random() < 0.3:
                    del data[source.randrange(len(data)):]
                scratch("hostile").write_bytes(data)
                out = scratch("hostile.pcapng")
                out.unlink(missing_ok=True)
                done = subprocess.run([kdfiles.PROGRAM, "import", scratch("hostile"), "-w", out],
                                      capture_output=True, timeout=kdfiles.PATIENCE)
                self.assertIn(done.returncode, (0, 1), done.stderr)
                if out.exists():
                    kdfiles.records(Capture(out))


if __name__ == "__main__":
    kdfiles.main()
