/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Zab: with one voter, what may happen before what is durable (protocol 2.14), as a trace of effects.  Nobody is connected,
 * so the effects of the mesh and of followers are never called: they are NULL
 */

#include <errno.h>
#include <string.h>

#include <glib.h>

#include "agent/zab/zab.h"

typedef struct Harness {
        Zab *zab;
        GString *trace;
        uint64_t append_seq, meta_seq;
        ZabMeta meta;
        GArray *log;                    /* ZabEntry, payloads owned */
} Harness;

static void on_append(void *userdata, uint64_t io_seq, const ZabEntry *e, unsigned count) {
        Harness *h = userdata;
        ZabEntry copy = *e;

        g_assert_cmpuint(count, ==, 1);
        g_assert_cmpuint(io_seq, >, MAX(h->append_seq, h->meta_seq));
        h->append_seq = io_seq;
        copy.payload = g_bytes_ref(e->payload);
        g_array_append_val(h->log, copy);
        g_string_append_printf(h->trace, "append %" PRIu64 ":%u.%u ", e->index, zxid_epoch(e->zxid), zxid_counter(e->zxid));
}

static void on_write_meta(void *userdata, uint64_t io_seq, const ZabMeta *meta) {
        Harness *h = userdata;

        g_assert_cmpuint(io_seq, >, MAX(h->append_seq, h->meta_seq));
        h->meta_seq = io_seq;
        h->meta = *meta;
        g_string_append_printf(h->trace, "meta %u/%u ", meta->accepted_epoch, meta->current_epoch);
}

static void on_apply(void *userdata, const ZabEntry *e) {
        g_string_append_printf(((Harness *) userdata)->trace, "apply %" PRIu64 " ", e->index);
}

static void on_read_ready(void *userdata, uint64_t read_id, uint64_t index) {
        g_string_append_printf(((Harness *) userdata)->trace, "read %" PRIu64 "@%" PRIu64 " ", read_id, index);
}

static void on_role(void *userdata, ZabRole role, uint32_t epoch, const char *reason) {
        static const char *const names[] = { "stopped", "looking", "pre", "cand", "sync", "lead" };

        g_assert_nonnull(reason);
        g_string_append_printf(((Harness *) userdata)->trace, "%s(%u) ", names[role], epoch);
}

static void on_config(void *userdata) {
}

static const ZabEffects effects = {
        .append = on_append,
        .write_meta = on_write_meta,
        .apply = on_apply,
        .read_ready = on_read_ready,
        .role_changed = on_role,
        .config_changed = on_config,
};

static void harness_init(Harness *h) {
        ZabOptions o = { .sid = 1, .name = "h1", .prng_seed = 7 };
        ZabEffects e = effects;

        *h = (Harness) { .trace = g_string_new(NULL), .log = g_array_new(FALSE, FALSE, sizeof(ZabEntry)) };
        memset(&o.cluster_id, 0xc1, sizeof(o.cluster_id));
        memset(&o.disk_id, 0xd1, sizeof(o.disk_id));
        e.userdata = h;
        h->zab = zab_new(&o, &e);
        h->meta.membership = ZAB_MEMBERSHIP_MEMBER;
        h->meta.sid = 1;
}

static void harness_done(Harness *h) {
        zab_free(h->zab);
        for (guint i = 0; i < h->log->len; i++)
                g_bytes_unref(g_array_index(h->log, ZabEntry, i).payload);
        g_array_unref(h->log);
        g_string_free(h->trace, TRUE);
}

static void expect(Harness *h, const char *trace) {
        g_assert_cmpstr(h->trace->str, ==, trace);
        g_string_truncate(h->trace, 0);
}

static int step(Harness *h, ZabInput in) {
        return zab_step(h->zab, &in, NULL);
}

static void log_durable(Harness *h) {
        g_assert_cmpint(step(h, (ZabInput) { .type = ZAB_INPUT_LOG_DURABLE, .io_seq = h->append_seq }), ==, 0);
}

static void meta_durable(Harness *h) {
        g_assert_cmpint(step(h, (ZabInput) { .type = ZAB_INPUT_META_DURABLE, .io_seq = h->meta_seq }), ==, 0);
}

static int propose(Harness *h, const char *text) {
        g_autoptr(GBytes) b = g_bytes_new(text, strlen(text));

        return step(h, (ZabInput) { .type = ZAB_INPUT_PROPOSE, .entry_type = ZAB_ENTRY_REQUEST, .payload = b });
}

static void lead(Harness *h) {
        zab_start(h->zab, &h->meta, 0);
        meta_durable(h);
        if (h->append_seq)
                log_durable(h);
        meta_durable(h);
        g_assert_cmpint(zab_role(h->zab), ==, ZAB_ROLE_LEADER);
        meta_durable(h);                /* that the configuration is committed */
        g_string_truncate(h->trace, 0);
}

