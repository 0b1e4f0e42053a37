"""Emulated servos and their bus, to rehearse and to test with."""
