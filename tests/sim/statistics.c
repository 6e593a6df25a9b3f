/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Statistics
 */

#include "tests/sim/statistics.h"

#include <stdio.h>

void statistics_add(Statistics *to, const Statistics *from) {
        uint64_t *t = (uint64_t *) to;
        const uint64_t *f = (const uint64_t *) from;

        for (size_t i = 0; i < sizeof(Statistics) / sizeof(uint64_t); i++)
                t[i] += f[i];
}

static void print_persist(const Statistics *s) {
        printf("\ncrashes by point of the store    before      during       after\n");
        for (unsigned p = 0; p < _PERSIST_MAX; p++)
                printf("  %-24s %12" PRIu64 "%12" PRIu64 "%12" PRIu64 "\n", persist_point_to_string((PersistPoint) p),
                       s->persist[p][PERSIST_BEFORE], s->persist[p][PERSIST_DURING], s->persist[p][PERSIST_AFTER]);
}

static void print_received(const Statistics *s) {
        static const char *const roles[] = {
                "stopped", "looking", "precand", "cand", "lead-sync", "leader", "f-hello", "f-sync", "follower",
        };

        printf("\nmessages by role of who got them\n  %-20s", "");
        for (unsigned r = 1; r < _ZAB_ROLE_MAX; r++)
                printf("%11s", roles[r]);
        printf("\n");
        for (unsigned m = 1; m < _MEMBER_MESSAGE_MAX; m++) {
                if (m >= _ZAB_MESSAGE_MAX && m < MEMBER_MESSAGE_FORWARD)
                        continue;
                printf("  %-20s", m < _ZAB_MESSAGE_MAX ? zab_message_type_to_string((ZabMessageType) m) :
                                                         member_message_type_to_string((MemberMessageType) m));
                for (unsigned r = 1; r < _ZAB_ROLE_MAX; r++)
                        printf("%11" PRIu64, s->received[r][m]);
                printf("\n");
        }
}

static void print_faults(const Statistics *s) {
        printf("faults:");
        for (unsigned k = 0; k < _FAULT_MAX; k++)
                printf(" %s %" PRIu64, fault_kind_to_string((FaultKind) k), s->faults[k]);
        printf("\nat moments:");
        for (unsigned m = 0; m < _MOMENT_MAX; m++)
                printf(" %s %" PRIu64, moment_to_string((Moment) m), s->moments[m]);
        printf("\n");
}

#define SEEDS_MIN 150                   /* so many show everything */

const char *statistics_gap(const Statistics *s) {
        const struct {
                const char *what;
                uint64_t count;
        } all[] = {
                { "elections", s->leaders }, { "SNAPs", s->snaps }, { "TRUNCs", s->truncs }, { "checkpoints", s->checkpoints },
                { "reconfigurations", s->reconfigurations }, { "transfers", s->transfers }, { "disks replaced", s->replaced },
                { "crashes", s->crashes }, { "pauses", s->pauses }, { "partitions", s->partitions }, { "wiped disks", s->wipes },
                { "writes", s->writes }, { "linearizable reads", s->linear_reads }, { "watch events", s->watch_events },
                { "sessions that move", s->moves }, { "sessions that expire", s->expirations },
                { "black-box histories", s->black_boxes + s->recipe_grants }, { "entries from parents", s->fed },
                { "large frames", s->alive },
        };

        if (s->seeds >= SEEDS_MIN && s->recipe_grants > 0 &&
            (s->recipe_losses == 0 || s->recipe_asides == 0 || s->recipe_leases == 0 || s->recipe_acks == 0 || s->recipe_added == 0))
                return "grants given up, leases, items done, additions";
        for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
                if (s->seeds >= SEEDS_MIN && all[i].count == 0)
                        return all[i].what;
        return NULL;
}

void statistics_print(const Statistics *s, double seconds, double processor) {
        print_persist(s);
        print_received(s);
        printf("\n");
        print_faults(s);
        printf("crashes %" PRIu64 " (%" PRIu64 " of all hosts at once), pauses %" PRIu64 ", connections broken %" PRIu64
               ", partitions %" PRIu64 ", wiped disks %" PRIu64 ", rotten bits %" PRIu64 " (damage told %" PRIu64
               "), torn logs %" PRIu64 "\n", s->crashes, s->crashes_all, s->pauses, s->breaks, s->partitions, s->wipes,
               s->rots, s->damaged, s->torn);
        printf("elections %" PRIu64 " (established %" PRIu64 "), SNAPs %" PRIu64 ", TRUNCs %" PRIu64 ", checkpoints %" PRIu64
               ", reconfigurations %" PRIu64 ", transfers %" PRIu64 ", disks replaced %" PRIu64 "\n", s->elections,
               s->leaders, s->snaps, s->truncs, s->checkpoints, s->reconfigurations, s->transfers, s->replaced);
        printf("entries committed %" PRIu64 ", writes acknowledged %" PRIu64 " (failed %" PRIu64 ", refused %" PRIu64
               ", fate unknown %" PRIu64 "), reads %" PRIu64 " (linearizable %" PRIu64 "), watch events %" PRIu64 "\n",
               s->entries, s->writes, s->writes_failed, s->writes_refused, s->writes_unknown, s->reads, s->linear_reads,
               s->watch_events);
        printf("batches from parents %" PRIu64 ", parts of large frames %" PRIu64 ", members ahead of their leader %" PRIu64
               "\n", s->fed, s->alive, s->left_behind);
        printf("sessions %" PRIu64 " (moved %" PRIu64 ", expired %" PRIu64 "), black-box histories %" PRIu64 " of %" PRIu64
               " operations\n", s->sessions, s->moves, s->expirations, s->black_boxes, s->black_box_operations);
        if (s->recipe_grants > 0)
                printf("grants %" PRIu64 " (given up %" PRIu64 "), stood aside %" PRIu64 ", leases %" PRIu64 ", items done %" PRIu64
                       ", additions %" PRIu64 "\n", s->recipe_grants, s->recipe_losses, s->recipe_asides, s->recipe_leases, s->recipe_acks,
                       s->recipe_added);
        processor = processor > 0 ? processor : 0.001;
        printf("seeds %" PRIu64 ", simulated hours %.1f, events %" PRIu64 ", messages %" PRIu64 ", %.1f s, of one core %.1f s: "
               "%.0f seeds per second per core, %.0f times real time\n", s->seeds, (double) s->usec / 3.6e9, s->events,
               s->messages, seconds, processor, (double) s->seeds / processor, (double) s->usec / 1e6 / processor);
}
