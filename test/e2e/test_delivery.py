"""Mail that leaves: routes, MX records, smarthosts, partial acceptance, retries, destinations that are down, connections kept and shared; and what a relay or a
store that is killed costs. The other servers are sinks of this directory (sink.py); real ones are in test_delivery_peers.py."""
import collections
import os
import random
import re
import signal
import smtplib
import ssl
import time

import pytest

import mailroom
import peers
import sink

FAST = 'retry-first = 1s retry-most = 2s idle = 2s connect-timeout = 3s greeting-timeout = 5s command-timeout = 5s end-timeout = 5s mta-sts = no dane = no'
TLS = ssl.create_default_context()
TLS.check_hostname, TLS.verify_mode = False, ssl.CERT_NONE


def conf(more='', delivery='', relays=1, dns=''):
    return 'workers { mx = 1 user = 1 relay = %d }\ndelivery { %s %s }\ndns { dnssec = no check-recipients = no timeout = 3s %s }\n%s\n' % (relays, FAST, delivery, dns, more)


def route(port, domains='*', address='127.0.0.1', more=''):
    return 'route "%s" { domains = "%s" to = "[%s]:%d" %s }\n' % (re.sub(r'[^a-z0-9]', '-', domains), domains, address, port, more)


class Client:
    """a signed-in connection of alice"""

    def __init__(self, m):
        self.c = smtplib.SMTP('127.0.0.1', m.port['submission'], timeout=60)
        self.c.starttls(context=TLS)
        self.c.login('alice@mailroom.test', m.password['alice@mailroom.test'])
        self.n = 0

    def send(self, rcpts, body='hello', sender='alice@mailroom.test', subject=None, options=()):
        self.n += 1
        rcpts = [rcpts] if isinstance(rcpts, str) else rcpts
        text = 'Subject: %s\r\nMessage-ID: <%d.%d@test>\r\n\r\n%s\r\n' % (subject or 'n%d' % self.n, self.n, random.randrange(1 << 48), body)
        refused = self.c.sendmail(sender, rcpts, text if isinstance(text, bytes) else text.encode(), mail_options=list(options))
        assert not refused, refused

    def close(self):
        self.c.quit()


def send(m, rcpts, **more):
    c = Client(m)
    c.send(rcpts, **more)
    c.close()


LINE = re.compile(r' event=delivery (.*)')
FIELD = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|\S*)')


def deliveries(m, since=0):
    """[{rcpt, outcome, cause, host, ...}] of the log"""
    return [{k: v.strip('"') for k, v in FIELD.findall(line)} for line in LINE.findall(m.log(since))]


def wait_delivery(m, since=0, timeout=30, count=1, **want):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        found = [d for d in deliveries(m, since) if all(d.get(k) == v for k, v in want.items())]
        if len(found) >= count:
            return found
        time.sleep(0.05)
    raise AssertionError('no delivery like %r in\n%s' % (want, m.log(since)[-5000:]))


def wait_empty(m, timeout=40):
    end = time.monotonic() + timeout
    while True:
        listed = m.run('queue', 'list')
        if '@' not in listed:
            return
        assert time.monotonic() < end, listed + m.log()[-4000:]
        time.sleep(0.2)


# ---- a route, and what goes over it

def test_a_route_takes_mail_and_the_text_arrives_as_it_was():
    with sink.Sink() as s, mailroom.System(conf=conf(route(s.port))) as m:
        c = Client(m)
        body = '.\r\n..two\r\n' + 'x' * 900 + '\r\n' + '\u00e4\u20ac' * 100 + '\r\n.last'
        c.send(['x@elsewhere.example', 'y@elsewhere.example', 'z@other.example'], body=body)
        c.send('big@elsewhere.example', body=('0123456789abcdef' * 60 + '\r\n') * 5000)
        c.close()
        got = s.wait(3)
        assert s.rcpts() == ['big@elsewhere.example', 'x@elsewhere.example', 'y@elsewhere.example', 'z@other.example']
        small = [g for g in got if 'x@elsewhere.example' in g[2]][0]
        assert small[1] == 'alice@mailroom.test' and small[3].endswith(b'\r\n\r\n' + body.encode() + b'\r\n')
        big = [g for g in got if 'big@elsewhere.example' in g[2]][0]
        assert big[3].endswith((b'0123456789abcdef' * 60 + b'\r\n') * 5000 + b'\r\n') and big[3].count(b'Received:') == 1
        wait_empty(m)
        d = wait_delivery(m, rcpt='z@other.example')[0]
        assert d['outcome'] == 'sent' and d['code'] == '250' and d['address'] == '127.0.0.1:%d' % s.port


