"""Signing in at a smarthost: each mechanism that is spoken here, against a mailroom and against Postfix with Dovecot behind it; and passwords that are wrong."""
import contextlib
import json
import re
import time

import pytest

import mailroom
import odd_server
import peers
import report
from test_delivery import conf, deliveries, send, smarthost, wait_delivery

SLOW = ('retry-first = 1s retry-most = 2s', 'retry-first = 1h retry-most = 1h')  # nothing is tried a second time meanwhile
ALICE = 'alice@mailroom.test'


def sender(port, tmp_path, login, password, more='verify = no', tls='starttls', slow=False):
    text = conf(smarthost(port, tmp_path, password=password, tls=tls, more=more).replace('me@isp.example', login), delivery='smarthost = isp')
    return mailroom.System(conf=text.replace(*SLOW) if slow else text, accounts=('alice',))


def signins(m):
    """[(mechanism, result)] of the accounts that signed in to send"""
    return [(mechanism, result) for result, mechanism in re.findall(r'event=signin result=(\w+) .*?mechanism=(\S+) .*?service=smtp', m.log())]


# ---- a mailroom as smarthost

def provider(mechanisms):
    """takes mail of alice@mailroom.test, who signs in, for bob@isp.test"""
    m = mailroom.System(conf='auth { failure-delay = 50ms mechanisms = "%s" }\n' % mechanisms, accounts=('alice',))
    m.run('domain', 'add', 'isp.test')
    m.account('bob@isp.test')
    return m


def held(isp):
    """bob's mail (POP3 is no way to ask: it may not let him in with what is offered)"""
    return json.loads(isp.run('mail', 'list', 'bob@isp.test', '--json'))


@pytest.mark.parametrize('offered,used,implicit', [('SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN', 'SCRAM-SHA-256', False), ('SCRAM-SHA-256 PLAIN', 'SCRAM-SHA-256', True),
                                                   ('LOGIN PLAIN', 'PLAIN', False), ('LOGIN', 'LOGIN', False)])
def test_at_a_mailroom(tmp_path, offered, used, implicit):
    with provider(offered) as isp, sender(isp.port['submissions' if implicit else 'submission'], tmp_path, ALICE, isp.password[ALICE],
                                          tls='implicit' if implicit else 'starttls') as m:
        send(m, 'bob@isp.test', subject='by way of ' + used)
        d = wait_delivery(m)[0]
        assert d['outcome'] == 'sent' and 'TLS' in d['tls'], d
        assert len(held(isp)) == 1
        isp.wait_log('event=signin result=ok .*service=smtp')
        assert signins(isp) == [(used, 'ok')]
        assert isp.password[ALICE] not in m.log()


@pytest.mark.parametrize('mechanism', ['SCRAM-SHA-256', 'PLAIN', 'LOGIN'])
def test_a_wrong_password_at_a_mailroom(tmp_path, mechanism):
    """mail waits, nothing bounces, the history says why; with the right password it goes"""
    with provider(mechanism) as isp, sender(isp.port['submission'], tmp_path, ALICE, 'wrong-One 9', slow=True) as m:
        send(m, ['bob@isp.test', 'bob@isp.test'])
        d = wait_delivery(m)[0]
        assert (d['outcome'], d['cause']) == ('later', 'smarthost-auth-failed') and d['host'] == '127.0.0.1', d
        isp.wait_log(r'event=signin result=fail .*mechanism=%s .*service=smtp' % mechanism)
        assert (mechanism, 'ok') not in signins(isp), isp.log()
        said = told(m, 'why', 'bob@isp.test')
        assert 'smarthost-auth-failed' in said and 'put off' in said, said
        row = json.loads(m.run('queue', 'list', '--json'))[0]
        assert row['state'] == 'waiting' and 'smarthost-auth-failed' in row['why'], row
        assert not report.fetch(m, ALICE) and not held(isp)
        assert 'wrong-One' not in m.log()
        (tmp_path / 'password').write_text(isp.password[ALICE] + '\n')
        m.run('reload')
        m.wait_log('event=role-ended ended=relay')  # that one knew the old password
        m.run('queue', 'flush')
        wait_delivery(m, outcome='sent')
        assert len(held(isp)) == 1
        isp.wait_log('event=signin result=ok .*mechanism=%s .*service=smtp' % mechanism)


def told(m, *args):
    """the history is written a little later"""
    end = time.monotonic() + 30
    while 'put off' not in (said := m.run(*args, check=False).stdout):
        assert time.monotonic() < end, said
        time.sleep(0.1)
    return said


# ---- Postfix, with Dovecot behind it

