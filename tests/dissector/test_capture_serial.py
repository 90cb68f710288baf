# test_capture_serial.py - recorded COM ports: windbg-*, radare2-*, the boot manager, the storm.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Facts of the captures' README, and every byte of every recording.

The recordings of which the README states no counts, and all of them for the order of packets, are
compared with scan(): twenty lines that find packets in a whole stream at once, where the plugin
sees one record after the other.
"""

import hashlib
import random
import struct
import unittest
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

import kdcapture as kd
import kdtest
from kdtest import HOST_TO_TARGET, TARGET_TO_HOST

RECORDINGS = ["windbg-amd64", "windbg-arm64", "windbg-x86", "windbg-file-transfer",
              "radare2-xen-kdd", "radare2-session", "radare2-bad-checksum",
              "windows-bootmgr-serial", "windows-reset-storm"]

FLOWS = {HOST_TO_TARGET: kd.TO_TARGET, TARGET_TO_HOST: kd.TO_DEBUGGER}


class Stated(NamedTuple):
    """What the README says of one recording."""

    host: dict
    target: dict
    breakins: int
    apis: dict  # requests of the debugger by ApiNumber; those of the file transfer are not stated


STATED = {
    "windbg-amd64": Stated(
        {"ACKNOWLEDGE": 367, "STATE_MANIPULATE": 365, "DEBUG_IO": 1, "RESET": 1},
        {"ACKNOWLEDGE": 366, "STATE_MANIPULATE": 331, "DEBUG_IO": 3, "STATE_CHANGE64": 33,
         "RESET": 1},
        10,
        {0x3130: 138, 0x3131: 24, 0x3133: 9, 0x3134: 6, 0x3135: 38, 0x3136: 1, 0x3137: 12,
         0x3138: 9, 0x3139: 3, 0x313A: 3, 0x313C: 32, 0x313D: 1, 0x313E: 1, 0x3146: 2, 0x3152: 2,
         0x3153: 1, 0x3156: 37, 0x315A: 1, 0x315B: 1, 0x315C: 7, 0x315F: 37}),
    "windbg-arm64": Stated(
        {"ACKNOWLEDGE": 125, "STATE_MANIPULATE": 125, "RESET": 1},
        {"ACKNOWLEDGE": 125, "STATE_MANIPULATE": 118, "DEBUG_IO": 1, "STATE_CHANGE64": 6,
         "RESET": 1},
        4,
        {0x3130: 49, 0x3131: 4, 0x3133: 3, 0x3134: 1, 0x3135: 33, 0x3137: 9, 0x3138: 3, 0x313C: 6,
         0x3146: 2, 0x3152: 1, 0x3153: 1, 0x315A: 1, 0x315C: 3, 0x315F: 9}),
    "windbg-x86": Stated(
        {"ACKNOWLEDGE": 387, "STATE_MANIPULATE": 387, "RESET": 1},
        {"ACKNOWLEDGE": 387, "STATE_MANIPULATE": 380, "DEBUG_IO": 1, "STATE_CHANGE64": 6,
         "RESET": 1},
        4,
        {0x3130: 313, 0x3131: 4, 0x3133: 4, 0x3134: 1, 0x3135: 33, 0x3137: 6, 0x3138: 4, 0x313C: 6,
         0x3146: 2, 0x3152: 1, 0x3153: 1, 0x315A: 1, 0x315C: 3, 0x315F: 8}),
    "windbg-file-transfer": Stated(
        {"ACKNOWLEDGE": 77, "STATE_MANIPULATE": 69, "FILE_IO": 8, "RESET": 1},
        {"ACKNOWLEDGE": 77, "STATE_MANIPULATE": 66, "FILE_IO": 8, "DEBUG_IO": 1,
         "STATE_CHANGE64": 2, "RESET": 1},
        3, {}),
    "windows-bootmgr-serial": Stated(
        {"ACKNOWLEDGE": 324, "STATE_MANIPULATE": 316, "FILE_IO": 4, "RESET": 1},
        {"ACKNOWLEDGE": 318, "STATE_MANIPULATE": 308, "DEBUG_IO": 7, "FILE_IO": 2,
         "STATE_CHANGE64": 8, "RESET": 1, "RESEND": 1},
        2,
        {0x3130: 188, 0x3131: 33, 0x3133: 8, 0x3134: 1, 0x3135: 33, 0x3137: 13, 0x3138: 8,
         0x3139: 2, 0x313A: 1, 0x313C: 8, 0x313D: 2, 0x313E: 1, 0x3146: 2, 0x3152: 2, 0x3153: 1,
         0x315F: 13}),
}

# Requests that are never answered.
SILENT = {kd.CONTINUE, kd.CONTINUE2, kd.CLEAR_ALL_INTERNAL_BREAKPOINTS}


# --- packets in bytes, found another way


class Found(NamedTuple):
    """A packet, a break-in or one byte of noise."""

    kind: str  # "packet", "break-in", "noise"
    data: bytes

    def header(self) -> tuple:
        return struct.unpack_from("<4sHHII", self.data)


def scan(stream: bytes, direction: str) -> list[Found]:
    """One direction, cut up; an alien byte is a break-in if it is 0x62 and the debugger's."""
    found = []
    at = 0
    while at < len(stream):
        size = packet_size(stream[at:at + 5000])
        kind = "packet"
        if not size:
            size = 1
            asks = direction == HOST_TO_TARGET and stream[at] == 0x62
            kind = "break-in" if asks else "noise"
        found.append(Found(kind, stream[at:at + size]))
        at += size
    return found


