# hvhost.py - a QEMU machine whose firmware runs as a guest of hvhost.efi, which plays Hyper-V.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A client, any EFI program, meets Hyper-V's CPUID leaves, hypercalls and VMBus in plain QEMU.

  missing()                    why there is no such machine here; "" when there is
  Host(client, ...)            the machine; self.uart, self.bridge, self.control are sockets' paths
  Host.wait(pattern)           the log line that has it
  Host.violations()            what the guest did wrong; a test fails when there is any
  Bridge(host)                 the far end of the debugger pipe, packet by packet or as bytes

KDLENS_HVHOST names hvhost.efi; by default that of build/.
"""

import os
import re
import socket
import struct
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
sys.path.insert(0, str(REPOSITORY / "tests/boot"))
import machine

IMAGE = Path(os.environ.get("KDLENS_HVHOST") or REPOSITORY / "build/tests/hvhost/hvhost.efi")
PATIENCE = 90  # seconds; machines these tests run on may be loaded
SELF_TEST_PATIENCE = 60
CPU = "qemu64,+svm"


class Line(str):
    """A line of the log: .time in seconds, .kind, and the text."""

    def __new__(cls, text):
        match = re.match(r"(\d+\.\d+) ([A-Z]+) ?(.*)$", text)
        line = super().__new__(cls, match[3] if match else text)
        line.time = float(match[1]) if match else 0.0
        line.kind = match[2] if match else "NOISE"
        return line

    def __repr__(self):
        return f"{self.time:.6f} {self.kind} {self}"


class Host:
    """The machine runs until it powers itself off or close().

    client   \\client.efi, a Path or bytes; None: the firmware goes on with its next boot option
    files    more files of the disk: {"kdagent.efi": Path, ...}
    options  a list as README.md has them: ["framed", "refuse=2"]
    command  the client's load options
    trace    a Path: what went over VMBus is recorded there, for hvtrace.py
    """

    def __init__(self, client=None, *, files=None, options=(), command="", trace=None, cpu=CPU,
                 memory=128, uart=None, extra=()):
        content = {"EFI/BOOT/BOOTX64.EFI": IMAGE, **(files or {})}
        options = list(options)
        if client is None:
            options.append("no-client")
        else:
            content["client.efi"] = client
        if command:
            content["cmdline.txt"] = command.encode("ascii") + b"\n"
        self.folder = machine.tempfile.TemporaryDirectory(prefix="kdhv")
        folder = Path(self.folder.name)
        self.log_file, self.bridge, self.control = (folder / name
                                                    for name in ("log", "bridge", "control"))
        self.esp = machine.make_esp(folder / "esp", content)
        arguments = [
            "-cpu", cpu, "-no-reboot",
            "-fw_cfg", f"name=opt/hvhost,string={':'.join(options) or ':'}",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=4",
            "-chardev", f"file,id=hvlog,path={self.log_file}",
            "-device", "isa-debugcon,iobase=0x402,chardev=hvlog",
            "-chardev", f"socket,id=hvpipe,path={self.bridge},server=on,wait=off",
            "-device", "isa-serial,index=2,iobase=0x3e8,irq=5,chardev=hvpipe",
            "-chardev", f"socket,id=hvcontrol,path={self.control},server=on,wait=off",
            "-device", "isa-serial,index=3,iobase=0x2e8,irq=7,chardev=hvcontrol", *extra]
        if trace:
            arguments += ["-chardev", f"file,id=hvtrace,path={trace}",
                          "-device", "isa-debugcon,iobase=0x403,chardev=hvtrace"]
        try:
            self.machine = machine.Machine(esp=self.esp, uart=uart, memory=memory, extra=arguments,
                                           write_esp=True)
        except BaseException:
            self.folder.cleanup()
            raise
        self.uart = self.machine.uart

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def lines(self) -> list:
        """The log so far."""
        text = self.log_file.read_text("utf-8", "replace") if self.log_file.exists() else ""
        return [Line(line) for line in text.splitlines()]

    def find(self, pattern):
        """The first line that has it, with its kind in front; None: there is none."""
        return next((line for line in self.lines()
                     if re.search(pattern, f"{line.kind} {line}")), None)

    def wait(self, pattern, patience=PATIENCE) -> Line:
        end = time.monotonic() + patience
        while time.monotonic() < end:
            alive = self.machine.alive()
            line = self.find(pattern)
            if line is not None:
                return line
            if not alive:
                break
            time.sleep(0.05)
        raise AssertionError(f"no log line with {pattern!r}; the log ends with\n"
                             + "\n".join(map(repr, self.lines()[-20:])))

    def wait_end(self, patience=PATIENCE):
        """Until the machine has powered itself off."""
        end = time.monotonic() + patience
        while self.machine.alive():
            if time.monotonic() > end:
                raise AssertionError(f"still running after {patience} s; the log ends with\n"
                                     + "\n".join(map(repr, self.lines()[-20:])))
            time.sleep(0.05)

    def violations(self) -> list:
        """Lines of what the guest must not do, and of what hvhost itself could not do."""
        return [line for line in self.lines() if line.kind in ("BAD", "FAIL")]

    def tally(self) -> dict:
        """The last counts: {"bad": 0, "warnings": 1, "faults": 0}; {}: there are none."""
        found = [line for line in self.lines() if line.kind == "TALLY"]
        return {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", found[-1])} \
            if found else {}

    def firmware_rounds(self) -> int:
        """How often the firmware's own client has got back what it sent; -1: it is not there."""
        found = [line for line in self.lines() if line.kind == "FW"]
        return int(re.search(r"(\d+) rounds", found[-1])[1]) if found else -1

    def command(self, text: str):
        """A line to hvhost while it runs: "rescind", "offer", "tally", or options."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(str(self.control))
            connection.sendall(text.encode() + b"\n")
            self.wait(f"INFO control: {re.escape(text)}$")

    def close(self):
        self.machine.close()
        self.folder.cleanup()


class Bridge:
    """The far end of the pipe. With option "framed", packets; without, bytes."""

    def __init__(self, host: Host):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(host.bridge))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send_packet(self, data: bytes):
        self.socket.sendall(struct.pack("<I", len(data)) + data)

    def receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                raise AssertionError(f"the bridge ended after {len(data)} of {size} bytes")
            data += piece
        return data

    def receive_packet(self) -> bytes:
        return self.receive(struct.unpack("<I", self.receive(4))[0])


def self_test(cpu=CPU) -> list:
    """The lines of a machine that tries whether QEMU can do it."""
    with Host(options=["selftest"], cpu=cpu) as host:
        end = time.monotonic() + SELF_TEST_PATIENCE
        while host.machine.alive() and time.monotonic() < end:
            time.sleep(0.05)
        lines = host.lines()
        if host.machine.alive():
            lines.append(Line(f"0.0 FAIL self test: no end after {SELF_TEST_PATIENCE} s"))
        return lines


_reason = None


def missing() -> str:
    """Why VMBus cannot be tested here. The first call boots a machine for it."""
    global _reason
    if _reason is None:
        _reason = machine.missing()
        if not _reason and not IMAGE.exists():
            _reason = f"no {IMAGE} (build the target hvhost_image)"
        if not _reason:
            lines = self_test()
            bad = [line for line in lines if line.kind in ("FAIL", "SKIP")]
            if bad:
                _reason = f"this QEMU cannot run hvhost: {bad[0]}"
            elif not any(line.kind == "PASS" and line == "self test" for line in lines):
                _reason = "this QEMU cannot run hvhost: the self test did not end"
    return _reason
