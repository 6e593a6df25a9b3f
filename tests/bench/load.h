/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Load
 *
 * Calls of one method over one connection, one at a time or many at once; and the bare write that a durable one is held against.
 */

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-bus.h>

#define LOAD_DATA_BYTES 100

typedef struct Load {
        sd_bus *bus;
        const char *destination, *interface, *member;
        unsigned arguments;             /* 0: none, 1: Get's, 2: Set's of LOAD_DATA_BYTES; of /bench */
        bool linearizable;
        unsigned unanswered;
        uint64_t answered;
        uint64_t until_usec;            /* until then every answer is followed by another call; 0: none is */
} Load;

uint64_t load_now_usec(void);

/* Calls for that long with `window` unanswered; answers per second.  An error ends the program. */
double load_rate(Load *l, unsigned window, uint64_t usec);

/* One call; microseconds. */
double load_once(Load *l);

/* A file of that name for `writes` bare writes in the directory, laid out as the store's are: allocated and filled with zeros. */
int load_bare_open(const char *directory, const char *name, unsigned writes);
/* 4-KiB pwrite and fdatasync of block `number`; microseconds. */
double load_bare_write(int fd, unsigned number);

double load_median(double *values, unsigned count);
