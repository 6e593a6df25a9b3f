/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Twin: the tree against its slow twin, by random operations
 *
 *     TWIN_OPERATIONS=N  how many in total (1,000,000; a tenth under sanitizers), 10,000 per seed
 *     TWIN_SEED=S        the first seed
 *     TWIN_MUTATE=K      play fault K of twin-run.h, so that the comparison must fail
 */

#include <stdlib.h>

#include "tests/unit/twin-describe.h"
#include "tests/unit/twin-run.h"

#define OPERATIONS_PER_SEED 10000
#define OPERATIONS_FOR_MUTATION "80000"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OPERATIONS_DEFAULT 100000
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define OPERATIONS_DEFAULT 100000
#endif
#endif
#ifndef OPERATIONS_DEFAULT
#define OPERATIONS_DEFAULT 1000000
#endif

static const struct {
        RequestOp op;
        ConveneStatus statuses[16];     /* ended by 1 */
} expected[] = {
        { 0, { CONVENE_MARSHALLING_ERROR, 1 } },        /* bytes that are no request */
        { REQUEST_CREATE,
          { CONVENE_OK, CONVENE_RUNTIME_INCONSISTENCY, CONVENE_BAD_ARGUMENTS, CONVENE_NO_NODE, CONVENE_NO_AUTH,
            CONVENE_NO_CHILDREN_FOR_EPHEMERALS, CONVENE_NODE_EXISTS, CONVENE_SESSION_EXPIRED, CONVENE_INVALID_ACL,
            CONVENE_QUOTA_EXCEEDED, CONVENE_LIMIT_EXCEEDED, CONVENE_TOO_LARGE, CONVENE_SEQUENCE_OVERFLOW, 1 } },
        { REQUEST_DELETE,
          { CONVENE_OK, CONVENE_RUNTIME_INCONSISTENCY, CONVENE_BAD_ARGUMENTS, CONVENE_NO_NODE, CONVENE_NO_AUTH,
            CONVENE_BAD_VERSION, CONVENE_NOT_EMPTY, CONVENE_SESSION_EXPIRED, CONVENE_TOO_LARGE, 1 } },
        { REQUEST_SET_DATA,
          { CONVENE_OK, CONVENE_RUNTIME_INCONSISTENCY, CONVENE_BAD_ARGUMENTS, CONVENE_NO_NODE, CONVENE_NO_AUTH,
            CONVENE_BAD_VERSION, CONVENE_SESSION_EXPIRED, CONVENE_QUOTA_EXCEEDED, 1 } },
        { REQUEST_SET_ACL,
          { CONVENE_OK, CONVENE_BAD_ARGUMENTS, CONVENE_NO_NODE, CONVENE_NO_AUTH, CONVENE_BAD_VERSION,
            CONVENE_SESSION_EXPIRED, CONVENE_INVALID_ACL, 1 } },
        { REQUEST_CHECK,
          { CONVENE_OK, CONVENE_RUNTIME_INCONSISTENCY, CONVENE_UNIMPLEMENTED, CONVENE_NO_NODE, CONVENE_NO_AUTH,
            CONVENE_BAD_VERSION, 1 } },
        { REQUEST_MULTI,
          { CONVENE_OK, CONVENE_MARSHALLING_ERROR, CONVENE_BAD_ARGUMENTS, CONVENE_NO_NODE, CONVENE_NO_AUTH,
            CONVENE_BAD_VERSION, CONVENE_NO_CHILDREN_FOR_EPHEMERALS, CONVENE_NODE_EXISTS, CONVENE_NOT_EMPTY,
            CONVENE_SESSION_EXPIRED, CONVENE_INVALID_ACL, CONVENE_QUOTA_EXCEEDED, CONVENE_TOO_LARGE, 1 } },
        { REQUEST_DELETE_RECURSIVE,
          { CONVENE_OK, CONVENE_BAD_ARGUMENTS, CONVENE_NO_NODE, CONVENE_NO_AUTH, CONVENE_SESSION_EXPIRED, 1 } },
        { REQUEST_REAP,
          { CONVENE_OK, CONVENE_BAD_ARGUMENTS, CONVENE_NO_NODE, CONVENE_BAD_VERSION, CONVENE_NOT_EMPTY,
            CONVENE_SESSION_EXPIRED, 1 } },
        { REQUEST_OPEN_SESSION,
          { CONVENE_OK, CONVENE_BAD_ARGUMENTS, CONVENE_AUTH_FAILED, CONVENE_TOO_LARGE, CONVENE_LIMIT_EXCEEDED,
            CONVENE_SESSION_EXPIRED, 1 } },
        { REQUEST_ATTACH_SESSION,
          { CONVENE_OK, CONVENE_BAD_ARGUMENTS, CONVENE_AUTH_FAILED, CONVENE_SESSION_EXPIRED, 1 } },
        { REQUEST_AUTH_SESSION,
          { CONVENE_OK, CONVENE_BAD_ARGUMENTS, CONVENE_AUTH_FAILED, CONVENE_LIMIT_EXCEEDED, CONVENE_SESSION_EXPIRED,
            1 } },
        { REQUEST_CLOSE_SESSION, { CONVENE_OK, CONVENE_BAD_ARGUMENTS, CONVENE_BAD_VERSION, CONVENE_SESSION_EXPIRED, 1 } },
        { REQUEST_EXISTS, { CONVENE_OK, CONVENE_NO_NODE, CONVENE_NO_AUTH, 1 } },
        { REQUEST_GET_DATA, { CONVENE_OK, CONVENE_NO_NODE, CONVENE_NO_AUTH, 1 } },
        { REQUEST_GET_ACL, { CONVENE_OK, CONVENE_NO_NODE, CONVENE_NO_AUTH, 1 } },
        { REQUEST_GET_CHILDREN, { CONVENE_OK, CONVENE_NO_NODE, CONVENE_NO_AUTH, 1 } },
        { REQUEST_COUNT_DESCENDANTS, { CONVENE_OK, CONVENE_NO_NODE, CONVENE_NO_AUTH, 1 } },
        { REQUEST_GET_EPHEMERALS, { CONVENE_OK, 1 } },
        { REQUEST_LIST, { CONVENE_OK, CONVENE_NO_NODE, CONVENE_NO_AUTH, 1 } },
        { REQUEST_MULTI_READ, { CONVENE_OK, CONVENE_MARSHALLING_ERROR, 1 } },
        { REQUEST_WHO_AM_I, { CONVENE_OK, 1 } },
        { REQUEST_LIST_SESSIONS, { CONVENE_OK, 1 } },
        { REQUEST_SYNC, { CONVENE_OK, 1 } },
};

