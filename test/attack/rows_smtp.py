"""Rows 1, 3, 4, 7 and 9: what is done to SMTP dialogues, and to STLS of POP3."""
import os
import re
import signal
import socket
import ssl
import time

from lib import (ALICE, BOB, POP3_WAYS, SMTP_WAYS, Line, b64, case, deliver, envelope, ids, plain, pop3, sender, slug, smtp)

CLEAR = {'mx': 'STARTTLS', 'submission': 'STARTTLS', 'pop3': 'STLS'}

# ---- row 1: smuggling

FALSE_ENDS = {
    'LF.LF': b'\n.\n', 'LF.CRLF': b'\n.\r\n', 'CRLF.LF': b'\r\n.\n', 'CR.CR': b'\r.\r', 'CR.CRLF': b'\r.\r\n', 'CRLF.CR': b'\r\n.\r', 'CRCRLF.CRCRLF': b'\r\r\n.\r\r\n',
    'CRLF.CRCRLF': b'\r\n.\r\r\n', 'LFCR.LFCR': b'\n\r.\n\r', 'CRLF.NUL.CRLF': b'\r\n.\0\r\n', 'NUL.CRLF.CRLF': b'\0.\r\n', 'CRLF.NUL': b'\r\n\0.\r\n',
    'LF..LF': b'\n..\n', 'CRLFLF.CRLF': b'\r\n\n.\r\n',
}
# those hold nothing that is forbidden: they are text, and the message goes on behind them
TEXT_ENDS = {'CRLF..CRLF': b'\r\n..\r\n', 'CRLF.SP.CRLF': b'\r\n. \r\n', 'CRLF SP.CRLF': b'\r\n .\r\n', 'CRLF.VT': b'\r\n.\x0b\r\n', 'NEL': b'\xc2\x85.\xc2\x85', 'LS': b'\r\n\xe2\x80\xa8.\xe2\x80\xa8'}
counter = [0]


def smuggling(end, way):
    """(the bytes behind 354, id of the cover, id of the smuggled one)"""
    counter[0] += 1
    cover, inner = '<cover-%d@attack.example>' % counter[0], '<smuggled-%d@attack.example>' % counter[0]
    body = ('Message-ID: %s\r\nSubject: cover\r\n\r\ncover' % cover).encode() + end
    body += ('MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\nMessage-ID: %s\r\n\r\nsmuggled\r\n.\r\n' % (sender(way), ALICE, inner)).encode()
    return body, cover, inner


def pieces(body, how, end):
    """how the bytes are cut into TCP segments"""
    if how == 'whole':
        return [body]
    at = body.index(end)
    if how == 'around':
        return [body[:at], body[at:at + len(end)], body[at + len(end):]]
    return [body[:at]] + [body[i:i + 1] for i in range(at, at + len(end))] + [body[at + len(end):]]


def send_pieces(w, parts):
    for p in parts:
        w.send(p)
        if len(parts) > 1:
            time.sleep(0.003)


def one_end(m, way, end, how, accepted):
    body, cover, inner = smuggling(end, way)
    with smtp(m, way) as w:
        envelope(w, way)
        assert w.ask('DATA').startswith('354')
        send_pieces(w, pieces(body, how, end))
        reply = w.reply()
        if accepted:
            assert reply.startswith('250'), reply
        else:
            assert reply[:2] == '55' and slug(reply) in ('bare-newline', 'message-malformed'), reply
        # one reply, and nothing of the text was a command: the next answer is NOOP's
        assert w.ask('NOOP').startswith('250 2.0.0')
        assert w.ask('QUIT').startswith('221')
        assert w.until_closed() == ''
    held = ids(m)
    assert inner not in held, 'the smuggled message is there'
    assert held.count(cover) == (1 if accepted else 0)


def data_case(name, end, accepted):
    @case(1, 'DATA, %s%s' % (name, ' is text' if accepted else ''), SMTP_WAYS)
    def run(m, way):
        for how in ('whole', 'around', 'bytes'):
            one_end(m, way, end, how, accepted)


