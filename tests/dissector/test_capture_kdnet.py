# test_capture_kdnet.py - recorded KDNET sessions, versions 1 to 5 and unencrypted: windbg-kdnet-*.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Every fact of windbg-kdnet-facts.md, and those of the README about windows-bootmgr-kdnet.

A block of the facts file is read as it stands and compared as a whole, so that a fact nobody
thought of when this was written fails. "Sent again", "missing" and the like are measured here from
the fields that say so; sequence numbers from the numbers themselves.
"""

import functools
import hashlib
import random
import re
import unittest
from collections import Counter

import kdcapture as kd
import kdtest

FACTS = "windbg-kdnet-facts.md"

KEYS = {
    "plain": "",
    "v1": "2o.l.d.1",
    "v2": "2.3.4.5",
    "v3": "k.d.n.et3",
    "v4": "4.4.4.4",
    "v5": "1.2.3.4",
    "v5-ipv6": "ip.v.6.key",
    "v5-faults": "2steg4fzbj2sz.23418vzkd4ko3.1g34ou07z4pev.1sp3yo9yz874p",
    "refused": "r3.fus.ed.0",
}

HOST, TARGET = "H", "T"


def key_bytes(text: str) -> bytes:
    """The 32 bytes of a dotted key: four parts in base 36, each little-endian in 8 bytes."""
    return b"".join(int(part, 36).to_bytes(8, "little") for part in text.split("."))


class Facts:
    """One block of the facts file."""

    def __init__(self, block: str):
        lines = [line[2:].rstrip(", ") for line in block.splitlines() if line.startswith("- ")]
        counts, versions, sessions, packets, host, target = lines
        self.counts = {name: int(number) for name, number in self.pairs(counts)}
        self.versions = self.times(versions.partition(": ")[2], ", ")
        session = re.compile(r"frame (\d+), (\d+) / (\d+),? ?([0-9a-f]*)")
        self.sessions = [session.fullmatch(text).groups()
                         for text in sessions.partition("): ")[2].split("; ")]
        kinds = re.fullmatch(r"KD host: (.*)\. KD target: (.*)\. DbgPrint .*: (\d+)", packets)
        self.types = [dict((name, int(number)) for name, number in re.findall(r"(\w+) (\d+)", kind))
                      for kind in kinds.group(1, 2)]
        self.prints = int(kinds.group(3))
        self.apis = [{int(api, 16): number for api, number in
                      self.times(line.partition(": ")[2], " (?=3)").items()}
                     for line in (host, target)]

    @staticmethod
    def pairs(line: str):
        return [fact.rsplit(": ", 1) for fact in line.split("; ")]

    @staticmethod
    def times(line: str, separator: str) -> dict[str, int]:
        """Of "this x2, that x3"."""
        pairs = (part.rsplit(" x", 1) for part in re.split(separator, line))
        return {name: int(number) for name, number in pairs}


def facts_of(name: str) -> Facts:
    text = kdtest.captures(FACTS).read_text(encoding="utf-8")
    blocks = dict(re.findall(r"(?ms)^### (\S+)$\n(.*?)(?=^###|\Z)", text))
    return Facts(blocks[f"windbg-kdnet-{name}.pcapng.gz"])


class Datagram:
    """One frame, in the terms of the facts file."""

    def __init__(self, frame: kd.Frame):
        kdnet = frame.kdnet
        self.frame = frame
        self.fields = kdnet
        self.junk = "kdnet.expert.bad_datagram" in kdnet
        self.authentic = kdnet.number("kdnet.authentic") != 0 and not self.junk
        self.control = kdnet.number("kdnet.channel") == 1  # the first format has no control channel
        self.version = kdnet.number("kdnet.version") or 0
        self.replay = "kdnet.replay" in kdnet
        self.announce = "kdnet.announce" in kdnet
        self.poke = "kdnet.poke.nonce" in kdnet
        self.response = "kdnet.response.nonce" in kdnet
        self.sequence = kdnet.number("kdnet.sequence")
        self.session = kdnet.number("kdnet.session") or 1  # an unsealed announce names none
        self.unit = frame.units[0] if frame.units else None

    @property
    def sender(self) -> str:
        from_debugger = self.fields.number("kdnet.from_debugger")
        if from_debugger is None:  # not sealed: the KD packet tells
            from_debugger = not self.announce and self.unit.flow == kd.TO_TARGET
        return HOST if from_debugger else TARGET


class Recording:
    """A capture, measured."""

    def __init__(self, name: str):
        self.name = name
        self.preferences = [f"kdnet.key:{KEYS[name]}"] if KEYS[name] else []
        self.capture = kdtest.captures(f"windbg-kdnet-{name}.pcapng.gz")
        self.frames = kd.frames(self.capture, *self.preferences)
        self.datagrams = [Datagram(frame) for frame in self.frames if frame.kdnet]
        self.authentic = [datagram for datagram in self.datagrams if datagram.authentic]
        self.data = [datagram for datagram in self.authentic if not datagram.control]
        # What a receiver drops is no part of the conversation.
        self.units = [datagram.unit for datagram in self.data
                      if datagram.unit and not datagram.replay]
        self.packets = [unit for unit in self.units if unit.type is not None]

    @functools.cached_property
    def facts(self) -> Facts:
        return facts_of(self.name)

    def sent_again(self, sender: str) -> int:
        flow = kd.TO_TARGET if sender == HOST else kd.TO_DEBUGGER
        return sum("kd.retransmission_of" in packet for packet in self.packets
                   if packet.flow == flow)

    def repeated_at_once(self) -> int:
        """Requests under a new id with no data packet of the target since the one before.

        That is how the facts count "before its reply". kd.repeats is there also when the reply to
        an earlier request came in between.
        """
        count = 0
        silent = False
        for packet in self.packets:
            if packet.type == kd.STATE_MANIPULATE and packet.flow == kd.TO_TARGET:
                count += silent and "kd.repeats" in packet
                silent = silent or "kd.retransmission_of" not in packet
            elif packet.flow == kd.TO_DEBUGGER and packet.text("kd.leader") == "0x30303030":
                silent = False
        return count

    def jumps(self, sender: str) -> list[int]:
        """How many numbers each skip of a session and direction left out."""
        highest = Counter()
        skipped = []
        for datagram in self.data:
            if datagram.sender != sender or datagram.sequence is None or datagram.replay:
                continue
            gap = datagram.sequence - highest[datagram.session] - 1
            highest[datagram.session] = datagram.sequence
            if gap:
                skipped.append(gap)
        return skipped

    def count(self) -> dict[str, int]:
        """The facts of a block's first line, those that are not zero."""
        pokes = [datagram for datagram in self.authentic if datagram.poke]
        connected = [datagram.fields.number("kdnet.poke.connected_port") for datagram in pokes]
        # tshark calls no dissector for a datagram without a payload.
        empty = sum(not frame.kdnet and frame.udp.number("udp.length") == 8
                    for frame in self.frames)
        junk = [datagram for datagram in self.datagrams if datagram.junk]
        sealed = [datagram for datagram in self.datagrams
                  if not datagram.authentic and not datagram.junk]
        counts = {
            "UDP datagrams": len(self.frames),
            "announce": sum(datagram.announce and not datagram.replay for datagram in self.data),
            "break-in H": sum("kd.breakin" in unit for unit in self.units),
            "control, not authentic": sum(datagram.control for datagram in sealed),
            "data, not authentic with any session of the conversation":
                sum(not datagram.control for datagram in sealed),
            "not MDBG": sum("kdnet.magic" not in datagram.fields for datagram in junk) + empty,
            "MDBG, impossible length": sum("kdnet.magic" in datagram.fields for datagram in junk),
            "poke": len(pokes),
            "poke, connected port 0": connected.count(0),
            "poke, connected port set": len(connected) - connected.count(0),
            "response": sum(datagram.response for datagram in self.authentic),
            "empty control datagram from the host":
                sum(datagram.control and datagram.sender == HOST
                    and "kdnet.message" not in datagram.fields for datagram in self.authentic),
            "request sent again with a new id before its reply": self.repeated_at_once(),
        }
        for sender in (HOST, TARGET):
            jumps = self.jumps(sender)
            mine = [datagram for datagram in self.data if datagram.sender == sender]
            counts |= {
                f"data {sender}": len(mine),
                f"KD packet sent again with the same id {sender}": self.sent_again(sender),
                f"sequence jumps {sender}": len(jumps),
                f"sequence numbers missing {sender}": sum(jumps),
                f"sequence not above the highest of its session and direction {sender}":
                    sum(datagram.replay for datagram in mine),
            }
        return {name: number for name, number in counts.items() if number}

    def versions(self) -> Counter:
        return Counter(f"{'host' if datagram.sender == HOST else 'target'} "
                       f"{'control' if datagram.control else 'data'} v{datagram.version}"
                       for datagram in self.authentic)


