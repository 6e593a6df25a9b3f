/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Frame
 */

#include <string.h>

#include <glib.h>

#include "agent/base/limits.h"
#include "agent/wire/frame.h"
#include "agent/wire/join.h"

static uint8_t pin[ZAB_CONFIG_PIN_BYTES] = "two pins of thirty-two bytes, one after the other, make sixty-";
static const uint64_t sessions[] = { 1, UINT64_MAX, 0x0123456789abcdef };
static const ZabEpochEnd ends[] = { { 1, 7 }, { 3, UINT32_MAX }, { 9, 0 } };

static GBytes *bytes_of(const char *text) {
        return g_bytes_new(text, strlen(text));
}

static ZabPosition position(uint64_t n) {
        return (ZabPosition) { n, n << 32 | 5, { n * 3, n * 7 } };
}

/* Every field has a value of its own: one that is not carried, or lands elsewhere, shows. */
static ZabMessage zab_message(ZabMessageType type, ZabEntry entries[static 2]) {
        entries[0] = (ZabEntry) { 41, 42, 43, { 44, 45 }, ZAB_ENTRY_REQUEST, -46, bytes_of("a request") };
        entries[1] = (ZabEntry) { 51, 52, 53, { 54, 55 }, ZAB_ENTRY_CONFIG, 56, bytes_of("") };
        return (ZabMessage) {
                .type = type, .epoch = 11, .session = 12, .index = 13, .commit = 14, .time_usec = 15, .flag = true,
                .position = position(16), .digest = { 17, 18 }, .config = bytes_of("config"), .bytes = bytes_of("chunk"),
                .entries = entries, .entries_count = 2,
                .vote = { 21, 22, position(23), 24, 25, 26, true },
                .hello = { true, bytes_of("committed"), bytes_of("pending") },
                .sync = { 31, position(32), 33, 34, true, ends, G_N_ELEMENTS(ends) },
                .text = "it is time to go \xe2\x80\xa6",
        };
}

static MemberMessage member_message(MemberMessageType type) {
        return (MemberMessage) {
                .type = type, .epoch = 61, .session = 62, .number = 63, .payload = bytes_of("an update"),
                .status = CONVENE_NOT_READY,
                .change = { MEMBER_CHANGE_REPLACE,
                            { 255, { "0123456789abcde" }, ZAB_MEMBER_OBSERVER, "web1", "[2001:db8::1]:7181", pin, sizeof(pin) } },
                .base = 64, .zxid = 65, .sessions = sessions, .sessions_count = G_N_ELEMENTS(sessions), .index = 66,
                .digest = { 67, 68 },
        };
}

static void message_done(PeerMessage *m) {
        if (!m->is_zab) {
                g_bytes_unref(m->member.payload);
                return;
        }
        for (unsigned i = 0; i < 2; i++)
                g_bytes_unref(m->zab.entries[i].payload);
        g_bytes_unref(m->zab.config);
        g_bytes_unref(m->zab.bytes);
        g_bytes_unref(m->zab.hello.config);
        g_bytes_unref(m->zab.hello.pending_config);
}

typedef void (*Visit)(const PeerMessage *original, uint8_t type, const uint8_t *body, size_t size);

static void each_type(Visit visit) {
        unsigned types = 0;

        for (unsigned type = 1; type < _MEMBER_MESSAGE_MAX; type++) {
                ZabEntry entries[2];
                PeerMessage m = { .is_zab = type < _ZAB_MESSAGE_MAX };
                g_auto(Writer) w = WRITER_INIT;
                uint8_t found;
                uint32_t size;

                if (type >= _ZAB_MESSAGE_MAX && type < MEMBER_MESSAGE_FORWARD)
                        continue;
                if (m.is_zab)
                        m.zab = zab_message(type, entries);
                else
                        m.member = member_message(type);

                frame_encode(&w, &m);
                g_assert_true(frame_decode_header(w.data, &size, &found));
                g_assert_cmpuint(found, ==, type);
                g_assert_cmpuint(size, ==, w.size - FRAME_HEADER_BYTES);
                visit(&m, found, w.data + FRAME_HEADER_BYTES, size);
                message_done(&m);
                types++;
        }
        g_assert_cmpuint(types, ==, 39);
}