for _name, _end in FALSE_ENDS.items():
    data_case(_name, _end, False)
for _name, _end in TEXT_ENDS.items():
    data_case(_name, _end, True)


@case(1, 'DATA, CRCRLF.CRLF is the end, but nothing behind it is read', SMTP_WAYS)
def doubtful_end(m, way):
    """a relay that takes CR CR LF for no line end does not double the dot behind it"""
    end = b'\r\r\n.\r\n'
    for how in ('whole', 'around', 'bytes'):
        body, cover, inner = smuggling(end, way)
        with smtp(m, way) as w:
            envelope(w, way)
            assert w.ask('DATA').startswith('354')
            try:
                send_pieces(w, pieces(body, how, end))
            except OSError:
                pass
            text = w.until_closed()
            assert re.fullmatch(r'(550-.*\r\n)*550 .*bare-newline; ref .*\r\n', text), text
        held = ids(m)
        assert inner not in held and cover not in held


@case(1, 'pipelined: envelope, DATA, text with a false end and the next message in one segment', SMTP_WAYS)
def pipelined(m, way):
    for end in FALSE_ENDS.values():
        body, cover, inner = smuggling(end, way)
        with smtp(m, way) as w:
            w.send(('MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n' % (sender(way), BOB)).encode() + body + b'NOOP\r\nQUIT\r\n')
            text = w.until_closed()
            assert not re.search(r'250 2\.0\.0 Message', text), text
        held = ids(m)
        assert inner not in held and cover not in held


@case(1, 'BDAT: a false end in a chunk, whole and in two chunks', SMTP_WAYS)
def bdat(m, way):
    for end in FALSE_ENDS.values():
        for cut in (False, True):
            body, cover, inner = smuggling(end, way)
            body = body[:-3]  # BDAT has no dot
            at = body.index(end) + len(end) // 2 if cut else 0
            with smtp(m, way) as w:
                envelope(w, way)
                if cut:
                    w.send(b'BDAT %d\r\n' % at + body[:at] + b'BDAT %d LAST\r\n' % (len(body) - at) + body[at:])
                    w.reply()
                else:
                    w.send(b'BDAT %d LAST\r\n' % len(body) + body)
                reply = w.reply()
                # with the dot on a line of its own all is text; NUL, CR, LF alone are refused
                assert reply[:2] == '55' and slug(reply) in ('bare-newline', 'message-malformed'), (end, cut, reply)
                assert w.ask('NOOP').startswith('250')
            held = ids(m)
            assert inner not in held and cover not in held


@case(1, 'BDAT: a true CRLF.CRLF in a chunk is text, in one message, here and in RETR', SMTP_WAYS)
def bdat_dot(m, way):
    body, cover, inner = smuggling(b'\r\n.\r\n', way)
    body = body[:-3]
    with smtp(m, way) as w:
        envelope(w, way)
        w.send(b'BDAT %d LAST\r\n' % len(body) + body)
        assert w.reply().startswith('250')
        assert w.ask('NOOP').startswith('250')
    held = ids(m)
    assert held.count(cover) == 1 and inner not in held
    with pop3(m, 'pop3s', BOB) as w:
        count = int(w.command('STAT').split()[1])
        w.send('RETR %d\r\nNOOP\r\n' % count)
        text = b''
        while b'\r\n.\r\n' not in text:
            text += w.sock.recv(65536)
        inside, behind = text.split(b'\r\n.\r\n', 1)
        assert inner.encode() in inside and b'\r\n..\r\nMAIL FROM' in inside
        while not behind.endswith(b'\r\n'):
            behind += w.sock.recv(65536)
        assert re.fullmatch(rb'\+OK[^\r\n]*\r\n', behind), behind


