# kdwire.py - KD packets and messages as bytes, each with the facts a decoder must show.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""Independent encoder of the KD protocol, written from the protocol reference.

Offsets are typed from the reference and share nothing with lib/kd. A message is its bytes plus
facts: display filter -> value, taken from the parameters and never from the bytes. A value of None
says that the field must not be shown, because this direction leaves its bytes undefined. Bytes that
the protocol does not define are filled with JUNK, as stale stack fills them on real lines.
"""

import struct
from dataclasses import dataclass, field

from kdmachine import Block

DATA_LEADER, CONTROL_LEADER = b"0000", b"iiii"
TRAILER = b"\xaa"
BREAKIN = b"\x62"

STATE_CHANGE32, STATE_MANIPULATE, DEBUG_IO, ACKNOWLEDGE, RESEND, RESET = 1, 2, 3, 4, 5, 6
STATE_CHANGE64, TRACE_IO, CONTROL_REQUEST, FILE_IO = 7, 9, 10, 11
CONTROL_TYPES = (ACKNOWLEDGE, RESEND, RESET)

SUCCESS, PENDING = 0x00000000, 0x00000103
HANDLED, CONTINUE, NOT_HANDLED = 0x00010001, 0x00010002, 0x80010001
BREAKPOINT, SINGLE_STEP, WAKE_SYSTEM_DEBUGGER = 0x80000003, 0x80000004, 0x80000007
NO_MORE_ENTRIES = 0x8000001A
UNSUCCESSFUL, ACCESS_VIOLATION, NO_SUCH_FILE = 0xC0000001, 0xC0000005, 0xC000000F
INVALID_HANDLE = 0xC0000008

API_NAMES = {
    0x3130: "ReadVirtualMemory", 0x3131: "WriteVirtualMemory", 0x3132: "GetContext",
    0x3133: "SetContext", 0x3134: "WriteBreakPoint", 0x3135: "RestoreBreakPoint",
    0x3136: "Continue", 0x3137: "ReadControlSpace", 0x3138: "WriteControlSpace",
    0x3139: "ReadIoSpace", 0x313A: "WriteIoSpace", 0x313B: "Reboot", 0x313C: "Continue2",
    0x313D: "ReadPhysicalMemory", 0x313E: "WritePhysicalMemory", 0x313F: "QuerySpecialCalls",
    0x3140: "SetSpecialCall", 0x3141: "ClearSpecialCalls", 0x3142: "SetInternalBreakPoint",
    0x3143: "GetInternalBreakPoint", 0x3144: "ReadIoSpaceExtended",
    0x3145: "WriteIoSpaceExtended", 0x3146: "GetVersion", 0x3147: "WriteBreakPointEx",
    0x3148: "RestoreBreakPointEx", 0x3149: "CauseBugCheck", 0x3150: "SwitchProcessor",
    0x3151: "PageIn", 0x3152: "ReadMachineSpecificRegister",
    0x3153: "WriteMachineSpecificRegister", 0x3156: "SearchMemory", 0x3157: "GetBusData",
    0x3158: "SetBusData", 0x3159: "CheckLowMemory", 0x315A: "ClearAllInternalBreakpoints",
    0x315B: "FillMemory", 0x315C: "QueryMemory", 0x315D: "SwitchPartition",
    0x315E: "WriteCustomBreakpoint", 0x315F: "GetContextEx", 0x3160: "SetContextEx",
}


@dataclass
class Message:
    """The payload of one data packet."""

    type: int
    payload: bytes
    title: str
    facts: dict = field(default_factory=dict)
    echo: dict = field(default_factory=dict)  # request: facts that its reply repeats


def junk(size: int) -> bytes:
    """Undefined bytes."""
    return (bytes.fromhex("188bc57b01f8ffffc1bafe5f") * (size // 12 + 1))[:size]


def place(size: int, *values, fill: bytes | None = None) -> bytes:
    """size bytes with (offset, struct format, value...) put into fill, by default into junk."""
    block = bytearray(junk(size) if fill is None else fill)
    assert len(block) == size
    for offset, layout, *value in values:
        struct.pack_into("<" + layout, block, offset, *value)
    return bytes(block)


def packet(kind: int, packet_id: int, payload: bytes = b"", trailer: bytes = TRAILER,
           checksum: int | None = None) -> bytes:
    """A packet; trailer b"" as on KDNET. checksum overrides the right one."""
    leader = CONTROL_LEADER if kind in CONTROL_TYPES else DATA_LEADER
    total = sum(payload) if checksum is None else checksum
    header = leader + struct.pack("<HHII", kind, len(payload), packet_id, total)
    return header + payload + (b"" if kind in CONTROL_TYPES else trailer)


# --- manipulate requests and replies


def request(api: int, *union, echo: dict | None = None, only: dict | None = None,
            absent: tuple = (), data: bytes = b"", processor: int = 0, level: int = 0,
            status: int = PENDING, fill: bytes | None = None) -> Message:
    """A STATE_MANIPULATE request.

    union: values at offsets of the union, as for place(). echo: facts that hold in request and
    reply; only: facts of the request; absent: fields that only the reply defines. fill: 56 bytes
    for what nothing defines.
    """
    fill = fill or junk(56)
    union_bytes = place(40, *union, fill=fill[16:])
    header = place(16, (0, "IHHI", api, level, processor, status), fill=fill[:16])
    facts = {"kd.api": api, "kd.processor": processor, "kd.status": None}
    facts |= (echo or {}) | (only or {}) | {name: None for name in absent}
    message = Message(STATE_MANIPULATE, header + union_bytes + data,
                      API_NAMES.get(api, f"api {api:#x}"), facts)
    message.echo = {"kd.api": api, "kd.processor": processor} | (echo or {})
    return message


def reply(to: Message, *union, status: int = SUCCESS, facts: dict | None = None,
          data: bytes = b"") -> Message:
    """The reply to a request: its header and union come back, with these values put over them."""
    header = place(16, (8, "I", status), fill=to.payload[:16])
    union_bytes = place(40, *union, fill=to.payload[16:56])
    shown = to.echo | {"kd.status": status} | (facts or {})
    return Message(STATE_MANIPULATE, header + union_bytes + data, to.title, shown)


def _memory(api: int, name: str, address: int, count: int, actual: int | None, data: bytes,
            processor: int = 0) -> Message:
    union = [(0, "Q", address), (8, "I", count)] + ([] if actual is None else [(12, "I", actual)])
    return request(api, *union, echo={name: address, "kd.count": count}, absent=("kd.actual",),
                   data=data, processor=processor)


def read_virtual(address: int, count: int) -> Message:
    return _memory(0x3130, "kd.address", address, count, None, b"")


def write_virtual(address: int, data: bytes) -> Message:
    message = _memory(0x3131, "kd.address", address, len(data), None, data)
    message.facts["kd.data"] = data
    return message


def read_physical(address: int, count: int, caching: int = 0) -> Message:
    message = _memory(0x313D, "kd.physical_address", address, count, caching, b"")
    message.facts["kd.caching"] = caching
    return message


def write_physical(address: int, data: bytes, caching: int = 0) -> Message:
    message = _memory(0x313E, "kd.physical_address", address, len(data), caching, data)
    message.facts |= {"kd.caching": caching, "kd.data": data}
    return message


def read_control_space(selector: int, count: int, processor: int = 0) -> Message:
    return _memory(0x3137, "kd.control_space", selector, count, None, b"", processor)


def write_control_space(selector: int, block: Block) -> Message:
    message = _memory(0x3138, "kd.control_space", selector, len(block.data), None, block.data)
    message.facts |= block.facts
    return message


def data_reply(to: Message, data: bytes, status: int = SUCCESS, facts: dict | None = None):
    """Reply of a read, with bytes."""
    shown = {"kd.actual": len(data)} | (facts if facts is not None else {"kd.data": data})
    return reply(to, (12, "I", len(data)), status=status, data=data, facts=shown)


def written(to: Message, actual: int, status: int = SUCCESS) -> Message:
    """Reply of a write, without bytes."""
    return reply(to, (12, "I", actual), status=status, facts={"kd.actual": actual})


def refused(to: Message, status: int = UNSUCCESSFUL) -> Message:
    """A failing reply that fills nothing. It has no bytes, so fields of the reply are open."""
    facts = {} if "kd.count" not in to.echo else {"kd.actual": 0}
    union = [(12, "I", 0)] if facts else []
    return reply(to, *union, status=status, facts=facts | {"kd.expert.status": True})


def get_context(processor: int = 0) -> Message:
    return request(0x3132, (0, "I", 0), processor=processor)


def set_context(block: Block) -> Message:
    return request(0x3133, (0, "I", 0), only=block.facts, data=block.data)


def context_reply(to: Message, block: Block) -> Message:
    return reply(to, facts=block.facts, data=block.data)


def get_context_ex(offset: int, count: int) -> Message:
    return request(0x315F, (0, "II", offset, count), echo={"kd.context.offset": offset},
                   only={"kd.context.byte_count": count}, absent=("kd.context.bytes_copied",))


def context_ex_reply(to: Message, whole: int, part: bytes, facts: dict) -> Message:
    """ByteCount comes back as the size of the whole CONTEXT and the status stays as it was."""
    shown = {"kd.context.total": whole, "kd.context.bytes_copied": len(part)} | facts
    return reply(to, (4, "II", whole, len(part)), status=PENDING, data=part, facts=shown)


def set_context_ex(offset: int, part: bytes, whole: int, facts: dict) -> Message:
    only = {"kd.context.total": whole, "kd.context.bytes_copied": None} | facts
    return request(0x3160, (0, "III", offset, len(part), whole), data=part, only=only,
                   echo={"kd.context.offset": offset, "kd.context.byte_count": len(part)})


def write_breakpoint(address: int) -> Message:
    return request(0x3134, (0, "Q", address), echo={"kd.address": address}, absent=("kd.handle",))


def breakpoint_reply(to: Message, handle: int) -> Message:
    return reply(to, (8, "I", handle), facts={"kd.handle": handle})


def restore_breakpoint(handle: int) -> Message:
    return request(0x3135, (0, "I", handle), echo={"kd.handle": handle})


def write_breakpoints(addresses: list[int], continue_status: int = CONTINUE) -> Message:
    data = b"".join(place(16, (0, "Q", address)) for address in addresses)
    return request(0x3147, (0, "II", len(addresses), continue_status), data=data,
                   echo={"kd.breakpoints": len(addresses), "kd.address": addresses},
                   only={"kd.continue_status": continue_status}, absent=("kd.handle",))


def breakpoints_reply(to: Message, handles: list[int]) -> Message:
    """The array comes back with the handles filled."""
    data = b"".join(place(16, (8, "I", handle), fill=to.payload[56 + 16 * i:72 + 16 * i])
                    for i, handle in enumerate(handles))
    return reply(to, data=data, facts={"kd.handle": handles})


def restore_breakpoints(handles: list[int], continue_status: int = CONTINUE) -> Message:
    data = struct.pack(f"<{len(handles)}I", *handles)
    return request(0x3148, (0, "II", len(handles), continue_status), data=data,
                   echo={"kd.breakpoints": len(handles)},
                   only={"kd.continue_status": continue_status, "kd.handle": handles})


def continue_plain(status: int) -> Message:
    return request(0x3136, (0, "I", status), only={"kd.continue_status": status})


def continue2_amd64(status: int, trace: bool = False, dr7: int = 0x400, start: int = 1,
                    end: int = 0) -> Message:
    return request(0x313C, (0, "IIQQQ", status, trace, dr7, start, end),
                   only={"kd.continue_status": status, "kd.trace": int(trace), "kd.dr7": dr7,
                         "kd.symbol_start": start, "kd.symbol_end": end})


def continue2_x86(status: int, trace: bool = False, dr7: int = 0x400) -> Message:
    return request(0x313C, (0, "IIIII", status, trace, dr7, 1, 0),
                   only={"kd.continue_status": status, "kd.trace": int(trace), "kd.dr7": dr7,
                         "kd.symbol_start": 1, "kd.symbol_end": 0})


def continue2_arm64(status: int, trace: bool = False) -> Message:
    return request(0x313C, (0, "IIIQQ", status, 0, trace, 1, 0),
                   only={"kd.continue_status": status, "kd.trace": int(trace), "kd.dr7": None,
                         "kd.symbol_start": 1, "kd.symbol_end": 0})


def read_io(port: int, size: int) -> Message:
    return request(0x3139, (0, "QI", port, size), echo={"kd.port": port, "kd.io.size": size},
                   absent=("kd.io.value",))


def write_io(port: int, size: int, value: int) -> Message:
    return request(0x313A, (0, "QII", port, size, value),
                   echo={"kd.port": port, "kd.io.size": size, "kd.io.value": value})


def io_reply(to: Message, value: int) -> Message:
    return reply(to, (12, "I", value), facts={"kd.io.value": value})


def _extended_io(size: int, interface: int, bus: int, space: int, port: int) -> tuple:
    union = [(0, "IIIIQ", size, interface, bus, space, port)]
    return union, {"kd.io.size": size, "kd.io.interface": interface, "kd.io.bus": bus,
                   "kd.io.space": space, "kd.port": port}


def read_io_extended(size: int, interface: int, bus: int, space: int, port: int) -> Message:
    union, echo = _extended_io(size, interface, bus, space, port)
    return request(0x3144, *union, echo=echo, absent=("kd.io.value",))


def write_io_extended(size: int, interface: int, bus: int, space: int, port: int,
                      value: int) -> Message:
    union, echo = _extended_io(size, interface, bus, space, port)
    return request(0x3145, *union, (24, "I", value), echo=echo | {"kd.io.value": value})


def io_extended_reply(to: Message, value: int) -> Message:
    return reply(to, (24, "I", value), facts={"kd.io.value": value})


def read_msr(number: int) -> Message:
    return request(0x3152, (0, "I", number), echo={"kd.msr": number},
                   absent=("kd.msr.low", "kd.msr.high"))


def write_msr(number: int, value: int) -> Message:
    return request(0x3153, (0, "IQ", number, value),
                   echo={"kd.msr": number, "kd.msr.low": value & 0xFFFFFFFF,
                         "kd.msr.high": value >> 32})


def msr_reply(to: Message, value: int) -> Message:
    return reply(to, (4, "Q", value), facts={"kd.msr.low": value & 0xFFFFFFFF,
                                             "kd.msr.high": value >> 32})


def search_memory(address: int, length: int, pattern: bytes) -> Message:
    return request(0x3156, (0, "QQI", address, length, len(pattern)), data=pattern,
                   echo={"kd.search.length": length, "kd.pattern_length": len(pattern)},
                   only={"kd.address": address, "kd.found": None, "kd.pattern": pattern})


def found(to: Message, address: int) -> Message:
    return reply(to, (0, "Q", address), facts={"kd.found": address, "kd.address": None})


def fill_memory(address: int, length: int, pattern: bytes, flags: int = 1) -> Message:
    return request(0x315B, (0, "QIHH", address, length, flags, len(pattern)), data=pattern,
                   echo={"kd.address": address, "kd.fill.length": length, "kd.fill.flags": flags,
                         "kd.fill.pattern_length": len(pattern)},
                   only={"kd.pattern": pattern})


def query_memory(address: int) -> Message:
    return request(0x315C, (0, "QQI", address, 0, 0), echo={"kd.address": address},
                   absent=("kd.query.space", "kd.query.flags"))


def query_reply(to: Message, space: int, flags: int) -> Message:
    return reply(to, (16, "II", space, flags),
                 facts={"kd.query.space": space, "kd.query.flags": flags})


def _bus_data(api: int, slot: int, offset: int, length: int, data: bytes) -> Message:
    pci, bus = 4, 0
    return request(api, (0, "IIIII", pci, bus, slot, offset, length), data=data,
                   echo={"kd.bus.type": pci, "kd.bus.number": bus, "kd.bus.slot": slot,
                         "kd.bus.offset": offset},
                   only={"kd.bus.length": length} | ({"kd.data": data} if data else {}))


def get_bus_data(slot: int, offset: int, length: int) -> Message:
    return _bus_data(0x3157, slot, offset, length, b"")


def set_bus_data(slot: int, offset: int, data: bytes) -> Message:
    return _bus_data(0x3158, slot, offset, len(data), data)


def bus_data_reply(to: Message, length: int, data: bytes = b"") -> Message:
    facts = {"kd.bus.length": length} | ({"kd.data": data} if data else {})
    return reply(to, (16, "I", length), data=data, facts=facts)


def query_special_calls() -> Message:
    return request(0x313F, (0, "I", 0), absent=("kd.special_calls",))


def special_calls_reply(to: Message, calls: list[int]) -> Message:
    return reply(to, (0, "I", len(calls)), data=struct.pack(f"<{len(calls)}Q", *calls),
                 facts={"kd.special_calls": len(calls)})


def set_special_call(address: int) -> Message:
    return request(0x3140, (0, "Q", address), only={"kd.address": address})


def set_internal_breakpoint(address: int, flags: int) -> Message:
    return request(0x3142, (0, "QI", address, flags),
                   echo={"kd.address": address, "kd.internal.flags": flags})


INTERNAL_COUNTERS = ("kd.internal.flags", "kd.internal.calls", "kd.internal.max_calls",
                     "kd.internal.min_instructions", "kd.internal.max_instructions",
                     "kd.internal.total_instructions")


def get_internal_breakpoint(address: int) -> Message:
    return request(0x3143, (0, "Q", address), echo={"kd.address": address},
                   absent=INTERNAL_COUNTERS)


def internal_breakpoint_reply(to: Message, *counters: int) -> Message:
    """Flags, calls, most calls a period, fewest, most and all instructions."""
    return reply(to, (8, "6I", *counters), facts=dict(zip(INTERNAL_COUNTERS, counters)))


def write_custom_breakpoint(address: int, instruction: int, size: int, alignment: int) -> Message:
    return request(0x315E, (0, "QQ", address, instruction), (20, "BB", size, alignment),
                   echo={"kd.address": address, "kd.custom.instruction": instruction,
                         "kd.custom.size": size, "kd.custom.alignment": alignment},
                   absent=("kd.handle",))


def custom_breakpoint_reply(to: Message, handle: int) -> Message:
    return reply(to, (16, "I", handle), facts={"kd.handle": handle})


def page_in(address: int) -> Message:
    return request(0x3151, (0, "QI", address, CONTINUE), echo={"kd.address": address},
                   only={"kd.continue_status": CONTINUE})


def cause_bugcheck(code: int) -> Message:
    return request(0x3149, (0, "I", code), only={"kd.bugcheck": code})


def switch_processor(processor: int) -> Message:
    return request(0x3150, processor=processor)


def switch_partition(partition: int) -> Message:
    return request(0x315D, (0, "I", partition), echo={"kd.partition": partition})


def plain(api: int) -> Message:
    """A request without parameters: Reboot, CheckLowMemory, ClearSpecialCalls..."""
    return request(api)


VERSION_FIELDS = (  # name, offset, format
    ("major", 0, "H"), ("build", 2, "H"), ("protocol", 4, "B"), ("secondary", 5, "B"),
    ("flags", 6, "H"), ("machine", 8, "H"), ("max_packet_type", 10, "B"),
    ("max_state_change", 11, "B"), ("max_manipulate", 12, "B"), ("simulation", 13, "B"),
    ("kern_base", 16, "Q"), ("module_list", 24, "Q"), ("data_list", 32, "Q"))


def get_version() -> Message:
    return request(0x3146, absent=("kd.version.major", "kd.version.build", "kd.version.machine",
                                   "kd.version.kern_base"))


def version_reply(to: Message, **values: int) -> Message:
    """GetVersion64, every field of it."""
    union = [(offset, layout, values[name]) for name, offset, layout in VERSION_FIELDS]
    return reply(to, *union, facts={f"kd.version.{name}": value for name, value in values.items()})
