/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Descendants
 */

#include "dbus/ctl/descendants.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include "dbus/ctl/clock.h"

#define DESCENDANTS_MAX 4096            /* looked at in one go; those below are found when these are gone */
#define KILL_AGAIN_USEC 10000           /* for what was started while we looked */

int descendants_keep(void) {
        return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0;
}

static void add_children(GArray *pids, pid_t parent) {
        g_autofree char *path = g_strdup_printf("/proc/%d/task", (int) parent);
        g_autoptr(GDir) tasks = g_dir_open(path, 0, NULL);
        const char *task;

        while (tasks && (task = g_dir_read_name(tasks))) {
                g_autofree char *children = g_strdup_printf("%s/%s/children", path, task);
                FILE *f = fopen(children, "re");
                int pid;

                while (f && pids->len < DESCENDANTS_MAX && fscanf(f, "%d", &pid) == 1)
                        g_array_append_val(pids, pid);
                if (f)
                        fclose(f);
        }
}

void descendants_signal(pid_t command, int signo) {
        g_autoptr(GArray) pids = g_array_new(FALSE, FALSE, sizeof(int));

        add_children(pids, getpid());
        for (guint i = 0; i < pids->len; i++)
                add_children(pids, g_array_index(pids, int, i));
        if (pids->len == 0)
                (void) kill(command, signo);
        for (guint i = 0; i < pids->len; i++)
                (void) kill(g_array_index(pids, int, i), signo);
}

/* False: there is no child any more. */
static bool reap(void) {
        pid_t pid;

        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
                ;
        return pid == 0;
}

void descendants_end(pid_t command, uint64_t kill_at_usec) {
        sigset_t child;

        sigemptyset(&child);
        sigaddset(&child, SIGCHLD);
        while (reap()) {
                uint64_t now = now_usec(CLOCK_BOOTTIME), left = kill_at_usec > now ? kill_at_usec - now : KILL_AGAIN_USEC;

                if (now >= kill_at_usec)
                        descendants_signal(command, SIGKILL);
                (void) sigtimedwait(&child, NULL,
                                    &(struct timespec) { .tv_sec = (time_t) (left / 1000000),
                                                         .tv_nsec = (long) (left % 1000000) * 1000 });
        }
}
