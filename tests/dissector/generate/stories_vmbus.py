# stories_vmbus.py - VMBus: a debug session, all messages, all packets, what may go wrong.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""The captures vmbus-*."""

import struct

import demo
import kdevents as ev
import kdwire as kd
import vmbuswire as vm
from demo import CPU, KERNEL_BASE, report
from kdscript import DEBUGGER, LATER, OPEN, TARGET, Item, Link, Story, pseudo_random
from vmbusscript import (BY_MONITOR, CLOSED, CUT, FAULT, GONE, OFFERED, OPEN_STATE, OPENING,
                         RESCINDED, TO_GUEST, TO_HOST, Machine, Pipe, link)

SIMP, SIEFP, SCONTROL, HYPERCALL, SINT5, OS_ID = (0x40000083, 0x40000082, 0x40000080, 0x40000001,
                                                  0x40000095, 0x40000000)
PAGES6 = list(range(0x100, 0x106))
STATUS_REFUSED = 0xC0000236  # STATUS_CONNECTION_REFUSED


def connect(machine: Machine, version: int = 0x50003, connection: int = 0x2105,
            **head: int) -> None:
    """Contact and answer; all later messages go to the connection of the answer."""
    machine.connection = 4
    asked = machine.post(vm.initiate_contact5(version, machine.sint), **head)
    link(asked, machine.deliver(vm.version_response5(1, connection)))
    machine.connection = connection


def offers(machine: Machine, *offered: vm.Message) -> list[Item]:
    asked = machine.post(vm.plain(3, "request offers"))
    made = [machine.deliver(offer, {"vmbus.channel.state": OFFERED}, pending=True)
            for offer in offered]
    link(asked, machine.deliver(vm.plain(4, "all offers")))
    return made


def leave(machine: Machine) -> None:
    machine.exchange(vm.plain(16, "unload"), vm.plain(17, "unloaded"))


def stopped() -> kd.Message:
    return ev.exception(kd.BREAKPOINT, KERNEL_BASE + 0x3F6B10, report(b"\xcc\xc3"), (0,), **CPU)


def debug(link_: Link) -> None:
    """A few requests of a debugger."""
    link_.target(stopped())
    link_.exchange(kd.get_version(), kd.version_reply, **demo.VERSION)
    asked = link_.ask(kd.read_virtual(KERNEL_BASE, 64))
    link_.answer(asked, kd.data_reply(asked.message, pseudo_random("vmbus", 64)))


# --- a session


def session() -> Story:
    story = Story("vmbus-session", "A debug agent over VMBus, from its first MSR to its unload.")
    machine = Machine(story)
    _bring_up(machine)
    refused = machine.post(vm.initiate_contact5(0x60000, 5), connection=4)
    link(refused, machine.deliver(vm.version_response5(0), {"vmbus.expert.refused": True}))
    connect(machine)
    made = offers(machine, vm.offer(15, vm.KD_PIPE, vm.KD_PIPE_INSTANCE, pipe_mode=4),
                  vm.offer(3, vm.HEARTBEAT), vm.offer(7, vm.NETWORK, mmio=0x20, monitor=4))
    machine.gpadl(15, 1, PAGES6)
    channel = machine.open(15, 1, 3, 6)
    _talk(machine, channel, made[0])
    close = machine.post(vm.relid_message(7, "close", 15), {"vmbus.channel.state": CLOSED})
    close.facts |= {"vmbus.offered_in": made[0], "vmbus.channel": 15}
    machine.exchange(vm.gpadl_teardown(15, 1), vm.gpadl_torndown(1))
    leave(machine)
    machine.msr(SINT5, 0x10000, facts={"vmbus.msr.sint.masked": True})
    return story


def _bring_up(machine: Machine) -> None:
    machine.msr(OS_ID, 1 << 40, read=True)
    page = {"vmbus.msr.page.enabled": True}
    machine.msr(HYPERCALL, 0x7F001001, read=True, facts=page)
    machine.msr(SIMP, 0x7F002001, read=True, facts=page)
    machine.msr(SIEFP, 0x7F003001, read=True, facts=page)
    machine.msr(SCONTROL, 1, read=True, facts=page)
    machine.msr(SINT5, 0x20027, facts={
        "vmbus.msr.sint": 0x20027, "vmbus.msr.sint.masked": False, "vmbus.msr.vector": 0x27,
        "vmbus.msr.sint.autoeoi": True, "vmbus.msr.sint.polling": False})
    machine.call(0x1005D, 0x2003, 0, 0, facts={"vmbus.hypercall.flags.fast": True})
    machine.call(0x69, 0x5000, 0x6000, 2, struct.pack("<II", 4, 0) + b"text",
                 {"vmbus.debug_data.count": 4, "vmbus.expert.call_failed": True})


