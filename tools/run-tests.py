#!/usr/bin/python3
"""Every test, in the order in which a failure is cheapest to understand; ends with "N passed, N failed" and status 1 when anything failed.

usage: run-tests.py [STEP ...]      steps: see STEPS below; without one all are run"""
import os
import re
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PYTHON = '/usr/bin/python3'
SANITIZED = 'build-test/src/cli/mailroom'
ENV = dict(os.environ, ASAN_OPTIONS='detect_leaks=0:abort_on_error=1:quarantine_size_mb=8', UBSAN_OPTIONS='print_stacktrace=1:halt_on_error=1', MAILROOM=os.path.join(ROOT, SANITIZED))


here = threading.local()  # .out: what the steps of this thread say, until they are over


def say(text):
    out = getattr(here, 'out', None)
    if out is not None:
        out.append(text)
        return
    sys.stdout.write(text)
    sys.stdout.flush()


def run(command, **more):
    """Runs it, lets its output through, returns (status, output)."""
    p = subprocess.Popen(command, cwd=ROOT, env=dict(ENV, **more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace', stdin=subprocess.DEVNULL)
    out = []
    for line in p.stdout:
        out.append(line)
        say(line)
    return p.wait(), ''.join(out)


def counted(result, pattern_ok, pattern_bad):
    """(passed, failed) from what a runner says at its end; a bad status counts as one failure at least."""
    status, out = result
    ok = sum(int(n) for n in re.findall(pattern_ok, out))
    bad = sum(int(n) for n in re.findall(pattern_bad, out))
    if status != 0 and bad == 0:
        bad = 1
    if status == 0 and ok == 0:
        say('nothing was tested: that counts as a failure\n')
        bad = 1
    return ok, bad


def one(command):
    status, _ = run(command)
    return (1, 0) if status == 0 else (0, 1)


def build(directory, *options, cc='gcc'):
    if not os.path.exists(os.path.join(ROOT, directory, 'build.ninja')):
        status, _ = run(['meson', 'setup', directory, *options], CC=cc)
        if status:
            return 0, 1
    return one(['ninja', '-C', directory, '--quiet'])


def checks():
    ok = bad = 0
    for script in ('check-includes.py', 'check-banned.py', 'check-catalogue.py'):
        for extra in ([], ['--selftest']):
            a, b = one([PYTHON, 'tools/' + script, *extra])
            say('%s %s: %s\n' % (script, ' '.join(extra), 'ok' if a else 'FAILED'))
            ok, bad = ok + a, bad + b
    for extra in (['--check', 'knowledge'], ['--selftest']):
        a, b = one([PYTHON, 'tools/gen-replies.py', *extra])
        ok, bad = ok + a, bad + b
    return ok, bad


def unit():
    result = run(['meson', 'test', '-C', 'build-test', '--no-rebuild', '--print-errorlogs', '--num-processes', '2', '--timeout-multiplier', '3'])
    return counted(result, r'(?m)^Ok:\s+(\d+)', r'(?m)^(?:Fail|Timeout|Unexpected Pass):\s+(\d+)')


def pytest():
    # most of them wait for something most of the time
    result = run([PYTHON, '-m', 'pytest', '-q', '--durations=15', '-n', '5', '--dist', 'loadfile', 'test/e2e'])
    return counted(result, r'(\d+) passed', r'(\d+) (?:failed|error)')


def crash():
    result = run([PYTHON, 'test/crash/crash.py', '--mailroom', SANITIZED, '--rounds', '50'])
    return counted(result, r'(?m)^(\d+) passed', r'(?m)^\d+ passed, (\d+) failed')


def fresh():
    result = run([PYTHON, '-m', 'pytest', '-q', 'test/e2e/test_fresh.py'], MAILROOM_FRESH='1')
    return counted(result, r'(\d+) passed', r'(\d+) (?:failed|error)')


def agree():
    result = run([PYTHON, 'test/agree/agree.py', '--mailroom', SANITIZED, '--cases', '3000', '--changes', '60'])
    return counted(result, r'(?m)^(\d+) passed', r'(?m)^\d+ passed, (\d+) failed')


def attack():
    ok = bad = 0
    for script in ('attacks.py', 'floods.py'):
        result = run([PYTHON, 'test/attack/' + script, '--mailroom', SANITIZED, '--quick'])
        a, b = counted(result, r'(?m)^(\d+) passed', r'(?m)^\d+ passed, (\d+) failed')
        ok, bad = ok + a, bad + b
    return ok, bad


def walls():
    """hostile workers on the sanitized build; memory and system calls on a plain one, as a sanitizer's runtime has its own of both"""
    if build('build-clang', cc='clang')[1]:
        return 0, 1
    result = run([PYTHON, 'test/walls/walls.py', '--build', 'build-clang', '--hostile-build', 'build-test', '--seeds', '10', '--quick'])
    return counted((result[0], result[1].rstrip().splitlines()[-1]), r'(\d+) passed', r'\d+ passed, (\d+) failed')


STEPS = {
    'build': lambda: build('build-test', '-Db_sanitize=address,undefined', '-Db_lundef=false', '--buildtype=debugoptimized'),
    'clang': lambda: build('build-clang', cc='clang'),
    'checks': checks,
    'unit': unit,
    'e2e': pytest,
    'agree': agree,
    'attack': attack,
    'walls': walls,
    'crash': crash,
    'fresh': fresh,
}


# these wait more than they work: what one line holds runs beside the other lines
BESIDE = [['agree', 'attack'], ['walls']]


def rows(names):
    """[[[step, ...] beside the next, ...] one after the other, ...]"""
    out = []
    beside = [step for line in BESIDE for step in line]
    for name in names:
        if name not in beside:
            out.append([[name]])
        elif not any(line[0][0] in beside for line in out):
            out.append([[n for n in line if n in names] for line in BESIDE if set(line) & set(names)])
    return out


def step(name, summary):
    say('== %s\n' % name)
    t = time.monotonic()
    ok, bad = STEPS[name]()
    summary.append((name, ok, bad, time.monotonic() - t))


def line(names, summary):
    here.out = []
    try:
        for name in names:
            try:
                step(name, summary)
            except Exception as e:  # the other lines are told of it at the end, as a failure
                say('%s: %r\n' % (name, e))
                summary.append((name, 0, 1, 0))
    finally:
        text, here.out = ''.join(here.out), None
        say(text)


def main():
    names = sys.argv[1:] or list(STEPS)
    for name in names:
        if name not in STEPS:
            sys.exit('no such step: %s; there are: %s' % (name, ' '.join(STEPS)))
    summary = []
    for row in rows(names):
        if len(row) == 1:
            for name in row[0]:
                step(name, summary)
        else:
            threads = [threading.Thread(target=line, args=(one_line, summary)) for one_line in row]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        if any(name == 'build' and bad for name, _, bad, _ in summary):
            break
    print('== summary')
    for row in summary:
        print('%-8s %5d passed %3d failed  %4.0f s' % row)
    ok, bad = sum(row[1] for row in summary), sum(row[2] for row in summary)
    print('%d passed, %d failed' % (ok, bad))
    return 1 if bad or not ok else 0


if __name__ == '__main__':
    sys.exit(main())
