"""A site with responses of all kinds, on Starlette, that records by docs/backends.md's page_views.py."""

from page_views import PageViews
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

RESPONSES = {
    "/accepted": (202, "text/html"),
    "/broken": (500, "text/html"),
    "/data": (200, "application/json"),
    "/missing": (404, "text/html"),
    "/moved": (302, "text/html"),
    "/style.css": (200, "text/css"),
}


async def respond(request):
    if request.url.path == "/unchanged":
        return Response(status_code=304)
    status, media_type = RESPONSES.get(request.url.path, (200, "text/html"))
    return Response("text", status, media_type=media_type)


app = Starlette(routes=[Route("/{path:path}", respond, methods=["GET", "HEAD", "POST"])])
app.add_middleware(PageViews)
