/* control.c - lines of commands from COM4.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "control.h"

#include "host.h"
#include "uart.h"

#define PERIOD_US UINT64_C(10000)

void control_start(struct host *host)
{
    host->control.there = uart_start(CONTROL_PORT);
    host->control.size = 0;
}

static bool same(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static void obey(struct host *host, const char *line)
{
    log_line(&host->log, LOG_INFO, "control: %s", line);
    if (same(line, "rescind")) {
        vmbus_rescind_pipe(host);
    } else if (same(line, "offer")) {
        vmbus_offer_pipe(host);
    } else if (same(line, "socket")) {
        vmbus_offer_socket(host);
    } else if (same(line, "tally")) {
        vmbus_summary(host);
        log_tally(&host->log, "asked");
    } else {
        options_parse(&host->options, &host->log, line);
    }
}

void control_work(struct host *host)
{
    struct control *control = &host->control;
    uint64_t now = log_now(&host->log);
    uint8_t letter;

    if (!control->there || now - control->time < PERIOD_US)
        return;
    control->time = now;
    while (uart_read(CONTROL_PORT, &letter, 1)) {
        if (letter == '\n') {
            control->line[control->size] = 0;
            control->size = 0;
            obey(host, control->line);
        } else if (control->size < CONTROL_LINE - 1) {
            control->line[control->size++] = (char)letter;
        }
    }
}
