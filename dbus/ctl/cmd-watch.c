/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * watch, monitor
 *
 * Both outlive the agent: when it comes back the watch goes on from the last change seen, without gap or repetition, or
 * ends with HistoryGone.
 */

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "dbus/ctl/agent-status.h"
#include "dbus/ctl/command.h"
#include "dbus/ctl/link.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/session-list.h"
#include "dbus/ctl/statistics.h"

#define WATCH_NUMBER UINT64_C(1)
#define SESSIONS_LOOK_USEC (1000 * 1000)

typedef struct Watcher {
        Ctl *ctl;
        Link *link;
        const char *path;
        bool recursive;
        bool monitors;                  /* "monitor": roles and sessions too */
        uint64_t printed;

        /* Where to go on from.  One zxid may carry many events, of which `last_count` were seen when the agent went. */
        Zxid base;                      /* everything up to it is known to have been told */
        Zxid last;                      /* of the last event after base; 0 if there was none */
        uint64_t last_count;
        uint64_t skip;                  /* events of `last` that come a second time */

        /* monitor */
        AgentStatus status;
        char *role_line;                /* printed last */
        GPtrArray *sessions;            /* as seen last; NULL before that */
        uint64_t sessions_changes;      /* counters of the statistics when they were seen */
        sd_event_source *look;
} Watcher;

static ExitStatus line_printed(Watcher *w) {
        uint64_t count = w->ctl->options->count;

        fflush(stdout);
        w->printed++;
        if (count > 0 && w->printed >= count)
                link_end(w->link, EXIT_STATUS_OK);
        return EXIT_STATUS_OK;
}

static bool is_done(const Watcher *w) {
        uint64_t count = w->ctl->options->count;

        return count > 0 && w->printed >= count;
}

static char *time_now(void) {
        g_autoptr(GDateTime) now = g_date_time_new_now_local();
        g_autofree char *second = g_date_time_format(now, "%T");

        return g_strdup_printf("%s.%03d", second, g_date_time_get_microsecond(now) / 1000);
}

/* monitor's lines that are no change of the tree. */
static ExitStatus print_note(Watcher *w, JsonObject *o, const char *what, const char *text) {
        g_autofree char *now = time_now();
        g_autofree char *line = format_line(text);

        if (is_done(w))
                return EXIT_STATUS_OK;
        if (w->ctl->options->json)
                json_print_line(o);
        else
                printf("%s  %s%-16s%s  %s\n", now, colour_on(COLOUR_BOLD), what, colour_off(), line);
        return line_printed(w);
}

static JsonObject *new_line(const Watcher *w, const char *event) {
        JsonObject *o = json_object_new_object();

        if (w->monitors) {
                json_add_i64(o, "time_ms", g_get_real_time() / 1000);
                json_add_string(o, "event", event);
        }
        return o;
}

static Colour event_colour(const char *type) {
        return g_str_equal(type, "created") ? COLOUR_GREEN : g_str_equal(type, "deleted") ? COLOUR_RED : COLOUR_NONE;
}

static ExitStatus print_event(Watcher *w, const char *type, const char *path, Zxid zxid) {
        if (w->ctl->options->json) {
                g_autoptr(JsonObject) o = new_line(w, "change");

                json_add_zxid(o, "zxid", zxid);
                json_add_string(o, "type", type);
                json_add_string(o, "path", path);
                json_print_line(o);
        } else if (w->monitors) {
                g_autofree char *now = time_now();
                printf("%s  %s%-16s%s  " ZXID_FORMAT "  %s\n", now, colour_on(event_colour(type)), type, colour_off(),
                       zxid, path);
        } else {
                printf(ZXID_FORMAT "  %s%-16s%s  %s\n", zxid, colour_on(event_colour(type)), type, colour_off(), path);
        }
        return line_printed(w);
}

static ExitStatus on_event(Watcher *w, sd_bus_message *m) {
        const char *type, *path;
        uint64_t number, zxid;
        int spent;

        int r = sd_bus_message_read(m, "tsstb", &number, &type, &path, &zxid, &spent);
        if (r < 0)
                return bad_reply(r);
        if (number != WATCH_NUMBER || is_done(w))
                return EXIT_STATUS_OK;

        if (w->skip > 0 && zxid == w->last) {
                w->skip--;
                return EXIT_STATUS_OK;
        }
        w->skip = 0;
        if (g_str_equal(type, "lost")) {        /* nobody remembers what was before: there is no going on from there */
                w->base = zxid;
                w->last = w->last_count = 0;
        } else {
                w->last_count = zxid == w->last ? w->last_count + 1 : 1;
                w->last = zxid;
        }
        return print_event(w, type, path, zxid);
}

