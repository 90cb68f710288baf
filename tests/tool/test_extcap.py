# test_extcap.py - kdlens-extcap: what it answers to Wireshark, and captures tshark runs with it.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""KDLENS names the program under test; default build/capture-tool/kdlens.

tshark runs as in the dissector tests: unprivileged, with the plugin of this build and an extcap
folder that holds nothing but the program. The toolbar exists in Wireshark's window only, so there
the program itself is run, with FIFOs in Wireshark's place.
"""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.insert(0, str(REPOSITORY / "tests/dissector"))
import kdtest
import kdwire

PROGRAM = Path(os.environ.get("KDLENS") or REPOSITORY / "build/capture-tool/kdlens").resolve()
PATIENCE = 60.0  # seconds until something must have happened
FROM_DEBUGGER = [kdwire.packet(2, 0x80800800, kdwire.get_version().payload),
                 kdwire.packet(4, 0x80800000),
                 kdwire.packet(2, 0x80800001, kdwire.read_virtual(0xFFFFF80000001000, 8).payload)]
FROM_TARGET = [kdwire.packet(4, 0x80800000),
               kdwire.packet(2, 0x80800000,
                             kdwire.data_reply(kdwire.read_virtual(0x1000, 8), bytes(8)).payload)]


def extcap() -> Path:
    """The program, where tshark finds it."""
    path = kdtest.stage() / "extcap/kdlens-extcap"
    if not path.exists():
        shutil.copyfile(PROGRAM, path)
        path.chmod(0o755)
    return path


def ask(*arguments: str) -> str:
    done = subprocess.run([extcap(), *arguments], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0 and not done.stderr, f"{arguments}: {done}"
    return done.stdout


def sentences(text: str) -> list[tuple[str, dict]]:
    """As Wireshark takes them apart: a value ends at the brace before another one or a blank."""
    found = []
    for line in text.splitlines():
        word = re.match(r"(arg|value|interface|extcap|dlt|control)(?= \{)", line)
        assert word, line
        pairs = re.findall(r"\{([a-zA-Z_-]*?)=(.*?)\}(?=\{|$|\s)", line)
        rest = line[len(word[0]) + 1:]
        assert "".join(f"{{{name}={value}}}" for name, value in pairs) == rest, line
        found.append((word[0], dict(pairs)))
    return found


def processes() -> list[int]:
    """Of the program in the extcap folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(folder / "exe").startswith(str(extcap())):
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def wait_for(condition, what: str):
    limit = time.monotonic() + PATIENCE
    while not (result := condition()):
        if time.monotonic() > limit:
            raise AssertionError(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(0.02)
    return result


def connect(path: Path) -> socket.socket:
    wait_for(path.exists, f"{path} is there")
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(PATIENCE)
    wait_for(lambda: peer.connect_ex(str(path)) == 0, f"{path} answers")
    return peer


def receive(peer: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = peer.recv(size - len(data))
        if not chunk:
            raise AssertionError(f"the end closed after {data!r}")
        data += chunk
    return data


class Answers(unittest.TestCase):
    def test_interfaces_and_toolbar(self):
        found = sentences(ask("--extcap-interfaces", "--extcap-version=4.0"))
        self.assertEqual(found[0][0], "extcap")
        names = {values["value"]: values["display"] for word, values in found
                 if word == "interface"}
        self.assertEqual(names["kdlens-tap"], "kdlens tap")
        self.assertIn(names.get("kdlens-kdnet"), (None, "kdlens KDNET"))
        controls = {values["display"]: values["type"] for word, values in found
                    if word == "control"}
        self.assertEqual(controls["Break in"], "button")
        self.assertEqual(controls["Marker"], "string")
        self.assertEqual(controls["Add marker"], "button")
        numbers = [values["number"] for word, values in found if word == "control"]
        self.assertEqual(len(numbers), len(set(numbers)))

    def interfaces(self) -> list[str]:
        return [values["value"] for word, values in sentences(ask("--extcap-interfaces"))
                if word == "interface"]

    def test_link_types(self):
        [(_, tap)] = sentences(ask("--extcap-dlts", "--extcap-interface", "kdlens-tap"))
        self.assertEqual(tap["number"], "252")
        [(_, kdnet)] = sentences(ask("--extcap-dlts", "--extcap-interface", "kdlens-kdnet"))
        self.assertEqual(kdnet["number"], "1")

    def test_every_option_can_be_understood_and_is_explained(self):
        known = set(re.findall(r"--[a-z-]+", ask("--help")))
        for interface in self.interfaces():
            found = sentences(ask("--extcap-config", "--extcap-interface", interface))
            arguments = [values for word, values in found if word == "arg"]
            self.assertEqual([values["number"] for values in arguments],
                             [str(i) for i in range(len(arguments))])
            for values in arguments:
                with self.subTest(interface=interface, option=values["call"]):
                    self.assertIn(values["call"], known)
                    self.assertTrue(values["display"])
                    self.assertTrue(values["tooltip"])
                    self.assertIn(values["type"], ("string", "boolflag", "selector", "fileselect",
                                                   "password"))
            for values in (values for word, values in found if word == "value"):
                self.assertLess(int(values["arg"]), len(arguments))

    def test_ends_are_required_and_validated(self):
        found = sentences(ask("--extcap-config", "--extcap-interface", "kdlens-tap"))
        for _, values in found[:2]:
            self.assertEqual(values["required"], "true")
            pattern = re.compile(values["validation"])
            for good in ("unix:/tmp/a b", "tcp:host:5000", "tcp-listen:5000", "pty:/tmp/kd",
                         "serial:/dev/ttyUSB0,baud=9600"):
                self.assertTrue(pattern.search(good), good)
            for bad in ("", "unix:", "/tmp/a", "tcp", "stdio:"):
                self.assertFalse(pattern.search(bad), bad)

    def test_the_key_is_a_password(self):
        if "kdlens-kdnet" not in self.interfaces():
            self.skipTest("built without libpcap")
        found = sentences(ask("--extcap-config", "--extcap-interface", "kdlens-kdnet"))
        by_call = {values["call"]: values for word, values in found if word == "arg"}
        self.assertEqual(by_call["--key"]["type"], "password")
        ports = re.compile(by_call["--port"]["validation"])
        for good in ("50000", "50000-50039", "50000, 50001-50002"):
            self.assertTrue(ports.search(good), good)
        self.assertFalse(ports.search("5000x"))
        reloaded = sentences(ask("--extcap-config", "--extcap-interface", "kdlens-kdnet",
                                 "--extcap-reload-option", "network-interface"))
        self.assertIn("lo", [values["value"] for word, values in reloaded if word == "value"])

    def test_filters_are_checked(self):
        if "kdlens-kdnet" not in self.interfaces():
            self.skipTest("built without libpcap")
        self.assertEqual(ask("--extcap-interface", "kdlens-kdnet", "--extcap-capture-filter",
                             "host 192.0.2.1"), "")
        self.assertIn("syntax error", ask("--extcap-interface", "kdlens-kdnet",
                                          "--extcap-capture-filter", "host host host"))
        self.assertTrue(ask("--extcap-interface", "kdlens-tap", "--extcap-capture-filter", "a"))

    def test_what_a_later_wireshark_may_add_is_ignored(self):
        expected = ask("--extcap-dlts", "--extcap-interface", "kdlens-tap")
        self.assertEqual(ask("--extcap-dlts", "--extcap-interface", "kdlens-tap",
                             "--extcap-new-thing", "--extcap-version=9.9", "word"), expected)

    def test_help_and_version_and_no_argument(self):
        self.assertIn("--extcap-interfaces", ask("--help"))
        self.assertRegex(ask("--version"), r"^kdlens-extcap \d+\.\d+\.\d+\n$")
        self.assertIn("--extcap-interfaces", ask())

    def test_the_verb_does_the_same(self):
        done = subprocess.run([PROGRAM, "extcap", "--extcap-interfaces"], capture_output=True,
                              text=True, check=True)
        self.assertEqual(done.stdout, ask("--extcap-interfaces"))

    def test_starts_fast(self):
        times = []
        for _ in range(5):
            start = time.monotonic()
            ask("--extcap-interfaces")
            times.append(time.monotonic() - start)
        self.assertLess(min(times), 0.3)


class Failures(unittest.TestCase):
    """What Wireshark shows in its dialog: exit status 1 and a sentence on standard error."""

    def refused(self, *arguments: str) -> str:
        fifo = kdtest.scratch("refused-fifo")
        if not fifo.exists():
            os.mkfifo(fifo)
        done = subprocess.run([extcap(), "--capture", "--fifo", fifo, *arguments],
                              capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(done.returncode, 1, done)
        self.assertEqual(done.stdout, "")
        self.assertLess(len(done.stderr), 1024)
        return done.stderr

    def test_a_missing_end(self):
        self.assertIn("the debugger end is not set",
                      self.refused("--extcap-interface", "kdlens-tap"))

    def test_a_wrong_end(self):
        text = self.refused("--extcap-interface", "kdlens-tap", "--debugger", "unx:/a",
                            "--target", "unix:/b")
        self.assertIn("the debugger end", text)
        self.assertIn("unix-listen:PATH", text)

    def test_ends_that_need_a_terminal(self):
        for end in ("stdio:", "pty:"):
            self.assertIn("the target end", self.refused("--extcap-interface", "kdlens-tap",
                                                         "--debugger", "unix:/b", "--target", end))

    def test_an_unknown_interface(self):
        self.assertIn("kdlens-tap", self.refused("--extcap-interface", "kdlens-nothing"))

    def test_a_filter_for_the_tap(self):
        self.assertIn("display filter",
                      self.refused("--extcap-interface", "kdlens-tap", "--debugger", "unix:/a",
                                   "--target", "unix:/b", "--extcap-capture-filter", "udp"))

    def test_tshark_shows_it(self):
        done = kdtest.run("tshark", ["-i", "kdlens-tap", "-a", "duration:5"], check=False)
        self.assertIn("the debugger end is not set", done.stderr)
        self.assertEqual(done.returncode, 1)


class Live(unittest.TestCase):
    """tshark -i kdlens-tap between two sockets."""

    def setUp(self):
        extcap()
        folder = kdtest.scratch(self.id().rsplit(".", 1)[1])
        folder.mkdir()
        shutil.chown(folder, *self.owner())
        self.ends = {"debugger": folder / "d", "target": folder / "t"}
        self.folder = folder
        self.tshark = None

    def owner(self) -> tuple[int, int]:
        status = kdtest.scratch("").stat()
        return status.st_uid, status.st_gid

    def tearDown(self):
        if self.tshark and self.tshark.poll() is None:
            self.tshark.kill()
            self.tshark.wait()
        for number in processes():
            os.kill(number, signal.SIGKILL)

    def start(self, *arguments: str, options: dict | None = None):
        settings = {name: f"unix-listen:{path}" for name, path in self.ends.items()}
        command = [kdtest.RUNNER, "run", kdtest.stage(), "tshark", "-i", "kdlens-tap", "-l"]
        for name, value in (settings | (options or {})).items():
            command += ["-o", f"extcap.kdlens_tap.{name}:{value}"]
        self.said = open(self.folder / "said", "w+", encoding="utf-8")
        self.addCleanup(self.said.close)
        self.tshark = subprocess.Popen([*map(str, command), *arguments], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=self.said, text=True)
        self.addCleanup(self.tshark.stdout.close)
        self.debugger = connect(self.ends["debugger"])
        self.target = connect(self.ends["target"])
        self.addCleanup(self.debugger.close)
        self.addCleanup(self.target.close)

    def exchange(self):
        for data in FROM_DEBUGGER:
            self.debugger.sendall(data)
            self.assertEqual(receive(self.target, len(data)), data)
        for data in FROM_TARGET:
            self.target.sendall(data)
            self.assertEqual(receive(self.debugger, len(data)), data)

    def wait(self) -> tuple[str, str]:
        """What tshark printed and said, when it has ended and the extcap program, too."""
        output = self.tshark.communicate(timeout=PATIENCE)[0]
        wait_for(lambda: not processes(), "kdlens-extcap has ended")
        self.said.seek(0)
        return output, self.said.read()

    def complaints(self, said: str) -> list[str]:
        return [line for line in said.splitlines() if "extcap pipe" in line or "kdlens:" in line]

    def test_traffic_is_dissected_while_it_flows(self):
        self.start("-T", "fields", "-e", "frame.p2p_dir", "-e", "kd.type", "-e", "kd.api",
                   "-Y", "kd.type")
        self.exchange()
        rows = [self.tshark.stdout.readline().split() for _ in range(5)]
        # Each direction in its order; packets of the two may be complete at the same time.
        self.assertEqual([row[1:] for row in rows if row[0] == "0"],
                         [["2", "0x00003146"], ["4"], ["2", "0x00003130"]])
        self.assertEqual([row[1:] for row in rows if row[0] == "1"], [["4"], ["2", "0x00003130"]])
        self.tshark.send_signal(signal.SIGINT)
        output, said = self.wait()
        self.assertEqual(self.tshark.returncode, 0, said)
        self.assertEqual(self.complaints(said), [])

    def test_a_capture_of_so_many_packets_ends_everything(self):
        self.start("-c", "4")
        self.exchange()
        _, said = self.wait()
        self.assertEqual(self.tshark.returncode, 0, said)
        self.assertEqual(self.complaints(said), [])

    def test_a_capture_of_so_many_seconds_ends_everything(self):
        self.start("-a", "duration:2", "-w", str(self.folder / "out.pcapng"))
        self.exchange()
        started = time.monotonic()
        _, said = self.wait()
        self.assertLess(time.monotonic() - started, 8)
        self.assertEqual(self.tshark.returncode, 0, said)
        self.assertEqual(self.complaints(said), [])
        rows = kdtest.fields(self.folder / "out.pcapng", ["kd.type"], filter="kd.type")
        self.assertEqual(len(rows), 5)

    def test_the_options_reach_the_tap(self):
        self.start("-T", "fields", "-e", "kd.type", "-e", "frame.comment",
                   "-Y", "kd.type", options={"hold": "true", "ondisconnect": "wait"})
        self.debugger.sendall(kdwire.packet(6, 0))
        kind, comment = self.tshark.stdout.readline().rstrip("\n").split("\t")
        self.assertEqual(kind, "6")
        self.assertTrue(comment, "it is said that the RESET was kept back")
        self.target.sendall(b"Press any key\r\n" + FROM_TARGET[1])
        self.assertEqual(receive(self.debugger, len(FROM_TARGET[1])), FROM_TARGET[1])
        self.debugger.sendall(FROM_DEBUGGER[0])
        self.assertEqual(receive(self.target, len(FROM_DEBUGGER[0])), FROM_DEBUGGER[0])
        self.tshark.send_signal(signal.SIGINT)
        _, said = self.wait()
        self.assertEqual(self.complaints(said), [])

    def test_a_tshark_that_is_killed_takes_the_program_along(self):
        self.start()
        self.exchange()
        self.tshark.kill()
        self.wait()


class Toolbar(unittest.TestCase):
    """The program with FIFOs in the place of Wireshark's toolbar."""

    BREAK_IN, TEXT, MARKER, HEAL = range(4)
    INITIALIZED, SET = 0, 1
    STATUS_BAR = 6

    def setUp(self):
        self.folder = kdtest.scratch(self.id().rsplit(".", 1)[1])
        self.folder.mkdir()
        for name in ("fifo", "in", "out"):
            os.mkfifo(self.folder / name)
        self.program = subprocess.Popen(
            [extcap(), "--capture", "--extcap-interface", "kdlens-tap", "--fifo",
             self.folder / "fifo", "--extcap-control-in", self.folder / "in",
             "--extcap-control-out", self.folder / "out", "--debugger",
             f"unix-listen:{self.folder}/d", "--target", f"unix-listen:{self.folder}/t",
             "--log-file", self.folder / "log"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(self.stop)
        # As Wireshark: the FIFO to the program blocks until the program has opened it.
        self.out = os.open(self.folder / "in", os.O_WRONLY)
        self.back = os.open(self.folder / "out", os.O_RDONLY | os.O_NONBLOCK)
        self.fifo = os.open(self.folder / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        for handle in (self.out, self.back, self.fifo):
            self.addCleanup(self.close, handle)
        self.recorded = b""
        self.debugger = connect(self.folder / "d")
        self.target = connect(self.folder / "t")
        self.addCleanup(self.debugger.close)
        self.addCleanup(self.target.close)

    def close(self, handle: int):
        try:
            os.close(handle)
        except OSError:
            pass

    def stop(self):
        if self.program.poll() is None:
            self.program.kill()
        self.program.wait()
        self.program.stdout.close()
        self.program.stderr.close()

    def say(self, control: int, command: int, payload: bytes = b""):
        length = struct.pack(">I", len(payload) + 2)[1:]
        os.write(self.out, b"T" + length + bytes((control, command)) + payload)

    def heard(self) -> tuple[int, int, bytes]:
        head = self.read_back(6)
        self.assertEqual(head[:1], b"T")
        size = int.from_bytes(head[1:4], "big") - 2
        return head[4], head[5], self.read_back(size)

    def read_back(self, size: int) -> bytes:
        data = b""

        def some() -> bytes:
            try:
                return os.read(self.back, size - len(data))
            except BlockingIOError:
                return b""

        while len(data) < size:
            data += wait_for(some, "the program answers")
        return data

    def read_fifo(self) -> bytes:
        try:
            self.recorded += os.read(self.fifo, 65536)
        except BlockingIOError:
            pass
        return self.recorded

    def test_it_is_told_what_differs_from_the_declaration(self):
        self.assertEqual(self.heard(), (self.HEAL, self.SET, b"\0"))

    def test_break_in(self):
        self.heard()
        self.say(0, self.INITIALIZED)
        self.say(self.BREAK_IN, self.SET)
        self.assertEqual(receive(self.target, 1), b"b")
        control, command, text = self.heard()
        self.assertEqual((control, command), (255, self.STATUS_BAR))
        self.assertIn(b"break in", text)

    def test_markers(self):
        self.heard()
        self.say(self.TEXT, self.SET, "before the läuft".encode())
        self.say(0, self.INITIALIZED)
        self.say(self.MARKER, self.SET)
        self.heard()
        wait_for(lambda: "before the läuft".encode() in self.read_fifo(), "the marker is recorded")
        self.say(self.TEXT, self.SET, b"")
        self.say(self.MARKER, self.SET)
        wait_for(lambda: b"marker 2" in self.read_fifo(), "the second marker has a number")

    def test_messages_may_come_in_pieces_and_be_too_long(self):
        self.heard()
        text = b"x" * 5000 + b"END"
        self.say(self.TEXT, self.SET, text)
        message = b"T\0\0\2" + bytes((self.BREAK_IN, self.SET))
        for i in range(len(message)):
            os.write(self.out, message[i:i + 1])
            time.sleep(0.02)
        self.assertEqual(receive(self.target, 1), b"b")

    def test_what_is_no_message_ends_the_toolbar_and_not_the_capture(self):
        self.heard()
        os.write(self.out, b"GET / HTTP/1.0\r\n\r\n")
        self.debugger.sendall(FROM_DEBUGGER[0])
        self.assertEqual(receive(self.target, len(FROM_DEBUGGER[0])), FROM_DEBUGGER[0])
        self.assertIsNone(self.program.poll())

    def test_heal_is_switched(self):
        self.heard()
        self.say(self.HEAL, self.SET, b"\1")
        self.assertIn(b"heal is on", self.heard()[2])
        self.say(self.HEAL, self.SET, b"\1")
        self.say(self.HEAL, self.SET, b"\0")
        self.assertIn(b"heal is off", self.heard()[2])

    def test_the_end_of_the_reader_is_the_end_of_the_capture(self):
        self.debugger.sendall(FROM_DEBUGGER[0])
        wait_for(lambda: FROM_DEBUGGER[0][16:] in self.read_fifo(), "the packet is recorded")
        os.close(self.fifo)
        self.assertEqual(self.program.wait(PATIENCE), 0)
        self.assertEqual(self.program.stderr.read(), b"")
        self.assertEqual(self.program.stdout.read(), b"")

    def test_the_end_of_a_reader_is_seen_without_traffic(self):
        time.sleep(0.5)
        self.read_fifo()
        os.close(self.fifo)
        self.assertEqual(self.program.wait(PATIENCE), 0)

    def test_it_is_seen_also_later(self):
        time.sleep(6)  # the FIFO is watched in another way after a while
        self.debugger.sendall(FROM_DEBUGGER[0])
        wait_for(lambda: FROM_DEBUGGER[0][16:] in self.read_fifo(), "the packet is recorded")
        os.close(self.fifo)
        self.assertEqual(self.program.wait(PATIENCE), 0)
        self.assertEqual(self.program.stderr.read(), b"")

    def test_sigterm(self):
        wait_for(lambda: len(self.read_fifo()) > 0, "the head is written")
        self.program.send_signal(signal.SIGTERM)
        self.assertEqual(self.program.wait(PATIENCE), 0)
        self.assertEqual(self.program.stderr.read(), b"")
        self.assertIn("exit status 0", (self.folder / "log").read_text())


if __name__ == "__main__":
    kdtest.main()