static bool decodes(uint8_t type, const void *data, size_t size) {
        g_autoptr(GBytes) body = g_bytes_new(data, size);
        FrameMessage m;

        if (!frame_decode(type, body, &m))
                return false;
        frame_message_done(&m);
        return true;
}

static void visit_round_trip(const PeerMessage *original, uint8_t type, const uint8_t *data, size_t size) {
        g_autoptr(GBytes) body = g_bytes_new(data, size);
        g_auto(Writer) again = WRITER_INIT;
        FrameMessage m;

        g_assert_true(frame_decode(type, body, &m));
        g_assert_true(m.message.is_zab == original->is_zab);
        frame_encode(&again, &m.message);
        g_assert_cmpmem(again.data + FRAME_HEADER_BYTES, again.size - FRAME_HEADER_BYTES, data, size);
        frame_message_done(&m);
        frame_message_done(&m);         /* once more does no harm */
}

static void test_round_trip(void) {
        each_type(visit_round_trip);
}

static void visit_truncated(const PeerMessage *original, uint8_t type, const uint8_t *data, size_t size) {
        g_autofree uint8_t *longer = g_malloc0(size + 1);

        for (size_t n = 0; n < size; n++)
                g_assert_false(decodes(type, data, n));

        memcpy(longer, data, size);
        g_assert_false(decodes(type, longer, size + 1));
        g_assert_true(decodes(type, longer, size));
}

static void test_truncated(void) {
        each_type(visit_truncated);
}

static FrameMessage decode_of(const PeerMessage *m, GBytes **ret_body) {
        g_auto(Writer) w = WRITER_INIT;
        FrameMessage f;

        frame_encode(&w, m);
        *ret_body = g_bytes_new(w.data + FRAME_HEADER_BYTES, w.size - FRAME_HEADER_BYTES);
        g_assert_true(frame_decode(w.data[4], *ret_body, &f));
        return f;
}

static void assert_position(const ZabPosition *a, const ZabPosition *b) {
        g_assert_cmpuint(a->index, ==, b->index);
        g_assert_cmpuint(a->zxid, ==, b->zxid);
        g_assert_true(hash128_equal(a->chain, b->chain));
}

static void assert_text(GBytes *b, const char *text) {
        g_assert_nonnull(b);
        g_assert_cmpmem(g_bytes_get_data(b, NULL), g_bytes_get_size(b), text, strlen(text));
}

static void test_fields_of_sessions(void) {
        g_autoptr(GBytes) body = NULL, body2 = NULL, body3 = NULL;
        ZabEntry entries[2], more[2], rest[2];
        PeerMessage m = { true, .zab = zab_message(ZAB_MESSAGE_ENTRIES, entries) };
        PeerMessage s = { true, .zab = zab_message(ZAB_MESSAGE_SYNC_REQUEST, more) };
        PeerMessage b = { true, .zab = zab_message(ZAB_MESSAGE_SNAP_BEGIN, rest) };
        FrameMessage f = decode_of(&m, &body), g = decode_of(&s, &body2), h = decode_of(&b, &body3);
        const ZabMessage *z = &f.message.zab;

        g_assert_cmpuint(z->epoch, ==, 11);
        g_assert_cmpuint(z->session, ==, 12);
        g_assert_cmpuint(z->commit, ==, 14);
        g_assert_cmpuint(z->entries_count, ==, 2);
        g_assert_cmpuint(z->entries[0].index, ==, 41);
        g_assert_cmpuint(z->entries[0].zxid, ==, 42);
        g_assert_cmpuint(z->entries[0].prev_zxid, ==, 43);
        g_assert_true(hash128_equal(z->entries[0].chain, entries[0].chain));
        g_assert_cmpint(z->entries[0].time_msec, ==, -46);
        assert_text(z->entries[0].payload, "a request");
        g_assert_cmpint(z->entries[1].type, ==, ZAB_ENTRY_CONFIG);
        assert_text(z->entries[1].payload, "");

        z = &g.message.zab;
        g_assert_cmpuint(z->sync.current_epoch, ==, 31);
        assert_position(&z->sync.last, &s.zab.sync.last);
        g_assert_cmpuint(z->sync.base_index, ==, 33);
        g_assert_cmpuint(z->sync.base_zxid, ==, 34);
        g_assert_true(z->sync.snap_only);
        g_assert_cmpuint(z->sync.ends_count, ==, 3);
        g_assert_cmpmem(z->sync.ends, sizeof(ends), ends, sizeof(ends));

        assert_position(&h.message.zab.position, &b.zab.position);
        assert_text(h.message.zab.config, "config");

        frame_message_done(&f);
        frame_message_done(&g);
        frame_message_done(&h);
        message_done(&m);
        message_done(&s);
        message_done(&b);
}

