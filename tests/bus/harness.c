/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Harness
 */

#include "tests/bus/harness.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib/gstdio.h>

#define WAIT_USEC (UINT64_C(30) * 1000 * 1000)

const char *convened_path, *dbus_daemon_path;
Agent *shared;

/*
 * Processes
 */

/* In the child: it does not outlive a test that fails. */
static void die_with_parent(gpointer userdata) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* Runs it and returns the first line it prints. */
static char *start(char **argv, GPid *ret_pid) {
        g_autoptr(GError) error = NULL;
        GString *line = g_string_new(NULL);
        char c;
        int fd;

        g_spawn_async_with_pipes(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, die_with_parent, NULL, ret_pid, NULL, &fd, NULL,
                                 &error);
        g_assert_no_error(error);
        while (read(fd, &c, 1) == 1 && c != '\n')
                g_string_append_c(line, c);
        close(fd);
        return g_string_free(line, FALSE);
}

static void reap(GPid *pid, int signal_number) {
        int status;

        if (*pid == 0)
                return;
        kill(*pid, signal_number);
        g_assert_cmpint(waitpid(*pid, &status, 0), ==, *pid);
        if (signal_number == SIGTERM)
                g_assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        g_spawn_close_pid(*pid);
        *pid = 0;
}

static void start_broker(Agent *a) {
        g_autofree char *conf = g_build_filename(a->directory, "broker.conf", NULL);
        g_autofree char *text = g_strdup_printf(
                "<busconfig><type>session</type><listen>unix:path=%s/broker</listen><auth>EXTERNAL</auth>"
                "<policy context='default'><allow user='*'/><allow own='*'/><allow send_destination='*'/>"
                "<allow receive_sender='*'/></policy>"
                "<limit name='max_replies_per_connection'>100000</limit>"
                "<limit name='max_connections_per_user'>4096</limit></busconfig>", a->directory);
        char *argv[] = { (char *) dbus_daemon_path, g_strdup_printf("--config-file=%s", conf), (char *) "--nofork",
                         (char *) "--nosyslog", (char *) "--print-address=1", NULL };

        g_assert_true(g_file_set_contents(conf, text, -1, NULL));
        a->broker_address = start(argv, &a->broker_pid);
        g_assert_cmpstr(a->broker_address, !=, "");
        g_free(argv[1]);
}

void agent_start(Agent *a) {
        g_autofree char *data = g_build_filename(a->directory, "data", NULL);
        g_autofree char *ready = NULL;
        const char *argv[] = { convened_path, "--data", data, "--socket", a->socket, "--config", a->conf,
                               "--print-ready", a->broker_address ? "--bus-address" : "--no-system-bus",
                               a->broker_address, NULL };

        ready = start((char **) argv, &a->pid);
        g_assert_true(g_str_has_prefix(ready, "ready"));
}

Agent *agent_new(const char *limits) {
        Agent *a = g_new0(Agent, 1);
        g_autofree char *text = g_strdup_printf("[Agent]\nName=testhost\n[Tree]\nReapInterval=200ms\n[Limits]\n%s",
                                                limits ? limits : "");

        a->directory = g_dir_make_tmp("convene-bus-XXXXXX", NULL);
        g_assert_nonnull(a->directory);
        g_assert_cmpint(chmod(a->directory, 0755), ==, 0);
        a->socket = g_build_filename(a->directory, "bus", NULL);
        a->conf = g_build_filename(a->directory, "convened.conf", NULL);
        g_assert_true(g_file_set_contents(a->conf, text, -1, NULL));
        if (dbus_daemon_path)
                start_broker(a);
        agent_start(a);
        return a;
}

void agent_stop(Agent *a, int signal_number) {
        reap(&a->pid, signal_number);
}

bool agent_is_running(const Agent *a) {
        return waitpid(a->pid, NULL, WNOHANG) == 0;
}

static void remove_tree(const char *path) {
        GDir *d = g_dir_open(path, 0, NULL);
        const char *name;

        while (d && (name = g_dir_read_name(d))) {
                g_autofree char *child = g_build_filename(path, name, NULL);

                remove_tree(child);
        }
        if (d)
                g_dir_close(d);
        g_assert_cmpint(g_remove(path), ==, 0);
}

Agent *agent_free(Agent *a) {
        if (!a)
                return NULL;
        reap(&a->pid, SIGTERM);
        reap(&a->broker_pid, SIGTERM);
        remove_tree(a->directory);
        g_free(a->directory);
        g_free(a->socket);
        g_free(a->conf);
        g_free(a->broker_address);
        g_free(a);
        return NULL;
}

/*
 * Connections
 */

