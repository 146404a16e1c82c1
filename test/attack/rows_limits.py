"""Rows 16 and 17: oversize lines, clients that do not read, slow and useless ones. What ends them is named; everybody else is served."""
import re
import socket
import time

import mailroom
from lib import BOB, POP3_WAYS, SMTP_WAYS, Line, b64, case, deliver, envelope, memory_factor, memory_kib, pop3, sender, slug, smtp, system_is_well


def last_words(w):
    """the slug with which the server ended the session"""
    text = w.until_closed()
    lines = [x for x in text.replace('\r', '').split('\n') if x]
    assert lines, 'closed without a word'
    return slug(lines[-1]), text


# ---- row 16

@case(16, 'before sign-in: an oversize command line is refused once and costs no memory', SMTP_WAYS)
def long_line(m, way):
    before = memory_kib(m)
    with smtp(m, way, signin=False) as w:
        for size, head in ((2049, b''), (100000, b'MAIL FROM:<'), (3 << 20, b''), (1 << 20, b'AUTH PLAIN ')):
            w.send(head + b'x' * size + b'\r\n')
            reply = w.reply()
            assert reply[0] == '5' and slug(reply) == 'line-too-long', reply
            assert w.ask('NOOP').startswith('250')
        w.send(b'y' * (4 << 20))  # and one that never ends
        time.sleep(0.1)
        assert memory_kib(m) - before < 8192 * memory_factor()
    system_is_well(m)


@case(16, 'before sign-in: an oversize command line is refused once and costs no memory', POP3_WAYS)
def long_line_pop3(m, way):
    before = memory_kib(m)
    with pop3(m, way) as w:
        for size, head in ((513, b''), (100000, b'USER '), (3 << 20, b'CAPA ')):
            w.send(head + b'x' * size + b'\r\n')
            reply = w.line()
            assert slug(reply) == 'line-too-long', reply
            assert w.command('CAPA').startswith('+OK')
            while w.line() != '.':
                pass
        w.send(b'y' * (4 << 20))
        time.sleep(0.1)
        assert memory_kib(m) - before < 8192 * memory_factor()


@case(16, 'an oversize response in AUTH is refused, nothing of it is kept', ('submission', 'submissions', 'pop3+tls', 'pop3s'))
def long_response(m, way):
    is_pop3 = way.startswith('pop3')
    with (pop3(m, way) if is_pop3 else smtp(m, way, signin=False)) as w:
        reply = w.command('AUTH PLAIN') if is_pop3 else w.ask('AUTH PLAIN')
        assert reply.startswith('+ ') or reply.startswith('334'), reply
        w.send(b64(b'\0' + b'a' * 20000) + '\r\n')
        reply = w.line() if is_pop3 else w.reply()
        assert slug(reply) in ('line-too-long', 'auth-syntax'), reply
        reply = w.command('AUTH PLAIN') if is_pop3 else w.ask('AUTH PLAIN')
        w.send(b64(b'\0' + b'a' * 400 + b'\0' + b'b' * 2000) + '\r\n')
        reply = w.line() if is_pop3 else w.reply()
        assert slug(reply) in ('auth-syntax', 'auth-bad-credentials'), reply


def push(w, data, seconds):
    """sends without reading until the server takes no more; how much it took"""
    w.sock.setblocking(False)
    sent = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            sent += w.sock.send(data)
        except (BlockingIOError, OSError) as e:
            if not isinstance(e, BlockingIOError) and 'WANT' not in type(e).__name__.upper() and 'Want' not in type(e).__name__:
                break
            time.sleep(0.01)
    return sent


@case(16, 'replies to a client that does not read are held back, not piled up', SMTP_WAYS)
def unread(m, way):
    before = memory_kib(m)
    held = []
    for _ in range(12):
        w = smtp(m, way)
        w.ask('MAIL FROM:<%s>' % sender(way))
        held.append(w)
    for w in held:
        push(w, (b'RCPT TO:<nobody-%s@mailroom.test>\r\n' % (b'x' * 40)) * 500, 0.3)
    grown = memory_kib(m) - before
    for w in held:
        w.close()
    assert grown < 16384 * memory_factor(), '%d KiB' % grown
    deliver(m, '<after-unread@attack>', way)


