/* debug_target.h - what a stopped target can be asked for: memory, registers, ports, breakpoints.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Each false, with a problem, when the target refuses or does not answer.
 */
#ifndef KDLENS_DEBUG_TARGET_H
#define KDLENS_DEBUG_TARGET_H

#include "debug_session.h"

enum target_space { SPACE_VIRTUAL, SPACE_PHYSICAL };

/* Reads in as many pieces as it takes; *got, which may be NULL, is how much there is from the
 * start, also on failure. */
bool target_read(struct debug_session *session, enum target_space space, uint64_t address,
                 uint8_t *bytes, size_t size, size_t *got, struct problem *problem);
bool target_write(struct debug_session *session, enum target_space space, uint64_t address,
                  const uint8_t *bytes, size_t size, struct problem *problem);

/* A little-endian number of 1, 2, 4 or 8 bytes. */
bool target_read_number(struct debug_session *session, uint64_t address, size_t size,
                        uint64_t *value, struct problem *problem);

/* By the target's own search; *supported is false when it has none. Not found is success. */
bool target_search(struct debug_session *session, uint64_t address, uint64_t length,
                   const uint8_t *pattern, size_t size, bool *supported, bool *found, uint64_t *at,
                   struct problem *problem);

/* The same for filling. */
bool target_fill(struct debug_session *session, enum target_space space, uint64_t address,
                 uint32_t length, const uint8_t *pattern, size_t size, bool *supported,
                 struct problem *problem);

bool target_version(struct debug_session *session, struct problem *problem);
const struct kd_get_version64 *target_version_fields(const struct debug_session *session);

/* The context and the special registers, once for each stop. */
bool target_context(struct debug_session *session, struct problem *problem);
bool target_set_context(struct debug_session *session, struct problem *problem);
bool target_special(struct debug_session *session, struct problem *problem);
bool target_set_special(struct debug_session *session, struct problem *problem);

bool target_read_port(struct debug_session *session, uint64_t port, unsigned size, uint32_t *value,
                      struct problem *problem);
bool target_write_port(struct debug_session *session, uint64_t port, unsigned size, uint32_t value,
                       struct problem *problem);
bool target_read_msr(struct debug_session *session, uint32_t number, uint64_t *value,
                     struct problem *problem);
bool target_write_msr(struct debug_session *session, uint32_t number, uint64_t value,
                      struct problem *problem);

/* PCI configuration space and its like. size in: wanted, out: there. */
bool target_bus_data(struct debug_session *session, uint32_t type, uint32_t bus, uint32_t slot,
                     uint32_t offset, uint8_t *bytes, size_t *size, struct problem *problem);
bool target_query(struct debug_session *session, uint64_t address, uint32_t *space, uint32_t *flags,
                  struct problem *problem);

bool target_plant(struct debug_session *session, uint64_t address, uint32_t *handle,
                  struct problem *problem);
bool target_unplant(struct debug_session *session, uint32_t handle, struct problem *problem);

bool target_continue(struct debug_session *session, uint32_t status, bool trace, uint64_t dr7,
                     struct problem *problem);
bool target_reboot(struct debug_session *session, struct problem *problem);

#endif
