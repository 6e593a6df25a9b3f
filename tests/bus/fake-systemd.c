/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * fake-systemd ADDRESS GUARD LEADER-DIRECTORY WORK-DIRECTORY - as much of systemd as singletons need, for test-singleton*.py
 *
 * On the bus at ADDRESS it is org.freedesktop.systemd1.  It knows three kinds of units: convene-leader@NAME.service, which runs the real guard
 * with a notification socket in WORK-DIRECTORY and a watchdog; NAME.service, the application, which is nothing but its state, and is wanted by and bound to
 * its leader unit; and any other, which is up or not (candidate targets).  The application stops within the time it is given.  Where NAME ends in .timer, it
 * is the application and stops at once; the service of its name is bound to the same leader unit.
 *
 * Standard input: "start UNIT", "stop UNIT", "restart UNIT", "fail UNIT", "stopping MSEC" (how long applications take to stop), "stopped STATE" (what they are then), "timeout MSEC" (their
 * TimeoutStopSec=), "refuse yes|no"
 * (StartUnit fails as without polkit's consent), "job UNIT TYPE" (a job is under way for it; "-": no more), "kill UNIT SIGNAL".  Standard output: "USEC UNIT
 * STATE [TOKEN]" (CLOCK_MONOTONIC) for each change of state.
 */

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>

#include "agent/base/leader-file.h"

#define NAME "org.freedesktop.systemd1"
#define OBJECT "/org/freedesktop/systemd1"
#define MANAGER NAME ".Manager"
#define UNIT NAME ".Unit"
#define LEADER_PREFIX "convene-leader@"
#define WATCHDOG_USEC (UINT64_C(1) * 1000 * 1000)

typedef struct Unit {
        char *name, *path;
        const char *state;
        sd_id128_t invocation;
        char *job;                      /* type of the one that a test has put there */
        char *waits;                    /* path of the job that ends when it is up or down */
        pid_t pid;                      /* the guard */
        int notify;
        sd_event_source *child, *io, *watchdog, *timer;
        bool again;                     /* and started again */
} Unit;

static sd_event *event;
static sd_bus *bus;
static GHashTable *units;
static const char *guard, *leader_directory, *work_directory;
static uint64_t stopping_usec, timeout_usec = 100 * 1000;
static const char *stopped_state = "inactive";
static bool refuse;
static unsigned jobs;

static void unit_stop(Unit *u);

static bool is_leader(const Unit *u) {
        return g_str_has_prefix(u->name, LEADER_PREFIX);
}

static bool is_up(const Unit *u) {
        return !g_str_equal(u->state, "inactive") && !g_str_equal(u->state, "failed");
}

static char *election_of(const Unit *u) {
        const char *begin = is_leader(u) ? u->name + strlen(LEADER_PREFIX) : u->name;
        g_autofree char *stem = g_strndup(begin, strrchr(begin, '.') - begin), *timer = g_strconcat(stem, ".timer", NULL);

        return !is_leader(u) && g_hash_table_contains(units, timer) ? g_steal_pointer(&timer) : g_steal_pointer(&stem);
}

static Unit *unit_get(const char *name) {
        Unit *u = g_hash_table_lookup(units, name);

        if (u)
                return u;
        u = g_new0(Unit, 1);
        u->name = g_strdup(name);
        u->state = "inactive";
        u->notify = -1;
        g_assert_cmpint(sd_bus_path_encode(OBJECT "/unit", name, &u->path), >=, 0);
        g_hash_table_insert(units, u->name, u);
        return u;
}

/* The other of application and leader unit; NULL: it is neither. */
static Unit *unit_other(const Unit *u) {
        g_autofree char *election = election_of(u), *other = NULL;

        if (!g_str_has_suffix(u->name, ".service") && !g_str_has_suffix(u->name, ".timer"))
                return NULL;
        if (is_leader(u))
                other = g_str_has_suffix(election, ".timer") ? g_strdup(election) : g_strdup_printf("%s.service", election);
        else
                other = g_strdup_printf(LEADER_PREFIX "%s.service", election);
        return unit_get(other);
}

/* What the timer of a leader unit has started; NULL: it is no timer's, or nothing. */
static Unit *unit_triggered(const Unit *leader) {
        g_autofree char *election = election_of(leader), *name = NULL;

        if (!g_str_has_suffix(election, ".timer"))
                return NULL;
        name = g_strdup_printf("%.*s.service", (int) (strlen(election) - strlen(".timer")), election);
        return g_hash_table_lookup(units, name);
}

/*
 * What is told
 */

static void append_properties(sd_bus_message *m, const Unit *u) {
        const char *sub = g_str_equal(u->state, "active") ? "running" : "dead";

        g_assert_cmpint(sd_bus_message_open_container(m, 'a', "{sv}"), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "{sv}{sv}{sv}", "Id", "s", u->name, "ActiveState", "s", u->state, "SubState", "s", sub), >=, 0);
        g_assert_cmpint(sd_bus_message_open_container(m, 'e', "sv"), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "s", "InvocationID"), >=, 0);
        g_assert_cmpint(sd_bus_message_open_container(m, 'v', "ay"), >=, 0);
        g_assert_cmpint(sd_bus_message_append_array(m, 'y', &u->invocation, sd_id128_is_null(u->invocation) ? 0 : 16), >=, 0);
        for (unsigned i = 0; i < 2; i++)
                g_assert_cmpint(sd_bus_message_close_container(m), >=, 0);
        if (is_leader(u)) {
                const Unit *triggered = unit_triggered(u);

                g_assert_cmpint(sd_bus_message_append(m, "{sv}", "BoundBy", "as", triggered ? 2 : 1, unit_other(u)->name,
                                                      triggered ? triggered->name : NULL), >=, 0);
        }
        g_assert_cmpint(sd_bus_message_close_container(m), >=, 0);
}

