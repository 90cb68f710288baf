/* doctor.h - what a doctor keeps between its files.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * doctor.c hears events and collects cases, doctor_net.c those of KDNET's datagrams, doctor_judge.c
 * makes diagnoses of them.
 */
#ifndef ANALYSIS_SRC_DOCTOR_H
#define ANALYSIS_SRC_DOCTOR_H

#include "analysis/doctor.h"

#if defined(__GNUC__) && !defined(__clang__)
#define DOCTOR_PRINTF __attribute__((format(gnu_printf, 4, 5)))
#elif defined(__GNUC__)
#define DOCTOR_PRINTF __attribute__((format(printf, 4, 5)))
#else
#define DOCTOR_PRINTF
#endif

#define DOCTOR_REFUSED 12u /* pairs of request and status that are told apart */

/* What speaks for one verdict. */
struct doctor_case {
    uint64_t count;
    uint32_t first, last;
    struct kda_evidence evidence[KDA_EVIDENCE];
    size_t evidence_count;
};

/* One end, by what it sent. */
struct doctor_end {
    uint64_t packets; /* good ones */
    uint64_t data;
    uint64_t noise, text, binary; /* bytes */
    uint64_t packet_bytes;
    uint64_t repeats;  /* retransmissions, and requests sent again as new packets ... */
    uint64_t needless; /* ... of these, those whose ACK had passed */
    uint64_t resends, resets;
    uint32_t first, last; /* frames of good packets; 0: none */
    uint64_t last_time;
    bool owes; /* an answer, since: */
    uint64_t owes_since;
    uint32_t owes_frame;
};

struct doctor_storm {
    enum kd_storm kind; /* of the last one */
    uint32_t first, last;
    uint64_t begin, last_time;
    uint64_t resets[3], resends[3], repeats[3]; /* by flow, while it was on */
    uint32_t stop;                              /* frame of the state change that was repeated */
    uint32_t api;                               /* request that came again and again */
};

struct doctor_refused {
    uint32_t api, status, frame;
    uint64_t count;
};

/* KDNET, below KD. */
struct doctor_net {
    uint64_t datagrams;
    uint64_t opened, sealed_control, sealed_data;
    uint64_t pokes, responses, empty, announces, target_data, debugger_data;
    uint64_t duplicates, copies; /* copies: data like the one just before, of the same sender */
    uint64_t missing;
    uint64_t sequence[2]; /* newest of the data, by from_debugger */
    uint32_t last_response, first_poke;
    uint64_t responses_unheard; /* since the target's last data */
    bool offered;               /* an offer has come since the newest response */
    bool boot_changed;          /* since the last response */
    struct kda_end first_source;
    bool two_sources;
};

struct kda_doctor {
    struct doctor_case cases[KDA_VERDICTS];
    struct doctor_end ends[3]; /* by enum kd_flow of what the end sends */
    struct doctor_storm storm;
    struct doctor_net net;
    struct doctor_refused refused[DOCTOR_REFUSED];
    size_t refused_count;
    uint64_t replies, replies_refused;
    uint64_t damaged, repaired;
    uint64_t events;
    uint64_t first_time, last_time;
    uint32_t last_frame;

    uint32_t breakin;                /* frame of the first that is not answered; 0: none */
    uint64_t breakin_time, breakins; /* time: later by what the target stood since */
    uint64_t stop_time;
    uint32_t reset;        /* of a debugger that had been talking; 0: none */
    bool established;      /* a request was answered */
    bool stopped, told;    /* told: whether it is stopped was said */
    bool passing;          /* stopped by an event that debuggers pass by themselves */
    uint32_t stop, left;   /* frames: of the stop, of the Continue */
    uint32_t open_request; /* frame of the debugger's request without reply; 0: none */
    uint32_t open_api;
    uint32_t prompt; /* frame of a question of the target; 0: none */
    char stop_text[KDA_EVIDENCE_TEXT_SIZE];
};

/* Something that speaks for the verdict. */
void doctor_note(struct kda_doctor *doctor, enum kda_verdict verdict, uint32_t frame,
                 const char *format, ...) DOCTOR_PRINTF;

void doctor_datagram(struct kda_doctor *doctor, const struct kda_event *event);

/* "the debugger", "the target", "an end" that sent this way. */
const char *doctor_who(enum kd_flow flow);

const char *doctor_api_name(uint32_t api);

#endif
