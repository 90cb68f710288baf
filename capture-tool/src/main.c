/* main.c - kdlens: finds the verb and runs it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdio.h>
#include <string.h>

#include "extcap.h"
#include "startup.h"
#include "verbs.h"

#define VERBS_LIMIT 32u

const struct verb *const verbs[] = {
    &verb_tap,    &verb_debug,   &verb_doctor,  &verb_capture, &verb_vm,    &verb_import,
    &verb_export, &verb_stats,   &verb_stops,   &verb_modules, &verb_mem,   &verb_writes,
    &verb_prints, &verb_carve,   &verb_dump,    &verb_diff,    &verb_scrub, &verb_replay,
    &verb_keys,   &verb_symbols, &verb_install, &verb_extcap,  &verb_help,  NULL,
};

static int no_verb(const char *name)
{
    const char *names[VERBS_LIMIT], *nearest;
    size_t count = 0;

    for (size_t i = 0; verbs[i] && count < VERBS_LIMIT; i++)
        names[count++] = verbs[i]->name;
    nearest = options_nearest(name, names, count);
    if (nearest)
        fprintf(stderr, "kdlens: no verb %s; did you mean %s?\n", name, nearest);
    else
        fprintf(stderr, "kdlens: no verb %s\nTry \"kdlens --help\".\n", name);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    argv = startup_arguments(&argc, argv);
    if (!argv) {
        fprintf(stderr, "kdlens: out of memory\n");
        return EXIT_FAILED;
    }
    if (argc > 0 && extcap_is_name(argv[0]))
        return extcap_main(argc, argv);
    if (argc < 2) {
        options_help_all(stderr, verbs);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        options_help_all(stdout, verbs);
        return EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("kdlens " KDLENS_VERSION "\n");
        return EXIT_OK;
    }
    for (size_t i = 0; verbs[i]; i++)
        if (strcmp(argv[1], verbs[i]->name) == 0)
            return options_run(verbs[i], argc - 2, argv + 2);
    return no_verb(argv[1]);
}
