/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * group
 */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/json.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/recipe.h"
#include "dbus/ctl/text.h"

#define MEMBER_SIGNATURE "(sssuutxtay)"
#define DATA_SHOWN_MAX 200

ExitStatus cmd_group_join(Ctl *c, char **arguments, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_auto(Granted) granted = { .fd = -1 };

        if (!need_command(c))
                return EXIT_STATUS_USAGE;
        call_begin(&call, "Groups", "Join");
        call_append(&call, "s", arguments[0]);
        call_open_options(&call);
        if (c->options->as)
                call_option(&call, "member", "s", c->options->as);
        append_grant_options(&call);
        ExitStatus e = granted_receive(&call, arguments[0], &granted, NULL);
        if (e != EXIT_STATUS_OK)
                return e;
        ctl_disconnect(c);
        return guard(&granted, c->options->command);
}

/*
 * Who is in it
 */

typedef struct Member {
        char *name, *host, *unit;
        uint32_t uid, pid;
        uint64_t session, token;
        int64_t since_msec;
        GBytes *data;
} Member;

static void member_free(gpointer p) {
        Member *m = p;

        g_free(m->name);
        g_free(m->host);
        g_free(m->unit);
        g_bytes_unref(m->data);
        g_free(m);
}

/* 0: the end of the list. */
static int read_member(sd_bus_message *message, GPtrArray *members) {
        const char *name, *host, *unit;
        Member m = { 0 };
        const void *data;
        size_t size;
        int r;

        r = sd_bus_message_enter_container(message, 'r', "sssuutxtay");
        if (r <= 0)
                return r;
        r = sd_bus_message_read(message, "sssuutxt", &name, &host, &unit, &m.uid, &m.pid, &m.session, &m.since_msec, &m.token);
        if (r >= 0)
                r = sd_bus_message_read_array(message, 'y', &data, &size);
        if (r < 0)
                return r;
        m.name = g_strdup(name);
        m.host = g_strdup(host);
        m.unit = g_strdup(unit);
        m.data = g_bytes_new(data, size);
        g_ptr_array_add(members, g_memdup2(&m, sizeof(m)));
        r = sd_bus_message_exit_container(message);
        return r < 0 ? r : 1;
}

/* `version` NULL: as it is; otherwise once it is another one, which goes there. */
static ExitStatus read_members(Ctl *c, const char *name, uint64_t *version, GPtrArray **ret, bool *ret_more) {
        g_autoptr(GPtrArray) members = g_ptr_array_new_with_free_func(member_free);
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        uint64_t now;
        int more, r;

        call_begin(&call, "Groups", "Members");
        call_append(&call, "s", name);
        call_open(&call, 'a', "{sv}");
        if (version) {
                call_option(&call, "since", "t", *version);
                append_patience(&call);
        }
        call_close(&call);
        ExitStatus e = call_send(&call, name, &reply);
        if (e != EXIT_STATUS_OK)
                return e;
        r = sd_bus_message_enter_container(reply, 'a', MEMBER_SIGNATURE);
        while (r >= 0 && (r = read_member(reply, members)) > 0)
                ;
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "tb", &now, &more);
        if (r < 0)
                return bad_reply(r);
        if (version)
                *version = now;
        *ret = g_steal_pointer(&members);
        *ret_more = more;
        return EXIT_STATUS_OK;
}

static JsonObject *member_to_json(const Member *m) {
        JsonObject *o = json_object_new_object();
        size_t size;
        const void *data = g_bytes_get_data(m->data, &size);

        json_add_string(o, "member", m->name);
        json_add_string(o, "host", m->host);
        json_add(o, "unit", *m->unit ? json_object_new_string(m->unit) : NULL);
        json_add(o, "uid", m->uid != UINT32_MAX ? json_object_new_int64(m->uid) : NULL);
        json_add(o, "pid", m->pid > 0 ? json_object_new_int64(m->pid) : NULL);
        json_add_session(o, "session", m->session);
        json_add_i64(o, "since_ms", m->since_msec);
        json_add_u64(o, "token", m->token);
        json_add_data(o, "data", data, size);
        return o;
}

static char *member_data(const Member *m) {
        size_t size;
        const void *data = g_bytes_get_data(m->data, &size);

        return format_data(data, size, DATA_SHOWN_MAX);
}

static void add_member(Table *t, const Member *m) {
        g_autofree char *since = format_time_msec(m->since_msec), *data = member_data(m);

        table_add_coloured(t, COLOUR_BOLD, m->name);
        table_add(t, *m->host ? m->host : "-");
        table_add(t, *m->unit ? m->unit : "-");
        table_add(t, since);
        table_add(t, data);
}

