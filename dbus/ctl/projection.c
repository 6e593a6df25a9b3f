/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Projection
 *
 * Names come from whoever may write to the tree.  Everything is made in a new directory that nobody else may enter before it is whole,
 * so that no link can lead out of it, and what is a name of a file is checked again here, whatever the agent has checked.
 */

#include "dbus/ctl/projection.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dbus/ctl/output.h"
#include "dbus/ctl/text.h"

#define DIGEST_LENGTH 32                /* hexadecimal digits */
#define DIRECTORY_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

typedef struct Entry {
        char *path;
        GBytes *data;                   /* NULL: a directory */
} Entry;

struct Projection {
        mode_t mode;
        GPtrArray *entries;
        GChecksum *sum;
        uint64_t bytes;
};

/* A directory that is being shown. */
typedef struct Place {
        const char *directory;          /* as it was given */
        int parent;
        char *name;
        char *prefix;                   /* of everything that is made beside it */
        char *now;                      /* where it leads; NULL: it is not there */
} Place;

static void entry_free(void *data) {
        Entry *e = data;

        g_free(e->path);
        g_clear_pointer(&e->data, g_bytes_unref);
        g_free(e);
}

Projection *projection_new(mode_t mode) {
        Projection *p = g_new0(Projection, 1);
        g_autofree char *text = g_strdup_printf("%o", (unsigned) mode);

        p->mode = mode;
        p->entries = g_ptr_array_new_with_free_func(entry_free);
        p->sum = g_checksum_new(G_CHECKSUM_SHA256);
        g_checksum_update(p->sum, (const guchar *) text, (gssize) strlen(text) + 1);
        return p;
}

Projection *projection_free(Projection *p) {
        if (p) {
                g_ptr_array_unref(p->entries);
                g_checksum_free(p->sum);
                g_free(p);
        }
        return NULL;
}

/*
 * What is in it
 */

static const char *why_no_name(const char *path) {
        g_auto(GStrv) names = g_strsplit(path, "/", -1);
        unsigned depth = g_strv_length(names);

        if (depth == 0 || strlen(path) >= PATH_MAX)
                return "a path of no or too many bytes";
        if (depth > PROJECTION_DEPTH_MAX)
                return "too deep for a directory";
        for (char **name = names; *name; name++) {
                if (!**name || g_str_equal(*name, ".") || g_str_equal(*name, ".."))
                        return "no name of a file";
                if (strlen(*name) > NAME_MAX)
                        return "too long for the name of a file";
        }
        return NULL;
}

static ExitStatus add(Projection *p, const char *path, const void *data, size_t size, bool is_file) {
        const char *why = why_no_name(path);
        g_autofree char *facts = g_strdup_printf("%c%zu", is_file ? 'f' : 'd', size);

        if (why) {
                g_autofree char *line = format_line(path);
                print_error("%s: %s", line, why);
                return EXIT_STATUS_CONFLICT;
        }
        p->bytes += size;
        if (p->entries->len >= PROJECTION_FILES_MAX || p->bytes > PROJECTION_BYTES_MAX) {
                print_error("more than %d files or %d MiB are not put into a directory", PROJECTION_FILES_MAX,
                            PROJECTION_BYTES_MAX / 1024 / 1024);
                return EXIT_STATUS_LIMIT;
        }

        Entry *e = g_new0(Entry, 1);
        e->path = g_strdup(path);
        e->data = is_file ? g_bytes_new(data, size) : NULL;
        g_ptr_array_add(p->entries, e);
        g_checksum_update(p->sum, (const guchar *) path, (gssize) strlen(path) + 1);
        g_checksum_update(p->sum, (const guchar *) facts, (gssize) strlen(facts) + 1);
        if (size > 0)
                g_checksum_update(p->sum, data, (gssize) size);
        return EXIT_STATUS_OK;
}

ExitStatus projection_add_directory(Projection *p, const char *path) {
        return add(p, path, NULL, 0, false);
}

