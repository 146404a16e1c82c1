"""A small SMTP server for the tests of delivery: takes mail on a loopback address, remembers it, and says what the test wants it to say."""
import base64
import socket
import ssl
import threading
import time


class Session:
    def __init__(self, sink, sock, number):
        self.sink, self.sock, self.number = sink, sock, number
        self.left = b''
        self.helo = self.sender = None
        self.rcpts, self.messages, self.tls, self.login = [], 0, False, None

    def line(self):
        while b'\n' not in self.left:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError
            self.left += more
        line, self.left = self.left.split(b'\n', 1)
        return line.rstrip(b'\r').decode('utf-8', 'surrogateescape')

    def say(self, text):
        self.sock.sendall(text.encode('utf-8', 'surrogateescape') + b'\r\n')

    def data(self):
        """up to the lone dot, dots undone"""
        while not (self.left.startswith(b'.\r\n') or b'\r\n.\r\n' in self.left):
            more = self.sock.recv(1 << 20)
            if not more:
                raise EOFError
            self.left += more
        if self.left.startswith(b'.\r\n'):
            text, self.left = b'', self.left[3:]
        else:
            text, self.left = self.left.split(b'\r\n.\r\n', 1)
            text += b'\r\n'
        return b'\r\n'.join(line[1:] if line.startswith(b'.') else line for line in text.split(b'\r\n'))

    def exactly(self, n):
        while len(self.left) < n:
            more = self.sock.recv(1 << 20)
            if not more:
                raise EOFError
            self.left += more
        out, self.left = self.left[:n], self.left[n:]
        return out


