/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * org.convene1.Watches
 */

#include <errno.h>
#include <string.h>

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

/*
 * Registering: at once, or when this member serves and has come to where the caller is.
 */

/* What Watch or SetWatches asks for. */
typedef struct Wanted {
        uint64_t number;
        WatchKind kind;
        bool catches_up;                /* SetWatches */
        bool exist;
        Zxid since;
        uint64_t session;
        Identities identities;          /* the caller's own */
        char **paths;
} Wanted;

static Wanted *wanted_copy(const Wanted *w) {
        Wanted *copy = g_memdup2(w, sizeof(*w));

        copy->paths = g_strdupv(w->paths);
        return copy;
}

static void wanted_free(void *data) {
        Wanted *w = data;

        g_strfreev(w->paths);
        g_free(w);
}

static ConveneStatus wanted_register(Caller *c, const Wanted *w, const char **ret_about) {
        *ret_about = w->catches_up ? NULL : w->paths[0];
        if (!w->catches_up)
                return member_watch(c->client, w->number, w->paths[0], w->kind, w->session, w->identities, w->since);

        for (char **path = w->paths; *path; path++) {
                ConveneStatus status = path_validate(*path, false);

                if (status != CONVENE_OK) {
                        *ret_about = *path;
                        return status;
                }
        }
        return member_set_watches(c->client, w->number, w->session, w->identities, w->since, w->kind, w->exist,
                                  (const char *const *) w->paths, g_strv_length(w->paths));
}

static void reply_registered(Caller *c, sd_bus_message *m, const Wanted *w, Zxid zxid) {
        if (w->catches_up)
                (void) reply_empty(c, m);
        else
                (void) reply_zxid(c, m, w->since != 0 ? w->since : zxid);
}

/* True if it is answered; else it is too early for it. */
static bool wanted_try(Caller *c, sd_bus_message *m, const Wanted *w) {
        Zxid zxid = tree_zxid(member_get_tree(c->server->member));
        ConveneStatus status;
        const char *about;

        if (!has_room(c, m, g_strv_length(w->paths)))
                return true;
        status = wanted_register(c, w, &about);
        if (status == CONVENE_NOT_READY)
                return false;
        if (status == CONVENE_OK)
                reply_registered(c, m, w, zxid);
        else
                reply_error(c->channel, m, status, about);
        return true;
}

/* It waited for nothing. */
static void refuse_early(Caller *c, sd_bus_message *m, const Wanted *w) {
        Zxid zxid = tree_zxid(member_get_tree(c->server->member));
        MemberStatus status;

        member_get_status(c->server->member, &status);
        if (status.trouble || w->since <= zxid)
                reply_error(c->channel, m, CONVENE_NOT_READY, NULL);
        else
                reply_refusal(c->channel, m, CONVENE_NOT_READY,
                              "this member has not come to zxid " ZXID_FORMAT ", only to " ZXID_FORMAT
                              "; if that is of this ensemble, try again", w->since, zxid);
}

static void on_waited(Call *call, const Result *result) {
        const Wanted *w = call->plan;

        if (result->status != CONVENE_OK || !wanted_try(call->caller, call->message, w))
                refuse_early(call->caller, call->message, w);
}

static int wanted_submit(Caller *c, sd_bus_message *m, const Wanted *w) {
        Request sizes = { .op = REQUEST_SET_DATA, .path = "/", .version = VERSION_ANY, .data = (const uint8_t *) "" };
        Call *call;

        /* Behind one's own updates, so that the watch sees none of them. */
        if (caller_hold_until_answered(c))
                return METHOD_HOLD;
        if (wanted_try(c, m, w))
                return METHOD_DONE;

        for (char **path = w->paths; *path; path++)
                sizes.data_size += strlen(*path) + 1;
        call = call_new(c, m, &sizes, NULL, on_waited);
        if (!call)
                return METHOD_DONE;
        call->plan = wanted_copy(w);
        call->plan_free = wanted_free;
        call_start_wait(call, w->since);
        return METHOD_DONE;
}

static int method_watch(Caller *c, sd_bus_message *m) {
        g_auto(Options) o = OPTIONS_INIT;
        const char *path, *word;
        Wanted w = { .paths = (char *[]) { NULL, NULL } };
        Request who = { 0 };
        int k;

        k = sd_bus_message_read(m, "tss", &w.number, &path, &word);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTIONS_WATCH | OPTION_SINCE, &o);
        if (k <= 0)
                return k;
        if (!number_is_valid(c, m, w.number) || !kind_is_known(c, m, word, false, &w.kind, &w.exist))
                return METHOD_DONE;
        k = call_identify(c, m, &o, &who);
        if (k <= 0)
                return k;
        w.session = who.session;
        w.identities = who.caller;
        w.since = o.since;
        w.paths[0] = (char *) path;
        return wanted_submit(c, m, &w);
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

static int method_set_watches(Caller *c, sd_bus_message *m) {
        g_autoptr(GPtrArray) paths = g_ptr_array_new();
        g_auto(Options) o = OPTIONS_INIT;
        Wanted w = { .catches_up = true };
        const char *word;
        Request who = { 0 };
        int k;

        k = sd_bus_message_read(m, "tts", &w.number, &w.since, &word);
        if (k < 0)
                return k;
        k = read_paths(m, c->server->limits.watches, paths);
        if (k < 0)
                return k;
        k = call_read_options(c, m, OPTIONS_WATCH, &o);
        if (k <= 0)
                return k;
        if (!number_is_valid(c, m, w.number) || !kind_is_known(c, m, word, true, &w.kind, &w.exist))
                return METHOD_DONE;
        k = call_identify(c, m, &o, &who);
        if (k <= 0)
                return k;
        w.session = who.session;
        w.identities = who.caller;
        g_ptr_array_add(paths, NULL);
        w.paths = (char **) paths->pdata;
        return wanted_submit(c, m, &w);
}

static int method_unwatch(Caller *c, sd_bus_message *m) {
        const char *path;
        ConveneStatus status;
        uint64_t number;
        int r;

        r = sd_bus_message_read(m, "ts", &number, &path);
        if (r < 0)
                return r;
        /* A watch that still waits to be registered is one of those it is about. */
        if (caller_hold_until_answered(c))
                return METHOD_HOLD;
        if (*path == '\0')
                path = NULL;
        status = member_unwatch(c->client, number, path, ALL_KINDS);
        if (status != CONVENE_OK) {
                reply_error(c->channel, m, status, path);
                return METHOD_DONE;
        }
        return reply_empty(c, m);
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
