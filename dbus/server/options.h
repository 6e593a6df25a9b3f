/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Options
 *
 * The a{sv} at the end of a call, and of each operation of a multi.  Every method names the options it knows; another
 * one is an error, so that a misspelt option never goes unnoticed.
 */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>
#include <systemd/sd-bus.h>

#include "agent/member/member.h"

typedef enum OptionFlags {
        OPTION_SESSION = 1 << 0,
        OPTION_SUPER = 1 << 1,
        OPTION_LINEARIZABLE = 1 << 2,
        OPTION_WATCH = 1 << 3,
        OPTION_ACL = 1 << 4,
        OPTION_TTL = 1 << 5,
        OPTION_NULL = 1 << 6,
        OPTION_PARENTS = 1 << 7,
        OPTION_CZXID = 1 << 8,
        OPTION_START_AFTER = 1 << 9,            /* s */
        OPTION_START_AFTER_SESSION = 1 << 10,   /* t, the same name */
        OPTION_LIMIT = 1 << 11,
        OPTION_WANT_DATA = 1 << 12,             /* b */
        OPTION_DATA = 1 << 13,                  /* ay, the same name */
        OPTION_TIMEOUT = 1 << 14,
        OPTION_UNIT = 1 << 15,
        OPTION_SINCE = 1 << 16,
        OPTION_MODE = 1 << 17,
        OPTION_VERSION = 1 << 18,
        OPTION_SHARED = 1 << 19,
        OPTION_SLOTS = 1 << 20,
        OPTION_PATIENCE = 1 << 21,              /* t, the same name as OPTION_TIMEOUT: microseconds */
        OPTION_SESSION_TIMEOUT = 1 << 22,
        OPTION_HOLDER = 1 << 23,
        OPTION_TOKEN = 1 << 24,
        OPTION_EXPECT = 1 << 25,                /* x */
        OPTION_MEMBER = 1 << 26,
        OPTION_ORDERED = 1 << 27,
        OPTION_TRIES = 1 << 28,
        OPTION_PENDING = 1 << 29,
        OPTION_STAY = 1 << 30,
        OPTION_PRIORITY = 1U << 31,

        OPTIONS_UPDATE = OPTION_SESSION | OPTION_SUPER,
        OPTIONS_READ = OPTIONS_UPDATE | OPTION_LINEARIZABLE,
} OptionFlags;

/* Strings and bytes belong to the message. */
typedef struct Options {
        uint32_t given;                 /* OptionFlags */
        bool super, linearizable, null, parents, want_data, shared, ordered, pending, stay;
        int32_t version;
        uint32_t limit, timeout_msec, session_timeout_msec, slots, tries, priority;
        uint64_t session, watch, czxid, ttl_msec, start_after_session, since, patience_usec, token;
        int64_t expect;
        const char *start_after, *unit, *mode, *holder, *member;
        const uint8_t *data;
        size_t data_size;
        uint64_t kept_bytes;            /* no option: what the call keeps beside the data until it is answered */
        GArray *acl;                    /* AclEntry */
} Options;

#define OPTIONS_INIT ((Options) { .version = VERSION_ANY })

/* Reads the next argument.  -EINVAL with a sentence in *ret_problem (g_free) for what a caller did wrong; otherwise a
 * negative errno if the message is malformed. */
int options_read(sd_bus_message *m, uint32_t known, Options *ret, char **ret_problem);
void options_done(Options *o);

static inline AclEntries options_acl(const Options *o) {
        if (!o->acl)
                return (AclEntries) { 0 };
        return (AclEntries) { (const AclEntry *) (const void *) o->acl->data, o->acl->len };
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Options, options_done)
