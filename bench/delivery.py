"""Mail that leaves: how fast a queue empties into one smtp-sink, beside Postfix; and whether destinations that are down hold up the others. Part of bench.py."""
import contextlib
import os
import re
import shutil
import signal
import sqlite3
import statistics
import subprocess
import time

import mailroom
from bench import HERE, cpu

LIMITS = 'limits {\n\trecipients = 20000\n\ttransactions = 1000000\n\tidle-commands = 100000\n}\nhistory {\n\tdays = 0\n}\n'
NETWORK = 'network "bench" {\n\taddresses = "127.0.0.0/8"\n\tmessages = ""\n\trecipients = ""\n}\n'


class Sink:
    """an smtp-sink that can be down: it is only there while it runs"""

    def __init__(self, pf_dir, port):
        self.args, self.process = [os.path.join(HERE, 'smtpsink.sh'), pf_dir, str(port)], None

    def up(self):
        self.process = subprocess.Popen(self.args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.5)

    def down(self):
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self.process = None


class Mailroom:
    def __init__(self, home, sink, extra=''):
        shutil.rmtree(home, ignore_errors=True)
        os.makedirs(home)
        self.m = mailroom.System(home=home, accounts=(), start=False)
        self.m.write_conf(LIMITS + NETWORK + 'workers {\n\trelay = 1\n}\nroute "sink" {\n\tdomains = "relay.test"\n\tto = "127.0.0.1:%d"\n\ttls = never\n}\n' % sink + extra)
        path = os.path.join(home, 'mailroom.conf')
        with open(path) as f:
            text = f.read()
        with open(path, 'w') as f:  # the mx listener relays for this machine
            f.write(re.sub(r'(listener "mx" \{\n)', r'\1\trelay-networks = "bench"\n\tconnections = 10000\n\tconnections-per-address = 10000\n', text))
        self.m.start()
        self.pid, self.port = self.m.process.pid, self.m.port['mx']
        self.db = sqlite3.connect('file:%s/store/mail.db?mode=ro' % home, uri=True, timeout=30)

    def left(self):
        return self.db.execute('SELECT count(*) FROM queue WHERE dest = ?', ('relay.test',)).fetchone()[0]

    def flush(self):
        self.m.run('queue', 'flush')

    def close(self):
        self.db.close()
        self.m.close()


class Postfix:
    def __init__(self, pf_dir, sink):
        self.dir = pf_dir
        self.port, = mailroom.free_ports(1)
        for name in ('active', 'deferred', 'incoming', 'defer'):
            shutil.rmtree(os.path.join(pf_dir, 'spool', name), ignore_errors=True)
        self.env = dict(os.environ, LD_LIBRARY_PATH='%s/pkg/usr/lib/postfix:%s/pkg/usr/lib/x86_64-linux-gnu' % (pf_dir, pf_dir), MAIL_CONFIG=os.path.join(pf_dir, 'etc'))
        self.pid = int(subprocess.run([os.path.join(HERE, 'postfix.sh'), pf_dir, str(self.port), 'start', str(sink)], stdout=subprocess.PIPE, text=True, check=True).stdout)

    def left(self):
        return sum(len(files) for name in ('active', 'deferred', 'incoming') for _, _, files in os.walk(os.path.join(self.dir, 'spool', name)))

    def flush(self):
        subprocess.run([os.path.join(self.dir, 'pkg/usr/sbin/postqueue'), '-f'], env=self.env, check=True)

    def close(self):
        subprocess.run([os.path.join(HERE, 'postfix.sh'), self.dir, str(self.port), 'stop'], check=False)
        time.sleep(1)


def wait_for(what, limit):
    end = time.monotonic() + limit
    while not what():
        if time.monotonic() > end:
            raise RuntimeError('not within %d s' % limit)
        time.sleep(0.02)


