#!/usr/bin/env python3
"""Asks a program of examples/bare-metal-*: .ci/demos.py [--serve | --write] PROGRAM EMULATOR BOARD IMAGE.

The exit status is 1 if an answer was wrong."""

import json
import math
import re
import signal
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

from machine import Clients, Machine, held_by_main, receive

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


def uptime(answer):
    """The device's clock in seconds, by a status: the device's own, because an emulated one falls behind on a busy machine."""
    status = parsed(answer[answer.find(b"{"):])
    return status.get("uptime_ms", math.nan) / 1000


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
    began = uptime(clients.curl("/status")[0])
    out, _ = clients.curl("-N", "/events?count=6")
    seconds = uptime(clients.curl("/status")[0]) - began
    readings = [float(event.removeprefix("data: ")) for event in out.decode().split("\n\n")[:-1]]
    check("events", len(readings) == 6 and all(20 <= reading <= 25 for reading in readings), out)
    check("events come every 200 ms", 1 <= seconds < 2, seconds)


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
    out = clients.exchange(GET * 4 + POST_STREAM, until=b"last\r\n0\r\n\r\n")
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
        out = clients.exchange(request, until=b"Bad Request\n")
        check(f"{name}: 400", out.startswith(b"HTTP/1.1 400 "), out)
        recover()
    for name, request in (
        ("half a head", b"GET / HTTP/1.1\r\nHos"),
        ("half of the content", b"PUT /firmware HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\nabc"),
    ):
        began = uptime(clients.curl("/status")[0])
        out = clients.exchange(request, until=b"Timeout\n")
        recover()
        seconds = uptime(clients.curl("/status")[0]) - began
        check(f"{name}: 408 after 5 s", out.startswith(b"HTTP/1.1 408 ") and 4.9 < seconds < 7, (out, seconds))


def check_uart(clients):
    def recover():
        """Behind a refusal the line has to be silent for 50 ms: what is sent before is skipped."""
        end = time.monotonic() + 30
        while True:
            with clients.connect() as connection:
                connection.sendall(GET)
                if receive(connection, b"}}\n", seconds=0.3).endswith(b"}}\n"):
                    return
            if time.monotonic() > end:
                check("the line is served again", False)
                return

    with clients.connect() as connection:
        silence = receive(connection, seconds=5.5)
        connection.sendall(GET)
        out = receive(connection, b"}}\n")
        check("a line that was silent for 5 s is served", silence == b"<NOTHING>" and out.endswith(b"}}\n"), (silence, out))
    check_pages(clients)
    check_content(clients)
    check_refusals(clients, recover)
    out, err = clients.curl(*["/status"] * 120, seconds=60)
    check("120 requests on one connection", out.count(b"}}\n") == 120 and b"Re-using" not in err, (out[-200:], err))


def check_net(clients):
    check_pages(clients)
    check_content(clients)
    check_refusals(clients, lambda: None)
    check_many(clients)
    check_deadlines(clients)


def check_embassy(clients):
    check_pages(clients)
    check_content(clients)
    check_refusals(clients, lambda: None)
    # Only the engine ends a slow head for a newcomer. Here that waits for the head's timeout, which is 5 s.
    check_many(clients, beside_slow_heads=7)
    check_deadlines(clients)


def check_many(clients, beside_slow_heads=4):
    """More clients than slots. `beside_slow_heads`: the seconds within which a newcomer is served then."""
    seen = at_once(12, lambda: polite_client(clients, 10))
    check("12 clients at once, 10 requests each", seen == [10] * 12, seen)
    seen = at_once(12, lambda: clients.status("/events?count=3"))
    check("12 streams of events at once", seen == ["200"] * 12, seen)
    out, err = clients.curl("--parallel", "--parallel-immediate", "--parallel-max", "20", "--no-progress-meter", "-w", "%{http_code} ",
                            *["-o", "/dev/null", "/status"] * 20, seconds=60)
    check("20 transfers of curl at once", out.split() == [b"200"] * 20, (out, err))
    connections = [clients.connect() for _ in range(4)]
    for connection in connections:
        connection.sendall(b"POST /stream HTTP/1.1\r\nHost: device\r\nContent-Length: 20\r\n\r\n0123456789")
    begun = [receive(connection, b"0123456789") for connection in connections]
    for connection in connections:
        connection.sendall(b"abcdefghij")
    ended = [receive(connection, b"\r\n0\r\n\r\n") for connection in connections]
    check("4 echoes step by step", all(b"abcdefghij" in end for end in ended), (begun, ended))
    for connection in connections:
        connection.sendall(GET)
    began = uptime([receive(connection, b"}}\n") for connection in connections][0])
    seconds = uptime(clients.exchange(GET, until=b"}}\n")) - began
    check("an idle connection makes room for a newcomer", 0 <= seconds < 1.5, seconds)
    gone = [receive(connection, seconds=5) for connection in connections]
    check("idle connections end by a FIN", gone == [b"<FIN>"] * 4, gone)
    began = uptime(clients.curl("/status")[0])
    connections = [clients.connect() for _ in range(4)]
    for connection in connections:
        connection.sendall(b"GET / HT")
    seconds = uptime(clients.exchange(GET, until=b"}}\n")) - began
    check("a newcomer is served beside 4 slow heads", 0 <= seconds < beside_slow_heads, seconds)
    for connection in connections:
        connection.close()


