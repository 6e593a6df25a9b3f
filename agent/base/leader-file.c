/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Leader file
 */

#include "agent/base/leader-file.h"

#include <assert.h>
#include <string.h>

#include <glib.h>

G_STATIC_ASSERT(offsetof(LeaderFile, deadline_usec) == 16);
G_STATIC_ASSERT(offsetof(LeaderFile, token) == 24);
G_STATIC_ASSERT(offsetof(LeaderFile, election) == 32);
G_STATIC_ASSERT(sizeof(LeaderFile) == 32 + SINGLETON_NAME_MAX);

void leader_file_fill(LeaderFile *f, const char *election, uint64_t token, uint64_t deadline_usec) {
        assert(singleton_name_is_valid(election));

        memset(f, 0, sizeof(*f));
        memcpy(f->magic, LEADER_FILE_MAGIC, sizeof(f->magic));
        f->version = LEADER_FILE_VERSION;
        f->size = sizeof(*f);
        f->token = token;
        memcpy(f->election, election, strlen(election));
        leader_file_set_deadline(f, deadline_usec);
}

const char *leader_file_check(const LeaderFile *f, uint64_t size, const char *election) {
        size_t length = strlen(election);

        if (size != sizeof(*f))
                return "has another size than such a file has";
        if (memcmp(f->magic, LEADER_FILE_MAGIC, sizeof(f->magic)) != 0)
                return "is no leader file";
        if (f->version != LEADER_FILE_VERSION || f->size != sizeof(*f))
                return "is of another version of convene; the agent and the guard must be of one";
        if (length > sizeof(f->election) || memcmp(f->election, election, length) != 0 ||
            strnlen(f->election, sizeof(f->election)) != length)
                return "is of another election";
        return NULL;
}
