"""A board in QEMU, and clients for it. For .ci/demos.py."""

import json
import os
import re
import select
import socket
import subprocess
import tempfile

SECONDS_MAX = 60
# Where the RAM of a board is, and how long.
RAM = {"lm3s6965evb": (0x20000000, 64 * 1024), "microbit": (0x20000000, 16 * 1024), "virt": (0x80040000, 64 * 1024)}


class Machine:
    """A running board. It ends when it is left, and when its program resets it."""

    def __init__(self, emulator, board, image, network):
        """`network`: the program's port 80 is forwarded to; else the serial line is."""
        command = [emulator, "-M", board, "-display", "none", "-monitor", "none", "-qmp", "stdio", "-no-reboot"]
        if board == "virt":
            command += ["-bios", "none"]
        if network:
            forward = "user,model=stellaris,restrict=on,hostfwd=tcp:127.0.0.1:0-:80"
            command += ["-serial", "null", "-nic", forward]
        else:
            command += ["-chardev", "socket,id=line,host=127.0.0.1,port=0,server=on,wait=off", "-serial", "chardev:line"]
        self.board = board
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

    def untouched_bytes(self):
        """The longest run of bytes in RAM that were never written: between the data and the deepest end of the stack."""
        start, length = RAM[self.board]
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "ram")
            self._ask("memsave", {"val": start, "size": length, "filename": path})
            with open(path, "rb") as file:
                return max(map(len, re.findall(rb"\0+", file.read())))

    def is_running(self):
        """Whether the program has not reset its board, which it does when it panics."""
        return self.process.poll() is None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


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
