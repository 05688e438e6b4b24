from django.db import migrations

# Before there were allocations every tenant used what its virtual nodes had a route to, without a limit, and all of
# them one account. So it goes on, until an operator says otherwise.
FILL = """
UPDATE hpc_sites_site SET shared_account = true;
INSERT INTO hpc_sites_allocation (
    tenant_id, site_id, enabled, valid_from, gpus, period, default_time_limit, priority, local_account, partitions, qos,
    flavors, created_at, used_pods, used_cpus, used_memory, used_gpus, reserved_cpu_seconds, reserved_gpu_seconds,
    spent_cpu_seconds, spent_gpu_seconds)
SELECT DISTINCT node.tenant_id, route.site_id, true, now(), '{}'::jsonb, 'month', 3600, 0, '', '{}'::varchar[], '',
       '{}'::varchar[], now(), 0, 0, 0, '{}'::jsonb, 0, 0, 0, 0
FROM hpc_sites_route AS route JOIN tenants_virtualnode AS node ON node.id = route.node_id
ON CONFLICT DO NOTHING;
UPDATE jobs_job AS job SET allocation_id = allocation.id, is_counted = job.state <> 'held'
FROM hpc_sites_allocation AS allocation
WHERE allocation.tenant_id = job.tenant_id AND allocation.site_id = job.site_id
  AND job.state NOT IN ('succeeded', 'failed', 'cancelled');
UPDATE jobs_job SET next_start_at = now() WHERE state = 'held' AND site_id IS NOT NULL;
UPDATE hpc_sites_allocation AS allocation
SET used_pods = counted.pods, used_cpus = counted.cpus, used_memory = counted.memory, used_gpus = counted.gpus
FROM (SELECT allocation_id, count(*) AS pods, sum(cpus) AS cpus, sum(memory) AS memory,
             CASE WHEN sum(gpus) > 0 THEN jsonb_build_object('', sum(gpus)) ELSE '{}'::jsonb END AS gpus
      FROM jobs_job WHERE is_counted GROUP BY allocation_id) AS counted
WHERE counted.allocation_id = allocation.id;
"""

# What /status reads (jobs/interlink/status.py), past row security and with the owner's rights: it takes the node, which
# the caller's token has told, and the pods. Names are qualified, so that no search_path of the caller's can lead it
# elsewhere. PL/pgSQL, which keeps its plan from call to call.
STATUS = """
CREATE FUNCTION isthmus_status(node bigint, pod uuid, seen jsonb) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
BEGIN
    RETURN (SELECT CASE WHEN pg_catalog.jsonb_path_query_array(job.containers, '$[*].name') <@ seen
                        THEN job.status_exact ELSE job.status_first END
            FROM public.jobs_job AS job
            WHERE job.node_id = node AND job.pod_uid = pod AND job.deleted_at IS NULL AND job.status_exact <> '');
END $$;
CREATE FUNCTION isthmus_status_of_all(node bigint, most int) RETURNS TABLE (pod uuid, status text)
LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
BEGIN
    RETURN QUERY
    SELECT job.pod_uid, job.status_exact FROM public.jobs_job AS job
    WHERE job.node_id = node AND job.state NOT IN ('succeeded', 'failed', 'cancelled')
      AND job.deleted_at IS NULL AND job.status_exact <> ''
    ORDER BY job.id LIMIT most;
END $$;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('jobs', '0002_people_and_allocations'),
        ('hpc_sites', '0002_people_and_allocations'),
        ('tenants', '0003_row_security'),
    ]

    operations = [
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.RunSQL(
            STATUS, "DROP FUNCTION isthmus_status(bigint, uuid, jsonb); DROP FUNCTION isthmus_status_of_all(bigint, int)"
        ),
    ]
