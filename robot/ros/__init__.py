"""ROS 2 nodes of the robot's computer."""

from robot.inference.threads import one_blas_thread

one_blas_thread()  # nothing below imports numpy before
