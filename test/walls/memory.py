#!/usr/bin/python3
"""What is left in the memory of each role: no password after sign-in, no hash outside auth, no private key outside keys, no message text where none has to be.

usage: memory.py --mailroom PROGRAM [--quick] [--verbose]            (as root: it reads /proc/PID/mem)

People sign in with recognisable passwords over every mechanism and protocol, in the clear, by STARTTLS and over TLS from the first byte, rightly and wrongly; mail
is handed in and read. Then the memory of every role is searched, once while the connections are open and once after they have ended. Prints a table, and
"N passed, N failed": one for every role, kind of secret and moment; and the selftest (half a line with a password in it is found)."""
import argparse
import base64
import hashlib
import hmac
import os
import re
import ssl
import sys
import tempfile
import time

import plant
from plant import mailroom

import peers
import sink

# where each kind may be
ALLOWED = {'password': (), 'hash': ('auth',), 'key': ('keys',), 'text': ('mx', 'user', 'store', 'relay'), 'smarthost': ('keys',)}


class Client(mailroom.Wire):
    """one connection that signs in and stays"""

    def __init__(self, system, protocol, tls, version=None, pieces=1):
        """pieces: in how many its lines come"""
        self.system, self.protocol, self.pieces = system, protocol, pieces
        name = {('smtp', 'tls'): 'submissions', ('smtp', 'starttls'): 'submission', ('smtp', 'clear'): 'submission', ('pop3', 'tls'): 'pop3s',
                ('pop3', 'starttls'): 'pop3', ('pop3', 'clear'): 'pop3'}[protocol, tls]
        super().__init__(system.port[name], timeout=60, greet=False)
        self.version = version
        if tls == 'tls':
            self.wrap()
        self.reply()
        if protocol == 'smtp':
            self.ask('EHLO client.plant.test')
        if tls == 'starttls':
            self.ask('STARTTLS' if protocol == 'smtp' else 'STLS')
            self.wrap()
            if protocol == 'smtp':
                self.ask('EHLO client.plant.test')

    def wrap(self):
        context = ssl._create_unverified_context()
        if self.version:
            context.maximum_version = context.minimum_version = self.version
        self.sock = context.wrap_socket(self.sock)

    def reply(self):
        return super().reply() if self.protocol == 'smtp' else self.line()

    def send(self, text):
        data = text.encode()
        step = len(data) // self.pieces + 1
        for at in range(0, len(data), step):
            if at:
                time.sleep(0.01)
            self.sock.sendall(data[at:at + step])

    def expect(self, line, ok):
        good = line.startswith(('235', '+OK')) if ok else line.startswith(('535', '-ERR'))
        if not good:
            raise RuntimeError('%s said %r' % (self.protocol, line))

    def challenge(self, line):
        return base64.b64decode(line.split(' ', 1)[1]) if ' ' in line else b''

    def sign_in(self, how, name, password, ok=True):
        enc = lambda s: base64.b64encode(s if isinstance(s, bytes) else s.encode()).decode()  # noqa: E731
        plain = enc('\0%s\0%s' % (name, password))
        if how == 'pass':
            self.ask('USER ' + name)
            line = self.ask('PASS ' + password)
        elif how == 'plain':
            line = self.ask('AUTH PLAIN ' + plain)
        elif how == 'plain-later':
            self.ask('AUTH PLAIN')
            line = self.ask(plain)
        elif how == 'login':
            self.ask('AUTH LOGIN')
            self.ask(enc(name))
            line = self.ask(enc(password))
        else:
            line = self.scram(enc, name, password)
        self.expect(line, ok)

    def scram(self, enc, name, password):
        bare = 'n=%s,r=%s' % (name, base64.b64encode(os.urandom(12)).decode())
        first = self.challenge(self.ask('AUTH SCRAM-SHA-256 ' + enc('n,,' + bare)))
        values = dict(x.split('=', 1) for x in first.decode().split(','))
        salted = hashlib.pbkdf2_hmac('sha256', password.encode(), base64.b64decode(values['s']), int(values['i']))
        key = hmac.digest(salted, b'Client Key', 'sha256')
        without = 'c=biws,r=' + values['r']
        signature = hmac.digest(hashlib.sha256(key).digest(), ('%s,%s,%s' % (bare, first.decode(), without)).encode(), 'sha256')
        proof = bytes(a ^ b for a, b in zip(key, signature))
        line = self.ask(enc('%s,p=%s' % (without, enc(proof))))
        return self.ask('') if line.startswith(('334', '+ ')) else line

    def close(self):
        try:
            self.sock.sendall(b'QUIT\r\n')
            self.sock.recv(4096)
        except OSError:
            pass
        self.sock.close()


