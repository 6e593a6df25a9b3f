/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Broker
 *
 * The bus is not attached to the event loop by sd-bus, which would take one message in each turn of it: what has come
 * is processed in one turn, up to a bound.
 */

#include "agent/main/broker.h"

#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include <glib.h>

#include "agent/main/journal.h"

#define RETRY_USEC UINT64_C(1000000)
#define NAME_RETRY_USEC UINT64_C(5000000)
#define MESSAGES_PER_TURN 64
#define NAME "org.convene1"

struct Broker {
        sd_event *event;
        char *address;
        BrokerListener listener;
        sd_bus *bus;
        sd_event_source *io, *timeout;  /* of the bus */
        sd_event_source *retry;
        sd_event_source *name_retry;
        bool want_name, has_name, refused;
        bool connected, complained;
};

static int connect_now(Broker *b);

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        return connect_now(userdata);
}

static int retry_later(Broker *b) {
        (void) sd_event_source_set_time_relative(b->retry, RETRY_USEC);
        return sd_event_source_set_enabled(b->retry, SD_EVENT_ONESHOT);
}

/*
 * The bus in the loop
 */

static int connection_lost(Broker *b);

static int turn(Broker *b) {
        sd_bus *bus = sd_bus_ref(b->bus);
        int r = 1;

        /* A handler may find out that the bus is gone. */
        for (unsigned n = 0; n < MESSAGES_PER_TURN && b->bus == bus && r > 0; n++)
                r = sd_bus_process(bus, NULL);
        sd_bus_unref(bus);
        return r < 0 && b->bus == bus ? connection_lost(b) : 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        return turn(userdata);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        return turn(userdata);
}

/* Before each wait: what sd-bus waits for. */
static int on_prepare(sd_event_source *source, void *userdata) {
        Broker *b = userdata;
        int fd = sd_bus_get_fd(b->bus), events = sd_bus_get_events(b->bus);
        uint64_t usec = UINT64_MAX;

        if (fd < 0 || events < 0 || sd_bus_get_timeout(b->bus, &usec) < 0)
                usec = 0;               /* it will say what is wrong */
        else {
                if (fd != sd_event_source_get_io_fd(source))
                        (void) sd_event_source_set_io_fd(source, fd);
                (void) sd_event_source_set_io_events(source, (uint32_t) events);
        }
        (void) sd_event_source_set_time(b->timeout, usec);
        return sd_event_source_set_enabled(b->timeout, usec == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static int attach(Broker *b) {
        int r;

        r = sd_event_add_time(b->event, &b->timeout, CLOCK_MONOTONIC, 0, 0, on_timeout, b);
        if (r < 0)
                return r;
        r = sd_event_add_io(b->event, &b->io, sd_bus_get_fd(b->bus), 0, on_io, b);
        if (r < 0)
                return r;
        return sd_event_source_set_prepare(b->io, on_prepare);
}

static void close_bus(Broker *b) {
        b->io = sd_event_source_disable_unref(b->io);
        b->timeout = sd_event_source_disable_unref(b->timeout);
        b->bus = sd_bus_close_unref(b->bus);
}

static void lose(Broker *b) {
        if (!b->bus)
                return;

        b->has_name = b->connected = b->refused = false;
        b->listener.changed(b->listener.userdata, NULL);
        close_bus(b);
}

static int connection_lost(Broker *b) {
        if (!b->complained)
                b->listener.named(b->listener.userdata, "the connection to the system bus is lost");
        b->complained = true;
        lose(b);
        return retry_later(b);
}

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return connection_lost(userdata);
}

/*
 * The name
 */

/* Said once: it is asked for again until it can be had. */
static void name_refused(Broker *b, const char *problem) {
        if (!b->refused)
                b->listener.named(b->listener.userdata, problem);
        b->refused = true;
        (void) sd_event_source_set_time_relative(b->name_retry, NAME_RETRY_USEC);
        (void) sd_event_source_set_enabled(b->name_retry, SD_EVENT_ONESHOT);
}

static int on_named(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Broker *b = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);
        uint32_t code = 0;

        if (e) {
                g_autofree char *problem = g_strdup_printf("the bus name " NAME " cannot be had: %s", e->message);

                name_refused(b, problem);
                return 0;
        }

        if (sd_bus_message_read(m, "u", &code) < 0 || (code != 1 && code != 4)) {
                name_refused(b, "the bus name " NAME " belongs to somebody else");
                return 0;
        }

        b->has_name = true;
        b->refused = false;
        b->listener.named(b->listener.userdata, NULL);
        return 0;
}