ExitStatus projection_add_file(Projection *p, const char *path, const void *data, size_t size) {
        return add(p, path, data, size, true);
}

/*
 * Files
 */

static ExitStatus failed(const char *what, const char *where, int error) {
        print_error("cannot %s %s: %s", what, where, g_strerror(error));
        return error == EACCES || error == EPERM || error == EROFS ? EXIT_STATUS_ACCESS :
               error == ENOSPC || error == EDQUOT ? EXIT_STATUS_LIMIT : EXIT_STATUS_FAILURE;
}

static int write_file(int at, const Entry *e, mode_t mode) {
        int fd = openat(at, e->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        size_t size, done = 0;
        const uint8_t *data = g_bytes_get_data(e->data, &size);
        int error = 0;

        if (fd < 0)
                return -errno;
        while (done < size && error == 0) {
                ssize_t n = write(fd, data + done, size - done);

                if (n >= 0)
                        done += (size_t) n;
                else if (errno != EINTR)
                        error = -errno;
        }
        if (error == 0 && fchmod(fd, mode) < 0)
                error = -errno;
        close(fd);
        return error;
}

static mode_t directory_mode(mode_t mode) {
        return mode | 0700 | (mode & 0040 ? 0010 : 0) | (mode & 0004 ? 0001 : 0);
}

static int write_entry(int at, const Entry *e, mode_t mode) {
        if (e->data)
                return write_file(at, e, mode);
        if (mkdirat(at, e->path, 0700) < 0 || fchmodat(at, e->path, directory_mode(mode), 0) < 0)
                return -errno;
        return 0;
}

/* Not deeper than what is made here can be: whatever else there is stays. */
static void remove_tree(int at, const char *name, unsigned depth) {
        int fd = depth <= PROJECTION_DEPTH_MAX ? openat(at, name, DIRECTORY_FLAGS) : -1;
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        struct dirent *d;

        if (!dir) {
                if (fd >= 0)
                        close(fd);
                (void) unlinkat(at, name, 0);
                return;
        }
        while ((d = readdir(dir)))
                if (!g_str_equal(d->d_name, ".") && !g_str_equal(d->d_name, ".."))
                        remove_tree(dirfd(dir), d->d_name, depth + 1);
        closedir(dir);
        (void) unlinkat(at, name, AT_REMOVEDIR);
}

/*
 * The place
 */

static void place_done(Place *p) {
        if (p->parent >= 0)
                close(p->parent);
        g_free(p->name);
        g_free(p->prefix);
        g_free(p->now);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Place, place_done)

/* Not those of another directory whose name begins with this one's. */
static bool is_made_here(const Place *p, const char *name, bool final) {
        if (!g_str_has_prefix(name, p->prefix))
                return false;
        name += strlen(p->prefix);
        return (strlen(name) == DIGEST_LENGTH && strspn(name, "0123456789abcdef") == DIGEST_LENGTH) ||
               (!final && (g_str_equal(name, "new") || g_str_equal(name, "link")));
}

static ExitStatus place_open(Place *p, const char *directory) {
        g_autofree char *plain = g_strdup(directory);
        char link[PATH_MAX];
        struct stat st;

        while (strlen(plain) > 1 && g_str_has_suffix(plain, "/"))
                plain[strlen(plain) - 1] = 0;
        g_autofree char *above = g_path_get_dirname(plain);
        p->directory = directory;
        p->name = g_path_get_basename(plain);
        p->prefix = g_strdup_printf(".%s.", p->name);
        if (!*plain || g_str_equal(p->name, "/") || g_str_equal(p->name, ".") || g_str_equal(p->name, "..")) {
                print_error("%s: say the directory by its name", directory);
                return EXIT_STATUS_USAGE;
        }

        p->parent = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (p->parent < 0 || fstat(p->parent, &st) < 0)
                return failed("open", above, errno);
        if ((st.st_uid != 0 && st.st_uid != geteuid()) || (st.st_mode & 022) != 0) {
                print_error("%s: others may write there, and could lead files elsewhere; use a directory of your own", above);
                return EXIT_STATUS_ACCESS;
        }

        ssize_t n = readlinkat(p->parent, p->name, link, sizeof(link) - 1);
        if (n < 0 && errno == ENOENT)
                return EXIT_STATUS_OK;
        link[MAX(n, 0)] = 0;
        if (n < 0 || !is_made_here(p, link, true)) {
                print_error("%s: is there already, and was not made by \"convenectl project\"; move it away", directory);
                return EXIT_STATUS_CONFLICT;
        }
        p->now = g_strdup(link);
        return EXIT_STATUS_OK;
}

/* All that was made beside it, but for these two (NULL: none). */
static void clean_up(const Place *p, const char *keep, const char *keep_too) {
        int fd = openat(p->parent, ".", DIRECTORY_FLAGS);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        struct dirent *d;

        if (!dir) {
                if (fd >= 0)
                        close(fd);
                return;
        }
        while ((d = readdir(dir)))
                if (is_made_here(p, d->d_name, false) && g_strcmp0(d->d_name, keep) != 0 &&
                    g_strcmp0(d->d_name, keep_too) != 0)
                        remove_tree(p->parent, d->d_name, 0);
        closedir(dir);
}

static ExitStatus fill(const Projection *p, const Place *place, const char *name) {
        if (mkdirat(place->parent, name, 0700) < 0)
                return failed("make a directory beside", place->directory, errno);
        int fd = openat(place->parent, name, DIRECTORY_FLAGS);
        if (fd < 0)
                return failed("open what is made beside", place->directory, errno);

        int error = 0;
        const char *what = NULL;
        for (unsigned i = 0; error == 0 && i < p->entries->len; i++) {
                const Entry *e = g_ptr_array_index(p->entries, i);

                what = e->path;
                error = write_entry(fd, e, p->mode);
        }
        /* what a crash leaves behind the link must be whole */
        if (error == 0 && (fchmod(fd, directory_mode(p->mode)) < 0 || syncfs(fd) < 0))
                error = -errno;
        close(fd);
        if (error == 0)
                return EXIT_STATUS_OK;
        g_autofree char *line = format_line(what ?: ".");
        return failed("write", line, -error);
}

/* From here on there is no way back, and the link leads to the one or to the other. */
static ExitStatus turn(const Place *place, const char *made, const char *final) {
        g_autofree char *link = g_strdup_printf("%slink", place->prefix);

        remove_tree(place->parent, final, 0);
        remove_tree(place->parent, link, 0);
        if (renameat(place->parent, made, place->parent, final) < 0 || symlinkat(final, place->parent, link) < 0 ||
            renameat(place->parent, link, place->parent, place->name) < 0 || fsync(place->parent) < 0)
                return failed("put the new files into", place->directory, errno);
        return EXIT_STATUS_OK;
}

ExitStatus projection_show(const Projection *p, const char *directory, bool *ret_changed) {
        g_auto(Place) place = { .parent = -1 };
        g_autoptr(GChecksum) sum = g_checksum_copy(p->sum);

        *ret_changed = false;
        ExitStatus e = place_open(&place, directory);
        if (e != EXIT_STATUS_OK)
                return e;
        g_autofree char *final = g_strdup_printf("%s%.*s", place.prefix, DIGEST_LENGTH, g_checksum_get_string(sum));
        g_autofree char *made = g_strdup_printf("%snew", place.prefix);
        if (g_strcmp0(final, place.now) == 0)
                return EXIT_STATUS_OK;

        remove_tree(place.parent, made, 0);
        e = fill(p, &place, made);
        if (e == EXIT_STATUS_OK)
                e = turn(&place, made, final);
        if (e != EXIT_STATUS_OK) {
                remove_tree(place.parent, made, 0);
                return e;
        }
        clean_up(&place, final, place.now);
        *ret_changed = true;
        return EXIT_STATUS_OK;
}
