/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Requests and answers as text
 */

#include "tests/unit/twin-describe.h"

#include <string.h>

const char *describe_op(RequestOp op) {
        static const char *const names[] = {
                [REQUEST_CREATE] = "create", [REQUEST_DELETE] = "delete", [REQUEST_SET_DATA] = "set-data",
                [REQUEST_SET_ACL] = "set-acl", [REQUEST_CHECK] = "check", [REQUEST_MULTI] = "multi",
                [REQUEST_DELETE_RECURSIVE] = "delete-recursive", [REQUEST_REAP] = "reap",
                [REQUEST_OPEN_SESSION] = "open-session", [REQUEST_ATTACH_SESSION] = "attach-session",
                [REQUEST_AUTH_SESSION] = "auth-session", [REQUEST_CLOSE_SESSION] = "close-session",
                [REQUEST_EXISTS] = "exists", [REQUEST_GET_DATA] = "get-data", [REQUEST_GET_ACL] = "get-acl",
                [REQUEST_GET_CHILDREN] = "get-children", [REQUEST_COUNT_DESCENDANTS] = "count-descendants",
                [REQUEST_GET_EPHEMERALS] = "get-ephemerals", [REQUEST_LIST] = "list",
                [REQUEST_MULTI_READ] = "multi-read", [REQUEST_WHO_AM_I] = "who-am-i",
                [REQUEST_LIST_SESSIONS] = "list-sessions", [REQUEST_SYNC] = "sync",
        };

        return (size_t) op < G_N_ELEMENTS(names) && names[op] ? names[op] : "?";
}

static void describe_quoted(GString *s, const char *key, const char *value) {
        g_autofree char *escaped = value ? g_strescape(value, NULL) : NULL;

        if (escaped)
                g_string_append_printf(s, " %s=\"%s\"", key, escaped);
}

static void describe_bytes(GString *s, const char *key, const uint8_t *data, size_t size) {
        if (!data) {
                g_string_append_printf(s, " %s=null", key);
                return;
        }

        g_string_append_printf(s, " %s=%zu:", key, size);
        g_string_append_len(s, (const char *) data, size);
}

static void describe_identities(GString *s, const char *key, Identities i) {
        if (i.count == 0)
                return;

        g_string_append_printf(s, " %s=[", key);
        for (unsigned k = 0; k < i.count; k++)
                g_string_append_printf(s, " %s:%s", i.items[k].scheme, i.items[k].id);
        g_string_append(s, " ]");
}

void describe_acl(GString *s, AclEntries acl) {
        g_string_append(s, " acl=[");
        for (unsigned i = 0; i < acl.count; i++)
                g_string_append_printf(s, " %x:%s:%s", acl.items[i].permissions, acl.items[i].who.scheme,
                                       acl.items[i].who.id);
        g_string_append(s, " ]");
}

static void describe_number(GString *s, const char *key, int64_t value) {
        if (value != 0)
                g_string_append_printf(s, " %s=%" G_GINT64_FORMAT, key, value);
}

void describe_request(GString *s, const Request *r) {
        g_string_append(s, describe_op(r->op));
        if (r->session != 0)
                g_string_append_printf(s, " session=" ZXID_FORMAT " cxid=%" G_GUINT64_FORMAT, r->session, r->cxid);
        describe_number(s, "origin", r->origin);
        describe_identities(s, "caller", r->caller);
        describe_quoted(s, "path", r->path);
        if (r->op == REQUEST_CREATE || r->op == REQUEST_SET_DATA)
                describe_bytes(s, "data", r->data, MIN(r->data_size, 200));
        if (r->op == REQUEST_CREATE || r->op == REQUEST_SET_ACL)
                describe_acl(s, r->acl);
        if (r->op == REQUEST_CREATE)
                g_string_append_printf(s, " mode=%d ttl=%" G_GINT64_FORMAT, r->mode, r->ttl_msec);
        describe_number(s, "version", r->version);
        if (r->czxid != 0)
                g_string_append_printf(s, " czxid=" ZXID_FORMAT, r->czxid);
        describe_quoted(s, "after", r->start_after);
        describe_number(s, "after-session", (int64_t) r->start_after_session);
        describe_number(s, "max", r->entries_max);
        describe_number(s, "want-data", r->want_data);
        if (r->target != 0)
                g_string_append_printf(s, " target=" ZXID_FORMAT, r->target);
        describe_number(s, "timeout", r->timeout_msec);
        describe_number(s, "secret", r->secret_hash[0]);
        describe_number(s, "owner-kind", r->owner_kind);
        describe_quoted(s, "owner", r->owner);
        describe_number(s, "member", r->member);
        describe_identities(s, "identities", r->identities);
        describe_number(s, "expired", r->expired);
        describe_number(s, "generation", (int64_t) r->generation);
        for (unsigned i = 0; i < r->operations_count; i++) {
                g_string_append_printf(s, "\n    %u: ", i);
                describe_request(s, r->operations + i);
        }
}

