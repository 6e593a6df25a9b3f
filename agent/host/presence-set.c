/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Presence: the files of this host, and the facts of the host that specifiers stand for
 */

#include "agent/host/presence.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <systemd/sd-id128.h>

#define FILE_BYTES_MAX (64 * 1024)

struct PresenceSet {
        GPtrArray *files;               /* Presence, by file name without the directory */
};

static bool is_null_device(const struct stat *st) {
        return S_ISCHR(st->st_mode) && st->st_rdev == makedev(1, 3);
}

/* Reads a whole file; *ret_size is 0 for /dev/null.  Nothing but a regular file is waited for or believed. */
static int file_read(int directory_fd, const char *name, char *buffer, size_t *ret_size) {
        size_t size = 0;
        struct stat st;
        int fd, r = 0;

        fd = openat(directory_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                r = -errno;
        else if (!S_ISREG(st.st_mode) && !is_null_device(&st))
                r = -EINVAL;
        while (r == 0 && size <= FILE_BYTES_MAX) {
                ssize_t n = read(fd, buffer + size, FILE_BYTES_MAX + 1 - size);

                if (n < 0)
                        r = -errno;
                if (n <= 0)
                        break;
                size += n;
        }
        close(fd);
        if (r == 0 && size > FILE_BYTES_MAX)
                r = -EFBIG;
        *ret_size = size;
        return r;
}

static Presence *file_load(int directory_fd, const char *directory, const char *name, char **ret_error) {
        g_autofree char *path = g_build_filename(directory, name, NULL), *buffer = g_malloc(FILE_BYTES_MAX + 1);
        size_t size = 0;
        int r;

        r = file_read(directory_fd, name, buffer, &size);
        if (r == -EINVAL)
                *ret_error = g_strdup_printf("%s: is not a regular file", path);
        else if (r < 0)
                *ret_error = g_strdup_printf("%s: cannot be read: %s", path, g_strerror(-r));
        else
                return presence_parse(path, buffer, size, ret_error);
        return NULL;
}

/* Adds the files of one directory whose names are not in `seen`. */
static void directory_load(const char *directory, GHashTable *seen, GPtrArray *files, GPtrArray *errors) {
        g_autoptr(GError) e = NULL;
        g_autoptr(GDir) d = g_dir_open(directory, 0, &e);
        const char *name;
        int fd;

        if (!d) {
                if (!g_error_matches(e, G_FILE_ERROR, G_FILE_ERROR_NOENT))
                        g_ptr_array_add(errors, g_strdup_printf("%s: cannot be read: %s", directory, e->message));
                return;
        }
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return;                 /* removed this moment */
        while ((name = g_dir_read_name(d))) {
                char *error = NULL;
                Presence *p;

                if (!g_str_has_suffix(name, ".conf") || name[0] == '.' || !g_hash_table_add(seen, g_strdup(name)))
                        continue;
                p = file_load(fd, directory, name, &error);
                if (p)
                        g_ptr_array_add(files, p);
                if (error)
                        g_ptr_array_add(errors, error);
        }
        close(fd);
}

static int compare_files(gconstpointer a, gconstpointer b) {
        const Presence *x = *(const Presence *const *) a, *y = *(const Presence *const *) b;

        return strcmp(strrchr(x->file, '/'), strrchr(y->file, '/'));
}

static void presence_destroy(void *data) {
        presence_free(data);
}

PresenceSet *presence_set_load(const char *const *directories, GPtrArray *errors) {
        PresenceSet *s = g_new0(PresenceSet, 1);
        g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

        assert(directories);
        assert(errors);

        s->files = g_ptr_array_new_with_free_func(presence_destroy);
        for (; *directories; directories++)
                directory_load(*directories, seen, s->files, errors);
        g_ptr_array_sort(s->files, compare_files);
        return s;
}

PresenceSet *presence_set_free(PresenceSet *s) {
        if (!s)
                return NULL;
        g_ptr_array_unref(s->files);
        g_free(s);
        return NULL;
}

unsigned presence_set_count(const PresenceSet *s) {
        return s->files->len;
}

const Presence *presence_set_match(const PresenceSet *s, const char *unit, const Presence *after) {
        guint i = 0;

        if (after) {
                if (!g_ptr_array_find(s->files, after, &i))
                        return NULL;
                i++;
        }
        for (; i < s->files->len; i++)
                if (presence_matches(s->files->pdata[i], unit))
                        return s->files->pdata[i];
        return NULL;
}

static char *id_to_text(int r, sd_id128_t id) {
        char text[SD_ID128_STRING_MAX];

        return g_strdup(r < 0 ? "-" : sd_id128_to_string(id, text));
}

void presence_host_read(PresenceHost *ret) {
        sd_id128_t machine = SD_ID128_NULL, boot = SD_ID128_NULL;
        const char *given = getenv("CONVENE_BOOT_ID");
        struct utsname u;
        int r;

        assert(ret);

        if (uname(&u) < 0)
                u = (struct utsname) { .nodename = "-", .release = "-" };
        *ret = (PresenceHost) { .name = g_strdup(u.nodename), .kernel = g_strdup(u.release) };
        ret->machine_id = id_to_text(sd_id128_get_machine(&machine), machine);
        r = given ? sd_id128_from_string(given, &boot) : -ENOENT;
        if (r < 0)
                r = sd_id128_get_boot(&boot);
        ret->boot_id = id_to_text(r, boot);
}

void presence_host_done(PresenceHost *h) {
        g_free(h->name);
        g_free(h->machine_id);
        g_free(h->boot_id);
        g_free(h->kernel);
        *h = (PresenceHost) { 0 };
}
