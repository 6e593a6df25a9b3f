/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * convenectl
 *
 * Asks the agent of this host over D-Bus and prints what it says.  It decides nothing, and it needs no rights but
 * those that the caller has on the bus.
 */

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/output.h"

static void print_option_help(OptionId id) {
        const OptionSpec *spec = option_spec(id);
        g_autofree char *letter = spec->letter ? g_strdup_printf("-%c ", spec->letter) : g_strdup("   ");
        g_autofree char *name =
                g_strdup_printf("--%s%s%s", spec->name, spec->argument ? "=" : "", spec->argument ?: "");

        printf("  %s%-26s %s\n", letter, name, spec->help);
}

static char *command_words(const Command *command) {
        return g_strdup_printf("%s%s%s%s%s", command->name, command->verb ? " " : "", command->verb ?: "",
                               *command->usage ? " " : "", command->usage);
}

static void print_help(void) {
        printf("convenectl [OPTIONS...] COMMAND ...\n\nAsk the convene agent of this host.\n");

        for (unsigned i = 0; command_at(i); i++) {
                const Command *command = command_at(i);
                g_autofree char *words = command_words(command);

                if (command->heading)
                        printf("\n%s%s:%s\n", colour_on(COLOUR_BOLD), command->heading, colour_off());
                printf("  %-36s %s\n", words, command->help);
        }

        printf("\n%sOptions:%s\n", colour_on(COLOUR_BOLD), colour_off());
        for (unsigned id = 0; id < _OPTION_COMMON_MAX; id++)
                print_option_help(id);
        printf("\n\"convenectl COMMAND --help\" shows the options of a command; convenectl(1) explains them.\n");
}

static void print_command_help(const Command *command) {
        g_autofree char *words = command_words(command);

        printf("convenectl [OPTIONS...] %s\n\n%s.\n\nOptions:\n", words, command->help);
        for (unsigned id = _OPTION_COMMON_MAX; id < _OPTION_MAX; id++)
                if (command_takes_option(command, id))
                        print_option_help(id);
        for (unsigned id = 0; id < _OPTION_COMMON_MAX; id++)
                print_option_help(id);
}

static ExitStatus usage_error(const char *format, ...) G_GNUC_PRINTF(1, 2);
static ExitStatus usage_error(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        g_autofree char *text = g_strdup_vprintf(format, ap);
        va_end(ap);
        print_error("%s; see \"convenectl --help\"", text);
        return EXIT_STATUS_USAGE;
}

static ExitStatus check_options(const Options *o, const Command *command) {
        for (unsigned id = 0; id < _OPTION_MAX; id++)
                if ((o->given & OPTION_BIT(id)) && !command_takes_option(command, id))
                        return usage_error("\"%s%s%s\" takes no option --%s", command->name, command->verb ? " " : "",
                                           command->verb ?: "", option_spec(id)->name);
        if (o->system && o->address)
                return usage_error("--system and --address exclude each other");

        return EXIT_STATUS_OK;
}

static ExitStatus dispatch(Ctl *c, Options *o) {
        unsigned words;
        const Command *command = command_find(o->arguments, o->arguments_count, &words);

        if (!command && o->arguments_count == 0)
                return usage_error("which command?");
        if (!command)
                return usage_error("unknown command \"%s%s%s\"", o->arguments[0], o->arguments[1] ? " " : "",
                                   o->arguments[1] ?: "");
        if (o->help) {
                print_command_help(command);
                return EXIT_STATUS_OK;
        }

        ExitStatus e = check_options(o, command);
        if (e != EXIT_STATUS_OK)
                return e;

        /* "--" has two uses: a command to run, or arguments that look like options */
        bool runs = command->runs_command && (o->ephemeral || !command_takes_option(command, OPTION_EPHEMERAL));
        g_autoptr(GPtrArray) all = g_ptr_array_new();
        for (unsigned i = words; i < o->arguments_count; i++)
                g_ptr_array_add(all, o->arguments[i]);
        for (unsigned i = 0; !runs && o->command && o->command[i]; i++)
                g_ptr_array_add(all, o->command[i]);

        unsigned count = all->len;
        if (count < command->arguments_min || count > command->arguments_max) {
                g_autofree char *usage = command_words(command);
                return usage_error("%s arguments: convenectl %s",
                                   count < command->arguments_min ? "missing" : "too many", usage);
        }
        g_ptr_array_add(all, NULL);
        return command->run(c, (char **) all->pdata, count);
}

int main(int argc, char *argv[]) {
        Options options;
        g_autofree char *error = NULL;
        ExitStatus e;

        setlocale(LC_ALL, "");
        /* A reader that goes away ends us quietly, as it should; so does Ctrl-C where nothing is held. */
        signal(SIGPIPE, SIG_DFL);

        options_init(&options);
        Ctl ctl = { .options = &options };
        if (!options_parse(&options, argc, argv, &error)) {
                e = usage_error("%s", error);
        } else if (options.program_version) {
                printf("convenectl %s\n", CONVENE_VERSION);
                e = EXIT_STATUS_OK;
        } else if (options.help && options.arguments_count == 0) {
                print_help();
                e = EXIT_STATUS_OK;
        } else {
                e = dispatch(&ctl, &options);
        }

        ctl_done(&ctl);
        options_done(&options);
        if (fflush(stdout) != 0 || ferror(stdout)) {
                print_error("cannot write to standard output: %s", g_strerror(errno));
                return e == EXIT_STATUS_OK ? EXIT_STATUS_FAILURE : e;
        }
        return e;
}