static void test_fields_of_election(void) {
        g_autoptr(GBytes) body = NULL, body2 = NULL;
        ZabEntry entries[2], more[2];
        PeerMessage m = { true, .zab = zab_message(ZAB_MESSAGE_VOTE_RESPONSE, entries) };
        PeerMessage n = { true, .zab = zab_message(ZAB_MESSAGE_LEADER_HELLO, more) };
        FrameMessage f = decode_of(&m, &body), g;
        const ZabVote *v = &f.message.zab.vote;

        g_assert_cmpuint(v->accepted_epoch, ==, 21);
        g_assert_cmpuint(v->current_epoch, ==, 22);
        assert_position(&v->last, &m.zab.vote.last);
        g_assert_cmpuint(v->commit_index, ==, 24);
        g_assert_cmpuint(v->commit_zxid, ==, 25);
        g_assert_cmpuint(v->transfer_epoch, ==, 26);
        g_assert_true(v->granted);
        frame_message_done(&f);

        g_clear_pointer(&n.zab.hello.pending_config, g_bytes_unref);
        g = decode_of(&n, &body2);
        g_assert_true(g.message.zab.hello.established);
        assert_text(g.message.zab.hello.config, "committed");
        g_assert_null(g.message.zab.hello.pending_config);
        frame_message_done(&g);
        n.zab.hello.pending_config = bytes_of("");
        message_done(&m);
        message_done(&n);
}

static void test_fields_of_members(void) {
        g_autoptr(GBytes) body = NULL, body2 = NULL;
        PeerMessage m = { false, .member = member_message(MEMBER_MESSAGE_CHANGE) };
        PeerMessage n = { false, .member = member_message(MEMBER_MESSAGE_KEEP) };
        FrameMessage f = decode_of(&m, &body), g = decode_of(&n, &body2);
        const MemberMessage *c = &f.message.member;

        g_assert_cmpuint(c->number, ==, 63);
        g_assert_cmpuint(c->base, ==, 64);
        g_assert_cmpint(c->change.op, ==, MEMBER_CHANGE_REPLACE);
        g_assert_cmpuint(c->change.member.sid, ==, 255);
        g_assert_cmpmem(c->change.member.disk_id.bytes, 16, "0123456789abcde", 16);
        g_assert_cmpint(c->change.member.role, ==, ZAB_MEMBER_OBSERVER);
        g_assert_cmpstr(c->change.member.name, ==, "web1");
        g_assert_cmpstr(c->change.member.address, ==, "[2001:db8::1]:7181");
        g_assert_cmpmem(c->change.member.pin, c->change.member.pin_size, pin, sizeof(pin));

        g_assert_cmpmem(g.message.member.sessions, g.message.member.sessions_count * 8, sessions, sizeof(sessions));
        frame_message_done(&f);
        frame_message_done(&g);
        message_done(&m);
        message_done(&n);
}

/* epoch, session, then what the case puts there */
static bool decodes_raw(uint8_t type, const Writer *w) {
        g_auto(Writer) body = WRITER_INIT;

        writer_u32(&body, 1);
        writer_u64(&body, 2);
        writer_bytes(&body, w->data, w->size);
        return decodes(type, body.data, body.size);
}

