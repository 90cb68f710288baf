# test_files.py - files of lib/capture against Wireshark's own tools and an independent writer.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""CAPTURE_FILE names the program tests/tool/capture_file.c was built to."""

import gzip
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path.insert(0, str(REPOSITORY / "tests/dissector/generate"))
import capturefile

PROGRAM = os.environ.get("CAPTURE_FILE") or REPOSITORY / "build/tests/tool/capture_file"
START = 1_700_000_000_123_456_789
KDNK = 0x4B444E4B
TRUNCATED = 3  # enum cap_failure_kind

HEAD = [("section", "x86-64", "Linux", "kdlens 0"),
        ("interface", 252, 0, 115200, "tap", "debugger tcp:a, target pty:b"),
        ("secrets", KDNK, b"8.8.8.8")]
PACKETS = [
    ("upper", 0, START, "sent", b"b"),
    ("upper", 0, START + 1, "received", b"0000" + bytes(range(256)), "first", "second: ü"),
    ("packet", 0, START + 1_000_000_000, 1, 5,
     capturefile.upper_pdu(b"iiii", True), "5 records lost"),
    ("packet", 0, START + 1_000_000_001, 0, 0, capturefile.upper_pdu(b"", False)),
]
STATISTICS = ("statistics", 0, START + 2_000_000_000, START, START + 1_500_000_000, 9, 5, "end")


def line(fields) -> str:
    words = [(field.hex() or "-") if isinstance(field, bytes) else str(field) for field in fields]
    return "\t".join(words) + "\n"


def write(path, lines, *arguments) -> None:
    subprocess.run([PROGRAM, "write", path, *map(str, arguments)], check=True,
                   input="".join(map(line, lines)), text=True)


def read(path) -> list[list[str]]:
    shown = subprocess.run([PROGRAM, "read", path], check=True, capture_output=True, text=True)
    return [row.split("\t") for row in shown.stdout.splitlines()]


def packets(path) -> list[tuple[str, str]]:
    """Time and data of each packet as lib/capture reads them."""
    return [(row[2], row[5]) for row in read(path) if row[0] == "packet"]


