"""Checks a directory of a mounted file system against POSIX: errors, attributes, permissions, contents.

usage: posix.py DIRECTORY [--other DIRECTORY] [--seed N] [--minutes M] [--only NAME] [--entries N]

Run as root, on an export that does not squash root. Everything happens in one new folder, which is removed at the end.
DIRECTORY and --other may be the same folder through two gateways: then what is closed in one must be seen in the other.
The first part is the same in each run; the second takes M minutes of random operations on files against a model.
It ends with "N checks, M failed" and exit status 0 if none failed. On a local file system it must pass, too: so a
failure can be told from a mistake of the checker.
"""
import argparse

from posix_attributes import Attributes
from posix_base import *
from posix_contents import Contents
from posix_names import Names
from posix_random import Random


class Suite(Names, Attributes, Contents, Random):
    """All parts; each method named area_… is one."""


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
    top = os.path.join(os.path.abspath(options.directory), folder)
    os.mkdir(top, 0o755)
    other = os.path.join(os.path.abspath(options.other), folder) if options.other else ""
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
