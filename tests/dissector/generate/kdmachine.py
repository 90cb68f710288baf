# kdmachine.py - register files: CONTEXT, special registers and control reports of each machine.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Blocks of registers as bytes, each with its facts, written from the protocol reference."""

import struct
from dataclasses import dataclass

AMD64, X86, ARM64 = 0x8664, 0x014C, 0xAA64


@dataclass
class Block:
    """Bytes and the facts they show."""

    data: bytes
    facts: dict


def _run(names: str, offset: int, layout: str) -> dict:
    """Registers that follow one another."""
    size = struct.calcsize("<" + layout)
    return {name: (offset + i * size, layout) for i, name in enumerate(names.split())}


CONTEXT_AMD64 = (
    _run("flags mxcsr", 0x30, "I") | _run("cs ds es fs gs ss", 0x38, "H")
    | _run("eflags", 0x44, "I")
    | _run("dr0 dr1 dr2 dr3 dr6 dr7", 0x48, "Q")
    | _run("rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15 rip", 0x78, "Q"))

CONTEXT_X86 = (
    _run("flags dr0 dr1 dr2 dr3 dr6 dr7", 0x00, "I")
    | _run("gs fs es ds edi esi ebx edx ecx eax ebp eip cs eflags esp ss", 0x8C, "I"))

CONTEXT_ARM64 = (
    _run("flags cpsr", 0x000, "I")
    | _run(" ".join(f"x{n}" for n in range(29)) + " fp lr sp pc", 0x008, "Q")
    | _run("fpcr fpsr", 0x310, "I"))

CONTEXTS = {AMD64: (CONTEXT_AMD64, 0x4D0), X86: (CONTEXT_X86, 0x2CC), ARM64: (CONTEXT_ARM64, 0x390)}

SPECIAL_AMD64 = (
    _run("cr0 cr2 cr3 cr4 dr0 dr1 dr2 dr3 dr6 dr7", 0x00, "Q")
    | {"gdtr.limit": (0x56, "H"), "gdtr.base": (0x58, "Q"),
       "idtr.limit": (0x66, "H"), "idtr.base": (0x68, "Q")}
    | _run("tr ldtr", 0x70, "H") | _run("mxcsr", 0x74, "I")
    | _run("debug_control last_branch_to_rip last_branch_from_rip last_exception_to_rip"
           " last_exception_from_rip cr8 msr_gs_base msr_gs_swap msr_star msr_lstar msr_cstar"
           " msr_syscall_mask xcr0", 0x78, "Q"))

SPECIAL_X86 = (
    _run("cr0 cr2 cr3 cr4 dr0 dr1 dr2 dr3 dr6 dr7", 0x00, "I")
    | {"gdtr.limit": (0x2A, "H"), "gdtr.base": (0x2C, "I"),
       "idtr.limit": (0x32, "H"), "idtr.base": (0x34, "I")}
    | _run("tr ldtr", 0x38, "H"))

SPECIAL_ARM64 = (
    _run("elr", 0x00, "Q") | _run("spsr", 0x08, "I")
    | _run("tpidr_el0 tpidrro_el0 tpidr_el1", 0x10, "Q"))

SPECIALS = {AMD64: (SPECIAL_AMD64, 0xE0), X86: (SPECIAL_X86, 0x54), ARM64: (SPECIAL_ARM64, 0xA0)}


def _fill(table: dict, size: int, prefix: str, values: dict) -> Block:
    block = bytearray(size)
    unknown = values.keys() - table.keys()
    assert not unknown, unknown
    facts = {}
    for name, (offset, layout) in table.items():
        value = values.get(name, 0)
        struct.pack_into("<" + layout, block, offset, value)
        facts[prefix + name] = value
    return Block(bytes(block), facts)


def context(machine: int, **values: int) -> Block:
    """CONTEXT; registers not given are 0."""
    table, size = CONTEXTS[machine]
    return _fill(table, size, "kd.context.", values)


def special(machine: int, **values: int) -> Block:
    """The special registers a debugger reads from control space; gdtr_base for gdtr.base."""
    table, size = SPECIALS[machine]
    dotted = {name.replace("dtr_", "dtr."): value for name, value in values.items()}
    return _fill(table, size, "kd.special.", dotted)


def report_amd64(code: bytes, dr6: int = 0xFFFF0FF0, dr7: int = 0x400, eflags: int = 0x202,
                 flags: int = 3, cs: int = 0x10, ds: int = 0x2B, es: int = 0x2B,
                 fs: int = 0x53) -> Block:
    stream = code.ljust(16, b"\0")
    data = struct.pack("<QQIHH16s4H", dr6, dr7, eflags, len(code), flags, stream, cs, ds, es, fs)
    return Block(data, {
        "kd.report.dr6": dr6, "kd.report.dr7": dr7, "kd.report.eflags": eflags,
        "kd.report.count": len(code), "kd.report.flags": flags, "kd.report.instructions": stream,
        "kd.report.cs": cs, "kd.report.ds": ds, "kd.report.es": es, "kd.report.fs": fs})


def report_x86(code: bytes, dr6: int = 0xFFFF0FF0, dr7: int = 0x400, eflags: int = 0x202,
               flags: int = 3, cs: int = 8, ds: int = 0x23, es: int = 0x23,
               fs: int = 0x30) -> Block:
    stream = code.ljust(16, b"\0")
    data = struct.pack("<IIHH16s4HI", dr6, dr7, len(code), flags, stream, cs, ds, es, fs, eflags)
    return Block(data, {
        "kd.report.dr6": dr6, "kd.report.dr7": dr7, "kd.report.eflags": eflags,
        "kd.report.count": len(code), "kd.report.flags": flags, "kd.report.instructions": stream,
        "kd.report.cs": cs, "kd.report.ds": ds, "kd.report.es": es, "kd.report.fs": fs})


def report_arm64(code: bytes, cpsr: int) -> Block:
    stream = code.ljust(16, b"\0")
    return Block(struct.pack("<II16s", cpsr, len(code), stream), {
        "kd.report.cpsr": cpsr, "kd.report.count": len(code), "kd.report.instructions": stream,
        "kd.report.dr7": None, "kd.report.cs": None})
