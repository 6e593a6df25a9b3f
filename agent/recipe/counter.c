/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Counter
 */

#include "agent/recipe/counter.h"

#include "agent/recipe/break.h"

bool counter_parse(const uint8_t *data, size_t size, int64_t *ret) {
        uint64_t value = 0;

        if (size != 0 && size != COUNTER_BYTES)
                return false;
        for (size_t i = 0; i < size; i++)
                value = value << 8 | data[i];
        *ret = (int64_t) value;
        return true;
}

void counter_format(int64_t value, uint8_t ret[static COUNTER_BYTES]) {
        for (unsigned i = 0; i < COUNTER_BYTES; i++)
                ret[i] = (uint8_t) ((uint64_t) value >> (8 * (COUNTER_BYTES - 1 - i)));
}

bool counter_add(int64_t value, int64_t delta, int64_t *ret) {
        return !__builtin_add_overflow(value, delta, ret);
}

Request counter_request(const char *path, const Stat *seen, const uint8_t bytes[static COUNTER_BYTES]) {
        return (Request) {
                .op = seen->czxid != 0 ? REQUEST_SET_DATA : REQUEST_CREATE,
                .path = path,
                .data = bytes,
                .data_size = COUNTER_BYTES,
                .mode = CREATE_PERSISTENT,
                .version = RECIPE_BREAK(COUNTER_BLIND) ? VERSION_ANY : seen->version,
                .czxid = seen->czxid,
        };
}
