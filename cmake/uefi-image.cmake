# uefi-image.cmake - images for x86-64 UEFI firmware, built beside the programs of this machine.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# kdlens_uefi_image(NAME SUBSYSTEM efi_... ENTRY function SOURCES ... [INCLUDES ...] [OPTIONS ...])
#   builds NAME.efi and NAME.pdb in the current build folder; target NAME_image.
#
# The compiler is called directly: a project has one C toolchain in CMake, and that is this
# machine's. Two builds of the same sources are byte-identical wherever they are made: the compiler
# writes its command line into the objects, so that names sources only through a link "src" in the
# folder it runs in, and the linker's time stamps are hashes (/Brepro).

find_program(KDLENS_UEFI_CLANG NAMES clang)
find_program(KDLENS_UEFI_LINK NAMES lld-link)

set(KDLENS_UEFI_FLAGS
    --target=x86_64-unknown-windows-msvc -std=c11 -O2 -g -gcodeview
    -ffreestanding -fshort-wchar -fno-stack-protector -funwind-tables
    -mno-red-zone             # an exception handler runs on the program's stack
    -mno-stack-arg-probe      # all of the stack is there
    -ffile-prefix-map=src/= -ffile-compilation-dir=.
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla -Wcast-align
    $<$<BOOL:${KDLENS_WERROR}>:-Werror>)

function(kdlens_uefi_image NAME)
    cmake_parse_arguments(PARSE_ARGV 1 IMAGE "" "SUBSYSTEM;ENTRY" "SOURCES;INCLUDES;OPTIONS")
    set(folder "${NAME}.dir")
    set(objects "")
    set(includes "")
    foreach(path IN LISTS IMAGE_INCLUDES)
        cmake_path(ABSOLUTE_PATH path BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" NORMALIZE)
        file(RELATIVE_PATH name "${PROJECT_SOURCE_DIR}" "${path}")
        list(APPEND includes "-Isrc/${name}")
    endforeach()
    file(MAKE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}/${folder}")
    file(CREATE_LINK "${PROJECT_SOURCE_DIR}" "${CMAKE_CURRENT_BINARY_DIR}/src" SYMBOLIC)
    foreach(source IN LISTS IMAGE_SOURCES)
        cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" NORMALIZE)
        file(RELATIVE_PATH name "${PROJECT_SOURCE_DIR}" "${source}")
        string(REPLACE "/" "_" object "${name}")
        set(object "${folder}/${object}.obj")
        set(flags ${KDLENS_UEFI_FLAGS})
        if(source MATCHES "\\.S$")
            # CodeView knows no assembler; DWARF would go into the image.
            list(REMOVE_ITEM flags -g -gcodeview)
        endif()
        get_source_file_property(own "${source}" COMPILE_OPTIONS)
        if(NOT own)
            set(own "")
        endif()
        add_custom_command(
            OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/${object}"
            COMMAND "${KDLENS_UEFI_CLANG}" ${flags} ${own} ${IMAGE_OPTIONS} ${includes}
                    -MD -MF "${object}.d" -MT "${object}" -c "src/${name}" -o "${object}"
            DEPENDS "${source}"
            DEPFILE "${CMAKE_CURRENT_BINARY_DIR}/${object}.d"
            WORKING_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}"
            COMMENT "Building ${NAME}.efi: ${name}"
            COMMAND_EXPAND_LISTS VERBATIM)
        list(APPEND objects "${object}")
    endforeach()
    list(TRANSFORM objects PREPEND "${CMAKE_CURRENT_BINARY_DIR}/" OUTPUT_VARIABLE depends)
    add_custom_command(
        OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/${NAME}.efi" "${CMAKE_CURRENT_BINARY_DIR}/${NAME}.pdb"
        COMMAND "${KDLENS_UEFI_LINK}" /nologo /nodefaultlib "/subsystem:${IMAGE_SUBSYSTEM}"
                "/entry:${IMAGE_ENTRY}" /opt:ref /opt:icf /debug /Brepro "/pdb:${NAME}.pdb"
                "/pdbaltpath:${NAME}.pdb" "/pdbsourcepath:." "/out:${NAME}.efi" ${objects}
        COMMAND Python3::Interpreter "${PROJECT_SOURCE_DIR}/cmake/pe_checksum.py" "${NAME}.efi"
        DEPENDS ${depends} "${PROJECT_SOURCE_DIR}/cmake/pe_checksum.py"
        WORKING_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}"
        COMMENT "Linking ${NAME}.efi"
        COMMAND_EXPAND_LISTS VERBATIM)
    add_custom_target(${NAME}_image ALL DEPENDS "${CMAKE_CURRENT_BINARY_DIR}/${NAME}.efi"
                                                "${CMAKE_CURRENT_BINARY_DIR}/${NAME}.pdb")
endfunction()
