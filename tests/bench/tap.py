#!/usr/bin/env python3
# tap.py - what kdlens tap costs between two unix sockets, against socat and against nothing.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Round trips of 64 bytes and throughput of 64 KiB writes through a direct socket, socat, socat
with 64 KiB buffers, and kdlens tap that records to disk. The contenders take turns within each
round, so that all of them meet the same machine.

Passes (exit status 0) when the median round trip is at most 0.85 times socat's and the throughput
at least that of socat -b 65536; both are medians over the rounds. What the recorder did not get
written in time is printed, too: its queue is bounded and it never slows the session.
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
    parser.add_argument("--mib", default=512, type=int, help="of a stream")
    parser.add_argument("--tap", default="", help="more options for kdlens tap: --tap='--raw'")
    return parser.parse_args()


class Contender:
    def __init__(self, name: str, command):
        self.name, self.command = name, command
        self.round_trips, self.rates, self.lost = [], [], []

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
                time.sleep(0.1)
                proxy.terminate()
                said, _ = proxy.communicate(timeout=60)
                for line in said.splitlines():
                    event = json.loads(line)
                    if event["event"] == "recorded" and what[0] == "stream":
                        self.lost.append(event["lost_bytes"])
            if meter.returncode:
                sys.exit(f"{self.name}: {what[0]} failed")
            return [float(word) for word in shown.split()]


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

    direct = Contender("direct socket", lambda *_: None)
    plain, large = Contender("socat", socat()), Contender("socat -b 65536", socat("-b", "65536"))
    tap = Contender("kdlens tap -w", lambda folder, front, back: [
        asked.kdlens, "tap", f"unix-listen:{front}", f"unix:{back}", "-w",
        f"{folder}/tap.pcapng", "-q", "--json", *asked.tap.split()])
    contenders = [direct, plain, large, tap]
    for _ in range(asked.rounds):
        for contender in contenders:
            contender.round_trips.append(contender.measure(asked.pinger, "rtt", asked.pings, 64))
        for contender in contenders:
            contender.rates += contender.measure(asked.pinger, "stream", asked.mib, 65536)

    print(f"{'':16}{'round trip of 64 bytes, us':^38}{'stream, MiB/s':^20}")
    print(f"{'':16}{'fastest':>9}{'best med.':>10}{'median':>9}{'p99':>9}{'best':>10}{'median':>9}")
    for contender in contenders:
        fastest, median, last = zip(*contender.round_trips)
        print(f"{contender.name:16}{min(fastest):9.1f}{min(median):10.1f}"
              f"{statistics.median(median):9.1f}{statistics.median(last):9.1f}"
              f"{max(contender.rates):10.0f}{statistics.median(contender.rates):9.0f}")
    total = asked.mib << 20
    print(f"not recorded in time, of {asked.mib} MiB: median "
          f"{100 * statistics.median(tap.lost) / total:.0f} %, least "
          f"{100 * min(tap.lost) / total:.0f} %")

    def median_trip(contender):
        return statistics.median(row[1] for row in contender.round_trips)

    trip = median_trip(tap) / median_trip(plain)
    rate = statistics.median(tap.rates) / statistics.median(large.rates)
    good = trip <= RTT_LIMIT and rate >= RATE_LIMIT
    print(f"round trip {trip:.2f} x socat (limit {RTT_LIMIT}), throughput {rate:.2f} x socat "
          f"-b 65536 (limit {RATE_LIMIT}): {'pass' if good else 'FAIL'}")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