def test_hosts_of_a_route_are_tried_in_order():
    dead = mailroom.free_ports(1)[0]
    with sink.Sink() as s, mailroom.System(conf=conf('route r { domains = "*" to = "[127.0.0.1]:%d [127.0.0.1]:%d" }' % (dead, s.port))) as m:
        send(m, 'x@elsewhere.example')
        s.wait(1)
        wait_delivery(m, outcome='sent')
        assert not [d for d in deliveries(m) if d['outcome'] != 'sent']


def test_the_address_to_connect_from():
    with sink.Sink() as s, mailroom.System(conf=conf(route(s.port), delivery='ipv4-source = 127.0.0.77')) as m:
        send(m, 'x@elsewhere.example')
        s.wait(1)
        assert s.sessions[0].peer == '127.0.0.77'


# ---- names

@pytest.fixture(scope='module')
def zone():
    """nsd for mx.test, and two sinks on addresses that its hosts have, on one port"""
    peers.have('nsd')
    a, b = '127.88.%d.1' % random.randrange(256), '127.89.%d.1' % random.randrange(256)
    with sink.Sink(a) as one, sink.Sink(b, port=one.port) as two:
        text = 'a IN A %s\nb IN A %s\nself IN A 127.0.0.1\ndead IN A 127.90.0.1\nsilent IN A 127.91.0.1\n' % (a, b)
        text += '@ IN MX 10 a\n@ IN MX 20 b\n'
        text += 'reverse IN MX 20 a\nreverse IN MX 10 b\n'
        text += 'fallback IN MX 5 dead\nfallback IN MX 10 b\n'
        text += 'shared IN MX 10 a\nshared IN MX 10 b\n'
        text += 'null IN MX 0 .\nimplicit IN A %s\n' % a
        text += 'me IN MX 10 mail.mailroom.test.\nme IN MX 20 a\nmeworse IN MX 10 b\nmeworse IN MX 20 mail.mailroom.test.\nmeworse IN MX 30 a\n'
        text += 'noaddress IN MX 10 nothing\nnothing IN TXT "x"\nnomail IN TXT "x"\nalldead IN MX 10 dead\n'
        text += ''.join('many IN MX %d h%d\nh%d IN A 127.92.0.%d\n' % (i, i, i, i) for i in range(1, 100)) + 'many IN MX 100 b\n'
        with peers.Nsd({'mx.test': text, 'mailroom.test': 'mail IN A 127.0.0.1\n'}) as dns:
            yield {'dns': dns, 'one': one, 'two': two}


@pytest.fixture(scope='module')
def system(zone):
    names = 'stub-zones = "mx.test@%s mailroom.test@%s" insecure-zones = "mx.test mailroom.test"' % (zone['dns'].address, zone['dns'].address)
    with mailroom.System(conf=conf(delivery='port = %d ' % zone['one'].port, dns=names)) as m:
        yield m


def arrived(zone, rcpt):
    return [name for name in ('one', 'two') if rcpt in zone[name].rcpts()]


@pytest.mark.parametrize('domain,where', [('mx.test', 'one'), ('reverse.mx.test', 'two'), ('fallback.mx.test', 'two'), ('implicit.mx.test', 'one'),
                                          ('meworse.mx.test', 'two'), ('[127.0.0.1]', None)])
def test_where_mail_goes(system, zone, domain, where):
    if domain.startswith('['):
        domain, where = '[%s]' % zone['two'].address, 'two'
    rcpt = 'to@' + domain
    send(system, rcpt)
    d = wait_delivery(system, rcpt=rcpt)
    assert d[0]['outcome'] == 'sent', d
    assert arrived(zone, rcpt) == [where]


