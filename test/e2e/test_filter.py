"""What mailbox owners say about their own mail: refuse it, file it, mark it, throw it away, by attachment, sender, size and header; the commands that say so,
and messages made to get past a filter or to keep it busy."""
import contextlib
import json
import os
import poplib
import re
import select
import shutil
import signal
import smtplib
import socket
import sqlite3
import ssl
import subprocess
import threading
import time

import pytest

import mailroom
from odd_mail import BOMBS, EXE, INSIDE, NAMES, SENDER, archive, bombs, encrypted, harmless, mail, named, one_in_the_other, tar_of

ALICE = 'alice@mailroom.test'
BOB = 'bob@mailroom.test'
CAROL = 'carol@mailroom.test'
REFUSED = r'^550 5\.7\.1 %s does not want this mail: %s \(rcpt-refuses-sender; rule: recipient; ref [0-9A-Z]+\)$'


@pytest.fixture(scope='module')
def system():
    with mailroom.System('workers {\n\tmx = 1\n\tuser = 1\n}\n', accounts=('alice', 'bob', 'carol')) as m:
        m.run('alias', 'add', 'info@mailroom.test', ALICE)
        m.run('alias', 'add', 'team@mailroom.test', ALICE, BOB)
        yield m


@pytest.fixture
def m(system):
    yield system
    for account in (ALICE, BOB, CAROL):
        system.run('filter', 'clear', account)
        empty(system, account)


def empty(m, account):
    """throws the inbox away by POP3; folders stay"""
    with pop(m, account) as p:
        for n in range(1, p.stat()[0] + 1):
            p.dele(n)


@contextlib.contextmanager
def pop(m, account):
    p = poplib.POP3_SSL('127.0.0.1', m.port['pop3s'], timeout=60, context=context())
    p.user(account)
    p.pass_(m.password[account])
    try:
        yield p
    finally:
        p.quit()


def context():
    c = ssl.create_default_context()
    c.check_hostname = False
    c.verify_mode = ssl.CERT_NONE
    return c


def inbox(m, account=ALICE):
    """texts that POP3 shows"""
    with pop(m, account) as p:
        return [b'\r\n'.join(p.retr(n + 1)[1]).decode(errors='replace') for n in range(p.stat()[0])]


def held(m, account=ALICE, folder=None):
    """what the account holds, as the command line lists it"""
    return json.loads(m.run('mail', 'list', account, *(['--folder', folder] if folder else []), '--json'))


def folders(m, account=ALICE):
    return {f['folder']: f['messages'] for f in json.loads(m.run('folder', 'list', account, '--json'))}


def send(m, data, to=ALICE, frm=SENDER, timeout=120):
    """a stranger's message; None, or the last line of what refused it"""
    with smtplib.SMTP('127.0.0.1', m.port['mx'], local_hostname='client.example', timeout=timeout) as c:
        try:
            c.sendmail(frm, to, data)
        except smtplib.SMTPDataError as e:
            return '%d %s' % (e.smtp_code, e.smtp_error.decode().split('\n')[-1])
    return None


def rule(m, *options, account=ALICE):
    m.run('filter', 'add', account, *options)


# ---- by attachment

@pytest.mark.parametrize('how', NAMES)
def test_a_name_is_found_in_every_spelling(m, how):
    rule(m, '--attachment-name', '*.zip', '--refuse', 'no zip files')
    assert re.match(REFUSED % (ALICE, 'no zip files'), send(m, mail((NAMES[how], b'x'))) or ''), how
    assert send(m, mail((harmless(NAMES[how]), b'x'))) is None, how
    assert len(inbox(m)) == 1


@pytest.mark.parametrize('how', INSIDE)
def test_names_inside_archives(m, how):
    rule(m, '--inside', '*.exe', '--refuse', 'no programs')
    assert re.match(REFUSED % (ALICE, 'no programs'), send(m, mail(INSIDE[how])) or ''), how
    assert send(m, mail(named('a.zip', archive(('setup.txt', b'x'))))) is None


