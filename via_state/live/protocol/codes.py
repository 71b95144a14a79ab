"""The codes with which a tab's socket is closed.

All are of the range for applications, 4000 to 4999: daphne sends no other (autobahn raises, and the socket would stay open).
"""

#: The tab went to sleep: it said so itself.
ASLEEP = 4100
#: It said what it may not, too much, or nothing.
UNASKED = 4400
#: It is too slow, or one too many, and comes back later.
SLOW = 4503
#: It could not be written to.
FAULT = 4500
#: This process ends, and takes no more.
RESTARTS = 4502
#: Nobody is signed in any more as when its page was opened.
SIGNED_OUT = 4401
#: Its page is of another version of the protocol.
VERSION = 4409
