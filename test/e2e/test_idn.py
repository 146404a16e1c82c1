"""Domains with letters beyond ASCII: a domain has one form, its A-labels (RFC 5890), whichever was typed. An account added in one form gets its mail, signs in,
sends and is found in each of them; so do its aliases, rules, keys and routes."""
import base64
import json
import os
import poplib
import re
import smtplib
import time

import dkim
import pytest

import mailroom
import report
import sink
from test_delivery import TLS, conf, route

BOOKS, MUNICH = 'b\u00fccher.test', 'm\u00fcnchen.test'
BOOKS_ASCII, MUNICH_ASCII = 'xn--bcher-kva.test', 'xn--mnchen-3ya.test'
FORMS = [BOOKS, 'B\u00dcCHER.Test', BOOKS_ASCII, 'XN--BCHER-KVA.test', 'bu\u0308cher.test']
SIZE, SIZE_ASCII = 'gr\u00f6\u00dfe.test', 'xn--gre-6ka8i.test'  # elsewhere; the sharp s stays one
JO, EVA, ALICE = 'jo@' + BOOKS, 'eva@' + BOOKS, 'alice@mailroom.test'
NO_UTF8 = ('PIPELINING', '8BITMIME', 'ENHANCEDSTATUSCODES', 'DSN')
ids = [ascii(f).replace('\\', '') for f in FORMS]


@pytest.fixture(scope='module')
def sinks():
    def answer(stage, text, session):
        return '550 5.1.1 nobody' if stage == 'rcpt' and 'refused' in text else None
    with sink.Sink(answer=answer) as wide, sink.Sink(answer=answer, offer=NO_UTF8) as plain:
        yield {'wide': wide, 'plain': plain}


@pytest.fixture(scope='module')
def system(sinks):
    routes = route(sinks['wide'].port, SIZE.upper().replace('SS', '\u00df')) + route(sinks['plain'].port)
    network = 'network "lan" {\n\taddresses = "127.0.0.7"\n\tsenders = "%s"\n}\n' % BOOKS
    with mailroom.System(conf=conf(routes + network), accounts=('alice',), start=False) as m:
        path = os.path.join(m.home, 'mailroom.conf')
        with open(path) as f:
            text = f.read()
        with open(path, 'w') as f:
            f.write(text.replace('listener "mx" {\n', 'listener "mx" {\n\trelay-networks = "lan"\n'))
        m.start()
        m.run('domain', 'add', BOOKS)
        m.run('domain', 'add', MUNICH_ASCII)
        for address in (JO, EVA, 'jo@' + MUNICH_ASCII):
            m.account(address)
        m.password['jo@' + MUNICH] = m.password['jo@' + MUNICH_ASCII]
        yield m


def mx(m, rcpt, sender='a@example.org', subject='t'):
    """the answer to RCPT, or to the end of the message"""
    with mailroom.Wire(m.port['mx']) as w:
        w.ask('EHLO example.org')
        w.ask('MAIL FROM:<%s> SMTPUTF8' % sender)
        said = w.ask('RCPT TO:<%s>' % rcpt)
        if said.startswith('250'):
            w.ask('DATA')
            said = w.ask('From: a@example.org\r\nSubject: %s\r\nMessage-ID: <%s@x>\r\n\r\ntext\r\n.' % (subject, time.monotonic_ns()))
        return said


def signed_in(m, login, password):
    c = smtplib.SMTP_SSL('127.0.0.1', m.port['submissions'], context=TLS, timeout=30)
    c.ehlo()
    code, words = c.docmd('AUTH', 'PLAIN ' + base64.b64encode(('\0%s\0%s' % (login, password)).encode()).decode())
    if code != 235:
        raise smtplib.SMTPAuthenticationError(code, words)
    return c


def submit(m, rcpt, sender=JO, frm=None, account=JO, subject='t'):
    """None, or what refused it"""
    c = signed_in(m, account, m.password[account])
    try:
        text = 'From: %s\r\nSubject: %s\r\nMessage-ID: <%d@x>\r\n\r\ntext\r\n' % (frm or sender, subject, time.monotonic_ns())
        c.sendmail(sender, [rcpt], text.encode(), mail_options=['SMTPUTF8', 'BODY=8BITMIME'])
    except smtplib.SMTPResponseException as e:
        return '%d %s' % (e.smtp_code, e.smtp_error.decode())
    except smtplib.SMTPRecipientsRefused as e:
        return str(e.recipients)
    finally:
        c.close()
    return None