@case(1, 'BINARYMIME: bare LF and CR are kept, and POP3 never shows a false end', ('mx', 'submissions'))
def binary(m, way):
    for end in (b'\n.\n', b'\r.\r', b'\n.\r\n', b'\r\r\n.\r\r\n', b'\r\n.\n', b'\n.'):
        body, cover, inner = smuggling(end, way)
        body = body[:-3]
        with smtp(m, way) as w:
            assert w.ask('MAIL FROM:<%s> BODY=BINARYMIME' % sender(way)).startswith('250')
            assert w.ask('RCPT TO:<%s>' % BOB).startswith('250')
            w.send(b'BDAT %d LAST\r\n' % len(body) + body)
            assert w.reply().startswith('250')
        held = ids(m)
        assert held.count(cover) == 1 and inner not in held
        with pop3(m, 'pop3s', BOB) as w:
            count = int(w.command('STAT').split()[1])
            w.send('RETR %d\r\n' % count)
            text = b''
            while not text.endswith(b'\r\n.\r\n'):
                text += w.sock.recv(65536)
            assert text.count(b'\r\n.\r\n') == 1
            # a reader that takes LF alone for a line end must not see the end too early either
            assert b'smuggled' in re.split(rb'\r?\n\.\r?\n', text)[0], text


COMMAND_BREAKS = {'LF': b'\n', 'CR': b'\r', 'LFCR': b'\n\r', 'NUL': b'\0', 'CRNULLF': b'\r\0\n'}


@case(1, 'command lines: LF, CR, NUL part no commands', SMTP_WAYS)
def command_breaks(m, way):
    for name, brk in COMMAND_BREAKS.items():
        with smtp(m, way) as w:
            w.send(b'MAIL FROM:<%s>' % sender(way).encode() + brk + b'RCPT TO:<bob@mailroom.test>\r\n')
            reply = w.reply()
            assert reply[0] == '5' and slug(reply), (name, reply)
            assert slug(w.ask('RCPT TO:<bob@mailroom.test>')) == 'seq-no-mail', name
            assert w.ask('NOOP').startswith('250')


@case(1, 'command lines: LF, CR, NUL part no commands', POP3_WAYS)
def pop3_breaks(m, way):
    for name, brk in COMMAND_BREAKS.items():
        with pop3(m, way) as w:
            w.send(b'CAPA' + brk + b'QUIT\r\nNOOP\r\n')
            reply = w.line()
            assert reply.startswith('-ERR') and slug(reply), (name, reply)
            reply = w.line()
            assert reply.startswith('-ERR') and slug(reply) == 'pop3-not-in-state', (name, reply)  # NOOP's: QUIT was not obeyed


# ---- row 3: pipelining where it must not be

def early(m, name, data, roles):
    """connects and sends while nobody can have greeted yet; all that is answered"""
    pids = [pid for role, pid in m.children() if role in roles]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    s = socket.create_connection(('127.0.0.1', m.port[name]), timeout=20)
    s.sendall(data)
    time.sleep(0.05)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    s.settimeout(5)
    out = b''
    try:
        while True:
            more = s.recv(65536)
            if not more:
                break
            out += more
    except OSError:
        pass
    s.close()
    return out.decode(errors='replace')


@case(3, 'talking before the greeting is 554 and the end')
def before_greeting(m):
    for data in (b'EHLO early.example\r\n', b'EHLO early.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<bob@mailroom.test>\r\nDATA\r\nMessage-ID: <early@attack>\r\n\r\nx\r\n.\r\n',
                 b'\x16\x03\x01\x02\x00\x01\x00', b'GET / HTTP/1.1\r\n', b'x'):
        text = early(m, 'mx', data, ('mx',))
        assert text.startswith('554') and 'seq-pipelined-early' in text and '220 mail' not in text, text
    assert '<early@attack>' not in ids(m)


@case(3, 'submission: an early EHLO is answered, an early transaction goes nowhere', ('submission',))
def before_greeting_submission(m, way):
    text = early(m, way, b'EHLO early.example\r\nMAIL FROM:<alice@mailroom.test>\r\nRCPT TO:<bob@mailroom.test>\r\nDATA\r\nQUIT\r\n', ('user',))
    assert '354' not in text and ' 2.1.0' not in text and ' 2.1.5' not in text, text


