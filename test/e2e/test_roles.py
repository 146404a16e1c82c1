"""Processes: what happens when one dies, at a reload, at the end."""
import os
import re
import signal
import smtplib
import time

import pytest

import mailroom
from mailroom import Wire


def deliver(m, mid, to='alice@mailroom.test'):
    s = smtplib.SMTP('127.0.0.1', m.port['mx'], timeout=20)
    s.sendmail('x@example.org', [to], 'Message-ID: %s\r\n\r\nx\r\n' % mid)
    s.quit()


def held(m):
    return [mid for mid, _ in m.message_ids()]


@pytest.fixture()
def m():
    with mailroom.System('workers {\n\trelay = 1\n}\n') as system:
        yield system


def test_every_role_is_a_process_of_its_own_behind_its_walls(m):
    roles = sorted(set(r for r, _ in m.children()))
    assert roles == ['auth', 'dns', 'fetch', 'keys', 'mx', 'relay', 'store', 'user']
    uids = {}
    for role, pid in m.children():
        status = open('/proc/%d/status' % pid).read()
        assert re.search(r'NoNewPrivs:\s+1', status), role
        assert re.search(r'Seccomp:\s+2', status), role
        uid = set(re.search(r'Uid:\s+(.*)', status).group(1).split())
        assert len(uid) == 1
        uids.setdefault(role, uid.pop())
        if os.geteuid() == 0:
            assert os.readlink('/proc/%d/root' % pid) != '/', role
            assert re.search(r'CapEff:\s+0+\n', status), role
    if os.geteuid() == 0:
        assert len(set(uids.values())) == len(uids) and '0' not in uids.values()


def test_libraries_that_read_what_strangers_send_are_where_they_are_used(m):
    who = {'libcurl': set(), 'libarchive': set(), 'libxml2': set()}
    for role, pid in m.children():
        maps = open('/proc/%d/maps' % pid).read()
        for name in who:
            if '/%s.so' % name in maps:
                who[name].add(role)
    assert who == {'libcurl': {'fetch'}, 'libarchive': {'mx', 'user'}, 'libxml2': {'mx', 'user'}}


@pytest.mark.parametrize('role', ['store', 'mx', 'user', 'auth', 'keys', 'relay', 'dns', 'fetch'])
def test_a_role_that_dies_is_respawned_and_service_goes_on(m, role):
    deliver(m, '<before@test>')
    old = m.pid_of(role)
    mark = m.log_size()
    for pid in old:
        os.kill(pid, signal.SIGKILL)
    m.wait_log(r'event=role-died ended=%s' % role, since=mark)
    m.wait_log(r'event=role-ready started=%s' % role, since=mark, count=len(old))
    assert not set(m.pid_of(role)) & set(old)
    end = time.monotonic() + 5
    while True:
        try:
            deliver(m, '<after@test>')
            break
        except (smtplib.SMTPException, OSError):
            assert time.monotonic() < end, 'no service within 5 s'
            time.sleep(0.05)
    assert sorted(held(m)) == ['<after@test>', '<before@test>']


def test_a_dead_worker_takes_only_its_own_connections(m):
    def descriptors():
        return {pid: len(os.listdir('/proc/%d/fd' % pid)) for pid in m.pid_of('mx')}

    time.sleep(0.2)
    before = descriptors()
    conns = [Wire(m.port['mx']) for _ in range(12)]
    own = {pid: n - before[pid] for pid, n in descriptors().items()}
    assert sum(own.values()) == len(conns)
    victim = max(own, key=own.get)  # how the workers share them is theirs to say
    os.kill(victim, signal.SIGKILL)
    time.sleep(0.5)
    alive = 0
    for c in conns:
        try:
            alive += c.ask('NOOP').startswith('250')
        except (OSError, EOFError):
            pass
    assert alive == len(conns) - own[victim]


def test_store_death_during_a_session_is_451_not_5xx(m):
    with Wire(m.port['mx']) as w:
        w.ask('EHLO x.example')
        w.ask('MAIL FROM:<a@b.example>')
        os.kill(m.pid_of('store')[0], signal.SIGSTOP)
        w.send('RCPT TO:<alice@mailroom.test>\r\n')
        time.sleep(0.2)
        os.kill(m.pid_of('store')[0], signal.SIGKILL)
        assert w.reply().startswith('451')


