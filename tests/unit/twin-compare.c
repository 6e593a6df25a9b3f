/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A tree and its twin: what can be seen of both
 */

#include "tests/unit/twin-run.h"

#include <stdio.h>
#include <stdlib.h>

#include "tests/unit/twin-describe.h"

uint64_t *coverage_at(Coverage *c, RequestOp op, ConveneStatus status) {
        unsigned index = status > -128 ? -status : status <= -1000 && status > -1032 ? -status - 1000 + 128 : 159;

        return &c->counts[op & 63][index];
}

static void print_lines(const char *title, const char *text) {
        g_autofree char *escaped = g_strescape(text, "\n\"");

        g_printerr("%s: %s\n", title, escaped);
}

G_NORETURN void difference(const Run *run, const char *what, const char *of_tree, const char *of_twin) {
        g_printerr("twin: difference: %s\n", what);
        g_printerr("seed %" PRIu64 " (profile %s), operation %u, zxid " ZXID_FORMAT ", time %" PRId64 "\n", run->seed,
                   profile_to_string(run->generator.profile), run->operation, run->zxid, run->time_msec);
        g_printerr("again with: TWIN_SEED=%" PRIu64 " TWIN_OPERATIONS=%u\n", run->seed, run->operations);
        print_lines("request", run->what->str);
        print_lines("tree", of_tree);
        print_lines("twin", of_twin);
        abort();
}

static void compare_text(const Run *run, const char *what, const GString *of_tree, const GString *of_twin) {
        if (!g_string_equal(of_tree, of_twin))
                difference(run, what, of_tree->str, of_twin->str);
}

void compare_number(const Run *run, const char *what, uint64_t of_tree, uint64_t of_twin) {
        g_autofree char *a = NULL, *b = NULL;

        if (of_tree == of_twin)
                return;

        a = g_strdup_printf("%" PRIu64 " (0x%" PRIx64 ")", of_tree, of_tree);
        b = g_strdup_printf("%" PRIu64 " (0x%" PRIx64 ")", of_twin, of_twin);
        difference(run, what, a, b);
}

static void compare_lines(const Run *run, const char *what, GPtrArray *of_tree, GPtrArray *of_twin) {
        g_autoptr(GString) a = g_string_new(NULL), b = g_string_new(NULL);
        bool equal = of_tree->len == of_twin->len;

        for (unsigned i = 0; equal && i < of_tree->len; i++)
                equal = g_str_equal(of_tree->pdata[i], of_twin->pdata[i]);
        if (equal)
                return;

        for (unsigned i = 0; i < of_tree->len; i++)
                g_string_append_printf(a, "\n    %s", (char *) of_tree->pdata[i]);
        for (unsigned i = 0; i < of_twin->len; i++)
                g_string_append_printf(b, "\n    %s", (char *) of_twin->pdata[i]);
        difference(run, what, a->str, b->str);
}

/* What the tree and the watch table say */

static char *event_to_text(uint64_t watcher, WatchEventType type, const char *path, Zxid zxid, AclEntries acl,
                           bool spent) {
        GString *s = g_string_new(NULL);

        describe_event(s, watcher, type, path, zxid, acl, spent);
        return g_string_free(s, false);
}

void run_on_event(void *userdata, uint64_t watcher, WatchEventType type, const char *path, Zxid zxid, Acl *acl,
                  bool spent) {
        Run *run = userdata;

        if (run->mutation == MUTATION_EVENT_LOST && type == WATCH_EVENT_DATA_CHANGED)
                return;
        g_ptr_array_add(run->events, event_to_text(watcher, type, path, zxid, acl_entries(acl), spent));
}

static char *change_to_text(ChangeKind kind, Zxid zxid, const char *path, bool soft_quota, const AclEntries *acl,
                            const AclEntries *parent_acl) {
        GString *s = g_string_new(NULL);

        describe_change(s, kind, zxid, path, soft_quota, acl, parent_acl);
        return g_string_free(s, false);
}

static void on_changed(void *userdata, const TreeChange *c) {
        Run *run = userdata;
        AclEntries acl = c->acl ? acl_entries(c->acl) : (AclEntries) { 0 };
        AclEntries parent_acl = c->parent_acl ? acl_entries(c->parent_acl) : (AclEntries) { 0 };

        change_history_add(run->history, c);
        watch_table_fire(run->watches, c, run_on_event, run);
        if (run->mutation == MUTATION_CHANGE_LOST && c->kind == CHANGE_CREATED && !c->soft_quota)
                return;
        g_ptr_array_add(run->changes, change_to_text(c->kind, c->zxid, c->path, c->soft_quota, c->acl ? &acl : NULL,
                                                     c->parent_acl ? &parent_acl : NULL));
}

