/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Twin: updates
 */

#include "tests/unit/twin.h"

#include <string.h>

#include "agent/base/limits.h"
#include "agent/base/writer.h"

/* Paths: zookeeper-semantics 2.9 */

static bool code_point_is_allowed(gunichar c) {
        if (c <= 0x1f || (c >= 0x7f && c <= 0x9f))
                return false;
        if ((c >= 0xd800 && c <= 0xf8ff) || (c >= 0xfff0 && c <= 0xffff))
                return false;
        return c <= 0xffff;
}

ConveneStatus twin_validate_path(const char *path) {
        size_t size = path ? strlen(path) : 0;
        g_auto(GStrv) components = NULL;
        unsigned depth = 0;

        if (size == 0 || path[0] != '/')
                return CONVENE_BAD_ARGUMENTS;
        if (size > LIMIT_PATH_BYTES)
                return CONVENE_TOO_LARGE;
        if (g_str_equal(path, "/"))
                return CONVENE_OK;
        if (!g_utf8_validate(path, -1, NULL))
                return CONVENE_BAD_ARGUMENTS;
        for (const char *p = path; *p; p = g_utf8_next_char(p))
                if (!code_point_is_allowed(g_utf8_get_char(p)))
                        return CONVENE_BAD_ARGUMENTS;

        components = g_strsplit(path + 1, "/", -1);
        for (char **c = components; *c; c++, depth++) {
                if (g_str_equal(*c, "") || g_str_equal(*c, ".") || g_str_equal(*c, ".."))
                        return CONVENE_BAD_ARGUMENTS;
        }
        return depth > LIMIT_PATH_DEPTH ? CONVENE_TOO_LARGE : CONVENE_OK;
}

/* What no decoder lets through */

static bool identities_decode_ok(Identities i) {
        if (i.count > LIMIT_SESSION_IDENTITIES)
                return false;
        for (unsigned k = 0; k < i.count; k++)
                if (strlen(i.items[k].scheme) > LIMIT_IDENTITY_BYTES || strlen(i.items[k].id) > LIMIT_IDENTITY_BYTES)
                        return false;
        return true;
}

static bool op_is_for_multi(RequestOp multi, RequestOp op) {
        if (multi == REQUEST_MULTI)
                return op == REQUEST_CREATE || op == REQUEST_DELETE || op == REQUEST_SET_DATA || op == REQUEST_CHECK;

        return op == REQUEST_GET_DATA || op == REQUEST_GET_CHILDREN;
}

/* The one thing the twin cannot know by itself: how many bytes a request takes. */
static bool request_is_too_large(const Request *r) {
        g_auto(Writer) w = WRITER_INIT;
        uint64_t data_bytes = r->data_size;

        for (unsigned i = 0; i < r->operations_count; i++)
                data_bytes += r->operations[i].data_size;
        if (data_bytes < LIMIT_REQUEST_BYTES / 2)       /* the rest is never that much here */
                return false;

        request_encode(r, &w);
        return w.size > LIMIT_REQUEST_BYTES;
}

bool twin_decodes(const Request *r) {
        if (r->path && strlen(r->path) > LIMIT_PATH_BYTES)
                return false;
        if (r->start_after && strlen(r->start_after) > LIMIT_PATH_BYTES)
                return false;
        if (r->data_size > LIMIT_DATA_BYTES || r->acl.count > LIMIT_ACL_ENTRIES)
                return false;
        for (unsigned i = 0; i < r->acl.count; i++)
                if (strlen(r->acl.items[i].who.scheme) > LIMIT_IDENTITY_BYTES ||
                    strlen(r->acl.items[i].who.id) > LIMIT_IDENTITY_BYTES)
                        return false;
        if (!identities_decode_ok(r->caller) || !identities_decode_ok(r->identities))
                return false;
        if ((unsigned) r->mode >= _CREATE_MODE_MAX || (unsigned) r->owner_kind >= _OWNER_KIND_MAX)
                return false;
        if (r->owner && strlen(r->owner) > LIMIT_OWNER_BYTES)
                return false;
        if (r->operations_count > LIMIT_MULTI_OPERATIONS)
                return false;
        for (unsigned i = 0; i < r->operations_count; i++)
                if (!op_is_for_multi(r->op, r->operations[i].op) || !twin_decodes(r->operations + i))
                        return false;
        return !request_is_too_large(r);
}