def test_reload_lets_old_sessions_finish_and_new_ones_see_the_new_settings(m):
    with Wire(m.port['mx']) as old:
        old.ask('EHLO x.example')
        mark = m.log_size()
        m.write_conf('limits {\n\tmessage-size = 77KB\n}\n')
        m.process.send_signal(signal.SIGHUP)
        m.wait_log(r'event=role-ready started=mx', since=mark, count=len(m.pid_of('mx')) // 2 or 1)
        end = time.monotonic() + 10
        while True:
            with Wire(m.port['mx']) as new:
                if 'SIZE %d' % (77 * 1024) in new.ask('EHLO y.example'):
                    break
            assert time.monotonic() < end
            time.sleep(0.1)
        assert old.ask('MAIL FROM:<a@b.example>').startswith('250')
        assert old.ask('RCPT TO:<alice@mailroom.test>').startswith('250')
        assert old.ask('DATA').startswith('354')
        assert old.ask('Message-ID: <old@session>\r\n\r\nx\r\n.').startswith('250')
        assert old.ask('QUIT').startswith('221')
    assert '<old@session>' in held(m)
    m.wait_log(r'event=role-ended', since=mark)


def test_a_broken_configuration_changes_nothing_and_says_what_is_wrong(m):
    before = sorted(m.children())
    mark = m.log_size()
    with open(os.path.join(m.home, 'mailroom.conf'), 'a') as f:
        f.write('limits {\n\tmessage-sise = 10MB\n}\n')
    m.process.send_signal(signal.SIGHUP)
    text = m.wait_log('event=reload-refused', since=mark)
    assert 'message-sise' in text and re.search(r'mailroom\.conf:\d+', text)
    assert sorted(m.children()) == before
    deliver(m, '<still@works>')


def test_term_finishes_what_is_in_hand(m):
    with Wire(m.port['mx']) as busy, Wire(m.port['mx']) as idle:
        idle.ask('EHLO idle.example')
        busy.ask('EHLO busy.example')
        busy.ask('MAIL FROM:<a@b.example>')
        busy.ask('RCPT TO:<alice@mailroom.test>')
        assert busy.ask('DATA').startswith('354')
        m.process.send_signal(signal.SIGTERM)
        assert idle.reply().startswith('421')
        busy.send('Message-ID: <in@hand>\r\n\r\nx\r\n.\r\n')
        assert busy.reply().startswith('250')
        assert 'server-shutting-down' in busy.rest()
    assert m.stop() == 0
    assert held(m) == ['<in@hand>']


def test_a_second_serve_on_the_same_home_is_refused(m):
    p = m.run('serve', check=False)
    assert p.returncode == 1
    assert 'already serving' in p.stderr and str(m.process.pid) in p.stderr


def test_a_port_in_use_is_named(m):
    with mailroom.System(start=False) as other:
        other.port['mx'] = m.port['mx']
        other.write_conf()
        p = other.run('serve', check=False)
        assert p.returncode == 1
        assert str(m.port['mx']) in p.stderr and 'in use' in p.stderr


def test_the_parent_killed_leaves_no_orphans_and_no_loss(m):
    deliver(m, '<kept@test>')
    pids = [pid for _, pid in m.children()]
    os.kill(m.process.pid, signal.SIGKILL)
    m.process.wait()
    end = time.monotonic() + 5
    while any(os.path.exists('/proc/%d/stat' % p) and ' Z ' not in open('/proc/%d/stat' % p).read() for p in pids):
        assert time.monotonic() < end, 'roles outlive their parent'
        time.sleep(0.05)
    m.process = None
    m.start()
    assert held(m) == ['<kept@test>']


def test_the_service_manager_is_told_when_everything_stands(tmp_path):
    import socket
    import subprocess
    where = str(tmp_path / 'notify')
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(where)
    s.settimeout(30)
    with mailroom.System(start=False) as m:
        m.process = subprocess.Popen([mailroom.program(), 'serve', '--home', m.home], stderr=open(m.log_path, 'ab'), env=dict(os.environ, NOTIFY_SOCKET=where))
        assert s.recv(100) == b'READY=1'
        assert 'event=serving' in m.log()
    s.close()


def test_reload_from_the_command_line():
    with mailroom.System(accounts=()) as m:
        mark = m.log_size()
        assert 'anew' in m.run('reload')
        m.wait_log('event=reload ', since=mark)
    with mailroom.System(accounts=(), start=False) as m:
        p = m.run('reload', check=False)
        assert p.returncode == 1 and 'no server runs' in p.stderr
