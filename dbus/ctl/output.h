/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Output
 *
 * For people: aligned tables, "field: value" lists, colours only on a terminal and not with NO_COLOR.
 */

#include <stdbool.h>
#include <stdint.h>

#include <glib.h>

typedef enum Colour {
        COLOUR_NONE,
        COLOUR_BOLD,
        COLOUR_GREY,
        COLOUR_RED,
        COLOUR_GREEN,
        COLOUR_YELLOW,
        COLOUR_BLUE,
} Colour;

bool output_is_terminal(void);
/* The sequence that switches the colour on ("" where there are no colours), and off again. */
const char *colour_on(Colour c);
const char *colour_off(void);

/* The first where the locale can show it, else the second. */
const char *glyph(const char *utf8, const char *ascii);

typedef struct Table Table;

/* Headers end with NULL; one that begins with '>' names a column of numbers, set to the right. */
Table *table_new(const char *header, ...) G_GNUC_NULL_TERMINATED;
Table *table_free(Table *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Table, table_free)

/* A row cell by cell; text is copied.  A row must be full before the next begins. */
void table_add(Table *t, const char *cell);
void table_add_coloured(Table *t, Colour c, const char *cell);
void table_add_format(Table *t, const char *format, ...) G_GNUC_PRINTF(2, 3);
void table_print(const Table *t);

/* One "     Label: value" line, labels set to the right in `width` columns. */
void print_field(int width, const char *label, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* "convenectl: " and a sentence on standard error. */
void print_error(const char *format, ...) G_GNUC_PRINTF(1, 2);
