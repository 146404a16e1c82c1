"""Rows 2, 9 and 23, outward: what leaves, what comes back, and mail that goes in circles. Servers elsewhere are on loopback.

What else these rows demand of mail that leaves stands in test/e2e: row 5 in test_delivery_tls.py (text_behind_the_220_ends_the_connection), row 6 there (dane_holds_mail_back,
policies, a_policy_outlives_its_web_server_its_record_and_a_restart, requiretls), row 9 in test_bounce.py (a_null_sender_gets_none, mail_of_strangers_that_was_forwarded,
a_bounce_that_fails_goes_to_the_postmaster_once), row 23 in test_delivery.py (what_is_said_where_it_cannot_go: an MX that is ourselves)."""
import json
import re
import smtplib
import socketserver
import threading
import time

import mailroom
import odd_server
from lib import ALICE, case, smtp

CONF = ('workers { mx = 1 user = 1 relay = 1 }\ndelivery { retry-first = 1s retry-most = 1s idle = 1s dane = no mta-sts = no }\ndns { dnssec = no check-recipients = no }\n'
        'route "all" { domains = "*" to = "[127.0.0.1]:%d" }\n')
WAIT_S = 60


def until(what, words):
    end = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < end, words
        time.sleep(0.1)


def queue(m):
    return json.loads(m.run('queue', 'list', '--json'))


def inbox(m, account):
    return json.loads(m.run('mail', 'list', account, '--json'))


def submit(m, rcpt, body, how='data', options=''):
    """as alice; how: DATA, whose dots are doubled here, or BDAT"""
    with smtp(m, 'submissions') as w:
        assert w.ask('MAIL FROM:<%s>%s' % (ALICE, options)).startswith('250')
        assert w.ask('RCPT TO:<%s>' % rcpt).startswith('250')
        if how == 'bdat':
            w.send(b'BDAT %d LAST\r\n' % len(body) + body)
        else:
            assert w.ask('DATA').startswith('354')
            w.send(re.sub(rb'(?m)^\.', b'..', body) + b'.\r\n')
        reply = w.reply()
        assert reply.startswith('250'), reply


# ---- row 2: smuggling onward

class Raw(socketserver.ThreadingTCPServer):
    """keeps every byte that comes behind DATA; knows no CHUNKING"""
    daemon_threads = allow_reuse_address = True

    def __init__(self):
        self.raw = []
        super().__init__(('127.0.0.1', 0), RawTalk)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __exit__(self, *exc):
        self.shutdown()
        self.server_close()


class RawTalk(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b'\r\n')

    def handle(self):
        self.say('220 raw.test')
        for line in self.rfile:
            verb = line.split()[0].upper() if line.strip() else b''
            if verb == b'EHLO':
                self.say('250-raw.test\r\n250-8BITMIME\r\n250 SMTPUTF8')
            elif verb == b'DATA':
                self.say('354 go')
                raw = b''
                while not raw.endswith(b'\r\n.\r\n'):
                    more = self.rfile.read1(65536)
                    if not more:
                        return
                    raw += more
                self.server.raw.append(raw)
                self.say('250 2.0.0 taken')
            elif verb == b'QUIT':
                self.say('221 bye')
                return
            else:
                self.say('250 2.0.0 ok')


HEAD = b'From: <alice@mailroom.test>\r\nSubject: out\r\nMessage-ID: <out%d@mailroom.test>\r\nContent-Type: text/plain\r\n\r\n'
BODIES = {
    'dots': b'.\r\n..\r\n...\r\n.x\r\n. \r\n..MAIL FROM:<x@y.test>\r\n.QUIT\r\n',
    'dot last': b'text\r\n.\r\n',
    'dot first': b'.\r\nMAIL FROM:<x@y.test>\r\n',
    'long lines of dots': b'.' * 997 + b'\r\n' + b'.' * 998 + b'\r\n',
    'dots at every place of a block': b''.join(b'.' * (n % 5) + b'x' * (n % 61) + b'\r\n' for n in range(6000)),
    'separators of Unicode': b'\xc2\x85.\xc2\x85\r\n\xe2\x80\xa8.\xe2\x80\xa8\r\n\x0b.\x0c.\r\n',
}


def as_it_must_be(raw, body):
    text = raw[:-3]  # without the dot at the end
    assert b'\0' not in raw and not re.search(rb'\r(?!\n)', raw) and not re.search(rb'(?<!\r)\n', raw), raw[:300]
    lines = text.split(b'\r\n')
    assert all(line.startswith(b'..') for line in lines if line.startswith(b'.')), [x for x in lines if x.startswith(b'.')][:3]
    plain = b'\r\n'.join(line[1:] if line.startswith(b'.') else line for line in lines)
    assert plain.endswith(b'\r\n\r\n' + body), plain[-300:]


@case(2, 'what leaves has every dot at the start of a line doubled, and no CR, LF or NUL on its own', system=None)
def onward():
    with Raw() as raw, mailroom.System(CONF % raw.port) as m:
        for how in ('data', 'bdat'):
            for n, (name, body) in enumerate(BODIES.items()):
                count = len(raw.raw)
                submit(m, 'x@elsewhere.example', HEAD % (n + 100 * (how == 'bdat')) + body, how, ' BODY=8BITMIME')
                until(lambda: len(raw.raw) > count, '%s by %s did not arrive' % (name, how))
                as_it_must_be(raw.raw[-1], body)


