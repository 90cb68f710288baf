# test_fixture.py - what other dissector tests stand on: the plugin loads, recordings convert.
# SPDX-License-Identifier: BSD-2-Clause-Patent
import json
import os
import random
import unittest
from pathlib import Path

import kdtest
from capturefile import Interface, Record, pcapng, upper_pdu
from kdtest import Chunk, HOST_TO_TARGET, TARGET_TO_HOST

CHUNKS = [
    Chunk(1_500_000_000, HOST_TO_TARGET, b"b"),
    Chunk(2_000_000_001, TARGET_TO_HOST, bytes(range(256))),
    Chunk(2_000_000_001, TARGET_TO_HOST, b"console text 0000\r\n"),
]


def made(name: str) -> Path:
    path = kdtest.scratch(name)
    kdtest.write_stream(path, CHUNKS)
    return path


class Environment(unittest.TestCase):
    def test_tshark_lists_the_plugin(self):
        listed = kdtest.run("tshark", ["-G", "plugins"]).stdout
        self.assertRegex(listed, r"(?m)^kdlens\.so\s")

    def test_wireshark_does_not_run_as_root(self):
        self.assertNotEqual(kdtest.run("id", ["-u"]).stdout.strip(), "0")

    def test_home_of_the_user_is_not_used(self):
        self.assertNotEqual(kdtest.run("printenv", ["HOME"]).stdout.strip(), os.environ.get("HOME"))


class Conversion(unittest.TestCase):
    def test_time_and_direction_of_each_record(self):
        # frame.p2p_dir comes from epb_flags: 1 received, 0 sent.
        rows = kdtest.fields(made("direction.pcapng"), ["frame.time_epoch", "frame.p2p_dir"])
        self.assertEqual(rows, [("1.500000000", "0"), ("2.000000001", "1"), ("2.000000001", "1")])

    def test_records_name_the_stream_dissector(self):
        rows = kdtest.fields(made("name.pcapng"), ["exported_pdu.prot_name"])
        self.assertEqual(rows, [("kd_stream",)] * 3)

    def test_bytes_come_last_in_a_record(self):
        record = upper_pdu(CHUNKS[1].data, True)
        self.assertTrue(record.endswith(b"\0\0\0\0" + CHUNKS[1].data))

    def test_cutting_keeps_bytes_and_order(self):
        pieces = kdtest.rechunk(CHUNKS, 7)
        self.assertEqual(max(len(piece.data) for piece in pieces), 7)
        for direction in (HOST_TO_TARGET, TARGET_TO_HOST):
            self.assertEqual(b"".join(p.data for p in pieces if p.direction == direction),
                             b"".join(c.data for c in CHUNKS if c.direction == direction))

    def test_a_recording_is_read(self):
        path = kdtest.scratch("two.jsonl")
        records = [{"t": 0.25, "dir": "h2t", "hex": "62"},
                   {"t": 1, "dir": "t2h", "hex": "30303030"}]
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        chunks = [Chunk(250_000_000, HOST_TO_TARGET, b"b"),
                  Chunk(1_000_000_000, TARGET_TO_HOST, b"0000")]
        self.assertEqual(kdtest.read_recording(path), chunks)
        self.assertEqual(len(kdtest.fields(kdtest.recording(path, cut=1), ["frame.len"])), 5)

    def test_a_truncated_record_says_so(self):
        path = kdtest.scratch("truncated.pcapng")
        interface = Interface("kd0", "", snaplen=64)
        path.write_bytes(pcapng([interface], [Record(0, bytes(4096))], "test"))
        rows = kdtest.fields(path, ["frame.cap_len", "frame.len"])
        self.assertEqual(rows, [("64", "4096")])


class Values(unittest.TestCase):
    def test_rows_survive_line_ends_in_values(self):
        path = kdtest.scratch("comment.pcapng")
        records = [Record(number, upper_pdu(b"x", False), comment="one\ntwo, three")
                   for number in range(3)]
        path.write_bytes(pcapng([Interface("kd0", "")], records, "test"))
        rows = kdtest.fields(path, ["frame.number", "frame.comment", "frame.interface_id"])
        self.assertEqual([row[0] for row in rows], ["1", "2", "3"])
        self.assertEqual({row[2] for row in rows}, {"0"})

    def test_fields_that_are_absent_or_repeated(self):
        names = ["tcp.port", "exported_pdu.tag"]
        rows = kdtest.fields(made("repeated.pcapng"), names, multiple=True)
        self.assertEqual(rows[0], ([], ["12", "35", "0"]))

    def test_a_filter_that_nothing_passes(self):
        self.assertEqual(kdtest.fields(made("nothing.pcapng"), ["frame.number"], filter="tcp"), [])

    def test_columns_have_a_value_in_this_version(self):
        rows = kdtest.fields(made("column.pcapng"), [kdtest.INFO, kdtest.PROTOCOL])
        info, protocol = rows[0]
        self.assertTrue(info)
        self.assertTrue(protocol)

    def test_booleans_are_digits(self):
        rows = kdtest.fields(made("boolean.pcapng"), ["frame.marked"])
        self.assertEqual(rows, [("0",)] * 3)


class RandomAccess(unittest.TestCase):
    def test_visits_in_any_order_agree(self):
        numbers = [1, 2, 3] * 3
        random.Random(1).shuffle(numbers)
        with kdtest.Sharkd(made("sharkd.pcapng")) as session:
            self.assertEqual(session.count, 3)
            first = {number: session.visit(number) for number in (1, 2, 3)}
            for number in numbers:
                self.assertEqual(session.visit(number), first[number])

    def test_errors_of_sharkd_fail_the_test(self):
        with self.assertRaisesRegex(AssertionError, "nosuch"):
            kdtest.Sharkd(made("error.pcapng"), "nosuch.preference:1")


if __name__ == "__main__":
    kdtest.main()
