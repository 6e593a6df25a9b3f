/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Files *.conf of several directories
 */

#include "agent/host/conf-files.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FILE_BYTES_MAX (64 * 1024)
#define SPACE " \t"

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

static void *file_load(int directory_fd, const char *directory, const char *name, ConfFileParse parse, char **ret_error) {
        g_autofree char *path = g_build_filename(directory, name, NULL), *buffer = g_malloc(FILE_BYTES_MAX + 1);
        size_t size = 0;
        int r;

        r = file_read(directory_fd, name, buffer, &size);
        if (r == -EINVAL)
                *ret_error = g_strdup_printf("%s: is not a regular file", path);
        else if (r < 0)
                *ret_error = g_strdup_printf("%s: cannot be read: %s", path, g_strerror(-r));
        else
                return parse(path, buffer, size, ret_error);
        return NULL;
}

/* Adds the files of one directory whose names are not in `seen`. */
static void directory_load(const char *directory, ConfFileParse parse, GHashTable *seen, GPtrArray *files, GPtrArray *errors) {
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
                void *one;

                if (!g_str_has_suffix(name, ".conf") || name[0] == '.' || !g_hash_table_add(seen, g_strdup(name)))
                        continue;
                one = file_load(fd, directory, name, parse, &error);
                if (one)
                        g_ptr_array_add(files, one);
                if (error)
                        g_ptr_array_add(errors, error);
        }
        close(fd);
}

void conf_files_load(const char *const *directories, ConfFileParse parse, GPtrArray *files, GPtrArray *errors) {
        g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);

        assert(directories);
        assert(parse);
        assert(errors);

        for (; *directories; directories++)
                directory_load(*directories, parse, seen, files, errors);
}

bool conf_text_is_mask(const char *text, size_t size) {
        g_autofree char *copy = g_strndup(text, size);
        g_auto(GStrv) lines = g_strsplit(copy, "\n", -1);

        for (char **line = lines; *line; line++) {
                g_strstrip(*line);
                if (**line != '\0' && **line != '#')
                        return false;
        }
        return true;
}

char **conf_split_words(const char *value) {
        g_autoptr(GPtrArray) words = g_ptr_array_new();
        g_auto(GStrv) raw = g_strsplit_set(value, SPACE, -1);

        for (char **w = raw; *w; w++)
                if (**w != '\0')
                        g_ptr_array_add(words, g_strdup(*w));
        g_ptr_array_add(words, NULL);
        return (char **) g_ptr_array_steal(words, NULL);
}

GKeyFile *conf_text_parse(const char *path, const char *text, size_t size, char **ret_error) {
        g_autoptr(GKeyFile) k = g_key_file_new();
        g_autoptr(GError) e = NULL;

        *ret_error = NULL;
        if (!g_utf8_validate_len(text, size, NULL)) {           /* a NUL fails as well */
                *ret_error = g_strdup_printf("%s: is not UTF-8 text", path);
                return NULL;
        }
        if (conf_text_is_mask(text, size))
                return NULL;
        if (!g_key_file_load_from_data(k, text, size, G_KEY_FILE_KEEP_TRANSLATIONS, &e)) {
                *ret_error = g_strdup_printf("%s: %s", path, e->message);
                return NULL;
        }
        return g_steal_pointer(&k);
}

char *conf_take_all(const char *path, GKeyFile *k, const char *group,
                    const char *(*take)(void *userdata, GKeyFile *k, const char *key, const char *value, char **keep), void *userdata) {
        g_auto(GStrv) groups = g_key_file_get_groups(k, NULL), keys = g_key_file_get_keys(k, group, NULL, NULL);

        for (char **g = groups; *g; g++)
                if (!g_str_equal(*g, group) && !g_str_has_prefix(*g, "X-"))
                        return g_strdup_printf("%s: [%s]: is not a section of such a file", path, *g);
        for (char **key = keys; key && *key; key++) {
                g_autofree char *value = NULL, *keep = NULL;
                const char *why;

                /* GKeyFile lists a key as often as it stands there, and has only its last value. */
                if (g_str_has_prefix(*key, "X-") || g_strv_contains((const char *const *) key + 1, *key))
                        continue;
                value = g_key_file_get_value(k, group, *key, NULL);
                g_strstrip(value);
                why = take(userdata, k, *key, value, &keep);
                if (why)
                        return g_strdup_printf("%s: %s=%s: %s", path, *key, value, why);
        }
        return NULL;
}
