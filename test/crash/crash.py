#!/usr/bin/python3
"""Crash and fault tests: whatever got its 250 is held, exactly once, and service is back within 5 s of the trouble.

usage: crash.py --mailroom PROGRAM [--rounds N] [--kinds random,turn,fail,disk,clock,stop,relay,repeat] [--seed S] | --mailroom PROGRAM --selftest
Prints a line for each kind and at its end "N passed, N failed"; status 1 when anything failed. --selftest breaks the promise on purpose and passes when that is
reported. Needs root (strace, mounts) and 2 processors' worth of time: 2,000 rounds take some minutes."""
import argparse
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

# share of the rounds; the first ones give back what they do not need, and random takes the rest
KINDS = ('repeat', 'clock', 'disk', 'stop', 'relay', 'fail', 'turn', 'random')
SHARES = {'repeat': 0.01, 'clock': 0.01, 'disk': 0.01, 'stop': 0.01, 'relay': 0.20, 'fail': 0.35, 'turn': 0.35, 'random': 1.0}
LEAST = {'repeat': 4, 'clock': 3, 'disk': 2, 'stop': 2, 'relay': 10, 'fail': 8, 'turn': 12, 'random': 10}


class Context:
    def __init__(self, seed):
        self.master = random.Random(seed)
        self.passed = self.failed = self.rounds = 0
        self.totals = {'acknowledged': 0, 'held': 0, 'repeats': 0}
        self.slowest_s = 0.0
        self.began = time.monotonic()

    def rng(self):
        return random.Random(self.master.randrange(1 << 30))

    def round(self, ok):
        self.rounds += 1
        self.passed += bool(ok)
        self.failed += not ok

    def close(self, rig, kind, rounds, problems, words=''):
        """the last look at one system, and the line of its kind; True: nothing was wrong"""
        ledger = rig.ledger
        bad, held = rig.audit()
        for name, cases in bad.items():
            problems.append('%s: at the end: %d %s: %s' % (kind, len(cases), name, cases[:3]))
        if not ledger.acked:
            problems.append('%s: nothing was accepted at all' % kind)
        for line in dict.fromkeys(problems):
            print('  ' + line)
        self.passed += not problems
        self.failed += bool(problems)
        self.totals['acknowledged'] += len(ledger.acked)
        self.totals['held'] += held
        self.totals['repeats'] += ledger.repeats
        self.slowest_s = max(self.slowest_s, rig.slowest_s)
        print('%-6s %4d rounds, acknowledged %d messages, copies held %d, deleted by POP3 %d, repeated %d, slowest return %.2f s, 4xx %s, %s: %s (%.0f s)' % (
            kind, rounds, len(ledger.acked), held, len(ledger.gone), ledger.repeats, rig.slowest_s, dict(ledger.temporary), words,
            'FAILED' if problems else 'ok', time.monotonic() - self.began), flush=True)
        return not problems


def runners():
    import disk
    import fail
    import kill
    import relay
    import repeat
    return {'random': kill.run_random, 'turn': kill.run_turn, 'stop': kill.run_stop, 'fail': fail.run, 'disk': disk.run_disk, 'clock': disk.run_clock,
            'relay': relay.run, 'repeat': repeat.run}


def main():
    ap = argparse.ArgumentParser(usage=__doc__.split('\n\n')[1].split('\nPrints')[0].replace('usage: ', ''))
    ap.add_argument('--mailroom', required=True)
    ap.add_argument('--rounds', type=int, default=200)
    ap.add_argument('--kinds', default=','.join(KINDS))
    ap.add_argument('--seed', type=int, default=None)
    ap.add_argument('--selftest', action='store_true')
    a = ap.parse_args()
    os.environ['MAILROOM'] = os.path.abspath(a.mailroom)
    kinds = a.kinds.split(',')
    if set(kinds) - set(KINDS):
        ap.error('no such kind: %s; there are: %s' % (','.join(set(kinds) - set(KINDS)), ','.join(KINDS)))
    if os.geteuid() != 0:
        sys.exit('crash.py needs root: it traces processes of other users and mounts file systems')
    if a.selftest:
        import selftest
        return selftest.run()
    seed = a.seed if a.seed is not None else random.SystemRandom().randrange(1 << 30)
    print('crash: %d rounds of %s, seed %d' % (a.rounds, ' '.join(kinds), seed), flush=True)
    ctx = Context(seed)
    table = runners()
    for kind in [k for k in KINDS if k in kinds]:
        last = kind == [k for k in KINDS if k in kinds][-1]
        left = a.rounds - ctx.rounds
        budget = max(left, LEAST[kind]) if last else min(left, max(LEAST[kind], int(a.rounds * SHARES[kind])))
        try:
            table[kind](ctx, max(1, budget))
        except Exception as e:
            if os.environ.get('CRASH_TRACEBACK'):
                raise
            print('%-6s broke off: %s: %s' % (kind, type(e).__name__, str(e)[-2000:]), flush=True)
            ctx.failed += 1
    t = ctx.totals
    print('%d rounds in %.0f s; acknowledged %d messages, copies held %d, repeated %d, slowest return of service %.2f s' % (
        ctx.rounds, time.monotonic() - ctx.began, t['acknowledged'], t['held'], t['repeats'], ctx.slowest_s))
    print('%d passed, %d failed' % (ctx.passed, ctx.failed))
    return 1 if ctx.failed or not ctx.passed else 0


if __name__ == '__main__':
    sys.exit(main())
