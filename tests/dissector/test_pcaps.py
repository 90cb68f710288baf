# test_pcaps.py - the stored captures: every fact of their goldens, however one looks at them.
# SPDX-License-Identifier: BSD-2-Clause-Patent
import random
import unittest

import goldens
import kdtest
from goldens import HINDSIGHT, HINDSIGHT_EXPERTS, Golden, decoded, own_fields

GOLDENS = goldens.load()
SHOWN = 12  # differences a failure lists


class PcapTest(unittest.TestCase):
    def agree(self, found: list[str]) -> None:
        more = f"\n... and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        if found:
            self.fail("\n" + "\n".join(found[:SHOWN]) + more)

    def each(self, check) -> None:
        """check(golden) for every capture, each in a sub-test."""
        self.assertTrue(GOLDENS)
        for golden in GOLDENS:
            with self.subTest(capture=golden.name):
                check(golden)


class Facts(PcapTest):
    def test_the_plugin_has_every_field_of_the_goldens(self):
        stated = set().union(*(golden.names() for golden in GOLDENS))
        self.assertEqual(sorted(stated - set(own_fields())), [])

    def check(self, golden: Golden, two_pass: bool) -> None:
        frames = decoded(golden, two_pass)
        self.assertEqual(len(frames), len(golden.frames))
        if golden.same_packets_as:
            return
        found = []
        for stated, values in zip(golden.frames, frames):
            found += goldens.differences(stated, values, one_pass=not two_pass)
        self.agree(found)

    def test_in_one_pass(self):
        self.each(lambda golden: self.check(golden, two_pass=False))

    def test_in_two_passes(self):
        self.each(lambda golden: self.check(golden, two_pass=True))

    def check_in_sharkd(self, golden: Golden) -> None:
        numbers = list(range(1, len(golden.frames) + 1))
        random.Random(golden.name).shuffle(numbers)
        found = []
        with kdtest.Sharkd(golden.capture, *golden.preferences()) as session:
            first = {number: session.visit(number) for number in numbers}
            for number in sorted(numbers):
                self.assertEqual(session.visit(number), first[number])
            for number in reversed(numbers) if not golden.same_packets_as else []:
                found += goldens.differences(golden.frames[number - 1],
                                             goldens.visited(session, number), one_pass=False)
        self.agree(found)

    def test_in_sharkd_in_any_order(self):
        self.each(self.check_in_sharkd)

    def check_with_port(self, golden: Golden) -> None:
        if golden.port:
            frames = decoded(golden, two_pass=True)
            rows = kdtest.fields(golden.capture, ["kd.id", "kd.api", "kd.request_in"], golden.port,
                                 *golden.preferences(), two_pass=True, multiple=True)
            self.assertEqual(rows, [(frame["kd.id"], frame["kd.api"], frame["kd.request_in"])
                                    for frame in frames])

    def test_a_port_preference_shows_what_the_heuristic_does(self):
        self.each(self.check_with_port)


class WholeTree(PcapTest):
    """All fields of the plugin, stated in a golden or not."""

    def compare_passes(self, golden: Golden) -> None:
        names = set(own_fields()) - set(HINDSIGHT) - set(HINDSIGHT_EXPERTS)
        self.agree([f"frame {number}: {name}: {once[name]} and {twice[name]}"
                    for number, (once, twice)
                    in enumerate(zip(decoded(golden), decoded(golden, two_pass=True)), 1)
                    for name in sorted(names) if once[name] != twice[name]])

    def test_one_pass_and_two_show_the_same(self):
        self.each(self.compare_passes)

    def compare_hindsight(self, golden: Golden) -> None:
        self.agree([f"frame {number}: {name} is gone in the second pass"
                    for number, (once, twice)
                    in enumerate(zip(decoded(golden), decoded(golden, two_pass=True)), 1)
                    for name in HINDSIGHT_EXPERTS if once[name] and not twice[name]])

    def test_hindsight_takes_nothing_away(self):
        self.each(self.compare_hindsight)

    def find_problems(self, golden: Golden) -> None:
        for two_pass in (False, True):
            self.agree([f"frame {number} is malformed: {frame[kdtest.INFO]}"
                        for number, frame in enumerate(decoded(golden, two_pass), 1)
                        if frame["_ws.malformed"]])
        text = "\n".join(kdtest.tshark(["-V"], golden.capture, *golden.preferences()))
        self.assertNotIn("Dissector bug", text)

    def test_nothing_is_malformed(self):
        self.each(self.find_problems)

    def find_empty_lines(self, golden: Golden) -> None:
        self.assertEqual([number for number, frame in enumerate(decoded(golden), 1)
                          if frame["kd.type"] and not frame[kdtest.INFO]], [])

    def test_every_packet_has_a_line(self):
        self.each(self.find_empty_lines)