@pytest.mark.skipif(not shutil.which('7z'), reason='7z is not installed')
@pytest.mark.parametrize('kind, options', [('7z', []), ('7z', ['-m0=BZip2']), ('7z', ['-m0=PPMd']), ('zip', ['-mm=LZMA'])])
def test_names_inside_what_7zip_makes(m, tmp_path, kind, options):
    rule(m, '--inside', '*.exe', '--refuse', 'no programs')
    (tmp_path / 'setup.exe').write_bytes(os.urandom(100000))
    subprocess.run(['7z', 'a', '-t' + kind, *options, str(tmp_path / 'a'), str(tmp_path / 'setup.exe')], check=True, stdout=subprocess.DEVNULL)
    (pid,) = m.pid_of('mx')
    assert 'no programs' in send(m, mail(named('a', next(tmp_path.glob('a*')).read_bytes())))
    subprocess.run(['7z', 'a', '-t' + kind, *options, '-psecret', *(['-mhe=on'] if kind == '7z' else []), str(tmp_path / 'b'), str(tmp_path / 'setup.exe')],
                   check=True, stdout=subprocess.DEVNULL)
    m.run('filter', 'clear', ALICE)
    rule(m, '--encrypted', '--refuse', 'no passwords')
    assert 'no passwords' in send(m, mail(named('b', next(tmp_path.glob('b*')).read_bytes())))
    assert m.pid_of('mx') == [pid]


def test_types_claimed_and_found(m):
    rule(m, '--attachment-type', 'application/vnd.microsoft.portable-executable', '--attachment-type', '*/x-msdownload', '--attachment-type', '*dosexec',
         '--refuse', 'no programs')
    assert 'no programs' in send(m, mail(named('holiday.jpg', EXE, 'image/jpeg')))  # what the bytes say
    assert 'no programs' in send(m, mail(named('x.bin', b'text', 'application/x-msdownload')))  # what the header says
    assert 'no programs' in send(m, mail(('Content-Type: text/plain', EXE)))  # no name at all
    assert send(m, mail(named('holiday.jpg', b'\xff\xd8\xff\xe0\0\x10JFIF\0', 'image/jpeg'))) is None
    assert send(m, mail(named('setup.exe', b'text'))) is None  # another rule's business


def test_what_cannot_be_looked_into(m):
    rule(m, '--encrypted', '--refuse', 'no passwords')
    rule(m, '--unreadable', '--file', 'Odd')
    assert 'no passwords' in send(m, mail(named('a.zip', encrypted(('a.txt', b'x')))))
    assert send(m, mail(named('a.zip', archive(('a.txt', b'x' * 1000)))[:1] + (archive(('a.txt', os.urandom(1000)))[:500],))) is None
    assert send(m, mail(named('a.zip', archive(('a.txt', b'x'))))) is None
    assert folders(m)['Odd'] == 1
    assert len(inbox(m)) == 1


def test_sender_size_and_header(m):
    rule(m, '--from', '*@shop.example', '--refuse', 'not from shops')
    rule(m, '--sender', 'bounces@*', '--refuse', 'not from lists')
    rule(m, '--larger', '100KB', '--refuse', 'too much for me')
    rule(m, '--header', 'Subject: *lottery*', '--header', 'X-Spam: yes', '--any', '--refuse', 'not interested')
    rule(m, '--header', 'Subject: *prize*', '--to', '*@mailroom.test', '--smaller', '1KB', '--refuse', 'all three')
    assert 'not from shops' in send(m, mail(frm='"Big, Shop" <Sales@SHOP.example>'))
    assert 'not from lists' in send(m, mail(), frm='bounces@list.example')
    assert 'too much for me' in send(m, mail(body=b'x' * 70 + b'\r\n' + b''.join(b'y' * 70 + b'\r\n' for _ in range(1500))))
    assert 'not interested' in send(m, mail(subject='=?utf-8?Q?Big_LOTTERY_win?='))
    assert 'not interested' in send(m, mail(head=['x-spam:  YES ']))
    assert 'all three' in send(m, mail(subject='a prize'))
    assert send(m, mail(subject='a prize', body=b'\r\n'.join([b'y' * 70] * 20))) is None
    assert send(m, mail()) is None
    assert len(inbox(m)) == 2


