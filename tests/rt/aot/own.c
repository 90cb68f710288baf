/* own.c - interface calls through the tables of tables.S: each rule, then a million of them.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * LAST: which failure ends the program, after everything else (enum last).
 * BENCH: 1 measures instead, in ticks of the processor's time-stamp counter.
 */
#include "aot_state.h"
#include "start.h"

#ifndef LAST
#define LAST NO_METHOD
#endif
#ifndef BENCH
#define BENCH 0
#endif
#define CALLS     1000000u
#define TYPES     260u
#define BOX_VALUE 12345u

enum last { NO_METHOD, AMBIGUOUS, ARRAY_NEGATIVE, ARRAY_LARGE, OUT_OF_MEMORY };

struct value {
    const void *type;
    uint64_t field;
};

struct type;
extern const struct type Object, Animal, Fish, Text, Lonely, Shape, Plus, More, Given, Late, Box,
    Two, Unclear, Maker, Heir, Younger, Witness, Numbers, IScale;
extern const struct type *const many_types[TYPES];
extern struct rt_aot_cell cell_first, cell_mono, cell_few, cell_many, cell_uncached, cell_resolve,
    cell_absolute, cell_source;
extern struct value *static_plain, *static_filled;
extern uint32_t eager_runs;
extern const uint8_t wet[];
extern const char Shape_Scale[], Plus_Scale[], More_Scale[], Given_Scale[], call_frame[],
    __ImageBase[];

uint64_t call_interface(void *object, uint64_t x, struct rt_aot_cell *cell);
uint64_t call_virtual(void *object, uint64_t x);
uint64_t call_plain(void *object, uint64_t x);
uint64_t call_witness(void *object, struct rt_aot_cell *cell);

static unsigned passed, failed;

static void check(const char *what, uint64_t found, uint64_t expected)
{
    if (found == expected) {
        passed++;
        return;
    }
    failed++;
    say("wrong ");
    say(what);
    say(" ");
    say_hex(found);
    say(" expected ");
    say_hex(expected);
    say("\n");
}

static struct value *new_box(void)
{
    struct value *box = RhpNewFast(&Box);

    box->field = BOX_VALUE;
    return box;
}

static void check_rules(void)
{
    struct rt_aot_cell *cell = &cell_first;

    check("sealed", call_interface(RhpNewFast(&Shape), 10, cell), 21);
    check("virtual", call_interface(RhpNewFast(&Plus), 10, cell), 15);
    check("overridden", call_interface(RhpNewFast(&More), 10, cell), 1010);
    check("default", call_interface(RhpNewFast(&Given), 10, cell), 17);
    check("parent before default", call_interface(RhpNewFast(&Late), 10, cell), 21);
    check("boxed", call_interface(new_box(), 10, cell), BOX_VALUE + 10);
    check("variant", call_interface(RhpNewFast(&Two), 10, &cell_source), 50);
    check("absolute", call_interface(RhpNewFast(&Shape), 10, &cell_absolute), 21);
    check("again", call_interface(RhpNewFast(&Shape), 11, cell), 23);
    check("delegate", RhpResolveInterfaceMethod(RhpNewFast(&Shape), &cell_resolve),
          (uint64_t)(uintptr_t)Shape_Scale);
}

static uint32_t rva_of(const void *symbol)
{
    return (uint32_t)((const char *)symbol - __ImageBase);
}

static void check_static(const struct type *type, uint16_t slot, const char *target,
                         const struct type *context)
{
    uint32_t found = 0, with = 0;
    enum img_aot_status status = img_aot_resolve_static(rt_aot_metadata(), rva_of(type),
                                                        rva_of(&IScale), slot, &found, &with);

    check("static member", (uint64_t)status, (uint64_t)(target ? IMG_AOT_OK : IMG_AOT_NOT_FOUND));
    check("its code", target ? found : 0, target ? rva_of(target) : 0);
    check("its context", with, context ? rva_of(context) : 0);
}

/* Compiled code does not look them up at run time, so nothing but this calls it. */
static void check_statics(void)
{
    check_static(&Maker, 1, Plus_Scale, NULL);
    check_static(&Maker, 2, More_Scale, &Maker);
    check_static(&Maker, 3, Given_Scale, &IScale);
    check_static(&Maker, 0, NULL, NULL); /* that one is an instance's */
    check_static(&Heir, 2, More_Scale, &Maker);
    check_static(&Heir, 3, Given_Scale, &IScale);
    check_static(&Younger, 2, More_Scale, &Maker);
    check_static(&Shape, 1, NULL, NULL);
    check("and it dispatches", call_interface(RhpNewFast(&Heir), 10, &cell_first), 21);
}

/* Objects follow one another: a word in front, what the base size counts, the elements. */
static void check_heap(void)
{
    const uint8_t *first = RhpNewFast(&Object), *array = RhpNewArray(&Numbers, 25);
    const uint8_t *empty = RhpNewArrayFast(&Numbers, 0), *last = RhpNewFinalizable(&Object);
    uint64_t sum = 0;

    check("object's size", (uint64_t)(array - first), 24);
    check("array's size, to 8 bytes", (uint64_t)(empty - array), 24 + 104);
    check("empty array's size", (uint64_t)(last - empty), 24);
    check("array's count", ((const uint32_t *)(const void *)array)[2], 25);
    check("array's type", *(const uint64_t *)(const void *)array, (uint64_t)(uintptr_t)&Numbers);
    for (unsigned i = 12; i < 12 + 25 * 4; i++)
        sum += array[i];
    check("array's elements", sum, 0);
}

