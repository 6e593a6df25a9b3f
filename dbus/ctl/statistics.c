/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Statistics
 */

#include "dbus/ctl/statistics.h"

#include <string.h>

static void statistic_clear(void *p) {
        Statistic *s = p;

        g_free(s->name);
}

static int compare_statistics(const void *a, const void *b) {
        const Statistic *x = a, *y = b;

        return strcmp(x->name, y->name);
}

ExitStatus statistics_read(Ctl *c, Statistics **ret) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        g_autoptr(Statistics) list = g_array_new(FALSE, FALSE, sizeof(Statistic));
        const char *name;
        uint64_t value;

        g_array_set_clear_func(list, statistic_clear);
        call_begin(&call, "Statistics", "Get");
        ExitStatus e = call_send(&call, NULL, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = sd_bus_message_enter_container(reply, 'a', "{st}");
        if (r < 0)
                return bad_reply(r);
        while ((r = sd_bus_message_read(reply, "{st}", &name, &value)) > 0) {
                Statistic s = { .name = g_strdup(name), .value = value };
                g_array_append_val(list, s);
        }
        if (r < 0)
                return bad_reply(r);

        g_array_sort(list, compare_statistics);
        *ret = g_steal_pointer(&list);
        return EXIT_STATUS_OK;
}

bool statistics_find(const Statistics *s, const char *name, uint64_t *ret) {
        for (unsigned i = 0; i < s->len; i++) {
                const Statistic *one = &g_array_index(s, Statistic, i);

                if (g_str_equal(one->name, name)) {
                        *ret = one->value;
                        return true;
                }
        }

        return false;
}
