/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Systemd
 */

#include "dbus/ctl/systemd.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "dbus/ctl/output.h"

typedef sd_bus_slot Slot;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Slot, sd_bus_slot_unref)

#define NAME "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define MANAGER NAME ".Manager"
#define ANSWER_USEC (90 * UINT64_C(1000000))    /* reading all units again takes its time on a large host */

void systemd_done(Systemd *s) {
        s->bus = sd_bus_flush_close_unref(s->bus);
}

static ExitStatus failed(const char *what, const char *unit, const sd_bus_error *error, int r) {
        print_error("%s%s%s: %s", what, unit ? " " : "", unit ?: "", error->message ?: g_strerror(-r));
        return sd_bus_error_has_name(error, SD_BUS_ERROR_ACCESS_DENIED) ? EXIT_STATUS_ACCESS : EXIT_STATUS_FAILURE;
}

ExitStatus systemd_connect(Systemd *s, const Options *o) {
        s->timeout_usec = MAX(o->timeout_msec * 1000, ANSWER_USEC);
        int r = bus_open(system_bus_address(), s->timeout_usec, &s->bus);
        if (r < 0) {
                print_error("cannot reach systemd over the system bus: %s", g_strerror(-r));
                return EXIT_STATUS_UNREACHABLE;
        }

        /* for the ends of jobs; it may be said only once */
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        r = sd_bus_call_method(s->bus, NAME, MANAGER_PATH, MANAGER, "Subscribe", &error, NULL, NULL);
        return r < 0 ? failed("cannot follow", "systemd", &error, r) : EXIT_STATUS_OK;
}

static ExitStatus bad_answer(const char *unit, int r) {
        print_error("%s: systemd's answer is not understood: %s", unit, g_strerror(-r));
        return EXIT_STATUS_FAILURE;
}

/*
 * Facts
 */

typedef int (*ReadProperty)(sd_bus_message *m, const char *type, void *field);

static int read_string(sd_bus_message *m, const char *type, void *field) {
        const char *text;
        int r = sd_bus_message_read(m, "s", &text);

        if (r > 0)
                *(char **) field = g_strdup(text);
        return r;
}

static int read_flag(sd_bus_message *m, const char *type, void *field) {
        int flag, r = sd_bus_message_read(m, "b", &flag);

        if (r > 0)
                *(bool *) field = flag;
        return r;
}

static int read_u64(sd_bus_message *m, const char *type, void *field) {
        return sd_bus_message_read(m, "t", field);
}

