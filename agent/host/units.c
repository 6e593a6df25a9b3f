/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Units
 *
 * One subscription and five matches serve every unit: the manager's name changes owner (PID 1 re-executed itself), it has
 * reloaded, it loaded a unit, a unit's state changed, a job was queued (where somebody wants to know).  A match keeps nobody from addressing a signal to the agent alone, and
 * sd-bus cannot tell which well-known name a sender has: so each handler looks at the sender itself.
 *
 * Answers and signals of one sender arrive in the order in which they were sent.  So a run is first asked for, and
 * signals count from the first answer on; older ones, still in the queue, may speak of the run before.  After anything
 * that can swallow a signal everything is asked for again:
 *   - the bus was lost, or the manager's name changed hands;
 *   - Reloading(false): the first signal of a unit after it was loaded is UnitNew without its state, and a change that
 *     happens before it is sent is not told otherwise;
 *   - UnitNew of a wanted unit, for the same reason.
 */

#include "agent/host/units-internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define RETRY_USEC (1000 * 1000)
#define BROKER_NAME "org.freedesktop.DBus"

struct UnitRun {
        Units *units;
        UnitRun *next, *previous;       /* runs of the same unit */
        char *unit;
        sd_id128_t invocation;
        UnitLookup *check;              /* the question whether it still runs */
        bool verified;                  /* it did once: signals, all of them later, count */
        void (*ended)(void *userdata, const char *why);
        void *userdata;
};

static void units_ask_everything(Units *u);

static void run_unlink(UnitRun *r) {
        Units *u = r->units;

        if (!u)
                return;
        if (r->next)
                r->next->previous = r->previous;
        if (r->previous)
                r->previous->next = r->next;
        else if (r->next)
                g_hash_table_replace(u->runs, r->next->unit, r->next);
        else
                g_hash_table_remove(u->runs, r->unit);
        r->next = r->previous = NULL;
        r->units = NULL;
}

static void run_link(UnitRun *r) {
        Units *u = r->units;
        UnitRun *first = g_hash_table_lookup(u->runs, r->unit);

        r->next = first;
        if (first)
                first->previous = r;
        g_hash_table_replace(u->runs, r->unit, r);
}

UnitRun *unit_run_free(UnitRun *r) {
        if (!r)
                return NULL;
        unit_lookup_cancel(r->check);
        run_unlink(r);
        g_free(r->unit);
        g_free(r);
        return NULL;
}

/* The last thing done to a run: its owner may free it, and others, in the callback. */
static void run_end(UnitRun *r, const char *why) {
        r->check = unit_lookup_cancel(r->check);
        run_unlink(r);
        r->ended(r->userdata, why);
}

static int units_on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        units_ask_everything(userdata);
        return 0;
}

static void units_retry_later(Units *u) {
        int r;

        if (!u->bus)
                return;                 /* units_set_bus() will ask */
        if (u->retry) {
                r = sd_event_source_set_time_relative(u->retry, RETRY_USEC);
                assert(r >= 0);
                r = sd_event_source_set_enabled(u->retry, SD_EVENT_ONESHOT);
        } else
                r = sd_event_add_time_relative(u->event, &u->retry, CLOCK_MONOTONIC, RETRY_USEC, 0, units_on_retry, u);
        assert(r >= 0);
}

static void run_on_checked(void *userdata, int error, const UnitFacts *facts) {
        UnitRun *r = userdata;

        r->check = NULL;
        if (error == -ESRCH)
                run_end(r, "the run is over");
        else if (error < 0)
                units_retry_later(r->units);
        else if (!g_str_equal(facts->unit, r->unit))
                run_end(r, "the invocation is another unit's");
        else
                r->verified = true;
}

static void run_check(UnitRun *r) {
        if (!r->units->bus)
                return;                 /* units_set_bus() will ask */
        unit_lookup_cancel(r->check);
        r->check = units_lookup_invocation(r->units, r->invocation, run_on_checked, r);
}

UnitRun *units_watch_run(Units *u, const char *unit, sd_id128_t invocation,
                         void (*ended)(void *userdata, const char *why), void *userdata) {
        UnitRun *r = g_new0(UnitRun, 1);

        assert(u);
        assert(unit);
        assert(ended);

        r->units = u;
        r->unit = g_strdup(unit);
        r->invocation = invocation;
        r->ended = ended;
        r->userdata = userdata;
        run_link(r);
        run_check(r);
        return r;
}

