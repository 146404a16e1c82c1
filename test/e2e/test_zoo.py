"""The fault zoo: Postfix, Exim, OpenSMTPD, Dovecot and Haraka with deliberate faults (zoo.py). `mailroom doctor` must name each fault, `mailroom explain` must find
the planted one in the log that the server wrote of it. A set-up has one right answer; two only where nobody could tell from outside, and the name says why.
Says what was named wrongly and `N of N named right`; `python3 test/e2e/test_zoo.py` does the doctor's part alone and ends with that line."""
import concurrent.futures
import json
import os
import smtplib
import socket
import ssl
import subprocess
import time

import pytest

import mailroom
import peers
import zoo

ALICE, FRIEND = 'alice@zoo.test', 'friend@elsewhere.example'
AT_ONCE = 6

NOBODY_LISTENS = {'server-down', 'port-blocked-or-wrong-host'}     # whether something should listen there is known to its owner
NO_ANSWER = {'firewall-drop', 'port-blocked-or-wrong-host'}        # a filter on the way, or no machine
HIDDEN_AUTH = {'tls-required', 'auth-cleartext-refused'}           # AUTH comes only after STARTTLS: both are what the owner set
NOT_YET_VALID = {'tls-cert-untrusted', 'clock-wrong'}              # the certificate's beginning or this computer's clock
INVALID_RECIPIENT = {'relay-denied-unauth', 'rcpt-unknown'}        # OpenSMTPD says "Invalid recipient" to either
ACCESS_DENIED = {'client-host-denied', 'policy-unspecified'}       # the owner's list is not shown


class Fault:
    """doctor's options for one set-up, and what it has to say; slugs None: that all is well"""

    def __init__(self, name, slugs, listener=None, security='', address=ALICE, login=None, password=zoo.PASSWORD, to=None, send=False, clear=False,
                 before=None):
        self.name, self.listener, self.security, self.before = name, listener or name, security, before
        self.slugs = None if slugs is None else {slugs} if isinstance(slugs, str) else slugs
        self.args = [address] + (['--login', login] if login else []) + (['--to', to] if to else [])
        self.args += (['--send'] if send else []) + (['--allow-cleartext'] if clear else [])
        self.password = password

    def run(self, z):
        held = self.before(z, self) if self.before else None
        try:
            port, host = z.port.get(self.listener), z.host.get(self.listener)
            words = [mailroom.program(), 'doctor', *self.args, '--server', host, '--port', '%d%s' % (port, '/' + self.security if self.security else ''), '--wait', '5', '--json']
            p = subprocess.run(words + (['--password-stdin'] if self.password else []), input=(self.password or '') + '\n', capture_output=True, text=True, timeout=120,
                               env=dict(os.environ, SSL_CERT_FILE=z.authority.trust))
        finally:
            if held:
                held.close()
        if p.returncode not in (0, 1):
            return 'status %d: %s' % (p.returncode, p.stderr[-300:]), ''
        said = json.loads(p.stdout)
        return said['slug'], said.get('evidence', '')

    def is_right(self, slug):
        return slug is None if self.slugs is None else slug in self.slugs


# ---- what some of them need first

def sign_in(z, listener):
    s = smtplib.SMTP(z.host[listener], z.port[listener], timeout=20)
    s.starttls(context=ssl.create_default_context(cafile=z.authority.trust))
    s.login(ALICE, zoo.PASSWORD)
    return s


def one_message_before(z, fault):
    s = sign_in(z, fault.listener)
    s.sendmail(ALICE, [ALICE], b'Subject: one\r\n\r\n')
    return s


def one_recipient_before(z, fault):
    s = sign_in(z, fault.listener)
    s.mail(ALICE)
    s.rcpt(ALICE)
    return s


def one_sign_in_before(z, fault):
    return sign_in(z, fault.listener)


def one_connection_before(z, fault):
    s = smtplib.SMTP(z.host[fault.listener], z.port[fault.listener], timeout=20)
    s.ehlo('pc')
    return s