def packet_size(data: bytes) -> int:
    """Size of the packet that begins here, 0 if none does."""
    if len(data) < 16 or data[:4] not in (b"0000", b"iiii"):
        return 0
    packet_type, count = struct.unpack_from("<HH", data, 4)
    if data[:4] == b"iiii":
        return 16
    plausible = 0 < packet_type < 12 and count <= 4000
    return 17 + count if plausible and data[16 + count:17 + count] == b"\xaa" else 0


@lru_cache(maxsize=None)
def stream(name: str, direction: str) -> bytes:
    chunks = kdtest.read_recording(kdtest.captures(f"{name}.jsonl"))
    return b"".join(chunk.data for chunk in chunks if chunk.direction == direction)


@lru_cache(maxsize=None)
def found_in(name: str, direction: str) -> list[Found]:
    return scan(stream(name, direction), direction)


def headers_shown(packet: kd.Unit) -> tuple:
    """Leader, type, size, id and checksum, as decoded."""
    return (packet.number("kd.leader").to_bytes(4, "little"),
            *(packet.number(f"kd.{name}") for name in ("type", "length", "id", "checksum")))


# --- the same bytes in other records


def pieces(chunks: list[kdtest.Chunk], choose) -> list[kdtest.Chunk]:
    """The bytes of each chunk in pieces of choose() bytes."""
    made = []
    for chunk in chunks:
        at = 0
        while at < len(chunk.data):
            size = choose()
            made.append(chunk._replace(data=chunk.data[at:at + size]))
            at += size
    return made


def joined(chunks: list[kdtest.Chunk]) -> list[kdtest.Chunk]:
    """Chunks of one direction that follow each other as one: many packets in a record."""
    made: list[kdtest.Chunk] = []
    for chunk in chunks:
        if made and made[-1].direction == chunk.direction:
            made[-1] = made[-1]._replace(data=made[-1].data + chunk.data)
        else:
            made.append(chunk)
    return made


def recut(name: str, how: str):
    """A recording with its records cut in another way."""
    recorded = kdtest.read_recording(kdtest.captures(f"{name}.jsonl"))
    chance = random.Random(name)
    path = kdtest.scratch(f"{name}-{how}.pcapng")
    if not path.exists():
        chunks = {"bytes": lambda: pieces(recorded, lambda: 1),
                  "random": lambda: pieces(joined(recorded), lambda: chance.randint(1, 60)),
                  "joined": lambda: joined(recorded)}[how]()
        kdtest.write_stream(path, chunks)
    return path


