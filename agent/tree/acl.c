/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * ACL
 */

#include "agent/tree/acl.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#include <glib.h>

#include "agent/base/hash.h"
#include "agent/base/limits.h"

typedef enum Scheme {
        SCHEME_WORLD,
        SCHEME_AUTH,
        SCHEME_DIGEST,
        SCHEME_IP,
        SCHEME_X509,
        SCHEME_UNIX,
        SCHEME_UNIT,
        SCHEME_HOST,
        SCHEME_SUPER,
        _SCHEME_MAX,
        _SCHEME_INVALID = -1,
} Scheme;

static const char *const scheme_table[_SCHEME_MAX] = {
        [SCHEME_WORLD]  = "world",
        [SCHEME_AUTH]   = "auth",
        [SCHEME_DIGEST] = "digest",
        [SCHEME_IP]     = "ip",
        [SCHEME_X509]   = "x509",
        [SCHEME_UNIX]   = "unix",
        [SCHEME_UNIT]   = "unit",
        [SCHEME_HOST]   = "host",
        [SCHEME_SUPER]  = "super",
};

struct Acl {
        unsigned refs;
        uint32_t hash;
        uint32_t world;                 /* what world:anyone may do: the one test most checks need */
        AclEntries entries;             /* items and strings follow in the same allocation */
        AclEntry items[];
};

struct AclTable {
        GHashTable *acls;               /* set of Acl by content; never iterated */
};

/* An address range; the address of a caller is one with all bits fixed. */
typedef struct Network {
        int family;
        unsigned bits;
        uint8_t address[16];
} Network;

static Scheme scheme_from_string(const char *s) {
        for (Scheme i = 0; i < _SCHEME_MAX; i++)
                if (strcmp(scheme_table[i], s) == 0)
                        return i;

        return _SCHEME_INVALID;
}

/*
 * Addresses
 */

/* Up to three digits without leading zeros, as a prefix length is written. */
static bool parse_bits(const char *s, unsigned max, unsigned *ret) {
        unsigned v = 0;
        size_t n = 0;

        for (; s[n]; n++) {
                if (n >= 3 || !g_ascii_isdigit(s[n]) || (n > 0 && v == 0))
                        return false;
                v = v * 10 + (unsigned) (s[n] - '0');
        }

        if (n == 0 || v > max)
                return false;

        *ret = v;
        return true;
}

/* An IPv4 address that came through an IPv6 socket is that IPv4 address. */
static void network_unmap(Network *n) {
        static const uint8_t prefix[12] = { [10] = 0xff, [11] = 0xff };

        if (n->family != AF_INET6 || n->bits < 96 || memcmp(n->address, prefix, sizeof(prefix)) != 0)
                return;

        n->family = AF_INET;
        n->bits -= 96;
        memmove(n->address, n->address + 12, 4);
}

static bool network_parse(const char *id, bool with_bits, Network *ret) {
        char address[INET6_ADDRSTRLEN];
        size_t size = strcspn(id, "/");
        Network n = {};

        if (size >= sizeof(address) || (id[size] == '/' && !with_bits))
                return false;

        memcpy(address, id, size);
        address[size] = 0;

        n.family = strchr(address, ':') ? AF_INET6 : AF_INET;
        n.bits = n.family == AF_INET6 ? 128 : 32;
        if (inet_pton(n.family, address, n.address) != 1)
                return false;
        if (id[size] == '/' && !parse_bits(id + size + 1, n.bits, &n.bits))
                return false;

        network_unmap(&n);
        *ret = n;
        return true;
}

static bool network_contains(const Network *range, const Network *address) {
        unsigned bytes = range->bits / 8, rest = range->bits % 8;

        if (range->family != address->family || memcmp(range->address, address->address, bytes) != 0)
                return false;

        return rest == 0 || (range->address[bytes] ^ address->address[bytes]) >> (8 - rest) == 0;
}

static bool ip_matches(const char *entry, const char *caller) {
        Network range, address;

        return network_parse(entry, /* with_bits= */ true, &range) &&
                network_parse(caller, /* with_bits= */ false, &address) &&
                network_contains(&range, &address);
}

/*
 * Forms of ids
 */

static bool consists_of(const char *s, size_t size, const char *extra) {
        for (size_t i = 0; i < size; i++)
                if (!g_ascii_isalnum(s[i]) && !strchr(extra, s[i]))
                        return false;

        return size > 0;
}

static bool host_is_valid(const char *s, bool wildcard) {
        if (wildcard && strcmp(s, "*") == 0)
                return true;

        return consists_of(s, strlen(s), "-_.");
}

