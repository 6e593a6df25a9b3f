/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Store
 *
 * Its life: what is found at start and what is made of it.  After store_start() everything is the threads'.
 */

#include "agent/store/store.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "agent/store/checkpoint-thread.h"
#include "agent/store/format/record.h"
#include "agent/store/reader-thread.h"
#include "agent/store/writer.h"
#include "agent/zab/zab.h"

#define SEGMENT_BYTES_DEFAULT (UINT64_C(64) << 20)
#define SEGMENT_BYTES_MIN ((UINT64_C(4) << 20) + SEGMENT_HEADER_BYTES + RECORD_BYTES_MAX)
#define LOG_KEEP_BYTES_DEFAULT (UINT64_C(64) << 20)

struct Store {
        StoreListener listener;
        uint64_t log_keep_bytes;
        Directory directory;
        MetaFile meta;
        Log log;
        StoreReport report;
        bool has_meta;                  /* readable */
        bool loaded, replayed;
        Outbox outbox;
        Environments environments;
        WriterThread *writer;           /* these three: NULL until store_start() */
        CheckpointThread *checkpoint;
        ReaderThread *reader;
};

/*
 * Texts
 */

static char *describe_failure(const Store *s, int error) {
        return g_strdup_printf("%s/%s: %s", s->directory.path, s->directory.what, g_strerror(-error));
}

static int report_damage(Store *s, char *text) {
        s->report.state = STORE_DAMAGED;
        g_free(s->report.text);
        s->report.text = text;
        return -EUCLEAN;
}

#define DAMAGE_ADVICE "repair this member from the others, restore a backup, or start once with --accept-loss"

static int report_log_damage(Store *s, const RecoverResult *found) {
        const LogSegment *segment;
        char name[LOG_NAME_BYTES] = "";

        if (found->segment < s->log.segments->len) {
                segment = &g_array_index(s->log.segments, LogSegment, found->segment);
                log_segment_name(segment->first_index, name);
        }
        return report_damage(s, g_strdup_printf("%s/log/%s, offset %" PRIu64 ": %s; entries from %" PRIu64
                                                " on may be lost: " DAMAGE_ADVICE,
                                                s->directory.path, name, found->offset, found->why,
                                                found->lost_index));
}

static int report_checkpoint_damage(Store *s, uint64_t generation, const char *why) {
        return report_damage(s, g_strdup_printf("%s/checkpoint.%" PRIu64 "/data.mdb: %s: " DAMAGE_ADVICE,
                                                s->directory.path, generation, why));
}

/*
 * Opening
 */

static bool has_generation(Store *s) {
        g_auto(GStrv) names = NULL;

        if (directory_list(&s->directory, s->directory.fd, &names) < 0)
                return false;
        for (char **name = names; *name; name++)
                if (checkpoint_parse_name(*name) > 0)
                        return true;
        return false;
}

static void take_meta(Store *s) {
        s->report.meta = s->meta.record.meta;
        s->log.cluster_id = s->report.meta.cluster_id;
        s->log.disk_id = s->report.meta.disk_id;
        s->has_meta = true;
}

static int open_meta(Store *s) {
        int r;

        r = meta_file_open(&s->meta);
        s->report.meta_slots_bad = s->meta.bad;
        if (r == -EUCLEAN) {
                report_damage(s, g_strdup_printf("%s/meta: both copies of this member's promises are damaged: "
                                                 "restore a backup, or remove the directory and join anew",
                                                 s->directory.path));
                return 0;
        }
        if (r < 0)
                return r;
        if (r == 0) {
                if (s->log.segments->len > 0 || has_generation(s))
                        report_damage(s, g_strdup_printf("%s/meta: missing, though there is a log or a checkpoint: "
                                                         "restore a backup, or remove the directory and join anew",
                                                         s->directory.path));
                return 0;
        }

        take_meta(s);
        s->report.state = STORE_MEMBER;
        return 0;                       /* 2.12: also one that is marked as damaged: it has no vote until others have mended it */
}

