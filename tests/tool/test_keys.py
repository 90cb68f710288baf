# test_keys.py - kdlens keys: keys into captures, out of them, and never into sight.
# SPDX-License-Identifier: BSD-2-Clause-Patent
import gzip
import json
import os
import pty
import select
import struct
import sys
import termios
import time
import unittest

import kdfiles
from kdfiles import INTERFACE, KDNK, PACKET, SECRETS, SECTION, Capture, kdlens, scratch
import kdtest
sys.path.insert(0, str(kdfiles.REPOSITORY / "tests/dissector/generate"))
import capturefile

PCAPS = kdfiles.REPOSITORY / "pcaps"
KEY = "wwa9qyd3yzr0.2wjshpipwi9el.316j4ftj9xwg9.96ggdc1icgbe"  # of pcaps/, see its README.md
OTHER_KEY = "3cfrbosrwcxuw.34z6qdr5lrgqy.6xlyjahdtsjq.1mxt900op5wop"
SESSION = PCAPS / "kdnet-session.pcapng"


def key_file(*lines: str):
    path = scratch("keys.txt")
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def with_key(capture, *args, name: str = "with-key.pcapng", keys=(KEY,), status: int = 0):
    path = scratch(name)
    path.unlink(missing_ok=True)
    done = kdlens("keys", "add", capture, "-w", path, "--key-file", key_file(*keys), *args,
                  status=status)
    return done, path


def key_comments(path) -> list[tuple[int, str]]:
    return [(number, comment) for number, packet in enumerate(Capture(path).packets, 1)
            for comment in packet.comments]


