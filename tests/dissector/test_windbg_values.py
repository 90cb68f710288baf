# test_windbg_values.py - values that WinDbg printed, found in the decoded fields of its session.
# SPDX-License-Identifier: BSD-2-Clause-Patent
import re
import unittest

import kdcapture as kd
import kdtest
import windbgtext

BOOTMGR_KEY = "kdnet.key:1a2b3c4d5e6f7.8g9h0i1j2k3l.2m6n7o8p9q0r1.2s3t4u5v6w7x"

AT_LEAST = 900  # values over all files

compared: dict[str, int] = {}


class WinDbg(unittest.TestCase):
    """Each text is followed from its beginning to its end; the session only moves forward."""

    def follow(self, name: str, arch: str, capture, *prefs: str) -> None:
        text = kdtest.captures(f"{name}.txt").read_text(encoding="utf-8")
        reader = windbgtext.read(text, arch)
        self.assertEqual(reader.unread, [])  # neither a value nor in windbgwords.CLASSES
        print(f"{name}: lines without a value: "
              + ", ".join(f"{kind} {number}" for kind, number in sorted(reader.classes.items())))
        compared[name] = windbgtext.follow(text, arch, kd.packets(capture, *prefs))
        print(f"{name}: {compared[name]} values compared")

    def test_amd64(self):
        """Registers, memory, search, fill, ports, MSRs, breakpoints, steps of an AMD64 target."""
        self.serial("windbg-amd64", "amd64")

    def test_arm64(self):
        """Registers, memory, breakpoints and steps of an ARM64 target."""
        self.serial("windbg-arm64", "arm64")

    def test_x86(self):
        """Registers, memory, breakpoints and steps of a 32-bit target."""
        self.serial("windbg-x86", "x86")

    def test_bootmgr_serial(self):
        """Windows' boot manager over a COM port."""
        self.serial("windows-bootmgr-serial", "amd64")

    def test_bootmgr_kdnet(self):
        """Windows' boot manager over KDNET, where a CONTEXT comes in two parts."""
        capture = kdtest.captures("windows-bootmgr-kdnet.pcap.gz")
        self.follow("windows-bootmgr-kdnet", "amd64", capture, BOOTMGR_KEY)
        # What WinDbg says of the connection, by the offer; the target's address is the relay's.
        text = kdtest.captures("windows-bootmgr-kdnet.txt").read_text(encoding="utf-8")
        port, address = re.search(r"on port (\d+) on local IP ([0-9.]+)\.", text).groups()
        offers = kdtest.fields(capture, ["kdnet.poke.debugger_port", "kdnet.poke.debugger_address"],
                               BOOTMGR_KEY, filter="kdnet.poke.nonce")
        self.assertEqual(offers, [(port, f"::ffff:{address}")])

    def serial(self, name: str, arch: str) -> None:
        self.follow(name, arch, kdtest.recording(kdtest.captures(f"{name}.jsonl")))

    def test_zz_enough_values(self):
        """At least 900 values in all: a text that nothing reads any more must not pass."""
        kdtest.captures("windbg-amd64.txt")
        total = sum(compared.values())
        print(f"{total} values compared in {len(compared)} sessions")
        self.assertGreaterEqual(total, AT_LEAST)
        self.assertEqual(len(compared), 5)


def setUpModule():
    kdtest.captures()  # skips all tests at once


if __name__ == "__main__":
    kdtest.main()