static ConveneStatus validate_sizes(const Request *r) {
        if (r->path && strlen(r->path) > LIMIT_PATH_BYTES)
                return CONVENE_TOO_LARGE;
        if (r->start_after && strlen(r->start_after) > LIMIT_PATH_BYTES)
                return CONVENE_TOO_LARGE;
        if (r->data_size > LIMIT_DATA_BYTES)
                return CONVENE_TOO_LARGE;
        if (r->acl.count > LIMIT_ACL_ENTRIES || r->identities.count > LIMIT_SESSION_IDENTITIES)
                return CONVENE_LIMIT_EXCEEDED;
        for (unsigned i = 0; i < r->acl.count; i++)
                if (strlen(r->acl.items[i].who.scheme) > LIMIT_IDENTITY_BYTES ||
                    strlen(r->acl.items[i].who.id) > LIMIT_IDENTITY_BYTES)
                        return CONVENE_INVALID_ACL;
        if (r->owner && strlen(r->owner) > LIMIT_OWNER_BYTES)
                return CONVENE_TOO_LARGE;
        if (r->owner && !twin_is_text(r->owner))
                return CONVENE_BAD_ARGUMENTS;

        return CONVENE_OK;
}

ConveneStatus twin_validate(const Request *r) {
        if (r->op == REQUEST_CHECK)
                return CONVENE_UNIMPLEMENTED;
        if (r->operations_count > LIMIT_MULTI_OPERATIONS)
                return CONVENE_TOO_LARGE;
        for (unsigned i = 0; i < r->operations_count; i++)
                if (!op_is_for_multi(r->op, r->operations[i].op))
                        return CONVENE_MARSHALLING_ERROR;
        for (unsigned i = 0; i < r->operations_count; i++)
                if (validate_sizes(r->operations + i) != CONVENE_OK)
                        return validate_sizes(r->operations + i);
        if (r->operations_count > 0 && request_is_too_large(r))
                return CONVENE_TOO_LARGE;
        return validate_sizes(r);
}

/* Znodes */

static bool path_is_fixed(const char *path) {
        static const char *const fixed[] = { "", "/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config", NULL };

        return g_strv_contains(fixed, path);
}

static bool mode_is_sequential(CreateMode m) {
        return m == CREATE_PERSISTENT_SEQUENTIAL || m == CREATE_EPHEMERAL_SEQUENTIAL || m == CREATE_TTL_SEQUENTIAL;
}

static CreateMode mode_to_kind(CreateMode m) {
        switch (m) {
        case CREATE_PERSISTENT_SEQUENTIAL:
                return CREATE_PERSISTENT;
        case CREATE_EPHEMERAL_SEQUENTIAL:
                return CREATE_EPHEMERAL;
        case CREATE_TTL_SEQUENTIAL:
                return CREATE_TTL;
        default:
                return m;
        }
}

static int64_t bytes_size(GBytes *data) {
        return data ? (int64_t) g_bytes_get_size(data) : 0;
}

static GBytes *request_to_bytes(const Request *r) {
        return r->data ? g_bytes_new(r->data, r->data_size) : NULL;
}

/* Steps 1 to 5 of 2.8: those that look at the request alone. */
static ConveneStatus create_check_request(const TwinContext *c, const Request *r, TwinList **ret_acl) {
        bool ttl = mode_to_kind(r->mode) == CREATE_TTL;

        if ((unsigned) r->mode >= _CREATE_MODE_MAX)
                return CONVENE_BAD_ARGUMENTS;
        if (ttl && (r->ttl_msec < 1 || r->ttl_msec > TTL_MSEC_MAX))
                return CONVENE_BAD_ARGUMENTS;
        if (!ttl && !c->encoded && r->ttl_msec != 0)
                return CONVENE_BAD_ARGUMENTS;
        if (mode_to_kind(r->mode) == CREATE_EPHEMERAL && c->session == 0)
                return CONVENE_BAD_ARGUMENTS;
        if (!r->path || !strchr(r->path, '/'))
                return CONVENE_BAD_ARGUMENTS;

        return twin_acl_normalise(r->acl, c->caller, ret_acl);
}

