"""A disk that is full or turns read-only, and a clock that jumps."""
import fcntl
import mmap
import os
import re
import shutil
import struct
import subprocess
import tempfile
import time

from clients import Refused, Smtp, make_text, read_mail
from kill import Load, judge
from rig import Rig, end

EXT4_IOC_SHUTDOWN = 0x8004587d


def command(*args, check=True):
    p = subprocess.run(args, capture_output=True, text=True)
    if check and p.returncode:
        raise RuntimeError('%s: %s' % (' '.join(args), p.stderr.strip()))
    return p.returncode


class Mounted:
    """a Rig whose store directory is a file system of its own"""

    def __init__(self, rig, kind, megabytes):
        self.rig, self.kind = rig, kind
        self.at = os.path.join(rig.home, 'store')
        self.image = rig.home + '.disk'
        held = rig.home + '.held'
        shutil.move(self.at, held)
        os.mkdir(self.at)
        if kind == 'ext4':
            with open(self.image, 'wb') as f:
                f.truncate(megabytes << 20)
            command('mkfs.ext4', '-q', '-F', '-m', '0', self.image)
            self.device = subprocess.run(['losetup', '-f', '--show', self.image], capture_output=True, text=True, check=True).stdout.strip()
        self.size = 'size=%dm' % megabytes
        self.mount()
        command('cp', '-a', held + '/.', self.at)
        shutil.rmtree(held)
        command('sync', '-f', self.at)
        owner = os.stat(os.path.join(self.at, 'mail.db'))
        os.chown(self.at, owner.st_uid, owner.st_gid)
        os.chmod(self.at, 0o700)

    def mount(self, *more):
        if self.kind == 'tmpfs':
            command('mount', '-t', 'tmpfs', '-o', ','.join((self.size,) + more), 'crash', self.at)
        else:
            command('mount', '-o', ','.join(('defaults',) + more), self.device, self.at)

    def remount(self, how):
        command('mount', '-o', 'remount,' + how, self.at)

    def give_up(self):
        """From now on every write fails. (The mount option abort will not do: a fdatasync that is under way meanwhile may report success for what is lost then.
        The ioctl waits for those first.)"""
        fd = os.open(self.at, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack('I', 0))
        finally:
            os.close(fd)

    def unmount(self, within_s=5):
        end_at = time.monotonic() + within_s
        while command('umount', self.at, check=False) and time.monotonic() < end_at:
            for pid in self.rig.pid_of('store'):  # it stands in there
                end(pid)
            time.sleep(0.02)

    def fill(self, leave_bytes=0):
        path = os.path.join(self.at, 'filler')
        free = os.statvfs(self.at)
        left = max(0, free.f_bavail * free.f_frsize - leave_bytes)
        with open(path, 'wb') as f:
            try:
                while left > 0:
                    left -= os.write(f.fileno(), b'\0' * min(left, 1 << 20))
            except OSError:
                pass

    def free(self):
        os.unlink(os.path.join(self.at, 'filler'))

    def close(self):
        self.rig.stop()
        command('umount', '-l', self.at, check=False)
        if self.kind == 'ext4':
            command('losetup', '-d', self.device, check=False)
            os.unlink(self.image)


def refusals(rig, tries, size=60000):
    """codes that so many new messages get: a promise that is kept or a 4xx"""
    codes = []
    for i in range(tries):
        rig.probes += 1
        mid = '<trouble.%s.%d@crash.test>' % (rig.prefix, rig.probes)
        rig.ledger.send(mid, ['alice@mailroom.test'])
        try:
            conn = Smtp(rig.port['mx'])
            try:
                conn.message('s@crash.test', ['alice@mailroom.test'], make_text(mid, size))
            finally:
                conn.close()
            rig.ledger.ack(mid)
            codes.append(250)
        except Refused as e:
            rig.ledger.refuse(e.code, e.words)
            codes.append(e.code)
        except OSError:
            codes.append(0)
    return codes


