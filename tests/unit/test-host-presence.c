/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Presence files: what they say, what is wrong with them, which one counts, what specifiers become. */

#include "agent/host/presence.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>

#define HEAD "[Presence]\n"
#define PLAIN HEAD "Unit=a.service\nPath=/a\n"

static const PresenceHost host = { (char *) "web1.example.org", (char *) "mmm", (char *) "bbb", (char *) "6.1.0" };

static Presence *parse(const char *text) {
        g_autofree char *error = NULL;
        Presence *p = presence_parse("/d/x.conf", text, strlen(text), &error);

        g_assert_cmpstr(error, ==, NULL);
        g_assert_nonnull(p);
        return p;
}

static void test_parse(void) {
        g_autoptr(Presence) p = parse("# a comment\n\n" HEAD "Unit=nginx.service  web@*.service\n"
                                      "Path = /services/%N/%H\nData=up\\n%%\\\\\nTimeout=1min 30s\nCreateParents=no\n"
                                      "Acl=world:anyone:r digest:u:h=:crwda\tunix:33@%H:wd\nX-Note=anything\n"
                                      "[X-Other]\nA=b\n");
        g_autoptr(Presence) d = parse(PLAIN);

        g_assert_cmpstr(p->file, ==, "/d/x.conf");
        g_assert_cmpuint(g_strv_length(p->units), ==, 2);
        g_assert_cmpstr(p->units[1], ==, "web@*.service");
        g_assert_cmpstr(p->path, ==, "/services/%N/%H");
        g_assert_cmpstr(p->data, ==, "up\n%%\\");
        g_assert_cmpuint(p->timeout_msec, ==, 90000);
        g_assert_false(p->create_parents);
        g_assert_cmpuint(p->acl_count, ==, 3);
        g_assert_cmpuint(p->acl[0].permissions, ==, 1);
        g_assert_cmpstr(p->acl[0].scheme, ==, "world");
        g_assert_cmpstr(p->acl[1].id, ==, "u:h=");
        g_assert_cmpuint(p->acl[1].permissions, ==, 31);
        g_assert_cmpuint(p->acl[2].permissions, ==, 2 | 8);

        g_assert_cmpstr(d->data, ==, "");
        g_assert_cmpuint(d->timeout_msec, ==, 10000);
        g_assert_true(d->create_parents);
        g_assert_cmpuint(d->acl_count, ==, 0);
}

static void test_timeout(void) {
        static const struct {
                const char *text;
                uint32_t msec;
        } good[] = { { "1s", 1000 }, { "1000ms", 1000 }, { "7", 7000 }, { "2 min", 120000 }, { "1h 1ms", 3600001 },
                     { "1d", 86400000 }, { "1min1s", 61000 }, { "5 sec", 5000 }, { "3m", 180000 } };

        for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
                g_autofree char *text = g_strdup_printf(PLAIN "Timeout=%s\n", good[i].text);
                g_autoptr(Presence) p = parse(text);

                g_assert_cmpuint(p->timeout_msec, ==, good[i].msec);
        }
}