static int ask_for_name(Broker *b) {
        if (!b->bus || !b->want_name || b->has_name)
                return 0;

        (void) sd_event_source_set_enabled(b->name_retry, SD_EVENT_OFF);
        return sd_bus_request_name_async(b->bus, NULL, NAME, 0, on_named, b);
}

static int on_name_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Broker *b = userdata;

        /* Only a bus that has said that it is connected: until then on_connected() asks. */
        if (b->connected)
                (void) ask_for_name(b);
        return 0;
}

static int on_connected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Broker *b = userdata;

        if (b->complained)
                journal(LOG_NOTICE, NULL, "Connected to the system bus again");
        b->complained = false;
        b->connected = true;
        b->listener.changed(b->listener.userdata, b->bus);
        return ask_for_name(b);
}

static int open_bus(Broker *b) {
        int r;

        r = sd_bus_new(&b->bus);
        if (r < 0)
                return r;
        r = sd_bus_set_address(b->bus, b->address);
        if (r < 0)
                return r;
        r = sd_bus_set_bus_client(b->bus, true);
        if (r < 0)
                return r;
        r = sd_bus_set_connected_signal(b->bus, true);
        if (r < 0)
                return r;
        r = sd_bus_match_signal_async(b->bus, NULL, NULL, "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local",
                                      "Connected", on_connected, NULL, b);
        if (r < 0)
                return r;
        r = sd_bus_match_signal_async(b->bus, NULL, NULL, "/org/freedesktop/DBus/Local", "org.freedesktop.DBus.Local",
                                      "Disconnected", on_disconnected, NULL, b);
        if (r < 0)
                return r;
        r = sd_bus_start(b->bus);
        return r < 0 ? r : attach(b);
}

static int connect_now(Broker *b) {
        int r = open_bus(b);

        if (r >= 0)
                return 0;

        if (!b->complained) {
                g_autofree char *problem = g_strdup_printf("cannot connect to the system bus: %s", strerror(-r));

                b->listener.named(b->listener.userdata, problem);
        }
        b->complained = true;
        close_bus(b);
        return retry_later(b);
}

Broker *broker_new(sd_event *event, const char *address, const BrokerListener *listener) {
        Broker *b = g_new0(Broker, 1);

        b->event = sd_event_ref(event);
        b->address = g_strdup(address ?: g_getenv("DBUS_SYSTEM_BUS_ADDRESS") ?: "unix:path=/run/dbus/system_bus_socket");
        b->listener = *listener;
        if (sd_event_add_time_relative(event, &b->retry, CLOCK_MONOTONIC, 0, 0, on_retry, b) < 0 ||
            sd_event_add_time_relative(event, &b->name_retry, CLOCK_MONOTONIC, 0, 0, on_name_retry, b) < 0)
                g_error("cannot add a timer to the event loop");
        (void) sd_event_source_set_enabled(b->name_retry, SD_EVENT_OFF);
        return b;
}

Broker *broker_free(Broker *b) {
        if (!b)
                return NULL;

        if (b->bus) {
                (void) sd_bus_flush(b->bus);
                lose(b);
        }
        sd_event_source_disable_unref(b->retry);
        sd_event_source_disable_unref(b->name_retry);
        sd_event_unref(b->event);
        g_free(b->address);
        g_free(b);
        return NULL;
}

void broker_request_name(Broker *b) {
        b->want_name = true;
        (void) ask_for_name(b);
}

bool broker_has_name(const Broker *b) {
        return b->has_name;
}