/* 1 + 2 + 4 + 16 + 256, and the floating point arguments 1 to 4 at bits 16, 20, 24, 28. */
static void check_arguments(void)
{
    void *witness = RhpNewFast(&Witness);
    uint64_t expected = 1 + 2 + 4 + 16 + 256 + (UINT64_C(0x4321) << 16);

    check("arguments, looked up", call_witness(witness, &cell_mono), expected);
    check("arguments, cached", call_witness(witness, &cell_mono), expected);
}

static void check_start(void)
{
    int32_t length = 0;
    const void *manager = &rt_aot_state.manager;
    const uint8_t *names = RhGetModuleSection(&manager, IMG_AOT_METHODS, &length);
    struct img_aot_section section;

    check("static base", static_plain->field, 0);
    check("filled static base", static_filled->field, 0x1122334455667788);
    check("eager constructor", eager_runs, 1);
    img_aot_find_section(rt_aot_metadata(), IMG_AOT_METHODS, &section);
    check("section", (uint64_t)(names - (const uint8_t *)__ImageBase), section.start);
    check("its length", (uint64_t)length, section.size);
    RhGetModuleSection(&manager, 999, &length);
    check("no section", (uint64_t)length, 0);
}

static void check_text(const char *found, const char *expected)
{
    size_t i = 0;

    while (found[i] && found[i] == expected[i])
        i++;
    check(expected, (uint8_t)found[i], (uint8_t)expected[i]);
}

static void check_name(const char *code, const char *expected)
{
    char text[256];
    struct img_aot_name name = {.text = text, .room = sizeof text};
    uint32_t rva = (uint32_t)(code - __ImageBase), offset = 0;

    check("name", (uint64_t)img_aot_name_of(rt_aot_metadata(), rva + 3, true, &name, &offset),
          IMG_AOT_OK);
    check("offset", offset, 3);
    check("unknown parts", name.unknown, 0);
    check_text(text, expected);
    name.room = 10;
    img_aot_name_of(rt_aot_metadata(), rva, true, &name, &offset);
    check("cut", name.cut && name.length == 9 && text[9] == '\0', 1);
}

/* A cut name ends with a whole character. */
static void check_cut(size_t room, size_t length)
{
    char text[32];
    struct img_aot_name name = {.text = text, .room = room};
    uint32_t offset;

    img_aot_name_of(rt_aot_metadata(), (uint32_t)(More_Scale - __ImageBase), true, &name, &offset);
    check("cut name", name.cut, 1);
    check("its length", name.length, length);
}

static void check_names(void)
{
    struct img_aot_name none = {.text = NULL};
    enum img_aot_status status;
    uint32_t offset;

    check_name(Shape_Scale, "Own.Shape.Scale(Own.Shape)");
    check_name(Plus_Scale, "Own.Shape+Part`1<T,!0>.Mix<text,T>(Own.Shape[,,]&,!!1[]*,Own.Def+In,"
                           "Own.Shape+Part`1<T,!0>)");
    check_name(More_Scale, "Own.Def.D\xc3\xb6(Own.Shape)");
    check_name(Given_Scale, "Own.Def.D\xc3\xb6(Own.Shape)");
    check_cut(12, 11);
    check_cut(11, 9);
    check_cut(10, 9);
    check_cut(1, 0);
    status = img_aot_name_of(rt_aot_metadata(), (uint32_t)(call_frame - __ImageBase), true, &none,
                             &offset);
    check("no name", (uint64_t)status, IMG_AOT_NOT_FOUND);
}

#if MAJOR >= 9
static uint64_t wet_pointer(unsigned at)
{
    return *(const uint64_t *)(const void *)(wet + at);
}

static uint64_t wet_relative(unsigned at)
{
    return (uint64_t)(uintptr_t)wet + at +
           (uint64_t)(int64_t) * (const int32_t *)(const void *)(wet + at);
}

static void check_hydrated(void)
{
    check("copied", wet[0] | (uint64_t)wet[1] << 8 | (uint64_t)wet[2] << 16, 0x636261);
    check("rel32 of the table", wet_relative(8), (uint64_t)(uintptr_t)(wet_pointer(40)) + 32);
    check("pointer of the table", wet_pointer(40), (uint64_t)(uintptr_t)&Object);
    check("rel32", wet_relative(48), (uint64_t)(uintptr_t)&Shape);
    check("second rel32", wet_relative(52), (uint64_t)(uintptr_t)&Plus);
    check("pointer", wet_pointer(56), (uint64_t)(uintptr_t)&More);
    check("behind the end", wet_pointer(64), 0);
}
#endif

/* --- A million calls */

struct callee {
    void *object;
    uint64_t factor, summand;
};

