"""Live pages: what a visitor's tab shows follows the state that it was rendered from.

A *node* is one live place of a page: a text, an attribute or a block. Its *position vector* says how far the state was that it
shows; a tab that comes back names it, and is sent what is newer, or nothing. A *frame* is one node's news.

Pure, without I/O, clock or Django (`tests/live/test_purity.py`): `node`, `vector`, `frames`, `delta`, `pacing`, `limits`.
"""
