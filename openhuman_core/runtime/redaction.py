"""What is covered in whatever is logged: by the key that a value stands under, and by the shape that it has.

Rather too much is covered than too little. Every pattern takes a time in proportion to the text; none is compiled
before it is used.
"""

from __future__ import annotations

import base64
import json
import os
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

COVER = "[redacted]"
# So many texts, of at most so many characters, are known to hold nothing, and as many to hold no token: calls are
# logged, and fail, in nearly the same words.
MAX_CLEAN, CLEAN_LENGTH = 1000, 200
_clean: set[str] = set()
_tokenless: set[str] = set()
# Enough of an id to tell a few apart, and too little to use one; our own stays whole.
ID_LENGTH = 8
SHORTEST_CARD = 13  # digits
CORRELATION_ID = "correlationId"
# A person's name is often in it.
_HOME = os.path.expanduser("~")  # noqa: PTH111 - Path's raises where there is none
# A secret under 8 characters is covered where it stands alone; one under 4 not at all, since every text holds it.
LONG_ENOUGH, TOO_SHORT = 8, 4
# What browsers leave of a secret in a URL as it is.
_KEPT_IN_URLS = ";,/?:@&=+$!'()*~#"

# Any of these in a key, whatever its spelling, makes it one of a secret or of personal data.
_STEM = (
    r"token|secret|passw|passphrase|passcode|pwd|credential|authorization|cookie|apikey|privatekey|accesskey|signature"
    r"|keymaterial|bearer|jwt|fingerprint|mail|coupon|paymentmethod|cardnumber|cardholder|cvc|cvv|iban|accountnumber"
    r"|phone|mobile|firstname|lastname|surname|fullname|username|displayname|telegram|address|street|postalcode|birth"
    r"|recipient|payload|metadata|billingdetails|csrf|xsrf|totp|sessid|sessionid|oauth|authkey|authcode|pincode|creds"
    r"|pass$|last4$"
)
# So does one of these as its last word, unless a harmless one stands before it: an exit code is no coupon's.
_LAST_WORD = (
    r"keys?|codes?|auth|session|sid|pin|otp|name|user|login|pass|line[12]|city|zip|card|last4|nonce|salt|tel|ssn|pan"
    r"|holder|sig|ips?|pw|dob|seed|mnemonic"
)
_HARMLESS = ("exit", "status", "error", "return", "country", "currency", "host", "file", "logger", "thread", "method")
_WORDS = r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+\d*|\d+"

# Where a word begins, also behind what a text inside another text writes for a line end, and percent-encoded.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))"
# Under these the key of what stands under `value` may stand.
_NAMES_VALUE = ("name", "key", "header", "field")
_NAMED = r"\\{0,8}[\"']{0,3}([\w-]{1,64})"
_QUOTE = r"(?<!\\)(\\{0,8}+)(\"\"\"|'{3}|[\"'])"
# What closes a key, and what stands between it and its value: in a query (with the brackets of a form), in JSON, also
# inside of JSON, in code and in XML; then between the two of a pair, where the second is no key itself; then encoded.
_CLOSED = r"(?:\]|%5[Dd])?(?:\[\w{0,32}\]|%5[Bb]\w{0,32}%5[Dd]){0,3}(?:\\{0,8}[\"'])?\]?"
_ASSIGNED = rf"{_CLOSED}\s{{0,64}}(?:=?>|[:=!]={{1,2}}|[:=])\s{{0,64}}"
_PAIRED = r"\\{0,8}[\"']\s{0,4},\s{0,4}(?=b?\\{0,8}[\"'])(?!b?\\{0,8}[\"'][^\"'\\]{0,64}\\{0,8}[\"']\s{0,64}[:=])"
_ENCODED = r"(?:%2[27])?%3[AaDd]"
_KEYED = rf"{_START}([A-Za-z_][\w-]{{0,63}}+)(?![\w-])({_ASSIGNED}|{_PAIRED}|{_ENCODED})(?:[BbRrUuFf]{{1,2}}(?=[\"']))?"
# How far a value without quotes goes, by the first and by the last character that stand before it.
_BARE = {'"': r"[^\s,}\])]*+", "%": r"[^\s\"'&]*+", "=": r"[^\s&\"'<>]*+", ">": r"[^<\n]*+", ":": r"[^\n]*+"}

