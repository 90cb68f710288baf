/* aot_dump.c - prints what lib/image reads of a NativeAOT image, one fact a line, for the tests.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 *   aot_dump IMAGE header
 *   aot_dump IMAGE hydrate                        where and how many bytes
 *   aot_dump IMAGE names [parameters]             RVA, tab, name
 *   aot_dump IMAGE at RVA...                      name+offset, or why there is none
 *   aot_dump IMAGE types RVA...                   the dispatch map of each MethodTable
 *   aot_dump IMAGE resolve TYPE INTERFACE SLOT    RVA of the code that a call reaches
 *   aot_dump IMAGE static TYPE INTERFACE SLOT     the same of a static member, and its context
 *   aot_dump IMAGE assignable FROM TO
 *
 * Numbers are hexadecimal. Exit status 1 with the reason on stderr.
 */
#include "image/aot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "imagefile.h"

struct subject {
    struct img_image image;
    struct img_aot aot;
    uint8_t *hydrated;
};

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "aot_dump: %s: %s\n", what, why);
    return 1;
}

static int fail_status(const char *what, enum img_aot_status status)
{
    return fail(what, img_aot_text(status));
}

/* Writes out what is dry in the file, so that types are there. */
static enum img_aot_status hydrate(struct subject *subject, uint32_t *at, uint32_t *size)
{
    enum img_aot_status status = img_aot_hydrate(&subject->aot, NULL, 0, at, size);

    if (status != IMG_AOT_OK)
        return status;
    subject->hydrated = malloc(*size + 1);
    if (!subject->hydrated)
        return IMG_AOT_ROOM;
    status = img_aot_hydrate(&subject->aot, subject->hydrated, *size, at, size);
    if (status == IMG_AOT_OK)
        img_aot_overlay(&subject->aot, subject->hydrated, *at, *size);
    return status;
}

static uint32_t number(const char *text)
{
    return (uint32_t)strtoul(text, NULL, 16);
}

static int print_header(const struct img_aot *aot)
{
    struct img_aot_section section;

    printf("version %u.%u at %x\n", aot->major, aot->minor, aot->header);
    for (unsigned i = 0; img_aot_section(aot, i, &section) == IMG_AOT_OK; i++)
        printf("section %d %x %x\n", (int)section.id, section.start, section.size);
    return 0;
}

static int print_names(const struct img_aot *aot, bool parameters)
{
    struct img_aot_methods walk;
    struct img_aot_method method;
    char text[2048];
    struct img_aot_name name = {.text = text, .room = sizeof text};
    enum img_aot_status status = img_aot_methods(aot, &walk);

    while (status == IMG_AOT_OK && (status = img_aot_next_method(&walk, &method)) == IMG_AOT_OK) {
        status = img_aot_method_name(aot, &method, parameters, &name);
        printf("%x\t%s%s%s%s\n", method.rva, text, name.cut ? "\tcut" : "",
               name.unknown ? "\tunknown" : "", method.hidden ? "\thidden" : "");
    }
    return status == IMG_AOT_END ? 0 : fail_status("names", status);
}

static int print_type(const struct img_aot *aot, uint32_t rva)
{
    static const char *const kinds[] = {"std", "def", "static", "defstatic"};
    struct img_aot_type type;
    struct img_aot_map map;
    struct img_aot_entry entry;
    enum img_aot_status status = img_aot_type(aot, rva, &type);

    if (status == IMG_AOT_OK)
        status = img_aot_map(aot, &type, &map);
    if (status != IMG_AOT_OK)
        return fail_status("type", status);
    printf("type %x virtuals %u interfaces %u entries %u %u %u %u\n", rva, type.virtuals,
           type.interfaces, map.counts[0], map.counts[1], map.counts[2], map.counts[3]);
    for (unsigned i = 0; (status = img_aot_map_entry(aot, &type, &map, i, &entry)) == IMG_AOT_OK;
         i++)
        printf("%s %x %u -> %u %s %x\n", kinds[entry.kind], entry.interface, entry.slot,
               entry.implementation, entry.sealed ? "sealed" : "virtual", entry.target);
    return status == IMG_AOT_END ? 0 : fail_status("dispatch map", status);
}

static int print_types(const struct img_aot *aot, int count, char **types)
{
    int failed = 0;

    for (int i = 0; i < count && !failed; i++)
        failed = print_type(aot, number(types[i]));
    return failed;
}

static int print_places(const struct img_aot *aot, int count, char **places)
{
    char text[2048];
    struct img_aot_name name = {.text = text, .room = sizeof text};
    uint32_t offset = 0;

    for (int i = 0; i < count; i++) {
        enum img_aot_status status = img_aot_name_of(aot, number(places[i]), false, &name, &offset);

        if (status == IMG_AOT_OK)
            printf("%s+%x\n", text, offset);
        else
            printf("%s\n", img_aot_text(status));
    }
    return 0;
}

static int print_target(const struct img_aot *aot, char **arguments)
{
    uint32_t target = 0;
    enum img_aot_status status = img_aot_resolve(aot, number(arguments[0]), number(arguments[1]),
                                                 (uint16_t)number(arguments[2]), &target);

    if (status != IMG_AOT_OK)
        return fail_status("resolve", status);
    printf("%x\n", target);
    return 0;
}

static int print_static(const struct img_aot *aot, char **arguments)
{
    uint32_t target = 0, context = 0;
    enum img_aot_status status =
        img_aot_resolve_static(aot, number(arguments[0]), number(arguments[1]),
                               (uint16_t)number(arguments[2]), &target, &context);

    if (status != IMG_AOT_OK)
        return fail_status("static", status);
    printf("%x %x\n", target, context);
    return 0;
}

static int print(struct subject *subject, int count, char **words)
{
    uint32_t at = 0, size = 0;
    enum img_aot_status status = hydrate(subject, &at, &size);

    if (status != IMG_AOT_OK && status != IMG_AOT_NO_SECTION)
        return fail_status("hydrate", status);
    if (strcmp(words[0], "header") == 0)
        return print_header(&subject->aot);
    if (strcmp(words[0], "hydrate") == 0)
        return printf("%x %x\n", at, size) < 0;
    if (strcmp(words[0], "names") == 0)
        return print_names(&subject->aot, count > 1);
    if (strcmp(words[0], "types") == 0)
        return print_types(&subject->aot, count - 1, words + 1);
    if (strcmp(words[0], "at") == 0)
        return print_places(&subject->aot, count - 1, words + 1);
    if (strcmp(words[0], "resolve") == 0 && count == 4)
        return print_target(&subject->aot, words + 1);
    if (strcmp(words[0], "static") == 0 && count == 4)
        return print_static(&subject->aot, words + 1);
    if (strcmp(words[0], "assignable") == 0 && count == 3) {
        status = img_aot_assignable(&subject->aot, number(words[1]), number(words[2]));
        return printf("%s\n", img_aot_text(status)) < 0;
    }
    return fail(words[0], "no such command");
}

int main(int argc, char **argv)
{
    static struct subject subject;
    enum img_aot_status status;
    int failed;

    if (argc < 3)
        return fail("usage", "aot_dump IMAGE COMMAND [...]");
    if (!imagefile_open(argv[1], &subject.image))
        return 1;
    status = img_aot_open(&subject.aot, &subject.image);
    if (status == IMG_AOT_VERSION)
        fprintf(stderr, "aot_dump: version %u.%u\n", subject.aot.major, subject.aot.minor);
    failed =
        status == IMG_AOT_OK ? print(&subject, argc - 2, argv + 2) : fail_status(argv[1], status);
    free(subject.hydrated);
    return failed;
}
