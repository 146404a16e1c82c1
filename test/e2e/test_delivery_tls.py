"""TLS of mail that leaves: what the settings, DANE (a signed zone on nsd) and MTA-STS (a web server of our own) demand, and that mail never goes in the clear
where one of them does."""
import http.server
import os
import random
import re
import ssl
import subprocess
import threading

import pytest

import mailroom
import peers
import sink
from test_delivery import send, wait_delivery

FAST = 'retry-first = 1s retry-most = 2s idle = 1s connect-timeout = 3s greeting-timeout = 5s command-timeout = 5s end-timeout = 5s'
DANE, STS = 'dane.test', 'sts.test'


def addresses():
    net = '127.%d.%d.' % (random.randrange(130, 190), random.randrange(256))
    return (net + str(n) for n in range(1, 255))


class Policies:
    """https://mta-sts.DOMAIN/.well-known/mta-sts.txt for every domain in `text`; asked: what was asked for"""

    def __init__(self, address, chain, key):
        self.text, self.asked = {}, []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                domain = self.headers['Host'].split(':')[0].removeprefix('mta-sts.')
                web.asked.append(domain)
                body = web.text.get(domain) if self.path == '/.well-known/mta-sts.txt' else None
                if isinstance(body, tuple):
                    self.send_response(body[0])
                    self.send_header('Location', body[1])
                    self.end_headers()
                    return
                self.send_response(200 if body else 404)
                self.send_header('Content-Type', 'text/plain')
                self.end_headers()
                self.wfile.write((body or 'none').encode())

            def log_message(self, *args):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *args):
                pass

        self.server = Server((address, 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class World:
    """sinks on one port, each with an address, a certificate and a mail domain NAME.dane.test (signed) or NAME.sts.test (not), and the zones that name them"""

    def __init__(self, folder):
        self.folder = str(folder)
        self.address = addresses()
        self.authority = peers.Authority(os.path.join(self.folder, 'ca'))
        self.other = peers.Authority(os.path.join(self.folder, 'other'))
        self.port = 0
        self.sinks = {}
        self.text = {DANE: '', STS: ''}
        self.dns = None

    def context(self, chain, key, **more):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(chain, key)
        for name, value in more.items():
            setattr(c, name, value)
        return c

    def certificate(self, host, kind):
        """good, expired, wrong, stranger: (context, path of the chain)"""
        authority = self.other if kind == 'stranger' else self.authority
        times = {'start': '20200101000000Z', 'end': '20210101000000Z'} if kind == 'expired' else {}
        chain, key = authority.certificate(host + '-' + kind, ['elsewhere.test' if kind == 'wrong' else host], **times)
        with open(chain, 'a', encoding='utf-8') as f, open(authority.trust, encoding='utf-8') as trust:
            f.write(trust.read())  # DANE-TA wants it in the chain (RFC 7672 3.1.2)
        return self.context(chain, key), chain

    def digest(self, chain):
        """of its key: the data of a TLSA record 3 1 1"""
        key = peers.command('openssl', 'x509', '-in', chain, '-noout', '-pubkey').stdout
        der = subprocess.run(['openssl', 'pkey', '-pubin', '-outform', 'DER'], input=key.encode(), capture_output=True, check=True).stdout
        return subprocess.run(['openssl', 'dgst', '-sha256', '-r'], input=der, capture_output=True, check=True).stdout.decode().split()[0]

    def whole(self, chain):
        """of the certificate: 2 0 1"""
        return peers.command('openssl', 'x509', '-in', chain, '-noout', '-fingerprint', '-sha256').stdout.split('=')[1].replace(':', '').strip()

    def host(self, name, zone, kind='good', tlsa=None, **more):
        """the mail domain NAME.zone with one host, mx.NAME.zone. tlsa: text of its TLSA record, {right}, {wrong} and {ca} put in"""
        host = 'mx.%s.%s' % (name, zone)
        context, chain = self.certificate(host, kind) if kind else (None, None)
        address = next(self.address)
        s = sink.Sink(address, self.port, context=context, **more)
        self.port = s.port
        self.sinks[name + '.' + zone] = s
        self.text[zone] += '%s IN MX 10 mx.%s\nmx.%s IN A %s\n' % (name, name, name, address)
        if tlsa:
            right = self.digest(chain) if chain else '00' * 32
            self.text[zone] += '_%d._tcp.mx.%s IN TLSA %s\n' % (self.port, name, tlsa.format(right=right, wrong='ab' * 32, ca=self.whole(self.authority.trust)))
        return s

    def start(self, web):
        signed, ds = peers.signed(DANE, self.text[DANE], self.folder)
        self.anchor = os.path.join(self.folder, 'anchor')
        with open(self.anchor, 'w', encoding='utf-8') as f:
            f.write(ds + '\n')
        self.web = web
        self.dns = peers.Nsd({DANE: signed, STS: self.text[STS], 'mailroom.test': 'mail IN A 127.0.0.1\n'})
        self.dns.__enter__()

    def conf(self, more='', delivery='', dnssec=True):
        a = self.dns.address
        names = 'stub-zones = "%s@%s %s@%s mailroom.test@%s"' % (DANE, a, STS, a, a)
        names += ' trust-anchor = "%s" insecure-zones = "%s mailroom.test"' % (self.anchor, STS) if dnssec else ' dnssec = no'
        return 'workers { mx = 1 user = 1 relay = 1 }\ndelivery { %s port = %d ca-file = "%s" mta-sts-port = %d %s }\ndns { check-recipients = no timeout = 3s %s }\n%s\n' % (
            FAST, self.port, self.authority.trust, self.web.port, delivery, names, more)

    def close(self):
        if self.dns:
            self.dns.__exit__(None, None, None)
        for s in self.sinks.values():
            s.close()


def no_starttls(stage, text, session):
    return '250 sink.test' if stage == 'ehlo' else None


def starttls_454(stage, text, session):
    return '454 4.7.0 TLS not available due to temporary reason' if stage == 'starttls' else None


def injects(stage, text, session):
    """a second reply in the clear behind the 220"""
    return '220 2.0.0 go ahead\r\n250 injected' if stage == 'starttls' else None


def breaks_tls(stage, text, session):
    """answers 220, then speaks no TLS (the reply is no 220 to sink.py, which therefore stays in the clear)"""
    if stage == 'starttls':
        session.say('220 2.0.0 go ahead')
        session.sock.recv(4096)
        return 'what?'
    return None


POLICY = 'version: STSv1\r\nmode: %s\r\nmx: %s\r\nmax_age: %d\r\n'


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    peers.have('nsd')
    w = World(tmp_path_factory.mktemp('tls'))
    web_hosts = ['mta-sts.%s.%s' % (n, STS) for n in ('good', 'expired', 'wrongmx', 'testing', 'none', 'broken', 'moved', 'plain', 'cached')]
    chain, key = w.authority.certificate('web', web_hosts)
    web = Policies(next(w.address), chain, key)
    # DANE
    w.host('right', DANE, 'stranger', '3 1 1 {right}', offer=('PIPELINING', '8BITMIME', 'REQUIRETLS'))
    w.host('expired', DANE, 'expired', '3 1 1 {right}')
    w.host('ta', DANE, 'good', '2 0 1 {ca}')
    w.host('tawrong', DANE, 'wrong', '2 0 1 {ca}')
    w.host('mismatch', DANE, 'good', '3 1 1 {wrong}')
    w.host('clear', DANE, None, '3 1 1 {wrong}')
    w.host('stripped', DANE, 'good', '3 1 1 {right}', answer=no_starttls)
    w.host('later', DANE, 'good', '3 1 1 {right}', answer=starttls_454)
    w.host('inject', DANE, 'good', '3 1 1 {right}', answer=injects)
    w.host('broken', DANE, 'good', '3 1 1 {right}', answer=breaks_tls)
    w.host('unusable', DANE, 'wrong', '1 1 1 {wrong}')
    w.host('unusableclear', DANE, None, '1 1 1 {wrong}')
    w.host('lookup', DANE, 'good')
    w.text[DANE] += '_tcp.mx.lookup IN NS nowhere\nnowhere IN A %s\n' % next(w.address)
    w.host('without', DANE, 'good', offer=('PIPELINING', 'REQUIRETLS'))
    w.host('unoffering', DANE, 'good', '3 1 1 {right}')
    # opportunistic, and policies
    for name in ('good', 'expired', 'testing', 'none', 'broken', 'moved', 'cached'):
        w.host(name, STS, 'expired' if name in ('expired', 'testing', 'none', 'broken', 'moved') else 'good')
    w.host('wrongmx', STS, 'good')
    w.host('plain', STS, None)
    w.host('free', STS, 'expired', offer=('PIPELINING', 'REQUIRETLS'))
    w.host('freewrong', STS, 'wrong')
    w.host('freeclear', STS, None)
    w.host('free454', STS, 'good', answer=starttls_454)
    w.host('freebroken', STS, 'good', answer=breaks_tls)
    w.host('freeinject', STS, 'good', answer=injects)
    for name, policy in (('good', POLICY % ('enforce', 'mx.good.sts.test', 86400)), ('expired', POLICY % ('enforce', '*.expired.sts.test', 86400)),
                         ('wrongmx', POLICY % ('enforce', 'mx.good.sts.test', 86400)), ('testing', POLICY % ('testing', 'elsewhere.sts.test', 86400)),
                         ('none', 'version: STSv1\nmode: none\nmax_age: 86400\n'), ('broken', '<html>not here</html>'), ('moved', (301, '/policy')),
                         ('plain', POLICY % ('enforce', 'mx.plain.sts.test', 86400)), ('cached', POLICY % ('enforce', 'mx.cached.sts.test', 86400))):
        web.text[name + '.' + STS] = policy
        w.text[STS] += '_mta-sts.%s IN TXT "v=STSv1; id=1;"\nmta-sts.%s IN A %s\n' % (name, name, web.server.server_address[0])
    w.start(web)
    yield w
    web.close()
    w.close()


@pytest.fixture(scope='module')
def system(world):
    with mailroom.System(conf=world.conf()) as m:
        yield m


def attempt(m, rcpt, **more):
    """one message; the first attempt at it"""
    mark = m.log_size()
    send(m, rcpt, **more)
    d = wait_delivery(m, since=mark, rcpt=rcpt)[0]
    m.run('queue', 'remove', '--rcpt', rcpt, check=False)
    return d


def clear_envelopes(s):
    """envelope commands that were said outside of TLS"""
    tls = {x.number for x in s.sessions if x.tls}
    return [text for number, stage, text in s.said if stage in ('mail', 'rcpt', 'data') and number not in tls]


# ---- DANE

@pytest.mark.parametrize('name,how', [('right', 'dane'), ('expired', 'dane'), ('ta', 'dane'), ('unusable', 'unchecked'), ('without', 'pkix')])
def test_dane_lets_mail_pass(system, world, name, how):
    d = attempt(system, 'to@%s.%s' % (name, DANE))
    assert d['outcome'] == 'sent', (d, system.log()[-3000:])
    assert re.fullmatch(r'TLSv1\.[23] \S+ ' + how, d['tls']), d
    assert world.sinks[name + '.' + DANE].wait(1) and not clear_envelopes(world.sinks[name + '.' + DANE])


@pytest.mark.parametrize('name,cause', [('mismatch', 'tls-dane-mismatch'), ('tawrong', 'tls-dane-mismatch'), ('clear', 'tls-remote-missing'), ('stripped', 'tls-remote-missing'),
                                        ('later', 'tls-remote-missing'), ('broken', 'tls-remote-failed'), ('unusableclear', 'tls-remote-missing'),
                                        ('lookup', 'tls-dane-lookup')])
def test_dane_holds_mail_back(system, world, name, cause):
    d = attempt(system, 'to@%s.%s' % (name, DANE))
    assert (d['outcome'], d['cause']) == ('later', cause), d
    s = world.sinks[name + '.' + DANE]
    assert not s.mail and not [x for x in s.said if x[1] == 'mail'], s.said
    assert (name == 'lookup') == (s.connections == 0)


def test_dane_switched_off(world):
    with mailroom.System(conf=world.conf(delivery='dane = no')) as m:
        assert attempt(m, 'off@mismatch.' + DANE)['outcome'] == 'sent'
        assert attempt(m, 'off@clear.' + DANE)['outcome'] == 'sent'


# ---- opportunistic

@pytest.mark.parametrize('name,tls', [('free', 'unchecked'), ('freewrong', 'unchecked'), ('freeclear', None), ('free454', None), ('freebroken', None)])
def test_where_nothing_is_demanded_mail_goes_as_it_can(system, world, name, tls):
    d = attempt(system, 'to@%s.%s' % (name, STS))
    assert d['outcome'] == 'sent', d
    assert d.get('tls', '').endswith(tls) if tls else not d.get('tls')
    assert world.sinks[name + '.' + STS].connections == (2 if name == 'freebroken' else 1)


@pytest.mark.parametrize('name,zone', [('freeinject', STS), ('inject', DANE)])
def test_text_behind_the_220_ends_the_connection(system, world, name, zone):
    d = attempt(system, 'to@%s.%s' % (name, zone))
    assert d['outcome'] == 'later', d
    assert not [x for x in world.sinks[name + '.' + zone].said if x[1] in ('mail', 'rcpt', 'data')]


# ---- the administrator demands it

@pytest.mark.parametrize('tls,name,cause,how', [('required', 'freewrong', None, 'unchecked'), ('required', 'freeclear', 'tls-remote-missing', None),
                                                ('required', 'free454', 'tls-remote-missing', None), ('required', 'freebroken', 'tls-remote-failed', None),
                                                ('verified', 'good', None, 'pkix'), ('verified', 'free', 'tls-cert-untrusted', None),
                                                ('verified', 'freewrong', 'tls-cert-name-mismatch', None), ('verified', 'freeclear', 'tls-remote-missing', None),
                                                ('never', 'good', None, '')])
def test_routes(world, tls, name, cause, how):
    s = world.sinks[name + '.' + STS]
    said = len(clear_envelopes(s))
    text = 'route r { domains = "to.example" to = "mx.%s.%s:%d" tls = %s }' % (name, STS, world.port, tls)
    with mailroom.System(conf=world.conf(text)) as m:
        d = attempt(m, 'to@to.example')
        if cause:
            assert (d['outcome'], d['cause']) == ('later', cause), d
        else:
            assert d['outcome'] == 'sent' and d.get('tls', '').endswith(how) and bool(d.get('tls')) == bool(how), d
    assert (len(clear_envelopes(s)) > said) == (tls == 'never')


# ---- MTA-STS

@pytest.mark.parametrize('name,cause,how', [('good', None, 'sts'), ('expired', 'tls-sts-mismatch', None), ('wrongmx', 'tls-sts-mismatch', None), ('plain', 'tls-remote-missing', None),
                                            ('testing', None, 'unchecked'), ('none', None, 'unchecked'), ('broken', None, 'unchecked'), ('moved', None, 'unchecked')])
def test_policies(system, world, name, cause, how):
    asked = len(world.web.asked)
    d = attempt(system, 'to@%s.%s' % (name, STS))
    s = world.sinks[name + '.' + STS]
    assert world.web.asked[asked:] == [name + '.' + STS]
    if cause:
        assert (d['outcome'], d['cause']) == ('later', cause), d
        assert not s.mail and not [x for x in s.said if x[1] == 'mail']
    else:
        assert d['outcome'] == 'sent' and d['tls'].endswith(' ' + how), d
    attempt(system, 'again@%s.%s' % (name, STS))
    assert len(world.web.asked) == asked + 1  # kept, or not tried again so soon


def test_policies_switched_off(world):
    with mailroom.System(conf=world.conf(delivery='mta-sts = no')) as m:
        asked = len(world.web.asked)
        assert attempt(m, 'off@wrongmx.' + STS)['outcome'] == 'sent'
        assert attempt(m, 'off@plain.' + STS)['outcome'] == 'sent'
        assert len(world.web.asked) == asked


def test_a_policy_outlives_its_web_server_its_record_and_a_restart(world):
    s = world.sinks['cached.' + STS]
    with mailroom.System(conf=world.conf()) as m:
        assert attempt(m, 'one@cached.' + STS)['tls'].endswith(' sts')
        m.stop()
        world.web.text['cached.' + STS] = None
        world.dns.stop()
        world.dns.set(STS, '\n'.join(line for line in world.text[STS].split('\n') if '_mta-sts.cached' not in line and 'mta-sts.cached' not in line))
        world.dns.start()
        s.answer = no_starttls  # whoever took the record away takes STARTTLS away, too
        try:
            m.start()
            d = attempt(m, 'two@cached.' + STS)
            assert (d['outcome'], d['cause']) == ('later', 'tls-remote-missing'), d
            assert not clear_envelopes(s)
            s.answer = None
            assert attempt(m, 'three@cached.' + STS)['tls'].endswith(' sts')
        finally:
            world.dns.stop()
            world.dns.set(STS, world.text[STS])
            world.dns.start()


# ---- REQUIRETLS

def test_requiretls(system, world):
    options = ['REQUIRETLS']
    d = attempt(system, 'must@right.' + DANE, options=options)
    assert d['outcome'] == 'sent' and d['tls'].endswith(' dane'), d
    assert [text for _, stage, text in world.sinks['right.' + DANE].said if stage == 'mail'][-1].upper().endswith('REQUIRETLS')
    for name, zone in (('unoffering', DANE), ('free', STS), ('freeclear', STS)):  # does not offer it; a certificate nobody knows; no TLS
        s = world.sinks[name + '.' + zone]
        before = len(s.mail)
        d = attempt(system, 'must@%s.%s' % (name, zone), options=options)
        assert d['outcome'] in ('later', 'refused') and d['cause'] == 'requiretls-unsupported', d
        assert len(s.mail) == before


# ---- own addresses, walls

def test_the_address_that_connections_come_from(world):
    peer = []
    s = world.sinks['freeclear.' + STS]
    s.answer = lambda stage, text, session: peer.append(session.sock.getpeername()[0]) if stage == 'mail' else None
    try:
        with mailroom.System(conf=world.conf(delivery='ipv4-source = 127.0.0.9')) as m:
            assert attempt(m, 'from@freeclear.' + STS)['outcome'] == 'sent'
            assert peer == ['127.0.0.9'] and not re.search(r'event=role-died', m.log())
    finally:
        s.answer = None


def test_the_roles_that_go_out_live_behind_their_walls(system):
    assert {'dns', 'relay', 'fetch'} <= {role for role, _ in system.children()}
    assert not re.search(r'event=role-died', system.log())
