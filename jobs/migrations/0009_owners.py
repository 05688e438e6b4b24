from django.db import migrations

BATCH = 10_000
# What is still known of the rows that are there already, so many ids at a time: no statement locks more than its rows,
# and repeating all of them after an interruption is harmless.
OWNERS_OF_JOBS = """
    UPDATE jobs_job AS job SET owner_issuer = person.issuer, owner_subject = person.subject
    FROM tenants_person AS person WHERE job.person_id = person.id AND job.id > %s AND job.id <= %s
"""
OWNERS_OF_USAGE = """
    UPDATE jobs_usagerecord AS usage SET owner_issuer = person.issuer, owner_subject = person.subject
    FROM tenants_person AS person WHERE usage.person_id = person.id AND usage.id > %s AND usage.id <= %s
"""
FIGURES_OF_USAGE = """
    UPDATE jobs_usagerecord AS usage
    SET memory = job.memory, partition = job.partition, account = job.account, submitted_at = job.submitted_at
    FROM jobs_job AS job WHERE usage.job_id = job.id AND usage.id > %s AND usage.id <= %s
"""


def carry_over(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        for table, statements in (
            ("jobs_job", [OWNERS_OF_JOBS]),
            ("jobs_usagerecord", [OWNERS_OF_USAGE, FIGURES_OF_USAGE]),
        ):
            cursor.execute(f"SELECT coalesce(max(id), 0) FROM {table}")
            (last,) = cursor.fetchone()
            for begin in range(0, last, BATCH):
                for statement in statements:
                    cursor.execute(statement, [begin, begin + BATCH])


class Migration(migrations.Migration):

    atomic = False
    dependencies = [
        ('jobs', '0008_demand'),
    ]

    operations = [
        migrations.RunPython(carry_over, migrations.RunPython.noop),
    ]