@case(16, 'a mailbox sent to a client that does not read is paused, not read into memory', ('pop3+tls', 'pop3s'))
def unread_pop3(m, way):
    if 'big@mailroom.test' not in m.password:
        m.account('big')
        with smtp(m, 'mx') as w:
            envelope(w, 'mx', 'big@mailroom.test')
            assert w.ask('DATA').startswith('354')
            w.send(b'Message-ID: <big@attack>\r\n\r\n' + (b'x' * 76 + b'\r\n') * 250000)
            assert w.ask('.').startswith('250')
    before = memory_kib(m)
    with pop3(m, way, 'big@mailroom.test') as w:
        push(w, b'RETR 1\r\nLIST\r\nUIDL\r\n' * 50, 1)
        grown = memory_kib(m) - before
        assert grown < 8192 * memory_factor(), '%d KiB' % grown
    deliver(m, '<after-unread-pop3@attack>')


# ---- row 17

@case(17, 'junk: the twentieth wrong command ends the session, with the reason', SMTP_WAYS)
def junk(m, way):
    with smtp(m, way) as w:
        w.send(b'JUNK %d\r\n' % 1 * 25)
        word, text = last_words(w)
        assert word == 'too-many-unknown-commands' and text.count('command-unknown') == 19, text
        assert '\n502 5.5.1 Too many unknown' in text, text


@case(17, 'junk: the twentieth wrong command ends the session, with the reason', POP3_WAYS)
def junk_pop3(m, way):
    with pop3(m, way) as w:
        w.send(b'JUNK 1\r\n' * 25)
        assert last_words(w)[0] == 'too-many-bad-commands'


def ask_each(w, lines):
    """a line at a time, until the session ends; all that was answered"""
    text = ''
    try:
        for line in lines.split('\r\n')[:-1]:
            text += w.ask(line) + '\n'
    except (EOFError, OSError):
        pass
    return text


@case(17, 'commands that do nothing: 100, then the end', SMTP_WAYS)
def idle(m, way):
    for command in ('NOOP', 'RSET', 'VRFY alice', 'HELP', 'EHLO again.example', 'NOOP\r\nRSET'):
        with smtp(m, way) as w:
            lines = (command + '\r\n') * 110
            if way.startswith('mx'):  # in one go they are refused at once, see row 3
                text = ask_each(w, lines)
                word = slug(text)
            else:
                w.send(lines)
                word, text = last_words(w)
            assert word == 'too-many-noops', (command, text[-300:])
            assert 90 <= len(re.findall(r'(?m)^(?:250|252|214) ', text)) <= 110


@case(17, 'BDAT of zero bytes and of a byte each: the end, with the reason', SMTP_WAYS)
def bdat_nothing(m, way):
    for chunk in (b'BDAT 0\r\n', b'BDAT 1\r\nx'):
        with smtp(m, way) as w:
            envelope(w, way)
            w.send(chunk * 300)
            word, text = last_words(w)
            assert word == 'too-many-noops', text[-300:]
            assert text.count('bytes received') <= 100


@case(17, 'before sign-in, commands that do nothing: 100, then the end', POP3_WAYS)
def idle_pop3(m, way):
    for command in ('CAPA', 'LANG', 'UTF8', 'AUTH', 'CAPA\r\nLANG *') + (('USER alice',) if way != 'pop3' else ()):
        if way == 'pop3' and command == 'AUTH':
            continue
        with pop3(m, way) as w:
            w.send((command + '\r\n') * 160)
            word, text = last_words(w)
            assert word == 'too-many-noops', (command, text[-300:])


@case(17, 'signed in, NOOP may be said for ever: that is what keeps a session up', ('pop3s',))
def noop_pop3(m, way):
    with pop3(m, way, BOB) as w:
        w.send(b'NOOP\r\n' * 500)
        assert all(w.line().startswith('+OK') for _ in range(500))


