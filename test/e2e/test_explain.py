"""mailroom explain from the command line: every form by itself, from arguments, files and standard input; what it measures is in test_explain_accuracy.py."""
import json
import random
import subprocess

import pytest

import mailroom

SWAKS = '''=== Trying mx.example.org:25...
<-  220 mx.example.org ESMTP Postfix
 -> EHLO pc
<-  250-mx.example.org
<-  250 STARTTLS
 -> MAIL FROM:<a@example.org>
<-  250 2.1.0 Ok
 -> RCPT TO:<b@example.com>
<** 554 5.7.1 <b@example.com>: Relay access denied
 -> DATA
<** 554 5.5.1 Error: no valid recipients
 -> QUIT
<-  221 2.0.0 Bye
'''
REJECT = ('Nov 22 09:00:%02d mx postfix/smtpd[%d]: NOQUEUE: reject: RCPT from h[192.0.2.1]: 554 5.7.1 <b@x.example>: Relay access denied; from=<a%d@y.example> '
          'to=<b@x.example> proto=SMTP helo=<h>\n')


def explain(*args, text='', binary=None, timeout=60):
    p = subprocess.run([mailroom.program(), 'explain', *args], input=binary if binary is not None else text.encode(), capture_output=True, timeout=timeout)
    assert p.returncode in (0, 1), (args, p.returncode, p.stderr)
    return p.stdout.decode()


def as_json(*args, **kind):
    return json.loads(explain('--json', *args, **kind))


def test_json_has_what_scripts_need():
    d = as_json('554 5.7.1 <a@b.example>: Relay access denied')
    assert d['causes'][0]['slug'] == 'relay-denied-unauth' and 0.85 < d['causes'][0]['confidence'] <= 1
    assert d['emitter'] and 'Relay access denied' in d['evidence'] and d['retry'] == 'after-fix' and {f['who'] for f in d['fix']} >= {'client', 'admin'}
    assert d['verdict'] == 'relay-denied-unauth' and d['form'] == 'reply'
    for cause in d['causes']:
        assert set(cause) >= {'slug', 'confidence', 'fix', 'retry', 'evidence', 'emitter'}


def test_what_the_words_do_not_decide_is_said():
    d = as_json('503 valid RCPT command must precede DATA')
    assert d['undecided'] and d['verdict'] == 'insufficient-text' and d['decide']
    assert {c['slug'] for c in d['causes'][:2]} == {'rcpt-none-accepted', 'auth-required'}
    nothing = as_json('the weather is fine today')
    assert [c['slug'] for c in nothing['causes']] == ['insufficient-text'] and nothing['causes'][0]['confidence'] == 0


def test_short_and_why():
    short, why = explain('550 5.7.1 Relaying denied'), explain('--why', '550 5.7.1 Relaying denied')
    assert 'Seen: 550 5.7.1 Relaying denied' in short and 'What to do' in short and 'sure' in short and len(short) < 900
    assert 'Speaks for it' in why and 'Likely because' in why and 'Administrator' in why


def test_a_file_an_option_and_standard_input_say_the_same(tmp_path):
    file = tmp_path / 'talk.txt'
    file.write_text(SWAKS)
    answers = [explain('--json', str(file)), explain('--json', '--file', str(file)), explain('--json', text=SWAKS),
               explain('--json', '-', text=SWAKS), explain('--json', '--file', '-', text=SWAKS)]
    assert answers == answers[:1] * 5
    d = json.loads(answers[0])
    assert d['form'] == 'transcript' and d['causes'][0]['slug'] == 'auth-not-advertised' and 'relay-denied-unauth' in [c['slug'] for c in d['causes']]
    assert any('STARTTLS' in s for s in d['chain']) and 'DATA was refused, since no recipient was accepted' in d['chain'][-1]
    assert 'no such file' in subprocess.run([mailroom.program(), 'explain', '--file', str(tmp_path / 'none')], capture_output=True, text=True).stderr.lower()


def test_batch(tmp_path):
    file = tmp_path / 'lines'
    file.write_bytes(b'550 5.1.1 no such user\n\n' + SWAKS.replace('\n', '\\n').encode() + b'\n\xff\x00\x1b[2J\n' + b'x' * 600000 + b'\n552 5.2.2 mailbox full')
    lines = [json.loads(line) for line in explain('--batch', str(file)).splitlines()]
    assert [d['line'] for d in lines] == [1, 2, 3, 4, 5, 6]
    assert [d['verdict'] for d in lines] == ['rcpt-unknown', 'insufficient-text', 'auth-not-advertised', 'insufficient-text', 'insufficient-text', 'rcpt-mailbox-full']
    assert lines[2]['form'] == 'transcript'


def test_programs():
    out = explain('--program', 'thunderbird', '535 5.7.8 authentication failed')
    assert 'auth-bad-credentials' in out and 'Thunderbird' in out and 'outgoing-auth' in out
    p = subprocess.run([mailroom.program(), 'explain', '--program', 'pegasus', '503'], capture_output=True, text=True)
    assert p.returncode == 2 and 'thunderbird' in p.stderr


