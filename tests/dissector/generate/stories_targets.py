# stories_targets.py - targets that are no AMD64: x86, ARM64, and the 32-bit protocol.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""x86-session, arm64-session, state-change32."""

import struct

import kdevents as ev
import kdwire as kd
from kdmachine import ARM64, X86, context, report_arm64, report_x86, special
from kdscript import OPEN, Link, SerialLine, Story, pseudo_random

SIGN = 0xFFFFFFFF00000000  # 32-bit targets sign-extend addresses

# --- x86

X86_BASE = SIGN | 0x804D7000
X86_BREAK = SIGN | 0x80526FC8
X86_CPU = dict(thread=SIGN | 0x82BC3830)
X86_VERSION = dict(major=0x000F, build=2600, protocol=6, secondary=0, flags=3, machine=X86,
                   max_packet_type=12, max_state_change=3, max_manipulate=0x2D, simulation=0,
                   kern_base=X86_BASE, module_list=SIGN | 0x80553FC0, data_list=SIGN | 0x80677EF4)


def x86_registers(**values: int):
    base = dict(flags=0x10007, gs=0, fs=0x30, es=0x23, ds=0x23, edi=0x80553FC0, esi=0x806D12D0,
                ebx=0x1111, edx=0x2222, ecx=0x3333, eax=1, ebp=0x80548A10, eip=0x80526FC8, cs=8,
                eflags=0x246, esp=0x805489F4, ss=0x10)
    return context(X86, **(base | values))


def x86_session() -> Story:
    story = Story("x86-session", "A 32-bit target: sign-extended addresses, x86 registers.")
    link = Link(SerialLine(story, "kd-x86"))
    link.target(ev.load_symbols("\\WINDOWS\\system32\\ntoskrnl.exe", X86_BASE, 0x215000, 0x21BDE0,
                                X86_BREAK, report_x86(b"\xcc\xc2\x04\0"), process=0xFFFFFFFF,
                                **X86_CPU))
    link.exchange(kd.get_version(), kd.version_reply, **X86_VERSION)
    block = struct.pack("<I", 0x8054CF60)
    link.exchange(kd.read_virtual(SIGN | 0x80677EF4, 4), kd.data_reply, block)
    # On 32-bit targets the list pointers have 4 bytes and zeros follow.
    header = struct.pack("<IIII4sI", 0x8054CF60, 0x8054CF60, 0, 0, b"KDBG", 0x290)
    link.exchange(kd.read_virtual(SIGN | 0x8054CF60, 24), kd.data_reply, header,
                  facts={"kd.kdbg.tag": "KDBG", "kd.kdbg.size": 0x290})
    link.exchange(kd.get_context_ex(0, 0x2CC), kd.refused)
    link.exchange(kd.get_context(), kd.context_reply, x86_registers())
    registers = special(X86, cr0=0x8001003B, cr2=0xE1234000, cr3=0x39000, cr4=0x6D9, dr6=0xFFFF0FF0,
                        dr7=0x400, gdtr_limit=0x3FF, gdtr_base=0x8003F000, idtr_limit=0x7FF,
                        idtr_base=0x8003F400, tr=0x28)
    link.exchange(kd.read_control_space(0x2CC, 0x54), kd.data_reply, registers.data,
                  facts=registers.facts)
    link.exchange(kd.write_control_space(0x2CC, registers), kd.written, 0x54)
    link.exchange(kd.set_context(x86_registers(eip=0x80526FC9)), kd.reply)
    link.exchange(kd.write_breakpoint(SIGN | 0x805B1234), kd.breakpoint_reply, 1)
    link.ask(kd.continue2_x86(kd.CONTINUE))
    link.target(ev.exception(kd.BREAKPOINT, SIGN | 0x805B1234,
                             report_x86(bytes.fromhex("8bff558bec83ec10a1b4f255")), (0,),
                             **X86_CPU))
    link.ask(kd.continue2_x86(kd.HANDLED, trace=True))
    link.target(ev.exception(kd.SINGLE_STEP, SIGN | 0x805B1236,
                             report_x86(bytes.fromhex("558bec83ec10"), eflags=0x302), **X86_CPU))
    link.ask(kd.continue2_x86(kd.HANDLED))
    link.target(ev.exception(kd.ACCESS_VIOLATION, SIGN | 0xF8A51032, report_x86(b"\x8b\x01"),
                             (0, SIGN | 0xE1234000), **X86_CPU))
    link.exchange(kd.restore_breakpoint(1), kd.reply)
    link.ask(kd.continue2_x86(kd.NOT_HANDLED))
    return story


