# test_scrub.py - captures without memory and keys: what is gone, what stays, what Wireshark says.
# SPDX-License-Identifier: BSD-2-Clause-Patent

import json
import random
import shutil
import struct
import subprocess
import unittest
from pathlib import Path

import kdfiles
import kdoracle
import kdtest
from kdfiles import kdlens, scratch

BOOTMGR_KEY = "1a2b3c4d5e6f7.8g9h0i1j2k3l.2m6n7o8p9q0r1.2s3t4u5v6w7x"
LOADED, COMMAND = 0x3031, 0x3032
PUBLIC_KEY = "1.2.3.4"
KDNET = {  # capture: its key
    "windows-bootmgr-kdnet.pcap.gz": BOOTMGR_KEY,
    "windbg-kdnet-v1.pcapng.gz": "2o.l.d.1",
    "windbg-kdnet-v2.pcapng.gz": "2.3.4.5",
    "windbg-kdnet-v3.pcapng.gz": "k.d.n.et3",
    "windbg-kdnet-v4.pcapng.gz": "4.4.4.4",
    "windbg-kdnet-v5-ipv6.pcapng.gz": "ip.v.6.key",
    "windbg-uncut.pcapng.gz": "8.8.8.8",
}
FAULTS_KEY = "2steg4fzbj2sz.23418vzkd4ko3.1g34ou07z4pev.1sp3yo9yz874p"


def key_file(key: str) -> Path:
    path = scratch(f"{key[:8]}.key")
    path.write_text(key + "\n")
    return path


def imported(name: str) -> Path:
    path = scratch(f"{name}.pcapng")
    if not path.exists():
        kdlens("import", kdfiles.recording(name), "-w", path)
    return path


def scrubbed(capture: Path, *arguments) -> tuple[Path, dict]:
    path = scratch(f"{capture.name.split('.')[0]}-scrubbed.pcapng")
    done = kdlens("scrub", capture, "-w", path, "--json", *arguments)
    return path, json.loads(done.stdout)


def oracle(*arguments) -> kdoracle.Session:
    out = scratch("scrub-oracle.jsonl")
    kdlens("export", *arguments, "--jsonl", out)
    return kdoracle.Session(kdtest.read_recording(out))


def secrets_of(session: kdoracle.Session) -> set[bytes]:
    """Pieces of memory that are no accident where they are found."""
    found = set()
    for _, data, _ in session.reads + session.writes:
        for at in range(0, len(data) - 7, 8):
            piece = data[at:at + 8]
            if len(set(piece)) >= 6:
                found.add(piece)
    return found


def sizes(session: kdoracle.Session) -> list:
    return [(address, len(data), physical) for address, data, physical in session.reads]


class Same:
    """What holds of a scrubbed session next to the original's."""

    @staticmethod
    def words(stop: kdoracle.Stop, keeps_texts: bool) -> bytes:
        """What follows a state change: a path stays, a command is a text."""
        if stop.state & 0xFFFF == LOADED or keeps_texts:
            return stop.path
        return b"x" * len(stop.path) if stop.state & 0xFFFF == COMMAND else b""

    def compare(self, before: kdoracle.Session, after: kdoracle.Session, keeps_texts=False):
        self.assertEqual(after.requests, before.requests)
        self.assertEqual(sizes(after), sizes(before))
        self.assertEqual({bytes(set(data)) for _, data, _ in after.reads + after.writes} -
                         {b"", b"\0"}, set())
        self.assertEqual([(stop.state, stop.pc, stop.code, stop.base, stop.cs, stop.reads,
                           stop.path) for stop in after.stops],
                         [(stop.state, stop.pc, stop.code, stop.base, stop.cs, stop.reads,
                           self.words(stop, keeps_texts)) for stop in before.stops])
        texts = [text if keeps_texts else
                 bytes(c if c in b"\r\n\0" else ord("x") for c in text) for text in before.prints]
        self.assertEqual(after.prints, texts)