static void test_founding(void) {
        Harness h;

        harness_init(&h);
        zab_start(h.zab, &h.meta, 0);
        expect(&h, "looking(0) append 1:0.1 pre(0) cand(1) meta 1/0 ");
        g_assert_cmpint(propose(&h, "x"), ==, -EAGAIN);
        meta_durable(&h);
        expect(&h, "sync(1) ");         /* the epoch is not adopted before the history is durable */
        g_assert_cmpint(propose(&h, "x"), ==, -EAGAIN);
        log_durable(&h);
        expect(&h, "meta 1/1 ");
        g_assert_null(zab_config(h.zab));
        meta_durable(&h);
        expect(&h, "lead(1) apply 1 meta 1/1 ");
        g_assert_nonnull(zab_config(h.zab));
        g_assert_cmpuint(zab_leader(h.zab), ==, 1);
        harness_done(&h);
}

/* The log may be durable before the promise is: then adopting follows the vote at once. */
static void test_founding_other_order(void) {
        Harness h;

        harness_init(&h);
        zab_start(h.zab, &h.meta, 0);
        log_durable(&h);
        expect(&h, "looking(0) append 1:0.1 pre(0) cand(1) meta 1/0 ");
        meta_durable(&h);
        expect(&h, "sync(1) meta 1/1 ");
        meta_durable(&h);
        expect(&h, "lead(1) apply 1 meta 1/1 ");
        harness_done(&h);
}

static void test_commit_needs_durable(void) {
        Harness h;
        uint64_t first;

        harness_init(&h);
        lead(&h);
        g_assert_cmpint(propose(&h, "a"), ==, 0);
        first = h.append_seq;
        g_assert_cmpint(propose(&h, "b"), ==, 0);
        g_assert_cmpint(propose(&h, "c"), ==, 0);
        expect(&h, "append 2:1.1 append 3:1.2 append 4:1.3 ");
        step(&h, (ZabInput) { .type = ZAB_INPUT_LOG_DURABLE, .io_seq = first });
        expect(&h, "apply 2 ");
        step(&h, (ZabInput) { .type = ZAB_INPUT_LOG_DURABLE, .io_seq = first });
        expect(&h, "");
        log_durable(&h);
        expect(&h, "apply 3 apply 4 ");
        g_assert_cmpuint(zab_commit(h.zab), ==, 4);
        harness_done(&h);
}

static void test_read_index(void) {
        Harness h;

        harness_init(&h);
        g_assert_cmpint(step(&h, (ZabInput) { .type = ZAB_INPUT_READ_INDEX, .read_id = 1 }), ==, -EAGAIN);
        lead(&h);
        propose(&h, "a");
        step(&h, (ZabInput) { .type = ZAB_INPUT_READ_INDEX, .read_id = 2 });
        expect(&h, "append 2:1.1 read 2@1 ");
        log_durable(&h);
        step(&h, (ZabInput) { .type = ZAB_INPUT_READ_INDEX, .read_id = 3 });
        expect(&h, "apply 2 read 3@2 ");
        harness_done(&h);
}

/* 2.13.6: no read before META knows that the configuration is committed. */
static void test_read_unsettled(void) {
        Harness h;

        harness_init(&h);
        zab_start(h.zab, &h.meta, 0);
        meta_durable(&h);
        log_durable(&h);
        meta_durable(&h);
        expect(&h, "looking(0) append 1:0.1 pre(0) cand(1) meta 1/0 sync(1) meta 1/1 lead(1) apply 1 meta 1/1 ");
        step(&h, (ZabInput) { .type = ZAB_INPUT_READ_INDEX, .read_id = 1 });
        step(&h, (ZabInput) { .type = ZAB_INPUT_READ_INDEX, .read_id = 2 });
        expect(&h, "");
        meta_durable(&h);
        expect(&h, "read 1@1 read 2@1 ");
        harness_done(&h);
}

/* After a restart the log is there, but nothing of it is committed before the member leads again, in a new epoch. */
static void test_restart(void) {
        Harness h, again;

        harness_init(&h);
        lead(&h);
        propose(&h, "a");
        propose(&h, "b");

        harness_init(&again);
        for (guint i = 0; i < h.log->len; i++)
                g_assert_cmpint(zab_restore_entry(again.zab, &g_array_index(h.log, ZabEntry, i)), ==, 0);
        again.meta = h.meta;
        zab_start(again.zab, &again.meta, 0);
        expect(&again, "looking(1) pre(1) cand(2) meta 2/1 apply 1 ");        /* META says that it is committed */
        g_assert_cmpuint(again.meta.durable_floor, ==, 3);
        meta_durable(&again);
        expect(&again, "sync(2) meta 2/2 ");
        meta_durable(&again);
        expect(&again, "lead(2) apply 2 apply 3 ");
        propose(&again, "c");
        expect(&again, "append 4:2.1 ");
        harness_done(&again);
        harness_done(&h);
}

