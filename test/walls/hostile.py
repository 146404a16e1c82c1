#!/usr/bin/python3
"""A worker that has been taken over, against the real store, auth and keys, while an honest worker goes on serving.

usage: hostile.py --mailroom PROGRAM --hostile PROGRAM [--seeds N] [--first SEED]

Fills a system with secrets (mailboxes, password hashes, the private key), lets `hostile` (hostile.c) play one taken worker a seed, and is the honest clients
meanwhile: deliveries and POP3 sessions that must all succeed. Prints "N passed, N failed": one for every seed, one for the honest clients, one for what is in
the mailboxes afterwards, one for what is in the queue, one for the selftest (with a grant the scan does find the secret)."""
import argparse
import os
import poplib
import re
import smtplib
import sqlite3
import subprocess
import sys
import threading
import time

import plant
from plant import mailroom


OUT = 'out.plant.test'  # where the mail goes that waits when the attack begins
DESTINATIONS, POLICIES, POLICY_BYTES = 100, 10000, 16 << 20


class Honest(threading.Thread):
    """one client after the other, through the workers that were not taken"""

    def __init__(self, system, secret, words):
        """secret: what alice reads; words: what bob is sent, which nobody else is to see"""
        super().__init__(daemon=True)
        self.system, self.secret, self.words = system, secret, words
        self.halt = threading.Event()
        self.sent, self.read, self.failed = [], 0, []
        self.slowest = 0.0

    def send(self, n):
        mid = '<honest.%d@plant.test>' % n
        with smtplib.SMTP('127.0.0.1', self.system.port['mx'], timeout=60) as s:
            s.starttls(context=plant.NO_CHECK) if n % 4 == 0 else None
            s.sendmail('honest@plant.test', ['bob@mailroom.test'], 'Message-ID: %s\r\nSubject: honest\r\n\r\n%s\r\n%s\r\n' % (mid, self.words, 'x' * (n * 997 % 90000)))
        self.sent.append(mid)

    def fetch(self, n):
        p = poplib.POP3_SSL('127.0.0.1', self.system.port['pop3s'], timeout=60, context=plant.NO_CHECK)
        p.user('alice@mailroom.test')
        p.pass_(self.system.password['alice@mailroom.test'])
        text = b'\n'.join(p.retr(1)[1])
        p.quit()
        if self.secret not in text:
            raise RuntimeError('alice read something else')
        self.read += 1

    def run(self):
        n = 0
        while not self.halt.is_set():
            for what in (self.send, self.fetch):
                n += 1
                t = time.monotonic()
                try:
                    what(n)
                except (smtplib.SMTPException, poplib.error_proto, OSError, EOFError, RuntimeError) as e:
                    if not self.halt.is_set():
                        self.failed.append('%s after %.1f s: %r' % (what.__name__, time.monotonic() - t, e))
                self.slowest = max(self.slowest, time.monotonic() - t)
            self.halt.wait(0.05)


class Victim:
    """signed in all the while: its session and its lock are there to be stolen"""

    def __init__(self, system):
        self.pop = poplib.POP3_SSL('127.0.0.1', system.port['pop3s'], timeout=60, context=plant.NO_CHECK)
        self.pop.user('victim@mailroom.test')
        self.pop.pass_(system.password['victim@mailroom.test'])

    def close(self, secret):
        """true: its mail is as it was"""
        texts = [b'\n'.join(self.pop.retr(n)[1]) for n in range(1, self.pop.stat()[0] + 1)]
        self.pop.quit()
        return len(texts) == 3 and all(secret in t for t in texts)


def lend_password(system):
    """a smarthost with a password; which one may ask for is in hostile_relay.c"""
    path = os.path.join(system.home, 'keys', 'smarthost-password')
    with open(path, 'w') as f:
        f.write(plant.token('SMARTHOST') + '\n')
    os.chmod(path, 0o600)
    with open(os.path.join(system.home, 'mailroom.conf'), 'a') as f:
        f.write('smarthost "plant" {\n\thost = "smarthost.plant.test"\n\tlogin = "mailroom@smarthost.plant.test"\n\tpassword-file = "%s"\n}\n' % path)


def dkim_key(system):
    folder = os.path.join(system.home, 'keys', 'dkim', 'mailroom.test')
    return os.path.join(folder, sorted(x for x in os.listdir(folder) if x.endswith('.key'))[0])


def bounded(system):
    """what floods of a relay may leave in the database, and nothing of the mail that the honest relay had"""
    db = sqlite3.connect('file:%s?mode=ro' % os.path.join(system.home, 'store', 'mail.db'), uri=True)
    count = lambda sql, *args: db.execute('SELECT COUNT(*) FROM ' + sql, args).fetchone()[0]  # noqa: E731
    down, policies, left = count('destination'), count('sts'), count('queue WHERE dest LIKE ?', '%.' + OUT)
    waits = count('queue')
    policy_bytes = db.execute('SELECT COALESCE(SUM(length(policy)), 0) FROM sts').fetchone()[0]
    db.close()
    print('afterwards: %d destinations, %d policies of %d bytes, %d messages that the honest relay delivered are in the queue' % (down, policies, policy_bytes, left))
    return down <= waits + DESTINATIONS and policies <= POLICIES and policy_bytes <= POLICY_BYTES and left == 0


