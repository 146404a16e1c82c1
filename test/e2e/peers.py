"""Real mail servers for the tests: Postfix, Exim, OpenSMTPD, Dovecot (IMAP, POP3, submission), Haraka, and nsd for DNS. Nothing is installed.

Packages come with `apt-get download` and are unpacked below a cache folder (MAILROOM_PEERS, or /var/cache/mailroom-peers); Haraka comes from npm. Any number
of processes may ask at once. A peer runs as root in a mount and process namespace of its own, where the packages it needs lie over /usr, its users stand in
/etc/passwd, and /run, /var/lib and /var/spool are folders of its scratch directory: so the paths that are compiled in hold, and ending the namespace ends every
process of it, and none but its own. The network is the machine's: loopback addresses only.

Receiving mail for a domain, each message a file:

    with peers.Postfix(domain='mx.test', address='127.5.0.1', port=25) as mx:      # or Exim, OpenSMTPD, Haraka; port=0 (the default) picks a free one
        ...                                                                        # deliver to mx.address, mx.port
        mx.wait_mail(2)                                                            # waits for two messages; [bytes, bytes]
        mx.mail('carol')                                                           # what is there now for carol (without argument: for all)
        mx.log()                                                                   # everything that it logged so far

    users=('alice', 'bob')     whom the domain has (default alice, bob); anybody else is refused as unknown. users=None takes mail for anybody (files under `any`)
    tls=(chain, key)           offers STARTTLS with that certificate; without it, it does not. peers.Authority makes certificates
    refuse={'rcpt': '450 4.2.1 text'}     stages connect, helo, mail, rcpt, data (the command), dot (the whole message). Exim says the reply as given, the
                               others in their own wording with that code. {'rcpt': {'bob': '...'}} refuses that recipient alone
    more='...'                 more of its own configuration (Postfix: lines of main.cf; the others: see the class)

DNS, for as many zones as wanted, on an address of its own and port 53:

    with peers.Nsd({'mx.test': '@ IN MX 10 a\\na IN A 127.5.0.1\\n'}) as dns: ...       dns.address; SOA and NS are put in front
    peers.signed('mx.test', text, folder)      (that zone signed, its DS record): needs ldns-signzone

Servers that people sign in to are set up by whoever uses them: zoo.py has examples of each.
unavailable(NAME) is None, or the reason why that peer cannot be had here; have(NAME) skips the test then."""
import contextlib
import ctypes
import fcntl
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time


PACKAGES = {
    'postfix': ('postfix',),
    'exim': ('exim4-daemon-light',),
    'opensmtpd': ('opensmtpd',),
    'dovecot': ('dovecot-core', 'dovecot-imapd', 'dovecot-pop3d', 'dovecot-submissiond'),
    'nsd': ('nsd',),
    'haraka': (),
}
BINARIES = {'postfix': 'usr/lib/postfix/sbin/smtpd', 'exim': 'usr/sbin/exim4', 'opensmtpd': 'usr/sbin/smtpd', 'dovecot': 'usr/lib/dovecot/auth', 'nsd': 'usr/sbin/nsd'}
HARAKA = {'name': 'haraka-peer', 'private': True, 'version': '1.0.0', 'dependencies': {'Haraka': '3.1.1'},
          'overrides': {'encoding-japanese': '2.2.0', 'libqp': '2.1.1', 'libmime': '5.3.6'}}
USERS = {'postfix': 901, 'postdrop': 902, 'Debian-exim': 903, 'opensmtpd': 904, 'opensmtpq': 905, 'dovecot': 906, 'dovenull': 907, 'nsd': 908, 'vmail': 909}
START_S = 30


# --- getting them

def cache():
    return os.environ.get('MAILROOM_PEERS') or '/var/cache/mailroom-peers'


@contextlib.contextmanager
def locked(name):
    os.makedirs(cache(), mode=0o755, exist_ok=True)
    with open(os.path.join(cache(), '.lock-' + name), 'w', encoding='utf-8') as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def command(*words, **more):
    return subprocess.run(words, capture_output=True, text=True, timeout=600, **more)


def download(package, into):
    """unpacks that Debian package below `into`; OSError when it cannot be had"""
    words = ('apt-get', 'download', '-qq', '-o', 'APT::Sandbox::User=root', package)
    p = command(*words, cwd=into)
    if p.returncode:
        command('apt-get', 'update', '-qq')
        p = command(*words, cwd=into)
    debs = [f for f in os.listdir(into) if f.endswith('.deb')]
    if p.returncode or len(debs) != 1:
        raise OSError('no package %s: %s' % (package, p.stderr.strip()[-200:]))
    p = command('dpkg', '-x', debs[0], '.', cwd=into)
    os.unlink(os.path.join(into, debs[0]))
    if p.returncode:
        raise OSError('dpkg -x %s: %s' % (package, p.stderr.strip()[-200:]))
    if os.path.isdir(os.path.join(into, 'lib')):  # /lib is /usr/lib on the machine
        shutil.copytree(os.path.join(into, 'lib'), os.path.join(into, 'usr/lib'), symlinks=True, dirs_exist_ok=True)