static ConveneStatus create_check_place(Twin *t, const TwinContext *c, const Request *r, GBytes **data,
                                        char **ret_path) {
        TwinZnode *parent = twin_find(t, twin_parent_path(t, r->path));
        g_autofree char *path = g_strdup(r->path);
        ConveneStatus status;

        if (!parent)
                return CONVENE_NO_NODE;
        if (!twin_acl_allows(parent->acl, PERMISSION_CREATE, c->caller))
                return CONVENE_NO_AUTH;
        if (mode_is_sequential(r->mode)) {
                if (parent->creates > INT32_MAX)
                        return CONVENE_SEQUENCE_OVERFLOW;
                g_free(path);
                path = g_strdup_printf("%s%010" G_GUINT64_FORMAT, r->path, parent->creates);
        }

        status = twin_validate_path(path);
        if (status != CONVENE_OK)
                return status;
        if (twin_find(t, path))
                return CONVENE_NODE_EXISTS;
        if (parent->mode == CREATE_EPHEMERAL)
                return CONVENE_NO_CHILDREN_FOR_EPHEMERALS;
        if (mode_to_kind(r->mode) == CREATE_EPHEMERAL &&
            twin_ephemerals_count(t, c->session) >= LIMIT_SESSION_EPHEMERALS)
                return CONVENE_LIMIT_EXCEEDED;

        status = twin_quota_filter(t, path, data);
        if (status != CONVENE_OK)
                return status;

        *ret_path = twin_scratch_string(t, path);
        return twin_quota_check(t, path, 1, bytes_size(*data));
}

static ConveneStatus apply_create(Twin *t, const TwinContext *c, const Request *r, Result *ret) {
        g_autoptr(GBytes) data = request_to_bytes(r);
        TwinList *acl = NULL;
        ConveneStatus status = create_check_request(c, r, &acl);
        char *path;
        TwinZnode *z;

        if (status == CONVENE_OK)
                status = create_check_place(t, c, r, &data, &path);
        if (status != CONVENE_OK) {
                twin_list_unref(acl);
                return status;
        }

        z = g_new0(TwinZnode, 1);
        z->path = g_ref_string_new(path);
        z->czxid = z->mzxid = z->pzxid = c->zxid;
        z->ctime_msec = z->mtime_msec = c->time_msec;
        z->mode = mode_to_kind(r->mode);
        z->ephemeral_owner = z->mode == CREATE_EPHEMERAL ? c->session : 0;
        z->ttl_msec = z->mode == CREATE_TTL ? r->ttl_msec : 0;
        z->acl = acl;
        z->data = g_steal_pointer(&data);
        twin_add_znode(t, z);
        twin_add_change(t, CHANGE_CREATED, c->zxid, z);
        twin_quota_report(t, c->zxid, path, 1, bytes_size(z->data));

        ret->path = path;
        twin_stat(t, z, &ret->stat);
        return CONVENE_OK;
}

static bool version_fits(int32_t expected, int32_t actual) {
        return expected == VERSION_ANY || expected == actual;
}

/* -1 would mean "any", so a version that wraps leaves it out. */
static int32_t version_next(int32_t version) {
        int32_t next = (int32_t) ((uint32_t) version + 1);

        return next == VERSION_ANY ? 0 : next;
}

static void remove_znode(Twin *t, Zxid zxid, TwinZnode *z) {
        TwinZnode *parent = twin_parent(t, z);

        twin_add_change(t, CHANGE_DELETED, zxid, z);
        parent->pzxid = zxid;
        twin_remove_znode(t, z);
}

