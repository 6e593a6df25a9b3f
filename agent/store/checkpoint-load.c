/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Checkpoint: reading
 *
 * The child opens the environment and writes to a pipe, per item: u8 kind, u8 table, u64 key, u32 size, bytes.  First
 * the position, then the rows table by table, keys ascending, then the end, or an error.  What LMDB makes of a
 * damaged page (an assertion, a signal, an endless walk) ends in the child.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/base/limits.h"
#include "agent/base/reader.h"
#include "agent/store/checkpoint.h"

#define ITEM_BYTES 14
#define PIPE_BYTES (1024 * 1024)

typedef enum ItemKind {
        ITEM_POSITION = 1,
        ITEM_ROW,
        ITEM_ERROR,                     /* key: what LMDB or the system said, as u64 */
        ITEM_END,
} ItemKind;

/*
 * The child
 */

typedef struct Sender {
        int fd;
        Writer buffer;
} Sender;

static void sender_flush(Sender *s) {
        for (size_t done = 0; done < s->buffer.size;) {
                ssize_t n = write(s->fd, s->buffer.data + done, s->buffer.size - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        _exit(EXIT_FAILURE);
                done += (size_t) n;
        }
        writer_clear(&s->buffer);
}

static void send_item(Sender *s, ItemKind kind, unsigned table, uint64_t key, const void *data, uint32_t size) {
        writer_u8(&s->buffer, kind);
        writer_u8(&s->buffer, table);
        writer_u64(&s->buffer, key);
        writer_u32(&s->buffer, size);
        writer_bytes(&s->buffer, data, size);
        if (s->buffer.size >= PIPE_BYTES / 4)
                sender_flush(s);
}

static int send_table(Sender *s, MDB_txn *txn, const char *name, ItemKind kind, unsigned table) {
        MDB_cursor *cursor;
        MDB_val key, value;
        MDB_dbi dbi;
        uint64_t previous = 0;
        bool any = false;
        int code;

        code = mdb_dbi_open(txn, name, MDB_INTEGERKEY, &dbi);
        if (code == 0)
                code = mdb_cursor_open(txn, dbi, &cursor);
        if (code != 0)
                return code;

        while ((code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
                uint64_t id;

                if (key.mv_size != sizeof id || value.mv_size > CHECKPOINT_ROW_BYTES_MAX)
                        return MDB_CORRUPTED;
                memcpy(&id, key.mv_data, sizeof id);
                /* also what ends a walk in circles */
                if (any && id <= previous)
                        return MDB_CORRUPTED;
                any = true;
                previous = id;
                send_item(s, kind, table, id, value.mv_data, (uint32_t) value.mv_size);
        }
        return code == MDB_NOTFOUND ? 0 : code;
}

/* All pages must be in the file: a mapping ends with a signal where the file does. */
static int check_size(MDB_env *env) {
        mdb_filehandle_t fd;
        MDB_envinfo info;
        MDB_stat stat;
        struct stat st;

        if (mdb_env_get_fd(env, &fd) != 0 || fstat(fd, &st) < 0)
                return EIO;
        if (mdb_env_info(env, &info) != 0 || mdb_env_stat(env, &stat) != 0)
                return MDB_CORRUPTED;
        return (uint64_t) st.st_size < ((uint64_t) info.me_last_pgno + 1) * stat.ms_psize ? MDB_CORRUPTED : 0;
}

static int send_all(Sender *s, int fd) {
        MDB_env *env;
        MDB_txn *txn;
        int code;

        code = checkpoint_open_environment(fd, MDB_RDONLY | MDB_NOLOCK, 0, &env);
        if (code == 0)
                code = check_size(env);
        if (code == 0)
                code = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
        if (code == 0)
                code = send_table(s, txn, CHECKPOINT_POSITION_TABLE, ITEM_POSITION, 0);
        for (unsigned table = 0; table < _TREE_TABLE_MAX && code == 0; table++)
                code = send_table(s, txn, checkpoint_table_names[table], ITEM_ROW, table);
        return code;
}

_Noreturn static void run_child(int fd, int pipe_fd, pid_t parent) {
        Sender s = { .fd = pipe_fd, .buffer = WRITER_INIT };
        int null_fd, code;

        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
                _exit(EXIT_FAILURE);

        /* A damaged file is reported by the parent, once: no core dump, no words of LMDB's own. */
        (void) prctl(PR_SET_DUMPABLE, 0);
        null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (null_fd >= 0)
                (void) dup2(null_fd, STDERR_FILENO);

        code = send_all(&s, fd);
        if (code != 0)
                send_item(&s, ITEM_ERROR, 0, (uint64_t) (int64_t) code, NULL, 0);
        else
                send_item(&s, ITEM_END, 0, 0, NULL, 0);
        sender_flush(&s);
        _exit(EXIT_SUCCESS);
}

/*
 * The parent
 */

typedef struct Load {
        int fd;
        uint8_t *data;                  /* owned */
        size_t begin, end, allocated;
        Tree *tree;
        CheckpointPosition position;
        bool has_position, ended;
        Hash128 digest;
        Writer scratch;
        const char *why;
} Load;

/* Makes `size` bytes available at data + begin.  Returns 1, 0 at the end of the pipe, -errno. */
static int load_fill(Load *l, size_t size) {
        if (l->end - l->begin >= size)
                return 1;
        if (l->begin > 0)
                memmove(l->data, l->data + l->begin, l->end - l->begin);
        l->end -= l->begin;
        l->begin = 0;
        if (l->allocated < MAX(size, (size_t) PIPE_BYTES)) {
                l->allocated = MAX(size, (size_t) PIPE_BYTES);
                l->data = g_realloc(l->data, l->allocated);
        }
        while (l->end < size) {
                ssize_t n = read(l->fd, l->data + l->end, l->allocated - l->end);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : 0;
                l->end += (size_t) n;
        }
        return 1;
}

static int load_damaged(Load *l, const char *why) {
        l->why = why;
        return -EUCLEAN;
}

static int load_row(Load *l, const TreeRow *row) {
        const char *error;
        Hash128 h;

        writer_clear(&l->scratch);
        writer_u8(&l->scratch, row->table);
        writer_u64(&l->scratch, row->key);
        writer_bytes(&l->scratch, row->value, row->value_size);
        h = hash128(l->scratch.data, l->scratch.size, 0);
        l->digest = hash128_add(l->digest, h);

        if (l->tree && !tree_load_row(l->tree, row, &error))
                return load_damaged(l, error);
        return 0;
}

static int load_position(Load *l, const uint8_t *data, size_t size) {
        if (l->has_position)
                return load_damaged(l, "it has two positions");

        switch (checkpoint_position_decode(data, size, &l->position)) {

        case POSITION_OK:
                l->has_position = true;
                return 0;

        case POSITION_NEWER:
                return -ENOTSUP;

        case POSITION_BAD:
                break;
        }
        return load_damaged(l, "its position is damaged");
}

/* LMDB's negative codes and missing files are damage, the rest is the environment's. */
static int load_error(Load *l, int code) {
        switch (code) {

        case ENOMEM:
        case EMFILE:
        case ENFILE:
        case EACCES:
        case EPERM:
                return -code;

        case MDB_VERSION_MISMATCH:
                return -ENOTSUP;

        default:
                return load_damaged(l, code > 0 ? g_strerror(code) : mdb_strerror(code));
        }
}

static int load_item(Load *l) {
        const uint8_t *body;
        TreeRow row;
        ItemKind kind;
        Reader r;
        int k;

        k = load_fill(l, ITEM_BYTES);
        if (k < 0)
                return k;
        if (k == 0)
                return load_damaged(l, "reading it failed half-way");
        r = READER_INIT(l->data + l->begin, ITEM_BYTES);
        kind = (ItemKind) reader_u8(&r);
        row.table = (TreeTable) reader_u8(&r);
        row.key = reader_u64(&r);
        row.value_size = reader_u32(&r);
        if (row.value_size > CHECKPOINT_ROW_BYTES_MAX)
                return load_damaged(l, "a row is too large");
        k = load_fill(l, ITEM_BYTES + row.value_size);
        if (k < 0)
                return k;
        if (k == 0)
                return load_damaged(l, "reading it failed half-way");
        body = row.value = l->data + l->begin + ITEM_BYTES;
        l->begin += ITEM_BYTES + row.value_size;

        switch (kind) {

        case ITEM_POSITION:
                return load_position(l, body, row.value_size);

        case ITEM_ROW:
                return (unsigned) row.table < _TREE_TABLE_MAX ? load_row(l, &row) : load_damaged(l, "an unknown table");

        case ITEM_ERROR:
                return load_error(l, (int) (int64_t) row.key);

        case ITEM_END:
                l->ended = true;
                return 0;
        }
        return load_damaged(l, "reading it went astray");
}

static int load_finish(Load *l, const Id128 *cluster_id) {
        const char *error;

        if (!l->has_position)
                return load_damaged(l, "it has no position");
        if (memcmp(&l->position.cluster_id, cluster_id, sizeof *cluster_id) != 0)
                return load_damaged(l, "it belongs to another ensemble");
        if (!hash128_equal(l->digest, l->position.digest))
                return load_damaged(l, "its rows do not have the digest they were written with");
        if (l->tree && !tree_load_finish(l->tree, l->position.position.zxid, &error))
                return load_damaged(l, error);
        return 0;
}

static int settle_generation(Directory *d, int fd, const char *name) {
        int data_fd, r;

        data_fd = directory_open_file(d, fd, "data.mdb", O_RDONLY);
        if (data_fd < 0)
                return data_fd;
        r = directory_settle_file(d, d->fd, name, data_fd);
        close(data_fd);
        return r;
}

static int load_from_child(Directory *d, int fd, Load *l, const Id128 *cluster_id) {
        pid_t parent = getpid(), child;
        int pipe_fds[2], r = 0;

        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return directory_fail(d, -errno, d->fd, "checkpoint", "pipe");
        (void) fcntl(pipe_fds[1], F_SETPIPE_SZ, PIPE_BYTES);

        child = fork();
        if (child < 0) {
                r = -errno;
                close(pipe_fds[0]);
                close(pipe_fds[1]);
                return directory_fail(d, r, d->fd, "checkpoint", "fork");
        }
        if (child == 0) {
                close(pipe_fds[0]);
                run_child(fd, pipe_fds[1], parent);
        }

        close(pipe_fds[1]);
        l->fd = pipe_fds[0];
        while (r == 0 && !l->ended)
                r = load_item(l);
        close(l->fd);
        (void) kill(child, SIGKILL);
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
                ;
        return r < 0 ? r : load_finish(l, cluster_id);
}

int checkpoint_load(Directory *d, uint64_t generation, const Id128 *cluster_id, Tree *tree, CheckpointPosition *ret,
                    const char **ret_why) {
        Load l = { .fd = -1, .tree = tree, .scratch = WRITER_INIT };
        char name[CHECKPOINT_NAME_BYTES];
        int fd, r;

        checkpoint_name(generation, name);
        fd = directory_open_file(d, d->fd, name, O_RDONLY | O_DIRECTORY);
        r = fd < 0 ? fd : settle_generation(d, fd, name);
        if (r == -ENOENT || r == -ENOTDIR || r == -ELOOP)
                r = load_damaged(&l, "it is missing");
        if (r >= 0)
                r = load_from_child(d, fd, &l, cluster_id);
        if (fd >= 0)
                close(fd);

        if (r >= 0)
                *ret = l.position;
        else {
                checkpoint_position_done(&l.position);
                if (r == -EUCLEAN)
                        *ret_why = l.why;
                else if (r == -ENOTSUP)
                        r = directory_fail(d, r, d->fd, name, "its format is of a later version");
        }
        writer_done(&l.scratch);
        g_free(l.data);
        return r;
}
