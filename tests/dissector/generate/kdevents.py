# kdevents.py - messages the target starts: state changes, debug, trace and file I/O.
# SPDX-License-Identifier: BSD-2-Clause-Patent
"""State changes, prints, prompts, file requests..., and what the debugger answers to them.

Written from the protocol reference, like kdwire.py, whose Message they make.
"""

import struct

from kdmachine import Block
from kdwire import (ACCESS_VIOLATION, CONTROL_REQUEST, DEBUG_IO, FILE_IO, STATE_CHANGE32,
                    STATE_CHANGE64, SUCCESS, TRACE_IO, Message, place)

EXCEPTION, LOAD_SYMBOLS, COMMAND_STRING, ALTERNATE = 0x3030, 0x3031, 0x3032, 0x10000
KERNEL_PROCESS = 0xFFFFFFFFFFFFFFFF
REBOOT = 0xFFFFFFFFFFFFFFFF  # BaseOfDll of an unload: the machine goes away


def _state_change(state: int, union: bytes, report: Block, facts: dict, title: str, pc: int,
                  strings: bytes = b"", processor: int = 0, processors: int = 1,
                  thread: int = 0) -> Message:
    """DBGKD_ANY_WAIT_STATE_CHANGE: 240 bytes, then strings."""
    head = place(32, (0, "IHHI", state, 0, processor, processors), (16, "QQ", thread, pc))
    control = report.data.ljust(48, b"\0")
    shown = {"kd.state": state, "kd.processor": processor, "kd.processors": processors,
             "kd.thread": thread, "kd.pc": pc} | facts | report.facts
    return Message(STATE_CHANGE64, head + union + control + strings, title, shown)


def _exception_facts(code: int, address: int, flags: int, record: int, parameters: tuple,
                     first_chance: bool) -> dict:
    facts = {"kd.exception.code": code, "kd.exception.flags": flags,
             "kd.exception.record": record, "kd.exception.address": address,
             "kd.exception.parameters": len(parameters),
             "kd.exception.information": list(parameters) or None,
             "kd.exception.first_chance": int(first_chance)}
    if code == ACCESS_VIOLATION:
        facts |= {"kd.exception.access": parameters[0],
                  "kd.exception.access_address": parameters[1]}
    return facts


def exception(code: int, address: int, report: Block, parameters: tuple = (),
              first_chance: bool = True, flags: int = 0, record: int = 0, pc: int | None = None,
              alternate: bool = False, **cpu: int) -> Message:
    """An exception; cpu: processor, processors, thread."""
    union = place(160, (0, "IIQQI", code, flags, record, address, len(parameters)),
                  (32, f"{len(parameters)}Q", *parameters), (152, "I", first_chance))
    facts = _exception_facts(code, address, flags, record, parameters, first_chance)
    state = EXCEPTION | (ALTERNATE if alternate else 0)
    return _state_change(state, union, report, facts, f"exception {code:08X}",
                         address if pc is None else pc, **cpu)


def load_symbols(path: str, base: int, size: int, checksum: int, pc: int, report: Block,
                 process: int = KERNEL_PROCESS, unload: bool = False, **cpu: int) -> Message:
    """A module came or, with unload, went."""
    name = path.encode("ascii") + b"\0" if path else b""
    union = place(160, (0, "I", len(name)), (8, "QQIIB", base, process, checksum, size, unload))
    facts = {"kd.module.path_length": len(name), "kd.module.base": base,
             "kd.module.process": process, "kd.module.checksum": checksum, "kd.module.size": size,
             "kd.module.unload": int(unload), "kd.module.path": path or None}
    title = f"{'unload' if unload else 'load'} {path or hex(base)}"
    return _state_change(LOAD_SYMBOLS, union, report, facts, title, pc, strings=name, **cpu)


def command_string(component: str, text: str, pc: int, report: Block, flags: int = 0,
                   **cpu: int) -> Message:
    """The target asks the debugger to run a command."""
    strings = component.encode() + b"\0" + text.encode() + b"\0"
    union = place(160, (0, "II7Q", flags, 0, *([0] * 7)))
    facts = {"kd.command.flags": flags, "kd.command.component": component,
             "kd.command.text": text}
    return _state_change(COMMAND_STRING, union, report, facts, f"command {text!r}", pc,
                         strings=strings, **cpu)


def exception32(code: int, address: int, report: Block, context: Block, parameters: tuple = (),
                first_chance: bool = True, thread: int = 0, machine_known: bool = True) -> Message:
    """STATE_CHANGE32: 20 bytes, the union, then control report and CONTEXT."""
    head = struct.pack("<IHHIII", EXCEPTION, 3, 0, 1, thread, address)
    union = place(84, (0, "IIIII", code, 0, 0, address, len(parameters)),
                  (20, f"{len(parameters)}I", *parameters), (80, "I", first_chance))
    facts = {"kd.state": EXCEPTION, "kd.processor_level": 3, "kd.processor": 0,
             "kd.processors": 1, "kd.thread": thread, "kd.pc": address}
    facts |= _exception_facts(code, address, 0, 0, parameters, first_chance)
    if machine_known:
        facts |= report.facts | context.facts
    return Message(STATE_CHANGE32, head + union + report.data + context.data,
                   f"exception {code:08X}", facts)


