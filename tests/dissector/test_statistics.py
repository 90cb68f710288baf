# test_statistics.py - statistics, follow stream and export objects, against independent counts.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Numbers come from the bytes of the recordings (recorded.py), the captures' README, what WinDbg
printed beside them, and from the stories of pcaps/; never from the plugin's own fields.

tshark is asked in one pass and in two, sharkd as the GUI asks: everything with a loaded file.
"""

import base64
import hashlib
import os
import re
import subprocess
import tempfile
import unittest
from collections import Counter
from functools import lru_cache
from pathlib import Path

import goldens
import kdtest
import recorded
from goldens import PCAPS
from kdtest import HOST_TO_TARGET, TARGET_TO_HOST

# Two with both ends Microsoft's need their keys and noise; these have each packet once.
CLEAN = ("windbg-amd64", "windbg-arm64", "windbg-x86", "windbg-file-transfer")
FILE_SHA256 = "0b17d09e527b1a1b57afc1e24c58b33770c00426a86f342ded59a88779ccb3fa"
UNCUT_KEY = "kdnet.key:8.8.8.8"
BOOTMGR_KEY = "kdnet.key:1a2b3c4d5e6f7.8g9h0i1j2k3l.2m6n7o8p9q0r1.2s3t4u5v6w7x"

KDLENS = Path(os.environ.get("KDLENS") or
              kdtest.REPOSITORY / "build/capture-tool/kdlens").resolve()

READ, WRITE, CONTINUE, CONTINUE2 = 0x3130, 0x3131, 0x3136, 0x313C
READ_PHYSICAL, WRITE_PHYSICAL = 0x313D, 0x313E
# Requests whose TransferCount counts bytes of memory or of a control space.
TRANSFERS = (READ, WRITE, READ_PHYSICAL, WRITE_PHYSICAL, 0x3137, 0x3138)
GET_STRING, READ_FILE, WRITE_FILE = 0x3231, 0x3431, 0x3432
UNION, DATA = 16, 56


@lru_cache(maxsize=None)
def packets(name: str) -> tuple[recorded.Packet, ...]:
    return tuple(recorded.packets(kdtest.read_recording(kdtest.captures(f"{name}.jsonl"))))


def capture(name: str):
    return kdtest.recording(kdtest.captures(f"{name}.jsonl"))


def output(path, *taps: str, prefs: tuple = (), two_pass: bool = False) -> str:
    args = ["-q", *(word for tap in taps for word in ("-z", tap))]
    return "\n".join(kdtest.tshark(args, path, *prefs, two_pass=two_pass))


def tap(session: kdtest.Sharkd, name: str) -> dict:
    return session.request("tap", tap0=name)["taps"][0]


def rows(session: kdtest.Sharkd, name: str) -> list[dict]:
    """Rows of a table, by column."""
    table = tap(session, f"nstat:{name}")
    columns = [field["c"] for field in table["fields"]]
    return [dict(zip(columns, row)) for row in table["tables"][0]["i"]]


def everything(session: kdtest.Sharkd) -> list:
    """All that the taps say of the file that is loaded."""
    names = ("stat:kd", "nstat:kd,stops", "nstat:kd,prints", "conv:KD", "endpt:KD", "srt:kd",
             "eo:kd")
    follow = session.request("follow", follow="KD", filter="kd.stream == 0")
    return [*(tap(session, name) for name in names), follow]


def followed(session: kdtest.Sharkd, stream: int = 0) -> list[tuple[int, bool, str]]:
    """Frame, whether the target said it, text."""
    told = session.request("follow", follow="KD", filter=f"kd.stream == {stream}")
    return [(part["n"], bool(part.get("s")), base64.b64decode(part["d"]).decode("latin-1"))
            for part in told.get("payloads", [])]


def children(nodes: list[dict]) -> dict[str, dict]:
    return {node["name"]: node for node in nodes}


def counts(node: dict) -> dict[str, int]:
    return {child["name"]: child["count"] for child in node.get("sub", [])}


# --- the same, counted from the bytes


def responses(name: str) -> dict[int, list[int]]:
    """ApiNumber -> nanoseconds of each reply since its request. One request waits at a time."""
    times: dict[int, list[int]] = {}
    waiting = None
    for packet in packets(name):
        if packet.type != recorded.MANIPULATE:
            continue
        if packet.direction == HOST_TO_TARGET:
            waiting = packet
        elif waiting and waiting.api == packet.api:
            times.setdefault(packet.api, []).append(packet.nanoseconds - waiting.nanoseconds)
            waiting = None
    return times


def stops(name: str) -> list[dict]:
    """Stops with their times, and what was asked during each."""
    found: list[dict] = []
    running = True
    for packet in packets(name):
        if packet.type == recorded.STATE_CHANGE:
            running = False
            found.append({"frame": packet.chunk, "begin": packet.nanoseconds, "requests": 0,
                          "read": 0, "written": 0, "pc": packet.number(24, "<Q")})
        elif running:
            continue
        stop = found[-1]
        stop["end"], stop["last"] = packet.nanoseconds, packet.chunk
        if packet.type != recorded.MANIPULATE:
            continue
        if packet.direction == HOST_TO_TARGET:
            stop["requests"] += 1
            running = packet.api in (CONTINUE, CONTINUE2)
        elif packet.number(8) == 0:
            stop["read"] += packet.number(UNION + 12) * (packet.api in (READ, READ_PHYSICAL))
            stop["written"] += packet.number(UNION + 12) * (packet.api in (WRITE, WRITE_PHYSICAL))
    return found


def texts(name: str) -> list[tuple[bool, str]]:
    """Whether the target said it, and the text."""
    said = []
    for packet in packets(name):
        if packet.type != recorded.DEBUG_IO:
            continue
        answer = packet.direction == HOST_TO_TARGET
        size = packet.number(12 if answer and packet.api == GET_STRING else 8)
        text = packet.payload[16:16 + size].rstrip(b"\0").decode("latin-1")
        said.append((not answer, text + "\n" * answer))
    return said


def most_outstanding(name: str) -> int:
    """The most bytes that were ever asked for and had not come."""
    most = 0
    for packet in packets(name):
        asks = packet.direction == (HOST_TO_TARGET if packet.type == recorded.MANIPULATE
                                    else TARGET_TO_HOST)
        if asks and packet.type == recorded.MANIPULATE and packet.api in TRANSFERS:
            most = max(most, packet.number(UNION + 8))
        elif asks and packet.type == recorded.FILE_IO and packet.api in (READ_FILE, WRITE_FILE):
            most = max(most, packet.number(8 + 16))
    return most


class ServiceResponseTimes(unittest.TestCase):
    def test_counts_and_times(self):
        for name in CLEAN:
            with self.subTest(name), kdtest.Sharkd(capture(name)) as session:
                table = tap(session, "srt:kd")["tables"][0]
                expected = responses(name)
                found = [row for row in table["r"] if row["idx"] < 0x100]
                self.assertEqual({0x3130 + row["idx"]: row["num"] for row in found},
                                 {api: len(times) for api, times in expected.items()})
                for row in found:
                    times = [time / 1e9 for time in expected[0x3130 + row["idx"]]]
                    self.assertAlmostEqual(row["min"], min(times), delta=1e-8)
                    self.assertAlmostEqual(row["max"], max(times), delta=1e-8)
                    self.assertAlmostEqual(row["tot"], sum(times), delta=1e-6)

    def test_requests_of_the_target(self):
        with kdtest.Sharkd(capture("windbg-file-transfer")) as session:
            table = tap(session, "srt:kd")["tables"][0]
        self.assertEqual({row["n"]: row["num"] for row in table["r"] if row["idx"] >= 0x100},
                         {"CreateFile": 2, "ReadFile": 4, "WriteFile": 1, "CloseFile": 1})

    def test_filters_of_the_rows(self):
        """The GUI makes a display filter of table and row."""
        path = PCAPS / "serial-session.pcapng"
        with kdtest.Sharkd(path) as session:
            [table] = tap(session, "srt:kd")["tables"]
        for row, request, frames in (("ReadVirtualMemory", "kd.api == 0x3130", 12),
                                     ("ReadFile", "kd.file_io == 0x3431", 4),
                                     ("GetString", "kd.debug_io == 0x3231", 2)):
            [index] = [entry["idx"] for entry in table["r"] if entry["n"] == row]
            made = kdtest.fields(path, ["frame.number"], filter=f"{table['f']}=={index}")
            self.assertEqual(made, kdtest.fields(path, ["frame.number"], filter=request))
            self.assertEqual(len(made), frames)

    def test_both_ends_microsofts(self):
        """Replies by API: the requests in the captures' README, but for those without a reply."""
        with kdtest.Sharkd(capture("windows-bootmgr-serial")) as session:
            table = tap(session, "srt:kd")["tables"][0]
        self.assertEqual({0x3130 + row["idx"]: row["num"] for row in table["r"]
                          if row["idx"] < 0x100},
                         {0x3130: 188, 0x3131: 33, 0x3133: 8, 0x3134: 1, 0x3135: 33, 0x3137: 13,
                          0x3138: 8, 0x3139: 2, 0x313A: 1, 0x313D: 2, 0x313E: 1, 0x3146: 2,
                          0x3152: 2, 0x3153: 1, 0x315F: 13})