def _talk(machine: Machine, channel, offered: Item) -> None:
    """KD in frames; the host breaks in with the vector of the protocol reference."""
    pipe = Pipe(machine, channel, framed=True)
    line = Link(pipe)
    assert vm.frame(b"b", 0x5687)[16:20] == bytes.fromhex("fc19aed1")
    broken = pipe.emit(Item(DEBUGGER, b"b", "break-in",
                            {"kd.breakin": True}))
    broken.facts |= {"vmbus.offered_in": offered}
    machine.signal(channel, TO_GUEST, {"vmbus.channel.state": OPEN_STATE})
    line.target(stopped())
    machine.signal(channel, TO_HOST)
    _acknowledged(machine, channel)
    line.exchange(kd.get_version(), kd.version_reply, **demo.VERSION)
    asked = line.ask(kd.read_virtual(KERNEL_BASE, 64))
    line.answer(asked, kd.data_reply(asked.message, pseudo_random("vmbus", 64)))


def _acknowledged(machine: Machine, channel) -> None:
    """The acknowledgement of the break-in's frame, with the checksum of the reference."""
    data = vm.acknowledgement(0x5687, by_guest=True)
    machine.send(channel, TO_HOST, vm.packet(6, 0x5687, vm.pipe(data)), "acknowledgement",
                 {"vmbus.frame.magic": 0x15957899, "vmbus.frame.flag": 3, "vmbus.frame.size": 0,
                  "vmbus.frame.sequence": 0x5687, "vmbus.frame.checksum": 0x23861B69,
                  "vmbus.kd": None})


# --- every message


def messages() -> Story:
    story = Story("vmbus-messages", "Every channel message, in each of its forms.")
    machine = Machine(story, sint=2)
    _oldest(machine)
    _windows_8_1(machine)
    _large_gpadl(machine)
    _two_ranges(machine)
    _version_6(machine)
    return story


def _oldest(machine: Machine) -> None:
    """0.13: interrupt page; signals go to connection 2."""
    machine.connection = 1
    machine.exchange(vm.initiate_contact(13), vm.version_response(1, 13))
    offers(machine, vm.offer(1, vm.NETWORK))
    machine.gpadl(1, 0xE1E10, list(range(0x500, 0x504)))
    channel = machine.open(1, 0xE1E10, 2, 4, connection=2)
    machine.signal(channel, TO_HOST)
    machine.signal(channel, TO_GUEST, flag=0)
    machine.signal(channel, TO_HOST, connection=0, flags=BY_MONITOR)
    machine.post(vm.plain(16, "unload"))  # a host of 0.13 is silent


def _windows_8_1(machine: Machine) -> None:
    """3.0, then hv_sock (4.0), moved channels (4.1, 5.3), reserved channels."""
    machine.exchange(vm.initiate_contact(0x30000), vm.version_response(1, 0x30000))
    leave(machine)
    machine.exchange(vm.initiate_contact(0x40001), vm.version_response(1, 0x40001))
    endpoint = "11111111-2222-4333-8444-555555555555"
    service = "00001234-facb-11e6-bd58-64006a7986d3"
    machine.exchange(vm.tl_connect(endpoint, service),
                     vm.tl_connect_result(endpoint, service, STATUS_REFUSED),
                     None, {"vmbus.expert.status": True})
    machine.exchange(vm.tl_connect(endpoint, service, "99999999-2222-4333-8444-555555555555"),
                     vm.tl_connect_result(endpoint, service))
    offers(machine, vm.offer(2, vm.SCSI, sub_channel=1))
    asked = machine.post(vm.tl_connect(endpoint, service))
    link(asked, machine.deliver(vm.offer(3, service, endpoint, vm.TRANSPORT, pipe_mode=0)))
    machine.gpadl(2, 5, PAGES6)
    machine.open(2, 5, 3, 6)
    machine.post(vm.modify_channel(2, 1))  # answered since 5.3
    machine.post(vm.open_reserved(9, 0, 2, 5, 3))
    machine.exchange(vm.close_reserved(9, 0, 2), vm.reserved_closed(9))
    rescinded = machine.deliver(vm.relid_message(2, "rescind", 2),
                                {"vmbus.channel.state": RESCINDED})
    rescinded.facts["vmbus.channel"] = 2
    machine.post(vm.relid_message(7, "close", 2), {"vmbus.channel.state": RESCINDED})
    machine.exchange(vm.gpadl_teardown(2, 5), vm.gpadl_torndown(5))
    machine.post(vm.relid_message(13, "released", 2), {"vmbus.channel.state": GONE})
    leave(machine)


