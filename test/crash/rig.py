"""The system under test, what is done to it from outside (signals, strace), and how its state is judged."""
import collections
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'e2e'))
import mailroom  # noqa: E402
from clients import Pop3, Post, Refused, Smtp  # noqa: E402
from ledger import RETURNED, Ledger  # noqa: E402

CONF = 'limits {\n\ttransactions = 1000000\n}\ntimeouts {\n\tdrain = 5s\n}\nauth {\n\tfailures-per-address = 100000\n\tfailures-per-account = 100000\n}\n'
BACK_S = 5.0  # the longest that service may be away


class Rig(mailroom.System):
    """one running system, with a ledger of its own"""

    def __init__(self, workers=2, kill=True, accounts=('alice', 'bob', 'dave'), start=True, prefix='r', more=''):
        """more: sections of the configuration"""
        self.kill_on_violation = kill
        self.prefix = prefix
        self.ledger = Ledger()
        self.slowest_s = self.late_s = 0.0
        self.probes = self.loads = 0
        self.doing = 'nothing yet'
        self.supervised = False   # a parent that ends by itself is started again
        self.parent_ends = []
        super().__init__(CONF + 'workers {\n\tmx = %d\n\tuser = %d\n\trelay = 1\n}\n' % (workers, workers) + more, accounts=accounts, start=start, listener='connections-per-address = 1000\n')

    def write_conf(self, extra=''):
        super().write_conf(extra)
        path = os.path.join(self.home, 'mailroom.conf')
        with open(path) as f:
            text = f.read()
        text = re.sub(r'(listener "pop3" \{\n)', r'\1auth-without-tls = yes\n', text)
        text = re.sub(r'(listener "submission" \{\n)', r'\1auth-without-tls = yes\ntls-required = no\n', text)
        if not self.kill_on_violation:
            text = text.replace('sandbox-kill = true', 'sandbox-kill = false')
        with open(path, 'w') as f:
            f.write(text)
        self.run('domain', 'identity', 'mailroom.test', 'off')  # the clients send as anybody

    def children(self):
        """[(role, pid)], told by their arguments: a role that could not set its name is one all the same"""
        out = []
        if not self.process:
            return out
        try:
            with open('/proc/%d/task/%d/children' % (self.process.pid, self.process.pid)) as f:
                pids = [int(x) for x in f.read().split()]
        except OSError:
            return out
        for pid in pids:
            try:
                with open('/proc/%d/cmdline' % pid, 'rb') as f:
                    words = f.read().split(b'\0')
            except OSError:
                continue
            if len(words) > 2 and words[1] == b'role':
                out.append((words[2].decode(), pid))
        return out

    # ---- what it does

    def login(self, name):
        address = name + '@mailroom.test'
        return address, self.password[address]

    def serves(self, within_s=BACK_S):
        """Waits until a fresh client's message gets its 250 and a mail program can sign in; the seconds that it took, None past 4 times the limit."""
        begin = time.monotonic()
        self.probes += 1
        mid = '<probe.%s.%d@crash.test>' % (self.prefix, self.probes)
        self.ledger.send(mid, ['alice@mailroom.test'])
        done = [False, False]
        while time.monotonic() - begin < 4 * within_s:
            try:
                if not done[0]:
                    conn = Smtp(self.port['mx'], timeout=within_s)
                    try:
                        conn.message('probe@crash.test', ['alice@mailroom.test'], ('Message-ID: %s\r\n\r\nprobe\r\n' % mid).encode())
                    finally:
                        conn.close()
                    self.ledger.ack(mid)
                    done[0] = True
                if not done[1]:
                    conn = Pop3(self.port['pop3'], *self.login('bob'), timeout=within_s)
                    conn.ask('QUIT')
                    conn.close()
                    done[1] = True
                took = time.monotonic() - begin
                self.slowest_s = max(self.slowest_s, took)
                return took
            except Refused as e:
                self.ledger.refuse(e.code, e.words)
            except (OSError, ValueError):
                pass
            self.mind()
            time.sleep(0.01)
        return None

    def back(self, what, problems, within_s=BACK_S):
        took = self.serves(within_s)
        if took is None or took > within_s:
            problems.append('%s: service was away for %s s' % (what, 'more than 20' if took is None else '%.1f' % took))
            return False
        return True

    def role_pid(self, role, wait_s=10.0):
        """the pid of one that serves (its sandbox stands: it has left root)"""
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            for pid in self.pid_of(role):
                try:
                    with open('/proc/%d/status' % pid) as f:
                        if re.search(r'(?m)^Seccomp:\s*2', f.read()):
                            return pid
                except OSError:
                    pass
            time.sleep(0.005)
        raise RuntimeError('there is no %s process (after %s)\n%s' % (role, self.doing, self.log()[-1500:]))

    def mind(self):
        """what a supervisor does: called by clients that get no answer"""
        if self.supervised and self.process and self.process.poll() is not None:
            self.parent_ends.append(self.process.poll())
            self.process = None
            self.start()

    # ---- what is held

    def held(self):
        return collections.Counter(self.message_ids())

    def audit(self):
        """{what is wrong: [...]}, with or without load"""
        promised, gone = self.ledger.promised(), set(self.ledger.gone)
        held = self.held()
        bad = self.ledger.judge(promised, held)
        back = self.ledger.judge_deleted(gone, held)
        if back:
            bad[RETURNED] = back
        return bad, sum(held.values())

    def post(self, rng, name, login=None):
        return Post(self, self.ledger, rng, '%s.%s' % (self.prefix, name), login)


def end(pid, sig=signal.SIGKILL):
    try:
        os.kill(pid, sig)
        return True
    except ProcessLookupError:
        return False


class Inject:
    """strace on one process: with Inject(pid, 'fdatasync:signal=KILL:when=3') as x: ...; x.hit() says whether it happened"""

    def __init__(self, pid, what, follow=False):
        self.pid, self.follow = pid, follow
        call = what.split(':', 1)[0]
        self.out = tempfile.NamedTemporaryFile(prefix='crash-strace.', mode='r')
        command = ['strace', '-q', '-o', self.out.name, '-e', 'trace=' + call, '-e', 'inject=' + what, '-p', str(pid)]
        self.p = subprocess.Popen(command[:1] + (['-f'] if follow else []) + command[1:], stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)

    def __enter__(self):
        end_at = time.monotonic() + 5
        while time.monotonic() < end_at and self.p.poll() is None:
            try:
                with open('/proc/%d/status' % self.pid) as f:
                    if re.search(r'(?m)^TracerPid:\s*%d$' % self.p.pid, f.read()):
                        return self
            except OSError:
                break
            time.sleep(0.001)
        return self  # the process ended first: then it was not hit either

    def hit(self):
        self.out.seek(0)
        text = self.out.read()
        return 'INJECTED' in text or 'killed by SIGKILL' in text

    def wait_hit(self, timeout_s):
        end_at = time.monotonic() + timeout_s
        while time.monotonic() < end_at and not self.hit():
            if self.p.poll() is not None:
                break
            time.sleep(0.005)
        return self.hit()

    def detach(self):
        if self.p.poll() is None:
            self.p.terminate()
            try:
                self.p.wait(5)
            except subprocess.TimeoutExpired:
                self.p.kill()
                self.p.wait()

    def __exit__(self, *exc):
        self.detach()
        self.was_hit = self.hit()
        self.out.close()
