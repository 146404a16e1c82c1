"""A bit of everything that roles do, for syscalls.py: all protocols and mechanisms, small and large mail, mail read and deleted, accounts changed, floods, reloads,
roles that die, a log that is moved into the database, a client that does not read, and the end."""
import http.server
import os
import re
import signal
import smtplib
import socket
import sqlite3
import ssl
import struct
import threading
import time

import memory
import plant
from plant import mailroom

import odd_mail
import peers
import sink
from liar import A, MX, Liar, wire_name

TXT, AAAA = 16, 28


def sign_ins(system):
    for n, (protocol, how, tls, version) in enumerate(memory.QUICK):
        name = system.account('person%d' % n)
        for password, ok in (('wrong', False), (system.password[name], True)):
            c = memory.Client(system, protocol, tls, version)
            c.sign_in(how, name, password, ok=ok)
            c.close()


def read_mail(system, name, delete=False):
    c = memory.Client(system, 'pop3', 'tls')
    c.sign_in('pass', name, system.password[name])
    count = int(c.ask('STAT').split()[1])
    for n in range(1, count + 1):
        c.send('RETR %d\r\n' % n)
        while c.line() != '.':
            pass
        if delete:
            c.ask('DELE %d' % n)
    c.ask('QUIT')
    c.sock.close()


def mail(system):
    for size in (0, 5000, 70000, 300000, 1400000, 4000000):
        plant.deliver(system, 'sender@plant.test', 'alice@mailroom.test', plant.message('load', 'load', size))
    plant.deliver(system, 'sender@plant.test', 'bob@mailroom.test', plant.message('load', 'load', 2000000))
    with smtplib.SMTP('127.0.0.1', system.port['mx'], timeout=60) as s:
        s.starttls(context=plant.NO_CHECK)
        s.sendmail('sender@plant.test', ['alice+%d@mailroom.test' % n for n in range(200)], plant.message('load', 'load'))
    c = memory.Client(system, 'smtp', 'tls')
    c.sign_in('plain', 'alice@mailroom.test', system.password['alice@mailroom.test'])
    c.ask('MAIL FROM:<alice@mailroom.test>')
    c.ask('RCPT TO:<bob@mailroom.test>')
    c.ask('DATA')
    c.send(plant.message('load', 'load', 3000000) + '.\r\n')
    c.reply()
    for to in ('bob@mailroom.test', 'nobody@mailroom.test', 'somebody@elsewhere.test'):
        c.ask('MAIL FROM:<alice@mailroom.test>')
        c.ask('RCPT TO:<%s>' % to)
        if c.ask('DATA').startswith('354'):
            c.ask('Subject: x\r\n\r\nx\r\n.')
        c.ask('RSET')
    c.close()


def filters(system):
    """archives of all kinds that bob's filter looks into, from a stranger and from alice, small ones and one in a spool file"""
    system.run('filter', 'add', 'bob@mailroom.test', '--inside', '*.none', '--attachment-type', '*/none', '--body', 'none', '--any', '--refuse', 'none of it')
    big = odd_mail.named('big.zip', odd_mail.archive(('a.bin', os.urandom(3000000))))
    for parts in ((big,), tuple(odd_mail.INSIDE.values())):
        plant.deliver(system, 'sender@plant.test', 'bob@mailroom.test', odd_mail.mail(*parts))
        with smtplib.SMTP_SSL('127.0.0.1', system.port['submissions'], context=plant.NO_CHECK, timeout=60) as s:
            s.login('alice@mailroom.test', system.password['alice@mailroom.test'])
            s.sendmail('alice@mailroom.test', ['bob@mailroom.test'], odd_mail.mail(*parts, frm='alice@mailroom.test'))


def broken_off(system):
    """clients that leave inside a large message, inside a handshake, or that do not read what they asked for"""
    w = mailroom.Wire(system.port['mx'])
    for line in ('EHLO x', 'MAIL FROM:<a@b.test>', 'RCPT TO:<alice@mailroom.test>', 'DATA'):
        w.ask(line)
    w.send(('x' * 70 + '\r\n') * 5000)
    w.close()
    with socket.create_connection(('127.0.0.1', system.port['pop3s'])) as s:
        s.sendall(b'\x16\x03\x01')
    c = memory.Client(system, 'pop3', 'starttls')
    c.sign_in('pass', 'alice@mailroom.test', system.password['alice@mailroom.test'])
    c.sock.sendall(b''.join(b'RETR 6\r\n' for _ in range(8)))
    time.sleep(1)
    c.sock.close()
    many = [socket.create_connection(('127.0.0.1', system.port['mx'])) for _ in range(60)]
    for s in many:
        s.recv(100)
        s.close()


