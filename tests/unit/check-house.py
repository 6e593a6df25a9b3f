#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds the house: who may include whom, what is pure, and what every file owes its reader.

    check-house.py SOURCE-ROOT BUILD-ROOT

Prints TAP, one case per rule.  test-check-house.py shows that each rule rejects what it is there to reject.
"""

import ast
import fnmatch
import os
import re
import subprocess
import sys

LICENSE = "SPDX-License-Identifier: LGPL-2.1-or-later"
FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 80

PURE = ["base", "tree", "zab", "member", "recipe", "wire", "store/format"]

# The arrows: "A: B ..." reads "A may include B", besides itself.  What is not listed is forbidden.
ARROWS = {
    "agent/base": "",
    "agent/tree": "base",
    "agent/zab": "base",
    "agent/member": "tree zab base",
    "agent/recipe": "member base",
    "agent/wire": "member tree zab base",
    "agent/store/format": "zab base",
    "agent/store": "store/format tree zab base",
    "agent/net": "base",
    "agent/peer": "net wire zab base",
    "agent/zookeeper": "net wire member base",
    "agent/host": "base",
    "agent/main": "*",
    "dbus/server": "recipe member host base",
    "dbus/ctl": "base",
    "units": "base",
    "tests/sim": " ".join(PURE + ["tests/unit"]),
    "tests/scenario": " ".join(PURE) + " tests/sim",
    "tests/unit": "*",
    "tests/fuzz": "*",
    "tests/bus": "*",
    "tests/bench": "*",
    "tests/interop": "*",
    "tests/lab": "",
}

# Headers of the system that only some folders may see; those of the C library that pure folders may see.
GUARDED = {
    "systemd/*": "agent/net agent/peer agent/zookeeper agent/host agent/main dbus/server dbus/ctl units",
    "lmdb.h": "agent/store",
    "openssl/*": "agent/net",
    "json-c/*": "dbus/ctl",
    "gio/*": "dbus/ctl",
    "pthread.h": "agent/store",
}
PURE_HEADERS = """assert.h endian.h errno.h inttypes.h limits.h stdarg.h stdbool.h stddef.h stdint.h stdio.h stdlib.h
string.h strings.h sys/types.h arpa/inet.h glib.h xxhash.h""".split()

# All that pure code may call outside the pure libraries: memory, strings, arithmetic, and GLib's containers.  Iterating a
# GHashTable is not among them, for its order depends on how it was filled; nor is anything that reads a locale, a clock,
# the environment, a file or chance.
CALLABLE = re.compile(r"""
      (__)?mem(cpy|move|set|cmp|chr|rchr|mem|pcpy)(_chk)?
    | (__)?str(len|nlen|cmp|ncmp|chr|rchr|chrnul|spn|cspn|pbrk|str|toull|toul|toll|tol|ncpy|cpy|tok_r|dup|ndup)(_chk)?
    | (__)?stpcpy(_chk)? | (__)?v?snprintf(_chk)? | (__isoc99_)?sscanf | bsearch | abort | free | malloc | calloc | realloc
    | __isoc23_(sscanf|strto\w+)
    | __assert_fail | __stack_chk_fail | _GLOBAL_OFFSET_TABLE_ | __ctype_\w+_loc
    | XXH\w+ | inet_pton | inet_ntop
    | g_(try_)?(malloc|malloc0|realloc|new)(0)?(_n)? | g_free | g_clear_pointer | g_slice_\w+ | g_memdup2?
    | g_(array|byte_array|ptr_array|bytes|string|queue|list|slist|tree|sequence|checksum|base64|qsort)_\w+
    | g_compute_(checksum|hmac)_\w+ | g_compute_\w+ | g_qsort_with_data
    | g_hash_table_(new|new_full|insert|replace|add|lookup|lookup_extended|contains|remove|steal|steal_extended|size
        |ref|unref|destroy|remove_all)
    | g_(int|int64|str|direct|bytes)_(hash|equal|compare)
    | g_str(dup|ndup|dupv|freev|v_length|split|joinv|join|concat|_has_prefix|_has_suffix|dup_printf|dup_vprintf|cmp0
        |_equal|_hash|lcpy|v_contains|v_equal|reverse|chug|chomp|stripv)
    | g_ascii_\w+ | g_utf8_(validate|validate_len|get_char|get_char_validated|next_char|strlen|skip)
    | g_ref_count_\w+ | g_atomic_ref_count_\w+ | g_rc_box_\w+ | g_assertion_message(_\w+)? | g_return_if_fail_warning
    | g_direct_hash | g_direct_equal | g_log2 | g_bit_\w+
    | __(asan|ubsan|sanitizer|tsan|gcov|llvm|sanitizer_cov)_\w+ | __start_\w+ | __stop_\w+ | __odr_asan\S*
    """, re.X)

# (library, object, symbol): why it is harmless there.
EXCUSED = {
    ("tree", "read-list.c.o", "qsort"): "paths are unique, so every sort gives the same order",
}


def walk(root):
    """The project's files, as paths from ROOT."""
    for d, folders, files in os.walk(root):
        top = d == root
        folders[:] = sorted(f for f in folders if f not in (".git", "__pycache__", "corpus", ".cache") and
                            not (top and (f == "run" or re.fullmatch(r"build(-.*)?", f))))
        for f in sorted(files):
            yield os.path.relpath(os.path.join(d, f), root)


