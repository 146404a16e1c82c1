"""Delivery reports as their reader gets them: fetched from a mailbox by POP3, taken apart by Python's email package, and held against RFC 3461 to 3464 and 6533."""
import email
import email.policy
import email.utils
import poplib
import re
import ssl
import time

TLS = ssl.create_default_context()
TLS.check_hostname, TLS.verify_mode = False, ssl.CERT_NONE
ACTIONS = ('failed', 'delayed', 'delivered', 'relayed', 'expanded')


def fetch(m, account='alice@mailroom.test', delete=False):
    """the messages of a mailbox, bytes"""
    p = poplib.POP3_SSL('127.0.0.1', m.port['pop3s'], context=TLS, timeout=30)
    p.user(account)
    p.pass_(m.password[account])
    count = p.stat()[0]
    out = [b'\r\n'.join(p.retr(i + 1)[1]) + b'\r\n' for i in range(count)]
    for i in range(count if delete else 0):
        p.dele(i + 1)
    p.quit()
    return out


def wait(m, count=1, account='alice@mailroom.test', timeout=30, more=0):
    """waits for so many messages, then `more` seconds to see that no further one comes; takes them out"""
    end = time.monotonic() + timeout
    while len(fetch(m, account)) < count:
        said = [line for line in m.log().splitlines() if 'event=sign' not in line and 'event=session' not in line]
        assert time.monotonic() < end, '%d of %d messages\n%s\n%s' % (len(fetch(m, account)), count, m.run('queue', 'list'), '\n'.join(said)[-6000:])
        time.sleep(0.2)
    time.sleep(more)
    found = fetch(m, account, delete=True)
    assert len(found) == count, [x.decode('utf-8', 'replace')[:600] for x in found]
    return found


class Report:
    """.text: what a person reads; .message: fields of the message; .rcpts: fields of each recipient; .original: the returned part, .whole: is it all of it"""

    def __init__(self, raw):
        self.raw = raw
        self.mail = mail = email.message_from_bytes(raw, policy=email.policy.default)
        assert not mail.defects, mail.defects
        assert mail.get_content_type() == 'multipart/report' and mail['Auto-Submitted'] == 'auto-replied' and mail['MIME-Version'] == '1.0'
        assert len(mail.get_all('Message-ID')) == len(mail.get_all('Date')) == len(mail.get_all('From')) == len(mail.get_all('To')) == 1
        assert mail['From'].addresses[0].addr_spec == 'postmaster@mailroom.test'
        assert raw.replace(b'\r\n', b'').count(b'\n') == raw.replace(b'\r\n', b'').count(b'\r') == 0
        self.utf8 = mail['Content-Type'].params['report-type'] == 'global-delivery-status'
        parts = mail.get_payload()
        assert len(parts) == 3
        assert parts[0].get_content_type() == 'text/plain'
        self.text = parts[0].get_content()
        assert parts[1].get_content_type() == ('message/global-delivery-status' if self.utf8 else 'message/delivery-status')
        self.status(parts[1])
        kind = parts[2].get_content_type()
        assert kind in (('message/global', 'message/global-headers') if self.utf8 else ('message/rfc822', 'text/rfc822-headers')), kind
        self.whole = kind in ('message/rfc822', 'message/global')
        boundary = mail.get_boundary().encode()
        self.original = raw.split(b'--' + boundary)[3].split(b'\r\n\r\n', 1)[1].removesuffix(b'\r\n')
        assert self.whole or b'\r\n\r\n' not in self.original.rstrip(b'\r\n')
        if not self.utf8:
            assert parts[1].as_bytes().isascii()
        if not raw.isascii():  # RFC 2045 6.4: a multipart says so, too
            assert mail['Content-Transfer-Encoding'] == '8bit'

    def status(self, part):
        blocks = part.get_payload()
        if isinstance(blocks, str):  # the parser knows no message/global-delivery-status
            blocks = [email.message_from_bytes(b, policy=email.policy.default) for b in re.split(rb'\r?\n\r?\n', part.get_payload(decode=True).strip())]
        elif self.utf8 or len(blocks) == 1:
            text = part.as_bytes().split(b'\n\n', 1)[1].strip()
            blocks = [email.message_from_bytes(b, policy=email.policy.default) for b in re.split(rb'\r?\n\r?\n', text)]
        self.message, self.rcpts = blocks[0], [b for b in blocks[1:] if b.keys()]
        assert self.message['Reporting-MTA'] == 'dns; mail.mailroom.test'
        assert email.utils.parsedate_to_datetime(self.message['Arrival-Date'])
        assert self.rcpts
        for r in self.rcpts:
            assert re.fullmatch(r'(rfc822|utf-8); \S+', r['Final-Recipient'])
            assert r['Action'] in ACTIONS
            assert re.fullmatch(r'[245]\.\d{1,3}\.\d{1,3}', r['Status'])
            assert r['Status'][0] == {'failed': '5', 'delayed': '4'}.get(r['Action'], '2')
            assert len(r.keys()) == len({k.lower() for k in r.keys()})
            if r['Last-Attempt-Date']:
                assert email.utils.parsedate_to_datetime(r['Last-Attempt-Date'])
            if r['Remote-MTA']:
                assert re.fullmatch(r'dns; \S+', r['Remote-MTA']) and re.match(r'smtp; \d{3}', r['Diagnostic-Code'])

    def of(self, address):
        """the fields of that recipient"""
        found = [r for r in self.rcpts if r['Final-Recipient'].split('; ')[1] == address]
        assert len(found) == 1, (address, [r['Final-Recipient'] for r in self.rcpts])
        return found[0]

    def words(self):
        """the text as one line"""
        return ' '.join(self.text.split())


def wait_report(m, **more):
    return Report(wait(m, 1, **more)[0])