static void on_session_ended(void *userdata, uint64_t session, bool expired) {
        Run *run = userdata;

        g_ptr_array_add(run->session_events,
                        g_strdup_printf("ended " ZXID_FORMAT "%s", session, expired ? " expired" : ""));
}

static void on_session_moved(void *userdata, uint64_t session, uint64_t generation) {
        Run *run = userdata;

        g_ptr_array_add(run->session_events, g_strdup_printf("moved " ZXID_FORMAT " %" PRIu64, session, generation));
}

TreeListener run_listener(Run *run) {
        return (TreeListener) { on_changed, on_session_ended, on_session_moved, run };
}

static void swap_first(GPtrArray *lines) {
        if (lines->len >= 2) {
                gpointer first = lines->pdata[0];

                lines->pdata[0] = lines->pdata[1];
                lines->pdata[1] = first;
        }
}

/* ... and what the twin says */

static AclEntries list_to_entries(const TwinList *l) {
        return (AclEntries) { l->items, l->count };
}

static GPtrArray *twin_changes_to_lines(Run *run) {
        GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);

        for (unsigned i = 0; i < run->twin->changes->len; i++) {
                TwinChange *c = run->twin->changes->pdata[i];
                AclEntries acl = c->acl ? list_to_entries(c->acl) : (AclEntries) { 0 };
                AclEntries parent_acl = c->parent_acl ? list_to_entries(c->parent_acl) : (AclEntries) { 0 };

                g_ptr_array_add(lines, change_to_text(c->kind, c->zxid, c->path, c->soft_quota, c->acl ? &acl : NULL,
                                                      c->parent_acl ? &parent_acl : NULL));
        }
        return lines;
}

static GPtrArray *twin_events_to_lines(GPtrArray *events) {
        GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);

        for (unsigned i = 0; i < events->len; i++) {
                TwinEvent *e = events->pdata[i];

                g_ptr_array_add(lines, event_to_text(e->watcher, e->type, e->path, e->zxid, list_to_entries(e->acl),
                                                     e->spent));
        }
        return lines;
}

static GPtrArray *twin_session_events_to_lines(Run *run) {
        GPtrArray *lines = g_ptr_array_new_with_free_func(g_free);

        for (unsigned i = 0; i < run->twin->session_events->len; i++) {
                TwinSessionEvent *e = &g_array_index(run->twin->session_events, TwinSessionEvent, i);

                g_ptr_array_add(lines, e->ended ?
                                g_strdup_printf("ended " ZXID_FORMAT "%s", e->session, e->expired ? " expired" : "") :
                                g_strdup_printf("moved " ZXID_FORMAT " %" PRIu64, e->session, e->generation));
        }
        return lines;
}

void compare_changes(Run *run) {
        g_autoptr(GPtrArray) changes = twin_changes_to_lines(run);
        g_autoptr(GPtrArray) session_events = twin_session_events_to_lines(run);
        g_autoptr(GPtrArray) fired = twin_events_new();
        g_autoptr(GPtrArray) events = NULL;

        if (run->mutation == MUTATION_CHANGES_SWAPPED)
                swap_first(run->changes);
        if (run->mutation == MUTATION_EVENTS_SWAPPED)
                swap_first(run->events);

        for (unsigned i = 0; i < run->twin->changes->len; i++) {
                TwinChange *c = run->twin->changes->pdata[i];

                run->coverage->soft_quotas += c->soft_quota;
                twin_watches_fire(run->twin_watches, c, fired);
                g_ptr_array_add(run->history_changes, twin_change_copy(c));
        }
        events = twin_events_to_lines(fired);
        run->coverage->events += events->len;

        compare_lines(run, "changes", run->changes, changes);
        compare_lines(run, "session events", run->session_events, session_events);
        compare_lines(run, "watch events", run->events, events);
        g_ptr_array_set_size(run->changes, 0);
        g_ptr_array_set_size(run->session_events, 0);
        g_ptr_array_set_size(run->events, 0);
}

static void cover(Run *run, const Result *r) {
        ++*coverage_at(run->coverage, r->op, r->status);
        for (unsigned i = 0; i < r->results_count; i++)
                ++*coverage_at(run->coverage, r->results[i].op, r->results[i].status);
}

void compare_result(Run *run, const Result *of_tree, const Result *of_twin) {
        g_autoptr(GString) a = g_string_sized_new(500), b = g_string_sized_new(500);

        describe_result(a, of_tree);
        describe_result(b, of_twin);
        compare_text(run, "answer", a, b);
        cover(run, of_twin);
}

