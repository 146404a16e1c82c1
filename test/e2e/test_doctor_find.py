"""mailroom doctor finds the servers of an address: SRV, autoconfig, MX and usual names, asked of a real name server; and name servers that are none."""
import http.server
import json
import os
import pathlib
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

import mailroom
import peers
import test_doctor

PASSWORD = 'secret-Pw 1'


@pytest.fixture(scope='module', autouse=True)
def there():
    peers.have('nsd')


@pytest.fixture(scope='module')
def cert(tmp_path_factory):
    """for the hosts of these tests, whose names all lie below .example"""
    folder = tmp_path_factory.mktemp('find')
    chain, key = str(folder / 'a.crt'), str(folder / 'a.key')
    names = ['mail.clinic.example', 'smtp.clinic.example', 'second.clinic.example', 'mx.hoster.example', 'autoconfig.clinic.example', 'clinic.example']
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', chain, '-days', '30', '-subj', '/CN=mail',
                    '-addext', 'subjectAltName=' + ','.join('DNS:' + n for n in names)], check=True, capture_output=True)
    return chain, key


def look(zones, *args, resolver=None, cert=None, password=None, address='alice@clinic.example'):
    """what the doctor says when that is what the DNS has"""
    words = [mailroom.program(), 'doctor', address, '--json', '--wait', '3', *map(str, args)] + (['--password-stdin'] if password else [])

    def run(at):
        p = subprocess.run([*words, '--resolver', at], input=(password or '') + '\n', capture_output=True, text=True, timeout=200,
                           env=dict(os.environ, SSL_CERT_FILE=cert[0] if cert else '/dev/null'))
        assert p.returncode in (0, 1), p.stderr
        return json.loads(p.stdout)

    if resolver:
        return run(resolver)
    with peers.Nsd(zones) as dns:
        return run('%s@%d' % (dns.address, dns.port))


def signing(cert):
    """a server that lets one in, by STARTTLS"""
    return test_doctor.encrypted(cert, AUTH='235 welcome')


def names(slug, said):
    assert said['slug'] == slug, json.dumps(said, indent=1)
    assert said['evidence'] and said['next'] and said['meaning']
    return said


# ---- SRV

def test_srv(cert):
    with signing(cert) as fake:
        said = look({'clinic.example': '_submission._tcp IN SRV 0 0 %d mail\nmail IN A 127.0.0.1\n' % fake.port}, cert=cert, password=PASSWORD)
    assert said['ok'], json.dumps(said, indent=1)
    assert said['found'] == [{'source': 'srv', 'protocol': 'smtp', 'server': 'mail.clinic.example', 'port': fake.port, 'security': 'starttls', 'unforged': False}]
    assert said['settings'] == [{'protocol': 'smtp', 'server': 'mail.clinic.example', 'port': fake.port, 'security': 'starttls', 'login': 'alice@clinic.example'}]
    assert said['ports'][0]['signed_in']
    lines = {p['program']: p.get('sending', '') for p in said['programs']}
    assert 'Server Name mail.clinic.example, Port %d, Connection security STARTTLS' % fake.port in lines['thunderbird']
    for program in ('outlook-classic', 'apple-mail-macos', 'apple-mail-ios', 'android-gmail-app', 'gmail-web', 'mutt', 'msmtp'):
        assert 'mail.clinic.example' in lines[program] and str(fake.port) in lines[program], program
    assert 'alice%40clinic.example@mail.clinic.example' in lines['mutt'] and 'Send-only' in lines['yahoo-web']


def test_srv_of_less_priority_comes_later(cert):
    with signing(cert) as a, signing(cert) as b:
        said = look({'clinic.example': '_submission._tcp IN SRV 20 0 %d mail\n_submission._tcp IN SRV 10 0 %d second\nmail IN A 127.0.0.1\nsecond IN A 127.0.0.1\n' % (a.port, b.port)},
                    cert=cert, password=PASSWORD)
    assert [(p['server'], p['port']) for p in said['ports'][:2]] == [('second.clinic.example', b.port), ('mail.clinic.example', a.port)]