@pytest.mark.parametrize('domain,outcome,cause', [('null.mx.test', 'refused', 'null-mx'), ('nowhere.mx.test', 'refused', 'rcpt-domain-not-found'),
                                                  ('nomail.mx.test', 'refused', 'rcpt-domain-not-found'), ('noaddress.mx.test', 'later', 'rcpt-domain-not-found'),
                                                  ('me.mx.test', 'later', 'local-domain-not-configured'), ('alldead.mx.test', 'later', 'remote-unreachable'),
                                                  ('unknown.invalid-zone-of-nobody.example', 'later', 'dns-failure')])
def test_what_is_said_where_it_cannot_go(system, domain, outcome, cause):
    rcpt = 'to@' + domain
    send(system, rcpt)
    d = wait_delivery(system, rcpt=rcpt)[0]
    if domain.endswith('.example') and d['cause'] == 'rcpt-domain-not-found':
        return  # where the machine has a resolver that knows better
    assert (d['outcome'], d['cause']) == (outcome, cause), d
    system.run('queue', 'remove', '--recipient', rcpt, check=False)


def test_equal_preference_is_shared(system, zone):
    before, mark = [len(zone[x].mail) for x in ('one', 'two')], system.log_size()
    c = Client(system)
    for i in range(60):
        c.send('s%d@shared.mx.test' % i)
        time.sleep(0.05 if i % 10 else 2.5)  # past the idle time: another connection
    c.close()
    wait_delivery(system, mark, outcome='sent', count=60)
    after = [len(zone[x].mail) for x in ('one', 'two')]
    assert sum(after) - sum(before) == 60
    assert after[0] > before[0] and after[1] > before[1], (before, after)


def test_a_hundred_mx_are_not_all_tried(system):
    send(system, 'to@many.mx.test')
    d = wait_delivery(system, rcpt='to@many.mx.test', timeout=90)[0]
    assert d['outcome'] == 'later' and d['cause'] == 'remote-unreachable'
    system.run('queue', 'remove', '--recipient', 'to@many.mx.test', check=False)


# ---- smarthosts

def certificate(tmp_path):
    a = peers.Authority(tmp_path)
    chain, key = a.certificate('smart', ['localhost', '127.0.0.1'])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return a, context


def smarthost(m_port, tmp_path, password='s3cret', tls='starttls', more=''):
    path = tmp_path / 'password'
    path.write_text(password + '\n')
    return 'smarthost isp { host = 127.0.0.1 port = %d tls = %s login = "me@isp.example" password-file = "%s" %s }\n' % (m_port, tls, path, more)


@pytest.mark.parametrize('tls', ['starttls', 'implicit'])
def test_a_smarthost_with_sign_in(tmp_path, tls):
    a, context = certificate(tmp_path)
    with sink.Sink(context=context, implicit=tls == 'implicit', login={'me@isp.example': 's3cret'}) as s, \
            mailroom.System(conf=conf(smarthost(s.port, tmp_path, tls=tls), delivery='smarthost = isp ca-file = "%s"' % a.trust)) as m:
        send(m, ['x@elsewhere.example', 'y@other.example'])
        s.wait(1)
        wait_delivery(m, outcome='sent', count=2)
        assert s.rcpts() == ['x@elsewhere.example', 'y@other.example']
        assert s.sessions[0].tls and s.sessions[0].login == 'me@isp.example'
        assert all('TLS' in d['tls'] and d['host'] == '127.0.0.1' for d in deliveries(m))


def test_a_wrong_password_delays_mail_and_is_not_tried_for_each_message(tmp_path):
    _, context = certificate(tmp_path)
    with sink.Sink(context=context, login={'me@isp.example': 'other'}) as s, \
            mailroom.System(conf=conf(smarthost(s.port, tmp_path, more='verify = no'), delivery='smarthost = isp').replace('retry-first = 1s retry-most = 2s', '')) as m:
        c = Client(m)
        for i in range(10):
            c.send('x%d@elsewhere.example' % i)
        c.close()
        d = wait_delivery(m)[0]
        assert d['outcome'] == 'later' and d['cause'] == 'smarthost-auth-failed' and 's3cret' not in m.log()
        time.sleep(3)
        assert s.connections <= 2 and not s.mail
        assert not [x for x in deliveries(m) if x['outcome'] == 'refused']


