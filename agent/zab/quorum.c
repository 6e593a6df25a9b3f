/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Quorum
 *
 * What: the configurations in force, and what a quorum of each agrees on.
 * Rules it keeps: in force is the last committed configuration plus every one after it in the log (2.7), for elections,
 *     NEWLEADER, commit and leadership alike; a voter is (sid, disk id) (2.0.5); without a configuration there is no
 *     quorum (2.0.6).
 * Source: protocol 2.0, 2.7, 2.9, 2.13.
 */

#include "agent/zab/zab-internal.h"

#include <assert.h>

#include "agent/base/writer.h"

#define RETIRED_MAX 256U

static void notify(Zab *z) {
        if (z->role != ZAB_ROLE_STOPPED)        /* not while the log is restored */
                z->effects.config_changed(z->effects.userdata);
}

static const PendingConfig *pending(const Zab *z, guint n) {
        return &g_array_index(z->pending_configs, PendingConfig, n);
}

static uint64_t value_of(const Zab *z, const ZabConfigMember *m, VoterValue value) {
        const Peer *p = z->peers[m->sid];

        if (m->sid == z->options.sid)
                return id128_equal(&m->disk_id, &z->options.disk_id) || ZAB_BREAK(WIPED_VOTES) ? value(z, NULL) : 0;

        return p && (id128_equal(&m->disk_id, &p->disk_id) || ZAB_BREAK(WIPED_VOTES)) ? value(z, p) : 0;
}

uint64_t quorum_of(const Zab *z, const ZabConfig *c, VoterValue value) {
        uint64_t values[ZAB_CONFIG_MEMBERS_MAX];        /* descending */
        unsigned count = 0;

        for (unsigned i = 0; i < c->members_count; i++) {
                const ZabConfigMember *m = &c->members[i];
                unsigned at = count;
                uint64_t v;

                if (m->role != ZAB_MEMBER_VOTER)
                        continue;

                v = value_of(z, m, value);
                for (; at > 0 && values[at - 1] < v; at--)
                        values[at] = values[at - 1];
                values[at] = v;
                count++;
        }

        assert(count > 0);              /* zab_config_decode() */
        return values[count / 2];       /* the (count / 2 + 1)th: a majority has at least this */
}

uint64_t quorum_in_force(const Zab *z, VoterValue value) {
        uint64_t least = UINT64_MAX;

        if (!z->config && z->pending_configs->len == 0)
                return 0;

        if (z->pending_configs->len > 0 && ZAB_BREAK(NEW_QUORUM))
                return quorum_of(z, zab_pending_config(z), value);

        if (z->config)
                least = quorum_of(z, z->config, value);
        if (z->config && ZAB_BREAK(OLD_QUORUM))
                return least;

        for (guint i = 0; i < z->pending_configs->len; i++)
                least = MIN(least, quorum_of(z, pending(z, i)->config, value));

        return least;
}

static uint64_t self_alone(const Zab *z, const Peer *p) {
        return p ? 0 : 1;
}

bool quorum_alone(const Zab *z) {
        return quorum_in_force(z, self_alone) == 1;
}

bool voter_in_force(const Zab *z, uint32_t sid, const Id128 *disk_id) {
        if (z->config && zab_config_has_voter(z->config, sid, disk_id))
                return true;

        for (guint i = 0; i < z->pending_configs->len; i++)
                if (zab_config_has_voter(pending(z, i)->config, sid, disk_id))
                        return true;

        return false;
}

/* META keeps what is known committed: a restart would else need a quorum of earlier configurations, too, whose members may be
 * gone by then.  Only of an entry that is itself known to be of the committed history; when it is durable: promise. */
static void raise_floor(Zab *z, uint64_t index) {
        z->floor = MAX(z->floor, index);
}

