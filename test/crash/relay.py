"""Mail that leaves: relay, store, names, keys, the whole tree die at any moment and at each of their calls, calls fail, the disk is full. Every recipient's mail
arrives, waits in the queue, or its sender is told once; twice only where a relay died, and at most one message of each of its connections."""
import collections
import contextlib
import signal
import time

from disk import Mounted, refusals
from kill import restart
from leaving import STRANDED, Leaving, Load
from rig import BACK_S, Inject, end

STORE = ('fdatasync', 'pwrite64', 'sendmsg', 'recvmsg', 'renameat', 'fsync', 'unlinkat')
RELAY = ('sendmsg', 'recvmsg', 'sendto', 'recvfrom', 'connect', 'close')
TURNS = [('store', call) for call in STORE] + [('relay', call) for call in RELAY]
ERRORS = ('EIO', 'ENOSPC', 'ENOMEM', 'EMFILE')
FAILS = [('store', call) for call in STORE[:5] + ('openat', 'mmap', 'pread64', 'epoll_wait')] + [
    ('relay', call) for call in RELAY + ('socket', 'setsockopt', 'epoll_ctl', 'epoll_wait', 'fcntl', 'brk', 'mmap', 'getsockopt')] + [
    ('keys', call) for call in ('sendmsg', 'recvmsg', 'epoll_wait', 'brk', 'mmap')]
HIT_S = 1.0


def judge(rig, problems, what):
    for name, cases in rig.audit()[0].items():
        problems.append('%s: %d %s: %s' % (what, len(cases), name, cases[:3]))


def is_well(rig, problems, what):
    """served again, with a relay, and mail leaves"""
    ok = rig.back(what, problems)
    rig.role_pid('relay')
    return rig.leaves(problems, what) and ok


# ---- sudden deaths

def die(rig, rng, problems, count):
    """one role, or all, at a random moment"""
    kind = rng.choices(['relay', 'store', 'dns', 'keys', 'user', 'all', 'parent'], [35, 25, 8, 8, 4, 12, 8])[0]
    if kind in ('all', 'parent'):
        with rig.blow(kind + ' killed', whole=True) as b:
            if kind == 'all':
                rig.kill()
            else:
                end(rig.process.pid)
                rig.process.wait()
                rig.process = None
            b.over()
            restart(rig, problems, kind)
    elif kind == 'relay':
        pid = rig.role_pid(kind)
        with rig.blow('relay killed'):
            end(pid)
    else:
        end(rig.role_pid(kind))
    count[kind] += 1
    return kind + ' killed'


def blow(rig, role, how):
    """only what is done to a relay makes anything arrive twice"""
    return rig.blow('relay ' + how) if role == 'relay' else contextlib.nullcontext()


def turn(rig, place, n, count):
    """a role at its n-th call of that name; None: it did not make so many"""
    role, call = place
    pid = rig.role_pid(role)
    with Inject(pid, '%s:signal=KILL:when=%d' % (call, n)) as x, blow(rig, role, 'killed'):
        x.wait_hit(HIT_S)
    count['%s/%s' % place] += x.was_hit
    return '%s killed at %s %d' % (role, call, n) if x.was_hit else None


def stranded(rig, problems, count):
    """A relay dies, and nobody starts another: what it had comes back to the queue all the same."""
    pid = rig.role_pid('relay')
    had = len(rig.sending())
    with rig.blow('relay killed') as b:
        end(rig.process.pid, signal.SIGSTOP)
        try:
            end(pid)
            b.over()
            end_at = time.monotonic() + BACK_S
            left = rig.sending()
            while left and time.monotonic() < end_at:
                left = rig.sending()
        finally:
            end(rig.process.pid, signal.SIGCONT)
    if left:
        problems.append('relay killed: %d rows %s: %s' % (len(left), STRANDED, left[:2]))
    count['relay (leases)'] += 1
    count['leases looked for'] += had


def stranded_at_start(rig, problems, count):
    """The whole tree dies and comes back without a relay."""
    rig.sink.puts_off = 0.9
    time.sleep(0.5)
    had = len(rig.sending())
    with rig.blow('all killed', whole=True):
        rig.kill()
    rig.set_relays(0)
    restart(rig, problems, 'start without a relay')
    left, rows = rig.sending(), rig.queue()
    if left or not rows:
        problems.append('all killed: %d of %d rows %s: %s' % (len(left), len(rows), STRANDED, left[:2]))
    rig.sink.puts_off = 0.03
    rig.stop()
    rig.set_relays(1)
    restart(rig, problems, 'start with a relay')
    count['leases looked for'] += had