static const char *run_judge(const UnitRun *r, const UnitState *s) {
        if (!r->verified)
                return NULL;
        if (s->has_invocation && !sd_id128_equal(s->invocation, r->invocation))
                return "the unit was started anew";
        if (unit_state_is_over(s))
                return "the unit ended";
        return NULL;
}

static void units_tell_runs(Units *u, const char *unit, const UnitState *s) {
        UnitRun *r = g_hash_table_lookup(u->runs, unit);

        while (r) {
                const char *why = run_judge(r, s);

                if (why) {
                        run_end(r, why);
                        r = g_hash_table_lookup(u->runs, unit);         /* the callback may have changed the list */
                } else
                        r = r->next;
        }
}

static bool state_is_up(const char *active) {
        return g_str_equal(active, "active") || g_str_equal(active, "reloading");
}

static bool units_wants(const Units *u, const char *unit) {
        for (guint i = 0; i < u->listeners->len; i++) {
                const UnitListener *l = u->listeners->pdata[i];

                if (l->wanted(l->userdata, unit))
                        return true;
        }
        return false;
}

static void listener_tell(UnitListener *l, const UnitFacts *facts) {
        sd_id128_t *last = g_hash_table_lookup(l->announced, facts->unit);

        if ((last && sd_id128_equal(*last, facts->invocation)) || !l->wanted(l->userdata, facts->unit))
                return;
        g_hash_table_replace(l->announced, g_strdup(facts->unit), g_memdup2(&facts->invocation, sizeof(sd_id128_t)));
        l->started(l->userdata, facts);
}

static void units_tell_started(Units *u, const UnitFacts *facts) {
        if (sd_id128_is_null(facts->invocation) || !state_is_up(facts->active_state))
                return;
        for (guint i = 0; i < u->listeners->len; i++)
                listener_tell(u->listeners->pdata[i], facts);
}

static void units_tell_listeners(Units *u, const char *unit, const UnitState *s) {
        if (unit_state_is_over(s))
                for (guint i = 0; i < u->listeners->len; i++)
                        g_hash_table_remove(((UnitListener *) u->listeners->pdata[i])->announced, unit);
        else if (s->active && s->has_invocation)
                units_tell_started(u, &(UnitFacts) { .unit = unit, .invocation = s->invocation, .active_state = s->active });
}

bool units_believes(const Units *u, sd_bus_message *m) {
        return u->owner && g_strcmp0(sd_bus_message_get_sender(m), u->owner) == 0;
}

static bool units_cares(const Units *u, const char *unit) {
        return g_hash_table_contains(u->runs, unit) || units_wants(u, unit);
}

static int units_on_changed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Units *u = userdata;
        char *unit = NULL;
        UnitState s;

        if (!units_believes(u, m))
                return 0;
        if (sd_bus_path_decode(sd_bus_message_get_path(m), SYSTEMD_UNIT_PREFIX, &unit) <= 0)
                return 0;
        if (units_cares(u, unit) && sd_bus_message_skip(m, "s") >= 0 && unit_state_read(m, &s) >= 0) {
                /* The old run first, so that a listener finds its place free. */
                units_tell_runs(u, unit, &s);
                units_tell_listeners(u, unit, &s);
        }
        free(unit);
        return 0;
}

static void units_on_found(void *userdata, int error, const UnitFacts *facts) {
        Units *u = userdata;

        if (error >= 0) {
                units_tell_runs(u, facts->unit, &(UnitState) { .invocation = facts->invocation, .has_invocation = true });
                units_tell_started(u, facts);
        } else if (error != -ENOENT)
                units_retry_later(u);
}

/* One row of ListUnitsByPatterns: name, description, load, active, sub, following, path, job... */
static int units_read_row(Units *u, sd_bus_message *m) {
        const char *unit, *path;
        int r;

        r = sd_bus_message_read(m, "(ssssssouso)", &unit, NULL, NULL, NULL, NULL, NULL, &path, NULL, NULL, NULL);
        if (r > 0 && units_wants(u, unit))
                units_lookup_path(u, path, units_on_found, u);
        return r;
}

static void units_scan(Units *u);

