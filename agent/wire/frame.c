/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Frame
 *
 * Header and hello; and the one table that says which message carries what, so that writing and reading cannot differ.
 */

#include "agent/wire/frame.h"

#include <assert.h>
#include <string.h>

#include "agent/wire/frame-internal.h"

/* What each type carries after epoch and session, in the order of the bits.  A type without a line does not exist. */
static const struct {
        bool exists;
        unsigned fields;
} types[] = {
        [ZAB_MESSAGE_PREVOTE_REQUEST] = { true, FIELD_VOTE },
        [ZAB_MESSAGE_PREVOTE_RESPONSE] = { true, FIELD_VOTE },
        [ZAB_MESSAGE_VOTE_REQUEST] = { true, FIELD_VOTE },
        [ZAB_MESSAGE_VOTE_RESPONSE] = { true, FIELD_VOTE },
        [ZAB_MESSAGE_LEADER_HELLO] = { true, FIELD_HELLO },
        [ZAB_MESSAGE_REJECT] = { true, FIELD_INDEX },
        [ZAB_MESSAGE_SYNC_REQUEST] = { true, FIELD_SYNC },
        [ZAB_MESSAGE_TRUNC] = { true, FIELD_POSITION },
        [ZAB_MESSAGE_SNAP_BEGIN] = { true, FIELD_POSITION | FIELD_CONFIG },
        [ZAB_MESSAGE_SNAP_CHUNK] = { true, FIELD_INDEX | FIELD_BYTES },
        [ZAB_MESSAGE_SNAP_END] = { true, FIELD_INDEX | FIELD_DIGEST },
        [ZAB_MESSAGE_ENTRIES] = { true, FIELD_COMMIT | FIELD_ENTRIES },
        [ZAB_MESSAGE_NEWLEADER] = { true, FIELD_POSITION | FIELD_CONFIG },
        [ZAB_MESSAGE_ACK_NEWLEADER] = { true, FIELD_INDEX | FIELD_FLAG },
        [ZAB_MESSAGE_UPTODATE] = { true, FIELD_COMMIT },
        [ZAB_MESSAGE_PROGRESS] = { true, FIELD_INDEX | FIELD_FLAG },
        [ZAB_MESSAGE_ACK] = { true, FIELD_INDEX },
        [ZAB_MESSAGE_COMMIT] = { true, FIELD_COMMIT },
        [ZAB_MESSAGE_PING] = { true, FIELD_INDEX | FIELD_COMMIT | FIELD_TIME },
        [ZAB_MESSAGE_PONG] = { true, FIELD_INDEX | FIELD_TIME | FIELD_FLAG },
        [ZAB_MESSAGE_READ_REQUEST] = { true, FIELD_INDEX },
        [ZAB_MESSAGE_READ_OK] = { true, FIELD_INDEX | FIELD_COMMIT },
        [ZAB_MESSAGE_TIMEOUT_NOW] = { true, 0 },
        [ZAB_MESSAGE_LEAVE] = { true, FIELD_TEXT },
        [ZAB_MESSAGE_FEED_REQUEST] = { true, FIELD_POSITION },
        [ZAB_MESSAGE_FEED] = { true, FIELD_COMMIT | FIELD_ENTRIES },
        [ZAB_MESSAGE_FEED_ACK] = { true, FIELD_INDEX },
        [ZAB_MESSAGE_FEED_END] = { true, FIELD_TEXT },
        [ZAB_MESSAGE_FED] = { true, FIELD_INDEX | FIELD_FLAG },
        [MEMBER_MESSAGE_FORWARD] = { true, FIELD_NUMBER | FIELD_BYTES },
        [MEMBER_MESSAGE_REFUSED] = { true, FIELD_NUMBER | FIELD_STATUS },
        [MEMBER_MESSAGE_CHANGE] = { true, FIELD_NUMBER | FIELD_CHANGE },
        [MEMBER_MESSAGE_CHANGED] = { true, FIELD_NUMBER | FIELD_ZXID },
        [MEMBER_MESSAGE_KEEP] = { true, FIELD_SESSIONS },
        [MEMBER_MESSAGE_UNKEEP] = { true, FIELD_SESSIONS },
        [MEMBER_MESSAGE_TOUCH] = { true, FIELD_SESSIONS },
        [MEMBER_MESSAGE_DIGEST] = { true, FIELD_INDEX | FIELD_DIGEST },
        [MEMBER_MESSAGE_DIGEST_IS] = { true, FIELD_INDEX | FIELD_DIGEST },
        [MEMBER_MESSAGE_DIVERGED] = { true, FIELD_INDEX },
};

static bool type_exists(uint8_t type) {
        return type < G_N_ELEMENTS(types) && types[type].exists;
}

size_t frame_begin(Writer *w, uint8_t type) {
        size_t at = w->size;

        writer_u32(w, 0);
        writer_u8(w, type);
        for (unsigned i = 0; i < 3; i++)
                writer_u8(w, 0);
        return at;
}

