/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Link
 *
 * On a bus with a broker the connection outlives the agent, and with it the caller's unique name, to which sessions are
 * bound: it is kept, and NameOwnerChanged tells.  On the local socket the connection goes with the agent.
 */

#include "dbus/ctl/link.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "dbus/ctl/output.h"

#define RETRY_USEC (200 * 1000)

struct Link {
        Ctl *ctl;
        LinkHandler handler;
        uint64_t patience_usec;
        sd_event *event;
        sd_event_source *start;         /* calls established(), now or later */
        char *owner;                    /* unique name of the agent, where there is a broker */
        uint64_t lost_usec;             /* CLOCK_MONOTONIC when the agent was lost; 0: it is there */
        bool was_established;
        bool ending;
};

void link_end(Link *l, ExitStatus e) {
        if (!l->ending)
                sd_event_exit(l->event, e);
        l->ending = true;
}

static void arm_start(Link *l, uint64_t after_usec) {
        sd_event_source_set_time_relative(l->start, after_usec);
        sd_event_source_set_enabled(l->start, SD_EVENT_ONESHOT);
}

void link_retry(Link *l) {
        if (!l->ending)
                arm_start(l, RETRY_USEC);
}

static void on_lost(Link *l) {
        if (l->lost_usec != 0 || l->ending)
                return;

        sd_event_now(l->event, CLOCK_MONOTONIC, &l->lost_usec);
        if (!l->ctl->options->quiet)
                print_error("the agent has gone away; waiting for it");
        arm_start(l, 0);
}

static int on_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Link *l = userdata;
        const char *name, *old, *new;

        if (sd_bus_message_read(m, "sss", &name, &old, &new) < 0 || !g_str_equal(name, AGENT_NAME))
                return 0;

        g_free(l->owner);
        l->owner = *new ? g_strdup(new) : NULL;
        if (*old)
                on_lost(l);
        return 0;
}

/* Through a broker anybody may send a signal that looks like the agent's.  On the socket there is nobody else, and no sender. */
static bool is_from_agent(const Link *l, sd_bus_message *m) {
        const char *sender = sd_bus_message_get_sender(m);

        return !sender || (l->owner && g_str_equal(sender, l->owner));
}

/* Without an owner the first call has the agent started, and NameOwnerChanged comes before anything it says. */
static void find_owner(Link *l) {
        g_autoptr(sd_bus_message) reply = NULL;
        const char *owner;

        g_clear_pointer(&l->owner, g_free);
        if (sd_bus_call_method(l->ctl->bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                               "GetNameOwner", NULL, &reply, "s", AGENT_NAME) >= 0 &&
            sd_bus_message_read(reply, "s", &owner) >= 0)
                l->owner = g_strdup(owner);
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Link *l = userdata;
        const char *interface = sd_bus_message_get_interface(m);
        uint8_t type;

        if (l->ending || sd_bus_message_get_type(m, &type) < 0 || type != SD_BUS_MESSAGE_SIGNAL || !interface)
                return 0;

        if (sd_bus_message_is_signal(m, "org.freedesktop.DBus.Local", "Disconnected")) {
                on_lost(l);
                return 0;
        }

        const char *own = NULL;
        if (g_str_has_prefix(interface, AGENT_NAME "."))
                own = interface + strlen(AGENT_NAME ".");
        else if (g_str_equal(interface, "org.freedesktop.DBus.Properties"))
                own = "Properties";
        if (!own || !is_from_agent(l, m))
                return 0;

        ExitStatus e = l->handler.signal(l->handler.userdata, own, m);
        if (e != EXIT_STATUS_OK)
                link_end(l, e);
        return 0;
}

/* Only a broker knows matches; a peer that has no AddMatch sends its signals anyway. */
static int on_match_installed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return 0;
}

