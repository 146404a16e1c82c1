"""A mailroom system in a directory of its own, for the tests: init, accounts, serve on free ports, stop. Used by test/e2e, test/crash and bench."""
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
RATES = ('account-messages', 'account-recipients', 'address-messages', 'address-recipients', 'mailbox-messages', 'address-connections', 'address-helo-floods',
         'address-unknown-commands', 'address-unauth-commands', 'address-failed-recipients')
LISTENERS = ('mx', 'submission', 'submissions', 'pop3', 'pop3s')


def program():
    path = os.environ.get('MAILROOM') or os.path.join(ROOT, 'build/src/cli/mailroom')
    return os.path.abspath(path)


def free_ports(n):
    """n ports that are free now; all held open together so that no two are the same. Below those that the kernel gives to outgoing connections, and from a range
    of its own for each of several test processes at work (pytest-xdist)"""
    worker = int(re.sub(r'\D', '', os.environ.get('PYTEST_XDIST_WORKER', '')) or 0) % 4
    held = []
    while len(held) < n:
        s = socket.socket()
        try:
            s.bind(('127.0.0.1', 10000 + worker * 5000 + random.randrange(5000)))
            held.append(s)
        except OSError:
            s.close()
    ports = [s.getsockname()[1] for s in held]
    for s in held:
        s.close()
    return ports


