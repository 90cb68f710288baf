/* install.c - kdlens install: plugin, extcap program and profile into Wireshark's folders.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Two files are put there: kdlens.so (kdlens.dll) among the plugins for dissectors, and this
 * program as kdlens-extcap among the programs that capture for Wireshark; the profile only when it
 * is asked for. Before anything is changed it is made sure that all can be done; afterwards tshark
 * is asked whether it sees them.
 *
 * The files of a profile become the user's own: Wireshark writes the user's settings into them. So
 * one that is there stays as it is, and none is removed unless the profile is named.
 */
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "folders.h"
#include "options.h"
#include "plugin_image.h"
#include "process.h"
#include "profile.h"
#include "status.h"
#include "verbs.h"
#include "wireshark.h"

#ifdef _WIN32
#define SEPARATOR   "\\"
#define PLUGIN_FILE "kdlens.dll"
#define EXTCAP_FILE "kdlens-extcap.exe"
#define AS_ROOT     "start it in a terminal that runs as Administrator"
#define IS_LINKED   false
#define KEEP_IT     ""
#else
#define SEPARATOR   "/"
#define PLUGIN_FILE "kdlens.so"
#define EXTCAP_FILE "kdlens-extcap"
#define AS_ROOT     "run it with sudo"
#define IS_LINKED   true /* what one user has is a link */
#define KEEP_IT     "; for one user it is a link to this file, so keep it where it is"
#endif

#define LAST_FOLDER "wireshark" /* the highest folder that may be removed when it is empty */
#define PATIENCE    60000u      /* milliseconds for tshark */
#define MINORS      100u        /* versions 4.0 to 4.99 are looked through by --uninstall */

enum part { PART_BOTH, PART_PLUGIN, PART_EXTCAP, PART_PROFILE, PART_ALL };

#define PARTS (PART_PROFILE + 1)

struct install_options {
    bool personal;
    bool system;
    bool uninstall;
    bool dry_run;
    bool json;
    unsigned part; /* enum part */
    const char *plugin;
    const char *tshark;
};

struct install {
    const struct install_options *options;
    struct wireshark wireshark;
    enum wireshark_place place;
    char program[PROCESS_PATH_SIZE];
    char plugin[PROCESS_PATH_SIZE];
    char profile[PROCESS_PATH_SIZE];
    bool changed;
    struct problem problem;
};

static bool wants(const struct install *install, enum part part)
{
    switch (install->options->part) {
    case PART_ALL:
        return true;
    case PART_BOTH:
        return part != PART_PROFILE;
    default:
        return install->options->part == (unsigned)part;
    }
}

static bool join(char *out, const char *folder, const char *name)
{
    int length = snprintf(out, PROCESS_PATH_SIZE, "%s" SEPARATOR "%s", folder, name);

    return length >= 0 && (size_t)length < PROCESS_PATH_SIZE;
}

/* --- what is said */

/* One thing done, or to be done: "plugin  installed  PATH". */
static void tell(const struct install *install, const char *part, const char *what,
                 const char *path, const char *more)
{
    struct event event;

    if (!install->options->json) {
        printf("%-9s %-12s  %s%s\n", part, what, path, more);
        return;
    }
    event_begin(&event, clock_wall(), "install");
    event_text(&event, "part", part);
    event_text(&event, "result", what);
    event_text(&event, "path", path);
    if (*more)
        event_text(&event, "detail", more);
    printf("%.*s}\n", (int)event.length, event.text);
}

static int fail(const struct install *install)
{
    fprintf(stderr, "kdlens install: %s\n", install->problem.text);
    return EXIT_FAILED;
}

/* --- what is to be done */

static bool choose_place(struct install *install)
{
    const struct install_options *options = install->options;

    if (options->personal && options->system) {
        problem_set(&install->problem, "--personal and --system exclude each other");
        return false;
    }
    if (options->personal && folders_are_roots()) {
        problem_set(&install->problem, "Wireshark ignores root's personal folders when root runs "
                                       "it. Run this as the user who runs Wireshark, or choose "
                                       "--system");
        return false;
    }
    install->place = options->system || folders_are_roots() ? WIRESHARK_SYSTEM : WIRESHARK_PERSONAL;
    return true;
}

