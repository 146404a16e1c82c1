"""Names that mail goes by: IPv6 and IPv4, domains and addresses beyond ASCII, MX records that are wrong in some way, and a root of one's own."""
import json
import os
import random
import re
import socket
import time

import pytest

import mailroom
import peers
import report
import sink
from test_delivery import Client, conf, deliveries, send, wait_delivery

ALICE = 'alice@mailroom.test'
BOOKS, MUNICH = 'xn--bcher-kva.test', 'xn--mnchen-3ya.test'  # b\u00fccher.test, m\u00fcnchen.test
NO_UTF8 = ('PIPELINING', '8BITMIME', 'ENHANCEDSTATUSCODES', 'DSN')
TEXT = '''a IN A {a}
b IN A {b}
six IN AAAA ::1
both IN A {a}
both IN AAAA ::1
dead IN A {dead}
only6 IN MX 10 six
literal6 IN AAAA ::1
order IN MX 10 six
order IN MX 20 a
pair IN MX 10 both
alias IN CNAME a
aliases IN CNAME alias
toalias IN MX 10 alias
toaliases IN MX 10 aliases
isalias IN CNAME aliases
loop1 IN CNAME loop2
loop2 IN CNAME loop1
toloop IN MX 10 loop1
looped IN MX 10 loop1
looped IN MX 20 b
iptext IN MX 10 {a}.
iptextgood IN MX 10 {a}.
iptextgood IN MX 20 b
nullgood IN MX 0 .
nullgood IN MX 10 b
tolocalhost IN MX 10 localhost.
localname IN MX 10 here
here IN A 127.0.0.1
here IN AAAA ::1
any IN MX 10 zero
zero IN A 0.0.0.0
zero IN AAAA ::
multicast IN MX 10 group
group IN A 224.0.0.1
group IN AAAA ff02::1
'''
TEXT += ''.join('hundred IN MX %d h%d\nh%d IN A {dead}\n' % (i, i, i) for i in range(2, 101)) + 'hundred IN MX 1 b\n'
TEXT += ''.join('d%d IN A {a}\nd%d IN AAAA ::1\n' % (i, i) for i in range(20))


@pytest.fixture(scope='module')
def world():
    """sinks on one port of two addresses of 127/8 and ::1, and the zones that name them"""
    peers.have('nsd')
    net = '127.%d.%d.' % (random.randrange(192, 220), random.randrange(256))
    a, b, dead = net + '1', net + '2', net + '3'
    while True:
        one = sink.Sink(a)
        try:
            two, six = sink.Sink(b, port=one.port, offer=NO_UTF8), sink.Sink('::1', port=one.port)
            break
        except OSError:  # somebody has the port on ::1
            one.close()
    idn = '@ IN MX 10 mx\nmx IN A %s\n'
    zones = {'mx.test': TEXT.format(a=a, b=b, dead=dead), BOOKS: idn % a, MUNICH: idn % b, 'mailroom.test': 'mail IN A 127.0.0.1\n'}
    with one, two, six, peers.Nsd(zones) as dns:
        yield {'dns': dns, 'zones': zones, 'a': one, 'b': two, 'six': six, 'port': one.port}


def names(world):
    zones = ' '.join('%s@%s' % (z, world['dns'].address) for z in world['zones'])
    return 'stub-zones = "%s" insecure-zones = "%s"' % (zones, ' '.join(world['zones']))


def system_of(world, delivery=None, **more):
    return mailroom.System(conf=conf(delivery='port = %d ' % world['port'] if delivery is None else delivery, dns=names(world)), **more)


@pytest.fixture(scope='module')
def system(world):
    with system_of(world) as m:
        yield m


def arrived(world, rcpt):
    """the sinks that have mail for it, once one does"""
    end = time.monotonic() + 30
    while True:  # the server hears that it was taken before the sink has written it down
        found = [name for name in ('a', 'b', 'six') if rcpt in world[name].rcpts()]
        if found:
            return found
        assert time.monotonic() < end, rcpt
        time.sleep(0.02)


def nowhere(world, rcpt):
    return not any(rcpt in world[name].rcpts() for name in ('a', 'b', 'six'))