class Tree(unittest.TestCase):
    TYPES = {2: "STATE_MANIPULATE", 3: "DEBUG_IO", 4: "ACKNOWLEDGE", 5: "RESEND", 6: "RESET",
             7: "STATE_CHANGE64", 11: "FILE_IO"}
    SENDERS = {HOST_TO_TARGET: "Debugger", TARGET_TO_HOST: "Target"}

    def compare(self, name: str) -> None:
        with kdtest.Sharkd(capture(name)) as session:
            tree = children(tap(session, "stat:kd")["stats"])
        number, size = Counter(), Counter()
        for packet in packets(name):
            if packet.type:
                number[self.SENDERS[packet.direction], self.TYPES[packet.type]] += 1
                size[self.SENDERS[packet.direction], self.TYPES[packet.type]] += packet.size
        for root, expected in (("Packets", number), ("Bytes", size)):
            found = {(sender["name"], kind): count for sender in tree[root]["sub"]
                     for kind, count in counts(sender).items()}
            self.assertEqual(found, dict(expected))
            self.assertEqual(tree[root]["count"], sum(expected.values()))
        breakins = sum(packet.type == 0 for packet in packets(name))
        self.assertEqual(counts(tree["Line"]).get("Break-in"), breakins)

    def test_packets_and_bytes(self):
        for name in CLEAN:
            with self.subTest(name):
                self.compare(name)

    def test_requests(self):
        with kdtest.Sharkd(capture("windbg-amd64")) as session:
            tree = children(tap(session, "stat:kd")["stats"])
        sender = children(tree["Packets"]["sub"])["Debugger"]
        requests = counts(children(sender["sub"])["STATE_MANIPULATE"])
        self.assertEqual({name: requests[name] for name in (
            "ReadVirtualMemory", "Continue2", "SearchMemory", "QueryMemory")},
            {"ReadVirtualMemory": 138, "Continue2": 32, "SearchMemory": 37, "QueryMemory": 7})

    def test_sizes_of_reads(self):
        sizes = [packet.number(UNION + 12) if packet.number(8) == 0 else 0
                 for packet in packets("windbg-amd64")
                 if packet.type == recorded.MANIPULATE and packet.direction == TARGET_TO_HOST
                 and packet.api in (READ, READ_PHYSICAL)]
        with kdtest.Sharkd(capture("windbg-amd64")) as session:
            reads = children(tap(session, "stat:kd")["stats"])["Bytes moved by a read of memory"]
        self.assertEqual(reads["count"], len(sizes))
        for name, count in counts(reads).items():
            low, _, high = name.partition("-")
            self.assertEqual(count, sum(int(low or 0) <= size <= int(high or 1 << 31)
                                        for size in sizes), name)

    def test_trouble(self):
        """What the story of link-trouble puts on the line."""
        with kdtest.Sharkd(PCAPS / "link-trouble.pcapng") as session:
            line = counts(children(tap(session, "stat:kd")["stats"])["Line"])
        frames = kdtest.fields(PCAPS / "link-trouble.pcapng", ["kd.type", "kd.retransmission_of",
                                                               "kd.expert.checksum"])
        kinds = Counter(kind for row in frames for kind in row[0].split(",") if kind)
        self.assertEqual(line["RESEND"], kinds["5"])
        self.assertEqual(line["RESET"], kinds["6"])
        self.assertGreater(line["Wrong checksum"], 0)
        self.assertGreater(line["Sent again"], 0)