def _large_gpadl(machine: Machine) -> None:
    """60 pages: a header with 26 of them, bodies with 28 and 6, as in the protocol reference."""
    connect(machine)
    offers(machine, vm.offer(15, vm.KD_PIPE, pipe_mode=0))
    pages = list(range(0x100, 0x13C))
    data = vm.ranges((0x3C000, 0, pages))
    header = machine.post(vm.gpadl_header(15, 1, data[:8 + 26 * 8], size=488),
                          {"vmbus.synic.size": 236, "vmbus.pages": [0x100],
                           "vmbus.range.byte_count": 0x3C000})
    first = machine.post(vm.gpadl_body(1, 1, pages[26:54]),
                         {"vmbus.synic.size": 240, "vmbus.gpadl.header_in": header})
    second = machine.post(vm.gpadl_body(1, 2, pages[54:]),
                          {"vmbus.synic.size": 64, "vmbus.gpadl.header_in": header,
                           "vmbus.gpadl.pages": 60, "vmbus.pages": [0x100],
                           "vmbus.range.byte_count": 0x3C000})
    header.facts["vmbus.gpadl.complete_in"] = first.facts["vmbus.gpadl.complete_in"] = second
    link(header, machine.deliver(vm.gpadl_created(15, 1)))
    machine.open(15, 1, 30, 60)
    machine.exchange(vm.modify_channel(15, 1), vm.channel_modified(15))


def _two_ranges(machine: Machine) -> None:
    """Two ranges; one begins inside a page and has pages that do not follow on one another."""
    data = vm.ranges((0x1800, 0x900, [0x40, 0x42, 0x43]), (0x1000, 0, [0x50]))
    machine.exchange(vm.gpadl_header(15, 2, data, count=2), vm.gpadl_created(15, 2),
                     {"vmbus.range.byte_count": [0x1800, 0x1000],
                      "vmbus.range.byte_offset": [0x900, 0],
                      "vmbus.pages": [0x40, 0x42, 0x50]})
    refused = machine.post(vm.gpadl_header(15, 3, vm.ranges((0x1000, 0, [0x60]))))
    link(refused, machine.deliver(vm.gpadl_created(15, 3, 0xC000009A),
                                  {"vmbus.expert.status": True}))
    leave(machine)


def _version_6(machine: Machine) -> None:
    """6.0 with its features; the longest forms."""
    machine.connection = 4
    machine.exchange(vm.initiate_contact5(0x60000, 2, features=0xFF,
                                          client="18dd3964-3e8a-4e42-86fa-c8e6b191ee0e"),
                     vm.version_response5(1, 0x800074, features=0x47,
                                          monitor=(0x9000, 0xA000)),
                     {"vmbus.features.client_id": True},
                     {"vmbus.features.modify_connection": True, "vmbus.features.client_id": False})
    machine.connection = 0x800074
    offers(machine, vm.offer(4, vm.TIME_SYNC))
    machine.gpadl(4, 9, PAGES6)
    machine.exchange(vm.open_channel(4, 9, 3, signal=(0x77, 3, 1)), vm.open_result(4, 9),
                     {"vmbus.open.flags.redirect_interrupt": True})
    machine.exchange(vm.modify_connection(0xB000, 0xC000), vm.modify_connection_response())
    machine.exchange(vm.plain(27, "pause"), vm.plain(28, "paused"))
    machine.post(vm.plain(29, "resume"))
    machine.exchange(vm.initiate_contact5(0x50000, 2), vm.version_response5(1, 5, features=0),
                     {"vmbus.expert.reconnect": True,
                      "vmbus.expert.message_connection": OPEN})


