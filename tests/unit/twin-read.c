/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Twin: reads
 */

#include "tests/unit/twin.h"

#include <string.h>

#include "agent/base/limits.h"

static ConveneStatus find_readable(Twin *t, const TwinList *caller, const char *path, uint32_t permissions,
                                   TwinZnode **ret) {
        TwinZnode *z = twin_find_named(t, path);

        if (!z)
                return CONVENE_NO_NODE;
        if (!twin_acl_allows(z->acl, permissions, caller))
                return CONVENE_NO_AUTH;

        *ret = z;
        return CONVENE_OK;
}

static void copy_data(Twin *t, const TwinZnode *z, const uint8_t **ret, uint32_t *ret_size) {
        if (!z->data)
                return;

        *ret_size = g_bytes_get_size(z->data);
        *ret = twin_scratch(t, *ret_size);
        if (*ret_size > 0)
                memcpy((uint8_t *) *ret, g_bytes_get_data(z->data, NULL), *ret_size);
}

/* What one answer holds: so many items, so many bytes of names and data, but always its first item. */
typedef struct Budget {
        uint64_t items, bytes;
        bool empty;
} Budget;

#define BUDGET_INIT ((Budget) { LIMIT_PAGE_ENTRIES, LIMIT_PAGE_BYTES, true })

static bool budget_take(Budget *b, uint64_t bytes) {
        if (b->items == 0 || (bytes > b->bytes && !b->empty))
                return false;

        b->items--;
        b->bytes = bytes > b->bytes ? 0 : b->bytes - bytes;
        b->empty = false;
        return true;
}

static uint64_t data_bytes(const TwinZnode *z) {
        return z->data ? g_bytes_get_size(z->data) : 0;
}

static ConveneStatus read_exists(Twin *t, const TwinList *caller, const Request *r, Result *ret) {
        TwinZnode *z;
        ConveneStatus status = find_readable(t, caller, r->path, PERMISSION_READ, &z);

        if (status == CONVENE_OK)
                twin_stat(t, z, &ret->stat);
        return status;
}

static ConveneStatus read_get_data(Twin *t, const TwinList *caller, const Request *r, Budget *budget, Result *ret) {
        TwinZnode *z;
        ConveneStatus status = find_readable(t, caller, r->path, PERMISSION_READ, &z);

        if (status != CONVENE_OK)
                return status;
        if (!budget_take(budget, data_bytes(z)))
                return CONVENE_TOO_LARGE;

        twin_stat(t, z, &ret->stat);
        copy_data(t, z, &ret->data, &ret->data_size);
        return CONVENE_OK;
}

static ConveneStatus read_get_acl(Twin *t, const TwinList *caller, const Request *r, Result *ret) {
        TwinZnode *z;
        ConveneStatus status = find_readable(t, caller, r->path, PERMISSION_READ | PERMISSION_ADMIN, &z);

        if (status != CONVENE_OK)
                return status;

        ret->acl = twin_acl_redacted(t, z->acl, !twin_acl_allows(z->acl, PERMISSION_ADMIN, caller));
        twin_stat(t, z, &ret->stat);
        return CONVENE_OK;
}

/* Depth first with siblings in byte order of names is the byte order of paths with '/' below every other byte. */
static int compare_depth_first(const char *a, const char *b) {
        for (; *a && *a == *b; a++, b++)
                ;
        if (*a == *b || *a == 0 || *b == 0)
                return (*a != 0) - (*b != 0);
        if (*a == '/' || *b == '/')
                return *a == '/' ? -1 : 1;

        return (int) (uint8_t) *a - (int) (uint8_t) *b;
}

static int compare_znodes(gconstpointer a, gconstpointer b) {
        const TwinZnode *const *za = a, *const *zb = b;

        return compare_depth_first((*za)->path, (*zb)->path);
}