def gone(m, rcpt):
    """what the log says of this recipient: one line or more"""
    rcpt = ''.join(chr(b) if b < 128 else '\\x%02x' % b for b in rcpt.encode())  # as the log writes it
    wait_delivery(m, rcpt=rcpt)
    return [d for d in deliveries(m) if d['rcpt'] == rcpt]


# ---- IPv6

@pytest.mark.parametrize('domain,where', [('only6.mx.test', 'six'), ('literal6.mx.test', 'six'), ('[IPv6:::1]', 'six'), ('[IPv6:0:0:0:0:0:0:0:1]', 'six'),
                                          ('order.mx.test', 'six'), ('pair.mx.test', None)])
def test_ipv6(system, world, domain, where):
    send(system, 'to@' + domain)
    rcpt = 'to@' + domain.replace('0:0:0:0:0:0:0:1', '::1')  # an address has one way to be written
    d = gone(system, rcpt)[-1]
    assert d['outcome'] == 'sent' and d['attempt'] == '1', d
    at, = arrived(world, rcpt)
    assert at == where or (where is None and at in ('a', 'six'))
    assert d['address'] == ('[::1]:%d' if at == 'six' else world['a'].address + ':%d') % world['port'], d
    if at == 'six':
        assert world['six'].sessions[0].peer == '::1' and 'TLS' not in d.get('tls', '')


def test_ipv6_switched_off(world):
    with system_of(world, delivery='ipv6 = no port = %d' % world['port']) as m:
        send(m, ['off@order.mx.test', 'off@pair.mx.test', 'off@only6.mx.test'])
        assert gone(m, 'off@order.mx.test')[0]['address'].startswith(world['a'].address)
        assert gone(m, 'off@pair.mx.test')[0]['address'].startswith(world['a'].address)
        d = gone(m, 'off@only6.mx.test')[0]
        assert (d['outcome'], d['cause']) == ('later', 'rcpt-domain-not-found') and nowhere(world, 'off@only6.mx.test'), d


class Refuses:
    """nobody listens on ::1 there"""

    def __enter__(self):
        while True:
            self.port, = mailroom.free_ports(1)
            with socket.socket(socket.AF_INET6) as s:
                if s.connect_ex(('::1', self.port)) != 0:
                    return self

    def __exit__(self, *exc):
        pass


class Swallows:
    """a listener on ::1 whose queue is full: who connects hears nothing, as behind a firewall"""

    def __enter__(self):
        self.held = [socket.socket(socket.AF_INET6) for _ in range(4)]
        self.held[0].bind(('::1', mailroom.free_ports(1)[0]))
        self.held[0].listen(0)
        self.port = self.held[0].getsockname()[1]
        for s in self.held[1:]:
            s.setblocking(False)
            s.connect_ex(('::1', self.port))
        return self

    def __exit__(self, *exc):
        for s in self.held:
            s.close()


@pytest.mark.parametrize('dead', [Refuses, Swallows])
def test_ipv6_that_is_dead_costs_no_attempt(world, dead):
    with dead() as d, sink.Sink(world['a'].address, port=d.port) as four, \
            mailroom.System(conf=conf(delivery='port = %d' % d.port, dns=names(world)).replace('connect-timeout = 3s', 'connect-timeout = 1s')) as m:
        rcpts = ['to@d%d.mx.test' % i for i in range(20)] + ['to@order.mx.test']  # of so many one at least tries IPv6 first; the last one always does
        send(m, rcpts)
        wait_delivery(m, outcome='sent', count=21)
        assert sorted(rcpts) == four.rcpts()
        assert [(x['outcome'], x['attempt'], x['address']) for x in deliveries(m)] == [('sent', '1', '%s:%d' % (four.address, d.port))] * 21
        end = time.monotonic() + 30
        while 'delivered' not in (said := m.run('why', 'to@order.mx.test', check=False).stdout):  # the history is written a little later
            assert time.monotonic() < end, said
            time.sleep(0.1)
        assert said.count('delivered') == 1 and 'put off' not in said and four.address in said and '::1' not in said, said


# ---- beyond ASCII

