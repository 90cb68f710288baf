# doctorstories.py - links that are ill in one way each, for the tests of kdlens doctor.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Each function makes the capture of one trouble with the encoder of tests/dissector/generate,
which shares nothing with lib/kd. Where a recording of the real thing is known, the tests use that
instead; its name is in test_doctor.py.
"""

import struct
import sys

import kdfiles
sys.path.insert(0, str(kdfiles.REPOSITORY / "tests/dissector/generate"))
import capturefile
import demo
import kdevents as ev
import kdnetseal
import kdwire as kd
from capturefile import End
from demo import CPU, KERNEL_BASE, report
from kdnetwork import KdnetPath
from kdscript import DEBUGGER, INITIAL, SYNC, TARGET, Item, Link, SerialLine, Story, ethernet
from kdscript import pseudo_random
from stories_network import DEBUGGER_END, KEY, OTHER_KEY, TARGET_END, kdnet_link

BREAK_AT = KERNEL_BASE + 0x3F6B10
STRANGER = End("203.0.113.9", 50000, "02:00:00:00:03:09")


def stopped(at: int = BREAK_AT, code: int = kd.BREAKPOINT) -> kd.Message:
    parameters = (1, 0x10) if code == kd.ACCESS_VIOLATION else (0,)
    return ev.exception(code, at, report(b"\xcc\xc3"), parameters, **CPU)


def begin(name: str, step: int = 250) -> Link:
    """A serial link whose ends know each other: the target is stopped."""
    link = Link(SerialLine(Story(name, name, step), "com1"))
    link.target(stopped())
    link.exchange(kd.get_version(), kd.version_reply, **demo.VERSION)
    return link


def read(link: Link, count: int = 1) -> None:
    for _ in range(count):
        link.exchange(kd.read_virtual(KERNEL_BASE, 16), kd.data_reply, b"\x11" * 16)


def go(link: Link) -> None:
    link.ask(kd.continue2_amd64(kd.HANDLED))


def restart(link: Link, **side) -> None:
    """Both streams from the start, the target's with SYNC."""
    link.begin()
    link.next_id[TARGET] |= SYNC


def quiet(link: Link, **options) -> Story:
    return link.path.story


# --- nothing, or nothing of one end


def no_kd() -> Story:
    story = Story("no-kd", "A datagram of the name service.")
    udp = capturefile.udp(TARGET_END.at(53), DEBUGGER_END.at(5353), b"\x12\x34\x81\x80", 1)
    story.record(TARGET, udp, ethernet(story))
    return story


def console_text() -> Story:
    story = Story("console-text", "A Linux kernel talks on the line where KD is expected.")
    link = Link(SerialLine(story, "com1"))
    for n in range(8):
        link.noise(TARGET, f"[    {n}.000000] ACPI: bus type {n} registered\r\n")
        story.wait(700)
        link.reset(DEBUGGER)
    return story


def wrong_baud() -> Story:
    story = Story("wrong-baud", "The target's bytes are read at another rate.")
    link = Link(SerialLine(story, "com1"))
    for n in range(6):
        link.reset(DEBUGGER)
        story.wait(900)
        junk = bytes(0x80 | byte for byte in pseudo_random(f"baud {n}", 40))
        link.noise(TARGET, junk)
    return story


def target_silent() -> Story:
    story = Story("target-silent", "A debugger waits.")
    link = Link(SerialLine(story, "com1"))
    for _ in range(4):
        link.reset(DEBUGGER)
        story.wait(2000)
        link.breakin()
        story.wait(500)
    return story


def debugger_silent() -> Story:
    story = Story("debugger-silent", "A target waits.")
    link = Link(SerialLine(story, "com1"))
    first = link.packet(TARGET, ev.print_string("BD: Boot Debugger Initialized\n"))
    for _ in range(5):
        story.wait(1000)
        link.again(first)
    return story


# --- KDNET


def net(name: str, **options) -> Link:
    story = Story(name, name)
    return kdnet_link(story, ethernet(story), **options)


