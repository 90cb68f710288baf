# test_tap_qemu.py - kdlens tap in front of an emulated machine: its UART on every kind of end.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The machine's whole operating system is a boot sector that sends back what its COM1 receives.
Skips without qemu-system-x86_64."""

import random
import shutil
import socket
import subprocess
import sys
import time
import unittest
from pathlib import Path

import kdtap
from kdtap import DEBUGGER, TARGET, Tap

QEMU = shutil.which("qemu-system-x86_64")
SIZE = 20_000  # bytes that are echoed

# A UART at 3F8h: data; +2 FIFO control; +3 line control; +5 line status: bit 0 a byte is there,
# bit 5 one may be sent. Bytes of 16-bit code with what they mean.
ECHO = bytes.fromhex("".join(line.split(";")[0].replace(" ", "") for line in """
    fa             ; cli
    ba fb 03       ; mov  dx, 3FBh
    b0 03          ; mov  al, 3         8 bits, no parity, 1 stop bit
    ee             ; out  dx, al
    ba fa 03       ; mov  dx, 3FAh
    b0 07          ; mov  al, 7         FIFOs on and empty
    ee             ; out  dx, al
    b3 21          ; mov  bl, '!'       says that it runs
    eb 0d          ; jmp  send
                   ; receive:
    ba fd 03       ; mov  dx, 3FDh
    ec             ; in   al, dx
    a8 01          ; test al, 1
    74 f8          ; jz   receive
    b2 f8          ; mov  dl, F8h
    ec             ; in   al, dx
    88 c3          ; mov  bl, al
                   ; send:
    ba fd 03       ; mov  dx, 3FDh
    ec             ; in   al, dx
    a8 20          ; test al, 20h
    74 f8          ; jz   send
    b2 f8          ; mov  dl, F8h
    88 d8          ; mov  al, bl
    ee             ; out  dx, al
    eb e4          ; jmp  receive
""".splitlines()))


def boot_sector() -> Path:
    path = kdtap.new_path(".img")
    path.write_bytes(ECHO.ljust(510, b"\0") + b"\x55\xaa")
    return path


class Machine:
    def __init__(self, *serial: str):
        self.process = subprocess.Popen(
            [QEMU, "-accel", "tcg", "-machine", "pc", "-m", "16", "-display", "none", "-monitor",
             "none", "-nodefaults", "-no-user-config", "-drive",
             f"file={boot_sector()},format=raw,if=floppy", "-serial", *serial],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self):
        return self

    def __exit__(self, _kind, error, _trace):
        self.process.kill()
        said, _ = self.process.communicate()
        if error and said:
            error.add_note(f"QEMU said: {said}")


@unittest.skipUnless(QEMU, "no qemu-system-x86_64 (Debian package qemu-system-x86)")
class Echo(unittest.TestCase):
    def echo(self, tap, debugger, file):
        """Random bytes in random pieces come back, and are in the recording."""
        generator = random.Random(9)
        data = kdtap.random_bytes(SIZE, 9)
        sent, got = 0, b""
        limit = time.monotonic() + 4 * kdtap.PATIENCE
        while len(got) < SIZE:
            # The UART has 16 bytes of buffer and no flow control; QEMU waits for it.
            if sent < SIZE:
                sent += debugger.send_some(data[sent:sent + generator.randrange(1, 500)])
            got += debugger.receive_some() or b""
            self.assertLess(time.monotonic(), limit, f"{len(got)} of {SIZE} bytes came back")
        self.assertTrue(got == data)
        tap.stop()
        recording = kdtap.read_recording(file)
        self.assertTrue(recording.sent(DEBUGGER).endswith(data))
        self.assertTrue(recording.sent(TARGET).endswith(data))

    def start(self, target: str, *options):
        name, path = kdtap.UNIX_LISTEN.prepare()
        file = kdtap.new_path(".pcapng")
        tap = Tap(name, target, "-w", file, *options)
        self.addCleanup(tap.__exit__)
        return tap, kdtap.UNIX_LISTEN.connect(tap, DEBUGGER, path), file

    def wait_ready(self, debugger):
        """The machine's first word, where it cannot be lost."""
        self.assertEqual(debugger.receive(1), b"!")

    def wait_answer(self, debugger):
        """A machine that does not wait for the tap may say its first word to nobody: it is asked
        until the last question, each another byte, has come back."""
        got = b""
        for number in range(10 * kdtap.PATIENCE):
            question = bytes([number % 256])
            debugger.send(question)
            got += debugger.silent(0.1)
            if got.endswith(question):
                return
        self.fail(f"no answer; {len(got)} bytes came")

    def test_unix(self):
        path = kdtap.new_path(".sock")
        tap, debugger, file = self.start(f"unix:{path}")  # before the machine is there
        with Machine(f"unix:{path},server=on,wait=on"):
            self.wait_ready(debugger)
            self.echo(tap, debugger, file)

    def test_unix_listen(self):
        path = kdtap.new_path(".sock")
        tap, debugger, file = self.start(f"unix-listen:{path}")
        tap.wait("listening", end=TARGET)
        with Machine(f"unix:{path}"):
            self.wait_ready(debugger)
            self.echo(tap, debugger, file)

    def test_tcp(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        tap, debugger, file = self.start(f"tcp:127.0.0.1:{port}")
        with Machine(f"tcp:127.0.0.1:{port},server=on,wait=off"):
            self.wait_answer(debugger)
            self.echo(tap, debugger, file)

    def test_tcp_listen(self):
        tap, debugger, file = self.start("tcp-listen:0")
        with Machine(f"tcp:{tap.wait('listening', end=TARGET)['address']}"):
            self.wait_ready(debugger)
            self.echo(tap, debugger, file)

    def test_pty_of_the_machine(self):
        with Machine("pty") as machine:
            line = machine.process.stdout.readline()  # char device redirected to /dev/pts/3 (...)
            terminal = next(word for word in line.split() if word.startswith("/dev/pts/"))
            tap, debugger, file = self.start(f"serial:{terminal}")
            self.wait_ready(debugger)
            self.echo(tap, debugger, file)

    def test_pty_of_the_tap(self):
        link = kdtap.new_path()
        tap, debugger, file = self.start(f"pty:{link}")
        tap.wait("listening", end=TARGET)
        with Machine("chardev:line", "-chardev", f"serial,id=line,path={link}"):
            self.wait_ready(debugger)
            self.echo(tap, debugger, file)

    def test_exec(self):
        command = (f"exec:exec {QEMU} -accel tcg -machine pc -m 16 -display none -monitor none "
                   f"-nodefaults -no-user-config -serial stdio "
                   f"-drive file={boot_sector()},format=raw,if=floppy")
        tap, debugger, file = self.start(command)
        self.wait_ready(debugger)
        self.echo(tap, debugger, file)

    def test_machine_is_restarted(self):
        path = kdtap.new_path(".sock")
        tap, debugger, _ = self.start(f"unix:{path}")
        for number in (1, 2):
            with Machine(f"unix:{path},server=on,wait=off"):
                tap.wait("connected", number, end=TARGET)
                self.wait_answer(debugger)
                debugger.send(b"still there?")
                self.assertEqual(debugger.receive(12), b"still there?")
            tap.wait("disconnected", number, end=TARGET)
        tap.stop()


if __name__ == "__main__":
    result = unittest.main(verbosity=2, warnings="ignore", exit=False).result
    sys.exit(77 if not QEMU else not result.wasSuccessful())
