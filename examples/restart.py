"""Restarts a server again and again under load, and counts the requests that are lost.

    cargo build --release --example hello
    python3 examples/restart.py target/release/examples/hello              # the script holds the socket, as systemd would
    python3 examples/restart.py --reuse-port target/release/examples/hello # the next process listens before the last one stops

Half of the clients keep their connections, the others open one for each request. A request is lost if it gets no complete
response. A kept connection that is closed before any byte of a response does not count: HTTP allows that at any time, and a
client has to repeat the request (RFC 9112 section 9.3.1); it is counted as repeated. The exit status is 0 if nothing was lost.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import threading

REQUEST = b"GET / HTTP/1.1\r\nHost: restart\r\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", help="a program that takes --inherit, --addr and --reuse-port, such as the example hello")
    parser.add_argument("--reuse-port", action="store_true")
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--requests", type=int, default=500, help="between two restarts, from all clients")
    options = parser.parse_args()

    manager = ReusePort(options.server) if options.reuse_port else Activation(options.server)
    running = manager.start()
    load = Load(manager.address, options.clients)
    for _ in range(options.restarts):
        load.wait_for(options.requests)
        running = manager.replace(running)
    load.wait_for(options.requests)
    load.stop()
    end(running)
    print(f"{options.restarts} restarts, {load.served} requests served, {load.repeated} repeated, {len(load.lost)} lost")
    for what in load.lost[:10]:
        print(f"lost: {what}", file=sys.stderr)
    sys.exit(1 if load.lost else 0)


class Activation:
    """Holds the listening socket. Between two processes, connections wait in its backlog."""

    def __init__(self, server):
        self.server = server
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.address = self.socket.getsockname()

    def start(self):
        # LISTEN_PID is the process that the shell becomes; the socket has to be descriptor 3.
        command = f'exec 3<&{self.socket.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" --inherit'
        return started(["sh", "-c", command, self.server], pass_fds=[self.socket.fileno()])

    def replace(self, running):
        end(running)
        return self.start()


class ReusePort:
    """Starts the next process before it ends the last one, on the same port."""

    def __init__(self, server):
        self.server = server
        # It only reserves the port: it does not listen, so no client gets to it.
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.bind(("127.0.0.1", 0))
        self.address = self.socket.getsockname()

    def start(self):
        return started([self.server, "--addr", "127.0.0.1:%d" % self.address[1], "--reuse-port"])

    def replace(self, running):
        after = self.start()
        end(running)
        return after


def started(command, **options):
    process = subprocess.Popen(command, stdout=subprocess.PIPE, **options)
    line = process.stdout.readline()
    if not line.startswith(b"listening on "):
        sys.exit(f"{command} does not start")
    return process


def end(process):
    """A graceful stop: exchanges under way are finished."""
    process.send_signal(signal.SIGTERM)
    if process.wait(60) != 0:
        sys.exit(f"the server ended with status {process.returncode}")


class Load:
    def __init__(self, address, clients):
        self.address = address
        self.served, self.repeated, self.lost = 0, 0, []
        self.changed = threading.Condition()
        self.is_over = False
        self.threads = [threading.Thread(target=self.run, args=[number % 2 == 0]) for number in range(clients)]
        for thread in self.threads:
            thread.start()

    def wait_for(self, requests):
        with self.changed:
            enough = self.served + requests
            if not self.changed.wait_for(lambda: self.served >= enough, 60):
                sys.exit("nothing is served any more")

    def stop(self):
        self.is_over = True
        for thread in self.threads:
            thread.join()

    def run(self, keeps):
        client = None
        while not self.is_over:
            is_used = client is not None
            try:
                client = client or Client(self.address)
                is_kept = client.get(keeps)
            except Unanswered as error:
                with self.changed:
                    if is_used and error.is_empty:
                        self.repeated += 1
                    else:
                        self.lost.append(str(error))
                client = None
                continue
            client = client if is_kept else None
            with self.changed:
                self.served += 1
                self.changed.notify_all()


class Unanswered(Exception):
    def __init__(self, what, is_empty):
        super().__init__(what)
        self.is_empty = is_empty


class Client:
    def __init__(self, address):
        try:
            self.socket = socket.create_connection(address, timeout=30)
        except OSError as error:
            raise Unanswered(f"connect: {error}", False) from error

    def get(self, keeps):
        """Whether the connection stays open."""
        received = b""
        try:
            self.socket.sendall(REQUEST + (b"\r\n" if keeps else b"Connection: close\r\n\r\n"))
            while True:
                head, found, content = received.partition(b"\r\n\r\n")
                if found and len(content) >= length(head):
                    return b"\r\nConnection: close" not in head
                piece = self.socket.recv(65536)
                if not piece:
                    raise Unanswered(f"the connection ended after {len(received)} bytes", not received)
                received += piece
        except OSError as error:
            raise Unanswered(f"after {len(received)} bytes: {error}", not received) from error


def length(head):
    lines = head.split(b"\r\n")
    if b" 200 " not in lines[0]:
        raise OSError(f"unexpected response {lines[0]!r}")
    return int(next(line.split(b":")[1] for line in lines if line.startswith(b"Content-Length:")))


if __name__ == "__main__":
    main()
