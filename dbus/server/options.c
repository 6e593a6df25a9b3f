/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Options
 *
 * One table: name, type, where the value goes.
 */

#include "dbus/server/options.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "dbus/server/codec.h"

typedef struct OptionRow {
        const char *name, *type;
        uint32_t flag;
        size_t offset;
} OptionRow;

#define ROW(name, type, flag, field) { name, type, flag, offsetof(Options, field) }

static const OptionRow table[] = {
        ROW("session", "t", OPTION_SESSION, session),
        ROW("super", "b", OPTION_SUPER, super),
        ROW("linearizable", "b", OPTION_LINEARIZABLE, linearizable),
        ROW("watch", "t", OPTION_WATCH, watch),
        ROW("acl", "a(uss)", OPTION_ACL, acl),
        ROW("ttl", "t", OPTION_TTL, ttl_msec),
        ROW("null", "b", OPTION_NULL, null),
        ROW("parents", "b", OPTION_PARENTS, parents),
        ROW("czxid", "t", OPTION_CZXID, czxid),
        ROW("start-after", "s", OPTION_START_AFTER, start_after),
        ROW("start-after", "t", OPTION_START_AFTER_SESSION, start_after_session),
        ROW("limit", "u", OPTION_LIMIT, limit),
        ROW("data", "b", OPTION_WANT_DATA, want_data),
        ROW("data", "ay", OPTION_DATA, data),
        ROW("timeout", "u", OPTION_TIMEOUT, timeout_msec),
        ROW("unit", "s", OPTION_UNIT, unit),
        ROW("since", "t", OPTION_SINCE, since),
        ROW("mode", "s", OPTION_MODE, mode),
        ROW("version", "i", OPTION_VERSION, version),
        ROW("shared", "b", OPTION_SHARED, shared),
        ROW("slots", "u", OPTION_SLOTS, slots),
        ROW("timeout", "t", OPTION_PATIENCE, patience_usec),
        ROW("session-timeout", "u", OPTION_SESSION_TIMEOUT, session_timeout_msec),
        ROW("holder", "s", OPTION_HOLDER, holder),
        ROW("token", "t", OPTION_TOKEN, token),
        ROW("expect", "x", OPTION_EXPECT, expect),
        ROW("member", "s", OPTION_MEMBER, member),
        ROW("ordered", "b", OPTION_ORDERED, ordered),
        ROW("pending", "b", OPTION_PENDING, pending),
        ROW("stay", "b", OPTION_STAY, stay),
        ROW("tries", "u", OPTION_TRIES, tries),
        ROW("priority", "u", OPTION_PRIORITY, priority),
};

static const OptionRow *find_row(const char *name, uint32_t known) {
        for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
                if ((table[i].flag & known) && g_str_equal(table[i].name, name))
                        return &table[i];

        return NULL;
}

static char *describe_unknown(const char *name, uint32_t known) {
        GString *s = g_string_new(NULL);

        g_string_printf(s, "unknown option '%.64s'; the options here are:", name);
        for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
                if (table[i].flag & known)
                        g_string_append_printf(s, " %s (%s)", table[i].name, table[i].type);
        if (known == 0)
                g_string_append(s, " none");
        return g_string_free(s, FALSE);
}

static int read_value(sd_bus_message *m, const OptionRow *row, Options *o) {
        void *field = (uint8_t *) o + row->offset;
        int boolean, r;

        switch (row->type[0]) {
        case 'b':
                r = sd_bus_message_read_basic(m, 'b', &boolean);
                if (r >= 0)
                        *(bool *) field = boolean;
                return r;
        case 'a':
                if (row->type[1] == 'y')
                        return sd_bus_message_read_array(m, 'y', (const void **) field, &o->data_size);
                return acl_read(m, (GArray **) field);
        default:
                return sd_bus_message_read_basic(m, row->type[0], field);
        }
}

static int read_option(sd_bus_message *m, uint32_t known, Options *o, char **ret_problem) {
        const char *name, *contents;
        const OptionRow *row;
        int r;

        r = sd_bus_message_read_basic(m, 's', &name);
        if (r < 0)
                return r;
        row = find_row(name, known);
        if (!row) {
                *ret_problem = describe_unknown(name, known);
                return -EINVAL;
        }
        if (o->given & row->flag) {
                *ret_problem = g_strdup_printf("option '%s' is given twice", name);
                return -EINVAL;
        }
        r = sd_bus_message_peek_type(m, NULL, &contents);
        if (r < 0)
                return r;
        if (!g_str_equal(contents, row->type)) {
                *ret_problem = g_strdup_printf("option '%s' must be of type '%s', not '%.64s'", name, row->type, contents);
                return -EINVAL;
        }

        r = sd_bus_message_enter_container(m, 'v', row->type);
        if (r < 0)
                return r;
        r = read_value(m, row, o);
        if (r < 0)
                return r;
        o->given |= row->flag;
        return sd_bus_message_exit_container(m);
}

int options_read(sd_bus_message *m, uint32_t known, Options *ret, char **ret_problem) {
        int r;

        r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = read_option(m, known, ret, ret_problem);
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

void options_done(Options *o) {
        if (o->acl)
                g_array_unref(o->acl);
        o->acl = NULL;
}
