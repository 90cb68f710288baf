/* options.c - the agent's settings: one table of names, two forms of text.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "options.h"

#include "text.h"

#define LOAD_OPTIONS_MAX 2048u /* characters; a boot entry holds far less */
#define LINE_MAX         512u  /* characters of a file's line, or bytes of a setting */
#define LINE_ROOM        (3 * LINE_MAX)
#define FILE_MAX         16384u

/* A number of some unit, or a reason for none. */
struct parsed {
    uint64_t number;
    bool ok;
};

struct word {
    const char *text;
    uint32_t value;
};

static const struct word port_words[] = {
    {"com1", 0x3F8}, {"com2", 0x2F8}, {"com3", 0x3E8}, {"com4", 0x2E8}, {NULL, 0}};
static const struct word transport_words[] = {{"auto", KDA_TRANSPORT_AUTO},
                                              {"com1", KDA_TRANSPORT_UART},
                                              {"uart", KDA_TRANSPORT_UART},
                                              {"vmbus", KDA_TRANSPORT_VMBUS},
                                              {NULL, 0}};
static const struct word framing_words[] = {
    {"auto", KD_PIPE_AUTO}, {"frames", KD_PIPE_FRAMES}, {"plain", KD_PIPE_PLAIN}, {NULL, 0}};
static const struct word identity_words[] = {
    {"boot", 0x040F}, {"nt", 0x000F}, {"efi", 0x050F}, {NULL, 0}};
static const struct word bool_words[] = {{"yes", 1}, {"no", 0},   {"on", 1},
                                         {"off", 0}, {"true", 1}, {"false", 0},
                                         {"1", 1},   {"0", 0},    {NULL, 0}};
static const struct word wait_words[] = {{"forever", KDA_WAIT_FOREVER}, {NULL, 0}};
/* Scan codes: UEFI 2.10, appendix B. */
#define SCAN_PAUSE 0x48u
static const struct word key_words[] = {
    {"none", 0},  {"pause", SCAN_PAUSE}, {"f1", 0x0B},  {"f2", 0x0C},  {"f3", 0x0D},
    {"f4", 0x0E}, {"f5", 0x0F},          {"f6", 0x10},  {"f7", 0x11},  {"f8", 0x12},
    {"f9", 0x13}, {"f10", 0x14},         {"f11", 0x15}, {"f12", 0x16}, {NULL, 0}};
static const uint32_t bauds[] = {1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 0};

static const struct word *find_word(const struct word *words, const char *text)
{
    for (; words->text; words++) {
        if (kda_text_same(words->text, text))
            return words;
    }
    return NULL;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 99;
}

/* The number at *text in the base given, which moves behind it; at most max. */
static struct parsed take_number(const char **text, int base, uint64_t max)
{
    struct parsed result = {0, false};

    for (; digit_of(**text) < base; (*text)++) {
        result.number = result.number * (unsigned)base + (unsigned)digit_of(**text);
        result.ok = result.number <= max;
        if (!result.ok)
            return result;
    }
    return result;
}

static struct parsed whole_number(const char *text, uint64_t min, uint64_t max)
{
    bool hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    struct parsed result;

    if (hexadecimal)
        text += 2;
    result = take_number(&text, hexadecimal ? 16 : 10, max);
    result.ok = result.ok && !*text && result.number >= min;
    return result;
}

static bool set_pci(struct kda_options *options, const char *text)
{
    struct parsed bus, device, function;

    text += 3; /* "pci" */
    if (!*text) {
        options->port = KDA_PORT_PCI;
        options->pci_any = true;
        return true;
    }
    if (*text++ != ':')
        return false;
    bus = take_number(&text, 16, 255);
    if (!bus.ok || *text++ != ':')
        return false;
    device = take_number(&text, 16, 31);
    if (!device.ok || *text++ != '.')
        return false;
    function = take_number(&text, 16, 7);
    if (!function.ok || *text)
        return false;
    options->port = KDA_PORT_PCI;
    options->pci_any = false;
    options->pci_bus = (uint8_t)bus.number;
    options->pci_device = (uint8_t)device.number;
    options->pci_function = (uint8_t)function.number;
    return true;
}

static bool set_port(struct kda_options *options, const char *text)
{
    const struct word *word = find_word(port_words, text);
    struct parsed base;

    if ((text[0] == 'p' || text[0] == 'P') && kda_text_matches("pci*", 4, text))
        return set_pci(options, text);
    if (word) {
        base = (struct parsed){word->value, true};
    } else {
        if (text[0] != '0' || (text[1] != 'x' && text[1] != 'X'))
            return false;
        base = whole_number(text, 0x100, 0xFFF8);
    }
    if (base.ok) {
        options->port = KDA_PORT_IO;
        options->io_base = (uint16_t)base.number;
    }
    return base.ok;
}

