#!/usr/bin/python3
"""Does `mailroom would-accept` say what the server does? Random cases are put to both; and the change that it proposes for a refusal is made, on the live
server, and has to turn the refusal into an acceptance. Ends with "N passed, N failed".

usage: agree.py [--mailroom PROGRAM] [--cases N] [--changes N] [--seed N]
"""
import argparse
import base64
import collections
import json
import os
import random
import re
import socket
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'e2e'))
import mailroom  # noqa: E402

TLS = ssl.create_default_context()
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE

DENIED, CUSTOMER, WINDOW, REVOKED, PLAIN = '127.66.0.1', '127.2.0.9', '127.5.0.1', '127.5.0.2', '127.3.0.1'
PEERS = [DENIED, CUSTOMER, WINDOW, REVOKED, PLAIN]
ACCOUNTS = ['alice@mailroom.test', 'bob@mailroom.test', 'off@mailroom.test', 'mute@mailroom.test', 'full@mailroom.test', 'mara@marked.test', 'gus@guarded.test']
SENDERS = ['', 'alice@mailroom.test', 'alice+list@mailroom.test', 'ALICE@Mailroom.Test', 'info@mailroom.test', 'team@mailroom.test', 'bob@mailroom.test', 'mara@marked.test',
           'nobody@mailroom.test', 'gus@guarded.test', 'ceo@guarded.test', 'off@mailroom.test', 'mute@mailroom.test', 'full@mailroom.test', 'x@elsewhere.example',
           'granted@partner.example', 'any@wide.example', '"odd local"@mailroom.test', 'postmaster@mailroom.test', 'x@sub.mailroom.test']
RCPTS = ['bob@mailroom.test', 'alice@mailroom.test', 'nobody@mailroom.test', 'off@mailroom.test', 'full@mailroom.test', 'info@mailroom.test', 'team@mailroom.test',
         'gus@guarded.test', 'lea@listed.test', 'tess@tls.test', 'x@catch.test', 'ring@mailroom.test', 'away@mailroom.test', 'postmaster', 'friend@elsewhere.example',
         'friend%elsewhere.example@mailroom.test', '@mailroom.test:friend@elsewhere.example', 'friend@elsewhere', 'x@foo.invalid', 'bob+tag@mailroom.test',
         'BOB@MAILROOM.TEST', 'x@[192.0.2.1]', 'x@sub.mailroom.test', '"a b"@elsewhere.example', 'elsewhere.example!friend@mailroom.test', 'a@b@mailroom.test', '']
SIZES = [None, None, None, 1000, 40 << 20, 60 << 20, 10 ** 12]
LISTENERS = {  # name -> (kind, tls, settings)
    'mx': ('mx', 'starttls', '\tdeny = "127.66.0.0/16"\n'),
    'submission': ('submission', 'starttls', ''),
    'submissions': ('submission', 'implicit', '\trelay-networks = "customers"\n\trelay-window = yes\n'),
    'pop3': ('pop3', 'starttls', '\trelay-window = yes\n\tauth-without-tls = yes\n'),
    'pop3s': ('pop3', 'implicit', ''),
    'relay': ('mx', 'starttls', '\tauth = yes\n\trelay-networks = "customers"\n\trelay-window = yes\n\tdeny = "127.66.0.0/16"\n'),
    'clear': ('submission', 'none', '\tauth-without-tls = yes\n'),
    'closed': ('submission', 'starttls', '\tauth = no\n\ttls-required = no\n\trelay-networks = "customers"\n'),
}
CONF = '''
network "customers" { addresses = "127.2.0.0/16" senders = "mailroom.test elsewhere.example" messages = "" recipients = "" }
relay { window-networks = "127.0.0.0/8" full-mailbox-sends = no }
limits { transactions = 1000000 idle-commands = 100000 bad-commands = 10000 recipients = 20000 commands-before-sign-in = 10000 auth-failures = 100 }
auth { failure-delay = 0s failures-per-address = 1000000 failures-per-account = 1000000 }
%s
'''
MAIL_LISTENERS = ['mx', 'submission', 'submissions', 'relay', 'clear', 'closed']