def test_any_and_all(m):
    rule(m, '--larger', '1KB', '--from', '*@shop.example', '--refuse', 'both')
    rule(m, '--header', 'X-A: 1', '--from', '*@other.example', '--any', '--refuse', 'either')
    big = b'\r\n'.join([b'y' * 70] * 20)
    assert send(m, mail(body=big)) is None
    assert send(m, mail(frm='a@shop.example')) is None
    assert ' both ' in send(m, mail(frm='a@shop.example', body=big))
    assert ' either ' in send(m, mail(head=['X-A: 1']))
    assert ' either ' in send(m, mail(frm='b@other.example'))


# ---- what happens

def test_filed_mail_is_in_its_folder_and_not_in_pop3(m):
    rule(m, '--from', '*@shop.example', '--file', 'Shopping/Ä')
    before = folders(m).get('Shopping/Ä', 0)
    data = mail(frm='a@shop.example')
    assert send(m, data) is None
    assert send(m, data) is None  # the same again: the store knows it
    assert send(m, mail()) is None
    assert folders(m)['Shopping/Ä'] == before + 1 and folders(m)['INBOX'] == 1
    assert len(inbox(m)) == 1
    row = held(m, folder='Shopping/Ä')[-1]
    assert (row['folder'], row['sender'], row['recipient']) == ('Shopping/Ä', SENDER, ALICE)
    shown = subprocess.run([mailroom.program(), 'mail', 'show', ALICE, str(row['uid']), '--home', m.home], capture_output=True).stdout
    assert shown.endswith(data) and shown.startswith(b'Return-Path: <%s>\r\n' % SENDER.encode())
    assert m.run('mail', 'show', ALICE, '999999', check=False).returncode == 1


def test_a_mark_is_a_flag_and_a_line_that_pop3_shows(m):
    rule(m, '--header', 'Subject: *invoice*', '--mark', 'invoices')
    rule(m, '--larger', '1KB', '--mark', 'large')
    assert send(m, mail(subject='your invoice', body=b'\r\n'.join([b'y' * 70] * 20), head=['X-Mailroom-Mark: forged'])) is None
    assert send(m, mail()) is None
    first, second = inbox(m)
    assert re.findall(r'(?m)^X-Mailroom-Mark: (\w+)', first.split('\nReceived:')[0]) == ['large', 'invoices']  # above all that came from elsewhere
    assert 'X-Mailroom-Mark' not in second
    assert [r['flags'] for r in held(m, folder='INBOX')] == ['invoices large', '']


def test_thrown_away_is_accepted_and_nowhere(m):
    rule(m, '--header', 'Subject: *lottery*', '--discard')
    bodies = len(os.listdir(os.path.join(m.home, 'store', 'bodies')))
    assert send(m, mail(subject='lottery')) is None
    assert send(m, mail(subject='lottery', body=b'\r\n'.join([b'y' * 70] * 40000))) is None  # a spool file
    assert send(m, mail()) is None
    assert len(inbox(m)) == 1
    assert len(os.listdir(os.path.join(m.home, 'store', 'bodies'))) == bodies
    assert re.search(r'event=filter session=\w+ account=%s action=discard line=\d+' % ALICE, m.log())


def test_several_copies_count_and_a_repeat_makes_none(m):
    m.run('filter', 'set', ALICE, '-', input='require ["fileinto", "copy"];\nfileinto :copy "One";\nfileinto :copy "Two";\n')
    before = json.loads(m.run('account', 'show', ALICE, '--json'))
    data = mail()
    for _ in range(3):
        assert send(m, data) is None
    after = json.loads(m.run('account', 'show', ALICE, '--json'))
    assert {n: folders(m)[n] for n in ('One', 'Two', 'INBOX')} == {'One': 1, 'Two': 1, 'INBOX': 1}
    assert after['messages'] - before['messages'] == 3
    assert after['used_bytes'] - before['used_bytes'] == sum(r['bytes'] for r in held(m)[-3:])
    m.run('account', 'quota', ALICE, '1KB')
    try:
        with pytest.raises(smtplib.SMTPRecipientsRefused) as e:
            send(m, mail())
        assert b'rcpt-mailbox-full' in e.value.recipients[ALICE][1]
    finally:
        m.run('account', 'quota', ALICE, 'none')


