# sources.cmake - the engine's sources, for every build that contains it.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# Sets KDA_ENGINE_SOURCES to absolute paths. They need lib/kd's frame.c and link.c besides.
set(KDA_ENGINE_SOURCES
    breakpoints.c
    engine.c
    images.c
    messages.c
    report.c
    req_breakpoint.c
    req_context.c
    req_io.c
    req_memory.c
    req_version.c
    requests.c
    resume.c
    wire.c)
list(TRANSFORM KDA_ENGINE_SOURCES PREPEND "${CMAKE_CURRENT_LIST_DIR}/")
