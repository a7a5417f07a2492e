"""Slow and idle callers are cut off, in time and in number; the others are served."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
import uvicorn

import serving.api.connections
from serving.api.connections import bound_connections, most_connections

ASK = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


#: who is at the other end, and who uvicorn takes for that, of the last request
LAST: dict[str, object] = {}


async def answer(scope: dict, _receive: object, send: Callable[[dict], Awaitable[None]]) -> None:
    LAST.update(client=scope["client"][0], peer=scope["state"]["peer"][0])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


def served(monkeypatch: pytest.MonkeyPatch, scene: Callable[[int], Awaitable[None]]) -> None:
    monkeypatch.setitem(uvicorn.config.HTTP_PROTOCOLS, "auto", "")
    bound_connections()
    monkeypatch.setattr(serving.api.connections, "HEADERS_SECONDS", 0.2)

    async def run() -> None:
        server = uvicorn.Server(uvicorn.Config(answer, port=0, lifespan="off", log_config=None))  # type: ignore[arg-type]
        task = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        await scene(server.servers[0].sockets[0].getsockname()[1])
        server.should_exit = True
        await task

    asyncio.run(run())


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost: te", ASK + b"GET / HTT"])
def test_headers_that_do_not_come_end_the_connection(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    async def scene(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)
        received = await asyncio.wait_for(reader.read(), 5)  # to its end, which the server makes
        assert (b"200 OK" in received) == begun.startswith(ASK)
        writer.close()

    served(monkeypatch, scene)


def test_who_asks_in_time_is_answered_on_one_connection_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(4):
            writer.write(ASK)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            await asyncio.sleep(0.1)
        writer.close()

    served(monkeypatch, scene)


def test_more_connections_than_may_be_are_closed_and_the_first_still_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving.api.connections, "MOST", 3)
    assert most_connections() == 3

    async def scene(port: int) -> None:
        kept = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), 0.15) == b""
        kept[0][1].write(ASK)
        assert (await kept[0][0].readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        for _, opened in [*kept, (reader, writer)]:
            opened.close()

    served(monkeypatch, scene)


@pytest.mark.parametrize("sent", [b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
                                  b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])  # fmt: skip
def test_what_is_no_http_is_answered_in_the_shape_of_every_error(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    async def scene(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
        writer.close()
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"content-type: application/json" in head
        assert json.loads(body).keys() == {"error", "code", "fix"}
        assert json.loads(body)["code"] == "bad_request"

    served(monkeypatch, scene)


def test_who_is_at_the_other_end_is_known_whatever_a_proxy_says(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(ASK[:-2] + b"X-Forwarded-For: 10.0.0.9\r\n\r\n")
        await reader.readuntil(b"ok")
        writer.close()

    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    served(monkeypatch, scene)
    assert LAST == {"client": "10.0.0.9", "peer": "127.0.0.1"}
