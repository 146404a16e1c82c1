"""Mail to real Postfix, Exim and OpenSMTPD: with DANE, with MTA-STS, with TLS that nobody checks, and in the clear. Bodies arrive byte for byte, recipients that are refused come
back, greylisting ends, what these servers log is understood by explain, and why tells of each attempt. Left out where the servers cannot be had."""
import collections
import hashlib
import os
import random
import re
import socketserver
import subprocess
import threading
import time

import pytest

import mailroom
import peers
import report
from report import Report
from test_delivery import Client, wait_delivery, wait_empty
from test_delivery_tls import FAST, Policies
from test_explain_peers import counted

ALICE = 'alice@mailroom.test'
ZONE = 'out.test'
KINDS = {'postfix': peers.Postfix, 'exim': peers.Exim, 'opensmtpd': peers.OpenSMTPD}
# how mail goes: settings, what the log calls it
WAYS = {'dane': ('dane = yes mta-sts = yes', 'dane'), 'sts': ('dane = no mta-sts = yes', 'sts'), 'opportunistic': ('dane = no mta-sts = no', 'pkix'), 'clear': ('tls = never dane = no mta-sts = no', None)}
BODIES = {
    'dots': '.\r\n..\r\n...\r\n.x\r\nmiddle\r\n.\r\n..end\r\n.', 'eight bits': 'schöne Grüße, €, 漢字\r\n' * 200, 'long lines': ('x' * 990 + '\r\n') * 40, 'blank lines': '\r\n\r\n \r\n\t\r\nend  \r\n\r\n\r\n',
    'odd starts': 'From the start\r\n From here\r\n>From there\r\n--\r\n-- \r\n', 'large': ''.join('%08x %s\r\n' % (i, 'abcdefgh' * 8) for i in range(40000)),
}


class Greylist(socketserver.ThreadingTCPServer):
    """a policy server of Postfix: the first try of each recipient is put off"""
    daemon_threads, allow_reuse_address = True, True

    def __init__(self):
        self.seen = collections.Counter()
        greylist = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                facts = {}
                for line in self.rfile:
                    key, _, value = line.decode().strip().partition('=')
                    if key:
                        facts[key] = value
                        continue
                    who = facts.get('recipient', '')
                    greylist.seen[who] += 1
                    first = who.startswith('alice') and 'grey' in who and greylist.seen[who] == 1
                    self.wfile.write(b'action=%s\n\n' % (b'450 4.2.0 Greylisted, see http://postgrey.example/help' if first else b'DUNNO'))
                    facts = {}

        super().__init__(('127.0.0.1', 0), Handler)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()


class World:
    """the three servers, each for NAME.out.test, in a signed zone with TLSA records and policies of MTA-STS"""

    def __init__(self, folder):
        self.folder = str(folder)
        net = '127.%d.%d.' % (random.randrange(191, 223), random.randrange(256))
        self.authority = peers.Authority(os.path.join(self.folder, 'ca'))
        self.port = peers.free_port(net + '1')
        self.greylist = Greylist()
        self.started, self.peer = [], {}
        text = ''
        web_chain, web_key = self.authority.certificate('web', ['mta-sts.%s.%s' % (n, ZONE) for n in KINDS])
        self.web = Policies(net + '200', web_chain, web_key)
        for i, (name, kind) in enumerate(KINDS.items()):
            host, domain, address = 'mx.%s.%s' % (name, ZONE), '%s.%s' % (name, ZONE), net + str(i + 1)
            tls = self.authority.certificate(name, [host])
            more = 'smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service inet:127.0.0.1:%d\n' % self.greylist.port if name == 'postfix' else ''
            more = {'exim': 'message_size_limit = 50M\n'}.get(name, more)
            self.peer[name] = kind(domain=domain, hostname=host, address=address, port=self.port, tls=tls, more=more, users=('alice', 'bob', 'alice.grey'))
            text += '%s IN MX 10 mx.%s\nmx.%s IN A %s\n' % (name, name, name, address)
            text += '_%d._tcp.mx.%s IN TLSA 3 1 1 %s\n' % (self.port, name, self.key_digest(tls[0]))
            text += '_mta-sts.%s IN TXT "v=STSv1; id=1;"\nmta-sts.%s IN A %s\n' % (name, name, net + '200')
            self.web.text[domain] = 'version: STSv1\r\nmode: enforce\r\nmx: %s\r\nmax_age: 86400\r\n' % host
        signed, ds = peers.signed(ZONE, text, self.folder)
        self.anchor = os.path.join(self.folder, 'anchor')
        with open(self.anchor, 'w', encoding='utf-8') as f:
            f.write(ds + '\n')
        self.dns = peers.Nsd({ZONE: signed, 'mailroom.test': 'mail IN A 127.0.0.1\n'})

    @staticmethod
    def key_digest(chain):
        key = peers.command('openssl', 'x509', '-in', chain, '-noout', '-pubkey').stdout
        der = subprocess.run(['openssl', 'pkey', '-pubin', '-outform', 'DER'], input=key.encode(), capture_output=True, check=True).stdout
        return hashlib.sha256(der).hexdigest()

    def start(self):
        for p in [*self.peer.values(), self.dns]:  # side by side
            self.started.append(p)
            p.start()
        for p in self.started:
            p.ready()

    def conf(self, delivery):
        names = 'stub-zones = "%s@%s mailroom.test@%s" trust-anchor = "%s" insecure-zones = "mailroom.test"' % (ZONE, self.dns.address, self.dns.address, self.anchor)
        return 'workers { mx = 1 user = 1 relay = 1 }\ndelivery { %s port = %d ca-file = "%s" mta-sts-port = %d ipv6 = no %s }\ndns { check-recipients = no timeout = 3s %s }\n' % (
            FAST, self.port, self.authority.trust, self.web.port, delivery, names)

    def close(self):
        for p in self.started:
            p.close()
        self.web.close()
        self.greylist.shutdown()
        self.greylist.server_close()


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    peers.have('postfix', 'exim', 'opensmtpd', 'nsd')
    w = World(tmp_path_factory.mktemp('out'))
    try:
        w.start()
        yield w
    finally:
        w.close()


