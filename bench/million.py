#!/usr/bin/python3
"""A queue of a million messages under the running server: how long it takes to start, what the queue commands take, how much memory the store takes, and how fast
new mail leaves beside it. The store is filled with queue-bench, by the store's own functions; the figures of an empty queue come first.

usage: million.py --build DIR [--messages 1000000] [--destinations 1000] [--live 10000] [--dir DIR]
DIR is a build directory (build-bench) with mailroom, queue-bench and smtp_load. smtp-sink comes from Debian's postfix package, as in bench.py. Needs root."""
import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), 'test/e2e')]

import bench  # noqa: E402
import delivery  # noqa: E402
import mailroom  # noqa: E402


def memory(m):
    """KiB of each role that it shares with nobody"""
    out = {}
    for role, pid in m.children():
        with open('/proc/%d/smaps_rollup' % pid, encoding='utf-8') as f:
            text = f.read()
        out[role] = out.get(role, 0) + sum(int(x) for x in re.findall(r'^Private_\w+:\s+(\d+)', text, re.M))
    return out


def rss(command, **more):
    """(seconds, MiB at most) of a command"""
    began = time.monotonic()
    p = subprocess.Popen(command, stdout=subprocess.PIPE, **more)
    size = 0
    while piece := p.stdout.read(1 << 16):  # none of it is kept: a child begins with the memory of its parent
        size += len(piece)
    _, status, used = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    assert p.returncode in ((0, 1) if 'why' in command else (0,)) and size, (command, p.returncode)  # 1: queue-bench left no history of it
    return time.monotonic() - began, used.ru_maxrss / 1024


def commands(m, queue_id, rcpt):
    home = ['--home', m.home]
    for title, words in (('queue list --limit 25', ['queue', 'list', '--limit', '25']), ('queue list --domain', ['queue', 'list', '--domain', rcpt.split('@')[1]]),
                         ('queue list', ['queue', 'list']), ('queue list --json', ['queue', 'list', '--json']), ('queue show', ['queue', 'show', queue_id]),
                         ('queue why', ['queue', 'why', queue_id]), ('why ADDRESS', ['why', 'alice@mailroom.test']), ('queue destinations', ['queue', 'destinations'])):
        took = rss([mailroom.program(), *words, *home])
        print('  %-24s %8.3f s %8.1f MiB' % (title, *took), flush=True)


def start(m):
    began = time.monotonic()
    m.start()
    return time.monotonic() - began


def report(b, server, sink, live, title):
    m = server.m
    m.stop()
    print('%s: start in %.2f s' % (title, start(m)), flush=True)
    rates = [live / delivery.through(b, server, sink, live, 2048)[0] for _ in range(3)]
    print('  new mail in and out: %s messages a second' % ', '.join('%.0f' % r for r in rates))
    time.sleep(5)
    print('  private memory, MiB: %s' % ', '.join('%s %.1f' % (role, kib / 1024) for role, kib in sorted(memory(m).items())))


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', required=True)
    p.add_argument('--messages', type=int, default=1000000)
    p.add_argument('--destinations', type=int, default=1000)
    p.add_argument('--live', type=int, default=10000)
    p.add_argument('--dir')
    a = p.parse_args()
    os.environ['MAILROOM'] = os.path.join(a.build, 'src/cli/mailroom')
    a.load = os.path.join(a.build, 'bench/smtp_load')
    delivery.LIMITS = delivery.LIMITS.replace('history {\n\tdays = 0\n}\n', '')
    where = a.dir or tempfile.mkdtemp(prefix='mailroom-million.', dir='/var/tmp')
    b = bench.Bench(a)
    port, = mailroom.free_ports(1)
    sink = delivery.Sink(os.path.join(where, 'postfix'), port)
    delivery.Postfix(os.path.join(where, 'postfix'), port).close()  # unpacks smtp-sink
    try:
        with contextlib.closing(delivery.Mailroom(os.path.join(where, 'home'), sink=port)) as server:
            server.m.account('alice')
            report(b, server, sink, a.live, 'empty queue')
            server.m.stop()
            subprocess.run([os.path.join(a.build, 'test/tools/queue-bench'), os.path.join(server.m.home, 'store'), 'fill', str(a.messages), str(a.destinations)], check=True)
            print('  on disk: %.0f MiB' % (sum(os.path.getsize(os.path.join(t, f)) for t, _, fs in os.walk(server.m.home) for f in fs) / 1048576))
            server.m.start()
            report(b, server, sink, a.live, '%d messages in the queue' % a.messages)
            first = json.loads(server.m.run('queue', 'list', '--limit', '1', '--json'))[0]
            commands(server.m, first['id'], first['recipient'])
    finally:
        sink.down()
        if not a.dir:
            shutil.rmtree(where, ignore_errors=True)


if __name__ == '__main__':
    main()