# --- every packet


def packets() -> Story:
    story = Story("vmbus-packets", "Ring packets of every type, integration components, hv_sock.")
    machine = Machine(story, sint=2, by_host=True)
    connect(machine)
    offers(machine, vm.offer(1, vm.NETWORK), vm.offer(2, vm.HEARTBEAT), vm.offer(3, vm.SHUTDOWN),
           vm.offer(4, vm.TIME_SYNC), vm.offer(5, vm.KVP),
           vm.offer(6, "00001234-facb-11e6-bd58-64006a7986d3", flags=vm.TRANSPORT, pipe_mode=0))
    channels = {}
    for relid in range(1, 7):
        machine.gpadl(relid, relid, [0x1000 * relid + page for page in range(6)])
        channels[relid] = machine.open(relid, relid, 3, 6)
    _types(machine, channels[1])
    _components(machine, channels)
    _socket(machine, channels[6])
    return story


def _types(machine: Machine, channel) -> None:
    asked = machine.send(channel, TO_HOST, vm.packet(6, 0x11, b"\x01\0\0\0" + bytes(36), 1),
                         "in-band", {"vmbus.packet.flags.completion_requested": True,
                                     "vmbus.packet.payload": b"\x01\0\0\0" + bytes(36)})
    machine.signal(channel, TO_HOST)
    link(asked, machine.send(channel, TO_GUEST, vm.packet(11, 0x11, b"\x02\0\0\0"), "completion"))
    machine.signal(channel, TO_GUEST)
    extra = vm.gpa_direct((0x1800, 0x900, [0x40, 0x42, 0x43]))
    asked = machine.send(channel, TO_HOST, vm.packet(9, 0x12, b"\x05" * 8, 1, extra), "GPA direct",
                         {"vmbus.packet.range_count": 1, "vmbus.range.byte_count": 0x1800,
                          "vmbus.range.byte_offset": 0x900, "vmbus.pages": [0x40, 0x42]})
    extra = vm.transfer_pages(0xCAFE, 0, (60, 0), (1514, 2048))
    received = machine.send(channel, TO_GUEST, vm.packet(7, 0x90, b"\x06" * 8, 1, extra),
                            "transfer pages",
                            {"vmbus.packet.transfer_set": 0xCAFE, "vmbus.packet.range_count": 2,
                             "vmbus.packet.sender_owns_set": 0,
                             "vmbus.range.byte_count": [60, 1514],
                             "vmbus.range.byte_offset": [0, 2048]})
    link(received, machine.send(channel, TO_HOST, vm.packet(11, 0x90, b""), "completion"))
    link(asked, machine.send(channel, TO_GUEST, vm.packet(11, 0x12, b""), "completion"))
    for kind, title in ((1, "synch"), (2, "add"), (3, "remove"), (4, "establish"),
                        (5, "teardown"), (8, "GPADL"), (10, "cancel"), (12, "using additional"),
                        (13, "additional")):
        machine.send(channel, TO_HOST, vm.packet(kind, kind, bytes(8)), title)


def _component(machine: Machine, channel, kind: int, body: bytes, facts: dict,
               answer: bytes | None = None, version: tuple[int, int] = (3, 0)) -> None:
    """A request of the host and the guest's answer, as two in-band packets."""
    for direction, flags, data in ((TO_GUEST, 3, body),
                                   (TO_HOST, 5, body if answer is None else answer)):
        message, shown = vm.integration(kind, data, flags, version)
        pipe = vm.pipe(message)
        machine.send(channel, direction, vm.packet(6, 7, pipe), f"component {kind}",
                     {"vmbus.pipe.type": 1, "vmbus.pipe.size": len(message)} | shown
                     | {"vmbus.ic.flags.request": flags == 3, "vmbus.ic.flags.response": flags == 5}
                     | (facts if direction == TO_GUEST or answer is None else {}))