class Peers(mailroom.System):
    def write_conf(self, extra=''):
        self.port = dict(zip(LISTENERS, mailroom.free_ports(len(LISTENERS))))
        text = 'hostname = "mail.mailroom.test"\ndefault-domain = "mailroom.test"\nsandbox-kill = true\n'
        text += 'certificate "default" {\n\tchain = "tls/default.crt"\n\tkey = "keys/default.key"\n}\n'
        for name, (kind, tls, more) in LISTENERS.items():
            text += 'listener "%s" {\n\tkind = %s\n\taddress = "127.0.0.1"\n\tport = %d\n\ttls = %s\n%s}\n' % (name, kind, self.port[name], tls, more)
        with open(os.path.join(self.home, 'mailroom.conf'), 'w') as f:
            f.write(text + CONF % no_limits())


def no_limits():
    """the section of limits that count over time, all off: they would make the answer depend on the cases before"""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'src', 'conf', 'settings.def')) as f:
        names = re.findall(r'SETTING\(RATES, "([a-z-]+)", RATES,', f.read())
    return 'rates { %s }' % ' '.join('%s = ""' % name for name in names)


def set_up(m):
    for domain in ('guarded.test', 'listed.test', 'tls.test', 'catch.test', 'marked.test'):
        m.run('domain', 'add', domain)
    for name in ('off', 'mute'):
        m.account(name)
    m.account('full', quota='64KB')
    for name in ('gus@guarded.test', 'lea@listed.test', 'tess@tls.test', 'mara@marked.test', 'cat@catch.test'):
        m.account(name)
    fill(m)
    m.run('account', 'disable', 'off@mailroom.test')
    m.run('account', 'sending', 'mute@mailroom.test', 'off')
    m.run('alias', 'add', 'info@mailroom.test', 'alice@mailroom.test')
    m.run('alias', 'add', 'team@mailroom.test', 'alice@mailroom.test', 'bob@mailroom.test')
    m.run('alias', 'add', 'away@mailroom.test', 'someone@elsewhere.example')
    m.run('domain', 'catch-all', 'catch.test', 'cat@catch.test')
    m.run('domain', 'guard', 'guarded.test', 'on')
    m.run('domain', 'require-tls', 'tls.test', 'on')
    m.run('domain', 'rule', 'add', 'listed.test', 'allow-from', '127.2.0.0/16')
    m.run('domain', 'identity', 'marked.test', 'mark')
    m.run('account', 'send-as', 'add', 'alice@mailroom.test', 'granted@partner.example')
    m.run('account', 'send-as', 'add', 'bob@mailroom.test', '@wide.example')
    for peer in (WINDOW, REVOKED):
        pop3(m, peer, 'alice@mailroom.test')
    m.run('relay', 'revoke', REVOKED)


def fill(m):
    w = Session(m, 'mx', PLAIN, False, None)
    w.command('MAIL FROM:<x@elsewhere.example>')
    w.command('RCPT TO:<full@mailroom.test>')
    w.command('DATA')
    w.command('Subject: much\r\n\r\n' + ('x' * 70 + '\r\n') * 1000 + '.')
    w.close()


def pop3(m, peer, account):
    s = socket.create_connection(('127.0.0.1', m.port['pop3']), timeout=20, source_address=(peer, 0))
    f = s.makefile('rwb')
    for line in (None, 'USER ' + account, 'PASS ' + m.password[account], 'QUIT'):
        if line:
            f.write(line.encode() + b'\r\n')
            f.flush()
        assert f.readline().startswith(b'+OK')
    s.close()


class Session:
    """one connection; `refused` is set when it did not even come as far as MAIL"""

    def __init__(self, m, listener, peer, tls, account):
        self.refused = None
        kind, mode, _ = LISTENERS[listener]
        self.sock = socket.create_connection(('127.0.0.1', m.port[listener]), timeout=30, source_address=(peer, 0))
        if mode == 'implicit':
            self.sock = TLS.wrap_socket(self.sock)
        self.file = self.sock.makefile('rb')
        self.reply()
        self.command('EHLO client.example')
        if tls and mode == 'starttls':
            self.command('STARTTLS')
            self.sock = TLS.wrap_socket(self.sock)
            self.file = self.sock.makefile('rb')
            self.command('EHLO client.example')
        if account:
            word = base64.b64encode(('\0%s\0%s' % (account, m.password[account])).encode()).decode()
            reply = self.command('AUTH PLAIN ' + word)
            if not reply.startswith('2'):
                self.refused = reply

    def reply(self):
        lines = []
        while not lines or lines[-1][3:4] == '-':
            line = self.file.readline().decode(errors='replace').rstrip('\r\n')
            if not line:
                raise EOFError
            lines.append(line)
        return '\n'.join(lines)

    def command(self, line):
        self.sock.sendall(line.encode() + b'\r\n')
        return self.reply()

    def close(self):
        self.sock.close()


