/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Request
 *
 * What a caller asks of the tree.  An update, encoded, is the payload of a log entry: the leader orders it, stamps
 * it with a zxid and its wall clock, and every member applies it with the same result (DESIGN section 2.2).  A read
 * is answered from the local tree and is never encoded, except to be forwarded.
 *
 * A decoded request borrows all its strings and bytes from the buffer it was decoded from.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/zxid.h"
#include "agent/tree/acl.h"

typedef enum RequestOp {
        /* updates */
        REQUEST_CREATE = 1,
        REQUEST_DELETE = 2,
        REQUEST_SET_DATA = 3,
        REQUEST_SET_ACL = 4,
        REQUEST_CHECK = 5,              /* only inside a multi */
        REQUEST_MULTI = 6,
        REQUEST_DELETE_RECURSIVE = 7,
        REQUEST_REAP = 8,               /* leader only: an empty container or an expired TTL znode */
        REQUEST_OPEN_SESSION = 9,
        REQUEST_ATTACH_SESSION = 10,
        REQUEST_AUTH_SESSION = 11,
        REQUEST_CLOSE_SESSION = 12,

        /* reads */
        REQUEST_EXISTS = 33,
        REQUEST_GET_DATA = 34,
        REQUEST_GET_ACL = 35,
        REQUEST_GET_CHILDREN = 36,
        REQUEST_COUNT_DESCENDANTS = 37,
        REQUEST_GET_EPHEMERALS = 38,
        REQUEST_LIST = 39,              /* recursive list, paged */
        REQUEST_MULTI_READ = 40,        /* of GET_DATA and GET_CHILDREN */
        REQUEST_WHO_AM_I = 41,
        REQUEST_LIST_SESSIONS = 42,     /* paged by session id */
        REQUEST_SYNC = 43,              /* answers once everything committed before it is applied here */
} RequestOp;

static inline bool request_op_is_update(RequestOp op) {
        return op < REQUEST_EXISTS;
}

typedef enum CreateMode {
        CREATE_PERSISTENT = 0,
        CREATE_EPHEMERAL = 1,
        CREATE_PERSISTENT_SEQUENTIAL = 2,
        CREATE_EPHEMERAL_SEQUENTIAL = 3,
        CREATE_CONTAINER = 4,
        CREATE_TTL = 5,
        CREATE_TTL_SEQUENTIAL = 6,
        _CREATE_MODE_MAX,
} CreateMode;

/* What a session lives and dies with (DESIGN section 2.6). */
typedef enum OwnerKind {
        OWNER_EXPLICIT = 0,             /* only its timeout; the client keeps it alive */
        OWNER_CONNECTION = 1,           /* a bus connection */
        OWNER_UNIT = 2,                 /* one run of a systemd unit */
        OWNER_DESCRIPTOR = 3,           /* a file descriptor's last copy */
        OWNER_HOST = 4,                 /* the agent's membership */
        _OWNER_KIND_MAX,
} OwnerKind;

#define SESSION_SECRET_HASH_BYTES 32    /* SHA-256 of the secret; the secret itself is never in the log */

#define VERSION_ANY (-1)
#define TTL_MSEC_MAX INT64_C(1099511627775)

typedef struct Request Request;
struct Request {
        RequestOp op;

        /* Where it came from, so that the member that sent it knows its entry again: that member's sid, and the member's
         * own number for it; both 0 for a request of the leader's own.  Sub-requests carry neither. */
        uint32_t origin;
        uint64_t number;

        /* Who asks.  With a session, the session's identities count and `caller` must be empty; without one (0),
         * `caller` counts.  Sub-requests of a multi inherit both and carry neither. */
        uint64_t session;
        uint64_t cxid;                  /* the session's own number for this request, growing; 0 without session */
        Identities caller;

        const char *path;               /* every op that names a znode; LIST: the root; GET_EPHEMERALS: the prefix */
        const uint8_t *data;            /* CREATE, SET_DATA; NULL is a null value and distinct from empty */
        uint32_t data_size;
        AclEntries acl;                 /* CREATE, SET_ACL */
        CreateMode mode;                /* CREATE */
        int64_t ttl_msec;               /* CREATE with a TTL mode: 1..TTL_MSEC_MAX; otherwise 0 */
        int32_t version;                /* DELETE, SET_DATA, SET_ACL, CHECK; VERSION_ANY for any */
        Zxid czxid;                     /* DELETE, SET_DATA, CHECK: only if the znode's czxid is this; 0 for any.
                                         * REAP: the container's or TTL znode's czxid, required */

        /* LIST, GET_CHILDREN, LIST_SESSIONS.  Lists are in byte order of names (LIST: depth first, parents before
         * children; LIST_SESSIONS: by id). */
        const char *start_after;        /* GET_CHILDREN: name; LIST: absolute path; NULL or "" from the start */
        uint64_t start_after_session;   /* LIST_SESSIONS */
        uint32_t entries_max;           /* 0: as many as one answer may hold (limits.h) */
        bool want_data;                 /* LIST: each znode's data too; GET_CHILDREN: each child's data and stat */

        /* sessions */
        uint64_t target;                /* ATTACH, AUTH, CLOSE_SESSION: the session it is about */
        uint32_t timeout_msec;          /* OPEN, ATTACH: already negotiated by the front; range-checked again */
        uint8_t secret_hash[SESSION_SECRET_HASH_BYTES];     /* OPEN: to store; ATTACH: to compare */
        OwnerKind owner_kind;           /* OPEN */
        const char *owner;              /* OPEN: e.g. "nginx.service 5f3c..." (see host/owner.h), at most
                                         * LIMIT_OWNER_BYTES */
        uint32_t member;                /* OPEN, ATTACH: sid of the member that answers for it */
        Identities identities;          /* OPEN, AUTH: identities to give the session, verified by the front */
        bool expired;                   /* CLOSE: by the leader because its time ran out */
        uint64_t generation;            /* CLOSE because expired: only if the session's generation is this; 0 for any */

        const Request *operations;      /* MULTI, MULTI_READ */
        uint32_t operations_count;
};

/* Encodes an update or a read, without anything local to this member. */
void request_encode(const Request *r, Writer *w);

/* A decoded request together with the arrays it needed. */
typedef struct DecodedRequest {
        Request request;
        GPtrArray *arrays;              /* g_free */
} DecodedRequest;

/* Decodes exactly `size` bytes.  Returns false on anything malformed, beyond limits.h, out of range (unknown op,
 * mode, nested multi, ...) or with trailing bytes; *ret is then untouched.  On success the caller ends it with
 * request_decoded_done(); `data` must outlive it.  For every accepted input, encoding gives the same bytes. */
bool request_decode(const uint8_t *data, size_t size, DecodedRequest *ret);
void request_decoded_done(DecodedRequest *d);

/* The checks of 2.13 that need no tree: a multi holds only CREATE, DELETE, SET_DATA, CHECK (and never a multi), a
 * multi-read only GET_DATA and GET_CHILDREN; CHECK stands only inside a multi; sizes are within limits.h.
 * Fronts call it before they submit; tree_apply() trusts nobody and calls it again. */
ConveneStatus request_validate(const Request *r);

/* Path rules of 2.9 plus limits.h.  `sequential`: ten digits follow, so a last component that is empty or "." is
 * allowed, and the limit holds with them: what is valid so is valid with its suffix. */
ConveneStatus path_validate(const char *path, bool sequential);