def got(m, account, subject):
    """how many messages with that subject lie there; takes all out"""
    return sum(b'Subject: %s\r' % subject.encode() in text for text in report.fetch(m, account, delete=True))


def arrived(s, rcpt, timeout=30):
    end = time.monotonic() + timeout
    while True:
        for _, sender, rcpts, text in list(s.mail):
            if rcpt in rcpts:
                return sender, text
        assert time.monotonic() < end, (rcpt, s.mail)
        time.sleep(0.05)


# ---- mail that comes

@pytest.mark.parametrize('form', FORMS, ids=ids)
def test_mail_comes_in_every_form(system, form):
    assert mx(system, 'jo@' + form, subject='mx').startswith('250')
    assert mx(system, 'Jo+detail@' + form, subject='mx').startswith('250')
    assert got(system, JO, 'mx') == 2
    assert '(rcpt-unknown' in mx(system, 'nobody@' + form)


def test_a_domain_added_by_its_a_labels(system):
    for domain in (MUNICH, MUNICH.upper(), MUNICH_ASCII):
        assert mx(system, 'jo@' + domain, subject='munich').startswith('250')
    assert got(system, 'jo@' + MUNICH, 'munich') == 3


def test_a_server_without_smtputf8_reaches_it(system):
    with smtplib.SMTP('127.0.0.1', system.port['mx'], timeout=30) as s:
        s.sendmail('a@example.org', ['jo@' + BOOKS_ASCII], 'Subject: plain\r\n\r\ntext\r\n')
    assert got(system, JO, 'plain') == 1


def test_another_domain_is_another_one(system):
    for domain in ('bucher.test', 'b\u00f6cher.test', 'xn--bcher-kvb.test', 'x.' + BOOKS):
        assert '(relay-denied-address' in mx(system, 'jo@' + domain), domain


def test_one_message_to_all_forms_is_one(system):
    with mailroom.Wire(system.port['mx']) as w:
        w.ask('EHLO example.org')
        w.ask('MAIL FROM:<a@example.org> SMTPUTF8')
        assert all(w.ask('RCPT TO:<jo@%s>' % form).startswith('250') for form in FORMS)
        w.ask('DATA')
        assert w.ask('Subject: once\r\n\r\ntext\r\n.').startswith('250')
    assert got(system, JO, 'once') == 1


def test_alias_and_catch_all(system):
    system.run('alias', 'add', 'shop@' + BOOKS_ASCII, 'eva@' + FORMS[1])
    for form in FORMS:
        assert mx(system, 'shop@' + form, subject='alias').startswith('250')
    assert got(system, EVA, 'alias') == len(FORMS)
    p = system.run('alias', 'add', 'shop@' + BOOKS, 'eva@' + BOOKS_ASCII, check=False)
    assert p.returncode and 'already' in p.stderr
    system.run('domain', 'catch-all', BOOKS_ASCII, 'jo@' + FORMS[4])
    assert all(mx(system, 'whoever@' + form, subject='all').startswith('250') for form in FORMS)
    assert got(system, JO, 'all') == len(FORMS)
    system.run('domain', 'catch-all', FORMS[1], '--none')
    system.run('alias', 'remove', 'shop@' + BOOKS)
    assert '(rcpt-unknown' in mx(system, 'shop@' + BOOKS_ASCII)


