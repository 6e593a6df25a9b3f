/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Random requests
 */

#include "tests/unit/twin-generate.h"

#include <string.h>

#include "agent/base/limits.h"

#define HASH_A "Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ="
#define HASH_B "V28q/NynI4JI3Rk54h0r8O5kMug="

static const char *const profile_names[_PROFILE_MAX] = {
        "mixed", "acl", "sessions", "multi", "quota", "deep", "wrap", "read", "wide",
};

const char *profile_to_string(Profile p) {
        return profile_names[p];
}

void generator_init(Generator *g, uint64_t seed, Profile profile, const Twin *twin) {
        *g = (Generator) { .prng = { seed }, .profile = profile, .twin = twin };
        g->memory = g_ptr_array_new_with_free_func(g_free);
}

void generator_done(Generator *g) {
        g_ptr_array_unref(g->memory);
        g_free(g->last_path);
}

unsigned generator_below(Generator *g, unsigned bound) {
        return prng_below(&g->prng, bound);
}

bool generator_chance(Generator *g, unsigned percent) {
        return generator_below(g, 100) < percent;
}

static char *keep(Generator *g, char *s) {
        g_ptr_array_add(g->memory, s);
        return s;
}

static void *keep_new(Generator *g, size_t size) {
        void *p = g_malloc0(size > 0 ? size : 1);

        g_ptr_array_add(g->memory, p);
        return p;
}

static const char *pick(Generator *g, const char *const *names, unsigned count) {
        return names[generator_below(g, count)];
}

#define PICK(g, names) pick(g, names, G_N_ELEMENTS(names))

/* Paths */

static const char *gen_name(Generator *g) {
        static const char *const names[] = {
                "a", "a", "a", "b", "b", "c", "d", "a-", "a b", "\303\251", "x.y", "0000000001", "...", "ab", "B",
        };

        if (g->profile == PROFILE_DEEP && generator_chance(g, 8))
                return keep(g, g_strnfill(100 + generator_below(g, 140), 'n'));
        if (g->profile == PROFILE_WIDE && generator_chance(g, 80))
                return keep(g, g_strdup_printf("n%u", generator_below(g, 3000)));
        return PICK(g, names);
}

static const TwinZnode *gen_znode(Generator *g) {
        const GPtrArray *znodes = g->twin->znodes;
        const TwinZnode *best = znodes->pdata[generator_below(g, znodes->len)];

        /* The deepest of a few. */
        for (unsigned i = 0; g->profile == PROFILE_DEEP && i < 3; i++) {
                const TwinZnode *z = znodes->pdata[generator_below(g, znodes->len)];

                if (z->id > best->id)
                        best = z;
        }
        return best;
}

static const char *gen_weird_path(Generator *g) {
        static const char *const paths[] = {
                "", "a", "/", "/a/", "//a", "/a//b", "//", "/./a", "/a/.", "/a/..", "/../a", "a/b", "/a\001", "/a\037",
                "/\177", "/\302\200", "/\302\237", "/\302\240", "/\357\277\277", "/\357\277\260", "/\357\277\257",
                "/\360\237\230\200", "/\356\200\200", "/\357\243\277", "/\355\237\277", "/\357\244\200", "/\377",
                "/\303", "/\355\240\200", "/a/ ", "/.a", "/a\n", "/zookeeper", "/zookeeper/quota", "/zookeeper/config",
                "/zookeeper/a", "/zookeeper/config/a", "/zookeeper/quota/a",
        };

        return PICK(g, paths);
}

static const char *gen_child_path(Generator *g, const char *parent) {
        return keep(g, g_strconcat(g_str_equal(parent, "/") ? "" : parent, "/", gen_name(g), NULL));
}

static const char *gen_deepest_child(Generator *g) {
        const GPtrArray *znodes = g->twin->znodes;
        const TwinZnode *longest = znodes->pdata[0];

        for (unsigned i = 1; i < znodes->len; i++)
                if (strlen(((TwinZnode *) znodes->pdata[i])->path) > strlen(longest->path))
                        longest = znodes->pdata[i];
        return gen_child_path(g, longest->path);
}