/* Every error names the file, the key and the value. */
static void test_errors(void) {
        static const struct {
                const char *text, *error;
        } bad[] = {
                { HEAD "Unit=a.service\n", "/d/x.conf: [Presence] lacks Path=" },
                { HEAD "Path=/a\n", "/d/x.conf: [Presence] lacks Unit=" },
                { "[Other]\nA=b\n", "/d/x.conf: [Other]: is not a section of such a file" },
                { PLAIN "Pfad=/a\n", "/d/x.conf: Pfad=/a: is not a key of [Presence]" },
                { PLAIN "Path[de]=/a\n", "/d/x.conf: Path[de]=/a: is not a key of [Presence]" },
                { HEAD "Unit=\nPath=/a\n", "/d/x.conf: Unit=: names no unit" },
                { HEAD "Unit=nginx\nPath=/a\n",
                  "/d/x.conf: Unit=nginx: \"nginx\" does not end in a unit type such as \".service\"" },
                { HEAD "Unit=a.servise\nPath=/a\n",
                  "/d/x.conf: Unit=a.servise: \"a.servise\" does not end in a unit type such as \".service\"" },
                { HEAD "Unit=a.service,b.service\nPath=/a\n",
                  "/d/x.conf: Unit=a.service,b.service: \"a.service,b.service\" is not a unit name or glob" },
                { HEAD "Unit=web@.service\nPath=/a\n",
                  "/d/x.conf: Unit=web@.service: \"web@.service\" is a template; its instances run: "
                  "write \"NAME@*.service\"" },
                { HEAD "Unit=a.service\nPath=a\n", "/d/x.conf: Path=a: does not begin with \"/\"" },
                { HEAD "Unit=a.service\nPath=/a/%x\n", "/d/x.conf: Path=/a/%x: has the unknown specifier \"%x\"" },
                { HEAD "Unit=a.service\nPath=/a/%U\n", "/d/x.conf: Path=/a/%U: has the unknown specifier \"%U\"" },
                { HEAD "Unit=a.service\nPath=/a/%\xc3\xa4\n",
                  "/d/x.conf: Path=/a/%\xc3\xa4: has the unknown specifier \"%\xc3\xa4\"" },
                { HEAD "Unit=a.service\nPath=/a/%\n",
                  "/d/x.conf: Path=/a/%: ends in a single \"%\" (write \"%%\" for the character)" },
                { PLAIN "Data=%Z\n", "/d/x.conf: Data=%Z: has the unknown specifier \"%Z\"" },
                { PLAIN "Data=\\q\n", "/d/x.conf: Data=\\q: has an unknown escape sequence after \"\\\"" },
                { PLAIN "Timeout=\n", "/d/x.conf: Timeout=: is less than a second" },
                { PLAIN "Timeout=999ms\n", "/d/x.conf: Timeout=999ms: is less than a second" },
                { PLAIN "Timeout=1d 1ms\n", "/d/x.conf: Timeout=1d 1ms: is more than a day" },
                { PLAIN "Timeout=-1s\n", "/d/x.conf: Timeout=-1s: is no time span such as \"10s\" or \"1min 30s\"" },
                { PLAIN "Timeout=10 10\n", "/d/x.conf: Timeout=10 10: is no time span such as \"10s\" or \"1min 30s\"" },
                { PLAIN "Timeout=9999999999s\n",
                  "/d/x.conf: Timeout=9999999999s: is no time span such as \"10s\" or \"1min 30s\"" },
                { PLAIN "Timeout=5parsec\n",
                  "/d/x.conf: Timeout=5parsec: is no time span such as \"10s\" or \"1min 30s\"" },
                { PLAIN "CreateParents=maybe\n", "/d/x.conf: CreateParents=maybe: is neither \"yes\" nor \"no\"" },
                { PLAIN "Acl=world:anyone\n",
                  "/d/x.conf: Acl=world:anyone: \"world:anyone\" is not SCHEME:ID:PERMISSIONS with letters of \"rwcda\"" },
                { PLAIN "Acl=world:anyone:x\n",
                  "/d/x.conf: Acl=world:anyone:x: \"world:anyone:x\" is not SCHEME:ID:PERMISSIONS with letters of "
                  "\"rwcda\"" },
                { PLAIN "Acl=world:anyone:\n",
                  "/d/x.conf: Acl=world:anyone:: \"world:anyone:\" is not SCHEME:ID:PERMISSIONS with letters of "
                  "\"rwcda\"" },
                { PLAIN "Acl=unix:1@%q:r\n", "/d/x.conf: Acl=unix:1@%q:r: has the unknown specifier \"%q\"" },
                { HEAD "Unit=\xff\n", "/d/x.conf: is not UTF-8 text" },
                { "Unit=a.service\n", NULL },
                { HEAD "gibberish\n", NULL },
        };

        for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
                g_autofree char *error = NULL;

                g_test_message("%s", bad[i].text);
                g_assert_null(presence_parse("/d/x.conf", bad[i].text, strlen(bad[i].text), &error));
                g_assert_nonnull(error);
                if (bad[i].error)
                        g_assert_cmpstr(error, ==, bad[i].error);
                g_assert_true(g_str_has_prefix(error, "/d/x.conf: "));
        }
}

