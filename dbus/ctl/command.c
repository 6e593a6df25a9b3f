/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Command
 */

#include "dbus/ctl/command.h"

#include <string.h>

#define O(id) OPTION_BIT(OPTION_##id)
#define READ (O(SUPER) | O(LINEARIZABLE))

static const Command table[] = {
        { "get", NULL, "PATH", "Print a znode's data", "Tree",
          .options = READ, 1, 1, { ARGUMENT_PATH }, .run = cmd_get },
        { "set", NULL, "PATH DATA|-", "Replace a znode's data", NULL,
          O(SUPER) | O(IF_VERSION) | O(IF_CZXID) | O(NULL), 1, 2, { ARGUMENT_PATH, ARGUMENT_OTHER }, .run = cmd_set },
        { "create", NULL, "PATH [DATA|-] [-- COMMAND...]", "Make a znode and print its path", NULL,
          O(SUPER) | O(EPHEMERAL) | O(SEQUENTIAL) | O(CONTAINER) | O(TTL) | O(PARENTS) | O(NULL) | O(ACL) | O(UNIT) |
          O(SESSION_TIMEOUT),
          1, 2, { ARGUMENT_PATH, ARGUMENT_OTHER }, .runs_command = true, .run = cmd_create },
        { "delete", NULL, "PATH...", "Delete znodes", NULL,
          O(SUPER) | O(RECURSIVE) | O(IF_VERSION) | O(IF_CZXID), 1, ARGUMENTS_MANY, { ARGUMENT_PATH, ARGUMENT_PATH },
          .run = cmd_delete },
        { "ls", NULL, "[PATH]", "List a znode's children", NULL,
          READ | O(RECURSIVE) | O(LONG), 0, 1, { ARGUMENT_PATH }, .run = cmd_ls },
        { "tree", NULL, "[PATH]", "Draw everything below a znode", NULL,
          READ | O(DEPTH) | O(WITH_DATA), 0, 1, { ARGUMENT_PATH }, .run = cmd_tree },
        { "stat", NULL, "PATH...", "Show the facts about znodes", NULL,
          READ, 1, ARGUMENTS_MANY, { ARGUMENT_PATH, ARGUMENT_PATH }, .run = cmd_stat },
        { "acl", NULL, "PATH [SCHEME:ID:PERMS...]", "Show or replace a znode's ACL", NULL,
          READ | O(IF_VERSION), 1, ARGUMENTS_MANY, { ARGUMENT_PATH, ARGUMENT_OTHER }, .run = cmd_acl },
        { "quota", NULL, "PATH [none|LIMIT=N...]", "Show, set or remove the quota of a subtree", NULL,
          O(SUPER), 1, 5, { ARGUMENT_PATH, ARGUMENT_OTHER }, .run = cmd_quota },
        { "multi", NULL, "[FILE|-]", "Do what a JSON array says, all or nothing", NULL,
          O(SUPER) | O(LINEARIZABLE), 0, 1, { ARGUMENT_FILE }, .run = cmd_multi },
        { "watch", NULL, "PATH", "Follow changes, one line each", NULL,
          O(SUPER) | O(RECURSIVE) | O(SINCE) | O(COUNT), 1, 1, { ARGUMENT_PATH }, .run = cmd_watch },
        { "wait", NULL, "PATH|--quorum [-- COMMAND...]", "Wait until a znode, or the agent, is as it should be", NULL,
          READ | O(QUORUM) | O(VALUE) | O(GONE) | O(CHILDREN), 0, 1, { ARGUMENT_PATH }, .runs_command = true,
          .run = cmd_wait },
        { "on-change", NULL, "PATH [-- COMMAND...]", "Reload or restart a unit, or run a command, whenever a znode changes", NULL,
          READ | O(RECURSIVE) | O(RELOAD) | O(RESTART) | O(COUNT), 1, 1, { ARGUMENT_PATH }, .runs_command = true, .run = cmd_on_change },
        { "project", NULL, "PATH DIRECTORY [-- COMMAND...]", "Keep what is below a znode in files", NULL,
          READ | O(RELOAD) | O(RESTART) | O(MODE) | O(COUNT), 2, 2, { ARGUMENT_PATH, ARGUMENT_FILE }, .runs_command = true,
          .run = cmd_project },

        { "sessions", "list", "", "List sessions and what they live and die with", "Sessions",
          0, 0, 0, {}, .run = cmd_sessions_list },
        { "sessions", "show", "ID...", "Show the facts about sessions", NULL,
          0, 1, ARGUMENTS_MANY, { ARGUMENT_SESSION, ARGUMENT_SESSION }, .run = cmd_sessions_show },
        { "sessions", "close", "ID...", "End sessions; their ephemerals vanish", NULL,
          0, 1, ARGUMENTS_MANY, { ARGUMENT_SESSION, ARGUMENT_SESSION }, .run = cmd_sessions_close },
        { "presence", "list", "", "List units that are in the tree while they run", NULL,
          0, 0, 0, {}, .run = cmd_presence_list },
        { "presence", "show", "[UNIT...]", "Show presence files as they are merged", NULL,
          O(ROOT), 0, ARGUMENTS_MANY, { ARGUMENT_PRESENCE, ARGUMENT_PRESENCE }, .run = cmd_presence_show },
        { "presence", "enable", "UNIT", "Put a unit into the tree while it runs", NULL,
          O(PATH) | O(DATA) | O(ACL) | O(SESSION_TIMEOUT) | O(ROOT) | O(NO_RELOAD), 1, 1, {},
          .run = cmd_presence_enable },
        { "presence", "disable", "UNIT...", "Undo that", NULL,
          O(ROOT) | O(NO_RELOAD), 1, ARGUMENTS_MANY, { ARGUMENT_PRESENCE, ARGUMENT_PRESENCE },
          .run = cmd_presence_disable },

        { "singleton", "status", "[UNIT...]", "Show where units run that run on one host at a time", "Singletons",
          0, 0, ARGUMENTS_MANY, { ARGUMENT_SINGLETON, ARGUMENT_SINGLETON }, .run = cmd_singleton_status },
        { "singleton", "enable", "UNIT", "Have a unit run on one host at a time, of those that say so", NULL,
          O(SESSION_TIMEOUT) | O(STOP_TIMEOUT) | O(STAND_BACK) | O(COPIES) | O(PREFER), 1, 1, { ARGUMENT_OTHER },
          .run = cmd_singleton_enable },
        { "singleton", "disable", "UNIT...", "Undo that on this host", NULL,
          0, 1, ARGUMENTS_MANY, { ARGUMENT_SINGLETON, ARGUMENT_SINGLETON }, .run = cmd_singleton_disable },
        { "singleton", "move", "UNIT [HOST]", "Hand a unit to another host", NULL,
          0, 1, 2, { ARGUMENT_SINGLETON, ARGUMENT_MEMBER }, .run = cmd_singleton_move },
        { "singleton", "hold", "UNIT...", "Keep units away from this host until they are let go", NULL,
          0, 1, ARGUMENTS_MANY, { ARGUMENT_SINGLETON, ARGUMENT_SINGLETON }, .run = cmd_singleton_hold },
        { "singleton", "release", "UNIT...", "Let them run here again", NULL,
          0, 1, ARGUMENTS_MANY, { ARGUMENT_SINGLETON, ARGUMENT_SINGLETON }, .run = cmd_singleton_release },

        { "lock", NULL, "NAME -- COMMAND...", "Run a command that holds a lock meanwhile", "Locks and elections",
          O(SHARED) | O(SLOTS) | O(TRY) | O(DATA) | O(ACL) | O(SESSION_TIMEOUT), 1, 1, { ARGUMENT_LOCK },
          .runs_command = true, .run = cmd_lock },
        { "lock", "list", "", "List who holds locks and who leads", NULL, O(LINEARIZABLE), 0, 0, {}, .run = cmd_lock_list },
        { "semaphore", NULL, "NAME -- COMMAND...", "Run a command that has a slot of a semaphore meanwhile", NULL,
          O(SLOTS) | O(TRY) | O(DATA) | O(ACL) | O(SESSION_TIMEOUT), 1, 1, { ARGUMENT_LOCK }, .runs_command = true,
          .run = cmd_semaphore },
        { "elect", NULL, "NAME -- COMMAND...", "Run a command while this leads", NULL,
          O(PRIORITY) | O(TRY) | O(DATA) | O(ACL) | O(SESSION_TIMEOUT), 1, 1, { ARGUMENT_ELECTION }, .runs_command = true,
          .run = cmd_elect },
        { "leader", NULL, "NAME", "Show who leads", NULL, O(LINEARIZABLE), 1, 1, { ARGUMENT_ELECTION }, .run = cmd_leader },
        { "leader", "watch", "NAME", "Follow who leads, one line each", NULL,
          O(LINEARIZABLE) | O(COUNT), 1, 1, { ARGUMENT_ELECTION }, .run = cmd_leader_watch },
        { "leader", "move", "NAME [HOST]", "Hand leadership to another host", NULL,
          0, 1, 2, { ARGUMENT_ELECTION, ARGUMENT_MEMBER }, .run = cmd_leader_move },

        { "lease", "list", "", "List leases that somebody has", "Leases and counters", 0, 0, 0, {}, .run = cmd_lease_list },
        { "lease", "show", "NAME", "Show who has a lease, and until when", NULL, 0, 1, 1, { ARGUMENT_LEASE }, .run = cmd_lease_show },
        { "lease", "acquire", "NAME", "Take or renew a lease and print its token", NULL,
          O(TTL) | O(HOLDER) | O(TRY) | O(ACL), 1, 1, { ARGUMENT_LEASE }, .run = cmd_lease_acquire },
        { "lease", "renew", "NAME TOKEN", "Renew a lease that is still held with this token", NULL,
          O(TTL) | O(HOLDER), 2, 2, { ARGUMENT_LEASE, ARGUMENT_OTHER }, .run = cmd_lease_renew },
        { "lease", "transfer", "NAME HOLDER", "Hand a lease to somebody else", NULL,
          O(HOLDER), 2, 2, { ARGUMENT_LEASE, ARGUMENT_OTHER }, .run = cmd_lease_transfer },
        { "lease", "release", "NAME", "Give a lease up", NULL, O(HOLDER), 1, 1, { ARGUMENT_LEASE }, .run = cmd_lease_release },
        { "counter", "get", "NAME", "Print a counter", NULL, 0, 1, 1, { ARGUMENT_COUNTER }, .run = cmd_counter_get },
        { "counter", "add", "NAME [N]", "Add to a counter (default 1) and print the sum", NULL,
          O(ACL), 1, 2, { ARGUMENT_COUNTER, ARGUMENT_OTHER }, .run = cmd_counter_add },
        { "counter", "set", "NAME N", "Set a counter", NULL,
          O(ACL) | O(EXPECT), 2, 2, { ARGUMENT_COUNTER, ARGUMENT_OTHER }, .run = cmd_counter_set },

        { "barrier", "wait", "NAME", "Wait until a barrier is open", "Barriers and groups",
          O(TRY), 1, 1, { ARGUMENT_BARRIER }, .run = cmd_barrier_wait },
        { "barrier", "close", "NAME", "Close a barrier", NULL, O(ACL), 1, 1, { ARGUMENT_BARRIER }, .run = cmd_barrier_close },
        { "barrier", "open", "NAME", "Open a barrier", NULL, 0, 1, 1, { ARGUMENT_BARRIER }, .run = cmd_barrier_open },
        { "barrier", "enter", "NAME N -- COMMAND...", "Run a command together with others, once N are there", NULL,
          O(TRY) | O(DATA) | O(ACL) | O(SESSION_TIMEOUT), 2, 2, { ARGUMENT_BARRIER, ARGUMENT_OTHER }, .runs_command = true,
          .run = cmd_barrier_enter },
        { "group", "list", "NAME", "List the members of a group", NULL, 0, 1, 1, { ARGUMENT_GROUP }, .run = cmd_group_list },
        { "group", "watch", "NAME", "Follow who comes and goes, one line each", NULL,
          O(COUNT), 1, 1, { ARGUMENT_GROUP }, .run = cmd_group_watch },
        { "group", "share", "NAME ITEM...", "Print those of the items that are one member's", NULL,
          O(AS) | O(SINCE), 2, ARGUMENTS_MANY, { ARGUMENT_GROUP, ARGUMENT_OTHER }, .run = cmd_group_share },
        { "group", "join", "NAME -- COMMAND...", "Run a command that is a member of a group meanwhile", NULL,
          O(AS) | O(DATA) | O(ACL) | O(SESSION_TIMEOUT), 1, 1, { ARGUMENT_GROUP }, .runs_command = true,
          .run = cmd_group_join },
        { "reboot-slot", "status", "NAME", "List the hosts of a group that are down for maintenance, or about to be", NULL,
          O(SUPER) | O(LINEARIZABLE), 1, 1, { ARGUMENT_REBOOT_SLOT }, .run = cmd_reboot_slot_status },
        { "reboot-slot", "acquire", "NAME [-- COMMAND...]", "Wait until this host may go down, and say that it does", NULL,
          O(SUPER) | O(SLOTS) | O(TRY) | O(ACL), 1, 1, { ARGUMENT_REBOOT_SLOT }, .runs_command = true,
          .run = cmd_reboot_slot_acquire },
        { "reboot-slot", "release", "NAME [HOST]", "Say that this host, or another, is up again", NULL,
          O(SUPER), 1, 2, { ARGUMENT_REBOOT_SLOT, ARGUMENT_MEMBER }, .run = cmd_reboot_slot_release },

        { "queue", "list", "NAME", "List what is in a queue", "Queues", 0, 1, 1, { ARGUMENT_QUEUE }, .run = cmd_queue_list },
        { "queue", "put", "NAME DATA|-", "Put an item and print its path", NULL,
          O(ACL), 2, 2, { ARGUMENT_QUEUE, ARGUMENT_OTHER }, .run = cmd_queue_put },
        { "queue", "take", "NAME -- COMMAND...", "Run a command with an item as its input; done if it succeeds", NULL,
          O(TRY) | O(ORDERED) | O(TRIES) | O(SESSION_TIMEOUT), 1, 1, { ARGUMENT_QUEUE }, .runs_command = true,
          .run = cmd_queue_take },
        { "queue", "ack", "ITEM TOKEN", "Say that an item that was taken is done", NULL,
          0, 2, 2, { ARGUMENT_PATH, ARGUMENT_OTHER }, .run = cmd_queue_ack },

        { "status", NULL, "", "Show how the agent and the ensemble are", "Agent and ensemble",
          0, 0, 0, {}, .run = cmd_status },
        { "monitor", NULL, "", "Follow roles, sessions and every change of the tree", NULL,
          O(SUPER) | O(COUNT), 0, 0, {}, .run = cmd_monitor },
        { "init", NULL, "", "Make this host the first member of an ensemble, and reachable", NULL,
          O(LISTEN) | O(ADVERTISE) | O(ROOT), 0, 0, {}, .run = cmd_init },
        { "join", NULL, "TOKEN|-", "Make this host a member of the ensemble that the token is of", NULL,
          O(LISTEN) | O(ADVERTISE) | O(DISCARD) | O(ROOT), 1, 1, {}, .run = cmd_join },
        { "member", "list", "", "List the members of the ensemble", NULL, 0, 0, 0, {}, .run = cmd_member_list },
        { "member", "show", "NAME...", "Show the facts about members", NULL,
          0, 1, ARGUMENTS_MANY, { ARGUMENT_MEMBER, ARGUMENT_MEMBER }, .run = cmd_member_show },
        { "member", "token", "", "Print a secret with which one new host may join", NULL,
          O(LIFETIME), 0, 0, {}, .run = cmd_member_token },
        { "member", "add", "NAME", "Print the command with which the host of this name may join", NULL,
          O(LIFETIME), 1, 1, {}, .run = cmd_member_add },
        { "member", "promote", "NAME...", "Make observers voters", NULL,
          0, 1, ARGUMENTS_MANY, { ARGUMENT_MEMBER, ARGUMENT_MEMBER }, .run = cmd_member_promote },
        { "member", "demote", "NAME...", "Make voters observers", NULL,
          0, 1, ARGUMENTS_MANY, { ARGUMENT_MEMBER, ARGUMENT_MEMBER }, .run = cmd_member_demote },
        { "member", "remove", "NAME...", "Take members out of the ensemble", NULL,
          0, 1, ARGUMENTS_MANY, { ARGUMENT_MEMBER, ARGUMENT_MEMBER }, .run = cmd_member_remove },
        { "member", "transfer", "[NAME]", "Hand leadership to a voter", NULL,
          0, 0, 1, { ARGUMENT_MEMBER }, .run = cmd_member_transfer },
        { "member", "rotate-key", "", "Give the member of this host a new key pair", NULL,
          0, 0, 0, {}, .run = cmd_member_rotate_key },
        { "member", "recover", "", "Go on alone on this host, after a majority is lost for good", NULL,
          O(YES), 0, 0, {}, .run = cmd_member_recover },
        { "statistics", NULL, "[PATTERN...]", "Show the agent's counters and gauges", NULL,
          0, 0, ARGUMENTS_MANY, {}, .run = cmd_statistics },
        { "sync", NULL, "", "Wait until the agent shows every acknowledged change; print the zxid", NULL,
          0, 0, 0, {}, .run = cmd_sync },
        { "whoami", NULL, "", "Show the identities that ACLs are judged by", NULL, 0, 0, 0, {}, .run = cmd_whoami },
        { "ping", NULL, "", "Check that the agent answers and serves", NULL, O(COUNT), 0, 0, {}, .run = cmd_ping },
        { "checkpoint", NULL, "", "Have the agent write a checkpoint now", NULL, 0, 0, 0, {}, .run = cmd_checkpoint },
};

static const Command complete = {
        "__complete", NULL, "INDEX WORD...", "", NULL, 0, 1, ARGUMENTS_MANY, {}, .run = cmd_complete,
};

const Command *command_at(unsigned i) {
        return i < G_N_ELEMENTS(table) ? &table[i] : NULL;
}

const Command *command_find(char **words, unsigned words_count, unsigned *ret_words) {
        const Command *first = NULL;

        *ret_words = 1;
        if (words_count == 0)
                return NULL;
        if (g_str_equal(words[0], complete.name))
                return &complete;

        for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
                if (!g_str_equal(table[i].name, words[0]))
                        continue;
                if (!first)
                        first = &table[i];
                if (table[i].verb && words_count > 1 && g_str_equal(table[i].verb, words[1])) {
                        *ret_words = 2;
                        return &table[i];
                }
        }

        /* a second word that is no verb is a mistake, not an argument of the first row */
        if (first && first->verb && words_count > 1)
                return NULL;
        return first;
}

bool command_takes_option(const Command *command, OptionId option) {
        return option < _OPTION_COMMON_MAX || (command->options & OPTION_BIT(option)) != 0;
}
