#!/usr/bin/python3
"""Runs dialogue scripts (see README.md) against a server that is up. Certificates are not verified."""

import argparse
import pathlib
import re
import socket
import ssl
import sys

LISTENERS = ['mx', 'submission', 'submissions', 'pop3', 'pop3s']
IMPLICIT = {'submissions', 'pop3s'}
STEP = re.compile(r'(S\*|S\.\.\.|S|C\+|C!|C|TLS|T|CLOSE|listener): ?(.*)')


class Failed(Exception):
    pass


class Session:
    def __init__(self, listener, where, timeout):
        self.pop3 = listener.startswith('pop3')
        host, port = where.rsplit(':', 1)
        self.sock = socket.create_connection((host.strip('[]'), int(port)), timeout)
        self.data, self.sending = b'', b''
        if listener in IMPLICIT:
            self.tls('')

    def peek(self):
        while b'\r\n' not in self.data:
            try:
                more = self.sock.recv(65536)
            except (socket.timeout, ConnectionError, ssl.SSLError) as e:
                raise Failed(f'no reply: {e}') from e
            if not more:
                raise Failed('the server closed the connection')
            self.data += more
        return self.data[:self.data.index(b'\r\n')].decode('utf-8', 'replace')

    def take(self):
        self.data = self.data[self.data.index(b'\r\n') + 2:]

    def expect(self, pattern):
        line = self.peek()
        if not re.fullmatch(pattern, line):
            raise Failed(f'wanted: {pattern}\n    got: {line}')
        self.take()

    def expect_any(self, pattern):
        while re.fullmatch(pattern, self.peek()):
            self.take()

    def expect_last(self, pattern):
        while True:
            line = self.peek()
            if (line == '.' or line.startswith('-ERR')) if self.pop3 else (len(line) < 4 or line[3] == ' '):
                return self.expect(pattern)
            self.take()

    def flush(self):
        try:
            self.sock.sendall(self.sending)
        except ConnectionError:
            pass  # the server may have closed with a last word, which the next S: reads
        self.sending = b''

    def send(self, text):
        self.sending += text.encode() + b'\r\n'
        self.flush()

    def send_later(self, text):
        self.sending += text.encode() + b'\r\n'

    def send_raw(self, text):
        def unescape(m):
            return bytes([int(m[1][1:], 16)]) if m[1][:1] == b'x' else {b'r': b'\r', b'n': b'\n', b'\\': b'\\'}[m[1]]
        self.sending += re.sub(rb'\\(x[0-9a-fA-F]{2}|[rn\\])', unescape, text.encode())
        self.flush()

    def tls(self, _):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock)

    def closed(self, _):
        try:
            more = self.data or self.sock.recv(65536)
        except ConnectionError:
            more = b''
        except socket.timeout as e:
            raise Failed('the server did not close') from e
        if more:
            raise Failed(f'a line too many before the end: {more!r}')


STEPS = {'S': Session.expect, 'S*': Session.expect_any, 'S...': Session.expect_last, 'C': Session.send, 'C+': Session.send_later,
         'C!': Session.send_raw, 'TLS': Session.tls, 'CLOSE': Session.closed}


def run(path, places, timeout):
    """True: passed; None: not for a live server, or no address was given for its listener."""
    lines = path.read_text(encoding='utf-8').split('\n')
    if any(line.startswith('T:') or line == '# engine-only: yes' for line in lines):  # a clock or a mailbox that only the engine's tool has
        return None
    session = None
    try:
        for number, line in enumerate(lines, 1):
            if not line or line.startswith('#'):
                continue
            step = STEP.fullmatch(line)
            if not step:
                raise Failed(f'not a step: {line}')
            if step[1] == 'listener':
                if not places.get(step[2]):
                    return None
                session = Session(step[2], places[step[2]], timeout)
            else:
                STEPS[step[1]](session, step[2])
    except (Failed, OSError) as e:
        print(f'FAIL {path}:{number}: {e}')
        return False
    finally:
        if session:
            session.sock.close()
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in LISTENERS:
        parser.add_argument('--' + name, metavar='HOST:PORT')
    parser.add_argument('--timeout', type=float, default=10)
    parser.add_argument('files', nargs='+', type=pathlib.Path)
    args = parser.parse_args()
    files = [f for path in args.files for f in (sorted(path.glob('*.flow')) if path.is_dir() else [path])]
    results = [run(path, vars(args), args.timeout) for path in files]
    left_out = results.count(None)
    print(f'{results.count(True)} passed, {results.count(False)} failed' + (f', {left_out} left out' if left_out else ''))
    sys.exit(1 if False in results or True not in results else 0)


main()
