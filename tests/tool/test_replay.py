# test_replay.py - kdlens replay: kdlens debug at a recorded target, and the transcript.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What kdlens debug shows at the replayed target is held against what WinDbg printed at the real
one, beside the recording; for the agent, against what kdlens debug itself showed at the real one.
Strict mode is held against the recording's own bytes."""

import json
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import kdfiles
import kdreplay
import kdtap
import kdtest
from kdfiles import kdlens, scratch
from kdreplay import Printed, Replay, shown_memory, shown_registers

sys.path.insert(0, str(kdfiles.REPOSITORY / "tests/boot"))
import agentsession

DATA_LEADER, CONTROL_LEADER = b"0000", b"iiii"


def debugger(case: unittest.TestCase, replay: Replay, *options) -> agentsession.Debugger:
    it = agentsession.Debugger(replay.end, *options)
    case.addCleanup(it.kill)
    return it


def stops_of(arguments) -> list[dict]:
    return [json.loads(line) for line in kdlens("stops", *arguments, "--json").stdout.splitlines()]


def frames_of(arguments) -> list[tuple[bool, bytes]]:
    """(from the debugger, bytes) of each chunk that the recording has."""
    out = scratch("strict.jsonl")
    kdlens("export", *arguments, "--jsonl", out)
    return [(chunk.direction == kdtest.HOST_TO_TARGET, chunk.data)
            for chunk in kdtest.read_recording(out)]


def play(case: unittest.TestCase, arguments, sent: bytes, expected: int, *options) -> tuple:
    """What came, the replay, the line."""
    replay = Replay(*arguments, "--strict", *options)
    case.addCleanup(replay.__exit__)
    line = socket.socket(socket.AF_UNIX)
    line.connect(str(replay.path))
    case.addCleanup(line.close)
    peer = kdtap.Peer(line.fileno(), sock=line)
    peer.send(sent)
    return (peer.receive(expected) if expected else b""), replay, peer


def check_strict(case: unittest.TestCase, arguments):
    """The recorded debugger's bytes bring the recorded target's."""
    frames = frames_of(arguments)
    expected = b"".join(data for host, data in frames if not host)
    got, replay, _ = play(case, arguments, b"".join(data for host, data in frames if host),
                          len(expected))
    case.assertEqual(got, expected)
    case.assertEqual(replay.ends(), 0, replay.said())
    replay.wait(r"as recorded: \d+ packets")


