# test_vmbus.py - VMBus beyond the goldens: the table of channels, filters, cut captures, forms.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Counts come from the bytes of the captures, read here by the layout of docs/formats.md."""

import collections
import re
import struct
import unittest
from pathlib import Path

import kdtest
from capturefile import INBOUND, Interface, Record, pcapng, upper_pdu
from goldens import PCAPS

CAPTURES = sorted(PCAPS.glob("vmbus-*.pcapng"))
MESSAGE, PACKET, SIGNAL = 1, 2, 3
HEAD = struct.Struct("<BBBBHBB10I")
COLUMNS = ("sint", "relid", "interface", "offered", "opened", "state", "to_host", "to_host_bytes",
           "to_guest", "to_guest_bytes", "signals_to_host", "signals_to_guest", "messages")


def records(path: Path) -> list[bytes]:
    """What the upper-PDU records of a little-endian pcapng file hold."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if kind == 6:
            size = struct.unpack_from("<I", data, at + 20)[0]
            record = data[at + 28:at + 28 + size]
            tag = 0
            while struct.unpack_from(">H", record, tag)[0]:
                tag += 4 + struct.unpack_from(">H", record, tag + 2)[0]
            found.append(record[tag + 4:])
        at += length
    return found


def table(path, *prefs: str, filter: str = "", two_pass: bool = False) -> list[dict]:
    """Rows of -z vmbus,channels."""
    args = ["-q", "-z", "vmbus,channels" + (f",{filter}" if filter else "")]
    lines = kdtest.tshark(args, path, *prefs, two_pass=two_pass)
    rows = [[cell.strip() for cell in line.rstrip(" |").split(" |")]
            for line in lines if re.match(r"\d+ \|", line)]
    return [dict(zip(COLUMNS, row)) for row in rows]


def counted(path: Path) -> dict:
    """(SINT, relid) -> packets and bytes by direction, and signals."""
    counts: dict = collections.defaultdict(collections.Counter)
    for record in records(path):
        head = HEAD.unpack_from(record)
        kind, direction, sint, relid, data = head[1], head[2], head[5], head[9], record[head[4]:]
        to = {1: "to_host", 2: "to_guest"}.get(direction)
        if kind == PACKET:
            counts[sint, relid][to] += 1
            if len(data) >= 16:
                start, end = struct.unpack_from("<HH", data, 2)
                counts[sint, relid][f"{to}_bytes"] += 8 * (end - start) if end > start else 0
        elif kind == SIGNAL:
            counts[sint, relid][f"signals_{to}"] += 1
    return counts


class Channels(unittest.TestCase):
    # Both have each channel number once.
    NAMES = ("vmbus-session", "vmbus-packets", "vmbus-plain")

    def test_packets_bytes_and_signals(self):
        for name in self.NAMES:
            rows = {(int(row["sint"]), int(row["relid"])): row
                    for row in table(PCAPS / f"{name}.pcapng")}
            for channel, expected in counted(PCAPS / f"{name}.pcapng").items():
                with self.subTest(capture=name, channel=channel):
                    for column, value in expected.items():
                        self.assertEqual(int(rows[channel][column]), value, column)

    def test_states_and_frames(self):
        rows = {row["relid"]: row for row in table(PCAPS / "vmbus-session.pcapng")}
        self.assertEqual(rows["15"]["interface"], "Kernel debugger pipe")
        self.assertEqual(rows["15"]["state"], "closed")
        self.assertEqual(rows["3"]["state"], "offered")
        offered, opened = int(rows["15"]["offered"]), int(rows["15"]["opened"])
        heads = [HEAD.unpack_from(record) + (record[64:68],)
                 for record in records(PCAPS / "vmbus-session.pcapng")]
        number = {offered: 1, opened: 5}  # OFFERCHANNEL, OPENCHANNEL
        for frame, message in number.items():
            self.assertEqual(heads[frame - 1][1], MESSAGE)
            self.assertEqual(heads[frame - 1][-1], struct.pack("<I", message))

    def test_one_number_in_several_machines(self):
        rows = table(PCAPS / "vmbus-connections.pcapng")
        self.assertEqual([row["interface"] for row in rows if row["relid"] == "15"],
                         ["SCSI", "Kernel debugger pipe", "Network"])

    def test_passes_agree(self):
        for path in CAPTURES:
            with self.subTest(capture=path.name):
                self.assertEqual(table(path), table(path, two_pass=True))

    def test_sharkd_agrees(self):
        path = PCAPS / "vmbus-packets.pcapng"
        with kdtest.Sharkd(path) as session:
            [shown] = session.request("tap", tap0="nstat:vmbus,channels")["taps"]
        rows = [[str(cell) for cell in row] for row in shown["tables"][0]["i"]]
        self.assertEqual(rows, [list(row.values()) for row in table(path)])

    def test_a_filter_chooses(self):
        rows = table(PCAPS / "vmbus-packets.pcapng", filter="vmbus.channel == 4")
        self.assertEqual([row["relid"] for row in rows], ["4"])


class Filters(unittest.TestCase):
    def frames(self, name: str, filter: str) -> list[int]:
        rows = kdtest.fields(PCAPS / f"{name}.pcapng", ["frame.number"], filter=filter)
        return [int(number) for number, in rows]

    def test_a_page_is_found_in_header_body_and_packet(self):
        """Page 0x105 is in the header of each story's GPADL, 0x120 in a body, 0x42 in a packet."""
        for name, page in (("vmbus-session", 0x105), ("vmbus-messages", 0x120),
                           ("vmbus-packets", 0x42)):
            data = struct.pack("<Q", page)
            holding = [number for number, record in enumerate(records(PCAPS / f"{name}.pcapng"), 1)
                       if any(record[at:at + 8] == data for at in range(48, len(record), 4))]
            self.assertTrue(holding)
            self.assertEqual(self.frames(name, f"vmbus.page == {page}"), holding, name)

    def test_a_channel_has_all_its_packets_and_signals(self):
        path = PCAPS / "vmbus-session.pcapng"
        events = {number for number, record in enumerate(records(path), 1)
                  if HEAD.unpack_from(record)[1] in (PACKET, SIGNAL)}
        self.assertTrue(events)
        self.assertLessEqual(events, set(self.frames(path.stem, "vmbus.channel == 15")))


