/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Twin: ACLs and identities
 */

#include "tests/unit/twin.h"

#include <arpa/inet.h>
#include <string.h>

#include "agent/base/limits.h"

TwinList *twin_list_new(const AclEntry *items, unsigned count) {
        TwinList *l = g_malloc0(sizeof(TwinList) + count * sizeof(AclEntry));

        l->references = 1;
        l->count = count;
        for (unsigned i = 0; i < count; i++) {
                l->items[i].permissions = items[i].permissions;
                l->items[i].who.scheme = g_strdup(items[i].who.scheme);
                l->items[i].who.id = g_strdup(items[i].who.id);
        }
        return l;
}

TwinList *twin_list_from_identities(Identities identities) {
        g_autofree AclEntry *items = g_new0(AclEntry, identities.count + 1);

        for (unsigned i = 0; i < identities.count; i++)
                items[i].who = identities.items[i];
        return twin_list_new(items, identities.count);
}

TwinList *twin_list_ref(TwinList *l) {
        if (l)
                l->references++;
        return l;
}

void twin_list_unref(TwinList *l) {
        if (!l || --l->references > 0)
                return;

        for (unsigned i = 0; i < l->count; i++) {
                g_free((char *) l->items[i].who.scheme);
                g_free((char *) l->items[i].who.id);
        }
        g_free(l);
}

Identities twin_list_to_identities(Twin *t, const TwinList *l) {
        Identity *items = twin_scratch(t, l->count * sizeof(Identity));

        for (unsigned i = 0; i < l->count; i++)
                items[i] = (Identity) {
                        twin_scratch_string(t, l->items[i].who.scheme),
                        twin_scratch_string(t, l->items[i].who.id),
                };
        return (Identities) { items, l->count };
}

static bool is_number(const char *s) {
        size_t digits = strspn(s, "0123456789");

        return digits > 0 && digits < 11 && s[digits] == 0;
}

/* Bytes of the address and its size in bits: 32, 128, or 0 if it is none. */
static unsigned parse_address(const char *s, uint8_t *ret_bytes) {
        if (inet_pton(AF_INET, s, ret_bytes) == 1)
                return 32;

        return inet_pton(AF_INET6, s, ret_bytes) == 1 ? 128 : 0;
}

/* ADDRESS[/BITS] */
static unsigned parse_network(const char *s, uint8_t *ret_bytes, unsigned *ret_prefix) {
        g_auto(GStrv) parts = g_strsplit(s, "/", 2);
        unsigned bits = parts[0] ? parse_address(parts[0], ret_bytes) : 0;

        *ret_prefix = bits;
        if (bits == 0 || !parts[1])
                return bits;
        if (!is_number(parts[1]) || g_ascii_strtoull(parts[1], NULL, 10) > bits)
                return 0;

        *ret_prefix = g_ascii_strtoull(parts[1], NULL, 10);
        return bits;
}

bool twin_is_text(const char *s) {
        if (!g_utf8_validate(s, -1, NULL))
                return false;
        for (; *s; s++)
                if (*s == 0x7f || (*s > 0 && *s < 0x20))
                        return false;
        return true;
}

#define ALNUM "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool is_made_of(const char *s, const char *characters) {
        return s[0] != 0 && s[strspn(s, characters)] == 0;
}

static bool is_host(const char *s, bool in_acl) {
        return (in_acl && g_str_equal(s, "*")) || is_made_of(s, ALNUM "-_.");
}

static bool is_uid(const char *s) {
        return is_number(s) && (s[0] != '0' || s[1] == 0) && g_ascii_strtoull(s, NULL, 10) < UINT32_MAX;
}

static bool is_unit(const char *s) {
        const char *dot = strrchr(s, '.');

        return is_made_of(s, ALNUM ":-_.\\@") && dot && dot != s && dot[1] != 0;
}

/* WHAT@HOST, where WHAT may hold an '@' and HOST may not. */
static bool is_local(const char *id, bool (*is_what)(const char *what), bool in_acl) {
        const char *at = strrchr(id, '@');
        g_autofree char *what = at ? g_strndup(id, at - id) : NULL;

        return at && is_what(what) && is_host(at + 1, in_acl);
}

static bool is_digest(const char *id) {
        g_auto(GStrv) parts = g_strsplit(id, ":", -1);

        return g_strv_length(parts) == 2 && parts[1][0] != 0 && twin_is_text(id);
}

/* A distinguished name begins with TYPE=. */
static bool is_subject(const char *id) {
        g_auto(GStrv) parts = g_strsplit(id, "=", 2);

        return g_strv_length(parts) == 2 && is_made_of(parts[0], ALNUM "-.") && twin_is_text(id);
}

bool twin_identity_is_valid(const char *scheme, const char *id, bool in_acl, bool allow_super) {
        uint8_t bytes[16];
        unsigned prefix;

        if (strlen(scheme) > LIMIT_IDENTITY_BYTES || strlen(id) > LIMIT_IDENTITY_BYTES)
                return false;
        if (g_str_equal(scheme, "world"))
                return in_acl && g_str_equal(id, "anyone");
        if (g_str_equal(scheme, "super"))
                return !in_acl && allow_super && twin_is_text(id);
        if (g_str_equal(scheme, "digest"))
                return is_digest(id);
        if (g_str_equal(scheme, "ip"))
                return in_acl ? parse_network(id, bytes, &prefix) > 0 : parse_address(id, bytes) > 0;
        if (g_str_equal(scheme, "x509"))
                return is_subject(id);
        if (g_str_equal(scheme, "host"))
                return is_host(id, in_acl);
        if (g_str_equal(scheme, "unix"))
                return is_local(id, is_uid, in_acl);
        if (g_str_equal(scheme, "unit"))
                return is_local(id, is_unit, in_acl);

        return false;
}

