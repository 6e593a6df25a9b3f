/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * member
 */

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/ensemble.h"
#include "dbus/ctl/output.h"

#define WIDTH 9
#define TOKEN_LIFETIME_DEFAULT_MSEC (UINT64_C(60) * 60 * 1000)
#define TRANSFER_LOOK_USEC 20000
#define TRANSFER_WAIT_USEC (10 * G_USEC_PER_SEC)        /* a leader that nobody relieves goes on after its election time-out */

static void add_row(Table *table, const AgentStatus *s, const MemberFacts *m) {
        bool leads = m->sid == s->leader, self = m->sid == s->member;
        g_autofree char *state = member_describe_state(s, m);
        uint64_t lag, msec;

        table_add_format(table, "%" PRIu32, m->sid);
        table_add_coloured(table, self ? COLOUR_BOLD : COLOUR_NONE, m->name);
        table_add_coloured(table, leads ? COLOUR_GREEN : COLOUR_NONE, leads ? "leader" : m->role);
        table_add(table, *m->address ? m->address : "-");
        if (member_lag(s, m, &lag))
                table_add_format(table, "%" PRIu64, lag);
        else
                table_add(table, "-");
        if (member_heard_msec(s, m, &msec)) {
                g_autofree char *ago = format_ago(msec * 1000);
                table_add(table, ago);
        } else {
                table_add(table, "-");
        }
        table_add_coloured(table, self || m->connected ? COLOUR_NONE : COLOUR_RED, state);
}

ExitStatus cmd_member_list(Ctl *c, char **arguments, unsigned count) {
        g_auto(AgentStatus) status = {};
        g_autoptr(JsonObject) array = json_object_new_array();
        g_autoptr(Table) table = table_new(">SID", "NAME", "ROLE", "ADDRESS", ">LAG", "HEARD", "STATE", NULL);

        ExitStatus e = ensemble_read(c, &status);
        if (e != EXIT_STATUS_OK)
                return e;

        for (unsigned i = 0; i < status.members->len; i++) {
                const MemberFacts *m = g_ptr_array_index(status.members, i);

                json_object_array_add(array, member_to_json(&status, m));
                add_row(table, &status, m);
        }

        if (c->options->json)
                json_print(array);
        else if (!c->options->quiet)
                table_print(table);
        return EXIT_STATUS_OK;
}

static void print_no_such_member(const char *name) {
        print_error("%s: no such member; see \"convenectl member\"", name);
}

static void print_facts(const AgentStatus *s, const MemberFacts *m) {
        g_autofree char *state = member_describe_state(s, m);
        uint64_t lag, msec;

        print_field(WIDTH, "Member", "%s%s", m->name, m->sid == s->member ? " (this host)" : "");
        print_field(WIDTH, "Sid", "%" PRIu32, m->sid);
        print_field(WIDTH, "Role", "%s%s", m->role, m->sid == s->leader ? ", leader" : "");
        print_field(WIDTH, "Address", "%s", *m->address ? m->address : "-");
        print_field(WIDTH, "State", "%s", state);
        if (member_lag(s, m, &lag))
                print_field(WIDTH, "Lag", "%" PRIu64 " entries", lag);
        if (member_heard_msec(s, m, &msec)) {
                g_autofree char *ago = format_ago(msec * 1000);
                print_field(WIDTH, "Heard", "%s", ago);
        }
        print_field(WIDTH, "Disk", "%s", *m->disk_id ? m->disk_id : "-");
}

ExitStatus cmd_member_show(Ctl *c, char **arguments, unsigned count) {
        g_auto(AgentStatus) status = {};
        g_autoptr(JsonObject) array = json_object_new_array();
        ExitStatus first = EXIT_STATUS_OK;

        ExitStatus e = ensemble_read(c, &status);
        if (e != EXIT_STATUS_OK)
                return e;

        for (unsigned i = 0; i < count; i++) {
                const MemberFacts *m = ensemble_find(&status, arguments[i]);

                if (!m) {
                        print_no_such_member(arguments[i]);
                        first = EXIT_STATUS_NO_NODE;
                        continue;
                }
                if (c->options->json) {
                        json_object_array_add(array, member_to_json(&status, m));
                } else if (!c->options->quiet) {
                        print_facts(&status, m);
                        if (i + 1 < count)
                                putchar('\n');
                }
        }

        if (c->options->json)
                json_print(array);
        return first;
}

/*
 * A token
 */