static void tell_token(const Unit *u) {
        g_autofree char *election = election_of(u), *path = g_build_filename(leader_directory, election, NULL), *file = NULL;
        size_t size;

        if (g_str_equal(u->state, "active") && unit_other(u) && g_file_get_contents(path, &file, &size, NULL) &&
            size == sizeof(LeaderFile))
                printf(" %" PRIu64, ((const LeaderFile *) (const void *) file)->token);
}

static void unit_set(Unit *u, const char *state) {
        sd_bus_message *m;

        if (g_str_equal(u->state, state))
                return;
        u->state = state;
        printf("%" G_GINT64_FORMAT " %s %s", g_get_monotonic_time(), u->name, state);
        tell_token(u);
        printf("\n");
        fflush(stdout);
        g_assert_cmpint(sd_bus_message_new_signal(bus, &m, u->path, "org.freedesktop.DBus.Properties", "PropertiesChanged"), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "s", UNIT), >=, 0);
        append_properties(m, u);
        g_assert_cmpint(sd_bus_message_append(m, "as", 0), >=, 0);
        g_assert_cmpint(sd_bus_send(bus, m, NULL), >=, 0);
        sd_bus_message_unref(m);
}

static void job_done(Unit *u, const char *result) {
        g_autofree char *path = g_steal_pointer(&u->waits);

        if (path)
                g_assert_cmpint(sd_bus_emit_signal(bus, OBJECT, MANAGER, "JobRemoved", "uoss", (uint32_t) atoi(strrchr(path, '/') + 1),
                                                   path, u->name, result), >=, 0);
}

/*
 * The leader unit: a process
 */

static void unit_start(Unit *u) {
        Unit *other = unit_other(u);

        if (is_up(u))
                return;
        g_assert_cmpint(sd_id128_randomize(&u->invocation), >=, 0);
        if (other && !is_leader(u) && !is_up(other)) {
                job_done(u, "done");            /* the condition: this host does not lead */
                return;
        }
        unit_set(u, "active");
        job_done(u, "done");
}

static void guard_ended(Unit *u, int status) {
        Unit *application = unit_other(u), *triggered = unit_triggered(u);

        u->child = sd_event_source_disable_unref(u->child);
        u->io = sd_event_source_disable_unref(u->io);
        u->watchdog = sd_event_source_disable_unref(u->watchdog);
        if (u->notify >= 0)
                close(u->notify);
        u->notify = -1;
        u->pid = 0;
        unit_set(u, WIFEXITED(status) && WEXITSTATUS(status) == 0 ? "inactive" : "failed");
        job_done(u, g_str_equal(u->state, "inactive") ? "done" : "failed");
        unit_stop(application);                 /* bound to it */
        if (triggered)
                unit_stop(triggered);
}

static int on_guard_ended(sd_event_source *source, const siginfo_t *si, void *userdata) {
        guard_ended(userdata, si->si_code == CLD_EXITED ? si->si_status << 8 : si->si_status);
        return 0;
}

static int on_watchdog(sd_event_source *source, uint64_t usec, void *userdata) {
        Unit *u = userdata;

        kill(u->pid, SIGKILL);
        return 0;
}

