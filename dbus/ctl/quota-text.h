/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Quota text
 *
 * What the znodes zookeeper_limits and zookeeper_stats hold: "count=C,bytes=B", and with hard limits
 * "count=C,bytes=B=;byteHardLimit=H;countHardLimit=K" (the extra "=" has old readers ignore the rest); -1 is none.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Quota {
        int64_t count, bytes, hard_count, hard_bytes;   /* -1: none */
} Quota;

#define QUOTA_NONE { -1, -1, -1, -1 }

/* Takes "count=N", "bytes=SIZE", "hard-count=N" or "hard-bytes=SIZE" of a command line into *q. */
bool quota_take(Quota *q, const char *assignment);

char *quota_format(const Quota *q);
/* What is not there is -1.  False if the text is none of the above. */
bool quota_parse(const char *text, size_t size, Quota *ret);

/* "/zookeeper/quota/a/b" for "/a/b". */
char *quota_directory(const char *path);
