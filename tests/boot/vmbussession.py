# vmbussession.py - fixture: the agent over VMBus, in a guest of tests/hvhost, behind a tap.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""As agentsession's Session, for a machine that Hyper-V seems to run. Such a machine cannot be
saved and started again (QEMU does not take a guest in a guest along), so each one boots.

  files(config)           what is on the machine's disk
  FrameLine(host)         a socket with the KD bytes of the pipe: takes the agent's frames out and
                          puts the debugger's in, by a reader and a writer of its own
  HostSession(...)        the machine, FrameLine, a tap, kdlens debug
"""

import os
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "hvhost")]
import agentsession
import hvhost
import kdtap
from agentsession import IMAGES, PATIENCE

EXAMPLE = "chain = \\kdexample.efi\nwait = forever\nmessage = 60000\n"
DATA, DATA_END = 0x56867960, 0x87283679
OPENED = r"INFO sint \d+: channel \d+ \(pipe\) opened"


def missing() -> str:
    return agentsession.missing() or hvhost.missing()


def files(config: str = EXAMPLE) -> dict:
    return {"kdagent.efi": IMAGES / "kdagent.efi", "kdexample.efi": IMAGES / "kdexample.efi",
            "kdagent.cfg": config.encode()}


def boot(config: str = EXAMPLE, options=(), **arguments) -> hvhost.Host:
    """A machine that starts the agent with these settings; the pipe keeps packets apart."""
    return hvhost.Host(client=IMAGES / "kdboot.efi", files=files(config),
                       options=["framed", *options], memory=64, **arguments)


def checksum(frame: bytes) -> int:
    frame += bytes(-len(frame) % 4)
    result = 0
    for word, in struct.iter_unpack("<I", frame):
        result ^= word
    return result


def make_frame(sequence: int, payload: bytes) -> bytes:
    words = [DATA, 1, len(payload), sequence, 0, DATA_END]
    words[4] = checksum(struct.pack("<6I", *words) + payload)
    return struct.pack("<6I", *words) + payload


class FrameLine:
    """plain: the pipe carries no frames. wrong: what the agent's frames had that they must not."""

    def __init__(self, host: hvhost.Host, path: Path, plain=False):
        self.path, self.plain = path, plain
        self.wrong = []
        self.frames = 0
        self.closing = False
        self.bridge = hvhost.Bridge(host)
        self.bridge.socket.settimeout(None)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.client = None
        self.lock = threading.Condition()
        self.threads = [threading.Thread(target=function, daemon=True)
                        for function in (self._from_agent, self._from_debugger)]
        for thread in self.threads:
            thread.start()

    def _payload(self, packet: bytes, expected: int) -> tuple[bytes, int]:
        """Its payload, and the number of the frame behind it."""
        head = struct.unpack_from("<6I", packet)
        if (head[0], head[1], head[5]) != (DATA, 1, DATA_END) or head[2] != len(packet) - 24:
            self.wrong.append(f"no frame: {packet[:32].hex()}")
        elif checksum(packet[:16] + bytes(4) + packet[20:]) != head[4]:
            self.wrong.append(f"checksum of frame {head[3]}")
        elif head[3] not in (expected, 2):  # a new channel counts from 2
            self.wrong.append(f"frame {head[3]} where {expected} was to come")
        self.frames += 1
        return packet[24:], head[3] + 1

    def _from_agent(self):
        expected = 2
        try:
            while True:
                packet = self.bridge.receive_packet()
                if not self.plain:
                    packet, expected = self._payload(packet, expected)
                with self.lock:
                    while self.client is None and not self.closing:
                        self.lock.wait()
                    if self.closing:
                        return
                    self.client.sendall(packet)
        except (OSError, AssertionError) as error:
            if not self.closing:
                self.wrong.append(f"the bridge: {error}")

    def _from_debugger(self):
        sequence = 0x5687
        try:
            client, _ = self.listener.accept()
            with self.lock:
                self.client = client
                self.lock.notify()
            while data := client.recv(1500):
                self.bridge.send_packet(data if self.plain else make_frame(sequence, data))
                sequence += 1
        except OSError as error:
            if not self.closing:
                self.wrong.append(f"the line: {error}")

    def close(self):
        with self.lock:
            self.closing = True
            self.lock.notify()
        for end in (self.client, self.bridge.socket, self.listener):
            if end:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        for thread in self.threads:
            thread.join(PATIENCE)
        for end in (self.client, self.bridge.socket, self.listener):
            if end:
                end.close()


class HostSession(agentsession.Session):
    """options: of hvhost. plain: neither end uses frames."""

    def __init__(self, config: str = EXAMPLE, options=(), plain=False, line=None, **arguments):
        self.folder = Path(tempfile.mkdtemp(prefix="kdvmbus"))
        self.recording = self.folder / "session.pcapng"
        self.end = f"unix:{self.folder}/kd"
        self.debuggers = []
        self.host = boot(config + ("framing = plain\n" if plain else ""), options, **arguments)
        self.machine = self.host.machine
        self.line = FrameLine(self.host, self.folder / "line", plain)
        self.host.wait(OPENED)
        target = line(self.line.path) if line else f"unix:{self.line.path}"
        self.tap = kdtap.Tap(f"unix-listen:{self.folder}/kd", target, "-w", self.recording,
                             stdin=subprocess.DEVNULL)
        self.tap.wait("listening", end=kdtap.DEBUGGER)

    def check(self):
        """The agent did nothing that it must not do, and the firmware's connection lives."""
        assert not self.line.wrong, self.line.wrong[:5]
        assert not self.host.violations(), self.host.violations()[:5]
        rounds = self.host.firmware_rounds()
        assert rounds >= 0, "the firmware has no connection"

    def close(self):
        super().close()
        self.line.close()
        self.host.close()
