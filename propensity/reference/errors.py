"""Every error code: when it comes, and what to do."""

from propensity.reference.markdown import table
from serving.process.problems import USUAL

HEAD = """# Error codes

Every error that a person can fix has a stable *code*, a message that says what was found, and a *fix*. Commands write the three to standard
error and end with 2; the API answers `{"error", "code", "fix"}`.

| `propensity train` ends with | when |
|---|---|
| 0 | at least one model became champion |
| 1 | every outcome was refused |
| 2 | an error |
| 3 | models were trained, and none passed the gate |

`propensity recalibrate` ends with the same codes, of its one version; when that is refused, with 4.
"""

#: code: found, needed, fix, example
REFUSALS = {
    "population_empty": (
        "nobody for whom `among` holds at a matured cutoff", "users in the population", "widen `outcomes.<name>.among`",
        '`among: "tenure_days < 0"`',
    ),
    "population_leak": (
        "how often the outcome happens on the two sides of a condition on a trait: hardly ever, and mostly",
        "a population that does not know the answer",
        "take the condition out of `among`, or correct the time at which the trait became known",
        "`among: \"status = 'active'\"`, and the table says from the start who has left in the end",
    ),
    "outcome_never_happens": (
        "not a single labelled row with a yes", "both answers",
        "check the signal's `where` with `propensity check`; widen `among`",
        "a signal whose `where` names an event that the log does not have",
    ),
    "outcome_always_happens": (
        "not a single labelled row with a no", "both answers",
        "check the signal's `where` with `propensity check`; widen `among`",
        "`will_not: sign_up` among people who have signed up",
    ),
    "log_too_short": (
        "the first and the last time of the log, or of the matured cutoffs",
        "warm-up, gap, horizon and maturity: one cutoff whose label is known",
        "shorten `within`, lower `snapshots.warm_up`, or bring a longer log", "`within: 900d` on a log of ten months",
    ),
    "too_few_positives": (
        "the number of rows with a yes in a slice",
        "`training.min_positives` in the rows to learn from, a quarter of it in the test",
        "widen `among`, lengthen `within`, or bring a longer log",
        "buyers within a day among people who were silent for forty",
    ),
    "too_few_negatives": (
        "the number of rows with a no in a slice",
        "`training.min_positives` in the rows to learn from, a quarter of it in the test",
        "widen `among`, shorten `within`, or bring a longer log",
        "a visit within 30 days among people who come six times a day",
    ),
    "too_few_matured": (
        "how many effective untreated users have matured predictions of the champion, and with how many events",
        "200 effective users, 30 events and 30 users without one",
        "run `propensity monitor` after each batch and wait, or train again",
        "`propensity recalibrate` a week after a champion began to serve",
    ),
    "ranking_reversed": (
        "labels that do not rise with the champion's answers", "a calibration slope above 0", "train again",
        "a signal's `where` that means the opposite since a release of the app",
    ),
    "audit_failed": (
        "the alarms of the audit", "an audit without alarms",
        "look at the run's `report.html`; remove the leak, or add the check to `audit.accept`",
        "one trait that alone has AUC 0.99",
    ),
    "feature_digest_mismatch": (
        "the feature set of the model, and of the definition", "the same feature set",
        "train again, or serve the definition that the model was trained with",
        "a signal's `where` changed after training",
    ),
}  # fmt: skip

AFTER_REFUSALS = """The audit checks: `too_good` (the model's AUC), `single_feature` (the AUC of each column alone), `label_shuffle` (a model
of shuffled labels must not predict them), `label_days` (columns that predict the label only within its days), `future` (features must not change
when everything after the cutoff is changed), and `drift`, `base_rate` (the answer is nearly always the same) and `treated` (labels of users who were acted on), which are reported and never
fail.

A model that is trained and does not pass the gate is not refused: it is registered, and the champion stays
([ADR 11](../adr/0011-gate.md))."""