static int on_notified(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Unit *u = userdata;
        char text[1024];
        ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

        if (n < 0)
                return 0;
        text[n] = '\0';
        (void) sd_event_source_set_time_relative(u->watchdog, WATCHDOG_USEC);
        if (strstr(text, "READY=1")) {
                unit_set(u, "active");
                job_done(u, "done");
                unit_start(unit_other(u));      /* wanted by it */
        }
        return 0;
}

static void listen_to(Unit *u, struct sockaddr_un *sa) {
        *sa = (struct sockaddr_un) { .sun_family = AF_UNIX };
        g_snprintf(sa->sun_path, sizeof(sa->sun_path), "%s/notify-%u", work_directory, ++jobs);
        u->notify = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        g_assert_cmpint(u->notify, >=, 0);
        g_assert_cmpint(bind(u->notify, (struct sockaddr *) sa, sizeof(*sa)), ==, 0);
        g_assert_cmpint(sd_event_add_io(event, &u->io, u->notify, EPOLLIN, on_notified, u), >=, 0);
        g_assert_cmpint(sd_event_add_time_relative(event, &u->watchdog, CLOCK_MONOTONIC, WATCHDOG_USEC, 1000, on_watchdog, u), >=, 0);
}

static void guard_start(Unit *u) {
        g_autofree char *election = election_of(u), *flag = g_build_filename(leader_directory, election, NULL);
        struct sockaddr_un sa;

        if (is_up(u))
                return;
        g_assert_cmpint(sd_id128_randomize(&u->invocation), >=, 0);
        if (access(flag, F_OK) < 0) {
                job_done(u, "done");            /* the condition */
                return;
        }
        unit_set(u, "activating");
        listen_to(u, &sa);
        u->pid = fork();
        g_assert_cmpint(u->pid, >=, 0);
        if (u->pid == 0) {
                sigset_t none;

                sigemptyset(&none);
                sigprocmask(SIG_SETMASK, &none, NULL);
                setenv("NOTIFY_SOCKET", sa.sun_path, 1);
                setenv("WATCHDOG_USEC", G_STRINGIFY(1000000), 1);
                unsetenv("WATCHDOG_PID");
                execl(guard, guard, election, leader_directory, NULL);
                _exit(126);
        }
        g_assert_cmpint(sd_event_add_child(event, &u->child, u->pid, WEXITED, on_guard_ended, u), >=, 0);
}

/*
 * The application
 */

static void application_ended(Unit *u, const char *state) {
        Unit *leader = unit_other(u), *triggered = unit_triggered(leader);

        u->timer = sd_event_source_disable_unref(u->timer);
        g_clear_pointer(&u->job, g_free);
        unit_set(u, state);
        job_done(u, "done");
        if (u->again) {
                u->again = false;
                unit_start(u);
        } else if (leader->pid > 0 && !is_up(unit_other(leader)) && !(triggered && is_up(triggered)))
                kill(leader->pid, SIGTERM);     /* not needed any more, or to be stopped after this */
}

static int on_stopped(sd_event_source *source, uint64_t usec, void *userdata) {
        application_ended(userdata, stopped_state);
        return 0;
}

static void unit_stop(Unit *u) {
        Unit *other = unit_other(u);

        if (!is_up(u)) {
                job_done(u, "done");
                return;
        }
        if (!other) {
                unit_set(u, "inactive");
                job_done(u, "done");
        } else if (is_leader(u)) {
                Unit *triggered = unit_triggered(u);
                bool wait = is_up(other) || (triggered && is_up(triggered));

                if (is_up(other))
                        unit_stop(other);       /* first what is bound to it and comes after it */
                if (triggered && is_up(triggered))
                        unit_stop(triggered);
                if (!wait)
                        kill(u->pid, SIGTERM);
        } else if (g_str_has_suffix(u->name, ".timer"))
                application_ended(u, "inactive");
        else if (!u->timer) {
                unit_set(u, "deactivating");
                g_assert_cmpint(sd_event_add_time_relative(event, &u->timer, CLOCK_MONOTONIC, stopping_usec, 1, on_stopped, u), >=, 0);
        }
}

/*
 * The bus
 */

static int answer_object(sd_bus_message *m, const Unit *u) {
        return u ? sd_bus_reply_method_return(m, "o", u->path) : sd_bus_reply_method_errorf(m, NAME ".NoSuchUnit", "not loaded");
}