static uint64_t number_from_environment(const char *name, uint64_t otherwise) {
        const char *text = g_getenv(name);

        return text ? g_ascii_strtoull(text, NULL, 10) : otherwise;
}

static void print_coverage(Coverage *c) {
        for (unsigned op = 0; op < G_N_ELEMENTS(c->counts); op++) {
                g_autoptr(GString) line = g_string_new(NULL);

                for (int status = 0; status > -1032; status = status == -127 ? -1001 : status - 1) {
                        uint64_t n = *coverage_at(c, op, status);

                        if (n > 0)
                                g_string_append_printf(line, " %s %" PRIu64, convene_status_to_string(status), n);
                }
                if (line->len > 0)
                        g_test_message("%s:%s", describe_op(op), line->str);
        }
        g_test_message("operations %" PRIu64 ", watch events %" PRIu64 ", checkpoints %" PRIu64 " and %" PRIu64
                       " aborted, loads %" PRIu64 ", replays %" PRIu64 ", corrupt payloads %" PRIu64,
                       c->operations, c->events, c->checkpoints, c->checkpoints_aborted, c->loads, c->replays,
                       c->payloads_corrupt);
        g_test_message("soft quotas exceeded %" PRIu64 ", damaged rows taken %" PRIu64 ", refused %" PRIu64,
                       c->soft_quotas, c->damage_taken, c->damage_refused);
        g_test_message("creates too deep %" PRIu64 ", pages cut by bytes %" PRIu64 ", largest tree %" PRIu64 " znodes",
                       c->too_deep, c->pages_cut_by_bytes, c->znodes_max);
}

static void check_coverage(Coverage *c) {
        bool complete = true;

        for (size_t i = 0; i < G_N_ELEMENTS(expected); i++)
                for (const ConveneStatus *s = expected[i].statuses; *s != (ConveneStatus) 1; s++)
                        if (*coverage_at(c, expected[i].op, *s) == 0) {
                                g_test_message("never seen: %s %s", describe_op(expected[i].op),
                                               convene_status_to_string(*s));
                                complete = false;
                        }
        g_assert_true(complete);
        g_assert_cmpuint(c->events, >, 0);
        g_assert_cmpuint(c->checkpoints, >, 0);
        g_assert_cmpuint(c->checkpoints_aborted, >, 0);
        g_assert_cmpuint(c->loads, >, 0);
        g_assert_cmpuint(c->replays, >, 0);
        g_assert_cmpuint(c->payloads_corrupt, >, 0);
        g_assert_cmpuint(c->soft_quotas, >, 0);
        g_assert_cmpuint(c->damage_taken, >, 0);
        g_assert_cmpuint(c->damage_refused, >, 0);
        g_assert_cmpuint(c->too_deep, >, 0);
        g_assert_cmpuint(c->pages_cut_by_bytes, >, 0);
        g_assert_cmpuint(c->znodes_max, >, 1200);
}

static void test_compare(void) {
        uint64_t operations = number_from_environment("TWIN_OPERATIONS", OPERATIONS_DEFAULT), left = operations;
        uint64_t seed = number_from_environment("TWIN_SEED", 1);
        Mutation mutation = number_from_environment("TWIN_MUTATE", MUTATION_NONE);
        g_autofree Coverage *coverage = g_new0(Coverage, 1);

        while (left > 0) {
                uint64_t slice = MIN(left, OPERATIONS_PER_SEED);

                run_seed(seed++, slice, mutation, coverage);
                left -= slice;
        }
        print_coverage(coverage);
        if (operations < OPERATIONS_DEFAULT)
                g_test_message("fewer operations than usual: coverage is not judged");
        else
                check_coverage(coverage);
}

/* Each fault, played in a process of its own, must be found, and as a difference, not as a crash. */
static void test_mutation(gconstpointer data) {
        g_autofree char *k = g_strdup_printf("%u", GPOINTER_TO_UINT(data));

        g_setenv("TWIN_MUTATE", k, true);
        g_setenv("TWIN_OPERATIONS", OPERATIONS_FOR_MUTATION, true);
        g_unsetenv("TWIN_SEED");
        g_test_trap_subprocess("/twin/compare", 0, 0);
        g_test_trap_assert_failed();
        g_test_trap_assert_stderr("*twin: difference:*");
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/twin/compare", test_compare);
        for (unsigned k = MUTATION_NONE + 1; k < _MUTATION_MAX; k++) {
                g_autofree char *path = g_strdup_printf("/twin/mutation/%u", k);

                g_test_add_data_func(path, GUINT_TO_POINTER(k), test_mutation);
        }
        return g_test_run();
}
