"""An SMTP server that does what it should not, for the tests of sending. Threads, loopback, no mail system behind it; it writes down all that it was told.

    with odd_server.OddServer('greet-450', address='127.8.0.1', port=25) as s:     # port 0 (the default): a free one
        ...                                                                         # deliver to s.address, s.port
        s.wait(lambda: len(s.messages) == 2)                                        # AssertionError when that does not come
        s.messages[0].sender, .rcpts, .data, .params, .tls, .login                  # as it was said; data without doubled dots
        s.sessions[0].lines                                                         # commands of one connection, in order

A behaviour is a name of NAMED, several joined by '+', or a dict: stage -> what happens there instead of the plain answer. Stages: connect, greet, ehlo, helo,
starttls, auth, mail, rcpt, data, body, dot, bdat, rset, quit. What: a reply (text; lines are joined by newlines; one with 421 closes, others close where they
end in '!'), CLOSE, or a function(session, argument) that answers itself and returns None, or returns what is to be said.
s.behave(...) changes it for what comes. times={stage: n}: only the first n times, then plain (greylisting: {'rcpt': 1}).

tls=(chain, key) makes it offer STARTTLS; certificates(folder) makes good, expired, wrong-name and self-signed ones. offer=(...) are the keywords of EHLO."""
import base64
import random
import select
import socket
import ssl
import threading
import time

CLOSE = object()
OFFER = ('PIPELINING', 'SIZE 50000000', '8BITMIME', 'SMTPUTF8', 'CHUNKING', 'DSN', 'ENHANCEDSTATUSCODES')
PLAIN = {'greet': '220 odd.test ESMTP', 'helo': '250 odd.test', 'mail': '250 2.1.0 ok', 'rcpt': '250 2.1.5 ok', 'data': '354 go', 'dot': '250 2.0.0 taken',
         'bdat': '250 2.0.0 taken', 'rset': '250 2.0.0 ok', 'quit': '221 2.0.0 bye', 'starttls': '220 2.0.0 go', 'auth': '235 2.7.0 ok'}


class Gone(Exception):
    """the client has left, or the server is to"""


class Message:
    def __init__(self, session, sender, params):
        self.sender, self.params, self.rcpts, self.rcpt_params, self.data = sender, params, [], [], b''
        self.tls, self.login, self.at = session.tls, session.login, time.time()