class Cut(unittest.TestCase):
    """Captures with a snap length: what is there is shown, and that it was cut is said."""

    def test_nothing_is_malformed(self):
        for path in CAPTURES:
            for length in (40, 79, 120):
                with self.subTest(capture=path.name, length=length):
                    cut = kdtest.scratch(f"{path.stem}-{length}.pcapng")
                    kdtest.run("editcap", ["-s", length, kdtest.staged(path), cut])
                    rows = kdtest.fields(cut, ["frame.number", "frame.cap_len", "frame.len",
                                               "vmbus.expert.cut", "_ws.malformed", kdtest.INFO])
                    text = "\n".join(kdtest.tshark(["-V"], cut))
                    self.assertNotIn("Dissector bug", text)
                    self.check_rows(rows)

    def check_rows(self, rows: list[tuple]) -> None:
        head = len(upper_pdu(b"", True, "vmbus"))
        for number, captured, length, said, malformed, info in rows:
            if int(captured) <= head:  # the head of the record is cut, and nobody asks us
                continue
            self.assertFalse(malformed, f"frame {number}: {info}")
            self.assertTrue(info, f"frame {number}")
            if int(captured) < int(length):
                self.assertTrue(said, f"frame {number}: {info}")


class Forms(unittest.TestCase):
    """Heads that later versions, or nobody, may write."""

    def decode(self, data: bytes, *names: str) -> tuple:
        path = kdtest.scratch("form.pcapng")
        record = Record(1_000_000_000, upper_pdu(data, True, "vmbus"), flags=INBOUND)
        path.write_bytes(pcapng([Interface("vmbus", "")], [record], "kdlens tests"))
        [row] = kdtest.fields(path, [*names, "_ws.malformed", kdtest.INFO])
        self.assertFalse(row[-2])
        return row

    def head(self, kind: int, size: int = 48, version: int = 1) -> bytes:
        return HEAD.pack(version, kind, 1, 0, size, 5, 0, *[0] * 10)

    def test_a_longer_head_is_skipped(self):
        data = self.head(4, 56, 2) + b"\xff" * 8 + struct.pack("<IIQ", 0x40000084, 0, 0)
        self.assertEqual(self.decode(data, "vmbus.msr", "vmbus.expert.record")[:2],
                         ("0x40000084", ""))

    def test_a_shorter_head_is_refused(self):
        for data in (b"", self.head(4)[:47], self.head(4, 47) + bytes(16), self.head(4, 64),
                     self.head(4, 48, 0) + bytes(16)):
            if data:
                self.assertEqual(self.decode(data, "vmbus.expert.record")[0], "1")

    def test_a_kind_nobody_knows_is_bytes(self):
        self.assertEqual(self.decode(self.head(77) + b"\x01\x02", "vmbus.data")[0], "0102")


if __name__ == "__main__":
    kdtest.main()
