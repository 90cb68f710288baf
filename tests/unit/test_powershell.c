/* test_powershell.c - PowerShell scripts: names stay names, encoding.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdlib.h>

#include "check.h"
#include "powershell.h"

static struct script script;

/* The script without what stands around every one. */
static const char *literal_of(const char *name)
{
    static struct script empty;

    script_begin(&empty);
    script_begin(&script);
    script_add(&script, "%q", name);
    return script.text + empty.size;
}

static void check_script(bool expected)
{
    struct problem problem;

    CHECK_EQ_U64(script_check(&script, &problem), expected);
}

static void names_are_literal(void)
{
    CHECK_EQ_STR(literal_of("target"), "'target'");
    CHECK_EQ_STR(literal_of("Windows 11 (debug)"), "'Windows 11 (debug)'");
    CHECK_EQ_STR(literal_of("a'b"), "'a''b'");
    CHECK_EQ_STR(literal_of("'; Stop-Computer; '"), "'''; Stop-Computer; '''");
    CHECK_EQ_STR(literal_of("$(Stop-Computer) `\"$x\" %q %s"), "'$(Stop-Computer) `\"$x\" %q %s'");
    CHECK_EQ_STR(literal_of(""), "''");
    CHECK_EQ_STR(literal_of("\xc3\xbc\xe4\xb8\xad\xf0\x9f\x90\x9e"),
                 "'\xc3\xbc\xe4\xb8\xad\xf0\x9f\x90\x9e'");
    check_script(true);
}

/* These end a PowerShell string, too. */
static void other_quotes_are_doubled(void)
{
    CHECK_EQ_STR(literal_of("a\xe2\x80\x98"
                            "b\xe2\x80\x99"
                            "c\xe2\x80\x9a"
                            "d\xe2\x80\x9b"),
                 "'a\xe2\x80\x98\xe2\x80\x98"
                 "b\xe2\x80\x99\xe2\x80\x99"
                 "c\xe2\x80\x9a\xe2\x80\x9a"
                 "d\xe2\x80\x9b\xe2\x80\x9b'");
    CHECK_EQ_STR(literal_of("\xe2\x80\x9c\xe2\x80\x9d"), "'\xe2\x80\x9c\xe2\x80\x9d'");
}

static void what_is_no_text_is_refused(void)
{
    static const char *const wrong[] = {
        "a\nb",         "a\rb",         "\x1b[0m",         "\x7f",
        "\xff",         "\xc3",         "\xc3(",           "\xc0\xa7",
        "\xe0\x80\xa7", "\xed\xa0\x80", "\xf4\x90\x80\x80"};

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        literal_of(wrong[i]);
        check_script(false);
    }
}

static void what_is_too_long_is_refused(void)
{
    static char name[POWERSHELL_SCRIPT_MAX + 1];

    memset(name, 'x', sizeof name - 1);
    literal_of(name);
    check_script(false);
    CHECK(strlen(script.text) == script.size && script.size < sizeof script.text);
}

static void identifiers_are_known(void)
{
    char id[POWERSHELL_ID_SIZE];

    CHECK(powershell_is_id("12345678-9abc-DEF0-1234-56789abcdef0", id));
    CHECK_EQ_STR(id, "12345678-9abc-DEF0-1234-56789abcdef0");
    CHECK(powershell_is_id("{12345678-9abc-DEF0-1234-56789abcdef0}", id));
    CHECK_EQ_STR(id, "12345678-9abc-DEF0-1234-56789abcdef0");
    CHECK(!powershell_is_id("{12345678-9abc-DEF0-1234-56789abcdef0", id));
    CHECK(!powershell_is_id("12345678-9abc-DEF0-1234-56789abcdef0}", id));
    CHECK(!powershell_is_id("12345678-9abc-DEF0-1234-56789abcdef", id));
    CHECK(!powershell_is_id("12345678-9abc-DEF0-1234-56789abcdefg", id));
    CHECK(!powershell_is_id("target", id));
    CHECK(!powershell_is_id("", id));
}

static void check_encoded(const char *text, const char *expected)
{
    static char out[SCRIPT_ENCODED_SIZE];

    script.size = strlen(text);
    memcpy(script.text, text, script.size + 1);
    script_encode(&script, out, sizeof out);
    CHECK_EQ_STR(out, expected);
}

/* Expected: base64 of UTF-16LE. */
static void encodes(void)
{
    check_encoded("", "");
    check_encoded("a", "YQA=");
    check_encoded("ab", "YQBiAA==");
    check_encoded("abc", "YQBiAGMA");
    check_encoded("dir\n", "ZABpAHIACgA=");
    check_encoded("\xc3\xbc\xe2\x82\xac", "/ACsIA==");
    check_encoded("\xf0\x9f\x90\x9e", "Pdge3A==");
}

static void the_longest_script_can_be_encoded(void)
{
    static char out[SCRIPT_ENCODED_SIZE];

    script.size = sizeof script.text - 1;
    memset(script.text, 'a', script.size);
    script.text[script.size] = '\0';
    script_encode(&script, out, sizeof out);
    CHECK_EQ_U64(strlen(out), (script.size * 2 + 2) / 3 * 4);
    CHECK(strlen(out) < 32767 - 200);
}

static void machines_are_found_by_whole_names(void)
{
    script_begin(&script);
    script_machine(&script, "web*");
    CHECK(strstr(script.text, "$name = 'web*'\n") != NULL);
    CHECK(strstr(script.text, "$_.Name -eq $name") != NULL);
    CHECK(strstr(script.text, "-like") == NULL && strstr(script.text, "Get-VM -Name") == NULL);
    script_begin(&script);
    script_machine(&script, "{12345678-9abc-def0-1234-56789abcdef0}");
    CHECK(strstr(script.text, "$name = '12345678-9abc-def0-1234-56789abcdef0'\n") != NULL);
    CHECK(strstr(script.text, "$_.Id -eq $name") != NULL);
}

static void reasons_are_one_line(void)
{
    char errors[] = "\r\nthere is no virtual machine x\r\nmore\r\n", nothing[] = " \r\n";
    struct process_result result = {.status = 1, .errors = errors};
    struct problem problem;

    script_reason(&result, &problem);
    CHECK_EQ_STR(problem.text, "there is no virtual machine x");
    result.errors = nothing;
    script_reason(&result, &problem);
    CHECK_EQ_STR(problem.text, "PowerShell ended with exit status 1");
}

KD_TEST_MAIN({"names are literal strings", names_are_literal},
             {"all of PowerShell's single quotes are doubled", other_quotes_are_doubled},
             {"what is no text is refused", what_is_no_text_is_refused},
             {"what is too long is refused", what_is_too_long_is_refused},
             {"identifiers are known", identifiers_are_known}, {"scripts are encoded", encodes},
             {"the longest script can be encoded", the_longest_script_can_be_encoded},
             {"machines are found by whole names", machines_are_found_by_whole_names},
             {"reasons are one line", reasons_are_one_line})
