"""The servers of test_zoo.py: Postfix, Exim, OpenSMTPD, Dovecot and Haraka, each run once, with one listener for each fault that its configuration can have.

    with zoo.Zoo(folder) as z:
        z.port['postfix-grey'], z.host['postfix-grey']     where that listener is
        z.postfix.log(), z.authority.trust                 the server (peers.py), and whom a client has to trust

There are alice, bob and full (whose mailbox is) at zoo.test, all with PASSWORD; off@zoo.test is disabled where there is Dovecot behind."""
import json
import random
import subprocess

import peers

PASSWORD = 'Right-Pw 1'
USERS = ('alice', 'bob', 'full')
SERVERS = ('postfix', 'exim', 'opensmtpd', 'dovecot', 'haraka')

DOVECOT = '''protocols = imap pop3 submission
ssl = yes
disable_plaintext_auth = yes
auth_mechanisms = plain login
auth_failure_delay = 0
mail_plugins = quota
protocol pop3 {
  mail_max_userip_connections = 1
}
plugin {
  quota = maildir:User quota
  quota_rule = *:storage=1M
  quota_status_success = DUNNO
  quota_status_nouser = DUNNO
  quota_status_overquota = "552 5.2.2 Mailbox is full"
}
submission_relay_host = 127.0.0.1
submission_relay_port = {relay}
passdb {
  driver = passwd-file
  args = username_format=%u {dir}/passwd
}
passdb {
  driver = dict
  args = {dir}/dict.conf
}
userdb {
  driver = passwd-file
  args = username_format=%u {dir}/passwd
  default_fields = uid=vmail gid=vmail home={dir}/mail/%n
}
service auth {
  inet_listener {
    port = {auth}
  }
}
service quota-status {
  executable = quota-status -p postfix
  inet_listener {
    port = {quota}
  }
}
''' + ''.join('''service NAME-login {
  inet_listener NAME {
    port = {NAME}
  }
  inet_listener NAMEs {
    port = {NAMEs}
    ssl = yes
  }
}
'''.replace('NAME', name) for name in ('imap', 'pop3', 'submission'))
DOVECOT_LISTENERS = ('auth', 'quota', 'imap', 'imaps', 'pop3', 'pop3s', 'submission', 'submissions')

POSTFIX = '''smtpd_sasl_type = dovecot
smtpd_sasl_path = {sasl}
smtpd_sasl_auth_enable = yes
smtpd_tls_auth_only = yes
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 1000
smtpd_client_event_limit_exceptions = static:all
default_transport = discard:nothing leaves the machine
'''
# {etc}, {sasl}, {quota} and the files of certificates {expired} {early} {other} {self} are put in
POSTFIX_LISTENERS = {
    'tls': 'smtpd_tls_wrappermode = yes',
    'mx': 'smtpd_sasl_auth_enable = no',
    'auth': 'smtpd_client_restrictions = permit_sasl_authenticated,reject',
    'required': 'smtpd_tls_security_level = encrypt',
    'clear': 'smtpd_tls_security_level = none\nsmtpd_tls_auth_only = no',
    'gssapi': 'smtpd_sasl_mechanism_filter = !plain, !login, static:all',
    'owner': 'smtpd_sender_login_maps = texthash:{etc}/owners\nsmtpd_sender_restrictions = reject_sender_login_mismatch',
    'big': 'message_size_limit = 100',
    'grey': 'smtpd_recipient_restrictions = check_client_access static:{450 4.2.0 Greylisted, see http://postgrey.schweikert.ch/help/zoo.test.html}',
    'quota': 'smtpd_recipient_restrictions = check_policy_service inet:{quota}',
    'rate': 'smtpd_client_event_limit_exceptions =\nsmtpd_client_message_rate_limit = 1',
    'recipients': 'smtpd_client_event_limit_exceptions =\nsmtpd_client_recipient_rate_limit = 1',
    'signins': 'smtpd_client_event_limit_exceptions =\nsmtpd_client_auth_rate_limit = 1',
    'connections': 'smtpd_client_event_limit_exceptions =\nsmtpd_client_connection_count_limit = 1',
    'helo': 'smtpd_helo_restrictions = check_helo_access static:{504 5.5.2 need fully-qualified hostname}',
    'dnsbl': 'smtpd_client_restrictions = reject_rbl_client bl.zoo.test',
    'access': 'smtpd_client_restrictions = check_client_access static:REJECT',
    'domain': 'smtpd_sender_restrictions = reject_unknown_sender_domain',
    'verify': 'smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:1\nsmtpd_policy_service_max_idle = 1s\nsmtpd_policy_service_retry_delay = 1s\n'
              'smtpd_policy_service_try_limit = 1',
    'expired': 'smtpd_tls_chain_files = {expired}',
    'early': 'smtpd_tls_chain_files = {early}',
    'other': 'smtpd_tls_chain_files = {other}',
    'self': 'smtpd_tls_chain_files = {self}',
}

