# test_capture_uncut.py - WinDbg and the Windows 10 boot loader over KDNET: windbg-uncut.pcapng.gz.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Facts of the captures' README, computed by a script that shares nothing with the plugin."""

import random
import unittest
from collections import Counter
from decimal import Decimal

import kdcapture as kd
import kdtest

CAPTURE = "windbg-uncut.pcapng.gz"
KEY = "kdnet.key:8.8.8.8"

CONTINUES = {kd.CONTINUE, kd.CONTINUE2}

# CreateFile requests of the boot loader, in order.
PATHS = r"""
\Windows\system32\en-GB\winload.efi.MUI
\Windows\system32\config\system
\Windows\system32\ntkrnlmp.chk
\Windows\system32\hal.chk
\Windows\system32\ntkrnlmp.chk
\Windows\system32\hal.chk
\Windows\system32\ApiSetSchema.dll
\Windows\system32\kd_02_10ec.dll
\Windows\system32\kdnet.dll
\Windows\system32\mcupdate_GenuineIntel.dll
\Windows\System32\drivers\werkernel.sys
\Windows\System32\drivers\tm.sys
\Windows\System32\drivers\CLFS.SYS
\Windows\system32\PSHED.dll
\Windows\system32\BOOTVID.dll
\Windows\System32\drivers\cmimcext.sys
\Windows\System32\drivers\ntosext.sys
\Windows\system32\CI.dll
\Windows\system32\msrpc.sys
\Windows\System32\drivers\msrpc.sys
\Windows\System32\drivers\clipsp.sys
\Windows\System32\drivers\FLTMGR.SYS
\Windows\System32\drivers\ksecdd.sys
system32\drivers\Wdf01000.sys
\Windows\system32\drivers\Wdf01000.sys
\Windows\system32\drivers\WDFLDR.SYS
System32\Drivers\acpiex.sys
\Windows\System32\Drivers\acpiex.sys
\Windows\System32\Drivers\WppRecorder.sys
System32\Drivers\cng.sys
\Windows\System32\Drivers\cng.sys
System32\drivers\ACPI.chk
\Windows\System32\drivers\ACPI.chk
""".split()

UNVERIFIED = r"""*** Windows is unable to verify the signature of
    the file \Windows\{}.  It will be allowed to load
    because the boot debugger is enabled.
"""

PRINTS = [
    "BD: Boot Debugger Initialized\n",
    "BD: Boot Debugger Initialized\n",  # the first came before the debugger listened
    UNVERIFIED.format(r"system32\ntkrnlmp.chk"),
    UNVERIFIED.format(r"system32\hal.chk"),
    UNVERIFIED.format(r"System32\drivers\ACPI.chk"),
    "\nCritical driver \\Windows\\System32\\drivers\\ACPI.chk failed to load (c0430007)\n",
    "\n*** Fatal Error 0x00000001 :\n                (0x0000000000000001, 0xFFFFF8017BC91A70,"
    " 0xFFFFF8017BC94540, 0xFFFFFFFFC0430007)\n\n",
]


class Uncut(unittest.TestCase):
    def setUp(self):
        self.capture = kdtest.captures(CAPTURE)
        self.frames = kd.frames(self.capture, KEY)
        self.packets = kd.packets(self.capture, KEY)


