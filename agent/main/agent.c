/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Agent
 *
 * Birth, life and death of all parts.  Order of birth: configuration, loop, store (opened, loaded, replayed), member, mesh,
 * host, fronts; death in the reverse order.  The loop never waits for a disk: the store's threads do, and their completions
 * come in through one descriptor (driver.c).
 */

#include "agent/main/agent-internal.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>
#include <systemd/sd-id128.h>

#include "agent/base/messages.h"
#include "agent/base/stop-margin.h"
#include "agent/main/journal.h"
#include "agent/main/recovery.h"

#define PATIENCE_USEC UINT64_C(3000000)         /* to begin with: an election takes less */

uint64_t agent_clock_usec(clockid_t clock) {
        struct timespec ts;

        (void) clock_gettime(clock, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static const char *member_role(const MemberStatus *s) {
        return s->role == ZAB_ROLE_FOLLOWER && !s->voter ? "observer" : zab_role_to_string(s->role);
}

void agent_notify_status(Agent *a) {
        MemberStatus s;

        member_get_status(a->member, &s);
        (void) sd_notifyf(false, "STATUS=%s, epoch %u, %u member%s%s%s%s", member_role(&s), s.epoch,
                          s.config ? s.config->members_count : 0, s.config && s.config->members_count == 1 ? "" : "s",
                          s.trouble ? "; " : "", s.trouble ?: "",
                          a->space_available ? "" : "; DISK FULL: updates are refused");
}

void agent_end(Agent *a, int exit_status) {
        (void) sd_event_exit(a->event, exit_status);
}

/*
 * The broker
 */

static void on_broker_changed(void *userdata, sd_bus *bus) {
        Agent *a = userdata;

        (void) server_set_bus(a->server, bus);
        units_set_bus(a->units, bus);
        polkit_set_bus(a->polkit, bus);
        absence_set_bus(a, bus);
        if (bus) {
                g_clear_pointer(&a->broker_problem, g_free);
                server_on_problems_changed(a->server);
        }
}

static void print_ready(Agent *a) {
        MemberStatus s;

        if (!a->options->print_ready)
                return;

        member_get_status(a->member, &s);
        printf("ready: %s of epoch %u, data in %s, socket %s\n", member_role(&s), s.epoch, a->conf.data,
               a->options->socket ?: "from systemd");
        fflush(stdout);
}

/* Everything that was promised to be there at READY=1 is. */
static void announce(Agent *a) {
        MemberStatus s;

        if (a->announced)
                return;

        a->announced = true;
        a->turn_usec_max = 0;           /* what went before was recovery: nobody was kept waiting */
        member_get_status(a->member, &s);
        journal(LOG_INFO, CONVENE_MESSAGE_READY, "Serving as %s of epoch %u at zxid " ZXID_FORMAT, member_role(&s), s.epoch,
                s.zxid);
        agent_notify_status(a);
        (void) sd_notify(false, "READY=1");
        print_ready(a);
}

static void on_broker_named(void *userdata, const char *problem) {
        Agent *a = userdata;

        if (problem)
                journal(LOG_ERR, NULL, "%s; only the local socket serves until it can", problem);
        a->named = !problem;
        g_free(a->broker_problem);
        a->broker_problem = g_strdup(problem);
        server_on_problems_changed(a->server);
        if (a->presences)
                announce(a);
}

/*
 * The loop
 */

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        Agent *a = userdata;

        member_on_tick(a->member);
        return 0;
}

static int listen_on(const char *path) {
        struct sockaddr_un sa = { .sun_family = AF_UNIX };
        int fd;

        if (strlen(path) >= sizeof(sa.sun_path))
                return -ENAMETOOLONG;
        strcpy(sa.sun_path, path);

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;

        /* The store's lock is ours, so a socket that is still there belongs to nobody. */
        (void) unlink(path);
        if (bind(fd, (struct sockaddr *) &sa, sizeof(sa)) < 0 || chmod(path, 0666) < 0 || listen(fd, SOMAXCONN) < 0) {
                int r = -errno;

                close(fd);
                return r;
        }

        return fd;
}

static int open_socket(Agent *a) {
        int fd;

        if (a->options->socket)
                fd = listen_on(a->options->socket);
        else
                fd = fd_store_take_socket(a->fds, "bus");
        if (fd == -ENOENT && !a->options->socket)
                return 0;                       /* only the system bus, then */
        if (fd < 0) {
                journal(LOG_CRIT, NULL, "Cannot listen on %s: %s", a->options->socket ?: "the socket handed over by systemd",
                        strerror(-fd));
                return AGENT_EXIT_FAILURE;
        }

        return server_listen(a->server, fd) < 0 ? AGENT_EXIT_FAILURE : 0;
}

/* What units load credentials from.  Only systemd hands it over. */
static int open_credentials(Agent *a) {
        int fd = fd_store_take_socket(a->fds, "credentials");

        if (fd == -ENOENT)
                return 0;
        if (fd < 0 || server_listen_credentials(a->server, fd) < 0) {
                journal(LOG_CRIT, NULL, "Cannot listen for units that load credentials");
                return AGENT_EXIT_FAILURE;
        }
        return 0;
}

static int open_doors(Agent *a) {
        int r;

        if (a->open)
                return 0;

        a->open = true;
        r = open_socket(a);             /* who came earlier waits in its queue */
        if (r == 0)
                r = open_credentials(a);
        if (r != 0) {
                agent_end(a, r);
                return r;
        }
        if (a->broker)
                broker_request_name(a->broker);
        return 0;
}

/* No quorum yet: requests wait for it, but who asks what is wrong is told, and systemd does not give up on us. */
static int on_patience(sd_event_source *source, uint64_t usec, void *userdata) {
        Agent *a = userdata;
        MemberStatus s;

        if (a->begun || open_doors(a) != 0)
                return 0;

        member_get_status(a->member, &s);
        journal(LOG_WARNING, NULL, "Not serving yet: %s", s.trouble ?: "no leader");
        agent_notify_status(a);
        (void) sd_notify(false, "READY=1");
        return 0;
}

/* The first time the member serves: owners are found again, presence begins, and the world may call. */
static void begin_serving(Agent *a) {
        server_recover_owners(a->server);
        presences_load(a->presences);
        singletons_begin(a->singletons);
        if (open_doors(a) != 0)
                return;
        fd_store_drop_rest(a->fds);
        if (!a->broker || a->broker_problem || a->named)
                announce(a);            /* else once the name is ours */
}

/* systemd says where things are that outlive the agent and not the boot. */
static Singletons *new_singletons(Agent *a) {
        return singletons_new(a->event, a->member, a->units, a->server, &(SingletonsOptions) {
                .runtime = getenv("RUNTIME_DIRECTORY") ?: "/run/convene",
                .data = a->conf.data,
                .host = a->host,
                .heartbeat_msec = a->conf.election_timeout_msec / HEARTBEATS_PER_ELECTION,
        });
}

void agent_look(Agent *a) {
        MemberStatus s;

        if (!a->begun) {
                member_get_status(a->member, &s);
                if (s.serving || (s.role == ZAB_ROLE_LEADER && !s.space_available)) {
                        a->begun = true;
                        a->presences = presences_new(a->event, a->member, a->units, a->server, &(PresencesOptions) { 0 });
                        a->singletons = new_singletons(a);
                        absence_on_singletons(a);
                        begin_serving(a);
                }
        }
        links_look(a);
}

/* Before each wait: what the member wants next, and whether it has begun to serve. */
static int on_prepare(sd_event_source *source, void *userdata) {
        Agent *a = userdata;
        uint64_t woken_usec;

        if (!a->member)
                return 0;               /* a join is under way */

        if (sd_event_now(a->event, CLOCK_MONOTONIC, &woken_usec) == 0)
                a->turn_usec_max = MAX(a->turn_usec_max, agent_clock_usec(CLOCK_MONOTONIC) - woken_usec);

        agent_look(a);
        (void) sd_event_source_set_time(a->tick, member_next_tick_usec(a->member));
        return sd_event_source_set_enabled(a->tick, SD_EVENT_ON);
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        retire(userdata);
        return 0;
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        Agent *a = userdata;
        g_auto(Conf) conf = { 0 };
        g_autofree char *error = NULL;

        if (!a->server)                 /* nothing of what can be reloaded is in use yet */
                return 0;

        (void) sd_notify(false, "RELOADING=1");
        if (!conf_load(a->options->conf_file, &conf, &error))
                journal(LOG_ERR, CONVENE_MESSAGE_CONFIGURATION, "%s; the configuration stays as it was", error);
        else {
                server_set_limits(a->server, &conf.limits);
                server_set_timeouts(a->server, conf.timeout_min_msec, conf.timeout_max_msec, conf.timeout_default_msec);
                a->conf.limits = conf.limits;
                a->conf.timeout_min_msec = conf.timeout_min_msec;
                a->conf.timeout_max_msec = conf.timeout_max_msec;
                a->conf.timeout_default_msec = conf.timeout_default_msec;
                journal(LOG_INFO, NULL, "Reloaded: limits, session time-outs and declared presences; the other keys are read at start only");
        }
        if (a->presences) {
                presences_load(a->presences);
                singletons_load(a->singletons);
                server_on_problems_changed(a->server);
        }
        (void) sd_notify(false, "READY=1");
        return 0;
}

/*
 * Birth
 */

static int replay_entry(void *userdata, const ZabEntry *entry) {
        return member_replay(userdata, entry);
}

static int refuse_damage(Agent *a) {
        const StoreReport *report = store_get_report(a->store);

        journal(LOG_CRIT, CONVENE_MESSAGE_STORE_DAMAGED, "The store is damaged: %s", report->text ?: "unknown damage");
        (void) sd_notifyf(false, "STATUS=The store is damaged: %s", report->text ?: "see the journal");
        return AGENT_EXIT_DAMAGED;
}

static int accept_loss(Agent *a) {
        g_autofree char *error = NULL;
        uint64_t lost_from = 0;

        if (store_accept_loss(a->store, &lost_from, &error) < 0) {
                journal(LOG_CRIT, CONVENE_MESSAGE_STORE_DAMAGED, "The store cannot be mended: %s", error ?: "unknown error");
                return AGENT_EXIT_DAMAGED;
        }

        journal(LOG_WARNING, CONVENE_MESSAGE_STORE_DAMAGED, "Loss accepted: entries from index %" PRIu64 " on may be gone, also "
                "some that were acknowledged%s; start again without --accept-loss", lost_from,
                store_get_report(a->store)->meta.membership == ZAB_MEMBERSHIP_MEMBER ? "" :
                        ", here; the other members have them: this one has no vote until they have brought it up to date");
        return AGENT_EXIT_OK;
}

static int report_sound(Agent *a) {
        journal(LOG_NOTICE, NULL, "The store in %s is sound: nothing is lost%s; start again without --accept-loss", a->conf.data,
                store_get_report(a->store)->torn_bytes > 0 ? "" : ", and nothing was changed");
        return AGENT_EXIT_OK;
}

static int new_member(Agent *a) {
        const StoreReport *report = store_get_report(a->store);
        MemberDriver driver = driver_for_member(a);
        g_autoptr(GBytes) genesis = founding_config(a);
        MemberOptions options = {
                .zab = {
                        .sid = report->meta.sid,
                        .cluster_id = report->meta.cluster_id,
                        .disk_id = report->meta.disk_id,
                        .name = a->host,
                        .genesis = genesis,
                        .election_timeout_usec = (uint64_t) a->conf.election_timeout_msec * 1000,
                },
                .reap_interval_msec = a->conf.reap_interval_msec,
                .reap_max = a->conf.reap_max,
        };
        sd_id128_t seed;
        int r;

        r = sd_id128_randomize(&seed);
        if (r < 0)
                return r;
        options.zab.prng_seed = seed.qwords[0];
        a->member = member_new(&options, &driver);
        a->own = own_new(a->member);
        return 0;
}

/* Checkpoint, then log: what the member knew when it stopped. */
static int recover(Agent *a) {
        const StoreReport *report = store_get_report(a->store);
        Tree *tree = tree_new_empty(member_tree_listener(a->member));
        g_autoptr(GBytes) config = NULL;
        ZabPosition position = { 0 };
        int r;

        r = store_load(a->store, tree, &position, &config);
        if (r <= 0)
                tree = tree_free(tree);
        if (r < 0)
                return r == -EUCLEAN ? refuse_damage(a) : AGENT_EXIT_IO;
        if (r == 0)
                tree = tree_new(member_tree_listener(a->member));

        if (member_take_tree(a->member, tree, &position, config) < 0) {
                journal(LOG_CRIT, CONVENE_MESSAGE_STORE_DAMAGED, "The configuration in the checkpoint is malformed");
                return AGENT_EXIT_DAMAGED;
        }

        r = store_replay(a->store, replay_entry, a->member);
        if (r == -EUCLEAN)
                return refuse_damage(a);
        if (r < 0) {
                journal(LOG_CRIT, CONVENE_MESSAGE_IO_ERROR, "Cannot read the log in %s: %s", a->conf.data, strerror(-r));
                return AGENT_EXIT_IO;
        }
        (void) member_restore_base(a->member, report->log_base_index, report->log_base_zxid, report->epochs, report->epochs_count);
        if (report->torn_bytes > 0)
                journal(LOG_NOTICE, CONVENE_MESSAGE_TORN_TAIL_CUT, "Cut %" PRIu64 " bytes that were never acknowledged off the "
                        "end of the log, as after a power loss", report->torn_bytes);

        a->checkpointer = checkpointer_new(a->event, a->member, a->store, &a->conf, position.index == 0);
        return 0;
}

static int open_store(Agent *a) {
        StoreOptions options = {
                .directory = a->conf.data,
                .segment_bytes = a->conf.segment_bytes,
                .log_keep_bytes = a->conf.keep_log_bytes,
        };
        StoreListener listener = driver_for_store(a);
        g_autofree char *error = NULL;
        int r;

        r = store_open(&options, &listener, &a->store, &error);
        if (r < 0) {
                journal_last_words(NULL, "%s", error ?: strerror(-r));
                return r == -EAGAIN || r == -ENOTSUP ? AGENT_EXIT_FAILURE : AGENT_EXIT_IO;
        }

        switch (store_get_report(a->store)->state) {
        case STORE_BLANK:
                if (a->options->accept_loss) {
                        journal(LOG_ERR, NULL, "There is no store in %s; nothing to mend", a->conf.data);
                        return AGENT_EXIT_FAILURE;
                }
                r = founding_key(a);
                return r != 0 ? r : founding_store(a);
        case STORE_DAMAGED:
                return a->options->accept_loss ? 0 : refuse_damage(a);
        default:
                if (a->options->join_file && a->options->join_file[0] != '-')
                        journal(LOG_WARNING, NULL, "There is a store in %s already; the token is not used", a->conf.data);
                founding_done(a);
                return founding_key(a);
        }
}

/* Where nothing outlives the agent, there is nothing to be found again either. */
static void keep_promises(Agent *a) {
        const char *directory = getenv("RUNTIME_DIRECTORY");
        int r = directory ? server_keep_promises(a->server, directory, a->conf.election_timeout_msec / HEARTBEATS_PER_ELECTION) : 0;

        if (r < 0)
                journal(LOG_WARNING, NULL, "cannot keep in %s how long the ensemble keeps its promises: %s; should this agent be restarted "
                        "without a quorum, locks are given up too early, or, where it had hung, too late", directory, g_strerror(-r));
}

static void open_fronts(Agent *a) {
        ServerOptions options = {
                .host = a->host,
                .limits = a->conf.limits,
                .session_timeout_min_msec = a->conf.timeout_min_msec,
                .session_timeout_max_msec = a->conf.timeout_max_msec,
                .session_timeout_default_msec = a->conf.timeout_default_msec,
                /* Outside the system, whoever started the agent is its administrator. */
                .admin_uid = a->options->no_system_bus || a->options->bus_address ? getuid() : (uid_t) -1,
        };
        ServerAgent agent = view_for_server(a);

        a->fds = fd_store_new();
        a->units = units_new(a->event);
        a->polkit = polkit_new(a->event);
        a->server = server_new(a->event, a->member, a->units, a->polkit, a->fds, &options, &agent);
        keep_promises(a);
        server_guard_stored(a->server, a->started_usec);
        absence_open(a);
        if (!a->options->no_system_bus)
                a->broker = broker_new(a->event, a->options->bus_address, &(BrokerListener) {
                        .changed = on_broker_changed,
                        .named = on_broker_named,
                        .userdata = a,
                });
}

static int open_loop(Agent *a) {
        sigset_t mask;
        int r;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGINT);
        (void) sigaddset(&mask, SIGHUP);
        (void) sigprocmask(SIG_BLOCK, &mask, NULL);
        (void) signal(SIGPIPE, SIG_IGN);
        (void) signal(SIGXFSZ, SIG_IGN);        /* a limit of file size is to the store as a full disk */

        r = sd_event_default(&a->event);
        if (r < 0)
                return r;
        r = sd_event_add_signal(a->event, NULL, SIGTERM, on_stop, a);
        if (r < 0)
                return r;
        r = sd_event_add_signal(a->event, NULL, SIGINT, on_stop, a);
        if (r < 0)
                return r;
        r = sd_event_add_signal(a->event, NULL, SIGHUP, on_reload, a);
        if (r < 0)
                return r;
        r = sd_event_add_time(a->event, &a->tick, CLOCK_BOOTTIME, UINT64_MAX, 10000, on_tick, a);
        if (r < 0)
                return r;
        r = sd_event_source_set_prepare(a->tick, on_prepare);
        if (r < 0)
                return r;
        r = driver_add_apply_turn(a);
        if (r < 0)
                return r;
        return sd_event_set_watchdog(a->event, true);
}

