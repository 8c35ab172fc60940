"""Part of posix.py: names, links, renames, removals, listings."""
from posix_base import *


class Names(Part):
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
        # rm -rf as simple programs have it: list and remove in one pass.
        with os.scandir(d) as listing:
            for entry in listing:
                os.unlink(f"{d}/{entry.name}")
        c.same(os.listdir(d), [], "what is left after removing while listing")
        os.rmdir(d)

        # Renaming what is listed must not make the listing endless.
        d = self.new("dir", 0o755)
        for i in range(min(count, 300)):
            os.mknod(f"{d}/r{i}", 0o644 | stat.S_IFREG)
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
