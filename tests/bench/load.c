/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Load
 */

#include "tests/bench/load.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/bus/harness.h"

#define BARE_BYTES 4096
#define DATA_BYTES LOAD_DATA_BYTES

uint64_t load_now_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static void load_send(Load *l);

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        Load *l = userdata;

        if (sd_bus_message_is_method_error(m, NULL))
                g_error("%s: %s", l->member, sd_bus_message_get_error(m)->message);
        l->unanswered--;
        l->answered++;
        if (l->until_usec > 0 && (l->answered % 8 != 0 || load_now_usec() < l->until_usec))
                load_send(l);
        return 1;
}

static void load_send(Load *l) {
        static const uint8_t data[DATA_BYTES];
        g_autoptr(sd_bus_message) m = NULL;
        int r;

        r = sd_bus_message_new_method_call(l->bus, &m, l->destination, "/org/convene1", l->interface, l->member);
        if (r >= 0 && l->arguments > 0)
                r = sd_bus_message_append(m, "s", "/bench");
        if (r >= 0 && l->arguments == 2)
                r = sd_bus_message_append_array(m, 'y', data, sizeof(data));
        if (r >= 0 && l->arguments == 2)
                r = sd_bus_message_append(m, "i", -1);
        if (r >= 0 && l->arguments > 0)
                r = l->linearizable ? sd_bus_message_append(m, "a{sv}", 1, "linearizable", "b", 1) : sd_bus_message_append(m, "a{sv}", 0);
        if (r >= 0)
                r = sd_bus_call_async(l->bus, NULL, m, on_answer, l, UINT64_C(60000000));
        g_assert_cmpint(r, >=, 0);
        l->unanswered++;
}

static void load_wait(Load *l) {
        while (l->unanswered > 0) {
                int r = sd_bus_process(l->bus, NULL);

                g_assert_cmpint(r, >=, 0);
                if (r == 0)
                        g_assert_cmpint(sd_bus_wait(l->bus, UINT64_MAX), >=, 0);
        }
}

double load_rate(Load *l, unsigned window, uint64_t usec) {
        uint64_t from = load_now_usec();

        l->answered = 0;
        l->until_usec = from + usec;
        for (unsigned i = 0; i < window; i++)
                load_send(l);
        load_wait(l);
        return (double) l->answered * 1e6 / (double) (load_now_usec() - from);
}

static int compare(const void *a, const void *b) {
        double x = *(const double *) a, y = *(const double *) b;

        return (x > y) - (x < y);
}

double load_median(double *values, unsigned count) {
        qsort(values, count, sizeof(double), compare);
        return values[count / 2];
}

/* As the store has it: allocated, and filled with zeros, so that a write changes nothing but data. */
int load_bare_open(const char *directory, const char *name, unsigned writes) {
        g_autofree char *path = g_build_filename(directory, name, NULL);
        static const char zeros[BARE_BYTES];
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        g_assert_cmpint(fd, >=, 0);
        for (unsigned i = 0; i < writes; i++)
                g_assert_cmpint(write(fd, zeros, sizeof(zeros)), ==, sizeof(zeros));
        g_assert_cmpint(fsync(fd), ==, 0);
        return fd;
}

double load_bare_write(int fd, unsigned number) {
        static const char block[BARE_BYTES] = "x";
        uint64_t from = load_now_usec();

        g_assert_cmpint(pwrite(fd, block, sizeof(block), (off_t) number * BARE_BYTES), ==, sizeof(block));
        g_assert_cmpint(fdatasync(fd), ==, 0);
        return (double) (load_now_usec() - from);
}

double load_once(Load *l) {
        uint64_t from = load_now_usec();

        l->until_usec = 0;
        load_send(l);
        load_wait(l);
        return (double) (load_now_usec() - from);
}
