"""Constructions that were quaint stay out of docstrings, comments, messages and pages: a table of them, and what to write instead."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import sessionward

ROOT = Path(__file__).parent.parent
HOUSE = Path(sessionward.__file__).parent
FILES = sorted(HOUSE.rglob("*.py"))
PAGES = [
    ROOT / page
    for page in (
        "README.md",
        "CHANGELOG.md",
        ".github/CONTRIBUTING.md",
        "middleware/README.md",
        "middleware/BACKENDS.md",
        "examples/README.md",
        "examples/deploy/README.md",
        "tests/README.md",
    )
]


class Rule(NamedTuple):
    pattern: str
    instead: str
    example: str


EVERYWHERE: Sequence[Rule] = (
    Rule(r"\bwhoever\b", "name the actor: the user, the caller, an attacker", "Whoever revokes their sessions finds it."),
    Rule(
        r"\bnobody (?:is|has|was|can be) asked\b|\bnobody has \w+ed\b", "name what happens: we do not ask", "Before that nobody has asked."
    ),
    Rule(r"\blooked (?:after|through|back)\b|\bworth a look\b", "read, search, check, handle", "Sessions are looked through at most once."),
    Rule(r"\bgo(?:es)? along\b|\bsee(?:s|n)? to it\b", "name the act", "The cookie goes along with the login."),
    Rule(r"\bas (?:it|they) came\b", "unchanged", "The request passes as it came."),
    Rule(r"\btakes? the place of\b|\bstands? in place of\b", "replace", "The fields that stand in place of the others."),
    Rule(r"\b(?:a|as|as its|into) text\b", "str", "An int is kept as text."),
    Rule(r"\bfirmly dead\b|\bdead (?:session|login|cookie|row)s?\b", "revoked; not live", "A revoked row is firmly dead."),
    Rule(r"\bin vain\b|\bminds? its own\b|\band (?:its|their) kin\b", "say what happens", "A caller might wait in vain."),
)
"""For the package and for the pages."""

IN_CODE: Sequence[Rule] = (
    Rule(r"(?<!--)\b(?:no|any|every|some)body\b", "name the actor: the client, the user, another caller", "So that nobody waits for it."),
    Rule(r"\bstands?\b(?! for\b)", "is, has, replaces, runs before", "The token stands in no frame."),
    Rule(r"(?<!ahead )\bof (?:ours|theirs|yours)\b", "our, their, your", "A cookie of ours."),
    Rule(
        r"(?<!ahead )\bof the (?:application|user|caller|project|backend|client)'s(?=[,.;:)]|$| (?:that|which|may|is|are|and|or|where)\b)",
        "of the application; the application's own",
        "A store of the application's that may write it back.",
    ),
    Rule(r"\btak(?:e|es|en|ing) out\b", "remove", "Its cookies are taken out."),
    Rule(r"\blooked at\b|\bhas to be looked\b", "read, check, decide about", "The head of an answer has to be looked at."),
    Rule(r"\b(?:is|are|be|was|were) told\b", "report, show, get", "All mistakes are told at once."),
    Rule(r"\bbrings?\b(?! back)", "have, need, install", "All that a login brings."),
    Rule(r"; (?:returns|answers|whether)\b", "a sentence of its own: Returns how many", "Revokes them; returns how many."),
)
"""For the package alone, where a sentence has the actor at hand. Promises and tables of the pages may say "nobody is left with none"."""

FUNCTIONS: Sequence[Rule] = (
    Rule(r"\A(?:Whether|What|Whom|Whose|Who|Where|How)\b", "Returns whether ..., Yields the ...", "Whether a session is live."),
    Rule(r"\A(?:From now on|So many|All that|The same)\b", "begin with the verb", "From now on it is too late."),
)
"""For docstrings of functions, which begin with what the function does. A property is named by what it is."""


# --- what is read -----------------------------------------------------------------------------------------------------


def joined(text: str) -> str:
    return " ".join(text.split())


def said_in(source: str) -> Iterator[tuple[int, str]]:
    """Docstrings, messages and comments of a module, each with its line. One word alone is a name, not prose."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, joined(node.value)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def functions_in(source: str) -> Iterator[tuple[int, str]]:
    """The docstrings of functions and methods that are no properties."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            said = ast.get_docstring(node)
            if said and not any("property" in ast.unparse(decorator) for decorator in node.decorator_list):
                yield node.lineno, joined(said)


def prose_of(page: str) -> str:
    """A page without its code and without the targets of its links."""
    without_blocks = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    return joined(re.sub(r"\]\([^)]*\)", "]", re.sub(r"`[^`\n]*`", "``", without_blocks)))


@cache
def source_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def found(rules: Sequence[Rule], text: str) -> list[str]:
    return [
        f"{text[max(0, match.start() - 40) : match.end() + 40]!r}: write {rule.instead!r}"
        for rule in rules
        for match in re.finditer(rule.pattern, text, re.IGNORECASE)
    ]


# --- the claims -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=[path.relative_to(HOUSE).as_posix() for path in FILES])
def test_a_module_says_it_plainly(path: Path) -> None:
    source = source_of(path)
    rules = [*EVERYWHERE, *IN_CODE]
    quaint = [f"{path.name}:{line}: {each}" for line, text in said_in(source) for each in found(rules, text)]
    quaint += [f"{path.name}:{line}: {each}" for line, text in functions_in(source) for each in found(FUNCTIONS, text)]
    assert not quaint, "\n".join(quaint)


@pytest.mark.parametrize("page", PAGES, ids=[page.relative_to(ROOT).as_posix() for page in PAGES])
def test_a_page_says_it_plainly(page: Path) -> None:
    assert found(EVERYWHERE, prose_of(source_of(page))) == []


@pytest.mark.parametrize("rule", [*EVERYWHERE, *IN_CODE, *FUNCTIONS], ids=lambda rule: rule.example)
def test_a_rule_catches_what_it_is_for(rule: Rule) -> None:
    assert found([rule], rule.example)
    assert not found([*EVERYWHERE, *IN_CODE, *FUNCTIONS], rule.instead), "the way out is not quaint itself"


SAMPLE = '''
"""A token stands here."""

LIMIT = 5  # nobody counts
"""What a client brings."""


def fits(size: int) -> bool:
    """Whether it fits.

    The rest is looked
    at later.
    """
    raise ValueError(f"{size} is a number of ours")
'''


def test_docstrings_comments_and_messages_are_read_with_their_lines() -> None:
    rules = [*EVERYWHERE, *IN_CODE]
    assert sorted(line for line, text in said_in(SAMPLE) if found(rules, text)) == [2, 4, 5, 9, 14]
    assert [line for line, text in functions_in(SAMPLE) if found(FUNCTIONS, text)] == [8]


def test_code_on_a_page_is_not_read() -> None:
    page = "Plain. `whoever` and [a link](whoever.md)\n\n```python\n# whoever\n```\n\nWho\never asks, whoever.\n"
    assert len(found(EVERYWHERE, prose_of(page))) == 1
