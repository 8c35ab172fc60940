"""Part of posix.py: random operations against a model."""
from posix_base import *


class Random(Part):
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