static bool set_transport(struct kda_options *options, const char *text)
{
    const struct word *word = find_word(transport_words, text);

    if (word)
        options->transport = (enum kda_transport_choice)word->value;
    return word != NULL;
}

static bool set_framing(struct kda_options *options, const char *text)
{
    const struct word *word = find_word(framing_words, text);

    if (word)
        options->framing = (enum kd_pipe_framing)word->value;
    return word != NULL;
}

/* 8-4-4-4-12 digits; the first three groups are numbers, which lie the other way round. */
static bool set_interface(struct kda_options *options, const char *text)
{
    static const uint8_t places[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    uint8_t guid[16];

    for (unsigned i = 0; i < 16; i++) {
        if ((i == 4 || i == 6 || i == 8 || i == 10) && *text++ != '-')
            return false;
        if (digit_of(text[0]) > 15 || digit_of(text[1]) > 15)
            return false;
        guid[places[i]] = (uint8_t)(digit_of(text[0]) << 4 | digit_of(text[1]));
        text += 2;
    }
    if (*text)
        return false;
    for (unsigned i = 0; i < 16; i++)
        options->interface[i] = guid[i];
    return true;
}

static bool set_baud(struct kda_options *options, const char *text)
{
    struct parsed baud = whole_number(text, 1, UINT32_MAX);

    for (const uint32_t *known = bauds; baud.ok && *known; known++) {
        if (*known == baud.number) {
            options->baud = *known;
            return true;
        }
    }
    return false;
}

static bool set_identity(struct kda_options *options, const char *text)
{
    const struct word *word = find_word(identity_words, text);

    if (word)
        options->major = (uint16_t)word->value;
    return word != NULL;
}

static bool set_wait(struct kda_options *options, const char *text)
{
    const struct word *word = find_word(wait_words, text);
    struct parsed seconds = whole_number(text, 0, 3600);

    if (word)
        options->wait_s = word->value;
    else if (seconds.ok)
        options->wait_s = (uint32_t)seconds.number;
    return word || seconds.ok;
}

static bool set_build(struct kda_options *options, const char *text)
{
    struct parsed build = whole_number(text, 0, UINT16_MAX);

    if (build.ok)
        options->minor = (uint16_t)build.number;
    return build.ok;
}

static bool set_message(struct kda_options *options, const char *text)
{
    struct parsed time = whole_number(text, 1, 60000);

    if (time.ok)
        options->message_ms = (uint32_t)time.number;
    return time.ok;
}

static bool set_trace(struct kda_options *options, const char *text)
{
    struct parsed size = whole_number(text, 0, 4096);

    if (size.ok)
        options->trace_kib = (uint32_t)size.number;
    return size.ok;
}

static bool set_read(struct kda_options *options, const char *text)
{
    struct parsed size = whole_number(text, 64, 3944);

    if (size.ok)
        options->max_read = (uint32_t)size.number;
    return size.ok;
}

static bool set_bool(bool *out, const char *text)
{
    const struct word *word = find_word(bool_words, text);

    if (word)
        *out = word->value != 0;
    return word != NULL;
}

static bool set_break(struct kda_options *options, const char *text)
{
    return set_bool(&options->break_at_start, text);
}

static bool set_hotkey(struct kda_options *options, const char *text)
{
    const struct word *word = find_word(key_words, text);

    if (word)
        options->hotkey = (uint16_t)word->value;
    return word != NULL;
}

static bool set_quiet(struct kda_options *options, const char *text)
{
    return set_bool(&options->quiet, text);
}

static bool set_text(char *out, const char *text)
{
    size_t size = 0;

    while (text[size])
        size++;
    if (size >= KDA_OPTION_TEXT_MAX)
        return false;
    for (size_t i = 0; i <= size; i++)
        out[i] = text[i];
    return true;
}

static bool set_modules(struct kda_options *options, const char *text)
{
    if (kda_text_same(text, "all"))
        text = "*";
    else if (kda_text_same(text, "none"))
        text = "";
    return set_text(options->modules, text);
}

static bool set_chain(struct kda_options *options, const char *text)
{
    if (kda_text_same(text, "none"))
        text = "";
    else if (text[0] != '\\' && text[0] != '/')
        return false;
    if (!set_text(options->chain, text))
        return false;
    for (char *c = options->chain; *c; c++) {
        if (*c == '/')
            *c = '\\';
    }
    return true;
}

static bool set_arguments(struct kda_options *options, const char *text)
{
    return set_text(options->arguments, text);
}

static bool set_stack(struct kda_options *options, const char *text)
{
    return set_bool(&options->stack, text);
}

struct setting {
    const char *name;
    bool (*set)(struct kda_options *options, const char *text);
    const char *possible; /* for the error text */
};

static const struct setting settings[] = {
    {"transport", set_transport, "auto, com1, vmbus"},
    {"port", set_port, "com1 to com4, 0xBASE, pci, pci:BUS:DEVICE.FUNCTION (hexadecimal)"},
    {"baud", set_baud, "1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200"},
    {"identity", set_identity, "boot, nt, efi"},
    {"build", set_build, "0 to 65535"},
    {"break", set_break, "yes, no"},
    {"wait", set_wait, "0 to 3600 seconds, forever"},
    {"message", set_message, "1 to 60000 milliseconds"},
    {"read", set_read, "64 to 3944 bytes"},
    {"modules", set_modules, "all, none, NAME,NAME... with * and ?; up to 255 characters"},
    {"chain", set_chain, "none, \\PATH\\OF\\IMAGE.EFI; up to 255 characters"},
    {"arguments", set_arguments, "load options of the image to start next; up to 255 characters"},
    {"hotkey", set_hotkey, "none, pause, f1 to f12"},
    {"quiet", set_quiet, "yes, no"},
    {"stack", set_stack, "on, off"},
    {"framing", set_framing, "auto, frames, plain"},
    {"trace", set_trace, "0 to 4096 KiB"},
    {"interface", set_interface, "a GUID, such as a67dfbae-7897-42ad-9d10-d96156b36958"},
};
#define SETTINGS (sizeof settings / sizeof settings[0])

void kda_options_default(struct kda_options *options)
{
    *options = (struct kda_options){
        .port = KDA_PORT_IO,
        .io_base = 0x3F8,
        .baud = 115200,
        .major = 0x040F,
        .minor = 18362,
        .break_at_start = true,
        .wait_s = 30,
        .message_ms = 200,
        .hotkey = SCAN_PAUSE,
        .stack = true,
        .modules = "*",
    };
    set_interface(options, "a67dfbae-7897-42ad-9d10-d96156b36958");
}

/* Error text: pieces one after the other, cut at the end. */
struct sentence {
    char *out;
    size_t used, room;
};

static void say(struct sentence *to, const char *text)
{
    for (; *text && to->used + 1 < to->room; text++) {
        char c = *text;

        /* The text is shown on a console: nothing there may act as a control code. */
        to->out[to->used++] = (uint8_t)c < ' ' || c == 0x7F ? '?' : c;
    }
    to->out[to->used] = 0;
}

static void say_number(struct sentence *to, unsigned number)
{
    char digits[12];
    size_t at = sizeof digits - 1;

    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    say(to, digits + at);
}

/* Where the text that is being read comes from. */
struct place {
    const char *source;
    unsigned line; /* 0: no lines */
};

/* Begins the error's sentence; a second error is only counted, and goes to spare. */
static struct sentence complain(struct kda_options *options, const struct place *place, char *spare,
                                size_t spare_room)
{
    struct sentence to = {options->error, 0, sizeof options->error};

    if (options->errors++)
        to = (struct sentence){spare, 0, spare_room};
    say(&to, place->source);
    if (place->line) {
        say(&to, " line ");
        say_number(&to, place->line);
    }
    say(&to, ": ");
    return to;
}

static bool refuse(struct kda_options *options, const struct place *place, const char *what)
{
    char spare[8];
    struct sentence to = complain(options, place, spare, sizeof spare);

    say(&to, what);
    return false;
}

static bool set_one(struct kda_options *options, const struct place *place, const char *name,
                    const char *value)
{
    char spare[8];
    struct sentence to;

    for (size_t i = 0; i < SETTINGS; i++) {
        if (!kda_text_same(settings[i].name, name))
            continue;
        if (settings[i].set(options, value))
            return true;
        to = complain(options, place, spare, sizeof spare);
        say(&to, name);
        say(&to, "= takes ");
        say(&to, settings[i].possible);
        return false;
    }
    to = complain(options, place, spare, sizeof spare);
    say(&to, "no setting \"");
    say(&to, name);
    say(&to, "\"; there are");
    for (size_t i = 0; i < SETTINGS; i++) {
        say(&to, i ? ", " : " ");
        say(&to, settings[i].name);
    }
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Cuts "name = value" in place. */
static bool set_line(struct kda_options *options, const struct place *place, char *text)
{
    char *value = text, *end;

    while (*value && *value != '=')
        value++;
    if (!*value)
        return refuse(options, place, "a setting is NAME=VALUE, and there is no \"=\"");
    for (end = value; end > text && is_blank(end[-1]); end--)
        ;
    *end = 0;
    for (value++; is_blank(*value); value++)
        ;
    for (end = value; *end; end++)
        ;
    while (end > value && is_blank(end[-1]))
        end--;
    *end = 0;
    return set_one(options, place, text, value);
}

/* The next word of text, quotes taken out; *text moves behind it. False: there is none. */
static bool next_word(const char **text, char *word, size_t room, bool *cut)
{
    bool quoted = false;
    size_t used = 0;

    while (is_blank(**text))
        (*text)++;
    if (!**text)
        return false;
    *cut = false;
    for (; **text && (quoted || !is_blank(**text)); (*text)++) {
        if (**text == '"')
            quoted = !quoted;
        else if (used + 1 < room)
            word[used++] = **text;
        else
            *cut = true;
    }
    word[used] = 0;
    return true;
}

/* Whether these are characters that somebody typed. */
static bool is_text(const uint16_t *text, size_t units)
{
    for (size_t i = 0; i < units; i++) {
        if ((text[i] < ' ' && text[i] != '\t' && text[i] != '\r' && text[i] != '\n') ||
            text[i] == 0x7F || text[i] >= 0xFFFE)
            return false;
    }
    return true;
}

static bool has_equals(const char *text)
{
    while (*text && *text != '=')
        text++;
    return *text == '=';
}

bool kda_options_load(struct kda_options *options, const uint16_t *text, size_t units)
{
    static const struct place place = {"load options", 0};
    char utf8[3 * LOAD_OPTIONS_MAX + 1], word[LINE_MAX];
    const char *at = utf8;
    bool ok = true, cut = false, first = true;

    units = kda_text_length16(text, units);
    if (units > LOAD_OPTIONS_MAX)
        return refuse(options, &place, "ignored: longer than 2048 characters");
    if (!is_text(text, units))
        return refuse(options, &place, "ignored: this is not text");
    kda_text_to_utf8(text, units, utf8, sizeof utf8);
    for (; next_word(&at, word, sizeof word, &cut); first = false) {
        if (cut)
            ok = refuse(options, &place, "a setting is longer than 511 bytes");
        else if (!first || has_equals(word))
            ok = set_line(options, &place, word) && ok;
    }
    return ok;
}

/* Reads a file's characters, whatever their form. */
struct reader {
    const uint8_t *bytes;
    size_t size, at;
    bool wide;
};

/* One line without its end into line, of LINE_ROOM bytes; false at the end of the file. */
static bool next_line(struct reader *from, char *line, bool *cut)
{
    uint16_t units[LINE_MAX];
    size_t step = from->wide ? 2 : 1, used = 0;

    if (from->size - from->at < step)
        return false;
    *cut = false;
    while (from->size - from->at >= step) {
        uint16_t unit = from->bytes[from->at];

        if (from->wide)
            unit = (uint16_t)(unit | from->bytes[from->at + 1] << 8);
        from->at += step;
        if (unit == '\n')
            break;
        if (used + 1 == LINE_MAX || !unit)
            *cut = true;
        else if (from->wide)
            units[used++] = unit;
        else
            line[used++] = (char)unit;
    }
    if (from->wide)
        kda_text_to_utf8(units, used, line, LINE_ROOM);
    else
        line[used] = 0;
    return true;
}

static bool bytes_are_text(const char *line)
{
    for (; *line; line++) {
        if ((uint8_t)*line < ' ' && !is_blank(*line))
            return false;
    }
    return true;
}

bool kda_options_file(struct kda_options *options, const char *name, const uint8_t *bytes,
                      size_t size)
{
    struct reader from = {bytes, size, 0, false};
    struct place place = {name, 0};
    bool ok = true, cut = false;
    char line[LINE_ROOM];

    if (size > FILE_MAX)
        return refuse(options, &place, "ignored: larger than 16384 bytes");
    if (size >= 2 && bytes[0] == 0xFF && bytes[1] == 0xFE) {
        from.wide = true;
        from.at = 2;
    } else if (size >= 3 && bytes[0] == 0xEF && bytes[1] == 0xBB && bytes[2] == 0xBF) {
        from.at = 3;
    }
    while (next_line(&from, line, &cut)) {
        char *start = line;

        place.line++;
        while (is_blank(*start))
            start++;
        if (cut || !bytes_are_text(line))
            ok = refuse(options, &place, "longer than 511 characters, or not text");
        else if (*start && *start != '#' && *start != ';')
            ok = set_line(options, &place, start) && ok;
    }
    return ok;
}

bool kda_options_wants(const struct kda_options *options, const char *base_name)
{
    const char *pattern = options->modules;

    while (*pattern) {
        size_t size = 0;

        while (pattern[size] && pattern[size] != ',')
            size++;
        if (kda_text_matches(pattern, size, base_name))
            return true;
        pattern += size;
        if (*pattern)
            pattern++;
    }
    return false;
}
