# stories_network.py - KD over a network: KDNET in all its versions, plain UDP, TCP.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""kdnet-*, kd-udp-plain, kd-udp-peer, kd-tcp. All addresses are from the documentation ranges."""

import demo
import kdevents as ev
import kdnetseal
import kdwire as kd
from capturefile import End
from demo import CPU, ENTRY, KERNEL_BASE, registers, report, special_registers
from kdnetseal import DATA, key_text
from kdnetwork import KdnetPath, TcpPath
from kdscript import DEBUGGER, OPEN, TARGET, Item, Link, Story, UdpPath, ethernet
from kdscript import pseudo_random

TARGET_END = End("192.0.2.72", 50000, "02:00:00:00:02:72")
DEBUGGER_END = End("192.0.2.1", 50000, "02:00:00:00:02:01")
BREAK_AT = KERNEL_BASE + 0x3F6B10


def made_key(label: str) -> str:
    """A key as bcdedit makes them: four numbers of 64 bits, 12 or 13 digits each."""
    for attempt in range(1000):
        key = key_text(pseudo_random(f"key {label} {attempt}", 32))
        if all(len(part) in (12, 13) for part in key.split(".")):
            return key
    raise AssertionError("no key")


KEY = made_key("kdlens")
OTHER_KEY = made_key("kdlens, other target")


def stopped() -> kd.Message:
    return ev.exception(kd.BREAKPOINT, BREAK_AT, report(b"\xcc\xc3"), (0,), **CPU)


def opening(link: Link) -> None:
    """What follows the announce: RESEND and break-in, then the target's first packets."""
    link.resend(DEBUGGER)
    link.breakin()
    link.target(ev.print_string("BD: Boot Debugger Initialized\n"))
    link.target(stopped())
    link.exchange(kd.get_version(), kd.version_reply, **demo.VERSION)


def kdnet_link(story: Story, interface: int, version: int = 5, key: str = KEY,
               target: End = TARGET_END, debugger: End = DEBUGGER_END) -> Link:
    return Link(KdnetPath(story, interface, target, debugger, key, version))


def kdnet_session() -> Story:
    story = Story("kdnet-session", "A KDNET session, version 5, with a key of full-size parts.",
                  keys=[KEY])
    link = kdnet_link(story, ethernet(story))
    net = link.path
    net.poke()  # nobody listens yet
    story.wait(3000)
    _, nonce = net.poke()
    story.wait(12)
    net.respond(nonce)
    net.announce()
    opening(link)
    link.exchange(kd.read_virtual(ENTRY, 64), kd.data_reply, pseudo_random("code", 64))
    # Version 5 carries at most 0x448 bytes a reply: CONTEXT comes in two.
    block = registers()
    link.exchange(kd.get_context_ex(0, 0x448), kd.context_ex_reply, 0x4D0, block.data[:0x448],
                  block.facts)
    link.exchange(kd.get_context_ex(0x448, 0x88), kd.context_ex_reply, 0x4D0, block.data[0x448:],
                  {"kd.context.rip": None})
    link.exchange(kd.read_control_space(2, 0xE0), kd.data_reply, special_registers().data,
                  facts=special_registers().facts)
    _trouble(link)
    link.ask(kd.continue2_amd64(kd.HANDLED))
    story.wait(3000)
    net.poke()  # a sign of life: carries the connected debugger, gets no answer
    link.target(ev.print_string("KDDEMO: still running\n"))
    story.wait(500)
    link.breakin()
    link.target(stopped())
    link.ask(kd.continue2_amd64(kd.CONTINUE))
    return story


