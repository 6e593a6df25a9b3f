/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Fuzz: the payload of a log entry, which is also what members forward
 */

#include <string.h>

#include "agent/tree/request.h"
#include "tests/fuzz/fuzz.h"

uint64_t fuzz_accepted;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        g_auto(Writer) w = WRITER_INIT;
        DecodedRequest d;

        if (!request_decode(data, size, &d))
                return 0;

        fuzz_accepted++;
        request_encode(&d.request, &w);
        fuzz_check(w.size == size && memcmp(w.data, data, size) == 0);

        /* Validation may refuse it, and gives the same answer each time; size is what decoding has checked already. */
        ConveneStatus status = request_validate(&d.request);
        fuzz_check(status == request_validate(&d.request));
        fuzz_check(status != CONVENE_TOO_LARGE && status != CONVENE_LIMIT_EXCEEDED &&
                   status != CONVENE_MARSHALLING_ERROR);

        request_decoded_done(&d);
        return 0;
}