class Bootmgr:
    """Both ends Microsoft's: the text is WinDbg's."""

    NET = False

    @classmethod
    def setUpClass(cls):
        cls.arguments = kdreplay.bootmgr(cls.NET)
        cls.printed = Printed(f"windows-bootmgr-{'kdnet' if cls.NET else 'serial'}.txt")
        cls.stops = stops_of(cls.arguments)
        cls.first = next(row["stop"] for row in cls.stops if row["reason"] == "exception")

    def at_first(self, *options, debug=()) -> agentsession.Debugger:
        replay = Replay(*self.arguments, "--stop", self.first, *options)
        self.addCleanup(replay.__exit__)
        it = debugger(self, replay, *debug)
        it.wait("stop", "Break instruction exception - code 80000003")
        return it

    def check_stack(self, it: agentsession.Debugger, expected: list):
        rows = re.findall(r"^[0-9a-f]{2} ([0-9a-f]{16}) [0-9a-f]{16} (\S+)$", it.command("k"), re.M)
        shown = [(int(sp, 16), site.lstrip("0")) for sp, site in rows]
        self.assertEqual(shown[:len(expected)], expected)

    def test_registers_and_stack(self):
        it = self.at_first()
        shown, expected = shown_registers(it.command("r")), self.printed.registers()
        self.assertGreater(len(expected), 20)
        self.assertEqual({name: shown[name] for name in expected}, expected)
        special = shown_registers(self.printed.answer("r cr0,cr2,cr3,cr4,gdtr,idtr,tr"))
        shown = shown_registers(it.command("rm"))
        self.assertEqual({name: shown[name] for name in special}, special)
        expected = self.printed.stack("k")
        self.assertGreater(len(expected), 5)
        self.check_stack(it, expected)
        it.close()

    def test_memory(self):
        it = self.at_first()
        for command in ("db @rsp L80", "dq @rsp L10", "db /p 1000 L40"):
            self.assertEqual(shown_memory(it.command(command.replace("@", ""))),
                             shown_memory(self.printed.answer(command)))
        # WinDbg wrote these later in this very stop: they are not yet there, and then they are.
        it.refused("dd /p 2000 L1")
        it.command("ed /p 2000 11223344")
        self.assertEqual(shown_memory(it.command("dd /p 2000 L4")),
                         shown_memory(self.printed.answer("dd /p 2000 L4")))
        it.command("eq rsp-100 1122334455667788")
        self.assertEqual(shown_memory(it.command("dq rsp-100 L2")),
                         shown_memory(self.printed.answer("dq @rsp-100 L2")))
        self.assertIn("????", self.printed.answer("dd fffff80000000000 L4"))
        self.assertIn("c0000001", it.refused("dd fffff80000000000 L4"))
        it.close()

    def test_system(self):
        it = self.at_first()
        self.assertIn("boot debugger 17763, AMD64", it.command("version"))
        for command in ("rdmsr c0000080", "ib 3fd", "id cf8"):
            value = int(re.split("[:=]", self.printed.answer(command))[1].replace("`", ""), 16)
            self.assertEqual(int(re.split("[:=]", it.command(command))[1], 16), value)
        self.assertIn("no such msr", self.printed.answer("wrmsr 174 0"))
        it.refused("wrmsr 174 0")
        it.refused("rdmsr 4711")
        it.command("r rax=0x1234567812345678")
        self.assertEqual(it.register("rax"), 0x1234567812345678)
        it.close()

    def test_modules_and_run(self):
        """From the beginning: the recorded stops in their order."""
        with Replay(*self.arguments) as replay:
            it = debugger(self, replay)
            pcs = [int(it.wait("stop")["address"], 16)]
            for row in self.stops[1:]:
                if row["reason"] == "exception":
                    pcs.append(int(it.stop("gh")["address"], 16))
                if row["stop"] == self.first:
                    shown = [(int(start, 16), int(end, 16), name) for start, end, name in
                             re.findall(r"^([0-9a-f]{16}) ([0-9a-f]{16}) +(\w+)",
                                        it.command("lm"), re.M)]
                    self.assertEqual(sorted(shown), sorted(self.printed.modules()))
                if row is self.stops[-2]:
                    self.assertEqual(it.register("rip"),
                                     shown_registers(self.printed.answer("r rip"))["rip"])
                    self.check_stack(it, self.printed.stack("k 4"))
            expected = [int(row["pc"], 16) for row in self.stops
                        if row["reason"] == "exception" or row["stop"] == 1]
            self.assertEqual(pcs, expected)
            # From the last one it runs, until somebody breaks in.
            it.command("gh")
            replay.wait("the recording ends here")
            self.assertEqual(int(it.stop("break")["address"], 16), expected[-1])
            text = "".join(event["text"] for event in it.events if event["event"] == "print")
            self.assertIn("*** Fatal Error 0x00000001", text)
            it.close()

    def test_faults(self):
        """The link repairs what --fault does."""
        it = self.at_first("--fault", "drop=0.04,corrupt=0.04,dup=0.04,seed=5")
        shown, expected = shown_registers(it.command("r")), self.printed.registers()
        self.assertEqual({name: shown[name] for name in expected}, expected)
        for _ in range(20):
            self.assertEqual(shown_memory(it.command("db rsp L80")),
                             shown_memory(self.printed.answer("db @rsp L80")))
        it.close()

    def test_at(self):
        row = self.stops[self.first - 1]
        for frame in (row["frame"], row["left_frame"] - 1):
            with Replay(*self.arguments, "--at", frame) as replay:
                self.assertEqual(int(debugger(self, replay).wait("stop")["address"], 16),
                                 int(row["pc"], 16))

    # --- strict

    def frames(self) -> list[tuple[bool, bytes]]:
        return frames_of(self.arguments)

    def play(self, sent: bytes, expected: int, *options) -> tuple:
        return play(self, self.arguments, sent, expected, *options)

    def test_strict(self):
        check_strict(self, self.arguments)

    def test_strict_difference(self):
        """Another address in one request."""
        frames = self.frames()
        at = next(i for i, (host, data) in enumerate(frames)
                  if host and data[:4] == DATA_LEADER and data[16:20] == b"\x30\x31\0\0")
        packet = bytearray(frames[at][1])
        address, = struct.unpack_from("<Q", packet, 32)
        struct.pack_into("<Q", packet, 32, address ^ 0x1000)
        size, = struct.unpack_from("<H", packet, 6)
        struct.pack_into("<I", packet, 12, sum(packet[16:16 + size]))
        sent = b"".join(data for host, data in frames[:at] if host) + bytes(packet)
        _, replay, _ = self.play(sent, 0)
        self.assertEqual(replay.ends(), 1, replay.said())
        replay.wait("not as recorded at frame")
        self.assertIn(f"{address:#x}", replay.wait("recorded: (.*)")[1])
        self.assertIn(f"{address ^ 0x1000:#x}", replay.wait("came: (.*)")[1])

    def test_strict_forgives_junk(self):
        """Bytes that a request does not use are no difference."""
        frames = self.frames()
        sent = bytearray()
        for host, data in frames:
            if host and data[:6] == DATA_LEADER + b"\2\0" and len(data) > 72:
                packet = bytearray(data)
                packet[16 + 8:16 + 16] = b"\xee" * 8  # ReturnStatus and what pads it
                size, = struct.unpack_from("<H", packet, 6)
                struct.pack_into("<I", packet, 12, sum(packet[16:16 + size]))
                data = bytes(packet)
            if host:
                sent += data
        expected = sum(len(data) for host, data in frames if not host)
        _, replay, _ = self.play(bytes(sent), expected)
        self.assertEqual(replay.ends(), 0, replay.said())

    def test_strict_debugger_leaves(self):
        _, replay, peer = self.play(b"", 0)
        replay.wait("connected")
        peer.sock.close()
        self.assertEqual(replay.ends(), 1, replay.said())
        replay.wait("came: +nothing")