def unpacked(package):
    """the folder in which that package lies; got when it is not there"""
    place = os.path.join(cache(), package)
    with locked('apt'):  # one after the other: apt has one cache
        if not os.path.isdir(place):
            work = tempfile.mkdtemp(prefix='.new-', dir=cache())
            try:
                os.chmod(work, 0o755)
                download(package, work)
                os.rename(work, place)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return place


def libraries(name):
    """folders of the libraries that this peer needs and the machine lacks; which these are is kept, as apt-cache takes seconds"""
    first = unpacked(PACKAGES[name][0])
    known = first + '.needs'
    if os.path.exists(known):
        with open(known, encoding='utf-8') as f:
            return [unpacked(package) for package in f.read().split()]
    needed = lacking(name, first)
    found = [unpacked(package) for package in needed]
    with open(known + '.%d' % os.getpid(), 'w', encoding='utf-8') as f:
        f.write('\n'.join(needed))
    os.rename(known + '.%d' % os.getpid(), known)
    return found


def lacking(name, first):
    binary = os.path.join(first, BINARIES[name])
    own = ':'.join(os.path.join(first, d) for d in ('usr/lib/postfix', 'usr/lib/dovecot', 'usr/lib/dovecot/old-stats'))
    out = command('ldd', binary, env=dict(os.environ, LD_LIBRARY_PATH=own)).stdout
    if not re.search('not found', out):
        return []
    p = command('apt-cache', 'depends', PACKAGES[name][0])
    return [package for package in re.findall(r'Depends: (lib[a-z0-9.+-]+)', p.stdout) if not installed(package)]


def installed(package):
    return 'ok installed' in command('dpkg-query', '-W', '-f', '${Status}', package).stdout


def haraka():
    """the folder of Haraka and all it needs"""
    place = os.path.join(cache(), 'haraka')
    with locked('npm'):
        if not os.path.isdir(place):
            if not shutil.which('npm') or not shutil.which('node'):
                raise OSError('no npm')
            work = tempfile.mkdtemp(prefix='.new-', dir=cache())
            try:
                os.chmod(work, 0o755)
                with open(os.path.join(work, 'package.json'), 'w', encoding='utf-8') as f:
                    json.dump(HARAKA, f)
                p = command('npm', 'install', '--omit=optional', '--no-audit', '--no-fund', cwd=work)
                if p.returncode:
                    raise OSError('npm: ' + p.stderr[-300:])
                os.rename(work, place)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return place


KNOWN = {}


def folders(name):
    """where the packages of this peer lie; OSError says why not"""
    if name not in KNOWN:
        if os.geteuid() != 0:
            raise OSError('needs root')
        p = command('unshare', '-m', '-p', '--fork', '--mount-proc', 'true')
        if p.returncode:
            raise OSError('no namespaces: ' + p.stderr.strip())
        KNOWN[name] = [haraka()] if name == 'haraka' else [unpacked(p) for p in PACKAGES[name]] + libraries(name)
    return KNOWN[name]


def unavailable(name):
    try:
        folders(name)
    except OSError as e:
        return str(e)
    return None


def have(*names):
    """skips the running test when one of these peers cannot be had"""
    import pytest
    for name in names:
        reason = unavailable(name)
        if reason:
            pytest.skip('no %s: %s' % (name, reason))


# --- addresses, certificates, zones

def free_address():
    """an address of loopback that nobody else is likely to have"""
    while True:
        address = '127.%d.%d.%d' % (random.randrange(64, 127), random.randrange(256), random.randrange(1, 255))
        with socket.socket() as s:
            try:
                s.bind((address, 53))
                return address
            except OSError:
                continue


def free_port(address):
    """one below those that the system gives to whoever connects, so that nobody takes it before it is used"""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind((address, port))
                return port
            except OSError:
                continue


