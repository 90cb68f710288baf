# test_capture_kdnet_live.py - kdlens capture: KDNET caught on the loopback, and read by tshark.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""KDLENS names the program under test; default build/capture-tool/kdlens.

The datagrams of pcaps/kdnet-session.pcapng are sent between two sockets. Listening needs root or
the capability CAP_NET_RAW; without, most cases are skipped.
"""

import ipaddress
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest
from functools import lru_cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.insert(0, str(REPOSITORY / "tests/dissector"))
import kdtest
from stories_network import KEY

PROGRAM = Path(os.environ.get("KDLENS") or REPOSITORY / "build/capture-tool/kdlens").resolve()
SESSION = REPOSITORY / "pcaps/kdnet-session.pcapng"
TARGET, DEBUGGER = "127.0.0.2", "127.0.0.1"
OTHER_KEY = "1.2.3.4"
PATIENCE = 20.0
NOBODY = 65534
FAULTS = " || ".join(f"kdnet.expert.{name}"
                     for name in ("no_key", "wrong_key", "no_session_key", "hmac"))
WHAT = ["kdnet.version", "kdnet.channel", "kdnet.sequence", "kd.type", "kd.api"]


@lru_cache(maxsize=None)
def why_not() -> str:
    """Why frames cannot be caught here; empty when they can."""
    done = subprocess.run([PROGRAM, "capture", "-i", "lo", "--filter", "no such"],
                          capture_output=True, text=True)
    for reason in ("may not capture", "without libpcap", "no network interface"):
        if reason in done.stderr:
            return done.stderr.strip()
    return ""


@lru_cache(maxsize=None)
def datagrams() -> list[tuple[bool, bytes]]:
    """Whether the target sent it, and the payload."""
    rows = kdtest.fields(SESSION, ["ip.src", "udp.payload"])
    target = rows[0][0]  # a session begins with the target's poke
    return [(source == target, bytes.fromhex(data)) for source, data in rows]


def free_port() -> int:
    """Free on both addresses."""
    for _ in range(50):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as first:
            first.bind((TARGET, 0))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as second:
                try:
                    second.bind((DEBUGGER, first.getsockname()[1]))
                except OSError:
                    continue
                return first.getsockname()[1]
    raise AssertionError("no free port")


def send(port: int, what=None, target: str = TARGET, debugger: str = DEBUGGER):
    family = socket.AF_INET6 if ipaddress.ip_address(target).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as a, \
            socket.socket(family, socket.SOCK_DGRAM) as b:
        a.bind((target, port))
        b.bind((debugger, port if debugger != target else port + 1))
        for from_target, data in what or datagrams():
            source, end = (a, b) if from_target else (b, a)
            source.sendto(data, end.getsockname())


def blocks(path: Path) -> list[tuple[int, bytes]]:
    """Type and body of each block."""
    data, found, at = path.read_bytes(), [], 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        found.append((kind, data[at + 8:at + size - 4]))
        at += size
    return found


def interface_statistics(path: Path) -> dict[int, int]:
    [body] = [body for kind, body in blocks(path) if kind == 5]
    options, at = {}, 12
    while at < len(body):
        code, size = struct.unpack_from("<HH", body, at)
        if size == 8:
            options[code] = struct.unpack_from("<Q", body, at + 4)[0]
        at += 4 + size + -size % 4
    return options


class Capture:
    """A running kdlens capture -i lo; a context manager that ends it by SIGINT."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [PROGRAM, "capture", "-i", "lo", "--kdnet", "--json", *map(str, arguments)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.last = self.event()
        if self.last.get("event") != "capture-started":
            raise AssertionError(self.finish())

    def event(self) -> dict:
        line = self.process.stdout.readline()
        return json.loads(line) if line else {}

    def wait_for(self, name: str, number: int) -> dict:
        limit = time.monotonic() + PATIENCE
        while self.last.get(name, 0) < number:
            assert time.monotonic() < limit, f"{name} stays {self.last}"
            self.last = self.event()
            assert self.last, self.process.stderr.read()
        return self.last

    def finish(self) -> str:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        output, errors = self.process.communicate(timeout=PATIENCE)
        for line in output.splitlines():
            self.last = json.loads(line)
        return errors

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        errors = self.finish()
        if not kind:
            assert self.process.returncode == 0 and not errors, errors
            assert self.last["event"] == "capture-ended", self.last


