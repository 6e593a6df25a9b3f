/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Liveness
 */

#include "agent/member/liveness.h"

#include <assert.h>

#include <glib.h>

#define HEAP_SLACK 64U

typedef struct Session {
        uint64_t id;
        uint64_t timeout_usec;
        uint64_t touched_usec;
        uint64_t cxid;
        uint64_t due_usec;              /* of its item in the heap; 0: it has none */
        GList link;                     /* in Liveness.all */
} Session;

typedef struct Item {
        uint64_t due_usec;
        uint64_t session;
} Item;

struct Liveness {
        GHashTable *sessions;           /* id -> Session, lookup only */
        GQueue all;                     /* the same, in order of addition */
        GArray *heap;                   /* Item, smallest (due, session) first; one whose due is not its session's
                                         * is stale and dropped when it comes up */
};

Liveness *liveness_new(void) {
        Liveness *l = g_new0(Liveness, 1);

        l->sessions = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, g_free);
        l->heap = g_array_new(FALSE, FALSE, sizeof(Item));
        return l;
}

Liveness *liveness_free(Liveness *l) {
        if (!l)
                return NULL;

        g_hash_table_unref(l->sessions);
        g_array_unref(l->heap);
        g_free(l);
        return NULL;
}

static Session *find(const Liveness *l, uint64_t id) {
        return g_hash_table_lookup(l->sessions, &id);
}

static bool item_before(const Item *a, const Item *b) {
        return a->due_usec != b->due_usec ? a->due_usec < b->due_usec : a->session < b->session;
}

static void heap_push(Liveness *l, Item item) {
        Item *h;
        guint i = l->heap->len;

        g_array_append_val(l->heap, item);
        h = (Item *) l->heap->data;
        while (i > 0 && item_before(&item, &h[(i - 1) / 2])) {
                h[i] = h[(i - 1) / 2];
                i = (i - 1) / 2;
        }
        h[i] = item;
}

static Item heap_pop(Liveness *l) {
        Item *h = (Item *) l->heap->data;
        Item top = h[0], last = h[l->heap->len - 1];
        guint n = l->heap->len - 1, i = 0;

        g_array_set_size(l->heap, n);
        while (2 * i + 1 < n) {
                guint child = 2 * i + 1;

                if (child + 1 < n && item_before(&h[child + 1], &h[child]))
                        child++;
                if (!item_before(&h[child], &last))
                        break;
                h[i] = h[child];
                i = child;
        }
        if (n > 0)
                h[i] = last;
        return top;
}

/* Sessions that came and went leave items behind, which come up only when they would have been due. */
static void drop_stale(Liveness *l) {
        g_array_set_size(l->heap, 0);
        for (const GList *i = l->all.head; i; i = i->next) {
                const Session *s = i->data;

                if (s->due_usec != 0)
                        heap_push(l, (Item) { s->due_usec, s->id });
        }
}

/* Gives the session an item that comes up in time, unless it has one. */
static void queue(Liveness *l, Session *s) {
        uint64_t due_usec = s->touched_usec + s->timeout_usec;

        if (s->due_usec != 0 && s->due_usec <= due_usec)
                return;

        s->due_usec = due_usec;
        heap_push(l, (Item) { due_usec, s->id });
        if (l->heap->len > 2 * l->all.length + HEAP_SLACK)
                drop_stale(l);
}

void liveness_add(Liveness *l, uint64_t session, uint64_t timeout_usec, uint64_t now_usec) {
        Session *s = find(l, session);

        assert(timeout_usec > 0);

        if (!s) {
                s = g_new0(Session, 1);
                s->id = session;
                s->link.data = s;
                g_queue_push_tail_link(&l->all, &s->link);
                g_hash_table_insert(l->sessions, &s->id, s);
        }

        s->timeout_usec = timeout_usec;
        s->touched_usec = now_usec;
        queue(l, s);
}

void liveness_remove(Liveness *l, uint64_t session) {
        Session *s = find(l, session);

        if (!s)
                return;

        g_queue_unlink(&l->all, &s->link);
        g_hash_table_remove(l->sessions, &session);     /* its item finds nothing when it comes up */
}

void liveness_touch(Liveness *l, uint64_t session, uint64_t now_usec) {
        Session *s = find(l, session);

        if (!s)
                return;

        s->touched_usec = now_usec;
        queue(l, s);
}

void liveness_touch_all(Liveness *l, uint64_t now_usec) {
        for (GList *i = l->all.head; i; i = i->next)
                liveness_touch(l, ((Session *) i->data)->id, now_usec);
}

uint64_t liveness_pop_expired(Liveness *l, uint64_t now_usec, LivenessHeard heard, void *userdata) {
        while (l->heap->len > 0 && g_array_index(l->heap, Item, 0).due_usec <= now_usec) {
                Item item = heap_pop(l);
                Session *s = find(l, item.session);

                if (!s || s->due_usec != item.due_usec)
                        continue;

                s->due_usec = 0;
                s->touched_usec = MAX(s->touched_usec, heard(userdata, s->id));
                if (s->touched_usec + s->timeout_usec <= now_usec)
                        return s->id;
                queue(l, s);
        }

        return 0;
}

uint64_t liveness_next_usec(const Liveness *l) {
        return l->heap->len > 0 ? g_array_index(l->heap, Item, 0).due_usec : UINT64_MAX;
}

void liveness_again(Liveness *l, uint64_t session, uint64_t at_usec) {
        Session *s = find(l, session);

        if (!s || s->due_usec != 0)
                return;

        s->due_usec = at_usec;
        heap_push(l, (Item) { at_usec, session });
}

void liveness_foreach(Liveness *l, void (*each)(void *userdata, uint64_t session), void *userdata) {
        for (GList *i = l->all.head, *next; i; i = next) {
                next = i->next;
                each(userdata, ((Session *) i->data)->id);
        }
}

uint64_t liveness_next_cxid(Liveness *l, uint64_t session, uint64_t applied_cxid) {
        Session *s = find(l, session);

        if (!s)
                return 0;

        s->cxid = MAX(s->cxid, applied_cxid) + 1;
        return s->cxid;
}
