#!/usr/bin/python3
"""The system calls that each role makes behind its walls, beside the list of those it may make (src/loop/sandbox_calls.def).

usage: syscalls.py --mailroom PROGRAM [--also COMMAND]... [--keep DIR]      (as root; needs strace)

Runs load.py, and each COMMAND (for which MAILROOM names a program that is recorded: pytest test/e2e, test/crash/crash.py ...), under strace, and reads from
the records what each role did after its filter stood. Prints for every role what is allowed, seen and never seen. What is never seen has to have a reason
beside it in the list, "unseen: ...", or it is too much: that fails. So does a call that is not in the list, a role ended by the filter (SIGSYS), and a call
given a reason though it is seen. Prints "N passed, N failed", one for each role and call."""
import argparse
import collections
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

import plant

DEF = os.path.join(plant.ROOT, 'src/loop/sandbox_calls.def')
ROLES = ('mx', 'user', 'auth', 'keys', 'store', 'dns', 'relay', 'fetch')
GROUPS = {'IN_' + r.upper(): {r} for r in ROLES}
GROUPS.update(IN_ALL=set(ROLES), IN_NET={'mx', 'user'}, IN_OUT={'dns', 'relay', 'fetch'}, IN_FILES={'auth', 'store'}, IN_THREADS=set())
# what strace calls otherwise
ALIASES = {'IPPROTO_TCP': 'SOL_TCP', 'IPPROTO_IP': 'SOL_IP', 'IPPROTO_IPV6': 'SOL_IPV6'}

Entry = collections.namedtuple('Entry', 'roles call words answer reason line')


def roles_of(text):
    """IN_ALL & ~IN_FILES, IN_MX | IN_USER, ..."""
    text = re.sub(r'~\s*(IN_\w+)', r'(IN_ALL - \1)', text)
    return eval(re.sub(r'IN_[A-Z]+', lambda m: 'GROUPS["%s"]' % m[0], text), {'GROUPS': GROUPS})


def read_list(path=DEF):
    """the entries, without those for a sanitizer's build"""
    entries = []
    skipping = False
    for number, line in enumerate(open(path), 1):
        if line.startswith('#if'):
            skipping = 'SANITIZER' in line
        elif line.startswith('#endif'):
            skipping = False
        m = re.match(r'(CALL|CALL_1|CALL_2|CALL_3|ANSWER|ANSWER_1)\((.*?), (\w+)((?:, .*?)?)\)\s*(?:/\*\s*(.*?)\s*\*/)?\s*$', line)
        if skipping or not m:
            continue
        kind, roles, call, args, comment = m.groups()
        values = [a.strip() for a in args.split(',') if a.strip()]
        # arg, mask, value (and again): where the value is a name, strace shows it
        words = [values[i] for i in range(2, len(values), 3) if re.fullmatch(r'[A-Z][A-Z0-9_]+', values[i]) and not kind.startswith('ANSWER')]
        words = [ALIASES.get(w, w) if call == 'setsockopt' else w for w in words]
        reason = re.search(r'unseen: (.*)', comment or '')
        entries.append(Entry(roles_of(roles), call, words, kind.startswith('ANSWER'), reason[1] if reason else None, number))
    return entries


# ---- recording

WRAPPER = """#!/bin/bash
# runs the program; what serves is recorded, under the same process id
case "$1" in
serve|role) exec strace -D -f -ff -qq -s 64 -o "{out}/$1.$$" -- {program} "$@" ;;
*) exec {program} "$@" ;;
esac
"""


def recorder(program, out):
    path = os.path.join(out, 'mailroom')
    with open(path, 'w') as f:
        f.write(WRAPPER.format(out=out, program=os.path.abspath(program)))
    os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return path


def read_record(path, seen, trouble):
    """one process: which role it became, and what it called once the filter stood"""
    role, inside = None, False
    with open(path, errors='replace') as f:
        for line in f:
            if not inside:
                m = re.match(r'execve\(.*"role", "(\w+)"', line)
                if m:
                    role = m[1]
                elif role and re.match(r'seccomp\(SECCOMP_SET_MODE_FILTER.* = 0$', line):
                    inside = True
                continue
            m = re.match(r'(\w+)\((.*)', line)
            if m:
                seen[role].setdefault(m[1], set()).add(m[2][:160])
            elif 'SIGSYS' in line:
                trouble.append('%s was ended by its filter: %s' % (role, line.strip()))
    return role if inside else None


