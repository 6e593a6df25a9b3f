/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * convenectl: what needs no agent
 */

#include <string.h>

#include <glib.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/exit-status.h"
#include "dbus/ctl/json.h"
#include "dbus/ctl/multi.h"
#include "dbus/ctl/options.h"
#include "dbus/ctl/presence-file.h"
#include "dbus/ctl/projection.h"
#include "dbus/ctl/quota-text.h"
#include "dbus/ctl/singleton-file.h"
#include "dbus/ctl/text.h"
#include "dbus/ctl/unit-facts.h"

static void test_numbers(void) {
        uint64_t v = 77;
        int32_t version = 77;

        g_assert_true(parse_u64("18446744073709551615", &v));
        g_assert_cmpuint(v, ==, UINT64_MAX);
        static const char *const bad[] = { "", " 1", "+1", "-1", "1 ", "0x1", "18446744073709551616", "1a" };
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
                g_assert_false(parse_u64(bad[i], &v));

        g_assert_true(parse_version("-1", &version));
        g_assert_cmpint(version, ==, -1);
        g_assert_true(parse_version("2147483647", &version));
        g_assert_cmpint(version, ==, INT32_MAX);
        g_assert_false(parse_version("2147483648", &version));
        g_assert_false(parse_version("-2", &version));
}

static void test_zxid(void) {
        Zxid z;

        g_assert_true(parse_zxid("0x100000002", &z));
        g_assert_cmpuint(z, ==, zxid_make(1, 2));
        g_assert_true(parse_zxid("4294967298", &z));
        g_assert_cmpuint(z, ==, zxid_make(1, 2));
        g_assert_true(parse_zxid("1:2", &z));
        g_assert_cmpuint(z, ==, zxid_make(1, 2));
        g_assert_true(parse_zxid("2147483647:4294967295", &z));
        g_assert_false(parse_zxid("2147483648:1", &z));
        g_assert_false(parse_zxid("1:4294967296", &z));
        g_assert_false(parse_zxid("1:", &z));
        g_assert_false(parse_zxid(":1", &z));
        g_assert_false(parse_zxid("0x", &z));
        g_assert_false(parse_zxid("0x0x1", &z));
        g_assert_false(parse_zxid("100000002x", &z));

        uint64_t id;
        g_assert_true(parse_session_id("0000000100000003", &id));
        g_assert_cmpuint(id, ==, UINT64_C(0x100000003));
        g_assert_true(parse_session_id("0x100000003", &id));
        g_assert_false(parse_session_id("0", &id));
        g_assert_false(parse_session_id("00000000100000003", &id));
        g_assert_false(parse_session_id("", &id));
        g_assert_false(parse_session_id("nginx", &id));
}

static void test_spans(void) {
        static const struct {
                const char *text;
                uint64_t msec;
        } good[] = {
                { "10", 10000 }, { "10s", 10000 }, { "500ms", 500 }, { "1h 30min", 5400000 }, { "1h30min", 5400000 },
                { "2 d", 172800000 }, { " 1 ", 1000 }, { "0", 0 }, { "1s 1s", 2000 },
        };
        static const char *const bad[] = { "", " ", "s", "10x", "-1", "1.5s", "99999999999999999999",
                                           "18446744073709551615d" };
        uint64_t v;

        for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
                g_assert_true(parse_timespan_msec(good[i].text, &v));
                g_assert_cmpuint(v, ==, good[i].msec);
        }
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
                g_assert_false(parse_timespan_msec(bad[i], &v));

        g_assert_true(parse_size("64K", &v));
        g_assert_cmpuint(v, ==, 65536);
        g_assert_true(parse_size("1G", &v));
        g_assert_cmpuint(v, ==, UINT64_C(1) << 30);
        g_assert_true(parse_size("0", &v));
        g_assert_false(parse_size("", &v));
        g_assert_false(parse_size("K", &v));
        g_assert_false(parse_size("1k", &v));
        g_assert_false(parse_size("16777216T", &v));
        g_assert_true(parse_size("16777215T", &v));
}