def contents(capture, direction: str) -> tuple[list[dict], bytes]:
    """What a direction says: its packets and break-ins, and its noise, which has no pieces."""
    units = [unit for unit in kd.units(capture, filter="kd.type or kd.breakin or kd.noise")
             if unit.flow == FLOWS[direction]]
    return ([unit.content() for unit in units if "kd.noise" not in unit],
            b"".join(unit.data("kd.noise") for unit in units if "kd.noise" in unit))


class SerialTest(unittest.TestCase):
    def each(self, check, names=RECORDINGS):
        """check(name) for each recording, in a sub-test."""
        for name in names:
            with self.subTest(recording=name):
                check(name)

    @staticmethod
    def units(name: str) -> list[kd.Unit]:
        return kd.units(kdtest.recording(kdtest.captures(f"{name}.jsonl")))

    def packets(self, name: str) -> list[kd.Unit]:
        return [unit for unit in self.units(name) if unit.type is not None]


class Counts(SerialTest):
    def check_types(self, name: str):
        packets = self.packets(name)
        self.assertEqual(kd.types(packets, kd.TO_TARGET), STATED[name].host)
        self.assertEqual(kd.types(packets, kd.TO_DEBUGGER), STATED[name].target)

    def test_types(self):
        """Packets of each side by type, as in the README."""
        self.each(self.check_types, STATED)

    def check_breakins(self, name: str):
        breakins = [unit for unit in self.units(name) if "kd.breakin" in unit]
        self.assertEqual(len(breakins), STATED[name].breakins)
        self.assertEqual({unit.flow for unit in breakins}, {kd.TO_TARGET})

    def test_breakins(self):
        """Break-in bytes, all from the debugger."""
        self.each(self.check_breakins, STATED)

    def test_apis(self):
        """Requests of the debugger by ApiNumber."""
        self.each(lambda name: self.assertEqual(kd.apis(self.packets(name), kd.TO_TARGET),
                                                STATED[name].apis),
                  [name for name in STATED if STATED[name].apis])

    def test_file_requests(self):
        """The file transfer: two creates, four reads, a write and a close."""
        for flow in (kd.TO_TARGET, kd.TO_DEBUGGER):
            self.assertEqual(Counter(packet.number("kd.file_io") for packet
                                     in self.packets("windbg-file-transfer")
                                     if packet.type == kd.FILE_IO and packet.flow == flow),
                             {0x3430: 2, 0x3431: 4, 0x3432: 1, 0x3433: 1})

    def check_answers(self, name: str):
        for packet in self.packets(name):
            if packet.type == kd.STATE_MANIPULATE and packet.flow == kd.TO_TARGET:
                self.assertEqual("kd.response_in" in packet, packet.api not in SILENT,
                                 f"frame {packet.frame}")

    def test_answers(self):
        """3136, 313C and 315A are not answered, everything else is."""
        self.each(self.check_answers, STATED)

    def check_links(self, name: str):
        self.assertEqual(kd.wrong_links(self.packets(name)), [])

    def test_replies_belong_to_their_requests(self):
        """Every reply names the oldest waiting request with the same content."""
        # Ids start again with each RESET of the storm, and packets cross.
        self.each(self.check_links, [name for name in RECORDINGS if name != "windows-reset-storm"])

    def test_nothing_contradicts(self):
        """What is called never answered or acknowledged is not."""
        self.each(lambda name: self.assertEqual(kd.contradictions(self.packets(name)), []))