/* 2.13.4: takes effect when it is in the log. */
void config_push(Zab *z, uint64_t index, Zxid version, GBytes *bytes) {
        PendingConfig c = { .index = index };

        /* The leader, whose log it comes from, has that later one committed in it. */
        if (z->config && version <= z->config->version) {
                raise_floor(z, index);
                return;
        }

        c.config = zab_config_decode(bytes, version);
        assert(c.config);               /* checked before it came here */
        g_array_append_val(z->pending_configs, c);
        notify(z);
}

static void remove_pending(Zab *z, guint n) {
        zab_config_unref(g_array_index(z->pending_configs, PendingConfig, n).config);
        g_array_remove_index(z->pending_configs, n);
}

/* 2.13.4: ... and reverts when it is cut off. */
void config_truncate(Zab *z, uint64_t index) {
        guint before = z->pending_configs->len;

        if (ZAB_BREAK(CONFIG_SURVIVES_TRUNC) && index > 0)
                return;

        while (z->pending_configs->len > 0 && pending(z, z->pending_configs->len - 1)->index > index)
                remove_pending(z, z->pending_configs->len - 1);

        if (z->pending_configs->len != before)
                notify(z);
}

static bool is_retired(const Zab *z, const Id128 *disk_id) {
        for (guint i = 0; i < z->retired->len; i++)
                if (id128_equal(&g_array_index(z->retired, Id128, i), disk_id))
                        return true;

        return false;
}

/* 2.13.8 */
static void retire_disks(Zab *z, const ZabConfig *next) {
        for (unsigned i = 0; z->config && i < z->config->members_count; i++) {
                const ZabConfigMember *old = &z->config->members[i], *new = zab_config_find(next, old->sid);

                if (!new || id128_equal(&old->disk_id, &new->disk_id) || is_retired(z, &old->disk_id))
                        continue;
                if (z->retired->len == RETIRED_MAX)
                        g_array_remove_index(z->retired, 0);
                g_array_append_val(z->retired, old->disk_id);
        }
}

static bool disk_is_known(const ZabConfig *c, const Id128 *disk_id) {
        for (unsigned i = 0; i < c->members_count; i++)
                if (id128_equal(&c->members[i].disk_id, disk_id))
                        return true;

        return false;
}

bool config_brings_disk_back(const Zab *z, const ZabConfig *c) {
        static const Id128 none = { 0 };

        for (unsigned i = 0; i < c->members_count; i++) {
                const ZabConfigMember *m = &c->members[i], *old = zab_config_find(z->config, m->sid);

                if ((old && id128_equal(&old->disk_id, &m->disk_id)) || id128_equal(&m->disk_id, &none))
                        continue;
                if (is_retired(z, &m->disk_id) || disk_is_known(z->config, &m->disk_id))
                        return true;
        }

        return false;
}

void config_commit(Zab *z) {
        while (z->pending_configs->len > 0 && pending(z, 0)->index <= z->commit) {
                retire_disks(z, pending(z, 0)->config);
                zab_config_unref(z->config);
                z->config = zab_config_ref(pending(z, 0)->config);
                raise_floor(z, pending(z, 0)->index);
                remove_pending(z, 0);
                reads_unsettle(z);
                notify(z);
        }
}

void config_learn(Zab *z, ZabConfig *c) {
        if (z->config && c->version <= z->config->version)
                return;

        retire_disks(z, c);
        zab_config_unref(z->config);
        z->config = zab_config_ref(c);
        while (z->pending_configs->len > 0 && pending(z, 0)->config->version <= c->version) {
                /* An earlier one may be of a history that nobody committed, and that is about to be cut off. */
                if (pending(z, 0)->config->version == c->version)
                        raise_floor(z, pending(z, 0)->index);
                remove_pending(z, 0);
        }
        notify(z);
}

/* As a checkpoint keeps it: u64 version, then the configuration's own bytes. */
GBytes *config_to_bytes(const ZabConfig *c) {
        g_auto(Writer) w = WRITER_INIT;

        if (!c)
                return NULL;

        writer_u64(&w, c->version);
        writer_bytes(&w, g_bytes_get_data(c->bytes, NULL), g_bytes_get_size(c->bytes));
        return writer_to_bytes(&w);
}
