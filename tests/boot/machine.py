# machine.py - QEMU with OVMF firmware, a UART on a socket, and snapshots of a booted machine.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A firmware boots in four to ten seconds; a machine that was saved after that goes on within a
tenth of a second. So tests boot once, Machine.save, and start each case with saved=FILE.

missing() says what this system lacks. Everything a Machine made is gone after close().
"""

import json
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

QEMU = shutil.which("qemu-system-x86_64")
FIRMWARES = ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_CODE.fd",
             "/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/x64/OVMF_CODE.4m.fd")
FIRMWARE = next((path for path in FIRMWARES if Path(path).exists()), None)
PATIENCE = 90  # seconds; machines these tests run on may be loaded


def missing() -> str:
    """What there is no machine without; "" when all is there."""
    if not QEMU:
        return "no qemu-system-x86_64 (Debian package qemu-system-x86)"
    if not FIRMWARE:
        return "no OVMF firmware (Debian package ovmf)"
    lacking = [tool for tool in ("mformat", "mmd", "mcopy") if not shutil.which(tool)]
    if lacking:
        return f"no {', '.join(lacking)} (Debian package mtools)"
    return ""


def make_esp(image: Path, files: dict) -> Path:
    """A FAT32 disk without partitions: {"EFI/BOOT/BOOTX64.EFI": Path or bytes, ...}."""
    with image.open("wb") as out:
        out.truncate(33 << 20)

    def mtool(name, *arguments, **options):
        subprocess.run([name, "-i", image, *arguments], check=True, **options)

    mtool("mformat", "-F", "::")
    folders = {str(parent) for name in files for parent in list(Path(name).parents)[:-1]}
    for folder in sorted(folders):
        mtool("mmd", f"::{folder}")
    for name, content in files.items():
        if isinstance(content, bytes):
            mtool("mcopy", "-", f"::{name}", input=content)
        else:
            mtool("mcopy", content, f"::{name}")
    return image


class Machine:
    """A machine that runs, or with saved= goes on where it was saved.

    kernel   an .efi that the firmware starts at once, without a disk
    esp      an image of make_esp; with write_esp what the machine writes there is kept
    uart     what COM1 is: a chardev as QEMU writes it; by default a socket, self.uart, that one
             program at a time may connect to
    extra    more of QEMU's own arguments; they must be the same for a saved machine
    firmware None: the BIOS that comes with QEMU
    """

    def __init__(self, *, kernel=None, esp=None, uart=None, memory=64, saved=None, extra=(),
                 firmware=FIRMWARE, write_esp=False):
        self.folder = Path(tempfile.mkdtemp(prefix="kdboot"))
        self.uart = self.folder / "uart"
        self.log = (self.folder / "qemu.log").open("w+")
        uart = uart or f"socket,path={self.uart},server=on,wait=off"
        command = [QEMU, "-accel", "tcg", "-machine", "q35", "-m", str(memory), "-nodefaults",
                   "-no-user-config", "-display", "none",
                   "-chardev", uart + ",id=kd", "-serial", "chardev:kd",
                   "-qmp", f"unix:{self.folder}/qmp,server=on,wait=off", *map(str, extra)]
        if firmware:
            command += ["-drive", f"if=pflash,format=raw,readonly=on,file={firmware}"]
        if kernel:
            command += ["-kernel", str(self._padded(kernel))]
        if esp:
            snapshot = "off" if write_esp else "on"
            command += ["-drive", f"format=raw,file={esp},snapshot={snapshot}"]
        if saved:
            command += ["-incoming", f"exec:cat {saved}"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=subprocess.STDOUT)
        self._qmp = None
        try:
            self._connect()
            if saved:
                self.wait_status("running", "paused", "prelaunch", "postmigrate")
                self.resume()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _padded(self, kernel) -> Path:
        """QEMU's loader wants a file of some size (2560 bytes)."""
        path = self.folder / Path(kernel).name
        data = Path(kernel).read_bytes()
        path.write_bytes(data + bytes(-len(data) % 16384))
        return path

    def _fail(self, what: str):
        self.log.seek(0)
        raise RuntimeError(f"{what}; QEMU says: {self.log.read().strip() or 'nothing'}")

    def _connect(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.process.poll() is not None:
                self._fail(f"QEMU ended with status {self.process.returncode}")
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(self.folder / "qmp"))
            except OSError:
                connection.close()
                time.sleep(0.02)
                continue
            connection.settimeout(PATIENCE)
            self._qmp = connection.makefile("rw")
            connection.close()  # the file keeps it open
            self._qmp.readline()  # greeting
            self.qmp("qmp_capabilities")
            return
        self._fail(f"no control connection within {PATIENCE} s")

    def qmp(self, command: str, **arguments):
        """A command of QEMU's machine protocol; what it returns."""
        self._qmp.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self._qmp.flush()
        while True:
            line = self._qmp.readline()
            if not line:
                self._fail(f"QEMU is gone during {command}")
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def monitor(self, line: str) -> str:
        """A line of QEMU's own monitor: "info registers"."""
        return self.qmp("human-monitor-command", **{"command-line": line})

    def wait_status(self, *wanted):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            status = self.qmp("query-status")["status"]
            if status in wanted:
                return
            time.sleep(0.01)
        self._fail(f"machine is {status}, not {' or '.join(wanted)}, after {PATIENCE} s")

    def pause(self):
        self.qmp("stop")

    def resume(self):
        self.qmp("cont")

    def reset(self):
        self.qmp("system_reset")

    def nmi(self):
        self.monitor("nmi")

    def registers(self) -> dict:
        """{"RAX": 0x1, "RIP": ..., "CR3": ..., "XMM00": ...} as the emulator has them."""
        text = self.monitor("info registers")
        pairs = re.findall(r"\b([A-Z][A-Z0-9]{1,4}) *=([0-9a-f]{4,32})\b", text)
        pairs += re.findall(r"\b(XMM\d\d)=([0-9a-f]{16} [0-9a-f]{16})\b", text)  # over the halves
        return {name: int(value.replace(" ", ""), 16) for name, value in pairs}

    def memory(self, address: int, size: int) -> bytes:
        """Physical memory as the emulator has it."""
        path = self.folder / "memory"
        self.qmp("pmemsave", val=address, size=size, filename=str(path))
        return path.read_bytes()

    def save(self, file: Path):
        """Pauses the machine and writes its state; then close it, and start others from it."""
        self.pause()
        self.qmp("migrate", uri=f"exec:cat > {file}")
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            status = self.qmp("query-migrate").get("status")
            if status == "completed":
                return
            if status in ("failed", "cancelled"):
                self._fail(f"saving the machine {status}")
            time.sleep(0.02)
        self._fail(f"saving the machine took more than {PATIENCE} s")

    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self):
        if self._qmp:
            self._qmp.close()
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
