"""explain on what real mail servers say and log: Exim, Postfix, OpenSMTPD, Haraka and Dovecot as peers.py runs them. Left out where they cannot be had."""
import contextlib
import imaplib
import json
import smtplib
import subprocess

import pytest

import mailroom
import peers

SIGN_IN = '''plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{alice}}{eq{$auth3}{secret}}}}
  server_set_id = $auth2
'''
DOVECOT = '''protocols = imap submission
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_verbose = %s
auth_failure_delay = 0
submission_relay_host = 127.0.0.1
submission_relay_port = 1
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=vmail gid=vmail home={dir}/mail/%%n
}
service auth {
  inet_listener {
    address = 127.0.0.1
    port = %d
  }
}
service imap-login {
  inet_listener imap {
    port = %d
  }
}
service submission-login {
  inet_listener submission {
    port = %d
  }
}
'''


def explain(text):
    p = subprocess.run([mailroom.program(), 'explain', '--json'], input=text, capture_output=True, text=True, timeout=60)
    assert p.returncode in (0, 1), p.stderr
    return json.loads(p.stdout)


def counted(log):
    """{cause: (count, the names it hit)} of that log"""
    d = explain(log)
    assert d['form'] == 'log', log
    return {c['slug']: (c['count'], {n['name'] for n in c.get('names', ())}) for c in d['causes']}


class Recorder(smtplib.SMTP):
    """keeps the conversation as such programs print it"""

    def __init__(self, peer, port=None):
        self.talk = []
        super().__init__(timeout=20)
        self._host = peer.address  # whose name starttls() asks for
        self.connect(peer.address, port or peer.port)

    def putcmd(self, cmd, args=''):
        self.talk.append('C: ' + (f'{cmd} {args}' if args else cmd))
        super().putcmd(cmd, args)

    def getreply(self):
        code, text = super().getreply()
        lines = text.decode(errors='replace').split('\n')
        self.talk += ['S: %d%s%s' % (code, '-' if i + 1 < len(lines) else ' ', line) for i, line in enumerate(lines)]
        return code, text

    def done(self):
        self.close()
        return '\n'.join(self.talk) + '\n'


def send(peer, sender='alice@peer.test', rcpt='x@elsewhere.example', port=None):
    """one message without sign-in, as far as it goes; the conversation"""
    s = Recorder(peer, port)
    s.ehlo('pc')
    s.mail(sender)
    s.rcpt(rcpt)
    s.docmd('DATA')
    return s.done()


def wrong_password(peer, port=None):
    s = Recorder(peer, port)
    s.ehlo('pc')
    with pytest.raises(smtplib.SMTPAuthenticationError):
        s.login('alice', 'wrong')
    return s.done()


def best(talk):
    d = explain(talk)
    assert d['form'] == 'transcript' and d['causes'], talk
    return d['causes'][0]['slug'], d


@pytest.fixture(scope='module')
def exim():
    peers.have('exim')
    with peers.Exim(authenticators=SIGN_IN) as p:
        yield p


def test_the_503_of_exim(exim):
    """the very text `Valid RCPT command must precede DATA`, traced back"""
    talk = send(exim)
    assert 'alid RCPT command must precede DATA' in talk
    slug, d = best(talk)
    assert slug == 'relay-denied-unauth' and d['causes'][0]['confidence'] > 0.7 and d['emitter'] == 'exim'
    assert any('offered AUTH' in step for step in d['chain']) and 'no recipient was accepted' in d['chain'][-1]


def test_a_wrong_password_and_helo_at_exim(exim):
    assert best(wrong_password(exim))[0] == 'auth-bad-credentials'
    s = Recorder(exim)
    s.helo('pc')
    s.docmd('AUTH', 'PLAIN AGFsaWNlAHNlY3JldA==')
    talk = s.done()
    slug, d = best(talk)
    assert slug == 'auth-not-advertised' and any('HELO' in step for step in d['chain'])
    assert 'AGFsaWNl' not in json.dumps(d)


def test_the_log_of_exim(exim):
    send(exim)
    wrong_password(exim)
    exim.wait_log('authenticator failed')
    found = counted(exim.log())
    assert found['relay-denied-unauth'][1] == {'alice@peer.test'} and found['auth-bad-credentials'][1] == {'alice'}


@pytest.fixture(scope='module')
def dovecot():
    """ports: of the sign-in for others, imap, submission"""
    peers.have('dovecot')
    ports = mailroom.free_ports(3)
    with peers.Dovecot(more=DOVECOT % ('no', *ports), ports=ports) as p:
        yield p


@pytest.fixture(scope='module')
def postfix(dovecot, tmp_path_factory):
    """signs people in, but only with TLS"""
    peers.have('postfix')
    tls = peers.Authority(tmp_path_factory.mktemp('ca')).certificate('mx', ['127.0.0.1'])
    more = f'''smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:127.0.0.1:{dovecot.ports[0]}
smtpd_tls_auth_only = yes
'''
    with peers.Postfix(tls=tls, more=more) as p:
        yield p


