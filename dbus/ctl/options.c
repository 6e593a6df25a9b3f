/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Options
 */

#include "dbus/ctl/options.h"

#include <assert.h>
#include <getopt.h>
#include <string.h>

#define TIMEOUT_DEFAULT_MSEC (30 * 1000)

typedef enum OptionKind {
        KIND_FLAG,
        KIND_STRING,
        KIND_TIMESPAN,
        KIND_NUMBER,
        KIND_VERSION,
        KIND_ZXID,
        KIND_ACL,
        KIND_STRINGS,
} OptionKind;

static const struct {
        OptionSpec spec;
        OptionKind kind;
        size_t offset;
} table[_OPTION_MAX] = {
#define ROW(id, kind, field, ...) [OPTION_##id] = { { __VA_ARGS__ }, KIND_##kind, offsetof(Options, field) }
        ROW(HELP, FLAG, help, "help", 'h', NULL, "Show this help"),
        ROW(PROGRAM_VERSION, FLAG, program_version, "version", 0, NULL, "Show the version of convenectl"),
        ROW(JSON, FLAG, json, "json", 'j', NULL, "Print JSON"),
        ROW(QUIET, FLAG, quiet, "quiet", 'q', NULL, "Print less: nothing where the exit status tells"),
        ROW(ADDRESS, STRING, address, "address", 'A', "ADDRESS", "Talk to the agent at this bus address"),
        ROW(SYSTEM, FLAG, system, "system", 0, NULL, "Talk to the agent over the system bus"),
        ROW(TIMEOUT, TIMESPAN, timeout_msec, "timeout", 0, "TIME", "Wait this long for an answer (default 30s)"),
        ROW(SUPER, FLAG, super, "super", 0, NULL, "Act as administrator, past every ACL"),
        ROW(LINEARIZABLE, FLAG, linearizable, "linearizable", 0, NULL,
            "Read what reflects every acknowledged change"),
        ROW(RECURSIVE, FLAG, recursive, "recursive", 'r', NULL, "Include everything below the znode"),
        ROW(LONG, FLAG, long_listing, "long", 'l', NULL, "Show a table with facts about each znode"),
        ROW(DEPTH, NUMBER, depth, "depth", 'L', "N", "Go down this many levels only"),
        ROW(WITH_DATA, FLAG, with_data, "with-data", 0, NULL, "Show data too"),
        ROW(EPHEMERAL, FLAG, ephemeral, "ephemeral", 'e', NULL,
            "Keep the znode only while convenectl (or its COMMAND) runs"),
        ROW(SEQUENTIAL, FLAG, sequential, "sequential", 's', NULL, "Add the parent's next number to the name"),
        ROW(CONTAINER, FLAG, container, "container", 'c', NULL, "Make a container: removed after its last child"),
        ROW(TTL, TIMESPAN, ttl_msec, "ttl", 't', "TIME",
            "Remove the znode when unchanged and childless this long; have the lease this long"),
        ROW(PARENTS, FLAG, parents, "parents", 'p', NULL, "Make missing parents too"),
        ROW(NULL, FLAG, null_value, "null", 0, NULL, "Store a null value instead of data"),
        ROW(ACL, ACL, acl, "acl", 'a', "SCHEME:ID:PERMS", "An ACL entry; may be repeated"),
        ROW(UNIT, STRING, unit, "unit", 'u', "UNIT", "Bind the znode to the current run of this systemd unit"),
        ROW(SESSION_TIMEOUT, TIMESPAN, session_timeout_msec, "session-timeout", 0, "TIME",
            "Time-out of the session that is opened"),
        ROW(IF_VERSION, VERSION, if_version, "if-version", 'v', "N", "Only if this is the version (-1: any)"),
        ROW(IF_CZXID, ZXID, if_czxid, "if-czxid", 0, "ZXID", "Only if the znode was created by this change"),
        ROW(SINCE, ZXID, since, "since", 'S', "ZXID", "Begin with the changes after this one"),
        ROW(COUNT, NUMBER, count, "count", 'n', "N", "End after this many"),
        ROW(PATH, STRING, path, "path", 'P', "PATH", "Path of the unit's znode; specifiers are expanded"),
        ROW(DATA, STRING, data, "data", 'd', "DATA", "Data of the znode; for a unit's, specifiers are expanded"),
        ROW(ROOT, STRING, root, "root", 0, "DIR", "Work on the files below this directory, not on a running system"),
        ROW(NO_RELOAD, FLAG, no_reload, "no-reload", 0, NULL, "Do not have the agent read its files again"),
        ROW(LIFETIME, TIMESPAN, lifetime_msec, "lifetime", 0, "TIME", "The token ends after this long (default 1h)"),
        ROW(LISTEN, STRING, listen, "listen", 0, "ADDRESS[:PORT]", "Be reached by other members there (default port 2890)"),
        ROW(ADVERTISE, STRING, advertise, "advertise", 0, "ADDRESS[:PORT]", "Tell others this address instead"),
        ROW(DISCARD, FLAG, discard, "discard", 0, NULL, "Move the store of an earlier ensemble aside, whatever is in it"),
        ROW(YES, FLAG, yes, "yes", 'y', NULL, "Do not ask"),
        ROW(SHARED, FLAG, shared, "shared", 0, NULL, "Hold the lock together with others that say so too"),
        ROW(SLOTS, NUMBER, slots, "slots", 0, "N", "Hold one of this many slots: everybody must say the same"),
        ROW(TRY, FLAG, try_only, "try", 0, NULL, "Do not wait for others at all"),
        ROW(HOLDER, STRING, holder, "holder", 0, "TEXT", "Who has the lease (default: this unit or user, on this host)"),
        ROW(EXPECT, STRING, expect, "expect", 0, "N", "Only if this is the value"),
        ROW(AS, STRING, as, "as", 0, "NAME", "Be called this in the group (default: host and process)"),
        ROW(ORDERED, FLAG, ordered, "ordered", 0, NULL, "Take nothing before all that was put earlier is done"),
        ROW(TRIES, NUMBER, tries, "tries", 0, "N", "Put aside what has been taken so often in vain"),
        ROW(QUORUM, FLAG, quorum, "quorum", 0, NULL, "Wait until the agent serves"),
        ROW(VALUE, STRING, value, "value", 0, "DATA", "Wait until this is the znode's data"),
        ROW(GONE, FLAG, gone, "gone", 0, NULL, "Wait until there is no such znode"),
        ROW(CHILDREN, NUMBER, children, "children", 0, "N", "Wait until the znode has so many children, or more"),
        ROW(RELOAD, STRING, reload, "reload", 0, "UNIT", "Have this unit, if it runs, read its configuration again"),
        ROW(RESTART, STRING, restart, "restart", 0, "UNIT", "Restart this unit, if it runs"),
        ROW(MODE, STRING, mode, "mode", 'm', "MODE", "Permissions of the files (default 0600)"),
        ROW(STOP_TIMEOUT, TIMESPAN, stop_timeout_msec, "stop-timeout", 0, "TIME", "Give each stage of stopping the unit this long"),
        ROW(STAND_BACK, TIMESPAN, stand_back_msec, "stand-back", 0, "TIME", "After a failure let others go first this long"),
        ROW(COPIES, NUMBER, copies, "copies", 0, "N", "Run on this many hosts at a time: everybody must say the same"),
        ROW(PRIORITY, NUMBER, priority, "priority", 0, "N", "Go before those who wait with a lower number (default 0)"),
        ROW(PREFER, STRINGS, prefer, "prefer", 0, "HOST", "A host that goes first; may be repeated"),
#undef ROW
};