def test_a_log_becomes_a_table(tmp_path):
    log = tmp_path / 'mail.log'
    log.write_text(''.join(REJECT % (i % 60, i % 7, i % 3) for i in range(3000)) + 'Nov 22 10:00:00 mx postfix/smtpd[1]: warning: h[192.0.2.1]: SASL PLAIN authentication failed: x, '
                   'sasl_username=alice\n' + 'noise \x1b[31m\n' * 100)
    d = as_json(str(log))
    assert d['form'] == 'log' and d['lines'] == 3101 and d['refusals'] == 3001
    first, second = d['causes']
    assert first['slug'] == 'relay-denied-unauth' and first['count'] == 3000 and first['first'] == 'Nov 22 09:00:00' and first['last'] == 'Nov 22 09:00:59'
    assert {(n['name'], n['count']) for n in first['names']} == {('a%d@y.example' % i, 1000) for i in range(3)} and first['others'] == 0
    assert 'Relay access denied' in first['evidence'] and first['fix'] and second['names'] == [{'name': 'alice', 'count': 1}]
    out = explain(str(log))
    assert '3000  relay-denied-unauth' in out and 'a1@y.example (1000)' in out


def test_a_few_lines_of_a_log_are_an_answer(tmp_path):
    log = tmp_path / 'mail.log'
    log.write_text('Nov 22 08:59:59 mx postfix/smtpd[1]: connect from h[192.0.2.1]\n' + REJECT % (1, 1, 1))
    out = explain(str(log))
    assert 'Cause: relay-denied-unauth' in out and 'What to do' in out and 'count  cause' not in out
    assert as_json(str(log))['refusals'] == 1
    log.write_text(REJECT % (1, 1, 1) + REJECT % (2, 2, 2))
    assert 'count  cause' in explain(str(log))
    log.write_text('Nov 22 08:59:59 mx postfix/smtpd[1]: connect from h[192.0.2.1]\n')
    assert '1 line, 0 refusals.' in explain(str(log))


SECRET = 'Zebra-Quagga-7'


def test_no_password_is_shown(tmp_path):
    import base64
    plain, alone = base64.b64encode(b'\0alice\0' + SECRET.encode()).decode(), base64.b64encode(SECRET.encode()).decode()
    texts = [f'C: EHLO x\nS: 250 AUTH PLAIN LOGIN\nC: AUTH PLAIN {plain}\nS: 535 5.7.8 no\n', f'S: 220 x\nC: EHLO x\nS: 250 AUTH LOGIN\nC: AUTH LOGIN\nS: 334 VXNlcm5hbWU6\nC: YWxpY2U=\nS: 334 UGFzc3dvcmQ6\nC: {alone}\n'
             'S: 535 5.7.8 no\n', f'+OK hi\nUSER alice\n+OK\nPASS {SECRET}\n-ERR [AUTH] no\n', f'535 refused AUTH PLAIN {plain}', f'C: A1 LOGIN alice {SECRET}\n535 no', f'550 no password={SECRET}',
             f'535 smtp://alice:{SECRET}@mx.example.org failed', f'AUTH PLAIN {plain}\n535 no']
    for text in texts:
        for options in (['--json'], ['--why'], []):
            out = explain(*options, text=text)
            assert SECRET not in out and plain not in out and alone not in out, (options, text, out)


def test_escapes_never_pass():
    for text in (b'550 5.7.1 \x1b[2J\x1b]0;owned\x07 relaying denied \xe2\x80\xae\xc2\x9b31m', SWAKS.replace('denied', '\x1b[31mdenied').encode(), b'Nov 22 09:00:01 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from h[1]: '
                 b'554 5.7.1 \x1b[2J<b@x>: Relay access denied; from=<\x1b[31m@y> to=<b@x>\n'):
        for options in ([], ['--why'], ['--json']):
            out = explain(*options, binary=text)
            assert not any(ord(c) < 32 and c != '\n' or c in '\x7f\u202e\x9b' for c in out), (options, out)


def test_anything_is_taken_and_bounded():
    rng = random.Random(5)
    for size in (1, 100, 70000, 3000000):
        explain(binary=rng.randbytes(size))
    explain(binary=b'5' * 5000000)
    explain(binary=b'550 ' * 1000000)
    explain(binary=b'\n' * 1000000)
    explain(binary=b'C: EHLO\nS: 250\n' * 200000)
    explain(binary=b'Nov 22 09:00:01 mx postfix/smtpd[1]: ' + b'x' * 30000000)


def test_memory_is_flat_over_a_log(tmp_path):
    log = tmp_path / 'mail.log'
    peaks = []
    for count in (2000, 60000):
        log.write_text(''.join(REJECT % (i % 60, i, i) for i in range(count)))
        p = subprocess.run(['/usr/bin/time', '-f', '%M', mailroom.program(), 'explain', str(log)], capture_output=True, text=True)
        if p.returncode == 127:
            pytest.skip('no time(1)')
        peaks.append(int(p.stderr.split()[-1]))
    assert peaks[1] < peaks[0] + 16384, peaks


def test_the_log_of_a_running_server_is_explained():
    with mailroom.System() as system:
        with mailroom.Wire(system.port['mx']) as w:
            for line in ('EHLO pc', 'MAIL FROM:<you@example.org>', 'RCPT TO:<friend@elsewhere.example>', 'DATA'):
                w.ask(line)
        system.wait_log('cause=rcpt-none-accepted')
        d = as_json(text=system.log())
    assert d['form'] == 'log' and d['causes'][0]['slug'] == 'relay-denied-unauth' and d['consequences'] == 1
