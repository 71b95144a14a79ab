"""The pages of the test project, for any WSGI server. They are complete without WebSockets, and not live."""

import os

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "testproject.settings")
application = StaticFilesHandler(get_wsgi_application())