# ---- whose answer it is

def test_the_other_recipient_comes_in_the_next_transaction(m):
    rule(m, '--attachment-name', '*.zip', '--refuse', 'no zip files')
    data = mail(named('a.zip'))
    with smtplib.SMTP('127.0.0.1', m.port['mx'], local_hostname='client.example', timeout=30) as c:
        put_off = c.sendmail(SENDER, [BOB, ALICE], data)
        assert list(put_off) == [ALICE]
        assert put_off[ALICE][0] == 452 and b'(rcpt-own-transaction;' in put_off[ALICE][1]
        with pytest.raises(smtplib.SMTPDataError) as e:
            c.sendmail(SENDER, [ALICE], data)
        assert e.value.smtp_code == 550
        assert c.sendmail(SENDER, [ALICE], mail()) == {}
        assert list(c.sendmail(SENDER, [ALICE, BOB, ALICE], mail())) == [BOB]  # who is there already may be named again
    assert len(inbox(m, BOB)) == 1
    assert len(inbox(m)) == 2


def test_filters_that_cannot_refuse_share_a_transaction(m):
    rule(m, '--larger', '1KB', '--discard')
    rule(m, '--header', 'Subject: *x*', '--file', 'X', account=BOB)
    with smtplib.SMTP('127.0.0.1', m.port['mx'], local_hostname='client.example', timeout=30) as c:
        assert c.sendmail(SENDER, [ALICE, BOB, CAROL], mail(subject='x')) == {}
    assert len(inbox(m)) == 1 and len(inbox(m, CAROL)) == 1 and inbox(m, BOB) == []


def test_behind_an_alias(m):
    rule(m, '--attachment-name', '*.zip', '--refuse', 'no zip files')
    assert re.match(REFUSED % ('info@mailroom.test', 'no zip files'), send(m, mail(named('a.zip')), to='info@mailroom.test'))  # leads to alice alone
    mark = m.log_size()
    assert send(m, mail(named('a.zip')), to='team@mailroom.test') is None  # bob takes it
    assert inbox(m) == [] and len(inbox(m, BOB)) == 1
    assert 'account=%s action=reject' % ALICE in m.log(mark)
    rule(m, '--attachment-name', '*.zip', '--refuse', 'nor do I', account=BOB)
    assert 'team@mailroom.test does not want this mail' in send(m, mail(named('a.zip')), to='team@mailroom.test')
    assert send(m, mail(), to='team@mailroom.test') is None
    assert len(inbox(m)) == 1 and len(inbox(m, BOB)) == 2


def test_who_signed_in_is_told_whose_filter_it_was(m):
    rule(m, '--attachment-name', '*.zip', '--refuse', 'no zip files')
    with smtplib.SMTP_SSL('127.0.0.1', m.port['submissions'], context=context(), timeout=30) as c:
        c.login(BOB, m.password[BOB])
        with pytest.raises(smtplib.SMTPDataError) as e:
            c.sendmail(BOB, [CAROL, ALICE, BOB], mail(named('a.zip'), frm=BOB))
        assert re.match(REFUSED % (ALICE, 'no zip files'), '550 ' + e.value.smtp_error.decode().split('\n')[-1])
        assert c.sendmail(BOB, [CAROL, ALICE, BOB], mail(frm=BOB)) == {}
    assert [len(inbox(m, a)) for a in (ALICE, BOB, CAROL)] == [1, 1, 1]


@pytest.mark.skipif(not shutil.which('swaks'), reason='swaks is not installed')
def test_swaks_reads_the_reason(m, tmp_path):
    rule(m, '--attachment-name', '*.zip', '--refuse', 'no zip files, please send a link')
    (tmp_path / 'report.zip').write_bytes(archive(('report.txt', b'x')))
    args = ['swaks', '--server', '127.0.0.1', '--port', str(m.port['mx']), '--from', SENDER, '--to', ALICE, '--helo', 'client.example']
    p = subprocess.run([*args, '--attach', '@' + str(tmp_path / 'report.zip')], capture_output=True, text=True, timeout=60)
    assert p.returncode == 26, p.stdout  # the message was refused
    assert '550 5.7.1 %s does not want this mail: no zip files, please send a link' % ALICE in p.stdout
    assert subprocess.run(args, capture_output=True, text=True, timeout=60).returncode == 0


