"""`python -m tests.kill --seeds 3 --updates 1000 --kills 20`: exit 1 if a rule of ours is broken.

The same load and the same number of kills go against a plain python-telegram-bot program.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.kill.count import Verdict, count_answers, judge
from tests.kill.lives import ASSUREBOT, PLAIN_BOT, Program
from tests.kill.play import Played, play
from tests.kill.points import ANY, NAMED, START, plan
from tests.kill.story import messages


async def run(program: Program, seed: int, updates: int, kills: int, folder: Path) -> Played:
    """Play one run; the same seed gives the same messages and the same kills."""
    rng = random.Random(seed)  # noqa: S311 - it has to be repeatable, not secret
    story = messages(rng, updates)
    chosen = plan(rng, kills, updates, named=program.named)
    return await play(program, folder, story, chosen)


def main() -> int:
    """Run all seeds and print what came of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--updates", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="a new folder to leave all files in")
    parser.add_argument("--alone", action="store_true", help="without the comparison")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-") as scratch:
        folder = given.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        seeds = range(given.first_seed, given.first_seed + given.seeds)
        broken = sum(asyncio.run(_both(given, seed, folder)) for seed in seeds)
    print("every rule held" if not broken else f"{broken} rules were broken")
    return 1 if broken else 0


async def _both(given: argparse.Namespace, seed: int, folder: Path) -> int:
    """Run both programs side by side; return how many rules ours broke."""
    programs = (ASSUREBOT,) if given.alone else (ASSUREBOT, PLAIN_BOT)
    runs = await asyncio.gather(
        *(
            run(program, seed, given.updates, given.kills, folder / f"{program.name}-{seed}")
            for program in programs
        )
    )
    verdict = judge(runs[0])
    for program, played in zip(programs, runs, strict=True):
        _print(program, seed, given, played, verdict if program is ASSUREBOT else None)
    return len(verdict.broken)


def _print(
    program: Program, seed: int, given: argparse.Namespace, played: Played, verdict: Verdict | None
) -> None:
    answers = verdict.answers if verdict else count_answers(played)
    print(f"\n{program.name}, seed {seed}: {given.updates} updates, {given.kills} kills")
    hits = Counter(played.hits)
    order = [*NAMED, ANY, START] if program.named else [ANY]
    shown = [f"{point} {hits.pop(point, 0)}" for point in order]
    print("  killed:", ", ".join([*shown, *(f"{point} {n}" for point, n in hits.items())]))
    rows: dict[str, object] = {"lost": answers.lost}
    if verdict:
        rows |= {"double effects": verdict.effects.doubled}
    rows |= {"duplicate answers": answers.duplicates}
    if verdict:
        rows |= {
            "sends in flight at a kill": answers.in_flight,
            "told of an unknown outcome": len(answers.interrupted),
            "audit": verdict.audit.verdict,
        }
    rows |= {"restarts": played.restarts, "seconds": round(played.seconds, 1)}
    print("  " + ", ".join(f"{name} {value}" for name, value in rows.items()), flush=True)
    for rule in verdict.broken if verdict else ():
        print(f"  BROKEN: {rule}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
