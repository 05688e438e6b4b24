from django.db import migrations, models

# All earlier tokens belong to virtual nodes. SET CONSTRAINTS runs the deferred checks now: PostgreSQL refuses to alter
# a table with pending checks.
FILL = """
UPDATE tenants_apitoken AS token SET tenant_id = node.tenant_id
FROM tenants_virtualnode AS node WHERE node.id = token.node_id AND token.tenant_id IS NULL;
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
"""

# Returns a setting of the transaction as an array, for the policies of controlplane/ops/row_security.py.
IDS = """
CREATE FUNCTION isthmus_ids(name text) RETURNS bigint[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN pg_catalog.current_setting(name, true) IN ('', '*') THEN NULL
                ELSE pg_catalog.current_setting(name, true)::bigint[] END
$$;
"""

# Bypasses row security with the owner's rights, because the caller is not known yet. It needs a digest, which only
# the holder of the token can compute. Names are qualified, so that the caller's search_path cannot redirect it.
TOKEN = """
CREATE FUNCTION isthmus_token(shown bytea)
RETURNS TABLE (token_id bigint, kind text, expires_at float8, is_revoked boolean, in_force boolean, node_id bigint,
               tenant_id bigint, slug text, person_id bigint, service_id bigint, scopes text)
LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT token.id, token.kind::text, extract(epoch FROM token.expires_at)::float8, token.revoked_at IS NOT NULL,
           coalesce(tenant.enabled, true) AND coalesce(person.is_active, true) AND coalesce(service.enabled, true),
           token.node_id, token.tenant_id, coalesce(node.slug, '')::text, token.person_id, token.service_id,
           pg_catalog.array_to_string(token.scopes, ' ')
    FROM public.tenants_apitoken AS token
    LEFT JOIN public.tenants_virtualnode AS node ON node.id = token.node_id
    LEFT JOIN public.tenants_tenant AS tenant ON tenant.id = coalesce(node.tenant_id, token.tenant_id)
    LEFT JOIN public.tenants_person AS person ON person.id = token.person_id
    LEFT JOIN public.tenants_serviceaccount AS service ON service.id = token.service_id
    WHERE token.digest = shown;
END $$;
"""


class Migration(migrations.Migration):

    dependencies = [('tenants', '0002_people_and_allocations')]

    operations = [
        migrations.RunSQL(FILL, migrations.RunSQL.noop),
        migrations.AddConstraint(
            model_name='apitoken',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind__in', ['node', 'client']), ('node__isnull', False), ('person__isnull', True), ('service__isnull', True), ('tenant__isnull', False)), models.Q(('kind', 'personal'), ('node__isnull', True), ('person__isnull', False), ('service__isnull', True)), models.Q(('kind', 'service'), ('node__isnull', True), ('person__isnull', True), ('service__isnull', False), ('tenant__isnull', False)), _connector='OR'), name='a_token_has_the_owner_of_its_kind'),
        ),
        migrations.RunSQL(IDS, "DROP FUNCTION isthmus_ids(text)"),
        migrations.RunSQL(TOKEN, "DROP FUNCTION isthmus_token(bytea)"),
    ]
