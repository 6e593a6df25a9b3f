/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Request
 *
 * Bytes: u8 format (1)  u8 op  u32 origin  u64 number  u64 session  then u64 cxid with a session, the caller's
 * identities without one; then the fields of the op in the order of Field.  An operation of a multi is u8 op and its
 * fields.  A field that an op does not use has no bytes and a flag is 0 or 1, so each request has one encoding.
 */

#include "agent/tree/request.h"

#include <string.h>

#include <glib.h>

#include "agent/base/limits.h"

#define REQUEST_FORMAT 1

typedef enum Field {
        FIELD_PATH          = 1 << 0,   /* string */
        FIELD_DATA          = 1 << 1,   /* u8 present, blob if present */
        FIELD_ACL           = 1 << 2,
        FIELD_MODE          = 1 << 3,   /* u8, i64 ttl for the TTL modes */
        FIELD_VERSION       = 1 << 4,   /* i32 */
        FIELD_CZXID         = 1 << 5,   /* u64 */
        FIELD_START         = 1 << 6,   /* string */
        FIELD_START_SESSION = 1 << 7,   /* u64 */
        FIELD_ENTRIES_MAX   = 1 << 8,   /* u32 */
        FIELD_WANT_DATA     = 1 << 9,   /* u8 */
        FIELD_TARGET        = 1 << 10,  /* u64 */
        FIELD_TIMEOUT       = 1 << 11,  /* u32 */
        FIELD_SECRET        = 1 << 12,  /* 32 bytes */
        FIELD_OWNER         = 1 << 13,  /* u8 kind, string */
        FIELD_MEMBER        = 1 << 14,  /* u32 */
        FIELD_IDENTITIES    = 1 << 15,
        FIELD_EXPIRED       = 1 << 16,  /* u8, u64 generation if 1 */
        FIELD_OPERATIONS    = 1 << 17,  /* u32 count, operations */
        FIELD_KNOWN         = 1 << 18,  /* no bytes: tells an op without fields from no op */
} Field;

#define FIELDS_LIST (FIELD_PATH | FIELD_START | FIELD_ENTRIES_MAX | FIELD_WANT_DATA)

/* u8 op and the smallest fields of what may stand in a multi: an empty path */
#define OPERATION_BYTES_MIN (1 + sizeof(uint32_t) + 1)

/* Only operations can make a request too large: everything else together stays below the limit. */
G_STATIC_ASSERT(LIMIT_DATA_BYTES + 2 * LIMIT_PATH_BYTES + LIMIT_OWNER_BYTES +
                (LIMIT_ACL_ENTRIES + 2 * LIMIT_SESSION_IDENTITIES) * (2 * LIMIT_IDENTITY_BYTES + 16) + 256 <
                LIMIT_REQUEST_BYTES);

