/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Checkpoint: writing.  Reading is in checkpoint-load.c.
 */

#include "agent/store/checkpoint.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAP_BYTES_MAX (UINT64_C(256) << 30)
#define MAP_BYTES_MIN (UINT64_C(1) << 30)

const char *const checkpoint_table_names[_TREE_TABLE_MAX] = {
        [TREE_TABLE_ZNODE] = "znode",
        [TREE_TABLE_SESSION] = "session",
        [TREE_TABLE_STATE] = "state",
};

/* LMDB's codes stop here. */
static int error_from_mdb(int code) {
        if (code > 0)
                return -code;
        switch (code) {

        case MDB_SUCCESS:
                return 0;

        case MDB_MAP_FULL:
                return -ENOSPC;

        case MDB_CORRUPTED:
        case MDB_PAGE_NOTFOUND:
        case MDB_INVALID:
        case MDB_VERSION_MISMATCH:
        case MDB_NOTFOUND:
                return -EUCLEAN;

        default:
                return -EIO;
        }
}

int checkpoint_fail(Directory *d, uint64_t generation, int code, const char *operation) {
        char name[CHECKPOINT_NAME_BYTES];

        checkpoint_name(generation, name);
        return directory_fail(d, error_from_mdb(code), d->fd, name, operation);
}

static int fail_mdb(Checkpoint *c, int code, const char *operation) {
        return checkpoint_fail(c->directory, c->generation, code, operation);
}

bool checkpoint_error_is_room(int error) {
        return error == -ENOSPC || error == -EDQUOT || error == -EFBIG;
}

void checkpoint_name(uint64_t generation, char ret_name[static CHECKPOINT_NAME_BYTES]) {
        (void) snprintf(ret_name, CHECKPOINT_NAME_BYTES, "checkpoint.%" PRIu64, generation);
}

uint64_t checkpoint_parse_name(const char *name) {
        char canonical[CHECKPOINT_NAME_BYTES];
        uint64_t generation;

        if (!g_str_has_prefix(name, "checkpoint."))
                return 0;
        generation = g_ascii_strtoull(name + strlen("checkpoint."), NULL, 10);
        checkpoint_name(generation, canonical);
        return strcmp(name, canonical) == 0 ? generation : 0;
}

int checkpoint_remove(Directory *d, uint64_t generation) {
        char name[CHECKPOINT_NAME_BYTES], file[CHECKPOINT_NAME_BYTES + 16];
        int r;

        checkpoint_name(generation, name);
        (void) snprintf(file, sizeof file, "%s/data.mdb", name);
        r = directory_remove(d, d->fd, file, false);
        if (r < 0)
                return r;
        (void) snprintf(file, sizeof file, "%s/" ENVIRONMENT_LOCK_NAME, name);
        r = directory_remove(d, d->fd, file, false);
        if (r < 0)
                return r;
        return directory_remove(d, d->fd, name, true);
}

int checkpoint_remove_others(Directory *d, uint64_t generation) {
        g_auto(GStrv) names = NULL;
        int r;

        r = directory_list(d, d->fd, &names);
        for (char **name = names; r >= 0 && *name; name++) {
                uint64_t other = checkpoint_parse_name(*name);

                if (other != 0 && other != generation)
                        r = checkpoint_remove(d, other);
        }
        return r;
}

/* LMDB takes a path; the one through the descriptor stays right if somebody renames a directory above. */
int checkpoint_open_environment(int fd, unsigned flags, size_t map_bytes, MDB_env **ret) {
        uint64_t size = map_bytes > 0 ? map_bytes : MAP_BYTES_MAX;
        char path[64];
        MDB_env *env;
        int code;

        (void) snprintf(path, sizeof path, "/proc/self/fd/%d/data.mdb", fd);
        for (;; size /= 2) {
                code = mdb_env_create(&env);
                if (code != 0)
                        return code;
                code = mdb_env_set_maxdbs(env, _TREE_TABLE_MAX + 1);
                if (code == 0)
                        code = mdb_env_set_mapsize(env, size);
                if (code == 0)
                        code = mdb_env_open(env, path, flags | MDB_NOSUBDIR | MDB_NOTLS, 0600);
                if (code == 0) {
                        *ret = env;
                        return 0;
                }
                mdb_env_close(env);
                if (code != ENOMEM || map_bytes > 0 || size <= MAP_BYTES_MIN)
                        return code;
        }
}

static int begin_transaction(Checkpoint *c) {
        int code;

        assert(!c->txn);

        code = mdb_txn_begin(c->env, NULL, 0, &c->txn);
        return code != 0 ? fail_mdb(c, code, "begin") : 0;
}

static int make_tables(Checkpoint *c) {
        unsigned flags = MDB_CREATE | MDB_INTEGERKEY;
        int code = 0;

        for (unsigned i = 0; i < _TREE_TABLE_MAX && code == 0; i++)
                code = mdb_dbi_open(c->txn, checkpoint_table_names[i], flags, &c->tables[i]);
        if (code == 0)
                code = mdb_dbi_open(c->txn, CHECKPOINT_POSITION_TABLE, flags, &c->position_table);
        return code != 0 ? fail_mdb(c, code, "open table") : 0;
}

static int begin_new(Checkpoint *c) {
        Directory *d = c->directory;
        char name[CHECKPOINT_NAME_BYTES];
        int code, r;

        checkpoint_name(c->generation, name);
        r = checkpoint_remove(d, c->generation);
        if (r < 0)
                return r;
        r = directory_make(d, d->fd, name);
        if (r < 0)
                return r;
        r = c->fd = directory_open_file(d, d->fd, name, O_RDONLY | O_DIRECTORY);
        if (r < 0)
                return r;
        code = checkpoint_open_environment(c->fd, MDB_NOSYNC | MDB_NOLOCK, d->io->map_bytes, &c->env);
        if (code != 0)
                return fail_mdb(c, code, "open");
        r = begin_transaction(c);
        return r < 0 ? r : make_tables(c);
}

