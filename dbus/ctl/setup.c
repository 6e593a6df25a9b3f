/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Setup
 */

#include "dbus/ctl/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dbus/ctl/config-file.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/service.h"

#define AGENT_USER "convene"
#define PORT "2890"
#define DESCRIPTORS 16

ExitStatus setup_begin(Setup *s, const Options *o) {
        if (!o->root && geteuid() != 0) {
                print_error("this changes the host's configuration and starts a service: only root may");
                return EXIT_STATUS_ACCESS;
        }

        s->options = o;
        s->drop_in = g_build_filename(o->root ?: "/", SETUP_DROP_IN, NULL);
        s->token = g_build_filename(o->root ?: "/", SETUP_TOKEN, NULL);
        return EXIT_STATUS_OK;
}

void setup_done(Setup *s) {
        g_free(s->drop_in);
        g_free(s->token);
        g_free(s->drop_in_before);
        g_free(s->name);
        g_free(s->data);
        g_free(s->address);
        g_free(s->kept);
        *s = (Setup) {};
}

/*
 * The configuration
 */

/* As a person writes it, with the usual port if there is none. */
static char *with_port(const char *address) {
        const char *colon = strchr(address, ':');

        if (!colon)
                return g_strconcat(address, ":" PORT, NULL);
        if (address[0] == '[')
                return g_str_has_suffix(address, "]") ? g_strconcat(address, ":" PORT, NULL) : g_strdup(address);
        if (strchr(colon + 1, ':'))
                return g_strconcat("[", address, "]:" PORT, NULL);
        return g_strdup(address);
}

static ExitStatus write_addresses(Setup *s, bool founds) {
        const Options *o = s->options;
        g_autoptr(GKeyFile) keys = g_key_file_new();
        g_autofree char *listen = o->listen ? with_port(o->listen) : NULL, *text = NULL, *whole = NULL;
        g_autofree char *advertise = o->advertise ? with_port(o->advertise) : NULL;

        if (!listen && !advertise)
                return EXIT_STATUS_OK;
        if (!listen) {
                print_error("--advertise is of use with --listen only");
                return EXIT_STATUS_USAGE;
        }

        if (!s->drop_in_written)
                (void) g_file_get_contents(s->drop_in, &s->drop_in_before, NULL, NULL);
        g_key_file_set_string(keys, "Ensemble", "Listen", listen);
        if (advertise)
                g_key_file_set_string(keys, "Ensemble", "Advertise", advertise);
        g_key_file_set_string(keys, "Ensemble", "Found", founds ? "yes" : "no");
        text = g_key_file_to_data(keys, NULL, NULL);
        whole = g_strconcat("# Written by \"convenectl init\" or \"convenectl join\"; see convened.conf(5).\n", text, NULL);
        ExitStatus e = config_file_write(s->drop_in, whole);
        s->drop_in_written = e == EXIT_STATUS_OK;
        return e;
}

static void restore_drop_in(Setup *s) {
        if (!s->drop_in_written)
                return;

        s->drop_in_written = false;
        if (s->drop_in_before)
                (void) config_file_write(s->drop_in, s->drop_in_before);
        else
                (void) unlink(s->drop_in);
}

ExitStatus setup_forbid_founding(Setup *s) {
        return write_addresses(s, false);
}

ExitStatus setup_configure(Setup *s, bool founds) {
        g_autoptr(GKeyFile) keys = NULL;

        ExitStatus e = write_addresses(s, founds);
        if (e != EXIT_STATUS_OK || s->options->root)
                return e;
        e = service_read_configuration(&keys);
        if (e != EXIT_STATUS_OK) {
                restore_drop_in(s);
                return e;
        }

        s->name = g_key_file_get_string(keys, "Agent", "Name", NULL);
        s->data = g_key_file_get_string(keys, "Agent", "Data", NULL);
        s->address = g_key_file_get_string(keys, "Ensemble", "Advertise", NULL);
        if (!s->address)
                s->address = g_key_file_get_string(keys, "Ensemble", "Listen", NULL);
        return EXIT_STATUS_OK;
}