static int on_job(sd_bus_message *m, bool start) {
        const char *name;
        Unit *u;

        g_assert_cmpint(sd_bus_message_read(m, "ss", &name, NULL), >, 0);
        if (start && refuse)
                return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_ACCESS_DENIED, "Permission denied");
        u = unit_get(name);
        g_free(u->waits);
        u->waits = g_strdup_printf(OBJECT "/job/%u", ++jobs);
        g_assert_cmpint(sd_bus_reply_method_return(m, "o", u->waits), >=, 0);
        if (start && is_up(u))
                job_done(u, "done");
        else if (start)
                is_leader(u) ? guard_start(u) : unit_start(u);
        else
                unit_stop(u);
        return 1;
}

static int on_list(sd_bus_message *m) {
        sd_bus_message *reply;
        GHashTableIter i;
        gpointer p;

        g_assert_cmpint(sd_bus_message_new_method_return(m, &reply), >=, 0);
        g_assert_cmpint(sd_bus_message_open_container(reply, 'a', "(ssssssouso)"), >=, 0);
        g_hash_table_iter_init(&i, units);
        while (g_hash_table_iter_next(&i, NULL, &p)) {
                const Unit *u = p;

                if (g_str_equal(u->state, "active"))
                        g_assert_cmpint(sd_bus_message_append(reply, "(ssssssouso)", u->name, "", "loaded", u->state, "", "", u->path,
                                                              (uint32_t) 0, "", "/"), >=, 0);
        }
        g_assert_cmpint(sd_bus_message_close_container(reply), >=, 0);
        g_assert_cmpint(sd_bus_send(bus, reply, NULL), >=, 0);
        sd_bus_message_unref(reply);
        return 1;
}

static int on_by_invocation(sd_bus_message *m) {
        const void *id;
        GHashTableIter i;
        size_t size;
        gpointer p;

        g_assert_cmpint(sd_bus_message_read_array(m, 'y', &id, &size), >, 0);
        g_hash_table_iter_init(&i, units);
        while (g_hash_table_iter_next(&i, NULL, &p))
                if (size == 16 && memcmp(&((Unit *) p)->invocation, id, size) == 0 && is_up(p))
                        return answer_object(m, p);
        return sd_bus_reply_method_errorf(m, NAME ".NoUnitForInvocationID", "no such run");
}

static int on_manager(sd_bus_message *m, const char *member) {
        const char *name;

        if (g_str_equal(member, "Subscribe"))
                return sd_bus_reply_method_return(m, NULL);
        if (g_str_equal(member, "GetUnit")) {
                g_assert_cmpint(sd_bus_message_read(m, "s", &name), >, 0);
                return answer_object(m, g_hash_table_lookup(units, name));
        }
        if (g_str_equal(member, "LoadUnit")) {
                g_assert_cmpint(sd_bus_message_read(m, "s", &name), >, 0);
                return answer_object(m, unit_get(name));
        }
        if (g_str_equal(member, "GetUnitByPID"))
                return answer_object(m, g_hash_table_lookup(units, "convened.service"));
        if (g_str_equal(member, "GetUnitByInvocationID"))
                return on_by_invocation(m);
        if (g_str_equal(member, "ListUnitsByPatterns"))
                return on_list(m);
        if (g_str_equal(member, "StartUnit") || g_str_equal(member, "StopUnit"))
                return on_job(m, g_str_equal(member, "StartUnit"));
        return 0;
}

static int on_properties(sd_bus_message *m, const Unit *u) {
        g_autofree char *job = u->job ? g_strdup_printf("%s/job", u->path) : g_strdup("/");
        sd_bus_message *reply;

        if (g_str_equal(sd_bus_message_get_member(m), "Get")) {
                const char *property;

                g_assert_cmpint(sd_bus_message_read(m, "ss", NULL, &property), >, 0);
                return g_str_equal(property, "TimeoutStopUSec") ? sd_bus_reply_method_return(m, "v", "t", timeout_usec) :
                       sd_bus_reply_method_return(m, "v", "(uo)", (uint32_t) (u->job != NULL), job);
        }
        g_assert_cmpint(sd_bus_message_new_method_return(m, &reply), >=, 0);
        append_properties(reply, u);
        g_assert_cmpint(sd_bus_send(bus, reply, NULL), >=, 0);
        sd_bus_message_unref(reply);
        return 1;
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *path = sd_bus_message_get_path(m), *member = sd_bus_message_get_member(m);
        GHashTableIter i;
        uint8_t type = 0;
        gpointer p;

        (void) sd_bus_message_get_type(m, &type);
        if (type != SD_BUS_MESSAGE_METHOD_CALL || !path)
                return 0;
        if (g_str_equal(path, OBJECT))
                return on_manager(m, member);
        g_hash_table_iter_init(&i, units);
        while (g_hash_table_iter_next(&i, NULL, &p)) {
                const Unit *u = p;

                if (g_str_equal(path, u->path))
                        return on_properties(m, u);
                if (u->job && g_str_has_prefix(path, u->path))          /* its job's JobType */
                        return sd_bus_reply_method_return(m, "v", "s", u->job);
        }
        return 0;
}