def told(reply):
    """(accepted, code, slug) of a reply"""
    last = reply.split('\n')[-1]
    slug = last.rsplit('(', 1)[-1].split(';')[0].split(':')[0].rstrip(')') if '(' in last and last[0] in '45' else ''
    return reply[0] == '2', int(reply[:3]), slug


def live_group(m, key, cases, answers):
    """every case of one session's kind"""
    listener, peer, tls, account = key
    session = None
    for number, case in cases:
        if session is None:
            session = Session(m, listener, peer, tls, account)
        if session.refused:
            answers[number] = told(session.refused)
            continue
        size = ' SIZE=%d' % case['size'] if case['size'] else ''
        try:
            reply = session.command('MAIL FROM:<%s>%s' % (case['from'], size))
            if reply[0] == '2':
                reply = session.command('RCPT TO:<%s>' % case['to'])
            answers[number] = told(reply)
            if reply.startswith('421') or not session.command('RSET').startswith('2'):
                raise EOFError
        except (EOFError, OSError):
            session.close()
            session = None
    if session:
        session.close()


def live(m, cases):
    groups = collections.defaultdict(list)
    answers = [None] * len(cases)
    for number, case in enumerate(cases):
        groups[(case['listener'], case['ip'], case['tls'], case['account'])].append((number, case))
    for key, mine in groups.items():
        live_group(m, key, mine, answers)
    return answers


def would(m, cases):
    lines = []
    for case in cases:
        ask = {k: v for k, v in case.items() if v is not None}
        if 'size' in ask:
            ask['size'] = str(ask['size'])
        lines.append(json.dumps(ask))
    out = m.run('would-accept', '--batch', '-', input='\n'.join(lines) + '\n', timeout=1800)
    return [json.loads(x) for x in out.splitlines()]


def random_case(rng):
    listener = rng.choice(MAIL_LISTENERS)
    return {'listener': listener, 'ip': rng.choice(PEERS), 'tls': LISTENERS[listener][1] != 'none' and rng.random() < 0.5,
            'account': rng.choice(ACCOUNTS) if rng.random() < 0.5 else None, 'from': rng.choice(SENDERS), 'to': rng.choice(RCPTS), 'size': rng.choice(SIZES)}


# what an engine says differently from the catalogue's own entry: the client sees the shown one
def same(said, live_said):
    accepted, code, slug = live_said
    if said.get('accepted') != accepted:
        return False
    if accepted:
        return True
    return said['cause'] == slug or code == said['code'] and not slug


def compare(m, cases):
    failed = 0
    done = live(m, cases)
    for case, said, real in zip(cases, would(m, cases), done):
        if real is None or 'error' in said or not same(said, real):
            failed += 1
            if failed <= 20:
                print('DIFFERS %s\n  would-accept: %s\n  server: %s' % (json.dumps(case), json.dumps({k: said.get(k) for k in ('accepted', 'code', 'cause', 'rule', 'error')}), real))
    accepted = sum(1 for x in done if x and x[0])
    print('%d cases: the server accepted %d, refused %d for %d reasons' % (len(cases), accepted, len(cases) - accepted, len({x[2] for x in done if x and not x[0]})))
    return len(cases) - failed, failed


# ---- the changes, made

class Undo(list):
    def __enter__(self):
        return self

    def __exit__(self, *exc):
        for step in reversed(self):
            step()


def owner_of(sender):
    for account in ('alice@mailroom.test', 'bob@mailroom.test', 'mara@marked.test', 'gus@guarded.test'):
        if sender.lower() == account:
            return account
    return {'info@mailroom.test': 'alice@mailroom.test', 'ceo@guarded.test': 'gus@guarded.test'}.get(sender, 'alice@mailroom.test')


