"""What `help TOPIC` says."""

from __future__ import annotations

from collections.abc import Mapping

TOPICS: Mapping[str, str] = {
    "exit-codes": """\
 0  done
 1  a bug of this program, or its output could not be written
 2  usage, params that are not valid, a setting or a file that cannot be used
 3  refused by the hosted API, or an answer of it that cannot be read; a payment that failed
 4  sign in: no credential, an expired session, a rejected API key
 5  forbidden, or against this program's policy
 6  not found
 7  conflict, or an idempotency key that was used for something else
 8  a payment is still pending
 9  a bulk run of which some rows failed
10  the hosted API was not reached, timed out or failed; it is safe to try again
11  rate limited
12  the outcome is unknown: look before trying again
13  a confirmation is required
130 interrupted or cancelled

`serve` has its own: 0 drained, 1 start-up failed or a bug, 2 usage, 20 forced, 21 parent gone, 22 stdout closed.""",
    "environment": """\
OPENHUMAN_API_KEY         the API key to call with; it comes before everything else
OPENHUMAN_TOKEN           the session token to call with
BACKEND_URL               the hosted API; also VITE_BACKEND_URL
OPENHUMAN_APP_ENV         `staging` for the staging API and its own home
OPENHUMAN_WORKSPACE       the home, instead of ~/.openhuman
OPENHUMAN_DOTENV_PATH     a .env file to read; it may set anything
OPENHUMAN_<SETTING>       any flag of `serve`: OPENHUMAN_MAX_SPEND_USD, OPENHUMAN_NO_RETRIES, ...
NO_COLOR, FORCE_COLOR     colour on a terminal, or not

What is set in the environment is never written down.""",
    "idempotency": """\
A call that writes may carry a key: --idempotency-key NAME. The same key never acts twice, whoever asks again and from
whichever process of this home: the recorded outcome comes back, with the log line that says so. An outcome is kept for
30 days; then its key is as good as new.

A call whose answer was lost ends with 12, and its key is held until somebody settles it, however long that takes (or,
under OPENHUMAN_IDEMPOTENCY_HONOURED=1, until the call is made again). Look at what the account holds (the message names
the command), then settle the key:

  openhuman-core journal list --state unknown
  openhuman-core journal resolve --idempotency-key NAME --outcome done
  openhuman-core journal resolve --idempotency-key NAME --outcome not_done

`batch` makes a key for each row that writes, so that a run that was cut off can be started again: of the name of the
run, of what the row means, and of how often the file has said it before. The run's name is --run, else the bare name of
the file, without its directory: two files of one name are one run, and what both hold is made once. What comes from
stdin is the run `stdin`.""",
    "output": """\
On a terminal a view for people: amounts as money, times in local time, nothing cut off. Elsewhere, and with --json,
exactly one JSON document: what the hosted API returned, as it returned it.

--envelope   the result with its log lines, as on the wire
--jsonl      the items of a list, one a line
--query EXPR a part of it, by JMESPath: --query 'cards[?isDefault].last4'
-v           the log lines on stderr

A failure prints nothing on stdout and one line on stderr, as JSON with --json: {"error": {"kind", "message", "hint",
"retryable", "moneyMoved", ...}}.""",
}
