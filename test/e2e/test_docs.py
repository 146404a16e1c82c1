"""The documents say what the program does: every command that they show is taken out of them and run, every path that they name exists.

A command that stands in a document and has no line in the tables below fails the test, so nobody can add one without saying how it is run."""
import os
import pty
import re
import shutil
import signal
import subprocess
import time

import pytest

import mailroom

ROOT = mailroom.ROOT
PYTHON = '/usr/bin/python3'
# a word that begins a command, at the start of a code line or of `code` in a sentence
STARTERS = r'(?:make|mailroom|tools/[\w.-]+|meson|ninja|pytest|git|swaks|curl|\.ci/run|[A-Z_]+=\S+ \w+)'


def read(path):
    with open(os.path.join(ROOT, path)) as f:
        return f.read()


def commands_of(text):
    """the commands of a Markdown text: indented lines (what follows two blanks and # is a remark), then `code` in sentences that begins like a command"""
    out, inline = [], []
    for line in text.splitlines():
        if re.match(r'    \S', line) and re.match(STARTERS + r'(?: |$)', line[4:]):
            out.append(re.split(r'  +(?:# )?', line[4:])[0].strip())
        elif not line.startswith('    '):
            inline += [c for c in re.findall(r'`([^`]+)`', line) if re.match(STARTERS + r'(?: |$)', c)]
    return list(dict.fromkeys(out + inline))


def commands_of_man(text):
    """the commands of the literal blocks of a manual page; # is root's prompt"""
    blocks = re.findall(r'(?s)\.Bd -literal[^\n]*\n(.*?)\.Ed', text)
    return [line[2:] for block in blocks for line in block.splitlines() if line[:2] in ('# ', '$ ')]


def shell(command, home=None, input=None, **more):
    """as a reader would type it: mailroom is in the path, its home is the one of this test; the output, when it succeeds"""
    env = {k: v for k, v in os.environ.items() if not k.startswith('MAKE')}
    env['PATH'] = os.path.dirname(mailroom.program()) + ':' + env['PATH']
    if home:
        env['MAILROOM_HOME'] = str(home)
    env.update(more)
    p = subprocess.run(['bash', '-c', command], cwd=ROOT, env=env, input=input, capture_output=True, text=True, errors='replace', timeout=120)
    assert p.returncode == 0, '%s: status %d\n%s%s' % (command, p.returncode, p.stdout, p.stderr)
    return p.stdout


def typed(command, home, answers):
    """the same at a terminal, where passwords are asked for"""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ.update(MAILROOM_HOME=str(home), PATH=os.path.dirname(mailroom.program()) + ':' + os.environ['PATH'])
        os.execvp('bash', ['bash', '-c', command])
    seen = ''
    for answer in answers:
        while not seen.rstrip().endswith(':'):
            seen += os.read(fd, 4096).decode()
        os.write(fd, answer.encode() + b'\n')
        seen += os.read(fd, 4096).decode()
    try:
        while True:
            more = os.read(fd, 4096)
            if not more:
                break
            seen += more.decode()
    except OSError:  # Linux's way to say that the other end is closed
        pass
    os.close(fd)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, seen
    return seen