def test_rules_of_a_domain(system):
    system.run('domain', 'rule', 'add', BOOKS, 'allow-from', '192.0.2.0/24')
    assert [r['value'] for r in json.loads(system.run('domain', 'rule', 'list', BOOKS_ASCII, '--json'))] == ['192.0.2.0/24']
    for form in FORMS:
        assert '(rcpt-domain-allow-list; rule: %s;' % BOOKS_ASCII in mx(system, 'jo@' + form), form
    system.run('domain', 'rule', 'remove', BOOKS_ASCII, 'allow-from', '192.0.2.0/24')
    system.run('domain', 'rule', 'add', BOOKS_ASCII, 'refuse-header', 'Subject: spam')
    for form in FORMS:
        assert '(spam-content; rule: %s;' % BOOKS_ASCII in mx(system, 'jo@' + form, subject='spam'), form
    with mailroom.Wire(system.port['mx']) as w:  # one transaction for all forms of one domain
        w.ask('EHLO example.org')
        w.ask('MAIL FROM:<a@example.org> SMTPUTF8')
        assert all(w.ask('RCPT TO:<jo@%s>' % form).startswith('250') for form in FORMS)
    system.run('domain', 'rule', 'remove', FORMS[1], 'refuse-header', 'Subject: spam')
    system.run('domain', 'require-tls', FORMS[1], 'on')
    assert all('(rcpt-domain-requires-tls' in mx(system, 'jo@' + form) for form in FORMS)
    system.run('domain', 'require-tls', BOOKS_ASCII, 'off')
    system.run('domain', 'guard', BOOKS_ASCII, 'on')
    assert all('(sender-unauthenticated' in mx(system, JO, sender='eva@' + form) for form in FORMS)
    system.run('domain', 'guard', BOOKS, 'off')
    assert mx(system, JO, sender='eva@' + BOOKS_ASCII).startswith('250')


# ---- signing in

@pytest.mark.parametrize('form', FORMS, ids=ids)
def test_sign_in(system, form):
    signed_in(system, 'jo@' + form, system.password[JO]).close()
    p = poplib.POP3_SSL('127.0.0.1', system.port['pop3s'], context=TLS, timeout=30)
    p.user('Jo@' + form)
    p.pass_(system.password[JO])
    p.quit()
    with pytest.raises(smtplib.SMTPAuthenticationError):
        signed_in(system, 'jo@' + form, system.password[EVA])
    with pytest.raises(smtplib.SMTPAuthenticationError):
        signed_in(system, 'jo@' + form.replace('b', 'c').replace('B', 'c'), system.password[JO])


def test_a_new_password_and_a_switched_off_account(system):
    system.run('account', 'passwd', 'jo@' + BOOKS_ASCII, '--password-stdin', input='Another-Pw 2\n')
    system.password[JO] = 'Another-Pw 2'
    signed_in(system, JO, 'Another-Pw 2').close()
    system.run('account', 'disable', 'jo@' + FORMS[1])
    with pytest.raises(smtplib.SMTPAuthenticationError):
        signed_in(system, JO, 'Another-Pw 2')
    system.run('account', 'enable', 'jo@' + FORMS[4])
    signed_in(system, 'jo@' + BOOKS_ASCII, 'Another-Pw 2').close()


# ---- sending

@pytest.mark.parametrize('form', FORMS, ids=ids)
def test_own_and_others_addresses(system, form):
    for sender, frm in (('jo@' + form, JO), (JO, 'Jo <jo@%s>' % form), ('jo+x@' + form, 'jo@' + form)):
        assert submit(system, ALICE, sender=sender, frm=frm, subject='own') is None, (sender, frm)
    assert got(system, ALICE, 'own') == 3
    assert '(sender-not-owned' in submit(system, ALICE, sender='eva@' + form)
    assert '(sender-not-owned' in submit(system, ALICE, sender=JO, frm='eva@' + form)
    assert '(sender-not-owned' in submit(system, ALICE, sender='jo@' + form.replace('b', 'c').replace('B', 'c'))


def test_send_as(system):
    system.run('account', 'send-as', 'add', ALICE, 'eva@' + BOOKS_ASCII)
    assert all(submit(system, ALICE, sender='eva@' + form, account=ALICE) is None for form in FORMS)
    assert '(sender-not-owned' in submit(system, ALICE, sender=JO, account=ALICE)
    system.run('account', 'send-as', 'remove', ALICE, EVA)
    assert '(sender-not-owned' in submit(system, ALICE, sender=EVA, account=ALICE)
    system.run('account', 'send-as', 'add', ALICE, '@' + BOOKS)
    assert all(submit(system, ALICE, sender='any@' + form, account=ALICE) is None for form in FORMS)
    system.run('account', 'send-as', 'remove', ALICE, '@' + BOOKS_ASCII)


