/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fuzz: the texts of sessions' owners
 *
 * Input: u8 kind, then the text.  The same bytes also fill an owner that is formatted: what an agent writes it must
 * understand again.
 */

#include <string.h>

#include <glib.h>

#include "agent/base/limits.h"
#include "agent/base/reader.h"
#include "agent/host/owner.h"
#include "tests/fuzz/fuzz.h"

uint64_t fuzz_accepted;

static void check_word(const char *s, size_t size) {
        fuzz_check(strnlen(s, size) < size);
        for (; *s != '\0'; s++)
                fuzz_check(*s > ' ' && *s < 0x7f);
}

static void check_parse(OwnerTextKind kind, const char *text) {
        g_autofree OwnerText *o = g_new(OwnerText, 1);
        g_autofree char *again = NULL;
        OwnerText before;

        memset(o, 0x55, sizeof *o);
        before = *o;
        if (!owner_text_parse(kind, text, o)) {
                fuzz_check(memcmp(o, &before, sizeof before) == 0);
                return;
        }

        fuzz_accepted++;
        fuzz_check(o->kind == kind && strlen(text) <= LIMIT_OWNER_BYTES);
        check_word(o->bus, sizeof o->bus);
        check_word(o->name, sizeof o->name);
        check_word(o->unit, sizeof o->unit);
        fuzz_check(o->pid >= 0);
        fuzz_check(o->bus[0] == '\0' || (kind == OWNER_TEXT_CONNECTION && strlen(o->bus) == 32));
        again = owner_text_format(o);
        fuzz_check(g_str_equal(again, text));
}

/* Up to the next NUL, or what fits. */
static void take(Reader *r, char *ret, size_t size) {
        for (size_t i = 0; i + 1 < size; i++) {
                ret[i] = (char) reader_u8(r);
                if (ret[i] == '\0')
                        return;
        }
}

static void check_format(OwnerTextKind kind, const uint8_t *data, size_t size) {
        Reader r = READER_INIT(data, size);
        OwnerText o = { .kind = kind, .uid = reader_u32(&r), .pid = reader_i32(&r) }, back;
        g_autofree char *text = NULL, *again = NULL;

        if (kind == OWNER_TEXT_CONNECTION && (o.uid & 1))
                strcpy(o.bus, "0123456789abcdef0123456789abcdef");
        if (kind == OWNER_TEXT_UNIT)
                memset(&o.invocation, reader_u8(&r), sizeof o.invocation);
        take(&r, o.name, sizeof o.name);
        take(&r, o.unit, sizeof o.unit);

        text = owner_text_format(&o);
        fuzz_check(strlen(text) <= LIMIT_OWNER_BYTES);
        fuzz_check(owner_text_parse(kind, text, &back));
        fuzz_check(kind == OWNER_TEXT_UNIT || kind == OWNER_TEXT_HOST || back.uid == o.uid);
        again = owner_text_format(&back);
        fuzz_check(g_str_equal(again, text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_autofree char *text = NULL;

        if (size == 0)
                return 0;

        /* The kind is a byte of a row, too. */
        text = g_strndup((const char *) data + 1, size - 1);
        check_parse((OwnerTextKind) data[0], text);
        if (data[0] <= OWNER_TEXT_HOST)
                check_format((OwnerTextKind) data[0], data + 1, size - 1);
        return 0;
}
