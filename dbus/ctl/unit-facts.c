/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Unit facts
 */

#include "dbus/ctl/unit-facts.h"

#include <string.h>

#include "dbus/ctl/text.h"

#define UNIT_NAME_MAX 255
#define NAME_CHARACTERS ":-_.\\@"

void unit_facts_done(UnitFacts *u) {
        g_free(u->id);
        g_free(u->load_state);
        g_free(u->load_error);
        g_free(u->active_state);
        g_free(u->fragment);
        g_free(u->type);
        g_free(u->kill_mode);
        g_free(u->stop_failure_mode);
        g_strfreev(u->triggers);
        g_strfreev(u->binds_to);
        g_strfreev(u->before);
        g_strfreev(u->required_by);
        g_strfreev(u->bound_by);
        g_strfreev(u->consists_of);
        g_strfreev(u->stop_propagates_to);
        *u = (UnitFacts) {};
}

const char *unit_type(const char *unit) {
        const char *dot = strrchr(unit, '.');

        return dot ? dot + 1 : "";
}

bool unit_is_template(const char *unit) {
        const char *at = strchr(unit, '@');

        return at && at[1] == '.' && at + 1 == strrchr(unit, '.');
}

char *unit_from_argument(const char *argument) {
        static const char *const types[] = { "service", "socket", "timer", "target", "mount", "automount", "path", "slice", "scope",
                                             "device", "swap", NULL };
        bool typed = g_strv_contains(types, unit_type(argument));

        if (!*argument || argument[0] == '.' || argument[0] == '@' || strlen(argument) > UNIT_NAME_MAX)
                return NULL;
        for (const char *c = argument; *c; c++)
                if (!g_ascii_isalnum(*c) && !strchr(NAME_CHARACTERS, *c))
                        return NULL;
        return g_strconcat(argument, typed ? "" : ".service", NULL);
}

char *unit_stem(const char *unit) {
        bool service = g_str_equal(unit_type(unit), "service");

        return g_strndup(unit, strlen(unit) - (service ? strlen(".service") : 0));
}

bool unit_is_up(const UnitFacts *u) {
        return u->active_state && !g_str_equal(u->active_state, "inactive") && !g_str_equal(u->active_state, "failed");
}

/*
 * What cannot be one
 */

static char *refuse_kill(const UnitFacts *u) {
        if (g_strcmp0(u->kill_mode, "none") == 0 || g_strcmp0(u->kill_mode, "process") == 0)
                return g_strdup_printf("%s has KillMode=%s: processes of it outlive a stop, and would run beside those of another "
                                       "host; give it KillMode=mixed or control-group (systemctl edit %s)",
                                       u->id, u->kill_mode, u->id);
        if (!u->send_sigkill)
                return g_strdup_printf("%s has SendSIGKILL=no: nothing ends a process that ignores SIGTERM; give it SendSIGKILL=yes "
                                       "(systemctl edit %s)", u->id, u->id);
        return NULL;
}

static char *refuse_load(const UnitFacts *u) {
        if (g_strcmp0(u->load_state, "not-found") == 0)
                return g_strdup_printf("%s: there is no such unit on this host", u->id);
        if (g_strcmp0(u->load_state, "masked") == 0)
                return g_strdup_printf("%s is masked; unmask it first (systemctl unmask %s)", u->id, u->id);
        if (g_strcmp0(u->load_state, "loaded") != 0)
                return g_strdup_printf("%s cannot be loaded: %s", u->id, u->load_error && *u->load_error ? u->load_error : u->load_state);
        if (u->transient)
                return g_strdup_printf("%s is transient: it ends with this run; write a unit file", u->id);
        if (!u->fragment || !*u->fragment || g_str_has_prefix(u->fragment, "/run/systemd/generator"))
                return g_strdup_printf("%s has no unit file of its own, a generator made it; write one in /etc/systemd/system", u->id);
        return NULL;
}

