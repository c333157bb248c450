"""A board in QEMU, and clients for it. For .ci/demos.py."""

import json
import os
import re
import select
import socket
import subprocess
import tempfile

SECONDS_MAX = 60
# What the stack is painted with before the program starts.
PAINT = 0xA5


def stack_of(image):
    """Where the stack of an image can be: the address behind the data, and the one that it grows down from."""
    told = subprocess.run(["llvm-nm", image], capture_output=True, text=True, check=True).stdout
    symbols = {name: int(address, 16) for address, _, name in (line.split() for line in told.splitlines() if line.count(" ") == 2)}
    return next(symbols[name] for name in ("__sheap", "_sheap") if name in symbols), symbols["_stack_start"]


def held_by_main(image):
    """What the program's `main` keeps on the stack while its loop runs: what its first instructions take."""
    told = subprocess.run(["llvm-objdump", "-d", "-C", "--no-show-raw-insn", image], capture_output=True, text=True, check=True).stdout
    # On Cortex-M, `main` calls the function with the name of the runtime.
    names = (r"[^>]*_rt_+main", "(?:hal_)?main")
    bodies = (re.search(rf"^[0-9a-f]+ <{name}>:\n((?:.*\n){{12}})", told, re.M) for name in names)
    body = next(body[1] for body in bodies if body)
    pushed = sum(4 * len(registers.split(",")) for registers in re.findall(r"push(?:\.w)?\s+\{([^}]*)\}", body))
    taken = re.findall(r"sub(?:\.w|w)?\s+sp, (?:sp, )?#(\d+)|addi\s+sp, sp, -(\d+)", body)
    return pushed + sum(int(one or other) for one, other in taken)


class Machine:
    """A running board. It ends when it is left, and when its program resets it."""

    def __init__(self, emulator, board, image, network):
        """`network`: the program's port 80 is forwarded to; else the serial line is."""
        command = [emulator, "-M", board, "-display", "none", "-monitor", "none", "-qmp", "stdio", "-no-reboot"]
        self.scratch = tempfile.TemporaryDirectory()
        self.stack = stack_of(image)
        start, end = self.stack
        paint = os.path.join(self.scratch.name, "paint")
        with open(paint, "wb") as file:
            file.write(bytes([PAINT]) * (end - start))
        command += ["-device", f"loader,file={paint},addr={start:#x},force-raw=on"]
        if board == "virt":
            command += ["-bios", "none"]
        if network:
            forward = "user,model=stellaris,restrict=on,hostfwd=tcp:127.0.0.1:0-:80"
            command += ["-serial", "null", "-nic", forward]
        else:
            command += ["-chardev", "socket,id=line,host=127.0.0.1,port=0,server=on,wait=off", "-serial", "chardev:line"]
        self.process = subprocess.Popen(
            command + ["-kernel", image], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._message()  # the greeting
        self._ask("qmp_capabilities")
        # QEMU chose the port.
        if network:
            told = self._ask("human-monitor-command", {"command-line": "info usernet"})
            self.port = int(re.search(r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", told).group(1))
        else:
            told = next(device for device in self._ask("query-chardev") if device["label"] == "line")
            self.port = int(re.search(r"127\.0\.0\.1:(\d+)", told["filename"]).group(1))

    def _message(self):
        ready, _, _ = select.select([self.process.stdout], [], [], SECONDS_MAX)
        line = self.process.stdout.readline() if ready else ""
        if not line:
            raise RuntimeError("QEMU does not answer")
        return json.loads(line)

    def _ask(self, command, arguments=None):
        request = {"execute": command, "arguments": arguments or {}}
        self.process.stdin.write(json.dumps(request) + "\n")
        while True:
            message = self._message()
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise RuntimeError(f"QEMU: {message['error']}")

    def stack_bytes(self):
        """How much of the stack was ever used, and how much is left of it: what is no longer painted."""
        start, end = self.stack
        path = os.path.join(self.scratch.name, "stack")
        self._ask("memsave", {"val": start, "size": end - start, "filename": path})
        with open(path, "rb") as file:
            left = re.match(bytes([PAINT]) + b"*", file.read()).end()
        return end - start - left, left

    def is_running(self):
        """Whether the program has not reset its board, which it does when it panics."""
        return self.process.poll() is None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.scratch.cleanup()


class Clients:
    """curl, and sockets that send what they are told to."""

    def __init__(self, port):
        self.address = ("127.0.0.1", port)
        self.url = f"http://127.0.0.1:{port}"

    def curl(self, *arguments, content=None, seconds=SECONDS_MAX):
        """What curl writes to its output, and to its error output."""
        command = ["curl", "-sS", "--noproxy", "*", "-m", str(seconds)]
        command += [self.url + word if word.startswith("/") and word != "/dev/null" else word for word in arguments]
        result = subprocess.run(command, input=content, capture_output=True, timeout=seconds + 5)
        return result.stdout, result.stderr

    def status(self, *arguments, content=None):
        """The status alone, or curl's complaint."""
        out, err = self.curl("-o", "/dev/null", "-w", "%{http_code}", *arguments, content=content)
        return out.decode() if out != b"000" else err.decode()

    def connect(self):
        connection = socket.create_connection(self.address, timeout=SECONDS_MAX)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def exchange(self, request, until):
        """Sends `request` and receives up to `until`."""
        with self.connect() as connection:
            connection.sendall(request)
            return receive(connection, until)


def receive(connection, until=None, seconds=SECONDS_MAX):
    """What comes until `until` is in it, or the end. The end is `<FIN>` or `<RESET>`, a client's patience `<NOTHING>`."""
    out = b""
    connection.settimeout(seconds)
    while until is None or until not in out:
        try:
            part = connection.recv(65536)
        except ConnectionResetError:
            return out + b"<RESET>"
        except TimeoutError:
            return out + b"<NOTHING>"
        if not part:
            return out + b"<FIN>"
        out += part
    return out