/* Beside this program, in a folder for each version beside it, or where the build puts it. */
static bool find_plugin(struct install *install)
{
    char folder[PROCESS_PATH_SIZE], name[PROCESS_PATH_SIZE];

    if (install->options->plugin) {
        snprintf(install->plugin, sizeof install->plugin, "%s", install->options->plugin);
        return true;
    }
    memcpy(folder, install->program, sizeof folder);
    wireshark_parent(folder);
    snprintf(name, sizeof name, "plugins" SEPARATOR "%u.%u" SEPARATOR PLUGIN_FILE,
             install->wireshark.major, install->wireshark.minor);
    if ((join(install->plugin, folder, name) && folders_have(install->plugin)) ||
        (join(install->plugin, folder, PLUGIN_FILE) && folders_have(install->plugin)))
        return true;
    wireshark_parent(folder);
    if (join(install->plugin, folder, "plugin" SEPARATOR PLUGIN_FILE) &&
        folders_have(install->plugin))
        return true;
    problem_set(&install->problem,
                "there is no " PLUGIN_FILE " beside %s. Name it with --plugin, "
                "or install the extcap program alone with --part extcap",
                install->program);
    return false;
}

static bool check_plugin(struct install *install)
{
    const struct wireshark *wireshark = &install->wireshark;
    unsigned major, minor;

    if (!find_plugin(install) ||
        !plugin_image_wants(install->plugin, &major, &minor, &install->problem))
        return false;
    if (major == wireshark->major && minor == wireshark->minor)
        return true;
    problem_set(&install->problem,
                "%s was built for Wireshark %u.%u, and this is %s (%s). "
                "Wireshark loads only plugins of its own minor version: build "
                "it with the development files of %u.%u, and name it with "
                "--plugin; --part extcap installs the rest",
                install->plugin, major, minor, wireshark->version, wireshark->tshark,
                wireshark->major, wireshark->minor);
    return false;
}

static bool can_write(struct install *install, const char *folder)
{
    if (folders_can_write(folder))
        return true;
    if (install->place == WIRESHARK_SYSTEM)
        problem_set(&install->problem,
                    "this user may not write to %s, which is for all users: " AS_ROOT
                    ", or install for yourself with --personal",
                    folder);
    else
        problem_set(&install->problem, "this user may not write to %s", folder);
    return false;
}

static bool profile_target(struct install *install, char folder[PROCESS_PATH_SIZE])
{
    const char *profiles = install->wireshark.profiles[install->place];

    if (*profiles && join(folder, profiles, PROFILE_NAME))
        return true;
    problem_set(&install->problem, "tshark -G folders names no folder for profiles of all users: "
                                   "install the profile with --personal");
    return false;
}

/* Where the files go; by enum part. */
static bool targets(struct install *install, char folder[][PROCESS_PATH_SIZE],
                    char path[][PROCESS_PATH_SIZE])
{
    const struct wireshark *wireshark = &install->wireshark;
    bool fine = join(folder[PART_PLUGIN], wireshark->plugins[install->place], "epan") &&
                join(path[PART_PLUGIN], folder[PART_PLUGIN], PLUGIN_FILE) &&
                join(path[PART_EXTCAP], wireshark->extcap[install->place], EXTCAP_FILE);

    memcpy(folder[PART_EXTCAP], wireshark->extcap[install->place], PROCESS_PATH_SIZE);
    if (!fine)
        problem_set(&install->problem, "a path is too long");
    return fine && (!wants(install, PART_PROFILE) || profile_target(install, folder[PART_PROFILE]));
}

/* --- doing it */

/* Only the user's own program may be where the user keeps it; what all run is a copy that belongs
 * to root, as is the plugin. */
static bool put(struct install *install, enum part part, const char *folder, const char *path)
{
    const char *name = part == PART_PLUGIN ? "plugin" : "extcap";
    const char *from = part == PART_PLUGIN ? install->plugin : install->program;
    bool shared = install->place == WIRESHARK_SYSTEM;
    bool linked = IS_LINKED && part == PART_EXTCAP && !shared;
    char more[PROCESS_PATH_SIZE + 8] = "";

    if (linked)
        snprintf(more, sizeof more, " -> %s", from);
    if (linked ? folders_linked(from, path) : folders_copied(from, path)) {
        tell(install, name, "is there", path, more);
        return true;
    }
    if (install->options->dry_run) {
        tell(install, name, "would put", path, more);
        return true;
    }
    if (!folders_make(folder, shared, &install->problem))
        return false;
    if (!(linked ? folders_link(from, path, &install->problem)
                 : folders_copy(from, path, part == PART_EXTCAP, &install->problem)))
        return false;
    install->changed = true;
    tell(install, name, "installed", path, more);
    return true;
}