class Session(threading.Thread):
    """one connection"""

    def __init__(self, server, sock, peer):
        super().__init__(daemon=True)
        self.server, self.sock, self.peer, self.buffer = server, sock, peer, b''
        self.lines, self.tls, self.login, self.message, self.helo = [], None, None, None, None
        self.began, self.ended, self.handshake_error = time.time(), None, None

    # --- the wire

    def say(self, text):
        """lines of a reply, or bytes as they are"""
        data = text if isinstance(text, bytes) else ('\r\n'.join(text.split('\n')) + '\r\n').encode('utf-8', 'surrogateescape')
        try:
            self.sock.sendall(data)
        except OSError as e:
            raise Gone() from e

    def ready(self, seconds=0.0):
        """is there something to read?"""
        pending = isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()
        return bool(self.buffer or pending or select.select([self.sock], [], [], seconds)[0])

    def more(self):
        try:
            data = self.sock.recv(65536)
        except OSError as e:
            raise Gone() from e
        if not data:
            raise Gone()
        self.buffer += data

    def line(self):
        while b'\n' not in self.buffer:
            self.more()
        line, self.buffer = self.buffer.split(b'\n', 1)
        return line.rstrip(b'\r').decode('utf-8', 'surrogateescape')

    def take(self, n):
        while len(self.buffer) < n:
            self.more()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def sleep(self, seconds):
        """until then, or the server stops, or the client leaves"""
        end = time.time() + seconds
        while time.time() < end and not self.server.stopping.is_set():
            if select.select([self.sock], [], [], 0.05)[0]:
                try:
                    if not self.sock.recv(1, socket.MSG_PEEK):
                        raise Gone()
                    time.sleep(0.05)
                except (OSError, ValueError) as e:  # TLS knows no peeking
                    if isinstance(e, OSError):
                        raise Gone() from e
                    time.sleep(0.05)
        if self.server.stopping.is_set():
            raise Gone()

    def hang(self):
        self.sleep(10 ** 9)

    def close(self):
        raise Gone()

    # --- the conversation

    def run(self):
        try:
            self.talk()
        except (Gone, ssl.SSLError, OSError) as e:
            if isinstance(e, ssl.SSLError):
                self.handshake_error = str(e)
        finally:
            self.ended = time.time()
            try:
                self.sock.close()
            except OSError:
                pass

    def do(self, stage, argument='', before=None):
        """what the behaviour says for this stage, else the plain answer; returns the reply's first digit, which before() hears before the client does"""
        what = self.server.what(stage)
        if callable(what):
            what = what(self, argument)
            if what is None:
                return ''
        if what is CLOSE:
            self.close()
        if what is None:
            what = self.offers() if stage == 'ehlo' else PLAIN.get(stage)
        if what is None:
            return ''
        closing = isinstance(what, str) and (what.endswith('!') or what[:3] == '421')
        digit = what[:1] if isinstance(what, str) else ''
        if before:
            before(digit)
        self.say(what.rstrip('!') if closing else what)
        if closing:
            self.close()
        return digit

    def offers(self):
        words = list(self.server.offer)
        if self.server.tls and not self.tls:
            words.append('STARTTLS')
        if self.server.logins:
            words.append('AUTH PLAIN LOGIN')
        lines = ['odd.test'] + words
        return '\n'.join('250%s%s' % ('-' if i < len(lines) - 1 else ' ', line) for i, line in enumerate(lines))

    def talk(self):
        self.do('connect')
        if self.do('greet') not in ('2', ''):
            self.rest()
        while True:
            line = self.line()
            self.lines.append(line)
            verb, _, argument = line.partition(' ')
            getattr(self, 'on_' + verb.lower(), self.on_other)(argument)

    def rest(self):
        """a refused client may say QUIT"""
        while self.line().upper() != 'QUIT':
            self.say('503 5.5.1 no')
        self.say(PLAIN['quit'])
        self.close()

    def on_other(self, argument):
        self.say('502 5.5.1 what?')

    def on_ehlo(self, argument):
        self.helo = argument
        self.do('ehlo', argument)

    def on_helo(self, argument):
        self.helo = argument
        self.do('helo', argument)

    def on_starttls(self, argument):
        if not self.server.tls and self.server.what('starttls', peek=True) is None:
            self.say('502 5.5.1 no')
        elif self.do('starttls') == '2':
            self.start_tls()

    def start_tls(self):
        if not self.server.tls:
            return
        chain, key = self.server.tls
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain, key)
        self.buffer = b''
        self.sock = context.wrap_socket(self.sock, server_side=True)
        self.tls = self.sock.version()

    def on_auth(self, argument):
        words = argument.split()
        text = words[1] if len(words) > 1 else None
        if words[0].upper() == 'LOGIN':
            asked = []
            for question in (b'Username:', b'Password:'):
                if text is None:
                    self.say('334 ' + base64.b64encode(question).decode())
                    text = self.line()
                asked.append(base64.b64decode(text))
                text = None
        else:
            if text is None:
                self.say('334 ')
                text = self.line()
            asked = base64.b64decode(text).split(b'\0')[1:]
        login = tuple(x.decode() for x in asked)
        if self.server.what('auth', peek=True) is None and login not in self.server.logins:
            self.say('535 5.7.8 no')
        elif self.do('auth') in ('2', ''):
            self.login = login[0]

    @staticmethod
    def path(argument):
        address = argument.partition('<')[2]
        address, _, params = address.rpartition('>')
        return address, params.split()

    def on_mail(self, argument):
        address, params = self.path(argument)
        if self.do('mail', argument) == '2':
            self.message = Message(self, address, params)

    def on_rcpt(self, argument):
        address, params = self.path(argument)
        if not self.message:
            self.say('503 5.5.1 no MAIL')
        elif self.do('rcpt', address) == '2':
            self.message.rcpts.append(address)
            self.message.rcpt_params.append(params)

    def on_data(self, argument):
        if not self.message or not self.message.rcpts:
            self.say('503 5.5.1 no RCPT')
        elif self.do('data') == '3':
            self.take_body()

    def take_body(self):
        self.do('body')
        data = b''
        while not (data.endswith(b'\r\n.\r\n') or data == b'.\r\n'):
            if b'\n' not in self.buffer:
                self.more()
                continue
            line, self.buffer = self.buffer.split(b'\n', 1)
            data += line + b'\n'
        data = data[:-3]
        self.message.data = b''.join(x[1:] if x.startswith(b'.') else x for x in data.splitlines(keepends=True))
        self.end('dot')

    def on_bdat(self, argument):
        words = argument.split()
        data = self.take(int(words[0]))
        if not self.message or not self.message.rcpts:
            self.say('503 5.5.1 no RCPT')
            return
        self.message.data += data
        if len(words) > 1:
            self.end('bdat')
        else:
            self.say('250 2.0.0 %d octets' % len(data))

    def end(self, stage):
        """the message is here whole; a behaviour may take it and say nothing"""
        message, self.message = self.message, None
        self.server.seen.append(message)
        self.do(stage, message, before=lambda digit: digit == '2' and self.server.messages.append(message))

    def on_rset(self, argument):
        self.message = None
        self.do('rset')

    def on_noop(self, argument):
        self.say('250 2.0.0 ok')

    def on_quit(self, argument):
        self.do('quit')
        self.close()


