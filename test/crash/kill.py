"""Sudden deaths: at random under load, in turn at every call that matters, stopped and let go, stopped and killed."""
import collections
import random
import signal
import threading
import time

from clients import Reader, Refused, Sender, Smtp, make_text, read_mail
from rig import BACK_S, Inject, Rig, end


def judge(rig, problems, what):
    """what is wrong goes into problems; the number of copies held"""
    bad, held = rig.audit()
    for name, cases in bad.items():
        problems.append('%s: %d %s: %s' % (what, len(cases), name, cases[:3]))
    return held


class Load:
    """senders and readers beside the rounds"""

    def __init__(self, rig, rng, senders=5, rest_s=0.03):
        rig.loads += 1
        self.senders = [Sender(rig, rig.ledger, rng.randrange(1 << 30), '%s.%d.s%d' % (rig.prefix, rig.loads, i), rig.login('bob') if i == 0 else None, rest_s) for i in range(senders)]
        self.readers = [Reader(rig, rig.ledger, 'dave@mailroom.test', 0.2)]

    def __enter__(self):
        for t in self.senders + self.readers:
            t.start()
        return self

    def __exit__(self, *exc):
        for t in self.senders + self.readers:
            t.halt.set()
        for t in self.senders + self.readers:
            t.join(60)


def restart(rig, problems, what):
    begin = time.monotonic()
    try:
        rig.start(timeout=30)
    except RuntimeError as e:
        problems.append('%s: did not start again: %s' % (what, str(e)[-400:]))
        raise
    return time.monotonic() - begin


def kill_one(rig, rng, problems):
    kind = rng.choices(['store', 'mx', 'user', 'auth', 'keys', 'all', 'parent'], [30, 25, 15, 10, 8, 6, 6])[0]
    if kind == 'all':
        rig.kill()
        restart(rig, problems, kind)
    elif kind == 'parent':
        end(rig.process.pid)
        rig.process.wait()
        rig.process = None
        restart(rig, problems, kind)
    else:
        pids = rig.pid_of(kind)
        if pids:
            end(rng.choice(pids))
    return kind