def full(ctx, rig, disk, rng, problems, restart):
    what = 'disk full' + (', store started anew on it' if restart else '')
    disk.fill(rng.choice([0, 20000, 200000]))
    with Load(rig, rng, senders=3, rest_s=0.01):
        time.sleep(0.3)
        if restart:
            end(rig.role_pid('store'))
            time.sleep(0.3)
        codes = refusals(rig, 5, 1500000)
        read_mail(rig, rig.ledger, 'alice@mailroom.test', most=3)
        disk.free()
        ok = rig.back(what, problems)
    if not any(400 <= c < 500 for c in codes):
        problems.append('%s: it was never felt: %s' % (what, codes))
        ok = False
    judge(rig, problems, what)
    ctx.round(ok)


def read_only(ctx, rig, disk, rng, problems):
    """The file system gives up in operation; then it is there for reading only; later the administrator lets it be written again."""
    what = 'disk read-only in operation'
    with Load(rig, rng, senders=3, rest_s=0.01):
        time.sleep(0.2)
        disk.give_up()
        codes = refusals(rig, 5)
        disk.unmount()
        command('e2fsck', '-fy', disk.device, check=False)
        disk.mount('ro')
        time.sleep(0.3)
        codes += refusals(rig, 3)
        disk.remount('rw')
        ok = rig.back(what, problems)
    if 250 in codes or not any(400 <= c < 500 for c in codes):
        problems.append('%s: answers were %s' % (what, codes))
        ok = False
    judge(rig, problems, what)
    ctx.round(ok)


def read_only_start(ctx, rig, disk, problems):
    """serve on a read-only disk says so and ends; once it can be written, serve works"""
    what = 'start on a read-only disk'
    rig.stop()
    disk.remount('ro')
    ok = False
    mark = rig.log_size()
    try:
        rig.start(timeout=20)
        problems.append('%s: it claims to serve' % what)
    except RuntimeError:
        status = rig.process.wait(20)
        said = rig.log(mark)
        ok = status != 0 and re.search(r'(?i)read.?only', said) is not None
        if not ok:
            problems.append('%s: status %s, it said: %s' % (what, status, said[-600:]))
    rig.process = None
    disk.remount('rw')
    rig.start()
    ctx.round(rig.back(what, problems) and ok)


def empty_database(ctx, rig, problems):
    """a database that is an empty file (what a broken disk may leave): served as a new one it would refuse everybody's mail for good"""
    what = 'start with an empty database'
    rig.stop()
    path = os.path.join(rig.home, 'store', 'mail.db')
    command('cp', '-a', path, rig.home)
    os.truncate(path, 0)
    try:
        rig.start(timeout=20)
        problems.append('%s: it claims to serve' % what)
        ok = False
        rig.stop()
    except RuntimeError:
        ok = rig.process.wait(20) != 0
        rig.process = None
    command('cp', '-a', os.path.join(rig.home, 'mail.db'), path)
    rig.start()
    ctx.round(rig.back(what, problems) and ok)


