# test_keys.py - every way to give a KDNET key, and what is said when none fits.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Keys of the stored captures: kdnet-session, and kdnet-two-targets with a key for each target."""

import json
import unittest
from pathlib import Path

import kdtest

PCAPS = kdtest.REPOSITORY / "pcaps"
SESSION = PCAPS / "kdnet-session.pcapng"
TWO_TARGETS = PCAPS / "kdnet-two-targets.pcapng"
LATE = PCAPS / "kdnet-joined-late.pcapng"
WRONG_KEY = "1.2.3.4"


def keys_of(name: str) -> list[str]:
    """The key-log lines stated in the capture's golden."""
    golden = Path(__file__).resolve().parent / "golden" / f"{name}.json"
    return json.loads(golden.read_text(encoding="utf-8"))["keys"]


def key_of(name: str) -> str:
    return keys_of(name)[0].split()[-1]


def authentic(capture, *prefs: str) -> tuple[int, int]:
    """How many datagrams are authentic, of how many."""
    rows = kdtest.fields(capture, ["kdnet.authentic"], *prefs, filter="kdnet")
    return sum(row[0] == "1" for row in rows), len(rows)


def count(capture, filter: str, *prefs: str) -> int:
    return len(kdtest.fields(capture, ["frame.number"], *prefs, filter=filter))


class Sources(unittest.TestCase):
    def assert_all_open(self, capture, *prefs: str) -> None:
        opened, all_ = authentic(capture, *prefs)
        self.assertGreater(all_, 0)
        self.assertEqual(opened, all_)

    def test_preference(self):
        """kdnet.key opens every datagram."""
        self.assert_all_open(SESSION, f"kdnet.key:{key_of('kdnet-session')}")

    def test_capitals(self):
        """WinDbg takes capitals for small letters, and so does kdnet.key."""
        self.assert_all_open(SESSION, f"kdnet.key:{key_of('kdnet-session').upper()}")

    def test_table(self):
        """The table kdnet.keys gives each target its own key."""
        prefs = []
        for line in keys_of("kdnet-two-targets"):
            end, key = line.split()
            address, _, port = end.partition(":")
            prefs.append(f'uat:kdnet_keys:"{address}","{port}","{key}"')
        self.assert_all_open(TWO_TARGETS, *prefs)

    def test_keylog_file(self):
        """A key-log file gives each target its own key; comments and blank lines are no trouble."""
        path = kdtest.scratch("keylog")
        path.write_text("# two machines\n\n" + "\n".join(keys_of("kdnet-two-targets")) + "\n")
        self.assert_all_open(TWO_TARGETS, f"kdnet.keylog_file:{path}")

    def test_packet_comment(self):
        """A key in the comment of the first packet opens the capture without any preference."""
        made = kdtest.scratch("commented.pcapng")
        kdtest.run("editcap", ["-a", f"1:kdnet.key: {key_of('kdnet-session')}",
                               kdtest.staged(SESSION), made])
        self.assert_all_open(made)

    def test_random_access(self):
        """sharkd, as the GUI, decrypts frames in any order."""
        with kdtest.Sharkd(SESSION, f"kdnet.key:{key_of('kdnet-session')}") as session:
            numbers = list(range(1, session.count + 1))
            forward = {number: session.visit(number) for number in numbers}
            for number in reversed(numbers):
                self.assertEqual(session.visit(number), forward[number])


class Verdicts(unittest.TestCase):
    def test_no_key(self):
        """Without a key every datagram says where to give one."""
        all_ = count(SESSION, "kdnet")
        self.assertEqual(count(SESSION, "kdnet.expert.no_key"), all_)

    def test_wrong_key(self):
        """A wrong key is called wrong on the control channel, and the data stays closed."""
        prefs = [f"kdnet.key:{WRONG_KEY}"]
        control = count(SESSION, "kdnet.channel == 1", *prefs)
        self.assertGreater(control, 0)
        self.assertEqual(count(SESSION, "kdnet.expert.wrong_key", *prefs), control)
        self.assertEqual(authentic(SESSION, *prefs)[0], 0)
        self.assertEqual(count(SESSION, "kd", *prefs), 0)

    def test_key_exchange_not_captured(self):
        """Data before the first key exchange says why it stays closed; later data opens."""
        prefs = [f"kdnet.key:{key_of('kdnet-joined-late')}"]
        closed = count(LATE, "kdnet.expert.no_session_key", *prefs)
        self.assertGreater(closed, 0)
        opened, all_ = authentic(LATE, *prefs)
        self.assertEqual(opened + closed, all_)
        self.assertGreater(count(LATE, "kd", *prefs), 0)

    def test_snap_length(self):
        """Datagrams cut by the capture are called cut, not wrong."""
        made = kdtest.scratch("cut.pcapng")
        kdtest.run("editcap", ["-s", "80", kdtest.staged(SESSION), made])
        prefs = [f"kdnet.key:{key_of('kdnet-session')}"]
        cut = count(made, "frame.cap_len < frame.len && kdnet", *prefs)
        self.assertGreater(cut, 0)
        self.assertEqual(count(made, "kdnet.expert.truncated", *prefs), cut)
        self.assertEqual(count(made, "kdnet.expert.wrong_key", *prefs), 0)

    def test_key_for_another_machine(self):
        """A key that names another address is not tried."""
        prefs = [f'uat:kdnet_keys:"198.51.100.9","","{key_of("kdnet-session")}"']
        self.assertEqual(authentic(SESSION, *prefs)[0], 0)


class Loading(unittest.TestCase):
    def test_loaded_twice(self):
        """A second copy of the plugin stays out and says so; nothing aborts."""
        folder = kdtest.stage() / "plugins"
        original = next(folder.rglob("kdlens.so"))
        copy = original.with_name("kdlens-copy.so")
        copy.write_bytes(original.read_bytes())
        copy.chmod(0o644)
        try:
            done = kdtest.run("tshark", ["-n", "-r", kdtest.staged(SESSION), "-c", "1"])
        finally:
            copy.unlink()
        self.assertIn('the protocol "kd" is registered already', done.stderr)
        self.assertEqual(len(done.stdout.splitlines()), 1)


if __name__ == "__main__":
    kdtest.main()
