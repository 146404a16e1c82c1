#!/usr/bin/python3
"""mailroom beside Postfix and smtp-sink, in one run, alternating; prints a table, the machine's noise, and one line `figure NAME VALUE` each.

usage: bench.py --mailroom PROGRAM --load SMTP_LOAD [--beside PROGRAM] [--dir DIR] [--repeats N] [--seconds S]
"counted" is the same program with every limit counted and the history kept; "mailroom" has both off; "beside" is another build, such as of an older commit.
Postfix and smtp-sink come from Debian's package, unpacked into DIR (default: a folder below /var/tmp). Everything listens on loopback. Needs root."""
import argparse
import contextlib
import json
import os
import poplib
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'test/e2e'))
NO_VERIFY = ssl._create_unverified_context()
TICK = os.sysconf('SC_CLK_TCK')


def descendants(root):
    """pids of root and all below it"""
    parents = {}
    for d in os.listdir('/proc'):
        if d.isdigit():
            try:
                parents[int(d)] = int(open('/proc/%s/stat' % d).read().rsplit(')', 1)[1].split()[1])
            except (OSError, IndexError):
                pass
    out, grown = {root}, True
    while grown:
        more = {p for p, pp in parents.items() if pp in out and p not in out}
        grown = bool(more)
        out |= more
    return out


def cpu(root):
    """CPU seconds of root and its descendants, those that have ended and were waited for included"""
    total = 0
    for pid in descendants(root):
        try:
            f = open('/proc/%d/stat' % pid).read().rsplit(')', 1)[1].split()
            total += sum(int(x) for x in f[11:15])
        except (OSError, IndexError):
            pass
    return total / TICK


def pss_kib(root):
    total = 0
    for pid in descendants(root):
        try:
            total += int(re.search(r'^Pss:\s+(\d+)', open('/proc/%d/smaps_rollup' % pid).read(), re.M).group(1))
        except (OSError, AttributeError):
            pass
    return total


class Bench:
    def __init__(self, a):
        self.a = a
        self.rows = []
        self.figures = {}

    def load(self, port, sessions, messages, size, rcpt='u%02d@bench.test', users=100):
        out = subprocess.run([self.a.load, '-s', str(sessions), '-m', str(messages), '-l', str(size), '-u', str(users), '-r', rcpt, '127.0.0.1:%d' % port],
                             capture_output=True, text=True, timeout=300, check=True).stdout
        return json.loads(out)

    def cell(self, targets, sessions, size):
        """the targets in turn, repeats times; the median of each"""
        guess, runs = {}, {name: [] for name in targets}
        for i in range(self.a.repeats):
            for name in list(targets)[i % len(targets):] + list(targets)[:i % len(targets)]:
                port, pid = targets[name]
                if name not in guess:
                    guess[name] = max(self.load(port, sessions, max(sessions, 50), size)['rate'], 5)
                n = int(max(guess[name] * self.a.seconds, sessions * 2))
                c = cpu(pid)
                r = self.load(port, sessions, n, size)
                time.sleep(0.3)
                r['cpu'] = (cpu(pid) - c) * 1000 / max(r['messages'], 1)
                guess[name] = max(r['rate'], 5)
                runs[name].append(r)
                if r['refused'] or r['broken']:
                    print('%s: %d refused, %d broken' % (name, r['refused'], r['broken']))
        for name, rs in runs.items():
            rates = [r['rate'] for r in rs]
            row = dict(name=name, sessions=sessions, size=size, rate=statistics.median(rates), low=min(rates), high=max(rates),
                       cpu=statistics.median(r['cpu'] for r in rs), p50=statistics.median(r['p50_ms'] for r in rs), p99=statistics.median(r['p99_ms'] for r in rs))
            self.rows.append(row)
            print('%-10s %8d %6d %9.0f %9.0f..%-9.0f %10.3f %9.2f %9.2f' % (name, size, sessions, row['rate'], row['low'], row['high'], row['cpu'], row['p50'], row['p99']), flush=True)
        return {r['name']: r for r in self.rows[-len(targets):]}

    def figure(self, name, value):
        self.figures[name] = value

    def idle(self, tls):
        """PSS growth of the whole system per idle connection, from a fresh start: a process that was busy before has memory to spare"""
        import mailroom
        with mailroom.System(listener='connections = 10000\nconnections-per-address = 10000\n', accounts=()) as m:
            time.sleep(1)
            return self.idle_of(m, tls)

    def idle_of(self, m, tls):
        want, conns = 2000, []
        port = m.port['submissions'] if tls else m.port['mx']
        for _ in range(4):
            c = self.one_idle(port, tls)
            c.close()
        time.sleep(1)
        before = pss_kib(m.process.pid)
        for _ in range(want):
            conns.append(self.one_idle(port, tls))
        time.sleep(1)
        after = pss_kib(m.process.pid)
        for c in conns:
            c.close()
        time.sleep(1)
        return (after - before) / want

    @staticmethod
    def one_idle(port, tls):
        s = socket.create_connection(('127.0.0.1', port), timeout=20)
        if tls:
            s = NO_VERIFY.wrap_socket(s)
        text = b''
        while b'\r\n' not in text:
            text += s.recv(1000)
        s.sendall(b'EHLO idle.test\r\n')
        while not re.search(rb'(?m)^250 ', text):
            text += s.recv(4000)
        return s

    def many_recipients(self, m):
        """microseconds a recipient for 1,000 and 10,000 in one transaction: about the same when nothing is quadratic"""
        out = {}
        for n in (1000, 10000):
            with __import__('mailroom').Wire(m.port['mx'], timeout=120) as w:
                w.ask('EHLO many.test')
                w.ask('MAIL FROM:<a@b.example>')
                t = time.monotonic()
                w.send(''.join('RCPT TO:<u%02d+%d@bench.test>\r\n' % (i % 100, i) for i in range(n)))
                for _ in range(n):
                    r = w.reply()
                    assert r.startswith('250'), r
                w.ask('DATA')
                r = w.ask('Message-ID: <many%d@test>\r\n\r\nx\r\n.' % n)
                assert r.startswith('250'), r
                out[n] = (time.monotonic() - t) * 1e6 / n
        return out

    def big_mailbox(self, m, count):
        """fills a mailbox with `count` messages, then signs in, lists, fetches the last, deletes all; seconds for each"""
        self.load(m.port['mx'], 50, count, 300, 'big@bench.test')
        out, p = {}, None
        t = time.monotonic()
        poplib._MAXLINE = 1 << 20
        p = poplib.POP3_SSL('127.0.0.1', m.port['pop3s'], context=NO_VERIFY, timeout=120)
        p.user('big@bench.test')
        p.pass_(m.password['big@bench.test'])
        out['login'] = time.monotonic() - t
        t = time.monotonic()
        n = len(p.list()[1])
        assert n >= count, n
        p.uidl()
        out['list'] = time.monotonic() - t
        t = time.monotonic()
        p.retr(n)
        out['retr'] = time.monotonic() - t
        t = time.monotonic()
        for at in range(1, n + 1, 1000):
            last = min(at + 999, n)
            p.sock.sendall(b''.join(b'DELE %d\r\n' % i for i in range(at, last + 1)))
            for _ in range(at, last + 1):
                p._getresp()
        p.quit()
        out['delete'] = time.monotonic() - t
        return out