# Scheme, host with what may stand before it, and the rest; a slash may be escaped.
_LINK = r"([a-z][a-z0-9+.-]{0,15}:(?:\\?/){2})([^\s\"'<>\\/?#]*+)((?:[^\s\"'<>\\]|\\/)*+)"
_TOKEN = (
    r"eyJ[\w-]{16,}+(?:\.[\w-]*+){0,4}|eyJ[\w-]++\.[\w-]++(?:\.[\w-]*+){0,3}"  # a JWT, also one that is cut short
    rf"|{_START}(?:[spr]k_|sk-|ohk_)[\w-]{{6,}}+|{_START}whsec_[\w+/=-]{{6,}}+"  # keys, as others make them too
    rf"|{_START}(?:pi|seti)_[A-Za-z0-9]{{1,64}}+_secret_[\w-]++"  # what confirms a payment
    r"|(?i:(?<=bearer )[\w.~+/=-]++|(?<=bearer)(?! \w)(?:[\s\xa0]|%20){1,4}+[\w.~+/=-]++|(?<=basic )[\w+/=-]{8,}+"
    r"|(?:(?<=token=)|(?<=secret=)|(?<=password=))[^\s&\"'<>]++)"
)
_SHAPES = (
    rf"{_TOKEN}|{_START}(?:pi|seti|cs|pm|cus|ch|tok|src|sub|acct)_(?=[A-Za-z_]{{0,64}}\d)[\w-]{{6,}}+"
    r"|(?<![\w.+-])(?!(?<=%)2[Bb])(?:[\w.+-]|%2[Bb])++(?:@|%(?:25)?40|\\u0040)\w[\w.-]*+"  # an e-mail address
    r"|(?<=\?)[^\s\"']++|(?i:https?%3a%2f%2f[^\s\"']++)"  # a query with a fragment, an encoded link
    r"|(?P<path>(?:(?<=GET |PUT )|(?<=HEAD |POST )|(?<=PATCH )|(?<=DELETE ))/[^\s\"']*+(?:\ HTTP/)?)"
    r"|(?P<card>(?<!\d)[2-6](?:(?:[ \t\xa0+-]|%20)?\d){12,18}(?!\d))"
    r"|(?P<run>(?<![\w+=-])[\w+=-]{24,}+)"
)


class Covered(str):
    """A part of a text that was covered as a whole."""

    __slots__ = ()


def covered(value: Any, key: str = "") -> Any:
    """Give what may be logged of a value under `key`, in the types of JSON; an exception's message is not told."""
    kind = _kind(key)
    if value is None or isinstance(value, bool | Covered) or key == CORRELATION_ID:
        return value
    if kind == "secret":
        return COVER
    if not isinstance(value, str):
        if isinstance(value, Mapping):
            return _covered_members(value)
        if isinstance(value, list | tuple | set | frozenset):
            return _covered_items([*value], key)
        plain = _text(type(value) if isinstance(value, BaseException) else value)
        if isinstance(value, int | float) and (len(plain) < SHORTEST_CARD or redact(plain) == plain):
            return value
        value = plain
    told = redact(value)
    return _shortened(told) if kind == "id" else told


def _covered_members(value: Mapping[Any, Any]) -> dict[str, Any]:
    """Cover by name; what stands under `value` goes by the name that stands beside it."""
    members = {_text(name): member for name, member in value.items()}
    named = next((_text(member) for name, member in members.items() if name.lower() in _NAMES_VALUE), "")
    keys = {name: named if name.lower() == "value" else name for name in members}
    return {redact(name): covered(member, keys[name]) for name, member in members.items()}


