# test_generate.py - the generator of the stored captures, checked without the plugin.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The stored captures are what the generator writes, and the generator is right.

Right means: published vectors of AES, and bytes that real debuggers and targets sent, come out of
the encoder bit for bit. The vectors are those of the protocol reference.
"""

import hashlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "generate"))

import generate  # noqa: E402
import kdevents as ev  # noqa: E402
import kdnetseal  # noqa: E402
import kdwire as kd  # noqa: E402
import vmbusread  # noqa: E402
from aes import Aes256  # noqa: E402
from kdmachine import report_amd64  # noqa: E402
from kdnetseal import CONTROL, DATA  # noqa: E402

PCAPS = HERE.parent.parent / "pcaps"
GOLDEN = HERE / "golden"
LARGEST = 50_000
RECORDED = "vmbus-recorded-"  # the generator has no part in these captures


class Stored(unittest.TestCase):
    def test_captures_and_goldens_are_what_the_generator_writes(self):
        with tempfile.TemporaryDirectory() as folder:
            captures, goldens = Path(folder, "captures"), Path(folder, "goldens")
            captures.mkdir()
            goldens.mkdir()
            names = generate.write(captures, goldens)
            for made, stored, suffix in ((captures, PCAPS, "pcapng"), (goldens, GOLDEN, "json")):
                self.assertEqual(sorted(path.stem for path in stored.glob(f"*.{suffix}")
                                        if not path.stem.startswith(RECORDED)), sorted(names))
                for name in names:
                    with self.subTest(file=f"{name}.{suffix}"):
                        self.assertEqual((made / f"{name}.{suffix}").read_bytes(),
                                         (stored / f"{name}.{suffix}").read_bytes())

    def test_goldens_of_recorded_captures_are_what_the_bytes_say(self):
        """The encoder makes each message of a real guest again, bit for bit."""
        captures = sorted(PCAPS.glob(f"{RECORDED}*.pcapng"))
        self.assertTrue(captures)
        for path in captures:
            golden = GOLDEN / f"{path.stem}.json"
            with self.subTest(capture=path.name):
                self.assertEqual(vmbusread.stored_golden(path, golden),
                                 golden.read_text(encoding="utf-8"))

    def test_captures_are_small(self):
        for path in PCAPS.glob("*.pcapng"):
            self.assertLess(path.stat().st_size, LARGEST, path.name)

    def test_readme_has_every_capture_with_its_hash(self):
        text = (PCAPS / "README.md").read_text(encoding="utf-8")
        for path in PCAPS.glob("*.pcapng"):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            self.assertRegex(text, f"{digest}  {re.escape(path.name)}")

    def test_captures_read_as_pcapng(self):
        for path in PCAPS.glob("*.pcapng"):
            read = subprocess.run(["capinfos", "-c", path], capture_output=True, text=True)
            self.assertEqual(read.returncode, 0, read.stderr)


class Aes(unittest.TestCase):
    def test_block_of_fips_197(self):
        cipher = Aes256(bytes(range(32)))
        self.assertEqual(cipher.encrypt_block(bytes.fromhex("00112233445566778899aabbccddeeff")),
                         bytes.fromhex("8ea2b7ca516745bfeafc49904b496089"))

    def test_cbc_of_sp_800_38a(self):
        key = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"
        plain = ("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
                 "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710")
        sealed = ("f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d"
                  "39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b")
        cipher = Aes256(bytes.fromhex(key))
        self.assertEqual(cipher.encrypt_cbc(bytes(range(16)), bytes.fromhex(plain)).hex(), sealed)

    @unittest.skipUnless(shutil.which("openssl"), "needs openssl")
    def test_openssl_opens_what_is_sealed(self):
        key = kdnetseal.key_bytes("3w5e11264sgsf.23418vzkd4ko3.1g34ou07z4pev.1sp3yo9yz874p")
        body = kd.packet(kd.RESEND, 0)
        datagram = kdnetseal.seal(key, key, 5, DATA, 1, True, body)
        opened = subprocess.run(["openssl", "enc", "-d", "-aes-256-cbc", "-nopad", "-K", key.hex(),
                                 "-iv", datagram[-16:].hex()], input=datagram[6:-16],
                                capture_output=True, check=True).stdout
        self.assertEqual(opened, struct.pack(">Q", 1 << 8 | 0x88) + body + bytes(8))


class Kdnet(unittest.TestCase):
    """Frames of the published Windows 10 boot debugger session, key 8.8.8.8."""

    KEY = kdnetseal.key_bytes("8.8.8.8")
    NONCE = bytes.fromhex("c19792dfac7aa1dfe007010018000b00240005000000070088f7570043a12600")
    RANDOM = bytes.fromhex("41b4fa1b2ddd14ee3eeb8db987c0c7257ce62eef126ab74ef212136c100c540b")

    def data_key(self) -> bytes:
        return kdnetseal.data_key(self.KEY, kdnetseal.response(self.NONCE, self.RANDOM))

    def test_poke(self):
        body = kdnetseal.poke(self.NONCE, ("192.168.2.72", 51111), ("192.168.2.1", 51111),
                              ("0.0.0.0", 0))
        datagram = kdnetseal.seal(self.KEY, self.KEY, 4, CONTROL, 3, False, body)
        self.assertEqual(hashlib.sha256(datagram).hexdigest(),
                         "d9c4b0ebc334bba11e43816cb5f0cc77b983c738863d3b7c5986c7bc55a92c1a")

    def test_poke_of_version_5(self):
        key = kdnetseal.key_bytes("1.2.3.4")
        nonce = bytes.fromhex("0b37ef66459557f6e6ca41ec51a89d371c80a4ace78402d98d75c096c9328254")
        debugger = ("192.168.1.101", 50000)
        body = kdnetseal.poke(nonce, ("192.168.1.105", 50000), debugger, debugger)
        datagram = kdnetseal.seal(key, key, 5, CONTROL, 2508, False, body)
        self.assertEqual(hashlib.sha256(datagram).hexdigest(),
                         "7f5b6811b6606b381c54e6d30c006447117c4015af76c93c3048ed6a32f89210")

    def test_response_and_data_key(self):
        body = kdnetseal.response(self.NONCE, self.RANDOM)
        datagram = kdnetseal.seal(self.KEY, self.KEY, 4, CONTROL, 3, True, body)
        self.assertEqual(hashlib.sha256(datagram).hexdigest(),
                         "3480bc0ab88ca52a247823cdff6051feeb215100cc2779d37f27bdc58851d5c8")
        self.assertEqual(self.data_key().hex(),
                         "6bd91c57bd6a551ad30b509c05c0c95b32cc5e47a0866907eaf0b1583384f660")

    def check_data(self, sequence: int, from_debugger: bool, body: bytes, expected: str) -> None:
        datagram = kdnetseal.seal(self.KEY, self.data_key(), 4, DATA, sequence, from_debugger, body)
        self.assertEqual(datagram.hex(), expected)

    def test_announce(self):
        self.check_data(1, False, kdnetseal.announce("192.168.2.1"),
                        "4d44424704002fa399cffa8f888c766d5e595a843c6dee47e25b8c9e098bd63242f62775"
                        "3eddfb5900eab024ca9c9c435055f1c8e7d2")

    def test_control_packets(self):
        self.check_data(1, True, kd.packet(kd.RESEND, 0),
                        "4d44424704000c3e6d1655f7c70b5d8a875f9032af003152b7f200de2491adb391c109d8"
                        "6f1e94bbfcb63ea493ff1e588fdbaab8575f")
        self.check_data(2, True, kd.packet(kd.ACKNOWLEDGE, 0),
                        "4d444247040053856c8e1086002c3276a4841d89c8ddb68eb775bd0c46538bd0b7f597f3"
                        "daf8a29c3f714570f104a02535febdf9efa6")
        self.check_data(3, True, kd.packet(kd.ACKNOWLEDGE, 2),
                        "4d4442470400d23945f428edccaf82c7d319b363212e6c67f1a0ff1d213264c3b685bdb9"
                        "0e8d055b93718a953fe4435fa6c358f8f809")
        self.check_data(0x63, True, kd.packet(kd.RESET, 0x80000060),
                        "4d444247040083b8c51b15d585e4173b9a6e34cf7f8958384f0df39546106569f648bf21"
                        "12f908968913b24bbef4a5e656c648a99441")

    def test_version_1(self):
        key = kdnetseal.key_bytes("2o.l.d.1")
        announce = kdnetseal.announce("127.0.0.1", 1 << 63 | 5)
        self.assertEqual(kdnetseal.seal_v1(key, 1, False, announce).hex(),
                         "4d44010000040000000000000001d0e2c4a501319926629ead9e7bd23587701b61835746"
                         "0319888c38acf87dfd6d")
        self.assertEqual(kdnetseal.seal_v1(key, 7, True, kd.packet(kd.RESEND, 0)).hex(),
                         "4d440100000080000000000000078937f507e11805bbf714a6705fa84c6d0944b51d7e9c"
                         "ccd69a2bec69c6c63497")

    def test_key_text(self):
        key = kdnetseal.key_bytes("2steg4fzbj2sz.23418vzkd4ko3.1g34ou07z4pev.1sp3yo9yz874p")
        self.assertEqual(key.hex(), "f3dbceb8325327b8a32e9a5b5f793389a758a22d8f99245f"
                                    "19313cfbfe782d76")
        self.assertEqual(kdnetseal.key_text(key),
                         "2steg4fzbj2sz.23418vzkd4ko3.1g34ou07z4pev.1sp3yo9yz874p")


def filled(*pieces: tuple[int, str]) -> bytes:
    """56 zero bytes with stale ones, as hex, at offsets."""
    return kd.place(56, *((offset, f"{len(text) // 2}s", bytes.fromhex(text))
                          for offset, text in pieces), fill=bytes(56))


class Packets(unittest.TestCase):
    """Packets seen on real lines: Windows XP on a COM port, Windows 10 over KDNET (no trailer)."""

    def test_acknowledge_and_reset(self):
        self.assertEqual(kd.packet(kd.ACKNOWLEDGE, 0x80800000).hex(),
                         "69696969040000000000808000000000")
        self.assertEqual(kd.packet(kd.RESET, 0).hex(), "69696969060000000000000000000000")

    def test_read_virtual_request(self):
        stale = filled((12, "3411bc77"),
                       (28, "d4f57d0718118d07380000003800000003000000e879e10003000000"))
        message = kd.request(0x3130, (0, "QI", 0xFFFFFFFF80678EF4, 4), level=0xFFFE,
                             processor=0xFFFF, status=0x077DF638, fill=stale)
        self.assertEqual(kd.packet(2, 0x80800001, message.payload).hex(), (
            "303030300200380001008080b1130000"
            "30310000feffffff38f67d073411bc77f48e6780ffffffff04000000"
            "d4f57d0718118d07380000003800000003000000e879e10003000000aa"))

    def test_read_virtual_reply(self):
        stale = filled((12, "a074c177"), (32, "2000000028000000a802e1005cee7d075000000020000000"))
        message = kd.request(0x3130, (0, "QI", 0xFFFFFFFF80546AE0, 24), level=0x02BA, fill=stale)
        header = bytes.fromhex("f48e6780f48e678000000000000000004b44424790020000")
        reply = kd.data_reply(message, header)
        self.assertEqual(kd.packet(2, 0x80800001, reply.payload).hex(), (
            "30303030020050000100808040140000"
            "30310000ba02000000000000a074c177e06a5480ffffffff1800000018000000"
            "2000000028000000a802e1005cee7d075000000020000000"
            "f48e6780f48e678000000000000000004b44424790020000aa"))

    def test_get_version_replies(self):
        windows_xp = kd.version_reply(
            kd.request(0x3146, level=0xF680, processor=0x077D, fill=filled((12, "f4f67d07"))),
            major=0x000F, build=2600, protocol=6, secondary=0, flags=2, machine=0x14C,
            max_packet_type=12, max_state_change=3, max_manipulate=0x2D, simulation=0,
            kern_base=0xFFFFFFFF804D8000, module_list=0xFFFFFFFF80554FC0,
            data_list=0xFFFFFFFF80678EF4)
        self.assertEqual(kd.packet(2, 0x80800001, windows_xp.payload).hex(), (
            "3030303002003800010080803f170000"
            "4631000080f67d0700000000f4f67d070f00280a060002004c010c032d000000"
            "00804d80ffffffffc04f5580fffffffff48e6780ffffffffaa"))
        windows_10 = kd.version_reply(
            kd.request(0x3146, level=0xFFFF, processor=0xFFFF, fill=filled((12, "25000000"))),
            major=0x040F, build=10586, protocol=6, secondary=2, flags=2, machine=0x8664,
            max_packet_type=12, max_state_change=0x32, max_manipulate=0x59, simulation=0,
            kern_base=0x96F000, module_list=0xAD5E60, data_list=0)
        self.assertEqual(kd.packet(2, 4, windows_10.payload, b"").hex(), (
            "303030300200380004000000aa09000046310000ffffffff0000000025000000"
            "0f045a290602020064860c325900000000f0960000000000605ead0000000000"
            "0000000000000000"))

    def test_continue2(self):
        message = kd.continue2_amd64(kd.CONTINUE)
        payload = kd.place(56, (4, "HHII", 0x25, 0, kd.CONTINUE, 0),
                           (48, "8s", bytes.fromhex("c0b2fb9dfe7f0000")), fill=message.payload)
        self.assertEqual(kd.packet(2, 0x8000006E, payload, b"").hex(), (
            "30303030020038006e00008024050000"
            "3c31000025000000020001000000000002000100000000000004000000000000"
            "01000000000000000000000000000000c0b2fb9dfe7f0000"))

    def test_exception(self):
        report = report_amd64(bytes.fromhex("cc488b5c2440488b6c2448488b742450"), dr6=0xFFFE0FF0,
                              eflags=2, flags=1, ds=0x30, es=0x30, fs=0x30)
        self.assertEqual(report.data.hex(), (
            "f00ffeff0000000000040000000000000200000010000100"
            "cc488b5c2440488b6c2448488b7424501000300030003000"))
        message = ev.exception(kd.BREAKPOINT, 0x9CF07D, report, (0,), pc=0x9CF07E)
        seen = bytes.fromhex(
            "3030000000000000010000000000000000000000000000007ef09c0000000000"
            "030000800000000000000000000000007df09c00000000000100000001f8ffff"
            "0000000000000000")
        undefined = (range(12, 16), range(60, 64))
        compared = [n for n in range(72) if not any(n in gap for gap in undefined)]
        self.assertEqual([message.payload[n] for n in compared], [seen[n] for n in compared])
        self.assertEqual(len(message.payload), 240)
        self.assertEqual(message.payload[192:], report.data)

    def test_load_symbols(self):
        report = report_amd64(b"\xcc\xc3" + b"\xcc" * 14, dr6=0xFFFE0FF0, eflags=6, flags=1,
                              ds=0x30, es=0x30, fs=0x30)
        message = ev.load_symbols("winload.efi", 0x96F000, 0x1000, 0, 0, report)
        self.assertEqual(message.payload[192:].hex(), (
            "f00ffeff0000000000040000000000000600000010000100ccc3cccccccccccccccccccccccccccc"
            "100030003000300077696e6c6f61642e65666900"))

    def test_create_file_reply(self):
        asked = ev.create_file("\\Windows\\system32\\en-GB\\winload.efi.MUI")
        stale = kd.place(64, (28, "20s", bytes(20)),
                         (48, "16s", bytes.fromhex("188bc57b01f8ffffc1bafe5f00000000")),
                         fill=asked.payload[:64])
        asked.payload = stale
        reply = ev.file_reply(asked, status=kd.NO_SUCH_FILE)
        self.assertEqual(kd.packet(11, 0x80000070, reply.payload, b"").hex(), (
            "303030300b00400070000080020a0000303400000f0000c08900120080000000"
            "0100000001000000000000000000000000000000000000000000000000000000"
            "188bc57b01f8ffffc1bafe5f00000000"))


if __name__ == "__main__":
    unittest.main()  # not kdtest.main(): this needs no plugin
