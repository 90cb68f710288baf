/* test_options.c - the agent's settings and the texts they are made of.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * What is expected is what docs/agent.md promises; byte values of UTF-8 and UTF-16 are those of
 * the Unicode standard's own examples.
 */
#include "options.h"

#include "check.h"
#include "text.h"

#define UNITS(text) text, sizeof(text) / sizeof((text)[0])

static struct kda_options defaults(void)
{
    struct kda_options options;

    kda_options_default(&options);
    return options;
}

/* ASCII load options. */
static bool load(struct kda_options *options, const char *text)
{
    uint16_t units[3000];
    size_t count = 0;

    for (; text[count]; count++)
        units[count] = (uint8_t)text[count];
    units[count++] = 0;
    return kda_options_load(options, units, count);
}

static bool file(struct kda_options *options, const char *text)
{
    return kda_options_file(options, "\\kdagent.cfg", (const uint8_t *)text, strlen(text));
}

static void nothing_given(void)
{
    struct kda_options options = defaults();

    CHECK(load(&options, ""));
    CHECK(load(&options, "   "));
    CHECK(load(&options, "kdagent.efi"));
    CHECK(load(&options, "FS0:\\tools\\kdagent.efi  "));
    CHECK(file(&options, ""));
    CHECK_EQ_U64(options.port, KDA_PORT_IO);
    CHECK_EQ_U64(options.io_base, 0x3F8);
    CHECK_EQ_U64(options.baud, 115200);
    CHECK_EQ_U64(options.major, 0x040F);
    CHECK_EQ_U64(options.wait_s, 30);
    CHECK(options.break_at_start);
    CHECK(!options.quiet);
    CHECK(options.stack);
    CHECK_EQ_STR(options.modules, "*");
    CHECK_EQ_STR(options.chain, "");
    CHECK_EQ_U64(options.errors, 0);
}

static void each_setting(void)
{
    struct kda_options options = defaults();

    CHECK(load(&options, "kdagent.efi port=com2 baud=57600 identity=nt build=19041 break=no wait=5 "
                         "message=1000 read=1992 modules=kd*,Shell chain=/efi/os/boot.efi "
                         "arguments=\"a b=c\" hotkey=F5 "
                         "quiet=on stack=off"));
    CHECK_EQ_U64(options.io_base, 0x2F8);
    CHECK_EQ_U64(options.baud, 57600);
    CHECK_EQ_U64(options.major, 0x000F);
    CHECK_EQ_U64(options.minor, 19041);
    CHECK(!options.break_at_start);
    CHECK_EQ_U64(options.wait_s, 5);
    CHECK_EQ_U64(options.message_ms, 1000);
    CHECK_EQ_U64(options.max_read, 1992);
    CHECK_EQ_STR(options.modules, "kd*,Shell");
    CHECK_EQ_STR(options.chain, "\\efi\\os\\boot.efi");
    CHECK_EQ_STR(options.arguments, "a b=c");
    CHECK_EQ_U64(options.hotkey, 0x0F); /* SCAN_F5 of the UEFI specification's table */
    CHECK(options.quiet);
    CHECK(!options.stack);
    CHECK_EQ_U64(options.errors, 0);
}

/* Scan codes of the UEFI specification, appendix B. */
static void hot_keys(void)
{
    struct kda_options options = defaults();

    CHECK_EQ_U64(options.hotkey, 0x48); /* pause */
    CHECK(load(&options, "hotkey=none"));
    CHECK_EQ_U64(options.hotkey, 0);
    CHECK(load(&options, "hotkey=F1"));
    CHECK_EQ_U64(options.hotkey, 0x0B);
    CHECK(load(&options, "hotkey=f12"));
    CHECK_EQ_U64(options.hotkey, 0x16);
    CHECK(load(&options, "hotkey=Pause"));
    CHECK_EQ_U64(options.hotkey, 0x48);
    for (unsigned number = 0; number < 200; number++) {
        char text[20];

        snprintf(text, sizeof text, "hotkey=f%u", number);
        CHECK_EQ_U64(load(&options, text), number >= 1 && number <= 12);
    }
    CHECK(!load(&options, "hotkey=f"));
    CHECK(!load(&options, "hotkey=f1x"));
    CHECK_EQ_U64(options.hotkey, 0x16);
}