static void test_counts(void) {
        static const uint32_t counts[] = { 3, 64, 65, 1024, 1025, 4097, INT32_MAX, UINT32_MAX / 8 + 1, UINT32_MAX };

        for (unsigned i = 0; i < G_N_ELEMENTS(counts); i++) {
                g_auto(Writer) entries = WRITER_INIT, keep = WRITER_INIT, chunk = WRITER_INIT;

                writer_u64(&entries, 9);
                writer_u32(&entries, counts[i]);
                g_assert_false(decodes_raw(ZAB_MESSAGE_ENTRIES, &entries));
                writer_u32(&keep, counts[i]);
                g_assert_false(decodes_raw(MEMBER_MESSAGE_KEEP, &keep));
                writer_u64(&chunk, 0);
                writer_u32(&chunk, counts[i]);
                g_assert_false(decodes_raw(ZAB_MESSAGE_SNAP_CHUNK, &chunk));
        }
}

/* The most that is allowed is taken, one more is not. */
static void test_limits(void) {
        g_auto(Writer) keep = WRITER_INIT, more = WRITER_INIT, forward = WRITER_INIT, large = WRITER_INIT;
        g_autofree uint8_t *data = g_malloc0(LIMIT_REQUEST_BYTES + 1);

        writer_u32(&keep, MEMBER_MESSAGE_SESSIONS_MAX);
        memset(writer_reserve(&keep, MEMBER_MESSAGE_SESSIONS_MAX * 8), 1, MEMBER_MESSAGE_SESSIONS_MAX * 8);
        g_assert_true(decodes_raw(MEMBER_MESSAGE_KEEP, &keep));
        writer_u32(&more, MEMBER_MESSAGE_SESSIONS_MAX + 1);
        memset(writer_reserve(&more, (MEMBER_MESSAGE_SESSIONS_MAX + 1) * 8), 1, (MEMBER_MESSAGE_SESSIONS_MAX + 1) * 8);
        g_assert_false(decodes_raw(MEMBER_MESSAGE_KEEP, &more));

        writer_u64(&forward, 1);
        writer_blob(&forward, data, LIMIT_REQUEST_BYTES);
        g_assert_true(decodes_raw(MEMBER_MESSAGE_FORWARD, &forward));
        writer_u64(&large, 1);
        writer_blob(&large, data, LIMIT_REQUEST_BYTES + 1);
        g_assert_false(decodes_raw(MEMBER_MESSAGE_FORWARD, &large));
}

static void test_values(void) {
        g_auto(Writer) flag = WRITER_INIT, latin = WRITER_INIT, nul = WRITER_INIT, descending = WRITER_INIT;

        writer_u64(&flag, 1);
        writer_u8(&flag, 2);
        g_assert_false(decodes_raw(ZAB_MESSAGE_PROGRESS, &flag));
        flag.data[8] = 1;
        g_assert_true(decodes_raw(ZAB_MESSAGE_PROGRESS, &flag));

        writer_string(&latin, "caf\xe9");
        g_assert_false(decodes_raw(ZAB_MESSAGE_LEAVE, &latin));
        writer_blob(&nul, "a\0b", 3);
        writer_u8(&nul, 0);
        g_assert_false(decodes_raw(ZAB_MESSAGE_LEAVE, &nul));

        /* epochs of a log ascend */
        memset(writer_reserve(&descending, 4 + 32 + 8 + 8 + 1), 0, 4 + 32 + 8 + 8 + 1);
        writer_u32(&descending, 2);
        for (unsigned i = 0; i < 4; i++)
                writer_u32(&descending, 7);
        g_assert_false(decodes_raw(ZAB_MESSAGE_SYNC_REQUEST, &descending));
        descending.data[descending.size - 8] = 8;
        g_assert_true(decodes_raw(ZAB_MESSAGE_SYNC_REQUEST, &descending));
}

/* What is said in words is cut rather than refused by the other side. */
static void test_long_text(void) {
        g_autofree char *text = g_strnfill(511, 'x'), *longer = g_strconcat(text, "\xe2\x80\xa6", NULL);
        PeerMessage m = { true, .zab = { .type = ZAB_MESSAGE_LEAVE, .text = longer } };
        g_autoptr(GBytes) body = NULL;
        FrameMessage f = decode_of(&m, &body);

        g_assert_cmpstr(f.message.zab.text, ==, text);
        frame_message_done(&f);
}

