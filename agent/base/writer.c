/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Writer
 */

#include "agent/base/writer.h"

#include <endian.h>
#include <string.h>

void writer_done(Writer *w) {
        g_free(w->data);
        *w = WRITER_INIT;
}

uint8_t *writer_reserve(Writer *w, size_t size) {
        uint8_t *p;

        if (w->allocated - w->size < size) {
                w->allocated = MAX(w->allocated * 2, w->size + size + 64);
                w->data = g_realloc(w->data, w->allocated);
        }

        p = w->data + w->size;
        w->size += size;
        return p;
}

void writer_bytes(Writer *w, const void *data, size_t size) {
        if (size > 0)
                memcpy(writer_reserve(w, size), data, size);
}

void writer_u8(Writer *w, uint8_t v) {
        *writer_reserve(w, 1) = v;
}

void writer_u32(Writer *w, uint32_t v) {
        v = htole32(v);
        writer_bytes(w, &v, sizeof(v));
}

void writer_u64(Writer *w, uint64_t v) {
        v = htole64(v);
        writer_bytes(w, &v, sizeof(v));
}

void writer_blob(Writer *w, const void *data, size_t size) {
        writer_u32(w, size);
        writer_bytes(w, data, size);
}

void writer_string(Writer *w, const char *s) {
        size_t size = s ? strlen(s) : 0;

        writer_u32(w, size);
        writer_bytes(w, s, size);
        writer_u8(w, 0);
}

GBytes *writer_to_bytes(Writer *w) {
        GBytes *b = g_bytes_new(w->data, w->size);

        writer_clear(w);
        return b;
}
