/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The agent is killed (SIGKILL) under load, again and again.  After each time: every update that was acknowledged is
 * there, with its data, in the order in which it was asked for; of those that were not, the ones that took effect are
 * an unbroken run behind the acknowledged ones, and none is half there.
 *
 *     test-kill CONVENED [GTest options]
 *
 * CONVENE_KILLS: how often (40).  CONVENE_SEED: of the moments.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/base/prng.h"
#include "tests/bus/harness.h"

#define WINDOW 64

typedef struct Load {
        sd_bus *bus;
        unsigned sent, answered;        /* numbers are used once, ever */
        unsigned outstanding;
        bool lost;                      /* an answer was an error: the connection broke */
} Load;

typedef struct Call {
        Load *load;
        unsigned number;
} Call;

static unsigned from_environment(const char *name, unsigned fallback) {
        const char *text = g_getenv(name);

        return text ? (unsigned) g_ascii_strtoull(text, NULL, 10) : fallback;
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        g_autofree Call *c = userdata;
        Load *l = c->load;

        l->outstanding--;
        if (sd_bus_message_is_method_error(m, NULL)) {
                l->lost = true;
                return 0;
        }

        g_assert_false(l->lost);
        g_assert_cmpuint(c->number, ==, l->answered + 1);       /* answers keep the order of the requests */
        l->answered = c->number;
        return 0;
}

static void send_one(Load *l) {
        g_autoptr(sd_bus_message) m = NULL;
        g_autofree char *path = NULL, *data = NULL;
        Call *c = g_new(Call, 1);

        *c = (Call) { l, ++l->sent };
        path = g_strdup_printf("/k/n%08u", c->number);
        data = g_strdup_printf("%u", c->number * 7);
        g_assert_cmpint(sd_bus_message_new_method_call(l->bus, &m, "org.convene1", "/org/convene1", TREE, "Create"), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "s", path), >=, 0);
        g_assert_cmpint(sd_bus_message_append_array(m, 'y', data, strlen(data)), >=, 0);
        g_assert_cmpint(sd_bus_message_append(m, "sa{sv}", "persistent", 0), >=, 0);
        g_assert_cmpint(sd_bus_call_async(l->bus, NULL, m, on_answer, c, 0), >=, 0);
        l->outstanding++;
}

static int pump(Load *l, uint64_t usec) {
        int r;

        while ((r = sd_bus_process(l->bus, NULL)) > 0)
                ;
        return r < 0 ? r : sd_bus_wait(l->bus, usec);
}

/* Full speed until so many more are answered. */
static void load_until(Load *l, unsigned answered) {
        while (l->answered < answered) {
                while (l->outstanding < WINDOW)
                        send_one(l);
                g_assert_cmpint(pump(l, 1000000), >=, 0);
                g_assert_false(l->lost);
        }
}

/* Takes the answers that had left before the end. */
static void load_end(Load *l) {
        while (l->outstanding > 0)
                if (pump(l, 1000000) < 0)
                        break;
        while (l->outstanding > 0 && sd_bus_process(l->bus, NULL) >= 0)
                ;
}

static bool read_back(sd_bus *bus, unsigned number, uint64_t *ret_czxid) {
        g_autofree char *path = g_strdup_printf("/k/n%08u", number), *wanted = g_strdup_printf("%u", number * 7);
        g_autoptr(sd_bus_message) reply = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        const void *data;
        size_t size;

        if (sd_bus_call_method(bus, "org.convene1", "/org/convene1", TREE, "Get", &error, &reply, "sa{sv}", path, 0) < 0) {
                g_assert_true(sd_bus_error_has_name(&error, NO_NODE));
                sd_bus_error_free(&error);
                return false;
        }

        g_assert_cmpint(sd_bus_message_read_array(reply, 'y', &data, &size), >=, 0);
        g_assert_cmpmem(data, size, wanted, strlen(wanted));
        g_assert_cmpint(sd_bus_message_enter_container(reply, 'r', "tttxxiiitii"), >=, 0);
        g_assert_cmpint(sd_bus_message_read(reply, "t", ret_czxid), >=, 0);
        return true;
}

/* Returns the last number that took effect. */
static unsigned check(sd_bus *bus, unsigned from, unsigned answered, unsigned sent, uint64_t *last_czxid) {
        unsigned last = from;

        for (unsigned n = from + 1; n <= sent; n++) {
                uint64_t czxid;

                if (!read_back(bus, n, &czxid)) {
                        g_assert_cmpuint(n, >, answered);
                        continue;
                }
                g_assert_cmpuint(n, ==, last + 1);
                g_assert_cmpuint(czxid, >, *last_czxid);
                *last_czxid = czxid;
                last = n;
        }

        return last;
}

static void test_kills(void) {
        unsigned kills = from_environment("CONVENE_KILLS", 40), acknowledged = 0, unacknowledged = 0;
        Prng prng = { from_environment("CONVENE_SEED", 1) };
        Load l = { 0 };
        unsigned from = 0;
        uint64_t last_czxid = 0;

        for (unsigned k = 0; k < kills; k++) {
                unsigned last;

                l.bus = peer_new(shared);
                if (k == 0)
                        make_open(l.bus, "/k");
                l.lost = false;
                l.outstanding = 0;
                l.answered = l.sent;
                from = l.sent;
                load_until(&l, from + 1 + prng_below(&prng, 400));
                if (k % 8 == 7) {
                        /* Into a checkpoint, too: it is begun and not waited for. */
                        g_autoptr(sd_bus) other = peer_new(shared);

                        g_assert_cmpint(sd_bus_call_method_async(other, NULL, "org.convene1", "/org/convene1",
                                                                 "org.convene1.Agent", "Checkpoint", NULL, NULL, ""), >=, 0);
                        g_assert_cmpint(sd_bus_flush(other), >=, 0);
                        load_until(&l, l.answered + prng_below(&prng, 100));
                }
                agent_stop(shared, SIGKILL);
                load_end(&l);
                peer_free(l.bus);

                agent_start(shared);
                l.bus = peer_new(shared);
                last = check(l.bus, from, l.answered, l.sent, &last_czxid);
                g_assert_cmpuint(last, >=, l.answered);
                acknowledged += l.answered - from;
                unacknowledged += last - l.answered;
                peer_free(l.bus);
        }

        printf("# %u kills: %u acknowledged updates, all there and in order; %u more without an answer\n", kills,
               acknowledged, unacknowledged);
}

int main(int argc, char *argv[]) {
        int r;

        if (argc < 2) {
                fprintf(stderr, "usage: %s CONVENED [OPTION...]\n", argv[0]);
                return EXIT_FAILURE;
        }
        convened_path = argv[1];
        argv[1] = argv[0];
        argc--;
        argv++;
        g_test_init(&argc, &argv, NULL);
        g_test_add_func("/bus/kill/acknowledged-survives", test_kills);
        shared = agent_new(NULL);
        r = g_test_run();
        shared = agent_free(shared);
        return r;
}