static bool header_is_valid(uint32_t size, uint8_t type, uint8_t zero) {
        g_auto(Writer) w = WRITER_INIT;
        uint32_t found_size = 0;
        uint8_t found_type = 0;
        bool valid;

        writer_u32(&w, size);
        writer_u8(&w, type);
        writer_u8(&w, 0);
        writer_u8(&w, zero);
        writer_u8(&w, 0);
        valid = frame_decode_header(w.data, &found_size, &found_type);
        if (valid) {
                g_assert_cmpuint(found_size, ==, size);
                g_assert_cmpuint(found_type, ==, type);
        }
        return valid;
}

static void test_header(void) {
        g_assert_true(header_is_valid(0, ZAB_MESSAGE_PING, 0));
        g_assert_true(header_is_valid(FRAME_BODY_BYTES_MAX, ZAB_MESSAGE_ENTRIES, 0));
        g_assert_false(header_is_valid(FRAME_BODY_BYTES_MAX + 1, ZAB_MESSAGE_ENTRIES, 0));
        g_assert_false(header_is_valid(UINT32_MAX, ZAB_MESSAGE_ENTRIES, 0));
        g_assert_false(header_is_valid(0, ZAB_MESSAGE_PING, 1));
        g_assert_true(header_is_valid(FRAME_HELLO_BYTES_MAX, FRAME_TYPE_HELLO, 0));
        g_assert_false(header_is_valid(FRAME_HELLO_BYTES_MAX + 1, FRAME_TYPE_HELLO, 0));
        for (unsigned type = 0; type < 256; type++)
                g_assert_true(header_is_valid(12, (uint8_t) type, 0) ==
                              (type <= ZAB_MESSAGE_FED ||
                               (type >= MEMBER_MESSAGE_FORWARD && type <= MEMBER_MESSAGE_DIVERGED)));
        for (unsigned type = 0; type < 256; type++)
                if (!header_is_valid(12, (uint8_t) type, 0))
                        g_assert_false(decodes((uint8_t) type, "0123456789ab", 12));
}

static void test_hello(void) {
        const FrameHello h = { 1, 3, 2, { "cluster" }, { "disk" }, { "run" }, 255, 77, { 78, 79 }, "web1" };
        g_auto(Writer) w = WRITER_INIT;
        uint8_t *body;
        FrameHello g;
        uint32_t size;
        uint8_t type;

        frame_encode_hello(&w, &h);
        g_assert_true(frame_decode_header(w.data, &size, &type));
        g_assert_cmpuint(type, ==, FRAME_TYPE_HELLO);
        g_assert_cmpuint(size, ==, w.size - FRAME_HEADER_BYTES);
        body = w.data + FRAME_HEADER_BYTES;
        g_assert_true(frame_decode_hello(body, size, &g));
        g_assert_cmpuint(g.version_min, ==, 1);
        g_assert_cmpuint(g.version_max, ==, 3);
        g_assert_cmpuint(g.feature_level, ==, 2);
        g_assert_cmpmem(&g.cluster_id, 16, &h.cluster_id, 16);
        g_assert_cmpmem(&g.disk_id, 16, &h.disk_id, 16);
        g_assert_cmpmem(&g.incarnation, 16, &h.incarnation, 16);
        g_assert_cmpuint(g.sid, ==, 255);
        g_assert_cmpuint(g.config_version, ==, 77);
        g_assert_true(hash128_equal(g.config_digest, h.config_digest));
        g_assert_cmpstr(g.name, ==, "web1");

        for (uint32_t n = 0; n < size; n++)
                g_assert_false(frame_decode_hello(body, n, &g));
        writer_u8(&w, 0);
        body = w.data + FRAME_HEADER_BYTES;
        g_assert_false(frame_decode_hello(body, size + 1, &g));
        body[0] = 4;                    /* above version_max */
        g_assert_false(frame_decode_hello(body, size, &g));
        body[0] = 1;
        body[60] = 0;                   /* no such sid */
        g_assert_false(frame_decode_hello(body, size, &g));
}

