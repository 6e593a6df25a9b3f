/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Directory
 */

#include "agent/peer/directory.h"

#include <string.h>

static void entry_clear(gpointer p) {
        PeerDirectoryEntry *e = p;

        g_free(e->name);
        g_free(e->address_text);
}

PeerDirectory *peer_directory_new(void) {
        PeerDirectory *d = g_new(PeerDirectory, 1);

        d->entries = g_array_new(FALSE, TRUE, sizeof(PeerDirectoryEntry));
        g_array_set_clear_func(d->entries, entry_clear);
        return d;
}

PeerDirectory *peer_directory_free(PeerDirectory *d) {
        if (!d)
                return NULL;

        g_array_unref(d->entries);
        g_free(d);
        return NULL;
}

static PeerDirectoryEntry *entry(const PeerDirectory *d, unsigned i) {
        return &g_array_index(d->entries, PeerDirectoryEntry, i);
}

static bool same_id(const Id128 *a, const Id128 *b) {
        return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool has(const PeerDirectory *d, const ZabConfigMember *m, const uint8_t *pin) {
        for (unsigned i = 0; i < d->entries->len; i++) {
                const PeerDirectoryEntry *e = entry(d, i);

                if (e->sid == m->sid && same_id(&e->disk_id, &m->disk_id) && memcmp(e->pin, pin, NET_PIN_BYTES) == 0 &&
                    strcmp(e->address_text, m->address) == 0)
                        return true;
        }
        return false;
}

void peer_directory_add(PeerDirectory *d, const ZabConfigMember *member, bool pending) {
        if (member->pin_size % NET_PIN_BYTES != 0)
                return;

        for (uint32_t at = 0; at < member->pin_size; at += NET_PIN_BYTES) {
                PeerDirectoryEntry e = { .sid = member->sid, .disk_id = member->disk_id, .pending = pending };

                if (has(d, member, member->pin + at))
                        continue;

                e.name = g_strdup(member->name);
                e.address_text = g_strdup(member->address);
                (void) net_address_parse(member->address, &e.address);
                memcpy(e.pin, member->pin + at, NET_PIN_BYTES);
                g_array_append_val(d->entries, e);
        }
}

const PeerDirectoryEntry *peer_directory_match(const PeerDirectory *d, uint32_t sid, const Id128 *disk_id,
                                               const uint8_t pin[static NET_PIN_BYTES]) {
        for (unsigned i = 0; i < d->entries->len; i++) {
                const PeerDirectoryEntry *e = entry(d, i);

                if (e->sid == sid && same_id(&e->disk_id, disk_id) && memcmp(e->pin, pin, NET_PIN_BYTES) == 0)
                        return e;
        }
        return NULL;
}

const PeerDirectoryEntry *peer_directory_find_pin(const PeerDirectory *d, const uint8_t pin[static NET_PIN_BYTES]) {
        for (unsigned i = 0; i < d->entries->len; i++)
                if (memcmp(entry(d, i)->pin, pin, NET_PIN_BYTES) == 0)
                        return entry(d, i);
        return NULL;
}

const PeerDirectoryEntry *peer_directory_find_sid(const PeerDirectory *d, uint32_t sid) {
        for (unsigned i = 0; i < d->entries->len; i++)
                if (entry(d, i)->sid == sid)
                        return entry(d, i);
        return NULL;
}

const PeerDirectoryEntry *peer_directory_address(const PeerDirectory *d, uint32_t sid, unsigned n) {
        const PeerDirectoryEntry *found[2 * ZAB_CONFIG_PIN_BYTES / NET_PIN_BYTES];
        unsigned count = 0;

        /* Two configurations with two pins each: there are no more entries of one member. */
        for (unsigned i = 0; i < d->entries->len && count < G_N_ELEMENTS(found); i++)
                if (entry(d, i)->sid == sid && entry(d, i)->address.size > 0)
                        found[count++] = entry(d, i);
        return count > 0 ? found[n % count] : NULL;
}

bool peer_directory_has_host(const PeerDirectory *d, const NetAddress *host) {
        for (unsigned i = 0; i < d->entries->len; i++)
                if (entry(d, i)->address.size > 0 && net_address_same_host(&entry(d, i)->address, host))
                        return true;
        return false;
}
