/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * convene-guard: the process of convene-leader@NAME.service
 *
 * It stands for this host's leadership of the election NAME: the singleton is bound to its unit and stops with it.  The agent writes into
 * the leader file (agent/base/leader-file.h) until when the unit may run; once that has passed, or the file is gone, the guard ends.
 * So the singleton is stopped in time also when the agent is dead or hangs; that the guard itself goes on is for systemd's
 * watchdog to see.
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <glib.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

#include "agent/base/leader-file.h"

#define DIRECTORY "/run/convene/" LEADER_FILE_DIRECTORY
#define OUTPUT "/run/convene-leader"
#define EVENTS (IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT)
#define ACCURACY_USEC 1

enum {
        EXIT_LOST = 0,                  /* leadership was given up or lost, and the agent said so; or the unit is stopped */
        EXIT_PROBLEM = 1,
        EXIT_USAGE = 64,
        EXIT_PASSED = 75,               /* the deadline: the agent did not renew it */
        EXIT_NOT_LEADING = 77,          /* to begin with */
};

typedef struct Guard {
        const char *election;
        bool exports;                   /* as root, of the agent's file */
        char *path;
        int fd;
        const LeaderFile *file;         /* mapped */
        sd_event *event;
        sd_event_source *deadline;
} Guard;

