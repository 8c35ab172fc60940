"""Checks a directory of a mounted file system against POSIX: errors, attributes, permissions, contents.

usage: posix.py DIRECTORY [--other DIRECTORY] [--seed N] [--minutes M] [--only NAME] [--entries N]

Run as root, on an export that does not squash root. Everything happens in one new folder, which is removed at the end.
DIRECTORY and --other may be the same folder through two gateways: then what is closed in one must be seen in the other.
The first part is the same in each run; the second takes M minutes of random operations on files against a model.
It ends with "N checks, M failed" and exit status 0 if none failed. On a local file system it must pass, too: so a
failure can be told from a mistake of the checker.
"""
import argparse, ctypes, errno, mmap, os, pickle, random, socket, stat, sys, time

LIBC = ctypes.CDLL(None, use_errno=True)
NAME_MAX, PATH_MAX = 255, 4096
OWNER, GROUP, OTHER, OUTSIDER = 65534, 65533, 65532, 65531
KINDS = ("regular", "dir", "fifo", "block", "char", "socket", "symlink")
PAUSE = 0.012  # local file systems have times of a timer tick


class Checks:
    def __init__(self):
        self.done, self.failed, self.area = 0, [], ""

    def that(self, good, text):
        self.done += 1
        if not good:
            where = sys._getframe(1)
            while where.f_code.co_name in ("that", "same", "raises", "user", "times"):
                where = where.f_back
            line = f"{self.area}: {text} (line {where.f_lineno})"
            self.failed.append(line)
            print("WRONG", line, flush=True)
        return good

    def same(self, found, wanted, text):
        return self.that(found == wanted, f"{text}: found {found!r}, expected {wanted!r}")

    def raises(self, wanted, call, *arguments, text="", **named):
        """`call` fails with the error number, or one of several; 0: it succeeds."""
        found = outcome(call, *arguments, **named)
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        names = "/".join(name(w) for w in wanted)
        what = text or f"{getattr(call, '__name__', call)}{short(arguments)}"
        self.that(found in wanted, f"{what}: {name(found)}, expected {names}")
        return found

    def user(self, who, wanted, call, *arguments, text="", **named):
        """The same as another user: (uid, gid, groups)."""
        found = as_user(who, outcome, call, *arguments, **named)
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        names = "/".join(name(w) for w in wanted)
        what = text or f"{getattr(call, '__name__', call)}{short(arguments)}"
        self.that(found in wanted, f"{what} as {who[0]}: {name(found)}, expected {names}")

    def times(self, paths, action, text):
        """What an action does to times. paths: {path: letters}, of "mca"; a capital letter must move, a small one not."""
        time.sleep(PAUSE)
        before = {p: os.lstat(p) for p in paths}
        time.sleep(PAUSE)
        result = action()
        for path, letters in paths.items():
            try:
                now = os.lstat(path)
            except OSError as error:
                self.that(False, f"{text}: {path} is gone: {error}")
                continue
            for letter in letters:
                field = {"m": "st_mtime_ns", "c": "st_ctime_ns", "a": "st_atime_ns"}[letter.lower()]
                old, new = getattr(before[path], field), getattr(now, field)
                good = new > old if letter.isupper() else new == old
                self.that(good, f"{text}: {field} of {os.path.basename(path)[:20]} {'did not move' if letter.isupper() else 'moved'}"
                          f" ({old} -> {new})")
        return result


def name(number):
    return "success" if number == 0 else errno.errorcode.get(number, str(number)) if isinstance(number, int) else str(number)


def short(arguments):
    def one(a):
        text = repr(os.path.basename(a) or a) if isinstance(a, str) else repr(a)
        return text if len(text) < 40 else text[:18] + "…" + text[-10:]
    return "(" + ", ".join(one(a) for a in arguments) + ")"


def outcome(call, *arguments, **named):
    try:
        result = call(*arguments, **named)
        if isinstance(result, int) and call in (os.open,):
            os.close(result)
        return 0
    except OSError as error:
        return error.errno


def as_user(who, call, *arguments, **named):
    uid, gid, groups = who
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(list(groups)); os.setresgid(gid, gid, gid); os.setresuid(uid, uid, uid)
            result = call(*arguments, **named)
        except OSError as error:
            result = error.errno
        except BaseException as error:  # told to the parent
            result = repr(error)
        os.write(writer, pickle.dumps(result))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        data = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(data) if data else "the child died"


def make(kind, path, mode=0o644):
    if kind == "regular":
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    elif kind == "dir":
        os.mkdir(path, mode)
    elif kind == "fifo":
        os.mkfifo(path, mode)
    elif kind == "block":
        os.mknod(path, mode | stat.S_IFBLK, os.makedev(17, 3))
    elif kind == "char":
        os.mknod(path, mode | stat.S_IFCHR, os.makedev(5, 9))
    elif kind == "socket":
        os.mknod(path, mode | stat.S_IFSOCK)
    elif kind == "symlink":
        os.symlink("nowhere", path)
    if kind != "symlink":
        os.chmod(path, mode)


def drop(path):
    try:
        (os.rmdir if stat.S_ISDIR(os.lstat(path).st_mode) else os.unlink)(path)
    except FileNotFoundError:
        pass


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def write_file(path, data=b"x"):
    with open(path, "wb") as f:
        f.write(data)


def append_byte(path):
    handle = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(handle, b"x")
    os.close(handle)


def opened(path, flags, mode=0o644):
    os.close(os.open(path, flags, mode))


def utimens(path, access, modify, follow=True):
    """utimensat(2) with its special values: "now", "omit", or nanoseconds."""
    special = {"now": (1 << 30) - 1, "omit": (1 << 30) - 2}

    class Pair(ctypes.Structure):
        _fields_ = [("s", ctypes.c_long), ("n", ctypes.c_long)]
    pairs = (Pair * 2)()
    for i, value in enumerate((access, modify)):
        pairs[i].s, pairs[i].n = (0, special[value]) if isinstance(value, str) else divmod(value, 10**9)
    if LIBC.utimensat(-100, os.fsencode(path), pairs, 0 if follow else 0x100) != 0:
        raise OSError(ctypes.get_errno(), "utimensat")


ROOT = (0, 0, [0])
A = (OWNER, OWNER, [OWNER])
B = (GROUP, GROUP, [GROUP])
A_IN_B = (OWNER, OWNER, [OWNER, GROUP])
C_IN_A = (OTHER, OTHER, [OTHER, OWNER])