static bool network_contains(const char *network, const char *address) {
        uint8_t a[16], b[16];
        unsigned prefix, bits = parse_network(network, a, &prefix);

        if (bits == 0 || parse_address(address, b) != bits)
                return false;

        for (unsigned i = 0; i < prefix; i++)
                if ((a[i / 8] >> (7 - i % 8) & 1) != (b[i / 8] >> (7 - i % 8) & 1))
                        return false;
        return true;
}

static bool identity_matches(Identity entry, Identity caller) {
        const char *at = strrchr(entry.id, '@'), *caller_at = strrchr(caller.id, '@');

        if (!g_str_equal(entry.scheme, caller.scheme))
                return false;
        if (g_str_equal(entry.scheme, "ip"))
                return network_contains(entry.id, caller.id);
        if (g_str_equal(entry.id, caller.id))
                return true;
        if (g_str_equal(entry.scheme, "host"))
                return g_str_equal(entry.id, "*");
        if (g_str_equal(entry.scheme, "unix") || g_str_equal(entry.scheme, "unit"))
                return at && caller_at && g_str_equal(at, "@*") && at - entry.id == caller_at - caller.id &&
                        strncmp(entry.id, caller.id, at - entry.id) == 0;

        return false;
}

bool twin_acl_allows(const TwinList *acl, uint32_t permissions, const TwinList *caller) {
        for (unsigned i = 0; i < caller->count; i++)
                if (g_str_equal(caller->items[i].who.scheme, "super"))
                        return true;

        for (unsigned i = 0; i < acl->count; i++) {
                if ((acl->items[i].permissions & permissions) == 0)
                        continue;
                if (g_str_equal(acl->items[i].who.scheme, "world"))
                        return true;
                for (unsigned k = 0; k < caller->count; k++)
                        if (identity_matches(acl->items[i].who, caller->items[k].who))
                                return true;
        }
        return false;
}

static void entries_add(GArray *entries, uint32_t permissions, Identity who) {
        for (unsigned i = 0; i < entries->len; i++) {
                AclEntry *e = &g_array_index(entries, AclEntry, i);

                if (e->permissions == permissions && g_str_equal(e->who.scheme, who.scheme) &&
                    g_str_equal(e->who.id, who.id))
                        return;
        }
        g_array_append_val(entries, ((AclEntry) { permissions, who }));
}

/* "auth" stands for all the caller has proved and an ACL may hold: an address proves nothing, super is in none. */
static bool entries_add_caller(GArray *entries, uint32_t permissions, const TwinList *caller) {
        bool any = false;

        for (unsigned i = 0; i < caller->count; i++) {
                Identity who = caller->items[i].who;

                if (g_str_equal(who.scheme, "ip") || !twin_identity_is_valid(who.scheme, who.id, false, false))
                        continue;
                entries_add(entries, permissions, who);
                any = true;
        }
        return any;
}

ConveneStatus twin_acl_normalise(AclEntries in, const TwinList *caller, TwinList **ret) {
        g_autoptr(GArray) entries = g_array_new(false, false, sizeof(AclEntry));

        if (in.count > LIMIT_ACL_ENTRIES)
                return CONVENE_LIMIT_EXCEEDED;

        for (unsigned i = 0; i < in.count; i++) {
                uint32_t permissions = in.items[i].permissions;
                Identity who = in.items[i].who;

                if (permissions == 0 || (permissions & ~(uint32_t) PERMISSION_ALL) != 0)
                        return CONVENE_INVALID_ACL;
                if (g_str_equal(who.scheme, "auth")) {
                        if (!entries_add_caller(entries, permissions, caller))
                                return CONVENE_INVALID_ACL;
                } else if (twin_identity_is_valid(who.scheme, who.id, true, false))
                        entries_add(entries, permissions, who);
                else
                        return CONVENE_INVALID_ACL;
                if (entries->len > LIMIT_ACL_ENTRIES)
                        return CONVENE_LIMIT_EXCEEDED;
        }
        if (entries->len == 0)
                return CONVENE_INVALID_ACL;

        *ret = twin_list_new((AclEntry *) (void *) entries->data, entries->len);
        return CONVENE_OK;
}

AclEntries twin_acl_redacted(Twin *t, const TwinList *acl, bool redact) {
        AclEntry *items = twin_scratch(t, acl->count * sizeof(AclEntry));

        for (unsigned i = 0; i < acl->count; i++) {
                Identity who = acl->items[i].who;

                items[i].permissions = acl->items[i].permissions;
                items[i].who.scheme = twin_scratch_string(t, who.scheme);
                items[i].who.id = twin_scratch_string(t, who.id);
                if (redact && g_str_equal(who.scheme, "digest")) {
                        g_autofree char *user = g_strndup(who.id, strchr(who.id, ':') - who.id);
                        g_autofree char *redacted = g_strdup_printf("%s:x", user);

                        items[i].who.id = twin_scratch_string(t, redacted);
                }
        }
        return (AclEntries) { items, acl->count };
}
