# test_doctor.py - kdlens doctor: every verdict on a capture that provokes it, real ones first.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What each capture must be told comes from how it was made: the recordings' README and the
reference for real ones, doctorstories.py for the others. The expert infos of the Wireshark plugin
and the findings of the doctor are compared frame by frame.
"""

import json
import random
import re
import signal
import subprocess
import unittest

import doctorstories as ill
import kdfiles
import kdtap
import kdtest
import kdwire
from kdfiles import PROGRAM, kdlens, scratch

PCAPS = kdfiles.REPOSITORY / "pcaps"
TABLE = kdfiles.REPOSITORY / "lib/analysis/include/analysis/verdicts.def"
FINDINGS = kdfiles.REPOSITORY / "lib/kd/include/kd/findings.def"
HEALTHY, FOUND, UNUSABLE = 0, 1, 2
STATE, NOTE, WARNING, FAULT = "state", "note", "warning", "fault"

FAULTS_KEY = "2steg4fzbj2sz.23418vzkd4ko3.1g34ou07z4pev.1sp3yo9yz874p"
BOOT_KEY = "1a2b3c4d5e6f7.8g9h0i1j2k3l.2m6n7o8p9q0r1.2s3t4u5v6w7x"

# Real recordings: file, key, verdicts above a note of all sessions, and notes that must be there.
REAL = {
    "windbg-uncut.pcapng.gz": ("8.8.8.8", {}, {"repaired", "refused"}),
    "windows-bootmgr-kdnet.pcap.gz": (BOOT_KEY, {}, {"refused", "stops"}),
    "windows-bootmgr-serial.jsonl": (None, {}, {"boot-text", "repaired", "refused", "stops"}),
    "windows-reset-storm.jsonl": (None, {"reset-storm": FAULT}, {"boot-text"}),
    "windbg-amd64.jsonl": (None, {}, {"refused"}),
    "windbg-arm64.jsonl": (None, {}, {"refused"}),
    "windbg-x86.jsonl": (None, {}, {"refused"}),
    "windbg-file-transfer.jsonl": (None, {}, {"refused"}),
    "radare2-session.jsonl": (None, {}, {"refused"}),
    "radare2-xen-kdd.jsonl": (None, {}, {"refused"}),
    "radare2-bad-checksum.jsonl": (None, {"checksum": WARNING}, {"repaired"}),
    "windbg-kdnet-plain.pcapng.gz": (None, {}, {"refused"}),
    "windbg-kdnet-v1.pcapng.gz": ("2o.l.d.1", {}, {"refused"}),
    "windbg-kdnet-v2.pcapng.gz": ("2.3.4.5", {}, {"refused"}),
    "windbg-kdnet-v3.pcapng.gz": ("k.d.n.et3", {}, {"refused"}),
    "windbg-kdnet-v4.pcapng.gz": ("4.4.4.4", {}, {"refused"}),
    "windbg-kdnet-v5.pcapng.gz": ("1.2.3.4", {}, {"refused"}),
    "windbg-kdnet-v5-ipv6.pcapng.gz": ("ip.v.6.key", {}, {"refused"}),
    # What its simulator did: datagrams lost, doubled, late, with a bad tag, junk between, some of
    # the debugger's dropped; two machine restarts, then a second debugger.
    "windbg-kdnet-v5-faults.pcapng.gz": (FAULTS_KEY, {
        "kdnet-lost": WARNING, "kdnet-late": WARNING, "kdnet-bad-tag": WARNING,
        "kdnet-junk": WARNING, "kdnet-version": WARNING, "lost-to-target": WARNING,
        "target-restarted": WARNING, "kdnet-taken-over": WARNING,
        "ids-out-of-step": WARNING, "acks-lost-to-target": WARNING, "reply-missing": WARNING},
        {"repaired", "refused", "stops"}),
    # Versions 6, 0 and 1, two wrong keys, then a good session.
    "windbg-kdnet-refused.pcapng.gz": ("r3.fus.ed.0", {"kdnet-version": WARNING,
                                                       "kdnet-wrong-key": FAULT}, {"refused"}),
}

# Made-up ones: the story, its key, all verdicts above a note, the state or None.
MADE = [
    (ill.no_kd, None, {"no-kd": FAULT}, None),
    (ill.console_text, None, {"console-text": FAULT}, None),
    (ill.wrong_baud, None, {"wrong-baud": FAULT}, None),
    (ill.target_silent, None, {"target-silent": FAULT}, None),
    (ill.debugger_silent, None, {"debugger-silent": FAULT}, None),
    (ill.kdnet_healthy, ill.KEY, {}, "running"),
    (ill.kdnet_healthy, None, {"kdnet-no-key": FAULT}, None),
    (ill.kdnet_wrong_key, ill.KEY, {"kdnet-wrong-key": FAULT}, None),
    (ill.kdnet_joined_late, ill.KEY, {"kdnet-no-exchange": FAULT}, None),
    (ill.kdnet_no_response, ill.KEY, {"kdnet-no-response": FAULT}, None),
    (ill.kdnet_response_lost, ill.KEY, {"kdnet-response-lost": FAULT}, None),
    (ill.kdnet_address, ill.KEY, {"kdnet-no-response": FAULT, "kdnet-address-mismatch": WARNING},
     None),
    (ill.kdnet_mirrored, ill.KEY, {}, "stopped"),
    (ill.kdnet_reflected, ill.KEY, {"kdnet-reflected": WARNING}, "stopped"),
    (ill.kdnet_knock, ill.KEY, {"target-silent": FAULT}, None),
    (ill.reset_storm_over, None, {"reset-storm": WARNING}, "stopped"),
    (ill.resend_storm, None, {"resend-storm": FAULT}, "stopped"),
    (ill.console_storm, None, {"console-storm": FAULT, "text-on-the-line": WARNING}, "running"),
    (ill.target_gone, None, {"target-gone": FAULT, "lost-to-target": WARNING}, "stopped-busy"),
    (ill.debugger_gone, None, {"debugger-gone": FAULT, "lost-to-debugger": WARNING}, "stopped"),
    (ill.breakin_unanswered, None, {"break-in-unanswered": FAULT}, "running"),
    (ill.breakin_forgotten, None, {"break-in-unanswered": FAULT}, "running"),
    (ill.breakin_remembered, None, {}, "stopped"),
    (ill.breakin_too_early, None, {}, "running"),
    (ill.target_busy, None, {}, "stopped"),
    (ill.acks_lost_to_target, None, {"acks-lost-to-target": WARNING}, "running"),
    (ill.acks_lost_to_debugger, None, {"acks-lost-to-debugger": WARNING}, "stopped"),
    (ill.lost_to_target, None, {"lost-to-target": WARNING}, "stopped"),
    (ill.lost_to_debugger, None, {"lost-to-debugger": WARNING}, "stopped"),
    (ill.checksum, None, {"checksum": WARNING}, "stopped"),
    (ill.desync, None, {"ids-out-of-step": WARNING}, "running"),
    (ill.text_inside, None, {"text-on-the-line": WARNING}, "stopped"),
    (ill.target_restarted, None, {"target-restarted": WARNING}, "stopped"),
    (ill.debugger_restarted, None, {"debugger-restarted": WARNING}, "stopped"),
    (ill.reply_missing, None, {"reply-missing": WARNING}, "stopped"),
    (ill.refused_all, None, {"refused-all": WARNING}, "stopped"),
    (ill.exception, None, {}, "stopped"),
    (ill.stopped_busy, None, {}, "stopped-busy"),
    (ill.prompt, None, {}, "prompt"),
    (ill.running, None, {}, "running"),
]

# Notes that these must have, too.
NOTES = {"kdnet_mirrored": "kdnet-mirrored", "target_busy": "target-busy",
         "exception": "exception", "checksum": "repaired"}


def capture_of(name: str):
    """A real recording as a capture file."""
    path = kdtest.captures(name)
    if path.suffix != ".jsonl":
        return path
    made = scratch(f"{path.stem}.pcapng")
    if not made.exists():
        kdlens("import", path, "-w", made)
    return made


def made(story) -> object:
    path = scratch(f"{story.__name__}.pcapng")
    if not path.exists():
        path.write_bytes(story().capture())
    return path


def keys(key) -> list:
    return ["--key", key] if key else []


def lines(capture, key=None, *args, status=None) -> list[dict]:
    """The JSON lines; status None: whatever the diagnoses say it must be."""
    command = [PROGRAM, "doctor", "--json", *keys(key), *args, capture]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True,
                          timeout=kdfiles.PATIENCE, stdin=subprocess.DEVNULL)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    if status is None:
        grave = any(line["event"] == "diagnosis" and line["gravity"] in (WARNING, FAULT)
                    for line in found)
        status = FOUND if grave else HEALTHY
    assert done.returncode == status, f"{command}: exit {done.returncode}\n{done.stderr}"
    return found


def diagnoses(capture, key=None) -> list[dict]:
    return [line for line in lines(capture, key) if line["event"] == "diagnosis"]


def grave(found: list[dict]) -> dict:
    return {each["verdict"]: each["gravity"] for each in found
            if each["gravity"] in (WARNING, FAULT)}


def only(found: list[dict], verdict: str) -> dict:
    [one] = [each for each in found if each["verdict"] == verdict]
    return one


class Verdicts(unittest.TestCase):
    def test_real_captures(self):
        for name, (key, expected, notes) in REAL.items():
            with self.subTest(name):
                found = diagnoses(capture_of(name), key)
                self.assertEqual(grave(found), expected)
                said = {each["verdict"] for each in found if each["gravity"] == NOTE}
                self.assertLessEqual(notes, said)
                self.assertEqual("healthy" in {each["verdict"] for each in found},
                                 not expected or name == "windbg-kdnet-refused.pcapng.gz")

    def test_made_captures(self):
        for story, key, expected, state in MADE:
            with self.subTest(story.__name__, key=key):
                found = diagnoses(made(story), key)
                self.assertEqual(grave(found), expected)
                said = [each["verdict"] for each in found]
                self.assertEqual(said[0], next(iter(expected), "healthy"))
                states = [each["verdict"] for each in found if each["gravity"] == STATE]
                self.assertEqual([each for each in states if each != "healthy"],
                                 [state] if state else [])
                self.assertIn(NOTES.get(story.__name__, said[0]), said)

    def test_every_verdict_is_provoked(self):
        names = set(re.findall(r'^KDA_VERDICT\(\w+, "([\w-]+)"', TABLE.read_text(), re.MULTILINE))
        names_here = {"kdnet-other-key", "capture-gaps"}  # tests of their own, below
        for _, expected, notes in REAL.values():
            names_here |= set(expected) | notes | {"healthy"}
        for _, _, expected, state in MADE:
            names_here |= set(expected) | {state}
        names_here |= set(NOTES.values())
        self.assertEqual(names - names_here, set())
        self.assertGreater(len(names), 40)

    def test_offers_with_one_number_are_no_copies(self):
        found = diagnoses(made(ill.kdnet_no_response), ill.KEY)
        self.assertNotIn("kdnet-mirrored", [each["verdict"] for each in found])

    def test_a_capture_with_holes(self):
        found = diagnoses(PCAPS / "truncated.pcapng")
        self.assertIn("capture-gaps", grave(found))

    def test_another_key(self):
        """The target got a new key and offers a session with it, on the same ports."""
        found = diagnoses(made(ill.kdnet_other_key), ill.KEY)
        self.assertEqual(grave(found), {"kdnet-other-key": WARNING})
        self.assertEqual(only(found, "kdnet-other-key")["count"], 3)


class Evidence(unittest.TestCase):
    """What the issue's examples must name, with the frames."""

    def test_reset_storm(self):
        """capture-tool.md, section 8: a round is RESET, RESET, the pending state change; the
        debugger's RestoreBreakPoint gets RESEND."""
        found = diagnoses(capture_of("windows-reset-storm.jsonl"))
        storm = only(found, "reset-storm")
        packets = self.packets("windows-reset-storm.jsonl")
        first = next(number for number, (sender, kind) in packets.items()
                     if sender == kdfiles.FROM_TARGET and kind == kdfiles.RESET)
        self.assertEqual(storm["first"], first)
        self.assertGreater(storm["last"], max(packets) - 10)
        for words in (f"begins in frame {first} ", "still on", "the target repeated the packet",
                      "RestoreBreakPoint", "RESEND"):
            self.assertIn(words, storm["detail"])
        self.assertIn("--heal", storm["next"])

    @staticmethod
    def packets(name) -> dict:
        """Sender and type by frame number, from the records themselves."""
        capture = kdfiles.Capture(capture_of(name))
        return {number: (record.direction, record.kind) for number, record
                in enumerate(kdfiles.records(capture), 1) if isinstance(record.kind, int)}

    def test_uncut(self):
        """README: RESEND and RESET pair near frames 197 to 204, healthy otherwise."""
        found = diagnoses(capture_of("windbg-uncut.pcapng.gz"), "8.8.8.8")
        self.assertEqual(found[0]["verdict"], "healthy")
        repaired = only(found, "repaired")
        self.assertEqual([repaired["first"], repaired["last"]], [198, 204])
        words = [[each["frame"], each["text"].split()[-1]] for each in repaired["evidence"]]
        self.assertEqual([word for word in words if word[1] in ("RESEND", "RESET")],
                         [[198, "RESEND"], [202, "RESET"], [203, "RESET"]])
        self.assertTrue(only(found, "stops")["evidence"])

    def test_faults(self):
        """windbg-kdnet-facts.md: 55 sequence numbers not above the highest, 6 impossible lengths
        and 4 datagrams that are no MDBG, 12 pokes of which two begin a new boot, four sessions
        from frames 3, 439, 860, 1171."""
        found = diagnoses(capture_of("windbg-kdnet-v5-faults.pcapng.gz"), FAULTS_KEY)
        self.assertEqual(only(found, "kdnet-late")["count"], 55)
        self.assertEqual(only(found, "kdnet-junk")["count"], 6 + 4)
        self.assertEqual(only(found, "target-restarted")["count"], 2)
        self.assertEqual(only(found, "kdnet-taken-over")["first"], 1171)
        # The facts count 9 datagrams that no session opens; one of them has a refused version.
        self.assertEqual(only(found, "kdnet-bad-tag")["count"]
                         + only(found, "kdnet-version")["count"], 9)

    def test_refused(self):
        """Three pokes each of versions 6, 0, 1 and of two wrong keys, each from its own port."""
        found = diagnoses(capture_of("windbg-kdnet-refused.pcapng.gz"), "r3.fus.ed.0")
        versions = [each for each in found if each["verdict"] == "kdnet-version"]
        self.assertEqual([each["count"] for each in versions], [3, 3, 3])
        self.assertEqual([each["evidence"][0]["text"].partition("Version ")[2][0]
                          for each in versions], ["6", "0", "1"])
        wrong = [each for each in found if each["verdict"] == "kdnet-wrong-key"]
        self.assertEqual([[each["first"], each["last"]] for each in wrong], [[10, 12], [13, 15]])

    def test_what_the_target_refuses(self):
        """ms-target.md: RestoreBreakPoint of handles that are not set, WriteMSR."""
        refused = only(diagnoses(capture_of("windows-bootmgr-serial.jsonl")), "refused")
        told = " ".join(each["text"] for each in refused["evidence"])
        for name in ("RestoreBreakPoint: 0xc0000001", "WriteMachineSpecificRegister: 0xc0000001"):
            self.assertIn(name, told)