static sd_bus *connect_to(const char *address, uid_t uid) {
        sd_bus *bus = NULL;

        g_assert_cmpint(sd_bus_new(&bus), >=, 0);
        g_assert_cmpint(sd_bus_set_address(bus, address), >=, 0);
        g_assert_cmpint(sd_bus_set_bus_client(bus, true), >=, 0);
        g_assert_cmpint(sd_bus_negotiate_fds(bus, true), >=, 0);
        /* The kernel notes who connects. */
        if (uid != geteuid())
                g_assert_cmpint(seteuid(uid), ==, 0);
        g_assert_cmpint(sd_bus_start(bus), >=, 0);
        while (sd_bus_is_ready(bus) == 0) {
                g_assert_cmpint(sd_bus_process(bus, NULL), >=, 0);
                if (sd_bus_is_ready(bus) == 0)
                        g_assert_cmpint(sd_bus_wait(bus, WAIT_USEC), >=, 0);
        }
        if (geteuid() != getuid())
                g_assert_cmpint(seteuid(getuid()), ==, 0);
        g_assert_cmpint(sd_bus_set_method_call_timeout(bus, WAIT_USEC), >=, 0);
        return bus;
}

sd_bus *peer_new_socket(Agent *a) {
        g_autofree char *address = g_strdup_printf("unix:path=%s", a->socket);

        return connect_to(address, geteuid());
}

sd_bus *peer_new_as(Agent *a, uid_t uid) {
        g_autofree char *address = g_strdup_printf("unix:path=%s", a->socket);

        return connect_to(a->broker_address ? a->broker_address : address, uid);
}

sd_bus *peer_new(Agent *a) {
        return peer_new_as(a, geteuid());
}

/* Under AddressSanitizer leaks are looked for in the agent, which is a process of its own and ends with status 99 if it has
 * any.  What sd-bus keeps of a client's connection that was closed with signals still under way is not ours to free. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) {
        return 1;
}

void peer_free(sd_bus *bus) {
        sd_bus_flush_close_unref(bus);
}

static void raw_write(int fd, const char *text) {
        g_assert_cmpint(write(fd, text, strlen(text)), ==, strlen(text));
}

int raw_new(Agent *a) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        g_autofree char *uid = g_strdup_printf("%u", (unsigned) geteuid());
        GString *hex = g_string_new("AUTH EXTERNAL ");
        g_autoptr(GString) answer = g_string_new(NULL);
        char c;
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        g_strlcpy(sa.sun_path, a->socket, sizeof(sa.sun_path));
        g_assert_cmpint(connect(fd, (struct sockaddr *) &sa, sizeof(sa)), ==, 0);
        for (const char *digit = uid; *digit; digit++)
                g_string_append_printf(hex, "%02x", *digit);
        g_string_append(hex, "\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n");
        g_assert_cmpint(write(fd, "", 1), ==, 1);
        raw_write(fd, hex->str);
        g_string_free(hex, TRUE);
        while (!g_str_has_suffix(answer->str, "AGREE_UNIX_FD\r\n")) {
                g_assert_cmpint(read(fd, &c, 1), ==, 1);
                g_string_append_c(answer, c);
        }
        g_assert_true(g_str_has_prefix(answer->str, "OK "));
        return fd;
}

/*
 * Calls
 */

static int call_v(sd_bus *bus, sd_bus_error *error, sd_bus_message **ret, const char *interface, const char *member,
                  const char *types, va_list ap) {
        return sd_bus_call_methodv(bus, "org.convene1", "/org/convene1", interface, member, error, ret, types, ap);
}

sd_bus_message *call(sd_bus *bus, const char *interface, const char *member, const char *types, ...) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        va_list ap;
        int r;

        va_start(ap, types);
        r = call_v(bus, &error, &reply, interface, member, types, ap);
        va_end(ap);
        if (r < 0)
                g_error("%s.%s: %s: %s", interface, member, error.name, error.message);
        return reply;
}

char *call_fails(sd_bus *bus, const char *name, const char *interface, const char *member, const char *types, ...) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        char *text;
        va_list ap;
        int r;

        va_start(ap, types);
        r = call_v(bus, &error, NULL, interface, member, types, ap);
        va_end(ap);
        g_assert_cmpint(r, <, 0);
        g_assert_cmpstr(error.name, ==, name);
        text = g_strdup(error.message);
        g_assert_cmpuint(strlen(text), >, 10);
        sd_bus_error_free(&error);
        return text;
}

typedef struct Later {
        Record *record;
        char *label;
} Later;

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        g_autofree Later *later = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);

        later->record->replies++;
        if (e)
                g_ptr_array_add(later->record->lines, g_strdup_printf("error %s %s", later->label, e->name));
        else
                g_ptr_array_add(later->record->lines, g_strdup_printf("reply %s", later->label));
        g_free(later->label);
        return 1;
}