static void test_restart_from_checkpoint(void) {
        Harness h, again;
        ZabPosition position;
        g_autoptr(GBytes) config = NULL, bad = g_bytes_new_static("\1\2\3", 3);

        harness_init(&h);
        lead(&h);
        propose(&h, "a");
        log_durable(&h);
        position = *zab_applied(h.zab);
        config = zab_checkpoint_config(h.zab);
        propose(&h, "b");

        harness_init(&again);
        g_assert_cmpint(zab_restore_checkpoint(again.zab, &position, bad), ==, -EBADMSG);
        g_assert_cmpint(zab_restore_checkpoint(again.zab, &position, config), ==, 0);
        g_assert_cmpuint(zab_config(again.zab)->version, ==, zxid_make(0, 1));
        g_assert_cmpint(zab_restore_entry(again.zab, &g_array_index(h.log, ZabEntry, 1)), ==, -EBADMSG);
        g_assert_cmpint(zab_restore_entry(again.zab, &g_array_index(h.log, ZabEntry, 2)), ==, 0);
        again.meta = h.meta;
        lead(&again);
        g_assert_cmpuint(zab_applied(again.zab)->index, ==, 3);
        g_assert_true(hash128_equal(zab_last(again.zab)->chain, zab_last(h.zab)->chain));
        harness_done(&again);
        harness_done(&h);
}

static void test_restore_refuses(void) {
        Harness h, again;

        harness_init(&h);
        lead(&h);
        propose(&h, "a");
        harness_init(&again);
        g_assert_cmpint(zab_restore_entry(again.zab, &g_array_index(h.log, ZabEntry, 1)), ==, -EBADMSG);        /* a gap */
        for (unsigned field = 0; field < 4; field++) {
                ZabEntry e = g_array_index(h.log, ZabEntry, 0);

                if (field == 0)
                        e.chain.low ^= 1;
                else if (field == 1)
                        e.time_msec ^= 1;
                else if (field == 2)
                        e.prev_zxid ^= 1;
                else
                        e.zxid = 0;
                g_assert_cmpint(zab_restore_entry(again.zab, &e), ==, -EBADMSG);
        }
        g_assert_cmpint(zab_restore_entry(again.zab, &g_array_index(h.log, ZabEntry, 0)), ==, 0);
        harness_done(&again);
        harness_done(&h);
}

/* 2.12: neither a damaged member nor another disk campaigns, however long nobody leads. */
static void test_who_may_not_campaign(void) {
        for (unsigned which = 0; which < 2; which++) {
                Harness h, again;
                ZabOptions o = { .sid = 1, .name = "h1" };
                ZabEffects e = effects;

                harness_init(&h);
                lead(&h);
                harness_init(&again);
                zab_free(again.zab);
                memset(&o.cluster_id, 0xc1, sizeof(o.cluster_id));
                memset(&o.disk_id, which == 0 ? 0xd2 : 0xd1, sizeof(o.disk_id));
                e.userdata = &again;
                again.zab = zab_new(&o, &e);
                g_assert_cmpint(zab_restore_entry(again.zab, &g_array_index(h.log, ZabEntry, 0)), ==, 0);
                again.meta = h.meta;
                if (which == 1)
                        again.meta.membership = ZAB_MEMBERSHIP_DAMAGED;
                zab_start(again.zab, &again.meta, 0);
                for (uint64_t t = 0; t < 100; t++)
                        step(&again, (ZabInput) { .type = ZAB_INPUT_TICK, .now_usec = t * 1000000 });
                expect(&again, "looking(1) apply 1 ");
                harness_done(&again);
                harness_done(&h);
        }
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/zab/founding", test_founding);
        g_test_add_func("/zab/founding-other-order", test_founding_other_order);
        g_test_add_func("/zab/commit-needs-durable", test_commit_needs_durable);
        g_test_add_func("/zab/read-index", test_read_index);
        g_test_add_func("/zab/read-unsettled", test_read_unsettled);
        g_test_add_func("/zab/restart", test_restart);
        g_test_add_func("/zab/restart-from-checkpoint", test_restart_from_checkpoint);
        g_test_add_func("/zab/restore-refuses", test_restore_refuses);
        g_test_add_func("/zab/who-may-not-campaign", test_who_may_not_campaign);
        return g_test_run();
}
