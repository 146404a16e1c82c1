"""mailroom doctor in networks that are broken: each in a network namespace of its own, with servers on the usual ports."""
import json
import os
import subprocess
import time

import pytest

import mailroom

HOST = '127.0.0.1'
DEVICE = ['ip link add out type veth peer name far', 'ip addr add 10.1.1.1/24 dev out', 'ip link set out up', 'ip link set far up']
EHLO = '250-mail.example.org\n250-SIZE 1000000\n250 AUTH PLAIN LOGIN'
USUAL = [465, 587, 25, 2525, 26, 50, 995, 993, 110, 143]


@pytest.fixture(scope='module')
def cert(tmp_path_factory):
    folder = tmp_path_factory.mktemp('net')
    chain, key = str(folder / 'a.crt'), str(folder / 'a.key')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', chain, '-days', '30', '-subj', '/CN=mail',
                    '-addext', 'subjectAltName=IP:' + HOST], check=True, capture_output=True)
    return chain, key


def look(*args, servers=(), setup=(), password=None, trust=None, server=HOST, env=None):
    """what the doctor says in that network"""
    words = [mailroom.program(), 'doctor', 'alice@example.org', '--json', '--wait', '3', *map(str, args)] + (['--server', server] if server else [])
    words += ['--password-stdin'] if password else []
    scene = {'servers': list(servers), 'setup': list(setup), 'command': words, 'input': (password or '') + '\n', 'env': {'SSL_CERT_FILE': trust or '/dev/null', **(env or {})}}
    p = subprocess.run(['unshare', '-rn', '/usr/bin/python3', os.path.join(os.path.dirname(__file__), 'doctor_scene.py')], input=json.dumps(scene), capture_output=True,
                       text=True, timeout=240)
    assert p.returncode == 0, p.stderr
    p = json.loads(p.stdout)
    assert p['status'] in (0, 1), p['err']
    return json.loads(p['out'])


def names(slug, *args, **more):
    said = look(*args, **more)
    assert said['slug'] == slug, json.dumps(said, indent=1)
    assert not said['ok'] and said['evidence'] and said['next'] and said['meaning']
    return said


def at(port, greeting='220 mail.example.org ESMTP', **more):
    return {'address': HOST, 'port': port, 'greeting': greeting, 'replies': {'EHLO': EHLO}, **more}


def full(port):
    return {'address': HOST, 'port': port, 'act': 'full'}


# ---- the network

def test_no_network_at_all():
    said = names('network-down', server='192.0.2.7')
    assert not said['network'] and {p['network'] for p in said['ports']} == {'unreachable'}


def test_no_network_and_only_a_name():
    said = names('network-down', '--resolver', '192.0.2.53', server='mail.example.org')
    assert not said['ports'] and said['hosts'][0]['lookup'] == 'no-answer'


def test_no_way_to_that_server():
    said = names('remote-unreachable', setup=[*DEVICE, 'ip route add default via 10.1.1.2', 'ip route add unreachable 10.9.0.0/16'], server='10.9.0.1')
    assert said['network']


def test_a_firewall_swallows_everything():
    began = time.monotonic()
    said = names('firewall-drop', setup=[*DEVICE, 'ip neigh add 10.1.1.2 lladdr 02:00:00:00:00:02 dev out', 'ip route add default via 10.1.1.2'], server='10.1.1.2',
                 env={'https_proxy': 'http://user:hidden@proxy.example:3128'})
    assert {p['network'] for p in said['ports']} == {'timed-out'} and time.monotonic() - began < 100
    assert any('proxy.example' in note for note in said['notes']) and 'hidden' not in json.dumps(said)


def test_a_name_server_behind_the_firewall():
    said = names('dns-resolver-down', '--resolver', '10.1.1.2', setup=[*DEVICE, 'ip neigh add 10.1.1.2 lladdr 02:00:00:00:00:02 dev out', 'ip route add default via 10.1.1.2'],
                 server='mail.example.org')
    assert any('10.1.1.2' in note for note in said['notes'])


def test_only_ports_for_sending_are_swallowed(cert):
    said = names('firewall-drop', servers=[full(465), full(587), full(25), at(993, '* OK IMAP4rev1 ready', tls=cert, replies={'A': '* CAPABILITY IMAP4rev1\na OK done'})], trust=cert[0])
    assert '465 timed-out' in said['evidence'] and '993 open' in said['evidence']


def test_port_25_is_swallowed():
    names('port25-outbound-blocked', servers=[full(25)])


def test_port_25_is_swallowed_and_587_works(cert):
    said = look('--port', 25, '--port', 587, servers=[full(25), at(587, starttls=cert, replies={'EHLO': '250-mail.example.org\n250-STARTTLS\n250 AUTH PLAIN'})], trust=cert[0])
    assert said['slug'] is None and [s['port'] for s in said['settings']] == [587], said
    assert any('port 25 gets no answer' in note for note in said['notes'])


# ---- somebody else answers

