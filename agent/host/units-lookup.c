/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Units: questions
 *
 * Two calls each: the manager turns a pid, a name or an invocation into an object, and GetAll of that object gives name,
 * run and state of one instant (three Get calls might straddle a restart).  GetAll comes second on purpose: asking an
 * object that is not loaded would load it, and only the manager's lookups never load.
 */

#include "agent/host/units-internal.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct UnitLookup {
        Units *units;
        UnitLookup *next, *previous;
        sd_bus_slot *slot;              /* the call under way */
        sd_event_source *later;         /* or the end that waits for the event loop */
        int error;                      /* what `later` will say */
        bool by_invocation;
        sd_id128_t invocation;
        UnitLookupDone done;
        void *userdata;
};

static void lookup_unlink(UnitLookup *l) {
        if (l->previous)
                l->previous->next = l->next;
        else
                l->units->lookups = l->next;
        if (l->next)
                l->next->previous = l->previous;
}

UnitLookup *unit_lookup_cancel(UnitLookup *l) {
        if (!l)
                return NULL;
        lookup_unlink(l);
        sd_bus_slot_unref(l->slot);
        sd_event_source_disable_unref(l->later);
        g_free(l);
        return NULL;
}

/* The question is forgotten first, so that its owner may do what it likes in the callback. */
static void lookup_finish(UnitLookup *l, int error, const UnitFacts *facts) {
        UnitLookupDone done = l->done;
        void *userdata = l->userdata;

        unit_lookup_cancel(l);
        done(userdata, error, facts);
}

static int lookup_on_later(sd_event_source *source, void *userdata) {
        UnitLookup *l = userdata;

        lookup_finish(l, l->error, NULL);
        return 0;
}

static void lookup_finish_later(UnitLookup *l, int error) {
        int r;

        assert(error < 0);

        l->slot = sd_bus_slot_unref(l->slot);
        if (l->later)
                return;
        l->error = error;
        r = sd_event_add_defer(l->units->event, &l->later, lookup_on_later, l);
        assert(r >= 0);                 /* only memory can lack */
}

void units_fail_lookups(Units *u, int error) {
        for (UnitLookup *l = u->lookups; l; l = l->next)
                lookup_finish_later(l, error);
}

