/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * init, join
 *
 * What makes a host a member.  Nothing is changed before everything that can be looked at was; what does not work out is taken
 * back; and a store that is in the way is moved aside, never removed.
 */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/ensemble.h"
#include "dbus/ctl/input.h"
#include "dbus/ctl/join-token.h"
#include "dbus/ctl/listing.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/service.h"
#include "dbus/ctl/setup.h"

#define TOKEN_BYTES_MAX 8192
#define WAIT_USEC (90 * G_USEC_PER_SEC)         /* unless --timeout says otherwise: a member answers within a minute */
#define LOOK_AT_STORE_USEC (15 * G_USEC_PER_SEC)
#define LOOK_AGAIN_USEC 100000
#define PROBE_MSEC 1000
#define AGENT_EXIT_CONFIGURATION 78             /* convened(8) */

static int64_t end_of(const Options *o, int64_t usec) {
        return g_get_monotonic_time() + (o->given & OPTION_BIT(OPTION_TIMEOUT) ? (int64_t) o->timeout_msec * 1000 : usec);
}

/* One look at the agent, which may be away, be starting, or be about to end: not a word about that. */
static bool probe(const Options *options, AgentStatus *ret) {
        Options o = *options;
        Ctl c = { .options = &o, .hush = true, .no_auto_start = true };

        o.timeout_msec = PROBE_MSEC;
        bool found = ensemble_read(&c, ret) == EXIT_STATUS_OK;
        ctl_done(&c);
        return found;
}

/*
 * What is there already
 */

typedef struct Earlier {
        unsigned members;               /* 0: could not be found out */
        bool znodes;                    /* others than those that agents make */
} Earlier;

static ExitStatus on_top_name(void *userdata, const char *name) {
        bool *others = userdata;

        *others = *others || (!g_str_equal(name, "convene") && !g_str_equal(name, "zookeeper"));
        return EXIT_STATUS_OK;
}

static void look_at_earlier(const Setup *s, Earlier *ret) {
        int64_t end = g_get_monotonic_time() + LOOK_AT_STORE_USEC;
        g_auto(AgentStatus) status = {};
        Options o = *s->options;
        Ctl c = { .options = &o, .hush = true };

        *ret = (Earlier) {};
        if (!s->was_up && service_do("start", "--no-block", "convened.service", NULL) != EXIT_STATUS_OK)
                return;
        while (!probe(s->options, &status) || !status.serving) {
                if (g_get_monotonic_time() >= end)
                        return;
                g_usleep(LOOK_AGAIN_USEC);
        }

        /* with others in it, it does not matter what it holds */
        o.super = true;
        if (status.members->len > 1 || list_children(&c, "/", on_top_name, &ret->znodes) == EXIT_STATUS_OK)
                ret->members = status.members->len;
        ctl_done(&c);
}

/* Whether the store that is there may make room. */
static ExitStatus consider_store(const Setup *s) {
        Earlier earlier;

        if (s->options->discard)
                return EXIT_STATUS_OK;

        look_at_earlier(s, &earlier);
        if (earlier.members == 1 && !earlier.znodes)
                return EXIT_STATUS_OK;

        if (earlier.members > 1)
                print_error("this host is a member of an ensemble of %u: take it out there first (convenectl member remove %s, on another "
                            "member), then join with --discard, which moves %s aside", earlier.members, s->name, s->data);
        else if (earlier.members == 1)
                print_error("this host has an ensemble of its own with znodes in it, which do not come along: look at them (convenectl tree); "
                            "join with --discard moves %s aside", s->data);
        else
                print_error("there is a store in %s, and its agent does not serve, so nobody can see what is in it; join with --discard "
                            "moves it aside", s->data);
        return EXIT_STATUS_CONFLICT;
}

/*
 * Waiting
 */

typedef bool (*IsThere)(const AgentStatus *s);

static bool is_joined(const AgentStatus *s) {
        return s->serving && s->members->len > 1 && !g_str_equal(s->role, "looking");
}

static bool is_serving(const AgentStatus *s) {
        return s->serving;
}

/* Until the agent is where it is to be; or it has ended for good, or the time is over: then *ret_why is what it said last. */
static bool await_agent(const Setup *s, IsThere is_there, AgentStatus *ret, char **ret_why, int *ret_exit_status) {
        int64_t end = end_of(s->options, WAIT_USEC);
        g_auto(ServiceState) state = {};

        for (;;) {
                if (service_read(&state) == EXIT_STATUS_OK && *state.text) {
                        g_free(*ret_why);
                        *ret_why = g_strdup(state.text);
                }
                if (state.active && (g_str_equal(state.active, "failed") || g_str_equal(state.active, "inactive"))) {
                        *ret_exit_status = state.exit_status;
                        return false;
                }
                if (state.active && service_is_up(&state) && probe(s->options, ret) && is_there(ret))
                        return true;
                if (g_get_monotonic_time() >= end)
                        return false;
                g_usleep(LOOK_AGAIN_USEC);
        }
}

