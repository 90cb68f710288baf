/* log.h - the text log on QEMU's debug console, and the counts of what the guest did wrong.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A line is "SECONDS.MICROSECONDS KIND text". Kinds: BAD, a violation of the protocol; WARN, legal
 * but odd; FAULT, an injected fault; INFO; PASS, FAIL and SKIP, the self test; FW, the firmware's
 * client; TALLY, the counts.
 */
#ifndef HVHOST_LOG_H
#define HVHOST_LOG_H

#include <stdint.h>

#define LOG_PORT 0x402

enum log_kind { LOG_BAD, LOG_WARN, LOG_FAULT, LOG_INFO, LOG_PASS, LOG_FAIL, LOG_SKIP, LOG_FW };

struct log {
    uint64_t start; /* time stamp counter */
    uint64_t ticks_per_us;
    uint32_t bad, warnings, faults;
};

/* Measures the time stamp counter with the power management timer of QEMU's q35. */
void log_start(struct log *log);

/* Microseconds since log_start. */
uint64_t log_now(const struct log *log);

/* format: %s, %u and %x (uint32_t), %U and %X (uint64_t), %%. */
void log_line(struct log *log, enum log_kind kind, const char *format, ...);

/* "TALLY why bad=N warnings=N faults=N": the last one of a run is the verdict. */
void log_tally(struct log *log, const char *why);

#endif
