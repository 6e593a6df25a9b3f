/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Contender
 */

#include "agent/recipe/contender.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <glib.h>

#include "agent/recipe/break.h"

#ifdef CONVENE_BREAK
unsigned recipe_break;
#endif

static const struct {
        const char *word;
        ContenderRole role;
} words[] = {
        { "lock-", CONTENDER_MUTEX },
        { "__WRIT__", CONTENDER_WRITER },
        { "__READ__", CONTENDER_READER },
        { "lease-", CONTENDER_LEASE },
        { "latch-", CONTENDER_LATCH },
        { "__lock__", CONTENDER_MUTEX },
        { "__rlock__", CONTENDER_READER },
};

/* "%010d" of an int32_t and nothing else: returns how many bytes of the end of the name it is, 0 if it is none. */
static size_t parse_sequence(const char *name, size_t size, int32_t *ret) {
        size_t digits = 0;
        int64_t value = 0;

        while (digits < size && digits < 10 && g_ascii_isdigit(name[size - 1 - digits]))
                digits++;
        for (size_t i = size - digits; i < size; i++)
                value = value * 10 + (name[i] - '0');

        /* Nine digits and a sign fill the ten places; ten and a sign are those that need them. */
        if (digits == 9 && size > 9 && name[size - 10] == '-' && value > 0) {
                *ret = (int32_t) -value;
                return 10;
        }
        if (digits != 10)
                return 0;
        /* The words end with a hyphen or an underscore themselves. */
        if (size > 11 && name[size - 11] == '-' && (name[size - 12] == '-' || name[size - 12] == '_')) {
                if (value < 1000000000 || value > -(int64_t) INT32_MIN)
                        return 0;
                *ret = (int32_t) -value;
                return 11;
        }
        if (value > INT32_MAX)
                return 0;
        *ret = (int32_t) value;
        return 10;
}

static bool ends_with(const char *name, size_t size, const char *word) {
        size_t n = strlen(word);

        return size >= n && memcmp(name + size - n, word, n) == 0;
}

bool contender_parse(const char *name, ContenderName *ret) {
        size_t size = strlen(name), suffix;
        int32_t sequence;

        suffix = parse_sequence(name, size, &sequence);
        if (suffix == 0)
                return false;
        for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
                if (ends_with(name, size - suffix, words[i].word)) {
                        *ret = (ContenderName) { words[i].role, sequence };
                        return true;
                }
        return false;
}

void contender_prefix(ContenderRole role, const uint8_t id[static 16], char ret[static CONTENDER_PREFIX_BYTES]) {
        char uuid[CONTENDER_UUID_TEXT + 1];
        unsigned n = 0;

        assert(role < _CONTENDER_ROLE_MAX);
        G_STATIC_ASSERT(sizeof("_c_") + CONTENDER_UUID_TEXT + sizeof("-__READ__") <= CONTENDER_PREFIX_BYTES);

        for (unsigned i = 0; i < 16; i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        uuid[n++] = '-';
                snprintf(uuid + n, sizeof(uuid) - n, "%02x", id[i]);
                n += 2;
        }
        for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
                if (words[i].role == role) {            /* the first is Curator's */
                        snprintf(ret, CONTENDER_PREFIX_BYTES, "_c_%s-%s", uuid, words[i].word);
                        return;
                }
        g_assert_not_reached();
}

const char *contender_role_to_string(ContenderRole role) {
        static const char *const names[_CONTENDER_ROLE_MAX] = {
                [CONTENDER_MUTEX] = "mutex",
                [CONTENDER_WRITER] = "writer",
                [CONTENDER_READER] = "reader",
                [CONTENDER_LEASE] = "semaphore",
                [CONTENDER_LATCH] = "election",
        };

        assert(role < _CONTENDER_ROLE_MAX);
        return names[role];
}