def text(root, path):
    try:
        with open(os.path.join(root, path), encoding="utf-8") as f:
            return f.read()
    except UnicodeDecodeError:
        return None


def folder_of(path, table):
    """The deepest folder of TABLE that holds PATH."""
    d = os.path.dirname(path)
    while d and d not in table:
        d = os.path.dirname(d)
    return d or None


def expand(folder, names):
    """Folder names of the table's right-hand side, written in full."""
    out = {folder}
    for name in names.split():
        out |= set(ARROWS) if name == "*" else {name if name.startswith("tests/") else "agent/" + name}
    return out


def pure_folders():
    return ["agent/" + name for name in PURE]


def arrow_problem(folder, include, quoted, exists):
    """Why FOLDER may not have this include, or None."""
    if quoted:
        target = folder_of(include, ARROWS)
        if not re.match(r"(agent|dbus|tests|units)/", include) or not target:
            return "is not written from the root, or names an unknown folder"
        if not exists(include):
            return "does not exist"
        if target not in expand(folder, ARROWS[folder]):
            return "goes against the arrows (%s may include: %s)" % (folder, ARROWS[folder] or "itself only")
        return None
    if folder in pure_folders() and include not in PURE_HEADERS:
        return "is not for pure code"
    for pattern, folders in GUARDED.items():
        if fnmatch.fnmatch(include, pattern) and folder not in folders.split() and not folder.startswith("tests/"):
            return "is only for %s" % folders
    return None


def check_arrows(root, files):
    problems = []
    for path in files:
        if not path.endswith((".c", ".h")):
            continue
        folder = folder_of(path, ARROWS)
        if not folder:
            problems.append("%s: a folder that no arrow knows; name it in ARROWS" % path)
            continue
        # Configuration that meson writes is not in the source tree.
        for n, line in enumerate((text(root, path) or "").splitlines(), 1):
            m = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
            if not m:
                continue
            why = arrow_problem(folder, m.group(2), m.group(1) == '"',
                                lambda include: os.path.exists(os.path.join(root, include)))
            if why:
                problems.append("%s:%d: %s %s" % (path, n, m.group(2), why))
    return problems


def symbols(library):
    """What a static library defines and what it wants from elsewhere."""
    defined, wanted = set(), {}
    member = "?"
    out = subprocess.run(["nm", "-P", "--no-sort", library], check=True, capture_output=True, text=True).stdout
    for line in out.splitlines():
        m = re.match(r".*\[(.+)\]:$", line)
        if m:
            member = os.path.basename(m.group(1))
            continue
        name, kind = line.split()[:2]
        name = name.partition("@")[0]
        if kind in "Uw":
            wanted.setdefault(name, []).append(member)
        elif kind.isupper():
            defined.add(name)
    return defined, wanted


def purity_problems(library, wanted, defined):
    """What WANTED ({symbol: objects}) has that pure code must not call."""
    return ["agent/%s: %s calls %s, which is not on the list of what pure code may call" % (library, member, name)
            for name in sorted(wanted) if name not in defined and not CALLABLE.fullmatch(name)
            for member in wanted[name] if (library, member, name) not in EXCUSED]


def library_of(build, name):
    """agent/store/format is libstore-format.a."""
    return os.path.join(build, "agent", name, "lib%s.a" % name.replace("/", "-"))


def check_purity(root, build):
    problems, table = [], {}
    for name in PURE:
        folder = os.path.join(root, "agent", name)
        if not os.path.isdir(folder) or not any(f.endswith(".c") for f in os.listdir(folder)):
            continue
        library = library_of(build, name)
        if os.path.exists(library):
            table[name] = symbols(library)
        else:
            problems.append("agent/%s: no library %s" % (name, os.path.relpath(library, build)))
    for name, (defined, wanted) in table.items():
        known = set(defined)
        for target in expand("agent/" + name, ARROWS["agent/" + name]):
            known |= table.get(target[len("agent/"):], (set(), None))[0]
        problems += purity_problems(name, wanted, known)
    return problems