EXIM_AUTH = '''plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{alice@zoo.test}}{eq{$auth3}{Right-Pw 1}}}}
  server_set_id = $auth2
  server_advertise_condition = ${if or{{def:tls_in_cipher}{eq{$received_port}{{clear}}}}}
'''
# (listener, access list, verb, conditions, message)
EXIM_LISTENERS = (
    ('owner', 'rcpt', 'deny', ['authenticated = *', '!condition = ${if eqi{$sender_address}{$authenticated_id}}'],
     'Sender address rejected: not owned by user $authenticated_id'),
    ('grey', 'rcpt', 'defer', [], '451 Greylisted, please try again in 300 seconds'),
    ('rate', 'rcpt', 'defer', ['ratelimit = 0 / 1h / strict / $authenticated_id'], 'Sender rate overlimit - $sender_rate / $sender_rate_period'),
    ('dnsbl', 'rcpt', 'deny', ['dnslists = bl.zoo.test'], 'rejected because $sender_host_address is in a black list at $dnslist_domain\\n$dnslist_text'),
    ('prohibited', 'rcpt', 'deny', [], None),
    ('quota', 'rcpt', 'deny', ['local_parts = full'], '552 5.2.2 Mailbox is full / Blocks limit exceeded / Inode limit exceeded'),
    ('many', 'rcpt', 'defer', ['condition = ${if >={$rcpt_count}{1}}'], '452 4.5.3 Too many recipients in one message'),
    ('tlsmail', 'mail', 'deny', ['!encrypted = *'], '530 5.7.0 Must issue a STARTTLS command first'),
    ('helo', 'helo', 'deny', [], 'Access denied - Invalid HELO name (See RFC2821 4.1.1.1)'),
    ('busy', 'connect', 'defer', [], '421 Too many concurrent SMTP connections; please try again later.'),
)
EXIM_ENDS = {
    'rcpt': '''  accept authenticated = *
  require message = relay not permitted
    domains = +local_domains
  require message = No such user here
    verify = recipient
  accept
''', 'mail': '  accept\n', 'helo': '  accept\n', 'connect': '  accept\n'}

OPENSMTPD = '''table creds { "alice@zoo.test" = "{crypted}" }
table owners { "alice@zoo.test" = "alice@zoo.test" }
table everybody { "0.0.0.0/0" }
filter "grey" phase rcpt-to match src <everybody> reject "451 4.7.1 Greylisting in action, please come back later"
filter "norelay" phase connect match src <everybody> disconnect "554 5.7.1 Your IP address is listed on our blocklist"
'''
OPENSMTPD_LISTENERS = {
    'good': 'tls pki peer auth-optional <creds>',
    'tls': 'smtps pki peer auth-optional <creds>',
    'auth': 'tls pki peer auth <creds>',
    'required': 'tls-require pki peer auth-optional <creds>',
    'owner': 'tls pki peer auth <creds> senders <owners>',
    'grey': 'tls pki peer auth-optional <creds> filter "grey"',
    'blocked': 'tls pki peer auth-optional <creds> filter "norelay"',
}