/* Fills items with the page of `znodes` (sorted) that comes after start_after; `names` says names or whole paths. */
static void fill_page(Twin *t, const TwinList *caller, const Request *r, GPtrArray *znodes, bool names, Budget *budget,
                      Result *ret) {
        ListItem *items = twin_scratch(t, znodes->len * sizeof(ListItem));

        ret->items = items;
        for (unsigned i = 0; i < znodes->len; i++) {
                TwinZnode *z = znodes->pdata[i];
                const char *label = names ? twin_name(z->path) : z->path;
                /* The name is the parent's to show; the rest takes what exists and get-data take. */
                bool readable = twin_acl_allows(z->acl, PERMISSION_READ, caller);
                ListItem *item = items + ret->items_count;

                if (r->start_after && r->start_after[0] != 0 &&
                    (names ? strcmp(label, r->start_after) : compare_depth_first(label, r->start_after)) <= 0)
                        continue;
                if ((r->entries_max > 0 && ret->items_count == r->entries_max) ||
                    !budget_take(budget, strlen(label) + (r->want_data && readable ? data_bytes(z) : 0))) {
                        ret->more = true;
                        return;
                }
                ret->items_count++;
                item->path = twin_scratch_string(t, label);
                if (readable && (r->want_data || !names))
                        twin_stat(t, z, &item->stat);
                if (readable && r->want_data)
                        copy_data(t, z, &item->data, &item->data_size);
        }
}

static ConveneStatus read_get_children(Twin *t, const TwinList *caller, const Request *r, Budget *budget,
                                       Result *ret) {
        g_autoptr(GPtrArray) children = g_ptr_array_new();
        TwinZnode *z;
        ConveneStatus status = find_readable(t, caller, r->path, PERMISSION_READ, &z);

        if (status != CONVENE_OK)
                return status;

        for (unsigned i = 0; i < t->znodes->len; i++)
                if (((TwinZnode *) t->znodes->pdata[i])->parent_id == z->id)
                        g_ptr_array_add(children, t->znodes->pdata[i]);
        g_ptr_array_sort(children, compare_znodes);
        fill_page(t, caller, r, children, true, budget, ret);
        twin_stat(t, z, &ret->stat);
        return CONVENE_OK;
}

/* What is below something that the caller may not read is not in the list. */
static bool is_listed(Twin *t, const TwinList *caller, const TwinZnode *root, const TwinZnode *z) {
        while (z != root)
                if (z = twin_parent(t, z), !twin_acl_allows(z->acl, PERMISSION_READ, caller))
                        return false;
        return true;
}

static ConveneStatus read_list(Twin *t, const TwinList *caller, const Request *r, Result *ret) {
        g_autoptr(GPtrArray) below = g_ptr_array_new();
        Budget budget = BUDGET_INIT;
        TwinZnode *root;
        ConveneStatus status = find_readable(t, caller, r->path, PERMISSION_READ, &root);

        if (status != CONVENE_OK)
                return status;

        for (unsigned i = 0; i < t->znodes->len; i++) {
                TwinZnode *z = t->znodes->pdata[i];

                if ((z == root || twin_is_below(z->path, root->path)) && is_listed(t, caller, root, z))
                        g_ptr_array_add(below, z);
        }
        g_ptr_array_sort(below, compare_znodes);
        fill_page(t, caller, r, below, false, &budget, ret);
        return CONVENE_OK;
}

static ConveneStatus read_count_descendants(Twin *t, const TwinList *caller, const Request *r, Result *ret) {
        TwinZnode *z;
        ConveneStatus status = find_readable(t, caller, r->path, PERMISSION_READ, &z);

        if (status != CONVENE_OK)
                return status;

        for (unsigned i = 0; i < t->znodes->len; i++)
                ret->count += twin_is_below(((TwinZnode *) t->znodes->pdata[i])->path, z->path);
        return CONVENE_OK;
}

static int compare_items(gconstpointer a, gconstpointer b) {
        const ListItem *ia = a, *ib = b;

        return strcmp(ia->path, ib->path);
}