class System:
    """with System() as m: m.port['mx'], m.password['alice@mailroom.test'], m.run('queue', 'list')"""

    def __init__(self, conf='', accounts=('alice', 'bob'), home=None, start=True, listener=''):
        """conf: more of the configuration; listener: settings that every listener gets"""
        self.listener = listener
        self.home = home or tempfile.mkdtemp(prefix='mailroom-test.')
        os.chmod(self.home, 0o755)
        self.own_home = home is None
        self.password = {}
        self.process = None
        self.log_path = os.path.join(self.home, 'test.log')
        self.port = dict(zip(LISTENERS, free_ports(len(LISTENERS))))
        self.run('init', '--hostname', 'mail.mailroom.test', '--domain', 'mailroom.test')
        self.write_conf(conf)
        for name in accounts:
            self.account(name)
        if start:
            self.start()

    def write_conf(self, extra=''):
        """the listeners on this system's ports, and what the test wants on top ('limits { ... }' and so on)"""
        kinds = {'mx': ('mx', 'starttls'), 'submission': ('submission', 'starttls'), 'submissions': ('submission', 'implicit'), 'pop3': ('pop3', 'starttls'),
                 'pop3s': ('pop3', 'implicit')}
        text = 'hostname = "mail.mailroom.test"\ndefault-domain = "mailroom.test"\nsandbox-kill = true\n'
        text += 'certificate "default" {\n\tchain = "tls/default.crt"\n\tkey = "keys/default.key"\n}\n'
        for name, (kind, tls) in kinds.items():
            text += 'listener "%s" {\n\tkind = %s\n\taddress = "127.0.0.1"\n\tport = %d\n\ttls = %s\n\tcertificate = "default"\n%s}\n' % (
                name, kind, self.port[name], tls, self.listener)
        if 'dns {' not in extra:  # the domains here are in no DNS; test_dns.py has one
            text += 'dns {\n\tcheck-recipients = no\n}\n'
        if 'auth {' not in extra:
            text += 'auth {\n\tfailure-delay = 50ms\n}\n'
        if 'workers {' not in extra:  # nothing leaves; tests that send say relay = 1
            text += 'workers {\n\trelay = 0\n}\n'
        if 'rates {' not in extra:  # everything comes from one address here; test_limits.py has limits
            text += 'rates {\n%s}\n' % ''.join('\t%s = ""\n' % name for name in RATES)
        with open(os.path.join(self.home, 'mailroom.conf'), 'w') as f:
            f.write(text + extra)

    def account(self, name, password=None, quota=None):
        address = name if '@' in name else name + '@mailroom.test'
        password = password or name.split('@')[0] + '-Pw 1'
        args = ['account', 'add', address, '--password-stdin'] + (['--quota', quota] if quota else [])
        self.run(*args, input=password + '\n')
        self.password[address] = password
        return address

    def run(self, *args, check=True, input=None, timeout=60):
        """one mailroom command on this home; the text it printed (with check=False: the finished process)"""
        p = subprocess.run([program(), *args, '--home', self.home], input=input, capture_output=True, text=True, timeout=timeout, errors='replace')
        if not check:
            return p
        if p.returncode:
            raise RuntimeError('mailroom %s: status %d\n%s%s' % (' '.join(args), p.returncode, p.stdout, p.stderr))
        return p.stdout

    def start(self, timeout=60):
        mark = self.log_size()
        self.process = subprocess.Popen([program(), 'serve', '--home', self.home], stderr=open(self.log_path, 'ab'), stdin=subprocess.DEVNULL)
        self.wait_log('event=serving', since=mark, timeout=timeout)
        return self

    def log_size(self):
        return os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0

    def log(self, since=0):
        with open(self.log_path, errors='replace') as f:
            f.seek(since)
            return f.read()

    def wait_log(self, pattern, since=0, timeout=30, count=1):
        """waits until the log shows `pattern` (regex) count times after byte `since`"""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if os.path.exists(self.log_path) and len(re.findall(pattern, self.log(since))) >= count:
                return self.log(since)
            if self.process and self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError('the log never said %r:\n%s' % (pattern, self.log(since)[-4000:]))

    def stop(self, sig=signal.SIGTERM, timeout=40):
        if not self.process:
            return None
        if self.process.poll() is None:
            self.process.send_signal(sig)
        status = self.process.wait(timeout)
        self.process = None
        return status

    def kill(self):
        """the whole tree at once, as a power cut would (without losing the disk's cache)"""
        pids = [pid for _, pid in self.children()] + [self.process.pid]
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        self.process = None

    def children(self):
        """[(role, pid)] of the running role processes"""
        out = []
        if not self.process:
            return out
        tasks = '/proc/%d/task/%d/children' % (self.process.pid, self.process.pid)
        with open(tasks) as f:
            pids = [int(x) for x in f.read().split()]
        for pid in pids:
            try:
                with open('/proc/%d/comm' % pid) as f:
                    comm = f.read().strip()
            except OSError:
                continue
            if comm.startswith('mailroom-'):
                out.append((comm[len('mailroom-'):], pid))
        return out

    def pid_of(self, role):
        return [pid for r, pid in self.children() if r == role]

    def message_ids(self):
        """[(message id, where)] of everything held"""
        out = []
        for line in self.run('message', 'ids').splitlines():
            fields = line.split('\t') if '\t' in line else line.split()
            if fields:
                out.append((fields[0], fields[1] if len(fields) > 1 else ''))
        return out

    def close(self):
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.kill()
        if self.own_home:
            shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Wire:
    """a bare TCP conversation, for what no client library would send"""

    def __init__(self, port, timeout=20, greet=True):
        self.sock = socket.create_connection(('127.0.0.1', port), timeout=timeout)
        self.left = b''
        if greet:
            self.greeting = self.reply()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        while b'\n' not in self.left:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError('closed; unread: %r' % self.left)
            self.left += more
        line, self.left = self.left.split(b'\n', 1)
        return line.rstrip(b'\r').decode(errors='replace')

    def reply(self):
        """one SMTP reply, its lines joined by newline"""
        lines = [self.line()]
        while len(lines[-1]) > 3 and lines[-1][3] == '-':
            lines.append(self.line())
        return '\n'.join(lines)

    def ask(self, text):
        self.send(text + '\r\n')
        return self.reply()

    def rest(self):
        """what comes until the server closes"""
        out = self.left
        try:
            while True:
                more = self.sock.recv(65536)
                if not more:
                    break
                out += more
        except ConnectionError:
            pass
        return out.decode(errors='replace')

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
