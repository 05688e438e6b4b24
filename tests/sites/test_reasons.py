"""Our own words for why a job waits or how it ended."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from sites.reasons import MEANING, Reason

PROJECT = Path(__file__).parents[2]
WORDS = {str(reason) for reason in Reason}
#: Words that also mean something else: a container's reason in Kubernetes, and an answer of the wire.
ANOTHER_MEANING = {"jobs/rendering.py", "jobs/interlink/views.py"}
#: Keeps the index by which the release before this one asks.
FOR_THE_RELEASE_BEFORE = {"jobs/models/job.py"}


@pytest.mark.parametrize("reason", Reason)
def test_each_word_is_valid_for_programs_and_has_a_sentence_for_people(reason: Reason) -> None:
    assert re.fullmatch(r"([A-Z][a-z]+)+", reason)
    assert re.fullmatch(r"[A-Z].*\.", MEANING[reason])


def test_the_page_of_states_lists_each_word() -> None:
    page = (PROJECT / "docs" / "states.md").read_text(encoding="utf-8")
    assert [reason for reason in Reason if f"| `{reason}` | {MEANING[reason]} |" not in page] == []


def test_the_words_are_written_in_one_place() -> None:
    """Code uses the enum: a literal would be missed by the page and by a change of the word."""
    written = {
        f"{path.relative_to(PROJECT)}:{node.lineno} {node.value}"
        for folder in ("jobs", "controlplane")
        for path in (PROJECT / folder).rglob("*.py")
        if not {"migrations", "api"} & set(path.parts)  # the API's modules hold examples
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in WORDS
    }
    assert {
        place for place in written if place.partition(":")[0] not in ANOTHER_MEANING | FOR_THE_RELEASE_BEFORE
    } == set()


def test_no_decision_depends_on_a_word() -> None:
    """Only these modules compare a row's reason, to see whether it already has the new one."""
    says_so_already = {"jobs/sweeps/held.py", "jobs/worker/contact.py", "jobs/worker/start.py"}
    comparing = re.compile(r"\.reason\s*(==|!=|in)\s|(filter|exclude|Q)\(([^()]|\([^()]*\))*\breason")
    found = {
        str(path.relative_to(PROJECT))
        for folder in ("jobs", "sites", "controlplane", "frontend")
        for path in (PROJECT / folder).rglob("*.py")
        if "migrations" not in path.parts and comparing.search(path.read_text(encoding="utf-8"))
    }
    assert found - FOR_THE_RELEASE_BEFORE == says_so_already