DOVECOT = '''protocols =
ssl = no
disable_plaintext_auth = no
auth_mechanisms = scram-sha-256 scram-sha-1 cram-md5 plain login
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {{dir}}/passwd
}}
userdb {{
  driver = static
  args = uid=vmail gid=vmail home={{dir}}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  inet_listener {{
    port = {port}
  }}
}}
'''
POSTFIX = '''smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:%s:%d
smtpd_sasl_auth_enable = yes
smtpd_tls_auth_only = yes
smtpd_client_restrictions = permit_sasl_authenticated,reject
smtpd_sasl_mechanism_filter = static:all
smtpd_error_sleep_time = 0
'''
OFFERS = {'all': 'static:all', 'sha1': 'scram-sha-1, cram-md5, plain, login', 'plain': 'cram-md5, plain, login', 'login': 'login', 'cram': 'cram-md5'}


@pytest.fixture(scope='module')
def postfix(tmp_path_factory):
    """{name of an offer: port}, the server"""
    peers.have('dovecot', 'postfix')
    authority = peers.Authority(tmp_path_factory.mktemp('ca'))
    address = peers.free_address()
    auth, *ports = [peers.free_port(address) for _ in range(len(OFFERS) + 1)]
    dovecot = peers.Dovecot('isp.test', users=('me',), address=address, ports=(auth,), more=DOVECOT.format(port=auth))
    dovecot.write('passwd', 'me@isp.test:s3cret \u00fc::::::\n')
    listeners = {port: 'smtpd_sasl_mechanism_filter = ' + offer for port, offer in list(zip(ports, OFFERS.values()))[1:]}
    with contextlib.ExitStack() as stack:
        stack.enter_context(dovecot)
        mx = stack.enter_context(peers.Postfix(domain='isp.test', users=('carol',), address=address, port=ports[0], tls=authority.certificate('isp', [address]),
                                               more=POSTFIX % (address, auth), listeners=listeners))
        yield dict(zip(OFFERS, ports)), mx, authority


def at_postfix(postfix, offer, tmp_path, password='s3cret \u00fc', **more):
    ports, mx, authority = postfix
    m = sender(ports[offer], tmp_path, 'me@isp.test', password, more='', **more)
    m.stop()
    path = m.home + '/mailroom.conf'
    with open(path, encoding='utf-8') as f:
        text = f.read()
    with open(path, 'w', encoding='utf-8') as f:  # under the name that its certificate has, which is checked
        f.write(text.replace('host = 127.0.0.1', 'host = ' + mx.address).replace('smarthost = isp', 'smarthost = isp ca-file = "%s"' % authority.trust))
    m.start()
    return m


@pytest.mark.parametrize('offer,used', [('all', 'SCRAM-SHA-256'), ('sha1', 'SCRAM-SHA-1'), ('plain', 'PLAIN'), ('login', 'LOGIN')])
def test_at_postfix(postfix, tmp_path, offer, used):
    mx = postfix[1]
    with at_postfix(postfix, offer, tmp_path) as m:
        send(m, 'carol@isp.test', subject='by ' + used)
        d = wait_delivery(m)[0]
        assert d['outcome'] == 'sent' and d['tls'].endswith('pkix'), (d, mx.log()[-2000:])
        mx.wait_log(r'sasl_method=%s, sasl_username=me@isp\.test' % used)


@pytest.mark.parametrize('offer', ['all', 'sha1', 'plain', 'login'])
def test_a_wrong_password_at_postfix(postfix, tmp_path, offer):
    with at_postfix(postfix, offer, tmp_path, password='other', slow=True) as m:
        send(m, ['carol@isp.test', 'carol@elsewhere.example'])
        d = wait_delivery(m)[0]
        assert (d['outcome'], d['cause'], d['code']) == ('later', 'smarthost-auth-failed', '535'), d
        assert 'smarthost-auth-failed' in told(m, 'why', d['rcpt']) and not report.fetch(m, ALICE)
        assert len(deliveries(m)) == 1  # one probe, and not one for each message


def test_only_a_mechanism_that_is_not_spoken_here(postfix, tmp_path):
    with at_postfix(postfix, 'cram', tmp_path, slow=True) as m:
        send(m, 'carol@isp.test')
        d = wait_delivery(m)[0]
        assert (d['outcome'], d['cause']) == ('later', 'smarthost-auth-failed') and 'no way to sign in' in d['words'], d


# ---- servers that are odd

@pytest.mark.parametrize('reply', ['535 5.7.8 no', '454 4.7.0 temporary failure', '334 !!!not base64', '334 ', '421 4.7.0 closing', '550 5.7.1 relaying denied', 'what?'])
def test_whatever_is_said_to_the_sign_in_mail_waits(tmp_path, reply):
    with odd_server.OddServer({'auth': reply}, logins=[('me@isp.example', 's3cret')]) as s:
        with sender(s.port, tmp_path, 'me@isp.example', 's3cret', tls='none', more='auth-without-tls = yes', slow=True) as m:
            send(m, 'x@elsewhere.example')
            d = wait_delivery(m)[0]
            assert d['outcome'] == 'later' and not s.messages, d
            assert not report.fetch(m, ALICE)
