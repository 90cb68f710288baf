# sources.cmake - the sources of a program that catches exceptions: KDA_RT_SOURCES.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# Include directories: uefi-agent/rt/include and lib/image/include. Unwind tables must be made for
# all of it (-funwind-tables): exceptions pass through these functions.
set(KDA_RT_SOURCES
    cxx.c
    dispatch.c
    eh_x64.S
    fault.c
    images.c
    seh.c
    throw.c)
list(TRANSFORM KDA_RT_SOURCES PREPEND "${CMAKE_CURRENT_LIST_DIR}/")
set(rt_image_sources
    eh_cxx3.c
    eh_cxx4.c
    eh_tables.c
    epilogue.c
    image.c
    names.c
    unwind.c
    unwind_table.c
    walk.c)
list(TRANSFORM rt_image_sources PREPEND "${CMAKE_CURRENT_LIST_DIR}/../../lib/image/src/")
list(APPEND KDA_RT_SOURCES ${rt_image_sources})
