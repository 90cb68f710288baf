# test_capture_probes.py - what Windows' boot debugger answered to probes, decoded again.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""windows-boot-debugger-answers.jsonl holds replies in parts: API, status, union and data of each.

They are put together to packets here (data was cut to 64 bytes when it was recorded; zeros stand
for the rest) and must come out of the plugin with the values that were recorded. UNIONS says where
those lie, as the protocol has it.
"""

import json
import struct
import unittest
from functools import lru_cache

import kdcapture as kd
import kdtest

RECORDING = "windows-boot-debugger-answers.jsonl"

MEMORY = {"kd.address": (0, "Q"), "kd.count": (8, "I"), "kd.actual": (12, "I")}
PHYSICAL = {"kd.physical_address": (0, "Q"), "kd.count": (8, "I"), "kd.actual": (12, "I")}
CONTROL = {"kd.control_space": (0, "Q"), "kd.count": (8, "I"), "kd.actual": (12, "I")}
PORT = {"kd.port": (0, "Q"), "kd.io.size": (8, "I"), "kd.io.value": (12, "I")}
PORT_EXTENDED = {"kd.io.size": (0, "I"), "kd.io.interface": (4, "I"), "kd.io.bus": (8, "I"),
                 "kd.io.space": (12, "I"), "kd.port": (16, "Q"), "kd.io.value": (24, "I")}
MSR = {"kd.msr": (0, "I"), "kd.msr.low": (4, "I"), "kd.msr.high": (8, "I")}
BUS = {"kd.bus.type": (0, "I"), "kd.bus.number": (4, "I"), "kd.bus.slot": (8, "I"),
       "kd.bus.offset": (12, "I"), "kd.bus.length": (16, "I")}

# Fields of the replies by ApiNumber.
UNIONS = {
    0x3130: MEMORY, 0x3131: MEMORY, 0x313D: PHYSICAL, 0x313E: PHYSICAL,
    0x3137: CONTROL, 0x3138: CONTROL,
    0x3134: {"kd.address": (0, "Q"), "kd.handle": (8, "I")},
    0x3135: {"kd.handle": (0, "I")},
    0x3139: PORT, 0x313A: PORT, 0x3144: PORT_EXTENDED, 0x3145: PORT_EXTENDED,
    0x3152: MSR, 0x3153: MSR, 0x3157: BUS, 0x3158: BUS,
    0x315B: {"kd.address": (0, "Q"), "kd.fill.length": (8, "I"), "kd.fill.flags": (12, "H"),
             "kd.fill.pattern_length": (14, "H")},
    0x315C: {"kd.address": (0, "Q"), "kd.query.space": (16, "I"), "kd.query.flags": (20, "I")},
    # The size of the whole CONTEXT stands where the request has the size wanted.
    0x315F: {"kd.context.offset": (0, "I"), "kd.context.total": (4, "I"),
             "kd.context.bytes_copied": (8, "I")},
    0x3160: {"kd.context.offset": (0, "I"), "kd.context.byte_count": (4, "I")},
    0x3146: {"kd.version.major": (0, "H"), "kd.version.build": (2, "H"),
             "kd.version.protocol": (4, "B"), "kd.version.secondary": (5, "B"),
             "kd.version.flags": (6, "H"), "kd.version.machine": (8, "H"),
             "kd.version.max_packet_type": (10, "B"), "kd.version.max_state_change": (11, "B"),
             "kd.version.max_manipulate": (12, "B"), "kd.version.simulation": (13, "B"),
             "kd.version.kern_base": (16, "Q"), "kd.version.module_list": (24, "Q"),
             "kd.version.data_list": (32, "Q")},
}

# What only a success fills: not shown as a fact of a reply that failed.
RESULTS = {"kd.io.value", "kd.msr.low", "kd.msr.high"}


def value(layout: tuple, union: bytes) -> int:
    offset, code = layout
    return struct.unpack_from("<" + code, union, offset)[0]


@lru_cache(maxsize=None)
def records() -> list[dict]:
    with open(kdtest.captures(RECORDING), encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def answered() -> list[dict]:
    return [record for record in records() if record.get("rapi")]


def payload_of(record: dict) -> tuple[int, bytes] | None:
    """Packet type and payload of what a record says the target sent."""
    if record.get("rapi"):
        data = bytes.fromhex(record["data"]).ljust(record["dlen"], b"\0")
        header = struct.pack("<IHHI4x", int(record["rapi"], 16), 0, 0, int(record["status"], 16))
        return kd.STATE_MANIPULATE, header + bytes.fromhex(record["union"]) + data
    if record["probe"] == "connect print":
        return kd.DEBUG_IO, bytes.fromhex(record["hdr"]) + record["text"].encode()
    if record["probe"] == "connect file io":
        return kd.FILE_IO, bytes.fromhex(record["hdr"]) + record["file"].encode("utf-16le")
    if record["probe"] == "connect state":
        parts = (record[part] for part in ("head", "union", "report", "tail"))
        return kd.STATE_CHANGE64, bytes.fromhex("".join(parts))
    return None


def packet(packet_type: int, identifier: int, payload: bytes) -> bytes:
    return struct.pack("<4sHHII", b"0000", packet_type, len(payload), identifier,
                       sum(payload)) + payload + b"\xaa"


@lru_cache(maxsize=None)
def decoded() -> list[tuple[dict, kd.Unit]]:
    """Each record with something sent, and the packet made of it as the plugin shows it."""
    sent = [(record, *payload_of(record)) for record in records() if payload_of(record)]
    path = kdtest.scratch("probes.pcapng")
    kdtest.write_stream(path, [
        kdtest.Chunk(number * 1_000_000, kdtest.TARGET_TO_HOST,
                     packet(packet_type, 0x80800000 | number % 2, payload))
        for number, (_, packet_type, payload) in enumerate(sent)])
    packets = kd.packets(path)
    return [(record, shown) for (record, _, _), shown in zip(sent, packets, strict=True)]


def replies() -> list[tuple[dict, kd.Unit]]:
    return [(record, shown) for record, shown in decoded() if record.get("rapi")]


class Answers(unittest.TestCase):
    def test_how_many(self):
        """178 records; each reply among them became one packet."""
        self.assertEqual(len(records()), 178)
        self.assertEqual(len(replies()), len(answered()))
        self.assertGreater(len(replies()), 120)

    def test_api_and_status(self):
        """ApiNumber and ReturnStatus of every reply, also of APIs that do not exist."""
        for record, shown in replies():
            with self.subTest(probe=record["probe"]):
                self.assertEqual(shown.api, int(record["rapi"], 16))
                self.assertEqual(shown.number("kd.status"), int(record["status"], 16))

    def test_unions(self):
        """Addresses, counts, ports, registers...: each at its place in the union."""
        compared = 0
        for record, shown in replies():
            union = bytes.fromhex(record["union"])
            failed = int(record["status"], 16) >= 0x80000000
            for name, layout in UNIONS.get(shown.api, {}).items():
                with self.subTest(probe=record["probe"], field=name):
                    if not (failed and name in RESULTS and name not in shown):
                        self.assertEqual(shown.number(name), value(layout, union))
                        compared += 1
        print(f"{compared} values of unions compared")
        self.assertGreater(compared, 300)

    def test_register_values(self):
        """The two halves of an MSR as one value."""
        found = {record["probe"]: shown.number("kd.msr.value") for record, shown in replies()
                 if shown.api == kd.READ_MSR}
        self.assertEqual(found, {"msr 1b": 0xFEE00900, "msr c0000080": 0xD00, "msr 12345678": 0,
                                 "msr 40000000": 0, "msr efer": 0xD00})

    def test_data(self):
        """Data behind the union: its length, and the bytes that were recorded."""
        for record, shown in replies():
            if record["dlen"] and "kd.data" in shown:
                with self.subTest(probe=record["probe"]):
                    data = shown.data("kd.data")
                    self.assertEqual(len(data), record["dlen"])
                    self.assertEqual(data[:64].hex(), record["data"])
            elif not record["dlen"] and "kd.expert.unknown_api" not in shown:
                self.assertNotIn("kd.data", shown)

    def test_contexts(self):
        """ContextFlags and segments of the AMD64 CONTEXT, whole or from an offset."""
        checked = 0
        for record, shown in replies():
            if shown.api not in (kd.GET_CONTEXT, kd.GET_CONTEXT_EX) or record["dlen"] < 16:
                continue
            offset = shown.number("kd.context.offset") or 0
            data = bytes.fromhex(record["data"])
            for name, at, code in (("flags", 0x30, "I"), ("mxcsr", 0x34, "I"), ("cs", 0x38, "H"),
                                   ("ds", 0x3A, "H"), ("es", 0x3C, "H"), ("fs", 0x3E, "H")):
                if offset <= at <= offset + len(data) - struct.calcsize(code):
                    checked += 1
                    self.assertEqual(shown.number(f"kd.context.{name}"),
                                     value((at - offset, code), data), record["probe"])
                else:
                    self.assertNotIn(f"kd.context.{name}", shown)
        self.assertGreater(checked, 30)

    def test_special_registers(self):
        """Control space 2: Cr0, Cr3 and Cr4, and only as many as were sent."""
        for record, shown in replies():
            if shown.api != kd.READ_CONTROL_SPACE or not record["dlen"]:
                continue
            data = bytes.fromhex(record["data"])
            if shown.number("kd.control_space") == 2:
                for name, at in (("cr0", 0), ("cr2", 8), ("cr3", 16), ("cr4", 24)):
                    expected = value((at, "Q"), data) if record["dlen"] >= at + 8 else None
                    self.assertEqual(shown.number(f"kd.special.{name}"), expected)
            else:
                self.assertEqual(shown.number("kd.control_space.pointer"), value((0, "Q"), data))

    def test_no_reply_is_a_problem(self):
        """Nothing a Windows target answers is malformed, or of a wrong length."""
        for record, shown in decoded():
            with self.subTest(probe=record["probe"]):
                self.assertNotIn("kd.expert.length", shown)
        self.assertEqual(kdtest.problems(kdtest.scratch("probes.pcapng")), [])

    def test_unknown_apis(self):
        """APIs outside the table are called unknown, all others are not."""
        known = {*range(0x3130, 0x314A), *range(0x3150, 0x3163)}
        for record, shown in replies():
            with self.subTest(probe=record["probe"]):
                self.assertEqual("kd.expert.unknown_api" in shown, shown.api not in known)


class Connecting(unittest.TestCase):
    def shown(self, probe: str) -> list[tuple[dict, kd.Unit]]:
        return [(record, shown) for record, shown in decoded() if record["probe"] == probe]

    def test_prints(self):
        """The text of each print."""
        prints = self.shown("connect print")
        self.assertEqual(len(prints), 3)
        for record, shown in prints:
            self.assertEqual(shown.text("kd.text"), record["text"])

    def test_file_request(self):
        """CreateFile for the boot manager's MUI file: access, attributes, sharing, disposition."""
        [(record, shown)] = self.shown("connect file io")
        self.assertEqual(shown.text("kd.file.path"), record["file"].rstrip("\0"))
        stated = {"access": 0x120089, "attributes": 0x80, "share": 1, "disposition": 1}
        self.assertEqual({name: shown.number(f"kd.file.{name}") for name in stated}, stated)

    def test_load_event(self):
        """BOOTX64.EFI: base, size, checksum and path out of a union full of stack bytes."""
        (record, shown), _ = self.shown("connect state")
        union = bytes.fromhex(record["union"])
        self.assertEqual(shown.number("kd.state"), kd.LOAD_SYMBOLS)
        self.assertEqual(shown.number("kd.module.base"), value((8, "Q"), union))
        self.assertEqual(shown.number("kd.module.process"), value((16, "Q"), union))
        self.assertEqual(shown.number("kd.module.checksum"), value((24, "I"), union))
        self.assertEqual(shown.number("kd.module.size"), value((28, "I"), union))
        self.assertEqual(shown.text("kd.module.path").encode() + b"\0",
                         bytes.fromhex(record["tail"]))

    def test_stop(self):
        """The breakpoint: code, address, program counter and control report."""
        _, (record, shown) = self.shown("connect state")
        head, union, report = (bytes.fromhex(record[part]) for part in ("head", "union", "report"))
        self.assertEqual(shown.number("kd.state"), kd.EXCEPTION)
        self.assertEqual(shown.number("kd.pc"), value((24, "Q"), head))
        self.assertEqual(shown.number("kd.exception.code"), 0x80000003)
        self.assertEqual(shown.number("kd.exception.address"), value((16, "Q"), union))
        self.assertEqual(shown.number("kd.exception.parameters"), value((24, "I"), union))
        self.assertEqual(shown.number("kd.exception.first_chance"), value((152, "I"), union))
        self.assertEqual(shown.number("kd.report.dr6"), value((0, "Q"), report))
        self.assertEqual(shown.number("kd.report.dr7"), value((8, "Q"), report))
        self.assertEqual(shown.number("kd.report.eflags"), value((16, "I"), report))
        self.assertEqual(shown.data("kd.report.instructions"), report[24:40])
        self.assertEqual(shown.number("kd.report.cs"), 0x38)


def setUpModule():
    kdtest.captures()  # skips all tests at once


if __name__ == "__main__":
    kdtest.main()
