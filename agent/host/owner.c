/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Owner
 *
 * Formatting defines the form; parsing takes a text apart loosely and then accepts it only if formatting the result
 * gives the same bytes again.  So there is one text for each owner, and one owner for each text.
 */

#include "agent/host/owner.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "agent/base/limits.h"

#define WORDS_MAX 9                     /* BUS NAME uid N pid N unit U: 8, and one more to notice what is too long */

G_STATIC_ASSERT(sizeof "18446744073709551615" + sizeof "uid 4294967295 pid 2147483647 " + 32 + 255 < LIMIT_OWNER_BYTES);

/* Printable ASCII without the space: nothing that could break a table, a journal line or this form. */
static bool word_is_valid(const char *s) {
        if (*s == '\0')
                return false;
        for (; *s != '\0'; s++)
                if (*s < 0x21 || *s > 0x7e)
                        return false;
        return true;
}

static void append_name(GString *s, const char *name) {
        if (*name == '\0')
                name = "-";
        for (; *name != '\0'; name++)
                g_string_append_c(s, *name < 0x21 || *name > 0x7e ? '_' : *name);
}

static void append_caller(GString *s, const OwnerText *o) {
        const char *space = s->len > 0 ? " " : "";

        if (o->uid != (uid_t) -1) {
                g_string_append_printf(s, "%suid %" PRIu32, space, (uint32_t) o->uid);
                space = " ";
        }
        if (o->pid > 0) {
                g_string_append_printf(s, "%spid %" PRId32, space, (int32_t) o->pid);
                space = " ";
        }
        if (word_is_valid(o->unit) && s->len + strlen(" unit ") + strlen(o->unit) <= LIMIT_OWNER_BYTES)
                g_string_append_printf(s, "%sunit %s", space, o->unit);
}

char *owner_text_format(const OwnerText *o) {
        GString *s = g_string_new(NULL);
        char id[SD_ID128_STRING_MAX];

        assert(o);

        switch (o->kind) {
        case OWNER_TEXT_EXPLICIT:
                append_caller(s, o);
                break;
        case OWNER_TEXT_CONNECTION:
                if (o->bus[0] == '\0')
                        g_string_append(s, "socket");
                else {
                        g_string_append_printf(s, "%s ", o->bus);
                        append_name(s, o->name);
                }
                append_caller(s, o);
                break;
        case OWNER_TEXT_UNIT:
                append_name(s, o->name);
                g_string_append_printf(s, " %s", sd_id128_to_string(o->invocation, id));
                break;
        case OWNER_TEXT_DESCRIPTOR:
                append_name(s, o->name);
                append_caller(s, o);
                break;
        case OWNER_TEXT_HOST:
                append_name(s, o->name);
                break;
        }

        assert(s->len <= LIMIT_OWNER_BYTES);
        return g_string_free(s, FALSE);
}

static bool take_number(const char *word, uint64_t max, uint64_t *ret) {
        char *end = NULL;
        uint64_t v;

        if (!g_ascii_isdigit(word[0]) || strlen(word) > 10)
                return false;
        v = g_ascii_strtoull(word, &end, 10);
        if (*end != '\0' || v > max)
                return false;
        *ret = v;
        return true;
}

static bool take_word(const char *word, char *ret, size_t size) {
        return word && word_is_valid(word) && g_strlcpy(ret, word, size) < size;
}

static bool take_id(const char *word, sd_id128_t *ret) {
        return word && strlen(word) == 32 && sd_id128_from_string(word, ret) >= 0;
}

/* The pairs "uid N", "pid N" and "unit NAME", each optional.  Order and repetition are judged by formatting again. */
static bool take_caller(char **words, OwnerText *o) {
        for (; words[0]; words += 2) {
                uint64_t v;

                if (!words[1])
                        return false;
                if (g_str_equal(words[0], "uid")) {
                        if (!take_number(words[1], UINT32_MAX - 1, &v))
                                return false;
                        o->uid = (uid_t) v;
                } else if (g_str_equal(words[0], "pid")) {
                        if (!take_number(words[1], INT32_MAX, &v))
                                return false;
                        o->pid = (pid_t) v;
                } else if (!g_str_equal(words[0], "unit") || !take_word(words[1], o->unit, sizeof o->unit))
                        return false;
        }
        return true;
}

static bool take_owner(char **words, OwnerText *o) {
        sd_id128_t bus;

        switch (o->kind) {
        case OWNER_TEXT_EXPLICIT:
                return take_caller(words, o);
        case OWNER_TEXT_CONNECTION:
                if (words[0] && g_str_equal(words[0], "socket"))
                        return take_caller(words + 1, o);
                return take_id(words[0], &bus) && take_word(words[0], o->bus, sizeof o->bus) &&
                       take_word(words[1], o->name, sizeof o->name) && take_caller(words + 2, o);
        case OWNER_TEXT_UNIT:
                return take_word(words[0], o->name, sizeof o->name) && take_id(words[1], &o->invocation) && !words[2];
        case OWNER_TEXT_DESCRIPTOR:
                return take_word(words[0], o->name, sizeof o->name) && take_caller(words + 1, o);
        case OWNER_TEXT_HOST:
                return take_word(words[0], o->name, sizeof o->name) && !words[1];
        }
        return false;                   /* a kind out of range comes from outside as well */
}

bool owner_text_parse(OwnerTextKind kind, const char *text, OwnerText *ret) {
        OwnerText o = { .kind = kind, .uid = (uid_t) -1 };
        g_auto(GStrv) words = NULL;
        g_autofree char *again = NULL;

        assert(text);
        assert(ret);

        if (strlen(text) > LIMIT_OWNER_BYTES)
                return false;
        words = g_strsplit(text, " ", WORDS_MAX);
        if (!take_owner(words, &o))
                return false;
        again = owner_text_format(&o);
        if (!g_str_equal(again, text))
                return false;

        *ret = o;
        return true;
}
