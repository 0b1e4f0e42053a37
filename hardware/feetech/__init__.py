"""Feetech STS3215 servos on their own serial bus, and the SO-101 made of six of them. No ROS, no torch, no SDK."""