static void check_string(char *text, const char *expected) {
        g_assert_cmpstr(text, ==, expected);
        g_free(text);
}

static void test_formats(void) {
        check_string(format_timespan_msec(0), "0");
        check_string(format_timespan_msec(250), "250ms");
        check_string(format_timespan_msec(10000), "10s");
        check_string(format_timespan_msec(90061001), "1d 1h");
        check_string(format_timespan_msec(86405000), "1d");
        check_string(format_size(12), "12B");
        check_string(format_size(1536), "1.5K");
        check_string(format_size(16 << 20), "16M");
        check_string(format_size(UINT64_MAX), "15.9E");
        check_string(format_line("a\033[31mb\nc\302\233"), "a\\x1b[31mb\\x0ac\\x9b");
        check_string(format_line("\303\244 ok"), "\303\244 ok");

        check_string(format_data((const uint8_t *) "plain\n", 6, 0), "plain\n");
        check_string(format_data((const uint8_t *) "\033]0;x", 5, 0), "\\x1b]0;x");
        check_string(format_data((const uint8_t *) "a\\\0b", 4, 0), "a\\\\\\x00b");
        check_string(format_data((const uint8_t *) "\303\244\303\244", 4, 3), "\303\244...");
        check_string(format_data(NULL, 0, 10), "");

        check_string(path_parent("/"), "/");
        check_string(path_parent("/a"), "/");
        check_string(path_parent("/a/b"), "/a");
        g_assert_cmpstr(path_name("/a/b"), ==, "b");
        g_assert_cmpstr(path_name("/"), ==, "");
}

static void check_acl(const char *text, uint32_t permissions, const char *scheme, const char *id) {
        const char *why = NULL;
        g_autoptr(AclItem) item = acl_item_parse(text, &why);

        g_assert_nonnull(item);
        g_assert_cmpuint(item->permissions, ==, permissions);
        g_assert_cmpstr(item->scheme, ==, scheme);
        g_assert_cmpstr(item->id, ==, id);
}

static void test_acl(void) {
        static const char *const bad[] = { "", "world", "world:anyone", "world:anyone:", "world:anyone:x", ":id:r",
                                           "world:anyone:rr ", "a:\xff:r" };
        const char *why;

        check_acl("world:anyone:r", 1, "world", "anyone");
        check_acl("world:anyone:cdrwa", 31, "world", "anyone");
        check_acl("world:anyone:all", 31, "world", "anyone");
        check_acl("auth::rr", 1, "auth", "");
        check_acl("digest:u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=:cw", 6, "digest", "u:Jq7wMyA/w2Vd5WIDAKdu4OIIFEQ=");
        check_acl("ip:fe80::1/64:d", 8, "ip", "fe80::1/64");
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
                why = NULL;
                g_assert_null(acl_item_parse(bad[i], &why));
                g_assert_nonnull(why);
        }

        AclItem item = { .permissions = 31, .scheme = (char *) "unix", .id = (char *) "0@*" };
        check_string(acl_item_format(&item), "unix:0@*:cdrwa");
}

static void test_json_data(void) {
        g_autoptr(JsonObject) o = json_object_new_object();
        uint8_t *data;
        size_t size;

        json_add_data(o, "text", "\303\244\n", 3);
        json_add_data(o, "none", NULL, 0);
        json_add_data(o, "bytes", "\xff\x00", 2);
        json_add_data(o, "nul", "a\0b", 3);
        json_add_zxid(o, "zxid", zxid_make(1, 2));
        json_add_session(o, "session", 0x100000003);
        json_add_session(o, "nobody", 0);
        g_assert_cmpstr(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN), ==,
                        "{\"text\":\"\303\244\\n\",\"none\":\"\",\"bytes_base64\":\"\\/wA=\",\"nul_base64\":\"YQBi\","
                        "\"zxid\":\"0x100000002\",\"session\":\"0000000100000003\",\"nobody\":null}");

        g_assert_true(json_get_data(o, "bytes", &data, &size));
        g_assert_cmpmem(data, size, "\xff\x00", 2);
        g_free(data);
        g_assert_true(json_get_data(o, "text", &data, &size));
        g_assert_cmpmem(data, size, "\303\244\n", 3);
        g_free(data);
        g_assert_true(json_get_data(o, "absent", &data, &size));
        g_assert_null(data);

        json_add_string(o, "bad_base64", "no base64!");
        g_assert_false(json_get_data(o, "bad", &data, &size));
        json_add_string(o, "text_base64", "YQ==");
        g_assert_false(json_get_data(o, "text", &data, &size));
        g_assert_false(json_get_data(o, "nobody", &data, &size));
}