def experts() -> list[str]:
    return re.findall(r'^KD_FINDING\(\w+, "([\w.]+)"', FINDINGS.read_text(), re.MULTILINE)


# Judged by one of the two alone: whole messages, and pokes by hindsight.
ONE_SIDED = {"kd.expert.length", "kdnet.expert.unanswered"}
HINDSIGHT = {"kd.expert.unacknowledged", "kd.expert.unanswered"}


class Agreement(unittest.TestCase):
    """Wireshark's expert infos and the doctor's findings, frame by frame."""

    def compare(self, capture, key):
        plugin = kdfiles.with_plugin()
        names = [name for name in experts() if name not in ONE_SIDED]
        prefs = ["tcp.reassemble_out_of_order:TRUE"] + ([f"kdnet.key:{key}"] if key else [])
        rows = plugin.fields(capture, ["frame.number", "_ws.expert.message", "kd.fragment",
                                       "udp.length", *names], *prefs, multiple=True)
        shown = {(int(number[0]), name) for number, _, _, _, *values in rows
                 for name, value in zip(names, values) if value}
        texts = {int(number[0]): set(messages) for number, messages, *_ in rows}
        # Unfinished at the end of the capture: noise for the doctor, a fragment for Wireshark.
        fragments = [int(number[0]) for number, _, fragment, *_ in rows if fragment]
        unfinished = {(frame, name) for frame in fragments[-2:]
                      for name in ("kd.expert.noise", "kd.expert.lost_bytes")}
        # Wireshark asks nobody about an empty datagram.
        unfinished |= {(int(number[0]), "kdnet.expert.bad_datagram")
                       for number, _, _, length, *_ in rows if length == ["8"]}
        found = [line for line in lines(capture, key, "--findings") if line["event"] == "finding"]
        said = {(line["frame"], line["id"]) for line in found
                if not line["hindsight"] and line["id"] not in ONE_SIDED}
        self.assertEqual(sorted(said - shown - unfinished), [], "the doctor says more")
        self.assertEqual(sorted(shown - said), [], "Wireshark says more")
        for line in found:
            if (line["frame"], line["id"]) in shown and not line["hindsight"]:
                self.assertIn(line["text"], texts[line["frame"]])

    def test_real_captures(self):
        for name, (key, *_) in REAL.items():
            with self.subTest(name):
                self.compare(capture_of(name), key)

    def test_made_captures(self):
        for story, key, *_ in MADE:
            with self.subTest(story.__name__):
                self.compare(made(story), key)

    def test_shipped_captures(self):
        for path in sorted(PCAPS.glob("[!v]*.pcapng")):  # a VMBus pipe drops frames below KD
            with self.subTest(path.name):
                self.compare(path, ill.KEY)

    def test_hindsight(self):
        """What two passes of Wireshark add: never acknowledged, never answered."""
        plugin = kdfiles.with_plugin()
        for name in ("windows-bootmgr-serial.jsonl", "windows-reset-storm.jsonl",
                     "windbg-amd64.jsonl"):
            with self.subTest(name):
                capture = capture_of(name)
                names = sorted(HINDSIGHT)
                rows = plugin.fields(capture, ["frame.number", "_ws.expert.message", *names],
                                     two_pass=True, multiple=True)
                shown = {(int(number[0]), name) for number, messages, *values in rows
                         for name, value in zip(names, values)
                         if value and {"Never acknowledged", "Never answered"} & set(messages)}
                said = {(line["frame"], line["id"]) for line in lines(capture, None, "--findings")
                        if line["event"] == "finding" and line["hindsight"]}
                self.assertEqual(said, shown)