class Stops(unittest.TestCase):
    def compare(self, name: str) -> None:
        with kdtest.Sharkd(capture(name)) as session:
            found = rows(session, "kd,stops")
        expected = stops(name)
        self.assertEqual(
            [(row["Frame"], row["Requests"], row["Read"], row["Written"],
              row["Until"]) for row in found],
            [(stop["frame"], stop["requests"], stop["read"], stop["written"], stop["last"])
             for stop in expected])
        for row, stop in zip(found, expected):
            self.assertAlmostEqual(row["Stopped for"], (stop["end"] - stop["begin"]) / 1e9,
                                   delta=2e-9)

    def test_times_and_what_was_asked(self):
        for name in CLEAN:
            with self.subTest(name):
                self.compare(name)

    def test_ends(self):
        """Steps as WinDbg's user typed them: t, p, and those over a breakpoint."""
        steps = sum(packet.api == CONTINUE2 and packet.number(UNION + 4) & 1
                    for packet in packets("windbg-amd64")
                    if packet.direction == HOST_TO_TARGET and packet.type == recorded.MANIPULATE)
        with kdtest.Sharkd(capture("windbg-amd64")) as session:
            ends = Counter(row["Ended by"] for row in rows(session, "kd,stops"))
        self.assertEqual(ends["step"], steps)
        self.assertEqual(ends["step"] + ends["go"], 33)

    def test_uncut(self):
        """Two stops with reads; 44 reads with 4,768 bytes in all (counted by another program)."""
        with kdtest.Sharkd(kdtest.captures("windbg-uncut.pcapng.gz"), UNCUT_KEY) as session:
            found = rows(session, "kd,stops")
        self.assertEqual(len(found), 3)
        self.assertEqual(sum(row["Read"] for row in found), 4768)
        self.assertRegex(found[1]["Reason"], "^Breakpoint at 00000000`009cf07e")
        self.assertEqual(found[2]["Reason"], "Target shuts down or reboots")

    def test_both_ends_microsofts(self):
        """What WinDbg says it stopped at, in the text beside the capture."""
        text = kdtest.captures("windows-bootmgr-kdnet.txt").read_text(errors="replace")
        rips = re.findall(r"^rip=0000000010([0-9a-f]{6})", text, re.MULTILINE)
        [breakpoint] = re.findall(r"^ 0 e 00000000`10([0-9a-f]{6})", text, re.MULTILINE)
        returns_to = re.search(r"00000000`10([0-9a-f]{6}) +BOOTX64\+0x25f19", text)[1]
        path = kdtest.captures("windows-bootmgr-kdnet.pcap.gz")
        with kdtest.Sharkd(path, BOOTMGR_KEY) as session:
            found = rows(session, "kd,stops")
        loads = [row for row in found if row["Reason"].startswith("Load symbols")]
        self.assertEqual([row["Reason"].split()[2] for row in loads],
                         ["BOOTX64.EFI", "kd_02_8086.dll"])
        stopped = [re.search("at 00000000`10([0-9a-f]{6})", row["Reason"])[1] for row in found
                   if row not in loads]
        # The first stop, a step; a breakpoint at $ra, then one on execution at the next $ra; one on
        # a write, whose address the text does not tell; the second error, a break-in.
        self.assertEqual(len(stopped), 7)
        self.assertEqual([stopped[0], stopped[2], stopped[3], stopped[5]],
                         [rips[0], breakpoint, returns_to, rips[-1]])
        self.assertEqual({row["Mode"] for row in found}, {"64-bit"})

    def test_what_a_story_tells(self):
        with kdtest.Sharkd(PCAPS / "serial-session.pcapng") as session:
            found = rows(session, "kd,stops")
        self.assertEqual([row["Ended by"] for row in found],
                         ["go", "go", "step", "go", "go", "go", "go", "next stop", "next stop",
                          "go", "bug check", "reboot", "go"])
        self.assertEqual([row["CPU"] for row in found], [0] * 8 + [1] + [0] * 4)


