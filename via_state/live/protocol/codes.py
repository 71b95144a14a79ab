"""The codes with which a tab's socket is closed."""

#: The tab went to sleep: it said so itself.
ASLEEP = 4100
#: It said what it may not, too much, or nothing.
UNASKED = 1008
#: It is too slow, or one too many, and comes back later.
SLOW = 1013
#: It could not be written to.
FAULT = 1011
#: This process ends, and takes no more.
RESTARTS = 1012
#: Nobody is signed in any more as when its page was opened.
SIGNED_OUT = 4401
#: Its page is of another version of the protocol.
VERSION = 4409
