"""HTTP, thin: routes lead to the verbs of services, whose answers are sent."""