static Multi *parse(const char *text) {
        g_autofree char *error = NULL;
        Multi *m = multi_parse(text, strlen(text), &error);

        g_assert_cmpstr(error, ==, NULL);
        g_assert_nonnull(m);
        return m;
}

static void test_multi(void) {
        g_autoptr(Multi) m = parse(
                "[{\"op\": \"create\", \"path\": \"/a\", \"data\": \"x\", \"mode\": \"ttl\", \"ttl_ms\": 5000,"
                "  \"acl\": [\"world:anyone:r\", \"auth::all\"]},"
                " {\"op\": \"set\", \"path\": \"/b\", \"data_base64\": \"/wA=\", \"version\": 3,"
                "  \"czxid\": \"0x100000002\"},"
                " {\"op\": \"set\", \"path\": \"/c\", \"null\": true, \"czxid\": 5},"
                " {\"op\": \"delete\", \"path\": \"/d\", \"version\": -1},"
                " {\"op\": \"check\", \"path\": \"/e\"}]\n");
        size_t size;

        g_assert_cmpuint(m->operations->len, ==, 5);
        g_assert_false(m->reads);

        const MultiOperation *o = m->operations->pdata[0];
        g_assert_cmpstr(o->kind, ==, "create");
        g_assert_cmpstr(o->mode, ==, "ttl");
        g_assert_cmpuint(o->ttl_msec, ==, 5000);
        g_assert_cmpuint(o->acl->len, ==, 2);
        g_assert_cmpint(o->version, ==, -1);
        o = m->operations->pdata[1];
        const void *data = g_bytes_get_data(o->data, &size);
        g_assert_cmpmem(data, size, "\xff\x00", 2);
        g_assert_cmpint(o->version, ==, 3);
        g_assert_cmpuint(o->czxid, ==, zxid_make(1, 2));
        o = m->operations->pdata[2];
        g_assert_true(o->null_value);
        g_assert_null(o->data);
        g_assert_cmpuint(o->czxid, ==, 5);

        g_autoptr(Multi) reads = parse("[{\"op\":\"get\",\"path\":\"/\"},{\"op\":\"children\",\"path\":\"/\"}]");
        g_assert_true(reads->reads);
        g_autoptr(Multi) none = parse("[]");
        g_assert_cmpuint(none->operations->len, ==, 0);
}

