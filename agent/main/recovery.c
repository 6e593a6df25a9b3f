/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Recovery
 */

#include "agent/main/recovery.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <systemd/sd-id128.h>

#include "agent/base/messages.h"
#include "agent/main/agent.h"
#include "agent/main/journal.h"
#include "agent/net/key.h"
#include "agent/store/store.h"
#include "agent/tree/chunk.h"

/* More elections than can have gone by unseen: no zxid of the old ensemble is as high as the first of the new one. */
#define EPOCHS_SKIPPED 1000
#define CHUNK_ROWS 512

typedef struct Recovery {
        const Conf *conf;
        const char *host;               /* its name, if the ensemble knew none */

        Store *old, *new;
        Tree *tree;
        ZabConfig *config;              /* the last in the log: of the old ensemble */
        ZabPosition last;
        uint64_t known_committed;
        NetKey *key;
        ZabMeta meta;                   /* of the new store */

        bool installed;
        int error;
} Recovery;

static void recovery_done(Recovery *r) {
        r->new = store_close(r->new);
        r->old = store_close(r->old);
        tree_free(r->tree);
        zab_config_unref(r->config);
        net_key_unref(r->key);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Recovery, recovery_done)

static int fail(int exit_status, const char *format, ...) G_GNUC_PRINTF(2, 3);
static int fail(int exit_status, const char *format, ...) {
        g_autofree char *text = NULL;
        va_list ap;

        va_start(ap, format);
        text = g_strdup_vprintf(format, ap);
        va_end(ap);
        journal(LOG_CRIT, NULL, "%s; nothing was changed", text);
        return exit_status;
}

/*
 * The old store
 */

static int replay_entry(void *userdata, const ZabEntry *entry) {
        Recovery *r = userdata;
        gsize size;
        const uint8_t *payload = g_bytes_get_data(entry->payload, &size);
        Result result;

        if (entry->type == ZAB_ENTRY_REQUEST)
                tree_apply(r->tree, entry->zxid, entry->time_msec, payload, size, &result);
        else
                tree_skip(r->tree, entry->zxid);
        if (entry->type == ZAB_ENTRY_CONFIG) {
                ZabConfig *c = zab_config_decode(entry->payload, entry->zxid);

                if (!c)
                        return -EBADMSG;
                zab_config_unref(r->config);
                r->config = c;
        }
        r->last = (ZabPosition) { entry->index, entry->zxid, entry->chain };
        return 0;
}

static int load(Recovery *r) {
        g_autoptr(GBytes) config = NULL;
        int q;

        r->tree = tree_new_empty(NULL);
        q = store_load(r->old, r->tree, &r->last, &config);
        if (q == 0) {
                tree_free(r->tree);
                r->tree = tree_new(NULL);
        }
        if (q >= 0 && config) {
                r->config = zab_checkpoint_config_decode(config);
                q = r->config ? 0 : -EUCLEAN;
        }
        if (q >= 0)
                q = store_replay(r->old, replay_entry, r);
        if (q >= 0)
                return 0;

        return q == -EUCLEAN || q == -EBADMSG ?
                fail(AGENT_EXIT_DAMAGED, "The store is damaged, see --accept-loss in convened(8): %s",
                     store_get_report(r->old)->text ?: "a malformed configuration") :
                fail(AGENT_EXIT_IO, "Cannot read the store in %s: %s", r->conf->data, strerror(-q));
}

/* One that was never anything, or that nothing is amiss with, is not touched. */
static int check_old(const Recovery *r) {
        const ZabMeta *meta = &store_get_report(r->old)->meta;
        const ZabConfigMember *self;

        if (store_get_report(r->old)->state == STORE_BLANK)
                return fail(AGENT_EXIT_FAILURE, "There is no store in %s", r->conf->data);
        if (store_get_report(r->old)->state == STORE_DAMAGED)
                return fail(AGENT_EXIT_DAMAGED, "The store is damaged, see --accept-loss in convened(8): %s",
                            store_get_report(r->old)->text ?: "see the journal");
        if (meta->membership != ZAB_MEMBERSHIP_MEMBER)
                return fail(AGENT_EXIT_FAILURE, "This member was never brought up to date by its ensemble, or has lost something: what it "
                            "has is no state to go on from; recover on another one");
        if (!r->config)
                return 0;               /* not loaded yet */

        self = zab_config_find(r->config, meta->sid);
        if (self && self->role == ZAB_MEMBER_VOTER && zab_config_voters(r->config) == 1)
                return fail(AGENT_EXIT_FAILURE, "This member is the only voter of its ensemble: nobody is missing");
        return 0;
}

