/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Presence
 *
 * Declarations that give a unit an ephemeral znode while it runs, without a line of code in it.  Files *.conf:
 *
 *     [Presence]
 *     Unit=nginx.service web@*.service        names or globs (* ? [...]), separated by spaces; required
 *     Path=/services/%N/%H                    required
 *     Data=up since boot %b                   default: empty.  \n \t \s \r \\ mean what they do in GKeyFile
 *     Timeout=10s                             of the session: ms s min h d, may be added up ("1min 30s")
 *     CreateParents=yes                       default
 *     Acl=world:anyone:r unix:0@*:crwda       SCHEME:ID:PERMISSIONS, separated by spaces; default: the parent's ACL
 *
 * Path, Data and Acl know specifiers with systemd's meanings: %n %N %p %P %i %I %j %J (unit), %H %l (host name, up to the first
 * dot), %m %b %v (machine id, boot id, kernel release) and %%.  Keys that begin with X- are ignored.
 *
 * A file hides those of the same name in later directories; if it is empty or a link to /dev/null, it does only that.
 */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

#define PRESENCE_TIMEOUT_DEFAULT_MSEC 10000

typedef struct PresenceAcl {
        uint32_t permissions;           /* ZooKeeper's bits: read 1, write 2, create 4, delete 8, admin 16 */
        char *scheme, *id;              /* id: a template */
} PresenceAcl;

/* One file.  Path, data and ACL ids are templates. */
typedef struct Presence {
        char *file;
        char **units;
        char *path, *data;
        uint32_t timeout_msec;
        bool create_parents;
        PresenceAcl *acl;
        uint32_t acl_count;
} Presence;

/* What specifiers that do not speak of the unit stand for. */
typedef struct PresenceHost {
        char *name, *machine_id, *boot_id, *kernel;
} PresenceHost;

/* Everything one run of one unit is to have; the fields are as in Presence, expanded. */
typedef struct PresenceZnode {
        char *path, *data;
        PresenceAcl *acl;
        uint32_t acl_count;
} PresenceZnode;

/* Pure: understands the text of one file.  Returns NULL and a sentence that names file, key and value in *ret_error (g_free),
 * or NULL and no error for a text without any line that counts (a mask). */
Presence *presence_parse(const char *file, const char *text, size_t size, char **ret_error);
Presence *presence_free(Presence *p);

bool presence_matches(const Presence *p, const char *unit);

/* Pure: fills in the specifiers for a unit.  False, and a sentence in *ret_error (g_free), if the result is not the
 * path of a znode or exceeds a limit. */
bool presence_expand(const Presence *p, const char *unit, const PresenceHost *host, PresenceZnode *ret, char **ret_error);
void presence_znode_done(PresenceZnode *z);

/* The facts of this host.  What cannot be known is "-"; the boot id is taken from $CONVENE_BOOT_ID first, because the
 * unit's sandbox hides the file that has it. */
void presence_host_read(PresenceHost *ret);
void presence_host_done(PresenceHost *h);

typedef struct PresenceSet PresenceSet;

#define PRESENCE_DIRECTORIES \
        ((const char *const[]) { "/etc/convene/presence.d", "/run/convene/presence.d", "/usr/lib/convene/presence.d", NULL })

/* Reads every file; earlier directories win.  Never NULL: a file that is wrong is left out, with a sentence about it appended to
 * `errors` (of g_free'able strings).  A directory that does not exist has no files. */
PresenceSet *presence_set_load(const char *const *directories, GPtrArray *errors);
PresenceSet *presence_set_free(PresenceSet *s);

unsigned presence_set_count(const PresenceSet *s);

/* The first declaration for the unit, in the order of file names; with `after`, the next one behind that.  NULL: none. */
const Presence *presence_set_match(const PresenceSet *s, const char *unit, const Presence *after);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Presence, presence_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PresenceSet, presence_set_free)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PresenceZnode, presence_znode_done)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PresenceHost, presence_host_done)
