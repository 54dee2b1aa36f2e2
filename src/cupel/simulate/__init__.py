"""The world simulator: the real core, engine and memory store in a made-up, seeded world."""
