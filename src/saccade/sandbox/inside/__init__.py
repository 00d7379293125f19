"""What runs inside: the fork server, its lock-down, and the notebook of a session.

Standard library only, beside pyseccomp: this is a process of its own, with a clean environment, and
nothing of ours is in its memory that a session should not see. numpy and the others are loaded once
and shared by all sessions.
"""