/* The token goes in by standard input: arguments are for everybody on that host to see. */
static char *join_command(const char *token) {
        return g_strdup_printf("convenectl join --listen=ADDRESS - <<<'%s'", token);
}

/* What a person who has just read it does next; a program that reads it wants nothing else. */
static void print_next(const char *token, const char *name, uint64_t lifetime_msec) {
        g_autofree char *span = format_timespan_msec(lifetime_msec), *command = join_command(token);

        printf("\nIt is a secret, lets %s in once, and ends in %s.  There, as root, with convene installed (ADDRESS is its own, as\n"
               "the others reach it):\n\n  %s\n\nThen, on any voter:\n\n  convenectl member promote %s\n", name ?: "one host", span,
               command, name ?: "NAME");
}

static ExitStatus read_token(Call *call, const char *subject, char **ret) {
        g_autoptr(sd_bus_message) reply = NULL;
        const char *token;

        ExitStatus e = call_send(call, subject, &reply);
        if (e != EXIT_STATUS_OK)
                return e;
        int r = sd_bus_message_read(reply, "s", &token);
        if (r < 0)
                return bad_reply(r);
        *ret = g_strdup(token);
        return EXIT_STATUS_OK;
}

static void print_token_json(const char *token, const char *name, uint64_t lifetime_msec) {
        g_autoptr(JsonObject) o = json_object_new_object();
        g_autofree char *command = join_command(token);

        json_add_string(o, "token", token);
        json_add_u64(o, "lifetime_ms", lifetime_msec);
        if (name) {
                json_add_string(o, "name", name);
                json_add_string(o, "command", command);
        }
        json_print(o);
}

ExitStatus cmd_member_token(Ctl *c, char **arguments, unsigned count) {
        uint64_t lifetime_msec = c->options->lifetime_msec ?: TOKEN_LIFETIME_DEFAULT_MSEC;
        g_auto(Call) call = CALL_INIT(c);
        g_autofree char *token = NULL;

        call_begin(&call, "Ensemble", "CreateToken");
        call_append(&call, "t", lifetime_msec);
        ExitStatus e = read_token(&call, NULL, &token);
        if (e != EXIT_STATUS_OK)
                return e;

        if (c->options->json) {
                print_token_json(token, NULL, lifetime_msec);
                return EXIT_STATUS_OK;
        }
        puts(token);
        if (!c->options->quiet && output_is_terminal())
                print_next(token, NULL, lifetime_msec);
        return EXIT_STATUS_OK;
}

ExitStatus cmd_member_add(Ctl *c, char **arguments, unsigned count) {
        uint64_t lifetime_msec = c->options->lifetime_msec ?: TOKEN_LIFETIME_DEFAULT_MSEC;
        g_auto(Call) call = CALL_INIT(c);
        g_autofree char *token = NULL, *command = NULL;

        call_begin(&call, "Ensemble", "CreateTokenFor");
        call_append(&call, "st", arguments[0], lifetime_msec);
        ExitStatus e = read_token(&call, arguments[0], &token);
        if (e != EXIT_STATUS_OK)
                return e;

        command = join_command(token);
        if (c->options->json)
                print_token_json(token, arguments[0], lifetime_msec);
        else if (!c->options->quiet && output_is_terminal())
                print_next(token, arguments[0], lifetime_msec);
        else
                puts(command);
        return EXIT_STATUS_OK;
}

/*
 * Changes
 */

typedef enum Change {
        CHANGE_REMOVE,
        CHANGE_PROMOTE,
        CHANGE_DEMOTE,
        CHANGE_TRANSFER,
} Change;

static const struct {
        const char *method;
        const char *done;               /* what it is then */
        const char *no_quorum;          /* what NewConfigNoQuorum means here, and what to do */
} changes[] = {
        [CHANGE_REMOVE] = {
                "RemoveMember", "no member any more",
                "too few of the voters that would be left are connected and up to date; bring them back first",
        },
        [CHANGE_PROMOTE] = {
                "PromoteMember", "a voter",
                "it is not up to date yet, or too few voters are connected; try again when it is",
        },
        [CHANGE_DEMOTE] = {
                "DemoteMember", "an observer",
                "too few of the voters that would be left are connected and up to date; bring them back first",
        },
        [CHANGE_TRANSFER] = {
                "TransferLeadership", "the leader",
                "there is no other voter that is connected with the leader and up to date",
        },
};

static bool is_already(const AgentStatus *s, Change change, const MemberFacts *m) {
        return (change == CHANGE_PROMOTE && member_is_voter(m)) || (change == CHANGE_DEMOTE && !member_is_voter(m)) ||
               (change == CHANGE_TRANSFER && m->sid == s->leader);
}

