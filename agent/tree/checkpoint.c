/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Checkpoint
 *
 * Changed rows collect in the current set: the object's dirty bit of that set is on and its id is in the set's
 * list, or its id is among the gone.  A checkpoint turns the sets around: what was current is frozen and
 * handed out bit by bit, while changes go to the other, empty one.  A bit of the frozen set that is still on
 * says "not handed out yet", so whoever is about to change such a row puts it aside first; it is handed out
 * from there in its turn.  A full checkpoint walks all ids instead, so there it is the position of the walk
 * that says what is still to come.
 *
 * The frozen lists stay until the next checkpoint begins, in case this one has to be counted as never made.
 */

#include <assert.h>
#include <string.h>

#include "agent/tree/tree-internal.h"

/* A slice ends with the row that reaches this, whatever the caller allows in rows. */
#define SLICE_BYTES (1024U * 1024U)

/* Likewise with as many steps: most ids in a set may name nothing any more. */
#define SLICE_STEPS_PER_ROW 16U

typedef struct AsideRow {
        TreeTable table;
        uint64_t key;
        uint32_t size;
        uint8_t value[];
} AsideRow;

static int aside_compare(gconstpointer a, gconstpointer b, gpointer userdata) {
        const AsideRow *x = a, *y = b;

        if (x->table != y->table)
                return x->table < y->table ? -1 : 1;

        return x->key < y->key ? -1 : x->key > y->key;
}

static void dirty_set_clear(DirtySet *s) {
        ids_done(&s->changed);
        ids_done(&s->gone);
}

void tree_checkpoint_init(Checkpoint *c) {
        c->aside = g_tree_new_full(aside_compare, NULL, g_free, NULL);
        c->rows = g_array_new(FALSE, FALSE, sizeof(TreeRow));
}

void tree_checkpoint_done(Checkpoint *c) {
        for (unsigned i = 0; i < 2; i++) {
                dirty_set_clear(&c->znodes.sets[i]);
                dirty_set_clear(&c->sessions.sets[i]);
        }
        g_tree_unref(c->aside);
        g_array_unref(c->rows);
        writer_done(&c->slice);
}

static unsigned frozen(const Checkpoint *c) {
        return 1 - c->current;
}

/*
 * Changes
 */

/* Returns the object's new dirty bits. */
static unsigned mark(Checkpoint *c, DirtyTable *d, uint64_t id, unsigned dirty) {
        unsigned bit = 1U << c->current;

        if (dirty & bit)
                return dirty;

        ids_append(&d->sets[c->current].changed, id);
        d->count++;
        return dirty | bit;
}

/* Its id stays among the changed, where it now names nothing. */
static void mark_gone(Checkpoint *c, DirtyTable *d, uint64_t id, unsigned dirty, bool stored) {
        assert(!(dirty & 1U << frozen(c)));
        if (dirty & 1U << c->current)
                d->count--;

        if (stored) {
                ids_append(&d->sets[c->current].gone, id);
                d->count++;
        }
}

void checkpoint_mark_znode(Tree *t, Znode *z) {
        z->dirty = mark(&t->checkpoint, &t->checkpoint.znodes, z->id, z->dirty);
}

void checkpoint_mark_session(Tree *t, Session *s) {
        s->dirty = mark(&t->checkpoint, &t->checkpoint.sessions, s->id, s->dirty);
}

void checkpoint_mark_znode_gone(Tree *t, Znode *z) {
        mark_gone(&t->checkpoint, &t->checkpoint.znodes, z->id, z->dirty, z->stored);
}

void checkpoint_mark_session_gone(Tree *t, Session *s) {
        mark_gone(&t->checkpoint, &t->checkpoint.sessions, s->id, s->dirty, s->stored);
}

void checkpoint_mark_state(Tree *t) {
        t->checkpoint.state_dirty[t->checkpoint.current] = true;
}

