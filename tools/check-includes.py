#!/usr/bin/env python3
"""Holds every #include below src against the direction in which rooms may know each other (docs/DESIGN.md, the tree).

usage: check-includes.py [--src DIR] | --selftest     exit 1 when a line offends
"""
import os
import re

import source_check

ENGINE = {"base", "cause", "mail"}
MAY = {  # besides the room itself
    "base": set(),
    "cause": {"base"},
    "loop": {"base"},
    "conf": {"base", "mail"},
    "mail": {"base", "cause"},
    "ipc": {"base", "loop"},
    "proto": ENGINE,
    "policy": ENGINE,
    "store": ENGINE,
    "answer": ENGINE | {"proto", "store"},
    "send": ENGINE | {"proto", "store"},
}
ANYTHING = {"role", "cli", ""}  # "": files right below src
ROOMS = set(MAY) | ANYTHING
INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]')


def room_of(included, here):
    """The room that an include names, or None for a header of the system. `here` is the directory of the file, below src."""
    if included.startswith("."):
        included = os.path.normpath(os.path.join(here, included))
    head, slash, _ = included.partition("/")
    return head if slash and head in ROOMS else None


def check(src):
    """Returns (offending lines, number of includes looked at)."""
    bad, seen = [], 0
    for place, _, names in sorted(os.walk(src)):
        for name in sorted(names):
            if not name.endswith((".c", ".h", ".def", ".inc")):
                continue
            path = os.path.join(place, name)
            here = os.path.relpath(place, src)
            room = "" if here == "." else here.split(os.sep)[0]
            with open(path, encoding="utf-8", errors="replace") as f:
                for number, line in enumerate(f, 1):
                    m = INCLUDE.match(line)
                    if not m:
                        continue
                    seen += 1
                    to = room_of(m.group(1), here)
                    if to is None or to == room or room in ANYTHING:
                        continue
                    if room not in MAY:
                        bad.append(f"{path}:{number}: room '{room}' is not in the table of tools/check-includes.py")
                    elif to not in MAY[room]:
                        bad.append(f"{path}:{number}: {room} may not include {to}: {line.strip()}")
    return bad, seen


def selftest():
    good = {
        "mail/a.c": '#include "mail/address.h"\n#include "base/span.h"\n#include <string.h>\n',
        "proto/smtp/a.c": '#include "proto/sasl/x.h"\n#include "cause/cause.h"\n',
        "role/a.c": '#include "store/store.h"\n#include "loop/loop.h"\n',
        "cli/a.c": '#include "role/role.h"\n',
        "main.c": '#include "cli/cli.h"\n',
    }
    planted = [
        ("base/a.c", '#include "mail/address.h"\n'),
        ("mail/a.h", '#  include "loop/loop.h"\n'),
        ("mail/a.c", '#include "../store/store.h"\n'),
        ("proto/smtp/deep/a.c", '#include "ipc/chan.h"\n'),
        ("policy/a.c", '#include <store/store.h>\n'),
        ("store/a.c", '#include "ipc/chan.h"\n'),
        ("conf/a.c", '#include "cause/cause.h"\n'),
        ("ipc/a.c", '#include "mail/address.h"\n'),
        ("answer/a.c", '#include "role/role.h"\n'),
        ("attic/a.c", '#include "base/span.h"\n'),
    ]
    return source_check.selftest(check, good, planted, "includes")


source_check.main(__doc__, check, selftest, "#include", "includes, all in direction")
