/* vmbus_internal.h - what the files of the VMBus client share among themselves.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDA_VMBUS_INTERNAL_H
#define KDA_VMBUS_INTERNAL_H

#include "vmbus.h"

uint64_t kda_vmbus_now(const struct kda_vmbus *bus);

/* Enters a state, with a time limit in microseconds; 0: none. */
void kda_vmbus_enter(struct kda_vmbus *bus, enum kda_vmbus_state state, uint64_t limit);

/* Hands a message to the outbox, which posts it as soon as the host takes it. */
void kda_vmbus_send(struct kda_vmbus *bus, const void *message, size_t size);

/* The connection is of no use any more: another one, or none. */
void kda_vmbus_restart(struct kda_vmbus *bus);
void kda_vmbus_unload(struct kda_vmbus *bus);

/* channel.c */
void kda_vmbus_forget_channel(struct kda_vmbus *bus);
void kda_vmbus_on_offer(struct kda_vmbus *bus, const uint8_t *message);
void kda_vmbus_on_rescind(struct kda_vmbus *bus, const uint8_t *message);
void kda_vmbus_on_created(struct kda_vmbus *bus, const uint8_t *message);
void kda_vmbus_on_result(struct kda_vmbus *bus, const uint8_t *message);
void kda_vmbus_on_torndown(struct kda_vmbus *bus, const uint8_t *message);
/* Begins to use the offer, if there is one and nothing is in use. */
void kda_vmbus_take_offer(struct kda_vmbus *bus);
void kda_vmbus_close_channel(struct kda_vmbus *bus);
/* The time limit of a channel's state is over. */
void kda_vmbus_channel_late(struct kda_vmbus *bus);

#endif
