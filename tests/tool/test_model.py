# test_model.py - stops, modules, mem, writes, prints and stats on real captures and our own.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What a verb says is held against a decoder of its own (kdoracle.py), against what WinDbg printed
beside a recording, and against the description of the captures."""

import json
import re
import struct
import sys
import unittest
from pathlib import Path

import kdfiles
import kdoracle
import kdtest
from kdfiles import kdlens, scratch

sys.path.insert(0, str(kdfiles.REPOSITORY / "tests/dissector/generate"))
import capturefile
import kdwire

UNCUT_KEY = "8.8.8.8"
BOOTMGR_KEY = "1a2b3c4d5e6f7.8g9h0i1j2k3l.2m6n7o8p9q0r1.2s3t4u5v6w7x"
LOADED, EXCEPTION = 0x3031, 0x3030
SINGLE_STEP, BREAKPOINT = "0x80000004", "0x80000003"


def key_arguments(key: str) -> list:
    path = scratch(f"{key[:4]}.key")
    path.write_text(key + "\n")
    return ["--key-file", path]


class Capture:
    """A capture with the arguments it needs, and its oracle."""

    def __init__(self, path: Path, *arguments):
        self.path, self.arguments = path, arguments
        out = scratch("oracle.jsonl")
        kdlens("export", path, "--jsonl", out, *arguments)
        self.oracle = kdoracle.Session(kdtest.read_recording(out))

    def preferences(self) -> list[str]:
        """The key, for the plugin."""
        return [f"kdnet.key:{self.arguments[1].read_text().strip()}"] if self.arguments else []

    def text(self, verb: str, *arguments, status: int = 0) -> str:
        before = [verb] if verb != "mem" else [verb, arguments[0]]
        rest = arguments if verb != "mem" else arguments[1:]
        return kdlens(*before, self.path, *rest, *self.arguments, status=status).stdout

    def rows(self, verb: str, *arguments, status: int = 0) -> list[dict]:
        text = self.text(verb, *arguments, "--json", status=status)
        return [json.loads(line) for line in text.splitlines()]

    def bytes_at(self, address: int, size: int, *arguments, status: int = 0) -> bytes:
        rows = self.rows("mem", "read", f"{address:x}", f"{size:x}", *arguments, status=status)
        return b"".join(bytes.fromhex(row["bytes"]) for row in rows)


def imported(name: str) -> Path:
    path = scratch(f"{name}.pcapng")
    if not path.exists():
        kdlens("import", kdfiles.recording(name), "-w", path)
    return path


def number(text: str) -> int:
    return int(text.replace("`", ""), 16)


class Oracle:
    """What holds for every capture; subclasses say which."""

    def capture(self) -> Capture:
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        cls.it = cls().capture()

    def test_stops(self):
        rows = self.it.rows("stops")
        expected = self.it.oracle.stops
        self.assertEqual([(int(row["pc"], 16), row["processor"], row["cs"]) for row in rows],
                         [(stop.pc, stop.processor, hex(stop.cs) if row["cs"] != "0x0" else "0x0")
                          for row, stop in zip(rows, expected, strict=True)])
        self.assertEqual([row["reason"] for row in rows],
                         ["exception" if stop.state == EXCEPTION
                          else "unload" if stop.unload else "load" for stop in expected])
        self.assertEqual([int(row["code"], 16) for row in rows if row["reason"] == "exception"],
                         [stop.code for stop in expected if stop.state == EXCEPTION])
        for row, stop in zip(rows, expected):
            self.assertEqual(row["left"] != "not left", bool(stop.ended_by), row)
            self.assertLessEqual(row["requests"], len(stop.requests), row)
        frames = [row["frame"] for row in rows]
        self.assertEqual(frames, sorted(set(frames)))

    def test_reads_are_counted(self):
        totals = {row["space"]: row for row in self.it.rows("mem", "map")
                  if row["kind"] == "total"}
        self.assertEqual((totals["virtual"]["read_count"], totals["virtual"]["read_bytes"]),
                         self.it.oracle.count())
        self.assertEqual((totals["physical"]["read_count"], totals["physical"]["read_bytes"]),
                         self.it.oracle.count(physical=True))
        self.assertEqual(totals["virtual"]["known_bytes"], len(self.it.oracle.memory))
        self.assertEqual(totals["physical"]["known_bytes"], len(self.it.oracle.physical))

    def test_every_byte_of_memory(self):
        for memory, option in ((self.it.oracle.memory, []),
                               (self.it.oracle.physical, ["--physical"])):
            found = {}
            for row in self.it.rows("mem", "map"):
                if row["kind"] != "extent" or row["space"] != ("physical" if option else "virtual"):
                    continue
                start = int(row["address"], 16)
                data = self.it.bytes_at(start, row["size"], *option)
                self.assertEqual(len(data), row["size"])
                found.update((start + i, value) for i, value in enumerate(data))
            self.assertEqual(found, memory)

    def test_writes(self):
        rows = [row for row in self.it.rows("writes") if row["kind"] in ("memory", "physical")]
        self.assertEqual([(int(row["address"], 16), bytes.fromhex(row["bytes"])[:row["actual"]],
                           row["kind"] == "physical") for row in rows], self.it.oracle.writes)

    def test_prints(self):
        rows = [row for row in self.it.rows("prints") if row["kind"] == "print"]
        self.assertEqual([row["text"] for row in rows],
                         [text.decode("ascii") for text in self.it.oracle.prints])

    def test_stats(self):
        apis = {int(row["api"], 16): row for row in self.it.rows("stats") if row["kind"] == "api"}
        self.assertEqual({api for api, row in apis.items() if row["requests"]},
                         set(self.it.oracle.requests))
        for api, count in self.it.oracle.requests.items():
            # The oracle takes a request that was sent again under a new id for another one.
            self.assertLessEqual(apis[api]["requests"], count)
            self.assertLessEqual(count, apis[api]["requests"] + apis[api]["repeated"])

    def test_frames_are_wiresharks(self):
        kdfiles.with_plugin()
        shown = kdtest.fields(self.it.path, ["frame.number"], *self.it.preferences(),
                              filter="kd.state && !kd.expert.duplicate")
        self.assertEqual([row["frame"] for row in self.it.rows("stops")],
                         [int(frame) for frame, in shown])

    def test_text_has_the_same(self):
        self.assertEqual(len(re.findall(r"^stop \d", self.it.text("stops"), re.MULTILINE)),
                         len(self.it.oracle.stops))
        self.assertIn("virtual", self.it.text("mem", "map"))
        self.assertIn("STATE_MANIPULATE", self.it.text("stats"))


class Uncut(Oracle, unittest.TestCase):
    def capture(self) -> Capture:
        return Capture(kdtest.captures("windbg-uncut.pcapng.gz"), *key_arguments(UNCUT_KEY))

    def test_what_its_description_says(self):
        self.assertEqual(self.it.oracle.count(), (44, 4768))
        session = self.it.rows("stats")[0]
        self.assertEqual(session["file_creates"], 33)
        packets = {row["type"]: row["to_target"] + row["to_debugger"]
                   for row in self.it.rows("stats") if row["kind"] == "packets"}
        self.assertEqual(packets, {"ACKNOWLEDGE": 259, "STATE_MANIPULATE": 187, "FILE_IO": 66,
                                   "DEBUG_IO": 7, "STATE_CHANGE64": 3, "RESEND": 2, "RESET": 2})

    def test_the_module_ends_with_the_session(self):
        module, = self.it.rows("modules")
        self.assertEqual((module["name"], module["base"], module["size"]),
                         ("winload", "0x96f000", "0x17d000"))
        last = self.it.rows("stops")[-1]
        self.assertEqual((last["reason"], last["base"]), ("unload", "0xffffffffffffffff"))
        self.assertEqual(module["unloaded_frame"], last["frame"])
        self.assertEqual(len(self.it.rows("modules", "--at", module["loaded_frame"])), 1)
        self.assertEqual(self.it.rows("modules", "--at", module["loaded_frame"] - 1), [])


class BootmgrText:
    """The Windows boot manager's sessions: what WinDbg printed in them."""

    def printed(self) -> str:
        return kdtest.captures(self.NAME + ".txt").read_text()

    def test_modules(self):
        listed = re.findall(r"^([0-9a-f]{8}`[0-9a-f]{8}) ([0-9a-f]{8}`[0-9a-f]{8})   (\w+)",
                            self.printed(), re.MULTILINE)
        self.assertEqual({(int(row["base"], 16), int(row["base"], 16) + int(row["size"], 16),
                           row["name"]) for row in self.it.rows("modules")},
                         {(number(start), number(end), name) for start, end, name in listed})

    def test_image_headers(self):
        stamp = re.search(r"^([0-9A-F]{8}) time date stamp", self.printed(), re.MULTILINE)[1]
        checksum = re.search(r"^ *([0-9A-F]+) checksum", self.printed(), re.MULTILINE)[1]
        module, = [row for row in self.it.rows("modules") if row["name"] == "BOOTX64"]
        self.assertEqual(int(module["timestamp"], 16), int(stamp, 16))
        self.assertEqual(int(module["checksum"], 16), int(checksum, 16))
        self.assertEqual(module["machine"], "0x8664")

    def test_stops_of_the_text(self):
        stops = [row for row in self.it.rows("stops") if row["reason"] == "exception"]
        rips = [number(rip) for rip in re.findall(r"^rip=([0-9a-f]{16})", self.printed(),
                                                  re.MULTILINE)]
        self.assertEqual(rips[0], int(stops[0]["pc"], 16))
        self.assertIn(rips[1], [int(stop["pc"], 16) for stop in stops])
        for stop in stops:
            self.assertEqual((stop["mode"], stop["cs"]), ("64-bit", "0x38"))
        # Printed for a break instruction of the target's code, not for breakpoints and steps.
        self.assertEqual(self.printed().count("Break instruction exception"), 3)
        self.assertEqual([stop["code"] for stop in stops].count(SINGLE_STEP), 3)
        self.assertEqual([stop["left"] for stop in stops].count("step"), 1)

    def test_breakpoints_of_the_text(self):
        address = number(re.search(r"^ 0 e ([0-9a-f`]{17})", self.printed(), re.MULTILINE)[1])
        planted, = [row for row in self.it.rows("writes") if row["kind"] == "breakpoint-set"]
        self.assertEqual(int(planted["address"], 16), address)
        self.assertIn((hex(address), BREAKPOINT),
                      [(row["pc"], row.get("code")) for row in self.it.rows("stops")])
        registers = [row["changed"] for row in self.it.rows("writes")
                     if row["kind"] == "control-space" and "KernelDr7" in row.get("changed", {})]
        # ba e1, ba w4, bc: Dr7 bit 0 enables, bits 16 and 17 are 1 for writes, 18 and 19 length 4.
        self.assertEqual([row["KernelDr7"][1] for row in registers], ["0x401", "0xd0401", "0x400"])

    def test_writes_of_the_text(self):
        rows = self.it.rows("writes")
        rsp = number(re.search(r"rsp=([0-9a-f]{16})", self.printed())[1])
        memory = [(row["kind"], int(row["address"], 16), row["bytes"]) for row in rows
                  if row["kind"] in ("memory", "physical")]
        self.assertEqual(memory[0], ("physical", 0x2000, "44332211"))          # ed /p 2000 11223344
        self.assertEqual(memory[1], ("memory", rsp - 0x100, "8877665544332211"))
        self.assertEqual(memory[2:], [("memory", rsp - 0x80 + i, ("aa", "55")[i % 2])
                                      for i in range(0x20)])                   # f @rsp-80 L20 aa 55
        port, = [row for row in rows if row["kind"] == "port"]
        self.assertEqual((port["address"], port["bytes"]), ("0x80", "41"))     # ob 80 41
        self.assertIn(["0x0", "0x1234567812345678"],
                      [row["changed"].get("Rax") for row in rows if "changed" in row])
        refused = [row for row in self.it.rows("writes", "--all") if row["kind"] == "msr"]
        self.assertEqual([row["address"] for row in refused], ["0x174"])       # wrmsr 174: no such
        self.assertEqual([row for row in rows if row["kind"] == "msr"], [])

    def dumps(self):
        """(address, bytes) of the first db and dq of the stack."""
        for line in self.printed().split("kd> db @rsp L80\n")[1].split("kd> dd")[0].splitlines():
            match = re.match(r"([0-9a-f`]{17})  ((?:[0-9a-f]{2}[ -]){16})", line)
            if match:
                yield number(match[1]), bytes.fromhex(match[2].replace("-", " "))

    def test_memory_of_the_text(self):
        stop = [row for row in self.it.rows("stops") if row["reason"] == "exception"][0]
        lines = list(self.dumps())
        self.assertEqual(len(lines), 8)
        for address, data in lines:
            self.assertEqual(self.it.bytes_at(address, 16, "--at", stop["left_frame"]), data)

    def test_memory_before_and_after_a_write(self):
        rsp = number(re.search(r"rsp=([0-9a-f]{16})", self.printed())[1])
        row = [row for row in self.it.rows("writes") if row["kind"] == "physical"][0]
        written = bytes.fromhex("44332211")
        at = ["--at", row["reply_frame"]]
        self.assertEqual(self.it.bytes_at(0x2000, 4, "--physical", *at), written)
        self.assertEqual(self.it.bytes_at(0x2000, 4, "--physical", "--at", row["frame"] - 1,
                                          status=1), b"")
        self.assertEqual(self.it.bytes_at(0x2000, 4, "--physical", "--without-writes", status=1),
                         b"")
        found = self.it.rows("mem", "find", "88 77 66 55 44 33 22 11")
        self.assertIn(rsp - 0x100, [int(hit["address"], 16) for hit in found])

    def test_prints_of_the_text(self):
        self.assertIn("*** Fatal Error 0x00000001 :", self.printed())
        said = self.it.text("prints").splitlines()
        for line in ("*** Fatal Error 0x00000001 :", "User requested boot debugger break!",
                     "The boot selection failed because a required device is inaccessible "
                     "(c000000e)."):
            self.assertIn(line, said)
            self.assertIn(line, self.printed().splitlines())