/* One component more than there is: step by step to the limit of depth. */
static const char *gen_next_of_chain(Generator *g) {
        g_autoptr(GString) s = g_string_new("/chain");

        while (twin_find(g->twin, s->str) && s->len < 200)
                g_string_append(s, "/a");
        return keep(g, g_strdup(s->str));
}

static const char *gen_path_at_limit(Generator *g) {
        g_autoptr(GString) s = g_string_new(NULL);
        unsigned depth = LIMIT_PATH_DEPTH - 1 + generator_below(g, 3);

        for (unsigned i = 0; i < depth; i++)
                g_string_append(s, "/a");
        return keep(g, g_strdup(s->str));
}

static const char *gen_near_path(Generator *g, bool for_create) {
        const char *existing = keep(g, g_strdup(gen_znode(g)->path));

        if (g->last_path && generator_chance(g, g->benign ? 40 : 10))
                return for_create ? gen_child_path(g, g->last_path) : keep(g, g_strdup(g->last_path));
        if (for_create && generator_chance(g, 85))
                return gen_child_path(g, existing);
        return existing;
}

static const char *gen_path(Generator *g, bool for_create) {
        unsigned dice = generator_below(g, g->benign ? 80 : 100);

        if (g->profile == PROFILE_DEEP && for_create && generator_chance(g, 30))
                return generator_chance(g, 60) ? gen_next_of_chain(g) : gen_deepest_child(g);
        if (dice < 80)
                return gen_near_path(g, for_create);
        if (dice < 90)
                return gen_child_path(g, gen_child_path(g, "/"));
        if (dice < 93)
                return gen_child_path(g, gen_weird_path(g));
        if (dice < 95)
                return keep(g, g_strconcat(gen_znode(g)->path, "/", NULL));
        if (dice < 96)
                return gen_path_at_limit(g);
        return gen_weird_path(g);
}

const char *generator_path(Generator *g) {
        return gen_path(g, generator_chance(g, 30));
}

/* Identities and ACLs */

static Identity gen_caller_identity(Generator *g) {
        static const Identity pool[] = {
                { "digest", "ann:" HASH_A }, { "digest", "bob:" HASH_B }, { "digest", "ann:" HASH_B },
                { "ip", "10.0.0.1" }, { "ip", "10.1.2.3" }, { "ip", "192.168.7.9" }, { "ip", "fe80::1" },
                { "ip", "2001:db8::7" }, { "x509", "CN=ann" }, { "x509", "CN=bob,O=home" }, { "unix", "33@web1" },
                { "unix", "33@web2" }, { "unix", "0@web1" }, { "unit", "nginx.service@web1" },
                { "unit", "app@1.service@web2" }, { "host", "web1" }, { "host", "web2" },
        };

        return pool[generator_below(g, G_N_ELEMENTS(pool))];
}

static Identity gen_acl_identity(Generator *g) {
        static const Identity pool[] = {
                { "world", "anyone" }, { "world", "anyone" }, { "world", "anyone" }, { "auth", "" }, { "auth", "x" },
                { "ip", "10.0.0.0/8" }, { "ip", "10.0.0.0/15" }, { "ip", "10.0.0.1/32" }, { "ip", "0.0.0.0/0" },
                { "ip", "fe80::/10" }, { "ip", "2001:db8::/127" }, { "ip", "::/0" }, { "unix", "33@*" },
                { "unit", "nginx.service@*" }, { "unit", "app@1.service@*" }, { "host", "*" },
        };

        if (generator_chance(g, 60))
                return pool[generator_below(g, G_N_ELEMENTS(pool))];
        return gen_caller_identity(g);
}

static Identity gen_bad_identity(Generator *g) {
        static const Identity pool[] = {
                { "world", "someone" }, { "world", "" }, { "", "" }, { "sasl", "ann" }, { "digest", "" },
                { "digest", "ann" }, { "ip", "10.0.0" }, { "ip", "300.1.1.1" }, { "ip", "10.0.0.0/33" },
                { "ip", "10.0.0.0/" }, { "ip", "10.0.0.0/x" }, { "ip", "fe80::/129" }, { "ip", "" }, { "ip", "g::1" },
                { "x509", "" }, { "unix", "33" }, { "unix", "root@web1" }, { "unix", "@web1" }, { "unix", "33@" },
                { "unit", "nginx.service" }, { "unit", "@web1" }, { "unit", "nginx.service@" },
                { "unit", "nginx@web1" }, { "host", "" }, { "host", "a b" }, { "x509", "ann" }, { "unix", "033@web1" },
                { "unix", "4294967295@web1" },
                { "digest", "ann:a:b" }, { "digest", "ann:" }, { "ip", "10.0.0.1 " }, { "x509", "CN=\001" },
        };

        return pool[generator_below(g, G_N_ELEMENTS(pool))];
}

