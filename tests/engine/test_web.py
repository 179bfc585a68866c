"""The worker's pages come from the loop that works: when that hangs, they do not come."""

from __future__ import annotations

import asyncio
import threading
import time
import urllib.request
from urllib.error import URLError

import pytest
from aiohttp import web

from pipeline.engine.web import Web
from tests.engine.processes import free_port


async def ok(_: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def answer(port: int, path: str = "/livez", within_s: float = 1.0) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=within_s) as page:
        text: str = page.read().decode()
        return text


def test_a_loop_that_hangs_does_not_answer() -> None:
    port, up, done, loop = free_port(), threading.Event(), threading.Event(), asyncio.new_event_loop()

    async def live() -> None:
        async with Web("127.0.0.1", port, {"/livez": ok}):
            up.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=loop.run_until_complete, args=(live(),))
    thread.start()
    try:
        assert up.wait(10)
        assert answer(port) == "ok\n"
        loop.call_soon_threadsafe(time.sleep, 3.0)
        with pytest.raises((TimeoutError, URLError)):
            answer(port)
        assert answer(port, within_s=10) == "ok\n"
    finally:
        done.set()
        thread.join()
        loop.close()
