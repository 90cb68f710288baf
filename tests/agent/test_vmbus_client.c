/* test_vmbus_client.c - the VMBus client against a strict host: versions, offers, GPADLs, the end.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <string.h>

#include "check.h"
#include "vmbus_host.h"

static struct host host;
static struct kda_vmbus bus;

static void start(void)
{
    struct kda_vmbus_ports ports = host_ports(&host);
    struct kda_vmbus_config config = host_config();

    kda_vmbus_init(&bus, &config, &ports);
}

static void poll_for(uint64_t microseconds)
{
    uint64_t end = host.time + microseconds;

    while (host.time < end) {
        host.time += 1000;
        kda_vmbus_poll(&bus);
    }
}

/* The messages since the last call, as letters: C contact, R request offers, H GPADL header, B
 * body, O open, X close, T teardown, L relid released, U unload. */
static const char *posted(void)
{
    static char text[HOST_MESSAGES + 1];
    static const char letters[] = "???R?OXXHB?T?C?U";
    size_t i;

    for (i = 0; i < host.posted_count; i++) {
        uint8_t type = host.posted[i];

        text[i] = type == 7    ? 'X'
                  : type == 13 ? 'L'
                  : type == 14 ? 'C'
                  : type < 17  ? letters[type]
                               : '?';
        if (type == 16)
            text[i] = 'U';
    }
    text[i] = 0;
    host.posted_count = 0;
    return text;
}

static void check_problem(const char *part)
{
    if (!strstr(kda_vmbus_problem(&bus), part))
        CHECK_EQ_STR(kda_vmbus_problem(&bus), part);
}

static void check_well(void)
{
    CHECK_EQ_U64(host.violations, 0);
    CHECK_EQ_U64(bus.state, KDA_VMBUS_OPEN);
    CHECK_EQ_U64(host.opened, 1);
}

static void opens(void)
{
    static const uint8_t contact[24] = {14, 0, 0, 0, 0, 0, 0, 0, 3, 0, 5, 0,
                                        0,  0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0};

    host_init(&host);
    start();
    CHECK(kda_vmbus_connect(&bus));
    check_well();
    CHECK_EQ_STR(posted(), "CRHBO");
    CHECK_EQ_STR(kda_vmbus_problem(&bus), "");
    CHECK_EQ_U64(host.first_contact_size, 40);
    CHECK_EQ_MEM(host.first_contact, contact, sizeof contact);
    CHECK_EQ_U64(bus.connection, HOST_CONNECTION);
    CHECK_EQ_U64(host.gpadl_pages, 34);
    for (unsigned i = 0; i < 34; i++)
        CHECK_EQ_U64(host.pages[i], bus.config.rings_at / 4096 + i);
    kda_vmbus_leave(&bus);
    CHECK_EQ_STR(posted(), "XTU");
    CHECK_EQ_U64(host.violations, 0);
    CHECK_EQ_U64(bus.memory_lost, 0);
    CHECK_EQ_U64(host.connected, 0);
}

static void goes_down_the_versions(void)
{
    static const uint32_t versions[] = {0x50002, 0x50000, 0x40001, 0x40000, 0x30000, 0x20004};

    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        host_init(&host);
        host.newest = versions[i];
        start();
        CHECK(kda_vmbus_connect(&bus));
        check_well();
        CHECK_EQ_U64(bus.version, versions[i]);
        CHECK_EQ_U64(host.sint, versions[i] >= 0x50000 ? HOST_SINT : 2);
        kda_vmbus_leave(&bus);
        CHECK_EQ_U64(host.violations, 0);
        CHECK_EQ_U64(bus.memory_lost, 0);
    }
}

/* The second one is no answer to the next question, which has not been posted yet. */
static void refusals_that_come_twice(void)
{
    static const uint32_t versions[] = {0x50002, 0x50000, 0x40001, 0x20004};

    for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
        host_init(&host);
        host.newest = versions[i];
        host.twice = true;
        start();
        CHECK(kda_vmbus_connect(&bus));
        check_well();
        CHECK_EQ_U64(bus.version, versions[i]);
        kda_vmbus_leave(&bus);
        CHECK_EQ_U64(host.violations, 0);
    }
}

