/* test_capture_output.c - files being written: flushing, rotation, and a disk that is full.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The full disk is RLIMIT_FSIZE: a write beyond it is cut short, then fails.
 */
#define _POSIX_C_SOURCE 200809L

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/output.h"
#include "capture/reader.h"

#include "check.h"

#define MILLISECOND UINT64_C(1000000)
#define PACKET_SIZE 332 /* of a block with 300 bytes of data */

static char folder[64];
static uint64_t now;

static size_t header(void *context, uint8_t *out, size_t room)
{
    static const struct cap_section section = {.os = {NULL, 0}};
    static const struct cap_interface interface = {.linktype = 252};
    size_t first = cap_encode_section(NULL, 0, &section);
    size_t size = first + cap_encode_interface(NULL, 0, &interface);

    (void)context;
    if (size <= room) {
        cap_encode_section(out, room, &section);
        cap_encode_interface(out + first, room - first, &interface);
    }
    return size;
}

static size_t footer(void *context, uint8_t *out, size_t room)
{
    static const struct cap_statistics statistics = {.time = 1};

    (void)context;
    return cap_encode_statistics(out, room, &statistics);
}

static const char *path_of(const char *name)
{
    static char path[400];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void empty_folder(void)
{
    DIR *directory = opendir(folder);
    struct dirent *entry;

    while ((entry = readdir(directory)))
        unlink(path_of(entry->d_name));
    closedir(directory);
    now = 1;
}

static struct cap_output *open_output(const char *name, uint64_t rotate_size, uint64_t duration,
                                      uint32_t files)
{
    struct cap_output_options options = {
        .path = path_of(name),
        .header = header,
        .footer = footer,
        .rotate_size = rotate_size,
        .rotate_duration = duration,
        .ring_files = files,
    };
    char error[300] = "";
    struct cap_output *output = cap_output_open(&options, now, error, sizeof error);

    CHECK_EQ_STR(error, "");
    if (!output)
        exit(1);
    return output;
}

/* A packet whose data are its number, 300 bytes of data in all. */
static bool write_packet(struct cap_output *output, uint32_t number, size_t data_size)
{
    static uint8_t data[400000], block[401000];
    struct cap_packet packet = {.time = number, .data = {data, data_size}};
    size_t size = cap_encode_packet(block, sizeof block, &packet);

    for (size_t i = 0; i < data_size; i++)
        data[i] = (uint8_t)(number >> i % 4 * 8);
    cap_encode_packet(block, sizeof block, &packet);
    return cap_output_write(output, block, size, now);
}

static void close_output(struct cap_output *output)
{
    char error[300] = "";

    CHECK(cap_output_close(output, now, NULL, error, sizeof error));
    CHECK_EQ_STR(error, "");
}

/* A file's packets, which must be whole; how reading ended goes to `failure`. */
struct content {
    size_t packets, statistics;
    uint64_t first, last; /* numbers of packets */
    enum cap_failure_kind failure;
    bool wrong; /* some data are not those of the packet with this number */
};

static struct content content_of(const char *name)
{
    struct cap_failure failure;
    struct cap_reader *reader = cap_reader_open(path_of(name), &failure);
    struct content content = {.packets = 0};
    struct cap_item item;

    if (!CHECK(reader))
        return content;
    while (cap_reader_next(reader, &item)) {
        if (item.kind == CAP_ITEM_PACKET) {
            uint64_t number = item.packet.time;

            content.first = content.packets++ ? content.first : number;
            content.last = number;
            for (size_t i = 0; i < item.packet.data.size; i++)
                content.wrong |= item.packet.data.bytes[i] != (uint8_t)(number >> i % 4 * 8);
        }
        content.statistics += item.kind == CAP_ITEM_STATISTICS;
    }
    content.failure = cap_reader_failure(reader)->kind;
    CHECK(!content.wrong);
    cap_reader_close(reader);
    return content;
}

static long size_of(const char *name)
{
    struct stat about;

    return stat(path_of(name), &about) == 0 ? (long)about.st_size : -1;
}

/* --- Writing */

static void plain_file(void)
{
    struct cap_output *output;
    struct content content;
    struct stat about;

    empty_folder();
    output = open_output("a.pcapng", 0, 0, 0);
    CHECK_EQ_U64(size_of("a.pcapng"), 60);
    CHECK(stat(path_of("a.pcapng"), &about) == 0 && (about.st_mode & 0777) == 0600);
    CHECK(write_packet(output, 1, 300));
    CHECK_EQ_U64(size_of("a.pcapng"), 60);
    CHECK(cap_output_flush(output, now));
    CHECK_EQ_U64(size_of("a.pcapng"), 60 + PACKET_SIZE);
    CHECK_EQ_U64(cap_output_status(output)->file_size, 60 + PACKET_SIZE);
    CHECK_EQ_STR(cap_output_status(output)->path, path_of("a.pcapng"));
    for (uint32_t i = 2; i <= 1000; i++)
        CHECK(write_packet(output, i, 300));
    CHECK(size_of("a.pcapng") > 256 * 1024 - PACKET_SIZE);
    CHECK_EQ_U64(cap_output_status(output)->blocks, 1000);
    CHECK(!cap_output_rotate(output, now));
    CHECK(!cap_output_news(output));
    close_output(output);
    content = content_of("a.pcapng");
    CHECK_EQ_U64(content.packets, 1000);
    CHECK_EQ_U64(content.last, 1000);
    CHECK_EQ_U64(content.statistics, 1);
    CHECK_EQ_U64(content.failure, CAP_FAILURE_NONE);
}

/* Blocks larger than the buffer, among others. */
static void large_blocks(void)
{
    static const char *const names[] = {"l.pcapng", "l.pcapng.gz"};

    empty_folder();
    for (size_t i = 0; i < 2; i++) {
        struct cap_output *output = open_output(names[i], 0, 0, 0);

        CHECK(write_packet(output, 1, 300));
        CHECK(write_packet(output, 2, 400000));
        CHECK(write_packet(output, 3, 0));
        CHECK(write_packet(output, 4, 399999));
        close_output(output);
        CHECK_EQ_U64(content_of(names[i]).packets, 4);
        CHECK_EQ_U64(content_of(names[i]).failure, CAP_FAILURE_NONE);
    }
}

/* What was flushed can be read while the file is still being written, as after a kill. */
static void gzip_file(void)
{
    struct cap_output *output;
    struct content content;
    long size;

    empty_folder();
    output = open_output("a.pcapng.GZ", 0, 0, 0);
    for (uint32_t i = 1; i <= 5000; i++) {
        CHECK(write_packet(output, i, 300));
        if (i % 1000 == 0) {
            CHECK(cap_output_flush(output, now));
            content = content_of("a.pcapng.GZ");
            CHECK_EQ_U64(content.packets, i);
            CHECK_EQ_U64(content.failure, CAP_FAILURE_TRUNCATED);
        }
    }
    size = size_of("a.pcapng.GZ");
    CHECK(cap_output_flush(output, now));
    CHECK_EQ_U64(size_of("a.pcapng.GZ"), size);
    CHECK(size < 5000 * PACKET_SIZE / 4);
    close_output(output);
    content = content_of("a.pcapng.GZ");
    CHECK_EQ_U64(content.packets, 5000);
    CHECK_EQ_U64(content.statistics, 1);
    CHECK_EQ_U64(content.failure, CAP_FAILURE_NONE);
}

static void cannot_open(void)
{
    struct cap_output_options options = {.header = header};
    char error[300], path[100], expected[300];

    snprintf(path, sizeof path, "%s/none/a.pcapng", folder);
    options.path = path;
    CHECK(!cap_output_open(&options, 0, error, sizeof error));
    snprintf(expected, sizeof expected, "cannot write %s: No such file or directory", path);
    CHECK_EQ_STR(error, expected);
    options.path = "/dev/full";
    CHECK(!cap_output_open(&options, 0, error, sizeof error));
    CHECK_EQ_STR(error, "cannot write /dev/full: No space left on device");
    options.ring_files = 100000;
    CHECK(!cap_output_open(&options, 0, error, sizeof error));
    options.ring_files = 2;
    options.path = "-";
    CHECK(!cap_output_open(&options, 0, error, sizeof error));
}

/* --- Rotation */

/* Names in the folder, sorted; the stamp of each must be 14 digits and is shown as "T". */
static void list(char *out, size_t size)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, NULL, alphasort);
    size_t used = 0;

    out[0] = '\0';
    for (int i = 0; i < count; i++) {
        char *name = entries[i]->d_name, *stamp = strrchr(name, '_');

        if (name[0] != '.') {
            if (stamp && CHECK_EQ_U64(strspn(stamp + 1, "0123456789"), 14)) {
                stamp[1] = 'T';
                memmove(stamp + 2, stamp + 15, strlen(stamp + 15) + 1);
            }
            used += (size_t)snprintf(out + used, size - used, "%s ", name);
        }
        free(entries[i]);
    }
    free(entries);
}