/* Whether the row is part of the checkpoint and still to be handed out from where it is. */
static bool is_pending(const Tree *t, TreeTable table, uint64_t id, unsigned dirty) {
        const Checkpoint *c = &t->checkpoint;
        AsideRow key = { .table = table, .key = id };

        if (!c->active)
                return false;
        if (!c->full)
                return dirty & 1U << frozen(c);

        if (table == TREE_TABLE_ZNODE ? id >= c->next_id : id > c->zxid)        /* newer than the checkpoint */
                return false;
        if (c->table > table || (c->table == table && id <= c->cursor))
                return false;

        return !g_tree_lookup(c->aside, &key);
}

static void put_aside(Tree *t, TreeTable table, uint64_t id) {
        uint32_t size = t->row.size - ROW_HEAD_BYTES;
        AsideRow *a = g_malloc(sizeof(AsideRow) + size);

        *a = (AsideRow) { .table = table, .key = id, .size = size };
        memcpy(a->value, t->row.data + ROW_HEAD_BYTES, size);
        g_tree_insert(t->checkpoint.aside, a, a);
}

void checkpoint_before_znode(Tree *t, Znode *z) {
        if (!is_pending(t, TREE_TABLE_ZNODE, z->id, z->dirty))
                return;

        put_aside(t, TREE_TABLE_ZNODE, z->id);
        z->dirty &= ~(1U << frozen(&t->checkpoint));
        z->stored = true;
}

void checkpoint_before_session(Tree *t, Session *s) {
        if (!is_pending(t, TREE_TABLE_SESSION, s->id, s->dirty))
                return;

        put_aside(t, TREE_TABLE_SESSION, s->id);
        s->dirty &= ~(1U << frozen(&t->checkpoint));
        s->stored = true;
}

/*
 * Handing out
 */

void tree_checkpoint_begin(Tree *t, bool full) {
        Checkpoint *c = &t->checkpoint;

        assert(!t->load && !t->entry.open);
        assert(!c->active);
        assert(g_tree_nnodes(c->aside) == 0);

        c->current = frozen(c);
        dirty_set_clear(&c->znodes.sets[c->current]);
        dirty_set_clear(&c->sessions.sets[c->current]);
        c->znodes.count = c->sessions.count = 0;
        c->state_dirty[c->current] = false;

        c->active = c->may_abort = true;
        c->full = full;
        c->zxid = t->zxid;
        c->digest = t->digest;
        c->next_id = t->next_id;
        c->table = TREE_TABLE_ZNODE;
        c->gone = false;
        c->cursor = 0;
        c->position = (IdsCursor) { 0 };
}

static void add_row(Checkpoint *c, TreeTable table, uint64_t key, bool gone, size_t value_size) {
        /* The values move while the slice grows: a gone row is told by its size until the end. */
        TreeRow row = { .table = table, .key = key, .value_size = gone ? UINT32_MAX : (uint32_t) value_size };

        g_array_append_val(c->rows, row);
}

/* Hands out the row of a live object, or the one put aside for it.  Returns false if there is neither. */
static bool hand_out_aside(Checkpoint *c, TreeTable table, uint64_t id) {
        AsideRow key = { .table = table, .key = id };
        const AsideRow *a = g_tree_lookup(c->aside, &key);

        if (!a)
                return false;

        (void) writer_reserve(&c->slice, ROW_HEAD_BYTES);
        writer_bytes(&c->slice, a->value, a->size);
        add_row(c, table, id, false, a->size);
        g_tree_remove(c->aside, &key);
        return true;
}

static void hand_out_znode(Checkpoint *c, Znode *z) {
        size_t before = c->slice.size;

        row_encode_znode(z, &c->slice);
        add_row(c, TREE_TABLE_ZNODE, z->id, false, c->slice.size - before - ROW_HEAD_BYTES);
        z->dirty &= ~(1U << frozen(c));
        z->stored = true;
}

static void hand_out_session(Checkpoint *c, Session *s) {
        size_t before = c->slice.size;

        row_encode_session(s, &c->slice);
        add_row(c, TREE_TABLE_SESSION, s->id, false, c->slice.size - before - ROW_HEAD_BYTES);
        s->dirty &= ~(1U << frozen(c));
        s->stored = true;
}

