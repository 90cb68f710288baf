# aot.cmake - tests of NativeAOT metadata and of the managed runtime; included by CMakeLists.txt.
# SPDX-License-Identifier: BSD-2-Clause-Patent
#
# aot_images fetches packages with npm, aot_fixtures needs KDLENS_FIXTURES, aot_fixtures and aot_own
# compile and link applications for firmware (clang, lld-link) and start them here and in QEMU;
# aot_csharp compiles C# with the .NET SDK and a NuGet package. What is missing is said, and the
# test skipped.
add_executable(aot_dump aot_dump.c imagefile.c)
target_link_libraries(aot_dump PRIVATE kdimage kdlens_warnings)
set(aot_environment "AOT_DUMP=$<TARGET_FILE:aot_dump>")
if(TARGET run_pe)
    list(APPEND aot_environment "KDLENS_RUN_PE=$<TARGET_FILE:run_pe>")
endif()

function(kd_aot_test NAME label)
    add_test(NAME rt.aot_${NAME}
             COMMAND ${Python3_EXECUTABLE} -B "${CMAKE_CURRENT_SOURCE_DIR}/test_aot_${NAME}.py")
    set_tests_properties(rt.aot_${NAME} PROPERTIES
                         LABELS "${label}"
                         TIMEOUT 1500
                         SKIP_RETURN_CODE 77
                         ENVIRONMENT "${aot_environment}")
endfunction()

kd_aot_test(images rt)
if(TARGET run_pe)
    kd_aot_test(fixtures "rt;boot")
    kd_aot_test(own "rt;boot")
    kd_aot_test(csharp "rt;boot")
endif()
