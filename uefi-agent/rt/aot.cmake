# aot.cmake - the sources of a program with managed code: KDA_AOT_SOURCES; and their host build.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# Include directories: uefi-agent/rt/include and lib/image/include. aot_modules.c is for images that
# lld-link or Microsoft's linker makes; others pass the header's place to rt_aot_start.
set(KDA_AOT_SOURCES
    aot_dispatch.c
    aot_heap.c
    aot_modules.c
    aot_start.c
    aot_x64.S)
list(TRANSFORM KDA_AOT_SOURCES PREPEND "${CMAKE_CURRENT_LIST_DIR}/")
set(aot_image_sources
    aot_dispatch.c
    aot_header.c
    aot_hydrate.c
    aot_names.c
    aot_read.c
    aot_symbol.c
    aot_type.c
    image.c
    unwind_table.c)
list(TRANSFORM aot_image_sources PREPEND "${CMAKE_CURRENT_LIST_DIR}/../../lib/image/src/")
list(APPEND KDA_AOT_SOURCES ${aot_image_sources})

# Shows that the sources are fit for this machine's compiler, too.
if(UNIX AND CMAKE_SYSTEM_PROCESSOR STREQUAL "x86_64")
    enable_language(ASM)
    set(sources ${KDA_AOT_SOURCES})
    list(FILTER sources EXCLUDE REGEX "lib/image/src|aot_modules")
    add_library(kdaot STATIC ${sources})
    target_include_directories(kdaot PUBLIC include)
    target_link_libraries(kdaot PUBLIC kdimage PRIVATE kdlens_warnings)
    target_compile_options(kdaot PRIVATE -ffreestanding)
endif()