static int open_old(Recovery *r) {
        const StoreOptions options = { .directory = r->conf->data, .segment_bytes = r->conf->segment_bytes,
                                       .log_keep_bytes = r->conf->keep_log_bytes };
        const StoreListener nobody = { 0 };
        g_autofree char *error = NULL;
        int q;

        if (!g_file_test(r->conf->data, G_FILE_TEST_IS_DIR))
                return fail(AGENT_EXIT_FAILURE, "There is no store in %s", r->conf->data);
        q = store_open(&options, &nobody, &r->old, &error);
        if (q < 0)
                return fail(AGENT_EXIT_FAILURE, "%s", error ?: strerror(-q));
        q = check_old(r);
        if (q != 0)
                return q;
        q = load(r);
        if (q != 0)
                return q;
        if (!r->config)
                return fail(AGENT_EXIT_FAILURE, "The store in %s holds no ensemble yet", r->conf->data);
        r->known_committed = store_get_report(r->old)->meta.commit_floor;
        return check_old(r);
}

/*
 * The new one
 */

static GBytes *new_config(const Recovery *r) {
        const ZabConfigMember *old = zab_config_find(r->config, r->meta.sid);
        const ZabConfigMember self = {
                .sid = r->meta.sid,
                .disk_id = r->meta.disk_id,
                .role = ZAB_MEMBER_VOTER,
                .name = old ? old->name : r->host,
                .address = r->conf->advertise ?: r->conf->listen ?: old ? old->address : "",
                .pin = net_key_pin(r->key),
                .pin_size = NET_PIN_BYTES,
        };
        g_autoptr(GBytes) bytes = zab_config_encode_at(&self, 1, r->config->feature_level);
        g_auto(Writer) w = WRITER_INIT;

        writer_u64(&w, r->last.zxid);
        writer_bytes(&w, g_bytes_get_data(bytes, NULL), g_bytes_get_size(bytes));
        return writer_to_bytes(&w);
}

static void on_appended(void *userdata, uint64_t io_seq) {
        Recovery *r = userdata;

        r->installed = true;
}

static void on_snap_failed(void *userdata, uint64_t io_seq, int error) {
        Recovery *r = userdata;

        r->error = error;
}

static void on_failed(void *userdata, int error, const char *what) {
        Recovery *r = userdata;

        journal(LOG_CRIT, CONVENE_MESSAGE_IO_ERROR, "%s: %s", what, strerror(-error));
        r->error = error;
}

static void on_ignored(void *userdata, uint64_t io_seq) {
}

static void on_space(void *userdata, bool available) {
}

static bool random_id(Id128 *ret) {
        sd_id128_t id;

        if (sd_id128_randomize(&id) < 0)
                return false;
        memcpy(ret->bytes, id.bytes, sizeof(id.bytes));
        return true;
}

static bool make_meta(Recovery *r) {
        const ZabMeta *old = &store_get_report(r->old)->meta;
        uint32_t epoch = MAX(MAX(old->accepted_epoch, old->current_epoch), zxid_epoch(r->last.zxid));

        r->meta = (ZabMeta) { .sid = old->sid, .membership = ZAB_MEMBERSHIP_MEMBER };
        r->meta.accepted_epoch = r->meta.current_epoch = epoch + EPOCHS_SKIPPED;
        r->meta.commit_floor = r->last.index;
        r->key = net_key_new();
        return r->key && random_id(&r->meta.cluster_id) && random_id(&r->meta.disk_id);
}

static int create_new(Recovery *r, const char *directory) {
        const StoreOptions options = { .directory = directory, .segment_bytes = r->conf->segment_bytes,
                                       .log_keep_bytes = r->conf->keep_log_bytes };
        const StoreListener listener = { .appended = on_appended, .meta_written = on_ignored, .snap_failed = on_snap_failed,
                                         .space = on_space, .failed = on_failed, .userdata = r };
        g_autofree char *path = g_build_filename(directory, "key.pem", NULL), *error = NULL;
        ZabMeta unfinished = r->meta;
        ZabPosition none;
        int q;

        q = store_open(&options, &listener, &r->new, &error);
        if (q < 0)
                return fail(AGENT_EXIT_IO, "%s", error ?: strerror(-q));
        if (store_get_report(r->new)->state != STORE_BLANK)
                return fail(AGENT_EXIT_FAILURE, "There is a store in %s already", directory);

        /* One that is not finished takes no part in anything. */
        unfinished.membership = ZAB_MEMBERSHIP_JOINING;
        q = net_key_save(r->key, path);
        if (q >= 0)
                q = store_create(r->new, &unfinished);
        if (q >= 0)
                q = store_load(r->new, NULL, &none, NULL);
        if (q >= 0)
                q = store_replay(r->new, replay_entry, r);
        if (q >= 0)
                q = store_start(r->new);
        return q < 0 ? fail(AGENT_EXIT_IO, "Cannot make a store in %s: %s", directory, strerror(-q)) : 0;
}