def each_capture(check):
    """Makes a check of one recording a test of all; a sub-test names the capture that fails."""

    @functools.wraps(check)
    def test(self):
        for name in KEYS:
            with self.subTest(capture=name):
                check(self, Recording(name))

    return test


class FactsTest(unittest.TestCase):
    maxDiff = None

    @each_capture
    def test_counts(self, recording):
        """Datagrams, breaks, pokes, repetitions, gaps and junk: the first line of each block."""
        self.assertEqual(recording.count(), recording.facts.counts)

    @each_capture
    def test_versions(self, recording):
        """Versions by sender and channel; a version 3 target is answered with 2."""
        self.assertEqual(recording.versions(), recording.facts.versions)

    @each_capture
    def test_packet_types(self, recording):
        """KD packets of each side by type."""
        self.assertEqual([kd.types(recording.packets, flow)
                          for flow in (kd.TO_TARGET, kd.TO_DEBUGGER)], recording.facts.types)

    @each_capture
    def test_apis(self, recording):
        """Requests and replies by ApiNumber, repetitions included."""
        self.assertEqual([kd.apis(recording.packets, flow)
                          for flow in (kd.TO_TARGET, kd.TO_DEBUGGER)], recording.facts.apis)

    @each_capture
    def test_prints(self, recording):
        """Lines of DbgPrint, each counted once however often it was sent."""
        self.assertEqual(sum("kd.text" in packet and "kd.retransmission_of" not in packet
                             for packet in recording.packets), recording.facts.prints)

    @each_capture
    def test_sessions(self, recording):
        """Each response begins a session; so much data of each side is sealed with its key."""
        sides = Counter((datagram.session, datagram.sender) for datagram in recording.data)
        # Version 1 and unencrypted KD have no key exchange: a session is the conversation.
        begins = [datagram.frame.number for datagram in recording.authentic
                  if datagram.response] or [recording.data[0].frame.number]
        numbers = sorted({datagram.session for datagram in recording.data}, key=str)
        self.assertEqual([(str(begin), str(sides[number, HOST]), str(sides[number, TARGET]))
                          for begin, number in zip(begins, numbers, strict=True)],
                         [session[:3] for session in recording.facts.sessions])

    @each_capture
    def test_data_keys(self, recording):
        """The nonce and the random part that are shown give the data keys of the facts."""
        control_key = key_bytes(KEYS[recording.name]) if KEYS[recording.name] else b""
        for datagram, session in zip((datagram for datagram in recording.authentic
                                      if datagram.response), recording.facts.sessions):
            body = (b"\1\2" + datagram.fields.data("kdnet.response.nonce")
                    + datagram.fields.data("kdnet.response.random") + bytes(256))
            self.assertEqual(hashlib.sha256(control_key + body).hexdigest()[:16], session[3])