@pytest.mark.parametrize('form', FORMS, ids=ids)
def test_senders_of_a_network(system, form):
    with smtplib.SMTP('127.0.0.1', system.port['mx'], timeout=30, source_address=('127.0.0.7', 0)) as s:
        s.ehlo()
        assert s.mail('printer@' + form, ['SMTPUTF8'])[0] == 250 and s.rcpt('x@elsewhere.test')[0] == 250
        s.rset()
        answers = s.mail('printer@x.' + form, ['SMTPUTF8']), s.rcpt('x@elsewhere.test')
        assert 'relay-credentials' in str(answers)


def test_bounces_come_back(system, sinks):
    """it left under its A-labels, as the next server takes no other; a bounce to those reaches the account, and so does one of our own"""
    report.fetch(system, JO, delete=True)
    assert submit(system, 'x@elsewhere.test', sender=JO, frm='jo@' + BOOKS_ASCII) is None
    sender, text = arrived(sinks['plain'], 'x@elsewhere.test')
    assert sender == 'jo@' + BOOKS_ASCII
    with smtplib.SMTP('127.0.0.1', system.port['mx'], timeout=30) as s:
        s.sendmail('', [sender], 'Subject: bounce\r\n\r\ntext\r\n')
    assert got(system, JO, 'bounce') == 1
    for form in (BOOKS, BOOKS_ASCII):
        assert submit(system, 'refused@elsewhere.test', sender='jo@' + form, frm='jo@' + BOOKS_ASCII) is None
        assert b'refused@elsewhere.test' in report.wait(system, account=JO)[0]


@pytest.mark.parametrize('domain', [SIZE, SIZE_ASCII, SIZE.capitalize()])
def test_a_route_by_its_letters(system, sinks, domain):
    rcpt = 'r%d@%s' % (len(sinks['wide'].mail), domain)
    assert submit(system, rcpt) is None
    arrived(sinks['wide'], rcpt.lower())


def test_forwarded_mail_and_its_bounce(system, sinks):
    system.run('alias', 'add', 'out@' + BOOKS, 'f@elsewhere.test')
    assert mx(system, 'out@' + BOOKS, sender='a@' + SIZE).startswith('250')
    sender, _ = arrived(sinks['plain'], 'f@elsewhere.test')
    assert sender.startswith('SRS0=') and sender.endswith('=%s=a@%s' % (SIZE_ASCII, BOOKS_ASCII)), sender
    with smtplib.SMTP('127.0.0.1', system.port['mx'], timeout=30) as s:
        s.sendmail('', [sender], 'Subject: back\r\n\r\ntext\r\n')
    assert mx(system, sender.replace(BOOKS_ASCII, BOOKS), sender='').startswith('250')
    arrived(sinks['wide'], 'a@' + SIZE_ASCII)


def test_dkim(system, sinks):
    system.run('domain', 'dkim', 'add', BOOKS, '--algorithm', 'ed25519', '--selector', 'one', '--now')
    row, = json.loads(system.run('domain', 'dkim', 'list', BOOKS_ASCII, '--json'))
    assert (row['domain'], row['name']) == (BOOKS_ASCII, row['selector'] + '._domainkey.' + BOOKS_ASCII)
    assert system.run('domain', 'dkim', 'record', FORMS[1]).startswith(row['name'] + '. IN TXT')
    signed = n = 0
    while not signed:  # the relays hear of it in a moment
        assert submit(system, 'early%d@elsewhere.test' % n, frm=JO.replace(BOOKS, BOOKS_ASCII)) is None
        signed = b'DKIM-Signature:' in arrived(sinks['plain'], 'early%d@elsewhere.test' % n)[1]
        n += 1
        assert n < 100
    for n, (domain, s) in enumerate(((BOOKS, 'wide'), (FORMS[1], 'wide'), (BOOKS_ASCII, 'wide'), (BOOKS_ASCII, 'plain'))):
        rcpt = 'signed%d@%s' % (n, SIZE_ASCII if s == 'wide' else 'elsewhere.test')
        assert submit(system, rcpt, frm='Jo <jo@%s>' % domain) is None
        _, text = arrived(sinks[s], rcpt)
        assert re.search(rb'\sd=%s;' % BOOKS_ASCII.encode(), text), text
        assert dkim.DKIM(text).verify(dnsfunc=lambda name, timeout=5: row['record'].encode() if name.decode().rstrip('.') == row['name'] else b'')