def drain(b, server, sink, count, size):
    """(seconds, CPU seconds) from the order to try again until nothing is left, of a queue that waited for a server that was down"""
    sink.down()
    r = b.load(server.port, 20, count, size, 'r%d@relay.test', users=count)
    assert r['refused'] == 0 and r['broken'] == 0, r
    time.sleep(3)  # each has been tried, or put off with its destination
    assert server.left() == count, server.left()
    sink.up()
    used, began = cpu(server.pid), time.monotonic()
    server.flush()
    wait_for(lambda: server.left() == 0, 600)
    took = time.monotonic() - began
    time.sleep(0.5)
    sink.down()
    return took, cpu(server.pid) - used


def through(b, server, sink, count, size):
    """seconds from the first message in until the last one is out"""
    sink.up()
    time.sleep(2)
    used, began = cpu(server.pid), time.monotonic()
    r = b.load(server.port, 20, count, size, 'r%d@relay.test', users=count)
    assert r['refused'] == 0 and r['broken'] == 0, r
    wait_for(lambda: server.left() == 0, 600)
    took = time.monotonic() - began
    time.sleep(0.5)
    sink.down()
    return took, cpu(server.pid) - used


def medians(measure, runs=3):
    """of each figure that it returns: one run alone says more of the machine than of the server"""
    return tuple(statistics.median(column) for column in zip(*(measure() for _ in range(runs))))


def beside_postfix(b, where, count=10000, size=10240):
    port, = mailroom.free_ports(1)
    pf_dir, results = os.path.join(where, 'postfix'), {}
    sink = Sink(pf_dir, port)  # Postfix first: it unpacks smtp-sink, too
    try:
        for name, make in (('postfix', lambda: Postfix(pf_dir, port)), ('mailroom', lambda: Mailroom(os.path.join(where, 'home-out'), port))):
            with contextlib.closing(make()) as server:
                results[name] = medians(lambda: drain(b, server, sink, count, size)), medians(lambda: through(b, server, sink, count, size))
            print('%-10s %d messages: a queue that waited is empty after %.2f s (%.2f s CPU); in and out takes %.2f s (%.2f s CPU)' % (
                (name, count) + results[name][0] + results[name][1]), flush=True)
    finally:
        sink.down()
    ours, theirs = results['mailroom'], results['postfix']
    b.figure('queue_time_vs_postfix', ours[0][0] / theirs[0][0])
    b.figure('queue_cpu_vs_postfix', ours[0][1] / theirs[0][1])
    b.figure('through_time_vs_postfix', ours[1][0] / theirs[1][0])
    b.figure('through_cpu_vs_postfix', ours[1][1] / theirs[1][1])
    b.figure('queue_per_second', count / ours[0][0])


def dead_destinations(b, where, name, schedule='', live=10000, dead=100000, destinations=1000, size=2048, runs=5):
    """the rate to a server that answers, of one system with nothing else to do and one with 100,000 messages that wait for 1,000 servers that do not answer, in
    turn: the machine is not the same from minute to minute"""
    port, = mailroom.free_ports(1)
    sink = Sink(os.path.join(where, 'postfix'), port)
    # address literals of this machine where nobody listens at that port
    conf, rates = 'delivery {\n\tport = 9\n%s}\n' % schedule, ([], [])
    try:
        with contextlib.closing(Mailroom(os.path.join(where, 'home-alone'), port, conf)) as alone, contextlib.closing(Mailroom(os.path.join(where, 'home-out'), port, conf)) as beside:
            before = time.monotonic()
            for i in range(destinations // 250):
                b.load(beside.port, 50, dead * 250 // destinations, size, 'd@[127.%d.%%d.1]' % (i + 9), users=250)
            put = time.monotonic() - before
            waiting = beside.db.execute('SELECT count(*), count(DISTINCT dest) FROM queue').fetchone()
            for i in range(runs):
                for server, found in zip((alone, beside), rates) if i % 2 else zip((beside, alone), rates[::-1]):
                    found.append(live / through(b, server, sink, live, size)[0])
    finally:
        sink.down()
    print('rate to a live server: %.0f/s alone, %.0f/s beside %d messages for %d servers that are down (put there in %.1f s)' % (
        statistics.median(rates[0]), statistics.median(rates[1]), *waiting, put), flush=True)
    b.figure(name, statistics.median(rates[1]) / statistics.median(rates[0]))
