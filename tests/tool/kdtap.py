# kdtap.py - fixture of the tests of kdlens tap: running it, its ends, and reading what it recorded.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Fixture of the tests of `kdlens tap`.

  Tap(debugger, target, *options)   a running tap; its JSON events are collected
  KINDS                             every kind of end of this system, as Line objects
  read_recording(path)              the records of a pcapng file, by a reader of its own
  random_bytes(size, seed)          bytes that look like a KD link: packets, text, break-ins, junk
KDLENS names the program under test; default build/capture-tool/kdlens.
"""

import atexit
import fcntl
import gzip
import json
import os
import pty
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import tty
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.insert(0, str(REPOSITORY / "tests/dissector"))
import kdtest
import kdwire

PROGRAM = Path(os.environ.get("KDLENS") or REPOSITORY / "build/capture-tool/kdlens").resolve()
PATIENCE = 60  # seconds until something must have happened
DEBUGGER, TARGET = "debugger", "target"

_folder = None


def folder() -> Path:
    """A folder for sockets and files, gone when the test ends."""
    global _folder
    if not _folder:
        _folder = Path(tempfile.mkdtemp(prefix="kdtap."))
        atexit.register(shutil.rmtree, _folder, ignore_errors=True)
    return _folder


_names = iter(range(1 << 30))


def new_path(suffix: str = "") -> Path:
    return folder() / f"{next(_names)}{suffix}"


def wait_for(condition, what: str, patience: float = PATIENCE):
    """The first true value of condition()."""
    limit = time.monotonic() + patience
    while not (result := condition()):
        if time.monotonic() > limit:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.002)
    return result


# --- the program


class Tap:
    """A running `kdlens tap --json`; a context manager that stops it."""

    def __init__(self, debugger: str, target: str, *options, json: bool = True,
                 program: tuple = (PROGRAM,), **popen):
        self.events: list[dict] = []
        self._errors = open(new_path(".err"), "w+b")
        command = [*program, "tap", debugger, target, *map(str, options)]
        if json:
            popen.setdefault("stdout", subprocess.PIPE)
            command.append("--json")
        self.process = subprocess.Popen(command, stderr=self._errors, **popen)
        if json:
            threading.Thread(target=self._collect, daemon=True).start()

    def _collect(self):
        with self.process.stdout as lines:
            for line in lines:
                self.events.append(json.loads(line))

    def said(self) -> str:
        """stderr so far."""
        with open(self._errors.name, "rb") as errors:
            return errors.read().decode(errors="backslashreplace")

    def find(self, name: str, **members) -> list[dict]:
        return [event for event in list(self.events) if event["event"] == name
                and all(event.get(key) == value for key, value in members.items())]

    def wait(self, name: str, count: int = 1, patience: float = PATIENCE, **members) -> dict:
        """The event of this name and these members, or the count-th of them."""
        def enough():
            found = self.find(name, **members)
            if len(found) >= count:
                return found[count - 1]
            if self.process.poll() is not None:
                raise AssertionError(f"the tap ended while {name} was awaited:\n{self.said()}")
            return None
        return wait_for(enough, f"{name} {members}; seen: {self.events}\n{self.said()}", patience)

    def wait_connected(self, count: int = 1):
        self.wait("connected", count, end=DEBUGGER)
        self.wait("connected", count, end=TARGET)

    def stop(self, number: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(timeout=PATIENCE)
        time.sleep(0.01)  # the last events
        return status

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._errors.close()


# --- what is at the other side of an end


class Peer:
    """A stream of bytes: descriptors that do not block."""

    def __init__(self, read_fd: int, write_fd: int | None = None, sock=None):
        self.read_fd, self.sock = read_fd, sock
        self.write_fd = read_fd if write_fd is None else write_fd
        for fd in {self.read_fd, self.write_fd}:
            os.set_blocking(fd, False)

    def send_some(self, data) -> int:
        try:
            return os.write(self.write_fd, data)
        except BlockingIOError:
            return 0

    def receive_some(self, size: int = 1 << 16) -> bytes | None:
        """None at the end."""
        try:
            return os.read(self.read_fd, size) or None
        except BlockingIOError:
            return b""
        except (ConnectionResetError, OSError):
            return None

    def send(self, data: bytes):
        view = memoryview(data)
        limit = time.monotonic() + PATIENCE
        while view:
            view = view[self.send_some(view):]
            if view:
                assert time.monotonic() < limit, "nobody takes the bytes"
                time.sleep(0.0005)

    def wait_taken(self):
        """Until the other side has read all that was sent; for unix sockets."""
        limit = time.monotonic() + PATIENCE
        while fcntl.ioctl(self.write_fd, termios.TIOCOUTQ, bytes(4)) != bytes(4):
            assert time.monotonic() < limit, "nobody takes the bytes"
            time.sleep(0.001)
        time.sleep(0.05)  # from the read to what is done with the bytes

    def receive(self, size: int) -> bytes:
        data = bytearray()
        limit = time.monotonic() + PATIENCE
        while len(data) < size:
            got = self.receive_some(min(size - len(data), 1 << 16))
            seen = f"{len(data)} of {size} bytes: {bytes(data[:80])}"
            assert got is not None, f"the end came after {seen}"
            data += got
            if not got:
                assert time.monotonic() < limit, f"no more came after {seen}"
                time.sleep(0.0005)
        return bytes(data)

    def silent(self, seconds: float = 0.2) -> bytes:
        """What comes in this time."""
        data = b""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            data += self.receive_some() or b""
            time.sleep(0.005)
        return data

    def ended(self) -> bool:
        """Whether the tap has closed its side; bytes before that are thrown away."""
        def gone():
            return self.receive_some() is None
        wait_for(gone, "the end of the connection")
        return True

    def close(self):
        if self.sock:
            self.sock.close()
        else:
            for fd in {self.read_fd, self.write_fd}:
                os.close(fd)


def _socket_peer(sock) -> Peer:
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Peer(sock.fileno(), sock=sock)


@dataclass
class Line:
    """One end of a tap: its name, and how a program comes to the other side of it."""

    name: str
    prepare: object  # () -> (name for the tap, what connect needs)
    connect: object  # (tap, side, what prepare made) -> Peer
    both_ways: bool = True
    mib: int = 4     # what a test of all kinds sends through it


def _listen_unix():
    path = new_path(".sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    listener.settimeout(PATIENCE)
    return f"unix:{path}", listener


def _listen_tcp():
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(PATIENCE)
    return f"tcp:127.0.0.1:{listener.getsockname()[1]}", listener


def _accept(_tap, _side, listener) -> Peer:
    return _socket_peer(listener.accept()[0])


def _prepare_unix_listen():
    path = new_path(".sock")
    return f"unix-listen:{path}", path


def _connect_unix(tap, side, path) -> Peer:
    tap.wait("listening", end=side)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))
    return _socket_peer(sock)


def _prepare_tcp_listen():
    return "tcp-listen:0", None


def _connect_tcp(tap, side, _none) -> Peer:
    address = tap.wait("listening", end=side)["address"]
    host, port = address.rsplit(":", 1)
    return _socket_peer(socket.create_connection((host, int(port))))


def _prepare_pty():
    link = new_path(".pty")
    return f"pty:{link}", link


def open_terminal(path) -> Peer:
    """A terminal as it is, for bytes: kdlens has set it raw."""
    return Peer(os.open(path, os.O_RDWR | os.O_NOCTTY))


def _connect_pty(tap, side, link) -> Peer:
    tap.wait("listening", end=side)
    return open_terminal(link)


def _prepare_serial():
    master, slave = pty.openpty()
    tty.setraw(master)
    return f"serial:{os.ttyname(slave)},baud=230400", (master, slave)


def _connect_serial(_tap, _side, pair) -> Peer:
    return Peer(pair[0])


BRIDGE = """
import os, socket, sys, threading
sock = socket.socket(socket.AF_UNIX)
sock.connect(sys.argv[1])
def inward():
    while data := sock.recv(65536):
        view = memoryview(data)
        while view:
            view = view[os.write(1, view):]
    os._exit(0)