static int open_all(Store *s, const StoreOptions *options, const StoreIo *io) {
        int r;

        r = directory_open(&s->directory, options->directory, io, options->no_sync);
        if (r < 0)
                return r;
        r = log_list(&s->log);
        if (r < 0)
                return r;
        r = open_meta(s);
        if (r < 0)
                return r;

        /* A log began anew and its first segment is not yet known: whatever there is was to go.  With a slot lost this may be
         * what an older slot says; then nothing is concluded from it. */
        if (s->has_meta && s->meta.record.newest_segment == 0 && s->meta.bad == 0)
                r = log_remove_from(&s->log, 0);
        return r;
}

int store_open_with_io(const StoreOptions *options, const StoreListener *listener, const StoreIo *io, Store **ret,
                       char **ret_error) {
        uint64_t segment_bytes = options->segment_bytes > 0 ? options->segment_bytes : SEGMENT_BYTES_DEFAULT;
        uint64_t segment_bytes_min = io->segment_bytes_min > 0 ? io->segment_bytes_min : SEGMENT_BYTES_MIN;
        Store *s;
        int r;

        if (segment_bytes < segment_bytes_min) {
                *ret_error = g_strdup_printf("Log segments of %" PRIu64 " bytes are too small, at least %" PRIu64
                                             " are needed", segment_bytes, segment_bytes_min);
                return -EINVAL;
        }

        s = g_new0(Store, 1);
        s->listener = *listener;
        s->log_keep_bytes = options->log_keep_bytes > 0 ? options->log_keep_bytes : LOG_KEEP_BYTES_DEFAULT;
        s->directory = DIRECTORY_INIT;
        s->meta = META_FILE_INIT(&s->directory);
        log_init(&s->log, &s->directory, segment_bytes);

        r = open_all(s, options, io);
        if (r < 0) {
                *ret_error = r == -EAGAIN ?
                        g_strdup_printf("%s is in use by another process", s->directory.path) : describe_failure(s, r);
                store_close(s);
                return r;
        }
        *ret = s;
        return 0;
}

int store_open(const StoreOptions *options, const StoreListener *listener, Store **ret, char **ret_error) {
        return store_open_with_io(options, listener, &store_io_system, ret, ret_error);
}

int store_create(Store *s, const ZabMeta *meta) {
        ZabMeta m = *meta;
        int r;

        assert(s->report.state == STORE_BLANK);
        assert(!s->has_meta);

        if (m.membership != ZAB_MEMBERSHIP_JOINING)
                m.membership = ZAB_MEMBERSHIP_MEMBER;
        m.checkpoint_generation = m.durable_floor = 0;
        r = meta_file_create(&s->meta, &m);
        if (r < 0)
                return r;
        take_meta(s);
        s->report.state = STORE_MEMBER;
        return 0;
}

/*
 * Loading
 */

int store_load(Store *s, Tree *tree, ZabPosition *ret_position, GBytes **ret_config) {
        uint64_t generation = s->report.meta.checkpoint_generation;
        g_auto(CheckpointPosition) position = { 0 };
        const char *why;
        int r;

        assert(!s->writer);

        if (s->report.state == STORE_DAMAGED && !s->has_meta)
                return -EUCLEAN;
        s->loaded = true;
        s->report.checkpoint = (ZabPosition) { 0 };
        if (generation == 0)
                return 0;

        r = checkpoint_load(&s->directory, generation, &s->report.meta.cluster_id, tree, &position, &why);
        if (r == -EUCLEAN)
                return report_checkpoint_damage(s, generation, why);
        if (r < 0)
                return r;
        *ret_position = s->report.checkpoint = position.position;
        if (ret_config)
                *ret_config = g_steal_pointer(&position.config);
        return 1;
}

static RecoverOptions recover_options(const Store *s, const ZabPosition *checkpoint) {
        return (RecoverOptions) {
                .cluster_id = s->report.meta.cluster_id,
                .disk_id = s->report.meta.disk_id,
                .checkpoint = *checkpoint,
                .durable_floor = s->report.meta.durable_floor,
                .newest_segment = s->meta.record.newest_segment,
        };
}

