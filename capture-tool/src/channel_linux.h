/* channel_linux.h - what the Linux files of the channel layer share.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * channel_linux.c moves bytes, open_linux.c opens each kind of end, serial_linux.c sets lines.
 */
#ifndef KDLENS_CHANNEL_LINUX_H
#define KDLENS_CHANNEL_LINUX_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "channel.h"
#include "gather.h"

/* A file descriptor the loop waits for. The struct lives as long as the loop may know it. */
struct watch {
    void (*ready)(void *context, uint32_t events); /* of epoll */
    void *context;
    int fd;          /* -1: none */
    uint32_t events; /* waited for; errors and hang-ups come unasked while known */
    bool known;      /* to epoll */
};

/* Waits for these events from now on; 0 also forgets errors and hang-ups. False for a file that
 * epoll does not take, which is one that is always ready. */
bool watch_set(struct channel_loop *loop, struct watch *watch, uint32_t events);

/* Looks at it again, for what is edge-triggered: what is ready now comes as an event once more. */
void watch_again(struct channel_loop *loop, const struct watch *watch);

/* Forgets and closes it. */
void watch_close(struct channel_loop *loop, struct watch *watch);

enum channel_state { CHANNEL_CLOSED, CHANNEL_OPENING, CHANNEL_OPEN, CHANNEL_ENDED };

struct channel_queue {
    uint8_t *bytes;
    size_t start, end, capacity;
};

struct channel {
    struct channel *next;
    struct channel_loop *loop;
    const struct end *end;
    const struct channel_events *events;
    void *context;
    enum channel_state state;
    struct watch stream;   /* read from, and written to unless output has a descriptor */
    struct watch output;   /* stdio only */
    struct watch listener; /* while it listens; the master of a pty */
    struct channel_queue queue;
    uint64_t lost; /* bytes for the peer that did not go out */
    bool paused;
    bool gathers; /* nothing is read before the deadline: channel_gather */
    struct gather gather;
    size_t read;       /* bytes of the event received, while it lasts */
    bool broken;       /* writing failed: what is written is dropped */
    bool ending;       /* the peer is to be told that no more comes */
    bool always_ready; /* a file, which epoll does not take */
    bool is_socket;    /* the stream: edge-triggered, see channel_linux.c */
    bool is_tcp;       /* it is worth while to let bytes gather: gather.h */

    uint64_t deadline; /* when step is due; UINT64_MAX: never */
    void (*step)(struct channel *channel);

    struct resolver *resolver;            /* tcp: while the host's addresses are asked for */
    struct addrinfo *addresses, *address; /* tcp: all of the host, the one tried now */
    dev_t device;                         /* unix-listen: the socket made */
    ino_t inode;
    bool made;    /* unix-listen: socket; pty: link */
    pid_t child;  /* exec; 0: none */
    int patience; /* exec: how often its exit status is still asked for */
    int flags[2]; /* stdio: as they were; -1: not changed */
};

/* --- open_linux.c */

/* Starts opening; OPENING already. */
void open_start(struct channel *channel);

/* Whether the loop looks at the listener. */
void open_listen(struct channel *channel, bool on);

/* A connection comes to the listener. */
void open_listener_ready(void *context, uint32_t events);

/* exec: whether the command has ended, and how. */
bool open_command_ended(struct channel *channel, char *reason, size_t room);

/* The connection's own descriptors are closed by channel_linux.c; this is the rest. */
void open_connection_gone(struct channel *channel);

/* Stops listening, and removes what was made. */
void open_clear(struct channel *channel);

/* --- channel_linux.c, for open_linux.c */

/* OPEN, on this descriptor. */
void channel_opened(struct channel *channel, int fd, const char *peer);

/* CLOSED, and the event. */
void channel_failed(struct channel *channel, bool lasting, const char *format, ...)
    LIKE_PRINTF(3, 4);

void channel_step_at(struct channel *channel, uint64_t when, void (*step)(struct channel *channel));

/* A child that was told to end, to be waited for some time. */
void channel_loop_bury(struct channel_loop *loop, pid_t child);

/* --- resolve_linux.c: addresses of a host, without waiting for a name server */

struct resolver;

/* NULL: no memory, or no thread. */
struct resolver *resolver_start(const char *host, const char *port);

/* Whether the answer is there: then 0 and the addresses, which are the caller's, or an error of
 * getaddrinfo. */
bool resolver_done(struct resolver *resolver, int *error, struct addrinfo **addresses);

/* At any time; NULL is allowed. */
void resolver_free(struct resolver *resolver);

/* --- serial_linux.c */

/* Raw, 8N1, this speed. On failure errno says why. */
bool serial_set(int fd, uint32_t baud);

#endif