@case(3, 'behind DATA everything is text', SMTP_WAYS)
def behind_data(m, way):
    counter[0] += 1
    mid = '<behind-%d@attack.example>' % counter[0]
    with smtp(m, way) as w:
        w.send('MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\nRSET\r\nMessage-ID: %s\r\n\r\nQUIT\r\nNOOP\r\n.\r\nNOOP\r\n' % (sender(way), BOB, mid))
        if way.startswith('mx'):  # the 354 had to be read first
            text = w.until_closed()
            assert re.findall(r'(?m)^(\d{3}) ', text) == ['250', '250', '451'] and slug(text) == 'protocol-violation', text
            return
        replies = [w.reply() for _ in range(5)]
        assert [r[:3] for r in replies[:3]] == ['250', '250', '354'] and replies[3][:3] in ('250', '550') and replies[4].startswith('250 2.0.0'), replies


@case(3, 'behind EHLO, NOOP, VRFY and EXPN the answer has to be read: 451 and the end', ('mx', 'mx+tls'))
def behind_sync(m, way):
    for command in ('EHLO x.example', 'HELO x.example', 'NOOP', 'VRFY alice', 'EXPN staff'):
        with smtp(m, way) as w:
            w.send('%s\r\nMAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n' % (command, sender(way), BOB))
            text = w.until_closed()
            assert slug(text) == 'protocol-violation' and '\n451 4.5.0 ' in '\n' + text and '2.1.0' not in text, (command, text)


@case(3, 'what may be sent in one go is never refused for it', SMTP_WAYS)
def grouped(m, way):
    counter[0] += 1
    with smtp(m, way) as w:
        w.send('RSET\r\nMAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n' % (sender(way), BOB))
        assert [w.reply()[:3] for _ in range(4)] == ['250', '250', '250', '354']
        w.send('Message-ID: <grouped-%d@attack.example>\r\n\r\nx\r\n.\r\nMAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nNOOP\r\n' % (counter[0], sender(way), BOB))
        assert [w.reply()[:3] for _ in range(4)] == ['250'] * 4


@case(3, 'behind QUIT nothing is answered', SMTP_WAYS)
def behind_quit(m, way):
    with smtp(m, way) as w:
        w.send('QUIT\r\nMAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n' % (sender(way), BOB))
        assert w.reply().startswith('221')
        assert w.until_closed() == ''


@case(3, 'behind AUTH without a response, nothing is taken for one or obeyed', ('submission', 'submissions'))
def behind_auth(m, way):
    for data in ('AUTH PLAIN\r\nMAIL FROM:<alice@mailroom.test>\r\n', 'AUTH PLAIN\r\n%s\r\n' % plain(ALICE, m.password[ALICE]), 'AUTH LOGIN\r\n%s\r\n%s\r\n' % (b64(ALICE), b64(m.password[ALICE]))):
        with smtp(m, way, signin=False) as w:
            w.send(data)
            text = w.until_closed()
            assert '\n235' not in '\n' + text and '2.1.0' not in text and 'seq-not-pipelined' in text, text  # a ref may begin with 235


@case(3, 'behind BDAT LAST, EHLO and RSET the order is kept', SMTP_WAYS)
def behind_bdat(m, way):
    counter[0] += 1
    body = 'Message-ID: <bdat-%d@attack.example>\r\n\r\nx\r\n' % counter[0]
    with smtp(m, way) as w:
        w.send('MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nBDAT %d LAST\r\n%sRSET\r\nRCPT TO:<%s>\r\n' % (sender(way), BOB, len(body), body, BOB))
        replies = [w.reply() for _ in range(5)]
        assert [r[:3] for r in replies] == ['250', '250', '250', '250', '503'], replies