#: code: when, fix
ERRORS = {
    "settings": ("a `PROPENSITY_…` variable has a value that it cannot have", "set the variable to a valid value, or unset it"),
    "definition": ("the definition file is not valid: an unknown key, a wrong value, an unsafe or unknown expression", "correct the key that the message names"),
    "event_log": ("the log or the trait table cannot be read as declared", "correct the file, or what `events` or `traits` says of it"),
    "unreadable": ("more values of the log cannot be read, or more users are words for nobody, than `events.at_most` allows", "add the format or unit that the message names, correct the file, or raise the limit"),
    "user_id": ("a user id is empty, longer than 256 characters, neither text nor a number, or holds a NUL or half a character", "send another id"),
    "forbidden_address": ("a destination's host has an address of a private network", "use a public address, or set `allow_private: true` for this destination"),
    "immature_label": ("a label was requested whose window is not over", "request it later, or for an earlier cutoff"),
    "fold": ("a stored profile does not fit the definition", "run `propensity materialize`"),
    "store": ("the feature store does not hold what is needed", "run the command that the message names, mostly `propensity materialize`"),
    "database": ("a database is damaged, or lacks a table, a column or a right", "run the command or the `GRANT` that the message names"),
    "backup": ("a backup cannot be made, is not complete, or would overwrite something", "name an empty folder, or another backup"),
    "live_log": ("the live log is older than what was made from it, or another one", "see [a store that came back from a backup](../how-to/operate.md#a-store-that-came-back-from-a-backup)"),
    "topic": ("a topic of Kafka is not there, does not let us in, or no longer has the messages that come next", "what the message says; see [events from Kafka](../how-to/kafka.md#when-something-fails)"),
    "spark": ("Spark does not answer, has no memory left, or the Python of its executors lacks something", "what the message says; see [Spark](../how-to/scale.md#spark)"),
    "scoring": ("a model cannot score the rows it was given", "train again with this definition"),
    "model_damaged": ("a file of a registered model is missing, or differs from the one that was registered", "restore the file, train again, or go back with `propensity rollback`"),
    "registry": ("the model registry does not answer, is damaged, or cannot be written", "start the server, or correct `PROPENSITY_TRACKING_URI`"),
    "models_lost": ("models that made the newest scores are missing: a wrong `PROPENSITY_TRACKING_URI`, or a lost registry", "correct the address or restore the registry; `--without-models` continues without them"),
    "disk": ("a file cannot be written: the disk is full or read-only, or rights are missing", "make room, or correct the rights, and run the command again"),
    "rfm_nobody": ("nobody did what the RFM groups measure; users have no group until somebody does", "nothing, or another `rfm.signal`"),
    "error": ("anything else that a person can fix", "what the message says"),
}  # fmt: skip

#: code: status, when, fix; where it has none, the usual one of its status
ANSWERS = {
    "invalid": ("400, 422", "a value or a key of the request is not valid", ""),
    "bad_request": ("400", "the request cannot be read: an unknown query key, a repeated header", ""),
    "refused": ("400", "every message of the request was refused", "correct the messages and send them again"),
    "request": ("400, 413, 415", "the body of a tracking request cannot be read", "send what the [HTTP API](http.md) describes"),
    "unauthorized": ("401", "the key is missing or wrong", ""),
    "forbidden": ("403", "the key has another role", ""),
    "not_found": ("404", "there is no such path, segment or user", ""),
    "method_not_allowed": ("405", "the path does not take this method", ""),
    "too_slow": ("408", "the body did not arrive in time", ""),
    "too_large": ("413", "the body, or a message, is too large", ""),
    "unsupported_media_type": ("415", "the body is not JSON", ""),
    "rate_limited": ("429", "the key made too many requests", ""),
    "internal": ("500", "an unforeseen error; the log says where", ""),
    "starting": ("503", "the service is starting", "ask again in a few seconds"),
    "not_ready": ("503", "`/readyz`: something that is needed does not answer; `missing` names it", "wait, it recovers by itself; or start what is missing"),
    "unavailable": ("503", "something that is needed does not answer", ""),
    "dead": ("503", "`/livez`: a thread of the process has ended", "restart the process"),
    "no_model": ("503", "the members of a segment are not known, because the segment needs a model that is missing", "train the outcome that the message names"),
    "timeout": ("504", "the answer took too long", ""),
}  # fmt: skip

