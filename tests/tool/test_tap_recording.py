# test_tap_recording.py - what kdlens tap writes: files, live readers, and what goes wrong there.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Whatever happens to the recording, the session between the two ends goes on."""

import contextlib
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import threading
import time
import unittest
from pathlib import Path

import kdtap
from kdtap import DEBUGGER, TARGET, UNIX, UNIX_LISTEN, start, wait_for
import kdtest
import kdwire

PACKET = kdwire.packet(2, 0x80800000, bytes(56))
RESET = kdwire.packet(6, 0)


def session_goes_on(debugger, target, count: int = 1, data: bytes = PACKET):
    for _ in range(count):
        debugger.send(data)
        assert target.receive(len(data)) == data
        target.send(data)
        assert debugger.receive(len(data)) == data


def tshark_complaints(path) -> str:
    done = kdtest.run("tshark", ["-n", "-r", kdtest.staged(path)], check=False)
    said = [line for line in done.stderr.splitlines() if "Running as user" not in line]
    return "\n".join(said) + (f"exit {done.returncode}" if done.returncode else "")


class Records(unittest.TestCase):
    def record(self, *options, act) -> kdtap.Recording:
        file = kdtap.new_path(".pcapng")
        tap, debugger, target = start(UNIX_LISTEN, UNIX, "-w", file, *options)
        with tap:
            act(debugger, target)
            time.sleep(0.1)
            self.assertEqual(tap.stop(), 0)
        self.assertEqual(tshark_complaints(file), "")
        return kdtap.read_recording(file)

    def test_one_record_for_each_packet(self):
        def act(debugger, target):
            data = RESET + b"b" + PACKET + b"text" + PACKET + PACKET
            for at in range(0, len(data), 5):
                debugger.send(data[at:at + 5])
                target.receive(len(data[at:at + 5]))
        recording = self.record(act=act)
        self.assertEqual([record.data for record in recording.records if record.data],
                         [RESET, b"b", PACKET, b"text", PACKET, PACKET])

    def test_times_are_those_of_the_first_byte(self):
        times = []

        def act(debugger, target):
            for _ in range(5):
                begin = time.time_ns()
                debugger.send(PACKET[:1])
                target.receive(1)
                times.append((begin, time.time_ns()))
                time.sleep(0.05)
                debugger.send(PACKET[1:])
                target.receive(len(PACKET) - 1)
        recording = self.record(act=act)
        found = [record.time for record in recording.records if record.data]
        for (begin, end), actual in zip(times, found, strict=True):
            self.assertLess(begin - 1_000_000, actual)
            self.assertLess(actual, end + 1_000_000)

    def test_raw_keeps_reads(self):
        def act(debugger, target):
            for piece in (RESET[:3], RESET[3:] + b"b", b"text"):
                debugger.send(piece)
                target.receive(len(piece))
        recording = self.record("--raw", act=act)
        self.assertEqual([record.data for record in recording.records if record.data],
                         [RESET[:3], RESET[3:] + b"b", b"text"])

    def test_head_and_statistics(self):
        recording = self.record(act=session_goes_on)
        interface, = recording.interfaces
        self.assertEqual(interface["linktype"], 252)
        self.assertEqual(interface[2], b"kdlens")
        self.assertRegex(interface[3].decode(), r"^debugger unix-listen:.*, target unix:")
        self.assertEqual(interface[9], b"\x09")
        statistics, = recording.statistics
        self.assertEqual(int.from_bytes(statistics[4], "little"), len(recording.records))
        self.assertEqual(int.from_bytes(statistics[5], "little"), 0)

    def test_speed_of_a_serial_line(self):
        name, made = kdtap.KINDS[5].prepare()
        file = kdtap.new_path(".pcapng")
        with kdtap.Tap(UNIX_LISTEN.prepare()[0], name, "-w", file) as tap:
            tap.wait("connected", end=TARGET)
            tap.stop()
        interface, = kdtap.read_recording(file).interfaces
        self.assertEqual(int.from_bytes(interface[8], "little"), 230400)

    def test_rotation(self):
        folder = kdtap.new_path()
        folder.mkdir()

        def act(debugger, target):
            session_goes_on(debugger, target, 300)
        file = folder / "ring.pcapng"
        tap, debugger, target = start(UNIX_LISTEN, UNIX, "-w", file, "-b", "filesize:10", "-b",
                                      "files:3")
        with tap:
            act(debugger, target)
            time.sleep(0.1)
            tap.stop()
        files = sorted(folder.iterdir())
        self.assertEqual(len(files), 3)
        for path in files:
            self.assertLess(path.stat().st_size, 11_000)
            self.assertEqual(tshark_complaints(path), "")
            self.assertEqual(len(kdtap.read_recording(path).interfaces), 1)

    def test_nobody_else_may_read_it(self):
        file = kdtap.new_path(".pcapng")
        tap, *_ = start(UNIX_LISTEN, UNIX, "-w", file)
        with tap:
            self.assertEqual(file.stat().st_mode & 0o077, 0)

    def test_overload_is_counted(self):
        """A recorder that gets no processor time loses bytes, and says how many."""
        file = kdtap.new_path(".pcapng")
        tap, debugger, target = start(UNIX_LISTEN, UNIX, "-w", file, "--queue", 1, "--raw")
        with tap:
            threads = [int(name) for name in os.listdir(f"/proc/{tap.process.pid}/task")]
            data = random.Random(1).randbytes(1 << 16)
            for thread in threads:  # all but the relay only run when nothing else does
                if thread != tap.process.pid:
                    with contextlib.suppress(OSError):
                        os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
            taker = threading.Thread(target=target.receive, args=(3000 << 16,))
            taker.start()
            for _ in range(3000):
                debugger.send(data)
            taker.join()
            time.sleep(0.3)
            session_goes_on(debugger, target)
            time.sleep(0.1)
            tap.stop()
            lost = tap.find("recorded")[0]["lost_bytes"]
        recording = kdtap.read_recording(file)
        recorded = len(recording.sent(DEBUGGER))
        self.assertEqual(recorded + lost, (3000 << 16) + len(PACKET))
        told = sum(int(comment.split()[0]) for comment in recording.comments()
                   if "were forwarded but not recorded" in comment)
        self.assertEqual(told, lost)
        dropped = sum(record.dropped for record in recording.records)
        self.assertEqual(int.from_bytes(recording.statistics[0][5], "little"), dropped)
        self.assertEqual(lost > 0, dropped > 0)
        if not lost:
            self.skipTest("the recorder kept up")