class Bytes(SerialTest):
    def check_account(self, name: str):
        for direction, flow in FLOWS.items():
            self.assertEqual(sum(unit.size for unit in self.units(name) if unit.flow == flow),
                             len(stream(name, direction)))

    def test_every_byte_is_accounted_for(self):
        """Packets, break-ins and noise are all the bytes of the recording."""
        self.each(self.check_account)

    def check_order(self, name: str):
        for direction, flow in FLOWS.items():
            expected = [found for found in found_in(name, direction)
                        if found.kind == "packet"]
            shown = [packet for packet in self.packets(name) if packet.flow == flow]
            self.assertEqual([headers_shown(packet) for packet in shown],
                             [found.header() for found in expected])

    def test_packets_are_those_of_the_stream(self):
        """Leader, type, size, id and checksum of every packet, in order."""
        self.each(self.check_order)

    def check_rest(self, name: str):
        for direction, flow in FLOWS.items():
            for kind, field in (("break-in", "kd.breakin"), ("noise", "kd.noise")):
                expected = b"".join(found.data for found in found_in(name, direction)
                                    if found.kind == kind)
                shown = b"".join(unit.number(field).to_bytes(1, "big") if kind == "break-in"
                                 else unit.data(field) for unit in self.units(name)
                                 if unit.flow == flow and field in unit)
                self.assertEqual(shown, expected)

    def test_the_rest_is_breakins_and_noise(self):
        """What is no packet is shown byte by byte, too."""
        self.each(self.check_rest)

    def check_checksums(self, name: str):
        for direction, flow in FLOWS.items():
            wrong = [found.data for found in found_in(name, direction)
                     if found.kind == "packet" and found.data[:1] == b"0"
                     and sum(found.data[16:-1]) != found.header()[4]]
            shown = [packet for packet in self.packets(name)
                     if packet.flow == flow and "kd.expert.checksum" in packet]
            self.assertEqual([packet.number("kd.checksum.calculated") for packet in shown],
                             [sum(data[16:-1]) for data in wrong])
            one = name == "radare2-bad-checksum" and direction == TARGET_TO_HOST
            self.assertEqual(len(shown), one)

    def test_checksums(self):
        """One wrong checksum in radare2-bad-checksum, the target's; none anywhere else."""
        self.each(self.check_checksums)

    def test_a_damaged_payload_is_not_decoded(self):
        """What the wrong checksum covers is shown as bytes; the target sends the packet again."""
        packets = self.packets("radare2-bad-checksum")
        [damaged] = [packet for packet in packets if "kd.expert.checksum" in packet]
        self.assertNotIn("kd.api", damaged)
        self.assertEqual(len(damaged.data("kd.payload")), damaged.number("kd.length"))
        again = [packet for packet in packets if "kd.retransmission_of" in packet
                 and packet.text("kd.id") == damaged.text("kd.id")][-2:]
        self.assertEqual([packet.number("kd.checksum") for packet in again],
                         [damaged.number("kd.checksum.calculated")] * 2)
        # radare2 says so only when the target has already repeated it.
        [resend] = [packet for packet in packets if packet.type == kd.RESEND]
        self.assertEqual(resend.number("kd.resend_of"), again[0].frame)

    def test_nothing_is_malformed(self):
        """No record is malformed or meets a dissector bug."""
        self.each(lambda name: self.assertEqual(
            kdtest.problems(kdtest.recording(kdtest.captures(f"{name}.jsonl"))), []))


