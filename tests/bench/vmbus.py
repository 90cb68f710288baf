#!/usr/bin/env python3
# vmbus.py - how fast the agent is over VMBus, against the rings alone and against COM1.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Three contenders take turns within each round, each in a machine of tests/hvhost that boots anew:
hvecho.efi, which sends back each packet of the debugger's pipe and knows nothing of KD; the agent
over the same pipe; the agent over COM1 of the same machine.

The raw rate is that of the rings and of all that the host does with them, up to the socket where a
debugger would be: packets of 4096 bytes from the guest, one behind the other. A memory read waits
for its request and acknowledgements besides; only its payload counts. Medians over the rounds are
shown. Passes (exit status 0) when the payload of memory reads over VMBus is at least 0.6 of the raw
rate, and the host saw no violation.
"""

import argparse
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "tests/boot")]
import vmbussession
import hvhost  # where vmbussession looks for it

CLIENT = Path(os.environ.get("KDLENS_AGENT_CLIENT") or REPOSITORY / "build/tests/bench/agentclient")
LIMIT = 0.6
PACKET = 4096
CONFIG = "chain = \\kdexample.efi\narguments = spin\nwait = forever\nframing = plain\n"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (3)")
    parser.add_argument("--kib", type=int, default=256, help="memory read, and echoed (256)")
    parser.add_argument("--count", type=int, default=100,
                        help="round trips of one measurement (100)")
    return parser.parse_args()


def raw(size: int, count: int) -> dict:
    with hvhost.Host(client=hvhost.IMAGE.with_name("hvecho.efi"), options=["framed"],
                     memory=64) as host:
        host.wait("CLIENT open")
        with hvhost.Bridge(host) as bridge:
            total = size // PACKET
            packet = (b"send" + struct.pack("<I", total)).ljust(PACKET, b"x")
            bridge.send_packet(packet)
            assert bridge.receive_packet() == packet
            start = time.monotonic()
            for _ in range(total - 1):
                assert len(bridge.receive_packet()) == PACKET
            rate = (total - 1) * PACKET / (time.monotonic() - start)
            start = time.monotonic()
            for _ in range(count):
                bridge.send_packet(bytes(89))
                bridge.receive_packet()
            trips = count / (time.monotonic() - start)
            bridge.send_packet(b"quit")
        assert not host.violations(), host.violations()
        return {"raw": rate, "trips": trips}


def ask(socket: Path, size: int, count: int) -> dict:
    done = subprocess.run([CLIENT, socket, str(size), str(count)], check=True,
                          stdout=subprocess.PIPE, text=True, timeout=1800)
    return {name: float(value) for name, value in map(str.split, done.stdout.splitlines())}


def over_vmbus(size: int, count: int) -> dict:
    with vmbussession.boot(CONFIG) as host, tempfile.TemporaryDirectory() as folder:
        line = vmbussession.FrameLine(host, Path(folder) / "line", plain=True)
        try:
            host.wait(vmbussession.OPENED)
            result = ask(line.path, size, count)
            assert not host.violations(), host.violations()
        finally:
            line.close()
        return {f"vmbus {name}": value for name, value in result.items()}


def over_com1(size: int, count: int) -> dict:
    with vmbussession.boot(CONFIG + "transport = com1\n") as host:
        return {f"com1 {name}": value for name, value in ask(host.uart, size, count).items()}


def main() -> int:
    options = arguments()
    reason = vmbussession.missing()
    if reason:
        print(f"vmbus.py: {reason}", file=sys.stderr)
        return 2
    size, rounds = options.kib << 10, []
    for number in range(options.rounds):
        rounds.append({**raw(size, options.count), **over_vmbus(size, options.count),
                       **over_com1(size, options.count)})
        print(f"round {number + 1}:", ", ".join(f"{name} {value:.0f}"
                                                for name, value in rounds[-1].items()), flush=True)
    median = {name: statistics.median(row[name] for row in rounds) for name in rounds[0]}
    share = median["vmbus read"] / median["raw"]
    print(f"""hvhost in QEMU, medians of {options.rounds}
  the rings alone, bytes a second                {median["raw"]:10.0f}
  memory read over VMBus, payload a second       {median["vmbus read"]:10.0f}   {share:.2f} of it, \
{median["vmbus read"] / median["com1 read"]:.2f} times COM1
  memory read over COM1, payload a second        {median["com1 read"]:10.0f}
  round trips of the rings alone, a second       {median["trips"]:10.0f}
  GetVersion over VMBus, a second                {median["vmbus version"]:10.0f}
  GetVersion over COM1, a second                 {median["com1 version"]:10.0f}
  single steps over VMBus, a second              {median["vmbus step"]:10.0f}
  single steps over COM1, a second               {median["com1 step"]:10.0f}""")
    return 0 if share >= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