void compare_replay(Run *run, GPtrArray *of_twin) {
        g_autoptr(GPtrArray) lines = twin_events_to_lines(of_twin);

        compare_lines(run, "replayed events", run->events, lines);
        g_ptr_array_set_size(run->events, 0);
}

static void compare_watch_counts(Run *run) {
        g_autoptr(GHashTable) paths = g_hash_table_new(g_str_hash, g_str_equal);
        unsigned watchers = 0;

        for (uint64_t watcher = 1; watcher <= RUN_WATCHERS; watcher++) {
                bool any = false;

                for (unsigned i = 0; i < run->twin_watches->len; i++) {
                        TwinWatch *w = run->twin_watches->pdata[i];

                        any = any || w->watcher == watcher;
                        g_hash_table_add(paths, w->path);
                }
                watchers += any;
        }
        compare_number(run, "watch_table_count()", watch_table_count(run->watches), run->twin_watches->len);
        compare_number(run, "watch_table_watchers_count()", watch_table_watchers_count(run->watches), watchers);
        compare_number(run, "watch_table_paths_count()", watch_table_paths_count(run->watches),
                       g_hash_table_size(paths));
}

static void compare_session(const SessionInfo *info, void *userdata) {
        Run *run = userdata;
        TwinSession *s = twin_find_session(run->twin, info->id);
        g_autoptr(GString) a = g_string_new(NULL), b = g_string_new(NULL);
        SessionInfo of_twin, again;

        if (!s)
                difference(run, "tree_foreach_session()", "a session that should not be", "none");
        twin_session_info(run->twin, s, &of_twin);
        describe_session(a, info);
        describe_session(b, &of_twin);
        compare_text(run, "session", a, b);
        compare_number(run, "tree_session_cxid()", tree_session_cxid(run->tree, info->id), s->cxid);
        compare_number(run, "tree_get_session()", tree_get_session(run->tree, info->id, &again), true);
}

/* Ten digits follow a sequential znode's path; ".." before them the header leaves open. */
static void compare_path_rules(Run *run) {
        const char *path = generator_path(&run->generator);
        g_autofree char *numbered = g_strconcat(path, "0000000000", NULL);

        g_string_append_printf(run->what, "\npath: %s", path);
        compare_number(run, "path_validate()", path_validate(path, false), twin_validate_path(path));
        if (!g_str_has_suffix(path, "/.."))
                compare_number(run, "path_validate(), sequential", path_validate(path, true),
                               twin_validate_path(numbered));
}

static void compare_lookup(Run *run) {
        const char *path = generator_path(&run->generator);
        const TwinZnode *z = twin_find(run->twin, path);
        Acl *acl = tree_get_acl(run->tree, path);
        g_autoptr(GString) a = g_string_new(NULL), b = g_string_new(NULL);
        Zxid mzxid = 0, pzxid = 0;

        if (path[0] != '/' || (path[1] != 0 && g_str_has_suffix(path, "/")))
                return;
        g_string_append_printf(run->what, "\nlookup: %s", path);
        compare_number(run, "tree_lookup()", tree_lookup(run->tree, path, &mzxid, &pzxid), z != NULL);
        compare_number(run, "mzxid of tree_lookup()", mzxid, z ? z->mzxid : 0);
        compare_number(run, "pzxid of tree_lookup()", pzxid, z ? z->pzxid : 0);
        describe_acl(a, acl ? acl_entries(acl) : (AclEntries) { 0 });
        describe_acl(b, z ? list_to_entries(z->acl) : (AclEntries) { 0 });
        compare_text(run, "tree_get_acl()", a, b);
}

void compare_whole(Run *run) {
        Hash128 of_tree = tree_digest(run->tree), of_twin = twin_digest(run->twin);
        uint64_t sessions;

        compare_number(run, "tree_znodes_count()", tree_znodes_count(run->tree), run->twin->znodes->len);
        compare_number(run, "tree_data_bytes()", tree_data_bytes(run->tree), twin_data_bytes(run->twin));
        compare_number(run, "tree_ephemerals_count()", tree_ephemerals_count(run->tree),
                       twin_ephemerals_count(run->twin, 0));
        sessions = tree_sessions_count(run->tree);
        compare_number(run, "tree_sessions_count()", sessions, run->twin->sessions->len);
        tree_foreach_session(run->tree, compare_session, run);
        compare_lookup(run);
        compare_path_rules(run);
        compare_watch_counts(run);
        compare_number(run, "tree_digest(), low", of_tree.low, of_twin.low);
        compare_number(run, "tree_digest(), high", of_tree.high, of_twin.high);
}