/* A decimal uid as printed: no sign, no leading zero, not (uid_t) -1. */
static bool uid_is_valid(const char *s, size_t size) {
        uint64_t v = 0;

        if (size == 0 || size > 10 || (size > 1 && s[0] == '0'))
                return false;

        for (size_t i = 0; i < size; i++) {
                if (!g_ascii_isdigit(s[i]))
                        return false;
                v = v * 10 + (uint64_t) (s[i] - '0');
        }

        return v < UINT32_MAX;
}

/* The characters of a unit name, and a type after a dot. */
static bool unit_is_valid(const char *s, size_t size) {
        const char *dot = memrchr(s, '.', size);

        return consists_of(s, size, ":-_.\\@") && dot && dot != s && dot != s + size - 1;
}

static bool local_id_is_valid(Scheme scheme, const char *id, bool wildcard) {
        const char *at = strrchr(id, '@');      /* a unit name may hold one, a host name never does */

        if (!at || !host_is_valid(at + 1, wildcard))
                return false;

        return scheme == SCHEME_UNIX ? uid_is_valid(id, at - id) : unit_is_valid(id, at - id);
}

/* Ids end up in D-Bus strings and in the journal: UTF-8 and no control characters. */
static bool text_is_valid(const char *s) {
        if (!g_utf8_validate(s, -1, NULL))
                return false;

        for (; *s; s++)
                if (g_ascii_iscntrl(*s))
                        return false;

        return true;
}

/* ZooKeeper takes any hash algorithm's text, so only the shape is checked: one ':' and something after it. */
static bool digest_is_valid(const char *id) {
        const char *colon = strchr(id, ':');

        return colon && colon[1] && !strchr(colon + 1, ':') && text_is_valid(id);
}

/* A distinguished name begins with an attribute type and '='. */
static bool x509_is_valid(const char *id) {
        size_t size = strcspn(id, "=");

        return id[size] == '=' && consists_of(id, size, "-.") && text_is_valid(id);
}

/* `entry`: as an ACL entry, where address ranges and any-host are allowed; otherwise as held by a caller. */
static bool id_is_valid(Scheme scheme, const char *id, bool entry) {
        Network network;

        switch (scheme) {

        case SCHEME_WORLD:
                return entry && strcmp(id, "anyone") == 0;

        case SCHEME_DIGEST:
                return digest_is_valid(id);

        case SCHEME_IP:
                return network_parse(id, entry, &network);

        case SCHEME_X509:
                return x509_is_valid(id);

        case SCHEME_UNIX:
        case SCHEME_UNIT:
                return local_id_is_valid(scheme, id, entry);

        case SCHEME_HOST:
                return host_is_valid(id, entry);

        case SCHEME_SUPER:
                return !entry && text_is_valid(id);

        case SCHEME_AUTH:               /* is expanded, never kept */
        default:
                return false;
        }
}

static bool identity_is_short(Identity who) {
        return strnlen(who.scheme, LIMIT_IDENTITY_BYTES + 1) <= LIMIT_IDENTITY_BYTES &&
                strnlen(who.id, LIMIT_IDENTITY_BYTES + 1) <= LIMIT_IDENTITY_BYTES;
}

bool identity_is_valid(Identity who, bool allow_super) {
        Scheme scheme;

        if (!who.scheme || !who.id || !identity_is_short(who))
                return false;

        scheme = scheme_from_string(who.scheme);
        if (scheme == SCHEME_SUPER && !allow_super)
                return false;

        return id_is_valid(scheme, who.id, /* entry= */ false);
}

/*
 * Checks
 */

/* Literal, or the same user or unit on any host. */
static bool local_id_matches(const char *entry, const char *caller) {
        const char *at = strrchr(entry, '@'), *caller_at = strrchr(caller, '@');

        if (strcmp(entry, caller) == 0)
                return true;

        return at && caller_at && strcmp(at, "@*") == 0 &&
                at - entry == caller_at - caller && memcmp(entry, caller, at - entry) == 0;
}

static bool identity_matches(Identity entry, Identity caller) {
        if (strcmp(entry.scheme, caller.scheme) != 0)
                return false;

        switch (scheme_from_string(entry.scheme)) {

        case SCHEME_IP:
                return ip_matches(entry.id, caller.id);

        case SCHEME_UNIX:
        case SCHEME_UNIT:
                return local_id_matches(entry.id, caller.id);

        case SCHEME_HOST:
                return strcmp(entry.id, "*") == 0 || strcmp(entry.id, caller.id) == 0;

        case SCHEME_DIGEST:
        case SCHEME_X509:
                return strcmp(entry.id, caller.id) == 0;

        default:
                return false;
        }
}