static void test_multi_mistakes(void) {
        static const struct {
                const char *text, *mentions;
        } cases[] = {
                { "", "no valid JSON" },
                { "[", "no valid JSON" },
                { "null", "no valid JSON" },
                { "[] []", "no valid JSON at byte 3" },
                { "{}", "not an array" },
                { "[1]", "operation 0: \"op\"" },
                { "[{}]", "operation 0: \"op\"" },
                { "[{\"op\":\"drop\",\"path\":\"/\"}]", "\"op\" is not one of" },
                { "[{\"op\":\"check\"}]", "\"path\" is missing" },
                { "[{\"op\":\"check\",\"path\":1}]", "\"path\" is not a string" },
                { "[{\"op\":\"check\",\"path\":\"/a\\u0000b\"}]", "\"path\" is not a string" },
                { "[{\"op\":\"check\",\"path\":\"/\",\"data\":\"\"}]", "takes no \"data\"" },
                { "[{\"op\":\"check\",\"path\":\"/\",\"versoin\":1}]", "takes no \"versoin\"" },
                { "[{\"op\":\"check\",\"path\":\"/\",\"data version\":1}]", "takes no \"data version\"" },
                { "[{\"op\":\"check\",\"path\":\"/\",\"\":1}]", "takes no \"\"" },
                { "[{\"op\":\"check\",\"path\":\"/\",\"version\":\"1\"}]", "\"version\" is not a version" },
                { "[{\"op\":\"check\",\"path\":\"/\",\"version\":2147483648}]", "\"version\" is not a version" },
                { "[{\"op\":\"check\",\"path\":\"/\",\"czxid\":0}]", "\"czxid\" is not a zxid" },
                { "[{\"op\":\"set\",\"path\":\"/\"}]", "needs \"data\"" },
                { "[{\"op\":\"set\",\"path\":\"/\",\"data\":\"x\",\"null\":true}]", "exclude" },
                { "[{\"op\":\"set\",\"path\":\"/\",\"data\":\"x\",\"data_base64\":\"\"}]", "both" },
                { "[{\"op\":\"create\",\"path\":\"/\",\"acl\":[\"x\"]}]", "\"acl\" is not of the form" },
                { "[{\"op\":\"create\",\"path\":\"/\",\"acl\":\"x\"}]", "\"acl\" is not an array" },
                { "[{\"op\":\"create\",\"path\":\"/\",\"ttl_ms\":0}]", "\"ttl_ms\"" },
                { "[{\"op\":\"create\",\"path\":\"/\"},{\"op\":\"get\",\"path\":\"/\"}]", "operation 1: reads" },
                { "[[[[[[[[[[[[[[[[[[[[[[[[[[[[]", "no valid JSON" },
                { "[{\"op\":\"check\",\"path\340\236\235\":\"\"}]", "at byte 20: not UTF-8" },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *error = NULL;

                g_test_message("%s", cases[i].text);
                g_assert_null(multi_parse(cases[i].text, strlen(cases[i].text), &error));
                g_assert_nonnull(error);
                if (!strstr(error, cases[i].mentions))
                        g_error("%s: \"%s\" does not mention \"%s\"", cases[i].text, error, cases[i].mentions);
        }
}

static void test_quota(void) {
        Quota q = QUOTA_NONE, back;

        g_assert_true(quota_take(&q, "count=1000"));
        check_string(quota_format(&q), "count=1000,bytes=-1");
        g_assert_true(quota_take(&q, "hard-bytes=10M"));
        check_string(quota_format(&q), "count=1000,bytes=-1=;byteHardLimit=10485760;countHardLimit=-1");
        g_assert_false(quota_take(&q, "count"));
        g_assert_false(quota_take(&q, "count=-1"));
        g_assert_false(quota_take(&q, "bites=1"));

        g_autofree char *text = quota_format(&q);
        g_assert_true(quota_parse(text, strlen(text), &back));
        g_assert_cmpmem(&q, sizeof(q), &back, sizeof(back));
        g_assert_false(quota_parse("count=x", 7, &back));
        g_assert_false(quota_parse("", 0, &back));
        g_assert_false(quota_parse("count=1=2,bytes=3", 17, &back));
        check_string(quota_directory("/a/b"), "/zookeeper/quota/a/b");
}

static bool try_options(Options *o, char **ret_error, const char *line) {
        g_auto(GStrv) argv = g_strsplit(line, " ", -1);

        options_init(o);
        return options_parse(o, g_strv_length(argv), argv, ret_error);
}