static int units_on_scanned(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Units *u = userdata;
        int r;

        u->scan_slot = sd_bus_slot_unref(u->scan_slot);
        r = sd_bus_message_is_method_error(m, NULL) ? -EIO : sd_bus_message_enter_container(m, 'a', "(ssssssouso)");
        while (r > 0) {
                r = units_read_row(u, m);
                if (r == 0)
                        break;
        }
        if (r < 0)
                units_retry_later(u);
        if (u->scan_again)
                units_scan(u);
        return 0;
}

/* Looks for wanted units that are up already.  (The manager's own list, because asking an idle unit's object would load it, which
 * is told with UnitNew, which makes us look.) */
static void units_scan(Units *u) {
        sd_bus_message *m;
        int r;

        if (!u->bus || u->listeners->len == 0)
                return;
        u->scan_again = u->scan_slot;
        if (u->scan_slot)
                return;
        r = units_message_new(u, SYSTEMD_OBJECT, SYSTEMD_MANAGER, "ListUnitsByPatterns", &m);
        if (r >= 0)
                r = units_message_send(u, m, sd_bus_message_append(m, "asas", 2, "active", "reloading", 0),
                                       &u->scan_slot, units_on_scanned, u);
        if (r < 0)
                units_retry_later(u);
}

static int units_on_loaded(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Units *u = userdata;
        const char *unit;

        if (units_believes(u, m) && sd_bus_message_read(m, "s", &unit) > 0 && units_wants(u, unit))
                units_scan(u);
        return 0;
}

static int units_on_reloading(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Units *u = userdata;
        int begins;

        if (units_believes(u, m) && sd_bus_message_read(m, "b", &begins) > 0 && !begins)
                units_ask_everything(u);
        return 0;
}

/* What was said before the owner was known counts for nothing, so everything is asked for. */
static void units_set_owner(Units *u, const char *owner) {
        g_free(u->owner);
        u->owner = *owner != '\0' ? g_strdup(owner) : NULL;
        if (u->owner)
                units_ask_everything(u);
}

static int units_on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *name, *old, *new;
        Units *u = userdata;

        if (g_strcmp0(sd_bus_message_get_sender(m), BROKER_NAME) != 0 || sd_bus_message_read(m, "sss", &name, &old, &new) <= 0)
                return 0;
        u->find_slot = sd_bus_slot_unref(u->find_slot);
        units_set_owner(u, new);
        return 0;
}

static int units_on_found_owner(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Units *u = userdata;
        const char *owner;

        u->find_slot = sd_bus_slot_unref(u->find_slot);
        if (!sd_bus_message_is_method_error(m, NULL) && sd_bus_message_read(m, "s", &owner) > 0)
                units_set_owner(u, owner);
        return 0;
}

static int units_on_subscribed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Units *u = userdata;

        u->subscribe_slot = sd_bus_slot_unref(u->subscribe_slot);
        if (sd_bus_message_is_method_error(m, NULL) &&
            !sd_bus_message_is_method_error(m, "org.freedesktop.systemd1.AlreadySubscribed"))
                units_retry_later(u);
        return 0;
}

static void units_subscribe(Units *u) {
        sd_bus_message *m;
        int r;

        u->subscribe_slot = sd_bus_slot_unref(u->subscribe_slot);
        r = units_message_new(u, SYSTEMD_OBJECT, SYSTEMD_MANAGER, "Subscribe", &m);
        if (r >= 0)
                r = units_message_send(u, m, 0, &u->subscribe_slot, units_on_subscribed, u);
        if (r < 0)
                units_retry_later(u);
}

/* Subscribes and asks for all that is watched.  The manager takes the questions after the subscription, so nothing
 * falls between an answer and the first signal. */
static void units_ask_everything(Units *u) {
        GHashTableIter i;
        gpointer value;

        units_subscribe(u);
        g_hash_table_iter_init(&i, u->runs);
        while (g_hash_table_iter_next(&i, NULL, &value))
                for (UnitRun *r = value; r; r = r->next)
                        run_check(r);
        units_scan(u);
}

static int units_add_match(Units *u, sd_bus_slot **slot, const char *sender, const char *rest,
                           sd_bus_message_handler_t callback) {
        g_autofree char *match = g_strdup_printf("type='signal',sender='%s',%s", sender, rest);

        /* Without a callback for its own outcome: a match that is refused closes the connection, and
         * with it the blindness that nobody would notice. */
        return sd_bus_add_match_async(u->bus, slot, match, callback, NULL, u);
}