# ---- looking

def test_what_waits_is_found_in_either_form(system):
    queued = []
    with mailroom.System(conf=conf(relays=0), accounts=('alice',)) as m:
        m.run('domain', 'add', BOOKS)
        m.account(JO)
        for rcpt in ('q@' + SIZE, 'q@' + SIZE_ASCII, 'other@far.test'):
            assert submit(m, rcpt) is None
        for domain in (SIZE, SIZE_ASCII, SIZE.capitalize()):
            assert len(json.loads(m.run('queue', 'list', '--domain', domain, '--json'))) == 2
            assert len(json.loads(m.run('queue', 'list', '--recipient', 'q@' + domain, '--json'))) == 2
        for form in FORMS:
            for option in ('--sender', '--account'):
                queued = json.loads(m.run('queue', 'list', option, 'jo@' + form, '--json'))
                assert len(queued) == 3, (option, form)
        assert {row['sender'] for row in queued} == {JO}  # as it was given
        table = m.run('queue', 'list')
        assert '\\x' not in table and table.count('q@' + SIZE_ASCII) == 2 and table.count('jo@' + BOOKS_ASCII) == 3
        m.run('queue', 'remove', '--domain', SIZE)
        assert len(json.loads(m.run('queue', 'list', '--json'))) == 1


def test_why_and_would_accept(system):
    assert mx(system, 'gone@' + BOOKS).startswith('550') and mx(system, 'gone@' + BOOKS_ASCII).startswith('550')
    end = time.monotonic() + 30
    while system.run('why', 'gone@' + BOOKS, '--json', check=False).stdout.count('"rcpt-unknown"') < 2:  # written down a moment later
        assert time.monotonic() < end, system.run('why', 'gone@' + BOOKS, check=False)
        time.sleep(0.1)
    told = [json.loads(system.run('why', 'gone@' + form, '--json')) for form in FORMS]
    assert all(t == told[0] for t in told) and len(told[0]) >= 2, told
    for form in FORMS:
        assert 'rcpt-unknown' in system.run('would-accept', '--from', 'a@example.org', '--to', 'gone@' + form, '--listener', 'mx', check=False).stdout
        assert json.loads(system.run('would-accept', '--from', 'a@example.org', '--to', 'jo@' + form, '--listener', 'mx', '--json'))['accepted']


def test_accounts_and_domains_are_shown(system):
    for form in FORMS:
        rows = json.loads(system.run('account', 'list', form, '--json'))
        assert {r['address'] for r in rows} == {JO, EVA}  # as they were typed
        assert json.loads(system.run('account', 'show', 'jo@' + form, '--json'))['address'] == JO
        p = system.run('domain', 'add', form, check=False)
        assert p.returncode and 'already' in p.stderr
        p = system.run('account', 'add', 'jo@' + form, '--password-stdin', input='Some-Pw-12345 x\n', check=False)
        assert p.returncode
    tables = system.run('account', 'list') + system.run('domain', 'list') + system.run('account', 'show', JO)
    assert '\\x' not in tables and 'jo@' + BOOKS_ASCII in tables, tables
    lines = system.run('account', 'list', BOOKS).splitlines()
    assert len({line.index('enabled') for line in lines[1:]} | {lines[0].index('STATE')}) == 1


def test_init_with_letters(tmp_path):
    home = str(tmp_path / 'home')
    os.mkdir(home)
    with mailroom.System(home=home, accounts=(), start=False) as m:
        os.remove(os.path.join(home, 'mailroom.conf'))
        m.run('init', '--hostname', 'mail.' + BOOKS, '--domain', BOOKS)
        m.run('check')
        assert BOOKS_ASCII in m.run('domain', 'list')
