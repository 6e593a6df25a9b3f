/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Conf: defaults, every kind of value, and that each mistake names file, key and value
 */

#include <string.h>
#include <unistd.h>

#include <glib.h>

#include "agent/main/conf.h"

/* 65 characters */
#define TOO_LONG_NAME "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static char *write_conf(const char *text) {
        char *path = NULL;
        int fd = g_file_open_tmp("convened-XXXXXX.conf", &path, NULL);

        g_assert_cmpint(fd, >=, 0);
        close(fd);
        g_assert_true(g_file_set_contents(path, text, -1, NULL));
        return path;
}

static void test_defaults(void) {
        g_autofree char *path = write_conf("# nothing\n"), *error = NULL;
        g_auto(Conf) c = { 0 };

        g_assert_true(conf_load(path, &c, &error));
        g_assert_cmpstr(c.data, ==, "/var/lib/convene");
        g_assert_null(c.name);
        g_assert_cmpuint(c.segment_bytes, ==, 64 << 20);
        g_assert_cmpuint(c.timeout_default_msec, ==, 10000);
        g_assert_cmpuint(c.limits.watches, ==, 10000);
        g_assert_true(conf_may_found(&c));
        unlink(path);
}

static void test_values(void) {
        g_autofree char *error = NULL;
        g_autofree char *path = write_conf("[Agent]\nName=web1\nData=/srv/c\n[Store]\nSegmentSize=16M\nKeepLog=1G\n"
                                           "CheckpointChanges=5000\n[Session]\nTimeoutMin=1500ms\nTimeoutMax=2h\n"
                                           "TimeoutDefault=30\n[Limits]\nWatches = 7\nBytes=8M\n[Tree]\nReapInterval=1min\n"
                                           "X-Note=free text\n[X-Mine]\nAny=thing\n");
        g_auto(Conf) c = { 0 };

        g_assert_true(conf_load(path, &c, &error));
        g_assert_cmpstr(c.name, ==, "web1");
        g_assert_cmpstr(c.data, ==, "/srv/c");
        g_assert_cmpuint(c.segment_bytes, ==, 16 << 20);
        g_assert_cmpuint(c.keep_log_bytes, ==, 1 << 30);
        g_assert_cmpuint(c.checkpoint_changes, ==, 5000);
        g_assert_cmpuint(c.timeout_min_msec, ==, 1500);
        g_assert_cmpuint(c.timeout_max_msec, ==, 7200000);
        g_assert_cmpuint(c.timeout_default_msec, ==, 30000);
        g_assert_cmpuint(c.limits.watches, ==, 7);
        g_assert_cmpuint(c.limits.bytes, ==, 8 << 20);
        g_assert_cmpuint(c.reap_interval_msec, ==, 60000);
        unlink(path);
}

static void test_mistakes(void) {
        static const struct {
                const char *text, *key, *value;
        } cases[] = {
                { "[Store]\nSegmentSize=1M\n", "[Store] SegmentSize=", "1M" },
                { "[Store]\nSegmentSize=64Q\n", "[Store] SegmentSize=", "64Q" },
                { "[Store]\nSegmentSize=99999999999999999999\n", "[Store] SegmentSize=", "9999" },
                { "[Store]\nKeepLog=18446744073709551615T\n", "[Store] KeepLog=", "T" },
                { "[Store]\nSegmentsize=64M\n", "[Store] Segmentsize=", "64M" },
                { "[Session]\nTimeoutMin=soon\n", "[Session] TimeoutMin=", "soon" },
                { "[Session]\nTimeoutMin=-5s\n", "[Session] TimeoutMin=", "-5s" },
                { "[Session]\nTimeoutMin=10s\nTimeoutDefault=5s\n", "TimeoutDefault=", "5000" },
                { "[Limits]\nWatches=0\n", "[Limits] Watches=", "0" },
                { "[Limits]\nWatches=1.5\n", "[Limits] Watches=", "1.5" },
                { "[Limts]\nWatches=5\n", "[Limts] Watches=", "5" },
                { "[Agent]\nName=\n", "[Agent] Name=", "empty" },
                { "[Agent]\nName=a b\n", "[Agent] Name=a b", "not a host name" },
                { "[Agent]\nName=a/b\n", "[Agent] Name=a/b", "not a host name" },
                { "[Agent]\nName=" TOO_LONG_NAME "\n", "[Agent] Name=", "not a host name" },
                { "[Agent]\nName=a\\qb\n", "[Agent] Name=", "escape" },
                { "Watches=5\n", "", "" },
                { "[Ensemble]\nListen=web1:2890\n", "[Ensemble] Listen=", "web1:2890" },
                { "[Ensemble]\nFound=maybe\n", "[Ensemble] Found=", "yes or no" },
                { "[Ensemble]\nListen=192.0.2.1\n", "[Ensemble] Listen=", "192.0.2.1" },
                { "[Limits\n", "", "" },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *path = write_conf(cases[i].text), *error = NULL;
                g_auto(Conf) c = { 0 };

                g_assert_false(conf_load(path, &c, &error));
                g_assert_nonnull(error);
                if (!strstr(error, cases[i].key) || !strstr(error, cases[i].value) ||
                    (!g_str_has_prefix(cases[i].key, "TimeoutDefault") && !strstr(error, path)))
                        g_error("case %zu: the message does not name file, key and value: %s", i, error);
                unlink(path);
        }
}