def fsync_ms(where):
    """one write + fdatasync, the median of 200: what a single durable message costs at least"""
    path = os.path.join(where, 'fsync-probe')
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    took = []
    for _ in range(200):
        t = time.monotonic()
        os.write(fd, b'x' * 4096)
        os.fdatasync(fd)
        took.append(time.monotonic() - t)
    os.close(fd)
    os.unlink(path)
    return statistics.median(took) * 1000


def noise_percent():
    """the same bit of work 20 times: how much slower the slowest was than the fastest"""
    took = []
    for _ in range(20):
        t = time.process_time(), time.monotonic()
        sum(i * i for i in range(300000))
        took.append(time.monotonic() - t[1])
    return (max(took) / min(took) - 1) * 100


OFF = 'history {\n\tdays = 0\n}\n'
# counted, and never reached
ON = ('rates {\n\taddress-messages = "100000000/10s 100000000/min 100000000/h 100000000/day"\n\taddress-recipients = "100000000/min 100000000/h 100000000/day"\n'
      '\tmailbox-messages = "100000000/min 100000000/h 100000000/day"\n\taddress-connections = "100000000/min"\n\taddress-helo-floods = "100000000/min"\n}\n')


def system_of(program, conf, home):
    """a running mailroom of that program with the accounts of this benchmark"""
    import mailroom
    before, os.environ['MAILROOM'] = os.environ['MAILROOM'], os.path.abspath(program)
    shutil.rmtree(home, ignore_errors=True)
    os.makedirs(home)
    m = mailroom.System(conf, home=home, accounts=(), start=False, listener='connections = 10000\nconnections-per-address = 10000\n')
    if program != before and 'rates' not in m.run('check', '--print-sample'):  # from before there were limits
        path = os.path.join(home, 'mailroom.conf')
        with open(path) as f:
            text = re.sub(r'(?s)(?:rates|history) \{.*?\}\n', '', f.read())
        with open(path, 'w') as f:
            f.write(text)
    m.run('domain', 'add', 'bench.test')
    for i in range(100):
        m.account('u%02d@bench.test' % i, 'secret')
    m.account('big@bench.test', 'secret')
    m.start()
    os.environ['MAILROOM'] = before
    return m


