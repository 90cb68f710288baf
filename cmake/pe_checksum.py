#!/usr/bin/env python3
# pe_checksum.py - writes the CheckSum of a PE image, which lld-link leaves 0: debuggers compare it.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# usage: pe_checksum.py IMAGE
import struct
import sys

PE_OFFSET_AT = 0x3C
CHECKSUM_AT = 24 + 64  # from the PE signature, PE32 and PE32+ alike


def checksum(image, at):
    """The sum of all 16-bit words but those of the field, carries added again, plus the size."""
    blank = image[:at] + bytes(4) + image[at + 4:]
    blank += bytes(len(blank) % 2)
    total = sum(struct.unpack(f"<{len(blank) // 2}H", blank))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total + len(image)


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: pe_checksum.py IMAGE")
    with open(sys.argv[1], "r+b") as file:
        image = file.read()
        at = struct.unpack_from("<I", image, PE_OFFSET_AT)[0] + CHECKSUM_AT
        file.seek(at)
        file.write(struct.pack("<I", checksum(image, at)))


if __name__ == "__main__":
    main()