static const struct {
        unsigned fields;
        RequestOp inside;               /* the kind of multi that may hold it; 0 for none */
        bool only_inside;
} ops[] = {
        [REQUEST_CREATE]            = { FIELD_PATH | FIELD_DATA | FIELD_ACL | FIELD_MODE, REQUEST_MULTI },
        [REQUEST_DELETE]            = { FIELD_PATH | FIELD_VERSION | FIELD_CZXID, REQUEST_MULTI },
        [REQUEST_SET_DATA]          = { FIELD_PATH | FIELD_DATA | FIELD_VERSION | FIELD_CZXID, REQUEST_MULTI },
        [REQUEST_SET_ACL]           = { FIELD_PATH | FIELD_ACL | FIELD_VERSION },
        [REQUEST_CHECK]             = { FIELD_PATH | FIELD_VERSION | FIELD_CZXID, REQUEST_MULTI, true },
        [REQUEST_MULTI]             = { FIELD_OPERATIONS },
        [REQUEST_DELETE_RECURSIVE]  = { FIELD_PATH },
        [REQUEST_REAP]              = { FIELD_PATH | FIELD_CZXID },
        [REQUEST_OPEN_SESSION]      = { FIELD_TIMEOUT | FIELD_SECRET | FIELD_OWNER | FIELD_MEMBER | FIELD_IDENTITIES },
        [REQUEST_ATTACH_SESSION]    = { FIELD_TARGET | FIELD_TIMEOUT | FIELD_SECRET | FIELD_MEMBER },
        [REQUEST_AUTH_SESSION]      = { FIELD_TARGET | FIELD_IDENTITIES },
        [REQUEST_CLOSE_SESSION]     = { FIELD_TARGET | FIELD_EXPIRED },
        [REQUEST_EXISTS]            = { FIELD_PATH },
        [REQUEST_GET_DATA]          = { FIELD_PATH, REQUEST_MULTI_READ },
        [REQUEST_GET_ACL]           = { FIELD_PATH },
        [REQUEST_GET_CHILDREN]      = { FIELDS_LIST, REQUEST_MULTI_READ },
        [REQUEST_COUNT_DESCENDANTS] = { FIELD_PATH },
        [REQUEST_GET_EPHEMERALS]    = { FIELD_PATH | FIELD_START | FIELD_ENTRIES_MAX },
        [REQUEST_LIST]              = { FIELDS_LIST },
        [REQUEST_MULTI_READ]        = { FIELD_OPERATIONS },
        [REQUEST_WHO_AM_I]          = { FIELD_KNOWN },
        [REQUEST_LIST_SESSIONS]     = { FIELD_START_SESSION | FIELD_ENTRIES_MAX },
        [REQUEST_SYNC]              = { FIELD_PATH },
};

static unsigned op_fields(RequestOp op) {
        return (size_t) op < G_N_ELEMENTS(ops) ? ops[op].fields : 0;
}

static bool op_may_stand_in(RequestOp op, RequestOp multi) {
        return op_fields(op) != 0 && ops[op].inside == multi;
}

static bool mode_has_ttl(CreateMode mode) {
        return mode == CREATE_TTL || mode == CREATE_TTL_SEQUENTIAL;
}

/*
 * Encoding
 */

/* A value that is none stays none, whatever its low byte says. */
static void encode_enum(unsigned v, unsigned max, Writer *w) {
        writer_u8(w, v < max ? (uint8_t) v : UINT8_MAX);
}

static void encode_node_fields(unsigned fields, const Request *r, Writer *w) {
        if (fields & FIELD_PATH)
                writer_string(w, r->path);
        if (fields & FIELD_DATA) {
                writer_u8(w, r->data != NULL);
                if (r->data)
                        writer_blob(w, r->data, r->data_size);
        }
        if (fields & FIELD_ACL)
                acl_entries_encode(r->acl, w);
        if (fields & FIELD_MODE) {
                encode_enum(r->mode, _CREATE_MODE_MAX, w);
                if (mode_has_ttl(r->mode))
                        writer_i64(w, r->ttl_msec);
        }
        if (fields & FIELD_VERSION)
                writer_i32(w, r->version);
        if (fields & FIELD_CZXID)
                writer_u64(w, r->czxid);
        if (fields & FIELD_START)
                writer_string(w, r->start_after);
        if (fields & FIELD_START_SESSION)
                writer_u64(w, r->start_after_session);
        if (fields & FIELD_ENTRIES_MAX)
                writer_u32(w, r->entries_max);
        if (fields & FIELD_WANT_DATA)
                writer_u8(w, r->want_data);
}

static void encode_session_fields(unsigned fields, const Request *r, Writer *w) {
        if (fields & FIELD_TARGET)
                writer_u64(w, r->target);
        if (fields & FIELD_TIMEOUT)
                writer_u32(w, r->timeout_msec);
        if (fields & FIELD_SECRET)
                writer_bytes(w, r->secret_hash, sizeof(r->secret_hash));
        if (fields & FIELD_OWNER) {
                encode_enum(r->owner_kind, _OWNER_KIND_MAX, w);
                writer_string(w, r->owner);
        }
        if (fields & FIELD_MEMBER)
                writer_u32(w, r->member);
        if (fields & FIELD_IDENTITIES)
                identities_encode(r->identities, w);
        if (fields & FIELD_EXPIRED) {
                writer_u8(w, r->expired);
                if (r->expired)
                        writer_u64(w, r->generation);
        }
}