static ExitStatus register_watch(Watcher *w, bool again) {
        g_auto(Call) call = CALL_INIT(w->ctl);
        g_autoptr(sd_bus_message) reply = NULL;
        Zxid since = !again ? w->ctl->options->since : w->last > 0 ? w->last - 1 : w->base;
        uint64_t zxid;

        w->skip = again && w->last > 0 ? w->last_count : 0;
        call_begin(&call, "Watches", "Watch");
        call_append(&call, "tss", WATCH_NUMBER, w->path, w->recursive ? "recursive" : "persistent");
        call_open_options(&call);
        if (since > 0)
                call_option(&call, "since", "t", since);
        ExitStatus e = call_send(&call, w->path, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = sd_bus_message_read(reply, "t", &zxid);
        if (r < 0)
                return bad_reply(r);
        if (!again)
                w->base = since > 0 ? since : zxid;
        return EXIT_STATUS_OK;
}

/*
 * monitor
 */

static ExitStatus show_role(Watcher *w) {
        const AgentStatus *s = &w->status;
        g_autofree char *leader = agent_status_member_name(s, s->leader);
        g_autofree char *line = g_strdup_printf("%s, epoch %" PRIu32 ", leader %s, %s%s", s->role, s->epoch, leader,
                                                s->serving ? "serving" : "not serving",
                                                s->space_available ? "" : ", disk full");

        if (g_strcmp0(line, w->role_line) == 0)
                return EXIT_STATUS_OK;
        g_free(w->role_line);
        w->role_line = g_strdup(line);

        g_autoptr(JsonObject) o = new_line(w, "role");
        json_add_string(o, "role", s->role);
        json_add_u64(o, "epoch", s->epoch);
        json_add_u64(o, "leader", s->leader);
        json_add_bool(o, "serving", s->serving);
        json_add_bool(o, "space_available", s->space_available);
        json_add_zxid(o, "zxid", s->zxid);
        return print_note(w, o, "role", line);
}

/* Signals keep the order of changes: with a zxid all events up to it have been told.  To go on from there rather than
 * from the last event asks less of the agent's memory. */
static void move_base(Watcher *w) {
        if (w->skip > 0 || w->status.zxid <= w->base)
                return;

        w->base = w->status.zxid;
        if (w->last <= w->base)
                w->last = w->last_count = 0;
}

static ExitStatus on_properties(Watcher *w, sd_bus_message *m) {
        const char *interface;
        g_auto(GStrv) before = g_strdupv(w->status.problems);

        int r = sd_bus_message_read(m, "s", &interface);
        if (r < 0)
                return bad_reply(r);
        if (!g_str_equal(interface, AGENT_NAME ".Ensemble") && !g_str_equal(interface, AGENT_NAME ".Agent"))
                return EXIT_STATUS_OK;
        r = agent_status_take(&w->status, m);
        if (r < 0)
                return bad_reply(r);
        move_base(w);
        if (!w->monitors)
                return EXIT_STATUS_OK;

        ExitStatus e = show_role(w);
        for (char **p = w->status.problems; e == EXIT_STATUS_OK && p && *p; p++) {
                g_autoptr(JsonObject) o = new_line(w, "problem");

                if (before && g_strv_contains((const char *const *) before, *p))
                        continue;
                json_add_string(o, "problem", *p);
                e = print_note(w, o, "problem", *p);
        }
        return e;
}

static ExitStatus show_session(Watcher *w, const SessionFacts *s, bool opened) {
        g_autofree char *text = g_strdup_printf("%016" PRIx64 "  %s  %s", s->id, s->owner_kind, s->owner);
        const char *event = opened ? "session-opened" : "session-ended";
        g_autoptr(JsonObject) o = new_line(w, event);

        json_add(o, "session", session_facts_to_json(s));
        return print_note(w, o, event, text);
}

/* Both lists are sorted by id; whatever is in one only has come or gone. */
static ExitStatus compare_sessions(Watcher *w, const GPtrArray *before, const GPtrArray *after) {
        unsigned i = 0, j = 0;

        while (i < before->len || j < after->len) {
                const SessionFacts *old = i < before->len ? g_ptr_array_index(before, i) : NULL;
                const SessionFacts *new = j < after->len ? g_ptr_array_index(after, j) : NULL;
                ExitStatus e = EXIT_STATUS_OK;

                if (old && new && old->id == new->id) {
                        i++;
                        j++;
                } else if (old && (!new || old->id < new->id)) {
                        e = show_session(w, old, false);
                        i++;
                } else {
                        e = show_session(w, new, true);
                        j++;
                }
                if (e != EXIT_STATUS_OK)
                        return e;
        }
        return EXIT_STATUS_OK;
}

/* No signal tells of other callers' sessions.  The counters are cheap to read, the list is not: it is read when they
 * moved. */
static ExitStatus look_at_sessions(Watcher *w) {
        static const char *const counters[] = { "sessions_opened", "sessions_closed", "sessions_expired" };
        g_autoptr(Statistics) numbers = NULL;
        g_autoptr(GPtrArray) list = NULL;
        uint64_t changes = 0, value;

        ExitStatus e = statistics_read(w->ctl, &numbers);
        if (e != EXIT_STATUS_OK)
                return e;
        for (size_t i = 0; i < G_N_ELEMENTS(counters); i++)
                if (statistics_find(numbers, counters[i], &value))
                        changes += value;
        if (w->sessions && changes == w->sessions_changes)
                return EXIT_STATUS_OK;

        e = session_list_read(w->ctl, &list);
        if (e != EXIT_STATUS_OK)
                return e;
        if (w->sessions)
                e = compare_sessions(w, w->sessions, list);
        g_clear_pointer(&w->sessions, g_ptr_array_unref);
        w->sessions = g_steal_pointer(&list);
        w->sessions_changes = changes;
        return e;
}

static int on_look(sd_event_source *s, uint64_t usec, void *userdata) {
        Watcher *w = userdata;

        w->ctl->hush = true;
        ExitStatus e = look_at_sessions(w);
        w->ctl->hush = false;
        if (e != EXIT_STATUS_OK && e != EXIT_STATUS_UNREACHABLE) {      /* the link sees to the latter */
                link_end(w->link, e);
                return 0;
        }
        sd_event_source_set_time_relative(s, SESSIONS_LOOK_USEC);
        sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        return 0;
}

static ExitStatus begin_to_monitor(Watcher *w) {
        ExitStatus e = agent_status_read(w->ctl, &w->status);
        if (e == EXIT_STATUS_OK)
                e = show_role(w);
        if (e == EXIT_STATUS_OK)
                e = look_at_sessions(w);
        if (e != EXIT_STATUS_OK || w->look)
                return e;

        int r = sd_event_add_time_relative(link_get_event(w->link), &w->look, CLOCK_MONOTONIC, SESSIONS_LOOK_USEC, 0,
                                           on_look, w);
        if (r < 0) {
                print_error("cannot set up the event loop: %s", g_strerror(-r));
                return EXIT_STATUS_FAILURE;
        }
        return EXIT_STATUS_OK;
}

static ExitStatus on_established(void *userdata, bool again) {
        Watcher *w = userdata;

        ExitStatus e = register_watch(w, again);
        if (e == EXIT_STATUS_OK && w->monitors)
                e = begin_to_monitor(w);
        return e;
}

static ExitStatus on_signal(void *userdata, const char *interface, sd_bus_message *m) {
        Watcher *w = userdata;

        if (g_str_equal(interface, "Watches") && g_str_equal(sd_bus_message_get_member(m), "Event"))
                return on_event(w, m);
        if (g_str_equal(interface, "Properties"))
                return on_properties(w, m);
        return EXIT_STATUS_OK;
}

static ExitStatus run(Watcher *w) {
        LinkHandler handler = {
                .established = on_established,
                .signal = on_signal,
                .userdata = w,
        };

        ExitStatus e = link_new(w->ctl, &handler, w->ctl->options->timeout_msec, &w->link);
        if (e != EXIT_STATUS_OK)
                return e;

        e = link_run(w->link);
        sd_event_source_disable_unref(w->look);
        link_free(w->link);
        agent_status_done(&w->status);
        g_clear_pointer(&w->sessions, g_ptr_array_unref);
        g_free(w->role_line);
        return e;
}

ExitStatus cmd_watch(Ctl *c, char **arguments, unsigned count) {
        Watcher w = { .ctl = c, .path = arguments[0], .recursive = c->options->recursive };

        return run(&w);
}

ExitStatus cmd_monitor(Ctl *c, char **arguments, unsigned count) {
        Watcher w = { .ctl = c, .path = "/", .recursive = true, .monitors = true };

        return run(&w);
}