#: code: when, fix
MESSAGES = {
    "not_json": ("a message of a topic of Kafka is not JSON", "write JSON into the topic"),
    "not_storable": ("the live log's database cannot hold a message of a topic of Kafka", "correct the message that `reason` names, and write it again"),
    "not_an_object": ("the message, its `properties` or its `traits` are not a JSON object", "send an object"),
    "too_deep": ("the message is nested more than 64 deep", "send a flatter message"),
    "too_large": ("the message has more than 32 kB, or an id or a name has more than 256 characters", "send less"),
    "unknown_type": ("the message's `type` is none of `track`, `identify`, `page`, `screen` and `alias`", "send one of these"),
    "no_identities": ("an `alias` message, and the definition merges no ids", "add `identities: {}` to the definition, then `propensity materialize`"),
    "no_user": ("neither `userId` nor `anonymousId` is set", "set one of them"),
    "user_id": ("the user id is not valid", "see [sending events](../how-to/operate.md#sending-events)"),
    "no_event": ("a `track` message has no `event`", "set `event`"),
    "property": ("a property does not fit the log's column of the same name", "send the type that the log's column has"),
    "not_text": ("a value that must be text is another type, or holds characters that are not text", "send text"),
    "timestamp": ("`timestamp`, `originalTimestamp` or `sentAt` is not an ISO 8601 time", "send an ISO 8601 time"),
    "id_taken": ("another message had the same `messageId` and says something else, and this one cannot correct it: it is of another user, sets traits, or the event log has no text column of ids (`events.columns.id`)", "give each message an id of its own"),
    "erased_user": ("the user was erased", "nothing; the event is not stored"),
    "merge": ("stage `merge`: what the message says of two ids is not believed; the message counts", "look at the reason; a table of `identities.merges` joins two known users by name"),
    "poison": ("stage `fold`: the message was accepted, and could not be folded into the profile", "correct the definition or the message, then `propensity dead-letters replay`"),
}  # fmt: skip

#: code: when
SILENT = {
    "outside_population": "the outcome's `among` does not hold for the user",
    "stale_profile": "the profile is older than `scoring.max_age`: the silence may be the feed's, not the user's",
    "short_history": "the user is known for less than `scoring.min_history`",
    "outside_trained_range": "a feature lies so far outside the range that the model was fitted on that its answer would rest on the extrapolation (`scoring.max_extrapolation`)",
    "no_model": "the outcome has no champion yet",
}  # fmt: skip


def page() -> str:
    """The page."""
    refusals = [(f"`{code}`", *cells) for code, cells in REFUSALS.items()]
    errors = [(f"`{code}`", *cells) for code, cells in ERRORS.items()]
    answers = [(f"`{code}`", status, when, fix or _usual(code)) for code, (status, when, fix) in ANSWERS.items()]
    messages = [(f"`{code}`", *cells) for code, cells in MESSAGES.items()]
    parts = [
        HEAD.strip("\n"),
        "## Refusals",
        "A model that could not be trusted is not trained. The other outcomes continue, and the refusal is kept with the run in MLflow.",
        table(["code", "found", "needed", "fix", "example"], refusals),
        AFTER_REFUSALS,
        "## Errors of commands and of the API",
        table(["code", "when", "fix"], errors),
        "## Errors of the API only",
        table(["code", "status", "when", "fix"], answers),
        "## Refused messages",
        "Codes of messages in the answer of the tracking API (`refused`) and in `propensity dead-letters list`.",
        table(["code", "when", "fix"], messages),
        "## Not enough to say",
        "Values of `why` in a record, when there is no likelihood or amount. A code of an error above, such as `model_damaged`, says that "
        "the champion is not served.",
        table(["why", "when"], [(f"`{code}`", when) for code, when in SILENT.items()]),
    ]
    return "\n\n".join(parts) + "\n"


def codes() -> set[str]:
    """All codes that the page lists."""
    return {*REFUSALS, *ERRORS, *ANSWERS, *MESSAGES, *SILENT}


def _usual(code: str) -> str:
    return next(fix for usual, fix in USUAL.values() if usual == code)
