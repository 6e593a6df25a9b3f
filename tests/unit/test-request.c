/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Request: codec and validation
 */

#include <string.h>

#include <glib.h>

#include "agent/base/limits.h"
#include "agent/base/prng.h"
#include "agent/tree/request.h"

static const Identity two_identities[] = { { "unix", "33@web1" }, { "unit", "nginx.service@web1" } };
static const AclEntry two_entries[] = {
        { PERMISSION_ALL, { "world", "anyone" } },
        { PERMISSION_READ, { "ip", "10.0.0.0/8" } },
};

#define CALLER { two_identities, 2 }
#define ACL { two_entries, 2 }

static const Request writes[] = {
        { .op = REQUEST_CREATE, .path = "/a", .data = (const uint8_t *) "x", .data_size = 1, .acl = ACL },
        { .op = REQUEST_CREATE, .path = "/t/", .acl = ACL, .mode = CREATE_TTL_SEQUENTIAL, .ttl_msec = TTL_MSEC_MAX },
        { .op = REQUEST_DELETE, .path = "/a", .version = VERSION_ANY, .czxid = 77 },
        { .op = REQUEST_SET_DATA, .path = "/a", .data = (const uint8_t *) "", .version = -2, .czxid = 5 },
        { .op = REQUEST_CHECK, .path = "/a", .version = INT32_MAX },
};

static const Request reads[] = {
        { .op = REQUEST_GET_DATA, .path = "/a" },
        { .op = REQUEST_GET_CHILDREN, .path = "/", .start_after = "b", .entries_max = 3, .want_data = true },
};

/* Each op, and each shape of the fields that have several. */
static const Request samples[] = {
        { .op = REQUEST_CREATE, .origin = 3, .number = UINT64_C(0x0123456789abcdef), .session = 1, .cxid = 9, .path = "/a", .data = (const uint8_t *) "da\0ta",
          .data_size = 5,
          .acl = ACL, .mode = CREATE_EPHEMERAL_SEQUENTIAL },
        { .op = REQUEST_CREATE, .caller = CALLER, .path = "/a", .acl = ACL },
        { .op = REQUEST_CREATE, .path = "/a", .data = (const uint8_t *) "", .acl = ACL, .mode = CREATE_TTL,
          .ttl_msec = 1 },
        { .op = REQUEST_CREATE, .path = "", .mode = CREATE_CONTAINER },
        { .op = REQUEST_DELETE, .session = UINT64_MAX, .cxid = UINT64_MAX, .path = "/a", .version = 3,
          .czxid = UINT64_MAX },
        { .op = REQUEST_SET_DATA, .path = "/a", .data = (const uint8_t *) "v", .data_size = 1, .version = VERSION_ANY },
        { .op = REQUEST_SET_DATA, .session = 4, .path = "/a", .version = INT32_MIN },
        { .op = REQUEST_SET_ACL, .path = "/a", .acl = ACL, .version = 6 },
        { .op = REQUEST_MULTI, .session = 3, .cxid = 1, .operations = writes,
          .operations_count = G_N_ELEMENTS(writes) },
        { .op = REQUEST_MULTI, .caller = CALLER },
        { .op = REQUEST_DELETE_RECURSIVE, .origin = UINT32_MAX, .number = 1, .caller = CALLER, .path = "/a" },
        { .op = REQUEST_REAP, .path = "/c", .czxid = 12 },
        { .op = REQUEST_OPEN_SESSION, .timeout_msec = 10000, .secret_hash = { 1, 2, 3 }, .owner_kind = OWNER_UNIT,
          .owner = "nginx.service 5f3c", .member = 1, .identities = CALLER },
        { .op = REQUEST_OPEN_SESSION, .timeout_msec = 1, .owner_kind = OWNER_HOST, .owner = "" },
        { .op = REQUEST_ATTACH_SESSION, .target = 5, .timeout_msec = 4000, .secret_hash = { 255, 0, 255 },
          .member = 2 },
        { .op = REQUEST_AUTH_SESSION, .target = 5, .identities = CALLER },
        { .op = REQUEST_CLOSE_SESSION, .session = 5, .cxid = 2, .target = 5 },
        { .op = REQUEST_CLOSE_SESSION, .target = 5, .expired = true },
        { .op = REQUEST_CLOSE_SESSION, .target = 5, .expired = true, .generation = 3 },
        { .op = REQUEST_EXISTS, .path = "/a" },
        { .op = REQUEST_GET_DATA, .session = 1, .path = "/a" },
        { .op = REQUEST_GET_ACL, .path = "/a" },
        { .op = REQUEST_GET_CHILDREN, .path = "/a", .start_after = "", .entries_max = UINT32_MAX },
        { .op = REQUEST_COUNT_DESCENDANTS, .path = "/" },
        { .op = REQUEST_GET_EPHEMERALS, .session = 1, .path = "", .start_after = "/a", .entries_max = 2 },
        { .op = REQUEST_LIST, .path = "/a", .start_after = "/a/b", .entries_max = 10, .want_data = true },
        { .op = REQUEST_MULTI_READ, .operations = reads, .operations_count = G_N_ELEMENTS(reads) },
        { .op = REQUEST_WHO_AM_I, .caller = CALLER },
        { .op = REQUEST_LIST_SESSIONS, .start_after_session = 1, .entries_max = 2 },
        { .op = REQUEST_SYNC, .path = "/a" },
};

