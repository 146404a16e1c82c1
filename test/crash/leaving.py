"""Mail that leaves: a system under test that relays to a sink here, what arrived at that sink, and how it is judged. The rounds are in relay.py."""
import collections
import json
import random
import re
import socket
import struct
import threading
import time

from clients import Pop3, Refused, Sender
from ledger import LOST, PERMANENT, UNKNOWN
from rig import BACK_S, Rig
import sink

TWICE, TOLD_TWICE, TOLD_WRONG, STRANDED = 'arrived twice', 'told of twice', 'arrived, and told that it did not', 'leased with no relay there'
ADDRESS = '127.77.0.1'
SENDER = 'bob@mailroom.test'
# two domains by a route, two by their MX; one mailbox that is not there; somebody here
RCPTS = tuple('r%d@%s' % (i, d) for d in ('a.example', 'b.example', 'c.mx.test', 'd.mx.test') for i in range(3)) + ('refused@a.example', 'alice@mailroom.test')
CONF = '''delivery {
	port = %(port)d
	retry-first = 1s
	retry-most = 1s
	connect-timeout = 3s
	mta-sts = no
	dane = no
}
dns {
	dnssec = no
	check-recipients = no
	timeout = 3s
	resolvers = "127.0.0.1@%(dns)d"
}
route "near" {
	domains = "a.example b.example"
	to = "[%(address)s]:%(port)d"
}
'''
DRAIN_S = 60.0
SEEN_S = 2.0   # a connection that was cut off is seen to have ended within this time (idle ones are kept longer)
NEAR_S = 5.0   # what came over it in so long a time may have been on its way back to the queue when store and relay went together


class Names(threading.Thread):
    """a name server: every name in mx.test has an MX, and that the sink's address"""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(('127.0.0.1', 0))
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                question, who = self.socket.recvfrom(4096)
                self.socket.sendto(self.answer(question), who)
            except (OSError, IndexError, struct.error):
                if self.socket.fileno() < 0:
                    return

    def answer(self, q):
        end, labels = 12, []
        while q[end]:
            labels.append(q[end + 1:end + 1 + q[end]].lower())
            end += 1 + q[end]
        kind = struct.unpack('>H', q[end + 1:end + 3])[0]
        data = None
        if labels[-2:] == [b'mx', b'test']:
            if kind == 15 and labels[0] != b'host':
                data = struct.pack('>H', 10) + b'\4host\2mx\4test\0'
            elif kind == 1 and labels[0] == b'host':
                data = socket.inet_aton(ADDRESS)
        out = q[:2] + struct.pack('>HHHHH', 0x8580, 1, data is not None, 0, 0) + q[12:end + 5]
        return out + (b'\xc0\x0c' + struct.pack('>HHIH', kind, 1, 5, len(data)) + data if data else b'')


class Arrivals(sink.Sink):
    """writes down what it has, then says 250; now and then it puts a recipient off, and one mailbox is never there"""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.taken = []           # (session, its how-manieth, when, Message-ID, recipients)
        self.unsigned = 0
        self.puts_off = 0.03
        super().__init__(address=ADDRESS, answer=self.judge)
        self.mail, self.said = collections.deque(maxlen=1), collections.deque(maxlen=1)  # nothing is kept twice

    def serve(self, session):
        session.count, session.until = 0, None
        super().serve(session)
        session.until = time.monotonic()

    def judge(self, stage, text, session):
        if stage == 'rcpt':
            if '<refused@' in text:
                return '550 5.1.1 No such user here'
            with self.lock:
                return '451 4.3.0 Try again later' if self.rng.random() < self.puts_off else None
        if stage == 'end':
            head = text.split(b'\r\n\r\n', 1)[0]
            mid = re.search(rb'(?im)^message-id:\s*(\S+)', head).group(1).decode()
            with self.lock:
                session.count += 1
                self.taken.append((session, session.count, time.monotonic(), mid, tuple(session.rcpts)))
                self.unsigned += b'DKIM-Signature:' not in head
                rest = self.rng.choice((0, 0, 0, 0.005, 0.03))
            time.sleep(rest)
        return None

    def came(self):
        with self.lock:
            return list(self.taken)


class Blow:
    """Something that was done to a relay: with rig.blow('relay killed') as b: kill it; b.over(). What the sink took last over each connection that broke then may arrive
    again. whole: the store went with it, and the results that it had not read."""

    def __init__(self, rig, what, whole=False):
        self.rig, self.what, self.whole, self.end = rig, what, whole, None

    def __enter__(self):
        self.begin = time.monotonic()
        return self

    def over(self):
        self.end = self.end or time.monotonic()

    def __exit__(self, *exc):
        self.over()
        self.rig.blows.append(self)

    def broke(self, session):
        return session.until is not None and self.begin <= session.until <= self.end + SEEN_S

    def excuses(self, session, number, when):
        return self.broke(session) and session.until - when <= (NEAR_S if self.whole else SEEN_S) and (self.whole or number == session.count)


