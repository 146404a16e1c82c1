"""Rows 21, 22 and 24: bytes that reach SQL, log and terminal; links in the home directory; a clock that is wrong."""
import glob
import json
import os
import re
import shutil
import socket
import subprocess
import time

import mailroom
from lib import ALICE, BOB, Line, Skipped, b64, case, deliver, ids, is_sanitized, plain, pop3, sender, slug, smtp, system_is_well

ESC = '\x1b[31m\x1b]0;owned\x07'
NASTY = ("'; DROP TABLE account; --", '" OR ""="', "' OR '1'='1", "\\'); DELETE FROM mailbox; --", '%n%s%x%p', '$(touch /tmp/owned)', '`id`', '../../../etc/passwd', '\\x00', "x' UNION SELECT * FROM cred --",
         '{command}', 'event=serving level=error', '\\r\\n', '\u202egnp.exe', 'a' * 300)
LOG_LINE = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=[a-z]+ role=[a-z]+(/\d+)? event=[a-z-]+( [a-z_]+=("[^"]*"|[^ "=]*))*')


def check_log(m, since):
    """every line is one whole event in printable ASCII"""
    text = open(m.log_path, 'rb').read()[since:]
    bad = re.search(rb'[^\x20-\x7e\n]', text)
    assert not bad, 'a raw byte in the log: %r' % text[max(0, bad.start() - 80):bad.start() + 40]
    for line in text.decode().splitlines():
        assert LOG_LINE.fullmatch(line), 'not one event: %r' % line


def check_printed(m):
    """what the command line prints holds no control bytes, and JSON is JSON"""
    for args in (('queue', 'list'), ('message', 'ids'), ('account', 'list'), ('alias', 'list'), ('domain', 'list')):
        p = subprocess.run([mailroom.program(), *args, '--home', m.home], capture_output=True, timeout=60)
        assert p.returncode == 0, (args, p.stderr)
        bad = re.search(rb'[^\x20-\x7e\n\t]', p.stdout)
        assert not bad, '%s: %r' % (' '.join(args), p.stdout[max(0, bad.start() - 60):bad.start() + 30])
        json.loads(m.run(*args, '--json'))


def still_whole(m):
    """the tables are there and say what they said"""
    assert {x['address'] for x in json.loads(m.run('account', 'list', '--json'))} >= {ALICE, BOB}
    with pop3(m, 'pop3s', ALICE) as w:
        assert w.command('STAT').startswith('+OK')


def quoted(text):
    """as a quoted local part (RFC 5321 4.1.2)"""
    return '"%s"' % text.replace('\\', '\\\\').replace('"', '\\"')


@case(21, 'HELO, verbs and arguments', ('mx', 'submission'))
def inject_commands(m, way):
    mark = m.log_size()
    for text in NASTY + (ESC, 'x\x9b31m', 'caf\u00e9', '\x7f\x08\x08'):
        for command in ('EHLO %s', 'HELO %s', '%s', 'NOOP %s', 'VRFY %s', 'MAIL FROM:<%s@b.example>', 'MAIL FROM:<a@b.example> %s', 'MAIL FROM:<a@b.example> ENVID=%s', 'AUTH %s', 'RSET %s'):
            with Line(m.port[way]) as w:
                if not command.startswith(('EHLO', 'HELO')):
                    w.ask('EHLO c.example')
                reply = w.ask(command % text)
                bad = re.search(r'[\x00-\x08\x0b-\x1f\x7f]', reply)
                assert not bad, (command % text, reply)
    time.sleep(0.1)
    check_log(m, mark)
    still_whole(m)


