"""A process that has torch imported and forks workers from it in milliseconds.

Importing torch anew in every worker would cost more than measuring. Each template is a freshly
executed process with an address space layout of its own, so workers of different templates differ as
freshly executed ones do. It starts no threads and no CUDA context before it forks.
"""

import contextlib
import faulthandler
import gc
import importlib
import os
import socket
import sys
import traceback

from bench.measure import worker


def serve(control: socket.socket, modules: list[str]) -> None:
    """Answer `fork` and a socket with a process number, `wait N` with its exit status.

    `import NAME...` is answered with `ready`.
    """
    for name in modules:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    control.sendall(b"ready\n")
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, 64, 1)
        if not message:
            return
        command, *arguments = message.decode().split()
        if command == "import":
            for name in arguments:
                with contextlib.suppress(Exception):  # a worker will run into it, and say so
                    importlib.import_module(name)
            gc.collect()
            gc.freeze()
            control.sendall(b"ready\n")
        elif command == "fork":
            child = os.fork()
            if child == 0:
                control.close()
                _become_worker(descriptors[0])
            os.close(descriptors[0])
            control.sendall(f"{child}\n".encode())
        else:
            _, status = os.waitpid(int(arguments[0]), 0)
            control.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _become_worker(descriptor: int) -> None:
    """Serve one order, then leave without running anything that belongs to the template."""
    code = 1
    try:
        faulthandler.enable()
        worker.main(descriptor)
        code = 0
    except BaseException:  # noqa: BLE001  # the last words go to the log, whatever they are
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