static void units_connect(Units *u) {
        int r;

        r = units_add_match(u, &u->owner_slot, BROKER_NAME,
                            "interface='" BROKER_NAME "',member='NameOwnerChanged',arg0='" SYSTEMD_NAME "'",
                            units_on_owner);
        if (r >= 0)
                r = units_add_match(u, &u->reloading_slot, SYSTEMD_NAME,
                                    "interface='" SYSTEMD_MANAGER "',member='Reloading',path='" SYSTEMD_OBJECT "'",
                                    units_on_reloading);
        if (r >= 0)
                r = units_add_match(u, &u->new_slot, SYSTEMD_NAME,
                                    "interface='" SYSTEMD_MANAGER "',member='UnitNew',path='" SYSTEMD_OBJECT "'",
                                    units_on_loaded);
        if (r >= 0)
                r = units_add_match(u, &u->changed_slot, SYSTEMD_NAME,
                                    "interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',"
                                    "path_namespace='" SYSTEMD_UNIT_PREFIX "',arg0='" SYSTEMD_UNIT "'",
                                    units_on_changed);
        if (r >= 0)
                r = units_match_queued(u);
        if (r >= 0)
                r = sd_bus_call_method_async(u->bus, &u->find_slot, BROKER_NAME, "/org/freedesktop/DBus", BROKER_NAME,
                                             "GetNameOwner", units_on_found_owner, u, "s", SYSTEMD_NAME);
        if (r < 0)
                units_retry_later(u);   /* most likely the connection is closing, which its owner is told */
}

static void units_disconnect(Units *u) {
        u->owner_slot = sd_bus_slot_unref(u->owner_slot);
        u->reloading_slot = sd_bus_slot_unref(u->reloading_slot);
        u->new_slot = sd_bus_slot_unref(u->new_slot);
        u->changed_slot = sd_bus_slot_unref(u->changed_slot);
        u->queued_slot = sd_bus_slot_unref(u->queued_slot);
        u->find_slot = sd_bus_slot_unref(u->find_slot);
        u->subscribe_slot = sd_bus_slot_unref(u->subscribe_slot);
        u->scan_slot = sd_bus_slot_unref(u->scan_slot);
        u->retry = sd_event_source_disable_unref(u->retry);
        u->scan_again = false;
        g_clear_pointer(&u->owner, g_free);
        u->bus = sd_bus_unref(u->bus);
        units_fail_lookups(u, -ENOTCONN);
        units_fail_jobs(u);
}

static void listener_free(void *data) {
        UnitListener *l = data;

        g_hash_table_unref(l->announced);
        g_free(l);
}

Units *units_new(sd_event *event) {
        Units *u = g_new0(Units, 1);

        assert(event);

        u->event = sd_event_ref(event);
        u->runs = g_hash_table_new(g_str_hash, g_str_equal);
        u->listeners = g_ptr_array_new_with_free_func(listener_free);
        return u;
}

Units *units_free(Units *u) {
        if (!u)
                return NULL;
        assert(g_hash_table_size(u->runs) == 0);        /* who watches, frees first */

        units_disconnect(u);
        while (u->lookups)
                unit_lookup_cancel(u->lookups);
        while (u->jobs)
                unit_job_cancel(u->jobs);
        g_hash_table_unref(u->runs);
        g_ptr_array_unref(u->listeners);
        sd_event_unref(u->event);
        g_free(u);
        return NULL;
}

void units_set_bus(Units *u, sd_bus *bus) {
        assert(u);

        if (bus == u->bus)
                return;
        units_disconnect(u);
        if (!bus)
                return;
        u->bus = sd_bus_ref(bus);
        units_connect(u);
}

bool units_available(const Units *u) {
        assert(u);

        return u->bus;
}

void units_set_started(Units *u, bool (*wanted)(void *userdata, const char *unit),
                       void (*started)(void *userdata, const UnitFacts *facts), void *userdata) {
        assert(u);
        assert(!started == !wanted);

        for (guint i = 0; i < u->listeners->len; i++)
                if (((UnitListener *) u->listeners->pdata[i])->userdata == userdata)
                        g_ptr_array_remove_index(u->listeners, i--);
        if (wanted) {
                UnitListener *l = g_new0(UnitListener, 1);

                *l = (UnitListener) { wanted, started, userdata,
                                      g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free) };
                g_ptr_array_add(u->listeners, l);
        }
        units_scan(u);
}
