# wireshark-tree.cmake - the plugin as a part of Wireshark's own build; docs/windows.md says how.
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Included by CMakeLists.txt, which has set `sources`. No target of this project exists here: the
# libraries are compiled into the plugin. Names in capitals are Wireshark's.
include(WiresharkPlugin)

set(libraries "${CMAKE_CURRENT_SOURCE_DIR}/../lib")
if(NOT EXISTS "${libraries}/kd/include/kd/protocol.h")
    message(FATAL_ERROR "kdlens: ${libraries} is missing. Put the whole repository into "
                        "Wireshark's source tree, not the folder plugin/ alone.")
endif()
file(STRINGS "${libraries}/../CMakeLists.txt" version REGEX "^project\\(kdlens VERSION ")
string(REGEX MATCH "([0-9]+)\\.([0-9]+)\\.([0-9]+)" version "${version}")
set_module_info(kdlens ${CMAKE_MATCH_1} ${CMAKE_MATCH_2} ${CMAKE_MATCH_3} 0)

file(GLOB library_sources CONFIGURE_DEPENDS
     "${libraries}/kd/src/*.c"
     "${libraries}/analysis/src/findings.c"
     "${libraries}/analysis/src/kdnet*.c"
     "${libraries}/analysis/src/carve.c"
     "${libraries}/analysis/src/list.c"
     "${libraries}/analysis/src/memory*.c"
     "${libraries}/analysis/src/model*.c"
     "${libraries}/analysis/src/session.c"
     "${libraries}/analysis/src/store.c"
     "${libraries}/image/src/*.c")
if(WIN32)
    list(APPEND library_sources "${libraries}/analysis/src/spill_windows.c")
else()
    list(APPEND library_sources "${libraries}/analysis/src/spill_posix.c")
endif()
set(PLUGIN_FILES ${sources} ${library_sources})
add_wireshark_plugin_library(kdlens epan)
target_compile_definitions(kdlens PRIVATE
                           VERSION="${version}"
                           $<$<BOOL:${HAVE_SSIZE_T}>:HAVE_SSIZE_T>)
target_include_directories(kdlens PRIVATE
                           "${libraries}/kd/include"
                           "${libraries}/analysis/include"
                           "${libraries}/image/include")
target_include_directories(kdlens SYSTEM PRIVATE ${GCRYPT_INCLUDE_DIRS})
if(NOT MSVC)
    # A parameter named like the type `address` is no fault.
    target_compile_options(kdlens PRIVATE -Wno-shadow)
endif()
target_link_libraries(kdlens epan ${GCRYPT_LIBRARIES})
install_plugin(kdlens epan)
