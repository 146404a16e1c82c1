#!/usr/bin/python3
"""A network of its own for one run of the doctor: reads a scene as JSON from standard input, sets it up, runs the command, prints {"status", "out", "err"}.

usage: unshare -rn doctor_scene.py < scene

    setup: commands of ip(8); the loopback is up unless they take it down
    servers: [{address, port, greeting, replies: {verb: reply}, starttls: [chain, key], tls: [chain, key], act}] where act is one of
             http (waits, then answers like a web server), full (its queue is full, so that connections get no answer)
    command, input, env: what is run"""
import json
import os
import socket
import ssl
import subprocess
import sys
import threading

HELD = []


def context(cert):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(*cert)
    return c


def talk(server, conn):
    if server.get('tls'):
        conn = context(server['tls']).wrap_socket(conn, server_side=True)
    conn.sendall(server['greeting'].encode() + b'\r\n')
    while True:
        line = b''
        while not line.endswith(b'\n'):  # byte by byte: what comes behind STARTTLS is not for us
            c = conn.recv(1)
            if not c:
                return
            line += c
        words = line.decode(errors='replace').upper().split()
        verb = words[0] if words else ''
        if verb in ('STARTTLS', 'STLS') and server.get('starttls'):
            conn.sendall(b'220 go\r\n' if verb == 'STARTTLS' else b'+OK\r\n')
            conn = context(server['starttls']).wrap_socket(conn, server_side=True)
            continue
        reply = server.get('replies', {}).get(verb, '221 bye' if verb == 'QUIT' else '250 ok')
        conn.sendall(reply.replace('\n', '\r\n').encode() + b'\r\n')
        if verb == 'QUIT':
            return


def http(server, conn):
    conn.recv(4096)
    conn.sendall(b'HTTP/1.1 302 Found\r\nLocation: http://login.hotel.example/\r\nContent-Length: 0\r\n\r\n')


def one(server, conn):
    conn.settimeout(20)
    try:
        (http if server.get('act') == 'http' else talk)(server, conn)
    except (OSError, ValueError):
        pass
    finally:
        conn.close()


def serve(server):
    sock = socket.create_server((server['address'], server['port']), backlog=0 if server.get('act') == 'full' else 16)
    HELD.append(sock)
    if server.get('act') == 'full':
        for _ in range(4):
            s = socket.socket()
            s.setblocking(False)
            s.connect_ex((server['address'], server['port']))
            HELD.append(s)
        return

    def accept():
        while True:
            conn = sock.accept()[0]
            threading.Thread(target=one, args=(server, conn), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def main():
    scene = json.load(sys.stdin)
    for command in ['ip link set lo up', *scene.get('setup', [])]:
        subprocess.run(command.split(), check=True)
    for server in scene.get('servers', []):
        serve(server)
    p = subprocess.run(scene['command'], input=scene.get('input', ''), capture_output=True, text=True, timeout=200, env=dict(os.environ, **scene.get('env', {})))
    print(json.dumps({'status': p.returncode, 'out': p.stdout, 'err': p.stderr}))


if __name__ == '__main__':
    main()
