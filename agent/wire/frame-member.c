/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Frame: what a member's messages carry
 */

#include "agent/base/limits.h"
#include "agent/wire/frame-internal.h"

static void write_change(Writer *w, const MemberChange *c, Zxid base) {
        const ZabConfigMember *m = &c->member;

        writer_u8(w, (uint8_t) c->op);
        writer_u64(w, base);
        writer_u32(w, m->sid);
        writer_bytes(w, m->disk_id.bytes, sizeof(m->disk_id.bytes));
        writer_u8(w, (uint8_t) m->role);
        writer_string(w, m->name);
        writer_string(w, m->address);
        writer_blob(w, m->pin, m->pin_size);
}

static void read_change(Reader *r, MemberMessage *ret) {
        ZabConfigMember *m = &ret->change.member;
        size_t size = 0;

        ret->change.op = (MemberChangeOp) reader_u8(r);
        ret->base = reader_u64(r);
        m->sid = reader_u32(r);
        frame_read_id(r, &m->disk_id);
        m->role = (ZabMemberRole) reader_u8(r);
        m->name = frame_read_text(r, ZAB_CONFIG_NAME_BYTES);
        m->address = frame_read_text(r, ZAB_CONFIG_ADDRESS_BYTES);
        m->pin = reader_blob(r, ZAB_CONFIG_PIN_BYTES, &size);
        m->pin_size = (uint32_t) size;
        if (ret->change.op < MEMBER_CHANGE_ADD || ret->change.op >= _MEMBER_CHANGE_MAX ||
            m->sid > ZAB_CONFIG_MEMBERS_MAX || m->role > ZAB_MEMBER_OBSERVER)
                r->failed = true;
}

static void write_sessions(Writer *w, const uint64_t *sessions, unsigned count) {
        writer_u32(w, count);
        for (unsigned i = 0; i < count; i++)
                writer_u64(w, sessions[i]);
}

static void read_sessions(Reader *r, FrameMessage *m) {
        uint32_t count = reader_count(r, MEMBER_MESSAGE_SESSIONS_MAX, 8);

        if (r->failed)
                return;

        m->sessions = g_new(uint64_t, count);
        m->message.member.sessions = m->sessions;
        m->message.member.sessions_count = count;
        for (uint32_t i = 0; i < count; i++)
                m->sessions[i] = reader_u64(r);
}

void frame_write_member(Writer *w, unsigned fields, const MemberMessage *m) {
        if (fields & FIELD_INDEX)
                writer_u64(w, m->index);
        if (fields & FIELD_DIGEST)
                frame_write_hash(w, m->digest);
        if (fields & FIELD_NUMBER)
                writer_u64(w, m->number);
        if (fields & FIELD_BYTES)
                writer_blob(w, g_bytes_get_data(m->payload, NULL), g_bytes_get_size(m->payload));
        if (fields & FIELD_STATUS)
                writer_i32(w, m->status);
        if (fields & FIELD_CHANGE)
                write_change(w, &m->change, m->base);
        if (fields & FIELD_ZXID)
                writer_u64(w, m->zxid);
        if (fields & FIELD_SESSIONS)
                write_sessions(w, m->sessions, m->sessions_count);
}

void frame_read_member(Reader *r, unsigned fields, FrameMessage *m) {
        MemberMessage *p = &m->message.member;

        if (fields & FIELD_INDEX)
                p->index = reader_u64(r);
        if (fields & FIELD_DIGEST)
                frame_read_hash(r, &p->digest);
        if (fields & FIELD_NUMBER)
                p->number = reader_u64(r);
        if (fields & FIELD_BYTES)
                p->payload = frame_read_slice(r, m->body, LIMIT_REQUEST_BYTES);
        if (fields & FIELD_STATUS)
                p->status = (ConveneStatus) reader_i32(r);
        if (fields & FIELD_CHANGE)
                read_change(r, p);
        if (fields & FIELD_ZXID)
                p->zxid = reader_u64(r);
        if (fields & FIELD_SESSIONS)
                read_sessions(r, m);
}