def _components(machine: Machine, channels: dict) -> None:
    versions = struct.pack("<HHI6H", 2, 1, 0, 1, 0, 3, 0, 3, 0)
    _component(machine, channels[2], 0, versions,
               {"vmbus.ic.framework_count": 2, "vmbus.ic.message_count": 1,
                "vmbus.ic.version_major": [1, 3, 3], "vmbus.ic.version_minor": [0, 0, 0]},
               struct.pack("<HHI4H", 1, 1, 0, 3, 0, 3, 0))
    _component(machine, channels[2], 1, struct.pack("<Q32x", 41),
               {"vmbus.ic.heartbeat_sequence": 41, "vmbus.ic.data": bytes(32)},
               struct.pack("<Q32x", 42))
    _component(machine, channels[3], 3, struct.pack("<III", 0x80000000, 60, 1) + bytes(20),
               {"vmbus.ic.shutdown_reason": 0x80000000, "vmbus.ic.shutdown_timeout": 60,
                "vmbus.ic.shutdown_flags.forced": True})
    _component(machine, channels[4], 4, struct.pack("<QQQB", 0x1DC000000000000, 0, 0, 1),
               {"vmbus.ic.parent_time": 0x1DC000000000000, "vmbus.ic.time_flags": 1})
    _component(machine, channels[4], 4, struct.pack("<QQBBB3x", 0x1DC000000000001, 77, 2, 3, 4),
               {"vmbus.ic.parent_time": 0x1DC000000000001, "vmbus.ic.reference_time": 77,
                "vmbus.ic.time_flags": 2, "vmbus.ic.stratum": 4}, version=(4, 0))
    _component(machine, channels[5], 2, struct.pack("<BBH", 3, 1, 0) + bytes(16),
               {"vmbus.ic.kvp_operation": 3, "vmbus.ic.kvp_pool": 1, "vmbus.ic.data": bytes(16)})
    _component(machine, channels[5], 5, bytes(8), {"vmbus.ic.data": bytes(8)})


def _socket(machine: Machine, channel) -> None:
    machine.send(channel, TO_HOST, vm.packet(6, 0, vm.pipe(b"hello")), "data",
                 {"vmbus.pipe.data": b"hello", "vmbus.pipe.size": 5, "vmbus.kd": None})
    partial = struct.pack("<IHH", 2, 3, 2) + b"hello"
    machine.send(channel, TO_GUEST, vm.packet(6, 0, partial), "partial",
                 {"vmbus.pipe.type": 2, "vmbus.pipe.size": 3, "vmbus.pipe.offset": 2})
    machine.send(channel, TO_HOST, vm.packet(6, 0, vm.pipe(b"")), "end of stream",
                 {"vmbus.pipe.size": 0, "vmbus.pipe.end": True})
    machine.send(channel, TO_GUEST, vm.packet(6, 0, struct.pack("<II", 5, 0)), "indication",
                 {"vmbus.pipe.type": 5})


# --- violations


def violations() -> Story:
    story = Story("vmbus-violations",
                  "What breaks the rules of VMBus, and faults put in on purpose.")
    machine = Machine(story)
    machine.post(vm.plain(3, "request offers"), {"vmbus.expert.unanswered": OPEN})
    _bad_contacts(machine)
    _bad_messages(machine)
    _bad_offers(machine)
    _bad_gpadls(machine)
    channel = _bad_opens(machine)
    _bad_packets(machine, channel)
    _bad_pipes(machine, channel)
    _bad_ends(machine, channel)
    _remarks(machine)
    return story


def _bad_contacts(machine: Machine) -> None:
    machine.connection = 4
    machine.exchange(vm.initiate_contact5(0x50003, 7), vm.version_response5(1, 0, state=1),
                     {"vmbus.expert.sint": True}, {"vmbus.expert.failed": True})
    machine.post(vm.plain(3, "request offers"),
                 {"vmbus.expert.disconnected": True, "vmbus.expert.unanswered": OPEN})
    machine.post(vm.initiate_contact5(0x50002, 5), {"vmbus.expert.unanswered": LATER})
    connect(machine)