static void encode_operation(const Request *r, Writer *w) {
        encode_enum(r->op, G_N_ELEMENTS(ops), w);
        encode_node_fields(op_fields(r->op), r, w);
}

void request_encode(const Request *r, Writer *w) {
        unsigned fields = op_fields(r->op);

        writer_u8(w, REQUEST_FORMAT);
        encode_enum(r->op, G_N_ELEMENTS(ops), w);
        writer_u32(w, r->origin);
        writer_u64(w, r->number);
        writer_u64(w, r->session);
        if (r->session != 0)
                writer_u64(w, r->cxid);
        else
                identities_encode(r->caller, w);

        encode_node_fields(fields, r, w);
        encode_session_fields(fields, r, w);
        if (fields & FIELD_OPERATIONS) {
                writer_u32(w, r->operations_count);
                for (uint32_t i = 0; i < r->operations_count; i++)
                        encode_operation(&r->operations[i], w);
        }
}

/*
 * Decoding
 */

typedef struct Decoder {
        Reader reader;
        GPtrArray *arrays;              /* made when the first array comes */
} Decoder;

static void decoder_keep(Decoder *d, const void *array) {
        if (!array)
                return;

        if (!d->arrays)
                d->arrays = g_ptr_array_new_with_free_func(g_free);
        g_ptr_array_add(d->arrays, (gpointer) array);
}

static bool decode_bool(Decoder *d) {
        uint8_t v = reader_u8(&d->reader);

        if (v > 1)
                d->reader.failed = true;
        return v == 1;
}

static unsigned decode_enum(Decoder *d, unsigned max) {
        uint8_t v = reader_u8(&d->reader);

        if (v >= max)
                d->reader.failed = true;
        return v < max ? v : 0;
}

static Identities decode_identities(Decoder *d) {
        Identities i = {};

        if (identities_decode(&d->reader, &i))
                decoder_keep(d, i.items);
        return i;
}

static void decode_data(Decoder *d, Request *r) {
        size_t size;

        if (!decode_bool(d))
                return;

        r->data = reader_blob(&d->reader, LIMIT_DATA_BYTES, &size);
        r->data_size = size;
}

static void decode_node_fields(Decoder *d, unsigned fields, Request *r) {
        if (fields & FIELD_PATH)
                r->path = reader_string(&d->reader, LIMIT_PATH_BYTES);
        if (fields & FIELD_DATA)
                decode_data(d, r);
        if ((fields & FIELD_ACL) && acl_entries_decode(&d->reader, &r->acl))
                decoder_keep(d, r->acl.items);
        if (fields & FIELD_MODE) {
                r->mode = decode_enum(d, _CREATE_MODE_MAX);
                if (mode_has_ttl(r->mode))
                        r->ttl_msec = reader_i64(&d->reader);
        }
        if (fields & FIELD_VERSION)
                r->version = reader_i32(&d->reader);
        if (fields & FIELD_CZXID)
                r->czxid = reader_u64(&d->reader);
        if (fields & FIELD_START)
                r->start_after = reader_string(&d->reader, LIMIT_PATH_BYTES);
        if (fields & FIELD_START_SESSION)
                r->start_after_session = reader_u64(&d->reader);
        if (fields & FIELD_ENTRIES_MAX)
                r->entries_max = reader_u32(&d->reader);
        if (fields & FIELD_WANT_DATA)
                r->want_data = decode_bool(d);
}

static void decode_session_fields(Decoder *d, unsigned fields, Request *r) {
        if (fields & FIELD_TARGET)
                r->target = reader_u64(&d->reader);
        if (fields & FIELD_TIMEOUT)
                r->timeout_msec = reader_u32(&d->reader);
        if (fields & FIELD_SECRET) {
                const uint8_t *p = reader_bytes(&d->reader, sizeof(r->secret_hash));

                if (p)
                        memcpy(r->secret_hash, p, sizeof(r->secret_hash));
        }
        if (fields & FIELD_OWNER) {
                r->owner_kind = decode_enum(d, _OWNER_KIND_MAX);
                r->owner = reader_string(&d->reader, LIMIT_OWNER_BYTES);
        }
        if (fields & FIELD_MEMBER)
                r->member = reader_u32(&d->reader);
        if (fields & FIELD_IDENTITIES)
                r->identities = decode_identities(d);
        if (fields & FIELD_EXPIRED) {
                r->expired = decode_bool(d);
                if (r->expired)
                        r->generation = reader_u64(&d->reader);
        }
}

