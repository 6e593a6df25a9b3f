/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Singleton files
 */

#include "agent/host/singleton-file.h"

#include <assert.h>
#include <string.h>

#include "agent/base/limits.h"
#include "agent/base/singleton-name.h"
#include "agent/host/conf-files.h"
#include "agent/host/timespan.h"

#define GROUP "Singleton"

struct SingletonSet {
        GPtrArray *files;               /* SingletonFile, by file name without the directory */
};

static bool is_template(const char *unit) {
        const char *at = strchr(unit, '@');

        return at && at > unit && at[1] == '.' && strchr(at + 2, '.') == NULL && at[2] != '\0';
}

static const char *take_unit(SingletonFile *f, const char *value) {
        g_autofree char *instance = NULL, *name = NULL;

        if (is_template(value)) {
                const char *at = strchr(value, '@');

                instance = g_strdup_printf("%.*s@i%s", (int) (at - value), value, at + 1);
        }
        name = singleton_name_of_unit(instance ?: value);
        if (!name)
                return "is not the name of a unit or template that can be a singleton (no glob, at most 224 characters, and no name "
                       "that ends in \".env\", \".token\" or another unit type)";
        g_free(f->unit);
        f->unit = g_strdup(value);
        return NULL;
}

static const char *take_session(SingletonFile *f, const char *value) {
        const char *why = timespan_parse(value, &f->session_msec);

        return why ?: f->session_msec < LIMIT_SESSION_TIMEOUT_MIN_MSEC ? "is less than a second" : NULL;
}

static const char *take_stop(SingletonFile *f, const char *value) {
        return timespan_parse(value, &f->stop_msec);
}

static const char *take_stand_back(SingletonFile *f, const char *value) {
        return timespan_parse(value, &f->stand_back_msec);
}

static const char *take_stand_back_max(SingletonFile *f, const char *value) {
        return timespan_parse(value, &f->stand_back_max_msec);
}

static const char *take_copies(SingletonFile *f, const char *value) {
        guint64 copies;

        if (!g_ascii_string_to_unsigned(value, 10, 1, SINGLETON_COPIES_MAX, &copies, NULL))
                return "is not a number from 1 to " G_STRINGIFY(SINGLETON_COPIES_MAX);
        f->copies = (uint32_t) copies;
        return NULL;
}

static const char *take_preferred(SingletonFile *f, const char *value) {
        g_strfreev(f->preferred);
        f->preferred = conf_split_words(value);
        for (char **host = f->preferred; *host; host++)
                for (const char *c = *host; *c != '\0'; c++)
                        if (!g_ascii_isalnum(*c) && !strchr("-_.", *c))
                                return "has a word that is no host's name";
        return NULL;
}

static const char *singleton_take(void *userdata, GKeyFile *k, const char *key, const char *value, char **keep) {
        static const struct {
                const char *key;
                const char *(*take)(SingletonFile *f, const char *value);
        } settings[] = {
                { "Unit", take_unit },
                { "StopTimeout", take_stop },
                { "SessionTimeout", take_session },
                { "Copies", take_copies },
                { "PreferredHosts", take_preferred },
                { "StandBack", take_stand_back },
                { "StandBackMax", take_stand_back_max },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(settings); i++)
                if (g_str_equal(settings[i].key, key))
                        return settings[i].take(userdata, value);
        return "is not a key of [" GROUP "]";
}

SingletonFile *singleton_file_parse(const char *file, const char *text, size_t size, char **ret_error) {
        g_autoptr(SingletonFile) f = NULL;
        g_autoptr(GKeyFile) k = NULL;

        assert(file);
        assert(ret_error);

        k = conf_text_parse(file, text, size, ret_error);
        if (!k)
                return NULL;
        f = g_new0(SingletonFile, 1);
        *f = (SingletonFile) {
                .file = g_strdup(file),
                .stop_msec = UINT64_MAX,
                .session_msec = SINGLETON_SESSION_TIMEOUT_DEFAULT_MSEC,
                .stand_back_msec = SINGLETON_STAND_BACK_DEFAULT_MSEC,
                .stand_back_max_msec = SINGLETON_STAND_BACK_MAX_DEFAULT_MSEC,
                .copies = 1,
        };
        *ret_error = conf_take_all(file, k, GROUP, singleton_take, f);
        if (!*ret_error && (!f->unit || f->stop_msec == UINT64_MAX))
                *ret_error = g_strdup_printf("%s: [" GROUP "] lacks %s=", file, f->unit ? "StopTimeout" : "Unit");
        return *ret_error ? NULL : g_steal_pointer(&f);
}

SingletonFile *singleton_file_copy(const SingletonFile *f) {
        SingletonFile *copy = g_memdup2(f, sizeof(*f));

        copy->file = g_strdup(f->file);
        copy->unit = g_strdup(f->unit);
        copy->preferred = g_strdupv(f->preferred);
        return copy;
}

SingletonFile *singleton_file_free(SingletonFile *f) {
        if (!f)
                return NULL;
        g_free(f->file);
        g_free(f->unit);
        g_strfreev(f->preferred);
        g_free(f);
        return NULL;
}

static void file_destroy(void *data) {
        singleton_file_free(data);
}

static void *parse(const char *path, const char *text, size_t size, char **ret_error) {
        return singleton_file_parse(path, text, size, ret_error);
}

static int compare_files(gconstpointer a, gconstpointer b) {
        const SingletonFile *x = *(const SingletonFile *const *) a, *y = *(const SingletonFile *const *) b;

        return strcmp(strrchr(x->file, '/'), strrchr(y->file, '/'));
}

SingletonSet *singleton_set_load(const char *const *directories, GPtrArray *errors) {
        SingletonSet *s = g_new0(SingletonSet, 1);

        s->files = g_ptr_array_new_with_free_func(file_destroy);
        conf_files_load(directories, parse, s->files, errors);
        g_ptr_array_sort(s->files, compare_files);
        return s;
}

SingletonSet *singleton_set_free(SingletonSet *s) {
        if (!s)
                return NULL;
        g_ptr_array_unref(s->files);
        g_free(s);
        return NULL;
}

static const SingletonFile *find(const SingletonSet *s, const char *unit) {
        for (guint i = 0; i < s->files->len; i++) {
                const SingletonFile *f = s->files->pdata[i];

                if (g_str_equal(f->unit, unit))
                        return f;
        }
        return NULL;
}

void singleton_set_foreach(const SingletonSet *s, void (*each)(void *userdata, const SingletonFile *f), void *userdata) {
        for (guint i = 0; i < s->files->len; i++)
                each(userdata, s->files->pdata[i]);
}

const SingletonFile *singleton_set_match(const SingletonSet *s, const char *unit) {
        g_autofree char *template = singleton_template_of_unit(unit);

        const SingletonFile *f = find(s, unit);

        return f || !template ? f : find(s, template);
}
