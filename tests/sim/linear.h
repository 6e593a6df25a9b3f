/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Linear: the black-box checker of one register.
 */

#include <stdbool.h>
#include <stdint.h>

#include "agent/base/status.h"

typedef enum LinearKind {
        LINEAR_CREATE,
        LINEAR_SET,
        LINEAR_DELETE,
        LINEAR_READ,
} LinearKind;

typedef struct LinearOp {
        LinearKind kind;
        uint64_t called, returned;
        bool is_unknown;                /* no answer: it may have taken effect at any time after, or never */
        ConveneStatus status;
        int32_t version;                /* SET, DELETE: asked for; -1: any */
        int32_t answer_version;         /* SET, READ, if OK */
        uint64_t value;                 /* written, or read */
} LinearOp;

typedef enum LinearVerdict {
        LINEAR_OK,
        LINEAR_BAD,
        LINEAR_GAVE_UP,                 /* the budget of steps is spent */
} LinearVerdict;

LinearVerdict linear_judge(const LinearOp *ops, unsigned count, uint64_t budget);
