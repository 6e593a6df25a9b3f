/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Workload: what clients ask.
 *
 * Few paths, so that they meet on them.  Data begins with the number of the request, so that every write is known
 * wherever it turns up.
 */

#include <stdio.h>
#include <string.h>

#include "tests/sim/workload.h"

#define KEYS 5

static const Identity super[] = { { "super", "" } };
static const AclEntry open_acl[] = { { PERMISSION_ALL, { "world", "anyone" } } };

uint64_t request_value(const uint8_t *data, size_t size) {
        uint64_t value;

        if (!data || size < 8)
                return 0;
        memcpy(&value, data, 8);
        return value;
}

static void put_data(Client *c, uint64_t number, Asked *a, Request *r) {
        World *w = c->world;

        memcpy(a->data, &number, 8);
        r->data = a->data;
        r->data_size = 8 + (uint32_t) prng_below(&w->prng, MIN(w->params.request_bytes, sizeof(a->data) - 8));
        a->unique = true;
}

/* An observer may vouch for callers of its own host only. */
static Identities caller(const Client *c) {
        static const Identity of[HOSTS_MAX + 1] = {
                { "", "" },
                { "unix", "1000@h1" }, { "unix", "1000@h2" }, { "unix", "1000@h3" }, { "unix", "1000@h4" },
                { "unix", "1000@h5" }, { "unix", "1000@h6" }, { "unix", "1000@h7" }, { "unix", "1000@h8" },
                { "unix", "1000@h9" },
        };

        return (Identities) { &of[c->host->sid], 1 };
}

static void as_client(Client *c, Request *r) {
        if (c->session != 0 && c->attached)
                r->session = c->session;
        else
                r->caller = caller(c);
}

static const char *draw_key(Client *c, char *path) {
        (void) snprintf(path, 64, "/s/k%u", (unsigned) prng_below(&c->world->prng, KEYS));
        return path;
}

static void draw_create(Client *c, uint64_t number, Asked *a) {
        Request *r = &a->request;
        uint64_t kind = prng_below(&c->world->prng, 8);

        r->op = REQUEST_CREATE;
        r->acl = (AclEntries) { open_acl, 1 };
        put_data(c, number, a, r);
        r->path = draw_key(c, a->path);
        if (c->world->params.black_box)
                return;
        if (kind == 0)
                (void) snprintf(a->path + strlen(a->path), 16, "/c%u", (unsigned) prng_below(&c->world->prng, 3));
        else if (kind <= 2) {
                r->path = "/s/q-";
                r->mode = r->session != 0 && kind == 1 ? CREATE_EPHEMERAL_SEQUENTIAL : CREATE_PERSISTENT_SEQUENTIAL;
        } else if (kind <= 4 && r->session != 0) {
                (void) snprintf(a->path, sizeof(a->path), "/s/e%u", (unsigned) prng_below(&c->world->prng, 4));
                r->mode = CREATE_EPHEMERAL;
        } else if (kind == 5) {
                (void) snprintf(a->path, sizeof(a->path), "/s/t%u", (unsigned) prng_below(&c->world->prng, 2));
                r->mode = prng_next(&c->world->prng) & 1 ? CREATE_TTL : CREATE_CONTAINER;
                r->ttl_msec = r->mode == CREATE_TTL ? 700 : 0;
        }
}

static void draw_multi(Client *c, uint64_t number, Asked *a) {
        Request *r = &a->request;
        unsigned count = (unsigned) prng_between(&c->world->prng, 1, G_N_ELEMENTS(a->operations));

        r->op = REQUEST_MULTI;
        r->operations = a->operations;
        r->operations_count = count;
        for (unsigned i = 0; i < count; i++) {
                Request *o = a->operations + i;

                o->path = draw_key(c, a->paths[i]);
                o->version = VERSION_ANY;
                switch (prng_below(&c->world->prng, 4)) {

                case 0:
                        o->op = REQUEST_CREATE;
                        o->acl = (AclEntries) { open_acl, 1 };
                        put_data(c, number, a, o);
                        break;

                case 1:
                        o->op = REQUEST_DELETE;
                        break;

                case 2:
                        o->op = REQUEST_CHECK;
                        break;

                default:
                        o->op = REQUEST_SET_DATA;
                        put_data(c, number, a, o);
                        break;
                }
        }
}

