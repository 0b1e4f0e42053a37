"""What a FIST policy reuses: the demonstrated moments that it looks up, and the skills that it chooses (``pixelarm
reuse``).

``subject`` the run and the demonstrations that its policy holds, ``play`` episodes with every look-up, ``jumps`` what
is counted of look-ups, ``latent`` skills in a plane, ``examine`` every number in order, ``rules`` what is healthy,
``figures``, ``page`` and ``command`` the report.
"""
