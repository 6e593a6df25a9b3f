/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fd store
 *
 * systemd keeps its copy for as long as the name is not removed, passes it again at every start, and by itself lets go of
 * a descriptor whose other end was closed.  So what a restarted agent does not find has ended.
 */

#include "agent/host/fdstore.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib.h>
#include <systemd/sd-daemon.h>

#define NAME_PREFIX "convene-"
#define NAME_DIGITS 16
#define GRACE_DIGITS 10
#define NAME_SIZE (sizeof NAME_PREFIX + NAME_DIGITS + 1 + GRACE_DIGITS)

typedef struct Stored {
        int fd;                         /* owned */
        uint64_t session;               /* 0: a socket */
        uint32_t grace_msec;
        char *name;                     /* of a socket */
} Stored;

struct FdStore {
        GArray *inherited;              /* Stored, in the order systemd passed them */
        GHashTable *graces;             /* session -> uint32_t, of all that systemd keeps with one */
};

static void stored_clear(void *data) {
        Stored *e = data;

        if (e->fd >= 0)
                close(e->fd);
        g_free(e->name);
}

static void name_format(uint64_t session, uint32_t grace_msec, char ret[static NAME_SIZE]) {
        int n = g_snprintf(ret, NAME_SIZE, NAME_PREFIX "%016" G_GINT64_MODIFIER "x", session);

        if (grace_msec > 0)
                g_snprintf(ret + n, NAME_SIZE - (size_t) n, "-%u", (unsigned) grace_msec);
}

/* Exactly the form above, so that one session has one name. */
static bool name_parse(const char *name, uint64_t *ret_session, uint32_t *ret_grace_msec) {
        const char *digits = name + strlen(NAME_PREFIX), *grace;
        char again[NAME_SIZE];
        uint64_t msec = 0;

        if (!g_str_has_prefix(name, NAME_PREFIX) || strspn(digits, "0123456789abcdef") != NAME_DIGITS)
                return false;
        grace = digits + NAME_DIGITS;
        if (*grace != '\0' && (*grace != '-' || !g_ascii_string_to_unsigned(grace + 1, 10, 1, UINT32_MAX, &msec, NULL)))
                return false;
        *ret_session = g_ascii_strtoull(digits, NULL, 16);
        *ret_grace_msec = (uint32_t) msec;
        name_format(*ret_session, *ret_grace_msec, again);
        return *ret_session != 0 && g_str_equal(again, name);
}

static void remember_grace(FdStore *s, uint64_t session, uint32_t grace_msec) {
        if (grace_msec > 0)
                g_hash_table_insert(s->graces, g_memdup2(&session, sizeof(session)), GUINT_TO_POINTER(grace_msec));
}

static void notify_remove(const char *name) {
        (void) sd_notifyf(false, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

static void store_inherit(FdStore *s, int fd, const char *name) {
        Stored e = { .fd = fd };

        if (name_parse(name, &e.session, &e.grace_msec)) {
                remember_grace(s, e.session, e.grace_msec);
                g_array_append_val(s->inherited, e);
                return;
        }
        if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) > 0) {
                e.name = g_strdup(name);
                g_array_append_val(s->inherited, e);
                return;
        }
        /* Nothing we put there: left by another version, or by somebody's mistake. */
        close(fd);
        notify_remove(name);
}

FdStore *fd_store_new(void) {
        FdStore *s = g_new0(FdStore, 1);
        char **list = NULL;
        int n;

        s->inherited = g_array_new(FALSE, FALSE, sizeof(Stored));
        g_array_set_clear_func(s->inherited, stored_clear);
        s->graces = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);

        n = sd_listen_fds_with_names(true, &list);
        for (int i = 0; i < n; i++)
                store_inherit(s, SD_LISTEN_FDS_START + i, list[i]);
        for (char **i = list; i && *i; i++)
                free(*i);
        free(list);
        return s;
}

FdStore *fd_store_free(FdStore *s) {
        if (!s)
                return NULL;
        g_array_unref(s->inherited);
        g_hash_table_unref(s->graces);
        g_free(s);
        return NULL;
}

int fd_store_push(FdStore *s, uint64_t session, uint32_t grace_msec, int fd) {
        g_autofree char *text = NULL;
        char name[NAME_SIZE];
        int r;

        assert(s);
        assert(session != 0);
        assert(fd >= 0);

        remember_grace(s, session, grace_msec);
        name_format(session, grace_msec, name);
        text = g_strdup_printf("FDSTORE=1\nFDNAME=%s", name);
        r = sd_pid_notify_with_fds(0, false, text, &fd, 1);
        return r < 0 ? r : 0;
}

void fd_store_remove(FdStore *s, uint64_t session) {
        char name[NAME_SIZE];

        assert(s);
        assert(session != 0);

        name_format(session, GPOINTER_TO_UINT(g_hash_table_lookup(s->graces, &session)), name);
        g_hash_table_remove(s->graces, &session);
        notify_remove(name);
}

int fd_store_take(FdStore *s, uint64_t session) {
        assert(s);

        for (unsigned i = 0; i < s->inherited->len; i++) {
                Stored *e = &g_array_index(s->inherited, Stored, i);

                if (session != 0 && e->session == session) {
                        int fd = e->fd;

                        e->fd = -1;
                        g_array_remove_index(s->inherited, i);
                        return fd;
                }
        }
        return -ENOENT;
}

void fd_store_foreach(const FdStore *s, void (*each)(void *userdata, uint64_t session, uint32_t grace_msec), void *userdata) {
        assert(s);

        for (unsigned i = 0; i < s->inherited->len; i++) {
                const Stored *e = &g_array_index(s->inherited, Stored, i);

                if (e->session != 0)
                        each(userdata, e->session, e->grace_msec);
        }
}

void fd_store_drop_rest(FdStore *s) {
        assert(s);

        for (unsigned i = s->inherited->len; i > 0; i--) {
                uint64_t session = g_array_index(s->inherited, Stored, i - 1).session;

                if (session == 0)
                        continue;
                g_array_remove_index(s->inherited, i - 1);
                fd_store_remove(s, session);
        }
}

int fd_store_take_socket(FdStore *s, const char *name) {
        assert(s);
        assert(name);

        for (unsigned i = 0; i < s->inherited->len; i++) {
                Stored *e = &g_array_index(s->inherited, Stored, i);

                if (e->name && g_str_equal(e->name, name)) {
                        int fd = e->fd;

                        e->fd = -1;
                        g_array_remove_index(s->inherited, i);
                        return fd;
                }
        }
        return -ENOENT;
}
