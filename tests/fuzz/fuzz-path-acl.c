/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fuzz: what callers write themselves: paths, identities, ACLs
 *
 * Input: u8 sequential (0 or 1), string path, the caller's identities, ACL entries.
 */

#include <string.h>

#include "agent/base/limits.h"
#include "agent/tree/request.h"
#include "tests/fuzz/fuzz.h"

uint64_t fuzz_accepted;

static void check_path(const char *path, bool sequential) {
        if (path_validate(path, sequential) != CONVENE_OK)
                return;

        fuzz_check(path[0] == '/' && strlen(path) <= LIMIT_PATH_BYTES);
        fuzz_check(g_utf8_validate(path, -1, NULL));
        fuzz_check(!strstr(path, "//"));

        if (sequential) {
                g_autofree char *suffixed = g_strconcat(path, "0000000000", NULL);

                fuzz_check(path_validate(suffixed, false) == CONVENE_OK);
        } else
                fuzz_check(!path[1] || !g_str_has_suffix(path, "/"));
}

static bool is_expanded(const char *scheme) {
        return strcmp(scheme, "auth") == 0 || strcmp(scheme, "super") == 0;
}

static void check_normalised(AclTable *t, Acl *acl, Identities caller) {
        AclEntries e = acl_entries(acl), back;
        g_auto(Writer) w = WRITER_INIT, again = WRITER_INIT;
        Acl *same = NULL;
        Reader r;

        fuzz_check(e.count > 0 && e.count <= LIMIT_ACL_ENTRIES);
        for (uint32_t i = 0; i < e.count; i++) {
                fuzz_check((e.items[i].permissions & PERMISSION_ALL) != 0);
                fuzz_check((e.items[i].permissions & ~(uint32_t) PERMISSION_ALL) == 0);
                fuzz_check(!is_expanded(e.items[i].who.scheme));
                fuzz_check(g_utf8_validate(e.items[i].who.id, -1, NULL));
        }

        /* Normal is normal, whoever asks; and it survives being a row. */
        fuzz_check(acl_table_normalise(t, e, (Identities) { 0 }, &same) == CONVENE_OK && same == acl);
        acl_unref(t, same);
        acl_entries_encode(e, &w);
        r = READER_INIT(w.data, w.size);
        fuzz_check(acl_entries_decode(&r, &back) && reader_done(&r));
        same = acl_table_intern(t, back);
        fuzz_check(same == acl);
        acl_entries_encode(acl_entries(same), &again);
        fuzz_check(w.size == again.size && memcmp(w.data, again.data, w.size) == 0);
        acl_unref(t, same);
        g_free((AclEntry *) back.items);

        for (uint32_t wanted = 1; wanted <= PERMISSION_ALL; wanted++)
                fuzz_check(!acl_allows(acl, wanted, (Identities) { 0 }) || acl_allows(acl, wanted, caller));
}

static void check_acl(AclEntries entries, Identities caller) {
        AclTable *t = acl_table_new();
        Acl *raw = acl_table_intern(t, entries), *acl = NULL;

        for (uint32_t i = 0; i < caller.count; i++) {
                Identity who = caller.items[i];

                fuzz_check(identity_is_valid(who, true) || !identity_is_valid(who, false));
                /* Whoever may hold an identity may be named by an ACL, super excepted. */
                if (identity_is_valid(who, false)) {
                        AclEntry e = { PERMISSION_READ, who };
                        Acl *own = NULL;

                        fuzz_check(acl_table_normalise(t, (AclEntries) { &e, 1 }, caller, &own) == CONVENE_OK);
                        fuzz_check(acl_allows(own, PERMISSION_READ, (Identities) { &who, 1 }));
                        acl_unref(t, own);
                }
        }

        (void) acl_allows(raw, PERMISSION_ALL, caller);
        if (acl_table_normalise(t, entries, caller, &acl) == CONVENE_OK) {
                check_normalised(t, acl, caller);
                acl_unref(t, acl);
        } else
                fuzz_check(!acl);

        acl_unref(t, raw);
        acl_table_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_auto(Writer) w = WRITER_INIT;
        Identities caller = { 0 };
        AclEntries entries = { 0 };
        uint8_t sequential;
        const char *path;
        Reader r;

        if (size == 0)
                return 0;

        r = READER_INIT(data, size);
        sequential = reader_u8(&r);
        path = reader_string(&r, 2 * LIMIT_PATH_BYTES);
        if (sequential <= 1 && identities_decode(&r, &caller) && acl_entries_decode(&r, &entries) && reader_done(&r)) {
                fuzz_accepted++;
                writer_u8(&w, sequential);
                writer_string(&w, path);
                identities_encode(caller, &w);
                acl_entries_encode(entries, &w);
                fuzz_check(w.size == size && memcmp(w.data, data, size) == 0);

                check_path(path, sequential);
                check_acl(entries, caller);
        }

        g_free((Identity *) caller.items);
        g_free((AclEntry *) entries.items);
        return 0;
}