def run_deaths(ctx, rounds):
    rng, problems, count = ctx.rng(), [], collections.Counter()
    before, tries, seen = ctx.rounds, 0, collections.Counter()
    places = rng.sample(TURNS, len(TURNS))
    with Leaving(ctx.rng()) as rig:
        with Load(rig, rng):
            rig.leaves(problems, 'at first')
            while ctx.rounds - before < rounds - 1 and tries < 4 * rounds:
                tries += 1
                if tries % 10 == 3:
                    what = 'relay killed while the parent stood still'
                    stranded(rig, problems, count)
                elif tries % 5 == 0:
                    what = die(rig, rng, problems, count)
                else:
                    # each place in turn, and there each of its calls in turn
                    place = places[tries % len(places)]
                    seen[place] += 1
                    what = turn(rig, place, seen[place], count)
                    if not what:
                        seen[place] = 0
                if what:
                    time.sleep(rng.uniform(0.0, 0.1))
                    ctx.round(is_well(rig, problems, what))
                if tries % 25 == 0:
                    judge(rig, problems, 'up to %s' % what)
            stranded_at_start(rig, problems, count)
            ctx.round(is_well(rig, problems, 'all killed, then without a relay'))
        return finish(ctx, rig, 'relay', rounds, problems, 'killed %s' % dict(count))


def finish(ctx, rig, kind, rounds, problems, words):
    rig.drained(problems, kind)
    if rig.sink.unsigned:
        problems.append('%s: %d messages left without a signature' % (kind, rig.sink.unsigned))
    bad, _ = rig.audit()
    came = rig.sink.came()
    elsewhere = [c for c in rig.ledger.promised() if not c[1].endswith('@mailroom.test')]
    if not came or (not rig.reports and any(c[1].startswith('refused@') for c in elsewhere)):
        problems.append('%s: %d messages arrived, %d reports: too few to say anything' % (kind, len(came), len(rig.reports)))
    return ctx.close(rig, kind, rounds, problems, 'to elsewhere: %d copies promised, %d lost, %d transactions at the sink, %d of them again %s (at most %d of a connection), %d reports; %s' % (
        len(elsewhere), len(bad.get('lost after a 250', ())), len(came), sum(rig.twice.values()), dict(rig.twice), rig.most_twice, sum(rig.reports.values()), words))


# ---- calls that fail

def run_fails(ctx, rounds):
    rng, problems, count = ctx.rng(), [], collections.Counter()
    before, tries = ctx.rounds, 0
    with Leaving(ctx.rng(), kill=False, prefix='rfail') as rig:
        rig.supervised = True
        with Load(rig, rng):
            rig.leaves(problems, 'at first')
            todo = [place + (error,) for place in FAILS for error in ERRORS]
            rng.shuffle(todo)
            while ctx.rounds - before < rounds and tries < 4 * rounds:
                role, call, error = todo[tries % len(todo)]
                n = 1 + tries // len(todo) + rng.choice((0, 0, 1, 5))
                tries += 1
                what = '%s: %s of call %s %d' % (role, error, call, n)
                rig.doing = what
                pid = rig.role_pid(role)
                with Inject(pid, '%s:error=%s:when=%d' % (call, error, n)) as x, blow(rig, role, 'failed'):
                    x.wait_hit(HIT_S)
                if x.was_hit:
                    count[role] += 1
                    ctx.round(is_well(rig, problems, what))
                if tries % 50 == 0:
                    judge(rig, problems, 'up to %s' % what)
        return finish(ctx, rig, 'rfail', ctx.rounds - before, problems, 'errors met by %s' % dict(count))


# ---- full disk

def run_full(ctx, rounds):
    rng, problems = ctx.rng(), []
    before = ctx.rounds
    with Leaving(ctx.rng(), start=False, prefix='rfull') as rig:
        disk = Mounted(rig, 'tmpfs', 16)
        try:
            rig.start()
            for i in range(rounds):
                what = 'disk full' + (', store started anew on it' if i % 2 else '')
                with Load(rig, rng):
                    ok = rig.leaves(problems, what)
                    disk.fill(rng.choice([0, 20000, 200000]))
                    codes = refusals(rig, 3, 1500000)
                    if i % 2:
                        end(rig.role_pid('store'))
                        time.sleep(0.3)
                    codes += refusals(rig, 2, 1500000)
                    disk.free()
                    ok = is_well(rig, problems, what) and ok
                if not any(400 <= c < 500 for c in codes):
                    problems.append('%s: it was never felt: %s' % (what, codes))
                    ok = False
                rig.drained(problems, what)
                judge(rig, problems, what)
                ctx.round(ok)
            return finish(ctx, rig, 'rfull', ctx.rounds - before, problems, 'full')
        finally:
            disk.close()


def run(ctx, rounds):
    """of ten rounds six kill, three let a call fail, one fills the disk"""
    full = max(1, min(rounds // 10, 6))
    fails = max(1, rounds * 3 // 10)
    good = [run_deaths(ctx, max(2, rounds - full - fails)), run_fails(ctx, fails), run_full(ctx, full)]
    return all(good)