def _bad_messages(machine: Machine) -> None:
    """Sizes, directions, types and connections that are wrong."""
    machine.post(vm.plain(3, "request offers"), {"vmbus.expert.oversize": True,
                                                 "vmbus.expert.unanswered": LATER}, stated=241)
    again = machine.post(vm.plain(3, "request offers"), {"vmbus.expert.repeated": True})
    link(again, machine.deliver(vm.plain(4, "all offers")))
    machine.deliver(vm.plain(4, "all offers"), {"vmbus.expert.stray": True})
    machine.deliver(vm.plain(16, "unload"),
                    {"vmbus.expert.direction": True, "vmbus.expert.unanswered": OPEN})
    leave(machine)
    connect(machine)
    machine.post(vm.Message(30, struct.pack("<II", 30, 0), "unknown", {"vmbus.message": 30}),
                 {"vmbus.expert.unknown_message": True})
    short = vm.relid_message(7, "close", 15)
    machine.post(vm.Message(7, short.data[:8], "short close", {"vmbus.message": 7}),
                 {"vmbus.expert.short": True})
    long = vm.plain(29, "resume")
    machine.post(vm.Message(29, long.data + bytes(4), "long resume", long.facts),
                 {"vmbus.expert.long": True})
    machine.post(vm.plain(29, "resume"), {"vmbus.expert.message_connection": True}, connection=1)
    machine.post(vm.plain(29, "resume"), {"vmbus.expert.call_failed": True}, status=0x13)
    machine.post(vm.plain(29, "resume"), {"vmbus.expert.lost": True},
                 number=machine.number + 4)


def _bad_offers(machine: Machine) -> None:
    offers(machine, vm.offer(15, vm.KD_PIPE, pipe_mode=4))
    machine.deliver(vm.offer(15, vm.KD_PIPE, pipe_mode=4), {"vmbus.expert.relid_in_use": True})
    machine.deliver(vm.offer(2048, vm.SCSI), {"vmbus.expert.bad_relid": True})
    machine.post(vm.relid_message(13, "released", 2048), {"vmbus.expert.not_rescinded": True})
    machine.post(vm.relid_message(7, "close", 99), {"vmbus.expert.unknown_relid": True})
    machine.post(vm.relid_message(7, "close", 15), {"vmbus.expert.not_open": True})


def _bad_gpadls(machine: Machine) -> None:
    data = vm.ranges((0x6000, 0, PAGES6))
    asked = machine.post(vm.gpadl_header(15, 1, data))
    link(asked, machine.deliver(vm.gpadl_created(15, 1)))
    asked = machine.post(vm.gpadl_header(15, 1, data), {"vmbus.expert.gpadl_in_use": True})
    link(asked, machine.deliver(vm.gpadl_created(15, 1)))
    machine.post(vm.gpadl_header(15, 2, data, size=48),
                 {"vmbus.expert.gpadl_ranges": True, "vmbus.expert.unanswered": LATER})
    machine.post(vm.gpadl_body(7, 1, [1]), {"vmbus.expert.unknown_gpadl": True})
    pages = list(range(30))
    whole = vm.ranges((30 * vm.PAGE, 0, pages))
    header = machine.post(vm.gpadl_header(15, 3, whole[:8 + 26 * 8], size=len(whole)))
    machine.post(vm.gpadl_body(3, 2, pages[26:]), {"vmbus.expert.gpadl_order": True})
    last = machine.post(vm.gpadl_body(3, 1, pages[26:] + [99]),
                        {"vmbus.expert.gpadl_ranges": True, "vmbus.gpadl.pages": 30})
    header.facts["vmbus.gpadl.complete_in"] = last
    link(header, machine.deliver(vm.gpadl_created(15, 3)))
    machine.post(vm.gpadl_teardown(15, 9), {"vmbus.expert.unknown_gpadl": True,
                                            "vmbus.expert.unanswered": LATER})


def _bad_opens(machine: Machine):
    refused = machine.post(vm.open_channel(15, 1, 3), {"vmbus.channel.state": OPENING})
    link(refused, machine.deliver(vm.open_result(15, 1, STATUS_REFUSED),
                                  {"vmbus.expert.status": True, "vmbus.channel.state": CLOSED}))
    asked = machine.post(vm.open_channel(15, 8, 3), {"vmbus.expert.unknown_gpadl": True})
    link(asked, machine.deliver(vm.open_result(15, 8, 0xC000000D), {"vmbus.expert.status": True}))
    asked = machine.post(vm.open_channel(15, 1, 5), {"vmbus.expert.ring_pages": True})
    link(asked, machine.deliver(vm.open_result(15, 1, 0xC000000D), {"vmbus.expert.status": True}))
    channel = machine.open(15, 1, 3, 6)
    asked = machine.post(vm.open_channel(15, 1, 3), {"vmbus.expert.double_open": True})
    link(asked, machine.deliver(vm.open_result(15, 1), {"vmbus.channel.state": OPEN_STATE}))
    machine.post(vm.gpadl_teardown(15, 1), {"vmbus.expert.gpadl_in_use": True,
                                            "vmbus.expert.unanswered": LATER})
    return channel