def test_a_sign_in_page_answers_everywhere():
    said = names('captive-portal', servers=[{'address': HOST, 'port': p, 'act': 'http'} for p in USUAL], password='secret-Pw 1')
    assert 'HTTP/1.1 302' in said['evidence']


def test_a_web_server_on_one_port_is_a_wrong_port():
    names('foreign-protocol', '--port', 8080, servers=[{'address': HOST, 'port': 8080, 'act': 'http'}])


def test_the_same_greeting_on_every_port():
    said = names('middlebox-in-between', servers=[at(p, '220 proxy.hotel.example ESMTP') for p in (25, 587, 110, 143)], password='secret-Pw 1')
    assert 'proxy.hotel.example' in said['evidence']


def test_a_masked_greeting():
    names('middlebox-in-between', servers=[at(25, '220 **********************0*2***'), at(587, '220 **********************0*2***')], password='secret-Pw 1')


def test_a_masked_offer_of_encryption():
    said = names('middlebox-in-between', servers=[at(587, replies={'EHLO': '250-mail.example.org\n250-XXXXXXXA\n250 AUTH PLAIN'})], password='secret-Pw 1')
    assert said['ports'][0]['port'] == 465 and 'STARTTLS' in said['evidence']


# ---- wrong settings

def test_a_wrong_port_where_the_right_one_answers(cert):
    said = names('wrong-port', '--port', 588, servers=[at(587, starttls=cert, replies={'EHLO': '250-mail.example.org\n250-STARTTLS\n250 AUTH PLAIN'})], trust=cert[0])
    assert 'port 588' in said['evidence'] and 'port 587' in said['evidence']
    assert [p['port'] for p in said['ports']] == [588, 587, 465] and said['settings'] == []  # what was only looked at is no setting that was tried


def test_a_wrong_port_with_another_service(cert):
    names('wrong-port', '--port', 22, servers=[at(22, 'SSH-2.0-OpenSSH_9.2'), at(587, starttls=cert, replies={'EHLO': '250-mail.example.org\n250-STARTTLS\n250 AUTH PLAIN'})],
          trust=cert[0])


# ---- clocks

def dated(folder, begins, ends):
    """(chain, key) of a certificate of that time"""
    chain, key, request, conf = (str(folder / name) for name in ('d.crt', 'd.key', 'd.csr', 'ca.conf'))
    (folder / 'index.txt').write_text('')
    (folder / 'ca.conf').write_text('[ca]\ndefault_ca = a\n[a]\ndatabase = %s\nnew_certs_dir = %s\nrand_serial = yes\ndefault_md = sha256\npolicy = p\n'
                                    'copy_extensions = copy\n[p]\ncommonName = supplied\n' % (folder / 'index.txt', folder))
    subprocess.run(['openssl', 'req', '-new', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', request, '-subj', '/CN=mail', '-addext',
                    'subjectAltName=IP:' + HOST], check=True, capture_output=True)
    subprocess.run(['openssl', 'ca', '-batch', '-selfsign', '-notext', '-config', conf, '-keyfile', key, '-in', request, '-out', chain, '-startdate', begins, '-enddate', ends],
                   check=True, capture_output=True)
    return chain, key


@pytest.mark.parametrize('begins,ends,date,slug', [
    ('20450101000000Z', '20460101000000Z', '', 'clock-wrong'),  # not valid yet, and nothing else to hold the clock against
    ('20450101000000Z', '20460101000000Z', 'Tue, 6 Jun 2045 10:00:00 +0000', 'clock-wrong'),
    ('20200101000000Z', '20210101000000Z', 'Sat, 6 Jun 2020 10:00:00 +0000', 'clock-wrong'),
    ('20200101000000Z', '20210101000000Z', '', 'tls-cert-untrusted'),
    ('20200101000000Z', '20210101000000Z', 'now', 'tls-cert-untrusted'),
    ('20450101000000Z', '20460101000000Z', 'now', 'tls-cert-untrusted'),
])
def test_certificates_and_clocks(tmp_path, begins, ends, date, slug):
    old = dated(tmp_path, begins, ends)
    date = time.strftime('%a, %d %b %Y %H:%M:%S +0000', time.gmtime()) if date == 'now' else date
    said = names(slug, '--port', 587, servers=[at(587, '220 mail.example.org ESMTP ' + date, starttls=old, replies={'EHLO': '250-mail.example.org\n250-STARTTLS\n250 AUTH PLAIN'})],
                 trust=old[0], password='secret-Pw 1')
    assert not said['ports'][0]['signed_in'] and (said['clock_ahead_s'] is None) == (not date)


# ---- time

def test_the_whole_run_is_bounded():
    """servers that take the connection and say nothing, on every port, for every name"""
    began = time.monotonic()
    said = look('--limit', 8, servers=[{'address': HOST, 'port': p, 'act': 'full'} for p in USUAL])
    assert time.monotonic() - began < 30 and said['slug'] == 'firewall-drop'
    assert any('time' in note for note in said['notes']) and 'not-tried' in {p['network'] for p in said['ports']}
