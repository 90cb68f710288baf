# test_wine.py - the Windows build of kdlens, run by Wine: its ends, its live pipe, how it is ended.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What Wine cannot show: Hyper-V's own pipes and vmbuspiper.dll, PowerShell, a real console."""

import contextlib
import itertools
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import tty
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import winetest
from winetest import Bridge, Program, Tap, recorded, records, sent_by, wait_for

RANDOM = random.Random(10)
LETTERS = bytes(b"acdefghjklmnopqrstuvwxyz"[byte % 24] for byte in range(256))


def setUpModule():
    reason = winetest.missing()
    if reason:
        raise unittest.SkipTest(reason)
    winetest.set_up()


def cuts(data: bytes, most: int = 5000):
    """The same bytes in pieces of any size."""
    at = 0
    while at < len(data):
        size = RANDOM.choice((1, RANDOM.randint(1, 100), RANDOM.randint(1, most)))
        yield data[at:at + size]
        at += size


def noise(size: int) -> bytes:
    """Bytes that do not look like KD packets, and no break-ins."""
    return RANDOM.randbytes(size).translate(LETTERS)


class Wine(unittest.TestCase):
    def setUp(self):
        self.name = f"kd{RANDOM.getrandbits(48):x}"
        self.file = winetest.folder / f"{self.name}.pcapng"

    def keep(self, program):
        self.addCleanup(program.close)
        return program

    def tap(self, debugger: str, target: str, *options) -> Tap:
        return self.keep(Tap(debugger, target, "-w", winetest.windows_path(self.file), *options))

    def bridge(self, how: str, name: str) -> Bridge:
        return self.keep(Bridge(how, name))

    def both(self, tap: Tap, debugger: Bridge, times: int = 1) -> Bridge:
        """Until both ends are connected, in the tap's eyes: before that it drops what comes."""
        for end in ("debugger", "target"):
            tap.wait_event("connected", times, end=end)
        return debugger

    def exchange(self, debugger: Bridge, target: Bridge, size: int) -> dict[str, bytes]:
        """Both sides send at once, cut anywhere, and each gets what the other sent."""
        sent = {"debugger": noise(size), "target": noise(size)}
        for pieces in itertools.zip_longest(cuts(sent["debugger"]), cuts(sent["target"])):
            for side, piece in zip((debugger, target), pieces):
                if piece:
                    side.send(piece)
        self.assertEqual(target.receive(size), sent["debugger"])
        self.assertEqual(debugger.receive(size), sent["target"])
        return sent

    def check_file(self, sent: dict[str, bytes]) -> None:
        data = self.file.read_bytes()
        for side, expected in sent.items():
            self.assertEqual(recorded(data, side), expected, side)


class Pipes(Wine):
    def test_both_ways_byte_by_byte(self):
        target = self.bridge("serve", self.name + "t")
        tap = self.tap(f"pipe-listen:{self.name}d", f"pipe:{self.name}t")
        debugger = self.both(tap, self.bridge("connect", self.name + "d"))
        sent = self.exchange(debugger, target, 300_000)
        self.assertEqual(tap.interrupt(), 0)
        self.check_file(sent)

    def test_three_connections_of_either_side(self):
        sent = {"debugger": b"", "target": b""}
        tap = self.tap(f"pipe-listen:{self.name}d", f"pipe:{self.name}t")
        for again in range(1, 4):
            target = self.bridge("serve", self.name + "t")
            debugger = self.bridge("connect", self.name + "d")
            self.both(tap, debugger, again)
            for side, data in self.exchange(debugger, target, 20_000).items():
                sent[side] += data
            # Which goes first is not the same each time.
            for side in (debugger, target) if again % 2 else (target, debugger):
                side.hang_up()
            tap.wait_event("disconnected", again, end="debugger")
            tap.wait_event("disconnected", again, end="target")
        self.assertEqual(tap.interrupt(), 0)
        self.check_file(sent)

    def test_what_was_sent_before_hanging_up_arrives(self):
        target = self.bridge("serve", self.name + "t")
        tap = self.tap(f"pipe-listen:{self.name}d", f"pipe:{self.name}t")
        tap.wait_event("connected", end="target")
        last = noise(50_000)
        debugger = self.bridge("connect", self.name + "d").connected()
        debugger.send(last)
        debugger.hang_up()
        self.assertEqual(target.receive(len(last)), last)
        self.assertEqual(tap.interrupt(), 0)
        self.check_file({"debugger": last})

    def test_a_second_program_waits_for_its_turn(self):
        target = self.bridge("serve", self.name + "t")
        tap = self.tap(f"pipe-listen:{self.name}d", f"pipe:{self.name}t")
        first = self.both(tap, self.bridge("connect", self.name + "d"))
        second = self.bridge("connect", self.name + "d")
        self.exchange(first, target, 2_000)
        self.assertNotIn("connected", second.said())
        first.hang_up()
        tap.wait_event("connected", 2, end="debugger")
        self.exchange(second, target, 2_000)

    def test_a_name_that_is_taken(self):
        self.bridge("serve", self.name)
        tap = self.tap(f"pipe-listen:{self.name}", "tcp-listen:0")
        tap.wait_said("another program has made the pipe")
        self.assertEqual(tap.interrupt(), 0)

    def test_a_pipe_that_is_not_there_yet(self):
        tap = self.tap("tcp-listen:0", f"pipe:{self.name}")
        tap.wait_said("there is no such pipe")
        self.bridge("serve", self.name).connected()
        tap.wait_event("connected", end="target")