static Identities gen_caller(Generator *g) {
        unsigned count = generator_below(g, 4);
        Identity *items = keep_new(g, 4 * sizeof(Identity));

        for (unsigned i = 0; i < count; i++)
                items[i] = gen_caller_identity(g);
        if (generator_chance(g, g->profile == PROFILE_ACL ? 12 : g->benign ? 70 : 35))
                items[count++] = (Identity) { "super", "root" };
        return (Identities) { items, count };
}

/* For a session: mostly good ones. */
static Identities gen_identities(Generator *g) {
        Identities i = gen_caller(g);

        if (i.count > 0 && generator_chance(g, 6))
                ((Identity *) i.items)[0] = gen_bad_identity(g);
        return i;
}

static AclEntries gen_acl(Generator *g) {
        unsigned count = generator_chance(g, 3) ? 0 : 1 + generator_below(g, 4);
        AclEntry *items = keep_new(g, 4 * sizeof(AclEntry));

        if (generator_chance(g, g->profile == PROFILE_ACL ? 10 : 50)) {
                items[0] = (AclEntry) { PERMISSION_ALL, { "world", "anyone" } };
                return (AclEntries) { items, 1 };
        }
        for (unsigned i = 0; i < count; i++) {
                items[i].permissions = generator_chance(g, 40) ? PERMISSION_ALL : 1 + generator_below(g, 31);
                items[i].who = gen_acl_identity(g);
        }
        if (count > 1 && generator_chance(g, 10))
                items[1] = items[0];
        if (count > 0 && generator_chance(g, 4))
                items[count - 1].who = generator_chance(g, 20) ? (Identity) { "super", "root" } : gen_bad_identity(g);
        if (count > 0 && generator_chance(g, 2))
                items[0].permissions = generator_chance(g, 50) ? 0 : generator_chance(g, 50) ? 32 : 255;
        return (AclEntries) { items, count };
}

/* Other fields */

static int32_t gen_version(Generator *g, int32_t right) {
        unsigned dice = generator_below(g, 100);

        if (g->benign || dice < 45)
                return VERSION_ANY;
        if (dice < 80)
                return right;
        if (dice < 88)
                return -2;
        return dice < 94 ? 0 : (int32_t) ((uint32_t) right + 1);
}

static Zxid gen_czxid(Generator *g, const TwinZnode *z) {
        unsigned dice = generator_below(g, 100);

        if (dice < (g->benign ? 95 : 80))
                return 0;
        return z && dice < 97 ? z->czxid : 1 + generator_below(g, 1000);
}

static void gen_data(Generator *g, Request *r) {
        unsigned dice = generator_below(g, 100), size = generator_below(g, 40);
        char *data;

        if (dice < 15)
                return;
        if (dice < 25)
                size = 0;
        else if (dice >= 96 && g->profile == PROFILE_READ)
                size = LIMIT_DATA_BYTES / 3 * 2;        /* two fill a page */
        else if (dice == 99)
                size = 1000 + generator_below(g, 200);
        data = keep_new(g, size);
        memset(data, 'a' + generator_below(g, 26), size);
        r->data = (const uint8_t *) data;
        r->data_size = size;
}