@case(3, 'behind QUIT and behind AUTH nothing is obeyed', POP3_WAYS)
def pop3_behind(m, way):
    with pop3(m, way) as w:
        w.send('QUIT\r\nCAPA\r\n')
        assert w.line().startswith('+OK')
        assert w.until_closed() == ''
    if way == 'pop3':
        return
    with pop3(m, way) as w:  # pipelining is announced (RFC 2449 6.8): the response of AUTH may come at once, but no command is taken for it
        w.send('AUTH PLAIN\r\nSTAT\r\n')
        text = w.line() + '\n' + w.line()
        assert '-ERR' in text and '\n+OK' not in text, text


# ---- row 4: STARTTLS

@case(4, 'bytes in the clear behind STARTTLS are refused, never obeyed', tuple(CLEAR))
def injected(m, way):
    injections = (b'EHLO injected.example\r\n', b'MAIL FROM:<evil@example.org>\r\nRCPT TO:<bob@mailroom.test>\r\n', b'RSET\r\n', b'N', b'\r\n', b'\x16\x03\x01', b'CAPA\r\nUSER alice\r\n',
                  b'NOOP\r\n' * 3000, b'AUTH PLAIN ' + b'A' * 5000 + b'\r\n')
    for data in injections:
        with Line(m.port[way], greet=False) as w:
            w.line()
            if way != 'pop3':
                w.ask('EHLO clear.example')
            w.send(CLEAR[way].encode() + b'\r\n' + data)
            w.sock.settimeout(3)
            try:
                text = w.rest()
            except (OSError, ssl.SSLError):
                text = ''
            # either the refusal, or (bytes that look like a handshake) the 220 and a handshake that fails; never an answer to the injected command
            assert text == '' or 'tls-injection' in text or data[:1] == b'\x16', (data, text)
            assert not re.search(r'2\.1\.0|2\.1\.5|250[ -]mail\.|Capability|Now the password', text), (data, text)


@case(4, 'bytes that come right behind the 220 in the clear end the handshake', tuple(CLEAR))
def injected_later(m, way):
    with Line(m.port[way], greet=False) as w:
        w.line()
        if way != 'pop3':
            w.ask('EHLO clear.example')
        w.send(CLEAR[way] + '\r\n')
        assert w.line()[:3] in ('220', '+OK')
        w.send(b'NOOP\r\nCAPA\r\n')
        text = w.until_closed()
        assert '\n250' not in '\n' + text and '+OK' not in text and '-ERR' not in text


@case(4, 'nothing said before TLS counts after it; STARTTLS is not offered again and refused', ('mx', 'submission'))
def forgets(m, way):
    with Line(m.port[way]) as w:
        assert 'STARTTLS' in w.ask('EHLO before.example')
        if way == 'mx':
            assert w.ask('MAIL FROM:<a@b.example>').startswith('250')
            assert w.ask('RCPT TO:<bob@mailroom.test>').startswith('250')
        assert w.ask('STARTTLS').startswith('220')
        w.tls()
        reply = w.ask('MAIL FROM:<a@b.example>')
        assert slug(reply) == 'seq-no-helo', reply
        reply = w.ask('DATA')
        assert reply.startswith('503'), reply
        assert 'STARTTLS' not in w.ask('EHLO after.example')
        reply = w.ask('DATA')
        assert reply.startswith('503') and 'rcpt' not in slug(reply), reply
        assert slug(w.ask('STARTTLS')) == 'tls-repeated'
        assert w.ask('NOOP').startswith('250')


@case(4, 'implicit TLS: STARTTLS is refused there, and words in the clear get nowhere', ('submissions', 'pop3s'))
def implicit(m, way):
    with (smtp(m, way) if way == 'submissions' else pop3(m, way)) as w:
        reply = w.ask('STARTTLS') if way == 'submissions' else w.command('STLS')
        assert slug(reply) == 'tls-repeated', reply
    with Line(m.port[way], greet=False) as w:
        w.send(b'EHLO clear.example\r\nCAPA\r\nMAIL FROM:<alice@mailroom.test>\r\n')
        text = w.until_closed()
        assert '\n250' not in '\n' + text and '+OK' not in text


