/* kdnet-session.h - the KDNET sessions between two machines, and what the first visit found of each
 * datagram.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A session begins with the debugger's response: it holds the data key, the sequence numbers of
 * both sides and the KD connection. Sessions belong to a pair of addresses, not of ports: a target
 * that restarts may use another port. Version 1 and unencrypted KD have one session for each
 * conversation.
 */
#ifndef KDLENS_PLUGIN_KDNET_SESSION_H
#define KDLENS_PLUGIN_KDNET_SESSION_H

#include "kdnet-keys.h"
#include "packet-kd.h"

enum kdnet_content {
    KDNET_CONTENT_SEALED, /* no key opens it */
    KDNET_CONTENT_PLAIN,  /* KD without encryption */
    KDNET_CONTENT_POKE,
    KDNET_CONTENT_RESPONSE,
    KDNET_CONTENT_EMPTY, /* control datagram without a body */
    KDNET_CONTENT_CONTROL,
    KDNET_CONTENT_ANNOUNCE,
    KDNET_CONTENT_KD,
    KDNET_CONTENT_OTHER, /* authentic, but neither announce nor KD */
    KDNET_CONTENT_JUNK,  /* no datagram of KDNET */
};

enum kdnet_remarks {
    KDNET_REMARK_REPLAY = 1,      /* sequence not above the highest of its session and direction */
    KDNET_REMARK_OLD_KEY = 2,     /* sealed with the key of a session that a later one replaced */
    KDNET_REMARK_DIRECTION = 4,   /* the sealed direction contradicts the addresses */
    KDNET_REMARK_RESTART = 8,     /* poke: the target was restarted since the last one */
    KDNET_REMARK_NO_KEY = 16,     /* sealed: no key is configured for these addresses */
    KDNET_REMARK_NO_SESSION = 32, /* sealed data: the capture has no key exchange before it */
    KDNET_REMARK_BAD_PAD = 64,
    KDNET_REMARK_CUT = 128, /* the capture holds only a part */
};

struct kdnet_session {
    uint32_t number;   /* 1, 2, ... within its pair of addresses */
    uint32_t response; /* frame that began it */
    struct kdnet_cipher *cipher;
    uint8_t data_key[KDNET_KEY_SIZE];
    uint8_t version; /* of the response, which may be below the target's */
    struct kd_session *kd;
    bool has_target; /* where the response went */
    address target;
    uint32_t target_port;
    uint64_t highest[2]; /* sequence numbers, by from_debugger */
};

/* What the first visit found. In file scope, one for each datagram. */
struct kdnet_record {
    struct kdnet_session *session; /* data; responses: the one it begins */
    struct kdnet_cipher *cipher;   /* opens it again */
    uint64_t sequence;
    uint32_t missing; /* sequence numbers skipped before this one */
    uint8_t content;  /* enum kdnet_content */
    uint8_t remarks;  /* enum kdnet_remarks */
    bool from_debugger;
    uint8_t kind;      /* enum kdnet_datagram_kind */
    uint8_t tried;     /* keys tried, for those that stay sealed */
    uint32_t poke;     /* response: frame of the poke it answers */
    uint32_t response; /* poke: frame of its response */
    struct kd_unit *unit;
};

/* First visit: opens the datagram if a key fits and finds out all else. */
struct kdnet_record *kdnet_session_see(packet_info *pinfo, const struct kdnet_datagram *datagram);

/* First visit: a datagram that the capture holds only a part of. */
struct kdnet_record *kdnet_session_see_cut(const struct kdnet_datagram *datagram);

/* First visit: KD without encryption, or junk on a conversation of KDNET. */
struct kdnet_record *kdnet_session_see_plain(packet_info *pinfo, const uint8_t *bytes, size_t size);

void kdnet_session_register(int proto);

#endif
