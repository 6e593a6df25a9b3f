/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * ls, tree, stat
 */

#include <stdio.h>
#include <string.h>

#include "dbus/ctl/command.h"
#include "dbus/ctl/listing.h"
#include "dbus/ctl/output.h"
#include "dbus/ctl/stat.h"

/* What is special about a znode, in a word. */
static const char *describe_kind(const ZnodeStat *s) {
        return s->ephemeral_owner != 0 ? "ephemeral" : s->children > 0 ? "parent" : "leaf";
}

static void table_add_znode(Table *t, const char *name, const ZnodeStat *s) {
        g_autofree char *changed = format_time_msec(s->mtime_msec);

        table_add_format(t, "%d", s->version);
        table_add_format(t, "%d", s->data_length);
        table_add_format(t, "%d", s->children);
        table_add(t, changed);
        table_add(t, describe_kind(s));
        table_add_coloured(t, s->ephemeral_owner != 0 ? COLOUR_YELLOW : s->children > 0 ? COLOUR_BLUE : COLOUR_NONE,
                           name);
}

static Table *new_znode_table(void) {
        return table_new(">VERSION", ">BYTES", ">CHILDREN", "CHANGED", "KIND", "NAME", NULL);
}

static JsonObject *znode_to_json(const char *key, const char *name, const ZnodeStat *s) {
        JsonObject *o = json_object_new_object();

        json_add_string(o, key, name);
        json_add(o, "stat", stat_to_json(s));
        return o;
}

typedef struct Ls {
        Ctl *ctl;
        const char *path;
        Table *table;                   /* --long */
        JsonObject *array;              /* --json */
} Ls;

static ExitStatus ls_show(Ls *ls, const char *key, const char *name, const ZnodeStat *stat) {
        if (ls->array)
                json_object_array_add(ls->array, stat ? znode_to_json(key, name, stat) : json_object_new_string(name));
        else if (ls->table)
                table_add_znode(ls->table, name, stat);
        else
                puts(name);
        return EXIT_STATUS_OK;
}

static ExitStatus ls_on_name(void *userdata, const char *name) {
        Ls *ls = userdata;
        g_autofree char *child = g_strconcat(ls->path, g_str_equal(ls->path, "/") ? "" : "/", name, NULL);
        bool exists;
        ZnodeStat stat;

        if (!ls->ctl->options->long_listing)
                return ls_show(ls, "name", name, NULL);

        ExitStatus e = znode_exists(ls->ctl, child, &exists, &stat);
        if (e != EXIT_STATUS_OK)
                return e;
        return exists ? ls_show(ls, "name", name, &stat) : EXIT_STATUS_OK;
}

static ExitStatus ls_on_znode(void *userdata, const ListedZnode *z) {
        Ls *ls = userdata;

        return ls_show(ls, "path", z->path, ls->ctl->options->long_listing ? &z->stat : NULL);
}

ExitStatus cmd_ls(Ctl *c, char **arguments, unsigned count) {
        const Options *o = c->options;
        g_autoptr(Table) table = o->long_listing && !o->json ? new_znode_table() : NULL;
        g_autoptr(JsonObject) array = o->json ? json_object_new_array() : NULL;
        Ls ls = {
                .ctl = c,
                .path = count > 0 ? arguments[0] : "/",
                .table = table,
                .array = array,
        };

        ExitStatus e = o->recursive ? list_znodes(c, ls.path, false, ls_on_znode, &ls, NULL)
                                    : list_children(c, ls.path, ls_on_name, &ls);
        if (e != EXIT_STATUS_OK)
                return e;

        if (array)
                json_print(array);
        else if (table)
                table_print(table);
        return EXIT_STATUS_OK;
}

/* One line of the drawing; whether it is the last of its siblings shows only at the next one. */
typedef struct TreeLine {
        char *name;
        char *data;                     /* --with-data, fit to be shown */
        unsigned depth;
        bool ephemeral;
        bool last;
} TreeLine;

typedef struct Drawing {
        const Options *options;
        JsonObject *array;              /* --json */
        unsigned root_depth;
        GArray *lines;
        uint64_t ephemerals;
} Drawing;

static void tree_line_clear(void *p) {
        TreeLine *line = p;

        g_free(line->name);
        g_free(line->data);
}

static unsigned path_depth(const char *path) {
        unsigned depth = 0;

        if (g_str_equal(path, "/"))
                return 0;
        for (; *path; path++)
                depth += *path == '/';
        return depth;
}

#define DATA_SHOWN_BYTES 60

