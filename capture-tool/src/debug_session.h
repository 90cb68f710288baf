/* debug_session.h - a debug session: the end, the client on it, what is known of the target, and
 * waiting for it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Commands run one after the other in one thread and wait for what they ask for by turning the
 * session's loop. What the target says meanwhile is printed as it comes; a state change is kept and
 * dealt with by session_turn, between requests.
 *
 * Functions that can fail take a struct problem, and their failure is a sentence for people.
 */
#ifndef KDLENS_DEBUG_SESSION_H
#define KDLENS_DEBUG_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel.h"
#include "debug_output.h"
#include "end.h"
#include "kd_client.h"
#include "problem.h"

#define SESSION_MODULES     512u
#define SESSION_BREAKPOINTS 32u
#define SESSION_VARIABLES   64u
#define SESSION_SPECIAL     0xF0u
#define SESSION_NAME        64u

struct debug_module {
    uint64_t base;
    uint32_t size;
    uint32_t checksum;
    char name[SESSION_NAME]; /* without folder and extension */
    char path[256];
    char pdb[256];    /* of its RSDS record, as far as that was looked for */
    uint8_t guid[16]; /* the same */
    uint32_t age;
    bool looked; /* for the RSDS record */
    bool listed; /* in the list that was read last */
};

enum breakpoint_kind {
    BREAKPOINT_CODE,
    BREAKPOINT_EXECUTE,
    BREAKPOINT_WRITE,
    BREAKPOINT_READ,
    BREAKPOINT_PORT
};

struct debug_breakpoint {
    bool used;
    bool temporary; /* of p, gu and g ADDR: gone at the next stop */
    enum breakpoint_kind kind;
    unsigned size; /* hardware */
    uint64_t address;
    uint32_t handle; /* BREAKPOINT_CODE while it is planted; 0: it is not */
    uint64_t hits;
};

struct debug_variable {
    char name[32];
    uint64_t value;
};

/* Why the target stands. */
struct debug_stop {
    uint32_t state; /* enum kd_new_state, without the bit of the alternate source */
    uint16_t processor;
    uint32_t processors;
    uint64_t pc;
    uint32_t code; /* of an exception */
    uint64_t address;
    uint32_t parameters;
    uint64_t information[15];
    bool first_chance;
    uint64_t dr6;
    uint8_t stream[16];
    unsigned stream_size;
};

enum session_stop_at_load { LOAD_CONTINUES, LOAD_STOPS };

struct debug_session {
    struct channel_loop *loop;
    struct channel *channel;
    struct debug_output *out;
    const char *end_text;
    uint64_t patience; /* ns: most a request or a wait takes, unless it says else */
    const char *symbol_path;
    bool break_wanted; /* the first stop is not continued by itself */

    struct kd_client client;
    bool connected;
    bool leaving; /* the program ends, and signals do not cut that short */
    bool failed;  /* lasting: the end cannot be opened */
    struct problem failure;
    uint64_t reopen_at;

    uint8_t reply[KD_PACKET_MAX_SIZE];
    size_t reply_size;
    bool replied, request_failed;
    const char *why;

    uint8_t change[KD_PACKET_MAX_SIZE]; /* a state change that was not dealt with */
    size_t change_size;
    bool stopped; /* it was, and people were told */
    unsigned long stops;
    struct debug_stop stop;
    enum session_stop_at_load at_load;
    char load_name[SESSION_NAME]; /* at_load: this one, or "" for every one */
    char loaded[SESSION_NAME];    /* the module of the last load event */
    unsigned long loads;
    bool ended; /* the target said that it shuts down or reboots */

    bool version_known;
    uint8_t version[KD_CLIENT_UNION];
    enum kd_arch arch;

    struct debug_module modules[SESSION_MODULES];
    size_t module_count;
    bool modules_listed; /* since the last stop */
    struct debug_breakpoint breakpoints[SESSION_BREAKPOINTS];
    struct debug_variable variables[SESSION_VARIABLES];
    size_t variable_count;

    uint8_t context[KD_CLIENT_DATA_MAX];
    size_t context_size;
    bool context_known;
    uint8_t special[SESSION_SPECIAL];
    size_t special_size;
    bool special_known;
    uint64_t dr7; /* what Continue2 carries */
};

struct debug_session_config {
    const struct end *end;
    struct debug_output *out;
    uint64_t patience; /* ns */
    bool break_in;
    bool hold;
    const char *symbol_path;
};

/* NULL with a problem. The end must outlive it. */
struct debug_session *session_new(const struct debug_session_config *config,
                                  struct problem *problem);
void session_free(struct debug_session *session);

/* Opens the end and waits until the target has stopped (or, without break_in, is connected). */
bool session_connect(struct debug_session *session, uint64_t patience, struct problem *problem);

/* Waits for something to happen, at most until this monotonic time, and deals with a state change.
 * False, with a problem, when the connection is gone for good or somebody pressed Ctrl-C. */
bool session_turn(struct debug_session *session, uint64_t until, struct problem *problem);

/* Waits for the next state change, without dealing with it: it is then in session->reply. */
bool session_await_change(struct debug_session *session, uint64_t until, struct problem *problem);

/* Turns until the target has stopped after this many stops (session->stops as it was). */
bool session_wait_stop(struct debug_session *session, unsigned long stops, uint64_t patience,
                       struct problem *problem);

/* Sends a break-in and waits for the stop. */
bool session_break(struct debug_session *session, struct problem *problem);

/* Whether commands that ask the target may run; else the problem says what to do. */
bool session_needs_stop(const struct debug_session *session, struct problem *problem);

/* One request, with its reply in session->reply; its status may be a failure. */
bool session_ask(struct debug_session *session, const struct kd_client_request *request,
                 struct problem *problem);

/* The status of the reply, and its union. */
uint32_t session_status(const struct debug_session *session);
const uint8_t *session_union(const struct debug_session *session);

/* A request whose status must be success; what: "reading MSR 10". */
bool session_must(struct debug_session *session, const struct kd_client_request *request,
                  const char *what, struct problem *problem);

/* Things that changed with a stop are asked for anew. */
void session_forget(struct debug_session *session);

#endif
