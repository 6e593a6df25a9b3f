/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Agent
 *
 * The only place where all parts are known.  Order of birth: configuration, store (opened, loaded, replayed), member,
 * host, fronts; the loop; death in the reverse order.  The loop never waits for a disk: the store's thread does, and
 * its completions come in through one descriptor.
 */

#include "agent/main/agent.h"

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
#include "agent/main/broker.h"
#include "agent/main/checkpointer.h"
#include "agent/main/journal.h"
#include "agent/main/presences.h"
#include "agent/store/store.h"

#define APPENDS_PER_TURN 128

typedef struct Agent {
        const AgentOptions *options;
        Conf conf;
        char *host;
        sd_event *event;
        sd_event_source *tick, *apply_turn;
        uint64_t appended_io_seq, applied_io_seq;       /* durable; and handed to the member */
        Store *store;
        Member *member;
        Checkpointer *checkpointer;
        FdStore *fds;
        Units *units;
        Polkit *polkit;
        Server *server;
        Presences *presences;
        Broker *broker;
        char *broker_problem;
        bool serving;                   /* reached once: fronts are open, READY=1 was sent */
        bool space_available;
        uint64_t started_usec;
        uint64_t turn_usec_max;         /* longest turn of the event loop */
} Agent;

static uint64_t clock_usec(clockid_t clock) {
        struct timespec ts;

        (void) clock_gettime(clock, &ts);
        return (uint64_t) ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static const char *member_role(const Agent *a) {
        MemberStatus s;

        member_get_status(a->member, &s);
        return zab_role_to_string(s.role);
}

static void notify_status(Agent *a) {
        MemberStatus s;

        member_get_status(a->member, &s);
        (void) sd_notifyf(false, "STATUS=%s, epoch %u, %u member%s%s", zab_role_to_string(s.role), s.epoch,
                          s.config ? s.config->members_count : 0, s.config && s.config->members_count == 1 ? "" : "s",
                          a->space_available ? "" : "; DISK FULL: updates are refused");
}

/*
 * Driver: the member's effects
 */

static void on_append(void *userdata, uint64_t io_seq, const ZabEntry *entries, unsigned entries_count) {
        Agent *a = userdata;

        for (unsigned i = 0; i < entries_count; i++)
                checkpointer_count_log(a->checkpointer, g_bytes_get_size(entries[i].payload) + 128);
        store_append(a->store, io_seq, entries, entries_count);
}

static void on_write_meta(void *userdata, uint64_t io_seq, const ZabMeta *meta) {
        Agent *a = userdata;

        store_write_meta(a->store, io_seq, meta);
}

static void on_role_changed(void *userdata, ZabRole role, uint32_t epoch, const char *reason) {
        Agent *a = userdata;
        g_autofree char *role_field = g_strdup_printf("CONVENE_ROLE=%s", zab_role_to_string(role));
        g_autofree char *epoch_field = g_strdup_printf("CONVENE_EPOCH=%u", epoch);

        if (role == ZAB_ROLE_LEADER || role == ZAB_ROLE_STOPPED || role == ZAB_ROLE_LOOKING)
                journal_send(LOG_INFO, CONVENE_MESSAGE_ROLE_CHANGED,
                             (const char *const[]) { role_field, epoch_field, NULL },
                             "Role is now %s in epoch %u: %s", zab_role_to_string(role), epoch, reason);
        if (a->server)
                server_on_role_changed(a->server);
}

static void on_session_ended(void *userdata, uint64_t session, bool expired) {
        Agent *a = userdata;

        if (expired) {
                g_autofree char *field = g_strdup_printf("CONVENE_SESSION=%016" PRIx64, session);

                journal_send(LOG_INFO, CONVENE_MESSAGE_SESSION_EXPIRED, (const char *const[]) { field, NULL },
                             "Session 0x%" PRIx64 " expired: it was not kept alive", session);
        }
        if (a->server)
                server_on_session_ended(a->server, session, expired);
        if (a->presences)
                presences_on_session_ended(a->presences, session);
}

static void on_soft_quota(void *userdata, const char *path) {
        journal(LOG_WARNING, CONVENE_MESSAGE_QUOTA_EXCEEDED, "The soft quota of %s is exceeded", path);
}

static void get_time(void *userdata, uint64_t *ret_now_usec, int64_t *ret_wall_msec) {
        Agent *a = userdata;
        uint64_t wall_usec;

        (void) sd_event_now(a->event, CLOCK_BOOTTIME, ret_now_usec);
        (void) sd_event_now(a->event, CLOCK_REALTIME, &wall_usec);
        *ret_wall_msec = wall_usec / 1000;
}

/*
 * The store's completions
 */

/* One group commit may carry thousands of entries, each with an answer to send: a turn takes a bounded part of them,
 * so that everybody else is not kept waiting. */
static int on_apply_turn(sd_event_source *source, void *userdata) {
        Agent *a = userdata;

        a->applied_io_seq = MIN(a->applied_io_seq + APPENDS_PER_TURN, a->appended_io_seq);
        member_on_appended(a->member, a->applied_io_seq);
        checkpointer_consider(a->checkpointer);
        return sd_event_source_set_enabled(a->apply_turn,
                                           a->applied_io_seq < a->appended_io_seq ? SD_EVENT_ON : SD_EVENT_OFF);
}

static void on_appended(void *userdata, uint64_t io_seq) {
        Agent *a = userdata;
        bool idle = a->applied_io_seq >= a->appended_io_seq;

        a->appended_io_seq = io_seq;
        if (idle)
                (void) on_apply_turn(a->apply_turn, a);
}

static void on_meta_written(void *userdata, uint64_t io_seq) {
        Agent *a = userdata;

        member_on_meta_written(a->member, io_seq);
}

static void on_checkpointed(void *userdata, uint64_t io_seq, int error) {
        Agent *a = userdata;

        checkpointer_on_done(a->checkpointer, error);
}

static void on_space(void *userdata, bool available) {
        Agent *a = userdata;

        a->space_available = available;
        member_on_space(a->member, available);
        if (available)
                journal(LOG_NOTICE, CONVENE_MESSAGE_DISK_ROOM_AGAIN, "There is room on the disk again; updates are accepted");
        else
                journal(LOG_ERR, CONVENE_MESSAGE_DISK_FULL, "No room for the next log segment in %s; updates are refused, "
                        "reads go on; make room and they are accepted again by themselves", a->conf.data);
        notify_status(a);
        if (a->server) {
                server_on_problems_changed(a->server);
                server_on_role_changed(a->server);
        }
}

/* Protocol 2.5: after an I/O error on the log or META no further message may leave this process. */
static void on_failed(void *userdata, int error, const char *what) {
        Agent *a = userdata;

        journal(LOG_CRIT, CONVENE_MESSAGE_IO_ERROR, "%s: %s; stopping at once, so that nothing is acknowledged that is "
                "not on the disk; check the disk under %s, then start again", what, strerror(-error), a->conf.data);
        (void) sd_notifyf(false, "STATUS=Stopped by an I/O error: %s: %s\nERRNO=%d", what, strerror(-error), -error);
        _exit(AGENT_EXIT_IO);
}

static int on_store_readable(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Agent *a = userdata;

        store_dispatch(a->store);
        return 0;
}

/*
 * What the bus shows of the agent
 */

static void get_statistics(void *userdata, void (*add)(void *sink, const char *name, uint64_t value), void *sink) {
        Agent *a = userdata;
        StoreStatistics s;

        store_get_statistics(a->store, &s);
        add(sink, "store_appends", s.appends);
        add(sink, "store_append_bytes", s.append_bytes);
        add(sink, "store_syncs", s.syncs);
        add(sink, "store_sync_total_usec", s.sync_usec_total);
        add(sink, "store_sync_max_usec", s.sync_usec_max);
        add(sink, "store_checkpoints", s.checkpoints);
        add(sink, "store_checkpoint_rows", s.checkpoint_rows);
        add(sink, "store_checkpoint_last_usec", s.checkpoint_usec_last);
        add(sink, "store_segments_now", s.segments);
        add(sink, "store_log_now_bytes", s.log_bytes);
        add(sink, "checkpoint_slice_max_usec", checkpointer_slice_usec_max(a->checkpointer));
        add(sink, "loop_turn_max_usec", a->turn_usec_max);
        add(sink, "uptime_usec", clock_usec(CLOCK_BOOTTIME) - a->started_usec);
}

static char **get_problems(void *userdata) {
        Agent *a = userdata;
        g_autoptr(GStrvBuilder) b = g_strv_builder_new();

        if (!a->space_available) {
                g_autofree char *s = g_strdup_printf("the disk under %s is full: updates are refused until there is room",
                                                     a->conf.data);

                g_strv_builder_add(b, s);
        }
        if (a->broker_problem)
                g_strv_builder_add(b, a->broker_problem);
        if (a->presences) {
                const GPtrArray *p = presences_problems(a->presences);

                for (guint i = 0; i < p->len; i++)
                        g_strv_builder_add(b, p->pdata[i]);
        }
        return g_strv_builder_end(b);
}

static void request_checkpoint(void *userdata, void (*done)(void *sink, int error, Zxid zxid), void *sink) {
        Agent *a = userdata;

        checkpointer_request(a->checkpointer, done, sink);
}

static void on_limit_reached(void *userdata, uid_t uid, const char *key, uint64_t value) {
        g_autofree char *uid_field = g_strdup_printf("CONVENE_UID=%u", (unsigned) uid);

        journal_send(LOG_WARNING, CONVENE_MESSAGE_LIMIT_REACHED, (const char *const[]) { uid_field, NULL },
                     "User %u has reached %s=%" PRIu64 " of [Limits] and is refused more", (unsigned) uid, key, value);
}

static void get_presences(void *userdata,
                          void (*each)(void *sink, const char *unit, const char *invocation, const char *path,
                                       uint64_t session, const char *error),
                          void *sink) {
        Agent *a = userdata;

        if (a->presences)
                presences_foreach(a->presences, each, sink);
}

/*
 * The broker
 */

static void on_broker_changed(void *userdata, sd_bus *bus) {
        Agent *a = userdata;

        (void) server_set_bus(a->server, bus);
        units_set_bus(a->units, bus);
        polkit_set_bus(a->polkit, bus);
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
        printf("ready: %s of epoch %u, data in %s, socket %s\n", zab_role_to_string(s.role), s.epoch, a->conf.data,
               a->options->socket ?: "from systemd");
        fflush(stdout);
}

/* Everything that was promised to be there at READY=1 is. */
static void announce(Agent *a) {
        MemberStatus s;

        if (a->serving)
                return;

        a->serving = true;
        a->turn_usec_max = 0;           /* what went before was recovery: nobody was kept waiting */
        member_get_status(a->member, &s);
        journal(LOG_INFO, CONVENE_MESSAGE_READY, "Serving as %s of epoch %u at zxid " ZXID_FORMAT, member_role(a), s.epoch,
                s.zxid);
        notify_status(a);
        (void) sd_notify(false, "READY=1");
        print_ready(a);
}

static void on_broker_named(void *userdata, const char *problem) {
        Agent *a = userdata;

        if (problem)
                journal(LOG_ERR, NULL, "%s; only the local socket serves until it can", problem);
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

/* The first time the member serves: owners are found again, presence begins, and the world may call. */
static void begin_serving(Agent *a) {
        int r;

        server_recover_owners(a->server);
        presences_load(a->presences);
        r = open_socket(a);             /* who came earlier waits in its queue */
        fd_store_drop_rest(a->fds);
        if (r != 0) {
                (void) sd_event_exit(a->event, r);
                return;
        }
        if (a->broker)
                broker_request_name(a->broker);
        if (!a->broker || a->broker_problem)
                announce(a);            /* else once the name is ours */
}

/* Before each wait: what the member wants next, and whether it has begun to serve. */
static int on_prepare(sd_event_source *source, void *userdata) {
        Agent *a = userdata;
        uint64_t woken_usec;
        MemberStatus s;

        if (sd_event_now(a->event, CLOCK_MONOTONIC, &woken_usec) == 0)
                a->turn_usec_max = MAX(a->turn_usec_max, clock_usec(CLOCK_MONOTONIC) - woken_usec);

        if (!a->presences) {
                member_get_status(a->member, &s);
                if (s.role == ZAB_ROLE_LEADER) {
                        a->presences = presences_new(a->event, a->member, a->units, a->server);
                        begin_serving(a);
                }
        }

        (void) sd_event_source_set_time(a->tick, member_next_tick_usec(a->member));
        return sd_event_source_set_enabled(a->tick, SD_EVENT_ON);
}

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        Agent *a = userdata;

        (void) sd_notify(false, "STOPPING=1");
        return sd_event_exit(a->event, AGENT_EXIT_OK);
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *si, void *userdata) {
        Agent *a = userdata;
        g_auto(Conf) conf = { 0 };
        g_autofree char *error = NULL;

        (void) sd_notify(false, "RELOADING=1");
        if (!conf_load(a->options->conf_file, &conf, &error))
                journal(LOG_ERR, CONVENE_MESSAGE_CONFIGURATION, "%s; the configuration stays as it was", error);
        else {
                server_set_limits(a->server, &conf.limits);
                a->conf.limits = conf.limits;
                journal(LOG_INFO, NULL, "Reloaded: limits and declared presences; the other keys are read at start only");
        }
        if (a->presences) {
                presences_load(a->presences);
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

static int found(Agent *a) {
        ZabMeta meta = { .sid = 1, .membership = ZAB_MEMBERSHIP_MEMBER };
        sd_id128_t id;
        int r;

        r = sd_id128_randomize(&id);
        if (r < 0)
                return r;
        memcpy(meta.cluster_id.bytes, id.bytes, sizeof(id.bytes));
        r = sd_id128_randomize(&id);
        if (r < 0)
                return r;
        memcpy(meta.disk_id.bytes, id.bytes, sizeof(id.bytes));

        r = store_create(a->store, &meta);
        if (r < 0) {
                journal(LOG_CRIT, CONVENE_MESSAGE_IO_ERROR, "Cannot make a store in %s: %s", a->conf.data, strerror(-r));
                return r;
        }

        journal(LOG_NOTICE, NULL, "The store in %s was blank: founded an ensemble of one", a->conf.data);
        return 0;
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
                "some that were acknowledged; start again without --accept-loss", lost_from);
        return AGENT_EXIT_OK;
}

static int new_member(Agent *a) {
        const StoreReport *report = store_get_report(a->store);
        MemberDriver driver = {
                .append = on_append,
                .write_meta = on_write_meta,
                .role_changed = on_role_changed,
                .session_ended = on_session_ended,
                .soft_quota = on_soft_quota,
                .get_time = get_time,
                .userdata = a,
        };
        MemberOptions options = {
                .zab = {
                        .sid = report->meta.sid,
                        .cluster_id = report->meta.cluster_id,
                        .disk_id = report->meta.disk_id,
                        .name = a->host,
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
        StoreListener listener = {
                .appended = on_appended,
                .meta_written = on_meta_written,
                .checkpointed = on_checkpointed,
                .space = on_space,
                .failed = on_failed,
                .userdata = a,
        };
        g_autofree char *error = NULL;
        int r;

        r = store_open(&options, &listener, &a->store, &error);
        if (r < 0) {
                journal(LOG_CRIT, NULL, "%s", error ?: strerror(-r));
                return r == -EAGAIN || r == -ENOTSUP ? AGENT_EXIT_FAILURE : AGENT_EXIT_IO;
        }

        switch (store_get_report(a->store)->state) {
        case STORE_BLANK:
                if (a->options->accept_loss) {
                        journal(LOG_ERR, NULL, "There is no store in %s; nothing to mend", a->conf.data);
                        return AGENT_EXIT_FAILURE;
                }
                return found(a) < 0 ? AGENT_EXIT_IO : 0;
        case STORE_DAMAGED:
                return a->options->accept_loss ? 0 : refuse_damage(a);
        default:
                return 0;
        }
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
        ServerAgent agent = {
                .statistics = get_statistics,
                .problems = get_problems,
                .checkpoint = request_checkpoint,
                .presences = get_presences,
                .limit_reached = on_limit_reached,
                .userdata = a,
        };

        a->fds = fd_store_new();
        a->units = units_new(a->event);
        a->polkit = polkit_new(a->event);
        a->server = server_new(a->event, a->member, a->units, a->polkit, a->fds, &options, &agent);
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
        r = sd_event_add_defer(a->event, &a->apply_turn, on_apply_turn, a);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(a->apply_turn, SD_EVENT_OFF);
        if (r < 0)
                return r;
        return sd_event_set_watchdog(a->event, true);
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
                journal(LOG_CRIT, CONVENE_MESSAGE_CONFIGURATION, "%s; not starting", error);
                return AGENT_EXIT_CONFIGURATION;
        }
        if (a->options->data) {
                g_free(a->conf.data);
                a->conf.data = g_strdup(a->options->data);
        }
        a->host = g_strdup(a->conf.name ?: g_get_host_name());
        a->started_usec = clock_usec(CLOCK_BOOTTIME);
        a->space_available = true;

        r = open_store(a);
        if (r != 0)
                return r;
        r = open_loop(a);
        if (r < 0) {
                journal(LOG_CRIT, NULL, "Cannot set up the event loop: %s", strerror(-r));
                return AGENT_EXIT_FAILURE;
        }
        if (new_member(a) < 0)
                return AGENT_EXIT_FAILURE;
        r = recover(a);
        if (a->options->accept_loss)
                return r == AGENT_EXIT_DAMAGED ? accept_loss(a) : r;
        if (r != 0)
                return r;
        open_fronts(a);
        if (!write_pid(a->options->pid_file))
                return AGENT_EXIT_FAILURE;
        if (start_store(a) < 0)
                return AGENT_EXIT_IO;

        member_start(a->member, &store_get_report(a->store)->meta);
        r = sd_event_loop(a->event);
        return r < 0 ? AGENT_EXIT_FAILURE : r;
}

int agent_run(const AgentOptions *options) {
        Agent a = { .options = options };
        int r;

        r = run(&a);
        presences_free(a.presences);
        broker_free(a.broker);
        server_free(a.server);
        polkit_free(a.polkit);
        units_free(a.units);
        fd_store_free(a.fds);
        if (a.checkpointer)
                checkpointer_free(a.checkpointer);
        if (a.store)
                a.store = store_close(a.store);
        member_free(a.member);
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
        return r;
}
