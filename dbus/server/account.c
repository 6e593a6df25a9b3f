/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Account
 */

#include "dbus/server/account.h"

#include <assert.h>

#include "dbus/server/owners.h"
#include "dbus/server/server-private.h"

#define REPORT_USEC (UINT64_C(60) * 1000 * 1000)

static const struct {
        const char *what, *key;
} names[_ACCOUNT_LIMIT_MAX] = {
        [ACCOUNT_SESSIONS] = { "sessions", "Sessions" },
        [ACCOUNT_EPHEMERALS] = { "ephemeral znodes", "Ephemerals" },
        [ACCOUNT_WATCHES] = { "watches", "Watches" },
        [ACCOUNT_CALLS] = { "calls without an answer", "Calls" },
        [ACCOUNT_BYTES] = { "bytes in calls without an answer", "Bytes" },
        [ACCOUNT_CONNECTIONS] = { "connections to the local socket", "Connections" },
};

static uint64_t limit_value(const ServerLimits *l, AccountLimit limit) {
        switch (limit) {
        case ACCOUNT_SESSIONS: return l->sessions;
        case ACCOUNT_EPHEMERALS: return l->ephemerals;
        case ACCOUNT_WATCHES: return l->watches;
        case ACCOUNT_CALLS: return l->calls;
        case ACCOUNT_BYTES: return l->bytes;
        case ACCOUNT_CONNECTIONS: return l->connections;
        case _ACCOUNT_LIMIT_MAX: break;
        }
        g_assert_not_reached();
}

Account *account_get(Server *s, uid_t uid) {
        Account *a = g_hash_table_lookup(s->accounts, GUINT_TO_POINTER(uid));

        if (a)
                return account_ref(a);
        a = g_new0(Account, 1);
        a->server = s;
        a->uid = uid;
        a->refs = 1;
        a->owned = g_ptr_array_new();
        g_hash_table_insert(s->accounts, GUINT_TO_POINTER(uid), a);
        return a;
}

Account *account_ref(Account *a) {
        a->refs++;
        return a;
}

Account *account_unref(Account *a) {
        if (!a)
                return NULL;
        assert(a->refs > 0);
        if (--a->refs > 0)
                return NULL;

        assert(a->calls == 0 && a->connections == 0 && a->watches == 0 && a->sessions == 0 && a->held_bytes == 0);
        g_hash_table_remove(a->server->accounts, GUINT_TO_POINTER(a->uid));
        g_ptr_array_unref(a->owned);
        g_free(a);
        return NULL;
}

bool account_charge_bytes(Account *a, uint64_t bytes) {
        if (a->bytes + bytes > a->server->limits.bytes)
                return false;
        a->bytes += bytes;
        return true;
}

bool account_charge_call(Account *a, uint64_t bytes, AccountLimit *ret_limit) {
        const ServerLimits *l = &a->server->limits;

        if (a->calls >= l->calls) {
                *ret_limit = ACCOUNT_CALLS;
                return false;
        }
        if (!account_charge_bytes(a, bytes)) {
                *ret_limit = ACCOUNT_BYTES;
                return false;
        }
        a->calls++;
        return true;
}

void account_discharge_call(Account *a, uint64_t bytes) {
        assert(a->calls > 0);
        assert(a->bytes >= bytes);

        a->calls--;
        a->bytes -= bytes;
}

static uint64_t count_ephemerals(const Account *a) {
        const Tree *tree = member_get_tree(a->server->member);
        uint64_t n = a->ephemerals_pending;

        for (guint i = 0; i < a->owned->len; i++) {
                const OwnedSession *o = g_ptr_array_index(a->owned, i);
                SessionInfo info;

                if (tree_get_session(tree, o->id, &info))
                        n += info.ephemerals_count;
        }
        return n;
}

bool account_has_room(const Account *a, AccountLimit limit) {
        const ServerLimits *l = &a->server->limits;

        switch (limit) {
        case ACCOUNT_SESSIONS: return a->sessions < l->sessions;
        case ACCOUNT_EPHEMERALS: return count_ephemerals(a) < l->ephemerals;
        case ACCOUNT_WATCHES: return a->watches < l->watches;
        case ACCOUNT_CONNECTIONS: return a->connections < l->connections;
        default: g_assert_not_reached();
        }
}

char *account_limit_text(Account *a, AccountLimit limit) {
        Server *s = a->server;
        uint64_t value = limit_value(&s->limits, limit), now_usec = 0;

        s->counters.limits_reached++;
        (void) sd_event_now(s->event, CLOCK_BOOTTIME, &now_usec);
        if (s->agent.limit_reached && (a->reported_usec == 0 || now_usec - a->reported_usec >= REPORT_USEC)) {
                a->reported_usec = now_usec;
                s->agent.limit_reached(s->agent.userdata, a->uid, names[limit].key, value);
        }
        return g_strdup_printf("uid %u has reached its limit of %" PRIu64 " %s on this host (%s= in [Limits] of "
                               "convened.conf)",
                               (unsigned) a->uid, value, names[limit].what, names[limit].key);
}
