/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Singleton list
 */

#include "dbus/ctl/singleton-list.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "dbus/ctl/recipe.h"

static void singleton_facts_free(void *p) {
        SingletonFacts *s = p;

        g_free(s->name);
        g_free(s->unit);
        g_free(s->state);
        g_free(s->text);
        g_free(s->host);
        g_strfreev(s->hosts);
        g_free(s);
}

static const struct {
        const char *key, *type;
        size_t offset;
} keys[] = {
#define ROW(key, type, field) { key, type, offsetof(SingletonFacts, field) }
        ROW("name", "s", name),
        ROW("unit", "s", unit),
        ROW("state", "s", state),
        ROW("text", "s", text),
        ROW("host", "s", host),
        ROW("hosts", "as", hosts),
        ROW("copies", "u", copies),
        ROW("token", "t", token),
        ROW("deadline", "t", deadline_usec),
        ROW("until", "t", until_usec),
#undef ROW
};

static int read_value(sd_bus_message *m, const char *type, void *field) {
        const char *text;
        int r;

        switch (type[0]) {
        case 's':
                r = sd_bus_message_read(m, "s", &text);
                if (r > 0) {
                        g_free(*(char **) field);
                        *(char **) field = g_strdup(text);
                }
                return r;
        case 'a': {
                char **list = NULL;

                r = sd_bus_message_read_strv(m, &list);
                if (r < 0)
                        return r;
                g_strfreev(*(char ***) field);
                *(char ***) field = g_strdupv(list);
                for (char **l = list; l && *l; l++)
                        free(*l);
                free(list);
                return r;
        }
        default:
                return sd_bus_message_read(m, type, field);
        }
}

static int read_entry(sd_bus_message *m, SingletonFacts *s) {
        const char *key;

        int r = sd_bus_message_read(m, "s", &key);
        if (r < 0)
                return r;
        for (size_t i = 0; i < G_N_ELEMENTS(keys); i++) {
                if (!g_str_equal(keys[i].key, key))
                        continue;
                r = sd_bus_message_enter_container(m, 'v', keys[i].type);
                if (r >= 0)
                        r = read_value(m, keys[i].type, (char *) s + keys[i].offset);
                return r < 0 ? r : sd_bus_message_exit_container(m);
        }
        return sd_bus_message_skip(m, "v");     /* of a later version */
}

static int read_row(sd_bus_message *m, SingletonFacts *s) {
        int r = sd_bus_message_enter_container(m, 'a', "{sv}");
        if (r <= 0)
                return r;

        while ((r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = read_entry(m, s);
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(m);
        if (r >= 0 && (!s->name || !s->state))
                r = -EBADMSG;
        return r < 0 ? r : 1;
}

ExitStatus singleton_list_read(Ctl *c, GPtrArray **ret) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(singleton_facts_free);

        call_begin(&call, "Singletons", "List");
        call_append(&call, "a{sv}", 0);
        ExitStatus e = call_send(&call, NULL, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = sd_bus_message_enter_container(reply, 'a', "a{sv}");
        while (r >= 0 && sd_bus_message_at_end(reply, false) == 0) {
                SingletonFacts *s = g_new0(SingletonFacts, 1);

                g_ptr_array_add(list, s);
                r = read_row(reply, s);
        }
        if (r < 0)
                return bad_reply(r);

        *ret = g_steal_pointer(&list);
        return EXIT_STATUS_OK;
}

const SingletonFacts *singleton_list_find(const GPtrArray *list, const char *unit) {
        for (unsigned i = 0; i < list->len; i++) {
                const SingletonFacts *s = g_ptr_array_index(list, i);

                if (g_strcmp0(s->unit, unit) == 0)
                        return s;
        }
        return NULL;
}

static JsonObject *string_or_null(const char *text) {
        return text ? json_object_new_string(text) : NULL;
}

JsonObject *singleton_facts_to_json(const SingletonFacts *s) {
        JsonObject *o = json_object_new_object(), *hosts = json_object_new_array();

        for (char **h = s->hosts; h && *h; h++)
                json_object_array_add(hosts, json_object_new_string(*h));
        json_add_string(o, "name", s->name);
        json_add(o, "unit", string_or_null(s->unit));
        json_add_string(o, "state", s->state);
        json_add(o, "text", string_or_null(s->text));
        json_add(o, "host", string_or_null(s->host));
        json_add(o, "hosts", hosts);
        json_add_u64(o, "copies", s->copies);
        json_add(o, "token", s->token > 0 ? json_object_new_uint64(s->token) : NULL);
        json_add(o, "promised_ms", s->deadline_usec > 0 ? json_object_new_uint64(boottime_left_msec(s->deadline_usec)) : NULL);
        json_add(o, "stands_in_ms", s->until_usec > 0 ? json_object_new_uint64(boottime_left_msec(s->until_usec)) : NULL);
        return o;
}

char *singleton_facts_leaders(const SingletonFacts *s) {
        g_autoptr(GString) text = g_string_new(NULL);

        for (uint32_t i = 0; s->hosts && s->hosts[i] && i < MAX(s->copies, 1u); i++)
                g_string_append_printf(text, "%s%s", i > 0 ? " " : "", s->hosts[i]);
        return g_strdup(text->len > 0 ? text->str : s->host ?: "-");
}