class Records(Same, unittest.TestCase):
    NAMES = ("windows-bootmgr-serial", "windbg-amd64", "windbg-arm64", "windbg-x86",
             "windbg-file-transfer", "radare2-session", "windows-reset-storm")

    def test_packets_are_the_same_but_for_their_contents(self):
        for name in self.NAMES:
            with self.subTest(name):
                capture = imported(name)
                path, said = scrubbed(capture)
                before = kdfiles.records(kdfiles.Capture(capture))
                after = kdfiles.records(kdfiles.Capture(path))
                self.assertEqual(said["packets"], len(before))
                self.assertEqual([(r.nanoseconds, r.direction, len(r.data), r.kind) for r in after],
                                 [(r.nanoseconds, r.direction, len(r.data), r.kind)
                                  for r in before])
                for old, new in zip(before, after):
                    self.assertEqual(new.data[:12], old.data[:12] if old.kind != "noise"
                                     else new.data[:12])
                    if isinstance(new.kind, int) and new.data[:4] == b"0000":
                        self.assertEqual(struct.unpack_from("<I", new.data, 12)[0],
                                         sum(new.data[16:-1]))
                self.compare(oracle(capture), oracle(path))

    def test_memory_is_gone(self):
        for name in self.NAMES:
            with self.subTest(name):
                capture = imported(name)
                path, _ = scrubbed(capture)
                data = path.read_bytes()
                before, after = oracle(capture), oracle(path)
                kept = b"".join(struct.pack("<Q", address) for address, *_ in after.reads)
                kept += b"".join(struct.pack("<Q", stop.pc) for stop in after.stops)
                leaked = [piece.hex() for piece in secrets_of(before)
                          if piece in data and piece not in kept]
                self.assertEqual(leaked, [])

    def test_registers_are_gone(self):
        path, _ = scrubbed(imported("windows-bootmgr-serial"))
        for record in kdfiles.records(kdfiles.Capture(path)):
            if record.kind == 2 and record.data[16] in (0x32, 0x33, 0x5F, 0x60):
                self.assertEqual(set(record.data[16 + 56:-1]) - {0}, set())

    def test_texts(self):
        capture = imported("windows-bootmgr-serial")
        path, _ = scrubbed(capture)
        self.assertNotIn(b"Fatal Error", path.read_bytes())
        noise = b"".join(record.data for record in kdfiles.records(kdfiles.Capture(path))
                         if record.kind == "noise")
        self.assertEqual(len(noise), 280)
        self.assertLessEqual(set(noise), set(b"x\r\n\0"))
        path, _ = scrubbed(capture, "--keep-prints")
        self.compare(oracle(capture), oracle(path), keeps_texts=True)
        self.assertIn(b"Fatal Error", path.read_bytes())

    def test_file_contents(self):
        folder = scratch("scrubbed-files")
        path, _ = scrubbed(imported("windbg-file-transfer"))
        kdlens("carve", path, "--files", "-w", folder)
        file, = folder.iterdir()
        self.assertEqual(file.read_bytes(), bytes(5000))

    def test_wrong_checksums_stay_wrong(self):
        def wrong(path):
            return [i for i, record in enumerate(kdfiles.records(kdfiles.Capture(path)))
                    if isinstance(record.kind, int) and record.data[:4] == b"0000"
                    and struct.unpack_from("<I", record.data, 12)[0] != sum(record.data[16:-1])]

        capture = imported("radare2-bad-checksum")
        path, _ = scrubbed(capture)
        self.assertEqual(len(wrong(capture)), 1)
        self.assertEqual(wrong(path), wrong(capture))

    def test_verdict_is_the_same(self):
        for name in ("windows-bootmgr-serial", "windows-reset-storm"):
            capture = imported(name)
            path, _ = scrubbed(capture)
            before, after = (subprocess.run([kdfiles.PROGRAM, "doctor", file], capture_output=True,
                                            text=True, timeout=kdfiles.PATIENCE)
                             for file in (capture, path))
            self.assertEqual(after.returncode, before.returncode)
            self.assertEqual(after.stdout.splitlines()[0], before.stdout.splitlines()[0])

    def test_comments_and_names_are_gone(self):
        capture = imported("windows-bootmgr-serial")
        named = scratch("named.pcapng")
        if not shutil.which("editcap"):
            self.skipTest("no editcap")
        subprocess.run(["editcap", "-a", "3:my secret note", "--capture-comment", "of my machine",
                        capture, named], check=True, capture_output=True)
        self.assertIn(b"my secret note", named.read_bytes())
        path, _ = scrubbed(named)
        for text in (b"secret note", b"of my machine", b"Editcap"):
            self.assertNotIn(text, path.read_bytes())

    def test_packets_that_span_records(self):
        """The same bytes, cut elsewhere: as a peer's UDP, whose checksums must be right."""
        capture = imported("windows-bootmgr-serial")
        udp = scratch("peer.pcap")
        kdlens("export", capture, "--as-udp", udp)
        path, said = scrubbed(udp)
        self.assertEqual((said["kd"], said["blank"]), (said["packets"], 0))
        before, after = kdfiles.read_pcap(udp), kdfiles.Capture(path).packets
        self.assertEqual([(time, len(data)) for time, data in before],
                         [(packet.nanoseconds, len(packet.data)) for packet in after])
        for packet in after:
            self.assertEqual(udp_sum(packet.data), 0xFFFF)
        self.compare(oracle(capture), oracle(path))


def udp_sum(frame: bytes) -> int:
    """Of IPv4 over Ethernet, with the pseudo header; 0xFFFF when the checksum is right."""
    data = frame[26:34] + b"\0\x11" + frame[38:40] + frame[34:]
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


