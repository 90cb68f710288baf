# bootmanager.py - Windows' boot manager with its boot debugger, in an emulated machine.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""KDLENS_WINDOWS_TARGET names the disk image: an EFI boot manager whose BCD store says bootdebug,
debugtype serial, debugport 1. KDLENS_WINDOWS_KDNET_TARGET: the same with debugtype net, hostip
10.0.2.2, which is where QEMU's user network has this machine. Such an image is Microsoft's, so none
is here.

What it does: firmware text on COM1, then "BD: Boot Debugger Initialized" again and again until a
debugger acknowledges it, then it loads its parts and stops for want of a system to start.
"""

import os
import shutil
import subprocess
import time
from pathlib import Path

QEMU = shutil.which("qemu-system-x86_64")
FIRMWARE = [("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
            ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
            ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
            ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd")]
FIRST_WORDS = b"BD: Boot Debugger Initialized"
HOST = "10.0.2.2"  # this machine, as seen on QEMU's user network
BASE = 0x10000000  # where it is loaded
BOOT_PATIENCE = 240.0


def firmware() -> tuple[str, str] | None:
    return next((pair for pair in FIRMWARE if all(map(os.path.exists, pair))), None)


def missing(variable: str = "KDLENS_WINDOWS_TARGET", way: str = "on COM1") -> str | None:
    """Why there is no such machine here."""
    image = os.environ.get(variable)
    if not image:
        return (f"needs a disk image of a Windows boot manager with boot debugging {way}, named "
                f"by {variable}")
    if not os.access(image, os.R_OK):
        return f"{variable}: {image} cannot be read"
    if not QEMU:
        return "needs qemu-system-x86_64 (package qemu-system-x86)"
    if not firmware():
        return "needs OVMF (package ovmf)"
    return None


def missing_network() -> str | None:
    return missing("KDLENS_WINDOWS_KDNET_TARGET", "by KDNET")


class Emulator:
    """Switched on; a context manager that switches it off."""

    def __init__(self, image: str, folder: Path, *devices: str):
        code, variables = firmware()
        folder.mkdir(parents=True, exist_ok=True)
        settings = folder / "variables"
        shutil.copyfile(variables, settings)
        self._errors = open(folder / "qemu", "w+b")
        self._process = subprocess.Popen(
            [QEMU, "-accel", "tcg", "-machine", "q35", "-m", "1024", "-nodefaults", "-display",
             "none", "-vga", "std", "-monitor", "stdio",
             "-drive", f"if=pflash,format=raw,readonly=on,file={code}",
             "-drive", f"if=pflash,format=raw,file={settings}",
             "-drive", f"file={image},format=raw,if=ide,snapshot=on", *devices],
            stdin=subprocess.PIPE, stdout=self._errors, stderr=self._errors)

    def check_runs(self):
        if self._process.poll() is not None:
            self._errors.seek(0)
            raise AssertionError(f"QEMU ended: {self._errors.read().decode()}")

    def reset(self):
        self._process.stdin.write(b"system_reset\n")
        self._process.stdin.flush()

    def off(self):
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.off()


class Machine(Emulator):
    """Its COM1 connects to, or with listens is, this character device of QEMU's. log has all bytes
    that it has sent."""

    def __init__(self, device: str, folder: Path):
        self.log = folder / "com1"
        super().__init__(os.environ["KDLENS_WINDOWS_TARGET"], folder,
                         "-chardev", f"socket,id=com1,{device},logfile={self.log}",
                         "-serial", "chardev:com1")

    def sent(self) -> bytes:
        return self.log.read_bytes() if self.log.exists() else b""

    def wait_words(self, times: int = 1, words: bytes = FIRST_WORDS):
        """Until its debugger has spoken."""
        limit = time.monotonic() + BOOT_PATIENCE
        while self.sent().count(words) < times:
            self.check_runs()
            assert time.monotonic() < limit, f"no boot debugger; COM1 sent {self.sent()[-300:]}"
            time.sleep(0.1)


class NetworkMachine(Emulator):
    """On QEMU's user network: what it sends to 10.0.2.2 comes from 127.0.0.1, by the loopback.
    wire is QEMU's own record (pcap) of what passed its network adapter."""

    def __init__(self, folder: Path):
        self.wire = folder / "wire.pcap"
        super().__init__(os.environ["KDLENS_WINDOWS_KDNET_TARGET"], folder,
                         "-netdev", "user,id=net", "-device", "e1000e,netdev=net,romfile=",
                         "-object", f"filter-dump,id=wire,netdev=net,file={self.wire}")