def much_mail(system):
    """past the size at which the write-ahead log is moved into the database"""
    for _ in range(30):
        plant.deliver(system, 'sender@plant.test', 'bob@mailroom.test', plant.message('load', 'load', 900000))


def locked(system):
    """the command line has the database for a moment"""
    db = sqlite3.connect(os.path.join(system.home, 'store', 'mail.db'), isolation_level=None)
    c = memory.Client(system, 'smtp', 'tls')
    c.sign_in('plain', 'alice@mailroom.test', system.password['alice@mailroom.test'])
    for line in ('MAIL FROM:<alice@mailroom.test>', 'RCPT TO:<bob@mailroom.test>', 'DATA'):
        c.ask(line)
    db.execute('BEGIN IMMEDIATE')
    c.send('Subject: locked\r\n\r\nx\r\n.\r\n')
    time.sleep(0.2)
    db.execute('ROLLBACK')
    db.close()
    if not c.reply().startswith('250'):
        raise RuntimeError('refused while the database was locked')
    c.close()


def administer(system):
    system.run('account', 'disable', 'person0@mailroom.test')
    system.run('alias', 'add', 'all@mailroom.test', 'alice@mailroom.test', 'bob@mailroom.test', check=False)
    system.run('queue', 'list')
    system.run('account', 'quota', 'person1@mailroom.test', '1MB', check=False)
    system.run('account', 'remove', 'person2@mailroom.test', check=False)
    time.sleep(1.5)


def die(system):
    """each role once; the others go on with its successor"""
    for role in ('store', 'auth', 'keys', 'mx', 'user'):
        mark = system.log_size()
        os.kill(system.pid_of(role)[0], signal.SIGKILL)
        system.wait_log('event=role-ready .*started=%s' % role, since=mark, timeout=60)
        time.sleep(0.3)
        plant.deliver(system, 'sender@plant.test', 'alice@mailroom.test', plant.message('load', 'load'))
        read_mail(system, 'bob@mailroom.test')


def reload(system):
    mark = system.log_size()
    system.process.send_signal(signal.SIGHUP)
    system.wait_log('event=role-ready', since=mark, count=4, timeout=60)
    plant.deliver(system, 'sender@plant.test', 'alice@mailroom.test', plant.message('load', 'load'))


def relay(system):
    """who sends without signing in: auth is shown the connection"""
    path = os.path.join(system.home, 'mailroom.conf')
    with open(path) as f:
        text = f.read()
    with open(path, 'w') as f:
        f.write(text.replace('listener "submission" {', 'listener "submission" {\n\trelay-networks = "near"\n\trelay-window = yes\n') +
                'network "near" { addresses = "127.0.0.0/8" }\n')
    reload(system)
    end = time.monotonic() + 60
    while time.monotonic() < end:  # the workers of before take connections until the new ones do
        with smtplib.SMTP('127.0.0.1', system.port['submission'], timeout=60) as s:
            s.starttls(context=plant.NO_CHECK)
            s.ehlo('near.test')
            if s.mail('printer@plant.test')[0] == 250:
                assert s.rcpt('somebody@elsewhere.test')[0] == 250
                assert s.data(plant.message('load', 'load'))[0] == 250
                return
        time.sleep(0.2)
    raise RuntimeError('the network was not taken')


def names(system):
    """recipients elsewhere, whose domains are looked up at a name server that answers shortly, at length, wrongly or never, over IPv4 and IPv6"""
    liar = Liar()
    path = os.path.join(system.home, 'mailroom.conf')
    with open(path) as f:
        text = f.read()
    with open(path, 'w') as f:
        f.write(text.replace('check-recipients = no', 'check-recipients = yes') + 'dns {\n\tresolvers = "%s"\n\tdnssec = no\n\ttimeout = 2s\n}\n' % ' '.join('%s@%d' % (a, liar.port) for a in ('127.0.0.1', '::1')))
    reload(system)
    system.wait_log('event=role-ready .*started=dns')
    for how in ['good%d' % n for n in range(20)] + ['many', 'truncated', 'truncated-for-ever', 'never', 'garbage', 'servfail', 'case']:
        c = memory.Client(system, 'smtp', 'tls')
        c.sign_in('plain', 'alice@mailroom.test', system.password['alice@mailroom.test'])
        c.ask('MAIL FROM:<alice@mailroom.test>')
        c.ask('RCPT TO:<somebody@%s.liar.test>' % how)
        c.close()
    if not any(over == 'tcp' for _, _, over in liar.asked):
        raise RuntimeError('no name was looked up over TCP')
    os.kill(system.pid_of('dns')[0], signal.SIGKILL)
    system.wait_log('event=role-died .*ended=dns')
    time.sleep(1)
    liar.close()