static void draw_update(Client *c, uint64_t number, Asked *a) {
        World *w = c->world;
        Request *r = &a->request;
        uint64_t kind;

        if (!w->params.black_box && prng_chance(&w->prng, w->params.multi_share)) {
                draw_multi(c, number, a);
                return;
        }
        kind = prng_below(&w->prng, 20);
        if (kind < 8) {
                draw_create(c, number, a);
                return;
        }
        r->path = draw_key(c, a->path);
        r->version = VERSION_ANY;
        if (kind < 16) {
                r->op = REQUEST_SET_DATA;
                put_data(c, number, a, r);
        } else if (kind < 19 || w->params.black_box)
                r->op = REQUEST_DELETE;
        else {
                r->op = REQUEST_DELETE_RECURSIVE;
                return;
        }
        if (prng_next(&w->prng) & 1)
                r->version = (int32_t) prng_below(&w->prng, 4);
}

static void draw_read(Client *c, Asked *a) {
        World *w = c->world;
        Request *r = &a->request;

        r->path = draw_key(c, a->path);
        switch (prng_below(&w->prng, 6)) {

        case 0:
                r->op = REQUEST_EXISTS;
                break;

        case 1:
                r->op = REQUEST_GET_CHILDREN;
                r->path = "/s";
                break;

        case 2:
                r->op = REQUEST_SYNC;
                break;

        default:
                r->op = REQUEST_GET_DATA;
                break;
        }
        if (r->op == REQUEST_SYNC || prng_chance(&w->prng, w->params.linear_share))
                a->flags = MEMBER_LINEARIZABLE;
        if (r->op != REQUEST_SYNC && prng_chance(&w->prng, w->params.watch_share))
                a->watch_kind = r->op == REQUEST_GET_CHILDREN ? WATCH_CHILDREN : WATCH_DATA;
}

void request_draw(Client *c, uint64_t number, Asked *ret) {
        World *w = c->world;

        *ret = (Asked) { 0 };
        as_client(c, &ret->request);
        if (c->session != 0 && c->attached && prng_chance(&w->prng, 10)) {
                ret->request.op = REQUEST_CLOSE_SESSION;
                ret->request.target = c->session;
                ret->request.session = 0;
                ret->request.caller = caller(c);
        } else if (prng_chance(&w->prng, w->params.read_share))
                draw_read(c, ret);
        else
                draw_update(c, number, ret);
}

void request_open(Client *c, uint64_t number, Asked *ret) {
        World *w = c->world;

        *ret = (Asked) { .unique = true };
        ret->request.op = REQUEST_OPEN_SESSION;
        ret->request.caller = caller(c);
        ret->request.timeout_msec = c->timeout_msec = (uint32_t) prng_between(&w->prng, 1000, 3000);
        for (unsigned i = 0; i < sizeof(c->secret); i += 8)
                memcpy(c->secret + i, &(uint64_t) { prng_next(&w->prng) }, 8);
        memcpy(ret->request.secret_hash, c->secret, sizeof(c->secret));
        (void) snprintf(ret->path, sizeof(ret->path), "client%u %" PRIu64, c->number, number);
        ret->request.owner = ret->path;
        ret->request.member = c->host->sid;
        ret->request.identities = caller(c);
}

void request_attach(Client *c, Asked *ret) {
        *ret = (Asked) { 0 };
        ret->request.op = REQUEST_ATTACH_SESSION;
        ret->request.caller = caller(c);
        ret->request.target = c->session;
        ret->request.timeout_msec = c->timeout_msec;
        memcpy(ret->request.secret_hash, c->secret, sizeof(c->secret));
        ret->request.member = c->host->sid;
}

void request_found(Client *c, Asked *ret) {
        *ret = (Asked) { 0 };
        ret->request.op = REQUEST_CREATE;
        ret->request.caller = (Identities) { super, 1 };
        ret->request.path = "/s";
        ret->request.acl = (AclEntries) { open_acl, 1 };
}

void request_probe(Client *c, uint64_t number, Asked *ret) {
        *ret = (Asked) { 0 };
        ret->request.op = REQUEST_CREATE;
        ret->request.mode = CREATE_PERSISTENT_SEQUENTIAL;
        ret->request.caller = caller(c);
        ret->request.path = "/s/p-";
        ret->request.acl = (AclEntries) { open_acl, 1 };
        put_data(c, number, ret, &ret->request);
}
