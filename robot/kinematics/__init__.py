"""Kinematics for the robot's computer: forward and inverse, with numpy alone."""