def complaints(text: str) -> list[str]:
    """What a program of Wireshark said, without what every program says that root starts."""
    return [row for row in text.splitlines() if row and not row.startswith("Running as user")]


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="kdlens-files-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)

    def path(self, name: str) -> Path:
        return self.folder / name

    def run_tool(self, program: str, *arguments) -> str:
        """Output of a program of Wireshark; it must not complain."""
        if not shutil.which(program):
            self.skipTest(f"{program} not found")
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)
        self.assertEqual(complaints(done.stderr), [], f"{program} {arguments}")
        self.assertEqual(done.returncode, 0)
        return done.stdout

    def tshark(self, path, *names: str) -> list[list[str]]:
        selected = [word for name in names for word in ("-e", name)]
        shown = self.run_tool("tshark", "-n", "-r", path, "-T", "fields", "-E", "aggregator=|",
                              *selected)
        return [row.split("\t") for row in shown.splitlines()]

    # --- against the independent writer

    def test_bytes_are_those_of_the_independent_writer(self):
        interfaces = [capturefile.Interface("tap", "a, b", speed=115200),
                      capturefile.Interface("net", "c", linktype=1)]
        records = [
            capturefile.Record(START, capturefile.upper_pdu(b"b", False), 0, capturefile.OUTBOUND),
            capturefile.Record(START + 7, capturefile.upper_pdu(b"0000123", True), 0,
                               capturefile.INBOUND, "a comment"),
            capturefile.Record(START + 9, bytes(60), 1, 0),
        ]
        end = START + 9
        write(self.path("a.pcapng"), [
            ("section", "-", "-", "a writer"),
            ("interface", 252, 0, 115200, "tap", "a, b"),
            ("interface", 1, 0, 0, "net", "c"),
            ("upper", 0, START, "sent", b"b"),
            ("upper", 0, START + 7, "received", b"0000123", "a comment"),
            ("packet", 1, START + 9, 0, 0, bytes(60)),
            ("statistics", 0, end, "-", "-", 2, 0),
            ("statistics", 1, end, "-", "-", 1, 0),
        ])
        self.assertEqual(self.path("a.pcapng").read_bytes(),
                         capturefile.pcapng(interfaces, records, "a writer"))

    # --- against Wireshark

    def written(self, name: str = "w.pcapng") -> Path:
        path = self.path(name)
        write(path, [*HEAD, *PACKETS, STATISTICS])
        return path

    def test_tshark_sees_every_field(self):
        rows = self.tshark(self.written(), "frame.time_epoch", "frame.comment",
                           "frame.packet_flags_direction", "frame.drop_count", "frame.len",
                           "frame.interface_name", "frame.interface_description",
                           "exported_pdu.prot_name")
        description = ["tap", "debugger tcp:a, target pty:b"]
        self.assertEqual([row[:4] for row in rows], [
            ["1700000000.123456789", "", "0x00000002", ""],
            ["1700000000.123456790", "first|second: ü", "0x00000001", ""],
            ["1700000001.123456789", "5 records lost", "0x00000001", "5"],
            ["1700000001.123456790", "", "", ""],
        ])
        self.assertEqual([row[5:7] for row in rows], [description] * 4)
        self.assertEqual([row[7] for row in rows], ["kd_stream"] * 4)
        self.assertEqual([row[4] for row in rows], ["29", "288", "32", "28"])

    def test_capinfos_reads_the_headers(self):
        for name in ("w.pcapng", "w.pcapng.gz"):
            shown = self.run_tool("capinfos", "-M", self.written(name))
            for expected in ("Wireshark Upper PDU", "nanoseconds (9)", "x86-64", "kdlens 0",
                             "Capture oper-sys:    Linux", "Speed = 115200",
                             "Number of packets:   4", "Name = tap", "Strict time order:   True"):
                self.assertIn(expected, shown)

    def test_editcap_keeps_everything(self):
        """Secrets too: editcap refuses a file that has them before the interface."""
        before = read(self.written())
        self.run_tool("editcap", self.path("w.pcapng"), self.path("copy.pcapng"))
        after = read(self.path("copy.pcapng"))
        kept = ("interface", "packet", "secrets")
        self.assertEqual([row[:4] + row[5:] for row in after if row[0] in kept],
                         [row[:4] + row[5:] for row in before if row[0] in kept])

    def test_mergecap_takes_several(self):
        self.written("a.pcapng")
        self.written("b.pcapng.gz")
        self.run_tool("mergecap", "-w", self.path("m.pcapng"), self.path("a.pcapng"),
                      self.path("b.pcapng.gz"))
        merged = packets(self.path("m.pcapng"))
        self.assertEqual(merged[::2], packets(self.path("a.pcapng")))
        self.assertEqual(len(self.tshark(self.path("m.pcapng"), "frame.number")), 8)

    def test_files_of_a_rotation(self):
        many = [("upper", 0, START + number, "sent", b"b" * 300) for number in range(18)]
        write(self.path("r.pcapng"), [*HEAD, *many], 2000, 3)
        files = sorted(self.folder.glob("r_*.pcapng"))
        self.assertEqual([path.name[:7] for path in files], ["r_00002", "r_00003", "r_00004"])
        lengths = [len(self.tshark(path, "frame.number")) for path in files]
        self.assertEqual(lengths, [5, 5, 3])

    # --- killed

    def killed(self, name: str) -> Path:
        with subprocess.Popen([PROGRAM, "write", self.path(name)], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as writer:
            lines = [*HEAD, *PACKETS, ("flush",), PACKETS[0]]
            writer.stdin.write("".join(map(line, lines)))
            writer.stdin.flush()
            self.assertEqual(writer.stdout.readline(), "flushed\n")
            writer.send_signal(signal.SIGKILL)
        return self.path(name)

    def test_a_killed_writer_leaves_a_valid_file(self):
        self.assertEqual(len(self.tshark(self.killed("k.pcapng"), "frame.number")), 4)

    def test_a_killed_writer_leaves_a_readable_gzip_file(self):
        rows = read(self.killed("k.pcapng.gz"))
        self.assertEqual([row[0] for row in rows[-5:]], ["packet"] * 4 + ["failure"])
        self.assertEqual(rows[-1][1], str(TRUNCATED))
        if not shutil.which("tshark"):
            self.skipTest("tshark not found")
        shown = subprocess.run(["tshark", "-n", "-r", self.path("k.pcapng.gz"), "-T", "fields",
                                "-e", "frame.number"], capture_output=True, text=True)
        self.assertEqual(shown.stdout.split(), ["1", "2", "3", "4"])
        self.assertEqual(len(complaints(shown.stderr)), 1, shown.stderr)
        self.assertIn("cut short", shown.stderr)

    # --- reading files of others

    def test_stored_captures(self):
        """What tshark sees of every stored capture is what the reader delivers."""
        for path in sorted((REPOSITORY / "pcaps").glob("*.pcapng")):
            with self.subTest(path.name):
                rows = self.tshark(path, "frame.time_epoch", "frame.cap_len")
                ours = [(f"{int(time) // 10**9}.{int(time) % 10**9:09}",
                         str(len(data) // 2 if data != "-" else 0))
                        for time, data in packets(path)]
                self.assertEqual(ours, [tuple(row) for row in rows])

    def test_formats_of_editcap(self):
        self.written()
        expected = packets(self.path("w.pcapng"))
        for kind, precision in (("pcap", 1000), ("nsecpcap", 1)):
            self.run_tool("editcap", "-F", kind, self.path("w.pcapng"), self.path(kind))
            self.path(f"{kind}.gz").write_bytes(gzip.compress(self.path(kind).read_bytes()))
            rounded = [(str(int(time) // precision * precision), data) for time, data in expected]
            self.assertEqual(packets(self.path(kind)), rounded)
            self.assertEqual(packets(self.path(f"{kind}.gz")), rounded)
            self.assertNotIn("failure", [row[0] for row in read(self.path(kind))])
        self.run_tool("editcap", "-F", "modpcap", self.path("w.pcapng"), self.path("mod"))
        self.assertIn("editcap", read(self.path("mod"))[0][3])

    def test_every_item_is_read_back(self):
        rows = read(self.written())
        self.assertEqual([row[0] for row in rows],
                         ["section", "interface", "secrets", *["packet"] * 4, "statistics"])
        self.assertEqual(rows[0], ["section", "x86-64", "Linux", "kdlens 0"])
        self.assertEqual(rows[2], ["secrets", str(KDNK), b"8.8.8.8".hex()])
        self.assertEqual(rows[4][7:], ["first", "second: ü"])
        self.assertEqual(rows[5][3:5], ["1", "5"])
        self.assertEqual(rows[7], [str(field) for field in STATISTICS])


if __name__ == "__main__":
    unittest.main()
