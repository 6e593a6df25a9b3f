/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Path: the rules of ZooKeeper and our limits
 */

#include <string.h>

#include <glib.h>

#include "agent/base/limits.h"
#include "agent/base/prng.h"
#include "agent/tree/request.h"

typedef struct Case {
        const char *path;
        ConveneStatus status, sequential;
} Case;

#define OK CONVENE_OK
#define BAD CONVENE_BAD_ARGUMENTS

static const Case cases[] = {
        { NULL, BAD, BAD },             { "", BAD, BAD },               { "a", BAD, BAD },
        { "a/b", BAD, BAD },            { "/", OK, OK },                { "//", BAD, BAD },
        { "/a", OK, OK },               { "/a/", BAD, OK },             { "/a//", BAD, BAD },
        { "//a", BAD, BAD },            { "/a//b", BAD, BAD },          { "/a/b/c", OK, OK },

        /* dots: "/a/." plus ten digits is an ordinary name */
        { "/.", BAD, OK },              { "/..", BAD, OK },             { "/./a", BAD, BAD },
        { "/../a", BAD, BAD },          { "/a/.", BAD, OK },            { "/a/./b", BAD, BAD },
        { "/a/../", BAD, BAD },         { "/...", OK, OK },             { "/.a", OK, OK },
        { "/a.", OK, OK },              { "/..a/b", OK, OK },           { "/a/..", BAD, OK },

        /* characters */
        { "/ ", OK, OK },               { "/a b", OK, OK },             { "/~", OK, OK },
        { "/\x01", BAD, BAD },          { "/a\x1f", BAD, BAD },         { "/a\n/b", BAD, BAD },
        { "/\x7f", BAD, BAD },          { "/\xc2\x80", BAD, BAD },      { "/\xc2\x9f", BAD, BAD },
        { "/\xc2\xa0", OK, OK },        { "/\xc3\xa4\xc3\xb6", OK, OK },{ "/\xdf\xbf", OK, OK },
        { "/\xe0\xa0\x80", OK, OK },    { "/\xe2\x82\xac", OK, OK },    { "/\xed\x9f\xbf", OK, OK },    /* U+D7FF */
        { "/\xed\xa0\x80", BAD, BAD },  /* U+D800 */
        { "/\xed\xbf\xbf", BAD, BAD },  /* U+DFFF */
        { "/\xee\x80\x80", BAD, BAD },  /* U+E000 */
        { "/\xef\xa3\xbf", BAD, BAD },  /* U+F8FF */
        { "/\xef\xa4\x80", OK, OK },    /* U+F900 */
        { "/\xef\xbf\xaf", OK, OK },    /* U+FFEF */
        { "/\xef\xbf\xb0", BAD, BAD },  /* U+FFF0 */
        { "/\xef\xbf\xbd", BAD, BAD },  /* U+FFFD */
        { "/\xef\xbf\xbf", BAD, BAD },  /* U+FFFF */
        { "/\xf0\x90\x80\x80", BAD, BAD },      /* U+10000 */
        { "/\xf0\x9f\x98\x80", BAD, BAD },      /* U+1F600 */

        /* no UTF-8 */
        { "/\x80", BAD, BAD },          { "/\xbf/a", BAD, BAD },        { "/\xc0\xaf", BAD, BAD },
        { "/\xc1\x81", BAD, BAD },      { "/\xc3", BAD, BAD },          { "/\xc3/", BAD, BAD },
        { "/\xc3" "a", BAD, BAD },      { "/\xe2\x82", BAD, BAD },      { "/\xe2\x82/", BAD, BAD },
        { "/\xe2", BAD, BAD },          { "/\xe0\x9f\xbf", BAD, BAD },  { "/\xe0\x80\xaf", BAD, BAD },
        { "/\xf5\x80\x80\x80", BAD, BAD }, { "/\xff", BAD, BAD },       { "/\xfe\xff", BAD, BAD },
};

