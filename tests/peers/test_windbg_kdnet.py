# test_windbg_kdnet.py - WinDbg's engine <-> UDP <-> Windows' boot manager, with kdlens capture.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Both ends are Microsoft's own and speak KDNET; kdlens capture listens on the loopback, through
which QEMU's user network goes. One session and a reboot in the middle are recorded, by a capture
from the beginning and by one that begins too late. What is expected is what QEMU itself saw on the
machine's network adapter, and what WinDbg printed.

Then WinDbg itself has a wrong key: the machine offers itself in vain.

KDLENS_WINDOWS_KDNET_TARGET names the disk image (bootmanager.py); its BCD store has port and key of
KDLENS_WINDOWS_KDNET_PORT and KDLENS_WINDOWS_KDNET_KEY, or the values below. Skips, saying why,
where the engine, the image or the right to listen cannot be had.

  test_windbg_kdnet.py [--keep FOLDER] [unittest's arguments]
"""

import argparse
import collections
import json
import os
import shutil
import socket
import subprocess
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "windbg"), str(HERE.parent / "tool")]
import bootmanager
import kdtap
import kdtest
import windbg
import kdcapture
import test_capture_kdnet_live as live
import windbgtext

PORT = int(os.environ.get("KDLENS_WINDOWS_KDNET_PORT") or 50123)
KEY = (os.environ.get("KDLENS_WINDOWS_KDNET_KEY")
       or "1a2b3c4d5e6f7.8g9h0i1j2k3l.2m6n7o8p9q0r1.2s3t4u5v6w7x")
WRONG_KEY = "1.2.3.4"
PATIENCE = bootmanager.BOOT_PATIENCE
OFFERS = 6  # until it is certain that the debugger does not answer
REFUSAL = "Packet failed authentication"  # WinDbg's words
CONTROL = "1"  # kdnet.channel: offers and responses
DATA = "0"
COMMANDS = ["r", "r cr0,cr2,cr3,cr4", "lm", "db @rsp L80", "dq @rsp L10", "k", "u @rip L3"]
OTHERS = ["db 10000000 L80", "dq 10000080 L10"]  # what the engine has not read yet

arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
arguments.add_argument("--keep", type=Path)
settings, unittest_arguments = arguments.parse_known_args()


def missing() -> str | None:
    reason = bootmanager.missing_network() or windbg.missing() or live.why_not()
    if reason:
        return reason
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError as error:
            return f"UDP port {PORT}, which is in the image, is taken: {error}"
    return None


class Transcript:
    """Commands and their text, in the form that windbgtext reads."""

    def __init__(self, engine: windbg.Engine):
        self.engine = engine
        self.text = engine.text

    def run(self, *commands: str):
        for command in commands:
            self.text += f"kd> {command}\n{self.engine.command(command, PATIENCE).strip()}\n"


class Story:
    """The session: WinDbg waits, the machine boots, the late capture begins at the first stop, the
    machine is reset, WinDbg connects again."""

    def __init__(self):
        self.folder = kdtap.new_path()
        self.folder.mkdir()
        self.key_file = self.folder / "key"
        self.key_file.write_text(f"{KEY}\n")
        self.whole, self.late = self.folder / "whole.pcapng", self.folder / "late.pcapng"
        with self._capture(self.whole) as capture, \
                windbg.Engine(windbg.net(PORT, KEY), initial_break=True) as engine, \
                bootmanager.NetworkMachine(self.folder) as machine:
            engine.wait_stopped(PATIENCE)
            first = Transcript(engine)
            first.run(*COMMANDS)
            with self._capture(self.late):
                first.run(*OTHERS)
                second = self._reboot(engine, machine)
                second.run(*COMMANDS)
                engine.stop()
                machine.off()
        self.wire = machine.wire
        self.counts = capture.last
        self.texts = [first.text, second.text]
        if settings.keep:
            shutil.copytree(self.folder, settings.keep, dirs_exist_ok=True)
            (settings.keep / "windbg.txt").write_text("\n".join(self.texts))

    def _capture(self, file: Path) -> live.Capture:
        return live.Capture("--port", PORT, "--key-file", self.key_file, "-w", file)

    @staticmethod
    def _reboot(engine: windbg.Engine, machine) -> Transcript:
        stops, start = engine.stops, len(engine.text)
        engine.command("g", PATIENCE)
        engine.wait_state("running", PATIENCE)
        machine.reset()
        engine.wait_stops(stops + 1, PATIENCE)
        transcript = Transcript(engine)
        transcript.text = engine.text[start:]
        return transcript


def doctor(file: Path, *options) -> tuple[int, dict[str, dict]]:
    """The exit status, and the findings by name."""
    done = subprocess.run([kdtap.PROGRAM, "doctor", "--json", *map(str, options), file],
                          capture_output=True, text=True, timeout=PATIENCE)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, {row["verdict"]: row for row in found if row["event"] == "diagnosis"}


@unittest.skipIf(missing(), missing())
class Kdnet(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.story = Story()

    def rows(self, file: Path, *names: str, key: str = KEY, **more) -> list[tuple]:
        return kdtest.fields(file, list(names), *self.preferences(key), **more)

    @staticmethod
    def preferences(key: str = KEY) -> tuple:
        return (f"kdnet.udp.port:{PORT}", *([f"kdnet.key:{key}"] if key else []))

    def test_the_packets_are_those_of_the_machine(self):
        """What QEMU saw at the adapter, each datagram with its direction, in the same order."""
        def datagrams(file, column, debugger):
            rows = self.rows(file, column, "udp.payload", filter=f"udp.port == {PORT}")
            return [[data for sender, data in rows if (sender == debugger) == by_debugger]
                    for by_debugger in (False, True)]
        captured = datagrams(self.story.whole, "udp.srcport", str(PORT))
        wire = datagrams(self.story.wire, "ip.src", bootmanager.HOST)
        for name, heard, sent in zip(("target", "debugger"), captured, wire):
            # A datagram of the last moment may have reached one of the two listeners only.
            difference = collections.Counter(heard) - collections.Counter(sent)
            difference += collections.Counter(sent) - collections.Counter(heard)
            self.assertLessEqual(sum(difference.values()), 2, name)
            both = set(heard) & set(sent)
            self.assertEqual([data for data in heard if data in both],
                             [data for data in sent if data in both], name)
            self.assertGreater(len(heard), 300, name)
        self.assertEqual(self.story.counts["lost"], 0)
        self.assertEqual(self.story.counts["sealed"], 0)
        self.assertEqual(self.story.counts["authentic"], sum(map(len, captured)))

    def test_everything_is_decoded(self):
        self.assertEqual(kdtest.problems(self.story.whole, *self.preferences()), [])
        self.assertEqual(self.rows(self.story.whole, "frame.number", kdtest.INFO,
                                   filter=live.FAULTS), [])
        nothing = self.rows(self.story.whole, "frame.number", kdtest.INFO,
                            filter=f"kdnet.channel == {DATA} && !kd && !kdnet.announce")
        self.assertEqual(nothing, [])
        sessions = {row[0] for row in self.rows(self.story.whole, "kdnet.session") if row[0]}
        # A machine that was slow to hear the first answer has offered itself again.
        self.assertEqual(len(sessions), len(self.responses(self.story.whole)))
        self.assertGreaterEqual(len(sessions), 2)

    def responses(self, file: Path) -> list[int]:
        """The frames in which the debugger answers an offer; each begins a session."""
        return [int(number) for number, channel, port in
                self.rows(file, "frame.number", "kdnet.channel", "udp.srcport")
                if (channel, port) == (CONTROL, str(PORT))]

    def test_values_are_those_that_windbg_printed(self):
        """Registers, memory, stacks, modules, of both sessions, one after the other."""
        packets = kdcapture.packets(self.story.whole, *self.preferences())
        border = self.responses(self.story.whole)[-1]
        halves = ([packet for packet in packets if packet.frame < border],
                  [packet for packet in packets if packet.frame >= border])
        for name, text, half in zip(("before", "after"), self.story.texts, halves):
            count = windbgtext.follow(text, "amd64", half)
            print(f"{name} the reboot: {count} values compared", file=sys.stderr)
            self.assertGreater(count, 60)

    def test_doctor_knows_the_session_and_the_reboot(self):
        _, found = doctor(self.story.whole, "--key-file", self.story.key_file)
        print(f"doctor: {sorted(found)}", file=sys.stderr)
        self.assertIn("target-restarted", found)
        self.assertEqual([name for name, row in found.items() if row["gravity"] == "fault"], [])

    def test_a_wrong_key(self):
        status, found = doctor(self.story.whole, "--key", WRONG_KEY)
        self.assertEqual(status, 1)
        self.assertEqual(found["kdnet-wrong-key"]["gravity"], "fault")
        control = self.rows(self.story.whole, "frame.number",
                            filter=f"kdnet.channel == {CONTROL}")
        refused = self.rows(self.story.whole, "frame.number", key=WRONG_KEY,
                            filter="kdnet.expert.wrong_key")
        self.assertEqual(refused, control)
        self.assertEqual(self.rows(self.story.whole, "frame.number", key=WRONG_KEY,
                                   filter="kd"), [])
        self.assertEqual(kdtest.problems(self.story.whole, *self.preferences(WRONG_KEY)), [])

    def test_no_key(self):
        status, found = doctor(self.story.whole)
        self.assertEqual(status, 1)
        self.assertIn("kdnet-no-key", found)
        self.assertTrue(self.rows(self.story.whole, "frame.number", key="",
                                  filter="kdnet.expert.no_key"))

    def test_begun_too_late(self):
        """Nothing opens until the reboot brings a new exchange; then everything does."""
        status, found = doctor(self.story.late, "--key-file", self.story.key_file)
        self.assertEqual(status, 1)
        self.assertIn("kdnet-no-exchange", found)
        closed = self.rows(self.story.late, "frame.number", filter="kdnet.expert.no_session_key")
        opened = self.rows(self.story.late, "frame.number", filter="kd")
        self.assertGreater(len(closed), 10)
        self.assertGreater(len(opened), 300)
        self.assertLess(int(closed[-1][0]), int(opened[0][0]))
        self.assertEqual(kdtest.problems(self.story.late, *self.preferences()), [])
        windbgtext.follow(self.story.texts[1], "amd64",
                          kdcapture.packets(self.story.late, *self.preferences()))


class Stranger:
    """WinDbg waits with a key that is not the target's; the machine boots and offers itself."""

    def __init__(self):
        self.folder = kdtap.new_path()
        self.folder.mkdir()
        self.key_file = self.folder / "key"
        self.key_file.write_text(f"{KEY}\n")
        self.file = self.folder / "stranger.pcapng"
        with live.Capture("--port", PORT, "--key-file", self.key_file,
                          "-w", self.file) as capture, \
                windbg.Engine(windbg.net(PORT, WRONG_KEY), initial_break=True) as engine, \
                bootmanager.NetworkMachine(self.folder):
            engine.wait_text(REFUSAL, patience=PATIENCE)
            capture.wait_for("authentic", OFFERS)
            self.state, self.text = engine.state, engine.text
        self.counts = capture.last


@unittest.skipIf(missing(), missing())
class WrongKeyOfTheDebugger(unittest.TestCase):
    """The capture has the target's key, or WinDbg's, or none."""

    @classmethod
    def setUpClass(cls):
        cls.story = Stranger()

    def rows(self, key: str, *names: str, **more) -> list[tuple]:
        return kdtest.fields(self.story.file, list(names), *Kdnet.preferences(key), two_pass=True,
                             **more)

    def test_windbg_refuses_each_offer(self):
        """It says so, and never gets to the target."""
        self.assertEqual(self.story.state, "attached")
        self.assertIn(REFUSAL, self.story.text)
        self.assertNotIn("Kernel Debugger connection established", self.story.text)

    def test_the_capture_has_nothing_but_offers(self):
        """All of the target, with the key that is given; the debugger says nothing at all."""
        self.assertGreaterEqual(self.story.counts["authentic"], OFFERS)
        self.assertEqual((self.story.counts["sealed"], self.story.counts["lost"]), (0, 0))
        offers = self.rows(KEY, "kdnet.poke.nonce", "kdnet.poke.connected_port",
                           "kdnet.expert.unanswered", "udp.dstport")
        self.assertEqual(len(offers), self.story.counts["authentic"])
        self.assertEqual(len({nonce for nonce, *_ in offers}), len(offers))
        for nonce, connected, unanswered, port in offers:
            self.assertTrue(nonce and unanswered)
            self.assertEqual((connected, port), ("0", str(PORT)))
        self.assertEqual(kdtest.problems(self.story.file, *Kdnet.preferences()), [])

    def test_doctor_with_the_key_of_the_target(self):
        """Nobody answers, and one reason is the debugger's key."""
        status, found = doctor(self.story.file, "--key-file", self.story.key_file)
        self.assertEqual(status, 1)
        self.assertEqual([name for name, row in found.items() if row["gravity"] == "fault"],
                         ["kdnet-no-response"])
        self.assertIn(REFUSAL, found["kdnet-no-response"]["next"])
        # Its offers have one number, which is no reason to call them copies.
        self.assertNotIn("kdnet-mirrored", found)

    def test_the_key_of_the_debugger_only(self):
        """It is wrong for the capture, too: no offer opens, and each says why."""
        status, found = doctor(self.story.file, "--key", WRONG_KEY)
        self.assertEqual(status, 1)
        self.assertEqual([name for name, row in found.items() if row["gravity"] == "fault"],
                         ["kdnet-wrong-key"])
        self.assertIn("nobody answers", found["kdnet-wrong-key"]["detail"])
        rows = self.rows(WRONG_KEY, "kdnet.expert.wrong_key", "kdnet.poke.nonce")
        self.assertTrue(all(wrong and not nonce for wrong, nonce in rows))

    def test_no_key(self):
        status, found = doctor(self.story.file)
        self.assertEqual(status, 1)
        self.assertIn("the other does not answer", found["kdnet-no-key"]["detail"])


if __name__ == "__main__":
    sys.argv[1:] = unittest_arguments
    kdtest.main()
