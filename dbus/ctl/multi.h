/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Multi
 *
 * The JSON form of a multi: an array of objects, each with "op" and "path", and
 *
 *     create  data or data_base64, null, mode, acl (array of "SCHEME:ID:PERMS"), ttl_ms
 *     set     data or data_base64, null, version, czxid
 *     delete  version, czxid
 *     check   version, czxid
 *     get, children       nothing more; reads stand in a multi of their own
 *
 * A member that is not of its operation is a mistake, so that a misspelt "version" does no harm.
 */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#include "agent/base/zxid.h"

typedef struct MultiOperation {
        char *kind, *path, *mode;       /* mode NULL: not given */
        GBytes *data;                   /* NULL: not given */
        GPtrArray *acl;                 /* AclItem; NULL: not given */
        uint64_t ttl_msec;              /* 0: not given */
        int32_t version;                /* -1: any */
        Zxid czxid;                     /* 0: any */
        bool null_value;
} MultiOperation;

typedef struct Multi {
        GPtrArray *operations;          /* MultiOperation */
        bool reads;                     /* all are get and children */
} Multi;

/* NULL with a sentence in *ret_error (owned) that names the operation at fault, counted from 0. */
Multi *multi_parse(const char *text, size_t size, char **ret_error);
void multi_free(Multi *m);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Multi, multi_free)
