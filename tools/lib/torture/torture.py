"""The command line of tools/torture, which has the help."""

from __future__ import annotations

import argparse
import random
import shlex
import signal
import sys
from pathlib import Path

import falsify
from faults import FAILING_DISKS, MIXES
from rounds import Outcome, Plan, play

EXIT_HELD, EXIT_FOUND, EXIT_USAGE = 0, 1, 2
FINDINGS_SHOWN = 8
LINES_SHOWN = 12
"""Of a finding; all of it is in the file found.txt beside the history."""

DEFAULTS = {"seconds": 40, "nodes": 3, "copies": 3, "mix": "all"}


def usage_error(message: str) -> None:
    print(f"error: {message}\n next: run 'tools/torture --help'", file=sys.stderr)
    sys.exit(EXIT_USAGE)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.error = usage_error  # type: ignore[assignment, method-assign]
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 10**8))
    parser.add_argument("--seconds", type=int, default=DEFAULTS["seconds"])
    parser.add_argument("--nodes", type=int, default=DEFAULTS["nodes"])
    parser.add_argument("--copies", type=int, default=DEFAULTS["copies"])
    parser.add_argument("--mix", default=DEFAULTS["mix"])
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.mix not in MIXES:
        usage_error(f"there is no mix '{arguments.mix}' ({', '.join(MIXES)})")
    if arguments.self_test and arguments.rounds != 1:
        usage_error("--self-test falsifies the history of one round")
    # Most faults take two nodes, and a disk that is lost must not be the only one with its content.
    if not 3 <= arguments.nodes <= 90:
        usage_error("--nodes takes 3 to 90")
    if not 2 <= arguments.copies <= arguments.nodes:
        usage_error("--copies takes 2 to the number of nodes")
    if "move" in MIXES[arguments.mix] and arguments.nodes == arguments.copies:
        usage_error("a node can be drained only if there are more nodes than copies: add --nodes or --copies")
    if FAILING_DISKS & MIXES[arguments.mix].keys() and not has_failing_disks(arguments.program):
        usage_error(f"{arguments.program} cannot be told to have failing disks: name a debug build with --program")
    return arguments


def has_failing_disks(program: Path) -> bool:
    return b"STAVE_DISK_FAULTS" in program.read_bytes()


def repetition(arguments: argparse.Namespace, seed: int) -> str:
    """The command that draws the same cluster, load and faults. Whether they meet in the same way is not its choice."""
    words = ["tools/torture", "--seed", str(seed)]
    for option, default in DEFAULTS.items():
        if getattr(arguments, option) != default:
            words += [f"--{option}", str(getattr(arguments, option))]
    words += ["--program", str(arguments.program.resolve())]
    return shlex.join(words)


def tell(number: int, arguments: argparse.Namespace, seed: int, outcome: Outcome) -> None:
    faults = ", ".join(f"{kind} {count}" for kind, count in sorted(outcome.faults.items())) or "none"
    whole = "never" if outcome.seconds_until_whole is None else f"after {outcome.seconds_until_whole:.1f} s"
    print(
        f"round {number} of {arguments.rounds}, seed {seed}: {'FOUND' if outcome.found else 'held'}; "
        f"{outcome.history.operations.total():,} operations, {outcome.retransmissions} sent again; "
        f"faults: {faults}; all copies {whole}; {outcome.seconds:.0f} s",
        flush=True,
    )
    for kind, text in outcome.found[:FINDINGS_SHOWN]:
        lines = text.splitlines()
        print("\n".join([f"  {kind}: {lines[0]}"] + [f"    {line}" for line in lines[1:LINES_SHOWN]]))
        if len(lines) > LINES_SHOWN:
            print(f"    … and {len(lines) - LINES_SHOWN} more lines")
    if len(outcome.found) > FINDINGS_SHOWN:
        print(f"  … and {len(outcome.found) - FINDINGS_SHOWN} more")
    if outcome.evidence:
        print(f"  kept: {outcome.evidence}")
    if outcome.found:
        print(f"  again: {repetition(arguments, seed)}", flush=True)


def self_test(arguments: argparse.Namespace, plan: Plan, seed: int) -> int:
    outcome = play(plan, seed)
    tell(1, arguments, seed, outcome)
    if outcome.found:
        print("a history that does not hold cannot be falsified")
        return EXIT_FOUND
    told, seen = falsify.falsify(outcome.history, seed)
    for lie in falsify.names():
        print(f"  {lie:<16} seen {seen[lie]} of {told[lie]}")
    share = seen.total() / max(1, told.total())
    print(
        f"seed {seed}: seen {seen.total()} of {told.total()}, {share:.0%}; at least {falsify.SHARE_TO_SEE:.0%} are to be seen"
    )
    return EXIT_HELD if share >= falsify.SHARE_TO_SEE else EXIT_FOUND


def main() -> int:
    arguments = parse()
    # Whatever ends the tool ends its cluster, too.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda received, _: sys.exit(128 + received))
    plan = Plan(
        program=arguments.program.resolve(),
        folder=arguments.folder.resolve(),
        seconds=arguments.seconds,
        nodes=arguments.nodes,
        copies=arguments.copies,
        mix=arguments.mix,
        keep=arguments.keep,
    )
    if arguments.self_test:
        return self_test(arguments, plan, arguments.seed)
    failed = 0
    for number in range(arguments.rounds):
        seed = arguments.seed + number
        print(f"==> Round {number + 1} of {arguments.rounds}, seed {seed}", file=sys.stderr)
        outcome = play(plan, seed)
        failed += bool(outcome.found)
        tell(number + 1, arguments, seed, outcome)
    print(f"{arguments.rounds - failed} of {arguments.rounds} rounds held")
    return EXIT_FOUND if failed else EXIT_HELD


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
