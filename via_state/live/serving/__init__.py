"""The tabs that are connected to this process: who they are, what they lack, how it reaches them, and who is here."""
