#!/usr/bin/env python3
# make_media.py - the agent's release files: zip, ISO, VHDX, symbols, checksums.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Needs no root and no loop device. Two runs with the same input give the same bytes: dates come
from SOURCE_DATE_EPOCH (else 1 January 2000), serial numbers and identifiers from the content. Uses
mtools and xorriso; without xorriso there is no ISO, and it says so.
"""
import argparse
import datetime
import hashlib
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import uuid
import zipfile
import zlib

import vhdx

SECTOR = 512
MIB = 1 << 20
ESP_SIZE = 40 * MIB  # FAT32 needs 65525 clusters, which are 33 MiB
ESP_AT = 1 * MIB
DISK_SIZE = 48 * MIB
ISO_IMAGE_SIZE = 2880 * 1024
ESP_TYPE = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
DEFAULT_EPOCH = 946684800

SAMPLE_CONFIG = """\
# kdagent.cfg - settings of the kdlens agent; docs/agent.md lists all. One a line, # for comments.
# port = com1
# baud = 115200
# break = yes
# wait = 30
# chain = \\EFI\\Microsoft\\Boot\\bootmgfw.efi
"""


def fail(text):
    sys.exit(f"make_media.py: {text}")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        fail(f"{command[0]} failed ({done.returncode}): {done.stderr.strip()}")


class Release:
    """What goes onto the media, and where they are written to."""

    def __init__(self, options):
        self.out = pathlib.Path(options.out)
        self.agent = pathlib.Path(options.agent)
        self.boot = pathlib.Path(options.boot)
        self.pdb = pathlib.Path(options.pdb)
        self.extra = [pathlib.Path(name) for name in options.extra]
        self.epoch = int(os.environ.get("SOURCE_DATE_EPOCH", DEFAULT_EPOCH))
        os.environ.update(SOURCE_DATE_EPOCH=str(self.epoch), TZ="UTC", MTOOLSRC=os.devnull,
                          MTOOLS_SKIP_CHECK="1")
        image = self.agent.read_bytes()
        config = (pathlib.Path(options.config).read_bytes() if options.config
                  else SAMPLE_CONFIG.replace("\n", "\r\n").encode())
        self.files = {"EFI/BOOT/BOOTX64.EFI": self.boot.read_bytes(), "kdagent.efi": image,
                      "kdagent.cfg": config}
        for path in self.extra:
            self.files[path.name] = path.read_bytes()
        content = hashlib.sha256()
        for name, data in self.files.items():
            content.update(f"{name} {len(data)}\n".encode() + data)
        self.identity = uuid.uuid5(uuid.NAMESPACE_OID, content.hexdigest())

    def serial(self, what):
        return uuid.uuid5(self.identity, what).hex[:8]


def fat_image(release, path, size, *format_options):
    """A FAT file system in a file; mtools takes its dates from SOURCE_DATE_EPOCH."""
    with open(path, "wb") as out:
        out.truncate(size)
    run("mformat", "-i", str(path), "-N", release.serial(path.name), "-v", "KDAGENT",
        *format_options, "::")
    folders = set()
    with tempfile.TemporaryDirectory() as scratch:
        for name, data in release.files.items():
            parts = name.split("/")[:-1]
            for depth in range(1, len(parts) + 1):
                folder = "/".join(parts[:depth])
                if folder not in folders:
                    folders.add(folder)
                    run("mmd", "-i", str(path), f"::/{folder}")
            source = pathlib.Path(scratch, "file")
            source.write_bytes(data)
            run("mcopy", "-i", str(path), str(source), f"::/{name}")


def gpt_table(disk_id, partition_id, sectors):
    """Protective MBR and the two copies of the partition table: {byte offset: bytes}."""
    first, last = ESP_AT // SECTOR, (ESP_AT + ESP_SIZE) // SECTOR - 1
    entry = struct.pack("<16s16sQQQ72s", ESP_TYPE.bytes_le, partition_id.bytes_le, first, last, 0,
                        "EFI system partition".encode("utf-16-le"))
    entries = entry.ljust(128 * 128, b"\0")

    def header(own, other, entries_at):
        def pack(checksum):
            return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, checksum, 0, own,
                               other, 34, sectors - 34, disk_id.bytes_le, entries_at, 128, 128,
                               zlib.crc32(entries))
        return pack(zlib.crc32(pack(0)))

    mbr = bytearray(SECTOR)
    mbr[446:462] = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, sectors - 1)
    mbr[510:512] = b"\x55\xaa"
    return {0: bytes(mbr), SECTOR: header(1, sectors - 1, 2), 2 * SECTOR: entries,
            (sectors - 33) * SECTOR: entries,
            (sectors - 1) * SECTOR: header(sectors - 1, 1, sectors - 33)}


def make_disk(release, esp):
    disk = bytearray(DISK_SIZE)
    disk[ESP_AT:ESP_AT + ESP_SIZE] = esp
    table = gpt_table(uuid.uuid5(release.identity, "disk"), uuid.uuid5(release.identity, "esp"),
                      DISK_SIZE // SECTOR)
    for offset, data in table.items():
        disk[offset:offset + len(data)] = data
    return bytes(disk)


def make_zip(release):
    moment = datetime.datetime.fromtimestamp(release.epoch, datetime.timezone.utc)
    with zipfile.ZipFile(release.out / "kdagent-esp.zip", "w") as archive:
        for name, data in sorted(release.files.items()):
            entry = zipfile.ZipInfo(name, moment.timetuple()[:6])
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_STORED  # deflate differs between versions of zlib
            archive.writestr(entry, data)


def make_iso(release, scratch):
    if not shutil.which("xorriso"):
        print("make_media.py: no kdagent.iso: xorriso is not installed (Debian: xorriso)")
        return
    root = scratch / "iso"
    for name, data in release.files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    fat_image(release, root / "efi.img", ISO_IMAGE_SIZE, "-f", "2880")
    for path in [root, *root.rglob("*")]:
        os.utime(path, (release.epoch, release.epoch))
    moment = datetime.datetime.fromtimestamp(release.epoch, datetime.timezone.utc)
    stamp = moment.strftime("%Y%m%d%H%M%S00")
    run("xorriso", "-as", "mkisofs", "-quiet", "-V", "KDAGENT", "-R", "-J",
        f"--modification-date={stamp}", "--set_all_file_dates", "set_to_mtime",
        "-e", "efi.img", "-no-emul-boot", "-o", str(release.out / "kdagent.iso"), str(root))


def at_address(data, pe, address):
    """File offset of a relative virtual address."""
    count, optional = struct.unpack_from("<HxxxxxxxxxxxxH", data, pe + 6)
    for index in range(count):
        size, start, length, offset = struct.unpack_from(
            "<IIII", data, pe + 24 + optional + 40 * index + 8)
        if start <= address < start + max(size, length):
            return offset + address - start
    fail(f"no section holds address {address:#x}")


def image_facts(path):
    """TimeDateStamp, SizeOfImage and the PDB record (GUID, age) of a PE32+ image."""
    data = path.read_bytes()
    pe = struct.unpack_from("<I", data, 0x3C)[0]
    if data[pe:pe + 4] != b"PE\0\0" or data[pe + 24:pe + 26] != b"\x0b\x02":
        fail(f"{path} is no PE32+ image")
    stamp = struct.unpack_from("<I", data, pe + 8)[0]
    size = struct.unpack_from("<I", data, pe + 24 + 56)[0]
    address, length = struct.unpack_from("<II", data, pe + 24 + 112 + 6 * 8)
    directory = at_address(data, pe, address) if length else 0
    for entry in range(directory, directory + length, 28):
        kind, _, _, record = struct.unpack_from("<IIII", data, entry + 12)
        if kind == 2 and data[record:record + 4] == b"RSDS":
            guid = uuid.UUID(bytes_le=data[record + 4:record + 20])
            return stamp, size, guid, struct.unpack_from("<I", data, record + 20)[0]
    fail(f"{path} has no PDB record; link it with /debug")


def make_symbols(release):
    """The folders in which a debugger's symbol path of this folder finds image and PDB."""
    root = release.out / "symbols"
    shutil.rmtree(root, ignore_errors=True)
    for image in [release.agent, *release.extra]:
        pdb = release.pdb if image == release.agent else image.with_suffix(".pdb")
        if image.suffix.lower() != ".efi" or not pdb.exists():
            continue
        stamp, size, guid, age = image_facts(image)
        for source, key in ((pdb, f"{guid.hex.upper()}{age:x}"), (image, f"{stamp:08X}{size:x}")):
            place = root / source.name / key
            place.mkdir(parents=True)
            shutil.copyfile(source, place / source.name)