@case(21, 'senders and recipients, stored and refused', ('mx', 'submissions'))
def inject_envelope(m, way):
    m.run('domain', 'identity', 'mailroom.test', 'off')  # any sender comes as far as it can
    mark = m.log_size()
    for text in NASTY:
        if len(text) > 60 or not text.isascii():
            continue
        with smtp(m, way) as w:
            for who in (quoted(text) + '@b.example', quoted(text) + '@mailroom.test'):
                assert w.ask('MAIL FROM:<%s>' % who).startswith('250'), who
                reply = w.ask('RCPT TO:<%s@mailroom.test>' % quoted(text))
                assert slug(reply) == 'rcpt-unknown', reply
                reply = w.ask('RCPT TO:<%s@elsewhere.example>' % quoted(text))
                assert reply.startswith('250') if way == 'submissions' else slug(reply) == 'relay-denied-unauth', reply
                assert w.ask('RCPT TO:<bob@mailroom.test> ORCPT=rfc822;%s' % re.sub(r'[^a-zA-Z0-9@.]', lambda c: '+%02X' % ord(c.group()), text)).startswith('250')
                assert w.ask('DATA').startswith('354')
                assert w.ask('From: x\r\nSubject: y\r\n\r\nz\r\n.').startswith('250')
    check_log(m, mark)
    check_printed(m)
    still_whole(m)


@case(21, 'SMTPUTF8: control and direction characters in addresses are never printed raw', ('submissions',))
def inject_utf8(m, way):
    m.run('domain', 'identity', 'mailroom.test', 'off')
    mark = m.log_size()
    taken = 0
    for text in ('\x9b31m', '\u202egnp', '\u2028line', '\u200bzero', '\ufeffbom', 'caf\u00e9', '\x85next'):
        with smtp(m, way) as w:
            if not w.ask('MAIL FROM:<%s@b.example> SMTPUTF8' % text).startswith('250'):
                continue
            if w.ask('RCPT TO:<%s@elsewhere.example>' % text).startswith('250'):
                taken += 1
                w.ask('DATA')
                assert w.ask('Message-ID: <%s@utf8>\r\nSubject: y\r\n\r\nz\r\n.' % text).startswith('250')
    assert taken
    check_log(m, mark)
    check_printed(m)


@case(21, 'logins: SQL, control bytes and line ends in every mechanism', ('submissions', 'pop3s'))
def inject_logins(m, way):
    mark = m.log_size()
    names = NASTY + (ESC, 'alice@mailroom.test\r\nlevel=error event=forged', 'alice\n', 'alice\tx', 'a"b=c', '\u0430lice@mailroom.test', '*', 'alice@mailroom.test\x00x', '')
    for name in names:
        with (pop3(m, way) if way == 'pop3s' else smtp(m, way, signin=False)) as w:
            ask = w.command if way == 'pop3s' else w.ask
            assert slug(ask('AUTH PLAIN ' + b64('\0%s\0%s' % (name, "' OR '1'='1")))), name
            ask('AUTH LOGIN')
            ask(b64(name))
        with (pop3(m, way) if way == 'pop3s' else smtp(m, way, signin=False)) as w:
            ask = w.command if way == 'pop3s' else w.ask
            ask('AUTH SCRAM-SHA-256 ' + b64('n,,n=%s,r=abcdefghij' % name.replace('=', '=3D').replace(',', '=2C')))
        if way == 'pop3s' and not re.search(r'[\r\n\0]', name) and name:
            with pop3(m, way) as w:
                w.command('USER ' + name)
                assert slug(w.command("PASS ' OR '1'='1"))
    time.sleep(0.1)
    check_log(m, mark)
    still_whole(m)


@case(21, 'headers: Message-ID and From with controls, quotes, folds, and no end', ('mx', 'submissions'))
def inject_headers(m, way):
    mark = m.log_size()
    rcpt = 'victim@elsewhere.example' if way == 'submissions' else BOB
    for head in ('Message-ID: <%s@x>' % ESC, "Message-ID: <'; DROP TABLE message; --@x>", 'Message-ID: <a\tb@x>', 'Message-ID: <a\r\n\tb@x>', 'Message-ID: ' + '<' * 900, 'Message-ID: <\x9b31m@x>',
                 'From: "%s" <a@b.example>' % ESC, 'Subject: %s' % ESC, 'Message-ID: <x\x7f\x08y@x>', 'Message-ID: \xff\xfe'):
        with smtp(m, way) as w:
            assert w.ask('MAIL FROM:<%s>' % sender(way)).startswith('250')
            assert w.ask('RCPT TO:<%s>' % rcpt).startswith('250')
            assert w.ask('DATA').startswith('354')
            w.send(head.encode('latin-1') + b'\r\n\r\nx\r\n.\r\n')
            reply = w.reply()
            assert reply[0] in '25', reply
    check_log(m, mark)
    check_printed(m)
    for row in json.loads(m.run('queue', 'list', '--json')):
        p = subprocess.run([mailroom.program(), 'queue', 'show', row['id'], '--home', m.home], capture_output=True, timeout=60)
        assert p.returncode == 0 and not re.search(rb'[^\x20-\x7e\n\t]', p.stdout), p.stdout
    still_whole(m)