class Loopback(unittest.TestCase):
    def setUp(self):
        if why_not():
            self.skipTest(why_not())
        self.folder = Path(tempfile.mkdtemp(prefix="kdlens-capture-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.port = free_port()
        self.file = self.folder / "live.pcapng"
        self.key_file = self.folder / "keys"
        self.key_file.write_text(f"# of the test\n{KEY}\n")

    def expected(self) -> list[tuple]:
        return kdtest.fields(SESSION, WHAT, f"kdnet.key:{KEY}")

    def test_all_is_caught_and_authentic(self):
        with Capture("--port", self.port, "--key-file", self.key_file, "-w", self.file) as capture:
            send(self.port)
            last = capture.wait_for("datagrams", len(datagrams()))
        self.assertEqual(last["authentic"], len(datagrams()))
        self.assertEqual((last["sealed"], last["dropped"], last["lost"]), (0, 0, 0))
        preferences = (f"kdnet.key:{KEY}", f"kdnet.udp.port:{self.port}")
        self.assertEqual(kdtest.fields(self.file, WHAT, *preferences), self.expected())
        self.assertEqual(kdtest.fields(self.file, ["frame.number"], *preferences,
                                       filter=FAULTS), [])
        self.assertEqual(kdtest.problems(self.file, *preferences), [])

    def test_the_file_says_where_it_comes_from(self):
        with Capture("--port", self.port, "-w", self.file) as capture:
            send(self.port)
            capture.wait_for("datagrams", len(datagrams()))
        [(name, link, filtered)] = set(kdtest.fields(
            self.file, ["frame.interface_name", "frame.encap_type", "eth.type"]))
        self.assertEqual((name, link), ("lo", "1"))
        self.assertIn(f"udp port {self.port}".encode(), blocks(self.file)[1][1])
        statistics = interface_statistics(self.file)
        self.assertGreaterEqual(statistics[4], len(datagrams()))
        self.assertEqual(statistics[5], 0)
        done = kdtest.run("capinfos", [kdtest.staged(self.file)])
        self.assertEqual(done.stderr, "")

    def test_without_a_port_the_magic_tells(self):
        with Capture("-w", self.file) as capture:
            other = [(True, b"other bytes"), (False, b"MD"), (False, b"MDxxxxxxxxxxxxx")]
            send(self.port, [*other, *datagrams(), *other])
            capture.wait_for("datagrams", len(datagrams()))
        rows = kdtest.fields(self.file, WHAT, f"kdnet.key:{KEY}")
        self.assertEqual(rows, self.expected())

    def test_ipv6(self):
        try:
            send(self.port, [(True, b"x")], "::1", "::1")
        except OSError as error:
            self.skipTest(f"no IPv6 here: {error}")
        with Capture("--key-file", self.key_file, "-w", self.file) as capture:
            send(self.port, None, "::1", "::1")
            last = capture.wait_for("datagrams", len(datagrams()))
        self.assertEqual(last["authentic"], len(datagrams()))
        self.assertEqual(len(kdtest.fields(self.file, WHAT, f"kdnet.key:{KEY}", filter="kdnet")),
                         len(datagrams()))

    def test_the_key_in_the_file(self):
        with Capture("--port", f"{self.port}-{self.port + 1}", "--key-file", self.key_file,
                     "--embed-key", "-w", self.file) as capture:
            send(self.port)
            capture.wait_for("datagrams", len(datagrams()))
        self.assertEqual([kind for kind, _ in blocks(self.file)[:3]], [0x0A0D0D0A, 1, 10])
        kind, size = struct.unpack_from("<II", blocks(self.file)[2][1])
        self.assertEqual(kind, 0x4B444E4B)
        self.assertEqual(blocks(self.file)[2][1][8:8 + size], f"{KEY}\n".encode())
        self.assertEqual(kdtest.fields(self.file, WHAT), self.expected())
        comments = kdtest.fields(self.file, ["frame.comment"], filter="frame.comment")
        self.assertEqual(comments, [(f"kdnet.key: {KEY}",)])
        copy = self.folder / "copy.pcapng"
        kdtest.run("editcap", [kdtest.staged(self.file), kdtest.scratch("copy.pcapng")])
        shutil.move(kdtest.scratch("copy.pcapng"), copy)
        self.assertEqual(kdtest.fields(copy, WHAT), self.expected())

    def test_every_file_of_a_set_has_the_key(self):
        with Capture("--port", self.port, "--key-file", self.key_file, "--embed-key", "-w",
                     self.file, "-b", "filesize:2") as capture:
            send(self.port)
            capture.wait_for("datagrams", len(datagrams()))
        files = sorted(self.folder.glob("live_*.pcapng"))
        self.assertGreater(len(files), 2)
        total = 0
        for file in files:
            rows = kdtest.fields(file, ["frame.comment"])
            total += len(rows)
            self.assertIn(10, [kind for kind, _ in blocks(file)])
            if rows:
                self.assertEqual(rows[0], (f"kdnet.key: {KEY}",))
                self.assertEqual([row for row in rows[1:] if row != ("",)], [])
        self.assertEqual(total, len(datagrams()))

    def test_another_key_opens_nothing(self):
        with Capture("--port", self.port, "-k", OTHER_KEY) as capture:
            command = Path(f"/proc/{capture.process.pid}/cmdline").read_bytes()
            self.assertNotIn(OTHER_KEY.encode(), command)
            send(self.port)
            last = capture.wait_for("datagrams", len(datagrams()))
        self.assertEqual((last["authentic"], last["sealed"]), (0, len(datagrams())))

    def test_a_marker_goes_with_the_next_frame(self):
        with Capture("--port", self.port, "-w", self.file) as capture:
            send(self.port, datagrams()[:1])
            capture.wait_for("datagrams", 1)
            capture.process.send_signal(signal.SIGUSR2)
            time.sleep(0.5)
            send(self.port, datagrams()[:1])
            capture.wait_for("datagrams", 2)
        self.assertEqual(kdtest.fields(self.file, ["frame.comment"]), [("",), ("marker 1",)])

    def test_kill_leaves_what_came(self):
        capture = Capture("--port", self.port, "-w", self.file)
        send(self.port)
        capture.wait_for("datagrams", len(datagrams()))
        time.sleep(0.3)
        capture.process.kill()
        capture.process.communicate()
        self.assertEqual(len(kdtest.fields(self.file, ["frame.number"])), len(datagrams()))

    def test_people_get_sentences(self):
        process = subprocess.Popen([PROGRAM, "capture", "-i", "lo", "-p", str(self.port),
                                    "--key-file", self.key_file],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        self.assertIn("capturing on lo", process.stderr.readline())
        send(self.port)
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, output), (0, ""))
        self.assertIn(f"lo: {len(datagrams())} KDNET datagrams, {len(datagrams())} authentic",
                      errors)
        self.assertNotIn(KEY, errors)

    def test_wireshark_captures_with_it(self):
        """tshark -i kdlens-kdnet; it does not run as root, so the program gets the capability."""
        program = kdtest.stage() / "extcap/kdlens-extcap"
        shutil.copyfile(PROGRAM, program)
        program.chmod(0o755)
        self.addCleanup(program.unlink)
        setcap = shutil.which("setcap") or shutil.which("setcap", path="/usr/sbin:/sbin")
        if os.geteuid() == 0 and (not setcap or subprocess.run(
                [setcap, "cap_net_raw+ep", program], capture_output=True).returncode):
            self.skipTest("no setcap here")
        command = [kdtest.RUNNER, "run", kdtest.stage(), "tshark", "-l", "-i", "kdlens-kdnet",
                   "-c", len(datagrams()), "-T", "fields"]
        command += [word for name in WHAT for word in ("-e", name)]
        key_file = kdtest.staged(self.key_file)
        for name, value in (("networkinterface", "lo"), ("port", self.port),
                            ("keyfile", key_file)):
            command += ["-o", f"extcap.kdlens_kdnet.{name}:{value}"]
        tshark = subprocess.Popen(list(map(str, command)), stdin=subprocess.DEVNULL, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(tshark.stderr.close)
        self.addCleanup(tshark.kill)
        limit = time.monotonic() + PATIENCE
        while not listens(program):
            self.assertIsNone(tshark.poll(), "tshark has ended")
            self.assertLess(time.monotonic(), limit)
            time.sleep(0.05)
        time.sleep(1)  # until the filter is set: what came before is thrown away
        send(self.port)
        output, errors = tshark.communicate(timeout=PATIENCE)
        self.assertEqual(tshark.returncode, 0, errors)
        self.assertNotIn("extcap pipe", errors)
        rows = [tuple(line.split("\t")) for line in output.splitlines()]
        self.assertEqual(len(rows), len(datagrams()))
        self.assertEqual([row[3:] for row in rows], [row[3:] for row in self.expected()])


def listens(program: Path) -> bool:
    """Whether a process of this program has a packet socket."""
    packet = {line.split()[-1] for line in Path("/proc/net/packet").read_text().splitlines()[1:]}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(folder / "exe") != str(program):
                continue
            links = [os.readlink(link) for link in (folder / "fd").iterdir()]
        except OSError:
            continue
        if any(link == f"socket:[{number}]" for link in links for number in packet):
            return True
    return False


class Refusals(unittest.TestCase):
    def run_program(self, *arguments, **settings) -> subprocess.CompletedProcess:
        return subprocess.run([PROGRAM, "capture", *map(str, arguments)], capture_output=True,
                              text=True, timeout=PATIENCE, stdin=subprocess.DEVNULL, **settings)

    def test_no_permission_is_explained(self):
        if os.geteuid() == 0:
            copy = kdtest.scratch("kdlens")
            shutil.copyfile(PROGRAM, copy)
            copy.chmod(0o755)
            done = subprocess.run([copy, "capture", "-i", "lo"], capture_output=True, text=True,
                                  user=NOBODY, group=NOBODY, extra_groups=[], timeout=PATIENCE)
        else:
            done = self.run_program("-i", "lo", "--filter", "no such")
        if "without libpcap" in done.stderr or "filter" in done.stderr:
            self.skipTest(done.stderr.strip())
        self.assertEqual(done.returncode, 1)
        self.assertIn("may not capture on lo", done.stderr)
        self.assertIn("setcap cap_net_raw+ep /", done.stderr)

    def test_what_is_not_there(self):
        if why_not():
            self.skipTest(why_not())
        done = self.run_program("-i", "nothing0")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no network interface nothing0", done.stderr)
        self.assertIn("--list", done.stderr)

    def test_usage(self):
        if "without libpcap" in why_not():
            self.skipTest(why_not())
        for arguments, words in (((), "INTERFACE is missing"),
                                 (("-i", "lo", "--port", "0"), "from 1 to 65535"),
                                 (("-i", "lo", "--port", "9-8"), "from 1 to 65535"),
                                 (("-i", "lo", "--embed-key", "-k", KEY), "needs -w")):
            done = self.run_program(*arguments)
            self.assertEqual(done.returncode, 2, done)
            self.assertIn(words, done.stderr)
            self.assertNotIn(KEY, done.stderr)

    def test_keys_that_are_none(self):
        bad = kdtest.scratch("bad-keys")
        bad.write_text("# nothing\n\n1.2.3\n")
        for arguments, words in ((("-k", "1.2.3.!secret"), ""),
                                 (("--key-file", bad), "line 3"),
                                 (("--key-file", "/nonexistent"), "/nonexistent"),
                                 (("--embed-key", "-w", "/dev/null"), "--key-file")):
            done = self.run_program("-i", "lo", *arguments)
            self.assertEqual(done.returncode, 1, done)
            self.assertIn(words, done.stderr)
            self.assertNotIn("secret", done.stderr)

    def test_list(self):
        if "without libpcap" in why_not():
            self.skipTest(why_not())
        done = self.run_program("--list")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"(?m)^lo +up ")
        done = self.run_program("--list", "--json")
        names = [json.loads(line)["name"] for line in done.stdout.splitlines()]
        self.assertIn("lo", names)


if __name__ == "__main__":
    kdtest.main()
