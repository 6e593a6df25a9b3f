/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Listing
 *
 * Lists of any length, page by page.
 */

#include "dbus/ctl/connection.h"
#include "dbus/ctl/stat.h"

typedef struct ListedZnode {
        const char *path;
        ZnodeStat stat;
        const uint8_t *data;
        size_t data_size;
} ListedZnode;

/* Everything but EXIT_STATUS_OK from the callback ends the listing with it. */
typedef ExitStatus (*OnName)(void *userdata, const char *name);
typedef ExitStatus (*OnZnode)(void *userdata, const ListedZnode *z);

/* Children's names in byte order. */
ExitStatus list_children(Ctl *c, const char *path, OnName each, void *userdata);
/* The znode and everything below it, parents first.  Each page is of one instant; *ret_pages (may be NULL): how many it took. */
ExitStatus list_znodes(Ctl *c, const char *path, bool with_data, OnZnode each, void *userdata, unsigned *ret_pages);

/* One page: at most `limit` names after `start_after` (NULL: from the first); *ret_more may be NULL. */
ExitStatus list_children_page(Ctl *c, const char *path, const char *start_after, uint32_t limit, GPtrArray *names,
                              bool *ret_more);

ExitStatus znode_exists(Ctl *c, const char *path, bool *ret_exists, ZnodeStat *ret_stat);
