/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Fuzz
 *
 * What a fuzz target and the two programs around it (libFuzzer's main, replay.c) share.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Feeds one input to the decoder of the target.  Returns 0, always. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* How many inputs the decoder has accepted.  Each target defines and counts it; replay.c wants to see some, so that
 * a corpus that a change of format has made worthless does not go unnoticed. */
extern uint64_t fuzz_accepted;

/* A property of the decoder; unlike assert() never compiled out. */
#define fuzz_check(condition)                                                                           \
        do {                                                                                            \
                if (!(condition)) {                                                                     \
                        fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);  \
                        abort();                                                                        \
                }                                                                                       \
        } while (0)
