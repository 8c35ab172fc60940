"""Part of posix.py: what files hold, also through another gateway."""
from posix_base import *


class Contents(Part):
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
