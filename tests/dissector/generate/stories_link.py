# stories_link.py - the link itself: trouble, break-ins, noise, cut records, two lines in one file.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""link-trouble, breakin, noise, truncated, two-interfaces."""

import struct

import demo
import kdevents as ev
import kdwire as kd
from demo import CPU, ENTRY, KERNEL_BASE, report
from kdmachine import X86, report_x86
from kdscript import DEBUGGER, INITIAL, LATER, OPEN, SYNC, TARGET, Item, Link, SerialLine, Story
from kdscript import pseudo_random

BREAK_AT = KERNEL_BASE + 0x3F6B10  # the instruction a break-in stops at


def stopped() -> kd.Message:
    return ev.exception(kd.BREAKPOINT, BREAK_AT, report(b"\xcc\xc3"), (0,), **CPU)


def begin(story: Story, name: str = "kd-demo") -> Link:
    """A link whose ends know each other."""
    link = Link(SerialLine(story, name))
    link.target(stopped())
    link.exchange(kd.get_version(), kd.version_reply, **demo.VERSION)
    return link


# --- trouble


def link_trouble() -> Story:
    story = Story("link-trouble", "What goes wrong on a serial line, and how both ends recover.")
    link = begin(story)
    _wrong_checksum(link)
    _lost_acknowledgement(link)
    _missing_trailer(link)
    _lost_bytes(link)
    _lost_request(link)
    _unanswered_request(link)
    _out_of_step(link)
    _impossible_headers(link)
    _given_up(link)
    return story


def _wrong_checksum(link: Link) -> None:
    """A reply and then a request are damaged; the receiver asks for each again."""
    asked = link.ask(kd.read_virtual(KERNEL_BASE + 0x1000, 32))
    reply = kd.data_reply(asked.message, pseudo_random("checksum", 32))
    damaged = {"kd.expert.checksum": True, "kd.expert.unacknowledged": OPEN}
    wrong = link.packet(TARGET, reply, damaged, header_only=True,
                        checksum=sum(reply.payload) ^ 0x10)
    link.resend(DEBUGGER, wrong)
    good = link.again(wrong)
    link.link(asked, good)
    link.ack(good)

    request = kd.read_msr(0x174)
    wrong = link.packet(DEBUGGER, request, damaged, header_only=True,
                        checksum=sum(request.payload) + 1)
    link.resend(TARGET, wrong)
    good = link.again(wrong)
    link.ack(good)
    link.answer(good, kd.msr_reply(request, 0x10))


def _lost_acknowledgement(link: Link) -> None:
    """The debugger's ACK does not arrive: the target repeats a reply that was taken."""
    asked = link.ask(kd.read_io(0x60, 1))
    reply = link.answer(asked, kd.io_reply(asked.message, 0x1C))
    link.path.story.wait(1000)
    link.again(reply, {"kd.expert.duplicate": True})
    link.control(DEBUGGER, kd.ACKNOWLEDGE, reply.id)


def _missing_trailer(link: Link) -> None:
    """0x55 stands where 0xAA should."""
    asked = link.ask(kd.query_memory(KERNEL_BASE))
    reply = kd.query_reply(asked.message, 2, 1)
    wrong = link.packet(TARGET, reply, {"kd.expert.trailer": True, "kd.expert.noise": True,
                                        "kd.request_in": OPEN},
                        header_only=True, trailer=b"\x55")
    link.resend(DEBUGGER, wrong)
    good = link.again(wrong, {"kd.request_in": OPEN, "kd.expert.duplicate": OPEN})
    asked.facts["kd.response_in"] = OPEN
    link.ack(good)


def _lost_bytes(link: Link) -> None:
    """Three bytes inside a reply are lost; the debugger waits for the rest, then asks again."""
    asked = link.ask(kd.read_virtual(KERNEL_BASE + 0x2000, 64))
    reply = kd.data_reply(asked.message, b"\x11" * 64)
    whole = kd.packet(reply.type, link.next_id[TARGET], reply.payload)
    link.path.emit(Item(TARGET, whole[:90] + whole[93:], "reply without three of its bytes",
                        {"kd.type": None}))
    link.path.story.wait(1000)
    link.resend(DEBUGGER)
    # Only the next packet shows that the rest of the first attempt never comes.
    link.answer(asked, reply, {"kd.expert.lost_bytes": True})


def _lost_request(link: Link) -> None:
    """A request gets no ACK; the debugger repeats it."""
    request = kd.read_msr(0xC0000080)
    first = link.packet(DEBUGGER, request, {"kd.ack_in": OPEN})
    link.path.story.wait(1000)
    second = link.again(first)
    link.ack(second)
    reply = link.packet(TARGET, kd.msr_reply(request, 0xD01))
    link.ack(reply)