class Cuts(PcapTest):
    """Where records are cut decides nothing but the frame in which a packet is shown."""

    # Times and frame numbers differ; noise and its direction come in pieces.
    POSITION = ("kd.fragment", "kd.fragment.in", "kd.time", "kd.noise", "kd.noise.text",
                "kd.expert.noise", "kd.stop", "kd.direction", "kd.time_stopped", "kd.stream",
                "kd.src", "kd.dst", "kd.end")
    LINKS = ("kd.request_in", "kd.response_in", "kd.ack_in", "kd.ack_to", "kd.retransmission_of",
             "kd.unanswered", "kd.unacknowledged")

    def setUp(self):
        [self.cut] = [golden for golden in GOLDENS if golden.same_packets_as]
        [self.whole] = [golden for golden in GOLDENS
                        if f"{golden.name}.json" == self.cut.same_packets_as]

    def values(self, golden: Golden, name: str) -> list[str]:
        """All values of a field, in order, wherever they lie."""
        return [value for frame in decoded(golden, two_pass=True) for value in frame[name]]

    def packets(self, golden: Golden) -> list[str]:
        """The number of the frame that shows the n-th packet."""
        return [str(number) for number, frame in enumerate(decoded(golden), 1)
                for _ in frame["kd.type"]]

    def test_packets_are_the_same(self):
        names = [name for name in own_fields() if name not in self.POSITION + self.LINKS]
        self.agree([f"{name}: {self.values(self.whole, name)} and {self.values(self.cut, name)}"
                    for name in names
                    if self.values(self.whole, name) != self.values(self.cut, name)])

    def test_links_lead_to_the_same_packets(self):
        moved = dict(zip(self.packets(self.whole), self.packets(self.cut)))
        for name in self.LINKS:
            self.assertEqual([moved[number] for number in self.values(self.whole, name)],
                             self.values(self.cut, name), name)

    def test_noise_is_the_same_bytes(self):
        whole, cut = ("".join(self.values(golden, "kd.noise")) for golden in (self.whole, self.cut))
        self.assertEqual(whole, cut)
        self.assertTrue(whole)


class Keys(PcapTest):
    def sealed(self) -> Golden:
        [golden] = [golden for golden in GOLDENS if golden.name == "kdnet-session"]
        return golden

    def test_a_wrong_key_is_said(self):
        rows = kdtest.fields(self.sealed().capture, ["kdnet.expert.wrong_key", "kd.type"],
                             "kdnet.key:1.2.3.4", two_pass=True)
        self.assertTrue(any(wrong for wrong, _ in rows))
        self.assertFalse(any(kind for _, kind in rows))

    def test_without_a_key_nothing_is_guessed(self):
        rows = kdtest.fields(self.sealed().capture, ["kdnet.version", "kd.type"])
        self.assertTrue(all(version == "5" for version, _ in rows))
        self.assertFalse(any(kind for _, kind in rows))


if __name__ == "__main__":
    kdtest.main()