@case(17, '1,000 recipients, then 452 with the limit; the message still goes to those', SMTP_WAYS)
def recipients(m, way):
    with smtp(m, way) as w:
        assert w.ask('MAIL FROM:<%s>' % sender(way)).startswith('250')
        for _ in range(10):
            w.send(b'RCPT TO:<bob@mailroom.test>\r\n' * 100)
            assert w.codes(100) == ['250'] * 100
        w.send(b'RCPT TO:<bob@mailroom.test>\r\n' * 50)
        replies = [w.reply() for _ in range(50)]
        assert all(r.startswith('452') and slug(r) == 'too-many-recipients' and '1000' in r for r in replies), replies[0]
        assert w.ask('RSET').startswith('250')


@case(17, 'refused recipients: an end comes, with the reason', SMTP_WAYS)
def refused_recipients(m, way):
    """whoever tries a dictionary of names"""
    with smtp(m, way) as w:
        assert w.ask('MAIL FROM:<%s>' % sender(way)).startswith('250')
        tried = 0
        try:
            for _ in range(60):
                w.send(b''.join(b'RCPT TO:<guess%d@mailroom.test>\r\n' % (tried + i) for i in range(50)))
                for _ in range(50):
                    reply = w.reply()
                    if reply.startswith('421'):
                        raise EOFError(reply)
                    assert reply.startswith('550'), reply
                    tried += 1
        except (EOFError, OSError):
            pass
        assert tried < 2500, 'nothing ends it'
        assert slug(reply) == 'too-many-bad-commands', reply


SLOW = ('timeouts {\n\tsmtp-greeting = 2s\n\tsmtp-command = 2s\n\tsmtp-data = 2s\n\tsmtp-auth = 2s\n\tsmtp-session = 5s\n\ttls-handshake = 2s\n\tpop3-login = 3s\n}\n'
        'limits {\n\ttransactions = 5\n\tdata-rate = 0\n}\n')


def drip(w, data, seconds, pause=0.15):
    """a byte now and then, until the server ends it; what it said"""
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            w.send(data[:1])
            data = data[1:] + data[:1]
            time.sleep(pause)
    except OSError:
        pass
    w.sock.settimeout(1)
    return w.until_closed()


@case(17, 'deadlines that a drip does not extend', system=None, long=True)
def drips():
    with mailroom.System(SLOW) as m:
        for name in ('mx', 'submission'):
            with Line(m.port[name]) as w:  # half a command
                text = drip(w, b'EHLO' + b'x' * 100, 4)
                assert 'timeout' in text, (name, text)
            with Line(m.port[name]) as w:  # whole commands, and no message ever
                w.ask('EHLO x.example')
                w.sock.settimeout(1)
                start = time.monotonic()
                text = ''
                try:
                    while time.monotonic() < start + 8:
                        text = w.ask('NOOP')
                        if text.startswith('421'):
                            break
                        time.sleep(0.3)
                except (OSError, EOFError):
                    pass
                assert slug(text) == 'session-too-long', text
        with smtp(m, 'mx') as w:  # a message that never ends
            envelope(w, 'mx')
            w.ask('DATA')
            text = drip(w, b'Subject: x\r\n', 8)
            assert slug(text) in ('session-too-long', 'timeout', 'message-rate-floor'), text
        with Line(m.port['pop3'], greet=False) as w:
            w.line()
            text = drip(w, b'CAPA', 5)
            assert 'timeout' in text, text
        with smtp(m, 'submissions', signin=False) as w:
            assert w.ask('AUTH LOGIN').startswith('334')
            text = drip(w, b'QUJD', 4)
            assert 'timeout' in text, text
        deliver(m, '<after-drips@attack>')
        system_is_well(m)


