/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Read: lists
 *
 * Each goes on after the last item of the page before, by its name, path or id alone: nothing is kept in
 * between, and the item may have been deleted meanwhile.
 */

#include <assert.h>
#include <string.h>

#include "agent/tree/tree-internal.h"

bool page_take(Page *p, uint64_t bytes) {
        if (p->entries_left == 0 || (p->any && bytes > p->bytes_left))
                return false;

        p->any = true;
        p->entries_left--;
        p->bytes_left -= MIN(bytes, p->bytes_left);
        return true;
}

static void page_limit(Page *p, uint32_t entries_max) {
        if (entries_max > 0)
                p->entries_left = MIN(p->entries_left, entries_max);
}

static bool is_readable(const Znode *z, Identities who) {
        return acl_allows(z->acl, PERMISSION_READ, who);
}

static void item_set_data(ListItem *item, const Znode *z) {
        item->data = z->data ? z->data->bytes : NULL;
        item->data_size = znode_data_size(z);
}

/* The names are for those who may read the parent; what is in a child is for those who may read the child. */
static bool add_child(ListItem *item, const Znode *z, bool want_data, Identities who, Page *page) {
        bool show = want_data && is_readable(z, who);

        if (!page_take(page, strlen(z->name) + (show ? znode_data_size(z) : 0)))
                return false;

        item->path = z->name;
        if (show) {
                znode_stat(z, &item->stat);
                item_set_data(item, z);
        }
        return true;
}

void read_children(Tree *t, const Request *r, const Znode *z, Identities who, Page *page, Result *ret) {
        Page own = *page;
        ChildrenCursor cursor;
        ListItem *items;
        Znode *child;

        page_limit(&own, r->entries_max);
        items = arena_allocate_array(&t->answered, MIN(znode_children_count(z), own.entries_left), sizeof(ListItem));
        children_cursor_init(&cursor, z, r->start_after ? r->start_after : "");
        while ((child = children_cursor_next(&cursor))) {
                if (!add_child(&items[ret->items_count], child, r->want_data, who, &own)) {
                        ret->more = true;
                        break;
                }
                ret->items_count++;
        }

        ret->items = items;
        page->any = own.any;
        page->bytes_left = own.bytes_left;
        page->entries_left -= ret->items_count;
}

/*
 * Recursive list
 */

/* The order of the list: as bytes, but '/' comes before everything that a name can hold. */
static int compare_paths(const char *a, const char *b) {
        while (*a && *a == *b) {
                a++;
                b++;
        }

        if (*a == *b)
                return 0;
        if (*a == '\0' || *b == '\0')
                return *a == '\0' ? -1 : 1;
        if (*a == '/' || *b == '/')
                return *a == '/' ? -1 : 1;

        return (unsigned char) *a < (unsigned char) *b ? -1 : 1;
}

/* The rest of `path` behind that of `top`, beginning with '/' or empty; NULL if it is not there or below. */
static const char *path_below(const char *path, const Znode *top) {
        PathBuffer buffer;
        size_t size;

        if (!top->parent)
                return path[0] == '/' ? path : NULL;

        size = strlen(znode_path(top, &buffer));
        if (strncmp(path, znode_path(top, &buffer), size) != 0)
                return NULL;

        return path[size] == '\0' || path[size] == '/' ? path + size : NULL;
}

/* The first that comes after start_after.  Follows its path as far as the znodes still exist and may be read. */
static const Znode *list_start(const Tree *t, const Znode *top, const char *start_after, Identities who) {
        const char *rest = path_below(start_after, top);
        const Znode *z = top;
        PathBuffer buffer;

        if (!rest)
                return compare_paths(znode_path(top, &buffer), start_after) > 0 ? top : NULL;

        while (*rest == '/' && is_readable(z, who)) {
                const char *name = rest + 1;
                size_t size = strcspn(name, "/");
                const Znode *child = name_table_find(&t->names, z, name, size), *next;

                if (!child) {
                        next = children_after(z, name, size);
                        return next ? next : subtree_next(top, z, /* below= */ false);
                }
                z = child;
                rest = name + size;
        }

        return subtree_next(top, z, /* below= */ is_readable(z, who));
}

void read_list(Tree *t, const Request *r, const Znode *top, Identities who, Result *ret) {
        Page page = PAGE_INIT;
        const Znode *z = top;
        ListItem *items;

        page_limit(&page, r->entries_max);
        items = arena_allocate_array(&t->answered, MIN(znode_descendants(top) + 1, page.entries_left),
                                     sizeof(ListItem));
        if (r->start_after && r->start_after[0] != '\0')
                z = list_start(t, top, r->start_after, who);

        /* What the caller may not read is named, as by its parent's child list, so that a page is a bounded piece of
         * work whatever its siblings are; what is below it is not. */
        for (bool show; z; z = subtree_next(top, z, /* below= */ show)) {
                ListItem *item = &items[ret->items_count];
                PathBuffer buffer;
                const char *path = znode_path(z, &buffer);
                size_t size = strlen(path);

                show = is_readable(z, who);
                if (!page_take(&page, size + (show && r->want_data ? znode_data_size(z) : 0))) {
                        ret->more = true;
                        break;
                }
                item->path = arena_copy_string(&t->answered, path, size);
                if (show)
                        znode_stat(z, &item->stat);
                if (show && r->want_data)
                        item_set_data(item, z);
                ret->items_count++;
        }

        ret->items = items;
}

/*
 * Ephemerals and sessions
 */

static int compare_items(const void *a, const void *b) {
        return strcmp(((const ListItem *) a)->path, ((const ListItem *) b)->path);
}

void read_ephemerals(Tree *t, const Request *r, Result *ret) {
        const Session *s = index_find(&t->sessions, r->session);
        const char *prefix = r->path ? r->path : "", *start = r->start_after ? r->start_after : "";
        Page page = PAGE_INIT;
        ListItem *items;
        uint32_t count = 0;

        if (!s)
                return;

        page_limit(&page, r->entries_max);
        items = arena_allocate_array(&t->answered, s->ephemerals_count, sizeof(ListItem));
        for (const Znode *z = s->ephemerals_first; z; z = z->extra->ephemeral_after) {
                PathBuffer buffer;
                const char *path = znode_path(z, &buffer);

                if (g_str_has_prefix(path, prefix) && strcmp(path, start) > 0)
                        items[count++].path = arena_copy_string(&t->answered, path, strlen(path));
        }
        if (count > 1)
                qsort(items, count, sizeof(ListItem), compare_items);

        while (ret->items_count < count && page_take(&page, strlen(items[ret->items_count].path)))
                ret->items_count++;
        ret->more = ret->items_count < count;
        ret->items = items;
}

static uint64_t session_bytes(const Session *s) {
        uint64_t bytes = strlen(s->owner);

        for (uint32_t i = 0; i < s->identities.count; i++)
                bytes += strlen(s->identities.items[i].scheme) + strlen(s->identities.items[i].id);

        return bytes;
}

void read_sessions(Tree *t, const Request *r, Result *ret) {
        Page page = PAGE_INIT;
        SessionInfo *sessions;

        page_limit(&page, r->entries_max);
        sessions = arena_allocate_array(&t->answered, MIN(t->sessions.count, page.entries_left), sizeof(SessionInfo));
        for (const Session *s = index_after(&t->sessions, r->start_after_session); s;
             s = index_after(&t->sessions, s->id)) {
                if (!page_take(&page, session_bytes(s))) {
                        ret->more = true;
                        break;
                }
                session_info(s, &sessions[ret->items_count++]);
        }

        ret->sessions = sessions;
}