static ConveneStatus apply_delete(Twin *t, const TwinContext *c, const Request *r, Result *ret) {
        TwinZnode *z;

        if (path_is_fixed(r->path))
                return CONVENE_BAD_ARGUMENTS;
        z = twin_find_named(t, r->path);
        if (!z)
                return CONVENE_NO_NODE;
        if (!twin_acl_allows(twin_parent(t, z)->acl, PERMISSION_DELETE, c->caller))
                return CONVENE_NO_AUTH;
        if (!version_fits(r->version, z->version) || (r->czxid != 0 && r->czxid != z->czxid))
                return CONVENE_BAD_VERSION;
        if (twin_children_count(t, z) > 0)
                return CONVENE_NOT_EMPTY;

        remove_znode(t, c->zxid, z);
        return CONVENE_OK;
}

static int compare_paths(gconstpointer a, gconstpointer b) {
        const TwinZnode *const *za = a, *const *zb = b;

        return strcmp((*za)->path, (*zb)->path);
}

/* The children of the znode in byte order of their names; free with g_ptr_array_unref(). */
static GPtrArray *sorted_children(Twin *t, TwinZnode *z) {
        GPtrArray *children = g_ptr_array_new();

        for (unsigned i = 0; i < t->znodes->len; i++)
                if (((TwinZnode *) t->znodes->pdata[i])->parent_id == z->id)
                        g_ptr_array_add(children, t->znodes->pdata[i]);
        g_ptr_array_sort(children, compare_paths);
        return children;
}

/* As if every znode were deleted by itself, children before their parent. */
static ConveneStatus delete_below(Twin *t, const TwinContext *c, TwinZnode *z, uint64_t *count) {
        g_autoptr(GPtrArray) children = sorted_children(t, z);

        for (unsigned i = 0; i < children->len; i++) {
                ConveneStatus status = delete_below(t, c, children->pdata[i], count);

                if (status != CONVENE_OK)
                        return status;
        }
        if (!twin_acl_allows(twin_parent(t, z)->acl, PERMISSION_DELETE, c->caller))
                return CONVENE_NO_AUTH;

        remove_znode(t, c->zxid, z);
        return ++*count > LIMIT_RECURSIVE_ZNODES ? CONVENE_LIMIT_EXCEEDED : CONVENE_OK;
}

static ConveneStatus apply_delete_recursive(Twin *t, const TwinContext *c, const Request *r, Result *ret) {
        Twin *copy = twin_copy(t);
        ConveneStatus status;
        uint64_t count = 0;

        if (path_is_fixed(r->path))
                status = CONVENE_BAD_ARGUMENTS;
        else if (!twin_find_named(copy, r->path))
                status = CONVENE_NO_NODE;
        else
                status = delete_below(copy, c, twin_find_named(copy, r->path), &count);

        if (status != CONVENE_OK) {
                twin_free(copy);
                return status;
        }
        twin_take(t, copy);
        ret->count = count;
        return CONVENE_OK;
}

static ConveneStatus apply_set_data(Twin *t, const TwinContext *c, const Request *r, Result *ret) {
        TwinZnode *z = twin_find_named(t, r->path);
        g_autoptr(GBytes) data = request_to_bytes(r);
        ConveneStatus status;
        int64_t bytes;

        if (!z)
                return CONVENE_NO_NODE;
        if (!twin_acl_allows(z->acl, PERMISSION_WRITE, c->caller))
                return CONVENE_NO_AUTH;
        if (!version_fits(r->version, z->version) || (r->czxid != 0 && r->czxid != z->czxid))
                return CONVENE_BAD_VERSION;
        status = twin_quota_filter(t, z->path, &data);
        if (status != CONVENE_OK)
                return status;
        bytes = bytes_size(data) - bytes_size(z->data);
        status = twin_quota_check(t, z->path, 0, bytes);
        if (status != CONVENE_OK)
                return status;

        g_clear_pointer(&z->data, g_bytes_unref);
        z->data = g_steal_pointer(&data);
        z->version = version_next(z->version);
        z->mzxid = c->zxid;
        z->mtime_msec = c->time_msec;
        twin_add_change(t, CHANGE_DATA, c->zxid, z);
        twin_quota_report(t, c->zxid, z->path, 0, bytes);
        twin_stat(t, z, &ret->stat);
        return CONVENE_OK;
}