class Records(SerialTest):
    """Where the records of a stream are cut decides nothing."""

    def check_cut(self, name: str, how: str):
        recorded = kdtest.recording(kdtest.captures(f"{name}.jsonl"))
        for direction in FLOWS:
            (packets, noise), (packets_cut, noise_cut) = (
                contents(capture, direction) for capture in (recorded, recut(name, how)))
            self.assertEqual(noise_cut, noise)
            self.assertEqual(len(packets_cut), len(packets))
            for number, (cut, whole) in enumerate(zip(packets_cut, packets), 1):
                self.assertEqual(cut, whole, f"{direction}, packet {number}")

    def test_one_byte_records(self):
        """The same packets when each record has one byte."""
        self.each(lambda name: self.check_cut(name, "bytes"))

    def test_random_records(self):
        """The same packets in records of 1 to 60 bytes."""
        self.each(lambda name: self.check_cut(name, "random"))

    def test_long_records(self):
        """The same packets when a record holds all that came from one side at a time."""
        self.each(lambda name: self.check_cut(name, "joined"))

    def check_passes(self, name: str):
        self.assertEqual(
            kd.pass_differences(kdtest.recording(kdtest.captures(f"{name}.jsonl"))), [])

    def test_one_pass_and_two_agree(self):
        """Every field is the same but for what only the rest of the capture can tell."""
        self.each(self.check_passes)

    def check_visits(self, name: str):
        capture = recut(name, "random")
        tshark = kd.shown_by_tshark(capture)
        numbers = list(range(1, len(tshark) + 1))
        random.Random(name).shuffle(numbers)
        with kdtest.Sharkd(capture) as session:
            for number in numbers:
                self.assertEqual(kd.shown_by_sharkd(session.frame(number)), tshark[number - 1])

    def test_shuffled_visits_agree(self):
        """sharkd shows packets that span records as tshark -2 does, in whatever order."""
        self.each(self.check_visits, ["windbg-arm64", "windows-bootmgr-serial"])


class FileTransfer(SerialTest):
    """windbg-file-transfer: WinDbg serves a file over KD."""

    def setUp(self):
        packets = [packet for packet in self.packets("windbg-file-transfer")
                   if packet.type == kd.FILE_IO]
        self.requests = {packet.frame: packet for packet in packets
                         if packet.flow == kd.TO_DEBUGGER}
        self.answers = [packet for packet in packets if packet.flow == kd.TO_TARGET]

    def test_the_file(self):
        """5,000 bytes, put together from the reads by their offsets, with the SHA-256 stated."""
        file = bytearray()
        for answer in self.answers:
            if answer.number("kd.file_io") == kd.READ_FILE:
                offset = self.requests[answer.number("kd.request_in")].number("kd.file.offset")
                data = answer.data("kd.file.data")
                self.assertEqual(len(data), answer.number("kd.file.length"))
                file[offset:offset + len(data)] = data
        self.assertEqual(len(file), 5000)
        self.assertEqual(hashlib.sha256(file).hexdigest(),
                         "0b17d09e527b1a1b57afc1e24c58b33770c00426a86f342ded59a88779ccb3fa")

    def test_the_story(self):
        """One create fails, one works; four reads, a refused write, close."""
        story = [(answer.number("kd.file_io"), answer.number("kd.status") == 0)
                 for answer in self.answers]
        self.assertEqual(story, [(kd.CREATE_FILE, False), (kd.CREATE_FILE, True),
                                 *[(kd.READ_FILE, True)] * 4,
                                 (kd.WRITE_FILE, False), (kd.CLOSE_FILE, True)])
        self.assertEqual(self.answers[1].number("kd.file.size"), 5000)
        self.assertEqual(self.answers[6].text("kd.status"), "0xc0000001")

    def test_one_handle(self):
        """Reads, write and close use the handle of the create that worked."""
        handle = self.answers[1].text("kd.file.handle")
        self.assertEqual([request.text("kd.file.handle") for request
                          in list(self.requests.values())[2:]], [handle] * 6)