static void refused_versions_end(void)
{
    host_init(&host);
    host.newest = 0x10001;
    start();
    CHECK(!kda_vmbus_connect(&bus));
    CHECK_EQ_U64(bus.state, KDA_VMBUS_OFF);
    CHECK_EQ_U64(host.contacts, 12);
    CHECK_EQ_U64(host.violations, 0);
    check_problem("the host refuses every version");
}

/* The firmware's connection must not be touched, whatever the host says. */
static void leaves_the_firmwares_connection_alone(void)
{
    host_init(&host);
    host.no_multi = host.sint2_owned = true;
    start();
    CHECK(!kda_vmbus_connect(&bus));
    CHECK_EQ_STR(posted(), "C");
    CHECK_EQ_U64(host.sint, HOST_SINT);
    check_problem("INITIATE_CONTACT: the hypercall fails with status (00000012)");
    host_init(&host);
    host.only_sint2 = host.sint2_owned = true;
    start();
    CHECK(!kda_vmbus_connect(&bus));
    CHECK_EQ_STR(posted(), "CCCC");
    check_problem("the host refuses every version");
}

static void takes_sint_2_when_it_is_free(void)
{
    host_init(&host);
    host.only_sint2 = true;
    start();
    CHECK(kda_vmbus_connect(&bus));
    check_well();
    CHECK_EQ_U64(host.sint, 2);
    CHECK_EQ_STR(posted(), "CCCCCRHBO");
    host_init(&host);
    host.no_multi = true;
    start();
    CHECK(kda_vmbus_connect(&bus));
    check_well();
    CHECK_EQ_U64(bus.version, 0x40001);
    CHECK_EQ_U64(bus.connection, 1);
}

static void a_failed_state_is_final(void)
{
    host_init(&host);
    host.failed_state = 1;
    start();
    CHECK(!kda_vmbus_connect(&bus));
    CHECK_EQ_U64(host.contacts, 1);
    check_problem("connection state (00000001)");
}

static void a_lost_contact_is_repeated(void)
{
    host_init(&host);
    host.silent[14] = true;
    start();
    CHECK(!kda_vmbus_connect(&bus));
    CHECK_EQ_STR(posted(), "CCCCCC"); /* twice: own SINT, SINT 2, connection 1 */
    check_problem("INITIATE_CONTACT: the host does not answer");
    CHECK(host.time < 15000000);
    host_init(&host);
    host.delay[14] = 3000000;
    start();
    CHECK(kda_vmbus_connect(&bus));
    poll_for(5000000);
    check_well();
    CHECK_EQ_STR(posted(), "CCRHBO");
}

static void nothing_offered(void)
{
    host_init(&host);
    host.nothing_offered = true;
    start();
    CHECK(!kda_vmbus_connect(&bus));
    CHECK_EQ_U64(bus.state, KDA_VMBUS_ABSENT);
    CHECK_EQ_STR(kda_vmbus_problem(&bus), "");
    host_offer(&host, 30);
    poll_for(10000);
    check_well();
    CHECK_EQ_U64(bus.offer.relid, 30);
    CHECK_EQ_U64(bus.generation, 1);
}

static void refused_pages(void)
{
    host_init(&host);
    host.refuse_pages = 2;
    start();
    CHECK(kda_vmbus_connect(&bus));
    check_well();
    CHECK_EQ_STR(posted(), "CRHBHBHBO");
    check_problem("GPADL_HEADER of the ring: the host refuses the pages, status (c000009a)");
    host_init(&host);
    host.refuse_pages = 9;
    start();
    CHECK(!kda_vmbus_connect(&bus));
    CHECK_EQ_STR(posted(), "CRHBHBHB");
    CHECK_EQ_U64(bus.state, KDA_VMBUS_ABSENT);
    kda_vmbus_leave(&bus);
    CHECK_EQ_STR(posted(), "U");
    CHECK_EQ_U64(host.violations, 0);
}