@case(21, 'the command line: explain, and names in arguments')
def inject_cli(m):
    for text in NASTY + (ESC,):
        for args in (('explain', text), ('account', 'add', text + '@mailroom.test', '--password-stdin'), ('domain', 'add', text), ('alias', 'add', text, ALICE), ('account', 'disable', text), ('queue', 'show', text)):
            p = subprocess.run([mailroom.program(), *args, '--home', m.home], input=b'pw pw pw\n', capture_output=True, timeout=60)
            assert p.returncode in (0, 1, 2), (args, p.returncode)
            for out in (p.stdout, p.stderr):
                assert b'\x1b' not in out and b'\x07' not in out, (args, out)
    check_printed(m)
    still_whole(m)
    assert not os.path.exists('/tmp/owned')


@case(21, 'no SQL text is put together at run time')
def sql_is_literal(m):
    p = subprocess.run(['/usr/bin/python3', os.path.join(mailroom.ROOT, 'tools/check-banned.py')], capture_output=True, text=True)
    assert p.returncode == 0, p.stdout


# ---- row 22

def serve_refuses(home, *words):
    """serve does not start, and says why in one line that names the path"""
    p = subprocess.Popen([mailroom.program(), 'serve', '--home', home], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        _, err = p.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        p.terminate()
        _, err = p.communicate()
        raise AssertionError('it serves: ' + err.decode(errors='replace')[-300:]) from None
    text = err.decode(errors='replace')
    assert p.returncode != 0 and any(w in text for w in words), (p.returncode, text[-600:])
    return text


class Home:
    """a home directory that nobody serves yet, and a place beside it that links lead to"""

    def __enter__(self):
        if os.geteuid() != 0:
            raise Skipped('needs root')
        self.m = mailroom.System(start=False)
        self.home = self.m.home
        self.outside = self.home + '.outside'
        os.mkdir(self.outside, 0o777)
        return self

    def __exit__(self, *exc):
        self.m.close()
        shutil.rmtree(self.outside, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.home, name)


@case(22, 'store, auth, empty as links: serve says so and touches nothing', system=None)
def dir_links():
    for name in ('store', 'auth', 'empty'):
        with Home() as h:
            shutil.move(h.path(name), os.path.join(h.outside, name))
            os.symlink(os.path.join(h.outside, name), h.path(name))
            before = sorted(os.listdir(os.path.join(h.outside, name)))
            serve_refuses(h.home, name)
            assert sorted(os.listdir(os.path.join(h.outside, name))) == before
            if name != 'empty':
                p = h.m.run('account', 'add', 'eve@mailroom.test', '--password-stdin', input='pw pw pw\n', check=False)
                assert p.returncode != 0, 'the command line followed the link'


@case(22, 'lock as a link: not followed, nothing written elsewhere', system=None)
def lock_link():
    for target in ('victim', 'missing'):
        with Home() as h:
            victim = os.path.join(h.outside, target)
            if target == 'victim':
                with open(victim, 'w') as f:
                    f.write('precious\n')
            if os.path.lexists(h.path('lock')):
                os.unlink(h.path('lock'))
            os.symlink(victim, h.path('lock'))
            serve_refuses(h.home, 'lock')
            assert (open(victim).read() == 'precious\n') if target == 'victim' else not os.path.exists(victim)


@case(22, 'log file as a link: not followed', system=None)
def log_link():
    with Home() as h:
        h.m.write_conf('log {\n\tfile = "mail.log"\n}\n')
        victim = os.path.join(h.outside, 'victim')
        with open(victim, 'w') as f:
            f.write('precious\n')
        os.symlink(victim, h.path('mail.log'))
        serve_refuses(h.home, 'mail.log')
        assert open(victim).read() == 'precious\n'


@case(22, 'the key as a link made by the key role, as a pipe, as a directory', system=None)
def key_links():
    with Home() as h:
        key = h.path('keys/default.key')
        owner = os.stat(key).st_uid
        os.rename(key, os.path.join(h.outside, 'k'))
        os.symlink(os.path.join(h.outside, 'k'), key)
        os.lchown(key, owner, owner)
        serve_refuses(h.home, 'default.key')
        os.unlink(key)
        os.mkfifo(key)
        serve_refuses(h.home, 'default.key')
        os.unlink(key)
        os.mkdir(key)
        serve_refuses(h.home, 'default.key')
        os.rmdir(key)
        # the administrator's own link is how certificate programs do it
        os.symlink(os.path.join(h.outside, 'k'), key)
        h.m.start()
        assert h.m.stop() == 0


@case(22, 'the databases as links: not followed', system=None, long=True)
def database_links():
    for name, role in (('store/mail.db', 'store'), ('auth/cred.db', 'auth')):
        with Home() as h:
            found = glob.glob(h.path(os.path.dirname(name)) + '/*.db')
            assert found, name
            path = found[0]
            owner = os.stat(path).st_uid
            for target in ('../' + os.path.basename(path) + '.real', os.path.join(h.outside, 'real.db')):
                real = os.path.normpath(os.path.join(os.path.dirname(path), target))
                shutil.move(path, real)
                os.chmod(h.outside, 0o777)
                os.symlink(target, path)
                os.lchown(path, owner, owner)
                serve_refuses(h.home, 'db', role)
                os.unlink(path)
                shutil.move(real, path)
            inside = os.path.join(os.path.dirname(path), 'inside.db')
            os.rename(path, inside)
            os.symlink('inside.db', path)
            serve_refuses(h.home, 'db', role)


@case(22, 'directories of somebody else are refused, with what to do', system=None)
def foreign_owner():
    for name in ('store', 'auth'):
        with Home() as h:
            os.chown(h.path(name), 65534, 65534)
            text = serve_refuses(h.home, name)
            assert 'chown' in text, text


@case(22, 'init over planted links makes or changes nothing outside', system=None)
def init_links():
    if os.geteuid() != 0:
        raise Skipped('needs root')
    for name in ('mailroom.conf', 'store', 'auth', 'keys', 'empty', 'tls/default.crt', 'keys/default.key'):
        with Home() as h:
            home = h.path('second')
            os.makedirs(os.path.dirname(os.path.join(home, name)), exist_ok=True)
            victim = os.path.join(h.outside, 'victim')
            os.mkdir(victim, 0o700) if name in ('store', 'auth', 'keys', 'empty') else open(victim, 'w').close()
            st = os.stat(victim)
            os.symlink(victim, os.path.join(home, name))
            subprocess.run([mailroom.program(), 'init', '--hostname', 'a.test', '--domain', 'a.test', '--home', home], capture_output=True, timeout=60)
            now = os.stat(victim)
            assert (now.st_uid, now.st_mode, now.st_size) == (st.st_uid, st.st_mode, st.st_size), name
            assert not os.path.isdir(victim) or not os.listdir(victim), name


@case(22, 'spool: planted files and links are not used and not followed', system=None)
def spool_links():
    with Home() as h:
        victim = os.path.join(h.outside, 'victim')
        with open(victim, 'w') as f:
            f.write('precious\n')
        os.chmod(victim, 0o666)
        uid = os.stat(h.path('store')).st_uid
        for where in ('spool',):
            directory = h.path('store/' + where)
            os.makedirs(directory, exist_ok=True)
            os.chown(directory, uid, uid)
            for i in range(1, 40):
                link = os.path.join(directory, str(i))
                os.symlink(victim, link)
                os.lchown(link, uid, uid)
        h.m.start()
        with smtp(h.m, 'mx') as w:
            assert w.ask('MAIL FROM:<a@b.example>').startswith('250')
            assert w.ask('RCPT TO:<bob@mailroom.test>').startswith('250')
            assert w.ask('DATA').startswith('354')
            w.send(b'Message-ID: <large@attack>\r\n\r\n' + (b'x' * 70 + b'\r\n') * 30000)
            assert w.ask('.').startswith('250')
        assert ids(h.m) == ['<large@attack>']
        assert open(victim).read() == 'precious\n'


@case(22, 'bodies: planted directories that are links are not entered', system=None)
def body_links():
    with Home() as h:
        uid = os.stat(h.path('store')).st_uid
        precious = os.path.join(h.outside, '1')
        open(precious, 'w').close()
        os.chmod(h.outside, 0o777)
        for i in range(256):
            link = os.path.join(h.path('store/bodies'), '%02x' % i)
            if not os.path.lexists(link):
                os.symlink(h.outside, link)
                os.lchown(link, uid, uid)
        serve_refuses(h.home, 'Not a directory', 'bodies')
        assert os.path.exists(precious)


# ---- row 24

def faketime_library():
    found = glob.glob('/usr/lib/*/faketime/libfaketime.so.1')
    if not found:
        raise Skipped('needs the package faketime')
    return found[0]


class Clock:
    """the environment in which a program believes another time; monotonic clocks stay true"""

    def __init__(self, offset):
        self.set = {'LD_PRELOAD': faketime_library(), 'FAKETIME': offset, 'FAKETIME_DONT_FAKE_MONOTONIC': '1', 'NO_FAKE_STAT': '1', 'FAKETIME_DISABLE_SHM': '1'}
        if is_sanitized():
            self.set['ASAN_OPTIONS'] = os.environ.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0:detect_leaks=0'

    def __enter__(self):
        self.old = {k: os.environ.get(k) for k in self.set}
        os.environ.update(self.set)

    def __exit__(self, *exc):
        for k, v in self.old.items():
            os.environ.pop(k, None) if v is None else os.environ.update({k: v})


OFFSETS = ('-20y', '+10y', '-50y', '+60y', '+0d')


@case(24, 'served 20 and 50 years ago, in 10 and 60 years, and now again: mail goes in, stays, comes out', system=None)
def wrong_clock():
    if is_sanitized():
        raise Skipped('the sanitizer and the library that fakes time do not go together')
    with mailroom.System('timeouts {\n\tsmtp-greeting = 2s\n}\n', start=False) as m:
        sent = []
        for offset in OFFSETS:
            with Clock(offset):
                m.start()
            try:
                mid = '<clock%s@attack>' % offset
                start = time.monotonic()
                deliver(m, mid)
                deliver(m, mid)  # a repeat is known as one, whatever the clock says
                sent.append(mid)
                with smtp(m, 'submissions') as w:
                    assert w.ask('MAIL FROM:<alice@mailroom.test>').startswith('250')
                    assert w.ask('RCPT TO:<far@elsewhere.example>').startswith('250')
                    w.ask('DATA')
                    assert w.ask('Message-ID: <queued%s@attack>\r\n\r\nx\r\n.' % offset).startswith('250')
                sent.append('<queued%s@attack>' % offset)
                assert time.monotonic() - start < 10
                with Line(m.port['mx']) as w:  # timers follow the steady clock
                    t = time.monotonic()
                    assert 'timeout' in w.until_closed()
                    assert 1 < time.monotonic() - t < 6
                time.sleep(0.5)  # tidying has its turn
                with pop3(m, 'pop3s', BOB) as w:
                    assert int(w.command('STAT').split()[1]) == len(sent) // 2
                assert sorted(ids(m)) == sorted(sent), (offset, ids(m))
                assert len(json.loads(m.run('queue', 'list', '--json'))) == len(sent) // 2
                year = time.gmtime().tm_year + int(offset[:-1])
                assert re.search(r'(?m)^%d-\d\d-\d\dT.* role=mx/\d+ ' % year, m.log()) or offset == '+0d', 'the clock was not moved'
                check_log(m, 0)
                system_is_well(m)
            finally:
                m.stop()