static ConveneStatus apply_set_acl(Twin *t, const TwinContext *c, const Request *r, Result *ret) {
        TwinZnode *z = twin_find_named(t, r->path);
        TwinList *acl = NULL;
        ConveneStatus status = twin_acl_normalise(r->acl, c->caller, &acl);

        if (status == CONVENE_OK && !z)
                status = CONVENE_NO_NODE;
        if (status == CONVENE_OK && !twin_acl_allows(z->acl, PERMISSION_ADMIN, c->caller))
                status = CONVENE_NO_AUTH;
        if (status == CONVENE_OK && !version_fits(r->version, z->aversion))
                status = CONVENE_BAD_VERSION;
        if (status != CONVENE_OK) {
                twin_list_unref(acl);
                return status;
        }

        twin_list_unref(z->acl);
        z->acl = acl;
        z->aversion = version_next(z->aversion);
        twin_stat(t, z, &ret->stat);
        return CONVENE_OK;
}

static ConveneStatus apply_check(Twin *t, const TwinContext *c, const Request *r, Result *ret) {
        TwinZnode *z = twin_find_named(t, r->path);

        if (!z)
                return CONVENE_NO_NODE;
        if (!twin_acl_allows(z->acl, PERMISSION_READ, c->caller))
                return CONVENE_NO_AUTH;
        if (!version_fits(r->version, z->version) || (r->czxid != 0 && r->czxid != z->czxid))
                return CONVENE_BAD_VERSION;

        return CONVENE_OK;
}

static ConveneStatus apply_reap(Twin *t, const TwinContext *c, const Request *r, Result *ret) {
        TwinZnode *z = twin_find_named(t, r->path);

        if (!z)
                return CONVENE_NO_NODE;
        if (r->czxid != z->czxid)
                return CONVENE_BAD_VERSION;
        if (z->mode != CREATE_CONTAINER && z->mode != CREATE_TTL)
                return CONVENE_BAD_ARGUMENTS;
        if (twin_children_count(t, z) > 0)
                return CONVENE_NOT_EMPTY;
        if (!twin_is_reapable(t, z, c->time_msec))
                return CONVENE_BAD_ARGUMENTS;

        remove_znode(t, c->zxid, z);
        return CONVENE_OK;
}

/* Sessions */

static bool identities_are_valid(Identities i) {
        for (unsigned k = 0; k < i.count; k++)
                if (!twin_identity_is_valid(i.items[k].scheme, i.items[k].id, false, true))
                        return false;
        return true;
}

/* The identities of the list and then the new ones, each once. */
static TwinList *identities_union(const TwinList *old, Identities more) {
        g_autoptr(GArray) items = g_array_new(false, false, sizeof(AclEntry));

        for (unsigned i = 0; i < old->count + more.count; i++) {
                Identity who = i < old->count ? old->items[i].who : more.items[i - old->count];
                bool known = false;

                for (unsigned k = 0; k < items->len; k++) {
                        AclEntry *e = &g_array_index(items, AclEntry, k);

                        known = known || (g_str_equal(e->who.scheme, who.scheme) && g_str_equal(e->who.id, who.id));
                }
                if (!known)
                        g_array_append_val(items, ((AclEntry) { 0, who }));
        }
        return twin_list_new((AclEntry *) (void *) items->data, items->len);
}

static bool timeout_is_valid(uint32_t timeout_msec) {
        return timeout_msec >= LIMIT_SESSION_TIMEOUT_MIN_MSEC && timeout_msec <= LIMIT_SESSION_TIMEOUT_MAX_MSEC;
}

