"""A stranger's first minutes: clone what is committed, make, run, stop, run again, demo, install. Takes a minute or two, so it runs only where
MAILROOM_FRESH is set; tools/run-tests.py fresh does that. Nothing that was built before is used."""
import os
import poplib
import re
import signal
import smtplib
import ssl
import subprocess

import pytest

import mailroom

pytestmark = pytest.mark.skipif(not os.environ.get('MAILROOM_FRESH'), reason='tools/run-tests.py fresh runs it')
# what a stranger's shell does not have
ENV = {k: v for k, v in os.environ.items() if not k.startswith(('MAKE', 'MAILROOM', 'ASAN', 'UBSAN', 'CC'))}


def make(clone, *args, timeout=600):
    p = subprocess.run(['make', *args], cwd=clone, env=ENV, capture_output=True, text=True, errors='replace', timeout=timeout)
    assert p.returncode == 0, 'make %s: status %d\n%s%s' % (' '.join(args), p.returncode, p.stdout[-4000:], p.stderr[-4000:])
    return p.stdout


@pytest.fixture(scope='module')
def clone(tmp_path_factory):
    place = tmp_path_factory.mktemp('fresh')
    for p in (place, place.parent):  # the roles run as users of their own
        os.chmod(p, 0o755)
    subprocess.run(['git', 'clone', '--quiet', mailroom.ROOT, str(place / 'mailroom')], check=True, env=ENV)
    make(place / 'mailroom')
    return place / 'mailroom'


@pytest.fixture
def ports():
    return dict(zip(mailroom.LISTENERS, mailroom.free_ports(5)))


def listen(ports):
    return 'ARGS=' + ' '.join('--listen %s=127.0.0.1:%d' % p for p in ports.items())


class Run:
    """make run, as at a terminal: a process group of its own"""

    def __init__(self, clone, ports):
        self.process = subprocess.Popen(['make', 'run', listen(ports)], cwd=clone, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
        self.said = ''
        for line in self.process.stdout:
            self.said += line
            if 'Ctrl-C' in line:
                return
        pytest.fail('it never came up:\n' + self.said)

    def stop(self, how):
        how(self.process.pid)
        rest = self.process.stdout.read()  # ends when the last process of the group has closed it
        self.process.wait(60)
        return rest


def test_make_builds_the_program(clone):
    out = subprocess.run([str(clone / 'build/src/cli/mailroom'), 'version'], capture_output=True, text=True).stdout
    assert re.match(r'mailroom \d', out)
    left = subprocess.run(['git', 'status', '--porcelain'], cwd=clone, env=ENV, capture_output=True, text=True).stdout
    assert not left, 'the build leaves files that git sees:\n' + left


@pytest.mark.parametrize('how', [lambda pid: os.killpg(pid, signal.SIGINT), lambda pid: os.kill(pid, signal.SIGTERM), lambda pid: os.killpg(pid, signal.SIGTERM)],
                         ids=['Ctrl-C', 'SIGTERM to make', 'SIGTERM to all'])
def test_run_keeps_the_mail_over_each_kind_of_end(clone, ports, how):
    r = Run(clone, ports)
    held = int(re.search(r'messages held: (\d+)', r.said).group(1))
    with smtplib.SMTP('127.0.0.1', ports['mx']) as s:
        s.sendmail('you@example.org', ['alice@mailroom.test'], 'Subject: kept\r\nMessage-ID: <%d@example.org>\r\n\r\nhello\r\n' % held)
    rest = r.stop(how)
    assert 'mailroom has stopped; the mail is kept in' in rest and 'rror' not in rest, rest
    log = (clone / 'dev-home/mailroom.log').read_text()
    assert log.rstrip().splitlines()[-1].endswith('event=stopped msg="status 0"'), log[-2000:]
    r = Run(clone, ports)
    try:
        assert 'messages held: %d' % (held + 1) in r.said
        password = re.search(r'alice@mailroom.test +password (\S+)', r.said).group(1)
        p = poplib.POP3_SSL('127.0.0.1', ports['pop3s'], context=ssl._create_unverified_context(), timeout=20)
        p.user('alice@mailroom.test')
        p.pass_(password)
        assert p.stat()[0] == held + 1 and b'hello' in p.retr(held + 1)[1]
        p.quit()
    finally:
        r.stop(lambda pid: os.killpg(pid, signal.SIGINT))


def test_demo_ends_well(clone, ports):
    assert 'Refused with its reason' in make(clone, 'demo', listen(ports))


def test_install_into_destdir_and_prefix(clone, tmp_path):
    make(clone, 'install', 'DESTDIR=%s' % tmp_path)
    assert (tmp_path / 'usr/local/sbin/mailroom').exists() and (tmp_path / 'usr/local/share/man/man8/mailroom.8').exists()
    make(clone, 'install', 'DESTDIR=%s' % tmp_path, 'PREFIX=/usr')
    assert (tmp_path / 'usr/sbin/mailroom').exists()
    assert '/usr/sbin/mailroom serve' in (tmp_path / 'usr/lib/systemd/system/mailroom.service').read_text()
