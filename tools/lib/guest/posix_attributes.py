"""Part of posix.py: modes, owners, times, and who may what."""
from posix_base import *


class Attributes(Part):
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