@case(4, 'POP3: USER from before STLS is forgotten, STLS is not offered again', ('pop3',))
def forgets_pop3(m, way):
    with pop3(m, 'pop3') as w:
        reply = w.command('USER alice@mailroom.test')
        assert slug(reply) == 'auth-cleartext-refused', reply
        assert w.command('STLS').startswith('+OK')
        w.tls()
        assert slug(w.command('PASS ' + m.password[ALICE])) == 'pop3-user-first'
        w.send('CAPA\r\n')
        lines = []
        while not lines or lines[-1] != '.':
            lines.append(w.line())
        assert 'STLS' not in lines and 'USER' in lines
        assert slug(w.command('STLS')) == 'tls-repeated'


@case(4, 'sign-in and mail in the clear are refused where TLS is asked for', ('submission', 'pop3'))
def clear_credentials(m, way):
    with Line(m.port[way], greet=False) as w:
        w.line()
        if way == 'pop3':
            for words in ('AUTH PLAIN ' + plain(ALICE, m.password[ALICE]), 'USER ' + ALICE):
                assert slug(w.command(words)) == 'auth-cleartext-refused'
        else:
            assert 'AUTH' not in w.ask('EHLO clear.example').replace('\n', ' ').split('250')[1:][0]
            reply = w.ask('AUTH PLAIN ' + plain(ALICE, m.password[ALICE]))
            assert reply[0] == '5' and slug(reply), reply
            assert slug(w.ask('MAIL FROM:<alice@mailroom.test>')) == 'tls-required'


# ---- row 7: open relay

RELAY = {
    'plain': ('<victim@elsewhere.example>', 'relay-denied-unauth'),
    'source route': ('<@mailroom.test:victim@elsewhere.example>', 'relay-denied-unauth'),
    'long source route': ('<@mailroom.test,@relay.example:victim@elsewhere.example>', 'relay-denied-unauth'),
    'percent': ('<victim%elsewhere.example@mailroom.test>', 'rcpt-unknown'),
    'percent with our domain': ('<victim%elsewhere.example%mailroom.test@mailroom.test>', 'rcpt-unknown'),
    'percent to elsewhere': ('<bob%mailroom.test@elsewhere.example>', 'relay-denied-unauth'),
    'bang': ('<elsewhere.example!victim@mailroom.test>', 'rcpt-unknown'),
    'two bangs': ('<mailroom.test!elsewhere.example!victim@mailroom.test>', 'rcpt-unknown'),
    'quoted address': ('<"victim@elsewhere.example"@mailroom.test>', 'rcpt-unknown'),
    'quoted percent': ('<"victim%elsewhere.example"@mailroom.test>', 'rcpt-unknown'),
    'quoted without domain': ('<"victim@elsewhere.example">', 'rcpt-syntax'),
    'quoted pair': ('<"victim\\@elsewhere.example"@mailroom.test>', 'rcpt-unknown'),
    'double at': ('<victim@elsewhere.example@mailroom.test>', 'rcpt-syntax'),
    'double at, other way': ('<bob@mailroom.test@elsewhere.example>', 'rcpt-syntax'),
    'IPv4 literal': ('<victim@[192.0.2.1]>', 'relay-denied-unauth'),
    'loopback literal': ('<victim@[127.0.0.1]>', 'relay-denied-unauth'),
    'IPv6 literal': ('<victim@[IPv6:2001:db8::1]>', 'relay-denied-unauth'),
    'literal with a name': ('<victim@[elsewhere.example]>', 'rcpt-syntax'),
    'no literal': ('<victim@192.0.2.1>', 'relay-denied-unauth'),
    'trailing dot': ('<victim@elsewhere.example.>', 'rcpt-syntax'),
    'leading dot': ('<victim@.elsewhere.example>', 'rcpt-syntax'),
    'ours with more behind': ('<victim@mailroom.test.elsewhere.example>', 'relay-denied-unauth'),
    'ours with more before': ('<victim@notmailroom.test>', 'relay-denied-unauth'),
    'subdomain': ('<bob@sub.mailroom.test>', 'relay-denied-unauth'),
    'parent domain': ('<bob@test>', 'relay-denied-unauth'),
    'upper case': ('<VICTIM@ELSEWHERE.EXAMPLE>', 'relay-denied-unauth'),
    'no domain': ('<victim>', 'rcpt-syntax'),
    'two in one': ('<bob@mailroom.test,victim@elsewhere.example>', 'rcpt-syntax'),
    'two in one, blank': ('<bob@mailroom.test victim@elsewhere.example>', 'rcpt-syntax'),
    'two paths': ('<bob@mailroom.test><victim@elsewhere.example>', ''),
    'bracket inside': ('<bob@mailroom.test>victim@elsewhere.example>', ''),
    'no brackets': ('victim@elsewhere.example', ''),
    'port': ('<victim@elsewhere.example:25>', 'rcpt-syntax'),
    'comment': ('<victim(bob@mailroom.test)@elsewhere.example>', 'rcpt-syntax'),
    'NUL in between': ('<victim@elsewhere.example\0@mailroom.test>', ''),
    'UTF-8 full stop': ('<victim@elsewhere\u3002example>', ''),
    'homograph of ours': ('<bob@m\u0430ilroom.test>', ''),
    'ORCPT elsewhere': ('<nobody@mailroom.test> ORCPT=rfc822;victim@elsewhere.example', 'rcpt-unknown'),
    'null path': ('<>', 'rcpt-syntax'),
}
SENDERS = ('', 'stranger@b.example', ALICE, 'postmaster@mailroom.test', '"victim@elsewhere.example"@mailroom.test')


