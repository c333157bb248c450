#!/usr/bin/env python3
"""Common clients and proxies against a running server: .ci/clients.py SERVER BACKEND...

SERVER is the bench_server example, in the folder of the example chat. Python itself is one of the clients; of curl, wget, ab, Node,
Java, nginx, HAProxy and Python's package websockets, those that are installed take part; the others are listed as left out. The exit
status is 1 if any of them failed."""

import hashlib
import http.client
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

MIB = 1024 * 1024
UPLOAD = os.urandom(2 * MIB)
LARGE = 30_000_000
SECONDS_MAX = 60

NODE = """
const http = require('http');
const [host, port] = process.argv[2].split(':');
const content = Buffer.alloc(2 << 20, 120);
const finish = (told) => console.log(told.join(' '));
const request = http.request({ host, port, path: '/plaintext', method: 'POST' }, async (response) => {
  response.resume();
  const fetched = await fetch(`http://${host}:${port}/plaintext`, { method: 'POST', body: content });
  await fetched.text();
  const echoed = await fetch(`http://${host}:${port}/echo`, { method: 'POST', body: content });
  const back = Buffer.from(await echoed.arrayBuffer());
  finish([response.statusCode, fetched.status, back.equals(content)]);
});
request.on('error', (error) => finish([error.code]));
request.end(content);
"""

JAVA = """
import java.net.URI;
import java.net.http.*;
public class Upload {
  public static void main(String[] arguments) throws Exception {
    var client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    var request = HttpRequest.newBuilder(URI.create(arguments[0]))
        .POST(HttpRequest.BodyPublishers.ofByteArray(new byte[2 << 20])).build();
    System.out.println(client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
  }
}
"""

NGINX = """
{user}daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 1;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s; client_max_body_size 64m;
  upstream behind {{ server {upstream}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://behind; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_request_buffering off;
    }}
  }}
}}
"""

HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend proxy
  bind 127.0.0.1:{port}
  default_backend behind
backend behind
  option httpchk GET /plaintext
  http-check expect status 200
  http-reuse always
  server one {upstream} check inter 200ms