def _covered_items(items: list[Any], key: str) -> list[Any]:
    """Cover what stands in a row under a key; the first of two, as of a header, may name the second."""
    keys = [key] * len(items)
    if len(items) == 2 and isinstance(items[0], str | bytes) and _kind(_text(items[0])) == "secret":  # noqa: PLR2004
        keys[1] = _text(items[0])
    return [covered(item, its_key) for item, its_key in zip(items, keys, strict=True)]


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def redact(text: str) -> str:
    """Cover what stands in a text under the key of a secret, or has the shape of one."""
    if text in _clean:
        return text
    told = text.replace(_HOME, "~") if len(_HOME) > 1 else text
    told = re.sub(_LINK, _host_only, told, flags=re.IGNORECASE)
    told = re.sub(_SHAPES, _cover_shape, _cover_keyed(told))
    return _remember(_clean, text, told)


def _remember(harmless: set[str], text: str, told: str) -> str:
    """Give what may be told of a text; one that is told as it is need not be searched again."""
    if told == text and len(text) <= CLEAN_LENGTH:
        if len(harmless) >= MAX_CLEAN:
            harmless.clear()
        harmless.add(text)
    return told


def trace_of(problem: BaseException | None) -> str:
    """Tell where an exception came from; its message may hold anything, so it is not told."""
    lines, left, seen = [], [problem], set()
    while left:
        if (problem := left.pop()) is None or id(problem) in seen:  # a group may be what its own member came from
            continue
        seen.add(id(problem))
        lines.append(f"{type(problem).__module__}.{type(problem).__qualname__}")
        lines += [f"  {f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(problem.__traceback__)]
        left.append(problem.__cause__ or problem.__context__)
        left += reversed(problem.exceptions if isinstance(problem, BaseExceptionGroup) else ())
    return "\n".join(lines)


def without_tokens(value: Any, secrets: Iterable[str] = ()) -> Any:
    """Cover in a JSON value what no caller is told: these secrets, whoever repeats them, and whatever is a token.

    What is inside the value is changed in place.
    """
    covered_in = _covering(secrets)
    whole = [value]
    left: list[Any] = [whole]
    while left:  # details may be nested deeper than functions can be
        members = left.pop()
        if isinstance(members, dict) and any(covered_in(name) != name for name in members):
            named = {covered_in(name): member for name, member in members.items()}
            members.clear()
            members.update(named)
        for at, member in [*(members.items() if isinstance(members, dict) else enumerate(members))]:
            if isinstance(member, str):
                members[at] = covered_in(member)
            elif isinstance(member, dict | list):
                left.append(member)
    return whole[0]


def _covering(secrets: Iterable[str]) -> Callable[[str], str]:
    """Make what covers these secrets and whatever is a token in a text."""
    forms = sorted({form for secret in secrets for form in _spellings(secret)}, key=len, reverse=True)
    if not forms:
        return _without_token
    long = [form for form in forms if len(form) >= LONG_ENOUGH]
    short = [rf"(?<!\w){re.escape(form)}(?!\w)" for form in forms if TOO_SHORT <= len(form) < LONG_ENOUGH]
    pattern = re.compile("|".join([*short, _TOKEN]))

    def cover(text: str) -> str:
        for form in long:  # a pattern of a long one would take seconds to compile
            text = text.replace(form, COVER)
        return pattern.sub(COVER, text)

    return cover


def _spellings(secret: str) -> Iterator[str]:
    """Give the forms in which a text may repeat a secret."""
    yield base64.b64encode(secret.encode()).decode().rstrip("=")
    in_json = json.dumps(secret)[1:-1]
    yield from (secret, in_json, in_json.replace("/", "\\/"))
    for encoded in (quote(secret, safe=""), quote(secret), quote_plus(secret), quote(secret, safe=_KEPT_IN_URLS)):
        yield encoded
        yield re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), encoded)


def _without_token(text: str) -> str:
    return text if text in _tokenless else _remember(_tokenless, text, re.sub(_TOKEN, COVER, text))