static void test_options(void) {
        g_autofree char *error = NULL;
        Options o;

        g_assert_true(try_options(&o, &error, "convenectl create /a -es --acl world:anyone:r --acl=auth::all --ttl=1h "
                                              "data --if-version -1 --timeout 5 -- sleep --since 1"));
        g_assert_cmpuint(o.arguments_count, ==, 3);
        g_assert_cmpstr(o.arguments[0], ==, "create");
        g_assert_cmpstr(o.arguments[2], ==, "data");
        g_assert_true(o.ephemeral && o.sequential);
        g_assert_cmpuint(o.acl->len, ==, 2);
        g_assert_cmpuint(o.ttl_msec, ==, 3600000);
        g_assert_cmpuint(o.timeout_msec, ==, 5000);
        g_assert_cmpint(o.if_version, ==, -1);
        g_assert_cmpuint(o.since, ==, 0);
        g_assert_cmpstr(o.command[1], ==, "--since");
        g_assert_true(o.given & OPTION_BIT(OPTION_IF_VERSION));
        options_done(&o);

        g_assert_true(try_options(&o, &error, "convenectl set /a -"));
        g_assert_cmpstr(o.arguments[2], ==, "-");
        g_assert_null(o.command);
        options_done(&o);
}

static void test_options_mistakes(void) {
        static const struct {
                const char *line, *mentions;
        } cases[] = {
                { "convenectl --bogus", "--bogus" },
                { "convenectl get -x", "-x" },
                { "convenectl get -qx", "-x" },
                { "convenectl --json=1", "--json takes no value" },
                { "convenectl --timeout", "--timeout needs a value" },
                { "convenectl -A", "-A needs a value" },
                { "convenectl --timeout=0", "--timeout" },
                { "convenectl --timeout=soon", "--timeout: \"soon\"" },
                { "convenectl --if-version=-2", "--if-version" },
                { "convenectl --since=0", "--since" },
                { "convenectl --count=-1", "--count" },
                { "convenectl --acl=world", "--acl" },
                { "convenectl --unit=\xff", "UTF-8" },
                { "convenectl get \xff", "UTF-8" },
                { "convenectl --s", "ambiguous" },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *error = NULL;
                Options o;

                g_assert_false(try_options(&o, &error, cases[i].line));
                if (!strstr(error, cases[i].mentions))
                        g_error("%s: \"%s\" does not mention \"%s\"", cases[i].line, error, cases[i].mentions);
                options_done(&o);
        }
}

static void test_commands(void) {
        char *words[] = { (char *) "sessions", (char *) "close", (char *) "1", NULL };
        char *wrong[] = { (char *) "sessions", (char *) "frob", NULL };
        char *unknown[] = { (char *) "frob", NULL };
        unsigned n;

        const Command *command = command_find(words, 3, &n);
        g_assert_cmpstr(command->verb, ==, "close");
        g_assert_cmpuint(n, ==, 2);
        command = command_find(words, 1, &n);
        g_assert_cmpstr(command->verb, ==, "list");
        g_assert_cmpuint(n, ==, 1);
        g_assert_null(command_find(wrong, 2, &n));
        g_assert_null(command_find(unknown, 1, &n));
        g_assert_null(command_find(words, 0, &n));

        for (unsigned i = 0; command_at(i); i++) {
                command = command_at(i);
                g_assert_nonnull(command->run);
                g_assert_cmpuint(command->arguments_min, <=, command->arguments_max);
                g_assert_true(command_takes_option(command, OPTION_JSON));
                /* the rows of a name stand together */
                for (unsigned j = i + 2; command_at(j); j++)
                        if (g_str_equal(command_at(j)->name, command->name))
                                g_assert_cmpstr(command_at(j - 1)->name, ==, command->name);
        }

        /* no two options share a letter */
        for (unsigned i = 0; i < _OPTION_MAX; i++)
                for (unsigned j = 0; j < i; j++)
                        g_assert_true(option_spec(i)->letter == 0 || option_spec(i)->letter != option_spec(j)->letter);
}

