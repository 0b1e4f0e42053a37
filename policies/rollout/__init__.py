"""Acting: environments by name, policies with their memory, and who gathers experience."""

import policies.families  # noqa: F401  (the families of policies are known from here on)
