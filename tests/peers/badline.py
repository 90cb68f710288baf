# badline.py - for tests on a line that kdlens tap --fault makes bad: options, trying again, counts.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""
  settings, unittest_arguments = badline.arguments(__doc__)    --minutes, --fault, --keep
  class Test(badline.BadLine): self.engine = ...; self.right(attempt)
  badline.main(unittest_arguments)

A reply names its request only by its API, and WinDbg asks anew when a reply is late, or when
something else comes first. It may then have two on the way: seen now and then on such a line, it
takes the answer to the one for the answer to the other, and a damaged write behind them is never
sent again. So a command whose effect is not there is given again, as a user would, at most twice;
how often is counted.
"""

import argparse
import collections
import re
import shutil
import sys
import time
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "windbg"), str(HERE.parent / "tool"), str(HERE.parent / "dissector")]
import kdtap
import windbg

FAULTS = "drop=1%,corrupt=1%,dup=1%,delay=1%:100ms,seed=7"
LATE = 360.0  # a command may meet several faults, each of which costs a time-out
TRIES = 3
CONTROL = {5: "RESEND", 6: "RESET"}


def arguments(description: str) -> tuple[argparse.Namespace, list[str]]:
    """The options, and what is left for unittest."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--fault", default=FAULTS)
    parser.add_argument("--keep", type=Path)
    return parser.parse_known_args()


def repairs(recording: kdtap.Recording) -> collections.Counter:
    """What both ends did against the faults: RESEND and RESET packets, and data packets that were
    sent once more, told by the same id and bytes as the end's last one."""
    counts = collections.Counter()
    last = {}
    for record in recording.records:
        data = record.data
        if "repeated on purpose by --fault" in record.comments:
            continue  # the tap's doing, not the end's
        if data[:4] == b"iiii" and len(data) >= 16:
            kind = CONTROL.get(int.from_bytes(data[4:6], "little"))
            if kind:
                counts[f"{kind} of the {record.sender}"] += 1
        elif data[:4] == b"0000":
            if last.get(record.sender) == data:
                counts[f"repetition of the {record.sender}"] += 1
            last[record.sender] = data
    return counts


def faults(recording: kdtap.Recording) -> collections.Counter:
    """What the tap says that it did to the line."""
    text = next(text for text in recording.comments() if text.startswith("--fault: of "))
    frames, *counts = re.findall(r"\d+(?: \w+)?", text)
    return collections.Counter({"frames": int(frames.split()[0])}) + collections.Counter(
        {name: int(count) for count, name in map(str.split, counts)})


class BadLine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        reason = windbg.missing()
        if reason:
            raise unittest.SkipTest(f"WinDbg's engine: {reason}")

    def setUp(self):
        self.engine: windbg.Engine | None = None
        self.again = 0  # commands
        self.faults, self.repairs = collections.Counter(), collections.Counter()

    def ask(self, command: str) -> str:
        return self.engine.command(command, LATE)

    def right(self, attempt, wanted: str = ""):
        """attempt() is true now or when it is tried again."""
        for _ in range(TRIES):
            if attempt():
                return
            self.again += 1
            self.ask(".cache flushall")
        self.fail(f"wrong {TRIES} times:\n{self.engine.report()}\n{wanted}")

    def count(self, path: Path):
        """What is in a recording that is whole."""
        recording = kdtap.read_recording(path)
        self.faults += faults(recording)
        self.repairs += repairs(recording)

    def report(self, what: str):
        """what: what was right, with its number."""
        done = ", ".join(f"{count} {name}" for name, count in self.faults.items())
        print(f"\n{what} right, {self.again} commands given again; on purpose: {done}")
        for name, count in sorted(self.repairs.items()):
            print(f"  {count:6} {name}")
        self.assertGreater(self.faults.total(), self.faults["frames"], "the line was not bad")
        self.assertTrue(self.repairs, "nothing was repaired")


def keep(path: Path, folder: Path | None):
    if folder and path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)


def until(minutes: float):
    """Counts turns until that time is over, and no fewer than three."""
    end = time.monotonic() + minutes * 60
    turn = 0
    while time.monotonic() < end or turn < 3:
        yield turn
        turn += 1


def main(unittest_arguments: list[str]):
    """Exit status 77 when all was skipped."""
    done = unittest.main(module="__main__", argv=[sys.argv[0], *unittest_arguments], verbosity=2,
                         exit=False).result
    if done.wasSuccessful() and done.testsRun and len(done.skipped) >= done.testsRun:
        sys.exit(77)
    sys.exit(not done.wasSuccessful())