def test_srv_that_leads_elsewhere_gets_no_password(cert):
    """whoever forges an answer of the DNS would get it otherwise"""
    zones = {'hoster.example': 'mx IN A 127.0.0.1\n'}
    with signing(cert) as fake:
        zones['clinic.example'] = '_submission._tcp IN SRV 0 0 %d mx.hoster.example.\n' % fake.port
        said = look(zones, cert=cert, password=PASSWORD)
        assert said['ok'] and not said['ports'][0]['signed_in'] and not any('AUTH' in line for line in fake.heard)
        assert any('--server mx.hoster.example' in note for note in said['notes'])
        said = look(zones, '--server', 'mx.hoster.example', '--port', fake.port, cert=cert, password=PASSWORD)
        assert said['ok'] and said['ports'][0]['signed_in']


def test_srv_leads_to_a_server_that_is_down():
    said = names('server-down', look({'clinic.example': '_submission._tcp IN SRV 0 0 587 mail\nmail IN A 127.93.%d.7\n' % (os.getpid() % 250)}))
    assert 'refused' in said['evidence']


def test_a_wrong_server_where_the_domain_names_the_right_one(cert):
    with signing(cert) as fake:
        said = look({'clinic.example': '_submission._tcp IN SRV 0 0 %d mail\nmail IN A 127.0.0.1\nold IN A 127.93.%d.9\n' % (fake.port, os.getpid() % 250)}, '--server',
                    'old.clinic.example', cert=cert, password=PASSWORD)
    names('wrong-host', said)
    assert 'old.clinic.example' in said['evidence'] and 'mail.clinic.example' in said['evidence']


# ---- autoconfig

def xml(host, port):
    return ('<?xml version="1.0"?><clientConfig version="1.1"><emailProvider id="clinic.example"><outgoingServer type="smtp"><hostname>%s</hostname><port>%d</port>'
            '<socketType>STARTTLS</socketType><username>%%EMAILADDRESS%%</username></outgoingServer></emailProvider></clientConfig>' % (host, port))