class Killed(unittest.TestCase):
    def run_until_killed(self, suffix: str) -> tuple[float, kdtap.Recording, Path]:
        """Seconds before the kill of the oldest packet that is missing."""
        file = kdtap.new_path(suffix)
        tap, debugger, target = start(UNIX_LISTEN, UNIX, "-w", file)
        sent = []
        with tap:
            limit = time.monotonic() + random.uniform(0.3, 0.8)
            while time.monotonic() < limit:
                packet = kdwire.packet(2, 0x80800000, len(sent).to_bytes(8, "little"))
                debugger.send(packet)
                target.receive(len(packet))
                sent.append(time.monotonic())
                time.sleep(0.002)
            tap.process.kill()
            killed = time.monotonic()
            tap.process.wait()
        if suffix == ".pcapng":
            recording = kdtap.read_recording(file)
            count = sum(bool(record.data) for record in recording.records)
        else:
            unpacked = subprocess.run(["gzip", "-dc", file], capture_output=True).stdout
            path = kdtap.new_path(".pcapng")
            path.write_bytes(unpacked)
            recording = kdtap.read_recording(path)
            count = sum(bool(record.data) for record in recording.records)
        return killed - sent[count] if count < len(sent) else 0.0, recording, file

    def test_kill_9(self):
        losses = []
        for _ in range(5):
            lost, recording, file = self.run_until_killed(".pcapng")
            losses.append(lost)
            self.assertEqual(recording.rest, 0)
            self.assertEqual(tshark_complaints(file), "")
        self.check_losses(losses)

    def test_kill_9_compressed(self):
        losses = []
        for _ in range(3):
            lost, recording, file = self.run_until_killed(".pcapng.gz")
            losses.append(lost)
            self.assertGreater(len(recording.records), 5)
        self.check_losses(losses)

    def check_losses(self, losses: list[float]):
        """Others want this machine's processors, too: the best shows what the program does."""
        self.assertLess(min(losses), 0.1)