static bool entry_admits(const AclEntry *e, Identities caller) {
        for (uint32_t i = 0; i < caller.count; i++)
                if (identity_matches(e->who, caller.items[i]))
                        return true;

        return false;
}

bool acl_allows(const Acl *acl, uint32_t permissions, Identities caller) {
        if ((acl->world & permissions) != 0 || acl->entries.count == 0)
                return true;

        for (uint32_t i = 0; i < caller.count; i++)
                if (strcmp(caller.items[i].scheme, scheme_table[SCHEME_SUPER]) == 0)
                        return true;

        for (uint32_t i = 0; i < acl->entries.count; i++)
                if ((acl->items[i].permissions & permissions) != 0 && entry_admits(&acl->items[i], caller))
                        return true;

        return false;
}

/*
 * Table
 */

static uint32_t entries_hash(AclEntries e) {
        uint64_t h = e.count;

        for (uint32_t i = 0; i < e.count; i++) {
                const AclEntry *a = &e.items[i];

                h = hash128(a->who.scheme, strlen(a->who.scheme), h ^ a->permissions).low;
                h = hash128(a->who.id, strlen(a->who.id), h).low;
        }

        return (uint32_t) h;
}

static bool entry_equal(const AclEntry *a, const AclEntry *b) {
        return a->permissions == b->permissions && strcmp(a->who.id, b->who.id) == 0 &&
                strcmp(a->who.scheme, b->who.scheme) == 0;
}

static guint acl_hash_func(gconstpointer p) {
        const Acl *acl = p;

        return acl->hash;
}

static gboolean acl_equal_func(gconstpointer a, gconstpointer b) {
        AclEntries x = ((const Acl *) a)->entries, y = ((const Acl *) b)->entries;

        if (x.count != y.count)
                return FALSE;

        for (uint32_t i = 0; i < x.count; i++)
                if (!entry_equal(&x.items[i], &y.items[i]))
                        return FALSE;

        return TRUE;
}

AclTable *acl_table_new(void) {
        AclTable *t = g_new0(AclTable, 1);

        t->acls = g_hash_table_new(acl_hash_func, acl_equal_func);
        return t;
}

AclTable *acl_table_free(AclTable *t) {
        if (!t)
                return NULL;

        assert(g_hash_table_size(t->acls) == 0);
        g_hash_table_unref(t->acls);
        g_free(t);
        return NULL;
}

static const char *copy_string(char **at, const char *s) {
        size_t size = strlen(s) + 1;
        char *copy = memcpy(*at, s, size);

        *at += size;
        return copy;
}

static Acl *acl_new(AclEntries entries, uint32_t hash) {
        size_t size = sizeof(Acl) + entries.count * sizeof(AclEntry);
        char *at;
        Acl *acl;

        for (uint32_t i = 0; i < entries.count; i++)
                size += strlen(entries.items[i].who.scheme) + strlen(entries.items[i].who.id) + 2;

        acl = g_malloc(size);
        *acl = (Acl) { .refs = 1, .hash = hash, .entries = { acl->items, entries.count } };

        at = (char *) (acl->items + entries.count);
        for (uint32_t i = 0; i < entries.count; i++) {
                const AclEntry *e = &entries.items[i];

                acl->items[i] = (AclEntry) {
                        .permissions = e->permissions,
                        .who.scheme = copy_string(&at, e->who.scheme),
                        .who.id = copy_string(&at, e->who.id),
                };
                if (strcmp(e->who.scheme, scheme_table[SCHEME_WORLD]) == 0 && strcmp(e->who.id, "anyone") == 0)
                        acl->world |= e->permissions;
        }

        return acl;
}

Acl *acl_table_intern(AclTable *t, AclEntries entries) {
        Acl probe = { .hash = entries_hash(entries), .entries = entries };
        Acl *acl = g_hash_table_lookup(t->acls, &probe);

        if (acl)
                return acl_ref(acl);

        acl = acl_new(entries, probe.hash);
        g_hash_table_add(t->acls, acl);
        return acl;
}

Acl *acl_ref(Acl *acl) {
        acl->refs++;
        return acl;
}

void acl_unref(AclTable *t, Acl *acl) {
        if (!acl)
                return;

        assert(acl->refs > 0);
        if (--acl->refs > 0)
                return;

        g_hash_table_remove(t->acls, acl);
        g_free(acl);
}

AclEntries acl_entries(const Acl *acl) {
        return acl->entries;
}

/*
 * Normalising
 */

typedef struct Normaliser {
        AclEntry items[LIMIT_ACL_ENTRIES];
        uint32_t count;
} Normaliser;

