"""Every setting of the environment."""

from features.settings import Settings
from propensity.reference.fields import fields
from propensity.reference.markdown import table

HEAD = """# Settings

Settings of a deployment come from environment variables. A value that a setting cannot have ends a command with the code `settings`, and
names the variable. `--definition` goes before `PROPENSITY_DEFINITION`.
"""

#: variables that are read elsewhere, and what they do
OTHERS = {
    "BENTOML_HOME": "A folder for BentoML's temporary files. Without it, `propensity serve` uses a folder under the system's.",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "How often a request to an MLflow server is tried again; `2` unless set.",
    "MLFLOW_DISABLE_TELEMETRY": "`true` unless set: MLflow sends no usage data.",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "`false` unless set.",
    "BENTOML_DO_NOT_TRACK": "`true` unless set: BentoML sends no usage data.",
    "NUMBA_CACHE_DIR": "The folder of compiled code, such as one that outlives a container, which else compiles for half a minute at its start. Without it, a folder beside the kernel's files where that can be written, else in the user's cache (`~/.cache/propensity`). In it is a folder for each version of the kernel, named by a digest of its files.",
    "PYSPARK_PYTHON": "The Python of Spark's executors. With `PROPENSITY_SPARK=local…` this one unless set; on a cluster set it, else the first `python3` of each machine's `PATH` runs.",
}  # fmt: skip

#: set by one of our programs for another, not by people
INTERNAL = {"PROPENSITY_SUPERVISOR"}

TAIL = """The definition may name more variables: `${NAME}` in `events.path`, `traits.path` and `destinations.<name>.url`, and the variable
that `destinations.<name>.secret` names. They are read where they are used, and neither logged nor shown.
"""


def page() -> str:
    """The page."""
    rows = [(f"`{variable(f.name)}`", f.kind, f.default, f.meaning) for f in fields(Settings)]
    others = table(["variable", "meaning"], [(f"`{name}`", text) for name, text in OTHERS.items()])
    parts = [
        HEAD,
        table(["variable", "type", "default", "meaning"], rows),
        "## Variables of other programs",
        others,
        TAIL,
    ]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"{Settings.model_config.get('env_prefix')}{name}".upper()
