"""Secrets and personal data that are marked, so that each byte of them is found again, and accidents that log them."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

# Letters alone, and none of those of hexadecimal digits: nothing else in a log looks so.
_LETTERS = "ghjkmnpqrtvwxz"
TOKENS = frozenset({"session", "login", "apikey", "secret", "webhook"})
PERSONAL = frozenset({"mail", "card", "coupon", "name", "street", "link", "header", "key", "id", "file"})

# Runs in each program before its own code: what its libraries and its own mistakes might log, they log.
_ACCIDENTS = """
import itertools, json, logging, pathlib, sys, threading, traceback, warnings
import aiohttp
from openhuman_core import app
from openhuman_core.runtime import redaction
plan = json.loads(pathlib.Path(__file__).with_name("accidents.json").read_text())
if plan["uncovered"]:
    redaction.covered = lambda value, key="": value
    redaction.redact = lambda text: text
    redaction.trace_of = lambda problem: "".join(traceback.format_exception(problem))

class Leaving:
    def __del__(self):
        raise LookupError(*plan["texts"])

def crash(*_, **__):
    raise ValueError(*plan["texts"])

async def request(*_, **options):
    raise RuntimeError(*plan["texts"], options)

names = itertools.cycle(["httpx", "httpcore.http11", "aiohttp.client", "asyncio", "a.library"])

def happen():
    ours = logging.getLogger("openhuman_core")
    for text in plan["texts"]:
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            ours.log(level, "%s", text)
        ours.error("%r", [text.encode(), {"text": text}])
        ours.error("extra", extra={"field": {"a": [(text,), {text: 1}]}, "raw": text.encode()})
        name = next(names)
        logging.getLogger(name).warning("%s", text)
        try:
            raise ValueError(text)
        except ValueError as problem:
            ours.error("bug", exc_info=problem, stack_info=True)
            logging.getLogger("asyncio").error("never retrieved", exc_info=True)
            ours.error("extra", extra={"problem": problem})
        ours.error(text.replace("%", "%%") + " %d", text)
        warnings.warn(text, stacklevel=1)
        if "serve" in sys.argv:
            print("x" * 4080, text, file=sys.__stdout__)
    for fields in plan["fields"]:
        ours.debug("fields", extra={"fields": fields})
        ours.error("fields", extra={"fields": fields})
        ours.error("fields", extra={f"extra_{name}": value for name, value in fields.items()})
        ours.error("fields %s %r", json.dumps(fields), fields)
    thread = threading.Thread(target=crash)
    thread.start()
    thread.join()
    Leaving()

begin = app.App.__init__
def begin_with_accidents(self, settings):
    begin(self, settings)
    happen()

app.App.__init__ = begin_with_accidents
if plan["breaks"]:
    aiohttp.ClientSession.request = request
