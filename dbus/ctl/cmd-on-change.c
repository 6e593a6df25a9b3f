/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * on-change
 *
 * A znode, or a subtree, is known by the zxids of its changes: two looks that find the same ones have missed nothing.
 */

#include <inttypes.h>
#include <string.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/listing.h"
#include "dbus/ctl/lookout.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/reaction.h"

#define SETTLE_USEC (100 * 1000)

typedef struct OnChange {
        Ctl *ctl;
        Lookout *lookout;
        Reaction reaction;
        const char *path;
        uint64_t reactions;
        char *known;                    /* what the last look found; NULL before the first */
} OnChange;

static void add_text(GChecksum *sum, const char *text) {
        g_checksum_update(sum, (const guchar *) text, (gssize) strlen(text) + 1);
}

static void add_znode(GChecksum *sum, const char *path, const ZnodeStat *s, bool with_children) {
        g_autofree char *facts = g_strdup_printf("%" PRIx64 " %" PRIx64 " %" PRIx64, s->czxid, s->mzxid,
                                                 with_children ? s->pzxid : 0);

        add_text(sum, path);
        add_text(sum, facts);
}

static ExitStatus on_znode(void *userdata, const ListedZnode *z) {
        add_znode(userdata, z->path, &z->stat, false);
        return EXIT_STATUS_OK;
}

static ExitStatus read_all(OnChange *o, GChecksum *sum) {
        bool exists = false;
        ZnodeStat stat;

        ExitStatus e = znode_exists(o->ctl, o->path, &exists, &stat);
        if (e != EXIT_STATUS_OK || !exists)
                return e;
        if (o->ctl->options->recursive)
                return list_znodes(o->ctl, o->path, false, on_znode, sum, NULL);
        add_znode(sum, o->path, &stat, true);
        return EXIT_STATUS_OK;
}

static ExitStatus look(void *userdata) {
        OnChange *o = userdata;
        g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);

        ExitStatus e = read_all(o, sum);
        if (e != EXIT_STATUS_OK && e != EXIT_STATUS_NO_NODE)
                return e;

        g_autofree char *found = g_strdup(g_checksum_get_string(sum));
        bool changed = o->known && !g_str_equal(o->known, found);
        g_free(o->known);
        o->known = g_steal_pointer(&found);
        if (!changed)
                return EXIT_STATUS_OK;
        o->reactions++;
        bool last = o->reactions == o->ctl->options->count;
        ExitStatus done = reaction_run(&o->reaction, last);
        if (last)
                lookout_end(o->lookout, done);
        return EXIT_STATUS_OK;
}

ExitStatus cmd_on_change(Ctl *c, char **arguments, unsigned count) {
        OnChange o = { .ctl = c, .path = arguments[0] };
        LookoutHandler handler = {
                .path = o.path,
                .recursive = c->options->recursive,
                .settle_usec = SETTLE_USEC,
                .look = look,
                .userdata = &o,
        };

        if (!reaction_is_clear(c, true))
                return EXIT_STATUS_USAGE;
        ExitStatus e = lookout_new(c, &handler, &o.lookout);
        if (e != EXIT_STATUS_OK)
                return e;
        e = reaction_init(&o.reaction, c, lookout_get_event(o.lookout), o.path);
        if (e == EXIT_STATUS_OK)
                e = lookout_run(o.lookout);
        reaction_done(&o.reaction);
        lookout_free(o.lookout);
        g_free(o.known);
        return e;
}
