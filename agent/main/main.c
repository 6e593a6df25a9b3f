/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * convened: the command line
 */

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include <glib.h>

#include "agent/main/agent.h"
#include "agent/main/recovery.h"

/* With `print` it says what is in force, the name and all. */
static int check_conf(const char *file, bool print) {
        g_auto(Conf) conf = { 0 };
        g_autofree char *error = NULL, *text = NULL;

        if (!conf_load(file, &conf, &error)) {
                fprintf(stderr, "convened: %s\n", error);
                return AGENT_EXIT_CONFIGURATION;
        }

        if (!print) {
                puts("The configuration is in order.");
                return AGENT_EXIT_OK;
        }

        conf.name = conf.name ?: g_strdup(g_get_host_name());
        text = conf_to_string(&conf);
        fputs(text, stdout);
        return AGENT_EXIT_OK;
}

/* The same store and name as a run would have. */
static int recover(const char *conf_file, const char *data, const char *directory) {
        g_auto(Conf) conf = { 0 };
        g_autofree char *error = NULL;

        if (!conf_load(conf_file, &conf, &error)) {
                fprintf(stderr, "convened: %s\n", error);
                return AGENT_EXIT_CONFIGURATION;
        }
        if (data) {
                g_free(conf.data);
                conf.data = g_strdup(data);
        }
        return recovery_run(&conf, conf.name ?: g_get_host_name(), directory);
}

int main(int argc, char *argv[]) {
        g_autofree char *conf_file = NULL, *data = NULL, *socket = NULL, *bus_address = NULL, *pid_file = NULL,
                        *listen = NULL, *join = NULL, *recover_into = NULL;
        gboolean no_system_bus = FALSE, print_ready = FALSE, accept_loss = FALSE, check = FALSE, print = FALSE, version = FALSE;
        const GOptionEntry entries[] = {
                { "config", 0, 0, G_OPTION_ARG_FILENAME, &conf_file, "Read FILE instead of " CONF_FILE, "FILE" },
                { "check-config", 0, 0, G_OPTION_ARG_NONE, &check, "Check the configuration and exit", NULL },
                { "print-config", 0, 0, G_OPTION_ARG_NONE, &print, "Print the configuration that is in force and exit", NULL },
                { "data", 0, 0, G_OPTION_ARG_FILENAME, &data, "Keep the store in DIR", "DIR" },
                { "socket", 0, 0, G_OPTION_ARG_FILENAME, &socket, "Make and serve the local socket PATH", "PATH" },
                { "listen", 0, 0, G_OPTION_ARG_STRING, &listen, "Be reached by other members at ADDRESS:PORT", "ADDRESS:PORT" },
                { "join", 0, 0, G_OPTION_ARG_FILENAME, &join, "Without a store: join the ensemble of the token in FILE", "FILE" },
                { "no-system-bus", 0, 0, G_OPTION_ARG_NONE, &no_system_bus, "Do not connect to the system bus", NULL },
                { "bus-address", 0, 0, G_OPTION_ARG_STRING, &bus_address, "Use this bus as the system bus", "ADDRESS" },
                { "pid-file", 0, 0, G_OPTION_ARG_FILENAME, &pid_file, "Write the process id to FILE", "FILE" },
                { "print-ready", 0, 0, G_OPTION_ARG_NONE, &print_ready, "Print a line when serving", NULL },
                { "accept-loss", 0, 0, G_OPTION_ARG_NONE, &accept_loss,
                  "Go on with what is left of a damaged store, once", NULL },
                { "recover-into", 0, 0, G_OPTION_ARG_FILENAME, &recover_into,
                  "Write a store with this member alone to DIR, after a majority is lost", "DIR" },
                { "version", 0, 0, G_OPTION_ARG_NONE, &version, "Show the version and exit", NULL },
                { NULL },
        };
        g_autoptr(GOptionContext) context = g_option_context_new("- convene's agent, see convened(8)");
        g_autoptr(GError) error = NULL;

        /* With fast bins a large allocation after many small frees takes milliseconds at once: 100,000 deletes then cost the
         * next caller 7 ms, without them 0.1 ms and nothing on the whole. */
        (void) mallopt(M_MXFAST, 0);

        g_option_context_add_main_entries(context, entries, NULL);
        if (!g_option_context_parse(context, &argc, &argv, &error)) {
                fprintf(stderr, "convened: %s\n", error->message);
                return AGENT_EXIT_USAGE;
        }
        if (argc > 1) {
                fprintf(stderr, "convened: unexpected argument '%s'\n", argv[1]);
                return AGENT_EXIT_USAGE;
        }
        if (version) {
                puts("convened " CONVENE_VERSION);
                return AGENT_EXIT_OK;
        }
        if (check || print)
                return check_conf(conf_file, print);

        if (recover_into)
                return recover(conf_file, data, recover_into);

        return agent_run(&(AgentOptions) {
                .conf_file = conf_file,
                .data = data,
                .socket = socket,
                .bus_address = bus_address,
                .pid_file = pid_file,
                .listen = listen,
                .join_file = join,
                .no_system_bus = no_system_bus,
                .print_ready = print_ready,
                .accept_loss = accept_loss,
        });
}
