# aotbuild.py - test applications with managed code: compiled, linked with an object, started.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The objects of NativeAOT's compiler are in the folder KDLENS_FIXTURES, or in ../shared beside the
repository; without them a test says so and skips. Everything is built in the folder of a Builder.

Image.on_host and Image.in_firmware return the lines that the application prints.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.insert(0, str(REPOSITORY / "tests/boot"))
import machine

FIXTURES = Path(os.environ.get("KDLENS_FIXTURES")
                or REPOSITORY.parent / "shared/fixtures/nativeaot")
PATIENCE = 90  # seconds; machines these tests run on may be loaded
RUN_PATIENCE = 300  # for a program in an emulated machine, which says something now and then

# As cmake/uefi-image.cmake has them.
FLAGS = ["--target=x86_64-unknown-windows-msvc", "-std=c11", "-O2", "-ffreestanding",
         "-fshort-wchar", "-fno-stack-protector", "-funwind-tables", "-mno-red-zone",
         "-mno-stack-arg-probe", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow",
         "-Wvla", "-Wcast-align", "-Werror"]
GENERAL = "-mgeneral-regs-only"
INCLUDES = ["lib/image/include", "uefi-agent/rt/include", "uefi-agent/rt", "tests/rt",
            "tests/rt/aot"]
LIBRARY = ["lib/image/src/" + name for name in (
    "aot_dispatch.c", "aot_header.c", "aot_hydrate.c", "aot_names.c", "aot_read.c",
    "aot_symbol.c", "aot_type.c", "epilogue.c", "image.c", "names.c", "unwind.c",
    "unwind_table.c", "walk.c")]
RUNTIME = ["uefi-agent/rt/" + name for name in (
    "aot_dispatch.c", "aot_heap.c", "aot_modules.c", "aot_start.c", "aot_x64.S")]
SUPPORT = ["tests/rt/aot/console.c", "tests/rt/aot/start.c", "uefi-agent/efi/libc.c"]


def missing() -> str:
    """What nothing can be built without; "" when all is there."""
    lacking = [tool for tool in ("clang", "lld-link") if not shutil.which(tool)]
    return f"no {' and no '.join(lacking)} (Debian packages clang, lld)" if lacking else ""


def missing_fixtures() -> str:
    if not (FIXTURES / "dispatch-expected.h").exists():
        return f"no objects of NativeAOT's compiler: {FIXTURES} does not exist (KDLENS_FIXTURES)"
    return ""


def run(*command, expected: int = 0) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True,
                          timeout=PATIENCE)
    if done.returncode != expected:
        raise RuntimeError(f"{' '.join(map(str, command))}: status {done.returncode}\n"
                           f"{done.stdout}{done.stderr}")
    return done.stdout


class Image:
    """An application: path, and with map=True the linker's list of symbols."""

    def __init__(self, path: Path, run_pe: str):
        self.path = path
        self.run_pe = run_pe

    def symbols(self) -> dict:
        """{name: RVA}; from the linker's own list, which knows nothing of our readers."""
        names, base = {}, 0x140000000
        for line in self.path.with_suffix(".map").read_text(errors="replace").splitlines():
            words = line.split()
            if "Preferred load address" in line:
                base = int(words[-1], 16)
            if len(words) >= 3 and len(words[0]) == 13 and len(words[2]) == 16:
                names[words[1]] = int(words[2], 16) - base
        return names

    def on_host(self, expected: int = 0) -> list[str]:
        """expected: the exit status."""
        return self._between(run(self.run_pe, self.path, expected=expected).splitlines())

    def in_firmware(self) -> list[str]:
        with machine.Machine(kernel=self.path) as guest, \
                socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(guest.uart))
            connection.settimeout(RUN_PATIENCE)
            text, end = b"", time.monotonic() + 2 * RUN_PATIENCE
            while not text.endswith(b"\nend\n") and time.monotonic() < end:
                part = connection.recv(4096)
                if not part:
                    raise RuntimeError(f"the machine is gone after {text[-200:]!r}")
                text += part
        return self._between(text.decode("utf-8", "replace").splitlines())

    @staticmethod
    def _between(lines: list[str]) -> list[str]:
        if "begin" not in lines or "end" not in lines:
            raise RuntimeError("no complete output: " + repr(lines[-5:]))
        return lines[lines.index("begin") + 1:lines.index("end")]


class Builder:
    """Compiles each source once, links any number of images from them."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="kdlens-aot-"))
        self.objects = {}
        self.run_pe = os.environ.get("KDLENS_RUN_PE") or str(REPOSITORY / "build/tests/rt/run_pe")

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def object(self, source: str, *flags: str) -> Path:
        key = (source, flags)
        if key not in self.objects:
            out = self.folder / f"{Path(source).name}.{len(self.objects)}.obj"
            includes = [f"-I{REPOSITORY / name}" for name in INCLUDES]
            run("clang", *FLAGS, *flags, *includes, f"-I{FIXTURES}", "-c",
                REPOSITORY / source, "-o", out)
            self.objects[key] = out
        return self.objects[key]

    def base(self, extra: dict | None = None) -> list[Path]:
        """Objects of everything but the application itself, without vector registers, as the agent
        is built. extra: more flags for some sources."""
        own = {"uefi-agent/efi/libc.c": ["-fno-builtin"], **(extra or {})}
        return [self.object(source, GENERAL, *own.get(source, []))
                for source in LIBRARY + RUNTIME + SUPPORT]

    def link(self, name: str, objects: list, *options: str) -> Image:
        path = self.folder / f"{name}.efi"
        run("lld-link", "/nologo", "/nodefaultlib", "/subsystem:efi_application",
            "/entry:EfiMain", f"/map:{path.with_suffix('.map')}", f"/out:{path}", *options,
            *objects)
        return Image(path, self.run_pe)


def main() -> None:
    """Run the test file. Exit status: 0 passed, 1 failed, 77 everything was skipped."""
    result = unittest.main(module="__main__", verbosity=2, exit=False).result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.skipped and result.testsRun <= len(result.skipped) else 0)