/* The agent's own sentences are about the tree; these are about members. */
static ExitStatus explain(const AgentStatus *s, Change change, const char *name, ConveneStatus status) {
        const char *error = convene_status_to_string(status);

        switch (status) {
        case CONVENE_NEW_CONFIG_NO_QUORUM:
                print_error("%s: %s; \"convenectl member list\" on the leader shows how far each is (%s)", name,
                            changes[change].no_quorum, error);
                break;
        case CONVENE_RECONFIG_IN_PROGRESS:
                print_error("%s: another change of the membership waits for its quorum; \"convenectl member list\" shows who is "
                            "missing; try again when it is done (%s)", name, error);
                break;
        case CONVENE_BAD_ARGUMENTS:
                print_error("%s: it cannot become %s: %s (%s)", name, changes[change].done,
                            change == CHANGE_TRANSFER ? "an observer does not lead; promote it first" :
                            change == CHANGE_PROMOTE ? "its role has changed meanwhile; see \"convenectl member list\"" :
                            "the last voter stays; promote another first", error);
                return EXIT_STATUS_CONFLICT;
        case CONVENE_NOT_READY:
                print_error("%s: there is no leader, or another one came meanwhile: \"convenectl member list\" shows whether "
                            "it was done (%s)", name, error);
                break;
        case CONVENE_NO_AUTH:
                print_error("%s: %s (%s)", name, g_str_equal(s->role, "observer") ?
                            "an observer may not change who belongs; ask on a voter" :
                            "this needs root or polkit's permission org.convene1.admin", error);
                break;
        default:
                print_error("%s: %s (%s)", name, convene_status_describe(status), error);
                break;
        }
        return exit_status_from_status(status);
}

static ExitStatus ask(Ctl *c, Change change, const char *name, const char *subject, Zxid *ret_version,
                      ConveneStatus *ret_status) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;

        call_begin_update(&call, "Ensemble", changes[change].method);
        call_append(&call, "st", name, UINT64_C(0));
        ExitStatus e = call_try(&call, subject, &reply, ret_status);
        if (e != EXIT_STATUS_OK || *ret_status != CONVENE_OK)
                return e;

        int r = sd_bus_message_read(reply, "t", ret_version);
        return r < 0 ? bad_reply(r) : EXIT_STATUS_OK;
}

static void report(const Ctl *c, JsonObject *array, const char *name, Change change, bool changed, Zxid version) {
        if (c->options->json) {
                JsonObject *o = json_object_new_object();

                json_add_string(o, "name", name);
                json_add_bool(o, "changed", changed);
                if (change != CHANGE_TRANSFER && changed)
                        json_add_zxid(o, "version", version);
                json_object_array_add(array, o);
        } else if (!c->options->quiet) {
                g_autofree char *line = format_line(name);
                printf("%s: %s %s\n", line, changed ? "is now" : "is already", changes[change].done);
        }
}

static ExitStatus change_one(Ctl *c, const char *name, Change change, JsonObject *array) {
        g_auto(AgentStatus) status = {};
        Zxid version = 0;

        /* anew each time: the one before changed it */
        ExitStatus e = agent_status_read(c, &status);
        if (e != EXIT_STATUS_OK)
                return e;

        const MemberFacts *m = ensemble_find(&status, name);
        if (!m) {
                print_no_such_member(name);
                return EXIT_STATUS_NO_NODE;
        }
        bool already = is_already(&status, change, m);
        if (!already && change == CHANGE_PROMOTE && !*m->address) {
                print_error("%s: it has no address at which every other voter could reach it: set Listen= there (convened.conf(5)), "
                            "restart its agent, and try again", name);
                return EXIT_STATUS_CONFLICT;
        }
        if (!already) {
                ConveneStatus outcome;

                e = ask(c, change, name, name, &version, &outcome);
                if (e == EXIT_STATUS_OK && outcome != CONVENE_OK)
                        e = explain(&status, change, name, outcome);
        }
        if (e == EXIT_STATUS_OK)
                report(c, array, name, change, !already, version);
        return e;
}

static ExitStatus change_all(Ctl *c, char **arguments, unsigned count, Change change) {
        g_autoptr(JsonObject) array = json_object_new_array();
        ExitStatus first = EXIT_STATUS_OK;

        for (unsigned i = 0; i < count; i++) {
                ExitStatus e = change_one(c, arguments[i], change, array);

                first = first == EXIT_STATUS_OK ? e : first;
        }
        if (c->options->json)
                json_print(array);
        return first;
}