# --- ARM64

ARM64_BASE = 0xFFFFF80261600000
ARM64_CPU = dict(processors=4, thread=0xFFFFB58C3D2E5080)
ARM64_VERSION = dict(major=0x000F, build=22621, protocol=6, secondary=0, flags=0x47, machine=ARM64,
                     max_packet_type=12, max_state_change=3, max_manipulate=0x33, simulation=0,
                     kern_base=ARM64_BASE, module_list=ARM64_BASE + 0xC2D120,
                     data_list=ARM64_BASE + 0xC19B08)


def arm64_registers(**values: int):
    base = {f"x{n}": 0xA64000 + n for n in range(29)}
    base |= dict(flags=0x400007, cpsr=0x60000305, fp=0xFFFFF80266A4F5D0, lr=ARM64_BASE + 0x2F1A08,
                 sp=0xFFFFF80266A4F5B0, pc=ARM64_BASE + 0x3FE2A0, fpcr=0x2000000, fpsr=0x10)
    return context(ARM64, **(base | values))


def arm64_session() -> Story:
    story = Story("arm64-session", "An ARM64 target.")
    link = Link(SerialLine(story, "kd-arm64"))
    at = ARM64_BASE + 0x3FE2A0
    code = bytes.fromhex("00003ed4c0035fd6fd7bbfa9fd030091")  # brk #0xF000; ret; ...
    link.target(ev.load_symbols("\\SystemRoot\\system32\\ntoskrnl.exe", ARM64_BASE, 0x1046000,
                                0xA1B2C3, at, report_arm64(code, 0x60000305), **ARM64_CPU),
                {"kd.report.cpsr": OPEN, "kd.report.count": OPEN, "kd.report.instructions": OPEN,
                 "kd.report.dr7": OPEN, "kd.report.cs": OPEN})  # the machine is not known yet
    link.exchange(kd.get_version(), kd.version_reply, **ARM64_VERSION)
    link.exchange(kd.get_context_ex(0, 0x390), kd.context_ex_reply, 0x390, arm64_registers().data,
                  arm64_registers().facts)
    link.exchange(kd.get_context(), kd.context_reply, arm64_registers())
    registers = special(ARM64, elr=at, spsr=0x60000305, tpidr_el0=0x1234,
                        tpidr_el1=0xFFFFF8024C8B2000)
    link.exchange(kd.read_control_space(2, 0xA0), kd.data_reply, registers.data,
                  facts=registers.facts)
    link.exchange(kd.write_control_space(2, registers), kd.written, 0xA0)
    link.exchange(kd.read_msr(0x30200), kd.msr_reply, 0x0000000081EF0000)  # TTBR0_EL1
    link.exchange(kd.set_context(arm64_registers(pc=at + 4)), kd.reply)
    link.exchange(kd.read_virtual(at, 16), kd.data_reply, code)
    link.exchange(kd.write_breakpoint(ARM64_BASE + 0x215000), kd.breakpoint_reply, 1)
    link.ask(kd.continue2_arm64(kd.CONTINUE))
    code = bytes.fromhex("fd7bbea9f30b00f9fd030091f30300aa")
    link.target(ev.exception(kd.BREAKPOINT, ARM64_BASE + 0x215000, report_arm64(code, 0x20000305),
                             (0,), **ARM64_CPU))
    link.ask(kd.continue2_arm64(kd.HANDLED, trace=True))
    link.target(ev.exception(kd.SINGLE_STEP, ARM64_BASE + 0x215004,
                             report_arm64(code[4:] + b"\x1f\x20\x03\xd5", 0x20200305), **ARM64_CPU))
    link.ask(kd.continue2_arm64(kd.HANDLED))
    return story


