/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Completion
 *
 * "convenectl __complete INDEX -- WORD..." prints what the word at INDEX may become, one a line, with a tab and a
 * description where there is one.  The shells' scripts know nothing of commands and options.  It is silent when
 * the agent is away, starts none, and never takes long.
 */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dbus/ctl/agent-status.h"
#include "dbus/ctl/command.h"
#include "dbus/ctl/listing.h"
#include "dbus/ctl/presence-file.h"
#include "dbus/ctl/session-list.h"
#include "dbus/ctl/singleton-list.h"

#define TIMEOUT_MSEC 1000
#define PATHS_MAX 200

static void offer(const char *prefix, const char *word, const char *description) {
        if (!g_str_has_prefix(word, prefix))
                return;

        g_autofree char *text = format_line(word);
        g_autofree char *about = format_line(description ?: "");
        printf("%s%s%s\n", text, description ? "\t" : "", about);
}

static void offer_options(const Command *command, const char *prefix) {
        for (unsigned id = 0; id < _OPTION_MAX; id++) {
                const OptionSpec *spec = option_spec(id);

                if (command ? !command_takes_option(command, id) : id >= _OPTION_COMMON_MAX)
                        continue;
                g_autofree char *word = g_strdup_printf("--%s%s", spec->name, spec->argument ? "=" : "");
                offer(prefix, word, spec->help);
        }
}

static void offer_commands(const char *prefix) {
        for (unsigned i = 0; command_at(i); i++) {
                const Command *command = command_at(i);

                if (i == 0 || !g_str_equal(command_at(i - 1)->name, command->name))
                        offer(prefix, command->name, command->help);
        }
}

static void offer_verbs(const char *name, const char *prefix) {
        for (unsigned i = 0; command_at(i); i++) {
                const Command *command = command_at(i);

                if (command->verb && g_str_equal(command->name, name))
                        offer(prefix, command->verb, command->help);
        }
}

/* Children are sorted: those with the prefix are found without the rest being listed.  The first page begins after the
 * prefix itself, which is a name in its own right. */
static ExitStatus find_names(Ctl *c, const char *parent, const char *prefix, GPtrArray *names) {
        g_autoptr(GPtrArray) page = g_ptr_array_new_with_free_func(g_free);
        g_autofree char *path = g_strconcat(parent, g_str_equal(parent, "/") ? "" : "/", prefix, NULL);
        ZnodeStat stat;
        bool exists = false;

        if (*prefix) {
                ExitStatus e = znode_exists(c, path, &exists, &stat);
                if (e != EXIT_STATUS_OK)
                        return e;
        }
        if (exists)
                g_ptr_array_add(names, g_strdup(prefix));

        ExitStatus e = list_children_page(c, parent, *prefix ? prefix : NULL, PATHS_MAX, page, NULL);
        if (e != EXIT_STATUS_OK)
                return e;
        for (unsigned i = 0; i < page->len; i++)
                if (g_str_has_prefix(g_ptr_array_index(page, i), prefix))
                        g_ptr_array_add(names, g_strdup(g_ptr_array_index(page, i)));
        return EXIT_STATUS_OK;
}

static void offer_paths(Ctl *c, const char *prefix) {
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
        ZnodeStat stat;
        bool exists;

        if (prefix[0] != '/') {
                if (!*prefix)
                        puts("/");
                return;
        }

        g_autofree char *parent = path_parent(prefix);
        if (find_names(c, parent, path_name(prefix), names) != EXIT_STATUS_OK)
                return;

        for (unsigned i = 0; i < names->len; i++) {
                g_autofree char *path =
                        g_strconcat(parent, g_str_equal(parent, "/") ? "" : "/", names->pdata[i], NULL);

                offer(prefix, path, NULL);
                /* the one that is left may be meant, or be the way to what is below it */
                if (names->len == 1 && znode_exists(c, path, &exists, &stat) == EXIT_STATUS_OK && exists &&
                    stat.children > 0)
                        printf("%s/\n", path);
        }
}

static void offer_sessions(Ctl *c, const char *prefix) {
        g_autoptr(GPtrArray) list = NULL;

        if (session_list_read(c, &list) != EXIT_STATUS_OK)
                return;
        for (unsigned i = 0; i < list->len; i++) {
                const SessionFacts *s = g_ptr_array_index(list, i);
                g_autofree char *id = g_strdup_printf("%016" PRIx64, s->id);

                offer(prefix, id, s->owner);
        }
}