class Graphs(unittest.TestCase):
    """The fields for I/O graphs."""

    def test_time_stopped(self):
        for name in CLEAN:
            path = capture(name)
            values = kdtest.fields(path, ["kd.time_stopped"], multiple=True)
            total = sum(float(value) for [cell] in values for value in cell)
            self.assertAlmostEqual(total, sum(stop["end"] - stop["begin"]
                                              for stop in stops(name)) / 1e9, delta=1e-6)
            said = output(path, "io,stat,0,SUM(kd.time_stopped)kd.time_stopped")
            self.assertIn(f"{total:.6f}"[:-1], said)

    def test_bytes_outstanding(self):
        for name in CLEAN:
            values = kdtest.fields(capture(name), ["kd.bytes_outstanding"], multiple=True)
            self.assertEqual(max(int(value) for [cell] in values for value in cell),
                             most_outstanding(name))

    def test_nothing_is_outstanding_after_a_reply(self):
        rows = kdtest.fields(PCAPS / "serial-session.pcapng",
                             ["kd.bytes_outstanding", "kd.request_in"])
        self.assertTrue([row for row in rows if row[0]])
        self.assertEqual([row for row in rows if row[0] and row[1]], [])

    def test_flow_graph(self):
        """Both ends of a line without addresses; the arrow of a request goes to the target."""
        told = output(PCAPS / "serial-session.pcapng", "flow,any,network")
        self.assertRegex(told, r"\|Time +\| target +\|\n\| +\| +\| debugger")
        [request] = re.findall(r"\|Get version +\|[^\n]*\n([^\n]*)", told.replace("  Get", "|Get"))
        self.assertIn("<---", request)


