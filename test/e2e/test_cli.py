"""The command line: every command, good input and bad, on a home of its own."""
import json
import os
import pty
import re
import smtplib
import ssl
import stat
import subprocess
import time

import pytest

import mailroom

DOCS = os.path.join(mailroom.ROOT, 'docs')


def run(*args, home=None, input='', env=None, user=None):
    command = [mailroom.program(), *args] + (['--home', str(home)] if home else [])
    more = dict(env or {})
    environment = {k: v for k, v in os.environ.items() if k != 'MAILROOM_HOME'}
    environment.update(more)
    kind = {'user': user, 'group': user, 'extra_groups': []} if user is not None else {}
    return subprocess.run(command, input=input, capture_output=True, text=True, timeout=60, env=environment, errors='replace', **kind)


def good(*args, **kind):
    p = run(*args, **kind)
    assert p.returncode == 0, (args, p.returncode, p.stdout, p.stderr)
    return p.stdout


def bad(status, words, *args, **kind):
    """refused with this status; the complaint goes to standard error and has these words in it"""
    p = run(*args, **kind)
    assert p.returncode == status, (args, p.returncode, p.stdout, p.stderr)
    assert words in p.stderr, (args, p.stderr)
    assert not p.stdout, p.stdout
    return p.stderr


def listing(*args, **kind):
    return json.loads(good(*args, '--json', **kind))


@pytest.fixture
def home(tmp_path):
    # below a directory that only root may search, as /root is: the roles' own user ids must not matter to the command line
    good('init', '--hostname', 'mail.example.org', '--domain', 'example.org', home=tmp_path / 'h')
    return tmp_path / 'h'


def account(home, address, password='a good password', *more):
    return good('account', 'add', address, '--password-stdin', *more, home=home, input=password + '\n')


# ---- init

def test_init_makes_a_home_with_the_right_owners(home):
    owner = {}
    for name, mode in {'store': 0o700, 'auth': 0o700, 'keys': 0o700, 'empty': 0o555, 'tls': 0o755, 'keys/default.key': 0o600, 'tls/default.crt': 0o644,
                       'mailroom.conf': 0o644}.items():
        st = os.stat(home / name)
        assert stat.S_IMODE(st.st_mode) == mode, name
        owner[name] = st.st_uid
    if os.geteuid() == 0:
        assert owner['empty'] == owner['mailroom.conf'] == 0
        assert len({owner['store'], owner['auth'], owner['keys'], 0}) == 4
        assert owner['keys/default.key'] == owner['keys']
        for part in ('store', 'auth'):
            for place, _, files in os.walk(home / part):
                assert all(os.stat(os.path.join(place, f)).st_uid == owner[part] for f in files)
    assert listing('domain', 'list', home=home)[0]['domain'] == 'example.org'
    assert 'default-domain = "example.org"' in (home / 'mailroom.conf').read_text()


def test_init_certificate_names_hosts_and_is_trusted_by_a_client(home):
    text = subprocess.run(['openssl', 'x509', '-in', str(home / 'tls/default.crt'), '-noout', '-text'], capture_output=True, text=True).stdout
    for name in ('DNS:mail.example.org', 'DNS:example.org', 'DNS:localhost', 'IP Address:127.0.0.1'):
        assert name in text
    assert 'prime256v1' in text
    assert subprocess.run(['openssl', 'verify', '-x509_strict', '-CAfile', home / 'tls/default.crt', home / 'tls/default.crt'], capture_output=True).returncode in (0, 2)
    assert subprocess.run(['openssl', 'verify', '-purpose', 'sslserver', '-verify_hostname', 'example.org', '-CAfile', home / 'tls/default.crt',
                           home / 'tls/default.crt'], capture_output=True).returncode == 0