static void decode_operations(Decoder *d, Request *r) {
        uint32_t count = reader_count(&d->reader, LIMIT_MULTI_OPERATIONS, OPERATION_BYTES_MIN);
        Request *operations = g_new0(Request, count);

        decoder_keep(d, operations);
        for (uint32_t i = 0; i < count && !d->reader.failed; i++) {
                operations[i].op = reader_u8(&d->reader);
                if (op_may_stand_in(operations[i].op, r->op))
                        decode_node_fields(d, op_fields(operations[i].op), &operations[i]);
                else
                        d->reader.failed = true;
        }

        r->operations = operations;
        r->operations_count = count;
}

static void decode_request(Decoder *d, Request *r) {
        unsigned fields;

        if (reader_u8(&d->reader) != REQUEST_FORMAT)
                d->reader.failed = true;

        r->op = reader_u8(&d->reader);
        fields = op_fields(r->op);
        if (fields == 0)
                d->reader.failed = true;

        r->origin = reader_u32(&d->reader);
        r->number = reader_u64(&d->reader);
        r->session = reader_u64(&d->reader);
        if (r->session != 0)
                r->cxid = reader_u64(&d->reader);
        else
                r->caller = decode_identities(d);

        decode_node_fields(d, fields, r);
        decode_session_fields(d, fields, r);
        if (fields & FIELD_OPERATIONS)
                decode_operations(d, r);
}

bool request_decode(const uint8_t *data, size_t size, DecodedRequest *ret) {
        Decoder d = {};
        Request r = {};

        if (size == 0 || size > LIMIT_REQUEST_BYTES)
                return false;

        d.reader = READER_INIT(data, size);
        decode_request(&d, &r);
        if (!reader_done(&d.reader)) {
                g_clear_pointer(&d.arrays, g_ptr_array_unref);
                return false;
        }

        *ret = (DecodedRequest) { r, d.arrays };
        return true;
}

void request_decoded_done(DecodedRequest *d) {
        g_clear_pointer(&d->arrays, g_ptr_array_unref);
        d->request = (Request) {};
}

/*
 * Validation
 */

static bool text_fits(const char *s, size_t size_max) {
        return !s || strnlen(s, size_max + 1) <= size_max;
}

/* An owner is shown to people and in D-Bus strings. */
static bool owner_is_text(const char *owner) {
        if (!owner)
                return true;

        for (const char *p = owner; *p; p++)
                if (g_ascii_iscntrl(*p))
                        return false;

        return g_utf8_validate(owner, -1, NULL);
}

static bool identity_fits(Identity who) {
        return who.scheme && who.id && text_fits(who.scheme, LIMIT_IDENTITY_BYTES) &&
                text_fits(who.id, LIMIT_IDENTITY_BYTES);
}

static ConveneStatus validate_identities(Identities i) {
        if (i.count > LIMIT_SESSION_IDENTITIES)
                return CONVENE_LIMIT_EXCEEDED;

        for (uint32_t n = 0; n < i.count; n++)
                if (!identity_fits(i.items[n]))
                        return CONVENE_AUTH_FAILED;

        return CONVENE_OK;
}

static ConveneStatus validate_acl(AclEntries e) {
        if (e.count > LIMIT_ACL_ENTRIES)
                return CONVENE_LIMIT_EXCEEDED;

        for (uint32_t i = 0; i < e.count; i++)
                if (!identity_fits(e.items[i].who))
                        return CONVENE_INVALID_ACL;

        return CONVENE_OK;
}

