"""What people see in a browser: templates and CSS."""

from __future__ import annotations
