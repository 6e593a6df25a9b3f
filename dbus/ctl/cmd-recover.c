/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * member recover
 *
 * A majority of the voters is lost for good: this member goes on without them.  The agent's own program makes the new store beside the
 * old one; only then is anybody asked, and one exchange of two names puts it into place.
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/ensemble.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/service.h"
#include "dbus/ctl/setup.h"

#define WAIT_USEC (30 * G_USEC_PER_SEC)
#define LOOK_AGAIN_USEC 100000

/* The files are to be the agent's. */
static void become_owner(gpointer userdata) {
        const struct stat *owner = userdata;

        if (setgroups(0, NULL) < 0 || setgid(owner->st_gid) < 0 || setuid(owner->st_uid) < 0)
                _exit(EXIT_STATUS_ACCESS);
}

/* What it says goes where ours does: it is what the person has to decide about. */
static ExitStatus make_store(const Setup *s, const char *directory) {
        g_autofree char *program = service_program(), *into = g_strconcat("--recover-into=", directory, NULL);
        char *argv[] = { program, into, NULL };
        g_autofree char *output = NULL, *complaint = NULL;
        g_autoptr(GError) error = NULL;
        struct stat owner;
        int status;

        if (stat(s->data, &owner) < 0 || mkdir(directory, 0700) < 0 || chown(directory, owner.st_uid, owner.st_gid) < 0) {
                print_error("cannot make %s: %s", directory, g_strerror(errno));
                return EXIT_STATUS_FAILURE;
        }
        if (!g_spawn_sync("/", argv, NULL, G_SPAWN_DEFAULT, become_owner, &owner, &output, &complaint, &status, &error)) {
                print_error("%s", error->message);
                return EXIT_STATUS_FAILURE;
        }
        if (!g_spawn_check_wait_status(status, &error)) {
                g_strstrip(complaint);
                print_error("%s", g_str_has_prefix(complaint, "convened: ") ? complaint + strlen("convened: ") :
                            *complaint ? complaint : error->message);
                return EXIT_STATUS_CONFLICT;
        }
        if (!s->options->quiet && !s->options->json)
                fputs(output, stdout);
        return EXIT_STATUS_OK;
}

static bool has_agreed(const Setup *s) {
        g_autofree char *phrase = g_strdup_printf("%s goes on alone", s->name);
        char line[256] = "";

        if (s->options->yes)
                return true;

        printf("\nMake sure that none of the others runs, or ever comes back with its present disk.  Compare their zxids if you can: recover\n"
               "where it is highest.  To go on, type \"%s\": ", phrase);
        fflush(stdout);
        if (!fgets(line, sizeof(line), stdin))
                return false;
        return g_str_equal(g_strstrip(line), phrase);
}

/* Both names are there all the time: a host that loses power has the one store or the other. */
static ExitStatus exchange(Setup *s, const char *new) {
        g_autoptr(GDateTime) now = g_date_time_new_now_utc();
        g_autofree char *when = g_date_time_format(now, "%Y%m%dT%H%M%SZ"), *parent = g_path_get_dirname(s->data);
        g_autofree char *kept = g_strconcat(s->data, ".kept-", when, NULL);
        int fd;

        if (renameat2(AT_FDCWD, new, AT_FDCWD, s->data, RENAME_EXCHANGE) < 0) {
                print_error("cannot put %s into the place of %s: %s%s", new, s->data, g_strerror(errno),
                            errno == EBUSY ? ": it is a mount point; recover by hand, see convened(8)" : "");
                return EXIT_STATUS_FAILURE;
        }
        s->kept = g_strdup(rename(new, kept) >= 0 ? kept : new);
        fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0) {
                (void) fsync(fd);
                close(fd);
        }
        return EXIT_STATUS_OK;
}

/* One that serves has its majority; one that does not is stopped, so that its store can be read. */
static ExitStatus stop_if_lost(Ctl *c, Setup *s, bool *ret_stopped) {
        g_auto(AgentStatus) status = {};
        g_auto(ServiceState) state = {};
        Options o = *c->options;
        Ctl quick = { .options = &o, .hush = true, .no_auto_start = true };

        ExitStatus e = service_read(&state);
        if (e != EXIT_STATUS_OK)
                return e;
        s->was_up = service_is_up(&state);
        if (!s->was_up)
                return EXIT_STATUS_OK;

        o.timeout_msec = 5000;
        bool serves = agent_status_read(&quick, &status) == EXIT_STATUS_OK && status.serving;
        ctl_done(&quick);
        if (serves) {
                print_error("this member serves: a majority of the voters is here, and members that are lost can be removed (convenectl "
                            "member remove)");
                return EXIT_STATUS_CONFLICT;
        }
        *ret_stopped = true;
        return service_do("stop", "convened.socket", "convened.service", NULL);
}

