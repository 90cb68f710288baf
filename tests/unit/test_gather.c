/* test_gather.c - how long bytes are left to come together, with sources of several kinds.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A source is played against a reader that does as gather_read says: it reads when something is
 * there, but not before the pause is over.
 */
#include "check.h"
#include "gather.h"

#define US UINT64_C(1000)
#define MS (1000 * US)

enum { HEADER = 16, BIGGEST = 4017 };

/* When byte n of a packet is there, after the packet's first. */
typedef uint64_t source(size_t n);

static uint64_t every_2_us(size_t n) /* QEMU, when nobody wakes up by each */
{
    return n * 2 * US;
}

static uint64_t every_5_us(size_t n)
{
    return n * 5 * US;
}

static uint64_t every_87_us(size_t n) /* a COM port of 115,200 bit/s */
{
    return n * 87 * US;
}

static uint64_t in_two_writes(size_t n) /* as of a program that writes header and data apart */
{
    return n < HEADER ? 0 : 20 * US;
}

static uint64_t with_a_stall(size_t n)
{
    return n * 5 * US + (n < 30 ? 0 : 50 * MS);
}

struct reader {
    struct gather gather;
    uint64_t now;
    unsigned reads;
    uint64_t late;    /* from the last byte to the read that had it */
    uint64_t longest; /* pause */
};

/* size: of the packet, which the reader knows when it has the header. */
static void play(struct reader *reader, source *at, size_t size)
{
    uint64_t begin = reader->now + 10 * MS, pause = 0;
    size_t had = 0;

    reader->reads = 0;
    reader->now = begin;
    while (had < size) {
        uint64_t next = begin + at(had);
        size_t known, came = 0;

        reader->now += pause;
        if (reader->now < next)
            reader->now = next;
        while (had + came < size && begin + at(had + came) <= reader->now)
            came++;
        had += came;
        known = had < HEADER ? HEADER : size;
        pause = gather_read(&reader->gather, came, known - had);
        reader->reads++;
        if (pause > reader->longest)
            reader->longest = pause;
        CHECK(pause == 0 || pause >= GATHER_MIN);
    }
    CHECK_EQ_U64(pause, 0);
    reader->late = reader->now - (begin + at(size - 1));
}

static void play_many(struct reader *reader, source *at, size_t size, int count)
{
    for (int i = 0; i < count; i++)
        play(reader, at, size);
}

static void qemu(void)
{
    struct reader reader = {0};

    play_many(&reader, every_2_us, 73, 10);
    CHECK(reader.reads <= 40); /* not 73: the header and the end, which are short */
    play(&reader, every_2_us, BIGGEST);
    CHECK(reader.reads <= 40); /* not 4,017 */
    CHECK(reader.late <= 2 * US);
    CHECK_EQ_U64(reader.longest, GATHER_MAX);
}

/* A slower one loses nothing: at its end each byte is read as it comes. */
static void slower_lines(void)
{
    struct reader reader = {0};

    play_many(&reader, every_5_us, BIGGEST, 3);
    CHECK(reader.reads <= 70);
    CHECK(reader.late <= 50 * US);
    play_many(&reader, every_87_us, BIGGEST, 3);
    CHECK(reader.reads <= 1000);
    CHECK(reader.late <= 50 * US);
}

/* What comes whole is never waited for. */
static void whole_packets(void)
{
    struct gather gather = {0};

    for (int i = 0; i < 100; i++)
        CHECK_EQ_U64(gather_read(&gather, 73, 0), 0);
}

/* Nothing makes it wait for what is there already, also after somebody else was there. */
static void two_writes(void)
{
    struct reader reader = {0};

    play(&reader, in_two_writes, BIGGEST);
    CHECK_EQ_U64(reader.late, 0);
    play_many(&reader, every_2_us, 500, 10);
    play_many(&reader, in_two_writes, BIGGEST, 50);
    CHECK_EQ_U64(reader.reads, 2);
    CHECK_EQ_U64(reader.late, 0);
}

static void a_stall(void)
{
    struct reader reader = {0};

    play_many(&reader, every_2_us, 73, 10);
    play_many(&reader, with_a_stall, 73, 3);
    CHECK(reader.longest <= GATHER_MAX);
    CHECK(reader.late <= 100 * US);
}

static void sizes_that_make_no_sense(void)
{
    struct gather gather = {0};

    for (int i = 0; i < 20; i++) {
        CHECK(gather_read(&gather, 1, SIZE_MAX) <= GATHER_MAX);
        CHECK(gather_read(&gather, 0, SIZE_MAX) <= GATHER_MAX);
    }
    CHECK_EQ_U64(gather_read(&gather, SIZE_MAX, 0), 0);
}

KD_TEST_MAIN({"QEMU", qemu}, {"slower lines", slower_lines}, {"whole packets", whole_packets},
             {"two writes", two_writes}, {"a stall", a_stall},
             {"sizes that make no sense", sizes_that_make_no_sense})