static ConveneStatus validate_fields(const Request *r) {
        unsigned fields = op_fields(r->op);
        ConveneStatus status = CONVENE_OK;

        if (((fields & FIELD_PATH) && !text_fits(r->path, LIMIT_PATH_BYTES)) ||
            ((fields & FIELD_START) && !text_fits(r->start_after, LIMIT_PATH_BYTES)) ||
            ((fields & FIELD_DATA) && r->data_size > LIMIT_DATA_BYTES) ||
            ((fields & FIELD_OWNER) && !text_fits(r->owner, LIMIT_OWNER_BYTES)))
                return CONVENE_TOO_LARGE;

        if ((fields & FIELD_OWNER) && !owner_is_text(r->owner))
                return CONVENE_BAD_ARGUMENTS;

        if (fields & FIELD_ACL)
                status = validate_acl(r->acl);
        if (status == CONVENE_OK && (fields & FIELD_IDENTITIES))
                status = validate_identities(r->identities);
        return status;
}

static size_t string_bytes(const char *s) {
        return sizeof(uint32_t) + (s ? strlen(s) : 0) + 1;
}

/* The encoded size of an operation of a multi, which is already valid by itself. */
static size_t operation_bytes(const Request *r) {
        unsigned fields = op_fields(r->op);
        size_t size = 1;

        if (fields & FIELD_PATH)
                size += string_bytes(r->path);
        if (fields & FIELD_DATA)
                size += 1 + (r->data ? sizeof(uint32_t) + r->data_size : 0);
        if (fields & FIELD_ACL) {
                size += sizeof(uint32_t);
                for (uint32_t i = 0; i < r->acl.count; i++)
                        size += sizeof(uint32_t) + string_bytes(r->acl.items[i].who.scheme) +
                                string_bytes(r->acl.items[i].who.id);
        }
        if (fields & FIELD_MODE)
                size += 1 + (mode_has_ttl(r->mode) ? sizeof(uint64_t) : 0);
        if (fields & FIELD_VERSION)
                size += sizeof(uint32_t);
        if (fields & FIELD_CZXID)
                size += sizeof(uint64_t);
        if (fields & FIELD_START)
                size += string_bytes(r->start_after);
        if (fields & FIELD_ENTRIES_MAX)
                size += sizeof(uint32_t);
        if (fields & FIELD_WANT_DATA)
                size += 1;

        return size;
}

static size_t head_bytes(const Request *r) {
        size_t size = 2 + sizeof(uint32_t) + 2 * sizeof(uint64_t);

        if (r->session != 0)
                return size + sizeof(uint64_t);

        size += sizeof(uint32_t);
        for (uint32_t i = 0; i < r->caller.count; i++)
                size += string_bytes(r->caller.items[i].scheme) + string_bytes(r->caller.items[i].id);
        return size;
}

static ConveneStatus validate_operations(const Request *r) {
        size_t size = head_bytes(r) + sizeof(uint32_t);

        if (r->operations_count > LIMIT_MULTI_OPERATIONS)
                return CONVENE_TOO_LARGE;

        for (uint32_t i = 0; i < r->operations_count; i++)
                if (!op_may_stand_in(r->operations[i].op, r->op))
                        return CONVENE_MARSHALLING_ERROR;

        for (uint32_t i = 0; i < r->operations_count; i++) {
                const Request *o = &r->operations[i];
                ConveneStatus status;

                if (o->session != 0 || o->cxid != 0 || o->caller.count > 0 || o->origin != 0 || o->number != 0)
                        return CONVENE_BAD_ARGUMENTS;

                status = validate_fields(o);
                if (status != CONVENE_OK)
                        return status;

                size += operation_bytes(o);
                if (size > LIMIT_REQUEST_BYTES)
                        return CONVENE_TOO_LARGE;
        }

        return CONVENE_OK;
}

ConveneStatus request_validate(const Request *r) {
        ConveneStatus status;

        if (op_fields(r->op) == 0)
                return CONVENE_MARSHALLING_ERROR;
        if (ops[r->op].only_inside)
                return CONVENE_UNIMPLEMENTED;

        if (r->session != 0 ? r->caller.count > 0 : r->cxid != 0)
                return CONVENE_BAD_ARGUMENTS;

        status = validate_identities(r->caller);
        if (status == CONVENE_OK)
                status = validate_fields(r);
        if (status == CONVENE_OK && (op_fields(r->op) & FIELD_OPERATIONS))
                status = validate_operations(r);
        return status;
}
