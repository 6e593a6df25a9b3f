/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Text
 *
 * What people type and read: numbers, spans of time, sizes, zxids, ACL entries.  Nothing here talks to anybody.
 * Parsers take the whole string or refuse it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <glib.h>

#include "agent/base/zxid.h"

bool parse_u64(const char *s, uint64_t *ret);
bool parse_version(const char *s, int32_t *ret);                /* -1 and up */
/* "0x100000002", "4294967298", or "1:2" for epoch and counter. */
bool parse_zxid(const char *s, Zxid *ret);
/* A session's id: 16 hexadecimal digits or fewer, with or without "0x". */
bool parse_session_id(const char *s, uint64_t *ret);
/* "10" is seconds; units ms, s, min, h, d; several add up ("1h 30min"). */
bool parse_timespan_msec(const char *s, uint64_t *ret);
/* "10", "64K", "16M", "1G": powers of 1024. */
bool parse_size(const char *s, uint64_t *ret);

typedef struct AclItem {
        uint32_t permissions;
        char *scheme;
        char *id;
} AclItem;

void acl_item_free(AclItem *item);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AclItem, acl_item_free)

/* "SCHEME:ID:PERMS"; the id may contain colons, PERMS is letters of "cdrwa" or "all".  NULL with *ret_error
 * a static sentence if it is none. */
AclItem *acl_item_parse(const char *s, const char **ret_error);
char *acl_item_format(const AclItem *item);
char *permissions_format(uint32_t permissions);                 /* "cdrwa", in this order */

char *format_timespan_msec(uint64_t msec);                      /* "1h 30min", "10s", "250ms"; two units at most */
char *format_exact_msec(uint64_t msec);                         /* "10s", "1500ms": for files, nothing rounded */
char *format_size(uint64_t bytes);                              /* "16M", "1.5K", "12B" */
char *format_time_msec(int64_t msec);                           /* local time, "2024-05-01 13:37:00.123" */
char *format_ago(uint64_t usec);                                /* "5min ago" */

/* Bytes as a person may see them on a terminal: verbatim if printable UTF-8 (newline and tab allowed), else with C
 * escapes, so that nobody's data drives somebody's terminal.  At most `bytes_max` (0: all) are shown. */
char *format_data(const uint8_t *data, size_t size, size_t bytes_max);

/* A line of text without anything that could drive a terminal: control characters become C escapes. */
char *format_line(const char *text);

/* The parent of an absolute path ("/" for "/a" and "/"), and its last component ("" for "/"). */
char *path_parent(const char *path);
const char *path_name(const char *path);
