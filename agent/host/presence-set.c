/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Presence: the files of this host, and the facts of the host that specifiers stand for
 */

#include "agent/host/presence.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <systemd/sd-id128.h>

#include "agent/host/conf-files.h"

struct PresenceSet {
        GPtrArray *files;               /* Presence, by file name without the directory */
};

static int compare_files(gconstpointer a, gconstpointer b) {
        const Presence *x = *(const Presence *const *) a, *y = *(const Presence *const *) b;

        return strcmp(strrchr(x->file, '/'), strrchr(y->file, '/'));
}

static void presence_destroy(void *data) {
        presence_free(data);
}

static void *parse(const char *path, const char *text, size_t size, char **ret_error) {
        return presence_parse(path, text, size, ret_error);
}

PresenceSet *presence_set_load(const char *const *directories, GPtrArray *errors) {
        PresenceSet *s = g_new0(PresenceSet, 1);

        assert(directories);
        assert(errors);

        s->files = g_ptr_array_new_with_free_func(presence_destroy);
        conf_files_load(directories, parse, s->files, errors);
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
