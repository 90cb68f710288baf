# warnings.cmake - the warnings every target is built with.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# kdlens_warnings is for our own code; kdlens_warnings_epan is the same without the two that macros
# of Wireshark's headers set off wherever they are expanded.

add_library(kdlens_warnings_epan INTERFACE)
target_compile_options(kdlens_warnings_epan INTERFACE
                       -Wall -Wextra -Wshadow -Wvla -Wcast-align
                       $<$<BOOL:${KDLENS_WERROR}>:-Werror>)

add_library(kdlens_warnings INTERFACE)
target_link_libraries(kdlens_warnings INTERFACE kdlens_warnings_epan)
target_compile_options(kdlens_warnings INTERFACE -Wpedantic -Wconversion)