def _trouble(link: Link) -> None:
    """The KD layer's own repairs, in datagrams: each repetition has a new sequence number."""
    story = link.path.story
    asked = link.packet(DEBUGGER, kd.read_msr(0x1B))  # no ACK comes
    story.wait(31)
    again = link.again(asked)
    link.ack(again)
    asked.facts["kd.ack_in"] = OPEN
    reply = link.packet(TARGET, kd.msr_reply(asked.message, 0xFEE00900))
    link.ack(reply)
    # An ACK but no reply in time: the same request as a new packet, and one reply for each.
    request = kd.read_io(0x70, 1)
    first = link.ask(request)
    story.wait(21)
    second = link.ask(request, {"kd.expert.duplicate": OPEN, "kd.retransmission_of": None})
    reply = kd.io_reply(request, 0x8F)
    link.answer(first, reply)
    link.answer(second, reply)
    # RESET carries the sender's next id; counters go on.
    link.reset(DEBUGGER, link.next_id[DEBUGGER])
    link.reset(TARGET, link.next_id[TARGET])
    link.exchange(kd.read_io(0x71, 1), kd.io_reply, 0x26)


# --- new keys in one conversation


def kdnet_rekey() -> Story:
    story = Story("kdnet-rekey", "Three sessions in one conversation, and what goes wrong in it.",
                  keys=[KEY])
    link = kdnet_link(story, ethernet(story))
    net = link.path
    net.connect()
    opening(link)
    _bad_datagrams(link)
    link.exchange(kd.read_virtual(ENTRY, 8), kd.data_reply, pseudo_random("session 1", 8))
    story.wait(3000)
    net.poke()
    late = net.seal(DATA, net.next_sequence(TARGET), TARGET,
                    kd.packet(kd.RESEND, 0))  # sent now, arrives in the next session
    late_facts = net.data_facts(net._last[TARGET], TARGET)

    # The machine restarts: its first poke ends the session, the next is answered.
    net.boot("kdnet-rekey second boot")
    poke, _ = net.poke()
    poke.facts["kdnet.expert.restart"] = True
    story.wait(3000)
    _, nonce = net.poke()
    net.respond(nonce)
    link.begin()
    net.announce()
    net.raw(TARGET, late, "RESEND under the former key",
            late_facts | {"kd.type": kd.RESEND, "kd.expert.resend": OPEN,
                          "kdnet.expert.old_key": True})
    opening(link)
    link.exchange(kd.read_virtual(ENTRY, 8), kd.data_reply, pseudo_random("session 2", 8))

    # Another debugger takes over: same nonce tail, poke doubled on its way, new key.
    story.wait(3000)
    _, nonce = net.poke()
    net.respond(nonce)
    link.begin()
    net.announce()
    opening(link)
    return story


def _bad_datagrams(link: Link) -> None:
    """Duplicates, late ones, holes, forged and foreign ones; the session survives them all."""
    net = link.path
    asked = link.packet(DEBUGGER, kd.read_io(0x80, 1))
    ack_body = kd.packet(kd.ACKNOWLEDGE, asked.id)
    link.ack(asked)
    ack_sequence = net._last[TARGET]
    copy = net.seal(DATA, ack_sequence, TARGET, ack_body)
    open_kd = {"kd.type": OPEN, "kd.id": OPEN}
    net.raw(TARGET, copy, "the ACK's datagram again",
            net.data_facts(ack_sequence, TARGET) | {"kdnet.expert.replay": True} | open_kd)
    link.answer(asked, kd.io_reply(asked.message, 0x99))
    old = net._last[TARGET] - 1
    net.raw(TARGET, net.seal(DATA, old, TARGET, ack_body), "a datagram that comes late",
            net.data_facts(old, TARGET) | {"kdnet.expert.replay": True} | open_kd)

    forged = bytearray(net.seal(DATA, net.next_sequence(TARGET), TARGET, ack_body))
    forged[20] ^= 0x01
    net.raw(TARGET, bytes(forged), "a datagram with a flipped bit",
            {"kdnet.expert.hmac": True, "kdnet.version": 5, "kdnet.channel": DATA})
    sequence = net._last[DEBUGGER]
    net.raw(TARGET, net.seal(DATA, sequence, DEBUGGER, ack_body), "a datagram sent back",
            net.data_facts(sequence, DEBUGGER)
            | {"kdnet.expert.direction": True, "kdnet.expert.replay": OPEN} | open_kd)
    net.raw(DEBUGGER, b"hello?", "junk", {"kdnet.expert.bad_datagram": True})
    net.raw(TARGET, b"MDBG\x05\x00" + bytes(31), "a datagram of an impossible length",
            {"kdnet.expert.bad_datagram": True})
    net.skip(TARGET, 4)  # lost by the recorder, as is the one that was forged
    link.target(ev.print_string("after a hole in the sequence\n"), {"kdnet.expert.gap": True})