static void hand_out_state(Checkpoint *c) {
        size_t before = c->slice.size;

        row_encode_state(c->next_id, &c->slice);
        add_row(c, TREE_TABLE_STATE, 1, false, c->slice.size - before - ROW_HEAD_BYTES);
}

static DirtyTable *dirty_table(Checkpoint *c, TreeTable table) {
        assert(table == TREE_TABLE_ZNODE || table == TREE_TABLE_SESSION);
        return table == TREE_TABLE_ZNODE ? &c->znodes : &c->sessions;
}

static void hand_out_changed(Tree *t, TreeTable table, uint64_t id) {
        Checkpoint *c = &t->checkpoint;

        if (hand_out_aside(c, table, id))
                return;

        if (table == TREE_TABLE_ZNODE) {
                Znode *z = index_find(&t->znodes, id);

                if (z && z->dirty & 1U << frozen(c))
                        hand_out_znode(c, z);
        } else {
                Session *s = index_find(&t->sessions, id);

                if (s && s->dirty & 1U << frozen(c))
                        hand_out_session(c, s);
        }
}

/* One step of the current table; false at its end. */
static bool step_changed(Tree *t) {
        Checkpoint *c = &t->checkpoint;
        const DirtySet *s = &dirty_table(c, c->table)->sets[frozen(c)];
        uint64_t id;

        if (!c->gone) {
                if (ids_next(&s->changed, &c->position, &id)) {
                        hand_out_changed(t, c->table, id);
                        return true;
                }
                c->gone = true;
                c->position = (IdsCursor) { 0 };
        }

        if (!ids_next(&s->gone, &c->position, &id))
                return false;

        add_row(c, c->table, id, true, 0);
        return true;
}

static uint64_t next_aside(const Checkpoint *c) {
        AsideRow key = { .table = c->table, .key = c->cursor };
        GTreeNode *n = g_tree_upper_bound(c->aside, &key);
        const AsideRow *a = n ? g_tree_node_key(n) : NULL;

        return a && a->table == c->table ? a->key : UINT64_MAX;
}

static bool step_all(Tree *t) {
        Checkpoint *c = &t->checkpoint;
        uint64_t aside = next_aside(c), live = UINT64_MAX;
        bool znodes = c->table == TREE_TABLE_ZNODE;
        void *object = index_after(znodes ? &t->znodes : &t->sessions, c->cursor);

        if (object && (znodes ? *(uint64_t *) object < c->next_id : *(uint64_t *) object <= c->zxid))
                live = *(uint64_t *) object;
        if (aside == UINT64_MAX && live == UINT64_MAX)
                return false;

        c->cursor = MIN(aside, live);
        if (aside <= live)
                (void) hand_out_aside(c, c->table, aside);
        else if (znodes)
                hand_out_znode(c, object);
        else
                hand_out_session(c, object);
        return true;
}

static bool step(Tree *t) {
        Checkpoint *c = &t->checkpoint;

        while (c->table < TREE_TABLE_STATE) {
                if (c->full ? step_all(t) : step_changed(t))
                        return true;
                c->table++;
                c->gone = false;
                c->cursor = 0;
                c->position = (IdsCursor) { 0 };
        }

        if (c->cursor > 0)
                return false;

        c->cursor = 1;
        if (c->full || c->state_dirty[frozen(c)])
                hand_out_state(c);
        return true;
}

static void point_at_values(Checkpoint *c) {
        const uint8_t *p = c->slice.data;

        for (unsigned i = 0; i < c->rows->len; i++) {
                TreeRow *row = &g_array_index(c->rows, TreeRow, i);

                if (row->value_size == UINT32_MAX) {
                        row->value_size = 0;
                        continue;
                }
                row->value = p + ROW_HEAD_BYTES;
                p = row->value + row->value_size;
        }
        assert(p == c->slice.data + c->slice.size);
}

