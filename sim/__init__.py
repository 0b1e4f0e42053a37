"""MuJoCo worlds. Importing this package settles the OpenGL back end, because MuJoCo reads it when first imported."""

from sim.rendering import gl

gl.prepare()