static void check_list(const char *expected)
{
    char names[1000];

    list(names, sizeof names);
    CHECK_EQ_STR(names, expected);
}

/* dumpcap -b filesize:1 with packets of this size: three go into a file, and the next file is there
 * as soon as the one before is full. */
static void rotation_by_size(void)
{
    struct cap_output *output;
    struct content content;

    empty_folder();
    output = open_output("cap.pcapng", 1000, 0, 0);
    for (uint32_t i = 1; i <= 9; i++)
        CHECK(write_packet(output, i, 300));
    CHECK_EQ_U64(cap_output_status(output)->file, 4);
    check_list("cap_00001_T.pcapng cap_00002_T.pcapng cap_00003_T.pcapng cap_00004_T.pcapng ");
    content = content_of(strrchr(cap_output_status(output)->path, '/') + 1);
    CHECK_EQ_U64(content.packets, 0);
    CHECK(write_packet(output, 10, 5000));
    CHECK_EQ_U64(cap_output_status(output)->file, 5);
    CHECK(cap_output_rotate(output, now));
    CHECK_EQ_U64(cap_output_status(output)->file, 6);
    CHECK_EQ_U64(cap_output_status(output)->blocks, 10);
    close_output(output);
}

static void ring(void)
{
    char second[300];
    struct cap_output *output;
    struct content content;

    for (uint32_t files = 1; files <= 3; files++) {
        empty_folder();
        output = open_output("cap.pcapng", 1000, 0, files);
        for (uint32_t i = 1; i <= 20; i++) {
            CHECK(write_packet(output, i, 300));
            if (i == 15)
                snprintf(second, sizeof second, "%s",
                         strrchr(cap_output_status(output)->path, '/') + 1);
        }
        close_output(output);
        check_list(files == 1   ? "cap_00007_T.pcapng "
                   : files == 2 ? "cap_00006_T.pcapng cap_00007_T.pcapng "
                                : "cap_00005_T.pcapng cap_00006_T.pcapng cap_00007_T.pcapng ");
    }
    content = content_of(second);
    CHECK_EQ_U64(content.packets, 3);
    CHECK_EQ_U64(content.first, 16);
    CHECK_EQ_U64(content.statistics, 1);
    CHECK_EQ_U64(content.failure, CAP_FAILURE_NONE);
}

