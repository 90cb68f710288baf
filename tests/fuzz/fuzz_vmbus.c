/* fuzz_vmbus.c - the VMBus client and its pipe against a host that does what the input says.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The host of tests/agent does well, until the input makes it say other messages, refuse posts,
 * write into the rings' pages or let time pass. Whatever it does: no call of the client takes
 * longer than its limits, nothing outside the pages is touched (AddressSanitizer), and leaving
 * ends.
 */
#include <stdlib.h>
#include <string.h>

#include "vmbus_host.h"
#include "vmbus_pipe.h"

#define STEPS_MAX 2000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *bytes;
    size_t size, at;
};

static struct host host;
static struct kda_vmbus bus;
static struct vmbus_pipe line;

static uint8_t next(struct input *input)
{
    return input->at < input->size ? input->bytes[input->at++] : 0;
}

static void must(bool fine)
{
    if (!fine)
        abort();
}

static size_t take(struct input *input, uint8_t *out, size_t room)
{
    size_t size = next(input), i;

    if (size > room)
        size = room;
    for (i = 0; i < size; i++)
        out[i] = next(input);
    return size;
}

/* A message with these bytes laid over a likely beginning. */
static void say(struct input *input)
{
    uint8_t message[240] = {0};
    uint32_t words[] = {next(input) % 32u, 0, host.relid, bus.gpadl};
    size_t size;

    memcpy(message, words, sizeof words);
    size = next(input) % 2 ? 16 : 12;
    size += take(input, message + size, sizeof message - size);
    host_say(&host, message, size);
}

static void scribble(struct input *input)
{
    size_t page = next(input) % (2 * KDA_VMBUS_RING_PAGES);
    size_t at = (size_t)(next(input) | next(input) << 8) % KDA_VMBUS_PAGE;

    if (next(input) % 4) /* mostly the control pages */
        at %= 128, page = page % 2 * KDA_VMBUS_RING_PAGES;
    for (size_t i = next(input) % 32u; i > 0 && at < KDA_VMBUS_PAGE; i--, at++)
        bus.config.rings[page * KDA_VMBUS_PAGE + at] = next(input);
}

static void set_up(struct input *input)
{
    struct kda_vmbus_config config = host_config();
    struct kda_vmbus_ports ports;
    uint8_t flags = next(input);

    host_init(&host);
    host.quiet = true;
    host.step = 50;
    host.no_multi = flags & 1;
    host.only_sint2 = flags & 2;
    host.sint2_owned = flags & 4;
    host.nothing_offered = flags & 8;
    host.bytes = flags & 16;
    host.refuse_pages = flags >> 5 & 3;
    host.newest = 0x20004 + ((uint32_t)(next(input) % 4) << 16);
    if (host.newest > 0x40000)
        host.newest = 0x50003;
    host.silent[next(input) % HOST_MESSAGE_TYPES] = next(input) % 2;
    host.refuse_open = next(input) % 3;
    ports = host_ports(&host);
    kda_vmbus_init(&bus, &config, &ports);
    vmbus_pipe_init(&line, &bus, next(input) % 3u);
}

static void step(struct input *input)
{
    uint8_t bytes[256];
    uint64_t start = host.time;

    switch (next(input) % 10) {
    case 0:
        say(input);
        break;
    case 1:
        scribble(input);
        break;
    case 2:
        host.time += (uint64_t)next(input) << (next(input) % 16);
        break;
    case 3:
        host.busy = next(input) % 4;
        host.busy_status = next(input) % 0x20;
        break;
    case 4:
        host_rescind(&host);
        break;
    case 5:
        host_offer(&host, next(input));
        break;
    case 6:
        if (host.opened)
            host_send(&host, bytes, take(input, bytes, sizeof bytes));
        break;
    case 7:
        must(vmbus_pipe_ops.write(&line, bytes, take(input, bytes, sizeof bytes)) <= sizeof bytes);
        must(host.time - start < 4 * KDA_LINE_STUCK_US);
        break;
    case 8:
        if (host.opened)
            host_receive(&host, bytes, sizeof bytes);
        break;
    default:
        must(vmbus_pipe_ops.read(&line, bytes, sizeof bytes) <= sizeof bytes);
        must(host.time - start < 4 * KDA_LINE_STUCK_US);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size, 0};
    uint64_t start;

    set_up(&input);
    kda_vmbus_connect(&bus);
    must(host.time <= KDA_VMBUS_CONNECT_US + KDA_VMBUS_ANSWER_US);
    for (unsigned i = 0; i < STEPS_MAX && input.at < input.size; i++)
        step(&input);
    start = host.time;
    kda_vmbus_leave(&bus);
    must(bus.state == KDA_VMBUS_OFF);
    must(host.time - start <= KDA_VMBUS_TEARDOWN_US + KDA_VMBUS_UNLOAD_US + KDA_VMBUS_ANSWER_US);
    return 0;
}