# --- versions


def kdnet_versions() -> Story:
    story = Story("kdnet-versions", "Versions 1 to 5, and version bytes that are refused.",
                  keys=[KEY])
    interface = ethernet(story)
    for version in (1, 2, 3, 4, 5):
        port = 50100 + version
        target = End(f"192.0.2.{80 + version}", port, f"02:00:00:00:02:8{version}")
        link = kdnet_link(story, interface, version, KEY, target, DEBUGGER_END.at(port))
        if version == 1:
            link.path.announce()
        else:
            link.path.connect()
        opening(link)
    refused = kdnet_link(story, interface, 5, KEY, TARGET_END.at(50106), DEBUGGER_END.at(50106))
    for byte in (6, 0, 1):
        refused.path.poke(version=byte, facts={"kdnet.expert.version": True})
        story.wait(3000)
    refused.path.connect()
    opening(refused)
    return story


# --- other ways a capture can look


def kdnet_joined_late() -> Story:
    story = Story("kdnet-joined-late", "A capture that begins inside a session.",
                  keys=[KEY])
    interface = ethernet(story)
    link = kdnet_link(story, interface)
    net = link.path
    hidden = kdnet_link(Story("before kdnet-joined-late", "what the capture lacks"), 0)
    for part in (link, hidden):
        part.path.boot("kdnet-joined-late boot")
    hidden.path.story.interface("eth0", "")
    _, nonce = hidden.path.poke()
    hidden.path.respond(nonce)
    hidden.path.skip(TARGET, 40)
    hidden.path.skip(DEBUGGER, 38)
    ack = kd.packet(kd.ACKNOWLEDGE, 0x8000004C)
    closed = {"kdnet.expert.no_session_key": True, "kdnet.version": 5, "kdnet.channel": DATA}
    for sender, body in ((DEBUGGER, kd.packet(2, 0x8000004C, b"x" * 56, b"")), (TARGET, ack),
                         (TARGET, kd.packet(2, 0x50, b"y" * 72, b""))):
        sequence = hidden.path.next_sequence(sender)
        net.raw(sender, hidden.path.seal(DATA, sequence, sender, body), "data under a key unknown",
                closed)
    net._pokes, net._poke_sequence = 7, 21
    net.connected = True
    net.poke()
    story.wait(3000)
    net.connected = False
    _, nonce = net.poke()
    net.respond(nonce)
    net.announce()
    opening(link)
    return story


def kdnet_ipv6() -> Story:
    story = Story("kdnet-ipv6", "KDNET over IPv6.", keys=[KEY])
    target = End("2001:db8::72", 50006, "02:00:00:00:02:72")
    debugger = End("2001:db8::1", 50006, "02:00:00:00:02:01")
    link = kdnet_link(story, ethernet(story), 5, KEY, target, debugger)
    link.path.connect()
    opening(link)
    return story


def kdnet_two_targets() -> Story:
    """Each has its own key; the second debugger was given the target's address and knocks."""
    first_end, second_end = TARGET_END, End("192.0.2.73", 50001, "02:00:00:00:02:73")
    story = Story("kdnet-two-targets", "Two targets with a key each; one session began by target=.",
                  keys=[f"192.0.2.72 {KEY}", f"192.0.2.73:50001 {OTHER_KEY}"])
    interface = ethernet(story)
    first = kdnet_link(story, interface, 5, KEY, first_end)
    second = kdnet_link(story, interface, 4, OTHER_KEY, second_end, DEBUGGER_END.at(61234))
    first.path.connect()
    second.path.knock()
    second.path.connect()
    stop = None
    for link in (first, second):
        link.resend(DEBUGGER)
    for link in (first, second):
        stop = link.packet(TARGET, stopped())
        link.ack(stop)
    asked = [link.packet(DEBUGGER, kd.get_version()) for link in (first, second)]
    for link, request in zip((second, first), reversed(asked)):
        link.ack(request)
    for link, request in zip((first, second), asked):
        link.answer(request, kd.version_reply(request.message, **demo.VERSION))
    return story