static void gen_session_and_caller(Generator *g, Request *r) {
        const GPtrArray *sessions = g->twin->sessions;
        unsigned dice = generator_below(g, 100);

        if (dice < 3) {
                r->session = dice == 0 || g->closed_session == 0 ? 12345 : g->closed_session;
                r->cxid = 1;
        } else if (dice < 60 && sessions->len > 0) {
                const TwinSession *s = sessions->pdata[generator_below(g, sessions->len)];
                unsigned which = generator_below(g, 100);

                r->session = s->id;
                r->cxid = which < 85 ? s->cxid + 1 : which < 90 ? s->cxid + 1 + generator_below(g, 50) :
                        which < 93 ? s->cxid : which < 95 ? s->cxid / 2 : 0;
                r->origin = generator_below(g, 10) == 0 ? 1 + generator_below(g, 3) : generator_below(g, 2) * s->member;
                r->number = generator_below(g, 1000);
        } else
                r->caller = gen_caller(g);
}

static uint64_t gen_session_id(Generator *g) {
        const GPtrArray *sessions = g->twin->sessions;

        if (sessions->len == 0 || generator_chance(g, 12))
                return generator_chance(g, 50) && g->closed_session != 0 ? g->closed_session : generator_below(g, 5000);
        return ((TwinSession *) sessions->pdata[generator_below(g, sessions->len)])->id;
}

static uint32_t gen_timeout(Generator *g) {
        static const uint32_t odd[] = {
                0, LIMIT_SESSION_TIMEOUT_MIN_MSEC - 1, LIMIT_SESSION_TIMEOUT_MIN_MSEC, LIMIT_SESSION_TIMEOUT_MAX_MSEC,
                LIMIT_SESSION_TIMEOUT_MAX_MSEC + 1, UINT32_MAX,
        };

        return generator_chance(g, 15) ? odd[generator_below(g, G_N_ELEMENTS(odd))] : 2000 + generator_below(g, 30000);
}

/* Requests by op */

static void gen_create(Generator *g, Request *r) {
        r->path = gen_path(g, true);
        r->mode = generator_below(g, _CREATE_MODE_MAX);
        if (generator_chance(g, g->profile == PROFILE_SESSIONS ? 10 : 40))
                r->mode = CREATE_PERSISTENT;
        if (g->profile == PROFILE_SESSIONS && generator_chance(g, 40))
                r->mode = generator_chance(g, 70) ? CREATE_EPHEMERAL : CREATE_EPHEMERAL_SEQUENTIAL;
        if (r->mode == CREATE_TTL || r->mode == CREATE_TTL_SEQUENTIAL)
                r->ttl_msec = 1 + generator_below(g, 5000);
        if (generator_chance(g, 3)) {
                static const int64_t odd[] = { 0, -1, TTL_MSEC_MAX, TTL_MSEC_MAX + 1, INT64_MAX, INT64_MIN };

                r->ttl_msec = odd[generator_below(g, G_N_ELEMENTS(odd))];
        }
        if (r->mode >= CREATE_PERSISTENT_SEQUENTIAL && r->mode != CREATE_CONTAINER && generator_chance(g, 15))
                r->path = keep(g, g_strconcat(gen_znode(g)->path, "/", NULL));
        gen_data(g, r);
        r->acl = gen_acl(g);
        if (g_str_has_prefix(r->path, "/chain")) {
                static const AclEntry open = { PERMISSION_ALL, { "world", "anyone" } };

                r->mode = CREATE_PERSISTENT;
                r->ttl_msec = 0;
                r->acl = (AclEntries) { &open, 1 };
        }

        g_free(g->last_path);
        g->last_path = g_strdup(r->path);
}

static void gen_delete(Generator *g, Request *r) {
        const TwinZnode *z;

        r->path = gen_path(g, false);
        z = twin_find(g->twin, r->path);
        r->version = gen_version(g, z ? z->version : 0);
        r->czxid = gen_czxid(g, z);
}

static void gen_set_acl(Generator *g, Request *r) {
        const TwinZnode *z;

        r->path = gen_path(g, false);
        z = twin_find(g->twin, r->path);
        r->version = gen_version(g, z ? z->aversion : 0);
        r->acl = gen_acl(g);
}

static void gen_operation(Generator *g, RequestOp op, Request *r);