def session(link: Link, reads: int = 3) -> None:
    """From the poke to a target that is stopped and answers."""
    link.path.connect()
    link.begin()
    link.target(stopped())
    link.exchange(kd.get_version(), kd.version_reply, **demo.VERSION)
    read(link, reads)


def kdnet_healthy() -> Story:
    link = net("kdnet-healthy")
    session(link)
    go(link)
    return quiet(link)


def kdnet_wrong_key() -> Story:
    link = net("kdnet-wrong-key", key=OTHER_KEY)
    for _ in range(4):
        link.path.poke()
        link.path.story.wait(3000)
    return quiet(link)


def kdnet_joined_late() -> Story:
    link = net("kdnet-joined-late")
    session(link)
    story = quiet(link)
    del story.frames[:3], story._records[:3]
    return story


def kdnet_no_response() -> Story:
    """Offers as Windows' boot debugger makes them: a nonce each, and all the same number."""
    link = net("kdnet-no-response")
    for _ in range(4):
        link.path.poke()
        link.path._poke_sequence = 0
        link.path.story.wait(3000)
    return quiet(link)


def kdnet_response_lost() -> Story:
    link = net("kdnet-response-lost")
    for _ in range(4):
        _, nonce = link.path.poke()
        link.path.respond(nonce)
        link.path.story.wait(3000)
    return quiet(link)


def kdnet_other_key() -> Story:
    """The key of a target is changed, and it starts again."""
    link = net("kdnet-other-key")
    session(link)
    other = KdnetPath(link.path.story, link.path._interface, TARGET_END, DEBUGGER_END, OTHER_KEY,
                      5)
    for _ in range(3):
        other.poke()
        link.path.story.wait(3000)
    return quiet(link)


def kdnet_address() -> Story:
    """The target is configured for another host, and something translates its address."""
    story = Story("kdnet-address", "NAT between the ends.")
    interface = ethernet(story)
    inside = KdnetPath(story, interface, End("10.0.0.5", 50000, TARGET_END.mac),
                       End("10.9.9.9", 50000, DEBUGGER_END.mac), KEY, 5)
    outside = {TARGET: TARGET_END, DEBUGGER: DEBUGGER_END}
    inside.boot("nat")
    real = dict(inside.ends)
    for _ in range(3):
        nonce = struct.pack("<I", inside._pokes + 1) + inside._nonce_tail
        inside._pokes += 1
        inside._poke_sequence += 3
        body = kdnetseal.poke(nonce, (real[TARGET].address, 50000), (real[DEBUGGER].address, 50000),
                              ("0.0.0.0", 0))
        payload = kdnetseal.seal(inside.control_key, inside.control_key, 5, kdnetseal.CONTROL,
                                 inside._poke_sequence, False, body)
        inside.ends = outside
        inside.datagram(Item(TARGET, body, "poke", {}), payload)
        story.wait(3000)
    return story


def kdnet_mirrored() -> Story:
    """Each datagram is recorded twice."""
    link = net("kdnet-mirrored")
    session(link, 10)
    story = quiet(link)
    story._records[:] = [record for record in story._records for _ in range(2)]
    return story


def kdnet_reflected() -> Story:
    link = net("kdnet-reflected")
    session(link)
    path = link.path
    body = kd.packet(kd.ACKNOWLEDGE, 0, trailer=b"")
    for _ in range(2):
        path.sealed(Item(TARGET, body, "reflected", {}), path.next_sequence(DEBUGGER), DEBUGGER)
    return quiet(link)


def kdnet_knock() -> Story:
    link = net("kdnet-knock")
    for _ in range(6):
        link.path.knock()
        link.path.story.wait(490)
    return quiet(link)


# --- storms


def reset_storm(rounds: int, after: bool) -> Story:
    """Debugger and target RESET each other, and in the end get along when after is true."""
    link = begin("reset-storm-over" if after else "reset-storm")
    story = link.path.story
    stop = None
    for _ in range(rounds):
        story.wait(80)
        link.reset(DEBUGGER)
        link.reset(TARGET)
        link.begin()
        stop = link.packet(TARGET, stopped())
    if after:
        link.ack(stop)
        story.wait(4000)
        read(link, 5)
    return story