static void test_exit_status(void) {
        for (unsigned i = 0; i < _EXIT_STATUS_MAX; i++) {
                g_assert_nonnull(exit_status_name(i));
                g_assert_nonnull(exit_status_describe(i));
        }
        g_assert_null(exit_status_name(_EXIT_STATUS_MAX));

        static const struct {
                const char *name;
                ExitStatus exit;
        } cases[] = {
                { "org.convene1.Error.NoNode", 3 },
                { "org.convene1.Error.NodeExists", 4 },
                { "org.convene1.Error.NotEmpty", 4 },
                { "org.convene1.Error.BadVersion", 4 },
                { "org.convene1.Error.NoAuth", 5 },
                { "org.convene1.Error.NotReady", 6 },
                { "org.convene1.Error.NoSpace", 7 },
                { "org.convene1.Error.SessionExpired", 8 },
                { "org.convene1.Error.FateUnknown", 9 },
                { "org.convene1.Error.HistoryGone", 10 },
                { "org.convene1.Error.BadArguments", 2 },
                { "org.convene1.Error.Unheard", 1 },
                { "org.freedesktop.DBus.Error.AccessDenied", 5 },
                { "org.freedesktop.DBus.Error.ServiceUnknown", 6 },
                { "org.freedesktop.DBus.Error.Spawn.ChildExited", 6 },
                { "org.freedesktop.DBus.Error.Failed", 1 },
                { NULL, 1 },
        };
        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
                g_assert_cmpint(exit_status_from_error_name(cases[i].name), ==, cases[i].exit);
}

static void test_presence_file(void) {
        g_autofree char *error = NULL;
        Options o;

        g_assert_true(try_options(&o, &error, "convenectl presence enable a.service --path=/s/%N --data=x\ny "
                                              "--acl=world:anyone:r --acl=unix:0@*:all --session-timeout=1500ms"));
        check_string(presence_file_format("web@*.service", &o),
                     "# Written by \"convenectl presence enable\"; see convene.presence(5).\n"
                     "[Presence]\n"
                     "Unit=web@*.service\n"
                     "Path=/s/%N\n"
                     "Data=x\\ny\n"
                     "Timeout=1500ms\n"
                     "Acl=world:anyone:r unix:0@*:cdrwa\n");
        options_done(&o);

        check_string(presence_file_path(NULL, "nginx.service"), "/etc/convene/presence.d/nginx.service.conf");
        check_string(presence_file_path("/r", "a\\x2db.service"), "/r/etc/convene/presence.d/a\\x2db.service.conf");
        g_assert_null(presence_file_path(NULL, "nginx"));
        g_assert_null(presence_file_path(NULL, "../x.service"));
        g_assert_null(presence_file_path(NULL, "a/b.service"));
        g_assert_null(presence_file_path(NULL, ".service"));
        g_assert_null(presence_file_path(NULL, "a b.service"));
}

/* The agent has no such names; were there one, it would not get out of the directory. */
static void test_projection_names(void) {
        g_autoptr(Projection) p = projection_new(0600);
        g_autofree char *long_name = g_strnfill(256, 'x');
        const char *const bad[] = { "", ".", "..", "/etc", "../x", "a/../b", "a//b", "a/", "a/.", long_name };

        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
                g_assert_cmpint(projection_add_file(p, bad[i], "x", 1), ==, EXIT_STATUS_CONFLICT);
                g_assert_cmpint(projection_add_directory(p, bad[i]), ==, EXIT_STATUS_CONFLICT);
        }
        g_assert_cmpint(projection_add_file(p, "...", "x", 1), ==, EXIT_STATUS_OK);
        g_assert_cmpint(projection_add_file(p, long_name + 1, "x", 1), ==, EXIT_STATUS_OK);
}

static void test_unit_names(void) {
        check_string(unit_from_argument("web"), "web.service");
        check_string(unit_from_argument("backup.timer"), "backup.timer");
        check_string(unit_from_argument("app@blue"), "app@blue.service");
        check_string(unit_from_argument("a.b"), "a.b.service");
        check_string(unit_from_argument("a\\x2db"), "a\\x2db.service");
        static const char *const bad[] = { "", ".service", "@x.service", "../x", "a b", "a%n", "a\nb", "a/b.service" };
        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++)
                g_assert_null(unit_from_argument(bad[i]));

        check_string(unit_stem("web.service"), "web");
        check_string(unit_stem("backup.timer"), "backup.timer");
        check_string(unit_stem("app@.service"), "app@");
        g_assert_true(unit_is_template("app@.service"));
        g_assert_false(unit_is_template("app@blue.service"));
        g_assert_false(unit_is_template("app.service"));
        g_assert_false(unit_is_template("app@b@.service"));
}