static ExitStatus tree_on_znode(void *userdata, const ListedZnode *z) {
        Drawing *d = userdata;
        unsigned depth = path_depth(z->path) - d->root_depth;
        bool with_data = d->options->with_data;

        if (d->options->depth > 0 && depth > d->options->depth)
                return EXIT_STATUS_OK;

        if (d->array) {
                JsonObject *o = znode_to_json("path", z->path, &z->stat);

                if (with_data)
                        json_add_data(o, "data", z->data, z->data_size);
                json_object_array_add(d->array, o);
                return EXIT_STATUS_OK;
        }

        TreeLine line = {
                .name = g_strdup(depth == 0 ? z->path : path_name(z->path)),
                .data = with_data && z->data_size > 0 ? format_data(z->data, z->data_size, DATA_SHOWN_BYTES) : NULL,
                .depth = depth,
                .ephemeral = z->stat.ephemeral_owner != 0,
        };
        d->ephemerals += line.ephemeral;
        g_array_append_val(d->lines, line);
        return EXIT_STATUS_OK;
}

/* A znode is the last of its siblings if, walking on, one of less depth comes before one of its own. */
static void mark_last(GArray *lines) {
        g_autoptr(GArray) seen = g_array_new(FALSE, TRUE, sizeof(bool));

        for (unsigned i = lines->len; i-- > 0;) {
                TreeLine *line = &g_array_index(lines, TreeLine, i);

                if (seen->len <= line->depth)
                        g_array_set_size(seen, line->depth + 1);
                bool *mine = &g_array_index(seen, bool, line->depth);
                line->last = !*mine;
                *mine = true;
                g_array_set_size(seen, line->depth + 1);        /* its children are behind us */
        }
}

static void draw(const Drawing *d) {
        g_autoptr(GString) prefix = g_string_new(NULL);
        g_autoptr(GArray) marks = g_array_new(FALSE, TRUE, sizeof(size_t));     /* prefix length per depth */

        for (unsigned i = 0; i < d->lines->len; i++) {
                const TreeLine *line = &g_array_index(d->lines, TreeLine, i);

                if (marks->len <= line->depth + 1)
                        g_array_set_size(marks, line->depth + 2);
                g_string_truncate(prefix, g_array_index(marks, size_t, line->depth));

                const char *branch = line->last ? glyph("└─ ", "`- ") : glyph("├─ ", "|- ");
                printf("%s%s%s%s%s", prefix->str, line->depth == 0 ? "" : branch,
                       colour_on(line->ephemeral ? COLOUR_YELLOW : COLOUR_NONE), line->name,
                       line->ephemeral ? colour_off() : "");
                if (line->data) {
                        g_autofree char *data = format_line(line->data);
                        printf("  %s%s%s", colour_on(COLOUR_GREY), data, colour_off());
                }
                putchar('\n');

                if (line->depth > 0)
                        g_string_append(prefix, line->last ? "   " : glyph("│  ", "|  "));
                g_array_index(marks, size_t, line->depth + 1) = prefix->len;
        }

        if (!d->options->quiet)
                printf("\n%u znodes, %" G_GUINT64_FORMAT " of them ephemeral\n", d->lines->len, d->ephemerals);
}

ExitStatus cmd_tree(Ctl *c, char **arguments, unsigned count) {
        const Options *o = c->options;
        const char *path = count > 0 ? arguments[0] : "/";
        g_autoptr(JsonObject) array = o->json ? json_object_new_array() : NULL;
        g_autoptr(GArray) lines = g_array_new(FALSE, FALSE, sizeof(TreeLine));
        Drawing drawing = {
                .options = o,
                .array = array,
                .root_depth = path_depth(path),
                .lines = lines,
        };

        g_array_set_clear_func(lines, tree_line_clear);
        ExitStatus e = list_znodes(c, path, o->with_data, tree_on_znode, &drawing, NULL);
        if (e != EXIT_STATUS_OK)
                return e;

        if (array) {
                json_print(array);
                return EXIT_STATUS_OK;
        }
        mark_last(lines);
        draw(&drawing);
        return EXIT_STATUS_OK;
}

ExitStatus cmd_stat(Ctl *c, char **arguments, unsigned count) {
        g_autoptr(JsonObject) array = json_object_new_array();
        ExitStatus first = EXIT_STATUS_OK;

        for (unsigned i = 0; i < count; i++) {
                bool exists;
                ZnodeStat stat;

                ExitStatus e = znode_exists(c, arguments[i], &exists, &stat);
                if (e == EXIT_STATUS_OK && !exists) {
                        print_error("%s: %s (%s)", arguments[i], convene_status_describe(CONVENE_NO_NODE),
                                    convene_status_to_string(CONVENE_NO_NODE));
                        e = EXIT_STATUS_NO_NODE;
                }
                if (e != EXIT_STATUS_OK) {
                        first = first == EXIT_STATUS_OK ? e : first;
                        continue;
                }

                if (c->options->json)
                        json_object_array_add(array, znode_to_json("path", arguments[i], &stat));
                else if (!c->options->quiet)
                        stat_print(arguments[i], &stat);
                if (!c->options->json && !c->options->quiet && i + 1 < count)
                        putchar('\n');
        }

        if (c->options->json)
                json_print(array);
        return first;
}
