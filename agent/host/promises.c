/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Promises
 */

#include "agent/host/promises.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

#define MAGIC "cnvprom1"

typedef struct Record {
        uint64_t session;
        uint64_t deadline_usec;
} Record;

typedef struct File {
        char magic[8];
        uint64_t zero;
        Record records[PROMISES_MAX];
} File;

struct Promises {
        File *file;                     /* mapped */
        GHashTable *places;             /* session -> 1 + place */
        GArray *free;                   /* places */
};

/* A file of another size or beginning is begun anew. */
static int prepare(int fd) {
        struct stat st;
        char magic[8];
        int r;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADF;
        if (st.st_size == (off_t) sizeof(File) && pread(fd, magic, sizeof(magic), 0) == sizeof(magic) &&
            memcmp(magic, MAGIC, sizeof(magic)) == 0)
                return 0;
        if (ftruncate(fd, 0) < 0)
                return -errno;
        r = posix_fallocate(fd, 0, sizeof(File));       /* a full /run is told here, and not by a signal later */
        if (r != 0)
                return -r;
        return pwrite(fd, MAGIC, sizeof(magic), 0) == sizeof(magic) ? 0 : -EIO;
}

static File *map(const char *directory, int *ret_error) {
        g_autofree char *path = g_strdup_printf("%s/" PROMISES_FILE, directory);
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600), r;
        void *p;

        if (fd < 0) {
                *ret_error = -errno;
                return NULL;
        }
        r = prepare(fd);
        p = r < 0 ? MAP_FAILED : mmap(NULL, sizeof(File), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
                *ret_error = r < 0 ? r : -errno;
        close(fd);
        return p == MAP_FAILED ? NULL : p;
}

static void take(Promises *p, unsigned place) {
        Record *r = &p->file->records[place];

        if (r->session != 0 && !g_hash_table_contains(p->places, &r->session))
                g_hash_table_insert(p->places, g_memdup2(&r->session, sizeof(r->session)), GUINT_TO_POINTER(place + 1));
        else {
                r->session = 0;
                g_array_append_val(p->free, place);
        }
}

Promises *promises_open(const char *directory, int *ret_error) {
        File *file = map(directory, ret_error);
        Promises *p;

        if (!file)
                return NULL;
        p = g_new0(Promises, 1);
        p->file = file;
        p->places = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
        p->free = g_array_new(FALSE, FALSE, sizeof(unsigned));
        for (unsigned i = PROMISES_MAX; i > 0; i--)
                take(p, i - 1);
        return p;
}

Promises *promises_free(Promises *p) {
        if (!p)
                return NULL;
        (void) munmap(p->file, sizeof(File));
        g_hash_table_unref(p->places);
        g_array_unref(p->free);
        g_free(p);
        return NULL;
}

static Record *find(const Promises *p, uint64_t session) {
        unsigned found = p ? GPOINTER_TO_UINT(g_hash_table_lookup(p->places, &session)) : 0;

        return found > 0 ? &p->file->records[found - 1] : NULL;
}

/* An agent may be killed between any two stores: a record never has the deadline of another session. */
static Record *make(Promises *p, uint64_t session) {
        unsigned place;
        Record *r;

        if (!p || p->free->len == 0)
                return NULL;
        place = g_array_index(p->free, unsigned, p->free->len - 1);
        g_array_set_size(p->free, p->free->len - 1);
        g_hash_table_insert(p->places, g_memdup2(&session, sizeof(session)), GUINT_TO_POINTER(place + 1));
        r = &p->file->records[place];
        __atomic_store_n(&r->deadline_usec, 0, __ATOMIC_SEQ_CST);
        __atomic_store_n(&r->session, session, __ATOMIC_SEQ_CST);
        return r;
}

void promises_set(Promises *p, uint64_t session, uint64_t deadline_usec) {
        Record *r = find(p, session) ?: make(p, session);

        assert(session != 0);

        if (r)
                __atomic_store_n(&r->deadline_usec, deadline_usec, __ATOMIC_SEQ_CST);
}

void promises_forget(Promises *p, uint64_t session) {
        Record *r = find(p, session);
        unsigned place;

        if (!r)
                return;
        place = (unsigned) (r - p->file->records);
        __atomic_store_n(&r->session, 0, __ATOMIC_SEQ_CST);
        g_hash_table_remove(p->places, &session);
        g_array_append_val(p->free, place);
}

void promises_sift(Promises *p, int (*keep)(void *userdata, uint64_t session), void *userdata) {
        for (unsigned i = 0; p && i < PROMISES_MAX; i++) {
                uint64_t session = p->file->records[i].session;

                if (session != 0 && !keep(userdata, session))
                        promises_forget(p, session);
        }
}

uint64_t promises_get(const Promises *p, uint64_t session, uint64_t now_usec, uint64_t timeout_msec) {
        const Record *r = find(p, session);

        return r && r->deadline_usec <= now_usec + timeout_msec * 1000 ? r->deadline_usec : 0;
}
