# demo.py - the machines the stories are about: addresses, registers, memory contents.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""An AMD64 machine that does not exist. Its numbers differ, so that none is taken for another."""

import struct

from kdmachine import AMD64, Block, context, report_amd64, special
from kdwire import place

KERNEL_BASE = 0xFFFFF8013F000000
KERNEL_SIZE = 0x00AB7000
KERNEL_CHECKSUM = 0x00945A1C
KERNEL_PATH = "\\SystemRoot\\system32\\ntoskrnl.exe"
ENTRY = KERNEL_BASE + 0x3F1230  # where the load event stops
BREAKPOINT_AT = KERNEL_BASE + 0x215000
MODULE_LIST = KERNEL_BASE + 0x8523F0
DATA_LIST = KERNEL_BASE + 0x8A1B20
DATA_BLOCK = KERNEL_BASE + 0x80EE90
THREAD = 0xFFFFC7855C3A1080
THREAD_1 = 0xFFFFC7855C4B2080

DRIVER_BASE = 0xFFFFF80142310000
DRIVER_SIZE = 0x0001D000
DRIVER_CHECKSUM = 0x0001F3C2
DRIVER_PATH = "\\SystemRoot\\system32\\drivers\\kddemo.sys"

VERSION = dict(major=0x000F, build=19041, protocol=6, secondary=2, flags=0x47, machine=AMD64,
               max_packet_type=12, max_state_change=3, max_manipulate=0x33, simulation=0,
               kern_base=KERNEL_BASE, module_list=MODULE_LIST, data_list=DATA_LIST)

CODE_ENTRY = bytes.fromhex("cc4889e54883ec20488b0dd5a2110033")
CODE_BREAKPOINT = bytes.fromhex("488bc44889580848896810488970184c")
CODE_STEP = bytes.fromhex("4889580848896810488970184c897820")
CODE_FAULT = bytes.fromhex("8b014883c10489024883c2044883e801")

CPU = dict(processors=2, thread=THREAD)


def report(code: bytes, **values: int) -> Block:
    return report_amd64(code, **values)


def registers(**values: int) -> Block:
    """A full CONTEXT: control, integer, segments, floating point."""
    base = dict(flags=0x10000F, mxcsr=0x1F80, cs=0x10, ds=0x2B, es=0x2B, fs=0x53, gs=0x2B,
                ss=0x18, eflags=0x246, rax=0x1111, rcx=0x2222, rdx=0x3333, rbx=0x4444,
                rsp=0xFFFFF80142E5F6A8, rbp=0xFFFFF80142E5F7B0, rsi=0x5555, rdi=0x6666, r8=0x8888,
                r9=0x9999, r10=0xAAAA, r11=0xBBBB, r12=0xCCCC, r13=0xDDDD, r14=0xEEEE, r15=0xFFFF,
                rip=ENTRY, dr7=0x400)
    return context(AMD64, **(base | values))


def special_registers(**values: int) -> Block:
    base = dict(cr0=0x80050033, cr2=0xFFFFF68000001000, cr3=0x1AD000, cr4=0x3506F8, dr6=0xFFFF0FF0,
                dr7=0x400, gdtr_limit=0x57, gdtr_base=0xFFFFF80142E50FB0, idtr_limit=0xFFF,
                idtr_base=0xFFFFF80142E4F000, tr=0x40, mxcsr=0x1F80, cr8=0xF,
                msr_gs_base=0xFFFFF8013C1F5000, msr_star=0x23001000000000,
                msr_lstar=KERNEL_BASE + 0x406C00, msr_syscall_mask=0x4700, xcr0=7)
    return special(AMD64, **(base | values))


def list_head(forward: int, backward: int) -> bytes:
    return struct.pack("<QQ", forward, backward)


def image_header() -> bytes:
    """The first 0x148 bytes of a PE32+ image: DOS header, signature, file and optional header."""
    dos = place(0x40, (0, "2s", b"MZ"), (0x3C, "I", 0x40), fill=bytes(0x40))
    file_header = struct.pack("<HHIIIHH", AMD64, 3, 0x65A0C0DE, 0, 0, 0xF0, 0x22)
    optional = place(0xF0, (0, "H", 0x20B), (16, "I", 0x1230), (24, "Q", DRIVER_BASE),
                     (32, "II", 0x1000, 0x200), (56, "II", DRIVER_SIZE, 0x400),
                     (64, "IHH", DRIVER_CHECKSUM, 1, 0), (108, "I", 16), fill=bytes(0xF0))
    return dos + b"PE\0\0" + file_header + optional


def debugger_data() -> bytes:
    """The first 0x58 bytes of KDDEBUGGER_DATA64: the header and the fields up to 0x058."""
    head = place(0x18, (0, "QQ", DATA_BLOCK, DATA_BLOCK), (16, "4sI", b"KDBG", 0x3A8))
    fields = struct.pack("<QQQ4HQQQQ", KERNEL_BASE, KERNEL_BASE + 0x3F6B10, 0, 0x128, 0x2B8, 0x10,
                         1, KERNEL_BASE + 0x402A10, KERNEL_BASE + 0x402D40, MODULE_LIST,
                         KERNEL_BASE + 0x852120)
    return head + fields


DEBUGGER_DATA_FACTS = {"kd.kdbg.flink": DATA_BLOCK, "kd.kdbg.blink": DATA_BLOCK,
                       "kd.kdbg.tag": "KDBG", "kd.kdbg.size": 0x3A8}
