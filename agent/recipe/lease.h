/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Lease
 *
 * A name that one holder has for a time, whatever becomes of the holder's process, session or host meanwhile: a znode whose data
 * says who, for how long, and since which version of the znode.
 *
 *     "30000 7 web1"       30 s, held since version 7, by "web1"
 *     "0 9 "               held by nobody since version 9
 *
 * Nobody's wall clock is asked.  The holder counts its time from before it asked for it.  Everybody else counts from when it saw the
 * znode in this version, which cannot have been earlier, and takes over, when the time has passed, with a write that only succeeds
 * if the znode still is in this version.  All that is needed of clocks is that they run about equally fast.
 *
 * The token of a holding is the znode's czxid plus the version it began with.  It grows with every change of the holder, also when the
 * znode is deleted and made anew: each version is one entry at least, so that no token is ever ahead of the zxid.  (Unless somebody with the right to do so writes the
 * znode by hand several times in one entry.)
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/member/member.h"

#define LEASE_HOLDER_BYTES 256
#define LEASE_TTL_MAX_MSEC (UINT64_C(366) * 24 * 3600 * 1000)
#define LEASE_DRIFT_DIVISOR 100         /* a clock may run this part faster than another */

typedef struct LeaseRecord {
        uint64_t ttl_msec;              /* 0: vacant */
        uint32_t since;                 /* the version with which this holding began */
        char holder[LEASE_HOLDER_BYTES + 1];
} LeaseRecord;

/* The znode as an agent sees it. */
typedef struct LeaseSight {
        bool there;
        Zxid czxid;
        int32_t version;
        LeaseRecord record;
        uint64_t seen_usec;             /* CLOCK_BOOTTIME when this agent first saw this version, or later */
} LeaseSight;

bool lease_holder_validate(const char *holder);         /* 1 to 256 bytes of UTF-8 without control characters */
bool lease_parse(const uint8_t *data, size_t size, LeaseRecord *ret);
char *lease_format(const LeaseRecord *r);

bool lease_is_vacant(const LeaseSight *s);
Zxid lease_token(const LeaseSight *s);
/* From when on anybody may take it. */
uint64_t lease_free_usec(const LeaseSight *s);
/* Until when its holder may go by it, who asked for it at `asked_usec`. */
uint64_t lease_until_usec(uint64_t asked_usec, uint64_t ttl_msec);

/* What the znode should say so that `holder` has it for `ttl_msec`, if this version still is the znode's when that is written.  Who
 * has it already goes on with it.  False: somebody else has it, or it is no time to have it for. */
bool lease_take(const LeaseSight *s, const char *holder, uint64_t ttl_msec, uint64_t now_usec, LeaseRecord *ret);
/* The same to hand it to somebody ("": nobody); false unless `holder` has it. */
bool lease_hand_over(const LeaseSight *s, const char *holder, const char *to, LeaseRecord *ret);

/* What writes `text` (lease_format()) if the znode still is as it was seen; all borrowed. */
Request lease_request(const LeaseSight *s, const char *path, const char *text);

/* Since when an agent has seen a znode as it is. */
typedef struct LeaseSighting {
        Zxid mzxid;
        uint64_t seen_usec;
} LeaseSighting;

/* The znode has this mzxid now: since when, as far as the last sighting says, which is brought up to date. */
uint64_t lease_sighted(LeaseSighting *last, Zxid mzxid, uint64_t now_usec);