def _unanswered_request(link: Link) -> None:
    """A request is acknowledged and never answered; the debugger goes on after a while."""
    link.ask(kd.read_virtual(0xFFFFB00000000000, 16),
             {"kd.response_in": None, "kd.expert.unanswered": LATER})
    link.path.story.wait(7000)
    asked = link.ask(kd.read_io(0x61, 1), {"kd.expert.unanswered": True})
    link.answer(asked, kd.io_reply(asked.message, 0x20))


def _out_of_step(link: Link) -> None:
    """An ACK of a packet that nobody sent; then a new packet under the id of the one before."""
    asked = link.packet(DEBUGGER, kd.read_io(0x64, 1))
    link.control(TARGET, kd.ACKNOWLEDGE, 0x80800007,
                 {"kd.expert.stray_ack": True, "kd.ack_to": None})
    link.ack(asked)
    link.answer(asked, kd.io_reply(asked.message, 0x1D))

    message = ev.print_string("ids out of step\n")
    wrong = link.packet(TARGET, message, {"kd.expert.desync": True},
                        packet_id=link.next_id[TARGET] ^ 1)
    link.control(DEBUGGER, kd.ACKNOWLEDGE, wrong.id, {"kd.ack_to": wrong.item})
    link.reset(DEBUGGER)
    link.reset(TARGET)
    link.begin()
    link.target(message, {"kd.retransmission_of": OPEN, "kd.expert.duplicate": OPEN})


def _impossible_headers(link: Link) -> None:
    """Leaders with headers that no packet has; the junk behind them must not be taken for one."""
    tail = pseudo_random("impossible", 40).replace(b"0", b".").replace(b"i", b".")
    too_long = b"0000" + struct.pack("<HHII", kd.STATE_MANIPULATE, 5000, INITIAL, 0) + tail
    link.noise(TARGET, too_long, {"kd.noise.text": OPEN})
    no_such_type = b"0000" + struct.pack("<HHII", 0x21, 8, INITIAL, 0) + tail
    link.noise(TARGET, no_such_type, {"kd.noise.text": OPEN})
    control_as_data = b"0000" + struct.pack("<HHII", kd.ACKNOWLEDGE, 0, INITIAL, 0) + tail
    link.noise(TARGET, control_as_data, {"kd.noise.text": OPEN})
    link.exchange(kd.plain(0x3159), kd.reply)


def _given_up(link: Link) -> None:
    """Nobody acknowledges a print; the target drops it and later begins anew with the SYNC id."""
    link.ask(kd.continue2_amd64(kd.HANDLED))
    link.packet(TARGET, ev.print_string("is anybody there?\n"),
                {"kd.ack_in": None, "kd.expert.unacknowledged": LATER})
    link.path.story.wait(30000)
    link.begin()
    link.next_id[TARGET] |= SYNC
    link.target(stopped(), {"kd.expert.unacknowledged": True})


# --- break-ins


def breakin() -> Story:
    story = Story("breakin", "Break-ins: alone, repeated, with RESET, and into a stopped target.")
    link = begin(story)
    link.ask(kd.continue2_amd64(kd.HANDLED))
    story.wait(2000)
    link.breakin()
    story.wait(10)
    link.target(stopped())
    link.ask(kd.continue2_amd64(kd.HANDLED))

    story.wait(5000)
    for _ in range(2):  # the target is busy: break-in and RESET alternate
        link.breakin()
        story.wait(2000)
        link.reset(DEBUGGER)
    link.reset(TARGET)
    link.begin()
    # Equal to the stop before, which was acknowledged and continued: no repetition.
    new_stop = {"kd.retransmission_of": None}
    stop = link.target(stopped(), new_stop)
    link.breakin()  # stopped already: it sends its packet again
    link.again(stop, {"kd.expert.duplicate": True})
    link.control(DEBUGGER, kd.ACKNOWLEDGE, stop.id)
    link.ask(kd.continue2_amd64(kd.HANDLED))

    story.wait(1000)
    reset = Item(DEBUGGER, kd.packet(kd.RESET, 0), "RESET", {"kd.type": kd.RESET,
                                                             "kd.expert.reset": True})
    link.path.emit_together(Item(DEBUGGER, kd.BREAKIN, "break-in", {"kd.breakin": True}), reset)
    link.reset(TARGET)
    link.begin()
    link.target(stopped(), new_stop)
    return story


# --- noise