/* Where others are told to connect must be somewhere. */
static void test_addresses(void) {
        static const struct {
                const char *listen, *advertise, *mentions;      /* NULL: it is in order */
        } cases[] = {
                { "192.0.2.1:2890", NULL, NULL },
                { "0.0.0.0:2890", "192.0.2.1:2890", NULL },
                { "[::]:2890", "[2001:db8::1]:2890", NULL },
                { "192.0.2.1:0", "192.0.2.1:2890", NULL },
                { "0.0.0.0:2890", NULL, "Advertise=" },
                { "[::]:2890", NULL, "Advertise=" },
                { "192.0.2.1:0", NULL, "Advertise=" },
                { "0.0.0.0:2890", "0.0.0.0:2890", "Advertise=0.0.0.0:2890" },
                { "192.0.2.1:2890", "[::]:2890", "Advertise=[::]:2890" },
                { "192.0.2.1:2890", "192.0.2.1:0", "Advertise=192.0.2.1:0" },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *text = g_strdup_printf("[Ensemble]\nListen=%s\n%s%s\n", cases[i].listen,
                                                        cases[i].advertise ? "Advertise=" : "", cases[i].advertise ?: "");
                g_autofree char *path = write_conf(text), *error = NULL;
                g_auto(Conf) c = { 0 };
                bool loaded = conf_load(path, &c, &error);

                if (loaded != !cases[i].mentions || (!loaded && !strstr(error, cases[i].mentions)))
                        g_error("case %zu: %s", i, loaded ? "was taken" : error);
                unlink(path);
        }
}

/* What --print-config prints is a configuration that means the same. */
static void test_printed(void) {
        static const char text[] = "[Agent]\nName=web1\nData=/srv/c\n[Ensemble]\nListen=[::]:2890\nAdvertise=192.0.2.1:2890\n"
                                   "ElectionTimeout=2s\nFound=no\n[Store]\nKeepLog=1G\n[Limits]\nWatches=7\n";
        g_autofree char *path = write_conf(text), *error = NULL, *printed = NULL, *again = NULL, *path_again = NULL;
        g_auto(Conf) c = { 0 }, d = { 0 };

        g_assert_true(conf_load(path, &c, &error));
        printed = conf_to_string(&c);
        g_assert_nonnull(strstr(printed, "\nElectionTimeout=2000ms\n"));
        path_again = write_conf(printed);
        g_assert_true(conf_load(path_again, &d, &error));
        g_assert_cmpstr(d.advertise, ==, "192.0.2.1:2890");
        g_assert_cmpuint(d.found, ==, 0);
        g_assert_cmpuint(d.keep_log_bytes, ==, 1 << 30);
        again = conf_to_string(&d);
        g_assert_cmpstr(again, ==, printed);
        unlink(path);
        unlink(path_again);
}

/* Unless told, an ensemble is founded only where nobody could join it. */
static void test_may_found(void) {
        static const struct {
                const char *text;
                bool may;
        } cases[] = {
                { "", true },
                { "[Ensemble]\nListen=192.0.2.1:2890\n", false },
                { "[Ensemble]\nAdvertise=192.0.2.1:2890\n", false },
                { "[Ensemble]\nListen=192.0.2.1:2890\nFound=yes\n", true },
                { "[Ensemble]\nFound=no\n", false },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_autofree char *path = write_conf(cases[i].text), *error = NULL, *printed = NULL;
                g_auto(Conf) c = { 0 };

                g_assert_true(conf_load(path, &c, &error));
                g_assert_cmpint(conf_may_found(&c), ==, cases[i].may);
                printed = conf_to_string(&c);           /* which means the same */
                g_assert_cmpint(!!strstr(printed, "Found="), ==, !!strstr(cases[i].text, "Found="));
                unlink(path);
        }
}

static void test_missing(void) {
        g_autofree char *error = NULL;
        g_auto(Conf) c = { 0 };

        g_assert_false(conf_load("/nonexistent/convened.conf", &c, &error));
        g_assert_nonnull(strstr(error, "/nonexistent/convened.conf"));
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/conf/defaults", test_defaults);
        g_test_add_func("/conf/values", test_values);
        g_test_add_func("/conf/mistakes", test_mistakes);
        g_test_add_func("/conf/addresses", test_addresses);
        g_test_add_func("/conf/printed", test_printed);
        g_test_add_func("/conf/may-found", test_may_found);
        g_test_add_func("/conf/missing", test_missing);
        return g_test_run();
}
