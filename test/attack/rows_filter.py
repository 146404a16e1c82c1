"""Rows 2, 9, 14, 15 and 23: what a filter refuses is refused in the session; what it sends makes no loops and no bombs; MIME that is broken, deep,
long or in many pieces is taken, kept whole and decided; a name is found in every way to write it, and in archives."""
import json
import os
import subprocess

import mailroom
import odd_mail
from lib import case, memory_factor, memory_kib, slug, smtp

WAYS = ('mx', 'submissions')
OWNER, LOOKER, PLAIN = 'owner@mailroom.test', 'looker@mailroom.test', 'plain@mailroom.test'
RULES = (('--attachment-name', '*.zip', '--refuse', 'no zip files'), ('--inside', '*.exe', '--refuse', 'no programs'),
         ('--unreadable', '--refuse', 'not to be read'))
GROWTH_KIB = 40 << 10


def ready(m):
    """accounts with filters, and one without"""
    if OWNER not in m.password:
        for name in (OWNER, LOOKER, PLAIN):
            m.account(name)
        for rule in RULES:
            m.run('filter', 'add', OWNER, *rule)
        for rule in RULES[1:]:
            m.run('filter', 'add', LOOKER, *rule)


def offer(m, way, data, to=OWNER):
    """the last reply to a message"""
    sender = odd_mail.SENDER if way == 'mx' else 'alice@mailroom.test'
    with smtp(m, way) as w:
        assert w.ask('MAIL FROM:<%s>' % sender).startswith('250')
        assert w.ask('RCPT TO:<%s>' % to).startswith('250')
        assert w.ask('DATA').startswith('354')
        w.send(b'\r\n'.join(b'.' + line if line.startswith(b'.') else line for line in data.split(b'\r\n')) + b'.\r\n')
        return w.reply()


def held(m, account):
    """the newest message of an account"""
    uid = json.loads(m.run('mail', 'list', account, '--json'))[-1]['uid']
    return subprocess.run([mailroom.program(), 'mail', 'show', account, str(uid), '--home', m.home], capture_output=True, check=True, timeout=60).stdout


def mail(way, *parts, **more):
    return odd_mail.mail(*parts, frm=odd_mail.SENDER if way == 'mx' else 'alice@mailroom.test', **more)


def refused(reply, words):
    assert reply.startswith('550 5.7.1') and words in reply and slug(reply) == 'rcpt-refuses-sender', reply


# ---- row 9

@case(9, 'what a filter refuses is refused in the session; nothing is held and nobody is written to', WAYS)
def filter_backscatter(m, way):
    ready(m)
    before = m.message_ids()
    refused(offer(m, way, mail(way, odd_mail.named('a.zip'))), 'no zip files')
    assert m.message_ids() == before
    assert m.run('queue', 'list', '--json').strip() == '[]'


# ---- row 14

def bomb_case(kind):
    @case(14, 'looked into by a filter, in bounded memory: ' + kind, ('mx',))
    def bomb(m, way):
        ready(m)
        before = memory_kib(m)
        refused(offer(m, way, made()[kind], LOOKER), 'not to be read')
        assert memory_kib(m) - before < GROWTH_KIB * memory_factor()

    @case(14, 'taken where no filter asks, and given back byte for byte: ' + kind, ('mx',))
    def kept(m, way):
        ready(m)
        data = made()[kind]
        assert offer(m, way, data, PLAIN).startswith('250')
        assert held(m, PLAIN).endswith(data)


MADE = {}


def made():
    if not MADE:
        MADE.update(odd_mail.bombs())
    return MADE


for name in odd_mail.BOMBS:
    bomb_case(name)


@case(14, 'encoded, unclosed, without a boundary, with two of them: what a reader may see is looked at', WAYS)
def differentials(m, way):
    ready(m)
    inner = b'Content-Type: application/octet-stream; name=a.zip\r\n\r\nx\r\n'
    for kind, body in (('multipart/mixed; boundary=b', b'--b\r\n' + inner),  # never closed
                       ('multipart/mixed; boundary="b"; boundary=c', b'--b\r\n\r\nx\r\n--b--\r\n--c\r\n' + inner + b'--c--\r\n'),
                       ('multipart/mixed; boundary=b', b'--b\r\n\r\nx\r\n--b--\r\n\r\n--b\r\n' + inner + b'--b--\r\n'),  # behind the end
                       ('Multipart/x-unknown; Boundary = "b c"', b'--b c  \r\n' + inner + b'--b c--\r\n'),
                       ('message/rfc822', b'From: x\r\nContent-Disposition: attachment; filename=a.zip\r\n\r\nx\r\n'),
                       ('text/plain', b'begin 644 a.zip\r\n!>```\r\n`\r\nend\r\n')):
        refused(offer(m, way, mail(way, head=['Content-Type: ' + kind], body=body)), 'no zip files')


# ---- row 15

def name_case(how):
    @case(15, 'a refused name is found: ' + how, WAYS)
    def found(m, way):
        ready(m)
        refused(offer(m, way, mail(way, (odd_mail.NAMES[how], b'x'))), 'no zip files')
        assert offer(m, way, mail(way, (odd_mail.harmless(odd_mail.NAMES[how]), b'x'))).startswith('250')


def inside_case(how):
    @case(15, 'a refused name is found: ' + how, WAYS)
    def found(m, way):
        ready(m)
        header, data = odd_mail.INSIDE[how]
        refused(offer(m, way, mail(way, (header.replace('.zip', '.bin'), data))), 'no ' + ('programs' if b'name="a.zip"' not in data else 'zip files'))


