/* test_gather.c - how long bytes are left to come together, with sources of several kinds.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A source is played against a reader that does as gather_read says: it reads when something is
 * there, but not before the pause is over.
 */
#include "check.h"
#include "gather.h"

#define US  UINT64_C(1000)
#define MS  (1000 * US)
#define MAX (1 * MS)

enum { HEADER = 16, BIGGEST = 4017 };

/* When byte n of a packet is there, after the packet's first. */
typedef uint64_t source(size_t n);

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
        pause = gather_read(&reader->gather, reader->now, came, known - had, MAX);
        reader->reads++;
        if (pause > reader->longest)
            reader->longest = pause;
    }
    CHECK_EQ_U64(pause, 0);
    reader->late = reader->now - (begin + at(size - 1));
}

static void play_many(struct reader *reader, source *at, size_t size, int count)
{
    for (int i = 0; i < count; i++)
        play(reader, at, size);
}

static void bytes_one_by_one(void)
{
    struct reader reader = {0};

    play_many(&reader, every_5_us, 73, 10);
    CHECK(reader.reads <= 15); /* not 73; the last few are too few to wait for */
    CHECK(reader.late <= 30 * US);
    play(&reader, every_5_us, BIGGEST);
    CHECK(reader.reads <= 40); /* not 4,017: 1 ms is 200 bytes */
    CHECK(reader.late <= 30 * US);
}

static void a_real_serial_port(void)
{
    struct reader reader = {0};

    play_many(&reader, every_87_us, 73, 10);
    CHECK(reader.reads <= 16);
    CHECK(reader.late <= 87 * US);
}

/* What comes whole is never waited for. */
static void whole_packets(void)
{
    struct gather gather = {0};

    for (int i = 0; i < 100; i++)
        CHECK_EQ_U64(gather_read(&gather, (uint64_t)i * MS, 73, 0, MAX), 0);
}

/* Nothing is learned from it that would make it wait for what is there already. */
static void two_writes(void)
{
    struct reader reader = {0};

    play_many(&reader, in_two_writes, BIGGEST, 50);
    CHECK_EQ_U64(reader.reads, 2);
    CHECK_EQ_U64(reader.late, 0);
}

static void a_stall(void)
{
    struct reader reader = {0};

    play_many(&reader, every_5_us, 73, 10);
    play_many(&reader, with_a_stall, 73, 3);
    CHECK(reader.longest <= MAX);
    CHECK(reader.late <= MAX);
    play_many(&reader, every_5_us, 73, 20);
    CHECK(reader.late <= 60 * US);
}

static void times_that_make_no_sense(void)
{
    struct gather gather = {0};

    CHECK_EQ_U64(gather_read(&gather, 5 * MS, 1, 15, MAX), 0);
    CHECK_EQ_U64(gather_read(&gather, 5 * MS, 1, 14, MAX), 0);
    CHECK_EQ_U64(gather_read(&gather, 4 * MS, 1, 13, MAX), 0);
    CHECK_EQ_U64(gather_read(&gather, 6 * MS, 0, 13, MAX), 0);
    CHECK(gather_read(&gather, UINT64_MAX, 1, SIZE_MAX, MAX) <= MAX);
}

KD_TEST_MAIN({"bytes one by one", bytes_one_by_one}, {"a real serial port", a_real_serial_port},
             {"whole packets", whole_packets}, {"two writes", two_writes}, {"a stall", a_stall},
             {"times that make no sense", times_that_make_no_sense})
