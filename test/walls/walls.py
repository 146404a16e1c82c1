#!/usr/bin/python3
"""All that test/walls has, one after the other; ends with "N passed, N failed".

usage: walls.py --build DIR [--hostile-build DIR] [--seeds N] [--quick]          (as root)

  sandbox    each role tries from inside what its walls forbid (test/unit/loop/test_sandbox.c)
  hostile    a worker that has been taken over, against store, auth and keys (hostile.py)
  memory     no password, hash, key or text stays in the memory of a role that has no business with it (memory.py)
  syscalls   the system calls of each role beside its list (syscalls.py); without --quick also over the end-to-end tests
--hostile-build: where the first two come from, so that they can be a sanitized build while the others, which a sanitizer's runtime would disturb, are not."""
import argparse
import os
import re
import subprocess
import sys
import time

PYTHON = '/usr/bin/python3'
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(ROOT, 'test/walls')


def run(name, command, counts, environment=None):
    print('-- %s' % name, flush=True)
    t = time.monotonic()
    p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, errors='replace', cwd=ROOT, env=environment)
    ok = bad = 0
    for line in p.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        m = re.match(counts, line)
        if m:
            ok, bad = int(m[1]), int(m[2]) if m.lastindex > 1 else 0
    if p.wait() != 0 or not ok:
        bad = max(bad, 1)
    return '%-9s %5d passed %3d failed  %4.0f s' % (name, ok, bad, time.monotonic() - t), ok, bad


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--build', required=True)
    ap.add_argument('--hostile-build')
    ap.add_argument('--seeds', type=int, default=200)
    ap.add_argument('--quick', action='store_true')
    args = ap.parse_args()
    build = os.path.abspath(args.build)
    other = os.path.abspath(args.hostile_build or args.build)
    program = build + '/src/cli/mailroom'
    ours = r'(\d+) passed, (\d+) failed'
    quick = ['--quick'] if args.quick else []
    also = [] if args.quick else ['--also', PYTHON + ' -m pytest -q -p no:cacheprovider --ignore=test/e2e/test_docs.py test/e2e']
    results = [
        run('sandbox', [other + '/test/unit/loop/test-sandbox', other + '/test/unit/loop/sandbox-try'], r'\[  PASSED  \] (\d+) test'),
        run('hostile', [PYTHON, HERE + '/hostile.py', '--mailroom', other + '/src/cli/mailroom', '--hostile', other + '/test/walls/hostile',
                        '--seeds', str(args.seeds)], ours),
        run('memory', [PYTHON, HERE + '/memory.py', '--mailroom', program] + quick, ours),
        run('syscalls', [PYTHON, HERE + '/syscalls.py', '--mailroom', program] + also, ours),
    ]
    print('-- summary')
    print('\n'.join(r[0] for r in results))
    passed, failed = sum(r[1] for r in results), sum(r[2] for r in results)
    print('%d passed, %d failed' % (passed, failed))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