static void offer_members(Ctl *c, const char *prefix) {
        g_auto(AgentStatus) status = {};

        if (agent_status_read(c, &status) != EXIT_STATUS_OK)
                return;
        for (unsigned i = 0; i < status.members->len; i++) {
                const MemberFacts *m = g_ptr_array_index(status.members, i);

                offer(prefix, m->name, m->role);
        }
}

static void offer_presences(Ctl *c, const char *prefix) {
        g_autoptr(GPtrArray) files = NULL;

        if (presence_files_read(c->options->root, &files) != EXIT_STATUS_OK)
                return;
        for (unsigned i = 0; i < files->len; i++) {
                const PresenceFile *f = g_ptr_array_index(files, i);

                for (char **u = f->units; *u; u++)
                        offer(prefix, *u, NULL);
        }
}

static void offer_singletons(Ctl *c, const char *prefix) {
        g_autoptr(GPtrArray) list = NULL;

        if (singleton_list_read(c, &list) != EXIT_STATUS_OK)
                return;
        for (unsigned i = 0; i < list->len; i++) {
                const SingletonFacts *s = g_ptr_array_index(list, i);

                offer(prefix, s->unit ?: s->name, s->state);
        }
}

static void offer_names(Ctl *c, const char *root, const char *prefix) {
        g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);

        if (prefix[0] == '/') {
                offer_paths(c, prefix);
                return;
        }
        if (find_names(c, root, prefix, names) != EXIT_STATUS_OK)
                return;
        for (unsigned i = 0; i < names->len; i++)
                offer(prefix, names->pdata[i], NULL);
}

static void offer_argument(Ctl *c, ArgumentKind kind, const char *prefix) {
        switch (kind) {
        case ARGUMENT_PATH:
                offer_paths(c, prefix);
                break;
        case ARGUMENT_SESSION:
                offer_sessions(c, prefix);
                break;
        case ARGUMENT_MEMBER:
                offer_members(c, prefix);
                break;
        case ARGUMENT_PRESENCE:
                offer_presences(c, prefix);
                break;
        case ARGUMENT_SINGLETON:
                offer_singletons(c, prefix);
                break;
        case ARGUMENT_LOCK:
                offer_names(c, "/convene/locks", prefix);
                break;
        case ARGUMENT_ELECTION:
                offer_names(c, "/convene/elections", prefix);
                break;
        case ARGUMENT_LEASE:
                offer_names(c, "/convene/leases", prefix);
                break;
        case ARGUMENT_COUNTER:
                offer_names(c, "/convene/counters", prefix);
                break;
        case ARGUMENT_BARRIER:
                offer_names(c, "/convene/barriers", prefix);
                break;
        case ARGUMENT_GROUP:
                offer_names(c, "/convene/groups", prefix);
                break;
        case ARGUMENT_QUEUE:
                offer_names(c, "/convene/queues", prefix);
                break;
        case ARGUMENT_REBOOT_SLOT:
                offer_names(c, "/convene/reboot-slots", prefix);
                break;
        case ARGUMENT_FILE:
                puts(":file");          /* the shell knows files better */
                break;
        case ARGUMENT_OTHER:
                break;
        }
}

static void complete_word(Ctl *c, const Options *before, const char *prefix) {
        unsigned words;
        const Command *command = command_find(before->arguments, before->arguments_count, &words);

        if (prefix[0] == '-') {
                offer_options(command, prefix);
        } else if (before->arguments_count == 0) {
                offer_commands(prefix);
        } else if (command && command->verb && words == 1) {
                offer_verbs(command->name, prefix);
        } else if (command) {
                unsigned at = before->arguments_count - words;

                if (at < command->arguments_max)
                        offer_argument(c, command->arguments[MIN(at, 1)], prefix);
        }
}

ExitStatus cmd_complete(Ctl *c, char **arguments, unsigned count) {
        g_autofree char *error = NULL;
        Options before;
        uint64_t index;

        /* arguments[1] is the program's own name, as in the shells' arrays */
        if (!parse_u64(arguments[0], &index) || index == 0 || index + 1 > count)
                return EXIT_STATUS_USAGE;
        const char *prefix = index + 1 < count ? arguments[1 + index] : "";

        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (nowhere >= 0)
                dup2(nowhere, STDERR_FILENO);

        /* what stands before the word says which command and which agent is meant */
        options_init(&before);
        if (options_parse(&before, index, arguments + 1, &error) && !before.command) {
                Ctl other = { .options = &before, .no_auto_start = true };

                before.timeout_msec = TIMEOUT_MSEC;
                before.linearizable = false;
                complete_word(&other, &before, prefix);
                ctl_done(&other);
        }
        options_done(&before);
        return EXIT_STATUS_OK;
}
