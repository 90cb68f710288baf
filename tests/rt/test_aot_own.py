# test_aot_own.py - interface calls, start-up and names on hand-written tables, in all versions.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""tests/rt/aot/own.c knows what each call must return. Needs no file of NativeAOT's compiler."""

import os
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import aotbuild
import machine

VERSIONS = ((8, 0), (9, 1), (10, 1), (16, 0))
LASTS = {
    "NO_METHOD": "failed an interface call has no target: not found",
    "AMBIGUOUS": "failed an interface call has no target: two default implementations",
    "ARRAY_NEGATIVE": "failed a managed array of that many elements cannot be made: fine ffff",
    "ARRAY_LARGE": "failed a managed array of that many elements cannot be made: fine 80000000",
    "OUT_OF_MEMORY": "failed the heap of managed objects is used up: give rt_aot_start more",
}


def setUpModule():
    reason = aotbuild.missing()
    if reason:
        raise unittest.SkipTest(reason)
    global builder
    builder = aotbuild.Builder()
    unittest.addModuleCleanup(builder.close)


def image(version: tuple, *defines: str, trash: bool = False) -> aotbuild.Image:
    flags = [f"-DMAJOR={version[0]}", f"-DMINOR={version[1]}"]
    extra = {"uefi-agent/rt/aot_dispatch.c": ["-DRhpResolveInterfaceMethod=true_resolve"]}
    own = [builder.object("tests/rt/aot/own.c", aotbuild.GENERAL, *flags, *defines),
           builder.object("tests/rt/aot/tables.S", *flags, *(["-DTRASH"] if trash else []))]
    name = "-".join(["own", *map(str, version), *defines, str(trash)])
    return builder.link(name, [*builder.base(extra if trash else None), *own])


class Own(unittest.TestCase):
    def check(self, version: tuple, lines: list[str], last: str = "NO_METHOD"):
        self.assertEqual(lines[0], f"version {version[0]}.{version[1]}")
        self.assertEqual([line for line in lines if line.startswith("wrong")], [])
        passed = next(line for line in lines if line.startswith("passed")).split()
        self.assertEqual(passed[2:], ["failed", "0"])
        self.assertGreater(int(passed[1]), 40)
        self.assertNotIn("did not fail", lines)
        failure = next(line for line in lines if line.startswith("failed"))
        self.assertTrue(failure.startswith(LASTS[last]), failure)

    def test_on_the_host(self):
        for version in VERSIONS:
            self.check(version, image(version).on_host())

    def test_arguments_survive_a_look_up_that_changes_all_registers(self):
        for version in VERSIONS:
            self.check(version, image(version, trash=True).on_host())

    def test_failures(self):
        for last in LASTS:
            self.check((16, 0), image((16, 0), f"-DLAST={last}").on_host(), last)

    def test_in_firmware(self):
        if machine.missing():
            self.skipTest(machine.missing())
        if os.environ.get("AOT_HOST_ONLY"):
            self.skipTest("AOT_HOST_ONLY is set")
        for version in VERSIONS:
            self.check(version, image(version).in_firmware())


class Refusals(unittest.TestCase):
    def test_another_version(self):
        lines = image((11, 0)).on_host(expected=1)
        self.assertEqual(lines[0], "start failed: finding the ReadyToRun header: a NativeAOT "
                                   "header of a version that is not known: 11.0")


if __name__ == "__main__":
    aotbuild.main()
