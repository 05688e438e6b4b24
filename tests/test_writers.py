"""Each column has one writer: the file that the column's help text names, or else the docstring of its model.

Both say "Written by <file>."; a column without either never changes after its row is inserted. Other files may insert
rows: an insert is not a change.

This test reads every module and detects `row.column = ...` and `setattr(row, "column", ...)`, `update(column=...)`, the
names in `update_fields`, `bulk_update` and `update_or_create(defaults=...)`, and hand-written UPDATE statements. It
recognises a row or a queryset by its annotation, by its origin in the same function, or because only one imported model
has such a column. It cannot detect: names built at run time (`update(**values)`, `setattr(row, name, value)`; in
lifecycle.py the types of `Changes` restrict these), forms of Django's admin, rows passed to a function without any
annotation, and other programs that have the database's password.
"""

from __future__ import annotations

import ast
from datetime import datetime
from types import NoneType
from typing import get_args, get_origin, get_type_hints

import pytest
from django.core.management import call_command
from django.db import models

from jobs.models import Changes, Job, QuietChanges
from tests import program
from tests.writes import Module, is_djangos, our_models, set_by, stated, writes

#: (file, column) -> why this file may write the column, though another file is its writer.
ALSO = {
    ("controlplane/auth/admin.py", "HeldRight.origin"): "of a row that is not there yet",
    ("jobs/worker/claim.py", "Job.request"): "read into the object while a batch is made, and never saved",
    ("jobs/payload.py", "Job.request"): "the same text under another key: `manage.py reseal` saves it",
}
#: How Python code refers to a column's value.
PYTHON: dict[type[models.Field[object, object]], type] = {
    models.CharField: str,
    models.DateTimeField: datetime,
    models.ForeignKey: int,
    models.IntegerField: int,
    models.JSONField: dict,
    models.TextField: str,
}


def test_each_column_is_written_by_the_file_that_it_names() -> None:
    wrong = {(write.file, each) for write in writes() if not write.is_stated for each in write.columns}
    assert (wrong - ALSO.keys(), ALSO.keys() - wrong) == (set(), set()), (
        "(other writers, exceptions that are no longer needed)"
    )


def test_the_files_that_columns_name_exist() -> None:
    for model in our_models().values():
        for field in model._meta.concrete_fields:
            assert (program.PROJECT / stated(model, field)).exists(), field


def test_each_column_of_ours_has_a_help_text() -> None:
    """Except the keys that Django creates, and the columns that Person inherits from Django."""
    silent = {
        f"{name}.{field.name}"
        for name, model in our_models().items()
        for field in model._meta.concrete_fields
        if not (field.help_text or field.auto_created or is_djangos(model, field))
    }
    assert silent == set()


@pytest.mark.parametrize("changes", [Changes, QuietChanges])
def test_the_changes_of_a_move_fit_the_columns(changes: type) -> None:
    for name, hint in get_type_hints(changes, localns={"datetime": datetime}).items():
        field = next(each for each in Job._meta.concrete_fields if each.attname == name)
        kinds = get_args(hint) if NoneType in get_args(hint) else (hint,)
        assert (NoneType in kinds) == field.null, name
        [kind] = {get_origin(each) or each for each in kinds} - {NoneType}
        assert kind in {python for column, python in PYTHON.items() if isinstance(field, column)}, name
        assert stated(Job, field) == "jobs/lifecycle.py", name


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("def f(job: Job) -> None: job.tries = 3", "Job.tries"),
        ("def f(job: Job) -> None: job.tries += 1", "Job.tries"),
        ("def f(jobs: Iterable[Job]) -> None:\n for each in jobs: each.tries, x = 3, 4", "Job.tries"),
        ("def f(jobs: QuerySet[Job]) -> None: jobs.filter(pk=1).update(tries=3)", "Job.tries"),
        ("def f() -> None: Job.objects.filter(site=1).update(tries=3)", "Job.tries"),
        ("def f() -> None:\n rows = Job.objects.all()\n rows.get(pk=1).save(update_fields=['tries'])", "Job.tries"),
        ("def f() -> None: Job.objects.bulk_update([], ['tries'])", "Job.tries"),
        ("def f() -> None: Job.objects.update_or_create(pk=1, defaults={'tries': 3})", "Job.tries"),
        ("def f(job: Job) -> None: setattr(job, 'tries', 3)", "Job.tries"),
        ("def f(job: Job) -> None: job.allocation.used_pods = 3", "Allocation.used_pods"),
        ("def f(anything) -> None: anything.tries = 3", "Job.tries"),
    ],
)
def test_a_write_is_detected(code: str, found: str) -> None:
    source = f"from jobs.models import Job\nfrom sites.models import Allocation\n{code}"
    [write] = Module("somewhere.py", ast.parse(source), {}).writes()
    assert (write.columns, write.is_stated) == ([found], False)


def test_a_write_in_sql_is_detected() -> None:
    assert set_by("a = 1, b = f(x = 2, 3), c = CASE WHEN d THEN 1 END FROM t WHERE e = 1") == ["a", "b", "c"]


@pytest.mark.django_db
def test_the_migrations_match_the_models() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)