class Ends(unittest.TestCase):
    def test_conversations(self):
        for name in CLEAN:
            sent = Counter()
            for packet in packets(name):
                sent[packet.direction, "packets"] += 1
                sent[packet.direction, "bytes"] += packet.size
            with self.subTest(name), kdtest.Sharkd(capture(name)) as session:
                [line] = tap(session, "conv:KD")["convs"]
                self.assertEqual((line["saddr"], line["daddr"]), ("debugger", "target"))
                self.assertEqual((line["txf"], line["txb"]), (sent[HOST_TO_TARGET, "packets"],
                                                              sent[HOST_TO_TARGET, "bytes"]))
                self.assertEqual((line["rxf"], line["rxb"]), (sent[TARGET_TO_HOST, "packets"],
                                                              sent[TARGET_TO_HOST, "bytes"]))
                ends = {end["host"]: end for end in tap(session, "endpt:KD")["hosts"]}
                self.assertEqual(ends["target"]["txb"], sent[TARGET_TO_HOST, "bytes"])
                self.assertEqual(ends["debugger"]["rxb"], sent[TARGET_TO_HOST, "bytes"])

    def test_filters(self):
        path = PCAPS / "serial-session.pcapng"
        with kdtest.Sharkd(path) as session:
            [line] = tap(session, "conv:KD")["convs"]
        everything = kdtest.fields(path, ["frame.number"], filter="kd")
        self.assertEqual(kdtest.fields(path, ["frame.number"], filter=line["filter"]), everything)

    def test_two_lines(self):
        with kdtest.Sharkd(PCAPS / "two-interfaces.pcapng") as session:
            self.assertEqual(len(tap(session, "conv:KD")["convs"]), 2)

    def test_sessions_of_kdnet(self):
        """Three sessions of one pair of addresses: three lines, with the addresses."""
        with kdtest.Sharkd(PCAPS / "kdnet-rekey.pcapng",
                           "kdnet.key:wwa9qyd3yzr0.2wjshpipwi9el.316j4ftj9xwg9.96ggdc1icgbe"
                           ) as session:
            lines = tap(session, "conv:KD")["convs"]
        self.assertEqual(len(lines), 3)
        self.assertEqual(len({frozenset((line["saddr"], line["daddr"])) for line in lines}), 1)
        self.assertTrue(all(line["filter"].startswith("ip.addr==") for line in lines))