static ConveneStatus read_get_ephemerals(Twin *t, const Request *r, Result *ret) {
        g_autoptr(GArray) items = g_array_new(false, true, sizeof(ListItem));
        ListItem *copy;

        for (unsigned i = 0; i < t->znodes->len; i++) {
                TwinZnode *z = t->znodes->pdata[i];

                if (z->mode != CREATE_EPHEMERAL || z->ephemeral_owner != r->session)
                        continue;
                if (r->path && !g_str_has_prefix(z->path, r->path))
                        continue;
                g_array_append_val(items, ((ListItem) { .path = twin_scratch_string(t, z->path) }));
        }
        g_array_sort(items, compare_items);

        copy = twin_scratch(t, items->len * sizeof(ListItem));
        if (items->len > 0)
                memcpy(copy, items->data, items->len * sizeof(ListItem));
        ret->items = copy;
        ret->items_count = items->len;
        return CONVENE_OK;
}

static ConveneStatus read_list_sessions(Twin *t, const Request *r, Result *ret) {
        unsigned max = r->entries_max > 0 && r->entries_max < LIMIT_PAGE_ENTRIES ? r->entries_max : LIMIT_PAGE_ENTRIES;
        SessionInfo *sessions = twin_scratch(t, t->sessions->len * sizeof(SessionInfo));

        ret->sessions = sessions;
        for (unsigned i = 0; i < t->sessions->len; i++) {
                TwinSession *s = t->sessions->pdata[i];

                if (s->id <= r->start_after_session)
                        continue;
                if (ret->items_count == max) {
                        ret->more = true;
                        break;
                }
                twin_session_info(t, s, sessions + ret->items_count++);
        }
        return CONVENE_OK;
}

static ConveneStatus read_one(Twin *t, const TwinList *caller, const Request *r, Budget *budget, Result *ret) {
        switch (r->op) {
        case REQUEST_EXISTS:
                return read_exists(t, caller, r, ret);
        case REQUEST_GET_DATA:
                return read_get_data(t, caller, r, budget, ret);
        case REQUEST_GET_ACL:
                return read_get_acl(t, caller, r, ret);
        case REQUEST_GET_CHILDREN:
                return read_get_children(t, caller, r, budget, ret);
        case REQUEST_COUNT_DESCENDANTS:
                return read_count_descendants(t, caller, r, ret);
        case REQUEST_LIST:
                return read_list(t, caller, r, ret);
        case REQUEST_LIST_SESSIONS:
                return read_list_sessions(t, r, ret);
        case REQUEST_WHO_AM_I:
                ret->identities = twin_list_to_identities(t, caller);
                return CONVENE_OK;
        case REQUEST_SYNC:
                return CONVENE_OK;
        default:
                return CONVENE_UNIMPLEMENTED;
        }
}

static ConveneStatus read_multi(Twin *t, const TwinList *caller, const Request *r, Result *ret) {
        Result *results = twin_scratch(t, r->operations_count * sizeof(Result));
        Budget budget = BUDGET_INIT;            /* one answer, one budget */

        for (unsigned i = 0; i < r->operations_count; i++) {
                results[i] = (Result) { .op = r->operations[i].op, .zxid = t->zxid };
                results[i].status = read_one(t, caller, r->operations + i, &budget, results + i);
        }
        ret->results = results;
        ret->results_count = r->operations_count;
        return CONVENE_OK;
}

void twin_read(Twin *t, const Request *r, Result *ret) {
        TwinSession *s = twin_find_session(t, r->session);
        Budget budget = BUDGET_INIT;
        TwinList *caller;

        g_ptr_array_set_size(t->scratch, 0);
        *ret = (Result) { .op = r->op, .zxid = t->zxid };
        ret->status = twin_validate(r);
        if (ret->status != CONVENE_OK)
                return;

        if (s)
                caller = twin_list_ref(s->identities);
        else
                caller = twin_list_from_identities(r->session != 0 ? (Identities) { 0 } : r->caller);
        if (r->op == REQUEST_GET_EPHEMERALS)
                ret->status = read_get_ephemerals(t, r, ret);
        else if (r->op == REQUEST_MULTI_READ)
                ret->status = read_multi(t, caller, r, ret);
        else
                ret->status = read_one(t, caller, r, &budget, ret);
        twin_list_unref(caller);
}
