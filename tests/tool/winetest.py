# winetest.py - the Windows build of kdlens under Wine: prefix, programs, pipes, recordings.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""KDLENS_WINDOWS names a kdlens.exe; without it one is built into KDLENS_WINDOWS_BUILD.

Named pipes of Wine exist among its programs only, so bridge.exe puts them on standard input and
output, where a test reads and writes them.
"""

import atexit
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
COMPILER = "x86_64-w64-mingw32-gcc"
POWERSHELL = "drive_c/windows/system32/WindowsPowerShell/v1.0/powershell.exe"
PATIENCE = 30.0  # seconds until something must have happened
DIRECTIONS = {2: "debugger", 1: "target"}  # of epb_flags: who sent it

folder: Path | None = None
kdlens: Path | None = None
resident: subprocess.Popen | None = None


def find_wine() -> str | None:
    place = "/usr/lib/wine/wine64"
    return shutil.which("wine64") or (place if os.access(place, os.X_OK) else None)


def missing() -> str | None:
    """Why nothing can be tested here."""
    if not find_wine():
        return "needs Wine (package wine64)"
    if not shutil.which(COMPILER):
        return f"needs {COMPILER} (package gcc-mingw-w64-x86-64-win32)"
    return None


def environment() -> dict:
    kept = {name: value for name, value in os.environ.items() if name != "DISPLAY"}
    return kept | {"WINEPREFIX": str(folder / "prefix"), "WINEDEBUG": "-all",
                   "WINEDLLOVERRIDES": "mscoree,mshtml=", "LC_ALL": "C.UTF-8",
                   "FAKE_POWERSHELL": windows_path(folder / "script.ps1"),
                   "KDLENS_WIRESHARK": windows_path(folder / "viewer.exe"),
                   "FAKE_WIRESHARK": windows_path(folder / "viewer.pcapng")}


def build(into: Path) -> Path:
    """kdlens.exe, by the same CMake files as everything else."""
    if not (into / "CMakeCache.txt").exists():
        subprocess.run(["cmake", "--preset", "mingw", "-B", into], cwd=REPOSITORY, check=True,
                       stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", into, "--target", "kdlens", "-j", "2"], check=True,
                   stdout=subprocess.DEVNULL)
    return into / "capture-tool/kdlens.exe"


def compile_helper(source: str, *options: str, into: Path | None = None) -> Path:
    out = (into or folder) / (Path(source).stem + (".dll" if "-shared" in options else ".exe"))
    subprocess.run([COMPILER, "-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-static", *options,
                    HERE / "wine" / source, "-o", out], check=True)
    return out


def clean_up() -> None:
    if resident:
        resident.kill()
        resident.wait()
    server = shutil.which("wineserver") or str(Path(find_wine()).with_name("wineserver64"))
    subprocess.run([server, "-k"], env=environment(), stderr=subprocess.DEVNULL)
    shutil.rmtree(folder, ignore_errors=True)


def stay_warm() -> None:
    """Wine's own processes end with the last program, and start with the next, which takes seconds
    and gives them that program's output to hold open. So one program runs all the time."""
    global resident
    resident = subprocess.Popen([find_wine(), folder / "bridge.exe", "serve", "resident"],
                                env=environment(), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def set_up() -> None:
    """Once for all tests: a prefix of its own, the programs."""
    global folder, kdlens
    if folder:
        return
    folder = Path(tempfile.mkdtemp(prefix="kdlens-wine-"))
    atexit.register(clean_up)
    subprocess.run([find_wine(), "wineboot", "-i"], env=environment(), check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=180)
    given = os.environ.get("KDLENS_WINDOWS")
    into = os.environ.get("KDLENS_WINDOWS_BUILD") or REPOSITORY / "build-mingw"
    kdlens = Path(given) if given else build(Path(into))
    compile_helper("bridge.c")
    stay_warm()
    compile_helper("viewer.c")
    compile_helper("vmbuspiper.c", "-shared")
    shutil.copyfile(compile_helper("powershell.c", "-municode"), folder / "prefix" / POWERSHELL)


def windows_path(path: Path) -> str:
    return "Z:" + str(path).replace("/", "\\")


def wait_for(condition, what: str):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {PATIENCE} s")


class Program:
    """A Windows program; what it says is collected by threads."""

    def __init__(self, *command, stdin=subprocess.PIPE):
        self.output = bytearray()
        self.errors = bytearray()
        self.process = subprocess.Popen([find_wine(), *map(str, command)], env=environment(),
                                        stdin=stdin, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, bufsize=0)
        self.threads = [threading.Thread(target=self.collect, args=pair, daemon=True)
                        for pair in ((self.process.stdout, self.output),
                                     (self.process.stderr, self.errors))]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def collect(stream, into: bytearray) -> None:
        while chunk := stream.read(65536):
            into.extend(chunk)

    def said(self) -> str:
        return self.errors.decode(errors="replace")

    def wait_said(self, text: str, times: int = 1) -> None:
        def found():
            if self.said().count(text) >= times:
                return True
            assert self.process.poll() is None, f"ended, status {self.process.returncode}: " \
                                                f"{self.said()}"
            return False
        try:
            wait_for(found, f'"{text}"')
        except AssertionError as error:
            raise AssertionError(f"{error}; it said: {self.said()}") from None

    def wait(self) -> int:
        status = self.process.wait(PATIENCE)
        for thread in self.threads:
            thread.join(PATIENCE)
        return status

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for thread in self.threads:
            thread.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                stream.close()


class Bridge(Program):
    """A pipe's other end. how: as of bridge.c."""

    def __init__(self, how: str, name: str):
        super().__init__(folder / "bridge.exe", how, name)
        if how == "serve":
            self.wait_said("ready")

    def connected(self) -> "Bridge":
        self.wait_said("connected")
        return self

    def send(self, data: bytes) -> None:
        self.process.stdin.write(data)

    def hang_up(self) -> None:
        self.process.stdin.close()
        self.wait()

    def receive(self, size: int) -> bytes:
        """The next bytes, which are taken."""
        try:
            wait_for(lambda: len(self.output) >= size, f"{size} bytes")
        except AssertionError as error:
            raise AssertionError(f"{error}; there are {len(self.output)}") from None
        data = bytes(self.output[:size])
        del self.output[:size]
        return data


class Tap(Program):
    def __init__(self, debugger: str, target: str, *options):
        super().__init__(kdlens, "tap", debugger, target, "--json", *options,
                         stdin=subprocess.DEVNULL)

    def events(self, name: str, **members) -> list[dict]:
        lines = bytes(self.output).decode().split("\n")[:-1]
        found = [json.loads(line) for line in lines]
        return [event for event in found if event["event"] == name and
                all(event.get(key) == value for key, value in members.items())]

    def wait_event(self, name: str, times: int = 1, **members) -> dict:
        def found():
            events = self.events(name, **members)
            if len(events) >= times:
                return events[times - 1]
            assert self.process.poll() is None, f"ended, status {self.process.returncode}: " \
                                                f"{self.said()}"
            return None
        try:
            return wait_for(found, f"event {name} {members}")
        except AssertionError as error:
            raise AssertionError(f"{error}; {self.output.decode()} {self.said()}") from None

    def interrupt(self) -> int:
        """Ctrl-C; the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.wait()


def blocks(data: bytes):
    """The blocks of a pcapng file (little-endian) as type and body; a cut one ends it."""
    at = 0
    while at + 12 <= len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if size < 12 or size % 4 or at + size > len(data):
            return
        yield kind, data[at + 8:at + size - 4]
        at += size


def options_of(body: bytes, at: int) -> dict:
    found = {}
    while at + 4 <= len(body):
        code, size = struct.unpack_from("<HH", body, at)
        if code == 0:
            break
        found.setdefault(code, []).append(body[at + 4:at + 4 + size])
        at += 4 + (size + 3) // 4 * 4
    return found


def records(data: bytes) -> list[tuple[str, bytes, list[str]]]:
    """What a recording holds: who sent it, the bytes, comments."""
    found = []
    for kind, body in blocks(data):
        if kind != 6:
            continue
        size = struct.unpack_from("<I", body, 12)[0]
        options = options_of(body, 20 + (size + 3) // 4 * 4)
        flags = struct.unpack("<I", options.get(2, [bytes(4)])[0])[0]
        payload, at = body[20:20 + size], 0
        while True:
            tag, length = struct.unpack_from(">HH", payload, at)
            at += 4 + length
            if tag == 0:
                break
        found.append((DIRECTIONS.get(flags & 3, ""), payload[at:],
                      [text.decode() for text in options.get(1, [])]))
    return found


def sent_by(data: bytes, side: str) -> bytes:
    """All bytes that this side sent."""
    return b"".join(content for sender, content, _ in records(data) if sender == side)


def recorded(data: bytes, side: str) -> bytes:
    """Those that were passed on."""
    return b"".join(content for sender, content, comments in records(data)
                    if sender == side and not any("not delivered" in text for text in comments))