class Follow(unittest.TestCase):
    def test_prints_prompts_answers(self):
        for name in CLEAN:
            with self.subTest(name), kdtest.Sharkd(capture(name)) as session:
                self.assertEqual([(target, text) for _, target, text in followed(session)],
                                 texts(name))

    def test_what_windbg_printed(self):
        """WinDbg shows what the target prints; its text stands beside the recording."""
        # On the serial line WinDbg joined after the first print.
        for name, prefs, missed in (("windows-bootmgr-serial.jsonl", (), 1),
                                    ("windows-bootmgr-kdnet.pcap.gz", (BOOTMGR_KEY,), 0)):
            path = kdtest.captures(name)
            shown = path.with_name(name.split(".")[0] + ".txt").read_text(errors="replace")
            shown = re.sub(r"\s+", " ", shown)
            path = kdtest.recording(path) if name.endswith("jsonl") else path
            with self.subTest(name), kdtest.Sharkd(path, *prefs) as session:
                told = [re.sub(r"\s+", " ", text).strip() for _, _, text in followed(session)]
            self.assertEqual(len(told), 6)
            self.assertEqual([text for text in told[missed:] if text not in shown], [])

    def test_tshark(self):
        for two_pass in (False, True):
            told = output(PCAPS / "serial-session.pcapng", "follow,kd,ascii,0", two_pass=two_pass)
            self.assertIn("Node 0: debugger:0\nNode 1: target:0\n", told)
            self.assertIn("\t38\nAssertion failed: Break, Ignore (bi)? \n2\ni\n", told)

    def test_streams_apart(self):
        """Each line's text in its own stream, and no third stream."""
        with kdtest.Sharkd(PCAPS / "two-interfaces.pcapng") as session:
            told = [followed(session, stream) for stream in range(3)]
        frames = [{frame for frame, _, _ in one} for one in told]
        self.assertFalse(frames[0] & frames[1])
        self.assertEqual(told[2], [])

    def test_table_of_prints(self):
        with kdtest.Sharkd(capture("windbg-amd64")) as session:
            found = rows(session, "kd,prints")
        self.assertEqual([row["What"] for row in found], ["print", "prompt", "answer", "print"])
        self.assertEqual([row["Text"].rstrip() for row in found],
                         [text.rstrip() for _, text in texts("windbg-amd64")])


