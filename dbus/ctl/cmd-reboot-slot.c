/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * reboot-slot
 *
 * A host that has a slot is a persistent child of the group's znode: it is there before, while and after the host is down, and nobody
 * takes a host that does not come back for one that is up.  Whoever takes a slot changes the group's znode in the version in which
 * there was one free, so that two do not take the last one.
 */

#include <errno.h>
#include <string.h>

#include "dbus/ctl/agent-status.h"
#include "dbus/ctl/command.h"
#include "dbus/ctl/listing.h"
#include "dbus/ctl/lookout.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/reaction.h"
#include "dbus/ctl/recipe.h"

#define ROOT "/convene/reboot-slots"
#define CONFLICTS_MAX 1000              /* others may be faster, but not for ever */

typedef struct Slots {
        Ctl *ctl;
        Lookout *lookout;
        const char *name;
        char *path;
        char *host;                     /* this one */
        uint64_t wanted;                /* how many may be down */
        bool told;

        /* as seen last */
        bool exists;
        int32_t version;
        uint64_t taken;
        bool is_ours;
        GString *holders;
        JsonObject *json;               /* to fill in; NULL: not asked for */
        Table *table;
} Slots;

static void slots_done(Slots *s) {
        g_free(s->path);
        g_free(s->host);
        if (s->holders)
                g_string_free(s->holders, TRUE);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Slots, slots_done)

static ExitStatus slots_init(Slots *s, Ctl *c, const char *name) {
        bool whole = name[0] == '/';

        s->ctl = c;
        s->name = name;
        s->wanted = c->options->slots > 0 ? c->options->slots : 1;
        s->holders = g_string_new(NULL);
        if (!whole && (!*name || strchr(name, '/'))) {
                print_error("\"%s\" is no name: one without a slash, or else a whole path", name);
                return EXIT_STATUS_USAGE;
        }
        s->path = whole ? g_strdup(name) : g_strconcat(ROOT "/", name, NULL);
        return EXIT_STATUS_OK;
}

static ExitStatus find_host(Slots *s) {
        g_auto(AgentStatus) status = {};

        if (s->host)
                return EXIT_STATUS_OK;
        ExitStatus e = agent_status_read(s->ctl, &status);
        if (e == EXIT_STATUS_OK)
                s->host = g_strdup(status.host);
        return e;
}

static ExitStatus on_znode(void *userdata, const ListedZnode *z) {
        Slots *s = userdata;
        const char *host = path_name(z->path);
        size_t length = strlen(s->path);

        if (g_str_equal(z->path, s->path)) {
                s->version = z->stat.version;
                return EXIT_STATUS_OK;
        }
        if (strchr(z->path + length + 1, '/'))
                return EXIT_STATUS_OK;
        s->taken++;
        s->is_ours = s->is_ours || g_strcmp0(host, s->host) == 0;
        g_string_append_printf(s->holders, "%s%s", s->holders->len > 0 ? ", " : "", host);
        if (s->table) {
                g_autofree char *since = format_time_msec(z->stat.ctime_msec);
                table_add_coloured(s->table, COLOUR_BOLD, host);
                table_add(s->table, since);
        }
        if (s->json) {
                JsonObject *o = json_object_new_object();
                json_add_string(o, "host", host);
                json_add_i64(o, "since_ms", z->stat.ctime_msec);
                json_object_array_add(s->json, o);
        }
        return EXIT_STATUS_OK;
}

static ExitStatus read_slots(Slots *s) {
        ZnodeStat stat;

        s->taken = 0;
        s->is_ours = s->exists = false;
        g_string_truncate(s->holders, 0);
        ExitStatus e = znode_exists(s->ctl, s->path, &s->exists, &stat);
        if (e != EXIT_STATUS_OK || !s->exists)
                return e;
        return list_znodes(s->ctl, s->path, false, on_znode, s, NULL);
}