static int on_store_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Agent *a = userdata;

        store_dispatch(a->store);
        return 0;
}

static int start_store(Agent *a) {
        int r;

        r = store_start(a->store);
        if (r >= 0)
                r = sd_event_add_io(a->event, NULL, store_get_fd(a->store), EPOLLIN, on_store_readable, a);
        if (r < 0)
                journal(LOG_CRIT, CONVENE_MESSAGE_IO_ERROR, "Cannot begin to write in %s: %s", a->conf.data, strerror(-r));
        return r;
}

static bool write_pid(const char *path) {
        g_autofree char *text = g_strdup_printf("%d\n", (int) getpid());
        g_autoptr(GError) error = NULL;

        if (!path || g_file_set_contents(path, text, -1, &error))
                return true;

        journal(LOG_CRIT, NULL, "Cannot write the pid file %s: %s", path, error->message);
        return false;
}

static int run(Agent *a) {
        g_autofree char *error = NULL;
        int r;

        if (!conf_load(a->options->conf_file, &a->conf, &error)) {
                journal_last_words(CONVENE_MESSAGE_CONFIGURATION, "%s; not starting", error);
                return AGENT_EXIT_CONFIGURATION;
        }
        if (a->options->data) {
                g_free(a->conf.data);
                a->conf.data = g_strdup(a->options->data);
        }
        a->host = g_strdup(a->conf.name ?: g_get_host_name());
        if (!conf_host_name_is_valid(a->host)) {
                journal_last_words(CONVENE_MESSAGE_CONFIGURATION, "The host name '%s' has characters other than letters, digits, '.', '_' "
                        "and '-'; set Name= in [Agent] of convened.conf", a->host);
                return AGENT_EXIT_CONFIGURATION;
        }
        if (a->options->listen) {
                g_free(a->conf.listen);
                a->conf.listen = g_strdup(a->options->listen);
                if (!conf_check_addresses(&a->conf, &error)) {
                        journal_last_words(CONVENE_MESSAGE_CONFIGURATION, "--listen: %s; not starting", error);
                        return AGENT_EXIT_CONFIGURATION;
                }
        }
        a->admissions = admissions_new();
        a->openings = g_ptr_array_new_with_free_func(g_free);
        a->started_usec = agent_clock_usec(CLOCK_BOOTTIME);
        a->space_available = true;

        r = open_loop(a);
        if (r < 0) {
                journal(LOG_CRIT, NULL, "Cannot set up the event loop: %s", strerror(-r));
                return AGENT_EXIT_FAILURE;
        }
        r = open_store(a);
        if (r != 0)
                return r;
        if (store_get_report(a->store)->meta.sid == 0)          /* META is lost: there is no member to be made */
                return accept_loss(a);
        if (new_member(a) < 0)
                return AGENT_EXIT_FAILURE;
        r = recover(a);
        if (a->options->accept_loss)
                return r == AGENT_EXIT_DAMAGED ? accept_loss(a) : r == 0 ? report_sound(a) : r;
        if (r != 0)
                return r;
        r = founding_check(a);
        if (r != 0)
                return r;
        r = links_open(a);
        if (r != 0)
                return r;
        open_fronts(a);
        recovery_tell(a->conf.data);
        if (!write_pid(a->options->pid_file))
                return AGENT_EXIT_FAILURE;
        if (start_store(a) < 0)
                return AGENT_EXIT_IO;

        member_start(a->member, &store_get_report(a->store)->meta);
        r = sd_event_add_time_relative(a->event, &a->patience, CLOCK_BOOTTIME, PATIENCE_USEC, 0, on_patience, a);
        if (r < 0)
                return AGENT_EXIT_FAILURE;
        r = sd_event_loop(a->event);
        return r < 0 ? AGENT_EXIT_FAILURE : r;
}