def test_init_again_leaves_everything_as_it_is(home):
    account(home, 'alice@example.org')
    (home / 'mailroom.conf').write_text('hostname = other.example.org\n')
    before = {n: (home / n).read_bytes() for n in ('mailroom.conf', 'tls/default.crt', 'keys/default.key')}
    p = run('init', '--hostname', 'new.example.org', '--domain', 'example.org', '--domain', 'second.example', home=home)
    assert p.returncode == 0 and 'left as it is' in p.stderr
    assert before == {n: (home / n).read_bytes() for n in before}
    assert [d['domain'] for d in listing('domain', 'list', home=home)] == ['example.org', 'second.example']
    assert len(listing('account', 'list', home=home)) == 1


def test_init_refuses_what_it_cannot_use(tmp_path):
    bad(1, '"not a host" is not a host name', 'init', '--hostname', 'not a host', home=tmp_path / 'a')
    assert not (tmp_path / 'a/mailroom.conf').exists()
    bad(1, 'no domain name', 'init', '--domain', 'a@b', home=tmp_path / 'b')
    (tmp_path / 'file').write_text('')
    bad(1, 'no directory', 'init', home=tmp_path / 'file')
    (tmp_path / 'c').mkdir()
    (tmp_path / 'c/mailroom.conf').write_text('hostnam = x')
    bad(1, 'did you mean hostname', 'init', home=tmp_path / 'c')
    good('init', home=tmp_path / 'd')
    os.unlink(tmp_path / 'd/keys/default.key')
    bad(1, 'its key', 'init', home=tmp_path / 'd')


def test_init_dev_prints_the_same_passwords_again(tmp_path):
    home = tmp_path / 'dev'
    first = good('init', '--dev', home=home)
    words = dict(re.findall(r'^(\S+@mailroom\.test)  password (\S+)$', first, re.M))
    assert set(words) == {'alice@mailroom.test', 'bob@mailroom.test'} and len(set(words.values())) == 2
    assert stat.S_IMODE(os.stat(home / 'dev-passwords').st_mode) == 0o600
    assert good('init', '--dev', home=home) == first
    good('account', 'remove', 'bob@mailroom.test', home=home)
    assert good('init', '--dev', home=home) == first
    assert len(listing('account', 'list', home=home)) == 2
    os.unlink(home / 'dev-passwords')
    again = dict(re.findall(r'^(\S+@mailroom\.test)  password (\S+)$', good('init', '--dev', home=home), re.M))
    assert set(again) == set(words) and again != words


@pytest.mark.skipif(os.geteuid() != 0, reason='becomes another user')
def test_everything_works_as_an_ordinary_user(tmp_path):
    os.chmod(tmp_path, 0o755)
    for place in tmp_path.parents[:3]:
        if str(place).startswith('/tmp/'):
            os.chmod(place, 0o755)
    program_there = subprocess.run([mailroom.program(), 'version'], user=65534, capture_output=True).returncode == 0 if os.access(mailroom.program(), os.X_OK) else False
    if not program_there:
        pytest.skip('another user cannot reach the program here')
    home = tmp_path / 'own'
    home.mkdir()
    os.chown(home, 65534, 65534)
    good('init', '--dev', home=home, user=65534)
    good('account', 'add', 'carol@mailroom.test', '--generate', home=home, user=65534)
    assert len(listing('account', 'list', home=home, user=65534)) == 3
    assert os.stat(home / 'store/mail.db').st_uid == 65534
    # root works on it with that user's rights and leaves nothing that user could not use
    good('account', 'add', 'dave@mailroom.test', '--generate', home=home)
    good('account', 'disable', 'dave@mailroom.test', home=home, user=65534)
    # and nobody works on root's
    good('init', home=tmp_path / 'roots')
    bad(1, 'belongs to somebody else', 'domain', 'list', home=tmp_path / 'roots', user=65534)


# ---- words, help, where things are

