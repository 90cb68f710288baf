/* options_help.c - --help and the man page, written from the tables of verbs.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "options.h"

#include <string.h>

#define WIDTH  80u
#define COLUMN 28u /* where the help of an option begins */

/* Words of text from the column they stand at; the next line begins at indent. A line of the text
 * that begins with a blank is kept as it is. */
static void fill(FILE *out, const char *text, size_t column, size_t indent)
{
    while (*text) {
        size_t size = strcspn(text, " \n");
        bool kept = text[0] == '\n' && text[1] == ' ';

        if (kept) {
            size = strcspn(text + 1, "\n");
            fprintf(out, "\n%*s%.*s", (int)indent, "", (int)size, text + 1);
            text += 1 + size;
            column = WIDTH;
            continue;
        }
        if (size > 0 && column > indent && column + 1 + size > WIDTH) {
            fprintf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (size > 0 && column > indent) {
            fputc(' ', out);
            column++;
        }
        fprintf(out, "%.*s", (int)size, text);
        column += size;
        text += size;
        if (*text == ' ' || (*text == '\n' && text[1] != ' '))
            text++;
    }
    fputc('\n', out);
}

/* "  -w, --write FILE" and its help in a column of its own. */
void options_help_row(FILE *out, const char *name, const char *help)
{
    size_t length = strlen(name) + 2;

    fprintf(out, "  %s", name);
    if (length + 2 > COLUMN)
        fprintf(out, "\n%*s", (int)COLUMN, "");
    else
        fprintf(out, "%*s", (int)(COLUMN - length), "");
    fill(out, help, COLUMN, COLUMN);
}

static void option_name(const struct option *option, char *out, size_t room)
{
    const char *gap = option->kind == OPTION_FLAG ? "" : " ";
    const char *value = option->kind == OPTION_FLAG ? "" : option->value;

    if (option->letter)
        snprintf(out, room, "-%c, --%s%s%s", option->letter, option->name, gap, value);
    else
        snprintf(out, room, "    --%s%s%s", option->name, gap, value);
}

static void print_usage(FILE *out, const struct verb *verb)
{
    fprintf(out, "kdlens %s%s", verb->name, verb->options ? " [OPTION...]" : "");
    for (const struct operand *operand = verb->operands; operand && operand->name; operand++)
        fprintf(out, operand->optional ? " [%s%s]" : " %s%s", operand->name,
                operand->many ? "..." : "");
}

/* A summary as a sentence. */
static void sentence(const char *summary, char *out, size_t room)
{
    snprintf(out, room, "%s.", summary);
    if (out[0] >= 'a' && out[0] <= 'z')
        out[0] = (char)(out[0] - 'a' + 'A');
}

void options_help(FILE *out, const struct verb *verb)
{
    char name[80], text[200];

    fprintf(out, "Usage: ");
    print_usage(out, verb);
    fprintf(out, "\n\n");
    sentence(verb->summary, text, sizeof text);
    fill(out, text, 0, 0);
    if (verb->operands && verb->operands->name) {
        fprintf(out, "\nOperands:\n");
        for (const struct operand *operand = verb->operands; operand->name; operand++)
            options_help_row(out, operand->name, operand->help);
    }
    fprintf(out, "\nOptions:\n");
    for (const struct option *option = verb->options; option && option->name; option++) {
        if (option->hidden)
            continue;
        option_name(option, name, sizeof name);
        options_help_row(out, name, option->help);
    }
    options_help_row(out, "    --help", "show this help");
    if (verb->extra_help) {
        fputc('\n', out);
        verb->extra_help(out);
    }
    for (const struct section *section = verb->sections; section && section->title; section++) {
        fprintf(out, "\n%s:\n  ", section->title);
        fill(out, section->text, 2, 2);
    }
    if (verb->examples && verb->examples->command) {
        fprintf(out, "\nExamples:\n");
        for (const struct example *example = verb->examples; example->command; example++) {
            fprintf(out, "  %s\n      ", example->command);
            fill(out, example->help, 6, 6);
        }
    }
}

void options_help_all(FILE *out, const struct verb *const *verbs)
{
    fprintf(out, "Usage: kdlens VERB [OPTION...] [OPERAND...]\n\n"
                 "Windows kernel debugging on the wire: tap, record, read.\n\nVerbs:\n");
    for (size_t i = 0; verbs[i]; i++)
        if (!verbs[i]->hidden)
            options_help_row(out, verbs[i]->name, verbs[i]->summary);
    fprintf(out, "\nOptions:\n");
    options_help_row(out, "    --version", "show the version");
    options_help_row(out, "    --help", "show this help; kdlens VERB --help shows that of a verb");
}

/* --- the man page */

/* Text for troff: a backslash, a hyphen, and a dot or quote at the start of a line mean
 * something. */
static void troff(FILE *out, const char *text)
{
    bool start = true;

    for (; *text; text++) {
        if (start && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        start = *text == '\n';
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
    }
}

static void man_row(FILE *out, const char *name, const char *help)
{
    fputs(".TP\n.B ", out);
    troff(out, name + strspn(name, " "));
    fputc('\n', out);
    troff(out, help);
    fputc('\n', out);
}

/* Lines that begin with a blank are shown as they are. */
static void man_text(FILE *out, const char *text)
{
    bool kept = false;

    while (*text) {
        size_t size = strcspn(text, "\n");
        char line[1024];

        if ((*text == ' ') != kept) {
            kept = !kept;
            fputs(kept ? ".PP\n.nf\n" : ".fi\n.PP\n", out);
        }
        snprintf(line, sizeof line, "%.*s", (int)size, text);
        troff(out, line);
        fputc('\n', out);
        text += size + (text[size] == '\n');
    }
    if (kept)
        fputs(".fi\n", out);
}

static void man_verb(FILE *out, const struct verb *verb)
{
    char name[80], text[200];

    fprintf(out, ".SS ");
    print_usage(out, verb);
    fputc('\n', out);
    sentence(verb->summary, text, sizeof text);
    troff(out, text);
    fputc('\n', out);
    for (const struct operand *operand = verb->operands; operand && operand->name; operand++)
        man_row(out, operand->name, operand->help);
    for (const struct option *option = verb->options; option && option->name; option++) {
        if (option->hidden)
            continue;
        option_name(option, name, sizeof name);
        man_row(out, name, option->help);
    }
    if (verb->extra_help) {
        fputs(".PP\n.nf\n", out);
        verb->extra_help(out);
        fputs(".fi\n", out);
    }
    for (const struct section *section = verb->sections; section && section->title; section++) {
        fprintf(out, ".PP\n.B %s\n.PP\n", section->title);
        man_text(out, section->text);
    }
}

static void man_examples(FILE *out, const struct verb *const *verbs)
{
    fprintf(out, ".SH EXAMPLES\n");
    for (size_t i = 0; verbs[i]; i++) {
        if (verbs[i]->hidden)
            continue;
        for (const struct example *example = verbs[i]->examples; example && example->command;
             example++)
            man_row(out, example->command, example->help);
    }
}

void options_man(FILE *out, const struct verb *const *verbs)
{
    fprintf(out, ".\\\" kdlens.1 - written by \"kdlens help --man\".\n"
                 ".\\\" SPDX-License-Identifier: BSD-2-Clause-Patent\n"
                 ".TH KDLENS 1 \"\" \"kdlens\" \"User Commands\"\n"
                 ".SH NAME\nkdlens \\- Windows kernel debugging on the wire: tap, record, read\n"
                 ".SH SYNOPSIS\n.B kdlens\n.I VERB\n[\\fIOPTION\\fR...] [\\fIOPERAND\\fR...]\n"
                 ".SH VERBS\n");
    for (size_t i = 0; verbs[i]; i++)
        if (!verbs[i]->hidden)
            man_verb(out, verbs[i]);
    man_examples(out, verbs);
    fprintf(out, ".SH EXIT STATUS\n0 when all went well, 1 for a failure or a finding, 2 for wrong "
                 "arguments.\n"
                 ".SH SEE ALSO\n.BR tshark (1),\n.BR wireshark (1),\n.BR extcap (4)\n");
}
