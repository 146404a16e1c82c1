"""PROXY protocol version 2: clients behind a balancer (127.0.0.2 here) count as themselves, and nobody else can claim to be somebody."""
import base64
import re
import socket
import ssl
import struct
import time

import pytest

import mailroom
from mailroom import Wire

SIGNATURE = b'\r\n\r\n\0\r\nQUIT\n'
BALANCER = '127.0.0.2'
LOCAL, PROXY = 0x20, 0x21


def header(client, command=PROXY, family=None, tlvs=b'', length=None):
    v6 = ':' in client
    packed = b''.join(socket.inet_pton(socket.AF_INET6 if v6 else socket.AF_INET, a) for a in (client, '2001:db8::25' if v6 else '10.0.0.25'))
    body = packed + struct.pack('>HH', 40000, 25) + tlvs
    return SIGNATURE + bytes([command, family or (0x21 if v6 else 0x11)]) + struct.pack('>H', len(body) if length is None else length) + body


class Behind(Wire):
    """a conversation from `source`, with `first` in front of everything"""

    def __init__(self, port, first=b'', source=BALANCER, tls=False, greet=True, pause=0):
        self.sock = socket.create_connection(('127.0.0.1', port), timeout=20, source_address=(source, 0))
        self.left = b''
        if pause:
            for i in range(len(first)):
                self.sock.sendall(first[i:i + 1])
                time.sleep(pause)
        else:
            self.sock.sendall(first)
        if tls:
            self.wrap()
        if greet:
            self.greeting = self.reply()

    def wrap(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock)


@pytest.fixture(scope='module')
def m():
    with mailroom.System(listener='\tproxy-from = "%s 192.0.2.200"\n\tconnections-per-address = 3\n' % BALANCER, conf='workers {\n\tmx = 1\n\tuser = 1\n}\n') as system:
        yield system


def ended(m, since, field):
    """the last lines of the sessions that ended since then"""
    pattern = 'event=session-end [^\n]*' + re.escape(field)
    return re.findall(pattern + '[^\n]*', m.wait_log(pattern, since=since))


@pytest.mark.parametrize('client,pause', [('192.0.2.7', 0), ('2001:db8::7', 0), ('192.0.2.7', 0.01)])
def test_mail_comes_from_the_client(m, client, pause):
    mark = m.log_size()
    with Behind(m.port['mx'], header(client), pause=pause) as w:
        assert w.greeting.startswith('220 ')
        w.ask('EHLO client.example')
        assert w.ask('MAIL FROM:<a@sender.example>').startswith('250')
        assert w.ask('RCPT TO:<alice@mailroom.test>').startswith('250')
        assert w.ask('DATA').startswith('354')
        assert w.ask('Subject: by proxy\r\n\r\nx\r\n.').startswith('250')
        w.ask('QUIT')
    assert ended(m, mark, 'peer=%s ' % client)
    with Behind(m.port['pop3s'], header(client), tls=True, greet=False) as w:
        assert w.line().startswith('+OK')
        for command in ('USER alice@mailroom.test', 'PASS alice-Pw 1', 'STAT'):
            w.send(command + '\r\n')
            said = w.line()
            assert said.startswith('+OK'), said
        w.send('RETR %s\r\n' % said.split()[1])
        text = ''
        while not text.endswith('\n.\n'):
            text += w.line() + '\n'
    assert re.search(r'Received: from client\.example \(\[(IPv6:)?%s\]\)' % re.escape(client), text), text


def test_extensions_are_skipped(m):
    tlvs = b'\x02\0\x0bexample.org' + b'\x04\0\x03abc' + b'\x05\0\x08connect1'
    with Behind(m.port['mx'], header('192.0.2.8', tlvs=tlvs)) as w:
        assert w.ask('EHLO client.example').startswith('250')


def test_before_tls_and_with_sign_in(m):
    mark = m.log_size()
    with Behind(m.port['submissions'], header('192.0.2.9'), tls=True) as w:
        w.ask('EHLO client.example')
        plain = base64.b64encode(b'\0alice@mailroom.test\0alice-Pw 1').decode()
        assert w.ask('AUTH PLAIN ' + plain).startswith('235')
        w.ask('QUIT')
    assert any('account=alice@mailroom.test' in line for line in ended(m, mark, 'peer=192.0.2.9 '))


def test_everything_in_one_packet_is_still_too_early(m):
    """the header does not excuse talking before the greeting"""
    with Behind(m.port['mx'], header('192.0.2.10') + b'EHLO early.example\r\n') as w:
        assert w.greeting.startswith('554') and 'seq-pipelined-early' in w.greeting
        assert w.rest() == ''