class Web(http.server.BaseHTTPRequestHandler):
    """the policy of every domain (RFC 8461)"""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(('version: STSv1\nmode: enforce\nmx: mx.%s\nmax_age: 86400\n' % self.headers['Host'].split(':')[0].removeprefix('mta-sts.')).encode())

    def log_message(self, *args):
        pass


def elsewhere(folder, domains, address):
    """a sink with TLS for `domains`, the web server with the policy of the first (the others' is where nobody answers), and the name server that knows of both; what is to be closed, and the configuration"""
    authority = peers.Authority(folder)
    contexts = []
    for kind in ('mx', 'mta-sts'):
        contexts.append(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        contexts[-1].load_cert_chain(*authority.certificate(kind, ['%s.%s' % (kind, d) for d in domains]))
    web = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Web)
    web.socket = contexts[1].wrap_socket(web.socket, server_side=True)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    records = {}
    six = bytes(15) + b'\1'  # nobody is there
    for d in domains:
        text = b'v=STSv1; id=1;'
        records[d] = {MX: [struct.pack('>H', 10) + wire_name('mx.' + d)]}
        records['mx.' + d] = {A: [bytes(map(int, address.split('.')))], AAAA: [six]}
        records['_mta-sts.' + d] = {TXT: [bytes([len(text)]) + text]}
        records['mta-sts.' + d] = {A: [bytes([127, 0, 0, 1])]} if d == domains[0] else {AAAA: [six]}
    liar = Liar(records)
    there = sink.Sink(address, context=contexts[0])
    conf = 'delivery {\n\tport = %d\n\tmta-sts-port = %d\n\tca-file = "%s"\n\tdane = no\n\tipv4-source = "127.0.0.1"\n\tidle = 1s\n\tretry-first = 1s\n\tretry-most = 1s\n}\n' % (
        there.port, web.server_address[1], authority.trust)
    return there, web, liar, conf


def leave(system):
    """mail leaves: names, a policy by HTTPS, STARTTLS, small and large; a server that hangs up; relay and fetch die"""
    domains = ['one.liar.test', 'two.liar.test']
    there, web, liar, conf = elsewhere(os.path.join(system.home, 'elsewhere'), domains, '127.77.0.1')
    path = os.path.join(system.home, 'mailroom.conf')
    with open(path) as f:
        text = f.read()
    with open(path, 'w') as f:
        f.write(re.sub(r'resolvers = ".*"', 'resolvers = "127.0.0.1@%d"' % liar.port, text) + conf)
    reload(system)
    for size in (0, 70000, 3000000):
        for d in domains:
            send_out(system, d, size)
    arrive(there, 6)
    time.sleep(1.5)  # idle connections end
    for role in ('relay', 'fetch'):
        mark = system.log_size()
        os.kill(system.pid_of(role)[0], signal.SIGKILL)
        system.wait_log('event=role-ready .*started=%s' % role, since=mark, timeout=60)
    send_out(system, domains[0], 1000)
    arrive(there, 7)
    there.close()
    send_out(system, domains[1], 1000)
    time.sleep(1.5)
    web.shutdown()
    liar.close()


def send_out(system, domain, size):
    with smtplib.SMTP_SSL('127.0.0.1', system.port['submissions'], context=plant.NO_CHECK, timeout=60) as s:
        s.login('alice@mailroom.test', system.password['alice@mailroom.test'])
        s.sendmail('alice@mailroom.test', ['somebody@' + domain], plant.message('load', 'alice', size, 'mailroom.test'))


def arrive(there, count):
    end = time.monotonic() + 60
    while len(there.mail) < count:
        if time.monotonic() > end:
            raise RuntimeError('%d of %d messages arrived elsewhere' % (len(there.mail), count))
        time.sleep(0.1)


def everything():
    with memory.open_system() as system:
        system.account('bob')
        for step in (sign_ins, mail, filters, broken_off, much_mail, locked, administer, reload, relay, die, names, leave):
            t = time.monotonic()
            step(system)
            print('   %s: %.0f s' % (step.__name__, time.monotonic() - t), flush=True)
        for name in ('alice@mailroom.test', 'bob@mailroom.test'):
            read_mail(system, name, delete=True)
        time.sleep(1)
        if system.stop() != 0:
            raise RuntimeError('the server did not end well:\n' + system.log()[-2000:])
        system.start()
        read_mail(system, 'alice@mailroom.test')
