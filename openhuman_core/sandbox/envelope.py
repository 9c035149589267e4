"""What the sandbox answers with: the hosted API's envelope, its refusals, and the page for a route it does not have."""

from html import escape
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, Response


class Refusal(Exception):
    """A request that is turned down: an HTTP status, a reason to read and a code to match on."""

    def __init__(self, status: int, reason: str, code: str, **details: Any) -> None:
        super().__init__(reason)
        self.answer = JSONResponse({"success": False, "error": reason, "errorCode": code, **details}, status)


def invalid(name: str, rule: str) -> Refusal:
    """Refuse one member of a body or of a query."""
    return Refusal(400, f"{name} {rule}", "VALIDATION_ERROR", details=[{"path": name, "message": rule}])


def page(title: str, content: str, status: int = 200) -> Response:
    """Answer with a page, of which `content` is HTML."""
    head = f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title></head>\n'
    return HTMLResponse(f"{head}<body>\n{content}\n</body></html>\n", status)


def cannot(verb: str, path: str) -> Response:
    """Answer as Express does where no route matches."""
    return page("Error", f"<pre>Cannot {escape(verb)} {escape(path)}</pre>", 404)
