"""Messages with attachments, well made and made to get past a filter or to keep it busy; for test/e2e and test/attack."""
import base64
import io
import os
import tarfile
import zipfile

ALICE = 'alice@mailroom.test'
SENDER = 'sender@client.example'
EXE = b'MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0\xb8' + bytes(43) + b'\x80\0\0\0' + bytes(64) + b'PE\0\0\x4c\x01' + bytes(200)

COUNT = [0]


def mail(*parts, subject='test', frm=SENDER, head=(), body=b'hello'):
    """a message; parts: (header lines, bytes), base64 unless they say how they are encoded"""
    COUNT[0] += 1
    lines = ['From: ' + frm, 'To: ' + ALICE, 'Subject: ' + subject, 'Message-ID: <f%d.%d@client.example>' % (os.getpid(), COUNT[0]), 'MIME-Version: 1.0', *head]
    if not parts:
        return '\r\n'.join(lines + ['', '']).encode() + body + b'\r\n'
    out = '\r\n'.join(lines + ['Content-Type: multipart/mixed; boundary="=="', '', '', '--==', 'Content-Type: text/plain', '', '']).encode() + body
    for header, data in parts:
        out += b'\r\n--==\r\n' + header.encode() + b'\r\n'
        if 'transfer-encoding' not in header.lower():
            out += b'Content-Transfer-Encoding: base64\r\n\r\n' + base64.encodebytes(data).replace(b'\n', b'\r\n')
        else:
            out += b'\r\n' + data
    return out + b'\r\n--==--\r\n'


def named(name, data=b'x', kind='application/octet-stream'):
    return ('Content-Type: %s\r\nContent-Disposition: attachment; filename="%s"' % (kind, name), data)