def test_usage_errors_have_status_2():
    for args, words in (((), 'usage: mailroom'), (('frobnicate',), 'mailroom help lists'), (('acount', 'list'), 'did you mean: mailroom account list'),
                        (('domain',), 'of what kind?'), (('domain', 'frob'), 'mailroom domain add DOMAIN'), (('domain', 'add'), 'missing'),
                        (('domain', 'add', 'a', 'b'), 'one word too many'), (('domain', 'list', '--frob'), 'no such option here'),
                        (('domain', 'list', '-j'), 'two dashes'), (('account', 'add', 'a@b.c', '--quota'), 'SIZE is missing'),
                        (('account', 'add', 'a@b.c', '--generate=yes'), 'takes no value'), (('serve', '--listen', 'mx'), 'NAME=ADDRESS:PORT would be right'),
                        (('serve', '--listen', 'mx=127.0.0.1:99999'), '"99999" is not a port; 1 to 65535 would be right'),
                        (('serve', '--listen', 'mx=localhost:25'), '"localhost" is not an IP address'), (('--home',), 'missing'),
                        (('domain', 'list', '--home='), 'name of a directory')):
        bad(2, words, *args)


def test_help_knows_every_command():
    names = re.findall(r'^  ([a-z]+(?: [a-z-]+)?)  ', good('help'), re.M)
    assert len(names) >= 22 and 'role' not in names
    for name in names:
        text = good('help', *name.split())
        assert text.startswith('usage: mailroom ' + name)
        if name != 'explain':
            assert good(*name.split(), '--help') == text
    assert 'mailroom account add ADDRESS' in good('help', 'account')
    assert good('--help') == good('help')


def test_version():
    assert re.match(r'mailroom \d+\.\d+\.\d+', good('version'))
    assert good('--version') == good('version')
    assert re.match(r'\d+\.\d+', json.loads(good('version', '--json'))['mailroom'])


def test_home_from_option_environment_and_order(home, tmp_path):
    plain = good('domain', 'list', home=home)
    assert good('domain', 'list', env={'MAILROOM_HOME': str(home)}) == plain
    assert good('--home', str(home), 'domain', 'list', env={'MAILROOM_HOME': '/nowhere'}) == plain
    for command in ('domain list', 'account list', 'alias list', 'queue list', 'message ids', 'domain add a.b', 'queue show 7'):
        bad(1, 'make one with: mailroom init', *command.split(), home=tmp_path / 'none')
    bad(1, 'make one with: mailroom init', 'serve', home=tmp_path / 'none')
    bad(1, 'make one with: mailroom init', 'check', home=tmp_path / 'none')


def test_output_to_a_full_disk_is_an_error(home):
    with open('/dev/full', 'w') as full:
        p = subprocess.run([mailroom.program(), 'domain', 'list', '--home', home], stdout=full, stderr=subprocess.PIPE, text=True)
    assert p.returncode == 1 and 'No space left' in p.stderr


# ---- check

def test_check_names_what_is_wrong(home):
    conf = home / 'mailroom.conf'
    assert 'is right' in good('check', home=home)
    conf.write_text('# a comment\n\nlistener submission {\n\tkind = submission\n\tport = 99999\n}\n')
    assert bad(1, 'listener "submission": port: "99999" is not a port; 1 to 65535 would be right', 'check', home=home).startswith(
        'mailroom: %s:5: ' % conf)
    conf.write_text('limits { mesage-size = 5MB }')
    bad(1, 'limits: "mesage-size" is not a setting; did you mean message-size?', 'check', home=home)
    conf.write_text('certificate a {\n chain = nothere.pem\n key = keys/default.key\n}')
    bad(1, 'mailroom.conf:1: certificate "a": chain: there is no file', 'check', home=home)
    conf.write_text('certificate a {\n chain = mailroom.conf\n key = keys/default.key\n}')
    bad(1, 'there is no certificate in it', 'check', home=home)
    good('init', home=str(home) + '2')
    conf.write_text('certificate a {\n chain = %s2/tls/default.crt\n key = keys/default.key\n}' % home)
    bad(1, 'does not belong to the certificate', 'check', home=home)
    conf.write_text('include("more.conf")')
    bad(1, 'mailroom.conf:1: include: ', 'check', home=home)
    (home / 'more.conf').write_text('\nlog { level = loud }\n')
    bad(1, 'more.conf:2: log: level: "loud" is not one of the choices; debug, info, warn or error would be right', 'check', home=home)
    (home / 'more.conf').write_text('log { level = warn }\n')
    good('check', home=home)
    other = home / 'other.conf'
    other.write_text('hostname = other.example\n')
    assert listing('check', '--config', str(other), home=home)['hostname'] == 'other.example'


