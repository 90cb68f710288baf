/* vmbus_host.h - the host side of VMBus: connections, offers, GPADLs, channels.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Several connections live at once, one for each SINT. A connection begins with INITIATE_CONTACT
 * and ends with UNLOAD; its channels and GPADLs end with it. A channel is offered, open, closed
 * (offered again) or rescinded, and is forgotten when the guest has released its relid.
 */
#ifndef HVHOST_VMBUS_HOST_H
#define HVHOST_VMBUS_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "hostring.h"

struct host;
struct device;

#define VMBUS_CONNECTIONS 4u
#define VMBUS_CHANNELS    32u
#define VMBUS_GPADLS      24u
#define VMBUS_GPADL_PAGES 2048u
#define VMBUS_RELID_FIRST 1u

struct connection {
    bool used;
    bool firmware; /* of the firmware's own client: faults leave it alone */
    bool offered;  /* offers were requested */
    uint8_t sint;
    uint32_t version;
    uint32_t message_id; /* connection id that its posts must use */
    uint64_t interrupt_page, monitor_to_guest, monitor_to_host;
    uint32_t messages; /* received */
};

enum channel_state { CHANNEL_FREE, CHANNEL_OFFERED, CHANNEL_OPEN, CHANNEL_RESCINDED };

struct channel {
    enum channel_state state;
    bool was_open; /* when it was rescinded, and the guest has not closed it yet */
    uint8_t connection;
    uint8_t monitor; /* id; 0: none */
    const struct device *device;
    uint32_t relid;
    uint32_t gpadl; /* handle of the rings */
    uint32_t target_vp;
    struct host_ring from_guest, to_guest;
    bool signalled; /* by the guest: its ring may be read */
    bool room_told; /* by the guest, since the host waits for room */
    uint64_t open_time;
    uint64_t signal_due; /* a signal to the guest that comes late; 0: none */
    uint64_t timer;      /* of the device */
    uint32_t number;     /* of the device: a sequence, a state */
    uint32_t signals_in, signals_spurious, signals_out, packets_in, packets_out;
    uint64_t bytes_in, bytes_out;
};

struct gpadl {
    bool used, complete;
    uint8_t connection;
    uint32_t handle, relid;
    uint32_t byte_count, byte_offset;
    uint32_t page_count, received, next_body;
    uint64_t pages[VMBUS_GPADL_PAGES];
};

struct vmbus {
    struct connection connections[VMBUS_CONNECTIONS];
    struct channel channels[VMBUS_CHANNELS];
    struct gpadl gpadls[VMBUS_GPADLS];
    struct host_packet packet;
    uint32_t next_relid;
    uint32_t ports;        /* a bit for each SINT that had a connection by connection id 4 */
    uint64_t reoffer_time; /* of the rescinded pipe; 0: never */
    uint64_t away_until;
    uint64_t spurious_time;
};

/* PostMessage and SignalEvent, an enum kd_hv_status each. */
uint32_t vmbus_post(struct host *host, uint32_t connection_id, const uint8_t *message,
                    uint32_t size);
uint32_t vmbus_signal(struct host *host, uint32_t connection_id, uint32_t flag);

/* The connection id for posts of a connection that chose its SINT, as openvmm makes it. */
uint32_t vmbus_message_id(uint32_t sint);

/* Everything that is due. */
void vmbus_work(struct host *host);

/* Whether this SINT is that of the firmware's own connection. */
bool vmbus_is_firmware(const struct host *host, uint8_t sint);

/* Takes the pipe away, open or not; offers it again. */
void vmbus_rescind_pipe(struct host *host);
void vmbus_offer_pipe(struct host *host);

/* Connects to the guest's socket that listens on port 0x6B64. */
void vmbus_offer_socket(struct host *host);

/* One line for each channel that was used. */
void vmbus_summary(struct host *host);

/* --- between the files of the host side --- */

/* A message to the guest with the faults that strike messages; delay in milliseconds. */
void vmbus_send(struct host *host, const struct connection *connection, const void *message,
                uint32_t size, uint32_t delay);

/* A violation by this connection's guest. */
#define VMBUS_BAD(host, connection, format, ...) \
    log_line(&(host)->log, LOG_BAD, "sint %u: " format, (uint32_t)(connection)->sint, __VA_ARGS__)

/* offers.c */
void offers_send(struct host *host, struct connection *connection);
/* instance: another than the device's; NULL: that one. */
void offers_offer(struct host *host, struct connection *connection, const struct device *device,
                  const void *instance);

/* gpadl.c */
void gpadl_header(struct host *host, struct connection *connection, const uint8_t *message,
                  uint32_t size);
void gpadl_body(struct host *host, struct connection *connection, const uint8_t *message,
                uint32_t size);
void gpadl_teardown(struct host *host, struct connection *connection, const uint8_t *message);
struct gpadl *gpadl_find(struct host *host, const struct connection *connection, uint32_t handle);

/* channel.c */
struct channel *channel_find(struct host *host, const struct connection *connection,
                             uint32_t relid);
struct connection *channel_connection(struct host *host, const struct channel *channel);
uint32_t channel_event_id(struct host *host, const struct channel *channel);
void channel_open(struct host *host, struct connection *connection, const uint8_t *message);
void channel_close(struct host *host, struct connection *connection, const uint8_t *message);
void channel_release(struct host *host, struct connection *connection, const uint8_t *message);
void channel_modify(struct host *host, struct connection *connection, const uint8_t *message);
void channel_rescind(struct host *host, struct channel *channel);
void channel_forget(struct host *host, const struct connection *connection);
void channel_work(struct host *host, struct channel *channel);
/* To the guest: an in-band packet or a completion. False: no room now. */
bool channel_write(struct host *host, struct channel *channel, uint16_t type, uint16_t flags,
                   uint64_t transaction, const struct host_part parts[2]);
/* The same with a pipe header in front of the bytes. */
bool channel_write_pipe(struct host *host, struct channel *channel, const void *bytes,
                        uint32_t size);

#endif