static void ports(void)
{
    struct kda_options options = defaults();

    CHECK(load(&options, "port=0x2E8"));
    CHECK_EQ_U64(options.io_base, 0x2E8);
    CHECK(load(&options, "PORT=COM3"));
    CHECK_EQ_U64(options.io_base, 0x3E8);
    CHECK(load(&options, "port=pci"));
    CHECK_EQ_U64(options.port, KDA_PORT_PCI);
    CHECK(options.pci_any);
    CHECK(load(&options, "port=PCI:1f:1E.7"));
    CHECK(!options.pci_any);
    CHECK_EQ_U64(options.pci_bus, 0x1F);
    CHECK_EQ_U64(options.pci_device, 0x1E);
    CHECK_EQ_U64(options.pci_function, 7);
    CHECK(load(&options, "port=com1"));
    CHECK_EQ_U64(options.port, KDA_PORT_IO);
    CHECK_EQ_U64(options.io_base, 0x3F8);
}

static void identities_and_waits(void)
{
    struct kda_options options = defaults();

    CHECK(load(&options, "identity=EFI wait=forever"));
    CHECK_EQ_U64(options.major, 0x050F);
    CHECK_EQ_U64(options.wait_s, UINT32_MAX);
    CHECK(load(&options, "identity=boot wait=0"));
    CHECK_EQ_U64(options.major, 0x040F);
    CHECK_EQ_U64(options.wait_s, 0);
}

/* Each is refused, and leaves everything as it was. */
static void wrong_values(void)
{
    static const char *const wrong[] = {
        "port=",
        "port=com5",
        "port=1016",
        "port=0x",
        "port=0xff",
        "port=0x10000",
        "port=0x3f8z",
        "port=pci:",
        "port=pci:0:0",
        "port=pci:0:20.0",
        "port=pci:0:0.8",
        "port=pci:100:0.0",
        "port=pci:0:0.0x",
        "port=pcix",
        "transport=com2",
        "framing=2",
        "trace=4097",
        "trace=1k",
        "interface=a67dfbae-7897-42ad-9d10-d96156b3695",
        "interface=a67dfbae-7897-42ad-9d10-d96156b36958a",
        "interface={a67dfbae-7897-42ad-9d10-d96156b36958}",
        "interface=a67dfbae78-97-42ad-9d10-d96156b36958",
        "interface=g67dfbae-7897-42ad-9d10-d96156b36958",
        "baud=0",
        "baud=115201",
        "baud=",
        "baud=-1",
        "identity=",
        "identity=windows",
        "break=",
        "break=2",
        "break=maybe",
        "wait=-1",
        "wait=3601",
        "wait=5s",
        "wait=99999999999999999999",
        "message=0",
        "message=60001",
        "read=63",
        "read=3945",
        "build=65536",
        "chain=boot.efi",
        "chain=",
        "hotkey=f13",
        "hotkey=ctrl",
        "quiet=\"\"",
    };
    struct kda_options before = defaults();

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct kda_options options = before;

        if (!CHECK(!load(&options, wrong[i])))
            fprintf(stderr, "  taken: %s\n", wrong[i]);
        CHECK_EQ_U64(options.errors, 1);
        CHECK(options.error[0] != 0);
        options.errors = 0;
        memcpy(options.error, before.error, sizeof options.error);
        CHECK_EQ_MEM(&options, &before, sizeof options);
    }
}