def test_check_json(home):
    said = listing('check', home=home)
    assert said['ok'] is True and said['hostname'] == 'mail.example.org'
    assert [(x['name'], x['kind'], x['address'], x['port'], x['tls']) for x in said['listeners']] == [
        ('mx', 'mx', '127.0.0.1', 2525, 'starttls'), ('submission', 'submission', '127.0.0.1', 2587, 'starttls'),
        ('submissions', 'submission', '127.0.0.1', 2465, 'implicit'), ('pop3', 'pop3', '127.0.0.1', 2110, 'starttls'),
        ('pop3s', 'pop3', '127.0.0.1', 2995, 'implicit')]
    assert said['certificates'][0]['self_signed'] is True


def test_check_warns_of_a_certificate_that_ended(home):
    key = home / 'k.pem'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key, '-out', home / 'c.pem', '-subj', '/CN=x',
                    '-days', '3'], check=True, capture_output=True)
    (home / 'mailroom.conf').write_text('certificate a { chain = c.pem key = k.pem }\n')
    p = run('check', home=home)
    assert p.returncode == 0 and 'certificate "a" ends on ' in p.stderr
    subprocess.run(['openssl', 'rsa', '-aes128', '-passout', 'pass:x', '-in', key, '-out', key], capture_output=True)
    subprocess.run(['openssl', 'pkey', '-aes128', '-passout', 'pass:xxxx', '-in', key, '-out', home / 'k2.pem'], check=True, capture_output=True)
    (home / 'mailroom.conf').write_text('certificate a { chain = c.pem key = k2.pem }\n')
    bad(1, 'the key has a passphrase', 'check', home=home)


# ---- domains

def test_domains(home):
    assert 'mailroom account add NAME@second.example' in good('domain', 'add', 'Second.Example', home=home)
    bad(1, 'is hosted here already', 'domain', 'add', 'second.example', home=home)
    for name in ('', 'a b', 'a-.b', 'a..b', '[127.0.0.1]', 'x@y.z', 'a' * 64 + '.b', 'esc\x1b[2J.b'):
        assert '\x1b' not in bad(1, 'is no domain name; one such as example.org would be right', 'domain', 'add', name, home=home)
    account(home, 'alice@second.example')
    bad(1, 'still has accounts or aliases', 'domain', 'remove', 'second.example', home=home)
    bad(1, 'is not hosted here', 'domain', 'remove', 'third.example', home=home)
    good('domain', 'catch-all', 'second.example', 'alice@second.example', home=home)
    rows = listing('domain', 'list', home=home)
    assert rows[1] == {'domain': 'second.example', 'accounts': 1, 'aliases': 0, 'catch_all': 'alice@second.example', 'identity': 'enforce', 'guard': False,
        'require_tls': False, 'rules': False}
    table = good('domain', 'list', home=home).splitlines()
    assert table[0].split() == ['DOMAIN', 'ACCOUNTS', 'ALIASES', 'CATCH-ALL', 'IDENTITY', 'GUARD', 'TLS', 'RULES']
    assert table[2].split() == ['second.example', '1', '0', 'alice@second.example', 'enforce', 'no', 'no', 'no']
    good('domain', 'catch-all', 'second.example', '--none', home=home)
    assert listing('domain', 'list', home=home)[1]['catch_all'] == ''
    bad(2, 'an account, or --none', 'domain', 'catch-all', 'second.example', home=home)
    bad(2, 'an account, or --none', 'domain', 'catch-all', 'second.example', 'a@b.c', '--none', home=home)
    bad(1, '', 'domain', 'catch-all', 'second.example', 'nobody@second.example', home=home)
    good('account', 'remove', 'alice@second.example', home=home)
    good('domain', 'remove', 'second.example', home=home)
    assert len(listing('domain', 'list', home=home)) == 1