static void assert_identities(Identities a, Identities b) {
        g_assert_cmpuint(a.count, ==, b.count);
        for (uint32_t i = 0; i < a.count; i++) {
                g_assert_cmpstr(a.items[i].scheme, ==, b.items[i].scheme);
                g_assert_cmpstr(a.items[i].id, ==, b.items[i].id);
        }
}

static void assert_acl(AclEntries a, AclEntries b) {
        g_assert_cmpuint(a.count, ==, b.count);
        for (uint32_t i = 0; i < a.count; i++) {
                g_assert_cmpuint(a.items[i].permissions, ==, b.items[i].permissions);
                g_assert_cmpstr(a.items[i].who.scheme, ==, b.items[i].who.scheme);
                g_assert_cmpstr(a.items[i].who.id, ==, b.items[i].who.id);
        }
}

/* Every member of Request: what the op does not use is zero in the samples and must be in the decoded one. */
static void assert_request(const Request *a, const Request *b) {
        g_assert_cmpint(a->op, ==, b->op);
        g_assert_cmpuint(a->origin, ==, b->origin);
        g_assert_cmphex(a->number, ==, b->number);
        g_assert_cmphex(a->session, ==, b->session);
        g_assert_cmphex(a->cxid, ==, b->cxid);
        assert_identities(a->caller, b->caller);
        g_assert_cmpstr(a->path, ==, b->path);
        g_assert_cmpint(a->data != NULL, ==, b->data != NULL);
        g_assert_cmpmem(a->data, a->data_size, b->data, b->data_size);
        assert_acl(a->acl, b->acl);
        g_assert_cmpint(a->mode, ==, b->mode);
        g_assert_cmpint(a->ttl_msec, ==, b->ttl_msec);
        g_assert_cmpint(a->version, ==, b->version);
        g_assert_cmphex(a->czxid, ==, b->czxid);
        g_assert_cmpstr(a->start_after, ==, b->start_after);
        g_assert_cmphex(a->start_after_session, ==, b->start_after_session);
        g_assert_cmpuint(a->entries_max, ==, b->entries_max);
        g_assert_cmpint(a->want_data, ==, b->want_data);
        g_assert_cmphex(a->target, ==, b->target);
        g_assert_cmpuint(a->timeout_msec, ==, b->timeout_msec);
        g_assert_cmpmem(a->secret_hash, sizeof(a->secret_hash), b->secret_hash, sizeof(b->secret_hash));
        g_assert_cmpint(a->owner_kind, ==, b->owner_kind);
        g_assert_cmpstr(a->owner, ==, b->owner);
        g_assert_cmpuint(a->member, ==, b->member);
        assert_identities(a->identities, b->identities);
        g_assert_cmpint(a->expired, ==, b->expired);
        g_assert_cmpuint(a->operations_count, ==, b->operations_count);
        for (uint32_t i = 0; i < a->operations_count; i++)
                assert_request(&a->operations[i], &b->operations[i]);
}

/* True if accepted; what is accepted must encode to the same bytes.  The copy ends where the bytes do, for ASan. */
static bool accepts(const uint8_t *data, size_t size) {
        g_autofree uint8_t *copy = g_malloc(MAX(size, 1));
        g_auto(Writer) w = WRITER_INIT;
        DecodedRequest d = { .arrays = (GPtrArray *) &d };

        memcpy(copy, data, size);
        if (!request_decode(copy, size, &d)) {
                g_assert_true(d.arrays == (GPtrArray *) &d);    /* untouched */
                return false;
        }

        request_encode(&d.request, &w);
        g_assert_cmpmem(w.data, w.size, copy, size);
        (void) request_validate(&d.request);
        request_decoded_done(&d);
        return true;
}

