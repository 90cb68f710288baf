# test_eh_host.py - the exception test program, run in a process of this machine.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""KDLENS_RUN_PE names the program that loads it."""

import os
import platform
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import ehprogram


class Host(unittest.TestCase):
    def test_traces(self):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            image = ehprogram.build(folder)
            done = subprocess.run([os.environ["KDLENS_RUN_PE"], image], capture_output=True,
                                  text=True, timeout=120, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
            ehprogram.check(self, ehprogram.traces(done.stdout), folder)


if __name__ == "__main__":
    REASON = ehprogram.missing()
    if platform.machine() != "x86_64" or platform.system() != "Linux":
        REASON = "needs Linux on x86-64"
    if REASON:
        print(f"skipped: {REASON}")
        sys.exit(77)
    unittest.main()
