/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Leader file
 *
 * /run/convene/leader/NAME: exists exactly while this host leads the election NAME.  Written by the agent and mapped by the guard of
 * convene-leader@NAME.service, in the byte order of this host.  The deadline is the only field that ever changes; it is a word
 * that both sides take and give as a whole.  What the unit is given, as root, is made of it by "convene-guard --export".
 *
 *      0  magic            8 bytes "cnvlead1"
 *      8  version          4 bytes, 1
 *     12  size             4 bytes, of the whole file
 *     16  deadline         8 bytes, CLOCK_BOOTTIME in microseconds: until then the unit may run; 0: leadership is lost
 *     24  token            8 bytes, the fencing token
 *     32  election         its name, with zero bytes up to the end of the file
 */

#include <stddef.h>
#include <stdint.h>

#include "agent/base/limits.h"
#include "agent/base/singleton-name.h"

#define LEADER_FILE_DIRECTORY "leader"          /* below the agent's runtime directory */
#define LEADER_FILE_MAGIC "cnvlead1"
#define LEADER_FILE_VERSION 1

/* A deadline further away is no deadline. */
#define LEADER_FILE_DEADLINE_MAX_USEC (UINT64_C(1000) * LIMIT_SESSION_TIMEOUT_MAX_MSEC)

typedef struct LeaderFile {
        char magic[8];
        uint32_t version, size;
        uint64_t deadline_usec;
        uint64_t token;
        char election[SINGLETON_NAME_MAX];
} LeaderFile;

void leader_file_fill(LeaderFile *f, const char *election, uint64_t token, uint64_t deadline_usec);

/* NULL, or why this is not the file of that election: `size` is how large the file really is. */
const char *leader_file_check(const LeaderFile *f, uint64_t size, const char *election);

static inline uint64_t leader_file_deadline(const LeaderFile *f) {
        return __atomic_load_n(&f->deadline_usec, __ATOMIC_ACQUIRE);
}

static inline void leader_file_set_deadline(LeaderFile *f, uint64_t deadline_usec) {
        __atomic_store_n(&f->deadline_usec, deadline_usec, __ATOMIC_RELEASE);
}