class Sink:
    """with Sink() as s: ...; s.port, s.mail: [(session number, sender, [recipients], text)], s.sessions.

    answer(stage, text, session): called for connect, ehlo, starttls, auth, mail, rcpt, data, end, quit; returns a reply to be said instead of the usual one,
    'close' to hang up, or None. delay: seconds before each reply to the end of a message. offer: extensions. login: {name: password} that AUTH PLAIN and
    LOGIN take; context: for STARTTLS, or TLS from the first byte with implicit."""

    def __init__(self, address='127.0.0.1', port=0, answer=None, offer=('PIPELINING', '8BITMIME', 'ENHANCEDSTATUSCODES', 'SIZE 10000000', 'DSN', 'SMTPUTF8'), login=None,
                 context=None, implicit=False, delay=0):
        self.answer, self.offer, self.login, self.context, self.implicit, self.delay = answer, list(offer), login, context, implicit, delay
        self.mail, self.sessions, self.said = [], [], []
        self.connections = self.open = self.most_open = 0
        self.lock = threading.Lock()
        family = socket.AF_INET6 if ':' in address else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((address, port))
        self.socket.listen(512)
        self.address, self.port = address, self.socket.getsockname()[1]
        self.stopped = False
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.stopped = True
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
        for s in list(self.sessions):
            try:
                s.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def accept(self):
        while not self.stopped:
            try:
                sock, peer = self.socket.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections += 1
                session = Session(self, sock, self.connections)
                session.peer = peer[0]
                self.sessions.append(session)
            threading.Thread(target=self.serve, args=(session,), daemon=True).start()

    def serve(self, s):
        with self.lock:
            self.open += 1
            self.most_open = max(self.most_open, self.open)
        try:
            self.talk(s)
        except (EOFError, OSError, ValueError):
            pass
        finally:
            with self.lock:
                self.open -= 1
            try:
                s.sock.close()
            except OSError:
                pass

    def reply(self, s, stage, text, usual):
        """says what the test or the usual says; the code, 0: hung up"""
        own = self.answer(stage, text, s) if self.answer else None
        with self.lock:
            self.said.append((s.number, stage, text))
        if own == 'close':
            raise EOFError
        say = own if own is not None else usual
        if say:
            s.say(say)
        return int(say[:3]) if say[:3].isdigit() else 0

    def hello(self, s):
        lines = ['sink.test'] + self.offer
        if self.context and not s.tls:
            lines.append('STARTTLS')
        if self.login and (s.tls or not self.context):
            lines.append('AUTH PLAIN LOGIN')
        return '\r\n'.join('250%s%s' % ('-' if i < len(lines) - 1 else ' ', x) for i, x in enumerate(lines))

    def wrap(self, s):
        s.sock = self.context.wrap_socket(s.sock, server_side=True)
        s.tls, s.left = True, b''

    def sign_in(self, s, text):
        words = text.split()
        if words[1].upper() == 'PLAIN':
            if len(words) == 2:
                s.say('334 ')
                words.append(s.line())
            _, name, password = base64.b64decode(words[2]).decode().split('\0')
        else:
            s.say('334 VXNlcm5hbWU6')
            name = base64.b64decode(s.line()).decode()
            s.say('334 UGFzc3dvcmQ6')
            password = base64.b64decode(s.line()).decode()
        good = self.login.get(name) == password
        if self.reply(s, 'auth', name, '235 2.7.0 welcome' if good else '535 5.7.8 Authentication credentials invalid') == 235:
            s.login = name

    def take(self, s, text):
        if self.delay:
            time.sleep(self.delay)
        if self.reply(s, 'end', text, '250 2.0.0 kept') == 250:
            with self.lock:
                s.messages += 1
                self.mail.append((s.number, s.sender, list(s.rcpts), text))
        s.sender, s.rcpts = None, []

    def talk(self, s):
        if self.implicit:
            self.wrap(s)
        if self.reply(s, 'connect', '', '220 sink.test ESMTP') != 220:
            return
        chunks = b''
        while True:
            text = s.line()
            verb = text.split(' ')[0].upper()
            if verb in ('EHLO', 'HELO'):
                s.helo = text.split(' ', 1)[1]
                self.reply(s, 'ehlo', text, self.hello(s) if verb == 'EHLO' else '250 sink.test')
            elif verb == 'STARTTLS':
                if self.reply(s, 'starttls', text, '220 2.0.0 go ahead') == 220:
                    self.wrap(s)
            elif verb == 'AUTH':
                self.sign_in(s, text)
            elif verb == 'MAIL':
                if self.login and not s.login:
                    s.say('530 5.7.0 Authentication required')
                elif self.reply(s, 'mail', text, '250 2.1.0 fine') == 250:
                    s.sender, s.rcpts, chunks = text[text.index('<') + 1:text.index('>')], [], b''
            elif verb == 'RCPT':
                if s.sender is None:
                    s.say('503 5.5.1 MAIL first')
                elif self.reply(s, 'rcpt', text, '250 2.1.5 fine') == 250:
                    s.rcpts.append(text[text.index('<') + 1:text.index('>')])
            elif verb == 'DATA':
                if not s.rcpts:
                    s.say('554 5.5.1 no valid recipients')
                elif self.reply(s, 'data', text, '354 go on') == 354:
                    self.take(s, s.data())
            elif verb == 'BDAT':
                chunks += s.exactly(int(text.split()[1]))
                if text.upper().endswith('LAST'):
                    self.take(s, chunks)
                else:
                    s.say('250 2.0.0 more')
            elif verb == 'RSET':
                s.sender, s.rcpts = None, []
                s.say('250 2.0.0 reset')
            elif verb == 'NOOP':
                s.say('250 2.0.0 still here')
            elif verb == 'QUIT':
                self.reply(s, 'quit', text, '221 2.0.0 bye')
                return
            else:
                s.say('500 5.5.1 unknown')

    def wait(self, n, timeout=30):
        """waits for n messages; what came"""
        end = time.monotonic() + timeout
        while len(self.mail) < n and time.monotonic() < end:
            time.sleep(0.02)
        assert len(self.mail) >= n, '%d messages of %d; sessions said %r' % (len(self.mail), n, self.said[-20:])
        return list(self.mail)

    def rcpts(self):
        return sorted(r for m in self.mail for r in m[2])