const OptionSpec *option_spec(OptionId id) {
        assert(id < _OPTION_MAX);

        return &table[id].spec;
}

void options_init(Options *o) {
        *o = (Options) {
                .timeout_msec = TIMEOUT_DEFAULT_MSEC,
                .if_version = -1,
                .acl = g_ptr_array_new_with_free_func((GDestroyNotify) acl_item_free),
                .prefer = g_ptr_array_new_with_free_func(g_free),
        };
}

void options_done(Options *o) {
        g_ptr_array_unref(o->acl);
        g_ptr_array_unref(o->prefer);
        g_free(o->address);
        g_free(o->unit);
        g_free(o->path);
        g_free(o->data);
        g_free(o->root);
        g_free(o->listen);
        g_free(o->advertise);
        g_free(o->holder);
        g_free(o->expect);
        g_free(o->as);
        g_free(o->value);
        g_free(o->reload);
        g_free(o->restart);
        g_free(o->mode);
        g_strfreev(o->arguments);
        g_strfreev(o->command);
}

static bool take_value(Options *o, OptionId id, const char *value, const char **ret_why) {
        void *field = (char *) o + table[id].offset;

        switch (table[id].kind) {
        case KIND_FLAG:
                *(bool *) field = true;
                return true;
        case KIND_STRING:
                *ret_why = "is not valid UTF-8";
                if (!g_utf8_validate(value, -1, NULL))
                        return false;
                g_free(*(char **) field);
                *(char **) field = g_strdup(value);
                return true;
        case KIND_TIMESPAN:
                *ret_why = "is not a time above 0, such as \"10\" (seconds), \"500ms\" or \"1h 30min\"";
                return parse_timespan_msec(value, field) && *(uint64_t *) field > 0;
        case KIND_NUMBER:
                *ret_why = "is not a number above 0";
                return parse_u64(value, field) && *(uint64_t *) field > 0;
        case KIND_VERSION:
                *ret_why = "is not a version: a number from 0, or -1 for any";
                return parse_version(value, field);
        case KIND_ZXID:
                *ret_why = "is not a zxid above 0, such as 0x100000002";
                return parse_zxid(value, field) && *(Zxid *) field > 0;
        case KIND_ACL: {
                AclItem *item = acl_item_parse(value, ret_why);
                if (item)
                        g_ptr_array_add(*(GPtrArray **) field, item);
                return item;
        }
        case KIND_STRINGS:
                *ret_why = "is not valid UTF-8";
                if (!g_utf8_validate(value, -1, NULL))
                        return false;
                g_ptr_array_add(*(GPtrArray **) field, g_strdup(value));
                return true;
        }

        g_assert_not_reached();
}