@case(2, 'what holds CR, LF or NUL on its own (BINARYMIME) does not leave as it is', system=None)
def onward_binary():
    with Raw() as raw, mailroom.System(CONF % raw.port) as m:
        for n, end in enumerate((b'\n.\n', b'\r.\r', b'\r\n.\r', b'\n.\r\n', b'\r\n.\n', b'\r\r\n.\r\r\n', b'\r\n.\0\r\n', b'\0.\r\n')):
            before = len(raw.raw) + len(inbox(m, ALICE))
            submit(m, 'x@elsewhere.example', HEAD % n + b'cover' + end + b'MAIL FROM:<x@y.test>\r\n', 'bdat', ' BODY=BINARYMIME')
            # it arrives in another form, or its sender hears that it did not
            until(lambda: len(raw.raw) + len(inbox(m, ALICE)) > before, '%r: nothing came of it' % end)
        for text in raw.raw:
            assert b'\0' not in text and not re.search(rb'\r(?!\n)', text) and not re.search(rb'(?<!\r)\n', text), text[-200:]
            assert b'\r\nMAIL FROM' not in text, text[-200:]


@case(2, 'mail of strangers that an alias sends on is written anew, too', system=None)
def onward_alias():
    with Raw() as raw, mailroom.System(CONF % raw.port) as m:
        m.run('alias', 'add', 'away@mailroom.test', 'x@elsewhere.example')
        body = BODIES['dots']
        with smtp(m, 'mx') as w:
            assert w.ask('MAIL FROM:<stranger@b.example>').startswith('250')
            assert w.ask('RCPT TO:<away@mailroom.test>').startswith('250')
            data = b'From: stranger@b.example\r\n\r\n' + body
            w.send(b'BDAT %d LAST\r\n' % len(data) + data)
            assert w.reply().startswith('250')
        until(lambda: raw.raw, 'it did not arrive')
        as_it_must_be(raw.raw[0], body)


# ---- row 5, beside test_delivery_tls.py: where a server has a whole session ready behind its 220

@case(5, 'replies behind the 220 of STARTTLS answer nothing: the mail waits', system=None)
def injected():
    text = '220 2.0.0 go\n250 2.1.0 ok\n250 2.1.5 ok\n354 go\n250 2.0.0 taken'
    with odd_server.OddServer({'ehlo': '250-odd.test\n250-STARTTLS\n250 PIPELINING', 'starttls': text}) as s, mailroom.System(CONF % s.port) as m:
        submit(m, 'x@elsewhere.example', HEAD % 0 + b'secret\r\n')
        until(lambda: queue(m) and queue(m)[0]['attempts'], 'it was not tried')
        assert 'text behind its answer to STARTTLS' in m.log(), m.log()[-500:]
        assert not any(line.upper().startswith(('MAIL', 'RCPT', 'DATA')) for x in s.sessions if 'STARTTLS' in x.lines for line in x.lines), [x.lines for x in s.sessions]


# ---- row 23: circles

@case(23, 'an alias here and one elsewhere that lead to each other: the mail ends, and its sender hears of it once', system=None)
def circle():
    port, sent = [0], []

    def back(session, message):
        """hands it in at our own door, as another server with such an alias does"""
        sent.append(message.sender)
        data = b'Received: from elsewhere by odd.test; Thu, 1 Jan 2026 00:00:00 +0000\r\n' + message.data
        try:
            with smtplib.SMTP('127.0.0.1', port[0], timeout=20) as s:
                s.sendmail(message.sender or '<>', ['circle@mailroom.test'], data)
        except smtplib.SMTPResponseException as e:
            return '%d %s' % (e.smtp_code, e.smtp_error.decode(errors='replace').split('\n')[-1])
        return '250 2.0.0 taken'

    with odd_server.OddServer({'dot': back}) as s, mailroom.System(CONF % s.port) as m:
        port[0] = m.port['mx']
        m.run('alias', 'add', 'circle@mailroom.test', 'circle@elsewhere.example')
        before = len(inbox(m, ALICE))
        submit(m, 'circle@elsewhere.example', HEAD % 0 + b'round and round\r\n')
        until(lambda: not queue(m), 'it still goes round after %d' % len(sent))
        assert 1 <= len(sent) <= 60, len(sent)
        until(lambda: len(inbox(m, ALICE)) > before, 'the sender was told nothing')
        time.sleep(1)
        assert len(inbox(m, ALICE)) == before + 1 and not queue(m)


@case(23, 'a route that leads to our own door makes no circle', system=None)
def own_door():
    with mailroom.System(CONF % 1, start=False) as m:
        m.write_conf(CONF % m.port['mx'])
        m.start()
        before = len(inbox(m, ALICE))
        submit(m, 'x@elsewhere.example', HEAD % 0 + b'x\r\n')
        until(lambda: len(re.findall('event=delivery', m.log())) >= 1, 'it was not tried')
        time.sleep(3)
        tried = len(re.findall('event=delivery', m.log()))
        assert tried <= 4, tried
        assert len(queue(m)) + len(inbox(m, ALICE)) - before == 1