int agent_run(const AgentOptions *options) {
        Agent a = { .options = options };
        int r;

        r = run(&a);
        retire_forget(&a);
        transfer_forget(&a);
        singletons_free(a.singletons);
        presences_free(a.presences);
        broker_free(a.broker);
        absence_done(&a);
        server_free(a.server);
        polkit_free(a.polkit);
        units_free(a.units);
        fd_store_free(a.fds);
        a.own = own_free(a.own);
        rotation_forget(&a);
        links_done(&a);
        if (a.checkpointer)
                checkpointer_free(a.checkpointer);
        if (a.store)
                a.store = store_close(a.store);
        member_free(a.member);
        net_key_unref(a.key);
        sd_event_source_unref(a.patience);
        sd_event_source_unref(a.apply_turn);
        sd_event_source_unref(a.tick);
        sd_event_unref(a.event);
        if (options->pid_file && r == AGENT_EXIT_OK)
                (void) unlink(options->pid_file);
        if (options->socket && r == AGENT_EXIT_OK)
                (void) unlink(options->socket);
        conf_done(&a.conf);
        g_free(a.host);
        g_free(a.broker_problem);
        g_free(a.mesh_problem);
        if (a.admissions)
                g_ptr_array_unref(a.admissions);
        if (a.openings)
                g_ptr_array_unref(a.openings);
        return r;
}