static void test_round_trip(void) {
        bool seen[REQUEST_SYNC + 1] = { false };

        for (size_t i = 0; i < G_N_ELEMENTS(samples); i++) {
                g_auto(Writer) w = WRITER_INIT;
                DecodedRequest d;

                request_encode(&samples[i], &w);
                g_assert_cmpint(w.data[0], ==, 1);
                g_assert_true(accepts(w.data, w.size));
                g_assert_true(request_decode(w.data, w.size, &d));
                assert_request(&samples[i], &d.request);
                g_assert_cmpint(request_validate(&d.request), ==, CONVENE_OK);
                request_decoded_done(&d);
                request_decoded_done(&d);       /* twice is nothing */
                seen[samples[i].op] = true;
        }

        for (RequestOp op = REQUEST_CREATE; op <= REQUEST_SYNC; op++)
                if (op <= REQUEST_CLOSE_SESSION || op >= REQUEST_EXISTS)
                        g_assert_cmpint(seen[op], ==, op != REQUEST_CHECK);
}

static void test_truncation(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(samples); i++) {
                g_auto(Writer) w = WRITER_INIT;

                request_encode(&samples[i], &w);
                for (size_t n = 0; n < w.size; n++)
                        g_assert_false(accepts(w.data, n));
                writer_u8(&w, 0);
                g_assert_false(accepts(w.data, w.size));
        }
}

/* What an op does not use must not reach the bytes: requests that mean the same are the same. */
static void test_unused_fields(void) {
        Request noisy = {
                .op = REQUEST_EXISTS, .path = "/a", .data = (const uint8_t *) "x", .data_size = 1, .acl = ACL,
                .mode = CREATE_TTL, .ttl_msec = 4, .version = 4, .czxid = 5, .start_after = "x", .entries_max = 3,
                .want_data = true, .target = 5, .timeout_msec = 4, .owner = "x", .member = 4, .identities = CALLER,
                .expired = true, .operations = reads, .operations_count = 2,
        };
        const Request plain = { .op = REQUEST_EXISTS, .path = "/a" };
        g_auto(Writer) w = WRITER_INIT, v = WRITER_INIT;

        request_encode(&noisy, &w);
        request_encode(&plain, &v);
        g_assert_cmpmem(w.data, w.size, v.data, v.size);
        g_assert_cmpuint(v.size, ==, 2 + 4 + 8 + 8 + 4 + 4 + 2 + 1);

        /* NULL strings are empty ones. */
        noisy = (Request) { .op = REQUEST_SYNC };
        writer_clear(&w);
        writer_clear(&v);
        request_encode(&noisy, &w);
        noisy.path = "";
        request_encode(&noisy, &v);
        g_assert_cmpmem(w.data, w.size, v.data, v.size);
}

static bool round_trips(const Request *r) {
        g_auto(Writer) w = WRITER_INIT;

        request_encode(r, &w);
        return accepts(w.data, w.size);
}