static void lines_by_vmbus(void)
{
    static const uint8_t known[16] = {0xae, 0xfb, 0x7d, 0xa6, 0x97, 0x78, 0xad, 0x42,
                                      0x9d, 0x10, 0xd9, 0x61, 0x56, 0xb3, 0x69, 0x58};
    static const uint8_t other[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    struct kda_options options = defaults();

    CHECK_EQ_U64(options.transport, KDA_TRANSPORT_AUTO);
    CHECK_EQ_U64(options.framing, KD_PIPE_AUTO);
    CHECK_EQ_MEM(options.interface, known, sizeof known);
    CHECK(load(&options, "transport=VMBUS framing=plain "
                         "interface=00010203-0405-0607-0809-0a0B0c0d0E0f"));
    CHECK_EQ_U64(options.transport, KDA_TRANSPORT_VMBUS);
    CHECK_EQ_U64(options.framing, KD_PIPE_PLAIN);
    CHECK_EQ_MEM(options.interface, other, sizeof other);
    CHECK_EQ_U64(options.trace_kib, 0);
    CHECK(load(&options, "transport=com1 framing=frames trace=64"));
    CHECK_EQ_U64(options.trace_kib, 64);
    CHECK_EQ_U64(options.transport, KDA_TRANSPORT_UART);
    CHECK_EQ_U64(options.framing, KD_PIPE_FRAMES);
    CHECK(load(&options, "transport=auto framing=auto"));
    CHECK_EQ_U64(options.transport, KDA_TRANSPORT_AUTO);
}

static void error_texts(void)
{
    struct kda_options options = defaults();

    CHECK(!load(&options, "baud=7 quiet=yes prot=com2"));
    CHECK_EQ_STR(options.error, "load options: baud= takes 1200, 2400, 4800, 9600, 19200, 38400, "
                                "57600, 115200");
    CHECK_EQ_U64(options.errors, 2);
    CHECK(options.quiet);
    options = defaults();
    CHECK(!file(&options, "# settings\n\nport=com2\nprot = com2\nbaud=9600\n"));
    CHECK_EQ_STR(
        options.error,
        "\\kdagent.cfg line 4: no setting \"prot\"; there are transport, port, baud, identity, "
        "build, "
        "break, wait, message, read, modules, chain, arguments, hotkey, quiet, stack, framing, "
        "trace, interface");
    CHECK_EQ_U64(options.io_base, 0x2F8);
    CHECK_EQ_U64(options.baud, 9600);
    options = defaults();
    CHECK(!load(&options, "kdagent.efi debug"));
    CHECK_EQ_STR(options.error, "load options: a setting is NAME=VALUE, and there is no \"=\"");
}

static void quotes(void)
{
    struct kda_options options = defaults();

    CHECK(load(&options, "\"C:\\my tools\\kdagent.efi\" chain=\"\\My OS\\boot loader.efi\" "
                         "\"modules=a b\""));
    CHECK_EQ_STR(options.chain, "\\My OS\\boot loader.efi");
    CHECK_EQ_STR(options.modules, "a b");
}

/* A setting of 600 bytes is one wrong setting, not two; text of 2049 characters is refused. */
static void too_long(void)
{
    char text[2100];
    struct kda_options options = defaults();

    memset(text, 'x', sizeof text);
    memcpy(text, "chain=\\", 7);
    memcpy(text + 600, " quiet=yes", 11);
    CHECK(!load(&options, text));
    CHECK_EQ_U64(options.errors, 1);
    CHECK(options.quiet);
    CHECK_EQ_STR(options.chain, "");

    options = defaults();
    memset(text, ' ', sizeof text);
    memcpy(text, "quiet=yes", 9);
    text[2049] = 0;
    CHECK(!load(&options, text));
    CHECK(!options.quiet);
    text[2048] = 0;
    CHECK(load(&options, text));
    CHECK(options.quiet);

    /* 255 characters fit, 256 do not. */
    options = defaults();
    memset(text, 'y', sizeof text);
    memcpy(text, "chain=\\", 7);
    text[6 + 256] = 0;
    CHECK(!load(&options, text));
    text[6 + 255] = 0;
    CHECK(load(&options, text));
    CHECK_EQ_U64(strlen(options.chain), 255);
}

static void binary_load_options(void)
{
    /* What firmware hands over for boot entries it made itself: a GUID. */
    static const uint16_t guid[] = {0xF5A5, 0xCBE9, 0x2FE0, 0x4E20, 0x7D9A, 0x0001, 0x0203, 0x0405};
    static const uint16_t control[] = {'q', 'u', 'i', 'e', 't', '=', 'y', 'e', 's', 7};
    struct kda_options options = defaults();

    CHECK(!kda_options_load(&options, UNITS(guid)));
    CHECK_EQ_STR(options.error, "load options: ignored: this is not text");
    CHECK(!kda_options_load(&options, UNITS(control)));
    CHECK(!options.quiet);
    CHECK(kda_options_load(&options, control, 9));
    CHECK(options.quiet);
    CHECK(kda_options_load(&options, NULL, 0));
}

static void file_forms(void)
{
    static const uint8_t utf16[] = {0xFF, 0xFE, 'q', 0, 'u', 0, 'i', 0, 'e', 0, 't',  0,
                                    ' ',  0,    '=', 0, 'y', 0, 'e', 0, 's', 0, '\r', 0,
                                    '\n', 0,    'b', 0, 'a', 0, 'u', 0, 'd', 0, '=',  0,
                                    '9',  0,    '6', 0, '0', 0, '0', 0, 0x20};
    struct kda_options options = defaults();

    CHECK(kda_options_file(&options, "f", utf16, sizeof utf16));
    CHECK(options.quiet);
    CHECK_EQ_U64(options.baud, 9600);
    options = defaults();
    CHECK(file(&options, "\xEF\xBB\xBFquiet=yes\r\n; note\r\n\t # note\r\n  wait =  7  \r\n"
                         "chain = \\My OS\\boot loader.efi  "));
    CHECK(options.quiet);
    CHECK_EQ_U64(options.wait_s, 7);
    CHECK_EQ_STR(options.chain, "\\My OS\\boot loader.efi");
}

static void hostile_files(void)
{
    static const uint8_t with_nul[] = {'q',  'u', 'i', 'e', 't', '=', 'y', 'e', 's', 0,  'x',
                                       '\n', 'b', 'a', 'u', 'd', '=', '9', '6', '0', '0'};
    static uint8_t large[16385];
    char line[1200];
    struct kda_options options = defaults();

    CHECK(!kda_options_file(&options, "f", with_nul, sizeof with_nul));
    CHECK(!options.quiet);
    CHECK_EQ_U64(options.baud, 9600);
    memset(large, '\n', sizeof large);
    CHECK(!kda_options_file(&options, "f", large, 16385));
    CHECK(kda_options_file(&options, "f", large, 16384));
    memset(line, 'a', sizeof line);
    memcpy(line + 1000, "\nbaud=4800\n", 12);
    options = defaults();
    CHECK(!file(&options, line));
    CHECK_EQ_STR(options.error, "\\kdagent.cfg line 1: longer than 511 characters, or not text");
    CHECK_EQ_U64(options.baud, 4800);
    /* A name with a control code in it does not get to the console. */
    options = defaults();
    CHECK(!file(&options, "a\x7F=1\n"));
    CHECK_EQ_U64((uint8_t)options.error[strlen("\\kdagent.cfg line 1: no setting \"a")], '?');
}

static void later_settings_win(void)
{
    struct kda_options options = defaults();

    CHECK(file(&options, "port=com2\nbaud=9600\nmodules=none\n"));
    CHECK_EQ_STR(options.modules, "");
    CHECK(load(&options, "port=com1 modules=all"));
    CHECK_EQ_U64(options.io_base, 0x3F8);
    CHECK_EQ_U64(options.baud, 9600);
    CHECK_EQ_STR(options.modules, "*");
    CHECK(load(&options, "chain=\\a.efi"));
    CHECK(load(&options, "chain=none"));
    CHECK_EQ_STR(options.chain, "");
}

static void module_patterns(void)
{
    struct kda_options options = defaults();

    CHECK(kda_options_wants(&options, "Shell.efi"));
    CHECK(load(&options, "modules=kd*,?hell,*.EFI"));
    CHECK(kda_options_wants(&options, "KdExample"));
    CHECK(kda_options_wants(&options, "shell"));
    CHECK(kda_options_wants(&options, "DxeCore.efi"));
    CHECK(!kda_options_wants(&options, "hell"));
    CHECK(!kda_options_wants(&options, "DxeCore"));
    CHECK(load(&options, "modules=none"));
    CHECK(!kda_options_wants(&options, "DxeCore"));
    CHECK(!kda_options_wants(&options, ""));
    CHECK(load(&options, "modules=,,a"));
    CHECK(kda_options_wants(&options, "a"));
    CHECK(!kda_options_wants(&options, "b"));
}

static void patterns(void)
{
    CHECK(kda_text_matches("a*b*c", 5, "a1b2b3c"));
    CHECK(!kda_text_matches("a*b*c", 5, "a1b2b3cd"));
    CHECK(kda_text_matches("**", 2, ""));
    CHECK(!kda_text_matches("?", 1, ""));
    CHECK(!kda_text_matches("", 0, "a"));
    CHECK(kda_text_matches("", 0, ""));
    /* Time that grows with the number of stars would not end here. */
    CHECK(!kda_text_matches("*a*a*a*a*a*a*a*a*a*a*a*a*b", 26,
                            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"));
}

static void to_utf8(void)
{
    /* U+004D U+0430 U+4E8C U+10302: Unicode standard, table 3-4 and figure 2-11. */
    static const uint16_t good[] = {0x004D, 0x0430, 0x4E8C, 0xD800, 0xDF02};
    static const uint16_t bad[] = {0xD800, 'a', 0xDC00, 0xD800};
    static const uint16_t halves[] = {0xDC00, 0xDC00};
    char out[16];

    CHECK_EQ_U64(kda_text_to_utf8(UNITS(good), out, sizeof out), 10);
    CHECK_EQ_MEM(out, "\x4D\xD0\xB0\xE4\xBA\x8C\xF0\x90\x8C\x82", 11);
    CHECK_EQ_U64(kda_text_to_utf8(UNITS(bad), out, sizeof out), 10);
    CHECK_EQ_MEM(out,
                 "\xEF\xBF\xBD"
                 "a"
                 "\xEF\xBF\xBD\xEF\xBF\xBD",
                 11);
    /* Two second halves are no pair. */
    CHECK_EQ_U64(kda_text_to_utf8(UNITS(halves), out, sizeof out), 6);
    CHECK_EQ_MEM(out, "\xEF\xBF\xBD\xEF\xBF\xBD", 7);
    /* Cut between two characters. */
    CHECK_EQ_U64(kda_text_to_utf8(UNITS(good), out, 10), 6);
    CHECK_EQ_U64(kda_text_to_utf8(UNITS(good), out, 1), 0);
    CHECK_EQ_U64(out[0], 0);
    CHECK_EQ_U64(kda_text_to_utf8(UNITS(good), NULL, 0), 0);
}

static void to_utf16(void)
{
    static const uint16_t good[] = {0x004D, 0x0430, 0x4E8C, 0xD800, 0xDF02, 0};
    /* Unicode standard, section 3.9: C0, F5, overlong, surrogate and cut forms are ill-formed. */
    static const char *const bad[] = {"\xC0\xAF",     "\xF5\x80",         "\xE0\x80\xAF",
                                      "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xE4\xBA",
                                      "\x80"};
    uint16_t out[8];

    CHECK_EQ_U64(kda_text_to_utf16("\x4D\xD0\xB0\xE4\xBA\x8C\xF0\x90\x8C\x82", 10, out, 8), 5);
    CHECK_EQ_MEM(out, good, sizeof good);
    CHECK_EQ_U64(kda_text_to_utf16("\x4D\xD0\xB0\xE4\xBA\x8C\xF0\x90\x8C\x82", 10, out, 5), 3);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        size_t size = kda_text_to_utf16(bad[i], strlen(bad[i]), out, 8);

        CHECK(size >= 1);
        for (size_t k = 0; k < size; k++)
            CHECK_EQ_U64(out[k], 0xFFFD);
    }
}

KD_TEST_MAIN({"nothing given", nothing_given}, {"each setting", each_setting},
             {"hot keys", hot_keys}, {"ports", ports},
             {"identities and waits", identities_and_waits}, {"wrong values", wrong_values},
             {"lines by VMBus", lines_by_vmbus}, {"error texts", error_texts}, {"quotes", quotes},
             {"too long", too_long}, {"binary load options", binary_load_options},
             {"forms of files", file_forms}, {"hostile files", hostile_files},
             {"later settings win", later_settings_win}, {"module patterns", module_patterns},
             {"patterns", patterns}, {"to UTF-8", to_utf8}, {"to UTF-16", to_utf16})