def test_the_chain_at_postfix(postfix):
    """refused at DATA, since RCPT was refused, since nobody signed in, since AUTH is offered only after STARTTLS"""
    talk = send(postfix)
    slug, d = best(talk)
    chain = d['chain']
    assert slug in ('auth-not-advertised', 'relay-denied-unauth') and {'auth-not-advertised', 'relay-denied-unauth'} <= {c['slug'] for c in d['causes']}
    order = ['STARTTLS was offered', 'offered no AUTH', 'Relay access denied', 'no recipient was accepted']
    assert [next(i for i, step in enumerate(chain) if words in step) for words in order] == [0, 1, 2, 3] == list(range(len(chain))), chain
    assert d['emitter'] == 'postfix'


def test_an_unknown_mailbox_at_postfix(postfix):
    slug, d = best(send(postfix, 'a@bench.test', 'nobody@peer.test'))
    assert slug == 'rcpt-unknown' and d['emitter'] == 'postfix' and 'no recipient was accepted' in d['chain'][-1]


def test_a_wrong_password_behind_tls_at_postfix(postfix):
    """the connection was encrypted, so nothing that comes of one that is not"""
    s = Recorder(postfix)
    s.ehlo('pc')
    s.starttls()
    s.ehlo('pc')
    s.docmd('AUTH', 'PLAIN AGFsaWNlAHdyb25n')
    slug, d = best(s.done())
    assert slug == 'auth-bad-credentials' and 'AGFsaWNl' not in json.dumps(d)
    assert all(c['confidence'] < 0.05 for c in d['causes'] if c['slug'] in ('tls-required', 'auth-cleartext-refused', 'auth-not-advertised'))


def test_woven_sessions_in_the_log_of_postfix(postfix):
    before = len(postfix.log())
    x, y = Recorder(postfix), Recorder(postfix)
    for s, name in ((x, 'one'), (y, 'two')):
        s.ehlo(name)
        s.mail(f'{name}@{name}.example')
    x.rcpt('nobody@peer.test')
    y.rcpt('z@elsewhere.example')
    for s in (y, x):
        s.docmd('DATA')
        s.close()
    postfix.wait_log(r'(?s)helo=<one>.*helo=<two>|helo=<two>.*helo=<one>')
    assert counted(postfix.log()[before:]) == {'rcpt-unknown': (1, {'one@one.example'}), 'relay-denied-unauth': (1, {'two@two.example'})}


def test_opensmtpd():
    peers.have('opensmtpd')
    with peers.OpenSMTPD() as p:
        slug, d = best(send(p, rcpt='nobody@peer.test'))
        assert slug == 'rcpt-unknown' and d['emitter'] == 'opensmtpd' and 'no recipient was accepted' in d['chain'][-1]
        # it says the same of an unknown mailbox; whose domain it is tells them apart
        slug, d = best(send(p))
        against = {c['slug']: c.get('against') for c in d['causes']}
        assert slug == 'relay-denied-unauth' and 'another' in against['rcpt-unknown']
        p.wait_log(r'(?s)command="DATA".*command="DATA"')
        d = explain(p.log())
        assert d['form'] == 'log' and d['refusals'] == 2 and d['consequences'] == 2


def test_haraka():
    peers.have('haraka')
    with peers.Haraka() as p:
        slug, d = best(send(p, rcpt='nobody@peer.test'))
        assert slug == 'rcpt-unknown' and d['emitter'] == 'haraka'
        assert best(send(p))[0] == 'relay-denied-unauth'
        p.wait_log(r'(?s)disconnect .* rcpts=0/0/1.*disconnect .* rcpts=0/0/1')
        assert counted(p.log())['rcpt-unknown'] == (1, {'alice@peer.test'})


def test_dovecot(dovecot):
    port = dovecot.ports
    assert best(wrong_password(dovecot, port[2]))[0] == 'auth-bad-credentials'
    imap = imaplib.IMAP4(dovecot.address, port[1])
    with pytest.raises(imaplib.IMAP4.error):
        imap.login('bob', 'wrong')
    with contextlib.suppress(OSError, imaplib.IMAP4.error):
        imap.logout()
    dovecot.wait_log(r'(?s)auth failed.*auth failed')
    assert counted(dovecot.log())['auth-bad-credentials'] == (2, {'alice', 'bob'})


def test_dovecot_that_logs_each_attempt():
    peers.have('dovecot')
    ports = mailroom.free_ports(3)
    with peers.Dovecot(more=DOVECOT % ('yes', *ports), ports=ports) as p:
        wrong_password(p, ports[2])  # with PLAIN, then with LOGIN
        p.wait_log('2 attempts')
        assert counted(p.log()) == {'auth-wrong-password': (2, {'alice'})}