static void test_refused(void) {
        const Request multi_in_multi = { .op = REQUEST_MULTI, .operations = &samples[9], .operations_count = 1 };
        const Request read_in_multi = { .op = REQUEST_MULTI, .operations = reads, .operations_count = 1 };
        const Request write_in_read = { .op = REQUEST_MULTI_READ, .operations = writes, .operations_count = 1 };
        const Request acl_in_multi = { .op = REQUEST_MULTI, .operations = &samples[7], .operations_count = 1 };
        const Request open_in_multi = { .op = REQUEST_MULTI, .operations = &samples[12], .operations_count = 1 };
        Request r;

        g_assert_cmpint(samples[7].op, ==, REQUEST_SET_ACL);
        g_assert_cmpint(samples[9].op, ==, REQUEST_MULTI);
        g_assert_cmpint(samples[12].op, ==, REQUEST_OPEN_SESSION);
        g_assert_false(round_trips(&multi_in_multi));
        g_assert_false(round_trips(&read_in_multi));
        g_assert_false(round_trips(&write_in_read));
        g_assert_false(round_trips(&acl_in_multi));
        g_assert_false(round_trips(&open_in_multi));
        g_assert_cmpint(request_validate(&multi_in_multi), ==, CONVENE_MARSHALLING_ERROR);
        g_assert_cmpint(request_validate(&read_in_multi), ==, CONVENE_MARSHALLING_ERROR);
        g_assert_cmpint(request_validate(&write_in_read), ==, CONVENE_MARSHALLING_ERROR);
        g_assert_cmpint(request_validate(&acl_in_multi), ==, CONVENE_MARSHALLING_ERROR);
        g_assert_cmpint(request_validate(&open_in_multi), ==, CONVENE_MARSHALLING_ERROR);

        /* CHECK by itself decodes, and is told from nonsense. */
        g_assert_cmpint(request_validate(&writes[4]), ==, CONVENE_UNIMPLEMENTED);
        g_assert_true(round_trips(&writes[4]));

        for (unsigned op = 0; op < 700; op++) {
                r = (Request) { .op = op, .path = "/a", .czxid = 1, .timeout_msec = 5000 };
                if ((op >= REQUEST_CREATE && op <= REQUEST_CLOSE_SESSION) ||
                    (op >= REQUEST_EXISTS && op <= REQUEST_SYNC)) {
                        g_assert_true(round_trips(&r));
                        g_assert_cmpint(request_validate(&r), ==,
                                        op == REQUEST_CHECK ? CONVENE_UNIMPLEMENTED : CONVENE_OK);
                } else {
                        g_assert_false(round_trips(&r));
                        g_assert_cmpint(request_validate(&r), ==, CONVENE_MARSHALLING_ERROR);
                }
        }

        /* Enumerations beyond their end, also where the low byte would be a value of theirs. */
        for (unsigned mode = _CREATE_MODE_MAX; mode < 600; mode++) {
                r = (Request) { .op = REQUEST_CREATE, .path = "/a", .mode = mode };
                g_assert_false(round_trips(&r));
        }
        for (unsigned kind = _OWNER_KIND_MAX; kind < 600; kind++) {
                r = (Request) { .op = REQUEST_OPEN_SESSION, .owner_kind = kind };
                g_assert_false(round_trips(&r));
        }
}

static void test_validate(void) {
        Request r = { .op = REQUEST_EXISTS, .path = "/a", .cxid = 1 }, operation = reads[0];

        g_assert_cmpint(request_validate(&r), ==, CONVENE_BAD_ARGUMENTS);       /* no session, no cxid */
        r.session = 1;
        g_assert_cmpint(request_validate(&r), ==, CONVENE_OK);
        r.caller = (Identities) CALLER;
        g_assert_cmpint(request_validate(&r), ==, CONVENE_BAD_ARGUMENTS);       /* the session's identities count */

        r = (Request) { .op = REQUEST_MULTI_READ, .session = 1, .operations = &operation, .operations_count = 1 };
        g_assert_cmpint(request_validate(&r), ==, CONVENE_OK);
        operation.session = 1;
        g_assert_cmpint(request_validate(&r), ==, CONVENE_BAD_ARGUMENTS);
        operation = reads[0];
        operation.cxid = 1;
        g_assert_cmpint(request_validate(&r), ==, CONVENE_BAD_ARGUMENTS);
        operation = reads[0];
        operation.caller = (Identities) CALLER;
        g_assert_cmpint(request_validate(&r), ==, CONVENE_BAD_ARGUMENTS);

        r = (Request) { .op = REQUEST_OPEN_SESSION, .timeout_msec = 5000, .owner = "\xff" };
        g_assert_cmpint(request_validate(&r), ==, CONVENE_BAD_ARGUMENTS);
        r.owner = "a\nb";
        g_assert_cmpint(request_validate(&r), ==, CONVENE_BAD_ARGUMENTS);
        r.owner = "a b\xc3\xa4";
        g_assert_cmpint(request_validate(&r), ==, CONVENE_OK);
        r.owner = NULL;
        g_assert_cmpint(request_validate(&r), ==, CONVENE_OK);

        r = (Request) { .op = REQUEST_SET_ACL, .path = "/a", .acl = { (const AclEntry[]) { { 1, { "host", NULL } } },
                                                                      1 } };
        g_assert_cmpint(request_validate(&r), ==, CONVENE_INVALID_ACL);
}

