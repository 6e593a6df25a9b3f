/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Place
 */

#include "dbus/server/place.h"

#include "dbus/server/server-private.h"

#define AGAIN_USEC (UINT64_C(100) * 1000)

struct Place {
        Server *server;
        char *path;
        uint64_t watch;
        bool watched;
        sd_event_source *again;         /* not serving at the moment: to be tried again */
        GQueue guests;                  /* Guest.link */
        unsigned keen;                  /* of them, those whom every event concerns */
        Guest *occupant;
        Lineup *lineup;                 /* while they look, once one has asked */
        Deferred look;
};

GPtrArray *place_children(Server *s, const char *parent) {
        GPtrArray *names = g_ptr_array_new_with_free_func(g_free);
        Request r = {
                .op = REQUEST_GET_CHILDREN,
                .path = parent,
                .caller = server_reading_identities(s),
        };
        Result page;

        do {
                tree_read(member_tree(s->member), &r, &page);
                if (page.status != CONVENE_OK)
                        break;
                for (uint32_t i = 0; i < page.items_count; i++)
                        g_ptr_array_add(names, g_strdup(page.items[i].path));
                r.start_after = names->len > 0 ? g_ptr_array_index(names, names->len - 1) : NULL;
        } while (page.more);
        return names;
}

Lineup *place_read(Server *s, const char *parent) {
        g_autoptr(GPtrArray) names = place_children(s, parent);

        return lineup_new((const char *const *) names->pdata, names->len);
}

static int place_on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        Place *p = userdata;

        deferred_schedule(&p->server->later, &p->look);
        return 0;
}

/* Before the first look, so that nothing that happens after it is missed. */
static bool place_watch(Place *p) {
        Server *s = p->server;

        if (p->watched)
                return true;
        p->watched = member_watch(s->watcher, p->watch, p->path, WATCH_PERSISTENT_RECURSIVE, 0,
                                  server_reading_identities(s), 0) == CONVENE_OK;
        if (!p->watched) {
                p->again = sd_event_source_disable_unref(p->again);
                (void) sd_event_add_time_relative(s->event, &p->again, CLOCK_BOOTTIME, AGAIN_USEC, 0, place_on_again, p);
        }
        return p->watched;
}

static void place_on_look(void *userdata) {
        Place *p = userdata;
        GList *next;

        if (!place_watch(p))
                return;
        for (GList *i = p->guests.head; i; i = next) {
                Guest *g = i->data;

                next = i->next;
                g->look(g->userdata);
        }
        p->lineup = lineup_free(p->lineup);
}

const Lineup *place_lineup(const Guest *g) {
        Place *p = g->place;

        if (!p->lineup)
                p->lineup = place_read(p->server, p->path);
        return p->lineup;
}

static void place_tell(Place *p, WatchEventType type, const char *path, Zxid zxid) {
        for (GList *i = p->guests.head; i && p->keen > 0; i = i->next) {
                Guest *g = i->data;

                if (g->saw)
                        g->saw(g->userdata, type, path, zxid);
        }
}

static void place_on_event(void *userdata, uint64_t watch, WatchEventType type, const char *path, Zxid zxid, bool spent) {
        Server *s = userdata;
        Place *p = g_hash_table_lookup(s->places_by_watch, &watch);

        if (!p)
                return;
        place_tell(p, type, path, zxid);
        if (lineup_wakes(type) || p->keen > 0)
                deferred_schedule(&s->later, &p->look);
}

static void place_on_lost(void *userdata, uint64_t watch, const char *path, Zxid zxid) {
        Server *s = userdata;
        Place *p = g_hash_table_lookup(s->places_by_watch, &watch);

        if (!p)
                return;
        place_tell(p, WATCH_EVENT_DELETED, NULL, zxid);
        deferred_schedule(&s->later, &p->look);
}

static void place_on_reply(void *userdata, uint64_t tag, const Result *result) {
        g_assert_not_reached();                 /* nothing is submitted through this client */
}

static const MemberFront front = {
        .reply = place_on_reply,
        .event = place_on_event,
        .lost = place_on_lost,
};

static Place *place_new(Server *s, const char *path) {
        Place *p = g_new0(Place, 1);

        p->server = s;
        p->path = g_strdup(path);
        p->watch = ++s->next_place_watch;
        g_queue_init(&p->guests);
        deferred_init(&p->look, place_on_look, p);
        g_hash_table_insert(s->places, p->path, p);
        g_hash_table_insert(s->places_by_watch, &p->watch, p);
        return p;
}

static void place_free(Place *p) {
        Server *s = p->server;

        deferred_cancel(&s->later, &p->look);
        sd_event_source_disable_unref(p->again);
        (void) member_unwatch(s->watcher, p->watch, NULL, WATCH_PERSISTENT_RECURSIVE);
        g_hash_table_remove(s->places_by_watch, &p->watch);
        g_hash_table_remove(s->places, p->path);
        g_free(p->path);
        g_free(p);
}

void place_join(Server *s, const char *path, Guest *g) {
        Place *p = g_hash_table_lookup(s->places, path);

        if (!p)
                p = place_new(s, path);
        g->place = p;
        g->link.data = g;
        g_queue_push_tail_link(&p->guests, &g->link);
        p->keen += g->every_event;
        place_look(g);
}

void place_leave(Guest *g) {
        Place *p = g->place;

        if (!p)
                return;
        place_vacate(g);
        g->place = NULL;
        g_queue_unlink(&p->guests, &g->link);
        p->keen -= g->every_event;
        if (p->guests.length == 0)
                place_free(p);
}

void place_look(Guest *g) {
        deferred_schedule(&g->place->server->later, &g->place->look);
}

void place_occupy(Guest *g) {
        g->place->occupant = g;
}

void place_vacate(Guest *g) {
        if (g->place->occupant != g)
                return;
        g->place->occupant = NULL;
        place_look(g);
}

bool place_is_occupied(const Guest *g) {
        return g->place->occupant != NULL;
}

void places_init(Server *s) {
        s->places = g_hash_table_new(g_str_hash, g_str_equal);
        s->places_by_watch = g_hash_table_new(g_int64_hash, g_int64_equal);
        s->watcher = member_client_new(s->member, &front, s);
}

void places_done(Server *s) {
        s->watcher = member_client_free(s->watcher);
        g_clear_pointer(&s->places_by_watch, g_hash_table_unref);
        g_clear_pointer(&s->places, g_hash_table_unref);
}