static void test_nul(void) {
        static const char text[] = PLAIN "Data=a\0b\n";
        g_autofree char *error = NULL;

        g_assert_null(presence_parse("f", text, sizeof text - 1, &error));
        g_assert_cmpstr(error, ==, "f: is not UTF-8 text");
}

static void test_mask(void) {
        static const char *const masks[] = { "", "\n", "# nothing here\n\n  \n" };

        for (size_t i = 0; i < G_N_ELEMENTS(masks); i++) {
                char *error = NULL;

                g_assert_null(presence_parse("f", masks[i], strlen(masks[i]), &error));
                g_assert_cmpstr(error, ==, NULL);
        }
}

static void expand_to(const char *template, const char *unit, const char *expected) {
        g_autofree char *text = g_strdup_printf(HEAD "Unit=*\nPath=/x\nData=%s\nAcl=unix:1@%s:r\n", template, template);
        g_autofree char *error = NULL;
        g_autoptr(Presence) p = parse(text);
        g_auto(PresenceZnode) z = { 0 };

        g_assert_true(presence_expand(p, unit, &host, &z, &error));
        g_assert_cmpstr(z.data, ==, expected);
        g_assert_true(g_str_has_prefix(z.acl[0].id, "1@"));
        g_assert_cmpstr(z.acl[0].id + 2, ==, expected);
}

static void test_specifiers(void) {
        const char *instance = "srv-web@a-b\\x2dc.service", *plain = "ssh.service";

        expand_to("%n", instance, "srv-web@a-b\\x2dc.service");
        expand_to("%N", instance, "srv-web@a-b\\x2dc");
        expand_to("%p", instance, "srv-web");
        expand_to("%P", instance, "srv/web");
        expand_to("%i", instance, "a-b\\x2dc");
        expand_to("%I", instance, "a/b-c");
        expand_to("%j", instance, "web");
        expand_to("%J", "a-b\\x2ec.service", "b.c");
        expand_to("%n|%N|%p|%i|%I|%j", plain, "ssh.service|ssh|ssh|||ssh");
        expand_to("%p|%i", "a@b@c.service", "a|b@c");
        expand_to("%p|%i|%N", "a@.service", "a||a@");
        expand_to("%N", "a.b.c.mount", "a.b.c");
        expand_to("%H,%l,%m,%b,%v,%%", plain, "web1.example.org,web1,mmm,bbb,6.1.0,%");
        expand_to("%%n%%%n", plain, "%n%ssh.service");
}

static void expand_fails(const char *path, const char *unit, const char *reason) {
        g_autofree char *text = g_strdup_printf(HEAD "Unit=*\nPath=%s\n", path);
        g_autofree char *error = NULL, *expected = g_strdup_printf("/d/x.conf: Path=: what it gives for %s %s", unit, reason);
        g_autoptr(Presence) p = parse(text);
        PresenceZnode z = { 0 };

        g_assert_false(presence_expand(p, unit, &host, &z, &error));
        g_assert_cmpstr(error, ==, expected);
        g_assert_null(z.path);
}

