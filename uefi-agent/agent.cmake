# agent.cmake - the sources of kdagent.efi besides the engine's.
# SPDX-License-Identifier: BSD-2-Clause-Patent
set(KDA_AGENT_SOURCES
    arch/x64/context.c
    arch/x64/dispatch.c
    arch/x64/entry.S
    arch/x64/exceptions.c
    arch/x64/guard.S
    arch/x64/idt.c
    arch/x64/memory.c
    arch/x64/safe.S
    arch/x64/special.c
    arch/x64/target.c
    efi/agent.c
    efi/config_file.c
    efi/console.c
    efi/fault_handler.c
    efi/guard.c
    efi/handlers.c
    efi/hotkey.c
    efi/leave.c
    efi/libc.c
    efi/line.c
    efi/main.c
    efi/mcfg.c
    efi/modules.c
    efi/names.c
    efi/next.c
    efi/options.c
    efi/pe.c
    efi/protocol.c
    efi/publish.c
    efi/ranges.c
    efi/stack.c
    efi/start_image.c
    efi/text.c
    efi/ticks.c
    efi/trace_file.c
    efi/vmbus_line.c
    hv/channel.c
    hv/hyperv.c
    hv/trace.c
    hv/vmbus.c
    transport/pci_serial.c
    transport/uart16550.c
    transport/vmbus_pipe.c)
list(TRANSFORM KDA_AGENT_SOURCES PREPEND "${CMAKE_CURRENT_LIST_DIR}/")
# lib/image's, for headers and call stacks.
set(agent_image_sources
    aot_header.c
    aot_names.c
    aot_read.c
    aot_symbol.c
    epilogue.c
    image.c
    names.c
    place.c
    unwind.c
    unwind_table.c
    walk.c)
list(TRANSFORM agent_image_sources PREPEND "${CMAKE_CURRENT_LIST_DIR}/../lib/image/src/")
list(APPEND KDA_AGENT_SOURCES ${agent_image_sources})