def run_random(ctx, rounds):
    """kill -9 at random moments under load"""
    rng, problems, kinds = ctx.rng(), [], collections.Counter()
    interval = max(25, rounds // 6)
    with Rig(prefix='random') as rig:
        with Load(rig, rng):
            for r in range(rounds):
                time.sleep(rng.uniform(0.0, 0.1))
                kind = kill_one(rig, rng, problems)
                kinds[kind] += 1
                ok = rig.back('random round %d: %s killed' % (r, kind), problems)
                if r % interval == interval - 1:
                    judge(rig, problems, 'random round %d' % r)
                ctx.round(ok)
        rig.back('random: at the end', problems)
        return ctx.close(rig, 'random', rounds, problems, 'killed %s' % dict(kinds))


# ---- in turn

FINISH_S = 60  # a session of a few messages that takes longer than this hangs


class Session:
    """The fixed session: messages small and large, to one and to several, by a stranger and by somebody who signed in, and a mail program that deletes."""

    def __init__(self, rig, rng, name='turn'):
        self.rig = rig
        self.post = rig.post(rng, name + '.mx')
        self.signed = rig.post(rng, name + '.sub', rig.login('bob'))

    def run(self, large=True):
        """seconds it took in all, None: it never finished"""
        begin = time.monotonic()
        late = lambda: time.monotonic() - begin > FINISH_S
        a, b, d = ['%s@mailroom.test' % n for n in ('alice', 'bob', 'dave')]
        ok = self.post.send([a], 300, late) and self.post.send([b, d], 3000, late) and self.post.send([d], 300000, late)
        ok = ok and self.signed.send([a, b, d], 500, late)
        self.give_up_half_way()
        ok = ok and (not large or self.post.send([d], 1200000, late))
        ok = ok and read_mail(self.rig, self.rig.ledger, d, most=20, tries=2000, give_up=late)
        self.post.hang_up()
        self.signed.hang_up()
        return time.monotonic() - begin if ok else None


    def give_up_half_way(self):
        """a large message that its client leaves unfinished: it must never be held"""
        try:
            conn = Smtp(self.rig.port['mx'])
            for command, code in (('MAIL FROM:<x@crash.test>', 250), ('RCPT TO:<alice@mailroom.test>', 250), ('DATA', 354)):
                conn.ask(command, code)
            conn.send(make_text('<unfinished@crash.test>', 400000))
            conn.close()
        except (Refused, OSError, ValueError):
            pass


TURNS = [('store', 'fdatasync'), ('store', 'fsync'), ('store', 'pwrite64'), ('store', 'renameat'), ('store', 'unlinkat'), ('store', 'sendmsg'), ('store', 'recvmsg'),
         ('mx', 'sendmsg'), ('mx', 'recvmsg'), ('mx', 'pwrite64'), ('mx', 'sendto'), ('mx', 'writev'), ('user', 'sendmsg'), ('user', 'recvmsg'), ('auth', 'sendmsg'),
         ('parent', 'sendmsg'), ('parent', 'clone'), ('parent', 'socketpair')]
STARTS = ['fdatasync', 'fsync', 'pwrite64', 'unlinkat', 'ftruncate', 'openat', 'fcntl']


def turn_role(ctx, rig, session, role, call, n, problems):
    """one round; False: the session ended without being hit"""
    what = '%s killed at %s %d' % (role, call, n)
    pid = rig.process.pid if role == 'parent' else rig.role_pid(role)
    with Inject(pid, '%s:signal=KILL:when=%d' % (call, n)) as x:
        if role == 'parent':
            end(rig.role_pid('keys'))
            end(rig.role_pid('mx'))
            x.wait_hit(0.3)
            if x.hit():
                rig.process.wait(10)
                rig.process = None
                restart(rig, problems, what)
        took = session.run()
    ok = took is not None and took < BACK_S
    if not ok:
        problems.append('%s: the session took %s' % (what, 'for ever' if took is None else '%.1f s' % took))
    if x.was_hit or not ok:
        rig.slowest_s = max(rig.slowest_s, took or FINISH_S)
        ctx.round(rig.back(what, problems) and ok)
    return x.was_hit


def turn_start(ctx, rig, call, n, problems):
    """The store dies and its successor is killed at its n-th call while it starts; False: it stood before it came so far."""
    what = 'starting store killed at %s %d' % (call, n)
    rig.role_pid('store')
    old = rig.pid_of('store')
    with Inject(rig.process.pid, '%s:signal=KILL:when=%d' % (call, n), follow=True) as x:
        mark = rig.log_size()
        end(old[0])
        begin = time.monotonic()
        while time.monotonic() - begin < 3 and 'role-ready started=store' not in (seen := rig.log(mark)) and seen.count('ended=store') < 2:
            time.sleep(0.005)
        x.detach()
        hit = seen.count('ended=store') > 1
    if hit:
        ctx.round(rig.back(what, problems))
    return hit


def run_turn(ctx, rounds):
    """kill -9 at each call in turn"""
    rng, problems, hits = ctx.rng(), [], collections.Counter()
    before = ctx.rounds
    with Rig(workers=1, prefix='turn') as rig:
        session = Session(rig, rng)
        for i, (role, call) in enumerate(TURNS):
            left = rounds - (ctx.rounds - before)
            share = max(1, left // (len(TURNS) - i + 2)) if rounds < 400 else left
            step = 1 if rounds >= 400 else 7
            n = 1
            while share > 0 and turn_role(ctx, rig, session, role, call, n, problems):
                hits['%s/%s' % (role, call)] += 1
                n, share = n + step, share - 1
        for call in STARTS if rounds >= 400 else rng.sample(STARTS, 2):
            n = 1
            while ctx.rounds - before < rounds and n < 500 and session.run() and turn_start(ctx, rig, call, n, problems):
                hits['start/' + call] += 1
                n += 1 if rounds >= 400 and call != 'openat' else 7
        judge(rig, problems, 'turn')
        ctx.close(rig, 'turn', ctx.rounds - before, problems, 'hit %s' % dict(hits))
    return not problems


# ---- stopped

def run_stop(ctx, rounds):
    """SIGSTOP for a while then SIGCONT; SIGSTOP then SIGKILL"""
    rng, problems = ctx.rng(), []
    seconds = 3.0 if rounds >= 10 else 0.7
    with Rig(prefix='stop') as rig:
        with Load(rig, rng, rest_s=0.05):
            cases = [(role, last) for last in (signal.SIGCONT, signal.SIGKILL) for role in ('store', 'mx', 'user', 'auth', 'keys')]
            cases.append(('parent', signal.SIGCONT))
            for role, last in cases[:max(rounds, 3)] if rounds >= 10 else rng.sample(cases, max(1, rounds)):
                what = '%s stopped %.1f s, then %s' % (role, seconds, last.name)
                pid = rig.process.pid if role == 'parent' else rng.choice(rig.pid_of(role))
                end(pid, signal.SIGSTOP)
                time.sleep(seconds)
                end(pid, last)
                ctx.round(rig.back(what, problems))
        judge(rig, problems, 'stop')
        return ctx.close(rig, 'stop', len(cases) if rounds >= 10 else rounds, problems, '%.1f s each' % seconds)
