/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Lease
 */

#include "agent/recipe/lease.h"

#include <inttypes.h>
#include <string.h>

#include <glib.h>

#include "agent/recipe/break.h"

#define NUMBER_DIGITS_MAX 19
#define USEC_PER_MSEC 1000

bool lease_holder_validate(const char *holder) {
        size_t size = strlen(holder);

        if (size == 0 || size > LEASE_HOLDER_BYTES || !g_utf8_validate(holder, (gssize) size, NULL))
                return false;
        for (const char *p = holder; *p; p++)
                if ((unsigned char) *p < ' ' || *p == 0x7f)
                        return false;
        return true;
}

/* A number without needless zeros and the space behind it; *at goes on behind that. */
static bool parse_number(const uint8_t *data, size_t size, size_t *at, uint64_t *ret) {
        size_t begin = *at, i = begin;
        uint64_t value = 0;

        while (i < size && g_ascii_isdigit((char) data[i]) && i - begin < NUMBER_DIGITS_MAX)
                value = value * 10 + (uint64_t) (data[i++] - '0');
        if (i == begin || (data[begin] == '0' && i - begin > 1) || i == size || data[i] != ' ')
                return false;
        *at = i + 1;
        *ret = value;
        return true;
}

bool lease_parse(const uint8_t *data, size_t size, LeaseRecord *ret) {
        uint64_t ttl, since;
        LeaseRecord r;
        size_t at = 0;

        if (!parse_number(data, size, &at, &ttl) || !parse_number(data, size, &at, &since) ||
            ttl > LEASE_TTL_MAX_MSEC || since > UINT32_MAX || size - at > LEASE_HOLDER_BYTES)
                return false;
        r = (LeaseRecord) { .ttl_msec = ttl, .since = (uint32_t) since };
        memcpy(r.holder, data + at, size - at);
        if (strlen(r.holder) != size - at)
                return false;                   /* a byte 0 in it */
        if (ttl == 0 ? r.holder[0] != '\0' : !lease_holder_validate(r.holder))
                return false;
        *ret = r;
        return true;
}

char *lease_format(const LeaseRecord *r) {
        return g_strdup_printf("%" PRIu64 " %" PRIu32 " %s", r->ttl_msec, r->since, r->holder);
}

bool lease_is_vacant(const LeaseSight *s) {
        return !s->there || s->record.ttl_msec == 0;
}

Zxid lease_token(const LeaseSight *s) {
        return s->czxid + s->record.since;
}

uint64_t lease_free_usec(const LeaseSight *s) {
        return lease_is_vacant(s) ? 0 : s->seen_usec + s->record.ttl_msec * USEC_PER_MSEC;
}

uint64_t lease_until_usec(uint64_t asked_usec, uint64_t ttl_msec) {
        uint64_t ttl_usec = ttl_msec * USEC_PER_MSEC;

        return asked_usec + ttl_usec - ttl_usec / LEASE_DRIFT_DIVISOR;
}

static LeaseRecord record_new(const LeaseSight *s, const char *holder, uint64_t ttl_msec) {
        LeaseRecord r = { .ttl_msec = ttl_msec, .since = s->there ? (uint32_t) s->version + 1 : 0 };

        g_strlcpy(r.holder, holder, sizeof(r.holder));
        return r;
}

bool lease_take(const LeaseSight *s, const char *holder, uint64_t ttl_msec, uint64_t now_usec, LeaseRecord *ret) {
        if (ttl_msec == 0 || ttl_msec > LEASE_TTL_MAX_MSEC)
                return false;
        if (!lease_is_vacant(s) && g_str_equal(s->record.holder, holder)) {
                *ret = s->record;
                ret->ttl_msec = ttl_msec;
                return true;
        }
        if (now_usec < lease_free_usec(s))
                return false;
        *ret = record_new(s, holder, ttl_msec);
        return true;
}

bool lease_hand_over(const LeaseSight *s, const char *holder, const char *to, LeaseRecord *ret) {
        if (lease_is_vacant(s) || !g_str_equal(s->record.holder, holder))
                return false;
        *ret = record_new(s, to, to[0] != '\0' ? s->record.ttl_msec : 0);
        return true;
}

Request lease_request(const LeaseSight *s, const char *path, const char *text) {
        return (Request) {
                .op = s->there ? REQUEST_SET_DATA : REQUEST_CREATE,
                .path = path,
                .data = (const uint8_t *) text,
                .data_size = (uint32_t) strlen(text),
                .mode = CREATE_PERSISTENT,
                .version = RECIPE_BREAK(LEASE_BLIND) ? VERSION_ANY : s->version,
                .czxid = s->czxid,
        };
}

uint64_t lease_sighted(LeaseSighting *last, Zxid mzxid, uint64_t now_usec) {
        if (last->mzxid != mzxid && !(RECIPE_BREAK(LEASE_SEEN_ANEW) && last->mzxid != 0))
                last->seen_usec = now_usec;
        last->mzxid = mzxid;
        return last->seen_usec;
}
