"""The office: what pages are made from, and who is asking for them."""

from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request

from features.settings import Settings
from serving.console.catalogue import Catalogue
from serving.console.handles import Handles
from serving.console.kept.members import Members
from serving.console.kept.overview import Overview, Overviews
from serving.console.kept.registry import Registry
from serving.console.refusals import ConsoleError
from serving.console.signing_in.provider import Provider
from serving.console.signing_in.recent import Recent
from serving.database.console.actions import Actions
from serving.database.console.drafts import Drafts
from serving.database.console.logins import Logins
from serving.database.console.sessions import Session, Sessions
from serving.database.console.tables import make_tables, secret_of
from serving.desk.desk import Desk
from serving.desk.roles import May, permissions
from serving.model.registry.registered import registered
from serving.runtime.renewal import written


class Office:
    """What pages are made from, once the desk is open.

    Args:
        desk: what is answered from.
        settings: of the deployment.
        before: the overview that was shown before the desk was opened again.
    """

    def __init__(self, desk: Desk, settings: Settings, before: Overview | None = None) -> None:
        make_tables(desk.live.log)
        self.desk, self.settings = desk, settings
        self._read = written(desk.definition)
        self.sessions, self.actions = Sessions(desk.live.log), Actions(desk.live.log)
        self.recent = Recent(self.sessions.find)
        self.logins, self.provider = Logins(desk.live.log), Provider(settings)
        self.drafts, self.population = Drafts(desk.live.log), desk.population
        self.handles = Handles(secret_of(desk.live.log))
        self.registry = Registry(lambda: registered(desk.definition, settings))
        scores = settings.scores(desk.definition.name)
        self.overviews = Overviews(desk.definition, scores, desk.live.memberships, desk.population, before)
        self.members = Members(scores, desk.population)

    @property
    def outdated(self) -> bool:
        """Whether the definition, or the file that it includes, has changed since the service read it."""
        return self._read != written(self.desk.definition)


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody who asks for a page, or sends one back.

    Attributes:
        request: what they ask.
        office: what pages are made from.
        session: who they are; None where nobody signed in.
        words: in their language.
        now: the instant, by the service's clock.
        form: what they filled in; empty where they only ask.
    """

    request: Request
    office: Office
    session: Session | None
    words: Catalogue
    now: int
    form: FormData

    @property
    def may(self) -> frozenset[May]:
        """What they may do."""
        roles = self.session.roles if self.session is not None else frozenset[str]()
        return permissions(roles, hide_ids=self.office.settings.console_hide_ids)

    @property
    def origin(self) -> str:
        """From where they ask."""
        return self.request.client.host if self.request.client is not None else "unknown"

    def needs(self, what: May) -> None:
        """Check that they may do something.

        Raises:
            ConsoleError: they may not.
        """
        if what not in self.may:
            raise ConsoleError("refused.role", 403, fix=f"refused.fix.{what}")

    def wrote(self, action: str, subject: str, **detail: object) -> None:
        """Write down in the log of actions what they did; call it after it was done."""
        name = self.session.name if self.session is not None else ""
        self.office.actions.add(self.now, name, self.origin, action, subject, detail)

    def field(self, name: str) -> str:
        """A field of what they filled in, or of what they ask with; empty where it is not there."""
        found: Any = self.form.get(name, self.request.query_params.get(name, ""))
        return found if isinstance(found, str) else ""
