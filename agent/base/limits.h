/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Limits
 *
 * Everything a client, a peer or a disk can make grow is bounded here.  The first group is replicated truth: an
 * entry beyond it has a deterministic error on every member, so the numbers are constants and not configuration.
 * The second group bounds what one agent spends on its own clients; convened.conf [limits] may change those marked
 * so, and each reached limit is a named error.
 */

/* replicated */
#define LIMIT_PATH_BYTES 1024                   /* a znode's path, without the NUL */
#define LIMIT_PATH_DEPTH 64                     /* components of a path */
#define LIMIT_DATA_BYTES (1024 * 1024)          /* a znode's data */
#define LIMIT_ACL_ENTRIES 64
#define LIMIT_IDENTITY_BYTES 256                /* scheme or id of an identity */
#define LIMIT_SESSION_IDENTITIES 64
#define LIMIT_OWNER_BYTES 512                   /* a session's owner text */
#define LIMIT_MULTI_OPERATIONS 1024
#define LIMIT_REQUEST_BYTES (2 * 1024 * 1024)   /* an encoded request, multi included */
#define LIMIT_SESSION_EPHEMERALS 10000          /* so that a session's end is a bounded piece of work */
#define LIMIT_RECURSIVE_ZNODES 10000            /* znodes that one recursive delete may remove */
#define LIMIT_SESSION_TIMEOUT_MIN_MSEC 1000
#define LIMIT_SESSION_TIMEOUT_MAX_MSEC (24 * 60 * 60 * 1000)

/* one answer */
#define LIMIT_PAGE_ENTRIES 10000                /* names or znodes in one page of a list */
#define LIMIT_PAGE_BYTES (1024 * 1024)          /* their bytes */

/* one agent */
#define LIMIT_SESSIONS_TOTAL 100000             /* replicated: sessions in the ensemble */
#define LIMIT_UID_SESSIONS 64                   /* [limits] sessions= */
#define LIMIT_UID_EPHEMERALS 10000              /* [limits] ephemerals= */
#define LIMIT_UID_WATCHES 10000                 /* [limits] watches= */
#define LIMIT_UID_CALLS 4096                    /* [limits] calls=: calls without an answer yet */
#define LIMIT_UID_BYTES (16 * 1024 * 1024)      /* [limits] bytes=: bytes in those calls */
#define LIMIT_UID_CONNECTIONS 256               /* [limits] connections=: to the local socket */
#define LIMIT_CONNECTIONS 4096                  /* to the local socket, all users */
#define LIMIT_CREDENTIALS 1024                  /* being given to units at one time */
#define LIMIT_OUTPUT_BYTES (4 * 1024 * 1024)    /* unread by one connection of the local socket */
#define LIMIT_HISTORY_EVENTS 65536              /* changes remembered for watches that resume */
#define LIMIT_HISTORY_BYTES (16 * 1024 * 1024)
