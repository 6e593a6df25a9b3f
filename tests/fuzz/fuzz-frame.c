/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fuzz: what members, and those who want to be one, send
 *
 *     u8 type of the frame, then its body
 */

#include <string.h>

#include "agent/wire/frame.h"
#include "agent/wire/join.h"
#include "tests/fuzz/fuzz.h"

uint64_t fuzz_accepted;

/* What was accepted is what the encoder makes of it. */
static void check_again(const Writer *w, uint8_t type, const uint8_t *body, size_t size) {
        fuzz_accepted++;
        fuzz_check(w->size == FRAME_HEADER_BYTES + size && w->data[4] == type);
        fuzz_check(size == 0 || memcmp(w->data + FRAME_HEADER_BYTES, body, size) == 0);
}

static void fuzz_message(Writer *w, uint8_t type, const uint8_t *body, size_t size) {
        g_autoptr(GBytes) bytes = g_bytes_new(body, size);
        FrameMessage m;

        if (!frame_decode(type, bytes, &m))
                return;
        frame_encode(w, &m.message);
        check_again(w, type, body, size);
        frame_message_done(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_auto(Writer) w = WRITER_INIT;
        JoinRequest request;
        JoinAnswer answer;
        FrameHello hello;
        uint8_t type;

        if (size == 0)
                return 0;

        type = *data++;
        size--;
        switch (type) {
        case FRAME_TYPE_HELLO:
                if (!frame_decode_hello(data, size, &hello))
                        break;
                frame_encode_hello(&w, &hello);
                check_again(&w, type, data, size);
                break;
        case JOIN_TYPE:
                if (!join_decode_request(data, size, &request))
                        break;
                join_encode_request(&w, &request);
                check_again(&w, type, data, size);
                break;
        case JOIN_TYPE_JOINED:
        case JOIN_TYPE_REFUSED:
        case JOIN_TYPE_PUT_OFF:
                if (!join_decode_answer(type, data, size, &answer))
                        break;
                join_encode_answer(&w, &answer);
                check_again(&w, type, data, size);
                break;
        default:
                fuzz_message(&w, type, data, size);
        }
        return 0;
}