/* The clock runs from the start of a file, whether packets come or not. */
static void rotation_by_time(void)
{
    struct cap_output *output;

    empty_folder();
    output = open_output("cap.pcapng.gz", 0, 1000 * MILLISECOND, 0);
    now += 999 * MILLISECOND;
    CHECK(cap_output_flush(output, now));
    CHECK_EQ_U64(cap_output_status(output)->file, 1);
    now += MILLISECOND;
    CHECK(cap_output_flush(output, now));
    CHECK_EQ_U64(cap_output_status(output)->file, 2);
    CHECK(write_packet(output, 1, 300));
    now += 1000 * MILLISECOND;
    CHECK(write_packet(output, 2, 300));
    CHECK_EQ_U64(cap_output_status(output)->file, 3);
    close_output(output);
    check_list("cap_00001_T.pcapng.gz cap_00002_T.pcapng.gz cap_00003_T.pcapng.gz ");
}

static void file_names(void)
{
    static const char *const names[][2] = {
        {"cap", "cap_00001_T "},
        {"a.b.cap", "a.b_00001_T.cap "},
        {"cap.gz", "cap_00001_T.gz "},
        {"c.pcapng.gz", "c_00001_T.pcapng.gz "},
        {".hidden", NULL},
    };

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct cap_output *output;

        empty_folder();
        output = open_output(names[i][0], 1000, 0, 0);
        close_output(output);
        if (names[i][1])
            check_list(names[i][1]);
    }
}