def test_a_domain_in_letters_and_in_ascii_is_one_destination(system, world):
    send(system, 'letters@b\u00fccher.test', options=['SMTPUTF8'])
    send(system, 'ascii@' + BOOKS)
    send(system, 'CAPITALS@B\u00dcCHER.test', options=['SMTPUTF8'])
    for rcpt in ('letters@b\u00fccher.test', 'ascii@' + BOOKS):
        d, = gone(system, rcpt)
        assert d['outcome'] == 'sent' and d['host'] == 'mx.' + BOOKS, d
    wait_delivery(system, outcome='sent', host='mx.' + BOOKS, count=3)


@pytest.mark.parametrize('rcpt', ['j\u00f6rg@b\u00fccher.test', 'j\u00f6rg2@' + BOOKS, '\u7528\u6237@b\u00fccher.test'])
def test_an_address_beyond_ascii_goes_to_a_server_that_takes_it(system, world, rcpt):
    send(system, rcpt, options=['SMTPUTF8', 'BODY=8BITMIME'], subject='gr\u00fc\u00dfe')
    d, = gone(system, rcpt)
    assert d['outcome'] == 'sent', d
    assert arrived(world, rcpt) == ['a']
    number = [m[0] for m in world['a'].mail if rcpt in m[2]][0]
    assert any(n == number and stage == 'mail' and 'SMTPUTF8' in text for n, stage, text in world['a'].said)
    assert any('gr\u00fc\u00dfe'.encode() in m[3] for m in world['a'].mail)


def test_an_address_beyond_ascii_at_a_server_that_does_not_take_it(system, world):
    report.fetch(system, ALICE, delete=True)
    rcpt = 'j\u00f6rg@m\u00fcnchen.test'
    send(system, rcpt, options=['SMTPUTF8', 'BODY=8BITMIME'])
    d, = gone(system, rcpt)
    assert (d['outcome'], d['cause']) == ('refused', 'smtputf8-unsupported'), d
    assert nowhere(world, rcpt)
    r = report.wait_report(system)
    assert r.utf8 and rcpt in r.text and 'letters such as accents' in r.text, r.text
    # the same server takes what is ASCII
    send(system, 'plain@' + MUNICH)
    d, = gone(system, 'plain@' + MUNICH)
    assert d['outcome'] == 'sent' and arrived(world, 'plain@' + MUNICH) == ['b']


@pytest.mark.parametrize('rcpt, subject, ending', [
    ('letters@m\u00fcnchen.test', 'plain', '-- \r\nJ\u00f6rg\r\n'), ('header@m\u00fcnchen.test', 'gr\u00fc\u00dfe', ''), ('part@m\u00fcnchen.test', 'plain', '--b\r\nX-Name: J\u00f6rg\r\n\r\nx\r\n--b--\r\n')])
def test_a_domain_beyond_ascii_at_a_server_that_takes_no_letters(system, world, rcpt, subject, ending):
    """its ASCII form will do, where no header needs more"""
    report.fetch(system, ALICE, delete=True)
    send(system, rcpt, options=['SMTPUTF8', 'BODY=8BITMIME'], subject=subject, body=ending)
    d, = gone(system, rcpt)
    if rcpt.startswith('letters'):
        assert d['outcome'] == 'sent', d
        text, = [m[3] for m in world['b'].mail if 'letters@' + MUNICH in m[2]]
        assert 'J\u00f6rg'.encode() in text and b'for <letters@%s>' % MUNICH.encode() in text, text
    else:
        assert (d['outcome'], d['cause']) == ('refused', 'smtputf8-unsupported'), d
        assert nowhere(world, rcpt) and nowhere(world, rcpt.split('@')[0] + '@' + MUNICH)


def test_letters_need_the_parameter(system):
    c = Client(system).c
    c.mail(ALICE)
    c.sock.sendall('RCPT TO:<j\u00f6rg@b\u00fccher.test>\r\n'.encode())
    code, words = c.getreply()
    assert code == 553 and b'smtputf8-required' in words, words
    c.quit()


# ---- MX records that are odd

