/* options_shell.c - completions for bash, zsh and fish, written from the tables of verbs.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "end.h"
#include "options.h"

#include <string.h>

static void print_ends(FILE *out)
{
    for (const struct end_form *form = end_forms; form->name; form++)
        if (form->available)
            fprintf(out, " %s:", form->name);
}

static void print_choices(FILE *out, const char *const *choices)
{
    for (size_t i = 0; choices[i]; i++)
        fprintf(out, " %s", choices[i]);
}

/* What operands of this verb complete to; the first that says so counts. */
static enum option_complete verb_completes(const struct verb *verb)
{
    for (const struct operand *operand = verb->operands; operand && operand->name; operand++)
        if (operand->complete != COMPLETE_NOTHING)
            return operand->complete;
    return COMPLETE_NOTHING;
}

static const char *const *verb_choices(const struct verb *verb)
{
    const struct operand *first = verb->operands;

    return first && first->name ? first->choices : NULL;
}

/* --- bash */

/* A case of the options that take a value, so that the value is completed. */
static void bash_values(FILE *out, const struct verb *verb)
{
    for (const struct option *option = verb->options; option && option->name; option++) {
        if (option->hidden || option->kind == OPTION_FLAG)
            continue;
        fprintf(out, "    %s:--%s", verb->name, option->name);
        if (option->letter)
            fprintf(out, " | %s:-%c", verb->name, option->letter);
        fprintf(out, ")\n        ");
        if (option->kind == OPTION_CHOICE) {
            fprintf(out, "words=\"");
            print_choices(out, option->choices);
            fprintf(out, "\"");
        } else if (option->complete == COMPLETE_END) {
            fprintf(out, "words=\"$ends\"");
        } else {
            fprintf(out, "files=%s",
                    option->complete == COMPLETE_FILE     ? "-f"
                    : option->complete == COMPLETE_FOLDER ? "-d"
                                                          : "none");
        }
        fprintf(out, "\n        ;;\n");
    }
}

static void bash_verb(FILE *out, const struct verb *verb)
{
    enum option_complete complete = verb_completes(verb);

    fprintf(out, "    %s:*)\n        words=\"--help", verb->name);
    for (const struct option *option = verb->options; option && option->name; option++)
        if (!option->hidden)
            fprintf(out, " --%s", option->name);
    if (verb_choices(verb))
        print_choices(out, verb_choices(verb));
    fprintf(out, "%s\"\n", complete == COMPLETE_END ? " $ends" : "");
    if (complete == COMPLETE_FILE || complete == COMPLETE_FOLDER)
        fprintf(out, "        files=%s\n", complete == COMPLETE_FILE ? "-f" : "-d");
    fprintf(out, "        ;;\n");
}

void options_bash(FILE *out, const struct verb *const *verbs)
{
    fprintf(out, "# kdlens - completion for bash; written by \"kdlens help --bash\".\n"
                 "# SPDX-License-Identifier: BSD-2-Clause-Patent\n"
                 "_kdlens()\n{\n"
                 "    local current previous words=\"\" files=\"\" ends=\"");
    print_ends(out);
    fprintf(out,
            "\"\n"
            "    # Names of ends have colons, at which bash would divide words.\n"
            "    if declare -F _get_comp_words_by_ref >/dev/null; then\n"
            "        _get_comp_words_by_ref -n : -c current -p previous\n"
            "    else\n"
            "        current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
            "    fi\n"
            "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
            "        COMPREPLY=($(compgen -W \"--help --version");
    for (size_t i = 0; verbs[i]; i++)
        if (!verbs[i]->hidden)
            fprintf(out, " %s", verbs[i]->name);
    fprintf(out, "\" -- \"$current\"))\n        return\n    fi\n"
                 "    case \"${COMP_WORDS[1]}:$previous\" in\n");
    for (size_t i = 0; verbs[i]; i++)
        if (!verbs[i]->hidden)
            bash_values(out, verbs[i]);
    for (size_t i = 0; verbs[i]; i++)
        if (!verbs[i]->hidden)
            bash_verb(out, verbs[i]);
    fprintf(out, "    esac\n"
                 "    COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n"
                 "    case \"$files\" in\n"
                 "    -*) compopt -o filenames\n"
                 "        COMPREPLY+=($(compgen \"$files\" -- \"$current\")) ;;\n"
                 "    esac\n"
                 "    case \"$words\" in\n"
                 "    *:*) compopt -o nospace\n"
                 "        declare -F __ltrim_colon_completions >/dev/null &&\n"
                 "            __ltrim_colon_completions \"$current\" ;;\n"
                 "    esac\n"
                 "}\ncomplete -F _kdlens kdlens\n");
}

/* --- zsh */

/* Help inside '...[...]' of _arguments. */
static void zsh_help(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (strchr("[]:", *text))
            fputc('\\', out);
        if (*text == '\'')
            fputs("'\\''", out);
        else if (*text == '\n')
            fputc(' ', out);
        else
            fputc(*text, out);
    }
}