/*
 * The token
 */

/* The user that the agent runs as owns its store; before there is one it is named by its sysusers.d file. */
static void find_owner(const Setup *s, uid_t *ret_uid, gid_t *ret_gid) {
        const struct passwd *user = s->options->root ? NULL : getpwnam(AGENT_USER);
        struct stat st;

        *ret_uid = geteuid();
        *ret_gid = getegid();
        if (s->data && stat(s->data, &st) >= 0) {
                *ret_uid = st.st_uid;
                *ret_gid = st.st_gid;
        } else if (user) {
                *ret_uid = user->pw_uid;
                *ret_gid = user->pw_gid;
        }
}

ExitStatus setup_put_token(Setup *s, const char *token) {
        g_autofree char *line = g_strconcat(token, "\n", NULL), *temporary = g_strconcat(s->token, ".new", NULL);
        g_autofree char *directory = g_path_get_dirname(s->token);
        g_autoptr(GError) error = NULL;
        uid_t uid;
        gid_t gid;

        if (g_mkdir_with_parents(directory, 0755) < 0)
                return config_file_failed("make", directory, errno);
        if (!g_file_set_contents_full(temporary, line, -1, G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600,
                                      &error)) {
                print_error("%s", error->message);
                return g_error_matches(error, G_FILE_ERROR, G_FILE_ERROR_ACCES) ? EXIT_STATUS_ACCESS : EXIT_STATUS_FAILURE;
        }
        find_owner(s, &uid, &gid);
        if (chown(temporary, uid, gid) < 0 || rename(temporary, s->token) < 0) {
                int r = errno;

                (void) unlink(temporary);
                return config_file_failed("write", s->token, r);
        }
        s->token_written = true;
        return EXIT_STATUS_OK;
}

/*
 * The store
 */

bool setup_has_store(const Setup *s) {
        g_autofree char *meta = g_build_filename(s->data, "meta", NULL);

        return access(meta, F_OK) >= 0;
}

ExitStatus setup_keep_store(Setup *s) {
        g_autoptr(GDateTime) now = g_date_time_new_now_utc();
        g_autofree char *when = g_date_time_format(now, "%Y%m%dT%H%M%SZ");
        g_autofree char *kept = g_strconcat(s->data, ".kept-", when, NULL);
        struct stat st;

        if (stat(s->data, &st) < 0 || rename(s->data, kept) < 0) {
                int r = errno;

                if (r == EBUSY)
                        print_error("%s is a mount point and cannot be moved aside: stop convened.socket and convened.service, move "
                                    "what is in it elsewhere, and try again", s->data);
                return r == EBUSY ? EXIT_STATUS_CONFLICT : config_file_failed("move aside", s->data, r);
        }
        s->kept = g_steal_pointer(&kept);
        if (mkdir(s->data, 0700) < 0 || chown(s->data, st.st_uid, st.st_gid) < 0)
                return config_file_failed("make", s->data, errno);
        return EXIT_STATUS_OK;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
        return remove(path);
}

void setup_remove_tree(const char *directory) {
        if (nftw(directory, remove_one, DESCRIPTORS, FTW_DEPTH | FTW_PHYS) < 0 && errno != ENOENT)
                print_error("cannot remove %s: %s", directory, g_strerror(errno));
}

void setup_undo(Setup *s) {
        restore_drop_in(s);
        if (s->token_written)
                (void) unlink(s->token);
        s->token_written = false;
        if (!s->kept)
                return;

        /* What the agent has left that was not let in is no store: it goes. */
        if (setup_has_store(s) || renameat2(AT_FDCWD, s->kept, AT_FDCWD, s->data, RENAME_EXCHANGE) < 0) {
                print_error("the store is still in %s, and %s is in its place", s->kept, s->data);
                return;
        }
        setup_remove_tree(s->kept);
        g_clear_pointer(&s->kept, g_free);
}