# --- what a named behaviour does

def flood(piece, total):
    def act(session, argument):
        sent = 0
        while sent < total and not session.server.stopping.is_set():
            session.say(piece)
            sent += len(piece)
        session.hang()
    return act


def hang(session, argument):
    session.hang()


def then(text, what):
    """says text, then does that"""
    def act(session, argument):
        if text:
            session.say(text)
        if what is CLOSE:
            session.close()
        return what(session, argument)
    return act


def taken_and_lost(session, message):
    session.server.messages.append(message)
    session.close()


def taken_and(text):
    def act(session, message):
        session.server.messages.append(message)
        session.say(text)
        session.hang()
    return act


def at_most(n, reply='452 4.5.3 too many recipients'):
    def act(session, address):
        return reply if len(session.message.rcpts) >= n else PLAIN['rcpt']
    return act


def drip(text, seconds):
    """a byte now and then"""
    def act(session, argument):
        for c in text:
            session.say(c.encode())
            session.sleep(seconds)
    return act


def slowly(seconds):
    """answers late"""
    def act(stage):
        def late(session, argument):
            session.sleep(seconds)
            return session.offers() if stage == 'ehlo' else PLAIN[stage]
        return late
    return {stage: act(stage) for stage in ('greet', 'ehlo', 'mail', 'rcpt', 'data', 'dot')}


def backwards(session, argument):
    """answers all that is pipelined behind MAIL in the wrong order"""
    replies = [PLAIN['mail']]
    session.sleep(0.1)
    while session.ready() and replies[-1] != PLAIN['data']:
        verb = session.line()
        session.lines.append(verb)
        replies.append(PLAIN[verb[:4].lower()])
    session.say('\n'.join(reversed(replies)))
    session.hang()


def lies(session, argument):
    """says 220 to STARTTLS, and goes on in the clear"""
    session.say('220 2.0.0 go')
    while True:
        session.more()
        session.say('250-odd.test\n250 PIPELINING')


def reads_slowly(seconds):
    def act(session, argument):
        data = b''
        while not data.endswith(b'\r\n.\r\n'):
            data += session.take(1)
            session.sleep(seconds)
        session.say(PLAIN['dot'])
    return act