class Objects(unittest.TestCase):
    def exported(self, path, *prefs: str, two_pass: bool = False) -> dict[str, bytes]:
        folder = kdtest.scratch(f"objects-{self.id()}-{two_pass}")
        kdtest.tshark(["-q", "--export-objects", f"kd,{folder}"], path, *prefs, two_pass=two_pass)
        return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}

    def test_file_transfer(self):
        for two_pass in (False, True):
            found = self.exported(capture("windbg-file-transfer"), two_pass=two_pass)
            self.assertEqual(set(found), {"kdsim.efi", "kdsim.sys", "kdsim.sys.written"})
            self.assertEqual(len(found["kdsim.sys"]), 5000)
            self.assertEqual(hashlib.sha256(found["kdsim.sys"]).hexdigest(), FILE_SHA256)

    def test_twice_in_one_session(self):
        """Nothing tells the plugin that a list is made anew."""
        with kdtest.Sharkd(capture("windbg-file-transfer")) as session:
            first, second = tap(session, "eo:kd"), tap(session, "eo:kd")
            self.assertEqual(first, second)
            data = session.request("download", token=first["objects"][0]["_download"])
        self.assertEqual([entry["type"] for entry in first["objects"]],
                         ["file", "file, refused by the debugger", "image, incomplete"])
        self.assertEqual(hashlib.sha256(base64.b64decode(data["data"])).hexdigest(), FILE_SHA256)

    def test_image_headers(self):
        """As far as WinDbg read them: winload.efi's first bytes are those of an image."""
        path = kdtest.captures("windbg-uncut.pcapng.gz")
        found = self.exported(path, UNCUT_KEY, two_pass=True)
        headers = found["winload.efi.headers"]
        self.assertEqual(headers[:2], b"MZ")
        at = int.from_bytes(headers[0x3C:0x40], "little")
        self.assertEqual(headers[at:at + 6], b"PE\0\0\x64\x86")
        self.assertEqual(int.from_bytes(headers[at + 80:at + 84], "little"), 0x17D000)

    def carved(self, path, module: str, *options) -> bytes:
        """What the capture tool writes, or nothing when it says that there is no image."""
        if not KDLENS.exists():
            raise unittest.SkipTest(f"no {KDLENS} (KDLENS names the capture tool)")
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "image")
            done = subprocess.run([KDLENS, "carve", path, module, "-w", out, *options],
                                  capture_output=True, text=True)
            if done.returncode:
                self.assertIn("headers were not captured", done.stderr)
            return out.read_bytes() if out.exists() else b""

    def images(self, path, *prefs: str) -> dict[str, bytes]:
        """The same in one pass and in two."""
        once, twice = ({name: data for name, data in found.items() if data[:2] == b"MZ"
                        and not name.endswith(".headers")}
                       for found in (self.exported(path, *prefs, two_pass=two_pass)
                                     for two_pass in (False, True)))
        self.assertEqual(once, twice)
        return once

    def test_images(self):
        path = capture("windows-bootmgr-serial")
        found = self.images(path)
        self.assertEqual(set(found), {"BOOTX64.EFI"})
        self.assertEqual(found["BOOTX64.EFI"], self.carved(path, "BOOTX64"))
        self.assertGreater(len(found["BOOTX64.EFI"].strip(b"\0")), 0x1000)

    def test_images_of_kdnet(self):
        path = kdtest.captures("windows-bootmgr-kdnet.pcap.gz")
        found = self.images(path, BOOTMGR_KEY)
        self.assertEqual(set(found), {"BOOTX64.EFI", "kd_02_8086.dll"})
        with tempfile.NamedTemporaryFile("w") as key:
            print(BOOTMGR_KEY.partition(":")[2], file=key, flush=True)
            for name, image in found.items():
                self.assertEqual(
                    image, self.carved(path, name.partition(".")[0], "--key-file", key.name), name)

    def test_image_without_headers(self):
        """Modules of which nothing was read are no objects: the tool refuses them, too."""
        path = PCAPS / "serial-session.pcapng"
        for two_pass in (False, True):
            self.assertEqual(set(self.exported(path, two_pass=two_pass)),
                             {"kddemo.sys", "kddemo.sys.written"})  # transferred
        for module in ("ntoskrnl", "kddemo"):
            self.assertEqual(self.carved(path, module, "--at", "172"), b"")

    def test_images_of_a_second_capture(self):
        first, second = capture("windows-bootmgr-serial"), PCAPS / "serial-session.pcapng"
        alone = []
        for path in (first, second):
            with kdtest.Sharkd(path) as session:
                alone.append(tap(session, "eo:kd")["objects"])
        self.assertIn("BOOTX64.EFI", [entry["filename"] for entry in alone[0]])
        with kdtest.Sharkd(first) as session:
            self.assertEqual(tap(session, "eo:kd")["objects"], alone[0])
            for path, expected in ((second, alone[1]), (first, alone[0])):
                session.request("load", file=str(kdtest.staged(path)))
                for _ in range(2):
                    self.assertEqual(tap(session, "eo:kd")["objects"], expected)

    def test_nothing_of_nothing(self):
        self.assertEqual(self.exported(PCAPS / "breakin.pcapng"), {})


class Passes(unittest.TestCase):
    TAPS = ("kd,srt", "kd,tree", "kd,stops", "kd,prints", "conv,kd", "endpoints,kd",
            "follow,kd,yaml,0")

    def test_one_pass_and_two(self):
        paths = [(golden.capture, tuple(golden.preferences())) for golden in goldens.load()]
        paths.append((capture("windbg-amd64"), ()))
        paths.append((kdtest.captures("windbg-uncut.pcapng.gz"), (UNCUT_KEY,)))
        for path, prefs in paths:
            with self.subTest(path.name):
                once, twice = (output(path, *self.TAPS, prefs=prefs, two_pass=two_pass)
                               for two_pass in (False, True))
                self.assertEqual(once, twice)

    def test_a_second_capture(self):
        """One session loads one file after the other; each is told as if it were alone."""
        first, second = PCAPS / "serial-session.pcapng", PCAPS / "two-interfaces.pcapng"
        alone = []
        for path in (first, second):
            with kdtest.Sharkd(path) as session:
                alone.append(everything(session))
        with kdtest.Sharkd(first) as session:
            self.assertEqual(everything(session), alone[0])
            for path, expected in ((second, alone[1]), (first, alone[0]), (second, alone[1])):
                session.request("load", file=str(kdtest.staged(path)))
                self.assertEqual(everything(session), expected)

    def test_asking_again(self):
        with kdtest.Sharkd(PCAPS / "serial-session.pcapng") as session:
            self.assertEqual(everything(session), everything(session))


if __name__ == "__main__":
    kdtest.main()