def test_local_is_the_balancer_itself(m):
    mark = m.log_size()
    for first in (header('192.0.2.7', command=LOCAL), SIGNATURE + b'\x20\x00\0\0'):
        with Behind(m.port['mx'], first) as w:
            assert w.greeting.startswith('220 ')
            w.ask('QUIT')
    assert len(ended(m, mark, 'peer=%s ' % BALANCER)) >= 1


@pytest.mark.parametrize('first,why', [
    (b'EHLO client.example\r\n', 'no header'),
    (b'PROXY TCP4 192.0.2.7 10.0.0.25 40000 25\r\n', 'no header'),  # version 1
    (SIGNATURE[:-1] + b'X\x21\x11\0\x0c', 'no header'),
    (SIGNATURE + b'\x11\x11\0\x0c', 'version'),
    (SIGNATURE + b'\x2f\x11\0\x0c', 'neither LOCAL nor PROXY'),
    (header('192.0.2.7', family=0x12), 'transport'),
    (header('192.0.2.7', length=11)[:27], 'shorter than its addresses'),
    (header('192.0.2.7', length=0xffff), 'too long'),
    (header('192.0.2.7', tlvs=b'\x04\xff\xffx'), 'extension'),
    (SIGNATURE + b'\x21\x31\0\xd8' + b'/run/client'.ljust(108, b'\0') + b'/run/mail'.ljust(108, b'\0'), 'names no IP address'),
    (SIGNATURE + b'\x21\x00\0\0', 'names no IP address'),
])
@pytest.mark.parametrize('port,tls', [('mx', False), ('pop3', False)])
def test_bad_header_ends_the_connection(m, first, why, port, tls):
    mark = m.log_size()
    with Behind(m.port[port], first, greet=False) as w:
        assert w.rest() == ''  # not a word: whoever is there does not speak this protocol yet
    log = m.wait_log('event=proxy-refused', since=mark)
    assert re.search(r'event=proxy-refused listener=%s proxy=%s why="?[^"\n]*%s' % (port, re.escape(BALANCER), why), log), log


def test_header_cut_short(m):
    mark = m.log_size()
    with Behind(m.port['submissions'], header('192.0.2.7')[:20], greet=False):
        pass
    assert 'closed by peer' in m.wait_log('event=proxy-refused', since=mark)


def test_slow_header_is_not_waited_for(m):
    mark = m.log_size()
    with Behind(m.port['mx'], header('192.0.2.7')[:-1], greet=False) as w:
        assert w.rest() == ''
    assert 'took too long' in m.wait_log('event=proxy-refused', since=mark)


def test_nobody_else_is_believed(m):
    """the same bytes from elsewhere are garbage to the protocol, and the client stays who it is"""
    mark = m.log_size()
    with Behind(m.port['mx'], source='127.0.0.1') as w:
        w.send(header('192.0.2.7') + b'\r\n')
        reply = w.reply()
        assert reply.startswith('50'), reply
    assert ended(m, mark, 'peer=127.0.0.1 ')
    with Behind(m.port['submissions'], header('192.0.2.7'), source='127.0.0.1', greet=False) as w:
        with pytest.raises((ssl.SSLError, OSError)):
            w.wrap()
    with Behind(m.port['pop3'], source='127.0.0.1', greet=False) as w:
        assert w.line().startswith('+OK')
        w.send(header('192.0.2.7') + b'\r\n')
        assert w.line().startswith('-ERR')
    assert 'peer=192.0.2.7' not in m.log(mark)


def test_connections_are_counted_by_client(m):
    many = [Behind(m.port['mx'], header('192.0.2.%d' % (20 + i))) for i in range(8)]
    assert all(w.greeting.startswith('220 ') for w in many)
    same = [Behind(m.port['mx'], header('192.0.2.50')) for _ in range(3)]
    with Behind(m.port['mx'], header('192.0.2.50')) as w:
        assert w.greeting.startswith('421') and 'too-many-connections-address' in w.greeting
    for w in many + same:
        w.close()


def test_header_not_yet_whole_does_not_hold_up_the_end():
    with mailroom.System(listener='\tproxy-from = "%s"\n' % BALANCER) as m:
        with Behind(m.port['mx'], header('192.0.2.7')[:5], greet=False) as w:
            with Behind(m.port['mx'], header('192.0.2.7')):
                pass
            assert m.stop() == 0
            assert w.rest() == ''
