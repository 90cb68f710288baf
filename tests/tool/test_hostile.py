# test_hostile.py - the verbs that analyse captures, on captures that are damaged: a sample.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""tests/fuzz/fuzz_verbs.py says what is done, and does all of it."""

import shutil
import sys
import tempfile
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import kdfiles

sys.path.insert(0, str(kdfiles.REPOSITORY / "tests/fuzz"))
import fuzz_verbs

CUTS = 500


class Hostile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="hostile.")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.captures = list(fuzz_verbs.captures(kdfiles.PROGRAM, Path(cls.folder.name)))

    def runner(self) -> fuzz_verbs.Runner:
        return fuzz_verbs.Runner(kdfiles.PROGRAM, Path(self.folder.name))

    def test_cut_off(self):
        runner = self.runner()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(runner.cut, fuzz_verbs.cases(self.captures, 97, CUTS)))
        self.assertEqual(runner.failures, [])

    @unittest.skipUnless(shutil.which("editcap"), "no editcap")
    def test_noise(self):
        runner = self.runner()
        for number, capture in enumerate(self.captures):
            runner.noisy(capture, fuzz_verbs.NOISE[number % len(fuzz_verbs.NOISE)], number + 1)
        self.assertEqual(runner.failures, [])


if __name__ == "__main__":
    kdfiles.main()
