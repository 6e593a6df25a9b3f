/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fuzz: the configuration of the ensemble
 */

#include "agent/zab/config.h"
#include "tests/fuzz/fuzz.h"

uint64_t fuzz_accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autoptr(GBytes) bytes = g_bytes_new(data, size), again = NULL;
        ZabConfig *c = zab_config_decode(bytes, 1);

        if (!c)
                return 0;

        fuzz_accepted++;
        again = zab_config_encode_at(c->members, c->members_count, c->feature_level);
        fuzz_check(g_bytes_equal(bytes, again));

        fuzz_check(zab_config_voters(c) >= 1 && zab_config_voters(c) <= c->members_count);
        fuzz_check(2 * zab_config_quorum(c) > zab_config_voters(c));
        fuzz_check(zab_config_quorum(c) <= zab_config_voters(c));
        for (unsigned i = 0; i < c->members_count; i++) {
                const ZabConfigMember *m = &c->members[i];

                fuzz_check(zab_config_find(c, m->sid) == m);
                fuzz_check(zab_config_has_voter(c, m->sid, &m->disk_id) == (m->role == ZAB_MEMBER_VOTER));
        }

        zab_config_unref(c);
        return 0;
}