def planted_system():
    system = mailroom.System(accounts=('alice', 'bob', 'mallory'), start=False, conf='workers {\n\trelay = 0\n}\n')
    system.account('victim', password=plant.token('VICTIMPASSWORD'))
    secret = {name: plant.token('MAILBOXOF' + name.upper()) for name in ('victim', 'alice', 'bob')}
    system.run('domain', 'dkim', 'add', 'mailroom.test', '--now', '--selector', 'one')
    lend_password(system)
    secret['queue'] = plant.token('MAILINTHEQUEUE')
    system.start()
    for name, size in (('victim', 0), ('victim', 40000), ('victim', 1500000), ('alice', 0)):
        plant.deliver(system, 'sender@plant.test', name + '@mailroom.test', plant.message(secret[name], name, size))
    plant.deliver(system, 'sender@plant.test', 'mallory@mailroom.test', plant.message('nothing of importance', 'mallory'))
    for n in range(6):
        with smtplib.SMTP_SSL('127.0.0.1', system.port['submissions'], context=plant.NO_CHECK, timeout=60) as s:
            s.login('alice@mailroom.test', system.password['alice@mailroom.test'])
            s.sendmail('alice@mailroom.test', ['%d@%d.%s' % (n, n % 3, OUT)], plant.message(secret['queue'], 'alice', n * 30000, 'mailroom.test'))
    system.stop()
    needles = {'mailbox:' + name: s.encode() for name, s in secret.items()}
    with open(dkim_key(system)) as f:
        needles['dkim:pem'] = f.read().split('\n')[1][:40].encode()
    needles['password:victim'] = system.password['victim@mailroom.test'].encode()
    needles.update(plant.key_needles(system.home))
    needles.update({k: v for k, v in plant.hash_needles(system.home).items()})
    plant.write(os.path.join(system.home, 'needles'), needles)
    return system, secret


def start(args, system, *more):
    log = open(system.log_path, 'ab')
    p = subprocess.Popen([args.hostile, mailroom.program(), system.home, os.path.join(system.home, 'needles'), system.log_path, *more], stdout=subprocess.PIPE,
                         stderr=log, stdin=subprocess.PIPE, text=True)
    line = p.stdout.readline()
    if line.strip() != 'serving':
        sys.exit('hostile did not start: %r\n%s' % (line, system.log()[-3000:]))
    return p


def attack(args, system, secret):
    """(passed, failed) of the seeds, what the honest clients say, and what is left in the mailboxes"""
    passed = failed = 0
    p = start(args, system, str(args.first), str(args.seeds))
    honest, victim = Honest(system, secret['alice'].encode(), secret['bob']), Victim(system)
    honest.start()
    for line in p.stdout:
        m = re.match(r'(\d+) passed, (\d+) failed', line)
        if m:
            passed, failed = int(m[1]), int(m[2])
            # the roles still stand: the last words of the clients go through them
            break
        if 'ok' not in line.split():
            print(line.rstrip())
    honest.halt.set()
    honest.join(90)
    return p, passed, failed, honest, victim


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument('--mailroom', required=True)
    ap.add_argument('--hostile', required=True)
    ap.add_argument('--seeds', type=int, default=200)
    ap.add_argument('--first', type=int, default=1)
    args = ap.parse_args()
    os.environ['MAILROOM'] = args.mailroom
    system, secret = planted_system()
    try:
        t = time.monotonic()
        p, passed, failed, honest, victim = attack(args, system, secret)
        try:
            unharmed = victim.close(secret['victim'].encode())
        except (poplib.error_proto, OSError, EOFError) as e:
            print('victim: %r' % e)
            unharmed = False
        p.stdin.close()
        print(p.stdout.read(), end='')
        p.wait(60)
        if passed + failed != args.seeds or p.returncode not in (0, 1) or (p.returncode and not failed):
            print('hostile ended early, status %s\n%s' % (p.returncode, system.log()[-3000:]))
            failed += 1
        good = not honest.failed and len(honest.sent) > 3 and honest.read > 3
        print('honest clients: %d messages handed in, %d mailboxes read, %d failed, the slowest took %.1f s' % (len(honest.sent), honest.read, len(honest.failed),
                                                                                                               honest.slowest))
        for words in honest.failed[:5]:
            print('  ' + words)
        held = {mid for mid, _ in system.message_ids()}
        lost = [mid for mid in honest.sent if mid not in held]
        print('afterwards: %d of %d acknowledged messages are held; the mail of the victim is %s' % (len(honest.sent) - len(lost), len(honest.sent),
                                                                                                   'as it was' if unharmed else 'CHANGED'))
        within = bounded(system)
        leak = start(args, system, '1', '1', '--leak')
        print(leak.stdout.read().strip())
        leak.wait(60)
        print('%.0f s' % (time.monotonic() - t))
        for ok in (good, unharmed and not lost, within, leak.returncode == 0):
            passed, failed = passed + ok, failed + (not ok)
        if failed:
            print('log: the last of %s' % system.log_path)
            print('\n'.join(x for x in system.log().splitlines() if 'ERROR' in x.upper() or 'WARN' in x.upper() or 'Sanitizer' in x)[-3000:])
        return plant.counted(passed, failed)
    finally:
        system.close()


if __name__ == '__main__':
    sys.exit(main())