class Full(unittest.TestCase):
    """The file cannot grow any more, and later it can."""

    def check(self, file: Path, options, limit, lift):
        tap, debugger, target = start(UNIX_LISTEN, UNIX, "-w", file, *options)
        with tap:
            limit(tap.process.pid)
            big = kdwire.packet(2, 0x80800000, bytes(4000))
            session_goes_on(debugger, target, 400, big)
            wait_for(lambda: str(file) in tap.said(), "the message")
            time.sleep(0.2)
            session_goes_on(debugger, target, 400, big)
            time.sleep(0.2)
            self.assertEqual(tap.said().count(f"cannot write {file}"), 1, tap.said())
            self.assertEqual(kdtap.read_recording(file).rest, 0)
            self.assertEqual(tshark_complaints(file), "")
            lift(tap.process.pid)
            time.sleep(1.3)
            session_goes_on(debugger, target)
            time.sleep(0.2)
            self.assertEqual(tap.stop(), 0)
            lost = tap.find("recorded")[0]["lost_records"]
        recording = kdtap.read_recording(file)
        self.assertEqual(recording.rest, 0)
        self.assertGreater(lost, 0)
        self.assertIn(PACKET, [record.data for record in recording.records])
        told = [comment for comment in recording.comments() if "could not be written" in comment]
        self.assertEqual(sum(int(comment.split()[0]) for comment in told), lost)
        self.assertEqual(int.from_bytes(recording.statistics[0][5], "little"), lost)
        self.assertEqual(1600 + 2 - lost, len([record for record in recording.records
                                               if record.data]))

    def test_size_limit(self):
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        self.check(kdtap.new_path(".pcapng"), [],
                   lambda pid: resource.prlimit(pid, resource.RLIMIT_FSIZE, (300_000, hard)),
                   lambda pid: resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard)))

    @unittest.skipUnless(os.geteuid() == 0, "mounting a small file system needs root")
    def test_disk(self):
        folder = kdtap.new_path()
        folder.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", folder],
                                 capture_output=True, text=True)
        if mounted.returncode:
            self.skipTest(f"mount: {mounted.stderr}")
        self.addCleanup(subprocess.run, ["umount", "-l", folder])
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(7_800_000))
        self.check(folder / "file.pcapng", [], lambda pid: None, lambda pid: ballast.unlink())

    def test_folder_is_gone(self):
        """The file of a rotation cannot be made: told, and the session goes on."""
        folder = kdtap.new_path()
        folder.mkdir()
        tap, debugger, target = start(UNIX_LISTEN, UNIX, "-w", folder / "x.pcapng", "-b",
                                      "filesize:10")
        with tap:
            session_goes_on(debugger, target)
            shutil.rmtree(folder)
            session_goes_on(debugger, target, 300)
            wait_for(lambda: str(folder) in tap.said(), "the message")
            session_goes_on(debugger, target, 10)
            tap.stop()


