"""The page into which a clip is dropped, and the server that hands it out."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import gradio
import uvicorn
from fastapi import FastAPI, Request, Response
from markupsafe import Markup

from model.demo.clip_page import clip_page
from model.inference.predict import TrainedModel
from pipeline.dataset.clip import Clip
from pipeline.errors import ClipError, UserError
from pipeline.messages import printable

# The browser fetches nothing from elsewhere, whatever Gradio's page asks for.
POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:"
FONTS = ["ui-sans-serif", "system-ui", "sans-serif"]  # of the machine; Gradio's own are on the net
NO_TRIMMING = 'button[aria-label^="Trim"] { display: none; }'  # as it is by code from the net
SWEEP_S, KEPT_S = 600, 3600  # how often uploads are looked through, and how old they get
GRACE_S = 1  # an open page never hangs up
# No script runs within, whatever a clip is called; the frame is as high as its page.
WITHIN = Markup(
    '<iframe title="{}" srcdoc="{}" sandbox="allow-same-origin" style="width: 100%; border: 0"'
    ' onload="const within = this.contentDocument.body;'
    " new ResizeObserver(() => this.style.height = within.offsetHeight + 'px').observe(within)\">"
    "</iframe>"
)


def serve(model: TrainedModel, host: str, port: int, began: Callable[[str], object]) -> None:
    """Hand out the page until Ctrl-C; what was uploaded goes with it.

    began: told the address, once it answers. Raises UserError where the address can't be had.
    """
    try:
        door = socket.create_server((host, port))
    except OSError as error:
        raise UserError(f"can't listen on {host}:{port}: {error.strerror}") from error
    with door, TemporaryDirectory(prefix="smp-demo-") as uploads, suppress(KeyboardInterrupt):
        server = server_of(model, uploads)
        began(f"http://{host}:{door.getsockname()[1]}")
        server.run(sockets=[door])


def server_of(model: TrainedModel, uploads: str) -> uvicorn.Server:
    """The server, to run on a socket. uploads: the folder for what is dropped in."""
    os.environ |= {"GRADIO_TEMP_DIR": uploads, "GRADIO_ANALYTICS_ENABLED": "False"}
    app = FastAPI(openapi_url=None)
    app.middleware("http")(_with_policy)
    about = {
        "theme": gradio.themes.Base(font=FONTS, font_mono=["ui-monospace", "monospace"]),
        "css": NO_TRIMMING,
        "footer_links": [],
        "run_history": False,
        "ssr_mode": False,
    }
    gradio.mount_gradio_app(app, _page(model), path="/", **about)
    return uvicorn.Server(
        uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=GRACE_S)
    )


def _page(model: TrainedModel) -> gradio.Blocks:
    about = {"analytics_enabled": False, "delete_cache": (SWEEP_S, KEPT_S)}
    with gradio.Blocks(title=model.run.name, **about) as page:
        gradio.Markdown(f"# {model.run.name}")
        with gradio.Row():
            with gradio.Column():
                video = gradio.Video(label="Clip", sources=["upload"])
                text = gradio.Textbox(label="What is said", lines=3)
                button = gradio.Button("Predict", variant="primary")
            with gradio.Column(scale=2):
                said = gradio.HTML(label="Prediction")
        button.click(partial(answer, model), [video, text], said)
    return page


def answer(model: TrainedModel, video: str | None, text: str) -> str:
    """What is shown of a clip: its page in a frame, or the one line of why there is none."""
    clip = Clip(Path(video).name if video else "no clip", video=video, text=text)
    try:
        return WITHIN.format(clip.id, clip_page(model, clip))
    except (ClipError, UserError) as error:
        return Markup('<p role="alert">{}</p>').format(printable(str(error)))


async def _with_policy(
    request: Request, respond: Callable[[Request], Awaitable[Response]]
) -> Response:
    response = await respond(request)
    response.headers["Content-Security-Policy"] = POLICY
    return response
