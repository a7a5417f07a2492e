"""A process that has imported what commands need, and forks one for each that is asked for.

``python -m tests.forkserver FD``: requests and exit codes are lines of JSON over that socket. What it imports starts no
threads, or a fork could wait for one that it does not have.
"""

import atexit
import faulthandler
import gc
import importlib
import json
import os
import runpy
import socket
import sys
import traceback
import warnings
from typing import NoReturn

#: what takes long to import
_LIBRARIES = ("serving.scoring.online", "serving.scoring.batch", "serving.ingest.compact", "training.job", "duckdb",
              "feast", "lightgbm", "mlflow", "numba", "polars")  # fmt: skip


def serve(channel: socket.socket) -> None:
    """Run what is asked for, one after the other, until nobody can ask any more."""
    before = dict(os.environ)
    for name in _LIBRARIES:
        importlib.import_module(name)
    set_by_imports = {name: value for name, value in os.environ.items() if name not in before}
    gc.freeze()
    with channel, channel.makefile(encoding="utf-8") as requests:
        for line in requests:
            request = json.loads(line)
            pid = os.fork()
            if pid == 0:
                channel.close()
                request["environment"] = set_by_imports | request["environment"]
                _become(**request)
            _, status = os.waitpid(pid, 0)
            channel.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _become(
    module: str, arguments: list[str], environment: dict[str, str], cwd: str, out: str, err: str, seconds: float
) -> NoReturn:
    """Be ``python -m module arguments``; after so many seconds, say where it is."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for place, path, flags in ((0, os.devnull, os.O_RDONLY), (1, out, os.O_WRONLY), (2, err, os.O_WRONLY)):
        os.dup2(os.open(path, flags), place)
    faulthandler.dump_traceback_later(seconds)
    sys.argv[1:] = arguments
    code: object = 0
    try:
        with warnings.catch_warnings():
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    if isinstance(code, str):
        print(code, file=sys.stderr)  # noqa: T201 - as the interpreter does
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
