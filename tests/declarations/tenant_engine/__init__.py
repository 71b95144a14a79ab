"""A database engine as django-tenants has one."""
