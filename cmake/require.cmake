# require.cmake - what to say when a dependency is missing.
# SPDX-License-Identifier: BSD-2-Clause-Patent

# kdlens_missing(what package options): stop, naming the Debian package to install and the options
# that do without it.
function(kdlens_missing WHAT PACKAGE OPTIONS)
    message(FATAL_ERROR
            "${WHAT} not found.\n"
            "Install the Debian package ${PACKAGE}, or leave this part out with ${OPTIONS}.")
endfunction()