def accepting(b, a):
    import mailroom
    pf_dir = os.path.join(a.dir, 'postfix')
    home = os.path.join(a.dir, 'home')
    pf_port, sink_port = mailroom.free_ports(2)
    pf_pid = int(subprocess.run([os.path.join(HERE, 'postfix.sh'), pf_dir, str(pf_port), 'start'], stdout=subprocess.PIPE, text=True, check=True).stdout)
    sink = subprocess.Popen([os.path.join(HERE, 'smtpsink.sh'), pf_dir, str(sink_port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    limits = 'limits {\n\trecipients = 20000\n\ttransactions = 1000000\n\tidle-commands = 100000\n}\n'
    try:
        with contextlib.ExitStack() as stack:
            m = stack.enter_context(system_of(a.mailroom, limits + OFF, home))
            counted = stack.enter_context(system_of(a.mailroom, limits + ON, home + '-counted'))
            time.sleep(1)
            targets = {'mailroom': (m.port['mx'], m.process.pid), 'counted': (counted.port['mx'], counted.process.pid), 'postfix': (pf_port, pf_pid),
                       'sink': (sink_port, sink.pid)}
            if a.beside:
                older = stack.enter_context(system_of(a.beside, limits + OFF, home + '-beside'))
                targets['beside'] = (older.port['mx'], older.process.pid)
            print('noise of the machine: %.0f %% before; one fdatasync %.2f ms' % (noise_percent(), fsync_ms(a.dir)))
            print('%-10s %8s %6s %9s %20s %10s %9s %9s' % ('server', 'bytes', 'conns', 'msg/s', 'lowest..highest', 'cpu/1000', 'p50 ms', 'p99 ms'))
            many = b.cell(targets, 100, 10240)
            one = b.cell(targets, 1, 10240)
            b.cell(targets, 20, 1024)
            b.cell(targets, 20, 102400)
            b.figure('accept_vs_postfix', many['mailroom']['rate'] / many['postfix']['rate'])
            b.figure('accept_vs_sink', many['mailroom']['rate'] / many['sink']['rate'])
            b.figure('cpu_vs_postfix', many['mailroom']['cpu'] / many['postfix']['cpu'])
            b.figure('cpu_counted_vs_not', many['counted']['cpu'] / many['mailroom']['cpu'])
            b.figure('accept_counted_vs_not', many['counted']['rate'] / many['mailroom']['rate'])
            if a.beside:
                b.figure('cpu_vs_beside', many['mailroom']['cpu'] / many['beside']['cpu'])
                b.figure('accept_vs_beside', many['mailroom']['rate'] / many['beside']['rate'])
            b.figure('single_vs_postfix', one['mailroom']['rate'] / one['postfix']['rate'])
            b.figure('accept_per_second', many['mailroom']['rate'])
            b.figure('cpu_seconds_per_1000', many['mailroom']['cpu'])
            b.figure('idle_plain_kib', b.idle(False))
            b.figure('idle_tls_kib', b.idle(True))
            r = b.many_recipients(m)
            print('recipients in one message: %.0f us each for 1,000, %.0f us each for 10,000' % (r[1000], r[10000]))
            b.figure('rcpt_10000_vs_1000', r[10000] / r[1000])
            small, large = b.big_mailbox(m, a.mailbox // 10), b.big_mailbox(m, a.mailbox)
            for step in large:
                print('POP3 mailbox, %-6s: %7.3f s for %d messages, %7.3f s for %d' % (step, small[step], a.mailbox // 10, large[step], a.mailbox))
            b.figure('pop3_100000_list_seconds', large['list'])
            b.figure('pop3_100000_delete_vs_tenth', large['delete'] / max(small['delete'], 1e-9) / 10)
            print('noise of the machine: %.0f %% after' % noise_percent())
    finally:
        subprocess.run([os.path.join(HERE, 'postfix.sh'), pf_dir, str(pf_port), 'stop'], check=False)
        sink.send_signal(signal.SIGKILL)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--mailroom', required=True)
    ap.add_argument('--load', required=True)
    ap.add_argument('--beside')
    ap.add_argument('--dir', default='/var/tmp/mailroom-bench')
    ap.add_argument('--repeats', type=int, default=3)
    ap.add_argument('--seconds', type=float, default=2.5)
    ap.add_argument('--mailbox', type=int, default=100000)
    ap.add_argument('--only-delivery', action='store_true')
    a = ap.parse_args()
    if os.geteuid() != 0:
        sys.exit('bench: Postfix needs root')
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
    os.environ['MAILROOM'] = os.path.abspath(a.mailroom)
    import mailroom
    os.makedirs(a.dir, exist_ok=True)
    os.chmod(a.dir, 0o755)
    b = Bench(a)
    if not a.only_delivery:
        accepting(b, a)
    import delivery
    delivery.beside_postfix(b, a.dir)
    delivery.dead_destinations(b, a.dir, 'live_rate_beside_dead')
    # some 20 to 30 of them are tried each second
    delivery.dead_destinations(b, a.dir, 'live_rate_beside_probed', '\tretry-first = 30s\n\tretry-most = 1min\n')
    for name, value in b.figures.items():
        print('figure %s %.3f' % (name, value))


if __name__ == '__main__':
    main()
