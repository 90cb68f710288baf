# test_tap.py - kdlens tap between two ends: every byte arrives, whatever the ends are and do.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""KDLENS_TAP_MIB: size of the big transfer each way (64). KDLENS_TAP_DISCONNECTS: how often an end
goes away at a random moment (100)."""

import json
import os
import random
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

import kdtap
from kdtap import DEBUGGER, TARGET, Tap, start, wait_for
import kdtest
import kdwire

MIB = int(os.environ.get("KDLENS_TAP_MIB") or 64)
DISCONNECTS = int(os.environ.get("KDLENS_TAP_DISCONNECTS") or 100)
RESET = kdwire.packet(6, 0)


def receive_all(peer, data: bytes) -> bool:
    """Whether exactly these bytes come."""
    view, at = memoryview(data), 0
    limit = time.monotonic() + 4 * kdtap.PATIENCE
    while at < len(data):
        got = peer.receive_some()
        if got is None or got != view[at:at + len(got)]:
            return False
        at += len(got)
        if not got:
            if time.monotonic() > limit:
                return False
            time.sleep(0.0003)
    return True


def exchange(debugger, target, data: dict[str, bytes], seed: int) -> dict[str, bool]:
    """Both ways at once; whether what each end sent has arrived at the other."""
    peers = {DEBUGGER: debugger, TARGET: target}
    others = {DEBUGGER: target, TARGET: debugger}
    arrived = {}

    def take(side):
        arrived[side] = receive_all(others[side], data[side])

    flows = [kdtap.Flow(peers[side], data[side], seed + index)
             for index, side in enumerate(peers)]
    takers = [threading.Thread(target=take, args=(side,)) for side in peers]
    for thread in takers:
        thread.start()
    for thread in takers + flows:
        thread.join()
    return arrived


class EveryKindOfEnd(unittest.TestCase):
    def check(self, debugger_kind, target_kind, size: int, *options):
        file = kdtap.new_path(".pcapng")
        tap, debugger, target = start(debugger_kind, target_kind, "-w", file, "--queue", 256,
                                      *options)
        data = {DEBUGGER: kdtap.random_bytes(size, 1), TARGET: kdtap.random_bytes(size, 2)}
        with tap:
            self.assertEqual(exchange(debugger, target, data, 7), {DEBUGGER: True, TARGET: True})
            self.assertEqual(tap.stop(), 0, tap.said())
        recording = kdtap.read_recording(file)
        for side in data:
            self.assertTrue(recording.sent(side) == data[side], f"recording of the {side}")
        debugger.close()
        target.close()

    def test_as_target(self):
        for kind in kdtap.KINDS:
            with self.subTest(kind.name):
                self.check(kdtap.UNIX_LISTEN, kind, kind.mib << 20)

    def test_as_debugger(self):
        for kind in kdtap.KINDS:
            with self.subTest(kind.name):
                self.check(kind, kdtap.UNIX, kind.mib << 20)

    def test_raw(self):
        self.check(kdtap.UNIX_LISTEN, kdtap.UNIX, 2 << 20, "--raw")

    def test_compressed(self):
        file = kdtap.new_path(".pcapng.gz")
        tap, debugger, target = start(kdtap.UNIX_LISTEN, kdtap.UNIX, "-w", file)
        with tap:
            debugger.send(RESET + b"hello")
            self.assertEqual(target.receive(21), RESET + b"hello")
            tap.stop()
        self.assertEqual(kdtap.read_recording(file).sent(DEBUGGER), RESET + b"hello")

    def test_stdio(self):
        """As a filter: standard input to the target, its answer to standard output, then the
        end."""
        name, listener = kdtap.UNIX.prepare()
        data = random.Random(3).randbytes(1 << 20)
        got = bytearray()

        def answer():
            sock, _ = listener.accept()
            while len(got) < len(data):
                got.extend(sock.recv(65536))
            sock.sendall(data[::-1])
            sock.shutdown(socket.SHUT_WR)
            sock.close()

        thread = threading.Thread(target=answer)
        thread.start()
        done = subprocess.run([kdtap.PROGRAM, "tap", "-q", "stdio:", name], input=data,
                              capture_output=True, timeout=kdtap.PATIENCE)
        thread.join()
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertTrue(bytes(got) == data)
        self.assertTrue(done.stdout == data[::-1])

    def test_stdio_of_files(self):
        name, listener = kdtap.UNIX.prepare()
        source, result = kdtap.new_path(), kdtap.new_path()
        source.write_bytes(kdtap.random_bytes(300_000, 4))

        def echo():
            sock, _ = listener.accept()
            while data := sock.recv(65536):
                sock.sendall(data)
            sock.close()

        threading.Thread(target=echo, daemon=True).start()
        with open(source, "rb") as stdin, open(result, "wb") as stdout:
            done = subprocess.run([kdtap.PROGRAM, "tap", "-q", "stdio:", name], stdin=stdin,
                                  stdout=stdout, timeout=kdtap.PATIENCE)
        self.assertEqual(done.returncode, 0)
        self.assertTrue(result.read_bytes() == source.read_bytes())

    def test_exec_echo(self):
        """A command as the target: what it writes comes back, and it starts again when it ends."""
        name, path = kdtap.UNIX_LISTEN.prepare()
        with Tap(name, "exec:head -c 5; exit 3") as tap:
            debugger = kdtap.UNIX_LISTEN.connect(tap, DEBUGGER, path)
            tap.wait_connected()
            debugger.send(b"12345")
            self.assertEqual(debugger.receive(5), b"12345")
            gone = tap.wait("disconnected", end=TARGET)
            self.assertEqual(gone["reason"], "the command ended, exit status 3")
            tap.wait("connected", 2, end=TARGET)
            debugger.send(b"abcde")
            self.assertEqual(debugger.receive(5), b"abcde")

    def test_tcp_by_name(self):
        listener = socket.create_server(("127.0.0.1", 0))
        listener.settimeout(kdtap.PATIENCE)
        name, path = kdtap.UNIX_LISTEN.prepare()
        with Tap(name, f"tcp:localhost:{listener.getsockname()[1]}") as tap:
            debugger = kdtap.UNIX_LISTEN.connect(tap, DEBUGGER, path)
            target = kdtap.TCP.connect(tap, TARGET, listener)
            tap.wait_connected()
            debugger.send(b"by name")
            self.assertEqual(target.receive(7), b"by name")
        with Tap(name, "tcp:no-such-host.invalid:5000") as tap:
            wait_for(lambda: "trying again" in tap.said(), "the message")
            self.assertRegex(tap.said(), "target tcp:no-such-host.invalid:5000: .+; trying again")

    def test_tcp_is_not_delayed(self):
        """Nagle's algorithm would hold each of 100 small answers back for 40 ms."""
        tap, debugger, target = start(kdtap.TCP_LISTEN, kdtap.TCP)
        with tap:
            begin = time.monotonic()
            for _ in range(50):
                debugger.send(b"a")
                debugger.send(b"b")
                self.assertEqual(target.receive(2), b"ab")
                target.send(b"c")
                target.send(b"d")
                self.assertEqual(debugger.receive(2), b"cd")
            self.assertLess(time.monotonic() - begin, 3.0)