class Kdnet(Same, unittest.TestCase):
    def test_opened_and_sealed_again(self):
        for name, key in KDNET.items():
            with self.subTest(name):
                capture = kdtest.captures(name)
                path, said = scrubbed(capture, "--key-file", key_file(key))
                self.assertEqual((said["key"], said["sealed"]), (PUBLIC_KEY, 0))
                before = oracle(capture, "--key-file", key_file(key))
                after = oracle(path, "--key-file", key_file(PUBLIC_KEY))
                self.compare(before, after)
                kdlens("stops", path, "--key-file", key_file(key), status=1)

    def test_sizes_times_and_checksums(self):
        capture = kdtest.captures("windows-bootmgr-kdnet.pcap.gz")
        path, said = scrubbed(capture, "--key-file", key_file(BOOTMGR_KEY))
        before, after = kdfiles.read_pcap(capture), kdfiles.Capture(path).packets
        self.assertEqual([(time, len(data)) for time, data in before],
                         [(packet.nanoseconds, len(packet.data)) for packet in after])
        blank = 0
        for (_, old), packet in zip(before, after):
            if packet.data[12:14] == b"\x88\xb5":
                self.assertEqual(set(packet.data[:12] + packet.data[14:]), {0})
                blank += 1
            elif old[40:42] != b"\0\0" and old[12:14] == b"\x08\0":
                self.assertEqual(udp_sum(packet.data[:14 + struct.unpack_from(
                    ">H", packet.data, 16)[0]]), udp_sum(old[:14 + struct.unpack_from(
                        ">H", old, 16)[0]]))
        self.assertEqual((blank, len(after) - blank), (said["blank"], 1559))

    def test_key_in_the_capture_is_used_and_gone(self):
        capture = kdtest.captures("windbg-kdnet-v5.pcapng.gz")
        keyed = scratch("keyed.pcapng")
        kdlens("keys", "add", capture, "-w", keyed, "--key-file", key_file("1.2.3.4"))
        path, said = scrubbed(keyed)
        self.assertEqual(said["sealed"], 0)
        self.assertEqual(kdfiles.Capture(path).secrets, [])
        self.assertNotIn(b"1.2.3.4", path.read_bytes())

    def test_without_the_key(self):
        capture = kdtest.captures("windbg-kdnet-v5.pcapng.gz")
        out = scratch("refused.pcapng")
        for arguments in ([], ["--key-file", key_file("9.9.9.9")]):
            done = kdlens("scrub", capture, "-w", out, *arguments, status=1)
            self.assertIn("none of", done.stderr)
            self.assertFalse(out.exists())

    def test_what_no_key_opens_is_blank(self):
        path, said = scrubbed(kdtest.captures("windbg-kdnet-v5-faults.pcapng.gz"), "--key-file",
                              key_file(FAULTS_KEY))
        self.assertGreater(said["sealed"], 0)
        self.assertGreaterEqual(said["blank"], said["sealed"])
        self.assertEqual(len(kdfiles.Capture(path).packets), said["packets"])
        rows = [json.loads(line) for line in kdlens("stops", path, "--key-file",
                                                    key_file(PUBLIC_KEY), "--json",
                                                    ).stdout.splitlines()]
        self.assertGreater(len(rows), 3)


class InWireshark(unittest.TestCase):
    COLUMNS = ["frame.number", "frame.len", "kd.type", "kd.id", "kd.length", "kd.api", "kd.status"]

    def check(self, before: Path, after: Path, old=(), new=()):
        tool = kdfiles.with_plugin()
        self.assertEqual(tool.fields(after, self.COLUMNS, *new, multiple=True),
                         tool.fields(before, self.COLUMNS, *old, multiple=True))
        bad = "_ws.malformed || _ws.expert.severity == error"
        self.assertEqual(tool.fields(after, ["frame.number"], *new, filter=bad, two_pass=True), [])

    def test_records(self):
        capture = imported("windows-bootmgr-serial")
        self.check(capture, scrubbed(capture)[0])

    def test_kdnet(self):
        capture = kdtest.captures("windows-bootmgr-kdnet.pcap.gz")
        path, _ = scrubbed(capture, "--key-file", key_file(BOOTMGR_KEY))
        self.check(capture, path, [f"kdnet.key:{BOOTMGR_KEY}"], [f"kdnet.key:{PUBLIC_KEY}"])


class Refused(unittest.TestCase):
    def test_usage(self):
        capture = imported("windows-bootmgr-serial")
        for arguments, word in (([capture], "-w FILE"), ([capture, "-w", capture], "overwrite"),
                                (["-", "-w", scratch("x")], "twice")):
            self.assertIn(word, kdlens("scrub", *arguments, status=2).stderr)

    def test_damaged_captures(self):
        data = imported("windbg-amd64").read_bytes()
        chance = random.Random(14)
        path, out = scratch("damaged.pcapng"), scratch("damaged-out.pcapng")
        for round_number in range(24):
            broken = bytearray(data)
            if round_number % 2:
                broken = broken[:chance.randrange(1, len(broken))]
            else:
                for _ in range(40):
                    broken[chance.randrange(200, len(broken))] = chance.randrange(256)
            path.write_bytes(broken)
            done = subprocess.run([kdfiles.PROGRAM, "scrub", path, "-w", out], capture_output=True,
                                  text=True, timeout=kdfiles.PATIENCE)
            self.assertIn(done.returncode, (0, 1), done.stderr)
            self.assertTrue(done.returncode == 0 or done.stderr)
            if done.returncode == 0:
                kdfiles.Capture(out)


if __name__ == "__main__":
    kdfiles.main()