class BootmgrSerial(Oracle, BootmgrText, unittest.TestCase):
    NAME = "windows-bootmgr-serial"

    def capture(self) -> Capture:
        return Capture(imported(self.NAME))

    def test_noise_and_break_ins(self):
        session = self.it.rows("stats")[0]
        self.assertEqual(session["noise_bytes"], {"to_target": 0, "to_debugger": 280})
        self.assertEqual(session["breakins"], {"to_target": 2, "to_debugger": 0})


class BootmgrKdnet(Oracle, BootmgrText, unittest.TestCase):
    NAME = "windows-bootmgr-kdnet"

    def capture(self) -> Capture:
        return Capture(kdtest.captures(self.NAME + ".pcap.gz"), *key_arguments(BOOTMGR_KEY))


class Amd64(Oracle, unittest.TestCase):
    """Searches, fills, prompts, a load event, a command string."""

    def capture(self) -> Capture:
        return Capture(imported("windbg-amd64"))

    def test_stops(self):
        rows = self.it.rows("stops")
        self.assertEqual([int(row["pc"], 16) for row in rows],
                         [stop.pc for stop in self.it.oracle.stops])
        self.assertIn("command", [row["reason"] for row in rows])

    def test_prompt_and_answer(self):
        kinds = [row["kind"] for row in self.it.rows("prints")]
        self.assertEqual(kinds.count("prompt"), 1)
        self.assertEqual(kinds[kinds.index("prompt") + 1], "answer")
        self.assertEqual(kinds.count("command"), 1)

    def test_fill_is_one_write(self):
        fill, = [row for row in self.it.rows("writes") if row["kind"] == "fill"]
        self.assertEqual(fill["actual"], fill["size"])


