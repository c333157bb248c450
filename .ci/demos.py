#!/usr/bin/env python3
"""Asks a program of examples/bare-metal-*: .ci/demos.py [--serve] PROGRAM EMULATOR BOARD IMAGE.

The exit status is 1 if an answer was wrong."""

import json
import signal
import sys
import time
import zlib

from machine import Clients, Machine, receive

BIG = bytes(index % 251 for index in range(20_000))
GET = b"GET /status HTTP/1.1\r\nHost: device\r\n\r\n"
POST_STREAM = b"POST /stream HTTP/1.1\r\nHost: device\r\nContent-Length: 4\r\n\r\nlast"

failures = 0


def parsed(content):
    """What the JSON says; nothing of anything else."""
    try:
        return json.loads(content)
    except ValueError:
        return {}


def check(name, is_right, seen=""):
    global failures
    failures += not is_right
    print(f"{'ok' if is_right else 'WRONG':6} {name}" + ("" if is_right else f": {seen!r}"), flush=True)


def check_pages(clients):
    """What every board serves."""
    out, _ = clients.curl("-i", "/")
    check("GET /", out.startswith(b"HTTP/1.1 200 OK\r\n") and out.endswith(b"</script>\n"), out[:80])
    _, err = clients.curl("-v", "-o", "/dev/null", "-o", "/dev/null", "-o", "/dev/null", "/", "/status", "/")
    check("three requests on one connection", err.count(b"Re-using existing connection") == 2, err)
    out, _ = clients.curl("-I", "/")
    check("HEAD /", b"Content-Length: " in out and out.endswith(b"\r\n\r\n"), out)
    out, _ = clients.curl("/status")
    status = parsed(out)
    check("status", status.get("led") is False and 20 <= status["temperature"] <= 25, out)
    answers = [clients.curl("-d", state, "/led")[0] for state in ("on", "off", "on")]
    lamp = parsed(clients.curl("/status")[0]).get("led")
    check("the lamp", answers == [b"on\n", b"off\n", b"on\n"] and lamp is True, (answers, lamp))
    check("the lamp has no other states", clients.status("-d", "dim", "/led") == "400")
    check("GET /led", clients.status("/led") == "405")
    check("GET /nothing", clients.status("/nothing") == "404")
    out, _ = clients.curl("-H", "Expect:", "-T", "-", "/firmware", content=BIG)
    told = {"bytes": len(BIG), "crc32": f"{zlib.crc32(BIG):08x}"}
    check("firmware in slices", parsed(out) == told, out)
    check("firmware in the status", parsed(clients.curl("/status")[0]).get("firmware") == told)
    started = time.monotonic()
    out, _ = clients.curl("-N", "/events?count=6")
    seconds = time.monotonic() - started
    readings = [float(event.removeprefix("data: ")) for event in out.decode().split("\n\n")[:-1]]
    check("events", len(readings) == 6 and all(20 <= reading <= 25 for reading in readings), out)
    check("events come every 200 ms", 0.9 < seconds < 5, seconds)


def check_content(clients):
    """Echoes, by length and chunked."""
    chunked = ("-H", "Transfer-Encoding: chunked", "-H", "Expect:", "--data-binary", "@-")
    length = ("-H", "Expect:", "--data-binary", "@-")
    for name, how in (("by length", length), ("chunked", chunked)):
        out, err = clients.curl(*how, "/echo", content=BIG[:700])
        check(f"700 bytes collected, {name}", out == BIG[:700], (out[:80], err))
        out, err = clients.curl(*how, "/stream", content=BIG)
        check(f"20000 bytes streamed, {name}", out == BIG, (len(out), err))
    out, err = clients.curl("-v", "-H", "Expect: 100-continue", "--data-binary", "@-", "/stream", content=BIG[:3000])
    check("100-continue", out == BIG[:3000] and b"< HTTP/1.1 100 Continue" in err, err)
    out, _ = clients.exchange(GET * 4 + POST_STREAM, until=b"last\r\n0\r\n\r\n")
    check("five pipelined requests", out.count(b"HTTP/1.1 200 OK\r\n") == 5, out)


def check_refusals(clients, recover):
    """What is refused; `recover` gets the device to listen again."""
    many = sum((["-H", f"X-{index}: 1"] for index in range(20)), [])
    for name, status, arguments, content in (
        ("3000 bytes to collect", "413", ("-H", "Expect:", "--data-binary", "@-", "/echo"), BIG[:3000]),
        ("firmware that is too long", "413", ("-X", "PUT", "-H", "Content-Length: 300000", "-H", "Expect:", "/firmware"), None),
        ("a target of 301 bytes", "414", ("/" + "a" * 300,), None),
        ("a head of 2 KiB", "431", ("-H", "X-Long: " + "a" * 2000, "/"), None),
        ("20 fields", "431", (*many, "/"), None),
    ):
        seen = clients.status(*arguments, content=content)
        check(f"{name}: {status}", seen == status, seen)
        recover()
    for name, request in (
        ("a field name with a control byte", b"GET / HTTP/1.1\r\nHost: a\r\nHo\x01st: a\r\n\r\n"),
        ("two lengths", b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("no host", b"GET / HTTP/1.1\r\n\r\n"),
    ):
        out, _ = clients.exchange(request, until=b"Bad Request\n")
        check(f"{name}: 400", out.startswith(b"HTTP/1.1 400 "), out)
        recover()
    for name, request in (
        ("half a head", b"GET / HTTP/1.1\r\nHos"),
        ("half of the content", b"PUT /firmware HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nabc"),
    ):
        out, seconds = clients.exchange(request, until=b"Timeout\n")
        check(f"{name}: 408 after 5 s", out.startswith(b"HTTP/1.1 408 ") and 4.5 < seconds < 8, (out, seconds))
        recover()


def check_uart(clients):
    def recover():
        """Behind a refusal the line has to be silent for 50 ms: what is sent before is skipped."""
        end = time.monotonic() + 10
        while True:
            with clients.connect() as connection:
                connection.sendall(GET)
                if receive(connection, b"}}\n", seconds=0.3).endswith(b"}}\n"):
                    return
            if time.monotonic() > end:
                check("the line is served again", False)
                return

    with clients.connect() as connection:
        silence = receive(connection, 1, seconds=5.5)
        connection.sendall(GET)
        out = receive(connection, b"}}\n")
        check("a line that was silent for 5 s is served", silence == b"<NOTHING>" and out.endswith(b"}}\n"), (silence, out))
    check_pages(clients)
    check_content(clients)
    check_refusals(clients, recover)
    out, err = clients.curl(*["/status"] * 120, seconds=60)
    check("120 requests on one connection", out.count(b"}}\n") == 120 and b"Re-using" not in err, (out[-200:], err))


def main():
    serve = "--serve" in sys.argv
    program, emulator, board, image = [argument for argument in sys.argv[1:] if argument != "--serve"]
    with Machine(emulator, board, image, network=program == "net") as machine:
        clients = Clients(machine.port)
        if serve:
            print(f"{program} on {board}: {clients.url}/", flush=True)
            signal.sigwait([signal.SIGINT, signal.SIGTERM])
            return 0
        (check_net if program == "net" else check_uart)(clients)
        check("the program still runs", machine.is_running())
    print(f"{failures} answers were wrong" if failures else "all answers were right")
    return failures > 0


sys.exit(main())
