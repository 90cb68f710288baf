# test_selftest.py - whether this QEMU can run hvhost at all.
# SPDX-License-Identifier: BSD-2-Clause-Patent
import sys
import unittest

import hvhost
import machine


def setUpModule():
    reason = machine.missing()
    if not reason and not hvhost.IMAGE.exists():
        reason = f"no {hvhost.IMAGE} (build the target hvhost_image)"
    if reason:
        raise unittest.SkipTest(reason)


class SelfTest(unittest.TestCase):
    def test_all_pass(self):
        lines = hvhost.self_test()
        skips = [line for line in lines if line.kind == "SKIP"]
        if skips:
            self.skipTest(f"this QEMU cannot run hvhost: {skips[0]}")
        self.assertEqual([], [line for line in lines if line.kind == "FAIL"], lines)
        self.assertGreater(len([line for line in lines if line.kind == "PASS"]), 20, lines)
        self.assertIn("self test", lines)

    def test_without_svm_says_so(self):
        """A processor without SVM is named as the reason, not a failure."""
        lines = hvhost.self_test(cpu="qemu64,-svm")
        skips = [line for line in lines if line.kind == "SKIP"]
        self.assertEqual(1, len(skips), lines)
        self.assertIn("no SVM", skips[0])


if __name__ == "__main__":
    result = unittest.main(exit=False).result
    if result.skipped:
        print(f"skipped: {result.skipped[0][1]}")
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.skipped else 0)
