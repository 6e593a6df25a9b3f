/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Tree fixture
 *
 * A tree whose root is open to everybody, a running zxid and clock, and a log of what its listener heard:
 * "+/a" created, "-/a" deleted, "=/a" data changed, "!/a" soft quota, "end ID", "expired ID", "moved ID GENERATION".
 */

#include <glib.h>

#include "agent/tree/tree.h"

typedef struct Fixture {
        Tree *tree;
        Zxid zxid;
        int64_t time_msec;
        GString *log;
        Result result;                  /* of the last update or read */
} Fixture;

void fixture_init(Fixture *f);
void fixture_done(Fixture *f);

/* Clears the log, applies at the next zxid, and checks every invariant of the tree. */
ConveneStatus apply(Fixture *f, const Request *r);
ConveneStatus ask(Fixture *f, const Request *r);

/* Short forms; as anybody, with world:anyone ALL, any version. */
ConveneStatus create(Fixture *f, const char *path, const char *data);
ConveneStatus create_mode(Fixture *f, const char *path, CreateMode mode, uint64_t session);
ConveneStatus erase(Fixture *f, const char *path);
ConveneStatus set(Fixture *f, const char *path, const char *data);
ConveneStatus multi(Fixture *f, const Request *operations, uint32_t count);
uint64_t open_session(Fixture *f);
Stat stat_of(Fixture *f, const char *path);             /* as super; must exist */
char *data_of(Fixture *f, const char *path);            /* as super */

extern const AclEntries acl_open;
extern const Identities super;

#define OP_CREATE(p, d)                                                                                         \
        { .op = REQUEST_CREATE, .path = (p), .data = (const uint8_t *) (d), .data_size = sizeof(d) - 1,         \
          .acl = acl_open }
#define OP_SEQUENTIAL(p)                                                                                        \
        { .op = REQUEST_CREATE, .path = (p), .mode = CREATE_PERSISTENT_SEQUENTIAL, .acl = acl_open }
#define OP_DELETE(p) { .op = REQUEST_DELETE, .path = (p), .version = VERSION_ANY }
#define OP_SET(p, d)                                                                                            \
        { .op = REQUEST_SET_DATA, .path = (p), .data = (const uint8_t *) (d), .data_size = sizeof(d) - 1,       \
          .version = VERSION_ANY }
#define OP_CHECK(p, v) { .op = REQUEST_CHECK, .path = (p), .version = (v) }