@pytest.mark.parametrize('tls,more,goes', [('starttls', '', False), ('none', 'auth-without-tls = yes', True)])
def test_the_password_goes_in_the_clear_only_where_that_was_asked_for(tmp_path, tls, more, goes):
    with sink.Sink(login={'me@isp.example': 's3cret'}) as s, \
            mailroom.System(conf=conf(smarthost(s.port, tmp_path, tls=tls, more=more), delivery='smarthost = isp')) as m:
        send(m, 'x@elsewhere.example')
        d = wait_delivery(m)[0]
        assert (d['outcome'] == 'sent') is goes, d
        assert bool(s.sessions[0].login) is goes


def test_a_certificate_that_nobody_vouches_for_is_not_believed(tmp_path):
    _, context = certificate(tmp_path)
    with sink.Sink(context=context, login={'me@isp.example': 's3cret'}) as s, mailroom.System(conf=conf(smarthost(s.port, tmp_path), delivery='smarthost = isp')) as m:
        send(m, 'x@elsewhere.example')
        d = wait_delivery(m)[0]
        assert d['outcome'] == 'later' and d['cause'].startswith('tls-'), d
        assert not s.sessions[0].login and not s.mail


# ---- recipients

def test_each_recipient_has_an_end_of_its_own():
    def answer(stage, text, session):
        if stage == 'rcpt':
            return {'n': '550 5.1.1 User unknown', 'l': '451 4.3.0 try later'}.get(text[text.index('<') + 1])
        return None

    with sink.Sink(answer=answer) as s, mailroom.System(conf=conf(route(s.port))) as m:
        send(m, ['yes@e.example', 'no@e.example', 'later@e.example', 'yes2@e.example'])
        s.wait(1)
        wait_delivery(m, count=4)
        got = {d['rcpt']: (d['outcome'], d.get('code')) for d in deliveries(m)}
        assert got['yes@e.example'] == got['yes2@e.example'] == ('sent', '250')
        assert got['no@e.example'] == ('refused', '550') and got['later@e.example'] == ('later', '451')
        assert [d['cause'] for d in deliveries(m) if d['rcpt'] == 'no@e.example'] == ['rcpt-unknown']
        assert s.rcpts() == ['yes2@e.example', 'yes@e.example']


@pytest.mark.parametrize('offer,said', [(('PIPELINING', 'LIMITS RCPTMAX=7'), None), (('PIPELINING',), '452 4.5.3 Too many recipients')])
def test_more_recipients_than_the_server_takes_at_once(offer, said):
    def answer(stage, text, session):
        return said if stage == 'rcpt' and said and len(session.rcpts) >= 10 else None

    rcpts = ['r%d@e.example' % i for i in range(45)]
    with sink.Sink(answer=answer, offer=offer) as s, mailroom.System(conf=conf(route(s.port))) as m:
        send(m, rcpts)
        wait_delivery(m, outcome='sent', count=45)
        assert s.rcpts() == sorted(rcpts)
        assert all(len(x[2]) <= (10 if said else 7) for x in s.mail) and s.connections <= 3
        assert not [d for d in deliveries(m) if d['outcome'] != 'sent']


# ---- later, and again

def test_what_is_put_off_is_tried_again():
    seen = collections.Counter()

    def answer(stage, text, session):
        if stage != 'rcpt':
            return None
        seen[text] += 1
        return '450 4.2.0 Greylisted, try again' if seen[text] <= 2 else None

    with sink.Sink(answer=answer) as s, mailroom.System(conf=conf(route(s.port))) as m:
        send(m, 'x@e.example')
        s.wait(1)
        wait_delivery(m, outcome='sent')
        d = deliveries(m)
        assert [x['outcome'] for x in d] == ['later', 'later', 'sent'] and d[0]['cause'] == 'greylisted' and [x['attempt'] for x in d] == ['1', '2', '3']


def test_a_destination_that_is_down_costs_one_probe():
    port = mailroom.free_ports(1)[0]
    with mailroom.System(conf=conf(route(port)).replace('retry-first = 1s retry-most = 2s', 'retry-first = 8s retry-most = 8s')) as m:
        c = Client(m)
        for i in range(40):
            c.send('x%d@e.example' % i)
        m.wait_log('event=destination-down')
        for i in range(40, 50):  # and those that come later, one by one
            c.send('x%d@e.example' % i)
            time.sleep(0.3)
        c.close()
        assert len(re.findall('event=destination-down', m.log())) == 1
        assert len(deliveries(m)) == 1 and deliveries(m)[0]['words'] == 'Connection refused'
        m.wait_log('event=destination-down', count=2)  # the second probe
        time.sleep(1)
        assert len(deliveries(m)) == 2
        with sink.Sink(port=port) as s:
            s.wait(50, timeout=60)
            wait_empty(m)
            assert len(set(s.rcpts())) == len(s.rcpts()) == 50


