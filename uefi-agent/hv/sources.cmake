# sources.cmake - the VMBus client's sources that need no hypervisor, for every build that has it.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# Sets KDA_VMBUS_SOURCES to absolute paths. They need lib/kd's pipe_link.c, ring.c and vmbus.c.
set(KDA_VMBUS_SOURCES
    hv/channel.c
    hv/trace.c
    hv/vmbus.c
    transport/vmbus_pipe.c)
list(TRANSFORM KDA_VMBUS_SOURCES PREPEND "${CMAKE_CURRENT_LIST_DIR}/../")
