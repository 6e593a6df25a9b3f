/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Logind
 *
 * The lock is a descriptor.  logind gives none while it is about to sleep or shut down, so it is held at all times: when there is something
 * to wait for, it would be too late.
 *
 * As with systemd (units.c), a match keeps nobody from addressing a signal to the agent alone, so each handler looks at the sender.
 * What was said before logind's unique name was known is made up for by asking for its properties.
 */

#include "agent/host/logind.h"

#include <assert.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include <glib.h>

#define LOGIND_NAME "org.freedesktop.login1"
#define LOGIND_OBJECT "/org/freedesktop/login1"
#define LOGIND_MANAGER "org.freedesktop.login1.Manager"
#define BROKER_NAME "org.freedesktop.DBus"

#define DELAY_DEFAULT_USEC (UINT64_C(5) * 1000 * 1000)  /* logind's own */
#define RETRY_USEC (UINT64_C(60) * 1000 * 1000)         /* polkit may be away for a moment */

struct Logind {
        sd_event *event;
        LogindListener listener;
        sd_bus *bus;
        char *owner;                    /* its unique name; NULL: it is not there, or not known yet */
        sd_bus_slot *owner_slot, *sleep_slot, *shutdown_slot;
        sd_bus_slot *find_slot, *lock_slot, *properties_slot;   /* calls under way */
        sd_event_source *retry;
        uint64_t delay_usec;
        int lock;                       /* -1: not held */
        bool sleeps, shuts_down;        /* is about to */
        bool complained;
};

static bool leaves(const Logind *l) {
        return l->sleeps || l->shuts_down;
}

static void drop_lock(Logind *l) {
        if (l->lock >= 0)
                close(l->lock);
        l->lock = -1;
}

static bool believes(const Logind *l, sd_bus_message *m) {
        return l->owner && g_strcmp0(sd_bus_message_get_sender(m), l->owner) == 0;
}

/* A call that activates nothing. */
static int call(Logind *l, const char *interface, const char *member, sd_bus_slot **slot, sd_bus_message_handler_t callback,
                const char *types, ...) {
        sd_bus_message *m = NULL;
        va_list ap;
        int r;

        *slot = sd_bus_slot_unref(*slot);
        r = sd_bus_message_new_method_call(l->bus, &m, LOGIND_NAME, LOGIND_OBJECT, interface, member);
        if (r >= 0)
                r = sd_bus_message_set_auto_start(m, false);
        if (r >= 0) {
                va_start(ap, types);
                r = sd_bus_message_appendv(m, types, ap);
                va_end(ap);
        }
        if (r >= 0)
                r = sd_bus_call_async(l->bus, slot, m, callback, l, 0);
        sd_bus_message_unref(m);
        return r;
}

/*
 * The lock
 */

static void retry_at(Logind *l) {
        (void) sd_event_source_set_time_relative(l->retry, RETRY_USEC);
        (void) sd_event_source_set_enabled(l->retry, SD_EVENT_ONESHOT);
}

static void refused(Logind *l, const char *why) {
        if (!l->complained)
                l->listener.refused(l->listener.userdata, why);
        l->complained = true;
        retry_at(l);
}