def in_use(z, fault):
    context = ssl.create_default_context(cafile=z.authority.trust)
    s = context.wrap_socket(socket.create_connection((z.host['dovecot-pop3s'], z.port['dovecot-pop3s']), timeout=20), server_hostname=z.host['dovecot-pop3s'])
    for line in ('', 'USER bob@zoo.test', 'PASS ' + zoo.PASSWORD):
        s.sendall(line.encode() + b'\r\n' if line else b'')
        assert s.recv(1000).startswith(b'+OK')
    return s


class Swallowed:
    """a port whose queue of connections is full: what comes more gets no answer, as behind a filter"""

    def __init__(self, z, fault):
        self.sock = socket.socket()
        self.sock.bind(('127.0.0.1', 0))
        self.sock.listen(0)
        self.held = []
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex(self.sock.getsockname())
            self.held.append(s)
        time.sleep(0.1)
        z.port[fault.listener], z.host[fault.listener] = self.sock.getsockname()[1], '127.0.0.1'

    def close(self):
        for s in [self.sock, *self.held]:
            s.close()


def nobody(z, fault):
    z.port[fault.listener], z.host[fault.listener] = 1, z.address


WRONG = 'wrong-Pw 1'
FAULTS = [
    # Postfix, with Dovecot behind its sign-in
    Fault('postfix-good', None),
    Fault('postfix-relay-denied', 'relay-denied-unauth', 'postfix-mx', password=None, to=FRIEND),
    Fault('postfix-sign-in-required', 'auth-required', 'postfix-auth', password=None, to=FRIEND),
    Fault('postfix-starttls-required', 'tls-required', 'postfix-required', 'none', password=None, to=ALICE),
    Fault('postfix-auth-after-starttls', HIDDEN_AUTH, 'postfix-good', 'none', clear=True),
    Fault('postfix-wrong-password', 'auth-bad-credentials', 'postfix-good', password=WRONG),
    Fault('postfix-no-auth', 'auth-not-advertised', 'postfix-mx'),
    Fault('postfix-no-tls', 'tls-not-offered', 'postfix-clear'),
    Fault('postfix-sender-not-owned', 'sender-not-owned', 'postfix-owner', address='bob@zoo.test', login=ALICE),
    Fault('postfix-user-unknown', 'rcpt-unknown', 'postfix-good', to='nobody@zoo.test'),
    Fault('postfix-mailbox-full', 'rcpt-mailbox-full', 'postfix-quota', to='full@zoo.test'),
    Fault('postfix-too-big', 'message-too-big', 'postfix-big', send=True),
    Fault('postfix-greylisting', 'greylisted', 'postfix-grey'),
    Fault('postfix-message-rate', 'rate-limit-ip', 'postfix-rate', before=one_message_before),
    Fault('postfix-recipient-rate', 'rate-limit-ip', 'postfix-recipients', before=one_recipient_before),
    Fault('postfix-sign-in-rate', 'auth-rate-limited', 'postfix-signins', before=one_sign_in_before),
    Fault('postfix-connections', 'too-many-connections-address', 'postfix-connections', before=one_connection_before),
    Fault('postfix-helo', 'helo-invalid', 'postfix-helo', password=None, to=ALICE),
    Fault('postfix-dnsbl', 'ip-dnsbl', 'postfix-dnsbl', password=None, to=ALICE),
    Fault('postfix-access-denied', ACCESS_DENIED, 'postfix-access'),
    Fault('postfix-sender-domain', 'sender-domain-not-found', 'postfix-domain', address='alice@nowhere.zoo.test', login=ALICE),
    Fault('postfix-policy-server-down', 'server-temp-error', 'postfix-verify'),
    Fault('postfix-expired', 'tls-cert-untrusted', 'postfix-expired'),
    Fault('postfix-not-yet-valid', NOT_YET_VALID, 'postfix-early'),
    Fault('postfix-other-name', 'tls-cert-name-mismatch', 'postfix-other'),
    Fault('postfix-self-signed', 'tls-cert-untrusted', 'postfix-self'),
    Fault('postfix-tls-to-starttls', 'tls-mode-mismatch', 'postfix-good', 'tls'),
    Fault('postfix-starttls-to-tls', 'tls-mode-mismatch', 'postfix-tls', 'starttls'),
    # Exim
    Fault('exim-good', None),
    Fault('exim-tls', None),
    Fault('exim-relay-denied', 'relay-denied-unauth', 'exim-good', password=None, to=FRIEND),
    Fault('exim-wrong-password', 'auth-bad-credentials', 'exim-good', password=WRONG),
    Fault('exim-auth-after-starttls', HIDDEN_AUTH, 'exim-good', 'none', clear=True),
    Fault('exim-starttls-required', 'tls-required', 'exim-tlsmail', 'none', password=None, to=ALICE),
    Fault('exim-sender-not-owned', 'sender-not-owned', 'exim-owner', address='bob@zoo.test', login=ALICE),
    Fault('exim-user-unknown', 'rcpt-unknown', 'exim-good', password=None, to='nobody@zoo.test'),
    Fault('exim-greylisting', 'greylisted', 'exim-grey'),
    Fault('exim-rate', 'rate-limit-sender', 'exim-rate'),
    Fault('exim-dnsbl', 'ip-dnsbl', 'exim-dnsbl', password=None, to=ALICE),
    Fault('exim-mailbox-full', 'rcpt-mailbox-full', 'exim-quota', to='full@zoo.test'),
    Fault('exim-too-many-recipients', 'too-many-recipients', 'exim-many'),
    Fault('exim-prohibited', 'policy-unspecified', 'exim-prohibited'),
    Fault('exim-helo', 'helo-invalid', 'exim-helo'),
    Fault('exim-too-many-connections', 'too-many-connections', 'exim-busy'),
    Fault('exim-tls-to-starttls', 'tls-mode-mismatch', 'exim-good', 'tls'),
    Fault('exim-starttls-to-tls', 'tls-mode-mismatch', 'exim-tls', 'starttls'),
    # OpenSMTPD
    Fault('opensmtpd-good', None),
    Fault('opensmtpd-relay-denied', INVALID_RECIPIENT, 'opensmtpd-mx', password=None, to=FRIEND),
    Fault('opensmtpd-sign-in-required', 'auth-required', 'opensmtpd-auth', password=None, to=FRIEND),
    Fault('opensmtpd-starttls-required', 'tls-required', 'opensmtpd-required', 'none', password=None, to=ALICE),
    Fault('opensmtpd-wrong-password', 'auth-bad-credentials', 'opensmtpd-good', password=WRONG),
    Fault('opensmtpd-sender-not-owned', 'sender-not-owned', 'opensmtpd-owner', address='bob@zoo.test', login=ALICE),
    Fault('opensmtpd-user-unknown', 'rcpt-unknown', 'opensmtpd-good', to='nobody@zoo.test'),
    Fault('opensmtpd-greylisting', 'greylisted', 'opensmtpd-grey'),
    Fault('opensmtpd-blocklist', 'ip-dnsbl', 'opensmtpd-blocked'),
    Fault('opensmtpd-broken-tls', 'tls-handshake-failed', 'opensmtpd-broken'),
    Fault('opensmtpd-starttls-to-tls', 'tls-mode-mismatch', 'opensmtpd-tls', 'starttls'),
    # Dovecot: submission, POP3, IMAP
    Fault('dovecot-submission-wrong-password', 'auth-bad-credentials', 'dovecot-submission', password=WRONG),
    Fault('dovecot-submission-disabled', 'auth-account-disabled', 'dovecot-submission', address='off@zoo.test'),
    Fault('dovecot-submission-auth-down', 'auth-temporarily-unavailable', 'broken-submission'),
    Fault('dovecot-submission-relay-down', 'remote-unreachable', 'dovecot-submissions'),
    Fault('dovecot-submission-cleartext', HIDDEN_AUTH, 'dovecot-submission', 'none', clear=True),
    Fault('dovecot-pop3', None),
    Fault('dovecot-pop3-wrong-password', 'auth-bad-credentials', 'dovecot-pop3', password=WRONG),
    Fault('dovecot-pop3-cleartext', HIDDEN_AUTH, 'dovecot-pop3', 'none', clear=True),
    Fault('dovecot-pop3-disabled', 'auth-account-disabled', 'dovecot-pop3s', address='off@zoo.test'),
    Fault('dovecot-pop3-auth-down', 'auth-temporarily-unavailable', 'broken-pop3'),
    Fault('dovecot-pop3-in-use', 'too-many-connections-address', 'dovecot-pop3s', 'tls', address='bob@zoo.test', before=in_use),
    Fault('dovecot-pop3-tls-to-starttls', 'tls-mode-mismatch', 'dovecot-pop3', 'tls'),
    Fault('dovecot-imap-port-for-sending', 'wrong-port', 'dovecot-imap', to=FRIEND, send=True),
    # Haraka
    Fault('haraka-good', None),
    Fault('haraka-relay-denied', 'relay-denied-unauth', 'haraka-good', password=None, to=FRIEND),
    Fault('haraka-sign-in-required', 'auth-required', 'haraka-auth', password=None, to=ALICE),
    Fault('haraka-wrong-password', 'auth-bad-credentials', 'haraka-good', password=WRONG),
    Fault('haraka-no-tls', 'tls-not-offered', 'haraka-clear'),
    Fault('haraka-user-unknown', 'rcpt-unknown', 'haraka-good', password=None, to='nobody@zoo.test'),
    Fault('haraka-busy', 'server-overloaded', 'haraka-busy'),
    Fault('haraka-virus', 'virus-detected', 'haraka-virus', send=True),
    Fault('haraka-spam', 'spam-content', 'haraka-spam', send=True),
    Fault('haraka-tls-to-starttls', 'tls-mode-mismatch', 'haraka-good', 'tls'),
    # no server
    Fault('server-down', NOBODY_LISTENS, before=nobody),
    Fault('port-filtered', NO_ANSWER, before=Swallowed),
]