HARAKA = '''// what one listener alone does
const is = (plugin, connection, what) => connection.local.port === plugin.ports[what];
exports.register = function () {
	this.ports = this.config.get('zoo.json');
	this.inherits('auth/auth_base');
};
exports.hook_capabilities = function (next, connection) {
	if (connection.tls.enabled || is(this, connection, 'clear')) {
		connection.capabilities.push('AUTH PLAIN LOGIN');
		connection.notes.allowed_auth_methods = ['PLAIN', 'LOGIN'];
	}
	next();
};
exports.get_plain_passwd = (user, cb) => cb(user === 'alice@zoo.test' ? 'Right-Pw 1' : undefined);
exports.hook_connect = function (next, connection) {
	next(...(is(this, connection, 'busy') ? [DENYSOFTDISCONNECT, 'Too busy to take mail right now, please try again later'] : [CONT]));
};
exports.hook_mail = function (next, connection) {
	next(...(is(this, connection, 'auth') && !connection.notes.auth_user ? [DENY, 'Authentication required'] : [CONT]));
};
exports.hook_rcpt = (next, connection) => next(connection.relaying ? OK : CONT);
exports.hook_data_post = function (next, connection) {
	if (is(this, connection, 'virus')) return next(DENY, 'Message is infected with Eicar-Test-Signature');
	next(...(is(this, connection, 'spam') ? [DENY, 'Detected as spam'] : [CONT]));
};
'''
HARAKA_LISTENERS = ('good', 'tls', 'auth', 'clear', 'busy', 'virus', 'spam')


class Dovecot(peers.Dovecot):
    """with its accounts. broken: whoever asks about a password hears that it cannot be said now"""

    def __init__(self, certificate, broken=False, relay=1):
        self.named = {name: 20000 + i for i, name in enumerate(DOVECOT_LISTENERS)}
        self.broken = broken
        conf = DOVECOT.replace('{relay}', str(relay))
        for name, port in self.named.items():
            conf = conf.replace('{%s}' % name, str(port))
        # an address of its own: to a client with the server's address it takes passwords in the clear
        address = peers.free_address()
        super().__init__(domain='zoo.test', users=USERS, address=address, tls=certificate('dovecot-' + address, [address]), more=conf, ports=tuple(self.named.values()))

    def configure(self):
        words = super().configure()
        lines = [] if self.broken else ['%s@zoo.test:{PLAIN}%s::::::' % (name, PASSWORD) for name in USERS]
        self.write('passwd', ''.join(line + '\n' for line in lines))
        # the second place to look at: of the broken one it does not answer
        self.write('dict.conf', 'uri = %s\nkey passdb {\n  key = passdb/%%u\n  format = json\n}\npassdb_objects = passdb\n' % (
            'proxy:/nowhere:zoo' if self.broken else 'file:' + self.path('dict')))
        self.write('dict', 'shared/passdb/off@zoo.test\n%s\n' % json.dumps({'password': '{PLAIN}' + PASSWORD, 'nologin': 'yes', 'reason': 'Account is disabled'}))
        self.write('mail/full/cur/1000000000.M1P1.zoo,S=1100000:2,S', 'Subject: much\n\n' + ('x' * 99 + '\n') * 11000)
        return words