static void describe_stat(GString *s, const Stat *st) {
        g_string_append_printf(s, " stat=(c=%" PRIx64 " m=%" PRIx64 " p=%" PRIx64 " ct=%" PRId64 " mt=%" PRId64
                               " v=%d cv=%d av=%d owner=%" PRIx64 " size=%d children=%d)",
                               st->czxid, st->mzxid, st->pzxid, st->ctime_msec, st->mtime_msec, st->version,
                               st->cversion, st->aversion, st->ephemeral_owner, st->data_length, st->children_count);
}

void describe_session(GString *s, const SessionInfo *i) {
        g_string_append_printf(s, "\n    session " ZXID_FORMAT " timeout=%u member=%u kind=%d owner=%s ephemerals=%u "
                               "ctime=%" PRId64 " generation=%" PRIu64, i->id, i->timeout_msec, i->member,
                               i->owner_kind, i->owner, i->ephemerals_count, i->ctime_msec, i->generation);
        describe_identities(s, "identities", i->identities);
}

static void describe_items(GString *s, const Result *r) {
        for (unsigned i = 0; i < r->items_count && r->items; i++) {
                const ListItem *item = r->items + i;

                g_string_append_printf(s, "\n    %s", item->path);
                if (r->op == REQUEST_GET_EPHEMERALS)
                        continue;
                describe_stat(s, &item->stat);
                describe_bytes(s, "data", item->data, item->data_size);
        }
        for (unsigned i = 0; i < r->items_count && r->sessions; i++)
                describe_session(s, r->sessions + i);
        g_string_append_printf(s, " items=%u%s", r->items_count, r->more ? " more" : "");
}

static void describe_success(GString *s, const Result *r) {
        switch (r->op) {
        case REQUEST_CREATE:
                g_string_append_printf(s, " path=%s", r->path ? r->path : "(null)");
                describe_stat(s, &r->stat);
                break;
        case REQUEST_SET_DATA:
        case REQUEST_SET_ACL:
        case REQUEST_EXISTS:
                describe_stat(s, &r->stat);
                break;
        case REQUEST_GET_DATA:
                describe_stat(s, &r->stat);
                describe_bytes(s, "data", r->data, r->data_size);
                break;
        case REQUEST_GET_ACL:
                describe_stat(s, &r->stat);
                describe_acl(s, r->acl);
                break;
        case REQUEST_GET_CHILDREN:
                describe_stat(s, &r->stat);
                describe_items(s, r);
                break;
        case REQUEST_LIST:
        case REQUEST_GET_EPHEMERALS:
        case REQUEST_LIST_SESSIONS:
                describe_items(s, r);
                break;
        case REQUEST_COUNT_DESCENDANTS:
        case REQUEST_DELETE_RECURSIVE:
                g_string_append_printf(s, " count=%" PRIu64, r->count);
                break;
        case REQUEST_OPEN_SESSION:
        case REQUEST_ATTACH_SESSION:
                g_string_append_printf(s, " session=" ZXID_FORMAT " timeout=%u", r->session, r->timeout_msec);
                break;
        case REQUEST_WHO_AM_I:
                describe_identities(s, "identities", r->identities);
                break;
        default:
                break;
        }
}

void describe_result(GString *s, const Result *r) {
        g_string_append_printf(s, "%s: %s zxid=" ZXID_FORMAT, describe_op(r->op), convene_status_to_string(r->status),
                               r->zxid);
        if (r->op != REQUEST_CREATE && r->path)
                g_string_append_printf(s, " unexpected path=%s", r->path);
        if (r->status == CONVENE_OK)
                describe_success(s, r);
        for (unsigned i = 0; i < r->results_count; i++) {
                const Result *sub = r->results + i;

                g_string_append_printf(s, "\n    %u: ", i);
                if (r->status == CONVENE_OK)
                        describe_result(s, sub);
                else
                        g_string_append_printf(s, "%s: %s", describe_op(sub->op),
                                               convene_status_to_string(sub->status));
        }
}

void describe_change(GString *s, ChangeKind kind, Zxid zxid, const char *path, bool soft_quota, const AclEntries *acl,
                     const AclEntries *parent_acl) {
        if (soft_quota) {
                g_string_append_printf(s, "soft quota " ZXID_FORMAT " %s", zxid, path);
                return;
        }

        g_string_append_printf(s, "%s " ZXID_FORMAT " %s", kind == CHANGE_CREATED ? "created" :
                               kind == CHANGE_DELETED ? "deleted" : kind == CHANGE_DATA ? "data" : "?", zxid, path);
        if (acl)
                describe_acl(s, *acl);
        if (parent_acl)
                describe_acl(s, *parent_acl);
}

void describe_event(GString *s, uint64_t watcher, WatchEventType type, const char *path, Zxid zxid, AclEntries acl,
                    bool spent) {
        g_string_append_printf(s, "watcher %" PRIu64 " type %d %s " ZXID_FORMAT "%s", watcher, type, path, zxid,
                               spent ? " spent" : "");
        describe_acl(s, acl);
}