static void refused_open(void)
{
    host_init(&host);
    host.refuse_open = 1;
    start();
    CHECK(kda_vmbus_connect(&bus));
    check_well();
    CHECK_EQ_STR(posted(), "CRHBOTHBO");
    check_problem("OPENCHANNEL: the host refuses to open the channel, status (c0000001)");
}

static void rescinded_and_offered_again(void)
{
    host_init(&host);
    start();
    CHECK(kda_vmbus_connect(&bus));
    posted();
    for (uint32_t relid = 20; relid < 40; relid++) {
        host_rescind(&host);
        poll_for(10000);
        CHECK_EQ_STR(posted(), "XTL");
        CHECK_EQ_U64(bus.state, KDA_VMBUS_ABSENT);
        CHECK_EQ_U64(host.released, 1);
        check_problem("RESCIND_CHANNELOFFER");
        host_offer(&host, relid);
        poll_for(10000);
        CHECK_EQ_STR(posted(), "HBO");
        check_well();
        CHECK_EQ_U64(bus.generation, relid - 18);
    }
}

/* Whatever was on its way when the channel went, the next one opens. */
static void rescinded_at_any_step(void)
{
    static const uint8_t steps[] = {3, 8, 9, 5};

    for (size_t i = 0; i < sizeof steps; i++) {
        host_init(&host);
        host.rescind_after[steps[i]] = true;
        start();
        CHECK(!kda_vmbus_connect(&bus));
        CHECK_EQ_U64(bus.state, KDA_VMBUS_ABSENT);
        /* Taken away before it was used. */
        CHECK_EQ_U64(host.released || steps[i] == 3, 1);
        host_offer(&host, 21);
        poll_for(3000000);
        check_well();
        CHECK_EQ_U64(bus.offer.relid, 21);
    }
}

/* The new offer may come before the old channel is closed. */
static void offered_again_at_once(void)
{
    host_init(&host);
    start();
    CHECK(kda_vmbus_connect(&bus));
    host.silent[11] = true;
    host_rescind(&host);
    poll_for(2000);
    CHECK_EQ_U64(bus.state, KDA_VMBUS_CLOSING);
    host_offer(&host, 22);
    poll_for(1000);
    CHECK_EQ_U64(bus.state, KDA_VMBUS_CLOSING);
    host.gpadl = 0; /* forgotten with the channel */
    poll_for(KDA_VMBUS_TEARDOWN_US);
    check_well();
    CHECK_EQ_U64(bus.offer.relid, 22);
}

static void silence_at_any_step(void)
{
    static const struct {
        uint8_t message;
        const char *step;
    } steps[] = {{3, "REQUESTOFFERS"},
                 {8, "GPADL_HEADER of the ring"},
                 {9, "GPADL_HEADER"},
                 {5, "OPENCHANNEL"}};

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        host_init(&host);
        host.silent[steps[i].message] = true;
        host.silent[9] = host.silent[9] || host.silent[8];
        start();
        CHECK(!kda_vmbus_connect(&bus));
        CHECK_EQ_U64(bus.state, KDA_VMBUS_OFF);
        CHECK_EQ_U64(host.contacts, 3);
        check_problem(steps[i].step);
        check_problem("the host does not answer");
        CHECK(host.time < KDA_VMBUS_CONNECT_US);
        /* Heard at last, it opens. */
        memset(host.silent, 0, sizeof host.silent);
        host.gpadl = 0;
        CHECK(kda_vmbus_connect(&bus));
        check_well();
    }
}

static void a_busy_host_is_asked_again(void)
{
    static const uint16_t statuses[] = {0x13, 0x0B};

    for (size_t i = 0; i < 2; i++) {
        host_init(&host);
        host.busy = 6;
        host.busy_status = statuses[i];
        start();
        CHECK(kda_vmbus_connect(&bus));
        check_well();
        CHECK_EQ_STR(posted(), "CCCCCCCRHBO");
        for (unsigned n = 0; n < 5; n++)
            CHECK(host.posted_at[n + 1] - host.posted_at[n] >= 1000u << n &&
                  host.posted_at[n + 1] - host.posted_at[n] < (1000u << n) + 500);
    }
    host_init(&host);
    host.busy = 1000;
    host.busy_status = 0x13;
    start();
    CHECK(!kda_vmbus_connect(&bus));
    check_problem("the host takes no message");
}