# --- the 32-bit protocol


def request32(api: int, *union, echo: dict, absent: tuple = (), data: bytes = b"") -> kd.Message:
    """DBGKD_MANIPULATE_STATE32: a header of 12 bytes, the union of 40, data at 52."""
    payload = kd.place(12, (0, "IHHI", api, 3, 0, kd.PENDING)) + kd.place(40, *union) + data
    facts = {"kd.api": api, "kd.processor_level": 3, "kd.status": None} | echo
    facts |= {name: None for name in absent}
    message = kd.Message(kd.STATE_MANIPULATE, payload, kd.API_NAMES[api], facts)
    message.echo = {"kd.api": api, "kd.processor_level": 3} | echo
    return message


def reply32(to: kd.Message, *union, facts: dict, data: bytes = b"",
            status: int = kd.SUCCESS) -> kd.Message:
    payload = (kd.place(12, (8, "I", status), fill=to.payload[:12])
               + kd.place(40, *union, fill=to.payload[12:52]) + data)
    return kd.Message(kd.STATE_MANIPULATE, payload, to.title,
                      to.echo | {"kd.status": status} | facts)


def read_virtual32(address: int, count: int) -> kd.Message:
    return request32(0x3130, (0, "II", address, count), absent=("kd.actual",),
                     echo={"kd.address": address, "kd.count": count})


def data_reply32(to: kd.Message, data: bytes) -> kd.Message:
    return reply32(to, (8, "I", len(data)), data=data,
                   facts={"kd.actual": len(data), "kd.data": data})


def version_reply32(to: kd.Message) -> kd.Message:
    """DBGKD_GET_VERSION32; where MachineType lies is not certain, so it is not stated."""
    return reply32(to, (0, "HHHH", 0x000F, 1381, 2, 1), (8, "II", 0x80100000, 0x8014D6E8),
                   (16, "H", X86),
                   facts={"kd.version.major": 0x000F, "kd.version.build": 1381,
                          "kd.version.protocol": 2, "kd.version.flags": 1,
                          "kd.version.kern_base": 0x80100000,
                          "kd.version.module_list": 0x8014D6E8, "kd.version.machine": OPEN})


def state_change32() -> Story:
    story = Story("state-change32", "The protocol before version 5: STATE_CHANGE32.")
    link = Link(SerialLine(story, "kd-nt4"))
    registers = x86_registers(eip=0x80138F4A)
    link.target(ev.exception32(kd.BREAKPOINT, 0x80138F4A, report_x86(b"\xcc\xc3"), registers, (0,),
                               thread=0x8025E020, machine_known=False))
    link.exchange(request32(0x3146, echo={}, absent=("kd.version.build",)), version_reply32)
    link.exchange(read_virtual32(0x8014D6E8, 8), data_reply32, pseudo_random("list", 8))
    link.exchange(request32(0x3134, (0, "I", 0x80116C40), absent=("kd.handle",),
                            echo={"kd.address": 0x80116C40}),
                  reply32, (4, "I", 1), facts={"kd.handle": 1})
    link.exchange(request32(0x3139, (0, "II", 1, 0x3F8), absent=(),
                            echo={"kd.io.size": 1, "kd.port": 0x3F8}),
                  reply32, (8, "I", 0x0D), facts={"kd.io.value": 0x0D})
    link.ask(request32(0x3136, (0, "I", kd.HANDLED), echo={"kd.continue_status": kd.HANDLED}))
    fault = x86_registers(eip=0x80116C40, ecx=0x14)
    link.target(ev.exception32(kd.ACCESS_VIOLATION, 0x80116C40, report_x86(b"\x8b\x01\x40\xc3"),
                               fault, (0, 0x14), thread=0x8025E020))
    link.ask(request32(0x3136, (0, "I", kd.NOT_HANDLED),
                       echo={"kd.continue_status": kd.NOT_HANDLED}))
    return story


STORIES = (x86_session, arm64_session, state_change32)
