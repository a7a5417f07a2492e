"""Refusals of the console: a key of the catalogue and its values, so that each reader has them in their language."""

from serving.console.catalogue import LANGUAGES, Catalogue, catalogue
from serving.process.problems import Problem, RefusedError, problem_of, status_of


class ConsoleError(RefusedError):
    """A request that the console cannot answer.

    Args:
        key: of the words that say why; ``KEY.fix`` says what to do.
        status: what HTTP says to it.
        fix: the key of what to do, where it is another.
        code: a stable name; the status's usual one when left out.
        values: what is put into the words.
    """

    def __init__(
        self, key: str, status: int = 400, *, fix: str = "", code: str | None = None, **values: object
    ) -> None:
        self.key, self.fix_key, self.values = key, fix or f"{key}.fix", values
        english = catalogue(LANGUAGES[0])
        super().__init__(self.text(english), fix=english(self.fix_key, **values), status=status, code=code)

    def text(self, words: Catalogue) -> str:
        """Why, in a language."""
        return words(self.key, **self.values)

    def remedy(self, words: Catalogue) -> str:
        """What to do, in a language."""
        return words(self.fix_key, **self.values)


def shown_problem(error: Exception, words: Catalogue) -> tuple[str, Problem, str]:
    """An error for a page: what is known of it in the reader's language, its words, and their language.

    Errors of the console are in the reader's language. Others, which may name SQL, files or settings, are in English:
    where that is not the reader's language, a sentence by their code comes first.
    """
    found = Problem(**problem_of(error))
    if isinstance(error, ConsoleError):
        return "", found.model_copy(update={"error": error.text(words), "fix": error.remedy(words)}), words.language
    if words.language == LANGUAGES[0]:
        return "", found, words.language
    usual = words("problem.broken" if status_of(error) >= 500 else "problem.other")
    return words.of(f"problem.{found.code}", usual), found, LANGUAGES[0]