# ---- searching

def forms(text):
    """a secret as it is, and as base64 shows its inside at each of three alignments"""
    raw = text.encode()
    out = [raw]
    for skip in range(3):
        inner = raw[skip:skip + (len(raw) - skip) // 3 * 3]
        out.append(base64.b64encode(inner))
    return out


def regions(pid):
    with open('/proc/%d/maps' % pid) as f:
        for line in f:
            m = re.match(r'([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+\s*(.*)', line)
            if m and 'r' in m[3] and m[4] not in ('[vvar]', '[vvar_vclock]', '[vsyscall]', '[vdso]'):
                yield int(m[1], 16), int(m[2], 16), m[4] or 'anonymous'


def search(pid, needles):
    """{kind: {name: [place]}} of what is found; needles: {bytes: (kind, name)}"""
    found = {}
    with open('/proc/%d/mem' % pid, 'rb', buffering=0) as mem:
        for start, end, where in regions(pid):
            at, tail = start, b''
            while at < end:
                try:
                    mem.seek(at)
                    block = mem.read(min(end - at, 16 << 20))
                except (OSError, ValueError, OverflowError):
                    break  # address space of a sanitizer, a device
                if not block:
                    break
                data = tail + block
                for needle, (kind, name) in needles.items():
                    hit = data.find(needle)
                    while hit >= 0:
                        found.setdefault(kind, {}).setdefault(name, set()).add((where, at - len(tail) + hit))
                        hit = data.find(needle, hit + 1)
                tail = data[-200:]
                at += len(block)
    return {k: {n: sorted(p) for n, p in v.items()} for k, v in found.items()}


def context_of(pid, address):
    with open('/proc/%d/mem' % pid, 'rb', buffering=0) as mem:
        mem.seek(address - 48)
        return mem.read(128)


class Scan:
    def __init__(self, system, verbose):
        self.system, self.verbose = system, verbose
        self.needles = {}
        self.passed = self.failed = 0

    def processes(self):
        return [('parent', self.system.process.pid)] + self.system.children()

    def judge(self, role, pid, kind, names):
        """names: {name: places}"""
        bad = bool(names) and role not in ALLOWED[kind]
        self.passed, self.failed = self.passed + (not bad), self.failed + bad
        for name, places in sorted(names.items()) if bad else ():
            print('   %s %s: %s at %s' % (role, kind, name, ', '.join('%s:%x' % p for p in places[:4])))
            for _, address in places[:3] if self.verbose else ():
                print('       %r' % context_of(pid, address))
        return bad

    def password(self, password, words):
        """has just been used: nobody may have it any more"""
        needles = {form: ('password', words) for form in forms(password)}
        self.needles.update(needles)
        for role, pid in self.processes():
            self.judge(role, pid, 'password', search(pid, needles).get('password', {}))

    def look(self, moment):
        print('-- %s' % moment)
        for role, pid in self.processes():
            found = search(pid, self.needles)
            cells = []
            for kind in ALLOWED:
                names = found.get(kind, {})
                bad = self.judge(role, pid, kind, names)
                cells.append('%s %s%s' % (kind, len(names) or 'none', ' (MUST NOT)' if bad else ''))
            print('%-7s %-7d %s' % (role, pid, '   '.join('%-22s' % c for c in cells)))

    def selftest(self):
        """half a command with a password in it waits in the user role: the scan has to see it"""
        secret = plant.token('SELFTEST')
        c = Client(self.system, 'pop3', 'tls')
        c.sock.sendall(b'PASS ' + secret.encode())
        time.sleep(0.3)
        needles = {secret.encode(): ('password', 'selftest')}
        seen = any(search(pid, needles) for role, pid in self.processes() if role == 'user')
        c.sock.close()
        print('selftest: half a line with a password in the user role is %s' % ('found' if seen else 'NOT FOUND'))
        self.passed, self.failed = self.passed + seen, self.failed + (not seen)


# ---- what happens

WAYS = [('smtp', how, tls, version) for how in ('plain', 'plain-later', 'login', 'scram') for tls, version in (
    ('clear', None), ('starttls', None), ('tls', None), ('tls', ssl.TLSVersion.TLSv1_2))]
WAYS += [('pop3', how, tls, version) for how in ('pass', 'plain', 'plain-later', 'login', 'scram') for tls, version in (
    ('clear', None), ('starttls', None), ('tls', None), ('tls', ssl.TLSVersion.TLSv1_2))]


# every mechanism and every kind of connection once
QUICK = WAYS[0:1] + WAYS[5:6] + WAYS[10:11] + WAYS[15:16] + WAYS[17:18] + WAYS[20:21] + WAYS[26:27] + WAYS[31:32] + WAYS[33:34]


def open_system(more=''):
    """passwords may come in the clear, too"""
    system = mailroom.System(accounts=(), start=False, conf=more + 'workers {\n\tmx = 1\n\tuser = 2\n}\n'
                             'auth {\n\tfailure-delay = 50ms\n\tfailures-per-address = 1000\n}\n')
    path = os.path.join(system.home, 'mailroom.conf')
    with open(path) as f:
        text = f.read()
    text = re.sub(r'(kind = submission\n(?:\t(?:address|port).*\n)*\ttls = starttls\n)', r'\1\tauth-without-tls = yes\n\ttls-required = no\n', text)
    text = re.sub(r'(kind = pop3\n(?:\t(?:address|port).*\n)*\ttls = starttls\n)', r'\1\tauth-without-tls = yes\n', text)
    with open(path, 'w') as f:
        f.write(text)
    system.account('alice')
    system.run('domain', 'dkim', 'add', 'mailroom.test', '--now', '--selector', 'one')
    return system.start()


def leave(system, needles, there):
    """through the smarthost, signed in the name of the domain: small and large"""
    count = len(there.mail)
    for size in (0, 300000):
        secret = plant.token('LEAVES')
        needles[secret.encode()] = ('text', '%d bytes that left' % size)
        c = Client(system, 'smtp', 'tls')
        c.sign_in('plain', 'alice@mailroom.test', system.password['alice@mailroom.test'])
        for line in ('MAIL FROM:<alice@mailroom.test>', 'RCPT TO:<somebody@elsewhere.test>', 'DATA'):
            c.ask(line)
        c.ask(plant.message(secret, 'alice', size, 'mailroom.test') + '.')
        c.close()
    end = time.monotonic() + 60
    while len(there.mail) < count + 2:
        if time.monotonic() > end:
            raise RuntimeError('the smarthost got %d messages' % len(there.mail))
        time.sleep(0.1)


class Smarthost:
    """a server elsewhere that wants a password, and what the configuration says of it"""

    def __init__(self, folder):
        self.password = plant.token('SMARTHOST')
        authority = peers.Authority(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.certificate('smarthost', ['127.0.0.1']))
        path = os.path.join(folder, 'password')
        with open(path, 'w') as f:
            f.write(self.password + '\n')
        self.sink = sink.Sink(context=context, login={'me@isp.test': self.password})
        self.conf = 'smarthost isp { host = 127.0.0.1 port = %d login = "me@isp.test" password-file = "%s" }\n' % (self.sink.port, path)
        self.conf += 'delivery { smarthost = isp ca-file = "%s" idle = 1s }\n' % authority.trust


def sign_ins(system, scan, ways):
    """everybody in `ways` once with a wrong password and once with the right one, and a look after each; returns the open connections"""
    held = []
    for n, (protocol, how, tls, version) in enumerate(ways):
        password, mistake = plant.token('PW%d' % n), plant.token('NO%d' % n)
        words = '%s %s %s%s' % (protocol, how, tls, ' 1.2' if version else '')
        name = system.account('person%d' % n, password=password)
        c = Client(system, protocol, tls, version, pieces=5)
        c.sign_in(how, name, mistake, ok=False)
        scan.password(mistake, words + ', wrong')
        c.close()
        c = Client(system, protocol, tls, version)
        c.sign_in(how, name, password)
        scan.password(password, words)
        held.append(c)
    return held


def crowd(system, scan):
    """many at the same moment: frames and lines then meet in the buffers, which grow"""
    clients = []
    for n, (protocol, how, tls, version) in enumerate(WAYS * 2):
        if how in ('pass', 'plain'):
            password = plant.token('CROWD%d' % n) + 'x' * (n * 10)
            clients.append((Client(system, protocol, tls, version), 'crowd%d@mailroom.test' % n, password, how))
            for form in forms(password[:40]):
                scan.needles[form] = ('password', 'crowd: %s %s %s' % (protocol, how, tls))
    for c, name, password, how in clients:
        if how == 'pass':
            c.ask('USER ' + name)
    for c, name, password, how in clients:
        c.send(('PASS ' + password if how == 'pass' else 'AUTH PLAIN ' + base64.b64encode(('\0%s\0%s' % (name, password)).encode()).decode()) + '\r\n')
    for c, *_ in clients:
        c.reply()
    return [c for c, *_ in clients]


def mail(system, needles):
    """some in and out, small and large; then others' doings over the same channels and buffers"""
    for size in (0, 30000, 200000, 3000000):
        secret = plant.token('TEXT')
        needles[secret.encode()] = ('text', '%d bytes' % size)
        plant.deliver(system, 'sender@plant.test', 'alice@mailroom.test', plant.message(secret, 'alice', size))
    c = Client(system, 'pop3', 'tls')
    c.sign_in('pass', 'alice@mailroom.test', system.password['alice@mailroom.test'])
    for n in range(1, 5):
        line = c.ask('RETR %d' % n)
        while line != '.':
            line = c.line()
    c.close()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--mailroom', required=True)
    ap.add_argument('--quick', action='store_true')
    ap.add_argument('--verbose', action='store_true')
    args = ap.parse_args()
    os.environ['MAILROOM'] = args.mailroom
    if os.geteuid():
        sys.exit('memory.py reads the memory of other users\' processes: run it as root')
    with tempfile.TemporaryDirectory(prefix='mailroom-memory.') as folder:
        os.chmod(folder, 0o755)
        there = Smarthost(folder)
        try:
            return scan_all(args, there)
        finally:
            there.sink.close()


def scan_all(args, there):
    with open_system(there.conf) as system:
        scan = Scan(system, args.verbose)
        held = sign_ins(system, scan, QUICK if args.quick else WAYS)
        held += crowd(system, scan)
        scan.look('%d connections, right after a crowd signed in' % len(held))
        mail(system, scan.needles)
        leave(system, scan.needles, there.sink)
        scan.needles.update({form: ('smarthost', 'its password') for form in forms(there.password)})
        scan.needles.update({data: ('key', 'dkim ' + name) for name, data in plant.key_needles(system.home, 'dkim/mailroom.test/one.key').items()})
        scan.needles.update({data: ('key', name) for name, data in plant.key_needles(system.home).items()})
        scan.needles.update({data: ('hash', name) for name, data in plant.hash_needles(system.home).items() if name.endswith(('alice', 'person0', 'person7'))})
        time.sleep(1)
        scan.look('and after some mail')
        for c in held:
            c.close()
        time.sleep(1)
        scan.look('connections closed')
        scan.selftest()
    return plant.counted(scan.passed, scan.failed)


if __name__ == '__main__':
    sys.exit(main())