class Web:
    """a web server on port 80 (443 with a certificate) of an address of loopback"""

    def __init__(self, pages, address, cert=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                status, kind, text = pages.get((self.headers['Host'], self.path)) or pages.get('*') or (404, 'text/plain', 'no')
                self.send_response(status)
                self.send_header('Location' if status // 100 == 3 else 'Content-Type', text if status // 100 == 3 else kind)
                self.end_headers()
                if status // 100 != 3:
                    self.wfile.write(text.encode())

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer((address, 443 if cert else 80), Handler)
        self.server.daemon_threads = True
        if cert:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*cert)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()


PAGE = ('autoconfig.clinic.example', '/mail/config-v1.1.xml')


def test_autoconfig(cert):
    address = peers.free_address()
    with signing(cert) as fake, Web({PAGE: (200, 'text/xml', xml('mail.clinic.example', fake.port))}, address):
        said = look({'clinic.example': 'autoconfig IN A %s\nmail IN A 127.0.0.1\n' % address}, cert=cert, password=PASSWORD)
    assert said['ok'] and said['found'][0]['source'] == 'autoconfig' and not said['found'][0]['unforged'], json.dumps(said, indent=1)
    assert said['settings'][0]['port'] == fake.port and said['clock_ahead_s'] is not None and abs(said['clock_ahead_s']) < 60


def test_autoconfig_below_the_domain_itself(cert):
    address = peers.free_address()
    with signing(cert) as fake, Web({('clinic.example', '/.well-known/autoconfig/mail/config-v1.1.xml'): (200, 'text/xml', xml('mail.clinic.example', fake.port))}, address):
        said = look({'clinic.example': '@ IN A %s\nmail IN A 127.0.0.1\n' % address}, cert=cert)
    assert said['found'][0]['server'] == 'mail.clinic.example', json.dumps(said, indent=1)


def test_encrypted_autoconfig_may_lead_elsewhere(cert):
    address = peers.free_address()
    with signing(cert) as fake, Web({PAGE: (200, 'text/xml', xml('mx.hoster.example', fake.port))}, address, cert):
        said = look({'clinic.example': 'autoconfig IN A %s\n' % address, 'hoster.example': 'mx IN A 127.0.0.1\n'}, cert=cert, password=PASSWORD)
    assert said['found'][0]['unforged'] and said['ports'][0]['signed_in'], json.dumps(said, indent=1)


def test_autoconfig_through_a_redirect_in_the_clear_is_not_trusted(cert):
    first, second = peers.free_address(), peers.free_address()
    with signing(cert) as fake, Web({PAGE: (302, '', 'https://autoconfig2.clinic.example/x')}, first), \
            Web({'*': (200, 'text/xml', xml('mx.hoster.example', fake.port))}, second, test_doctor.certificate(pathlib.Path(cert[0]).parent, 'two', 'autoconfig2.clinic.example')) as web:
        both = pathlib.Path(cert[0]).parent / 'both.crt'
        both.write_text(''.join(pathlib.Path(c).read_text() for c in (cert[0], str(both.parent / 'two.crt'))))
        said = look({'clinic.example': 'autoconfig IN A %s\nautoconfig2 IN A %s\n' % (first, second), 'hoster.example': 'mx IN A 127.0.0.1\n'}, cert=(str(both),), password=PASSWORD)
        assert web.server and said['found'][0]['server'] == 'mx.hoster.example' and not said['found'][0]['unforged'], json.dumps(said, indent=1)
        assert not any('AUTH' in line for line in fake.heard)


@pytest.mark.parametrize('page', [(200, 'text/html', '<html><body>Welcome'), (200, 'text/xml', '<!DOCTYPE x [<!ENTITY a "b">]><clientConfig>&a;</clientConfig>'),
                                  (302, '', 'http://autoconfig.clinic.example/again'), (302, '', 'file:///etc/passwd'), (200, 'text/xml', '<clientConfig>' * 5000),
                                  (200, 'text/xml', 'x' * 500000)], ids=['html', 'doctype', 'loop', 'file', 'deep', 'long'])
def test_autoconfig_that_is_none(page):
    address = peers.free_address()
    with Web({'*': page}, address):
        said = look({'clinic.example': 'autoconfig IN A %s\n' % address}, '--limit', 60)
    assert said['found'] == [] and said['slug'] in ('server-name-no-address', 'server-name-unknown'), json.dumps(said, indent=1)


def test_a_sign_in_page_instead_of_autoconfig():
    """the network answers every request with its own page: together with HTTP on a mail port it is what keeps mail back"""
    address = peers.free_address()
    with Web({PAGE: (302, '', 'http://login.hotel.example/'), '*': (200, 'text/html', '<html>Welcome to our hotel')}, address):
        said = look({'clinic.example': 'autoconfig IN A %s\nmail IN A %s\n' % (address, address), 'hotel.example': 'login IN A %s\n' % address})
    names('captive-portal', said)
    assert 'login.hotel.example' in said['evidence']


# ---- MX and usual names

def test_the_mx_tells_the_provider():
    said = look({'clinic.example': '@ IN MX 1 aspmx.l.google.com.\n', 'google.com': '@ IN A 127.0.0.1\n', 'gmail.com': 'smtp IN A 127.93.1.1\nimap IN A 127.93.1.1\npop IN A 127.93.1.1\n'})
    assert [(f['source'], f['protocol'], f['server'], f['port']) for f in said['found']] == [
        ('provider', 'smtp', 'smtp.gmail.com', 465), ('provider', 'imap', 'imap.gmail.com', 993), ('provider', 'pop3', 'pop.gmail.com', 995)]


def test_usual_names():
    """two names of one server are one server; a name that is not there does not stop the search"""
    other = '127.93.%d.2' % (os.getpid() % 250)
    said = look({'clinic.example': '@ IN MX 5 in\nin IN A %s\nsmtp IN A %s\nimap IN A %s\n' % (other, other, other)})
    assert [h['server'] for h in said['hosts'] if h['lookup'] == 'found'] == ['in.clinic.example'], said['hosts']
    assert {p['server'] for p in said['ports']} == {'in.clinic.example'}


@pytest.mark.parametrize('address', ['alice@b\u00fccher.example', 'alice@xn--bcher-kva.example'])
def test_letters_beyond_ascii_are_looked_up_by_their_a_labels(cert, address):
    with signing(cert) as fake:
        said = look({'xn--bcher-kva.example': '_submission._tcp IN SRV 0 0 %d mail\nmail IN A 127.0.0.1\n' % fake.port}, address=address)
    assert [(f['source'], f['server']) for f in said['found']] == [('srv', 'mail.xn--bcher-kva.example')]


# ---- names that lead nowhere, name servers that are none

def test_no_such_domain():
    said = names('server-name-unknown', look({'other.example': ''}, address='alice@clinic.other.example'))
    assert 'clinic.other.example' in said['evidence'] and not said['ports']


def test_a_name_without_an_address():
    names('server-name-no-address', look({'clinic.example': 'mail IN TXT "nothing here"\n'}, '--server', 'mail.clinic.example'))


class Resolver:
    """answers every question in the one way that it is told to"""

    def __init__(self, answer):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(('127.0.0.1', 0))
        self.answer = answer
        self.at = '127.0.0.1@%d' % self.sock.getsockname()[1]

    def run(self):
        try:
            while True:
                question, whom = self.sock.recvfrom(4096)
                answer = self.answer(question)
                if answer:
                    self.sock.sendto(answer, whom)
        except OSError:
            pass

    def __enter__(self):
        threading.Thread(target=self.run, daemon=True).start()
        return self

    def __exit__(self, *exc):
        self.sock.close()


def servfail(question):
    return question[:2] + b'\x81\x82' + question[4:6] + b'\0\0\0\0\0\0' + question[12:]


def truncated_rubbish(question):
    return question[:2] + b'\x81\x80' + question[4:6] + struct.pack('!HHH', 9, 0, 0) + question[12:] + b'\xc0\xff' * 20


def for_ever(question):
    """an alias of itself"""
    return question[:2] + b'\x85\x80' + b'\0\1\0\1\0\0\0\0' + question[12:-11 if question[-11:-8] == b'\0\0\x29' else None] + b'\xc0\x0c\0\x05\0\1\0\0\0\x3c\0\2\xc0\x0c'


@pytest.mark.parametrize('answer,slugs', [(lambda q: None, ['dns-resolver-down']), (servfail, ['dns-failure']), (truncated_rubbish, ['dns-failure']),
                                          (for_ever, ['dns-failure', 'server-name-unknown', 'server-name-no-address']), (lambda q: q[:5], ['dns-resolver-down'])],
                         ids=['silent', 'servfail', 'rubbish', 'alias', 'cut'])
def test_a_name_server_that_is_none(answer, slugs):
    began = time.monotonic()
    with Resolver(answer) as resolver:
        said = look({}, '--server', 'mail.clinic.example', resolver=resolver.at)
    assert said['slug'] in slugs and not said['ports'] and time.monotonic() - began < 60, said


@pytest.mark.parametrize('text', ['nonsense', '127.0.0.1@0', '127.0.0.1@99999', '127.0.0.1@', ''])
def test_a_resolver_that_is_no_address(text):
    p = subprocess.run([mailroom.program(), 'doctor', 'a@example.org', '--resolver', text], capture_output=True, text=True)
    assert p.returncode == 2 and '--resolver' in p.stderr
