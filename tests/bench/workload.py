# workload.py - the captures that dissect.py measures with.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Long captures of ordinary traffic.

  Session(helper)                    a real KDNET session (or, without real captures, one of pcaps/)
  Session.capture(count)             as many datagrams of it, made with the helper kdnet_repeat
  serial(size, cut, dissector)       a COM port's stream of so many bytes in records of `cut` bytes
"""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
sys.path[:0] = [str(HERE.parent / "dissector"), str(HERE.parent / "dissector/generate")]

import capturefile  # noqa: E402
import kdtest  # noqa: E402
import kdwire  # noqa: E402

READS = (16, 128, 512, 3900)  # bytes that the debugger reads, in turn


class Session:
    """A KDNET session that can be made as long as one likes."""

    def __init__(self, helper: Path):
        self._helper = helper
        folder = Path(os.environ.get("KDLENS_CAPTURES") or REPOSITORY.parent / "shared/captures")
        self.source = folder / "windbg-uncut.pcapng.gz"
        self.key, self.port = "8.8.8.8", 51111
        if not self.source.exists():
            print(f"No {self.source} (KDLENS_CAPTURES): a session of pcaps/ is repeated instead.")
            self._use_own()
        self._pcap = kdtest.scratch("session.pcap")
        kdtest.run("editcap", ["-F", "pcap", kdtest.staged(self.source), self._pcap])

    def _use_own(self):
        golden = HERE.parent / "dissector/golden/kdnet-session.json"
        self.source = REPOSITORY / "pcaps/kdnet-session.pcapng"
        self.key, self.port = json.loads(golden.read_text())["keys"][0], 50000
        if not self.source.exists():
            sys.exit("No capture to repeat: neither KDLENS_CAPTURES nor pcaps/kdnet-session.")

    def capture(self, count: int) -> Path:
        path = kdtest.scratch(f"session-{count}.pcap")
        subprocess.run([self._helper, self._pcap, self.key, str(count), path], check=True,
                       stdout=subprocess.DEVNULL)
        return path


def _exchange(number: int):
    """A read and its reply as (direction, packet): request, ACK, reply, ACK."""
    count = READS[number % len(READS)]
    request = kdwire.read_virtual(0xFFFFF80000000000 + 4096 * number, count)
    reply = kdwire.data_reply(request, bytes(number + i & 0xFF for i in range(count)))
    packet_id = 0x80800000 | number & 1
    for direction, answer, message in ((kdtest.HOST_TO_TARGET, kdtest.TARGET_TO_HOST, request),
                                       (kdtest.TARGET_TO_HOST, kdtest.HOST_TO_TARGET, reply)):
        yield direction, kdwire.packet(message.type, packet_id, message.payload)
        yield answer, kdwire.packet(kdwire.ACKNOWLEDGE, packet_id)


def serial(size: int, cut: int, dissector: str) -> tuple[Path, int]:
    """The capture and how many records it has."""
    path = kdtest.scratch(f"serial-{size}-{cut}-{dissector}.pcap")
    tags = {direction: capturefile.upper_pdu(b"", direction == kdtest.TARGET_TO_HOST, dissector)
            for direction in (kdtest.HOST_TO_TARGET, kdtest.TARGET_TO_HOST)}
    records = written = number = 0
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535,
                               capturefile.LINKTYPE_UPPER_PDU))
        while written < size:
            for direction, packet in _exchange(number):
                for start in range(0, len(packet), cut):
                    data = tags[direction] + packet[start:start + cut]
                    file.write(struct.pack("<IIII", *divmod(10 * records, 1000000), len(data),
                                           len(data)) + data)
                    records += 1
                written += len(packet)
            number += 1
    return path, records
