# capturefile.py - pcapng files, upper-PDU records, and Ethernet frames with IP, UDP and TCP.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""What the captures are made of below KD. The same calls make the same bytes."""

import ipaddress
import struct
from dataclasses import dataclass

LINKTYPE_ETHERNET, LINKTYPE_UPPER_PDU = 1, 252
INBOUND, OUTBOUND = 1, 2  # epb_flags, seen from the debugger
PROTOCOL_TCP, PROTOCOL_UDP = 6, 17
FIN, SYN, PSH, ACK = 0x01, 0x02, 0x08, 0x10


# --- pcapng


@dataclass
class Interface:
    name: str
    description: str
    linktype: int = LINKTYPE_UPPER_PDU
    snaplen: int = 0
    speed: int = 0  # bits a second; 0: not said


@dataclass
class Record:
    nanoseconds: int  # since 1970
    data: bytes
    interface: int = 0
    flags: int = 0  # INBOUND, OUTBOUND or 0
    comment: str = ""


def _padded(value: bytes) -> bytes:
    return value + b"\0" * (-len(value) % 4)


def _options(*options: tuple[int, bytes]) -> bytes:
    packed = b"".join(struct.pack("<HH", code, len(value)) + _padded(value)
                      for code, value in options if value)
    return packed + struct.pack("<HH", 0, 0) if packed else b""


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


def _section_header(application: str) -> bytes:
    return _block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
                  + _options((4, application.encode())))


def _interface_block(interface: Interface) -> bytes:
    speed = struct.pack("<Q", interface.speed) if interface.speed else b""
    return _block(1, struct.pack("<HHI", interface.linktype, 0, interface.snaplen)
                  + _options((2, interface.name.encode()), (3, interface.description.encode()),
                             (8, speed), (9, b"\x09")))


def _packet_block(record: Record, snaplen: int) -> bytes:
    captured = record.data[:snaplen] if snaplen else record.data
    flags = struct.pack("<I", record.flags) if record.flags else b""
    return _block(6, struct.pack("<IIIII", record.interface, record.nanoseconds >> 32,
                                 record.nanoseconds & 0xFFFFFFFF, len(captured), len(record.data))
                  + _padded(captured) + _options((1, record.comment.encode()), (2, flags)))


def _statistics_block(number: int, received: int, nanoseconds: int) -> bytes:
    count, none = struct.pack("<Q", received), bytes(8)
    return _block(5, struct.pack("<III", number, nanoseconds >> 32, nanoseconds & 0xFFFFFFFF)
                  + _options((4, count), (5, none)))


def pcapng(interfaces: list[Interface], records: list[Record], application: str) -> bytes:
    """A whole file."""
    blocks = [_section_header(application)]
    blocks += [_interface_block(interface) for interface in interfaces]
    blocks += [_packet_block(record, interfaces[record.interface].snaplen) for record in records]
    end = max(record.nanoseconds for record in records)
    for number in range(len(interfaces)):
        received = sum(record.interface == number for record in records)
        blocks.append(_statistics_block(number, received, end))
    return b"".join(blocks)


def upper_pdu(data: bytes, from_target: bool, dissector: str = "kd_stream") -> bytes:
    """A LINKTYPE_WIRESHARK_UPPER_PDU record: big-endian tags, whose length counts the padding."""

    def tag(number: int, value: bytes = b"") -> bytes:
        return struct.pack(">HH", number, len(_padded(value))) + _padded(value)

    direction = struct.pack(">I", int(from_target))  # 0 sent, 1 received
    return tag(12, dissector.encode()) + tag(35, direction) + tag(0) + data


# --- Ethernet


@dataclass(frozen=True)
class End:
    """An end of a conversation."""

    address: str
    port: int
    mac: str

    @property
    def packed(self) -> bytes:
        return ipaddress.ip_address(self.address).packed

    def at(self, port: int) -> "End":
        return End(self.address, port, self.mac)


def _internet_checksum(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _ip(source: End, destination: End, protocol: int, payload: bytes, identification: int) -> bytes:
    if len(source.packed) == 16:
        header = struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64)
        return header + source.packed + destination.packed + payload
    dont_fragment = 0x4000
    fields = [0x45, 0, 20 + len(payload), identification, dont_fragment, 64, protocol, 0]
    ends = source.packed + destination.packed
    fields[7] = _internet_checksum(struct.pack(">BBHHHBBH", *fields) + ends)
    return struct.pack(">BBHHHBBH", *fields) + ends + payload


def _transport_checksum(source: End, destination: End, protocol: int, segment: bytes) -> int:
    pseudo = source.packed + destination.packed + struct.pack(">II", len(segment), protocol)
    return _internet_checksum(pseudo + segment)


def _ethernet(source: End, destination: End, packet: bytes) -> bytes:
    kind = 0x86DD if len(source.packed) == 16 else 0x0800
    macs = bytes.fromhex((destination.mac + source.mac).replace(":", ""))
    return macs + struct.pack(">H", kind) + packet


def udp(source: End, destination: End, payload: bytes, identification: int) -> bytes:
    """An Ethernet frame with one datagram."""
    header = struct.pack(">HHH", source.port, destination.port, 8 + len(payload))
    checksum = _transport_checksum(source, destination, PROTOCOL_UDP,
                                   header + b"\0\0" + payload) or 0xFFFF
    datagram = header + struct.pack(">H", checksum) + payload
    return _ethernet(source, destination,
                     _ip(source, destination, PROTOCOL_UDP, datagram, identification))


def tcp(source: End, destination: End, sequence: int, acknowledged: int, flags: int,
        payload: bytes, identification: int) -> bytes:
    """An Ethernet frame with one segment."""
    offset_and_flags = 5 << 12 | flags

    def header(checksum: int) -> bytes:
        return struct.pack(">HHIIHHHH", source.port, destination.port, sequence, acknowledged,
                           offset_and_flags, 0xFFFF, checksum, 0)

    checksum = _transport_checksum(source, destination, PROTOCOL_TCP, header(0) + payload)
    return _ethernet(source, destination, _ip(source, destination, PROTOCOL_TCP,
                                              header(checksum) + payload, identification))