def archive(*members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z:
        for name, data in members:
            z.writestr(name, data)
    return out.getvalue()


def encrypted(*members):
    """the same with the flag that says it needs a password, in local headers and directory"""
    data = bytearray(archive(*members))
    for magic, at in ((b'PK\x03\x04', 6), (b'PK\x01\x02', 8)):
        place = data.find(magic)
        while place >= 0:
            data[place + at] |= 1
            place = data.find(magic, place + 4)
    return bytes(data)


def tarball(mode, *members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as t:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def tar_of(mib):
    return tarball('w:gz', ('a.bin', bytes(mib << 20)))


# ways to say a.zip
NAMES = {
    'plain': 'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="a.zip"',
    'upper case': 'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=A.ZIP',
    'only in Content-Type': 'Content-Type: application/octet-stream; name="a.zip"',
    'trailing dot': 'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="a.zip."',
    'trailing blanks': 'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="a.zip . "',
    'RFC 2231': "Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename*=utf-8''a%2ezip",
    'RFC 2231, split': 'Content-Type: application/octet-stream\r\nContent-Disposition: attachment;\r\n filename*0="a.z"; filename*1="ip"',
    'RFC 2231, split in the wrong order': 'Content-Type: application/octet-stream\r\nContent-Disposition: attachment;\r\n filename*1=ip; '
    "filename*0*=utf-8''a%2Ez",
    'RFC 2047': 'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="=?utf-8?B?YS56aXA=?="',
    'RFC 2047, Q, in two words': 'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="=?utf-8?Q?a=2Ez?= =?us-ascii?Q?ip?="',
    'folded': 'Content-Type: application/octet-stream\r\nContent-Disposition: attachment;\r\n\tfilename\r\n = "a.zip"',
    'with a comment': 'Content-Type: application/octet-stream\r\nContent-Disposition: attachment (x; filename=b.txt); filename="a.zip"',
    'with a path': 'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="C:\\\\x\\\\a.zip"',
    'inline': 'Content-Type: text/plain\r\nContent-Disposition: inline; filename="a.zip"',
    'another name first': 'Content-Type: application/octet-stream; name="a.txt"\r\nContent-Disposition: attachment; filename="a.zip"',
}


# ways to hide setup.exe
INSIDE = {
    'in a zip': named('a.zip', archive(('readme.txt', b'x'), ('dir/Setup.EXE', b'x'))),
    'in a zip in a zip': named('a.zip', archive(('b.zip', archive(('setup.exe', b'x'))))),
    'in a zip called .jpg': named('a.jpg', archive(('setup.exe', b'x')), 'image/jpeg'),
    'in a tar': named('a.tar', tarball('w:', ('dir/setup.exe', b'x'))),
    'in a tar.gz': named('a.tar.gz', tarball('w:gz', ('setup.exe', b'x'))),
    'in a tar.bz2': named('a.tbz', tarball('w:bz2', ('setup.exe', b'x'))),
    'in a tar.xz': named('a.tar.xz', tarball('w:xz', ('setup.exe', b'x'))),
    'in a zip in a tar': named('a.tar', tarball('w:', ('b.zip', archive(('setup.exe', b'x'))))),
    'in an encrypted zip': named('a.zip', encrypted(('setup.exe', b'x'))),
    'in a message in a message': ('Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit', mail(named('a.zip', archive(('setup.exe', b'x'))))),
}


def zeros(name, mib):
    return (name, bytes(mib << 20))


def deep(levels):
    data = archive(zeros('0.dll', 4))
    for _ in range(levels):
        data = archive(*(('lib%d.zip' % i, data) for i in range(16)))
    return data


def one_in_the_other(mib):
    """messages inside each other that all begin like a zip, and all reach to the end"""
    head = mail()[:-len(b'\r\n\r\nhello\r\n')] + b'\r\nContent-Type: message/rfc822\r\n\r\n'
    return head + b'PK\x03\x04: x\r\nContent-Type: message/rfc822\r\n\r\n' * 100 + b'\r\n' + (b'y' * 76 + b'\r\n') * (mib * 13443)


def bombs():
    nested = b''.join(b'Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n' % (i, i) for i in range(10000))
    inside = b''.join(b'Content-Type: message/rfc822\r\n\r\n' for _ in range(10000))
    head = mail()[:-len(b'\r\n\r\nhello\r\n')] + b'\r\n'
    return {
        'multiparts 10 000 deep': head + nested + b'\r\nx\r\n',
        'messages 10 000 deep': head + inside + b'\r\nx\r\n',
        '100 000 parts': head + b'Content-Type: multipart/mixed; boundary=b\r\n\r\n' + b'--b\r\n\r\nx\r\n' * 100000 + b'--b--\r\n',
        'one member of 1 GiB': mail(named('a.zip', archive(zeros('a.bin', 512), zeros('b.bin', 512)))),
        'zips in zips in zips': mail(named('42.zip', deep(5))),
        'tar.gz of 512 MiB': mail(named('a.tar.gz', tar_of(512))),
        '2000 zips of 1 MiB each': mail(*([named('a.zip', archive(zeros('a.bin', 1)))] * 2000)),
        'a zip of 60 000 names': mail(named('a.zip', archive(*(('%d' % i, b'') for i in range(60000))))),
        'one archive in the other, as messages': one_in_the_other(11),
        'one name of 200 KB': mail(named('a' * 900 + '"\r\n x="' + '"; filename="'.join(['b' * 900] * 200))),
    }


BOMBS = ('multiparts 10 000 deep', 'messages 10 000 deep', '100 000 parts', 'one member of 1 GiB', 'zips in zips in zips', 'tar.gz of 512 MiB',
         '2000 zips of 1 MiB each', 'a zip of 60 000 names', 'one archive in the other, as messages', 'one name of 200 KB')


def harmless(header):
    """the same spelling of a.txt"""
    for was, now in (('zip', 'txt'), ('z"', 't"'), ('"ip"', '"xt"'), ('=ip', '=xt'), ('%2Ez', '%2Et'), ('YS56aXA=', 'YS50eHQ='), ('=2Ez?', '=2Et?'),
                     ('Q?ip?', 'Q?xt?'), ('.ZIP', '.TXT')):
        header = header.replace(was, now)
    return header