class Authority:
    """issues certificates: Authority(folder).certificate('mx', ['mx.test']) is (chain, key). `trust` is its own certificate, for SSL_CERT_FILE and the like"""

    def __init__(self, folder):
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.key, self.trust = self.path('all.key'), self.path('authority.crt')  # one key serves all: RSA, as OpenSMTPD 6.8 wants, and slow to make
        self.openssl('genrsa', '-out', self.key, '2048')
        self.openssl('req', '-x509', '-new', '-key', self.key, '-subj', '/CN=Test authority', '-days', '30', '-out', self.trust)
        self.write('index.txt', '')
        self.write('ca.conf', '[ca]\ndefault_ca = a\n[a]\ndatabase = %s\nnew_certs_dir = %s\nrand_serial = yes\ndefault_md = sha256\npolicy = p\nunique_subject = no\n'
                              'copy_extensions = copy\n[p]\ncommonName = supplied\n' % (self.path('index.txt'), self.folder))

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), 'w', encoding='utf-8') as f:
            f.write(text)

    @staticmethod
    def openssl(*words):
        p = command('openssl', *words)
        if p.returncode:
            raise RuntimeError('openssl %s: %s' % (words[0], p.stderr))

    def certificate(self, name, hosts, start='20200101000000Z', end='20360101000000Z', self_signed=False):
        chain, request = self.path(name + '.crt'), self.path(name + '.csr')
        names = ','.join(('IP:' if re.fullmatch(r'[0-9.]+', h) else 'DNS:') + h for h in hosts)
        self.openssl('req', '-new', '-key', self.key, '-subj', '/CN=' + hosts[0], '-addext', 'subjectAltName=' + names, '-out', request)
        signer = ['-selfsign'] if self_signed else ['-cert', self.trust]
        self.openssl('ca', '-batch', '-notext', '-config', self.path('ca.conf'), '-keyfile', self.key, *signer, '-in', request, '-out', chain,
                     '-startdate', start, '-enddate', end)
        return chain, self.key


def zone(name, text):
    return '$ORIGIN %s.\n$TTL 60\n@ IN SOA ns hostmaster 1 3600 600 86400 60\n@ IN NS ns\nns IN A 127.0.0.1\n%s' % (name, text)


def signed(name, text, folder):
    """(the zone text signed, the DS record of its key); folder keeps the key"""
    path = os.path.join(str(folder), name + '.zone')
    with open(path, 'w', encoding='utf-8') as f:
        f.write(zone(name, text))
    key = command('ldns-keygen', '-k', '-a', 'ECDSAP256SHA256', name, cwd=str(folder)).stdout.strip()
    p = command('ldns-signzone', '-f', path + '.signed', path, key, cwd=str(folder))
    if p.returncode or not key:
        raise RuntimeError('ldns-signzone: ' + p.stderr)
    with open(path + '.signed', encoding='utf-8') as f, open(os.path.join(str(folder), key + '.ds'), encoding='utf-8') as ds:
        return f.read(), ds.read().strip()


# --- running them

def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def is_running(pid):
    try:
        with open('/proc/%d/stat' % pid, encoding='utf-8') as f:
            return f.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
    except OSError:
        return False