/* A bound holds in the codec and in validation alike: at it all is well, one above is refused by both. */
static void check_bound(const Request *at, const Request *above, ConveneStatus status) {
        g_assert_cmpint(request_validate(at), ==, CONVENE_OK);
        g_assert_true(round_trips(at));
        g_assert_cmpint(request_validate(above), ==, status);
        g_assert_false(round_trips(above));
}

static void test_text_limits(void) {
        g_autofree char *path = g_strnfill(LIMIT_PATH_BYTES + 1, 'p'), *owner = g_strnfill(LIMIT_OWNER_BYTES + 1, 'o');
        g_autofree char *id = g_strnfill(LIMIT_IDENTITY_BYTES + 1, 'i');
        const Identity at_identity = { id + 1, id + 1 }, scheme_above = { id, "x" }, id_above = { "x", id };
        const AclEntry at_entry = { 1, at_identity }, entry_above = { 1, id_above };
        Request at, above;

        at = above = (Request) { .op = REQUEST_LIST, .path = path + 1, .start_after = path + 1 };
        above.path = path;
        check_bound(&at, &above, CONVENE_TOO_LARGE);
        above = at;
        above.start_after = path;
        check_bound(&at, &above, CONVENE_TOO_LARGE);

        at = above = (Request) { .op = REQUEST_OPEN_SESSION, .owner = owner + 1 };
        above.owner = owner;
        check_bound(&at, &above, CONVENE_TOO_LARGE);

        at = above = (Request) { .op = REQUEST_SET_ACL, .path = "/a", .acl = { &at_entry, 1 } };
        above.acl.items = &entry_above;
        check_bound(&at, &above, CONVENE_INVALID_ACL);

        at = above = (Request) { .op = REQUEST_WHO_AM_I, .caller = { &at_identity, 1 } };
        above.caller.items = &scheme_above;
        check_bound(&at, &above, CONVENE_AUTH_FAILED);

        at = above = (Request) { .op = REQUEST_AUTH_SESSION, .identities = { &at_identity, 1 } };
        above.identities.items = &id_above;
        check_bound(&at, &above, CONVENE_AUTH_FAILED);
}

static void test_count_limits(void) {
        g_autofree Identity *identities = g_new(Identity, LIMIT_SESSION_IDENTITIES + 1);
        g_autofree AclEntry *entries = g_new(AclEntry, LIMIT_ACL_ENTRIES + 1);
        g_autofree Request *operations = g_new(Request, LIMIT_MULTI_OPERATIONS + 1);
        Request at, above;

        for (unsigned i = 0; i <= LIMIT_SESSION_IDENTITIES; i++)
                identities[i] = two_identities[0];
        for (unsigned i = 0; i <= LIMIT_ACL_ENTRIES; i++)
                entries[i] = two_entries[0];
        for (unsigned i = 0; i <= LIMIT_MULTI_OPERATIONS; i++)
                operations[i] = writes[2];

        at = above = (Request) { .op = REQUEST_WHO_AM_I, .caller = { identities, LIMIT_SESSION_IDENTITIES } };
        above.caller.count++;
        check_bound(&at, &above, CONVENE_LIMIT_EXCEEDED);

        at = above = (Request) { .op = REQUEST_AUTH_SESSION, .identities = { identities, LIMIT_SESSION_IDENTITIES } };
        above.identities.count++;
        check_bound(&at, &above, CONVENE_LIMIT_EXCEEDED);

        at = above = (Request) { .op = REQUEST_CREATE, .path = "/a", .acl = { entries, LIMIT_ACL_ENTRIES } };
        above.acl.count++;
        check_bound(&at, &above, CONVENE_LIMIT_EXCEEDED);

        at = above = (Request) { .op = REQUEST_MULTI, .operations = operations,
                                 .operations_count = LIMIT_MULTI_OPERATIONS };
        above.operations_count++;
        check_bound(&at, &above, CONVENE_TOO_LARGE);
}

