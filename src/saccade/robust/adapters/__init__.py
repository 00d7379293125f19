"""Our attacks and detector in the shape that other libraries ask for (extra `peers`)."""