static void test_join(void) {
        const JoinRequest request = { 1, 2, 3, { "cluster" }, { "disk" }, "fifteen letters", "web4", "192.0.2.4:2890" };
        g_auto(Writer) w = WRITER_INIT;
        JoinRequest r;
        uint32_t size;
        uint8_t type;

        join_encode_request(&w, &request);
        g_assert_true(join_decode_header(w.data, false, &size, &type));
        g_assert_false(join_decode_header(w.data, true, &size, &type));
        g_assert_false(frame_decode_header(w.data, &size, &type));
        g_assert_true(join_decode_request(w.data + FRAME_HEADER_BYTES, size, &r));
        g_assert_cmpuint(r.version_min, ==, 1);
        g_assert_cmpuint(r.version_max, ==, 2);
        g_assert_cmpuint(r.feature_level, ==, 3);
        g_assert_cmpmem(&r.cluster_id, 16, &request.cluster_id, 16);
        g_assert_cmpmem(&r.disk_id, 16, &request.disk_id, 16);
        g_assert_cmpmem(r.secret, 16, request.secret, 16);
        g_assert_cmpstr(r.name, ==, "web4");
        g_assert_cmpstr(r.address, ==, "192.0.2.4:2890");
        for (uint32_t n = 0; n < size; n++)
                g_assert_false(join_decode_request(w.data + FRAME_HEADER_BYTES, n, &r));
        writer_u8(&w, 0);
        g_assert_false(join_decode_request(w.data + FRAME_HEADER_BYTES, size + 1, &r));

        w.data[0] = 1;                  /* beyond the limit: 2049 */
        w.data[1] = 8;
        g_assert_false(join_decode_header(w.data, false, &size, &type));
}

static void test_join_answer(void) {
        const JoinAnswer yes = { .sid = 4, .config = pin, .config_size = sizeof(pin) }, no = { .text = "the token is used" };
        g_auto(Writer) w = WRITER_INIT, x = WRITER_INIT;
        JoinAnswer a;
        uint32_t size;
        uint8_t type;

        join_encode_answer(&w, &yes);
        g_assert_true(join_decode_header(w.data, true, &size, &type));
        g_assert_true(join_decode_answer(type, w.data + FRAME_HEADER_BYTES, size, &a));
        g_assert_cmpuint(a.sid, ==, 4);
        g_assert_cmpmem(a.config, a.config_size, pin, sizeof(pin));
        for (uint32_t n = 0; n < size; n++)
                g_assert_false(join_decode_answer(type, w.data + FRAME_HEADER_BYTES, n, &a));
        w.data[FRAME_HEADER_BYTES] = 0;         /* sid 0 is nobody */
        g_assert_false(join_decode_answer(type, w.data + FRAME_HEADER_BYTES, size, &a));

        join_encode_answer(&x, &no);
        g_assert_true(join_decode_header(x.data, true, &size, &type));
        g_assert_true(join_decode_answer(type, x.data + FRAME_HEADER_BYTES, size, &a));
        g_assert_cmpuint(a.sid, ==, 0);
        g_assert_cmpstr(a.text, ==, "the token is used");
        g_assert_false(a.put_off);

        x.size = 0;
        join_encode_answer(&x, &(const JoinAnswer) { .put_off = true, .text = "no leader" });
        g_assert_true(join_decode_header(x.data, true, &size, &type));
        g_assert_true(join_decode_answer(type, x.data + FRAME_HEADER_BYTES, size, &a));
        g_assert_cmpuint(a.sid, ==, 0);
        g_assert_cmpstr(a.text, ==, "no leader");
        g_assert_true(a.put_off);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/frame/round-trip", test_round_trip);
        g_test_add_func("/frame/truncated", test_truncated);
        g_test_add_func("/frame/fields/session", test_fields_of_sessions);
        g_test_add_func("/frame/fields/election", test_fields_of_election);
        g_test_add_func("/frame/fields/member", test_fields_of_members);
        g_test_add_func("/frame/counts", test_counts);
        g_test_add_func("/frame/limits", test_limits);
        g_test_add_func("/frame/values", test_values);
        g_test_add_func("/frame/long-text", test_long_text);
        g_test_add_func("/frame/header", test_header);
        g_test_add_func("/frame/hello", test_hello);
        g_test_add_func("/frame/join", test_join);
        g_test_add_func("/frame/join-answer", test_join_answer);
        return g_test_run();
}
