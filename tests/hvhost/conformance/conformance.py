# conformance.py - guests that nobody here wrote meet hvhost: Debian's Linux and iPXE.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Run by conformance.sh, which fetches the packages.

KDLENS_GUESTS names the folder they are unpacked in; KDLENS_HVHOST_TRACES, when set, a folder for
records of the sessions (hvtrace.py makes captures of them).
"""
import lzma
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import cpio
import hvhost

GUESTS = Path(os.environ["KDLENS_GUESTS"])
TRACES = os.environ.get("KDLENS_HVHOST_TRACES")
IPXE_RUNS = 5
SOCKET_PORT = 0x6B64
SOCKET_BYTES = 12000 if TRACES else 20 << 20  # recording is slow
PATIENCE = 300
MODULES = ("drivers/hv/hv_vmbus.ko", "drivers/hv/hv_utils.ko", "net/vmw_vsock/vsock.ko",
           "net/vmw_vsock/hv_sock.ko")
# What pipes the modules load after one another, and whether they are gone again.
INIT = f"""#!/bin/sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
for module in @MODULES@; do
    /bin/busybox insmod /$module || echo "init: $module failed"
done
/bin/busybox sleep 3
for device in /sys/bus/vmbus/devices/*; do
    echo "init: device $(/bin/busybox cat $device/class_id) state $(/bin/busybox cat $device/state)"
done
/bin/socket_echo connect {SOCKET_PORT} {SOCKET_BYTES}
/bin/socket_echo listen {SOCKET_PORT} {SOCKET_BYTES}
/bin/busybox sleep 1
for module in hv_sock vsock hv_utils hv_vmbus; do
    /bin/busybox rmmod $module || echo "init: $module stays"
done
/bin/busybox dmesg | /bin/busybox grep -iE 'hyper-v|hv_|vmbus'
echo "init: done"
/bin/busybox poweroff -f
"""


def find(pattern: str) -> Path:
    found = sorted(GUESTS.glob(pattern))
    if not found:
        raise AssertionError(f"no {pattern} in {GUESTS}")
    return found[-1]


def module(name: str) -> bytes:
    path = find(f"lib/modules/*/kernel/{name}*")
    return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()


def initial_ram_disk() -> bytes:
    names = [Path(name).name for name in MODULES]
    program = GUESTS / "socket_echo"
    subprocess.run(["cc", "-static", "-O2", "-Wall", "-Werror", "-o", program,
                    HERE / "socket_echo.c"], check=True)
    files = {"bin": (0o40755, b""), "dev": (0o40755, b""), "proc": (0o40755, b""),
             "sys": (0o40755, b""), "dev/console": (0o20600, (5, 1)),
             "bin/busybox": (0o100755, find("bin/busybox").read_bytes()),
             "bin/sh": (0o120777, b"busybox"),
             "bin/socket_echo": (0o100755, program.read_bytes()),
             "init": (0o100755, INIT.replace("@MODULES@", " ".join(names)).encode())}
    for name in MODULES:
        files[Path(name).name] = (0o100644, module(name))
    return cpio.archive(files)


def named(name: str, value: bytes) -> bytes:
    return b"\x08" + name.encode() + value


def acpi_table() -> bytes:
    """An SSDT with the device that Linux looks for: _HID "VMBus", without resources."""
    body = named("_HID", b"\x0dVMBus\0") + named("_UID", b"\0")
    body += named("_CRS", b"\x11\x05\x0a\x02\x79\0")
    device = b"VMBS" + body
    device = b"\x5b\x82" + struct.pack("B", len(device) + 1) + device
    scope = b"\\_SB_" + device
    scope = b"\x10" + struct.pack("<H", (len(scope) + 2 & 15 | 0x40)
                                  | (len(scope) + 2 >> 4) << 8) + scope
    head = struct.pack("<4sIBB6s8sI4sI", b"SSDT", 36 + len(scope), 2, 0, b"KDLENS", b"HVHOST  ", 1,
                       b"KDL ", 1)
    table = bytearray(head + scope)
    table[9] = -sum(table) & 0xFF
    return bytes(table)


class Console:
    """What the guest writes to COM1."""

    def __init__(self, path):
        self.text = ""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        try:
            while data := self.socket.recv(4096):
                self.text += data.decode("utf-8", "replace")
        except ConnectionError:
            pass  # the machine has gone

    def wait(self, pattern):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            ended = not self.reader.is_alive()
            if re.search(pattern, self.text):
                return
            if ended:
                break
            time.sleep(0.1)
        raise AssertionError(f"no {pattern!r} on the console:\n{self.text[-4000:]}")


class Conformance(unittest.TestCase):
    def trace(self, name):
        return Path(TRACES) / f"{name}.trace" if TRACES else None

    def assertClean(self, host):
        self.assertEqual([], host.violations(), f"{host.lines()}")
        self.assertEqual(0, host.tally().get("bad"))

    def linux(self, name, options):
        command = ("initrd=\\initrd console=ttyS0 efi=noruntime maxcpus=1 nokaslr panic=-1 "
                   "tsc=reliable clocksource=tsc")
        table = GUESTS / "ssdt.aml"
        table.write_bytes(acpi_table())
        with hvhost.Host(find("boot/vmlinuz*"), files={"initrd": initial_ram_disk()},
                         options=options, command=command, memory=512, trace=self.trace(name),
                         extra=["-acpitable", f"file={table}"]) as host:
            console = Console(host.uart)
            console.wait("socket_echo: connect, .* came back")
            console.wait("socket_echo: listening")
            host.command("socket")
            console.wait("init: done")
            host.wait_end()
            self.assertIn("Hyper-V", console.text)
            self.assertIn("socket_echo: listen, ", console.text)
            self.assertNotRegex(console.text, "init: .* (failed|stays)")
            self.assertTrue(host.find("INFO heartbeat: the guest answers"))
            self.assertTrue(host.find("INFO sint 2: unloaded"))
            self.assertClean(host)
            print(name, host.find("sint 2: connected"), flush=True)

    def test_linux(self):
        """Beside the firmware, which leaves when the kernel starts."""
        self.linux("linux", [])

    def test_linux_eoi(self):
        """Interrupts that the guest ends itself."""
        self.linux("linux-eoi", ["no-firmware", "eoi"])

    def test_linux_older(self):
        """An older protocol, and monitor pages in place of signals."""
        self.linux("linux-4.0", ["no-firmware", "max-version=4.0", "monitor"])

    def test_ipxe(self):
        """Connects with 3.0, leaves, connects with 0.13, opens its network card, leaves."""
        for run in range(IPXE_RUNS):
            with self.subTest(run=run), \
                    hvhost.Host(find("boot/ipxe.efi"), options=["no-firmware", "net"], memory=256,
                                trace=self.trace(f"ipxe-{run}")) as host:
                host.wait("INFO sint 2: connected with version 30000")
                host.wait("INFO sint 2: connected with version d")
                host.wait(r"INFO sint 2: channel \d+ \(net\) closed")
                host.command("tally")
                packets = host.wait(r"INFO channel \d+ \(net\): in")
                self.assertGreaterEqual(int(re.search(r"out (\d+) packets", packets)[1]), 2)
                self.assertEqual(2, len([line for line in host.lines()
                                         if line == "sint 2: unloaded"]))
                self.assertClean(host)


if __name__ == "__main__":
    unittest.main()