static ConveneStatus apply_open_session(Twin *t, const TwinContext *c, const Request *r, Result *ret) {
        TwinList *none = twin_list_new(NULL, 0);
        TwinSession *s;

        if (!timeout_is_valid(r->timeout_msec) || (unsigned) r->owner_kind >= _OWNER_KIND_MAX) {
                twin_list_unref(none);
                return CONVENE_BAD_ARGUMENTS;
        }
        if (!identities_are_valid(r->identities)) {
                twin_list_unref(none);
                return CONVENE_AUTH_FAILED;
        }

        s = g_new0(TwinSession, 1);
        s->id = c->zxid;
        s->timeout_msec = r->timeout_msec;
        s->member = r->member;
        s->owner_kind = r->owner_kind;
        s->generation = 1;
        s->ctime_msec = c->time_msec;
        memcpy(s->secret_hash, r->secret_hash, SESSION_SECRET_HASH_BYTES);
        s->owner = g_ref_string_new(r->owner ? r->owner : "");
        s->identities = identities_union(none, r->identities);
        twin_list_unref(none);
        g_ptr_array_add(t->sessions, s);

        ret->session = s->id;
        ret->timeout_msec = s->timeout_msec;
        return CONVENE_OK;
}

static ConveneStatus apply_attach_session(Twin *t, const TwinContext *c, const Request *r, Result *ret) {
        TwinSession *s = twin_find_session(t, r->target);
        TwinSessionEvent moved = { .session = r->target };

        if (!timeout_is_valid(r->timeout_msec))
                return CONVENE_BAD_ARGUMENTS;
        if (!s)
                return CONVENE_SESSION_EXPIRED;
        if (memcmp(s->secret_hash, r->secret_hash, SESSION_SECRET_HASH_BYTES) != 0)
                return CONVENE_AUTH_FAILED;

        s->timeout_msec = r->timeout_msec;
        s->member = r->member;
        moved.generation = ++s->generation;
        g_array_append_val(t->session_events, moved);
        ret->session = s->id;
        ret->timeout_msec = s->timeout_msec;
        return CONVENE_OK;
}

static ConveneStatus apply_auth_session(Twin *t, const TwinContext *c, const Request *r, Result *ret) {
        TwinSession *s = twin_find_session(t, r->target);
        TwinList *all;

        if (!s)
                return CONVENE_SESSION_EXPIRED;
        if (!identities_are_valid(r->identities))
                return CONVENE_AUTH_FAILED;
        all = identities_union(s->identities, r->identities);
        if (all->count > LIMIT_SESSION_IDENTITIES) {
                twin_list_unref(all);
                return CONVENE_LIMIT_EXCEEDED;
        }

        twin_list_unref(s->identities);
        s->identities = all;
        return CONVENE_OK;
}

static ConveneStatus apply_close_session(Twin *t, const TwinContext *c, const Request *r, Result *ret) {
        TwinSession *s = twin_find_session(t, r->target);
        TwinSessionEvent ended = { .session = r->target, .ended = true, .expired = r->expired };
        g_autoptr(GPtrArray) ephemerals = g_ptr_array_new();

        if (!s)
                return CONVENE_SESSION_EXPIRED;
        if (r->generation != 0 && r->generation != s->generation)
                return CONVENE_BAD_VERSION;

        for (unsigned i = 0; i < t->znodes->len; i++)
                if (((TwinZnode *) t->znodes->pdata[i])->ephemeral_owner == s->id)
                        g_ptr_array_add(ephemerals, t->znodes->pdata[i]);
        for (unsigned i = 0; i < ephemerals->len; i++)
                remove_znode(t, c->zxid, ephemerals->pdata[i]);
        g_array_append_val(t->session_events, ended);
        twin_remove_session(t, s);
        return CONVENE_OK;
}

/* Dispatch */