/* It may not be there yet, but not for ever. */
static void a_connection_that_does_not_exist(void)
{
    host_init(&host);
    host.wrong_id = true;
    start();
    CHECK(!kda_vmbus_connect(&bus));
    check_problem("posting a message: the hypercall fails with status (00000012)");
    CHECK_EQ_U64(host.contacts, 3);
    CHECK(host.time < 5000000);
    host_init(&host);
    start();
    CHECK(kda_vmbus_connect(&bus));
    check_well();
    host.busy = 5;
    host.busy_status = 0x12;
    kda_vmbus_leave(&bus);
    CHECK_EQ_U64(host.violations, 0);
    CHECK_EQ_U64(bus.memory_lost, 0);
}

static void a_post_that_fails_is_told(void)
{
    host_init(&host);
    host.busy = 1;
    host.busy_status = 6;
    host.sint2_owned = true;
    start();
    CHECK(!kda_vmbus_connect(&bus));
    check_problem("INITIATE_CONTACT: the hypercall fails with status (00000006)");
}

static void leaving_ends(void)
{
    host_init(&host);
    host.silent[11] = host.silent[16] = true;
    start();
    CHECK(kda_vmbus_connect(&bus));
    posted();
    kda_vmbus_leave(&bus);
    CHECK_EQ_U64(bus.state, KDA_VMBUS_OFF);
    CHECK_EQ_STR(posted(), "XTU");
    CHECK_EQ_U64(bus.memory_lost, 1);
    CHECK(host.time < 10000000);
    kda_vmbus_leave(&bus);
    kda_vmbus_poll(&bus);
    CHECK_EQ_STR(posted(), "");
}

static void strange_messages_change_nothing(void)
{
    uint8_t message[240];

    host_init(&host);
    start();
    CHECK(kda_vmbus_connect(&bus));
    posted();
    for (unsigned type = 0; type < 64; type++) {
        memset(message, 0xFF, sizeof message);
        memset(message, 0, 8);
        message[0] = (uint8_t)type;
        for (size_t size = 1; size <= sizeof message; size += 7)
            host_say(&host, message, size);
        poll_for(1000);
        poll_for(1000);
    }
    check_well();
    CHECK_EQ_STR(posted(), "");
}

/* Everything that was answered, once more. */
static void doubled_answers_change_nothing(void)
{
    host_init(&host);
    start();
    CHECK(kda_vmbus_connect(&bus));
    posted();
    for (size_t i = 0, end = host.queued; i < end; i++)
        host_say(&host, host.queue[i].bytes, host.queue[i].size);
    poll_for(10000);
    check_well();
    CHECK_EQ_STR(posted(), "");
    CHECK_EQ_U64(bus.generation, 1);
}

KD_TEST_MAIN({"the channel opens and closes, message by message", opens},
             {"versions are tried from the newest down", goes_down_the_versions},
             {"refusals that come twice", refusals_that_come_twice},
             {"a host that refuses all versions", refused_versions_end},
             {"the firmware's connection is left alone", leaves_the_firmwares_connection_alone},
             {"SINT 2 is used when nobody has it", takes_sint_2_when_it_is_free},
             {"a failed connection state is final", a_failed_state_is_final},
             {"contact is tried again, and otherwise", a_lost_contact_is_repeated},
             {"an offer that comes later", nothing_offered}, {"pages are refused", refused_pages},
             {"the open is refused", refused_open},
             {"rescinded and offered again", rescinded_and_offered_again},
             {"rescinded at any step", rescinded_at_any_step},
             {"offered again while the old one is closed", offered_again_at_once},
             {"no answer at any step", silence_at_any_step},
             {"a busy host is asked again", a_busy_host_is_asked_again},
             {"a connection that does not exist", a_connection_that_does_not_exist},
             {"a post that fails is told", a_post_that_fails_is_told},
             {"leaving ends, whatever the host does", leaving_ends},
             {"strange messages change nothing", strange_messages_change_nothing},
             {"doubled answers change nothing", doubled_answers_change_nothing})
