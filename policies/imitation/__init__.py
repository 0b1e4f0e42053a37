"""Policies that are fitted to demonstrations: one file a method, over what they share.

``config`` the options, ``policy`` what sees and acts, ``normalizers`` between physical units and networks,
``optimise`` how any fitted policy is minimised on Lightning's Trainer. To add a method: imitate ``bc.py``, with a line
in ``policies/families.py``.
"""
