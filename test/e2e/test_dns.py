"""Names: `mailroom dns` and the running server against name servers of our own: nsd with plain, signed and badly signed zones, and one that lies."""
import json
import os
import signal
import smtplib
import subprocess
import time

import pytest

import mailroom
import peers
from liar import Liar

DIGEST = 'ab' * 32

PLAIN = '''@ IN MX 20 mx2
@ IN MX 10 mx1
mx1 IN A 192.0.2.1
mx1 IN A 192.0.2.2
mx1 IN AAAA 2001:db8::1
mx2 IN A 192.0.2.3
text IN TXT "v=spf1 " "mx" " -all"
text IN TXT "other \\"words\\""
none IN MX 0 .
only IN A 192.0.2.4
only6 IN AAAA 2001:db8::4
nomail IN TXT "no MX and no address"
c1 IN CNAME c2
c2 IN CNAME c3
c3 IN CNAME @
loop1 IN CNAME loop2
loop2 IN CNAME loop1
self IN CNAME self
gone IN CNAME not-there
Upper IN A 192.0.2.5
''' + ''.join('hundred IN MX %d h%d\n' % (200 - n, n) for n in range(100)) + ''.join('thousand IN MX %d t%d\n' % (2000 - n, n) for n in range(1000)) \
  + ''.join('long%d IN CNAME long%d\n' % (n, n + 1) for n in range(30)) + 'long30 IN A 192.0.2.6\n'
SIGNED = '''@ IN MX 10 mx
mx IN A 192.0.2.10
_25._tcp.mx IN TLSA 3 1 1 %s
''' % DIGEST