class Serial(Bootmgr, unittest.TestCase):
    NET = False


class Kdnet(Bootmgr, unittest.TestCase):
    NET = True

    @classmethod
    def setUpClass(cls):
        if "keys" not in kdlens("--help").stdout:
            raise unittest.SkipTest("kdlens without KDNET keys")
        super().setUpClass()


class Agent(unittest.TestCase):
    """A session with the agent in QEMU, and the same commands at its replay."""

    COMMANDS = ("version", "r", "rm", "k", "lm", "db rip L40", "dq rsp L20", "? rip", "rdmsr 1b",
                "r rcx")

    def test_same_answers(self):
        if reason := agentsession.missing():
            self.skipTest(reason)
        folder = tempfile.TemporaryDirectory(prefix="kdreplay")
        self.addCleanup(folder.cleanup)
        images = agentsession.IMAGES
        saved = agentsession.boot(Path(folder.name), {
            "EFI/BOOT/BOOTX64.EFI": images / "kdboot.efi", "kdagent.efi": images / "kdagent.efi",
            "kdexample.efi": images / "kdexample.efi",
            "kdagent.cfg": b"chain=\\kdexample.efi\narguments = loop=20 break\n"})
        session = agentsession.Session(saved)
        self.addCleanup(session.close)
        real = session.debugger()
        real.wait("stop")
        answers = [[real.answer(f"try {command}") for command in self.COMMANDS]]
        pcs = [real.register("rip")]
        real.stop("g")
        answers.append([real.answer(f"try {command}") for command in self.COMMANDS])
        pcs.append(real.register("rip"))
        recording = session.recorded()
        with Replay(recording) as replay:
            it = debugger(self, replay)
            it.wait("stop")
            for i, expected in enumerate(answers):
                if i:
                    it.stop("g")
                self.assertEqual(it.register("rip"), pcs[i])
                for command, answer in zip(self.COMMANDS, expected):
                    shown = it.answer(f"try {command}")
                    self.assertEqual((shown["ok"], shown["text"]), (answer["ok"], answer["text"]),
                                     command)
            it.close()
        check_strict(self, [recording])


class Wrong(unittest.TestCase):
    def test_arguments(self):
        for options in (("--stop", 1, "--at", 2), ("--strict", "--stop", 1), ("--fault", "x=1")):
            done = kdlens("replay", "nothing.pcapng", "tcp-listen:1", *options, status=2)
            self.assertIn("kdlens replay --help", done.stderr)
        self.assertIn("nothing.pcapng", kdlens("replay", "nothing.pcapng", "tcp-listen:1",
                                               status=1).stderr)

    def test_no_such_stop(self):
        arguments = kdreplay.bootmgr(False)
        done = kdlens("replay", *arguments, "tcp-listen:1", "--stop", 4711, status=1)
        self.assertIn("no such stop", done.stderr)

    def test_no_session(self):
        empty = scratch("empty.pcapng")
        stream = scratch("empty.jsonl")
        stream.write_text('{"t": 0, "dir": "t2h", "hex": "00"}\n')
        kdlens("import", stream, "-w", empty)
        done = kdlens("replay", empty, "tcp-listen:1", status=1)
        self.assertIn("never stopped", done.stderr)


class Hostile(unittest.TestCase):
    """Recordings that break off or are damaged: a debugger gets something or nothing."""

    def ask(self, capture: Path, *options):
        replay = subprocess.run(
            [str(kdtap.PROGRAM), "replay", str(capture), "stdio:", *options],
            input=bytes.fromhex("69696969060000000000000000000000") + b"b" * 40, timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertIn(replay.returncode, (0, 1), replay.stderr)

    def test_truncated(self):
        whole = kdreplay.bootmgr(False)[0].read_bytes()
        cut = scratch("cut.pcapng")
        for size in range(97, len(whole), len(whole) // 23):
            cut.write_bytes(whole[:size])
            self.ask(cut)
            self.ask(cut, "--strict")

    def test_noise(self):
        numbers = random.Random(7)
        whole = kdreplay.bootmgr(False)[0].read_bytes()
        for _ in range(10):
            noisy = bytearray(whole)
            for _ in range(len(whole) // 200):
                noisy[numbers.randrange(1000, len(whole))] = numbers.randrange(256)
            path = scratch("noisy.pcapng")
            path.write_bytes(noisy)
            self.ask(path)
            self.ask(path, "--strict")


if __name__ == "__main__":
    kdfiles.main()
