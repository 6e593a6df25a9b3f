/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Promises: what one agent writes down and the next one believes. */

#include "agent/host/promises.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#define NOW UINT64_C(1000000000)

typedef struct Place {
        char *directory, *path;
} Place;

static void set_up(Place *p, gconstpointer unused) {
        p->directory = g_dir_make_tmp("promises-XXXXXX", NULL);
        g_assert_nonnull(p->directory);
        p->path = g_build_filename(p->directory, PROMISES_FILE, NULL);
}

static void tear_down(Place *p, gconstpointer unused) {
        (void) unlink(p->path);
        (void) rmdir(p->path);
        g_assert_cmpint(rmdir(p->directory), ==, 0);
        g_free(p->directory);
        g_free(p->path);
}

static Promises *open_here(const Place *p) {
        Promises *promises;
        int error = 0;

        promises = promises_open(p->directory, &error);
        g_assert_cmpint(error, ==, 0);
        g_assert_nonnull(promises);
        return promises;
}

static void test_next_agent(Place *p, gconstpointer unused) {
        Promises *promises = open_here(p);

        promises_set(promises, 1, NOW + 5);
        promises_set(promises, UINT64_MAX, NOW + 7);
        promises_set(promises, 1, NOW + 6);
        promises_set(promises, 3, NOW);
        promises_forget(promises, 3);
        promises_forget(promises, 4);
        promises_free(promises);

        promises = open_here(p);
        g_assert_cmpuint(promises_get(promises, 1, NOW, 1), ==, NOW + 6);
        g_assert_cmpuint(promises_get(promises, UINT64_MAX, NOW, 1), ==, NOW + 7);
        g_assert_cmpuint(promises_get(promises, 3, NOW, 1), ==, 0);
        promises_set(promises, 1, NOW + 9);             /* renewed, and not a second record */
        promises_forget(promises, 1);
        g_assert_cmpuint(promises_get(promises, 1, NOW, 1), ==, 0);
        promises_free(promises);
}

static void test_bounds(Place *p, gconstpointer unused) {
        Promises *promises = open_here(p);

        promises_set(promises, 1, NOW + 2000);
        promises_set(promises, 2, NOW + 2001);
        promises_set(promises, 3, UINT64_MAX);
        promises_set(promises, 4, 1);
        g_assert_cmpuint(promises_get(promises, 1, NOW, 2), ==, NOW + 2000);
        g_assert_cmpuint(promises_get(promises, 2, NOW, 2), ==, 0);
        g_assert_cmpuint(promises_get(promises, 3, NOW, 2), ==, 0);
        g_assert_cmpuint(promises_get(promises, 4, NOW, 2), ==, 1);             /* over long since */
        promises_free(promises);
        promises_set(NULL, 1, 1);
        promises_forget(NULL, 1);
        promises_sift(NULL, NULL, NULL);
        g_assert_cmpuint(promises_get(NULL, 1, NOW, 2), ==, 0);
}

static int is_even(void *userdata, uint64_t session) {
        return session % 2 == 0;
}

static void test_full(Place *p, gconstpointer unused) {
        Promises *promises = open_here(p);

        for (uint64_t i = 1; i <= PROMISES_MAX + 1; i++)
                promises_set(promises, i, NOW + i);
        g_assert_cmpuint(promises_get(promises, PROMISES_MAX, NOW, 1000), ==, NOW + PROMISES_MAX);
        g_assert_cmpuint(promises_get(promises, PROMISES_MAX + 1, NOW, 1000), ==, 0);
        promises_sift(promises, is_even, NULL);
        g_assert_cmpuint(promises_get(promises, 1, NOW, 1000), ==, 0);
        g_assert_cmpuint(promises_get(promises, 2, NOW, 1000), ==, NOW + 2);
        for (uint64_t i = 1; i <= PROMISES_MAX / 2; i++)
                promises_set(promises, 2 * PROMISES_MAX + i, NOW);
        g_assert_cmpuint(promises_get(promises, 2 * PROMISES_MAX + PROMISES_MAX / 2, NOW, 1000), ==, NOW);
        promises_free(promises);
}

/* Of anybody, or of an agent that died as it was made: begun anew. */
static void test_damaged(Place *p, gconstpointer unused) {
        static const char *const texts[] = { "", "cnvprom1", "cnvprom2 and more", "\xff" };
        g_autofree uint64_t *records = NULL;
        Promises *promises;
        gsize size;

        for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
                g_assert_true(g_file_set_contents(p->path, texts[i], -1, NULL));
                promises = open_here(p);
                g_assert_cmpuint(promises_get(promises, 1, NOW, 1), ==, 0);
                promises_set(promises, 1, NOW);
                promises_free(promises);
        }
        /* two records of one session */
        g_assert_true(g_file_get_contents(p->path, (char **) &records, &size, NULL));
        g_assert_cmpuint(size, ==, 16 + 16 * PROMISES_MAX);
        for (size_t i = 2; i < size / 8; i++)
                records[i] = 1;
        g_assert_true(g_file_set_contents(p->path, (char *) records, (gssize) size, NULL));
        promises = open_here(p);
        g_assert_cmpuint(promises_get(promises, 1, NOW, 1), ==, 1);
        promises_set(promises, 2, NOW);
        g_assert_cmpuint(promises_get(promises, 2, NOW, 1), ==, NOW);
        promises_free(promises);
}

static void refused(const Place *p, int expected) {
        int error = 0;

        g_assert_null(promises_open(p->directory, &error));
        g_assert_cmpint(error, ==, expected);
}

static void test_not_a_file(Place *p, gconstpointer unused) {
        g_assert_cmpint(symlink("/etc/passwd", p->path), ==, 0);
        refused(p, -ELOOP);
        g_assert_cmpint(unlink(p->path), ==, 0);
        g_assert_cmpint(mkdir(p->path, 0700), ==, 0);
        refused(p, -EISDIR);
        g_assert_cmpint(rmdir(p->path), ==, 0);
        g_assert_cmpint(mkfifo(p->path, 0600), ==, 0);
        refused(p, -EBADF);
        refused(&(Place) { .directory = (char *) "/nonexistent" }, -ENOENT);
}

#define ADD(path, function) g_test_add(path, Place, NULL, set_up, function, tear_down)

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        ADD("/promises/next-agent", test_next_agent);
        ADD("/promises/bounds", test_bounds);
        ADD("/promises/full", test_full);
        ADD("/promises/damaged", test_damaged);
        ADD("/promises/not-a-file", test_not_a_file);
        return g_test_run();
}