class Links(unittest.TestCase):
    maxDiff = None

    @each_capture
    def test_data_names_its_session(self, recording):
        """A datagram of data points at the response that gave its key."""
        begins = {datagram.session: datagram.frame.number for datagram in recording.authentic
                  if datagram.response}
        for datagram in recording.data if begins else []:
            self.assertEqual(datagram.fields.number("kdnet.session.frame"),
                             begins[datagram.session])

    @each_capture
    def test_responses_name_their_pokes(self, recording):
        """A response copies the nonce of the poke it answers; each points at the other."""
        pokes = {datagram.frame.number: datagram.fields for datagram in recording.authentic
                 if datagram.poke}
        answered = {}
        for datagram in recording.authentic:
            if datagram.response:
                poke = datagram.fields.number("kdnet.poke_in")
                answered[poke] = datagram.frame.number
                self.assertEqual(pokes[poke].text("kdnet.poke.nonce"),
                                 datagram.fields.text("kdnet.response.nonce"))
        self.assertEqual({number: fields.number("kdnet.response_in")
                          for number, fields in pokes.items()
                          if "kdnet.response_in" in fields}, answered)

    @each_capture
    def test_replies_belong_to_their_requests(self, recording):
        """Every reply names the oldest waiting request with the same content, or none."""
        wrong = []
        for session in {datagram.session for datagram in recording.data}:
            wrong += kd.wrong_links([datagram.unit for datagram in recording.data
                                     if datagram.session == session and not datagram.replay
                                     and datagram.unit and datagram.unit.type is not None])
        self.assertEqual(wrong, [])

    @each_capture
    def test_acknowledgements(self, recording):
        """An ACK names the latest packet with its id that the other side sent in the session."""
        sent = {}
        for datagram in recording.data:
            packet = datagram.unit
            if datagram.replay or packet is None or packet.type is None:
                continue
            if packet.text("kd.leader") == "0x30303030":
                sent[datagram.session, packet.flow, packet.text("kd.id")] = packet.frame
            elif packet.type == kd.ACKNOWLEDGE:
                other = kd.TO_TARGET + kd.TO_DEBUGGER - packet.flow
                self.assertEqual(packet.number("kd.ack_to"),
                                 sent.get((datagram.session, other, packet.text("kd.id"))))

    @each_capture
    def test_retransmissions(self, recording):
        """A packet sent again has the id of the one it points at."""
        ids = {packet.frame: packet.text("kd.id") for packet in recording.packets}
        for packet in recording.packets:
            if "kd.retransmission_of" in packet:
                self.assertEqual(ids[packet.number("kd.retransmission_of")],
                                 packet.text("kd.id"))

    @each_capture
    def test_nothing_contradicts(self, recording):
        """What is called never answered or acknowledged is not."""
        self.assertEqual(kd.contradictions(recording.packets), [])