def check_names(build):
    """A name that two of the agent's libraries define links as the wrong one of them, or not at all."""
    owner, problems = {}, []
    for top in ("agent", "dbus/server"):
        for d, _, files in sorted(os.walk(os.path.join(build, top))):
            for f in files:
                if not re.fullmatch(r"lib.*\.a", f):
                    continue
                folder = os.path.relpath(d, build)
                for name in sorted(symbols(os.path.join(d, f))[0]):
                    if owner.setdefault(name, folder) != folder and not name.startswith("__"):
                        problems.append("%s is defined in %s and in %s" % (name, owner[name], folder))
    return problems


def owes_license(path):
    name = os.path.basename(path)
    return not name.endswith((".md", ".json", ".txt", ".png", ".seed")) and path != "LICENSE"


def check_license(root, files):
    problems = []
    for path in files:
        content = text(root, path) or ""
        # A manual page that only names another must do so on its first line.
        if owes_license(path) and not content.startswith(".so ") and \
                LICENSE not in "\n".join(content.splitlines()[:5]):
            problems.append("%s: no line \"%s\" at its head" % (path, LICENSE))
    return problems


def is_source(path, content):
    return path.endswith((".c", ".h", ".py", ".sh")) or content.startswith("#!")


def c_functions(content):
    """(name, first line, lines) of each function: from a signature in column 0 that ends in "{" to "}" in column 0."""
    signature, begin = "", 0
    name = None
    for n, line in enumerate(content.splitlines(), 1):
        if name:
            if line.startswith("}"):
                yield name, begin, n - begin + 1
                name, signature = None, ""
            continue
        if not line or line[0] in "#/}*" or line.endswith(";"):
            signature = ""
            continue
        if not signature:
            begin = n
        signature += line
        if line.endswith("{"):
            m = re.search(r"(\w+)\s*\(", re.sub(r"__attribute__\s*\(\(.*?\)\)", "", signature))
            if m and "=" not in signature.split("(")[0]:
                name = m.group(1)
            signature = ""


def python_functions(content):
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno, node.end_lineno - node.lineno + 1


def shell_functions(content):
    lines = content.splitlines()
    for n, line in enumerate(lines):
        m = re.match(r"(\w+)\(\) \{$", line)
        if m:
            end = next((k for k in range(n, len(lines)) if lines[k] == "}"), len(lines) - 1)
            yield m.group(1), n + 1, end - n + 1


def size_problems(path, content):
    problems = []
    count = content.count("\n")
    if count > FILE_LINES_MAX:
        problems.append("%s: %d lines; %d is the limit: find its second noun" % (path, count, FILE_LINES_MAX))
    if path.endswith((".c", ".h")):
        functions = c_functions(content)
    elif path.endswith(".py") or re.match(r"#!.*python", content):
        functions = python_functions(content)
    else:
        functions = shell_functions(content)
    return problems + ["%s:%d: %s() has %d lines; %d is the limit" % (path, n, name, size, FUNCTION_LINES_MAX)
                       for name, n, size in functions if size > FUNCTION_LINES_MAX]


def check_sizes(root, files):
    problems = []
    for path in files:
        content = text(root, path)
        if content and is_source(path, content):
            problems += size_problems(path, content)
    return problems


# Written in pieces, so that this file does not find itself.
LITTER = [
    (re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b"), "a note to come back"),
    (re.compile(r"(?<![\w.])/(wo" + r"rk|home/(?!alice/)[a-z]\w*|ro" + r"ot/\.\w+|tmp/" + r"b-\w+)/"), "a path of one machine"),
    (re.compile(r"\bdeb\." + r"debian\.org|\barchive\.ub" + r"untu"), "the name of a package host"),
    (re.compile(r"\bissue #?" + r"\d+\b", re.I), "how the work is organised"),
]


def litter_problems(path, content):
    return ["%s:%d: %s: %s" % (path, n, what, line.strip()[:80]) for n, line in enumerate(content.splitlines(), 1)
            for pattern, what in LITTER if pattern.search(line)]


def check_litter(root, files):
    problems = []
    for path in files:
        content = text(root, path)
        if content and path != "LICENSE":
            problems += litter_problems(path, content)
    return problems


def main():
    root, build = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    files = [path for path in walk(root) if not os.path.abspath(os.path.join(root, path)).startswith(build + os.sep)]
    cases = [
        ("includes follow the arrows", check_arrows(root, files)),
        ("pure libraries call only what is pure", check_purity(root, build)),
        ("no two libraries define the same name", check_names(build)),
        ("every file names its licence", check_license(root, files)),
        ("files and functions are of readable size", check_sizes(root, files)),
        ("nothing is left lying about", check_litter(root, files)),
    ]
    print("1..%d" % len(cases))
    for n, (name, problems) in enumerate(cases, 1):
        for problem in problems:
            print("# " + problem)
        print("%sok %d - %s" % ("not " if problems else "", n, name))
    sys.exit(any(problems for _, problems in cases))


if __name__ == "__main__":
    main()
