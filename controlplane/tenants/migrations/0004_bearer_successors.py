import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [('tenants', '0003_row_security')]

    operations = [
        migrations.AddField(
            model_name='apitoken',
            name='issued_for',
            field=models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='tenants.apitoken'),
        ),
        migrations.AddField(
            model_name='apitoken',
            name='replaced_by',
            field=models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='tenants.apitoken'),
        ),
    ]