def act(m, case, change, undo):
    """makes one change: returns the case as it is asked again, or None where this script cannot make it"""
    case = dict(case)
    account = case['account']
    rcpt = case['to'].lower()
    if change in ('sign-in', 'tls-and-sign-in', 'submission'):
        if change != 'sign-in':
            case['tls'] = True
        if change == 'submission':
            case['listener'] = 'submission'
        if not account:  # as the account whose sender it is, where one may send so; else as alice, with her own
            case['account'] = owner_of(case['from'])
            if case['from'].endswith('.test') and case['from'].lower() != case['account']:
                case['from'] = case['account']
    elif change == 'tls':
        case['tls'] = True
        if LISTENERS[case['listener']][1] == 'none':
            case['listener'] = 'submission'
    elif change == 'own-sender':
        case['from'] = account or 'alice@mailroom.test'
    elif change == 'network-sender':
        case['from'] = 'x@elsewhere.example'
    elif change == 'smaller':
        case['size'] = 1000
    elif change == 'other-sender':
        case['from'] = 'x@elsewhere.example'
    elif change == 'other-domain':
        case['to'] = 'friend@elsewhere.example'
    elif change == 'enable-account':
        m.run('account', 'enable', account)
        undo.append(lambda: m.run('account', 'disable', account))
    elif change == 'allow-sending':
        m.run('account', 'sending', account, 'on')
        undo.append(lambda: m.run('account', 'sending', account, 'off'))
    elif change in ('make-room', 'mailbox-room'):
        m.run('account', 'quota', 'full@mailroom.test', 'none')
        undo.append(lambda: m.run('account', 'quota', 'full@mailroom.test', '64KB'))
    elif change == 'enable-mailbox':
        m.run('account', 'enable', rcpt)
        undo.append(lambda: m.run('account', 'disable', rcpt))
    elif change == 'allow-ip':
        m.run('domain', 'rule', 'add', 'listed.test', 'allow-from', case['ip'])
        undo.append(lambda: m.run('domain', 'rule', 'remove', 'listed.test', 'allow-from', case['ip']))
    elif change == 'add-mailbox':
        if m.run('alias', 'add', case['to'], 'bob@mailroom.test', check=False).returncode != 0:
            return None
        undo.append(lambda: m.run('alias', 'remove', case['to']))
    elif change == 'join-network':
        case['ip'] = CUSTOMER
        case['from'] = case['from'] and 'x@elsewhere.example'
    elif change == 'undeny':
        case['ip'] = PLAIN
    else:
        return None
    return case


def turn(m, cases, wanted, rng):
    """makes what would-accept proposes, some of each kind"""
    passed = failed = 0
    seen = collections.Counter()
    answers = would(m, cases)
    order = list(range(len(cases)))
    rng.shuffle(order)
    for i in order:
        changes = tuple(x['change'] for x in answers[i].get('way_out') or [])
        if not changes or seen[changes] >= 3 or passed + failed >= wanted:
            continue
        seen[changes] += 1
        with Undo() as undo:
            case = cases[i]
            for change in changes:
                case = act(m, case, change, undo) if case else None
            if case is None:
                continue
            real = live(m, [case])[0]
        if real[0]:
            passed += 1
        else:
            failed += 1
            print('NOT TURNED %s\n  by %s, asked as %s: %s' % (json.dumps(cases[i]), changes, json.dumps(case), real))
    print('%d ways out tried, of %d kinds' % (passed + failed, len(seen)))
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n')[0])
    parser.add_argument('--mailroom', help='the program (default: $MAILROOM, else the one in build/)')
    parser.add_argument('--cases', type=int, default=100000)
    parser.add_argument('--changes', type=int, default=200)
    parser.add_argument('--seed', type=int, default=random.SystemRandom().randrange(1 << 32))
    args = parser.parse_args()
    if args.mailroom:
        os.environ['MAILROOM'] = os.path.abspath(args.mailroom)
    rng = random.Random(args.seed)
    print('seed %d' % args.seed, flush=True)
    with Peers() as m:
        set_up(m)
        cases = [random_case(rng) for _ in range(args.cases)]
        passed, failed = compare(m, cases)
        more = turn(m, cases[:5000], args.changes, rng)
        print('%d passed, %d failed' % (passed + more[0], failed + more[1]))
        return 1 if failed + more[1] else 0


if __name__ == '__main__':
    sys.exit(main())
