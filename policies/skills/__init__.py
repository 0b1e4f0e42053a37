"""Skills: learned once from many demonstrations of anything, reused for a task that a few demonstrations show.

``windows`` stretches of episodes, ``skill`` the model of them and the learned distance of states, ``policy`` what all
policies of skills share, ``lookup`` what those share that look demonstrations up, ``store`` how a policy begins with
skills, ``config`` the options. Each method has a file: ``fist``, ``play_lmp``, ``sailor``, ``taco_rl``. Any fitted
policy can be pretrained and adapted (``policies/training/skills.py``).
"""