class BootManager(SerialTest):
    """windows-bootmgr-serial: both ends Microsoft's, on a line with console text."""

    def setUp(self):
        self.all = self.units("windows-bootmgr-serial")

    def test_noise(self):
        """280 bytes of noise, with 0000 in them.

        The README has all of them before the first packet. By the bytes 279 are: the last one, an x
        at 9,706 of the target's stream, follows an ACK.
        """
        noise = [unit for unit in self.all if "kd.noise" in unit]
        first = next(index for index, unit in enumerate(self.all) if unit.type is not None)
        text = b"".join(unit.data("kd.noise") for unit in self.all[:first])
        self.assertEqual(sum(len(unit.data("kd.noise")) for unit in noise), 280)
        self.assertEqual(len(text), 279)
        self.assertEqual(noise[-1].data("kd.noise"), b"x")
        self.assertIn(b"0000", text)
        self.assertEqual({unit.flow for unit in noise}, {kd.TO_DEBUGGER})

    def test_file_answers(self):
        """4 FILE_IO answers to 2 requests: repeated after a RESEND."""
        requests, answers = ([unit for unit in self.all
                              if unit.type == kd.FILE_IO and unit.flow == flow]
                             for flow in (kd.TO_DEBUGGER, kd.TO_TARGET))
        self.assertEqual((len(requests), len(answers)), (2, 4))
        links = Counter(answer.number("kd.request_in") for answer in answers)
        self.assertEqual(links.keys(), {request.frame for request in requests})
        self.assertEqual(sum("kd.retransmission_of" in answer for answer in answers), 2)

    def test_state_changes(self):
        """One load event, then seven stops."""
        self.assertEqual([unit.number("kd.state") for unit in self.all
                          if unit.type == kd.STATE_CHANGE64],
                         [kd.LOAD_SYMBOLS] + [kd.EXCEPTION] * 7)


class Radare2(SerialTest):
    def test_xen(self):
        """Memory and registers of Xen's stub: each request is answered."""
        packets = self.packets("radare2-xen-kdd")
        requests = kd.apis(packets, kd.TO_TARGET)
        self.assertEqual(requests, kd.apis(packets, kd.TO_DEBUGGER))
        self.assertEqual(set(requests), {kd.READ_VIRTUAL, kd.WRITE_VIRTUAL, kd.GET_CONTEXT,
                                         kd.SET_CONTEXT, kd.GET_VERSION})

    def test_session(self):
        """Software and hardware breakpoints, steps and continue: four Continue2, five stops."""
        packets = self.packets("radare2-session")
        self.assertEqual(kd.apis(packets, kd.TO_TARGET)[kd.CONTINUE2], 4)
        self.assertEqual(sum(packet.type == kd.STATE_CHANGE64 for packet in packets), 5)
        traces = [packet.number("kd.trace") for packet in packets if packet.api == kd.CONTINUE2]
        self.assertIn(1, traces)
        self.assertIn(0, traces)


class Storm(SerialTest):
    """windows-reset-storm: a debugger and a target that RESET each other without end."""

    def setUp(self):
        self.all = self.packets("windows-reset-storm")

    def test_it_never_ends(self):
        """RESETs of both sides in every second after the first packet of the target."""
        frames = {packet.frame for packet in self.all if packet.type == kd.RESET}
        capture = kdtest.recording(kdtest.captures("windows-reset-storm.jsonl"))
        seconds = Counter(int(float(time)) for number, time in
                          kdtest.fields(capture, ["frame.number", "frame.time_relative"])
                          if int(number) in frames)
        begin = 4  # before that the debugger calls a firmware that does not listen
        self.assertTrue(all(seconds[second] > 10 for second in range(begin, max(seconds))), seconds)

    def test_resends_name_a_packet_of_the_debugger(self):
        """Each RESEND asks for the debugger's last data packet."""
        last = None
        for packet in self.all:
            if packet.flow == kd.TO_TARGET and packet.text("kd.leader") == "0x30303030":
                last = packet.frame
            if packet.type == kd.RESEND:
                self.assertEqual(packet.number("kd.resend_of"), last)

    def test_the_same_state_change_again_and_again(self):
        """164 load events, of which the receiver has seen nearly all before."""
        changes = [packet for packet in self.all if packet.type == kd.STATE_CHANGE64]
        self.assertEqual(len(changes), 164)
        self.assertEqual({packet.text("kd.module.path") for packet in changes}, {"BOOTX64.EFI"})
        again = sum("kd.retransmission_of" in packet for packet in changes)
        self.assertGreater(again, 140)


def setUpModule():
    kdtest.captures()  # skips all tests at once


if __name__ == "__main__":
    kdtest.main()
