"""A channel layer for Django Channels over the backplane that is there already: ``CHANNEL_LAYERS`` without Redis.

A process keeps what waits for its readers in its own memory (``mailboxes``), and knows which of its channels are in which groups
(``layer``). Other processes are told by messages (``parcels``), at most once, as Channels promises and no more:

* to a channel of one process (``specific.…!…``): to the topic of that process;
* to a group: one message, whatever the number of members, to the topic of the group, which processes with members hear;
* to a channel that any process may read: it stays with its sender until a reader asks for it, so that exactly one gets it.

Memberships live in the memory of the process whose channel it is, so no server can lose them; hearings hold again after a cut.

Stands on ``pod``. Only Channels imports it, by the name in the settings.
"""

from via_state.layers.layer import BackplaneChannelLayer

__all__ = ["BackplaneChannelLayer"]