class Arm64(unittest.TestCase):
    def test_stops_and_module(self):
        it = Capture(imported("windbg-arm64"))
        rows = it.rows("stops")
        self.assertEqual([int(row["pc"], 16) for row in rows], [s.pc for s in it.oracle.stops])
        self.assertEqual({row["mode"] for row in rows}, {"64-bit"})
        module, = it.rows("modules")
        listed = re.search(r"^([0-9a-f`]{17}) ([0-9a-f`]{17})   (\w+)",
                           kdtest.captures("windbg-arm64.txt").read_text(), re.MULTILINE)
        self.assertEqual((int(module["base"], 16), module["name"]), (number(listed[1]), listed[3]))
        self.assertEqual(module["sources"][0], "list")


class X86(Oracle, unittest.TestCase):
    def capture(self) -> Capture:
        return Capture(imported("windbg-x86"))

    def test_stops(self):
        rows = self.it.rows("stops")
        self.assertEqual([int(row["pc"], 16) for row in rows],
                         [stop.pc for stop in self.it.oracle.stops])
        self.assertEqual({row["mode"] for row in rows}, {"32-bit"})

    def test_every_byte_of_memory(self):
        self.skipTest("the oracle knows the 64-bit control report only")

    test_reads_are_counted = test_every_byte_of_memory


