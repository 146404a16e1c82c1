"""The clients of the crash tests: quick, over bare sockets, and stubborn: whoever saw no 250 sends the same message again."""
import base64
import random
import re
import socket
import threading
import time

TIMEOUT_S = 15


class Refused(Exception):
    def __init__(self, code, words):
        super().__init__(code, words)
        self.code, self.words = code, words


class Wire:
    def __init__(self, port, timeout=TIMEOUT_S):
        self.sock = socket.create_connection(('127.0.0.1', port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile('rb')

    def line(self):
        line = self.file.readline()
        if not line.endswith(b'\n'):
            raise ConnectionError('closed')
        return line.rstrip(b'\r\n').decode(errors='replace')

    def send(self, data):
        self.sock.sendall(data)

    def close(self):
        self.file.close()
        self.sock.close()


class Smtp(Wire):
    """one SMTP connection, ready for MAIL"""

    def __init__(self, port, login=None, timeout=TIMEOUT_S):
        super().__init__(port, timeout)
        try:
            self.want(220)
            self.ask('EHLO client.crash.test', 250)
            if login:
                self.ask('AUTH PLAIN ' + base64.b64encode(b'\0%s\0%s' % (login[0].encode(), login[1].encode())).decode(), 235)
        except BaseException:
            self.close()
            raise

    def reply(self):
        while True:
            line = self.line()
            if line[3:4] != '-':
                return int(line[:3]), line[4:]

    def want(self, code):
        got, words = self.reply()
        if got != code:
            raise Refused(got, words)

    def ask(self, command, code):
        self.send(command.encode() + b'\r\n')
        self.want(code)

    def message(self, sender, rcpts, text):
        """returns after the 250, else Refused or OSError; text: dot-stuffed, with CR LF at its end"""
        commands = ['MAIL FROM:<%s>' % sender] + ['RCPT TO:<%s>' % r for r in rcpts] + ['DATA']
        self.send(('\r\n'.join(commands) + '\r\n').encode())
        for n in range(len(commands) - 1):
            self.want(250)
        self.want(354)
        self.send(text + b'.\r\n')
        self.want(250)


class Pop3(Wire):
    def __init__(self, port, address, password, timeout=TIMEOUT_S):
        super().__init__(port, timeout)
        try:
            self.want()
            self.ask('USER ' + address)
            self.ask('PASS ' + password)
        except BaseException:
            self.close()
            raise

    def want(self):
        line = self.line()
        if not line.startswith('+OK'):
            raise Refused(500 if '[AUTH]' in line else 400, line)
        return line

    def ask(self, command):
        self.send(command.encode() + b'\r\n')
        return self.want()

    def lines(self, command):
        self.ask(command)
        out = []
        while (line := self.line()) != '.':
            out.append(line)
        return out

    def message_id(self, number):
        for line in self.lines('TOP %d 0' % number):
            if line.lower().startswith('message-id:'):
                return line.split(':', 1)[1].strip()
        return None


def make_text(mid, size, extra=''):
    line = b'x' * 70 + b'\r\n'
    return ('Message-ID: %s\r\nSubject: crash\r\n%s\r\n' % (mid, extra)).encode() + line * (size // len(line)) + b'end\r\n'


class Post:
    """hands in messages and keeps on until each has its 250"""

    def __init__(self, rig, ledger, rng, name, login=None, other_bytes=0.0):
        self.rig, self.ledger, self.rng, self.name, self.login = rig, ledger, rng, name, login
        self.other_bytes = other_bytes
        self.head = 'From: <%s>\r\n' % login[0] if login else ''
        self.count = 0
        self.conn = None
        self.port = 'submission' if login else 'mx'

    def next_id(self):
        self.count += 1
        return '<%s.%d@crash.test>' % (self.name, self.count)

    def hang_up(self):
        if self.conn:
            self.conn.close()
        self.conn = None

    def one_try(self, rcpts, text):
        try:
            if not self.conn:
                self.conn = Smtp(self.rig.port[self.port], self.login)
            self.conn.message(self.login[0] if self.login else 'sender@crash.test', rcpts, text)
            return True
        except Refused as e:
            self.ledger.refuse(e.code, e.words)
        except (OSError, ValueError):
            pass
        self.hang_up()
        return False

    def send(self, rcpts, size, give_up=None):
        """True: it got its 250; give_up: a function that says when to stop trying"""
        mid = self.next_id()
        text = make_text(mid, size, self.head)
        self.ledger.send(mid, rcpts)
        changed = False
        while not self.one_try(rcpts, text):
            if give_up and give_up():
                return False
            if not changed and self.rng.random() < self.other_bytes:
                changed, text = True, make_text(mid, size, self.head + 'X-Again: %d\r\n' % self.rng.randrange(1 << 30))
            self.rig.mind()
            self.ledger.repeat(mid, changed)
            time.sleep(0.01)
        self.ledger.ack(mid)
        return True


class Sender(threading.Thread):
    """load: messages of all sizes to some recipients, a short rest after each"""

    def __init__(self, rig, ledger, seed, name, login=None, rest_s=0.02, accounts=('alice', 'bob', 'dave'), other_bytes=0.1, large=1):
        """accounts: names here, or whole addresses; large: how many of a hundred messages are so large that the store keeps a file for them"""
        super().__init__(daemon=True)
        self.rng = random.Random(seed)
        self.accounts = [a if '@' in a else a + '@mailroom.test' for a in accounts]
        self.post = Post(rig, ledger, self.rng, name, login, other_bytes)
        self.rest_s, self.large = rest_s, large
        self.halt = threading.Event()
        self.latest = time.monotonic()       # when it got its last 250
        self.longest = 0.0

    def run(self):
        while not self.halt.is_set():
            size = self.rng.choices([200, 3000, 30000, 120000, 1300000], [40, 40, 14, 5, self.large])[0]
            rcpts = self.rng.sample(self.accounts, self.rng.choice([1, 1, 1, 2, 3]))
            began = time.monotonic()
            self.post.send(rcpts, size, self.halt.is_set)
            self.latest = time.monotonic()
            self.longest = max(self.longest, self.latest - began)
            if self.rng.random() < 0.1:
                self.post.hang_up()
            self.halt.wait(self.rng.uniform(0, 2 * self.rest_s))
        self.post.hang_up()


def read_mail(rig, ledger, address, most=50, keep=0, tries=1, give_up=None):
    """One POP3 session that deletes what it reads, but for `keep` messages; True: all of it went well. With tries it is repeated until it does."""
    for attempt in range(tries):
        copies, asked = [], False
        try:
            conn = Pop3(rig.port['pop3'], address, rig.password[address])
            try:
                total = int(conn.ask('STAT').split()[1])
                for n in range(1, min(total - keep, most) + 1):
                    mid = conn.message_id(n)
                    if mid:
                        copies.append((mid, address))
                    conn.ask('DELE %d' % n)
                ledger.ask_delete(copies)
                asked = True
                conn.ask('QUIT')
                ledger.deleted(copies)
                return True
            finally:
                conn.close()
        except Refused as e:
            ledger.refuse(e.code, e.words)
            if asked:
                pass  # "some messages were not deleted" does not say which
        except (OSError, ValueError):
            pass
        if give_up and give_up():
            break
        rig.mind()
        time.sleep(0.02)
    return False


class Reader(threading.Thread):
    """load: one account's mail program, again and again"""

    def __init__(self, rig, ledger, address, rest_s=0.1):
        super().__init__(daemon=True)
        self.rig, self.ledger, self.address, self.rest_s = rig, ledger, address, rest_s
        self.halt = threading.Event()
        self.sessions = 0

    def run(self):
        while not self.halt.is_set():
            self.sessions += read_mail(self.rig, self.ledger, self.address)
            self.halt.wait(self.rest_s)