@case(7, 'every relay form is refused at RCPT with its own cause', ('mx', 'mx+tls'))
def relay(m, way):
    wrong = []
    for name, (path, want) in RELAY.items():
        for who in SENDERS:
            with smtp(m, way) as w:
                assert w.ask('MAIL FROM:<%s>' % who).startswith('250'), who
                reply = w.ask('RCPT TO:' + path)
                got = slug(reply)
                if reply[0] != '5' or not got or (want and got != want):
                    wrong.append('%s from <%s>: wanted %s: %s' % (name, who, want, reply))
                    continue
                reply = w.ask('DATA')
                if not reply.startswith('503'):
                    wrong.append('%s: DATA: %s' % (name, reply))
    assert not wrong, '\n'.join(wrong)
    assert m.run('queue', 'list', '--json').strip() == '[]'


@case(7, 'a refused relay recipient beside a local one: only the local one gets it', ('mx', 'mx+tls'))
def relay_mixed(m, way):
    counter[0] += 1
    mid = '<mixed-%d@attack.example>' % counter[0]
    with smtp(m, way) as w:
        w.send('MAIL FROM:<a@b.example>\r\n' + ''.join('RCPT TO:%s\r\n' % p for p, _ in list(RELAY.values())[:12]) + 'RCPT TO:<bob@mailroom.test>\r\nDATA\r\n')
        codes = w.codes(15)
        assert codes[1:13] == ['550'] * 12 or all(c[0] == '5' for c in codes[1:13]), codes
        assert codes[13:] == ['250', '354']
        assert w.ask('Message-ID: %s\r\nTo: victim@elsewhere.example\r\nResent-To: victim@elsewhere.example\r\n\r\nx\r\n.' % mid).startswith('250')
    assert ids(m).count(mid) == 1
    assert m.run('queue', 'list', '--json').strip() == '[]'


@case(7, 'without a sign-in nothing is taken at all, whoever the sender', ('submission', 'submissions'))
def relay_unsigned(m, way):
    for who in SENDERS:
        with smtp(m, way, signin=False) as w:
            reply = w.ask('MAIL FROM:<%s>' % who)
            assert reply.startswith('530') and slug(reply) == 'auth-required', reply
            assert w.ask('MAIL FROM:<%s> AUTH=<>' % who)[0] == '5'
            assert w.ask('RCPT TO:<victim@elsewhere.example>')[0] == '5'
            assert w.ask('DATA')[0] == '5'
    assert m.run('queue', 'list', '--json').strip() == '[]'


