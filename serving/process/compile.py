"""Compiles what slates need, in a process that ends: compiling leaves 80 MB behind, and would do so in every worker."""

from __future__ import annotations

import math
import signal
import sys

import configs
from models.compiled.lines import is_kept
from serving.process import parent


def compile_loops() -> None:
    """Make a few slates of what is published, so that their loops are compiled and kept, where they are not.

    Raises:
        NotReady: nothing is published.
    """
    from models.compiled.rank_kernels import rank
    from models.compiled.reason_kernels import explain_rows
    from serving.assemble import pipeline
    from serving.holder import warm_up

    if is_kept(rank) and is_kept(explain_rows):
        return
    settings = configs.current()
    served = pipeline(settings)
    print("compiling the loops that rank, once on this machine: about a minute", file=sys.stderr, flush=True)
    warm_up(served, settings.traffic.warm_up_creators, math.inf)


def main() -> None:
    """Compile before the workers start; whatever prevents it, they meet it again, and say so."""
    parent.follow()
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # a terminal tells this process, too, and it has nothing to say to that
    try:
        compile_loops()
    except Exception:
        sys.exit(1)


if __name__ == "__main__":
    main()