class Suite:
    def __init__(self, check, top, other, options):
        self.check, self.top, self.other, self.options = check, top, other, options
        self.count = 0

    def new(self, kind=None, mode=0o644, folder=None):
        self.count += 1
        path = os.path.join(folder or self.top, f"p{self.count}")
        if kind:
            make(kind, path, mode)
        return path

    def owned(self, kind, who, mode=0o644, folder=None):
        path = self.new(kind, mode, folder)
        os.lchown(path, who[0], who[1])
        if kind != "symlink":
            os.chmod(path, mode)
        return path

    # ---- errors that all calls with a path have --------------------------------------------------------------------

    def area_paths(self):
        c = self.check
        d = self.new("dir", 0o755)
        plain = self.new("regular")
        loop1, loop2 = self.new(), self.new()
        os.symlink(loop1, loop2)
        os.symlink(loop2, loop1)
        closed = self.owned("dir", A, 0o755)
        inner = os.path.join(closed, "inner")
        os.mkdir(inner)
        os.chown(inner, OWNER, OWNER)
        write_file(inner + "/file")
        os.chown(inner + "/file", OWNER, OWNER)
        os.chmod(inner, 0o666)
        source = self.new("regular")
        calls = {
            "open": lambda p: opened(p, os.O_RDONLY), "create": lambda p: opened(p, os.O_CREAT | os.O_WRONLY),
            "mkdir": os.mkdir, "rmdir": os.rmdir, "unlink": os.unlink, "mkfifo": os.mkfifo,
            "mknod": lambda p: os.mknod(p, 0o644 | stat.S_IFIFO), "symlink": lambda p: os.symlink("t", p),
            "link to": lambda p: os.link(source, p), "link from": lambda p: os.link(p, d + "/l"),
            "rename to": lambda p: os.rename(source, p), "rename from": lambda p: os.rename(p, d + "/r"),
            "chmod": lambda p: os.chmod(p, 0o600), "chown": lambda p: os.chown(p, OWNER, OWNER),
            "lchown": lambda p: os.lchown(p, OWNER, OWNER), "truncate": lambda p: os.truncate(p, 7),
            "utimens": lambda p: utimens(p, "now", "now"), "stat": os.stat, "lstat": os.lstat,
            "readlink": os.readlink, "access": lambda p: os.stat(p), "listdir": os.listdir, "statvfs": os.statvfs,
        }
        makes = {"create", "mkdir", "mkfifo", "mknod", "symlink", "link to", "rename to"}
        for label, call in calls.items():
            c.raises(errno.ENOTDIR, call, plain + "/below", text=f"{label} below a file")
            if label not in makes:
                c.raises(errno.ENOENT, call, d + "/absent", text=f"{label} of an absent name")
            c.raises(errno.ENOENT, call, d + "/absent/below", text=f"{label} below an absent name")
            c.raises(errno.ENAMETOOLONG, call, d + "/" + "n" * (NAME_MAX + 1), text=f"{label} of 256 bytes")
            c.raises(errno.ENAMETOOLONG, call, "/".join([d] + ["x" * 200] * 21), text=f"{label} of a long path")
            c.raises(errno.ELOOP, call, loop1 + "/x", text=f"{label} through a loop")
            if label in ("open", "chmod", "chown", "truncate", "utimens", "stat"):
                c.raises(errno.ELOOP, call, loop1, text=f"{label} of a loop")
            c.user(A, errno.EACCES, call, inner + "/file", text=f"{label} in a folder that may not be searched")
        c.same(sorted(os.listdir(d)), [], "what refused calls left behind")
        c.raises(0, os.stat, source)

        longest = os.path.join(d, "n" * NAME_MAX)
        for kind in KINDS:
            make(kind, longest)
            c.that(stat.S_IFMT(os.lstat(longest).st_mode) != 0, f"a {kind} with a name of 255 bytes")
            drop(longest)

    # ---- chmod -----------------------------------------------------------------------------------------------------

    def area_chmod(self):
        c = self.check
        for kind in KINDS:
            if kind == "symlink":
                continue
            p = self.new(kind)
            for mode in (0o111, 0o755, 0o000, 0o4755, 0o2755, 0o1777, 0o7777, 0o644):
                os.chmod(p, mode)
                c.same(oct(mode_of(p)), oct(mode), f"mode of a {kind}")
            c.times({p: "Cma"}, lambda: os.chmod(p, 0o700), f"chmod of a {kind}")
            c.times({p: "cma"}, lambda: c.user(B, errno.EPERM, os.chmod, p, 0o777), f"refused chmod of a {kind}")
            c.same(mode_of(p), 0o700, "mode after a refused chmod")
            os.lchown(p, *A[:2])
            c.user(A, 0, os.chmod, p, 0o751)
            c.same(mode_of(p), 0o751, "mode that the owner gave")
            os.lchown(p, OWNER, GROUP)
            c.user(A, 0, os.chmod, p, 0o2755)
            c.same(oct(mode_of(p)), oct(0o755), f"setgid on a {kind}, by an owner who is not in the group")
            c.user(A_IN_B, 0, os.chmod, p, 0o2755)
            c.same(oct(mode_of(p)), oct(0o2755), f"setgid on a {kind}, by an owner in the group")
            c.user(C_IN_A, errno.EPERM, os.chmod, p, 0o777)
            drop(p)
        t, s = self.new("regular"), self.new()
        os.symlink(t, s)
        os.chmod(s, 0o604)
        c.same(mode_of(t), 0o604, "chmod follows a symbolic link")
        # A write by one who is not root ends setuid and setgid.
        for who, text in ((B, "another"), (A, "the owner")):
            for bits in (0o4777, 0o2777, 0o6777):
                p = self.owned("regular", A, bits)
                c.same(mode_of(p), bits, "mode before the write")
                c.user(who, 0, append_byte, p)
                c.same(oct(mode_of(p)), oct(0o777), f"mode {bits:o} after a write by {text}")
        p = self.owned("regular", A, 0o777)
        append_byte(p)
        os.chmod(p, 0o6777)
        c.user(B, 0, append_byte, p)
        c.same(oct(mode_of(p)), oct(0o777), "setuid given right after root's write, then another's write")
        for size in (0, 5, 100):
            p = self.owned("regular", A, 0o6777)
            append_byte(p)  # a client need not tell its server of a truncation that changes no size
            c.user(B, 0, os.truncate, p, size)
            c.same(oct(mode_of(p)), oct(0o777), f"mode after truncate to {size} by another")

    # ---- chown -----------------------------------------------------------------------------------------------------

    def area_chown(self):
        c = self.check
        for kind in KINDS:
            p = self.new(kind)
            os.lchown(p, 123, 456)
            c.same((os.lstat(p).st_uid, os.lstat(p).st_gid), (123, 456), f"owner of a {kind}")
            os.lchown(p, 0, -1)
            c.same((os.lstat(p).st_uid, os.lstat(p).st_gid), (0, 456), f"owner of a {kind}, uid only")
            os.lchown(p, -1, 0)
            c.same((os.lstat(p).st_uid, os.lstat(p).st_gid), (0, 0), f"owner of a {kind}, gid only")
            c.times({p: "Cm"}, lambda: os.lchown(p, OWNER, OWNER), f"chown of a {kind}")
            c.times({p: "cm"}, lambda: c.user(A, errno.EPERM, os.lchown, p, OTHER, -1), f"refused chown of a {kind}")
            c.user(A, errno.EPERM, os.lchown, p, -1, GROUP)
            c.user(B, errno.EPERM, os.lchown, p, GROUP, -1)
            c.user(B, errno.EPERM, os.lchown, p, -1, GROUP)
            c.user(A_IN_B, 0, os.lchown, p, -1, GROUP)
            c.same(os.lstat(p).st_gid, GROUP, f"group of a {kind} that its owner gave to a group of his")
            c.user(A_IN_B, 0, os.lchown, p, OWNER, OWNER)
            c.user(B, errno.EPERM, os.lchown, p, OWNER, OWNER, text="chown to what it is, by another")
            drop(p)
        for who in (A_IN_B, ROOT):
            for bits, left in ((0o6755, 0o755), (0o4755, 0o755), (0o2755, 0o755), (0o6777, 0o777)):
                p = self.owned("regular", A, bits)
                c.user(who, 0, os.chown, p, -1, GROUP)
                c.same(oct(mode_of(p)), oct(left), f"mode {bits:o} of a file after chown by {who[0]}")
            p = self.owned("dir", A, 0o6755)
            c.user(who, 0, os.chown, p, -1, GROUP)
            c.same(oct(mode_of(p)), oct(0o6755), f"mode of a folder after chown by {who[0]}")
        t, s = self.new("regular"), self.new()
        os.symlink(t, s)
        os.chown(s, 77, 78)
        c.same((os.stat(t).st_uid, os.lstat(s).st_uid), (77, 0), "chown follows a symbolic link")
        for big in (2**31 - 1, 2**31, 2**32 - 2):
            os.chown(t, big, big)
            c.same((os.stat(t).st_uid, os.stat(t).st_gid), (big, big), "a great uid")

    # ---- link ------------------------------------------------------------------------------------------------------

    def area_link(self):
        c = self.check
        for kind in KINDS:
            if kind == "dir":
                continue
            d, e = self.new("dir", 0o755), self.new("dir", 0o755)
            p, q = d + "/one", e + "/two"
            make(kind, p)
            c.times({p: "Cm", e: "CM", d: "cm"}, lambda: os.link(p, q, follow_symlinks=False), f"link of a {kind}")
            c.same((os.lstat(p).st_nlink, os.lstat(q).st_nlink), (2, 2), f"links of a {kind}")
            c.same(os.lstat(p).st_ino, os.lstat(q).st_ino, "inode of two names")
            os.link(q, d + "/three", follow_symlinks=False)
            c.same(os.lstat(p).st_nlink, 3, "three names")
            c.times({p: "cm", e: "cm"}, lambda: c.raises(errno.EEXIST, os.link, p, q, follow_symlinks=False), "refused link")
            os.unlink(p)
            c.same(os.lstat(q).st_nlink, 2, "links after unlink")
            c.raises(errno.ENOENT, os.lstat, p)
            c.times({q: "Cm", d: "CM"}, lambda: os.unlink(d + "/three"), f"unlink of one of two names of a {kind}")
            c.same(os.lstat(q).st_nlink, 1, "links after the second unlink")
            c.raises(errno.ENOENT, os.link, p, d + "/four", follow_symlinks=False)
        d = self.new("dir", 0o755)
        c.raises(errno.EPERM, os.link, d, d + "/x")
        p = self.owned("regular", A)
        for kind in KINDS:
            q = self.new(kind)
            c.raises(errno.EEXIST, os.link, p, q, text=f"link onto a {kind}")
        c.times({d: "cm", p: "cm"}, lambda: c.user(A, errno.EACCES, os.link, p, d + "/y"), "link in another's folder")
        os.chmod(d, 0o777)
        c.user(A, 0, os.link, p, d + "/y")
        c.same(os.stat(p).st_nlink, 2, "link by the owner in an open folder")

    # ---- mkdir, mkfifo, mknod, create, symlink -----------------------------------------------------------------------

    def creators(self):
        return {
            "mkdir": os.mkdir, "mkfifo": os.mkfifo, "mknod fifo": lambda p, m: os.mknod(p, stat.S_IFIFO | m),
            "mknod block": lambda p, m: os.mknod(p, stat.S_IFBLK | m, os.makedev(11, 22)),
            "mknod char": lambda p, m: os.mknod(p, stat.S_IFCHR | m, os.makedev(255, 1048575)),
            "mknod socket": lambda p, m: os.mknod(p, stat.S_IFSOCK | m),
            "mknod regular": lambda p, m: os.mknod(p, stat.S_IFREG | m),
            "open": lambda p, m: opened(p, os.O_CREAT | os.O_WRONLY, m),
            "open exclusive": lambda p, m: opened(p, os.O_CREAT | os.O_EXCL | os.O_RDWR, m),
            "symlink": lambda p, m: os.symlink("target", p),
        }

    def area_create(self):
        c = self.check
        for label, call in self.creators().items():
            folder, link = label == "mkdir", label == "symlink"
            d = self.new("dir", 0o755)
            p = d + "/new"
            old = os.umask(0)
            for mode in (0o755, 0o000, 0o151, 0o777, 0o640) + (() if folder else (0o4755, 0o2711)):
                call(p, mode)
                if not link:
                    c.same(oct(mode_of(p)), oct(mode), f"{label} with mode {mode:o}")
                drop(p)
            for mask in (0o077, 0o070, 0o501, 0o777):
                os.umask(mask)
                call(p, 0o777)
                if not link:
                    c.same(oct(mode_of(p)), oct(0o777 & ~mask), f"{label} with umask {mask:o}")
                drop(p)
            os.umask(0o022)
            time.sleep(PAUSE)
            c.times({d: "CM"}, lambda: call(p, 0o755), f"{label} in its folder")
            made, home = os.lstat(p), os.lstat(d)
            c.that(made.st_ctime_ns >= home.st_ctime_ns - 10**7 and made.st_atime_ns == made.st_mtime_ns == made.st_ctime_ns
                   or label == "open exclusive", f"times of a new one ({label})")
            c.same(os.lstat(d).st_nlink, 3 if folder else 2, f"links of the folder after {label}")
            c.same(os.lstat(p).st_nlink, 2 if folder else 1, f"links after {label}")
            if "block" in label:
                c.same((os.major(made.st_rdev), os.minor(made.st_rdev)), (11, 22), "a device's numbers")
            if "char" in label:
                c.same((os.major(made.st_rdev), os.minor(made.st_rdev)), (255, 1048575), "great device numbers")
            if label != "open":
                c.times({d: "cm", p: "cm"}, lambda: c.raises(errno.EEXIST, call, p, 0o755), f"{label} of what exists")
                for kind in KINDS:
                    q = self.new(kind)
                    c.raises(errno.EEXIST, call, q, 0o644, text=f"{label} onto a {kind}")
                    drop(q)
            drop(p)
            c.same(os.lstat(d).st_nlink, 2, "links of the empty folder")
            c.times({d: "cm"}, lambda: c.user(A, (errno.EPERM, errno.EACCES), call, p, 0o755),
                    f"refused {label}")
            if "block" in label or "char" in label:
                os.chmod(d, 0o777)
                c.user(A, errno.EPERM, call, p, 0o755, text=f"{label} by another than root")
                continue
            # Owner and group of what is made; a setgid folder gives its own.
            os.chmod(d, 0o777)
            for bits, group in ((0o777, OWNER), (0o2777, GROUP)):
                os.chown(d, 0, GROUP)
                os.chmod(d, bits)
                c.user(A, 0, call, p, 0o755)
                made = os.lstat(p)
                c.same((made.st_uid, made.st_gid), (OWNER, group), f"owner after {label} in a folder of mode {bits:o}")
                if folder:
                    c.same(oct(mode_of(p)), oct(0o2755 if bits & 0o2000 else 0o755), "setgid is inherited by folders")
                drop(p)
                c.user(A_IN_B, 0, call, p, 0o755)
                c.same(os.lstat(p).st_gid, group, f"group after {label} by a member")
                drop(p)
            os.umask(old)
        for length in (1, 100, 1023, 4095):
            p = self.new()
            os.symlink("t" * length, p)
            c.same((os.readlink(p), os.lstat(p).st_size), ("t" * length, length), f"a link's text of {length}")
        c.raises(errno.ENAMETOOLONG, os.symlink, "t" * 4096, self.new())
        c.raises(errno.ENOENT, os.symlink, "", self.new())
        c.raises(errno.EINVAL, os.readlink, self.new("regular"))

    # ---- open --------------------------------------------------------------------------------------------------------

    def area_open(self):
        c = self.check
        RD, WR, RW = os.O_RDONLY, os.O_WRONLY, os.O_RDWR
        users = {0o700: A, 0o070: C_IN_A, 0o007: B}
        for place, who in users.items():
            for bits in range(8):
                p = self.owned("regular", A, sum(bits * (1, 8, 64)[i] for i, m in enumerate((0o007, 0o070, 0o700)) if m == place))
                c.user(who, 0 if bits & 4 else errno.EACCES, opened, p, RD, text=f"read with mode {mode_of(p):o}")
                c.user(who, 0 if bits & 2 else errno.EACCES, opened, p, WR, text=f"write with mode {mode_of(p):o}")
                c.user(who, 0 if bits & 6 == 6 else errno.EACCES, opened, p, RW, text=f"both with mode {mode_of(p):o}")
                c.user(who, 0 if bits & 2 else errno.EACCES, opened, p, WR | os.O_TRUNC, text=f"truncate with mode {mode_of(p):o}")
                for want, flag in ((4, os.R_OK), (2, os.W_OK), (1, os.X_OK)):
                    c.same(as_user(who, os.access, p, flag), bool(bits & want), f"access {flag} with mode {mode_of(p):o}")
                c.raises(0, opened, p, RW, text="root opens anything")
                c.same(os.access(p, os.X_OK), bool(bits & 1), "root executes only what someone may")
                drop(p)
        d = self.owned("dir", A, 0o755)
        for bits in range(8):
            os.chmod(d, bits << 6)
            p = d + "/n"
            c.user(A, 0 if bits & 3 == 3 else errno.EACCES, opened, p, WR | os.O_CREAT, text=f"create in a folder of mode {bits << 6:o}")
            c.user(A, 0 if bits & 4 else errno.EACCES, os.listdir, d, text=f"list a folder of mode {bits << 6:o}")
            c.user(A, 0 if bits & 3 == 3 else (errno.EACCES, errno.ENOENT) if not os.path.exists(p) else errno.EACCES,
                   os.unlink, p, text=f"unlink in a folder of mode {bits << 6:o}")
            drop(p)
        for flags in (WR, RW, WR | os.O_TRUNC, os.O_CREAT | RD, RD | os.O_TRUNC):
            c.raises(errno.EISDIR, opened, d, flags, text=f"open of a folder with {flags:o}")
        p = self.new("regular")
        write_file(p, b"123")
        c.times({p: "CM", self.top: "cm"}, lambda: opened(p, WR | os.O_TRUNC), "open with O_TRUNC")
        c.same(os.stat(p).st_size, 0, "size after O_TRUNC")
        c.times({p: "cm", self.top: "cm"}, lambda: opened(p, WR | os.O_CREAT), "open with O_CREAT of what exists")
        c.raises(errno.ENOTDIR, opened, p, RD | os.O_DIRECTORY)
        s = self.new()
        os.symlink(p, s)
        c.raises(errno.ELOOP, opened, s, RD | os.O_NOFOLLOW)
        c.raises(errno.EEXIST, opened, s, WR | os.O_CREAT | os.O_EXCL)
        dangling, born = self.new(), self.new()
        os.symlink(born, dangling)
        c.raises(errno.EEXIST, opened, dangling, WR | os.O_CREAT | os.O_EXCL)
        c.raises(0, opened, dangling, WR | os.O_CREAT)
        c.raises(0, os.stat, born)
        c.raises(errno.ENXIO, opened, self.new("fifo"), WR | os.O_NONBLOCK)
        c.raises(errno.ENXIO, opened, self.new("socket"), RD)
        # A file that its creator may not write stays open for writing.
        q = os.path.join(self.owned("dir", A, 0o777), "locked")

        def create_unwritable():
            handle = os.open(q, WR | os.O_CREAT | os.O_EXCL, 0o000)
            os.write(handle, b"written")
            os.close(handle)
        c.user(A, 0, create_unwritable)
        c.same(os.stat(q).st_size, 7, "a file of mode 0 written by its creator")
        c.user(A, errno.EACCES, opened, q, RD)
        # Append by several handles.
        p = self.new("regular")
        one, two = os.open(p, WR | os.O_APPEND), os.open(p, WR | os.O_APPEND)
        for i in range(20):
            os.write((one, two)[i % 2], b"%02d" % i)
        os.close(one), os.close(two)
        c.same(open(p, "rb").read(), b"".join(b"%02d" % i for i in range(20)), "appended by two handles")
        for i in range(20):
            c.raises(errno.EEXIST if i else 0, opened, self.top + "/exclusive", WR | os.O_CREAT | os.O_EXCL)

    # ---- rename ------------------------------------------------------------------------------------------------------

    def area_rename(self):
        c = self.check
        for kind in KINDS:
            d, e = self.new("dir", 0o755), self.new("dir", 0o755)
            p, q = d + "/from", e + "/to"
            make(kind, p)
            inode = os.lstat(p).st_ino
            c.times({d: "CM", e: "CM"}, lambda: os.rename(p, q), f"rename of a {kind}")
            c.same(os.lstat(q).st_ino, inode, f"inode of a renamed {kind}")
            c.raises(errno.ENOENT, os.lstat, p)
            c.times({q: "m", d: "CM", e: "CM"}, lambda: (os.rename(q, p), os.rename(p, q)), "there and back")
            if kind == "dir":
                c.same((os.lstat(d).st_nlink, os.lstat(e).st_nlink), (2, 3), "links of folders after a folder moved")
                c.same(os.stat(q + "/..").st_ino, os.stat(e).st_ino, "'..' of a folder that moved")
            else:
                os.link(q, d + "/same", follow_symlinks=False)
                c.times({d: "cm", e: "cm"}, lambda: os.rename(q, d + "/same"), "rename onto another name of it")
                c.same(os.lstat(q).st_nlink, 2, "both names are still there")
                os.unlink(d + "/same")
            # Onto something.
            for target in KINDS:
                t = self.new(target, folder=d)
                if kind == "dir" and target != "dir":
                    wanted = errno.ENOTDIR
                elif kind != "dir" and target == "dir":
                    wanted = errno.EISDIR
                else:
                    wanted = 0
                if wanted:
                    c.times({q: "cm", t: "cm", d: "cm", e: "cm"},
                            lambda: c.raises(wanted, os.rename, q, t, text=f"rename of a {kind} onto a {target}"), "refused rename")
                else:
                    c.raises(0, os.rename, q, t, text=f"rename of a {kind} onto a {target}")
                    c.same(os.lstat(t).st_ino, inode, "inode at the target")
                    c.raises(errno.ENOENT, os.lstat, q)
                    os.rename(t, q)
                drop(t)
            # Onto one of two names.
            if kind != "dir":
                x, y = self.new("regular"), self.new()
                os.link(x, y)
                c.times({y: "Cm"}, lambda: os.rename(q, x), "rename onto one of two names")
                c.same(os.lstat(y).st_nlink, 1, "links of the other name")
        d = self.new("dir", 0o755)
        os.makedirs(d + "/a/b/c")
        c.raises(errno.EINVAL, os.rename, d + "/a", d + "/a/b/c/x")
        c.raises(errno.EINVAL, os.rename, d + "/a", d + "/a/x")
        c.raises((errno.ENOTEMPTY, errno.EEXIST), os.rename, d + "/a/b/c", d + "/a")
        c.raises((errno.EINVAL, errno.EBUSY), os.rename, d + "/a/.", d + "/z")
        c.raises((errno.EINVAL, errno.EBUSY), os.rename, d + "/a/..", d + "/z")
        full = self.new("dir")
        os.mkdir(full + "/entry")
        c.times({d: "cm", full: "cm"}, lambda: c.raises((errno.ENOTEMPTY, errno.EEXIST), os.rename, d + "/a", full), "onto a full folder")
        c.raises(0, os.rename, d + "/a", d + "/a", text="onto itself")
        os.rename(d + "/a/b", d + "/b")
        c.same((os.stat(d).st_nlink, os.stat(d + "/a").st_nlink, os.listdir(d + "/b")), (4, 2, ["c"]), "after a move upwards")
        # Sticky folders: the owner of the file or of the folder.
        for fowner in (A, B):
            for downer in (A, B):
                for kind in ("regular", "dir", "symlink"):
                    s, free = self.owned("dir", downer, 0o1777), self.new("dir", 0o777)
                    p = self.owned(kind, fowner, 0o755, folder=s)
                    may = A in (fowner, downer) and (kind != "dir" or fowner is A)
                    where = f"{kind} of {fowner[0]} in a sticky folder of {downer[0]}"
                    c.user(A, 0 if may else (errno.EPERM, errno.EACCES), os.rename, p, free + "/x", text=f"rename of a {where}")
                    if may:
                        os.rename(free + "/x", p)
                    q = self.owned(kind, A, 0o755, folder=free)
                    may = A in (fowner, downer)
                    c.user(A, 0 if may else (errno.EPERM, errno.EACCES), os.rename, q, p, text=f"rename onto a {where}")
                    if may:
                        p = self.owned(kind, fowner, 0o755, folder=s)
                    c.user(A, 0 if may else (errno.EPERM, errno.EACCES), os.rmdir if kind == "dir" else os.unlink, p,
                           text=f"removal of a {where}")
        # Folders without the right to write.
        s, t = self.owned("dir", A, 0o755), self.owned("dir", B, 0o755)
        p = self.owned("regular", A, folder=s)
        c.times({s: "cm", t: "cm", p: "cm"}, lambda: c.user(A, errno.EACCES, os.rename, p, t + "/x"), "into another's folder")
        c.user(B, errno.EACCES, os.rename, p, t + "/x", text="out of another's folder")
        # Moving a folder changes its "..".
        t = self.owned("dir", A, 0o755)
        m = self.owned("dir", B, 0o755, folder=s)
        c.user(A, errno.EACCES, os.rename, m, t + "/m", text="moving a folder that one may not write")
        c.user(A, 0, os.rename, m, s + "/m", text="renaming it in its place")

    # ---- rmdir, unlink -------------------------------------------------------------------------------------------------

    def area_remove(self):
        c = self.check
        for kind in KINDS:
            d = self.new("dir", 0o755)
            p = self.new(kind, folder=d)
            remove = os.rmdir if kind == "dir" else os.unlink
            c.times({d: "cm", p: "cm"}, lambda: c.user(A, errno.EACCES, remove, p), f"refused removal of a {kind}")
            c.times({d: "CM"}, lambda: remove(p), f"removal of a {kind}")
            c.raises(errno.ENOENT, os.lstat, p)
            c.raises(errno.ENOENT, remove, p)
            p = self.new(kind, folder=d)
            if kind == "dir":
                c.raises((errno.EISDIR, errno.EPERM), os.unlink, p)
            else:
                c.raises(errno.ENOTDIR, os.rmdir, p, text=f"rmdir of a {kind}")
            remove(p)
            c.same(os.lstat(d).st_nlink, 2, "links of the folder at the end")
        for kind in KINDS:
            d = self.new("dir", 0o755)
            self.new(kind, folder=d)
            c.times({d: "cm"}, lambda: c.raises((errno.ENOTEMPTY, errno.EEXIST), os.rmdir, d), f"rmdir of a folder with a {kind}")
        d = self.new("dir")
        c.raises(errno.EINVAL, os.rmdir, d + "/.")
        c.raises((errno.ENOTEMPTY, errno.EEXIST), os.rmdir, d + "/..")
        # Unlinked and open.
        p = self.new("regular")
        write_file(p, b"begun")
        handle = os.open(p, os.O_RDWR)
        os.unlink(p)
        c.raises(errno.ENOENT, os.stat, p)
        c.same(os.pread(handle, 100, 0), b"begun", "reading an open file that was removed")
        os.pwrite(handle, b"x" * 100000, 5)
        os.fsync(handle)
        os.ftruncate(handle, 50000)
        os.fchmod(handle, 0o600)
        c.same((os.fstat(handle).st_size, len(os.pread(handle, 10**6, 0))), (50000, 50000), "an open file that was removed")
        os.close(handle)
        # Replaced and open.
        p, q = self.new("regular"), self.new("regular")
        write_file(p, b"old"), write_file(q, b"new")
        handle = os.open(p, os.O_RDONLY)
        os.rename(q, p)
        c.same((os.pread(handle, 9, 0), open(p, "rb").read()), (b"old", b"new"), "an open file that was replaced")
        os.close(handle)
        # An NFS client removes them after the last close, not within it.
        end = time.monotonic() + 30
        while (left := [n for n in os.listdir(self.top) if n.startswith(".nfs")]) and time.monotonic() < end:
            time.sleep(0.1)
        c.same(left, [], "what is left of open files that were removed")

    # ---- truncate ------------------------------------------------------------------------------------------------------

    def area_truncate(self):
        c = self.check
        p = self.new("regular")
        write_file(p, bytes(range(1, 101)) * 100)
        for size in (10000, 1234, 567890, 1, 0, 4096, 65536, 65535, 2**20 + 1, 12):
            old = open(p, "rb").read()
            os.truncate(p, size)
            c.same(os.stat(p).st_size, size, "size after truncate")
            c.that(open(p, "rb").read() == (old + bytes(max(0, size - len(old))))[:size], f"content after truncate to {size}")
        c.times({p: "CM"}, lambda: os.truncate(p, 123), "truncate")
        handle = os.open(p, os.O_RDWR)
        c.times({p: "CM"}, lambda: os.ftruncate(handle, 99), "ftruncate")
        os.close(handle)
        c.times({p: "cm"}, lambda: c.user(A, errno.EACCES, os.truncate, p, 5), "refused truncate")
        handle = os.open(p, os.O_RDONLY)
        c.raises((errno.EINVAL, errno.EBADF), os.ftruncate, handle, 5)
        os.close(handle)
        c.raises(errno.EISDIR, os.truncate, self.new("dir"), 5)
        c.raises(errno.EINVAL, os.truncate, p, -1)
        # A handle that was opened for writing may cut, whatever became of the mode.
        p = self.owned("regular", A, 0o600)

        def cut_through_handle():
            handle = os.open(p, os.O_RDWR)
            os.chmod(p, 0o000)
            os.write(handle, b"abc")
            os.ftruncate(handle, 2)
            size = os.fstat(handle).st_size
            os.close(handle)
            return size
        c.same(as_user(A, cut_through_handle), 2, "write and ftruncate after the mode became 0")

    # ---- times ---------------------------------------------------------------------------------------------------------

    def area_utimens(self):
        c = self.check
        base = 1_000_000_000_123_456_789
        for kind in KINDS:
            p = self.new(kind)
            c.times({p: "C"}, lambda: utimens(p, base, base + 7, follow=False), f"utimens of a {kind}")
            c.same((os.lstat(p).st_atime_ns, os.lstat(p).st_mtime_ns), (base, base + 7), f"times of a {kind}")
            utimens(p, "omit", base + 9, follow=False)
            c.same((os.lstat(p).st_atime_ns, os.lstat(p).st_mtime_ns), (base, base + 9), "atime is left")
            utimens(p, base + 1, "omit", follow=False)
            c.same((os.lstat(p).st_atime_ns, os.lstat(p).st_mtime_ns), (base + 1, base + 9), "mtime is left")
            c.times({p: "cma"}, lambda: utimens(p, "omit", "omit", follow=False), "both left")
            now = time.time_ns()
            utimens(p, "now", "omit", follow=False)
            c.that(abs(os.lstat(p).st_atime_ns - now) < 60 * 10**9 and os.lstat(p).st_mtime_ns == base + 9, "atime of now")
            utimens(p, base, "now", follow=False)
            c.that(abs(os.lstat(p).st_mtime_ns - now) < 60 * 10**9 and os.lstat(p).st_atime_ns == base, "mtime of now")
            utimens(p, "now", "now", follow=False)
            drop(p)
        # NFSv3 has times from 1970 to 2106; Linux cuts the first and the last second of that range to whole ones.
        for value in (0, 1_000_000_001, 1_999_999_999, 2**31 * 10**9 - 1, 2**31 * 10**9, (2**32 - 2) * 10**9 + 999_999_999):
            p = self.new("regular")
            utimens(p, value, value)
            c.same((os.stat(p).st_atime_ns, os.stat(p).st_mtime_ns), (value, value), "a far time")
        p = self.owned("regular", A, 0o644)
        for who, mode, change, wanted in (
            (A, 0o444, (base, base), 0), (A, 0o444, ("now", "now"), 0), (A, 0o000, ("now", "now"), 0),
            (B, 0o644, ("now", "now"), errno.EACCES), (B, 0o666, ("now", "now"), 0), (B, 0o666, (base, base), errno.EPERM),
            (B, 0o666, ("now", base), errno.EPERM), (B, 0o666, (base, "now"), errno.EPERM), (B, 0o666, ("omit", base), errno.EPERM),
            (B, 0o644, ("omit", "omit"), 0), (C_IN_A, 0o664, ("now", "now"), 0), (C_IN_A, 0o644, ("now", "now"), errno.EACCES),
            (ROOT, 0o000, (base, base), 0)):
            os.chmod(p, mode)
            c.user(who, wanted, utimens, p, *change, text=f"utimens {change} of a file of mode {mode:o}")
        c.times({p: "cma"}, lambda: c.user(B, (errno.EPERM, errno.EACCES), utimens, p, base, base), "refused utimens")
        # Times that were set stand, whatever was written before.
        for step in ("write", "fsync", "truncate"):
            p = self.new("regular")
            handle = os.open(p, os.O_RDWR)
            os.write(handle, b"x" * 5000)
            if step == "fsync":
                os.fsync(handle)
            if step == "truncate":
                os.ftruncate(handle, 100)
            os.utime(handle, ns=(base, base + 5))
            c.same(os.fstat(handle).st_mtime_ns, base + 5, f"mtime set after {step}, file open")
            os.close(handle)
            time.sleep(0.05)
            c.same((os.stat(p).st_atime_ns, os.stat(p).st_mtime_ns), (base, base + 5), f"mtime set after {step}, file closed")
        time.sleep(2.2)
        c.same(os.stat(p).st_mtime_ns, base + 5, "mtime that was set, two seconds later")
        c.times({p: "CM"}, lambda: append_byte(p), "a write after mtime was set")
        c.times({p: "cm"}, lambda: open(p, "rb").read(), "a read")

    # ---- directories -----------------------------------------------------------------------------------------------------

    def area_directories(self):
        c = self.check
        d = self.new("dir", 0o755)
        count = self.options.entries
        for i in range(count):
            os.mknod(f"{d}/entry-{i:06}", 0o644 | stat.S_IFREG)
        wanted = {f"entry-{i:06}" for i in range(count)}
        listed = os.listdir(d)
        c.same(len(listed), len(set(listed)), "names that are listed twice")
        c.that(set(listed) == wanted, f"all {count} names are listed")
        kept = {n for i, n in enumerate(sorted(wanted)) if i % 3 == 0}
        seen = []
        with os.scandir(d) as listing:
            for i, entry in enumerate(listing):
                seen.append(entry.name)
                if entry.name in wanted and entry.name not in kept:
                    os.unlink(f"{d}/{entry.name}")
                if i % 50 == 0:
                    write_file(f"{d}/late-{i}")
        c.that(kept <= set(seen), "every entry that stays is listed while others come and go")
        c.same(len(seen), len(set(seen)), "names that are listed twice while others come and go")
        c.that(kept <= set(os.listdir(d)), "what stays is there")
        # Renaming what is listed must not make the listing endless.
        names = sorted(os.listdir(d))
        seen = []
        with os.scandir(d) as listing:
            for entry in listing:
                seen.append(entry.name)
                os.rename(f"{d}/{entry.name}", f"{d}/temporary")
                os.rename(f"{d}/temporary", f"{d}/{entry.name}")
                if len(seen) > 4 * len(names):
                    break
        c.that(set(names) <= set(seen), "names that are listed while each is renamed there and back")
        c.that(len(seen) <= 2 * len(names), f"a listing ends while each entry is renamed: {len(seen)} of {len(names)}")
        # rm -rf as simple programs have it: list and remove in one pass.
        with os.scandir(d) as listing:
            for entry in listing:
                os.unlink(f"{d}/{entry.name}")
        c.same(os.listdir(d), [], "what is left after removing while listing")
        os.rmdir(d)

        # telldir and seekdir.
        d = self.new("dir", 0o755)
        for i in range(700):
            os.mknod(f"{d}/t{i}", 0o644 | stat.S_IFREG)
        LIBC.opendir.restype = ctypes.c_void_p
        LIBC.readdir64.restype = ctypes.c_void_p
        LIBC.telldir.restype = ctypes.c_long
        for f in (LIBC.readdir64, LIBC.telldir, LIBC.closedir, LIBC.rewinddir):
            f.argtypes = [ctypes.c_void_p]
        LIBC.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
        stream = LIBC.opendir(os.fsencode(d))

        def next_name():
            entry = LIBC.readdir64(stream)
            return None if not entry else ctypes.string_at(entry + 19)
        places = []
        while True:
            place = LIBC.telldir(stream)
            item = next_name()
            if item is None:
                break
            places.append((place, item))
        c.same(len(places), 702, "entries with '.' and '..'")
        c.same(len({p for p, _ in places}), 702, "places of telldir that differ")
        shuffled = places[:]
        random.Random(self.options.seed).shuffle(shuffled)
        for place, item in shuffled[:150]:
            LIBC.seekdir(stream, place)
            if not c.same(next_name(), item, "the entry at a place of telldir"):
                break
        for i in range(0, 700, 2):
            os.unlink(f"{d}/t{i}")
        LIBC.rewinddir(stream)
        left = []
        while (item := next_name()) is not None:
            left.append(item)
        c.same(len(left), 352, "entries after rewinddir")
        LIBC.closedir(stream)

        # Names of all bytes.
        d = os.fsencode(self.new("dir", 0o755))
        names = {bytes([b]) + b"-" + bytes([b]) for b in range(1, 256) if b != 47}
        names |= {bytes(b for b in range(1, 256) if b != 47), b"..." , b". ", b" ", b"-rf", b"\xff" * 255, b"A", b"a"}
        for n in names:
            write_file(d + b"/" + n, n)
        c.that(set(os.listdir(d)) == names, "names of all bytes are listed")
        c.that(all(open(d + b"/" + n, "rb").read() == n for n in names), "names of all bytes are found")
        for n in names:
            os.unlink(d + b"/" + n)
        c.same(os.listdir(d), [], "names of all bytes are removed")
        # A deep path.
        deep, here = self.new("dir"), os.getcwd()
        os.chdir(deep)
        levels = 60
        for i in range(levels):
            os.mkdir("d" * 100)
            os.chdir("d" * 100)
        write_file("bottom")
        c.raises(0, os.stat, "bottom")
        os.unlink("bottom")
        for i in range(levels):
            os.chdir("..")
            os.rmdir("d" * 100)
        c.that(os.path.samefile(".", deep), "sixty levels up again")
        os.chdir(here)
        # A folder that is removed while it is someone's place.
        gone = self.new("dir")
        os.chdir(gone)
        os.rmdir(gone)
        c.raises((errno.ENOENT, errno.ESTALE), opened, "x", os.O_CREAT | os.O_WRONLY)
        os.chdir(here)

    # ---- contents --------------------------------------------------------------------------------------------------------

    def area_contents(self):
        c = self.check
        p = self.new("regular")
        handle = os.open(p, os.O_RDWR)
        for offset in (0, 2**31 - 1, 2**32 + 5, 2**40 + 1, 2**53 + 3, 2**62, 2**63 - 10_000):
            try:
                os.pwrite(handle, b"far away", offset)
                os.fsync(handle)
            except OSError as error:
                if c.that(error.errno == errno.EFBIG and offset > 2**43, f"write at {offset}: {error}"):
                    continue  # beyond what a local file system has
            c.same(os.pread(handle, 8, offset), b"far away", f"read at {offset}")
            c.same(os.fstat(handle).st_size, offset + 8, "size of a sparse file")
            c.same(os.pread(handle, 100, offset + 4), b"away", "a read across the end")
            c.same(os.pread(handle, 100, offset + 8), b"", "a read at the end")
            if offset > 10**6:
                c.same(os.pread(handle, 16, offset - 16), bytes(16), "the hole before")
        c.that(os.fstat(handle).st_blocks * 512 < 2**20, f"blocks of a sparse file: {os.fstat(handle).st_blocks}")
        try:
            c.same(os.pwrite(handle, b"L", 2**63 - 2), 1, "a byte at the last offset")
            os.fsync(handle)
            c.same((os.pread(handle, 1, 2**63 - 2), os.fstat(handle).st_size), (b"L", 2**63 - 1), "the last byte of the greatest file")
        except OSError as error:
            c.same(error.errno, errno.EFBIG, "a byte at the last offset")
        os.ftruncate(handle, 4)
        c.same(os.pread(handle, 100, 0), b"far ", "what is left of it")
        os.ftruncate(handle, 2**33)
        c.same(os.pread(handle, 16, 2**32), bytes(16), "zeros where the cut was extended")
        # SEEK_DATA and SEEK_HOLE may call everything data, but the end is a hole.
        c.same(os.lseek(handle, 0, os.SEEK_DATA), 0, "SEEK_DATA at data")
        c.that(os.lseek(handle, 0, os.SEEK_HOLE) <= 2**33, "SEEK_HOLE")
        c.raises(errno.ENXIO, os.lseek, handle, 2**33, os.SEEK_DATA)
        c.same(os.lseek(handle, -5, os.SEEK_END), 2**33 - 5, "SEEK_END")
        os.close(handle)
        # Mapped.
        p = self.new("regular")
        data = bytearray(random.Random(self.options.seed).randbytes(300_000))
        write_file(p, data)
        handle = os.open(p, os.O_RDWR)
        with mmap.mmap(handle, len(data)) as shared:
            c.that(shared[:] == bytes(data), "a mapped file reads as it was written")
            for offset in (0, 4095, 4096, 65535, 131072, 299_990):
                shared[offset:offset + 10] = data[offset:offset + 10] = b"0123456789"
            shared.flush()
            c.that(open(p, "rb").read() == bytes(data), "what was written through a map")
            c.times({p: "CM"}, lambda: (shared.__setitem__(slice(77, 80), b"abc"), shared.flush(), os.fsync(handle)), "a mapped write")
            data[77:80] = b"abc"
            os.pwrite(handle, b"direct", 200_000)
            data[200_000:200_006] = b"direct"
            c.same(shared[200_000:200_006], b"direct", "a written byte in the map")
        os.close(handle)
        c.that(open(p, "rb").read() == bytes(data), "content after the map")
        # writev, readv, pwritev, O_SYNC, O_DSYNC.
        for flag in (0, os.O_SYNC, os.O_DSYNC):
            handle = os.open(p, os.O_RDWR | os.O_TRUNC | flag)
            c.same(os.writev(handle, [b"a" * 5000, b"b" * 3, b"", b"c" * 70_000]), 75_003, "writev")
            c.same(os.preadv(handle, [bytearray(10), bytearray(75_000)], 0), 75_003, "preadv")
            os.fdatasync(handle)
            c.same(os.fstat(handle).st_size, 75_003, "size after writev")
            os.close(handle)
        handle = os.open(p, os.O_RDONLY)
        c.raises(errno.EBADF, os.write, handle, b"x")
        os.close(handle)
        # Copying within the file system.
        source, target = os.open(p, os.O_RDONLY), os.open(self.new(), os.O_RDWR | os.O_CREAT)
        c.same(os.copy_file_range(source, target, 50_000, 100, 7), 50_000, "copy_file_range")
        c.that(os.pread(target, 50_000, 7) == os.pread(source, 50_000, 100), "what copy_file_range copied")
        os.close(source), os.close(target)

    def area_statvfs(self):
        c = self.check
        v = os.statvfs(self.top)
        c.that(v.f_bsize > 0 and v.f_frsize > 0 and v.f_blocks > 0, "sizes of statvfs")
        c.that(v.f_bavail <= v.f_bfree <= v.f_blocks and v.f_favail <= v.f_ffree <= v.f_files, "order of statvfs")
        c.same(v.f_namemax, NAME_MAX, "f_namemax")
        c.same(os.pathconf(self.top, "PC_NAME_MAX"), NAME_MAX, "_PC_NAME_MAX")
        handle = os.open(self.new("regular"), os.O_RDONLY)
        c.same(os.fstatvfs(handle).f_blocks, v.f_blocks, "fstatvfs")
        os.close(handle)

    # ---- through another gateway -----------------------------------------------------------------------------------------

    def area_others(self):
        c, here, there = self.check, self.top, self.other
        if not there:
            return
        for round_ in range(30):
            p, q = f"{here}/o{round_}", f"{there}/o{round_}"
            write_file(p, b"first %d" % round_)
            c.same(open(q, "rb").read(), b"first %d" % round_, "written here, read there")
            write_file(q, b"second, longer %d" % round_)
            c.same(open(p, "rb").read(), b"second, longer %d" % round_, "written there, read here")
            write_file(p, b"third, longer %d" % round_)  # of the same length
            c.same(open(q, "rb").read(), b"third, longer %d" % round_, "written here again, read there")
            append_byte(q)
            with open(p, "rb") as f:
                c.same((os.fstat(f.fileno()).st_size, f.read()[-1:]), (len(b"third, longer %d" % round_) + 1, b"x"), "appended there")
            os.truncate(p, 5)
            c.same(open(q, "rb").read(), b"third", "cut here, read there")
            os.truncate(q, 9)
            c.same(open(p, "rb").read(), b"third\0\0\0\0", "extended there, read here")
            os.unlink(q)
            c.raises(errno.ENOENT, opened, p, os.O_RDONLY, text="removed there, opened here")
        p = f"{here}/held"
        write_file(p, b"held")
        with open(p, "rb") as f:
            os.unlink(f"{there}/held")
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            c.that(outcome(os.fstat, f.fileno()) in (0, errno.ESTALE), "a file that was removed there")

    # ---- random operations against a model ------------------------------------------------------------------------------

    def random_file(self, seed, operations):
        """Like fsx: one file, buffered, mapped and direct, here and through the other gateway."""
        c, r = self.check, random.Random(seed)
        limit = r.choice((30_000, 262_144, 3_000_000))
        paths = [f"{self.top}/x{seed}"] + ([f"{self.other}/x{seed}"] if self.other else [])
        model, story, trouble = bytearray(), [], None
        opened("".join(paths[:1]), os.O_CREAT | os.O_RDWR)
        side, handle = 0, os.open(paths[0], os.O_RDWR)

        def compare(found, offset, length, what):
            nonlocal trouble
            wanted = bytes(model[offset:offset + length])
            if found != wanted and not trouble:
                at = next((i for i, (a, b) in enumerate(zip(found, wanted)) if a != b), min(len(found), len(wanted)))
                trouble = f"{what} at {offset}+{length}: differs from byte {offset + at} on (lengths {len(found)}, {len(wanted)})"
        for number in range(operations):
            size = len(model)
            offset = r.randrange(limit)
            length = min(r.choice((1, 100, 4096, 70_000, 300_000)) if r.random() < 0.3 else r.randrange(1, 65_536), limit - offset)
            kind = r.choice(("read", "read", "write", "write", "write", "truncate", "mapped read", "mapped write", "append",
                             "direct write", "direct read", "reopen", "sync", "drop", "size", "zeros"))
            story.append((kind, offset, length))
            try:
                if kind == "read":
                    compare(os.pread(handle, length, offset), offset, length, kind)
                elif kind in ("write", "append", "zeros"):
                    if kind == "append":
                        offset = size
                        length = max(0, min(length, limit - size))
                    data = r.randbytes(length) if kind != "zeros" else bytes(length)
                    if length and os.pwrite(handle, data, offset) != length:
                        trouble = "a short write"
                    if length:
                        model.extend(bytes(max(0, offset - size)))
                        model[offset:offset + length] = data
                elif kind == "truncate":
                    wanted = r.choice((offset, offset, 0, size, max(0, size - 1), size + 1, size // 4096 * 4096))
                    os.ftruncate(handle, wanted)
                    model = model[:wanted] + bytes(max(0, wanted - size))
                elif kind.startswith("mapped") and size:
                    offset %= size
                    length = min(length, size - offset)
                    start = offset // mmap.PAGESIZE * mmap.PAGESIZE
                    with mmap.mmap(handle, offset + length - start, offset=start) as shared:
                        if kind == "mapped read":
                            compare(shared[offset - start:offset - start + length], offset, length, kind)
                        else:
                            data = r.randbytes(length)
                            shared[offset - start:offset - start + length] = data
                            model[offset:offset + length] = data
                            shared.flush()
                elif kind.startswith("direct"):
                    offset, length = offset // 4096 * 4096, max(4096, length // 4096 * 4096)
                    direct = os.open(paths[side], os.O_RDWR | os.O_DIRECT)
                    with mmap.mmap(-1, length) as room:
                        if kind == "direct write":
                            os.fsync(handle)
                            data = r.randbytes(length)
                            room[:] = data
                            if os.pwritev(direct, [room], offset) != length:
                                trouble = "a short direct write"
                            model.extend(bytes(max(0, offset - size)))
                            model[offset:offset + length] = data
                        else:
                            os.fsync(handle)
                            got = os.preadv(direct, [room], offset)
                            compare(room[:got], offset, length, kind)
                    os.close(direct)
                elif kind == "reopen":
                    os.close(handle)
                    side = r.randrange(len(paths))
                    handle = os.open(paths[side], os.O_RDWR)
                elif kind == "sync":
                    os.fsync(handle)
                elif kind == "drop":
                    os.fsync(handle)
                    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
                elif kind == "size" and os.fstat(handle).st_size != size:
                    trouble = f"size {os.fstat(handle).st_size}, expected {size}"
            except OSError as error:
                trouble = f"{kind} at {offset}+{length}: {error}"
            if trouble:
                break
        os.close(handle)
        if not trouble:
            for path in paths:
                with open(path, "rb") as f:
                    compare(f.read(), 0, limit + 2**20, "the whole file at the end")
        c.that(not trouble, f"seed {seed}, operation {len(story)}: {trouble}; before it {story[-6:]}")
        os.unlink(paths[0])

    def random_tree(self, seed, operations):
        """Names, folders and links against a model; listings and link counts are compared."""
        c, r = self.check, random.Random(seed)
        top = f"{self.top}/tree{seed}"
        os.mkdir(top)
        tops = [top] + ([f"{self.other}/tree{seed}"] if self.other else [])
        tree, trouble = {"": None}, None  # path -> None for a folder, else the file's number
        links = {}
        for number in range(operations):
            folders = sorted(p for p, v in tree.items() if v is None)
            files = sorted(p for p, v in tree.items() if v is not None)
            place = f"{r.choice(folders)}/n{r.randrange(12)}"
            kind = r.choice(("file", "file", "folder", "link", "rename", "rename", "rename", "remove", "look"))
            below = [p for p in tree if p.startswith(place + "/")]
            wanted = 0
            if kind == "file":
                call, arguments = opened, (top + place, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
                wanted = errno.EEXIST if place in tree else 0
            elif kind == "folder":
                call, arguments = os.mkdir, (top + place,)
                wanted = errno.EEXIST if place in tree else 0
            elif kind == "link" and files:
                source = r.choice(files)
                call, arguments = os.link, (top + source, top + place)
                wanted = errno.EEXIST if place in tree else 0
            elif kind == "rename" and len(tree) > 1:
                source = r.choice(sorted(tree)[1:])
                call, arguments = os.rename, (top + source, top + place)
                if tree[source] is None and place.startswith(source + "/"):
                    wanted = errno.EINVAL
                elif source.startswith(place + "/"):
                    # The target is a folder that holds the source; it is so before the kinds are compared.
                    wanted = errno.ENOTEMPTY
                elif place in tree and place != source:
                    if tree[source] is None and tree[place] is not None:
                        wanted = errno.ENOTDIR
                    elif tree[source] is not None and tree[place] is None:
                        wanted = errno.EISDIR
                    elif tree[place] is None and below:
                        wanted = errno.ENOTEMPTY
            elif kind == "remove" and place in tree:
                call, arguments = (os.rmdir, (top + place,)) if tree[place] is None else (os.unlink, (top + place,))
                wanted = errno.ENOTEMPTY if below else 0
            else:
                kind = "look"
            if kind == "look":
                root = r.choice(tops)
                where = r.choice(folders)
                if root is top:
                    found = sorted(os.listdir(root + where))
                    expected = sorted(p[len(where) + 1:] for p in tree if p and p.startswith(where + "/") and "/" not in p[len(where) + 1:])
                    if found != expected:
                        trouble = f"listing of {where!r}: {found}, expected {expected}"
                    if files and not trouble:
                        one = r.choice(files)
                        number_of = sum(1 for v in tree.values() if v == tree[one])
                        if os.stat(top + one).st_nlink != number_of:
                            trouble = f"links of {one}: {os.stat(top + one).st_nlink}, expected {number_of}"
            else:
                found = outcome(call, *arguments)
                if found != wanted:
                    trouble = f"{kind} {short(arguments)}: {name(found)}, expected {name(wanted)}"
                elif found == 0:
                    if kind == "file":
                        tree[place] = number
                    elif kind == "folder":
                        tree[place] = None
                    elif kind == "link":
                        tree[place] = tree[source]
                    elif kind == "remove":
                        del tree[place]
                    elif kind == "rename" and source != place:
                        if not (tree[source] is not None and tree.get(place) == tree[source]):
                            moved = [(p, v) for p, v in tree.items() if p == source or p.startswith(source + "/")]
                            for p, _ in moved:
                                del tree[p]
                            for p, v in moved:
                                tree[place + p[len(source):]] = v
            if trouble:
                break
        c.that(not trouble, f"tree of seed {seed}, operation {number}: {trouble}")
        for path in sorted(tree, key=len, reverse=True):
            if tree[path] is None:
                try:
                    for left in os.listdir(top + path):
                        drop(f"{top}{path}/{left}")
                    os.rmdir(top + path)
                except OSError as error:
                    c.that(False, f"removing {path}: {error}")

    def run_random(self, minutes):
        seed, end = self.options.seed * 1000, time.monotonic() + minutes * 60
        while time.monotonic() < end:
            self.check.area = "random file"
            self.random_file(seed, 150)
            self.check.area = "random tree"
            self.random_tree(seed, 150)
            seed += 1
        return seed - self.options.seed * 1000


def remove_tree(path):
    for root, folders, files in os.walk(os.fsencode(path), topdown=False):
        for item in files + folders:
            drop(os.path.join(root, item))
    os.rmdir(path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--other", default="")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--entries", type=int, default=3000)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("posix.py must be run as root: it takes the part of several users")
    os.umask(0o022)
    folder = f"posix-{os.getpid()}-{time.time_ns() % 10**6}"
    top = os.path.join(options.directory, folder)
    os.mkdir(top, 0o755)
    other = os.path.join(options.other, folder) if options.other else ""
    check = Checks()
    suite = Suite(check, top, other, options)
    for area in [a for a in dir(suite) if a.startswith("area_") and options.only in a]:
        check.area, before, began = area[5:], check.done, time.monotonic()
        try:
            getattr(suite, area)()
        except OSError as error:
            import traceback
            check.that(False, f"unexpected: {error}: {traceback.format_exc().splitlines()[-3].strip()}")
        os.chdir("/")
        print(f"{check.area}: {check.done - before} checks in {time.monotonic() - began:.1f} s", flush=True)
    if not options.only:
        before = check.done
        count = suite.run_random(options.minutes)
        print(f"random: {count} seeds, {check.done - before} checks", flush=True)
    remove_tree(top)
    print(f"{check.done} checks, {len(check.failed)} failed", flush=True)
    sys.exit(1 if check.failed else 0)


main()