def run_disk(ctx, rounds):
    rng, problems = ctx.rng(), []
    before = ctx.rounds
    good = True
    with Rig(prefix='full', start=False) as rig:
        disk = Mounted(rig, 'tmpfs', 12)
        try:
            rig.start()
            for i in range(max(1, rounds // 2)):
                full(ctx, rig, disk, rng, problems, i % 2 == 1)
                read_mail(rig, rig.ledger, 'alice@mailroom.test', most=1000)
            good = ctx.close(rig, 'disk', ctx.rounds - before, problems, 'full')
        finally:
            disk.close()
    before, problems = ctx.rounds, []
    with Rig(prefix='ro', start=False) as rig:
        disk = Mounted(rig, 'ext4', 64)
        try:
            rig.start()
            for i in range(max(1, rounds // 4)):
                read_only(ctx, rig, disk, rng, problems)
            read_only_start(ctx, rig, disk, problems)
            empty_database(ctx, rig, problems)
            return ctx.close(rig, 'disk', ctx.rounds - before, problems, 'read-only') and good
        finally:
            disk.close()


# ---- the clock

HOUR, DAY, YEAR = 3600, 86400, 365 * 86400


class WallClock:
    """what the processes started below it take for the time of day; the machine's own clock is left alone"""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='crash-clock.')
        os.chmod(self.dir, 0o755)
        library, path = os.path.join(self.dir, 'wall_clock.so'), os.path.join(self.dir, 'offset')
        command(os.environ.get('CC', 'cc'), '-shared', '-fPIC', '-O1', '-o', library, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'wall_clock.c'), '-ldl')
        with open(path, 'wb') as f:
            f.write(struct.pack('<q', 0))
        self.file = open(path, 'r+b')
        self.map = mmap.mmap(self.file.fileno(), 8)
        self.env = {'LD_PRELOAD': library, 'CRASH_WALL_CLOCK': path,
                    'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', 'detect_leaks=0') + ':verify_asan_link_order=0'}

    def jump(self, seconds):
        self.map[:8] = struct.pack('<q', seconds)

    def __enter__(self):
        self.before = {k: os.environ.get(k) for k in self.env}
        os.environ.update(self.env)
        return self

    def __exit__(self, *exc):
        for k, v in self.before.items():
            os.environ.pop(k) if v is None else os.environ.update({k: v})

    def close(self):
        self.map.close()
        self.file.close()
        shutil.rmtree(self.dir)


def repeated(rig, clock, problems):
    """a repeat is known across jumps of less than a day, either way"""
    ok = True
    for i, (first, second) in enumerate(((0, 20 * HOUR), (0, -20 * HOUR))):
        mid, to = '<clock.%s.%d.%d@crash.test>' % (rig.prefix, i, rig.probes), 'alice@mailroom.test'
        rig.ledger.send(mid, [to])
        for offset in (first, second):
            clock.jump(offset)
            conn = Smtp(rig.port['mx'])
            conn.message('s@crash.test', [to], make_text(mid, 100))
            conn.close()
        rig.ledger.ack(mid)
        clock.jump(0)
        if rig.held()[(mid, to)] != 1:
            problems.append('clock: a repeat %d hours later was not known' % (second // HOUR))
            ok = False
    return ok


def run_clock(ctx, rounds):
    """the time of day jumps under load, with and without a store that is started anew meanwhile"""
    rng, problems = ctx.rng(), []
    before = ctx.rounds
    now = int(time.time())
    jumps = [HOUR, -HOUR, DAY + 60, -DAY - 60, YEAR, -YEAR, 10 * YEAR, -10 * YEAR, (1 << 31) - now + 5, 60 - now, -now - DAY, 400 * YEAR]
    clock = WallClock()
    try:
        with clock, Rig(prefix='clock', start=False) as rig:
            rig.start()
            rig.ledger.loose_repeats = True  # a day is counted by the wall clock: past a longer jump a repeat is a new message
            ctx.round(repeated(rig, clock, problems))
            with Load(rig, rng, senders=3):
                for i in range(max(1, rounds - 1)):
                    jump = jumps[i] if rounds > len(jumps) and i < len(jumps) else rng.choice(jumps)
                    what = 'clock moved by %d s' % jump
                    mark = rig.log_size()
                    clock.jump(jump)
                    if rng.random() < 0.5:
                        end(rng.choice(rig.pid_of(rng.choice(['store', 'mx', 'user', 'auth']))))
                    ok = rig.back(what, problems)
                    seen = rig.log(mark)
                    if not re.search(r'(?m)^%04d-' % time.gmtime(max(0, now + jump)).tm_year, seen):
                        problems.append('%s: it did not reach the server: %s' % (what, seen[:120]))
                        ok = False
                    time.sleep(0.1)
                    clock.jump(0)
                    ctx.round(rig.back(what + ' and back', problems) and ok)
            judge(rig, problems, 'clock')
            return ctx.close(rig, 'clock', ctx.rounds - before, problems, 'wall clock of the processes, by a preloaded library')
    finally:
        clock.close()
