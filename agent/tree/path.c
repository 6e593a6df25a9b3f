/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Path
 *
 * Which paths a znode may have.  ZooKeeper tests characters as UTF-16 units, so everything beyond the basic
 * multilingual plane is refused with the surrogates; in UTF-8 these are the sequences of four bytes.
 */

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "agent/base/limits.h"
#include "agent/tree/request.h"

#define SEQUENCE_SUFFIX_BYTES 10

static bool is_continuation(unsigned char c) {
        return (c & 0xc0) == 0x80;
}

static bool character_is_allowed(uint32_t c) {
        return c >= 0xa0 && (c < 0xd800 || (c > 0xf8ff && c < 0xfff0));
}

/* The size of the allowed non-ASCII character at `p`, which ends with a NUL; 0 if it is none.  A NUL is no
 * continuation byte, so this never looks past it. */
static size_t character_size(const unsigned char *p) {
        uint32_t c;

        if (p[0] >= 0xc2 && p[0] <= 0xdf && is_continuation(p[1])) {
                c = (uint32_t) (p[0] & 0x1f) << 6 | (p[1] & 0x3f);
                return character_is_allowed(c) ? 2 : 0;
        }

        if (p[0] >= 0xe0 && p[0] <= 0xef && is_continuation(p[1]) && is_continuation(p[2])) {
                c = (uint32_t) (p[0] & 0x0f) << 12 | (uint32_t) (p[1] & 0x3f) << 6 | (p[2] & 0x3f);
                return c >= 0x800 && character_is_allowed(c) ? 3 : 0;
        }

        return 0;
}

static bool component_is_dots(const char *p, size_t size) {
        return (size == 1 && p[0] == '.') || (size == 2 && p[0] == '.' && p[1] == '.');
}

/* The end of the component that starts at `p`, or NULL if it has a character that is not allowed. */
static const char *component_end(const char *p) {
        while (*p && *p != '/') {
                unsigned char c = (unsigned char) *p;
                size_t size = 1;

                if (c < 0x20 || c == 0x7f)
                        return NULL;
                if (c >= 0x80)
                        size = character_size((const unsigned char *) p);
                if (size == 0)
                        return NULL;

                p += size;
        }

        return p;
}

ConveneStatus path_validate(const char *path, bool sequential) {
        size_t size, size_max = LIMIT_PATH_BYTES - (sequential ? SEQUENCE_SUFFIX_BYTES : 0);
        unsigned depth = 0;
        const char *p = path;

        if (!path || path[0] != '/')
                return CONVENE_BAD_ARGUMENTS;

        size = strnlen(path, size_max + 1);
        if (size > size_max)
                return CONVENE_TOO_LARGE;

        if (size == 1)
                return CONVENE_OK;

        while (*p) {
                const char *start, *end;
                bool last;

                assert(*p == '/');
                start = p + 1;
                end = component_end(start);
                if (!end)
                        return CONVENE_BAD_ARGUMENTS;

                /* A suffix makes a name even of nothing, and makes "." an ordinary name. */
                last = *end == 0;
                if (!(sequential && last) && (end == start || component_is_dots(start, end - start)))
                        return CONVENE_BAD_ARGUMENTS;

                depth++;
                p = end;
        }

        return depth > LIMIT_PATH_DEPTH ? CONVENE_TOO_LARGE : CONVENE_OK;
}