@pytest.mark.parametrize('domain,where', [('toalias', 'a'), ('toaliases', 'a'), ('isalias', 'a'), ('looped', 'b'), ('iptextgood', 'b'), ('nullgood', 'b'), ('hundred', 'b')])
def test_odd_mx_that_lead_somewhere(system, world, domain, where):
    rcpt = 'odd@%s.mx.test' % domain
    send(system, rcpt)
    d, = gone(system, rcpt)
    assert d['outcome'] == 'sent' and arrived(world, rcpt) == [where], d


@pytest.mark.parametrize('domain,outcome,cause', [('loop1', 'later', 'dns-failure'), ('toloop', 'later', 'dns-failure'), ('iptext', 'later', 'rcpt-domain-not-found'),
                                                  ('any', 'later', 'rcpt-domain-not-found'), ('multicast', 'later', 'rcpt-domain-not-found')])
def test_odd_mx_that_lead_nowhere(system, world, domain, outcome, cause):
    rcpt = 'odd@%s.mx.test' % domain
    send(system, rcpt)
    d = gone(system, rcpt)[0]
    assert (d['outcome'], d['cause']) == (outcome, cause), d
    assert nowhere(world, rcpt)
    system.run('queue', 'remove', '--recipient', rcpt)


def test_mx_that_mean_this_server(world):
    """on the port of mail exchangers whose MX is loopback means us (RFC 5321 5.1): nothing is connected to"""
    with system_of(world, delivery='') as m:
        for domain in ('tolocalhost', 'localname', 'here'):
            rcpt = 'self@%s.mx.test' % domain
            send(m, rcpt)
            d = gone(m, rcpt)[0]
            assert (d['outcome'], d['cause']) == ('later', 'local-domain-not-configured'), d
            assert not d.get('address')


def test_a_route_that_leads_back(world):
    with system_of(world, start=False) as m:
        m.write_conf(conf('route r { domains = "*" to = "[127.0.0.1]:%d [::1]:%d" }' % (m.port['mx'], m.port['mx'])))
        m.start()
        send(m, 'to@back.example')
        d = gone(m, 'to@back.example')[0]
        assert (d['outcome'], d['cause']) == ('later', 'mail-loop'), d
        assert 'leads back to this server' in d['words']


def passes_on_to(m, other):
    """what is for loop.example, from this machine too"""
    m.write_conf(conf('route r { domains = "loop.example" to = "[127.0.0.1]:%d" }\nnetwork "here" { addresses = "127.0.0.0/8" messages = "" recipients = "" }\n' % other.port['mx']))
    path = os.path.join(m.home, 'mailroom.conf')
    with open(path, encoding='utf-8') as f:
        text = f.read()
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text.replace('listener "mx" {\n', 'listener "mx" {\n\trelay-networks = "here"\n', 1))
    m.start()


def test_two_servers_that_send_mail_to_each_other():
    """RFC 5321 6.3: the Received fields tell, and whoever sent it is told once"""
    with mailroom.System(start=False) as one, mailroom.System(start=False) as two:
        passes_on_to(one, two)
        passes_on_to(two, one)
        send(one, 'round@loop.example', subject='round and round')
        end = time.monotonic() + 60
        while not (refused := [d for m in (one, two) for d in deliveries(m) if d['outcome'] == 'refused']):
            assert time.monotonic() < end, one.log()[-2000:]
            time.sleep(0.1)
        assert [(d['cause'], d['code'], d['enhanced']) for d in refused] == [('mail-loop', '554', '5.4.6')], refused
        while not (told := report.fetch(one) + report.fetch(two)):  # both have the sender's domain
            assert time.monotonic() < end
            time.sleep(0.1)
        assert len(told) == 1 and b'mail-loop' in told[0] and b'Subject: round and round' in told[0]
        assert not [d for m in (one, two) for d in deliveries(m) if d['outcome'] == 'later']


# ---- a root of one's own

def signed(name, text, folder):
    """(the zone signed, its DS record)"""
    path = os.path.join(folder, 'zone-%s' % (name or 'root'))
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    key = peers.command('ldns-keygen', '-k', '-a', 'ECDSAP256SHA256', name or '.', cwd=folder).stdout.strip()
    p = peers.command('ldns-signzone', '-f', path + '.signed', path, key, cwd=folder)
    assert key and p.returncode == 0, p.stderr
    with open(path + '.signed', encoding='utf-8') as f, open(os.path.join(folder, key + '.ds'), encoding='utf-8') as ds:
        return f.read(), ds.read().strip()


