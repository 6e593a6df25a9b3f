/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Token
 */

#include "agent/peer/token.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "agent/base/hash.h"
#include "agent/net/address.h"

#define PREFIX "cvn1."
#define FORMAT 1
#define TEXT_BYTES_MAX 8192
#define CHECKSUM_BYTES 4

int peer_token_make(const Id128 *cluster_id, PeerToken *ret) {
        PeerToken t = { .cluster_id = *cluster_id };

        if (getrandom(t.secret, sizeof(t.secret), 0) != (ssize_t) sizeof(t.secret))
                return -errno;

        *ret = t;
        return 0;
}

bool peer_token_add(PeerToken *t, const char *address, const uint8_t pin[static NET_PIN_BYTES]) {
        PeerTokenMember *m = &t->members[t->members_count];
        NetAddress a;

        if (t->members_count >= PEER_TOKEN_MEMBERS_MAX || strlen(address) > ZAB_CONFIG_ADDRESS_BYTES ||
            !net_address_parse(address, &a))
                return false;

        m->address = g_strdup(address);
        memcpy(m->pin, pin, NET_PIN_BYTES);
        t->members_count++;
        return true;
}

void peer_token_done(PeerToken *t) {
        for (unsigned i = 0; i < t->members_count; i++)
                g_free(t->members[i].address);
        explicit_bzero(t, sizeof(*t));
}

void peer_secret_hash(const uint8_t secret[static JOIN_SECRET_BYTES], uint8_t ret[static 32]) {
        g_autoptr(GChecksum) c = g_checksum_new(G_CHECKSUM_SHA256);
        gsize size = 32;

        g_checksum_update(c, secret, JOIN_SECRET_BYTES);
        g_checksum_get_digest(c, ret, &size);
}

static uint32_t checksum(const uint8_t *data, size_t size) {
        return (uint32_t) hash128(data, size, 0).low;
}

static char *to_text(const uint8_t *data, size_t size) {
        g_autofree char *s = g_base64_encode(data, size);

        s[strcspn(s, "=")] = '\0';
        for (char *c = s; *c; c++)
                *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
        return g_strconcat(PREFIX, s, NULL);
}

/* NULL unless to_text() would give this very text. */
static uint8_t *from_text(const char *text, size_t *ret_size) {
        g_autofree char *s = g_strconcat(text + strlen(PREFIX), "===", NULL), *again = NULL;
        g_autofree uint8_t *data = NULL;
        size_t size = strlen(s);

        s[size - size % 4] = '\0';
        for (char *c = s; *c; c++)
                *c = *c == '-' ? '+' : *c == '_' ? '/' : *c;
        data = g_base64_decode(s, ret_size);
        again = data ? to_text(data, *ret_size) : NULL;
        return again && strcmp(again, text) == 0 ? g_steal_pointer(&data) : NULL;
}

char *peer_token_to_string(const PeerToken *t) {
        g_auto(Writer) w = WRITER_INIT;
        char *text;

        writer_u8(&w, FORMAT);
        writer_bytes(&w, t->cluster_id.bytes, sizeof(t->cluster_id.bytes));
        writer_u8(&w, (uint8_t) t->members_count);
        for (unsigned i = 0; i < t->members_count; i++) {
                writer_string(&w, t->members[i].address);
                writer_bytes(&w, t->members[i].pin, NET_PIN_BYTES);
        }
        writer_bytes(&w, t->secret, sizeof(t->secret));
        writer_u32(&w, checksum(w.data, w.size));

        text = to_text(w.data, w.size);
        explicit_bzero(w.data, w.size);
        return text;
}

static bool copy_bytes(Reader *r, void *ret, size_t size) {
        const uint8_t *p = reader_bytes(r, size);

        if (p)
                memcpy(ret, p, size);
        return p;
}

static bool read_token(Reader *r, PeerToken *ret) {
        unsigned count;

        copy_bytes(r, ret->cluster_id.bytes, sizeof(ret->cluster_id.bytes));
        count = reader_u8(r);
        for (unsigned i = 0; i < count && !r->failed; i++) {
                const char *address = reader_string(r, ZAB_CONFIG_ADDRESS_BYTES);
                uint8_t pin[NET_PIN_BYTES];

                if (!copy_bytes(r, pin, sizeof(pin)) || !peer_token_add(ret, address, pin))
                        return false;
        }
        return count > 0 && copy_bytes(r, ret->secret, sizeof(ret->secret)) && reader_done(r);
}

int peer_token_parse(const char *text, PeerToken *ret) {
        g_autofree char *word = g_strstrip(g_strndup(text, TEXT_BYTES_MAX));
        g_autofree uint8_t *data = NULL;
        g_auto(PeerToken) t = { 0 };
        size_t size;
        Reader r;

        if (!g_str_has_prefix(word, PREFIX))
                return -EINVAL;

        data = from_text(word, &size);
        if (!data || size < 1 + CHECKSUM_BYTES)
                return -EBADMSG;
        r = READER_INIT(data + size - CHECKSUM_BYTES, CHECKSUM_BYTES);
        if (reader_u32(&r) != checksum(data, size - CHECKSUM_BYTES))
                return -EBADMSG;

        r = READER_INIT(data, size - CHECKSUM_BYTES);
        if (reader_u8(&r) != FORMAT)
                return -EPROTONOSUPPORT;
        if (!read_token(&r, &t))
                return -EBADMSG;

        explicit_bzero(data, size);
        *ret = t;
        t = (PeerToken) { 0 };
        return 0;
}