static ExitStatus start_agent(void) {
        ExitStatus e = service_do("enable", "--quiet", "convened.socket", "convened.service", NULL);

        if (e == EXIT_STATUS_OK)
                e = service_do("start", "convened.socket", NULL);
        return e == EXIT_STATUS_OK ? service_do("restart", "--no-block", "convened.service", NULL) : e;
}

static ExitStatus stop_agent(void) {
        return service_do("stop", "convened.socket", "convened.service", NULL);
}

static void take_back(Setup *s) {
        (void) stop_agent();
        setup_undo(s);
        if (s->was_up)
                (void) start_agent();
        print_error("everything on this host is as it was before");
}

/* The agent's own words; `exit_status` 0: it has not ended, but the time has. */
static ExitStatus explain(const char *why, int exit_status) {
        print_error("%s%s", exit_status == 0 ? "it took too long; the agent said last: " : "",
                    why ?: "nothing; see journalctl -u convened");
        return exit_status == AGENT_EXIT_CONFIGURATION ? EXIT_STATUS_ACCESS : EXIT_STATUS_UNREACHABLE;
}

/*
 * join
 */

static ExitStatus take_token(const char *argument, char **ret) {
        g_autoptr(GBytes) bytes = NULL;
        g_autofree char *token = NULL;
        const char *why;
        gsize size;

        if (g_str_equal(argument, "-")) {
                ExitStatus e = input_read_file(NULL, TOKEN_BYTES_MAX, &bytes);
                if (e != EXIT_STATUS_OK)
                        return e;
                const char *data = g_bytes_get_data(bytes, &size);
                token = g_strstrip(g_strndup(data ?: "", size));
        } else {
                token = g_strstrip(g_strdup(argument));
        }

        if (!join_token_is_intact(token, &why)) {
                print_error("the token is %s", why);
                return EXIT_STATUS_USAGE;
        }
        *ret = g_steal_pointer(&token);
        return EXIT_STATUS_OK;
}

/* Nobody here starts services: what is left to do. */
static ExitStatus print_what_is_left(const Setup *s, bool joins) {
        g_autofree char *program = service_program();

        if (s->options->quiet)
                return EXIT_STATUS_OK;
        if (s->options->root)
                printf("Set up below %s.  On that host, when it runs:\n\n  systemctl enable --now convened.socket convened\n",
                       s->options->root);
        else
                printf("There is no convened.service here to start.  Run the agent, as the user whom %s belongs to:\n\n  %s%s%s\n",
                       joins ? SETUP_TOKEN : s->data, program, joins ? " --join=" : "", joins ? SETUP_TOKEN : "");
        return EXIT_STATUS_OK;
}

static const MemberFacts *find_self(const AgentStatus *status) {
        for (unsigned i = 0; i < status->members->len; i++) {
                const MemberFacts *m = g_ptr_array_index(status->members, i);

                if (m->sid == status->member)
                        return m;
        }
        return NULL;
}

static void print_json(const Setup *s, const AgentStatus *status) {
        const MemberFacts *self = find_self(status);
        g_autofree char *leader = agent_status_member_name(status, status->leader);
        g_autoptr(JsonObject) o = json_object_new_object();

        json_add_string(o, "name", self ? self->name : s->name);
        json_add_u64(o, "sid", status->member);
        json_add_string(o, "role", status->role);
        json_add_string(o, "cluster_id", status->cluster_id);
        json_add_string(o, "leader", leader);
        json_add_u64(o, "members", status->members->len);
        json_add(o, "address", s->address ? json_object_new_string(s->address) : NULL);
        json_add(o, "kept", s->kept ? json_object_new_string(s->kept) : NULL);
        json_print(o);
}

static void print_joined(const Setup *s, const AgentStatus *status) {
        const MemberFacts *self = find_self(status);
        g_autofree char *leader = agent_status_member_name(status, status->leader);
        const char *name = self ? self->name : s->name;
        Quorum q = ensemble_quorum(status);

        printf("%s is member %u of ensemble %s, an observer, and serves.\n", name, status->member, status->cluster_id);
        printf("%s leads; there %s %u voter%s and %u observer%s.\n", leader, q.voters == 1 ? "is" : "are", q.voters,
               q.voters == 1 ? "" : "s", q.observers, q.observers == 1 ? "" : "s");
        if (s->kept)
                printf("The store of the ensemble that this host had before is kept in %s.\n", s->kept);
        if (s->address)
                printf("\nTo give it a vote, on a voter, as root:\n\n  convenectl member promote %s\n", name);
        else
                printf("\nIt listens nowhere, so it stays an observer; to give it a vote, set Listen= in %s first.\n", SETUP_DROP_IN);
}