@pytest.fixture(scope='module')
def servers(tmp_path_factory):
    peers.have(*peers.PACKAGES)
    with zoo.Zoo(tmp_path_factory.mktemp('zoo')) as z:
        yield z


def named(servers):
    """how many set-ups the doctor named right; says which it did not"""
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        said = list(pool.map(lambda fault: fault.run(servers), FAULTS))
    right = 0
    for fault, (slug, evidence) in zip(FAULTS, said):
        right += fault.is_right(slug)
        if not fault.is_right(slug):
            print('%s: %s, not %s (%s)' % (fault.name, slug, ' or '.join(sorted(fault.slugs or ['fine'])), evidence))
    print('%d set-ups in %.0f s' % (len(FAULTS), time.monotonic() - began))
    return right


def test_the_doctor_names_each_fault(servers, capsys):
    assert len(FAULTS) >= 30 and len({f.name for f in FAULTS}) == len(FAULTS)
    with capsys.disabled():
        right = named(servers)
        print('%d of %d named right' % (right, len(FAULTS)))
    assert right == len(FAULTS)


# ---- what the servers wrote of it

# two of each, and what explain has to say of the log: what the server knew
LOGGED = {
    'postfix': {'postfix-sender-not-owned': 'sender-not-owned', 'postfix-greylisting': 'greylisted', 'postfix-wrong-password': 'auth-bad-credentials',
                'postfix-relay-denied': 'relay-denied-unauth', 'postfix-mailbox-full': 'rcpt-mailbox-full', 'postfix-dnsbl': 'ip-dnsbl'},
    'exim': {'exim-relay-denied': 'relay-denied-unauth', 'exim-wrong-password': 'auth-bad-credentials', 'exim-sender-not-owned': 'sender-not-owned', 'exim-dnsbl': 'ip-dnsbl',
             'exim-greylisting': 'greylisted', 'exim-too-many-recipients': 'too-many-recipients'},
    'opensmtpd': {'opensmtpd-sign-in-required': 'auth-required', 'opensmtpd-sender-not-owned': 'sender-not-owned', 'opensmtpd-wrong-password': 'auth-bad-credentials',
                  'opensmtpd-greylisting': 'greylisted', 'opensmtpd-user-unknown': 'rcpt-unknown'},
    'dovecot': {'dovecot-pop3-wrong-password': 'auth-bad-credentials', 'dovecot-pop3-in-use': 'too-many-connections-address'},
    'broken': {'dovecot-pop3-auth-down': 'auth-temporarily-unavailable', 'dovecot-submission-auth-down': 'auth-temporarily-unavailable'},
    'haraka': {'haraka-user-unknown': 'rcpt-unknown', 'haraka-sign-in-required': 'auth-required', 'haraka-relay-denied': 'relay-denied-unauth', 'haraka-busy': 'server-overloaded',
               'haraka-virus': 'virus-detected'},
}


