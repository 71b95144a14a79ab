"""What takes announcements to every process of the project, at most once: Channels' layer (`layer`), the backplane (`backplane`),
or nothing, where there is one process (`local`). `choice` picks one by the setting ``BROADCAST``.

A carrier knows bytes, and nothing of tabs. One per pod, on the pod's loop. What it hears was sealed by a process that has ``SECRET_KEY``.
"""