static void check_stop(UnitFacts u, uint64_t timeout_usec, uint64_t expected, const char *how) {
        char *text;

        u.id = u.id ?: (char *) "x.service";
        g_assert_cmpuint(unit_stop_usec(&u, timeout_usec, &text), ==, expected);
        check_string(text, how);
}

static void test_stop_times(void) {
        check_stop((UnitFacts) { .timeout_stop_usec = 90000000 }, 0, 90000000, "TimeoutStopSec= gives 1min 30s to each of: SIGTERM");
        check_stop((UnitFacts) { .timeout_stop_usec = 90000000 }, 1500000, 1500000, "TimeoutStopSec= gives 1s 500ms to each of: SIGTERM");
        check_stop((UnitFacts) { .timeout_stop_usec = 1000000, .stop_commands = 2 }, 0, 3000000,
                   "TimeoutStopSec= gives 1s to each of: 2 ExecStop=, SIGTERM");
        check_stop((UnitFacts) { .timeout_stop_usec = 1000000, .stop_post_commands = 2 }, 0, 5000000,
                   "TimeoutStopSec= gives 1s to each of: SIGTERM, SIGKILL, 2 ExecStopPost=, SIGTERM");
        check_stop((UnitFacts) { .timeout_stop_usec = UINT64_MAX }, 0, UINT64_MAX,
                   "TimeoutStopSec= gives as long as it likes to each of: SIGTERM");
        check_stop((UnitFacts) { .timeout_stop_usec = UINT64_MAX / 2, .stop_commands = 2 }, 1000000, 3000000,
                   "TimeoutStopSec= gives 1s to each of: 2 ExecStop=, SIGTERM");
        check_stop((UnitFacts) { .timeout_stop_usec = 1000000, .timeout_abort_usec = UINT64_MAX, .stop_failure_mode = (char *) "abort" },
                   0, UINT64_MAX, "TimeoutStopSec= gives 1s to each of: SIGTERM; and TimeoutAbortSec= gives as long as it likes to SIGABRT");
        check_stop((UnitFacts) { .id = (char *) "x.timer", .timeout_stop_usec = UINT64_MAX }, 0, 0, "it stops at once");
        check_stop((UnitFacts) { .id = (char *) "x.socket", .timeout_stop_usec = 1000000, .stop_commands = 1 }, 0, 2000000,
                   "TimeoutStopSec= gives 1s to each of: ExecStopPre=, SIGTERM");
}

static void test_templates(void) {
        check_string(unit_refuse_template("backup@.timer"), "backup@.timer: what the instances of a template timer start cannot be tied to "
                     "them all at once; enable each instance by its name (backup@INSTANCE.timer)");
        g_assert_null(unit_refuse_template("backup@db1.timer"));
        g_assert_null(unit_refuse_template("web@.service"));
        g_assert_null(unit_refuse_template("backup.socket"));
}