@case(17, 'a TLS handshake that does not come on is ended', system=None, long=True)
def half_open_tls():
    with mailroom.System(SLOW) as m:
        held = []
        for name in ('submissions', 'pop3s'):
            for data in (b'', b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'):
                s = socket.create_connection(('127.0.0.1', m.port[name]), timeout=5)
                s.sendall(data)
                held.append((name, s))
        for name, command in (('mx', b'STARTTLS\r\n'), ('submission', b'STARTTLS\r\n'), ('pop3', b'STLS\r\n')):
            s = socket.create_connection(('127.0.0.1', m.port[name]), timeout=5)
            s.recv(200)
            if name != 'pop3':
                s.sendall(b'EHLO x.example\r\n')
                s.recv(2000)
            s.sendall(command)
            s.recv(200)
            held.append((name, s))
        time.sleep(3)
        for name, s in held:
            s.settimeout(1.5)
            try:
                while s.recv(1000):
                    pass
            except socket.timeout:
                raise AssertionError('%s: still open' % name) from None
            except OSError:
                pass
        system_is_well(m)


def served_again(m, source='127.0.0.1'):
    """Until the server has noticed that the flood has gone: each worker does so in its own time."""
    for name in ('mx', 'pop3'):
        for _ in range(100):
            if Line(m.port[name], source=source).greeting[:3] in ('220', '+OK'):
                break
            time.sleep(0.1)


@case(17, 'connections of one address: the limit is named, another address gets in', system=None)
def connections():
    with mailroom.System(listener='\tconnections-per-address = 20\n') as m:
        # An address of its own for each listener: the connections of the one before may not have been noticed as closed yet.
        for i, name in enumerate(mailroom.LISTENERS):
            source, held, slugs = '127.0.1.%d' % (1 + i), [], []
            for _ in range(60):
                s = socket.create_connection(('127.0.0.1', m.port[name]), timeout=5, source_address=(source, 0))
                held.append(s)
            if name not in ('submissions', 'pop3s'):
                for s in held:
                    s.settimeout(5)
                    slugs.append(slug(s.recv(2000).decode()))
                assert slugs.count('too-many-connections-address') >= 60 - 22 and slugs.count('') >= 8, (name, slugs)
            w = Line(m.port[name], source='127.0.0.78', implicit=name in ('submissions', 'pop3s'), greet=False)
            assert w.line()[:3] in ('220', '+OK')
            w.close()
            for s in held:
                s.close()
        served_again(m, source)
        deliver(m, '<after-connections@attack>', source='127.0.1.1')
        system_is_well(m)


@case(17, 'connections of everybody: the limit is named', system=None)
def connections_all():
    with mailroom.System(listener='\tconnections = 40\n\tconnections-per-address = 30\n') as m:
        for name in ('mx', 'pop3'):
            held, slugs = [], []
            for i in range(120):
                s = socket.create_connection(('127.0.0.1', m.port[name]), timeout=5, source_address=('127.0.3.%d' % (1 + i % 12), 0))
                s.settimeout(5)
                held.append(s)
            for s in held:
                slugs.append(slug(s.recv(2000).decode()))
            assert slugs.count('too-many-connections') >= 70 and slugs.count('') >= 20, slugs
            for s in held:
                s.close()
        served_again(m)
        deliver(m, '<after-connections-all@attack>')


@case(17, 'transactions of one session: the limit is named', system=None)
def transactions():
    with mailroom.System(SLOW) as m:
        for way in SMTP_WAYS:
            with smtp(m, way) as w:
                w.send(('MAIL FROM:<%s>\r\nRSET\r\n' % sender(way)) * 7)
                word, text = last_words(w)
                assert word == 'too-many-transactions' and '5' in text, text


@case(17, 'huge sizes: declared, in BDAT, and undeclared', SMTP_WAYS)
def huge(m, way):
    for size in ('52428801', '4294967296', '18446744073709551615', '99999999999999999999', '340282366920938463463374607431768211456'):
        with smtp(m, way) as w:
            reply = w.ask('MAIL FROM:<%s> SIZE=%s' % (sender(way), size))
            assert reply[0] == '5' and slug(reply) in ('message-too-big', 'param-syntax'), (size, reply)
        with smtp(m, way) as w:
            envelope(w, way)
            w.send('BDAT %s LAST\r\n' % size)
            w.sock.settimeout(2)
            if int(size) > 2 * 52428800 + (64 << 20):
                assert last_words(w)[0] in ('message-too-big', 'command-syntax'), size
    with smtp(m, way) as w:
        for bad in ('-1', '0x10', '1e9', '1 LAST LAST', '', '1,0', '+5'):
            w2 = smtp(m, way)
            w2.send('BDAT %s\r\n' % bad)
            text = w2.until_closed()
            assert text[0] == '5' or text.startswith('421'), (bad, text)
            w2.close()
        assert w.ask('NOOP').startswith('250')
