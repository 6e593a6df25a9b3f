/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * project
 */

#include <string.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/listing.h"
#include "dbus/ctl/lookout.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/projection.h"
#include "dbus/ctl/reaction.h"

#define SETTLE_USEC (100 * 1000)
#define MODE_DEFAULT 0600

typedef struct Projector {
        Ctl *ctl;
        Lookout *lookout;
        const char *path, *directory;
        mode_t mode;
        uint64_t shown;
        bool refused;                   /* what is in the tree cannot be put into files */
        bool is_gone;                   /* that there is no such znode has been told */
        Projection *projection;         /* while the tree is read */
} Projector;

/* Data of a znode that has children has no place: a directory has none. */
static ExitStatus add_znode(Projector *p, const ListedZnode *z) {
        const char *name = z->path + (g_str_equal(p->path, "/") ? 0 : strlen(p->path));

        if (z->stat.czxid == 0 && !g_str_equal(z->path, "/")) {
                print_error("%s: may not be read, and the rest of %s without it is not put into files (NoAuth)", z->path, p->path);
                return EXIT_STATUS_ACCESS;
        }
        if (g_str_equal(z->path, p->path))
                return EXIT_STATUS_OK;
        if (z->stat.children > 0)
                return projection_add_directory(p->projection, name + 1);
        return projection_add_file(p->projection, name + 1, z->data, z->data_size);
}

static ExitStatus on_znode(void *userdata, const ListedZnode *z) {
        Projector *p = userdata;
        ExitStatus e = add_znode(p, z);

        p->refused = e != EXIT_STATUS_OK;
        return e;
}

static ExitStatus show(Projector *p) {
        bool changed;

        ExitStatus e = projection_show(p->projection, p->directory, &changed);
        if (e != EXIT_STATUS_OK)
                return e;
        if (changed)
                reaction_run(p->ctl, p->path);
        if (changed || p->shown == 0)
                p->shown++;
        if (p->shown == p->ctl->options->count)
                lookout_end(p->lookout, EXIT_STATUS_OK);
        return EXIT_STATUS_OK;
}

static ExitStatus look(void *userdata) {
        Projector *p = userdata;
        g_autoptr(Projection) projection = projection_new(p->mode);
        unsigned pages = 0;
        bool exists = false;
        ZnodeStat stat;

        ExitStatus e = znode_exists(p->ctl, p->path, &exists, &stat);
        if (e != EXIT_STATUS_OK)
                return e;
        if (!exists) {
                if (!p->is_gone && !p->ctl->options->quiet)
                        print_error("%s: no such znode; %s stays as it is until there is one", p->path, p->directory);
                p->is_gone = true;
                return EXIT_STATUS_OK;
        }

        p->is_gone = p->refused = false;
        p->projection = projection;
        e = list_znodes(p->ctl, p->path, true, on_znode, p, &pages);
        /* pages are of one instant each; with more of them the next look must find nothing between them */
        if (e == EXIT_STATUS_OK && (pages == 1 || lookout_is_settled(p->lookout)))
                e = show(p);
        p->projection = NULL;
        /* whoever may write there does not end us: the files stay as they are until it is mended */
        return e == EXIT_STATUS_NO_NODE || (p->refused && p->shown > 0) ? EXIT_STATUS_OK : e;
}

static bool parse_mode(const char *text, mode_t *ret) {
        uint64_t mode = MODE_DEFAULT;

        if (text && (!g_ascii_string_to_unsigned(text, 8, 0, 0777, &mode, NULL) || (mode & 0400) == 0 || (mode & 0111) != 0)) {
                print_error("--mode: \"%s\" is not permission for the owner to read, and for others, in octal, such as 0640", text);
                return false;
        }
        *ret = (mode_t) mode;
        return true;
}

ExitStatus cmd_project(Ctl *c, char **arguments, unsigned count) {
        Projector p = { .ctl = c, .path = arguments[0], .directory = arguments[1] };
        LookoutHandler handler = {
                .path = p.path,
                .recursive = true,
                .settle_usec = SETTLE_USEC,
                .look = look,
                .userdata = &p,
        };

        if (!reaction_is_clear(c, false) || !parse_mode(c->options->mode, &p.mode))
                return EXIT_STATUS_USAGE;
        ExitStatus e = lookout_new(c, &handler, &p.lookout);
        if (e != EXIT_STATUS_OK)
                return e;
        e = lookout_run(p.lookout);
        lookout_free(p.lookout);
        return e;
}
