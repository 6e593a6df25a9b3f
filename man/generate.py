#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# generate.py - fills in what the manual pages take from elsewhere, so that each thing is written once:
#
#   @VERSION@      the version of the project
#   @EXIT_STATUS@  the table of dbus/ctl/exit-status.c
#   @ERRORS@       the table of agent/base/status.c, with where each error leads in convenectl
#   @INTERFACES@   the interfaces of dbus/interfaces, with their comments
#
# usage: generate.py SOURCE_ROOT VERSION INPUT OUTPUT

import pathlib
import re
import sys
import textwrap
import xml.dom.minidom

INTERFACES = ["Tree", "Watches", "Sessions", "Session", "Locks", "Lock", "Election", "Leases", "Counters",
              "Barriers", "Groups", "Group", "Queues", "Singletons", "Ensemble", "Member", "Agent", "Statistics"]


def escape(text):
    """Plain text as roff: nothing in it is a request or an escape, and hyphens stay what they are."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("`", "\\(ga")
    return "\n".join("\\&" + line if line.startswith((".", "\\(aq")) else line for line in text.split("\n"))


def strings(text):
    """The value of adjacent C string literals."""
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"', text)
    return "".join(re.sub(r'\\(.)', r'\1', part) for part in parts)


def exit_statuses(root):
    """(number, name, sentence) of dbus/ctl/exit-status.c."""
    header = (root / "dbus/ctl/exit-status.h").read_text()
    numbers = dict(re.findall(r"(EXIT_STATUS_\w+) = (\d+),", header))
    source = (root / "dbus/ctl/exit-status.c").read_text()
    rows = re.findall(r'\[(EXIT_STATUS_\w+)\] = \{ "([^"]*)",\s*((?:"(?:[^"\\]|\\.)*"\s*)+)\}', source)
    if len(rows) != len(numbers):
        sys.exit("generate.py: exit-status.c and exit-status.h do not match")
    return [(int(numbers[key]), name, strings(text)) for key, name, text in rows]


def exit_of_status(root):
    """{"CONVENE_NO_NODE": 3, ...}, from the switch of exit_status_from_status()."""
    header = (root / "dbus/ctl/exit-status.h").read_text()
    numbers = dict(re.findall(r"(EXIT_STATUS_\w+) = (\d+),", header))
    source = (root / "dbus/ctl/exit-status.c").read_text()
    found = {}
    for labels, key in re.findall(r"((?:\s+case CONVENE_\w+:)+)\s+return (EXIT_STATUS_\w+);", source):
        for label in re.findall(r"CONVENE_\w+", labels):
            found[label] = int(numbers[key])
    return found


def statuses(root):
    """(constant, number, name, sentence) of agent/base/status.c."""
    header = (root / "agent/base/status.h").read_text()
    numbers = dict(re.findall(r"(CONVENE_\w+) = (-?\d+),", header))
    source = (root / "agent/base/status.c").read_text()
    table = source[source.index("table[] = {"):source.index("};")]
    rows = re.findall(r'\{ (CONVENE_\w+), "(\w+)",\s*((?:"(?:[^"\\]|\\.)*"\s*)+)\}', table)
    if len(rows) != len(numbers):
        sys.exit("generate.py: status.c and status.h do not match")
    return [(key, int(numbers[key]), name, strings(text)) for key, name, text in rows]


def exit_status_text(root):
    lines = []
    for number, name, text in exit_statuses(root):
        lines += [".TP", f".B {number}", escape(text)]
    return "\n".join(lines)


def errors_text(root):
    exits = exit_of_status(root)
    lines = []
    for key, number, name, text in statuses(root):
        if key == "CONVENE_OK":
            continue
        lines += [".TP", f".BR {name} \" ({escape(str(number))}, exit status {exits[key]})\"",
                  escape(text[0].upper() + text[1:] + ".")]
    return "\n".join(lines)


def paragraphs(comment):
    """A comment as roff: what is set in further than the rest keeps its lines, the rest is filled."""
    first, *rest = comment.split("\n")
    lines = [first.strip()] + textwrap.dedent("\n".join(rest)).split("\n")

    out = []
    literal = False
    for line in lines:
        deep = line.startswith("  ") if line.strip() else literal
        if deep != literal:
            out.append(".RS 4\n.nf" if deep else ".fi\n.RE")
            literal = deep
        out.append(escape(line[2:] if deep else line.strip()) if line.strip() else ".sp")
    # an empty line at an end is none
    while out and out[-1] == ".sp":
        out.pop()
    while out and out[0] == ".sp":
        out.pop(0)
    if literal:
        out.append(".fi\n.RE")
    return "\n".join(out)


def documented(parent):
    """(element, comment) for the children of an element; the comment is the one right before it."""
    comment = None
    for node in parent.childNodes:
        if node.nodeType == node.COMMENT_NODE:
            comment = node.data
        elif node.nodeType == node.ELEMENT_NODE:
            if node.tagName in ("method", "signal", "property") and comment is None:
                sys.exit(f"generate.py: {node.getAttribute('name')} has no comment")
            yield node, comment
            comment = None


def arguments(element, direction):
    found = [arg for arg in element.getElementsByTagName("arg")
             if (arg.getAttribute("direction") or "out") == direction]
    return ", ".join(f"\\fB{arg.getAttribute('type')}\\fP \\fI{escape(arg.getAttribute('name'))}\\fP" for arg in found)


def head_of(element):
    name = escape(element.getAttribute("name"))
    if element.tagName == "property":
        return f"\\fI{name}\\fP: property, \\fB{element.getAttribute('type')}\\fP"
    if element.tagName == "signal":
        return f"\\fI{name}\\fP({arguments(element, 'out')}): signal"
    returns = arguments(element, "out")
    return f"\\fI{name}\\fP({arguments(element, 'in')})" + (f" \\(-> {returns}" if returns else "")


def interface_text(root, short):
    name = f"org.convene1.{short}"
    document = xml.dom.minidom.parse(str(root / "dbus/interfaces" / f"{name}.xml"))
    comments = [node.data for node in document.childNodes if node.nodeType == node.COMMENT_NODE]
    about = [comment for comment in comments if "SPDX" not in comment]
    interface = document.getElementsByTagName("interface")[0]

    if not about:
        sys.exit(f"generate.py: {name} has no comment")
    out = [f".SH INTERFACE {escape(name)}", paragraphs(about[-1])]
    for element, comment in documented(interface):
        if element.tagName in ("method", "signal", "property"):
            out += [".TP", head_of(element), paragraphs(comment)]
    return "\n".join(out)


def interfaces_text(root):
    present = sorted(path.stem.split(".")[-1] for path in (root / "dbus/interfaces").glob("*.xml"))
    if present != sorted(INTERFACES):
        sys.exit(f"generate.py: interfaces are {present}, the manual page has {sorted(INTERFACES)}")
    return "\n".join(interface_text(root, short) for short in INTERFACES)


def main():
    root, version, source, target = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
    text = pathlib.Path(source).read_text()
    fillers = {"@VERSION@": lambda: version, "@EXIT_STATUS@": lambda: exit_status_text(root),
               "@ERRORS@": lambda: errors_text(root), "@INTERFACES@": lambda: interfaces_text(root)}
    for key, filler in fillers.items():
        if key in text:
            text = text.replace(key, filler())
    pathlib.Path(target).write_text(text)


if __name__ == "__main__":
    main()
