from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [('jobs', '0004_api_kept_answers')]

    operations = [
        # For `changed_since`, whoever asks: all tenants' changes in their order, of which a caller's own are picked.
        migrations.RemoveIndex(model_name='job', name='job_of_tenant_changed'),
        migrations.AddIndex(
            model_name='job',
            index=models.Index(fields=['changed_at', 'id'], name='job_changed'),
        ),
    ]
