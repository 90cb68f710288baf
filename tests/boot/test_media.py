# test_media.py - the agent's media: the same bytes each time, sound by other programs'
# judgement, and each boots the agent.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""KDLENS_AGENT_IMAGES names the folder with kdagent.efi, kdagent.pdb, kdboot.efi and kdexample.efi.
"""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import zipfile
from pathlib import Path

import machine

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGES = Path(os.environ.get("KDLENS_AGENT_IMAGES") or REPOSITORY / "build/uefi-agent")
# A RESET: leader, type 6, no bytes, id 0, checksum 0.
RESET = bytes.fromhex("69696969 0600 0000 00000000 00000000")


def missing():
    if not (IMAGES / "kdagent.efi").exists():
        return f"no {IMAGES}/kdagent.efi (cmake --build build --target kdagent_media)"
    return "" if shutil.which("mformat") else "no mformat (Debian package mtools)"


def make(out, **environment):
    subprocess.run([sys.executable, "-B", REPOSITORY / "uefi-agent/media/make_media.py",
                    "--agent", IMAGES / "kdagent.efi", "--pdb", IMAGES / "kdagent.pdb",
                    "--boot", IMAGES / "kdboot.efi", "--extra", IMAGES / "kdexample.efi",
                    "--out", out], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, **environment})


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*") if path.is_file()}


def setUpModule():
    reason = missing()
    if reason:
        raise unittest.SkipTest(reason)
    scratch = Path(tempfile.mkdtemp(prefix="kdmedia"))
    unittest.addModuleCleanup(shutil.rmtree, scratch, True)
    globals()["SCRATCH"] = scratch
    globals()["MEDIA"] = scratch / "media"
    make(MEDIA)


class Files(unittest.TestCase):
    def test_same_bytes_again(self):
        """Another moment, another time zone, another folder: the same files."""
        time.sleep(2.1)  # FAT counts in two seconds
        make(SCRATCH / "again", TZ="Asia/Tokyo")
        first, second = contents(MEDIA), contents(SCRATCH / "again")
        self.assertEqual(first.keys(), second.keys())
        for name, data in first.items():
            self.assertEqual(data, second[name], name)

    def test_date_is_an_input(self):
        make(SCRATCH / "later", SOURCE_DATE_EPOCH="1700000000")
        with zipfile.ZipFile(SCRATCH / "later" / "kdagent-esp.zip") as archive:
            self.assertEqual(archive.infolist()[0].date_time[:3], (2023, 11, 14))

    def test_checksums(self):
        lines = (MEDIA / "SHA256SUMS").read_text().splitlines()
        sums = dict(reversed(line.split("  ", 1)) for line in lines)
        found = {name: hashlib.sha256(data).hexdigest() for name, data in contents(MEDIA).items()
                 if name != "SHA256SUMS"}
        self.assertEqual(sums, found)

    def test_zip(self):
        with zipfile.ZipFile(MEDIA / "kdagent-esp.zip") as archive:
            self.assertIsNone(archive.testzip())
            self.assertEqual(archive.read("kdagent.efi"), (IMAGES / "kdagent.efi").read_bytes())
            self.assertEqual(archive.read("EFI/BOOT/BOOTX64.EFI"),
                             (IMAGES / "kdboot.efi").read_bytes())

    def test_symbol_folders(self):
        """What a symbol server would be asked for, by llvm-readobj's reading of the image."""
        tool = shutil.which("llvm-readobj") or shutil.which("llvm-readobj-14")
        if not tool:
            self.skipTest("no llvm-readobj (Debian package llvm)")
        text = subprocess.run([tool, "--file-headers", "--coff-debug-directory",
                               IMAGES / "kdagent.efi"], check=True, capture_output=True,
                              text=True).stdout

        def after(label):
            return text.split(label, 1)[1].splitlines()[0].strip()

        guid = bytes.fromhex(after("PDBGUID:").strip("()"))
        # The first three parts of a GUID are numbers, and lie in memory with the low byte first.
        key = (guid[3::-1] + guid[5:3:-1] + guid[7:5:-1] + guid[8:]).hex().upper()
        self.assertTrue((MEDIA / "symbols/kdagent.pdb" / f"{key}{int(after('PDBAge:')):x}" /
                         "kdagent.pdb").is_file())
        stamp = after("TimeDateStamp:").split("(")[-1].rstrip(")")
        size = int(after("SizeOfImage:"))
        self.assertTrue((MEDIA / "symbols/kdagent.efi" / f"{int(stamp, 16):08X}{size:x}" /
                         "kdagent.efi").is_file())

    def test_vhdx(self):
        """QEMU's reader finds no error, and the disk in it has the FAT file system in its
        partition."""
        if not shutil.which("qemu-img"):
            self.skipTest("no qemu-img (Debian package qemu-utils)")
        subprocess.run(["qemu-img", "check", "-q", MEDIA / "kdagent.vhdx"], check=True)
        raw = SCRATCH / "disk.raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", MEDIA / "kdagent.vhdx", raw],
                       check=True)
        data = raw.read_bytes()
        self.assertEqual(data[512:520], b"EFI PART")
        self.assertEqual(data[-512:-504], b"EFI PART")
        self.assertEqual(data[(1 << 20) + 0x52:(1 << 20) + 0x57], b"FAT32")
        listing = subprocess.run(["mdir", "-i", f"{raw}@@1M", "-b", "-/", "::/"], check=True,
                                 capture_output=True, text=True).stdout
        self.assertIn("::/EFI/BOOT/BOOTX64.EFI", listing)
        self.assertIn("::/kdagent.efi", listing)


class Boots(unittest.TestCase):
    """The first packet on the line is the agent's RESET, after whatever the firmware printed."""

    def setUp(self):
        reason = machine.missing()
        if reason:
            self.skipTest(reason)

    def boots(self, *drive):
        line = SCRATCH / f"{self.id()}.line"
        with machine.Machine(uart=f"file,path={line}", extra=drive) as guest:
            end = time.monotonic() + machine.PATIENCE
            while RESET not in (data := line.read_bytes() if line.exists() else b""):
                self.assertTrue(guest.alive())
                self.assertLess(time.monotonic(), end, f"no RESET; the line has {data[-300:]!r}")
                time.sleep(0.1)

    def test_vhdx(self):
        self.boots("-drive", f"format=vhdx,file={MEDIA / 'kdagent.vhdx'},snapshot=on")

    def test_iso(self):
        if not (MEDIA / "kdagent.iso").exists():
            self.skipTest("no ISO was made (Debian package xorriso)")
        self.boots("-cdrom", MEDIA / "kdagent.iso")

    def test_zip(self):
        esp = SCRATCH / "esp"
        with zipfile.ZipFile(MEDIA / "kdagent-esp.zip") as archive:
            archive.extractall(esp)
        self.boots("-drive", f"format=raw,file=fat:rw:{esp}")


if __name__ == "__main__":
    program = unittest.main(exit=False)
    if program.result.skipped and not program.result.testsRun:
        sys.exit(77)
    sys.exit(not program.result.wasSuccessful())
