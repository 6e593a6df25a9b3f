/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * project
 */

#include <string.h>

#include <systemd/sd-daemon.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/listing.h"
#include "dbus/ctl/lookout.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/projection.h"
#include "dbus/ctl/reaction.h"

#define SETTLE_USEC (100 * 1000)
#define MODE_DEFAULT 0600
#define BUSY_USEC (3 * G_USEC_PER_SEC)

typedef struct Projector {
        Ctl *ctl;
        Lookout *lookout;
        Reaction reaction;
        const char *path, *directory;
        mode_t mode;
        uint64_t shown;
        bool refused;                   /* what is in the tree cannot be put into files */
        bool is_gone;                   /* that there is no such znode has been told */
        int64_t busy_since_usec;        /* every look since then found that something had changed meanwhile; 0: none did */
        bool said_busy;
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
        if (changed || p->shown == 0)
                p->shown++;
        bool last = p->shown == p->ctl->options->count;
        ExitStatus done = changed ? reaction_run(&p->reaction, last) : EXIT_STATUS_OK;
        if (last)
                lookout_end(p->lookout, done);
        return EXIT_STATUS_OK;
}

/* Without a word for a moment: most changes are over by then. */
static void say_busy(Projector *p, unsigned pages) {
        int64_t now = g_get_monotonic_time();

        if (p->busy_since_usec == 0)
                p->busy_since_usec = now;
        if (p->said_busy || now - p->busy_since_usec < BUSY_USEC)
                return;
        p->said_busy = true;
        print_error("%s changes while its %u pages are read; %s stays as it is until nothing changes there for as long as that takes", p->path,
                    pages, p->directory);
        (void) sd_notifyf(false, "STATUS=Waiting for a moment without changes below %s", p->path);
}

static void say_quiet(Projector *p) {
        if (p->said_busy) {
                print_error("%s was read in one piece; %s shows it", p->path, p->directory);
                (void) sd_notifyf(false, "STATUS=Showing %s", p->path);
        }
        p->said_busy = false;
        p->busy_since_usec = 0;
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
        if (e == EXIT_STATUS_OK && pages > 1 && !lookout_is_settled(p->lookout))
                say_busy(p, pages);
        else if (e == EXIT_STATUS_OK && (e = show(p)) == EXIT_STATUS_OK)
                say_quiet(p);
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
        e = reaction_init(&p.reaction, c, lookout_get_event(p.lookout), p.path);
        if (e == EXIT_STATUS_OK)
                e = lookout_run(p.lookout);
        reaction_done(&p.reaction);
        lookout_free(p.lookout);
        return e;
}
