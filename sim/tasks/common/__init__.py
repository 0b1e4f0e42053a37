"""What several tasks are made of: the base class, the table, grasping at an angle."""
