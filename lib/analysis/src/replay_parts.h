/* replay_parts.h - the replay's inside, shared by its files.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 *   replay_script.c   what the recorded target said and answered
 *   replay.c          the link, where in the script the target is
 *   replay_answers.c  requests: which part answers, breakpoints, what the recording answered
 *   replay_memory.c   memory: read, written, searched, filled
 *   replay_state.c    contexts, control space, MSRs, ports
 *   replay_strict.c   the transcript
 */
#ifndef ANALYSIS_REPLAY_PARTS_H
#define ANALYSIS_REPLAY_PARTS_H

#include "analysis/replay.h"
#include "list.h"

#define UNSUCCESSFUL KD_NT(STATUS_UNSUCCESSFUL)
#define SUCCESS      KD_NT(STATUS_SUCCESS)
#define REPLY_ROOM   (KD_PACKET_MAX_SIZE - KD_MANIPULATE_DATA)

/* --- the script */

enum line_kind { LINE_STOP, LINE_PRINT, LINE_PROMPT };

/* Something the target said by itself. */
struct script_line {
    enum line_kind kind;
    uint32_t frame;
    struct kda_bytes payload;
    uint32_t until;        /* STOP: last frame in which it holds */
    uint32_t number, last; /* STOP: as the model counts; those that repeat it are one with it */
    uint16_t processor;    /* STOP */
    bool switched;         /* STOP: the debugger had switched processors */
    bool asked;            /* STOP: the debugger sent something in it */
    bool unseen;           /* STOP: it did not, and the target went on without it */
};

/* A reply of the target with its request. */
struct script_pair {
    uint32_t api;
    uint32_t frame;
    struct kda_bytes request, reply;
};

/* How the target took to an API. */
struct script_api {
    bool answered, succeeded;
    uint32_t refusal; /* status of the first that failed; 0: none did */
    uint32_t success; /* status of the first that did not; GetContextEx: any first */
};

/* A frame of the transcript, without trailer. */
struct script_frame {
    uint32_t frame;
    bool target;  /* it sent it */
    bool noise;   /* no packet and no break-in */
    bool trailer; /* 0xAA follows on a byte stream */
    struct kda_bytes bytes;
};

struct kda_script {
    struct kda_store *store;
    bool transcript;
    struct list lines, pairs, frames;
    size_t stops;
    uint32_t number; /* of the newest state change */
    uint64_t files, narrow;
    bool stopped, switching;
    struct script_api apis[KDA_APIS];
};

const struct script_line *script_line(const struct kda_script *script, size_t i);

/* NULL: no such number. */
const struct script_api *script_api(const struct kda_script *script, uint32_t api);

/* What was answered to this request: in the frames first to last, the first; else the newest
 * before; with `later`, else the first after. NULL: nothing. */
const struct script_pair *script_find(const struct kda_script *script, const uint8_t *request,
                                      size_t size, uint32_t first, uint32_t last, bool later);

/* Two manipulate messages that ask for the same: junk in what a request does not use is no
 * difference. */
bool same_request(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size);

/* --- what the debugger set */

enum kept_kind { KEPT_CONTEXT, KEPT_CONTROL_SPACE, KEPT_MSR };

struct kept {
    enum kept_kind kind;
    uint16_t processor;
    size_t stop; /* line */
    uint64_t address;
    struct kda_bytes bytes;
};

/* --- the replay */

enum replay_state { REPLAY_TELLS, REPLAY_STOPPED, REPLAY_PROMPTS, REPLAY_RUNS };

struct replay_inbox {
    bool full;
    enum kd_packet_type type;
    size_t size;
    uint8_t payload[KD_PACKET_MAX_SIZE];
};

/* Room to put captured bytes together. */
struct replay_scratch {
    uint8_t bytes[KD_PACKET_MAX_SIZE];
    uint32_t known[KD_PACKET_MAX_SIZE];
    uint8_t other[KD_PACKET_MAX_SIZE];
    uint32_t other_known[KD_PACKET_MAX_SIZE];
};

struct kda_replay {
    const struct kda_model *model;
    const struct kda_script *script;
    struct kda_store *store;
    struct kda_replay_config config;
    struct kda_replay_events events;
    void *context;
    struct kda_replay_tally tally;

    enum replay_state state;
    size_t first; /* line to begin with */
    size_t line;  /* next one to be said */
    size_t stop;  /* line of the stop that holds, or held last */
    bool attached;
    bool unheard; /* no state change of the stop that holds was acknowledged */
    bool renewed; /* the debugger sent RESET since it went on */
    /* When the state change is sent again unless a request comes before; UINT64_MAX: not. */
    uint64_t awaited_at;

    struct kd_link link;
    struct kd_framer framer;
    bool flush, again; /* again: the state change, or the prompt, is to be sent once more */
    struct replay_inbox inbox;
    uint8_t message[KD_PACKET_MAX_SIZE]; /* on its way */
    uint8_t stream[KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE)];
    uint8_t packet[KD_HEADER_SIZE + KD_PACKET_MAX_SIZE + 1];

    struct kda_memory *written[2]; /* virtual, physical: frame is the stop's line + 1 */
    struct list kept;
    uint64_t breakpoints[KD_MAX_BREAKPOINTS];
    uint32_t planted; /* bit n: handle n + 1 is given */
    struct replay_scratch scratch;
};

/* What follows from a request. */
enum outcome {
    OUTCOME_REPLY,
    OUTCOME_SILENT,
    OUTCOME_GO,     /* goes on, no reply */
    OUTCOME_REPORT, /* the state change again */
    OUTCOME_REBOOT
};

/* A request that is served; the reply begins as its copy. */
struct ask {
    uint32_t api;
    uint16_t processor;
    struct kd_manipulate_header *header;
    void *body;          /* the union */
    const uint8_t *data; /* of the request */
    size_t size;
    uint8_t *out; /* data of the reply */
    size_t room;
    size_t out_size;
};

const struct script_line *replay_stop(const struct kda_replay *replay);

static inline size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

enum outcome answer(struct ask *ask, uint32_t status);

/* The answer to the message in the inbox is in replay->message; *size: its size. */
enum outcome replay_answer(struct kda_replay *replay, size_t *size);

enum outcome read_memory(struct kda_replay *replay, struct ask *ask, bool physical);
enum outcome write_memory(struct kda_replay *replay, struct ask *ask, bool physical);
enum outcome search_memory(struct kda_replay *replay, struct ask *ask);
enum outcome fill_memory(struct kda_replay *replay, struct ask *ask);

enum outcome get_context(struct kda_replay *replay, struct ask *ask);
enum outcome get_context_ex(struct kda_replay *replay, struct ask *ask);
enum outcome set_context(struct kda_replay *replay, struct ask *ask);
enum outcome set_context_ex(struct kda_replay *replay, struct ask *ask);
enum outcome read_control_space(struct kda_replay *replay, struct ask *ask);
enum outcome write_control_space(struct kda_replay *replay, struct ask *ask);
enum outcome read_msr(struct kda_replay *replay, struct ask *ask);
enum outcome write_msr(struct kda_replay *replay, struct ask *ask);
enum outcome read_port(struct kda_replay *replay, struct ask *ask);
enum outcome write_port(struct kda_replay *replay, struct ask *ask);

#endif