class Faults(unittest.TestCase):
    """Datagrams lost, doubled, late, forged, and two restarts: windbg-kdnet-v5-faults."""

    def setUp(self):
        self.recording = Recording("v5-faults")

    def test_replays_are_not_part_of_the_conversation(self):
        """A replayed datagram is shown, but no other packet refers to it."""
        replays = {datagram.frame.number for datagram in self.recording.data if datagram.replay}
        self.assertEqual(len(replays), 55)
        named = {int(number) for packet in self.recording.packets
                 for name in ("kd.request_in", "kd.response_in", "kd.retransmission_of",
                              "kd.repeats", "kd.ack_to", "kd.stop")
                 for number in packet.values.get(name, [])}
        self.assertEqual(replays & named, set())

    def test_missing_datagrams_are_said(self):
        """kdnet.missing is there at each jump and counts what is lost: 3 and 37 datagrams."""
        for sender, numbers in ((HOST, (1, 3)), (TARGET, (35, 37))):
            missing = [datagram.fields.number("kdnet.missing") for datagram in self.recording.data
                       if datagram.sender == sender and "kdnet.missing" in datagram.fields]
            self.assertEqual((len(missing), sum(missing)), numbers)

    def test_every_repeated_request_is_marked(self):
        """kd.repeats is on each request that was sent before with nothing answered since.

        40 by the bytes: with the reply to an earlier request in between as well.
        """
        expected = []
        for session in range(1, 5):
            packets = [datagram.unit for datagram in self.recording.data
                       if datagram.session == session and not datagram.replay
                       and datagram.unit and datagram.unit.type == kd.STATE_MANIPULATE
                       and "kd.retransmission_of" not in datagram.unit]
            links = kd.links_expected(packets)
            last, waiting = None, set()
            for packet in packets:
                if packet.flow == kd.TO_DEBUGGER:
                    waiting.discard(links[packet.frame])
                    continue
                content = self.request(packet)
                if last and content == self.request(last) and last.frame in waiting:
                    expected.append(packet.frame)
                last = packet
                waiting.add(packet.frame)
        self.assertEqual(len(expected), 40)
        self.assertEqual([packet.frame for packet in self.recording.packets
                          if "kd.repeats" in packet], expected)

    @staticmethod
    def request(packet: kd.Unit) -> dict:
        """What was asked, without what says when and under which id."""
        apart = kd.DEPENDS_ON_RECORDS | {"kd.id", "kd.expert.duplicate", "_ws.expert.severity",
                                         "_ws.expert.group", "kd.expert.unacknowledged",
                                         "kd.expert.unanswered", "kd.id.expected",
                                         "kd.expert.desync"}
        return {name: values for name, values in packet.values.items() if name not in apart}

    def test_restarts_are_said(self):
        """Two machine restarts; the fourth session is a second debugger's, with the same nonce."""
        restarts = [datagram.frame.number for datagram in self.recording.authentic
                    if "kdnet.expert.restart" in datagram.fields]
        pokes = [datagram for datagram in self.recording.authentic if datagram.poke]
        tails = [datagram.fields.data("kdnet.poke.nonce")[8:] for datagram in pokes]
        expected = [datagram.frame.number for before, datagram, tail
                    in zip(tails, pokes[1:], tails[1:]) if tail != before]
        self.assertEqual(restarts, expected)
        self.assertEqual(len(restarts), 2)

    def test_a_refused_version_is_named(self):
        """One of the forged datagrams has version byte 6."""
        self.assertEqual([datagram.version for datagram in self.recording.datagrams
                          if "kdnet.expert.version" in datagram.fields], [6])