class Peer:
    """one server: `with` starts and ends it; folder is its scratch directory, port[0] of ports is `port`"""
    name = ''

    def __init__(self, domain='peer.test', users=('alice', 'bob'), address='127.0.0.1', port=0, tls=None, refuse=None, more='', resolver=None, hostname=None):
        self.domain, self.users, self.address, self.tls, self.refuse, self.more = domain, users, address, tls, refuse or {}, more
        self.port = port or free_port(address)
        self.hostname = hostname or 'mx.' + domain
        self.resolver = resolver
        self.process = None
        self.folders = folders(self.name)
        self.folder = tempfile.mkdtemp(prefix='peer-%s.' % self.name)
        os.chmod(self.folder, 0o755)
        self.log_path = self.path('log')
        for sub in ('etc', 'run', 'lib', 'spool', 'mail'):
            os.mkdir(self.path(sub), 0o755)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def folder_of(self, name, owner='root', mode=0o755):
        os.makedirs(self.path(name), exist_ok=True)
        os.chown(self.path(name), USERS.get(owner, 0), USERS.get(owner, 0))
        os.chmod(self.path(name), mode)
        return self.path(name)

    def boxes(self):
        """a maildir for each user below mail/, owned by vmail; the names"""
        names = self.users if self.users is not None else ('any',)
        self.folder_of('mail', 'vmail')
        for name in names:
            for sub in ('', '/new', '/cur', '/tmp'):
                self.folder_of('mail/%s%s' % (name, sub), 'vmail')
        return names

    def own_tls(self, owner='root'):
        """its (chain, key) as files of its own: some servers want to own them, or cannot reach where they came from"""
        out = []
        for source, name in zip(self.tls, ('peer.crt', 'peer.key')):
            out.append(shutil.copy(source, self.path(name)))
            os.chown(out[-1], USERS.get(owner, 0), USERS.get(owner, 0))
            os.chmod(out[-1], 0o600)
        return tuple(out)

    def refusals(self, stage):
        """[(user or None for all, code text)] of that stage"""
        wanted = self.refuse.get(stage)
        if not wanted:
            return []
        return list(wanted.items()) if isinstance(wanted, dict) else [(None, wanted)]

    def configure(self):
        """writes the configuration; returns the words of the command"""
        raise NotImplementedError

    def start(self):
        for name in ('passwd', 'group'):
            with open('/etc/' + name, encoding='utf-8') as f:
                text = f.read()
            known = {line.split(':')[0] for line in text.splitlines()}
            for user, number in USERS.items():
                line = '%s:x:%d:%s\n' % (user, number, '%d::/nonexistent:/bin/false' % number if name == 'passwd' else '')
                if user not in known:
                    text += line
                else:
                    text = re.sub(r'(?m)^%s:.*$' % re.escape(user), line.rstrip('\n'), text)
            self.write('etc/' + name, text)
        if self.resolver:
            self.write('etc/resolv.conf', 'nameserver %s\noptions timeout:1 attempts:1\n' % self.resolver)
        words = self.configure()
        usr = ':'.join([os.path.join(f, 'usr') for f in self.folders if os.path.isdir(os.path.join(f, 'usr'))] + ['/usr'])
        script = 'set -e\nulimit -n 4096\n'  # some close every number that could be open, and a million takes them seconds
        if usr != '/usr':
            script += 'mount -t overlay overlay -o lowerdir=%s /usr\n' % usr
        script += 'mount -t overlay overlay -o lowerdir=%s:/etc /etc\n' % self.path('etc')
        for sub, at in (('run', '/run'), ('lib', '/var/lib'), ('spool', '/var/spool')):
            script += 'mount --bind %s %s\n' % (self.path(sub), at)
        script += '"$@" & wait\n'  # the shell is the first process of the namespace: it takes in what others leave behind
        with open(self.path('output'), 'ab') as out:
            own = ['unshare', '-m', '-p', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', script, 'sh']
            self.process = subprocess.Popen([*own, *words], stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=die_with_parent, cwd=self.folder,
                                            env=dict(os.environ, **self.environment()))
        return self

    def environment(self):
        return {}

    def listening(self):
        """the (address, port) pairs that are up once it is ready"""
        return [(self.address, self.port)]

    def ready(self, timeout=START_S):
        """waits until it listens"""
        end = time.monotonic() + timeout
        for where in self.listening():
            while True:
                try:
                    socket.create_connection(where, timeout=5).close()
                    break
                except OSError:
                    if self.process.poll() is not None or time.monotonic() > end:
                        raise RuntimeError('%s does not listen on %s:%d\n%s\n%s' % (self.name, *where, self.output(), self.log()[-3000:])) from None
                    time.sleep(0.02)
        return self

    def stop(self):
        """ends its namespace, and with that each of its processes"""
        if not self.process:
            return
        try:
            with open('/proc/%d/task/%d/children' % (self.process.pid, self.process.pid), encoding='utf-8') as f:
                first = [int(x) for x in f.read().split()]
        except OSError:
            first = []
        self.process.kill()
        self.process.wait()
        self.process = None
        end = time.monotonic() + 5
        while any(is_running(pid) for pid in first) and time.monotonic() < end:
            time.sleep(0.005)

    def close(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start().ready()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc):
        self.close()

    def output(self):
        try:
            with open(self.path('output'), encoding='utf-8', errors='replace') as f:
                return f.read()
        except OSError:
            return ''

    def log(self):
        try:
            with open(self.log_path, encoding='utf-8', errors='replace') as f:
                return f.read()
        except OSError:
            return ''

    def wait_log(self, pattern, timeout=START_S):
        end = time.monotonic() + timeout
        while not re.search(pattern, self.log()):
            if time.monotonic() > end:
                raise RuntimeError('%s never logged %r:\n%s' % (self.name, pattern, self.log()[-3000:]))
            time.sleep(0.02)

    def mail_paths(self, user=None):
        found = []
        for top, _, files in os.walk(self.path('mail', user) if user else self.path('mail')):
            if os.path.basename(top) in ('new', 'cur'):
                found += [os.path.join(top, f) for f in files]
        return sorted(found, key=lambda path: (os.path.getmtime(path), path))

    def mail(self, user=None):
        """the messages delivered so far, oldest first"""
        out = []
        for path in self.mail_paths(user):
            with open(path, 'rb') as f:
                out.append(f.read())
        return out

    def wait_mail(self, count, user=None, timeout=START_S):
        end = time.monotonic() + timeout
        while len(self.mail_paths(user)) < count:
            if time.monotonic() > end:
                raise RuntimeError('%s has %d of %d messages:\n%s' % (self.name, len(self.mail_paths(user)), count, self.log()[-3000:]))
            time.sleep(0.02)
        return self.mail(user)


class Postfix(Peer):
    """listeners={port: 'lines of -o values'} are further smtpd services, `key = value` a line; files={name: text} lie in {etc} before it starts. In `more` and
    `listeners` {etc}, {dir} and {port} are put in; the log is as Postfix writes it to a file."""
    name = 'postfix'

    def __init__(self, *args, listeners=None, files=None, **more):
        super().__init__(*args, **more)
        self.listeners, self.files = listeners or {}, files or {}

    def listening(self):
        return [(self.address, port) for port in (self.port, *self.listeners)]

    def fill(self, text):
        return text.replace('{etc}', self.path('postfix')).replace('{dir}', self.folder).replace('{port}', str(self.port))

    def restrictions(self):
        """the settings that refuse"""
        out = 'smtpd_delay_reject = no\n' if self.refuse and set(self.refuse) != {'rcpt'} else ''
        for stage, key in (('connect', 'smtpd_client_restrictions'), ('helo', 'smtpd_helo_restrictions'), ('mail', 'smtpd_sender_restrictions'),
                           ('data', 'smtpd_data_restrictions'), ('dot', 'smtpd_end_of_data_restrictions')):
            for _, reply in self.refusals(stage):
                out += '%s = check_client_access static:{%s}\n' % (key, reply)
        for user, reply in self.refusals('rcpt'):
            if user is None:
                out += 'smtpd_recipient_restrictions = check_client_access static:{%s}\n' % reply
            else:
                with open(self.path('postfix/refused'), 'a', encoding='utf-8') as f:
                    f.write('%s@%s %s\n' % (user, self.domain, reply))
                out += 'smtpd_recipient_restrictions = check_recipient_access texthash:{etc}/refused\n'
        return out

    def configure(self):
        etc = self.folder_of('postfix')
        queue = self.folder_of('spool/postfix')
        for name in 'active bounce corrupt defer deferred flush hold incoming private saved trace'.split():
            self.folder_of('spool/postfix/' + name, 'postfix', 0o700)
        self.folder_of('spool/postfix/pid')
        for name, mode in (('public', 0o710), ('maildrop', 0o730)):
            os.chown(self.folder_of('spool/postfix/' + name, 'postfix', mode), USERS['postfix'], USERS['postdrop'])
            os.chmod(os.path.join(queue, name), mode)
        self.folder_of('data', 'postfix')
        names = self.boxes()
        table = ''.join('%s@%s %s/\n' % (n, self.domain, n) for n in names) if self.users is not None else '@%s any/\n' % self.domain
        self.write('postfix/mailboxes', table)
        for name, text in self.files.items():
            self.write('postfix/' + name, self.fill(text))
        numbers = (USERS['vmail'], USERS['vmail'])
        self.write('postfix/main.cf', self.fill(f'''compatibility_level = 3.7
queue_directory = {queue}
data_directory = {self.path('data')}
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
shlib_directory = /usr/lib/postfix
meta_directory = {self.folders[0]}/etc/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = {self.hostname}
mydestination =
inet_interfaces = all
inet_protocols = ipv4
mynetworks =
smtpd_client_connection_rate_limit = 0
smtpd_peername_lookup = no
default_transport = error:5.1.2 nothing leaves the machine
virtual_mailbox_domains = {self.domain}
virtual_mailbox_base = {self.path('mail')}
virtual_mailbox_maps = texthash:{etc}/mailboxes
virtual_uid_maps = static:{numbers[0]}
virtual_gid_maps = static:{numbers[1]}
virtual_minimum_uid = 1
maillog_file = {self.log_path}
maillog_file_prefixes = {self.folder}
alias_maps =
alias_database =
smtpd_relay_restrictions = permit_sasl_authenticated reject_unauth_destination
''' + ('smtpd_tls_security_level = may\nsmtpd_tls_chain_files = %s %s\n' % (self.tls[1], self.tls[0]) if self.tls else '') + self.restrictions() + self.more))
        os.utime(self.path('postfix/main.cf'), (0, 1e9))  # it waits until nobody has written to it for a while
        master = f'{self.address}:{self.port} inet n - n - - smtpd\n'
        for port, text in self.listeners.items():
            master += f'{self.address}:{port} inet n - n - - smtpd\n'
            master += ''.join('  -o { %s }\n' % self.fill(line) for line in text.strip().splitlines())
        self.write('postfix/master.cf', master + '''cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
virtual unix - n n - - virtual
discard unix - - n - - discard
verify unix - - n - 1 verify
smtp unix - - n - - smtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
''')
        return ['/usr/lib/postfix/sbin/master', '-c', etc]

    def environment(self):
        return {'MAIL_CONFIG': self.path('postfix')}


class Exim(Peer):
    """acl={'acl_smtp_rcpt': 'lines'} replaces the access lists, ports=(n, ...) are further ones that it listens on, authenticators='...' lets people sign in; in
    all of it and in `more` (main options) {dir} and {domain} are put in."""
    name = 'exim'

    def __init__(self, *args, acl=None, ports=(), authenticators='', **more):
        super().__init__(*args, **more)
        self.acl, self.ports, self.authenticators = acl or {}, tuple(ports), authenticators

    def listening(self):
        return [(self.address, port) for port in (self.port, *self.ports)]

    def access(self):
        lists = {'acl_smtp_rcpt': '', 'acl_smtp_data': '  accept\n'}
        for stage, key in (('connect', 'acl_smtp_connect'), ('helo', 'acl_smtp_helo'), ('mail', 'acl_smtp_mail'), ('data', 'acl_smtp_predata'), ('dot', 'acl_smtp_data'),
                           ('rcpt', 'acl_smtp_rcpt')):
            text = ''
            for user, reply in self.refusals(stage):
                text += '  %s%s\n  message = %s\n' % ('defer' if reply[0] == '4' else 'deny', '\n  local_parts = ' + user if user else '', reply.replace(':', '::'))
            if text:
                lists[key] = text + '  accept\n'
        lists['acl_smtp_rcpt'] = lists['acl_smtp_rcpt'].removesuffix('  accept\n') + '''  accept authenticated = *
  require message = relay not permitted
    domains = +local_domains
  require verify = recipient
  accept
'''
        lists.update(self.acl)
        return lists

    def configure(self):
        for sub in ('exim', 'exim-log'):
            self.folder_of(sub, 'Debian-exim')
        names = self.boxes()
        self.write('etc/exim4/trusted_configs', self.path('exim.conf') + '\n')
        self.log_path = self.path('exim-log', 'main')
        lists = self.access()
        users = self.write('users', ''.join('%s: %s\n' % (n, n) for n in names) if self.users is not None else '*: any\n')
        text = f'''primary_hostname = {self.hostname}
exim_path = /usr/sbin/exim4
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = {self.path('exim')}
log_file_path = {self.path('exim-log')}/%s
pid_file_path = {self.path('exim.pid')}
domainlist local_domains = {self.domain}
daemon_smtp_ports = {' : '.join(str(p) for p in (self.port, *self.ports))}
local_interfaces = <; {self.address}
disable_ipv6 = true
host_lookup =
rfc1413_hosts =
keep_environment =
never_users = root
smtp_accept_max = 200
smtp_accept_max_per_connection = 0
timezone =
'''
        if self.tls:
            chain, key = self.own_tls('Debian-exim')
            text += 'tls_advertise_hosts = *\ntls_certificate = %s\ntls_privatekey = %s\n' % (chain, key)
        elif 'tls_advertise_hosts' not in self.more:
            text += 'tls_advertise_hosts =\n'
        text += self.more.rstrip('\n') + '\n' + ''.join('%s = %s\n' % (key, key) for key in lists)
        text += 'begin acl\n' + ''.join('%s:\n%s\n' % (key, body.strip('\n')) for key, body in lists.items())
        text += f'''begin routers
boxes:
  driver = accept
  domains = +local_domains
  address_data = ${{lookup{{$local_part}}{'lsearch' if self.users is not None else 'wildlsearch'}{{{users}}}{{$value}}fail}}
  transport = box
begin transports
box:
  driver = appendfile
  directory = {self.path('mail')}/$address_data
  maildir_format
  create_directory
  user = vmail
  group = vmail
begin retry
* * F,2h,15m
begin authenticators
{self.authenticators}
'''
        self.write('exim.conf', text.replace('{dir}', self.folder).replace('{domain}', self.domain))
        return ['/usr/sbin/exim4', '-C', self.path('exim.conf'), '-bdf', '-q30m']


TLS_SHIM = """#define _GNU_SOURCE
#include <dlfcn.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
/* OpenSMTPD 6.8 marks the key that it takes from a certificate; OpenSSL 3 hands out a copy of it. The copy is made the key itself. */
EVP_PKEY *X509_get_pubkey(X509 *x)
{
	EVP_PKEY *(*real)(X509 *) = (EVP_PKEY * (*)(X509 *)) dlsym(RTLD_NEXT, "X509_get_pubkey");
	EVP_PKEY *key = real(x);
	RSA *rsa = key != NULL ? EVP_PKEY_get1_RSA(key) : NULL;
	if (rsa != NULL) {
		EVP_PKEY_set1_RSA(key, rsa);
		RSA_free(rsa);
	}
	return key;
}
"""


def tls_shim():
    """the library that makes TLS of Debian 12's OpenSMTPD work, compiled once"""
    place = os.path.join(cache(), 'opensmtpd-tls.so')
    with locked('shim'):
        if not os.path.exists(place):
            work = place + '.%d' % os.getpid()
            p = command('cc', '-shared', '-fPIC', '-w', '-x', 'c', '-', '-o', work, '-lcrypto', '-ldl', input=TLS_SHIM)
            if p.returncode:
                raise OSError('no library for OpenSMTPD: ' + p.stderr[-300:])
            os.chmod(work, 0o755)
            os.rename(work, place)
    return place


class OpenSMTPD(Peer):
    """listeners={port: 'options of listen on'} are further ones; `more` stands before them (tables, filters, pki), `rules` behind (match). {dir} and {domain} are put
    in; the certificate of `tls` is the pki "peer".
    The package of Debian 12 fails every TLS handshake with OpenSSL 3 (that is mended here; broken_tls=True leaves it as it is). Its log has no times."""
    name = 'opensmtpd'

    def __init__(self, *args, listeners=None, rules='', broken_tls=False, **more):
        super().__init__(*args, **more)
        self.listeners, self.rules, self.broken_tls = listeners or {}, rules, broken_tls

    def environment(self):
        return {} if self.broken_tls else {'LD_PRELOAD': tls_shim()}

    def listening(self):
        return [(self.address, port) for port in (self.port, *self.listeners)]

    def filters(self):
        text, names = '', []
        for stage, phase in (('connect', 'connect'), ('helo', 'ehlo'), ('helo', 'helo'), ('mail', 'mail-from'), ('rcpt', 'rcpt-to'), ('data', 'data'), ('dot', 'commit')):
            for user, reply in self.refusals(stage):
                names.append('refuse-%s-%d' % (stage, len(names)))
                condition = 'rcpt-to { "%s@%s" }' % (user, self.domain) if user else 'src { "0.0.0.0/0" }'
                text += 'filter "%s" phase %s match %s %s "%s"\n' % (names[-1], phase, condition, 'disconnect' if stage == 'connect' else 'reject', reply)
        if names:
            text += 'filter "refusals" chain { %s }\n' % ', '.join('"%s"' % n for n in names)
        return text, ' filter "refusals"' if names else ''

    def configure(self):
        names = self.boxes()
        self.folder_of('lib/opensmtpd/empty')
        self.write('etc/mailname', self.hostname + '\n')
        number = USERS['vmail']
        self.write('accounts', ''.join('%s %d:%d:%s\n' % (n, number, number, self.path('mail', n)) for n in names))
        self.write('boxes', ''.join('%s@%s %s\n' % (n, self.domain, n) for n in names) if self.users is not None else '@%s any\n' % self.domain)
        filters, used = self.filters()
        text = ''
        options = ''
        if self.tls:
            text += 'pki peer cert "%s"\npki peer key "%s"\n' % self.own_tls()
            options = ' tls pki peer'
        text += 'table accounts file:{dir}/accounts\ntable boxes file:{dir}/boxes\n' + self.more + '\n' + filters
        text += 'listen on %s port %d hostname %s%s%s\n' % (self.address, self.port, self.hostname, options, used)
        for port, more in self.listeners.items():
            text += 'listen on %s port %d hostname %s %s\n' % (self.address, port, self.hostname, more)
        text += f'''action "local" maildir "{self.path('mail')}/%{{dest.user:lowercase}}" virtual <boxes> userbase <accounts>
match from any for domain "{self.domain}" action "local"
{self.rules}
'''
        self.write('smtpd.conf', text.replace('{dir}', self.folder).replace('{domain}', self.domain))
        self.log_path = self.path('output')
        return ['/usr/sbin/smtpd', '-d', '-f', self.path('smtpd.conf')]


class Dovecot(Peer):
    """everything but the places of its files stands in `more`; {dir} is put in. `ports` are those that it listens on once it is up."""
    name = 'dovecot'

    def __init__(self, *args, ports=(), **more):
        super().__init__(*args, **more)
        self.ports = tuple(ports)

    def listening(self):
        return [(self.address, port) for port in self.ports]

    def configure(self):
        self.boxes()
        self.folder_of('state')
        text = f'''base_dir = {self.folder_of('run/dovecot')}
state_dir = {self.path('state')}
log_path = {self.log_path}
log_timestamp = "%b %d %H:%M:%S "
listen = {self.address}
default_login_user = dovenull
default_internal_user = dovecot
default_internal_group = dovecot
mail_uid = vmail
mail_gid = vmail
first_valid_uid = 100
mail_location = maildir:{self.path('mail')}/%n
hostname = {self.hostname}
'''
        if self.tls:
            text += 'ssl_cert = <%s\nssl_key = <%s\n' % self.tls
        else:
            text += 'ssl = no\n'
        self.write('dovecot.conf', text + self.more.replace('{dir}', self.folder))
        return ['/usr/sbin/dovecot', '-F', '-c', self.path('dovecot.conf')]


RECEIVE = '''// takes mail for one domain, each message a file; refuses what config/refuse.json says
const fs = require('node:fs');
const DSN = require('haraka-dsn');
let n = 0;
exports.register = function () { this.set = this.config.get('receive.json'); };
function refusal(set, stage, user) {
	const r = set.refuse[stage];
	return typeof r === 'object' ? r[user] : r;
}
function say(next, reply) {
	const m = /^([45])(\\d\\d) (?:\\d\\.(\\d+)\\.(\\d+) )?(.*)$/.exec(reply);
	next(m[1] === '4' ? DENYSOFT : DENY, DSN.create(Number(m[1] + m[2]), m[5], Number(m[3] || 0), Number(m[4] || 0)));
}
for (const [stage, hook] of [['connect', 'connect'], ['helo', 'helo'], ['helo', 'ehlo'], ['mail', 'mail'], ['data', 'data'], ['dot', 'data_post']])
	exports['hook_' + hook] = function (next) { const r = refusal(this.set, stage); r ? say(next, r) : next(); };
exports.hook_rcpt = function (next, connection, params) {
	const to = params[0], user = String(to.user).toLowerCase(), r = refusal(this.set, 'rcpt', user);
	if (r) return say(next, r);
	if (String(to.host).toLowerCase() !== this.set.domain) return next();
	if (this.set.users && !this.set.users.includes(user)) return next(DENY, DSN.no_such_user());
	next(OK);
};
exports.hook_queue = function (next, connection) {
	const t = connection.transaction;
	const boxes = new Set(t.rcpt_to.map((to) => this.set.users ? String(to.user).toLowerCase() : 'any'));
	const name = `${Date.now()}.${process.pid}_${n++}.haraka`, first = `${this.set.mail}/${name}`;
	const ws = fs.createWriteStream(first);
	ws.once('error', (e) => next(DENYSOFT, e.message));
	ws.once('close', () => {
		for (const box of boxes) {
			fs.copyFileSync(first, `${this.set.mail}/${box}/tmp/${name}`);
			fs.renameSync(`${this.set.mail}/${box}/tmp/${name}`, `${this.set.mail}/${box}/new/${name}`);
		}
		fs.unlinkSync(first);
		next(OK);
	});
	t.message_stream.pipe(ws, { line_endings: '\\n' });
};
'''


class Haraka(Peer):
    """plugins={name: JavaScript} are put before its own (None: one that comes with it), config={file name: text} goes to its config folder, ports=(n, ...) are
    further ones that it listens on."""
    name = 'haraka'

    def __init__(self, *args, plugins=None, config=None, ports=(), **more):
        super().__init__(*args, **more)
        self.plugins, self.config, self.ports = plugins or {}, config or {}, tuple(ports)

    def listening(self):
        return [(self.address, port) for port in (self.port, *self.ports)]

    def configure(self):
        self.boxes()
        self.folder_of('home/queue')
        listen = ','.join('%s:%d' % (self.address, port) for port in (self.port, *self.ports))
        plugins = (['tls'] if self.tls else []) + list(self.plugins) + ['receive']
        config = {'me': self.hostname, 'smtp.ini': 'listen=%s\n' % listen, 'log.ini': '[main]\nlevel=info\ntimestamps=true\n', 'loglevel': 'INFO',
                  'plugins': '\n'.join(plugins) + '\n', 'outbound.ini': 'disabled=true\n'}
        with open(os.path.join(self.folders[0], 'node_modules/Haraka/config/connection.ini'), encoding='utf-8') as f:
            config['connection.ini'] = f.read()
        users = None if self.users is None else [u.lower() for u in self.users]
        config['receive.json'] = json.dumps({'domain': self.domain, 'users': users, 'mail': self.path('mail'), 'refuse': self.refuse})
        if self.tls:
            config['tls.ini'] = 'key=%s\ncert=%s\n' % (self.tls[1], self.tls[0])
            config['dhparams.pem'] = command('openssl', 'genpkey', '-genparam', '-algorithm', 'DH', '-pkeyopt', 'group:ffdhe2048').stdout  # else it makes one, slowly
        config.update(self.config)
        for name, text in config.items():
            self.write('home/config/' + name, text)
        for name, text in (*self.plugins.items(), ('receive', RECEIVE)):
            if text is not None:
                self.write('home/plugins/%s.js' % name, text)
        self.write('home/package.json', '{"name":"peer","version":"1.0.0"}')
        self.log_path = self.path('output')
        return ['node', os.path.join(self.folders[0], 'node_modules/Haraka/bin/haraka'), '-c', self.path('home')]

    def environment(self):
        return {'HARAKA_HOME': os.path.join(self.folders[0], 'node_modules/Haraka')}


class Nsd(Peer):
    """Nsd({zone: text}): authoritative for them. Put in a signed zone as it is (it begins with its SOA)."""
    name = 'nsd'

    def __init__(self, zones, address=None, port=53):
        super().__init__(address=address or free_address(), port=port)
        self.zones = zones

    def set(self, name, text):
        """changes or adds a zone; takes hold with the next start()"""
        self.zones[name] = text

    def configure(self):
        text = f'''server:
  ip-address: {self.address}@{self.port}
  username: nsd
  zonesdir: "{self.folder}"
  database: ""
  pidfile: ""
  xfrdfile: ""
  zonelistfile: "{self.path('zonelist')}"
  logfile: "{self.log_path}"
  server-count: 1
remote-control:
  control-enable: no
'''
        for name, body in self.zones.items():
            whole = body if re.search(r'\bSOA\b', body) else zone(name, body)
            self.write('zone.' + name, whole)
            text += 'zone:\n  name: "%s"\n  zonefile: "zone.%s"\n' % (name, name)
        os.chown(self.folder, USERS['nsd'], USERS['nsd'])
        return ['/usr/sbin/nsd', '-d', '-c', self.write('nsd.conf', text)]