static int refuse_newer(Store *s, const RecoverResult *found) {
        char name[LOG_NAME_BYTES];

        log_segment_name(g_array_index(s->log.segments, LogSegment, found->segment).first_index, name);
        return directory_fail(&s->directory, -ENOTSUP, s->directory.log_fd, name, found->why);
}

static void report_base(Store *s, const RecoverBase *base) {
        StoreReport *report = &s->report;
        gsize count;

        report->log_base_index = base->base.index;
        report->log_base_zxid = base->base.zxid;
        g_free(report->epochs);
        report->epochs = g_array_steal(base->epochs, &count);
        report->epochs_count = (unsigned) count;
        g_array_unref(base->epochs);
}

/* The log ends before the checkpoint and begins anew behind it.  META stops asking for its newest segment before that
 * goes. */
static int settle_log(Store *s, const RecoverResult *found) {
        int r;

        if (found->stale && s->log.segments->len > 0) {
                r = meta_file_write(&s->meta, &s->meta.record.meta, 0);
                if (r < 0)
                        return r;
        }
        return log_settle(&s->log, found);
}

int store_replay(Store *s, int (*each)(void *userdata, const ZabEntry *entry), void *userdata) {
        RecoverOptions options = recover_options(s, &s->report.checkpoint);
        RecoverResult found;
        RecoverBase base;
        int r;

        assert(s->loaded);
        assert(!s->replayed);

        if (!s->has_meta)
                return s->report.state == STORE_DAMAGED ? -EUCLEAN : 0;
        r = log_recover(&s->log, &options, each, userdata, &found);
        if (r < 0)
                return r;
        s->report.last = found.last;
        if (found.verdict == RECOVER_NEWER)
                return refuse_newer(s, &found);
        if (found.verdict == RECOVER_DAMAGED)
                return report_log_damage(s, &found);
        if (s->report.state == STORE_DAMAGED)
                return -EUCLEAN;

        s->report.torn_bytes = found.torn_bytes;
        r = settle_log(s, &found);
        if (r < 0)
                return r;
        r = log_offer(&s->log, &options, &base);
        if (r < 0)
                return r;
        report_base(s, &base);
        s->replayed = true;
        return 0;
}

const StoreReport *store_get_report(const Store *s) {
        return &s->report;
}

/*
 * Accepting a loss
 */

/* The position to go on from: the checkpoint's, or the beginning of a log that is all there.  -ENODATA if neither. */
static void note_voters(unsigned *voters, ZabConfig *config) {
        if (config)
                *voters = MAX(*voters, zab_config_voters(config));
        zab_config_unref(config);
}

static int on_kept_entry(void *userdata, const ZabEntry *entry) {
        if (entry->type == ZAB_ENTRY_CONFIG)
                note_voters(userdata, zab_config_decode(entry->payload, entry->zxid));
        return 0;
}

static int find_base(Store *s, ZabPosition *ret, uint64_t *ret_generation, unsigned *voters, char **ret_error) {
        uint64_t generation = s->report.meta.checkpoint_generation;
        g_auto(CheckpointPosition) position = { 0 };
        const char *why;
        int r;

        if (generation == 0) {
                *ret = (ZabPosition) { 0 };
                *ret_generation = 0;
                return 0;
        }
        r = checkpoint_load(&s->directory, generation, &s->report.meta.cluster_id, NULL, &position, &why);
        if (r >= 0) {
                *ret = position.position;
                *ret_generation = generation;
                note_voters(voters, position.config ? zab_checkpoint_config_decode(position.config) : NULL);
                return 0;
        }
        if (r != -EUCLEAN) {
                *ret_error = describe_failure(s, r);
                return r;
        }
        if (s->log.segments->len == 0 || g_array_index(s->log.segments, LogSegment, 0).first_index != 1) {
                *ret_error = g_strdup_printf("%s/checkpoint.%" PRIu64 ": %s, and the log does not reach back to the "
                                             "first entry: restore a backup", s->directory.path, generation, why);
                return -ENODATA;
        }
        *ret = (ZabPosition) { 0 };
        *ret_generation = 0;
        return 0;
}