/* One file of the profile. */
static bool put_setting(struct install *install, const char *folder, const char *name)
{
    char from[PROCESS_PATH_SIZE], path[PROCESS_PATH_SIZE];
    bool shared = install->place == WIRESHARK_SYSTEM;

    if (!join(from, install->profile, name) || !join(path, folder, name)) {
        problem_set(&install->problem, "a path is too long");
        return false;
    }
    if (folders_have(path)) {
        bool same = folders_copied(from, path);

        tell(install, "profile", same ? "is there" : "stays", path,
             same ? "" : ", which differs; remove it to have the new one");
        return true;
    }
    if (install->options->dry_run) {
        tell(install, "profile", "would put", path, "");
        return true;
    }
    if (!folders_make(folder, shared, &install->problem) ||
        !folders_copy(from, path, false, &install->problem))
        return false;
    install->changed = true;
    tell(install, "profile", "installed", path, "");
    return true;
}

static bool put_profile(struct install *install, const char *folder)
{
    for (size_t i = 0; profile_files[i]; i++)
        if (!put_setting(install, folder, profile_files[i]))
            return false;
    return true;
}

/* Standard output of tshark with these arguments; NULL with a problem. */
static bool ask(struct install *install, const char *first, const char *second,
                struct process_result *result)
{
    const char *const arguments[] = {install->wireshark.tshark, first, second, NULL};

    return process_run(arguments, PATIENCE, result, &install->problem);
}

static bool verify_plugin(struct install *install, const char *path)
{
    struct process_result result;
    char loaded[PROCESS_PATH_SIZE];
    bool fine = false;

    if (!ask(install, "-G", "plugins", &result))
        return false;
    if (!wireshark_loads(result.output, PLUGIN_FILE, loaded, sizeof loaded))
        problem_set(&install->problem, "tshark does not load %s: %.300s", path,
                    *result.errors ? result.errors : "it does not say why");
    else if (strcmp(loaded, path) != 0)
        problem_set(&install->problem,
                    "tshark loads another copy, %s. Remove that one: kdlens "
                    "install --uninstall, with --personal or --system",
                    loaded);
    else if (strstr(result.errors, "is registered already"))
        problem_set(&install->problem, "tshark loads it, but: %.400s",
                    strstr(result.errors, "kdlens:") ? strstr(result.errors, "kdlens:")
                                                     : result.errors);
    else
        fine = true;
    if (fine)
        tell(install, "check", "tshark loads", path, "");
    process_result_clear(&result);
    return fine;
}

static bool verify_extcap(struct install *install, const char *path)
{
    struct process_result result;
    bool found;

    if (!ask(install, "-D", NULL, &result))
        return false;
    found = wireshark_lists(result.output, "kdlens-tap");
    if (found)
        tell(install, "check", "tshark lists", "kdlens-tap", "");
    else
        problem_set(&install->problem,
                    "tshark -D does not list kdlens-tap, which %s offers. Is "
                    "\"Disable external capture interfaces\" set in Wireshark's "
                    "preferences (Capture)? %.200s",
                    path, result.errors);
    process_result_clear(&result);
    return found;
}

/* Makes sure that all can be done. */
static bool prepare(struct install *install, char folder[][PROCESS_PATH_SIZE],
                    char path[][PROCESS_PATH_SIZE])
{
    if ((wants(install, PART_PLUGIN) && !check_plugin(install)) ||
        (wants(install, PART_PROFILE) &&
         !profile_find(install->profile, install->program, &install->problem)) ||
        !targets(install, folder, path))
        return false;
    for (enum part part = PART_PLUGIN; part <= PART_PROFILE; part++)
        if (wants(install, part) && !can_write(install, folder[part]))
            return false;
    return true;
}