/* One from before is given back only now: there is no moment without. */
static int on_locked(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Logind *l = userdata;
        int fd;

        l->lock_slot = sd_bus_slot_unref(l->lock_slot);
        if (sd_bus_message_is_method_error(m, LOGIND_NAME ".OperationInProgress"))
                return 0;               /* it is taken when that is over */
        if (sd_bus_message_is_method_error(m, NULL)) {
                const sd_bus_error *e = sd_bus_message_get_error(m);

                refused(l, e->message ?: e->name);
                return 0;
        }
        if (sd_bus_message_read(m, "h", &fd) <= 0 || (fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0) {
                refused(l, "its answer has no descriptor");
                return 0;
        }
        drop_lock(l);
        l->lock = fd;
        l->complained = false;
        return 0;
}

static int on_properties(sd_bus_message *m, void *userdata, sd_bus_error *error);

/* What is under way is asked for after the lock, so that nothing begins in between unnoticed. */
static void take_lock(Logind *l) {
        int r = 0;

        (void) sd_event_source_set_enabled(l->retry, SD_EVENT_OFF);
        if (!leaves(l))
                r = call(l, LOGIND_MANAGER, "Inhibit", &l->lock_slot, on_locked, "ssss", "sleep:shutdown", "convene",
                         "Hands leadership, singletons and locks over to other hosts", "delay");
        if (r >= 0)
                r = call(l, "org.freedesktop.DBus.Properties", "GetAll", &l->properties_slot, on_properties, "s", LOGIND_MANAGER);
        if (r < 0)
                refused(l, g_strerror(-r));     /* most likely the connection is closing, which its owner is told */
}

static void set_state(Logind *l, bool sleeps, bool shuts_down);

/* Without logind nobody will say that a sleep is over; in a shutdown it ends before us. */
static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        Logind *l = userdata;

        if (l->owner)
                take_lock(l);
        else if (l->bus)
                set_state(l, false, l->shuts_down);
        return 0;
}

void logind_release(Logind *l) {
        if (leaves(l))
                drop_lock(l);
}

/*
 * What is under way
 */

static void set_state(Logind *l, bool sleeps, bool shuts_down) {
        bool before = leaves(l);

        l->sleeps = sleeps;
        l->shuts_down = shuts_down;
        if (!before && leaves(l))
                l->listener.leaves(l->listener.userdata, shuts_down ? LOGIND_SHUTDOWN : LOGIND_SLEEP, l->delay_usec);
        else if (before && !leaves(l)) {
                l->listener.stays(l->listener.userdata);
                if (l->owner)
                        take_lock(l);
        }
}

static int on_prepare_for_sleep(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Logind *l = userdata;
        int begins;

        if (believes(l, m) && sd_bus_message_read(m, "b", &begins) > 0)
                set_state(l, begins, l->shuts_down);
        return 0;
}

static int on_prepare_for_shutdown(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Logind *l = userdata;
        int begins;

        if (believes(l, m) && sd_bus_message_read(m, "b", &begins) > 0)
                set_state(l, l->sleeps, begins);
        return 0;
}

static int read_properties(sd_bus_message *m, uint64_t *delay_usec, int *sleeps, int *shuts_down) {
        int r = sd_bus_message_enter_container(m, 'a', "{sv}");

        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const char *key;

                r = sd_bus_message_read(m, "s", &key);
                if (r < 0)
                        return r;
                if (g_str_equal(key, "InhibitDelayMaxUSec"))
                        r = sd_bus_message_read(m, "v", "t", delay_usec);
                else if (g_str_equal(key, "PreparingForSleep"))
                        r = sd_bus_message_read(m, "v", "b", sleeps);
                else if (g_str_equal(key, "PreparingForShutdown"))
                        r = sd_bus_message_read(m, "v", "b", shuts_down);
                else
                        r = sd_bus_message_skip(m, "v");
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        return r;
}

static int on_properties(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Logind *l = userdata;
        int sleeps = l->sleeps, shuts_down = l->shuts_down;

        l->properties_slot = sd_bus_slot_unref(l->properties_slot);
        if (!sd_bus_message_is_method_error(m, NULL) && read_properties(m, &l->delay_usec, &sleeps, &shuts_down) >= 0)
                set_state(l, sleeps, shuts_down);
        else if (leaves(l))
                retry_at(l);
        return 0;
}

/*
 * Whether it is there
 */