static int attach(Link *l) {
        sd_bus *bus = l->ctl->bus;
        int r;

        r = sd_bus_attach_event(bus, l->event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        r = sd_bus_add_filter(bus, NULL, on_message, l);
        if (r < 0)
                return r;
        r = sd_bus_match_signal_async(bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                      "org.freedesktop.DBus", "NameOwnerChanged", on_owner_changed, on_match_installed,
                                      l);
        if (r < 0)
                return r;
        r = sd_bus_add_match_async(bus, NULL, "type='signal',sender='" AGENT_NAME "',path='" AGENT_PATH "',"
                                   "interface='org.freedesktop.DBus.Properties'", NULL, on_match_installed, l);
        if (r < 0)
                return r;
        find_owner(l);
        return 0;
}

static ExitStatus establish(Link *l) {
        if (l->ctl->bus && sd_bus_is_open(l->ctl->bus) <= 0) {
                sd_bus_detach_event(l->ctl->bus);
                ctl_disconnect(l->ctl);
        }

        if (!l->ctl->bus || !sd_bus_get_event(l->ctl->bus)) {
                int r = ctl_connect(l->ctl);
                if (r >= 0)
                        r = attach(l);
                if (r < 0)
                        return EXIT_STATUS_UNREACHABLE;
        }

        return l->handler.established(l->handler.userdata, l->was_established);
}

static int on_start(sd_event_source *s, uint64_t usec, void *userdata) {
        Link *l = userdata;
        uint64_t now = 0;
        bool waits = l->was_established || l->handler.patient;

        l->ctl->hush = waits;
        ExitStatus e = establish(l);
        l->ctl->hush = false;
        sd_event_now(l->event, CLOCK_MONOTONIC, &now);
        if (e == EXIT_STATUS_UNREACHABLE && l->lost_usec == 0)
                l->lost_usec = now;
        if (e == EXIT_STATUS_OK) {
                if (l->lost_usec != 0 && !l->ctl->options->quiet)
                        print_error("the agent is back");
                l->lost_usec = 0;
                l->was_established = true;
        } else if (e == EXIT_STATUS_UNREACHABLE && waits && now < l->lost_usec + l->patience_usec) {
                arm_start(l, RETRY_USEC);
        } else {
                if (e == EXIT_STATUS_UNREACHABLE && waits)
                        print_error("the agent did not come back in time");
                link_end(l, e);
        }
        return 0;
}

ExitStatus link_new(Ctl *c, const LinkHandler *handler, uint64_t patience_msec, Link **ret) {
        g_autoptr(Link) l = g_new0(Link, 1);

        l->ctl = c;
        l->handler = *handler;
        l->patience_usec = MIN(patience_msec, LINK_PATIENCE_MAX) * 1000;

        c->hush = handler->patient && c->options->quiet;
        ExitStatus e = ctl_need_connection(c);
        c->hush = false;
        if (e != EXIT_STATUS_OK && (e != EXIT_STATUS_UNREACHABLE || !handler->patient))
                return e;

        int r = sd_event_new(&l->event);
        if (r >= 0)
                r = sd_event_add_time_relative(l->event, &l->start, CLOCK_MONOTONIC, 0, 0, on_start, l);
        if (r >= 0 && e == EXIT_STATUS_OK) {
                r = attach(l);
                if (r < 0 && handler->patient)          /* gone already: establish() connects anew */
                        r = 0;
        }
        if (r < 0) {
                print_error("cannot set up the event loop: %s", g_strerror(-r));
                return EXIT_STATUS_FAILURE;
        }

        *ret = g_steal_pointer(&l);
        return EXIT_STATUS_OK;
}

Link *link_free(Link *l) {
        if (l) {
                if (l->ctl->bus)
                        sd_bus_detach_event(l->ctl->bus);
                sd_event_source_disable_unref(l->start);
                sd_event_unref(l->event);
                g_free(l->owner);
                g_free(l);
        }
        return NULL;
}

sd_event *link_get_event(Link *l) {
        return l->event;
}

ExitStatus link_run(Link *l) {
        int r = sd_event_loop(l->event);
        if (r < 0) {
                print_error("the event loop failed: %s", g_strerror(-r));
                return EXIT_STATUS_FAILURE;
        }
        return r;
}