def polite_client(clients, requests):
    """Makes so many requests on one connection, and on another one when it was closed between two of them. How many were
    answered."""
    answered, connection = 0, None
    while answered < requests:
        is_fresh = connection is None
        connection = connection or clients.connect()
        try:
            connection.sendall(GET)
            out = receive(connection, b"}}\n")
        except ConnectionError:
            out = b"<RESET>"
        if out.endswith(b"}}\n"):
            answered += 1
        elif is_fresh or out not in (b"<FIN>", b"<RESET>"):
            return out
        if b"Connection: close" in out or not out.endswith(b"}}\n"):
            connection.close()
            connection = None
    return answered


def at_once(count, client):
    with ThreadPoolExecutor(count) as pool:
        return [task.result() for task in [pool.submit(client) for _ in range(count)]]


def check_deadlines(clients):
    """What ends a connection on which nothing happens."""
    for name, request, expected, least, most in (
        ("a client that says nothing", b"", b"<FIN>", 4.9, 7),
        ("an idle client", GET, b"}}\n<FIN>", 1.9, 4),
    ):
        began = uptime(clients.curl("/status")[0])
        out = clients.exchange(request, until=None)
        seconds = uptime(clients.curl("/status")[0]) - began
        check(f"{name} is closed", out.endswith(expected) and least < seconds < most, (out, seconds))


# The figure depends on where interrupts come in.
STACK_STEP = 64
SIZES = "docs/sizes.md"


def check_stack(image, program, board, used, is_written):
    """Compares the depth of the stack with the row in docs/sizes.md, or writes that."""
    row = f"`bare-metal-{program}` on `{board}`"
    held, used = held_by_main(image), math.ceil(used / STACK_STEP) * STACK_STEP
    with open(SIZES, encoding="utf-8") as file:
        text = file.read()
    with open(image, "rb") as file:
        compiler = re.search(rb"rustc version ([\w.-]+)", file.read())
    there = re.search(rf"^\| {re.escape(row)} \| ([\d ]+) \| ([\d ]+) \| [\d ]+ \|$", text, re.M)
    told = [int(cell.replace(" ", "")) for cell in there.groups()] if there else [0, 0]
    if is_written:
        line = f"| {row} | {held:,} | {used:,} | {used - held:,} |".replace(",", " ")
        if there:
            text = text.replace(there[0], line)
        else:
            text = re.sub(r"(\| stack of .*\n\|---.*\n)", lambda head: f"{head[1]}{line}\n", text)
        with open(SIZES, "w", encoding="utf-8") as file:
            file.write(text)
    elif compiler and f"rustc {compiler[1].decode()}" not in text:
        print(f"The stack is not compared: {SIZES} was written with another compiler.")
    else:
        is_right = abs(told[1] - used) <= 2 * STACK_STEP and abs(told[0] - held) <= STACK_STEP
        check(f"the stack is as deep as {SIZES} says, or .ci/demos --write {program} … writes it", is_right, (told, [held, used]))
    print(f"stack: {used} bytes, {held} of them held by main", flush=True)


def main():
    serve = "--serve" in sys.argv
    is_written = "--write" in sys.argv
    program, emulator, board, image = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    with Machine(emulator, board, image, network=program != "uart") as machine:
        clients = Clients(machine.port)
        if serve:
            print(f"{program} on {board}: {clients.url}/", flush=True)
            signals = (signal.SIGINT, signal.SIGTERM)
            signal.pthread_sigmask(signal.SIG_BLOCK, signals)
            signal.sigwait(signals)
            return 0
        {"uart": check_uart, "net": check_net, "embassy": check_embassy}[program](clients)
        check("the program still runs", machine.is_running())
        used, left = machine.stack_bytes()
        check(f"the stack keeps clear of the data: {left} bytes between them were never used", left >= 1024)
        check_stack(image, program, board, used, is_written)
    print(f"{failures} answers were wrong" if failures else "all answers were right")
    return failures > 0


sys.exit(main())