char *unit_refuse_singleton(const UnitFacts *u) {
        const char *type = unit_type(u->id);

        if (g_str_equal(type, "mount") || g_str_equal(type, "swap"))
                return g_strdup_printf("%s: a %s that is busy cannot be taken away in time, so two hosts could have it; let a service "
                                       "mount it, and make that the singleton", u->id, type);
        if (!g_str_equal(type, "service") && !g_str_equal(type, "timer") && !g_str_equal(type, "socket"))
                return g_strdup_printf("%s: services, timers and sockets can be singletons, a %s cannot", u->id,
                                       *type ? type : "unit without a type");
        if (g_str_has_prefix(u->id, "convened.") || g_str_has_prefix(u->id, "convene-"))
                return g_strdup_printf("%s belongs to convene itself, which runs on every host", u->id);

        char *why = refuse_load(u);
        if (why)
                return why;
        if (g_str_equal(type, "socket") && u->accept)
                return g_strdup_printf("%s has Accept=yes: it starts a service for each connection, and those would outlive it; "
                                       "use a service that accepts by itself", u->id);
        if (g_strcmp0(u->type, "oneshot") == 0 && !u->remain_after_exit)
                return g_strdup_printf("%s is a oneshot service: it ends by itself, and every host would run it in turn; make the "
                                       "timer that starts it the singleton, or give it RemainAfterExit=yes", u->id);
        return refuse_kill(u);
}

char *unit_refuse_triggered(const UnitFacts *u) {
        if (!g_str_equal(unit_type(u->id), "service"))
                return g_strdup_printf("%s: only a service can be started by a singleton, not a %s", u->id, unit_type(u->id));

        char *why = refuse_load(u);
        return why ?: refuse_kill(u);
}

/* The drop-in of one service cannot name the leadership of each timer that starts one of its instances. */
char *unit_refuse_template(const char *unit) {
        if (!unit_is_template(unit) || g_str_equal(unit_type(unit), "service"))
                return NULL;
        return g_strdup_printf("%s: what the instances of a template %s start cannot be tied to them all at once; enable each instance "
                               "by its name (%.*sINSTANCE.%s)", unit, unit_type(unit), (int) (strchr(unit, '@') + 1 - unit), unit,
                               unit_type(unit));
}

/*
 * How long a stop takes: the states of a service as systemd.service(5) and systemd.kill(5) have them
 */

static uint64_t add(uint64_t a, uint64_t b) {
        return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t times(unsigned n, uint64_t usec) {
        return n > 0 && usec > UINT64_MAX / n ? UINT64_MAX : n * usec;
}

static void list(GString *how, unsigned n, const char *what) {
        if (n == 0)
                return;
        g_string_append(how, how->len > 0 ? ", " : "");
        if (n > 1)
                g_string_append_printf(how, "%u ", n);
        g_string_append(how, what);
}

uint64_t unit_stop_usec(const UnitFacts *u, uint64_t timeout_usec, char **ret_how) {
        uint64_t stage = timeout_usec > 0 ? timeout_usec : u->timeout_stop_usec, sum;
        bool service = g_str_equal(unit_type(u->id), "service"), aborts = g_strcmp0(u->stop_failure_mode, "abort") == 0;
        unsigned before = u->stop_commands, after = u->stop_post_commands, stages;
        g_autoptr(GString) how = g_string_new(NULL);

        /* A timer stops at once, and so does a socket that runs nothing. */
        if (!service && before + after == 0) {
                *ret_how = g_strdup("it stops at once");
                return 0;
        }

        /* What has got SIGKILL does nothing more by itself, so that the time it takes to be gone counts only where commands wait
         * for it: those of ExecStopPost=, behind which whatever is left gets SIGTERM and SIGKILL once more. */
        stages = before + 1 + (after > 0 ? after + 2 : 0);
        list(how, before, service ? "ExecStop=" : "ExecStopPre=");
        list(how, 1, "SIGTERM");
        if (after > 0) {
                list(how, 1, "SIGKILL");
                list(how, after, "ExecStopPost=");
                list(how, 1, "SIGTERM");
        }

        sum = times(stages, stage);
        g_autofree char *text = stage == UINT64_MAX ? g_strdup("as long as it likes") : format_timespan_msec(stage / 1000);
        *ret_how = g_strdup_printf("TimeoutStopSec= gives %s to each of: %s", text, how->str);
        if (aborts) {
                /* an abort happens once of each kind, and has a time of its own */
                uint64_t abort_usec = timeout_usec > 0 ? timeout_usec : u->timeout_abort_usec;
                g_autofree char *first = g_steal_pointer(ret_how);
                g_autofree char *more = abort_usec == UINT64_MAX ? g_strdup("as long as it likes") : format_timespan_msec(abort_usec / 1000);

                sum = add(sum, times(after > 0 ? 2 : 1, abort_usec));
                *ret_how = g_strdup_printf("%s; and TimeoutAbortSec= gives %s to SIGABRT", first, more);
        }
        return sum;
}
