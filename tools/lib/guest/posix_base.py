"""Part of posix.py: how checks are counted, and the helpers of all parts."""
import ctypes, errno, mmap, os, pickle, random, socket, stat, sys, time

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


class Part:
    """What all parts have: where they work."""
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