class Add(unittest.TestCase):
    def test_secrets_follow_the_interface(self):
        _, path = with_key(SESSION)
        capture = Capture(path)
        kinds = [block.kind for block in capture.blocks]
        self.assertEqual(kinds[:3], [SECTION, INTERFACE, SECRETS])
        self.assertEqual(kinds.count(SECRETS), 1)
        self.assertEqual(capture.secrets, [(KDNK, f"{KEY}\n".encode())])

    def test_first_datagram_carries_the_comment(self):
        _, path = with_key(SESSION)
        self.assertEqual(key_comments(path), [(1, f"kdnet.key: {KEY}")])

    def test_all_else_stays(self):
        _, path = with_key(SESSION)
        before, after = Capture(SESSION).blocks, Capture(path).blocks
        del after[2]
        changed = [index for index, (a, b) in enumerate(zip(before, after, strict=True))
                   if a.body != b.body]
        self.assertEqual(changed, [2])
        a, b = Capture(SESSION).packets[0], Capture(path).packets[0]
        b.comments = a.comments
        self.assertEqual(a, b)

    def test_tells_what_the_key_opens(self):
        done, _ = with_key(SESSION)
        opened = len(Capture(SESSION).packets)
        self.assertIn(f"packet 1; opens {opened} datagrams", done.stdout)
        done, _ = with_key(SESSION, "--json")
        self.assertEqual(json.loads(done.stdout),
                         {"key": 1, "for": "any", "packet": 1, "opened": opened})

    def test_wireshark_opens_it_without_preferences(self):
        shark = kdfiles.with_plugin()
        path = kdtest.captures("windbg-uncut.pcapng.gz")
        done, copy = with_key(path, keys=["8.8.8.8"], name="uncut.pcapng.gz")
        self.assertIn("opens 955 datagrams", done.stdout)
        self.assertEqual(len(shark.fields(copy, ["frame.number"], filter="kdnet.authentic == 1")),
                         955)
        self.assertEqual(len(shark.fields(path, ["frame.number"], filter="kdnet.authentic == 1")),
                         0)
        self.assertEqual(len(shark.fields(copy, ["kd.api"], filter="kd.type == 2")), 187)

    def test_editcap_keeps_it(self):
        _, path = with_key(SESSION)
        copy = scratch("edited.pcapng")
        self.assertEqual(kdfiles.complaints("editcap", path, copy), [])
        self.assertEqual(Capture(copy).secrets, Capture(path).secrets)
        self.assertEqual(key_comments(copy), key_comments(path))
        self.assertEqual(kdfiles.complaints("mergecap", "-w", copy, path), [])
        self.assertEqual(Capture(copy).secrets, Capture(path).secrets)
        self.assertEqual(kdfiles.complaints("capinfos", path, copy), [])
        self.assertEqual(kdfiles.complaints("tshark", "-r", path), [])

    def test_pcap_becomes_pcapng(self):
        shark = kdfiles.with_plugin()
        plain = scratch("session.pcap")
        self.assertEqual(kdfiles.complaints("editcap", "-F", "nsecpcap", SESSION, plain), [])
        _, path = with_key(plain)
        self.assertEqual([(packet.nanoseconds, packet.data) for packet in Capture(path).packets],
                         [(packet.nanoseconds, packet.data)
                          for packet in Capture(SESSION).packets])
        names = ["kd.type", "kd.id"]
        self.assertEqual(shark.fields(path, names),
                         shark.fields(SESSION, names, f"kdnet.key:{KEY}"))

    def test_keys_for_ends(self):
        shark = kdfiles.with_plugin()
        capture = PCAPS / "kdnet-two-targets.pcapng"
        keys = [f"192.0.2.72 {KEY}", f"192.0.2.73:50001 {OTHER_KEY}"]
        _, path = with_key(capture, keys=keys)
        self.assertEqual(Capture(path).secrets,
                         [(KDNK, "".join(f"{key}\n" for key in keys).encode())])
        first, second = key_comments(path)
        self.assertEqual([first[1], second[1]], [f"kdnet.key: {KEY}", f"kdnet.key: {OTHER_KEY}"])
        rows = shark.fields(path, ["ip.addr", "kdnet.authentic"], filter="kdnet")
        self.assertEqual({row[1] for row in rows}, {"1"})
        self.assertEqual(first[0], 1)
        self.assertIn("192.0.2.73", rows[second[0] - 1][0])

    def test_for(self):
        capture = PCAPS / "kdnet-two-targets.pcapng"
        done, path = with_key(capture, "--for", "192.0.2.73:50001", keys=[OTHER_KEY])
        self.assertEqual(Capture(path).secrets,
                         [(KDNK, f"192.0.2.73:50001 {OTHER_KEY}\n".encode())])
        self.assertIn("key for 192.0.2.73:50001", done.stdout)

    def test_for_ipv6(self):
        done, path = with_key(PCAPS / "kdnet-ipv6.pcapng", "--for", "[2001:db8::72]:50006")
        self.assertEqual(Capture(path).secrets,
                         [(KDNK, f"[2001:db8:0:0:0:0:0:72]:50006 {KEY}\n".encode())])
        self.assertEqual(len(key_comments(path)), 1)

    def test_for_somebody_who_is_not_there(self):
        done, path = with_key(SESSION, "--for", "203.0.113.9", status=1)
        self.assertIn("no KDNET datagram that this key is for", done.stderr)
        self.assertEqual(key_comments(path), [])
        self.assertEqual(len(Capture(path).secrets), 1)

    def test_wrong_key_is_told(self):
        done, _ = with_key(SESSION, keys=["1.2.3.4"], status=1)
        self.assertIn("opens nothing", done.stderr)

    def test_twice_is_once(self):
        _, path = with_key(SESSION)
        _, again = with_key(path, name="again.pcapng")
        self.assertEqual(again.read_bytes(), path.read_bytes())
        _, more = with_key(path, keys=[f"192.0.2.1 {KEY}"], name="more.pcapng")
        self.assertEqual(Capture(more).secrets,
                         [(KDNK, f"192.0.2.1 {KEY}\n{KEY}\n".encode())])

    def test_other_secrets_and_comments_stay(self):
        blocks = Capture(SESSION).blocks
        tls = struct.pack("<II", 0x544C534B, 4) + b"abcd"
        noted = change_comment(blocks[2], b"look here")
        write(scratch("tls.pcapng"), [raw(b) for b in blocks[:2]] + [block(SECRETS, tls), noted]
              + [raw(b) for b in blocks[3:]])
        _, path = with_key(scratch("tls.pcapng"))
        self.assertEqual(Capture(path).secrets, [(KDNK, f"{KEY}\n".encode()),
                                                 (0x544C534B, b"abcd")])
        self.assertEqual(key_comments(path), [(1, "look here"), (1, f"kdnet.key: {KEY}")])

    def test_section_length_is_given_up(self):
        blocks = Capture(SESSION).blocks
        sized = bytearray(blocks[0].body)
        sized[8:16] = struct.pack("<q", sum(len(raw(b)) for b in blocks[1:]))
        write(scratch("sized.pcapng"),
              [block(SECTION, bytes(sized))] + [raw(b) for b in blocks[1:]])
        _, path = with_key(scratch("sized.pcapng"))
        self.assertEqual(Capture(path).blocks[0].body[8:16], b"\xff" * 8)

    def test_big_endian_section(self):
        write(scratch("big.pcapng"), big_endian(Capture(SESSION)))
        done, path = with_key(scratch("big.pcapng"))
        capture = Capture(path)
        self.assertEqual(capture.order, ">")
        self.assertEqual(capture.secrets, [(KDNK, f"{KEY}\n".encode())])
        self.assertEqual(key_comments(path), [(1, f"kdnet.key: {KEY}")])
        self.assertEqual([packet.data for packet in capture.packets],
                         [packet.data for packet in Capture(SESSION).packets])
        self.assertEqual(kdfiles.complaints("tshark", "-r", path), [])

    def test_sections(self):
        data = kdfiles.content(SESSION)
        scratch("two.pcapng").write_bytes(data + data)
        _, path = with_key(scratch("two.pcapng"))
        capture = Capture(path)
        self.assertEqual([block.kind for block in capture.blocks[:3]],
                         [SECTION, INTERFACE, SECRETS])
        self.assertEqual(len(capture.secrets), 1)
        self.assertEqual(len(capture.packets), 2 * len(Capture(SESSION).packets))

    def test_packets_that_carry_no_comment(self):
        """Simple packet blocks: the key goes to the next that can carry it."""
        blocks = Capture(SESSION).blocks
        first = Capture(SESSION).packets[0]
        simple = block(3, struct.pack("<I", len(first.data)) + first.data
                       + bytes(-len(first.data) % 4))
        write(scratch("simple.pcapng"), [raw(b) for b in blocks[:2]] + [simple]
              + [raw(b) for b in blocks[3:]])
        done, path = with_key(scratch("simple.pcapng"))
        self.assertIn("packet 2;", done.stdout)
        self.assertEqual(raw(Capture(path).blocks[3]), simple)
        self.assertEqual(key_comments(path), [(1, f"kdnet.key: {KEY}")])  # first with options

    def test_unknown_blocks_stay(self):
        custom = block(0xBAD, struct.pack("<I", 32473) + b"anything")
        blocks = Capture(SESSION).blocks
        write(scratch("custom.pcapng"), [raw(b) for b in blocks[:3]] + [custom]
              + [raw(b) for b in blocks[3:]])
        _, path = with_key(scratch("custom.pcapng"))
        self.assertEqual([raw(b) for b in Capture(path).of(0xBAD)], [custom])