def _bad_packets(machine: Machine, channel) -> None:
    good = vm.packet(10, 1, b"")
    machine.send(channel, TO_HOST, good, "good")
    machine.send(channel, TO_HOST, good, "bad index", {"vmbus.expert.ring_index": True}, write=12)
    machine.send(channel, TO_HOST, good, "index too large", {"vmbus.expert.ring_index": True},
                 read=8192)
    machine.send(channel, TO_HOST, good, "other size", {"vmbus.expert.ring_size": True,
                                                          "vmbus.record.ring_size": 4096},
                 size=4096)
    machine.send(channel, TO_HOST, good, "gap", {
        "vmbus.expert.ring_gap": True, "vmbus.record.ring_start": 128,
        "vmbus.expert.footer": True}, start=128)
    channel.rings[TO_HOST].write = 152
    bad = struct.pack("<HHHHQ", 6, 1, 2, 0, 0)
    machine.send(channel, TO_HOST, bad, "payload in the descriptor",
                 {"vmbus.expert.bad_packet": True, "vmbus.packet.start": OPEN})
    bad = struct.pack("<HHHHQ", 6, 2, 40, 0, 0)
    machine.send(channel, TO_HOST, bad, "longer than it is",
                 {"vmbus.expert.bad_packet": True, "vmbus.packet.start": OPEN})
    machine.send(channel, TO_HOST, vm.packet(14, 1, b""), "unknown type",
                 {"vmbus.expert.unknown_packet": True})
    machine.send(channel, TO_HOST, vm.packet(6, 5, vm.pipe(b"ab"), 1), "asked",
                 {"kd.expert.noise": True})
    machine.send(channel, TO_HOST, vm.packet(6, 5, vm.pipe(b"ab"), 1), "asked again",
                 {"vmbus.expert.transaction": True, "kd.expert.noise": True})
    machine.send(channel, TO_GUEST, vm.packet(11, 77, b""), "completes nothing",
                 {"vmbus.expert.stray_completion": True})
    machine.record(2, TO_GUEST, b"", "damaged ring", {"vmbus.expert.ring_status": True,
                                                     "vmbus.expert.ring_index": True},
                   relid=15, status=4, size=8192, write=3)
    machine.record(2, TO_HOST, b"", "full ring", {"vmbus.expert.ring_full": True}, relid=15,
                   status=2, size=8192)
    machine.signal(channel, TO_HOST, {"vmbus.expert.signal_connection": True}, connection=0x99)
    machine.signal(channel, TO_HOST, {"vmbus.expert.call_failed": True}, status=0x12)


def _bad_pipes(machine: Machine, channel) -> None:
    def send(data: bytes, title: str, facts: dict) -> None:
        machine.send(channel, TO_GUEST, vm.packet(6, 9, data), title, facts)

    send(struct.pack("<II", 1, 100) + b"short", "pipe header", {"vmbus.expert.pipe": True})
    send(vm.pipe(vm.frame(b"b", 2)), "frame", {"vmbus.kd": b"b", "kd.breakin": True})
    send(vm.pipe(vm.frame(b"b", 2)), "frame again", {"vmbus.expert.frame_repeated": True,
                                                     "vmbus.kd": None})
    send(vm.pipe(vm.frame(b"b", 5)), "frames missing", {"vmbus.expert.frame_missing": True,
                                                        "kd.breakin": True})
    send(vm.pipe(vm.frame(b"b", 6, damage=1)), "damaged frame",
         {"vmbus.expert.frame": True, "vmbus.kd": None,
          "vmbus.frame.checksum_calculated": struct.unpack_from("<I", vm.frame(b"b", 6), 16)[0]})


