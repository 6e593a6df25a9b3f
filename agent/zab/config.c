/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Config
 */

#include "agent/zab/config.h"

#include <assert.h>
#include <string.h>

#include "agent/base/reader.h"
#include "agent/base/writer.h"

#define CONFIG_FORMAT 1
#define CONFIG_FORMAT_LEVEL 2

/* sid, disk id, role, two empty strings, an empty pin */
#define MEMBER_BYTES_MIN (4 + sizeof(Id128) + 1 + 5 + 5 + 4)

static bool text_is_valid(const char *s, size_t size_max) {
        return s && strnlen(s, size_max + 1) <= size_max && g_utf8_validate(s, -1, NULL);
}

static bool member_is_valid(const ZabConfigMember *m, uint32_t sid_before) {
        return m->sid > sid_before && m->sid <= ZAB_CONFIG_MEMBERS_MAX &&
                (m->role == ZAB_MEMBER_VOTER || m->role == ZAB_MEMBER_OBSERVER) &&
                text_is_valid(m->name, ZAB_CONFIG_NAME_BYTES) &&
                text_is_valid(m->address, ZAB_CONFIG_ADDRESS_BYTES) &&
                m->pin_size <= ZAB_CONFIG_PIN_BYTES;
}

static bool members_are_valid(const ZabConfigMember *members, unsigned members_count) {
        bool voter = false;
        uint32_t sid = 0;

        for (unsigned i = 0; i < members_count; i++) {
                if (!member_is_valid(&members[i], sid))
                        return false;

                sid = members[i].sid;
                voter = voter || members[i].role == ZAB_MEMBER_VOTER;
        }

        return voter;
}

static void member_encode(const ZabConfigMember *m, Writer *w) {
        writer_u32(w, m->sid);
        writer_bytes(w, m->disk_id.bytes, sizeof(m->disk_id.bytes));
        writer_u8(w, (uint8_t) m->role);
        writer_string(w, m->name);
        writer_string(w, m->address);
        writer_blob(w, m->pin, m->pin_size);
}

GBytes *zab_config_encode(const ZabConfigMember *members, unsigned members_count) {
        return zab_config_encode_at(members, members_count, 1);
}

GBytes *zab_config_encode_at(const ZabConfigMember *members, unsigned members_count, uint32_t feature_level) {
        g_auto(Writer) w = WRITER_INIT;

        assert(members_are_valid(members, members_count));
        assert(feature_level >= 1);

        writer_u8(&w, feature_level > 1 ? CONFIG_FORMAT_LEVEL : CONFIG_FORMAT);
        if (feature_level > 1)
                writer_u32(&w, feature_level);
        writer_u32(&w, members_count);
        for (unsigned i = 0; i < members_count; i++)
                member_encode(&members[i], &w);

        return writer_to_bytes(&w);
}

static void member_decode(Reader *r, ZabConfigMember *m) {
        const uint8_t *disk_id;
        size_t pin_size;

        m->sid = reader_u32(r);
        disk_id = reader_bytes(r, sizeof(m->disk_id.bytes));
        if (disk_id)
                memcpy(m->disk_id.bytes, disk_id, sizeof(m->disk_id.bytes));
        m->role = reader_u8(r);
        m->name = reader_string(r, ZAB_CONFIG_NAME_BYTES);
        m->address = reader_string(r, ZAB_CONFIG_ADDRESS_BYTES);
        m->pin = reader_blob(r, ZAB_CONFIG_PIN_BYTES, &pin_size);
        m->pin_size = (uint32_t) pin_size;
}

ZabConfig *zab_config_decode(GBytes *bytes, Zxid version) {
        g_autofree ZabConfigMember *members = NULL;
        size_t size;
        const uint8_t *data = g_bytes_get_data(bytes, &size);
        uint32_t count, feature_level = 1;
        ZabConfig *c;
        uint8_t format;
        Reader r;

        if (size == 0)          /* then there may be no data either */
                return NULL;

        r = READER_INIT(data, size);
        format = reader_u8(&r);
        if (format == CONFIG_FORMAT_LEVEL) {
                feature_level = reader_u32(&r);
                if (feature_level < 2)
                        return NULL;
        } else if (format != CONFIG_FORMAT)
                return NULL;

        count = reader_count(&r, ZAB_CONFIG_MEMBERS_MAX, MEMBER_BYTES_MIN);
        members = g_new0(ZabConfigMember, count);
        for (uint32_t i = 0; i < count; i++)
                member_decode(&r, &members[i]);

        if (!reader_done(&r) || !members_are_valid(members, count))
                return NULL;

        c = g_new(ZabConfig, 1);
        *c = (ZabConfig) {
                .refs = 1,
                .version = version,
                .bytes = g_bytes_ref(bytes),
                .members = g_steal_pointer(&members),
                .members_count = count,
                .feature_level = feature_level,
        };
        return c;
}

ZabConfig *zab_config_ref(ZabConfig *c) {
        assert(c->refs > 0);

        c->refs++;
        return c;
}

void zab_config_unref(ZabConfig *c) {
        if (!c)
                return;

        assert(c->refs > 0);
        if (--c->refs > 0)
                return;

        g_bytes_unref(c->bytes);
        g_free(c->members);
        g_free(c);
}

const ZabConfigMember *zab_config_find(const ZabConfig *c, uint32_t sid) {
        for (unsigned i = 0; i < c->members_count; i++)
                if (c->members[i].sid == sid)
                        return &c->members[i];

        return NULL;
}

bool zab_config_has_voter(const ZabConfig *c, uint32_t sid, const Id128 *disk_id) {
        const ZabConfigMember *m = zab_config_find(c, sid);

        return m && m->role == ZAB_MEMBER_VOTER &&
                memcmp(m->disk_id.bytes, disk_id->bytes, sizeof(disk_id->bytes)) == 0;
}

unsigned zab_config_voters(const ZabConfig *c) {
        unsigned n = 0;

        for (unsigned i = 0; i < c->members_count; i++)
                n += c->members[i].role == ZAB_MEMBER_VOTER;

        return n;
}

unsigned zab_config_quorum(const ZabConfig *c) {
        return zab_config_voters(c) / 2 + 1;
}