# --- debug I/O, trace I/O, control request


def print_string(text: str, processor: int = 0, stated_length: int | None = None) -> Message:
    """DbgPrint. stated_length overrides the length field."""
    length = len(text) if stated_length is None else stated_length
    payload = place(16, (0, "IHHI", 0x3230, 0, processor, length)) + text.encode("ascii")
    return Message(DEBUG_IO, payload, f"print {text!r}",
                   {"kd.debug_io": 0x3230, "kd.processor": processor, "kd.string_length": length,
                    "kd.text": text})


def prompt(text: str, room: int, processor: int = 0) -> Message:
    """DbgPrompt."""
    payload = place(16, (0, "IHHII", 0x3231, 0, processor, len(text), room)) + text.encode("ascii")
    return Message(DEBUG_IO, payload, f"prompt {text!r}",
                   {"kd.debug_io": 0x3231, "kd.processor": processor,
                    "kd.prompt_length": len(text), "kd.string_max": room,
                    "kd.string_length": None, "kd.prompt": text})


def answer(to: Message, text: str) -> Message:
    """What was typed at a prompt; its NUL counts."""
    typed = text.encode("ascii") + b"\0"
    payload = place(16, (12, "I", len(typed)), fill=to.payload[:16]) + typed
    return Message(DEBUG_IO, payload, f"answer {text!r}",
                   {"kd.debug_io": 0x3231, "kd.prompt_length": to.facts["kd.prompt_length"],
                    "kd.string_length": len(typed), "kd.string_max": None, "kd.answer": text})


def print_trace(data: bytes, processor: int = 0) -> Message:
    payload = place(64, (0, "IHHI", 0x3330, 0, processor, len(data))) + data
    return Message(TRACE_IO, payload, "trace",
                   {"kd.trace_io": 0x3330, "kd.processor": processor,
                    "kd.data_length": len(data), "kd.trace.data": data})


def control_request(api: int, number: int) -> Message:
    payload = place(12, (0, "II", api, number))
    return Message(CONTROL_REQUEST, payload, "hardware breakpoint request",
                   {"kd.control_request": api, "kd.hardware_breakpoint": number,
                    "kd.available": None})


def control_answer(to: Message, available: bool) -> Message:
    payload = place(12, (8, "I", available), fill=to.payload)
    return Message(CONTROL_REQUEST, payload, "hardware breakpoint answer",
                   to.facts | {"kd.available": int(available)})


# --- file I/O


def _file(api: int, title: str, *union, facts: dict, data: bytes = b"") -> Message:
    payload = place(64, (0, "I", api), *union) + data
    return Message(FILE_IO, payload, title, {"kd.file_io": api, "kd.status": None} | facts)


def create_file(path: str, access: int = 0x00120089, attributes: int = 0x80, share: int = 1,
                disposition: int = 1, options: int = 0) -> Message:
    return _file(0x3430, f"create {path}",
                 (8, "IIIII", access, attributes, share, disposition, options),
                 data=path.encode("utf-16-le") + b"\0\0",
                 facts={"kd.file.access": access, "kd.file.attributes": attributes,
                        "kd.file.share": share, "kd.file.disposition": disposition,
                        "kd.file.options": options, "kd.file.path": path,
                        "kd.file.handle": None, "kd.file.size": None})


def read_file(handle: int, offset: int, length: int) -> Message:
    return _file(0x3431, "read file", (8, "QQI", handle, offset, length),
                 facts={"kd.file.handle": handle, "kd.file.offset": offset,
                        "kd.file.length": length})


def write_file(handle: int, offset: int, data: bytes) -> Message:
    return _file(0x3432, "write file", (8, "QQI", handle, offset, len(data)), data=data,
                 facts={"kd.file.handle": handle, "kd.file.offset": offset,
                        "kd.file.length": len(data), "kd.file.data": data})


def close_file(handle: int) -> Message:
    return _file(0x3433, "close file", (8, "Q", handle), facts={"kd.file.handle": handle})


def file_reply(to: Message, *union, status: int = SUCCESS, facts: dict | None = None,
               data: bytes = b"") -> Message:
    """The debugger's answer: the 64 bytes come back with these values put over them."""
    payload = place(64, (4, "I", status), *union, fill=to.payload[:64]) + data
    shown = {"kd.file_io": to.facts["kd.file_io"], "kd.status": status} | (facts or {})
    if status & 0xC0000000 == 0xC0000000:
        shown["kd.expert.status"] = True
    return Message(FILE_IO, payload, f"answer: {to.title}", shown)


def created(to: Message, handle: int, size: int) -> Message:
    return file_reply(to, (32, "QQ", handle, size),
                      facts={"kd.file.handle": handle, "kd.file.size": size})


def file_data(to: Message, data: bytes) -> Message:
    return file_reply(to, (24, "I", len(data)), data=data,
                      facts={"kd.file.length": len(data), "kd.file.data": data})


def file_written(to: Message, length: int) -> Message:
    return file_reply(to, (24, "I", length), facts={"kd.file.length": length})