def noise() -> Story:
    story = Story("noise", "What else a serial line carries: firmware text, terminal codes, junk.")
    line = SerialLine(story, "kd-demo")
    link = Link(line)
    link.noise(TARGET, "UEFI Interactive Shell v2.2\r\n")
    link.noise(TARGET, "map: 0000 blocks, FS0: Alias(s):HD0b:;BLK1:\r\n")
    link.noise(TARGET, "Hawaiiii 00000000 iiii 0000\r\n")
    link.noise(TARGET, b"\x1b[2J\x1b[01;01H\x1b[=3h\x1b[37m", {"kd.noise.text": OPEN})
    # Zeros at the end of a record: only what follows shows that they are no leader.
    link.path.emit(Item(TARGET, b"POST code 0000", "noise that ends like a leader",
                        {"kd.type": None, "kd.expert.noise": True, "kd.noise.text": OPEN}))
    link.target(ev.print_string("first words\n"), {"kd.expert.noise": OPEN, "kd.noise.text": OPEN})
    link.noise(DEBUGGER, "ATZ\r")
    link.noise(DEBUGGER, "login: bob\r")
    link.noise(TARGET, bytes.fromhex("fffe0080c1f00f00ff"), {"kd.noise.text": OPEN})
    text = Item(TARGET, b"before the packet ", "noise", {"kd.noise.text": "before the packet ",
                                                         "kd.expert.noise": True})
    message = ev.print_string("in the same record\n")
    packet_id = link.next_id[TARGET]
    told = Item(TARGET, kd.packet(message.type, packet_id, message.payload), message.title,
                {"kd.type": message.type, "kd.id": packet_id} | message.facts)
    line.emit_together(text, told)
    link.control(DEBUGGER, kd.ACKNOWLEDGE, packet_id, {"kd.ack_to": told})
    link.next_id[TARGET] ^= 1
    link.target(stopped())
    link.noise(TARGET, "a driver that writes to the port itself\r\n")
    link.exchange(kd.get_version(), kd.version_reply, **demo.VERSION)
    link.exchange(kd.read_virtual(ENTRY, 16), kd.data_reply, b"0000iiii0000iiii")
    return story


# --- cut records


def truncated() -> Story:
    """With 28 bytes of tags before the payload, 84 bytes of a packet are kept."""
    story = Story("truncated", "Records cut by the snap length: what is there is shown.")
    link = Link(SerialLine(story, "kd-demo", snaplen=112))
    tail = {name: OPEN for name in ("kd.report.dr7", "kd.module.path")}
    cut = link.packet(TARGET, stopped(), tail, header_only=True)
    link.ack(cut)
    link.exchange(kd.get_version(), kd.version_reply, **demo.VERSION)
    asked = link.ask(kd.read_virtual(ENTRY, 256))
    reply = kd.data_reply(asked.message, pseudo_random("cut", 256))
    cut = link.packet(TARGET, reply, header_only=True)
    link.ack(cut)
    link.exchange(kd.read_virtual(ENTRY, 8), kd.data_reply, pseudo_random("whole", 8))
    cut = link.packet(TARGET, ev.print_string("longer than the snap length: " + "z" * 80),
                      header_only=True)
    link.ack(cut)
    link.target(ev.print_string("short enough\n"))
    return story


# --- two lines


def two_interfaces() -> Story:
    """Equal ids and equal requests at the same time: nothing may be matched across lines."""
    story = Story("two-interfaces", "Two machines, each on its own line, recorded in one file.")
    first = Link(SerialLine(story, "kd-first", "COM1 of the first machine"))
    second = Link(SerialLine(story, "kd-second", "COM1 of the second machine"))
    stop = first.packet(TARGET, stopped())
    other_stop = second.packet(TARGET, ev.exception(
        kd.BREAKPOINT, 0xFFFFFFFF80541234, report_x86(b"\xcc\xc3"), (0,),
        thread=0xFFFFFFFF82B8A020))
    second.ack(other_stop)
    first.ack(stop)

    request, other_request = kd.get_version(), kd.get_version()
    asked = first.packet(DEBUGGER, request)
    other_asked = second.packet(DEBUGGER, other_request)
    first.ack(asked)
    second.ack(other_asked)
    version = demo.VERSION | dict(machine=X86, build=2600, flags=2, secondary=0,
                                  kern_base=0xFFFFFFFF804D7000, module_list=0xFFFFFFFF80553FC0,
                                  data_list=0xFFFFFFFF80677EF4)
    second.answer(other_asked, kd.version_reply(other_request, **version))
    first.answer(asked, kd.version_reply(request, **demo.VERSION))

    address = KERNEL_BASE + 0x1000
    asked = first.packet(DEBUGGER, kd.read_virtual(address, 8))
    other_asked = second.packet(DEBUGGER, kd.read_virtual(address, 8))
    second.ack(other_asked)
    first.ack(asked)
    first.answer(asked, kd.data_reply(asked.message, b"first..."))
    second.answer(other_asked, kd.refused(other_asked.message))
    second.noise(TARGET, "0000 half a leader on one line must not meet the other half: 00\r\n")
    first.exchange(kd.read_virtual(address + 8, 8), kd.data_reply, b"...again")
    first.ask(kd.continue2_amd64(kd.HANDLED))
    second.ask(kd.continue2_x86(kd.HANDLED))
    return story


STORIES = (link_trouble, breakin, noise, truncated, two_interfaces)