static int read_strings(sd_bus_message *m, const char *type, void *field) {
        g_autoptr(GPtrArray) all = g_ptr_array_new();
        const char *text;
        int r = sd_bus_message_enter_container(m, 'a', "s");

        while (r >= 0 && (r = sd_bus_message_read(m, "s", &text)) > 0)
                g_ptr_array_add(all, g_strdup(text));
        g_ptr_array_add(all, NULL);
        *(char ***) field = (char **) g_ptr_array_steal(all, NULL);
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int read_error(sd_bus_message *m, const char *type, void *field) {
        const char *name, *text;
        int r = sd_bus_message_read(m, "(ss)", &name, &text);

        if (r > 0)
                *(char **) field = g_strdup(text);
        return r;
}

/* How many there are. */
static int read_commands(sd_bus_message *m, const char *type, void *field) {
        int r = sd_bus_message_enter_container(m, 'a', type + 1);

        while (r >= 0 && (r = sd_bus_message_at_end(m, false)) == 0) {
                r = sd_bus_message_skip(m, type + 1);
                *(unsigned *) field += 1;
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

#define COMMANDS "a(sasbttttuii)"

static const struct {
        const char *name, *type;
        ReadProperty read;
        size_t offset;
} properties[] = {
#define ROW(name, type, read, field) { name, type, read, offsetof(UnitFacts, field) }
        ROW("Id", "s", read_string, id),
        ROW("LoadState", "s", read_string, load_state),
        ROW("LoadError", "(ss)", read_error, load_error),
        ROW("ActiveState", "s", read_string, active_state),
        ROW("FragmentPath", "s", read_string, fragment),
        ROW("Transient", "b", read_flag, transient),
        ROW("Triggers", "as", read_strings, triggers),
        ROW("BindsTo", "as", read_strings, binds_to),
        ROW("Before", "as", read_strings, before),
        ROW("RequiredBy", "as", read_strings, required_by),
        ROW("BoundBy", "as", read_strings, bound_by),
        ROW("ConsistsOf", "as", read_strings, consists_of),
        ROW("PropagatesStopTo", "as", read_strings, stop_propagates_to),
        ROW("Type", "s", read_string, type),
        ROW("KillMode", "s", read_string, kill_mode),
        ROW("SendSIGKILL", "b", read_flag, send_sigkill),
        ROW("TimeoutStopFailureMode", "s", read_string, stop_failure_mode),
        ROW("RemainAfterExit", "b", read_flag, remain_after_exit),
        ROW("Accept", "b", read_flag, accept),
        ROW("Persistent", "b", read_flag, persistent),
        ROW("TimeoutStopUSec", "t", read_u64, timeout_stop_usec),
        ROW("TimeoutUSec", "t", read_u64, timeout_stop_usec),           /* of a socket */
        ROW("TimeoutAbortUSec", "t", read_u64, timeout_abort_usec),
        ROW("ExecStop", COMMANDS, read_commands, stop_commands),
        ROW("ExecStopPre", COMMANDS, read_commands, stop_commands),     /* of a socket */
        ROW("ExecStopPost", COMMANDS, read_commands, stop_post_commands),
#undef ROW
};

/* A variant of another type than documented is passed over as one that is not there. */
static int read_property(sd_bus_message *m, const char *name, UnitFacts *u) {
        const char *type;
        char kind;

        int r = sd_bus_message_peek_type(m, &kind, &type);
        if (r < 0)
                return r;
        for (size_t i = 0; i < G_N_ELEMENTS(properties); i++) {
                if (!g_str_equal(properties[i].name, name) || !g_str_equal(properties[i].type, type))
                        continue;
                r = sd_bus_message_enter_container(m, 'v', type);
                if (r >= 0)
                        r = properties[i].read(m, properties[i].type, (char *) u + properties[i].offset);
                return r < 0 ? r : sd_bus_message_exit_container(m);
        }
        return sd_bus_message_skip(m, "v");
}

static int read_properties(sd_bus_message *m, UnitFacts *u) {
        const char *name;
        int r = sd_bus_message_enter_container(m, 'a', "{sv}");

        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read(m, "s", &name);
                if (r > 0)
                        r = read_property(m, name, u);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        return r;
}

ExitStatus systemd_read_unit(Systemd *s, const char *unit, UnitFacts *ret) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        g_autoptr(sd_bus_message) loaded = NULL, all = NULL;
        g_auto(UnitFacts) facts = { .send_sigkill = !g_str_equal(unit_type(unit), "service") };
        const char *path;

        int r = sd_bus_call_method(s->bus, NAME, MANAGER_PATH, MANAGER, "LoadUnit", &error, &loaded, "s", unit);
        if (r < 0)
                return failed("cannot load", unit, &error, r);
        r = sd_bus_message_read(loaded, "o", &path);
        if (r < 0)
                return bad_answer(unit, r);
        r = sd_bus_call_method(s->bus, NAME, path, "org.freedesktop.DBus.Properties", "GetAll", &error, &all, "s", "");
        if (r < 0)
                return failed("cannot read", unit, &error, r);
        r = read_properties(all, &facts);
        if (r >= 0 && !facts.id)
                r = -EBADMSG;
        if (r < 0)
                return bad_answer(unit, r);

        unit_facts_done(ret);
        *ret = facts;
        facts = (UnitFacts) {};
        return EXIT_STATUS_OK;
}

ExitStatus systemd_list_instances(Systemd *s, const char *template_unit, char ***ret) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(GPtrArray) names = g_ptr_array_new();
        g_autofree char *prefix = g_strndup(template_unit, strchr(template_unit, '@') + 1 - template_unit);
        g_autofree char *pattern = g_strconcat(prefix, "*.", unit_type(template_unit), NULL);
        const char *name;

        int r = sd_bus_call_method(s->bus, NAME, MANAGER_PATH, MANAGER, "ListUnitsByPatterns", &error, &reply, "asas", 0, 1,
                                   pattern);
        if (r < 0)
                return failed("cannot list the units of", template_unit, &error, r);
        r = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");
        while (r >= 0 && (r = sd_bus_message_read(reply, "(ssssssouso)", &name, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                                                  NULL)) > 0)
                g_ptr_array_add(names, g_strdup(name));
        g_ptr_array_add(names, NULL);
        g_auto(GStrv) list = (char **) g_ptr_array_steal(names, NULL);
        if (r < 0)
                return bad_answer(template_unit, r);

        *ret = g_steal_pointer(&list);
        return EXIT_STATUS_OK;
}

ExitStatus systemd_read_file_state(Systemd *s, const char *unit, char **ret) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        g_autoptr(sd_bus_message) reply = NULL;
        const char *state;

        int r = sd_bus_call_method(s->bus, NAME, MANAGER_PATH, MANAGER, "GetUnitFileState", &error, &reply, "s", unit);
        if (r < 0)
                return failed("cannot find the unit file of", unit, &error, r);
        r = sd_bus_message_read(reply, "s", &state);
        if (r < 0)
                return bad_answer(unit, r);
        *ret = g_strdup(state);
        return EXIT_STATUS_OK;
}