# --- blocks


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    length = struct.pack(order + "I", 12 + len(body))
    return struct.pack(order + "I", kind) + length + body + length


def raw(one) -> bytes:
    return block(one.kind, one.body)


def write(path, blocks) -> None:
    path.write_bytes(b"".join(blocks))


def change_comment(one, comment: bytes) -> bytes:
    size = 20 + (struct.unpack_from("<I", one.body, 12)[0] + 3) // 4 * 4
    option = struct.pack("<HH", 1, len(comment)) + comment + bytes(-len(comment) % 4)
    return block(one.kind, one.body[:size] + option + bytes(4))


def big_endian(capture) -> list[bytes]:
    """Section, interface and packets, without options."""
    out = [block(SECTION, struct.pack(">IHHq", 0x1A2B3C4D, 1, 0, -1), ">"),
           block(INTERFACE, struct.pack(">HHI", 1, 0, 0), ">")]
    for packet in capture.packets:
        time_high, time_low = divmod(packet.nanoseconds // 1000, 1 << 32)
        out.append(block(PACKET, struct.pack(">5I", 0, time_high, time_low, len(packet.data),
                                             packet.original)
                         + packet.data + bytes(-len(packet.data) % 4), ">"))
    return out


class Strip(unittest.TestCase):
    def test_gives_back_the_file(self):
        for name in ("kdnet-session", "kdnet-two-targets", "kdnet-rekey"):
            capture = PCAPS / f"{name}.pcapng"
            _, path = with_key(capture, keys=[KEY, f"192.0.2.73 {OTHER_KEY}"],
                               status=0 if "two" in name else 1)
            out = scratch("stripped.pcapng")
            kdlens("keys", "strip", path, "-w", out)
            self.assertEqual(out.read_bytes(), kdfiles.content(capture))

    def test_counts(self):
        _, path = with_key(SESSION)
        done = kdlens("keys", "strip", path, "-w", scratch("out.pcapng"), "--json")
        self.assertEqual(json.loads(done.stdout), {"secrets": 1, "comments": 1})

    def test_no_trace_is_left(self):
        _, path = with_key(SESSION)
        kdlens("keys", "strip", path, "-w", scratch("out.pcapng"))
        self.assertNotIn(KEY[:12].encode(), scratch("out.pcapng").read_bytes())

    def test_other_secrets_and_words_stay(self):
        blocks = Capture(SESSION).blocks
        tls = block(SECRETS, struct.pack("<II", 0x544C534B, 4) + b"abcd")
        ours = block(SECRETS, struct.pack("<II", KDNK, 8) + b"1.2.3.4\n")
        comments = {b"kdnet.key: 1.2.3.4": [], b"before kdnet.key:1.2.3.4 after": ["before after"],
                    b"plain": ["plain"], b"kdnet.key: 1.2.3.4 kdnet.key: 5.6.7.8\n": [],
                    b"a kdnet.key: 1.2.3.4 b\nkdnet.key: 5.6.7.8": ["a b"],
                    b"kdnet.key:": [], "ü kdnet.key: ".encode(): ["ü"]}
        for comment, left in comments.items():
            write(scratch("secrets.pcapng"), [raw(b) for b in blocks[:2]] + [tls, ours]
                  + [change_comment(blocks[2], comment)] + [raw(b) for b in blocks[3:]] + [ours])
            kdlens("keys", "strip", scratch("secrets.pcapng"), "-w", scratch("out.pcapng"))
            capture = Capture(scratch("out.pcapng"))
            self.assertEqual(capture.secrets, [(0x544C534B, b"abcd")])
            self.assertEqual(capture.packets[0].comments, left)


class List(unittest.TestCase):
    def test_keys_are_shown_only_when_asked(self):
        _, path = with_key(SESSION)
        done = kdlens("keys", "list", path)
        self.assertNotIn(KEY, done.stdout + done.stderr)
        self.assertIn("key in the secrets, for any", done.stdout)
        self.assertIn("key in the comment of packet 1", done.stdout)
        done = kdlens("keys", "list", path, "--show")
        self.assertEqual(done.stdout.count(KEY), 2)

    def test_json(self):
        _, path = with_key(PCAPS / "kdnet-two-targets.pcapng",
                           keys=[f"192.0.2.72 {KEY}", f"192.0.2.73:50001 {OTHER_KEY}"])
        done = kdlens("keys", "list", path, "--json", "--show")
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([row for row in rows if row.get("in") == "secrets"],
                         [{"key": 1, "in": "secrets", "for": "192.0.2.72", "text": KEY},
                          {"key": 2, "in": "secrets", "for": "192.0.2.73:50001",
                           "text": OTHER_KEY}])
        self.assertEqual([row["packet"] for row in rows if row.get("in") == "comment"],
                         [number for number, _ in key_comments(path)])
        talks = [row for row in rows if "ends" in row]
        self.assertEqual(len(talks), 2)
        for talk in talks:
            self.assertEqual(talk["opened"], talk["datagrams"])

    def test_nothing_there(self):
        done = kdlens("keys", "list", SESSION)
        self.assertIn("no keys", done.stdout)
        self.assertIn(f"0 of {len(Capture(SESSION).packets)} datagrams open", done.stdout)


class Secrecy(unittest.TestCase):
    """How keys come in, and where they do not come out."""

    def test_command_line_is_warned_of(self):
        done = kdlens("keys", "add", SESSION, "-k", KEY, "-w", scratch("out.pcapng"))
        self.assertIn("can be seen", done.stderr)
        self.assertNotIn(KEY, done.stdout + done.stderr)

    def test_standard_input(self):
        done = kdlens("keys", "add", SESSION, "--key-file", "-", "-w", scratch("out.pcapng"),
                      input=f"# a comment\n\n{KEY}  # of the lab\n")
        self.assertEqual(done.stderr, "")
        self.assertEqual(Capture(scratch("out.pcapng")).secrets, [(KDNK, f"{KEY}\n".encode())])

    def test_bad_keys_are_not_repeated(self):
        bad = "1.2.3.zzzzzzzzzzzzzz"
        done, path = with_key(SESSION, keys=[KEY, bad], status=1)
        self.assertIn("keys.txt, line 2: ", done.stderr)
        self.assertNotIn(bad, done.stderr)
        self.assertFalse(path.exists())

    def test_new_file_is_for_its_owner(self):
        _, path = with_key(SESSION)
        self.assertEqual(path.stat().st_mode & 0o077, 0)

    def test_without_terminal(self):
        done = kdlens("keys", "add", SESSION, "-w", scratch("none.pcapng"), status=1,
                      start_new_session=True)
        self.assertIn("--key-file", done.stderr)
        self.assertFalse(scratch("none.pcapng").exists())

    def prompt(self, typed: bytes, out) -> tuple[int, bytes, bool]:
        """Exit status, what the terminal showed, and whether it echoed while the key was typed."""
        child, terminal = pty.fork()
        if child == 0:
            os.execv(kdfiles.PROGRAM, ["kdlens", "keys", "add", str(SESSION), "-w", str(out)])
        shown = b""
        limit = time.monotonic() + 30
        while b"not shown" not in shown and time.monotonic() < limit:
            shown += os.read(terminal, 1000)
        echoes = bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
        os.write(terminal, typed)
        while True:
            try:
                more = os.read(terminal, 1000)
            except OSError:
                break
            if not more:
                break
            shown += more
        _, status = os.waitpid(child, 0)
        os.close(terminal)
        return os.waitstatus_to_exitcode(status), shown, echoes

    def test_prompt(self):
        out = scratch("asked.pcapng")
        out.unlink(missing_ok=True)
        status, shown, echoes = self.prompt(KEY.encode() + b"x\x7f\r", out)
        self.assertEqual((status, echoes), (0, False), shown)
        self.assertNotIn(KEY[:5].encode(), shown)
        self.assertEqual(Capture(out).secrets, [(KDNK, f"{KEY}\n".encode())])

    def test_prompt_is_left_by_ctrl_c(self):
        out = scratch("left.pcapng")
        status, shown, _ = self.prompt(b"1.2\x03", out)
        self.assertEqual(status, 1)
        self.assertIn(b"no key was typed", shown)
        self.assertFalse(out.exists())


class Wrong(unittest.TestCase):
    def test_arguments(self):
        out = scratch("out.pcapng")
        for arguments in (["keys"], ["keys", "add"], ["keys", "remove", SESSION],
                          ["keys", "add", SESSION], ["keys", "strip", SESSION],
                          ["keys", "add", SESSION, "-w", SESSION, "-k", KEY],
                          ["keys", "strip", SESSION, "-w", out, "-k", KEY],
                          ["keys", "list", SESSION, "-w", out]):
            done = kdlens(*arguments, status=2)
            self.assertNotIn(KEY, done.stderr)
        done = kdlens("keys", "add", SESSION, "-w", out, "-k", KEY, "--for", "nobody", status=1)
        self.assertIn("--for", done.stderr)

    def test_no_capture(self):
        out = scratch("never.pcapng")
        scratch("text").write_text("not a capture")
        for path in (scratch("nowhere"), scratch("text")):
            done = kdlens("keys", "add", path, "-w", out, "--key-file", key_file(KEY), status=1)
            self.assertIn(str(path), done.stderr)
            self.assertFalse(out.exists())
            kdlens("keys", "strip", path, "-w", out, status=1)
            kdlens("keys", "list", path, status=1)

    def test_truncated_capture_keeps_what_is_before(self):
        data = kdfiles.content(SESSION)
        whole = [packet.data for packet in Capture(SESSION).packets]
        for size in range(400, len(data), 611):
            scratch("cut.pcapng").write_bytes(data[:size])
            done, path = with_key(scratch("cut.pcapng"), status=1)
            self.assertIn("cut.pcapng: offset ", done.stderr)
            found = [packet.data for packet in Capture(path).packets]
            self.assertEqual(found, whole[:len(found)])
            kdlens("keys", "strip", path, "-w", scratch("stripped.pcapng"))
        self.assertGreater(len(found), len(whole) // 2)

    def test_gzip_that_breaks_off(self):
        data = gzip.compress(kdfiles.content(SESSION))
        scratch("cut.pcapng.gz").write_bytes(data[:len(data) // 2])
        done, path = with_key(scratch("cut.pcapng.gz"), status=1)
        self.assertIn("what is before is kept", done.stderr)
        self.assertGreater(len(Capture(path).packets), 3)

    def test_full_disk(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("no /dev/full")
        done = kdlens("keys", "add", SESSION, "-w", "/dev/full", "--key-file", key_file(KEY),
                      status=1)
        self.assertIn("/dev/full", done.stderr)


if __name__ == "__main__":
    kdfiles.main()
