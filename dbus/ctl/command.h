/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Command
 *
 * Every command, in one table: it drives dispatch, usage, completion and the check of the man page.
 */

#include "dbus/ctl/connection.h"

/* What completion offers for an argument. */
typedef enum ArgumentKind {
        ARGUMENT_OTHER,
        ARGUMENT_PATH,
        ARGUMENT_FILE,
        ARGUMENT_SESSION,
        ARGUMENT_MEMBER,
        ARGUMENT_PRESENCE,              /* a unit that has one */
        ARGUMENT_SINGLETON,             /* a unit that is one */
        ARGUMENT_LOCK,                  /* a name below /convene/locks */
        ARGUMENT_ELECTION,              /* a name below /convene/elections */
        ARGUMENT_LEASE,
        ARGUMENT_COUNTER,
        ARGUMENT_BARRIER,
        ARGUMENT_GROUP,
        ARGUMENT_QUEUE,
        ARGUMENT_REBOOT_SLOT,
} ArgumentKind;

#define ARGUMENTS_MANY UINT_MAX

typedef struct Command {
        const char *name;
        const char *verb;               /* second word, or NULL; without one the first row of a name is meant */
        const char *usage;              /* arguments, as help shows them */
        const char *help;
        const char *heading;            /* of the group this row begins, or NULL */
        uint64_t options;               /* OPTION_BIT()s beside the common ones */
        unsigned arguments_min, arguments_max;
        ArgumentKind arguments[2];      /* the last one for all that follow */
        bool runs_command;              /* "-- COMMAND", with --ephemeral where there is that option: otherwise what
                                         * follows "--" is arguments */
        ExitStatus (*run)(Ctl *c, char **arguments, unsigned arguments_count);
} Command;

/* NULL beyond the last. */
const Command *command_at(unsigned i);
/* The row meant by these words; *ret_words: how many of them name it (1 or 2).  NULL if there is none. */
const Command *command_find(char **words, unsigned words_count, unsigned *ret_words);
bool command_takes_option(const Command *command, OptionId option);

/* cmd-tree.c */
ExitStatus cmd_get(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_set(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_create(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_delete(Ctl *c, char **arguments, unsigned count);
/* cmd-list.c */
ExitStatus cmd_ls(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_tree(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_stat(Ctl *c, char **arguments, unsigned count);
/* cmd-acl.c */
ExitStatus cmd_acl(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_whoami(Ctl *c, char **arguments, unsigned count);
/* cmd-quota.c */
ExitStatus cmd_quota(Ctl *c, char **arguments, unsigned count);
/* cmd-multi.c */
ExitStatus cmd_multi(Ctl *c, char **arguments, unsigned count);
/* cmd-watch.c */
ExitStatus cmd_watch(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_monitor(Ctl *c, char **arguments, unsigned count);
/* cmd-session.c */
ExitStatus cmd_sessions_list(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_sessions_show(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_sessions_close(Ctl *c, char **arguments, unsigned count);
/* cmd-wait.c */
ExitStatus cmd_wait(Ctl *c, char **arguments, unsigned count);
/* cmd-reboot-slot.c */
ExitStatus cmd_reboot_slot_acquire(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_reboot_slot_release(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_reboot_slot_status(Ctl *c, char **arguments, unsigned count);
/* cmd-on-change.c */
ExitStatus cmd_on_change(Ctl *c, char **arguments, unsigned count);
/* cmd-project.c */
ExitStatus cmd_project(Ctl *c, char **arguments, unsigned count);
/* cmd-presence.c */
ExitStatus cmd_presence_list(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_presence_show(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_presence_enable(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_presence_disable(Ctl *c, char **arguments, unsigned count);
/* cmd-singleton.c */
ExitStatus cmd_singleton_status(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_singleton_move(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_singleton_hold(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_singleton_release(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_singleton_enable(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_singleton_disable(Ctl *c, char **arguments, unsigned count);
/* cmd-lock.c */
ExitStatus cmd_lock(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_lock_list(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_elect(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_leader(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_leader_watch(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_leader_move(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_semaphore(Ctl *c, char **arguments, unsigned count);
/* cmd-lease.c */
ExitStatus cmd_lease_acquire(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_lease_renew(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_lease_release(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_lease_transfer(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_lease_show(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_lease_list(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_counter_get(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_counter_add(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_counter_set(Ctl *c, char **arguments, unsigned count);
/* cmd-barrier.c */
ExitStatus cmd_barrier_close(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_barrier_open(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_barrier_wait(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_barrier_enter(Ctl *c, char **arguments, unsigned count);
/* cmd-group.c */
ExitStatus cmd_group_join(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_group_share(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_group_list(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_group_watch(Ctl *c, char **arguments, unsigned count);
/* cmd-queue.c */
ExitStatus cmd_queue_put(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_queue_take(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_queue_ack(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_queue_list(Ctl *c, char **arguments, unsigned count);
/* cmd-status.c */
ExitStatus cmd_status(Ctl *c, char **arguments, unsigned count);
/* cmd-member.c */
ExitStatus cmd_member_list(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_member_show(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_member_token(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_member_promote(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_member_demote(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_member_remove(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_member_transfer(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_member_rotate_key(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_member_add(Ctl *c, char **arguments, unsigned count);
/* cmd-join.c */
ExitStatus cmd_init(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_join(Ctl *c, char **arguments, unsigned count);
/* cmd-recover.c */
ExitStatus cmd_member_recover(Ctl *c, char **arguments, unsigned count);
/* cmd-agent.c */
ExitStatus cmd_statistics(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_sync(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_ping(Ctl *c, char **arguments, unsigned count);
ExitStatus cmd_checkpoint(Ctl *c, char **arguments, unsigned count);
/* complete.c */
ExitStatus cmd_complete(Ctl *c, char **arguments, unsigned count);
