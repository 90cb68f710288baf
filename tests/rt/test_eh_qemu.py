# test_eh_qemu.py - the exception test program as a UEFI application in QEMU with OVMF.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The program writes its traces to QEMU's debug console, gives the processor's vectors back and
returns; that the firmware goes on shows that nothing of it is left.
"""

import re
import sys
import tempfile
import time
import unittest
from pathlib import Path

import ehprogram

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "boot"))
import machine  # noqa: E402

PATIENCE = 120  # seconds
ALIVE = b"UEFI Interactive Shell"


def wait_for(condition, what: str):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what} within {PATIENCE} s")
        time.sleep(0.1)


class Qemu(unittest.TestCase):
    def test_traces(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            image = ehprogram.build(folder)
            console, uart = folder / "console", folder / "uart"
            console.touch()
            uart.touch()
            extra = ("-chardev", f"file,path={console},id=traces",
                     "-device", "isa-debugcon,iobase=0xe9,chardev=traces")
            with machine.Machine(kernel=image, uart=f"file,path={uart}", extra=extra):
                wait_for(lambda: re.search(b"\n(done|terminated):", console.read_bytes()),
                         f"the program did not end, see {console}")
                wait_for(lambda: ALIVE in uart.read_bytes(),
                         "no shell after the end of the program")
            ehprogram.check(self, ehprogram.traces(console.read_text()), folder)


if __name__ == "__main__":
    REASON = ehprogram.missing() or machine.missing()
    if REASON:
        print(f"skipped: {REASON}")
        sys.exit(77)
    unittest.main()