static void test_singleton_files(void) {
        g_auto(SingletonSettings) s = {}, again = {}, none = {}, bad = {};
        SingletonDropIn d = { .unit = "web.service", .leader = "web.service", .file_state = "enabled", .stage_msec = 1500,
                              .stop_usec = 2000000, .abort_usec = UINT64_MAX };

        s = (SingletonSettings) {
                .unit = g_strdup("app@a\\x2db.service"), .session_timeout_msec = 1500, .stop_timeout_msec = 2000, .copies = 2,
                .preferred_hosts = g_strdup("h1 h2"),
        };
        g_autofree char *text = singleton_settings_format(&s, NULL);
        singleton_settings_parse(text, &again);
        g_assert_cmpstr(again.unit, ==, s.unit);
        g_assert_cmpuint(again.session_timeout_msec, ==, 1500);
        g_assert_cmpuint(again.stop_timeout_msec, ==, 2000);
        g_assert_cmpuint(again.stand_back_msec, ==, 0);
        g_assert_cmpuint(again.copies, ==, 2);
        g_assert_cmpstr(again.preferred_hosts, ==, "h1 h2");
        g_autofree char *same = singleton_settings_format(&again, text);
        g_assert_cmpstr(text, ==, same);
        g_autofree char *changed = singleton_settings_format(&s, "# mine\n[Singleton]\nUnit=x\nStandBackMax=2min\n# why\nX-Owner=me\n"
                                                             "StandBack=?\nCopies=7\n\n[X-Site]\nA=b\n");
        g_assert_cmpstr(changed, ==, "# mine\n\n[Singleton]\nUnit=app@a\\x2db.service\nStandBackMax=2min\n# why\nX-Owner=me\nCopies=2\n\n"
                        "SessionTimeout=1500ms\nStopTimeout=2s\nPreferredHosts=h1 h2\n\n[X-Site]\nA=b\n");
        g_autofree char *anew = singleton_settings_format(&s, "no line");
        g_assert_cmpstr(anew, ==, text);
        singleton_settings_parse(NULL, &none);
        g_assert_null(none.unit);
        singleton_settings_parse("[Singleton]\nCopies=many\nSessionTimeout=x\nno line", &bad);
        g_assert_cmpuint(bad.copies, ==, 0);

        g_autofree char *drop_in = singleton_drop_in_format(&d);
        check_string(singleton_drop_in_file_state(drop_in), "enabled");
        check_string(singleton_drop_in_leader(drop_in), "web.service");
        g_assert_cmpuint(singleton_drop_in_stop_timeout_msec(drop_in), ==, 1500);
        g_assert_nonnull(strstr(drop_in, "\nTimeoutStopSec=1500ms\nTimeoutAbortSec=1500ms\n"));
        d.stage_msec = 0;
        g_autofree char *as_it_is = singleton_drop_in_format(&d);
        g_assert_cmpuint(singleton_drop_in_stop_timeout_msec(as_it_is), ==, 0);
        g_assert_nonnull(strstr(as_it_is, "\nTimeoutStopSec=2s\nTimeoutAbortSec=infinity\n"));
        d.unit = d.leader = "web.socket";
        g_autofree char *of_socket = singleton_drop_in_format(&d);
        g_assert_nonnull(strstr(of_socket, "\n[Socket]\nTimeoutSec=2s\n"));
        g_assert_null(singleton_drop_in_file_state(NULL));
        g_assert_null(singleton_drop_in_leader("[Unit]\nAfter=x\n"));
        check_string(singleton_drop_in_path("app@.service"), "/etc/systemd/system/app@.service.d/50-convene-singleton.conf");
        check_string(singleton_settings_path("backup.timer"), "/etc/convene/singleton.d/backup.timer.conf");
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/ctl/text/numbers", test_numbers);
        g_test_add_func("/ctl/text/zxid", test_zxid);
        g_test_add_func("/ctl/text/spans", test_spans);
        g_test_add_func("/ctl/text/formats", test_formats);
        g_test_add_func("/ctl/text/acl", test_acl);
        g_test_add_func("/ctl/json/data", test_json_data);
        g_test_add_func("/ctl/multi/parse", test_multi);
        g_test_add_func("/ctl/multi/mistakes", test_multi_mistakes);
        g_test_add_func("/ctl/quota", test_quota);
        g_test_add_func("/ctl/options/parse", test_options);
        g_test_add_func("/ctl/options/mistakes", test_options_mistakes);
        g_test_add_func("/ctl/command", test_commands);
        g_test_add_func("/ctl/exit-status", test_exit_status);
        g_test_add_func("/ctl/presence-file", test_presence_file);
        g_test_add_func("/ctl/projection/names", test_projection_names);
        g_test_add_func("/ctl/unit-names", test_unit_names);
        g_test_add_func("/ctl/stop-times", test_stop_times);
        g_test_add_func("/ctl/templates", test_templates);
        g_test_add_func("/ctl/singleton-files", test_singleton_files);
        return g_test_run();
}