class Datagrams(Uncut):
    def test_all_955_are_authentic(self):
        """Every datagram opens with the published key, and its tag fits."""
        self.assertEqual([frame.kdnet.text("kdnet.authentic") for frame in self.frames],
                         ["1"] * 955)

    def test_channels(self):
        """428 control datagrams, 1 of them the debugger's; 527 of data, 265 from the target."""
        channels = Counter((frame.kdnet.number("kdnet.channel"),
                            frame.kdnet.number("kdnet.from_debugger")) for frame in self.frames)
        self.assertEqual(channels, {(1, 0): 427, (1, 1): 1, (0, 0): 265, (0, 1): 262})

    def test_leaders(self):
        """263 data packets, 263 control packets and one announce on the data channel."""
        leaders = Counter(packet.text("kd.leader") for packet in self.packets)
        self.assertEqual(leaders, {"0x30303030": 263, "0x69696969": 263})
        announces = [frame.number for frame in self.frames if "kdnet.announce" in frame.kdnet]
        self.assertEqual(announces, [3])

    def test_types(self):
        """Packets by type, as in the README."""
        self.assertEqual(kd.types(self.packets), {
            "ACKNOWLEDGE": 259, "STATE_MANIPULATE": 187, "FILE_IO": 66, "DEBUG_IO": 7,
            "STATE_CHANGE64": 3, "RESEND": 2, "RESET": 2})

    def test_nothing_is_malformed(self):
        """No frame is malformed and none met a dissector bug, in one pass and in two."""
        for two_pass in (False, True):
            self.assertEqual(kdtest.problems(self.capture, KEY, two_pass=two_pass), [])
        text = "\n".join(kdtest.tshark(["-V"], self.capture, KEY))
        self.assertNotIn("Dissector bug", text)
        self.assertNotIn("Malformed", text)

    def test_every_datagram_is_ours(self):
        """Stock tshark takes 2 of the 955 for CLTP and R-GOOSE: the heuristic comes first."""
        self.assertEqual({frame.protocols[-1] for frame in self.frames}, {"kdnet"})
        rows = kdtest.fields(self.capture, ["frame.protocols"])  # without a key as well
        self.assertEqual({protocols.split(":")[-1] for protocols, in rows}, {"kdnet"})