class Ends(Wine):
    def test_com_port_on_a_pseudo_terminal(self):
        master, slave = os.openpty()
        self.addCleanup(os.close, master)
        self.addCleanup(os.close, slave)
        tty.setraw(slave)
        port = winetest.folder / "prefix/dosdevices/com9"
        port.unlink(missing_ok=True)
        port.symlink_to(os.ttyname(slave))
        tap = self.tap(f"pipe-listen:{self.name}", "com:COM9,baud=115200")
        debugger = self.both(tap, self.bridge("connect", self.name))
        down, up = noise(5_000), noise(5_000)
        for piece in cuts(down, 500):
            debugger.send(piece)
        for piece in cuts(up, 500):
            os.write(master, piece)
        got = b""
        while len(got) < len(down):
            self.assertTrue(select.select([master], [], [], winetest.PATIENCE)[0])
            got += os.read(master, 65536)
        self.assertEqual(got, down)
        self.assertEqual(debugger.receive(len(up)), up)
        self.assertEqual(tap.interrupt(), 0)
        self.check_file({"debugger": down, "target": up})

    def test_a_com_port_that_is_not_there(self):
        tap = self.tap("tcp-listen:0", "com:COM77")
        tap.wait_said("there is no port of this name")

    def test_tcp_both_ways(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            tap = self.tap("tcp-listen:0", f"tcp:127.0.0.1:{server.getsockname()[1]}")
            address = tap.wait_event("listening", end="debugger")["address"]
            target, _ = server.accept()
            debugger = socket.create_connection(address.rsplit(":", 1))
            with target, debugger:
                tap.wait_event("connected", end="debugger")
                sent = noise(200_000)
                for one, other in ((debugger, target), (target, debugger)):
                    one.sendall(sent)
                    other.settimeout(winetest.PATIENCE)
                    self.assertEqual(receive_all(other, len(sent)), sent)
                other = socket.create_connection(address.rsplit(":", 1))
                with other:
                    other.settimeout(winetest.PATIENCE)
                    self.assertEqual(other.recv(1), b"")
                tap.wait_said("turned away")
            tap.wait_event("disconnected", end="debugger")
            # Who comes next is let in.
            with socket.create_connection(address.rsplit(":", 1)):
                tap.wait_event("connected", 2, end="debugger")
        self.assertEqual(tap.interrupt(), 0)
        self.check_file({"debugger": sent, "target": sent})

    def test_many_connections(self):
        """The debugger sends, leaves, and is back at once; nothing is lost, nobody turned away."""
        got, sent = bytearray(), b""
        with socket.create_server(("127.0.0.1", 0)) as server:
            tap = self.tap("tcp-listen:0", f"tcp:127.0.0.1:{server.getsockname()[1]}")
            address = tap.wait_event("listening", end="debugger")["address"]
            target, _ = server.accept()

            def collect():
                while chunk := target.recv(RANDOM.randint(1, 65536)):
                    got.extend(chunk)

            thread = threading.Thread(target=collect, daemon=True)
            thread.start()
            for _ in range(60):
                with socket.create_connection(address.rsplit(":", 1)) as debugger:
                    data = noise(RANDOM.choice((0, 1, 100, 100_000)))
                    debugger.sendall(data)
                    sent += data
                    time.sleep(RANDOM.choice((0, 0, 0.01)))
            wait_for(lambda: len(got) >= len(sent), f"{len(sent)} bytes")
            tap.wait_event("disconnected", 60, end="debugger")
            self.assertEqual(tap.interrupt(), 0)
            thread.join(winetest.PATIENCE)
            target.close()
        self.assertEqual(bytes(got), sent)
        self.assertNotIn("turned away", tap.said())
        self.check_file({"debugger": sent})

    def test_connections_that_break(self):
        """Either side is reset while both send; the tap goes on, and its file is whole."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            tap = self.tap("tcp-listen:0", f"tcp:127.0.0.1:{server.getsockname()[1]}")
            address = tap.wait_event("listening", end="debugger")["address"]
            for again in range(1, 9):
                target, _ = server.accept()
                debugger = socket.create_connection(address.rsplit(":", 1))
                tap.wait_event("connected", again, end="debugger")
                for side in (debugger, target):
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    side.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        side.send(noise(RANDOM.randint(1, 500_000)))
                for side in RANDOM.sample((debugger, target), 2):
                    side.close()
                    time.sleep(RANDOM.choice((0, 0.005)))
                tap.wait_event("disconnected", again, end="debugger")
                tap.wait_event("disconnected", again, end="target")
            self.assertEqual(tap.interrupt(), 0)
        self.assertTrue(records(self.file.read_bytes()))

    def test_a_tcp_port_that_is_taken(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            tap = self.tap(f"tcp-listen:{server.getsockname()[1]}", "pipe:x")
            self.assertEqual(tap.wait(), 1)
            self.assertIn("cannot listen", tap.said())

    def test_standard_input_and_output(self):
        target = self.bridge("serve", self.name)
        tap = self.keep(Program(winetest.kdlens, "tap", "stdio:", f"pipe:{self.name}", "-w",
                                winetest.windows_path(self.file)))
        target.connected()
        down, up = noise(30_000), noise(30_000)
        for piece in cuts(down):
            tap.process.stdin.write(piece)
        target.send(up)
        self.assertEqual(target.receive(len(down)), down)
        wait_for(lambda: len(tap.output) >= len(up), "what the target sent")
        self.assertEqual(bytes(tap.output), up)
        tap.process.stdin.close()
        self.assertEqual(tap.wait(), 0)
        self.check_file({"debugger": down, "target": up})

    def test_a_command(self):
        program = winetest.windows_path(winetest.folder / "bridge.exe")
        other = self.bridge("serve", self.name + "x")
        tap = self.tap(f"pipe-listen:{self.name}", f"exec:{program} connect {self.name}x")
        debugger = self.both(tap, self.bridge("connect", self.name))
        other.connected()
        sent = self.exchange(debugger, other, 20_000)
        other.hang_up()
        self.assertIn("status 0", tap.wait_event("disconnected", end="target")["reason"])
        self.assertEqual(tap.interrupt(), 0)
        self.check_file(sent)


class Recordings(Wine):
    def test_live_pipe(self):
        target = self.bridge("serve", self.name + "t")
        tap = self.tap(f"pipe-listen:{self.name}d", f"pipe:{self.name}t", "--live",
                       f"pipe:{self.name}w")
        viewer = self.bridge("read", self.name + "w").connected()
        debugger = self.both(tap, self.bridge("connect", self.name + "d"))
        tap.wait_event("live-attached")
        self.exchange(debugger, target, 20_000)
        late = self.bridge("read", self.name + "w")
        viewer.process.kill()
        late.connected()
        tap.wait_event("live-attached", 2)
        sent = self.exchange(debugger, target, 20_000)
        self.assertEqual(tap.interrupt(), 0)
        self.assertEqual(late.wait(), 0)
        live = bytes(late.output)
        for side, expected in sent.items():
            self.assertEqual(recorded(live, side), expected)

    def test_live_reader_that_stands_still(self):
        target = self.bridge("serve", self.name + "t")
        tap = self.tap(f"pipe-listen:{self.name}d", f"pipe:{self.name}t", "--live",
                       f"pipe:{self.name}w")
        viewer = self.bridge("read", self.name + "w").connected()
        tap.wait_event("live-attached")
        viewer.process.send_signal(signal.SIGSTOP)
        self.addCleanup(viewer.process.send_signal, signal.SIGCONT)
        debugger = self.both(tap, self.bridge("connect", self.name + "d"))
        sent = self.exchange(debugger, target, 100_000)
        self.assertEqual(tap.interrupt(), 0)
        self.check_file(sent)

    def test_a_pipe_that_wireshark_has_made(self):
        viewer = self.bridge("serve", self.name + "w")
        target = self.bridge("serve", self.name + "t")
        tap = self.tap(f"pipe-listen:{self.name}d", f"pipe:{self.name}t", "--live",
                       f"\\\\.\\pipe\\{self.name}w")
        debugger = self.both(tap, self.bridge("connect", self.name + "d"))
        tap.wait_event("live-attached")
        sent = self.exchange(debugger, target, 20_000)
        self.assertEqual(tap.interrupt(), 0)
        self.assertEqual(viewer.wait(), 0)
        for side, expected in sent.items():
            self.assertEqual(recorded(bytes(viewer.output), side), expected)

    def test_wireshark_is_started(self):
        target = self.bridge("serve", self.name)
        tap = self.tap("tcp-listen:0", f"pipe:{self.name}", "--wireshark")
        target.connected()
        tap.wait_event("live-attached")
        data = noise(1_000)
        target.send(data)
        time.sleep(0.3)
        self.assertEqual(tap.interrupt(), 0)
        seen = winetest.folder / "viewer.pcapng"
        wait_for(lambda: sent_by(seen.read_bytes(), "target") == data, "the viewer's copy")

    def test_live_on_standard_output(self):
        target = self.bridge("serve", self.name)
        tap = self.keep(Program(winetest.kdlens, "tap", "tcp-listen:0", f"pipe:{self.name}",
                                "--live", "-"))
        target.connected()
        data = noise(100_000)
        target.send(data)
        wait_for(lambda: sent_by(bytes(tap.output), "target") == data, "the recording")
        tap.process.send_signal(signal.SIGINT)
        self.assertEqual(tap.wait(), 0)

    def test_ended_from_outside(self):
        target = self.bridge("serve", self.name + "t")
        tap = self.tap(f"pipe-listen:{self.name}d", f"pipe:{self.name}t")
        debugger = self.both(tap, self.bridge("connect", self.name + "d"))
        sent = self.exchange(debugger, target, 20_000)
        time.sleep(0.3)
        tap.process.kill()
        tap.wait()
        self.check_file(sent)


class Guest:
    """A debug agent in a virtual machine: its frames, made here from their description."""

    DATA = 0x56867960, 0x87283679
    ACKNOWLEDGE = 0x15957899, 0x36133574

    def __init__(self, bridge: Bridge, acknowledges: bool = False):
        self.bridge = bridge
        self.acknowledges = acknowledges
        self.sequence = 1
        self.got = b""
        self.acknowledged = []
        self.drop = 0  # so many frames of the host are not seen
        self.sequences = []

    @staticmethod
    def frame(magic: tuple[int, int], flag: int, sequence: int, payload: bytes = b"") -> bytes:
        def pack(checksum: int) -> bytes:
            return struct.pack("<6I", magic[0], flag, len(payload), sequence, checksum,
                               magic[1]) + payload
        whole = pack(0)
        words = whole + bytes(-len(whole) % 4)
        checksum = 0
        for (word,) in struct.iter_unpack("<I", words):
            checksum ^= word
        return pack(checksum)

    def data(self, payload: bytes) -> bytes:
        self.sequence += 1
        return self.frame(self.DATA, 1, self.sequence, payload)

    def take(self, size: int) -> None:
        """Messages of the host until so much payload has come. Each must be one good frame."""
        while len(self.got) < size:
            self.take_message()

    def take_message(self) -> None:
        length = struct.unpack("<I", self.bridge.receive(4))[0]
        message = self.bridge.receive(length)
        magic, flag, payload, sequence, _, _ = struct.unpack_from("<6I", message)
        kind = self.DATA if magic == self.DATA[0] else self.ACKNOWLEDGE
        assert message == self.frame(kind, flag, sequence, message[24:]), message.hex()
        assert length == 24 + payload <= 2048
        if kind == self.ACKNOWLEDGE:
            assert flag == 2 and payload == 0
            self.acknowledged.append(sequence)
        elif self.drop:
            self.drop -= 1
        else:
            assert flag == 1
            if sequence not in self.sequences:
                self.got += message[24:]
            self.sequences.append(sequence)
            if self.acknowledges:
                self.bridge.send(self.frame(self.ACKNOWLEDGE, 3, sequence))


class VirtualMachineBus(Wine):
    MACHINE = "12345678-9abc-def0-1234-56789abcdef0"

    def vmbus(self, machine: str) -> str:
        library = winetest.windows_path(winetest.folder / "vmbuspiper.dll")
        return f"vmbus:{machine},library={library}"

    def start(self, acknowledges: bool = False) -> tuple[Tap, Bridge, Guest]:
        tap = self.tap(f"pipe-listen:{self.name}", self.vmbus("{" + self.MACHINE + "}"))
        guest = Guest(self.bridge("messages", f"vmbus.{self.MACHINE}"), acknowledges)
        debugger = self.both(tap, self.bridge("connect", self.name))
        return tap, debugger, guest

    def test_frames_that_are_cut_anywhere(self):
        tap, debugger, guest = self.start()
        down, up = noise(20_000), b""
        for piece in cuts(down):
            debugger.send(piece)
        stream = b""
        for piece in cuts(noise(20_000), 4000):
            up += piece
            stream += guest.data(piece)
        for piece in cuts(stream, 3000):
            guest.bridge.send(piece)
        guest.take(len(down))
        self.assertEqual(guest.got, down)
        self.assertEqual(guest.sequences, list(range(0x5687, 0x5687 + len(guest.sequences))))
        self.assertEqual(debugger.receive(len(up)), up)
        self.assertEqual(guest.acknowledged, [])
        self.assertEqual(tap.interrupt(), 0)
        self.check_file({"debugger": down, "target": up})

    def test_frames_that_are_damaged_or_missing(self):
        tap, debugger, guest = self.start()
        good = [noise(100) for _ in range(4)]
        guest.bridge.send(guest.data(good[0]))
        damaged = bytearray(guest.data(noise(100)))
        damaged[60] ^= 1
        guest.bridge.send(bytes(damaged) + guest.data(good[1]))
        guest.sequence += 2
        guest.bridge.send(guest.data(good[2]) + b"rubbish" + guest.data(good[3]))
        self.assertEqual(debugger.receive(400), b"".join(good))
        tap.wait_said("damaged bytes of the agent left out: 124")
        tap.wait_said("damaged bytes of the agent left out: 7")
        tap.wait_said("messages of the agent missing: 1")
        tap.wait_said("messages of the agent missing: 2")
        self.assertEqual(tap.interrupt(), 0)
        self.check_file({"target": b"".join(good)})

    def test_frames_that_come_twice_are_acknowledged(self):
        tap, debugger, guest = self.start()
        first, second = guest.data(b"one"), guest.data(b"two")
        guest.bridge.send(first + first + second)
        self.assertEqual(debugger.receive(6), b"onetwo")
        guest.take_message()
        guest.take_message()
        self.assertEqual(guest.acknowledged, [2, 3])
        tap.wait_said("the agent acknowledges")

    def test_frames_that_are_lost_come_again(self):
        tap, debugger, guest = self.start(acknowledges=True)
        debugger.send(b"first ")
        guest.take(6)
        guest.drop = 2
        debugger.send(b"lost twice")
        guest.take(16)
        self.assertEqual(guest.got, b"first lost twice")
        guest.bridge.send(guest.data(b"answer"))
        self.assertEqual(debugger.receive(6), b"answer")
        guest.take_message()
        self.assertEqual(guest.acknowledged, [2])
        self.assertEqual(tap.interrupt(), 0)
        self.check_file({"debugger": b"first lost twice", "target": b"answer"})

    def test_an_agent_without_frames(self):
        """Its first byte tells; before it, frames are sent, as older agents want them."""
        tap, debugger, guest = self.start()
        debugger.send(b"framed")
        guest.take(6)
        up, down = b"0000" + noise(5000), noise(5000)
        guest.bridge.send(up)
        self.assertEqual(debugger.receive(len(up)), up)
        tap.wait_said("the agent sends plain bytes")
        debugger.send(down)
        got = b""
        while len(got) < len(down):
            got += guest.bridge.receive(struct.unpack("<I", guest.bridge.receive(4))[0])
        self.assertEqual(got, down)
        self.assertEqual(tap.interrupt(), 0)
        self.check_file({"debugger": b"framed" + down, "target": up})

    def test_an_agent_that_comes_again(self):
        tap, debugger, guest = self.start()
        for again in range(2, 4):
            guest.bridge.hang_up()
            tap.wait_event("disconnected", again - 1, end="target")
            guest = Guest(self.bridge("messages", f"vmbus.{self.MACHINE}").connected())
            tap.wait_event("connected", again, end="target")
            guest.bridge.send(guest.data(b"here"))
            self.assertEqual(debugger.receive(4), b"here")

    def test_an_offer_without_administrator_rights(self):
        tap = self.tap("tcp-listen:0", self.vmbus("dead0005" + self.MACHINE[8:]))
        self.assertEqual(tap.wait(), 1)
        self.assertIn("elevated", tap.said())

    def test_a_machine_that_is_not_there(self):
        tap = self.tap("tcp-listen:0", self.vmbus("dead0002" + self.MACHINE[8:]))
        tap.wait_said("no running virtual machine")

    def test_a_machine_by_its_name(self):
        tap = self.tap("tcp-listen:0", self.vmbus("the target"))
        self.bridge("messages", f"vmbus.{self.MACHINE}").connected()
        tap.wait_event("connected", end="target")
        self.assertIn("$name = 'the target'\n", Machines.script().read_text())

    def test_a_name_that_no_machine_has(self):
        tap = self.tap("tcp-listen:0", self.vmbus("missing"))
        self.assertEqual(tap.wait(), 1)
        self.assertIn("there is no virtual machine missing; there are: target", tap.said())

    def test_without_the_library(self):
        tap = self.tap("tcp-listen:0", f"vmbus:{self.MACHINE}")
        self.assertEqual(tap.wait(), 1)
        self.assertIn("vmbuspiper.dll cannot be loaded", tap.said())

    def test_a_library_that_would_have_to_be_looked_for(self):
        tap = self.tap("tcp-listen:0", f"vmbus:{self.MACHINE},library=vmbuspiper.dll")
        self.assertEqual(tap.wait(), 1)
        self.assertIn("whole path", tap.said())


class Machines(Wine):
    """PowerShell is a test double: what it is given is looked at."""

    NAME = "Bob's $(x) \"VM\" \u2019\u00fc"

    def vm(self, *arguments: str) -> subprocess.CompletedProcess:
        self.script().unlink(missing_ok=True)
        return subprocess.run([winetest.find_wine(), winetest.kdlens, "vm", *arguments],
                              env=winetest.environment(), capture_output=True,
                              timeout=winetest.PATIENCE)

    @staticmethod
    def script() -> Path:
        return winetest.folder / "script.ps1"

    def test_what_is_printed_is_what_runs(self):
        for arguments in (("show",), ("show", "target"), ("set-com", "target", "kd"),
                          ("boot", "target", "C:\\a b.iso"), ("deploy", "target", "kd.efi")):
            with self.subTest(arguments):
                printed = self.vm(*arguments, "--dry-run")
                self.assertEqual((printed.returncode, printed.stderr), (0, b""))
                self.assertFalse(self.script().exists())
                run = self.vm(*arguments)
                self.assertEqual((run.returncode, run.stdout), (0, b"done\r\n"))
                self.assertIn(printed.stdout, run.stderr)
                self.assertEqual(self.script().read_bytes(),
                                 printed.stdout.replace(b"\r\n", b"\n"))

    def test_names_stay_names(self):
        self.vm("set-com", self.NAME, "a'b")
        script = self.script().read_text()
        self.assertIn("$name = 'Bob''s $(x) \"VM\" \u2019\u2019\u00fc'\n", script)
        self.assertIn("'\\\\.\\pipe\\' + 'a''b'\n", script)

    def test_a_machine_that_is_not_there(self):
        run = self.vm("show", "missing")
        self.assertEqual(run.returncode, 1)
        self.assertIn(b"kdlens vm: there is no virtual machine missing", run.stderr)


class Build(unittest.TestCase):
    def test_needs_nothing_but_the_system(self):
        text = subprocess.run(["x86_64-w64-mingw32-objdump", "-p", winetest.kdlens],
                              capture_output=True, text=True, check=True).stdout
        libraries = {line.split()[-1].lower() for line in text.splitlines() if "DLL Name" in line}
        # Of these the system has one copy for all programs, whatever is beside the program.
        self.assertLessEqual(libraries, {"advapi32.dll", "kernel32.dll", "msvcrt.dll", "ntdll.dll",
                                         "ole32.dll", "shell32.dll", "user32.dll", "ws2_32.dll"})


def receive_all(peer: socket.socket, size: int) -> bytes:
    got = b""
    while len(got) < size:
        chunk = peer.recv(size - len(got))
        if not chunk:
            break
        got += chunk
    return got


if __name__ == "__main__":
    program = unittest.main(exit=False)
    if program.result.wasSuccessful() and program.result.testsRun == 0:
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())
