/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Entry
 */

#include "agent/zab/entry.h"

#include <endian.h>
#include <string.h>

Hash128 zab_entry_chain(Hash128 previous, const Id128 *cluster_id, const ZabEntry *entry) {
        uint64_t fields[9], seed;
        size_t payload_size = 0;
        const void *payload = NULL;
        Hash128 payload_hash;

        memcpy(&seed, cluster_id->bytes, sizeof(seed));
        seed = le64toh(seed);

        if (entry->payload)
                payload = g_bytes_get_data(entry->payload, &payload_size);
        payload_hash = hash128(payload, payload_size, seed);

        /* Every field has a fixed place and width, so different entries never give the same bytes. */
        fields[0] = htole64(previous.low);
        fields[1] = htole64(previous.high);
        fields[2] = htole64(entry->index);
        fields[3] = htole64(entry->zxid);
        fields[4] = htole64(entry->prev_zxid);
        fields[5] = htole64((uint64_t) entry->type);
        fields[6] = htole64((uint64_t) entry->time_msec);
        fields[7] = htole64(payload_hash.low);
        fields[8] = htole64(payload_hash.high);
        return hash128(fields, sizeof(fields), seed);
}