void call_later(sd_bus *bus, Record *record, const char *label, const char *interface, const char *member,
                const char *types, ...) {
        Later *later = g_new0(Later, 1);
        va_list ap;

        later->record = record;
        later->label = g_strdup(label);
        va_start(ap, types);
        g_assert_cmpint(sd_bus_call_method_asyncv(bus, NULL, "org.convene1", "/org/convene1", interface, member, on_reply,
                                                  later, types, ap), >=, 0);
        va_end(ap);
}

void send_later(sd_bus *bus, Record *record, const char *label, sd_bus_message *m) {
        Later *later = g_new0(Later, 1);

        later->record = record;
        later->label = g_strdup(label);
        g_assert_cmpint(sd_bus_call_async(bus, NULL, m, on_reply, later, 0), >=, 0);
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *type, *path;
        Record *r = userdata;
        uint64_t number, zxid;
        int flag;

        if (sd_bus_message_is_signal(m, WATCHES, "Event")) {
                g_assert_cmpint(sd_bus_message_read(m, "tsstb", &number, &type, &path, &zxid, &flag), >, 0);
                g_ptr_array_add(r->lines, g_strdup_printf("event %" PRIu64 " %s %s%s", number, type, path,
                                                          flag ? " spent" : ""));
        } else if (sd_bus_message_is_signal(m, SESSIONS, "Ended")) {
                g_assert_cmpint(sd_bus_message_read(m, "tb", &number, &flag), >, 0);
                g_ptr_array_add(r->lines, g_strdup_printf("ended %" PRIu64 "%s", number, flag ? " expired" : ""));
        } else if (sd_bus_message_is_signal(m, "org.convene1.Locks", "Granted")) {
                g_assert_cmpint(sd_bus_message_read(m, "tsu", &number, &path, &flag), >, 0);
                g_ptr_array_add(r->lines, g_strdup_printf("granted %" PRIu64 " %s", number, path));
        }
        return 0;
}

Record *record_new(sd_bus *bus) {
        Record *r = g_new0(Record, 1);

        r->lines = g_ptr_array_new_with_free_func(g_free);
        g_assert_cmpint(sd_bus_add_filter(bus, NULL, on_signal, r), >=, 0);
        return r;
}

void record_free(Record *r) {
        g_ptr_array_unref(r->lines);
        g_free(r);
}

void record_wait(sd_bus *bus, Record *r, unsigned lines) {
        while (r->lines->len < lines) {
                int k = sd_bus_process(bus, NULL);

                g_assert_cmpint(k, >=, 0);
                if (k == 0 && sd_bus_wait(bus, WAIT_USEC) == 0) {
                        for (unsigned i = 0; i < r->lines->len; i++)
                                g_printerr("line %u: %s\n", i, record_line(r, i));
                        g_error("only %u lines of %u came", r->lines->len, lines);
                }
        }
}

void make_open(sd_bus *bus, const char *path) {
        sd_bus_message_unref(call(bus, TREE, "Create", "saysa{sv}", path, 0, "persistent", 1, "acl", "a(uss)", 1, 31, "world",
                                  "anyone"));
}

bool exists(sd_bus *bus, const char *path) {
        g_autoptr(sd_bus_message) reply = call(bus, TREE, "Exists", "sa{sv}", path, 0);
        int there;

        g_assert_cmpint(sd_bus_message_read(reply, "b", &there), >, 0);
        return there;
}

/* A one-shot watch tells when to look again. */
void wait_exists(sd_bus *bus, const char *path, bool wanted) {
        for (;;) {
                sd_bus_message *m = NULL;
                int there;
                g_autoptr(sd_bus_message) reply = call(bus, TREE, "Exists", "sa{sv}", path, 1, "watch", "t",
                                                       UINT64_C(0x77616974));

                g_assert_cmpint(sd_bus_message_read(reply, "b", &there), >, 0);
                if (there == wanted)
                        break;
                for (bool told = false; !told;) {
                        int r = sd_bus_process(bus, &m);

                        g_assert_cmpint(r, >=, 0);
                        told = m && sd_bus_message_is_signal(m, WATCHES, "Event") > 0;
                        m = sd_bus_message_unref(m);
                        if (r == 0)
                                g_assert_cmpint(sd_bus_wait(bus, WAIT_USEC), >, 0);
                }
        }
        call(bus, WATCHES, "Unwatch", "ts", UINT64_C(0x77616974), "");
}

uint64_t agent_statistic(Agent *a, const char *name) {
        g_autoptr(sd_bus) bus = peer_new(a);
        g_autoptr(sd_bus_message) reply = call(bus, "org.convene1.Statistics", "Get", NULL);
        uint64_t value, found = UINT64_MAX;
        const char *key;

        g_assert_cmpint(sd_bus_message_enter_container(reply, 'a', "{st}"), >, 0);
        while (sd_bus_message_read(reply, "{st}", &key, &value) > 0)
                if (g_str_equal(key, name))
                        found = value;
        return found;
}
