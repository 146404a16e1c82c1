"""mailroom doctor: every fault is named by its cause, and what works is said with its settings. Against this program's own server, and against fakes that do
what no decent server does."""
import json
import os
import socket
import ssl
import subprocess
import threading
import time

import pytest

import mailroom

WAIT = '3'  # seconds for one reply, so that silent servers do not hold the tests up


def expired(folder):
    """(chain, key) of one whose time is over"""
    chain, key, request, conf = (str(folder / name) for name in ('old.crt', 'old.key', 'old.csr', 'ca.conf'))
    (folder / 'index.txt').write_text('')
    (folder / 'ca.conf').write_text('[ca]\ndefault_ca = a\n[a]\ndatabase = %s\nnew_certs_dir = %s\nrand_serial = yes\ndefault_md = sha256\npolicy = p\n'
                                    'copy_extensions = copy\n[p]\ncommonName = supplied\n' % (folder / 'index.txt', folder))
    subprocess.run(['openssl', 'req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', request, '-subj', '/CN=localhost',
                    '-addext', 'subjectAltName=DNS:localhost'], check=True, capture_output=True)
    subprocess.run(['openssl', 'ca', '-batch', '-selfsign', '-notext', '-config', conf, '-keyfile', key, '-in', request, '-out', chain, '-startdate', '20200101000000Z',
                    '-enddate', '20210101000000Z'], check=True, capture_output=True)
    return chain, key


def certificate(folder, name, host='localhost'):
    """(chain, key) of a certificate that signs itself"""
    chain, key = str(folder / (name + '.crt')), str(folder / (name + '.key'))
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', chain, '-days', '30', '-subj',
                    '/CN=' + host, '-addext', 'subjectAltName=DNS:' + host], check=True, capture_output=True)
    return chain, key


@pytest.fixture(scope='module')
def certs(tmp_path_factory):
    folder = tmp_path_factory.mktemp('certs')
    return {'good': certificate(folder, 'good'), 'old': expired(folder), 'other': certificate(folder, 'other', host='mail.other.example')}


@pytest.fixture(scope='module')
def server(certs):
    """a running system whose certificate is for localhost"""
    with mailroom.System(start=False) as m:
        for source, name in zip(certs['good'], ('tls/default.crt', 'keys/default.key')):
            with open(source) as f, open(os.path.join(m.home, name), 'w') as to:
                to.write(f.read())
        m.start()
        yield m


def doctor(*args, password=None, trust=None, address='alice@mailroom.test', server='localhost'):
    """(exit status, what --json says, standard error)"""
    more = ['--password-stdin'] if password else []
    words = [mailroom.program(), 'doctor', address, '--wait', WAIT, '--json', *more, *map(str, args)] + (['--server', server] if server else [])
    p = subprocess.run(words, input=(password or '') + '\n', capture_output=True, text=True, timeout=120,
                       env=dict(os.environ, SSL_CERT_FILE=trust[0] if trust else '/dev/null'))
    assert p.returncode in (0, 1), p.stderr
    if password:
        assert password not in p.stdout + p.stderr
    return p.returncode, json.loads(p.stdout), p.stderr


def names(slug, *args, **more):
    """the doctor ends with that cause, with evidence and a next step; what it printed"""
    status, said, _ = doctor(*args, **more)
    assert (status, said['slug']) == (1, slug), json.dumps(said, indent=1)
    assert not said['ok'] and said['evidence'] and said['next'] and said['meaning']
    return said