bool tree_checkpoint_next(Tree *t, unsigned rows_max, const TreeRow **ret_rows, unsigned *ret_rows_count) {
        Checkpoint *c = &t->checkpoint;
        unsigned steps_left = SLICE_STEPS_PER_ROW * MIN(rows_max, UINT_MAX / SLICE_STEPS_PER_ROW);
        bool more = true;

        assert(!t->entry.open);
        assert(c->active);
        assert(rows_max > 0);

        g_array_set_size(c->rows, 0);
        if (c->slice.allocated > 4 * SLICE_BYTES)
                writer_done(&c->slice);
        writer_clear(&c->slice);
        while (more && steps_left-- > 0 && c->rows->len < rows_max && c->slice.size < SLICE_BYTES)
                more = step(t);

        if (!more && c->rows->len == 0) {
                assert(g_tree_nnodes(c->aside) == 0);
                c->active = false;
                writer_done(&c->slice);
                return false;
        }

        point_at_values(c);
        *ret_rows = (const TreeRow *) (void *) c->rows->data;
        *ret_rows_count = c->rows->len;
        return true;
}

static void thaw(Tree *t, TreeTable table) {
        Checkpoint *c = &t->checkpoint;
        DirtyTable *d = dirty_table(c, table);
        DirtySet *s = &d->sets[frozen(c)];
        IdsCursor position = { 0 };
        uint64_t id;

        while (ids_next(&s->changed, &position, &id)) {
                if (table == TREE_TABLE_ZNODE) {
                        Znode *z = index_find(&t->znodes, id);

                        if (z)
                                z->dirty = mark(c, d, id, z->dirty & ~(1U << frozen(c)));
                } else {
                        Session *session = index_find(&t->sessions, id);

                        if (session)
                                session->dirty = mark(c, d, id, session->dirty & ~(1U << frozen(c)));
                }
        }
        ids_done(&s->changed);

        d->count += s->gone.count;
        ids_append_all(&d->sets[c->current].gone, &s->gone);
}

void tree_checkpoint_abort(Tree *t) {
        Checkpoint *c = &t->checkpoint;

        assert(!t->entry.open);
        assert(c->may_abort);

        thaw(t, TREE_TABLE_ZNODE);
        thaw(t, TREE_TABLE_SESSION);
        if (c->state_dirty[frozen(c)])
                c->state_dirty[c->current] = true;
        c->state_dirty[frozen(c)] = false;

        g_tree_remove_all(c->aside);
        g_array_set_size(c->rows, 0);
        writer_done(&c->slice);
        c->active = c->may_abort = false;
}

bool tree_checkpoint_is_active(const Tree *t) {
        return t->checkpoint.active;
}

Zxid tree_checkpoint_zxid(const Tree *t) {
        return t->checkpoint.zxid;
}

Hash128 tree_checkpoint_digest(const Tree *t) {
        return t->checkpoint.digest;
}

uint64_t tree_dirty_count(const Tree *t) {
        const Checkpoint *c = &t->checkpoint;

        return c->znodes.count + c->sessions.count + c->state_dirty[c->current];
}

/*
 * Check
 */

void tree_checkpoint_check(const Tree *t) {
        const Checkpoint *c = &t->checkpoint;
        uint64_t znodes = c->znodes.sets[c->current].gone.count, sessions = c->sessions.sets[c->current].gone.count;

        for (const Znode *z = index_first(&t->znodes); z; z = index_after(&t->znodes, z->id)) {
                znodes += z->dirty >> c->current & 1;
                assert(c->active || !(z->dirty & 1U << frozen(c)));
        }
        for (const Session *s = index_first(&t->sessions); s; s = index_after(&t->sessions, s->id)) {
                sessions += s->dirty >> c->current & 1;
                assert(c->active || !(s->dirty & 1U << frozen(c)));
        }

        assert(znodes == c->znodes.count);
        assert(sessions == c->sessions.count);
        assert(c->active || g_tree_nnodes(c->aside) == 0);
}
