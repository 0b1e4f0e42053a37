"""A policy and its arm in one process, without ROS: the same loop, arbiter and limits around a driver of ours."""