class Fake:
    """a server on a free port of loopback; act(conn, file) plays one connection"""

    def __init__(self, act):
        self.act, self.heard, self.connections = act, [], 0
        self.sock = socket.create_server(('127.0.0.1', 0))
        self.port = self.sock.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while True:
            try:
                conn = self.sock.accept()[0]
            except OSError:
                return
            self.connections += 1
            conn.settimeout(20)
            try:
                self.act(self, conn)
            except (OSError, ValueError):
                pass
            finally:
                conn.close()

    def talk(self, conn, replies, greeting='220 fake.example ESMTP'):
        """SMTP with one reply for each verb; an unknown verb gets 250"""
        conn.sendall(greeting.encode() + b'\r\n')
        for line in conn.makefile('rb'):
            line = line.decode(errors='replace').strip()
            self.heard.append(line)
            verb = line.split(' ')[0].upper()
            reply = replies.get(verb, '221 bye' if verb == 'QUIT' else '250 ok')
            if callable(reply):
                conn = reply(conn)
                return self.talk_on(conn, replies)
            conn.sendall(reply.replace('\n', '\r\n').encode() + b'\r\n')
            if verb == 'QUIT' or reply.startswith('421'):
                return None
        return None

    def talk_on(self, conn, replies):
        for line in conn.makefile('rb'):
            line = line.decode(errors='replace').strip()
            data = 'DATA' in self.heard and '.' not in self.heard
            self.heard.append(line)
            if data and line != '.':
                continue
            verb = line.split(' ')[0].upper()
            conn.sendall(replies.get('TLS ' + verb, '221 bye' if verb == 'QUIT' else '250 ok').replace('\n', '\r\n').encode() + b'\r\n')
        conn.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.sock.close()


def smtp(replies, greeting='220 fake.example ESMTP'):
    return Fake(lambda fake, conn: fake.talk(conn, replies, greeting))


def starttls(cert):
    def wrap(conn):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*cert)
        conn.sendall(b'220 go ahead\r\n')
        return context.wrap_socket(conn, server_side=True)
    return wrap


EHLO_TLS = '250-fake.example\n250 STARTTLS'
EHLO_AUTH = '250-fake.example\n250-SIZE 1000000\n250 AUTH PLAIN LOGIN'


def encrypted(cert, **more):
    """STARTTLS with that certificate, then AUTH and the replies of more"""
    return smtp({'EHLO': EHLO_TLS, 'STARTTLS': starttls(cert), 'TLS EHLO': EHLO_AUTH, **{'TLS ' + k: v for k, v in more.items()}})


# ---- what works

@pytest.mark.parametrize('listener,security', [('submission', 'starttls'), ('submissions', 'tls')])
def test_a_right_password_works(server, certs, listener, security):
    status, said, err = doctor('--port', server.port[listener], '--progress', password='alice-Pw 1', trust=certs['good'])
    assert (status, said['ok'], said['slug']) == (0, True, None), json.dumps(said, indent=1)
    assert said['settings'] == [{'protocol': 'smtp', 'server': 'localhost', 'port': server.port[listener], 'security': security, 'login': 'alice@mailroom.test'}]
    port = said['ports'][0]
    assert port['signed_in'] and port['size_bytes'] > 0 and not port['sent'] and port['relayed'] and 'mail for elsewhere' in port['tested']
    assert 'trying localhost port' in err and '  works' in err
    assert 'localhost' in port['certificate']


@pytest.mark.parametrize('listener,security', [('pop3', 'starttls'), ('pop3s', 'tls')])
def test_pop3_works(server, certs, listener, security):
    status, said, _ = doctor('--port', server.port[listener], password='alice-Pw 1', trust=certs['good'])
    assert status == 0 and said['settings'][0]['security'] == security and said['settings'][0]['protocol'] == 'pop3', said
    assert said['ports'][0]['signed_in']


def test_a_message_is_sent_only_when_told(server, certs):
    before = len(server.message_ids())
    assert doctor('--port', server.port['submission'], password='alice-Pw 1', trust=certs['good'])[0] == 0
    assert len(server.message_ids()) == before
    status, said, _ = doctor('--port', server.port['submission'], '--send', password='alice-Pw 1', trust=certs['good'])
    assert status == 0 and said['ports'][0]['sent'], said
    end = time.monotonic() + 20
    while len(server.message_ids()) == before and time.monotonic() < end:
        time.sleep(0.1)
    assert len(server.message_ids()) == before + 1