def read_records(out):
    seen, trouble, processes = {r: {} for r in ROLES}, [], collections.Counter()
    for name in os.listdir(out):
        if re.search(r'\.\d+$', name):
            processes[read_record(os.path.join(out, name), seen, trouble)] += 1
    return seen, trouble, processes


# ---- comparing

def entry_seen(entry, calls):
    lines = calls.get(entry.call, ())
    return any(all(re.search(r'\b%s\b' % w, line) for w in entry.words) for line in lines)


def show(entry):
    return ' '.join([entry.call] + entry.words)


def compare(entries, seen, trouble):
    passed, failed = 0, len(trouble)
    for words in sorted(set(trouble)):
        print('FAILED: %s' % words)
    for role in ROLES:
        mine = [e for e in entries if role in e.roles]
        there = [e for e in mine if entry_seen(e, seen[role])]
        unseen = [e for e in mine if e not in there]
        unknown = sorted(set(seen[role]) - {e.call for e in mine})
        bare = [e for e in unseen if not e.reason]
        print('%-5s %3d allowed, %3d seen, %3d never seen with a reason, %d without, %d not in the list' % (role, len(mine), len(there), len(unseen) - len(bare),
                                                                                                         len(bare), len(unknown)))
        print('      seen: %s' % ', '.join(show(e) for e in there))
        for e in unseen:
            print('      never seen: %-28s %s' % (show(e), e.reason or 'NO REASON GIVEN (line %d)' % e.line))
        for call in unknown:
            print('      NOT IN THE LIST: %s(%s' % (call, sorted(seen[role][call])[0]))
        passed += len(mine) - len(bare)
        failed += len(bare) + len(unknown)
    for e in entries:
        if e.reason and e.roles and all(entry_seen(e, seen[r]) for r in e.roles):
            print('FAILED: %s has a reason for not being seen (line %d), and is seen in every role' % (show(e), e.line))
            failed += 1
    return passed, failed


def selftest(entries, seen):
    """a list with one call more, and one with one call less, must both be found wrong"""
    more = compare_quiet(entries + [Entry({'keys'}, 'ptrace', [], False, None, 0)], seen)
    less = compare_quiet([e for e in entries if e.call != 'epoll_wait'], seen)
    good = more > 0 and less > 0
    print('selftest: a call too many %s, a call too few %s' % ('is found' if more else 'is NOT FOUND', 'is found' if less else 'is NOT FOUND'))
    return good


def compare_quiet(entries, seen):
    out, sys.stdout = sys.stdout, open(os.devnull, 'w')
    try:
        return compare(entries, seen, [])[1]
    finally:
        sys.stdout = out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--mailroom', required=True)
    ap.add_argument('--also', action='append', default=[])
    ap.add_argument('--keep')
    args = ap.parse_args()
    if not shutil.which('strace'):
        sys.exit('syscalls.py needs strace (apt-get install strace)')
    out = args.keep or tempfile.mkdtemp(prefix='mailroom-calls.')
    os.makedirs(out, exist_ok=True)
    os.chmod(out, 0o755)
    os.environ['MAILROOM'] = recorder(args.mailroom, out)
    failed_commands = 0
    print('load:')
    import load
    load.everything()
    for command in args.also:
        print('also: %s' % command, flush=True)
        status = subprocess.run(command, shell=True, cwd=plant.ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        print('   ' + '\n   '.join(status.stdout.strip().splitlines()[-3:]))
        failed_commands += status.returncode != 0
    seen, trouble, processes = read_records(out)
    print('recorded: %s' % ', '.join('%d %s' % (processes[r], r) for r in ROLES))
    entries = read_list()
    passed, failed = compare(entries, seen, trouble)
    good = selftest(entries, seen)
    if not args.keep:
        shutil.rmtree(out)
    return plant.counted(passed + good, failed + (not good) + failed_commands)


if __name__ == '__main__':
    sys.exit(main())
