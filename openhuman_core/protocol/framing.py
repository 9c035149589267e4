"""Bytes to frames: newline-delimited or Content-Length, with a size limit and a way back after nonsense.

A decoder is fed what was read and gives what it found, in order: `bytes` for a frame, `Malformed` for what is none.
The header form is the Language Server Protocol's base protocol.
"""

from __future__ import annotations

import re
from typing import Literal

from openhuman_core.errors import InvalidRequest, ParseError
from openhuman_core.protocol.messages import Malformed, Parts

Framing = Literal["auto", "lines", "headers"]

BOM = b"\xef\xbb\xbf"
BLANK = b" \t\r\n"
# A header line longer than this is junk; the longest that occurs (a Content-Type) is under 100 bytes.
MAX_HEADER_LINE = 4096

_LENGTH = re.compile(rb"content-length[ \t]*:([^\r\n]*)$", re.IGNORECASE)
_HEADER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*:")
_NAMES = (b"content-length", b"content-type")


class Decoder:
    """Turn a stream of bytes into frames.

    When `framing` is `auto`, the first bytes that are not blank decide it: the name of one of the base protocol's
    headers means headers, anything else means lines. `max_bytes` bounds one frame; a longer one is passed over in
    constant memory.
    """

    def __init__(self, framing: Framing, max_bytes: int) -> None:
        self.framing: Framing = framing
        self.max_bytes = max_bytes
        self._buffer = bytearray()
        self._started = False
        self._skipping = 0  # bytes of an oversized body that are still to be passed over (headers)
        self._dropping = False  # inside an oversized line, up to its end (lines); inside junk (headers)
        self._need: int | None = None  # length of the body that is being read (headers)
        self._lengths: set[bytes] = set()  # what Content-Length is said to be in the header block that is being read
        self._in_block = False

    def feed(self, data: bytes) -> list[bytes | Malformed]:
        """Take the next bytes and give the frames that they complete."""
        if not self._started:
            data = self._begin(data)
            if not data:
                return []
        return self._feed_lines(data) if self.framing == "lines" else self._feed_headers(data)

    def end(self) -> list[bytes | Malformed]:
        """Give what the end of input completes: a last line needs no newline, a cut-off body is an error."""
        if self.framing == "auto":
            self.framing = "lines"
        rest = bytes(self._buffer)
        self._buffer.clear()
        if self.framing == "lines":
            return [rest] if rest.strip(BLANK) and not self._dropping else []
        if self._need is not None or self._in_block or (rest.strip(BLANK) and not self._dropping):
            return [Malformed(ParseError("the input ended inside a frame"))]
        return []

    def _begin(self, data: bytes) -> bytes:
        """Pass over a byte order mark and blank bytes, and decide the framing; nothing comes back until it is known."""
        self._buffer += data
        start = bytes(self._buffer.lstrip(BLANK).removeprefix(BOM).lstrip(BLANK))
        name = start.lower()
        if not start:
            self._buffer.clear()  # blank bytes need no memory
            return b""
        half_a_name = self.framing == "auto" and name not in _NAMES and any(n.startswith(name) for n in _NAMES)
        if half_a_name or BOM.startswith(start):
            return b""
        self._buffer.clear()
        self._started = True
        if self.framing == "auto":
            self.framing = "headers" if name.startswith(_NAMES) else "lines"
        return start

    def _feed_lines(self, data: bytes) -> list[bytes | Malformed]:
        *complete, tail = data.split(b"\n")
        if complete:
            if self._dropping:
                self._dropping = False
                del complete[0]
            elif self._buffer:
                complete[0] = bytes(self._buffer) + complete[0]
            self._buffer.clear()
        found: list[bytes | Malformed] = [
            line if len(line) <= self.max_bytes else self._too_long()
            for line in complete
            if line.strip(BLANK) or len(line) > self.max_bytes
        ]
        if not self._dropping:
            self._buffer += tail
            if len(self._buffer) > self.max_bytes:
                self._buffer.clear()
                self._dropping = True
                found.append(self._too_long())
        return found

    def _feed_headers(self, data: bytes) -> list[bytes | Malformed]:
        buffer = self._buffer
        buffer += data
        found: list[bytes | Malformed] = []
        while buffer:
            if self._skipping:
                passed = min(self._skipping, len(buffer))
                del buffer[:passed]
                self._skipping -= passed
            elif self._need is not None:
                if len(buffer) < self._need:
                    break
                found.append(bytes(buffer[: self._need]))
                del buffer[: self._need]
                self._need = None
            else:
                end = buffer.find(b"\n")
                if end < 0:
                    self._bound_partial_line(found)
                    break
                line = bytes(buffer[:end])
                del buffer[: end + 1]
                self._header_line(line.removesuffix(b"\r"), found)
        return found

    def _bound_partial_line(self, found: list[bytes | Malformed]) -> None:
        """Keep only the end of junk that has no line end: a header may begin in it."""
        if len(self._buffer) > MAX_HEADER_LINE:
            self._junk(found)
            del self._buffer[:-MAX_HEADER_LINE]

    def _header_line(self, line: bytes, found: list[bytes | Malformed]) -> None:
        """Take one line of a header block; its end, an empty line, says how long the body is."""
        if not line.strip(BLANK):
            if self._in_block:
                self._end_block(found)
            return
        is_header = _HEADER.match(line) is not None and not self._dropping
        length = _LENGTH.match(line) if is_header else _LENGTH.search(line)
        if length is not None:
            if line[: length.start()].strip(BLANK + BOM):
                self._junk(found)  # what stands before the header's name on its line is the rest of a broken frame
            self._dropping = False
            self._in_block = True
            if len(self._lengths) < 2:  # noqa: PLR2004 - two that differ are one too many, whatever else comes
                self._lengths.add(length[1].strip(BLANK))
        elif len(line) <= MAX_HEADER_LINE and _HEADER.match(line):
            self._dropping = False
            self._in_block = True
        else:
            self._junk(found)

    def _end_block(self, found: list[bytes | Malformed]) -> None:
        lengths, self._lengths, self._in_block = self._lengths, set(), False
        value = lengths.pop() if len(lengths) == 1 else b""
        if not value.isdigit() or len(value) > len(str(2**63)):
            found.append(Malformed(ParseError("a frame needs one Content-Length header that is a number of bytes")))
            self._dropping = True
        elif int(value) > self.max_bytes:
            found.append(self._too_long())
            self._skipping = int(value)
        elif int(value) == 0:
            found.append(b"")
        else:
            self._need = int(value)

    def _junk(self, found: list[bytes | Malformed]) -> None:
        """Answer a run of bytes that belong to no frame once, and forget the header block it stands in."""
        if not self._dropping:
            found.append(Malformed(ParseError("expected a Content-Length header")))
        self._dropping, self._lengths, self._in_block = True, set(), False

    def _too_long(self) -> Malformed:
        return Malformed(InvalidRequest(f"the frame is longer than {self.max_bytes} bytes"))


def frame(answer: Parts, framing: Framing) -> Parts:
    """Wrap one answer for the wire: a line with LF, or a body behind a Content-Length header with CRLF."""
    if framing == "headers":
        return (b"Content-Length: %d\r\n\r\n" % sum(map(len, answer)), *answer)
    return (*answer, b"\n")
