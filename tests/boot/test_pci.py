# test_pci.py - PCI configuration space through the agent, against the emulator's own account.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""A PCI Express root port has capabilities behind the first 256 bytes, which only memory leads to;
the emulator's monitor reads them at the place that the firmware gives them.
"""
import sys
import unittest

import agentsession
from agentsession import IMAGES, Session

PORT = 4  # the device number
PLACE = 0xB0000000 + (PORT << 15)  # OVMF's choice for QEMU's q35, at bus 0
VENDOR = 0x1B36  # Red Hat's
ADVANCED_ERRORS = 0x0001  # capability id, the first of them in this device


def setUpModule():
    scratch = agentsession.scratch_folder("kdpci")
    globals()["SAVED"] = agentsession.boot(scratch, {
        "EFI/BOOT/BOOTX64.EFI": IMAGES / "kdboot.efi",
        "kdagent.efi": IMAGES / "kdagent.efi",
        "kdagent.cfg": b"chain = none\nmessage = 60000\nwait = forever\n",
    }, until=agentsession.first_event, extra=("-device", f"pcie-root-port,addr={PORT}"))


class Configuration(unittest.TestCase):
    def setUp(self):
        self.session = Session(SAVED)
        self.addCleanup(self.session.close)
        self.debugger = self.session.debugger()

    def read(self, offset: int, count: int) -> bytes:
        return bytes.fromhex(self.debugger.command(f"busdata 0 {PORT:x} 0 {offset:x} {count:x}"))

    def emulated(self, offset: int, count: int) -> bytes:
        text = self.session.machine.monitor(f"xp /{count}xb {PLACE + offset:#x}")
        return bytes(int(byte, 16) for line in text.splitlines()
                     for byte in line.split(":")[1].split())

    def test_all_of_a_function(self):
        whole = b"".join(self.read(at, 256) for at in range(0, 4096, 256))
        self.assertEqual(whole, self.emulated(0, 4096))
        self.assertEqual(int.from_bytes(whole[:2], "little"), VENDOR)
        self.assertEqual(int.from_bytes(whole[0x100:0x102], "little"), ADVANCED_ERRORS)

    def test_across_the_border(self):
        for offset, count in ((0xFF, 2), (0xFD, 7), (0xF0, 0x40), (0x101, 3), (0x102, 9)):
            self.assertEqual(self.read(offset, count), self.emulated(offset, count))

    def test_end(self):
        self.assertEqual(len(self.read(0xFFC, 16)), 4)
        self.debugger.refused(f"busdata 0 {PORT:x} 0 1000 4")
        self.debugger.refused("busdata 0 9 0 100 4")


if __name__ == "__main__":
    program = unittest.main(exit=False)
    if program.result.skipped and not program.result.testsRun:
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())
