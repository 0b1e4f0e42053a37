"""Skills: learned once from many demonstrations of anything, reused for a task that a few demonstrations show.

``windows`` stretches of episodes, ``skill`` the model of them and the learned distance of states, ``fist`` the policy
that puts them together, ``store`` how a policy begins with skills, ``config`` the options. Any fitted policy can be
pretrained and adapted (``policies/training/skills.py``).
"""