ExitStatus cmd_member_remove(Ctl *c, char **arguments, unsigned count) {
        return change_all(c, arguments, count, CHANGE_REMOVE);
}

ExitStatus cmd_member_promote(Ctl *c, char **arguments, unsigned count) {
        return change_all(c, arguments, count, CHANGE_PROMOTE);
}

ExitStatus cmd_member_demote(Ctl *c, char **arguments, unsigned count) {
        return change_all(c, arguments, count, CHANGE_DEMOTE);
}

/* The call returns when the hand-over has begun; who leads in the end shows in the status.  Nobody may be found ready, and
 * then the old leader goes on. */
static ExitStatus await_leader(Ctl *c, AgentStatus *s, uint32_t before) {
        int64_t end = g_get_monotonic_time() + MIN(c->options->timeout_msec * 1000, (uint64_t) TRANSFER_WAIT_USEC);

        for (;;) {
                ExitStatus e = agent_status_read(c, s);
                if (e != EXIT_STATUS_OK)
                        return e;
                if (s->leader != 0 && s->leader != before && s->serving)
                        return EXIT_STATUS_OK;
                if (g_get_monotonic_time() >= end)
                        break;
                g_usleep(TRANSFER_LOOK_USEC);
        }

        g_autofree char *leader = agent_status_member_name(s, s->leader);
        print_error("the hand-over was begun and nobody took over in time; the leader is %s; see \"convenectl status\"", leader);
        return EXIT_STATUS_CONFLICT;
}

static ExitStatus transfer(Ctl *c, AgentStatus *s, const char *name) {
        const char *subject = *name ? name : "transfer";
        uint32_t before = s->leader;
        ConveneStatus status;
        Zxid version;

        ExitStatus e = ask(c, CHANGE_TRANSFER, name, subject, &version, &status);
        if (e != EXIT_STATUS_OK)
                return e;
        /* It may be so quick that the answer is that of a member that is changing its leader. */
        if (status != CONVENE_OK && (status != CONVENE_NOT_READY || before == 0))
                return explain(s, CHANGE_TRANSFER, subject, status);
        return await_leader(c, s, before);
}

ExitStatus cmd_member_transfer(Ctl *c, char **arguments, unsigned count) {
        g_auto(AgentStatus) status = {};
        g_autoptr(JsonObject) array = json_object_new_array();
        const char *name = count > 0 ? arguments[0] : "";
        const MemberFacts *m = NULL;

        ExitStatus e = agent_status_read(c, &status);
        if (e != EXIT_STATUS_OK)
                return e;
        if (count > 0) {
                m = ensemble_find(&status, name);
                if (!m) {
                        print_no_such_member(name);
                        return EXIT_STATUS_NO_NODE;
                }
        }

        bool already = m && is_already(&status, CHANGE_TRANSFER, m);
        if (!already) {
                e = transfer(c, &status, name);
                if (e != EXIT_STATUS_OK)
                        return e;
        }

        g_autofree char *leader = agent_status_member_name(&status, status.leader);
        report(c, array, leader, CHANGE_TRANSFER, !already, 0);
        if (c->options->json)
                json_print(array);
        return EXIT_STATUS_OK;
}

/* A leader's connections all close with the old key: who follows it would wait for an election, and so somebody else leads first. */
static void step_back(Ctl *c) {
        g_auto(AgentStatus) status = {};
        ConveneStatus outcome;
        Zxid version;

        if (ensemble_read(c, &status) != EXIT_STATUS_OK || status.leader != status.member || ensemble_quorum(&status).voters < 2)
                return;
        if (ask(c, CHANGE_TRANSFER, "", "transfer", &version, &outcome) == EXIT_STATUS_OK && outcome == CONVENE_OK)
                (void) await_leader(c, &status, status.leader);
}

ExitStatus cmd_member_rotate_key(Ctl *c, char **arguments, unsigned count) {
        g_auto(Call) call = CALL_INIT(c);
        g_autoptr(sd_bus_message) reply = NULL;

        step_back(c);
        call_begin_update(&call, "Ensemble", "RotateKey");
        ExitStatus e = call_send(&call, NULL, &reply);
        if (e == EXIT_STATUS_OK && !c->options->quiet && !c->options->json)
                puts("This member has a new key, and the ensemble has forgotten the old one.");
        return e;
}
