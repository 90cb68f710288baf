# bootmanager.py - Windows' boot manager with its boot debugger on COM1, in an emulated machine.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""KDLENS_WINDOWS_TARGET names the disk image: an EFI boot manager whose BCD store says bootdebug,
debugtype serial, debugport 1. Such an image is Microsoft's, so none is here.

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
BASE = 0x10000000  # where it is loaded
BOOT_PATIENCE = 240.0


def firmware() -> tuple[str, str] | None:
    return next((pair for pair in FIRMWARE if all(map(os.path.exists, pair))), None)


def missing() -> str | None:
    """Why there is no such machine here."""
    image = os.environ.get("KDLENS_WINDOWS_TARGET")
    if not image:
        return ("needs a disk image of a Windows boot manager with boot debugging on COM1, named "
                "by KDLENS_WINDOWS_TARGET")
    if not os.access(image, os.R_OK):
        return f"KDLENS_WINDOWS_TARGET: {image} cannot be read"
    if not QEMU:
        return "needs qemu-system-x86_64 (package qemu-system-x86)"
    if not firmware():
        return "needs OVMF (package ovmf)"
    return None


class Machine:
    """Switched on; its COM1 connects to, or with listens is, this character device of QEMU's. A
    context manager that switches it off. log has all bytes that it has sent."""

    def __init__(self, device: str, folder: Path):
        code, variables = firmware()
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "com1"
        settings = folder / "variables"
        shutil.copyfile(variables, settings)
        self._errors = open(folder / "qemu", "w+b")
        self._process = subprocess.Popen(
            [QEMU, "-accel", "tcg", "-machine", "q35", "-m", "1024", "-nodefaults", "-display",
             "none", "-vga", "std", "-monitor", "stdio",
             "-drive", f"if=pflash,format=raw,readonly=on,file={code}",
             "-drive", f"if=pflash,format=raw,file={settings}",
             "-drive", f"file={os.environ['KDLENS_WINDOWS_TARGET']},format=raw,if=ide,snapshot=on",
             "-chardev", f"socket,id=com1,{device},logfile={self.log}", "-serial", "chardev:com1"],
            stdin=subprocess.PIPE, stdout=self._errors, stderr=self._errors)

    def sent(self) -> bytes:
        return self.log.read_bytes() if self.log.exists() else b""

    def wait_words(self, times: int = 1, words: bytes = FIRST_WORDS):
        """Until its debugger has spoken."""
        limit = time.monotonic() + BOOT_PATIENCE
        while self.sent().count(words) < times:
            if self._process.poll() is not None:
                self._errors.seek(0)
                raise AssertionError(f"QEMU ended: {self._errors.read().decode()}")
            assert time.monotonic() < limit, f"no boot debugger; COM1 sent {self.sent()[-300:]}"
            time.sleep(0.1)

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
