/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Join
 */

#include "agent/peer/join.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "agent/net/address.h"
#include "agent/net/socket.h"
#include "agent/net/stream.h"

#define ANSWER_USEC UINT64_C(75000000)          /* a member takes up to a minute */

struct PeerJoiner {
        sd_event *event;
        NetKey *key;
        Writer request;                 /* the whole frame */
        PeerTokenMember members[PEER_TOKEN_MEMBERS_MAX];
        unsigned members_count, at;     /* members[at] is asked now */
        uint64_t answer_usec;
        PeerJoinerHandler handler;
        NetStream *stream;
        bool other_key;                 /* than the token says */
        bool put_off;                   /* by one of those asked so far */
        sd_event_source *next;          /* to go on to the next member */
        sd_event_source *deadline;
        GString *errors;
};

static bool on_verify(void *userdata, const uint8_t pin[static NET_PIN_BYTES]) {
        PeerJoiner *j = userdata;

        j->other_key = memcmp(j->members[j->at].pin, pin, NET_PIN_BYTES) != 0;
        if (j->other_key)
                return false;

        (void) net_stream_write(j->stream, j->request.data, j->request.size);
        net_stream_set_input_max(j->stream, FRAME_HEADER_BYTES + JOIN_ANSWER_BYTES_MAX);
        return true;
}

/* On to the next one, from the loop. */
static void give_up_on(PeerJoiner *j, const char *reason) {
        if (!j->errors->len)
                g_string_append_printf(j->errors, "%s: %s", j->members[j->at].address, reason);
        else
                g_string_append_printf(j->errors, "; %s: %s", j->members[j->at].address, reason);
        j->stream = net_stream_free(j->stream);
        (void) sd_event_source_set_enabled(j->deadline, SD_EVENT_OFF);
        j->at++;
        (void) sd_event_source_set_enabled(j->next, SD_EVENT_ONESHOT);
}

static void on_answer(PeerJoiner *j, const JoinAnswer *a) {
        const PeerJoinerHandler h = j->handler;
        g_autoptr(GBytes) config = a->sid != 0 ? g_bytes_new(a->config, a->config_size) : NULL;
        g_autofree char *text = g_strdup(a->text);

        /* Who has put it off may have used the token up for it already, or be about to: then the others' no is not the last word. */
        j->put_off = j->put_off || a->put_off;
        if (a->sid == 0 && j->put_off) {
                give_up_on(j, text);
                return;
        }
        j->stream = net_stream_free(j->stream);
        (void) sd_event_source_set_enabled(j->deadline, SD_EVENT_OFF);
        if (config)
                h.joined(h.userdata, a->sid, config);
        else
                h.failed(h.userdata, true, text);
}

static ssize_t on_bytes(void *userdata, const uint8_t *data, size_t size) {
        PeerJoiner *j = userdata;
        uint32_t body;
        JoinAnswer a;
        uint8_t type;

        if (size < FRAME_HEADER_BYTES)
                return 0;
        if (!join_decode_header(data, true, &body, &type))
                return -1;
        if (size - FRAME_HEADER_BYTES < body)
                return 0;
        if (!join_decode_answer(type, data + FRAME_HEADER_BYTES, body, &a))
                return -1;

        on_answer(j, &a);
        return (ssize_t) size;
}

static void on_closed(void *userdata, const char *reason) {
        PeerJoiner *j = userdata;

        give_up_on(j, j->other_key ? "another key than the token says: not the member that made it" : reason);
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        give_up_on(userdata, "no answer");
        return 0;
}

static int ask(PeerJoiner *j) {
        const NetStreamHandler handler = { on_verify, on_bytes, on_closed, j };
        NetAddress address;
        int fd, r;

        if (!net_address_parse(j->members[j->at].address, &address))
                return -EINVAL;
        r = net_dial(&address, &fd);
        if (r < 0)
                return r;
        j->other_key = false;
        j->stream = net_stream_new(j->event, fd, j->key, &(const NetStreamOptions) { 0 }, &handler);
        if (!j->stream)
                return -ENOMEM;
        r = sd_event_source_set_time_relative(j->deadline, j->answer_usec);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(j->deadline, SD_EVENT_ONESHOT);
}

static int on_next(sd_event_source *source, void *userdata) {
        PeerJoiner *j = userdata;
        int r;

        if (j->at >= j->members_count) {
                g_autofree char *text = g_strdup(j->errors->str);

                j->handler.failed(j->handler.userdata, false, text);
                return 0;
        }

        r = ask(j);
        if (r < 0)
                give_up_on(j, g_strerror(-r));
        return 0;
}

PeerJoiner *peer_joiner_new(sd_event *event, NetKey *key, const PeerToken *token, const PeerJoinerOptions *options,
                            const PeerJoinerHandler *handler) {
        PeerJoiner *j = g_new0(PeerJoiner, 1);
        JoinRequest r = {
                .version_min = options->version_min ?: FRAME_VERSION, .version_max = options->version_max ?: FRAME_VERSION,
                .feature_level = options->feature_level, .cluster_id = token->cluster_id, .disk_id = options->disk_id,
                .name = options->name, .address = options->address,
        };

        memcpy(r.secret, token->secret, sizeof(r.secret));
        join_encode_request(&j->request, &r);
        explicit_bzero(&r, sizeof(r));

        j->event = sd_event_ref(event);
        j->key = net_key_ref(key);
        j->handler = *handler;
        j->answer_usec = options->answer_usec ?: ANSWER_USEC;
        j->errors = g_string_new(NULL);
        j->members_count = token->members_count;
        for (unsigned i = 0; i < token->members_count; i++) {
                j->members[i] = token->members[i];
                j->members[i].address = g_strdup(token->members[i].address);
        }
        if (sd_event_add_defer(event, &j->next, on_next, j) < 0 ||
            sd_event_add_time_relative(event, &j->deadline, CLOCK_BOOTTIME, 0, 1000, on_deadline, j) < 0 ||
            sd_event_source_set_enabled(j->deadline, SD_EVENT_OFF) < 0)
                return peer_joiner_free(j);
        return j;
}

PeerJoiner *peer_joiner_free(PeerJoiner *j) {
        if (!j)
                return NULL;

        j->stream = net_stream_free(j->stream);
        sd_event_source_disable_unref(j->next);
        sd_event_source_disable_unref(j->deadline);
        explicit_bzero(j->request.data, j->request.size);
        writer_done(&j->request);
        for (unsigned i = 0; i < j->members_count; i++)
                g_free(j->members[i].address);
        g_string_free(j->errors, TRUE);
        net_key_unref(j->key);
        sd_event_unref(j->event);
        g_free(j);
        return NULL;
}