/* Whoever can name an instance must not get out of the place the file gives. */
static void test_expand_path(void) {
        static const char shape[] = "has a component that is empty, \".\" or \"..\"";
        g_autofree char *wide = g_strnfill(1024, 'x'), *wide_path = g_strconcat("/", wide, NULL);
        g_autoptr(Presence) p = parse(HEAD "Unit=*\nPath=/services/%p/%I\n");
        g_autofree char *error = NULL;
        g_auto(PresenceZnode) z = { 0 };

        g_assert_true(presence_expand(p, "web@a-b.service", &host, &z, &error));
        g_assert_cmpstr(z.path, ==, "/services/web/a/b");

        expand_fails("/services/%i", "web.service", shape);
        expand_fails("/services/%I", "web@..-..-etc.service", shape);
        expand_fails("/services/%i", "web@...service", shape);
        expand_fails("/services/%i/x", "web@..service", shape);
        expand_fails("/services/%I", "web@a--b.service", shape);
        expand_fails("/services/%I", "web@a\\x0ab.service", "has a control character");
        expand_fails("/services/%I", "web@a\\x7f.service", "has a control character");
        expand_fails("/services/%I", "web@\\xff.service", "is not UTF-8");
        expand_fails("/services/%I", "web@\\x00.service", "cannot be told: the unit's name is not validly escaped");
        expand_fails("/services/%I", "web@\\x4.service", "cannot be told: the unit's name is not validly escaped");
        expand_fails("/services/%I", "web@\\y41.service", "cannot be told: the unit's name is not validly escaped");
        expand_fails(wide_path, "a.service", "is longer than 1024 bytes");
}

static void test_matches(void) {
        g_autoptr(Presence) p = parse(HEAD "Unit=a.service web@*.service db-?.service [xy].mount dev-a\\x2db.mount\nPath=/a\n");

        g_assert_true(presence_matches(p, "a.service"));
        g_assert_true(presence_matches(p, "web@1.service"));
        g_assert_true(presence_matches(p, "db-2.service"));
        g_assert_true(presence_matches(p, "y.mount"));
        g_assert_true(presence_matches(p, "dev-a\\x2db.mount"));
        g_assert_false(presence_matches(p, "aa.service"));
        g_assert_false(presence_matches(p, "a.service.d"));
        g_assert_false(presence_matches(p, "web.service"));
        g_assert_false(presence_matches(p, "db-22.service"));
        g_assert_false(presence_matches(p, "z.mount"));
        g_assert_false(presence_matches(p, "dev-ax2db.mount"));
}

static void write_file(const char *directory, const char *name, const char *text) {
        g_autofree char *path = g_build_filename(directory, name, NULL);
        g_autoptr(GError) e = NULL;

        g_assert_true(g_file_set_contents(path, text, -1, &e));
}

static void test_set(void) {
        g_autoptr(GError) e = NULL;
        g_autofree char *root = g_dir_make_tmp("presence-XXXXXX", &e), *etc = g_build_filename(root, "etc", NULL),
                        *run = g_build_filename(root, "run", NULL), *usr = g_build_filename(root, "usr", NULL),
                        *missing = g_build_filename(root, "missing", NULL), *link = g_build_filename(etc, "50-null.conf", NULL),
                        *fifo = g_build_filename(usr, "70-fifo.conf", NULL), *removal = NULL, *expected = NULL;
        const char *directories[] = { etc, missing, run, usr, NULL };
        g_autoptr(GPtrArray) errors = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(PresenceSet) s = NULL;
        const Presence *p;

        g_assert_nonnull(root);
        for (const char *const *d = (const char *const[]) { etc, run, usr, NULL }; *d; d++)
                g_assert_cmpint(g_mkdir(*d, 0755), ==, 0);

        write_file(usr, "10-a.conf", HEAD "Unit=a.service\nPath=/usr\n");
        write_file(run, "10-a.conf", HEAD "Unit=a.service\nPath=/run\n");
        write_file(etc, "10-a.conf", HEAD "Unit=a.service\nPath=/etc\n");
        write_file(usr, "20-b.conf", HEAD "Unit=b.service\nPath=/usr\n");
        write_file(run, "20-b.conf", HEAD "Unit=b.service\nPath=/run\n");
        write_file(usr, "30-masked.conf", HEAD "Unit=a.service\nPath=/masked\n");
        write_file(etc, "30-masked.conf", "");
        write_file(usr, "40-broken.conf", HEAD "Unit=a.service\nPath=/hidden-by-a-broken-one\n");
        write_file(etc, "40-broken.conf", HEAD "Unit=a.service\nPath=nowhere\n");
        write_file(usr, "50-null.conf", HEAD "Unit=a.service\nPath=/null\n");
        g_assert_cmpint(symlink("/dev/null", link), ==, 0);
        write_file(usr, "60-all.conf", HEAD "Unit=*.service\nPath=/all/%N\n");
        write_file(usr, "05-first.conf", HEAD "Unit=*.service\nPath=/first\n");
        write_file(usr, "99-other.txt", "nonsense");
        write_file(usr, ".hidden.conf", "nonsense");
        g_assert_cmpint(mkfifo(fifo, 0600), ==, 0);

        s = presence_set_load(directories, errors);
        g_assert_cmpuint(presence_set_count(s), ==, 4);
        g_assert_cmpuint(errors->len, ==, 2);
        expected = g_strdup_printf("%s/40-broken.conf: Path=nowhere: does not begin with \"/\"", etc);
        g_assert_cmpstr(errors->pdata[0], ==, expected);
        g_assert_true(g_str_has_suffix(errors->pdata[1], "70-fifo.conf: is not a regular file"));

        p = presence_set_match(s, "a.service", NULL);
        g_assert_cmpstr(p->path, ==, "/first");
        p = presence_set_match(s, "a.service", p);
        g_assert_cmpstr(p->path, ==, "/etc");
        p = presence_set_match(s, "a.service", p);
        g_assert_cmpstr(p->path, ==, "/all/%N");
        g_assert_null(presence_set_match(s, "a.service", p));
        p = presence_set_match(s, "b.service", presence_set_match(s, "b.service", NULL));
        g_assert_cmpstr(p->path, ==, "/run");
        g_assert_null(presence_set_match(s, "a.socket", NULL));

        removal = g_strdup_printf("rm -r '%s'", root);
        g_assert_true(g_spawn_command_line_sync(removal, NULL, NULL, NULL, NULL));
}

