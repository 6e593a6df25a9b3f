/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Children
 *
 * An AVL tree per parent, threaded through the znodes.  It is balanced by its shape alone, so no choice of names can
 * make it deep, and its shape never shows: every walk is in order of names.
 */

#include <assert.h>
#include <string.h>

#include "agent/tree/znode.h"

/* The way from the top to a place: links[0] is the parent's, right[i] tells where the way went on from *links[i]. */
typedef struct Way {
        Znode **links[CHILDREN_DEPTH_MAX];
        bool right[CHILDREN_DEPTH_MAX];
        unsigned depth;
} Way;

static int compare(const char *name, size_t name_size, const Znode *z) {
        int r = strncmp(name, z->name, name_size);

        if (r != 0)
                return r;

        return z->name[name_size] == '\0' ? 0 : -1;
}

static int balance_get(const Znode *z) {
        return z->balance - 1;
}

static void balance_set(Znode *z, int balance) {
        assert(balance >= -1 && balance <= 1);
        z->balance = (unsigned) (balance + 1);
}

static Znode **child_link(Znode *z, bool right) {
        return right ? &z->right : &z->left;
}

/* The subtree at *link is by two deeper on the side `right`.  Returns whether it is less deep afterwards. */
static bool rotate(Znode **link, bool right) {
        Znode *top = *link, *side = *child_link(top, right);
        int heavy = right ? 1 : -1, b = balance_get(side);

        if (b == -heavy) {
                Znode *inner = *child_link(side, !right);
                int i = balance_get(inner);

                *child_link(side, !right) = *child_link(inner, right);
                *child_link(top, right) = *child_link(inner, !right);
                *child_link(inner, right) = side;
                *child_link(inner, !right) = top;
                *link = inner;
                balance_set(top, i == heavy ? -heavy : 0);
                balance_set(side, i == -heavy ? heavy : 0);
                balance_set(inner, 0);
                return true;
        }

        *child_link(top, right) = *child_link(side, !right);
        *child_link(side, !right) = top;
        *link = side;
        balance_set(top, b == 0 ? heavy : 0);
        balance_set(side, b == 0 ? -heavy : 0);
        return b != 0;
}

static void way_push(Way *w, Znode **link, bool right) {
        assert(w->depth < CHILDREN_DEPTH_MAX);
        w->links[w->depth] = link;
        w->right[w->depth++] = right;
}

bool children_insert(Znode *parent, Znode *z) {
        Znode **link = &parent->extra->children;
        size_t size = strlen(z->name);
        Way way = { .depth = 0 };

        while (*link) {
                int r = compare(z->name, size, *link);

                if (r == 0)
                        return false;
                way_push(&way, link, r > 0);
                link = child_link(*link, r > 0);
        }

        z->left = z->right = NULL;
        balance_set(z, 0);
        *link = z;
        parent->extra->children_count++;

        while (way.depth > 0) {
                Znode *up = *way.links[--way.depth];
                bool right = way.right[way.depth];
                int b = balance_get(up) + (right ? 1 : -1);

                if (b == 2 || b == -2) {
                        (void) rotate(way.links[way.depth], right);
                        break;
                }
                balance_set(up, b);
                if (b == 0)
                        break;
        }

        return true;
}

/* Takes the znode at the end of the way out; the way then leads to where the depth shrank. */
static void way_cut(Way *w, Znode **link) {
        Znode *z = *link, *next;
        unsigned at = w->depth;

        if (!z->left || !z->right) {
                *link = z->left ? z->left : z->right;
                return;
        }

        /* The next in order, which has nothing on its left, takes the place. */
        way_push(w, link, true);
        link = &z->right;
        while ((*link)->left) {
                way_push(w, link, false);
                link = &(*link)->left;
        }

        next = *link;
        *link = next->right;
        next->left = z->left;
        next->right = z->right;
        next->balance = z->balance;
        *w->links[at] = next;
        if (w->depth > at + 1)
                w->links[at + 1] = &next->right;
}