# --- without KDNET


def kd_udp_plain() -> Story:
    """As KDNET without a key: no KDNET header, one packet a datagram, no trailer."""
    story = Story("kd-udp-plain", "WinDbg without a key: KD packets in UDP as they are.")
    path = UdpPath(story, ethernet(story), TARGET_END.at(50009), DEBUGGER_END.at(50009))
    link = Link(path)
    path.emit(Item(TARGET, kdnetseal.announce("192.0.2.1"), "announce", {"kd.type": None}))
    opening(link)
    link.exchange(kd.read_virtual(ENTRY, 32), kd.data_reply, pseudo_random("plain", 32))
    link.ask(kd.continue2_amd64(kd.HANDLED))
    return story


class PeerPath(UdpPath):
    """As an older tool records a serial line: KD bytes in UDP, debugger 51111, target 51112."""

    trailer = kd.TRAILER
    serial_ids = True


def kd_udp_peer() -> Story:
    story = Story("kd-udp-peer", "A serial line as UDP: 51111 is the debugger, 51112 the target.")
    local = "127.0.0.1"
    path = PeerPath(story, ethernet(story), End(local, 51112, "00:00:00:00:00:00"),
                    End(local, 51111, "00:00:00:00:00:00"))
    link = Link(path)
    link.target(stopped())
    link.exchange(kd.get_version(), kd.version_reply, **demo.VERSION)
    link.exchange(kd.read_virtual(ENTRY, 32), kd.data_reply, pseudo_random("peer", 32))
    link.exchange(kd.restore_breakpoint(1), kd.refused)
    link.ask(kd.continue2_amd64(kd.HANDLED))
    link.breakin()
    link.target(stopped())
    return story


def kd_tcp() -> Story:
    """A virtual machine's serial port as a TCP server; the debugger connects to it."""
    story = Story("kd-tcp", "KD over TCP: segments cut anywhere, one repeated, one out of order.",
                  preferences=["tcp.reassemble_out_of_order:TRUE"], port="kd.tcp.port:5555")
    path = TcpPath(story, ethernet(story), TARGET_END.at(5555), DEBUGGER_END.at(49733), cut=90)
    link = Link(path)
    path.open(DEBUGGER)
    link.reset(DEBUGGER)  # a whole packet in the first segment: enough to know KD by
    link.reset(TARGET)
    link.begin()
    link.target(stopped())
    link.exchange(kd.get_version(), kd.version_reply, **demo.VERSION)
    path.flush()
    asked = link.ask(kd.read_virtual(ENTRY, 64))
    reply = link.answer(asked, kd.data_reply(asked.message, pseudo_random("tcp", 64)), ack=False)
    path.flush(sizes=[16, 7, 1, 60], order=[0, 1, 3, 2, 4], repeat=1)
    link.ack(reply)
    asked = link.packet(DEBUGGER, kd.get_context())
    path.flush(sizes=[20, 3])
    link.ack(asked)
    link.answer(asked, kd.context_reply(asked.message, registers()))
    link.ask(kd.continue2_amd64(kd.HANDLED))
    story.wait(2000)
    link.breakin()
    link.target(stopped())
    path.close(DEBUGGER)
    return story


STORIES = (kdnet_session, kdnet_rekey, kdnet_versions, kdnet_joined_late, kdnet_ipv6,
           kdnet_two_targets, kd_udp_plain, kd_udp_peer, kd_tcp)