void frame_end(Writer *w, size_t at) {
        size_t size = w->size - at - FRAME_HEADER_BYTES;
        uint32_t le = GUINT32_TO_LE((uint32_t) size);

        assert(size <= FRAME_BODY_BYTES_MAX);
        memcpy(w->data + at, &le, sizeof(le));
}

void frame_encode_hello(Writer *w, const FrameHello *hello) {
        size_t at = frame_begin(w, FRAME_TYPE_HELLO);

        writer_u32(w, hello->version_min);
        writer_u32(w, hello->version_max);
        writer_u32(w, hello->feature_level);
        writer_bytes(w, hello->cluster_id.bytes, sizeof(hello->cluster_id.bytes));
        writer_bytes(w, hello->disk_id.bytes, sizeof(hello->disk_id.bytes));
        writer_bytes(w, hello->incarnation.bytes, sizeof(hello->incarnation.bytes));
        writer_u32(w, hello->sid);
        writer_u64(w, hello->config_version);
        frame_write_hash(w, hello->config_digest);
        writer_string(w, hello->name);
        frame_end(w, at);
}

bool frame_decode_hello(const uint8_t *body, size_t size, FrameHello *ret) {
        Reader r = READER_INIT(body, size);
        FrameHello h = { 0 };

        h.version_min = reader_u32(&r);
        h.version_max = reader_u32(&r);
        h.feature_level = reader_u32(&r);
        frame_read_id(&r, &h.cluster_id);
        frame_read_id(&r, &h.disk_id);
        frame_read_id(&r, &h.incarnation);
        h.sid = reader_u32(&r);
        h.config_version = reader_u64(&r);
        frame_read_hash(&r, &h.config_digest);
        h.name = frame_read_text(&r, ZAB_CONFIG_NAME_BYTES);
        if (!reader_done(&r) || h.version_min > h.version_max || h.sid < 1 || h.sid > ZAB_CONFIG_MEMBERS_MAX)
                return false;

        *ret = h;
        return true;
}

void frame_encode(Writer *w, const PeerMessage *message) {
        uint8_t type = message->is_zab ? (uint8_t) message->zab.type : (uint8_t) message->member.type;
        size_t at;

        assert(type_exists(type));

        at = frame_begin(w, type);
        if (message->is_zab) {
                writer_u32(w, message->zab.epoch);
                writer_u64(w, message->zab.session);
                frame_write_zab(w, types[type].fields, &message->zab);
        } else {
                writer_u32(w, message->member.epoch);
                writer_u64(w, message->member.session);
                frame_write_member(w, types[type].fields, &message->member);
        }
        frame_end(w, at);
}

bool frame_decode_header(const uint8_t header[static FRAME_HEADER_BYTES], uint32_t *ret_size, uint8_t *ret_type) {
        Reader r = READER_INIT(header, FRAME_HEADER_BYTES);
        uint32_t size = reader_u32(&r);
        uint8_t type = reader_u8(&r);

        for (unsigned i = 0; i < 3; i++)
                if (reader_u8(&r) != 0)
                        return false;

        if (type == FRAME_TYPE_HELLO ? size > FRAME_HELLO_BYTES_MAX : !type_exists(type) || size > FRAME_BODY_BYTES_MAX)
                return false;

        *ret_size = size;
        *ret_type = type;
        return true;
}

bool frame_decode(uint8_t type, GBytes *body, FrameMessage *ret) {
        FrameMessage m = { .body = g_bytes_ref(body) };
        gsize size;
        const uint8_t *data = g_bytes_get_data(body, &size);
        Reader r = READER_INIT(data, size);
        uint32_t epoch = reader_u32(&r);
        uint64_t session = reader_u64(&r);

        if (!type_exists(type)) {
                g_bytes_unref(m.body);
                return false;
        }

        m.message.is_zab = type < MEMBER_MESSAGE_FORWARD;
        if (m.message.is_zab) {
                m.message.zab = (ZabMessage) { .type = type, .epoch = epoch, .session = session };
                frame_read_zab(&r, types[type].fields, &m);
        } else {
                m.message.member = (MemberMessage) { .type = type, .epoch = epoch, .session = session };
                frame_read_member(&r, types[type].fields, &m);
        }
        if (!reader_done(&r)) {
                frame_message_done(&m);
                return false;
        }

        *ret = m;
        return true;
}

void frame_message_done(FrameMessage *m) {
        for (unsigned i = 0; m->entries && i < m->message.zab.entries_count; i++)
                if (m->entries[i].payload)
                        g_bytes_unref(m->entries[i].payload);
        if (m->message.is_zab) {
                g_clear_pointer(&m->message.zab.config, g_bytes_unref);
                g_clear_pointer(&m->message.zab.bytes, g_bytes_unref);
                g_clear_pointer(&m->message.zab.hello.config, g_bytes_unref);
                g_clear_pointer(&m->message.zab.hello.pending_config, g_bytes_unref);
        } else
                g_clear_pointer(&m->message.member.payload, g_bytes_unref);
        g_clear_pointer(&m->entries, g_free);
        g_clear_pointer(&m->ends, g_free);
        g_clear_pointer(&m->sessions, g_free);
        g_clear_pointer(&m->body, g_bytes_unref);
}
