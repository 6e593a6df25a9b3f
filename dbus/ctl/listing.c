/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Listing
 */

#include "dbus/ctl/listing.h"

static void add_read_options(Call *call) {
        call_open_options(call);
        if (call->ctl->options->linearizable)
                call_option(call, "linearizable", "b", true);
}

ExitStatus list_children_page(Ctl *c, const char *path, const char *start_after, uint32_t limit, GPtrArray *names,
                              bool *ret_more) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        ZnodeStat stat;
        int more;

        call_begin(&call, "Tree", "GetChildren");
        call_append(&call, "s", path);
        add_read_options(&call);
        if (start_after)
                call_option(&call, "start-after", "s", start_after);
        if (limit > 0)
                call_option(&call, "limit", "u", limit);
        ExitStatus e = call_send(&call, path, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = sd_bus_message_enter_container(reply, 'a', "s");
        if (r < 0)
                return bad_reply(r);
        const char *name;
        while ((r = sd_bus_message_read(reply, "s", &name)) > 0)
                g_ptr_array_add(names, g_strdup(name));
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = stat_read(reply, &stat);
        if (r >= 0)
                r = sd_bus_message_read(reply, "b", &more);
        if (r < 0)
                return bad_reply(r);

        if (ret_more)
                *ret_more = more;
        return EXIT_STATUS_OK;
}

ExitStatus list_children(Ctl *c, const char *path, OnName each, void *userdata) {
        g_autofree char *last = NULL;
        bool more = true;

        while (more) {
                g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

                ExitStatus e = list_children_page(c, path, last, 0, names, &more);
                for (unsigned i = 0; e == EXIT_STATUS_OK && i < names->len; i++)
                        e = each(userdata, g_ptr_array_index(names, i));
                if (e != EXIT_STATUS_OK)
                        return e;
                if (names->len == 0)
                        return EXIT_STATUS_OK;

                g_free(last);
                last = g_strdup(g_ptr_array_index(names, names->len - 1));
        }

        return EXIT_STATUS_OK;
}

static int read_znode(sd_bus_message *m, ListedZnode *ret) {
        const void *data;
        int r;

        r = sd_bus_message_enter_container(m, 'r', "s" STAT_SIGNATURE "ay");
        if (r <= 0)
                return r;
        r = sd_bus_message_read(m, "s", &ret->path);
        if (r < 0)
                return r;
        r = stat_read(m, &ret->stat);
        if (r < 0)
                return r;
        r = sd_bus_message_read_array(m, 'y', &data, &ret->data_size);
        if (r < 0)
                return r;
        ret->data = data;
        r = sd_bus_message_exit_container(m);
        return r < 0 ? r : 1;
}

/* *last: the path to go on after, freed and replaced; NULL when the list is complete. */
static ExitStatus list_page(Ctl *c, const char *path, bool with_data, OnZnode each, void *userdata, char **last) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        g_autofree char *after = g_steal_pointer(last);
        g_autofree char *reached = NULL;
        ListedZnode z;
        int more, r;

        call_begin(&call, "Tree", "List");
        call_append(&call, "s", path);
        add_read_options(&call);
        if (after)
                call_option(&call, "start-after", "s", after);
        if (with_data)
                call_option(&call, "data", "b", true);
        ExitStatus e = call_send(&call, path, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        r = sd_bus_message_enter_container(reply, 'a', "(s" STAT_SIGNATURE "ay)");
        if (r < 0)
                return bad_reply(r);
        while ((r = read_znode(reply, &z)) > 0) {
                e = each(userdata, &z);
                if (e != EXIT_STATUS_OK)
                        return e;
                g_free(reached);
                reached = g_strdup(z.path);
        }
        if (r >= 0)
                r = sd_bus_message_exit_container(reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "b", &more);
        if (r < 0)
                return bad_reply(r);

        if (more)
                *last = g_steal_pointer(&reached);
        return EXIT_STATUS_OK;
}

ExitStatus list_znodes(Ctl *c, const char *path, bool with_data, OnZnode each, void *userdata, unsigned *ret_pages) {
        g_autofree char *last = NULL;
        unsigned pages = 0;

        do {
                pages++;
                ExitStatus e = list_page(c, path, with_data, each, userdata, &last);
                if (e != EXIT_STATUS_OK)
                        return e;
        } while (last);

        if (ret_pages)
                *ret_pages = pages;
        return EXIT_STATUS_OK;
}

ExitStatus znode_exists(Ctl *c, const char *path, bool *ret_exists, ZnodeStat *ret_stat) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        int exists;

        call_begin(&call, "Tree", "Exists");
        call_append(&call, "s", path);
        add_read_options(&call);
        ExitStatus e = call_send(&call, path, &reply);
        if (e != EXIT_STATUS_OK)
                return e;

        int r = sd_bus_message_read(reply, "b", &exists);
        if (r >= 0)
                r = stat_read(reply, ret_stat);
        if (r < 0)
                return bad_reply(r);

        *ret_exists = exists;
        return EXIT_STATUS_OK;
}