@case(7, 'MAIL ... AUTH= of a stranger is no sign-in', ('mx', 'mx+tls'))
def relay_auth_param(m, way):
    with smtp(m, way) as w:
        reply = w.ask('MAIL FROM:<alice@mailroom.test> AUTH=alice@mailroom.test')
        if reply.startswith('250'):
            assert slug(w.ask('RCPT TO:<victim@elsewhere.example>')) == 'relay-denied-unauth'
        assert w.ask('AUTH PLAIN ' + plain(ALICE, m.password[ALICE])).startswith('503')
    assert m.run('queue', 'list', '--json').strip() == '[]'


# ---- row 9: backscatter

@case(9, 'unknown, disabled and full mailboxes are refused in the session, nothing is made for the sender', ('mx', 'mx+tls'))
def backscatter(m, way):
    for name, quota in (('full', '20KB'), ('gone', None)):
        if name + '@mailroom.test' not in m.password:
            m.account(name, quota=quota)
    m.run('account', 'disable', 'gone@mailroom.test')
    before = len(ids(m))
    with smtp(m, way) as w:
        for who in ('victim@elsewhere.example', '', 'bob@mailroom.test'):
            assert w.ask('MAIL FROM:<%s> SIZE=30000' % who).startswith('250')
            for path, want in (('nobody@mailroom.test', 'rcpt-unknown'), ('gone@mailroom.test', 'rcpt-disabled'), ('full@mailroom.test', 'rcpt-over-quota'),
                               ('nobody+tag@mailroom.test', 'rcpt-unknown')):
                reply = w.ask('RCPT TO:<%s> NOTIFY=SUCCESS,FAILURE,DELAY' % path)
                assert slug(reply) == want, reply
            assert w.ask('DATA').startswith('503')
            assert w.ask('RSET').startswith('250')
    assert len(ids(m)) == before
    assert m.run('queue', 'list', '--json').strip() == '[]'


@case(9, 'refused content, vacation-like headers and NOTIFY make no message to anybody', ('mx', 'mx+tls'))
def backscatter_content(m, way):
    heads = ('Disposition-Notification-To: victim@elsewhere.example\r\n', 'Return-Receipt-To: victim@elsewhere.example\r\n', 'Precedence: bulk\r\n', 'Auto-Submitted: auto-replied\r\n')
    for i, head in enumerate(heads):
        counter[0] += 1
        with smtp(m, way) as w:
            assert w.ask('MAIL FROM:<victim@elsewhere.example> RET=FULL ENVID=x').startswith('250')
            assert w.ask('RCPT TO:<bob@mailroom.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bob@mailroom.test').startswith('250')
            assert w.ask('DATA').startswith('354')
            body = '%sMessage-ID: <bs-%d@attack.example>\r\n\r\nx%s\r\n.' % (head, counter[0], '\n' if i % 2 else '')
            assert w.ask(body)[:3] == ('550' if i % 2 else '250')
    text = m.run('queue', 'list', '--json').strip()
    assert text == '[]', text


@case(9, 'null sender mail is taken, and refused like other mail', ('mx', 'mx+tls'))
def null_sender(m, way):
    with smtp(m, way) as w:
        assert w.ask('MAIL FROM:<>').startswith('250')
        assert slug(w.ask('RCPT TO:<nobody@mailroom.test>')) == 'rcpt-unknown'
        assert w.ask('RCPT TO:<bob@mailroom.test>').startswith('250')


@case(9, 'after all of this honest mail still comes in', SMTP_WAYS)
def honest(m, way):
    counter[0] += 1
    mid = '<honest-%d@attack.example>' % counter[0]
    deliver(m, mid, way)
    assert ids(m).count(mid) == 1