def make_sums(release):
    names = sorted(path for path in release.out.rglob("*")
                   if path.is_file() and path.name != "SHA256SUMS")
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  "
             f"{path.relative_to(release.out).as_posix()}\n" for path in names]
    (release.out / "SHA256SUMS").write_text("".join(lines), encoding="ascii")


def main():
    parser = argparse.ArgumentParser(description="Makes the agent's release files.")
    parser.add_argument("--agent", required=True, help="kdagent.efi")
    parser.add_argument("--boot", required=True, help="kdboot.efi, which becomes BOOTX64.EFI")
    parser.add_argument("--pdb", required=True, help="kdagent.pdb")
    parser.add_argument("--extra", action="append", default=[],
                        help="one more file for all media; an .efi's .pdb beside it is taken, too")
    parser.add_argument("--config", help="kdagent.cfg for the media; without, one of comments")
    parser.add_argument("--out", required=True, help="folder for the result; emptied before")
    release = Release(parser.parse_args())
    if not shutil.which("mformat"):
        fail("mformat is not installed (Debian: mtools)")
    shutil.rmtree(release.out, ignore_errors=True)
    release.out.mkdir(parents=True)
    for path in (release.agent, release.pdb):
        shutil.copyfile(path, release.out / path.name)
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        fat_image(release, scratch / "esp.img", ESP_SIZE, "-F")
        vhdx.write(release.out / "kdagent.vhdx",
                   make_disk(release, (scratch / "esp.img").read_bytes()))
        make_iso(release, scratch)
    make_zip(release)
    make_symbols(release)
    make_sums(release)
    print((release.out / "SHA256SUMS").read_text(encoding="ascii"), end="")


if __name__ == "__main__":
    main()