static int run_install(struct install *install)
{
    char folder[PARTS][PROCESS_PATH_SIZE], path[PARTS][PROCESS_PATH_SIZE];

    if (!prepare(install, folder, path))
        return fail(install);
    for (enum part part = PART_PLUGIN; part <= PART_EXTCAP; part++)
        if (wants(install, part) && !put(install, part, folder[part], path[part]))
            return fail(install);
    if (wants(install, PART_PROFILE) && !put_profile(install, folder[PART_PROFILE]))
        return fail(install);
    if (install->options->dry_run)
        return EXIT_OK;
    if ((wants(install, PART_PLUGIN) && !verify_plugin(install, path[PART_PLUGIN])) ||
        (wants(install, PART_EXTCAP) && !verify_extcap(install, path[PART_EXTCAP])))
        return fail(install);
    if (install->changed && !install->options->json)
        printf("A Wireshark that is running must be started again.\n");
    return EXIT_OK;
}

/* --- and undoing it */

static bool take_out(struct install *install, const char *part, const char *folder,
                     const char *name)
{
    char path[PROCESS_PATH_SIZE];

    if (!join(path, folder, name) || !folders_have(path))
        return true;
    if (install->options->dry_run) {
        tell(install, part, "would remove", path, "");
        install->changed = true;
        return true;
    }
    if (!can_write(install, folder) || !folders_remove(path, &install->problem))
        return false;
    /* Folders for all users are Wireshark's own. */
    if (install->place == WIRESHARK_PERSONAL)
        folders_prune(folder, LAST_FOLDER);
    install->changed = true;
    tell(install, part, "removed", path, "");
    return true;
}

/* Also where an earlier Wireshark looked: folders of plugins carry the version. */
static bool take_out_plugins(struct install *install)
{
    char root[PROCESS_PATH_SIZE], folder[PROCESS_PATH_SIZE], name[64];

    memcpy(root, install->wireshark.plugins[install->place], sizeof root);
    wireshark_parent(root);
    for (unsigned minor = 0; minor < MINORS; minor++) {
        snprintf(name, sizeof name, "%u.%u" SEPARATOR "epan", install->wireshark.major, minor);
        if (join(folder, root, name) && !take_out(install, "plugin", folder, PLUGIN_FILE))
            return false;
    }
    return true;
}

/* The personal folder has moved; the same name may come twice. */
static bool take_out_extcaps(struct install *install)
{
    const struct wireshark *wireshark = &install->wireshark;
    const char *now = wireshark->extcap[install->place];
    char folder[2][PROCESS_PATH_SIZE], newer[PROCESS_PATH_SIZE];

    if (!take_out(install, "extcap", now, EXTCAP_FILE))
        return false;
    if (install->place == WIRESHARK_SYSTEM)
        return true;
    memcpy(newer, wireshark->plugins[WIRESHARK_PERSONAL], sizeof newer);
    wireshark_parent(newer);
    wireshark_parent(newer);
    if (!join(folder[0], wireshark->configuration, "extcap") || !join(folder[1], newer, "extcap"))
        return false;
    for (size_t i = 0; i < 2; i++)
        if (strcmp(folder[i], now) != 0 && !take_out(install, "extcap", folder[i], EXTCAP_FILE))
            return false;
    return true;
}

/* Also what Wireshark has put into the folder of the profile. */
static bool take_out_profile(struct install *install)
{
    const char *const *const lists[] = {profile_files, profile_traces};
    char folder[PROCESS_PATH_SIZE];

    if (!profile_target(install, folder))
        return false;
    for (size_t i = 0; i < 2; i++)
        for (const char *const *name = lists[i]; *name; name++)
            if (!take_out(install, "profile", folder, *name))
                return false;
    if (install->place == WIRESHARK_SYSTEM && !install->options->dry_run)
        folders_prune(folder, PROFILE_NAME);
    return true;
}

/* What is installed for others, or for all, is not what was to be removed. */
static void tell_rest(const struct install *install)
{
    enum wireshark_place other =
        install->place == WIRESHARK_SYSTEM ? WIRESHARK_PERSONAL : WIRESHARK_SYSTEM;
    char folder[PROCESS_PATH_SIZE], path[PROCESS_PATH_SIZE];

    if (join(folder, install->wireshark.plugins[other], "epan") &&
        join(path, folder, PLUGIN_FILE) && folders_have(path))
        tell(install, "plugin", "stays", path, "");
    if (join(path, install->wireshark.extcap[other], EXTCAP_FILE) && folders_have(path))
        tell(install, "extcap", "stays", path, "");
    if (!wants(install, PART_PROFILE) &&
        join(folder, install->wireshark.profiles[install->place], PROFILE_NAME) &&
        folders_have(folder))
        tell(install, "profile", "stays", folder, " (--part profile removes it)");
}

