/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The bus API, over the local socket or through a broker:
 *
 *     test-bus CONVENED socket [GTest options]
 *     test-bus CONVENED DBUS-DAEMON [GTest options]
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bus/harness.h"

int main(int argc, char *argv[]) {
        int r;

        if (argc < 3) {
                fprintf(stderr, "usage: %s CONVENED socket|DBUS-DAEMON [OPTION...]\n", argv[0]);
                return EXIT_FAILURE;
        }
        convened_path = argv[1];
        dbus_daemon_path = g_str_equal(argv[2], "socket") ? NULL : argv[2];
        argv[2] = argv[0];
        argc -= 2;
        argv += 2;
        g_test_init(&argc, &argv, NULL);

        add_tree_tests();
        add_acl_tests();
        add_multi_tests();
        add_watch_tests();
        add_session_tests();
        add_limit_tests();
        add_lock_tests();
        add_recipe_tests();
        add_hostile_tests();
        add_polkit_tests();
        add_broker_tests();

        shared = agent_new(NULL);
        r = g_test_run();
        shared = agent_free(shared);
        return r;
}