"""


def main():
    server, backends = sys.argv[1], sys.argv[2:]
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        for backend in backends:
            for name, outcome in itertools.chain(seen(server, backend, folder), seen_in_chat(server, backend)):
                told = "left out: not installed" if outcome is None else "ok" if outcome is True else f"FAILED: {outcome}"
                failures += outcome not in (None, True)
                print(f"{backend:8} {name:44} {told}", flush=True)
    sys.exit(failures > 0)


def seen(program, backend, folder):
    """The result of each client, one after the other, against one server."""
    command = [program, "--addr", "127.0.0.1:0", "--workers", "1", "--backend", backend]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = address_in(server.stdout.readline())
        yield from exchanges("Python", address)
        yield "Python, HTTP/1.0 and a stray CRLF", stray_line(address)
        yield "curl", curl(address, folder)
        yield "curl, through the server as its proxy", curl_proxy(address)
        yield "wget, POST refused early", wget(address, folder)
        yield "ab -k", ab(address)
        yield "Node, http and fetch", node(address, folder)
        yield "Java, POST refused early", java(address, folder)
        for name, settings, arguments in (("nginx", NGINX, ["-c"]), ("haproxy", HAPROXY, ["-db", "-f"])):
            if program_path(name) is None:
                yield f"{name} as proxy", None
                continue
            with Proxy(name, settings, arguments, address, folder) as proxy:
                yield from exchanges(f"{name} as proxy", proxy)
                yield f"{name} as proxy, ab -k", ab(proxy)
        server.send_signal(signal.SIGTERM)
        yield "the server, on SIGTERM", server.wait(SECONDS_MAX) == 0 or f"status {server.returncode}"
    finally:
        server.kill()
        server.wait()


def seen_in_chat(program, backend):
    """The package websockets in a chat, with and without compression."""
    command = [os.path.join(os.path.dirname(program), "chat"), "--addr", "127.0.0.1:0", "--workers", "1", "--backend", backend]
    script = os.path.join(os.path.dirname(__file__), "..", "tests", "support", "chat_client.py")
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        address = address_in(server.stdout.readline())
        pythons = [python for python in ("python3", "/usr/bin/python3") if has_websockets(python)]
        yield "Python's websockets, compressed", told([*pythons[:1], script, address], is_chat) if pythons else None
        server.send_signal(signal.SIGTERM)
        yield "the chat, on SIGTERM", server.wait(SECONDS_MAX) == 0 or f"status {server.returncode}"
    finally:
        server.kill()
        server.wait()


def has_websockets(python):
    path = program_path(python)
    return path is not None and subprocess.run([path, "-c", "import websockets"], stderr=subprocess.DEVNULL, check=False).returncode == 0


def is_chat(out):
    return out.endswith(b"ok\n") and out.count(b"agreed: PerMessageDeflate(") == 5


def address_in(line):
    return next(word.removeprefix("http://").strip("/,.") for word in line.split() if "127.0.0.1:" in word)


def exchanges(who, address):
    yield f"{who}, GET 30 MB", answer(address, "GET", f"/bytes/{LARGE}", None, 200, lambda content: len(content) == LARGE)
    yield f"{who}, POST 2 MB refused early", answer(address, "POST", "/plaintext", UPLOAD, 405, lambda _: True)
    yield f"{who}, POST 2 MB echoed", answer(address, "POST", "/echo", UPLOAD, 200, lambda content: content == UPLOAD)
    yield f"{who}, 1000 on a connection", thousand(address)


def answer(address, method, target, content, status, is_right):
    connection = http.client.HTTPConnection(address, timeout=SECONDS_MAX)
    try:
        connection.request(method, target, body=content)
        response = connection.getresponse()
        got = response.read()
        if response.status != status:
            return f"status {response.status} for {status}"
        return is_right(got) or f"wrong content, {len(got)} bytes"
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()


def thousand(address):
    connection = http.client.HTTPConnection(address, timeout=SECONDS_MAX)
    try:
        for number in range(1000):
            connection.request("GET", "/plaintext")
            response = connection.getresponse()
            if (response.status, response.read()) != (200, b"Hello, World!"):
                return f"wrong answer to request {number}"
        return True
    except (OSError, http.client.HTTPException) as error:
        return repr(error)
    finally:
        connection.close()


def stray_line(address):
    host, port = address.split(":")
    got = b""
    try:
        with socket.create_connection((host, int(port)), SECONDS_MAX) as stream:
            stream.sendall(b"GET /bytes/%d HTTP/1.0\r\n\r\n" % LARGE)
            got += stream.recv(MIB)
            # It arrives while the answer is in transit.
            stream.sendall(b"\r\n")
            while some := stream.recv(MIB):
                got += some
    except OSError as error:
        return f"{error!r} after {len(got)} bytes"
    content = len(got) - got.index(b"\r\n\r\n") - 4
    return content == LARGE or f"{content} of {LARGE} bytes"


def curl(address, folder):
    upload = written(folder, "upload", UPLOAD)
    return told(["curl", "-sS", "--data-binary", f"@{upload}", "-H", "Expect: 100-continue", f"http://{address}/echo"],
                lambda out: hashlib.sha256(out).digest() == hashlib.sha256(UPLOAD).digest())


def curl_proxy(address):
    return told(["curl", "-sS", "-x", f"http://{address}", "http://example.test/plaintext"], lambda out: out == b"Hello, World!")


def wget(address, folder):
    upload = written(folder, "upload", UPLOAD)
    command = ["wget", "-S", "-t", "1", "-T", "30", "-O", "-", f"--post-file={upload}", f"http://{address}/plaintext"]
    # wget reports the refusal by its status, on standard error.
    return told(command, lambda out: b" 405 " in out, error_is_output=True)


def ab(address):
    count = 20_000
    return told(["ab", "-q", "-k", "-n", str(count), "-c", "64", f"http://{address}/plaintext"],
                lambda out: b"Complete requests:      %d" % count in out and b"Failed requests:        0" in out
                and b"Non-2xx" not in out)


def node(address, folder):
    script = written(folder, "upload.js", NODE.encode())
    return told(["node", script, address], lambda out: out.split() == [b"405", b"405", b"true"])


def java(address, folder):
    source = written(folder, "Upload.java", JAVA.encode())
    return told(["java", source, f"http://{address}/plaintext"], lambda out: out.strip() == b"405")


def told(command, is_right, error_is_output=False):
    """Whether a program printed the right output; None if it is not installed."""
    path = program_path(command[0])
    if path is None:
        return None
    error = subprocess.STDOUT if error_is_output else subprocess.PIPE
    try:
        run = subprocess.run([path, *command[1:]], stdout=subprocess.PIPE, stderr=error, timeout=SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end in {SECONDS_MAX} s"
    return is_right(run.stdout) or f"status {run.returncode}: {run.stdout[-300:]!r} {(run.stderr or b'')[-300:]!r}"


class Proxy:
    def __init__(self, name, settings, arguments, upstream, folder):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        # Started by root, nginx would switch to a user who cannot write to our directory.
        user = "user root; " if os.geteuid() == 0 else ""
        settings = settings.format(folder=folder, port=port, upstream=upstream, user=user)
        self.command = [program_path(name), *arguments, written(folder, f"{name}.conf", settings.encode())]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        host, port = self.address.split(":")
        for _ in range(100):
            try:
                socket.create_connection((host, int(port)), 1).close()
                return self.address
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"{self.command[0]} does not listen")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def program_path(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def written(folder, name, content):
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(content)
    return path


main()