static void gen_multi(Generator *g, Request *r) {
        static const RequestOp good[] = {
                REQUEST_CREATE, REQUEST_CREATE, REQUEST_CREATE, REQUEST_DELETE, REQUEST_SET_DATA, REQUEST_CHECK,
        };
        static const RequestOp good_reads[] = { REQUEST_GET_DATA, REQUEST_GET_CHILDREN };
        static const RequestOp bad[] = {
                REQUEST_GET_DATA, REQUEST_SET_ACL, REQUEST_EXISTS, REQUEST_CREATE, REQUEST_DELETE_RECURSIVE,
        };
        unsigned count = generator_below(g, 9);
        Request *operations = keep_new(g, 9 * sizeof(Request));
        bool mixed = generator_chance(g, 3);

        g->benign = generator_chance(g, 70);
        for (unsigned i = 0; i < count; i++) {
                RequestOp op = r->op == REQUEST_MULTI ? good[generator_below(g, G_N_ELEMENTS(good))] :
                                                        good_reads[generator_below(g, G_N_ELEMENTS(good_reads))];

                if (mixed && generator_chance(g, 30))
                        op = bad[generator_below(g, G_N_ELEMENTS(bad))];
                gen_operation(g, op, operations + i);
        }
        r->operations = operations;
        r->operations_count = count;
}

static void gen_reap(Generator *g, Request *r) {
        const TwinZnode *z = gen_znode(g);

        for (unsigned i = 0; i < 20 && z->mode != CREATE_CONTAINER && z->mode != CREATE_TTL; i++)
                z = gen_znode(g);
        r->path = generator_chance(g, 90) ? keep(g, g_strdup(z->path)) : gen_path(g, false);
        r->czxid = generator_chance(g, 90) ? z->czxid : 1 + generator_below(g, 1000);
}

static void gen_open_session(Generator *g, Request *r) {
        static const char *const owners[] = {
                "", "nginx.service 5f3c", ":1.42", "web1", "web1", "\303\251", "a\nb", "\377",
        };

        r->timeout_msec = gen_timeout(g);
        memset(r->secret_hash, generator_below(g, 3), SESSION_SECRET_HASH_BYTES);
        r->owner_kind = generator_below(g, _OWNER_KIND_MAX);
        r->owner = PICK(g, owners);
        r->member = 1 + generator_below(g, 3);
        r->identities = gen_identities(g);
}

static void gen_attach_session(Generator *g, Request *r) {
        const TwinSession *s;

        r->target = gen_session_id(g);
        s = twin_find_session(g->twin, r->target);
        r->timeout_msec = gen_timeout(g);
        r->member = 1 + generator_below(g, 3);
        memset(r->secret_hash, s && generator_chance(g, 80) ? s->secret_hash[0] : 7, SESSION_SECRET_HASH_BYTES);
        /* Wrong in the last byte alone. */
        if (generator_chance(g, 5))
                r->secret_hash[SESSION_SECRET_HASH_BYTES - 1] ^= 1;
}

static void gen_paging(Generator *g, Request *r) {
        if (generator_chance(g, 60))
                r->entries_max = 1 + generator_below(g, 5);
        r->want_data = generator_chance(g, 40);
        if (generator_chance(g, 50))
                r->start_after = r->op == REQUEST_LIST ? gen_path(g, generator_chance(g, 30)) : gen_name(g);
}

/* All there is, so that a page ends by its bytes. */
static void gen_whole(Generator *g, Request *r) {
        r->path = r->op == REQUEST_LIST ? "/" : keep(g, g_strdup(gen_znode(g)->path));
        r->want_data = true;
}

static void gen_session_paging(Generator *g, Request *r) {
        r->entries_max = generator_below(g, 4);
        if (generator_chance(g, 60))
                r->start_after_session = gen_session_id(g) + generator_below(g, 2);
}

static void gen_prefix(Generator *g, Request *r) {
        static const char *const prefixes[] = { "", "/", "/a", "/b", "/a/", "a" };

        r->path = generator_chance(g, 70) ? PICK(g, prefixes) : gen_path(g, false);
}