def _bad_ends(machine: Machine, channel) -> None:
    machine.deliver(vm.relid_message(2, "rescind", 15))
    machine.deliver(vm.relid_message(2, "rescind", 15), {"vmbus.expert.repeated": True})
    asked = machine.post(vm.open_channel(15, 3, 3), {"vmbus.expert.rescinded": True})
    link(asked, machine.deliver(vm.open_result(15, 3, 0xC0000001), {"vmbus.expert.status": True}))
    machine.deliver(vm.relid_message(2, "rescind", 15))
    machine.post(vm.relid_message(13, "released", 15), {"vmbus.channel.state": GONE})
    machine.send(channel, TO_HOST, vm.packet(10, 1, b""), "after the end",
                 {"vmbus.expert.unknown_relid": True})


def _remarks(machine: Machine) -> None:
    unload = machine.post(vm.plain(16, "unload"))
    machine.note("the guest has connected")
    machine.note("a needless signal", 1, {"vmbus.expert.note_warning": True})
    machine.note("RELID_RELEASED for a channel that is open", 2,
                 {"vmbus.expert.note_violation": True})
    link(unload, machine.deliver(vm.plain(17, "unloaded"), {"vmbus.expert.fault": True},
                                 flags=FAULT))
    machine.record(1, TO_HOST, struct.pack("<IIII", 1, 0, 1, 40) + b"\x0e\0\0\0\0\0\0\0", "cut",
                   {"vmbus.expert.cut": True, "vmbus.message": 14}, flags=CUT)
    machine.record(99, 0, b"\x01\x02", "unknown kind", {"vmbus.data": b"\x01\x02"})


# --- connections and channels that have one number


def connections() -> Story:
    story = Story("vmbus-connections", "A firmware's connection and an agent's in one machine,"
                                       " another machine, and a capture that begins late.")
    firmware = Machine(story, "first machine", sint=2, counted=False)
    agent = Machine(story, sint=5, interface=firmware.interface, counted=False)
    other = Machine(story, "second machine", sint=2)
    for machine, connection in ((firmware, 0x2102), (agent, 0x2105), (other, 0x2102)):
        connect(machine, connection=connection, sint=255)  # the message tells it
    _same_numbers(firmware, agent, other)
    _late(story)
    return story


def _same_numbers(firmware: Machine, agent: Machine, other: Machine) -> None:
    """relid 15 and GPADL 1 three times."""
    names = ((firmware, vm.SCSI), (agent, vm.KD_PIPE), (other, vm.NETWORK))
    for machine, interface in names:
        offers(machine, vm.offer(15, interface, pipe_mode=4 if interface == vm.KD_PIPE else None))
    channels = {}
    for machine, interface in names:
        machine.gpadl(15, 1, PAGES6)
        channels[machine] = machine.open(15, 1, 3, 6)
    for machine, interface in names:
        machine.send(channels[machine], TO_GUEST, vm.packet(10, 1, b""), "cancel",
                     {"vmbus.channel.name": vm.NAMES[interface]})
    leave(agent)
    machine = firmware
    machine.send(channels[machine], TO_HOST, vm.packet(10, 2, b""), "cancel",
                 {"vmbus.channel.name": "SCSI", "vmbus.channel.state": OPEN_STATE})


def _late(story: Story) -> None:
    """No offer, no version: nothing is said against what cannot be known."""
    machine = Machine(story, "third machine", sint=2)
    channel = machine.open(20, 1, 3, 6)
    machine.deliver(vm.version_response5(1, 0x2102), {"vmbus.expert.stray": None})
    debug(Link(Pipe(machine, channel, framed=False)))


def without_frames() -> Story:
    story = Story("vmbus-plain", "KD over a byte-mode pipe without frames; ring wraps.")
    machine = Machine(story, sint=2)
    connect(machine)
    offers(machine, vm.offer(8, "01234567-89ab-4def-8123-456789abcdef", pipe_mode=0))
    machine.gpadl(8, 4, PAGES6)
    channel = machine.open(8, 4, 3, 6)
    line = Link(Pipe(machine, channel, framed=False))
    debug(line)
    for _ in range(6):
        asked = line.ask(kd.read_virtual(KERNEL_BASE + 0x1000, 1024))
        line.answer(asked, kd.data_reply(asked.message, pseudo_random("wrap", 1024)))
    leave(machine)
    return story


STORIES = (session, messages, packets, violations, connections, without_frames)