ENDLESS = b'550-this goes on and on\r\n' * 1000
NAMED = {
    'well': {},
    # the beginning
    'greet-421': {'greet': '421 4.3.2 too busy'}, 'greet-450': {'greet': '450 4.7.1 not now'}, 'greet-554': {'greet': '554 5.7.1 go away'},
    'greet-nothing': {'greet': hang}, 'greet-garbage': {'greet': then(b'\x16\x03\x01 what is this?\x00\x1b[31m\r\n', hang)},
    'greet-http': {'greet': then('HTTP/1.1 400 Bad Request', hang)},
    'greet-10mb': {'greet': flood(b'220 ' + b'x' * 65536, 10 << 20)}, 'greet-endless': {'greet': flood(b'220-hello\r\n' * 1000, 10 ** 12)},
    'greet-contradiction': {'greet': '220-odd.test\n554 no'}, 'greet-drip': {'greet': drip('220 odd.test\r\n' * 1000, 1)},
    'greet-masked': {'greet': '220 ***************0*2*'},
    'greet-lines': {'greet': '220-odd.test\n220-ESMTP\n220 welcome'},
    'ehlo-502': {'ehlo': '502 5.5.1 what?'}, 'ehlo-421': {'ehlo': '421 4.3.2 busy'}, 'ehlo-450': {'ehlo': '450 4.3.2 busy'},
    'ehlo-550': {'ehlo': '550 5.7.1 no', 'helo': '550 5.7.1 no'},
    'ehlo-endless': {'ehlo': flood(b'250-X\r\n' * 1000, 10 ** 12)}, 'ehlo-hang': {'ehlo': hang},
    # TLS
    'starttls-454': {'starttls': '454 4.7.0 not now'}, 'starttls-hang': {'starttls': hang}, 'starttls-lies': {'starttls': lies},
    'starttls-inject': {'starttls': then('220 2.0.0 go\n250-odd.test\n250 AUTH PLAIN', hang)}, 'tls-hang': {'starttls': then('220 2.0.0 go', hang)},
    'tls-garbage': {'starttls': then(b'220 2.0.0 go\r\n', lambda s, a: (s.more(), s.say(b'\x15\x03\x03 no TLS here at all'), s.close()))},
    'tls-close': {'starttls': then('220 2.0.0 go', lambda s, a: (s.more(), s.close()))},
    # closes
    'close-connect': {'connect': CLOSE}, 'close-greet': {'greet': then('220 odd.test', CLOSE)}, 'close-ehlo': {'ehlo': CLOSE},
    'close-starttls': {'starttls': CLOSE},
    'close-mail': {'mail': CLOSE}, 'close-rcpt': {'rcpt': CLOSE}, 'close-data': {'data': CLOSE}, 'close-body': {'body': CLOSE},
    'close-dot': {'dot': CLOSE, 'bdat': CLOSE},
    'close-half': {'dot': then(b'250 2.0.0 tak', CLOSE)}, 'close-quit': {'quit': CLOSE}, 'mail-550-close': {'mail': '550 5.7.1 go away!'},
    # refusals
    'mail-421': {'mail': '421 4.7.0 busy'}, 'mail-450': {'mail': '450 4.7.1 later'}, 'mail-550': {'mail': '550 5.7.1 no'},
    'rcpt-421': {'rcpt': '421 4.7.0 busy'}, 'rcpt-450': {'rcpt': '450 4.2.0 Greylisted, please try again later'},
    'rcpt-550': {'rcpt': '550 5.1.1 User unknown'},
    'rcpt-550-greylisted': {'rcpt': '550 5.7.1 Greylisted, please try again in 300 seconds'},
    'rcpt-450-unknown': {'rcpt': '450 4.1.1 User unknown in local recipient table'},
    'rcpt-452': {'rcpt': at_most(1)}, 'rcpt-452-5': {'rcpt': at_most(5)}, 'rcpt-552': {'rcpt': at_most(1, '552 too many recipients')},
    'data-451': {'data': '451 4.3.0 later'}, 'data-554': {'data': '554 5.7.1 no'}, 'dot-451': {'dot': '451 4.3.0 later'},
    'dot-554': {'dot': '554 5.7.1 Message contains spam or virus'},
    # the end of the message
    'lost-dot': {'dot': taken_and_lost, 'bdat': taken_and_lost}, 'dot-garbage': {'dot': taken_and('what?')},
    'dot-endless': {'dot': then(None, flood(ENDLESS, 10 ** 12))},
    'dot-hang': {'dot': taken_and(b'')}, 'dot-354': {'dot': taken_and('354 go on')},
    # disorder
    'backwards': {'mail': backwards}, 'extra': {'mail': '250 2.1.0 ok\n250 2.1.0 ok\n250 2.1.0 ok'}, 'rcpt-354': {'rcpt': '354 go'},
    'data-250': {'data': '250 ok'},
    'escapes': {'rcpt': b'550 5.1.1 \x1b]0;title\x07\x1b[31mred\x00\xff no such user\r\n'}, 'rcpt-endless': {'rcpt': flood(ENDLESS, 10 ** 12)},
    'code-999': {'rcpt': '999 5.1.1 no'}, 'bare-code': {'rcpt': '550'}, 'refuses-early': {'body': '552 5.3.4 too big!'},
    # slow
    'slow': slowly(0.3), 'tarpit': slowly(5), 'mail-hang': {'mail': hang}, 'rcpt-hang': {'rcpt': hang}, 'data-hang': {'data': hang},
    'reads-slowly': {'body': reads_slowly(1)},
}