class Manner(unittest.TestCase):
    """Output, exit status, live captures, hostile input."""

    def test_text(self):
        done = kdlens("doctor", capture_of("windows-reset-storm.jsonl"), status=FOUND)
        first, *rest = done.stdout.splitlines()
        self.assertTrue(first.startswith("Session 1"), first)
        self.assertIn("RESET storm", first)
        self.assertTrue(any("Next step: " in line and "--heal" in line for line in rest))
        self.assertTrue(any(re.match(r" +frame \d+ ", line) for line in rest))
        kdlens("doctor", capture_of("windbg-amd64.jsonl"), status=HEALTHY)

    def test_wrong_use(self):
        kdlens("doctor", status=UNUSABLE)
        kdlens("doctor", "--no-such-option", status=UNUSABLE)
        done = kdlens("doctor", scratch("missing.pcapng"), status=UNUSABLE)
        self.assertIn("missing.pcapng", done.stderr)
        text = scratch("text.pcapng")
        text.write_text("this is no capture\n")
        kdlens("doctor", text, status=UNUSABLE)

    def test_follow(self):
        """A recording that grows: the verdict is told when it changes, the report at Ctrl-C."""
        whole = kdfiles.content(made(ill.target_gone))
        growing = scratch("growing.pcapng")
        cut = len(whole) // 3
        growing.write_bytes(whole[:cut])
        process = subprocess.Popen([PROGRAM, "doctor", "--json", "--follow", str(growing)],
                                   stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        try:
            first = json.loads(process.stdout.readline())
            self.assertEqual(first["event"], "verdict")
            with open(growing, "ab") as out:
                out.write(whole[cut:])
            seen = [first["verdict"]]
            while seen[-1] != "target-gone":
                seen.append(json.loads(process.stdout.readline())["verdict"])
            process.send_signal(signal.SIGINT)
            rest = [json.loads(line) for line in process.stdout.read().splitlines()]
            self.assertEqual(process.wait(timeout=kdfiles.PATIENCE), FOUND)
            self.assertEqual(rest[-1]["event"], "summary")
        finally:
            process.kill()
            process.stdout.close()
            process.wait()

    def test_tap(self):
        """A tap says the verdict of the link it forwards, and another when that changes."""
        tap, debugger, target = kdtap.start(kdtap.UNIX_LISTEN, kdtap.UNIX, "--doctor")
        reset = kdwire.packet(kdwire.RESET, 0)
        with tap:
            for _ in range(3):
                debugger.send(reset)
                target.receive(len(reset))
            told = tap.wait("verdict", verdict="target-silent")
            self.assertEqual(told["gravity"], FAULT)
            for _ in range(20):
                for sender, receiver in ((debugger, target), (target, debugger)):
                    sender.send(reset)
                    receiver.receive(len(reset))
            told = tap.wait("verdict", verdict="reset-storm")
            self.assertIn("--heal", told["next"])
            self.assertIn("Next step: ", tap.said())
            self.assertEqual(tap.stop(), 0)

    def survive(self, capture):
        done = subprocess.run([PROGRAM, "doctor", "--json", "--findings", "--key", "8.8.8.8",
                               str(capture)], capture_output=True, timeout=kdfiles.PATIENCE,
                              stdin=subprocess.DEVNULL)
        self.assertIn(done.returncode, (HEALTHY, FOUND, UNUSABLE), done.stderr)
        for line in done.stdout.splitlines():
            json.loads(line)

    def test_truncations(self):
        whole = kdfiles.content(PCAPS / "link-trouble.pcapng")
        path = scratch("cut.pcapng")
        for size in range(0, len(whole), 97):
            path.write_bytes(whole[:size])
            self.survive(path)

    def test_noise(self):
        """Bytes changed at random, in packets and in the file's own blocks."""
        for name in ("link-trouble", "kdnet-session", "serial-session", "kd-tcp"):
            whole = kdfiles.content(PCAPS / f"{name}.pcapng")
            for seed in range(40):
                rng = random.Random(f"{name} {seed}")
                noisy = bytearray(whole)
                for _ in range(max(1, len(whole) * (seed % 4 + 1) // 400)):
                    noisy[rng.randrange(200 if seed % 2 else 0, len(noisy))] = rng.randrange(256)
                path = scratch("noisy.pcapng")
                path.write_bytes(noisy)
                self.survive(path)


if __name__ == "__main__":
    kdfiles.main()
