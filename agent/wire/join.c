/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Join
 */

#include "agent/wire/join.h"

#include <assert.h>
#include <string.h>

#include "agent/wire/frame-internal.h"

void join_encode_request(Writer *w, const JoinRequest *request) {
        size_t at = frame_begin(w, JOIN_TYPE);

        writer_u32(w, request->version_min);
        writer_u32(w, request->version_max);
        writer_u32(w, request->feature_level);
        writer_bytes(w, request->cluster_id.bytes, sizeof(request->cluster_id.bytes));
        writer_bytes(w, request->disk_id.bytes, sizeof(request->disk_id.bytes));
        writer_bytes(w, request->secret, sizeof(request->secret));
        writer_string(w, request->name);
        writer_string(w, request->address);
        frame_end(w, at);
}

void join_encode_answer(Writer *w, const JoinAnswer *answer) {
        size_t at = frame_begin(w, answer->sid != 0 ? JOIN_TYPE_JOINED : answer->put_off ? JOIN_TYPE_PUT_OFF : JOIN_TYPE_REFUSED);

        if (answer->sid != 0) {
                writer_u32(w, answer->sid);
                writer_blob(w, answer->config, answer->config_size);
        } else
                frame_write_text(w, answer->text, JOIN_TEXT_BYTES_MAX);
        frame_end(w, at);
}

bool join_decode_header(const uint8_t header[static FRAME_HEADER_BYTES], bool answer, uint32_t *ret_size,
                        uint8_t *ret_type) {
        Reader r = READER_INIT(header, FRAME_HEADER_BYTES);
        uint32_t size = reader_u32(&r);
        uint8_t type = reader_u8(&r);

        for (unsigned i = 0; i < 3; i++)
                if (reader_u8(&r) != 0)
                        return false;

        if (answer ? type < JOIN_TYPE_JOINED || type > JOIN_TYPE_PUT_OFF || size > JOIN_ANSWER_BYTES_MAX
                   : type != JOIN_TYPE || size > JOIN_BODY_BYTES_MAX)
                return false;

        *ret_size = size;
        *ret_type = type;
        return true;
}

bool join_decode_request(const uint8_t *body, size_t size, JoinRequest *ret) {
        Reader r = READER_INIT(body, size);
        JoinRequest j = { 0 };
        const uint8_t *secret;

        j.version_min = reader_u32(&r);
        j.version_max = reader_u32(&r);
        j.feature_level = reader_u32(&r);
        frame_read_id(&r, &j.cluster_id);
        frame_read_id(&r, &j.disk_id);
        secret = reader_bytes(&r, sizeof(j.secret));
        if (secret)
                memcpy(j.secret, secret, sizeof(j.secret));
        j.name = frame_read_text(&r, ZAB_CONFIG_NAME_BYTES);
        j.address = frame_read_text(&r, ZAB_CONFIG_ADDRESS_BYTES);
        if (!reader_done(&r) || j.version_min > j.version_max)
                return false;

        *ret = j;
        return true;
}

bool join_decode_answer(uint8_t type, const uint8_t *body, size_t size, JoinAnswer *ret) {
        Reader r = READER_INIT(body, size);
        JoinAnswer a = { 0 };

        switch (type) {
        case JOIN_TYPE_JOINED:
                a.sid = reader_u32(&r);
                a.config = reader_blob(&r, FRAME_CONFIG_BYTES_MAX, &a.config_size);
                if (a.sid < 1 || a.sid > ZAB_CONFIG_MEMBERS_MAX)
                        return false;
                break;
        case JOIN_TYPE_PUT_OFF:
        case JOIN_TYPE_REFUSED:
                a.put_off = type == JOIN_TYPE_PUT_OFF;
                a.text = frame_read_text(&r, JOIN_TEXT_BYTES_MAX);
                break;
        default:
                return false;
        }
        if (!reader_done(&r))
                return false;

        *ret = a;
        return true;
}