def test_a_reason_is_one_harmless_line(m):
    m.run('filter', 'set', ALICE, '-', input='require "reject";\nreject text:\r\n\r\n  250 2.0.0 fine \\ \u202eevil  \r\n550 second line\r\n.\r\n;\n')
    reply = send(m, mail())
    assert reply.startswith('550 5.7.1 %s does not want this mail: 250 2.0.0 fine \\x5c ' % ALICE), reply
    assert 'second' not in reply and reply.isascii()
    m.run('filter', 'set', ALICE, '-', input='require "ereject"; ereject "%s";' % ('long ' * 200))
    assert len(send(m, mail())) < 512


# ---- trouble

def test_a_script_that_was_spoiled_holds_up_no_mail(m):
    rule(m, '--larger', '1', '--discard')
    for text in ('if heder "x" {', 'redirect "thief";', b'\0\xff'):
        with contextlib.closing(sqlite3.connect(os.path.join(m.home, 'store', 'mail.db'), timeout=30)) as db, db:
            db.execute('UPDATE filter SET script = ?', (text,))
        mark = m.log_size()
        assert send(m, mail()) is None
        assert re.search(r'level=warn role=\S+ event=filter session=\w+ account\S* action=keep( line=1)? why=', m.log(mark)), m.log(mark)
    assert len(inbox(m)) == 3
    assert m.run('filter', 'clear', ALICE) == ''
    assert json.loads(m.run('queue', 'list', '--json')) == []


def hwm_kib(pid, reset=False):
    if reset:
        with open('/proc/%d/clear_refs' % pid, 'w') as f:
            f.write('5')
    with open('/proc/%d/status' % pid) as f:
        return int(re.search(r'VmHWM:\s+(\d+)', f.read()).group(1))


def sanitized():
    with open(mailroom.program(), 'rb') as f:
        return b'__asan_' in f.read()


def test_a_message_of_50_mb_is_looked_at_in_little_memory(m):
    rule(m, '--inside', '*.exe', '--attachment-type', '*/x-dosexec', '--any', '--refuse', 'no programs')
    noise = os.urandom(36 << 20)
    clean, dirty = mail(named('a.zip', archive(('a.bin', noise)))), mail(named('a.zip', archive(('a.bin', noise), ('setup.exe', b'x'))))
    assert 49 << 20 < len(clean) < 50 << 20
    (pid,) = m.pid_of('mx')
    before = hwm_kib(pid, reset=True)
    assert 'no programs' in send(m, dirty)
    assert send(m, clean) is None
    grown = hwm_kib(pid) - before
    assert grown < (400 if sanitized() else 24) << 10, '%d KiB more' % grown  # a sanitizer keeps what was freed, up to 256 MiB
    assert len(inbox(m)[0]) > 45 << 20


@pytest.fixture(scope='module')
def bomb():
    made = bombs()
    assert tuple(made) == BOMBS
    return made


@pytest.mark.parametrize('kind', BOMBS)
def test_a_bomb_is_decided_in_bounded_memory_and_others_are_served(m, bomb, kind):
    rule(m, '--inside', '*.exe', '--attachment-type', '*/x-dosexec', '--any', '--refuse', 'no programs')
    rule(m, '--unreadable', '--refuse', 'not to be read')
    (pid,) = m.pid_of('mx')
    before = hwm_kib(pid, reset=True)
    said = []
    t = threading.Thread(target=lambda: said.append(send(m, bomb[kind], timeout=250)))
    t.start()
    served = 0
    while served == 0 or t.is_alive():  # one worker serves both
        assert send(m, mail(), to=CAROL, timeout=60) is None
        served += 1
        time.sleep(0.05)
    t.join()
    assert said and ' not to be read ' in said[0], said
    assert m.pid_of('mx') == [pid]
    grown = hwm_kib(pid) - before
    assert grown < (400 if sanitized() else 24) << 10, '%d KiB more' % grown
    assert len(inbox(m, CAROL)) == served


