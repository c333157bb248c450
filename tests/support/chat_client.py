"""A member of the example `chat` by the package `websockets`: chat_client.py HOST:PORT

Joins with different offers of permessage-deflate, and without any, and hears what it says. Exits with status 77 if the package is not
installed."""

import asyncio
import random
import sys

try:
    import websockets
    from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory as Deflate
except ImportError:
    sys.exit(77)

OFFERS = [
    None,
    Deflate(),
    Deflate(client_max_window_bits=None),
    Deflate(server_no_context_takeover=True, client_no_context_takeover=True),
    Deflate(server_max_window_bits=9, client_max_window_bits=10),
    Deflate(server_max_window_bits=15, client_max_window_bits=15),
]
WORDS = ["tick", "tock", "grüß", "dich", "🎉", "\n", "{\"id\":1}"]


def texts():
    chance = random.Random(7692)
    yield from ("", "a", "hello", "hello", "x" * 65_536)
    for length in (10, 100, 1_000, 5_000):
        yield " ".join(chance.choice(WORDS) for _ in range(length))
    # Does not become shorter.
    yield "".join(chr(chance.randrange(32, 126)) for _ in range(20_000))
    yield "hello"


async def converse(address, offer):
    extensions = [offer] if offer else None
    async with websockets.connect(f"ws://{address}/", compression=None, extensions=extensions) as member:
        agreed = getattr(member, "protocol", member).extensions
        assert len(agreed) == (offer is not None), agreed
        for text in texts():
            await member.send(text)
            assert await member.recv() == text
            # In fragments, each compressed on its own, and an empty one behind them.
            await member.send([text[at : at + 700] for at in range(0, len(text), 700)] or [""])
            assert await member.recv() == text
        await (await member.ping())
        if offer:
            print("agreed:", *agreed)
            # A bomb: 16 MiB in 16 KiB.
            await member.send(bytes(1 << 24))
            try:
                print("not expected:", await member.recv())
            except websockets.ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else None
                assert code == 1009, closed


async def main():
    for offer in OFFERS:
        await converse(sys.argv[1], offer)
    print("ok")


asyncio.run(main())