static void test_too_large(void) {
        g_autoptr(GError) e = NULL;
        g_autofree char *root = g_dir_make_tmp("presence-XXXXXX", &e), *text = g_strnfill(64 * 1024 + 1, '#'),
                        *file = g_build_filename(root, "a.conf", NULL);
        const char *directories[] = { root, NULL };
        g_autoptr(GPtrArray) errors = g_ptr_array_new_with_free_func(g_free);
        g_autoptr(PresenceSet) s = NULL;

        write_file(root, "a.conf", text);
        s = presence_set_load(directories, errors);
        g_assert_cmpuint(presence_set_count(s), ==, 0);
        g_assert_cmpuint(errors->len, ==, 1);
        g_assert_true(g_str_has_prefix(errors->pdata[0], file));
        g_assert_cmpint(g_unlink(file), ==, 0);
        g_assert_cmpint(g_rmdir(root), ==, 0);
}

static void test_host(void) {
        g_auto(PresenceHost) h = { 0 }, given = { 0 };

        g_unsetenv("CONVENE_BOOT_ID");
        presence_host_read(&h);
        g_assert_cmpuint(strlen(h.name), >, 0);
        g_assert_cmpuint(strlen(h.kernel), >, 0);
        g_setenv("CONVENE_BOOT_ID", "5f3c0123456789abcdef0123456789ab", true);
        presence_host_read(&given);
        g_assert_cmpstr(given.boot_id, ==, "5f3c0123456789abcdef0123456789ab");
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/host/presence/parse", test_parse);
        g_test_add_func("/host/presence/timeout", test_timeout);
        g_test_add_func("/host/presence/errors", test_errors);
        g_test_add_func("/host/presence/nul", test_nul);
        g_test_add_func("/host/presence/mask", test_mask);
        g_test_add_func("/host/presence/specifiers", test_specifiers);
        g_test_add_func("/host/presence/expand-path", test_expand_path);
        g_test_add_func("/host/presence/matches", test_matches);
        g_test_add_func("/host/presence/set", test_set);
        g_test_add_func("/host/presence/too-large", test_too_large);
        g_test_add_func("/host/presence/host", test_host);
        return g_test_run();
}