def test_patterns_and_loops_that_would_take_for_ever(m):
    wild = 'require ["body", "foreverypart", "variables", "mime"];\n'
    scripts = {
        'patterns': wild + 'if anyof (%s) { discard; }\n' % ', '.join(
            'header :matches "subject" "%s"' % ('*a?' * n + 'b') for n in range(40, 140)) + 'if body :matches :text "%s" { discard; }' % ('*y' * 1000 + 'z'),
        'loops': wild + 'foreverypart { if header :mime :anychild :contains "content-type" "zzz" { discard; } set "a" "${a}${a}x"; }\n' * 300,
        'captures': wild + 'set "a" "%s"; set "b" "%s"; if string :matches "%s" "%s" { set "c" "${1}${2}${3}"; discard; }' % (
            'a' * 2000, '${a}${a}', '${a}${b}' * 20, '*a' * 500 + 'b'),
    }
    nest = 'Content-Type: multipart/mixed; boundary=%s'
    inner = ''.join('--c\r\nContent-Type: text/plain\r\n\r\n' + 'y' * 70 + '\r\n' for _ in range(3000)) + '--c--'
    for name, script in scripts.items():
        m.run('filter', 'set', ALICE, '-', input=script)
        data = mail((nest % 'c' + '\r\nContent-Transfer-Encoding: 7bit', inner.encode()), subject='\r\n '.join(['a' * 900] * 60))
        mark = m.log_size()
        assert send(m, data) is None, name
        assert send(m, mail(), to=CAROL) is None
        if name == 'loops':
            assert re.search(r'event=filter session=\w+ account=%s action=keep( line=\d+)? why="[^"]*takes too long' % ALICE, m.log(mark)), m.log(mark)
    assert len(inbox(m)) == len(scripts)


def test_a_worker_killed_at_work_keeps_nothing_and_says_nothing(m):
    rule(m, '--inside', '*.exe', '--refuse', 'no programs')
    big = one_in_the_other(30)
    (pid,) = m.pid_of('mx')
    with socket.create_connection(('127.0.0.1', m.port['mx']), timeout=60) as s:
        f = s.makefile('rb')
        f.readline()
        for line in ('HELO client.example', 'MAIL FROM:<%s>' % SENDER, 'RCPT TO:<%s>' % ALICE, 'DATA'):
            s.sendall(line.encode() + b'\r\n')
            assert f.readline()[:1] in b'23'
        s.sendall(big + b'.\r\n')
        select.select([s], [], [], 0.05)  # it is looking; a fast machine may have answered
        os.kill(pid, signal.SIGKILL)
        try:
            answer = f.readline()
        except ConnectionError:
            answer = b''  # no answer: the sender comes again
    assert answer == b'' or answer.startswith(b'250'), answer
    m.wait_log(r'event=role-ready started=mx', since=0, count=2)
    for _ in range(200):
        if not os.listdir(os.path.join(m.home, 'store', 'spool')):
            break
        time.sleep(0.05)
    assert os.listdir(os.path.join(m.home, 'store', 'spool')) == []
    assert len(inbox(m)) == (1 if answer else 0)
    assert send(m, big, timeout=250) is None
    assert len(inbox(m)) == 1