def settled(peer):
    """the log, once nothing more is written to it"""
    text = peer.log()
    while True:
        time.sleep(0.3)
        more = peer.log()
        if len(more) == len(text):
            return more
        text = more


def explained(z, server):
    """[(fault, cause that explain names first)] of the lines that its log got from each"""
    by_name = {fault.name: fault for fault in FAULTS}
    peer = getattr(z, server)
    out = []
    for name in LOGGED[server]:
        before = len(settled(peer))
        for _ in range(2):
            by_name[name].run(z)
        lines = settled(peer)[before:]
        p = subprocess.run([mailroom.program(), 'explain', '--json'], input=lines, capture_output=True, text=True, timeout=60)
        causes = json.loads(p.stdout)['causes'] if p.returncode in (0, 1) else []
        out.append((name, causes[0]['slug'] if causes else None, lines))
    return out


def test_explain_finds_them_in_the_logs(servers):
    with concurrent.futures.ThreadPoolExecutor(len(LOGGED)) as pool:
        found = [row for rows in pool.map(lambda server: [(server, *row) for row in explained(servers, server)], LOGGED) for row in rows]
    right = 0
    for server, name, slug, lines in found:
        right += slug == LOGGED[server][name]
        if slug != LOGGED[server][name]:
            print('%s: %s, not %s\n%s' % (name, slug, LOGGED[server][name], lines))
    print('%d of %d named right in the logs' % (right, len(found)))
    assert right == len(found) and {server for server, *_ in found} >= set(zoo.SERVERS)


