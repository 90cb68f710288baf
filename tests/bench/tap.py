#!/usr/bin/env python3
# tap.py - what kdlens tap costs between two unix sockets, against socat and against nothing.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Round trips of 64 bytes and throughput of 64 KiB writes through a direct socket, which is the
limit, socat, socat with 64 KiB buffers, and kdlens tap that records to disk: once with a queue that
takes the whole stream, so that every byte of it is recorded, and once with the queue it has by
default, which is bounded: what finds no room there is counted instead of recorded, and never slows
the session. The contenders take turns within each round, so that all of them meet the same machine;
a stream is sent three times and the last one counts, so that the memory it goes through has been
used before.

Passes (exit status 0) when of the tap that records every byte the median round trip is at most 0.85
times socat's and the throughput at least that of socat -b 65536; both are medians over the rounds.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
RTT_LIMIT, RATE_LIMIT = 0.85, 1.0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    build = REPOSITORY / "build"
    parser.add_argument("--kdlens", default=build / "capture-tool/kdlens", type=Path)
    parser.add_argument("--pinger", default=build / "tests/bench/pinger", type=Path)
    parser.add_argument("--rounds", default=7, type=int)
    parser.add_argument("--pings", default=10_000, type=int)
    parser.add_argument("--mib", default=224, type=int, help="of a stream")
    parser.add_argument("--tap", default="", help="more options for kdlens tap: --tap='--raw'")
    return parser.parse_args()


class Contender:
    def __init__(self, name: str, command):
        self.name, self.command = name, command
        self.round_trips, self.rates, self.lost, self.late = [], [], [], []

    def measure(self, pinger, *what) -> list[float]:
        with tempfile.TemporaryDirectory() as folder:
            front, back = f"{folder}/front", f"{folder}/back"
            command = self.command(folder, front, back)
            target = front if command else back
            meter = subprocess.Popen([pinger, *map(str, what), target, back],
                                     stdout=subprocess.PIPE, text=True)
            while not os.path.exists(back):
                time.sleep(0.01)
            proxy = command and subprocess.Popen(command, stdout=subprocess.PIPE,
                                                 stderr=subprocess.DEVNULL, text=True)
            shown, _ = meter.communicate(timeout=120)
            if proxy:
                self.stop(proxy, what[0] == "stream")
            if meter.returncode:
                sys.exit(f"{self.name}: {what[0]} failed")
            return [float(word) for word in shown.split()]

    def stop(self, proxy, streamed: bool):
        """A tap writes what is queued before it ends."""
        begin = time.monotonic()
        proxy.terminate()
        said, _ = proxy.communicate(timeout=60)
        for event in map(json.loads, said.splitlines()):
            if event["event"] == "recorded" and streamed:
                self.lost.append(event["lost_bytes"])
                self.late.append(time.monotonic() - begin)

    def median_trip(self) -> float:
        return statistics.median(median for _, median, _ in self.round_trips)


def show(contenders: list[Contender], mib: int):
    print(f"{'':24}{'round trip of 64 bytes, us':^38}{'stream, MiB/s':^20}{'not':>10}"
          f"{'on disk':>9}")
    print(f"{'':24}{'fastest':>9}{'best med.':>10}{'median':>9}{'p99':>9}{'best':>10}{'median':>9}"
          f"{'recorded':>11}{'after':>9}")
    for contender in contenders:
        fastest, median, last = zip(*contender.round_trips)
        recorded = ""
        if contender.lost:
            lost = 100 * statistics.median(contender.lost) / (3 * mib << 20)
            recorded = f"{lost:9.0f} %{statistics.median(contender.late):7.2f} s"
        print(f"{contender.name:24}{min(fastest):9.1f}{min(median):10.1f}"
              f"{statistics.median(median):9.1f}{statistics.median(last):9.1f}"
              f"{max(contender.rates):10.0f}{statistics.median(contender.rates):9.0f}{recorded}")


def main() -> int:
    asked = arguments()
    for program in (asked.kdlens, asked.pinger):
        if not program.exists():
            sys.exit(f"{program} is not there; build it first (cmake --build build)")
    if not shutil.which("socat"):
        sys.exit("socat is not there (Debian package socat)")

    def socat(*options):
        return lambda folder, front, back: ["socat", *options, f"UNIX-LISTEN:{front}",
                                            f"UNIX-CONNECT:{back}"]

    def tap(*options):
        return lambda folder, front, back: [
            asked.kdlens, "tap", f"unix-listen:{front}", f"unix:{back}", "-w",
            f"{folder}/tap.pcapng", "-q", "--json", *options, *asked.tap.split()]

    plain, large = Contender("socat", socat()), Contender("socat -b 65536", socat("-b", "65536"))
    whole = Contender("kdlens tap, all", tap("--queue", str(asked.mib + 16)))
    contenders = [Contender("direct socket", lambda *_: None), plain, large, whole,
                  Contender("kdlens tap", tap())]
    for _ in range(asked.rounds):
        for contender in contenders:
            contender.round_trips.append(contender.measure(asked.pinger, "rtt", asked.pings, 64))
        for contender in contenders:
            contender.rates += contender.measure(asked.pinger, "stream", asked.mib, 65536)

    show(contenders, asked.mib)
    trip = whole.median_trip() / plain.median_trip()
    rate = statistics.median(whole.rates) / statistics.median(large.rates)
    good = trip <= RTT_LIMIT and rate >= RATE_LIMIT and not any(whole.lost)
    if any(whole.lost):
        print(f"of all streams {sum(map(bool, whole.lost))} were not recorded as a whole: the "
              "recorder was not done within the pauses")
    print(f"round trip {trip:.2f} x socat (limit {RTT_LIMIT}), throughput {rate:.2f} x socat "
          f"-b 65536 (limit {RATE_LIMIT}): {'pass' if good else 'FAIL'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
