"""REQUIRETLS (RFC 8689) from one mailroom to another and on from there: passed on to hosts that prove who they are and promise it, every host of a domain asked
before the message goes back, and the report protected as the message was."""
import email
import smtplib
import ssl
import time

import pytest

import mailroom
import peers
import report
from report import Report
from test_delivery import Client, deliveries, wait_delivery
from test_delivery_tls import DANE, POLICY, STS, Policies, World

OFFER = ('PIPELINING', '8BITMIME', 'ENHANCEDSTATUSCODES', 'DSN', 'REQUIRETLS')
ALICE = 'alice@mailroom.test'
SECRET = 'nobody else is to read this'
PEER = 'peer.' + DANE


class Other(mailroom.System):
    """a second mailroom, which has PEER, on the port of all mail exchangers of the world"""

    def __init__(self, world):
        super().__init__(start=False, accounts=('alice',))
        self.port['mx'] = world.port
        self.run('domain', 'add', PEER)
        self.account('bob@' + PEER)
        for name, target in (('on', 'to@right.'), ('back', 'to@unoffering.')):
            self.run('alias', 'add', '%s@%s' % (name, PEER), target + DANE)


@pytest.fixture(scope='module')
def world(tmp_path_factory):
    peers.have('nsd')
    w = World(tmp_path_factory.mktemp('requiretls'))
    chain, key = w.authority.certificate('web', ['mta-sts.%s.%s' % (n, STS) for n in ('good', 'testing')])
    web = Policies(next(w.address), chain, key)
    w.host('right', DANE, 'stranger', '3 1 1 {right}', offer=OFFER)
    w.host('unoffering', DANE, 'good', '3 1 1 {right}', offer=OFFER[:-1])
    w.host('mismatch', DANE, 'good', '3 1 1 {wrong}', offer=OFFER)
    w.host('clear', DANE, None, offer=OFFER)
    w.host('pkix', DANE, 'good', offer=OFFER)
    for name in ('good', 'testing', 'free'):
        w.host(name, STS, 'good', offer=OFFER)
        if name != 'free':
            web.text[name + '.' + STS] = POLICY % (('enforce', '*.good.' + STS, 86400) if name == 'good' else ('testing', 'elsewhere.' + STS, 86400))
            w.text[STS] += '_mta-sts.%s IN TXT "v=STSv1; id=1;"\nmta-sts.%s IN A %s\n' % (name, name, web.server.server_address[0])
    w.text[DANE] += 'second IN MX 10 mx.unoffering\nsecond IN MX 20 mx.right\nsilent IN A %s\n' % next(w.address)
    w.text[DANE] += 'waits IN MX 10 silent\nwaits IN MX 20 mx.unoffering\nnone IN MX 10 mx.unoffering\nnone IN MX 20 mx.clear\n'
    w.other = Other(w)
    w.text[DANE] += 'peer IN MX 10 mx.peer\nmx.peer IN A 127.0.0.1\n_%d._tcp.mx.peer IN TLSA 3 1 1 %s\n' % (w.port, w.digest(w.other.home + '/tls/default.crt'))
    w.start(web)
    w.other.write_conf(w.conf())
    w.other.start()
    yield w
    w.other.close()
    web.close()
    w.close()


@pytest.fixture(scope='module')
def system(world):
    with mailroom.System(conf=world.conf()) as m:
        yield m


@pytest.fixture(autouse=True)
def clean(system):
    report.fetch(system, ALICE, delete=True)


def must(m, rcpt, options=('REQUIRETLS',)):
    """the first that the log says of it"""
    mark = m.log_size()
    c = Client(m)
    c.send(rcpt, body=SECRET, options=options)
    c.close()
    return wait_delivery(m, since=mark, rcpt=rcpt)[0]


def mail_lines(s):
    return [text for _, stage, text in s.said if stage == 'mail']


def from_afar(m, rcpt, sender):
    """over TLS to the listener for other servers"""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP('127.0.0.1', m.port['mx'], timeout=30) as c:
        c.starttls(context=context)
        c.ehlo('far.example')
        assert c.has_extn('requiretls')
        refused = c.sendmail(sender, [rcpt], 'From: <%s>\r\nSubject: from afar\r\n\r\n%s\r\n' % (sender, SECRET), mail_options=['REQUIRETLS', 'RET=FULL'])
        assert not refused


# ---- where it arrives

def test_from_one_mailroom_to_another(system, world):
    d = must(system, 'bob@' + PEER)
    assert d['outcome'] == 'sent' and d['tls'].endswith(' dane'), d
    got, = report.wait(world.other, 1, 'bob@' + PEER)
    assert SECRET.encode() in got