class Volume(unittest.TestCase):
    def test_both_ways_at_once(self):
        size = MIB << 20
        block = kdtap.random_bytes(4 << 20, 5)
        data = {DEBUGGER: (block * (MIB // 4 + 1))[:size],
                TARGET: (block[::-1] * (MIB // 4 + 1))[:size]}
        file = kdtap.new_path(".pcapng")
        tap, debugger, target = start(kdtap.UNIX_LISTEN, kdtap.UNIX, "-w", file, "--queue", 2048)
        with tap:
            self.assertEqual(exchange(debugger, target, data, 11), {DEBUGGER: True, TARGET: True})
            self.assertEqual(tap.stop(), 0)
            self.assertEqual(tap.find("recorded")[0]["lost_bytes"], 0)
        recording = kdtap.read_recording(file)
        for side in data:
            self.assertTrue(recording.sent(side) == data[side], f"recording of the {side}")
        file.unlink()

    def test_a_slow_end_slows_the_other(self):
        """Back-pressure: what an end does not take is not piled up in the tap."""
        tap, debugger, target = start(kdtap.UNIX_LISTEN, kdtap.UNIX)
        with tap:
            data, sent = bytes(1 << 16), 0
            idle = 0
            while idle < 100:
                got = debugger.send_some(data)
                sent += got
                idle = 0 if got else idle + 1
                time.sleep(0.002)
            self.assertLess(sent, 4 << 20)
            # The other direction does not wait for this one.
            target.send(b"answer")
            self.assertEqual(debugger.receive(6), b"answer")
            self.assertEqual(len(target.receive(sent)), sent)


class ByteByByte(unittest.TestCase):
    """As virtual serial ports hand packets over; of TCP the tap lets them gather (gather.h)."""

    def packets(self, count: int) -> bytes:
        return b"".join(kdwire.packet(2, 0x80800000 + number % 2, bytes(56 + number % 7))
                        for number in range(count))

    def trickle(self, peer, data: bytes):
        for at in range(len(data)):
            peer.send(data[at:at + 1])

    def check(self, kinds, end):
        tap, debugger, target = start(*kinds)
        with tap:
            data = self.packets(40)
            self.trickle(target, data)
            self.assertEqual(debugger.receive(len(data)), data)
            half = data[:40]
            self.trickle(target, half)
            self.assertEqual(debugger.receive(len(half)), half)  # nothing more comes
            self.trickle(target, data[40:60])
            end(target)
            self.assertEqual(debugger.receive(20), data[40:60])
            tap.wait("disconnected", end=TARGET)
        debugger.close()

    def test_sockets(self):
        self.check((kdtap.UNIX_LISTEN, kdtap.UNIX), lambda target: target.close())
        self.check((kdtap.TCP_LISTEN, kdtap.TCP), lambda target: target.close())

    def test_half_closed(self):
        self.check((kdtap.TCP_LISTEN, kdtap.TCP),
                   lambda target: target.sock.shutdown(socket.SHUT_WR))

    def test_pty(self):
        self.check((kdtap.UNIX_LISTEN, kdtap.PTY), lambda target: target.close())


class Side:
    """An end of the tap in the test of disconnects: what its connections sent and received."""

    def __init__(self, name: str, generator: random.Random):
        self.name, self.random = name, generator
        self.sent, self.received = [], []  # one bytearray for each connection
        self.peer = None
        self.open_at = 0.0
        self.half = False

    def opened(self, peer):
        self.peer, self.half = peer, False
        self.sent.append(bytearray())
        self.received.append(bytearray())

    def exchange_some(self, quiet: bool):
        if not self.peer:
            return
        got = self.peer.receive_some(self.random.randrange(1, 20_000))
        if got is None:
            self.close()
            return
        self.received[-1] += got
        if quiet or self.half:
            return
        data = kdtap.random_bytes(self.random.randrange(1, 9000), self.random.random())
        try:
            self.sent[-1] += data[:self.peer.send_some(data)]
        except (BrokenPipeError, ConnectionResetError):
            self.close()

    def close(self):
        self.peer.close()
        self.peer = None
        self.open_at = time.monotonic() + self.random.choice([0, 0, 0.01, 0.15])

    def leave(self):
        """At once, with bytes on their way; or politely, after saying so."""
        if self.random.randrange(3) == 0 and not self.half:
            self.peer.sock.shutdown(socket.SHUT_WR)
            self.half = True
        else:
            self.close()


class Disconnects(unittest.TestCase):
    """Either end goes and comes at random moments, with bytes under way both ways."""

    def open(self, tap, side, made):
        if side.peer or time.monotonic() < side.open_at:
            return
        if side.name == DEBUGGER:
            try:
                sock = socket.socket(socket.AF_UNIX)
                sock.connect(str(made))
            except BlockingIOError:
                return
        else:
            try:
                sock, _ = made.accept()
            except (TimeoutError, BlockingIOError):
                return
        side.opened(kdtap.Peer(sock.fileno(), sock=sock))

    def pump(self, tap, sides, made, until, quiet=False):
        while not until():
            self.assertIsNone(tap.process.poll(), tap.said())
            for side in sides:
                self.open(tap, side, made[side.name])
                side.exchange_some(quiet)

    def settle(self, tap, sides, made):
        """Until both are connected, and nothing is under way any more."""
        quiet_since = [time.monotonic(), -1]

        def settled():
            total = sum(len(data) for side in sides for data in side.received)
            if total != quiet_since[1] or not all(side.peer for side in sides):
                quiet_since[:] = [time.monotonic(), total]
            return time.monotonic() - quiet_since[0] > 0.5
        self.pump(tap, sides, made, settled, quiet=True)

    def connections(self, recording, side: str) -> list[bytes]:
        """For each connection of this end what was passed on to it, by the recording."""
        other = TARGET if side == DEBUGGER else DEBUGGER
        found, inside = [], False
        for record in recording.records:
            for comment in record.comments:
                if comment.startswith(f"{side} connected"):
                    found.append(bytearray())
                    inside = True
                elif comment.startswith(f"{side} disconnected"):
                    inside = False
            if record.sender == other and record.data:
                self.assertEqual(record.delivered, inside, record)
                if inside:
                    found[-1] += record.data
        return found

    def run_random(self, policy: str, count: int, seed: int):
        generator = random.Random(seed)
        file = kdtap.new_path(".pcapng")
        debugger_name, path = kdtap.UNIX_LISTEN.prepare()
        target_name, listener = kdtap.UNIX.prepare()
        listener.setblocking(False)
        made = {DEBUGGER: path, TARGET: listener}
        sides = [Side(DEBUGGER, generator), Side(TARGET, generator)]
        with Tap(debugger_name, target_name, "-w", file, "--queue", 1024, "--on-disconnect",
                 policy) as tap:
            tap.wait("listening", end=DEBUGGER)
            for _ in range(count):
                pause = time.monotonic() + generator.uniform(0, 0.06)
                self.pump(tap, sides, made, lambda: time.monotonic() > pause)
                leaving = generator.choice(sides)
                if leaving.peer:
                    leaving.leave()
            for side in sides:
                side.half = side.half or side.peer is None
            self.settle(tap, sides, made)
            self.assertEqual(tap.stop(), 0)
        self.check(kdtap.read_recording(file), sides)

    def check(self, recording, sides):
        for side in sides:
            # What it sent, in all its connections, is in the recording, in order.
            sent = b"".join(bytes(data) for data in side.sent)
            self.assertTrue(recording.sent(side.name) == sent, f"bytes of the {side.name}")
        for side in sides:
            # What a connection received is what the recording says was passed on to it, up to where
            # it left.
            passed = self.connections(recording, side.name)
            self.assertEqual(len(passed), len(side.received), f"connections of the {side.name}")
            for number, (sent, got) in enumerate(zip(passed, side.received)):
                self.assertTrue(sent.startswith(got), f"{side.name}, connection {number}")
            self.assertTrue(side.received[-1] == passed[-1], "the last connection lost nothing")

    def test_reconnect(self):
        self.run_random("reconnect", DISCONNECTS, 1)

    def test_wait(self):
        self.run_random("wait", max(DISCONNECTS // 4, 10), 2)


class Policies(unittest.TestCase):
    def test_bytes_for_nobody_are_recorded_and_dropped(self):
        file = kdtap.new_path(".pcapng")
        tap, debugger, target = start(kdtap.UNIX_LISTEN, kdtap.UNIX, "-w", file)
        with tap:
            debugger.close()
            tap.wait("disconnected", end=DEBUGGER)
            target.send(bytes(1 << 20))  # a machine must not stand still
            target.send(b"end")
            wait_for(lambda: len(kdtap.read_recording(file).sent(TARGET)) == (1 << 20) + 3,
                     "the bytes in the recording")
            debugger = kdtap.UNIX_LISTEN.connect(tap, DEBUGGER,
                                                 Path(tap.find("listening")[0]["address"]))
            tap.wait("connected", 2, end=DEBUGGER)
            target.send(b"seen")
            self.assertEqual(debugger.receive(4), b"seen")
            tap.stop()
        recording = kdtap.read_recording(file)
        self.assertEqual(recording.sent(TARGET, delivered=False), bytes(1 << 20) + b"end")
        self.assertEqual(recording.sent(TARGET, delivered=True), b"seen")
        self.assertIn("1048579 bytes of the target were not delivered meanwhile",
                      recording.comments())

    def test_wait_keeps_bytes(self):
        name, path = kdtap.UNIX_LISTEN.prepare()
        target_name, listener = kdtap.UNIX.prepare()
        with Tap(name, target_name, "--on-disconnect", "wait") as tap:
            target = kdtap.UNIX.connect(tap, TARGET, listener)
            target.send(b"early")
            tap.wait("connected", end=TARGET)
            time.sleep(0.1)
            debugger = kdtap.UNIX_LISTEN.connect(tap, DEBUGGER, path)
            self.assertEqual(debugger.receive(5), b"early")
            debugger.close()
            tap.wait("disconnected", end=DEBUGGER)
            target.send(b"later")
            debugger = kdtap.UNIX_LISTEN.connect(tap, DEBUGGER, path)
            self.assertEqual(debugger.receive(5), b"later")

    def test_exit(self):
        tap, debugger, target = start(kdtap.UNIX_LISTEN, kdtap.UNIX, "--on-disconnect", "exit")
        with tap:
            debugger.send(b"last words")
            debugger.close()
            self.assertEqual(target.receive(10), b"last words")
            self.assertEqual(tap.process.wait(timeout=kdtap.PATIENCE), 0)
            self.assertTrue(target.ended())

    def test_half_close(self):
        """An end that sends no more still gets the answer."""
        tap, debugger, target = start(kdtap.TCP_LISTEN, kdtap.TCP)
        with tap:
            debugger.send(b"question")
            debugger.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(target.receive(8), b"question")
            target.send(b"answer")
            self.assertEqual(debugger.receive(6), b"answer")
            tap.wait("disconnected", end=DEBUGGER)

    def test_a_newcomer_takes_the_place_of_one_that_left_half(self):
        tap, debugger, target = start(kdtap.TCP_LISTEN, kdtap.TCP)
        with tap:
            debugger.sock.shutdown(socket.SHUT_WR)
            time.sleep(0.1)
            second = kdtap.TCP_LISTEN.connect(tap, DEBUGGER, None)
            tap.wait("connected", 2, end=DEBUGGER)
            second.send(b"new")
            self.assertEqual(target.receive(3), b"new")

    def test_a_second_client_is_turned_away(self):
        for kind in (kdtap.UNIX_LISTEN, kdtap.TCP_LISTEN):
            with self.subTest(kind.name):
                tap, debugger, target = start(kind, kdtap.UNIX)
                with tap:
                    address = tap.find("listening")[0]["address"]
                    second = kind.connect(tap, DEBUGGER, address)
                    self.assertTrue(second.ended())
                    tap.wait("notice", end=DEBUGGER)
                    debugger.send(b"first")
                    self.assertEqual(target.receive(5), b"first")

    def test_retries_are_told_once(self):
        path = kdtap.new_path(".sock")
        name, _ = kdtap.UNIX_LISTEN.prepare()
        with Tap(name, f"unix:{path}") as tap:
            wait_for(lambda: "trying again" in tap.said(), "the message")
            time.sleep(0.8)
            self.assertEqual(tap.said().count("trying again"), 1, tap.said())
            self.assertIn(f"target unix:{path}: there is no such socket", tap.said())
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            listener.listen()
            tap.wait("connected", end=TARGET)


class Names(unittest.TestCase):
    """Sockets and links: made for this user, removed at the end, nobody else's touched."""

    def fails(self, name: str, reason: str):
        other, _ = kdtap.UNIX.prepare()
        with Tap(name, other) as tap:
            self.assertEqual(tap.process.wait(timeout=kdtap.PATIENCE), 1, tap.said())
            self.assertIn(reason, tap.said())

    def test_socket_is_private_and_removed(self):
        name, path = kdtap.UNIX_LISTEN.prepare()
        with Tap(name, kdtap.UNIX.prepare()[0]) as tap:
            tap.wait("listening")
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
            tap.stop()
        self.assertFalse(path.exists())

    def test_stale_socket_is_replaced(self):
        path = kdtap.new_path(".sock")
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(str(path))
        stale.close()
        with Tap(f"unix-listen:{path}", kdtap.UNIX.prepare()[0]) as tap:
            tap.wait("listening")

    def test_a_socket_in_use_is_left_alone(self):
        path = kdtap.new_path(".sock")
        used = socket.socket(socket.AF_UNIX)
        used.bind(str(path))
        used.listen()
        self.fails(f"unix-listen:{path}", "another program listens on it")
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(path))

    def test_files_are_left_alone(self):
        path = kdtap.new_path()
        path.write_text("precious")
        self.fails(f"unix-listen:{path}", "not a socket")
        self.fails(f"unix:{path}", "not a socket")
        self.fails(f"pty:{path}", "belongs to something else")
        self.fails(f"serial:{path}", "not a serial line")
        self.assertEqual(path.read_text(), "precious")

    def test_port_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as used:
            self.fails(f"tcp-listen:{used.getsockname()[1]}", "Address already in use")

    def test_pty_link(self):
        link = kdtap.new_path()
        link.symlink_to("/dev/pts/there-is-no-such")
        with Tap(f"pty:{link}", kdtap.UNIX.prepare()[0]) as tap:
            tap.wait("listening")
            self.assertTrue(os.readlink(link).startswith("/dev/pts/"))
            tap.stop()
        self.assertFalse(link.is_symlink())
        link.symlink_to("/dev/null")
        self.fails(f"pty:{link}", "belongs to something else")
        self.assertEqual(os.readlink(link), "/dev/null")

    def test_listens_on_this_machine_only(self):
        with Tap("tcp-listen:0", kdtap.UNIX.prepare()[0]) as tap:
            self.assertTrue(tap.wait("listening")["address"].startswith("127.0.0.1:"))
        with Tap("tcp-listen:[::]:0", kdtap.UNIX.prepare()[0]) as tap:
            self.assertTrue(tap.wait("listening")["address"].startswith("[::]:"))

    def test_long_path(self):
        self.fails(f"unix-listen:/tmp/{'x' * 200}", "longer than 107 bytes")


class Usage(unittest.TestCase):
    def run_tap(self, *arguments) -> subprocess.CompletedProcess:
        return subprocess.run([kdtap.PROGRAM, "tap", *map(str, arguments)], capture_output=True,
                              text=True, timeout=kdtap.PATIENCE, stdin=subprocess.DEVNULL)

    def test_wrong_arguments(self):
        cases = {
            ("unix:a",): "TARGET-END is missing",
            ("unix:a", "foo:b"): "not the name of an end; there are unix:PATH",
            ("unix:a", "pipe:b"): "not available on this system",
            ("unix:a", "tcp:b"): "HOST or PORT is missing",
            ("unix:a", "unix:a"): "both ends are unix:a",
            ("stdio:", "unix:a", "--json"): "only one of",
            ("unix:a", "unix:b", "--console", "c"): "add --hold",
            ("unix:a", "unix:b", "--live", "x", "--wireshark"): "leave --live out",
            ("unix:a", "unix:b", "--on-disconnect", "stay"): "not one of reconnect, wait, exit",
        }
        for arguments, expected in cases.items():
            with self.subTest(arguments):
                done = self.run_tap(*arguments)
                self.assertEqual(done.returncode, 2)
                self.assertIn(expected, done.stderr)
                self.assertEqual(done.stdout, "")

    def test_outputs_that_cannot_be_opened(self):
        cases = {
            ("-w", "/no/such/folder/file.pcapng"): "/no/such/folder",
            ("-b", "files:3"): "-b needs -w",
            ("-w", kdtap.new_path(), "-b", "size:3"): "expected filesize:",
            ("--live", "/etc/hostname"): "not a FIFO",
            ("--hold", "--console", "/no/such/folder/text"): "/no/such/folder",
        }
        for options, expected in cases.items():
            with self.subTest(options):
                done = self.run_tap(kdtap.UNIX_LISTEN.prepare()[0], kdtap.UNIX.prepare()[0],
                                    *options)
                self.assertEqual(done.returncode, 1)
                self.assertIn(expected, done.stderr)

    def test_help(self):
        done = self.run_tap("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for word in ("--write", "--on-disconnect", "tcp-listen:[ADDRESS:]PORT", "SIGUSR1"):
            self.assertIn(word, done.stdout)
        self.assertLessEqual(max(map(len, done.stdout.splitlines())), 110)


class Requests(unittest.TestCase):
    def test_signals(self):
        file = kdtap.new_path(".pcapng")
        tap, debugger, target = start(kdtap.UNIX_LISTEN, kdtap.UNIX, "-w", file)
        with tap:
            debugger.send(RESET)
            target.receive(16)
            tap.process.send_signal(signal.SIGUSR1)
            self.assertEqual(target.receive(1), b"b")
            tap.process.send_signal(signal.SIGUSR2)
            tap.wait("marker", text="marker 1")
            self.assertEqual(debugger.silent(), b"")
            tap.stop()
        recording = kdtap.read_recording(file)
        self.assertEqual(recording.sent(DEBUGGER), RESET + b"b")
        self.assertIn("break-in sent by kdlens", recording.comments())
        self.assertIn("marker 1", recording.comments())

    def test_break_in_does_not_cut_a_packet(self):
        tap, debugger, target = start(kdtap.UNIX_LISTEN, kdtap.UNIX)
        packet = kdwire.packet(2, 0x80800000, bytes(56))
        with tap:
            for at in range(0, len(packet), 8):
                debugger.send(packet[at:at + 8])
                if at == 16:
                    tap.process.send_signal(signal.SIGUSR1)
                time.sleep(0.005)
            self.assertEqual(target.receive(len(packet) + 1), packet + b"b")

    def test_stopping(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(number.name):
                file = kdtap.new_path(".pcapng")
                tap, debugger, target = start(kdtap.UNIX_LISTEN, kdtap.UNIX, "-w", file)
                with tap:
                    debugger.send(b"text")
                    target.receive(4)
                    self.assertEqual(tap.stop(number), 0)
                recording = kdtap.read_recording(file)
                self.assertEqual(recording.rest, 0)
                self.assertEqual(len(recording.statistics), 1)
                self.assertEqual(recording.sent(DEBUGGER), b"text")

    def test_keys(self):
        """In a terminal: b, m, h, q, and a status line."""
        master, slave = os.openpty()
        name, path = kdtap.UNIX_LISTEN.prepare()
        target_name, listener = kdtap.UNIX.prepare()
        with Tap(name, target_name, json=False, stdin=slave, start_new_session=True,
                 preexec_fn=lambda: __import__("fcntl").ioctl(0, 0x540E, 0)) as tap:
            target = kdtap.UNIX.connect(tap, TARGET, listener)
            wait_for(lambda: "target: connected" in tap.said(), "the target")
            time.sleep(0.1)
            os.write(master, b"b")
            self.assertEqual(target.receive(1), b"b")
            os.write(master, b"mh")
            wait_for(lambda: "marker 1" in tap.said() and "--heal is on" in tap.said(), "m and h")
            os.write(master, b"q")
            self.assertEqual(tap.process.wait(timeout=kdtap.PATIENCE), 0)

    def test_status_line(self):
        master, slave = os.openpty()
        name, path = kdtap.UNIX_LISTEN.prepare()
        target_name, listener = kdtap.UNIX.prepare()
        process = subprocess.Popen([kdtap.PROGRAM, "tap", name, target_name], stderr=slave,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   env={**os.environ, "TERM": "xterm"})
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        terminal = kdtap.Peer(master)
        target = kdtap.UNIX.connect(None, TARGET, listener)
        shown = b""

        def shows(text: bytes):
            def seen():
                nonlocal shown
                shown += terminal.receive_some() or b""
                return text in shown
            wait_for(seen, f"{text} on the terminal")

        shows(b"\r\x1b[Kdebugger awaited, target 0 B/s | 0 packets")
        debugger = socket.socket(socket.AF_UNIX)
        debugger.connect(str(path))
        shows(b"debugger 0 B/s, target 0 B/s | 0 packets\r")
        # NewState, ProcessorLevel, Processor, NumberProcessors, Thread, ProgramCounter; the code
        stop = struct.pack("<IHHI4xQQI", 0x3030, 0, 0, 1, 0, 0xfffff80112345678, 0x80000003)
        target.send(kdwire.packet(7, 0x80800800, stop.ljust(240, b"\0")))
        shows(b" | 1 packet | stopped: ")
        shows(b"(0x80000003) at 0xfffff80112345678")
        debugger.send(kdwire.packet(2, 0x80800000, struct.pack("<IHHI", 0x3136, 0, 0, 0x10001)
                                    .ljust(56, b"\0")))
        shows(b" | 2 packets | running, last stop: ")
        listener.close()
        target.close()
        debugger.close()
        shows(b"\r\x1b[Kdebugger awaited, target not there | 2 packets\r")

    def test_a_reader_that_stands_still_does_not_matter(self):
        """Nobody reads the JSON events: the session goes on, and the tap ends when told."""
        name, path = kdtap.UNIX_LISTEN.prepare()
        target_name, listener = kdtap.UNIX.prepare()
        process = subprocess.Popen([kdtap.PROGRAM, "tap", "-q", "--json", name, target_name],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        target = kdtap.Peer(listener.accept()[0].detach())
        wait_for(path.exists, "the socket")
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(path))
        debugger = kdtap.Peer(sock.fileno(), sock=sock)
        time.sleep(0.1)
        for _ in range(3000):
            debugger.send(RESET + b"b")  # an event each
            target.receive(17)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(timeout=kdtap.PATIENCE), 0)
        process.stdout.close()


class HoldAndHeal(unittest.TestCase):
    """What the options do is in tests/unit/test_hold.c; here, that the program does it."""

    STATE = kdwire.packet(7, 0x80800800, bytes(240))
    REQUEST = kdwire.packet(2, 0x80800000, bytes(56))
    ACK = kdwire.packet(4, 0x80800000)

    def test_hold(self):
        file, console = kdtap.new_path(".pcapng"), kdtap.new_path(".txt")
        tap, debugger, target = start(kdtap.UNIX_LISTEN, kdtap.UNIX, "-w", file, "--hold",
                                      "--console", console)
        with tap:
            debugger.send(RESET + b"b")
            target.send(b"Booting from iii disk\r\n")
            self.assertEqual((debugger.silent(), target.silent()), (b"", b""))
            target.send(self.STATE)
            self.assertEqual(debugger.receive(len(self.STATE)), self.STATE)
            tap.wait("hold-ends", bytes=17)
            debugger.send(self.ACK)
            self.assertEqual(target.receive(16), self.ACK)
            tap.stop()
        self.assertEqual(console.read_bytes(), b"Booting from iii disk\r\n")
        recording = kdtap.read_recording(file)
        self.assertEqual(recording.sent(DEBUGGER, delivered=False), RESET + b"b")
        self.assertEqual(recording.sent(DEBUGGER, delivered=True), self.ACK)
        self.assertEqual(recording.sent(TARGET), b"Booting from iii disk\r\n" + self.STATE)
        self.assertIn("kept from the target by --hold: it has not spoken KD yet",
                      recording.comments())

    def test_console_on_stderr(self):
        tap, debugger, target = start(kdtap.UNIX_LISTEN, kdtap.UNIX, "--hold")
        with tap:
            target.send(b"Press any key\r\n\x1b[2J")
            wait_for(lambda: "Press any key\n^[[2J" in tap.said(), "the text")
            self.assertEqual(debugger.silent(0.1), b"")

    def test_heal(self):
        file = kdtap.new_path(".pcapng")
        tap, debugger, target = start(kdtap.UNIX_LISTEN, kdtap.UNIX, "-w", file, "--heal")
        with tap:
            debugger.send(RESET + self.REQUEST)
            self.assertEqual(target.receive(16), RESET)
            self.assertEqual(target.silent(), b"")
            target.send(RESET + self.STATE)
            debugger.receive(16 + len(self.STATE))
            debugger.send(self.ACK)
            self.assertEqual(target.receive(16 + len(self.REQUEST)), self.ACK + self.REQUEST)
            tap.wait("heal-passes")
            tap.stop()
        recording = kdtap.read_recording(file)
        self.assertEqual(recording.sent(DEBUGGER), RESET + self.ACK + self.REQUEST)
        self.assertIn("kept back by --heal for a moment, passed on now", recording.comments())

    def test_heal_limit(self):
        tap, debugger, target = start(kdtap.UNIX_LISTEN, kdtap.UNIX, "--heal")
        with tap:
            debugger.send(RESET + self.REQUEST)
            target.receive(16)
            begin = time.monotonic()
            self.assertEqual(target.receive(len(self.REQUEST)), self.REQUEST)
            self.assertAlmostEqual(time.monotonic() - begin, 2.5, delta=0.5)

    def test_the_recorded_storm_is_named(self):
        """WinDbg and the Windows boot manager, replayed at their own pace up to the storm."""
        chunks = kdtest.read_recording(kdtest.captures("windows-reset-storm.jsonl"))
        begin = next(chunk.nanoseconds for chunk in chunks if b"iiii" in chunk.data
                     and chunk.direction == kdtest.TARGET_TO_HOST) - 500_000_000
        chunks = [chunk for chunk in chunks if begin < chunk.nanoseconds < begin + 3_500_000_000]
        tap, debugger, target = start(kdtap.UNIX_LISTEN, kdtap.UNIX)
        with tap:
            zero = time.monotonic() - begin / 1e9
            for chunk in chunks:
                while time.monotonic() - zero < chunk.nanoseconds / 1e9:
                    debugger.receive_some()
                    target.receive_some()
                    time.sleep(0.001)
                sender = debugger if chunk.direction == kdtest.HOST_TO_TARGET else target
                sender.send(chunk.data)
            tap.wait("reset-storm")
            self.assertIn("RESET storm", tap.said())
            self.assertIn("--heal", tap.said())


if __name__ == "__main__":
    unittest.main(verbosity=2, warnings="ignore")
