# vmbuswire.py - VMBus as bytes: messages, ring packets, pipes, frames, and records of them.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The encoder of the VMBus captures, written from the protocol reference.

It shares nothing with lib/kd. Offsets count from the start of a message. Each function returns a
Message: its bytes, and what a decoder must show of it (display filter -> value).
"""

import struct
import uuid
from dataclasses import dataclass, field

HEARTBEAT = "57164f39-9115-4e78-ab55-382f3bd5422d"
SHUTDOWN = "0e0b6031-5213-4934-818b-38d90ced39db"
TIME_SYNC = "9527e630-d0ae-497b-adce-e80ab0175caf"
KVP = "a9a0f4e7-5a45-4d96-b827-8a841e8c03e6"
NETWORK = "f8615163-df3e-46c5-913f-f2d2f965ed0e"
SCSI = "ba6163d9-04a1-4d29-b605-72e2ffb1dc7f"
KD_PIPE = "a67dfbae-7897-42ad-9d10-d96156b36958"
KD_PIPE_INSTANCE = "9c7fe450-67fc-41aa-9732-8d4c3ed93db4"
NAMES = {HEARTBEAT: "Heartbeat", SHUTDOWN: "Shutdown", TIME_SYNC: "Time sync",
         KVP: "KVP exchange", NETWORK: "Network", SCSI: "SCSI", KD_PIPE: "Kernel debugger pipe",
         KD_PIPE_INSTANCE: "Kernel debugger pipe, instance"}
INSTANCE = "4b4f4e53-0000-4000-8000-{:012x}"  # of devices that have no fixed one

NAMED_PIPE, TRANSPORT = 0x10, 0x2000
PAGE = 4096


def guid(text: str) -> bytes:
    return uuid.UUID(text).bytes_le


@dataclass
class Message:
    """A channel message."""

    number: int
    data: bytes
    title: str
    facts: dict = field(default_factory=dict)


def _message(number: int, title: str, body: bytes, facts: dict) -> Message:
    data = struct.pack("<II", number, 0) + body
    return Message(number, data, title, {"vmbus.message": number} | facts)


# --- connection


def initiate_contact(version: int, vp: int = 0, interrupt_page: int = 0x1234000,
                     monitor: tuple[int, int] = (0x1235000, 0x1236000)) -> Message:
    """Before 5.0."""
    return _message(14, f"contact {version:#x}",
                    struct.pack("<IIQQQ", version, vp, interrupt_page, *monitor),
                    {"vmbus.version": version, "vmbus.target_vp": vp,
                     "vmbus.contact.interrupt_page": interrupt_page, "vmbus.contact.sint": None,
                     "vmbus.contact.parent_to_child_page": monitor[0],
                     "vmbus.contact.child_to_parent_page": monitor[1]})


def initiate_contact5(version: int, sint: int, vtl: int = 0, vp: int = 0, features: int = 0,
                      monitor: tuple[int, int] = (0x1235000, 0x1236000),
                      client: str = "") -> Message:
    """Since 5.0; the client id lengthens it to 56 bytes."""
    facts = {"vmbus.version": version, "vmbus.target_vp": vp, "vmbus.contact.sint": sint,
             "vmbus.contact.vtl": vtl, "vmbus.features": features,
             "vmbus.contact.interrupt_page": None,
             "vmbus.contact.parent_to_child_page": monitor[0],
             "vmbus.contact.child_to_parent_page": monitor[1],
             "vmbus.contact.client_id": client or None}
    return _message(14, f"contact {version:#x} SINT {sint}",
                    struct.pack("<IIBBHIQQ", version, vp, sint, vtl, 0, features, *monitor)
                    + (guid(client) if client else b""), facts)


def version_response(supported: int, version: int = 0, state: int = 0) -> Message:
    """Before 5.0."""
    return _message(15, f"version response {supported}",
                    struct.pack("<BBHI", supported, state, 0, version),
                    {"vmbus.version_response.supported": supported,
                     "vmbus.version_response.state": state, "vmbus.version": version,
                     "vmbus.version_response.connection_id": None})


def version_response5(supported: int, connection: int = 0, state: int = 0,
                      features: int | None = None,
                      monitor: tuple[int, int] | None = None) -> Message:
    """Since 5.0: 16, 20 or 40 bytes."""
    body = struct.pack("<BBHI", supported, state, 0, connection)
    facts = {"vmbus.version_response.supported": supported, "vmbus.version_response.state": state,
             "vmbus.version_response.connection_id": connection, "vmbus.features": features}
    if features is not None:
        body += struct.pack("<I", features)
    if monitor:
        body += struct.pack("<IQQ", 0, *monitor)
        facts |= {"vmbus.contact.parent_to_child_page": monitor[0],
                  "vmbus.contact.child_to_parent_page": monitor[1]}
    return _message(15, f"version response {supported}", body, facts)


def plain(number: int, title: str) -> Message:
    """A message of 8 bytes: 3, 4, 16, 17, 27, 28, 29."""
    return _message(number, title, b"", {})


def modify_connection(parent: int, child: int) -> Message:
    return _message(25, "modify connection", struct.pack("<QQ", parent, child),
                    {"vmbus.contact.parent_to_child_page": parent,
                     "vmbus.contact.child_to_parent_page": child})


def modify_connection_response(state: int = 0) -> Message:
    return _message(26, "connection modified", struct.pack("<B", state),
                    {"vmbus.modify_connection.state": state})


# --- channels


def offer(relid: int, interface: str, instance: str = "", flags: int = 1, connection: int = -1,
          pipe_mode: int | None = None, user: bytes = b"", sub_channel: int = 0,
          monitor: int | None = None, mmio: int = 0, dedicated: bool = True) -> Message:
    instance = instance or INSTANCE.format(relid)
    if pipe_mode is not None:
        flags |= NAMED_PIPE
        user = struct.pack("<I", pipe_mode) + user
    connection = 0x2000 | relid if connection < 0 else connection
    body = guid(interface) + guid(instance) + bytes(16) + struct.pack("<HH", flags, mmio)
    body += user.ljust(120, b"\0") + struct.pack("<HH", sub_channel, 0)
    body += struct.pack("<IBBHI", relid, monitor or 0, monitor is not None, dedicated,
                        connection)
    facts = {"vmbus.offer.interface": interface, "vmbus.offer.instance": instance,
             "vmbus.offer.flags": flags, "vmbus.offer.mmio": mmio,
             "vmbus.offer.sub_channel": sub_channel, "vmbus.relid": relid,
             "vmbus.offer.monitor_id": monitor or 0,
             "vmbus.offer.monitor_flags.allocated": monitor is not None,
             "vmbus.offer.interrupt_flags.dedicated": dedicated,
             "vmbus.offer.connection_id": connection, "vmbus.offer.pipe_mode": pipe_mode,
             "vmbus.offer.interface_name": NAMES.get(interface),
             "vmbus.offer.instance_name": NAMES.get(instance)}
    return _message(1, f"offer {relid}", body, facts)


def relid_message(number: int, title: str, relid: int) -> Message:
    """Rescind (2), close (7), released (13)."""
    return _message(number, f"{title} {relid}", struct.pack("<I", relid), {"vmbus.relid": relid})


def open_channel(relid: int, gpadl: int, pages_before: int, openid: int = 0, vp: int = 0,
                 user: bytes = b"", signal: tuple[int, int, int] | None = None) -> Message:
    """signal: connection id, event flag and flags of the longer form (6.0)."""
    body = struct.pack("<IIIII", relid, openid or gpadl, gpadl, vp, pages_before)
    body += user.ljust(120, b"\0") + (struct.pack("<IHH", *signal) if signal else b"")
    return _message(5, f"open {relid}", body,
                    {"vmbus.relid": relid, "vmbus.openid": openid or gpadl, "vmbus.gpadl": gpadl,
                     "vmbus.target_vp": vp, "vmbus.ring_page_offset": pages_before,
                     "vmbus.open.connection_id": signal[0] if signal else None,
                     "vmbus.open.event_flag": signal[1] if signal else None})


def open_result(relid: int, openid: int, status: int = 0) -> Message:
    return _message(6, f"open result {relid}", struct.pack("<III", relid, openid, status),
                    {"vmbus.relid": relid, "vmbus.openid": openid, "vmbus.status": status})


def modify_channel(relid: int, vp: int) -> Message:
    return _message(22, f"modify {relid}", struct.pack("<II", relid, vp),
                    {"vmbus.relid": relid, "vmbus.target_vp": vp})


def channel_modified(relid: int, status: int = 0) -> Message:
    return _message(24, f"modified {relid}", struct.pack("<II", relid, status),
                    {"vmbus.relid": relid, "vmbus.status": status})


def open_reserved(channel: int, vp: int, sint: int, gpadl: int, pages_before: int) -> Message:
    return _message(18, "open reserved",
                    struct.pack("<IIIII", channel, vp, sint, gpadl, pages_before),
                    {"vmbus.relid": channel, "vmbus.target_vp": vp, "vmbus.target_sint": sint,
                     "vmbus.gpadl": gpadl, "vmbus.ring_page_offset": pages_before})


def close_reserved(channel: int, vp: int, sint: int) -> Message:
    return _message(19, "close reserved", struct.pack("<III", channel, vp, sint),
                    {"vmbus.relid": channel, "vmbus.target_vp": vp, "vmbus.target_sint": sint})


def reserved_closed(channel: int) -> Message:
    return _message(20, "reserved closed", struct.pack("<I", channel), {"vmbus.relid": channel})


def tl_connect(endpoint: str, service: str, silo: str = "") -> Message:
    return _message(21, "transport connect",
                    guid(endpoint) + guid(service) + (guid(silo) if silo else b""),
                    {"vmbus.tl.endpoint_id": endpoint, "vmbus.tl.service_id": service,
                     "vmbus.tl.silo_id": silo or None})


def tl_connect_result(endpoint: str, service: str, status: int = 0) -> Message:
    return _message(23, "transport connect result",
                    guid(endpoint) + guid(service) + struct.pack("<I", status),
                    {"vmbus.tl.endpoint_id": endpoint, "vmbus.tl.service_id": service,
                     "vmbus.status": status})


# --- GPADLs


def ranges(*pages_of: tuple[int, int, list[int]]) -> bytes:
    """Ranges of (byte count, byte offset, page numbers)."""
    return b"".join(struct.pack(f"<II{len(pages)}Q", count, offset, *pages)
                    for count, offset, pages in pages_of)


def gpadl_header(relid: int, gpadl: int, data: bytes, count: int = 1,
                 size: int | None = None) -> Message:
    """The first bytes of the ranges; size and count are those of all of them."""
    size = len(data) if size is None else size
    return _message(8, f"GPADL {gpadl:#x}",
                    struct.pack("<IIHH", relid, gpadl, size, count) + data,
                    {"vmbus.relid": relid, "vmbus.gpadl": gpadl, "vmbus.gpadl.range_size": size,
                     "vmbus.gpadl.range_count": count})


def gpadl_body(gpadl: int, number: int, pages: list[int]) -> Message:
    return _message(9, f"GPADL {gpadl:#x} body {number}",
                    struct.pack(f"<II{len(pages)}Q", number, gpadl, *pages),
                    {"vmbus.gpadl": gpadl, "vmbus.gpadl.number": number, "vmbus.page": pages})


def gpadl_created(relid: int, gpadl: int, status: int = 0) -> Message:
    return _message(10, f"GPADL {gpadl:#x} created", struct.pack("<III", relid, gpadl, status),
                    {"vmbus.relid": relid, "vmbus.gpadl": gpadl, "vmbus.status": status})


def gpadl_teardown(relid: int, gpadl: int) -> Message:
    return _message(11, f"GPADL {gpadl:#x} teardown", struct.pack("<II", relid, gpadl),
                    {"vmbus.relid": relid, "vmbus.gpadl": gpadl})


def gpadl_torndown(gpadl: int) -> Message:
    return _message(12, f"GPADL {gpadl:#x} torn down", struct.pack("<I", gpadl),
                    {"vmbus.gpadl": gpadl})


# --- ring packets


def packet(kind: int, transaction: int, payload: bytes, flags: int = 0,
           extra: bytes = b"") -> bytes:
    """Descriptor, extra header and payload, padded; without the footer."""
    assert len(extra) % 8 == 0
    payload += b"\0" * (-len(payload) % 8)
    start, end = 2 + len(extra) // 8, 2 + (len(extra) + len(payload)) // 8
    return struct.pack("<HHHHQ", kind, start, end, flags, transaction) + extra + payload


def pipe(data: bytes) -> bytes:
    return struct.pack("<II", 1, len(data)) + data


def transfer_pages(set_id: int, owns: int, *spans: tuple[int, int]) -> bytes:
    return struct.pack("<HBBI", set_id, owns, 0, len(spans)) + b"".join(
        struct.pack("<II", *span) for span in spans)


def gpa_direct(*pages_of: tuple[int, int, list[int]]) -> bytes:
    return struct.pack("<II", 0, len(pages_of)) + ranges(*pages_of)


def frame(payload: bytes, sequence: int, magic: int = 0x56867960, flag: int = 1,
          end: int = 0x87283679, damage: int = 0) -> bytes:
    """24 bytes and the payload."""
    words = [magic, flag, len(payload), sequence, 0, end]
    padded = payload + b"\0" * (-len(payload) % 4)
    for word in (*words[:4], words[5], *struct.unpack(f"<{len(padded) // 4}I", padded)):
        words[4] ^= word
    words[4] ^= damage
    return struct.pack("<6I", *words) + payload


def acknowledgement(sequence: int, by_guest: bool) -> bytes:
    return frame(b"", sequence, 0x15957899, 3 if by_guest else 2, 0x36133574)


# --- integration components


def integration(kind: int, body: bytes, flags: int, version: tuple[int, int] = (3, 0),
                transaction: int = 1, status: int = 0) -> tuple[bytes, dict]:
    """The message behind the pipe header, and its facts."""
    head = struct.pack("<HHHHHHIBBH", 3, 0, kind, *version, len(body), status, transaction, flags,
                       0)
    return head + body, {
        "vmbus.ic.framework_major": 3, "vmbus.ic.framework_minor": 0, "vmbus.ic.type": kind,
        "vmbus.ic.message_major": version[0], "vmbus.ic.message_minor": version[1],
        "vmbus.ic.size": len(body), "vmbus.ic.status": status,
        "vmbus.ic.transaction_id": transaction, "vmbus.ic.flags": flags}
