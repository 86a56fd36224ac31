"""The first process of the service: BentoML's server, which replaces a dead worker at once, in a container, too."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any, Final

from serving.process import parent

CHECK_SECONDS: Final = 1.0
"""How often workers are counted. BentoML does so every 10 s, and in a container it replaces none."""

COMPILE_SECONDS: Final = 240.0
"""After that workers compile for themselves: whatever holds the one up that does it for all must not hold them up."""


def mend() -> None:
    """Let BentoML look after its workers; a second time changes nothing."""
    from bentoml import serving
    from bentoml._internal.utils import circus

    arbiter = circus.ThreadedArbiter.__base__

    def prompt(*args: Any, **kwargs: Any) -> Any:
        return arbiter(*args, **{**kwargs, "check_delay": CHECK_SECONDS})

    circus.Arbiter = prompt
    serving.running_inside_container = bool


def main() -> None:
    """BentoML's command line, for as long as the process that started this one lives."""
    parent.follow()
    os.environ[parent.PARENT] = str(os.getpid())  # for the workers
    compiling = subprocess.Popen([sys.executable, "-m", "serving.process.compile"])
    try:
        mend()
        from bentoml_cli.cli import cli

        compiling.wait(COMPILE_SECONDS)
    except subprocess.TimeoutExpired:
        compiling.kill()
    except KeyboardInterrupt:
        sys.exit(130)
    cli()


if __name__ == "__main__":
    main()