threading.Thread(target=inward, daemon=True).start()
while data := os.read(0, 65536):
    sock.sendall(data)
"""


def _prepare_exec():
    end, listener = _listen_unix()
    program = new_path(".py")
    program.write_text(BRIDGE)
    return f"exec:{sys.executable} -B {program} {end.removeprefix('unix:')}", listener


KINDS = [
    Line("unix", _listen_unix, _accept),
    Line("unix-listen", _prepare_unix_listen, _connect_unix),
    Line("tcp", _listen_tcp, _accept),
    Line("tcp-listen", _prepare_tcp_listen, _connect_tcp),
    Line("pty", _prepare_pty, _connect_pty, mib=1),
    Line("serial", _prepare_serial, _connect_serial, mib=1),
    Line("exec", _prepare_exec, _accept),
]
UNIX, UNIX_LISTEN, TCP, TCP_LISTEN, PTY = KINDS[:5]


def start(debugger: Line, target: Line, *options) -> tuple[Tap, Peer, Peer]:
    """A tap with a program at either side, both connected."""
    debugger_name, debugger_made = debugger.prepare()
    target_name, target_made = target.prepare()
    tap = Tap(debugger_name, target_name, *options)
    try:
        peers = [debugger.connect(tap, DEBUGGER, debugger_made),
                 target.connect(tap, TARGET, target_made)]
        tap.wait_connected()
    except BaseException:
        tap.__exit__()
        raise
    return tap, *peers


# --- bytes


def random_bytes(size: int, seed: int) -> bytes:
    """Packets, break-ins, text and junk."""
    generator = random.Random(seed)
    pieces, length = [], 0
    while length < size:
        kind = generator.randrange(8)
        if kind < 4:
            payload = generator.randbytes(generator.choice([0, 56, 72, 240, 1000, 4000]))
            piece = kdwire.packet(2, 0x80800000 | generator.randrange(2), payload)
        elif kind == 4:
            piece = kdwire.packet(generator.choice([4, 5, 6]), 0x80800000)
        elif kind == 5:
            piece = b"b"
        elif kind == 6:
            piece = b"Booting 0000 from iii disk\r\n"
        else:
            piece = generator.randbytes(generator.randrange(1, 300))
        pieces.append(piece)
        length += len(piece)
    return b"".join(pieces)[:size]


class Flow(threading.Thread):
    """Sends bytes in random pieces from one peer while another thread takes them at the other."""

    def __init__(self, source: Peer, data: bytes, seed: int, most: int = 100_000):
        super().__init__(daemon=True)
        self.source, self.data, self.most = source, data, most
        self.random = random.Random(seed)
        self.start()

    def run(self):
        view = memoryview(self.data)
        while view:
            sent = self.source.send_some(view[:self.random.randrange(1, self.most)])
            view = view[sent:]
            if not sent:
                time.sleep(0.0003)


# --- recordings


@dataclass
class Record:
    time: int
    sender: str  # DEBUGGER, TARGET, "" for a note
    data: bytes
    flags: int
    comments: list[str] = field(default_factory=list)
    dropped: int = 0

    @property
    def delivered(self) -> bool:
        return not any(comment.startswith(("not delivered", "kept from"))
                       for comment in self.comments)


@dataclass
class Recording:
    interfaces: list[dict]
    records: list[Record]
    statistics: list[dict]
    rest: int  # bytes at the end that are no whole block

    def sent(self, sender: str, delivered: bool | None = None) -> bytes:
        """All bytes of this end in order; with delivered only those that were, or were not."""
        return b"".join(record.data for record in self.records if record.sender == sender
                        and delivered in (None, record.delivered))

    def comments(self) -> list[str]:
        return [comment for record in self.records for comment in record.comments]


def _options(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at + 4 <= len(data):
        code, size = struct.unpack_from("<HH", data, at)
        if code == 0:
            break
        found.append((code, data[at + 4:at + 4 + size]))
        at += 4 + size + -size % 4
    return found


def _upper_pdu(data: bytes) -> tuple[str, bytes]:
    """Who sent it and the bytes, of a LINKTYPE_WIRESHARK_UPPER_PDU record."""
    at, name, direction = 0, "", None
    while True:
        tag, size = struct.unpack_from(">HH", data, at)
        value = data[at + 4:at + 4 + size]
        at += 4 + size
        if tag == 0:
            break
        if tag == 12:
            name = value.rstrip(b"\0").decode()
        elif tag == 35:
            direction = struct.unpack(">I", value)[0]
    assert name == "kd_stream", name
    return {0: DEBUGGER, 1: TARGET, None: ""}[direction], data[at:]


def read_recording(path) -> Recording:
    """A little-endian pcapng file; one that breaks off is read as far as its blocks are whole."""
    path = Path(path)
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    recording, at = Recording([], [], [], 0), 0
    while at + 12 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if at + size > len(data):
            break
        assert struct.unpack_from("<I", data, at + size - 4)[0] == size, f"block at {at}"
        body = data[at + 8:at + size - 4]
        if kind == 1:
            recording.interfaces.append({"linktype": struct.unpack_from("<H", body)[0],
                                         **dict(_options(body[8:]))})
        elif kind == 5:
            recording.statistics.append(dict(_options(body[12:])))
        elif kind == 6:
            _, high, low, captured, original = struct.unpack_from("<IIIII", body)
            assert captured == original
            sender, content = _upper_pdu(body[20:20 + captured])
            options = _options(body[20 + captured + -captured % 4:])
            values = dict(options)
            flags = struct.unpack("<I", values.get(2, bytes(4)))[0]
            assert flags == {DEBUGGER: 2, TARGET: 1, "": 0}[sender]
            recording.records.append(Record(
                high << 32 | low, sender, content, flags,
                [value.decode() for code, value in options if code == 1],
                struct.unpack("<Q", values.get(4, bytes(8)))[0]))
        at += size
    recording.rest = len(data) - at
    return recording
