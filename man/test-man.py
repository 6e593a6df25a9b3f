#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-man.py - the manual pages are clean, and every option, command, key and error has its line in them
#
# usage: test-man.py SOURCE_ROOT BUILT_PAGES CONVENECTL

import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT, PAGES, CONVENECTL = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]

failures = 0
number = 0


def result(name, missing):
    """One TAP line; `missing` is what is wrong, empty if nothing is."""
    global failures, number
    number += 1
    for line in missing:
        print(f"# {line}")
    failures += bool(missing)
    print(f"{'not ok' if missing else 'ok'} {number} - {name}", flush=True)


def skip(name, why):
    global number
    number += 1
    print(f"ok {number} - {name} # SKIP {why}", flush=True)


def plain(page):
    """A page's source without roff's escapes and font requests, as one would search it."""
    text = (PAGES / page).read_text()
    text = re.sub(r"\\f.", "", text).replace("\\-", "-").replace("\\&", "").replace("\\(aq", "'").replace("\\e", "\\")
    lines = []
    for line in text.split("\n"):
        words = re.match(r"\.(?:[BIR]{1,2}|RB|RI|BR|BI|IR|SH|SS)\s+(.*)", line)
        if words:
            # adjacent arguments of the two-font requests are set without a space
            parts = re.findall(r'"([^"]*)"|(\S+)', words.group(1))
            joined = [quoted or bare for quoted, bare in parts]
            two = re.match(r"\.(RB|RI|BR|BI|IR)\s", line)
            line = ("" if two else " ").join(joined)
        lines.append(line)
    return "\n".join(lines)


def table_strings(path, pattern):
    return re.findall(pattern, (ROOT / path).read_text())


def complete(*words):
    """What convenectl itself says may stand for the last word."""
    out = subprocess.run([CONVENECTL, "__complete", str(len(words)), "--", "convenectl", *words],
                         stdout=subprocess.PIPE, check=True, text=True,
                         env={**os.environ, "CONVENE_ADDRESS": "unix:path=/nonexistent"}).stdout
    return [line.split("\t")[0] for line in out.splitlines()]


def check_commands():
    page = plain("convenectl.1")
    commands = complete("")
    missing = [] if len(commands) > 15 else [f"convenectl names only {commands}"]
    options = set()
    for command in commands:
        if not re.search(rf"^{command}( |$)", page, re.M):
            missing.append(f"convenectl.1 has no line for {command}")
        options |= set(complete(command, "--"))
        if command in ("sessions", "presence", "singleton", "member", "lease", "counter", "barrier", "group", "queue",
                       "reboot-slot"):
            for verb in complete(command, ""):
                options |= set(complete(command, verb, "--"))
                if not re.search(rf"^{command} \[?{verb}\b", page, re.M):
                    missing.append(f"convenectl.1 has no line for {command} {verb}")
    result("every command of convenectl has its line", missing)

    missing = [] if len(options) > 25 else [f"convenectl names only {sorted(options)}"]
    for option in sorted(options):
        # a line of its own: at its start or behind the letter
        if not re.search(rf"^(-\w.*, ?)?{re.escape(option)}", page, re.M):
            missing.append(f"convenectl.1 has no line for {option}")
    declared = table_strings("dbus/ctl/options.c", r'ROW\(\w+, \w+, \w+, "([a-z-]+)"')
    missing += [f"no command takes --{name}" for name in declared if not {f"--{name}", f"--{name}="} & options]
    result("every option of convenectl has its line", missing)


def check_letters():
    page = plain("convenectl.1")
    letters = table_strings("dbus/ctl/options.c", r'ROW\(\w+, \w+, \w+, "([a-z-]+)", \'(\w)\'')
    missing = [] if len(letters) > 10 else ["the table of options is not understood"]
    missing += [f"convenectl.1 does not say that -{letter} is --{name}" for name, letter in letters
                if not re.search(rf"^-{letter}\b.*--{name}", page, re.M)]
    named = re.findall(r"^-(\w)\b.*, ?--([a-z-]+)", page, re.M)
    missing += [f"convenectl.1 has -{letter} for --{name}, convenectl has not" for letter, name in named
                if (name, letter) not in letters]
    result("the letters of the options are right", missing)


def check_convened():
    page = plain("convened.8")
    names = table_strings("agent/main/main.c", r'\{ "([a-z-]+)", 0, 0,')
    missing = [] if len(names) > 5 else ["the options of convened are not understood"]
    missing += [f"convened.8 has no line for --{name}" for name in names + ["help"]
                if not re.search(rf"^(-h, ?)?--{name}(=|$)", page, re.M)]
    named = re.findall(r"^(?:-h, ?)?--([a-z-]+)", page, re.M)
    missing += [f"convened.8 has --{name}, convened has not" for name in named if name not in names + ["help"]]
    result("every option of convened has its line", missing)

    statuses = table_strings("agent/main/agent.h", r"AGENT_EXIT_\w+ = (\d+),")
    section = page[page.index("EXIT STATUS"):page.index("SIGNALS")]
    result("every exit status of convened has its line",
           [f"convened.8 does not explain {status}" for status in statuses
            if not re.search(rf"^{status}$", section, re.M)] or ([] if statuses else ["no exit statuses found"]))