static ExitStatus start_again(void) {
        ExitStatus e = service_do("start", "convened.socket", NULL);

        return e == EXIT_STATUS_OK ? service_do("restart", "--no-block", "convened.service", NULL) : e;
}

static ExitStatus await_serving(Ctl *c, AgentStatus *status) {
        int64_t end = g_get_monotonic_time() + WAIT_USEC;
        Options o = *c->options;

        o.timeout_msec = 1000;
        for (;;) {
                Ctl quick = { .options = &o, .hush = true, .no_auto_start = true };
                bool serves = agent_status_read(&quick, status) == EXIT_STATUS_OK && status->serving;

                ctl_done(&quick);
                if (serves)
                        return EXIT_STATUS_OK;
                if (g_get_monotonic_time() >= end)
                        break;
                g_usleep(LOOK_AGAIN_USEC);
        }
        print_error("the new store is in place, and its agent does not serve; see journalctl -u convened");
        return EXIT_STATUS_UNREACHABLE;
}

static void print_recovered(const Setup *s, const AgentStatus *status) {
        if (s->options->json) {
                g_autoptr(JsonObject) o = json_object_new_object();

                json_add_string(o, "name", s->name);
                json_add_string(o, "cluster_id", status->cluster_id);
                json_add_zxid(o, "zxid", status->zxid);
                json_add_string(o, "kept", s->kept);
                json_print(o);
        } else if (!s->options->quiet) {
                printf("\n%s leads ensemble %s, alone.  The store it had before is kept in %s.\nFor each of the others, here:\n\n"
                       "  convenectl member add NAME\n\nand what that prints there, with --discard.\n", s->name, status->cluster_id, s->kept);
        }
}

static ExitStatus recover(Ctl *c, Setup *s, const char *new) {
        g_auto(AgentStatus) status = {};
        bool stopped = false;

        ExitStatus e = stop_if_lost(c, s, &stopped);
        if (e == EXIT_STATUS_OK)
                e = make_store(s, new);
        if (e == EXIT_STATUS_OK && !has_agreed(s)) {
                print_error("not confirmed: everything is as it was before");
                e = EXIT_STATUS_CONFLICT;
        }
        if (e == EXIT_STATUS_OK)
                e = exchange(s, new);
        if (e != EXIT_STATUS_OK) {
                setup_remove_tree(new);
                if (stopped)
                        (void) start_again();
                return e;
        }

        e = start_again();
        if (e == EXIT_STATUS_OK)
                e = await_serving(c, &status);
        if (e == EXIT_STATUS_OK)
                print_recovered(s, &status);
        return e;
}

ExitStatus cmd_member_recover(Ctl *c, char **arguments, unsigned count) {
        g_auto(Setup) setup = {};

        if (!c->options->yes && (c->options->json || c->options->quiet)) {
                print_error("with --json or --quiet nothing is asked: --yes says that it is meant");
                return EXIT_STATUS_USAGE;
        }
        ExitStatus e = setup_begin(&setup, c->options);
        if (e == EXIT_STATUS_OK)
                e = setup_configure(&setup, true);
        if (e != EXIT_STATUS_OK)
                return e;
        if (!service_exists()) {
                print_error("there is no convened.service here; recover by hand, see convened(8)");
                return EXIT_STATUS_FAILURE;
        }
        if (!setup_has_store(&setup)) {
                print_error("there is no store in %s: nothing to recover from", setup.data);
                return EXIT_STATUS_NO_NODE;
        }

        g_autofree char *new = g_strconcat(setup.data, ".recovered", NULL);
        if (access(new, F_OK) >= 0) {
                print_error("%s is there, of a recovery that was interrupted: remove it first", new);
                return EXIT_STATUS_CONFLICT;
        }
        return recover(c, &setup, new);
}