def reset_storm_over() -> Story:
    return reset_storm(20, True)


def resend_storm() -> Story:
    """A reply that never arrives whole."""
    link = begin("resend-storm")
    asked = link.ask(kd.read_virtual(KERNEL_BASE, 2000))
    reply = link.packet(TARGET, kd.data_reply(asked.message, b"\x22" * 2000))
    for _ in range(30):
        link.path.story.wait(60)
        link.resend(DEBUGGER)
        link.again(reply)
    return quiet(link)


def console_storm() -> Story:
    """Each RESET is a key press for a firmware shell, which echoes it."""
    link = begin("console-storm")
    go(link)
    for n in range(20):
        link.path.story.wait(90)
        link.reset(DEBUGGER)
        link.noise(TARGET, f"Shell> iiii{n}\r\n'iiii' is not recognized\r\n")
    return quiet(link)


# --- the link


def target_gone() -> Story:
    link = begin("target-gone")
    read(link)
    request = link.packet(DEBUGGER, kd.read_virtual(KERNEL_BASE, 16))
    for _ in range(5):
        link.path.story.wait(1000)
        link.again(request)
    return quiet(link)


def debugger_gone() -> Story:
    link = begin("debugger-gone")
    go(link)
    told = link.packet(TARGET, stopped())
    for _ in range(6):
        link.path.story.wait(1000)
        link.again(told)
    return quiet(link)


def breakin_unanswered() -> Story:
    link = begin("break-in-unanswered")
    go(link)
    for _ in range(4):
        link.path.story.wait(1500)
        link.breakin()
        link.target(ev.print_string("still running\n"))
    return quiet(link)


def at_a_load_event(name: str) -> Link:
    """The debugger's break-in comes at a load event, which it passes by itself seconds later."""
    link = begin(name)
    go(link)
    told = link.target(ev.load_symbols("\\x.efi", KERNEL_BASE, 0x1000, 0, BREAK_AT,
                                       report(b"\xcc\xc3"), **CPU))
    link.breakin()
    link.again(told)
    link.path.story.wait(9000)
    read(link)
    go(link)
    return link


def breakin_forgotten() -> Story:
    """The target takes the load event for the stop that was asked for."""
    link = at_a_load_event("break-in-forgotten")
    link.path.story.wait(4000)
    link.target(ev.print_string("still running\n"))
    return quiet(link)


def breakin_too_early() -> Story:
    """WinDbg answers the console of a machine that starts; the program then runs, as it should."""
    link = Link(SerialLine(Story("break-in-too-early", "", 250), "com1"))
    link.noise(TARGET, "BdsDxe: loading Boot0001\r\n")
    link.breakin()
    link.path.story.wait(1000)
    link.target(ev.load_symbols("\\x.efi", KERNEL_BASE, 0x1000, 0, BREAK_AT,
                                report(b"\xcc\xc3"), **CPU))
    read(link)
    go(link)
    link.path.story.wait(9000)
    link.target(ev.print_string("running\n"))
    return quiet(link)


def breakin_remembered() -> Story:
    link = at_a_load_event("break-in-remembered")
    link.path.story.wait(300)
    link.target(stopped())
    return quiet(link)


def target_busy() -> Story:
    link = begin("target-busy")
    go(link)
    link.path.story.wait(1000)
    link.breakin()
    link.path.story.wait(8000)
    link.target(stopped())
    return quiet(link)


def acks_lost_to_target() -> Story:
    """What the debugger sends passes the recorder and does not arrive."""
    link = begin("acks-lost-to-target")
    go(link)
    for n in range(3):
        told = link.packet(TARGET, ev.print_string(f"line {n}\n"))
        link.ack(told)
        for _ in range(2):
            link.path.story.wait(1000)
            link.again(told)
            link.control(DEBUGGER, kd.ACKNOWLEDGE, told.id)
    return quiet(link)


