/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Reader
 */

#include "agent/base/reader.h"

#include <endian.h>
#include <string.h>

const uint8_t *reader_bytes(Reader *r, size_t size) {
        const uint8_t *p = r->at;

        if (r->failed || size > (size_t) (r->end - r->at)) {
                r->failed = true;
                return NULL;
        }

        r->at += size;
        return p;
}

uint8_t reader_u8(Reader *r) {
        const uint8_t *p = reader_bytes(r, 1);

        return p ? *p : 0;
}

uint32_t reader_u32(Reader *r) {
        const uint8_t *p = reader_bytes(r, sizeof(uint32_t));
        uint32_t v;

        if (!p)
                return 0;

        memcpy(&v, p, sizeof(v));
        return le32toh(v);
}

uint64_t reader_u64(Reader *r) {
        const uint8_t *p = reader_bytes(r, sizeof(uint64_t));
        uint64_t v;

        if (!p)
                return 0;

        memcpy(&v, p, sizeof(v));
        return le64toh(v);
}

const uint8_t *reader_blob(Reader *r, size_t size_max, size_t *ret_size) {
        uint32_t size = reader_u32(r);
        const uint8_t *p;

        if (size > size_max)
                r->failed = true;

        p = reader_bytes(r, size);
        *ret_size = p ? size : 0;
        return p;
}

const char *reader_string(Reader *r, size_t size_max) {
        size_t size;
        const uint8_t *p = reader_blob(r, size_max, &size);
        const uint8_t *nul = reader_bytes(r, 1);

        if (!nul || *nul != 0 || memchr(p, 0, size)) {
                r->failed = true;
                return NULL;
        }

        return (const char *) p;
}

uint32_t reader_count(Reader *r, uint32_t count_max, size_t item_size_min) {
        uint32_t count = reader_u32(r);

        if (count > count_max || count > reader_left(r) / (item_size_min > 0 ? item_size_min : 1)) {
                r->failed = true;
                return 0;
        }

        return count;
}
