# The application of rows/fastapi.mjs, as users of FastAPI write it. Prints its port; ends when its input does.
import asyncio
import os
import socket
import threading
import time

import fastapi
import uvicorn
from fastapi import BackgroundTasks, FastAPI, Response

app = FastAPI()
lock = threading.Lock()
done = 0


def count():
    global done
    with lock:
        done += 1


def busy(milliseconds):
    end = time.perf_counter() + milliseconds / 1000
    while time.perf_counter() < end:
        pass


async def wait(milliseconds):
    await asyncio.sleep(milliseconds / 1000)
    count()


def compute(milliseconds):
    busy(milliseconds)
    count()


async def compute_on_the_loop(milliseconds):
    busy(milliseconds)
    count()


@app.get("/ping")
async def get_ping():
    return Response(status_code=204)


@app.get("/wait/{milliseconds}", status_code=202)
async def get_wait(milliseconds: int, background_tasks: BackgroundTasks):
    background_tasks.add_task(wait, milliseconds)
    return {"message": "Accepted"}


@app.get("/compute/{milliseconds}", status_code=202)
async def get_compute(milliseconds: int, background_tasks: BackgroundTasks):
    background_tasks.add_task(compute, milliseconds)
    return {"message": "Accepted"}


@app.get("/compute-on-the-loop/{milliseconds}", status_code=202)
async def get_compute_on_the_loop(milliseconds: int, background_tasks: BackgroundTasks):
    background_tasks.add_task(compute_on_the_loop, milliseconds)
    return {"message": "Accepted"}


@app.get("/done")
async def get_done():
    return {"done": done, "versions": f"FastAPI {fastapi.__version__}, uvicorn {uvicorn.__version__}"}


def end_with_input():
    os.read(0, 1)
    os._exit(0)


threading.Thread(target=end_with_input, daemon=True).start()
listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
print(listening.getsockname()[1], flush=True)
# Connections are kept while other sides are measured.
config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_keep_alive=120)
uvicorn.Server(config).run(sockets=[listening])