def test_many_messages_at_once_all_get_their_answer(m):
    rule(m, '--inside', '*.exe', '--refuse', 'no programs')
    clean, dirty = archive(('a.txt', b'x' * 100000)), archive(('a.exe', b'x' * 100000))
    said = {}

    def one(i):
        said[i] = send(m, mail(named('a.zip', dirty if i % 2 else clean)))

    threads = [threading.Thread(target=one, args=(i,)) for i in range(40)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(said) == list(range(40))
    assert all((said[i] is None) == (i % 2 == 0) for i in said), said
    assert len(inbox(m)) == 20


def test_a_client_that_leaves_meanwhile(m):
    rule(m, '--inside', '*.exe', '--refuse', 'no programs')
    big = mail(*([named('a.tar.gz', tar_of(32))] * 4))
    for _ in range(12):
        s = socket.create_connection(('127.0.0.1', m.port['mx']), timeout=60)
        s.sendall(b'HELO client.example\r\nMAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n' % (SENDER.encode(), ALICE.encode()))
        f = s.makefile('rb')
        for _ in range(5):
            f.readline()
        s.sendall(big + b'.\r\n')
        f.close()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        s.close()  # a reset
    assert 'no programs' in send(m, mail(named('a.zip', archive(('a.exe', b'x')))))


# ---- the commands

def test_rules_are_added_moved_removed_and_read(m):
    assert 'has no filter' in m.run('filter', 'list', ALICE, check=False).stderr
    rule(m, '--attachment-name', '*.zip', '--attachment-name', '*.rar', '--refuse', "it's not wanted")
    rule(m, '--from', '*@shop.example', '--larger', '1MB', '--file', 'Shopping', '--name', 'shop')
    rule(m, '--header', 'Subject: *invoice*', '--mark', 'invoice', '--at', '1')
    assert m.run('filter', 'list', ALICE).splitlines() == [
        ' 1  rule2         if Subject is *invoice*: mark it invoice',
        " 2  rule1         if an attachment is named *.zip or *.rar: refuse it (it's not wanted)",
        ' 3  shop          if it is from *@shop.example, and it is larger than 1.0 MB: file it into Shopping']
    m.run('filter', 'move', ALICE, '3', '1')
    m.run('filter', 'remove', ALICE, 'RULE1')
    listed = json.loads(m.run('filter', 'list', ALICE, '--json'))
    assert [(r['number'], r['name'], r['edited'], r['options']) for r in listed['rules']] == [
        (1, 'shop', False, "--from '*@shop.example' --larger 1M --file 'Shopping'"), (2, 'rule2', False, "--header 'Subject: *invoice*' --mark 'invoice'")]
    assert listed['by_hand'] is None and listed['changed']
    m.run('filter', 'remove', ALICE, '1')
    m.run('filter', 'remove', ALICE, '1')
    assert m.run('filter', 'show', ALICE) == ''
    assert m.run('filter', 'remove', ALICE, '1', check=False).stderr == 'mailroom: the account has no rules\n'


def test_parts_written_by_hand_are_said_and_kept(m):
    hand = '# mine\nrequire ["fileinto"];\nif header :contains "list-id" "dev" {\n\tfileinto "Dev";\n\tstop;\n}\n'
    m.run('filter', 'set', ALICE, '-', input=hand)
    rule(m, '--larger', '1MB', '--discard', '--name', 'big')
    assert m.run('filter', 'list', ALICE).splitlines() == [
        ' 1  big           if it is larger than 1.0 MB: throw it away',
        'besides these, written by hand: lines 9 to 12; mailroom filter show %s prints them' % ALICE]
    shown = m.run('filter', 'show', ALICE)
    m.run('filter', 'set', ALICE, '-', input=shown.replace('discard;', 'keep;'))
    listed = json.loads(m.run('filter', 'list', ALICE, '--json'))
    assert listed['rules'][0]['edited'] and listed['rules'][0]['options'] is None
    assert listed['by_hand'] == {'from': 9, 'to': 12}
    m.run('filter', 'remove', ALICE, 'big')
    assert m.run('filter', 'show', ALICE) == hand


@pytest.mark.parametrize('text, words', [
    ('if true {\n\tdiscrd;\n}\n', r'standard input:2:2: unknown command "discrd"; "discard" would be one'),
    ('redirect "elsewhere.example";', r'standard input:1:1: redirect "elsewhere.example": the address has no domain'),
    ('vacation "away";', r'standard input:1:1: .*require "vacation"'),
    ('fileinto "x";', r'standard input:1:1: .*require'),
    ('', r'standard input: empty; mailroom filter clear'),
    ('keep;\0', r'standard input:1:6: '),
    ('#' * 70000, r'standard input: larger than 65536 bytes'),
], ids=['command', 'redirect', 'vacation', 'require', 'empty', 'nul', 'large'])
def test_what_does_not_compile_is_not_stored(m, text, words):
    m.run('filter', 'set', ALICE, '-', input='keep;\n')
    p = m.run('filter', 'set', ALICE, '-', input=text, check=False)
    assert p.returncode == 1 and re.match('mailroom: ' + words, p.stderr), p.stderr
    assert m.run('filter', 'show', ALICE) == 'keep;\n'


@pytest.mark.parametrize('args, status, words', [
    (['add', ALICE, '--from', '*'], 2, 'the rule does nothing'),
    (['add', ALICE, '--discard'], 2, 'the rule has no condition'),
    (['add', ALICE, '--from', '*', '--discard', '--file', 'x'], 2, 'a rule does one thing'),
    (['add', ALICE, '--larger', 'lots', '--discard'], 2, '--larger takes a size'),
    (['add', ALICE, '--from', '*', '--file', 'x' * 300], 2, 'too long'),
    (['add', ALICE, '--from', '*', '--discard', '--at', '0'], 1, 'the number of a rule'),
    (['add', 'nobody@mailroom.test', '--from', '*', '--discard'], 1, 'there is no account nobody@mailroom.test'),
    (['move', ALICE, '1', '1'], 1, 'the account has no rules'),
    (['test', ALICE, '/nowhere/at/all'], 1, 'No such file'),
    (['set', ALICE, '/nowhere/at/all'], 1, 'No such file'),
])
def test_commands_say_what_is_wrong(m, args, status, words):
    p = m.run('filter', *args, check=False)
    assert p.returncode == status and words in p.stderr, (p.returncode, p.stderr)
    assert m.run('filter', 'show', ALICE) == ''


def test_a_file_is_judged_as_the_server_would(m, tmp_path):
    rule(m, '--attachment-name', '*.zip', '--refuse', 'no zip files', '--name', 'zips')
    rule(m, '--sender', '*@shop.example', '--file', 'Shopping')
    rule(m, '--header', 'Subject: *invoice*', '--mark', 'invoice')
    path = tmp_path / 'm.eml'

    def judged(data, *more):
        path.write_bytes(data)
        return json.loads(m.run('filter', 'test', ALICE, str(path), '--json', *more))

    data = mail(named('a.zip'))
    got = judged(data)
    assert [(a['action'], a['rule'], a['number'], a['text']) for a in got['actions']] == [('reject', 'zips', 1, 'no zip files')]
    line = m.run('filter', 'show', ALICE).splitlines()[got['actions'][0]['line'] - 1]
    assert line == '\treject "no zip files";'
    assert judged(data.replace(b'\r\n', b'\n')) == got  # a file from a disk
    assert send(m, data) and judged(mail(), '--from', 'a@shop.example')['actions'][0]['action'] == 'fileinto'
    assert judged(mail(frm='Shop <a@shop.example>'))['actions'][0]['text'] == 'Shopping'
    assert judged(b'Return-Path: <>\r\n' + mail(frm='Shop <a@shop.example>'))['actions'][0] == {
        'action': 'keep', 'line': None, 'rule': None, 'number': None, 'text': '', 'flags': []}
    marked = judged(mail(subject='invoice'))['actions']
    assert [(a['action'], a['flags']) for a in marked] == [('addheader', []), ('keep', ['invoice'])]
    path.write_bytes(mail(named('b.zip')))
    assert m.run('filter', 'test', ALICE, str(path)) == 'refused: no zip files  (line 4, rule 1 "zips")\n'
    assert len(inbox(m)) == 0  # nothing was delivered


def test_nothing_of_a_message_reaches_the_terminal(m):
    data = mail(subject='\x1b[2Jx', body=b'\x1b]0;title\x07\xc2\x9b31m caf\xc3\xa9 \xff')
    assert send(m, data) is None
    uid = str(held(m, folder='INBOX')[0]['uid'])
    command = ' '.join([mailroom.program(), 'mail', 'show', ALICE, uid, '--home', m.home])
    shown = subprocess.run(['script', '-qec', command, '/dev/null'], capture_output=True, stdin=subprocess.DEVNULL, timeout=60).stdout
    assert b'\x1b' not in shown and b'\x07' not in shown and b'\xc2\x9b' not in shown
    assert b'\\x1b[2Jx' in shown and 'café \\xff'.encode() in shown
    raw = subprocess.run(['script', '-qec', command + ' --raw', '/dev/null'], capture_output=True, stdin=subprocess.DEVNULL, timeout=60).stdout
    assert b'\x1b[2Jx' in raw