class Files(unittest.TestCase):
    def test_file_requests(self):
        it = Capture(imported("windbg-file-transfer"))
        session = it.rows("stats")[0]
        self.assertEqual([session[f"file_{what}"] for what in ("creates", "reads", "writes",
                                                               "closes")], [2, 4, 1, 1])


class Sessions(unittest.TestCase):
    """Captures made here: several sessions, TCP, what is no capture."""

    PCAPS = kdfiles.REPOSITORY / "pcaps"

    def test_two_sessions(self):
        capture = self.PCAPS / "two-interfaces.pcapng"
        rows = [json.loads(line) for line in
                kdlens("stats", capture, "--json").stdout.splitlines()]
        self.assertEqual({row["session"] for row in rows}, {1, 2})
        only = [json.loads(line) for line in
                kdlens("stats", capture, "--json", "--session", 2).stdout.splitlines()]
        self.assertEqual(only, [row for row in rows if row["session"] == 2])
        done = kdlens("stats", capture, "--session", 9, status=1)
        self.assertIn("has no session 9", done.stderr)

    def test_tcp_is_the_serial_session(self):
        """The same bytes in TCP segments: one connection with KD, in order or not."""
        recording = kdfiles.recording("windbg-arm64")
        serial = Capture(imported("windbg-arm64"))
        for shuffle in (False, True):
            path = scratch(f"tcp-{shuffle}.pcap")
            path.write_bytes(tcp_capture(kdtest.read_recording(recording), shuffle))
            tcp = Capture(path)
            for verb in ("writes", "prints"):
                self.assertEqual([strip(row) for row in tcp.rows(verb)],
                                 [strip(row) for row in serial.rows(verb)])
            self.assertEqual([strip(row) for row in tcp.rows("stops")],
                             [strip(row) for row in serial.rows("stops")])

    def test_hole_in_tcp(self):
        chunks = kdtest.read_recording(kdfiles.recording("windbg-arm64"))
        path = scratch("hole.pcap")
        path.write_bytes(tcp_capture(chunks, False, lost=len(chunks) // 2))
        session = json.loads(kdlens("stats", path, "--json").stdout.splitlines()[0])
        self.assertEqual(session["gaps"], 1)
        self.assertEqual(session["gap_bytes"], len(chunks[len(chunks) // 2].data))

    def test_no_key(self):
        capture = self.PCAPS / "kdnet-session.pcapng"
        done = kdlens("stops", capture, status=0 if has_key(capture) else 1)
        if not has_key(capture):
            self.assertIn("--key-file", done.stderr)

    def test_wrong_key(self):
        other = key_arguments("3cfrbosrwcxuw.34z6qdr5lrgqy.6xlyjahdtsjq.1mxt900op5wop")
        done = kdlens("stats", kdtest.captures("windbg-uncut.pcapng.gz"), *other, status=1)
        self.assertIn("cannot be opened", done.stderr)
        # As its description counts them: 428 of the control channel, 527 of data.
        self.assertRegex(done.stdout, r"sealed +428\n *before the key exchange +527\n")

    def test_what_is_no_capture(self):
        path = scratch("text")
        path.write_text("hello\n")
        for verb in (["stops"], ["modules"], ["mem", "map"], ["writes"], ["prints"], ["stats"]):
            kdlens(*verb, path, status=1)
            kdlens(*verb, scratch("missing"), status=1)
            kdlens(*verb, status=2)

    def test_arguments_of_mem(self):
        capture = imported("windbg-arm64")
        kdlens("mem", "read", capture, status=2)
        kdlens("mem", "read", capture, "nobody+10", status=2)
        kdlens("mem", "read", capture, "1000", "xyz", status=2)
        kdlens("mem", "find", capture, "zz", status=2)
        kdlens("mem", "find", capture, "ff ee dd cc bb aa 99 88 77", status=1)
        done = kdlens("mem", "read", capture, "kdsim+0", "2")
        self.assertRegex(done.stdout, r"^fffff800`00400000  4d 5a")
        done = kdlens("mem", "read", capture, "1000", "10", status=1)
        self.assertIn("?? ??", done.stdout)


def has_key(capture: Path) -> bool:
    return "key in" in kdlens("keys", "list", capture).stdout


def strip(row: dict) -> dict:
    """Without what depends on how the session was captured."""
    return {name: value for name, value in row.items()
            if "frame" not in name and "time" not in name and name not in ("stopped", "session")}


def tcp_capture(chunks, shuffle: bool, lost: int = -1) -> bytes:
    """A pcap file: the debugger connects to port 5555; shuffle: neighbours change places, and some
    segments come twice. lost: this chunk was on the line, but is not in the file."""
    ends = {"h2t": (b"\x0a\0\0\1", 40000), "t2h": (b"\x0a\0\0\2", 5555)}
    sequence = {"h2t": 1000, "t2h": 0xFFFFFF00}
    frames, time = [], 0

    def segment(direction: str, flags: int, data: bytes) -> bytes:
        other = "t2h" if direction == "h2t" else "h2t"
        tcp = struct.pack(">HHIIBBHHH", ends[direction][1], ends[other][1],
                          sequence[direction] & 0xFFFFFFFF, sequence[other] & 0xFFFFFFFF, 5 << 4,
                          flags, 8192, 0, 0) + data
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0,
                         ends[direction][0], ends[other][0])
        return b"\2" * 6 + b"\1" * 6 + b"\x08\0" + ip + tcp

    frames.append(segment("h2t", 2, b""))
    sequence["h2t"] += 1
    frames.append(segment("t2h", 0x12, b""))
    sequence["t2h"] += 1
    for i, chunk in enumerate(chunks):
        if i != lost:
            for at in range(0, len(chunk.data), 1400):
                frames.append(segment(chunk.direction, 0x18, chunk.data[at:at + 1400]))
                sequence[chunk.direction] += len(chunk.data[at:at + 1400])
        else:
            sequence[chunk.direction] += len(chunk.data)
    if shuffle:
        for i in range(2, len(frames) - 1, 5):
            # Only segments of one direction: what crosses has no order.
            if frames[i][26:30] == frames[i + 1][26:30]:
                frames[i], frames[i + 1] = frames[i + 1], frames[i]
            if i % 3 == 0:
                frames.insert(i, frames[i])
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for frame in frames:
        time += 1
        out += struct.pack("<IIII", time // 1000, time % 1000 * 1000, len(frame), len(frame))
        out += frame
    return out


if __name__ == "__main__":
    kdfiles.main()