def signed(name, text, folder, *options):
    """as peers.signed, with options for ldns-signzone"""
    path = os.path.join(folder, name + '.zone')
    with open(path, 'w') as f:
        f.write(peers.zone(name, text))
    key = subprocess.run(['ldns-keygen', '-k', '-a', 'ECDSAP256SHA256', name], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run(['ldns-signzone', *options, '-f', path + '.signed', path, key], cwd=folder, check=True)
    with open(path + '.signed') as f, open(os.path.join(folder, key + '.ds')) as ds:
        return f.read(), ds.read()


# ---- what the tests share

CONF = '''dns {
	resolvers = "%(dead)s"
	trust-anchor = "%(anchor)s"
	stub-zones = "%(stubs)s"
	timeout = 4s
}
'''


class Scene:
    def __init__(self, folder):
        zones = {'plain.test': PLAIN, '2.0.192.in-addr.arpa': '1 IN PTR mx1.plain.test.\n7 IN CNAME 7.sub\n7.sub IN PTR mx2.plain.test.\n'}
        anchors = ''
        zones['signed.test'], ds = signed('signed.test', SIGNED, folder)
        anchors += ds
        zones['expired.test'], ds = signed('expired.test', SIGNED, folder, '-i', '20200101', '-e', '20200201')
        anchors += ds
        # signed by a key that the anchor does not know
        zones['forged.test'], _ = signed('forged.test', SIGNED, folder)
        anchors += ds.replace('expired.test', 'forged.test')
        self.anchor = os.path.join(folder, 'anchor')
        with open(self.anchor, 'w') as f:
            f.write(anchors)
        self.nsd = peers.Nsd(zones)
        self.liar = Liar()
        self.dead = peers.free_address()
        self.zones = list(zones)

    def conf(self, more=''):
        stubs = ['%s@%s' % (z, self.nsd.address) for z in self.zones] + ['%s@127.0.0.1@%d' % (Liar.zone, self.liar.port)]
        return CONF % {'dead': self.dead, 'anchor': self.anchor, 'stubs': ' '.join(stubs)} + more


@pytest.fixture(scope='module')
def scene(tmp_path_factory):
    peers.have('nsd')
    s = Scene(str(tmp_path_factory.mktemp('dns')))
    with s.nsd:
        yield s
    s.liar.close()


@pytest.fixture(scope='module')
def system(scene):
    with mailroom.System(conf=scene.conf()) as m:
        yield m


def ask(system, name, kind=None):
    p = system.run('dns', name, *([kind] if kind else []), '--json', check=False)
    assert p.stdout, p.stderr
    answers = json.loads(p.stdout)['answers']
    assert p.returncode == (0 if any(a['status'] == 'found' for a in answers) else 1)
    return answers[0] if kind else answers


def records(system, name, kind):
    answer = ask(system, name, kind)
    assert answer['status'] == 'found', answer
    return answer['records']


# ---- records

def test_every_type(system):
    assert records(system, 'plain.test', 'MX') == [{'preference': 10, 'host': 'mx1.plain.test'}, {'preference': 20, 'host': 'mx2.plain.test'}]
    assert sorted(records(system, 'mx1.plain.test', 'A')) == ['192.0.2.1', '192.0.2.2']
    assert records(system, 'mx1.plain.test', 'AAAA') == ['2001:db8::1']
    assert sorted(records(system, 'text.plain.test', 'TXT')) == ['other "words"', 'v=spf1 mx -all']
    assert records(system, 'c1.plain.test', 'CNAME') == ['c2.plain.test']
    assert records(system, '1.2.0.192.in-addr.arpa', 'PTR') == ['mx1.plain.test']
    assert records(system, '_25._tcp.mx.signed.test', 'TLSA') == [{'usage': 3, 'selector': 1, 'matching': 1, 'data': DIGEST}]
    assert records(system, 'none.plain.test', 'MX') == [{'preference': 0, 'host': ''}]
    assert records(system, 'UPPER.Plain.TEST.', 'A') == ['192.0.2.5']


def test_an_address_is_looked_up_backwards(system):
    first, = ask(system, '192.0.2.1')
    assert (first['type'], first['records']) == ('PTR', ['mx1.plain.test'])
    second, = ask(system, '192.0.2.7')  # by an alias, as parts of a network are delegated (RFC 2317)
    assert second['records'] == ['mx2.plain.test'] and second['canonical'] == '7.sub.2.0.192.in-addr.arpa'


def test_without_a_type_what_mail_needs(system):
    assert [a['type'] for a in ask(system, 'plain.test')] == ['MX', 'A', 'AAAA']
    assert [a['status'] for a in ask(system, 'only.plain.test')] == ['nothing', 'found', 'nothing']


def test_aliases(system):
    answer = ask(system, 'c1.plain.test', 'MX')
    assert answer['canonical'] == 'plain.test' and len(answer['records']) == 2
    assert ask(system, 'gone.plain.test', 'A')['status'] == 'unknown'
    for name in ('loop1', 'self', 'long0'):
        assert ask(system, name + '.plain.test', 'A')['status'] == 'failed', name
    assert records(system, 'long25.plain.test', 'A') == ['192.0.2.6']


def test_many_mx(system):
    answer = ask(system, 'hundred.plain.test', 'MX')
    assert not answer['cut'] and [r['preference'] for r in answer['records']] == list(range(101, 201))
    answer = ask(system, 'thousand.plain.test', 'MX')
    assert answer['cut'] and [r['preference'] for r in answer['records']] == list(range(1001, 1101))


def test_what_is_not_there(system):
    assert ask(system, 'not-there.plain.test', 'MX')['status'] == 'unknown'
    answer = ask(system, 'only.plain.test', 'MX')
    assert answer['status'] == 'nothing' and answer['ttl'] == 60


def test_for_people(system):
    p = system.run('dns', 'none.plain.test', 'MX', check=False)
    assert p.returncode == 0 and 'null MX: this domain takes no mail' in p.stdout
    p = system.run('dns', 'expired.test', 'MX', check=False)
    assert p.returncode == 1 and 'cannot be trusted' in p.stdout and 'expired' in p.stdout
    p = system.run('dns', 'a..b', check=False)
    assert p.returncode == 2 and 'cannot be a name' in p.stderr
    p = system.run('dns', 'plain.test', 'SOA', check=False)
    assert p.returncode == 2 and 'no type' in p.stderr


# ---- DNSSEC

@pytest.mark.parametrize('name, kind, status, dnssec, words', [
    ('signed.test', 'MX', 'found', 'secure', ''),
    ('_25._tcp.mx.signed.test', 'TLSA', 'found', 'secure', ''),
    ('not-there.signed.test', 'MX', 'unknown', 'secure', ''),
    ('mx.signed.test', 'MX', 'nothing', 'secure', ''),
    ('_443._tcp.mx.signed.test', 'TLSA', 'unknown', 'secure', ''),
    ('plain.test', 'MX', 'found', 'insecure', ''),
    ('not-there.plain.test', 'MX', 'unknown', 'insecure', ''),
    ('expired.test', 'MX', 'bogus', 'bogus', 'expired'),
    ('not-there.expired.test', 'MX', 'bogus', 'bogus', 'expired'),
    ('forged.test', 'MX', 'bogus', 'bogus', 'forged.test'),
])
def test_dnssec(system, name, kind, status, dnssec, words):
    answer = ask(system, name, kind)
    assert (answer['status'], answer['dnssec']) == (status, dnssec), answer
    assert words in answer['words']
    assert bool(answer['records']) == (status == 'found')


def test_dnssec_switched_off(scene):
    with mailroom.System(conf=scene.conf().replace('timeout', 'dnssec = no\n\ttimeout'), start=False) as m:
        answer = ask(m, 'expired.test', 'MX')
        assert (answer['status'], answer['dnssec']) == ('found', 'not checked')


def test_a_zone_said_to_be_insecure(scene):
    """a zone of one's own that the Internet does not know: with the keys of the root alone nobody can say that it may be unsigned"""
    conf = scene.conf().replace('trust-anchor = "%s"' % scene.anchor, 'insecure-zones = "plain.test"')
    with mailroom.System(conf=conf, start=False) as m:
        assert ask(m, 'plain.test', 'MX')['status'] == 'found'
        assert ask(m, 'signed.test', 'MX')['status'] in ('bogus', 'failed')


def test_a_resolver_that_drops_signatures(scene):
    """nothing can be validated then: the log says so, and people can go on sending"""
    conf = 'dns {\n\tresolvers = "127.0.0.1@%d"\n}\n' % scene.liar.port
    with mailroom.System(conf=conf) as m:
        answer = ask(m, 'good.somewhere.example', 'A')
        assert answer['status'] == 'bogus' and 'nothing can be validated' in answer['words'] and '127.0.0.1@%d' % scene.liar.port in answer['words']
        assert rcpt(m, 'bob@somewhere.example')[0] == 250
        m.wait_log('event=dnssec-unusable')
    with mailroom.System(conf=conf.replace('dns {', 'dns {\n\tdnssec = no'), start=False) as m:
        assert records(m, 'good.somewhere.example', 'A') == ['192.0.2.80']


# ---- name servers that are no good

@pytest.mark.parametrize('how', ['never', 'garbage', 'number', 'question', 'half', 'servfail', 'refused', 'truncated-for-ever', 'short'])
def test_no_answer_that_can_be_used(system, how):
    answer = ask(system, how + '.liar.test', 'A')
    assert answer['status'] == 'failed' and answer['words'] and not answer['records']


@pytest.mark.parametrize('how', ['good', 'case', 'truncated', 'old', 'number-first', 'poison'])
def test_the_true_answer_comes_through(system, how):
    assert records(system, how + '.liar.test', 'A') == ['192.0.2.80']


def test_a_name_with_a_line_end_is_no_host(system):
    assert ask(system, 'line-end.liar.test', 'MX')['status'] == 'failed'


def test_the_case_is_mixed(system, scene):
    """what is asked for is spelled at random, so that a forger has more to guess (0x20)"""
    packets = []
    true = scene.liar.replies
    scene.liar.replies = lambda packet, over: packets.append(packet) or true(packet, over)
    try:
        assert records(system, 'abcdefghijklmnopqrstuvwxyz.liar.test', 'A')
    finally:
        scene.liar.replies = true
    assert any(b'liar' in p.lower() and p[12:] != p[12:].lower() for p in packets)


def test_resolvers_that_are_dead(system):
    assert ask(system, 'somewhere.example', 'MX')['status'] in ('failed', 'bogus')


# ---- the running server

def rcpt(system, *rcpts):
    with smtplib.SMTP_SSL('127.0.0.1', system.port['submissions'], context=mailroom_context(), timeout=60) as s:
        s.login('alice@mailroom.test', system.password['alice@mailroom.test'])
        s.mail('alice@mailroom.test')
        replies = [s.rcpt(r) for r in rcpts]
        s.rset()
    return replies[0] if len(rcpts) == 1 else replies


def mailroom_context():
    import ssl
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize('domain, code, slug', [
    ('plain.test', 250, None),
    ('only.plain.test', 250, None),
    ('only6.plain.test', 250, None),
    ('c1.plain.test', 250, None),
    ('signed.test', 250, None),
    ('thousand.plain.test', 250, None),
    ('not-there.plain.test', 553, 'rcpt-domain-not-found'),
    ('not-there.signed.test', 553, 'rcpt-domain-not-found'),
    ('nomail.plain.test', 553, 'rcpt-domain-not-found'),
    ('gone.plain.test', 553, 'rcpt-domain-not-found'),
    ('none.plain.test', 556, 'null-mx'),
    # nobody knows: the queue finds out
    ('expired.test', 250, None),
    ('loop1.plain.test', 250, None),
    ('servfail.liar.test', 250, None),
    ('never.liar.test', 250, None),
    ('garbage.liar.test', 250, None),
    ('somewhere.example', 250, None),
])
def test_at_rcpt(system, domain, code, slug):
    reply = rcpt(system, 'bob@' + domain)
    assert reply[0] == code, reply
    if slug:
        assert slug in reply[1].decode() and ('5.1.10' if code == 556 else '5.1.2') in reply[1].decode()


def test_at_rcpt_many_at_once_and_in_order(system):
    """pipelined: answers wait for each other, and none is lost"""
    good, bad = ['b%d@plain.test' % n for n in range(50)], ['b%d@n%d.plain.test' % (n, n) for n in range(50)]
    mixed = [a for pair in zip(good, bad) for a in pair]
    with smtplib.SMTP_SSL('127.0.0.1', system.port['submissions'], context=mailroom_context(), timeout=60) as s:
        s.login('alice@mailroom.test', system.password['alice@mailroom.test'])
        s.sock.sendall(''.join('%s\r\n' % c for c in ['MAIL FROM:<alice@mailroom.test>'] + ['RCPT TO:<%s>' % r for r in mixed]).encode())
        codes = [s.getreply()[0] for _ in range(101)]
    assert codes == [250] + [250, 553] * 50


def test_local_names_are_not_looked_up(system, scene):
    before = len(scene.liar.asked)
    assert rcpt(system, 'bob@mailroom.test')[0] == 250
    assert rcpt(system, 'nobody@mailroom.test')[0] == 550
    assert len(scene.liar.asked) == before and 'mailroom.test' not in str(scene.liar.asked)


def test_a_client_that_leaves_while_its_recipient_is_looked_up(system):
    for _ in range(3):
        s = smtplib.SMTP_SSL('127.0.0.1', system.port['submissions'], context=mailroom_context(), timeout=60)
        s.login('alice@mailroom.test', system.password['alice@mailroom.test'])
        s.mail('alice@mailroom.test')
        s.send('RCPT TO:<x@never.liar.test>\r\n')
        time.sleep(0.1)
        s.close()
    assert rcpt(system, 'bob@plain.test')[0] == 250


def test_the_dns_role_dies(system):
    mark = system.log_size()
    os.kill(system.pid_of('dns')[0], signal.SIGKILL)
    system.wait_log('event=role-ready .*started=dns', since=mark)
    assert [r[0] for r in rcpt(system, 'bob@plain.test', 'bob@not-there.plain.test')] == [250, 553]


def test_a_reload_has_a_dns_role_of_its_own(system):
    mark, before = system.log_size(), system.pid_of('dns')
    system.process.send_signal(signal.SIGHUP)
    system.wait_log('event=role-ready .*started=dns', since=mark)
    system.wait_log('event=role-ready .*started=user', since=mark)
    end = time.monotonic() + 30
    while system.pid_of('dns')[:1] == before[:1] and time.monotonic() < end:
        time.sleep(0.05)
    assert len(system.pid_of('dns')) == 1 and system.pid_of('dns') != before
    assert rcpt(system, 'bob@not-there.plain.test')[0] == 553


def test_name_servers_that_come_back(system, scene):
    """down, mail is taken; up again, names are known again, though nobody says so to the running server"""
    scene.liar.silent = True
    try:
        assert rcpt(system, 'bob@unknown.liar.test')[0] == 250
        time.sleep(12)  # the library has given the server up
        assert rcpt(system, 'bob@unknown.liar.test')[0] == 250
    finally:
        scene.liar.silent = False
    end = time.monotonic() + 200
    while rcpt(system, 'bob@unknown.liar.test')[0] != 553:
        assert time.monotonic() < end
        time.sleep(0.5)


@pytest.mark.parametrize('conf, code', [('check-recipients = no', 250), ('check-recipients = yes', 553)])
def test_the_setting(scene, conf, code):
    with mailroom.System(conf=scene.conf().replace('timeout', conf + '\n\ttimeout')) as m:
        assert rcpt(m, 'bob@not-there.plain.test')[0] == code
        assert m.pid_of('dns')


def test_would_accept_says_what_it_cannot_know(system):
    way = ('would-accept', '--account', 'alice@mailroom.test', '--tls', '--from', 'alice@mailroom.test', '--to')
    assert 'mailroom dns not-there.plain.test' in system.run(*way, 'bob@not-there.plain.test', check=False).stdout
    assert json.loads(system.run(*way, 'bob@plain.test', '--json', check=False).stdout)['dns_asked_for'] == 'plain.test'
    assert 'DNS' not in system.run(*way, 'bob@mailroom.test', check=False).stdout


def test_no_dns_role_where_nobody_needs_it():
    with mailroom.System(conf='workers {\n\trelay = 0\n}\ndns {\n\tcheck-recipients = yes\n}\n') as m:
        assert not m.pid_of('dns')
        assert rcpt(m, 'bob@not-there.plain.test')[0] == 250


def test_domains_that_a_route_takes_need_not_be_in_the_dns(scene):
    route = 'route "inside" {\n\tdomains = ".plain.test"\n\tto = "[127.0.0.1]:1"\n}\n'
    with mailroom.System(conf=scene.conf(route)) as m:
        assert rcpt(m, 'bob@not-there.plain.test')[0] == 250
        assert rcpt(m, 'bob@nomail.plain.test')[0] == 250


def test_a_trust_anchor_that_is_not_there(scene):
    with mailroom.System(conf=scene.conf().replace(scene.anchor, '/not/there'), start=False) as m:
        p = m.run('dns', 'plain.test', check=False)
        assert p.returncode == 1 and '/not/there' in p.stderr and 'trust-anchor' in p.stderr
