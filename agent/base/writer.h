/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Writer
 *
 * Appends little-endian fields to a growing buffer; the counterpart of Reader.  The buffer is kept by
 * writer_clear(), so one writer serves many records without allocating.
 */

#include <stddef.h>
#include <stdint.h>

#include <glib.h>

typedef struct Writer {
        uint8_t *data;          /* owned */
        size_t size, allocated;
} Writer;

#define WRITER_INIT ((Writer) { 0 })

void writer_done(Writer *w);

static inline void writer_clear(Writer *w) {
        w->size = 0;
}

/* Room for `size` bytes at the end, already counted; valid until the next call. */
uint8_t *writer_reserve(Writer *w, size_t size);

void writer_u8(Writer *w, uint8_t v);
void writer_u32(Writer *w, uint32_t v);
void writer_u64(Writer *w, uint64_t v);
void writer_bytes(Writer *w, const void *data, size_t size);

static inline void writer_i32(Writer *w, int32_t v) {
        writer_u32(w, (uint32_t) v);
}

static inline void writer_i64(Writer *w, int64_t v) {
        writer_u64(w, (uint64_t) v);
}

/* u32 length, bytes */
void writer_blob(Writer *w, const void *data, size_t size);

/* u32 length, bytes, NUL.  NULL is written as the empty string. */
void writer_string(Writer *w, const char *s);

/* A copy of the content as GBytes, owned by the caller; the writer is cleared and stays usable. */
GBytes *writer_to_bytes(Writer *w);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Writer, writer_done)