/*
 * The test
 */

static void obey(char **words) {
        Unit *u = words[0] && words[1] ? unit_get(words[1]) : NULL;

        g_assert_nonnull(u);
        if (g_str_equal(words[0], "start") || g_str_equal(words[0], "restart"))
                g_assert_cmpint(sd_bus_emit_signal(bus, OBJECT, MANAGER, "JobNew", "uos", ++jobs, OBJECT "/job/0", u->name), >=, 0);
        if (g_str_equal(words[0], "start"))
                is_leader(u) ? guard_start(u) : unit_start(u);
        else if (g_str_equal(words[0], "stop")) {
                if (unit_other(u) && is_up(u)) {
                        g_autofree char *job = g_strdup_printf("%s/job", u->path);

                        g_free(u->job);
                        u->job = g_strdup("stop");
                        g_assert_cmpint(sd_bus_emit_signal(bus, OBJECT, MANAGER, "JobNew", "uos", ++jobs, job, u->name), >=, 0);
                }
                unit_stop(u);
        } else if (g_str_equal(words[0], "restart")) {
                u->again = unit_other(u) != NULL;
                unit_stop(u);
                if (!u->again)
                        unit_start(u);
        } else if (g_str_equal(words[0], "fail"))
                application_ended(u, "failed");
        else if (g_str_equal(words[0], "stopping"))
                stopping_usec = g_ascii_strtoull(words[1], NULL, 10) * 1000;
        else if (g_str_equal(words[0], "timeout"))
                timeout_usec = g_str_equal(words[1], "infinity") ? UINT64_MAX : g_ascii_strtoull(words[1], NULL, 10) * 1000;
        else if (g_str_equal(words[0], "stopped"))
                stopped_state = g_str_equal(words[1], "failed") ? "failed" : "inactive";
        else if (g_str_equal(words[0], "refuse"))
                refuse = g_str_equal(words[1], "yes");
        else if (g_str_equal(words[0], "job")) {
                g_free(u->job);
                u->job = g_str_equal(words[2], "-") ? NULL : g_strdup(words[2]);
        } else if (g_str_equal(words[0], "kill"))
                kill(u->pid, atoi(words[2]));
        else
                g_error("no such order: %s", words[0]);
}

static int on_order(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        static GString *rest;
        char buffer[4096], *end;
        ssize_t n = read(fd, buffer, sizeof(buffer));

        if (n <= 0)
                return sd_event_exit(event, 0);
        if (!rest)
                rest = g_string_new(NULL);
        g_string_append_len(rest, buffer, n);
        while ((end = strchr(rest->str, '\n'))) {
                g_auto(GStrv) words = NULL;

                *end = '\0';
                words = g_strsplit(rest->str, " ", -1);
                obey(words);
                g_string_erase(rest, 0, end - rest->str + 1);
        }
        return 0;
}

int main(int argc, char *argv[]) {
        sigset_t mask;

        if (argc != 5)
                return 64;
        guard = argv[2];
        leader_directory = argv[3];
        work_directory = argv[4];
        units = g_hash_table_new(g_str_hash, g_str_equal);
        sigemptyset(&mask);
        sigaddset(&mask, SIGCHLD);
        sigprocmask(SIG_BLOCK, &mask, NULL);
        g_assert_cmpint(sd_event_default(&event), >=, 0);
        g_assert_cmpint(sd_bus_new(&bus), >=, 0);
        g_assert_cmpint(sd_bus_set_address(bus, argv[1]), >=, 0);
        g_assert_cmpint(sd_bus_set_bus_client(bus, true), >=, 0);
        g_assert_cmpint(sd_bus_start(bus), >=, 0);
        g_assert_cmpint(sd_bus_attach_event(bus, event, 0), >=, 0);
        g_assert_cmpint(sd_bus_add_filter(bus, NULL, on_message, NULL), >=, 0);
        g_assert_cmpint(sd_bus_request_name(bus, NAME, 0), >=, 0);
        g_assert_cmpint(sd_event_add_io(event, NULL, STDIN_FILENO, EPOLLIN, on_order, NULL), >=, 0);
        unit_set(unit_get("convened.service"), "active");
        return sd_event_loop(event);
}