/* --- Full disk */

static void disk_ends_at(rlim_t size)
{
    struct rlimit limit = {.rlim_cur = size, .rlim_max = RLIM_INFINITY};

    setrlimit(RLIMIT_FSIZE, &limit);
}

static void check_news(struct cap_output *output, const char *beginning)
{
    const char *news = cap_output_news(output);

    if (CHECK(news) && !CHECK(strncmp(news, beginning, strlen(beginning)) == 0))
        fprintf(stderr, "  %s\n", news);
    CHECK(!cap_output_news(output));
}

/* The disk is full until one packet is dropped. Returns the number of the next packet. */
static uint32_t outage(struct cap_output *output, uint32_t number)
{
    const char *news;

    disk_ends_at((rlim_t)size_of("f.pcapng"));
    while (write_packet(output, number, 300))
        number++;
    check_news(output, "cannot write ");
    disk_ends_at(RLIM_INFINITY);
    now += 200 * MILLISECOND;
    CHECK(cap_output_flush(output, now));
    news = cap_output_news(output);
    CHECK(news && strstr(news, " goes on; dropped meanwhile: 1 block, 332 bytes"));
    return number;
}

/* Space ends in the middle of the fifth packet; at every moment the file has whole blocks only. */
static void full_disk(void)
{
    struct cap_output *output;
    struct content content;
    uint32_t number = 0;
    const char *news;
    uint64_t dropped;

    empty_folder();
    output = open_output("f.pcapng", 0, 0, 0);
    disk_ends_at(60 + 4 * PACKET_SIZE + 100);
    for (int i = 0; i < 6; i++)
        CHECK(write_packet(output, ++number, 300));
    CHECK(!cap_output_flush(output, now));
    CHECK_EQ_U64(size_of("f.pcapng"), 60 + 4 * PACKET_SIZE);
    CHECK(cap_output_status(output)->failing);
    check_news(output, "cannot write ");
    while (write_packet(output, number + 1, 300))
        number++;
    CHECK_EQ_U64(number, 4 + 256 * 1024 / PACKET_SIZE);
    for (int i = 0; i < 50; i++)
        CHECK(!write_packet(output, number + 1, 300));
    dropped = cap_output_status(output)->dropped_blocks;
    CHECK_EQ_U64(dropped, 51);
    CHECK_EQ_U64(cap_output_status(output)->dropped_bytes, 51 * PACKET_SIZE);
    now += 200 * MILLISECOND;
    CHECK(!cap_output_flush(output, now));
    CHECK(!cap_output_news(output));
    CHECK_EQ_U64(size_of("f.pcapng"), 60 + 4 * PACKET_SIZE);
    disk_ends_at(RLIM_INFINITY);
    CHECK(!cap_output_flush(output, now)); /* not due again yet */
    now += 200 * MILLISECOND;
    CHECK(write_packet(output, number + 1, 300));
    news = cap_output_news(output);
    CHECK(news && strstr(news, " goes on; dropped meanwhile: 51 blocks, 16932 bytes"));
    CHECK(cap_output_flush(output, now));
    CHECK(!cap_output_status(output)->failing);
    CHECK_EQ_U64(cap_output_status(output)->dropped_blocks, dropped);
    number = outage(output, number + 2) - 1; /* what the last packet would have been */
    close_output(output);
    content = content_of("f.pcapng");
    CHECK_EQ_U64(content.packets, number);
    CHECK_EQ_U64(content.statistics, 1);
    CHECK_EQ_U64(content.failure, CAP_FAILURE_NONE);
}