static void gen_operation(Generator *g, RequestOp op, Request *r) {
        *r = (Request) { .op = op };
        switch (op) {
        case REQUEST_CREATE:
                gen_create(g, r);
                break;
        case REQUEST_SET_DATA:
                gen_data(g, r);
                gen_delete(g, r);
                break;
        case REQUEST_DELETE:
        case REQUEST_CHECK:
                gen_delete(g, r);
                break;
        case REQUEST_SET_ACL:
                gen_set_acl(g, r);
                break;
        case REQUEST_MULTI:
        case REQUEST_MULTI_READ:
                gen_multi(g, r);
                break;
        case REQUEST_REAP:
                gen_reap(g, r);
                break;
        case REQUEST_OPEN_SESSION:
                gen_open_session(g, r);
                break;
        case REQUEST_ATTACH_SESSION:
                gen_attach_session(g, r);
                break;
        case REQUEST_AUTH_SESSION:
                r->target = gen_session_id(g);
                r->identities = gen_identities(g);
                break;
        case REQUEST_CLOSE_SESSION:
                r->target = gen_session_id(g);
                r->expired = generator_chance(g, 30);
                if (r->expired && generator_chance(g, 70))
                        r->generation = generator_chance(g, 80) ? 1 : 2;
                break;
        case REQUEST_LIST:
        case REQUEST_GET_CHILDREN:
                r->path = gen_path(g, false);
                if (g->profile == PROFILE_READ && generator_chance(g, 40))
                        gen_whole(g, r);
                else
                        gen_paging(g, r);
                break;
        case REQUEST_LIST_SESSIONS:
                gen_session_paging(g, r);
                break;
        case REQUEST_GET_EPHEMERALS:
                gen_prefix(g, r);
                break;
        case REQUEST_WHO_AM_I:
                break;
        default:
                r->path = gen_path(g, false);
                break;
        }
}

/* The next step towards a quota on some path: its znodes under /zookeeper/quota one by one, then the limits. */
static void gen_quota(Generator *g, Request *r) {
        static const char *const limits[] = {
                "count=%d,bytes=-1", "count=-1,bytes=%d", "count=%d,bytes=100=;byteHardLimit=-1;countHardLimit=5",
                "count=-1,bytes=-1=;byteHardLimit=%d;countHardLimit=-1",
                "count=2,bytes=20=;byteHardLimit=200;countHardLimit=%d", "count=%d,bytes=%d", "countHardLimit=%d",
                "count=%d,bytes=%d,count=1", "count=", "count=-2,bytes=%d", "nonsense", "bytes=%d,", ";count=%d",
                "count=9223372036854775807%d", "count=%dx", "bytes=9223372036854775807",
        };
        static const AclEntry open = { PERMISSION_ALL, { "world", "anyone" } };
        static const Identity super = { "super", "root" };
        const char *target = gen_znode(g)->path;
        g_auto(GStrv) components = NULL;
        g_autoptr(GString) path = g_string_new("/zookeeper/quota");
        const char *format = PICK(g, limits);
        int a = (int) generator_below(g, 12), b = (int) generator_below(g, 120);

        if (g_str_equal(target, "/") || g_str_has_prefix(target, "/zookeeper"))
                target = "/a";
        components = g_strsplit(target + 1, "/", 3);
        *r = (Request) { .op = REQUEST_CREATE, .caller = { &super, 1 }, .acl = { &open, 1 } };
        for (unsigned i = 0; components[i] && i < 2; i++) {
                g_string_append_printf(path, "/%s", components[i]);
                r->path = keep(g, g_strdup(path->str));
                if (!twin_find(g->twin, path->str))
                        return;
        }
        g_string_append(path, generator_chance(g, 70) ? "/zookeeper_limits" : "/zookeeper_stats");
        r->path = keep(g, g_strdup(path->str));
        if (twin_find(g->twin, r->path)) {
                *r = (Request) { .op = generator_chance(g, 70) ? REQUEST_SET_DATA : REQUEST_DELETE, .path = r->path,
                                 .version = VERSION_ANY, .caller = r->caller };
                if (r->op == REQUEST_DELETE)
                        return;
        }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        r->data = (const uint8_t *) keep(g, g_strdup_printf(format, a, b));
#pragma GCC diagnostic pop
        r->data_size = strlen((const char *) r->data);
}

/* One thing beyond a limit, or exactly at it, in a request that is otherwise good. */

