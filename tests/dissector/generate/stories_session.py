# stories_session.py - a serial session with an AMD64 machine, and the same bytes cut elsewhere.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""serial-session, serial-requests, serial-cuts.

serial-session is what a debugger's user sees in an hour: attach, look round, breakpoint, step,
fault, prompt, another processor, crash, reboot. serial-requests makes every request it leaves out.
"""

import demo
import kdevents as ev
import kdwire as kd
from capturefile import INBOUND, OUTBOUND, upper_pdu
from demo import (BREAKPOINT_AT, CPU, DATA_BLOCK, DATA_LIST, DRIVER_BASE, ENTRY, KERNEL_BASE,
                  MODULE_LIST, THREAD_1, registers, report, special_registers)
from kdscript import DEBUGGER, OPEN, SYNC, TARGET, Link, SerialLine, Story, pseudo_random

BLUE_SCREEN = ("*** Fatal System Error: 0x000000e2\n"
               "                       (0x0000000000000000,0x0000000000000000,"
               "0x0000000000000000,0x0000000000000000)\n")


def kernel_loaded() -> kd.Message:
    return ev.load_symbols(demo.KERNEL_PATH, KERNEL_BASE, demo.KERNEL_SIZE, demo.KERNEL_CHECKSUM,
                           ENTRY, report(demo.CODE_ENTRY), **CPU)


def serial_session() -> Story:
    story = Story("serial-session", "A session with a 64-bit machine, from attach to reboot.")
    link = Link(SerialLine(story, "kd-demo"))
    _attach(link)
    _look_round(link)
    _breakpoint(link)
    _fault(link)
    _prompt_and_command(link)
    _other_processor(link)
    _files(link)
    _crash_and_reboot(link)
    return story


def _attach(link: Link) -> None:
    """The debugger knocks with RESET while the target already reports, as Windows XP did."""
    link.noise(TARGET, "BdsDxe: loading Boot0001 \"UEFI Demo Disk\" from "
                       "PciRoot(0x0)/Pci(0x1F,0x2)/Sata(0x0,0xFFFF,0x0000)\r\n")
    link.noise(TARGET, "BdsDxe: starting Boot0001 at 0000000000: bootable\r\n")
    link.reset(DEBUGGER)
    first = link.packet(TARGET, kernel_loaded(), {"kd.ack_in": OPEN,
                                                  "kd.expert.unacknowledged": OPEN})
    assert first.id == 0x80800000 | SYNC
    link.reset(DEBUGGER)
    link.reset(TARGET, 0x00F7FB2C)  # its id is stale stack
    link.begin()
    link.target(kernel_loaded(), {"kd.retransmission_of": OPEN, "kd.expert.duplicate": OPEN,
                                  "kd.expert.unacknowledged": OPEN})
    link.exchange(kd.get_version(), kd.version_reply, **demo.VERSION)


def _look_round(link: Link) -> None:
    """What a debugger reads when it attaches."""
    link.exchange(kd.read_virtual(MODULE_LIST, 16), kd.data_reply,
                  demo.list_head(0xFFFFC785502A3010, 0xFFFFC785502B4AE0))
    link.exchange(kd.read_virtual(DATA_LIST, 8), kd.data_reply, DATA_BLOCK.to_bytes(8, "little"))
    link.exchange(kd.read_virtual(DATA_BLOCK, 0x58), kd.data_reply, demo.debugger_data(),
                  facts=demo.DEBUGGER_DATA_FACTS)
    header = demo.image_header()
    link.exchange(kd.read_virtual(DRIVER_BASE, len(header)), kd.data_reply, header, facts={})
    # 256 bytes asked, the page ends after 96: success, and the debugger must go on from there.
    link.exchange(kd.read_virtual(KERNEL_BASE + 0xAB6FA0, 256), kd.data_reply,
                  pseudo_random("short", 96), facts={"kd.expert.short_read": True})
    link.exchange(kd.read_virtual(0xFFFFF780000003D8, 0x330), kd.refused)
    for handle in (1, 2, 3):
        link.exchange(kd.restore_breakpoint(handle), kd.refused)
    link.exchange(kd.get_context_ex(0, 0x4D0), kd.refused)
    link.exchange(kd.get_context(), kd.context_reply, registers())
    link.exchange(kd.read_control_space(2, 0xE0), kd.data_reply, special_registers().data,
                  facts=special_registers().facts)


def _breakpoint(link: Link) -> None:
    """Skip the break instruction, plant a breakpoint, hit it, step over it."""
    link.exchange(kd.set_context(registers(rip=ENTRY + 1)), kd.reply)
    link.exchange(kd.write_breakpoint(BREAKPOINT_AT), kd.breakpoint_reply, 1)
    link.ask(kd.continue2_amd64(kd.CONTINUE))
    link.path.story.wait(800)
    link.target(ev.print_string("KDDEMO: driver entry, 0000 objects\n"))
    link.target(ev.load_symbols(demo.DRIVER_PATH, DRIVER_BASE, demo.DRIVER_SIZE,
                                demo.DRIVER_CHECKSUM, ENTRY, report(demo.CODE_ENTRY), **CPU))
    link.ask(kd.continue_plain(kd.CONTINUE))
    link.target(ev.exception(kd.BREAKPOINT, BREAKPOINT_AT, report(demo.CODE_BREAKPOINT), (0,),
                             **CPU))
    link.exchange(kd.restore_breakpoint(1), kd.reply)
    link.ask(kd.continue2_amd64(kd.HANDLED, trace=True))
    link.target(ev.exception(kd.SINGLE_STEP, BREAKPOINT_AT + 3,
                             report(demo.CODE_STEP, dr6=0xFFFF4FF0, eflags=0x302), **CPU))
    link.ask(kd.continue2_amd64(kd.HANDLED))


def _fault(link: Link) -> None:
    """A driver writes through a null pointer; the debugger looks and passes it on."""
    link.path.story.wait(1500)
    at = DRIVER_BASE + 0x1A2C
    link.target(ev.exception(kd.ACCESS_VIOLATION, at, report(demo.CODE_FAULT), (1, 0x18), **CPU))
    link.exchange(kd.get_context(), kd.context_reply, registers(rip=at, rcx=0x18))
    link.exchange(kd.write_virtual(DRIVER_BASE + 0x3010, bytes.fromhex("efbeadde")), kd.written, 4)
    link.exchange(kd.write_virtual(0x18, b"\0\0"), kd.refused)
    link.ask(kd.continue2_amd64(kd.NOT_HANDLED))
    link.target(ev.exception(kd.ACCESS_VIOLATION, at, report(demo.CODE_FAULT), (0, 0x18),
                             first_chance=False, **CPU))
    link.ask(kd.continue2_amd64(kd.HANDLED))


def _prompt_and_command(link: Link) -> None:
    asked = link.target(ev.prompt("Assertion failed: Break, Ignore (bi)? ", 64))
    link.answer(asked, ev.answer(asked.message, "i"))
    link.target(ev.command_string("kddemo", ".echo driver says hello", ENTRY,
                                  report(demo.CODE_ENTRY), **CPU))
    link.ask(kd.continue2_amd64(kd.CONTINUE))


def _other_processor(link: Link) -> None:
    """Break in, switch to processor 1 and back."""
    link.breakin()
    at = KERNEL_BASE + 0x3F6B10
    link.target(ev.exception(kd.BREAKPOINT, at, report(b"\xcc\xc3"), (0,), **CPU))
    link.ask(kd.switch_processor(1))
    link.target(ev.exception(kd.WAKE_SYSTEM_DEBUGGER, KERNEL_BASE + 0x3F9A40,
                             report(b"\xf4\xc3", eflags=0x46), processor=1, processors=2,
                             thread=THREAD_1))
    link.exchange(kd.read_control_space(0, 8, processor=1), kd.data_reply,
                  0xFFFFAF0123456000.to_bytes(8, "little"),
                  facts={"kd.control_space.pointer": 0xFFFFAF0123456000})
    link.ask(kd.switch_processor(0))
    link.target(ev.exception(kd.WAKE_SYSTEM_DEBUGGER, at, report(b"\xcc\xc3"), **CPU))
    link.ask(kd.continue2_amd64(kd.HANDLED))


def _files(link: Link) -> None:
    """The target fetches a driver from the debugger, and tells what came of it."""
    missing = link.target(ev.create_file("\\Windows\\system32\\drivers\\absent.sys"))
    link.answer(missing, ev.file_reply(missing.message, status=kd.NO_SUCH_FILE))
    create = link.target(ev.create_file("\\SystemRoot\\system32\\drivers\\kddemo.sys"))
    link.answer(create, ev.created(create.message, 0x7, 88))
    contents = b"MZ, but shorter: what a file server sends. " * 3
    read = link.target(ev.read_file(0x7, 0, 64))
    link.answer(read, ev.file_data(read.message, contents[:64]))
    read = link.target(ev.read_file(0x7, 64, 64))
    link.answer(read, ev.file_data(read.message, contents[64:88]))
    write = link.target(ev.write_file(0x7, 88, b"appended"))
    link.answer(write, ev.file_written(write.message, 8))
    close = link.target(ev.close_file(0x7))
    link.answer(close, ev.file_reply(close.message))
    again = link.target(ev.close_file(0x7))
    link.answer(again, ev.file_reply(again.message, status=kd.INVALID_HANDLE))


def _crash_and_reboot(link: Link) -> None:
    link.breakin()
    link.target(ev.exception(kd.BREAKPOINT, KERNEL_BASE + 0x3F6B10, report(b"\xcc\xc3"), (0,),
                             **CPU))
    link.ask(kd.cause_bugcheck(0xE2))
    link.target(ev.print_string(BLUE_SCREEN))
    link.target(ev.exception(kd.BREAKPOINT, KERNEL_BASE + 0x3F6B10, report(b"\xcc\xc3"), (0,),
                             **CPU))
    link.ask(kd.plain(0x313B))
    link.target(ev.load_symbols("", ev.REBOOT, 0, 0, ENTRY, report(demo.CODE_ENTRY), unload=True,
                                process=0, **CPU))
    link.ask(kd.continue_plain(kd.CONTINUE))
    link.path.story.wait(4000)
    link.begin()
    link.next_id[TARGET] |= SYNC
    link.next_id[DEBUGGER] = 0x80800000
    link.target(ev.print_string("BD: Boot Debugger Initialized\n"))


# --- the other requests


def serial_requests() -> Story:
    story = Story("serial-requests", "Each request to a target that serial-session does not make.")
    link = Link(SerialLine(story, "kd-demo"))
    link.target(ev.exception(kd.BREAKPOINT, KERNEL_BASE + 0x3F6B10, report(b"\xcc\xc3"), (0,),
                             **CPU))
    link.exchange(kd.get_version(), kd.version_reply, **demo.VERSION)
    _ports_and_registers(link)
    _other_memory(link)
    _breakpoint_arrays(link)
    _context_in_parts(link)
    _internal_breakpoints(link)
    _rare_requests(link)
    _rare_messages(link)
    link.ask(kd.continue2_amd64(kd.HANDLED, dr7=0x20001, start=KERNEL_BASE + 0x215000,
                                end=KERNEL_BASE + 0x215040))
    return story


def _ports_and_registers(link: Link) -> None:
    link.exchange(kd.read_io(0x3F8, 1), kd.io_reply, 0x62)
    link.exchange(kd.read_io(0x510, 2), kd.io_reply, 0x5155)
    link.exchange(kd.write_io(0xCF8, 4, 0x80000000), kd.reply)
    link.exchange(kd.read_io_extended(4, 5, 0, 1, 0xCFC), kd.io_extended_reply, 0x29C08086)
    link.exchange(kd.write_io_extended(2, 1, 0, 1, 0x80, 0x1234), kd.reply)
    link.exchange(kd.read_msr(0xC0000082), kd.msr_reply, KERNEL_BASE + 0x406C00)
    link.exchange(kd.write_msr(0x1D9, 0x0000000200000001), kd.reply)


def _other_memory(link: Link) -> None:
    link.exchange(kd.read_physical(0x1AD000, 32, caching=1), kd.data_reply,
                  pseudo_random("physical", 32))
    link.exchange(kd.read_physical(0xFEE00000, 4, caching=2), kd.data_reply, b"\x14\0\x06\0")
    link.exchange(kd.write_physical(0x1000, b"\x41\x42", caching=3), kd.written, 2)
    link.exchange(kd.search_memory(KERNEL_BASE, 0x1000, b"MZ"), kd.found, KERNEL_BASE)
    link.exchange(kd.search_memory(KERNEL_BASE + 1, 0xFFF, b"MZ"), kd.reply,
                  status=kd.NO_MORE_ENTRIES,
                  facts={"kd.found": OPEN, "kd.address": OPEN, "kd.expert.status": OPEN})
    link.exchange(kd.fill_memory(DRIVER_BASE + 0x4000, 0x20, b"\xde\xad"), kd.reply)
    link.exchange(kd.query_memory(DRIVER_BASE + 0x1000), kd.query_reply, 2, 5)
    link.exchange(kd.get_bus_data(0x1F, 0, 16), kd.bus_data_reply, 16, pseudo_random("pci", 16))
    link.exchange(kd.set_bus_data(0x1F, 4, b"\x07\0"), kd.bus_data_reply, 2)
    # Three pages asked, the second is missing: part of the bytes and a failure.
    link.exchange(kd.read_virtual(DRIVER_BASE + 0x1CFF0, 48), kd.data_reply,
                  pseudo_random("partial", 16), status=kd.UNSUCCESSFUL,
                  facts={"kd.expert.status": True, "kd.expert.short_read": OPEN})


def _breakpoint_arrays(link: Link) -> None:
    places = [KERNEL_BASE + 0x215000, KERNEL_BASE + 0x215040, DRIVER_BASE + 0x1A2C]
    link.exchange(kd.write_breakpoints(places), kd.breakpoints_reply, [1, 2, 3])
    link.exchange(kd.restore_breakpoints([1, 2, 3]), kd.reply, facts={"kd.handle": OPEN},
                  data=bytes(12))
    link.exchange(kd.write_custom_breakpoint(BREAKPOINT_AT, 0xCC, 1, 1), kd.custom_breakpoint_reply,
                  4)


def _context_in_parts(link: Link) -> None:
    """GetContextEx and SetContextEx in pieces of 0x448 bytes, as WinDbg asks on KDNET version 5."""
    block = registers(rip=BREAKPOINT_AT, rax=0x12345678)
    branches = {"kd.context.rip": None}
    first = {name: value for name, value in block.facts.items()}
    link.exchange(kd.get_context_ex(0, 0x448), kd.context_ex_reply, 0x4D0, block.data[:0x448],
                  first)
    link.exchange(kd.get_context_ex(0x448, 0x88), kd.context_ex_reply, 0x4D0, block.data[0x448:],
                  branches)
    changed = registers(rip=BREAKPOINT_AT + 4, rax=0x87654321)
    for offset, end in ((0, 0x448), (0x448, 0x4D0)):
        part = changed.data[offset:end]
        link.exchange(kd.set_context_ex(offset, part, 0x4D0, branches if offset else changed.facts),
                      kd.reply, facts={"kd.context.bytes_copied": OPEN})


def _internal_breakpoints(link: Link) -> None:
    at = KERNEL_BASE + 0x2155C0
    link.exchange(kd.set_internal_breakpoint(at, 1), kd.reply)
    link.exchange(kd.get_internal_breakpoint(at), kd.internal_breakpoint_reply, 1, 41, 7, 12, 340,
                  5120)
    link.ask(kd.plain(0x315A))
    link.exchange(kd.set_special_call(KERNEL_BASE + 0x123450), kd.reply)
    link.exchange(kd.query_special_calls(), kd.special_calls_reply,
                  [KERNEL_BASE + 0x123450, KERNEL_BASE + 0x123460])
    link.exchange(kd.plain(0x3141), kd.reply)


def _rare_requests(link: Link) -> None:
    link.exchange(kd.write_control_space(2, special_registers(dr0=BREAKPOINT_AT, dr7=0x20001)),
                  kd.written, 0xE0)
    link.exchange(kd.plain(0x3159), kd.reply)
    link.exchange(kd.page_in(DRIVER_BASE + 0x8000), kd.refused)
    link.exchange(kd.switch_partition(1), kd.refused)
    unknown = {"kd.expert.unknown_api": True}
    asked = link.ask(kd.request(0x31F7), unknown)
    link.answer(asked, kd.refused(asked.message), unknown)


def _rare_messages(link: Link) -> None:
    link.target(ev.print_trace(pseudo_random("trace", 24)))
    asked = link.target(ev.control_request(0x4300, 2))
    link.answer(asked, ev.control_answer(asked.message, True))
    released = link.target(ev.control_request(0x4301, 2))
    link.answer(released, ev.control_answer(released.message, True))
    # The print says 400 bytes and carries 30.
    link.target(ev.print_string("a length that is not the text\n", stated_length=400),
                {"kd.text": OPEN, "kd.expert.length": True})
    link.target(ev.exception(kd.BREAKPOINT, BREAKPOINT_AT, report(b"\x90" * 4, flags=1), (0,),
                             alternate=True, **CPU))


# --- cuts


def serial_cuts() -> Story:
    """The bytes of serial-session, in records cut without regard to packets."""
    whole = serial_session()
    story = Story("serial-cuts", "The bytes of serial-session cut anywhere, also to one byte.",
                  same_packets_as="serial-session.json")
    line = story.interface("kd-demo", "COM1, 115200 baud", speed=115200)
    sizes = pseudo_random("cuts", 4096)
    for sender, data in _runs(whole):
        while data:
            size = sizes[0]
            sizes = sizes[1:] + sizes[:1]
            # One in four records is a single byte, the others 2 to 193.
            size = 1 if size % 4 == 0 else 2 + size // 4 * 3
            from_target = sender == TARGET
            story.record(sender, upper_pdu(data[:size], from_target), line,
                         INBOUND if from_target else OUTBOUND).titles.append("bytes")
            data = data[size:]
    return story


def _runs(story: Story) -> list[tuple[str, bytes]]:
    """What each end sent until the other did."""
    prefix = len(upper_pdu(b"", True))
    runs: list[tuple[str, bytes]] = []
    for sender, data in story.payloads():
        if runs and runs[-1][0] == sender:
            runs[-1] = sender, runs[-1][1] + data[prefix:]
        else:
            runs.append((sender, data[prefix:]))
    return runs


STORIES = (serial_session, serial_requests, serial_cuts)