class Late(unittest.TestCase):
    """A capture that begins after a response: the same file without its first frames."""

    FIRST, SECOND = 3, 439  # frames of the first two responses

    def setUp(self):
        self.whole = Recording("v5-faults")
        self.late = kdtest.scratch("late.pcapng")
        kdtest.run("editcap", ["-r", kdtest.staged(self.whole.capture), self.late,
                               f"{self.FIRST + 1}-{len(self.whole.frames)}"])
        self.rows = kdtest.fields(self.late, [
            "kdnet.channel", "kdnet.authentic", "kdnet.session", "kdnet.expert.no_session_key",
            "kd.type", kdtest.INFO], *self.whole.preferences, two_pass=True)

    def before_and_after(self) -> tuple[list[tuple], list[tuple]]:
        border = self.SECOND - self.FIRST - 1
        return self.rows[:border], self.rows[border:]

    def test_data_without_its_response_is_said_to_be_closed(self):
        """No datagram of the first session's data opens; each says why."""
        before, _ = self.before_and_after()
        data = [row for row in before if row[0] == "0" and row[1]]
        self.assertGreater(len(data), 400)
        self.assertEqual({(row[1], bool(row[3]), row[4]) for row in data}, {("0", True, "")})

    def test_the_next_response_opens_the_rest(self):
        """From the second response on, all is as in the whole capture, one session less."""
        _, after = self.before_and_after()
        types = [",".join(unit.text("kd.type") for unit in frame.units)
                 for frame in self.whole.frames[self.SECOND - 1:]]
        self.assertEqual([row[4] for row in after], types)
        self.assertEqual({row[2] for row in after} - {""}, {"1", "2", "3"})

    def test_offers_open_all_the_time(self):
        """Pokes need the key only."""
        before, _ = self.before_and_after()
        self.assertEqual({row[1] for row in before if row[0] == "1"}, {"1"})


class Refused(unittest.TestCase):
    """Pokes that WinDbg refuses: windbg-kdnet-refused."""

    def setUp(self):
        self.recording = Recording("refused")

    def test_versions_are_named(self):
        """Version bytes 6, 0 and 1 under MDBG, three pokes each, marked as refused."""
        self.assertEqual(Counter(datagram.version for datagram in self.recording.datagrams
                                 if "kdnet.expert.version" in datagram.fields), {6: 3, 0: 3, 1: 3})

    def test_wrong_keys_are_named(self):
        """Six pokes were sealed with other keys."""
        wrong = [datagram for datagram in self.recording.datagrams
                 if "kdnet.expert.wrong_key" in datagram.fields]
        self.assertEqual([datagram.authentic for datagram in wrong], [False] * 6)
        self.assertEqual(Counter(datagram.version for datagram in wrong), {5: 3, 4: 3})

    def test_the_other_keys_open_the_rest(self):
        """r3.fus.ed.1 opens three pokes of version 5, 1.2.3.4 three of version 4; neither data."""
        for key, version in (("r3.fus.ed.1", 5), ("1.2.3.4", 4)):
            rows = kdtest.fields(self.recording.capture, ["kdnet.version", "kdnet.poke.nonce"],
                                 f"kdnet.key:{key}", filter="kdnet.authentic == 1")
            self.assertEqual([(row[0], bool(row[1])) for row in rows], [(str(version), True)] * 3)


class Order(unittest.TestCase):
    @each_capture
    def test_one_pass_and_two_agree(self, recording):
        """Every field is the same but for what only the rest of the capture can tell."""
        self.assertEqual(kd.pass_differences(recording.capture, *recording.preferences), [])

    def test_shuffled_visits_agree(self):
        """sharkd shows frames of four sessions as tshark -2 does, in whatever order."""
        recording = Recording("v5-faults")
        tshark = kd.shown_by_tshark(recording.capture, *recording.preferences)
        numbers = list(range(1, len(tshark) + 1))
        random.Random(1).shuffle(numbers)
        with kdtest.Sharkd(recording.capture, *recording.preferences) as session:
            for number in numbers:
                self.assertEqual(kd.shown_by_sharkd(session.frame(number)), tshark[number - 1])

    @each_capture
    def test_nothing_is_malformed(self, recording):
        """Junk is called junk; no frame is malformed or meets a dissector bug."""
        self.assertEqual(kdtest.problems(recording.capture, *recording.preferences), [])