static ExitStatus make_group(Slots *s) {
        g_auto(Call) call = CALL_INIT(s->ctl);
        g_autoptr(sd_bus_message) reply = NULL;
        ConveneStatus status;

        call_begin(&call, "Tree", "Create");
        call_append(&call, "s", s->path);
        call_append_bytes(&call, "", 0);
        call_append(&call, "s", "persistent");
        call_open_options(&call);
        call_option(&call, "parents", "b", true);
        if (s->ctl->options->acl->len > 0)
                call_option_acl(&call, "acl", s->ctl->options->acl);
        ExitStatus e = call_try(&call, s->path, &reply, &status);
        if (e != EXIT_STATUS_OK || status == CONVENE_OK || status == CONVENE_NODE_EXISTS)
                return e;
        if (status == CONVENE_NOT_READY)
                return EXIT_STATUS_UNREACHABLE;
        print_error("%s: %s (%s)", s->path, convene_status_describe(status), convene_status_to_string(status));
        return exit_status_from_status(status);
}

static void append_operation(Call *call, const char *kind, const char *path, int32_t version) {
        call_open(call, 'r', "ssa{sv}");
        call_append(call, "ss", kind, path);
        call_open(call, 'a', "{sv}");
        if (version >= 0)
                call_option(call, "version", "i", version);
        call_close(call);
        call_close(call);
}

/* Why nothing was done: of the first operation that failed. */
static ExitStatus read_refusal(const Slots *s, sd_bus_message *reply) {
        const char *error;
        int r = sd_bus_message_enter_container(reply, 'a', "(sa{sv})");

        while (r >= 0 && (r = sd_bus_message_enter_container(reply, 'r', "sa{sv}")) > 0) {
                r = sd_bus_message_read(reply, "s", &error);
                if (r >= 0 && !g_str_equal(error, "Ok")) {
                        ConveneStatus status = convene_status_from_string(error);
                        ExitStatus e = exit_status_from_status(status);

                        if (e != EXIT_STATUS_CONFLICT && e != EXIT_STATUS_NO_NODE)
                                print_error("%s: %s (%s)", s->path, convene_status_describe(status), error);
                        return e;
                }
                if (r >= 0)
                        r = sd_bus_message_skip(reply, "a{sv}");
                if (r >= 0)
                        r = sd_bus_message_exit_container(reply);
        }
        return bad_reply(r < 0 ? r : -EBADMSG);
}

/* EXIT_STATUS_CONFLICT or _NO_NODE: the group is not as it was seen any more.  That the answer is lost does no harm: the next look
 * shows whether the slot is ours. */
static ExitStatus take(Slots *s) {
        g_auto(Call) call = CALL_INIT(s->ctl);
        g_autoptr(sd_bus_message) reply = NULL;
        g_autofree char *path = g_strconcat(s->path, "/", s->host, NULL);
        int committed;

        call_begin(&call, "Tree", "Multi");
        call_open(&call, 'a', "(ssa{sv})");
        append_operation(&call, "set", s->path, s->version);
        append_operation(&call, "create", path, -1);
        call_close(&call);
        call_open_options(&call);
        ExitStatus e = call_send(&call, s->path, &reply);
        if (e != EXIT_STATUS_OK)
                return e;
        int r = sd_bus_message_read(reply, "b", &committed);
        if (r < 0)
                return bad_reply(r);
        return committed ? EXIT_STATUS_OK : read_refusal(s, reply);
}

/* Until there is nothing to be done but to wait: *ret_ours false. */
static ExitStatus acquire(Slots *s, bool *ret_ours) {
        ExitStatus e = find_host(s);

        for (unsigned i = 0; e == EXIT_STATUS_OK && i < CONFLICTS_MAX; i++) {
                e = read_slots(s);
                *ret_ours = s->is_ours;
                if (e != EXIT_STATUS_OK || s->is_ours || (s->exists && s->taken >= s->wanted))
                        return e;
                e = s->exists ? take(s) : make_group(s);
                /* whether it was done after all the next look shows */
                if (e == EXIT_STATUS_CONFLICT || e == EXIT_STATUS_NO_NODE || e == EXIT_STATUS_FATE_UNKNOWN)
                        e = EXIT_STATUS_OK;
        }
        if (e == EXIT_STATUS_OK) {
                print_error("%s: others are faster again and again", s->name);
                return EXIT_STATUS_CONFLICT;
        }
        return e;
}