@pytest.mark.parametrize('what', ['421 4.3.2 too busy', '554 5.3.2 no service here', 'close', 'HTTP/1.0 200 OK\r\n\r\n', '\x16\x03\x01\x02', '220-' + 'x' * 5000, '', '999 what'])
def test_the_next_host_is_tried_after_a_greeting_like(what):
    def answer(stage, text, session):
        return what if stage == 'connect' else None

    with sink.Sink(answer=answer) as bad, sink.Sink() as good, \
            mailroom.System(conf=conf('route r { domains = "*" to = "[127.0.0.1]:%d [127.0.0.1]:%d" }' % (bad.port, good.port))) as m:
        send(m, 'x@e.example')
        good.wait(1)
        wait_delivery(m, outcome='sent')
        assert len(deliveries(m)) == 1 and bad.connections == 1


@pytest.mark.parametrize('stage,said', [('mail', 'close'), ('rcpt', 'close'), ('data', 'close'), ('rcpt', 'hello there'), ('data', '250 what?'), ('mail', '2'), ('rcpt', '550')])
def test_what_cannot_be_read_is_never_a_refusal(stage, said):
    def answer(at, text, session):
        return said if at == stage else None

    with sink.Sink(answer=answer) as bad, mailroom.System(conf=conf(route(bad.port))) as m:
        send(m, 'x@e.example')
        d = wait_delivery(m)[0]
        assert d['outcome'] == ('refused' if said == '550' else 'later'), d  # a bare code is an answer


def test_no_answer_to_the_end_of_a_message_is_not_put_to_another_host_at_once():
    def answer(stage, text, session):
        return 'close' if stage == 'end' and session.number == 1 else None

    with sink.Sink(answer=answer) as one, sink.Sink() as two, \
            mailroom.System(conf=conf('route r { domains = "*" to = "[127.0.0.1]:%d [127.0.0.1]:%d" }' % (one.port, two.port))) as m:
        send(m, 'x@e.example')
        d = wait_delivery(m)[0]
        assert (d['outcome'], d['cause']) == ('later', 'remote-in-doubt') and not two.mail
        wait_delivery(m, outcome='sent')


# ---- connections

def test_connections_are_kept_and_worn_out():
    with sink.Sink() as s, mailroom.System(conf=conf(route(s.port), delivery='messages-per-connection = 10 first-connections = 1 connections-per-destination = 1',)
                                           .replace('[127.0.0.1]:%d" ' % s.port, '[127.0.0.1]:%d" connections = 1 ' % s.port)) as m:
        c = Client(m)
        for i in range(35):
            c.send('x%d@e.example' % i)
        c.close()
        s.wait(35)
        wait_empty(m)
        assert 4 <= s.connections <= 8 and s.most_open <= 2
        assert max(collections.Counter(x[0] for x in s.mail).values()) == 10


def test_connections_grow_where_they_are_taken():
    with sink.Sink(delay=0.1) as s, mailroom.System(conf=conf(route(s.port, more='connections = 15'), delivery='first-connections = 2')) as m:
        c = Client(m)
        for i in range(300):
            c.send('x%d@e.example' % i)
        c.close()
        s.wait(300, timeout=60)
        assert 8 <= s.most_open <= 16, s.most_open
        assert len(set(s.rcpts())) == 300


def test_a_server_that_takes_two_connections_gets_two():
    held = []

    def answer(stage, text, session):
        if stage == 'connect':
            if session.sink.open > 2:
                return '421 4.7.0 Too many connections from your address'
            held.append(session.number)
        return None

    with sink.Sink(answer=answer, delay=0.02) as s, mailroom.System(conf=conf(route(s.port))) as m:
        c = Client(m)
        for i in range(200):
            c.send('x%d@e.example' % i)
        c.close()
        s.wait(200, timeout=60)
        wait_empty(m)
        assert len(set(s.rcpts())) == len(s.rcpts()) == 200
        assert s.connections < 60
        assert not [d for d in deliveries(m) if d['outcome'] == 'refused']


