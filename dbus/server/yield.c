/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Yield
 *
 * Each grant looks at its place once more, and finds that this host is away (grant.c): what is held is lost there as if the promise ended,
 * descriptor first and session after the grace; whoever waits keeps the place in the queue until the turn comes.
 */

#include "dbus/server/yield.h"

#include "dbus/server/grant.h"
#include "dbus/server/server-private.h"

unsigned server_yielding(const Server *s) {
        unsigned n = 0;

        for (GList *i = s->grants.head; i; i = i->next)
                n += grant_excludes(i->data) && grant_is_held(i->data);
        return n;
}

static void on_look(void *userdata) {
        Server *s = userdata;

        if (s->yielded && server_yielding(s) == 0)
                g_steal_pointer(&s->yielded)(s->yielded_userdata);
}

void yield_init(Server *s) {
        deferred_init(&s->yield, on_look, s);
}

void yield_done(Server *s) {
        deferred_cancel(&s->later, &s->yield);
}

void yield_look(Server *s) {
        if (s->yielded)
                deferred_schedule(&s->later, &s->yield);
}

static void set_away(Server *s, bool away) {
        s->away = away;
        for (GList *i = s->grants.head; i; i = i->next)
                if (((Grant *) i->data)->guest.place)
                        place_look(&((Grant *) i->data)->guest);
}

void server_yield(Server *s, void (*done)(void *userdata), void *userdata) {
        s->yielded = done;
        s->yielded_userdata = userdata;
        set_away(s, true);
        yield_look(s);
}

void server_resume(Server *s) {
        s->yielded = NULL;
        set_away(s, false);
}
