/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Reader
 *
 * Takes little-endian fields from a byte range that may be hostile.  The first field that does not fit makes the
 * reader fail for good: later calls return zero, NULL or empty and change nothing, so a decoder reads straight
 * through and asks once at the end.  Nothing is copied: strings and blobs point into the range.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Reader {
        const uint8_t *at, *end;
        bool failed;
} Reader;

/* Of no bytes there may be no address either, and NULL + 0 is nothing that C defines. */
#define READER_INIT(data, size)                                                         \
        ((Reader) {                                                                     \
                .at = (const uint8_t *) (data),                                         \
                .end = (size) > 0 ? (const uint8_t *) (data) + (size) : (const uint8_t *) (data), \
        })

uint8_t reader_u8(Reader *r);
uint32_t reader_u32(Reader *r);
uint64_t reader_u64(Reader *r);

static inline int32_t reader_i32(Reader *r) {
        return (int32_t) reader_u32(r);
}

static inline int64_t reader_i64(Reader *r) {
        return (int64_t) reader_u64(r);
}

/* `size` raw bytes; NULL and failed if there are fewer. */
const uint8_t *reader_bytes(Reader *r, size_t size);

/* u32 length, bytes.  Fails if the length exceeds `size_max`. */
const uint8_t *reader_blob(Reader *r, size_t size_max, size_t *ret_size);

/* u32 length, bytes without NUL, a NUL that the length does not count.  Fails on a length above `size_max`, an
 * embedded NUL or a missing terminator.  Returns NULL on failure. */
const char *reader_string(Reader *r, size_t size_max);

/* A u32 count of items of at least `item_size_min` bytes each; fails if it exceeds `count_max` or what is left. */
uint32_t reader_count(Reader *r, uint32_t count_max, size_t item_size_min);

/* True if nothing failed and every byte was taken. */
static inline bool reader_done(const Reader *r) {
        return !r->failed && r->at == r->end;
}

static inline size_t reader_left(const Reader *r) {
        return r->failed ? 0 : (size_t) (r->end - r->at);
}
