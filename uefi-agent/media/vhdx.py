# vhdx.py - writes a raw disk as a dynamic VHDX file, byte for byte the same each time.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Written from the specification [MS-VHDX]. Every identifier is derived from the disk's content, as
random ones would make two builds of the same disk differ.
"""
import hashlib
import struct
import uuid

MIB = 1 << 20
KIB = 1 << 10
BLOCK = 2 * MIB
SECTOR = 512
LOG_AT, METADATA_AT, BAT_AT, DATA_AT = 1 * MIB, 2 * MIB, 3 * MIB, 4 * MIB
FULLY_PRESENT = 6

REGION_BAT = "2dc27766-f623-4200-9d64-115e9bfd4a08"
REGION_METADATA = "8b7ca206-4790-4b9a-b8fe-575f050f886e"
FILE_PARAMETERS = "caa16737-fa36-4d43-b3b6-33f0aa44e76b"
DISK_SIZE = "2fa54224-cd1b-4876-b211-5dbed83bf4b8"
DISK_ID = "beca12ab-b2e6-4523-93ef-c309e000c746"
LOGICAL_SECTOR = "8141bf1d-a96f-4709-ba47-f233a8faab5f"
PHYSICAL_SECTOR = "cda348c7-445d-4471-9cc9-e9885251c556"
REQUIRED, OF_DISK = 4, 2


def _crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def crc32c(data):
    """CRC-32C (Castagnoli), as the headers carry it."""
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def _guid(text):
    return uuid.UUID(text).bytes_le


def _with_checksum(data):
    """The checksum's place, offset 4, is zero while it is computed."""
    return data[:4] + struct.pack("<I", crc32c(data)) + data[8:]


def _header(sequence, identity):
    body = struct.pack("<4sIQ16s16s16sHHIQ", b"head", 0, sequence,
                       uuid.uuid5(identity, "file").bytes_le,
                       uuid.uuid5(identity, "data").bytes_le,
                       bytes(16), 0, 1, 1 * MIB, LOG_AT)
    return _with_checksum(body.ljust(4 * KIB, b"\0"))


def _regions():
    body = struct.pack("<4sIII", b"regi", 0, 2, 0)
    for region, offset in ((REGION_BAT, BAT_AT), (REGION_METADATA, METADATA_AT)):
        body += struct.pack("<16sQII", _guid(region), offset, 1 * MIB, 1)
    return _with_checksum(body.ljust(64 * KIB, b"\0"))


def _metadata(size, identity):
    items = ((FILE_PARAMETERS, struct.pack("<II", BLOCK, 0), REQUIRED),
             (DISK_SIZE, struct.pack("<Q", size), REQUIRED | OF_DISK),
             (DISK_ID, uuid.uuid5(identity, "disk").bytes_le, REQUIRED | OF_DISK),
             (LOGICAL_SECTOR, struct.pack("<I", SECTOR), REQUIRED | OF_DISK),
             (PHYSICAL_SECTOR, struct.pack("<I", 4096), REQUIRED | OF_DISK))
    table = struct.pack("<8sHH20x", b"metadata", 0, len(items))
    values = b""
    for item, value, flags in items:
        table += struct.pack("<16sIIII", _guid(item), 64 * KIB + len(values), len(value), flags, 0)
        values += value
    return table.ljust(64 * KIB, b"\0") + values


def write(path, disk):
    """The raw disk, whose size is a whole number of blocks, to a VHDX file at path."""
    if len(disk) % BLOCK:
        raise ValueError(f"the disk has {len(disk)} bytes, which is no multiple of {BLOCK}")
    identity = uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(disk).hexdigest())
    bat, blocks = b"", []
    for at in range(0, len(disk), BLOCK):
        block = disk[at:at + BLOCK]
        if block.strip(b"\0"):
            offset = DATA_AT + len(blocks) * BLOCK
            blocks.append(block)
            bat += struct.pack("<Q", offset | FULLY_PRESENT)
        else:
            bat += struct.pack("<Q", 0)
    with open(path, "wb") as out:
        for offset, data in ((0, b"vhdxfile" + "kdlens".encode("utf-16-le")),
                             (64 * KIB, _header(1, identity)), (128 * KIB, _header(2, identity)),
                             (192 * KIB, _regions()), (256 * KIB, _regions()),
                             (METADATA_AT, _metadata(len(disk), identity)), (BAT_AT, bat)):
            out.seek(offset)
            out.write(data)
        out.seek(DATA_AT)
        out.writelines(blocks)