static int install(Recovery *r, const char *directory) {
        g_autoptr(GBytes) config = new_config(r);
        struct pollfd p = { .fd = store_get_fd(r->new), .events = POLLIN };
        const TreeRow *rows;
        unsigned count;

        store_snap_begin(r->new, &r->last, config);
        tree_checkpoint_begin(r->tree, true);
        while (tree_checkpoint_next(r->tree, CHUNK_ROWS, &rows, &count)) {
                g_auto(Writer) w = WRITER_INIT;
                g_autoptr(GBytes) chunk = NULL;

                tree_chunk_encode(rows, count, &w);
                chunk = writer_to_bytes(&w);
                store_snap_chunk(r->new, chunk);
        }
        store_snap_install(r->new, 1, &r->meta, tree_digest(r->tree));

        while (!r->installed && r->error == 0) {
                if (poll(&p, 1, -1) < 0 && errno != EINTR)
                        r->error = -errno;
                store_dispatch(r->new);
        }
        return r->error < 0 ? fail(AGENT_EXIT_IO, "Cannot write the new store in %s: %s", directory, strerror(-r->error)) : 0;
}

/*
 * What is said
 */

static char *describe(const Recovery *r) {
        g_autoptr(GString) s = g_string_new(NULL), others = g_string_new(NULL);
        g_autoptr(GDateTime) now = g_date_time_new_now_utc();
        g_autofree char *when = g_date_time_format(now, "%Y-%m-%d %H:%M:%S UTC");
        sd_id128_t old, new;

        memcpy(&old, &store_get_report(r->old)->meta.cluster_id, sizeof(old));
        memcpy(&new, &r->meta.cluster_id, sizeof(new));
        for (unsigned i = 0; i < r->config->members_count; i++) {
                const ZabConfigMember *m = &r->config->members[i];

                if (m->sid != r->meta.sid)
                        g_string_append_printf(others, "%s%s (%s %u)", others->len > 0 ? ", " : "", m->name,
                                               m->role == ZAB_MEMBER_VOTER ? "voter" : "observer", m->sid);
        }

        g_string_append_printf(s, "Made ensemble " SD_ID128_FORMAT_STR " of this member alone out of ensemble " SD_ID128_FORMAT_STR
                               ", %s\n", SD_ID128_FORMAT_VAL(new), SD_ID128_FORMAT_VAL(old), when);
        g_string_append_printf(s, "Members dropped: %s\n", others->str);
        g_string_append_printf(s, "It goes on after zxid " ZXID_FORMAT " (index %" PRIu64 "); what was acknowledged after that is lost\n",
                               r->last.zxid, r->last.index);
        if (r->known_committed < r->last.index)
                g_string_append_printf(s, "Entries %" PRIu64 " to %" PRIu64 " are kept, though it is not known here whether they were ever "
                                       "acknowledged\n", r->known_committed + 1, r->last.index);
        return g_string_free(g_steal_pointer(&s), FALSE);
}

int recovery_run(const Conf *conf, const char *host, const char *directory) {
        g_auto(Recovery) r = { .conf = conf, .host = host };
        g_autofree char *record = g_build_filename(directory, RECOVERY_RECORD, NULL), *text = NULL;
        g_autoptr(GError) error = NULL;
        int q;

        q = open_old(&r);
        if (q != 0)
                return q;
        if (!make_meta(&r))
                return fail(AGENT_EXIT_FAILURE, "The system gives no random numbers");
        q = create_new(&r, directory);
        if (q == 0)
                q = install(&r, directory);
        if (q != 0)
                return q;

        text = describe(&r);
        if (!g_file_set_contents_full(record, text, -1, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600, &error))
                return fail(AGENT_EXIT_IO, "%s", error->message);
        fputs(text, stdout);
        return AGENT_EXIT_OK;
}

void recovery_tell(const char *data) {
        g_autofree char *path = g_build_filename(data, RECOVERY_RECORD, NULL), *told = g_strconcat(path, ".told", NULL);
        g_autofree char *text = NULL;
        g_auto(GStrv) lines = NULL;

        if (!g_file_get_contents(path, &text, NULL, NULL))
                return;

        lines = g_strsplit(g_strchomp(text), "\n", -1);
        for (char **l = lines; *l; l++)
                journal(LOG_WARNING, CONVENE_MESSAGE_RECOVERED, "%s", *l);
        (void) rename(path, told);
}