/* The disk stays full until the end: what waited is counted, the file is valid. */
static void full_disk_at_close(void)
{
    struct cap_output_status last;
    struct cap_output *output;
    struct content content;
    char error[300];

    empty_folder();
    output = open_output("f.pcapng", 0, 0, 0);
    disk_ends_at(60 + 2 * PACKET_SIZE + 1);
    for (uint32_t i = 1; i <= 5; i++)
        CHECK(write_packet(output, i, 300));
    CHECK(!cap_output_close(output, now, &last, error, sizeof error));
    disk_ends_at(RLIM_INFINITY);
    CHECK_EQ_U64(last.blocks, 5);
    CHECK_EQ_U64(last.dropped_blocks, 3);
    CHECK_EQ_U64(last.dropped_bytes, 3 * PACKET_SIZE);
    CHECK(strstr(error, "3 blocks: File too large"));
    content = content_of("f.pcapng");
    CHECK_EQ_U64(content.packets, 2);
    CHECK_EQ_U64(content.failure, CAP_FAILURE_NONE);
}

/* Blocks of a big-endian file, whose sizes read backwards are other possible sizes. */
static void full_disk_big_endian(void)
{
    static uint8_t block[0x10000] = {0, 0, 0, 6, 0, 1, 0, 0};
    struct cap_output *output;

    empty_folder();
    memcpy(block + sizeof block - 4, block + 4, 4);
    output = open_output("f.pcapng", 0, 0, 0);
    disk_ends_at(60 + 2 * sizeof block + 1000);
    for (int i = 0; i < 3; i++)
        CHECK(cap_output_write(output, block, sizeof block, now));
    CHECK(!cap_output_flush(output, now));
    CHECK_EQ_U64(size_of("f.pcapng"), 60 + 2 * sizeof block);
    disk_ends_at(RLIM_INFINITY);
    close_output(output);
    CHECK_EQ_U64(size_of("f.pcapng"), 60 + 3 * sizeof block + 76);
}

/* gzip holds back what cannot be written and goes on in the middle of its stream. */
static void full_disk_gzip(void)
{
    struct cap_output *output;
    struct content content;
    uint32_t number = 0;

    empty_folder();
    output = open_output("f.pcapng.gz", 0, 0, 0);
    disk_ends_at(200);
    for (int i = 0; i < 200; i++)
        CHECK(write_packet(output, ++number, 300));
    CHECK(!cap_output_flush(output, now));
    check_news(output, "cannot write ");
    CHECK_EQ_U64(content_of("f.pcapng.gz").failure, CAP_FAILURE_TRUNCATED);
    while (write_packet(output, number + 1, 300))
        number++;
    CHECK(number > 700);
    disk_ends_at(RLIM_INFINITY);
    now += 200 * MILLISECOND;
    CHECK(cap_output_flush(output, now));
    check_news(output, "writing ");
    close_output(output);
    content = content_of("f.pcapng.gz");
    CHECK_EQ_U64(content.packets, number);
    CHECK_EQ_U64(content.failure, CAP_FAILURE_NONE);
}

/* What waits for the disk is counted when the file is given up, also what zlib holds. */
static void full_disk_gzip_at_close(void)
{
    struct cap_output_status last;
    struct cap_output *output;
    char error[300];

    empty_folder();
    output = open_output("f.pcapng.gz", 0, 0, 0);
    disk_ends_at((rlim_t)size_of("f.pcapng.gz"));
    for (uint32_t i = 1; i <= 500; i++)
        CHECK(write_packet(output, i, 300));
    CHECK(!cap_output_close(output, now, &last, error, sizeof error));
    disk_ends_at(RLIM_INFINITY);
    CHECK_EQ_U64(last.dropped_blocks, 500);
    CHECK_EQ_U64(last.dropped_bytes, 500 * PACKET_SIZE);
    CHECK_EQ_U64(content_of("f.pcapng.gz").packets, 0);
    output = open_output("f.pcapng.gz", 0, 0, 0);
    for (uint32_t i = 1; i <= 2000; i++)
        CHECK(write_packet(output, i, 300));
    disk_ends_at((rlim_t)size_of("f.pcapng.gz"));
    CHECK(!cap_output_close(output, now, &last, error, sizeof error));
    disk_ends_at(RLIM_INFINITY);
    CHECK_EQ_U64(last.dropped_blocks, 2000); /* none was flushed, so each may be missing */
}