@pytest.fixture(scope='module', params=WAYS)
def way(request, world):
    """a mailroom that sends that way"""
    settings, name = WAYS[request.param]
    with mailroom.System(conf=world.conf(settings), accounts=('alice', 'postmaster')) as m:
        m.way = name
        yield m


def body_of(raw):
    """as a maildir has it: behind the header, LF"""
    return raw.split(b'\n\n', 1)[1]


@pytest.mark.parametrize('kind', KINDS)
def test_bodies_arrive_byte_for_byte(way, world, kind):
    domain, peer = '%s.%s' % (kind, ZONE), world.peer[kind]
    had = {user: len(peer.mail_paths(user)) for user in ('alice', 'bob')}
    c = Client(way)
    for name, body in BODIES.items():
        c.send(['alice@' + domain, 'bob@' + domain], body=body, subject=name, options=['BODY=8BITMIME'])
    c.close()
    want = {name: hashlib.sha256((body + '\r\n').replace('\r\n', '\n').encode()).hexdigest() for name, body in BODIES.items()}
    for user in ('alice', 'bob'):
        got = peer.wait_mail(had[user] + len(BODIES), user)[had[user]:]
        found = {re.search(rb'(?m)^Subject: (.*)$', raw).group(1).decode(): hashlib.sha256(body_of(raw)).hexdigest() for raw in got}
        assert found == want
    wait_empty(way)
    d = wait_delivery(way, outcome='sent', rcpt='alice@' + domain, count=len(BODIES))
    assert all(re.fullmatch(r'TLSv1\.[23] \S+ ' + way.way, x['tls']) if way.way else not x.get('tls') for x in d), d[0]
    assert all(x['host'] == 'mx.' + domain for x in d)


@pytest.mark.parametrize('kind', KINDS)
def test_one_recipient_of_three_is_refused(way, world, kind):
    domain, peer = '%s.%s' % (kind, ZONE), world.peer[kind]
    had = {user: len(peer.mail_paths(user)) for user in ('alice', 'bob')}
    c = Client(way)
    c.send(['alice@' + domain, 'nobody@' + domain, 'bob@' + domain], body='to three', subject='to three')
    c.close()
    for user in had:
        assert body_of(peer.wait_mail(had[user] + 1, user)[-1]) == b'to three\n'
    r = Report(report.wait(way)[0])
    f = r.of('nobody@' + domain)
    assert len(r.rcpts) == 1 and f['Action'] == 'failed' and f['X-Mailroom-Cause'] == 'rcpt-unknown' and f['Remote-MTA'] == 'dns; mx.' + domain
    code = re.match(r'smtp; (5\d\d) ', f['Diagnostic-Code']).group(1)  # OpenSMTPD says 524 5.2.4, "Mailing list expansion problem"
    assert 'There is no mailbox with this address' in r.words() and 'Answer of the mail server mx.' + domain in r.words()
    # every attempt, by the message and by the address
    for what in (r.message['X-Mailroom-Queue-ID'], 'nobody@' + domain):
        told = ' '.join(way.run('why', what).split())
        assert 'nobody@' + domain in told and 'mx.' + domain in told and peer.address in told and code in told and 'rcpt-unknown' in told, told
        assert not way.way or 'TLSv1.' in told


def test_greylisting_ends(world):
    with mailroom.System(conf=world.conf('dane = yes').replace('retry-first = 1s retry-most = 2s', 'retry-first = 3s retry-most = 4s')) as m:
        peer, rcpt = world.peer['postfix'], 'alice.grey@postfix.' + ZONE
        had = len(peer.mail_paths('alice.grey'))
        c = Client(m)
        c.send(rcpt, body='first mail')
        c.close()
        first = wait_delivery(m, rcpt=rcpt)[0]
        assert (first['outcome'], first['cause'], first['code']) == ('later', 'greylisted', '450')
        end = time.monotonic() + 2.5  # the history is written a moment later
        while 'greylisted' not in m.run('why', rcpt, check=False).stdout and time.monotonic() < end:
            time.sleep(0.1)
        told = ' '.join(m.run('why', rcpt).split())
        for words in ('mx.postfix.' + ZONE, peer.address, 'TLSv1.', 'dane', '450', 'Greylisted', 'greylisted', 'next'):
            assert words in told, (words, told)
        assert 'Greylisted' in m.run('queue', 'list', '--json')
        peer.wait_mail(had + 1, 'alice.grey')
        wait_delivery(m, rcpt=rcpt, outcome='sent')
        wait_empty(m)
        assert world.greylist.seen[rcpt] == 2


@pytest.mark.parametrize('kind,causes', [('postfix', {'rcpt-unknown', 'greylisted'}), ('exim', {'insufficient-text'}), ('opensmtpd', {'rcpt-unknown'})])
def test_what_they_logged_is_understood(world, kind, causes):
    """the logs that the tests above left. Exim's "Unrouteable address" is said of unknown mailboxes and of unknown domains alike"""
    found = counted(world.peer[kind].log())
    assert causes <= set(found), found
    assert set(found) == causes, found