def test_words_for_people(server, certs):
    p = subprocess.run([mailroom.program(), 'doctor', 'alice@mailroom.test', '--server', 'localhost', '--port', str(server.port['submission']), '--password-stdin'],
                       input='alice-Pw 1\n', capture_output=True, text=True, env=dict(os.environ, SSL_CERT_FILE=certs['good'][0]))
    assert p.returncode == 0 and 'Everything that was tried works.' in p.stdout, p.stdout
    assert 'server localhost, port %d, security STARTTLS, user name alice@mailroom.test' % server.port['submission'] in p.stdout
    p = subprocess.run([mailroom.program(), 'doctor', 'alice@mailroom.test', '--server', 'localhost', '--port', str(server.port['submission']), '--password-stdin'],
                       input='wrong-Pw\n', capture_output=True, text=True, env=dict(os.environ, SSL_CERT_FILE=certs['good'][0]))
    assert p.returncode == 1 and 'Cause: auth-bad-credentials' in p.stdout and 'Next step: ' in p.stdout, p.stdout


# ---- faults of the settings, against a server that is right

def test_wrong_password_is_tried_once(server, certs):
    said = names('auth-bad-credentials', '--port', server.port['submission'], '--port', server.port['submissions'], '--port', server.port['pop3'], password='wrong-Pw 1',
                 trust=certs['good'])
    assert [p['slug'] for p in said['ports']] == ['auth-bad-credentials'] * 3
    assert 'not tried here' in said['ports'][1]['evidence'] and 'not tried here' in said['ports'][2]['evidence']


def test_not_signed_in(server, certs):
    names('relay-denied-unauth', '--port', '%d/starttls' % server.port['mx'], '--to', 'friend@example.net', trust=certs['good'])
    names('auth-required', '--port', server.port['submission'], '--to', 'friend@example.net', trust=certs['good'])


def test_tls_to_a_plain_port(server, certs):
    said = names('tls-mode-mismatch', '--port', '%d/tls' % server.port['submission'], password='alice-Pw 1', trust=certs['good'])
    assert 'STARTTLS' in said['next']


def test_starttls_to_a_tls_port(server, certs):
    said = names('tls-mode-mismatch', '--port', '%d/starttls' % server.port['submissions'], password='alice-Pw 1', trust=certs['good'])
    assert 'SSL/TLS' in said['next']


def test_no_encryption_where_it_is_required(server, certs):
    names('tls-required', '--port', '%d/none' % server.port['submission'], trust=certs['good'])


def test_self_signed_certificate_gets_no_password(server):
    said = names('tls-cert-untrusted', '--port', server.port['submission'], '--port', server.port['submissions'], password='alice-Pw 1')
    assert 'self' in said['evidence'] and not any(p['signed_in'] for p in said['ports'])


def test_certificate_for_another_name(certs):
    with encrypted(certs['other']) as fake:
        said = names('tls-cert-name-mismatch', '--port', fake.port, password='secret-Pw 1', trust=certs['other'])
        assert 'mail.other.example' in said['evidence'] and not any('AUTH' in line for line in fake.heard)


def test_expired_certificate(certs):
    with encrypted(certs['old']) as fake:
        said = names('tls-cert-untrusted', '--port', fake.port, password='secret-Pw 1', trust=certs['old'])
        assert 'expired' in said['evidence'] and not any('AUTH' in line for line in fake.heard)


# ---- faults of the network and of the server

def test_closed_port():
    said = names('port-blocked-or-wrong-host', '--port', mailroom.free_ports(1)[0])
    assert 'refused' in said['evidence']


def test_wrong_port_beside_a_right_one(server, certs):
    status, said, _ = doctor('--port', mailroom.free_ports(1)[0], '--port', server.port['submission'], password='alice-Pw 1', trust=certs['good'])
    assert status == 0 and said['ports'][0]['slug'] == 'port-blocked-or-wrong-host' and len(said['settings']) == 1


def test_the_usual_ports_of_a_machine_without_a_server():
    """an address of loopback that nobody else uses"""
    server = '127.91.%d.1' % (os.getpid() % 250 + 1)
    said = names('port-blocked-or-wrong-host', server=server)
    assert [p['port'] for p in said['ports']] == [465, 587, 25, 2525, 26, 50, 995, 993, 110, 143] and {p['network'] for p in said['ports']} == {'refused'}


def test_the_usual_names(server):
    status, said, err = doctor('--progress', address='alice@nothing.invalid', server=None)
    assert status == 1 and said['slug'] == 'server-name-unknown'
    assert [h['server'] for h in said['hosts']] == ['%snothing.invalid' % p for p in ('mail.', 'smtp.', 'imap.', 'pop.', '')]
    assert 'looking up _submissions._tcp.nothing.invalid' in err and 'looking up the MX of nothing.invalid' in err