class Live(unittest.TestCase):
    def open_live(self, *options):
        live = kdtap.new_path(".fifo")
        tap, debugger, target = start(UNIX_LISTEN, UNIX, "--live", live, *options)
        return tap, debugger, target, live

    def reader(self, live: Path, seconds: float = 0) -> subprocess.Popen:
        """A program that copies the FIFO to a file."""
        copy = kdtap.new_path(".pcapng")
        process = subprocess.Popen(["cat", live], stdout=open(copy, "wb"))
        process.copy = copy
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def seen(self, reader) -> bytes:
        recording = kdtap.read_recording(reader.copy)
        return recording.sent(DEBUGGER)

    def test_late_reader_gets_the_head(self):
        tap, debugger, target, live = self.open_live()
        with tap:
            session_goes_on(debugger, target)
            time.sleep(0.1)
            first = self.reader(live)
            tap.wait("live-attached")
            debugger.send(b"one\r\n")
            target.receive(5)
            wait_for(lambda: self.seen(first) == b"one\r\n", "text on the live reader", 60)
            first.kill()
            session_goes_on(debugger, target, 100)
            tap.wait("live-detached")
            second = self.reader(live)
            tap.wait("live-attached", 2)
            debugger.send(b"two\r\n")
            wait_for(lambda: self.seen(second) == b"two\r\n", "text on the second reader", 60)
            tap.stop()
        self.assertFalse(live.exists())
        second.wait(timeout=kdtap.PATIENCE)
        self.assertEqual(tshark_complaints(second.copy), "")

    def test_text_is_seen_at_once(self):
        tap, debugger, target, live = self.open_live()
        with tap:
            reader = self.reader(live)
            tap.wait("live-attached")
            debugger.send(b"Boot menu")  # no packet, no end of a line, and nothing follows
            wait_for(lambda: self.seen(reader) == b"Boot menu", "the text", 60)

    def test_a_reader_that_stands_still_is_dropped(self):
        file = kdtap.new_path(".pcapng")
        tap, debugger, target, live = self.open_live("-w", file, "--queue", 256)
        with tap:
            reader = self.reader(live)
            tap.wait("live-attached")
            reader.send_signal(signal.SIGSTOP)
            data = kdwire.packet(2, 0x80800000, bytes(4000)) * 10
            session_goes_on(debugger, target, 400, data)
            tap.wait("live-detached")
            self.assertIn("the reader does not read", tap.said())
            # All is written down, so that the second reader does not get what is behind.
            wait_for(lambda: file.stat().st_size > 2 * 400 * len(data), "the recording")
            # It wakes up, finds the end of the stream, and another one may come.
            reader.send_signal(signal.SIGCONT)
            reader.wait(timeout=kdtap.PATIENCE)
            second = self.reader(live)
            tap.wait("live-attached", 2)
            debugger.send(b"again")
            target.receive(5)
            wait_for(lambda: self.seen(second) == b"again", "the second reader")
            session_goes_on(debugger, target)
            tap.stop()
            self.assertEqual(tap.find("recorded")[0]["lost_bytes"], 0)
        recording = kdtap.read_recording(file)
        self.assertEqual(len(recording.sent(DEBUGGER)), 400 * len(data) + 5 + len(PACKET))

    def test_a_reader_is_killed_while_it_stands_still(self):
        tap, debugger, target, live = self.open_live()
        with tap:
            for attempt in (1, 2):
                reader = self.reader(live)
                tap.wait("live-attached", attempt)
                reader.send_signal(signal.SIGSTOP)
                session_goes_on(debugger, target, 50, PACKET * 20)
                reader.kill()
                session_goes_on(debugger, target, 50, PACKET * 20)
                tap.wait("live-detached", attempt)

    def test_wireshark_is_started(self):
        """KDLENS_WIRESHARK names a program that shows what it was called with, and reads."""
        program, seen = kdtap.new_path(".sh"), kdtap.new_path()
        program.write_text(f'#!/bin/sh\necho "$1 $2" >{seen}.call\nexec cat "$3" >{seen}\n')
        program.chmod(0o755)
        name, path = UNIX_LISTEN.prepare()
        target_name, listener = UNIX.prepare()
        with kdtap.Tap(name, target_name, "--wireshark",
                       env={**os.environ, "KDLENS_WIRESHARK": str(program)}) as tap:
            debugger = UNIX_LISTEN.connect(tap, DEBUGGER, path)
            target = UNIX.connect(tap, TARGET, listener)
            tap.wait("live-attached")
            session_goes_on(debugger, target)
            wait_for(lambda: kdtap.read_recording(seen).sent(DEBUGGER) == PACKET, "the recording")
            tap.stop()
        self.assertEqual(Path(f"{seen}.call").read_text(), "-k -i\n")

    def test_wireshark_is_not_there(self):
        name, target_name = UNIX_LISTEN.prepare()[0], UNIX.prepare()[0]
        with kdtap.Tap(name, target_name, "--wireshark",
                       env={**os.environ, "KDLENS_WIRESHARK": "/no/such/program"}) as tap:
            self.assertEqual(tap.process.wait(timeout=kdtap.PATIENCE), 1)
            self.assertIn("/no/such/program cannot be started", tap.said())