static void gen_exotic_create(Generator *g, Request *r) {
        char *big = keep(g, g_strnfill(2000, 'x'));
        AclEntry *entries = keep_new(g, 66 * sizeof(AclEntry));

        for (unsigned i = 0; i < 66; i++)
                entries[i] = (AclEntry) { PERMISSION_READ, { "x509", keep(g, g_strdup_printf("CN=%u", i)) } };

        switch (generator_below(g, 5)) {
        case 0:
                big[0] = '/';
                big[LIMIT_PATH_BYTES + generator_below(g, 2)] = 0;
                r->path = big;
                r->op = generator_chance(g, 50) ? REQUEST_CREATE : REQUEST_DELETE;
                break;
        case 1:
                r->acl = (AclEntries) { entries, LIMIT_ACL_ENTRIES + generator_below(g, 3) };
                break;
        case 2:
                memcpy(big, "CN=", 3);
                big[LIMIT_IDENTITY_BYTES + generator_below(g, 2)] = 0;
                entries[0].who.id = big;
                r->acl = (AclEntries) { entries, 1 };
                break;
        case 3:
                r->mode = generator_chance(g, 50) ? _CREATE_MODE_MAX : 99;
                break;
        case 4:
                if (!generator_chance(g, 10))
                        break;
                r->path = gen_child_path(g, generator_chance(g, 50) ? "/" : "/a");
                r->data_size = LIMIT_DATA_BYTES + generator_below(g, 2);
                if (generator_chance(g, 60))
                        r->data_size = LIMIT_DATA_BYTES / 3;
                r->data = keep_new(g, r->data_size);
                break;
        }
}

static void gen_exotic_session(Generator *g, Request *r) {
        char *big = keep(g, g_strnfill(2000, 'x'));
        Identity *identities = keep_new(g, 66 * sizeof(Identity));

        for (unsigned i = 0; i < 66; i++)
                identities[i] = (Identity) { "x509", keep(g, g_strdup_printf("CN=%u", i)) };

        *r = (Request) { .op = REQUEST_OPEN_SESSION, .timeout_msec = 5000, .owner = "o" };
        switch (generator_below(g, 4)) {
        case 0:
                big[LIMIT_OWNER_BYTES + generator_below(g, 2)] = 0;
                r->owner = big;
                break;
        case 1:
                r->owner_kind = _OWNER_KIND_MAX;
                break;
        case 2:
                r->identities = (Identities) { identities, LIMIT_SESSION_IDENTITIES + generator_below(g, 3) };
                break;
        case 3:
                *r = (Request) { .op = REQUEST_AUTH_SESSION, .target = gen_session_id(g),
                                 .identities = { identities + generator_below(g, 33), 33 } };
                break;
        }
}

static void gen_exotic_multi(Generator *g, Request *r) {
        unsigned count = generator_chance(g, 50) ? LIMIT_MULTI_OPERATIONS + generator_below(g, 2) : 2;
        Request *operations = keep_new(g, count * sizeof(Request));

        for (unsigned i = 0; i < count; i++)
                operations[i] = (Request) { .op = REQUEST_CHECK, .path = "/", .version = VERSION_ANY };
        if (count == 2)
                operations[1] = (Request) { .op = REQUEST_MULTI };
        *r = (Request) { .op = REQUEST_MULTI, .operations = operations, .operations_count = count };
}

static void gen_exotic(Generator *g, Request *r) {
        static const AclEntry open = { PERMISSION_ALL, { "world", "anyone" } };
        static const Identity super = { "super", "root" };
        unsigned dice = generator_below(g, 13);

        *r = (Request) { .op = REQUEST_CREATE, .caller = { &super, 1 }, .acl = { &open, 1 }, .path = "/a" };
        if (dice < 6)
                gen_exotic_create(g, r);
        else if (dice < 10)
                gen_exotic_session(g, r);
        else if (dice < 12)
                gen_exotic_multi(g, r);
        else
                *r = (Request) { .op = REQUEST_CHECK, .caller = r->caller, .path = "/", .version = VERSION_ANY };
}

