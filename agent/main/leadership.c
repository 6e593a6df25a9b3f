/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Leadership
 */

#include "agent/main/leadership.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/base/leader-file.h"

#define TEMPORARY ".new"                /* no singleton has such a name */
#define NOTE_BYTES 256

struct Leadership {
        char *directory, *name;
        LeaderFile *file;               /* mapped */
};

/* The files are for others to read, whatever the umask is. */
static int directory_open(const char *directory) {
        int fd;

        if (mkdir(directory, 0755) < 0 && errno != EEXIST)
                return -errno;
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        (void) fchmod(fd, 0755);
        return fd;
}

static int file_fill(int fd, const void *data, size_t size) {
        const uint8_t *p = data;

        while (size > 0) {
                ssize_t n = write(fd, p, size);

                if (n < 0)
                        return -errno;
                p += n;
                size -= (size_t) n;
        }
        return fchmod(fd, 0644) < 0 ? -errno : 0;
}

/* It is there as a whole or not at all. */
static int file_put(int directory_fd, const char *name, const void *data, size_t size) {
        int fd, r;

        (void) unlinkat(directory_fd, TEMPORARY, 0);
        fd = openat(directory_fd, TEMPORARY, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        r = file_fill(fd, data, size);
        close(fd);
        if (r >= 0 && renameat(directory_fd, TEMPORARY, directory_fd, name) < 0)
                r = -errno;
        if (r < 0)
                (void) unlinkat(directory_fd, TEMPORARY, 0);
        return r;
}

static LeaderFile *file_map(int directory_fd, const char *name) {
        struct stat st;
        void *p;
        int fd;

        fd = openat(directory_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
                return NULL;
        p = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != sizeof(LeaderFile) ?
                    MAP_FAILED :
                    mmap(NULL, sizeof(LeaderFile), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        if (p == MAP_FAILED)
                return NULL;
        if (!leader_file_check(p, sizeof(LeaderFile), name))
                return p;
        (void) munmap(p, sizeof(LeaderFile));
        return NULL;
}

static Leadership *leadership_open(const char *directory, int directory_fd, const char *name) {
        LeaderFile *file = file_map(directory_fd, name);
        Leadership *l;

        if (!file)
                return NULL;
        l = g_new0(Leadership, 1);
        l->directory = g_strdup(directory);
        l->name = g_strdup(name);
        l->file = file;
        return l;
}

static int leader_file_put(int directory_fd, const char *name, uint64_t token, uint64_t deadline_usec) {
        LeaderFile file;

        leader_file_fill(&file, name, token, deadline_usec);
        return file_put(directory_fd, name, &file, sizeof(file));
}

Leadership *leadership_begin(const char *directory, const char *name, uint64_t token, uint64_t deadline_usec, int *ret_error) {
        Leadership *l = NULL;
        int fd, r;

        assert(singleton_name_is_valid(name));

        fd = directory_open(directory);
        r = fd < 0 ? fd : leader_file_put(fd, name, token, deadline_usec);
        if (r >= 0) {
                l = leadership_open(directory, fd, name);
                r = l ? 0 : -EIO;
        }
        if (fd >= 0)
                close(fd);
        if (!l)
                leadership_remove(directory, name);
        *ret_error = r;
        return l;
}

Leadership *leadership_adopt(const char *directory, const char *name) {
        Leadership *l;
        int fd;

        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return NULL;
        l = leadership_open(directory, fd, name);
        close(fd);
        return l;
}

void leadership_renew(Leadership *l, uint64_t deadline_usec) {
        leader_file_set_deadline(l->file, deadline_usec);
}

uint64_t leadership_deadline_usec(const Leadership *l) {
        return leader_file_deadline(l->file);
}

uint64_t leadership_token(const Leadership *l) {
        return l->file->token;
}

Leadership *leadership_free(Leadership *l) {
        if (!l)
                return NULL;
        (void) munmap(l->file, sizeof(LeaderFile));
        g_free(l->directory);
        g_free(l->name);
        g_free(l);
        return NULL;
}

Leadership *leadership_end(Leadership *l) {
        if (!l)
                return NULL;
        leadership_renew(l, 0);
        leadership_remove(l->directory, l->name);
        return leadership_free(l);
}

void leadership_remove(const char *directory, const char *name) {
        g_autofree char *path = g_build_filename(directory, name, NULL);

        (void) unlink(path);
}

GPtrArray *leaderships_find(const char *directory) {
        GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GDir) d = g_dir_open(directory, 0, NULL);
        const char *name;

        while (d && (name = g_dir_read_name(d)))
                if (singleton_name_is_valid(name))
                        g_ptr_array_add(names, g_strdup(name));
                else
                        leadership_remove(directory, name);
        return names;
}

int note_set(const char *directory, const char *name, const char *text) {
        int fd, r;

        assert(singleton_name_is_valid(name));

        fd = directory_open(directory);
        if (fd < 0)
                return fd;
        r = file_put(fd, name, text, strlen(text));
        close(fd);
        return r;
}

void note_clear(const char *directory, const char *name) {
        g_autofree char *path = g_build_filename(directory, name, NULL);

        (void) unlink(path);
}

char *note_get(const char *directory, const char *name) {
        g_autofree char *path = g_build_filename(directory, name, NULL);
        char text[NOTE_BYTES];
        ssize_t n;
        int fd;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return NULL;
        n = read(fd, text, sizeof(text));
        close(fd);
        return n < 0 ? NULL : g_strndup(text, (size_t) n);
}