/* The index getopt_long() gives for a long option is its id; letters are told apart from it by this base. */
#define LETTER_BASE 256

static void build_getopt(struct option longs[_OPTION_MAX + 1], char shorts[3 * _OPTION_MAX + 3]) {
        unsigned n = 0;

        /* '-': arguments come in their place as option 1, whatever POSIXLY_CORRECT says; ':': no messages */
        shorts[n++] = '-';
        shorts[n++] = ':';
        for (unsigned i = 0; i < _OPTION_MAX; i++) {
                longs[i] = (struct option) {
                        .name = table[i].spec.name,
                        .has_arg = table[i].spec.argument ? required_argument : no_argument,
                        .val = LETTER_BASE + i,
                };
                if (table[i].spec.letter) {
                        shorts[n++] = table[i].spec.letter;
                        if (table[i].spec.argument)
                                shorts[n++] = ':';
                }
        }
        longs[_OPTION_MAX] = (struct option) {};
        shorts[n] = 0;
}

static OptionId option_from_getopt(int c) {
        if (c >= LETTER_BASE)
                return c - LETTER_BASE;

        for (unsigned i = 0; i < _OPTION_MAX; i++)
                if (table[i].spec.letter == c)
                        return i;

        g_assert_not_reached();
}

static char *describe_mistake(int c, char **argv) {
        const char *word = argv[optind - 1];

        if (c == ':')
                return g_strdup_printf("option %s needs a value", word);
        if (optopt > 0 && optopt < LETTER_BASE)
                return g_strdup_printf("unknown option -%c", optopt);
        if (optopt >= LETTER_BASE)
                return g_strdup_printf("option --%s takes no value", table[optopt - LETTER_BASE].spec.name);
        return g_strdup_printf("unknown or ambiguous option %s", word);
}

/* What follows "--" is no option.  It is kept apart, since some commands run it. */
static int split_command(Options *o, int argc, char **argv) {
        for (int i = 1; i < argc; i++)
                if (g_str_equal(argv[i], "--")) {
                        o->command = g_strdupv(argv + i + 1);
                        return i;
                }

        return argc;
}

bool options_parse(Options *o, int argc, char **argv, char **ret_error) {
        struct option longs[_OPTION_MAX + 1];
        char shorts[3 * _OPTION_MAX + 3];
        g_autoptr(GPtrArray) arguments = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(GPtrArray) words = g_ptr_array_new();
        int c;

        argc = split_command(o, argc, argv);
        for (int i = 0; i < argc; i++)
                g_ptr_array_add(words, argv[i]);
        g_ptr_array_add(words, NULL);

        build_getopt(longs, shorts);
        optind = 0;             /* have glibc begin anew: the tests parse more than one line */
        opterr = 0;
        while ((c = getopt_long(argc, (char **) words->pdata, shorts, longs, NULL)) >= 0) {
                const char *why = NULL;

                if (c == 1) {
                        if (!g_utf8_validate(optarg, -1, NULL) && arguments->len < 2) {
                                *ret_error = g_strdup("arguments must be valid UTF-8");
                                return false;
                        }
                        g_ptr_array_add(arguments, g_strdup(optarg));
                        continue;
                }
                if (c == '?' || c == ':') {
                        *ret_error = describe_mistake(c, (char **) words->pdata);
                        return false;
                }

                OptionId id = option_from_getopt(c);
                if (!take_value(o, id, optarg, &why)) {
                        *ret_error = g_strdup_printf("--%s: \"%s\" %s", table[id].spec.name, optarg, why);
                        return false;
                }
                o->given |= OPTION_BIT(id);
        }

        o->arguments_count = arguments->len;
        g_ptr_array_add(arguments, NULL);
        o->arguments = (char **) g_ptr_array_free(g_steal_pointer(&arguments), FALSE);
        return true;
}
