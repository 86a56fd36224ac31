"""Forks command lines of the product from a parent that has imported everything, for tests that kill them.

A line of JSON on stdin, {"arguments": [...], "home": ..., "out": ...}, starts one; its process id is printed at once,
its exit status when it has ended.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path

HEAVY = (
    "feast",
    "feast.infra.online_stores.sqlite",
    "lightgbm",
    "matplotlib.figure",
    "mlflow.models",
    "mlflow.pyfunc",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "scipy.optimize",
    "scipy.sparse.linalg",
    "sklearn.ensemble",
    "sklearn.feature_extraction.text",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "serving.publish",
    "training.run",
)


def be_born(order: dict[str, object]) -> None:
    """Become the command of an order; does not return."""
    import harmonic

    os.environ["HARMONIC_HOME"] = str(order["home"])
    out = Path(str(order["out"]))
    sys.stdout, sys.stderr = out.open("w"), out.with_suffix(".err").open("w")
    sys.argv = ["harmonic", *map(str, order["arguments"])]  # type: ignore[call-overload]
    code = 1
    try:
        harmonic.main()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Serve orders until stdin ends."""
    for name in HEAVY:
        __import__(name)
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            be_born(json.loads(line))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