static ConveneStatus apply_one(Twin *t, const TwinContext *c, const Request *r, Result *ret) {
        if (r->path && r->path[0] == 0 && r->op != REQUEST_CREATE)
                return CONVENE_BAD_ARGUMENTS;           /* only reads take "" for "/" (2.9) */

        switch (r->op) {
        case REQUEST_CREATE:
                return apply_create(t, c, r, ret);
        case REQUEST_DELETE:
                return apply_delete(t, c, r, ret);
        case REQUEST_SET_DATA:
                return apply_set_data(t, c, r, ret);
        case REQUEST_SET_ACL:
                return apply_set_acl(t, c, r, ret);
        case REQUEST_CHECK:
                return apply_check(t, c, r, ret);
        case REQUEST_DELETE_RECURSIVE:
                return apply_delete_recursive(t, c, r, ret);
        case REQUEST_REAP:
                return apply_reap(t, c, r, ret);
        case REQUEST_OPEN_SESSION:
                return apply_open_session(t, c, r, ret);
        case REQUEST_ATTACH_SESSION:
                return apply_attach_session(t, c, r, ret);
        case REQUEST_AUTH_SESSION:
                return apply_auth_session(t, c, r, ret);
        case REQUEST_CLOSE_SESSION:
                return apply_close_session(t, c, r, ret);
        default:
                return CONVENE_UNIMPLEMENTED;
        }
}

static ConveneStatus apply_multi(Twin *t, const TwinContext *c, const Request *r, Result *ret) {
        Twin *copy = twin_copy(t);
        Result *results = twin_scratch(t, r->operations_count * sizeof(Result));
        ConveneStatus failed = CONVENE_OK;

        for (unsigned i = 0; i < r->operations_count; i++) {
                results[i] = (Result) { .op = r->operations[i].op, .zxid = c->zxid };
                if (failed == CONVENE_OK)
                        failed = results[i].status = apply_one(copy, c, r->operations + i, results + i);
                else
                        results[i].status = CONVENE_RUNTIME_INCONSISTENCY;
        }
        ret->results = results;
        ret->results_count = r->operations_count;

        if (failed == CONVENE_OK)
                twin_take(t, copy);
        else
                twin_free(copy);
        return failed;
}

static ConveneStatus apply(Twin *t, TwinContext *c, const Request *r, Result *ret) {
        TwinSession *s = twin_find_session(t, r->session);
        ConveneStatus status;

        if (c->encoded && !twin_decodes(r)) {
                ret->op = 0;            /* nobody can tell */
                return CONVENE_MARSHALLING_ERROR;
        }
        if (r->session != 0 && !s)
                return CONVENE_SESSION_EXPIRED;
        if (s && r->origin != 0 && r->origin != s->member)
                return CONVENE_SESSION_MOVED;
        if (s && r->cxid != 0 && r->cxid <= s->cxid)
                return CONVENE_BAD_ARGUMENTS;
        if (s && r->caller.count > 0)
                return CONVENE_BAD_ARGUMENTS;
        status = twin_validate(r);
        if (status != CONVENE_OK)
                return status;

        c->caller = s ? twin_list_ref(s->identities) : twin_list_from_identities(r->caller);
        status = r->op == REQUEST_MULTI ? apply_multi(t, c, r, ret) : apply_one(t, c, r, ret);
        twin_list_unref(c->caller);

        if (status != CONVENE_OK)
                return status;

        twin_quota_refresh(t);
        s = twin_find_session(t, r->session);
        if (s && r->cxid != 0)
                s->cxid = r->cxid;
        return CONVENE_OK;
}

static void forget_last(Twin *t) {
        g_ptr_array_set_size(t->scratch, 0);
        g_ptr_array_set_size(t->changes, 0);
        g_array_set_size(t->session_events, 0);
}

void twin_apply(Twin *t, Zxid zxid, int64_t time_msec, const Request *r, bool encoded, Result *ret) {
        TwinContext c = { .zxid = zxid, .time_msec = time_msec, .session = r->session,
                          .encoded = encoded };

        forget_last(t);
        *ret = (Result) { .op = r->op, .zxid = zxid };
        ret->status = apply(t, &c, r, ret);
        t->zxid = zxid;
}

void twin_skip(Twin *t, Zxid zxid) {
        forget_last(t);
        t->zxid = zxid;
}