/* Both slots say the same afterwards; the one in use before would bring the damage back.  Where there are others, they have what
 * was lost, and it has no vote until it has it, too (2.12): together with others that lack it, it would take it back.  What will be appended in the place of
 * what is lost is not committed because that was. */
static int write_accepted_meta(Store *s, uint64_t generation, bool alone) {
        ZabMeta m = s->report.meta;

        m.membership = alone ? ZAB_MEMBERSHIP_MEMBER : ZAB_MEMBERSHIP_DAMAGED;
        m.durable_floor = s->log.durable;
        m.commit_floor = MIN(m.commit_floor, s->log.last.index);
        m.checkpoint_generation = generation;
        for (unsigned i = 0; i < 2; i++) {
                int r = meta_file_write(&s->meta, &m, log_newest(&s->log));

                if (r < 0)
                        return r;
        }
        take_meta(s);
        return 0;
}

int store_accept_loss(Store *s, uint64_t *ret_lost_from, char **ret_error) {
        uint64_t generation, old = s->report.meta.checkpoint_generation;
        RecoverOptions options;
        RecoverResult found;
        unsigned voters = 0;            /* of the largest configuration that is left */
        ZabPosition base;
        int r;

        assert(s->report.state == STORE_DAMAGED);
        assert(!s->writer);
        assert(!s->replayed);

        if (!s->has_meta) {
                *ret_error = g_strdup(s->report.text);
                return -ENODATA;
        }
        r = find_base(s, &base, &generation, &voters, ret_error);
        if (r < 0)
                return r;

        options = recover_options(s, &base);
        r = log_recover(&s->log, &options, on_kept_entry, &voters, &found);
        if (r >= 0 && found.verdict == RECOVER_NEWER)
                r = refuse_newer(s, &found);
        if (r >= 0)
                r = log_settle(&s->log, &found);
        if (r >= 0)
                r = write_accepted_meta(s, generation, voters == 1);
        if (r >= 0 && generation != old)
                r = checkpoint_remove(&s->directory, old);
        log_close(&s->log);
        if (r < 0) {
                *ret_error = describe_failure(s, r);
                return r;
        }

        *ret_lost_from = found.verdict == RECOVER_DAMAGED ? found.lost_index : found.last.index + 1;
        s->report.state = STORE_MEMBER;
        s->report.last = found.last;
        s->loaded = false;
        g_clear_pointer(&s->report.text, g_free);
        return 0;
}

/*
 * Running
 */

int store_start(Store *s) {
        int r;

        assert(s->report.state == STORE_MEMBER);
        assert(s->replayed || s->report.last.index == 0);
        assert(!s->writer);

        /* What an unfinished checkpoint left; and a slot that was lost, or does not know of the log that goes on: the next
         * write goes there, before any append. */
        r = checkpoint_remove_others(&s->directory, s->report.meta.checkpoint_generation);
        if (r >= 0 && (s->meta.bad > 0 || s->meta.record.newest_segment != log_newest(&s->log)))
                r = meta_file_write(&s->meta, &s->meta.record.meta, log_newest(&s->log));
        if (r < 0)
                return r;

        r = outbox_init(&s->outbox);
        if (r < 0)
                return r;
        environments_init(&s->environments, s->report.meta.checkpoint_generation);
        r = writer_thread_new(
                        &(WriterThreadOptions) {
                                .directory = &s->directory,
                                .meta = &s->meta,
                                .log = &s->log,
                                .outbox = &s->outbox,
                                .log_keep_bytes = s->log_keep_bytes,
                        },
                        &s->writer);
        if (r < 0)
                return r;
        r = checkpoint_thread_new(
                        &(CheckpointThreadOptions) {
                                .directory = &s->directory,
                                .writer = s->writer,
                                .outbox = &s->outbox,
                                .environments = &s->environments,
                                .generation = s->report.meta.checkpoint_generation,
                        },
                        &s->checkpoint);
        if (r < 0)
                return r;
        return reader_thread_new(
                        &(ReaderThreadOptions) {
                                .directory = &s->directory,
                                .environments = &s->environments,
                                .index = &s->log.index,
                                .outbox = &s->outbox,
                                .cluster_id = s->report.meta.cluster_id,
                                .disk_id = s->report.meta.disk_id,
                        },
                        &s->reader);
}

