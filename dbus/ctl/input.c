/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Input
 */

#include "dbus/ctl/input.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "agent/base/limits.h"
#include "dbus/ctl/output.h"

static ExitStatus read_all(int fd, const char *what, size_t bytes_max, GBytes **ret) {
        g_autoptr(GByteArray) bytes = g_byte_array_new();

        for (;;) {
                uint8_t chunk[16384];
                ssize_t n = read(fd, chunk, sizeof(chunk));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) {
                        print_error("cannot read %s: %s", what, g_strerror(errno));
                        return EXIT_STATUS_FAILURE;
                }
                if (n == 0)
                        break;
                if (bytes->len + (size_t) n > bytes_max) {
                        print_error("%s holds more than %zu bytes (TooLarge)", what, bytes_max);
                        return EXIT_STATUS_LIMIT;
                }
                g_byte_array_append(bytes, chunk, n);
        }

        *ret = g_byte_array_free_to_bytes(g_steal_pointer(&bytes));
        return EXIT_STATUS_OK;
}

ExitStatus input_take_data(const char *argument, GBytes **ret) {
        if (argument && g_str_equal(argument, "-"))
                return read_all(STDIN_FILENO, "standard input", LIMIT_DATA_BYTES, ret);

        *ret = argument ? g_bytes_new(argument, strlen(argument)) : g_bytes_new(NULL, 0);
        return EXIT_STATUS_OK;
}

ExitStatus input_read_file(const char *name, size_t bytes_max, GBytes **ret) {
        if (!name || g_str_equal(name, "-"))
                return read_all(STDIN_FILENO, "standard input", bytes_max, ret);

        int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0) {
                print_error("cannot open %s: %s", name, g_strerror(errno));
                return EXIT_STATUS_FAILURE;
        }
        ExitStatus e = read_all(fd, name, bytes_max, ret);
        close(fd);
        return e;
}