static void zsh_action(FILE *out, enum option_complete complete, const char *const *choices)
{
    if (choices) {
        fputs("(", out);
        print_choices(out, choices);
        fputs(" )", out);
        return;
    }
    fputs(complete == COMPLETE_FILE     ? "_files"
          : complete == COMPLETE_FOLDER ? "_files -/"
          : complete == COMPLETE_END    ? "_kdlens_end"
                                        : " ",
          out);
}

static void zsh_option(FILE *out, const struct option *option)
{
    fprintf(out, "            '");
    if (option->kind == OPTION_EACH)
        fprintf(out, "*");
    if (option->letter)
        fprintf(out, "'{-%c,--%s}'", option->letter, option->name);
    else
        fprintf(out, "--%s", option->name);
    fputc('[', out);
    zsh_help(out, option->help);
    fputc(']', out);
    if (option->kind != OPTION_FLAG) {
        fprintf(out, ":%s:", option->value);
        zsh_action(out, option->complete, option->kind == OPTION_CHOICE ? option->choices : NULL);
    }
    fprintf(out, "' \\\n");
}

static void zsh_verb(FILE *out, const struct verb *verb)
{
    fprintf(out, "    %s)\n        _arguments -s -S \\\n            '--help[show help]' \\\n",
            verb->name);
    for (const struct option *option = verb->options; option && option->name; option++)
        if (!option->hidden)
            zsh_option(out, option);
    for (const struct operand *operand = verb->operands; operand && operand->name; operand++) {
        fprintf(out, "            '%s:%s:", operand->many ? "*" : "", operand->name);
        zsh_action(out, operand->complete, operand->choices);
        fprintf(out, "' \\\n");
    }
    fprintf(out, "            && return 0\n        ;;\n");
}

void options_zsh(FILE *out, const struct verb *const *verbs)
{
    fprintf(out, "#compdef kdlens\n"
                 "# kdlens - completion for zsh; written by \"kdlens help --zsh\".\n"
                 "# SPDX-License-Identifier: BSD-2-Clause-Patent\n"
                 "_kdlens_end()\n{\n    compadd -S '' --");
    print_ends(out);
    fprintf(out, "\n}\n\n_kdlens()\n{\n    local -a verbs\n    verbs=(\n");
    for (size_t i = 0; verbs[i]; i++) {
        if (verbs[i]->hidden)
            continue;
        fprintf(out, "        '%s:", verbs[i]->name);
        zsh_help(out, verbs[i]->summary);
        fprintf(out, "'\n");
    }
    fprintf(out, "    )\n    if (( CURRENT == 2 )); then\n"
                 "        _describe verb verbs\n        compadd -- --help --version\n"
                 "        return\n    fi\n"
                 "    shift words\n    (( CURRENT-- ))\n    case $words[1] in\n");
    for (size_t i = 0; verbs[i]; i++)
        if (!verbs[i]->hidden)
            zsh_verb(out, verbs[i]);
    fprintf(out, "    esac\n}\n\n_kdlens \"$@\"\n");
}

/* --- fish */

static void fish_quoted(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            fputc('\\', out);
        fputc(*text == '\n' ? ' ' : *text, out);
    }
    fputc('\'', out);
}

static void fish_option(FILE *out, const struct verb *verb, const struct option *option)
{
    fprintf(out, "complete -c kdlens -n '__fish_seen_subcommand_from %s' -l %s", verb->name,
            option->name);
    if (option->letter)
        fprintf(out, " -s %c", option->letter);
    if (option->kind != OPTION_FLAG)
        fprintf(out, option->complete == COMPLETE_FILE ? " -r -F" : " -x");
    if (option->kind == OPTION_CHOICE) {
        fprintf(out, " -a '");
        print_choices(out, option->choices);
        fprintf(out, "'");
    } else if (option->complete == COMPLETE_FOLDER) {
        fprintf(out, " -a '(__fish_complete_directories)'");
    }
    fprintf(out, " -d ");
    fish_quoted(out, option->help);
    fputc('\n', out);
}

static void fish_verb(FILE *out, const struct verb *verb)
{
    fprintf(out, "complete -c kdlens -f -n __fish_use_subcommand -a %s -d ", verb->name);
    fish_quoted(out, verb->summary);
    fputc('\n', out);
    for (const struct option *option = verb->options; option && option->name; option++)
        if (!option->hidden)
            fish_option(out, verb, option);
    if (verb_completes(verb) == COMPLETE_END || verb_choices(verb)) {
        fprintf(out, "complete -c kdlens -f -n '__fish_seen_subcommand_from %s' -a '", verb->name);
        if (verb_choices(verb))
            print_choices(out, verb_choices(verb));
        if (verb_completes(verb) == COMPLETE_END)
            print_ends(out);
        fprintf(out, "'\n");
    }
}

void options_fish(FILE *out, const struct verb *const *verbs)
{
    fprintf(out, "# kdlens - completion for fish; written by \"kdlens help --fish\".\n"
                 "# SPDX-License-Identifier: BSD-2-Clause-Patent\n"
                 "complete -c kdlens -n __fish_use_subcommand -l version -d 'show the version'\n"
                 "complete -c kdlens -l help -d 'show help'\n");
    for (size_t i = 0; verbs[i]; i++)
        if (!verbs[i]->hidden)
            fish_verb(out, verbs[i]);
}