static int error_to_errno(const UnitLookup *l, const sd_bus_error *e) {
        static const char *const absent[] = {
                "org.freedesktop.systemd1.NoSuchUnit",
                "org.freedesktop.systemd1.NoUnitForPID",
                "org.freedesktop.systemd1.NoUnitForInvocationID",
                "org.freedesktop.systemd1.NoSuchProcess",
                SD_BUS_ERROR_UNKNOWN_OBJECT,
        };

        for (size_t i = 0; i < G_N_ELEMENTS(absent); i++)
                if (g_str_equal(e->name, absent[i]))
                        return l->by_invocation ? -ESRCH : -ENOENT;
        if (sd_bus_error_has_name(e, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
            sd_bus_error_has_name(e, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
                return -EHOSTUNREACH;
        return -MAX(sd_bus_error_get_errno(e), 1);
}

int unit_state_read(sd_bus_message *m, UnitState *ret) {
        UnitState s = { 0 };
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const char *key;
                const char **string;

                r = sd_bus_message_read(m, "s", &key);
                if (r < 0)
                        return r;
                string = g_str_equal(key, "Id") ? &s.id : g_str_equal(key, "ActiveState") ? &s.active
                         : g_str_equal(key, "SubState") ? &s.sub : NULL;
                if (string)
                        r = sd_bus_message_read(m, "v", "s", string);
                else if (g_str_equal(key, "InvocationID")) {
                        const void *id;
                        size_t size;

                        r = sd_bus_message_enter_container(m, 'v', "ay");
                        if (r < 0)
                                return r;
                        r = sd_bus_message_read_array(m, 'y', &id, &size);
                        if (r < 0)
                                return r;
                        s.has_invocation = true;
                        if (size == sizeof s.invocation)        /* empty: never started */
                                memcpy(&s.invocation, id, size);
                        r = sd_bus_message_exit_container(m);
                } else
                        r = sd_bus_message_skip(m, "v");
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        *ret = s;
        return sd_bus_message_exit_container(m);
}

bool unit_state_is_over(const UnitState *s) {
        /* A service that waits to be restarted is "activating" and keeps the InvocationID of the run that ended;
         * systemd may coalesce the "failed" before it away. */
        return (s->active && (g_str_equal(s->active, "inactive") || g_str_equal(s->active, "failed"))) ||
               (s->sub && g_str_has_prefix(s->sub, "auto-restart"));
}

/* Of the whole answer, once more from its beginning. */
static int read_bound_by(sd_bus_message *m, char ***ret) {
        int r = sd_bus_message_rewind(m, true);

        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                const char *key;

                r = sd_bus_message_read(m, "s", &key);
                if (r < 0)
                        return r;
                if (!g_str_equal(key, "BoundBy")) {
                        r = sd_bus_message_skip(m, "v");
                        if (r >= 0)
                                r = sd_bus_message_exit_container(m);
                        continue;
                }
                r = sd_bus_message_enter_container(m, 'v', "as");
                return r < 0 ? r : sd_bus_message_read_strv(m, ret);
        }
        return r;
}

static void strv_freep(char ***strv) {
        for (char **i = *strv; i && *i; i++)
                free(*i);
        free(*strv);                    /* made by sd-bus, not by GLib */
}

static int lookup_on_properties(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        __attribute__((cleanup(strv_freep))) char **bound_by = NULL;
        UnitLookup *l = userdata;
        UnitState s;
        UnitFacts facts;
        int r;

        if (sd_bus_message_is_method_error(m, NULL)) {
                lookup_finish(l, error_to_errno(l, sd_bus_message_get_error(m)), NULL);
                return 0;
        }
        r = unit_state_read(m, &s);
        if (r >= 0 && (!s.id || !s.active || !s.has_invocation))
                r = -EBADMSG;
        if (r >= 0 && l->by_invocation && (!sd_id128_equal(s.invocation, l->invocation) || unit_state_is_over(&s)))
                r = -ESRCH;
        if (r >= 0)
                r = read_bound_by(m, &bound_by);
        if (r < 0) {
                lookup_finish(l, r, NULL);
                return 0;
        }

        facts = (UnitFacts) { .unit = s.id, .invocation = s.invocation, .active_state = s.active, .bound_by = bound_by };
        lookup_finish(l, 0, &facts);
        return 0;
}

static int lookup_ask_properties(UnitLookup *l, const char *path) {
        sd_bus_message *m;
        int r;

        l->slot = sd_bus_slot_unref(l->slot);
        r = units_message_new(l->units, path, "org.freedesktop.DBus.Properties", "GetAll", &m);
        if (r < 0)
                return r;
        return units_message_send(l->units, m, sd_bus_message_append(m, "s", SYSTEMD_UNIT), &l->slot,
                                  lookup_on_properties, l);
}

static int lookup_on_path(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        UnitLookup *l = userdata;
        const char *path;
        int r;

        if (sd_bus_message_is_method_error(m, NULL)) {
                lookup_finish(l, error_to_errno(l, sd_bus_message_get_error(m)), NULL);
                return 0;
        }
        r = sd_bus_message_read(m, "o", &path);
        if (r >= 0)
                r = lookup_ask_properties(l, path);
        if (r < 0)
                lookup_finish(l, r, NULL);
        return 0;
}

int units_message_new(Units *u, const char *path, const char *interface, const char *member, sd_bus_message **ret) {
        sd_bus_message *m = NULL;
        int r;

        if (!u->bus)
                return -ENOENT;
        r = sd_bus_message_new_method_call(u->bus, &m, SYSTEMD_NAME, path, interface, member);
        if (r < 0)
                return r;
        /* While PID 1 re-executes itself its name has no owner: an error is wanted then, not an activation. */
        r = sd_bus_message_set_auto_start(m, false);
        if (r < 0) {
                sd_bus_message_unref(m);
                return r;
        }
        *ret = m;
        return 0;
}

int units_message_send(Units *u, sd_bus_message *m, int appended, sd_bus_slot **ret_slot,
                       sd_bus_message_handler_t callback, void *userdata) {
        int r = appended;

        if (r >= 0)
                r = sd_bus_call_async(u->bus, ret_slot, m, callback, userdata, 0);
        sd_bus_message_unref(m);
        return r;
}

static UnitLookup *lookup_new(Units *u, UnitLookupDone done, void *userdata) {
        UnitLookup *l = g_new0(UnitLookup, 1);

        assert(u);
        assert(done);

        l->units = u;
        l->done = done;
        l->userdata = userdata;
        l->next = u->lookups;
        if (l->next)
                l->next->previous = l;
        u->lookups = l;
        return l;
}

/* Asks the manager for the object; `append` adds the argument. */
static UnitLookup *lookup_ask_manager(UnitLookup *l, const char *member, int (*append)(sd_bus_message *m, const void *),
                                      const void *argument) {
        sd_bus_message *m;
        int r;

        r = units_message_new(l->units, SYSTEMD_OBJECT, SYSTEMD_MANAGER, member, &m);
        if (r >= 0)
                r = units_message_send(l->units, m, append(m, argument), &l->slot, lookup_on_path, l);
        if (r < 0)
                lookup_finish_later(l, r);
        return l;
}

static int append_pid(sd_bus_message *m, const void *argument) {
        return sd_bus_message_append(m, "u", (uint32_t) *(const pid_t *) argument);
}

static int append_name(sd_bus_message *m, const void *argument) {
        return sd_bus_message_append(m, "s", argument);
}

static int append_invocation(sd_bus_message *m, const void *argument) {
        return sd_bus_message_append_array(m, 'y', argument, sizeof(sd_id128_t));
}

UnitLookup *units_lookup_pid(Units *u, pid_t pid, UnitLookupDone done, void *userdata) {
        UnitLookup *l = lookup_new(u, done, userdata);

        if (pid > 0)                    /* 0 would mean "the caller", that is, the agent */
                return lookup_ask_manager(l, "GetUnitByPID", append_pid, &pid);
        lookup_finish_later(l, -ENOENT);
        return l;
}

UnitLookup *units_lookup_name(Units *u, const char *unit, UnitLookupDone done, void *userdata) {
        UnitLookup *l = lookup_new(u, done, userdata);

        assert(unit);

        if (*unit != '\0' && g_utf8_validate(unit, -1, NULL))  /* "" would mean the agent's own unit */
                return lookup_ask_manager(l, "GetUnit", append_name, unit);
        lookup_finish_later(l, -ENOENT);
        return l;
}

UnitLookup *units_lookup_invocation(Units *u, sd_id128_t invocation, UnitLookupDone done, void *userdata) {
        UnitLookup *l = lookup_new(u, done, userdata);

        l->by_invocation = true;
        l->invocation = invocation;
        if (!sd_id128_is_null(invocation))      /* null would mean the agent's own run */
                return lookup_ask_manager(l, "GetUnitByInvocationID", append_invocation, &invocation);
        lookup_finish_later(l, -ESRCH);
        return l;
}

UnitLookup *units_lookup_path(Units *u, const char *path, UnitLookupDone done, void *userdata) {
        UnitLookup *l = lookup_new(u, done, userdata);
        int r;

        r = lookup_ask_properties(l, path);
        if (r < 0)
                lookup_finish_later(l, r);
        return l;
}