static struct callee callees[TYPES];
static unsigned callee_count;

static void add_callee(void *object, uint64_t factor, uint64_t summand)
{
    callees[callee_count++] = (struct callee){object, factor, summand};
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

static void check_many(const char *what, struct rt_aot_cell *cell, unsigned types)
{
    uint32_t random = 1;
    uint64_t right = 0;

    /* Under emulation on a busy machine this takes a while. */
    say(what);
    say("\n");
    for (unsigned i = 0; i < CALLS; i++) {
        const struct callee *callee = &callees[next_random(&random) % types];
        uint64_t x = next_random(&random);

        right += call_interface(callee->object, x, cell) == callee->factor * x + callee->summand;
    }
    check(what, right, CALLS);
}

static void add_callees(void)
{
    add_callee(RhpNewFast(&Plus), 1, 5);
    add_callee(RhpNewFast(&More), 1, 1000);
    add_callee(RhpNewFast(&Shape), 2, 1);
    add_callee(RhpNewFast(&Given), 1, 7);
    add_callee(new_box(), 1, BOX_VALUE);
    for (unsigned i = 0; callee_count < TYPES; i++)
        add_callee(RhpNewFast(many_types[i]), 1, 16 * i);
}

static void check_calls(void)
{
    add_callees();
    check_many("1,000,000 calls, one type", &cell_mono, 1);
    check_many("1,000,000 calls, four types", &cell_few, 4);
    check_many("1,000,000 calls, 260 types", &cell_many, TYPES);
    rt_aot_use_cache(false);
    check_many("1,000,000 calls, looked up", &cell_uncached, 5);
    check("cell without a cache", cell_uncached.cache & 3, 3);
}

/* --- Failures: each ends the program */

static void fail_at_last(enum last last)
{
    switch (last) {
    case NO_METHOD:
        call_interface(RhpNewFast(&Lonely), 1, &cell_first);
        break;
    case AMBIGUOUS:
        call_interface(RhpNewFast(&Unclear), 1, &cell_first);
        break;
    case ARRAY_NEGATIVE:
        RhpNewArray(&Object, -1);
        break;
    case ARRAY_LARGE:
        RhpNewArrayFast(&Object, INT64_C(0x80000000));
        break;
    case OUT_OF_MEMORY:
        for (unsigned i = 0; i < CALLS; i++)
            RhpNewFast(&Object);
        break;
    }
    say("did not fail\n");
}

/* --- Measuring */

static uint64_t ticks(void)
{
    uint32_t low, high;

    __asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

enum way { PLAIN, VIRTUAL, INTERFACE };

static uint64_t measure(enum way way, struct rt_aot_cell *cell, unsigned types, unsigned calls)
{
    uint64_t begin = ticks(), sum = 0;

    for (unsigned i = 0; i < calls; i++) {
        void *object = callees[i % types].object;

        switch (way) {
        case PLAIN:
            sum += call_plain(object, i);
            break;
        case VIRTUAL:
            sum += call_virtual(object, i);
            break;
        case INTERFACE:
            sum += call_interface(object, i, cell);
            break;
        }
    }
    __asm__ volatile("" : : "r"(sum));
    return ticks() - begin;
}

/* The best of five, in hundredths of a tick a call. */
static void say_measure(const char *name, enum way way, struct rt_aot_cell *cell, unsigned types,
                        unsigned calls)
{
    uint64_t best = UINT64_MAX;

    for (unsigned i = 0; i < 5; i++) {
        uint64_t time = measure(way, cell, types, calls);

        best = time < best ? time : best;
    }
    say("bench ");
    say(name);
    say(" ");
    say_number(best * 100 / calls);
    say("\n");
}

static void bench(void)
{
    add_callees();
    say_measure("direct", PLAIN, NULL, 1, CALLS);
    say_measure("virtual", VIRTUAL, NULL, 1, CALLS);
    say_measure("virtual-2-types", VIRTUAL, NULL, 2, CALLS);
    say_measure("cached-1-type", INTERFACE, &cell_mono, 1, CALLS);
    say_measure("cached-2-types", INTERFACE, &cell_first, 2, CALLS);
    say_measure("cached-4-types", INTERFACE, &cell_few, 4, CALLS);
    say_measure("cached-60-types", INTERFACE, &cell_many, 60, CALLS);
    rt_aot_use_cache(false);
    say_measure("uncached", INTERFACE, &cell_uncached, 1, CALLS / 10);
    say_measure("uncached-2-types", INTERFACE, &cell_uncached, 2, CALLS / 10);
}

uint64_t EfiMain(void *image, void *system_table);

uint64_t EfiMain(void *image, void *system_table)
{
    if (!start_managed(image, system_table, true))
        return 1;
    if (BENCH) {
        bench();
        end_test();
        return 0;
    }
    check_rules();
    check_statics();
    check_arguments();
    check_heap();
    check_start();
    check_names();
#if MAJOR >= 9
    check_hydrated();
#endif
    check_calls();
    say("passed ");
    say_number(passed);
    say(" failed ");
    say_number(failed);
    say("\n");
    fail_at_last(LAST);
    end_test();
    return 0;
}