class Zoo:
    def __init__(self, folder):
        self.own, self.port, self.host = [], {}, {}
        # an address that is nobody else's: no other test takes its ports; below those that the system gives out by itself
        self.address, self.next = peers.free_address(), random.randrange(20000, 30000)
        self.authority = peers.Authority(folder)
        issue = self.authority.certificate
        self.certs = {'good': issue('good', [self.address]), 'expired': issue('expired', [self.address], end='20240101000000Z'),
                      'early': issue('early', [self.address], start='20340101000000Z'), 'other': issue('other', ['mail.other.example']),
                      'self': issue('self', [self.address], self_signed=True)}

    def __enter__(self):
        try:
            self.dns = self.add('dns', peers.Nsd({'bl.zoo.test': '1.0.0.127 IN A 127.0.0.2\n1.0.0.127 IN TXT "see http://bl.zoo.test/?127.0.0.1"\n',
                                                  'zoo.test': '@ IN MX 10 a\na IN A 127.0.0.1\n'}))
            self.add_dovecot()
            self.add_postfix()
            self.add_exim()
            self.add_opensmtpd()
            self.add_haraka()
            for peer in self.own:
                peer.ready()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        for peer in self.own:
            peer.close()

    def add(self, name, peer):
        self.own.append(peer)
        setattr(self, name, peer.start())
        return peer

    def listeners(self, server, names):
        """numbers for them"""
        ports = {}
        for name in names:
            self.next += 1
            ports[name], self.port['%s-%s' % (server, name)], self.host['%s-%s' % (server, name)] = self.next, self.next, self.address
        return ports

    def inet(self, listener):
        return 'inet:%s:%d' % (self.host[listener], self.port[listener])

    def add_dovecot(self):
        for name, broken in (('dovecot', False), ('broken', True)):
            d = self.add(name, Dovecot(self.authority.certificate, broken))
            for part, port in d.named.items():
                self.port['%s-%s' % (name, part)], self.host['%s-%s' % (name, part)] = port, d.address

    def add_postfix(self):
        ports = self.listeners('postfix', ['good', *POSTFIX_LISTENERS])
        known = {'{sasl}': self.inet('dovecot-auth'), '{quota}': self.inet('dovecot-quota')[5:]}
        known.update(('{%s}' % name, '%s %s' % (key, chain)) for name, (chain, key) in self.certs.items())

        def filled(text):
            for word, value in known.items():
                text = text.replace(word, value)
            return text

        self.add('postfix', peers.Postfix(
            domain='zoo.test', users=USERS, address=self.address, port=ports['good'], tls=self.certs['good'], resolver=self.dns.address, more=filled(POSTFIX),
            listeners={ports[name]: filled(text) for name, text in POSTFIX_LISTENERS.items()},
            files={'owners': 'alice@zoo.test alice@zoo.test\nbob@zoo.test bob@zoo.test\n'}))

    def add_exim(self):
        ports = self.listeners('exim', ['good', 'tls', 'clear', *(row[0] for row in EXIM_LISTENERS)])
        acl = {'acl_smtp_' + name: '' for name in EXIM_ENDS}
        for listener, name, verb, conditions, message in EXIM_LISTENERS:
            lines = ['%s condition = ${if eq{$received_port}{%d}}' % (verb, ports[listener]), *conditions] + (['message = ' + message] if message else [])
            acl['acl_smtp_' + name] += ''.join('  %s\n' % line for line in lines)
        for name, end in EXIM_ENDS.items():
            acl['acl_smtp_' + name] += end
        self.add('exim', peers.Exim(
            domain='zoo.test', users=USERS, address=self.address, port=ports['good'], ports=[port for name, port in ports.items() if name != 'good'],
            tls=self.certs['good'], resolver=self.dns.address, acl=acl, more='tls_on_connect_ports = %d\n' % ports['tls'], authenticators=EXIM_AUTH.replace('{clear}', str(ports['clear']))))

    def add_opensmtpd(self):
        ports = self.listeners('opensmtpd', ['mx', 'broken', *OPENSMTPD_LISTENERS])
        crypted = subprocess.run(['openssl', 'passwd', '-6', PASSWORD], capture_output=True, text=True, check=True).stdout.strip()
        self.add('opensmtpd', peers.OpenSMTPD(
            domain='zoo.test', users=USERS, address=self.address, port=ports['mx'], tls=self.certs['good'], more=OPENSMTPD.replace('{crypted}', crypted),
            listeners={ports[name]: text for name, text in OPENSMTPD_LISTENERS.items()},
            rules='action "out" relay host smtp://127.0.0.1:1\nmatch auth from any for any action "out"'))
        self.add('opensmtpd_broken', peers.OpenSMTPD(domain='zoo.test', users=USERS, address=self.address, port=ports['broken'], tls=self.certs['good'],
                                                        broken_tls=True))

    def add_haraka(self):
        ports = self.listeners('haraka', HARAKA_LISTENERS)
        chain, key = self.certs['good']
        config = {'zoo.json': json.dumps(ports), 'tls.ini': 'key=%s\ncert=%s\nno_starttls_ports[]=%d\n' % (key, chain, ports['clear']),
                  'smtp.ini': 'listen=%s\nsmtps_port=%d\n' % (','.join('%s:%d' % (self.address, port) for port in ports.values()), ports['tls'])}
        others = [port for name, port in ports.items() if name != 'good']
        self.add('haraka', peers.Haraka(domain='zoo.test', users=USERS, address=self.address, port=ports['good'], ports=others, tls=self.certs['good'],
                                        plugins={'zoo': HARAKA}, config=config))
