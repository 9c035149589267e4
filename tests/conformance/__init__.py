"""Whether a program speaks JSON-RPC 2.0 over its stdin and stdout as it should, whatever bytes come; cases as data.

Each `*.json` file is a group: `{"group": its title, "cases": [...]}`. A case has

- `name`, and `why` in a sentence;
- `send`, a list of items: a string is sent as it is (UTF-8); `{"base64": …}` is decoded; `{"message": value}` is framed
  as JSON; `{"text": …}` is framed as it stands, and may be a list of parts. A `header` beside these two takes the place
  of the usual one, with `%d` for the body's length in bytes;
- `expect`, the frames that must come out, in any order and no others: `{"id": …, "result": …}`, or
  `{"id": …, "error": code, "kind": …, "message": …}`, or a list of these for a batch. The id `{"recovered": id}` may be
  null where the profile leaves that open. A frame with `"if": trait` may come or not where the profile lacks the trait.

`{"repeat": item, "times": n}` in a list is n items, with "#" replaced by 1 to n. `$ping` is a method that answers at
once, `$pong` its result, `$task` a method that takes a while, `$any` any result.

After each case comes one more request, which must be served too. Optional:

- `framing`: `lines` or `headers`, where a case is about one of them; else it is run in both;
- `chunk`: the bytes are written in pieces of that size;
- `fresh`: the case is about the first bytes, or leaves something behind, and needs a process of its own;
- `ends`: the input ends right after the last byte, and no further request comes;
- `needs`: traits without which the case does not apply to a profile (`profiles.py`).
"""
