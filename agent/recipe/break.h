/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Break
 *
 * Wrong rules of the recipes, put back on purpose, as agent/zab/break.h does for the protocol: they exist only in a build with
 * CONVENE_BREAK, where the simulator sets recipe_break and its judges have to find them.
 */

typedef enum RecipeBreak {
        RECIPE_BREAK_NONE = 0,
        RECIPE_BREAK_READER_LOOKS_AT_ONE,       /* a reader looks only at the one just before: it passes writers */
        RECIPE_BREAK_SLOT_TOO_MANY,             /* N + 1 hold a semaphore of N */
        RECIPE_BREAK_SEQUENCE_AS_TEXT,          /* the order of names is that of their bytes */
        RECIPE_BREAK_WAKES_ON_ARRIVAL,          /* looks again when somebody has come, not when somebody has gone */
        RECIPE_BREAK_TOKEN_WITHOUT_EPOCH,       /* the token is the counter of the zxid alone */
        RECIPE_BREAK_NO_MARGIN,                 /* a grant is given up when the promise ends, not before */
        RECIPE_BREAK_RELEASES_AT_ONCE,          /* what is given up is released while its holder still may go by it */
        RECIPE_BREAK_ACK_WITHOUT_CLAIM,         /* an item is deleted whoever has claimed it by now */
        RECIPE_BREAK_BARRIER_EARLY,             /* a barrier of N is full with N - 1 */
        RECIPE_BREAK_LEASE_BLIND,               /* a lease is written whatever its version is by now */
        RECIPE_BREAK_LEASE_SEEN_ANEW,           /* a renewed lease is free when its first time has passed */
        RECIPE_BREAK_COUNTER_BLIND,             /* a counter is written whatever its version is by now */
        RECIPE_BREAK_PRIORITY_OF_NEXT,          /* who is to lead lets only the one just behind pass */
        _RECIPE_BREAK_MAX,
} RecipeBreak;

#ifdef CONVENE_BREAK
extern unsigned recipe_break;
#define RECIPE_BREAK(name) (recipe_break == RECIPE_BREAK_##name)
#else
#define RECIPE_BREAK(name) 0
#endif