def check_conf():
    page = plain("convened.conf.5")
    keys = table_strings("agent/main/conf.c", r'\{ "([A-Z]\w+)", "([A-Z]\w+)", KEY_')
    parts = re.split(r"^\[([A-Z]+)\]$", page, flags=re.M)
    sections = dict(zip(parts[1::2], parts[2::2]))
    missing = [] if len(keys) > 10 else ["the keys of convened.conf are not understood"]
    missing += [f"convened.conf.5 has no line for [{group}] {key}=" for group, key in keys
                if not re.search(rf"^(\w+=, )?{key}=", sections.get(group.upper(), ""), re.M)]
    result("every key of convened.conf has its line", missing)


def check_presence():
    page = plain("convene.presence.5")
    keys = table_strings("agent/host/presence.c", r'\{ "([A-Z]\w+)", take_\w+,')
    missing = [] if len(keys) > 4 else ["the keys of presence files are not understood"]
    missing += [f"convene.presence.5 has no line for {key}=" for key in keys if not re.search(rf"^{key}=$", page, re.M)]
    result("every key of presence files has its line", missing)


def check_singleton():
    page = plain("convene.singleton.5")
    keys = table_strings("agent/host/singleton-file.c", r'\{ "([A-Z]\w+)", take_\w+ \}')
    missing = [] if len(keys) > 5 else ["the keys of singleton files are not understood"]
    missing += [f"convene.singleton.5 has no line for {key}=" for key in keys if not re.search(rf"^(\w+=, )?{key}=", page, re.M)]
    statuses = table_strings("units/guard.c", r"EXIT_(?:LOST|PROBLEM|PASSED|NOT_LEADING) = (\d+),")
    missing += [f"convene.singleton.5 does not explain status {status}" for status in statuses if not re.search(rf"\b{status}\b", page)]
    result("every key of singleton files and every exit status of the guard has its line", missing if len(statuses) == 4 else ["no statuses"])


def check_errors():
    page = plain("convene-errors.7")
    names = [name for name in table_strings("agent/base/status.c", r'\{ CONVENE_\w+, "(\w+)"') if name != "Ok"]
    missing = [] if len(names) > 15 else ["the table of statuses is not understood"]
    missing += [f"convene-errors.7 has no line for {name}" for name in names
                if not re.search(rf"^{name} \(-\d+, exit status \d+\)", page, re.M)]
    result("every error has its line", missing)

    page = plain("convenectl.1")
    section = page[page.index("\nEXIT STATUS\n"):page.index("\nENVIRONMENT\n")]
    count = len(table_strings("dbus/ctl/exit-status.h", r"EXIT_STATUS_\w+ = \d+,"))
    result("every exit status of convenectl has its line",
           [f"convenectl.1 does not explain {i}" for i in range(count) if not re.search(rf"^{i}$", section, re.M)]
           or ([] if count > 5 else ["no exit statuses found"]))


def check_api():
    page = plain("org.convene1.5")
    missing = []
    count = 0
    for path in sorted((ROOT / "dbus/interfaces").glob("*.xml")):
        text = re.sub(r"<!--.*?-->", "", path.read_text(), flags=re.S)
        for kind, name in re.findall(r'<(method|signal|property) name="(\w+)"', text):
            count += 1
            if not re.search(rf"^{name}[(:]", page, re.M):
                missing.append(f"org.convene1.5 has no line for {kind} {path.stem}.{name}")
    result("every member of the bus API has its line", missing or ([] if count > 30 else ["no members found"]))


def check_references():
    """SEE ALSO and the rest name only pages that exist: ours, or well-known ones."""
    ours = {path.name for path in PAGES.glob("*.[1-8]")}
    others = {"busctl(1)", "logind.conf(5)", "sd-bus(3)", "systemd-logind(8)", "systemd.service(5)", "systemd.unit(5)"}
    missing = []
    for path in sorted(PAGES.glob("*.[1-8]")):
        for name, section in re.findall(r"([\w.-]+)\((\d)\)", plain(path.name)):
            if f"{name}.{section}" not in ours and f"{name}({section})" not in others:
                missing.append(f"{path.name} names {name}({section}), which there is not")
    result("pages that are named exist", missing or ([] if len(ours) > 6 else [f"only {ours} were built"]))


def check_warnings():
    pages = sorted(path for path in PAGES.glob("*.[1-8]") if not path.read_text().startswith(".so "))
    for path in pages:
        name = f"{path.name} is set without a warning"
        if not shutil.which("man"):
            skip(name, "man is not installed")
            continue
        run = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", str(path)], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True,
                             env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "100"})
        wrong = run.stderr.splitlines()
        if run.returncode != 0 or len(run.stdout) < 500:
            wrong.append(f"man: exit status {run.returncode}, {len(run.stdout)} characters")
        if re.search(r"@[A-Z_]+@", path.read_text()):
            wrong.append("something was not filled in")
        result(name, wrong)


def main():
    for check in (check_commands, check_letters, check_convened, check_conf, check_presence, check_singleton, check_errors, check_api,
                  check_references, check_warnings):
        check()
    print(f"1..{number}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