static ExitStatus not_granted(void *userdata) {
        Slots *s = userdata;

        print_error("%s: %s may not go down: %s %s (TimedOut)", s->name, s->host ?: "this host",
                    s->holders->len > 0 ? s->holders->str : "nothing is known of who", s->taken > 1 ? "are down" : "is down");
        return EXIT_STATUS_NOT_GRANTED;
}

static void say_acquired(const Slots *s) {
        if (!s->ctl->options->json)
                return;
        g_autoptr(JsonObject) o = json_object_new_object();
        json_add_string(o, "name", s->name);
        json_add_string(o, "host", s->host);
        json_print(o);
}

static ExitStatus look(void *userdata) {
        Slots *s = userdata;
        bool ours = false;

        ExitStatus e = acquire(s, &ours);
        if (e != EXIT_STATUS_OK)
                return e;
        if (ours) {
                say_acquired(s);
                lookout_end(s->lookout, EXIT_STATUS_OK);
        } else if (s->ctl->options->try_only) {
                lookout_end(s->lookout, not_granted(s));
        } else if (!s->told && !s->ctl->options->quiet) {
                print_error("%s: waiting for a slot of %s", s->name, s->holders->str);
                s->told = true;
        }
        return EXIT_STATUS_OK;
}

ExitStatus cmd_reboot_slot_acquire(Ctl *c, char **arguments, unsigned count) {
        g_auto(Slots) s = {};
        LookoutHandler handler = { .look = look, .timed_out = not_granted, .userdata = &s };

        ExitStatus e = c->options->command && !need_command(c) ? EXIT_STATUS_USAGE : slots_init(&s, c, arguments[0]);
        handler.path = s.path;
        if (e == EXIT_STATUS_OK)
                e = lookout_new(c, &handler, &s.lookout);
        if (e != EXIT_STATUS_OK)
                return e;
        e = lookout_run(s.lookout);
        lookout_free(s.lookout);
        return e == EXIT_STATUS_OK && c->options->command ? (ExitStatus) reaction_become(c) : e;
}

/* Nothing to give back is as good as given back: every boot does it. */
ExitStatus cmd_reboot_slot_release(Ctl *c, char **arguments, unsigned count) {
        g_auto(Slots) s = {};
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;
        ConveneStatus status;

        ExitStatus e = slots_init(&s, c, arguments[0]);
        if (e == EXIT_STATUS_OK)
                e = count > 1 ? EXIT_STATUS_OK : find_host(&s);
        if (e != EXIT_STATUS_OK)
                return e;
        g_autofree char *path = g_strconcat(s.path, "/", count > 1 ? arguments[1] : s.host, NULL);
        call_begin_update(&call, "Tree", "Delete");
        call_append(&call, "si", path, -1);
        call_open_options(&call);
        e = call_try(&call, path, &reply, &status);
        if (e != EXIT_STATUS_OK || status == CONVENE_OK || status == CONVENE_NO_NODE)
                return e;
        print_error("%s: %s (%s)", path, convene_status_describe(status), convene_status_to_string(status));
        return exit_status_from_status(status);
}

ExitStatus cmd_reboot_slot_status(Ctl *c, char **arguments, unsigned count) {
        g_auto(Slots) s = {};
        g_autoptr(JsonObject) array = json_object_new_array();
        g_autoptr(Table) table = table_new("HOST", "SINCE", NULL);

        ExitStatus e = slots_init(&s, c, arguments[0]);
        s.json = array;
        s.table = table;
        if (e == EXIT_STATUS_OK)
                e = read_slots(&s);
        return e == EXIT_STATUS_OK ? print_list(c, array, table, false) : e;
}
