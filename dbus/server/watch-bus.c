/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Watches
 */

#include <errno.h>

#include "dbus/server/call.h"
#include "dbus/server/codec.h"
#include "dbus/server/error.h"
#include "dbus/server/server-private.h"
#include "dbus/server/watch.h"

#define OPTIONS_WATCH (OPTION_SESSION | OPTION_SUPER)
#define ALL_KINDS (WATCH_DATA | WATCH_CHILDREN | WATCH_PERSISTENT | WATCH_PERSISTENT_RECURSIVE)

static bool has_room(Caller *c, sd_bus_message *m, uint32_t wanted) {
        g_autofree char *text = NULL;

        if ((uint64_t) c->account->watches + wanted <= c->server->limits.watches)
                return true;
        text = account_limit_text(c->account, ACCOUNT_WATCHES);
        reply_refusal(c->channel, m, CONVENE_LIMIT_EXCEEDED, "%s", text);
        return false;
}

static bool kind_is_known(Caller *c, sd_bus_message *m, const char *word, bool catch_up, WatchKind *ret, bool *ret_exist) {
        if (watch_kind_from_string(word, ret, ret_exist) && (catch_up || !*ret_exist))
                return true;
        reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS, "unknown kind '%.64s': data, children, persistent%s or recursive",
                      word, catch_up ? ", exist" : "");
        return false;
}

static bool number_is_valid(Caller *c, sd_bus_message *m, uint64_t number) {
        if (number != 0)
                return true;
        reply_refusal(c->channel, m, CONVENE_BAD_ARGUMENTS, "a watch's number is not 0");
        return false;
}

static int reply_zxid(Caller *c, sd_bus_message *m, Zxid zxid) {
        g_autoptr(sd_bus_message) reply = NULL;

        if (sd_bus_message_new_method_return(m, &reply) >= 0 && sd_bus_message_append(reply, "t", zxid) >= 0)
                (void) channel_send(c->channel, reply, 128);
        return METHOD_DONE;
}

static int reply_empty(Caller *c, sd_bus_message *m) {
        g_autoptr(sd_bus_message) reply = NULL;

        if (sd_bus_message_new_method_return(m, &reply) >= 0)
                (void) channel_send(c->channel, reply, 128);
        return METHOD_DONE;
}

static int method_watch(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        const char *path, *word;
        ConveneStatus status;
        WatchKind kind;
        Request who = { 0 };
        uint64_t number;
        bool exist;
        Zxid zxid;
        int k;

        k = sd_bus_message_read(m, "tss", &number, &path, &word);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTIONS_WATCH | OPTION_SINCE, &o);
        if (k <= 0)
                return k;
        if (!number_is_valid(c, m, number) || !kind_is_known(c, m, word, false, &kind, &exist))
                return METHOD_DONE;
        k = call_identify(c, m, &o, &who);
        if (k <= 0 || !has_room(c, m, 1))
                return k <= 0 ? k : METHOD_DONE;
        /* Behind one's own updates, so that the watch sees none of them. */
        if (caller_hold_until_answered(c))
                return METHOD_HOLD;

        zxid = o.since != 0 ? o.since : tree_zxid(member_get_tree(c->server->member));
        status = member_watch(c->client, number, path, kind, who.session, who.caller, o.since);
        if (status != CONVENE_OK) {
                reply_error(c->channel, m, status, path);
                return METHOD_DONE;
        }
        return reply_zxid(c, m, zxid);
}

static int method_unwatch(Caller *c, sd_bus_message *m) {
        const char *path;
        ConveneStatus status;
        uint64_t number;
        int r;

        r = sd_bus_message_read(m, "ts", &number, &path);
        if (r < 0)
                return r;
        if (*path == '\0')
                path = NULL;
        status = member_unwatch(c->client, number, path, ALL_KINDS);
        if (status != CONVENE_OK) {
                reply_error(c->channel, m, status, path);
                return METHOD_DONE;
        }
        return reply_empty(c, m);
}

static int read_paths(sd_bus_message *m, uint32_t paths_max, GPtrArray *paths) {
        const char *path;
        int r;

        r = sd_bus_message_enter_container(m, 'a', "s");
        if (r < 0)
                return r;
        while ((r = sd_bus_message_read_basic(m, 's', &path)) > 0) {
                if (paths->len >= paths_max)
                        return -E2BIG;
                g_ptr_array_add(paths, (char *) path);
        }
        if (r < 0)
                return r;
        return sd_bus_message_exit_container(m);
}

static int catch_up(Caller *c, sd_bus_message *m, uint64_t number, Zxid relative, WatchKind kind, bool exist,
                    GPtrArray *paths, const Request *who) {
        ConveneStatus status;

        for (guint i = 0; i < paths->len; i++) {
                status = path_validate(g_ptr_array_index(paths, i), false);
                if (status != CONVENE_OK) {
                        reply_error(c->channel, m, status, g_ptr_array_index(paths, i));
                        return METHOD_DONE;
                }
        }
        status = member_set_watches(c->client, number, who->session, who->caller, relative, kind, exist,
                                    (const char *const *) paths->pdata, paths->len);
        if (status == CONVENE_OK)
                return reply_empty(c, m);
        reply_error(c->channel, m, status, NULL);
        return METHOD_DONE;
}

static int method_set_watches(Caller *c, sd_bus_message *m) {
        g_autoptr(GPtrArray) paths = g_ptr_array_new();
        g_auto(Options) o = OPTIONS_INIT;
        const char *word;
        WatchKind kind;
        Request who = { 0 };
        uint64_t number, relative;
        bool exist;
        int k;

        k = sd_bus_message_read(m, "tts", &number, &relative, &word);
        if (k < 0)
                return k;
        k = read_paths(m, c->server->limits.watches, paths);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTIONS_WATCH, &o);
        if (k <= 0)
                return k;
        if (!number_is_valid(c, m, number) || !kind_is_known(c, m, word, true, &kind, &exist))
                return METHOD_DONE;
        k = call_identify(c, m, &o, &who);
        if (k <= 0 || !has_room(c, m, paths->len))
                return k <= 0 ? k : METHOD_DONE;
        if (caller_hold_until_answered(c))
                return METHOD_HOLD;
        return catch_up(c, m, number, relative, kind, exist, paths, &who);
}

DEFINE_METHOD(method_watch)
DEFINE_METHOD(method_unwatch)
DEFINE_METHOD(method_set_watches)

const sd_bus_vtable watches_vtable[] = {
        SD_BUS_VTABLE_START(0),
        SD_BUS_METHOD_WITH_ARGS("Watch",
                                SD_BUS_ARGS("t", number, "s", path, "s", kind, "a{sv}", options),
                                SD_BUS_RESULT("t", zxid),
                                bus_method_watch, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("Unwatch",
                                SD_BUS_ARGS("t", number, "s", path),
                                SD_BUS_NO_RESULT,
                                bus_method_unwatch, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("SetWatches",
                                SD_BUS_ARGS("t", number, "t", relative, "s", kind, "as", paths, "a{sv}", options),
                                SD_BUS_NO_RESULT,
                                bus_method_set_watches, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_SIGNAL_WITH_ARGS("Event",
                                SD_BUS_ARGS("t", number, "s", type, "s", path, "t", zxid, "b", spent),
                                0),
        SD_BUS_VTABLE_END,
};