class Messages(Uncut):
    def test_reads_and_their_replies(self):
        """44 ReadVirtual requests, 44 replies, each linked to the other; 4,768 bytes in all."""
        reads = [packet for packet in self.packets if packet.api == kd.READ_VIRTUAL]
        requests = {packet.frame: packet for packet in reads if packet.flow == kd.TO_TARGET}
        replies = {packet.frame: packet for packet in reads if packet.flow == kd.TO_DEBUGGER}
        self.assertEqual((len(requests), len(replies)), (44, 44))
        self.assertEqual({packet.number("kd.response_in"): frame
                          for frame, packet in requests.items()},
                         {frame: packet.number("kd.request_in")
                          for frame, packet in replies.items()})
        self.assertEqual(sum(len(packet.data("kd.data")) for packet in replies.values()
                             if "kd.data" in packet), 4768)
        self.assertEqual(sum(packet.number("kd.actual") for packet in replies.values()), 4768)

    def test_replies_belong_to_their_requests(self):
        """Every reply names the oldest waiting request with the same content."""
        self.assertEqual(kd.wrong_links(self.packets), [])

    def test_time_since_request(self):
        """kd.time of a reply is the time between the two frames."""
        times = {int(number): Decimal(time) for number, time in
                 kdtest.fields(self.capture, ["frame.number", "frame.time_epoch"])}
        replies = [packet for packet in self.packets
                   if "kd.request_in" in packet and "kd.retransmission_of" not in packet]
        self.assertGreater(len(replies), 100)
        for packet in replies:
            self.assertEqual(Decimal(packet.text("kd.time")),
                             times[packet.frame] - times[packet.number("kd.request_in")])

    def test_stops(self):
        """Requests name the state change since which the target is stopped."""
        stop = None
        for packet in self.packets:
            if packet.type == kd.STATE_CHANGE64:
                stop = packet.frame
            elif packet.type == kd.STATE_MANIPULATE and packet.api not in CONTINUES:
                self.assertEqual(packet.number("kd.stop"), stop)
            elif packet.type == kd.FILE_IO:  # the boot loader asks while it runs
                self.assertNotIn("kd.stop", packet)

    def test_file_requests(self):
        """33 CreateFile requests with their paths; WinDbg has none of the files."""
        requests, answers = ([packet for packet in self.packets
                              if packet.type == kd.FILE_IO and packet.flow == flow]
                             for flow in (kd.TO_DEBUGGER, kd.TO_TARGET))
        self.assertEqual([packet.text("kd.file.path") for packet in requests], PATHS)
        self.assertEqual({packet.number("kd.file_io") for packet in requests + answers},
                         {kd.CREATE_FILE})
        self.assertEqual([packet.number("kd.request_in") for packet in answers],
                         [packet.frame for packet in requests])
        self.assertEqual({packet.text("kd.status") for packet in answers}, {"0xc000000f"})

    def test_prints(self):
        """7 prints, with text."""
        self.assertEqual([packet.text("kd.text") for packet in self.packets
                          if packet.type == kd.DEBUG_IO], PRINTS)

    def test_version(self):
        """GetVersion: build 10586, AMD64, protocol 6, a boot loader."""
        [version] = [packet for packet in self.packets
                     if packet.api == kd.GET_VERSION and packet.flow == kd.TO_DEBUGGER]
        stated = {"major": 0x040F, "build": 10586, "protocol": 6, "secondary": 2, "flags": 2,
                  "machine": 0x8664, "max_packet_type": 12, "max_state_change": 0x32,
                  "max_manipulate": 0x59, "simulation": 0, "kern_base": 0x96F000,
                  "module_list": 0xAD5E60, "data_list": 0}
        self.assertEqual({name: version.number(f"kd.version.{name}") for name in stated}, stated)
        infos = kdtest.fields(self.capture, [kdtest.INFO], KEY,
                              filter=f"frame.number == {version.frame}")
        self.assertRegex(infos[0][0], r"10586.*AMD64")

    def test_state_changes(self):
        """winload is loaded, breaks at an int3 and unloads everything at its end."""
        changes = [packet for packet in self.packets if packet.type == kd.STATE_CHANGE64]
        self.assertEqual([packet.number("kd.state") for packet in changes],
                         [kd.LOAD_SYMBOLS, kd.EXCEPTION, kd.LOAD_SYMBOLS])
        self.assertEqual(changes[0].text("kd.module.path"), "winload.efi")
        self.assertEqual(changes[0].number("kd.module.base"), 0x96F000)
        self.assertEqual(changes[1].number("kd.exception.code"), 0x80000003)
        self.assertEqual(changes[2].number("kd.module.base"), 0xFFFFFFFFFFFFFFFF)
        self.assertEqual(changes[2].number("kd.module.unload"), 1)

    def test_control_registers(self):
        """Special registers of ReadControlSpace: control, debug and descriptor table registers."""
        replies = [packet for packet in self.packets
                   if packet.api == kd.READ_CONTROL_SPACE and packet.flow == kd.TO_DEBUGGER]
        stated = {"cr0": 0x80000013, "cr3": 0x1AB000, "cr4": 0x40668, "dr6": 0xFFFE0FF0,
                  "dr7": 0x400, "gdtr.limit": 0x7F, "gdtr.base": 0x1A9000, "idtr.limit": 0xFFF,
                  "idtr.base": 0x1A9080, "xcr0": 7}
        self.assertEqual(len(replies), 3)
        self.assertEqual({name: replies[0].number(f"kd.special.{name}") for name in stated}, stated)


class Order(Uncut):
    def test_one_pass_and_two_agree(self):
        """Every field is the same but for what only the rest of the capture can tell."""
        self.assertEqual(kd.pass_differences(self.capture, KEY), [])

    def test_shuffled_visits_agree(self):
        """sharkd shows each frame as tshark -2 does, in whatever order it is asked."""
        tshark = kd.shown_by_tshark(self.capture, KEY)
        self.assertEqual(len(tshark), 955)
        infos = [info for info, in kdtest.fields(self.capture, [kdtest.INFO], KEY, two_pass=True)]
        for seed in (1, 2):
            numbers = list(range(1, len(tshark) + 1))
            random.Random(seed).shuffle(numbers)
            with kdtest.Sharkd(self.capture, KEY) as session:
                for number in numbers:
                    frame = session.frame(number)
                    self.assertEqual(kd.shown_by_sharkd(frame), tshark[number - 1])
                    self.assertEqual(frame["col"][-1], infos[number - 1])


def setUpModule():
    kdtest.captures()  # skips all tests at once


if __name__ == "__main__":
    kdtest.main()
