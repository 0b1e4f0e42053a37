"""Skills: learned once from many demonstrations of anything, reused for a task that a few demonstrations show.

``windows`` stretches of episodes, ``skill`` the model of them, ``distance`` which states are near each other in time,
``fist`` the policy that puts them together. Any fitted policy can be pretrained and adapted
(``policies/training/skills.py``).
"""