int checkpoint_begin(Checkpoint *c, uint64_t generation, bool full, const CheckpointPosition *position) {
        int r;

        assert(c->fd < 0 && !c->shared);
        assert(generation > 0);

        c->generation = generation;
        c->full = full;
        c->position = *position;
        if (position->config)
                g_bytes_ref(position->config);
        if (full)
                return begin_new(c);

        r = environments_use(c->environments, c->directory, generation, &c->shared);
        if (r < 0)
                return r;
        c->env = c->shared->env;
        memcpy(c->tables, c->shared->tables, sizeof c->tables);
        c->position_table = c->shared->position_table;
        return begin_transaction(c);
}

static int put_row(Checkpoint *c, const TreeRow *row) {
        uint64_t id = row->key;
        MDB_val key = { sizeof id, &id }, value = { row->value_size, (void *) row->value };
        bool append;
        int code;

        assert((unsigned) row->table < _TREE_TABLE_MAX);

        if (!row->value) {
                code = mdb_del(c->txn, c->tables[row->table], &key, NULL);
                return code != 0 && code != MDB_NOTFOUND ? fail_mdb(c, code, "delete") : 0;
        }

        /* Rows put aside by the tree come before their turn; all others are in order. */
        append = c->full && (!c->has_key[row->table] || id > c->last_key[row->table]);
        code = mdb_put(c->txn, c->tables[row->table], &key, &value, append ? MDB_APPEND : 0);
        if (code != 0)
                return fail_mdb(c, code, "put");
        if (append) {
                c->has_key[row->table] = true;
                c->last_key[row->table] = id;
        }
        c->unsynced_bytes += row->value_size + 64;
        return 0;
}

static int commit_transaction(Checkpoint *c) {
        MDB_txn *txn = g_steal_pointer(&c->txn);
        const StoreIo *io = c->directory->io;
        int code;

        /* LMDB says EIO also of a write that was cut short, for want of room: then no call has failed, and the pages that are in
         * use are untouched. */
        errno = 0;
        code = io->commit(io->userdata, txn);
        if (code == EIO && errno != EIO)
                code = ENOSPC;
        return code != 0 ? fail_mdb(c, code, "commit") : 0;
}

static int sync_data(Checkpoint *c) {
        mdb_filehandle_t fd;
        char name[CHECKPOINT_NAME_BYTES];

        checkpoint_name(c->generation, name);
        if (mdb_env_get_fd(c->env, &fd) != 0)
                return fail_mdb(c, EIO, "descriptor");
        c->unsynced_bytes = 0;
        return directory_sync_file(c->directory, c->directory->fd, name, fd);
}

int checkpoint_put(Checkpoint *c, const TreeRow *rows, unsigned rows_count) {
        int r;

        for (unsigned i = 0; i < rows_count; i++) {
                r = put_row(c, rows + i);
                if (r < 0)
                        return r;
        }
        c->rows_count += rows_count;

        if (!c->full || c->unsynced_bytes < CHECKPOINT_PIECE_BYTES)
                return 0;
        r = commit_transaction(c);
        if (r < 0)
                return r;
        r = sync_data(c);
        if (r < 0)
                return r;
        return begin_transaction(c);
}

static int verify(Checkpoint *c, const Writer *expected) {
        uint64_t id = 1;
        MDB_val key = { sizeof id, &id }, value;
        MDB_txn *txn;
        int code;
        bool equal;

        code = mdb_txn_begin(c->env, NULL, MDB_RDONLY, &txn);
        if (code != 0)
                return fail_mdb(c, code, "verify");
        code = mdb_get(txn, c->position_table, &key, &value);
        equal = code == 0 && value.mv_size == expected->size &&
                memcmp(value.mv_data, expected->data, expected->size) == 0;
        mdb_txn_abort(txn);
        if (code != 0)
                return fail_mdb(c, code, "verify");
        return equal ? 0 : fail_mdb(c, EIO, "verify");
}

int checkpoint_commit(Checkpoint *c) {
        Directory *d = c->directory;
        g_auto(Writer) w = WRITER_INIT;
        uint64_t id = 1;
        MDB_val key = { sizeof id, &id }, value;
        int code, r;

        checkpoint_position_encode(&c->position, &w);
        value = (MDB_val) { w.size, w.data };
        code = mdb_put(c->txn, c->position_table, &key, &value, 0);
        if (code != 0)
                return fail_mdb(c, code, "put");
        r = commit_transaction(c);
        if (r < 0)
                return r;
        if (c->full) {
                r = sync_data(c);
                if (r < 0)
                        return r;
                r = directory_sync(d, c->fd);
                if (r < 0)
                        return r;
                r = directory_sync(d, d->fd);
                if (r < 0)
                        return r;
        }
        return verify(c, &w);
}

void checkpoint_done(Checkpoint *c, bool committed) {
        Directory *d = c->directory;

        if (c->txn)
                mdb_txn_abort(c->txn);
        if (c->env && !c->shared)
                mdb_env_close(c->env);
        (void) environments_release(c->environments, c->shared);
        if (c->fd >= 0)
                close(c->fd);
        if (!committed && c->full && c->generation > 0) {
                char what[sizeof d->what];

                memcpy(what, d->what, sizeof what);
                (void) checkpoint_remove(d, c->generation);
                memcpy(d->what, what, sizeof what);
        }
        checkpoint_position_done(&c->position);
        *c = CHECKPOINT_INIT(d, c->environments);
}