"""


@dataclass(frozen=True)
class Canary:
    """The marked values of one run; each kind has a mark of its own."""

    mark: str = field(default_factory=lambda: "".join(random.choices(_LETTERS, k=9)))  # noqa: S311 - none to keep
    card: str = field(default_factory=lambda: _card_number("4" + "".join(random.choices("0123456789", k=14))))  # noqa: S311

    def of(self, kind: str) -> str:
        """Give the mark of a kind."""
        return f"{self.mark}{kind}"

    @property
    def session(self) -> str:
        """A session token whose subject and signature are marked."""
        return self._jwt("session")

    @property
    def login(self) -> str:
        """A login token."""
        return self._jwt("login")

    @property
    def api_key(self) -> str:
        """An API key."""
        return f"sk_live_{self.of('apikey')}"

    @property
    def email(self) -> str:
        """An address, whose name and host are marked."""
        return f"ada.{self.of('mail')}+x@{self.of('mail')}.example"

    @property
    def link(self) -> str:
        """A payment link with secrets in all of its parts."""
        part = self.of("link")
        return f"https://{part}:{part}@pay.example/c/{part}/cs_live_{part}?token={part}&x={part}#{part}"

    @property
    def everything(self) -> dict[str, Any]:
        """Give what the hosted API might say, or a caller might send."""
        return {
            "jwtToken": self.session,
            "login_token": self.login,
            "apiKey": self.api_key,
            "clientSecret": f"seti_1{self.of('secret')}_secret_{self.of('secret')}",
            "webhook-secret": f"whsec_{self.of('webhook')}",
            "email": self.email,
            "couponCode": self.of("coupon"),
            "code": self.of("coupon"),
            "paymentMethodId": f"pm_1{self.of('card')}",
            "cardNumber": self.card,
            "url": self.link,
            "hostedUrl": self.link,
            "checkoutUrl": self.link,
            "portalUrl": self.link,
            "gatewayTransactionId": f"64b7f8a1-{self.of('id')}",
            "_id": f"64b7f8a1-{self.of('id')}",
            "billingDetails": {
                "name": f"Ada {self.of('name')}",
                "address": {"line1": f"1 {self.of('street')} Street", "city": self.of("street")},
            },
            "firstName": self.of("name"),
            "username": self.of("name"),
            "idempotencyKey": self.of("key"),
        }

    @property
    def params(self) -> dict[str, Any]:
        """Give a marked value for each param that takes one."""
        an_id = f"64b7f8a1-{self.of('id')}"
        names = ("teamId", "userId", "user_id", "inviteId", "keyId", "seatId", "gatewayTransactionId")
        return {
            **dict.fromkeys(names, an_id),
            **dict.fromkeys(("code", "couponCode", "plan", "interval", "deviceFingerprint"), self.of("coupon")),
            **dict.fromkeys(("successUrl", "cancelUrl", "returnUrl"), self.link),
            **dict.fromkeys(("payload", "metadata", "user"), self.everything),
            "paymentMethodId": f"pm_1{self.of('card')}",
            "email": self.email,
            "name": f"Ada {self.of('name')}",
            "token": self.session,
            "loginToken": self.login,
            "allowedIps": [self.of("street")],
            "agentIds": [an_id],
            "expiresAt": self.of("street"),
        }

    @property
    def texts(self) -> dict[str, str]:
        """Give texts that hold each secret in a form by which it can be known, by that form's name."""
        quoted = json.dumps(self.everything)
        return {
            "json": quoted,
            "json in json": json.dumps(quoted),
            "python": repr(self.everything),
            "headers": f"Authorization: Bearer {self.session}\nCookie: sid={self.of('header')}; b={self.of('header')}",
            "raw headers": repr([(b"set-cookie", f"sid={self.of('header')}; Secure".encode()), (b"x", b"y")]),
            "request": repr(f"POST / HTTP/1.1\r\nx-api-key: {self.api_key}\r\nCookie: sid={self.of('header')}\r\n"),
            "query": f"GET /pay?code={self.of('coupon')}&token={self.of('login')}#{self.of('link')}",
            "encoded": quote(quoted, safe=""),
            "link": f"HTTP Request: GET {self.link} 200",
            "encoded link": f"back to {quote(self.link, safe='')}",
            "path": f'"GET /teams/{self.of("id")}/members HTTP/1.1" 200',
            "jwt": f"refused {self.session} of {self.login}",
            "keys": f"saw {self.api_key}, whsec_{self.of('webhook')} and seti_1{self.of('secret')}_secret_x1",
            "address": f"invited {self.email}, and {quote(self.email, safe='')}",
            "card": f"paid with {self.card}, {_in_fours(self.card, ' ')} and {_in_fours(self.card, '-')}",
            "pairs": f"token={self.of('login')} --coupon-code={self.of('coupon')} name: Ada {self.of('name')}",
        }

    def found_in(self, data: bytes) -> set[str]:
        """Name the kinds of which any byte that counts is in `data`, whatever its spelling."""
        small = data.lower()
        kinds = {kind for kind in TOKENS | PERSONAL if self.of(kind).lower().encode() in small}
        cards = (self.card, _in_fours(self.card, " "), _in_fours(self.card, "-"), _in_fours(self.card, "%20"))
        kinds |= {"card" for card in cards if card.encode() in data}
        kinds |= {kind for kind in ("session", "login") if self._jwt(kind).split(".")[1].encode() in data}
        kinds |= {"any" for shift in range(3) if _in_base64(self.mark, shift) in data}
        return kinds or ({"any"} if self.mark.encode() in small else set())

    def plant(self, directory: Path, home: Path, *, uncovered: bool = False, breaks: bool = False) -> dict[str, str]:
        """Make accidents happen in each program that is given the variables that this gives.

        `uncovered` switches the redaction off, `breaks` makes each request fail in a way that nobody foresaw.
        """
        directory.mkdir(parents=True, exist_ok=True)
        texts = [*self.texts.values(), f"opened {home}/file"]
        plan = {"texts": texts, "fields": [self.everything], "uncovered": uncovered, "breaks": breaks}
        (directory / "accidents.json").write_text(json.dumps(plan))
        (directory / "sitecustomize.py").write_text(_ACCIDENTS)
        return {"PYTHONPATH": str(directory)}

    def _jwt(self, kind: str) -> str:
        claims = json.dumps({"sub": self.of(kind), "email": self.email}).encode()
        payload = base64.urlsafe_b64encode(claims).decode().rstrip("=")
        return f"eyJhbGciOiJIUzI1NiJ9.{payload}.{self.of(kind)}"


def _card_number(digits: str) -> str:
    """Add the last digit, by which a card's number is known as one."""
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[::-2]]
    return f"{digits}{-(sum(doubled) + sum(int(digit) for digit in digits[-2::-2])) % 10}"


def _in_fours(card: str, separator: str) -> str:
    return separator.join(card[at : at + 4] for at in range(0, 16, 4))


def _in_base64(text: str, shift: int) -> bytes:
    """Give what stands for a text in the base64 of something that holds it `shift` bytes behind a group of three."""
    encoded = base64.b64encode(b"\0" * shift + text.encode())
    return encoded[(shift * 8 + 5) // 6 : -4]