ExitStatus cmd_group_list(Ctl *c, char **arguments, unsigned count) {
        g_autoptr(JsonObject) array = json_object_new_array();
        g_autoptr(Table) table = table_new("MEMBER", "HOST", "UNIT", "SINCE", "DATA", NULL);
        g_autoptr(GPtrArray) members = NULL;
        bool more;

        ExitStatus e = read_members(c, arguments[0], NULL, &members, &more);
        if (e != EXIT_STATUS_OK)
                return e;
        for (guint i = 0; i < members->len; i++)
                if (c->options->json)
                        json_object_array_add(array, member_to_json(members->pdata[i]));
                else
                        add_member(table, members->pdata[i]);
        return print_list(c, array, table, more);
}

/*
 * share
 */

/* Whoever asks runs as a member, if nothing else is said. */
static const char *which_member(const Options *o) {
        const char *path = g_getenv("CONVENE_PATH");

        if (o->as)
                return o->as;
        return path ? path_name(path) : NULL;
}

static ExitStatus print_share(Ctl *c, sd_bus_message *reply) {
        g_autoptr(JsonObject) array = json_object_new_array();
        const char *item;
        uint64_t version;

        int r = sd_bus_message_enter_container(reply, 'a', "s");
        while (r >= 0 && (r = sd_bus_message_read_basic(reply, 's', &item)) > 0)
                if (c->options->json)
                        json_object_array_add(array, json_object_new_string(item));
                else if (!c->options->quiet)
                        printf("%s\n", item);
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = sd_bus_message_read_basic(reply, 't', &version);
        if (r < 0)
                return bad_reply(r);
        if (c->options->json) {
                g_autoptr(JsonObject) o = json_object_new_object();
                json_add(o, "items", g_steal_pointer(&array));
                json_add_zxid(o, "version", version);
                json_print(o);
        }
        return EXIT_STATUS_OK;
}

ExitStatus cmd_group_share(Ctl *c, char **arguments, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        const char *member = which_member(c->options);

        if (!member) {
                print_error("whose share?  Say it with --as=NAME");
                return EXIT_STATUS_USAGE;
        }
        call_begin(&call, "Groups", "Share");
        call_append(&call, "ss", arguments[0], member);
        call_open(&call, 'a', "s");
        for (unsigned i = 1; i < count; i++)
                call_append(&call, "s", arguments[i]);
        call_close(&call);
        call_open(&call, 'a', "{sv}");
        if (c->options->since > 0) {
                call_option(&call, "since", "t", c->options->since);
                append_patience(&call);
        }
        call_close(&call);
        ExitStatus e = call_send(&call, arguments[0], &reply);
        return e != EXIT_STATUS_OK ? e : print_share(c, reply);
}

/*
 * watch
 */

typedef struct Watching {
        Ctl *ctl;
        uint64_t printed;
} Watching;

static bool is_done(const Watching *w) {
        return w->ctl->options->count > 0 && w->printed >= w->ctl->options->count;
}

static void print_change(Watching *w, const char *what, Colour colour, const Member *m) {
        if (is_done(w))
                return;
        w->printed++;
        if (w->ctl->options->json) {
                g_autoptr(JsonObject) o = member_to_json(m);
                json_add_string(o, "change", what);
                json_print_line(o);
        } else {
                g_autofree char *data = member_data(m);
                printf("%s%-8s%s  %s  %s\n", colour_on(colour), what, colour_off(), m->name, data);
                fflush(stdout);
        }
}

/* A member that left and came again is another one. */
static const Member *find_member(const GPtrArray *members, const Member *wanted) {
        for (guint i = 0; i < members->len; i++) {
                const Member *m = members->pdata[i];

                if (m->token == wanted->token)
                        return m;
        }
        return NULL;
}

static void print_changes(Watching *w, const GPtrArray *before, const GPtrArray *after) {
        for (guint i = 0; i < before->len; i++)
                if (!find_member(after, before->pdata[i]))
                        print_change(w, "left", COLOUR_RED, before->pdata[i]);
        for (guint i = 0; i < after->len; i++) {
                const Member *was = find_member(before, after->pdata[i]), *is = after->pdata[i];

                if (!was)
                        print_change(w, "joined", COLOUR_GREEN, is);
                else if (!g_bytes_equal(was->data, is->data))
                        print_change(w, "changed", COLOUR_NONE, is);
        }
}

/* Who is there at the beginning has joined. */
ExitStatus cmd_group_watch(Ctl *c, char **arguments, unsigned count) {
        g_autoptr(GPtrArray) before = g_ptr_array_new_with_free_func(member_free);
        Watching w = { .ctl = c };
        uint64_t version = 0;

        while (!is_done(&w)) {
                g_autoptr(GPtrArray) after = NULL;
                bool more;

                ExitStatus e = read_members(c, arguments[0], &version, &after, &more);
                if (e != EXIT_STATUS_OK)
                        return e;
                print_changes(&w, before, after);
                g_ptr_array_unref(before);
                before = g_steal_pointer(&after);
        }
        return EXIT_STATUS_OK;
}
