"""A system with secrets planted where only their owners may see them, and the list of what those secrets look like in memory and on the wire."""
import base64
import os
import secrets
import smtplib
import sqlite3
import ssl
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, 'test', 'e2e'))

import mailroom  # noqa: E402

NO_CHECK = ssl._create_unverified_context()


def token(kind):
    """recognisable, long enough never to come about by chance, and of letters so that no encoding breaks it"""
    return '%s%s' % (kind, base64.b32encode(secrets.token_bytes(20)).decode().rstrip('='))


def message(secret, name, size=0, domain='plant.test'):
    """headers and text that hold `secret` at every turn"""
    lines = ['From: %s@%s' % (name, domain), 'Subject: %s' % secret, 'Message-ID: <%s.%s@plant.test>' % (name, secrets.token_hex(8)), '']
    lines += ['%s line %d of the text' % (secret, n) for n in range(max(3, size // 70))]
    return '\r\n'.join(lines) + '\r\n'


def deliver(system, sender, to, text):
    with smtplib.SMTP('127.0.0.1', system.port['mx'], timeout=60) as s:
        s.sendmail(sender, [to], text)


def key_needles(home, path='default.key'):
    """PEM text, DER, and the private number itself"""
    out = {}
    path = os.path.join(home, 'keys', path)
    with open(path) as f:
        body = [line.strip() for line in f if line.strip() and not line.startswith('-----')]
    der = base64.b64decode(''.join(body))
    out['key:pem'] = body[1][:40].encode() if len(body) > 1 else body[0][:40].encode()
    text = subprocess.run(['openssl', 'pkey', '-in', path, '-noout', '-text'], capture_output=True, text=True, check=True).stdout
    lines = text.split('priv:')[1].split('pub:')[0] if 'priv:' in text else text.split('privateExponent:')[1].split('prime1:')[0]
    number = bytes.fromhex(''.join(lines.replace(':', '').split())).lstrip(b'\0')
    out['key:der'] = der[der.index(number) - 8:][:40]
    out['key:number'] = number[:32]
    out['key:number-reversed'] = number[::-1][:32]  # as big numbers lie in memory
    return out


def hash_needles(home):
    out = {}
    db = sqlite3.connect('file:%s?mode=ro' % os.path.join(home, 'auth', 'credentials.db'), uri=True)
    for address, text, stored, server in db.execute('SELECT address, hash, scram_stored_key, scram_server_key FROM login'):
        name = address.split('@')[0]
        out['hash:%s' % name] = (text if isinstance(text, bytes) else text.encode())[-24:]
        for kind, key in (('stored', stored), ('server', server)):
            out['scram-%s:%s' % (kind, name)] = key[:24]
            out['scram-%s-base64:%s' % (kind, name)] = base64.b64encode(key)[:32]
    db.close()
    return out


def write(path, needles):
    with open(path, 'w') as f:
        for name, data in sorted(needles.items()):
            f.write('%s %s\n' % (name, data.hex()))


def counted(passed, failed):
    print('%d passed, %d failed' % (passed, failed), flush=True)
    return 1 if failed or not passed else 0
