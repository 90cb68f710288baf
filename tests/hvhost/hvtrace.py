#!/usr/bin/env python3
# hvtrace.py - makes a capture of what hvhost recorded.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""hvtrace.py TRACE OUT.pcapng [--log LOG] [--sint N] [--count N] [--start SECONDS]

TRACE is what hvhost wrote to its second debug console, OUT a capture of our format vmbus
(docs/formats.md). --log puts the log's BAD and WARN lines in as notes; --sint leaves out what
belongs to another connection, --count what comes after so many records; --start is the time of the
first record, by default 0.
"""
import argparse
import re
import struct
import sys
from pathlib import Path

LINKTYPE_UPPER_PDU = 252
TAG_NAME, TAG_DIRECTION = 12, 35
TO_HOST, TO_GUEST = 1, 2
NOTE, NO_SINT, NO_VP = 6, 0xFF, 0xFFFFFFFF
HEAD = struct.Struct("<BBBBHBBIIIIIIIIII")
LEVELS = {"WARN": 1, "BAD": 2}


def records(data: bytes):
    """(microseconds, record) each; the last may be cut off with the machine."""
    at = 0
    while at + 12 <= len(data):
        size, time = struct.unpack_from("<IQ", data, at)
        end = at + 4 + size
        if end > len(data):
            break
        yield time, data[at + 12:end]
        at = end


def renumbered(found: list) -> list:
    """What was left out is not missing."""
    return [(time, record[:24] + struct.pack("<I", number) + record[28:])
            for number, (time, record) in enumerate(found, 1)]


def notes(log: str):
    """Records of what the log says about the guest."""
    for line in log.splitlines():
        match = re.match(r"(\d+)\.(\d{6}) (BAD|WARN) (.*)", line)
        if match:
            head = HEAD.pack(1, NOTE, 0, 1, HEAD.size, NO_SINT, 0, NO_VP, 0, 0, LEVELS[match[3]],
                             0, 0, 0, 0, 0, 0)
            yield int(match[1]) * 1000000 + int(match[2]), head + match[4].encode()


def block(kind: int, body: bytes) -> bytes:
    size = len(body) + 12
    return struct.pack("<II", kind, size) + body + struct.pack("<I", size)


def option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + bytes(-len(value) % 4)


def packet(time: int, record: bytes) -> bytes:
    direction = record[2]
    tags = struct.pack(">HH8s", TAG_NAME, 8, b"vmbus")
    flags = b""
    if direction in (TO_HOST, TO_GUEST):
        tags += struct.pack(">HHI", TAG_DIRECTION, 4, direction == TO_HOST)
        flags = option(2, struct.pack("<I", 1 if direction == TO_HOST else 2)) + bytes(4)
    data = tags + bytes(4) + record
    body = struct.pack("<IIIII", 0, time >> 32, time & 0xFFFFFFFF, len(data), len(data))
    return block(6, body + data + bytes(-len(data) % 4) + flags)


def capture(found, name: str, start: float = 0.0) -> bytes:
    """pcapng with times in microseconds."""
    out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
                + option(4, b"hvhost") + bytes(4))
    out += block(1, struct.pack("<HHI", LINKTYPE_UPPER_PDU, 0, 0) + option(2, name.encode())
                 + bytes(4))
    found = sorted(found, key=lambda item: item[0])
    first = found[0][0] if found else 0
    return out + b"".join(packet(int(start * 1000000) + time - first, record)
                          for time, record in found)


def main():
    parser = argparse.ArgumentParser(description="Make a capture of an hvhost trace.")
    parser.add_argument("trace", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--sint", type=int)
    parser.add_argument("--count", type=int)
    parser.add_argument("--start", type=float, default=0.0)
    arguments = parser.parse_args()
    found = [(time, record) for time, record in records(arguments.trace.read_bytes())
             if arguments.sint is None or record[6] in (arguments.sint, NO_SINT)]
    found = found[:arguments.count]
    if arguments.sint is not None:
        found = renumbered(found)
    if arguments.log and found:
        found += notes(arguments.log.read_text("utf-8", "replace"))
    if not found:
        sys.exit(f"{arguments.trace}: no records")
    arguments.out.write_bytes(capture(found, "hvhost", arguments.start))


if __name__ == "__main__":
    main()