static ConveneStatus normaliser_add(Normaliser *n, const AclEntry *e) {
        for (uint32_t i = 0; i < n->count; i++)
                if (entry_equal(&n->items[i], e))
                        return CONVENE_OK;

        if (n->count >= LIMIT_ACL_ENTRIES)
                return CONVENE_LIMIT_EXCEEDED;

        n->items[n->count++] = *e;
        return CONVENE_OK;
}

/* "auth" stands for what the caller has proved.  An address proves nothing, and "super" needs no entry. */
static ConveneStatus normaliser_add_caller(Normaliser *n, uint32_t permissions, Identities caller) {
        bool any = false;

        for (uint32_t i = 0; i < caller.count; i++) {
                AclEntry e = { permissions, caller.items[i] };
                Scheme scheme = scheme_from_string(e.who.scheme);
                ConveneStatus status;

                if (scheme == SCHEME_IP || scheme == SCHEME_SUPER || !id_is_valid(scheme, e.who.id, /* entry= */ false))
                        continue;

                status = normaliser_add(n, &e);
                if (status != CONVENE_OK)
                        return status;
                any = true;
        }

        return any ? CONVENE_OK : CONVENE_INVALID_ACL;
}

static ConveneStatus normaliser_take(Normaliser *n, const AclEntry *e, Identities caller) {
        Scheme scheme;

        if ((e->permissions & PERMISSION_ALL) == 0 || (e->permissions & ~(uint32_t) PERMISSION_ALL) != 0)
                return CONVENE_INVALID_ACL;
        if (!e->who.scheme || !e->who.id || !identity_is_short(e->who))
                return CONVENE_INVALID_ACL;

        scheme = scheme_from_string(e->who.scheme);
        if (scheme == SCHEME_AUTH)
                return normaliser_add_caller(n, e->permissions, caller);
        if (!id_is_valid(scheme, e->who.id, /* entry= */ true))
                return CONVENE_INVALID_ACL;

        return normaliser_add(n, e);
}

ConveneStatus acl_table_normalise(AclTable *t, AclEntries entries, Identities caller, Acl **ret_acl) {
        Normaliser n;

        n.count = 0;
        if (entries.count > LIMIT_ACL_ENTRIES)
                return CONVENE_LIMIT_EXCEEDED;

        for (uint32_t i = 0; i < entries.count; i++) {
                ConveneStatus status = normaliser_take(&n, &entries.items[i], caller);

                if (status != CONVENE_OK)
                        return status;
        }

        if (n.count == 0)
                return CONVENE_INVALID_ACL;

        *ret_acl = acl_table_intern(t, (AclEntries) { n.items, n.count });
        return CONVENE_OK;
}

/*
 * Codec
 */

#define STRING_BYTES_MIN (sizeof(uint32_t) + 1)
#define IDENTITY_BYTES_MIN (2 * STRING_BYTES_MIN)

static void identity_encode(Identity who, Writer *w) {
        writer_string(w, who.scheme);
        writer_string(w, who.id);
}

static Identity identity_decode(Reader *r) {
        Identity who;

        who.scheme = reader_string(r, LIMIT_IDENTITY_BYTES);
        who.id = reader_string(r, LIMIT_IDENTITY_BYTES);
        return who;
}

void acl_entries_encode(AclEntries e, Writer *w) {
        writer_u32(w, e.count);
        for (uint32_t i = 0; i < e.count; i++) {
                writer_u32(w, e.items[i].permissions);
                identity_encode(e.items[i].who, w);
        }
}

bool acl_entries_decode(Reader *r, AclEntries *ret) {
        uint32_t count = reader_count(r, LIMIT_ACL_ENTRIES, sizeof(uint32_t) + IDENTITY_BYTES_MIN);
        g_autofree AclEntry *items = g_new(AclEntry, count);

        for (uint32_t i = 0; i < count; i++) {
                items[i].permissions = reader_u32(r);
                items[i].who = identity_decode(r);
        }

        if (r->failed)
                return false;

        *ret = (AclEntries) { g_steal_pointer(&items), count };
        return true;
}

void identities_encode(Identities i, Writer *w) {
        writer_u32(w, i.count);
        for (uint32_t n = 0; n < i.count; n++)
                identity_encode(i.items[n], w);
}

bool identities_decode(Reader *r, Identities *ret) {
        uint32_t count = reader_count(r, LIMIT_SESSION_IDENTITIES, IDENTITY_BYTES_MIN);
        g_autofree Identity *items = g_new(Identity, count);

        for (uint32_t i = 0; i < count; i++)
                items[i] = identity_decode(r);

        if (r->failed)
                return false;

        *ret = (Identities) { g_steal_pointer(&items), count };
        return true;
}
