#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# test-ctl-completion.py - what the shells offer for convenectl; see ctl_harness.py

import pathlib
import re
import shutil
import signal
import subprocess

from ctl_harness import (COMPLETION, PATIENCE, Skip, equal, good, here, main, running)


def bash_complete(line, prelude=""):
    """What bash would offer at the end of the line."""
    script = f"""
        {prelude}
        source {COMPLETION}/bash/convenectl
        COMP_LINE=$1 COMP_POINT=${{#1}} COMP_TYPE=9 COMP_KEY=9
        shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _convenectl 2>/dev/null
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    # as bash splits it: at white space, and before and after "=" and ":"
    words = []
    for word in line.split(" "):
        words += [part for part in re.split(r"([=:]+)", word) if part] or [""]
    run = subprocess.run(["bash", "--norc", "-c", script, "bash", line, *words], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, timeout=PATIENCE, check=True, text=True,
                         env={**here.environment, "PATH": f"{here.work}:{here.environment['PATH']}"})
    equal(run.stderr, "")
    return [reply for reply in run.stdout.split("\n") if reply]


def check_bash(prelude):
    good("create", "-p", "/comp/alpha/one")
    good("create", "-p", "/comp/alpine")
    good("create", "-p", "/comp/beta")
    good("create", "/comp/co:lon=")
    equal(bash_complete("convenectl chec", prelude), ["checkpoint"])
    equal(bash_complete("convenectl sessions ", prelude), ["list", "show", "close"])
    assert "--linearizable" in bash_complete("convenectl get --", prelude)
    assert "--linearizable" not in bash_complete("convenectl set --", prelude)
    equal(bash_complete("convenectl set --if-v", prelude), ["--if-version="])
    equal(bash_complete("convenectl get ", prelude), ["/"])
    equal(bash_complete("convenectl get /comp/a", prelude), ["/comp/alpha", "/comp/alpine"])
    equal(bash_complete("convenectl get /comp/alpi", prelude), ["/comp/alpine"])
    equal(bash_complete("convenectl get /comp/alpha", prelude), ["/comp/alpha", "/comp/alpha/"])
    equal(bash_complete("convenectl get /comp/alpha/", prelude), ["/comp/alpha/one"])
    equal(bash_complete("convenectl stat /comp /comp/b", prelude), ["/comp/beta"])
    equal(bash_complete("convenectl get /comp/co:l", prelude), ["lon="])
    equal(bash_complete("convenectl get /comp /x", prelude), [])
    equal(bash_complete("convenectl get /nope/", prelude), [])
    equal(bash_complete(f"convenectl --address=unix:path={here.agent.socket} get /comp/b", prelude), ["/comp/beta"])
    equal(bash_complete("convenectl --address=unix:path=/nonexistent get /comp/b", prelude), [])
    equal(bash_complete("convenectl member show ", prelude), [good("status", "--json").json["name"]])
    holder = running("create", "-e", "/comp/e")
    holder.line()
    equal(bash_complete("convenectl sessions close ", prelude), [good("sessions", "--json").json[0]["id"]])
    holder.kill(signal.SIGINT)
    holder.end()
    holder.close()
    good("delete", "-r", "/comp")


def test_completion_bash():
    check_bash("")


def test_completion_bash_with_library():
    library = pathlib.Path("/usr/share/bash-completion/bash_completion")
    if not library.exists():
        raise Skip("bash-completion is not installed")
    check_bash(f"source {library}")


def test_completion_zsh():
    if not shutil.which("zsh"):
        raise Skip("zsh is not installed")
    subprocess.run(["zsh", "-n", str(COMPLETION / "zsh/_convenectl")], check=True, timeout=PATIENCE)
    good("create", "-p", "/zsh/alpha/one")
    good("create", "/zsh/beta")

    # a real shell on a terminal of its own: type, press TAB, and let it print the line it has then
    script = f"""
        zmodload zsh/zpty
        zpty shell 'zsh -f -i'
        zpty -w shell 'PS1=; fpath=({COMPLETION}/zsh $fpath); autoload -Uz compinit; compinit -u -D; unsetopt beep'
        zpty -w shell 'show() {{ print -r -- "<<$BUFFER>>"; zle kill-whole-line }}; zle -N show; bindkey "^X^X" show'
        zpty -w shell 'print read""y'
        zpty -r shell line '*ready*'
        for word in "$@"; do
            zpty -w -n shell "$word"$'\\t'$'\\C-x\\C-x'
            zpty -r shell line '*<<*>>*'
            print -r -- "$line"
        done
        zpty -d shell
    """
    typed = {"convenectl chec": "convenectl checkpoint ", "convenectl get /zsh/b": "convenectl get /zsh/beta ",
             "convenectl sessions cl": "convenectl sessions close ",
             "convenectl set --if-v": "convenectl set --if-version=",
             "convenectl get /zsh/alpha/": "convenectl get /zsh/alpha/one "}
    run = subprocess.run(["zsh", "-f", "-c", script, "zsh", *typed], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         timeout=3 * PATIENCE,
                         env={**here.environment, "PATH": f"{here.work}:{here.environment['PATH']}", "TERM": "dumb",
                              "HOME": str(here.work)})
    shown = re.findall(r"<<(.*?)>>", run.stdout.decode(errors="replace"), re.S)
    shown = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|[\r\n]", "", line) for line in shown if "$BUFFER" not in line]
    equal(shown, list(typed.values()))


main(globals())