void children_remove(Znode *parent, Znode *z) {
        Znode **link = &parent->extra->children;
        size_t size = strlen(z->name);
        Way way = { .depth = 0 };

        while (*link != z) {
                int r;

                assert(*link);
                r = compare(z->name, size, *link);
                assert(r != 0);
                way_push(&way, link, r > 0);
                link = child_link(*link, r > 0);
        }

        way_cut(&way, link);
        z->left = z->right = NULL;
        parent->extra->children_count--;

        while (way.depth > 0) {
                Znode *up = *way.links[--way.depth];
                bool right = way.right[way.depth];
                int b = balance_get(up) - (right ? 1 : -1);

                if (b == 2 || b == -2) {
                        if (!rotate(way.links[way.depth], b == 2))
                                return;
                        continue;
                }
                balance_set(up, b);
                if (b != 0)
                        return;
        }
}

Znode *children_find(const Znode *parent, const char *name, size_t name_size) {
        Znode *z = parent->extra ? parent->extra->children : NULL;

        while (z) {
                int r = compare(name, name_size, z);

                if (r == 0)
                        return z;
                z = r > 0 ? z->right : z->left;
        }

        return NULL;
}

Znode *children_first(const Znode *parent) {
        Znode *z = parent->extra ? parent->extra->children : NULL;

        while (z && z->left)
                z = z->left;

        return z;
}

Znode *children_after(const Znode *parent, const char *name, size_t name_size) {
        Znode *z = parent->extra ? parent->extra->children : NULL, *found = NULL;

        while (z) {
                if (compare(name, name_size, z) < 0) {
                        found = z;
                        z = z->left;
                } else
                        z = z->right;
        }

        return found;
}

Znode *subtree_next(const Znode *top, const Znode *z, bool below) {
        if (below && znode_children_count(z) > 0)
                return children_first(z);

        for (; z != top; z = z->parent) {
                Znode *next = children_after(z->parent, z->name, strlen(z->name));

                if (next)
                        return next;
        }

        return NULL;
}

void children_cursor_init(ChildrenCursor *c, const Znode *parent, const char *name) {
        Znode *z = parent->extra ? parent->extra->children : NULL;
        size_t size = strlen(name);

        c->depth = 0;
        while (z) {
                if (compare(name, size, z) < 0) {
                        c->stack[c->depth++] = z;
                        z = z->left;
                } else
                        z = z->right;
        }
}

Znode *children_cursor_next(ChildrenCursor *c) {
        Znode *z;

        if (c->depth == 0)
                return NULL;

        z = c->stack[--c->depth];
        for (Znode *i = z->right; i; i = i->left)
                c->stack[c->depth++] = i;

        return z;
}

/* Returns the height. */
static unsigned check_subtree(const Znode *z, const Znode *parent, unsigned depth) {
        unsigned left, right;

        if (!z)
                return 0;

        assert(depth < CHILDREN_DEPTH_MAX);
        assert(z->parent == parent);
        assert(!z->left || strcmp(z->left->name, z->name) < 0);
        assert(!z->right || strcmp(z->right->name, z->name) > 0);
        left = check_subtree(z->left, parent, depth + 1);
        right = check_subtree(z->right, parent, depth + 1);
        assert((int) right - (int) left == balance_get(z));
        return (left > right ? left : right) + 1;
}

void children_check(const Znode *parent) {
        const Znode *before = NULL;
        ChildrenCursor c;
        uint32_t count = 0;

        if (!parent->extra)
                return;

        (void) check_subtree(parent->extra->children, parent, 0);
        children_cursor_init(&c, parent, "");
        for (const Znode *z; (z = children_cursor_next(&c)); before = z) {
                assert(!before || strcmp(before->name, z->name) < 0);
                count++;
        }
        assert(count == parent->extra->children_count);
}