/*
 * Changes
 */

ExitStatus systemd_enable(Systemd *s, const char *unit, bool runtime) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;

        int r = sd_bus_call_method(s->bus, NAME, MANAGER_PATH, MANAGER, "EnableUnitFiles", &error, NULL, "asbb", 1, unit, runtime, true);
        return r < 0 ? failed("cannot enable", unit, &error, r) : EXIT_STATUS_OK;
}

ExitStatus systemd_disable(Systemd *s, const char *unit, bool runtime) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;

        int r = sd_bus_call_method(s->bus, NAME, MANAGER_PATH, MANAGER, "DisableUnitFiles", &error, NULL, "asb", 1, unit, runtime);
        return r < 0 ? failed("cannot disable", unit, &error, r) : EXIT_STATUS_OK;
}

ExitStatus systemd_reload(Systemd *s) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;

        int r = sd_bus_call_method(s->bus, NAME, MANAGER_PATH, MANAGER, "Reload", &error, NULL, NULL);
        return r < 0 ? failed("systemd cannot read its units again", NULL, &error, r) : EXIT_STATUS_OK;
}

/*
 * Jobs
 */

/* `userdata`: path -> result, since a job may end before we know which is ours. */
static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
        GHashTable *removed = userdata;
        const char *job, *result;

        if (sd_bus_message_read(m, "uoss", NULL, &job, NULL, &result) > 0)
                g_hash_table_insert(removed, g_strdup(job), g_strdup(result));
        return 0;
}

static int wait_for_job(Systemd *s, GHashTable *removed, const char *job, uint64_t timeout_usec, const char **ret_result) {
        int64_t end = g_get_monotonic_time() + MIN(timeout_usec, (uint64_t) INT64_MAX / 2);

        while (!(*ret_result = g_hash_table_lookup(removed, job))) {
                int64_t now = g_get_monotonic_time();

                if (now >= end)
                        return -ETIMEDOUT;
                int r = sd_bus_process(s->bus, NULL);
                if (r == 0)
                        r = sd_bus_wait(s->bus, end - now);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* `what`: "cannot stop"; the same words with the unit for what goes wrong. */
static ExitStatus run_job(Systemd *s, const char *method, const char *what, const char *unit, uint64_t timeout_usec) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(GHashTable) removed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        g_autoptr(Slot) slot = NULL;
        const char *job, *result;

        int r = sd_bus_match_signal(s->bus, &slot, NAME, MANAGER_PATH, MANAGER, "JobRemoved", on_job_removed, removed);
        if (r >= 0)
                r = sd_bus_call_method(s->bus, NAME, MANAGER_PATH, MANAGER, method, &error, &reply, "ss", unit, "replace");
        if (sd_bus_error_has_name(&error, NAME ".NoSuchUnit"))
                return EXIT_STATUS_OK;
        if (r >= 0)
                r = sd_bus_message_read(reply, "o", &job);
        if (r >= 0)
                r = wait_for_job(s, removed, job, timeout_usec, &result);
        if (r < 0)
                return failed(what, unit, &error, r);
        if (g_str_equal(result, "done") || g_str_equal(result, "skipped"))
                return EXIT_STATUS_OK;

        print_error("%s %s: its job ended with \"%s\"; see systemctl status %s", what, unit, result, unit);
        return EXIT_STATUS_FAILURE;
}

ExitStatus systemd_start(Systemd *s, const char *unit) {
        g_auto(sd_bus_error) error = SD_BUS_ERROR_NULL;

        int r = sd_bus_call_method(s->bus, NAME, MANAGER_PATH, MANAGER, "StartUnit", &error, NULL, "ss", unit, "replace");
        return r < 0 ? failed("cannot start", unit, &error, r) : EXIT_STATUS_OK;
}

ExitStatus systemd_stop(Systemd *s, const char *unit, uint64_t timeout_usec) {
        return run_job(s, "StopUnit", "cannot stop", unit, timeout_usec);
}

ExitStatus systemd_reload_unit(Systemd *s, const char *unit, uint64_t timeout_usec) {
        return run_job(s, "ReloadOrTryRestartUnit", "cannot reload", unit, timeout_usec);
}