def acks_lost_to_debugger() -> Story:
    link = begin("acks-lost-to-debugger")
    for _ in range(3):
        request = link.packet(DEBUGGER, kd.read_virtual(KERNEL_BASE, 16))
        link.ack(request)
        for _ in range(2):
            link.path.story.wait(500)
            link.again(request)
            link.control(TARGET, kd.ACKNOWLEDGE, request.id)
        link.answer(request, kd.data_reply(request.message, b"\x11" * 16))
    return quiet(link)


def lost_packets(sender: str, name: str) -> Story:
    """Of each packet the first transmission is lost behind the recorder."""
    link = begin(name)
    for n in range(4):
        asked = link.packet(DEBUGGER, kd.read_virtual(KERNEL_BASE + 16 * n, 16))
        if sender == DEBUGGER:
            link.path.story.wait(1000)
            asked = link.again(asked)
        link.ack(asked)
        reply = link.packet(TARGET, kd.data_reply(asked.message, b"\x11" * 16))
        if sender == TARGET:
            link.path.story.wait(1000)
            reply = link.again(reply)
        link.ack(reply)
    return quiet(link)


def lost_to_target() -> Story:
    return lost_packets(DEBUGGER, "lost-to-target")


def lost_to_debugger() -> Story:
    return lost_packets(TARGET, "lost-to-debugger")


def checksum() -> Story:
    link = begin("checksum")
    for n in range(3):
        asked = link.ask(kd.read_virtual(KERNEL_BASE, 32))
        reply = kd.data_reply(asked.message, pseudo_random(f"sum {n}", 32))
        wrong = link.packet(TARGET, reply, checksum=sum(reply.payload) ^ 0x10)
        link.resend(DEBUGGER, wrong)
        link.ack(link.again(wrong))
    return quiet(link)


def desync() -> Story:
    link = begin("ids-out-of-step")
    go(link)
    for n in range(3):
        told = link.packet(TARGET, ev.print_string(f"out of step {n}\n"),
                           packet_id=INITIAL)
        link.control(DEBUGGER, kd.ACKNOWLEDGE, told.id)
    return quiet(link)


def text_inside() -> Story:
    link = begin("text-on-the-line")
    read(link)
    go(link)
    link.noise(TARGET, "a driver that writes to the port itself\r\n")
    link.target(stopped())
    read(link)
    return quiet(link)


def target_restarted() -> Story:
    link = begin("target-restarted")
    go(link)
    link.path.story.wait(20000)
    restart(link)
    link.target(ev.print_string("BD: Boot Debugger Initialized\n"))
    link.target(stopped(BREAK_AT + 64))
    return quiet(link)


def debugger_restarted() -> Story:
    link = begin("debugger-restarted")
    read(link)
    link.path.story.wait(5000)
    link.reset(DEBUGGER)
    link.reset(TARGET)
    link.begin()
    link.target(stopped())
    link.exchange(kd.get_version(), kd.version_reply, **demo.VERSION)
    return quiet(link)


def reply_missing() -> Story:
    link = begin("reply-missing")
    link.ask(kd.read_virtual(0xFFFFB00000000000, 16))
    link.path.story.wait(2000)
    read(link, 2)
    return quiet(link)


def refused_all() -> Story:
    link = begin("refused-all")
    for n in range(30):
        asked = link.ask(kd.read_virtual(KERNEL_BASE + n, 16))
        link.answer(asked, kd.refused(asked.message))
    return quiet(link)


def exception() -> Story:
    link = begin("exception")
    go(link)
    link.target(stopped(BREAK_AT, kd.ACCESS_VIOLATION))
    return quiet(link)


# --- how things stand


def stopped_busy() -> Story:
    link = begin("stopped-busy")
    read(link)
    link.ask(kd.read_virtual(KERNEL_BASE, 16))
    return quiet(link)


def prompt() -> Story:
    link = begin("prompt")
    go(link)
    link.target(stopped())
    link.target(ev.prompt("Break, ignore (bi)? ", 4))
    return quiet(link)


def running() -> Story:
    link = begin("running")
    go(link)
    return quiet(link)
