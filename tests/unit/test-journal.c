/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Journal: what goes over to journald, and that a journald that takes nothing keeps nobody waiting.
 */

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "agent/base/messages.h"
#include "agent/main/journal.h"

#define PATIENCE_SEC 60         /* SIGALRM ends a test that hangs */

typedef struct Journald {
        char *directory, *path;
        int fd;                 /* -1: it does not run */
        char datagram[65536];
        size_t size;
} Journald;

static void journald_start(Journald *j) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };

        g_strlcpy(sa.sun_path, j->path, sizeof(sa.sun_path));
        (void) unlink(j->path);
        j->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        g_assert_cmpint(j->fd, >=, 0);
        g_assert_cmpint(bind(j->fd, (struct sockaddr *) &sa, sizeof(sa)), ==, 0);
}

static void journald_stop(Journald *j) {
        close(j->fd);
        j->fd = -1;
}

static void begin(Journald *j) {
        *j = (Journald) { .directory = g_dir_make_tmp("convene-journal-XXXXXX", NULL) };
        j->path = g_build_filename(j->directory, "socket", NULL);
        journald_start(j);
        journal_use_socket(j->path);
        alarm(PATIENCE_SEC);
}

static void end(Journald *j) {
        alarm(0);
        if (j->fd >= 0)
                journald_stop(j);
        (void) unlink(j->path);
        g_assert_cmpint(rmdir(j->directory), ==, 0);
        g_free(j->path);
        g_free(j->directory);
}

/* False if there is none. */
static bool journald_read(Journald *j) {
        ssize_t n = recv(j->fd, j->datagram, sizeof(j->datagram) - 1, 0);

        if (n < 0)
                return false;
        j->datagram[n] = 0;
        j->size = n;
        return true;
}

static void test_fields(void) {
        static const char expected[] = "MESSAGE=a=b of 7\nPRIORITY=4\nSYSLOG_IDENTIFIER=convened\n" CONVENE_MESSAGE_READY "\n"
                                       "CONVENE_ROLE=leader\nCONVENE_EMPTY=\n";
        Journald j;

        begin(&j);
        journal_send(LOG_WARNING, CONVENE_MESSAGE_READY, (const char *const[]) { "CONVENE_ROLE=leader", "CONVENE_EMPTY=", NULL }, "a=b of %d", 7);
        g_assert_true(journald_read(&j));
        g_assert_cmpmem(j.datagram, j.size, expected, sizeof(expected) - 1);
        g_assert_false(journald_read(&j));
        end(&j);
}

/* Nobody writes fields into the journal by what others are called. */
static void test_lines(void) {
        static const char expected[] = "MESSAGE\n\x0c\0\0\0\0\0\0\0one\nPRIORITY\nPRIORITY=6\nSYSLOG_IDENTIFIER=convened\n"
                                       "CONVENE_UID\n\x03\0\0\0\0\0\0\0" "1\n2\n";
        Journald j;

        begin(&j);
        journal_send(LOG_INFO, NULL, (const char *const[]) { "CONVENE_UID=1\n2", NULL }, "%s", "one\nPRIORITY");
        g_assert_true(journald_read(&j));
        g_assert_cmpmem(j.datagram, j.size, expected, sizeof(expected) - 1);
        end(&j);
}

/* It is stopped, and its queue is full: whoever has something to say goes on, and says later how much was lost. */
static void test_full(void) {
        uint64_t before = journal_lost(), lost;
        g_autofree char *told = NULL;
        unsigned sent = 0, taken = 0;
        Journald j;

        begin(&j);
        for (; journal_lost() < before + 3; sent++)
                journal(LOG_INFO, NULL, "message %u", sent);
        lost = journal_lost() - before;
        while (journald_read(&j)) {
                g_autofree char *text = g_strdup_printf("MESSAGE=message %u\n", taken++);

                g_assert_true(g_str_has_prefix(j.datagram, text));
        }
        g_assert_cmpuint(taken, >, 0);
        g_assert_cmpuint(taken + lost, ==, sent);

        journal(LOG_INFO, NULL, "room again");
        told = g_strdup_printf("MESSAGE=%" G_GUINT64_FORMAT " messages before this one are lost", lost);
        g_assert_true(journald_read(&j));
        g_assert_true(g_str_has_prefix(j.datagram, told));
        g_assert_true(journald_read(&j));
        g_assert_true(g_str_has_prefix(j.datagram, "MESSAGE=room again\n"));

        journal(LOG_INFO, NULL, "and it is told once");
        g_assert_true(journald_read(&j));
        g_assert_true(g_str_has_prefix(j.datagram, "MESSAGE=and it is told once\n"));
        g_assert_false(journald_read(&j));
        end(&j);
}

/* A new journald has a new socket at the same place. */
static void test_restarted(void) {
        uint64_t before = journal_lost();
        Journald j;

        begin(&j);
        journald_stop(&j);
        journal(LOG_INFO, NULL, "to nobody");
        (void) unlink(j.path);
        journal(LOG_INFO, NULL, "to nowhere");
        g_assert_cmpuint(journal_lost(), ==, before + 2);
        journald_start(&j);
        journal(LOG_INFO, NULL, "back");
        g_assert_true(journald_read(&j));
        g_assert_true(g_str_has_prefix(j.datagram, "MESSAGE=2 messages"));
        g_assert_true(journald_read(&j));
        g_assert_true(g_str_has_prefix(j.datagram, "MESSAGE=back\n"));
        end(&j);
}

int main(int argc, char *argv[]) {
        g_test_init(&argc, &argv, NULL);
        g_setenv("JOURNAL_STREAM", "8:1", true);
        g_test_add_func("/journal/fields", test_fields);
        g_test_add_func("/journal/lines", test_lines);
        g_test_add_func("/journal/full", test_full);
        g_test_add_func("/journal/restarted", test_restarted);
        return g_test_run();
}