int store_get_fd(Store *s) {
        return s->outbox.event_fd;
}

void store_dispatch(Store *s) {
        outbox_dispatch(&s->outbox, &s->listener);
}

void store_append(Store *s, uint64_t io_seq, const ZabEntry *entries, unsigned entries_count) {
        writer_thread_append(s->writer, io_seq, entries, entries_count);
}

void store_write_meta(Store *s, uint64_t io_seq, const ZabMeta *meta) {
        writer_thread_write_meta(s->writer, io_seq, meta);
}

void store_truncate(Store *s, uint64_t io_seq, const ZabPosition *position) {
        writer_thread_truncate(s->writer, io_seq, position);
}

void store_snap_begin(Store *s, const ZabPosition *position, GBytes *config) {
        CheckpointPosition p = {
                .cluster_id = s->report.meta.cluster_id,
                .position = *position,
                .config = config,
        };

        checkpoint_thread_snap_begin(s->checkpoint, &p);
}

void store_snap_chunk(Store *s, GBytes *chunk) {
        checkpoint_thread_snap_chunk(s->checkpoint, chunk);
}

/* In the writer's queue first: what is submitted from now on waits behind it. */
void store_snap_install(Store *s, uint64_t io_seq, const ZabMeta *meta, Hash128 digest) {
        writer_thread_install(s->writer, io_seq, meta);
        checkpoint_thread_snap_install(s->checkpoint, digest);
}

void store_snap_abort(Store *s) {
        checkpoint_thread_snap_abort(s->checkpoint);
}

void store_read_log(Store *s, uint64_t request, uint64_t from_index, uint64_t to_index, uint64_t bytes_max) {
        reader_thread_read_log(s->reader, request, from_index, to_index, bytes_max);
}

void store_open_snapshot(Store *s, uint64_t request) {
        outbox_open_snapshot(&s->outbox, request);
        reader_thread_open_snapshot(s->reader, request);
}

void store_read_snapshot(Store *s, uint64_t request) {
        reader_thread_read_snapshot(s->reader, request);
}

void store_close_snapshot(Store *s, uint64_t request) {
        outbox_close_snapshot(&s->outbox, request);
        reader_thread_close_snapshot(s->reader, request);
}

void store_checkpoint_begin(Store *s, uint64_t io_seq, bool full, const ZabPosition *position, Hash128 digest,
                            GBytes *config) {
        CheckpointPosition p = {
                .cluster_id = s->report.meta.cluster_id,
                .position = *position,
                .digest = digest,
                .config = config,
        };

        checkpoint_thread_begin(s->checkpoint, io_seq, full, &p);
}

void store_checkpoint_rows(Store *s, const TreeRow *rows, unsigned rows_count) {
        checkpoint_thread_rows(s->checkpoint, rows, rows_count);
}

void store_checkpoint_end(Store *s) {
        checkpoint_thread_end(s->checkpoint);
}

void store_checkpoint_abort(Store *s) {
        checkpoint_thread_abort(s->checkpoint);
}

unsigned store_checkpoint_backlog(const Store *s) {
        return checkpoint_thread_backlog(s->checkpoint);
}

void store_get_statistics(Store *s, StoreStatistics *ret) {
        outbox_get_statistics(&s->outbox, ret);
}

Store *store_close(Store *s) {
        if (!s)
                return NULL;
        checkpoint_thread_free(s->checkpoint);
        writer_thread_free(s->writer);
        reader_thread_free(s->reader);
        environments_done(&s->environments);
        outbox_done(&s->outbox);
        log_done(&s->log);
        meta_file_done(&s->meta);
        directory_done(&s->directory);
        g_free(s->report.text);
        g_free(s->report.epochs);
        g_free(s);
        return NULL;
}