def test_a_name_that_does_not_exist():
    status, said, _ = doctor('--port', 587, server='nothing.invalid')
    assert status == 1 and said['slug'] == 'server-name-unknown' and 'nothing.invalid' in said['evidence'] and not said['ports']


def test_no_way_there():
    status, said, _ = doctor('--port', 587, '--port', 465, '--port', 25, server='255.255.255.255')
    assert status == 1 and said['slug'] == 'remote-unreachable', said


def silent(fake, conn):
    conn.recv(1)
    time.sleep(8)


def flood(fake, conn):
    while True:
        conn.sendall(b'220-' + b'x' * 60 + b'\r\n')


def flood_without_lines(fake, conn):
    while True:
        conn.sendall(b'A' * 1000)


def drip(fake, conn):
    for c in b'220 ' + b'x' * 200:
        conn.sendall(bytes([c]))
        time.sleep(0.2)


def http(fake, conn):
    conn.recv(4096)
    conn.sendall(b'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n')


def garbage(fake, conn):
    conn.sendall(b'SSH-2.0-\x1b[31mOpenSSH\x00\r\n')


def hang_up(fake, conn):
    pass


@pytest.mark.parametrize('act,slug', [(silent, 'timeout'), (flood, 'foreign-protocol'), (flood_without_lines, 'foreign-protocol'), (drip, 'timeout'), (http, 'foreign-protocol'),
                                      (garbage, 'foreign-protocol'), (hang_up, 'port-blocked-or-wrong-host')], ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_a_server_that_is_none(act, slug):
    with Fake(act) as fake:
        said = names(slug, '--port', fake.port, password='secret-Pw 1')
        assert fake.connections <= 2 and '\x1b' not in json.dumps(said, ensure_ascii=False)


def after_ehlo(then):
    def act(fake, conn):
        conn.sendall(b'220 fake.example ESMTP\r\n')
        conn.recv(4096)
        then(fake, conn)
    return act


@pytest.mark.parametrize('then,slug', [(flood, 'foreign-protocol'), (flood_without_lines, 'foreign-protocol'), (drip, 'timeout'), (silent, 'timeout'), (hang_up, 'insufficient-text')],
                         ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_a_server_that_begins_well(then, slug):
    with Fake(after_ehlo(then)) as fake:
        said = names(slug, '--port', fake.port, password='secret-Pw 1')
        assert fake.connections == 1 and said['ports'][0]['protocol'] == 'smtp'


@pytest.mark.parametrize('security', ['tls', 'starttls'])
def test_http_however_it_is_set(security):
    with Fake(http) as fake:
        names('foreign-protocol', '--port', '%d/%s' % (fake.port, security))


def imap(offer, cert=None):
    def act(fake, conn):
        conn.sendall(b'* OK ready\r\n')
        for line in conn.makefile('rb'):
            if b'CAPABILITY' in line:
                conn.sendall(b'* CAPABILITY IMAP4rev1%s\r\na OK done\r\n' % offer)
            elif b'STARTTLS' in line:
                conn.sendall(b'a OK go\r\n')
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(*cert)
                conn = context.wrap_socket(conn, server_side=True)
                for more in conn.makefile('rb'):
                    conn.sendall(b'* CAPABILITY IMAP4rev1\r\na OK done\r\n' if b'CAPABILITY' in more else b'* BYE\r\na OK bye\r\n')
                return
            else:
                conn.sendall(b'* BYE\r\na OK bye\r\n')
    return Fake(act)


def test_imap(certs):
    with imap(b' STARTTLS', certs['good']) as fake:
        status, said, _ = doctor('--port', fake.port, trust=certs['good'])
        assert status == 0 and (said['settings'][0]['protocol'], said['settings'][0]['security']) == ('imap', 'starttls'), said
    with imap(b'') as fake:
        names('tls-not-offered', '--port', fake.port)


def test_one_message_however_many_ports(certs):
    with encrypted(certs['good'], AUTH='235 welcome', DATA='354 go') as a, encrypted(certs['good'], AUTH='235 welcome', DATA='354 go') as b:
        status, said, _ = doctor('--port', a.port, '--port', b.port, '--send', password='secret-Pw 1', trust=certs['good'])
        assert status == 0 and [p['sent'] for p in said['ports']] == [True, False] and 'DATA' in a.heard and 'DATA' not in b.heard, said


def test_a_sign_in_that_fails_for_now_is_no_wrong_password(certs):
    with encrypted(certs['good'], AUTH='454 4.7.0 Temporary authentication failure') as fake:
        said = names('auth-temporarily-unavailable', '--port', fake.port, password='secret-Pw 1', trust=certs['good'])
        assert said['ports'][0]['slug'] == said['slug']


def test_greeting_421():
    with smtp({}, '421 4.3.2 Too many connections, try again later') as fake:
        names('too-many-connections', '--port', fake.port)


def test_starttls_refused():
    with smtp({'EHLO': EHLO_TLS, 'STARTTLS': '454 4.7.0 TLS not available due to temporary reason'}) as fake:
        names('tls-temporarily-unavailable', '--port', fake.port, password='secret-Pw 1')


def test_text_before_the_encryption():
    with smtp({'EHLO': EHLO_TLS, 'STARTTLS': '220 go\n250 injected'}) as fake:
        names('tls-injection', '--port', fake.port, password='secret-Pw 1')


def test_auth_only_in_the_clear():
    with smtp({'EHLO': EHLO_AUTH}) as fake:
        names('tls-not-offered', '--port', fake.port, password='secret-Pw 1')
        assert not any('AUTH' in line for line in fake.heard)  # no password went out
    with smtp({'EHLO': EHLO_AUTH, 'AUTH': '235 welcome'}) as fake:
        status, said, _ = doctor('--port', fake.port, '--allow-cleartext', password='secret-Pw 1')
        assert status == 0 and said['settings'][0]['security'] == 'none' and any(line.startswith('AUTH PLAIN ') for line in fake.heard)


def test_no_password_in_the_clear_by_mistake():
    p = subprocess.run([mailroom.program(), 'doctor', 'a@example.org', '--server', 'localhost', '--port', '587/none', '--password-stdin'], input='secret-Pw 1\n', capture_output=True,
                       text=True)
    assert p.returncode == 2 and '--allow-cleartext' in p.stderr


def test_auth_not_offered(certs):
    with smtp({'EHLO': EHLO_TLS, 'STARTTLS': starttls(certs['good']), 'TLS EHLO': '250 fake.example'}) as fake:
        names('auth-not-advertised', '--port', fake.port, password='secret-Pw 1', trust=certs['good'])


def test_auth_with_unknown_mechanisms_only(certs):
    with smtp({'EHLO': EHLO_TLS, 'STARTTLS': starttls(certs['good']), 'TLS EHLO': '250-fake.example\n250 AUTH GSSAPI NTLM'}) as fake:
        names('auth-mechanism-unknown', '--port', fake.port, password='secret-Pw 1', trust=certs['good'])


def test_sender_of_somebody_else(certs):
    with encrypted(certs['good'], AUTH='235 welcome', MAIL='553 5.7.1 <alice@mailroom.test>: Sender address rejected: not owned by user') as fake:
        names('sender-not-owned', '--port', fake.port, password='secret-Pw 1', trust=certs['good'])


def test_relay_denied_although_signed_in(certs):
    with encrypted(certs['good'], AUTH='235 welcome', RCPT='554 5.7.1 <friend@example.net>: Relay access denied') as fake:
        names('relay-denied-unauth', '--port', fake.port, '--to', 'friend@example.net', password='secret-Pw 1', trust=certs['good'])
        assert 'RCPT TO:<friend@example.net>' in fake.heard and 'DATA' not in fake.heard


def test_a_password_that_is_said_back_is_masked(certs):
    with encrypted(certs['good'], AUTH='535 5.7.8 the password secret-Pw 1 of \x1b[31malice is wrong') as fake:
        said = names('auth-bad-credentials', '--port', fake.port, password='secret-Pw 1', trust=certs['good'])
        assert '****' in said['evidence'] and '\x1b' not in said['evidence']


def test_the_wrong_port_does_not_hide_the_wrong_password(server, certs):
    with Fake(hang_up) as fake:
        names('auth-bad-credentials', '--port', fake.port, '--port', mailroom.free_ports(1)[0], '--port', server.port['submission'], password='wrong-Pw', trust=certs['good'])


# ---- what the server itself knows

EHLO_WHY = '250-fake.example\n250-AUTH PLAIN\n250 XWHY'
WHY = ('250-slug=sender-not-owned code=550 at=2026-11-22T10:00:00Z session=0000AF command=MAIL+20FROM:<alice@mailroom.test> detail=bob+20only\n'
       '250-slug=quota-sender-daily code=450 at=2026-11-22T09:00:00Z session=0000AA limit=100 retry=3+20h\n250 2.0.0 2 events')


def test_the_server_says_why(certs):
    with encrypted(certs['good'], EHLO=EHLO_WHY, AUTH='235 welcome', MAIL='550 5.7.1 no', XWHY=WHY) as fake:
        said = names('sender-not-owned', '--port', fake.port, password='secret-Pw 1', trust=certs['good'])
    assert said['ports'][0]['said_by_server'] and 'the server itself says' in said['evidence'] and 'bob only' in said['evidence'] and '550 5.7.1 no' in said['evidence']
    assert [(e['slug'], e['limit'], e['retry']) for e in said['server_says']] == [('sender-not-owned', '', ''), ('quota-sender-daily', '100', '3 h')]
    assert said['server_says'][0]['command'] == 'MAIL FROM:<alice@mailroom.test>'
    assert fake.heard.index('XWHY') > fake.heard.index('MAIL FROM:<alice@mailroom.test>') and 'QUIT' in fake.heard


def test_the_server_tells_of_before(certs):
    """nothing is refused now, but it was in the mail program's last session"""
    with encrypted(certs['good'], EHLO=EHLO_WHY, AUTH='235 welcome', XWHY=WHY) as fake:
        status, said, _ = doctor('--port', fake.port, password='secret-Pw 1', trust=certs['good'])
    assert status == 0 and len(said['server_says']) == 2 and not said['ports'][0]['said_by_server']


@pytest.mark.parametrize('why', ['502 5.5.1 not here', '530 5.7.0 sign in', '250 2.0.0 0 events', '250-slug=\x1b[31m code=550\n250 x', '250-slug=sender-not-owned code=451\n250 x', '421 bye',
                                 'garbage', '250-slug=' + 'a' * 3000 + ' code=550\n250 x', '250-' + 'x ' * 1000 + '\n250 x'])
def test_a_server_that_does_not_know_why(certs, why):
    with encrypted(certs['good'], EHLO=EHLO_WHY, AUTH='235 welcome', MAIL='553 5.7.1 <alice@mailroom.test>: Sender address rejected: not owned by user', XWHY=why) as fake:
        said = names('sender-not-owned', '--port', fake.port, password='secret-Pw 1', trust=certs['good'])
    assert not said['ports'][0]['said_by_server'] and '\x1b' not in json.dumps(said, ensure_ascii=False)


def test_a_mailroom_server_says_why(server, certs):
    said = names('sender-not-owned', '--port', server.port['submission'], '--login', 'alice@mailroom.test', password='alice-Pw 1', trust=certs['good'], address='bob@mailroom.test')
    assert said['ports'][0]['said_by_server'] and said['server_says'][0]['slug'] == 'sender-not-owned' and said['server_says'][0]['code'] == 553
    assert said['server_says'][0]['session'] in said['evidence']


def test_nobody_is_asked_before_signing_in(certs):
    with encrypted(certs['good'], EHLO=EHLO_WHY, AUTH='535 5.7.8 no', XWHY=WHY) as fake:
        names('auth-bad-credentials', '--port', fake.port, password='secret-Pw 1', trust=certs['good'])
        assert 'XWHY' not in fake.heard
    with encrypted(certs['good'], AUTH='235 welcome', MAIL='550 5.7.1 no', XWHY=WHY) as fake:  # not offered
        doctor('--port', fake.port, password='secret-Pw 1', trust=certs['good'])
        assert 'XWHY' not in fake.heard


# ---- size, relaying, IMAP

def test_a_message_too_big(certs):
    with encrypted(certs['good'], AUTH='235 welcome') as fake:
        names('message-too-big', '--port', fake.port, '--size', '2 MB', password='secret-Pw 1', trust=certs['good'])
        assert not any(line.startswith('MAIL') for line in fake.heard)
    with encrypted(certs['good'], AUTH='235 welcome') as fake:
        assert doctor('--port', fake.port, '--size', '500 KB', password='secret-Pw 1', trust=certs['good'])[0] == 0
        assert 'MAIL FROM:<alice@mailroom.test> SIZE=512000' in fake.heard


class Relay:
    """RCPT of the own domain is taken, of others as told"""

    def __init__(self, cert, answer):
        self.cert, self.answer = cert, answer

    def play(self, fake, conn):
        conn.sendall(b'220 fake.example ESMTP\r\n')
        for line in conn.makefile('rb'):
            verb = line.decode().split()[0].upper()
            if verb == 'STARTTLS':
                conn = starttls(self.cert)(conn)
                break
            conn.sendall(EHLO_TLS.replace('\n', '\r\n').encode() + b'\r\n')
        for line in conn.makefile('rb'):
            text = line.decode(errors='replace').strip()
            fake.heard.append(text)
            reply = {'EHLO': EHLO_AUTH, 'AUTH': '235 welcome', 'QUIT': '221 bye'}.get(text.split(' ')[0].upper(), '250 ok')
            if text.startswith('RCPT') and 'mailroom.test' not in text:
                reply = self.answer
            conn.sendall(reply.replace('\n', '\r\n').encode() + b'\r\n')


def test_relay_to_elsewhere(certs):
    with Fake(Relay(certs['good'], '550 5.7.1 Relaying denied').play) as fake:
        said = names('relay-denied-unauth', '--port', fake.port, password='secret-Pw 1', trust=certs['good'])
        assert not said['ports'][0]['relayed'] and 'DATA' not in fake.heard
    with Fake(Relay(certs['good'], '556 5.1.10 Recipient address rejected: Domain does not accept mail (nullMX)').play) as fake:  # that is no word about relaying
        status, said, _ = doctor('--port', fake.port, password='secret-Pw 1', trust=certs['good'])
        assert status == 0 and not said['ports'][0]['relayed'] and 'RSET' in fake.heard


def test_imap_signs_in(certs):
    def act(fake, conn):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certs['good'])
        conn = context.wrap_socket(conn, server_side=True)
        conn.sendall(b'* OK ready\r\n')
        for line in conn.makefile('rb'):
            fake.heard.append(line.decode().strip())
            if b'CAPABILITY' in line:
                conn.sendall(b'* CAPABILITY IMAP4rev1 %s\r\na OK done\r\n' % fake.offer)
            elif b'AUTHENTICATE' in line:
                conn.sendall(b'+ \r\n')
            else:
                conn.sendall(fake.answer + b'\r\n')
    for offer, answer, slug in ((b'AUTH=PLAIN', b'a OK in', None), (b'', b'a OK in', None), (b'AUTH=PLAIN', b'a NO [AUTHENTICATIONFAILED] no', 'auth-bad-credentials')):
        fake = Fake(act)
        fake.offer, fake.answer = offer, answer
        with fake:
            status, said, _ = doctor('--port', '%d/tls' % fake.port, password='secret-"Pw\\ 1', trust=certs['good'])
            assert said['slug'] == slug and said['ports'][0]['signed_in'] == (slug is None), said
            assert offer or 'a LOGIN "alice@mailroom.test" "secret-\\"Pw\\\\ 1"' in fake.heard


# ---- servers that lie at every step

@pytest.mark.parametrize('verb', ['EHLO', 'AUTH', 'MAIL', 'RCPT', 'RSET'])
@pytest.mark.parametrize('reply', ['250-first\n550 second', '999 what', '', '\x1b]0;title\x07', '354 go ahead', '220 again'], ids=['two-codes', 'no-code', 'empty', 'escape', '354', '220'])
def test_replies_out_of_order(certs, verb, reply):
    """whatever comes, it ends soon with one of the causes, or it does not matter"""
    more = {'AUTH': '235 welcome', verb: reply}
    began = time.monotonic()
    with encrypted(certs['good'], **more) as fake:
        status, said, _ = doctor('--port', fake.port, password='secret-Pw 1', trust=certs['good'])
    assert time.monotonic() - began < 30 and (status == 1) == (said['slug'] is not None) and '\x1b' not in json.dumps(said, ensure_ascii=False)
    if reply in ('999 what', '250-first\n550 second', '', '\x1b]0;title\x07'):
        assert said['slug'] == 'foreign-protocol', said


@pytest.mark.parametrize('verb', ['EHLO', 'STARTTLS', 'TLS EHLO', 'TLS AUTH', 'TLS MAIL', 'TLS RCPT'])
def test_closing_at_every_stage(certs, verb):
    def act(fake, conn):
        stage, tls = None, ''
        conn.sendall(b'220 fake.example ESMTP\r\n')
        while True:
            line = b''
            while not line.endswith(b'\n'):
                c = conn.recv(1)
                if not c:
                    return
                line += c
            stage = tls + line.decode(errors='replace').split()[0].upper()
            if stage == verb:
                conn.close()
                return
            if stage == 'STARTTLS':
                conn, tls = starttls(certs['good'])(conn), 'TLS '
                continue
            reply = {'EHLO': EHLO_TLS, 'TLS EHLO': EHLO_AUTH, 'TLS AUTH': '235 welcome'}.get(stage, '250 ok')
            conn.sendall(reply.replace('\n', '\r\n').encode() + b'\r\n')
    with Fake(act) as fake:
        said = names('insufficient-text', '--port', fake.port, password='secret-Pw 1', trust=certs['good'])
        assert 'closed' in said['evidence'] and fake.connections == 1


@pytest.mark.parametrize('act', [flood, flood_without_lines], ids=lambda x: x.__name__)
def test_a_flood_takes_no_memory(act):
    """what a server sends without end is not kept"""
    def peak(port):
        p = subprocess.Popen([mailroom.program(), 'doctor', 'a@mailroom.test', '--server', 'localhost', '--port', str(port), '--wait', WAIT], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        _, status, used = os.wait4(p.pid, 0)
        p.returncode = os.waitstatus_to_exitcode(status)
        assert p.returncode == 1
        return used.ru_maxrss

    with Fake(act) as fake:
        assert peak(fake.port) < peak(mailroom.free_ports(1)[0]) + 8 * 1024  # KiB


def test_silent_unless_asked(certs):
    with encrypted(certs['good'], AUTH='235 welcome') as fake:
        assert doctor('--port', fake.port, password='secret-Pw 1', trust=certs['good'])[2] == ''


def test_steps_for_one_program(server, certs):
    words = [mailroom.program(), 'doctor', 'alice@mailroom.test', '--server', 'localhost', '--port', str(server.port['submission']), '--port', str(server.port['pop3s']),
             '--password-stdin', '--program']
    p = subprocess.run([*words, 'thunderbird'], input='alice-Pw 1\n', capture_output=True, text=True, env=dict(os.environ, SSL_CERT_FILE=certs['good'][0]))
    assert p.returncode == 0 and 'Thunderbird (thunderbird)' in p.stdout and 'Outlook' not in p.stdout and '{' not in p.stdout, p.stdout
    assert 'Outgoing: localhost, port %d, STARTTLS, Normal password, alice@mailroom.test' % server.port['submission'] in p.stdout, p.stdout
    assert 'fetching: ' in p.stdout and 'Port %d' % server.port['pop3s'] in p.stdout
    p = subprocess.run([*words, 'eudora'], input='alice-Pw 1\n', capture_output=True, text=True)
    assert p.returncode == 2 and 'thunderbird' in p.stderr


@pytest.mark.parametrize('args', [['--port', '0'], ['--port', '70000'], ['--port', '25/ssl'], ['--wait', '0'], ['--to', 'a@b>\r\nDATA'], ['--server', 'a b'], ['--login', 'a\nb'], ['--limit', '0'],
                                  ['--size', 'big'], ['--program', '']])
def test_wrong_usage(args):
    p = subprocess.run([mailroom.program(), 'doctor', 'a@example.org', *args], capture_output=True, text=True)
    assert p.returncode == 2 and not p.stdout, p.stderr