# ---- accounts

def test_accounts(home):
    account(home, 'Alice@example.org', 'a good password', '--quota', '500MB')
    account(home, 'bob@example.org')
    rows = listing('account', 'list', home=home)
    assert [(r['address'].lower(), r['state'], r['quota_bytes'], r['used_bytes'], r['messages']) for r in rows] == [
        ('alice@example.org', 'enabled', 500 << 20, 0, 0), ('bob@example.org', 'enabled', 0, 0, 0)]
    assert re.match(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$', rows[0]['created'])
    assert listing('account', 'list', 'example.org', home=home) == rows
    good('domain', 'add', 'other.example', home=home)
    assert listing('account', 'list', 'other.example', home=home) == []
    bad(1, 'there is an account', 'account', 'add', 'ALICE@example.org', '--generate', home=home)
    bad(1, 'domain example.net is not hosted here; add it with: mailroom domain add example.net', 'account', 'add', 'a@example.net', '--generate', home=home)
    for address in ('alice', '@example.org', 'a b@example.org', 'a@', ''):
        bad(1, 'is no mail address', 'account', 'add', address, '--generate', home=home)
    good('account', 'quota', 'bob@example.org', '1GB', home=home)
    assert listing('account', 'list', home=home)[1]['quota_bytes'] == 1 << 30
    good('account', 'quota', 'bob@example.org', 'none', home=home)
    assert listing('account', 'list', home=home)[1]['quota_bytes'] == 0
    for size in ('lots', '1.5GB', '5XB', '99999999999999999999GB', ''):
        bad(1, 'is no quota; a size such as 500MB, or none, would be right', 'account', 'quota', 'bob@example.org', size, home=home)
    good('account', 'disable', 'bob@example.org', home=home)
    assert listing('account', 'list', home=home)[1]['state'] == 'disabled'
    good('account', 'disable', 'bob@example.org', home=home)
    good('account', 'enable', 'bob@example.org', home=home)
    assert listing('account', 'list', home=home)[1]['state'] == 'enabled'
    for verb in ('disable', 'enable', 'remove'):
        bad(1, 'there is no account nobody@example.org; mailroom account list shows all', 'account', verb, 'nobody@example.org', home=home)
    bad(1, 'there is no account', 'account', 'quota', 'nobody@example.org', '5MB', home=home)
    bad(1, 'there is no account', 'account', 'passwd', 'nobody@example.org', '--generate', home=home)
    good('account', 'remove', 'bob@example.org', home=home)
    assert [r['address'].lower() for r in listing('account', 'list', home=home)] == ['alice@example.org']


def test_default_quota_comes_from_the_configuration(home):
    (home / 'mailroom.conf').write_text('limits { default-quota = 7MB }\n')
    account(home, 'alice@example.org')
    account(home, 'bob@example.org', 'a good password', '--quota', 'none')
    assert [r['quota_bytes'] for r in listing('account', 'list', home=home)] == [7 << 20, 0]
    (home / 'mailroom.conf').write_text('limits { default-quota = many }\n')
    bad(1, 'default-quota: "many" is not a size', 'account', 'add', 'carol@example.org', '--generate', home=home)
    good('account', 'add', 'carol@example.org', '--generate', '--quota', '1MB', home=home)


def test_passwords(home):
    out = good('account', 'add', 'alice@example.org', '--generate', home=home)
    assert re.fullmatch(r'password for alice@example\.org: [a-z2-9]{5}(-[a-z2-9]{5}){3}\n', out)
    said = json.loads(good('account', 'passwd', 'alice@example.org', '--generate', '--json', home=home))
    assert said['address'] == 'alice@example.org' and len(said['password']) == 23 and said['password'] not in out
    assert good('account', 'passwd', 'alice@example.org', '--password-stdin', home=home, input='from stdin\n') == ''
    assert good('account', 'passwd', 'alice@example.org', '--password-stdin', home=home, input='no line end') == ''
    p = run('account', 'passwd', 'alice@example.org', '--password-stdin', home=home, input='short\n')
    assert p.returncode == 0 and 'soon guessed' in p.stderr
    for password, words in (('\n', 'empty'), ('', 'empty'), ('tab\there, longer\n', 'control character'), ('x' * 512 + '\n', 'longer than 511 bytes'), ('x' * 5000 + '\n', 'longer than 511 bytes')):
        bad(1, words, 'account', 'passwd', 'alice@example.org', '--password-stdin', home=home, input=password)
    good('account', 'passwd', 'alice@example.org', '--password-stdin', home=home, input='x' * 511 + '\n')
    bad(2, 'one of them', 'account', 'add', 'b@example.org', '--password-stdin', '--generate', home=home)
    bad(2, 'no such option', 'account', 'add', 'b@example.org', '--password', 'on the command line', home=home)
    bad(2, 'one word too many', 'account', 'add', 'b@example.org', 'on the command line', home=home)


def test_the_password_is_never_kept_readable(home):
    secret = 'Tr0ub4dor-and-3-unlikely'
    account(home, 'alice@example.org', secret)
    for place, _, files in os.walk(home):
        for name in files:
            with open(os.path.join(place, name), 'rb') as f:
                assert secret.encode() not in f.read(), name


def test_an_account_is_in_both_databases_or_in_none(home):
    account(home, 'alice@example.org')
    os.rename(home / 'auth', home / 'auth-away')
    p = run('account', 'add', 'bob@example.org', '--generate', home=home)
    assert p.returncode == 1 and 'the account was not made' in p.stderr and not p.stdout
    assert [r['address'] for r in listing('account', 'list', home=home)] == ['alice@example.org']
    p = run('account', 'disable', 'alice@example.org', home=home)
    assert p.returncode == 1 and 'nothing was changed' in p.stderr
    assert listing('account', 'list', home=home)[0]['state'] == 'enabled'
    assert run('account', 'remove', 'alice@example.org', home=home).returncode == 1
    assert len(listing('account', 'list', home=home)) == 1
    os.rename(home / 'auth-away', home / 'auth')
    good('account', 'add', 'bob@example.org', '--generate', home=home)
    os.rename(home / 'store', home / 'store-away')
    assert run('account', 'remove', 'alice@example.org', home=home).returncode == 1
    os.rename(home / 'store-away', home / 'store')
    good('account', 'disable', 'alice@example.org', home=home)  # its credentials are there still


def on_terminal(args, answers):
    """runs it on a terminal of its own and types the answers; (status, what was shown)"""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(mailroom.program(), [mailroom.program(), *args])
    shown = b''
    for answer in answers:
        end = time.monotonic() + 20
        while not shown.endswith(b': ') and not shown.endswith(b'] ') and time.monotonic() < end:
            shown += os.read(fd, 1024)
        shown += b'\0'
        os.write(fd, answer.encode() + b'\n')
    try:
        while True:
            more = os.read(fd, 1024)
            if not more:
                break
            shown += more
    except OSError:
        pass
    os.close(fd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.replace(b'\0', b'').decode()


def test_the_terminal_is_asked_twice_and_shows_nothing(home):
    args = ['account', 'add', 'alice@example.org', '--home', str(home)]
    status, shown = on_terminal(args, ['secret words', 'secret wards'])
    assert status == 1 and 'not the same' in shown and listing('account', 'list', home=home) == []
    status, shown = on_terminal(args, ['secret words', 'secret words'])
    assert status == 0, shown
    assert 'secret' not in shown and shown.count('alice@example.org') == 2
    p = subprocess.run([mailroom.program(), 'account', 'passwd', 'alice@example.org', '--home', home], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                       start_new_session=True)
    assert p.returncode == 2 and 'there is no terminal to ask for the password; use --password-stdin or --generate' in p.stderr


# ---- aliases

def test_aliases(home):
    account(home, 'alice@example.org')
    good('alias', 'add', 'info@example.org', 'alice@example.org', 'someone@elsewhere.example', home=home)
    assert listing('alias', 'list', home=home) == [{'alias': 'info@example.org', 'target': 'alice@example.org'},
                                                   {'alias': 'info@example.org', 'target': 'someone@elsewhere.example'}]
    bad(1, 'alias add', 'alias', 'add', 'info@example.org', 'alice@example.org', home=home)
    bad(1, 'is no mail address', 'alias', 'add', 'x@example.org', 'good@example.org', 'not good', home=home)
    bad(1, 'domain example.net is not hosted here; add it with: mailroom domain add example.net', 'alias', 'add', 'a@example.net', 'alice@example.org', home=home)
    good('alias', 'add', 'one@example.org', 'two@example.org', home=home)
    bad(1, 'circle', 'alias', 'add', 'two@example.org', 'alice@example.org', 'one@example.org', home=home)
    assert len(listing('alias', 'list', home=home)) == 3  # all targets or none
    bad(2, 'missing', 'alias', 'add', 'x@example.org', home=home)
    good('alias', 'remove', 'info@example.org', 'someone@elsewhere.example', home=home)
    assert len(listing('alias', 'list', 'example.org', home=home)) == 2
    bad(1, 'there is no alias from info@example.org to x@y.example', 'alias', 'remove', 'info@example.org', 'x@y.example', home=home)
    good('alias', 'remove', 'info@example.org', home=home)
    bad(1, 'there is no alias info@example.org; mailroom alias list shows all', 'alias', 'remove', 'info@example.org', home=home)
    assert good('alias', 'list', home=home).splitlines() == ['ALIAS            TARGET', 'one@example.org  two@example.org']


# ---- queue, messages

def test_empty_queue_and_store(home):
    assert listing('queue', 'list', home=home) == [] and good('queue', 'list', home=home) == ''
    assert listing('message', 'ids', home=home) == [] and good('message', 'ids', home=home) == ''
    bad(1, 'is no queue id; mailroom queue list shows them', 'queue', 'show', '!', home=home)
    bad(1, 'there is no message', 'queue', 'show', '7', home=home)
    bad(1, 'there is no message', 'queue', 'show', '7', '--json', home=home)


def test_what_is_held_and_queued_is_shown_while_it_is_served(system):
    text = 'Message-ID: <%s@here>\r\nFrom: alice@mailroom.test\r\nSubject: x\r\n\r\nbody\r\n'
    with smtplib.SMTP_SSL('127.0.0.1', system.port['submissions'], context=ssl._create_unverified_context()) as s:
        s.login('alice@mailroom.test', system.password['alice@mailroom.test'])
        s.sendmail('alice@mailroom.test', ['bob@mailroom.test', 'one@elsewhere.example', 'two@elsewhere.example'], text % 'first')
    home = system.home
    rows = listing('queue', 'list', home=home)
    assert sorted((r['sender'], r['recipient'], r['account'], r['message_id']) for r in rows) == [
        ('alice@mailroom.test', '%s@elsewhere.example' % n, 'alice@mailroom.test', '<first@here>') for n in ('one', 'two')]
    assert len({r['id'] for r in rows}) == 1 and rows[0]['bytes'] > 50
    table = good('queue', 'list', home=home).splitlines()
    assert len(table) == 3 and table[0].startswith('ID') and 'one@elsewhere.example' in table[1] + table[2]
    one = listing('queue', 'show', rows[0]['id'], home=home)
    assert one['message_id'] == '<first@here>' and {r['recipient'] for r in one['recipients']} == {r['recipient'] for r in rows}
    shown = good('queue', 'show', rows[0]['id'], home=home)
    assert re.search(r'^sender +alice@mailroom\.test$', shown, re.M) and shown.count('\nrecipient ') == 2
    assert sorted(good('message', 'ids', home=home).splitlines()) == ['<first@here>\tbob@mailroom.test', '<first@here>\tqueue', '<first@here>\tqueue']
    assert {r['id'] for r in listing('message', 'ids', home=home)} == {rows[0]['id']}
    bob = [a for a in listing('account', 'list', home=home) if a['address'] == 'bob@mailroom.test'][0]
    assert bob['messages'] == 1 and bob['used_bytes'] > 50
    bad(1, 'holds 1 messages; --yes removes them too', 'account', 'remove', 'bob@mailroom.test', home=home)
    good('account', 'remove', 'bob@mailroom.test', '--yes', home=home)
    assert '\tbob@' not in good('message', 'ids', home=home)


def test_accounts_change_at_once_while_it_is_served(system):
    def login(password):
        with smtplib.SMTP_SSL('127.0.0.1', system.port['submissions'], context=ssl._create_unverified_context()) as s:
            try:
                s.login('carol@mailroom.test', password)
                return True
            except smtplib.SMTPAuthenticationError:
                return False

    system.account('carol', 'first password')
    assert login('first password')
    system.run('account', 'passwd', 'carol@mailroom.test', '--password-stdin', input='second password\n')
    assert login('second password') and not login('first password')
    system.run('account', 'disable', 'carol@mailroom.test')
    assert not login('second password')
    system.run('account', 'enable', 'carol@mailroom.test')
    assert login('second password')


def test_serve_listens_where_it_is_told(tmp_path):
    with mailroom.System(accounts=(), start=False) as m:
        moved = mailroom.free_ports(1)[0]
        p = subprocess.Popen([mailroom.program(), 'serve', '--home', m.home, '--listen', 'mx=127.0.0.1:%d' % moved], stderr=open(m.log_path, 'ab'))
        m.process = p
        m.wait_log('event=serving')
        with smtplib.SMTP('127.0.0.1', moved) as s:
            assert s.noop()[0] == 250
        with pytest.raises(OSError):
            smtplib.SMTP('127.0.0.1', m.port['mx'])
        assert m.stop() == 0
        bad(1, 'there is no listener "nope"', 'serve', '--listen', 'nope=127.0.0.1:1', home=m.home)


# ---- the pages

def test_committed_documents_are_what_the_program_says():
    p = subprocess.run([os.path.join(mailroom.ROOT, 'tools/gen-docs.sh'), '--check', mailroom.program()], capture_output=True, text=True)
    assert p.returncode == 0, p.stdout + p.stderr


def test_the_manual_page_names_every_command_and_option():
    with open(os.path.join(DOCS, 'man/mailroom.8')) as f:
        page = f.read()
    for name in re.findall(r'^  ([a-z]+(?: [a-z-]+)?)  ', good('help'), re.M):
        assert re.search(r'^\.(It|Ic|Nm mailroom) .*\b%s\b' % name.replace(' ', '[ ]'), page, re.M), name
        for option in re.findall(r'^  --([a-z-]+)', good('help', *name.split()), re.M):
            assert 'Fl \\-' + option.replace('-', '\\-') in page, (name, option)


def test_the_sample_is_a_valid_configuration_with_the_defaults(home):
    sample = good('check', '--print-sample')
    (home / 'mailroom.conf').write_text(sample)
    filled = listing('check', home=home)
    (home / 'mailroom.conf').write_text('')
    assert filled == listing('check', home=home)
