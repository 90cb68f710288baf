# kdreplay.py - fixture: a running kdlens replay, and what WinDbg printed beside a recording.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""
  Replay(capture, *options)   a running `kdlens replay` at a unix socket or TCP port
  Printed(name)               the .txt beside a recording: commands and what WinDbg answered
  bootmgr(net)                arguments of the boot manager's recordings; skips without captures
"""

import re
import signal
import subprocess
import threading
from pathlib import Path

import kdfiles
import kdtap
import kdtest
from kdfiles import kdlens, scratch

BOOTMGR_KEY = "1a2b3c4d5e6f7.8g9h0i1j2k3l.2m6n7o8p9q0r1.2s3t4u5v6w7x"


def imported(path: Path) -> Path:
    out = scratch(f"{path.stem}.pcapng")
    if not out.exists():
        kdlens("import", path, "-w", out)
    return out


def bootmgr(net: bool) -> list:
    if not net:
        return [imported(kdfiles.recording("windows-bootmgr-serial"))]
    keys = scratch("replay.key")
    keys.write_text(BOOTMGR_KEY + "\n")
    return [kdtest.captures("windows-bootmgr-kdnet.pcap.gz"), "--key-file", keys]


class Replay:
    """A context manager that ends it."""

    def __init__(self, *arguments, tcp: bool = False):
        self.path = kdtap.new_path(".kd")
        self.lines, self.news = [], threading.Condition()
        where = "tcp-listen:127.0.0.1:0" if tcp else f"unix-listen:{self.path}"
        capture, *options = arguments
        self.process = subprocess.Popen(
            [str(part) for part in (kdtap.PROGRAM, "replay", capture, where, *options)],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.address = self.wait(r"waiting for the debugger on (\S+)")[1]
        self.end = f"tcp:{self.address}" if tcp else f"unix:{self.path}"

    def _read(self):
        for line in self.process.stderr:
            with self.news:
                self.lines.append(line.rstrip())
                self.news.notify_all()

    def said(self) -> str:
        return "\n".join(self.lines)

    def wait(self, pattern: str) -> re.Match:
        found = []

        def look():
            found[:] = [match for line in self.lines if (match := re.search(pattern, line))]
            return found or self.process.poll() is not None

        with self.news:
            self.news.wait_for(look, 2 * kdtap.PATIENCE)
        assert found, f"no {pattern!r} in: {self.said()}"
        return found[-1]

    def ends(self) -> int:
        """By itself; its exit status."""
        status = self.process.wait(2 * kdtap.PATIENCE)
        self.reader.join(kdtap.PATIENCE)
        return status

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.ends()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join(kdtap.PATIENCE)
        self.process.stderr.close()


class Printed:
    def __init__(self, name: str):
        parts = re.split(r"^kd> ", kdtest.captures(name).read_text(), flags=re.M)[1:]
        self.answers = [tuple(part.split("\n", 1)) for part in parts]

    def answer(self, command: str, nth: int = 0) -> str:
        return [text for name, text in self.answers if name == command][nth]

    def registers(self) -> dict[str, int]:
        text = self.answer("r").split("BOOTX64")[0]
        return {name: int(value, 16) for name, value in re.findall(r"\b(\w+)=([0-9a-f]+)", text)
                if name != "iopl"}

    def stack(self, command: str, nth: int = 0) -> list[tuple[int, str]]:
        """Child-SP and call site of each frame."""
        rows = re.findall(r"^([0-9a-f`]{17}) [0-9a-f`]{17} +(\S+)$", self.answer(command, nth),
                          re.M)
        return [(number(sp), site.removeprefix("0x").lstrip("0")) for sp, site in rows]

    def modules(self) -> list[tuple[int, int, str]]:
        return [(number(start), number(end), name) for start, end, name in
                re.findall(r"^([0-9a-f`]{17}) ([0-9a-f`]{17}) +(\w+)", self.answer("lm"), re.M)]


def number(text: str) -> int:
    return int(text.replace("`", ""), 16)


def shown_registers(text: str) -> dict[str, int]:
    return {name: int(value, 16) for name, value in re.findall(r"\b(\w+)=([0-9a-f]+)", text)}


def shown_memory(text: str) -> list[str]:
    """Rows of db, dd or dq of either debugger, alike."""
    rows = re.findall(r"^([0-9a-f`]{16,17})  (.+)$", text, re.M)
    return [f"{number(at):x}: {re.sub('`', '', data).strip()}" for at, data in rows]
