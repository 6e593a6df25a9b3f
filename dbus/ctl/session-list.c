/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Session list
 */

#include "dbus/ctl/session-list.h"
#include "dbus/ctl/clock.h"

#include <stdlib.h>

static void session_facts_free(void *p) {
        SessionFacts *s = p;

        g_free(s->owner_kind);
        g_free(s->owner);
        g_free(s);
}

static int read_page(sd_bus_message *m, GPtrArray *list) {
        const char *kind, *owner;
        SessionFacts s;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "(tssuuuxt)");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read(m, "(tssuuuxt)", &s.id, &kind, &owner, &s.member, &s.timeout_msec,
                                        &s.ephemerals, &s.created_msec, &s.deadline_usec)) > 0) {
                s.owner_kind = g_strdup(kind);
                s.owner = g_strdup(owner);
                g_ptr_array_add(list, g_memdup2(&s, sizeof(s)));
        }
        return r < 0 ? r : sd_bus_message_exit_container(m);
}

ExitStatus session_list_read(Ctl *c, GPtrArray **ret) {
        g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(session_facts_free);
        int more = true;

        while (more) {
                g_auto(Call) call = CALL_INIT(c);
                g_autoptr(sd_bus_message) reply = NULL;
                unsigned before = list->len;

                call_begin(&call, "Sessions", "List");
                call_open(&call, 'a', "{sv}");
                if (before > 0) {
                        const SessionFacts *last = g_ptr_array_index(list, before - 1);
                        call_option(&call, "start-after", "t", last->id);
                }
                call_close(&call);
                ExitStatus e = call_send(&call, NULL, &reply);
                if (e != EXIT_STATUS_OK)
                        return e;

                int r = read_page(reply, list);
                if (r >= 0)
                        r = sd_bus_message_read(reply, "b", &more);
                if (r < 0)
                        return bad_reply(r);
                if (list->len == before)
                        break;
        }

        *ret = g_steal_pointer(&list);
        return EXIT_STATUS_OK;
}

static int compare_id(const void *a, const void *b) {
        const uint64_t *id = a;
        const SessionFacts *const *s = b;

        return *id < (*s)->id ? -1 : *id > (*s)->id;
}

const SessionFacts *session_list_find(const GPtrArray *list, uint64_t id) {
        SessionFacts **found = list->len == 0 ? NULL : bsearch(&id, list->pdata, list->len, sizeof(void *), compare_id);

        return found ? *found : NULL;
}

JsonObject *session_facts_to_json(const SessionFacts *s) {
        JsonObject *o = json_object_new_object();

        json_add_session(o, "id", s->id);
        json_add_string(o, "owner_kind", s->owner_kind);
        json_add_string(o, "owner", s->owner);
        json_add_u64(o, "member", s->member);
        json_add_u64(o, "timeout_ms", s->timeout_msec);
        json_add_u64(o, "ephemerals", s->ephemerals);
        json_add_i64(o, "created_ms", s->created_msec);
        if (s->deadline_usec > 0)
                json_add_i64(o, "deadline_in_ms", (int64_t) (s->deadline_usec - now_usec(CLOCK_BOOTTIME)) / 1000);
        else
                json_add(o, "deadline_in_ms", NULL);
        return o;
}