for name in odd_mail.NAMES:
    name_case(name)
for name in odd_mail.INSIDE:
    inside_case(name)


@case(15, 'archives that cannot be looked into are called that', WAYS)
def unreadable(m, way):
    ready(m)
    good = odd_mail.archive(('a.txt', b'x' * 5000))
    for data in (good[:-10], good[:60], odd_mail.tarball('w:gz', ('a', b'x' * 5000))[:-20], b'Rar!\x1a\x07\x01\0' + b'x' * 200):
        refused(offer(m, way, mail(way, odd_mail.named('a.bin', data))), 'not to be read')
    assert offer(m, way, mail(way, odd_mail.named('a.bin', good))).startswith('250')


# ---- row 23

def leaves(m):
    """rows of the queue"""
    return json.loads(m.run('queue', 'list', '--json'))


def sender_script(m, text, account='sender@mailroom.test'):
    if account not in m.password:
        m.account(account)
    m.run('filter', 'set', account, '-', input=text)
    for row in leaves(m):
        m.run('queue', 'remove', row['id'], check=False)  # its other recipients may be gone with it
    return account


def inbox_count(m, account):
    return len(json.loads(m.run('mail', 'list', account, '--json')))


@case(23, 'a message that has been here is not sent on again, whatever stands above its Delivered-To', WAYS)
def redirect_loop(m, way):
    account = sender_script(m, 'redirect "x@loop.example";')
    m.run('alias', 'add', 'loop-%s@mailroom.test' % way, account)
    before = inbox_count(m, account)
    head = ['X-%d: y' % i for i in range(100)] + ['delivered-TO :  ' + account.upper() + ' ', 'Delivered-To: other@x.example']
    for to in (account, 'loop-%s@mailroom.test' % way):
        reply = offer(m, way, mail(way, head=head, body=b'x\r\n'), to)
        assert reply[:3] in ('250', '554'), reply
    assert leaves(m) == [] and inbox_count(m, account) >= before


@case(23, 'accounts that send to each other and to aliases of all make no more mail than there are accounts', ('mx',))
def redirect_ring(m, way):
    ring = ['ring%d@mailroom.test' % i for i in range(4)]
    for name in ring:
        if name not in m.password:
            m.account(name)
    m.run('alias', 'add', 'ring@mailroom.test', *ring, check=False)
    for name in ring:
        m.run('filter', 'set', name, '-', input='require "copy"; redirect :copy "ring@mailroom.test"; redirect "%s";' % ring[0])
    before = sum(inbox_count(m, name) for name in ring)
    for i in range(5):
        assert offer(m, way, mail(way, head=['X-Round: %d' % i], body=b'x\r\n'), 'ring@mailroom.test').startswith('250')
    now = sum(inbox_count(m, name) for name in ring)
    assert now - before == 5 * len(ring), now - before
    assert not [row for row in leaves(m) if row['recipient'].endswith('@mailroom.test')]


@case(23, 'a filter sends on to four addresses, and not to five', ('mx',))
def redirect_bomb(m, way):
    account = sender_script(m, ''.join('redirect "b%d@bomb.example";' % i for i in range(4)))
    assert offer(m, way, mail(way, body=b'x\r\n'), account).startswith('250')
    assert len(leaves(m)) == 4
    before = inbox_count(m, account)
    sender_script(m, ''.join('redirect "b%d@bomb.example";' % i for i in range(5)))
    assert offer(m, way, mail(way, body=b'y\r\n'), account).startswith('250')
    assert leaves(m) == [] and inbox_count(m, account) == before + 1


@case(2, 'what a filter writes of a message holds no line that the message made up', WAYS)
def answer_injection(m, way):
    account = sender_script(m, 'require ["variables", "vacation"]; if header :matches "Subject" "*" { set "s" "${1}"; } '
                               'vacation :handle "%s" :subject "Re ${s}" "got ${s}";' % os.urandom(4).hex())
    sender = 'v%s@x.example' % os.urandom(4).hex() if way == 'mx' else 'alice@mailroom.test'
    subject = '=?utf-8?Q?a=0D=0ABcc:_victim@x.example=0D=0A=0D=0A.=0D=0AMAIL_FROM:<>?='
    head = ['To: ' + account, 'Subject: ' + subject, 'Message-ID: <%s@x.example>' % os.urandom(4).hex(), 'References: <a@x> <b\r\n\tBcc:victim@x.example>']
    with smtp(m, way) as w:
        for ask in ('MAIL FROM:<%s>' % sender, 'RCPT TO:<%s>' % account):
            assert w.ask(ask).startswith('250')
        assert w.ask('DATA').startswith('354')
        w.send('\r\n'.join(['From: ' + sender] + head + ['', 'x', '.', '']))
        assert w.reply().startswith('250')
    if way == 'mx':
        assert [row['recipient'] for row in leaves(m)] == [sender], leaves(m)
        return
    shown = held(m, 'alice@mailroom.test')
    head = shown[:shown.index(b'\r\n\r\n')].split(b'\r\n')
    assert b'Auto-Submitted: auto-replied' in head and not [x for x in head if x.startswith((b'Bcc', b'MAIL', b'.'))], shown
    assert b'\n' not in shown.replace(b'\r\n', b'') and b'\r' not in shown.replace(b'\r\n', b''), shown