def test_a_rate_is_kept():
    with sink.Sink() as s, mailroom.System(conf=conf(route(s.port, more='per-minute = 120'))) as m:
        c = Client(m)
        for i in range(10):
            c.send('x%d@e.example' % i)
        c.close()
        began = time.monotonic()
        s.wait(10)
        assert time.monotonic() - began > 3


def test_a_kept_connection_that_was_closed_costs_nothing():
    def answer(stage, text, session):
        return 'close' if stage == 'mail' and session.messages else None

    with sink.Sink(answer=answer) as s, mailroom.System(conf=conf(route(s.port))) as m:
        c = Client(m)
        for i in range(10):
            c.send('x%d@e.example' % i)
        c.close()
        s.wait(10)
        wait_empty(m)
        assert all(d['outcome'] == 'sent' and d['attempt'] == '1' for d in deliveries(m))


# ---- things end

def one_each(s, names, doubtful=0):
    """every one arrived; twice only where the server had taken it and nobody could hear so"""
    count = collections.Counter(s.rcpts())
    assert set(count) == set(names), (sorted(set(names) - set(count))[:5], sorted(set(count) - set(names))[:5])
    twice = sum(n - 1 for n in count.values())
    assert twice <= doubtful, (twice, doubtful, [x for x in count.items() if x[1] > 1][:10])


def test_a_relay_that_is_killed_loses_nothing():
    rounds, width = 8, 5
    with sink.Sink(delay=0.01) as s, mailroom.System(conf=conf(route(s.port, more='connections = %d' % width))) as m:
        c = Client(m)
        names = ['x%d@e.example' % i for i in range(600)]
        for n in names[:300]:
            c.send(n)
        for i in range(rounds):
            for n in names[300 + i * 30:300 + (i + 1) * 30]:
                c.send(n)
            time.sleep(random.random() * 0.3)
            for pid in m.pid_of('relay'):
                os.kill(pid, signal.SIGKILL)
            m.wait_log('event=role-ready started=relay', count=i + 2)
        for n in names[300 + rounds * 30:]:
            c.send(n)
        c.close()
        wait_empty(m, timeout=90)
        one_each(s, names, rounds * (width + 1))


def test_a_store_that_is_killed_loses_nothing_and_sends_nothing_twice():
    with sink.Sink(delay=0.01) as s, mailroom.System(conf=conf(route(s.port, more='connections = 5'))) as m:
        names = ['x%d@e.example' % i for i in range(400)]
        c = Client(m)
        for n in names:
            c.send(n)
        c.close()
        for i in range(5):
            time.sleep(random.random() * 0.4)
            for pid in m.pid_of('store'):
                os.kill(pid, signal.SIGKILL)
            m.wait_log('event=role-ready started=store', count=i + 2)
        wait_empty(m, timeout=90)
        one_each(s, names)


def test_a_reload_finishes_what_is_in_hand():
    with sink.Sink(delay=0.05) as s, mailroom.System(conf=conf(route(s.port, more='connections = 4'))) as m:
        names = ['x%d@e.example' % i for i in range(150)]
        c = Client(m)
        for n in names:
            c.send(n)
        c.close()
        for i in range(3):
            m.process.send_signal(signal.SIGHUP)
            m.wait_log('event=role-ready started=relay', count=i + 2)
            time.sleep(0.3)
        wait_empty(m, timeout=60)
        one_each(s, names)
        assert not [d for d in deliveries(m) if d['outcome'] != 'sent']
        assert len(m.pid_of('relay')) == 1 or (time.sleep(3), len(m.pid_of('relay')) == 1)[1]


def test_a_stop_waits_for_answers_and_the_rest_goes_after_the_start():
    with sink.Sink(delay=0.2) as s, mailroom.System(conf=conf(route(s.port, more='connections = 4'))) as m:
        names = ['x%d@e.example' % i for i in range(60)]
        c = Client(m)
        for n in names:
            c.send(n)
        c.close()
        began = time.monotonic()
        assert m.stop() == 0
        assert time.monotonic() - began < 10
        m.start()
        wait_empty(m, timeout=60)
        one_each(s, names)
