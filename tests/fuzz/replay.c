/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Replay
 *
 *     replay-TARGET [--mutations=N] DIRECTORY|FILE...
 *
 * The fuzz target as an ordinary program: runs every file given and N mutations of each.  The mutations depend on
 * the file's bytes alone, so a failure comes again.
 */

#include <string.h>

#include <glib.h>

#include "agent/base/hash.h"
#include "agent/base/prng.h"
#include "tests/fuzz/fuzz.h"

typedef struct Replay {
        unsigned mutations;
        uint64_t files, inputs;
} Replay;

/* In its own allocation of exactly its size: a sanitizer or valgrind sees each byte read beyond it. */
static void run(Replay *r, const uint8_t *data, size_t size) {
        g_autofree uint8_t *copy = g_malloc(MAX(size, 1));

        if (size > 0)
                memcpy(copy, data, size);

        r->inputs++;
        fuzz_check(LLVMFuzzerTestOneInput(copy, size) == 0);
}

static void mutate(Prng *prng, GByteArray *a) {
        static const uint32_t numbers[] = { 0, 1, 2, 63, 64, 65, 127, 128, 255, 256, 1024, 65535, INT32_MAX,
                                            UINT32_MAX };
        size_t at = a->len > 0 ? prng_below(prng, a->len) : 0,
                n = a->len > 0 ? prng_below(prng, MIN(a->len - at, 16) + 1) : 0;
        uint32_t number = GUINT32_TO_LE(numbers[prng_below(prng, G_N_ELEMENTS(numbers))]);
        uint8_t byte = (uint8_t) prng_next(prng);

        switch (a->len > 0 ? prng_below(prng, 8) : 7) {

        case 0:
                a->data[at] ^= (uint8_t) (1u << prng_below(prng, 8));
                break;

        case 1:
                a->data[at] = byte;
                break;

        case 2:
                a->data[at] += prng_below(prng, 2) ? 1 : -1;
                break;

        case 3:
                g_byte_array_set_size(a, at);
                break;

        case 4:
                g_byte_array_remove_range(a, at, n);
                break;

        case 5: {
                g_autofree uint8_t *piece = g_memdup2(a->data + at, n);

                g_byte_array_append(a, piece, n);
                break;
        }

        case 6:
                if (a->len - at >= sizeof(number))
                        memcpy(a->data + at, &number, sizeof(number));
                break;

        default:
                g_byte_array_append(a, &byte, 1);
        }
}

static void replay_bytes(Replay *r, const uint8_t *data, size_t size) {
        Prng prng = { hash128(data, size, 0).low };

        run(r, data, size);
        for (unsigned i = 0; i < r->mutations; i++) {
                g_autoptr(GByteArray) a = g_byte_array_new();

                g_byte_array_append(a, data, size);
                for (unsigned n = 1 + prng_below(&prng, 4); n > 0; n--)
                        mutate(&prng, a);
                run(r, a->data, a->len);
        }
}

static bool replay_file(Replay *r, const char *path) {
        g_autoptr(GError) error = NULL;
        g_autofree char *content = NULL;
        size_t size;

        if (!g_file_get_contents(path, &content, &size, &error)) {
                fprintf(stderr, "%s\n", error->message);
                return false;
        }

        r->files++;
        replay_bytes(r, (const uint8_t *) content, size);
        return true;
}

static gint compare_names(gconstpointer a, gconstpointer b) {
        return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static bool replay_directory(Replay *r, const char *path) {
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GError) error = NULL;
        g_autoptr(GDir) dir = g_dir_open(path, 0, &error);
        const char *name;

        if (!dir) {
                fprintf(stderr, "%s\n", error->message);
                return false;
        }

        while ((name = g_dir_read_name(dir)))
                g_ptr_array_add(names, g_build_filename(path, name, NULL));
        g_ptr_array_sort(names, compare_names);

        for (guint i = 0; i < names->len; i++)
                if (!replay_file(r, names->pdata[i]))
                        return false;

        return true;
}

int main(int argc, char **argv) {
        g_auto(GStrv) paths = NULL;
        int mutations = 0;
        const GOptionEntry options[] = {
                { "mutations", 0, 0, G_OPTION_ARG_INT, &mutations, "Run this many mutations of each file", "N" },
                { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &paths, NULL, "DIRECTORY|FILE..." },
                { 0 },
        };
        g_autoptr(GOptionContext) context = g_option_context_new(NULL);
        g_autoptr(GError) error = NULL;
        Replay r = { 0 };

        g_option_context_add_main_entries(context, options, NULL);
        if (!g_option_context_parse(context, &argc, &argv, &error)) {
                fprintf(stderr, "%s\n", error->message);
                return 2;
        }

        r.mutations = MAX(mutations, 0);
        for (char **p = paths; p && *p; p++)
                if (g_file_test(*p, G_FILE_TEST_IS_DIR) ? !replay_directory(&r, *p) : !replay_file(&r, *p))
                        return 2;

        printf("%" G_GUINT64_FORMAT " files, %" G_GUINT64_FORMAT " inputs, %" G_GUINT64_FORMAT " accepted\n",
               r.files, r.inputs, fuzz_accepted);
        if (r.files == 0 || fuzz_accepted == 0) {
                fprintf(stderr, "Nothing was accepted: this shows nothing.\n");
                return 1;
        }

        return 0;
}
