"""explain on what real mail servers say and log: Postfix and Exim from Debian's packages, unpacked below a folder of their own. Left out where they cannot be had."""
import json
import os
import shutil
import smtplib
import subprocess
import time

import pytest

import mailroom

EXIM = '''primary_hostname = mx.bench.test
exim_user = mail
exim_group = mail
spool_directory = {dir}/spool
log_file_path = {dir}/log/%s
pid_file_path = {dir}/exim.pid
domainlist local_domains = bench.test
acl_smtp_rcpt = acl_rcpt
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
tls_advertise_hosts =
keep_environment =
begin acl
acl_rcpt:
  accept authenticated = *
  require message = relay not permitted
          domains = +local_domains
  require verify = recipient
  accept
begin routers
boxes:
  driver = accept
  domains = +local_domains
  local_parts = alice
  transport = file
begin transports
file:
  driver = appendfile
  file = {dir}/mbox
  user = mail
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{alice}}}}{{eq{{$auth3}}{{secret}}}}}}}}
  server_set_id = $auth2
'''


def explain(text):
    p = subprocess.run([mailroom.program(), 'explain', '--json'], input=text, capture_output=True, text=True, timeout=60)
    assert p.returncode in (0, 1), p.stderr
    return json.loads(p.stdout)


class Recorder(smtplib.SMTP):
    """keeps the conversation as such programs print it"""

    def __init__(self, port):
        self.talk = []
        super().__init__(timeout=20)
        self.talk.append('S: %d %s' % (lambda r: (r[0], r[1].decode()))(self.connect('127.0.0.1', port)))

    def putcmd(self, cmd, args=''):
        self.talk.append('C: ' + (f'{cmd} {args}' if args else cmd))
        super().putcmd(cmd, args)

    def getreply(self):
        code, text = super().getreply()
        lines = text.decode(errors='replace').split('\n')
        if hasattr(self, 'talk') and self.talk:
            self.talk += ['S: %d%s%s' % (code, '-' if i + 1 < len(lines) else ' ', line) for i, line in enumerate(lines)]
        return code, text


def wait_for(port):
    for _ in range(100):
        try:
            smtplib.SMTP('127.0.0.1', port, timeout=5).quit()
            return
        except OSError:
            time.sleep(0.1)
    pytest.skip('the server did not start')


@pytest.fixture(scope='module')
def exim(tmp_path_factory):
    """(port, log file). Debian's Exim has the name of its user compiled in; it gets one in a mount namespace of its own."""
    if os.geteuid() != 0 or not shutil.which('unshare'):
        pytest.skip('needs root')
    place = tmp_path_factory.mktemp('exim')
    for part in (place, *place.parents[:2]):
        os.chmod(part, 0o755)
    p = subprocess.run(['apt-get', 'download', '-qq', '-o', 'APT::Sandbox::User=root', 'exim4-daemon-light'], cwd=place, capture_output=True, text=True)
    if p.returncode:
        pytest.skip('no package')
    subprocess.run(['dpkg', '-x', next(str(f) for f in place.glob('*.deb')), str(place / 'pkg')], check=True)
    port = mailroom.free_ports(1)[0]
    for sub in ('spool', 'log'):
        (place / sub).mkdir()
        shutil.chown(place / sub, 'mail', 'mail')
    (place / 'exim.conf').write_text(EXIM.format(dir=place, port=port))
    for name, line in (('passwd', 'Debian-exim:x:8:8::/:/bin/false\n'), ('group', 'Debian-exim:x:8:\n')):
        with open('/etc/' + name, encoding='utf-8') as f:
            (place / name).write_text(f.read() + line)
    script = f'mount --bind {place}/passwd /etc/passwd && mount --bind {place}/group /etc/group && exec {place}/pkg/usr/sbin/exim4 -C {place}/exim.conf -bdf'
    process = subprocess.Popen(['unshare', '-m', 'sh', '-c', script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port, place / 'log/main'
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope='module')
def postfix():
    """(port, log file), as the benchmark sets it up"""
    if os.geteuid() != 0:
        pytest.skip('needs root')
    place = '/var/tmp/mailroom-explain-postfix'
    port = mailroom.free_ports(1)[0]
    script = os.path.join(mailroom.ROOT, 'bench/postfix.sh')
    p = subprocess.run(['bash', script, place, str(port), 'start'], capture_output=True, text=True)
    if p.returncode:
        pytest.skip('no Postfix: ' + p.stderr[-300:])
    try:
        wait_for(port)
        yield port, os.path.join(place, 'postfix.log')
    finally:
        subprocess.run(['bash', script, place, str(port), 'stop'], capture_output=True)
        shutil.rmtree(place, ignore_errors=True)


def relay_without_sign_in(port):
    s = Recorder(port)
    s.ehlo('pc')
    s.mail('alice@bench.test')
    s.rcpt('x@elsewhere.example')
    s.docmd('DATA')
    s.close()
    return '\n'.join(s.talk) + '\n'


def test_the_503_of_exim(exim):
    """the very text `Valid RCPT command must precede DATA`, traced back"""
    talk = relay_without_sign_in(exim[0])
    assert 'alid RCPT command must precede DATA' in talk
    d = explain(talk)
    assert d['form'] == 'transcript' and d['causes'][0]['slug'] == 'relay-denied-unauth' and d['causes'][0]['confidence'] > 0.7, talk
    assert any('offered AUTH' in step for step in d['chain']) and 'no recipient was accepted' in d['chain'][-1] and d['emitter'] == 'exim'


def test_a_wrong_password_and_helo_at_exim(exim):
    s = Recorder(exim[0])
    s.ehlo('pc')
    with pytest.raises(smtplib.SMTPAuthenticationError):
        s.login('alice', 'wrong')
    s.close()
    assert explain('\n'.join(s.talk))['causes'][0]['slug'] == 'auth-bad-credentials'
    s = Recorder(exim[0])
    s.helo('pc')
    s.docmd('AUTH', 'PLAIN AGFsaWNlAHNlY3JldA==')
    s.close()
    d = explain('\n'.join(s.talk))
    assert d['causes'][0]['slug'] == 'auth-not-advertised' and any('HELO' in step for step in d['chain'])


def test_the_log_of_exim(exim):
    relay_without_sign_in(exim[0])
    s = Recorder(exim[0])
    s.ehlo('pc')
    with pytest.raises(smtplib.SMTPAuthenticationError):
        s.login('alice', 'wrong')
    s.close()
    time.sleep(0.5)
    d = explain(exim[1].read_text())
    found = {c['slug']: c for c in d['causes']}
    assert d['form'] == 'log' and {'relay-denied-unauth', 'auth-bad-credentials'} <= set(found)
    assert found['auth-bad-credentials']['names'][0]['name'] == 'alice' and found['relay-denied-unauth']['names'][0]['name'] == 'alice@bench.test'


def test_postfix_says_and_logs(postfix):
    s = Recorder(postfix[0])
    s.ehlo('pc')
    s.mail('a@bench.test')
    s.rcpt('nobody@bench.test')
    s.docmd('DATA')
    s.close()
    d = explain('\n'.join(s.talk))
    assert d['causes'][0]['slug'] == 'rcpt-unknown' and d['emitter'] == 'postfix' and 'no recipient was accepted' in d['chain'][-1], (d, s.talk)
    time.sleep(0.5)
    with open(postfix[1], encoding='utf-8') as f:
        d = explain(f.read())
    assert d['form'] == 'log' and d['causes'][0]['slug'] == 'rcpt-unknown' and d['causes'][0]['names'][0]['name'] == 'a@bench.test'