@lru_cache(maxsize=1024)
def _kind(key: str) -> str:
    """Tell whether a `secret` (or personal data), or an `id` stands under a key, however the key is spelled."""
    words = ["", "", *(word.lower() for word in re.findall(_WORDS, key[:128]))]
    if words[-1].isdigit():  # the second of its kind
        words.pop()
    *_, before, last = words
    squeezed = re.sub(r"[\W_]", "", key[:128]).lower()
    is_last = re.fullmatch(_LAST_WORD, last) or re.fullmatch(_LAST_WORD, last.rstrip("0123456789"))
    if re.search(_STEM, squeezed) or (is_last and before not in _HARMLESS):
        return "secret"
    return "id" if last in ("id", "ids") else ""


def _shortened(text: str) -> str:
    return text if len(text) <= ID_LENGTH or text == COVER else f"{text[:ID_LENGTH]}…"


def _cover_keyed(text: str) -> str:
    keys, at, done, parts, named = re.compile(_KEYED), 0, 0, [], ""
    while key := keys.search(text, at):
        at = key.end()
        if text.startswith(COVER, at):  # to look for its end would take a look at the whole rest
            at += len(COVER)
            continue
        before = text[max(0, key.start() - 10) : key.start()].rstrip(" _-").lower()
        name = named if key[1].lower() == "value" else key[1]
        kind = _kind(f"exit {name}" if before.endswith(_HARMLESS) else name)
        if key[1].lower() in _NAMES_VALUE and (found := re.compile(_NAMED).match(text, at)):
            named = found[1]
        start, end = _value(text, key) if kind else (at, at)
        if start < end and not text.startswith(COVER, start):
            parts += [text[done:start], COVER if kind == "secret" else _shortened(text[start:end])]
            at = done = end
    return "".join([*parts, text[done:]])


def _value(text: str, key: re.Match[str]) -> tuple[int, int]:
    """Give where the value behind a key begins and ends."""
    opening = re.compile(_QUOTE).match(text, key.end())
    if opening:
        closing = (quote for quote in re.compile(_QUOTE).finditer(text, opening.end()) if quote[2] == opening[2])
        ends = (quote.start() for quote in closing if len(quote[1]) <= len(opening[1]))
        return opening.end(), next(ends, len(text))
    separator = key[2].strip().replace("'", '"').lstrip("\\")
    pattern = _BARE.get(separator[0]) if separator[0] in '"%' else _BARE.get(separator[-1])
    if re.compile(r"\w{0,64}[\[{(]").match(text, key.end()) or re.search("cookie|auth", key[1], re.IGNORECASE):
        pattern = None
    bare = re.compile(pattern or _BARE[":"]).match(text, key.end())
    return key.end(), bare.end() if bare else key.end()


def _host_only(link: re.Match[str]) -> str:
    """Leave of a link what tells where it leads: what stands before the host and behind it may be a secret."""
    before, at, host = link[2].rpartition("@")
    return f"{link[1]}{COVER if before else ''}{at}{host}{link[3] if link[3] in ('', '/') else f'/{COVER}'}"


def _cover_shape(shape: re.Match[str]) -> str:
    text = shape[0]
    match shape.lastgroup:
        case "path" if text.endswith(" HTTP/"):
            return f"/{COVER} HTTP/"  # a request line has no template
        case "path":
            return "/".join(
                part if re.fullmatch(r"[A-Za-z-]{0,24}|\{\w+\}", part) else COVER for part in text.split("/")
            )
        case "card" if not _is_card_number(re.sub(r"%20|\D", "", text)):
            return text
        case "run" if re.fullmatch(r"(?=.*\d)[0-9a-fA-F-]{24,}", text):
            return _shortened(text)
        case "run" if not all(re.search(kind, text) for kind in ("[a-z]", "[A-Z]", r"\d")):
            return text  # it does not look random
    return COVER


def _is_card_number(digits: str) -> bool:
    """Check the last digit of a card's number (ISO/IEC 7812-1, annex B)."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0
