"""What the clients were promised, and what is held against it: the only judge of a crash test. Knows nothing of the server."""
import collections
import threading

LOST, DOUBLED, RETURNED, UNKNOWN, PERMANENT = 'lost after a 250', 'held twice', 'deleted and back', 'held and never sent', '5xx for our own trouble'


class Ledger:
    """A copy is (Message-ID, address). A promised copy is held exactly once until its owner deletes it; one that was repeated with other bytes, because no 250 was
    seen, at most twice; one without any 250 at most once."""

    def __init__(self):
        self.lock = threading.Lock()
        self.rcpts = {}                      # Message-ID -> addresses it was sent to
        self.acked = set()                   # Message-IDs that got their 250
        self.loose = set()                   # repeated with other bytes
        self.gone, self.perhaps = set(), set()  # copies whose deletion was promised; asked for without an answer
        self.loose_repeats = False           # any repeat may be a second copy
        self.permanent = []
        self.temporary = collections.Counter()
        self.repeats = 0

    def send(self, mid, rcpts):
        with self.lock:
            self.rcpts[mid] = tuple(rcpts)

    def ack(self, mid):
        with self.lock:
            self.acked.add(mid)

    def repeat(self, mid, other_bytes=False):
        with self.lock:
            self.repeats += 1
            if other_bytes or self.loose_repeats:
                self.loose.add(mid)

    def refuse(self, code, words):
        """an answer that was no 250: 4xx is what trouble of our own has to look like"""
        with self.lock:
            if 400 <= code < 500:
                self.temporary[code] += 1
            else:
                self.permanent.append((code, words))

    def ask_delete(self, copies):
        with self.lock:
            self.perhaps.update(copies)

    def deleted(self, copies):
        with self.lock:
            self.gone.update(copies)

    def not_deleted(self, copies):
        """the server said that it did not"""
        with self.lock:
            self.perhaps.difference_update(copies)

    def promised(self):
        """the copies promised up to now: taken before looking at what is held, so that load may go on meanwhile"""
        with self.lock:
            return {(mid, where) for mid in self.acked for where in self.rcpts[mid]}

    def judge(self, promised, held):
        """{what is wrong: [copies]}; held: a Counter of (Message-ID, address)"""
        bad = collections.defaultdict(list)
        with self.lock:
            away, gone = self.gone | self.perhaps, set(self.gone)
            loose, rcpts = set(self.loose), dict(self.rcpts)
            if self.permanent:
                bad[PERMANENT] = list(self.permanent)
        for copy in promised:
            if not held[copy] and copy not in away:
                bad[LOST].append(copy)
        for copy, n in held.items():
            if copy[0] not in rcpts or copy[1] not in rcpts[copy[0]]:
                bad[UNKNOWN].append(copy)
            elif n > (2 if copy[0] in loose else 1):
                bad[DOUBLED].append(copy)
        return bad

    def judge_deleted(self, gone_before, held):
        """copies whose deletion was promised before `held` was looked at"""
        with self.lock:
            loose = set(self.loose)
        return [copy for copy in gone_before if held[copy] > (1 if copy[0] in loose else 0)]
