#!/usr/bin/env python3
# agent.py - how fast the agent is, against the UART it talks over.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Two contenders take turns within each round, in the same QEMU: a boot sector that sends a stream
of bytes, polled, with the FIFO filled each time, and sends back what it receives; and the agent,
asked by a client without a user (agentclient.c) for 1 MiB of memory, for its version, and for
single steps. Both are limited by the emulator: each access to the UART leaves the guest's code,
each byte sent is a system call, and what is received comes in pieces of at most 14 bytes, each
after a turn of the emulator's main loop. That loop, the processor's thread and the client take
turns, too: round trips vary much where other programs use the cores.

The raw round trip has as many bytes each way as GetVersion with its acknowledgements. A step is
answered by a state change, which is longer: what it is compared with is the raw round trip plus the
time of the additional bytes at the raw rate. Medians over the rounds are shown. Passes (exit status
0) when the payload of memory reads is at least 0.8 of the raw rate and the image is smaller than
100 KiB.
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests/boot"))
import machine

IMAGES = Path(os.environ.get("KDLENS_AGENT_IMAGES") or REPOSITORY / "build/uefi-agent")
CLIENT = Path(os.environ.get("KDLENS_AGENT_CLIENT") or REPOSITORY / "build/tests/bench/agentclient")
RATE_LIMIT, SIZE_LIMIT = 0.8, 100 << 10
STREAM = 1 << 20
MESSAGE = 73 + 16  # a packet of 56 bytes with header and trailer, and an acknowledgement
STATE_CHANGE = 240 - 56  # bytes that its payload has more than a reply's

# COM1 is at 3F8h; +5 is the line status: bit 0 a byte is there, bit 5 one may be sent. 16-bit code.
BOOT_SECTOR = bytes.fromhex("".join(line.split(";")[0].replace(" ", "") for line in """
    fa                 ; cli
    ba fb 03           ; mov  dx, 3FBh
    b0 03              ; mov  al, 3           8 bits, no parity, 1 stop bit
    ee                 ; out  dx, al
    ba fa 03           ; mov  dx, 3FAh
    b0 c7              ; mov  al, C7h         FIFOs on and empty
    ee                 ; out  dx, al
    b3 21              ; mov  bl, '!'         says that it runs
    66 b9 01 00 00 00  ; mov  ecx, 1
    eb 1e              ; jmp  send
                       ; receive:
    ba fd 03           ; mov  dx, 3FDh
    ec                 ; in   al, dx
    a8 01              ; test al, 1
    74 f8              ; jz   receive
    b2 f8              ; mov  dl, F8h
    ec                 ; in   al, dx
    88 c3              ; mov  bl, al
    80 fb 53           ; cmp  bl, 'S'         that one comes back 1 MiB times
    66 b9 01 00 00 00  ; mov  ecx, 1
    75 06              ; jne  send
    66 b9 00 00 10 00  ; mov  ecx, 100000h
                       ; send:
    ba fd 03           ; mov  dx, 3FDh
    ec                 ; in   al, dx
    a8 20              ; test al, 20h
    74 f8              ; jz   send
    b2 f8              ; mov  dl, F8h
    b7 10              ; mov  bh, 16          bytes that the FIFO has room for
                       ; burst:
    88 d8              ; mov  al, bl
    ee                 ; out  dx, al
    66 49              ; dec  ecx
    74 cf              ; jz   receive
    fe cf              ; dec  bh
    75 f5              ; jnz  burst
    eb e7              ; jmp  send
""".splitlines()))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (3)")
    parser.add_argument("--count", type=int, default=1000,
                        help="round trips of one measurement (1000)")
    return parser.parse_args()


class Line:
    def __init__(self, path: Path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(path))
        self.socket.settimeout(machine.PATIENCE)

    def receive(self, size: int):
        while size > 0:
            got = self.socket.recv(min(size, 1 << 16))
            assert got, "the machine has gone"
            size -= len(got)


def raw(folder: Path, count: int) -> dict:
    sector = folder / "sector"
    sector.write_bytes((BOOT_SECTOR.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
    with machine.Machine(extra=("-drive", f"format=raw,file={sector},snapshot=on"),
                         firmware=None) as guest:
        line = Line(guest.uart)
        line.receive(1)  # "!"
        start = time.monotonic()
        line.socket.sendall(b"S")
        line.receive(STREAM)
        rate = STREAM / (time.monotonic() - start)
        start = time.monotonic()
        for _ in range(count):
            line.socket.sendall(bytes(MESSAGE))
            line.receive(MESSAGE)
        return {"stream": rate, "trip": count / (time.monotonic() - start)}


def agent(folder: Path, count: int) -> dict:
    esp = machine.make_esp(folder / "esp.img", {
        "EFI/BOOT/BOOTX64.EFI": IMAGES / "kdboot.efi",
        "kdagent.efi": IMAGES / "kdagent.efi",
        "kdexample.efi": IMAGES / "kdexample.efi",
        "kdagent.cfg": b"chain = \\kdexample.efi\narguments = spin\nwait = forever\n",
    })
    with machine.Machine(esp=esp) as guest:
        done = subprocess.run([CLIENT, guest.uart, str(STREAM), str(count)], check=True,
                              stdout=subprocess.PIPE, text=True, timeout=10 * machine.PATIENCE)
    return {name: float(value) for name, value in map(str.split, done.stdout.splitlines())}


def main() -> int:
    options = arguments()
    reason = machine.missing()
    if reason:
        print(f"agent.py: {reason}", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="kdbench"))
    rounds = []
    try:
        for number in range(options.rounds):
            rounds.append({**raw(folder, options.count), **agent(folder, options.count)})
            print(f"round {number + 1}:", ", ".join(f"{name} {value:.0f}"
                                                    for name, value in rounds[-1].items()))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    median = {name: statistics.median(row[name] for row in rounds) for name in rounds[0]}
    version = subprocess.run([machine.QEMU, "--version"], capture_output=True, text=True).stdout
    size = (IMAGES / "kdagent.efi").stat().st_size
    share = median["read"] / median["stream"]
    raw_step = 1 / (1 / median["trip"] + STATE_CHANGE / median["stream"])
    print(f"""{version.splitlines()[0]}, medians of {options.rounds}
  raw UART, bytes a second                     {median["stream"]:10.0f}
  memory read by the agent, payload a second   {median["read"]:10.0f}   {share:.2f} of it
  raw round trips of {MESSAGE} bytes, a second        {median["trip"]:10.0f}
  GetVersion, a second                         {median["version"]:10.0f}   \
{median["version"] / median["trip"]:.2f} of it
  single steps, a second                       {median["step"]:10.0f}   \
{median["step"] / raw_step:.2f} of raw ones with a state change's bytes, {raw_step:.0f}
  kdagent.efi, bytes                           {size:10}   at most {SIZE_LIMIT}""")
    return 0 if share >= RATE_LIMIT and size < SIZE_LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
