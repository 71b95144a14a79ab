"""Where the pages are."""

from django.contrib import admin
from django.urls import include, path

from testproject.banner.views import banner
from testproject.chat.views import room, rooms
from testproject.counter.views import counter
from testproject.jobs.views import jobs
from testproject.orders.views import orders
from testproject.pages.views import index
from testproject.profile.views import profile
from via_state.views import metrics

urlpatterns = [
    path("", index, name="index"),
    path("counter/", counter, name="counter"),
    path("chat/", rooms, name="rooms"),
    path("chat/<str:room>/", room, name="room"),
    path("banner/", banner, name="banner"),
    path("profile/", profile, name="profile"),
    path("orders/", orders, name="orders"),
    path("jobs/", jobs, name="jobs"),
    path("admin/", admin.site.urls),
    path("metrics", metrics),  # on loopback: elsewhere not for the public
    # Under WSGI, where there are no WebSockets, tabs ask here.
    path("", include("via_state.live.urls")),
]