def serves(command, home):
    """runs a serve command until it takes mail, then stops it as the manual says"""
    env = dict(os.environ, PATH=os.path.dirname(mailroom.program()) + ':' + os.environ['PATH'], MAILROOM_HOME=str(home))
    log = os.path.join(str(home), 'serve.log')
    with open(log, 'wb') as f:
        p = subprocess.Popen(['bash', '-c', 'exec ' + command], env=env, stderr=f, stdin=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while 'event=serving' not in open(log, errors='replace').read():
        assert p.poll() is None and time.monotonic() < end, open(log, errors='replace').read()
        time.sleep(0.05)
    p.send_signal(signal.SIGTERM)
    assert p.wait(60) == 0, open(log, errors='replace').read()


def quiet_ports(home):
    """listeners on free ports in the configuration, so that commands can be run as they stand in the text"""
    kinds = {'mx': 'mx', 'submission': 'submission', 'pop3': 'pop3'}
    with open(os.path.join(str(home), 'mailroom.conf'), 'a') as f:
        for (name, kind), port in zip(kinds.items(), mailroom.free_ports(len(kinds))):
            f.write('listener "%s" {\n\tkind = %s\n\tport = %d\n}\n' % (name, kind, port))


def made_of(command):
    """what make would run, without running it; no shell, so that nothing of the command can be run by mistake"""
    env = {k: v for k, v in os.environ.items() if not k.startswith('MAKE')}
    out = ''
    for part in command.split(' && '):
        words = part.split()
        assert words[0] == 'make', command
        p = subprocess.run(['make', '-n', *words[1:]], cwd=ROOT, env=env, capture_output=True, text=True)
        assert p.returncode == 0, p.stderr
        out += p.stdout
    for path in re.findall(r'(?:^|[\s@])((?:tools|test|bench)/[\w./-]+)', out):
        # a target of ninja is named by the place of its source
        assert os.path.exists(os.path.join(ROOT, path)) or os.path.exists(os.path.join(ROOT, path + '.c')), '%s: %s is not there' % (command, path)
    return out


def build_directory():
    d = os.path.dirname(os.path.dirname(os.path.dirname(mailroom.program())))
    if not os.path.exists(os.path.join(d, 'build.ninja')):
        pytest.skip('%s is not in a build directory' % mailroom.program())
    return d


def all_run(document, found, table, home):
    """each command in the order of the text; one without an entry is the reader's alone, and that is a failure"""
    unknown = [c for c in found if c not in table]
    assert not unknown, '%s shows commands that no test runs; add them to the table in %s: %s' % (document, __file__, unknown)
    gone = [c for c in table if c not in found]
    assert not gone, '%s does not show these any more: %s' % (document, gone)
    for command in found:
        table[command](command, home)


# ---- ways to run a command: functions of (command, home)

def expects(*words, change=None):
    def run(command, home):
        out = shell(change(command) if change else command, home)
        for w in words:
            assert re.search(w, out), '%s: %r is not in\n%s' % (command, w, out)
    return run


def make_runs(words):
    def run(command, home):
        assert words in made_of(command), command
    return run


def serve(command, home):
    serves(command, home)


def with_text(text):
    return lambda command: command.replace('TEXT', '"%s"' % text)


# ---- README

def readme_init(command, home):
    out = shell(command, home)
    assert 'mail.example.org' in out and 'mailroom account add NAME@example.org' in out
    assert 'default-domain = "example.org"' in open(os.path.join(str(home), 'mailroom.conf')).read()
    quiet_ports(home)


def readme_account(command, home):
    out = typed(command, home, ['a good password'] * 2)
    assert 'a good password' not in out
    assert 'alice@example.org' in shell('mailroom account list', home)


def queue_show(command, home):
    p = subprocess.run(['bash', '-c', command.replace('ID', '000001')], capture_output=True, text=True,
                       env=dict(os.environ, PATH=os.path.dirname(mailroom.program()) + ':' + os.environ['PATH'], MAILROOM_HOME=str(home)))
    assert p.returncode == 1 and 'no message 000001 in the queue' in p.stderr  # the system of this test sends nothing


def queue_why(command, home):
    p = subprocess.run(['bash', '-c', command.replace('ID', '000001')], capture_output=True, text=True,
                       env=dict(os.environ, PATH=os.path.dirname(mailroom.program()) + ':' + os.environ['PATH'], MAILROOM_HOME=str(home)))
    assert p.returncode == 1 and 'It is not in the queue now' in p.stdout, p.stdout


def why_nothing(command, home):
    p = subprocess.run(['bash', '-c', command], capture_output=True, text=True,
                       env=dict(os.environ, PATH=os.path.dirname(mailroom.program()) + ':' + os.environ['PATH'], MAILROOM_HOME=str(home)))
    assert p.returncode == 1 and 'alice@example.org' in p.stdout and 'firewall' in p.stdout, p.stdout  # nothing happened yet: what else it may be


def filter_add(command, home):
    shell(command, home)
    assert 'if an attachment is named *.zip: refuse it (no zip files please)' in shell('mailroom filter list alice@example.org', home)


README = {
    'make run': make_runs('tools/run.sh'),
    'make test': make_runs('tools/run-tests.py'),
    'make demo': make_runs('tools/demo.sh'),  # itself below
    'make && make install': make_runs('meson install'),  # itself below
    'mailroom init --hostname mail.example.org --domain example.org': readme_init,
    'mailroom account add alice@example.org': readme_account,
    'mailroom check': expects('is right; this server is mail.example.org', r'mx +mx +127\.0\.0\.1', 'only this machine'),
    'mailroom serve': serve,
    'mailroom explain': expects('Relaying|forwards mail only', change=lambda c: c + ' "550 5.7.1 Relaying denied"'),
    'mailroom help domain': expects('domain add', 'domain list', 'domain remove'),
    'mailroom help account': expects('account add', 'account passwd', 'account remove'),
    'mailroom help alias': expects('alias add', 'alias list', 'alias remove'),
    'mailroom would-accept': expects('refused on listener', change=lambda c: c + ' --from a@example.net --to b@example.net'),
    'mailroom would-accept --from a@example.org --to b@example.net': expects('relay-denied-unauth', 'it would be accepted, if you'),
    'mailroom why': lambda command, home: None,  # with what to ask for, next
    'mailroom why alice@example.org --since yesterday': why_nothing,
    "mailroom filter add alice@example.org --attachment-name '*.zip' --refuse 'no zip files please'": filter_add,
    'mailroom help filter': expects('filter add', 'filter list'),
    'mailroom help limit': expects('limit list', 'limit set'),
    'mailroom help relay': expects('relay list', 'relay revoke'),
    'mailroom dns example.net': expects(r'localhost A: found', change=lambda c: c.replace('example.net', 'localhost')),  # which needs no network
    'mailroom help doctor': expects('--password-stdin'),
    'mailroom queue list': expects(''),
    'mailroom queue show ID': queue_show,
    'mailroom queue why ID': queue_why,
    'mailroom queue destinations': expects(''),
    'mailroom help queue': expects('queue list', 'queue hold', 'queue destinations'),
    'mailroom message ids': expects(''),
    'mailroom explain TEXT': expects('rcpt-none-accepted', 'auth-required', change=with_text('503 valid RCPT command must precede DATA')),
}


def test_readme(tmp_path):
    text = read('README.md')
    # a code line that is no command would hide one
    for line in re.findall(r'(?m)^    (\S.*)$', text):
        assert re.match(STARTERS, line), 'README.md: what is this line? %r' % line
    all_run('README.md', commands_of(text), dict(README), tmp_path / 'home')


def test_readme_names_its_two_commands_on_the_first_screen():
    first = '\n'.join(read('README.md').splitlines()[:24])
    assert 'make run' in first and 'make test' in first


def test_a_new_command_without_a_test_fails():
    text = read('README.md').replace('    mailroom check\n', '    mailroom check\n    mailroom frobnicate --all\n')
    with pytest.raises(AssertionError, match='mailroom frobnicate --all'):
        all_run('README.md', commands_of(text), dict(README), None)
    assert 'mailroom dance' in commands_of('Then `mailroom dance` is said.')
    assert 'mailroom dance' in commands_of_man('.Bd -literal -offset indent\n# mailroom dance\n.Ed\n')


def test_readme_quotes_the_503_as_it_is(system):
    quoted = ' '.join(re.findall(r'(?m)^> (.*)$', read('README.md')))
    with mailroom.Wire(system.port['mx']) as w:
        w.ask('EHLO laptop.example')
        w.ask('MAIL FROM:<alice@mailroom.test>')
        w.ask('RCPT TO:<friend@example.com>')
        said = w.ask('DATA').splitlines()[-1]
    assert re.sub(r'ref \w+', 'ref', said) == re.sub(r'ref \w+', 'ref', quoted)


def test_readme_names_every_extension_that_is_offered(system):
    with mailroom.Wire(system.port['mx']) as w:
        offered = [line[4:].split()[0] for line in w.ask('EHLO laptop.example').splitlines()[1:]]
    for word in offered:
        assert word in read('README.md') or word == 'HELP', word


# ---- the manual pages

def man_script(command, home):
    shell('mailroom domain add example.org 2>/dev/null; ' + command, home, secret='a good password')
    assert 'bob@example.org' in shell('mailroom account list', home)


def man_dev(command, home):
    there = str(home) + '.try'
    out = shell(command.replace('/tmp/try', there))
    assert 'alice@mailroom.test' in out and 'password' in out


def man_serve_dev(command, home):
    there = str(home) + '.try'
    port = mailroom.free_ports(1)[0]
    quiet_ports(there)
    serves(command.replace('/tmp/try', there).replace('3525', str(port)), there)
    shutil.rmtree(there)


def why_nothing(command, home):
    """the system of this test has no history yet; test_history.py has one"""
    p = subprocess.run(['bash', '-c', command], capture_output=True, text=True,
                       env=dict(os.environ, PATH=os.path.dirname(mailroom.program()) + ':' + os.environ['PATH'], MAILROOM_HOME=str(home)))
    assert p.returncode == 1 and p.stdout.startswith('Nothing is known about') and not p.stderr, (command, p.stdout, p.stderr)


def man_doctor(command, home):
    """against a closed port of this machine, as the server of the example is nobody's"""
    closed = command.replace('--server mail.example.org', '--server localhost --port %d' % mailroom.free_ports(1)[0])
    p = subprocess.run(['bash', '-c', closed], capture_output=True, text=True,
                       env=dict(os.environ, PATH=os.path.dirname(mailroom.program()) + ':' + os.environ['PATH'], secret='a good password'))
    assert p.returncode == 1 and 'Cause: port-blocked-or-wrong-host' in p.stdout and 'a good password' not in p.stdout + p.stderr, (p.stdout, p.stderr)


MAN = {
    'echo "$secret" | mailroom doctor alice@example.org --server mail.example.org --password-stdin': man_doctor,
    'mailroom why alice@example.org --since yesterday': why_nothing,
    'mailroom why 0000A3': why_nothing,
    'mailroom why --ip 192.0.2.0/24 --cause auth-wrong-password --since 2d': why_nothing,
    'mailroom init --hostname mail.example.org --domain example.org': readme_init,
    'mailroom account add alice@example.org': readme_account,
    'mailroom check': expects('is right'),
    'mailroom serve': serve,
    "mailroom filter add alice@example.org --inside '*.exe' --refuse 'no programs please'": expects(''),
    "mailroom filter add alice@example.org --from '*@shop.example' --file Shopping": expects(''),
    'mailroom filter list alice@example.org': expects('an archive holds \\*.exe: refuse', 'it is from \\*@shop.example: file it into Shopping'),
    'echo "$secret" | mailroom account add bob@example.org --password-stdin': man_script,
    'mailroom explain "550 5.7.1 Relaying denied"': expects('relay-denied-unauth', 'What to do'),
    'mailroom init --home /tmp/try --dev': man_dev,
    'mailroom serve --home /tmp/try --listen mx=127.0.0.1:3525': man_serve_dev,
}


def test_manual_examples(tmp_path):
    all_run('mailroom.8', commands_of_man(read('docs/man/mailroom.8')), dict(MAN), tmp_path / 'home')


def man_synopsis():
    """{command: its options} as the .It Ic lines and the text below them have them"""
    text = read('docs/man/mailroom.8')
    text = text[text.index('.Ss Running'):text.index('.Sh ENVIRONMENT')]
    out = {}
    for item in re.split(r'(?m)^\.It Ic |^\.S[sh] ', text)[1:]:
        words = item.splitlines()[0].split()
        name = []
        while words and re.fullmatch(r'[a-z-]+', words[0]):
            name.append(words.pop(0))
        if name:  # else the title of a section, whose text speaks of several commands
            out[' '.join(name)] = set(o.replace('\\-', '-') for o in re.findall(r'\bFl (\\-[a-z\\-]+)', item))
    return out


def test_manual_and_program_know_the_same_commands_and_options():
    said = man_synopsis()
    listed = set(re.findall(r'(?m)^  ([a-z-]+(?: [a-z-]+){0,2})  ', shell('mailroom help')))
    assert listed == set(said) - {'help'}
    for name in sorted(listed):
        options = set('-' + o for o in re.findall(r'-(-[a-z-]+)', shell('mailroom help ' + name))) - {'--home', '--help'}
        manual = set('-' + o for o in said[name])
        if name == 'account remove':
            manual.discard('--json')
        assert options == manual, name


def test_every_command_of_the_synopsis_runs(tmp_path):
    """each command with its arguments, in an order that makes sense; which ones there are is taken from the manual"""
    home = tmp_path / 'home'
    runs = [
        ('init', '--hostname mail.example.org --domain example.org', 'is ready'), ('check', '', 'is right'), ('check', '--json', '"ok": true'), ('domain add', 'example.com', ''),
        ('domain list', '', 'example.com'), ('account add', 'carol@example.com --generate', 'password for carol@example.com: '),
        ('account add', 'dave@example.com --quota 500MB --generate --json', '"password"'), ('account list', 'example.com', r'dave@example.com .* 500 MB'),
        ('account passwd', 'carol@example.com --generate', 'password for carol'), ('account disable', 'carol@example.com', ''), ('account enable', 'carol@example.com', ''),
        ('account quota', 'carol@example.com 1GB', ''), ('account show', 'carol@example.com', r'(?m)^quota +1\.0 GB$'),
        ('account app-password add', 'carol@example.com phone', 'shown this once: [a-z2-9]{4}-'), ('account app-password list', 'carol@example.com', 'phone'),
        ('account demand', 'carol@example.com app-password', ''), ('account app-password remove', 'carol@example.com phone', ''), ('alias add', 'info@example.com carol@example.com friend@example.net', ''),
        ('alias list', '', 'info@example.com'), ('limit list', '--account carol@example.com', r'failed sign-ins'), ('limit list', '--json --near 50', r'\[\]'),
        ('limit set', 'carol@example.com --messages "5/min 50/day" --recipients none', ''), ('limit reset', 'info@example.com', ''), ('alias remove', 'info@example.com friend@example.net', ''), ('alias remove', 'info@example.com', ''),
        ('domain identity', 'example.com mark', ''), ('domain identity', 'example.com', '^mark$'), ('domain guard', 'example.com on', ''), ('domain smarthost', 'example.com isp', ''), ('account smarthost', 'carol@example.com none', ''), ('domain require-tls', 'example.com on', ''),
        ('domain dkim add', 'example.com --selector one', 'one._domainkey.example.com. IN TXT'), ('domain dkim list', 'example.com', 'onee +ed25519-sha256 +new'),
        ('domain dkim record', 'example.com one', 'v=DKIM1; k=rsa'), ('domain dkim use', 'example.com', 'onee signs now'), ('domain dkim remove', 'example.com one', 'removed one'),
        ('domain rule add', 'example.com allow-from 192.0.2.0/24', ''), ('domain rule add', 'example.com refuse-header "X-Spam-Flag: YES"', ''),
        ('domain rule list', 'example.com', r'example.com +allow-from +192.0.2.0/24'), ('domain rule remove', 'example.com refuse-header "X-Spam-Flag: YES"', ''),
        ('account send-as add', 'carol@example.com @shop.example', ''), ('account send-as list', 'carol@example.com', '@shop.example'),
        ('account send-as remove', 'carol@example.com @shop.example', ''), ('account sending', 'carol@example.com off', ''),
        ('filter add', "carol@example.com --from '*@shop.example' --file Shopping --name shop", ''), ('filter add', "carol@example.com --larger 10MB --discard", ''),
        ('filter list', 'carol@example.com', r' 1  shop .*\n 2  rule1 '), ('filter move', 'carol@example.com 2 1', ''), ('filter remove', 'carol@example.com 1', ''),
        ('filter show', 'carol@example.com', r'(?m)^\tfileinto "Shopping";$'), ('filter test', 'carol@example.com - <<< "From: a@shop.example"', 'into the folder Shopping'),
        ('filter vacation', 'carol@example.com on --text "I am away." --days 3 --until 2026-12-28', ''), ('filter vacation', 'carol@example.com off', ''),
        ('filter set', 'carol@example.com - <<< "keep;"', ''), ('filter clear', 'carol@example.com', ''), ('folder list', 'carol@example.com', r'INBOX +0'),
        ('mail list', 'carol@example.com --json', r'^\[\]'), ('dns', 'localhost --json', '"status": "found"'),
        ('would-accept', '--from x@example.net --to friend@elsewhere.example', 'relay-denied-unauth'), ('relay list', '--json', r'\[\]'),
        ('domain catch-all', 'example.com carol@example.com', ''), ('domain catch-all', 'example.com --none', ''), ('account remove', 'carol@example.com', ''),
        ('account remove', 'dave@example.com --yes', ''), ('domain remove', 'example.com', ''), ('queue list', '--json', r'\[\]'), ('queue destinations', '--json', r'\[\]'), ('queue flush', '', '0 recipients'), ('message ids', '--json', r'\[\]'),
        ('explain', '--why 5.7.1', 'sure'), ('explain', '--json 550 5.1.1 no such user', '"rcpt-unknown"'), ('version', '', r'mailroom \d'), ('help', 'queue', 'queue show'),
    ]
    for name, args, words in runs:
        out = shell('mailroom %s %s' % (name, args), home)
        assert re.search(words, out), (name, args, out)
    elsewhere = {'serve', 'reload', 'queue show', 'queue why', 'queue retry', 'queue hold', 'queue release', 'queue bounce', 'queue remove', 'why', 'relay revoke', 'mail show', 'doctor'}  # above, and in test_relay.py, test_filter.py, test_doctor.py, test_dkim.py
    assert {name for name, _, _ in runs} | elsewhere == set(man_synopsis())


def test_manual_pages_are_clean():
    for page in ('mailroom.8', 'mailroom.conf.5'):
        p = subprocess.run(['mandoc', '-T', 'lint', os.path.join(ROOT, 'docs/man', page)], capture_output=True, text=True)
        wrong = [line for line in p.stdout.splitlines() if 'referenced manual not found' not in line]
        assert not wrong, wrong


# ---- HACKING.md, docs/DESIGN.md, knowledge/README.md

def meson_test(command, home):
    name = command.split()[-1]
    listed = subprocess.run(['meson', 'test', '-C', build_directory(), '--no-rebuild', '--list'], capture_output=True, text=True).stdout
    assert re.search(r'(?m)(?:^|[ /])%s$' % re.escape(name), listed), name


def pytest_one(command, home):
    words = command.split()[1:]
    p = subprocess.run([PYTHON, '-m', *words, '--collect-only', '-q'], cwd=ROOT, capture_output=True, text=True)
    assert p.returncode == 0 and '::' in p.stdout, p.stdout


def steps(command, home):
    source = read('tools/run-tests.py')
    for step in command.split()[1:]:
        assert "'%s':" % step in source, step


def generated(command, home):
    make_runs('tools/gen-docs.sh')(command, home)
    shell('tools/gen-docs.sh --check ' + mailroom.program())


HACKING = {
    'make': make_runs('ninja'),
    'make run': make_runs('tools/run.sh'),
    'make demo': make_runs('tools/demo.sh'),
    'make test': make_runs('tools/run-tests.py'),
    'tools/run-tests.py': steps,
    'tools/run-tests.py unit e2e': steps,
    'make crash ROUNDS=200': make_runs('--rounds 200'),
    'make sim SEEDS=2000': make_runs('--seeds 1-2000'),
    'make agree CASES=20000': make_runs('--cases 20000'),
    'make attack': make_runs('test/attack/floods.py'),
    'make walls': make_runs('test/walls/walls.py'),
    'make fuzz SECONDS_EACH=60': make_runs('fuzz.sh 60'),
    'make bench': make_runs('bench/bench.py'),
    'make docs': generated,
    'make install DESTDIR=/tmp/x': make_runs('meson install'),
    'meson test -C build-test smtp-session': meson_test,
    'MAILROOM=build-test/src/cli/mailroom pytest test/e2e/test_why.py -k forgets': pytest_one,
    'tools/check-includes.py': expects(''),
    'tools/check-catalogue.py': expects(''),
    'tools/check-banned.py': expects(''),
    '.ci/run': lambda command, home: os.access(os.path.join(ROOT, '.ci/run'), os.X_OK) or pytest.fail(command),
}
DESIGN = {
    'make agree': make_runs('test/agree/agree.py'),
    'mailroom would-accept': lambda command, home: None,  # run in README
    'make crash': make_runs('test/crash/crash.py'),
    'make sim': make_runs('sim --seeds'),
    'make walls': make_runs('test/walls/walls.py'),
    'mailroom serve': lambda command, home: None,  # run in README
    'tools/check-includes.py': expects(''),
}
KNOWLEDGE = {
    'tools/gen-causes.py --check knowledge/causes': expects('well formed'),
    'tools/gen-replies.py --check knowledge': expects('reply patterns'),
    'tools/check-catalogue.py': expects(''),
    'tools/gen-causes.py': lambda command, home: shell('test -x tools/gen-causes.py'),
    'mailroom explain': expects('rcpt-unknown', change=lambda c: c + ' 550 no such user'),
}


@pytest.mark.parametrize('document, table', [('HACKING.md', HACKING), ('docs/DESIGN.md', DESIGN), ('knowledge/README.md', KNOWLEDGE)])
def test_commands_of(document, table, tmp_path):
    all_run(document, commands_of(read(document)), dict(table), tmp_path / 'home')


def tree():
    """every file and directory of the checkout that is not a build's"""
    out = set()
    for place, dirs, files in os.walk(ROOT):
        dirs[:] = [d for d in dirs if not re.fullmatch(r'build.*|dev-home|\.git|__pycache__|\.pytest_cache', d)]
        out.update(os.path.relpath(os.path.join(place, x), ROOT) for x in dirs + files)
    return out


def paths_of(text):
    """what looks like a path or a file name: in `code`, in the map, and bare in a sentence"""
    words = set()
    for code in re.findall(r'`([^`]+)`', text):
        words.update(code.split())
    words.update(m for m in re.findall(r'(?m)^    (\S+) {2,}', text))
    words.update(re.findall(r'(?<![\w`/.-])((?:[\w.-]+/)+[\w.*-]+)', re.sub(r'`[^`]+`', ' ', text)))
    words.update(re.findall(r'(?<![\w`/.-])(\w[\w*-]*\.(?:c|h|py|sh|md|def|yaml))\b', text))
    words = {w.rstrip('.,;:()') for w in words}
    # not I/O, not .yaml as such
    return {w for w in words if re.search('[a-z]', w) and re.fullmatch(r'[\w.*-]*(?:[\w*-]/|\w\.(?:c|h|py|sh|md|def|yaml|flow)$)[\w.*/-]*', w)}


# made while building or running
MADE = r'build[\w-]*/.*|dev-home/|HOME/.*|spool/|bodies/.*|/.*'


@pytest.mark.parametrize('document', ['HACKING.md', 'docs/DESIGN.md', 'README.md', 'knowledge/README.md', 'test/flow/README.md'])
def test_every_path_exists(document):
    have = tree()
    names = {os.path.basename(p) for p in have}
    missing = []
    for path in paths_of(read(document)):
        near = [path.rstrip('/'), os.path.normpath(os.path.join(os.path.dirname(document), path))]
        pattern = re.compile(re.escape(path.rstrip('/')).replace(r'\*', r'[^/]*'))
        if re.fullmatch(MADE, path) or any(n in have for n in near) or any(pattern.fullmatch(n) for n in (names if '/' not in path else have)):
            continue
        if any(h.endswith('/' + path.rstrip('/')) for h in have):
            continue
        missing.append(path)
    assert not missing, '%s names what is not there: %s' % (document, missing)


def test_the_map_has_every_room():
    text = read('HACKING.md')
    for room in sorted(os.listdir(os.path.join(ROOT, 'src'))):
        files = [f for _, _, fs in os.walk(os.path.join(ROOT, 'src', room)) for f in fs]
        assert not files or re.search(r'(?m)^    src/%s ' % room, text), 'HACKING.md: src/%s is not on the map' % room
    kinds = re.search(r'(?m)^    test +(.*)$', text).group(1)
    for room in os.listdir(os.path.join(ROOT, 'test')):
        assert re.search(r'\b%s\b' % room, kinds), 'HACKING.md: test/%s is not on the map' % room


# ---- tools/run.sh and tools/demo.sh

@pytest.fixture
def moved():
    """--listen for all five listeners, on free ports"""
    return [w for name, port in zip(mailroom.LISTENERS, mailroom.free_ports(5)) for w in ('--listen', '%s=127.0.0.1:%d' % (name, port))]


THINGS = {
    'swaks': [r'250 2\.0\.0'],
    'curl': [r'Return-Path: <you@example.org>', r'This is a test mailing'],
    'swaks --pipeline': [r'550 5\.7\.1 Sign in first', r'503 5\.5\.1 No recipient was accepted: friend@example.com: Sign in first.*relay-denied-unauth'],
    'mailroom explain': [r'rcpt-none-accepted', r'auth-required', r'Mail program: Switch on'],
}


def test_the_four_things_that_run_says(moved, tmp_path):
    home = tmp_path / 'dev'
    for p in (tmp_path, tmp_path.parent):
        os.chmod(p, 0o755)
    p = subprocess.Popen([os.path.join(ROOT, 'tools/run.sh'), *moved, mailroom.program(), str(home)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = ''
    for line in p.stdout:
        said += line
        if 'Ctrl-C' in line:
            break
    try:
        for word in moved[1::2]:
            assert word.split('=')[1] in said
        things = re.findall(r'(?m)^  (\d)\. .*\n {7}(\S.*)$', said)
        assert [n for n, _ in things] == ['1', '2', '3', '4'], said
        for (_, command), (kind, words) in zip(things, THINGS.items()):
            assert kind.split()[0] in command and kind.split()[-1] in command, 'no test for: ' + command
            q = subprocess.run(['bash', '-c', command], cwd=ROOT, capture_output=True, text=True, timeout=60, errors='replace')
            # swaks says with its status that the mail was refused: that is what the third thing shows
            assert (q.returncode == 0) == ('--pipeline' not in kind), (command, q.returncode, q.stdout, q.stderr)
            for w in words:
                assert re.search(w, q.stdout), '%s: %r is not in\n%s' % (command, w, q.stdout)
    finally:
        p.send_signal(signal.SIGTERM)
        rest = p.stdout.read()
        status = p.wait(60)
    assert status == 0 and 'the mail is kept' in rest, rest
    again = subprocess.Popen([os.path.join(ROOT, 'tools/run.sh'), *moved, mailroom.program(), str(home)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    first = again.stdout.readline()
    again.send_signal(signal.SIGINT)
    again.stdout.read()
    assert again.wait(60) == 0 and 'messages held: 1' in first, first


def test_run_says_why_it_cannot_start(moved, tmp_path):
    held = mailroom.socket.socket()
    held.bind(('127.0.0.1', int(moved[1].rsplit(':')[-1])))
    held.listen()
    p = subprocess.run([os.path.join(ROOT, 'tools/run.sh'), *moved, mailroom.program(), str(tmp_path / 'dev')], capture_output=True, text=True, timeout=60)
    held.close()
    assert p.returncode != 0 and 'mailroom did not start' in p.stderr and moved[1].split('=')[1].split(':')[1] in p.stderr, p.stderr


def test_demo_tells_its_story_and_ends(moved):
    p = subprocess.run([os.path.join(ROOT, 'tools/demo.sh'), *moved, mailroom.program()], capture_output=True, text=True, timeout=120)
    assert p.returncode == 0, p.stdout + p.stderr
    order = ['1. ', 'RCPT TO:<friend@example.com>', 'DATA', '503 5.5.1 No recipient was accepted', '2. ', 'relay-denied-unauth', 'What to do', '3. ', 'queued as', '4. ',
             'It works once you sign in', 'Refused with its reason']
    at = 0
    for words in order:
        at = p.stdout.find(words, at)
        assert at >= 0, '%r does not come in its place:\n%s' % (words, p.stdout)
    assert len(p.stdout.splitlines()) <= 60, 'the demo rambles'


# ---- make install

@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    dest = tmp_path_factory.mktemp('dest')
    p = subprocess.run(['meson', 'install', '-C', build_directory(), '--no-rebuild', '--quiet', '--destdir', str(dest)], capture_output=True, text=True)
    assert p.returncode == 0, p.stdout + p.stderr
    return dest / 'usr/local'


def test_install_puts_everything_in_its_place(installed):
    files = {os.path.relpath(os.path.join(place, f), installed) for place, _, fs in os.walk(installed) for f in fs}
    library = {os.path.relpath(f, installed) for f in installed.glob('lib/**/libmailroom-answer*')} | {os.path.relpath(f, installed) for f in installed.glob('lib/**/mailroom-answer.pc')}
    assert {os.path.basename(f) for f in library} == {'libmailroom-answer.a', 'libmailroom-answer.so', 'libmailroom-answer.so.1', 'libmailroom-answer.so.1.0.0', 'mailroom-answer.pc'}
    assert files - library == {'sbin/mailroom', 'share/man/man8/mailroom.8', 'share/man/man5/mailroom.conf.5', 'share/doc/mailroom/mailroom.conf.sample',
                               'lib/systemd/system/mailroom.service', 'include/mailroom/answer.h'}
    assert os.access(installed / 'sbin/mailroom', os.X_OK)


@pytest.mark.parametrize('kind', ['shared', 'static'])
def test_another_program_asks_the_installed_library(installed, tmp_path, kind):
    """docs/examples/why.c against the installed header and libraries, and nothing else"""
    shared = next(installed.glob('lib/**/libmailroom-answer.so'))
    needs = subprocess.run(['ldd', str(shared)], capture_output=True, text=True).stdout
    sanitized = ['-fsanitize=address,undefined'] if 'libasan' in needs else []
    assert sanitized or not re.search(r'lib(?!m\.|c\.)\w+\.so', re.sub(r'linux-vdso\S*|/lib64/ld-linux\S*|/\S+', '', needs)), needs
    link = ['-L' + str(shared.parent), '-lmailroom-answer'] if kind == 'shared' else [str(shared.with_suffix('.a')), '-lm']
    names = subprocess.run(['nm', '-g', '--defined-only', str(shared.with_suffix('.a'))], capture_output=True, text=True).stdout
    assert all(name.startswith('mailroom_') for name in re.findall(r'(?m)^\w+ [A-Z] (\w+)$', names)) and 'mailroom_answer_text' in names
    p = subprocess.run(['cc', '-std=c11', '-Wall', '-Wextra', '-Werror', '-I', str(installed / 'include'), os.path.join(ROOT, 'docs/examples/why.c'), '-o', str(tmp_path / 'why'), *link, *sanitized],
                       capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
    p = subprocess.run([str(tmp_path / 'why'), '554 5.7.1 Relay access denied'], capture_output=True, text=True, env={'LD_LIBRARY_PATH': str(shared.parent), 'PATH': '/usr/bin:/bin'})
    assert p.returncode == 0 and p.stdout.startswith('relay-denied-unauth\n'), p.stdout + p.stderr


def test_the_installed_program_needs_nothing_of_the_source(installed, tmp_path):
    trace = tmp_path / 'trace'
    p = subprocess.run(['strace', '-f', '-qq', '-e', 'trace=open,openat,execve', '-o', str(trace), str(installed / 'sbin/mailroom'), 'explain', '550 5.7.1 Relaying denied'],
                       cwd='/', capture_output=True, text=True)
    assert p.returncode == 0 and 'relay-denied-unauth' in p.stdout
    assert 'execve' in trace.read_text() and ROOT + '/' not in trace.read_text()


def unit_settings(installed):
    text = (installed / 'lib/systemd/system/mailroom.service').read_text()
    assert '@' not in re.sub(r'=@system-service @setuid', '', text), 'something was not filled in'
    out = {}
    for key, value in re.findall(r'(?m)^(\w+)=(.*)$', text):
        out.setdefault(key, []).append(value)
    return out


def test_the_unit_names_what_is_there(installed):
    unit = unit_settings(installed)
    for key in ('ExecStart', 'ExecStartPre'):
        program, command = unit[key][0].split()[:2]
        assert program == '/usr/local/sbin/mailroom' and command in ('serve', 'check')
    assert unit['StateDirectory'] == ['mailroom'] and 'MAILROOM_HOME=/var/lib/mailroom' in unit['Environment']
    if shutil.which('systemd-analyze'):
        p = subprocess.run(['systemd-analyze', 'verify', '--man=no', '--root=' + str(installed.parent.parent), 'mailroom.service'], capture_output=True, text=True)
        ours = [line for line in p.stderr.splitlines() if 'mailroom.service:' in line and 'Unit ' not in line]
        assert not ours, ours


@pytest.mark.skipif(os.geteuid() != 0, reason='the capabilities of root')
def test_the_unit_leaves_enough_capabilities(installed, tmp_path):
    """serve with no more than the unit gives, on port 25 of an address that nobody else uses"""
    unit = unit_settings(installed)
    few = ','.join('+' + c[4:].lower() for c in unit['CapabilityBoundingSet'][0].split())
    home = tmp_path / 'home'
    for p in (tmp_path, tmp_path.parent):
        os.chmod(p, 0o755)
    shell('mailroom init --hostname mail.example.org --domain example.org', home)
    with open(home / 'mailroom.conf', 'a') as f:
        f.write('listener mx { kind = mx address = 127.77.0.%d }\n' % (os.getpid() % 250 + 1))
    limited = 'setpriv --bounding-set=-all,%s --inh-caps=-all --no-new-privs mailroom ' % few
    assert 'is right' in shell(limited + 'check', home)
    serves(limited + 'serve', home)
    log = open(home / 'serve.log').read()
    assert log.count('event=role-ready') >= 5 and 'without' not in log.split('event=serving')[0], log