SOA = '$TTL 60\n%s IN SOA ns.%s hostmaster.%s 1 3600 600 86400 60\n%s IN NS ns.%s\nns.%s IN A %s\n'


def soa(name, address):
    dot = name + '.' if name else ''
    return SOA % (name + '.', dot, dot, name + '.', dot, dot, address)


@pytest.fixture(scope='module')
def root(world, tmp_path_factory):
    """three name servers: of the root, of test, and of safe.test (signed), open.test (not), bad.test (signed by a key that nobody knows)"""
    folder = str(tmp_path_factory.mktemp('root'))
    top, middle, leaf = peers.free_address(), peers.free_address(), peers.free_address()
    mail = '%s. IN MX 10 mx.%s.\nmx.%s. IN A ' + world['a'].address + '\n'
    zones, ds = {}, {}
    for name in ('safe.test', 'open.test', 'bad.test'):
        text = soa(name, leaf) + mail % (name, name, name)
        zones[name], ds[name] = (text, '') if name == 'open.test' else signed(name, text, folder)
    ds['bad.test'] = re.sub(r'[0-9a-f]{64}', 'ab' * 32, ds['bad.test'])
    below = ''.join('%s. IN NS ns.%s.\nns.%s. IN A %s\n%s\n' % (n, n, n, leaf, ds[n]) for n in zones)
    test, test_ds = signed('test', soa('test', middle) + below, folder)
    whole, root_ds = signed('', soa('', top) + 'test. IN NS ns.test.\nns.test. IN A %s\n%s\n' % (middle, test_ds), folder)
    hints, anchor = os.path.join(folder, 'hints'), os.path.join(folder, 'anchor')
    with open(hints, 'w', encoding='utf-8') as f:
        f.write('; the root of this network\n. 3600 IN NS ns.\nns. 3600 IN A %s\n' % top)
    with open(anchor, 'w', encoding='utf-8') as f:
        f.write(root_ds + '\n')
    with peers.Nsd({'.': whole}, address=top), peers.Nsd({'test': test}, address=middle), peers.Nsd(zones, address=leaf):
        yield {'hints': hints, 'anchor': anchor}


def test_from_the_root_on(world, root):
    dns = 'dns { resolvers = root root-hints = "%(hints)s" trust-anchor = "%(anchor)s" timeout = 10s check-recipients = no }\n' % root
    with mailroom.System(conf=re.sub(r'dns \{[^}]*\}\n', dns, conf(delivery='port = %d ' % world['port']))) as m:
        for name, dnssec in (('safe.test', 'secure'), ('open.test', 'insecure')):
            answer, = json.loads(m.run('dns', name, 'MX', '--json'))['answers']
            assert (answer['status'], answer['dnssec'], answer['records']) == ('found', dnssec, [{'preference': 10, 'host': 'mx.' + name}]), answer
            send(m, 'root@' + name)
            assert gone(m, 'root@' + name)[0]['outcome'] == 'sent' and arrived(world, 'root@' + name) == ['a']
        answer, = json.loads(m.run('dns', 'bad.test', 'MX', '--json', check=False).stdout)['answers']
        assert answer['status'] == 'bogus', answer
        send(m, ['root@bad.test', 'root@not-there.test'])
        d = {x: gone(m, x)[0] for x in ('root@bad.test', 'root@not-there.test')}
        assert (d['root@bad.test']['outcome'], d['root@bad.test']['cause']) == ('later', 'dns-failure'), d
        assert (d['root@not-there.test']['outcome'], d['root@not-there.test']['cause']) == ('refused', 'rcpt-domain-not-found'), d


def test_root_hints_that_are_not_there(world):
    with mailroom.System(conf='dns { resolvers = root root-hints = "/not/there" }\n', start=False) as m:
        p = m.run('dns', 'open.test', check=False)
        assert p.returncode == 1 and 'root-hints: /not/there' in p.stderr, p.stderr
