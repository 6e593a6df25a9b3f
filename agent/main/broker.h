/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Broker
 *
 * The agent's connection to the system bus: opened without waiting, opened again when it is lost, and the name
 * org.convene1 asked for once the agent serves.
 */

#include <stdbool.h>

#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

typedef struct Broker Broker;

typedef struct BrokerListener {
        /* The connection is there (its own reference), or gone (NULL). */
        void (*changed)(void *userdata, sd_bus *bus);
        /* The name is ours, or could not be had (a sentence; NULL: all is well). */
        void (*named)(void *userdata, const char *problem);
        void *userdata;
} BrokerListener;

/* `address`: NULL for the system bus. */
Broker *broker_new(sd_event *event, const char *address, const BrokerListener *listener);
Broker *broker_free(Broker *b);
void broker_request_name(Broker *b);
bool broker_has_name(const Broker *b);
