"""What should be true: `plan(world)` is one pure function of everything that was observed."""
