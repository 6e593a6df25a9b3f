/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Environments
 */

#include "agent/store/environment.h"

#include <assert.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/store/checkpoint.h"

/* What LMDB makes its lock file of 126 readers; a larger file is as good. */
#define LOCK_BYTES 8192

void environments_init(Environments *e, uint64_t newest) {
        *e = (Environments) { .open = g_ptr_array_new(), .newest = newest };
        g_mutex_init(&e->lock);
}

void environments_done(Environments *e) {
        if (!e->open)
                return;
        assert(e->open->len == 0);
        g_clear_pointer(&e->open, g_ptr_array_unref);
        g_mutex_clear(&e->lock);
}

void environments_publish(Environments *e, uint64_t generation) {
        g_mutex_lock(&e->lock);
        e->newest = generation;
        g_mutex_unlock(&e->lock);
}

static int make_lock_file(Directory *d, int directory_fd) {
        struct stat st;
        int fd, r = 0;

        fd = directory_open_file(d, directory_fd, ENVIRONMENT_LOCK_NAME, O_RDWR | O_CREAT);
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0 || st.st_size < LOCK_BYTES)
                r = directory_allocate(d, directory_fd, ENVIRONMENT_LOCK_NAME, fd, LOCK_BYTES);
        close(fd);
        return r;
}

static int open_tables(Environment *e) {
        MDB_txn *txn;
        int code;

        code = mdb_txn_begin(e->env, NULL, MDB_RDONLY, &txn);
        if (code != 0)
                return code;
        for (unsigned i = 0; i < _TREE_TABLE_MAX && code == 0; i++)
                code = mdb_dbi_open(txn, checkpoint_table_names[i], MDB_INTEGERKEY, &e->tables[i]);
        if (code == 0)
                code = mdb_dbi_open(txn, CHECKPOINT_POSITION_TABLE, MDB_INTEGERKEY, &e->position_table);
        if (code == 0)
                return mdb_txn_commit(txn);     /* which makes the handles everybody's */
        mdb_txn_abort(txn);
        return code;
}

static void environment_free(Environment *e) {
        if (e->env)
                mdb_env_close(e->env);
        if (e->fd >= 0)
                close(e->fd);
        g_free(e);
}

static int environment_open(Environment *e, Directory *d) {
        char name[CHECKPOINT_NAME_BYTES];
        int code, r;

        checkpoint_name(e->generation, name);
        r = e->fd = directory_open_file(d, d->fd, name, O_RDONLY | O_DIRECTORY);
        if (r < 0)
                return r;
        r = make_lock_file(d, e->fd);
        if (r < 0)
                return r;
        code = checkpoint_open_environment(e->fd, d->no_sync ? MDB_NOSYNC : 0, d->io->map_bytes, &e->env);
        if (code == 0)
                code = open_tables(e);
        return code != 0 ? checkpoint_fail(d, e->generation, code, "open") : 0;
}

/* Called with the lock held. */
static int use(Environments *e, Directory *d, uint64_t generation, Environment **ret) {
        Environment *new;
        int r;

        for (unsigned i = 0; i < e->open->len; i++) {
                Environment *open = e->open->pdata[i];

                if (open->generation == generation) {
                        open->uses++;
                        *ret = open;
                        return 1;
                }
        }

        new = g_new0(Environment, 1);
        new->generation = generation;
        new->uses = 1;
        new->fd = -1;
        r = environment_open(new, d);
        if (r < 0) {
                environment_free(new);
                return r;
        }
        g_ptr_array_add(e->open, new);
        *ret = new;
        return 1;
}

int environments_use(Environments *e, Directory *d, uint64_t generation, Environment **ret) {
        int r;

        g_mutex_lock(&e->lock);
        r = use(e, d, generation, ret);
        g_mutex_unlock(&e->lock);
        return r;
}

int environments_use_newest(Environments *e, Directory *d, Environment **ret) {
        int r;

        g_mutex_lock(&e->lock);
        r = e->newest > 0 ? use(e, d, e->newest, ret) : 0;
        g_mutex_unlock(&e->lock);
        return r;
}

Environment *environments_release(Environments *e, Environment *environment) {
        if (!environment)
                return NULL;
        g_mutex_lock(&e->lock);
        if (--environment->uses == 0) {
                g_ptr_array_remove_fast(e->open, environment);
                environment_free(environment);
        }
        g_mutex_unlock(&e->lock);
        return NULL;
}