static void test_cases(void) {
        for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
                g_test_message("case %zu", i);
                g_assert_cmpint(path_validate(cases[i].path, false), ==, cases[i].status);
                g_assert_cmpint(path_validate(cases[i].path, true), ==, cases[i].sequential);
        }
}

static char *long_path(size_t size) {
        char *p = g_strnfill(size, 'x');

        p[0] = '/';
        return p;
}

static void test_limits(void) {
        g_autofree char *fits = long_path(LIMIT_PATH_BYTES), *above = long_path(LIMIT_PATH_BYTES + 1);
        g_autofree char *suffixed = long_path(LIMIT_PATH_BYTES - 10), *suffixed_above = long_path(LIMIT_PATH_BYTES - 9);
        g_autoptr(GString) deep = g_string_new(NULL);

        g_assert_cmpint(path_validate(fits, false), ==, CONVENE_OK);
        g_assert_cmpint(path_validate(above, false), ==, CONVENE_TOO_LARGE);
        g_assert_cmpint(path_validate(suffixed, true), ==, CONVENE_OK);
        g_assert_cmpint(path_validate(suffixed_above, true), ==, CONVENE_TOO_LARGE);

        for (unsigned i = 0; i < LIMIT_PATH_DEPTH; i++)
                g_string_append(deep, "/d");
        g_assert_cmpint(path_validate(deep->str, false), ==, CONVENE_OK);
        g_assert_cmpint(path_validate(deep->str, true), ==, CONVENE_OK);
        g_string_append(deep, "/");
        g_assert_cmpint(path_validate(deep->str, true), ==, CONVENE_TOO_LARGE);
        g_string_append(deep, "d");
        g_assert_cmpint(path_validate(deep->str, false), ==, CONVENE_TOO_LARGE);
}

/* The same rules said another way: GLib decodes, components are split. */
static bool is_valid_slowly(const char *path) {
        g_auto(GStrv) components = NULL;

        if (path[0] != '/' || !g_utf8_validate(path, -1, NULL))
                return false;
        if (path[1] == 0)
                return true;

        for (const char *p = path; *p; p = g_utf8_next_char(p)) {
                gunichar c = g_utf8_get_char(p);

                if (c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0xd800 && c <= 0xf8ff) || c >= 0xfff0)
                        return false;
        }

        components = g_strsplit(path + 1, "/", -1);
        for (char **c = components; *c; c++)
                if (g_str_equal(*c, "") || g_str_equal(*c, ".") || g_str_equal(*c, ".."))
                        return false;

        return true;
}

static void test_against_slow(void) {
        static const char *const pieces[] = {
                "/", "/", "/a", "/bc", "/.", "/..", ".", "a", " ", "\xc3", "\xa4", "\xc2\x9f", "\xc2\xa0",
                        "\xe2\x82\xac",
                "\xed\x9f\xbf", "\xed\xa0\x80", "\xef\xa4\x80", "\xef\xbf\xb0", "\xf0\x9f\x98\x80", "\xe0", "\x7f",
                        "\x02",
        };
        Prng prng = { 1 };
        unsigned accepted = 0;

        for (unsigned i = 0; i < 200000; i++) {
                g_autoptr(GString) path = g_string_new("/");
                g_autofree char *suffixed = NULL;
                bool valid;

                for (unsigned n = prng_below(&prng, 6); n > 0; n--)
                        g_string_append(path, pieces[prng_below(&prng, G_N_ELEMENTS(pieces))]);

                valid = path_validate(path->str, false) == CONVENE_OK;
                g_assert_cmpint(valid, ==, is_valid_slowly(path->str));
                accepted += valid;

                suffixed = g_strconcat(path->str, "0000000004", NULL);
                g_assert_cmpint(path_validate(path->str, true), ==, path_validate(suffixed, false));
        }

        g_assert_cmpuint(accepted, >, 10000);
        g_assert_cmpuint(accepted, <, 190000);
}

int main(int argc, char **argv) {
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/path/cases", test_cases);
        g_test_add_func("/path/limits", test_limits);
        g_test_add_func("/path/against-slow", test_against_slow);
        return g_test_run();
}
