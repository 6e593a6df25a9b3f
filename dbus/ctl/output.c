/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Output
 */

#include "dbus/ctl/output.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dbus/ctl/text.h"

bool output_is_terminal(void) {
        static int known = -1;

        if (known < 0)
                known = isatty(STDOUT_FILENO);
        return known;
}

static bool has_colours(void) {
        static int known = -1;

        if (known < 0) {
                const char *no_color = getenv("NO_COLOR");

                known = output_is_terminal() && !(no_color && *no_color) &&
                        g_strcmp0(getenv("TERM"), "dumb") != 0;
        }
        return known;
}

const char *colour_on(Colour c) {
        static const char *const sequences[] = {
                [COLOUR_NONE] = "",
                [COLOUR_BOLD] = "\033[1m",
                [COLOUR_GREY] = "\033[90m",
                [COLOUR_RED] = "\033[1;31m",
                [COLOUR_GREEN] = "\033[1;32m",
                [COLOUR_YELLOW] = "\033[1;33m",
                [COLOUR_BLUE] = "\033[1;34m",
        };

        assert(c < G_N_ELEMENTS(sequences));
        return has_colours() ? sequences[c] : "";
}

const char *colour_off(void) {
        return has_colours() ? "\033[0m" : "";
}

const char *glyph(const char *utf8, const char *ascii) {
        return g_get_charset(NULL) ? utf8 : ascii;
}

typedef struct Cell {
        char *text;
        Colour colour;
} Cell;

struct Table {
        GPtrArray *headers;             /* char*, without the '>' */
        GArray *to_right;               /* bool per column */
        GArray *cells;                  /* Cell, row by row */
};

static void cell_clear(void *p) {
        Cell *c = p;

        g_free(c->text);
}

Table *table_new(const char *header, ...) {
        Table *t = g_new(Table, 1);
        va_list ap;

        *t = (Table) {
                .headers = g_ptr_array_new_with_free_func(g_free),
                .to_right = g_array_new(FALSE, FALSE, sizeof(bool)),
                .cells = g_array_new(FALSE, FALSE, sizeof(Cell)),
        };
        g_array_set_clear_func(t->cells, cell_clear);

        va_start(ap, header);
        for (const char *h = header; h; h = va_arg(ap, const char *)) {
                bool right = h[0] == '>';

                g_ptr_array_add(t->headers, g_strdup(h + right));
                g_array_append_val(t->to_right, right);
        }
        va_end(ap);
        return t;
}

Table *table_free(Table *t) {
        if (t) {
                g_ptr_array_unref(t->headers);
                g_array_unref(t->to_right);
                g_array_unref(t->cells);
                g_free(t);
        }
        return NULL;
}

void table_add_coloured(Table *t, Colour c, const char *text) {
        Cell cell = { .text = format_line(text), .colour = c };

        g_array_append_val(t->cells, cell);
}

void table_add(Table *t, const char *cell) {
        table_add_coloured(t, COLOUR_NONE, cell);
}

void table_add_format(Table *t, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        g_autofree char *text = g_strdup_vprintf(format, ap);
        va_end(ap);
        table_add(t, text);
}

static unsigned text_width(const char *s) {
        unsigned width = 0;

        for (; *s; s = g_utf8_next_char(s)) {
                gunichar c = g_utf8_get_char(s);

                width += g_unichar_iszerowidth(c) ? 0 : g_unichar_iswide(c) ? 2 : 1;
        }
        return width;
}

static void print_cell(const char *text, Colour c, unsigned width, bool right, bool last) {
        int pad = width - text_width(text);

        printf("%*s%s%s%s", right ? pad : 0, "", colour_on(c), text, c != COLOUR_NONE ? colour_off() : "");
        if (last)
                putchar('\n');
        else
                printf("%*s  ", right ? 0 : pad, "");
}

void table_print(const Table *t) {
        unsigned columns = t->headers->len;
        g_autofree unsigned *widths = g_new(unsigned, columns);

        assert(t->cells->len % columns == 0);
        for (unsigned i = 0; i < columns; i++)
                widths[i] = text_width(g_ptr_array_index(t->headers, i));
        for (unsigned i = 0; i < t->cells->len; i++) {
                unsigned width = text_width(g_array_index(t->cells, Cell, i).text);

                widths[i % columns] = MAX(widths[i % columns], width);
        }

        for (unsigned i = 0; i < columns; i++)
                print_cell(g_ptr_array_index(t->headers, i), COLOUR_BOLD, widths[i],
                           g_array_index(t->to_right, bool, i), i + 1 == columns);
        for (unsigned i = 0; i < t->cells->len; i++) {
                const Cell *cell = &g_array_index(t->cells, Cell, i);
                unsigned column = i % columns;

                print_cell(cell->text, cell->colour, widths[column], g_array_index(t->to_right, bool, column),
                           column + 1 == columns);
        }
}

void print_field(int width, const char *label, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        g_autofree char *text = g_strdup_vprintf(format, ap);
        va_end(ap);
        g_autofree char *line = format_line(text);
        printf("%*s: %s\n", width, label, line);
}

void print_error(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        g_autofree char *text = g_strdup_vprintf(format, ap);
        va_end(ap);

        /* whatever was printed before stays before */
        fflush(stdout);
        g_autofree char *line = format_line(text);
        fprintf(stderr, "convenectl: %s\n", line);
}