static uint64_t now_usec(void) {
        struct timespec ts;

        (void) clock_gettime(CLOCK_BOOTTIME, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + (uint64_t) ts.tv_nsec / 1000;
}

/* Has another one taken its place, or nothing? */
static bool is_gone(const Guard *g) {
        struct stat st;

        return fstat(g->fd, &st) < 0 || st.st_nlink == 0 || leader_file_deadline(g->file) == 0;
}

static int end_lost(Guard *g) {
        fprintf(stderr, SD_INFO "This host does not lead %s any more\n", g->election);
        return sd_event_exit(g->event, EXIT_LOST);
}

static int end_passed(Guard *g) {
        fprintf(stderr, SD_WARNING "The promise for %s was not renewed in time: convened hangs or is dead, or is cut off from "
                "the other members; ending, which stops the unit\n", g->election);
        return sd_event_exit(g->event, EXIT_PASSED);
}

/* It may have been moved on since the timer was set. */
static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        Guard *g = userdata;
        uint64_t deadline = leader_file_deadline(g->file), now = now_usec();

        if (is_gone(g))
                return end_lost(g);
        if (deadline <= now || deadline - now > LEADER_FILE_DEADLINE_MAX_USEC)
                return end_passed(g);
        (void) sd_event_source_set_time(source, deadline);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* What the events say does not matter: some may have been lost. */
static int on_change(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Guard *g = userdata;
        char buffer[4096];
        ssize_t n;

        do
                n = read(fd, buffer, sizeof(buffer));
        while (n > 0 || (n < 0 && errno == EINTR));
        return is_gone(g) ? end_lost(g) : 0;
}

/* Shown to whoever runs it; nothing else of the file is believed. */
static int refuse(const Guard *g, int status, const char *why) {
        fprintf(stderr, SD_ERR "%s %s\n", g->path, why);
        return status;
}

static bool is_trusted(const struct stat *st) {
        return st->st_uid == geteuid() || st->st_uid == 0;
}

/* The agent's own, and nobody else's: the directory is the agent's as well, but it is no matter of trust. */
static int map_file(Guard *g) {
        const char *why;
        struct stat st;
        void *file;

        g->fd = open(g->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (g->fd < 0)
                return refuse(g, errno == ENOENT ? EXIT_NOT_LEADING : EXIT_PROBLEM, strerror(errno));
        if (fstat(g->fd, &st) < 0 || !S_ISREG(st.st_mode))
                return refuse(g, EXIT_PROBLEM, "is not a regular file");
        if (!g->exports && !is_trusted(&st))
                return refuse(g, EXIT_PROBLEM, "belongs to another user");
        if (st.st_size != sizeof(LeaderFile))
                return refuse(g, EXIT_PROBLEM, "has another size than such a file has");
        file = mmap(NULL, sizeof(LeaderFile), PROT_READ, MAP_SHARED, g->fd, 0);
        if (file == MAP_FAILED)
                return refuse(g, EXIT_PROBLEM, strerror(errno));
        g->file = file;
        why = leader_file_check(g->file, (uint64_t) st.st_size, g->election);
        return why ? refuse(g, EXIT_PROBLEM, why) : 0;
}

static int check_deadline(const Guard *g) {
        uint64_t deadline = leader_file_deadline(g->file), now = now_usec();

        if (is_gone(g))
                return refuse(g, EXIT_NOT_LEADING, "is gone: this host does not lead");
        if (deadline <= now)
                return refuse(g, EXIT_NOT_LEADING, "has a deadline that has passed");
        if (deadline - now > LEADER_FILE_DEADLINE_MAX_USEC)
                return refuse(g, EXIT_PROBLEM, "has a deadline more than a day away");
        return 0;
}

/* The watch comes before the last look at the file, so that nothing falls in between. */
static int watch_directory(Guard *g, const char *directory) {
        int fd, r;

        fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (inotify_add_watch(fd, directory, EVENTS | IN_ONLYDIR) < 0)
                return -errno;
        r = sd_event_add_io(g->event, NULL, fd, EPOLLIN, on_change, g);
        if (r < 0)
                return r;
        return sd_event_add_time(g->event, &g->deadline, CLOCK_BOOTTIME, leader_file_deadline(g->file), ACCURACY_USEC,
                                 on_deadline, g);
}

static int prepare(Guard *g, const char *directory) {
        sigset_t mask;
        int r;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGINT);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
        r = sd_event_default(&g->event);
        if (r < 0)
                return r;
        r = sd_event_add_signal(g->event, NULL, SIGTERM, NULL, GINT_TO_POINTER(EXIT_LOST));
        if (r < 0)
                return r;
        r = sd_event_add_signal(g->event, NULL, SIGINT, NULL, GINT_TO_POINTER(EXIT_LOST));
        if (r < 0)
                return r;
        r = watch_directory(g, directory);
        if (r < 0)
                return r;
        return sd_event_set_watchdog(g->event, true);
}

static int run(Guard *g, const char *directory) {
        int r;

        r = map_file(g);
        if (r != 0)
                return r;
        r = prepare(g, directory);
        if (r < 0)
                return refuse(g, EXIT_PROBLEM, strerror(-r));
        r = check_deadline(g);
        if (r != 0)
                return r;
        /* It must act in time also when the host is short of memory; where that is not allowed, it runs without. */
        (void) mlockall(MCL_CURRENT | MCL_FUTURE);
        (void) sd_notifyf(false, "READY=1\nSTATUS=This host leads %s, token %" PRIu64, g->election, g->file->token);
        r = sd_event_loop(g->event);
        return r < 0 ? EXIT_PROBLEM : r;
}

/* For the singleton, which may be root: nothing but a number, and a name of a grammar without quotes or spaces. */
static int export_token(Guard *g, const char *directory) {
        g_autofree char *env = NULL, *token = NULL, *env_path = g_strdup_printf("%s/%s.env", directory, g->election),
                        *token_path = g_strdup_printf("%s/%s.token", directory, g->election);
        g_autoptr(GError) error = NULL;
        int r;

        r = map_file(g);
        if (r != 0)
                return r;
        env = g_strdup_printf("CONVENE_TOKEN=%" PRIu64 "\nCONVENE_ELECTION='%s'\n", g->file->token, g->election);
        token = g_strdup_printf("%" PRIu64, g->file->token);
        if (mkdir(directory, 0755) < 0 && errno != EEXIST) {
                fprintf(stderr, SD_ERR "cannot make %s: %s\n", directory, strerror(errno));
                return EXIT_PROBLEM;
        }
        if (!g_file_set_contents_full(env_path, env, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error) ||
            !g_file_set_contents_full(token_path, token, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error)) {
                fprintf(stderr, SD_ERR "%s\n", error->message);
                return EXIT_PROBLEM;
        }
        return 0;
}

static int usage(void) {
        fprintf(stderr, "usage: convene-guard ELECTION [DIRECTORY]\n"
                "       convene-guard --export ELECTION [DIRECTORY OUTPUT]\n\n"
                "Runs as long as DIRECTORY/ELECTION (default: " DIRECTORY "/ELECTION) says that this host leads; or writes the token that "
                "is in it into OUTPUT (" OUTPUT "), for the unit.  See convene.singleton(5).\n");
        return EXIT_USAGE;
}

int main(int argc, char *argv[]) {
        Guard g = { .fd = -1, .exports = argc > 1 && strcmp(argv[1], "--export") == 0 };
        int first = g.exports ? 2 : 1, given = argc - first, status;
        const char *directory = given > 1 ? argv[first + 1] : DIRECTORY;

        if ((given != 1 && given != (g.exports ? 3 : 2)) || !singleton_name_is_valid(argv[first]))
                return usage();
        g.election = argv[first];
        g.path = g_build_filename(directory, g.election, NULL);
        status = g.exports ? export_token(&g, given > 1 ? argv[first + 2] : OUTPUT) : run(&g, directory);
        (void) sd_notify(false, "STOPPING=1");
        sd_event_source_unref(g.deadline);
        sd_event_unref(g.event);
        g_free(g.path);
        return status;
}