class BootManager(unittest.TestCase):
    """Both ends Microsoft's: windows-bootmgr-kdnet."""

    KEY = "kdnet.key:1a2b3c4d5e6f7.8g9h0i1j2k3l.2m6n7o8p9q0r1.2s3t4u5v6w7x"

    def setUp(self):
        self.capture = kdtest.captures("windows-bootmgr-kdnet.pcap.gz")
        self.frames = kd.frames(self.capture, self.KEY)
        self.datagrams = [Datagram(frame) for frame in self.frames if frame.kdnet]
        self.packets = kd.packets(self.capture, self.KEY)

    def of(self, packet_type: int) -> list[kd.Unit]:
        return [packet for packet in self.packets if packet.type == packet_type]

    def test_datagrams(self):
        """1,563 UDP datagrams: 1,559 of KDNET, 4 of DHCP."""
        udp = [frame for frame in self.frames if "udp" in frame.protocols]
        self.assertEqual(len(udp), 1563)
        self.assertEqual(len(self.datagrams), 1559)
        self.assertEqual([frame.protocols[-1] for frame in udp if not frame.kdnet], ["dhcp"] * 4)

    def test_authentic(self):
        """All authentic, version 5 everywhere, none malformed."""
        self.assertEqual([datagram.fields.text("kdnet.authentic") for datagram in self.datagrams],
                         ["1"] * 1559)
        self.assertEqual({datagram.version for datagram in self.datagrams}, {5})
        self.assertEqual(kdtest.problems(self.capture, self.KEY), [])

    def test_control(self):
        """One poke with connected port 0 and one response; one session."""
        control = [datagram for datagram in self.datagrams if datagram.control]
        self.assertEqual([(datagram.poke, datagram.response) for datagram in control],
                         [(True, False), (False, True)])
        self.assertEqual(control[0].fields.number("kdnet.poke.connected_port"), 0)
        self.assertEqual({datagram.session for datagram in self.datagrams
                          if not datagram.poke}, {1})

    def test_data(self):
        """778 data datagrams from the target, the announce among them; 779 from the debugger."""
        data = [datagram for datagram in self.datagrams if not datagram.control]
        self.assertEqual(Counter(datagram.sender for datagram in data), {TARGET: 778, HOST: 779})
        self.assertEqual([datagram.sender for datagram in data if datagram.announce], [TARGET])

    def test_types(self):
        """Packets of each side by type; three break-ins."""
        self.assertEqual(kd.types(self.packets, kd.TO_TARGET), {
            "ACKNOWLEDGE": 390, "STATE_MANIPULATE": 380, "RESET": 3, "FILE_IO": 2, "RESEND": 1})
        self.assertEqual(kd.types(self.packets, kd.TO_DEBUGGER), {
            "ACKNOWLEDGE": 382, "STATE_MANIPULATE": 371, "STATE_CHANGE64": 11, "DEBUG_IO": 9,
            "RESET": 2, "FILE_IO": 2})
        self.assertEqual(sum("kd.breakin" in unit for unit in kd.units(self.capture, self.KEY)), 3)

    def test_state_changes(self):
        """7 exceptions and 4 load events."""
        self.assertEqual(Counter(packet.number("kd.state")
                                 for packet in self.of(kd.STATE_CHANGE64)),
                         {kd.EXCEPTION: 7, kd.LOAD_SYMBOLS: 4})

    def test_prints(self):
        """9 prints, 6 different."""
        texts = [packet.text("kd.text") for packet in self.of(kd.DEBUG_IO)]
        self.assertEqual((len(texts), len(set(texts))), (9, 6))

    def test_sent_again(self):
        """5 packets of the target came twice with the same id, none of the debugger's."""
        self.assertEqual(Counter(packet.flow for packet in self.packets
                                 if "kd.retransmission_of" in packet), {kd.TO_DEBUGGER: 5})

    def test_replies_belong_to_their_requests(self):
        """Every reply names the oldest waiting request with the same content."""
        self.assertEqual(kd.wrong_links(self.packets), [])

    def test_one_pass_and_two_agree(self):
        """Every field is the same but for what only the rest of the capture can tell."""
        self.assertEqual(kd.pass_differences(self.capture, self.KEY), [])


def setUpModule():
    kdtest.captures()  # skips all tests at once


if __name__ == "__main__":
    kdtest.main()