class Leaving(Rig):
    def __init__(self, rng, kill=True, start=True, prefix='relay'):
        self.sink, self.names = Arrivals(rng.randrange(1 << 30)), Names()
        self.blows, self.reports, self.reports_read = [], collections.Counter(), 0
        self.twice = collections.Counter()
        super().__init__(workers=1, kill=kill, start=start, prefix=prefix, more=CONF % {'port': self.sink.port, 'dns': self.names.port, 'address': ADDRESS})

    def write_conf(self, extra=''):
        super().write_conf(extra)
        self.run('domain', 'dkim', 'add', 'mailroom.test', '--now', '--selector', 'crash')  # what leaves passes the keys role

    def close(self):
        super().close()
        self.sink.close()
        self.names.socket.close()

    def set_relays(self, n):
        path = self.home + '/mailroom.conf'
        with open(path) as f:
            text = f.read()
        with open(path, 'w') as f:
            f.write(re.sub(r'\trelay = \d', '\trelay = %d' % n, text))

    def blow(self, what, **how):
        return Blow(self, what, **how)

    # ---- what is where

    def queue(self):
        return json.loads(self.run('queue', 'list', '--json') or '[]')

    def sending(self):
        return [r for r in self.queue() if r['state'] == 'sending']

    def leaves(self, problems, what, within_s=4 * BACK_S):
        """mail goes on leaving: something arrives that had not"""
        mark, end = len(self.sink.came()), time.monotonic() + within_s
        while time.monotonic() < end:
            if len(self.sink.came()) > mark:
                return True
            time.sleep(0.01)
        problems.append('%s: no mail left for %.0f s: %s' % (what, within_s, self.queue()[:2]))
        return False

    def drained(self, problems, what):
        end = time.monotonic() + DRAIN_S
        while time.monotonic() < end:
            left = self.queue()
            if not left:
                return True
            time.sleep(0.1)
        problems.append('%s: %d rows still in the queue: %s' % (what, len(left), left[:2]))
        return False

    def read_reports(self):
        """the sender's new mail: each report names the message and who did not get it"""
        while True:
            try:
                conn = Pop3(self.port['pop3'], *self.login(SENDER.split('@')[0]))
                break
            except (Refused, OSError, ValueError):
                time.sleep(0.02)
        try:
            total = int(conn.ask('STAT').split()[1])
            for n in range(self.reports_read + 1, total + 1):
                text = '\n'.join(conn.lines('RETR %d' % n))
                mid = re.findall(r'(?im)^message-id:\s*(\S+)', text)[-1]  # of what came back with it
                for rcpt in re.findall(r'(?im)^final-recipient:\s*rfc822;\s*(\S+)\s*\n(?:action:\s*failed)', text):
                    self.reports[(mid, rcpt)] += 1
                self.reports_read = n
            conn.ask('QUIT')
        finally:
            conn.close()

    # ---- the judge

    def judge_twice(self, came):
        """What arrived again without having been the last over a connection that was cut off. A store that dies alone is no reason."""
        last, bad, by = {}, [], collections.defaultdict(set)  # which messages: the recipients of one may come back in several
        for session, number, when, mid, rcpts in came:
            before = [last[(mid, r)] for r in rcpts if (mid, r) in last]
            last.update({(mid, r): (when, session, number) for r in rcpts})
            if not before:
                continue
            first, over, was = max(before, key=lambda b: b[0])
            blow = next((b for b in self.blows if b.excuses(over, was, first)), None)
            if blow is None:
                bad.append((mid, 'again after %.3f s, number %d of %d over its connection, which ended %s' % (
                    when - first, was, over.count, 'never' if over.until is None else '%.3f s later' % (over.until - first)),
                    [(b.what, round(b.begin - first, 3), round(b.end - first, 3)) for b in self.blows if abs(b.begin - first) < NEAR_S]))
            else:
                by[(blow, over.number)].add(mid)
        self.twice, self.most_twice = collections.Counter(), max(map(len, by.values()), default=0)
        for (blow, _), mids in by.items():
            self.twice[blow.what] += len(mids)
            if len(mids) > 1 and not blow.whole:
                bad.append(('%s: %d messages of one connection' % (blow.what, len(mids)), sorted(mids)))
        return bad

    def audit(self):
        """In this order: a row that is no longer in the queue has arrived by then, or its report is there."""
        promised = self.ledger.promised()
        held = collections.Counter((r['message_id'], r['recipient']) for r in self.queue())
        held.update({c: n for c, n in self.held().items() if c[1] not in ('queue', SENDER)})  # of what the sender gets the reports are counted, below
        self.read_reports()
        came = self.sink.came()
        copies = {(mid, r) for _, _, _, mid, rcpts in came for r in rcpts}
        bad = collections.defaultdict(list)
        if self.ledger.permanent:
            bad[PERMANENT] = list(self.ledger.permanent)
        bad[LOST] = [c for c in promised if not held[c] and c not in copies and not self.reports[c]]
        bad[TWICE] = self.judge_twice(came) + [(c, 'held') for c, n in held.items() if n > 1]
        bad[TOLD_TWICE] = [c for c, n in self.reports.items() if n > 1]
        bad[TOLD_WRONG] = [c for c in self.reports if c in copies]
        bad[UNKNOWN] = [c for c in copies | set(self.reports) if c[1] not in self.ledger.rcpts.get(c[0], ())]
        return {name: cases for name, cases in bad.items() if cases}, len(copies) + sum(held.values())


class Load:
    """senders beside the rounds; all of them sign in"""

    def __init__(self, rig, rng, senders=3, rest_s=0.02):
        rig.loads += 1
        self.senders = [Sender(rig, rig.ledger, rng.randrange(1 << 30), '%s.%d.s%d' % (rig.prefix, rig.loads, i), rig.login(SENDER.split('@')[0]), rest_s,
                               RCPTS, other_bytes=0, large=3) for i in range(senders)]

    def __enter__(self):
        for t in self.senders:
            t.start()
        return self

    def __exit__(self, *exc):
        for t in self.senders:
            t.halt.set()
        for t in self.senders:
            t.join(60)