class Dissection(unittest.TestCase):
    """A session replayed on both ends; Wireshark shows of the recording what it shows of the
    original."""

    FIELDS = ["kd.type", "kd.id", "kd.api", "kd.status", kdtest.INFO]

    def rows(self, capture) -> list[tuple]:
        """Without numbers of frames and times, which notes of the tap change."""
        rows = kdtest.fields(capture, self.FIELDS, filter="kd.type", two_pass=True)
        return [(*row[:-1], re.sub(r"\[[^]]*\]|\([\d.]+ .?s\)", "", row[-1])) for row in rows]

    def replay(self, chunks, cut: int | None) -> Path:
        file = kdtap.new_path(".pcapng")
        tap, debugger, target = start(UNIX_LISTEN, UNIX, "-w", file)
        with tap:
            for chunk in kdtest.rechunk(chunks, cut) if cut else chunks:
                from_debugger = chunk.direction == kdtest.HOST_TO_TARGET
                sender, taker = (debugger, target) if from_debugger else (target, debugger)
                sender.send(chunk.data)
                taker.receive(len(chunk.data))
            time.sleep(0.1)
            tap.stop()
        return file

    def check(self, chunks, original, cut=None):
        file = self.replay(chunks, cut)
        self.assertEqual(kdtest.problems(file), [])
        self.assertEqual(tshark_complaints(file), "")
        recording = kdtap.read_recording(file)
        for side, direction in ((DEBUGGER, kdtest.HOST_TO_TARGET),
                                (TARGET, kdtest.TARGET_TO_HOST)):
            self.assertEqual(recording.sent(side), b"".join(chunk.data for chunk in chunks
                                                            if chunk.direction == direction))
        rows = self.rows(file)
        self.assertGreater(len(rows), 50)
        self.assertEqual(rows, self.rows(original))
        # A record holds one packet.
        self.assertTrue(all("," not in row[0] for row in rows))

    def test_stored_session(self):
        original = kdtest.REPOSITORY / "pcaps/serial-session.pcapng"
        records = kdtap.read_recording(original).records
        chunks = [kdtest.Chunk(record.time, kdtest.TARGET_TO_HOST if record.sender == TARGET
                               else kdtest.HOST_TO_TARGET, record.data) for record in records]
        self.check(chunks, original)
        self.check(chunks, original, cut=7)

    def test_real_sessions(self):
        for name in ("windbg-amd64.jsonl", "windows-bootmgr-serial.jsonl"):
            with self.subTest(name):
                path = kdtest.captures(name)
                chunks = kdtest.read_recording(path)
                # As packets, so that each record of the original has one, too.
                plain = kdtest.recording(path)
                self.check_types(chunks, plain)

    def check_types(self, chunks, plain):
        file = self.replay(chunks, None)
        self.assertEqual(kdtest.problems(file), [])

        def types(capture):
            rows = kdtest.fields(capture, ["kd.type"], filter="kd.type", multiple=True)
            return [kind for row in rows for kind in row[0]]
        self.assertEqual(types(file), types(plain))
        self.assertGreater(len(types(file)), 500)

    def test_editcap_round_trip(self):
        original = kdtest.REPOSITORY / "pcaps/serial-session.pcapng"
        records = kdtap.read_recording(original).records[:200]
        chunks = [kdtest.Chunk(record.time, kdtest.TARGET_TO_HOST if record.sender == TARGET
                               else kdtest.HOST_TO_TARGET, record.data) for record in records]
        file = self.replay(chunks, None)
        copy = kdtest.scratch("copy.pcapng")
        kdtest.run("editcap", [kdtest.staged(file), copy])
        first, second = kdtap.read_recording(file), kdtap.read_recording(copy)
        self.assertEqual([(record.time, record.sender, record.data, record.comments)
                          for record in first.records],
                         [(record.time, record.sender, record.data, record.comments)
                          for record in second.records])


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