/* Validation adds up what encoding would write, so it must agree with it to the byte. */
static void test_size_limits(void) {
        g_autofree uint8_t *data = g_malloc0(LIMIT_DATA_BYTES + 1);
        Request operations[8], at, above;
        g_auto(Writer) w = WRITER_INIT;

        at = above = (Request) { .op = REQUEST_SET_DATA, .path = "/a", .data = data, .data_size = LIMIT_DATA_BYTES };
        above.data_size++;
        check_bound(&at, &above, CONVENE_TOO_LARGE);

        for (unsigned with_session = 0; with_session < 2; with_session++) {
                memcpy(operations, writes, sizeof(writes));
                operations[5] = writes[3];
                operations[5].data = data;
                operations[5].data_size = LIMIT_DATA_BYTES;
                operations[6] = writes[0];
                operations[6].data = data;
                operations[6].data_size = 1;

                at = (Request) { .op = REQUEST_MULTI, .session = with_session, .operations = operations,
                                 .operations_count = 7 };
                if (!with_session)
                        at.caller = (Identities) CALLER;

                writer_clear(&w);
                request_encode(&at, &w);
                operations[6].data_size += LIMIT_REQUEST_BYTES - w.size;
                g_assert_cmpuint(operations[6].data_size, <, LIMIT_DATA_BYTES);
                writer_clear(&w);
                request_encode(&at, &w);
                g_assert_cmpuint(w.size, ==, LIMIT_REQUEST_BYTES);
                g_assert_cmpint(request_validate(&at), ==, CONVENE_OK);
                g_assert_true(round_trips(&at));

                operations[6].data_size++;
                g_assert_cmpint(request_validate(&at), ==, CONVENE_TOO_LARGE);
                g_assert_false(round_trips(&at));
        }

        /* The same for what may stand in a multi-read. */
        g_autofree Request *many = g_new(Request, LIMIT_MULTI_OPERATIONS);
        g_autofree char *path = g_strnfill(LIMIT_PATH_BYTES, 'p');
        for (unsigned i = 0; i < LIMIT_MULTI_OPERATIONS; i++)
                many[i] = (Request) { .op = REQUEST_GET_CHILDREN, .path = path, .start_after = path };
        at = (Request) { .op = REQUEST_MULTI_READ, .operations = many, .operations_count = LIMIT_MULTI_OPERATIONS };
        g_assert_cmpint(request_validate(&at), ==, CONVENE_TOO_LARGE);
        writer_clear(&w);
        request_encode(&at, &w);
        g_assert_cmpuint(w.size, >, LIMIT_REQUEST_BYTES);

        const size_t each = (w.size - 18) / LIMIT_MULTI_OPERATIONS;
        at.operations_count = (LIMIT_REQUEST_BYTES - 18) / each;
        check_bound(&at, &(Request) { .op = REQUEST_MULTI_READ, .operations = many,
                                      .operations_count = at.operations_count + 1 }, CONVENE_TOO_LARGE);
}

static void mutate(Prng *prng, Writer *w) {
        switch (prng_below(prng, 5)) {

        case 0:
                w->data[prng_below(prng, w->size)] ^= 1 << prng_below(prng, 8);
                break;

        case 1:
                w->data[prng_below(prng, w->size)] = (uint8_t) prng_below(prng, 48);
                break;

        case 2:
                w->size -= prng_below(prng, MIN(w->size, 9));
                break;

        case 3:
                writer_u32(w, (uint32_t) prng_next(prng));
                break;

        default:
                if (w->size > 8)
                        memmove(w->data + prng_below(prng, w->size - 8), w->data + prng_below(prng, w->size - 8), 8);
        }
}

static void test_mutations(void) {
        g_auto(Writer) w = WRITER_INIT;
        unsigned accepted = 0, refused = 0;
        Prng prng = { 7 };

        for (unsigned i = 0; i < 300000; i++) {
                writer_clear(&w);
                request_encode(&samples[prng_below(&prng, G_N_ELEMENTS(samples))], &w);
                for (unsigned n = 1 + prng_below(&prng, 4); n > 0 && w.size > 0; n--)
                        mutate(&prng, &w);

                if (accepts(w.data, w.size))
                        accepted++;
                else
                        refused++;
        }

        /* Both sides of the decoder were seen. */
        g_assert_cmpuint(accepted, >, 10000);
        g_assert_cmpuint(refused, >, 10000);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/request/round-trip", test_round_trip);
        g_test_add_func("/request/truncation", test_truncation);
        g_test_add_func("/request/unused-fields", test_unused_fields);
        g_test_add_func("/request/refused", test_refused);
        g_test_add_func("/request/validate", test_validate);
        g_test_add_func("/request/text-limits", test_text_limits);
        g_test_add_func("/request/count-limits", test_count_limits);
        g_test_add_func("/request/size-limits", test_size_limits);
        g_test_add_func("/request/mutations", test_mutations);
        return g_test_run();
}