/* Past this point the agent has been stopped, perhaps. */
static ExitStatus begin_anew(Setup *s, const char *token) {
        ExitStatus e = EXIT_STATUS_OK;

        if (setup_has_store(s)) {
                e = stop_agent();
                if (e == EXIT_STATUS_OK)
                        e = setup_keep_store(s);
        }
        if (e == EXIT_STATUS_OK)
                e = setup_put_token(s, token);
        return e == EXIT_STATUS_OK ? start_agent() : e;
}

static ExitStatus join_here(Setup *s, const char *token) {
        g_auto(AgentStatus) status = {};
        g_auto(ServiceState) before = {};
        g_autofree char *why = NULL;
        int exit_status = 0;

        ExitStatus e = service_read(&before);
        if (e != EXIT_STATUS_OK)
                return e;
        s->was_up = service_is_up(&before);
        if (setup_has_store(s))
                e = consider_store(s);
        if (e != EXIT_STATUS_OK) {
                setup_undo(s);
                return e;
        }
        e = begin_anew(s, token);
        if (e != EXIT_STATUS_OK) {
                take_back(s);
                return e;
        }

        if (await_agent(s, is_joined, &status, &why, &exit_status)) {
                if (s->options->json)
                        print_json(s, &status);
                else if (!s->options->quiet)
                        print_joined(s, &status);
                return EXIT_STATUS_OK;
        }
        e = explain(why, exit_status);
        if (setup_has_store(s)) {
                print_error("the token was taken and this host is a member; \"convenectl status\" shows when it has caught up");
                return e;
        }
        take_back(s);
        return e;
}

ExitStatus cmd_join(Ctl *c, char **arguments, unsigned count) {
        g_auto(Setup) setup = {};
        g_autofree char *token = NULL;

        ExitStatus e = take_token(arguments[0], &token);
        if (e == EXIT_STATUS_OK)
                e = setup_begin(&setup, c->options);
        if (e == EXIT_STATUS_OK)
                e = setup_configure(&setup, false);
        if (e != EXIT_STATUS_OK)
                return e;

        if (c->options->root || !service_exists()) {
                if (!c->options->root && setup_has_store(&setup)) {
                        print_error("there is a store in %s already: stop its agent, move it aside, and try again", setup.data);
                        setup_undo(&setup);
                        return EXIT_STATUS_CONFLICT;
                }
                e = setup_put_token(&setup, token);
                return e == EXIT_STATUS_OK ? print_what_is_left(&setup, true) : e;
        }
        return join_here(&setup, token);
}

/*
 * init
 */

static void print_founded(const Setup *s, const AgentStatus *status) {
        const MemberFacts *self = find_self(status);

        if (status->members->len > 1)
                printf("%s is a member of ensemble %s already, with %u others.\n", self ? self->name : s->name, status->cluster_id,
                       status->members->len - 1);
        else
                printf("%s leads ensemble %s, of which it is the only member.\n", self ? self->name : s->name, status->cluster_id);
        if (s->address)
                printf("Others reach it at %s.  To let one in:\n\n  convenectl member add NAME\n", s->address);
        else
                printf("Nobody can join it, as it listens nowhere.  To change that:\n\n  convenectl init --listen=ADDRESS\n");
}

static ExitStatus found_here(Setup *s) {
        g_auto(AgentStatus) status = {};
        g_auto(ServiceState) before = {};
        g_autofree char *why = NULL;
        int exit_status = 0;

        ExitStatus e = service_read(&before);
        if (e != EXIT_STATUS_OK)
                return e;
        s->was_up = service_is_up(&before);
        if (!setup_has_store(s) && access(s->token, F_OK) >= 0) {
                print_error("%s is there, with which the agent would join an ensemble rather than found one: remove it, or \"convenectl "
                            "join\"", s->token);
                setup_undo(s);
                return EXIT_STATUS_CONFLICT;
        }
        e = start_agent();
        if (e != EXIT_STATUS_OK)
                return e;
        if (!await_agent(s, is_serving, &status, &why, &exit_status))
                return explain(why, exit_status);

        e = setup_forbid_founding(s);
        if (e != EXIT_STATUS_OK)
                return e;
        for (char **p = status.problems; *p; p++)
                print_error("%s", *p);
        if (s->options->json)
                print_json(s, &status);
        else if (!s->options->quiet)
                print_founded(s, &status);
        return *status.problems ? EXIT_STATUS_FAILURE : EXIT_STATUS_OK;
}

ExitStatus cmd_init(Ctl *c, char **arguments, unsigned count) {
        g_auto(Setup) setup = {};

        ExitStatus e = setup_begin(&setup, c->options);
        if (e == EXIT_STATUS_OK)
                e = setup_configure(&setup, true);
        if (e != EXIT_STATUS_OK)
                return e;
        if (c->options->root || !service_exists())
                return print_what_is_left(&setup, false);

        return found_here(&setup);
}