static RequestOp gen_op(Generator *g) {
        static const struct {
                RequestOp op;
                uint8_t weight[_PROFILE_MAX];   /* mixed, acl, sessions, multi, quota, deep, wrap, read, wide */
        } table[] = {
                { REQUEST_CREATE,            { 24, 22, 24, 14, 28, 34, 24, 10, 44 } },
                { REQUEST_DELETE,            {  9,  9,  7,  5,  9,  7,  9,  3,  7 } },
                { REQUEST_SET_DATA,          {  9,  9,  5,  5, 14,  6, 14,  3,  4 } },
                { REQUEST_SET_ACL,           {  5, 12,  2,  2,  2,  3,  8,  3,  3 } },
                { REQUEST_MULTI,             {  7,  4,  4, 30,  8,  5,  6,  2,  4 } },
                { REQUEST_DELETE_RECURSIVE,  {  2,  2,  2,  2,  2,  2,  2,  1,  1 } },
                { REQUEST_REAP,              {  5,  2,  2,  2,  2,  2,  3,  1,  1 } },
                { REQUEST_OPEN_SESSION,      {  4,  5, 10,  3,  2,  2,  2,  2,  2 } },
                { REQUEST_ATTACH_SESSION,    {  3,  2,  8,  1,  1,  1,  2,  1,  1 } },
                { REQUEST_AUTH_SESSION,      {  2,  4,  5,  1,  1,  1,  1,  1,  1 } },
                { REQUEST_CLOSE_SESSION,     {  3,  3,  8,  2,  2,  2,  2,  1,  2 } },
                { REQUEST_EXISTS,            {  3,  4,  2,  3,  2,  3,  3,  9,  1 } },
                { REQUEST_GET_DATA,          {  3,  4,  2,  3,  2,  3,  3,  9,  1 } },
                { REQUEST_GET_ACL,           {  3,  6,  2,  2,  1,  2,  3,  9,  1 } },
                { REQUEST_GET_CHILDREN,      {  5,  5,  2,  3,  3,  4,  3, 14,  5 } },
                { REQUEST_COUNT_DESCENDANTS, {  2,  2,  1,  2,  2,  2,  1,  5,  1 } },
                { REQUEST_GET_EPHEMERALS,    {  2,  1,  5,  1,  1,  1,  1,  5,  1 } },
                { REQUEST_LIST,              {  2,  2,  1,  1,  1,  1,  1,  6,  2 } },
                { REQUEST_MULTI_READ,        {  3,  3,  1, 12,  1,  1,  1,  6,  1 } },
                { REQUEST_WHO_AM_I,          {  1,  2,  2,  1,  1,  1,  1,  2,  1 } },
                { REQUEST_LIST_SESSIONS,     {  2,  1,  4,  1,  1,  1,  1,  4,  1 } },
                { REQUEST_SYNC,              {  1,  1,  1,  1,  1,  1,  1,  2,  1 } },
        };
        unsigned total = 0, dice;

        for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
                total += table[i].weight[g->profile];
        dice = generator_below(g, total);
        for (size_t i = 0;; i++) {
                if (dice < table[i].weight[g->profile])
                        return table[i].op;
                dice -= table[i].weight[g->profile];
        }
}

/* So that the tree stays small. */
static RequestOp tame(Generator *g, RequestOp op) {
        if (op == REQUEST_OPEN_SESSION && g->twin->sessions->len > 7)
                return REQUEST_CLOSE_SESSION;
        if (g->twin->znodes->len > (g->profile == PROFILE_WIDE ? 1900 : 120))
                g->shrinking = true;
        else if (g->twin->znodes->len < (g->profile == PROFILE_WIDE ? 500 : 110))
                g->shrinking = false;
        if (op == REQUEST_CREATE && g->shrinking) {
                g->benign = true;
                return generator_chance(g, 60) ? REQUEST_DELETE : REQUEST_DELETE_RECURSIVE;
        }
        return op;
}

void generator_next_request(Generator *g, Request *ret) {
        RequestOp op;

        g_ptr_array_set_size(g->memory, 0);

        if (generator_chance(g, g->profile == PROFILE_QUOTA ? 6 : 1)) {
                gen_quota(g, ret);
                return;
        }
        if (generator_below(g, 200) == 0) {
                gen_exotic(g, ret);
                return;
        }

        g->benign = generator_chance(g, 30);
        op = tame(g, gen_op(g));
        gen_operation(g, op, ret);
        gen_session_and_caller(g, ret);
        if (ret->op == REQUEST_CLOSE_SESSION)
                g->closed_session = ret->target;
}
