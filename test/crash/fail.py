"""Calls that fail: one error at one place at a time, in the store, a worker, auth, keys and the parent. No loss, no 5xx, and the session goes through within 5 s."""
import collections
import time

from kill import FINISH_S, Session, judge
from rig import BACK_S, Inject, Rig, end

ERRORS = ('EIO', 'ENOSPC', 'ENOMEM', 'EMFILE')
STORE = ('openat', 'pwrite64', 'pread64', 'fdatasync', 'fsync', 'ftruncate', 'renameat', 'mmap', 'brk', 'fstat', 'newfstatat', 'unlinkat', 'mkdirat', 'fcntl', 'sendmsg', 'recvmsg',
         'close', 'epoll_ctl', 'epoll_wait', 'write', 'clock_gettime')
WORKER = ('sendmsg', 'recvmsg', 'accept4', 'read', 'readv', 'recvfrom', 'write', 'writev', 'sendto', 'pwrite64', 'epoll_ctl', 'epoll_wait', 'setsockopt', 'fcntl', 'mmap', 'brk', 'close')
PARENT = ('socketpair', 'clone', 'sendmsg', 'recvmsg', 'wait4', 'fcntl', 'epoll_ctl', 'epoll_wait', 'read', 'write', 'close', 'setsockopt', 'mmap', 'brk')
OTHERS = ('sendmsg', 'recvmsg', 'epoll_ctl', 'epoll_wait', 'mmap', 'brk', 'pread64', 'read', 'fcntl', 'openat')
# what may be killed so that its successor meets the failing call while it starts
STARTING = ('openat', 'pread64', 'pwrite64', 'fsync', 'fdatasync', 'ftruncate', 'mmap', 'flock', 'newfstatat', 'epoll_create1', 'recvmsg', 'sendmsg', 'read', 'chroot',
            'setresuid', 'seccomp', 'prctl', 'prlimit64', 'close_range', 'execve', 'dup2')

# When giving back a lock fails (no kernel does that for such locks), SQLite keeps trying for 10 s before it says so; then the store ends and comes back as after any
# other error. Nothing is lost meanwhile, everybody waits.
LATE_S = {('store', 'fcntl'): 13.0}


def cases():
    """(role, call, error): 'start' is the store while it starts"""
    out = []
    for role, calls in (('store', STORE), ('mx', WORKER), ('user', WORKER), ('auth', OTHERS), ('keys', OTHERS), ('parent', PARENT), ('start', STARTING)):
        out += [(role, call, error) for call in calls for error in ERRORS]
    return out


def one_case(ctx, rig, session, case, n, problems):
    """one round; False: the call was not made n times"""
    role, call, error = case
    what = '%s: %s of call %s %d' % (role, error, call, n)
    parent = role in ('parent', 'start')
    pid = rig.process.pid if parent else rig.role_pid(role)
    victims = [rig.role_pid(r) for r in ('keys', 'mx')]
    with Inject(pid, '%s:error=%s:when=%d' % (call, error, n), follow=role == 'start') as x:
        if role == 'parent':
            for victim in victims:
                end(victim)
        elif role == 'start':
            end(rig.role_pid('store'))
            x.wait_hit(0.2)
            x.detach()
        took = session.run(large=role in ('store', 'mx'))
        hit = x.hit()
    ok = took is not None and took < LATE_S.get((role, call), BACK_S)
    if rig.parent_ends and rig.parent_ends[-1] == 0:
        problems.append('%s: the parent ended as if all were well' % what)
        rig.parent_ends[-1] = None
        ok = False
    if not ok:
        problems.append('%s: the session took %s' % (what, 'for ever' if took is None else '%.1f s' % took))
    if (role, call) in LATE_S:
        rig.late_s = max(rig.late_s, took or FINISH_S)
    else:
        rig.slowest_s = max(rig.slowest_s, took or FINISH_S)
    if refused := rig.ledger.permanent[:]:
        problems.append('%s: 5xx or its like: %s' % (what, refused[:2]))
        del rig.ledger.permanent[:]
        ok = False
    if hit or not ok:
        ctx.round(rig.back(what, problems) and ok)
    return hit


def run(ctx, rounds):
    """failing calls"""
    rng, problems, hits = ctx.rng(), [], collections.Counter()
    before = ctx.rounds
    todo = cases()
    most = 3 if rounds >= len(todo) else 1  # places of a call
    rng.shuffle(todo)
    with Rig(workers=1, kill=False, prefix='fail') as rig:
        session = Session(rig, rng, 'fail')
        rig.supervised = True
        session.run()
        mark = time.monotonic()
        for case in todo:
            n = 1
            for place in range(most):
                rig.doing = '%s, place %d' % (' '.join(case), n)
                if ctx.rounds - before >= rounds or not one_case(ctx, rig, session, case, n, problems):
                    break
                hits[case[0]] += 1
                n += rng.choice([1, 1, 1, 2, 5])
            if time.monotonic() - mark > 30:
                judge(rig, problems, 'fail, up to %s' % (case,))
                mark = time.monotonic()
        return ctx.close(rig, 'fail', ctx.rounds - before, problems, 'errors met by %s, %d of them ended the parent, which was started again; slowest where a lock was not given back %.1f s' % (dict(hits), len(rig.parent_ends), rig.late_s))