class OddServer:
    def __init__(self, behaviour='well', address='127.0.0.1', port=0, tls=None, offer=OFFER, logins=(), times=None):
        self.address, self.tls, self.offer, self.logins = address, tls, tuple(offer), tuple(logins)
        self.messages, self.seen, self.sessions = [], [], []  # seen: came whole, taken or not
        self.stopping, self.lock = threading.Event(), threading.Lock()
        self.behave(behaviour, times)
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((address, port))
        self.listener.listen(128)
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def behave(self, behaviour, times=None):
        whole = {}
        for part in behaviour.split('+') if isinstance(behaviour, str) else [behaviour]:
            whole.update(NAMED[part] if isinstance(part, str) else part)
        with self.lock:
            self.behaviour, self.times = whole, dict(times or {})

    def what(self, stage, peek=False):
        """of the behaviour for that stage; None: the plain answer"""
        with self.lock:
            if stage not in self.behaviour:
                return None
            if stage in self.times and not peek:
                if self.times[stage] == 0:
                    return None
                self.times[stage] -= 1
            return self.behaviour[stage]

    def accept(self):
        while not self.stopping.is_set():
            try:
                sock, peer = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(self, sock, peer)
            self.sessions.append(session)
            session.start()

    def open(self):
        """connections that are there now"""
        return sum(1 for s in self.sessions if not s.ended)

    def most_at_once(self):
        """how many connections were open together, at most"""
        events = sorted([(s.began, 1) for s in self.sessions] + [(s.ended, -1) for s in self.sessions if s.ended])
        now = most = 0
        for _, step in events:
            now += step
            most = max(most, now)
        return most

    def commands(self):
        """all that was said, connection by connection"""
        return [line for s in self.sessions for line in s.lines]

    def wait(self, condition, seconds=30):
        end = time.time() + seconds
        while not condition():
            assert time.time() < end, 'it did not come: %d connections, %d messages, said %r' % (len(self.sessions), len(self.messages), self.commands()[-20:])
            time.sleep(0.02)

    def stop(self):
        self.stopping.set()
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for s in self.sessions:
            try:
                s.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.thread.join(5)
        for s in self.sessions:
            s.join(5)


def certificates(folder, host='odd.test'):
    """{good, expired, wrong-name, self-signed}: (chain, key) each, and `trust`, the authority's own certificate"""
    import peers
    authority = peers.Authority(folder)
    return {'good': authority.certificate('good', [host]), 'expired': authority.certificate('expired', [host], '20200101000000Z', '20210101000000Z'),
            'wrong-name': authority.certificate('wrong', ['other-%d.test' % random.randrange(1000)]),
            'self-signed': authority.certificate('self', [host], self_signed=True), 'trust': authority.trust}
