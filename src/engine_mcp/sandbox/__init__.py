"""Code mode: JavaScript in a hardened, single-use child process."""
