/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * fake-logind ADDRESS - as much of logind as the agent needs, for test-absence.py
 *
 * On the bus at ADDRESS it is org.freedesktop.login1: Inhibit gives a descriptor and watches when its last copy is closed; its delay is the property
 * InhibitDelayMaxUSec.  It does not sleep: when it would do so is what it says.
 *
 * Standard input: "delay MSEC"; "refuse yes|no" (Inhibit fails as without polkit's consent); "sleep yes|no" and "shutdown yes|no" (PrepareForSleep,
 * PrepareForShutdown); "leave" and "come" (its name).  Standard output: "USEC inhibited WHAT MODE", "USEC refused", and
 * "USEC released" (CLOCK_MONOTONIC), "USEC going" when it waits for no lock any more after "yes", all of them released or the delay over, "USEC named" after "come".
 */

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <glib.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#define NAME "org.freedesktop.login1"
#define OBJECT "/org/freedesktop/login1"
#define MANAGER NAME ".Manager"

static sd_event *event;
static sd_bus *bus;
static sd_event_source *delay;
static uint64_t delay_usec = 5 * 1000 * 1000;
static unsigned locks;
static bool refuses, sleeps, shuts_down, waits;

G_GNUC_PRINTF(1, 2)
static void say(const char *format, ...) {
        va_list ap;

        printf("%" G_GINT64_FORMAT " ", g_get_monotonic_time());
        va_start(ap, format);
        vprintf(format, ap);
        va_end(ap);
        printf("\n");
        fflush(stdout);
}

static void go(void) {
        waits = false;
        delay = sd_event_source_disable_unref(delay);
        say("going");
}

static int on_released(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        sd_event_source_disable_unref(source);
        close(fd);
        locks--;
        say("released");
        if (waits && locks == 0)
                go();
        return 0;
}

static int on_delay(sd_event_source *source, uint64_t usec, void *userdata) {
        go();
        return 0;
}

static int on_inhibit(sd_bus_message *m) {
        const char *what, *mode;
        sd_event_source *source;
        int fds[2], r;

        g_assert_cmpint(sd_bus_message_read(m, "ssss", &what, NULL, NULL, &mode), >, 0);
        if (refuses) {
                say("refused");
                return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_ACCESS_DENIED, "Permission denied");
        }
        if (sleeps || shuts_down)
                return sd_bus_reply_method_errorf(m, NAME ".OperationInProgress", "The operation inhibition has been requested for is already running");
        g_assert_cmpint(pipe(fds), ==, 0);
        g_assert_cmpint(sd_event_add_io(event, &source, fds[0], 0, on_released, NULL), >=, 0);
        r = sd_bus_reply_method_return(m, "h", fds[1]);
        close(fds[1]);
        locks++;
        say("inhibited %s %s", what, mode);
        return r;
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        if (sd_bus_message_is_method_call(m, MANAGER, "Inhibit"))
                return on_inhibit(m);
        if (sd_bus_message_is_method_call(m, "org.freedesktop.DBus.Properties", "GetAll"))
                return sd_bus_reply_method_return(m, "a{sv}", 4, "NAutoVTs", "u", (uint32_t) 6, "InhibitDelayMaxUSec", "t", delay_usec,
                                                  "PreparingForSleep", "b", (int) sleeps, "PreparingForShutdown", "b", (int) shuts_down);
        return 0;
}

static void prepare(const char *signal, bool *state, bool begins) {
        *state = begins;
        g_assert_cmpint(sd_bus_emit_signal(bus, OBJECT, MANAGER, signal, "b", (int) begins), >=, 0);
        if (!begins)
                return;
        waits = true;
        if (locks == 0)
                go();
        else
                g_assert_cmpint(sd_event_add_time_relative(event, &delay, CLOCK_MONOTONIC, delay_usec, 1, on_delay, NULL), >=, 0);
}

static void obey(const char *line) {
        g_auto(GStrv) words = g_strsplit(line, " ", 2);
        bool yes = words[1] && g_str_equal(words[1], "yes");

        if (g_str_equal(words[0], "delay"))
                delay_usec = g_ascii_strtoull(words[1], NULL, 10) * 1000;
        else if (g_str_equal(words[0], "refuse"))
                refuses = yes;
        else if (g_str_equal(words[0], "sleep"))
                prepare("PrepareForSleep", &sleeps, yes);
        else if (g_str_equal(words[0], "shutdown"))
                prepare("PrepareForShutdown", &shuts_down, yes);
        else if (g_str_equal(words[0], "leave"))
                g_assert_cmpint(sd_bus_release_name(bus, NAME), >=, 0);
        else if (g_str_equal(words[0], "come")) {
                g_assert_cmpint(sd_bus_request_name(bus, NAME, 0), >=, 0);
                say("named");
        } else
                g_error("no such order: %s", line);
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
                *end = '\0';
                obey(rest->str);
                g_string_erase(rest, 0, end - rest->str + 1);
        }
        return 0;
}

int main(int argc, char *argv[]) {
        if (argc != 2)
                return 64;
        g_assert_cmpint(sd_event_default(&event), >=, 0);
        g_assert_cmpint(sd_bus_new(&bus), >=, 0);
        g_assert_cmpint(sd_bus_set_address(bus, argv[1]), >=, 0);
        g_assert_cmpint(sd_bus_set_bus_client(bus, true), >=, 0);
        g_assert_cmpint(sd_bus_start(bus), >=, 0);
        g_assert_cmpint(sd_bus_attach_event(bus, event, 0), >=, 0);
        g_assert_cmpint(sd_bus_add_filter(bus, NULL, on_message, NULL), >=, 0);
        g_assert_cmpint(sd_event_add_io(event, NULL, STDIN_FILENO, EPOLLIN, on_order, NULL), >=, 0);
        obey("come");
        return sd_event_loop(event);
}
