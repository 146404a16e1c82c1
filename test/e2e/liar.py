"""A name server that lies: it answers for liar.test (and for whatever else it is asked) over UDP and TCP, and the first label of the name says how. See
Liar.replies for what there is; anything else gets a true answer."""
import os
import socket
import struct
import threading

A, SOA, MX = 1, 6, 15

def wire_name(text):
    return b''.join(bytes([len(p)]) + p.encode() for p in text.split('.') if p) + b'\0'


def record(name, kind, data, ttl=60):
    return wire_name(name) + struct.pack('>HHIH', kind, 1, ttl, len(data)) + data


class Liar:
    """Liar() is at 127.0.0.1, and at ::1 too where the machine has it, on `port`; `asked` is what it was asked: (name, type, 'udp' or 'tcp')"""
    zone = 'liar.test'

    def __init__(self, records=None):
        """records: {name: {type: [data]}}, true answers of names below `zone`"""
        self.records = records or {}
        tcp = socket.create_server(('127.0.0.1', 0))
        self.port = tcp.getsockname()[1]
        self.sockets = [tcp]
        self.asked = []
        self.silent = False
        self.ended = False
        for family, address in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):
            try:
                udp = socket.socket(family, socket.SOCK_DGRAM)
                udp.bind((address, self.port))
            except OSError:
                continue
            self.sockets.append(udp)
            threading.Thread(target=self.run_udp, args=(udp,), daemon=True).start()
        threading.Thread(target=self.run_tcp, args=(tcp,), daemon=True).start()

    def run_udp(self, udp):
        while not self.ended:
            try:
                packet, who = udp.recvfrom(4096)
                for reply in self.replies(packet, 'udp'):
                    udp.sendto(reply, who)
            except OSError:
                return

    def run_tcp(self, tcp):
        while not self.ended:
            try:
                s, _ = tcp.accept()
            except OSError:
                return
            threading.Thread(target=self.one_tcp, args=(s,), daemon=True).start()

    def one_tcp(self, s):
        with s:
            s.settimeout(60)
            try:
                while True:
                    size = s.recv(2, socket.MSG_WAITALL)
                    if len(size) < 2:
                        return
                    packet = s.recv(struct.unpack('>H', size)[0], socket.MSG_WAITALL)
                    for reply in self.replies(packet, 'tcp'):
                        s.sendall(struct.pack('>H', len(reply)) + reply)
            except OSError:
                return

    def close(self):
        self.ended = True
        for s in self.sockets:
            s.close()

    def replies(self, packet, over):
        number, = struct.unpack('>H', packet[:2])
        at, labels = 12, []
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode())
            at += 1 + packet[at]
        kind, = struct.unpack('>H', packet[at + 1:at + 3])
        question = packet[12:at + 5]
        name = '.'.join(labels).lower()
        how = labels[0].lower() if labels else 'good'
        edns = packet[11] > 0
        self.asked.append((name, kind, over))
        if self.silent:
            return []

        def message(answers=(), code=0, flags=0x8400, ident=number, asked=question, more=(), authority=()):
            head = struct.pack('>HHHHHH', ident, flags | code, 1 if asked else 0, len(answers), len(authority), len(more))
            return head + asked + b''.join(answers) + b''.join(authority) + b''.join(more)

        soa = record(self.zone, SOA, wire_name('ns.' + self.zone) + wire_name('root.' + self.zone) + struct.pack('>IIIII', 1, 60, 60, 60, 60))
        good = [record(name, A, bytes([192, 0, 2, 80]))] if kind == A else []
        if name in self.records:
            good = [record(name, kind, data) for data in self.records[name].get(kind, ())]
        bad = [record(name, A, bytes([6, 6, 6, 6]))] if kind == A else []
        whole = message(good, authority=() if good else (soa,))
        if how == 'never':
            return []
        if how == 'garbage':
            return [os.urandom(60)]
        if how == 'number':
            return [message(bad, ident=number ^ 0x5555)]
        if how == 'number-first':
            return [message(bad, ident=number ^ 0x5555), os.urandom(40), whole]
        if how == 'question':
            return [message(bad, asked=wire_name('other.' + self.zone) + question[-4:])]
        if how == 'case':
            return [message(good, asked=wire_name(name) + question[-4:], authority=() if good else (soa,))]
        if how == 'half':
            return [whole[:len(whole) - 3]]
        if how == 'truncated':
            return [message(flags=0x8600)] if over == 'udp' else [whole]
        if how == 'truncated-for-ever':
            return [message(flags=0x8600)] if over == 'udp' else []
        if how == 'many':  # more than fits into a datagram
            mx = [record(name, MX, struct.pack('>H', n) + wire_name('mx%d.%s' % (n, name))) for n in range(300)] if kind == MX else good
            return [message(flags=0x8600)] if over == 'udp' else [message(mx)]
        if how == 'servfail':
            return [message(code=2, flags=0x8000)]
        if how == 'unknown':
            return [message(code=3, authority=(soa,))]
        if how == 'refused':
            return [message(code=5, flags=0x8000)]
        if how == 'old':
            return [message(code=1, flags=0x8000)] if edns else [whole]
        if how == 'poison':  # and what nobody asked for
            extra = record('victim.plain.test', A, bytes([6, 6, 6, 6]), 86400)
            return [message(good + [extra], more=(extra,), authority=(record('plain.test', 2, wire_name('ns.liar.test'), 86400),))]
        if how == 'short':  # an address of three bytes
            return [message([record(name, kind, b'abc')])]
        if how == 'line-end':
            return [message([record(name, kind, struct.pack('>H', 10) + b'\4a\r\nb\0')])]
        return [whole]