def test_and_on_from_there(system, world):
    mark = world.other.log_size()
    assert must(system, 'on@' + PEER)['outcome'] == 'sent'
    d = wait_delivery(world.other, since=mark, rcpt='to@right.' + DANE)[0]
    assert d['outcome'] == 'sent' and d['tls'].endswith(' dane'), d
    assert mail_lines(world.sinks['right.' + DANE])[-1].upper().endswith(' REQUIRETLS')
    # what was sent without goes on without
    mark = world.other.log_size()
    assert must(system, 'on@' + PEER, options=())['outcome'] == 'sent'
    wait_delivery(world.other, since=mark, rcpt='to@right.' + DANE)
    assert 'REQUIRETLS' not in mail_lines(world.sinks['right.' + DANE])[-1].upper()


@pytest.mark.parametrize('name,how', [('right.' + DANE, 'dane'), ('pkix.' + DANE, 'pkix'), ('good.' + STS, 'sts')])
def test_hosts_that_prove_who_they_are(system, world, name, how):
    d = must(system, 'to@' + name)
    assert d['outcome'] == 'sent' and d['tls'].endswith(' ' + how), d
    assert mail_lines(world.sinks[name])[-1].upper().endswith(' REQUIRETLS')


def test_the_second_host_where_the_first_does_not_offer_it(system, world):
    before = len(mail_lines(world.sinks['unoffering.' + DANE]))
    d = must(system, 'to@second.' + DANE)
    assert d['outcome'] == 'sent' and d['host'] == 'mx.right.' + DANE and d['attempt'] == '1', d
    assert len(mail_lines(world.sinks['unoffering.' + DANE])) == before
    # the first is well: other mail goes there, whatever became of that message
    end = time.monotonic() + 30
    while world.sinks['right.' + DANE].open:  # no connection is kept that it could go over
        assert time.monotonic() < end
        time.sleep(0.05)
    d = must(system, 'other@second.' + DANE, options=())
    assert d['outcome'] == 'sent' and d['host'] == 'mx.unoffering.' + DANE, d


# ---- where it does not

@pytest.mark.parametrize('name', ['unoffering.' + DANE, 'clear.' + DANE, 'free.' + STS, 'testing.' + STS, 'none.' + DANE])
def test_no_host_will_do(system, world, name):
    sinks = [world.sinks[n] for n in (name, 'unoffering.' + DANE, 'clear.' + DANE) if n in world.sinks]
    before = [len(mail_lines(s)) for s in sinks]
    d = must(system, 'to@' + name)
    assert (d['outcome'], d['cause']) == ('refused', 'requiretls-unsupported'), d
    assert [len(mail_lines(s)) for s in sinks] == before
    r = Report(report.wait(system, 1)[0])
    assert r.of('to@' + name)['Status'] == '5.7.30' and SECRET.encode() not in r.raw, r.raw
    assert 'travel encrypted' in r.words()


def test_a_certificate_that_is_wrong_makes_mail_wait(system, world):
    """DANE says so to any mail: somebody changed a certificate, or sits in the middle"""
    d = must(system, 'to@mismatch.' + DANE)
    assert (d['outcome'], d['cause']) == ('later', 'tls-dane-mismatch') and not mail_lines(world.sinks['mismatch.' + DANE]), d
    system.run('queue', 'remove', '--recipient', 'to@mismatch.' + DANE)


def test_a_host_that_is_down_may_come_back(system, world):
    """the one that answers does not offer it, the other one does not answer: mail waits, and mail without REQUIRETLS does not wait with it"""
    d = must(system, 'to@waits.' + DANE)
    assert (d['outcome'], d['cause']) == ('later', 'remote-unreachable'), d
    d = must(system, 'other@waits.' + DANE, options=())
    assert d['outcome'] == 'sent' and d['host'] == 'mx.unoffering.' + DANE, d
    assert not [x for x in deliveries(system) if x['rcpt'] == 'to@waits.' + DANE and x['outcome'] == 'refused']
    system.run('queue', 'remove', '--recipient', 'to@waits.' + DANE)


def test_the_report_is_protected_as_the_message_was(system, world):
    """RFC 8689 5: REQUIRETLS on the report, and no body in it even where RET=FULL was said"""
    s = world.sinks['right.' + DANE]
    mark, mails = world.other.log_size(), len(s.mail)
    from_afar(world.other, 'back@' + PEER, 'sam@right.' + DANE)
    d = wait_delivery(world.other, since=mark, rcpt='to@unoffering.' + DANE)[0]
    assert (d['outcome'], d['cause']) == ('refused', 'requiretls-unsupported'), d
    d = wait_delivery(world.other, since=mark, rcpt='sam@right.' + DANE)[0]
    assert d['outcome'] == 'sent', d
    _, sender, rcpts, raw = s.wait(mails + 1)[-1]
    assert sender == '' and rcpts == ['sam@right.' + DANE] and mail_lines(s)[-1].upper().endswith(' REQUIRETLS')
    assert email.message_from_bytes(raw).get_content_type() == 'multipart/report' and SECRET.encode() not in raw