def test_the_503_of_exim(servers):
    """`503 valid RCPT command must precede DATA`, which says nothing, and what is behind it"""
    s = smtplib.SMTP(timeout=20)
    talk = ['S: 220 ' + s.connect(servers.host['exim-clear'], servers.port['exim-clear'])[1].decode()]
    for line in ('EHLO pc', 'MAIL FROM:<%s>' % ALICE, 'RCPT TO:<%s>' % FRIEND, 'DATA'):
        code, text = s.docmd(line)
        lines = text.decode().split('\n')
        talk += ['C: ' + line] + ['S: %d%s%s' % (code, '-' if i + 1 < len(lines) else ' ', words) for i, words in enumerate(lines)]
    s.close()
    assert 'alid RCPT command must precede DATA' in talk[-1], talk
    p = subprocess.run([mailroom.program(), 'explain', '--json'], input='\n'.join(talk) + '\n', capture_output=True, text=True, timeout=60)
    said = json.loads(p.stdout)
    assert said['causes'][0]['slug'] == 'relay-denied-unauth' and said['emitter'] == 'exim', said


if __name__ == '__main__':
    import tempfile
    with tempfile.TemporaryDirectory() as folder, zoo.Zoo(folder) as all_of_them:
        print('%d of %d named right' % (named(all_of_them), len(FAULTS)))