/* One that was started again has kept the lock; it is taken anew all the same, in case it has not. */
static void set_owner(Logind *l, const char *owner) {
        g_free(l->owner);
        l->owner = *owner != '\0' ? g_strdup(owner) : NULL;
        l->delay_usec = DELAY_DEFAULT_USEC;
        if (l->owner)
                take_lock(l);
        else if (l->sleeps)
                retry_at(l);
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *name, *old, *new;
        Logind *l = userdata;

        if (g_strcmp0(sd_bus_message_get_sender(m), BROKER_NAME) != 0 || sd_bus_message_read(m, "sss", &name, &old, &new) <= 0)
                return 0;
        l->find_slot = sd_bus_slot_unref(l->find_slot);
        set_owner(l, new);
        return 0;
}

static int on_found_owner(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Logind *l = userdata;
        const char *owner;

        l->find_slot = sd_bus_slot_unref(l->find_slot);
        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "s", &owner) <= 0)
                owner = "";
        set_owner(l, owner);
        return 0;
}

static int add_match(Logind *l, sd_bus_slot **slot, const char *member, sd_bus_message_handler_t callback) {
        g_autofree char *match = g_strdup_printf("type='signal',sender='" LOGIND_NAME "',path='" LOGIND_OBJECT "',"
                                                 "interface='" LOGIND_MANAGER "',member='%s'", member);

        return sd_bus_add_match_async(l->bus, slot, match, callback, NULL, l);
}

/* If this fails, so does the connection, and all is done again on the next one. */
static void join(Logind *l) {
        int r;

        r = sd_bus_add_match_async(l->bus, &l->owner_slot,
                                   "type='signal',sender='" BROKER_NAME "',interface='" BROKER_NAME "',member='NameOwnerChanged',"
                                   "arg0='" LOGIND_NAME "'", on_owner, NULL, l);
        if (r >= 0)
                r = add_match(l, &l->sleep_slot, "PrepareForSleep", on_prepare_for_sleep);
        if (r >= 0)
                r = add_match(l, &l->shutdown_slot, "PrepareForShutdown", on_prepare_for_shutdown);
        if (r >= 0)
                (void) sd_bus_call_method_async(l->bus, &l->find_slot, BROKER_NAME, "/org/freedesktop/DBus", BROKER_NAME,
                                                "GetNameOwner", on_found_owner, l, "s", LOGIND_NAME);
}

void logind_set_bus(Logind *l, sd_bus *bus) {
        assert(l);

        if (bus == l->bus)
                return;
        l->owner_slot = sd_bus_slot_unref(l->owner_slot);
        l->sleep_slot = sd_bus_slot_unref(l->sleep_slot);
        l->shutdown_slot = sd_bus_slot_unref(l->shutdown_slot);
        l->find_slot = sd_bus_slot_unref(l->find_slot);
        l->lock_slot = sd_bus_slot_unref(l->lock_slot);
        l->properties_slot = sd_bus_slot_unref(l->properties_slot);
        (void) sd_event_source_set_enabled(l->retry, SD_EVENT_OFF);
        g_clear_pointer(&l->owner, g_free);
        l->bus = sd_bus_unref(l->bus);
        if (!bus)
                return;
        l->bus = sd_bus_ref(bus);
        join(l);
}

Logind *logind_new(sd_event *event, const LogindListener *listener) {
        Logind *l = g_new0(Logind, 1);

        l->event = sd_event_ref(event);
        l->listener = *listener;
        l->lock = -1;
        l->delay_usec = DELAY_DEFAULT_USEC;
        if (sd_event_add_time_relative(event, &l->retry, CLOCK_BOOTTIME, RETRY_USEC, 0, on_retry, l) < 0 ||
            sd_event_source_set_enabled(l->retry, SD_EVENT_OFF) < 0)
                g_error("cannot add a timer to the event loop");
        return l;
}

Logind *logind_free(Logind *l) {
        if (!l)
                return NULL;
        logind_set_bus(l, NULL);
        drop_lock(l);
        sd_event_source_disable_unref(l->retry);
        sd_event_unref(l->event);
        g_free(l);
        return NULL;
}
