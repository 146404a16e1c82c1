"""The odd server itself: it does what its names say, so that a test of sending that uses one tests what it means to."""
import smtplib
import socket
import ssl

import pytest

import odd_server


def deliver(s, rcpts=('a@x.test',), text='Subject: x\r\n\r\n.dot\r\nend\r\n', tls=None):
    with smtplib.SMTP(s.address, s.port, timeout=5) as c:
        if tls:
            c.starttls(context=tls)
        return c.sendmail('me@y.test', list(rcpts), text)


def test_well():
    with odd_server.OddServer() as s:
        assert deliver(s, ('a@x.test', 'b@x.test')) == {}
        m = s.messages[0]
        assert (m.sender, m.rcpts, m.data, m.tls) == ('me@y.test', ['a@x.test', 'b@x.test'], b'Subject: x\r\n\r\n.dot\r\nend\r\n', None)
        assert s.commands()[0].startswith('ehlo ') and s.commands()[-1].lower() == 'quit'


@pytest.mark.parametrize('name,code', [('greet-421', 421), ('greet-450', 450), ('greet-554', 554)])
def test_greetings(name, code):
    with odd_server.OddServer(name) as s:
        with pytest.raises(smtplib.SMTPConnectError) as e:
            deliver(s)
        assert e.value.smtp_code == code


@pytest.mark.parametrize('name,error,code', [('mail-450', smtplib.SMTPSenderRefused, 450), ('mail-550', smtplib.SMTPSenderRefused, 550),
                                             ('data-554', smtplib.SMTPDataError, 554), ('dot-451', smtplib.SMTPDataError, 451)])
def test_refusals(name, error, code):
    with odd_server.OddServer(name) as s:
        with pytest.raises(error) as e:
            deliver(s)
        assert e.value.smtp_code == code and not s.messages


@pytest.mark.parametrize('name', [n for n in odd_server.NAMED if n.startswith('close-') and n not in ('close-quit', 'close-starttls', 'close-half')])
def test_closes(name):
    with odd_server.OddServer(name) as s:
        with pytest.raises((smtplib.SMTPServerDisconnected, ConnectionError)):
            deliver(s)
        assert not s.messages
        assert len(s.seen) == (name == 'close-dot')


def test_closes_in_the_middle_of_an_answer():
    with odd_server.OddServer('close-half') as s, socket.create_connection((s.address, s.port), timeout=5) as c:
        c.sendall(b'HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nDATA\r\nx\r\n.\r\n')
        out = b''
        while data := c.recv(65536):
            out += data
        assert out.endswith(b'\r\n250 2.0.0 tak') and len(s.seen) == 1 and not s.messages


def test_taken_and_lost():
    with odd_server.OddServer('lost-dot') as s:
        with pytest.raises(smtplib.SMTPServerDisconnected):
            deliver(s)
        assert len(s.messages) == 1


def test_too_many_recipients():
    with odd_server.OddServer('rcpt-452') as s:
        assert list(deliver(s, ('a@x.test', 'b@x.test', 'c@x.test'))) == ['b@x.test', 'c@x.test']
        assert s.messages[0].rcpts == ['a@x.test']


def test_times():
    with odd_server.OddServer('rcpt-450', times={'rcpt': 1}) as s:
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            deliver(s)
        assert deliver(s) == {}


def test_floods():
    for name in ('greet-10mb', 'greet-endless'):
        with odd_server.OddServer(name) as s, socket.create_connection((s.address, s.port), timeout=5) as c:
            got = 0
            while got < 2 << 20:
                got += len(c.recv(65536))


def test_disorder():
    with odd_server.OddServer('backwards') as s, socket.create_connection((s.address, s.port), timeout=5) as c:
        f = c.makefile('rb')
        assert f.readline().startswith(b'220')
        c.sendall(b'EHLO x\r\n')
        while f.readline()[3:4] == b'-':
            pass
        c.sendall(b'MAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nDATA\r\n')
        assert [f.readline()[:3] for _ in range(3)] == [b'354', b'250', b'250']


def test_tls(tmp_path):
    certs = odd_server.certificates(tmp_path)
    context = ssl.create_default_context(cafile=certs['trust'])
    context.check_hostname = False
    with odd_server.OddServer(tls=certs['good']) as s:
        assert deliver(s, tls=context) == {}
        assert s.messages[0].tls.startswith('TLSv1')
    for name in ('expired', 'self-signed'):
        with odd_server.OddServer(tls=certs[name]) as s:
            with pytest.raises(ssl.SSLCertVerificationError):
                deliver(s, tls=context)
    for name in ('starttls-lies', 'tls-garbage', 'tls-close', 'starttls-454'):
        with odd_server.OddServer(name, tls=certs['good']) as s:
            with pytest.raises((ssl.SSLError, smtplib.SMTPException, ConnectionError)):
                deliver(s, tls=context)


def test_sign_in():
    with odd_server.OddServer(logins=[('me', 'secret')]) as s, smtplib.SMTP(s.address, s.port, timeout=5) as c:
        with pytest.raises(smtplib.SMTPAuthenticationError):
            c.login('me', 'wrong')
        c.login('me', 'secret')
        c.sendmail('me@y.test', ['a@x.test'], 'x')
        assert s.messages[0].login == 'me'


def test_hangs_end_with_the_server():
    s = odd_server.OddServer('greet-nothing')
    with socket.create_connection((s.address, s.port)):
        s.wait(lambda: s.open() == 1)
        s.stop()
    assert s.open() == 0 and s.most_at_once() == 1
