"""Mail that leaves to real servers: Postfix, Exim and OpenSMTPD take it, refuse it, put it off; with STARTTLS and without."""
import random

import pytest

import mailroom
import peers
from test_delivery import Client, conf, deliveries, send, wait_delivery, wait_empty

SERVERS = {'postfix': peers.Postfix, 'exim': peers.Exim, 'opensmtpd': peers.OpenSMTPD}


@pytest.fixture(scope='module')
def authority(tmp_path_factory):
    return peers.Authority(tmp_path_factory.mktemp('authority'))


@pytest.fixture(params=sorted(SERVERS))
def server(request):
    peers.have(request.param)
    return SERVERS[request.param]


@pytest.mark.parametrize('tls', [False, True])
def test_delivered_and_unknown(server, authority, tls):
    more = {'tls': authority.certificate('mx', ['mx.peer.test'])} if tls else {}
    with server(domain='peer.test', users=('carol', 'dave'), **more) as mx, \
            mailroom.System(conf=conf('route r { domains = "peer.test" to = "[%s]:%d" }' % (mx.address, mx.port))) as m:
        body = '.\r\n..dots\r\n' + 'x' * 800 + '\r\n' + '\u00e4' * 20
        send(m, ['carol@peer.test', 'nobody@peer.test', 'dave@peer.test'], body=body, subject='to a real one')
        got = mx.wait_mail(2)
        assert all(b'Subject: to a real one' in g and body.encode().replace(b'\r\n', b'\n') in g.replace(b'\r\n', b'\n') for g in got)
        wait_delivery(m, count=3)
        by = {d['rcpt']: d for d in deliveries(m)}
        assert by['carol@peer.test']['outcome'] == by['dave@peer.test']['outcome'] == 'sent'
        assert (by['nobody@peer.test']['outcome'], by['nobody@peer.test']['cause']) == ('refused', 'rcpt-unknown'), by
        assert ('TLS' in by['carol@peer.test'].get('tls', '')) is tls


def test_put_off_and_refused(server):
    with server(domain='peer.test', users=('carol', 'dave', 'erin'), refuse={'rcpt': {'dave': '450 4.2.1 mailbox busy', 'erin': '550 5.7.1 not from you'}}) as mx, \
            mailroom.System(conf=conf('route r { domains = "peer.test" to = "[%s]:%d" }' % (mx.address, mx.port))) as m:
        send(m, ['carol@peer.test', 'dave@peer.test', 'erin@peer.test'])
        mx.wait_mail(1)
        wait_delivery(m, count=4)
        by = {d['rcpt']: d['outcome'] for d in deliveries(m)}
        assert by == {'carol@peer.test': 'sent', 'dave@peer.test': 'later', 'erin@peer.test': 'refused'}
        assert len([d for d in deliveries(m) if d['rcpt'] == 'dave@peer.test']) >= 2
        assert len(mx.mail('carol')) == 1


@pytest.mark.parametrize('stage,outcome', [('connect', 'refused'), ('mail', 'refused'), ('data', 'refused'), ('dot', 'refused')])
def test_a_refusal_at_each_stage(server, stage, outcome):
    with server(domain='peer.test', users=('carol',), refuse={stage: '554 5.7.1 go away'}) as mx, \
            mailroom.System(conf=conf('route r { domains = "peer.test" to = "[%s]:%d" }' % (mx.address, mx.port))) as m:
        send(m, 'carol@peer.test')
        d = wait_delivery(m)[0]
        assert d['outcome'] == outcome and d['code'].startswith('5'), d


def test_many_over_few_connections(server):
    more = {'more': 'smtp_accept_queue_per_connection = 0\n'} if server is peers.Exim else {}  # delivers at once, however many come
    with server(domain='peer.test', users=None, **more) as mx, \
            mailroom.System(conf=conf('route r { domains = "peer.test" to = "[%s]:%d" connections = 4 }' % (mx.address, mx.port))) as m:
        c = Client(m)
        for i in range(120):
            c.send('u%d@peer.test' % i, body='n%d-%d' % (i, random.randrange(1 << 30)))
        c.close()
        mx.wait_mail(120, timeout=90)
        wait_empty(m, timeout=90)
        assert len(mx.mail()) == 120
        assert not [d for d in deliveries(m) if d['outcome'] == 'refused']