static int run_uninstall(struct install *install)
{
    if ((wants(install, PART_PLUGIN) && !take_out_plugins(install)) ||
        (wants(install, PART_EXTCAP) && !take_out_extcaps(install)) ||
        (wants(install, PART_PROFILE) && !take_out_profile(install)))
        return fail(install);
    if (!install->changed)
        tell(install, "nothing", "to remove", "",
             install->place == WIRESHARK_SYSTEM ? "for all users" : "for this user");
    tell_rest(install);
    return EXIT_OK;
}

static int run(void *values)
{
    static struct install install;

    install = (struct install){.options = values};
    if (!choose_place(&install)) {
        fail(&install);
        return EXIT_USAGE;
    }
    if (!wireshark_find(&install.wireshark, install.options->tshark, &install.problem) ||
        !process_own_path(install.program, sizeof install.program, &install.problem))
        return fail(&install);
    tell(&install, "Wireshark", install.wireshark.version, install.wireshark.tshark, "");
    return install.options->uninstall ? run_uninstall(&install) : run_install(&install);
}

/* --- the verb */

static const char *const part_names[] = {"both", "plugin", "extcap", "profile", "all", NULL};

static const struct option options[] = {
    {0, "personal", OPTION_FLAG, offsetof(struct install_options, personal),
     .help = "for this user alone; what is done when neither is given, but for root"},
    {0, "system", OPTION_FLAG, offsetof(struct install_options, system),
     .help = "for all users; needs root's or an Administrator's rights"},
    {0, "uninstall", OPTION_FLAG, offsetof(struct install_options, uninstall),
     .help = "remove what was installed, also for earlier versions of Wireshark"},
    {0, "dry-run", OPTION_FLAG, offsetof(struct install_options, dry_run),
     .help = "say what would be done, and do nothing"},
    {0, "part", OPTION_CHOICE, offsetof(struct install_options, part), .value = "PART",
     .choices = part_names,
     .help = "both, only the plugin, only the extcap program, only the profile, or all three"},
    {0, "plugin", OPTION_TEXT, offsetof(struct install_options, plugin), .value = "FILE",
     .complete = COMPLETE_FILE,
     .help = "the plugin to install; else " PLUGIN_FILE " beside this program or of its build"},
    {0, "tshark", OPTION_TEXT, offsetof(struct install_options, tshark), .value = "PROGRAM",
     .complete = COMPLETE_FILE,
     .help = "the tshark of the Wireshark to install for; else the one on the path"},
    {0, "json", OPTION_FLAG, offsetof(struct install_options, json),
     .help = "one JSON object a line on standard output"},
    {0},
};

static const struct section sections[] = {
    {"What is installed",
     "kdlens.so decodes: a plugin that fits one minor version of Wireshark, so it is checked "
     "first. kdlens-extcap captures: this program under another name, which gives Wireshark the "
     "interfaces kdlens-tap and kdlens-kdnet" KEEP_IT
     ".\nThe profile kdlens (--part profile or all) has columns, colours, filter buttons and "
     "macros "
     "for KD; choose it at the right end of Wireshark's status bar, or with wireshark -C kdlens. "
     "What is changed in it afterwards stays: its files are neither replaced nor, unless the part "
     "is "
     "named, removed.\nThe folders are those that tshark -G folders names."},
    {0},
};

static const struct example examples[] = {
    {"kdlens install", "install for yourself"},
    {"kdlens install --part all", "the same, and the profile kdlens"},
    {"sudo kdlens install --system", "install for all users of this machine"},
    {"kdlens install --uninstall --dry-run", "see what would be removed"},
    {0},
};

const struct verb verb_install = {
    .name = "install",
    .summary = "put the plugin and the extcap program where Wireshark finds them",
    .options = options,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct install_options),
    .run = run,
};