/* The folder goes away between two files and comes back. */
static void lost_folder(void)
{
    char moved[100];
    struct cap_output *output;

    empty_folder();
    snprintf(moved, sizeof moved, "%s.moved", folder);
    output = open_output("cap.pcapng", 1000, 0, 0);
    CHECK(rename(folder, moved) == 0);
    for (uint32_t i = 1; i <= 4; i++)
        CHECK(write_packet(output, i, 300));
    check_news(output, "cannot write ");
    CHECK_EQ_U64(cap_output_status(output)->file, 2);
    for (uint32_t i = 5; i <= 9; i++)
        CHECK(write_packet(output, i, 300));
    CHECK_EQ_U64(cap_output_status(output)->file, 2);
    CHECK(rename(moved, folder) == 0);
    now += 200 * MILLISECOND;
    CHECK(cap_output_flush(output, now));
    check_news(output, "writing ");
    CHECK_EQ_U64(content_of(strrchr(cap_output_status(output)->path, '/') + 1).packets, 6);
    close_output(output);
}

/* A file that never came to be: its packets are lost, its header is none. */
static void lost_file(void)
{
    struct cap_output_status last;
    struct cap_output *output;
    char moved[100], error[300];

    empty_folder();
    snprintf(moved, sizeof moved, "%s.moved", folder);
    output = open_output("cap.pcapng", 1000, 0, 0);
    CHECK(rename(folder, moved) == 0);
    for (uint32_t i = 1; i <= 5; i++)
        CHECK(write_packet(output, i, 300));
    CHECK(!cap_output_close(output, now, &last, error, sizeof error));
    CHECK(strstr(error, "2 blocks: No such file or directory"));
    CHECK_EQ_U64(last.dropped_blocks, 2);
    CHECK_EQ_U64(last.dropped_bytes, 2 * PACKET_SIZE);
    CHECK(rename(moved, folder) == 0);
}

/* A reader that went away from a pipe, and one that takes only part of what is written. */
static void pipes(void)
{
    struct cap_output *output;
    uint8_t got[4096];
    int fd;

    empty_folder();
    CHECK(mkfifo(path_of("p"), 0600) == 0);
    fd = open(path_of("p"), O_RDONLY | O_NONBLOCK);
    output = open_output("p", 0, 0, 0);
    CHECK(write_packet(output, 1, 300));
    CHECK(cap_output_flush(output, now));
    CHECK_EQ_U64(read(fd, got, sizeof got), 60 + PACKET_SIZE);
    close(fd);
    CHECK(write_packet(output, 2, 300));
    CHECK(!cap_output_flush(output, now));
    check_news(output, "cannot write ");
    cap_output_close(output, now, NULL, (char *)got, sizeof got);
}

static void prepare(void)
{
    snprintf(folder, sizeof folder, "capture-output-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
}

static void clean_up(void)
{
    empty_folder();
    rmdir(folder);
}

KD_TEST_MAIN({"prepare", prepare}, {"plain file", plain_file}, {"large blocks", large_blocks},
             {"gzip file", gzip_file}, {"cannot open", cannot_open},
             {"rotation by size", rotation_by_size}, {"ring", ring},
             {"rotation by time", rotation_by_time}, {"names", file_names},
             {"full disk", full_disk}, {"full disk at close", full_disk_at_close},
             {"full disk, big-endian", full_disk_big_endian}, {"full disk, gzip", full_disk_gzip},
             {"full disk at close, gzip", full_disk_gzip_at_close}, {"lost folder", lost_folder},
             {"lost file", lost_file}, {"pipes", pipes}, {"clean up", clean_up})
